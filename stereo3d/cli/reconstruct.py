"""The command `stereo3d reconstruct`: two photos to a mesh."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import StereoError
from ..options import DEFAULT_FACES, DEFAULT_MESHER, MAX_FEATURE_SIZE, MAX_SIZE, QUALITIES
from .checks import check_names, check_suffix, failure_as_json, parse_options, set_up_logging, take_fields
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
    from ..pipeline.config import Config
    from ..pipeline.result import Result


@dataclass(frozen=True)
class Outputs:
    """The files that `reconstruct` writes."""

    output: Path
    preview: Path | None
    report: Path | None
    points: Path | None
    save_stages: Path | None
    json_file: Path | None

    def targets(self, texture: str) -> list[tuple[Path | None, str]]:
        """Return every file but the JSON, with its name in messages."""
        return [
            (self.output, "the mesh"),
            *_companions(self.output, texture),
            (self.preview, "--preview"),
            (self.report, "--report"),
            (self.points, "--points"),
            *_stage_targets(self.save_stages),
        ]


@dataclass(frozen=True)
class Style:
    """How `reconstruct` writes the mesh."""

    axes: str
    texture: str
    jpeg_quality: int
    mark_filled: bool


@dataclass(frozen=True)
class Messages:
    """What `reconstruct` prints."""

    verbose: bool
    quiet: bool
    progress: bool


@cli.command(short_help="Reconstruct a mesh from two photos (all options).", cls=Grouped, epilog=EPILOG)
@click.argument("photos", type=FILE, nargs=-1, required=True, metavar="LEFT [RIGHT]")
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="FILE",
    help="Write the mesh: .obj, .ply, .glb or .stl, or a folder; default: PHOTO.glb beside LEFT.",
)
@with_options(SOURCE_OPTIONS)
@with_options(CAMERA_OPTIONS)
@with_options(MATCHING_OPTIONS)
@click.option("--quality", type=QUALITY, help="Choose the matcher by its quality: planes_fast, planes or planes_full.")
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
    help="The same for features.",
)
@click.option("--max-memory", type=float, metavar="GB", help="Limit the memory; default: what is free.")
@click.option(
    "--max-pixels",
    type=int,
    metavar="N",
    help="Read photos of up to N px, however far compressed; default: 220 million.",
)
@click.option(
    "--axes",
    type=click.Choice(["y-up", "z-up", "camera"]),
    default="y-up",
    show_default=True,
    help="Choose the axes of the mesh file.",
)
@click.option(
    "--texture",
    type=click.Choice(["jpg", "png"]),
    default="jpg",
    show_default=True,
    help="Choose the texture format of .obj and .glb.",
)
@click.option(
    "--jpeg-quality",
    type=click.IntRange(1, 100),
    default=95,
    show_default=True,
    help="Set the JPEG quality of the texture.",
)
@click.option("--mark-filled", is_flag=True, help="Paint unmeasured vertices magenta (.ply).")
@click.option("--points", type=FILE, metavar="PLY", help="Write the point cloud.")
@click.option("--save-stages", type=FILE, metavar="DIR", help="Write the outcome of every stage into this folder.")
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Write all measurements as JSON.")
@click.option("--preview", type=FILE, metavar="PNG", help="Write a picture of the mesh from four sides.")
@click.option("--report", type=FILE, metavar="HTML", help="Write a report page that shows every stage.")
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

        _check_outputs(outputs, style)
        if quality is not None:
            given["matcher"] = _matcher_of(quality)
        config = Config(options=parse_options(options), **given)
        written = [path for path, _ in [*targets, (outputs.json_file, "")] if path is not None]
        with (
            reserving(written),
            Watch(messages.progress and not messages.quiet, later_parts_of(config)) as show,
        ):
            meter, reserve = memory_meter(), PREVIEW if outputs.preview else 0.0
            result = run_at_once(
                lambda: run.reconstruct(*source_of(photos), config=config, progress=show, meter=meter, reserve=reserve),
            )
            show("write", len(result.mesh.faces), outputs.output.suffix.lower() + (" report" * bool(outputs.report)))
            files = _write_outputs(result, outputs, style, start)
    if not messages.quiet:
        seconds = time.perf_counter() - start
        print_summary(result, files, seconds, verbose=messages.verbose, note=words.note)


def _check_outputs(outputs: Outputs, style: Style) -> None:
    """Refuse outputs of unknown formats before any work."""
    from ..io.style import check_axes
    from ..io.write_mesh import WRITERS

    check_suffix(outputs.output, WRITERS)
    check_suffix(outputs.preview, (".png", ".jpg"))
    check_suffix(outputs.report, (".html", ".htm"))
    check_suffix(outputs.points, (".ply",))
    check_axes(outputs.output, style.axes)


def _write_outputs(result: Result, outputs: Outputs, style: Style, start: float) -> list[Path]:
    """Write all files of a run, or none, and return them; the JSON states the seconds from `start` to itself."""
    from ..io.atomic import together

    with together():
        files = result.save(
            outputs.output,
            axes=style.axes,
            texture=style.texture,
            quality=style.jpeg_quality,
            mark_filled=style.mark_filled,
        )
        if outputs.points:
            files.append(result.save_points(outputs.points, axes=style.axes))
        if outputs.preview:
            from ..io.pictures import write_picture
            from ..mesh.preview import preview as draw

            files.append(write_picture(outputs.preview, draw(result.mesh, result.view.rig.cam1)))
        if outputs.save_stages:
            from ..output.stage_files import save_stages

            files += save_stages(result, outputs.save_stages, axes=style.axes)
        if outputs.report:
            from ..output.html import write_report

            command = shlex.join(["stereo3d", *click.get_current_context().obj])
            named = [*files, outputs.report, *filter(None, [outputs.json_file])]
            files.append(write_report(outputs.report, result, files=named, command=command))
        if outputs.json_file:
            from ..io.json_files import write_json
            from ..output.stage_files import measured

            seconds = time.perf_counter() - start
            files.append(write_json(outputs.json_file, measured(result, [*files, outputs.json_file], seconds)))
    return files


def _matcher_of(quality: str) -> str:
    """The matcher that --quality names; refused where --matcher names one as well."""
    if click.get_current_context().get_parameter_source("matcher") is not click.core.ParameterSource.DEFAULT:
        raise StereoError("bad_option", "quality and matcher each choose the matcher.", "Give one of them.")
    return QUALITIES[quality]


def _companions(output: Path, texture: str) -> list[tuple[Path, str]]:
    if output.suffix.lower() != ".obj":
        return []
    from ..io.style import companions

    what = "the material of the mesh", "the texture of the mesh", "the second texture of the mesh"
    return list(zip(companions(output, texture), what, strict=True))


def _stage_targets(folder: Path | None) -> list[tuple[Path, str]]:
    if folder is None:
        return []
    from ..output.stage_files import STAGE_FILES

    return [(folder / name, "--save-stages") for name in STAGE_FILES]


def later_parts_of(config: Config) -> list[list[str]]:
    """Return the parts that helper processes may compile during the run; none in a caller's process.

    None where the user limits the memory either: helpers take theirs beside the run.
    """
    from ..install.warmup import later_parts

    return later_parts(config.matcher, config.mesher) if owns_process() and config.max_memory is None else []
