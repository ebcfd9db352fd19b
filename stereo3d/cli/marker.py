"""The commands that draw something to print: `stereo3d marker` and `stereo3d board`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import StereoError
from .checks import board_size, check_suffix
from .parameters import BOARD_DICTIONARY, BOARD_KIND, FILE, Positive, cli
from .process import say

PAPER = click.Choice(["a4", "letter", "a3", "a2", "a1", "a0"])
UNITS = click.Choice(["m", "cm", "mm", "in"])


@cli.command(
    short_help="Draw a marker to print, for --marker.",
    epilog="""\b
Example:
  stereo3d marker 4X4_50:3:0.05 -o marker.pdf
  stereo3d a.jpg b.jpg -o model.obj --marker 4X4_50:3:0.05""",
)
@click.argument("name", metavar="DICT:ID:SIZE")
@click.option("-o", "--output", type=FILE, required=True, help="Write the sheet: .pdf or .svg.")
@click.option("--unit", type=UNITS, default="m", show_default=True, help="Set the unit of SIZE.")
@click.option("--paper", type=PAPER, default="a4", show_default=True, help="Choose the paper.")
def marker(name: str, output: Path, unit: str, paper: str) -> None:
    """Draw a marker (ArUco, AprilTag) at its exact size, with a ruler to check the print; SIZE is its black square."""
    from ..cameras.targets import parse_marker
    from ..cameras.targets.sheet import marker_page
    from ..io.pdf import write_page

    check_suffix(output, (".pdf", ".svg"))
    write_page(output, marker_page(parse_marker(name), unit, paper))
    say(f"wrote {output}")


@cli.command(
    short_help="Draw a calibration board to print, for calibrate.",
    epilog="""\b
Examples:
  stereo3d board -o board.pdf
  stereo3d board -o board.pdf --kind charuco --board 8x5 --paper a3
  stereo3d board -o board.pdf --kind aprilgrid --board 6x6 --square 25 --spacing 0.3""",
)
@click.option("-o", "--output", type=FILE, required=True, help="Write the sheet: .pdf or .svg.")
@BOARD_KIND
@click.option(
    "--board",
    "shape",
    metavar="CxR",
    help="Set its size as calibrate counts it: 9x6 inner corners of a chessboard, 8x5 squares of a ChArUco board, 6x4 "
    "tags of an AprilGrid are the defaults.",
)
@click.option("--square", type=Positive(), help="Set the side of a square or tag; by default the largest that fits.")
@click.option("--unit", type=UNITS, default="mm", show_default=True, help="Set the unit of --square and --marker.")
@click.option("--marker", type=Positive(), help="Set the side of a ChArUco marker; by default 3/4 of a square.")
@BOARD_DICTIONARY
@click.option("--legacy", is_flag=True, help="Draw the ChArUco board as OpenCV before 4.6.")
@click.option(
    "--spacing", type=Positive(), default=0.3, show_default=True, help="Set the gap between the tags of an AprilGrid."
)
@click.option("--paper", type=PAPER, default="a4", show_default=True, help="Choose the paper.")
def board(output: Path, kind: str, shape: str | None, **given: Any) -> None:
    """Draw a calibration board at its exact size, with a ruler to check the print and the command that reads it."""
    from ..cameras.chessboard import Board
    from ..cameras.targets.board_sheet import DEFAULT_SIZES, MARKER_SHARE, board_page, calibrate_options, fitting_board
    from ..io.pdf import write_page

    check_suffix(output, (".pdf", ".svg"))
    columns, rows = DEFAULT_SIZES[kind] if shape is None else board_size(shape)
    square, side = given["square"], given["marker"]
    charuco = kind == "charuco"
    if side and not square:
        raise StereoError("bad_option", "--marker is given without --square.", "Give both, or neither.")
    drawn = Board(
        kind=kind,
        columns=columns,
        rows=rows,
        square=square or 1.0,
        marker=(side if side else MARKER_SHARE * (square or 1.0)) if charuco else None,
        dictionary=given["dictionary"],
        legacy=given["legacy"],
        spacing=given["spacing"] if kind == "aprilgrid" else None,
    )
    unit, paper = given["unit"], given["paper"]
    if not square:
        drawn = fitting_board(drawn, unit, paper)
    write_page(output, board_page(drawn, unit, paper))
    say(f"wrote {output}: stereo3d calibrate PHOTOS -o camera.json {calibrate_options(drawn, unit)}")
