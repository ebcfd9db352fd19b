"""Checks and translations that the commands share."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import StereoError, translate_error
from ..options import QUALITIES
from .printable import echo

if TYPE_CHECKING:
    import numpy as np

EXIT_BUG = 70
EXIT_INTERRUPTED = 130
Record = TypeVar("Record")


@dataclass(frozen=True)
class Messages:
    """What a run prints."""

    verbose: bool
    quiet: bool
    progress: bool


def take_fields(record: type[Record], given: dict[str, Any]) -> Record:
    """Return a record of the arguments named like its fields; remove them from `given`."""
    return record(**{field.name: given.pop(field.name) for field in fields(record)})  # pyright: ignore[reportArgumentType]


def fields_of_quality(quality: str) -> dict[str, Any]:
    """Return the fields of Config that --quality sets: not those that are given; --matcher beside it is refused."""
    context = click.get_current_context()
    given = {
        name
        for name in QUALITIES[quality]
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    }
    if "matcher" in given:
        raise StereoError("bad_option", "quality and matcher each choose the matcher.", "Give one of them.")
    return {name: value for name, value in QUALITIES[quality].items() if name not in given}


def parse_options(pairs: Iterable[str]) -> dict[str, str]:
    """Return {"stage.name": value} from the "stage.name=value" given with -O."""
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise StereoError("bad_option", f"-O {pair!r} has no value.", "Write -O stage.name=value.")
        found[key.strip()] = value.strip()
    return found


def board_size(text: str) -> tuple[int, int]:
    """Return the columns and rows of a board, "CxR"; StereoError("bad_option") for another form."""
    size = re.fullmatch(r"(\d{1,3})\s*[xX,]\s*(\d{1,3})", text.strip())
    if size is None:
        raise StereoError("bad_option", f"--board {text!r} cannot be read.", "Write columns x rows, as 9x6.")
    return int(size[1]), int(size[2])


def check_names(inputs: Iterable[Path | None], outputs: Iterable[tuple[Path | None, str]]) -> None:
    """Refuse an output that would overwrite an input or another output.

    Parameters
    ----------
    inputs : iterable of (path or None)
    outputs : iterable of (path or None, str)
        Each with its name in messages.

    Raises
    ------
    StereoError
        "bad_option".
    """
    taken = {_identity(path): f"the input {path}" for path in inputs if path is not None}
    for path, what in outputs:
        if path is None:
            continue
        if (there := taken.get(_identity(path))) is not None:
            raise StereoError("bad_option", f"{what}, {path}, would be written over {there}.", "Choose another name.")
        taken[_identity(path)] = what


def check_suffix(path: Path | None, known: Iterable[str]) -> None:
    """Refuse a path whose suffix is none of the known ones; None passes."""
    if path is None or path.suffix.lower() in known:
        return
    endings = ", ".join(known)
    if path.is_dir():
        raise StereoError("unwritable", f"cannot write {path}: it is a folder.", f"Name a file in it ({endings}).")
    found = f"{path.suffix} is no format for it" if path.suffix else "its name has no ending to choose the format by"
    raise StereoError("unknown_format", f"cannot write {path}: {found}.", f"Use {endings}.")


def check_one_size(first: tuple[Path, np.ndarray], *others: tuple[Path | None, np.ndarray | None]) -> None:
    """Refuse maps of different size, each given as (path, map)."""
    name, value = first
    for other, map_ in others:
        if map_ is not None and map_.shape != value.shape:
            raise StereoError(
                "size_mismatch",
                f"{other} is {map_.shape[1]} x {map_.shape[0]}, {name} is {value.shape[1]} x {value.shape[0]} px.",
                "Give maps of one size.",
            )


def _identity(path: Path) -> str | tuple[int, int]:
    """A key that two names of one file (links, case) share."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return os.path.realpath(path)
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def failure_as_json(path: Path | None) -> Iterator[None]:
    """Write an error that the block raises to the file of --json as well."""
    if path is not None:
        from ..io.atomic import try_writing

        try_writing(path)
    try:
        yield
    except Exception as error:
        busy = isinstance(error, StereoError) and error.code == "busy"  # the file is another run's
        if path is not None and not busy:
            from ..io.json_files import write_json
            from ..output.stage_files import failure

            with contextlib.suppress(StereoError):  # the user must see the first failure, not this one
                write_json(path, failure(translate_error(error) or error, EXIT_BUG))
        raise


class _StandardError(logging.Handler):
    """Write to the current standard error, above moving lines of progress."""

    def emit(self, record: logging.LogRecord) -> None:
        echo(self.format(record), err=True, lines=record.exc_info is not None)


def set_up_logging(verbose: bool, quiet: bool) -> None:
    """Send the package's log to standard error: errors only, warnings (default), or choices too with `verbose`."""
    logger = logging.getLogger("stereo3d")
    logger.handlers = [_StandardError()]
    logger.propagate = False
    logger.setLevel(logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING)


def print_scores(scores: Mapping[str, Any], as_json: bool) -> None:
    """Print scores, nested dictionaries indented, or as JSON."""
    if as_json:
        import json

        from ..io.json_files import plain

        echo(json.dumps(plain(dict(scores)), indent=1), lines=True)
        return

    def lines(values: Mapping[str, Any], indent: str) -> None:
        for key, value in values.items():
            if isinstance(value, Mapping):
                echo(f"{indent}{key}")
                lines(value, indent + "  ")
            else:
                echo(f"{indent}{key}: {value:.4g}" if isinstance(value, float) else f"{indent}{key}: {value}")

    lines(scores, "")
