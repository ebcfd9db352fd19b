"""sigma against observed errors: of a disparity, and of the pose's part in a point."""

from dataclasses import replace

import numpy as np
import pytest

from stereo3d import synthetic
from stereo3d.disparity import compute_disparities, uncertainty
from stereo3d.disparity.fusion import fuse
from stereo3d.disparity.one_view import OneViewThresholds
from stereo3d.disparity.refinement import Comparison, image_step, residuals
from stereo3d.geometry import hom, intersect_rays, rotation_from_vector, undistort
from stereo3d.records import RectifiedPair, TwoView
from stereo3d.synthetic import matches
from stereo3d.triangulation import along_the_ray


def identity(picture) -> np.ndarray:
    """The map of a rectified picture (H,W,3) that is the photo itself, (H,W,2) f32."""
    height, width = picture.shape[:2]
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)


def within(left, right, truth, method="planes", step=0.0) -> float:
    """Share of the fused disparities of a rectified pair that are off by no more than their sigma; where the truth is
    in steps (px), than theirs and its own together, after the median offset."""
    d_range = np.floor(np.nanmin(truth)) - 2, np.ceil(np.nanmax(truth)) + 2
    maps = compute_disparities(RectifiedPair(left, right, identity(left), identity(left)), d_range, method=method)
    fused, _ = fuse(*maps)
    off = fused.disparity - truth
    known = np.isfinite(off)
    assert known.mean() > 0.5 * np.isfinite(truth).mean()
    off, sigma = off[known], np.hypot(fused.sigma[known], step / np.sqrt(12))
    return float(np.mean(np.abs(off - np.median(off) if step else off) <= sigma))


@pytest.mark.parametrize(
    "scene, noise",
    [("slanted", 2.0), ("sphere", 2.0), ("sphere", 6.0), ("bars", 2.0), ("still_life", 1.0), ("still_life", 3.0)],
)
def test_two_thirds_lie_within_sigma(scene, noise):
    """Whatever the scene, occlusions and thin things included, and the noise: 68 %, to 8."""
    pair = synthetic.render(scene, size=(320, 240), pose="rectified", noise=noise, supersample=2, seed=7)
    assert within(pair.left.pixels, pair.right.pixels, pair.disparity_left) == pytest.approx(0.68, abs=0.08)


@pytest.mark.real_data
@pytest.mark.parametrize("scene, step", [("eth3d_terrace", 0), ("Wood1", 1 / 3)])
def test_two_thirds_lie_within_sigma_of_measured_truth(shared_data, scene, step):
    """A laser's, and one in steps of a third of a pixel, offset by 0.1 px from the pictures. Both have errors
    of their own, so that a few more lie outside."""
    from stereo3d.evaluation.disparity import read_scene

    scene = read_scene(shared_data / "disparity" / scene)
    assert 0.57 < within(scene.left, scene.right, scene.truth, step=step) < 0.76


@pytest.mark.real_data
def test_what_one_photo_alone_shows_is_mostly_right(shared_data):
    """Every third of the 17 scenes together: 88 % within 1 px, and 68 %, to 8, within the sigma of such pixels."""
    from stereo3d.evaluation.disparity import read_scene

    errors = []
    for path in sorted((shared_data / "disparity").glob("*/pair.json"))[::3]:
        scene = read_scene(path.parent)
        pair = RectifiedPair(scene.left, scene.right, identity(scene.left), identity(scene.left))
        found, _ = compute_disparities(pair, (0, float(np.ceil(np.nanmax(scene.truth)))))
        alone = (found.sigma == np.float32(OneViewThresholds().sigma)) & np.isfinite(scene.truth)
        errors.append(np.abs(found.disparity - scene.truth)[alone])
    errors = np.concatenate(errors)
    assert len(errors) > 20_000
    assert np.mean(errors < 1) > 0.88
    assert np.mean(errors <= OneViewThresholds().sigma) == pytest.approx(0.68, abs=0.08)


@pytest.fixture(scope="module")
def shifted():
    """noise -> a pair of waves, left(x) = right(x - 0.5), with white noise in both, (240,320,3) u8, and its map."""

    def make(noise, seed=0):
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:240, :320].astype(float)
        waves = [(rng.uniform(-0.6, 0.6), rng.uniform(-0.6, 0.6), rng.uniform(0, 7)) for _ in range(12)]
        pictures = []
        for move in (0.0, 0.5):
            value = 128 + 9 * sum(np.sin(a * (x + move) + b * y + c) for a, b, c in waves)
            value = np.clip(np.rint(value + rng.normal(0, noise, value.shape)), 0, 255).astype(np.uint8)
            pictures.append(np.repeat(value[..., None], 3, -1))
        return *pictures, np.full((240, 320), np.float32(0.5))

    return make


@pytest.mark.parametrize("noise", [1.0, 3.0, 6.0])
def test_without_excess_it_is_the_deviation_of_a_least_squares_step(shifted, noise):
    """The Cramer-Rao bound, which least squares on white noise attains: 67,000 estimates against sigma.

    At half a pixel, where interpolation and slope have nothing in common, so that noise makes no bias."""
    left, right, d = shifted(noise)
    sigma = uncertainty.disparity_sigma(left, right, d, np.zeros_like(d), 1.0)
    compared, stepped = Comparison(*(np.empty_like(d) for _ in range(3))), np.empty_like(d)
    grey = [picture[..., 0].astype(np.float32) for picture in (left, right)]
    residuals(*grey, d, 0, len(d), compared)
    image_step(d, compared, uncertainty.RADIUS, np.float32(0), 0, len(d), stepped)
    score = ((stepped - d) / sigma)[8:-8, 8:-8]
    assert np.quantile(np.abs(score), 0.6827) == pytest.approx(1, abs=0.2)


def test_the_formula(shifted):
    """Window by window in plain numpy, and the limits: no texture, and both maps far apart."""
    left, right, d = shifted(3.0)
    difference = np.linspace(0, 1, d.size, dtype=np.float32).reshape(d.shape)
    sigma = uncertainty.disparity_sigma(left, right, d, difference, 1.5)
    compared = Comparison(*(np.empty_like(d) for _ in range(3)))
    grey = [picture[..., 0].astype(np.float32) for picture in (left, right)]
    residuals(*grey, d, 0, len(d), compared)
    slope, residual = compared.slope, compared.residual

    def centred(y, x, r):
        g, e = (a[y - r : y + r + 1, x - r : x + r + 1].astype(float) for a in (slope, residual))
        return g - g.mean(), e - e.mean()

    small = [np.lib.stride_tricks.sliding_window_view(a[:, 2:-2].astype(float), (5, 5)) for a in (slope, residual)]
    g, e = (a - a.mean((2, 3), keepdims=True) for a in small)
    pair_noise = np.median(np.square((g * e).sum((2, 3))) / (g * g).sum((2, 3))) / 0.4549
    for y, x in ((20, 30), (100, 200), (200, 77)):
        g, e = centred(y, x, 3)
        bound = 1.5**2 * (np.sum(e * e) / 47 + pair_noise) / 2 / np.sum(g * g)
        square = 0.02**2 + 1 / (1 / bound + 1 / 0.5**2) + (0.8 * difference[y, x]) ** 2
        assert sigma[y, x] == pytest.approx(np.sqrt(square), rel=0.01)

    grey = np.full_like(left, 90)
    blank = uncertainty.disparity_sigma(grey, grey, d, np.zeros_like(d), 1.5)
    assert np.allclose(blank[:, 8:-8], np.hypot(0.5, 0.02), rtol=1e-3)
    assert np.isfinite(uncertainty.disparity_sigma(grey, grey, np.full_like(d, np.nan), np.zeros_like(d), 1.5)).all()


@pytest.mark.parametrize("method", ["sgm", "block", "sgbm"])
def test_sigma_of_other_matchers(method, sphere_pair):
    """Each by its own excess, on a scene without noise; coarser than the default's."""
    share = within(sphere_pair.left.pixels, sphere_pair.right.pixels, sphere_pair.disparity_left, method)
    assert 0.55 < share < 0.95


@pytest.mark.parametrize("unit", [None, "m"])
def test_the_share_of_the_pose_is_the_deviation_over_drawn_poses(unit):
    """Poses and focal lengths from their covariance, the rays of the pixels met anew; without a unit up to a scale."""
    scene = synthetic.render("handheld", size=(160, 120), supersample=1, samples=1)
    some = matches.exact_matches(scene, 200, seed=1)
    rig = scene.rig
    view = TwoView(np.eye(3), rig.R, rig.t, np.zeros(0, bool), replace(rig, unit=unit), focal_sigma=0.004)
    rng = np.random.default_rng(0)
    root = rng.normal(0, 1, (5, 5)) * [4e-4, 4e-4, 4e-4, 2e-3, 2e-3]
    tangents = np.linalg.svd(rig.t[None])[2][1:]
    rays = [hom(undistort(x, cam.K)) for x, cam in ((some.x1, rig.cam1), (some.x2, rig.cam2))]
    length = np.linalg.norm(rig.t)

    def depth(step, focal):
        t = rig.t / length + step[3:] @ tangents
        flat = [1 / focal, 1 / focal, 1]
        R = rotation_from_vector(step[:3]) @ rig.R
        return intersect_rays(*(r * flat for r in rays), R, length * t / np.linalg.norm(t))

    true = depth(np.zeros(5), 1.0)
    drawn = np.array([depth(root.T @ rng.normal(0, 1, 5), 1 + rng.normal(0, 0.004)) for _ in range(1500)]) / true - 1
    if unit is None:
        drawn -= np.median(drawn, axis=1, keepdims=True)
    X = rays[0] * true[:, None]
    sigma = along_the_ray(X, view, root.T @ root, tangents) / np.linalg.norm(X, axis=1)
    spread = drawn.std(0)
    assert np.median(sigma / spread) == pytest.approx(1, abs=0.05)
    assert np.quantile(np.abs(sigma / spread - 1), 0.9) < 0.2
