"""Manifests at URLs, from real servers on this machine: read while they arrive, no secret shown or kept."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs
from moto.server import ThreadedMotoServer
from support.cli import NO_LIMIT, PICTURES, Cli, serving, tencent_ids
from support.ledger_sql import query
from support.manifest_files import FORMATS, PACKINGS, as_csv, as_jsonl, as_parquet, as_text, prepare_all
from support.raw_workbooks import ods
from support.referee import referee
from support.refusing_proxy import refusing_proxy
from support.serving_files import Files, serving_files

from batcher.errors import ManifestError
from batcher.manifest.parameters import Defaults
from batcher.manifest.read_options import ReadOptions
from batcher.manifest.reader import open_manifest
from batcher.manifest.sources.remote import redacted, stable_url

IDS = tencent_ids(40)
TABLE = [{"file_id": one, "room": "晨会"} for one in IDS]
TENCENT = Defaults(vendor="Tencent", definition="10")
LONG = as_text([{"file_id": "file_id"}, *({"file_id": one} for one in IDS * 1000)])
HUSH = "hush" * 4


@pytest.fixture
def files() -> Iterator[Files]:
    """A web server of manifests."""
    bodies = {f"/archive{extension}": write(TABLE) for extension, write in FORMATS.values()}
    bodies["/archive.csv.zst"] = PACKINGS["zstd"][1](as_csv(TABLE))
    with serving_files(bodies | {"/ids.txt": as_text(TABLE), "/long.csv": LONG}) as served:
        yield served


def ids_at(url: str) -> list[str]:
    """The ids of the good rows at a URL."""
    with open_manifest(url, defaults=TENCENT) as manifest:
        return [getattr(row, "file_id", "") for row in manifest]


@pytest.mark.parametrize(
    "name", [*(f"archive{one}" for one, _ in FORMATS.values()), "archive.csv.zst", "ids.txt"]
)
@pytest.mark.parametrize("parts", [True, False])
def test_every_format_is_read_from_a_web_server(files: Files, name: str, parts: bool) -> None:
    """Also from one that serves no parts of files; the query says nothing about the format."""
    files.parts = parts
    assert ids_at(f"{files.url}/{name}?x=a.parquet") == IDS
    whole = [asked for asked in files.asked if asked[0] == "GET" and not asked[2]]
    assert len(whole) == 1


def test_parquet_is_read_in_parts(files: Files) -> None:
    """Where the server can; the file as a whole is not fetched for it."""
    table = [{"file_id": f"{one}{number}", "room": "r" * 9} for number in range(5000) for one in IDS[:10]]
    files.bodies["/big.parquet"] = as_parquet(table)
    assert len(ids_at(f"{files.url}/big.parquet")) == len(table)
    assert any(asked[2] for asked in files.asked)


def test_signed_url_asks_for_nothing_but_the_file(files: Files) -> None:
    """A signature may be good for one kind of request alone."""
    assert ids_at(f"{files.url}/archive.csv?X-Amz-Signature={HUSH}") == IDS
    assert files.asked == [("GET", f"/archive.csv?X-Amz-Signature={HUSH}", "")]


async def test_secrets_of_a_url_are_not_shown_or_kept(cli: Cli, files: Files) -> None:
    """A run names the place without signature and password, in its words, the ledger, and the export."""
    place = files.url.removeprefix("http://")
    url = f"http://me:{HUSH}@{place}/archive.csv?X-Amz-Signature={HUSH}&X-Amz-Date=1"
    async with serving(cli, NO_LIMIT) as sandbox:
        done = await cli.run(url, *PICTURES, "-v", "--limit", "10")
        assert done.code == 4, done.stderr
        await referee(cli, sandbox)
    said = done.stdout + done.stderr
    exported = await cli("export", url, *PICTURES)
    for name in ("none.csv", "archive.csv"):
        files.status = 403 if name == "archive.csv" else None
        failed = await cli("load", url.replace("archive.csv", name), *PICTURES, "-v")
        assert failed.code == 2
        said += failed.stderr
    assert HUSH not in said + exported.stdout + exported.stderr
    assert f"{files.url}/archive.csv" in said
    assert exported.table[0]["source"] == f"{files.url}/archive.csv"
    assert query(cli.folder / "batcher.db", "SELECT source, path FROM loads") == [
        (f"{files.url}/archive.csv",) * 2
    ]
    assert all(HUSH.encode() not in path.read_bytes() for path in cli.folder.iterdir() if path.is_file())


def test_url_signed_again_is_the_same_manifest() -> None:
    """The stable part distinguishes manifests and is not a secret."""
    base = "https://example.com/a.csv"
    assert stable_url(f"{base}?q-signature=3#x") == base
    assert base == stable_url(f"{base}?Expires=1&OSSAccessKeyId=2&Signature=3&security-token=4")
    one, two = stable_url(f"{base}?id=1&Signature=8"), stable_url(f"{base}?Signature=9&id=2")
    assert one != two
    assert one == stable_url(f"{base}?id=1&Signature=7")
    assert "id=1" not in one


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://me:pw@example.com:8/a/b.csv?sig=x#y", "https://example.com:8/a/b.csv"),
        ("s3://key:pw@bucket/a#1@b.csv?versionId=x", "s3://bucket/a#1@b.csv"),
        ("nightly@home/a?.csv", "nightly@home/a?.csv"),
        ("-", "-"),
    ],
)
def test_secret_parameters_of_a_url_are_removed(url: str, expected: str) -> None:
    """User, password, query and fragment; a file's name is left alone."""
    assert redacted(url) == expected


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "may not be read (HTTP 401). Check the credentials, or whether the URL has expired"),
        (403, "may not be read (HTTP 403). Check the credentials, or whether the URL has expired"),
        (404, "there is no such file"),
        (503, "its server answered with HTTP 503"),
    ],
)
@pytest.mark.parametrize("name", ["archive.csv", "archive.parquet"])
def test_refusal_of_a_package_is_a_plain_message(files: Files, status: int, message: str, name: str) -> None:
    """With the place, the status, and what to do."""
    files.status = status
    with pytest.raises(ManifestError) as caught:
        ids_at(f"{files.url}/{name}?sig={HUSH}")
    assert str(caught.value) == f"{files.url}/{name}: {message}"


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("/archive.csv", ""),
        ("/led.csv", "its server redirects in a circle, or too often. Use the URL that the file itself has"),
        ("ftp://host/a.csv", "its server redirects to ftp://, and only https is followed. Use the https URL"),
        (
            "file:///etc/passwd",
            "its server redirects to file://, and only https is followed. Use the https URL",
        ),
        (
            "http://[::1",
            "its server redirects to something that is not a URL. Use the URL that the file itself",
        ),
    ],
)
@pytest.mark.parametrize("name", ["led.csv", "led.parquet"])
def test_redirect_is_followed_to_files_on_web_servers_only(
    files: Files, location: str, message: str, name: str
) -> None:
    """The message says where it led to, and what to use instead."""
    files.redirects = {
        f"/{name}": location.replace("led.csv", name).replace("archive.csv", f"archive{name[3:]}")
    }
    if not message:
        assert ids_at(f"{files.url}/{name}") == IDS
        return
    with pytest.raises(ManifestError) as caught:
        ids_at(f"{files.url}/{name}?sig={HUSH}")
    assert str(caught.value).startswith(f"{files.url}/{name}: {message}")


@pytest.mark.parametrize(
    ("variables", "used"),
    [
        ({"ALL_PROXY": "PROXY"}, True),
        ({"HTTPS_PROXY": "PROXY"}, True),
        ({"HTTPS_PROXY": "PROXY", "ALL_PROXY": "http://127.0.0.1:1"}, True),
        ({"ALL_PROXY": "PROXY", "NO_PROXY": "nowhere.invalid"}, False),
    ],
)
async def test_manifest_at_a_url_is_fetched_through_the_proxy_of_the_service(
    cli: Cli, variables: dict[str, str], used: bool
) -> None:
    """The same variables count as for calls; the proxy gets its password, and no message has it."""
    asked: list[bytes] = []

    async with refusing_proxy(502, asked) as port:
        place = f"me:{HUSH}@127.0.0.1:{port}"
        cli.env |= {name: value.replace("PROXY", place) for name, value in variables.items()}
        done = await cli("load", "https://nowhere.invalid/a.csv", *PICTURES)
    assert done.code == 2
    assert HUSH not in done.stderr
    if used:
        assert asked[0].startswith(b"CONNECT nowhere.invalid:443 ")
        assert base64.b64encode(f"me:{HUSH}".encode()) in asked[0]
        assert "a.csv: the proxy refused: HTTP 502. Check HTTPS_PROXY" in done.stderr
    else:
        assert asked == []
        assert "a.csv: its server cannot be reached" in done.stderr


async def test_proxy_of_a_manifest_that_cannot_be_reached_is_named(cli: Cli) -> None:
    """The file's own server is not to blame."""
    cli.env |= {"ALL_PROXY": "http://127.0.0.1:1"}
    done = await cli("load", "https://nowhere.invalid/a.csv", *PICTURES)
    assert done.code == 2
    assert "a.csv: the proxy cannot be reached. Check HTTPS_PROXY" in done.stderr


def test_missing_server_is_reported() -> None:
    """The message says that it was cut."""
    with pytest.raises(ManifestError, match=r"^http://127\.0\.0\.1:1/a\.csv: its server cannot be reached: "):
        ids_at("http://127.0.0.1:1/a.csv")


def test_connection_that_is_cut_in_the_middle(files: Files) -> None:
    """The rows before are read; then the message has the line at which the reading ended."""
    files.cut_at = len(LONG) - 10
    seen: list[object] = []
    with (
        open_manifest(f"{files.url}/long.csv", defaults=TENCENT) as manifest,
        pytest.raises(
            ManifestError, match=rf"^{files.url}/long\.csv line (\d+): the connection was cut"
        ) as caught,
    ):
        seen.extend(manifest)
    line = int(str(caught.value).partition(" line ")[2].partition(":")[0])
    assert len(seen) == line - 2 > 1000


async def test_cut_connection_stops_the_run(cli: Cli, files: Files) -> None:
    """Exit code 2; the rows before are loaded, and the load is on record as unfinished."""
    files.cut_at = len(LONG) - 10
    async with serving(cli, NO_LIMIT) as sandbox:
        done = await cli.run(f"{files.url}/long.csv", *PICTURES, "--trust-ids")
        assert done.code == 2, done.stderr
        assert "the connection was cut before the end of the file" in done.stderr
        await referee(cli, sandbox)
        assert (await cli.status())["loads"][0]["unfinished"] is True
        files.cut_at = None
        assert (await cli.run(f"{files.url}/long.csv", *PICTURES, "--trust-ids")).code == 0
        assert (await cli.status())["loads"][0]["unfinished"] is False


@pytest.mark.parametrize(
    "url",
    [
        "https://a..b/a.csv",
        "https://[::1/a.csv",
        "http://[::1:x/a.csv",
        "https://[/*.csv",
        "https://127.0.0.1:99999/a.csv",
        "https://127.0.0.1:x/a.csv",
        "https://xn--a/a.csv",
        "https:///a.csv",
        "file://[/a.csv",
    ],
)
async def test_damaged_url_of_manifest_is_named(cli: Cli, url: str) -> None:
    """It is a manifest that cannot be used, and no defect."""
    done = await cli("load", url, *PICTURES)
    assert done.code == 2, done.stderr
    assert url in done.stderr


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://example.com/a.csv", "plain http is accepted from this machine's own addresses only"),
        ("oss://bucket/a.csv", "no package here opens oss://: pip install 'ossfs'"),
        ("cos://bucket/a.csv", "no package here opens cos://: pip install 'cosfs'"),
        ("what://bucket/a.csv", "no package here opens what://: install the fsspec package that does"),
        (
            "ftp://host/a.csv",
            "ftp is not accepted, since anyone on the network could change what is paid for. Use",
        ),
        ("memory://a.csv", "a manifest cannot be at memory://. Give the URL or the path of the file itself"),
        ("zip://a.zip/a.csv", "a manifest cannot be at zip://. Give the URL or the path of the file itself"),
    ],
)
def test_url_without_its_package_is_refused(url: str, message: str) -> None:
    """The message names the package, or what else to do."""
    with pytest.raises(ManifestError) as caught:
        ids_at(url)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{url}: ")


@pytest.mark.parametrize(
    ("package", "name", "message"),
    [
        (
            "fsspec",
            "https://example.com/a.csv",
            "fsspec, which is not installed: pip install 'fsspec>=2024.6'",
        ),
        ("pyarrow", "a.parquet", "pyarrow, which is not installed: pip install 'pyarrow>=18'"),
        (
            "python_calamine",
            "a.ods",
            "python-calamine, which is not installed: pip install 'python-calamine>=0.9'",
        ),
        ("zstandard", "a.csv.zst", "zstandard, which is not installed: pip install 'zstandard>=0.22'"),
    ],
)
def test_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, package: str, name: str, message: str
) -> None:
    """With the extra of ours that brings it."""
    data = {"a.parquet": as_parquet(TABLE), "a.csv.zst": PACKINGS["zstd"][1](as_csv(TABLE))}
    (tmp_path / "a.ods").write_bytes(ods([["file_id"], ["1"]]))
    for one, content in data.items():
        (tmp_path / one).write_bytes(content)
    for loaded in [one for one in sys.modules if one.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, loaded, None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ManifestError) as caught:
        open_manifest(name if "://" in name else str(tmp_path / name))
    assert message in str(caught.value)


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """An S3 server with a bucket of manifests; what the environment must say to reach it."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    env = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    bucket = s3fs.S3FileSystem(
        endpoint_url=env["AWS_ENDPOINT_URL"],
        key="test",
        secret="test",
        client_kwargs={"region_name": "eu-west-1"},
        skip_instance_cache=True,
    )
    bucket.mkdir("archive")
    bucket.pipe("archive/2024/b.csv", as_csv(TABLE[:10]))
    bucket.pipe("archive/2024/a.jsonl.gz", PACKINGS["gzip"][1](as_jsonl(TABLE[10:20])))
    bucket.pipe("archive/2024/c.parquet", as_parquet(TABLE[20:]))
    bucket.pipe("archive/odd*name.csv", as_csv(TABLE[:1]))
    yield env
    server.stop()


async def test_manifests_in_an_object_store(cli: Cli, s3: dict[str, str]) -> None:
    """By name or by pattern, in every format, with the credentials of the environment."""
    cli.env |= s3
    async with serving(cli, NO_LIMIT) as sandbox:
        done = await cli.run("s3://archive/2024/*", *PICTURES)
        assert done.code == 0, done.stderr
        rows = await referee(cli, sandbox)
    assert sorted(row["file_id"] for row in rows) == IDS
    assert [f"s3://archive/2024/{name}" for name in ("a.jsonl.gz", "b.csv", "c.parquet")] == [
        row[0] for row in query(cli.folder / "batcher.db", "SELECT path FROM loads ORDER BY id")
    ]
    exported = await cli.export("s3://archive/2024/c.parquet", *PICTURES)
    assert [("submitted", one) for one in IDS[20:]] == [(row["status"], row["file_id"]) for row in exported]
    assert (await cli("load", "s3://archive/odd*name.csv", *PICTURES)).code == 0


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://archive/none.csv", "s3://archive/none.csv: there is no such file"),
        ("s3://archive/none*.csv", "s3://archive/none*.csv: no file matches this pattern"),
        ("s3://nowhere/a.csv", "s3://nowhere/a.csv: "),
    ],
)
async def test_missing_object_is_reported(cli: Cli, s3: dict[str, str], url: str, message: str) -> None:
    """It is refused with 2 and one message."""
    cli.env |= s3
    done = await cli("load", url, *PICTURES)
    assert done.code == 2
    assert done.stderr.startswith(f"batcher: {message}")
    assert done.stderr.count("\n") == 1


def test_url_is_a_stream_that_is_judged_like_a_file(files: Files) -> None:
    """Its first rows are judged before anything of it is kept."""
    files.bodies["/rounded.jsonl"] = "".join(
        json.dumps({"file_id": f"{n}0000"}) + "\n" for n in range(9**9, 9**9 + 40)
    ).encode()
    with pytest.raises(ManifestError, match=r"rounded\.jsonl: 40 of 40 Tencent ids end in 0000"):
        prepare_all([f"{files.url}/rounded.jsonl"], ReadOptions(TENCENT))
