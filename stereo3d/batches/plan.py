"""What a batch has to do: every pair with its options checked, and what an earlier batch has done already."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import StereoError
from ..io.json_files import plain
from ..pipeline.config import Config
from .pairing import in_folder, named
from .places import is_address, joined, listed, name_in, path_of, read_record, stamp
from .records import DONE, STATUS, Job, Outcome, Pair, Writer, outcome_of

FORM = 1  # of `pair.json`; a record of another form is none
NO_RESULT = ("max_memory",)  # fields of Config that change no result, but where memory is short
MODELS = ("matcher.model", "detector.model", "detector.matcher_model", "matcher.first")  # options that may name a file
CHECKED = 2000  # different sets of options that are checked before any work; the others are when their turn comes


@dataclass
class Request:
    """What all pairs of a batch have in common.

    Attributes
    ----------
    fields : mapping
        Of `Config`.
    out : str, optional
        Folder or address of the results.
    write, style : callable and mapping
        Writes the files of a result; the options that decide what it writes.
    retry, ship : bool
    timeout : float, optional
        s for a pair.
    limit : int, optional
        Pairs to carry out.
    shuffle : bool
        In random order, which the seed of the Config decides.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    out: str | None = None
    write: Writer | None = None
    style: Mapping[str, Any] = field(default_factory=dict)
    retry: bool = False
    ship: bool = False
    timeout: float | None = None
    limit: int | None = None
    shuffle: bool = False
    base: str = ""

    @property
    def bring(self) -> bool:
        """Whether workers send the files of a result instead of writing them."""
        return self.out is not None and (self.ship or stays_here(self.out))


@dataclass
class Plan:
    """The pairs to carry out, in order; those that are done or stay failed; the other records in the folder."""

    request: Request
    batch: str
    to_do: list[Pair] = field(default_factory=list)
    kept: list[Outcome] = field(default_factory=list)
    others: list[dict[str, Any]] = field(default_factory=list)

    def jobs(self) -> Iterator[Job]:
        """Yield the job of each pair."""
        for pair in self.to_do:
            yield job_of(pair, self.request, self.batch)


def stays_here(place: str) -> bool:
    """Return whether only this process can read what is written to a place."""
    from .places import stays_in_process

    return stays_in_process(place)


def merged(pair: Pair, request: Request) -> dict[str, Any]:
    """Return the fields of `Config` of a pair: its own replace those of all."""
    own = dict(pair.options)
    common = dict(request.fields)
    if "options" in own:
        own["options"] = {**common.get("options", {}), **own["options"]}
    for names in (("focal", "focal_35mm", "fov", "calib"), ("baseline", "known_distance", "markers", "board")):
        if any(name in own for name in names):  # another source of the same takes the place of the common one
            for name in names:
                common.pop(name, None)
    return {**common, **own}


def inputs_of(pair: Pair, options: Mapping[str, Any]) -> dict[str, str]:
    """Return {role: file} of all files that decide the result."""
    found = {"left": pair.left, **({} if pair.right is None else {"right": pair.right})}
    for role in ("calib", "mask"):
        given = options.get(role) or ()
        given = given if isinstance(given, list | tuple) else (given,)
        found |= {f"{role} {k}": os.fspath(file) for k, file in enumerate(given, 1)}
    stage = options.get("options") or {}
    found |= {f"model {name}": str(stage[name]) for name in MODELS if stage.get(name) and _is_file(str(stage[name]))}
    for name in ("matcher", "detector"):
        file = str(options.get(name, "")).partition(":")[2]
        if file:
            found[f"model {name}"] = file
    return found


def _is_file(place: str) -> bool:
    return is_address(place) or os.path.isfile(path_of(place))


def key_of(options: Mapping[str, Any], style: Mapping[str, Any]) -> str:
    """Return the digest of the options that decide a result; the files they name count by their content."""
    left_out = (*NO_RESULT, "calib", "mask")
    kept = {name: plain(value) for name, value in options.items() if name not in left_out and value is not None}
    defaults = {f.name: plain(f.default) for f in dataclasses.fields(Config)}
    kept = {name: value for name, value in kept.items() if name == "options" or value != defaults.get(name)}
    kept["options"] = {k: str(v) for k, v in (options.get("options") or {}).items() if k not in MODELS}
    text = json.dumps([FORM, kept, plain(dict(style))], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def job_of(pair: Pair, request: Request, batch: str) -> Job:
    """Return the job of a pair."""
    options = merged(pair, request)
    return Job(
        pair=pair,
        batch=batch,
        key=key_of(options, request.style),
        options=options,
        inputs=inputs_of(pair, options),
        out=None if request.out is None else in_folder(pair, request.out),
        write=request.write,
        bring=request.bring,
        retry=request.retry,
        timeout=request.timeout,
    )


def make_plan(pairs: Sequence[Pair], request: Request) -> Plan:
    """Return the plan of a batch.

    Raises
    ------
    StereoError
        For options that no pair can have, before any work.
    """
    pairs = named(pairs, request.base)
    check(pairs, request)
    plan = Plan(request, os.urandom(6).hex())
    there = folders_of(request.out)
    for pair in pairs:
        record = record_in(in_folder(pair, request.out or "")) if pair.name in there else None
        if record is not None and is_kept(job_of(pair, request, plan.batch), record):
            plan.kept.append(outcome_of(pair, record, kept=True))
        else:
            plan.to_do.append(pair)
            if record is not None:
                plan.others.append({**record, "name": pair.name})
    if request.shuffle:
        random.Random(int(request.fields.get("seed", 0))).shuffle(plan.to_do)
    if request.limit is not None:
        del plan.to_do[request.limit :]
    mine = {pair.name for pair in pairs}
    for name in sorted(there - mine):
        record = record_in(joined(request.out or "", name))
        if record is not None:
            plan.others.append({**record, "name": name})
    return plan


def record_in(folder: str) -> dict[str, Any] | None:
    """Return the record of a folder of results; None where there is none of this form: anybody may have written it."""
    record = read_record(joined(folder, STATUS))
    if record is None or record.get("form") != FORM:
        return None
    inputs, files, error = record.get("inputs"), record.get("files"), record.get("error")
    sound = (
        isinstance(inputs, dict)
        and all(isinstance(entry, dict) for entry in inputs.values())
        and isinstance(files, list)
        and all(isinstance(file, str) for file in files)
        and (error is None or (isinstance(error, dict) and {"code", "message"} <= set(error)))
        and isinstance(record.get("warnings") or [], list)
    )
    return record if sound else None


def folders_of(out: str | None) -> set[str]:
    """Return the names of the folders of results that may hold a record."""
    if out is None:
        return set()
    if is_address(out):
        try:
            return {name_in(place[: -len(STATUS) - 1]) for place in listed(joined(out, "*", STATUS))}
        except StereoError as error:
            if error.code == "library_missing":
                raise
            return set()
    try:
        with os.scandir(path_of(out)) as entries:
            return {entry.name for entry in entries if entry.name[0] != "." and entry.is_dir()}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise StereoError(
            "unwritable", f"the folder {out} cannot be used: {error.strerror}.", "Name another by -o."
        ) from error


def is_kept(job: Job, record: Mapping[str, Any]) -> bool:
    """Return whether a record says, without any file being read, that the pair needs no work.

    Its options are the same, the stamps of its inputs too, and the files of its result are there. Where only stamps
    differ, the worker compares the contents.
    """
    if not same_options(job, record) or (record.get("state") != DONE and job.retry):
        return False
    known = record.get("inputs") or {}
    if {role: (known.get(role) or {}).get("file") for role in job.inputs} != dict(job.inputs):
        return False
    for role, file in job.inputs.items():
        now = stamp(file)
        if now is None or now != known[role].get("stamp") or (not is_address(file) and path_of(file).is_dir()):
            return False
    return files_are_there(job, record)


def same_options(job: Job, record: Mapping[str, Any]) -> bool:
    """Return whether a record is of this form and of the same options and roles."""
    known = record.get("inputs")
    same = record.get("form") == FORM and record.get("key") == job.key
    return same and isinstance(known, dict) and set(known) == set(job.inputs)


def files_are_there(job: Job, record: Mapping[str, Any]) -> bool:
    """Return whether the files of a result were not removed; of an address nothing is asked."""
    files = record.get("files") or []
    if job.out is None or is_address(job.out):
        return job.out is not None
    return all((path_of(job.out) / str(name)).exists() for name in files)


def check(pairs: Sequence[Pair], request: Request) -> None:
    """Refuse options that no pair can have.

    Raises
    ------
    StereoError
        "bad_option" or "unknown_method", which names the pair.
    """
    seen: set[str] = set()
    for pair in pairs:
        options = merged(pair, request)
        mark = repr([(k, v) for k, v in sorted(options.items()) if k not in ("calib", "mask")])
        mark += f"{bool(options.get('calib'))} {len(options.get('mask', ()))}"
        if mark in seen:
            continue
        seen.add(mark)
        if len(seen) > CHECKED:
            return
        try:
            Config(**options)
        except StereoError as error:
            if not pair.options:
                raise
            raise StereoError(error.code, f"{pair.name} ({pair.why}): {error.message}", error.advice) from error


def output_folder(out: str) -> Path | None:
    """Return the path of the results; None of an address."""
    return None if is_address(out) else path_of(out)
