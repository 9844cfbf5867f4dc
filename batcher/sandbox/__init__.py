"""A local stand-in for the vendor's API, to rehearse a manifest without an account and without cost.

It judges each call as the vendor's documents say, keeps a truth log of all that it saw, and can be told to
fail in the ways that real services and networks do. It imports nothing from the rest of this project, so
that client and sandbox agree only because both read the documents.

    async with Sandbox(SandboxSettings(rate_per_s=20)).serve() as url: ...

`magic_ids` says which file ids have a meaning, `faults` what can go wrong, `validation` what is checked in
which order, `recordings` which recordings there are by rule and `media` which in a folder, `tasks` what
becomes of a task, `control` what another terminal can ask of it. It reaches out to no other machine, and on
this one only to the callback address that it is given.
"""

from .callback_sender import CallbackSent
from .fault_shares import CALLBACK, PLACES, parse_faults, parse_shares
from .faults import ActionFaults, CallbackFault, Fault, FaultKind, PictureFault, RequestSeen
from .media import MediaPackageMissing
from .recordings import SandboxRecording
from .request_log import Entry
from .server import Sandbox
from .settings import (
    SANDBOX_APP_ID,
    SANDBOX_CALLBACK_SECRET,
    SANDBOX_SERVER_SECRET,
    CallbackSettings,
    RecordingSettings,
    SandboxSettings,
    TaskSettings,
)
from .tasks import SandboxTask
from .variants import AnswerShape, CallbackBody, Counting, Fate, PageNumbering, WalkEnd

__all__ = [
    "CALLBACK",
    "PLACES",
    "SANDBOX_APP_ID",
    "SANDBOX_CALLBACK_SECRET",
    "SANDBOX_SERVER_SECRET",
    "ActionFaults",
    "AnswerShape",
    "CallbackBody",
    "CallbackFault",
    "CallbackSent",
    "CallbackSettings",
    "Counting",
    "Entry",
    "Fate",
    "Fault",
    "FaultKind",
    "MediaPackageMissing",
    "PageNumbering",
    "PictureFault",
    "RecordingSettings",
    "RequestSeen",
    "Sandbox",
    "SandboxRecording",
    "SandboxSettings",
    "SandboxTask",
    "TaskSettings",
    "WalkEnd",
    "parse_faults",
    "parse_shares",
]
