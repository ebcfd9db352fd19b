"""The commands `stereo3d eval disparity | mesh | pose`."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import StereoError
from .checks import check_one_size, print_scores
from .parameters import FILE, Positive, cli


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
@click.option("--views", nargs=2, default=("left", "right"), show_default=True, help="The photos' names in TRUTH.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def eval_pose(result: Path, truth: Path, views: tuple[str, str], as_json: bool) -> None:
    """RESULT (the cameras.json of --save-stages) against a TRUTH of the same form: angles in degrees, focal in %."""
    from ..evaluation import pose

    cam, R1, t1 = pose.read_truth_camera(result, "left")
    _, R2, t2 = pose.read_truth_camera(result, "right")
    true, *pose1 = pose.read_truth_camera(truth, views[0])
    _, *pose2 = pose.read_truth_camera(truth, views[1])
    found, wanted = pose.relative_pose(R1, t1, R2, t2), pose.relative_pose(*pose1, *pose2)
    for path, (_, t) in ((result, found), (truth, wanted)):
        if not (t != 0).any():
            raise StereoError(
                "bad_calibration",
                f"{path}: both views stand in one place, there is no direction.",
                "Name two views that differ.",
            )
    scores = pose.pose_errors(*found, *wanted)
    print_scores({**scores, "focal_percent": pose.focal_error_percent(cam, true)}, as_json)
