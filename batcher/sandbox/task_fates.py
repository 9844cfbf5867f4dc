"""The fate of a task, chosen when the task is accepted.

`tasks` asks here for each task. The first of these that has a fate wins: `TaskSettings.fates`, the marker
of the file id (`magic_ids`), the recording (one that is forbidden, archived, an image or sound only fails),
the shares `fail_share`, `endless_share` and `forgotten_share`. With media files the recording's listed
problem is ignored: a task that is to finish fails later if `snapshot_taker` cannot decode its file.
"""

from __future__ import annotations

from random import Random

from .fault_shares import drawn
from .magic_ids import fate_of
from .recordings import Catalogue, SandboxRecording
from .settings import SandboxSettings
from .variants import Fate

_UNDECODABLE = "the source file cannot be decoded"


class TaskFates:
    """Chooses the fate of each task of one sandbox."""

    def __init__(self, settings: SandboxSettings, catalogue: Catalogue) -> None:
        self._settings = settings.tasks
        self._catalogue = catalogue
        self._is_real = settings.media is not None
        self._markers = settings.markers
        # Its own source: whether a task fails must not move the draws of faults.
        self._rng = Random(settings.seed + 2)

    def fate(self, vendor: str, file_id: str) -> tuple[Fate, str]:
        """Return the fate of a task for a file, and the reason that it gives if it fails."""
        given = self._settings.fates.get(file_id)
        if given is None and self._markers:
            given = fate_of(vendor, file_id)
        if given is not None:
            return given, _UNDECODABLE
        if problem := self._problem_of_listed(vendor, file_id):
            return Fate.FAIL, problem
        return self._drawn(), _UNDECODABLE

    def _problem_of_listed(self, vendor: str, file_id: str) -> str:
        if self._is_real or not self._catalogue.count:
            return ""
        listed = self._catalogue.find(vendor, file_id)
        return "" if listed is None else _problem_of(listed)

    def _drawn(self) -> Fate:
        shares = {
            Fate.FAIL: self._settings.fail_share,
            Fate.ENDLESS: self._settings.endless_share,
            Fate.FORGOTTEN: self._settings.forgotten_share,
        }
        return drawn(self._rng, shares) or Fate.FINISH


def _problem_of(recording: SandboxRecording) -> str:
    """Return why no pictures can be taken of a recording made up by rule; empty if they can."""
    if recording.status == "Forbidden":
        return "the source file is forbidden"
    if recording.category == "Audio":
        return "the source file has no video stream"
    if recording.storage_class == "ARCHIVE":
        return "the source file is archived; restore it first"
    return "the source file is no video" if recording.category == "Image" else ""
