"""Text of other people, made safe, marked up, wrapped and coloured: pure functions, no Textual."""
