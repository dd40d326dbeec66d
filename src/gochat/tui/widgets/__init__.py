"""The parts of the chat screen. They show the model and say what the person wants; no more."""
