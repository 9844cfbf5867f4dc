"""Measurements: each a ratio against something a reader knows, or a figure with a bar beside it."""
