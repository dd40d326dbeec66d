"""The wire, without I/O: frames, payloads and the codec between them."""
