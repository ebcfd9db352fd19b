"""The summary at the end of a run: verdict, what it means for this model, findings, files, the next step."""

import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from ..diagnosis.verdict import MEANINGS, by_weight
from ..io.style import IN_METRES
from ..io.units import metres_per
from ..output.html.figures import amount, unit_words
from ..output.html.page import size_words
from ..pipeline.result import Result
from .printable import printable
from .process import say
from .terminal import duration

SHOWN_FINDINGS = 3  # without -v
SAID_OTHERWISE = ("different_size", "chosen_pair")  # without -v: in no need of words, and a row of its own
FIGURES = ("rows", "repeated", "floating")  # infos only -v prints: measurements that ask for nothing
MAX_WIDTH = 110  # columns of the summary
LABEL = 13  # columns of the labels of the rows
# Of the 256 colours of xterm, whose upper 240 are the same on every terminal: the contrast with black and with white is
# at least 4.5 (WCAG 2.1). None of the lower 16 reaches that everywhere; where only they are known, words are bold.
TONES = {"good": 29, "fair": 131, "poor": 163, "none": 163, "warning": 131, "error": 163, "next": 63}


def summary(
    result: Result,
    files: Sequence[Path],
    seconds: float,
    width: int | None = None,
    *,
    verbose: bool = False,
    note: str = "",
) -> list[str]:
    """Return the outcome in lines: the verdict and its meaning, findings by weight, mesh, time, files, the next step.

    Parameters
    ----------
    files : sequence of Path
        All files of the run, the mesh first.
    seconds : float
        Of the whole run, with writing.
    width : int, optional
        Columns to wrap at; None for no wrapping.
    verbose : bool
        All findings, not only `SHOWN_FINDINGS`.
    note : str
        About the name of the mesh.
    """
    sentence = result.summary.partition(". ")[0].rstrip(".")
    lines = _wrapped(f"{result.verdict}: {sentence}. {MEANINGS[result.verdict]}", width)
    lines += _rows(_meaning(result, files), width)

    findings = by_weight(result.findings, result.coverage, result.relative_sigma)
    silent = {f for f in findings if f.code in SAID_OTHERWISE or (f.severity == "info" and f.code in FIGURES)}
    shown = findings if verbose else [f for f in findings if f not in silent][:SHOWN_FINDINGS]
    for finding in shown:
        mark = "note" if finding.severity == "info" else finding.severity
        lines += _wrapped(f"{mark}: {finding.message} {finding.advice}".rstrip(), width)
    if rest := len([f for f in findings if f not in shown and f.code not in SAID_OTHERWISE]):
        lines += _wrapped(f"{rest} more {'finding' if rest == 1 else 'findings'}: add -v, --report or --json.", width)

    lines += _rows(_outcome(result, seconds), width)
    for k, file in enumerate(_listed(files)):
        lines.append(f"  {'' if k else 'wrote':<{LABEL - 3}} {file}")
    if note:
        lines += _wrapped(f"{'':<{LABEL}}{note}", width, indent=LABEL)
    return [*lines, *_next_step(files)]


def _meaning(result: Result, files: Sequence[Path]) -> list[tuple[str, str]]:
    """What is there of the model, how sure its depth is, and in which unit."""
    known = np.isfinite(result.points[..., 2])
    depth = f"relative uncertainty {100 * result.relative_sigma:.2g} % (median)"
    if known.any() and np.isfinite(result.relative_sigma):
        distance = float(np.median(np.linalg.norm(result.points[known], axis=1)))
        unit = unit_words(result.unit)
        depth += (
            f": {amount(result.relative_sigma * distance)} {unit} at the middle distance of {amount(distance)} {unit}"
        )
    chosen = [f.numbers for f in result.findings if f.code == "chosen_pair"]
    photos = [("photos", f"{n['first']} and {n['second']}, the best of {n['pairs']} pairs") for n in chosen]
    return [
        *photos,
        ("coverage", f"{100 * result.coverage:.0f} % of the first photo's area"),
        ("depth", depth),
        ("unit", _unit(result, files)),
    ]


def _unit(result: Result, files: Sequence[Path]) -> str:
    """The unit of the model, and how the formats whose unit is the metre hold it."""
    unit, forms = result.view.rig.unit, sorted({path.suffix.lower() for path in files} & set(IN_METRES))
    names = " and ".join(forms)
    if unit:
        length = " in m" if metres_per(unit) is not None else f" with 1 {unit} as 1 m, for its length is not known"
        return f"metric, in {unit}" + (f"; {names}{length}" if forms and unit != "m" else "")
    taken = f", which viewers of {names} take as 1 m" if forms else ""
    return f"the distance between the cameras{taken}; to get metres, measure it and add: --baseline 0.12 --unit m"


def _outcome(result: Result, seconds: float) -> list[tuple[str, str]]:
    inliers, matches = int(result.view.inliers.sum()), len(result.matches)
    peak = max(stage["peak_mb"] for stage in result.stages) / 1000
    slow = sorted(result.stages, key=lambda s: -s["seconds"])[:3]
    slowest = ", ".join(f"{s['name']} {duration(s['seconds'])}" for s in slow)
    return [
        ("matches", f"{inliers} of {matches} are inliers"),
        ("mesh", f"{len(result.mesh.vertices)} vertices, {len(result.mesh.faces)} faces"),
        ("time", f"{duration(seconds)} with writing ({slowest}), {peak:.1f} GB of memory at the peak"),
    ]


def _rows(rows: list[tuple[str, str]], width: int | None) -> list[str]:
    return [line for name, value in rows for line in _wrapped(f"  {name:<{LABEL - 3}} {value}", width, indent=LABEL)]


def _wrapped(text: str, width: int | None, indent: int = 2) -> list[str]:
    if width is None:
        return [text]
    return textwrap.wrap(text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def _listed(files: Sequence[Path]) -> list[str]:
    """Every file with its size; those of --save-stages as one folder."""
    from ..output.stage_files import STAGE_FILES

    stages = [path for path in files if path.name in STAGE_FILES]
    folder = stages[0].parent if len(stages) >= len(STAGE_FILES) else None
    inside = [path for path in stages if path.parent == folder]
    lines = [f"{path} ({size_words(path.stat().st_size)})" for path in files if path not in inside]
    if folder is not None:
        size = sum(path.stat().st_size for path in inside)
        lines.append(f"{os.path.join(folder, '')} ({len(inside)} files, {size_words(size)})")
    return lines


def _next_step(files: Sequence[Path]) -> list[str]:
    """How to look at the result."""
    report = [path for path in files if path.suffix.lower() in (".html", ".htm")]
    if report:
        return [f"next: open {report[0]} in a browser"]
    return [f"next: look at it: stereo3d view {shlex.quote(os.fspath(files[0]))}"] if files else []


def print_summary(
    result: Result, files: Sequence[Path], seconds: float, *, verbose: bool = False, note: str = ""
) -> None:
    """Print the summary, on a terminal wrapped and with the verdict in colour."""
    watched = sys.stdout is not None and sys.stdout.isatty()
    colour = watched and not os.environ.get("NO_COLOR")
    width = min(shutil.get_terminal_size().columns, MAX_WIDTH) if watched else None
    for line in summary(result, files, seconds, width, verbose=verbose, note=note):
        head, colon, rest = printable(line).partition(":")
        line = head + colon + rest
        if colour and colon and head in TONES:
            line = toned(head) + colon + rest
        say(line, color=colour)


def toned(word: str) -> str:
    """Return a word of `TONES` in its colour where the terminal has 256 of them, else bold."""
    many = "256" in os.environ.get("TERM", "") or bool(os.environ.get("COLORTERM") or os.environ.get("WT_SESSION"))
    return click.style(word, fg=TONES[word]) if many else click.style(word, bold=True)
