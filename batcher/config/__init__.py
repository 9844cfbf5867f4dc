"""Settings: what people give, and what it has to look like."""
