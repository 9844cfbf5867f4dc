"""The ready-made units: their commands and their environment."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

CONTRIB = ROOT / "contrib"


# -- reading them ------------------------------------------------------------------------------------

Unit = dict[str, dict[str, list[str]]]


def unit_of(path: Path) -> Unit:
    """A systemd unit: section, key, and its values in their order."""
    found: Unit = {}
    section = ""
    for line in re.sub(r"\\\n\s*", "", path.read_text("utf-8")).splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, line
            found.setdefault(section, {}).setdefault(key, []).append(value)
    return found


def environment_of(lines: Iterator[str] | list[str]) -> dict[str, str]:
    """The variables that lines such as ``NAME=value`` set."""
    return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z_]+=", line))


# -- each does a night's work ------------------------------------------------------------------------


OPTION = "#: "
"""What stands before a line of a unit that is an option."""


# -- systemd -----------------------------------------------------------------------------------------

PROMISED = {
    "Type": ["oneshot"],
    "User": ["batcher"],
    "ProtectSystem": ["strict"],
    "ProtectHome": ["yes"],
    "PrivateTmp": ["yes"],
    "NoNewPrivileges": ["yes"],
    "CapabilityBoundingSet": [""],
    "StateDirectory": ["batcher"],
    "StateDirectoryMode": ["0700"],
    "UMask": ["0077"],
    "LoadCredential": ["server-secret:/etc/batcher/server-secret"],
    "KillSignal": ["SIGTERM"],
    "LimitCORE": ["0"],
}


KNOWN_KEYS = {
    "Unit": "Description Wants After RequiresMountsFor",
    "Service": "Type User Group UMask StateDirectory StateDirectoryMode WorkingDirectory Environment "
    "EnvironmentFile LoadCredential ReadWritePaths ExecStart SuccessExitStatus TimeoutStartSec "
    "TimeoutStopSec KillSignal KillMode Restart SyslogIdentifier MemoryMax TasksMax LimitCORE "
    "ProtectSystem ProtectHome PrivateTmp PrivateDevices PrivateMounts ProtectClock "
    "ProtectControlGroups ProtectHostname ProtectKernelLogs ProtectKernelModules "
    "ProtectKernelTunables ProtectProc ProcSubset NoNewPrivileges CapabilityBoundingSet "
    "AmbientCapabilities LockPersonality MemoryDenyWriteExecute RemoveIPC RestrictAddressFamilies "
    "RestrictNamespaces RestrictRealtime RestrictSUIDSGID SystemCallArchitectures SystemCallFilter "
    "SystemCallErrorNumber",
    "Timer": "OnCalendar Persistent RandomizedDelaySec Unit",
    "Install": "WantedBy",
}
"""Source: systemd.unit(5), systemd.service(5), systemd.exec(5), systemd.kill(5), systemd.timer(5)."""


def said_by(*words: str) -> str:
    """The complaints of a tool: stderr, and all output when it fails."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    return done.stderr + (done.stdout if done.returncode else "")
