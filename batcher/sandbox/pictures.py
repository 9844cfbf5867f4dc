"""The pictures of tasks over HTTP, under `/_pictures/`.

`listener` passes requests for these paths here. A path is never a path on disk: it names a task and a
number, and only pictures that a task has made exist. Like the control page they are not logged, because the
log is about the API, and have no rate limit; `asked` holds the latest requests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from .demo_picture import mosaic, plain
from .faults import PictureFault
from .settings import SandboxSettings
from .tasks import SandboxTask, Tasks

PREFIX = "/_pictures/"
_KEPT = 100_000
_JPEG = "image/jpeg"
_PORTION = b"\xff\xd8" + bytes(65534)


class PictureServer:
    """Answers the requests for pictures of one sandbox."""

    def __init__(self, settings: SandboxSettings, tasks: Tasks, wake: Callable[[], None]) -> None:
        self.asked: deque[tuple[str, int]] = deque(maxlen=_KEPT)
        """Task id and number of each picture that was requested."""
        self.folder: Path | None = None
        """The folder of real pictures, while there is one."""
        self._faults = settings.picture_faults
        self._real = settings.media is not None
        self._tasks = tasks
        self._wake = wake

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request for a picture."""
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, text="Use GET for pictures.\n")
        found = self._tasks.picture_at(request.path.removeprefix(PREFIX))
        if found is None:
            return web.Response(status=404, text="There is no such picture.\n")
        task, number = found
        self.asked.append((task.task_id, number))
        self._wake()
        fault = self._faults.get(task.file_id)
        if fault in (PictureFault.CUT, PictureFault.ENDLESS):
            return await self._damaged(request, fault, self._jpeg(task, number))
        return self._whole(fault, self._jpeg(task, number))

    def _whole(self, fault: PictureFault | None, jpeg: bytes) -> web.Response:
        match fault:
            case PictureFault.MISSING:
                return web.Response(status=404, text="There is no such picture any more.\n")
            case PictureFault.BUSY:
                return web.Response(status=503, headers={"Retry-After": "1"})
            case PictureFault.BLACK:
                jpeg = plain(0)
            case PictureFault.WHITE:
                jpeg = plain(255)
            case PictureFault.HTML:
                return web.Response(text="<html><body>Please log in.</body></html>", content_type="text/html")
            case PictureFault.REDIRECT:
                return web.Response(status=302, headers={"Location": "http://pictures.example/0001.jpg"})
        return web.Response(body=jpeg, content_type=_JPEG)

    async def _damaged(
        self, request: web.BaseRequest, fault: PictureFault, jpeg: bytes
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": _JPEG})
        if fault is PictureFault.CUT:
            response.content_length = len(jpeg)
        with suppress(ConnectionError):
            await response.prepare(request)
            await response.write(jpeg[: len(jpeg) // 2])
            while fault is PictureFault.ENDLESS:
                await response.write(_PORTION)
        request.protocol.force_close()
        return response

    def _jpeg(self, task: SandboxTask, number: int) -> bytes:
        if self._real and self.folder is not None:
            return (self.folder / picture_name(task.task_id, number)).read_bytes()
        return mosaic(f"{task.task_id} {number}")


def picture_name(task_id: str, number: int) -> str:
    """Return the file name of a picture."""
    return f"{task_id}-{number:04d}.jpg"
