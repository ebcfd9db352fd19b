"""True disparity in, true points out; and how far to trust them."""

from dataclasses import replace

import numpy as np
import pytest

from stereo3d.errors import StereoError
from stereo3d.geometry import fold_radius, fundamental_from_pose, hom, project, rotation_from_vector, undistort
from stereo3d.records import Camera, DisparityMap, Photo, RectifiedPair, Rig, RightViewPixels, TwoView
from stereo3d.rectification import rectified_positions, rectify
from stereo3d.synthetic import renderer
from stereo3d.triangulation import along_the_ray, point_map, triangulate, triangulate_between
from stereo3d.triangulation.kernels import sample_map
from stereo3d.triangulation.kernels import undistort as undistort_kernel
from stereo3d.triangulation.points import MATCH_SIGMA

SIZE = (200, 150)
K = np.array([[210.0, 0, 99.5], [0, 210, 74.5], [0, 0, 1]])
WIDER = Camera(np.array([[260.0, 0, 130], [0, 265, 98], [0, 0, 1]]), (270, 200), np.array([0.08, -0.03, 0, 0.001]))


def view_of(rig: Rig) -> TwoView:
    return TwoView(fundamental_from_pose(rig.cam1.K, rig.cam2.K, rig.R, rig.t), rig.R, rig.t, np.zeros(0, bool), rig)


def by_hand(focal=200.0, baseline=0.1, doffs=0.0, size=(64, 48), sign=1.0):
    """A rectified rig and its pair; first photo on the left for sign = 1."""
    camera = Camera(np.array([[focal, 0, 31.5], [0, focal, 23.5], [0, 0, 1]]), size)
    K2 = camera.K.copy()
    K2[0, 2] += doffs
    rig = Rig(camera, replace(camera, K=K2), np.eye(3), np.array([-sign * baseline, 0, 0]), "m")
    photo = Photo(np.zeros((size[1], size[0], 3), np.uint8))
    view = view_of(rig)
    return rectify(photo, photo, view), view


@pytest.mark.parametrize("doffs", [0.0, 7.5, -3.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_depth_is_focal_times_baseline_over_disparity(doffs, sign):
    """z = f B / (d + doffs), doffs = cx2 - cx1: Middlebury's formula, and its mirror for swapped photos."""
    pair, view = by_hand(doffs=doffs, sign=sign)
    assert pair.kind == "identity" and pair.swapped == (sign < 0)
    disparity = np.full((48, 64), np.nan, np.float32)
    for column, d in ((20, 4.0), (30, 10.0), (40, 12.25)):
        disparity[:, column] = sign * d - doffs
    points, sigma = triangulate(disparity, pair, view)
    assert points.shape == (48, 64, 3) and points.dtype == np.float64
    assert sigma.shape == (48, 64) and sigma.dtype == np.float32
    for column, d in ((20, 4.0), (30, 10.0), (40, 12.25)):
        z = 200 * 0.1 / d
        assert np.allclose(points[:, column, 2], z, rtol=1e-6)
        assert np.allclose(points[:, column, 0], (column - 31.5) / 200 * z, rtol=1e-6)
        assert np.allclose(points[:, column, 1], (np.arange(48) - 23.5) / 200 * z, rtol=1e-6)
    known = np.isfinite(points[..., 2])
    assert np.array_equal(known, np.isfinite(disparity)) and np.array_equal(known, np.isfinite(sigma))


def test_sigma_follows_the_formula():
    """sigma_z = z^2 / (f B) sigma_d, along the ray: times its length at unit z."""
    pair, view = by_hand()
    disparity = np.full((48, 64), 11.0, np.float32)
    disparity[10:20] = 25.0
    for given in (0.2, np.linspace(0.05, 0.6, 48 * 64).reshape(48, 64)):
        points, sigma = triangulate(disparity, pair, view, disparity_sigma=given)
        known = np.isfinite(sigma)
        assert known[:, 26:].all()
        z = points[..., 2]
        length = np.linalg.norm(points, axis=-1) / z
        expected = z**2 / (200 * 0.1) * given * length
        # the derivative is taken by a step of 0.05 px, which bends it by 0.05 / d
        assert np.allclose(sigma[known], expected[known], rtol=6e-3)
    plain = triangulate(disparity, pair, view)[1]
    assert np.allclose(plain[known], triangulate(disparity, pair, view, disparity_sigma=MATCH_SIGMA)[1][known])


def test_points_behind_or_indistinguishable_from_infinity_are_unknown():
    pair, view = by_hand()
    disparity = np.full((48, 64), 9.0, np.float32)
    disparity[5], disparity[6], disparity[7], disparity[8] = 0.0, -4.0, 0.3, np.inf
    disparity[9] = 2.0
    points, sigma = triangulate(disparity, pair, view)
    assert np.isnan(points[5:9]).all() and np.isnan(sigma[5:9]).all()
    assert np.isfinite(points[9, 10:]).all() and np.isfinite(points[4, 20:]).all()
    assert np.isnan(triangulate(disparity, pair, view, disparity_sigma=5.0)[0][9]).all()  # 2 +- 5 px
    # a match outside of the other photo is none
    assert np.isnan(points[4, :9]).all() and np.isfinite(points[4, 9:]).all()
    assert np.isnan(triangulate(np.full((48, 64), np.nan), pair, view)[0]).all()


def test_points_behind_the_second_camera_are_unknown():
    """Camera 2 three units ahead: its pixels of points at z = 1 to 5, some of them behind it."""
    camera = Camera(np.array([[90.0, 0, 39.5], [0, 90, 29.5], [0, 0, 1]]), (80, 60))
    t = np.array([0.2, 0.1, -3.0])
    rng = np.random.default_rng(3)
    X = np.concatenate([rng.uniform(-0.6, 0.6, (60, 80, 2)), rng.uniform(1, 5, (60, 80, 1))], -1)
    X[np.abs(X[..., 2] - 3) < 0.3, 2] = 4
    maps = project(X, camera.K).astype(np.float32), project(X, camera.K, np.eye(3), t).astype(np.float32)
    picture = np.zeros((60, 80, 3), np.uint8)
    pair = RectifiedPair(picture, picture, *maps, "polar")
    points, _ = triangulate(np.zeros((60, 80)), pair, view_of(Rig(camera, camera, np.eye(3), t)), disparity_sigma=1e-9)
    known = np.isfinite(points[..., 2])
    ahead = X[..., 2] > 3
    assert not known[~ahead].any() and known[:, 1:-1][ahead[:, 1:-1]].mean() > 0.98
    assert np.abs(points - X)[known].max() < 2e-2


def test_shapes_must_agree():
    pair, view = by_hand()
    with pytest.raises(ValueError, match=r"\(48, 60\).*\(48, 64\)"):
        triangulate(np.zeros((48, 60)), pair, view)


def test_options_out_of_bounds_are_refused():
    pair, view = by_hand()
    disparity = np.full((48, 64), 9.0)
    for beyond in (-1, 2.5, "far", np.nan):
        with pytest.raises(StereoError, match="beyond") as caught:
            triangulate(disparity, pair, view, beyond=beyond)
        assert caught.value.code == "bad_option"
    with pytest.raises(ValueError, match="negative.*-0.5 px"):
        triangulate(disparity, pair, view, disparity_sigma=-0.5)


def test_one_unknown_match_does_not_lose_the_others():
    """NaN in one match, or in one point, leaves the results of the others as they were."""
    pair, view = by_hand()
    between = RightViewPixels(
        np.array([20.5, 30.25, 40.0]), np.array([3, 4, 5]), np.array([8.0, 9.0, 10.0]), np.full(3, 0.1)
    )
    expected = triangulate_between(between, pair, view)
    for name in ("x", "disparity"):
        values = getattr(between, name).copy()
        values[1] = np.nan
        spoilt = replace(between, **{name: values})
        found = triangulate_between(spoilt, pair, view)
        assert np.array_equal(found.points, expected.points[[0, 2]]) and np.array_equal(
            found.after, expected.after[[0, 2]]
        )
    X = np.array([[0.1, 0.2, 2.0], [-0.3, 0.1, 3.0], [0.2, -0.1, 4.0]])
    spoilt = np.insert(X, 1, np.nan, axis=0)
    arguments = view, 1e-6 * np.eye(5), np.eye(3)[1:]
    sigma = along_the_ray(spoilt, *arguments)
    assert np.isnan(sigma[1]) and np.array_equal(sigma[[0, 2, 3]], along_the_ray(X, *arguments))


def test_the_map_is_sampled_linearly_and_continued_projectively():
    """Oracle: np.interp inside; outside the projective map t(u) = (2 u + 1) / (1 + 0.01 u) that the row holds."""
    u = np.arange(60.0)
    row = np.stack([(2 * u + 1) / (1 + 0.01 * u), 0.5 * (2 * u + 1) / (1 + 0.01 * u)], -1)
    xy = np.full((2, 60, 2), np.nan, np.float32)
    xy[1, 10:50] = row[10:50]
    columns = np.array([10.0, 10.5, 33.25, 49.0])
    inside = sample_map(xy, np.ones(4, np.int64), columns, 0)
    expected = np.stack([np.interp(columns, u, xy[1, :, k].astype(float)) for k in range(2)], -1)
    np.testing.assert_allclose(inside, expected, rtol=1e-12)
    outside = np.array([2.0, 7.5, 52.5, 57.0, 70.0, -5.0])
    found = sample_map(xy, np.ones(6, np.int64), outside, 9)
    truth = (2 * outside + 1) / (1 + 0.01 * outside)
    np.testing.assert_allclose(found[:4], np.stack([truth, 0.5 * truth], -1)[:4], atol=1e-3)  # single precision
    assert np.isnan(found[4:]).all()
    assert np.isnan(sample_map(xy, np.zeros(4, np.int64), columns, 9)).all()


CASES = {
    "rectified": dict(pose="rectified"),
    "swapped": dict(pose="swapped"),
    "handheld": dict(pose="handheld"),
    "handheld_swapped": dict(pose="handheld_swapped"),
    "vertical": dict(pose="vertical"),
    "converging": dict(pose="converging"),
    "turned": dict(pose="turned"),
    "distorted": dict(pose="handheld", dist=(-0.22, 0.06, 0.001, -0.0008)),
    "tilted": dict(pose="handheld", dist=(-0.22, 0.06, 0.001, -0.0008, *8 * [0], 0.03, -0.05)),
    "other_camera": dict(pose="handheld", camera2=WIDER),
}
FORWARD = {
    "forward": dict(pose="forward"),
    "forward_distorted": dict(pose="forward", dist=(-0.22, 0.06, 0.001, -0.0008)),
    "forward_other_camera": dict(pose="forward", camera2=WIDER),
}


@pytest.fixture(scope="module")
def solved():
    """name, kind -> (scene, rectified pair, true disparity of its pixels, points, sigma), each made once."""
    made = {}

    def make(name, kind="auto"):
        if (name, kind) not in made:
            scene = renderer.render("sphere", size=SIZE, K=K, supersample=1, **(CASES | FORWARD)[name])
            view = view_of(scene.rig)
            pair = rectify(scene.left, scene.right, view, kind=kind)
            disparity = true_disparity(scene, pair)
            made[name, kind] = scene, pair, disparity, *triangulate(disparity, pair, view)
        return made[name, kind]

    return make


def true_points(rays):
    """First hits of rays (..., 3) of unit z of camera 1 with the ball before its wall."""
    W, C = renderer.scene_from_camera1("sphere")
    flat = np.nan_to_num(rays.reshape(-1, 3), nan=1.0)
    z = renderer.cast("sphere", C, flat @ W).reshape(rays.shape[:-1])
    return rays * z[..., None]


def true_disparity(scene, pair):
    """(H,W) f32: of every rectified pixel, from the surface it shows, exactly."""
    rig = scene.rig
    X = true_points(hom(undistort(pair.map1, rig.cam1.K, rig.cam1.dist)))
    x2 = project(X, rig.cam2.K, rig.R, rig.t, rig.cam2.dist)
    known = np.isfinite(X[..., 2])
    j, i = np.nonzero(known)
    _, u2 = rectified_positions(pair, x2[known], x2[known])
    disparity = np.full(known.shape, np.nan)
    disparity[j, i] = i - u2[:, 0]
    return disparity.astype(np.float32)


@pytest.mark.parametrize("name", CASES)
def test_true_disparity_gives_true_points(solved, name):
    scene, pair, disparity, points, sigma = solved(name)
    rig = scene.rig
    known = np.isfinite(points[..., 2])
    assert known.sum() > 0.45 * SIZE[0] * SIZE[1] and known.sum() > 0.97 * np.isfinite(disparity).sum()
    truth = true_points(hom(undistort(pair.map1, rig.cam1.K, rig.cam1.dist)))
    relative = np.abs(points[..., 2] / truth[..., 2] - 1)[known]
    assert relative.max() < 1e-3
    # every point lies on the ray of its own photo pixel
    assert np.abs(project(points[known], rig.cam1.K, dist=rig.cam1.dist) - pair.map1[known]).max() < 1e-4
    assert (points[..., 2][known] > 0).all() and ((points[known] @ rig.R.T + rig.t)[:, 2] > 0).all()
    assert np.array_equal(np.isfinite(sigma), known) and (sigma[known] > 0).all()


@pytest.mark.parametrize("name", CASES | FORWARD)
def test_true_disparity_gives_true_points_on_the_sphere_too(solved, name):
    scene, pair, disparity, points, sigma = solved(name, "polar")
    assert pair.kind == "polar"
    rig = scene.rig
    known = np.isfinite(points[..., 2])
    assert known.sum() > 0.45 * SIZE[0] * SIZE[1] and known.sum() > 0.8 * np.isfinite(disparity).sum()
    truth = true_points(hom(undistort(pair.map1, rig.cam1.K, rig.cam1.dist)))
    points, sigma = triangulate(disparity, pair, view_of(rig), disparity_sigma=MATCH_SIGMA)
    known = np.isfinite(points[..., 2])
    error = np.linalg.norm(points - truth, axis=-1)[known]
    # a hundredth of what a quarter pixel does; at the rim, where the inverse of the map is not exact, a few hundredths
    assert np.quantile(error / sigma[known], 0.98) < 0.01 and np.quantile(error / sigma[known], 0.999) < 0.2
    assert np.median(error / truth[..., 2][known]) < 1e-5
    assert np.abs(project(points[known], rig.cam1.K, dist=rig.cam1.dist) - pair.map1[known]).max() < 1e-4
    assert (points[..., 2][known] > 0).all() and ((points[known] @ rig.R.T + rig.t)[:, 2] > 0).all()
    assert np.array_equal(np.isfinite(sigma), known) and (sigma[known] > 0).all()


@pytest.mark.parametrize("ahead", [0.3, -0.3])
def test_sigma_grows_towards_the_epipole(ahead):
    """r = b sin p2 / sin(p2 - p1), so |dr / dp2| = b sin p1 / sin^2(p2 - p1): depth is lost where the camera heads."""
    camera = Camera(np.array([[210.0, 0, 99.5], [0, 210, 74.5], [0, 0, 1]]), SIZE)
    photo = Photo(np.zeros((150, 200, 3), np.uint8))
    rig = Rig(camera, camera, np.eye(3), np.array([0, 0, -ahead]))
    pair = rectify(photo, photo, view_of(rig))
    assert pair.kind == "polar"
    flat = 2.0  # a wall across the way
    X = hom(undistort(pair.map1, K)) * flat
    known = np.isfinite(X[..., 0])
    x2 = project(X[known], K, np.eye(3), rig.t)
    disparity = np.full(known.shape, np.nan)
    disparity[known] = np.nonzero(known)[1] - rectified_positions(pair, x2, x2)[1][:, 0]
    points, sigma = triangulate(disparity, pair, view_of(rig), disparity_sigma=MATCH_SIGMA)
    p1 = np.arctan2(np.hypot(X[..., 0], X[..., 1]), X[..., 2])
    p2 = np.arctan2(np.hypot(X[..., 0], X[..., 1]), X[..., 2] - ahead)
    columns = 1 / np.nanmedian(np.abs(np.diff(p1, axis=1)))  # to a radian
    expected = abs(ahead) * np.sin(p1) / np.sin(p2 - p1) ** 2 * MATCH_SIGMA / columns
    found = np.isfinite(sigma)
    # the derivative is taken by a step of 0.05 px, and disparities near the epipole are no larger than some tenths
    assert np.abs(sigma / expected - 1)[found].max() < 0.2 and np.median(np.abs(sigma / expected - 1)[found]) < 0.02
    radius = np.hypot(X[..., 0], X[..., 1]) / flat * 210
    near, far = np.median(sigma[found & (radius < 20)]), np.median(sigma[found & (radius > 70)])
    assert near > 3 * far
    # where not even half of the distance is certain there is no point: a disc about the epipole
    hopeless = known & np.isfinite(disparity) & (expected > 0.6 * np.linalg.norm(X, axis=-1))
    assert hopeless.any() and not found[hopeless].any()
    assert found[known & np.isfinite(disparity) & (expected < 0.4 * np.linalg.norm(X, axis=-1))].mean() > 0.99
    # the default also includes that near the epipole a window covers less than a pixel for each of its rows
    angle = np.unwrap(np.arctan2(X[..., 1], X[..., 0]), axis=0)
    share = np.abs(np.diff(angle, axis=0))[:, :-1] * radius[:-1, :-1] / np.abs(np.diff(radius, axis=1))[:-1]
    plain, own = sigma[:-1, :-1], triangulate(disparity, pair, view_of(rig))[1][:-1, :-1]
    both = np.isfinite(own) & np.isfinite(plain) & np.isfinite(share)
    assert both.sum() > 0.3 * plain.size
    ratio = (own / plain * np.sqrt(np.minimum(share, 1)))[both]
    assert np.median(ratio) == pytest.approx(1, abs=0.01) and np.quantile(np.abs(ratio - 1), 0.95) < 0.05
    assert not np.isfinite(own[radius[:-1, :-1] < 3]).any()


@pytest.mark.parametrize(
    "name", ["rectified", "handheld_swapped", "vertical", "distorted", "other_camera", "forward", "forward_distorted"]
)
def test_sigma_is_the_deviation_under_noise(solved, name):
    """Monte Carlo: normal noise on the disparity, deviation along the ray over the draws."""
    scene, pair, disparity, points, sigma = solved(name)
    rng = np.random.default_rng(1)
    noise = 0.25
    rows = np.zeros(disparity.shape, bool)
    rows[::9, ::6] = True
    sparse = np.where(rows, disparity, np.nan)
    draws = [triangulate(sparse + rng.normal(0, noise, sparse.shape), pair, view_of(scene.rig))[0] for _ in range(60)]
    draws = np.stack(draws)
    known = rows & np.isfinite(points[..., 2]) & np.isfinite(draws[..., 2]).all(0)
    # where noise reaches for the epipole itself the depth is bent, not only shifted
    known &= np.nan_to_num(sigma / points[..., 2], nan=1) < 0.1
    assert known.sum() > 150
    spread = np.linalg.norm(draws - points, axis=-1)[:, known]
    measured = np.sqrt((spread**2).mean(0))
    expected = triangulate(sparse, pair, view_of(scene.rig), disparity_sigma=noise)[1][known]
    # 60 draws determine a deviation to 9 %; the mean over the pixels is far more precise
    assert np.mean(measured / expected) == pytest.approx(1, abs=0.03)
    assert np.std(measured / expected) < 0.15


def test_an_offset_from_the_epipolar_line_does_not_change_depth():
    """The rows of photo 2 are displaced by up to 4 px at 7 px of parallax; columns are not: depth is the true one."""
    camera = Camera(np.array([[400.0, 0, 239.5], [0, 400, 179.5], [0, 0, 1]]), (480, 360))
    rig = Rig(camera, camera, np.eye(3), np.array([-0.07, 0, 0]))
    photo = Photo(np.zeros((360, 480, 3), np.uint8))

    def drift(x):
        return x + [0, 1] * (2.5 * ((x[:, :1] - 239.5) / 240) ** 2 + 1.5 * (x[:, 1:] - 179.5) / 180)

    def wall(x1):  # z = 4 + x / 4
        ray = hom((x1 - [239.5, 179.5]) / 400)
        return ray * (4 / (1 - ray[..., :1] / 4))

    x1 = np.random.default_rng(1).uniform([0, 0], [480, 360], (2000, 2))
    inlier_x = x1, drift(project(wall(x1), camera.K, rig.R, rig.t))
    pair = rectify(photo, photo, view_of(rig), inlier_x=inlier_x, kind="polar")
    assert pair.drift["largest_px"] > 2
    X = wall(pair.map1)
    known = np.isfinite(X[..., 0])
    x2 = drift(project(X[known], camera.K, rig.R, rig.t))
    disparity = np.full(known.shape, np.nan)
    disparity[known] = np.nonzero(known)[1] - rectified_positions(pair, x2, x2)[1][:, 0]
    points, _ = triangulate(disparity, pair, view_of(rig))
    found = np.isfinite(points[..., 2])
    assert found.sum() > 0.8 * known.sum()
    error = np.abs(points[..., 2] / X[..., 2] - 1)[found]
    assert np.quantile(error, 0.95) < 2e-3


def test_units_are_those_of_the_baseline(solved):
    scene, pair, disparity, points, sigma = solved("handheld")
    longer = replace(scene.rig, t=1000 * scene.rig.t, unit="mm")
    in_mm, sigma_mm = triangulate(disparity, pair, view_of(longer))
    assert np.allclose(in_mm, 1000 * points, rtol=1e-9, equal_nan=True)
    assert np.allclose(sigma_mm, 1000 * sigma, rtol=1e-5, equal_nan=True)


def test_resized_maps_give_the_same_points(slanted_pair):
    """Half the size has half the disparity and the same depth."""
    view = view_of(slanted_pair.rig)
    for max_size, step in ((320, 1), (160, 2)):
        pair = rectify(slanted_pair.left, slanted_pair.right, view, max_size=max_size)
        disparity = np.full(pair.left.shape[:2], 24.0 / step, np.float32)
        points, _ = triangulate(disparity, pair, view)
        z = slanted_pair.rig.cam1.K[0, 0] * 0.12 / 24
        assert np.nanmax(np.abs(points[..., 2] / z - 1)) < 1e-6


def test_any_smooth_pair_of_maps_is_accepted():
    """No word of planes: maps that are bent at will, with the disparity between them."""
    size = (80, 60)
    camera = Camera(np.array([[90.0, 0, 39.5], [0, 90, 29.5], [0, 0, 1]]), size)
    R, t = rotation_from_vector([0.02, -0.05, 0.1]), np.array([-0.3, 0.05, 0.02])
    rng = np.random.default_rng(2)
    X = np.concatenate([rng.uniform(-0.6, 0.6, (60, 80, 2)), rng.uniform(2, 4, (60, 80, 1))], -1)
    map1 = project(X, camera.K).astype(np.float32)
    map2 = np.roll(project(X, camera.K, R, t), -6, 1).astype(np.float32)  # its match is 6 columns to the left
    pair = RectifiedPair(np.zeros((60, 80, 3), np.uint8), np.zeros((60, 80, 3), np.uint8), map1, map2, "polar")
    view = view_of(Rig(camera, camera, R, t))
    points, _ = triangulate(np.full((60, 80), 6.0), pair, view, disparity_sigma=1e-9)
    known = np.isfinite(points[..., 2])
    assert known[:, 7:-1].mean() > 0.99 and not known[:, :6].any()
    assert np.abs(points - X)[known].max() < 1e-3


@pytest.mark.parametrize("name, kind", [("converging", "auto"), ("distorted", "auto"), ("handheld_swapped", "polar")])
def test_a_match_a_little_beyond_the_second_picture(solved, name, kind):
    """A second map whose outermost 12 pixels of each row are cut off is continued as it was, to a part of sigma."""
    scene, pair, disparity, points, sigma = solved(name, kind)
    columns = np.arange(pair.map2.shape[1])
    seen = np.isfinite(pair.map2).all(-1)
    first, last = seen.argmax(1)[:, None], (len(columns) - 1 - seen[:, ::-1].argmax(1))[:, None]
    cut = np.where(((columns < first + 12) | (columns > last - 12))[..., None], np.float32(np.nan), pair.map2)
    less, view = replace(pair, map2=cut), view_of(scene.rig)
    known, kept = np.isfinite(points[..., 2]), np.isfinite(triangulate(disparity, less, view)[0][..., 2])
    again = triangulate(disparity, less, view, beyond=16)[0]
    back = known & ~kept & np.isfinite(again[..., 2])
    assert back.sum() > 0.9 * (known & ~kept).sum() > 500
    off = np.linalg.norm(again - points, axis=-1) / sigma
    assert np.nanmax(off[kept]) == 0 and np.median(off[back]) < 0.1 and np.quantile(off[back], 0.95) < 0.5
    few = triangulate(disparity, less, view, beyond=4)[0]
    assert 0 < np.isfinite(few[known & ~kept][:, 2]).mean() < 0.6


def test_points_uncertain_by_more_than_a_twentieth_are_no_surface():
    pair, view = by_hand()
    disparity = np.broadcast_to(np.linspace(0.5, 24, 48, dtype=np.float32)[:, None], (48, 64)).copy()
    every = np.ones_like(disparity)
    points, sigma = triangulate(disparity, pair, view, disparity_sigma=0.3)
    vague = sigma > 0.05 * np.linalg.norm(points, axis=-1)
    kept, kept_sigma = point_map(DisparityMap(disparity, every, 0.3 * every), pair, view)
    assert 0 < vague.sum() < np.isfinite(sigma).sum() / 2
    assert np.isnan(kept[vague]).all() and np.isnan(kept_sigma[vague]).all()
    known = np.isfinite(sigma) & ~vague
    assert np.array_equal(kept[known], points[known]) and np.allclose(kept_sigma[known], sigma[known], rtol=1e-5)


@pytest.mark.parametrize(
    "dist",
    [
        [0.1],
        [-0.25, 0.08, 1e-3, -2e-3],
        [-0.3, 0.1, 1e-3, 1e-3, -0.02, 0.05, 0.01, 0.002],
        [-0.2, 0.05, 1e-3, 1e-3, 0, 0, 0, 0, 2e-3, 1e-3, -1e-3, 5e-4],
    ],
)
def test_the_kernel_that_undistorts_agrees_with_geometry(dist):
    """Within the lens's field, at its fold and far beyond it."""
    dist = np.pad(np.array(dist), (0, 12 - len(dist)))
    K = np.array([[900.0, 3.0, 400.0], [0, 950.0, 300.0], [0, 0, 1]])
    x = np.stack(np.meshgrid(np.linspace(-3000, 4000, 71), np.linspace(-2500, 3000, 67)), -1).reshape(-1, 2)
    theirs = undistort(x, K, dist)
    ours = undistort_kernel(x, np.linalg.inv(K[:2, :2]), K[:2, 2], dist, fold_radius(dist))
    assert 100 < np.isfinite(theirs[:, 0]).sum()
    assert np.array_equal(np.isnan(ours), np.isnan(theirs))
    np.testing.assert_allclose(ours, theirs, atol=1e-9)
