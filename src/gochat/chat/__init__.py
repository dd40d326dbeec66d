"""The rules of the chat and the interface of its store, without I/O."""
