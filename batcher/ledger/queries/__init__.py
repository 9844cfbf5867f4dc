"""The queries of a ledger, one module per subject. Each is a function of a connection, and none writes."""
