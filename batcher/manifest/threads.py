"""Blocking reads in a thread, so that the event loop stays free.

Called by loading, by checks of ids and by exports for every read of a manifest.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")

_T = TypeVar("_T")


async def in_thread(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run a blocking function in a thread that the process does not wait for when it ends.

    A read from a terminal or a pipe cannot be interrupted, and a stopped run must not hang on it.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def resolve(result: _T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type] # None only where the function returns it

    def call() -> None:
        try:
            result, error = function(*args, **kwargs), None
        except BaseException as exc:
            result, error = None, exc
        with contextlib.suppress(RuntimeError):  # the loop has closed: the result is not needed
            loop.call_soon_threadsafe(resolve, result, error)

    threading.Thread(target=call, name="manifest-reader", daemon=True).start()
    return await done
