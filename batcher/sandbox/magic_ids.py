"""File ids that mean something to the sandbox, so that a manifest can rehearse what may happen to a row.

Where it stands: `service` asks here once a request is well formed and nothing else went wrong with it.
Everything is decided by the text of the file id and by how often this id came this far, never by chance.

| Tencent: the id begins with | an example | Huawei: a directory in the path | what happens |
|---|---|---|---|
| `404404404` | `4044044041234567891` | `/missing/` | the file does not exist: `Code` 41003 |
| `100010001` | `1000100011234567891` | `/wrong-id/` | the id is wrong: `Code` 1000 |
| `400400400` | `4004004001234567891` | `/wrong-vendor/` | the file is at another vendor: `Code` 4 |
| `503503503` | `5035035031234567891` | `/busy/` | `Code` 1 for the first two requests, then success |
| `504504504` | `5045045041234567891` | `/lost-answer/` | the first is accepted, not answered (`drop-after`) |
| `408408408` | `4084084081234567891` | `/slow/` | accepted, answered late (`slow_ms`: 3 s) |

Three more are accepted like any file, and mean something for the task (`tasks`):

| Tencent: the id begins with | an example | Huawei: a directory in the path | what becomes of the task |
|---|---|---|---|
| `501501501` | `5015015011234567891` | `/unreadable/` | it fails |
| `600600600` | `6006006001234567891` | `/endless/` | it is being processed for ever |
| `410410410` | `4104104101234567891` | `/forgotten/` | the service does not know it any more |

"The first" requests are counted for each id by itself, and only those which came as far as this.

Any other well-formed id is an ordinary file: accepted at once. The last digits of a Tencent id are free, so
each row can have its own. `SandboxSettings(markers=False)` makes every id ordinary, for a manifest
whose real ids happen to look like one of these.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from .faults import Fault, FaultKind
from .variants import Fate


@dataclass(frozen=True, slots=True)
class Marker:
    """What a marked file id does: a fault, for its first so many requests (None: for all)."""

    tencent_prefix: str
    huawei_directory: str
    fault: Fault
    first: int | None = None


def markers(slow_ms: int) -> tuple[Marker, ...]:
    """List the markers of the table above."""
    return (
        Marker("404404404", "missing", Fault(FaultKind.CODE, 41003)),
        Marker("100010001", "wrong-id", Fault(FaultKind.CODE, 1000)),
        Marker("400400400", "wrong-vendor", Fault(FaultKind.CODE, 4)),
        Marker("503503503", "busy", Fault(FaultKind.CODE, 1), first=2),
        Marker("504504504", "lost-answer", Fault(FaultKind.DROP_AFTER), first=1),
        Marker("408408408", "slow", Fault(FaultKind.SLOW, slow_ms)),
    )


_FATES = {
    "501501501": Fate.FAIL,
    "unreadable": Fate.FAIL,
    "600600600": Fate.ENDLESS,
    "endless": Fate.ENDLESS,
    "410410410": Fate.FORGOTTEN,
    "forgotten": Fate.FORGOTTEN,
}


def fate_of(vendor: str, file_id: str) -> Fate | None:
    """Say what becomes of a task for this file, if the file id is marked for that."""
    if vendor == "Tencent":
        return _FATES.get(file_id[:9])
    return next((_FATES[name] for name in file_id.split("/")[:-1] if name in _FATES), None)


class MarkedFiles:
    """Reads markers out of file ids and counts the requests for the ids whose marker wears off."""

    def __init__(self, slow_ms: int) -> None:
        self._by_prefix = {marker.tencent_prefix: marker for marker in markers(slow_ms)}
        self._by_directory = {marker.huawei_directory: marker for marker in markers(slow_ms)}
        self._requests: Counter[tuple[str, str]] = Counter()

    def fault_for(self, vendor: str, file_id: str) -> Fault | None:
        """Count one request for this file and say what its marker does to it, if it has one."""
        marker = self._marker_of(vendor, file_id)
        if marker is None:
            return None
        if marker.first is not None:
            self._requests[vendor, file_id] += 1
            if self._requests[vendor, file_id] > marker.first:
                return None
        return marker.fault

    def _marker_of(self, vendor: str, file_id: str) -> Marker | None:
        if vendor == "Tencent":
            return self._by_prefix.get(file_id[:9])
        directories = file_id.split("/")[:-1]
        return next((self._by_directory[name] for name in directories if name in self._by_directory), None)
