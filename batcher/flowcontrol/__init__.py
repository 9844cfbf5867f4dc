"""Flow control: when a request may leave, whether it is sent again, and for how long."""
