"""The sandbox: the object that tests and the command line hold.

It connects the parts: `listener` takes requests, `service` judges them, `request_log` records them,
`callback_sender` calls back. It listens on loopback addresses only unless `allow_remote` is given, and
connects only to a callback address on this machine.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address

from . import callbacks
from .callback_sender import CallbackSender, CallbackSent
from .control import ControlPage
from .listener import Listener
from .media import MediaFolder
from .pictures import PictureServer
from .recordings import unlisted
from .request_log import Entry, RequestLog
from .service import SandboxService
from .settings import SandboxSettings, checked_receiver
from .snapshot_worker import SnapshotWorker


class Sandbox(SandboxService):
    """A local server that behaves as the documented API.

    The log and its counts, the tasks and the recordings belong to the object: they outlive `serve`, and
    serving again continues them. Real pictures do not: their folder is removed when serving ends.

    Raises:
        ValueError: the folder of media files cannot be served.
    """

    def __init__(self, settings: SandboxSettings | None = None) -> None:
        settings = settings or SandboxSettings()
        catalogue = None if settings.media is None else MediaFolder(settings.media)
        log = RequestLog(settings.keep_entries)
        super().__init__(settings, log, time.monotonic, time.time, catalogue)
        self._deliveries = CallbackSender(settings, self.tasks, self.clock, self.clock_s, log.wake)
        self.pictures = PictureServer(settings, self.tasks, log.wake)
        control = ControlPage(self, self._send, self._deliveries.sent)
        self._listener = Listener(self, control, self.pictures)
        self._address: tuple[str, int] | None = None

    @property
    def connections_made(self) -> int:
        """Connections since the sandbox was created."""
        return self._listener.connections_made

    @property
    def log(self) -> list[Entry]:
        """Every request, in the order of arrival."""
        return self.truth.entries

    @property
    def callback_url(self) -> str | None:
        """The address for callbacks about tasks that end from now on; may be set while serving."""
        return self._deliveries.url

    @callback_url.setter
    def callback_url(self, url: str | None) -> None:
        self._deliveries.url = None if url is None else checked_receiver(url)

    @property
    def callbacks(self) -> list[CallbackSent]:
        """Every callback, in the order of their answers."""
        return list(self._deliveries.sent)

    def advance(self, seconds: float) -> None:
        """Advance the clock of the tasks: tasks end, and callbacks and their retries fall due."""
        self.clock.advance(seconds)

    def send_record(self, vendor: str, file_id: str) -> None:
        """Send the callback that a recording was written, from the catalogue or made up.

        Raises:
            RuntimeError: there is no callback address, or the sandbox does not serve.
        """
        recording = self.recordings.find(vendor, file_id) or unlisted(vendor, file_id, int(time.time()))
        number = len(self._deliveries.sent)
        self._deliveries.post(callbacks.record(recording, vendor, f"record-{number}"), file_id)

    def send_procedure(self, file_id: str) -> None:
        """Send the callback that a file was transcoded.

        Raises:
            RuntimeError: there is no callback address, or the sandbox does not serve.
        """
        number = len(self._deliveries.sent)
        self._deliveries.post(callbacks.procedure(file_id, f"procedure-{number}"), file_id)

    def send_compose(self, file_id: str, code: str = "0", message: str = "success") -> None:
        """Send the callback that files were merged; the file id is Tencent's, or empty for another vendor.

        Raises:
            RuntimeError: there is no callback address, or the sandbox does not serve.
        """
        number = len(self._deliveries.sent)
        self._deliveries.post(callbacks.compose(file_id, f"compose-{number}", code, message), file_id)

    @property
    def url(self) -> str:
        """The address of the sandbox, as `http://127.0.0.1:PORT/`.

        Raises:
            RuntimeError: it does not serve.
        """
        if self._address is None:
            raise RuntimeError("the sandbox does not serve; enter `serve` first")
        host, port = self._address
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

    @asynccontextmanager
    async def serve(
        self, host: str = "127.0.0.1", port: int = 0, *, allow_remote: bool = False
    ) -> AsyncIterator[str]:
        """Serve while the context is entered; yield the URL. Port 0 takes a free one.

        Raises:
            ValueError: the host is not a loopback address and `allow_remote` is not set.
            OSError: the address is taken or not this machine's, or the log file cannot be opened.
            RuntimeError: it serves already.
        """
        if self._address is not None:
            raise RuntimeError(f"the sandbox serves already, at {self.url}")
        self._address = (_listening_host(host, allow_remote=allow_remote), port)
        try:
            if self.settings.log_path is not None:
                self.truth.open(self.settings.log_path)
            await self.start_listening()
            async with self._working():
                yield self.url
        finally:
            await self.stop_listening()
            self.truth.close()
            self._address = None

    @asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        """Take pictures and call back while the context is entered."""
        worker = SnapshotWorker(self.tasks) if self.settings.media is not None else None
        if worker is not None:
            self.pictures.folder, self._deliveries.take = worker.folder, worker.take
            self.tasks.on_forgotten = worker.forget
        await self._deliveries.start()
        try:
            yield
        finally:
            await self._deliveries.stop()
            if worker is not None:
                await worker.close()

    async def start_listening(self) -> None:
        """Listen (again), on the same port as before. Does nothing if it listens already.

        Raises:
            RuntimeError: it does not serve.
            OSError: another program has taken the port meanwhile.
        """
        if self._address is None:
            raise RuntimeError("the sandbox does not serve; enter `serve` first")
        self._address = await self._listener.start(*self._address)
        self.tasks.base_url = self.url

    async def stop_listening(self) -> None:
        """Close the listening socket and every connection, so that new ones are refused."""
        await self._listener.stop()

    async def wait_for(self, holds: Callable[[], bool], deadline_s: float = 10.0) -> None:
        """Wait until `holds` returns True; it is called again whenever a request is logged or answered.

        Raises:
            TimeoutError: it did not within `deadline_s` seconds.
        """
        await self.truth.wait_for(holds, deadline_s)

    def accepted(self) -> dict[str, Entry]:
        """Return the entry of each task, by task id."""
        return self.truth.accepted()

    def requests_for(self, file_id: str) -> list[Entry]:
        """Return the requests for one file, in the order of their arrival."""
        return self.truth.requests_for(file_id)

    def requests_of(self, action: str) -> list[Entry]:
        """Return the requests of one Action, in the order of their arrival."""
        return self.truth.requests_of(action)

    def max_in_any_second(self, action: str = "") -> int:
        """Return the most arrivals within any sliding second, of one Action or of all."""
        return self.truth.max_in_any_second(action)

    def _send(self, event: str, vendor: str, file_id: str) -> None:
        """Send the callback that the control page asked for."""
        if event == "record":
            self.send_record(vendor, file_id)
        elif event == "procedure":
            self.send_procedure(file_id)
        else:
            self.send_compose(file_id if vendor == "Tencent" else "")


def _listening_host(host: str, *, allow_remote: bool) -> str:
    """Return the address to listen on, refusing what other machines could reach."""
    address = "127.0.0.1" if host == "localhost" else host  # one address, so that port 0 is one port
    try:
        loopback = ip_address(address).is_loopback
    except ValueError:
        loopback = False
    if not loopback and not allow_remote:
        raise ValueError(
            f"host {host!r}: the sandbox listens on loopback addresses only, e.g. 127.0.0.1. "
            "It has no protection. Set allow_remote to open it to other machines."
        )
    return address
