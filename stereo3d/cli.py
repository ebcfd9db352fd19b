"""The command line: parse -> Config -> reconstruct -> write. Nothing is computed here."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import shlex
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from . import __version__
from .errors import EXIT_OUTPUT, EXIT_RESOURCES, EXIT_USAGE, StereoError
from .options import DEFAULT_DETECTOR, DEFAULT_FACES, DEFAULT_MATCHER, DEFAULT_MESHER, MAX_SIZE

if TYPE_CHECKING:
    import numpy as np

    from .chessboard import Board, CameraCalibration, Corners, RigCalibration
    from .compiling import Compiling
    from .pipeline import Config, MemoryMeter, Result

EXIT_BUG = 70
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
Record = TypeVar("Record")


class PhotosFirst(click.Group):
    """A group in which `stereo3d LEFT RIGHT`, without a command's name, means `stereo3d reconstruct LEFT RIGHT`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the command's name in front of two photos."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help", "--version"):
            lone = len(args) == 1 and not args[0].startswith("-") and not ctx.resilient_parsing
            if lone and not os.path.lexists(args[0]):
                commands = ", ".join(self.commands)
                ctx.fail(f"there is no command and no photo {args[0]!r}. Commands: {commands}; or name two photos.")
            args = ["reconstruct", *args]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show both ways to call the program."""
        formatter.write_usage("stereo3d", "LEFT RIGHT -o OUT.obj [OPTIONS]")
        formatter.write_usage("stereo3d", "COMMAND [ARGS]", prefix="       ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the options of `reconstruct` that are used most, and the commands."""
        run = self.commands["reconstruct"]
        assert isinstance(run, Grouped)
        run.format_groups(ctx, formatter, {"Most used options (all: stereo3d reconstruct --help)": MOST_USED})
        self.format_commands(ctx, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete commands, and files: a photo may stand in the place of a command."""
        return [*super().shell_complete(ctx, incomplete), CompletionItem(incomplete, type="file")]


MOST_USED = ("output", "calib", "rectified", "baseline", "unit", "quality", "report", "preview", "verbose", "quiet")
GROUPS = {
    "Files": ("output", "report", "preview", "points", "save_stages", "json_file"),
    "Cameras and scale": ("calib", "rectified", "focal", "focal_35mm", "fov", "baseline", "known_distance", "unit"),
    "Methods": ("detector", "quality", "matcher", "mesher", "max_size", "max_memory", "options", "seed", "force"),
    "Mesh": ("faces", "close", "axes", "texture", "jpeg_quality", "mark_filled"),
    "Messages": ("verbose", "quiet", "progress"),
}


class Grouped(click.Command):
    """A command whose help lists its options by `GROUPS`."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the options by group, those without a group last."""
        named = {name for names in GROUPS.values() for name in names}
        options = [p.name for p in self.get_params(ctx) if isinstance(p, click.Option) and p.name]
        self.format_groups(ctx, formatter, {**GROUPS, "Others": [name for name in options if name not in named]})

    def format_groups(
        self, ctx: click.Context, formatter: click.HelpFormatter, groups: Mapping[str, Sequence[str]]
    ) -> None:
        """Show the options named by each group under its title."""
        parameters = {p.name: p for p in self.get_params(ctx)}
        for title, names in groups.items():
            rows = [parameters[name].get_help_record(ctx) for name in names if name in parameters]
            rows = [row for row in rows if row is not None]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows, col_max=34)


class Method(click.ParamType):
    """A name in one of the dicts of methods, looked up when needed so that --help stays quick."""

    def __init__(self, kind: str, module: str, table: str) -> None:
        self.name, self.module, self.table = kind, module, table

    def names(self) -> list[str]:
        """Return the names of the methods."""
        from importlib import import_module

        return list(getattr(import_module(f"stereo3d.{self.module}"), self.table))

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return "[name|name|...]"."""
        return f"[{'|'.join(self.names())}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name, or fail with those that exist."""
        if value not in self.names():
            self.fail(f"there is no {self.name} {value!r}. There are: {', '.join(self.names())}.", param, ctx)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the names."""
        return [CompletionItem(n) for n in self.names() if n.startswith(incomplete)]


MATCHER = Method("matcher", "disparity", "MATCHERS")
QUALITY = Method("quality", "disparity", "QUALITIES")
MESHER = Method("mesher", "mesh", "MESHERS")
DETECTOR = Method("detector", "features", "DETECTORS")
FILE = click.Path(path_type=Path)


class Positive(click.FloatRange):
    """A finite number above 0; click's own range lets NaN pass."""

    name = "number"

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True, max=1e9)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number, or fail."""
        number = super().convert(value, param, ctx)
        if number != number:
            self.fail(f"{value!r} is no number.", param, ctx)
        return number


def _complete_setting(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete "stage.name=" for the methods chosen so far on the line, and the choices behind the "="."""
    from .pipeline import stage_options

    chosen = {stage: ctx.params[stage] for stage in ("detector", "matcher", "mesher") if ctx.params.get(stage)}
    found = []
    for stage, known in stage_options(**chosen).items():
        for name, option in known.items():
            start = f"{stage}.{name}="
            values = option.choices or ((True, False) if option.kind is bool else ())
            words = [f"{start}{value}" for value in values] if incomplete.startswith(start) else [start]
            found += [CompletionItem(w, help=option.describe()) for w in words if w.startswith(incomplete)]
    return found


EPILOG = """\b
Examples:
  stereo3d left.jpg right.jpg -o model.obj
  stereo3d a.heic b.heic -o model.glb --baseline 0.12 --unit m
  stereo3d im0.png im1.png -o model.obj --calib calib.txt --rectified
  eval "$(_STEREO3D_COMPLETE=bash_source stereo3d)"    # completion; or zsh_source, fish_source

Exit codes: 0 done, 2 wrong command line, 3 input cannot be read, 4 calibration, 5 the pair cannot be reconstructed,
6 output cannot be written, 7 memory or a library is missing, 70 a bug, 130 interrupted, 143 terminated."""


@click.group(cls=PhotosFirst, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="stereo3d")
def cli() -> None:
    """Two photographs in, a textured 3-D mesh out, with a verdict on whether to believe it."""


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
        """Return every file but the JSON, with the words for it in a message."""
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


@cli.command(short_help="Two photos to a mesh, all options.", cls=Grouped, epilog=EPILOG)
@click.argument("left", type=FILE)
@click.argument("right", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="Write the mesh: .obj, .ply, .glb, .stl.")
@click.option("--calib", type=FILE, help="Read the cameras from a file of any common kind.")
@click.option("--rectified", is_flag=True, help="The photos are a rectified pair.")
@click.option("--focal", type=float, metavar="PX", help="Focal length in pixels of the photo.")
@click.option("--focal-35mm", type=float, metavar="MM", help="Focal length, 35 mm equivalent.")
@click.option("--fov", type=float, metavar="DEG", help="Horizontal field of view.")
@click.option("--baseline", type=float, metavar="N", help="Distance of the two camera positions.")
@click.option("--known-distance", nargs=3, metavar="X1,Y1 X2,Y2 D", help="Two pixels of LEFT and their distance.")
@click.option("--unit", metavar="UNIT", help="Unit of these lengths, such as m.")
@click.option("--detector", type=DETECTOR, default=DEFAULT_DETECTOR, show_default=True, help="Feature detector.")
@click.option("--matcher", type=MATCHER, default=DEFAULT_MATCHER, show_default=True, help="Dense matcher.")
@click.option("--quality", type=QUALITY, help="Choose the matcher: planes_fast, planes or planes_full.")
@click.option("--mesher", type=MESHER, default=DEFAULT_MESHER, show_default=True, help="Surface from points.")
@click.option(
    "--faces",
    type=int,
    default=DEFAULT_FACES,
    show_default=True,
    metavar="N",
    help="Largest number of triangles; 0: no limit.",
)
@click.option("--close", is_flag=True, help="Fill every hole that measured surface encloses.")
@click.option(
    "-O",
    "options",
    multiple=True,
    metavar="STAGE.NAME=VALUE",
    shell_complete=_complete_setting,
    help="Set an option of a stage: see `stereo3d methods`.",
)
@click.option(
    "--max-size",
    type=int,
    default=MAX_SIZE,
    show_default=True,
    metavar="PX",
    help="Longer side of the photos for matching.",
)
@click.option("--max-memory", type=float, metavar="GB", help="Largest memory of matching; default: what is free.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of every random choice.")
@click.option("--force", is_flag=True, help="Continue where the shape cannot be believed.")
@click.option(
    "--axes",
    type=click.Choice(["y-up", "z-up", "camera"]),
    default="y-up",
    show_default=True,
    help="Axes of the mesh file.",
)
@click.option(
    "--texture",
    type=click.Choice(["jpg", "png"]),
    default="jpg",
    show_default=True,
    help="Format of the texture of .obj and .glb.",
)
@click.option(
    "--jpeg-quality", type=click.IntRange(1, 100), default=95, show_default=True, help="JPEG quality of the texture."
)
@click.option("--mark-filled", is_flag=True, help="Paint unmeasured vertices magenta (.ply).")
@click.option("--points", type=FILE, metavar="PLY", help="Write the point cloud too.")
@click.option("--save-stages", type=FILE, metavar="DIR", help="Write the outcome of every stage as files.")
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Write all measurements as JSON.")
@click.option("--preview", type=FILE, metavar="PNG", help="Write a picture of the mesh from four sides.")
@click.option("--report", type=FILE, metavar="HTML", help="Write a page that shows every stage.")
@click.option("-v", "--verbose", is_flag=True, help="Explain choices; show tracebacks of bugs.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.option("--progress/--no-progress", default=True, help="Print each stage (default) or not.")
def reconstruct(left: Path, right: Path, **given: Any) -> None:
    """Reconstruct a textured mesh from two photos; the first is camera 1, whichever side it was taken from."""
    start = time.perf_counter()
    outputs, style, messages = take_fields(Outputs, given), take_fields(Style, given), take_fields(Messages, given)
    options, quality = given.pop("options"), given.pop("quality")  # what is left are fields of Config
    set_up_logging(messages.verbose, messages.quiet)
    targets = outputs.targets(style.texture)
    check_names([left, right, given["calib"]], [*targets, (outputs.json_file, "--json")])
    with failure_as_json(outputs.json_file):
        from . import pipeline
        from .files import try_writing
        from .terminal import Watch, print_summary

        _check_outputs(outputs, style)
        for path, _ in targets:
            if path is not None:
                try_writing(path)
        if quality is not None:
            given["matcher"] = _matcher_of(quality)
        config = pipeline.Config(options=parse_options(options), **given)
        with Watch(messages.progress and not messages.quiet, later_parts_of(config)) as show:
            meter = memory_meter()
            result = run_at_once(
                lambda: pipeline.reconstruct(left, right, config=config, progress=show, meter=meter),
            )
            show("write", len(result.mesh.faces), outputs.output.suffix.lower() + (" report" * bool(outputs.report)))
            files, seconds = _write_outputs(result, outputs, style, start)
    if not messages.quiet:
        print_summary(result, files, seconds)


def _check_outputs(outputs: Outputs, style: Style) -> None:
    """Refuse outputs whose format nobody can write, before any work."""
    from .export import WRITERS, check_axes

    check_suffix(outputs.output, WRITERS)
    check_suffix(outputs.preview, (".png", ".jpg"))
    check_suffix(outputs.report, (".html", ".htm"))
    check_suffix(outputs.points, (".ply",))
    check_axes(outputs.output, style.axes)


def _write_outputs(result: Result, outputs: Outputs, style: Style, start: float) -> tuple[list[Path], float]:
    """Write all files of a run, or none; returns them and the seconds since `start`."""
    from .files import together

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
            from .export import write_picture
            from .preview import preview as draw

            files.append(write_picture(outputs.preview, draw(result.mesh, result.view.rig.cam1)))
        if outputs.save_stages:
            from .stage_files import save_stages

            files += save_stages(result, outputs.save_stages, axes=style.axes)
        if outputs.report:
            from .report import write_report

            command = shlex.join(["stereo3d", *click.get_current_context().obj])
            files.append(write_report(outputs.report, result, files=files, command=command))
        seconds = time.perf_counter() - start
        if outputs.json_file:
            from .stage_files import measured, write_json

            files.append(write_json(outputs.json_file, measured(result, files, seconds)))
    return files, seconds


@cli.command(short_help="The disparity of a rectified pair.")
@click.argument("left", type=FILE)
@click.argument("right", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="The map: .pfm, .npy or 16-bit .png (256 d).")
@click.option("--range", "d_range", type=float, nargs=2, metavar="LO HI", help="Disparity range, px; default: found.")
@click.option("--matcher", type=MATCHER, default=DEFAULT_MATCHER, show_default=True, help="Dense matcher.")
@click.option("-O", "options", multiple=True, metavar="NAME=VALUE", help="Option of the matcher.")
@click.option("--dense", is_flag=True, help="Fill every pixel instead of leaving unsure ones unknown.")
@click.option("--colour", type=FILE, metavar="PNG", help="Write the map as a colour picture too.")
@click.option("-v", "--verbose", is_flag=True, help="Explain choices.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
def disparity(left, right, output, d_range, matcher, options, dense, colour, verbose, quiet):
    """Disparity x_left - x_right of a rectified pair; unknown pixels are NaN (.pfm: inf, .png: 0)."""
    set_up_logging(verbose, quiet)
    import numpy as np

    from . import pipeline
    from .export import write_disparity_png
    from .files import together, try_writing, write_map
    from .photos import read_photo

    check_names([left, right], [(output, "the map"), (colour, "--colour")])
    check_suffix(output, (".pfm", ".npy", ".png"))
    check_suffix(colour, (".png",))
    for path in filter(None, (output, colour)):
        try_writing(path)
    if d_range and not -np.inf < d_range[0] < d_range[1] < np.inf:
        raise StereoError(
            "bad_range",
            f"the disparity range {d_range[0]:g} to {d_range[1]:g} px is empty or not finite.",
            "Give two finite numbers, the lower one first.",
        )
    options = {k if k.startswith("matcher.") else f"matcher.{k}": v for k, v in parse_options(options).items()}
    config = pipeline.Config(matcher=matcher, options=options)
    pair, found = pipeline.rectified_pair(read_photo(left), read_photo(right), d_range or None)
    value = pipeline.match_pair(pair, found, config, dense=dense)[0].disparity
    known = np.isfinite(value)
    if not known.any():
        raise StereoError(
            "no_disparity",
            f"the matcher kept no pixel of {value.size} within {found[0]:g} to {found[1]:g} px.",
            "Is it a rectified pair with texture? Try another --range or --matcher.",
        )
    with together():
        write_map(output, value)
        if colour:
            write_disparity_png(colour, value)
    if not quiet:
        click.echo(
            f"{output}: {100 * known.mean():.1f} % of the pixels known, {value[known].min():.2f} to "
            f"{value[known].max():.2f} px; searched {found[0]:g} to {found[1]:g} px."
        )


@cli.command(short_help="Show a mesh in the browser.")
@click.argument("mesh", type=FILE)
@click.option("-o", "--output", type=FILE, metavar="HTML", help="Write this page; default: NAME-view.html.")
@click.option("--open/--no-open", "opened", default=True, show_default=True, help="Open it in the browser.")
def view(mesh: Path, output: Path | None, opened: bool) -> None:
    """Show a MESH (.obj, .ply, .glb, .stl) in the browser: one page that needs no network."""
    from .files import try_writing
    from .report import write_view

    output = output or mesh.with_name(f"{mesh.stem}-view.html")
    check_names([mesh], [(output, "the page")])
    check_suffix(output, (".html", ".htm"))
    try_writing(output)
    write_view(output, mesh)
    click.echo(f"wrote {output} ({output.stat().st_size / 1e6:.1f} MB)")
    if opened:
        import webbrowser

        if not webbrowser.open(output.resolve().as_uri()):
            click.echo("No browser could be started here: open the page yourself.")


@cli.command(short_help="Try matchers and their options by eye.")
@click.argument("left", type=FILE)
@click.argument("right", type=FILE)
@click.option(
    "--max-size",
    type=int,
    default=800,
    show_default=True,
    metavar="PX",
    help="Longer side of the photos for matching.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Port of 127.0.0.1; default: any free one."
)
@click.option("--open/--no-open", "opened", default=True, show_default=True, help="Open it in the browser.")
def tune(left: Path, right: Path, port: int, opened: bool, options: tuple[str, ...], **settings: Any) -> None:
    """Change the matcher and its options on a pair, and see disparity, confidence and points at once.

    The page is served to this computer only. Each trial is printed as the command that repeats it; Ctrl-C ends it.
    """
    from .pipeline import Config
    from .report.tune import Bench, serve

    bench = run_at_once(lambda: Bench(left, right, Config(options=parse_options(options), **settings)))
    server, address = serve(
        bench,
        port,
        lambda found: click.echo(f"{100 * found['known']:.1f} % known, {found['seconds']:.1f} s: {found['command']}"),
    )
    click.echo(f"{address}  (Ctrl-C ends it)")
    if opened:
        import webbrowser

        webbrowser.open(address)
    with contextlib.suppress(KeyboardInterrupt), server:
        server.serve_forever()


# the options of cameras and methods are those of a run
_shared = {*GROUPS["Cameras and scale"], "detector", "matcher", "options", "seed", "force"}
tune.params += [p for p in cli.commands["reconstruct"].params if p.name in _shared]


@cli.command(short_help="A rendered pair with its exact truth.")
@click.argument("scene")
@click.option("-o", "--output", type=FILE, required=True, help="Write the pair and its truth into this folder.")
@click.option("--size", type=int, nargs=2, default=(640, 480), show_default=True, metavar="W H", help="Size in pixels.")
@click.option("--pose", help="Pose of the cameras; default: the scene's own.")
@click.option("--noise", type=float, default=0.0, show_default=True, help="Sigma of the noise, grey levels.")
@click.option("--vignetting", type=float, default=0.0, show_default=True, help="Share of light lost in the corners.")
@click.option("--gain", type=float, default=1.0, show_default=True, help="Exposure of photo 2 relative to photo 1.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the noise.")
def synth(
    scene: str,
    output: Path,
    size: tuple[int, int],
    pose: str | None,
    noise: float,
    vignetting: float,
    gain: float,
    seed: int,
) -> None:
    """Render a synthetic pair with its exact truth; SCENE is one of those that `stereo3d methods` lists."""
    from . import synthetic
    from .options import choose

    choose("scene", synthetic.SCENES, scene)
    if pose is not None:
        choose("pose", synthetic.POSES, pose)
    for name, value, low, high in (
        ("size", size[0], 32, 8000),
        ("size", size[1], 32, 8000),
        ("noise", noise, 0, 100),
        ("vignetting", vignetting, 0, 0.95),
        ("gain", gain, 0.05, 20),
        ("seed", seed, 0, 2**32 - 1),
    ):
        if not low <= value <= high:
            raise StereoError("bad_option", f"{name} cannot be {value:.10g}.", f"It is {low:.10g} to {high:.10g}.")
    from .files import together, try_writing

    try_writing(output / "left.png")
    pair = synthetic.render(scene, size=size, pose=pose, noise=noise, vignetting=vignetting, gain=gain, seed=seed)
    with together():
        files = synthetic.write_pair(output, pair)
    for path in files:
        click.echo(os.fspath(path))


@cli.group("eval", short_help="A result against truth.")
def evaluate() -> None:
    """Measure a result against truth."""


@evaluate.command("disparity")
@click.argument("result", type=FILE)
@click.argument("truth", type=FILE)
@click.option("--scale", type=Positive(), help="Truth in px = raw / scale; default 256 for 16-bit PNG, else 1.")
@click.option("--unknown", type=float, multiple=True, help="Raw value of the truth that means unknown.")
@click.option("--truth-right", type=FILE, help="True disparity of the right picture, by which occlusions are found.")
@click.option("--nonocc", type=FILE, help="Mask: 255 where not occluded.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def eval_disparity(
    result: Path,
    truth: Path,
    scale: float | None,
    unknown: tuple[float, ...],
    truth_right: Path | None,
    nonocc: Path | None,
    as_json: bool,
) -> None:
    """RESULT (.pfm, .npy, .png) against TRUTH: bad-0.5/1/2 in %, mean error, coverage.

    TRUTH may be a folder with a pair.json.
    """
    from . import evaluate as ev
    from .files import read_map

    value = read_map(result)
    if truth.is_dir():
        scene = ev.read_scene(truth)
        true, visible = scene.truth, scene.nonocc
    else:
        true = read_map(truth, scale=scale, unknown=unknown)
        right = read_map(truth_right, scale=scale, unknown=unknown) if truth_right else None
        mask = read_map(nonocc) == 255 if nonocc else None
        check_one_size((truth, true), (truth_right, right), (nonocc, mask))
        visible = ev.non_occluded(true, right, mask)
    check_one_size((truth, true), (result, value))
    print_scores(ev.disparity_scores(value, true, visible), as_json)


@evaluate.command("mesh")
@click.argument("mesh", type=FILE)
@click.option("--depth", type=FILE, required=True, help="True z-depth of the first photo (.npz, .npy, .pfm, .png).")
@click.option("--cameras", type=FILE, required=True, help="cameras.json with the true K of that photo.")
@click.option("--view", default="left", show_default=True, help="The photo's name in cameras.json.")
@click.option("--threshold", type=Positive(), default=0.01, show_default=True, help="Largest relative error.")
@click.option(
    "--align",
    type=click.Choice(["similarity", "scale", "none"]),
    default="similarity",
    show_default=True,
    help="Alignment to the truth before measuring.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def eval_mesh(mesh: Path, depth: Path, cameras: Path, view: str, threshold: float, align: str, as_json: bool) -> None:
    """MESH against the true depth of the first photo: accuracy, completeness, F-score, depth error."""
    from . import evaluate as ev
    from .files import read_map
    from .io.read_mesh import read_mesh

    camera, _, _ = ev.read_truth_camera(cameras, view)
    true = read_map(depth, unknown=[0])
    print_scores(ev.mesh_scores(read_mesh(mesh), true, camera, threshold=threshold, align=align), as_json)


@evaluate.command("pose")
@click.argument("result", type=FILE)
@click.argument("truth", type=FILE)
@click.option("--views", nargs=2, default=("left", "right"), show_default=True, help="The photos' names in TRUTH.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def eval_pose(result: Path, truth: Path, views: tuple[str, str], as_json: bool) -> None:
    """RESULT (the cameras.json of --save-stages) against a TRUTH of the same form: angles in degrees, focal in %."""
    from . import evaluate as ev

    cam, R1, t1 = ev.read_truth_camera(result, "left")
    _, R2, t2 = ev.read_truth_camera(result, "right")
    true, *pose1 = ev.read_truth_camera(truth, views[0])
    _, *pose2 = ev.read_truth_camera(truth, views[1])
    found, wanted = ev.relative_pose(R1, t1, R2, t2), ev.relative_pose(*pose1, *pose2)
    for path, (_, t) in ((result, found), (truth, wanted)):
        if not (t != 0).any():
            raise StereoError(
                "bad_calibration",
                f"{path}: both views stand in one place, there is no direction.",
                "Name two views that differ.",
            )
    scores = ev.pose_errors(*found, *wanted)
    print_scores({**scores, "focal_percent": ev.focal_error_percent(cam, true)}, as_json)


@cli.command(short_help="Every method and its options.")
def methods() -> None:
    """List detectors, matchers, meshers, scenes, with their options and defaults."""
    from . import pipeline, synthetic
    from .disparity import MATCHERS
    from .features import DETECTORS
    from .mesh import MESHERS

    for stage, table in (("detector", DETECTORS), ("matcher", MATCHERS), ("mesher", MESHERS)):
        for name, function in table.items():
            click.echo(f"{stage} {name}: {(function.__doc__ or '').strip().splitlines()[0]}")
            for option in pipeline.run_options(function).values():
                click.echo(f"    -O {stage}.{option.name}=VALUE   {option.describe()}")
    click.echo("stages of every run:")
    default = pipeline.Config()
    own = {"detector": DETECTORS, "matcher": MATCHERS, "mesher": MESHERS}
    for stage, known in pipeline.stage_options().items():
        of_method = pipeline.run_options(own[stage][getattr(default, stage)]) if stage in own else ()
        for name, option in known.items():
            if name not in of_method:
                click.echo(f"    -O {stage}.{name}=VALUE   {option.describe()}")
    click.echo(f"scenes of `stereo3d synth`: {', '.join(synthetic.SCENES)}")


@cli.command(short_help="Is the installation sound?")
def doctor() -> None:
    """Check the installation: libraries, versions, memory; print what to do."""
    from .doctor import check

    findings = check()
    marks = {"info": "ok     ", "warning": "warning", "error": "ERROR  "}
    for finding in findings:
        click.echo(f"{marks[finding.severity]} {finding.message} {finding.advice}".rstrip())
    if any(f.severity == "error" for f in findings):
        click.get_current_context().exit(EXIT_RESOURCES)


@cli.command(short_help="Compile everything now, not at the first run.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def warmup(quiet: bool) -> None:
    """Compile all kernels for this processor and keep them, as a step of building an image; later runs start at once.

    They are kept in NUMBA_CACHE_DIR, else beside the program, else in the home: where `stereo3d doctor` says.
    """
    from .warmup import warm_up

    start = time.perf_counter()

    def report(what: str, found: Compiling) -> None:
        if not quiet:
            click.echo(f"{what}: {found.kernels} kernels compiled in {found.seconds:.1f} s so far", err=True)

    found = warm_up(report, helped=owns_process())
    if not quiet:
        seconds = time.perf_counter() - start
        click.echo(
            f"{found.kernels} kernels compiled in {found.seconds:.1f} s and kept, {seconds:.1f} s in all."
            if found.kernels
            else "All kernels were compiled already."
        )


@dataclass(frozen=True)
class BoardChoice:
    """The board of `calibrate`, as given on the command line."""

    shape: str
    kind: str
    square: float | None
    unit: str | None
    marker: float | None
    dictionary: str
    legacy: bool


@dataclass(frozen=True)
class CalibrationOutputs:
    """The files that `calibrate` writes."""

    output: Path
    coverage: Path | None
    json_file: Path | None


@cli.command(
    short_help="A camera or a rig from photos of a board.",
    epilog="""\b
Examples:
  stereo3d calibrate photos/*.jpg -o camera.json --board 9x6 --square 25 --unit mm
  stereo3d calibrate --left 'left*.jpg' --right 'right*.jpg' -o rig.json --board 9x6 --square 25 --unit mm""",
)
@click.argument("photos", type=FILE, nargs=-1)
@click.option("--left", type=FILE, multiple=True, help="A rig's first camera: photo, folder, or pattern in quotes.")
@click.option("--right", type=FILE, multiple=True, help="Its second camera; photos of one moment have one number.")
@click.option("-o", "--output", type=FILE, required=True, help="Write the camera or the rig: .json, for --calib.")
@click.option(
    "--board",
    "shape",
    required=True,
    metavar="CxR",
    help="Inner corners of a chessboard, as 9x6; squares of a ChArUco board.",
)
@click.option(
    "--kind",
    type=Method("board", "chessboard", "BOARDS"),
    default="chessboard",
    show_default=True,
    help="Kind of the board.",
)
@click.option("--square", type=Positive(), help="Side of a square, in --unit; sets the scale of a rig.")
@click.option("--unit", metavar="UNIT", help="Unit of --square, such as mm.")
@click.option("--marker", type=Positive(), help="Side of a ChArUco marker, in --unit.")
@click.option("--dictionary", default="5X5_100", show_default=True, help="Dictionary of the ChArUco markers.")
@click.option("--legacy", is_flag=True, help="The ChArUco board was drawn by OpenCV before 4.6.")
@click.option(
    "--distortion",
    type=click.Choice(["auto", "0", "2", "4", "5", "8"]),
    default="auto",
    show_default=True,
    help="Number of distortion coefficients.",
)
@click.option("--drop", is_flag=True, help="Leave out photos that fit far worse than the others.")
@click.option("--coverage", type=FILE, metavar="PNG", help="Write a picture of where the boards were.")
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Write all measurements as JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Explain choices; show tracebacks of bugs.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def calibrate(photos: tuple[Path, ...], left: tuple[Path, ...], right: tuple[Path, ...], **given: Any) -> None:
    """Find a camera, or the two of a rig, from PHOTOS of a chessboard or a ChArUco board."""
    set_up_logging(given["verbose"], given["quiet"])
    choice, outputs = take_fields(BoardChoice, given), take_fields(CalibrationOutputs, given)
    _check_cameras(photos, left, right)
    size = _board_size(choice)
    from . import chessboard
    from .files import try_writing

    groups = [chessboard.list_photos(group) for group in ((photos,) if photos else (left, right))]
    targets = [(outputs.output, "the calibration"), (outputs.coverage, "--coverage"), (outputs.json_file, "--json")]
    check_names(sum(groups, []), targets)
    with failure_as_json(outputs.json_file):
        check_suffix(outputs.output, (".json",))
        check_suffix(outputs.coverage, (".png", ".jpg"))
        for path in filter(None, (outputs.output, outputs.coverage)):
            try_writing(path)
        board = chessboard.Board(
            columns=size[0],
            rows=size[1],
            square=choice.square or 1.0,
            kind=choice.kind,
            marker=choice.marker,
            dictionary=choice.dictionary,
            legacy=choice.legacy,
        )
        solve = {"distortion": _distortion(given["distortion"]), "drop": given["drop"]}
        seen, missing = zip(*[chessboard.read_corners(group, board) for group in groups], strict=True)
        if photos:
            found = chessboard.calibrate_camera(seen[0], board, **solve)
        else:
            found = _calibrate_rig(groups, seen, board, _rig_unit(choice), solve)
        written = _write_calibration(found, sum(missing, []), outputs)
    if not given["quiet"]:
        for line in chessboard.describe(found, sum(missing, [])):
            click.echo(line)
        click.echo(f"wrote {', '.join(str(path) for path in written)}")


def _check_cameras(photos: tuple[Path, ...], left: tuple[Path, ...], right: tuple[Path, ...]) -> None:
    """Refuse photos of one camera beside those of a rig, and a rig of which a camera has no photos."""
    if photos and (left or right):
        raise StereoError(
            "bad_option",
            f"{photos[0]} is neither under --left nor under --right.",
            "Put patterns in quotes: --left 'left*.jpg' --right 'right*.jpg'.",
        )
    if not photos and not (left and right):
        raise StereoError(
            "bad_option",
            "no photos are given." if not (left or right) else "one camera has no photos.",
            "Name photos of one camera, or give both --left and --right.",
        )


def _board_size(choice: BoardChoice) -> tuple[int, int]:
    """(columns, rows) of --board."""
    import re

    size = re.fullmatch(r"(\d{1,3})\s*[xX,]\s*(\d{1,3})", choice.shape.strip())
    if size is None:
        raise StereoError("bad_option", f"--board {choice.shape!r} has no sense.", "Write columns x rows, as 9x6.")
    if choice.unit is not None and choice.square is None:
        raise StereoError("bad_option", f"unit {choice.unit!r} needs --square.", "Measure a square's side.")
    return int(size[1]), int(size[2])


def _distortion(given: str) -> str | int:
    return given if given == "auto" else int(given)


def _rig_unit(choice: BoardChoice) -> str:
    from .calibration import UNSTATED_UNIT

    return choice.unit or (UNSTATED_UNIT if choice.square else "squares")


def _calibrate_rig(
    groups: list[list[Path]], seen: Sequence[list[Corners]], board: Board, unit: str, solve: dict[str, Any]
) -> RigCalibration:
    from . import chessboard

    left, right = seen
    names = [c.name for c in left], [c.name for c in right]
    pairs = chessboard.pair_by_name(groups[0], groups[1], among=names)
    return chessboard.calibrate_rig(left, right, pairs, board, unit=unit, **solve)


def _write_calibration(
    found: CameraCalibration | RigCalibration, missing: list, outputs: CalibrationOutputs
) -> list[Path]:
    """Write all files of a calibration, or none; returns them."""
    from . import chessboard
    from .calibration import write_camera, write_rig
    from .export import write_picture
    from .files import together
    from .stage_files import write_json

    with together():
        if isinstance(found, chessboard.CameraCalibration):
            files = [write_camera(outputs.output, found.camera)]
        else:
            files = [write_rig(outputs.output, found.rig)]
        if outputs.coverage:
            files.append(write_picture(outputs.coverage, chessboard.coverage_picture(found)))
        if outputs.json_file:
            files.append(write_json(outputs.json_file, {**chessboard.measured(found), "no_board": missing}))
    return files


# ------------------------------------------------------------------------------------------------ helpers


def take_fields(record: type[Record], given: dict[str, Any]) -> Record:
    """The record made of its fields' values, which are taken out of the arguments given."""
    return record(**{field.name: given.pop(field.name) for field in fields(record)})  # pyright: ignore[reportArgumentType]


def _matcher_of(quality: str) -> str:
    """The matcher that --quality names; refused where --matcher names one as well."""
    from .disparity import QUALITIES

    if click.get_current_context().get_parameter_source("matcher") is not click.core.ParameterSource.DEFAULT:
        raise StereoError("bad_option", "quality and matcher each choose the matcher.", "Give one of them.")
    return QUALITIES[quality]


def parse_options(pairs: Iterable[str]) -> dict[str, str]:
    """{"stage.name": value} of the words given with -O."""
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise StereoError("bad_option", f"-O {pair!r} has no value.", "Write -O stage.name=value.")
        found[key.strip()] = value.strip()
    return found


def _companions(output: Path, texture: str) -> list[tuple[Path, str]]:
    if output.suffix.lower() != ".obj":
        return []
    from .export import companions

    what = "the material of the mesh", "the texture of the mesh", "the second texture of the mesh"
    return list(zip(companions(output, texture), what, strict=True))


def _stage_targets(folder: Path | None) -> list[tuple[Path, str]]:
    if folder is None:
        return []
    from .stage_files import STAGE_FILES

    return [(folder / name, "--save-stages") for name in STAGE_FILES]


def check_names(inputs: Iterable[Path | None], outputs: Iterable[tuple[Path | None, str]]) -> None:
    """Refuse an output that would overwrite an input or another output. outputs: (path | None, its name in words)."""
    taken = {_identity(path): f"the input {path}" for path in inputs if path is not None}
    for path, what in outputs:
        if path is None:
            continue
        if (there := taken.get(_identity(path))) is not None:
            raise StereoError("bad_option", f"{what}, {path}, would be written over {there}.", "Choose another name.")
        taken[_identity(path)] = what


def check_suffix(path: Path | None, known: Iterable[str]) -> None:
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
        from .files import try_writing

        try_writing(path)
    try:
        yield
    except Exception as error:
        if path is not None:
            from .stage_files import failure, write_json

            with contextlib.suppress(StereoError):  # the user must see the first failure, not this one
                write_json(path, failure(translate_error(error) or error, EXIT_BUG))
        raise


def translate_error(error: Exception) -> StereoError | None:
    """The StereoError of a failure that a library reports in its own way; None for a bug."""
    if isinstance(error, StereoError):
        return error
    words = str(error)
    exhausted = (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, RuntimeError) and "can't start new thread" in words)  # no room for its stack
        or (type(error).__module__ == "cv2" and "Insufficient memory" in words)
    )
    if exhausted:
        return StereoError(
            "memory",
            f"out of memory ({words or 'no more could be had'}).",
            "Use a smaller --max-size or close other programs.",
        )
    return None


class _StandardError(logging.Handler):
    """Writes to the standard error of the moment, above moving lines of progress."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(self.format(record), err=True)


def set_up_logging(verbose: bool, quiet: bool) -> None:
    logger = logging.getLogger("stereo3d")
    logger.handlers = [_StandardError()]
    logger.propagate = False
    logger.setLevel(logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING)


def print_scores(scores: dict[str, Any], as_json: bool) -> None:
    if as_json:
        import json

        from .stage_files import plain

        click.echo(json.dumps(plain(scores), indent=1))
        return

    def lines(values: dict[str, Any], indent: str) -> None:
        for key, value in values.items():
            if isinstance(value, dict):
                click.echo(f"{indent}{key}")
                lines(value, indent + "  ")
            else:
                click.echo(f"{indent}{key}: {value:.4g}" if isinstance(value, float) else f"{indent}{key}: {value}")

    lines(scores, "")


def main(args: Sequence[str] | None = None) -> int:
    """Run the command `stereo3d`: every failure is one message on standard error and an exit code by kind.

    Parameters
    ----------
    args : sequence of str, optional
        Arguments of a call from Python, which returns the exit code; by default those of the program, which ends.
    """
    if args is None:
        own_process()
    ended = False
    try:
        words = sys.argv[1:] if args is None else list(args)
        code = cli.main(args=words, prog_name="stereo3d", standalone_mode=False, obj=words)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help(), err=True)
        code = EXIT_USAGE
    except click.ClickException as error:
        ctx = getattr(error, "ctx", None)
        command = ctx.command_path if ctx else "stereo3d"
        words = " ".join(error.format_message().split()).rstrip(".")
        click.echo(f"error: {words}. See `{command} --help`.", err=True)
        code = EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; nothing was left half-written.", err=True)
        code, ended = EXIT_INTERRUPTED, True
    except Terminated:
        code, ended = EXIT_TERMINATED, True
    except Exception as error:
        code = _report_failure(error)
    code = code if isinstance(code, int) else 0
    if args is None:
        if ended:  # do not wait for threads in the middle of a library's call
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError, AttributeError):
                    stream.flush()
            os._exit(code)
        sys.exit(code)
    return code


class Terminated(BaseException):
    """SIGTERM: unfinished files are removed, as with Ctrl-C."""


def owns_process() -> bool:
    """Whether this process runs the program itself, not a caller of `main(args)`."""
    return signal.getsignal(signal.SIGTERM) is raise_terminated


def memory_meter() -> MemoryMeter | None:
    """The meter that may reset the counters of the process, where it is ours; None for the library's default."""
    from .pipeline import ProcessPeak

    return ProcessPeak() if owns_process() else None


def later_parts_of(config: Config) -> list[list[str]]:
    """The parts that helper processes may compile meanwhile; none in a caller's process."""
    from .warmup import later_parts

    return later_parts(config.matcher, config.mesher) if owns_process() else []


def run_at_once(function: Callable[[], Any]) -> Any:
    """function(), which Ctrl-C ends at once where the process is ours to end."""
    if not owns_process():
        return function()
    from .terminal import at_once

    return at_once(function)


def raise_terminated(*_: object) -> None:
    raise Terminated


def own_process() -> None:
    """Set up the process as only the program may, not a caller of `main(args)`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name need not be text
    warnings.simplefilter("ignore")  # libraries address theirs to programmers
    signal.signal(signal.SIGTERM, raise_terminated)


def _report_failure(error: Exception) -> int:
    known = translate_error(error)
    if known is not None:
        click.echo(f"error: {known}", err=True)
        return known.exit_code
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EIO, errno.EBADF):  # of standard output
        click.echo(f"error: standard output cannot be written ({error.strerror}).", err=True)
        with contextlib.suppress(OSError):  # else Python complains again when it flushes the rest
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OUTPUT
    verbose = logging.getLogger("stereo3d").level == logging.INFO
    if verbose:
        import traceback

        traceback.print_exception(error)
    words = " ".join(f"{type(error).__name__}: {error}".split())
    advice = "Report it with what is printed above." if verbose else "Run again with -v and report what it prints."
    click.echo(f"error: this should not happen ({words}). {advice}", err=True)
    return EXIT_BUG


if __name__ == "__main__":
    main()
