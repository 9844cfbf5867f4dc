"""The shapes of the report's plots, their places and labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest

from batcher.model.history import Cell, RunTimeline
from batcher.model.records import RunRecord
from batcher.model.submission import RunId
from batcher.report.html.latency_plot import latency_plot, percentiles
from batcher.report.html.phrases import Language, duration_text, speaker
from batcher.report.html.rate_plot import outages, rate_plot
from batcher.report.html.shapes import NARROW, WIDE, Box, Label, Outline, Plot, Rule

BEGAN = datetime(2026, 11, 23, 6, 40, tzinfo=UTC)
FULL, SILENT, EMPTY = Cell(20, 20, 0, 20, 0), Cell(0, 0, 0, 0, 6), Cell()
LANGUAGES = tuple(Language)


def run_of(number: int, lasts_s: float, *, pace: float | None = None, rate: float = 20) -> RunRecord:
    """A run that has ended."""
    began = BEGAN + timedelta(days=number)
    end = began + timedelta(seconds=lasts_s)
    return RunRecord(RunId(number), began, end, 0, 1, "here", "0", rate, "done", pace, None, None)


def timeline_of(cells: Sequence[Cell], number: int = 1, width_s: int = 1, **more: float) -> RunTimeline:
    """A run with these cells."""
    run = run_of(number, len(cells) * width_s, **more)
    return RunTimeline(run, round(run.started_at.timestamp() * 1000), width_s * 1000, tuple(cells))


def labels(plot: Plot) -> list[Label]:
    """Its words."""
    return [shape for shape in plot.shapes if isinstance(shape, Label) and shape.text]


def boxes(plot: Plot, means: str) -> list[Box]:
    """Its rectangles of one kind."""
    return [shape for shape in plot.shapes if isinstance(shape, Box) and shape.means == means]


def extent(label: Label) -> tuple[float, float, float, float]:
    """The room that words take, a little less than they are drawn with."""
    wide = sum(6.0 if letter.isascii() else 11.5 for letter in label.text)
    left = label.x - {"start": 0, "middle": wide / 2, "end": wide}[label.anchor]
    return left, label.y - 9, left + wide, label.y


def overlapping(plot: Plot) -> list[tuple[str, str]]:
    """Words that stand upon one another; what is said within the plot may stand upon the grid."""
    found = []
    for one, other in combinations(labels(plot), 2):
        a, b = extent(one), extent(other)
        if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]:
            found.append((one.text, other.text))
    return found


SPANS = [
    [timeline_of([FULL] * 4, pace=19.9)],
    [timeline_of([FULL] * 200, pace=12)],
    [timeline_of([FULL] * 2000, width_s=125, pace=12)],
    [timeline_of([Cell(15, 14, 3, 15, 0)] * 145, n, pace=11) for n in range(1, 15)],
    [timeline_of([FULL] * 3, 1, rate=5, pace=1), timeline_of([FULL] * 900, 2, rate=20, pace=17)],
    [timeline_of([EMPTY])],
    [timeline_of([Cell(4900, 4900, 0, 4900, 0)] * 30, rate=5000)],
    [timeline_of([Cell(1, 1, 0, 1, 0)] * 30, rate=0.5)],
]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("timelines", SPANS, ids=range(len(SPANS)))
def test_rate_labels_never_overlap(timelines: list[RunTimeline], width: int, language: Language) -> None:
    """For runs of any length and number, labels keep apart and stay within the drawing."""
    plot = rate_plot(timelines, width, speaker(language), language)
    assert overlapping(plot) == []
    assert [one.text for one in labels(plot) if extent(one)[0] < -1 or extent(one)[2] > width + 4] == []
    assert len({one.text for one in labels(plot) if one.means == "tick"}) >= 3


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize(
    "latencies", [{80: 1}, {1: 5, 30_000: 1}, {0: 3}, {95: 10, 100: 80, 105: 10}, {900: 1, 999: 5, 1000: 2}]
)
def test_latency_labels_never_overlap(latencies: dict[int, int], width: int, language: Language) -> None:
    """This holds from a single answer to five powers of ten."""
    plot = latency_plot(latencies, width, speaker(language), language)
    assert overlapping(plot) == []
    assert [one.text for one in labels(plot) if extent(one)[0] < -1 or extent(one)[2] > width + 4] == []


def test_bar_height_is_proportional() -> None:
    """Twice as many requests are twice as high on the axis, whose ticks show the numbers."""
    plot = rate_plot(
        [timeline_of([Cell(10, 5, 0, 10, 0)] * 40)], WIDE, speaker(Language.ENGLISH), Language.ENGLISH
    )
    ticks = {one.text: one.y - 4 for one in labels(plot) if one.means == "tick" and one.anchor == "end"}
    [sent] = [one.d for one in plot.shapes if isinstance(one, Outline) and one.means == "sent"]
    [submitted] = [one.d for one in plot.shapes if isinstance(one, Outline) and one.means == "submitted"]
    [cap] = [one for one in plot.shapes if isinstance(one, Rule) and one.means == "cap"]
    assert float(re.findall(r"M[\d.]+ ([\d.]+)", sent)[0]) == pytest.approx(ticks["10"], abs=0.1)
    assert float(re.findall(r"V([\d.]+)", submitted)[0]) == pytest.approx(ticks["5"], abs=0.1)
    assert cap.y1 == pytest.approx(ticks["20"], abs=0.1)


def test_throttled_cell_has_mark_at_its_time() -> None:
    """A cell with throttled requests has a mark below the axis; other cells have none."""
    cells = [FULL] * 50 + [Cell(20, 10, 10, 20, 0)] + [FULL] * 49
    plot = rate_plot([timeline_of(cells)], WIDE, speaker(Language.ENGLISH), Language.ENGLISH)
    [mark] = boxes(plot, "refused")
    middle = 52 + (WIDE - 66) * 50.5 / 100
    assert mark.x < middle < mark.x + mark.width
    assert mark.title == "throttled: 10"


def test_outage_is_hatched_and_labelled() -> None:
    """Twenty seconds without an answer after several unanswered calls are one outage."""
    plot = rate_plot(
        [timeline_of([FULL] * 30 + [SILENT] + [EMPTY] * 19 + [FULL] * 30)],
        WIDE,
        speaker(Language.ENGLISH),
        Language.ENGLISH,
    )
    [box] = boxes(plot, "outage")
    assert box.title == "outage 20 s"
    assert box.width == pytest.approx((WIDE - 66) / 4, rel=0.01)


OUTAGES = [
    ([FULL, SILENT, EMPTY, EMPTY, FULL], [(1, 4)]),
    ([FULL, Cell(20, 14, 0, 14, 6), EMPTY, FULL], [(2, 3)]),
    ([FULL, EMPTY, EMPTY, EMPTY, FULL], []),
    ([FULL, Cell(2, 0, 0, 0, 2), EMPTY, FULL], []),
    ([SILENT, EMPTY], [(0, 2)]),
    ([FULL, SILENT, FULL, SILENT, EMPTY], [(1, 2), (3, 5)]),
    ([Cell(20, 14, 0, 14, 60)] * 3, []),
]


@pytest.mark.parametrize(("cells", "expected"), OUTAGES)
def test_only_silence_after_lost_calls_is_outage(cells: list[Cell], expected: list[tuple[int, int]]) -> None:
    """A pause, or lost answers among others, are not an outage."""
    assert outages(timeline_of(cells)) == expected


def test_many_cells_are_drawn_as_few_steps() -> None:
    """Every step is wide enough to be visible, and no request is missing."""
    plot = rate_plot([timeline_of([FULL] * 2000)], NARROW, speaker(Language.ENGLISH), Language.ENGLISH)
    [sent] = [one.d for one in plot.shapes if isinstance(one, Outline) and one.means == "sent"]
    assert sent.count("H") <= (NARROW - 66) / 3
    assert len(sent) < 2000


def test_percentiles_match_sorted_list() -> None:
    """50, 95 and 99 of 100 answers came within the percentiles."""
    latencies = Counter(range(1, 101))
    assert tuple(percentiles(latencies)) == (50, 95, 99, 100)
    assert tuple(percentiles({7: 1})) == (7, 7, 7, 7)


def test_duration_has_text_in_both_languages() -> None:
    """Tenths below ten seconds, the two largest units above."""
    assert [duration_text(s, Language.ENGLISH) for s in (0, 0.4, 3, 75)] == [
        "0 s",
        "0.4 s",
        "3 s",
        "1 min 15 s",
    ]
    assert [duration_text(s, Language.CHINESE) for s in (0, 3, 75)] == ["0 秒", "3 秒", "1 分 15 秒"]
