"""The terminal and the standard streams, as the command line uses them."""
