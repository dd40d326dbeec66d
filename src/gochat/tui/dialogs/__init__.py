"""What opens over the chat, and answers once."""
