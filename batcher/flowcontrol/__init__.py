"""Flow control: when to send, when to hold still, and what an outcome says about the service."""
