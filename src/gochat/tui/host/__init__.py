"""The machine that the app runs on: the terminal, notifications, the editor, garbage collection."""
