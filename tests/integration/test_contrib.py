"""The units in contrib: their promises, a night's work by each, and the syntax of its reader."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from support.cli import Cli, serving, tencent_ids, write_manifest
from support.command_table import COMMANDS
from support.ledger_sql import query
from support.units import CONTRIB, KNOWN_KEYS, OPTION, PROMISED, ROOT, environment_of, said_by, unit_of

from batcher import __version__
from batcher.cli.terminal.stderr_writer import END_S
from batcher.config.settings import Settings
from batcher.exit_codes import ExitCode
from batcher.sandbox import SANDBOX_SERVER_SECRET, Fault, SandboxSettings
from batcher.telemetry.notifications import LIMIT_S

SERVICE = CONTRIB / "systemd" / "batcher.service"
TIMER = CONTRIB / "systemd" / "batcher.timer"
CRONTAB = CONTRIB / "crontab"
DOCKERFILE = CONTRIB / "Dockerfile"
CRONJOB = CONTRIB / "kubernetes" / "cronjob.yaml"

FILES = sorted(path for path in CONTRIB.rglob("*") if path.is_file() and path.parent.name != "grafana")
TEXTS = [*FILES, ROOT / "SECURITY.md"]
GRACE_S: float = Settings.model_fields["grace"].default

RECORDINGS, STATE = "/srv/recordings", "/var/lib/batcher"
TEXTFILES = "/var/lib/node_exporter/textfile_collector"
STOPPING_S = GRACE_S + LIMIT_S + END_S
"""The longest that a stopped run takes: for the wire, for hooks, and for a reader of stderr."""


def crontab_lines() -> list[tuple[str, str]]:
    """When, and the command that the shell is given."""
    lines = [line.split(None, 5) for line in CRONTAB.read_text("utf-8").splitlines()]
    return [(" ".join(words[:5]), words[5]) for words in lines if len(words) == 6 and words[0][0].isdigit()]


def instructions() -> list[tuple[str, str]]:
    """A Dockerfile's instructions and their arguments."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text("utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines if line)]


def argument(name: str) -> str:
    """The last value that an instruction is given: what the image ends up with."""
    return [rest for given, rest in instructions() if given == name][-1]


def copied() -> list[str]:
    """The files that the Dockerfile copies from the checkout."""
    words = [rest.split()[:-1] for name, rest in instructions() if name == "COPY" and "--from" not in rest]
    return [word for one in words for word in one]


def objects() -> dict[str, Any]:
    """The Kubernetes objects by kind."""
    return {one["kind"]: one for one in yaml.safe_load_all(CRONJOB.read_text("utf-8"))}


def pod() -> Any:  # noqa: ANN401 - parsed YAML
    """The pod of the CronJob."""
    return objects()["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def command_lines(path: Path) -> list[list[str]]:
    """Every ``batcher COMMAND …`` in a file, comments included, without what the shell does around it."""
    if path == CRONJOB:
        return [[str(word) for word in pod()["containers"][0]["args"]]]
    text = re.sub(r"\\\n[#\s]*", " ", path.read_text("utf-8"))
    names = "|".join(COMMANDS)
    found = re.findall(rf"\bbatcher(?::[\d.]+)? ((?:{names}) [^\n`&|;>]*)", text)
    return [shlex.split(one) for one in found]


# -- what they name is there -------------------------------------------------------------------------


def test_every_unit_names_a_command() -> None:
    """Each kind of unit has a command line that the next test can hold against the program."""
    named = {path.name for path in FILES if command_lines(path)}
    assert {"batcher.service", "crontab", "Dockerfile", "cronjob.yaml", "README.md"} <= named


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_line_is_one_that_batcher_takes(path: Path) -> None:
    """Commands, flags and their values are the program's own, also in comments."""
    for words in command_lines(path):
        command = COMMANDS[words.pop(0)]
        while inner := getattr(command, "commands", None):
            command = inner[words.pop(0)]
        assert command.make_context(command.name, words).params


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_variable_is_a_setting(path: Path) -> None:
    """No variable is named that batcher does not read."""
    named = set(re.findall(r"\bBATCHER_([A-Z_]+[A-Z])\b", path.read_text("utf-8")))
    assert {name for name in named if name.lower() not in Settings.model_fields} == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_units_hold_no_secret(path: Path) -> None:
    """The secret is a file somewhere else: neither its value nor a variable of it is set."""
    text = path.read_text("utf-8")
    assert re.findall(r"\b[0-9a-f]{32}\b", text) == []
    assert re.findall(r"BATCHER_SERVER_SECRET\s*[=:]", text) == []


def test_version_is_todays() -> None:
    """Images are named for the version that is built."""
    tags = {tag for path in FILES for tag in re.findall(r"\bbatcher:(\d[\w.]*)", path.read_text("utf-8"))}
    assert tags == {__version__}


@pytest.fixture
def with_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The units as they are once the marks before all options are taken away; the folder they are in."""
    here = sys.modules[__name__]
    for path in FILES:
        place = tmp_path / "contrib" / path.relative_to(CONTRIB)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(path.read_text("utf-8").replace(OPTION, ""), "utf-8")
    for name in ("SERVICE", "CRONTAB", "CRONJOB"):
        monkeypatch.setattr(here, name, tmp_path / "contrib" / getattr(here, name).relative_to(CONTRIB))
    monkeypatch.setattr(here, "CONTRIB", tmp_path / "contrib")
    return tmp_path / "contrib"


@dataclass(frozen=True)
class Job:
    """A job that is started at night: its words and its environment."""

    words: list[str]
    env: dict[str, str]
    secret_file: str
    """Where it is that the unit expects the secret."""


def systemd_job() -> Job:
    """The service, as systemd would start it: specifiers filled in, patterns left alone."""
    service = unit_of(SERVICE)["Service"]
    credential, source = service["LoadCredential"][0].split(":")
    assert source == "/etc/batcher/server-secret"
    folder = "/run/credentials/batcher.service"

    def filled(text: str) -> str:
        return text.replace("%S", "/var/lib").replace("%d", folder)

    assert service["EnvironmentFile"] == ["/etc/batcher/batcher.env"]
    env = environment_of((CONTRIB / "systemd" / "batcher.env").read_text("utf-8").splitlines())
    env |= environment_of([filled(value) for value in service["Environment"]])
    return Job(shlex.split(filled(service["ExecStart"][0])), env, f"{folder}/{credential}")


def cron_job() -> Job:
    """The nightly line, as cron would hand it to the shell."""
    env = environment_of(CRONTAB.read_text("utf-8").splitlines())
    [line] = [command for _, command in crontab_lines() if " run " in command]
    assert "%" not in line, "cron makes new lines of them"
    return Job([env.pop("SHELL"), "-c", line], env, env["BATCHER_SERVER_SECRET_FILE"])


def kubernetes_job() -> Job:
    """The container, as the image's entry point gets it."""
    container = pod()["containers"][0]
    assert "command" not in container
    env = {one["name"]: one["value"] for one in container["env"]}
    volume = next(one["secret"] for one in pod()["volumes"] if "secret" in one)
    mount = next(one for one in container["volumeMounts"] if one["name"] == "server-secret")
    words = [*json.loads(argument("ENTRYPOINT")), *container["args"]]
    return Job(words, env, f"{mount['mountPath']}/{volume['items'][0]['path']}")


JOBS = {"systemd": systemd_job, "cron": cron_job, "kubernetes": kubernetes_job}


class Machine:
    """A machine in a folder: the units' absolute paths lead there, and the program is this environment's."""

    def __init__(self, cli: Cli, job: Job) -> None:
        self.folder = cli.folder / "machine"
        self.recordings, self.state = self.folder / "recordings", self.folder / "state"
        self.secret = self.folder / "server-secret"
        for folder in (self.recordings, self.state):
            folder.mkdir(parents=True)
        self.secret.write_text(SANDBOX_SERVER_SECRET + "\n")
        self.figures = self.folder / "figures"
        self.notify = self.folder / "notify"
        self.figures.mkdir()
        self._places = {
            **{place: str(self.notify) for place in (job.env.get("BATCHER_NOTIFY_FILE"),) if place},
            job.secret_file: str(self.secret),
            TEXTFILES: str(self.figures),
            RECORDINGS: str(self.recordings),
            STATE: str(self.state),
            "/opt/batcher/bin": str(Path(sys.executable).parent),
        }
        self._words = [self._here(word) for word in job.words]
        self._env = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "BATCHER_ENDPOINT": cli.env["BATCHER_ENDPOINT"],
            **{name: self._here(value) for name, value in job.env.items()},
            "TZ": noon(),
        }

    def _here(self, text: str) -> str:
        for place, ours in self._places.items():
            text = text.replace(place, ours)
        return text

    async def night(self) -> tuple[int, str, str]:
        """Run the job to its end; gives exit code, stdout and stderr."""
        process = await asyncio.create_subprocess_exec(
            *self._words,
            cwd=self.state,
            env=self._env,
            umask=0o022,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(60):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert SANDBOX_SERVER_SECRET not in (out + err).decode()
        return process.returncode or 0, out.decode(), err.decode()


def noon() -> str:
    """A time zone in which it is the middle of the day, so that no time of night is just passing."""
    return f"NOON{datetime.now(UTC).hour - 12:+d}"


@pytest.mark.parametrize("unit", JOBS)
async def test_unit_does_a_nights_work(cli: Cli, unit: str) -> None:
    """Started as the unit says, everything new is sent, once; the ledger is the user's alone."""
    async with serving(cli, ledger_made=False) as sandbox:
        machine = Machine(cli, JOBS[unit]())
        ids = tencent_ids(6)
        write_manifest(machine.recordings / "monday.csv", ([one] for one in ids[:4]))
        code, out, err = await machine.night()
        assert (code, out) == (0, ""), err
        write_manifest(machine.recordings / "tuesday.csv", ([one] for one in ids[4:]))
        code, out, err = await machine.night()
        assert (code, out) == (0, ""), err
        assert unit == "kubernetes" or err == "", "what is well is not said: cron would send it as mail"
        assert sorted(entry.file_id for entry in sandbox.log if entry.file_id) == ids
    ledger = machine.state / "batcher.db"
    assert query(ledger, "SELECT state, count(*) FROM submissions GROUP BY 1") == [("submitted", 6)]
    assert {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in machine.state.iterdir()} == {
        path.name: 0 for path in machine.state.iterdir()
    }


@pytest.mark.parametrize("unit", JOBS)
async def test_unit_reports_a_problem(cli: Cli, unit: str) -> None:
    """A secret that was not put in place ends the night with 2 and a message, before anything is sent."""
    async with serving(cli, ledger_made=False) as sandbox:
        job = JOBS[unit]()
        machine = Machine(cli, job)
        write_manifest(machine.recordings / "monday.csv", ([one] for one in tencent_ids(2)))
        machine.secret.unlink()
        code, out, err = await machine.night()
        assert (code, out) == (int(ExitCode.USAGE), "")
        assert "BATCHER_SERVER_SECRET_FILE" in err
        assert "Traceback" not in err
        assert sandbox.log == []


@pytest.mark.usefixtures("with_options")
@pytest.mark.parametrize("unit", JOBS)
async def test_unit_with_its_options_notifies_and_writes_metrics(cli: Cli, unit: str) -> None:
    """A recording that does not exist reaches the hook; another user can read the figures."""
    notes: list[dict[str, Any]] = []

    async def take(request: web.Request) -> web.Response:
        notes.append(await request.json())
        return web.Response()

    hook = web.Application()
    hook.router.add_post("/{token}", take)
    missing, *_ = ids = tencent_ids(3)
    settings = SandboxSettings(rate_per_s=None, by_file={missing: Fault.parse("code:41003")})
    async with serving(cli, settings, ledger_made=False), TestServer(hook) as hooks:
        machine = Machine(cli, JOBS[unit]())
        machine.notify.write_text(f"json://127.0.0.1:{hooks.port}/T0K3N\n")
        write_manifest(machine.recordings / "monday.csv", ([one] for one in ids))
        code, _, err = await machine.night()
    assert code == 1, err
    assert "T0K3N" not in err
    assert [note["title"] for note in notes] == ["batcher: done, with new problems (exit code 1)"]
    figures = machine.figures / "batcher.prom"
    assert "batcher_last_run_exit_code 1.0" in figures.read_text("utf-8")
    assert stat.S_IMODE(figures.stat().st_mode) == 0o644


def test_units_with_options_are_valid_for_their_readers(with_options: Path, tmp_path: Path) -> None:
    """With the marks away each file is still one that systemd and Kubernetes take."""
    assert (with_options / "crontab").read_text("utf-8") != (ROOT / "contrib" / "crontab").read_text("utf-8")
    assert unit_problems(SERVICE.read_text("utf-8"), TIMER.read_text("utf-8"), tmp_path) == ""
    assert object_problems(objects()["CronJob"], tmp_path) == []
    assert unit_of(SERVICE)["Service"]["ReadWritePaths"] == [TEXTFILES]
    mounts = {one["name"]: one["mountPath"] for one in pod()["containers"][0]["volumeMounts"]}
    assert mounts["figures"] == TEXTFILES
    assert set(mounts) == {one["name"] for one in pod()["volumes"]}


# -- cron --------------------------------------------------------------------------------------------


def test_nightly_line_that_follows_tasks_is_the_other_one_with_one_option_more() -> None:
    """It differs from the line it replaces in nothing else."""
    text = CRONTAB.read_text("utf-8")
    [line] = [line.removeprefix("# ") for line in text.splitlines() if " --track " in line]
    [nightly] = [f"{when} {command}" for when, command in crontab_lines() if " run " in command]
    assert nightly == line.replace(" --track ", " ")
    words = shlex.split(line.partition(" batcher ")[2])
    assert COMMANDS["run"].make_context("run", words[1:]).params["track"]


def test_crontab_has_no_day_twice_or_not_at_all() -> None:
    """Five fields each, within their bounds, and no hour that clocks are moved in."""
    bounds = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
    for when, _ in crontab_lines():
        for value, (low, high) in zip(when.split(), bounds, strict=True):
            assert value == "*" or low <= int(value) <= high
        assert int(when.split()[1]) >= 3
    assert CRONTAB.read_bytes().endswith(b"\n"), "cron passes over a last line without an end"


def test_service_is_as_promised() -> None:
    """Hardened, with a folder of its own, and the secret handed over as a credential."""
    service = unit_of(SERVICE)["Service"]
    assert {key: service.get(key) for key in PROMISED} == PROMISED


def test_service_agrees_with_the_exit_codes_and_the_grace_period() -> None:
    """Work left and a stop in order are no failures; stopping takes as long as batcher may take for it."""
    service = unit_of(SERVICE)["Service"]
    assert service["SuccessExitStatus"] == [f"{int(ExitCode.WORK_LEFT)} {int(ExitCode.SIGTERM)}"]
    assert float(service["TimeoutStopSec"][0]) > STOPPING_S
    assert service["TimeoutStartSec"] == ["infinity"]
    assert service["Restart"] == ["no"]


def test_timer_catches_up_and_a_caught_up_run_ends() -> None:
    """A night that was missed is made up for, and that run is bounded although it begins by day."""
    timer = unit_of(TIMER)
    assert timer["Timer"]["Persistent"] == ["true"]
    assert timer["Timer"]["Unit"] == [SERVICE.name]
    assert timer["Install"]["WantedBy"] == ["timers.target"]
    assert {"--until", "--max-duration"} <= set(systemd_job().words)


def test_units_are_valid_for_systemd(tmp_path: Path) -> None:
    """Nothing in the units is unknown to systemd, and it finds them hardened."""
    assert unit_problems(SERVICE.read_text("utf-8"), TIMER.read_text("utf-8"), tmp_path) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("ProtectSystem=", "ProtectSytem="), ("Persistent=", "Persistant="), ("[Timer]", "[Timers]")],
)
def test_mistake_in_a_unit_is_detected(tmp_path: Path, right: str, wrong: str) -> None:
    """The check above refuses a wrong file."""
    service, timer = (path.read_text("utf-8").replace(right, wrong) for path in (SERVICE, TIMER))
    assert unit_problems(service, timer, tmp_path) != ""


def unit_problems(service: str, timer: str, folder: Path) -> str:
    """The objections of systemd to the units; without systemd, the keys that it would not accept."""
    (folder / SERVICE.name).write_text(service, "utf-8")
    (folder / TIMER.name).write_text(timer, "utf-8")
    unknown = [
        f"{section}: {key}"
        for path in (folder / SERVICE.name, folder / TIMER.name)
        for section, keys in unit_of(path).items()
        for key in keys
        if key not in KNOWN_KEYS.get(section, "").split()
    ]
    if unknown or not (analyze := shutil.which("systemd-analyze")):
        return "\n".join(unknown)
    # It also looks whether the program is there, and here it is elsewhere.
    here = service.replace("/opt/batcher/bin/batcher", sys.executable)
    assert here != service
    (folder / SERVICE.name).write_text(here, "utf-8")
    units = [str(folder / SERVICE.name), str(folder / TIMER.name)]
    said = [
        said_by(analyze, "verify", "--man=no", *units),
        said_by(analyze, "calendar", "--iterations=1", *unit_of(TIMER)["Timer"]["OnCalendar"]),
        said_by(analyze, "security", "--offline=true", "--threshold=15", units[0]),
    ]
    return "\n".join(said).strip()


# -- the image ---------------------------------------------------------------------------------------

INSTRUCTIONS = {"FROM", "ARG", "ENV", "WORKDIR", "COPY", "RUN", "USER", "STOPSIGNAL", "ENTRYPOINT", "CMD"}


def test_image_is_as_promised() -> None:
    """Slim, not root, started without a shell, stopped by the signal that batcher drains on."""
    names = [name for name, _ in instructions()]
    assert set(names) <= INSTRUCTIONS
    bases = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    assert len(bases) == 2
    assert [base for base in bases if not re.fullmatch(r"python:3\.\d+-slim", base)] == []
    user, group = argument("USER").split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert argument("STOPSIGNAL") == "SIGTERM"
    waited = re.findall(r"--stop-timeout (\d+)", DOCKERFILE.read_text("utf-8"))
    assert [seconds for seconds in waited if int(seconds) > STOPPING_S] == waited != []
    assert json.loads(argument("ENTRYPOINT")) == ["batcher"]
    assert json.loads(argument("CMD")) == ["--help"]


def test_image_holds_no_secret() -> None:
    """Only named files are copied, the build receives no others, and no argument carries a secret."""
    allowed = (CONTRIB / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert sorted(line[1:] for line in allowed if line.startswith("!")) == sorted(copied())
    assert "*" in allowed
    assert [source for source in copied() if source.startswith((".", "/", "*"))] == []
    carried = [rest for name, rest in instructions() if name in ("ARG", "ENV", "COPY")]
    assert [rest for rest in carried if re.search(r"secret|token|password|\.env", rest, re.IGNORECASE)] == []


def test_everything_in_the_image_is_pinned() -> None:
    """Each package is installed under constraints.txt, which names one version of each."""
    installs = re.findall(r"pip (?:install|wheel) [^&]*", " ".join(rest for _, rest in instructions()))
    assert len(installs) == 3
    assert [one for one in installs if "-c constraints.txt" not in one and "--no-deps" not in one] == []
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = {line.split("==")[0].lower() for line in lines if line and line[0] != "#" and "==" in line}
    assert len(pinned) == len([line for line in lines if line and line[0] != "#"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [
        one for name, given in project["optional-dependencies"].items() if name != "all" for one in given
    ]
    needed = {re.split(r"[^\w.-]", one)[0].lower() for one in [*project["dependencies"], *extras]}
    assert needed - pinned == set(), "make lock"


@pytest.mark.timeout(900)
def test_image_can_be_built(tmp_path: Path) -> None:
    """The files that are copied are enough for a whole wheel; where a daemon answers, the image is made."""
    for name in copied():
        place = tmp_path / "src" / name
        place.parent.mkdir(exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, place)
    [build] = [rest for name, rest in instructions() if name == "RUN" and "pip wheel" in rest]
    words = build[build.index("pip wheel") :].replace("/wheels", str(tmp_path / "wheels")).split()
    pip = [sys.executable, "-m", *words, "--quiet", "--disable-pip-version-check"]
    built = subprocess.run(pip, capture_output=True, text=True, check=False, cwd=tmp_path / "src", timeout=90)
    assert built.returncode == 0, built.stderr
    [wheel] = (tmp_path / "wheels").glob("zego_batcher-*.whl")
    needed = {"batcher/cli/app.py", "batcher/migrations/env.py", "batcher/sample_manifests/demo.csv"}
    assert needed - set(zipfile.ZipFile(wheel).namelist()) == set()
    if (docker := shutil.which("docker")) and not said_by(docker, "info"):
        build_and_start(docker)


def build_and_start(docker: str) -> None:
    """Make the image and run it without a network, a volume or anything to write to."""
    tag = f"batcher-test:{os.getpid()}"
    build = [docker, "build", "-q", "-f", str(DOCKERFILE), "-t", tag, str(ROOT)]
    built = subprocess.run(build, capture_output=True, text=True, check=False, timeout=800)
    assert built.returncode == 0, built.stderr
    try:
        words = [docker, "run", "--rm", "--read-only", "--network", "none", tag]
        said = subprocess.run([*words, "--version"], capture_output=True, text=True, check=True, timeout=60)
        assert said.stdout.strip() == f"batcher {__version__}"
        load = [*words, "load", "/dev/null"]
        assert subprocess.run(load, capture_output=True, check=False, timeout=60).returncode in (2, 6)
    finally:
        subprocess.run([docker, "image", "rm", tag], capture_output=True, check=False, timeout=60)


# -- Kubernetes --------------------------------------------------------------------------------------

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_META = {"name": str, "labels": dict}
_POD = {
    "restartPolicy": str,
    "terminationGracePeriodSeconds": int,
    "automountServiceAccountToken": bool,
    "enableServiceLinks": bool,
    "securityContext": {
        "runAsNonRoot": bool,
        "runAsUser": int,
        "runAsGroup": int,
        "fsGroup": int,
        "fsGroupChangePolicy": str,
        "seccompProfile": {"type": str},
    },
    "containers": [
        {
            "name": str,
            "image": str,
            "args": [str],
            "env": [{"name": str, "value": str}],
            "resources": {"requests": {"cpu": str, "memory": str}, "limits": {"memory": str}},
            "terminationMessagePolicy": str,
            "securityContext": {
                "allowPrivilegeEscalation": bool,
                "readOnlyRootFilesystem": bool,
                "capabilities": {"drop": [str]},
            },
            "volumeMounts": [{"name": str, "mountPath": str, "readOnly": bool}],
        }
    ],
    "volumes": [
        {
            "name": str,
            "persistentVolumeClaim": {"claimName": str, "readOnly": bool},
            "secret": {"secretName": str, "defaultMode": int, "items": [{"key": str, "path": str}]},
            "emptyDir": {"sizeLimit": str},
            "hostPath": {"path": str, "type": str},
        }
    ],
}
SHAPES: dict[str, Any] = {
    "PersistentVolumeClaim": {
        "apiVersion": str,
        "kind": str,
        "metadata": _META,
        "spec": {"accessModes": [str], "resources": {"requests": {"storage": str}}},
    },
    "CronJob": {
        "apiVersion": str,
        "kind": str,
        "metadata": _META,
        "spec": {
            "schedule": str,
            "timeZone": str,
            "concurrencyPolicy": str,
            "startingDeadlineSeconds": int,
            "successfulJobsHistoryLimit": int,
            "failedJobsHistoryLimit": int,
            "jobTemplate": {
                "metadata": _META,
                "spec": {"backoffLimit": int, "template": {"metadata": _META, "spec": _POD}},
            },
        },
    },
}
"""The fields that we use, by their place. Source: Kubernetes API reference, batch/v1 and core/v1."""


def misplaced(value: Any, shape: Any, where: str) -> list[str]:  # noqa: ANN401 - parsed YAML
    """Return the fields that the API does not have at that place, or that have another type."""
    if isinstance(shape, dict) and isinstance(value, dict):
        return [
            problem
            for key, inner in value.items()
            for problem in (
                misplaced(inner, shape[key], f"{where}.{key}")
                if key in shape
                else [f"{where}.{key}: unknown"]
            )
        ]
    if isinstance(shape, list) and isinstance(value, list):
        return [one for n, inner in enumerate(value) for one in misplaced(inner, shape[0], f"{where}[{n}]")]
    return [] if isinstance(shape, type) and type(value) is shape else [f"{where}: {value!r}"]


def test_objects_are_valid_for_kubernetes(tmp_path: Path) -> None:
    """Each object has its version, and every field is where the API looks for it, in the type it takes."""
    versions = {kind: one["apiVersion"] for kind, one in objects().items()}
    assert versions == {"PersistentVolumeClaim": "v1", "CronJob": "batch/v1"}
    assert [one for value in objects().values() for one in object_problems(value, tmp_path)] == []
    container, volumes = pod()["containers"][0], pod()["volumes"]
    for name in [one["metadata"]["name"] for one in objects().values()] + [one["name"] for one in volumes]:
        assert _NAME.fullmatch(name)
    assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in volumes}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("backoffLimit: 0", "backofLimit: 0"),
        ("runAsUser: 10001", "runAsUser: batcher"),
        ("- name: TZ", "- nam: TZ"),
    ],
)
def test_mistake_in_an_object_is_detected(tmp_path: Path, right: str, wrong: str) -> None:
    """Neither check of an object is one that lets everything pass."""
    text = CRONJOB.read_text("utf-8")
    assert right in text
    *_, cronjob = yaml.safe_load_all(text.replace(right, wrong))
    assert misplaced(cronjob, SHAPES["CronJob"], "CronJob")
    assert not shutil.which("kubectl") or not_kept(cronjob, tmp_path)


def object_problems(value: Any, folder: Path) -> list[str]:  # noqa: ANN401 - parsed YAML
    """The reasons why the API would refuse an object, by known rules and by the API's client."""
    kind = value["kind"]
    ours = misplaced(value, SHAPES[kind], kind)
    return ours or (not_kept(value, folder) if kind == "CronJob" and shutil.which("kubectl") else [])


def not_kept(cronjob: Any, folder: Path) -> list[str]:  # noqa: ANN401 - parsed YAML
    """The fields that are lost when the client reads a CronJob into the API's types and writes it again."""
    (alone := folder / "cronjob.yaml").write_text(yaml.safe_dump(cronjob), "utf-8")
    words = ["kubectl", "set", "image", "--local", "-f", str(alone), "batcher=another", "-o", "json"]
    again = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, cwd=folder)
    if again.returncode:
        return [again.stderr]
    gone = lost(cronjob, json.loads(again.stdout), "")
    return [where for where in gone if not where.endswith(".containers[0].image")]


def lost(before: Any, after: Any, where: str) -> list[str]:  # noqa: ANN401 - parsed YAML
    """The parts of one value that are missing or different in another."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [one for key in before for one in lost(before[key], after.get(key), f"{where}.{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = zip(before, after, strict=True)
        return [one for n, (left, right) in enumerate(pairs) for one in lost(left, right, f"{where}[{n}]")]
    return [] if before == after else [where]


def test_cronjob_runs_once_with_its_own_disk() -> None:
    """One run at a time, none repeated, its ledger on a disk of its own, its secret a file."""
    spec, claim = objects()["CronJob"]["spec"], objects()["PersistentVolumeClaim"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert pod()["restartPolicy"] == "Never"
    assert pod()["terminationGracePeriodSeconds"] > STOPPING_S
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    volumes = {one["name"]: one for one in pod()["volumes"]}
    assert volumes["ledger"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert volumes["server-secret"]["secret"]["defaultMode"] == 0o440
    assert kubernetes_job().secret_file == kubernetes_job().env["BATCHER_SERVER_SECRET_FILE"]


def test_cronjob_and_the_image_agree() -> None:
    """The user, the ledger's folder and both clocks are the same on either side."""
    spec, security = objects()["CronJob"]["spec"], pod()["securityContext"]
    user, group = map(int, argument("USER").split(":"))
    assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (user, group, group)
    assert security["runAsNonRoot"] is True
    env = kubernetes_job().env
    assert f"BATCHER_LEDGER={env['BATCHER_LEDGER']}" in argument("ENV")
    mounts = [one["mountPath"] for one in pod()["containers"][0]["volumeMounts"]]
    assert str(Path(env["BATCHER_LEDGER"]).parent) in mounts
    assert spec["timeZone"] == env["TZ"]


def test_units_start_before_the_end_of_their_night() -> None:
    """However late a unit may start, there is time left until it has to end."""
    spec = objects()["CronJob"]["spec"]
    begins = {spec["schedule"], *(when for when, command in crontab_lines() if " run " in command)}
    assert begins == {"15 3 * * *"}
    assert unit_of(TIMER)["Timer"]["OnCalendar"] == ["*-*-* 03:15:00"]
    for job in (make() for make in JOBS.values()):
        words = shlex.split(job.words[-1]) if job.words[1] == "-c" else job.words
        hour, minute = map(int, words[words.index("--until") + 1].split(":"))
        assert hour * 60 + minute > 3 * 60 + 15 + spec["startingDeadlineSeconds"] / 60


# -- the supply chain --------------------------------------------------------------------------------


def test_audit_looks_at_every_pinned_package_and_lets_none_pass_unseen() -> None:
    """`make audit` takes what constraints.txt pins, and fails when a package could not be looked up."""
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "audit"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    [line] = [line for line in done.stdout.splitlines() if "pip-audit" in line]
    words = line.split()
    assert words[words.index("-r") + 1] == "constraints.txt"
    assert "--strict" in words
