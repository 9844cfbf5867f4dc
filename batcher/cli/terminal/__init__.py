"""The terminal: what people read, and how it fits."""
