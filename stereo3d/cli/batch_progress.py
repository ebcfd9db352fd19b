"""What `stereo3d batch` prints: its plan, a line for each pair or a moving line, and how it ended."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .printable import echo, printable
from .terminal import duration

if TYPE_CHECKING:
    from ..batches.pairing import Found
    from ..batches.records import Outcome
    from ..batches.run import Batch

STATUS_EVERY = 10.0  # s between two lines about the whole, where no line moves
MOVE_EVERY = 0.5  # s between two of the moving line
SHOWN_PAIRS = 500  # of --dry-run
SHOWN_FAILURES = 10  # at the end


class BatchWatch:
    """Prints outcomes as they come: `with BatchWatch(batch, quiet) as watch: watch.add(outcome)`."""

    def __init__(self, batch: Batch, *, on: bool) -> None:
        watched = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.batch, self.on = batch, on
        self.moving = on and watched and not os.environ.get("CI") and not os.environ.get("NO_COLOR")
        self.bars: Any = None
        self.said = time.monotonic()

    def __enter__(self) -> BatchWatch:
        if self.moving:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            self.bars = Progress(
                BarColumn(bar_width=24), TextColumn("{task.description}"), console=Console(stderr=True)
            )
            self.bars.start()
            self.task = self.bars.add_task("starting workers", total=max(1, self.batch.tally.total))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bars is not None:
            self.bars.stop()

    def say(self, line: str) -> None:
        """Print a line above the moving one."""
        if not self.on:
            return
        if self.bars is not None:
            from rich.text import Text

            self.bars.console.print(Text(printable(line)))
        else:
            echo(line, err=True)

    def add(self, outcome: Outcome) -> None:
        """Print an outcome: failures always, others where no line moves."""
        tally = self.batch.tally
        if outcome.state != "done" or self.bars is None:
            self.say(f"{tally.over} of {tally.total}  {outcome_words(outcome)}")
        if self.bars is not None:
            if time.monotonic() - self.said > MOVE_EVERY or tally.over in (1, tally.total):
                self.said = time.monotonic()
                words = printable(status_words(self.batch))
                self.bars.update(self.task, completed=tally.over, total=tally.total, description=words)
        elif time.monotonic() - self.said > STATUS_EVERY:
            self.said = time.monotonic()
            self.say(f"batch  {status_words(self.batch)}")


def outcome_words(outcome: Outcome) -> str:
    """Return an outcome as one line."""
    facts = outcome.facts
    if outcome.state != "done":
        error = facts.get("error") or {}
        return f"{outcome.name}  {outcome.state}: {error.get('message', '')}"
    parts = [str(facts.get("verdict")), f"{100 * (facts.get('coverage') or 0):.0f} % covered"]
    parts.append("there already" if outcome.kept else duration(float(facts.get("seconds") or 0)))
    parts += [str(message) for message in facts.get("reduced") or []]
    return f"{outcome.name}  {', '.join(parts)}"


def status_words(batch: Batch) -> str:
    """Return how far a batch is, in words."""
    from ..batches.progress import memory_of

    tally = batch.tally
    parts = [f"{tally.over} of {tally.total} pairs, {tally.failed} failed"]
    if tally.over:
        rate = tally.rate
        parts.append(f"{rate:.1f} pairs a second" if rate >= 1 else f"{60 * rate:.1f} pairs a minute")
    if (rest := tally.rest()) is not None:
        low, high = map(duration, rest)
        parts.append(f"{low} to {high} left" if low != high else f"{high} left")
    if batch.client is not None and (memory := memory_of(batch.client)):
        parts.append(f"{memory / 1e9:.1f} GB")
    return ", ".join(parts)


def print_plan(batch: Batch, found: Found) -> None:
    """Print the pairs that were found and why, what is left over, and what the batch will take."""
    plan = batch.plan
    kept = {outcome.name for outcome in plan.kept}
    shown = [*((outcome.pair, True) for outcome in plan.kept), *((pair, False) for pair in plan.to_do)]
    for pair, done in shown[:SHOWN_PAIRS]:
        files = " + ".join(pair.files)
        echo(f"{pair.name}: {files}  ({pair.why}){'  done already' if done else ''}")
    if len(shown) > SHOWN_PAIRS:
        echo(f"... and {len(shown) - SHOWN_PAIRS} more")
    for file, reason in list(found.left_over.items())[:SHOWN_PAIRS]:
        echo(f"left out: {file}  ({reason})")
    for line in plan_lines(batch, len(kept), len(found.left_over)):
        echo(line)


def plan_lines(batch: Batch, kept: int, left_over: int) -> list[str]:
    """Return what a batch will take, in words."""
    count, expected = len(batch.plan.to_do), batch.expected
    lines = [f"{count} {'pair' if count == 1 else 'pairs'} to do, {kept} done already, {left_over} files in no pair"]
    if expected is None:
        return lines
    width, height = expected.size
    where = "on the cluster" if not batch.engine.own else f"{batch.workers} at a time on this computer"
    lines.append(
        f"memory: at most {expected.memory / 1e9:.1f} GB a pair ({width} x {height} px, the largest of "
        f"{expected.looked_at} looked at); {where}"
    )
    if expected.seconds is None:
        lines.append("time: not known, for no batch with this matcher has run on this computer")
    else:
        workers = batch.workers if batch.engine.own else 1
        whole = duration(expected.seconds * count / workers)
        lines.append(f"time: about {duration(expected.seconds)} a pair, {whole} in all by earlier batches")
    return lines


def print_end(batch: Batch, outcomes: Counter[str], failures: list[Outcome], seconds: float, kept: int) -> None:
    """Print how a batch ended, with its failures and the index."""
    tally = batch.tally
    parts = [f"{outcomes['done']} done"] + [f"{outcomes[s]} {s}" for s in ("failed", "set aside") if outcomes[s]]
    there = kept + tally.same
    not_begun = len(batch.plan.to_do) - tally.over
    parts += [f"{there} of them there already"] * bool(there) + [f"{not_begun} not done"] * (not_begun > 0)
    echo(f"{', '.join(parts)}; {duration(seconds)}")
    for outcome in failures[:SHOWN_FAILURES]:
        advice = (outcome.facts.get("error") or {}).get("advice", "")
        echo(f"  {outcome_words(outcome)} {advice}".rstrip())
    if len(failures) > SHOWN_FAILURES:
        echo(f"  ... and {len(failures) - SHOWN_FAILURES} more: the index lists them first")
    if any(outcome.kept for outcome in failures):
        echo("  failures of earlier batches stay as they are; --retry takes them up again")
