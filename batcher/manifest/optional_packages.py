"""Packages that only some manifests need: what to say when one is missing.

They are imported where they are used, so that nobody waits for what he does not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from batcher.errors import ManifestError
from batcher.requirements import pip_install


@contextmanager
def needed(package: str, what: str) -> Iterator[None]:
    """Around the import of an optional package.

    Raises:
        ManifestError: it is not installed; names the command that installs it.
    """
    try:
        yield
    except ImportError as exc:
        raise ManifestError(
            f"{what} needs the package {package}, which is not installed: {pip_install(package)}"
        ) from exc
