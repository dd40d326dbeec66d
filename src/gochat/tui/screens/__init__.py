"""The screens: connecting, the chat, and what opens over it."""
