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
from typing import NoReturn

import typer.main

import batcher

_INT = struct.Struct("i")
_LIMIT = 2**24
_INHERITED = ("PATH", "HOME", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV")


class ForkedProcess:
    """What tests need of :class:`asyncio.subprocess.Process`, for a process that somebody else has forked."""

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

    async def start(self, args: Sequence[str], cwd: Path, env: Mapping[str, str]) -> ForkedProcess:
        """Start ``batcher`` with these arguments."""
        loop = asyncio.get_running_loop()
        theirs_in, our_in = os.pipe()
        our_out, theirs_out = os.pipe()
        our_err, theirs_err = os.pipe()
        asked = json.dumps({"args": list(args), "cwd": str(cwd), "env": dict(env)}).encode()
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


def _serve(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _mind(connection)
            return
        connection.close()
        while True:  # minders that have ended
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                break


def _mind(connection: socket.socket) -> None:
    """Fork the command line, and say its process id and how it ended."""
    asked, descriptors, _, _ = socket.recv_fds(connection, _LIMIT, 3)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(json.loads(asked), descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    connection.sendall(_INT.pack(pid))
    status = os.waitpid(pid, 0)[1]
    try:
        connection.sendall(_INT.pack(os.waitstatus_to_exitcode(status)))
    finally:
        os._exit(0)


def _become(asked: dict[str, object], descriptors: list[int]) -> NoReturn:
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
    sys.argv = ["batcher", *args]
    from batcher.cli import main

    code: object = 1
    try:
        main()  # always ends by SystemExit
    except SystemExit as exc:
        code = exc.code or 0
    except BaseException:  # noqa: BLE001 - shown as an interpreter shows it
        sys.excepthook(*sys.exc_info())
    os._exit(_shut_down(code if isinstance(code, int) else 1))


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
    for module in pkgutil.walk_packages(batcher.__path__, "batcher."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    for name in ("aiosqlite", "sqlalchemy.dialects.sqlite.aiosqlite", "uvloop", "encodings.idna"):
        import_module(name)
    built = typer.main.get_command(import_module("batcher.cli.app").app)
    typer.main.get_command = lambda _: built
    gc.collect()
    gc.freeze()  # a fork that collects touches no memory that it shares


if __name__ == "__main__":
    _import_all()
    _serve(socket.socket(fileno=int(sys.argv[1])))
