"""``batcher fetch``: from a ledger's pictures to files in a folder, against a real picture server."""

from __future__ import annotations

import asyncio
import csv
import io
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from support.cli import PICTURES, Cli, Done, serving, tencent_ids, until, write_manifest
from support.ledger_place import copy_ledger, empty_ledger, the_server
from support.ledger_sql import query, storable, writing
from support.pictured import (
    PictureServer,
    RecordedTask,
    finished,
    image,
    keep_tasks,
    noisy,
    serving_pictures,
)
from support.terminal import Terminal, too_wide

from batcher.fetch import picture_pages
from batcher.fetch.address_guard import AddressGuard
from batcher.fetch.fetch_policy import MAX_TRIES, SILENT_PICTURES, TEMPORARY_TRIES, share_of_day
from batcher.fetch.fetcher import Fetcher
from batcher.fetch.http_source import PictureSource
from batcher.fetch.picture_paths import is_kept
from batcher.fetch.settings import FetchFigures, FetchSettings
from batcher.ledger.pictures import PictureLedger
from batcher.ledger.run_ledger import RunLedger, open_for_writing
from batcher.model.records import Fetched
from batcher.model.task import PictureState
from batcher.sandbox import PictureFault, SandboxSettings

STATES = """
SELECT s.file_id, p.number, p.state FROM pictures p JOIN submissions s ON s.id = p.submission_id
ORDER BY s.id, p.number
"""
QUIET = ("--progress", "none")

TAKEN_BRIEFLY: dict[str, float | str] = {"batcher.ledger.taken_pictures:TAKEN_FOR_MS": 1}
"""What a killed fetch has taken on a shared ledger is free again at once, and not after 15 minutes."""


async def fetched(cli: Cli, *args: str) -> Done:
    """``batcher fetch`` into the folder ``out``."""
    return await cli("fetch", "-o", "out", "--json", *QUIET, *args)


def files(cli: Cli) -> list[str]:
    """The files of the folder, apart from the index."""
    out = cli.folder / "out"
    found = [str(one.relative_to(out)) for one in out.rglob("*") if one.is_file()]
    return sorted(one for one in found if one != "pictures.csv")


def index(cli: Cli) -> list[dict[str, str]]:
    """The rows of the index."""
    return list(csv.DictReader(io.StringIO((cli.folder / "out" / "pictures.csv").read_text("utf-8"))))


def states(cli: Cli) -> dict[tuple[str, int], str | None]:
    """The state of each picture in the ledger."""
    return {(file_id, number): state for file_id, number, state in query(cli.folder / "batcher.db", STATES)}


async def test_pictures_are_in_folders_of_their_recordings(cli: Cli, server: PictureServer) -> None:
    """Files are named by ids, numbers and times, and have the content of their addresses."""
    one, two, three = (server.add(f"/{name}") for name in ("a", "b", "../%2e%2e/evil.exe"))
    huawei = "/record/Show/2024-11-13.mp4"
    keep_tasks(
        cli.folder / "batcher.db",
        [
            RecordedTask("1397757897438985123", (one, two), offsets_ms=(1000, 2500)),
            finished(huawei, three, vendor="Huawei"),
            finished("1397757897438985123", two),
        ],
    )
    done = await fetched(cli)
    assert done.code == 0, done.stderr
    assert files(cli) == [
        "%2Frecord%2F%53how%2F2024-11-13.mp4/0001.jpg",
        "1397757897438985123+2/0001.jpg",
        "1397757897438985123/0001-1000ms.jpg",
        "1397757897438985123/0002-2500ms.jpg",
    ]
    kept = (cli.folder / "out" / "1397757897438985123" / "0002-2500ms.jpg").read_bytes()
    assert server.bodies["/b"] == kept
    assert (done.data["fetched"], done.data["whole"], done.data["exit_code"]) == (4, 4, 0)
    assert done.data["pictures"]["total"] == done.data["pictures"]["whole"] == 4
    rows = {row["file"]: row for row in index(cli)}
    assert set(rows) == set(files(cli))
    row = rows["%2Frecord%2F%53how%2F2024-11-13.mp4/0001.jpg"]
    assert (row["file_id"], row["vendor"], row["state"], row["width"]) == (huawei, "Huawei", "whole", "64")
    sent = server.headers[0]
    assert sent["User-Agent"].startswith("batcher/")
    assert not {"Cookie", "Authorization", "Referer"} & set(sent)


async def test_only_missing_files_are_fetched_again(cli: Cli, server: PictureServer) -> None:
    """A missing or shorter file is fetched again, the others are not touched."""
    urls = [server.add(f"/{n}") for n in range(4)]
    keep_tasks(cli.folder / "batcher.db", [finished("7", *urls)])
    assert (await fetched(cli)).code == 0
    before = (cli.folder / "out/7/0001.jpg").stat().st_mtime_ns
    (cli.folder / "out/7/0002.jpg").unlink()
    whole = (cli.folder / "out/7/0003.jpg").read_bytes()
    (cli.folder / "out/7/0003.jpg").write_bytes(whole[:-1])
    done = await fetched(cli)
    assert done.code == 0, done.stderr
    assert (done.data["fetched"], done.data["in_place"]) == (2, 2)
    assert dict(server.times) == {"/0": 1, "/1": 2, "/2": 2, "/3": 1}
    assert whole == (cli.folder / "out/7/0003.jpg").read_bytes()
    assert before == (cli.folder / "out/7/0001.jpg").stat().st_mtime_ns
    elsewhere = await cli("fetch", "-o", "other", *QUIET)
    assert elsewhere.code == 0
    assert len(list((cli.folder / "other/7").iterdir())) == 4


async def test_unusable_picture_is_reported_with_reason(cli: Cli, server: PictureServer) -> None:
    """Broken, refused and missing pictures are reported once; their reasons are in the index."""
    good, blank, black = server.add("/good"), server.add("/blank", noisy(230)), server.add("/black", noisy(9))
    whole = image(size=(640, 360))
    half, page = server.add("/half", whole[: len(whole) // 2]), server.add("/page", b"<html>log in</html>")
    torn, moved = server.add("/torn", whole), server.add("/moved")
    server.cut.add("/torn")
    server.statuses["/moved"] = [-302]
    server.locations = {"/moved": "/good"}
    server.statuses["/secret"] = [-403]
    large, endless = server.add("/large", b"x" * 200_000), server.add("/endless")
    server.endless.add("/endless")
    gone, secret = f"{server.url}/gone?sign=hush", f"{server.url}/secret"
    tasks = {
        "good": good,
        "blank": blank,
        "black": black,
        "half": half,
        "page": page,
        "torn": torn,
        "moved": moved,
        "large": large,
        "endless": endless,
        "gone": gone,
        "secret": secret,
        "name": "snapshots/1/0001.jpg",
        "inside": "http://169.254.169.254/latest/meta-data",
        "file": "file:///etc/passwd",
        "login": f"http://me:hush@{server.url.removeprefix('http://')}/good",
    }
    keep_tasks(cli.folder / "batcher.db", [finished(name, url) for name, url in tasks.items()])
    done = await fetched(cli, "--max-bytes", "100K")
    assert done.code == 1, done.stderr
    found = {row["file_id"]: (row["state"], row["reason"]) for row in index(cli)}
    assert {name: state for name, (state, _) in found.items()} == {
        **dict.fromkeys(["good"], "whole"),
        **dict.fromkeys(["blank"], "blank"),
        **dict.fromkeys(["black"], "black"),
        **dict.fromkeys(["half", "page", "torn"], "broken"),
        **dict.fromkeys(["moved", "large", "endless", "name", "inside", "file", "login"], "refused"),
        **dict.fromkeys(["gone", "secret"], "missing"),
    }
    reasons = {name: reason for name, (_, reason) in found.items()}
    assert "names an object" in reasons["name"]
    assert {row["object"] for row in index(cli)} == {"", "snapshots/1/0001.jpg"}
    assert "has no public address" in reasons["inside"]
    assert "redirects (HTTP 302)" in reasons["moved"]
    assert "larger than 102,400 bytes" in reasons["large"]
    assert "larger" in reasons["endless"]
    assert (reasons["gone"], reasons["secret"]) == ("HTTP 404", "HTTP 403")
    assert "cut off" in reasons["half"]
    assert "cut off" in reasons["torn"]
    assert (server.times["/gone?sign=hush"], server.times["/torn"], server.times["/half"]) == (3, 3, 1)
    assert server.times["/good"] == 1
    assert files(cli) == ["black/0001.jpg", "blank/0001.jpg", "good/0001.jpg"]
    assert "hush" not in done.stdout + done.stderr + (cli.folder / "out/pictures.csv").read_text()
    asked = len(server.asked)
    again = await fetched(cli)
    assert (again.code, len(server.asked)) == (0, asked), "reported pictures are not new any more"
    server.add("/gone?sign=hush")
    server.bodies["/gone?sign=hush"] = image()
    once_more = await fetched(cli, "--again", "--recording", "gone", "--recording", "half")
    assert once_more.code == 1
    assert (once_more.data["whole"], once_more.data["broken"]) == (1, 1)


async def test_temporary_failure_is_retried(cli: Cli, server: PictureServer) -> None:
    """A server that is busy for a moment costs no picture."""
    urls = [server.add(f"/{n}") for n in range(3)]
    server.statuses = {"/0": [503], "/1": [500, 502], "/2": [404]}
    keep_tasks(cli.folder / "batcher.db", [finished("7", *urls)])
    done = await fetched(cli)
    assert done.code == 0, done.stderr
    assert dict(server.times) == {"/0": 2, "/1": 3, "/2": 2}


async def test_chunked_picture_is_whole(cli: Cli, server: PictureServer) -> None:
    """A picture without a length is whole when its chunks end properly."""
    url = server.add("/a")
    server.unannounced.add("/a")
    keep_tasks(cli.folder / "batcher.db", [finished("7", url)])
    assert (await fetched(cli)).data["whole"] == 1


async def test_concurrency_is_bounded(cli: Cli, server: PictureServer) -> None:
    """At most eight downloads run concurrently by default."""
    keep_tasks(cli.folder / "batcher.db", [finished("7", *(server.add(f"/{n}") for n in range(30)))])
    server.slow = asyncio.Event()
    process = await cli.start("fetch", "-o", "out", *QUIET)
    await server.until_asked(8)
    server.slow.set()
    assert (await cli.finish(process)).code == 0
    assert server.most_under_way == 8
    server.most_under_way = 0
    shutil.rmtree(cli.folder / "out")
    assert (await fetched(cli, "--concurrency", "2")).code == 0
    assert server.most_under_way <= 2


async def test_limit_leaves_the_rest_for_next_fetch(cli: Cli, server: PictureServer) -> None:
    """The first pictures are fetched in order; the exit code shows the work left."""
    keep_tasks(cli.folder / "batcher.db", [finished("7", *(server.add(f"/{n}") for n in range(5)))])
    first = await fetched(cli, "--limit", "3")
    assert (first.code, first.data["fetched"], first.data["more"]) == (4, 3, True)
    assert files(cli) == [f"7/000{n}.jpg" for n in (1, 2, 3)]
    rest = await fetched(cli, "--limit", "3")
    assert (rest.code, rest.data["fetched"]) == (0, 2)


async def test_killed_fetch_loses_nothing(cli: Cli, server: PictureServer) -> None:
    """After repeated kills every file is whole, and the last fetch completes the rest."""
    cli.constants |= TAKEN_BRIEFLY
    ledger = cli.folder / "batcher.db"
    keep_tasks(
        ledger,
        [
            finished(str(n), *(server.add(f"/{n}/{k}", image(size=(400, 300), seed=k)) for k in range(6)))
            for n in range(20)
        ],
    )
    for asked in (15, 45, 80):
        process = await cli.start("fetch", "-o", "out", "--concurrency", "4", *QUIET)
        await server.until_asked(asked)
        process.kill()
        await process.communicate()
        for file in files(cli):
            if not file.endswith(".part"):
                with Image.open(cli.folder / "out" / file) as picture:
                    picture.load()
    done = await fetched(cli)
    assert done.code == 0, done.stderr
    assert len(files(cli)) == 120
    assert [one for one in files(cli) if "part" in one] == []
    assert max(server.times.values()) <= 4
    assert len(server.asked) <= 120 + 3 * 4
    assert set(states(cli).values()) == {"whole"}
    if the_server() is None:
        with writing(ledger) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_signal_ends_fetch_gracefully(
    cli: Cli, server: PictureServer, number: signal.Signals, code: int
) -> None:
    """Finished pictures are recorded, hanging ones are dropped, and the same command resumes."""
    urls = [server.add(f"/{n}") for n in range(6)]
    server.hanging = {"/4", "/5"}
    keep_tasks(cli.folder / "batcher.db", [finished("7", *urls)])
    process = await cli.start("fetch", "-o", "out", *QUIET)
    await until(lambda: list(states(cli).values()).count("whole") == 4)
    process.send_signal(number)
    done = await cli.finish(process)
    assert done.code == code, done.stderr
    assert "4 pictures fetched" in done.stderr
    server.hanging.clear()
    rest = await fetched(cli)
    assert (rest.code, rest.data["fetched"], rest.data["in_place"]) == (0, 2, 4)


class HeldUp(PictureLedger):
    """A ledger that is slow to record."""

    asked: asyncio.Event
    released: asyncio.Event

    async def record(self, fetched: Fetched) -> None:
        """Once it is released."""
        self.asked.set()
        await self.released.wait()
        await super().record(fetched)


async def test_cancelled_fetch_records_written_file(cli: Cli, server: PictureServer) -> None:
    """A fetch that is cancelled between the file and its record ends after both."""
    keep_tasks(cli.folder / "batcher.db", [finished("7", server.add("/a"), server.add("/b"))])
    server.hanging.add("/b")
    async with await HeldUp.open(cli.folder / "batcher.db") as ledger:
        ledger.asked, ledger.released = asyncio.Event(), asyncio.Event()
        fetching = asyncio.create_task(_fetched_from(ledger, cli.folder / "out", 2, 5.0))
        await asyncio.wait_for(ledger.asked.wait(), 90)
        fetching.cancel()
        await asyncio.sleep(0)
        ledger.released.set()
        await asyncio.wait([fetching])
        assert fetching.cancelled()
    assert states(cli) == {("7", 1): "whole", ("7", 2): None}
    assert files(cli) == ["7/0001.jpg"]


@pytest.mark.about_files
async def test_second_fetch_of_ledger_is_refused(cli: Cli, server: PictureServer) -> None:
    """The exit code is 5, and the message names the first fetch."""
    keep_tasks(cli.folder / "batcher.db", [finished("7", server.add("/a"))])
    server.hanging.add("/a")
    process = await cli.start("fetch", "-o", "out", *QUIET)
    await server.until_asked(1)
    done = await fetched(cli)
    assert done.code == 5
    assert "another process is fetching this ledger's pictures: process" in done.stderr
    process.send_signal(signal.SIGTERM)
    assert (await cli.finish(process)).code == 143


async def test_fetch_works_during_a_run(cli: Cli, server: PictureServer) -> None:
    """While a run holds the ledger and writes to it, pictures are fetched and recorded."""
    ledger = cli.folder / "batcher.db"
    keep_tasks(ledger, [finished("7", *(server.add(f"/{n}") for n in range(40)))])
    async with await open_for_writing(ledger) as running:
        writing = asyncio.create_task(_write_on(running))
        done = await fetched(cli)
        writing.cancel()
        await asyncio.wait([writing])
    assert done.code == 0, done.stderr
    assert set(states(cli).values()) == {"whole"}


async def _write_on(running: RunLedger) -> None:
    while True:
        await running.start_load("b.csv", "b.csv", ())


async def at_once(_: float) -> None:
    """No pause between two tries."""


async def fetched_here(
    cli: Cli, concurrency: int, timeout_s: float = 5.0, settings: FetchSettings | None = None
) -> FetchFigures:
    """A fetch within this process, whose tries follow one another at once."""
    async with await PictureLedger.open(cli.folder / "batcher.db") as ledger:
        try:
            return await _fetched_from(ledger, cli.folder / "out", concurrency, timeout_s, settings)
        finally:
            await ledger.release()


async def _fetched_from(
    ledger: PictureLedger,
    folder: Path,
    concurrency: int,
    timeout_s: float,
    settings: FetchSettings | None = None,
) -> FetchFigures:
    addresses = AddressGuard(of_this_machine=True)
    async with PictureSource(
        addresses, "test", timeout_s=timeout_s, connections=concurrency, most_bytes=1 << 20
    ) as source:
        fetcher = Fetcher(ledger, source, settings or FetchSettings(folder, concurrency), sleep=at_once)
        await fetcher.fetch()
        return fetcher.figures


async def test_silent_server_is_left_for_next_fetch(cli: Cli, server: PictureServer) -> None:
    """No picture is given up, the server gets no more requests, and the next fetch has all pictures."""
    async with serving_pictures() as other:
        gone = other.url
    urls = [f"{gone}/{n}" for n in range(60)]
    keep_tasks(cli.folder / "batcher.db", [finished("7", *urls), finished("8", server.add("/a"))])
    figures = await fetched_here(cli, 30)
    assert (figures.by_state, figures.left) == ({PictureState.WHOLE: 1}, 60)
    assert figures.silent == {gone: "Connection refused"}
    tried = query(
        cli.folder / "batcher.db",
        "SELECT count(*), sum(tries) FROM pictures WHERE tries > 0 AND state IS NULL",
    )
    assert SILENT_PICTURES <= tried[0][0] <= SILENT_PICTURES + 30
    assert list(states(cli).values()).count(None) == 60
    async with serving_pictures(int(gone.rpartition(":")[2])) as again:
        for n in range(60):
            again.add(f"/{n}")
        done = await fetched(cli)
    assert (done.code, done.data["fetched"]) == (0, 60)


@pytest.mark.usefixtures("server")
async def test_unanswered_picture_leaves_work(cli: Cli) -> None:
    """The message says that the same command retries."""
    keep_tasks(cli.folder / "batcher.db", [finished("7", "http://127.0.0.1:1/a")])
    done = await fetched(cli)
    assert done.code == 4, done.stderr
    assert "1 picture left for a later fetch" in done.stderr
    assert states(cli) == {("7", 1): None}


async def test_unanswered_picture_is_missing_if_others_arrive(cli: Cli, server: PictureServer) -> None:
    """A picture that its server never delivers does not leave work forever, in any order."""
    urls = [server.add(f"/{n}") for n in range(4)]
    server.hanging.add("/1")
    server.statuses["/0"] = [-503]
    keep_tasks(cli.folder / "batcher.db", [finished("7", *urls)])
    figures = await fetched_here(cli, 1, timeout_s=0.1)
    assert (figures.by_state, figures.left) == ({PictureState.MISSING: 2, PictureState.WHOLE: 2}, 0)
    assert states(cli) == {("7", 1): "missing", ("7", 2): "missing", ("7", 3): "whole", ("7", 4): "whole"}
    reasons = query(cli.folder / "batcher.db", "SELECT error, tries FROM pictures ORDER BY number LIMIT 2")
    assert reasons == [("HTTP 503", TEMPORARY_TRIES), ("timed out", TEMPORARY_TRIES)]


async def test_only_picture_of_server_is_given_up_after_all_tries(cli: Cli, server: PictureServer) -> None:
    """The number of tries over several fetches is bounded."""
    url = server.add("/0")
    server.statuses["/0"] = [-500]
    keep_tasks(cli.folder / "batcher.db", [finished("7", url)])
    for _ in range(MAX_TRIES // TEMPORARY_TRIES - 1):
        assert (await fetched_here(cli, 1)).left == 1
    figures = await fetched_here(cli, 1)
    assert (figures.by_state, figures.left) == ({PictureState.MISSING: 1}, 0)
    assert server.times["/0"] == MAX_TRIES


async def test_this_machine_is_refused_without_local_service(cli: Cli, server: PictureServer) -> None:
    """The address at the moment of connecting counts; nothing is sent."""
    cli.env["BATCHER_ENDPOINT"] = "https://rtc-api.zego.im/"
    port = server.url.rpartition(":")[2]
    hosts = ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"]
    server.add("/a")
    urls = [f"http://{host}:{port}/a" for host in hosts]
    keep_tasks(cli.folder / "batcher.db", [finished("7", *urls)], place="zego")
    done = await fetched(cli)
    assert done.code == 1, done.stderr
    assert server.asked == []
    assert set(states(cli).values()) == {"refused"}
    inside = "its host has no public address, and only public addresses are fetched"
    assert {row["reason"] for row in index(cli)} <= {inside, "its address cannot be read"}
    assert [row["reason"] for row in index(cli)].count(inside) >= 5


async def test_pictures_are_fetched_through_the_proxy_of_the_environment(
    cli: Cli, server: PictureServer
) -> None:
    """A name that only the proxy can look up is left to it; this machine's own addresses need no proxy."""
    server.add("http://pictures.invalid/a")
    server.bodies["/a"] = server.bodies["http://pictures.invalid/a"]
    urls = ["http://pictures.invalid/a", server.add("/b")]
    keep_tasks(cli.folder / "batcher.db", [finished("7", *urls)])
    cli.env["HTTP_PROXY"] = server.url
    done = await fetched(cli)
    assert done.code == 0, done.stderr
    assert [headers["Host"] for headers in server.headers].count("pictures.invalid") == 1
    assert done.data["fetched"] == 2


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "[::ffff:10.0.0.1]"])
async def test_private_address_is_refused_though_a_proxy_is_used(
    cli: Cli, server: PictureServer, host: str
) -> None:
    """The proxy is not asked for an address that is not public."""
    keep_tasks(cli.folder / "batcher.db", [finished("7", f"http://{host}/a")])
    cli.env["HTTP_PROXY"] = server.url
    done = await fetched(cli)
    assert done.code == 1, done.stderr
    assert (server.asked, states(cli)) == ([], {("7", 1): "refused"})


async def test_proxy_that_asks_for_a_password_uses_up_no_tries(cli: Cli, server: PictureServer) -> None:
    """Fetch after fetch ends with the remedy, and the pictures stay to be fetched."""
    server.statuses["/a"] = [-407]
    keep_tasks(cli.folder / "batcher.db", [finished(str(n), "http://pictures.invalid/a") for n in range(25)])
    cli.env["HTTP_PROXY"] = server.url
    cli.speed = 20
    done = await fetched(cli)
    assert done.code == 4, done.stderr
    assert "the proxy refused: HTTP 407; check the user name and the password in the URL" in done.stderr
    assert set(states(cli).values()) == {None}
    assert query(cli.folder / "batcher.db", "SELECT sum(tries) FROM pictures") == [(0,)]


async def test_ledger_of_other_kind_of_endpoint_is_refused(cli: Cli, server: PictureServer) -> None:
    """A forgotten endpoint does not give up the pictures of a rehearsal."""
    keep_tasks(cli.folder / "batcher.db", [finished("7", server.add("/a"))])
    del cli.env["BATCHER_ENDPOINT"]
    done = await fetched(cli)
    assert done.code == 2
    assert "BATCHER_ENDPOINT" in done.stderr
    assert states(cli) == {("7", 1): None}


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["-o", "file"], 2, "--output file: this is a file"),
        (["-o", "out", "--recording", "99"], 2, "recording 99: not in /"),
        (["-o", "out", "-l", "none.db"], 6, "there is no ledger here"),
        (
            ["-o", "out", "--max-bytes", "much"],
            2,
            "--max-bytes much: give bytes, or a whole number with K or M",
        ),
        (["-o", "out", "--max-bytes", "0"], 2, "--max-bytes 0: give 1 or more"),
        (["-o", "file/out"], 6, "pictures cannot be written here: "),
        ([], 2, "Missing option"),
    ],
)
async def test_impossible_fetch_is_refused(
    cli: Cli, server: PictureServer, args: list[str], code: int, words: str
) -> None:
    """The message has the problem and the place, and the exit code is documented."""
    keep_tasks(cli.folder / "batcher.db", [finished("7", server.add("/a"))])
    (cli.folder / "file").touch()
    done = await cli("fetch", *args, *QUIET)
    assert done.code == code
    assert words in done.stderr
    assert server.asked == []


async def test_missing_package_is_named(cli: Cli, server: PictureServer) -> None:
    """The message has the line that installs the extra."""
    keep_tasks(cli.folder / "batcher.db", [finished("7", server.add("/a"))])
    (cli.folder / "PIL").mkdir()
    (cli.folder / "PIL" / "__init__.py").write_text("raise ImportError('No module named PIL')\n")
    script = "import sys; sys.path.insert(0, '.'); from batcher.cli import main; main()"
    done = await asyncio.to_thread(
        subprocess.run,
        [cli.python, "-c", script, "fetch", "-o", "out"],
        cwd=cli.folder,
        env=cli.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.strip().endswith("pip install 'Pillow>=11'")


async def test_closing_summary_has_counts_and_remedy(cli: Cli, server: PictureServer) -> None:
    """The numbers, the first failures and the next step are shown; with -q only problems."""
    keep_tasks(cli.folder / "batcher.db", [finished("7", server.add("/a"), f"{server.url}/gone")])
    done = await cli("fetch", "-o", "out", *QUIET)
    assert done.code == 1
    assert done.stdout == ""
    assert "1 picture fetched into out" in done.stderr
    assert "7, picture 2: missing, HTTP 404" in done.stderr
    quiet = await cli("fetch", "-o", "out", "-q")
    assert (quiet.code, quiet.stderr) == (0, "")
    said = await cli("fetch", "-o", "out", *QUIET)
    assert "1 already there" in said.stderr


@pytest.mark.usefixtures("server")
async def test_closing_summary_fits_terminal(cli: Cli) -> None:
    """One picture of each recording is named, no word is cut, and earlier pictures are not counted."""
    objects = [f"obs://lessons-of-a-school/room-{n}/picture.jpg" for n in range(3)]
    keep_tasks(cli.folder / "batcher.db", [finished("7", *objects), finished("8", *objects)])
    terminal = Terminal(cli, ["fetch", "-o", "out"], 60, {})
    assert await asyncio.to_thread(terminal.end) == 1
    assert too_wide(terminal.lines, 60) == []
    said = " ".join(terminal.text.split())
    assert "6 pictures given up: 6 refused; for example 7, picture 1: refused" in said
    assert said.count(", picture ") == 2
    again = await cli("fetch", "-o", "out", *QUIET)
    assert again.code == 0
    assert "Nothing is left to fetch." in again.stderr
    assert "6 pictures given up before" in again.stderr


async def test_terminal_shows_progress_bar(cli: Cli, server: PictureServer) -> None:
    """The bar is visible during the fetch and gone afterwards."""
    urls = [server.add(f"/{n}") for n in range(4)]
    server.hanging.add("/3")
    keep_tasks(cli.folder / "batcher.db", [finished("7", *urls)])
    terminal = Terminal(cli, ["fetch", "-o", "out"], 90, {})
    await asyncio.to_thread(terminal.read, "3 of 4 pictures")
    assert "3/4  75%" in terminal.text
    terminal.interrupt()
    assert await asyncio.to_thread(terminal.end) == 130
    assert too_wide(terminal.lines[-4:], 90) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB for the pictures."""
    folder = tmp_path / "out"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this machine allows no small file system to be mounted")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_full_disk_stops_fetch_without_incomplete_files(
    small_disk: Path, cli: Cli, server: PictureServer
) -> None:
    """Exit code 6 names the folder and the remedy; with space the same command completes the fetch."""
    body = image(size=(600, 400), kind="PNG") + b"\0" * 60_000
    urls = [server.add(f"/{n}", body) for n in range(40)]
    keep_tasks(cli.folder / "batcher.db", [finished("7", *urls)])
    done = await fetched(cli, "--concurrency", "3")
    assert done.code == 6
    assert "the disk is full" in done.stderr
    assert len(server.asked) < 40
    assert {(small_disk / one).stat().st_size for one in files(cli)} == {len(body)}
    recorded = list(states(cli).values())
    assert recorded.count("whole") <= len(files(cli)) <= recorded.count("whole") + 3
    assert set(recorded) == {"whole", None}
    await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    done = await fetched(cli)
    assert done.code == 0, done.stderr
    assert len(files(cli)) == 40


async def test_manifest_leads_to_pictures(cli: Cli) -> None:
    """Submitted, tracked, fetched: each recording has its pictures, or the reason why not."""
    ids = tencent_ids(8)
    faults = {
        ids[1]: PictureFault.MISSING,
        ids[2]: PictureFault.CUT,
        ids[3]: PictureFault.BLACK,
        ids[4]: PictureFault.WHITE,
        ids[5]: PictureFault.HTML,
        ids[6]: PictureFault.ENDLESS,
        ids[7]: PictureFault.REDIRECT,
    }
    archive = write_manifest(cli.folder / "archive.csv", [[one] for one in ids])
    async with serving(cli, SandboxSettings(rate_per_s=None, picture_faults=faults)):
        done = await cli.run(archive.name, *PICTURES)
        assert done.code == 0, done.stderr
        done = await cli("track", "--rate", "1000", *QUIET)
        assert done.code == 0, done.stderr
        done = await fetched(cli, "--max-bytes", "1M")
        assert done.code == 1, done.stderr
    found: dict[str, set[str]] = {}
    for row in index(cli):
        found.setdefault(row["file_id"], set()).add(row["state"])
    expected = ["whole", "missing", "broken", "black", "blank", "broken", "refused", "refused"]
    assert found == {one: {state} for one, state in zip(ids, expected, strict=True)}
    assert files(cli) == sorted(f"{ids[n]}/000{k}.jpg" for n in (0, 3, 4) for k in (1, 2))


ODD_ADDRESSES = [
    "http://a..b/1.jpg",
    "https://.a.b/1.jpg",
    f"http://{'a' * 64}.example/1.jpg",
    f"http://{'.'.join(['a' * 60] * 6)}/1.jpg",
    "http://a%00b/1.jpg",
    "http://xn--a/1.jpg",
    "http://xn--zzzzzz99999/1.jpg",
    "http://\u00fc..b/1.jpg",
    "http://a\u3002\u3002b/1.jpg",
    "http://[::1/1.jpg",
    "http://[fe80::1%25]/1.jpg",
    "http://127.0.0.1:99999/1.jpg",
    "http://\u2024/1.jpg",
    "http:///1.jpg",
    "http://*/1.jpg",
    "//a/1.jpg",
    "http://",
    "http:/a/1.jpg",
    "https:a",
    "http://a b/1.jpg",
    "http://a/1 2.jpg",
    "http://a/1\r\nHost: b",
    "http://a/\x7f.jpg",
    "http://a:0/1.jpg",
    "http://a:x/1.jpg",
    "http://[fe80::1%25eth0]/1.jpg",
    "http://[::ffff:10.0.0.1%251]/1.jpg",
    "http://[1::2::3]/1.jpg",
    "http://user:pass@127.0.0.1/1.jpg",
    "ftp://127.0.0.1/1.jpg",
    "data:image/png;base64,AAAA",
    "javascript:alert(1)",
    "1/0001.jpg",
    "../1.jpg",
    "",
    "\x00",
]


async def test_unusual_address_affects_only_its_picture(cli: Cli, server: PictureServer) -> None:
    """The picture is refused, and the others are fetched."""
    good, odd = [server.add(f"/{n}") for n in range(2)], storable(ODD_ADDRESSES)
    keep_tasks(cli.folder / "batcher.db", [finished("7", good[0], *odd, good[1])])
    done = await fetched(cli)
    assert done.code in (1, 4), done.stderr
    found = list(states(cli).values())
    assert (found[0], found[-1]) == ("whole", "whole")
    left = [url for url, state in zip(odd, found[1:-1], strict=True) if state != "refused"]
    assert set(left) <= {url for url in odd if "xn--" in url}, "what can be a name may be looked up"
    for more in ([], ["--again"]):
        later = await fetched(cli, *more)
        assert later.code in (0, 1, 4), later.stderr
    assert states(cli)["7", 2] == "refused"


@pytest.mark.about_files
async def test_recording_with_reserved_name_is_fetched(cli: Cli, server: PictureServer) -> None:
    """Names of the index, the ledger, its companions and other files do not collide."""
    copy_ledger(await empty_ledger(), cli.folder / "ledger.db")
    cli.env["BATCHER_LEDGER"] = "ledger.db"
    ids = [
        "pictures.csv",
        "PICTURES.CSV",
        "ledger.db",
        "ledger.db-journal",
        "ledger.db.lock",
        "notes.txt",
        "7",
    ]
    (cli.folder / "notes.txt").write_text("mine")
    keep_tasks(cli.folder / "ledger.db", [finished(one, server.add(f"/{one}")) for one in ids])
    for _ in range(2):
        done = await cli("fetch", "-o", ".", "--json", *QUIET)
        assert done.code == 0, done.stderr
    assert done.data["in_place"] == len(ids)
    rows = csv.DictReader(io.StringIO((cli.folder / "pictures.csv").read_text("utf-8")))
    kept = {row["file_id"]: row["file"] for row in rows}
    assert kept == {
        "pictures.csv": "%70ictures.csv/0001.jpg",
        "PICTURES.CSV": "%50%49%43%54%55%52%45%53.%43%53%56/0001.jpg",
        "ledger.db": "ledger.db+1/0001.jpg",
        "ledger.db-journal": "ledger.db-journal+1/0001.jpg",
        "ledger.db.lock": "ledger.db.lock+1/0001.jpg",
        "notes.txt": "notes.txt+1/0001.jpg",
        "7": "7/0001.jpg",
    }
    assert all((cli.folder / file).is_file() for file in kept.values())
    assert (cli.folder / "notes.txt").read_text() == "mine"


async def test_links_in_folder_are_not_followed(cli: Cli, server: PictureServer) -> None:
    """The targets stay unchanged, and pictures and index are written."""
    outside, out = cli.folder / "outside", cli.folder / "out"
    outside.mkdir()
    out.mkdir()
    (outside / "mine.csv").write_text("mine")
    (outside / "mine.jpg").write_text("mine")
    (out / "pictures.csv").symlink_to(outside / "mine.csv")
    (out / "7").symlink_to(outside)
    (out / "8").mkdir()
    (out / "8" / "0001.jpg").symlink_to(outside / "mine.jpg")
    keep_tasks(
        cli.folder / "batcher.db",
        [finished("7", server.add("/a")), finished("8", server.add("/b"))],
    )
    done = await fetched(cli)
    assert done.code == 0, done.stderr
    assert {one.name: one.read_text() for one in outside.iterdir()} == {
        "mine.csv": "mine",
        "mine.jpg": "mine",
    }
    assert [row["file"] for row in index(cli)] == ["7+1/0001.jpg", "8/0001.jpg"]
    assert not (out / "pictures.csv").is_symlink()
    assert (out / "8" / "0001.jpg").read_bytes() == server.bodies["/b"]


# -- the index, and what was fetched before ------------------------------------------------------------


async def test_new_pictures_are_appended_to_index(cli: Cli, server: PictureServer) -> None:
    """Existing rows stay; without new pictures the file is not touched."""
    ledger, place = cli.folder / "batcher.db", cli.folder / "out" / "pictures.csv"
    keep_tasks(ledger, [finished("1", server.add("/a"), f"{server.url}/gone")])
    assert (await fetched(cli)).code == 1
    first = place.stat()
    keep_tasks(
        ledger,
        [finished("2", server.add("/b")), finished("3", server.add("/c"), f"{server.url}/none")],
    )
    assert (await fetched(cli)).code == 1
    second = place.stat()
    assert (second.st_ino, second.st_size > first.st_size) == (first.st_ino, True)
    assert [(row["file_id"], row["number"], row["state"]) for row in index(cli)] == [
        ("1", "1", "whole"),
        ("1", "2", "missing"),
        ("2", "1", "whole"),
        ("3", "1", "whole"),
        ("3", "2", "missing"),
    ]
    assert (await fetched(cli)).code == 0
    assert (place.stat().st_ino, place.stat().st_mtime_ns) == (second.st_ino, second.st_mtime_ns)


def _cut(place: Path) -> None:
    place.write_bytes(place.read_bytes()[:-3])


def _of_another_ledger(place: Path) -> None:
    place.write_text(place.read_text().replace("task-", "job-"))


def _linked(place: Path) -> None:
    place.with_name("backup.csv").hardlink_to(place)


def _foreign(place: Path) -> None:
    place.write_text("mine\n")


SPOILT = [Path.unlink, _cut, _of_another_ledger, _linked, _foreign]


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda one: one.__name__.strip("_"))
async def test_changed_index_is_rewritten(
    cli: Cli, server: PictureServer, spoil: Callable[[Path], None]
) -> None:
    """A missing, truncated or foreign index is replaced by one with every row once."""
    ledger, place = cli.folder / "batcher.db", cli.folder / "out" / "pictures.csv"
    keep_tasks(ledger, [finished("1", server.add("/a"))])
    assert (await fetched(cli)).code == 0
    spoil(place)
    keep_tasks(ledger, [finished("2", server.add("/b"))])
    assert (await fetched(cli)).code == 0
    assert [row["file"] for row in index(cli)] == ["1/0001.jpg", "2/0001.jpg"]
    if (backup := place.with_name("backup.csv")).exists():
        assert len(backup.read_text().splitlines()) == 2


async def test_changed_rows_rewrite_index(cli: Cli, server: PictureServer) -> None:
    """A picture that was given up and is fetched later has one row."""
    keep_tasks(cli.folder / "batcher.db", [finished("1", f"{server.url}/a", server.add("/b"))])
    assert (await fetched(cli)).code == 1
    server.add("/a")
    assert (await fetched(cli, "--again")).code == 0
    assert [(row["number"], row["state"]) for row in index(cli)] == [("1", "whole"), ("2", "whole")]


async def test_next_fetch_completes_index_of_killed_fetch(cli: Cli, server: PictureServer) -> None:
    """Recorded pictures without a row are found by the number of rows."""
    cli.constants |= TAKEN_BRIEFLY
    ledger = cli.folder / "batcher.db"
    keep_tasks(ledger, [finished("1", server.add("/a"))])
    assert (await fetched(cli)).code == 0
    keep_tasks(ledger, [finished("2", server.add("/b"), server.add("/c"))])
    server.hanging.add("/c")
    process = await cli.start("fetch", "-o", "out", *QUIET)
    await until(lambda: states(cli)["2", 1] == "whole")
    process.kill()
    await process.communicate()
    server.hanging.clear()
    assert (await fetched(cli)).code == 0
    assert [row["file"] for row in index(cli)] == ["1/0001.jpg", "2/0001.jpg", "2/0002.jpg"]


async def test_large_archive_is_checked_a_share_each_day(
    cli: Cli, server: PictureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing folder is found immediately, a missing file on its day; nothing is fetched twice."""
    keep_tasks(
        cli.folder / "batcher.db",
        [finished(str(n), server.add(f"/{n}a"), server.add(f"/{n}b")) for n in range(10)],
    )
    await fetched_here(cli, 2)
    shutil.rmtree(cli.folder / "out" / "3")
    for n in (0, 9):
        (cli.folder / "out" / str(n) / "0001.jpg").unlink()
    checked: list[str | None] = []

    def noted(folder: Path, file: str | None, n_bytes: int | None) -> bool:
        checked.append(file)
        return is_kept(folder, file, n_bytes)

    monkeypatch.setattr(picture_pages, "is_kept", noted)
    by_day = []
    for day in range(5):
        monkeypatch.setattr(
            picture_pages, "share_of_day", lambda kept, last, _, day=day: share_of_day(kept, last, day, 4)
        )
        checked.clear()
        figures = await fetched_here(cli, 2)
        by_day.append((figures.kept, figures.in_place))
        assert len(checked) <= 4
    assert by_day == [(3, 17), (0, 20), (0, 20), (0, 20), (1, 19)]
    assert max(server.times.values()) == 2
    (cli.folder / "out" / "5" / "0001.jpg").unlink()
    settings = FetchSettings(cli.folder / "out", check_all=True)
    assert (await fetched_here(cli, 2, settings=settings)).kept == 1
