"""The units in contrib for several runs on one ledger in PostgreSQL: their promises, and a night's work."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from support.cli import Cli, serving, tencent_ids, write_manifest
from support.command_table import COMMANDS
from support.units import CONTRIB

from batcher.cli.terminal.stderr_writer import END_S
from batcher.config.ledger_names import ledger_named
from batcher.config.settings import Settings
from batcher.exit_codes import ExitCode
from batcher.telemetry.notifications import LIMIT_S

RUNNERS = CONTRIB / "kubernetes" / "runners.yaml"
CRONJOB = CONTRIB / "kubernetes" / "cronjob.yaml"
COMPOSE = CONTRIB / "compose.yaml"

STOPPING_S = Settings.model_fields["grace"].default + LIMIT_S + END_S
STARTED_AGAIN = {ExitCode.TROUBLE, ExitCode.LEDGER_BUSY, ExitCode.LEDGER}


def job(path: Any = RUNNERS) -> Any:  # noqa: ANN401 - parsed YAML
    """The Job of a CronJob."""
    *_, cronjob = yaml.safe_load_all(path.read_text("utf-8"))
    return cronjob["spec"]["jobTemplate"]["spec"]


def container(path: Any = RUNNERS) -> Any:  # noqa: ANN401 - parsed YAML
    """The one container of its pods."""
    [one] = job(path)["template"]["spec"]["containers"]
    return one


def compose() -> Any:  # noqa: ANN401 - parsed YAML
    """The project of Docker Compose."""
    return yaml.safe_load(COMPOSE.read_text("utf-8"))


@pytest.mark.parametrize("words", [container()["args"], compose()["services"]["runner-1"]["command"]])
def test_runs_are_ones_that_batcher_takes(words: list[str]) -> None:
    """Options and values are the program's own."""
    name, *rest = words
    assert COMMANDS[name].make_context(name, rest).params["manifests"]


def test_runners_start_again_where_that_helps_and_nowhere_else() -> None:
    """A disruption is not counted; an end that would come again ends the Job."""
    ignored, ended = job()["podFailurePolicy"]["rules"]
    assert ignored == {
        "action": "Ignore",
        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    }
    assert ended["action"] == "FailJob"
    signals = {ExitCode.SIGINT, ExitCode.SIGTERM}
    assert set(ended["onExitCodes"]["values"]) == set(ExitCode) - STARTED_AGAIN - signals - {ExitCode.DONE}
    assert job()["backoffLimit"] > 0
    assert job()["parallelism"] > 1
    assert "completions" not in job()


def test_runners_are_confined_as_the_nightly_run_is() -> None:
    """The same user, rights and time to stop; no volume of a ledger."""
    ours, theirs = job()["template"]["spec"], job(CRONJOB)["template"]["spec"]
    same = ("securityContext", "restartPolicy", "automountServiceAccountToken", "enableServiceLinks")
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    assert container()["securityContext"] == container(CRONJOB)["securityContext"]
    assert container()["image"] == container(CRONJOB)["image"]
    assert ours["terminationGracePeriodSeconds"] > STOPPING_S
    assert {one["name"] for one in ours["volumes"]} == {"recordings", "secrets", "tmp"}
    assert {one["name"] for one in container()["volumeMounts"]} == {"recordings", "secrets", "tmp"}


def test_runners_take_passwords_from_the_secret() -> None:
    """The URL has no password, and the password no place in the file."""
    env = {one["name"]: one for one in container()["env"]}
    for name in ("BATCHER_LEDGER", "PGPASSWORD"):
        assert env[name]["valueFrom"]["secretKeyRef"]["name"] == "batcher-shared"
    assert "sslmode=verify-full" in RUNNERS.read_text("utf-8")


def test_compose_project_hides_its_passwords() -> None:
    """They are files; the database is not published; both runs are the same."""
    services = compose()["services"]
    assert services["runner-1"] == services["runner-2"]
    name = ledger_named(services["runner-1"]["environment"]["BATCHER_LEDGER"])
    assert str(name) == "postgresql://batcher@postgres:5432/batcher?schema=shop"
    assert "password" not in name.parameters  # type: ignore[union-attr] # it is no file
    assert "ports" not in services["postgres"]
    assert set(services["runner-1"]["secrets"]) | set(services["postgres"]["secrets"]) == set(
        compose()["secrets"]
    )
    assert int(services["runner-1"]["stop_grace_period"].removesuffix("s")) > STOPPING_S


async def test_runners_do_a_nights_work_together(cli: Cli, schema_url: str) -> None:
    """Two pods with the manifests of both: every recording is sent once."""
    ids = tencent_ids(60)
    folder = cli.folder / "recordings"
    folder.mkdir()
    write_manifest(folder / "monday.csv", ([one] for one in ids))
    args = [word.replace("/srv/recordings", str(folder)) for word in container()["args"]]
    async with serving(cli, ledger_made=False) as sandbox:
        noon = f"NOON{datetime.now(UTC).hour - 12:+d}"
        env = {"BATCHER_LEDGER": schema_url, "TZ": noon}
        started = [await cli.start(*args, env=env) for _ in range(2)]
        ended = await asyncio.gather(*map(cli.finish, started))
    assert [done.code for done in ended] == [0, 0], [done.stderr for done in ended]
    assert Counter(entry.file_id for entry in sandbox.log if entry.file_id) == dict.fromkeys(ids, 1)
