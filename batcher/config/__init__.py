"""Settings: where they come from, what they may be, and the files that ship with the package."""
