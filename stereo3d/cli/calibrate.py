"""The command `stereo3d calibrate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import StereoError
from .checks import board_size, check_names, check_suffix, failure_as_json, set_up_logging, take_fields
from .parameters import BOARD_DICTIONARY, BOARD_KIND, FILE, Positive, cli
from .process import say

if TYPE_CHECKING:
    from ..cameras.chessboard.board import Board, Corners
    from ..cameras.chessboard.rig import RigCalibration
    from ..cameras.chessboard.solve import CameraCalibration


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
    spacing: float | None


@dataclass(frozen=True)
class CalibrationOutputs:
    """The files that `calibrate` writes."""

    output: Path
    coverage: Path | None
    json_file: Path | None


@cli.command(
    short_help="Calibrate a camera or a rig from photos of a board.",
    epilog="""\b
Examples:
  stereo3d calibrate photos/*.jpg -o camera.json --board 9x6 --square 25 --unit mm
  stereo3d calibrate --left 'left*.jpg' --right 'right*.jpg' -o rig.json --board 9x6 --square 25 --unit mm
  stereo3d calibrate photos/*.jpg -o rig.json --kind aprilgrid --board 6x6 --square 88 --spacing 0.3""",
)
@click.argument("photos", type=FILE, nargs=-1)
@click.option(
    "--left", type=FILE, multiple=True, help="Name photos of a rig's first camera: file, folder, or pattern in quotes."
)
@click.option(
    "--right", type=FILE, multiple=True, help="Name photos of its second camera; photos of one moment share a number."
)
@click.option("-o", "--output", type=FILE, required=True, help="Write the camera or the rig as .json, for --calib.")
@click.option(
    "--board",
    "shape",
    required=True,
    metavar="CxR",
    help="Set the size of the board: inner corners of a chessboard, as 9x6; squares of a ChArUco board; tags of an "
    "AprilGrid.",
)
@BOARD_KIND
@click.option(
    "--square", type=Positive(), help="Set the side of a square or tag, in --unit, which gives a rig its scale."
)
@click.option("--unit", metavar="UNIT", help="Name the unit of --square, such as mm.")
@click.option("--marker", type=Positive(), help="Set the side of a ChArUco marker, in --unit.")
@BOARD_DICTIONARY
@click.option("--legacy", is_flag=True, help="Take the ChArUco board as drawn by OpenCV before 4.6.")
@click.option("--spacing", type=Positive(), help="Set the gap between the tags of an AprilGrid / side of a tag.")
@click.option(
    "--model",
    type=click.Choice(["auto", "brown", "rational", "fisheye"]),
    default="auto",
    show_default=True,
    help="Choose the lens model; auto: the one with the smallest error on held-out corners.",
)
@click.option(
    "--distortion",
    type=click.Choice(["auto", "0", "2", "4", "5", "8"]),
    default="auto",
    show_default=True,
    help="Choose the number of distortion coefficients: of Brown's model, or 8 of the rational one.",
)
@click.option("--drop", is_flag=True, help="Drop photos that fit far worse than the others.")
@click.option("--coverage", type=FILE, metavar="PNG", help="Write a picture of the positions of the boards.")
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Write all measurements as JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Explain choices; show tracebacks of bugs.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def calibrate(photos: tuple[Path, ...], left: tuple[Path, ...], right: tuple[Path, ...], **given: Any) -> None:
    """Calibrate a camera, or both cameras of a rig, from PHOTOS of a chessboard, a ChArUco board or an AprilGrid."""
    set_up_logging(given["verbose"], given["quiet"])
    choice, outputs = take_fields(BoardChoice, given), take_fields(CalibrationOutputs, given)
    _check_cameras(photos, left, right)
    size = board_size(choice.shape)
    if choice.unit is not None and choice.square is None:
        raise StereoError("bad_option", f"unit {choice.unit!r} needs --square.", "Measure a square's side.")
    from ..cameras.chessboard import camera, describe
    from ..cameras.chessboard.board import Board, list_photos, read_corners
    from ..io.atomic import try_writing

    groups = [list_photos(group) for group in ((photos,) if photos else (left, right))]
    targets = [(outputs.output, "the calibration"), (outputs.coverage, "--coverage"), (outputs.json_file, "--json")]
    check_names(sum(groups, []), targets)
    with failure_as_json(outputs.json_file):
        check_suffix(outputs.output, (".json",))
        check_suffix(outputs.coverage, (".png", ".jpg"))
        for path in filter(None, (outputs.output, outputs.coverage)):
            try_writing(path)
        board = Board(
            columns=size[0],
            rows=size[1],
            square=choice.square or 1.0,
            kind=choice.kind,
            marker=choice.marker,
            dictionary=choice.dictionary,
            legacy=choice.legacy,
            spacing=choice.spacing,
        )
        solve = {"model": given["model"], "distortion": _distortion(given["distortion"]), "drop": given["drop"]}
        seen, missing = zip(*[read_corners(group, board) for group in groups], strict=True)
        if photos:
            found = camera.calibrate_camera(seen[0], board, **solve)
        else:
            found = _calibrate_rig(groups, seen, board, _rig_unit(choice), solve)
        written = _write_calibration(found, sum(missing, []), outputs)
    if not given["quiet"]:
        for line in describe.describe(found, sum(missing, [])):
            say(line)
        say(f"wrote {', '.join(str(path) for path in written)}")


def _check_cameras(photos: tuple[Path, ...], left: tuple[Path, ...], right: tuple[Path, ...]) -> None:
    """Refuse photos of one camera together with photos of a rig, and a rig camera without photos."""
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


def _distortion(given: str) -> str | int:
    return given if given == "auto" else int(given)


def _rig_unit(choice: BoardChoice) -> str:
    from ..cameras.formats.check import UNSTATED_UNIT

    return choice.unit or (UNSTATED_UNIT if choice.square else "squares")


def _calibrate_rig(
    groups: list[list[Path]], seen: Sequence[list[Corners]], board: Board, unit: str, solve: dict[str, Any]
) -> RigCalibration:
    from ..cameras.chessboard import rig
    from ..cameras.chessboard.board import pair_by_name

    left, right = seen
    names = [c.name for c in left], [c.name for c in right]
    pairs = pair_by_name(groups[0], groups[1], among=names)
    return rig.calibrate_rig(left, right, pairs, board, unit=unit, **solve)


def _write_calibration(
    found: CameraCalibration | RigCalibration, missing: list, outputs: CalibrationOutputs
) -> list[Path]:
    """Write all files of a calibration, or none; return them."""
    from ..cameras.chessboard import CameraCalibration, describe
    from ..cameras.write import write_camera, write_rig
    from ..io.atomic import together
    from ..io.json_files import write_json
    from ..io.pictures import write_picture

    with together():
        if isinstance(found, CameraCalibration):
            files = [write_camera(outputs.output, found.camera)]
        else:
            files = [write_rig(outputs.output, found.rig)]
        if outputs.coverage:
            files.append(write_picture(outputs.coverage, describe.coverage_picture(found)))
        if outputs.json_file:
            files.append(write_json(outputs.json_file, {**describe.measured(found), "no_board": missing}))
    return files
