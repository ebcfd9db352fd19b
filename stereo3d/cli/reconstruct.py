"""The command `stereo3d reconstruct`: two photos to a mesh."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import DEFAULT_FACES, DEFAULT_MESHER, MAX_FEATURE_SIZE, MAX_SIZE
from .checks import (
    Messages,
    check_names,
    failure_as_json,
    fields_of_quality,
    parse_options,
    set_up_logging,
    take_fields,
)
from .outputs import OUTPUT_OPTIONS, Outputs, Style, check_outputs, write_outputs
from .parameters import (
    CAMERA_OPTIONS,
    EPILOG,
    FILE,
    MATCHING_OPTIONS,
    MESHER,
    QUALITY,
    SOURCE_OPTIONS,
    Grouped,
    cli,
    with_options,
)
from .process import memory_meter, owns_process, run_at_once
from .sources import print_pairs, refuse_standard_input, source_of, with_photos_of_folders
from .words import sort_words

if TYPE_CHECKING:
    from ..install.compiling import Helpers
    from ..pipeline.config import Config


@cli.command(short_help="Reconstruct a mesh from two photos (all options).", cls=Grouped, epilog=EPILOG)
@click.argument("photos", type=FILE, nargs=-1, required=True, metavar="LEFT [RIGHT]")
@with_options(SOURCE_OPTIONS)
@with_options(CAMERA_OPTIONS)
@with_options(MATCHING_OPTIONS)
@click.option(
    "--quality", type=QUALITY, help="Choose fast (planes_fast at 1000 px), normal (planes) or best (planes_full)."
)
@click.option("--mesher", type=MESHER, default=DEFAULT_MESHER, show_default=True, help="Choose the mesher.")
@click.option(
    "--faces",
    type=int,
    default=DEFAULT_FACES,
    show_default=True,
    metavar="N",
    help="Limit the number of triangles; 0 for no limit.",
)
@click.option("--close", is_flag=True, help="Fill every hole that measured surface encloses.")
@click.option(
    "--max-size",
    type=int,
    default=MAX_SIZE,
    show_default=True,
    metavar="PX",
    help="Limit the longer side of the photos for matching.",
)
@click.option(
    "--max-feature-size",
    type=int,
    default=MAX_FEATURE_SIZE,
    show_default=True,
    metavar="PX",
    help="Limit it for features.",
)
@click.option("--max-memory", type=float, metavar="GB", help="Limit the memory; default: what is free.")
@click.option(
    "--max-pixels",
    type=int,
    metavar="N",
    help="Read photos of up to N px, however far compressed; default: 220 million.",
)
@with_options(OUTPUT_OPTIONS)
@click.option("-v", "--verbose", is_flag=True, help="Explain choices; show tracebacks of bugs.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.option("--progress/--no-progress", default=True, help="Print each stage (default), or not.")
def reconstruct(photos: tuple[Path, ...], pairs: int | None, **given: Any) -> None:
    """Reconstruct a textured mesh from two photos; the first is camera 1, whichever side it was taken from.

    They may be two files, one file that holds both (a spatial photo, MPO, side by side), a folder, several photos or a
    video, of which the best pair is taken.
    """
    start = time.perf_counter()
    typed, given["output"] = given["output"], Path()
    outputs, style, messages = take_fields(Outputs, given), take_fields(Style, given), take_fields(Messages, given)
    options, quality = given.pop("options"), given.pop("quality")  # what is left are fields of Config
    set_up_logging(messages.verbose, messages.quiet)
    refuse_standard_input(photos)
    if pairs is not None:
        print_pairs(photos, pairs, {**given, "options": parse_options(options)})
        return
    from ..io.write_mesh import WRITERS

    words = sort_words(photos, typed, WRITERS)
    photos, outputs = words.photos, replace(outputs, output=words.output)
    targets = outputs.targets(style.texture)
    check_names(
        [*with_photos_of_folders(photos), *given["calib"], *given["mask"]], [*targets, (outputs.json_file, "--json")]
    )
    with failure_as_json(outputs.json_file):
        from ..io.atomic import reserving
        from ..pipeline import run
        from ..pipeline.config import Config
        from ..pipeline.memory import PREVIEW
        from .summary import print_summary
        from .terminal import Watch

        check_outputs(outputs, style)
        if quality is not None:
            given |= fields_of_quality(quality)
        config = Config(options=parse_options(options), **given)
        written = [path for path, _ in [*targets, (outputs.json_file, "")] if path is not None]
        with reserving(written), Watch(messages.progress and not messages.quiet, helpers_for(config)) as show:
            meter, reserve = memory_meter(), PREVIEW if outputs.preview or outputs.turntable else 0.0
            result = run_at_once(
                lambda: run.reconstruct(*source_of(photos), config=config, progress=show, meter=meter, reserve=reserve),
            )
            if style.crop is not None:
                result = result.cropped(style.crop)
            show("write", len(result.mesh.faces), outputs.output.suffix.lower() + (" report" * bool(outputs.report)))
            files = write_outputs(result, outputs, style, start)
    if not messages.quiet:
        seconds = time.perf_counter() - start
        print_summary(result, files, seconds, verbose=messages.verbose, note=words.note)


def helpers_for(config: Config) -> Helpers | None:
    """Return the helper processes that may compile during the run; not in a caller's process.

    Not where the user limits the memory either: helpers take theirs beside the run.
    """
    from ..install.compiling import Helpers

    return Helpers(every=not config.usual) if owns_process() and config.max_memory is None else None
