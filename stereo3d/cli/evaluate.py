"""The commands `stereo3d eval disparity | mesh | pose`."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import StereoError
from .checks import check_one_size, print_scores
from .parameters import FILE, Positive, cli


@cli.group("eval", short_help="Measure a result against truth.")
def evaluate() -> None:
    """Measure a result against truth."""


@evaluate.command("disparity")
@click.argument("result", type=FILE)
@click.argument("truth", type=FILE)
@click.option(
    "--scale",
    type=Positive(),
    help="Divide raw values of the truth by this to get px; default: 256 for 16-bit PNG, else 1.",
)
@click.option("--unknown", type=float, multiple=True, help="Take this raw value of the truth as unknown.")
@click.option("--truth-right", type=FILE, help="Find occlusions by the true disparity of the right picture.")
@click.option("--nonocc", type=FILE, help="Read a mask: 255 where not occluded.")
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
    """Measure RESULT (.pfm, .npy, .png) against TRUTH: bad-0.5/1/2 in %, mean error, coverage.

    TRUTH may be a folder with a pair.json.
    """
    from ..evaluation import disparity
    from ..io.maps import read_map

    value = read_map(result)
    if truth.is_dir():
        scene = disparity.read_scene(truth)
        true, visible = scene.truth, scene.nonocc
    else:
        true = read_map(truth, scale=scale, unknown=unknown)
        right = read_map(truth_right, scale=scale, unknown=unknown) if truth_right else None
        mask = read_map(nonocc) == 255 if nonocc else None
        check_one_size((truth, true), (truth_right, right), (nonocc, mask))
        visible = disparity.non_occluded(true, right, mask)
    check_one_size((truth, true), (result, value))
    print_scores(disparity.disparity_scores(value, true, visible), as_json)


@evaluate.command("mesh")
@click.argument("mesh", type=FILE)
@click.option(
    "--depth", type=FILE, required=True, help="Read the true z-depth of the first photo (.npz, .npy, .pfm, .png)."
)
@click.option("--cameras", type=FILE, required=True, help="Read the true K of that photo from a cameras.json.")
@click.option("--view", default="left", show_default=True, help="Set the name of the photo in cameras.json.")
@click.option("--threshold", type=Positive(), default=0.01, show_default=True, help="Set the largest relative error.")
@click.option(
    "--align",
    type=click.Choice(["similarity", "scale", "none"]),
    default="similarity",
    show_default=True,
    help="Choose how to align to the truth before measuring.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def eval_mesh(mesh: Path, depth: Path, cameras: Path, view: str, threshold: float, align: str, as_json: bool) -> None:
    """Measure MESH against the true depth of the first photo: accuracy, completeness, F-score, depth error."""
    from ..evaluation import pose
    from ..evaluation.mesh import mesh_scores
    from ..io.maps import read_map
    from ..io.read_mesh import read_mesh

    camera, _, _ = pose.read_truth_camera(cameras, view)
    true = read_map(depth, unknown=[0])
    print_scores(mesh_scores(read_mesh(mesh), true, camera, threshold=threshold, align=align), as_json)


@evaluate.command("pose")
@click.argument("result", type=FILE)
@click.argument("truth", type=FILE)
@click.option(
    "--views", nargs=2, default=("left", "right"), show_default=True, help="Set the names of the photos in TRUTH."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def eval_pose(result: Path, truth: Path, views: tuple[str, str], as_json: bool) -> None:
    """Measure RESULT (cameras.json of --save-stages) against a TRUTH of that form: angles in degrees, focal in %."""
    from ..evaluation import pose

    cam, R1, t1 = pose.read_truth_camera(result, "left")
    _, R2, t2 = pose.read_truth_camera(result, "right")
    true, *pose1 = pose.read_truth_camera(truth, views[0])
    _, *pose2 = pose.read_truth_camera(truth, views[1])
    found, expected = pose.relative_pose(R1, t1, R2, t2), pose.relative_pose(*pose1, *pose2)
    for path, (_, t) in ((result, found), (truth, expected)):
        if not (t != 0).any():
            raise StereoError(
                "bad_calibration",
                f"{path}: both views have the same position, so the baseline has no direction.",
                "Name two views that differ.",
            )
    scores = pose.pose_errors(*found, *expected)
    print_scores({**scores, "focal_percent": pose.focal_error_percent(cam, true)}, as_json)
