"""What only PostgreSQL has: connections, locks with a lease, the dialect of statements."""
