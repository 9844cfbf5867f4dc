"""Starts the command line without importing it anew each time: a process that has it imported forks.

A fork is a process as real as any other: its own environment, folder, standard streams, signals and end.
It saves what a new interpreter spends on imports, on the tree of commands and on taking itself apart: 0.5 s
for each command. What depends on exactly these three is tested with new interpreters (`test_streams`,
`test_wheel`). Run as a script, this file is the process that forks.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import gc
import json
import os
import pkgutil
import selectors
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

_INT = struct.Struct("i")
_LIMIT = 2**24
_INHERITED = ("PATH", "HOME", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_PRELOAD", "FAKETIME")


class Clock(NamedTuple):
    """The clocks of a command: from a moment of the wall's clock on, seconds pass this many times as fast.

    What a command waits for by its own timers takes so much less time, and the command sees no difference.
    Commands that share a place on this machine, such as a ledger, need the same clock.
    """

    speed: float
    since_s: float


class ForkedProcess:
    """The part of :class:`asyncio.subprocess.Process` that tests need, for a forked process."""

    def __init__(
        self,
        pid: int,
        stdin: asyncio.StreamWriter,
        stdout: asyncio.StreamReader,
        stderr: asyncio.StreamReader,
        ending: asyncio.Task[int],
    ) -> None:
        self.pid = pid
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self._ending = ending

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._ending.result() if self._ending.done() else None

    async def wait(self) -> int:
        """Wait for the end."""
        return await asyncio.shield(self._ending)

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if not self._ending.done():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(9)

    async def communicate(self, stdin: bytes | None = None) -> tuple[bytes, bytes]:
        """Write to it, then read all that it says until it ends."""
        out, err, _ = await asyncio.gather(self.stdout.read(), self.stderr.read(), self._feed(stdin))
        await self.wait()
        return out, err

    async def _feed(self, stdin: bytes | None) -> None:
        try:
            if stdin:
                self.stdin.write(stdin)
                await self.stdin.drain()
            self.stdin.close()
            await self.stdin.wait_closed()
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended without reading


class Forker:
    """The process that has the command line imported."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name) / "socket"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._path))
        listener.listen()
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(listener.fileno())],
            pass_fds=[listener.fileno()],
            env={name: os.environ[name] for name in _INHERITED if name in os.environ} | {"LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        listener.close()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    async def start(
        self,
        args: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        clock: Clock | None = None,
        constants: Mapping[str, float | str] | None = None,
    ) -> ForkedProcess:
        """Start ``batcher`` with these arguments, and with a clock that may be faster than the machine's.

        Constants, each named ``module:NAME``, have other values in this process than the program gives them.
        """
        loop = asyncio.get_running_loop()
        theirs_in, our_in = os.pipe()
        our_out, theirs_out = os.pipe()
        our_err, theirs_err = os.pipe()
        asked = json.dumps(
            {
                "args": list(args),
                "cwd": str(cwd),
                "env": dict(env),
                "clock": clock,
                "constants": dict(constants or {}),
            }
        ).encode()
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self._path))
        socket.send_fds(connection, [asked], [theirs_in, theirs_out, theirs_err])
        for descriptor in (theirs_in, theirs_out, theirs_err):
            os.close(descriptor)
        connection.setblocking(False)
        pid = _INT.unpack(await loop.sock_recv(connection, _INT.size))[0]
        return ForkedProcess(
            pid,
            await _writer(our_in),
            await _reader(our_out),
            await _reader(our_err),
            asyncio.create_task(_ending(connection), name=f"ending-of-{pid}"),
        )


async def _ending(connection: socket.socket) -> int:
    with connection:
        received = await asyncio.get_running_loop().sock_recv(connection, _INT.size)
    return int(_INT.unpack(received)[0])


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=_LIMIT)
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(descriptor, "rb", 0))
    return reader


async def _writer(descriptor: int) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(descriptor, "wb", 0)
    )
    return asyncio.StreamWriter(transport, protocol, None, loop)


# -- the process that forks ------------------------------------------------------------------------


def _serve(listener: socket.socket, clocks: _Clocks) -> None:
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _mind(connection, clocks)
            return
        connection.close()
        while True:  # minders that have ended
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                break


def _mind(connection: socket.socket, clocks: _Clocks) -> None:
    """Fork the command line, and say its process id and how it ended."""
    asked, descriptors, _, _ = socket.recv_fds(connection, _LIMIT, 3)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(json.loads(asked), descriptors, clocks)
    for descriptor in descriptors:
        os.close(descriptor)
    connection.sendall(_INT.pack(pid))
    status = os.waitpid(pid, 0)[1]
    try:
        connection.sendall(_INT.pack(os.waitstatus_to_exitcode(status)))
    finally:
        os._exit(0)


def _become(asked: dict[str, object], descriptors: list[int], clocks: _Clocks) -> NoReturn:
    """Be the command line: what a new interpreter would have done, its main, and an interpreter's end."""
    for standard, descriptor in enumerate(descriptors):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    sys.stdin = os.fdopen(0, "r", encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
    os.chdir(str(asked["cwd"]))
    os.environ.clear()
    env, args = asked["env"], asked["args"]
    assert isinstance(env, dict)
    assert isinstance(args, list)
    os.environ.update(env)
    time.tzset()
    if asked["clock"]:
        clocks.hurry(Clock(*asked["clock"]))  # type: ignore[misc] # out of JSON
    sys.argv = ["batcher", *args]
    constants = asked["constants"]
    assert isinstance(constants, dict)
    for place, value in constants.items():
        module, name = place.split(":")
        was = getattr(import_module(module), name)
        setattr(import_module(module), name, type(was)(value))
    from batcher.cli import main

    code: object = 1
    try:
        main()  # always ends by SystemExit
    except SystemExit as exc:
        code = exc.code or 0
    except BaseException:  # shown as an interpreter shows it
        sys.excepthook(*sys.exc_info())
    os._exit(_shut_down(code if isinstance(code, int) else 1))


class _Clocks:
    """The clocks of a forked command, put in place before anything is imported that keeps one."""

    def __init__(self) -> None:
        self._monotonic, self._wall, self._sleep = time.monotonic, time.time, time.sleep
        self._select = selectors.DefaultSelector.select
        self._speed, self._since_s = 1.0, 0.0
        time.monotonic = lambda: self._monotonic() * self._speed
        time.time = lambda: self._since_s + (self._wall() - self._since_s) * self._speed
        time.sleep = lambda seconds: self._sleep(float(seconds) / self._speed)

    def hurry(self, clock: Clock) -> None:
        """Let the clocks of this process, and the timers of its event loop, run faster from now on."""
        self._speed, self._since_s = clock.speed, clock.since_s

        def select(selector: Any, timeout: float | None = None) -> Any:  # noqa: ANN401 - the selector's own
            return self._select(selector, None if timeout is None else timeout / self._speed)

        selectors.DefaultSelector.select = select  # type: ignore[method-assign, assignment]


def _shut_down(code: int) -> int:
    """Do what an interpreter does at its end that others can see, and return the exit code."""
    threading._shutdown()  # type: ignore[attr-defined] # waits for all threads that are no daemons
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError:
        code = 120
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    return code


def _import_all() -> None:
    """Import what any command imports, and build the tree of commands."""
    import typer.main

    import batcher

    for module in pkgutil.walk_packages(batcher.__path__, "batcher."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    for name in ("aiosqlite", "sqlalchemy.dialects.sqlite.aiosqlite", "encodings.idna"):
        import_module(name)
    built = typer.main.get_command(import_module("batcher.cli.app").app)
    typer.main.get_command = lambda typer_instance: built  # noqa: ARG005 - called by name or by place
    gc.collect()
    gc.freeze()  # a fork that collects touches no memory that it shares


if __name__ == "__main__":
    own_clocks = _Clocks()
    _import_all()
    _serve(socket.socket(fileno=int(sys.argv[1])), own_clocks)
