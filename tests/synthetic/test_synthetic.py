"""Synthetic scenes against hand-made geometry: the truth must be true, and the photos must agree with it."""

import json
import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from stereo3d import cameras as cameras_module
from stereo3d import synthetic
from stereo3d.cameras import read_rig
from stereo3d.cameras.chessboard import board as board_module
from stereo3d.errors import StereoError
from stereo3d.geometry import (
    fundamental_from_pose,
    hom,
    project,
    rotation_angle_deg,
    rotation_from_vector,
    sampson,
    scale_K,
    transform,
    triangulate_points,
    undistort,
)
from stereo3d.io import read_map
from stereo3d.records import Camera
from stereo3d.synthetic import intersections, kernels, matches, paints, poses, renderer, scenes, tables, write
from stereo3d.synthetic import scene as scene_module
from stereo3d.synthetic.tables import BOX, CHECKS, DOTS, PLAIN

TINY = (96, 72)
DEMO = Path(__file__).resolve().parents[2] / "data" / "demo"


def points1(pair):
    """Surface points (H,W,3) seen at the pixels of photo 1, from its depth."""
    cam = pair.rig.cam1
    x = np.stack(np.meshgrid(np.arange(cam.size[0]), np.arange(cam.size[1])), -1).astype(float)
    return hom(undistort(x, cam.K, cam.dist)) * pair.depth1[..., None]


def photo_error(pair):
    """Mean absolute difference, grey levels, of photo 1 and photo 2 warped onto it by the truth, where visible."""
    rig = pair.rig
    x2 = project(points1(pair), rig.cam2.K, rig.R, rig.t, rig.cam2.dist).astype(np.float32)
    warped = cv2.remap(src=pair.right.pixels, map1=x2[..., 0], map2=x2[..., 1], interpolation=cv2.INTER_CUBIC)
    return np.abs(warped.astype(float) - pair.left.pixels)[pair.visible1].mean()


# Geometry


def test_rays_meet_each_solid_where_the_hand_says():
    paint = scene_module.paint(tables.PLAIN, "808080")

    def hit(kind, size, shape, origin, ray):
        solid = scene_module.make_solid(kind, (1, 2, 5), size, paint, shape=shape)
        return renderer.cast(scene_module.Scene(((solid,),)), np.array(origin, float), np.array([ray], float))[0]

    assert hit(tables.RECTANGLE, (1, 1, 1), (), (1, 2, 0), (0, 0, 2)) == pytest.approx(2.5)
    assert math.isnan(hit(tables.RECTANGLE, (1, 1, 1), (), (2.01, 2, 0), (0, 0, 1)))
    assert hit(tables.ELLIPSOID, (1, 1, 3), (-1, 1), (1, 2, 0), (0, 0, 1)) == pytest.approx(2)
    assert hit(tables.ELLIPSOID, (1, 1, 3), (0, 1), (1, 2, 0), (0, 0, 1)) == pytest.approx(8)  # open half: far side
    assert hit(tables.BOX, (1, 2, 0.5), (), (1, 2, 0), (0, 0, 1)) == pytest.approx(4.5)
    assert hit(tables.BOX, (1, 2, 0.5), (), (1, 2, 5), (1, 0, 0)) == pytest.approx(1)  # from inside
    assert hit(tables.FRUSTUM, (1, 1, 2), (1, 1, 0), (-3, 2, 5), (1, 0, 0)) == pytest.approx(3)
    assert hit(tables.FRUSTUM, (1, 1, 2), (1, 1, 1), (1, 2, 0), (0, 0, 1)) == pytest.approx(3)  # a lid
    assert hit(tables.FRUSTUM, (1, 1, 2), (1, 1, 2), (1, 2, 0), (0, 0, 1)) == pytest.approx(7)  # the other one
    assert math.isnan(hit(tables.FRUSTUM, (1, 1, 2), (1, 1, 0), (1, 2, 0), (0, 0, 1)))  # an open tube
    assert hit(tables.FRUSTUM, (2, 2, 2), (1, 0.5, 0), (-4, 2, 5), (1, 0, 0)) == pytest.approx(3.5)  # radius 1.5
    assert hit(tables.DISC, (2, 2, 1), (0.5,), (2.5, 2, 0), (0, 0, 1)) == pytest.approx(5)
    assert math.isnan(hit(tables.DISC, (2, 2, 1), (0.5,), (1.5, 2, 0), (0, 0, 1)))  # its hole


def test_depth_of_ball_and_wall_by_hand(sphere_pair):
    centre, radius, wall = np.array([0.05, 0.02, 1.5]), 0.35, 2.2
    cam = sphere_pair.rig.cam1
    x = np.stack(np.meshgrid(np.arange(cam.size[0]), np.arange(cam.size[1])), -1).astype(float)
    d = hom(undistort(x, cam.K))
    a, b, c = np.sum(d * d, -1), d @ centre, centre @ centre - radius**2
    disc = b * b - a * c
    z = np.where(disc > 0, (b - np.sqrt(np.maximum(disc, 0))) / a, wall)
    np.testing.assert_allclose(sphere_pair.depth1, z, rtol=1e-12)
    on_ball = disc > 0
    outward = (d * z[..., None] - centre) / radius
    np.testing.assert_allclose(sphere_pair.normals1[on_ball], outward[on_ball], atol=1e-9)
    np.testing.assert_allclose(sphere_pair.normals1[~on_ball], np.broadcast_to([0, 0, -1.0], (np.sum(~on_ball), 3)))


def test_one_plane_is_one_plane(plane_pair):
    X = points1(plane_pair).reshape(-1, 3)
    assert np.linalg.svd(X - X.mean(0), compute_uv=False)[2] < 1e-9
    # the plane n . X = 1 induces the homography K2 (R + t n^T) K1^-1
    n, rig = np.linalg.lstsq(X, np.ones(len(X)), rcond=None)[0], plane_pair.rig
    m = matches.exact_matches(plane_pair, 400)
    H = rig.cam2.K @ (rig.R + np.outer(rig.t, n)) @ np.linalg.inv(rig.cam1.K)
    np.testing.assert_allclose(transform(H, m.x1), m.x2, atol=1e-8)


@pytest.mark.parametrize("pose", poses.POSES)
def test_matches_obey_the_rig_under_every_pose(pose):
    pair = synthetic.render("slanted", size=TINY, pose=pose, supersample=1)
    rig = pair.rig
    assert np.all(np.isfinite(pair.depth1)) and np.all(np.isfinite(pair.depth2))
    m = matches.exact_matches(pair, 300)
    np.testing.assert_allclose(rig.R @ rig.R.T, np.eye(3), atol=1e-14)
    if not np.any(rig.t):  # rotation alone: a homography K R K^-1
        H = rig.cam2.K @ rig.R @ np.linalg.inv(rig.cam1.K)
        np.testing.assert_allclose(transform(H, m.x1), m.x2, atol=1e-9)
        return
    F = fundamental_from_pose(rig.cam1.K, rig.cam2.K, rig.R, rig.t)
    assert np.abs(sampson(F, m.x1, m.x2)).max() < 1e-9
    P1, P2 = rig.cam1.K @ np.eye(3, 4), rig.cam2.K @ np.c_[rig.R, rig.t]
    X = triangulate_points(P1, P2, m.x1, m.x2)
    i = m.x1.astype(int)
    np.testing.assert_allclose(X[:, 2], pair.depth1[i[:, 1], i[:, 0]], rtol=1e-6)


def test_a_pose_may_be_given_as_rotation_and_translation():
    named = synthetic.render("slanted", size=TINY, pose="handheld", supersample=1)
    given = synthetic.render("slanted", size=TINY, pose=(named.rig.R, named.rig.t), supersample=1)
    np.testing.assert_array_equal(given.right.pixels, named.right.pixels)
    np.testing.assert_array_equal(given.depth2, named.depth2)


def test_poses_do_what_their_names_say():
    C = {name: -f(0.1, 2.0)[0].T @ f(0.1, 2.0)[1] for name, f in poses.POSES.items()}
    turn = {name: rotation_angle_deg(f(0.1, 2.0)[0]) for name, f in poses.POSES.items()}
    np.testing.assert_allclose(C["rectified"], [0.1, 0, 0])
    np.testing.assert_allclose(C["swapped"], [-0.1, 0, 0])
    np.testing.assert_allclose(C["vertical"], [0, -0.1, 0])  # y is down: camera 2 is above
    assert C["forward"][2] > 5 * np.hypot(*C["forward"][:2])
    assert not np.any(C["rotation"]) and turn["rotation"] > 3
    assert C["handheld"][0] > 0.09 > -0.09 > C["handheld_swapped"][0] and 1 < turn["handheld"] < 6
    assert abs(turn["turned"] - 90) < 5
    R, t = poses.POSES["converging"](0.1, 2.0)  # both optical axes meet in the target
    np.testing.assert_allclose((R @ [0, 0, 2.0] + t)[:2], 0, atol=5e-3)


def test_epipole_of_forward_lies_inside_the_picture(forward_pair):
    rig = forward_pair.rig
    e = project(-rig.R.T @ rig.t, rig.cam1.K)
    assert np.all(e > 0) and np.all(e < rig.cam1.size)


# Disparity


def test_disparity_is_focal_times_baseline_over_depth(slanted_pair):
    rig = slanted_pair.rig
    fb = rig.cam1.K[0, 0] * -rig.t[0]
    np.testing.assert_allclose(slanted_pair.disparity_left, fb / slanted_pair.depth1, rtol=1e-6)
    np.testing.assert_allclose(slanted_pair.disparity_right, fb / slanted_pair.depth2, rtol=1e-6)


def test_swapped_disparity_is_negative(swapped_pair):
    rig = swapped_pair.rig
    assert rig.t[0] > 0
    np.testing.assert_allclose(
        swapped_pair.disparity_left, -rig.cam1.K[0, 0] * rig.t[0] / swapped_pair.depth1, rtol=1e-6
    )
    assert swapped_pair.disparity_left.max() < 0


def test_swapping_the_photos_is_taking_photo_1_from_the_right(slanted_pair):
    """The swapped pair, its scene moved to where camera 2 stood, is the pair with its photos exchanged."""
    scene = scenes.slanted()
    b, lamp = scene.baseline, np.array(scene.lamp[0])
    reach = np.linalg.norm(lamp - scene.target)  # the lamp's strength holds at the target's distance: keep that
    ahead = lamp[2] + np.sqrt(reach**2 - (lamp[0] - b) ** 2 - lamp[1] ** 2)
    moved = replace(scene, eye=(b, 0, 0), target=(b, 0, ahead), pose="swapped")
    other = synthetic.render(moved, size=slanted_pair.left.size, supersample=2)
    np.testing.assert_allclose(other.depth1, slanted_pair.depth2, rtol=1e-12)
    assert np.abs(other.left.pixels.astype(int) - slanted_pair.right.pixels).max() <= 1
    np.testing.assert_allclose(other.disparity_left, -slanted_pair.disparity_right, atol=1e-4)


@pytest.mark.parametrize("name", ["slanted_pair", "sphere_pair", "bars_pair"])
def test_disparities_of_the_two_views_agree_where_visible(name, request):
    pair = request.getfixturevalue(name)
    y, x = np.nonzero(pair.visible1)
    x2 = x - pair.disparity_left[y, x]
    i = np.rint(x2).astype(int)
    assert i.min() >= 0 and i.max() < pair.right.size[0]
    # within half a pixel on the same surface, unless the nearest pixel centre lies across an edge
    assert np.mean(np.abs(pair.disparity_right[y, i] - pair.disparity_left[y, x]) < 0.2) > 0.98
    # hidden points: nearer in the other photo, or outside it
    y, x = np.nonzero(~pair.visible1)
    x2 = x - pair.disparity_left[y, x]
    i = np.clip(np.rint(x2).astype(int), 0, pair.right.size[0] - 1)
    outside = (x2 < -0.5) | (x2 > pair.right.size[0] - 0.5)
    assert np.mean(outside | (pair.disparity_right[y, i] > pair.disparity_left[y, x] + 0.1)) > 0.9
    assert 0.02 < np.mean(~pair.visible1) < 0.3


# Photos


@pytest.mark.parametrize(
    "name",
    ["slanted_pair", "sphere_pair", "swapped_pair", "handheld_pair", "vertical_pair", "plane_pair", "rotation_pair"],
)
def test_photos_agree_on_every_surface(name, request):
    pair = request.getfixturevalue(name)
    assert photo_error(pair) < 1.5  # of 255: resampling of a textured picture
    assert pair.left.pixels.std() > 30  # which has contrast


def test_photos_of_distorted_and_different_cameras_agree():
    dist = np.array([-0.15, 0.05, 0.001, -0.002, 0.01])
    K2 = np.array([[230.0, 0, 118], [0, 228, 93], [0, 0, 1]])
    pair = synthetic.render(
        "sphere", size=(320, 240), pose="handheld", dist=dist, camera2=Camera(K2, (240, 180), np.array([-0.1, 0, 0, 0]))
    )
    assert pair.right.size == (240, 180) and pair.left.size == (320, 240)
    assert pair.disparity_left is None
    # photo 2 is coarser by 1.5: blur it is not, but neither is it the same picture
    assert photo_error(pair) < 6
    m = matches.exact_matches(pair, 200)
    rig = pair.rig
    u1, u2 = undistort(m.x1, rig.cam1.K, rig.cam1.dist), undistort(m.x2, rig.cam2.K, rig.cam2.dist)
    assert np.abs(sampson(fundamental_from_pose(np.eye(3), np.eye(3), rig.R, rig.t), u1, u2)).max() < 1e-10
    X = points1(pair)[m.x1[:, 1].astype(int), m.x1[:, 0].astype(int)]
    cv, _ = cv2.projectPoints(
        objectPoints=X, rvec=cv2.Rodrigues(src=rig.R)[0], tvec=rig.t, cameraMatrix=K2, distCoeffs=rig.cam2.dist
    )
    np.testing.assert_allclose(cv.reshape(-1, 2), m.x2, atol=1e-6)


def test_rendering_is_deterministic_and_seeded():
    a, b = (synthetic.render("bars", size=TINY, noise=3, seed=5) for _ in range(2))
    other = synthetic.render("bars", size=TINY, noise=3, seed=6)
    assert np.array_equal(a.left.pixels, b.left.pixels) and np.array_equal(a.right.pixels, b.right.pixels)
    assert not np.array_equal(a.left.pixels, other.left.pixels)
    assert np.array_equal(a.depth1, other.depth1)


def test_noise_exposure_and_vignetting_are_what_was_asked():
    plain = synthetic.render("slanted", size=TINY)
    noisy = synthetic.render("slanted", size=TINY, noise=4.0)
    inner = (plain.left.pixels > 30) & (plain.left.pixels < 225)
    assert (noisy.left.pixels.astype(float) - plain.left.pixels)[inner].std() == pytest.approx(4, rel=0.05)
    exposed = synthetic.render("slanted", size=TINY, gain=0.8, offset=10)
    assert np.array_equal(exposed.left.pixels, plain.left.pixels)
    assert np.abs(exposed.right.pixels - (0.8 * plain.right.pixels.astype(float) + 10)).max() <= 1
    dark = synthetic.render("slanted", size=TINY, vignetting=0.5)
    ratio = (dark.left.pixels / np.maximum(plain.left.pixels, 1.0)).mean(-1)
    centre, corner = ratio[30:42, 40:56].mean(), ratio[:4, :4].mean()
    assert centre > 0.95 and corner == pytest.approx(0.5 ** (1 / 2.2), abs=0.05)  # half the light, in sRGB


def test_every_scene_is_closed_and_photographed_in_its_own_pose():
    for name, make in scenes.SCENES.items():
        scene = make()
        pair = synthetic.render(scene, size=(64, 48), supersample=1)
        assert np.all(np.isfinite(pair.depth1)) and np.all(pair.depth1 > 0), name
        R, t = poses.POSES[scene.pose](scene.baseline, np.linalg.norm(np.subtract(scene.target, scene.eye)))
        np.testing.assert_allclose(pair.rig.t, t, atol=1e-12)
        assert pair.visible1.mean() > 0.5, name


def test_the_corners_of_a_chessboard_are_found_where_they_are():
    board = board_module.Board("chessboard", 7, 4, 0.03)
    R, t = rotation_from_vector([0.3, -0.4, 0.1]), np.array([-0.1, -0.05, 0.5])
    pair = synthetic.render(scenes.chessboard(R, t, columns=7, rows=4, square=0.03), size=(400, 300))
    rig = pair.rig
    for photo, camera, R1, t1 in ((pair.left, rig.cam1, R, t), (pair.right, rig.cam2, rig.R @ R, rig.R @ t + rig.t)):
        corners = board_module.find_corners(photo, board)
        x = project(board.points[corners.ids], camera.K, R1, t1)
        assert len(x) == 28 and np.linalg.norm(corners.x - x, axis=1).max() < 0.5
    middle = tuple(np.rint(project(np.array([[0.075, 0.045, 0]]), rig.cam1.K, R, t)[0]).astype(int)[::-1])
    plane = R[:, 2] @ t / (R[:, 2] @ hom((np.array(middle[::-1]) - rig.cam1.K[:2, 2]) / rig.cam1.focal))
    assert pair.depth1[middle] == pytest.approx(plane, rel=1e-9)


def test_names_that_are_none_are_refused():
    with pytest.raises(StereoError, match="slanted"):
        synthetic.render("slated")
    with pytest.raises(StereoError, match="handheld"):
        synthetic.render("slanted", pose="hand")
    with pytest.raises(ValueError, match="folds"):
        synthetic.render("slanted", size=TINY, dist=(-3.0, 0, 0, 0))


@pytest.mark.parametrize(
    "options",
    [
        {"noise": -1},
        {"noise": math.nan},
        {"vignetting": 1.5},
        {"gain": math.nan},
        {"gain": -1},
        {"offset": math.inf},
        {"supersample": 0},
        {"samples": 0},
        {"samples": 1.5},
        {"seed": -1},
    ],
)
def test_options_out_of_bounds_are_refused(options):
    with pytest.raises(StereoError, match=next(iter(options))) as caught:
        synthetic.render("plane", size=TINY, **options)
    assert caught.value.code == "bad_option"


@pytest.mark.parametrize("options", [{"noise": -0.1}, {"outliers": 1.5}, {"outliers": -0.5}, {"outliers": math.nan}])
def test_options_of_matches_out_of_bounds_are_refused(plane_pair, options):
    with pytest.raises(StereoError, match=next(iter(options))):
        matches.exact_matches(plane_pair, 9, **options)
    with pytest.raises(StereoError, match=next(iter(options))):
        matches.random_two_view(9, seed=0, **options)


def test_the_distortion_may_be_a_column():
    """OpenCV's calibrateCamera returns (1, n) or (n, 1)."""
    flat = np.array([-0.1, 0.02, 0.001, -0.001])
    expected = synthetic.render("plane", size=TINY, dist=flat, supersample=1)
    for dist in (flat[:, None], flat[None]):
        pair = synthetic.render("plane", size=TINY, dist=dist, supersample=1)
        assert np.array_equal(pair.left.pixels, expected.left.pixels)
        assert np.array_equal(pair.rig.cam1.dist, flat)


# Kernels


def shares_of(paint, q, solid=None):
    """rgb of a paint at texture coordinates q, seen by a pixel of 0.1 mm."""
    rgb = np.zeros(3)
    row = np.zeros(32)
    row[: len(paint)] = paint
    paints.albedo(row, np.zeros(32) if solid is None else solid, tuple(map(float, q)), 1e-4, rgb)
    return rgb


def test_a_chessboard_is_dark_where_column_and_row_are_even():
    board = scene_module.paint(CHECKS, "ffffff 000000", (0.02, 5, 4))
    for column in range(-1, 6):
        for row in range(-1, 5):
            dark = 0 <= column < 5 and 0 <= row < 4 and (column + row) % 2 == 0
            q = (column - 0.5) * 0.02, (row - 0.5) * 0.02, 0  # the first inner corner is the origin
            assert np.all(shares_of(board, q) == (0 if dark else 1)), (column, row)


def test_a_plain_paint_is_its_colour_in_linear_light():
    value = 0x80 / 255
    np.testing.assert_allclose(
        shares_of(scene_module.paint(PLAIN, "808080"), (1, 2, 3)), ((value + 0.055) / 1.055) ** 2.4
    )


def test_the_centre_of_a_dot_has_a_dot_colour_and_the_gaps_have_none():
    """The centre of a dot by the kernel's hash, for cells of 10 mm and dots of 1 mm times 0.6 to 1.4."""
    dots = scene_module.paint(DOTS, "000000 ff0000 ff0000 ff0000", (0.01, 0.001, 0.0), seed=7)
    centre = np.array([0.15 + 0.7 * paints._uniform(0, 0, 0, 7 + k) for k in range(3)]) * 0.01
    np.testing.assert_allclose(shares_of(dots, centre), [1, 0, 0])
    x = np.random.default_rng(0).uniform(0, 0.1, (400, 3))
    share = np.mean([shares_of(dots, q)[0] > 0.5 for q in x])
    # each cubic centimetre holds one ball of radius 0.6 to 1.4 mm
    assert 0 < share < 4 / 3 * math.pi * (0.14**3)


def test_noise_is_continuous_and_vanishes_on_the_lattice():
    for corner in ((0, 0, 0), (3, -2, 5)):
        assert paints._noise(*map(float, corner), 4) == 0
    rng = np.random.default_rng(1)
    for x, y in zip(rng.uniform(-5, 5, (200, 3)), rng.normal(0, 1e-6, (200, 3)), strict=True):
        assert abs(paints._noise(*x, 4) - paints._noise(*(x + y), 4)) < 1e-4
        assert abs(paints._noise(*x, 4)) <= 1.6


def test_smoothstep_line_and_fold_by_numpy():
    for x in np.linspace(-2, 3, 101):
        s = np.clip((x - 0.2) / (1.4 - 0.2), 0, 1)
        assert paints._smoothstep(0.2, 1.4, x) == pytest.approx(3 * s**2 - 2 * s**3, abs=1e-12)
        assert paints._line(x, 0.5, 0.1) == pytest.approx(1 - paints._smoothstep(0.43, 0.57, abs(x)), abs=1e-12)
        assert paints._fold(x, 0.7) == pytest.approx((x + 0.35) % 0.7 - 0.35, abs=1e-12)


def test_the_low_discrepancy_sequence_by_hand():
    assert [kernels._van_der_corput(i, 2) for i in range(1, 6)] == [1 / 2, 1 / 4, 3 / 4, 1 / 8, 5 / 8]
    assert [kernels._van_der_corput(i, 3) for i in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1 / 9])


def test_a_ray_misses_a_ball_when_its_distance_exceeds_the_radius():
    """Oracle: the distance of the centre from the segment, in numpy."""
    rng = np.random.default_rng(2)
    missed = []
    for offset, d, radius, far in zip(
        rng.normal(0, 2, (500, 3)),
        rng.normal(0, 1, (500, 3)),
        rng.uniform(0.1, 2, 500),
        rng.uniform(0.1, 5, 500),
        strict=True,
    ):
        t = np.clip(offset @ d / (d @ d), 0, far)
        expected = np.linalg.norm(offset - t * d) > radius
        missed.append(intersections.misses_ball(tuple(offset), radius**2, tuple(d), d @ d, far))
        assert missed[-1] == expected
    assert 0.2 < np.mean(missed) < 0.98


def test_a_box_from_inside_and_outside_by_slabs():
    """Oracle: the entry and exit of the three slabs |u| <= 1 in numpy."""
    rng = np.random.default_rng(3)
    solid = np.zeros(36)
    solid[0], solid[[1, 5, 9]], solid[13:16] = BOX, 1, 1
    for o, d in zip(rng.uniform(-2, 2, (300, 3)), rng.normal(0, 1, (300, 3)), strict=True):
        t = np.sort((np.array([[-1.0], [1.0]]) - o) / d, axis=0)
        enter, leave = t[0].max(), t[1].min()
        expected = np.inf if enter > leave or leave <= 0 else (enter if enter > 0 else leave)
        assert intersections.intersect(solid, tuple(o), tuple(d), 0.0, np.inf) == pytest.approx(expected)


# Matches, cameras


def test_noise_and_outliers_of_matches(handheld_pair):
    clean = matches.exact_matches(handheld_pair, 1000, seed=3)
    spoilt = matches.exact_matches(handheld_pair, 1000, noise=0.5, outliers=0.3, seed=3)
    assert (spoilt.x1 - clean.x1).std() == pytest.approx(0.5, rel=0.1)
    moved = np.linalg.norm(spoilt.x2 - clean.x2, axis=1) > 5
    assert 0.28 <= moved.mean() <= 0.3  # a few outliers fall near the truth by chance
    assert np.any(moved[:300]) and np.any(~moved[:300])  # mixed
    with pytest.raises(ValueError, match="visible"):
        matches.exact_matches(handheld_pair, 10**7)


@pytest.mark.parametrize("motion", matches.MOTIONS)
def test_random_two_view_obeys_its_rig(motion):
    m, rig = matches.random_two_view(150, seed=4, motion=motion)
    assert len(m) == 150 and m.x1.shape == m.x2.shape == (150, 2)
    for x in (m.x1, m.x2):
        assert np.all(x >= -0.5) and np.all(x <= np.array(rig.cam1.size) - 0.5)
    if motion == "rotation":
        assert not np.any(rig.t)
        H = rig.cam2.K @ rig.R @ np.linalg.inv(rig.cam1.K)
        np.testing.assert_allclose(transform(H, m.x1), m.x2, atol=1e-9)
        return
    assert np.linalg.norm(rig.t) == pytest.approx(1)
    F = fundamental_from_pose(rig.cam1.K, rig.cam2.K, rig.R, rig.t)
    assert np.abs(sampson(F, m.x1, m.x2)).max() < 1e-9
    X = triangulate_points(rig.cam1.K @ np.eye(3, 4), rig.cam2.K @ np.c_[rig.R, rig.t], m.x1, m.x2)
    assert np.all(X[:, 2] > 0) and np.all((X @ rig.R.T + rig.t)[:, 2] > 0)
    spread = np.linalg.svd(X - X.mean(0), compute_uv=False)
    assert (spread[2] < 1e-6 * spread[0]) == (motion == "planar")
    again, _ = matches.random_two_view(150, seed=4, motion=motion)
    assert np.array_equal(again.x2, m.x2)


def test_random_two_view_outliers():
    m, rig = matches.random_two_view(1000, seed=1, noise=0.5, outliers=0.4)
    e = np.abs(sampson(fundamental_from_pose(rig.cam1.K, rig.cam2.K, rig.R, rig.t), m.x1, m.x2))
    assert np.mean(e < 3) == pytest.approx(0.6, abs=0.02)
    assert np.std(e[e < 2]) > 0.1


# On disk


def test_a_rectified_pair_on_disk_reads_back(tmp_path, slanted_pair):
    files = write.write_pair(tmp_path / "pair", slanted_pair)
    names = {f.name for f in files}
    assert names == {f.name for f in (tmp_path / "pair").iterdir()}  # no other file, no temporary one
    folder = tmp_path / "pair"
    assert np.array_equal(np.array(Image.open(folder / "left.png")), slanted_pair.left.pixels)
    assert np.array_equal(read_map(folder / "disp_left.pfm"), slanted_pair.disparity_left)
    np.testing.assert_allclose(read_map(folder / "depth_right.npy"), slanted_pair.depth2, rtol=1e-6)
    assert np.array_equal(np.array(Image.open(folder / "visible_left.png")) == 255, slanted_pair.visible1)
    rig = json.loads((folder / "rig.json").read_text())
    assert rig["unit"] == "m" and rig["res1"] == [320, 240]
    np.testing.assert_array_equal(rig["intrinsic1"], slanted_pair.rig.cam1.K)
    np.testing.assert_array_equal(np.ravel(rig["T"]), slanted_pair.rig.t)
    cameras = json.loads((folder / "cameras.json").read_text())["cameras"]
    np.testing.assert_array_equal(cameras["right"]["R"], slanted_pair.rig.R)
    np.testing.assert_array_equal(cameras["right"]["t"], slanted_pair.rig.t)
    assert read_rig(folder / "cameras.json").unit == read_rig(folder / "rig.json").unit == "m"
    calib = dict(line.split("=") for line in (folder / "calib.txt").read_text().splitlines())
    z = float(calib["baseline"]) * slanted_pair.rig.cam1.K[0, 0] / (slanted_pair.disparity_left + float(calib["doffs"]))
    np.testing.assert_allclose(z, 1000 * slanted_pair.depth1, rtol=1e-5)  # Middlebury's millimetres
    assert int(calib["vmin"]) <= slanted_pair.disparity_left.min() and slanted_pair.disparity_left.max() < int(
        calib["ndisp"]
    )


def test_handheld_and_swapped_pairs_on_disk(tmp_path, handheld_pair, swapped_pair):
    names = {f.name for f in write.write_pair(tmp_path / "a", handheld_pair, suffix=".jpg")}
    assert "left.jpg" in names and "disp_left.pfm" not in names and "calib.txt" not in names
    names = {f.name for f in write.write_pair(tmp_path / "b", swapped_pair)}
    assert "disp_left.pfm" in names and "calib.txt" not in names  # the format knows no right photo named first
    with pytest.raises(StereoError) as error:
        write.write_pair(tmp_path / "c", handheld_pair, suffix=".gif")
    assert error.value.code == "unknown_format"


def test_exif_holds_the_35_mm_equivalent_by_the_exact_diagonal(tmp_path):
    """FocalLength is written in hundredths of a millimetre: with a long lens 43.267 mm and 43.27 mm differ."""
    camera = Camera(np.array([[4000.0, 0, 47.5], [0, 4000, 35.5], [0, 0, 1]]), TINY)
    pair = synthetic.render("plane", size=TINY, K=camera.K, supersample=1)
    write.write_pair(tmp_path, pair, suffix=".jpg")
    details = Image.open(tmp_path / "left.jpg").getexif().get_ifd(0x8769)
    expected = 4000 * math.hypot(36, 24) / math.hypot(*TINY)
    assert float(details[0x920A]) * write.CROP_FACTOR == pytest.approx(expected, abs=0.005 * write.CROP_FACTOR)


def test_noise_is_written_as_jpeg(tmp_path, handheld_pair):
    """More bytes than pixels, which Pillow's buffer for optimal tables does not hold."""
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype(np.uint8)
    pair = replace(handheld_pair, left=replace(handheld_pair.left, pixels=noise))
    write.write_pair(tmp_path, pair, suffix=".jpg")
    assert (tmp_path / "left.jpg").stat().st_size > 320 * 240
    assert np.corrcoef(np.asarray(Image.open(tmp_path / "left.jpg")).ravel(), noise.ravel())[0, 1] > 0.9


def test_exif_agrees_with_the_camera(tmp_path, handheld_pair):
    write.write_pair(tmp_path, handheld_pair, suffix=".jpg")
    exif = Image.open(tmp_path / "left.jpg").getexif()
    details = exif.get_ifd(0x8769)
    w, h = handheld_pair.left.size
    assert exif[0x010F] and exif[0x0110]
    assert details[0xA405] * math.hypot(w, h) / 43.27 == pytest.approx(handheld_pair.rig.cam1.focal, rel=1e-3)
    assert 0 < details[0x920A] < details[0xA405]


def test_one_diagonal_of_35mm_film():
    """The scenes round the constant of `calibration` to 0.01 mm; no other module states a diagonal."""
    from stereo3d.cameras import DIAGONAL_35MM

    assert DIAGONAL_35MM == math.hypot(36, 24) and cameras_module.DIAGONAL_35MM is DIAGONAL_35MM
    assert renderer.SCENE_DIAGONAL_35MM == round(DIAGONAL_35MM, 2) == 43.27


# The demo pair


def test_shipped_demo_agrees_with_its_scene():
    """Rays cast now meet the scene at the depth that ships, and the shipped photos show what is rendered now."""
    W, C = renderer.scene_from_camera1("still_life")
    rig = json.loads((DEMO / "rig.json").read_text())
    K, size = np.array(rig["intrinsic1"]), tuple(rig["res1"])
    depth = np.load(DEMO / "depth_left.npz")["depth"]
    assert depth.shape == size[::-1]
    rng = np.random.default_rng(0)
    x = np.stack([rng.integers(0, size[0], 4000), rng.integers(0, size[1], 4000)], 1)
    z = renderer.cast("still_life", C, hom(undistort(x.astype(float), K)) @ W)
    np.testing.assert_allclose(depth[x[:, 1], x[:, 0]].astype(float), z, rtol=2**-11)  # half a step of float16
    small = synthetic.render("still_life", size=(350, 262), K=scale_K(K, 0.25), supersample=2, vignetting=0.22)
    np.testing.assert_allclose(np.ravel(rig["T"]), small.rig.t, atol=1e-12)
    np.testing.assert_allclose(rig["R"], small.rig.R, atol=1e-12)
    for name, photo in (("left", small.left), ("right", small.right)):
        shipped = np.array(Image.open(DEMO / f"{name}.jpg"))
        assert shipped.shape == (*size[::-1], 3)
        shipped = shipped[: 4 * 262].reshape(262, 4, 350, 4, 3).mean((1, 3))
        difference = shipped - photo.pixels
        assert np.abs(difference).mean() < 6 and np.abs(np.mean(difference)) < 2, name


def test_shipped_demo_is_small_and_says_its_focal_length():
    assert sum(f.stat().st_size for f in DEMO.parent.rglob("*") if f.is_file()) < 3e6
    rig = json.loads((DEMO / "rig.json").read_text())
    for name, K in (("left", rig["intrinsic1"]), ("right", rig["intrinsic2"])):
        details = Image.open(DEMO / f"{name}.jpg").getexif().get_ifd(0x8769)
        assert details[0xA405] * math.hypot(*rig["res1"]) / 43.27 == pytest.approx(K[0][0], rel=1e-9)
    baseline = np.linalg.norm(rig["T"])
    depth = np.load(DEMO / "depth_left.npz")["depth"].astype(float)
    assert 6 < np.median(depth) / baseline < 12
