"""Pictures: where they may come from, what they turn out to be, and where they are kept."""
