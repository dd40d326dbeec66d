"""The wire protocol, without I/O: frames, payloads and the codec between them."""
