"""``batcher fetch`` and servers, pictures and names that are hostile."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.cli import Cli, Done
from support.hostile_pictures import (
    RGBA,
    animated,
    chunk,
    drawn,
    exif,
    many_chunks,
    png,
    with_scans,
    with_segment,
    with_size,
    zeros,
)
from support.ledger_place import copy_ledger, empty_ledger
from support.ledger_sql import query, storable
from support.pictured import PictureServer, finished, image, keep_tasks

from batcher.fetch.address_guard import AddressGuard
from batcher.fetch.fetcher import Fetcher
from batcher.fetch.http_source import PictureSource
from batcher.fetch.settings import FetchSettings
from batcher.ledger.pictures import PictureLedger
from batcher.model.picture_limits import MAX_PARTS, MAX_SCANS

QUIET = ("--progress", "none")

MOST_MIB = 150

MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[2:])
_, status, used = os.wait4(process.pid, 0)
open(sys.argv[1], "w").write(str(used.ru_maxrss >> (10 if sys.platform == "linux" else 20)))
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Runs a command and writes down the most MiB that it took. It is small: its own size does not count."""


def states(cli: Cli) -> list[tuple[str | None, str | None]]:
    """State and reason of each picture, in order."""
    return query(
        cli.folder / "batcher.db", "SELECT state, error FROM pictures ORDER BY submission_id, number"
    )


def index(cli: Cli) -> list[dict[str, str]]:
    """The rows of the index."""
    text = (cli.folder / "out" / "pictures.csv").read_bytes().decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def measured(cli: Cli) -> tuple[Done, int]:
    """Fetch in a process of its own; return its end, and the most MiB that it took."""
    used = cli.folder / "used"
    command = [sys.executable, "-m", "batcher", "fetch", "-o", "out", "--json", *QUIET]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-S", "-c", MEASURE, str(used), *command],
        cwd=cli.folder,
        env=cli.env,
        capture_output=True,
        text=True,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr), int(used.read_text())


# -- pictures ------------------------------------------------------------------------------------------


def large_webp() -> bytes:
    """A WebP that claims 8K in its header."""
    whole = drawn("WEBP", (64, 48), lossless=True)
    at = whole.index(b"VP8L") + 9
    sides = int.from_bytes(whole[at : at + 4], "little") >> 28 << 28 | (7680 - 1) | (4320 - 1) << 14
    return whole[:at] + sides.to_bytes(4, "little") + whole[at + 4 :]


def broken_pictures() -> dict[str, tuple[bytes, str]]:
    """Bodies that are no usable picture, and words of the reason."""
    jpeg, many = image(), MAX_PARTS + 1
    size, parts, other = "million pixels", "more than 10,000 parts", "not a JPEG, PNG or WebP"
    return {
        "one column of 39 million": (png(1, 39_000_000), size),
        "one row of 39 million": (png(39_000_000, 1), size),
        "a large header": (png(65_500, 65_500, data=b""), size),
        "a JPEG with a large header": (with_size(jpeg, 65_500, 65_500), size),
        "a JPEG of long rows": (with_size(jpeg, 65_500, 600), size),
        "a large WebP": (large_webp(), "256 MiB of memory"),
        "a long profile": (png(64, 48, extra=[chunk(b"iCCP", b"x\0\0" + zeros(300 << 20))]), "decoded"),
        "a long text": (png(64, 48, extra=[chunk(b"zTXt", b"x\0\0" + zeros(300 << 20))]), "decoded"),
        "long texts": (png(64, 48, extra=[chunk(b"zTXt", b"x\0\0" + zeros(1 << 20))] * 100), "decoded"),
        "many chunks": (png(64, 48, extra=many_chunks(400_000)), parts),
        "many segments": (jpeg[:2] + b"\xff\xe1\0\2" * 1_000_000 + jpeg[2:], parts),
        "many comments": (jpeg[:2] + b"\xff\xfe\0\2" * many + jpeg[2:], parts),
        "many markers": (jpeg[:2] + b"\xff\xd0" * 1_000_000 + jpeg[2:], parts),
        "padding": (jpeg[:2] + b"\xff" * 2_000_000 + jpeg[2:], parts),
        "nothing but padding": (jpeg[:2] + b"\xff" * 2_000_000, parts),
        "junk between segments": (with_segment(jpeg, 0xFE, b"x")[:7] + b"\0" * 2_000_000 + jpeg[2:], parts),
        "many scans": (with_scans(drawn("JPEG", (64, 48), progressive=True), MAX_SCANS), "100 scans"),
        "cut": (drawn("JPEG", (640, 480))[:-300], "cut off"),
        "empty": (b"", "empty"),
        "a page": (b"<!doctype html><title>Log in</title>", other),
        "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", other),
        "GIF": (animated("GIF", 50), other),
        "TIFF": (drawn("TIFF", (64, 48)), other),
        "BMP": (drawn("BMP", (64, 48)), other),
        "ICO": (drawn("ICO", (64, 48)), other),
        "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 \0\0\0\0jp2 ", other),
        "no pixels": (png(0, 0), other),
    }


def usable_pictures() -> dict[str, bytes]:
    """Unusual bodies that are pictures."""
    jpeg = image()
    return {
        "one pixel": image((9, 9, 9), size=(1, 1)),
        "data for a gigabyte": png(64, 48, data=zeros(1 << 30)),
        "frames of a WebP": animated("WEBP", 300),
        "frames of a PNG": animated("PNG", 300),
        "EXIF with long entries": with_segment(jpeg, 0xE1, exif(3_000)),
        "EXIF with loops": with_segment(jpeg, 0xE1, exif(3_000, count=1, kind=4)),
        "EXIF in a PNG": png(64, 48, extra=[chunk(b"eXIf", exif(60_000)[6:])]),
        "a bad list of pictures": with_segment(jpeg, 0xE2, b"MPF\0nothing"),
        "4K": png(3840, 2160, RGBA),
        "8K": drawn("JPEG", (7680, 4320)),
    }


async def test_hostile_picture_is_broken_with_bounded_memory(cli: Cli, server: PictureServer) -> None:
    """Every one is requested once, has a reason, and the command takes less than 150 MiB for all of them."""
    hostile = broken_pictures()
    urls = [server.add(f"/{n}", body) for n, (body, _) in enumerate(hostile.values())]
    keep_tasks(cli.folder / "batcher.db", [finished("7", *urls, server.add("/good"))])
    done, mib = await measured(cli)
    assert (done.code, mib < MOST_MIB) == (1, True), (done.stderr, mib)
    found = states(cli)
    wrong = {
        name: got
        for (name, (_, words)), got in zip(hostile.items(), found, strict=False)
        if got[0] != "broken" or words not in (got[1] or "")
    }
    assert (wrong, found[-1]) == ({}, ("whole", None))
    assert set(server.times.values()) == {1}
    assert "arning" not in done.stderr


async def test_unusual_picture_is_kept_with_bounded_memory(cli: Cli, server: PictureServer) -> None:
    """Metadata is ignored, of many frames only the first is decoded, and nothing of it is on stderr."""
    unusual = usable_pictures()
    urls = [server.add(f"/{n}", body) for n, body in enumerate(unusual.values())]
    keep_tasks(cli.folder / "batcher.db", [finished("7", *urls)])
    done, mib = await measured(cli)
    assert (done.code, mib < MOST_MIB) == (0, True), (done.stderr, mib)
    found = dict(zip(unusual, states(cli), strict=True))
    assert {name: got for name, got in found.items() if got[0] not in ("whole", "black", "blank")} == {}
    assert "arning" not in done.stderr


# -- servers -------------------------------------------------------------------------------------------

PICTURE = image()
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
FOUND = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "


def with_length(n: int | str, body: bytes = PICTURE, more: bytes = b"") -> bytes:
    """An answer that announces a length."""
    return OK + b"Content-Length: %s\r\n" % str(n).encode() + more + b"\r\n" + body


ANSWERS: dict[str, tuple[bytes, bytes, str | None]] = {
    "/headers": (OK, b"X: " + b"a" * 4_000 + b"\r\n", None),
    "/short-headers": (OK, b"a:b\r\n" * 10_000, None),
    "/one-header": (OK + b"X: ", b"a" * 65_536, None),
    "/reason": (b"HTTP/1.1 200 ", b"a" * 65_536, None),
    "/chunks": (CHUNKED, b"400\r\n" + b"a" * 1_024 + b"\r\n", "refused"),
    "/gzip": (
        with_length(len(GZ := gzip.compress(b"\0" * (50 << 20))), GZ, b"Content-Encoding: gzip\r\n"),
        b"",
        "broken",
    ),
    "/too-short": (with_length(len(PICTURE) + 9), b"", "broken"),
    "/negative": (with_length(-1), b"", None),
    "/no-number": (with_length("many"), b"", None),
    "/astronomic": (with_length(10**15), b"", "refused"),
    "/two": (with_length(5, more=b"Content-Length: 6\r\n"), b"", None),
    "/unannounced": (OK + b"Connection: close\r\n\r\n" + PICTURE, b"", "whole"),
    "/type": (
        with_length(len(PICTURE), more=b"Content-Type: \xff;;=text/html\r\nSet-Cookie: =;\r\n"),
        b"",
        "whole",
    ),
    "/empty": (with_length(0, b""), b"", "broken"),
    "/no-content": (b"HTTP/1.1 204 No\r\n\r\n", b"", "missing"),
    "/upgrade": (b"HTTP/1.1 101 Up\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", b"", "missing"),
    "/no-http": (PICTURE, b"", None),
    "/loop": (FOUND + b"/loop\r\n\r\n", b"", "refused"),
    "/to-file": (FOUND + b"file:///etc/passwd\r\n\r\n", b"", "refused"),
    "/inside": (FOUND + b"http://169.254.169.254/\r\n\r\n", b"", "refused"),
    "/damaged": (FOUND + b"http://[::1\r\n\r\n", b"", "refused"),
}
"""By path: the answer, what follows it without end, and the state of the picture; None while it is left."""


@asynccontextmanager
async def answering() -> AsyncIterator[tuple[str, list[str]]]:
    """Answer by ``ANSWERS``; yields the address and the list of requested paths."""
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
            asked.append(path)
            begin, more, _ = ANSWERS[path]
            writer.write(begin)
            await writer.drain()
            while more:
                writer.write(more)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    serving = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with serving:
        yield f"http://127.0.0.1:{serving.sockets[0].getsockname()[1]}", asked


@pytest.mark.parametrize("path", ANSWERS)
async def test_hostile_answer_ends_with_a_state(cli: Cli, path: str) -> None:
    """Headers, lengths, chunks and redirects of any kind end in a state; no redirect is followed."""
    copy_ledger(await empty_ledger(), cli.folder / "batcher.db")
    async with answering() as (url, asked), await PictureLedger.open(cli.folder / "batcher.db") as ledger:
        keep_tasks(cli.folder / "batcher.db", [finished("7", url + path)])
        guard = AddressGuard(of_this_machine=True)
        async with PictureSource(guard, "test", timeout_s=60, connections=1, most_bytes=1 << 20) as source:
            fetcher = Fetcher(
                ledger, source, FetchSettings(cli.folder / "out", 1), sleep=lambda _: asyncio.sleep(0)
            )
            await fetcher.fetch()
    assert [state for state, _ in states(cli)] == [ANSWERS[path][2]], states(cli)
    assert set(asked) == {path}
    assert len(asked) <= 6


# -- names, folders, and the index ---------------------------------------------------------------------

NAMES = [
    "../../../etc/passwd",
    "..",
    ".",
    "/",
    "/etc/passwd",
    "a\\..\\b",
    "a\x00b",
    "a\nb",
    "CON",
    "con",
    "con.txt",
    "Nul",
    "x.",
    "x",
    "x ",
    " x",
    "X",
    "-rf",
    "~",
    "~root",
    "%2E%2E",
    "n" * 300,
    "n" * 299 + "m",
    "\u4e2d" * 200,
    "\u00e9",
    "e\u0301",
    "\u202egpj",
    "pictures.csv",
    ".pictures.csv.part",
    "a:b",
    "=cmd|' /C calc'!A1",
]


async def test_hostile_name_has_a_folder_of_its_own(cli: Cli, server: PictureServer) -> None:
    """No file is outside the folder, and no two ids share one where letter case or accents do not count."""
    names = storable(NAMES)
    keep_tasks(
        cli.folder / "batcher.db", [finished(name, server.add(f"/{n}")) for n, name in enumerate(names)]
    )
    before = set(cli.folder.iterdir())
    done = await cli("fetch", "-o", "out", "--json", *QUIET)
    assert done.code == 0, done.stderr
    assert {one.name for one in set(cli.folder.iterdir()) - before} <= {"out", "batcher.db.fetch.lock"}
    kept = {row["file_id"]: row["file"] for row in index(cli)}
    assert set(kept) == set(names)
    for n, name in enumerate(names):
        assert (cli.folder / "out" / kept[name]).read_bytes() == server.bodies[f"/{n}"]
    assert len({unicodedata.normalize("NFKC", file).casefold() for file in kept.values()}) == len(names)
    assert all(len(file.encode()) < 200 and file.count("/") == 1 for file in kept.values())


async def test_folder_in_place_of_picture_is_named(cli: Cli, server: PictureServer) -> None:
    """Nothing in it is changed, the message names the file, and without it the same command resumes."""
    keep_tasks(cli.folder / "batcher.db", [finished("7", server.add("/a"), server.add("/b"))])
    taken = cli.folder / "out" / "7" / "0002.jpg"
    taken.mkdir(parents=True)
    (taken / "mine").write_text("mine")
    done = await cli("fetch", "-o", "out", "--concurrency", "1", *QUIET)
    assert done.code == 6
    assert "out: pictures cannot be written here (7/0002.jpg): there is a folder in its place." in done.stderr
    assert [one.name for one in taken.iterdir()] == ["mine"]
    assert sorted(one.name for one in taken.parent.iterdir()) == ["0001.jpg", "0002.jpg"]
    shutil.rmtree(taken)
    assert (await cli("fetch", "-o", "out", *QUIET)).code == 0
    assert [row["state"] for row in index(cli)] == ["whole", "whole"]


async def test_index_of_unusual_texts_is_read_as_written(cli: Cli, server: PictureServer) -> None:
    """Line breaks, formulas and quotation marks in names of objects are data."""
    names = ["a\rb", "a\nb", "a\r\nb", '"', "=cmd|' /C calc'!A1", "@x", "a,b", "\u2028", "\ufeffa", "a'b"]
    keep_tasks(cli.folder / "batcher.db", [finished("7", *names, server.add("/a"))])
    assert (await cli("fetch", "-o", "out", *QUIET)).code == 1
    assert [row["object"] for row in index(cli)] == [*names, ""]
    keep_tasks(cli.folder / "batcher.db", [finished("8", server.add("/b"), *names)])
    assert (await cli("fetch", "-o", "out", *QUIET)).code == 1
    assert [row["object"] for row in index(cli)] == [*names, "", "", *names]


async def test_unfinished_index_of_killed_fetch_is_replaced(cli: Cli, server: PictureServer) -> None:
    """A part of a row at the end, and a temporary file beside it, are gone after the next fetch."""
    keep_tasks(cli.folder / "batcher.db", [finished("7", server.add("/a"), server.add("/b"))])
    assert (await cli("fetch", "-o", "out", *QUIET)).code == 0
    place = cli.folder / "out" / "pictures.csv"
    whole = place.read_bytes()
    place.write_bytes(whole[:-20])
    place.with_name(".pictures.csv.part").write_bytes(whole[:50])
    assert (await cli("fetch", "-o", "out", *QUIET)).code == 0
    assert place.read_bytes() == whole
    assert sorted(one.name for one in place.parent.iterdir()) == ["7", "pictures.csv"]


@pytest.mark.parametrize(("more", "offered"), [((), False), (("/gone",), True)])
async def test_again_is_offered_only_where_it_helps(
    cli: Cli, server: PictureServer, more: tuple[str, ...], *, offered: bool
) -> None:
    """Names of objects are never requested, however often; a missing picture is."""
    urls = ["1/0001.jpg", "ftp://a/1.jpg", *(server.url + path for path in more)]
    keep_tasks(cli.folder / "batcher.db", [finished("7", *urls)])
    for code in (1, 0):
        done = await cli("fetch", "-o", "out", *QUIET)
        assert done.code == code, done.stderr
        assert "lists all pictures that were fetched or given up" in done.stderr
        assert ("--again" in done.stderr) is offered
    done = await cli("fetch", "-o", "out", "--again", "--json", *QUIET)
    assert (done.code, json.loads(done.stdout)["refused"]) == (1, 2)
    assert server.times == ({"/gone": 6} if offered else {})
