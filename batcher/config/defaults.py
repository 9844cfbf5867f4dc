"""Default values of the settings, stated once.

Read by :class:`~batcher.config.settings.Settings`, by the help texts of the command line and by tests of the
documentation. Holds plain constants and imports nothing heavy, so that ``--help`` stays fast. Durations are
in seconds, sizes in bytes; :func:`duration_text` writes one as a user gives it.
"""

from __future__ import annotations

from typing import Final

CONFIG = "batcher.toml"
ENDPOINT = "https://rtc-api.zego.im/"
LEDGER = "batcher.db"

RATE_PER_S = 20.0
CONCURRENCY = 64
FETCH_CONCURRENCY = 8
TIMEOUT_S = 30.0
IN_DOUBT = "retry"
MAX_FAILURES = "50%"
GRACE_S = 30.0
WAIT_LOCK_S = 0.0
LEDGER_PATIENCE_S = 600.0

TRACK_TIMEOUT_S = 3600.0
GIVE_UP_S = 48 * 3600.0

MAX_PICTURE_BYTES = 20 << 20

LISTEN_PORT = 8080
LISTEN_HOST = "127.0.0.1"
LISTEN_MAX_BODY_BYTES = 512 << 10
LISTEN_MAX_AGE_S = 600.0

METRICS_HOST = "127.0.0.1"
METRICS_EVERY_S = 30.0
NOTIFY_ON: Final = "failure"

PROGRESS: Final = "auto"
PLAIN_PROGRESS_EVERY_S = 30.0
LOG_FORMAT: Final = "text"


def duration_text(seconds: float) -> str:
    """Return a duration as a user gives it: ``30s``, ``10m``, ``48h``."""
    for unit, unit_s in (("h", 3600), ("m", 60)):
        if seconds and seconds % unit_s == 0:
            return f"{seconds / unit_s:g}{unit}"
    return f"{seconds:g}s"
