"""What only SQLite has: one file, its identity, its locks."""
