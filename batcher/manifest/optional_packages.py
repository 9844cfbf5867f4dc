"""Packages that only some manifests need, and the message when one is missing.

They are imported where they are used, so that other manifests do not wait for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from batcher.errors import ManifestError
from batcher.requirements import pip_install


@contextmanager
def needed(package: str, what: str) -> Iterator[None]:
    """Translate the failed import of an optional package.

    Raises:
        ManifestError: it is not installed; names the command that installs it.
    """
    try:
        yield
    except ImportError as exc:
        raise ManifestError(
            f"{what} needs the package {package}, which is not installed: {pip_install(package)}"
        ) from exc
