"""The signature of a call. Pure: nonce and time are arguments.

Source: ZEGO server API, "Accessing server APIs", public parameters (signature version 2.0).
"""

from __future__ import annotations

import hashlib

SIGNATURE_VERSION = "2.0"


def signature(app_id: int, nonce: str, server_secret: str, timestamp: int) -> str:
    """Return the signature of one call, 32 lower-case hex digits.

    Args:
        app_id: the customer's project.
        nonce: 16 lower-case hex digits, new for every request.
        server_secret: the project's ServerSecret.
        timestamp: Unix seconds.
    """
    signed = f"{app_id}{nonce}{server_secret}{timestamp}"
    # The service requires MD5. Nothing of batcher's security depends on it.
    return hashlib.md5(signed.encode(), usedforsecurity=False).hexdigest()
