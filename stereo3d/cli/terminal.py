"""Lines of progress on the terminal during a run, and the summary at its end."""

import contextlib
import json
import os
import shutil
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

from ..install.compiling import Compiling, Helpers
from ..output.html.page import size_words
from ..pipeline.result import Result
from .printable import echo, printable
from .process import say

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

MAX_SAMPLES = 5  # latest runs whose speed is kept, for each stage and method
LONG_STAGE = 4.0  # s; a stage that is expected to take longer is announced where no line moves
MAX_FINDINGS = 6  # in the summary; --report and --json hold the rest
MAX_WIDTH = 110  # columns of the summary
VERDICT_COLOURS = {"good": "green", "fair": "yellow", "poor": "red", "none": "red"}


class Speeds:
    """Seconds per unit of work, measured in earlier runs on this computer.

    They are kept in a small file in the user's cache folder (STEREO3D_CACHE, else XDG_CACHE_HOME, else ~/.cache).
    Where it cannot be read or written there are no estimates.
    """

    def __init__(self) -> None:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        self.path = Path(os.environ.get("STEREO3D_CACHE") or Path(base) / "stereo3d") / "speeds.json"
        self.known: dict[str, list[float]] = {}
        if not self.path.is_absolute() and not os.environ.get("STEREO3D_CACHE"):  # an unknown home folder
            self.path = Path(os.devnull) / self.path.name
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            known = json.loads(self.path.read_text(encoding="utf-8"))
            self.known = {str(key): [float(v) for v in values if 0 < float(v) < 1e6] for key, values in known.items()}

    def estimate(self, key: str, work: float) -> float | None:
        """Return the expected seconds by the lower median, which one slow run (compiling, waiting) does not change."""
        values = sorted(self.known.get(key, ()))
        return values[(len(values) - 1) // 2] * work if values and work > 0 else None

    def add(self, key: str, work: float, seconds: float) -> None:
        """Keep the speed of a stage."""
        if work > 0 and seconds > 0:
            self.known[key] = [*self.known.get(key, ()), seconds / work][-MAX_SAMPLES:]

    def save(self) -> None:
        """Write the file."""
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.path.parent)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as f:
                    json.dump(self.known, f, indent=1)
                os.replace(name, self.path)
            except BaseException:
                os.unlink(name)
                raise


class Watch:
    """Print the stages of a run: `with Watch(enabled) as show: ... show(stage, work, method)`, and "done" at the end.

    Each gets a line with its time on standard error. On a terminal the line of the running stage moves, with its
    remaining time by `Speeds`; elsewhere (no terminal, CI, NO_COLOR) each line is written once, at the end of its
    stage, and a stage that may take long is announced.

    Parameters
    ----------
    enabled : bool
        False prints nothing.
    later : sequence of list of str
        Parts of the work for `Helpers`, which begin when a kernel must be compiled.
    """

    def __init__(self, enabled: bool, later: Sequence[list[str]] = ()) -> None:
        watched = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.on = enabled
        self.moving = enabled and watched and not os.environ.get("CI") and not os.environ.get("NO_COLOR")
        self.stage: tuple[str, float, str, float] | None = None  # the running one: (name, work, key, start)
        self.speeds = Speeds()
        self.bars: Progress | None = None
        self.task: TaskID | None = None
        self.compiling = Compiling(self._announce_compiling)
        self.later, self.helpers = later, Helpers()

    def __enter__(self) -> Callable[..., None]:
        if self.moving:
            self.bars = _bars()
            self.bars.start()
        self.compiling.__enter__()
        return self.show

    def _announce_compiling(self) -> None:
        self.helpers.start(self.later)
        long = "half a minute" if len(self.helpers) else "a minute"
        line = f"compiling  once on this computer, which takes {long} (`stereo3d warmup` compiles ahead of time)"
        if self.bars is not None:
            self.bars.console.print(line)
        elif self.on:
            echo(line, err=True)

    def show(self, stage: str, work: float = 0.0, method: str = "") -> None:
        """End the running stage and begin this one: see `pipeline.Progress`."""
        self._finish()
        if stage == "done":
            return
        key = f"{stage} {method}".strip()
        estimate = self.speeds.estimate(key, work)
        self.stage = stage, work, key, time.perf_counter()
        if self.bars is not None:
            self.task = self.bars.add_task(stage, total=None, estimate=estimate)
        elif self.on and estimate and estimate > LONG_STAGE:
            echo(f"{stage:<10} about {duration(estimate)} ...", err=True)

    def _finish(self) -> None:
        if self.stage is None:
            return
        name, work, key, start = self.stage
        seconds = time.perf_counter() - start
        self.speeds.add(key, work, seconds)
        self.stage = None
        if self.bars is not None and self.task is not None:
            self.bars.update(self.task, total=1, completed=1)
        elif self.on:
            echo(f"{name:<10} {duration(seconds)}", err=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.compiling.__exit__()
        self.helpers.stop()
        if kind is None:
            self._finish()
            self.speeds.save()
        if self.bars is not None:
            if self.stage is not None and self.task is not None:
                self.bars.update(self.task, visible=False)
            self.bars.stop()


def _bars() -> "Progress":
    """Moving lines, one a stage: a mark, its name, its time, a bar."""
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn, SpinnerColumn, TextColumn
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    class Bar(ProgressColumn):
        def render(self, task: Any) -> Any:
            estimate = task.fields["estimate"]
            if task.finished:
                return Text("")
            done = min(task.elapsed or 0, 0.97 * (estimate or 0))
            return ProgressBar(total=estimate, completed=done, width=24, pulse=estimate is None)

    class Time(ProgressColumn):
        def render(self, task: Any) -> Text:
            elapsed, estimate = task.elapsed or 0, task.fields["estimate"]
            if task.finished:
                return Text(duration(task.finished_time), style="dim")
            if estimate is None:
                return Text(duration(elapsed))
            if elapsed > 1.25 * estimate:
                return Text(f"{duration(elapsed)}, longer than the {duration(estimate)} of earlier runs")
            return Text(f"{duration(elapsed)} of about {duration(estimate)}")

    return Progress(
        SpinnerColumn(finished_text="[green]\u2713"),
        TextColumn("{task.description:<10}"),
        Time(),
        Bar(),
        console=Console(stderr=True),
        refresh_per_second=8,
    )


def duration(seconds: float) -> str:
    """Return a time in words: 0.4 s, 12 s, 2 min 05 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def summary(result: Result, files: list[Path], seconds: float, width: int | None = None) -> list[str]:
    """Return the outcome in lines: findings, verdict, coverage, uncertainty, unit, time and memory, files.

    Parameters
    ----------
    width : int, optional
        Columns to wrap at; None for no wrapping.
    """
    order = ("error", "warning", "info")
    shown = [f for f in sorted(result.findings, key=lambda f: order.index(f.severity)) if f.code != "different_size"]
    lines = []
    for finding in shown[:MAX_FINDINGS]:
        mark = "" if finding.severity == "info" else f"{finding.severity}: "
        lines += _wrapped(f"{mark}{finding.message} {finding.advice}".rstrip(), width)
    if len(shown) > MAX_FINDINGS:
        lines.append(f"... and {len(shown) - MAX_FINDINGS} more findings: see --report and --json.")

    sentence = result.summary.partition(". ")[0].rstrip(".")
    lines += _wrapped(f"{result.verdict}: {sentence}.", width)
    inliers, matches = int(result.view.inliers.sum()), len(result.matches)
    peak = max(stage["peak_mb"] for stage in result.stages) / 1000
    slow = sorted(result.stages, key=lambda s: -s["seconds"])[:3]
    slowest = ", ".join(f"{s['name']} {duration(s['seconds'])}" for s in slow)
    rows = [
        ("matches", f"{inliers} of {matches} are inliers"),
        ("coverage", f"{100 * result.coverage:.0f} % of the first photo's area"),
        ("depth", f"relative uncertainty {100 * result.relative_sigma:.2g} % (median)"),
        ("unit", _unit_words(result, files)),
        ("mesh", f"{len(result.mesh.vertices)} vertices, {len(result.mesh.faces)} faces"),
        ("time", f"{duration(seconds)} ({slowest}), {peak:.1f} GB of memory at the peak"),
        ("wrote", _listed(files)),
    ]
    for name, value in rows:
        lines += _wrapped(f"  {name:<10} {value}", width, indent=13)
    return lines


def _unit_words(result: Result, files: list[Path]) -> str:
    """The unit of the model, and how the formats whose unit is the metre hold it."""
    from ..io.style import IN_METRES
    from ..io.units import metres_per

    unit, forms = result.view.rig.unit, sorted({path.suffix.lower() for path in files} & set(IN_METRES))
    known, names = metres_per(unit) is not None, " and ".join(forms)
    if unit:
        length = " in m" if known else f" with 1 {unit} as 1 m, for its length is not known"
        return f"metric, in {unit}" + (f"; {names}{length}" if forms and unit != "m" else "")
    taken = f", which viewers of {names} take as 1 m" if forms else ""
    return f"the distance between the cameras{taken}; measure it and give it by --baseline N --unit m for a metric mesh"


def _wrapped(text: str, width: int | None, indent: int = 2) -> list[str]:
    if width is None:
        return [text]
    return textwrap.wrap(text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def _listed(files: list[Path], count: int = 5) -> str:
    """The first files with their sizes, and the number of the others."""
    shown = [f"{path} ({size_words(path.stat().st_size)})" for path in files[:count]]
    return ", ".join(shown) + (f" and {len(files) - count} more" if len(files) > count else "")


def print_summary(result: Result, files: list[Path], seconds: float) -> None:
    """Print the summary, on a terminal wrapped and with the verdict in colour."""
    watched = sys.stdout is not None and sys.stdout.isatty()
    colour = watched and not os.environ.get("NO_COLOR")
    for line in summary(
        result, files, seconds, min(shutil.get_terminal_size().columns, MAX_WIDTH) if watched else None
    ):
        head, colon, rest = printable(line).partition(":")
        line = head + colon + rest
        if colour and colon and head in (*VERDICT_COLOURS, "warning", "error"):
            tone = VERDICT_COLOURS.get(head, "yellow" if head == "warning" else "red")
            line = click.style(head, fg=tone, bold=True) + colon + rest
        say(line, color=colour)
