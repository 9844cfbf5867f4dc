"""Flow control: when to send, when to wait, and what an outcome says about the service."""
