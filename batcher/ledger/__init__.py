"""The ledger: the record of what was asked and what came back.

Each name is imported on first use, so that a command that only reads does not import what writing needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

HOMES = {
    "Added": "batcher.ledger.loads",
    "Holder": "batcher.ledger.sqlite.lock_file",
    "Inspected": "batcher.ledger.sqlite.verify",
    "LedgerLock": "batcher.ledger.sqlite.lock",
    "LedgerReader": "batcher.ledger.reader",
    "LockClient": "batcher.ledger.sqlite.lock",
    "Purpose": "batcher.ledger.sqlite.lock",
    "Readiness": "batcher.ledger.sqlite.preflight",
    "Restored": "batcher.ledger.sqlite.backup",
    "Room": "batcher.ledger.sqlite.preflight",
    "RunLedger": "batcher.ledger.run_ledger",
    "Vacuumed": "batcher.ledger.sqlite.backup",
    "back_up": "batcher.ledger.sqlite.backup",
    "check_binding": "batcher.ledger.binding",
    "check_file": "batcher.ledger.sqlite.files",
    "check_place": "batcher.ledger.sqlite.preflight",
    "inspect": "batcher.ledger.sqlite.verify",
    "is_missing": "batcher.ledger.sqlite.files",
    "ledger_path": "batcher.ledger.sqlite.files",
    "lock_holder": "batcher.ledger.sqlite.lock",
    "network_file_system": "batcher.ledger.sqlite.disk",
    "open_for_reading": "batcher.ledger.reader",
    "open_for_writing": "batcher.ledger.run_ledger",
    "open_to_itself": "batcher.ledger.sqlite.schema_version",
    "readiness": "batcher.ledger.sqlite.preflight",
    "repair": "batcher.ledger.sqlite.verify",
    "restore": "batcher.ledger.sqlite.backup",
    "room": "batcher.ledger.sqlite.preflight",
    "shielded": "batcher.ledger.writer",
    "take_lock": "batcher.ledger.sqlite.lock",
    "vacuum": "batcher.ledger.sqlite.backup",
    "verify": "batcher.ledger.sqlite.verify",
}
"""The module in which each name is defined."""


def __getattr__(name: str) -> object:
    """Import a name when it is first used."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(HOMES[name]), name)
    globals()[name] = value
    return value
