"""The report: one page of everything in the ledger, safe for any text in it."""

from __future__ import annotations

import asyncio
import base64
import io
import re
import sys
from collections import Counter
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from support.cli import PICTURES, Cli, serving, tencent_ids, write_manifest
from support.drawn import Drawn, Ending, Words
from support.hostile_pictures import animated, png
from support.ledger_place import copy_ledger, ledger_option, remove_ledger
from support.ledger_sql import query, reading, storable
from support.statements import plans_of, statements_of

from batcher.ledger.conditions import REVISIONS
from batcher.ledger.queries.history import CELLS
from batcher.ledger.report_queries import Survey
from batcher.model.history import Doubt
from batcher.model.submission import State
from batcher.model.task import PictureState, TaskState
from batcher.sandbox import Fault, SandboxSettings

LEDGER = Path(__file__).parents[1] / "ledgers" / f"{REVISIONS[-1]}.db"

REJECTED, LOST = Ending("rejected", 41003), Ending(lost=1)
MIXED = [
    *[Ending()] * 30,
    REJECTED,
    Ending("failed", 1),
    LOST,
    Ending("in_doubt", None, lost=1),
    Ending(refused=2),
]


class Page(HTMLParser):
    """A page taken apart: its tags, their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self._silent = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag begins."""
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.attributes += [(name, value or "") for name, value in attrs]
        self._silent = tag if tag in ("style", "script") else self._silent

    def handle_endtag(self, tag: str) -> None:
        """A tag ends."""
        self._silent = "" if tag == self._silent else self._silent

    def handle_data(self, data: str) -> None:
        """Text."""
        if not self._silent:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All that is to be read, with single blanks."""
        return " ".join(" ".join(self.words).split())


async def drawn(cli: Cli, *args: str | Path, ledger: str | Path = "batcher.db") -> str:
    """The page that the command draws of a ledger."""
    done = await cli("report", "-l", ledger, "-o", "report.html", *args)
    assert done.code == 0, done.stderr
    return (cli.folder / "report.html").read_text("utf-8")


async def mixed(cli: Cli, words: Words | None = None) -> Drawn:
    """A ledger with something of everything."""
    ledger = Drawn(cli.folder / "batcher.db", words or Words())
    await ledger.make()
    ledger.run(MIXED, quiet_s=20)
    ledger.task(1, "finished", [("whole", "one/1.jpg"), ("missing", None), ("black", "one/3.jpg")])
    ledger.task(2, "failed")
    ledger.task(3, "finished")
    ledger.invalid_rows(3)
    return ledger


def photograph(path: Path, size: tuple[int, int] = (1280, 720), colour: str = "#2266aa") -> None:
    """A picture, with something on it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, colour)
    ImageDraw.Draw(image).rectangle((10, 10, size[0] // 2, size[1] // 2), fill="white")
    image.save(path)


def frames(page: Page) -> list[Image.Image]:
    """The pictures that a page carries."""
    heads = "data:image/jpeg;base64,"
    addresses = [value for name, value in page.attributes if name == "src"]
    assert all(one.startswith(heads) for one in addresses)
    return [Image.open(io.BytesIO(base64.b64decode(one.removeprefix(heads)))) for one in addresses]


# -- what it says ----------------------------------------------------------------------------------


async def test_page_shows_everything_in_the_ledger(cli: Cli) -> None:
    """The page has counts, codes in both languages, failures, doubts, tasks and invalid rows."""
    await mixed(cli)
    page, option = Page(await drawn(cli)), ledger_option(cli.folder / "batcher.db")
    for words in (
        "32 of 35 submissions have a task id; 3 do not.",
        "the file does not exist 文件不存在",
        "check the file id, and whether the recording was deleted",
        "All 2. To get them as a table for other programs: batcher export" + option + " -o results.csv",
        "sent again and accepted: possibly twice",
        "in doubt, not sent again automatically",
        "archive.csv line 3 vendor request failed",
        "All 3. To get them as a table for other programs: batcher export"
        + option
        + " MANIFEST -o results.csv",
        "8a6f-1v 8a6f-1",
        "outage 19 s",
        "2 were throttled",
        "1 in doubt, 1 possibly twice",
        "whole 1 black 1 missing 1",
        "3 pictures have been fetched. To show them here, name their folder: batcher report"
        + option
        + " -o report.html",
    ):
        assert words in page.text
    without_pictures = page.text.rpartition("Tasks without pictures")[2]
    assert "failed FAIL" in without_pictures
    assert "finished FAIL" in without_pictures


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ({}, "Run batcher track to follow the tasks, then batcher fetch"),
        ({1: "finished", 2: "processing"}, "Run batcher track to follow the tasks, then batcher fetch"),
        (
            {1: "finished", 2: "failed"},
            "No pictures have been fetched. Run batcher fetch -o pictures to fetch",
        ),
        ({1: "failed", 2: "failed"}, "No task has reported a picture."),
    ],
)
async def test_page_without_fetched_pictures_names_the_next_step(
    cli: Cli, tasks: dict[int, str], words: str
) -> None:
    """Tasks that have all ended are not to be tracked again."""
    ledger = Drawn(cli.folder / "batcher.db")
    await ledger.make()
    ledger.run([Ending(), Ending()])
    for submission, state in tasks.items():
        ledger.task(submission, state, [(None, "1.jpg")] if state == "finished" else [])
    assert words in Page(await drawn(cli)).text


async def test_page_in_chinese_has_no_english_sentences(cli: Cli) -> None:
    """The Chinese page has no English text except the codes' English meanings."""
    await mixed(cli)
    page = Page(await drawn(cli, "--lang", "ZH"))
    assert "35 个提交项中有 32 个已取得任务 ID，3 个未取得。" in page.text
    assert "文件不存在 the file does not exist" in page.text
    assert "中断 19 秒" in page.text
    assert ("lang", "zh-CN") in page.attributes
    assert re.findall(r"possibly twice|All times|Search this|outage|throttled", page.text) == []


async def test_page_shows_a_run_against_the_sandbox(cli: Cli) -> None:
    """The page, written to stdout, shows the requests and answers of a run."""
    ids = tencent_ids(40)
    archive = write_manifest(
        cli.folder / "archive.csv", [(one, f"片段 {one[-3:]}") for one in ids], ("file_id", "title")
    )
    faults = {ids[3]: Fault.parse("code:41003"), ids[5]: Fault.parse("drop-after")}
    async with serving(cli, SandboxSettings(rate_per_s=None, by_file=faults)):
        assert (await cli.run(archive, *PICTURES, "--in-doubt", "hold")).code == 1
        done = await cli("report")
    assert done.code == 0, done.stderr
    page = Page(done.stdout)
    assert "38 of 40 submissions have a task id; 2 do not." in page.text
    assert f"{ids[3]} 片段 {ids[3][-3:]}" in page.text
    assert f"{ids[5]} 片段 {ids[5][-3:]} in doubt" in page.text
    assert "40 requests in" in page.text


async def test_page_of_empty_and_of_old_ledger_is_made(cli: Cli) -> None:
    """An empty ledger and a ledger of an older schema both have a page."""
    async with serving(cli):
        pass
    assert "Nothing has been loaded yet." in Page(await drawn(cli)).text
    copy_ledger(LEDGER, cli.folder / "old.db")
    page = Page(await drawn(cli, ledger="old.db"))
    [(total,)] = query(cli.folder / "old.db", "SELECT count(*) FROM submissions")
    assert f"of {total} submissions have a task id" in page.text


async def test_page_is_made_during_a_run(cli: Cli) -> None:
    """The report takes no lock, and its counts belong to one moment."""
    archive = write_manifest(cli.folder / "archive.csv", [[one] for one in tencent_ids(60)])
    async with serving(cli, SandboxSettings(rate_per_s=None)) as sandbox:
        going = await cli.start("run", archive, *PICTURES, "--rate", "30", "--progress", "none")
        await sandbox.wait_for(lambda: len(sandbox.log) >= 10, 20)
        page = Page(await drawn(cli))
        assert (await cli.finish(going)).code == 0
    assert "are still to be sent" in page.text
    assert "running, or killed" in page.text
    drawn_sent = int(re.findall(r"Requests per second over time\. (\d+) were sent", page.text)[0])
    submitted = int(re.findall(r"(\d+) of 60 submissions", page.text)[0])
    assert submitted <= drawn_sent <= 60


# -- what was fetched ------------------------------------------------------------------------------


async def test_page_contains_fetched_pictures(cli: Cli) -> None:
    """Pictures are scaled down and flagged; a missing file is marked."""
    ledger = await mixed(cli)
    ledger.task(4, "finished", [("whole", f"two/{n}.jpg") for n in range(1, 13)])
    for n in range(1, 8):
        photograph(cli.folder / "pictures" / "two" / f"{n}.jpg", colour="#aa3322")
    photograph(cli.folder / "pictures" / "one" / "1.jpg", (300, 1600))
    photograph(cli.folder / "pictures" / "one" / "3.jpg", colour="#000000")
    page = Page(await drawn(cli, "--pictures", "pictures"))
    shown = frames(page)
    assert len(shown) == 9
    assert {max(one.size) for one in shown} == {240}
    assert shown[0].getpixel((200, 100)) == pytest.approx((0xAA, 0x33, 0x22), abs=6)
    assert "not in the folder" in page.text
    assert "+4 more" in page.text
    assert "at 7.5 s black" in page.text
    assert "at 5 s HTTP 404" in page.text
    assert page.tags.count(("img", ("src", "width", "height", "loading", "decoding", "alt"))) == 9


async def test_sheet_beyond_its_size_is_cut(cli: Cli) -> None:
    """With more recordings than requested, the newest are shown, and the page says so."""
    ledger = await mixed(cli)
    for id_ in range(4, 30):
        ledger.task(id_, "finished", [("whole", "a.jpg")])
    photograph(cli.folder / "pictures" / "a.jpg")
    page = Page(await drawn(cli, "--pictures", "pictures", "--recordings", "14"))
    assert "The 14 newest recordings with fetched pictures" in page.text
    assert "2 more recordings" in page.text
    assert len(frames(page)) == 14
    assert "-29 Lesson" in page.text.partition("Pictures The 14")[2][:200]


BAD_FILES = [
    "../secret-place/own.jpg",
    "/etc/passwd",
    "text.jpg",
    "bomb.png",
    "thin.png",
    "frames.gif",
    "folder",
    "link.jpg",
    pytest.param("n\x00l.jpg", marks=pytest.mark.about_files, id="NUL"),
]
UNREADABLE = ("text.jpg", "bomb.png", "thin.png", "frames.gif", "n\x00l.jpg")


@pytest.mark.parametrize("file", BAD_FILES)
async def test_only_pictures_of_folder_are_shown(cli: Cli, file: str) -> None:
    """Files outside, text files, decompression bombs and links are never shown."""
    ledger = await mixed(cli)
    ledger.task(4, "finished", [("whole", file), ("whole", "good.jpg")])
    folder = cli.folder / "pictures"
    photograph(cli.folder / "secret-place" / "own.jpg")
    photograph(folder / "good.jpg")
    (folder / "folder").mkdir()
    (folder / "text.jpg").write_text("<script>alert(1)</script>")
    (folder / "link.jpg").symlink_to(cli.folder / "secret-place" / "own.jpg")
    Image.new("1", (8_000, 8_000)).save(folder / "bomb.png")
    (folder / "thin.png").write_bytes(png(1, 30_000_000))
    (folder / "frames.gif").write_bytes(animated("GIF", 3))
    page = Page(await drawn(cli, "--pictures", "pictures"))
    assert len(frames(page)) == 1
    wanted = "not readable" if file in UNREADABLE else "not in the folder"
    assert wanted in page.text


# -- words of others -------------------------------------------------------------------------------

HOSTILE = [
    "<script>window.pwned=1</script>",
    "\"><img src=x onerror='window.pwned=1'>",
    "' onmouseover='window.pwned=1",
    "</style><style>body{display:none}</style>",
    "</script><script>window.pwned=1</script>",
    "--></title></svg><svg onload=window.pwned=1>",
    "{{ 7 * 7 }}{% raw %}${7*7}",
    "]]><!--<bdi>&lt;&amp;&#x3c;script>",
    "`<b>`bold` <i>`",
    "javascript:window.pwned=1//\u202ecod.exe\u2066\x00\x1b[31m\r\n\t",
]


async def test_reasons_are_in_the_language_of_the_page(cli: Cli, tmp_path: Path) -> None:
    """Why a run ended and why rows are invalid, with their places; English stays as it is in the ledger."""
    rows = [[one, ""] for one in tencent_ids(3)] + [["nan", ""], ["/a.mp4", ""], ["1,2"]]
    path = write_manifest(tmp_path / "archive.csv", rows, ["file_id", "note"])
    async with serving(cli):
        done = await cli.run(path, *PICTURES, "--limit", "1")
        assert done.code == 4, done.stderr
    chinese, english = await drawn(cli, "--lang", "zh"), await drawn(cli)
    for said in (
        "archive.csv 第 5 行",
        "nan 是缺失值的占位符，不是文件 ID",
        "/a.mp4 不是腾讯云的文件 ID：腾讯云的 ID 只由数字组成",
        '<span lang="zh-CN">已达到数量上限 1；剩余 2 个提交项</span>',
    ):
        assert said in chinese
    for said in (
        "archive.csv line 5",
        "nan is a placeholder for a missing value, not a file id",
        '<span lang="en">stopped at the limit of 1; 2 submissions left</span>',
    ):
        assert said in english
        assert said not in chinese


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_text_adds_no_tags(cli: Cli, text: str, language: str) -> None:
    """With hostile text in every place, the page has the same tags as with harmless text."""
    await mixed(cli)
    harmless = Page(await drawn(cli, "--lang", language))
    remove_ledger(cli.folder / "batcher.db")
    [text] = storable([text]) or [text.replace("\0", "")]
    await mixed(cli, Words(**{field.name: f"{text} {field.name}" for field in fields(Words)}))
    page = Page(await drawn(cli, "--lang", language))
    assert page.tags == harmless.tags
    shown = text.translate({code: f"\\u{code:04x}" for code in (0, 0x1B, 0x202E, 0x2066)})
    shown = " ".join(shown.replace("\r", "\\u000d").split()) if "`" not in text else ""
    for name in ("file_id", "title", "message", "request_id", "reason"):
        assert f"{shown} {name}".strip() in page.text
    assert [
        value for name, value in page.attributes if name in ("href", "src") and not value.startswith("#")
    ] == []


@pytest.mark.about_files
async def test_hostile_ledger_name_is_escaped(cli: Cli) -> None:
    """The name is in the title, in the head and in commands."""
    ledger = await mixed(cli)
    harmless = Page(await drawn(cli))
    name = "a<img src=x onerror=alert(1)>&amp;.db"
    ledger.path.rename(cli.folder / name)
    page = Page(await drawn(cli, ledger=name))
    assert page.tags == harmless.tags
    assert page.text.count(name) >= 3


async def test_page_needs_nothing_from_outside(cli: Cli) -> None:
    """One content security policy with digests of style and script; no address, and no event handlers."""
    await mixed(cli)
    photograph(cli.folder / "pictures" / "one" / "1.jpg")
    text = await drawn(cli, "--pictures", "pictures")
    page = Page(text)
    [policy] = [value for _, value in page.attributes if "default-src" in value]
    assert "default-src 'none'; img-src data:; style-src 'sha256-" in policy
    assert "unsafe" not in policy
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("style", "srcset")]
    assert not re.findall(r"https?://", text.replace("http://www.w3.org", ""))


# -- large ledgers ---------------------------------------------------------------------------------


async def test_many_failures_are_cut_with_some_of_each_code(cli: Cli) -> None:
    """A thousand failures are shown, no code is left out, and the page says where all are."""
    ledger = Drawn(cli.folder / "batcher.db")
    await ledger.make()
    kinds = [
        *[Ending("rejected", 1000)] * 1500,
        *[Ending("failed", 1)] * 900,
        *[Ending("rejected", 41003)] * 3,
    ]
    ledger.run(kinds, per_s=1000)
    text = await drawn(cli)
    page = Page(text)
    export = f"batcher export{ledger_option(cli.folder / 'batcher.db')} -o results.csv"
    assert f"1,000 of 2,403, some for each code. To see all: {export}" in page.text
    table = text.partition('<table id="failures-table">')[2].partition("</table>")[0]
    shown = Counter(re.findall(r'class="n code">(\d+)<', table))
    assert shown == {"41003": 3, "1": 498, "1000": 499}
    assert len(text) < 2_000_000


async def test_page_of_100000_submissions_is_small(cli: Cli) -> None:
    """The page is below two megabytes, is made in seconds, and its counts match the ledger."""
    ledger = Drawn(cli.folder / "batcher.db")
    await ledger.make()
    many = [
        REJECTED if n % 25 == 0 else LOST if n % 50 == 7 else Ending(took_ms=50 + n % 400)
        for n in range(100_000)
    ]
    for night in range(1, 5):
        ledger.run(many[(night - 1) * 25_000 : night * 25_000], number=night)
    text = await drawn(cli)
    assert len(text.encode()) < 2_000_000
    page = Page(text)
    assert "96,000 of 100,000 submissions have a task id; 4,000 do not." in page.text
    assert "102,000 were sent" in page.text
    assert "The first 300 of 2,000." in page.text


COUNTED = ", ".join(
    f"sum(CASE WHEN {condition} THEN 1 ELSE 0 END)"
    for condition in (
        "coalesce(outcome, '') <> 'not_sent'",
        "decision = 'submitted'",
        "decision = 'slow_down'",
        "outcome = 'answer'",
        "outcome IN ('not_sent', 'reply_lost')",
    )
)


async def test_survey_matches_plain_sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting page by page equals SQLite's sums over whole tables."""
    ledger = Drawn(tmp_path / "batcher.db")
    await ledger.make()
    ledger.run(MIXED * 40, quiet_s=300)
    ledger.run(MIXED * 10, number=2, per_s=3)
    ledger.task(1, "finished", [("whole", "a"), ("whole", "b"), ("blank", "c"), (None, None)])
    ledger.task(2, "unknown")
    ledger.task(3, "finished")
    monkeypatch.setattr("batcher.ledger.queries.history.PAGE", 100)
    async with await Survey.open(ledger.path) as survey:
        history = await survey.history(await survey.runs_that_sent())
    with reading(ledger.path) as sql:
        [counted] = sql.execute(
            f"SELECT {COUNTED} FROM attempts"  # noqa: S608 - ours
        ).fetchall()
        took = sql.execute(
            "SELECT answered_at_ms - sent_at_ms FROM attempts WHERE answered_at_ms IS NOT NULL"
        )
        latencies = Counter(row[0] for row in took)
    cells = [cell for one in history.timelines for cell in one.cells]
    assert [sum(one) for one in zip(*cells, strict=True)] == list(counted)
    assert (history.sent, history.refused) == (counted[0], counted[2])
    assert history.latencies == latencies
    assert len(cells) <= CELLS + len(history.timelines)
    assert history.doubts == {Doubt.HELD: 50, Doubt.TWICE: 50}
    assert history.pictures == {PictureState.WHOLE: 2, PictureState.BLANK: 1, None: 1}
    assert history.without_pictures == {TaskState.UNKNOWN: 1, TaskState.FINISHED: 1}


async def test_cells_match_times_of_requests(tmp_path: Path) -> None:
    """The cells of a pause in the middle of a run are empty."""
    ledger = Drawn(tmp_path / "batcher.db")
    await ledger.make()
    ledger.run([Ending()] * 200, quiet_s=30)
    async with await Survey.open(ledger.path) as survey:
        [timeline] = (await survey.history(await survey.runs_that_sent())).timelines
    sent = [cell.sent for cell in timeline.cells]
    assert sent[:5] == [19, 20, 20, 20, 20]
    assert sent[6:34] == [0] * 28
    assert sum(sent) == 200
    assert timeline.cells[5].unanswered == 6


async def test_killed_runs_cost_one_scan_of_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many they are; each ends with the last of its own requests."""
    monkeypatch.setattr("batcher.ledger.queries.history.PAGE", 100)
    asked: list[int] = []
    lengths: list[list[int]] = []
    for killed in (1, 5):
        ledger = Drawn(tmp_path / f"{killed}.db")
        await ledger.make()
        for number in range(1, 6):
            ledger.run(MIXED * 4, number=number, per_s=number)
        whole = ledger.path.with_suffix(".whole.db")
        copy_ledger(ledger.path, whole)
        with ledger.writing() as sql:
            sql.execute("UPDATE runs SET ended_at_ms = NULL WHERE id <= ?", (killed,))
        async with await Survey.open(ledger.path) as survey:
            with statements_of() as statements:
                history = await survey.history(await survey.runs_that_sent())
        asked.append(sum("FROM attempts" in text for text, _ in statements))
        lengths.append([len(one.cells) for one in history.timelines])
        sent = [sum(cell.sent for cell in one.cells) for one in history.timelines]
        async with await Survey.open(whole) as survey:
            known = await survey.history(await survey.runs_that_sent())
        assert sent == [sum(cell.sent for cell in one.cells) for one in known.timelines]
    assert asked[0] == asked[1]
    assert lengths[0] == pytest.approx(lengths[1], abs=2)


@pytest.mark.about_files
async def test_short_lists_never_scan_long_tables(tmp_path: Path) -> None:
    """Failures are found by their index, and shown tasks by the keys of a page."""
    ledger = Drawn(tmp_path / "batcher.db")
    await ledger.make()
    ledger.run(MIXED)
    ledger.task(1, "finished", [("whole", "a")])
    async with await Survey.open(ledger.path) as survey:
        with statements_of() as statements:
            assert len(await survey.troubled(State.REJECTED, 41003, 5)) == 1
            assert len(await survey.doubted(5)) == 2
            assert await survey.tasks_without_pictures(5) == []
            assert len(await survey.pictured(5, 5)) == 1
    plans = plans_of(ledger.path, statements)
    assert any("INDEX submissions_troubled (state=? AND code=?)" in step for step in plans)
    scanned = [step for step in plans if step.startswith("SCAN") and " INDEX submissions_" not in step]
    assert [
        step for step in scanned if re.search(r"SCAN (submissions|s|attempts|tasks|t|pictures|k)\b", step)
    ] == []


# -- what goes wrong -------------------------------------------------------------------------------


async def test_impossible_report_is_refused(cli: Cli) -> None:
    """A usage error exits with 2, a missing ledger with 6; no incomplete page is left."""
    await mixed(cli)
    language, folder, place, none, number = await asyncio.gather(
        cli("report", "-o", "a.html", "--lang", "fr"),
        cli("report", "-o", "b.html", "--pictures", "nowhere"),
        cli("report", "-o", "no/such/c.html"),
        cli("report", "-o", "d.html", "-l", "none.db"),
        cli("report", "-o", "e.html", "--recordings", "0"),
    )
    assert (language.code, language.stderr) == (2, "batcher: --lang fr: give en or zh\n")
    assert folder.code == 2
    assert "--pictures nowhere: there is no such folder" in folder.stderr
    assert place.code == 2
    assert "no/such/c.html: cannot be written" in place.stderr
    assert none.code == 6
    assert number.code == 2
    assert sorted(path.name for path in cli.folder.iterdir() if "html" in path.name) == []


@pytest.mark.parametrize(("package", "name"), [("jinja2", "Jinja2"), ("PIL", "Pillow")])
async def test_missing_package_is_named(cli: Cli, package: str, name: str) -> None:
    """The message has the install command, and the exit code is 2."""
    await mixed(cli)
    (cli.folder / "hidden").mkdir()
    (cli.folder / "hidden" / f"{package}.py").write_text(f"raise ImportError('none', name={package!r})")
    cli.env["PYTHONPATH"] = str(cli.folder / "hidden")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "batcher", "report", "-o", "report.html"),
        cwd=cli.folder,
        env=cli.env,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(process.communicate(), 40)
    assert process.returncode == 2
    assert f"report: needs the package {name}".encode() in said
    assert b"pip install 'Jinja2>=3.1' 'MarkupSafe>=2.1' 'Pillow>=11'" in said
