"""The records of a batch: a pair, a job for a worker, its outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CODES, StereoError

if TYPE_CHECKING:
    from ..pipeline.result import Result

DONE, FAILED, ASIDE = "done", "failed", "set aside"
STATUS, THUMB, MEASUREMENTS = "pair.json", "thumb.jpg", "measurements.json"
Writer = Callable[["Result", Path, float], "list[Path]"]  # (result, folder, start): the files it has written


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos, or one file that holds both.

    Attributes
    ----------
    left, right : str
        Paths or addresses (`s3://...`); right None: `left` holds both photos.
    name : str
        Of its folder of results; made of the file names where it is empty.
    options : mapping
        Fields of `Config` that are its own.
    why : str
        Why these are a pair, for `--dry-run`.
    """

    left: str
    right: str | None = None
    name: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """The files of the photos."""
        return (self.left,) if self.right is None else (self.left, self.right)


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker does: one pair, with everything that it needs.

    Attributes
    ----------
    batch : str
        Identifies this call: a record of the same call is an outcome already.
    key : str
        Digest of all options that decide the result.
    options : dict
        Fields of `Config`, with those of the pair.
    inputs : dict
        {role: file}: "left", "right", "calib 1", "mask 1", ..., all files that the result depends on.
    out : str, optional
        Folder of the pair, path or address; None: the result itself is returned.
    write : callable, optional
        Writes the files of a result into a folder.
    contents : dict, optional
        {file: bytes} of the inputs, where the worker cannot read them.
    bring : bool
        Return the files of the result instead of writing them to `out`.
    retry : bool
        Carry out again what has failed.
    timeout : float, optional
        s, after which the pair has failed.
    """

    pair: Pair
    batch: str
    key: str
    options: Mapping[str, Any]
    inputs: Mapping[str, str]
    out: str | None = None
    write: Writer | None = None
    contents: Mapping[str, bytes] | None = None
    bring: bool = False
    retry: bool = False
    timeout: float | None = None
    known: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a pair.

    Attributes
    ----------
    pair : Pair
    state : str
        "done", "failed" or "set aside" (it ended its worker's process twice).
    facts : dict
        What its `pair.json` holds: verdict, coverage, precision, unit, seconds, peak_mb, files, error, ...
    kept : bool
        It was there from an earlier batch.
    result : Result, optional
        Where no output folder was named.
    """

    pair: Pair
    state: str
    facts: Mapping[str, Any]
    kept: bool = False
    result: Result | None = None

    @property
    def name(self) -> str:
        """Name of the pair."""
        return self.pair.name

    @property
    def error(self) -> StereoError | None:
        """Why it failed."""
        found = self.facts.get("error")
        if not found:
            return None
        code = found["code"] if found["code"] in CODES else "worker"
        return StereoError(code, found["message"], found.get("advice", ""))


def outcome_of(pair: Pair, facts: Mapping[str, Any], *, kept: bool = False, result: Any = None) -> Outcome:
    """Return the outcome that the content of a `pair.json` states."""
    state = facts.get("state")
    return Outcome(pair, state if state in (DONE, ASIDE) else FAILED, facts, kept, result)
