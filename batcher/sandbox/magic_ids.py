"""File ids with a special meaning, so that a manifest can rehearse the possible fates of a row.

`service` asks here once a request is well formed and has no other fault. Everything is decided by the text
of the file id and by the number of such requests for it, never by chance.

| Tencent: the id begins with | an example | Huawei: a directory in the path | what happens |
|---|---|---|---|
| `404404404` | `4044044041234567891` | `/missing/` | the file does not exist: `Code` 41003 |
| `100010001` | `1000100011234567891` | `/wrong-id/` | the id is wrong: `Code` 1000 |
| `400400400` | `4004004001234567891` | `/wrong-vendor/` | the file is at another vendor: `Code` 4 |
| `503503503` | `5035035031234567891` | `/busy/` | `Code` 1 for the first two requests, then success |
| `504504504` | `5045045041234567891` | `/lost-answer/` | the first is accepted, not answered (`drop-after`) |
| `408408408` | `4084084081234567891` | `/slow/` | accepted, answered late (`slow_ms`: 3 s) |

Three more are accepted like any file, and decide the fate of the task (`task_fates`):

| Tencent: the id begins with | an example | Huawei: a directory in the path | the task |
|---|---|---|---|
| `501501501` | `5015015011234567891` | `/unreadable/` | it fails |
| `600600600` | `6006006001234567891` | `/endless/` | it stays in processing forever |
| `410410410` | `4104104101234567891` | `/forgotten/` | the service no longer knows it |

"The first" requests are counted for each id separately, and only those that get this far.

Any other well-formed id is an ordinary file: accepted immediately. The last digits of a Tencent id are
free, so each row can have its own. `SandboxSettings(markers=False)` makes every id ordinary, for a manifest
whose real ids happen to look like one of these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from .faults import Fault, FaultKind
from .variants import Fate

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Marker:
    """The effect of a marked file id: a fault for its first requests (None: for all)."""

    fault: Fault
    first: int | None = None


def markers(slow_ms: int) -> dict[str, Marker]:
    """Return the markers of the first table above, by prefix and by directory."""
    return {
        **dict.fromkeys(("404404404", "missing"), Marker(Fault(FaultKind.CODE, 41003))),
        **dict.fromkeys(("100010001", "wrong-id"), Marker(Fault(FaultKind.CODE, 1000))),
        **dict.fromkeys(("400400400", "wrong-vendor"), Marker(Fault(FaultKind.CODE, 4))),
        **dict.fromkeys(("503503503", "busy"), Marker(Fault(FaultKind.CODE, 1), first=2)),
        **dict.fromkeys(("504504504", "lost-answer"), Marker(Fault(FaultKind.DROP_AFTER), first=1)),
        **dict.fromkeys(("408408408", "slow"), Marker(Fault(FaultKind.SLOW, slow_ms))),
    }


_FATES = {
    **dict.fromkeys(("501501501", "unreadable"), Fate.FAIL),
    **dict.fromkeys(("600600600", "endless"), Fate.ENDLESS),
    **dict.fromkeys(("410410410", "forgotten"), Fate.FORGOTTEN),
}


def fate_of(vendor: str, file_id: str) -> Fate | None:
    """Return the fate of a task for this file, if the file id is marked for one."""
    return _marked(vendor, file_id, _FATES)


class MarkedFiles:
    """Reads markers in file ids, and counts the requests for ids whose marker is temporary."""

    def __init__(self, slow_ms: int) -> None:
        self._markers = markers(slow_ms)
        self._requests: Counter[tuple[str, str]] = Counter()

    def fault_for(self, vendor: str, file_id: str) -> Fault | None:
        """Count one request for this file and return the fault of its marker, if it has one."""
        marker = _marked(vendor, file_id, self._markers)
        if marker is None:
            return None
        if marker.first is not None:
            self._requests[vendor, file_id] += 1
            if self._requests[vendor, file_id] > marker.first:
                return None
        return marker.fault


def _marked(vendor: str, file_id: str, effects: Mapping[str, _T]) -> _T | None:
    """Return the effect of the marker in a file id, if it has one of these."""
    names = [file_id[:9]]
    if vendor != "Tencent":
        names = [name for name in file_id.split("/")[:-1] if not name.isdigit()]
    return next((effects[name] for name in names if name in effects), None)
