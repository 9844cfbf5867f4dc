"""The client of the service: one method for each call of its API.

Called by workers, the tracker, searches and probes. A method makes one request and returns its outcome; it
never sends twice, waits for a turn or decides what follows. :mod:`batcher.zego.transport` carries out the
request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from batcher.model.account import Account
from batcher.model.outcome import Answer, NotReported, Outcome, ReplyLost
from batcher.model.submission import FileId, Parameters, ReplyShape, TaskId, Vendor
from batcher.model.task import TaskReport
from batcher.zego import describe_task, search_media, wire
from batcher.zego.call_trace import CallTrace, Leg, Wire
from batcher.zego.transport import SIGNATURE_EXPIRED, Caller

__all__ = ["SIGNATURE_EXPIRED", "Account", "CallTrace", "Leg", "Wire", "ZegoClient"]


class ZegoClient(Caller):
    """The calls of one account at one endpoint."""

    async def submit(self, file_id: FileId, asked: Parameters, on_wire: Wire | None = None) -> Outcome:
        """Start one snapshot task: one request, signed now.

        Args:
            file_id: the recording.
            asked: the parameters of the task.
            on_wire: filled in with the time at which the request may have left.

        Source: ZEGO server API, "Start a snapshot task".
        """
        return await self._call(wire.encoded_call(file_id, asked), asked.vendor, on_wire or Wire())

    async def probe(
        self, may_leave: Callable[[], Awaitable[bool]] | None = None, *, seen: CallTrace | None = None
    ) -> Outcome:
        """Send the harmless call: code 2 means that credentials and endpoint are correct.

        Args:
            may_leave: asked just before the first byte.
            seen: filled in with the details of the call.
        """
        on_wire = Wire(may_leave, seen=seen, alone=True)
        return await self._call(wire.encoded(wire.harmless()), None, on_wire, self._probe_timeout)

    async def describe(
        self, task_id: TaskId, vendor: Vendor, on_wire: Wire | None = None
    ) -> TaskReport | NotReported:
        """Query one task: one request, which starts nothing and may be repeated.

        Args:
            task_id: from the answer to its submission.
            vendor: the vendor of the task.
            on_wire: filled in with the time at which the request may have left.

        Source: ZEGO server API, "Query the status of a media processing task" (DescribeMediaTask).
        """
        on_wire = on_wire or Wire()
        outcome = await self._call(describe_task.encoded_call(task_id, vendor), vendor, on_wire)
        if not isinstance(outcome, Answer) or outcome.code != 0:
            return outcome
        report = describe_task.read_report(on_wire.body, task_id, vendor)
        unread = "the answer has no readable part about this task"
        return report or ReplyLost(unread, outcome.http_status, ReplyShape.DATA)

    async def search(
        self, wanted: search_media.Search, on_wire: Wire | None = None
    ) -> search_media.SearchPage | NotReported:
        """Query one page of the recordings that exist: one request, which may be repeated.

        Args:
            wanted: the search, and its page.
            on_wire: filled in with the time at which the request may have left.

        Source: ZEGO server API, "Search media information" (SearchMedia).
        """
        on_wire = on_wire or Wire()
        on_wire.max_body_bytes = search_media.MAX_BODY_BYTES
        outcome = await self._call(wire.encoded(search_media.search_media(wanted)), None, on_wire)
        if not isinstance(outcome, Answer) or outcome.code != 0:
            return outcome
        page = search_media.read_page(on_wire.body, wanted.archive)
        unread = "the answer has no readable list of recordings"
        return page or ReplyLost(unread, outcome.http_status, ReplyShape.DATA)
