"""The report in a real browser: wide and narrow, in light and dark mode, and without script."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path

import pytest
from PIL import Image, ImageStat
from support.browsing import Tab, browser, browsing
from support.cli import Cli
from support.drawn import Drawn, Ending, Words

from batcher.model.history import Doubt

pytestmark = [
    pytest.mark.skipif(browser() is None, reason="there is no Chromium here: apt-get install chromium"),
    pytest.mark.xdist_group("browser"),
]

LONG = Words(
    file_id="/record/" + "very-long-folder" * 14 + "/2024-11-13.mp4",
    title="片段" * 40,
    message="no-blank-" * 30,
    request_id="fedcba98" * 16,
    task_id="1500030200-procedurev2-" + "afc1fe7dfe51cd88" * 8,
    reason="word" * 60,
    error="HTTP" * 30,
    source="a" * 200 + ".csv",
)

MIXED = [*[Ending()] * 60, *[Ending("rejected", 41003)] * 3, *[Ending("rejected", 1000)] * 2]
MIXED += [Ending("failed", 1), Ending(lost=1), Ending("in_doubt", None, lost=1), *[Ending(refused=1)] * 9]


async def page_of(cli: Cli, words: Words | None = None, *args: str) -> str:
    """The address of a report with something of everything."""
    ledger = Drawn(cli.folder / "batcher.db", words or Words())
    await ledger.make()
    ledger.run(MIXED, quiet_s=12)
    ledger.run(MIXED, number=2, per_s=15)
    ledger.task(1, "finished", [("whole", "a.jpg"), ("black", "b.jpg"), ("missing", None)])
    ledger.task(2, "failed")
    ledger.task(3, "finished", [("whole", "a.jpg")] * 11)
    ledger.invalid_rows(2)
    folder = cli.folder / "pictures"
    folder.mkdir()
    Image.new("RGB", (640, 360), "#2266aa").save(folder / "a.jpg")
    Image.new("RGB", (640, 360)).save(folder / "b.jpg")
    done = await cli("report", "-o", "report.html", "--pictures", "pictures", *args)
    assert done.code == 0, done.stderr
    return (cli.folder / "report.html").as_uri()


@pytest.fixture
async def tab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tab]:
    """A browser."""
    async with browsing(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


CUT_OFF = """
[...document.querySelectorAll("body *")].filter((one) => {
  const box = one.getBoundingClientRect();
  return box.width && !one.closest("svg, thead") && (box.right > innerWidth + 1 || box.left < -1);
}).map((one) => one.outerHTML.slice(0, 120))
"""

WORDS_THAT_MEET = """
[...document.querySelectorAll("svg.plot")].filter((p) => p.getBoundingClientRect().width).flatMap((one) => {
  const words = [...one.querySelectorAll("text")].map((t) => [t.textContent, t.getBoundingClientRect()]);
  return words.flatMap(([a, one], at) => words.slice(at + 1).filter(([b, other]) =>
    a && b && one.left < other.right - 1 && other.left < one.right - 1
    && one.top < other.bottom - 3 && other.top < one.bottom - 3).map(([b]) => a + " | " + b));
})
"""


@pytest.mark.parametrize("words", [Words(), LONG], ids=["short", "long"])
@pytest.mark.parametrize("language", ["en", "zh"])
async def test_page_fits_every_width(cli: Cli, tab: Tab, words: Words, language: str) -> None:
    """On a phone, a tablet and a desktop there is no horizontal scrolling and no overlap."""
    page = await page_of(cli, words, "--lang", language)
    for width in (320, 390, 700, 1100, 2000):
        await tab.look_at(page, width=width)
        assert await tab.value("document.documentElement.scrollWidth") <= width
        assert await tab.value(CUT_OFF) == []
        assert await tab.value(WORDS_THAT_MEET) == []
    assert tab.complaints == []


async def test_page_makes_no_requests(cli: Cli, tab: Tab) -> None:
    """The page loads only itself, and the browser logs no error."""
    await tab.look_at(await page_of(cli))
    every = (
        "Promise.all([...document.images].map((one) => (one.scrollIntoView(), one.decode()))).then(() => 7)"
    )
    assert await tab.value(every) == 7
    assert {address.split(":")[0] for address in tab.asked} == {"file", "data"}
    assert len([address for address in tab.asked if address.startswith("file")]) == 1
    assert tab.complaints == []
    loaded = "[...document.images].filter((one) => one.complete && one.naturalWidth === 240).length"
    assert await tab.value(loaded) == 10
    assert await tab.value("[...document.images].every((one) => one.loading === 'lazy')")


def brightness(picture: Image.Image) -> float:
    """Of the whole of it, from 0 to 255."""
    return ImageStat.Stat(picture.convert("L")).mean[0]


CONTRAST = """
(() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const linear = (c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = parts(colour).map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const said = (one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  const shown = [...document.querySelectorAll("body *")].filter((one) => one.offsetParent && said(one));
  const pairs = shown.map((one) => {
    const [a, b] = [light(getComputedStyle(one).color), light(ground(one))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), one.className, one.textContent.slice(0, 30)];
  });
  return pairs.filter(([ratio]) => ratio < 4.5);
})()
"""


async def test_dark_mode_is_readable(cli: Cli, tab: Tab) -> None:
    """The background follows the browser's setting, and all text has a contrast of at least 4.5 to 1."""
    page = await page_of(cli)
    await tab.look_at(page)
    day = await tab.picture()
    assert await tab.value(CONTRAST) == []
    await tab.look_at(page, dark=True)
    night = await tab.picture()
    assert await tab.value(CONTRAST) == []
    assert brightness(day) > 200
    assert brightness(night) < 60
    assert max(night.getpixel((5, 5))) < 40  # type: ignore[arg-type] # of an RGB picture: three numbers


async def test_search_filters_table(cli: Cli, tab: Tab) -> None:
    """Rows that contain all words stay, the others are hidden, and the page shows the number."""
    await tab.look_at(await page_of(cli))
    rows = (
        "[...document.querySelectorAll('#failures-table tbody tr')].filter((one) => one.offsetHeight).length"
    )
    type_ = "const box = document.querySelector('[data-searches=failures-table]'); box.value = {!r};"
    type_ = f"{{{{ {type_} box.dispatchEvent(new Event('input')); }}}}"
    assert await tab.value(rows) == 12
    await tab.value(type_.format("41003  REJECTED"))
    assert await tab.value(rows) == 6
    assert await tab.value("document.getElementById('failures-table-found').textContent") == "6 of 12 rows"
    await tab.value(type_.format("nothing like it"))
    assert await tab.value(rows) == 0
    await tab.value(type_.format(""))
    assert await tab.value(rows) == 12


async def test_page_without_script_is_complete(cli: Cli, tab: Tab) -> None:
    """Everything is readable, and the search box is hidden."""
    page = await page_of(cli)
    await tab.look_at(page)
    with_script = await tab.value("document.body.innerText")
    assert await tab.value("[...document.querySelectorAll('.search')].every((one) => one.offsetHeight > 0)")
    await tab.look_at(page, script=False)
    without = await tab.value("document.body.innerText")
    assert await tab.value("[...document.querySelectorAll('.search')].every((one) => one.offsetHeight === 0)")
    assert without.split() == with_script.replace("Search this table", "").split()


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_hostile_text_runs_nothing(cli: Cli, tab: Tab, language: str) -> None:
    """No text is run, becomes an element, or causes a request."""
    words = """</title></td><script>window.pwned=1</script><img src="//pwned.example/" onerror="pwned=1">'"""
    hostile = Words(**{field.name: f"{words}{field.name}" for field in fields(Words)})
    await tab.look_at(await page_of(cli, hostile, "--lang", language))
    assert await tab.value("typeof window.pwned") == "undefined"
    assert await tab.value("document.scripts.length") == 1
    assert (
        await tab.value("document.querySelectorAll('[onerror], a:not([href^=\"#\"]), iframe, object').length")
        == 0
    )
    assert [address for address in tab.asked if "pwned" in address and not address.startswith("file")] == []
    assert tab.complaints == []
    assert await tab.value("document.querySelector('#failures-table td bdi').textContent") != ""
    assert "window.pwned=1" in await tab.value("document.querySelector('#failures-table').textContent")


async def test_print_is_light_and_short(cli: Cli, tab: Tab) -> None:
    """The print is white in dark mode too, takes a few pages, and omits the search box."""
    await tab.look_at(await page_of(cli), dark=True)
    printed = await tab.printed()
    assert printed.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 8
    scheme = {"name": "prefers-color-scheme", "value": "dark"}
    await tab.command("Emulation.setEmulatedMedia", media="print", features=[scheme])
    assert await tab.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert await tab.value("document.querySelector('nav').offsetHeight") == 0
    assert await tab.value("getComputedStyle(document.querySelector('.plot.wide')).display") == "block"


async def test_large_report_opens_quickly(cli: Cli, tab: Tab) -> None:
    """A report with a thousand failures and hundreds of doubts opens within two seconds."""
    ledger = Drawn(cli.folder / "batcher.db")
    await ledger.make()
    ledger.run([Ending("rejected", 1000), Ending(lost=1), Ending()] * 1500, per_s=100)
    done = await cli("report", "-o", "report.html")
    assert done.code == 0, done.stderr
    await tab.look_at(Path(cli.folder / "report.html").as_uri())
    assert await tab.value("document.querySelectorAll('#failures-table tbody tr').length") == 1000
    assert await tab.value("performance.getEntriesByType('navigation')[0].duration") < 2000
    assert await tab.value(f"document.body.innerText.includes('{Doubt.TWICE.value}')")
