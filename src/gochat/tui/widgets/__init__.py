"""The parts of the chat screen. They show the model, and post what the person asks for."""
