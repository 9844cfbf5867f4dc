"""The simulated service: judges one request and logs the judgement.

`listener` passes each request here at the moment that counts as its arrival, and delivers the reply.
Nothing here waits or uses the network, so a request is judged and logged in one step.

The order, for each request:

1. an outage closes the connection, or answers with another fault of the front (`outage_fault`);
2. a fault at the front (`faults`) replaces everything below;
3. the gateway's checks (`validation`);
4. the rate limit (`rate_limit`), which counts only requests that passed the checks;
5. the fault of the account, if one is set;
6. a fault with a code of its own;
7. the parameters (`validation`, `search_media`, `task_reports`);
8. the marker of the file id (`magic_ids`), and in a folder of media files whether there is such a file;
9. a task is accepted, recordings are searched, or a task is queried;
10. the answer is written, possibly damaged by a fault. A requested fault outranks a marker's.

Each Action has its own rate limit and its own plan of faults.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random

from .clock import TaskClock
from .fault_plan import FaultPlan
from .faults import ActionFaults, Fault, FaultKind, Moment
from .magic_ids import MarkedFiles
from .rate_limit import limit_for
from .recordings import Catalogue, MadeUp
from .request_log import Entry, RequestLog
from .responses import Answers, Delivery, Judgement, Reply, html_reply
from .search_media import RecordingSearch, search_problem
from .settings import SandboxSettings
from .task_reports import task_problem, task_report
from .tasks import Tasks
from .validation import (
    ACTIONS,
    DESCRIBE_TASK,
    MEDIA_THUMBNAILS,
    SEARCH_MEDIA,
    Call,
    gateway_refusal,
    parameter_problem,
)

_SIGNATURE = re.compile(r"(?<=[?&]Signature=)[^&]*")


class SandboxService:
    """The documented behaviour of the three Actions, with a log of all requests."""

    def __init__(
        self,
        settings: SandboxSettings,
        log: RequestLog,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        catalogue: Catalogue | None = None,
    ) -> None:
        self.outage = False
        """Whether every connection is closed without an answer; may be set while serving."""
        self.outage_fault = Fault(FaultKind.DROP_BEFORE)
        """The fault of every call during an outage, a fault of the front; may be set while serving."""
        self.account_code = settings.account_code
        """The `Code` of every call that passes the gateway and the limit; may be set while serving."""
        self.settings = settings
        self.truth = log
        self._monotonic = monotonic
        self._wall = wall
        self._limits = {
            action: limit_for(settings.counting, settings.rate_per_s, count_refused=settings.count_refused)
            for action in ACTIONS
        }
        self._plans = {MEDIA_THUMBNAILS: FaultPlan(settings, Random(settings.seed))} | {
            action: FaultPlan(
                settings.faults.get(action, ActionFaults()), Random(f"{settings.seed} {action}"), action
            )
            for action in (SEARCH_MEDIA, DESCRIBE_TASK)
        }
        self._marked = MarkedFiles(settings.slow_ms) if settings.markers else None
        self._answers = Answers(settings)
        self.recordings = catalogue or MadeUp(settings.recordings, settings.seed, wall())
        """The recordings that SearchMedia finds."""
        self.clock = TaskClock(monotonic)
        self.tasks = Tasks(settings, self.recordings, self.clock, self.clock_s)
        """The tasks that were accepted."""
        self._search = RecordingSearch(self.recordings, settings.recordings, self._answers.uuid)

    def clock_s(self) -> float:
        """Return the service's wall clock in Unix seconds, which may be set wrong on purpose."""
        return self._wall() + self.settings.clock_offset_s

    def handle(self, method: str, target: str, body: bytes = b"") -> tuple[Entry, Reply]:
        """Judge a request that arrives now, log it, and return the reply; the body is that of a POST."""
        arrived_s = self._monotonic()
        path, _, query = target.partition("?")
        call = Call.parse(query, body)
        if self.outage:
            judgement = Judgement(code=None, fault=self.outage_fault)
            reply = self._answers.reply(judgement, self.truth.count + 1)
        elif path != "/" or method not in ("GET", "POST"):
            judgement, reply = Judgement(code=None), html_reply(404 if path != "/" else 405)
        else:
            judgement = self._judge(call, arrived_s)
            reply = self._answers.reply(judgement, self.truth.count + 1)
        entry = self._entry(call, target, arrived_s, judgement, reply)
        self.truth.add(entry)
        return entry, reply

    def _judge(self, call: Call, arrived_s: float) -> Judgement:
        """Carry one call through steps 2 to 9."""
        fault = self._fault_for(call)
        if fault is not None and fault.kind.moment is Moment.FRONT:
            return Judgement(code=None, fault=fault)
        refusal = gateway_refusal(call, self.settings, self.clock_s())
        if refusal is not None:
            return Judgement(code=refusal)
        if not self._limits[call.one("Action")].admit(arrived_s):
            return Judgement(code=self.settings.throttle_code, throttled=True)
        if self.account_code is not None:
            return Judgement(code=self.account_code)
        if fault is not None and fault.kind is FaultKind.CODE:
            return Judgement(code=fault.number, fault=fault)
        match call.one("Action"):
            case "SearchMedia":
                return self._search_media(call, fault)
            case "DescribeMediaTask":
                return self._describe_task(call, fault)
        return self._judge_parameters(call, fault, arrived_s)

    def _search_media(self, call: Call, fault: Fault | None) -> Judgement:
        problem = search_problem(call, self.settings.recordings.pages)
        if problem is not None:
            return Judgement(code=2, problem=problem, fault=fault)
        found = self._search.find(call, self.truth.count + 1)
        return Judgement(code=0, vendor=call.one("Vendor"), fault=fault, data=found.data, listed=found.listed)

    def _describe_task(self, call: Call, fault: Fault | None) -> Judgement:
        problem = task_problem(call)
        if problem is not None:
            return Judgement(code=2, problem=problem, fault=fault)
        vendor = call.one("Vendor")
        request_id = self._answers.uuid("vendor", self.truth.count + 1)
        data = task_report(self.tasks, call.one("TaskId"), vendor, request_id)
        if data is None:
            unknown = self.settings.tasks.unknown_code
            return Judgement(code=unknown, problem="task does not exist" if unknown else "", fault=fault)
        return Judgement(code=0, vendor=vendor, fault=fault, data=data)

    def _judge_parameters(self, call: Call, fault: Fault | None, arrived_s: float) -> Judgement:
        problem = parameter_problem(call)
        if problem is not None:
            return Judgement(code=2, problem=problem, fault=fault)
        vendor = call.one("Vendor")
        marked = self._marked.fault_for(vendor, call.one("FileId")) if self._marked else None
        if marked is not None and marked.kind is FaultKind.CODE:
            return Judgement(code=marked.number, fault=fault or marked)
        if self.settings.media is not None and not self.recordings.find(vendor, call.one("FileId")):
            return Judgement(code=1000, fault=fault)
        task_id = self._answers.task_id(vendor, self.truth.accepted_count)
        self.tasks.accept(task_id, call, arrived_s)
        return Judgement(code=0, vendor=vendor, task_id=task_id, fault=fault or marked)

    def _fault_for(self, call: Call) -> Fault | None:
        """Return the planned fault of a call. The probe, MediaThumbnails without FileId, has none."""
        action, file_id = call.one("Action"), call.one("FileId")
        if action == DESCRIBE_TASK:
            file_id = self.tasks.file_of(call.one("TaskId"))
        elif action != MEDIA_THUMBNAILS:
            file_id = ""
        if action not in self._plans or (action == MEDIA_THUMBNAILS and not file_id):
            return None
        return self._plans[action].next(file_id, call.one("Vendor"), call.one("Type"))

    def _entry(self, call: Call, target: str, arrived_s: float, judgement: Judgement, reply: Reply) -> Entry:
        silent = reply.delivery in (Delivery.CLOSED, Delivery.HELD)
        action = call.one("Action")
        fault = "outage" if self.outage else judgement.fault
        return Entry(
            number=self.truth.count + 1,
            arrived_s=arrived_s,
            arrived_at=datetime.fromtimestamp(self._wall(), UTC),
            action=action,
            vendor=call.one("Vendor"),
            file_id="" if action in (SEARCH_MEDIA, DESCRIBE_TASK) else call.one("FileId"),
            type=call.one("Type"),
            definition=call.given("Definition"),
            interval=call.given("Interval"),
            offsets=tuple(call.each("ExtTimeOffsetSet")),
            app_id=call.one("AppId"),
            nonce=call.one("SignatureNonce"),
            target=_SIGNATURE.sub("[hidden]", target),
            code=reply.code,
            status=None if silent else reply.status,
            fault=None if fault is None else str(fault),
            accepted=judgement.task_id is not None,
            task_id=judgement.task_id,
            throttled=judgement.throttled,
            asked_task_id=call.given("TaskId") if action == DESCRIBE_TASK else None,
            listed=judgement.listed,
        )
