"""The parts of the ledger that only SQLite has: one file, its identity, its locks."""
