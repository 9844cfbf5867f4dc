"""Certificates for a server on this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

# -- TLS and proxies ----------------------------------------------------------------------------------


def certificate(folder: Path, host: str, days: int) -> tuple[Path, Path]:
    """A certificate for a host that is its own authority."""
    made, key = folder / f"{host}.pem", folder / f"{host}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", str(days)]
    command += ["-subj", f"/O=Archive/CN={host}", "-addext", f"subjectAltName=DNS:{host}"]
    command += ["-keyout", str(key), "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return made, key


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make certificates")
