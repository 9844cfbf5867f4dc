"""The service that the sandbox stands in for: judges one request and logs the judgement.

Where it stands: `server` hands it each request at the moment that counts as its arrival, and delivers the
reply that comes back. Nothing here waits or touches the network, so a request is judged and logged in one
step.

The order, for each request:

1. an outage closes the connection;
2. a fault at the front (`faults`) takes the place of everything below;
3. the gateway's checks (`rules`);
4. the rate limit (`limits`), counting only what passed so far;
5. the fault of the account, if one is set;
6. a fault with a code of its own;
7. the parameters (`rules`);
8. the marker of the file id (`markers`);
9. a task is accepted;
10. the answer is written, or spoilt by a fault. A fault that was asked for outranks a marker's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random

from .answers import Answers, Delivery, Judgement, Reply, html_reply
from .faults import Fault, FaultKind, Moment
from .limits import limit_for
from .markers import MarkedFiles
from .plan import FaultPlan
from .rules import MEDIA_THUMBNAILS, Call, gateway_refusal, parameter_problem
from .settings import SandboxSettings
from .truth import Entry, TruthLog

_SIGNATURE = re.compile(r"(?<=[?&]Signature=)[^&]*")
_OUTAGE = Judgement(code=None, fault=Fault(FaultKind.DROP_BEFORE))


class Service:
    """The documented behaviour of MediaThumbnails, with a truth log."""

    def __init__(
        self,
        settings: SandboxSettings,
        log: TruthLog,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.outage = False
        self.account_code = settings.account_code
        self._settings = settings
        self._log = log
        self._monotonic = monotonic
        self._wall = wall
        self._limit = limit_for(settings.counting, settings.rate_per_s, count_refused=settings.count_refused)
        self._plan = FaultPlan(settings, Random(settings.seed))
        self._marked = MarkedFiles(settings.slow_ms) if settings.markers else None
        self._answers = Answers(settings)

    def clock_s(self) -> float:
        """Give the service's wall clock in Unix seconds, which may be set wrong on purpose."""
        return self._wall() + self._settings.clock_offset_s

    def serve(self, method: str, target: str) -> tuple[Entry, Reply]:
        """Judge a request that arrives now, log it, and give the reply that is due."""
        arrived_s = self._monotonic()
        path, _, query = target.partition("?")
        call = Call.parse(query)
        if self.outage:
            judgement, reply = _OUTAGE, Reply(Delivery.CLOSED)
        elif path != "/" or method != "GET":
            judgement, reply = Judgement(code=None), html_reply(404 if path != "/" else 405)
        else:
            judgement = self._judge(call, arrived_s)
            reply = self._answers.reply(judgement, self._log.count + 1)
        entry = self._entry(call, target, arrived_s, judgement, reply)
        self._log.add(entry)
        return entry, reply

    def _judge(self, call: Call, arrived_s: float) -> Judgement:
        """Carry one call through steps 2 to 9."""
        fault = self._fault_for(call)
        if fault is not None and fault.kind.moment is Moment.FRONT:
            return Judgement(code=None, fault=fault)
        refusal = gateway_refusal(call, self._settings, self.clock_s())
        if refusal is not None:
            return Judgement(code=refusal)
        if not self._limit.admit(arrived_s):
            return Judgement(code=self._settings.throttle_code, throttled=True)
        if self.account_code is not None:
            return Judgement(code=self.account_code)
        if fault is not None and fault.kind is FaultKind.CODE:
            return Judgement(code=fault.number, fault=fault)
        return self._judge_parameters(call, fault)

    def _judge_parameters(self, call: Call, fault: Fault | None) -> Judgement:
        problem = parameter_problem(call)
        if problem is not None:
            return Judgement(code=2, problem=problem, fault=fault)
        vendor = call.one("Vendor")
        marked = self._marked.fault_for(vendor, call.one("FileId")) if self._marked else None
        if marked is not None and marked.kind is FaultKind.CODE:
            return Judgement(code=marked.number, fault=fault or marked)
        task_id = self._answers.task_id(vendor, self._log.accepted_count)
        return Judgement(code=0, vendor=vendor, task_id=task_id, fault=fault or marked)

    def _fault_for(self, call: Call) -> Fault | None:
        """Ask the plan about submissions only: a probe, which has no FileId, meets no fault."""
        file_id = call.one("FileId")
        if not file_id or call.one("Action") != MEDIA_THUMBNAILS:
            return None
        return self._plan.next(file_id, call.one("Vendor"), call.one("Type"))

    def _entry(self, call: Call, target: str, arrived_s: float, judgement: Judgement, reply: Reply) -> Entry:
        silent = reply.delivery in (Delivery.CLOSED, Delivery.HELD)
        fault = "outage" if judgement is _OUTAGE else judgement.fault
        return Entry(
            number=self._log.count + 1,
            arrived_s=arrived_s,
            arrived_at=datetime.fromtimestamp(self._wall(), UTC),
            action=call.one("Action"),
            vendor=call.one("Vendor"),
            file_id=call.one("FileId"),
            type=call.one("Type"),
            definition=call.given("Definition"),
            interval=call.given("Interval"),
            offsets=tuple(call.each("ExtTimeOffsetSet[]")),
            app_id=call.one("AppId"),
            nonce=call.one("SignatureNonce"),
            target=_SIGNATURE.sub("[hidden]", target),
            code=reply.code,
            status=None if silent else reply.status,
            fault=None if fault is None else str(fault),
            accepted=judgement.task_id is not None,
            task_id=judgement.task_id,
            throttled=judgement.throttled,
        )
