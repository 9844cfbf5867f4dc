"""The packages that messages ask the user to install when one is missing or unsuitable.

Used wherever an optional package is imported. Messages name packages, not extras: that is right in every kind
of installation and does not depend on the name of this distribution.
"""

from __future__ import annotations

REQUIREMENTS = {
    "aiohttp": "aiohttp>=3.13,<3.15",
    "apprise": "apprise>=1.9",
    "av": "av>=17",
    "fsspec": "fsspec>=2024.6",
    "Jinja2": "Jinja2>=3.1",
    "MarkupSafe": "MarkupSafe>=2.1",
    "Pillow": "Pillow>=11",
    "psycopg": "psycopg[binary]>=3.2",
    "pyarrow": "pyarrow>=18",
    "python-calamine": "python-calamine>=0.9",
    "XlsxWriter": "XlsxWriter>=3.2",
    "zstandard": "zstandard>=0.22",
}
"""By package, as ``pyproject.toml`` requires it."""

MEDIA = ("av", "Pillow")
REPORT = ("Jinja2", "MarkupSafe", "Pillow")


def pip_install(*packages: str) -> str:
    """Return the command that installs packages, ready for a shell."""
    return " ".join(["pip install", *(f"'{REQUIREMENTS[package]}'" for package in packages)])
