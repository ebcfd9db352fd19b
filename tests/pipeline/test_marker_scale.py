"""The scale of a run from markers and boards of known size in view."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from stereo3d.cameras.dictionaries import marker_dictionary
from stereo3d.cameras.formats.check import UNSTATED_UNIT
from stereo3d.cameras.targets import find_targets, parse_board, parse_marker
from stereo3d.errors import StereoError
from stereo3d.geometry.rotations import rotation_from_vector
from stereo3d.geometry.two_view import fundamental_from_pose
from stereo3d.output.html.report import command_line
from stereo3d.pipeline.config import Config
from stereo3d.pipeline.metric import metric_pose
from stereo3d.pipeline.pose import MatchedPose, Pose
from stereo3d.pipeline.run import prepare
from stereo3d.pipeline.target_scale import checked_scale, combined_scale, target_scales, targets_of
from stereo3d.records import Camera, Photo, Rig, TwoView
from stereo3d.synthetic import renderer, scenes
from stereo3d.synthetic.markers import marker_card

NAMES = "4X4_50:3:0.2", "APRILTAG_36h11:7:0.12"
BASELINE = 0.12 * np.linalg.norm([0.985, -0.11, 0.13])  # m, of the scene "slanted" photographed by hand
LENS = (-0.12, 0.04)


@pytest.fixture(scope="module")
def marked_pair():
    """The slanted planes by hand, 480 x 360 through a lens that distorts, two markers before them: 90 and 50 px."""
    scene, (large, small) = scenes.slanted(), map(parse_marker, NAMES)
    cards = (
        marker_card(large, (-0.25, 0.1, 1.1), turn=(0, 20, 5)),
        marker_card(small, (0.22, -0.05, 1.0), turn=(-25, -10, 30)),
    )
    scene = replace(scene, groups=(*scene.groups, *cards))
    return renderer.render(scene, size=(480, 360), pose="handheld", dist=LENS, noise=1.5, supersample=2)


def unscaled(rig):
    """The exact view of a rig, its baseline 1."""
    t = rig.t / np.linalg.norm(rig.t)
    F = fundamental_from_pose(rig.cam1.K, rig.cam2.K, rig.R, t)
    return TwoView(F, rig.R, t, np.ones(8, bool), replace(rig, t=t, unit=None))


def free(rig):
    """The cameras of a rig without their pose."""
    return replace(rig, R=None, t=None, unit=None)


def codes(findings):
    return [f.code for f in findings]


@pytest.mark.parametrize("names", [NAMES[:1], NAMES[1:], NAMES])
def test_each_marker_gives_the_baseline(marked_pair, names):
    targets = find_targets(marked_pair.left, marked_pair.right, [parse_marker(name) for name in names])
    factor, findings = combined_scale(target_scales(targets, unscaled(marked_pair.rig)), "m")
    error = findings[0].numbers["relative_error"]
    assert factor == pytest.approx(BASELINE, rel=min(0.005, 3 * error))
    assert 0.0005 < error < 0.005 and codes(findings) == ["marker_scale"]
    assert findings[0].severity == "info" and " m +- 0." in findings[0].message and names[0][:5] in findings[0].message


def test_a_marker_makes_an_estimated_pose_metric(marked_pair):
    """The bar: the scale of a run with a marker in view within 0.5 %; no other scale is known, nor a unit named."""
    pair = marked_pair
    prepared = prepare(pair.left, pair.right, free(pair.rig), Config(markers=NAMES[:1]))
    assert prepared.view.rig.unit == "m"
    assert np.linalg.norm(prepared.view.t) == pytest.approx(BASELINE, rel=0.005)
    assert np.linalg.norm(prepared.view.rig.t) == np.linalg.norm(prepared.view.t)
    assert "marker_scale" in codes(prepared.findings)


def test_the_unit_is_that_of_the_size(marked_pair):
    pair = marked_pair
    targets = find_targets(pair.left, pair.right, [parse_marker("4X4_50:3:200")])
    factor, findings = combined_scale(target_scales(targets, unscaled(pair.rig)), "mm")
    assert factor == pytest.approx(1000 * BASELINE, rel=0.005)
    assert findings[0].message.startswith("the baseline is 12") and " mm +- " in findings[0].message


def test_markers_check_a_calibration_that_has_a_scale(marked_pair):
    pair = marked_pair
    targets = find_targets(pair.left, pair.right, [parse_marker(NAMES[0])])

    def check(factor):
        view = unscaled(pair.rig)
        t = view.t * BASELINE * factor
        return checked_scale(target_scales(targets, replace(view, t=t, rig=replace(view.rig, t=t, unit="m"))))

    assert [(f.code, f.severity) for f in check(1.0)] == [("marker_scale", "info")]
    wrong = check(1.04)[0]
    assert (wrong.code, wrong.severity) == ("scale_disagrees", "warning") and "% too large" in wrong.message
    assert wrong.numbers["factor"] == pytest.approx(1 / 1.04, rel=0.005)
    rig = replace(pair.rig, t=1.04 * pair.rig.t)
    prepared = prepare(pair.left, pair.right, rig, Config(markers=NAMES[:1]))
    assert "scale_disagrees" in codes(prepared.findings)
    assert np.linalg.norm(prepared.view.t) == pytest.approx(1.04 * BASELINE, rel=1e-12)


@pytest.mark.parametrize("size, unit, known", [("0.2", None, "mm"), ("20", "cm", "m"), ("200", "mm", "mm")])
def test_a_marker_checks_a_calibration_in_another_unit(marked_pair, size, unit, known):
    pair, per_m = marked_pair, {"m": 1, "mm": 1000}[known]
    rig = replace(pair.rig, t=pair.rig.t * per_m, unit=known)
    found = MatchedPose((), (), Pose(replace(unscaled(rig), t=rig.t, rig=rig), rig))  # pyright: ignore
    config = Config(markers=[f"4X4_50:3:{size}"], unit=unit)
    targets = targets_of(pair.left, pair.right, config)
    same, findings = metric_pose(found, (pair.left, pair.right), targets, config)
    assert same is found and [(f.code, f.severity) for f in findings] == [("marker_scale", "info")]
    assert findings[0].numbers["factor"] == pytest.approx(1, abs=0.005)


def test_a_marker_gives_the_unit_that_a_calibration_does_not_state(marked_pair):
    """A calibration in squares of a board, say: t is 3.7 of them."""
    pair = marked_pair
    rig = replace(pair.rig, t=3.7 * pair.rig.t / BASELINE, unit=UNSTATED_UNIT)
    found = MatchedPose((), (), Pose(replace(unscaled(rig), t=rig.t, rig=rig), rig))  # pyright: ignore
    config = Config(markers=NAMES[:1])
    scaled, (finding,) = metric_pose(found, (pair.left, pair.right), targets_of(pair.left, pair.right, config), config)
    assert scaled.pose.view.rig.unit == "m" and finding.numbers["baseline"] == pytest.approx(BASELINE, rel=0.005)
    assert np.linalg.norm(scaled.pose.view.t) == pytest.approx(BASELINE, rel=0.005)


def test_markers_that_contradict_each_other_are_named(marked_pair):
    sizes = parse_marker(NAMES[0]), parse_marker("APRILTAG_36h11:7:0.125")  # 4 % too large
    targets = find_targets(marked_pair.left, marked_pair.right, sizes)
    _, findings = combined_scale(target_scales(targets, unscaled(marked_pair.rig)), "m")
    assert codes(findings) == ["marker_scale", "scale_disagrees"]
    assert findings[1].numbers["apart"] == pytest.approx(np.log(0.125 / 0.12), rel=0.1)
    assert findings[1].numbers["sigmas"] > 3
    assert findings[0].numbers["relative_error"] > 0.01  # their mean is no better than their difference


def test_photos_that_contradict_each_other_are_named(marked_pair):
    """The marker of the second photo is 3 % smaller than pose and first photo say: a wrong focal length, or a zoom."""
    view = unscaled(marked_pair.rig)
    K = np.diag([1.03, 1.03, 1]) @ view.rig.cam2.K
    K[:2, 2] = view.rig.cam2.K[:2, 2]
    view = replace(view, rig=replace(view.rig, cam2=replace(view.rig.cam2, K=K)))
    targets = find_targets(marked_pair.left, marked_pair.right, [parse_marker(NAMES[0])])
    _, findings = combined_scale(target_scales(targets, view), "m")
    assert codes(findings) == ["marker_scale", "scale_disagrees"] and "two photos disagree" in findings[1].message


def test_a_missing_marker_is_named_with_its_photo_and_what_is_there(marked_pair):
    left, right = marked_pair.left, marked_pair.right
    blank = replace(right, pixels=np.full_like(right.pixels, 128))
    for photos, which in (((left, blank), "second"), ((blank, right), "first")):
        with pytest.raises(StereoError, match=f"the {which} photo does not show the marker 4X4_50:3") as caught:
            find_targets(*photos, [parse_marker(NAMES[0])])
        assert caught.value.code == "no_marker" and "white margin" in caught.value.advice
    with pytest.raises(StereoError, match="neither photo shows the marker 4X4_50:4: the first photo shows 3") as caught:
        find_targets(left, right, [parse_marker("4X4_50:4:0.2")])
    assert caught.value.numbers["second"] == [3] and caught.value.exit_code == 3
    with pytest.raises(StereoError, match="neither shows any marker of 7X7_50"):
        find_targets(left, right, [parse_marker("7X7_50:0:0.2")])


def test_a_marker_seen_twice_is_refused(marked_pair):
    twice = np.concatenate([marked_pair.left.pixels] * 2, 1)
    with pytest.raises(StereoError, match="first photo shows the marker 4X4_50:3 more than once"):
        find_targets(replace(marked_pair.left, pixels=twice), marked_pair.right, [parse_marker(NAMES[0])])


@pytest.fixture(scope="module")
def board_pair():
    """A chessboard of 9 x 6 corners, 25 mm, by hand."""
    R, t = np.eye(3), (-0.1, -0.06, 0.6)
    return renderer.render(scenes.chessboard(R, t), size=(480, 360), supersample=2)


@pytest.mark.parametrize("turned", [False, True])
def test_a_chessboard_gives_the_baseline(board_pair, turned):
    """Turned: the corners of the second photo come from the other end of the board."""
    (target,) = find_targets(board_pair.left, board_pair.right, board=parse_board("9x6:0.025"))
    if turned:
        target = replace(target, x2=target.x2[::-1])
    factor, findings = combined_scale(target_scales([target], unscaled(board_pair.rig)), "m")
    assert factor == pytest.approx(np.linalg.norm(board_pair.rig.t), rel=0.002)
    assert codes(findings) == ["marker_scale"] and findings[0].numbers["relative_error"] < 0.002
    with pytest.raises(StereoError, match="neither photo shows the chessboard 7x5"):
        find_targets(board_pair.left, board_pair.right, board=parse_board("7x5:0.025"))


def test_a_charuco_board_gives_the_baseline():
    """Two pictures of the board's plane by their homographies, the second turned on its side; 14 cm between them."""
    board = parse_board("7x5:0.03:0.022:4X4_50")
    drawn = cv2.aruco.CharucoBoard((7, 5), 0.03, 0.022, marker_dictionary("4X4_50"))
    texture = cv2.GaussianBlur(drawn.generateImage((1400, 1000)), (0, 0), 2)  # 200 px a square
    K = np.array([[900.0, 0, 479.5], [0, 900, 359.5], [0, 0, 1]])
    camera = Camera(K, (960, 720))
    R1, X1 = rotation_from_vector(np.radians([25, -15, 5])), np.array([-0.1, -0.06, 0.55])
    R, t = rotation_from_vector(np.radians([3, -8, 60])), np.array([0.1, -0.07, 0.07])
    photos = []
    for Rk, Xk in ((R1, X1), (R @ R1, R @ X1 + t)):
        H = K @ np.column_stack([Rk[:, 0], Rk[:, 1], Xk]) @ np.diag([0.03 / 200, 0.03 / 200, 1])
        H = H @ np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # pixel centres of the texture
        grey = cv2.warpPerspective(texture, H, (960, 720), flags=cv2.INTER_LINEAR, borderValue=255)
        photos.append(Photo(np.repeat(grey[..., None], 3, 2)))
    (target,) = find_targets(*photos, board=board)
    factor, findings = combined_scale(target_scales([target], unscaled(Rig(camera, camera, R, t, "m"))), "m")
    assert factor == pytest.approx(np.linalg.norm(t), rel=0.003) and codes(findings) == ["marker_scale"]
    with pytest.raises(StereoError, match="the second photo does not show the charuco 7x5"):
        find_targets(photos[0], Photo(np.full((720, 960, 3), 200, np.uint8)), board=board)


def test_names_of_markers_and_boards():
    marker = parse_marker("dict_apriltag_36H11:12:0.05")
    assert (marker.dictionary.upper(), marker.id, marker.size, marker.cells) == ("APRILTAG_36H11", 12, 0.05, 8)
    board = parse_board("8x5:0.03:0.022:4X4_50")
    assert (board.kind, board.columns, board.square, board.marker) == ("charuco", 8, 0.03, 0.022)
    for wrong in ("4X4_50", "4X4_50:3", "4X4_50:3:0", "4X4_50:3:nan", "4X4_50:x:1", "4X4_50:50:1", "9X9_5:1:1"):
        with pytest.raises(StereoError) as caught:
            Config(markers=[wrong])
        assert caught.value.code == "bad_option"
    board = parse_board("6x5:0.088:0.3:aprilgrid")
    assert (board.kind, board.columns, board.rows, board.square, board.spacing) == ("aprilgrid", 6, 5, 0.088, 0.3)
    for wrong in ("6x6:0.08:9:aprilgrid", "9x6", "9:0.02", "9x6:0.02:0.03", "9x6:-1", "9x6:0.02:0.01:5X5_9", "2x2:0.1"):
        with pytest.raises(StereoError) as caught:
            Config(board=wrong)
        assert caught.value.code == "bad_option"


def test_two_sources_of_scale_are_refused():
    for more in ({"baseline": 0.1}, {"known_distance": ((1, 1), (9, 9), 1.0)}):
        with pytest.raises(StereoError, match="each give the scale"):
            Config(markers=["4X4_50:3:0.2"], **more)
    with pytest.raises(StereoError, match="twice"):
        Config(markers=["4X4_50:3:0.2", "4x4_50:3:0.1"])
    assert Config(markers=NAMES, board="9x6:0.02", unit="m").markers == NAMES


def test_the_command_that_repeats_a_run_names_each_marker():
    line = command_line(["a.jpg", "b.jpg"], Config(markers=NAMES))
    assert line == f"stereo3d a.jpg b.jpg --marker {NAMES[0]} --marker {NAMES[1]}"
