"""The control page: queries and commands for a running sandbox from another terminal, under `/_sandbox/`.

`listener` passes requests for these paths here. They are not part of the service: they are not logged, have
no fault and no limit, and work during a simulated outage.

    GET  /_sandbox/summary           counts, as one JSON object
    GET  /_sandbox/log?after=100     the log as JSON lines, after entry number 100 (default 0)
    POST /_sandbox/outage?on=true    begin an outage: every connection is closed without an answer
    POST /_sandbox/outage?on=false   end it
    GET  /_sandbox/callbacks         the callbacks that were sent, as JSON lines
    POST /_sandbox/callback?event=record&vendor=Huawei&file_id=/record/a.mp4
                                     send one: record, compose or procedure
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence

from aiohttp import web

from .callback_sender import CallbackSent
from .service import SandboxService

PREFIX = "/_sandbox/"
_HELP = (
    "GET /_sandbox/summary, GET /_sandbox/log?after=NUMBER, POST /_sandbox/outage?on=true or on=false, "
    "GET /_sandbox/callbacks, "
    "POST /_sandbox/callback?event=record, compose or procedure&vendor=NAME&file_id=ID\n"
)
_ENTRIES_PER_WRITE = 500


class ControlPage:
    """Answers the control requests of one sandbox."""

    def __init__(
        self,
        service: SandboxService,
        send: Callable[[str, str, str], None],
        callbacks: Collection[CallbackSent],
    ) -> None:
        self._service = service
        self._send = send
        self._callbacks = callbacks

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one control request."""
        match request.method, request.path.removeprefix(PREFIX):
            case "GET", "summary":
                return _json(self._service.truth.summary())
            case "GET", "log":
                return await self._entries(request)
            case "POST", "outage":
                return self._outage(request.query.get("on", ""))
            case "GET", "callbacks":
                return _lines([_fields(callback) for callback in self._callbacks])
            case "POST", "callback":
                return self._callback(request)
            case _:
                return web.Response(status=404, text=f"The control page has {_HELP}")

    async def _entries(self, request: web.BaseRequest) -> web.StreamResponse:
        """Write the log in portions, so that a long one does not delay other requests."""
        after = request.query.get("after", "0")
        if not (after.isascii() and after.isdigit()):
            return web.Response(status=400, text="after: give the number of an entry, e.g. after=100\n")
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson; charset=utf-8"})
        await response.prepare(request)
        entries = self._service.truth.after(int(after))
        for start in range(0, len(entries), _ENTRIES_PER_WRITE):
            portion = entries[start : start + _ENTRIES_PER_WRITE]
            lines = [json.dumps(entry.fields(), ensure_ascii=False) + "\n" for entry in portion]
            await response.write("".join(lines).encode(errors="backslashreplace"))
        return response

    def _callback(self, request: web.BaseRequest) -> web.Response:
        event, vendor, file_id = (request.query.get(name, "") for name in ("event", "vendor", "file_id"))
        if (
            event not in ("record", "compose", "procedure")
            or vendor not in ("Tencent", "Huawei")
            or not file_id
        ):
            text = (
                "callback: give event=record, compose or procedure, vendor=Tencent or Huawei, and file_id\n"
            )
            return web.Response(status=400, text=text)
        try:
            self._send(event, vendor, file_id)
        except RuntimeError as exc:
            return web.Response(status=409, text=f"{exc}\n")
        return _json({"callback": event})

    def _outage(self, on: str) -> web.Response:
        if on not in ("true", "false"):
            return web.Response(status=400, text="on: give true or false\n")
        self._service.outage = on == "true"
        return _json({"outage": on == "true"})


def _json(value: dict[str, object]) -> web.Response:
    return web.Response(text=json.dumps(value) + "\n", content_type="application/json")


def _fields(sent: CallbackSent) -> dict[str, object]:
    values: dict[str, object] = {name: getattr(sent, name) for name in sent.__slots__}
    return values | {"body": sent.body.decode(errors="backslashreplace")}


def _lines(values: Sequence[dict[str, object]]) -> web.Response:
    text = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
    return web.Response(text=text, content_type="application/x-ndjson")
