"""Discovery: which recordings exist, and whether a manifest's ids do."""
