"""What only SQLite has: connections, the lock, the disk, backups and repairs of one file."""
