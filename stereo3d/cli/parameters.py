"""The command group, its parameter types, the options that commands share, and shell completion."""

from __future__ import annotations

import difflib
import os
import re
import shlex
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from .. import __version__
from ..options import DEFAULT_DETECTOR, DEFAULT_MATCHER, split_method

Command = TypeVar("Command", bound=Callable[..., Any])


FAMILIES = ("app", "batch", "calibrate", "evaluate", "marker", "reconstruct", "tools")  # modules that register commands


class PhotosFirst(click.Group):
    """A group in which `stereo3d LEFT RIGHT`, without a command's name, means `stereo3d reconstruct LEFT RIGHT`.

    Its commands are loaded when they are first asked for, so that the signals are set up before.
    """

    _loaded = False

    @property
    def commands(self) -> MutableMapping[str, click.Command]:
        """Return the commands by name."""
        if not self._loaded:
            self._loaded = True
            for family in FAMILIES:
                import_module(f".{family}", __package__)
        return self._commands

    @commands.setter
    def commands(  # pyright: ignore[reportIncompatibleVariableOverride]
        self, value: MutableMapping[str, click.Command]
    ) -> None:
        self._commands = value

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command without loading the others, so that each module of commands can be imported by itself."""
        self._commands[name or str(cmd.name)] = cmd

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the command's name in front of two photos; `help COMMAND` is `COMMAND --help`."""
        if args[:1] == ["help"] and not os.path.lexists("help"):
            args = [*args[1:2], "--help"]
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help", "--version"):
            if not ctx.resilient_parsing and not os.path.lexists(args[0]):
                self._refuse_no_command(ctx, args)
            args = ["reconstruct", *args]
        return super().parse_args(ctx, args)

    def _refuse_no_command(self, ctx: click.Context, args: list[str]) -> None:
        """Refuse a first word that looks like a command, not like a photo, and name the command that is meant."""
        if not re.fullmatch(r"[A-Za-z_-]*[A-Za-z]", args[0]) or args[0].startswith("-"):
            return
        near = difflib.get_close_matches(args[0].lower(), self.commands, n=1, cutoff=0.6)
        if near:
            command = shlex.join(["stereo3d", near[0], *args[1:]])
            ctx.fail(f"there is no command and no photo {args[0]!r}. Did you mean `{command}`?")
        if len(args) == 1:
            ctx.fail(
                f"there is no command and no photo {args[0]!r}. Commands: {', '.join(self.commands)}; or name photos."
            )

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show both ways to call the program."""
        formatter.write_usage("stereo3d", "LEFT [RIGHT] [-o OUT.obj] [OPTIONS]")
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
    "Photos": ("layout", "mask", "pairs"),
    "Files": (
        "output",
        "report",
        "preview",
        "turntable",
        "points",
        "depth",
        "normals",
        "confidence",
        "cameras",
        "save_stages",
        "json_file",
    ),
    "Cameras and scale": (
        "calib",
        "rig_error",
        "rectified",
        "focal",
        "focal_35mm",
        "fov",
        "baseline",
        "known_distance",
        "markers",
        "board",
        "unit",
        "rotate",
        "projection",
    ),
    "Methods": (
        "detector",
        "quality",
        "matcher",
        "mesher",
        "max_size",
        "max_feature_size",
        "max_memory",
        "max_pixels",
        "options",
        "seed",
        "force",
    ),
    "Mesh": (
        "faces",
        "close",
        "crop",
        "axes",
        "up",
        "centre",
        "texture",
        "jpeg_quality",
        "lit",
        "meshopt",
        "solid",
        "mark_filled",
    ),
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
    """A name in one of the dicts of methods, looked up when needed so that --help stays quick.

    models: names that are followed by the file of a network, as in "onnx:FILE".
    """

    def __init__(self, kind: str, module: str, table: str, models: tuple[str, ...] = ()) -> None:
        self.name, self.module, self.table, self.models = kind, module, table, models

    def names(self) -> list[str]:
        """Return the names of the methods."""
        return list(getattr(import_module(f"stereo3d.{self.module}"), self.table))

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return "[name|name|...]"."""
        return f"[{'|'.join(self._written())}]"

    def _written(self) -> list[str]:
        return [*self.names(), *(f"{name}:FILE" for name in self.models)]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name, or fail with those that exist."""
        if value not in self.names() and split_method(value)[0] not in self.models:
            self.fail(f"there is no {self.name} {value!r}. There are: {', '.join(self._written())}.", param, ctx)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the names."""
        names = [*self.names(), *(f"{name}:" for name in self.models)]
        return [CompletionItem(n) for n in names if n.startswith(incomplete)]


MATCHER = Method("matcher", "disparity", "MATCHERS", models=("onnx",))
QUALITY = Method("quality", "options", "QUALITIES")
MESHER = Method("mesher", "mesh", "MESHERS")
DETECTOR = Method("detector", "features", "DETECTORS", models=("aliked", "disk"))
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


BOARD_KIND = click.option(
    "--kind",
    type=Method("board", "cameras.chessboard", "BOARDS"),
    default="chessboard",
    show_default=True,
    help="Choose the kind of board.",
)
BOARD_DICTIONARY = click.option(
    "--dictionary", default="5X5_100", show_default=True, help="Choose the dictionary of the ChArUco markers."
)


class Number(click.ParamType):
    """A number; for one that is written with its unit or a decimal comma, the message says how to write it."""

    name = "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number, or fail."""
        try:
            return float(value)
        except ValueError:
            found = re.fullmatch(r"""\s*([-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+))\s*([A-Za-z\u00b0"']*)\.?\s*""", str(value))
        if found is None:
            self.fail(f"{value!r} is no number.", param, ctx)
        number, unit = float(found[1].replace(",", ".")), found[2].lower()
        option = param.opts[0] if param else ""
        if option == "--baseline" and unit in METRES:
            option, number, unit = option, number * METRES[unit], " --unit m"
        else:
            unit = ""
        self.fail(f"{value!r} is not the number alone. Type {option} {number:g}{unit}.", param, ctx)


NUMBER = Number()
METRES = {
    "mm": 1e-3,
    "cm": 1e-2,
    "dm": 0.1,
    "m": 1.0,
    "km": 1e3,
    "in": 0.0254,
    "inch": 0.0254,
    '"': 0.0254,
    "ft": 0.3048,
}


def complete_setting(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete "stage.name=" for the methods chosen so far on the line, and the choices behind the "="."""
    from ..pipeline.config import stage_options

    stages = ("detector", "matcher", "mesher")
    chosen = {stage: split_method(ctx.params[stage])[0] for stage in stages if ctx.params.get(stage)}
    found = []
    for stage, known in stage_options(**chosen).items():
        for name, option in known.items():
            start = f"{stage}.{name}="
            values = option.choices or ((True, False) if option.kind is bool else ())
            words = [f"{start}{value}" for value in values] if incomplete.startswith(start) else [start]
            found += [CompletionItem(w, help=option.describe()) for w in words if w.startswith(incomplete)]
    return found


SOURCE_OPTIONS = (
    click.option(
        "--layout",
        type=click.Choice(["sbs", "sbs-half", "tb", "tb-half"]),
        help="Set how one picture holds both views: side by side or top and bottom, at full or half size.",
    ),
    click.option(
        "--mask",
        type=FILE,
        multiple=True,
        metavar="PNG",
        help="Leave out what is black in this picture: of LEFT; a second time: of RIGHT.",
    ),
    click.option(
        "--pairs", type=click.IntRange(1), metavar="N", help="Print the N best pairs of several photos, and stop."
    ),
)
CAMERA_OPTIONS = (
    click.option(
        "--calib",
        type=FILE,
        multiple=True,
        metavar="FILE",
        help="Read the cameras from a calibration file or folder; give it twice for two files.",
    ),
    click.option(
        "--rig-error",
        type=click.Choice(["exact", "nominal"]),
        help="Set how well the calibration is known.",
    ),
    click.option("--rectified", is_flag=True, help="Take the photos as a rectified pair."),
    click.option("--focal", type=NUMBER, metavar="PX", help="Set the focal length, in px of the photo."),
    click.option("--focal-35mm", type=NUMBER, metavar="MM", help="Set the focal length, 35 mm equivalent."),
    click.option("--fov", type=NUMBER, metavar="DEG", help="Set the horizontal field of view."),
    click.option("--baseline", type=NUMBER, metavar="N", help="Set the distance between the cameras."),
    click.option(
        "--known-distance", nargs=3, metavar="X1,Y1 X2,Y2 D", help="Set the distance D of two pixels of LEFT."
    ),
    click.option("--marker", "markers", multiple=True, metavar="DICT:ID:SIZE", help="Take the scale from a marker."),
    click.option("--board", metavar="CxR:SQUARE", help="Take the scale from a board."),
    click.option("--unit", metavar="UNIT", help="Name the unit of these lengths, such as m."),
    click.option("--rotate", type=click.Choice(["90", "180", "270", "auto"]), help="Turn both photos clockwise."),
    click.option("--projection", type=click.Choice(["equirectangular"]), help="Take both photos as panoramas."),
)
MATCHING_OPTIONS = (
    click.option(
        "--detector", type=DETECTOR, default=DEFAULT_DETECTOR, show_default=True, help="Choose the feature detector."
    ),
    click.option("--matcher", type=MATCHER, default=DEFAULT_MATCHER, show_default=True, help="Choose the matcher."),
    click.option(
        "-O",
        "options",
        multiple=True,
        metavar="STAGE.NAME=VALUE",
        shell_complete=complete_setting,
        help="Set an option of a stage: see `stereo3d methods`.",
    ),
    click.option("--seed", type=int, default=0, show_default=True, help="Set the seed of every random choice."),
    click.option("--force", is_flag=True, help="Continue past errors that make the shape unreliable."),
)


def with_options(options: Sequence[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """Return a decorator that gives a command these options, in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


EPILOG = """\b
Examples:
  stereo3d left.jpg right.jpg                          # writes left.glb
  stereo3d a.heic b.heic -o model.glb --baseline 0.12 --unit m
  stereo3d IMG_0042.HEIC -o model.obj                  # one file with both photos; a folder or a video too
  eval "$(_STEREO3D_COMPLETE=bash_source stereo3d)"    # completion; or zsh_source, fish_source

Exit codes: 0 done, 2 wrong command line, 3 input cannot be read, 4 calibration, 5 the pair cannot be reconstructed,
6 output cannot be written, 7 memory or a library is missing, 70 a bug, 130 interrupted, 143 terminated."""


@click.group(cls=PhotosFirst, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="stereo3d")
def cli() -> None:
    """Two photographs in, a textured 3-D mesh out, with a verdict on whether to believe it."""
