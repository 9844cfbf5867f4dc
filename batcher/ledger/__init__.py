"""The ledger: the one record of what was asked of the service and what it answered."""

from batcher.ledger.binding import check_binding
from batcher.ledger.loads import Added
from batcher.ledger.reader import LedgerReader, open_for_reading
from batcher.ledger.run_ledger import RunLedger, open_for_writing
from batcher.ledger.sqlite.backup import Restored, Vacuumed, back_up, restore, vacuum
from batcher.ledger.sqlite.disk import network_file_system
from batcher.ledger.sqlite.files import check_file, is_missing, ledger_path
from batcher.ledger.sqlite.lock import LedgerLock, LockClient, Purpose, lock_holder, take_lock
from batcher.ledger.sqlite.lock_file import Holder
from batcher.ledger.sqlite.preflight import Readiness, Room, check_place, readiness, room
from batcher.ledger.sqlite.schema_version import open_to_itself
from batcher.ledger.sqlite.verify import Inspected, inspect, repair, verify
from batcher.ledger.writer import shielded

__all__ = [
    "Added",
    "Holder",
    "Inspected",
    "LedgerLock",
    "LedgerReader",
    "LockClient",
    "Purpose",
    "Readiness",
    "Restored",
    "Room",
    "RunLedger",
    "Vacuumed",
    "back_up",
    "check_binding",
    "check_file",
    "check_place",
    "inspect",
    "is_missing",
    "ledger_path",
    "lock_holder",
    "network_file_system",
    "open_for_reading",
    "open_for_writing",
    "open_to_itself",
    "readiness",
    "repair",
    "restore",
    "room",
    "shielded",
    "take_lock",
    "vacuum",
    "verify",
]
