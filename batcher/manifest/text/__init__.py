"""Text: bytes to characters, characters to lines."""
