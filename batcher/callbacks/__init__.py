"""Callbacks of the service: received, recorded, confirmed by a poll."""
