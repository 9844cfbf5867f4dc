"""A local stand-in for the vendor's API, to rehearse a manifest without an account and without cost.

It judges each call as the vendor's documents say, keeps a truth log of all that it saw, and can be told to
fail in the ways that real services and networks do. It imports nothing from the rest of this project, so
that client and sandbox agree only because both read the documents.

    async with Sandbox(SandboxSettings(rate_per_s=20)).serve() as url: ...

`markers` says which file ids have a meaning, `faults` what can go wrong, `rules` what is checked in which
order, `control` what another terminal can ask of it. It never reaches out to any other machine.
"""

from .faults import Fault, FaultKind, RequestSeen, parse_shares
from .server import Sandbox
from .settings import SANDBOX_APP_ID, SANDBOX_SERVER_SECRET, AnswerShape, Counting, SandboxSettings
from .truth import Entry

__all__ = [
    "SANDBOX_APP_ID",
    "SANDBOX_SERVER_SECRET",
    "AnswerShape",
    "Counting",
    "Entry",
    "Fault",
    "FaultKind",
    "RequestSeen",
    "Sandbox",
    "SandboxSettings",
    "parse_shares",
]
