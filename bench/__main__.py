"""All figures, one after the other, written as one table into bench/RESULTS.md between its two marks.

python -m bench [--repeat N] [--scale SHARE]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

from bench import claims, exporting, first_request, intake, memory, starting, steady, throughput
from bench.archive import archive
from bench.figures import Figure, add_effort, effort_of, room_bytes
from bench.measuring import HEAD, CommandFailed

RESULTS = Path(__file__).with_name("RESULTS.md")
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"

FIGURES: dict[str, Figure] = {
    "memory": memory.figure,  # first: a process that is started has been as large as the one that starts it
    "starting": starting.figure,
    "throughput": throughput.figure,
    "intake": intake.figure,
    "claims": claims.figure,
    "exporting": exporting.figure,
    "first_request": first_request.figure,
    "steady": steady.figure,
}

_PACKAGES = ("aiohttp", "aiolimiter", "SQLAlchemy", "pyarrow", "scrapy")


def machine() -> str:
    """What it was measured on, and with."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [
        f"{_processor()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB",
        f"{platform.system()} {platform.release()}",
        f"Python {platform.python_version()}",
        f"SQLite {sqlite3.sqlite_version}",
        *(
            f"{name} {importlib.metadata.version(name)}"
            for name in _PACKAGES
            if importlib.util.find_spec(name.lower())
        ),
        *filter(None, map(_version, (("nginx", "-v"), ("aria2c", "--version"), ("parallel", "--version")))),
    ]
    return ", ".join(parts) + "."


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(command: tuple[str, str]) -> str | None:
    program = shutil.which(command[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        return None
    said = subprocess.run([program, command[1]], capture_output=True, text=True, check=False)
    words = (said.stdout or said.stderr).split()
    number = next((word for word in map(_number, words) if word[:1].isdigit()), "")
    return f"{command[0]} {number}"


def _number(word: str) -> str:
    return word.rpartition("/")[2]


def write(table: str) -> None:
    """Put the table between the marks; everything else in the file stays."""
    text = RESULTS.read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(
            f"{RESULTS}: the lines {BEGIN} and {END} are missing; put them where the table belongs"
        )
    RESULTS.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", "utf-8")


def main() -> int:
    """Take all figures; one that fails is said, and the others are taken all the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_effort(parser)
    parser.add_argument("--only", action="append", choices=list(FIGURES), help="repeat for more")
    parser.add_argument("--dry", action="store_true", help="print the table, write nothing")
    chosen = parser.parse_args()
    effort, failed = effort_of(chosen), 0
    lines = [machine(), "", HEAD]
    print("\n".join(lines), flush=True)
    with archive(room_bytes(effort)) as made:
        for name in chosen.only or FIGURES:
            try:
                for row in FIGURES[name](effort, made):
                    lines.append(str(row))
                    print(row, flush=True)
            except CommandFailed as exc:
                failed += 1
                print(f"{name}: {exc}", file=sys.stderr, flush=True)
    if not chosen.dry and not failed:
        write("\n".join(lines))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
