"""Calibration against known cameras: exact corners, rendered boards, and OpenCV's own photos and functions."""

import functools
import json
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from stereo3d.cameras import fit_rig, read_rig
from stereo3d.cameras.chessboard import Board, Corners, calibrate_camera, calibrate_rig, find_corners
from stereo3d.cameras.chessboard import describe as describe_module
from stereo3d.cameras.chessboard.board import list_photos, pair_by_name, read_corners
from stereo3d.cameras.chessboard.describe import coverage_picture, describe, measured
from stereo3d.cameras.chessboard.solve import coverage_map
from stereo3d.cameras.fit import turn_matrix
from stereo3d.cli import entry_point
from stereo3d.errors import StereoError
from stereo3d.geometry import angle_deg, hom, project, rotation_angle_deg, rotation_from_vector, undistort
from stereo3d.records import Photo

SIZE = (400, 300)
K = np.array([[380.0, 0, 203.3], [0, 378.0, 146.8], [0, 0, 1]])
DIST = np.array([-0.25, 0.08, 1e-3, -5e-4])
BOARD = Board("chessboard", 9, 6, 25.0)
R12, T12 = rotation_from_vector([0.01, -0.06, 0.02]), np.array([-80.0, 2.0, 5.0])


def poses(board=BOARD, count=12, *, seed=0, tilt=0.6, K=K, dist=DIST, size=SIZE, second=None):
    """R, t of boards before the camera that stand in the whole picture (and in that of a second camera R, t)."""
    rng, found = np.random.default_rng(seed), []
    points = board.points
    middle = points.mean(0)
    border = np.array([[x, y, 0] for x in (-1, board.grid[0]) for y in (-1, board.grid[1])]) * board.square
    while len(found) < count:
        R = rotation_from_vector([*rng.uniform(-tilt, tilt, 2), rng.uniform(-0.4, 0.4)])
        z = board.square * rng.uniform(9, 16)
        t = np.array([rng.uniform(-0.3, 0.3) * z, rng.uniform(-0.22, 0.22) * z, z]) - R @ middle
        seen = [project(border, K, R, t, dist)]
        if second is not None:
            seen.append(project(border, K, second[0] @ R, second[0] @ t + second[1], dist))
        if all((x > 3).all() and (x < np.array(size) - 4).all() for x in seen):
            found.append((R, t))
    return found


def exact(board, placed, *, noise=0.0, seed=0, K=K, dist=DIST, size=SIZE, name="photo") -> list[Corners]:
    rng = np.random.default_rng(seed)
    ids = np.arange(len(board.points))
    return [
        Corners(f"{name}{i}.png", ids, project(board.points, K, R, t, dist) + rng.normal(0, noise, (len(ids), 2)), size)
        for i, (R, t) in enumerate(placed)
    ]


# ------------------------------------------------------------------------------------------ the solver


@pytest.mark.parametrize("count", [0, 2, 4, 5, 8])
def test_exact_corners_give_the_camera(count):
    dist = np.array([-0.25, 0.08, 1e-3, -5e-4, 0.06, 0.02, -0.01, 0.03])[:count]
    placed = poses(dist=dist)
    found = calibrate_camera(exact(BOARD, placed, dist=dist), BOARD, distortion=count)
    # OpenCV takes corners as f32, some 1e-5 px, which eight coefficients magnify; the camera must project as the true
    np.testing.assert_allclose(found.camera.K, K, atol=2e-3 if count < 8 else 0.1)
    assert len(found.camera.dist) == count and found.rms < 1e-4 and found.camera.size == SIZE
    for (R, t), R_, t_ in zip(placed, found.R, found.t, strict=True):
        assert rotation_angle_deg(R_ @ R.T) < 0.01 and np.linalg.norm(t_ - t) < 0.1
        x = project(BOARD.points, found.camera.K, R_, t_, found.camera.dist)
        np.testing.assert_allclose(x, project(BOARD.points, K, R, t, dist), atol=1e-3)
    normals = [R[:, 2] for R, _ in placed]
    assert found.tilt == pytest.approx(max(angle_deg(a, b) for a in normals for b in normals), abs=0.01)


@pytest.mark.parametrize("count", [0, 2, 4, 5])
def test_the_distortion_is_chosen_by_evidence(count):
    dist = np.array([-0.3, 0.12, 4e-3, -4e-3, 0.4])[:count]
    found = calibrate_camera(exact(BOARD, poses(dist=dist, count=15), noise=0.05, dist=dist), BOARD)
    assert len(found.camera.dist) == count


def test_standard_errors_are_those_of_repeated_trials():
    placed = poses(count=10)
    trials = [calibrate_camera(exact(BOARD, placed, noise=0.1, seed=s), BOARD, distortion=4) for s in range(24)]
    off = np.array([t.camera.K[[0, 1, 0, 1], [0, 1, 2, 2]] - K[[0, 1, 0, 1], [0, 1, 2, 2]] for t in trials])
    sigma = np.array([[t.sigma[name] for name in ("fx", "fy", "cx", "cy")] for t in trials])
    # 24 trials know a standard deviation to 1 / sqrt(48) = 14 %: three of that
    np.testing.assert_allclose(np.sqrt((off**2).mean(0)) / sigma.mean(0), 1, atol=0.45)
    assert np.mean([t.rms for t in trials]) == pytest.approx(0.1 * np.sqrt(2), rel=0.1)


def test_the_same_corners_give_what_opencv_gives():
    corners = exact(BOARD, poses(), noise=0.2)
    found = calibrate_camera(corners, BOARD, distortion=5)
    rms, matrix, dist, *_ = cv2.calibrateCamera(
        objectPoints=[BOARD.points.astype(np.float32)] * len(corners),
        imagePoints=[c.x.astype(np.float32) for c in corners],
        imageSize=SIZE,
        cameraMatrix=np.eye(3),
        distCoeffs=np.zeros(5),
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12),
    )
    np.testing.assert_allclose(found.camera.K, matrix, atol=1e-6)
    np.testing.assert_allclose(found.camera.dist, dist.ravel(), atol=1e-7)
    assert found.rms == pytest.approx(rms)
    each = [
        np.sqrt(np.mean(np.sum((project(BOARD.points, found.camera.K, R, t, found.camera.dist) - c.x) ** 2, 1)))
        for c, R, t in zip(corners, found.R, found.t, strict=True)
    ]
    np.testing.assert_allclose(found.errors, each, atol=1e-4)


# ------------------------------------------------------------------------------------------ bad sets of photos


def test_a_bad_photo_is_named_and_left_out_when_asked():
    corners = exact(BOARD, poses(), noise=0.1)
    bent = corners[4].x + np.random.default_rng(5).normal(0, 1.5, corners[4].x.shape)
    corners[4] = replace(corners[4], x=bent)
    kept = calibrate_camera(corners, BOARD, distortion=4)
    [finding] = [f for f in kept.findings if f.code == "outlier_photo"]
    assert finding.numbers["photo"] == "photo4.png" and "photo4.png" in finding.message and finding.advice
    dropped = calibrate_camera(corners, BOARD, distortion=4, drop=True)
    assert dropped.dropped == ["photo4.png"] and len(dropped.photos) == 11
    assert not any(f.code == "outlier_photo" for f in dropped.findings)
    assert dropped.rms < 0.2 < kept.rms
    clean = calibrate_camera(corners[:4] + corners[5:], BOARD, distortion=4)
    np.testing.assert_allclose(dropped.camera.K, clean.camera.K, atol=1e-6)
    assert any("left out" in line for line in describe(dropped))


def test_good_photos_are_no_outliers():
    for seed in range(4):
        found = calibrate_camera(exact(BOARD, poses(seed=seed), noise=0.1, seed=seed), BOARD, distortion=2)
        assert not any(f.code == "outlier_photo" for f in found.findings)


def test_few_boards_are_refused():
    corners = exact(BOARD, poses(), noise=0.1)
    with pytest.raises(StereoError, match="found in 4 photos, 5 are needed") as caught:
        calibrate_camera(corners[:4], BOARD)
    assert caught.value.code == "bad_calibration" and caught.value.numbers == {"found": 4, "needed": 5}
    assert calibrate_camera(corners[:5], BOARD, distortion=0).camera.K[0, 0] > 0


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("tilt", [0.0, 0.02])
def test_boards_parallel_to_the_sensor_are_refused(tilt, noise):
    """f and the distance change together then: no number of such photos gives the focal length."""
    placed = poses(tilt=tilt, dist=np.zeros(0))
    with pytest.raises(StereoError) as caught:
        calibrate_camera(exact(BOARD, placed, noise=noise, dist=np.zeros(0)), BOARD)
    assert caught.value.code == "bad_calibration" and "tilted" in caught.value.message + caught.value.advice
    assert "20 to 45 degrees" in caught.value.advice


def test_boards_in_one_corner_are_refused_and_low_coverage_is_a_finding():
    large, wide = (1000, 750), K + [[0, 0, 300], [0, 0, 225], [0, 0, 0]]  # the same boards, in a larger picture
    corners = exact(BOARD, poses(K=wide, size=large), K=wide, size=large, noise=0.02)
    corners = [c for c in corners if np.abs(c.x - [500, 375]).max() < 180] * 2
    assert len(corners) >= 5 and (covered := np.mean(coverage_map(corners) > 0)) < 0.2
    with pytest.raises(StereoError, match=f"cover {100 * covered:.0f} % of the picture, 20 %") as caught:
        calibrate_camera(corners, BOARD, distortion=0)
    assert caught.value.code == "bad_calibration" and caught.value.numbers["coverage"] == covered
    for count, low in ((8, True), (60, False)):
        found = calibrate_camera(exact(BOARD, poses(count=count), noise=0.05), BOARD, distortion=2)
        assert (found.coverage < 0.5) == low == any(f.code == "low_coverage" for f in found.findings)


@pytest.mark.parametrize("given", [{"distortion": 3}, {"distortion": "all"}, {"drop": "perhaps"}])
def test_calibration_options_out_of_bounds_are_refused(given):
    corners = exact(BOARD, poses(count=5))
    for call in (
        lambda: calibrate_camera(corners, BOARD, **given),
        lambda: calibrate_rig(corners, corners, [(i, i) for i in range(5)], BOARD, **given),
    ):
        with pytest.raises(StereoError) as caught:
            call()
        assert caught.value.code == "bad_option" and next(iter(given)) in caught.value.message


# ------------------------------------------------------------------------------------------ coverage


def test_coverage_counts_boards():
    ids = np.arange(4)
    square = np.array([[0.0, 0], [199, 0], [199, 149], [0, 149]])
    one, two = Corners("a", ids, square, SIZE), Corners("b", ids, square + [200, 0], SIZE)
    whole = Corners("c", ids, square / [199, 149] * [399, 299], SIZE)
    count = coverage_map([one, two, whole], side=400)
    assert count.shape == (300, 400) and count[75, 100] == 2 and count[75, 300] == 2 and count[250, 100] == 1
    assert np.mean(coverage_map([one], side=400) > 0) == pytest.approx(0.25, abs=0.005)
    assert count.min() == 1


def test_the_picture_of_coverage():
    found = calibrate_camera(exact(BOARD, poses(), noise=0.1), BOARD, distortion=4)
    picture = coverage_picture(found, side=400)
    free = coverage_map(found.photos, side=400) == 0
    assert picture.shape == (300, 400, 3) and picture.dtype == np.uint8
    light = picture.mean(2)
    assert light[free].mean() < 60 < light[~free].mean()


# ------------------------------------------------------------------------------------------ rendered boards


def plane_coordinates(R, t, K, dist, size, samples) -> np.ndarray:
    """(h s, w s, 2): where the ray of each of s x s samples of a pixel meets the board's plane. From X_c = R X + t."""
    u, v = rays_of_samples(tuple(K.ravel()), tuple(dist), size, samples)
    H = np.linalg.inv(np.stack([R[:, 0], R[:, 1], t], 1))
    x, y, w = (h[0] * u + h[1] * v + h[2] for h in H)
    return np.stack([x / w, y / w], -1)


@functools.cache
def rays_of_samples(K, dist, size, samples):
    """Normalised image coordinates x, y (h s, w s) of the samples, by OpenCV."""
    grid = [(np.arange(n * samples) + 0.5) / samples - 0.5 for n in size]
    x = np.stack(np.meshgrid(*grid), -1).reshape(-1, 1, 2)
    rays = cv2.undistortPoints(src=x, cameraMatrix=np.reshape(K, (3, 3)), distCoeffs=np.array(dist))
    return np.moveaxis(rays.reshape(size[1] * samples, size[0] * samples, 2), -1, 0)


def darken(picture: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Samples (H s, W s) -> (H,W,3) u8: averaged over pixels, blurred as by a lens, with noise."""
    h, w = picture.shape[0] // samples, picture.shape[1] // samples
    grey = cv2.GaussianBlur(src=picture.reshape(h, samples, w, samples).mean((1, 3)), ksize=(0, 0), sigmaX=0.6)
    grey = np.rint(grey + np.random.default_rng(seed).normal(0, 2, grey.shape))
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2)


def chessboard_photo(board, R, t, *, K=K, dist=DIST, size=SIZE, samples=3, seed=0) -> np.ndarray:
    """The first square (left of and above the first corner) is as dark as the one after the first corner."""
    X = plane_coordinates(R, t, K, dist, size, samples) / board.square
    columns, rows = board.grid
    inside = (X > -1).all(-1) & (X[..., 0] < columns) & (X[..., 1] < rows)
    dark = inside & (np.floor(X).astype(int).sum(-1) % 2 == 0)
    paper = (X > -2).all(-1) & (X[..., 0] < columns + 1) & (X[..., 1] < rows + 1)
    return darken(np.where(dark, 30.0, np.where(paper, 225.0, 110.0)), samples, seed)


@pytest.fixture(scope="module")
def rendered():
    """Twelve photos of the chessboard by a rig: poses, left and right pictures."""
    placed = poses(count=12, tilt=0.5, second=(R12, T12), seed=3)
    left = [chessboard_photo(BOARD, R, t, seed=i) for i, (R, t) in enumerate(placed)]
    right = [chessboard_photo(BOARD, R12 @ R, R12 @ t + T12, seed=50 + i) for i, (R, t) in enumerate(placed[:8])]
    return placed, left, right


@pytest.fixture(scope="module")
def folder(rendered, tmp_path_factory):
    """The rendered photos on disk; right ones turned by EXIF, as from a camera that is held upside down."""
    folder = tmp_path_factory.mktemp("boards é")
    for i, picture in enumerate(rendered[1]):
        Image.fromarray(picture).save(folder / f"left{i:02}.png")
    for i, picture in enumerate(rendered[2]):
        Image.fromarray(picture).save(folder / f"right{i:02}.png")
    return folder


def test_corners_of_rendered_boards_are_where_they_are(rendered):
    off = []
    for (R, t), picture in zip(*rendered[:2], strict=True):
        corners = find_corners(Photo(picture), BOARD)
        assert corners is not None and corners.size == SIZE and np.array_equal(corners.ids, np.arange(54))
        off.append(corners.x - project(BOARD.points, K, R, t, DIST))
    assert np.sqrt(np.mean(np.sum(np.square(off), -1))) < 0.06  # with noise of 2 grey levels, squares of 16 to 30 px
    assert np.abs(np.mean(off, (0, 1))).max() < 0.01


def test_large_photos_are_searched_small_and_measured_large(rendered):
    R, t = rendered[0][0]
    size, s = (2000, 1500), 5
    large = np.array([[s, 0, (s - 1) / 2], [0, s, (s - 1) / 2], [0, 0, 1]]) @ K
    picture = chessboard_photo(BOARD, R, t, K=large, size=size, samples=1)
    corners = find_corners(Photo(picture), BOARD)
    off = np.linalg.norm(corners.x - project(BOARD.points, large, R, t, DIST), axis=1)
    assert np.sqrt(np.mean(off**2)) < 0.2  # px of the large photo, whose squares are five times as large


@pytest.mark.parametrize(
    "orientation, turned", [(3, lambda p: p[::-1, ::-1]), (6, lambda p: np.rot90(p, -1)), (8, lambda p: np.rot90(p))]
)
def test_turned_photos_give_the_corners_of_the_sensor(rendered, orientation, turned):
    picture = rendered[1][0]
    plain = find_corners(Photo(picture), BOARD)
    corners = find_corners(Photo(np.ascontiguousarray(turned(picture)), {"orientation": orientation}), BOARD)
    assert corners.size == SIZE and corners.orientation == orientation
    np.testing.assert_allclose(corners.x, plain.x, atol=0.03)  # the same order too: the colours tell the ends apart


def test_mirrored_photos_and_photos_of_other_things():
    flat = Photo(np.full((300, 400, 3), 128, np.uint8))
    assert find_corners(flat, BOARD) is None
    assert find_corners(flat, Board("charuco", 5, 7, 1.0, 0.7)) is None
    with pytest.raises(StereoError, match="mirrored"):
        find_corners(replace(flat, exif={"orientation": 2}), BOARD)


def test_rendered_photos_give_the_camera(rendered):
    corners = [find_corners(Photo(picture), BOARD) for picture in rendered[1]]
    found = calibrate_camera(corners, BOARD, distortion=4)
    np.testing.assert_allclose(found.camera.K[[0, 1], [0, 1]], [380, 378], rtol=3e-3)
    np.testing.assert_allclose(found.camera.K[:2, 2], K[:2, 2], atol=1.0)
    # what it is for: rays. Against the true ones, to 0.15 px, where the boards were
    x = np.stack(np.meshgrid(np.linspace(60, 340, 8), np.linspace(50, 250, 6)), -1).reshape(-1, 2)
    assert rms_apart(found.camera.K, found.camera.dist, K, DIST, x) < 0.15
    for name, value in (("fx", 380), ("fy", 378)):
        assert abs(found.camera.K["fx fy".split().index(name), "fx fy".split().index(name)] - value) < 4 * max(
            found.sigma[name], 0.1
        )


def rms_apart(Ka, da, Kb, db, x) -> float:
    """px: how far apart two cameras see pixels x, after the rotation between them that fits best (no one sees it)."""
    a, b = (hom(undistort(x, *camera)) for camera in ((Ka, da), (Kb, db)))
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
    U, _, Vt = np.linalg.svd(b.T @ a)
    R = U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt
    return float(np.sqrt(np.mean(np.sum((a @ R.T - b) ** 2, 1))) * Kb[0, 0])


# ------------------------------------------------------------------------------------------ ChArUco


FINE_SIZE = (800, 600)  # markers have 7 x 7 fields, which must be seen
FINE_K = np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]]) @ K


def charuco_photo(board, R, t, seed=0) -> np.ndarray:
    drawn = cv2.aruco.CharucoBoard(
        (board.columns, board.rows),
        board.square,
        board.marker,
        cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_100),
    )
    px = 60  # of the drawing, a square
    texture = drawn.generateImage(outSize=(board.columns * px, board.rows * px), marginSize=0)
    X = plane_coordinates(R, t, FINE_K, DIST, FINE_SIZE, 2) / board.square + [1, 1]  # the first corner is one square in
    at = np.floor(X * px).astype(int)
    inside = (at >= 0).all(-1) & (at[..., 0] < texture.shape[1]) & (at[..., 1] < texture.shape[0])
    value = texture[np.clip(at[..., 1], 0, texture.shape[0] - 1), np.clip(at[..., 0], 0, texture.shape[1] - 1)]
    return darken(np.where(inside, 30 + value * (195 / 255), 225.0), 2, seed)


@pytest.fixture(scope="module")
def charuco():
    board = Board("charuco", 7, 5, 40.0, 24.0)
    placed = poses(board, count=7, tilt=0.5, seed=1, K=FINE_K, size=FINE_SIZE)
    return board, placed, [charuco_photo(board, R, t, i) for i, (R, t) in enumerate(placed)]


def test_charuco_boards_give_corners_and_camera(charuco):
    board, placed, pictures = charuco
    assert board.grid == (6, 4) and len(board.points) == 24
    seen = [find_corners(Photo(picture), board) for picture in pictures]
    assert all(c is not None for c in seen) and sum(len(c.ids) for c in seen) >= 0.9 * 24 * len(seen)
    off = [c.x - project(board.points[c.ids], FINE_K, R, t, DIST) for c, (R, t) in zip(seen, placed, strict=True)]
    assert np.sqrt(np.mean(np.sum(np.square(np.concatenate(off)), -1))) < 0.1
    found = calibrate_camera(seen, board, distortion=2)
    np.testing.assert_allclose(found.camera.K[[0, 1], [0, 1]], [760, 756], rtol=5e-3)


def test_a_charuco_board_half_out_of_sight(charuco):
    board, placed, pictures = charuco
    picture = pictures[0].copy()
    x = project(board.points, FINE_K, *placed[0], DIST)
    edge = int(np.median(x[:, 0]))
    picture[:, edge:] = 128
    part, whole = find_corners(Photo(picture), board), find_corners(Photo(pictures[0]), board)
    assert 6 <= len(part.ids) < len(whole.ids)
    np.testing.assert_allclose(part.x, x[part.ids], atol=0.6)


# ------------------------------------------------------------------------------------------ rigs


def rig_corners(board, placed, dist=DIST):
    left = exact(board, placed, dist=dist, name="left")
    right = exact(board, [(R12 @ R, R12 @ t + T12) for R, t in placed], dist=dist, name="right")
    return left, right, [(i, i) for i in range(len(placed))]


def assert_pose(found, degrees=0.005, share=1e-3):
    assert rotation_angle_deg(found.rig.R @ R12.T) < degrees
    np.testing.assert_allclose(found.rig.t, T12, atol=share * np.linalg.norm(T12))


def test_a_rig_is_found_with_its_error():
    placed = poses(second=(R12, T12))
    off, sigma = [], []
    for seed in range(8):
        left, right, pairs = rig_corners(BOARD, placed)
        rng = np.random.default_rng(seed)
        left, right = ([replace(c, x=c.x + rng.normal(0, 0.1, c.x.shape)) for c in side] for side in (left, right))
        found = calibrate_rig(left, right, pairs, BOARD, unit="mm", distortion=4)
        assert_pose(found, 0.5, 0.05)
        assert found.rig.unit == "mm" and len(found.pairs) == 12 and found.errors.shape == (12, 2)
        assert found.baseline == pytest.approx(np.linalg.norm(found.rig.t))
        off.append(found.baseline - np.linalg.norm(T12))
        sigma.append(found.sigma)
    assert np.sqrt(np.mean(np.square(off))) < 4 * np.mean(sigma) and np.mean(sigma) < 0.01 * np.linalg.norm(T12)


@pytest.mark.parametrize("count", [0, 2, 5, 8])
def test_a_rig_with_any_distortion(count):
    dist = np.array([-0.25, 0.08, 1e-3, -5e-4, 0.06, 0.1, -0.05, 0.03])[:count]
    left, right, pairs = rig_corners(BOARD, poses(second=(R12, T12), dist=dist), dist)
    found = calibrate_rig(left, right, pairs, BOARD, distortion=count)
    assert found.rms < 1e-3 and len(found.rig.cam2.dist) == count
    assert_pose(found, 0.05, 0.01)


@pytest.mark.parametrize("columns, rows", [(9, 7), (8, 6), (6, 6), (7, 7)])
def test_boards_that_look_alike_turned(columns, rows):
    """Each photo's corners counted from any end that the detector may have begun at."""
    board = Board("chessboard", columns, rows, 20.0)
    left, right, pairs = rig_corners(board, poses(board, second=(R12, T12)))
    rng = np.random.default_rng(1)
    for side in (left, right):
        for i, c in enumerate(side):
            turns = int(rng.integers(4)) if columns == rows else 2 * int(rng.integers(2))
            grid = np.rot90(c.x.reshape(rows, columns, 2), turns)
            side[i] = replace(c, x=grid.reshape(-1, 2))
    assert_pose(calibrate_rig(left, right, pairs, board, distortion=4))


def test_a_rig_whose_second_camera_hangs_upside_down():
    """Its photos say so in their EXIF: the file holds the cameras as their sensors stand, `fit_rig` turns them back."""
    board = Board("chessboard", 9, 7, 20.0)
    left, right, pairs = rig_corners(board, poses(board, second=(R12, T12)))
    A = turn_matrix(3, SIZE)
    right = [replace(c, x=(c.x - A[:2, 2]) @ A[:2, :2], orientation=3) for c in right]
    found = calibrate_rig(left, right, pairs, board, distortion=4)
    assert rotation_angle_deg(found.rig.R) > 170
    upright = fit_rig(found.rig, SIZE, SIZE, orientations=(1, 3))
    assert_pose(replace(found, rig=upright))
    np.testing.assert_allclose(upright.cam2.K, K, atol=1.5)


def test_a_wrong_pair_is_named_or_left_out():
    left, right, pairs = rig_corners(BOARD, poses(second=(R12, T12)))
    pairs[2] = (2, 5)
    with pytest.raises(StereoError, match="not of one rig.*left2.png, right5.png") as caught:
        calibrate_rig(left, right, pairs, BOARD, distortion=4)
    assert caught.value.code == "bad_calibration" and caught.value.numbers["rms"] > 3 * caught.value.numbers["alone"]
    found = calibrate_rig(left, right, pairs, BOARD, distortion=4, drop=True)
    assert ("left2.png", "right5.png") not in found.pairs and len(found.pairs) >= 3
    assert_pose(found)


def test_pairs_in_the_wrong_order_and_too_few_pairs():
    left, right, pairs = rig_corners(BOARD, poses(second=(R12, T12)))
    with pytest.raises(StereoError, match="not of one rig"):
        calibrate_rig(left, right[::-1], pairs, BOARD, distortion=4)
    with pytest.raises(StereoError, match="found in 2 pairs of photos, 3 are needed"):
        calibrate_rig(left, right, pairs[:2], BOARD, distortion=4)
    with pytest.raises(StereoError, match="^right camera: the board was found in 4 photos"):
        calibrate_rig(left, right[:4], pairs[:4], BOARD, distortion=4)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_photos_of_one_camera_twice_are_no_rig(noise):
    left, _, pairs = rig_corners(BOARD, poses(second=(R12, T12)))
    rng = np.random.default_rng(0)
    first, second = ([replace(c, x=c.x + rng.normal(0, noise, c.x.shape)) for c in left] for _ in range(2))
    with pytest.raises(StereoError, match="stand in one place") as caught:
        calibrate_rig(first, second, pairs, BOARD, unit="mm", distortion=4)
    assert caught.value.code == "bad_calibration" and caught.value.numbers["baseline"] < 1


# ------------------------------------------------------------------------------------------ names


def test_photos_are_paired_by_their_numbers_else_by_their_order():
    assert pair_by_name(["left01.jpg", "left02.jpg", "left04.jpg"], ["right02.jpg", "right04.jpg", "right05.jpg"]) == [
        (1, 0),
        (2, 1),
    ]
    assert pair_by_name(["a.jpg", "b.jpg"], ["c.jpg", "d.jpg"]) == [(0, 0), (1, 1)]
    assert pair_by_name(["x/1.jpg", "y/1.jpg"], ["x/2.jpg", "y/2.jpg"]) == [(0, 0), (1, 1)]
    assert pair_by_name(["cam0_7.jpg", "cam0_9.jpg"], ["cam1_9.jpg"]) == [(1, 0)]
    with pytest.raises(StereoError, match="2 left and 1 right") as caught:
        pair_by_name(["a.jpg", "b.jpg"], ["c.jpg"])
    assert caught.value.code == "bad_option"
    names = [f"l{i}.jpg" for i in range(4)], [f"r{i}.jpg" for i in range(4)]
    assert pair_by_name(*names, among=(["l0.jpg", "l3.jpg"], ["r1.jpg", "r3.jpg"])) == [(1, 1)]


def test_photos_by_name_folder_and_pattern(tmp_path):
    for name in ("b2.png", "b1.PNG", "notes.txt", "c.jpg"):
        (tmp_path / name).write_bytes(b"")
    assert [p.name for p in list_photos([tmp_path])] == ["b1.PNG", "b2.png", "c.jpg"]
    assert [p.name for p in list_photos([tmp_path / "c.jpg", tmp_path / "b*"])] == ["c.jpg", "b1.PNG", "b2.png"]
    assert list_photos([tmp_path / "none.jpg"]) == [tmp_path / "none.jpg"]
    (tmp_path / "empty").mkdir()
    for nothing in (tmp_path / "x*.jpg", tmp_path / "empty"):
        with pytest.raises(StereoError, match="no photos there"):
            list_photos([nothing])


@pytest.mark.parametrize(
    "wrong, words",
    [
        (dict(kind="circles", columns=9, rows=6), "no board 'circles'"),
        (dict(kind="chessboard", columns=2, rows=6), "2 columns"),
        (dict(kind="chessboard", columns=9, rows=6, square=0), "side 0"),
        (dict(kind="chessboard", columns=9.5, rows=6), "9.5 columns"),
        (dict(kind="chessboard", columns="9", rows=6), "9 columns"),
        (dict(kind="chessboard", columns=9, rows=6, square=np.nan), "side nan"),
        (dict(kind="chessboard", columns=9, rows=6, square="wide"), "side wide"),
        (dict(kind="charuco", columns=9, rows=6, marker="small"), "is small, of squares"),
        (dict(kind="charuco", columns=9, rows=6), "not given"),
        (dict(kind="charuco", columns=9, rows=6, marker=2.0), "is 2, of squares of 1"),
        (dict(kind="charuco", columns=9, rows=6, marker=0.5, dictionary="9X9"), "no dictionary"),
    ],
)
def test_boards_that_cannot_be(wrong, words):
    with pytest.raises(StereoError, match=words) as caught:
        Board(**wrong)
    assert caught.value.advice


def test_photos_of_two_sizes(tmp_path, rendered):
    Image.fromarray(rendered[1][0]).save(tmp_path / "a.png")
    Image.fromarray(rendered[1][1][:200]).save(tmp_path / "b.png")
    with pytest.raises(StereoError, match="b.png has 400 x 200 px, .*a.png 400 x 300") as caught:
        read_corners([tmp_path / "a.png", tmp_path / "b.png"], BOARD)
    assert caught.value.code == "size_mismatch"


# ------------------------------------------------------------------------------------------ the command


def test_the_command_writes_a_camera(folder, tmp_path, capsys):
    Image.fromarray(np.full((300, 400, 3), 90, np.uint8)).save(tmp_path / "empty.png")
    files = [tmp_path / "camera.json", tmp_path / "coverage.png", tmp_path / "all.json"]
    code = entry_point.main(
        [
            "calibrate",
            *map(str, sorted(folder.glob("left*.png"))),
            str(tmp_path / "empty.png"),
            "-o",
            str(files[0]),
            "--board",
            "9x6",
            "--coverage",
            str(files[1]),
            "--json",
            str(files[2]),
        ]
    )
    said = capsys.readouterr()
    assert code == 0 and "empty.png" in said.out and "left00.png: 0." in said.out and "12 photos" in said.out
    rig, facts = read_rig(files[0], (SIZE, SIZE)), json.loads(files[2].read_text(encoding="utf-8"))
    np.testing.assert_array_equal(rig.cam1.K, facts["K"])
    np.testing.assert_allclose(rig.cam1.K[[0, 1], [0, 1]], [380, 378], rtol=3e-3)
    assert np.array_equal(rig.cam2.K, rig.cam1.K) and not rig.posed
    assert facts["model"] == "brown" and [m["model"] for m in facts["models"]] == ["brown", "fisheye", "rational"]
    assert "model: brown, by the error on held-out corners" in said.out
    assert len(facts["photos"]) == 12 and facts["no_board"] == [str(tmp_path / "empty.png")]
    assert 0 < facts["standard_errors"]["fx"] < 2 and 0.2 < facts["coverage"] < 1
    with Image.open(files[1]) as picture:
        assert picture.size == (960, 720)


def test_the_command_writes_a_rig(folder, tmp_path, capsys):
    out = tmp_path / "rig.json"
    code = entry_point.main(
        [
            "calibrate",
            "--left",
            str(folder / "left*.png"),
            "--right",
            str(folder / "right*.png"),
            "-o",
            str(out),
            "--board",
            "9x6",
            "--square",
            "25",
            "--unit",
            "mm",
            "--coverage",
            str(tmp_path / "c.png"),
        ]
    )
    said = capsys.readouterr()
    assert code == 0 and "8 pairs" in said.out and " mm" in said.out
    rig = read_rig(out, (SIZE, SIZE))
    assert rig.unit == "mm" and rotation_angle_deg(rig.R @ R12.T) < 0.3
    np.testing.assert_allclose(rig.t, T12, atol=1.0)


@pytest.mark.parametrize(
    "args, code, words",
    [
        (["left00.png", "left01.png"], 4, "found in 2 photos, 5 are needed"),
        (["left0*.png", "--board", "5by6"], 2, "cannot be read"),
        (["left0*.png", "--unit", "mm"], 2, "needs --square"),
        (["--left", "left0*.png"], 2, "one camera has no photos"),
        ([], 2, "no photos are given"),
        (["left00.png", "--left", "left01.png", "--right", "right01.png"], 2, "left00.png is neither"),
        (["nothere.png"], 3, "nothere.png"),
        (["left0*.png", "-o", "camera.yml"], 2, ".yml is no format"),
        (["left0*.png", "-o", "left00.png"], 2, "written over the input"),
        (["left0*.png", "--kind", "charuco"], 2, "--marker"),
        (["left0*.png", "--distortion", "3"], 2, "not one of"),
        (["left0*.png", "--kind", "aprilgrid"], 2, "--spacing"),
        (["left0*.png", "--model", "fisheye", "--distortion", "5"], 2, "fisheye cannot have 5"),
        (["left0*.png", "--model", "omni"], 2, "not one of"),
    ],
)
def test_the_command_refuses(folder, monkeypatch, capsys, args, code, words):
    monkeypatch.chdir(folder)
    before = sorted(os.listdir(folder))
    full = [
        "calibrate",
        *([] if "--board" in args else ["--board", "9x6"]),
        *([] if "-o" in args else ["-o", "camera.json"]),
        *args,
    ]
    assert entry_point.main(full) == code
    said = capsys.readouterr()
    assert said.err.startswith("error: ") and words in said.err and said.err.count("\n") == 1
    assert sorted(os.listdir(folder)) == before


# ------------------------------------------------------------------------------------------ real photos


@pytest.mark.real_data
def test_opencvs_own_photos(shared_data):
    """Against OpenCV called live on the corners of its older detector, and the files it ships with the photos.

    The shipped cameras are two of the same lens; how far they are apart, as rays over the picture, is their own spread.
    """
    folder: Path = shared_data / "calibration/chessboard"
    groups = [list_photos([folder / f"{side}[01]*.jpg"]) for side in ("left", "right")]
    seen = [read_corners(group, BOARD) for group in groups]
    assert [len(corners) for corners, _ in seen] == [13, 13]
    pairs = pair_by_name(*groups, among=[[c.name for c in corners] for corners, _ in seen])
    assert len(pairs) == 13
    found = calibrate_rig(seen[0][0], seen[1][0], pairs, BOARD, unit="mm")
    shipped = read_rig(folder / "left_intrinsics.yml", ((640, 480),) * 2).cam1
    stereo = read_rig(folder / "intrinsics.yml", ((640, 480),) * 2)
    x = np.stack(np.meshgrid(np.linspace(120, 520, 9), np.linspace(90, 390, 7)), -1).reshape(-1, 2)
    spread = rms_apart(shipped.K, shipped.dist, stereo.cam1.K, stereo.cam1.dist, x)
    ours = found.left.camera
    assert rms_apart(ours.K, ours.dist, shipped.K, shipped.dist, x) < spread
    assert found.left.rms < 0.3926 and found.right.rms < 0.3926  # avg_reprojection_error of left_intrinsics.yml
    assert abs(ours.focal / shipped.focal - 1) < 0.01 and abs(ours.focal / stereo.cam1.focal - 1) < 0.01
    assert np.abs(ours.K[:2, 2] - shipped.K[:2, 2]).max() < 6.6  # px, the principal points of the two files
    for camera, paths in ((found.left, groups[0]), (found.right, groups[1])):
        points, corners = [], []
        for path in paths:
            grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            ok, at = cv2.findChessboardCorners(image=grey, patternSize=(9, 6))
            assert ok
            corners.append(
                cv2.cornerSubPix(image=grey, corners=at, winSize=(5, 5), zeroZone=(-1, -1), criteria=(3, 60, 1e-4))
            )
            points.append(BOARD.points.astype(np.float32))
        rms, matrix, dist, *_ = cv2.calibrateCamera(
            objectPoints=points,
            imagePoints=corners,
            imageSize=(640, 480),
            cameraMatrix=np.eye(3),
            distCoeffs=np.zeros(5),
        )
        assert camera.rms <= rms  # our corners fit a camera no worse than those
        assert rms_apart(camera.camera.K, camera.camera.dist, matrix, dist.ravel(), x) < 0.3
    assert found.rms < 0.25 and len(found.pairs) == 13 and not any("outlier" in f.code for f in found.findings)
    # the squares were 25 mm in OpenCV's file; the boards then stood where it says, in its metres
    storage = cv2.FileStorage(str(folder / "left_intrinsics.yml"), cv2.FILE_STORAGE_READ)
    said = storage.getNode("extrinsic_parameters").mat()
    storage.release()
    distance = np.linalg.norm(said[:, 3:], axis=1) * 1000
    np.testing.assert_allclose(np.linalg.norm(found.left.t, axis=1), distance, rtol=0.35)
    facts = measured(found)
    assert len(facts["pairs"]) == 13 and facts["baseline"] == pytest.approx(np.linalg.norm(facts["t"]))
    assert describe_module.describe(found)[-1].startswith("rig: baseline 83.")
