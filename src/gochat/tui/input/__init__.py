"""What can be typed: keys, commands, completions, emoji."""
