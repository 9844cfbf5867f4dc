"""The tables of the ledger.

Called to create a ledger, and by the migrations, which must lead to the same tables.

A *submission* is one row per thing asked for: the unique key is the recording and the parameters
asked of it. Parameters have a table of their own, since an archive of millions is asked for under a
handful of them. An *attempt* is one row per request, clustered by submission. *Tallies* count the
submissions by state, code and run and change in the same transaction as the submissions do, so that
nothing ever has to count millions of rows. Times are Unix milliseconds, UTC.

States, decisions and outcomes are plain text with a check, for use in a database shell.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from batcher.ledger.conditions import (
    IS_CLAIMED,
    IS_FRESH,
    IS_POSSIBLY_TWICE,
    IS_TASK_TROUBLED,
    IS_TROUBLED,
    IS_UNTRACKED,
)
from batcher.model.outcome import Decision
from batcher.model.submission import EndpointKind, SnapshotType, State, Vendor
from batcher.model.task import Effect, PictureState, TaskState

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)


_LONG = Integer().with_variant(BigInteger(), "postgresql")
"""A whole number of 64 bits: every integer of SQLite is one."""


def _one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def partial_index(name: str, *columns: str, where: str) -> Index:
    """An index of the rows for which a condition holds."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


def _only_in_postgres(index: Index) -> Index:
    """Mark an index that SQLite does not need."""
    index.info["only_in"] = "postgresql"
    index.ddl_if(dialect="postgresql")
    return index


binding = Table(
    "binding",
    metadata,
    Column("id", _LONG, primary_key=True),
    Column("app_id", BigInteger, nullable=False),
    Column("place", Text, nullable=False),
    Column("halted_at_ms", BigInteger),
    Column("halted_why", Text),
    Column("held_until_ms", BigInteger),
    CheckConstraint("id = 1", name="single"),
    _one_of("place", EndpointKind),
)
"""The AppId and the kind of endpoint this ledger belongs to: one row, or none before the first run. The other
columns are what runs on one ledger share: that one has halted, and until when the service wants no calls."""

runs = Table(
    "runs",
    metadata,
    Column("id", _LONG, primary_key=True),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger),
    Column("exit_code", Integer),
    Column("pid", Integer, nullable=False),
    Column("host", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("rate_per_s", Float, nullable=False),
    Column("reason", Text),
    Column("pace_per_s", Float),
    Column("why_slow", Text),
    Column("invalid_rows_seen", _LONG),
    Column("seq", BigInteger, nullable=False, server_default=text("0")),
    Column("leased_until_ms", BigInteger),
    Column("lost_at_ms", BigInteger),
    Column("share", Integer, nullable=False, server_default=text("0")),
    Column("held", Integer, nullable=False, server_default=text("0")),
    Column("wanted", Integer),
    Column("process", Text),
    sqlite_autoincrement=True,
)
"""One row per run. ``ended_at_ms`` stays empty when a run was killed. ``pace_per_s`` is its last pace.
``invalid_rows_seen`` is the newest invalid row that the run has reported, set if its exit code is 0 or 1.

The last seven are for runs that share a ledger: ``seq`` numbers the run's transactions, ``leased_until_ms``
is until when it may send without a new report, ``lost_at_ms`` when another run has taken over its attempts,
``share`` how many requests a second are its, ``held`` how many it may be using, ``wanted`` how many it has a
use for, if not all, ``process`` which process it is."""

loads = Table(
    "loads",
    metadata,
    Column("id", _LONG, primary_key=True),
    Column("source", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("columns", Text, nullable=False),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger),
    Column("rows", _LONG, nullable=False, server_default=text("0")),
    Column("new", _LONG, nullable=False, server_default=text("0")),
    Column("duplicates", _LONG, nullable=False, server_default=text("0")),
    Column("invalid", _LONG, nullable=False, server_default=text("0")),
    Column("error", Text),
    Column("appeared", _LONG),
    Column("gone", _LONG),
    Column("changed", _LONG),
    Column("counted_by", Text, nullable=False, server_default=text("'line'")),
    Column("digest", Text),
    Column("options", Text),
    Column("repeated", _LONG, nullable=False, server_default=text("0")),
    Column("run_id", _LONG, ForeignKey("runs.id")),
    Column("batches", Integer, nullable=False, server_default=text("0")),
    CheckConstraint("rows = new + duplicates + invalid", name="adds_up"),
    Index(None, "path"),
    partial_index("loads_ended", "path", "id", where="ended_at_ms IS NOT NULL"),
    partial_index("loads_unended", "path", "id", where="ended_at_ms IS NULL"),
)
"""One row per reading of a manifest; it reached the end of the file if ``ended_at_ms`` is set.
``source`` is the name the user gave, ``path`` the absolute one (``-`` for a stream). ``counted_by`` says
whether its rows are numbered by line or by row. ``appeared``, ``gone`` and ``changed`` count the rows that
differ from the last load of the path that reached the end; they are empty where there is no such load.
``digest`` identifies a file with the same content. ``options`` is a JSON object of the options by which it
was read; empty in loads of older programs. ``repeated`` counts those of the duplicates that repeat an earlier
row of the same reading; 0 in loads of older programs. ``run_id`` is the run that reads it, ``batches`` counts
the batches that are kept."""

seen = Table(
    "seen",
    metadata,
    Column("load_id", _LONG, ForeignKey("loads.id"), primary_key=True),
    Column("page", Integer, primary_key=True),
    Column("checks", LargeBinary, nullable=False),
)
"""The fingerprint of a load's rows, by page; kept for the last load of each path that reached its end."""

parameters = Table(
    "parameters",
    metadata,
    Column("id", _LONG, primary_key=True),
    Column("vendor", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("definition", Text, nullable=False),
    Column("interval", Text, nullable=False),
    Column("offsets", Text, nullable=False),
    UniqueConstraint("vendor", "type", "definition", "interval", "offsets"),
    _one_of("vendor", Vendor),
    _one_of("type", SnapshotType),
)
"""The sets of parameters: numbers as canonical text, offsets joined by ``;``, empty where a parameter has no
effect."""

submissions = Table(
    "submissions",
    metadata,
    Column("id", _LONG, primary_key=True),
    Column("file_id", Text, nullable=False),
    Column("parameters_id", _LONG, ForeignKey("parameters.id"), nullable=False),
    Column("state", Text, nullable=False, server_default=State.PENDING.value),
    Column("code", _LONG),
    Column("run_id", _LONG, ForeignKey("runs.id")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("tries_busy", Integer, nullable=False, server_default=text("0")),
    Column("tries_unknown", Integer, nullable=False, server_default=text("0")),
    Column("tries_doubt", Integer, nullable=False, server_default=text("0")),
    Column("doubted", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("not_before_ms", BigInteger),
    Column("load_id", _LONG, ForeignKey("loads.id"), nullable=False),
    Column("line", _LONG, nullable=False),
    Column("extra", Text),
    Column("pruned", Integer, nullable=False, server_default=text("0")),
    Column("tracked", Boolean(create_constraint=False), nullable=False, server_default=false()),
    UniqueConstraint("file_id", "parameters_id"),
    CheckConstraint("file_id <> ''", name="file_id_given"),
    CheckConstraint("not_before_ms IS NULL OR state = 'pending'", name="not_before_is_pending"),
    _one_of("state", (*State, "cancelled")),
    partial_index("submissions_open", "tries_doubt", "id", where="state = 'pending'"),
    _only_in_postgres(partial_index("submissions_fresh", "id", where=IS_FRESH)),
    partial_index("submissions_delayed", "not_before_ms", where="not_before_ms IS NOT NULL"),
    partial_index("submissions_sending", "id", where="state = 'sending'"),
    partial_index("submissions_troubled", "state", "code", where=IS_TROUBLED),
    partial_index("submissions_untracked", "id", where=IS_UNTRACKED),
    partial_index("submissions_possibly_twice", "id", where=IS_POSSIBLY_TWICE),
)
"""One row per thing asked for. ``code`` is the last definite code, ``run_id`` the run that last settled an
attempt, ``attempts`` the number of attempts begun, ``tries_…`` the used part of each budget. ``doubted`` is
set for good once an attempt without an answer may have arrived. ``pruned`` counts the requests whose attempts
were deleted and that may have left. ``tracked`` is set while the submission has a row in tasks."""

attempts = Table(
    "attempts",
    metadata,
    Column("submission_id", _LONG, ForeignKey("submissions.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("run_id", _LONG, ForeignKey("runs.id"), nullable=False),
    Column("begun_at_ms", BigInteger, nullable=False),
    Column("sent_at_ms", BigInteger),
    Column("answered_at_ms", BigInteger),
    Column("outcome", Text),
    Column("decision", Text),
    Column("http_status", Integer),
    Column("code", _LONG),
    Column("task_id", Text),
    Column("request_id", Text),
    Column("vendor_request_id", Text),
    Column("message", Text),
    CheckConstraint("(outcome IS NULL) = (decision IS NULL)", name="settled_whole"),
    CheckConstraint("(decision = 'submitted') = (task_id IS NOT NULL)", name="submitted_has_task_id"),
    _one_of("outcome", ("answer", "http_refusal", "reply_lost", "not_sent")),
    _one_of("decision", Decision),
    partial_index("attempts_task_id", "task_id", where="task_id IS NOT NULL"),
    sqlite_with_rowid=False,
)
"""One row per request, written before it is sent; ``outcome`` is the result and ``decision`` the disposition.
Both are empty while it may be in flight, or when its run was killed."""

invalid_rows = Table(
    "invalid_rows",
    metadata,
    Column("id", _LONG, primary_key=True),
    Column("load_id", _LONG, ForeignKey("loads.id"), nullable=False),
    Column("file_name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("line", _LONG, nullable=False),
    Column("column", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("last_load_id", _LONG, ForeignKey("loads.id"), nullable=False),
    UniqueConstraint("file_name", "digest", "reason"),
    sqlite_autoincrement=True,
)
"""Rows of manifests that cannot be sent, once per file name, content and reason. ``load_id`` is the first
load that had the row, ``last_load_id`` the last one. A complete load of the same path after that has mended
it."""

tallies = Table(
    "tallies",
    metadata,
    Column("state", Text, primary_key=True),
    Column("code", _LONG, primary_key=True),
    Column("run_id", _LONG, primary_key=True),
    Column("coded", Boolean(create_constraint=False), primary_key=True, server_default=false()),
    Column("n", _LONG, nullable=False),
    CheckConstraint("n >= 0", name="n_not_negative"),
    sqlite_with_rowid=False,
)
"""The number of submissions in each state, by last definite code and by the run that last settled them.
``coded`` says whether there is a code, since the service may send any number as one."""

tasks = Table(
    "tasks",
    metadata,
    Column("submission_id", _LONG, ForeignKey("submissions.id"), primary_key=True),
    Column("task_id", Text, nullable=False, index=True),
    Column("state", Text, nullable=False),
    Column("status", Text),
    Column("message", Text),
    Column("request_id", Text),
    Column("submitted_at_ms", BigInteger, nullable=False),
    Column("polls", Integer, nullable=False, server_default=text("0")),
    Column("polled_at_ms", BigInteger),
    Column("due_at_ms", BigInteger),
    Column("started_at_ms", BigInteger),
    Column("ended_at_ms", BigInteger),
    Column("closed_at_ms", BigInteger),
    Column("claimed_at_ms", BigInteger),
    Column("pictures", Integer, nullable=False, server_default=text("0")),
    CheckConstraint("(due_at_ms IS NULL) = (closed_at_ms IS NOT NULL)", name="due_until_closed"),
    _one_of("state", TaskState),
    partial_index("tasks_due", "due_at_ms", where="due_at_ms IS NOT NULL"),
    partial_index("tasks_troubled", "closed_at_ms", where=IS_TASK_TROUBLED),
    partial_index("tasks_claimed", "due_at_ms", where=IS_CLAIMED),
)
"""One row per submission whose task is tracked. ``status`` is the vendor's own word for ``state``,
``started_at_ms`` and ``ended_at_ms`` are the vendor's times, ``due_at_ms`` the time of the next poll,
``closed_at_ms`` the time when its end was recorded or the tracker gave it up, ``claimed_at_ms`` the time when
a callback reported its end, which counts once a poll has confirmed it."""

pictures = Table(
    "pictures",
    metadata,
    Column("submission_id", _LONG, ForeignKey("tasks.submission_id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("url", Text, nullable=False),
    Column("offset_ms", _LONG),
    Column("state", Text),
    Column("error", Text),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("file", Text),
    Column("bytes", _LONG),
    Column("width", Integer),
    Column("height", Integer),
    Column("fetched_at_ms", BigInteger),
    Column("taken_until_ms", BigInteger),
    _one_of("state", PictureState),
    partial_index("pictures_unfetched", "submission_id", "number", where="state IS NULL"),
    sqlite_with_rowid=False,
)
"""Pictures of a finished task as a poll has listed them, numbered from 1. ``url`` is an address, or the name
of an object where the vendor gives that. ``state`` is empty until the picture was fetched or given up.
``file`` is relative to the folder that it was fetched to. Until ``taken_until_ms`` another fetcher has it."""

callbacks = Table(
    "callbacks",
    metadata,
    Column("id", _LONG, primary_key=True),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
    Column("nonce", Text, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("vendor", Text),
    Column("task_id", Text),
    Column("file_id", Text),
    Column("submission_id", _LONG, ForeignKey("submissions.id")),
    Column("effect", Text, nullable=False),
    Column("held", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("due_at_ms", BigInteger),
    Column("content", Text),
    UniqueConstraint("nonce", "timestamp"),
    _one_of("vendor", Vendor),
    _one_of("effect", Effect),
    partial_index("callbacks_due", "due_at_ms", where="due_at_ms IS NOT NULL"),
    sqlite_autoincrement=True,
)
"""Callbacks whose signature was valid, each once. ``effect`` is the result. ``content`` is the received text
without its signature, where no other table keeps it. A callback that may concern a submission in doubt, or a
task whose answer is still on its way, is checked again at ``due_at_ms``; ``tries`` counts these checks.
``held`` means that its submission was taken out of the queue until then."""

task_tallies = Table(
    "task_tallies",
    metadata,
    Column("state", Text, primary_key=True),
    Column("n", _LONG, nullable=False),
    Column("told", _LONG, nullable=False, server_default=text("0")),
    CheckConstraint("n >= 0", name="n_not_negative"),
    sqlite_with_rowid=False,
)
"""The number of tracked tasks in each state; changes in the transaction that changes them. ``told`` is the
number of them that a tracking with exit code 0 or 1 has reported. Empty until tasks are tracked for the first
time."""

duties = Table(
    "duties",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("process", Text, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("leased_until_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Work that one process at a time does on a ledger: tracking, fetching, receiving callbacks. In a file, locks
of the operating system do that, and the table stays empty. ``holder`` is JSON for messages, ``token`` grows
with each holder, ``process`` identifies it on its machine."""
