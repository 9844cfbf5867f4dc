"""A real browser without a window, for tests that look at a page: Chromium, by its own protocol.

Called by tests; connects to the browser over a websocket on this machine. Requests of the page to the network
and messages of its console are recorded, so that a test can check that there are none.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")

START_S = 30.0

Json = dict[str, Any]


def browser() -> str | None:
    """Return the path of a browser, if there is one."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Tab:
    """One page of the browser.

    Attributes:
        asked: every address that was asked for, that of the page and those in it alike.
        complaints: what the page's console and the browser's log say.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._answers: dict[int, asyncio.Future[Json]] = {}
        self._loaded = asyncio.Event()
        self._number = 0
        self.asked: list[str] = []
        self.complaints: list[str] = []

    async def listen(self) -> None:
        """Read the messages of the browser until it ends."""
        async for message in self._socket:
            said: Json = json.loads(message.data)
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            else:
                self._note(said["method"], said.get("params", {}))

    def _note(self, method: str, params: Json) -> None:
        match method:
            case "Page.loadEventFired":
                self._loaded.set()
            case "Network.requestWillBeSent":
                self.asked.append(params["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(params["exceptionDetails"]))
            case "Log.entryAdded":
                self.complaints.append(params["entry"]["text"])
            case "Runtime.consoleAPICalled":
                self.complaints.append(str(params["args"]))

    async def command(self, method: str, **params: object) -> Json:
        """One command, and its result."""
        self._number += 1
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._answers[self._number] = answer
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        said = await asyncio.wait_for(answer, START_S)
        assert "error" not in said, said
        result: Json = said["result"]
        return result

    async def look_at(
        self, page: str, *, width: int = 1100, height: int = 900, dark: bool = False, script: bool = True
    ) -> None:
        """Open an address on a screen of this size."""
        for part in ("Page", "Network", "Runtime", "Log"):
            await self.command(f"{part}.enable")
        await self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.command("Emulation.setEmulatedMedia", features=[scheme])
        await self.command("Emulation.setScriptExecutionDisabled", value=not script)
        self._loaded.clear()
        await self.command("Page.navigate", url=page)
        await asyncio.wait_for(self._loaded.wait(), START_S)

    async def value(self, expression: str) -> Any:  # noqa: ANN401 - any value of the page's script
        """Return the value of a script in the page."""
        said = await self.command(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    async def picture(self, *, whole: bool = False) -> Image.Image:
        """Return a picture of the screen, or of the whole page."""
        said = await self.command("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return Image.open(io.BytesIO(base64.b64decode(said["data"]))).convert("RGB")

    async def printed(self) -> bytes:
        """The page as a PDF, on A4."""
        said = await self.command(
            "Page.printToPDF",
            printBackground=True,
            paperWidth=8.27,
            paperHeight=11.69,
            preferCSSPageSize=True,
        )
        return base64.b64decode(said["data"])


@asynccontextmanager
async def browsing(folder: Path) -> AsyncIterator[Tab]:
    """A browser with one page, that ends with the test.

    Args:
        folder: for what the browser keeps.
    """
    program = browser()
    assert program is not None
    own = folder / "browser"
    process = await asyncio.create_subprocess_exec(
        program,
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
        *("--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update"),
        *("--remote-debugging-address=127.0.0.1", "--remote-debugging-port=0", f"--user-data-dir={own}"),
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(START_S):
            address = await _address(process.stderr)
        ignoring = asyncio.create_task(_ignore(process.stderr))
        port = address.split(":")[2].split("/")[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                [page] = [one for one in await answer.json() if one["type"] == "page"]
            async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                tab = Tab(socket)
                listening = asyncio.create_task(tab.listen())
                yield tab
                listening.cancel()
        ignoring.cancel()
        await asyncio.gather(listening, ignoring, return_exceptions=True)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _address(stderr: asyncio.StreamReader) -> str:
    while line := (await stderr.readline()).decode(errors="replace"):
        if line.startswith("DevTools listening on "):
            return line.split()[-1]
    raise AssertionError("the browser ended before it could be spoken to")


async def _ignore(stderr: asyncio.StreamReader) -> None:
    while await stderr.readline():
        pass
