"""The service's client: what can be asked of it, each by one call.

Between the flow and the wire. It never sends anything twice, never waits for a turn, and never decides what
to do next; how a call goes is the matter of :mod:`batcher.zego.transport`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from batcher.model.outcome import Answer, NotReported, Outcome, ReplyLost
from batcher.model.submission import FileId, Parameters, ReplyShape, TaskId, Vendor
from batcher.model.task import TaskReport
from batcher.zego import describe_task, search_media, wire
from batcher.zego.call_trace import CallTrace, Leg, Wire
from batcher.zego.transport import SIGNATURE_EXPIRED, Account, Caller

__all__ = ["SIGNATURE_EXPIRED", "Account", "CallTrace", "Leg", "Wire", "ZegoClient"]


class ZegoClient(Caller):
    """Calls of one account at one endpoint, by what they ask for."""

    async def submit(self, file_id: FileId, asked: Parameters, on_wire: Wire | None = None) -> Outcome:
        """Ask for one snapshot task: one request, signed now.

        Args:
            file_id: the recording.
            asked: what is asked of it.
            on_wire: filled in with when the request may have left.

        Source: ZEGO server API, "Start a snapshot task".
        """
        return await self._call(wire.encoded_call(file_id, asked), asked.vendor, on_wire or Wire())

    async def probe(
        self, may_leave: Callable[[], Awaitable[bool]] | None = None, *, seen: CallTrace | None = None
    ) -> Outcome:
        """Make the harmless call: code 2 means that credentials and endpoint are well.

        Args:
            may_leave: asked just before its first byte.
            seen: filled in with what was met on the way.
        """
        on_wire = Wire(may_leave, seen=seen, alone=True)
        return await self._call(wire.encoded(wire.harmless()), None, on_wire, self._probe_timeout)

    async def describe(
        self, task_id: TaskId, vendor: Vendor, on_wire: Wire | None = None
    ) -> TaskReport | NotReported:
        """Ask what has become of one task: one request, which starts nothing and may be made again.

        Args:
            task_id: as the answer to its submission named it.
            vendor: whose task it is.
            on_wire: filled in with when the request may have left.

        Source: ZEGO server API, "Query the status of a media processing task" (DescribeMediaTask).
        """
        on_wire = on_wire or Wire()
        outcome = await self._call(describe_task.encoded_call(task_id, vendor), vendor, on_wire)
        if not isinstance(outcome, Answer) or outcome.code != 0:
            return outcome
        report = describe_task.read_report(on_wire.body, task_id, vendor)
        unread = "the answer says nothing readable of this task"
        return report or ReplyLost(unread, outcome.http_status, ReplyShape.DATA)

    async def search(
        self, wanted: search_media.Search, on_wire: Wire | None = None
    ) -> search_media.SearchPage | NotReported:
        """Ask for one page of the recordings that exist: one request, which may be made again.

        Args:
            wanted: what is looked for, and which page of it.
            on_wire: filled in with when the request may have left.

        Source: ZEGO server API, "Search media information" (SearchMedia).
        """
        on_wire = on_wire or Wire()
        on_wire.max_body_bytes = search_media.MAX_BODY_BYTES
        outcome = await self._call(wire.encoded(search_media.search_media(wanted)), None, on_wire)
        if not isinstance(outcome, Answer) or outcome.code != 0:
            return outcome
        page = search_media.read_page(on_wire.body, wanted.archive)
        unread = "the answer holds no readable list of recordings"
        return page or ReplyLost(unread, outcome.http_status, ReplyShape.DATA)
