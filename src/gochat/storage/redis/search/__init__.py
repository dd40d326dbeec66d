"""The index of texts, and searching in it."""
