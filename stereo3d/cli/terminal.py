"""Lines of progress on the terminal during a run."""

import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..install.compiling import Compiling, Helpers
from ..pipeline.speeds import Speeds
from .printable import echo

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LONG_STAGE = 4.0  # s; a stage that is expected to take longer is announced where no line moves


class Watch:
    """Print the stages of a run: `with Watch(enabled) as show: ... show(stage, work, method)`, and "done" at the end.

    Each gets a line with its time on standard error. On a terminal the line of the running stage moves, with its
    remaining time by `Speeds`; elsewhere (no terminal, CI, NO_COLOR) each line is written once, at the end of its
    stage, and a stage that may take long is announced.

    Parameters
    ----------
    enabled : bool
        False prints nothing.
    helpers : Helpers, optional
        Start when a kernel must be compiled.
    """

    def __init__(self, enabled: bool, helpers: Helpers | None = None) -> None:
        watched = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.on = enabled
        self.moving = enabled and watched and not os.environ.get("CI") and not os.environ.get("NO_COLOR")
        self.stage: tuple[str, float, str, float] | None = None  # the running one: (name, work, key, start)
        self.speeds = Speeds()
        self.bars: Progress | None = None
        self.task: TaskID | None = None
        self.compiling = Compiling(self._announce_compiling)
        self.helpers = helpers

    def __enter__(self) -> Callable[..., None]:
        if self.moving:
            self.bars = _bars()
            self.bars.start()
        self.compiling.__enter__()
        return self.show

    def _announce_compiling(self) -> None:
        if self.helpers is not None:
            self.helpers.start()
        long = "half a minute" if self.helpers is not None and self.helpers.processes else "a minute"
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
        if self.helpers is not None:
            self.helpers.__exit__()
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
                return Text(duration(task.finished_time))
            if estimate is None:
                return Text(duration(elapsed))
            if elapsed > 1.25 * estimate:
                return Text(f"{duration(elapsed)}, longer than the {duration(estimate)} of earlier runs")
            return Text(f"{duration(elapsed)} of about {duration(estimate)}")

    return Progress(
        SpinnerColumn(finished_text="\u2713"),
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
