"""The command `stereo3d batch`: many pairs, on the workers of this computer or of a cluster."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from ..errors import EXIT_PAIR, StereoError
from .checks import Messages, fields_of_quality, parse_options, set_up_logging, take_fields
from .outputs import Outputs, Style, check_outputs
from .parameters import GROUPS, Grouped, Positive, cli
from .process import owns_process
from .reconstruct import reconstruct as single

if TYPE_CHECKING:
    from ..batches.engine import Stop
    from ..batches.run import Batch

OF_ONE = ("photos", "output", "pairs", "json_file", "progress")  # parameters of `reconstruct` that a batch has not
RESERVED = ("pair.json", "thumb.jpg", "measurements.json")
EPILOG = """\b
Examples:
  stereo3d batch photos/ -o models --dry-run                  # the pairs, and why
  stereo3d batch photos/ -o models --quality fast             # again: continues
  stereo3d batch 'left/*.png' 'right/*.png' -o models --same-rig
  stereo3d batch pairs.csv -o s3://bucket/models --cluster tcp://host:8786

A file option (--report report.html, --depth depth.png) names a file in the folder of each pair.

Exit codes: 0 all done, 5 some pairs failed, 6 results cannot be written, 7 no cluster, 130 interrupted."""


class GroupedBatch(Grouped):
    """A command whose help lists the options of a batch before those of a run."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the options by group."""
        own = [field.name for field in fields(Choices) if field.name not in ("out", "mesh")]
        files = ("out", "mesh", *GROUPS["Files"])
        self.format_groups(ctx, formatter, {"Batch": own, **GROUPS, "Files": files, "Others": ("help",)})


@dataclass(frozen=True)
class Choices:
    """The options of `batch` that a single run has not."""

    out: str
    mesh: Path
    dry_run: bool
    retry: bool
    workers: int | None
    timeout: float | None
    limit: int | None
    shuffle: bool
    fail_fast: bool
    same_rig: bool
    strip: bool
    cluster: str | None
    ship: bool
    tls_ca_file: str | None
    tls_cert: str | None
    tls_key: str | None


@cli.command(short_help="Reconstruct many pairs: a folder, a list, a cluster.", cls=GroupedBatch, epilog=EPILOG)
@click.argument("sources", nargs=-1, required=True, metavar="FOLDER|LIST|'LEFT*' 'RIGHT*'")
@click.option("-o", "--output", "out", required=True, metavar="DIR|URL", help="Write a folder for each pair here.")
@click.option(
    "--mesh",
    type=click.Path(path_type=Path),
    default="mesh.glb",
    show_default=True,
    metavar="NAME",
    help="Name the mesh in it.",
)
@click.option("--dry-run", is_flag=True, help="Print the pairs, why, memory and time, and stop.")
@click.option("--retry", is_flag=True, help="Carry out again what has failed before.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Limit the workers; default: what fits.")
@click.option("--timeout", type=Positive(), metavar="S", help="Let a pair fail after so many seconds.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Carry out N pairs at most.")
@click.option("--shuffle", is_flag=True, help="Carry them out in random order.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first failure.")
@click.option("--same-rig", is_flag=True, help="Find cameras and search range once: a sequence of one rig.")
@click.option("--strip", is_flag=True, help="Pair neighbours: 1-2, 2-3, ... of a strip.")
@click.option("--cluster", metavar="ADDRESS", help="Use this Dask scheduler; default: $DASK_SCHEDULER_ADDRESS.")
@click.option("--ship", is_flag=True, help="Send files with the tasks: no common file system.")
@click.option("--tls-ca-file", metavar="PEM", help="Certificate authority of the cluster.")
@click.option("--tls-cert", metavar="PEM", help="Certificate for the cluster.")
@click.option("--tls-key", metavar="PEM", help="Its key.")
def batch(sources: tuple[str, ...], **given: Any) -> int:
    """Reconstruct many pairs; each result is that of a single run, bit for bit.

    Pairs come from a folder, by names (_L/_R, left/right, numbers, times; MPO, spatial and side-by-side files are pairs
    by themselves), from a CSV or JSON-lines list with options of each pair, or from two patterns in quotes. The same
    command again continues: what is done is kept, changed photos are done again.
    """
    start = time.perf_counter()
    own = take_fields(Choices, given)
    found_batch, found, messages = _planned(sources, own, given)
    from .batch_progress import BatchWatch, print_end, print_plan

    if own.dry_run:
        print_plan(found_batch, found)
        return 0
    from ..batches.cluster import require_distributed

    require_distributed()
    outcomes: Counter[str] = Counter()
    failures = []
    with (
        BatchWatch(found_batch, on=messages.progress and not messages.quiet) as watch,
        _interruptible(found_batch.stop, watch.say) as caught,
    ):
        found_batch.say = watch.say
        for outcome in found_batch.outcomes():
            outcomes[outcome.state] += 1
            if outcome.state != "done":
                failures.append(outcome)
            if not (outcome.kept and found_batch.tally.over == 0):  # those of earlier batches need no line each
                watch.add(outcome)
    if not messages.quiet:
        print_end(found_batch, outcomes, failures, time.perf_counter() - start, len(found_batch.plan.kept))
        _print_index(own.out)
    if caught:
        return 128 + caught[0]
    return EXIT_PAIR if failures else 0


def _planned(sources: tuple[str, ...], own: Choices, given: dict[str, Any]) -> tuple[Batch, Any, Messages]:
    """The batch of a command line, the pairs that were found, and what is to be printed."""
    given |= {"output": own.mesh, "json_file": Path("measurements.json"), "progress": True}
    outputs, style, messages = take_fields(Outputs, given), take_fields(Style, given), take_fields(Messages, given)
    options, quality = given.pop("options"), given.pop("quality")
    set_up_logging(messages.verbose, messages.quiet)
    from ..batches.cluster import Tls, address_of
    from ..batches.plan import Request
    from ..batches.run import Engine, planned
    from ..batches.sources import find_pairs
    from .batch_files import RunFiles, check_inside

    check_inside(outputs, RESERVED)
    check_outputs(outputs, style)
    if quality is not None:
        given |= fields_of_quality(quality)
    found, base = find_pairs(sources, out=own.out, strip=own.strip, layout=given.get("layout"))
    if not found.pairs:
        _refuse_nothing(sources, found.left_over)
    request = Request(
        fields=_absolute({**given, "options": parse_options(options)}),
        out=own.out,
        write=RunFiles(outputs, style),
        style={
            f"{part}.{f.name}": str(getattr(record, f.name))
            for part, record in (("outputs", outputs), ("style", style))
            for f in fields(record)
        },
        retry=own.retry,
        ship=own.ship,
        timeout=own.timeout,
        limit=own.limit,
        shuffle=own.shuffle,
        base=os.path.abspath(base) if base and "://" not in base else base,
    )
    engine = Engine(
        address=address_of(own.cluster), workers=own.workers, tls=Tls(own.tls_ca_file, own.tls_cert, own.tls_key)
    )
    found_batch = planned(found.pairs, request, engine, same_rig=own.same_rig, fail_fast=own.fail_fast)
    return found_batch, found, messages


def _absolute(fields_: dict[str, Any]) -> dict[str, Any]:
    """The fields with absolute paths: workers may have another working folder."""
    for name in ("calib", "mask"):
        fields_[name] = tuple(str(f) if "://" in str(f) else os.path.abspath(f) for f in fields_[name])
    fields_["options"] = {
        key: os.path.abspath(value) if key.endswith("model") and os.path.isfile(value) else value
        for key, value in fields_["options"].items()
    }
    for name in ("matcher", "detector"):
        method, colon, file = fields_[name].partition(":")
        fields_[name] = f"{method}:{os.path.abspath(file)}" if colon else method
    return {name: value for name, value in fields_.items() if value is not None}


def _refuse_nothing(sources: tuple[str, ...], left_over: dict[str, str]) -> None:
    names = " ".join(sources)
    example = next(iter(left_over.items()), None)
    said = f"; {len(left_over)} photos are in none, {example[0]} for example: {example[1]}" if example else ""
    raise StereoError(
        "one_photo",
        f"no pair was found in {names}{said}.",
        "List them in a CSV file with the columns left,right; or give two patterns in quotes.",
    )


def _print_index(out: str) -> None:
    from .printable import echo

    page = f"{out.rstrip('/')}/index.html"
    echo(f"next: open {page} in a browser" if "://" not in out else f"index: {page}")


@contextlib.contextmanager
def _interruptible(stop: Stop, say: Any) -> Iterator[list[int]]:
    """Let Ctrl-C end the batch after the running pairs, a second one or SIGTERM at once; yield the signals caught."""
    caught: list[int] = []
    if not owns_process():
        yield caught
        return

    def take(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        stop.asked = 2 if number == signal.SIGTERM or len(caught) > 1 else 1
        if stop.asked == 1:
            say("interrupted: the running pairs are finished; Ctrl-C again drops them.")

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, take)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


batch.params += [p for p in single.params if p.name not in (*OF_ONE, *(q.name for q in batch.params))]
