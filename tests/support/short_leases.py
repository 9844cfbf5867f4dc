"""Leases of two seconds in place of ten, for commands that a test starts."""

from __future__ import annotations

LEASE_S = 2.0
REQUEST_S = 1.0
"""How long a request may take: ``--timeout 1``."""
GRACE_S = REQUEST_S + 0.5
"""How long after the end of its lease a run is waited for."""

SHORT_LEASES: dict[str, float | str] = {
    "batcher.ledger.shared_runs:TTL_S": LEASE_S,
    "batcher.ledger.shared_runs:TTL_MS": LEASE_S * 1000,
    "batcher.ledger.shared_runs:REPLY_WITHIN_S": 1.4,
    "batcher.ledger.postgres.connection:REPLIES_WITHIN_S": 2.0,
    "batcher.ledger.postgres.connection:IDLE_IN_TRANSACTION_S": 1,
    "batcher.submit.sharing:TTL_S": LEASE_S,
    "batcher.submit.sharing:SPARE_S": GRACE_S - REQUEST_S,
    "batcher.submit.sharing:BEAT_EVERY_S": 0.4,
    "batcher.submit.sharing:LOOK_FOR_LOST_S": 0.5,
}
"""Constants of the program, by module and name; a real lease is five times as long."""
