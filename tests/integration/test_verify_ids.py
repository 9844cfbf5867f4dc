"""``batcher verify-ids``: what is wrong with a manifest's ids, before money is spent on them."""

from __future__ import annotations

import csv
import io
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import Cli, serving, write_manifest

from batcher.sandbox import (
    ActionFaults,
    Fault,
    PageNumbering,
    RecordingSettings,
    Sandbox,
    SandboxSettings,
)

NEWEST = 1_790_000_000

VERIFY = ("verify-ids", "archive.csv", "--rate", "2000")

Manifest = Callable[..., Path]


def holding(count: int, **settings: object) -> SandboxSettings:
    """A service without limits that keeps so many recordings."""
    every = {"count": count, "until_s": NEWEST, "span_s": 86_400} | settings
    return SandboxSettings(rate_per_s=None, recordings=RecordingSettings(**every))  # type: ignore[arg-type] # as named


def kept(sandbox: Sandbox) -> list[str]:
    """Tencent's ids of all that the service keeps."""
    return [sandbox.recordings.at(place).file_id for place in range(sandbox.recordings.count)]


def table(text: str) -> list[dict[str, str]]:
    """The rows of a report."""
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("pages", PageNumbering)
async def test_verify_ids_reports_each_row_with_something_wrong(
    cli: Cli, manifest: Manifest, pages: PageNumbering
) -> None:
    """Missing, audio only, forbidden, archived, images and rows that cannot be sent; nothing else."""
    async with serving(cli, holding(1_000, pages=pages)) as sandbox:
        ids = kept(sandbox)
        ids[100:100] = ["1397757897438985123", "1.39776E+18"]
        manifest(ids)
        expected = []
        for line, one in enumerate(ids, 2):
            found = sandbox.recordings.find("Tencent", one)
            words = ["invalid" if "E" in one else "missing"]
            if found is not None:
                words = [
                    *(["audio_only"] if found.category == "Audio" else []),
                    *(["image"] if found.category == "Image" else []),
                    *(["forbidden"] if found.status == "Forbidden" else []),
                    *(["archived"] if found.storage_class == "ARCHIVE" else []),
                ]
            expected += [(str(line), one, ";".join(words))] if words else []
        done = await cli(*VERIFY)
        reported = [(row["line"], row["file_id"], row["finding"]) for row in table(done.stdout)]
        assert (done.code, reported) == (1, expected)
        assert {word for _, _, finding in reported for word in finding.split(";")} == {
            *("missing", "invalid", "audio_only", "image", "forbidden", "archived")
        }
        assert "1,001 ids looked up" in done.stderr
        assert len(sandbox.requests_of("SearchMedia")) <= 101 + 3  # ten to a call


async def test_verify_ids_with_an_id_of_more_than_40_characters_searches_the_others(
    cli: Cli, manifest: Manifest
) -> None:
    """A search takes no longer id: it is refused without a call, and the other ids of the call are found."""
    async with serving(cli, holding(60)) as sandbox:
        made = [one for one in map(sandbox.recordings.at, range(60)) if one.category == "Video"]
        good = [one.file_id for one in made if (one.status, one.storage_class) == ("Normal", "STANDARD")][:3]
        manifest([good[0], "1" * 41, *good[1:]])
        done = await cli(*VERIFY)
        assert done.code == 1
        assert [(row["file_id"], row["finding"]) for row in table(done.stdout)] == [("1" * 41, "refused")]
        assert {entry.code for entry in sandbox.requests_of("SearchMedia")} == {0}


async def test_verify_ids_with_a_service_that_is_not_enabled_exits_3(cli: Cli, manifest: Manifest) -> None:
    """Code 8 concerns the account: one call, its meaning, and the question for support."""
    faults = {"SearchMedia": ActionFaults(script={1: Fault.parse("code:8")})}
    async with serving(cli, SandboxSettings(rate_per_s=None, faults=faults)) as sandbox:
        manifest(["1397757897438985123"])
        done = await cli(*VERIFY)
        assert (done.code, len(sandbox.requests_of("SearchMedia"))) == (3, 1)
    assert "code 8: the authentication configuration could not be read" in done.stderr
    assert "ask ZEGO technical support whether the service is enabled" in done.stderr


async def test_verify_ids_without_faults_exits_0(cli: Cli, manifest: Manifest) -> None:
    """A manifest with nothing wrong makes an empty report."""
    async with serving(cli, holding(60)) as sandbox:
        made = map(sandbox.recordings.at, range(60))
        manifest(
            one.file_id
            for one in made
            if (one.category, one.status, one.storage_class) == ("Video", "Normal", "STANDARD")
        )
        done = await cli(*VERIFY, "-o", "wrong.csv")
        assert (done.code, done.stdout) == (0, "")
        assert table((cli.folder / "wrong.csv").read_text("utf-8")) == []


async def test_verify_ids_suggests_the_original_of_a_rounded_id(cli: Cli, manifest: Manifest) -> None:
    """Each way in which programs round leads back to the only recording that fits."""
    async with serving(cli, holding(400)) as sandbox:
        ids = kept(sandbox)
        originals = ids[20:23]
        rounded = [
            originals[0][:15] + "0000",
            str(int(float(originals[1]))),
            str(round(int(originals[2]), -4)),
        ]
        manifest(rounded)
        blind = await cli(*VERIFY)
        assert [(row["finding"], row["suggestion"]) for row in table(blind.stdout)] == [("missing", "")] * 3
        assert "--since 30d, or --known FILE" in blind.stderr
        searched = await cli(*VERIFY, "--since", "2026-01-01")
        assert [row["suggestion"] for row in table(searched.stdout)] == originals
        assert searched.code == 1
        write_manifest(cli.folder / "known.csv", [[one] for one in ids])
        known = await cli(*VERIFY, "--known", "known.csv")
        assert table(known.stdout) == table(searched.stdout)


async def test_verify_ids_with_two_candidates_suggests_none(cli: Cli, manifest: Manifest) -> None:
    """Two recordings round to the same id."""
    async with serving(cli, holding(5)):
        manifest(["1397757897438980000"])
        twins = [["1397757897438980011"], ["1397757897438980022"]]
        write_manifest(cli.folder / "known.csv", twins)
        (row,) = table((await cli(*VERIFY, "--known", "known.csv")).stdout)
        assert (row["finding"], row["suggestion"]) == ("missing", "")
        assert "several recordings" in row["detail"]
        write_manifest(cli.folder / "known.csv", [*twins[:1], ["1397757897438990011"]])
        (row,) = table((await cli(*VERIFY, "--known", "known.csv")).stdout)
        assert row["suggestion"] == "1397757897438980011"


async def test_verify_ids_counts_rows_of_another_vendor_only(cli: Cli) -> None:
    """Huawei's paths cannot be looked up by id."""
    async with serving(cli, holding(5)) as sandbox:
        rows = [["/record/a.mp4", "Huawei"], [kept(sandbox)[0], "Tencent"]]
        write_manifest(cli.folder / "archive.csv", rows, ("file_id", "vendor"))
        done = await cli(*VERIFY)
        assert (done.code, table(done.stdout)) == (0, [])
        assert "1 row not looked up" in done.stderr


async def test_verify_ids_with_faulty_answers_reports_no_false_fault(cli: Cli, manifest: Manifest) -> None:
    """A lost or busy answer never makes an existing recording a missing one."""
    faults = ("code:6", "html", "drop-after", "drop-before", "empty")
    script = {n: Fault.parse(fault) for n, fault in enumerate(faults, 3)}
    settings = SandboxSettings(
        rate_per_s=None,
        recordings=RecordingSettings(count=300, until_s=NEWEST),
        faults={"SearchMedia": ActionFaults(script=script)},
    )
    async with serving(cli, settings) as sandbox:
        manifest(kept(sandbox))
        findings = {row["finding"] for row in table((await cli(*VERIFY)).stdout)}
        assert "missing" not in findings
        assert "archived" in findings


async def test_verify_ids_refused_with_ten_ids_looks_each_up_alone(cli: Cli, manifest: Manifest) -> None:
    """One id that the service refuses has no effect on the others."""
    async with serving(cli, holding(30)) as sandbox:
        ids = kept(sandbox)[:9]
        manifest([*ids, "9" * 40])
        done = await cli(*VERIFY)
        reported = {row["file_id"]: row["finding"] for row in table(done.stdout)}
        assert reported["9" * 40] in ("missing", "refused")
        assert not set(reported) & set(ids[:7])


async def test_verify_ids_stopped_by_a_signal_says_that_nothing_was_written(
    cli: Cli, manifest: Manifest
) -> None:
    """The message counts the ids, and no file is left."""
    settings = SandboxSettings(
        rate_per_s=None, faults={"SearchMedia": ActionFaults(script={1: Fault.parse("hang")})}
    )
    async with serving(cli, settings) as sandbox:
        manifest(["1397757897438985123"])
        process = await cli.start(*VERIFY, "-o", "wrong.csv")
        await sandbox.wait_for(lambda: bool(sandbox.requests_of("SearchMedia")))
        process.send_signal(signal.SIGINT)
        done = await cli.finish(process)
    assert done.code == 130
    assert "stopped after 0 ids; wrong.csv was not written. Run it again" in done.stderr
    assert not (cli.folder / "wrong.csv").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("no-such.csv",), "no-such.csv"),
        (("archive.csv", "--until", "1d"), "--until: has an effect only together with since"),
        (("archive.csv", "--since", "soon"), "--since soon: give how long ago"),
        (("archive.csv", "--since", "1d", "--known", "no-such.csv"), "no-such.csv"),
    ],
)
async def test_verify_ids_with_a_wrong_option_exits_2(
    cli: Cli, manifest: Manifest, options: tuple[str, ...], said: str
) -> None:
    """One message names the mistake."""
    async with serving(cli, holding(5)):
        manifest(["1397757897438985123"])
        done = await cli("verify-ids", *options)
        assert (done.code, said in done.stderr) == (2, True), done.stderr


async def test_verify_ids_refused_by_the_service_exits_3_without_a_report(
    cli: Cli, manifest: Manifest
) -> None:
    """No file is written for a manifest that could not be checked."""
    faults = {"SearchMedia": ActionFaults(shares={"code:3": 1.0})}
    settings = SandboxSettings(rate_per_s=None, recordings=RecordingSettings(count=5), faults=faults)
    async with serving(cli, settings):
        manifest(["1397757897438985123"])
        done = await cli(*VERIFY, "-o", "wrong.csv")
        assert (done.code, "code 3: the permission is not enabled" in done.stderr) == (3, True)
        assert not (cli.folder / "wrong.csv").exists()
