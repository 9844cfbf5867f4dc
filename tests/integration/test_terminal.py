"""Output on a terminal: lines that fit, weight instead of colours, and no torn words."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len
from support.cli import DEADLINE_S, PICTURES, Cli, serving, tencent_ids, write_manifest
from support.ledger_place import ledger_option
from support.terminal import CONTROL, Terminal, shown, too_wide

from batcher.sandbox import Fault, SandboxSettings

LIGHT_AND_DARK = {"0", "1", "2", "22", "39", "49", "31", "35", ""}
"""Weight, the terminal's own colours, red and magenta: what is legible on white as on black."""


@pytest.mark.parametrize(("columns", "widest"), [(80, 80), (200, 100)])
async def test_help_is_legible_on_light_and_on_dark(cli: Cli, columns: int, widest: int) -> None:
    """Help has weight and no colours, nothing in it fades, and no line is too long."""
    code, terminal = await shown(cli, "ledger", "prune", "--help", columns=columns)
    assert code == 0
    assert terminal.colours <= {"0", "1", "22", "39", "49", ""}
    assert "1" in terminal.colours
    assert max(map(cell_len, terminal.lines)) == widest


@pytest.mark.about_files
async def test_problems_are_wrapped_on_a_terminal_alone(cli: Cli) -> None:
    """A terminal gets lines that fit, with no word torn; a file gets one line for each problem."""
    ledger = "归档/" + "很长的文件夹名字" + "/录像.db"
    words = ("status", "-l", ledger)
    code, terminal = await shown(cli, *words, columns=60)
    written = await cli(*words)
    assert (code, written.code) == (6, 6)
    assert len(written.stderr.splitlines()) == 1
    assert len(terminal.lines) > 2
    assert too_wide(terminal.lines, 60) == []
    assert " ".join(terminal.text.split()) == " ".join(written.stderr.split())


async def test_dumb_terminal_gets_text_alone(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Nothing is drawn where nothing can be, and lines fit there, too."""
    archive = manifest(tencent_ids(3)).name
    async with serving(cli):
        code, terminal = await shown(cli, "run", archive, *PICTURES, columns=70, TERM="dumb")
    assert code == 0
    assert "\x1b" not in terminal.text
    assert too_wide(terminal.lines, 70) == []


@pytest.mark.parametrize("no_colour", [False, True])
async def test_display_is_legible_in_light_and_dark_mode(
    cli: Cli, manifest: Callable[..., Path], no_colour: bool
) -> None:
    """Among the counts only existing trouble is emphasized, and by its weight, too."""
    ids = tencent_ids(40)
    archive = manifest(ids)
    faults = {ids[0]: [Fault.parse("code:41003")], ids[1]: [Fault.parse("drop-after")]}
    async with serving(cli, SandboxSettings(rate_per_s=None, by_file=faults)):
        code, terminal = await shown(
            cli, "run", archive, *PICTURES, "--in-doubt", "hold", NO_COLOR="1" if no_colour else ""
        )
    assert code == 1
    drawn = [line for line in terminal.text.split("\n") if "submitted  " in line and "in doubt" in line]
    assert drawn
    assert all(re.search(r"(?<!m)\b0 failed", line) for line in drawn)
    for figure, colour in (("1 rejected", ";31"), ("1 in doubt", ";35")):
        assert f"\x1b[1{'' if no_colour else colour}m{figure}" in drawn[-1]
    assert terminal.colours <= (LIGHT_AND_DARK - {"31", "35"} if no_colour else LIGHT_AND_DARK)


async def test_next_commands_can_be_pasted(cli: Cli, manifest: Callable[..., Path]) -> None:
    """On a narrow terminal a long command continues after a backslash, and is not torn otherwise."""
    archive = manifest(tencent_ids(2))  # its place alone is wider than the terminal
    async with serving(cli):
        code, terminal = await shown(cli, "run", archive, *PICTURES, columns=50)
    assert code == 0
    _, _, command = CONTROL.sub("", terminal.text).partition("for results")
    assert shlex.split(command.replace("\\\n", " ").splitlines()[0]) == [
        *("batcher", "export", *shlex.split(ledger_option(cli.folder / "batcher.db"))),
        *(str(archive), "-o", "results.csv"),
    ]


async def test_outage_is_shown_instead_of_a_pace(cli: Cli, manifest: Callable[..., Path]) -> None:
    """Ctrl-C ends the wait, and the summary has the remedy."""
    archive = manifest(tencent_ids(5))
    async with serving(cli):
        pass  # its address is known, and no server answers there any more
    terminal = Terminal(cli, ["run", archive, *PICTURES], 80, {})
    await asyncio.to_thread(terminal.read, "Nothing is sent: waiting for the service since")
    assert "Pace held" not in terminal.text
    terminal.interrupt()
    assert await asyncio.to_thread(terminal.end) == 130
    assert "Check the network" in " ".join(terminal.text.split())


async def test_second_signal_says_that_it_was_heard(cli: Cli, manifest: Callable[..., Path]) -> None:
    """The first says that it waits, the second that it does not."""
    archive = manifest(ids := tencent_ids(1))
    silent = SandboxSettings(rate_per_s=None, by_file={ids[0]: [Fault.parse("hang")]})
    async with serving(cli, silent) as sandbox:
        terminal = Terminal(cli, ["run", archive, *PICTURES], 80, {})
        async with asyncio.timeout(DEADLINE_S):
            while not sandbox.log:  # noqa: ASYNC110 - another process makes it so
                await asyncio.sleep(0.01)
        terminal.interrupt()
        await asyncio.to_thread(terminal.read, "Stopping: waiting")
        terminal.interrupt()
        assert await asyncio.to_thread(terminal.end) == 130
    assert CONTROL.sub("", terminal.text).count("Stopping: ") == 1
    assert "Stopping immediately" in terminal.text


@pytest.mark.parametrize("columns", [60, 80, 200])
async def test_whatever_is_read_fits(cli: Cli, columns: int) -> None:
    """Loads, dry runs, status and everything known of a recording stay within the terminal's columns."""
    name = "第三季度 课堂录像 归档.csv"
    rows = [
        [tencent_ids(1)[0], "高一年级第二学期数学", "王老师和李老师 共同授课"],
        ["1.39776E+18", "语文", ""],
        ["不是编号 也不是路径", "英语", ""],
    ]
    write_manifest(cli.folder / name, rows, ("file_id", "课程", "备注"))
    commands: list[tuple[str, ...]] = [
        ("run", name, *PICTURES, "--dry-run"),
        ("load", name, *PICTURES),
        ("status",),
        ("show", rows[0][0]),
        ("ledger", "info"),
        ("codes", "1000"),
    ]
    for words in commands:
        code, terminal = await shown(cli, *words, columns=columns)
        assert code in (0, 1), terminal.text
        assert too_wide(terminal.lines, columns) == []
        assert terminal.colours == set()


async def test_mistyped_command_line_gets_one_line(cli: Cli) -> None:
    """The message names the mistake and the help."""
    for words, expected in (
        (("run", "--rat", "3"), "batcher: No such option: --rat"),
        (("run", "--rate", "fast"), "batcher: --rate fast: give a number;"),
        (("codes", "ten"), "batcher: N ten: give a whole number;"),
        (("report", "--recordings", "0"), "batcher: --recordings 0: give 1 or more;"),
        (("show",), "batcher: Missing argument"),
        (("nonsense",), "batcher: No such command"),
    ):
        done = await cli(*words)
        assert done.code == 2
        [line] = done.stderr.splitlines()
        assert line.startswith(expected)
        assert line.endswith(f"; see batcher {words[0]} --help" if words[0] != "nonsense" else "--help")
    nothing = await cli()
    assert nothing.code == 2
    assert "The main job" in nothing.stdout + nothing.stderr
