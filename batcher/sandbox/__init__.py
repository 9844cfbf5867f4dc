"""A local server that behaves as the vendor's documented API, for rehearsals without an account or costs.

It judges each call by the vendor's documents, keeps a log of all requests, and simulates faults of services
and networks on request. It imports nothing from the rest of this project, so client and sandbox agree only
because both follow the documents.

    async with Sandbox(SandboxSettings(rate_per_s=20)).serve() as url: ...

`magic_ids` lists file ids with a meaning, `faults` the faults, `validation` the checks and their order,
`recordings` the recordings by rule, `media` those of a folder, `tasks` the states of tasks, `control` the
page for another terminal. The sandbox connects to no other machine, and on this machine only to the
callback address that it is given.
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
