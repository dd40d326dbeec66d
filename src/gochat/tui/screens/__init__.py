"""The two screens: connecting, and the chat."""
