"""Calibration of fisheyes and the choice of the lens model: exact corners, rendered boards, OpenCV called live."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from stereo3d.cameras import read_rig
from stereo3d.cameras.chessboard import Board, Corners, calibrate_camera, calibrate_rig, find_corners
from stereo3d.cameras.chessboard.describe import describe, measured
from stereo3d.cameras.chessboard.fisheye import fit_fisheye
from stereo3d.cameras.chessboard.pair_poses import fit_pair_poses
from stereo3d.cameras.chessboard.poses import camera_pixels
from stereo3d.cameras.chessboard.selection import ModelError, choose_model, held_out_errors, model_errors
from stereo3d.cameras.chessboard.solve import solve_pinhole
from stereo3d.cameras.chessboard.starts import ModelFits, pinhole_of_fisheye
from stereo3d.cameras.targets import find_targets, parse_board
from stereo3d.cameras.write import write_camera, write_rig
from stereo3d.cli import entry_point
from stereo3d.errors import StereoError
from stereo3d.geometry import rotation_angle_deg, rotation_from_vector
from stereo3d.geometry.wide_lenses import LENSES, fisheye_slopes, project_fisheye
from stereo3d.records import Camera, Photo, Rig, WideLens

SIZE = (480, 360)
BOARD = Board("chessboard", 9, 6, 25.0)


def fisheye(f: float, k=(0.02, -0.005, 0.001, -0.0001), size=SIZE) -> Camera:
    K = np.array([[f, 0, size[0] / 2 + 3.3], [0, 1.002 * f, size[1] / 2 - 2.7], [0, 0, 1]])
    return Camera(K, size, lens=WideLens("fisheye", tuple(k)))


def facing(camera: Camera, count: int, seed: int, *, board=BOARD, half=(0.4, 0.8), second=None) -> list:
    """R, t of boards anywhere in the picture that face the camera, tilted; half: rad, of the board as seen."""
    rng, found = np.random.default_rng(seed), []
    border = np.array([[x, y, 0] for x in (-1, board.grid[0]) for y in (-1, board.grid[1])]) * board.square
    middle, diagonal = board.points.mean(0), np.linalg.norm(np.ptp(board.points, axis=0))
    for _ in range(20000):
        if len(found) == count:
            return found
        d = camera.rays_from_pixels(rng.uniform(0, camera.size))
        if not np.isfinite(d).all():
            continue
        axis = np.cross([0, 0, 1], d)
        to_d = rotation_from_vector(axis / np.linalg.norm(axis) * np.arctan2(np.linalg.norm(axis), d[2]))
        R = (
            to_d
            @ rotation_from_vector([*rng.uniform(-0.6, 0.6, 2), 0])
            @ rotation_from_vector([0, 0, rng.normal(0, 0.3)])
        )
        t = d * diagonal / (2 * np.tan(rng.uniform(*half))) - R @ middle
        poses = (
            [(camera, R, t)]
            if second is None
            else [(camera, R, t), (second[0], second[1] @ R, second[1] @ t + second[2])]
        )
        shown = [camera_pixels(c, border @ Ri.T + ti) for c, Ri, ti in poses]
        if all((x > 3).all() and (x < np.array(camera.size) - 4).all() for x in shown):
            found.append((R, t))
    raise AssertionError(f"{len(found)} of {count} boards fit into the picture")


def corners_of(
    camera: Camera, placed: list, noise: float = 0.0, seed: int = 0, board=BOARD, name="photo"
) -> list[Corners]:
    rng, ids = np.random.default_rng(seed), np.arange(len(board.points))
    return [
        Corners(
            f"{name}{i}.png",
            ids,
            camera_pixels(camera, board.points @ R.T + t) + rng.normal(0, noise, (len(ids), 2)),
            camera.size,
        )
        for i, (R, t) in enumerate(placed)
    ]


def numbers(camera: Camera) -> np.ndarray:
    return np.array([camera.K[0, 0], camera.K[1, 1], camera.K[0, 2], camera.K[1, 2], *camera.lens.coefficients])


# ------------------------------------------------------------------------------------------ the fisheye's solver


def test_slopes_of_a_fisheye_are_those_of_finite_differences():
    rng, k, h = np.random.default_rng(0), np.array([0.03, -0.01, 0.002, -0.0003]), 1e-6
    X = rng.normal(0, 1, (200, 3)) + [0, 0, 0.5]
    X = X[np.arctan2(np.hypot(X[:, 0], X[:, 1]), X[:, 2]) < 1.8]
    m, by_X, by_k = fisheye_slopes(X, k)
    assert (X[:, 2] < 0).any() and np.abs(m - project_fisheye(X, k)).max() < 1e-12
    for axis in range(3):
        step = h * np.eye(3)[axis]
        slope = (project_fisheye(X + step, k) - project_fisheye(X - step, k)) / (2 * h)
        np.testing.assert_allclose(by_X[..., axis], slope, rtol=1e-4, atol=1e-6)
    for i in range(4):
        step = h * np.eye(4)[i]
        slope = (project_fisheye(X, k + step) - project_fisheye(X, k - step)) / (2 * h)
        np.testing.assert_allclose(by_k[..., i], slope, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("f, angle", [(135.0, 82), (180.0, 68), (300.0, 40), (900.0, 11)])  # degrees off the axis
def test_exact_corners_give_the_fisheye_of_any_field_of_view(f, angle):
    camera = fisheye(f)
    half = (0.4, 0.8) if f < 500 else (0.1, 0.2)
    placed = facing(camera, 12, 1, half=half)
    fit = fit_fisheye(corners_of(camera, placed), BOARD)
    assert fit.rms < 1e-7
    X = np.concatenate([BOARD.points @ R.T + t for R, t in placed])
    widest = np.degrees(np.arctan2(np.hypot(X[:, 0], X[:, 1]), X[:, 2]).max())
    assert widest > angle
    np.testing.assert_allclose(numbers(fit.camera)[:4], numbers(camera)[:4], atol=1e-4 if f < 500 else 0.1)
    if f < 500:
        np.testing.assert_allclose(fit.camera.lens.coefficients, camera.lens.coefficients, atol=1e-5)
    for (R, t), R_, t_ in zip(placed, fit.R, fit.t, strict=True):
        assert rotation_angle_deg(R_ @ R.T) < 0.01 and np.linalg.norm(t_ - t) < 1e-3 * np.linalg.norm(t)


def test_the_same_corners_give_no_worse_a_fisheye_than_opencv():
    camera = fisheye(230.0)  # 120 degrees across: OpenCV's start fails on wider ones
    corners = corners_of(camera, facing(camera, 12, 2), noise=0.2)
    ours = fit_fisheye(corners, BOARD)
    owner = cv2.fisheye if hasattr(cv2.fisheye, "CALIB_FIX_SKEW") else cv2  # of OpenCV 4, of OpenCV 5
    flags = owner.CALIB_RECOMPUTE_EXTRINSIC | owner.CALIB_FIX_SKEW | owner.CALIB_USE_INTRINSIC_GUESS
    K = np.array([[200.0, 0, SIZE[0] / 2], [0, 200, SIZE[1] / 2], [0, 0, 1]])
    rms, K, D, _, _ = cv2.fisheye.calibrate(
        objectPoints=[BOARD.points[None]] * len(corners),
        imagePoints=[c.x[None] for c in corners],
        image_size=SIZE,
        K=K,
        D=np.zeros(4),
        flags=flags,
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-12),
    )
    assert ours.rms <= rms * (1 + 1e-9)
    np.testing.assert_allclose(ours.camera.K, K, atol=0.05)
    np.testing.assert_allclose(ours.camera.lens.coefficients, D.ravel(), atol=2e-3)


def test_standard_errors_of_a_fisheye_are_those_of_repeated_trials():
    camera = fisheye(160.0)
    placed = facing(camera, 10, 3)
    off, sigma = [], []
    for seed in range(8):
        found = calibrate_camera(corners_of(camera, placed, 0.15, seed), BOARD, model="fisheye")
        off.append(numbers(found.camera) - numbers(camera))
        sigma.append(list(found.sigma.values()))
        assert list(found.sigma) == ["fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4"] and found.model == "fisheye"
    # 8 trials know a standard deviation to 1 / sqrt(16) = 25 %: three of that
    ratio = np.sqrt(np.mean(np.square(off), 0)) / np.mean(sigma, 0)
    np.testing.assert_allclose(ratio, 1, atol=0.75)


def test_corners_of_no_lens_are_refused():
    rng = np.random.default_rng(0)
    nonsense = [Corners(f"{i}", np.arange(54), rng.uniform(0, 300, (54, 2)), SIZE) for i in range(6)]
    with pytest.raises(StereoError) as caught:
        calibrate_camera(nonsense, BOARD, model="fisheye")
    assert caught.value.code == "bad_calibration"


# ------------------------------------------------------------------------------------------ rigs and files


R12, T12 = rotation_from_vector([0.02, -0.1, 0.03]), np.array([-80.0, 2.0, 5.0])


def test_a_rig_of_a_fisheye_and_a_pinhole(tmp_path):
    left, right = (
        fisheye(180.0),
        Camera(np.array([[300.0, 0, 240], [0, 300, 180], [0, 0, 1]]), SIZE, [-0.1, 0.02, 0, 0]),
    )
    placed = facing(left, 10, 4, half=(0.25, 0.4), second=(right, R12, T12))
    first = corners_of(left, placed, name="left")
    second = corners_of(right, [(R12 @ R, R12 @ t + T12) for R, t in placed], name="right")
    wide = corners_of(left, facing(left, 8, 5), name="wide")
    pairs = [(i, i) for i in range(len(placed))]
    found = [
        calibrate_rig(first + wide, second, pairs, BOARD, unit="mm", model="fisheye"),
        calibrate_rig(second, first + wide, pairs, BOARD, unit="mm", model="fisheye"),
    ]
    for rig, R, t in zip((f.rig for f in found), (R12, R12.T), (T12, -R12.T @ T12), strict=True):
        assert rotation_angle_deg(rig.R @ R.T) < 0.05 and np.linalg.norm(rig.t - t) < 0.2
    again = read_rig(write_rig(tmp_path / "rig.json", found[0].rig))
    for camera, same in ((found[0].rig.cam1, again.cam1), (found[0].rig.cam2, again.cam2)):
        assert same.lens == camera.lens and np.array_equal(same.K, camera.K) and same.size == camera.size
    assert "model" in measured(found[0])["left"] and found[0].rms < 0.01


def test_the_pose_of_a_rig_is_that_of_opencv():
    left = Camera(np.array([[300.0, 0, 238], [0, 301, 181], [0, 0, 1]]), SIZE, [-0.1, 0.02, 1e-3, 0])
    right = replace(left, dist=np.array([-0.2, 0.05, 0, 1e-3]))
    placed = facing(left, 6, 6, half=(0.25, 0.4), second=(right, R12, T12))
    first = corners_of(left, placed, 0.2, 1)
    second = corners_of(right, [(R12 @ R, R12 @ t + T12) for R, t in placed], 0.2, 2)
    rms, *_, R, t, _, _ = cv2.stereoCalibrate(
        objectPoints=[BOARD.points.astype(np.float32)] * 6,
        imagePoints1=[c.x.astype(np.float32) for c in first],
        imagePoints2=[c.x.astype(np.float32) for c in second],
        cameraMatrix1=left.K.copy(),
        distCoeffs1=left.dist.copy(),
        cameraMatrix2=right.K.copy(),
        distCoeffs2=right.dist.copy(),
        imageSize=SIZE,
        flags=cv2.CALIB_FIX_INTRINSIC,
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-12),
    )
    boards = ([(BOARD.points, c.x) for c in side] for side in (first, second))
    ours, R_, t_, errors = fit_pair_poses(*boards, (left, right))
    assert ours == pytest.approx(rms, rel=1e-5) and errors.shape == (6, 2)
    assert rotation_angle_deg(R_ @ R.T) < 1e-3 and np.linalg.norm(t_ - t.ravel()) < 1e-3


@pytest.mark.parametrize("model", LENSES)
def test_a_written_camera_with_a_wide_lens_reads_back_the_same(tmp_path, model):
    coefficients = {"fisheye": (0.1, -0.02, 0.003, 0.1), "double_sphere": (-0.2, 0.55), "eucm": (0.6, 1.1)}
    coefficients["omnidir"] = (1.1, -0.2, 0.03, 0.001, -0.002)
    camera = replace(fisheye(200.0), lens=WideLens(model, coefficients.get(model, ())))
    plain = Camera(camera.K, SIZE, [-0.1, 0.02, 0, 0])
    both = read_rig(write_camera(tmp_path / "camera.json", camera))
    assert both.cam1.lens == both.cam2.lens == camera.lens and np.array_equal(both.cam1.K, camera.K)
    for cams in ((camera, plain), (plain, camera)):
        again = read_rig(write_rig(tmp_path / "rig.json", Rig(*cams, R12, T12, "mm")))
        assert (again.cam1.lens, again.cam2.lens) == (cams[0].lens, cams[1].lens)
        assert np.array_equal(again.cam1.dist, cams[0].dist) and np.array_equal(again.cam2.dist, cams[1].dist)


# ------------------------------------------------------------------------------------------ the choice


def test_the_simplest_model_within_one_standard_error():
    def chosen(*errors):
        return choose_model([ModelError(name, *e) for name, e in zip("abc", errors, strict=True)])

    assert chosen((0.30, 0.01), (0.20, 0.0), (0.21, 0.02)) == "b"
    assert chosen((0.209, 0.01), (0.20, 0.0), (0.21, 0.02)) == "a"  # within its standard error
    assert chosen((0.2019, 0.0001), (0.20, 0.0), (0.21, 0.02)) == "a"  # within 1 %
    assert chosen((None, None), (0.21, 0.001), (0.20, 0.0)) == "c"
    assert chosen(*[(None, None)] * 3) is None


def test_errors_of_models_are_compared_photo_by_photo():
    one = np.array([0.1, 0.2, 0.4, 0.8])
    a, b, c = model_errors("abc", {"a": 1.1 * one, "b": one, "c": one * [1, 1, 1, np.inf]}, {})
    assert b.error == pytest.approx(0.2 * np.sqrt(2)) and b.sigma == 0 and a.error == pytest.approx(1.1 * b.error)
    assert a.sigma == pytest.approx(0, abs=1e-12)  # each photo is worse by the same share
    assert c.error is None and "1 held-out" in c.reason
    [few] = model_errors("a", {"a": np.array([0.1, np.nan, 0.2])}, {})
    assert few.error is None and "2 photos" in few.reason


def test_held_out_errors_of_the_true_camera_are_the_noise_of_the_corners():
    camera = fisheye(170.0)
    placed = facing(camera, 8, 7)
    corners = corners_of(camera, placed, noise=0.1)
    poses = np.stack([R for R, _ in placed]), np.stack([t for _, t in placed])
    seen = []

    def fit(some):
        seen.append(len(some))
        return camera

    errors = held_out_errors(corners, BOARD, fit, poses)
    assert seen == [7] * 8  # each photo is left out once
    # 27 corners determine 6 numbers: of 54 measured ones, hidden corners are off by the noise and that of the pose
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(0.1 * np.sqrt(2) * np.sqrt(1 + 6 / 54), rel=0.1)
    wrong = held_out_errors(
        corners, BOARD, lambda some: replace(camera, lens=WideLens("fisheye", (-0.1, 0, 0, 0))), poses
    )
    assert np.median(wrong / errors) > 2


def test_corners_beyond_the_reach_of_the_other_photos_are_not_measured():
    camera = fisheye(170.0)
    placed = facing(camera, 8, 7)
    corners = corners_of(camera, placed, noise=0.1)
    poses = np.stack([R for R, _ in placed]), np.stack([t for _, t in placed])
    centre = camera.K[:2, 2]
    radius = [np.linalg.norm(c.x - centre, axis=1) for c in corners]
    outermost = int(np.argmax([r.max() for r in radius]))
    reach = max(r.max() for i, r in enumerate(radius) if i != outermost)
    beyond = radius[outermost] > reach
    assert 0 < beyond.sum() < 20
    x = corners[outermost].x.copy()
    x[beyond] += 0.2 * (x[beyond] - centre)  # farther out: a model that is wrong there
    moved = [replace(c, x=x) if i == outermost else c for i, c in enumerate(corners)]
    errors = [held_out_errors(some, BOARD, lambda _: camera, poses) for some in (corners, moved)]
    assert np.isfinite(errors[0]).all()
    np.testing.assert_array_equal(*errors)


def lens_of(kind: str) -> Camera:
    if kind == "fisheye":
        return fisheye(165.0)
    f = {"brown": 400.0, "rational": 210.0}[kind]
    K = np.array([[f, 0, 243.0], [0, f * 1.001, 177], [0, 0, 1]])
    dist = {"brown": [-0.25, 0.08, 1e-3, -5e-4], "rational": [0.85, 0.13, -1.5e-3, 1e-3, 0.002, 1.2, 0.34, 0.018]}
    return Camera(K, SIZE, dist[kind])


@pytest.mark.parametrize("kind", ["brown", "rational", "fisheye"])
def test_the_true_model_is_chosen(kind):
    camera = lens_of(kind)
    half = (0.2, 0.35) if kind == "brown" else (0.4, 0.8)
    corners = corners_of(camera, facing(camera, 12, 8, half=half), noise=0.15)
    found = calibrate_camera(corners, BOARD)
    assert found.model == kind and {m.model for m in found.models} == {"brown", "rational", "fisheye"}
    facts, lines = measured(found), describe(found)
    assert facts["model"] == kind and [m["model"] for m in facts["models"]] == [m.model for m in found.models]
    [line] = [line for line in lines if line.startswith("model: ")]
    assert kind in line and "rational" in line and "fisheye" in line
    given = calibrate_camera(corners, BOARD, model=kind)
    assert given.models == []
    np.testing.assert_allclose(given.camera.K, found.camera.K, rtol=1e-6)


def test_a_rational_lens_is_found_where_the_start_of_opencv_leads_to_another_minimum():
    lens = lens_of("rational")
    lens = replace(lens, K=np.array([[180.0, 0, 243], [0, 180.0, 177], [0, 0, 1]]))  # 106 degrees across
    corners = corners_of(lens, facing(lens, 8, 9, half=(0.4, 0.7)), noise=0.15)
    assert solve_pinhole(corners, BOARD, 8).rms > 1
    found = ModelFits(corners, BOARD).of("rational")
    assert found.rms < 1.05 * 0.15 * np.sqrt(2)
    assert found.camera.focal == pytest.approx(180, rel=0.01)


def test_a_pinhole_follows_the_curve_of_a_fisheye():
    lens = fisheye(280.0)
    corners = corners_of(lens, facing(lens, 4, 1, half=(0.3, 0.5)))
    x = np.concatenate([c.x for c in corners])
    rays = lens.rays_from_pixels(x)
    assert np.arccos(rays[:, 2]).max() > np.radians(40)
    for count, off in ((5, 1.0), (8, 0.01)):
        pinhole = pinhole_of_fisheye(lens, corners, count)
        assert len(pinhole.dist) == count and not pinhole.dist[2:4].any()
        assert np.abs(pinhole.pixels_from_rays(rays) - x).max() < off


def test_a_model_that_does_not_fit_says_so_twice_and_is_fitted_once(monkeypatch):
    calls = []

    def refuse(*_):
        calls.append(1)
        raise StereoError("bad_calibration", "no fisheye fits.", "Take others.")

    monkeypatch.setattr("stereo3d.cameras.chessboard.starts.solve_fisheye", refuse)
    fits = ModelFits([], BOARD)
    for _ in range(2):
        with pytest.raises(StereoError, match="no fisheye fits"):
            fits.of("fisheye")
    assert len(calls) == 1


@pytest.mark.parametrize(
    "given",
    [dict(model="fisheye", distortion=5), dict(model="brown", distortion=8), dict(model="rational", distortion=4)],
)
def test_a_model_that_contradicts_its_number_of_coefficients(given):
    with pytest.raises(StereoError, match=f"{given['model']} cannot have {given['distortion']}") as caught:
        calibrate_camera([], BOARD, **given)
    assert caught.value.code == "bad_option"


# ------------------------------------------------------------------------------------------ rendered boards


def rays_of_samples(camera: Camera, samples: int) -> np.ndarray:
    """(h s, w s, 3) directions of the samples of each pixel, by a table of the radius: no code that is tested here."""
    grid = [(np.arange(n * samples) + 0.5) / samples - 0.5 for n in camera.size]
    x = np.stack(np.meshgrid(*grid), -1)
    if camera.lens is None:
        y = cv2.undistortPoints(src=x.reshape(-1, 1, 2), cameraMatrix=camera.K, distCoeffs=camera.dist)
        return np.concatenate([y.reshape(x.shape), np.ones((*x.shape[:2], 1))], -1)
    m = (x - camera.K[:2, 2]) / np.diag(camera.K)[:2]
    theta = np.linspace(0, 1.8, 20001)
    k1, k2, k3, k4 = camera.lens.coefficients
    radius = theta * (1 + k1 * theta**2 + k2 * theta**4 + k3 * theta**6 + k4 * theta**8)
    r = np.linalg.norm(m, axis=-1)
    angle = np.interp(r, radius, theta)
    return np.concatenate([m * (np.sin(angle) / np.maximum(r, 1e-9))[..., None], np.cos(angle)[..., None]], -1)


def plane_picture(rays: np.ndarray, R, t, paint, samples: int, seed: int) -> np.ndarray:
    """(H, W, 3) uint8: paint(x, y) of the plane's coordinates in front of the camera, blurred, with noise."""
    d = rays @ np.linalg.inv(np.stack([R[:, 0], R[:, 1], t], 1)).T
    front = d[..., 2] > 1e-9
    X = d[..., :2] / np.where(front, d[..., 2], 1)[..., None]
    value = np.where(front, paint(X[..., 0], X[..., 1]), 110.0)
    h, w = value.shape[0] // samples, value.shape[1] // samples
    grey = cv2.GaussianBlur(src=value.reshape(h, samples, w, samples).mean((1, 3)), ksize=(0, 0), sigmaX=0.6)
    grey = np.rint(grey + np.random.default_rng(seed).normal(0, 2, grey.shape))
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2)


def chessboard(x, y):
    u, v = x / BOARD.square, y / BOARD.square
    columns, rows = BOARD.grid
    inside = (u > -1) & (u < columns) & (v > -1) & (v < rows)
    paper = (u > -2) & (u < columns + 1) & (v > -2) & (v < rows + 1)
    dark = inside & ((np.floor(u) + np.floor(v)) % 2 == 0)
    return np.where(dark, 30.0, np.where(paper, 225.0, 110.0))


@pytest.mark.parametrize("kind", ["rational", "fisheye"])  # brown: test_chessboard.py
def test_the_command_finds_the_model_of_rendered_boards(kind, tmp_path, capsys):
    """A fisheye of 170 degrees, and a rational lens of 90: K, distortion and what they are for, rays."""
    camera = lens_of(kind)
    rays = rays_of_samples(camera, 2)
    placed = facing(camera, 16, 10, half=(0.45, 0.7))
    for i, (R, t) in enumerate(placed):
        Image.fromarray(plane_picture(rays, R, t, chessboard, 2, i)).save(tmp_path / f"{i:02}.png")
    out, facts = tmp_path / "camera.json", tmp_path / "facts.json"
    args = ["calibrate", str(tmp_path / "[01]*.png"), "-o", str(out), "--board", "9x6", "--json", str(facts)]
    assert entry_point.main(args) == 0
    said = capsys.readouterr().out
    assert f"model: {kind}, by the error on held-out corners" in said
    facts = json.loads(facts.read_text(encoding="utf-8"))
    assert facts["model"] == kind and {m["model"] for m in facts["models"]} == {"brown", "rational", "fisheye"}
    found = read_rig(out, (SIZE, SIZE)).cam1
    sigma = list(facts["standard_errors"].values())
    if kind == "fisheye":
        assert found.lens.model == "fisheye" and len(facts["photos"]) >= 10
        assert (np.abs(numbers(found) - numbers(camera)) < 4 * np.array(sigma)).all()
    else:
        assert len(found.dist) == 8
    used = [placed[int(name.removesuffix(".png")[-2:])] for name in facts["photos"]]
    x = np.concatenate([camera_pixels(camera, BOARD.points[::6] @ R.T + t) for R, t in used])
    a, b = found.rays_from_pixels(x), camera.rays_from_pixels(x)
    known = np.isfinite(a).all(1)
    a, b = a[known], b[known]
    assert known.mean() > 0.97
    U, _, Vt = np.linalg.svd(b.T @ a)
    off = np.linalg.norm(a @ (U @ Vt).T - b, axis=1) * camera.K[0, 0]
    # px, where boards were, after the rotation that no board shows; 8 coefficients are loose at the outermost corners
    share = {"fisheye": 99, "rational": 75}[kind]
    assert np.percentile(off, share) < 0.3, np.percentile(off, [25, 50, 75, 90, 99])


# ------------------------------------------------------------------------------------------ AprilGrid


def kalibr_texture(columns: int, rows: int, spacing: float, border: int, quarter: int, px: int = 80):
    """The picture of a board as Kalibr prints it, and the place (px) of the upper left corner of its first tag."""
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_APRILTAG_36h11)
    gap = round(spacing * px)
    picture = np.full(((rows + 1) * (px + gap) + 2 * gap, (columns + 1) * (px + gap) + 2 * gap), 255, np.uint8)
    first = 2 * gap
    for row in range(rows):
        for column in range(columns):
            number = (rows - 1 - row) * columns + column  # from the lower left
            tag = cv2.aruco.generateImageMarker(dictionary, number, 8 * (6 + 2 * border), borderBits=border)
            x, y = first + column * (px + gap), first + row * (px + gap)
            tag = cv2.resize(np.rot90(tag, quarter), (px, px), interpolation=cv2.INTER_AREA)
            picture[y : y + px, x : x + px] = tag
    for row in range(rows + 1):
        for column in range(columns + 1):
            x, y = first + column * (px + gap) - gap, first + row * (px + gap) - gap
            picture[y : y + gap, x : x + gap] = 0
    return picture, first


def aprilgrid_photo(camera, board, R, t, rays, *, border=2, quarter=2, seed=0):
    px = 80
    texture, first = kalibr_texture(board.columns, board.rows, board.spacing, border, quarter, px)

    def paint(x, y):
        u, v = (c / board.square * px + first - 0.5 for c in (x, y))
        maps = (np.clip(c, -1e4, 1e4).astype(np.float32) for c in (u, v))
        grey = cv2.remap(texture, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=110)
        return 30 + 0.75 * grey

    return plane_picture(rays, R, t, paint, 2, seed)


GRID = Board("aprilgrid", 5, 4, 0.088, spacing=0.3)


def test_corners_of_an_aprilgrid_by_hand():
    assert GRID.grid == (10, 8) and len(GRID.points) == 80
    np.testing.assert_allclose(GRID.points[:4, 0], [0, 0.088, 0.1144, 0.2024])
    np.testing.assert_allclose(GRID.points[10], [0, 0.088, 0])
    np.testing.assert_allclose(GRID.points[-1], [4 * 0.1144 + 0.088, 3 * 0.1144 + 0.088, 0])


@pytest.mark.parametrize("border, quarter", [(2, 2), (1, 0), (2, 1)])  # Kalibr's first
@pytest.mark.parametrize("kind", ["brown", "fisheye"])
def test_an_aprilgrid_gives_its_corners_in_order(kind, border, quarter):
    size = (640, 480)
    camera = fisheye(240.0, size=size)
    if kind == "brown":
        camera = Camera(np.array([[500.0, 0, 322], [0, 500, 238], [0, 0, 1]]), size, [-0.2, 0.05, 1e-3, 0])
    rays = rays_of_samples(camera, 2)
    [(R, t)] = facing(camera, 1, 11 + quarter, board=GRID, half=(0.3, 0.36) if kind == "brown" else (0.45, 0.55))
    turn = rotation_from_vector([0, 0, quarter * 1.3])  # the photo held anyhow
    middle = GRID.points.mean(0)
    R, t = R @ turn, t + R @ middle - R @ turn @ middle
    photo = Photo(aprilgrid_photo(camera, GRID, R, t, rays, border=border, quarter=quarter))
    corners = find_corners(photo, GRID)
    x = camera_pixels(camera, GRID.points @ R.T + t)
    inside = ((x > 3) & (x < np.array(size) - 4)).all(1).sum()
    off = np.linalg.norm(corners.x - x[corners.ids], axis=1)
    assert len(corners.ids) > (0.75 if kind == "brown" else 0.4) * inside
    assert np.sqrt(np.mean(off**2)) < 0.15 and off.max() < 1.1
    if (border, kind) == (2, "brown"):
        assert find_corners(photo, replace(GRID, columns=4, rows=5)) is None  # another layout of as many tags


@pytest.mark.parametrize(
    "given, words",
    [
        (dict(), "not given"),
        (dict(spacing=0), "is 0"),
        (dict(spacing=np.nan), "is nan"),
        (dict(spacing=0.3, columns=30, rows=30), "30 x 30 tags has more than"),
        (dict(spacing=0.3, columns=0), "0 columns"),
    ],
)
def test_aprilgrids_that_cannot_be(given, words):
    with pytest.raises(StereoError, match=words) as caught:
        Board(**{"kind": "aprilgrid", "columns": 6, "rows": 6, **given})
    assert caught.value.advice


def test_an_aprilgrid_is_found_in_both_photos_of_a_pair():
    """Its corners, each in both photos; that corners give the scale is tested with a chessboard and a ChArUco board."""
    camera = Camera(np.array([[620.0, 0, 322], [0, 620, 238], [0, 0, 1]]), (640, 480))
    rays = rays_of_samples(camera, 2)
    R1, X1 = rotation_from_vector(np.radians([20, -12, 5])), np.array([-0.2, -0.16, 0.85])
    R, t = rotation_from_vector(np.radians([3, -8, 20])), np.array([0.1, -0.07, 0.07])
    board = parse_board("5x4:0.088:0.3:aprilgrid")
    poses = [(R1, X1), (R @ R1, R @ X1 + t)]
    photos = [Photo(aprilgrid_photo(camera, board, Rk, Xk, rays, seed=k)) for k, (Rk, Xk) in enumerate(poses)]
    (target,) = find_targets(*photos, board=board)
    assert len(target.points) > 40 and target.name == "aprilgrid 5x4"
    for x, (Rk, Xk) in zip((target.x1, target.x2), poses, strict=True):
        assert np.abs(x - camera_pixels(camera, target.points @ Rk.T + Xk)).max() < 0.5
