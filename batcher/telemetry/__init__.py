"""Metrics and notifications: the state of a run for other programs and for users elsewhere."""
