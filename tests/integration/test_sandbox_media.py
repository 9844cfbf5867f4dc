"""A folder of real videos behind the sandbox: listed recordings, and the content of snapshots."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import av
import pytest
from PIL import Image
from support.calling import Caller, calling
from support.video_times import read_time_ms

from batcher.sandbox import CallbackSettings, Sandbox, SandboxRecording, SandboxSettings, TaskSettings
from batcher.sandbox.demo_picture import COLUMNS, ROWS, jpeg
from batcher.sandbox.demo_videos import FRAMES_PER_S, make_videos
from batcher.sandbox.media import tencent_id
from batcher.sandbox.tasks import ENDED

FRAME_MS = 1000 // FRAMES_PER_S
LONGEST_GAP_MS = 400
"""Between two frames of the variable one."""

pytestmark = pytest.mark.xdist_group("media")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sample videos, made once."""
    return make_videos(tmp_path_factory.mktemp("videos"))


def served(videos: dict[str, Path], **tasks: Any) -> Sandbox:  # noqa: ANN401 - any field of TaskSettings
    """A sandbox whose recordings they are."""
    folder = videos["moving"].parent
    return Sandbox(SandboxSettings(rate_per_s=None, media=folder, tasks=TaskSettings(**tasks)))


def of(sandbox: Sandbox, path: Path) -> SandboxRecording:
    """The recording that a file is."""
    recording = sandbox.recordings.find("Huawei", f"/record/{path.name}")
    assert recording is not None
    return recording


def by_offset(recording: SandboxRecording, offsets_s: Sequence[float]) -> str:
    times = "".join(f"&ExtTimeOffsetSet[]={offset}" for offset in offsets_s)
    return (
        f"Action=MediaThumbnails&Vendor=Tencent&FileId={recording.file_id}&Type=SnapshotByTimeOffset"
        f"&Definition=10{times}"
    )


def sampled(recording: SandboxRecording, interval_s: float) -> str:
    return (
        f"Action=MediaThumbnails&Vendor=Huawei&FileId={recording.key}&Type=SampleSnapshot"
        f"&Interval={interval_s}"
    )


async def ended(sandbox: Sandbox, caller: Caller, query: str) -> dict[str, Any]:
    """Start a task, wait for its end, and give what the service says of it."""
    task = (await caller.ask(query)).data
    task_id = str(task.get("TaskId") or task.get("task_id"))
    vendor = "Tencent" if "TaskId" in task else "Huawei"
    await sandbox.wait_for(lambda: sandbox.tasks.status(sandbox.tasks[task_id]) in ENDED)
    return (await caller.ask(f"Action=DescribeMediaTask&Vendor={vendor}&TaskId={task_id}")).data


async def shown_ms(caller: Caller, report: dict[str, Any]) -> list[int | None]:
    """The time that each picture shows."""
    base = f"{caller.url}_pictures/"
    urls = (
        report["ThumbnailsUrl"] if "ThumbnailsUrl" in report else [base + name for name in report["FileName"]]
    )
    times = []
    async with aiohttp.ClientSession() as session:
        for url in urls:
            async with session.get(url) as answer:
                assert (answer.status, answer.content_type) == (200, "image/jpeg")
                times.append(read_time_ms(Image.open(io.BytesIO(await answer.read()))))
    return times


async def test_snapshot_shows_requested_time(videos: dict[str, Path]) -> None:
    """The picture at 2.5 s shows 2.5 s, within a frame, in the order of the request."""
    asked_s = (2.5, 0, 5.9, 1, 2.5)
    sandbox = served(videos)
    async with calling(sandbox) as caller:
        report = await ended(sandbox, caller, by_offset(of(sandbox, videos["moving"]), asked_s))
        shown = await shown_ms(caller, report)
    assert (report["Status"], report["Message"]) == ("FINISH", "success")
    assert shown == [pytest.approx(at_s * 1000, abs=FRAME_MS) for at_s in asked_s]


async def test_silent_and_uneven_videos_show_frame_before(videos: dict[str, Path]) -> None:
    """The visible frame is the one before the requested time, at any distance."""
    sandbox = served(videos)
    async with calling(sandbox) as caller:
        silent = await ended(sandbox, caller, by_offset(of(sandbox, videos["silent"]), (0.5, 3.3)))
        assert await shown_ms(caller, silent) == [480, 3280]
        report = await ended(sandbox, caller, by_offset(of(sandbox, videos["variable"]), (1, 2.5, 4)))
        shown = await shown_ms(caller, report)
    for asked_ms, at_ms in zip((1000, 2500, 4000), shown, strict=True):
        assert at_ms is not None
        assert 0 <= asked_ms - at_ms < LONGEST_GAP_MS


async def test_samples_cover_the_whole_recording(videos: dict[str, Path]) -> None:
    """Samples start at 0 and use Huawei's interval, or the one of Tencent's template."""
    sandbox = served(videos, sample_interval_s=2)
    one = of(sandbox, videos["silent"])
    async with calling(sandbox) as caller:
        huawei = await ended(sandbox, caller, sampled(one, 0.5))
        assert huawei["Status"] == "SUCCEEDED"
        assert await shown_ms(caller, huawei) == [
            pytest.approx(number * 500, abs=FRAME_MS) for number in range(8)
        ]
        query = f"Action=MediaThumbnails&Vendor=Tencent&FileId={one.file_id}&Type=SampleSnapshot&Definition=1"
        assert await shown_ms(caller, await ended(sandbox, caller, query)) == [0, 2000]


async def test_number_of_pictures_is_bounded(videos: dict[str, Path]) -> None:
    """An interval of a millisecond does not fill the disk."""
    sandbox = served(videos, most_pictures=5)
    async with calling(sandbox) as caller:
        report = await ended(sandbox, caller, sampled(of(sandbox, videos["silent"]), 0.001))
    assert len(report["FileName"]) == 5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("truncated", "the source file cannot be decoded: Invalid data found when processing input"),
        ("audio", "the source file has no video stream"),
    ],
)
async def test_task_of_file_without_picture_fails(videos: dict[str, Path], name: str, message: str) -> None:
    """The file is listed and accepted like any other; the task fails with the reason."""
    sandbox = served(videos)
    one = of(sandbox, videos[name])
    async with calling(sandbox) as caller:
        tencent = await ended(sandbox, caller, by_offset(one, (1,)))
        huawei = await ended(sandbox, caller, sampled(one, 1))
    assert (tencent["Status"], tencent["Message"], tencent["ThumbnailsUrl"]) == ("FAIL", message, [])
    assert (huawei["Status"], huawei["FileName"]) == ("FAILED", [])


async def test_task_of_truncated_file_fails_beyond_its_end(videos: dict[str, Path], tmp_path: Path) -> None:
    """Existing frames are available; missing ones are not replaced by the last frame."""
    whole = tmp_path / "front.mp4"
    with (
        av.open(str(videos["silent"])) as source,
        av.open(str(whole), "w", options={"movflags": "faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) // 2])
    sandbox = Sandbox(SandboxSettings(rate_per_s=None, media=tmp_path))
    one = of(sandbox, whole)
    async with calling(sandbox) as caller:
        early = await ended(sandbox, caller, by_offset(one, (0.5,)))
        assert await shown_ms(caller, early) == [480]
        late = await ended(sandbox, caller, by_offset(one, (0.5, 3.5)))
    assert (late["Status"], late["ThumbnailsUrl"]) == ("FAIL", [])
    assert (
        "its header says 4.0 s and it ends at " in late["Message"] or "cannot be decoded" in late["Message"]
    )


async def test_folder_is_listed_with_real_values(videos: dict[str, Path]) -> None:
    """Duration, picture size and file size are those of the files; ids follow from the paths."""
    sandbox = served(videos)
    async with calling(sandbox) as caller:
        tencent = (await caller.ask("Action=SearchMedia&Vendor=Tencent")).data["MediaInfoSet"]
        huawei = (await caller.ask("Action=SearchMedia&Vendor=Huawei&NamePrefix=record/")).data["Keys"]
    assert {item["BasicInfo"]["Name"]: item["FileId"] for item in tencent} == {
        path.name: tencent_id(path.name) for path in videos.values()
    }
    assert [item["Key"] for item in huawei] == sorted(f"/record/{path.name}" for path in videos.values())
    assert {item["Key"]: item["Size"] for item in huawei} == {
        f"/record/{path.name}": path.stat().st_size for path in videos.values()
    }
    items = {item["BasicInfo"]["Name"]: item for item in tencent}
    moving = items[videos["moving"].name]["TranscodeInfo"]["TranscodeSet"][0]
    assert (moving["Width"], moving["Height"]) == (320, 180)
    assert moving["Duration"] == pytest.approx(6, abs=0.1)
    assert items[videos["audio"].name]["BasicInfo"]["Category"] == "Audio"
    assert items[videos["truncated"].name]["TranscodeInfo"]["TranscodeSet"] == []
    assert all(len(item["FileId"]) == 19 for item in tencent)


async def test_unknown_id_is_refused(videos: dict[str, Path]) -> None:
    """The code is 1000, and there is no task."""
    sandbox = served(videos)
    async with calling(sandbox) as caller:
        asked = by_offset(of(sandbox, videos["moving"]), (1,))
        answer = await caller.ask(asked.replace("FileId=", "FileId=1"))
        assert answer.code == 1000
        assert (
            await caller.ask(sampled(of(sandbox, videos["moving"]), 1).replace("lesson", "../x"))
        ).code == 1000
    assert sandbox.accepted() == {}


def test_folder_excludes_links_and_hidden_files(videos: dict[str, Path], tmp_path: Path) -> None:
    """Links to elsewhere, hidden files and other files are not listed; subfolders are."""
    inside = tmp_path / "folder" / "a"
    inside.mkdir(parents=True)
    shutil.copy(videos["silent"], inside / "课 1.mp4")
    shutil.copy(videos["silent"], inside / ".hidden.mp4")
    (inside / "notes.txt").write_text("nothing to see")
    (inside / "empty.mp4").touch()
    (inside / "out.mp4").symlink_to(videos["moving"])
    sandbox = Sandbox(SandboxSettings(media=tmp_path / "folder"))
    keys = [sandbox.recordings.with_key_at(place).key for place in range(sandbox.recordings.count)]
    assert keys == ["/record/a/empty.mp4", "/record/a/课 1.mp4"]


async def test_real_task_is_called_back_with_its_pictures(videos: dict[str, Path]) -> None:
    """The addresses in the callback can be fetched immediately, and show the reported times."""
    settings = SandboxSettings(
        media=videos["moving"].parent, callbacks=CallbackSettings(url="http://127.0.0.1:9/", schedule_s=())
    )
    sandbox = Sandbox(settings)
    async with calling(sandbox) as caller:
        await caller.ask(by_offset(of(sandbox, videos["moving"]), (2.5, 4)))
        await sandbox.wait_for(lambda: len(sandbox.callbacks) == 1)
        listed = json.loads(json.loads(sandbox.callbacks[0].body)["snapshot_pic_list"])
        shown = await shown_ms(caller, {"ThumbnailsUrl": [one["url"] for one in listed]})
    assert [one["offset"] for one in listed] == [2500, 4000]
    assert shown == [pytest.approx(one["offset"], abs=FRAME_MS) for one in listed]


async def test_real_task_takes_its_configured_time(videos: dict[str, Path]) -> None:
    """The task has not ended before its time, although its pictures exist."""
    sandbox = served(videos, time_s=100)
    async with calling(sandbox) as caller:
        query = by_offset(of(sandbox, videos["moving"]), (1,))
        task = sandbox.tasks[(await caller.ask(query)).data["TaskId"]]
        await sandbox.wait_for(lambda: task.shots is not None)
        assert sandbox.tasks.status(task) == "WAITING"
        sandbox.advance(100)
        assert sandbox.tasks.status(task) == "FINISH"


async def test_stopped_sandbox_leaves_no_pictures(
    videos: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Pictures are removed with the sandbox, also if it is stopped while taking them."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    sandbox = served(videos)
    async with calling(sandbox) as caller:
        await ended(sandbox, caller, sampled(of(sandbox, videos["moving"]), 1))
        assert len(_left(tmp_path, "*.jpg")) == 7
        for _ in range(20):
            await caller.ask(sampled(of(sandbox, videos["moving"]), 0.05))
        before_s = time.monotonic()
    assert time.monotonic() - before_s < 20
    assert _left(tmp_path, "*") == []


def _left(folder: Path, pattern: str) -> list[Path]:
    return list(folder.rglob(pattern))


def test_samples_are_made_quickly(tmp_path: Path) -> None:
    """The samples take little time, and the folder is created if needed."""
    before_s = time.process_time()
    made = make_videos(tmp_path / "deep" / "down")
    assert time.process_time() - before_s < 5
    assert sorted(made) == ["audio", "moving", "silent", "truncated", "variable"]
    with av.open(str(made["variable"])) as container:
        times = [frame.time or 0 for frame in container.decode(video=0)]
    gaps = {round(after - before, 2) for before, after in pairwise(times)}
    assert len(gaps) > 2
    streams = {}
    for name in ("moving", "silent", "audio"):
        with av.open(str(made[name])) as container:
            streams[name] = (len(container.streams.video), len(container.streams.audio))
    assert streams == {"moving": (1, 1), "silent": (1, 0), "audio": (0, 1)}


def test_picture_without_strip_has_no_time(videos: dict[str, Path]) -> None:
    """A missing or damaged strip yields None."""
    assert read_time_ms(Image.new("RGB", (320, 180), "white")) is None
    assert read_time_ms(Image.effect_noise((320, 180), 90)) is None
    with av.open(str(videos["silent"])) as container:
        picture = next(iter(container.decode(video=0))).to_image()  # type: ignore[no-untyped-call]
    assert read_time_ms(picture) == 0
    assert read_time_ms(picture.resize((640, 360))) == 0
    left, top, square = 160 - 12 * 12, 180 - 2 * 12, 12
    for place in range(24):
        damaged = picture.copy()
        corner = left + place * square
        box = (corner, top, corner + square, top + square)
        damaged.paste("black" if place in (0, 23) else "white", box)
        assert read_time_ms(damaged) is None, place


def test_mosaic_shows_its_squares() -> None:
    """Every square has the requested brightness."""
    rng = Random(1)
    many = [rng.randbytes(COLUMNS * ROWS) for _ in range(10)]
    many += [bytes(rng.choices((0, 255), k=COLUMNS * ROWS)) for _ in range(10)]  # these need stuffing
    for squares in many:
        image = Image.open(io.BytesIO(jpeg(squares)))
        image.load()
        rows = [image.tobytes()[(row * 8 + 4) * image.width :][: image.width] for row in range(ROWS)]
        assert b"".join(row[4::8] for row in rows) == squares


@pytest.mark.parametrize("missing", ["av", "PIL"])
def test_missing_package_is_named(tmp_path: Path, missing: str) -> None:
    """The message has the install command, and there is no traceback."""
    blocked = f"import sys; sys.modules[{missing!r}] = None; sys.argv = ['batcher', *sys.argv[1:]]; "
    done = subprocess.run(  # noqa: S603, RUF100 - this very interpreter
        [
            sys.executable,
            "-c",
            blocked + "from batcher.cli import main; main()",
            "sandbox",
            "--media",
            tmp_path,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'av>=17' 'Pillow>=11'" in done.stderr
    assert "Traceback" not in done.stderr


def test_sandbox_without_folder_imports_no_media_package() -> None:
    """A sandbox by rule needs neither PyAV nor Pillow."""
    code = (
        "import sys; from batcher.sandbox import Sandbox; Sandbox(); "
        "print([name for name in ('av', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
