"""What the command line does with the terminal and the standard streams."""
