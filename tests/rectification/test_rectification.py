"""Equal rows, nothing flipped, nothing lost: rectification on plane and sphere against exact cameras."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from examples import tries
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from stereo3d import synthetic
from stereo3d.errors import StereoError
from stereo3d.geometry import fundamental_from_pose, hom, huber_fit, project, rotation_from_vector, undistort
from stereo3d.geometry.camera import fold_radius
from stereo3d.records import Camera, Photo, RectifiedPair, Rig, TwoView
from stereo3d.rectification import disparity_range, rectified_positions, rectify
from stereo3d.rectification.canvas import photo_border
from stereo3d.rectification.maps import _invert, photo_map, row_errors
from stereo3d.synthetic import matches as matches_module
from stereo3d.synthetic import poses

SIZE = (240, 180)
K = np.array([[230.0, 0, 119.5], [0, 230, 89.5], [0, 0, 1]])
LENS = (-0.22, 0.06, 0.001, -0.0008)
WIDER = Camera(np.array([[300.0, 0, 160], [0, 305, 118], [0, 0, 1]]), (330, 240), np.array([0.08, -0.03, 0, 0.001]))


def view_of(pair_or_rig) -> TwoView:
    rig = getattr(pair_or_rig, "rig", pair_or_rig)
    return TwoView(fundamental_from_pose(rig.cam1.K, rig.cam2.K, rig.R, rig.t), rig.R, rig.t, np.zeros(0, bool), rig)


def from_centre(turn, centre):
    R = rotation_from_vector(np.radians(turn))
    return R, -R @ np.array(centre, float)


# in addition to those of `synthetic`: name -> R, t for a baseline b
OWN_POSES = {
    "upside_down": lambda b, z: from_centre((0, -2, 180), (b, 0.05 * b, 0)),
    "turned_back": lambda b, z: from_centre((3, 0, 90), (-b, 0.1 * b, 0.05 * b)),
    "backward": lambda b, z: from_centre((1, -2, 3), (0.05 * b, 0.1 * b, -2 * b)),
    "forward_upside_down": lambda b, z: from_centre((0, 2, 180), (-0.1 * b, -0.05 * b, 2 * b)),
    "forward_turned": lambda b, z: from_centre((2, 1, 90), (0.2 * b, 0.1 * b, 2 * b)),
    "epipole_at_the_border": lambda b, z: from_centre((0, 1, 0), (b, 0, 1.95 * b)),
    "epipole_beyond_the_border": lambda b, z: from_centre((1, 2, 3), (-0.4 * b, 1.5 * b, 2 * b)),
}
UPRIGHT = Camera(K[[1, 0, 2]][:, [1, 0, 2]], SIZE[::-1])

CASES = {
    "handheld": dict(pose="handheld"),
    "handheld_swapped": dict(pose="handheld_swapped"),
    "vertical": dict(pose="vertical"),
    "handheld_vertical": dict(pose="handheld_vertical"),
    "converging": dict(pose="converging"),
    "turned": dict(pose="turned"),
    "distorted": dict(pose="handheld", dist=LENS),
    "distorted_swapped": dict(pose="handheld_swapped", dist=LENS),
    "other_camera": dict(pose="handheld", camera2=WIDER),
    "other_camera_vertical": dict(pose="handheld_vertical", dist=LENS, camera2=WIDER),
    "upside_down": dict(pose="upside_down"),
    "turned_back_swapped": dict(pose="turned_back", camera2=UPRIGHT),
}
FORWARD = {  # an epipole in or near the picture: no plane will do
    "forward": dict(pose="forward"),
    "forward_distorted": dict(pose="forward", dist=LENS),
    "forward_other_camera": dict(pose="forward", camera2=WIDER),
    "backward": dict(pose="backward"),
    "forward_upside_down": dict(pose="forward_upside_down"),
    "forward_turned": dict(pose="forward_turned", camera2=UPRIGHT),
    "epipole_at_the_border": dict(pose="epipole_at_the_border"),
    "epipole_beyond_the_border": dict(pose="epipole_beyond_the_border"),
}
KINDS = [*((name, "planar") for name in CASES), *((name, "polar") for name in CASES | FORWARD)]
all_kinds = pytest.mark.parametrize(("name", "kind"), KINDS)


@pytest.fixture(scope="module")
def scenes():
    """name -> (synthetic pair, exact matches of pixels that both photos see), each made once."""
    made = {}

    def make(name):
        if name not in made:
            with pytest.MonkeyPatch.context() as patch:
                for pose in OWN_POSES:
                    patch.setitem(poses.POSES, pose, OWN_POSES[pose])
                scene = synthetic.render("slanted", size=SIZE, K=K, supersample=1, **(CASES | FORWARD)[name])
            made[name] = scene, matches_module.exact_matches(scene, min(3000, int(scene.visible1.sum())), seed=1)
        return made[name]

    return make


@pytest.fixture(scope="module")
def rectified(scenes):
    """name, kind -> (synthetic pair, exact matches, rectified pair), each made once."""
    made = {}

    def make(name, kind="planar"):
        if (name, kind) not in made:
            scene, matches = scenes(name)
            made[name, kind] = (
                scene,
                matches,
                rectify(
                    scene.left, scene.right, view_of(scene), kind=kind, inlier_x=(matches.x1[::3], matches.x2[::3])
                ),
            )
        return made[name, kind]

    return make


def epipole_distances(rig, x1, x2):
    """px (N,) of pixels to the epipole, the lesser of the two photos'; infinite where there is none before a camera."""
    found = []
    for x, camera, direction in ((x1, rig.cam1, -rig.R.T @ rig.t), (x2, rig.cam2, rig.t)):
        direction = direction * (1 if direction[2] > 0 else -1)
        epipole = project(direction, camera.K, dist=camera.dist) if direction[2] > 0.1 * np.linalg.norm(rig.t) else 1e9
        found.append(np.linalg.norm(x - epipole, axis=-1))
    return np.minimum(*found)


def surrounded(xy, u):
    """(N,) bool: all four map pixels around the positions u (N,2) show something."""
    i, j = np.floor(np.nan_to_num(u, nan=-9)).astype(int).T
    inside = (i >= 0) & (j >= 0) & (i < xy.shape[1] - 1) & (j < xy.shape[0] - 1)
    i, j = np.where(inside, i, 0), np.where(inside, j, 0)
    return inside & np.isfinite([xy[j + b, i + a, 0] for a in (0, 1) for b in (0, 1)]).all(0)


@all_kinds
def test_rows_of_exact_matches_are_equal(rectified, name, kind):
    scene, matches, pair = rectified(name, kind)
    u1, u2 = rectified_positions(pair, matches.x1, matches.x2)
    known = np.isfinite(u1).all(1) & np.isfinite(u2).all(1)
    assert known.mean() > 0.97
    if kind == "polar":  # beyond its rim a bent map is continued straight; at an epipole rows are too narrow for f32
        known = surrounded(pair.map1, u1) & surrounded(pair.map2, u2)
        known &= epipole_distances(scene.rig, matches.x1, matches.x2) > 3
    assert known.mean() > 0.9
    assert np.abs(u1[known, 1] - u2[known, 1]).max() < (0.01 if kind == "planar" else 0.02)
    assert pair.kind == kind
    baseline = -scene.rig.R.T @ scene.rig.t
    assert pair.swapped == (baseline[0] < -0.01 * np.linalg.norm(baseline))
    if name in CASES:
        assert pair.swapped == ("swapped" in name)
    # nearer things: larger disparity, smaller where the photos are swapped
    X = project_back(scene, matches.x1[known])
    d = (u1 - u2)[known, 0]
    near = 1 / (X @ normal_of(pair, scene)) if kind == "planar" else parallax(scene, X)
    order = np.corrcoef(d, near)[0, 1]
    assert order < -0.999 if pair.swapped else order > 0.999


def parallax(scene, X):
    """Angle (N,) between the rays to points X from the two cameras."""
    to2 = X + scene.rig.R.T @ scene.rig.t
    return np.arctan2(np.linalg.norm(np.cross(X, to2), axis=1), (X * to2).sum(1))


@pytest.mark.parametrize("name", CASES | FORWARD)
def test_polar_disparity_is_the_parallax_angle(rectified, name):
    scene, matches, pair = rectified(name, "polar")
    u1, u2 = rectified_positions(pair, matches.x1, matches.x2)
    known = np.isfinite(u1 + u2).all(1)
    angle = parallax(scene, project_back(scene, matches.x1[known]))
    d = (u1 - u2)[known, 0] * (-1 if pair.swapped else 1)
    density, start = np.polyfit(angle, d, 1)
    assert np.abs(start + density * angle - d).max() < 0.05  # at the epipole a cell of the map is not quite bilinear
    assert density == pytest.approx(scene.rig.cam1.focal, rel=0.4)  # columns to a radian


def project_back(scene, x1):
    i = np.rint(x1).astype(int)
    return hom(undistort(x1, scene.rig.cam1.K, scene.rig.cam1.dist)) * scene.depth1[i[:, 1], i[:, 0]][:, None]


def normal_of(pair, scene):
    """The common viewing direction, in the frame of camera 1: across the baseline, between the two axes."""
    b = scene.rig.R.T @ scene.rig.t
    b = b / np.linalg.norm(b)
    forward = np.array([0, 0, 1.0]) + scene.rig.R[2]
    return forward - (forward @ b) * b


@all_kinds
def test_nothing_is_flipped(rectified, name, kind):
    _, _, pair = rectified(name, kind)
    for k, xy in enumerate((pair.map1, pair.map2)):
        du = np.diff(xy.astype(float), axis=1)[:-1]
        dv = np.diff(xy.astype(float), axis=0)[:, :-1]
        det = du[..., 0] * dv[..., 1] - du[..., 1] * dv[..., 0]
        known = np.isfinite(det)
        assert known.mean() > 0.3 and (det[known] > 0).all()
        right = np.nanmedian(du, (0, 1)) / np.linalg.norm(np.nanmedian(du, (0, 1)))
        if k == 0 and name in CASES:  # the first photo is turned by 90 degrees at most
            assert right[0] > -0.02
            if "vertical" not in name:
                assert right[0] > 0.9


@all_kinds
def test_nothing_that_both_photos_see_is_lost(rectified, name, kind):
    scene, matches, pair = rectified(name, kind)
    both = rectified_positions(pair, matches.x1, matches.x2)
    for x, u, xy in zip((matches.x1, matches.x2), both, (pair.map1, pair.map2), strict=True):
        known = np.isfinite(u).all(1)
        # the omitted pixels are within a pixel of the photo's border
        margin = np.minimum(x + 0.5, np.nanmax(xy, (0, 1)) + 0.5 - x).min(1)
        far = (margin > 2) & (epipole_distances(scene.rig, matches.x1, matches.x2) > 3)
        assert known[far].all() and far.mean() > 0.8


@all_kinds
def test_maps_are_known_inside_the_photos_only(rectified, name, kind):
    scene, _, pair = rectified(name, kind)
    for xy, camera, picture in ((pair.map1, scene.rig.cam1, pair.left), (pair.map2, scene.rig.cam2, pair.right)):
        assert xy.dtype == np.float32 and xy.shape == (*picture.shape[:2], 2) and picture.dtype == np.uint8
        known = np.isfinite(xy)
        assert np.array_equal(known[..., 0], known[..., 1])
        inside = xy[known[..., 0]]
        assert inside.min() >= -0.5 and (inside <= np.array(camera.size) - 0.5).all()
        assert (picture[~known[..., 0]] == 0).all()
    assert pair.left.shape == pair.right.shape


def ramp(camera):
    """A photo whose red is x and green y, in px (as far as 255 goes): linear, so any interpolation gives it exactly."""
    x, y = np.meshgrid(*(np.arange(n) * 0.5 for n in camera.size))
    return Photo(np.rint(np.stack([x, y, 0 * x + 77], -1)).astype(np.uint8))


@pytest.mark.parametrize("max_size", [1600, 100])
@all_kinds
def test_rectified_pixels_show_the_photo_pixels_of_the_maps(scenes, name, kind, max_size):
    rig = scenes(name)[0].rig
    pair = rectify(ramp(rig.cam1), ramp(rig.cam2), view_of(rig), kind=kind, max_size=max_size)
    for xy, camera, picture in ((pair.map1, rig.cam1, pair.left), (pair.map2, rig.cam2, pair.right)):
        edge = 4 if max_size > 1000 else 8  # a reduced pixel is larger
        inner = np.isfinite(xy[..., 0]) & ((xy > edge) & (xy < np.array(camera.size) - 1 - edge)).all(-1)
        assert inner.sum() > 1000
        error = picture[inner][:, :2] - 0.5 * xy[inner]
        assert np.abs(error).max() < 1.6  # grey levels of half a pixel each, rounded twice and bent by the cubic
        # a shift by half a pixel would be 0.25; around an epipole the same few pixels are seen again and again
        assert np.abs(error.mean(0)).max() < (0.1 if kind == "planar" else 0.15)
        assert (picture[inner][:, 2] == 77).all()


@all_kinds
def test_positions_are_the_inverse_of_the_maps(rectified, name, kind):
    scene, _, pair = rectified(name, kind)
    for xy in (pair.map1, pair.map2):
        which = dict(x1=xy, x2=np.full(2, 1e6)) if xy is pair.map1 else dict(x1=np.full(2, 1e6), x2=xy)
        inner = np.isfinite(xy[..., 0]) & (epipole_distances(scene.rig, **which) > 3)
        inner &= np.roll(inner, -1, 0) & np.roll(inner, -1, 1) & np.roll(inner, -1, (0, 1))
        inner[-1], inner[:, -1] = False, False
        j, i = np.nonzero(inner)
        pick = np.random.default_rng(2).permutation(len(j))[:2000]
        found = _invert(xy, xy[j[pick], i[pick]])
        # now and then one at a ragged rim, more of them where the map is bent
        assert np.isnan(found).any(1).mean() < (1e-3 if kind == "planar" else 5e-3)
        assert np.nanmax(np.abs(found - np.stack([i, j], -1)[pick])) < (2e-3 if kind == "planar" else 5e-3)
    outside = np.array([[-20.0, 50], [1e4, 50], [np.nan, np.nan], [50, np.nan]])
    assert all(np.isnan(u).all() for u in rectified_positions(pair, outside, outside))


@all_kinds
def test_the_range_holds_the_true_disparities(rectified, name, kind):
    _, matches, pair = rectified(name, kind)
    u1, u2 = rectified_positions(pair, matches.x1, matches.x2)
    d = (u1 - u2)[:, 0]
    low, high = disparity_range(pair, matches.x1[::3], matches.x2[::3])
    assert isinstance(low, int) and isinstance(high, int) and low < high
    assert low <= np.nanmin(d) and np.nanmax(d) <= high
    spread = np.nanmax(d) - np.nanmin(d)
    assert high - low <= 1.5 * spread + 18  # and not everything


@pytest.mark.parametrize("turn", [(0, 0, 0), (0, 120, 0), (20, -100, 10)])
@pytest.mark.parametrize("dist", [(), (-0.3, 0, 0, 0)])
def test_a_map_shows_the_ray_of_every_pixel_or_nothing(turn, dist):
    """A canvas far wider than the photo: no point behind the camera or folded back by the lens model."""
    camera = Camera(np.array([[100.0, 0, 55.5], [0, 100, 39.5], [0, 0, 1]]), (112, 80), np.array(dist))
    Q = rotation_from_vector(np.radians(turn))
    xy = photo_map(camera, Q, lambda rows: (-6 + np.arange(480) / 40, -4 + rows / 40, 1.0), (480, 320))
    u, v = np.meshgrid(-6 + np.arange(480) / 40, -4 + np.arange(320) / 40)
    rays = np.stack([u, v, np.ones_like(u)], -1) @ Q
    known = np.isfinite(xy[..., 0])
    assert (rays[known][:, 2] > 0).all()
    seen = rays[known][:, :2] / rays[known][:, 2:]
    assert np.abs(undistort(xy[known], camera.K, camera.dist) - seen).max(initial=0) < 1e-4
    assert known.any() or turn[1] == 120  # then all of the photo lies behind the canvas
    # and everything that the photo shows is there
    step = hom(undistort(np.array([[30.0, 20], [55, 40], [90, 70]]), camera.K, camera.dist)) @ Q.T
    at = np.rint((step[step[:, 2] > 0.3][:, :2] / step[step[:, 2] > 0.3][:, 2:] + [6, 4]) * 40).astype(int)
    at = at[(at >= 0).all(1) & (at < [480, 320]).all(1)]
    assert known[at[:, 1], at[:, 0]].all()


@pytest.mark.parametrize("kind", ["planar", "polar"])
@pytest.mark.parametrize("name", ["handheld", "other_camera", "converging"])
def test_pixels_keep_their_size(rectified, name, kind):
    """One canvas pixel shows about one photo pixel of the finer and the coarser photo, by the geometric mean."""
    _, _, pair = rectified(name, kind)
    areas = []
    for xy in (pair.map1, pair.map2):
        du, dv = np.diff(xy, axis=1)[:-1], np.diff(xy, axis=0)[:, :-1]
        areas.append(np.nanmedian(du[..., 0] * dv[..., 1] - du[..., 1] * dv[..., 0]))
    # the rows of polar pairs are those of the farthest pixels
    assert np.sqrt(np.prod(areas)) == pytest.approx(1, abs=0.05) if kind == "planar" else np.prod(areas) > 0.6


@pytest.mark.parametrize("name", FORWARD)
def test_polar_canvas_loses_nothing_within_its_budget(rectified, name):
    """No larger than two photos; steps along a row of a pixel, and rows one for each pixel where they are farthest."""
    scene, _, pair = rectified(name, "polar")
    pixels = max(np.prod(c.size) for c in (scene.rig.cam1, scene.rig.cam2))
    assert np.prod(pair.left.shape[:2]) < 2.05 * pixels
    along, across = [], []
    for xy in (pair.map1, pair.map2):
        along.append(np.nanmedian(np.linalg.norm(np.diff(xy, axis=1), axis=-1)))
        across.append(np.nanquantile(np.linalg.norm(np.diff(xy, axis=0), axis=-1), [0.5, 0.99]))
    assert 0.7 < np.sqrt(np.prod(along)) < 1.35
    middle, farthest = np.sqrt(np.prod(across, axis=0))
    assert middle < 1.1 and farthest < 2.1


def test_canvas_follows_max_size():
    scene = synthetic.render("slanted", size=SIZE, K=K, supersample=1, pose="handheld")
    full, half = (rectify(scene.left, scene.right, view_of(scene), max_size=n) for n in (1600, 120))
    assert half.left.shape[0] == pytest.approx(full.left.shape[0] / 2, abs=2)
    assert half.left.shape[1] == pytest.approx(full.left.shape[1] / 2, abs=2)
    # reduced by area, not sampled: noise is averaged, grey stays
    noise = [Photo(np.random.default_rng(k).integers(0, 256, (180, 240, 3), dtype=np.uint8)) for k in (0, 1)]
    quarter = rectify(*noise, view_of(scene), max_size=60)
    shown = quarter.left[np.isfinite(quarter.map1[..., 0])].astype(float)
    assert shown.mean() == pytest.approx(127.5, abs=4) and shown.std() < 74 / 2.5
    matches = matches_module.exact_matches(scene, 500)
    u1, u2 = rectified_positions(half, matches.x1, matches.x2)
    assert np.nanmax(np.abs(u1 - u2)[:, 1]) < 0.01 and np.isfinite(u1).all(1).mean() > 0.95


def test_a_known_rig_at_an_angle_by_hand():
    """Two equal cameras side by side, both turned by 10 degrees: rectified, both look straight ahead again."""
    turn = rotation_from_vector(np.radians([0, 10.0, 0]))
    # camera 2 is displaced along the axis that camera 1 had before it turned
    baseline = turn @ np.array([0.1, 0, 0])
    camera = Camera(K, SIZE)
    photo = Photo(np.full((180, 240, 3), 90, np.uint8))
    pair = rectify(photo, photo, view_of(Rig(camera, camera, np.eye(3), -baseline)))
    X = np.array([0.05, 0.02, 3.0])  # in front of the unturned camera
    x1 = project(X @ turn.T, K)
    x2 = project(X @ turn.T - baseline, K)
    u1, u2 = rectified_positions(pair, x1[None], x2[None])
    step = np.array([0.0, 0.1, 0])
    v1 = rectified_positions(pair, project((X + step) @ turn.T, K)[None], x2[None])[0]
    # the canvas has one focal length: disparity f B / z, a step up the rows f dy / z
    focal = (v1 - u1)[0, 1] * 3.0 / 0.1
    assert (v1 - u1)[0, 0] == pytest.approx(0, abs=1e-3)
    assert abs(u1 - u2)[0, 1] < 1e-3
    other = np.array([0.3, -0.2, 2.0])
    d = []
    for P in (X, other):
        u1, u2 = rectified_positions(pair, project(P @ turn.T, K)[None], project(P @ turn.T - baseline, K)[None])
        d.append((u1 - u2)[0, 0])
    assert d[1] - d[0] == pytest.approx(focal * 0.1 * (1 / 2.0 - 1 / 3.0), abs=2e-3)


def lens(x):
    """Photo 2 through a lens that its camera does not know of."""
    return project(
        hom((x - [239.5, 179.5]) / 400),
        np.array([[400.0, 0, 239.5], [0, 400, 179.5], [0, 0, 1]]),
        dist=(-0.04, 0, 0, 0),
    )


def rolling_shutter(x):
    """The camera turned while photo 2 was read out, row by row."""
    y = x[:, 1:] / 180 - 1
    return x + np.concatenate([1.5 * y - 0.8 * y**2, 1.2 * y**2], 1)


def drifting(motion, cause, noise=0.15, n=1500, seed=3):
    matches, rig = matches_module.random_two_view(n, seed=seed, focal=400.0, size=(480, 360), motion=motion)
    rng = np.random.default_rng(seed)
    x1, x2 = matches.x1 + rng.normal(0, noise, (n, 2)), cause(matches.x2) + rng.normal(0, noise, (n, 2))
    photo = Photo(np.zeros((360, 480, 3), np.uint8))
    return x1, x2, lambda inlier_x, **options: rectify(photo, photo, view_of(rig), inlier_x=inlier_x, **options)


def row_error(pair, x1, x2):
    u1, u2 = rectified_positions(pair, x1, x2)
    return np.nanmedian(np.abs(u1 - u2)[:, 1])


@pytest.mark.parametrize(
    ("motion", "cause"),
    # on the way ahead a lens moves things along their epipolar lines, where nobody can see it
    [
        *((m, lens) for m in ("sideways", "vertical", "converging")),
        *((m, rolling_shutter) for m in ("sideways", "swapped", "forward")),
    ],
)
def test_a_slow_drift_is_followed(motion, cause):
    x1, x2, make = drifting(motion, cause)
    seen, unseen = slice(0, None, 2), slice(1, None, 2)
    straight = make((x1[seen], x2[seen]), straighten=False)
    pair = make((x1[seen], x2[seen]))
    before, after = (row_error(p, x1[unseen], x2[unseen]) for p in (straight, pair))
    assert straight.drift == {} and pair.kind == straight.kind
    floor = row_error(straight, *drifting(motion, lambda x: x)[:2])  # noise alone
    assert before > 1.5 * floor and after < 1.25 * floor
    numbers = pair.drift
    assert numbers["after_px"] < 0.8 * numbers["before_px"] and 0.3 < numbers["largest_px"] < 6
    if motion == "sideways":
        assert numbers["before_px"] == pytest.approx(before, rel=0.1)
        assert numbers["after_px"] == pytest.approx(after, rel=0.1)
    assert np.array_equal(pair.map1, straight.map1, equal_nan=True)  # the first photo stays


def barrel_and_back(x):
    """Photo 2 through a lens whose distortion turns round towards the corners."""
    camera = np.array([[400.0, 0, 239.5], [0, 400, 179.5], [0, 0, 1]])
    return project(hom((x - [239.5, 179.5]) / 400), camera, dist=(0.08, -0.25, 0, 0))


def test_a_drift_of_the_fifth_degree_is_followed():
    """Where the matches are enough for it: a cubic leaves a tenth of a pixel of this lens."""
    x1, x2, make = drifting("sideways", barrel_and_back, n=2000, noise=0.1)
    exact1, exact2 = (x[1000:] for x in drifting("sideways", barrel_and_back, n=2000, noise=0)[:2])
    quintic, cubic = make((x1[:1000], x2[:1000])), make((x1[:800], x2[:800]))  # forty-two coefficients, or twenty
    assert row_error(quintic, exact1, exact2) < 0.04
    assert row_error(cubic, exact1, exact2) > 0.08 and cubic.drift


@pytest.mark.parametrize("motion", ["sideways", "forward"])
def test_noise_is_no_drift(motion):
    for noise in (0.0, 0.15, 1.0):
        x1, x2, make = drifting(motion, lambda x: x, noise=noise)
        assert make((x1, x2)).drift == {}
    x1, x2, make = drifting(motion, lens, n=300)
    assert make((x1, x2)).drift == {}  # too few matches
    x1, x2, make = drifting(motion, lens)
    assert make(None).drift == {}


def test_wrong_matches_do_not_bend_the_map():
    x1, x2, make = drifting("sideways", lens)
    wrong = np.random.default_rng(5).permutation(1500)[:150]
    bad = x2.copy()
    bad[wrong, 1] += np.random.default_rng(6).uniform(3, 6, 150)
    assert row_error(make((x1, bad)), x1, x2) < 1.1 * row_error(make((x1, x2)), x1, x2)


def matched(scene, noise=0.0):
    return matches_module.exact_matches(scene, 300, noise=noise, seed=4)


def test_rows_of_a_true_pair_correspond(handheld_pair):
    m = matched(handheld_pair)
    pair = rectify(handheld_pair.left, handheld_pair.right, view_of(handheld_pair), inlier_x=(m.x1, m.x2))
    assert pair.rows["places"] > 100 and pair.rows["median_px"] < 0.1 and pair.rows["most_px"] < 0.5


@pytest.mark.parametrize("shift", [0.4, 1.5])
def test_rows_that_are_shifted_are_measured(handheld_pair, shift):
    """The right picture moved down by so much; the matches, which do not include the move, only give the places."""
    m = matched(handheld_pair)
    pair = rectify(handheld_pair.left, handheld_pair.right, view_of(handheld_pair), inlier_x=(m.x1, m.x2))
    M = np.array([[1.0, 0, 0], [0, 1, shift]])
    moved = cv2.warpAffine(pair.right, M, pair.right.shape[1::-1], flags=cv2.INTER_CUBIC)
    rows = row_errors(replace(pair, right=moved), m.x1, m.x2)
    assert rows["median_px"] == pytest.approx(shift, abs=0.1)


def test_rows_without_texture_are_not_measured():
    x1, x2, make = drifting("sideways", lambda x: x)
    assert make((x1, x2)).rows == {} and make(None).rows == {}


def test_a_drift_of_the_matches_alone_is_not_followed(handheld_pair):
    """The pictures have the last word: matches bent by a lens, photos without one."""
    rng = np.random.default_rng(1)
    m = matches_module.exact_matches(handheld_pair, 1500, seed=4)
    centre, f = np.array([239.5, 179.5]), 400
    bent = centre + (m.x2 - centre) * (1 - 0.06 * ((m.x2 - centre) ** 2).sum(1, keepdims=True) / f**2)
    bent += rng.normal(0, 0.1, bent.shape)
    view = view_of(handheld_pair)
    pair = rectify(handheld_pair.left, handheld_pair.right, view, inlier_x=(m.x1, bent))
    assert pair.drift == {} and pair.rows["median_px"] < 0.1
    blank = Photo(np.zeros_like(handheld_pair.left.pixels))
    assert rectify(blank, blank, view, inlier_x=(m.x1, bent)).drift["largest_px"] > 0.5  # there only matches speak


@pytest.mark.parametrize(("fixture", "swapped"), [("slanted_pair", False), ("swapped_pair", True)])
def test_a_rectified_pair_keeps_its_pixels(request, fixture, swapped):
    scene = request.getfixturevalue(fixture)
    pair = rectify(scene.left, scene.right, view_of(scene))
    assert pair.kind == "identity" and pair.swapped is swapped
    assert np.array_equal(pair.left, scene.left.pixels) and np.array_equal(pair.right, scene.right.pixels)
    x, y = np.meshgrid(np.arange(320), np.arange(240))
    for xy in (pair.map1, pair.map2):
        assert xy.dtype == np.float32 and np.array_equal(xy, np.stack([x, y], -1))
    matches = matches_module.exact_matches(scene, 500)
    u1, u2 = rectified_positions(pair, matches.x1, matches.x2)
    assert np.abs(u1 - matches.x1).max() < 1e-6 and np.nanmax(np.abs(u2 - matches.x2)) < 1e-6
    d = scene.disparity_left[scene.visible1]
    low, high = disparity_range(pair, matches.x1, matches.x2)
    assert low <= d.min() and d.max() <= high
    assert (high < 0) if swapped else (low < d.min() and high > 0)


def test_a_rectified_pair_is_reduced_whole(slanted_pair):
    pair = rectify(slanted_pair.left, slanted_pair.right, view_of(slanted_pair), max_size=160)
    assert pair.left.shape == (120, 160, 3) and pair.kind == "identity"
    assert pair.map1[0, 0].tolist() == [0.5, 0.5] and pair.map1[-1, -1].tolist() == [318.5, 238.5]
    mean = slanted_pair.left.pixels.reshape(120, 2, 160, 2, 3).astype(float).mean((1, 3))
    assert np.abs(pair.left - mean).max() <= 0.5


@pytest.mark.parametrize("change", ["principal row", "focal", "turn", "step", "lens", "skew"])
def test_an_almost_rectified_pair_is_resampled(slanted_pair, change):
    rig = slanted_pair.rig
    K2 = rig.cam2.K.copy()
    R, t, dist = rig.R, rig.t, rig.cam2.dist
    if change == "principal row":
        K2[1, 2] += 1
    elif change == "focal":
        K2[0, 0] += 1
    elif change == "skew":
        K2[0, 1] += 1
    elif change == "turn":
        R = rotation_from_vector([0, 1e-4, 0])
    elif change == "step":
        t = t + [0, 0, 1e-4]
    else:
        dist = np.array([0.01, 0, 0, 0])
    rig = replace(rig, cam2=replace(rig.cam2, K=K2, dist=dist), R=R, t=t)
    pair = rectify(slanted_pair.left, slanted_pair.right, view_of(rig))
    assert pair.kind == "planar"
    rng = np.random.default_rng(3)
    X = hom(rng.uniform(-0.3, 0.3, (200, 2))) * rng.uniform(1.5, 3, (200, 1))
    u1, u2 = rectified_positions(pair, project(X, rig.cam1.K), project(X, K2, R, t, dist))
    assert np.nanmax(np.abs(u1 - u2)[:, 1]) < 0.01 and np.isfinite(u1 + u2).all(1).sum() > 100


def test_photos_of_different_size_are_not_rectified(slanted_pair):
    """Equal K and no turn, but the second photo is cut off below."""
    rig = replace(slanted_pair.rig, cam2=replace(slanted_pair.rig.cam2, size=(320, 200)))
    pair = rectify(slanted_pair.left, Photo(slanted_pair.right.pixels[:200]), view_of(rig))
    assert pair.kind == "planar" and pair.left.shape == pair.right.shape
    assert np.nanmax(np.abs(pair.map1[..., 1] - pair.map2[..., 1])) < 0.01


def test_another_principal_column_is_still_rectified(slanted_pair):
    K2 = slanted_pair.rig.cam2.K.copy()
    K2[0, 2] += 11
    rig = replace(slanted_pair.rig, cam2=replace(slanted_pair.rig.cam2, K=K2))
    assert rectify(slanted_pair.left, slanted_pair.right, view_of(rig)).kind == "identity"


@pytest.mark.parametrize("t", [(0, 0, -1.0), (0.05, 0.02, -1), (0, 0, 1.0), (0.3, 0, 1)])
def test_no_plane_for_forward_motion(t):
    camera = Camera(K, SIZE)
    photo = Photo(np.zeros((180, 240, 3), np.uint8))
    for R in (np.eye(3), rotation_from_vector([0.01, -0.02, 0.03])):
        view = view_of(Rig(camera, camera, R, np.array(t)))
        assert rectify(photo, photo, view).kind == "polar"
        with pytest.raises(StereoError) as caught:
            rectify(photo, photo, view, kind="planar")
        assert caught.value.code == "forward_motion" and "polar" in caught.value.advice
    x = project(np.array(t, float), K)
    with pytest.raises(StereoError, match=rf"epipole is at \({x[0]:.0f}, {x[1]:.0f}\) px, inside"):
        rectify(photo, photo, view_of(Rig(camera, camera, np.eye(3), np.array(t))), kind="planar")


@pytest.mark.parametrize("name", CASES | FORWARD)
def test_the_kind_is_chosen_by_where_the_epipoles_are(scenes, rectified, name):
    scene, matches = scenes(name)
    chosen = rectify(scene.left, scene.right, view_of(scene), inlier_x=(matches.x1[::3], matches.x2[::3]))
    assert chosen.kind == ("planar" if name in CASES else "polar")
    forced = rectified(name, chosen.kind)[2]
    assert np.array_equal(chosen.map1, forced.map1, equal_nan=True) and np.array_equal(chosen.left, forced.left)


def test_a_plane_that_would_lose_most_pixels_is_not_chosen(scenes):
    """An epipole two half pictures away: a plane can still be had, but only a small or a gigantic one."""
    camera = Camera(K, SIZE)
    photo = Photo(np.zeros((180, 240, 3), np.uint8))
    densities = []
    for sideways in np.linspace(0.35, 3, 14):
        pair = rectify(photo, photo, view_of(Rig(camera, camera, np.eye(3), np.array([-sideways, 0, -1.0]))))
        assert np.prod(pair.left.shape[:2]) < 2.05 * np.prod(SIZE)
        step = np.nanmedian(np.linalg.norm(np.diff(pair.map1, axis=1), axis=-1))
        densities.append((pair.kind, 1 / step))
    assert {kind for kind, _ in densities} == {"planar", "polar"}
    assert min(density for _, density in densities) > 0.6


directions = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1)


@settings(max_examples=tries(25), deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(directions, directions, st.floats(0, 25), st.sampled_from(["auto", "polar"]), st.integers(0, 3))
def test_any_motion_has_equal_rows(centre, axis, degrees, kind, quarters):
    """Whatever the motion: matches before both cameras have equal rows, and disparities of one order."""
    size = (120, 90)
    K1 = np.array([[110.0, 0, 59.5], [0, 112, 44.5], [0, 0, 1]])
    K2 = np.array([[95.0, 0, 62], [0, 95, 41], [0, 0, 1]])
    R = rotation_from_vector(np.radians(degrees) * np.array(axis) / np.linalg.norm(axis))
    R = rotation_from_vector([0, 0, quarters * np.pi / 2]) @ R
    C = np.array(centre) / np.linalg.norm(centre)
    cameras = Camera(K1, size, np.array([-0.1, 0.02, 0.001, 0])), Camera(K2, size)
    rig = Rig(*cameras, R, -R @ C)
    rng = np.random.default_rng(0)
    X = hom((rng.uniform(-0.5, 119.5, (4000, 2)) * [1, 0.75] - [59.5, 44.5]) / 111) * rng.uniform(3, 12, (4000, 1))
    x1, x2 = project(X, K1, dist=cameras[0].dist), project(X, K2, R, rig.t)
    inside = ((x1 > 0) & (x1 < [119, 89]) & (x2 > 0) & (x2 < [119, 89])).all(1) & ((X @ R.T + rig.t)[:, 2] > 0.2)
    inside &= epipole_distances(rig, x1, x2) > 4
    photo = Photo(np.zeros((90, 120, 3), np.uint8))
    assume(inside.sum() >= 200)
    pair = rectify(photo, photo, view_of(rig), kind=kind)
    x1, x2, X = x1[inside], x2[inside], X[inside]
    u1, u2 = rectified_positions(pair, x1, x2)
    known = surrounded(pair.map1, u1) & surrounded(pair.map2, u2)
    assert known.mean() > 0.85
    assert np.abs(u1 - u2)[known, 1].max() < 0.02
    assert np.prod(pair.left.shape[:2]) < 2.1 * np.prod(size)
    if pair.kind == "polar":
        d = (u1 - u2)[known, 0] * (-1 if pair.swapped else 1)
        assert np.corrcoef(d, parallax(view_of(rig), X[known]))[0, 1] > 0.999


def test_polar_on_demand_where_the_photos_are_rectified(slanted_pair):
    pair = rectify(slanted_pair.left, slanted_pair.right, view_of(slanted_pair), kind="polar")
    assert pair.kind == "polar"
    matches = matches_module.exact_matches(slanted_pair, 500)
    u1, u2 = rectified_positions(pair, matches.x1, matches.x2)
    assert np.isfinite(u1 + u2).all(1).mean() > 0.98 and np.nanmax(np.abs(u1 - u2)[:, 1]) < 0.01


@pytest.mark.parametrize("turn", [(60, 0, 0), (0, 120, 0), (0, 180, 0)])
def test_cameras_that_look_elsewhere_are_refused(turn):
    camera = Camera(K, SIZE)
    photo = Photo(np.zeros((180, 240, 3), np.uint8))
    R = rotation_from_vector(np.radians(turn))
    with pytest.raises(StereoError) as caught:
        rectify(photo, photo, view_of(Rig(camera, camera, R, -R @ [1.0, 0, 0])))
    assert caught.value.code in ("no_overlap", "forward_motion")


def test_no_match_inside_has_no_range(slanted_pair):
    pair = rectify(slanted_pair.left, slanted_pair.right, view_of(slanted_pair))
    with pytest.raises(StereoError) as caught:
        disparity_range(pair, np.array([[-50.0, 10]]), np.array([[10.0, 10]]))
    assert caught.value.code == "no_disparity"
    with pytest.raises(StereoError):
        disparity_range(pair, np.zeros((0, 2)), np.zeros((0, 2)))


def test_one_outlier_does_not_stretch_the_range():
    x, y = np.meshgrid(np.arange(200.0), np.arange(100.0))
    xy = np.stack([x, y], -1).astype(np.float32)
    pair = RectifiedPair(np.zeros((100, 200, 3), np.uint8), np.zeros((100, 200, 3), np.uint8), xy, xy)
    rng = np.random.default_rng(4)
    x1 = rng.uniform([60, 5], [190, 95], (1000, 2))
    d = rng.uniform(10, 30, 1000)
    x2 = x1 - np.stack([d, 0 * d], -1)
    x2[7] = [2, x1[7, 1]]
    low, high = disparity_range(pair, x1, x2)
    assert -10 < low <= 10 and 30 <= high < 50
    assert disparity_range(pair, x1, x2, margin=0, least=0)[1] <= 30
    wide = disparity_range(pair, x1, x2, margin=50)
    assert wide == (-199, 199)  # never wider than the picture


def test_an_unknown_rectification_is_refused():
    camera = Camera(np.array([[300.0, 0, 79.5], [0, 300, 59.5], [0, 0, 1]]), (160, 120))
    photo = Photo(np.zeros((120, 160, 3), np.uint8))
    view = view_of(Rig(camera, camera, np.eye(3), np.array([-1.0, 0, 0])))
    with pytest.raises(StereoError, match="auto, planar, polar"):
        rectify(photo, photo, view, kind="spherical")
    for size in (0, -3, 0.5, None):
        with pytest.raises(StereoError, match=f"max_size cannot be {size}. It is int at least 1") as caught:
            rectify(photo, photo, view, max_size=size)
        assert caught.value.code == "bad_option"


@pytest.mark.parametrize("options", [{"margin": -0.1}, {"margin": np.nan}, {"least": -1}, {"least": 2.5}])
def test_options_of_the_range_out_of_bounds_are_refused(slanted_pair, options):
    """A margin of -3 once gave an empty range, lo > hi."""
    pair = rectify(slanted_pair.left, slanted_pair.right, view_of(slanted_pair))
    x = np.array([[100.0, 100.0], [150.0, 120.0]])
    with pytest.raises(StereoError, match=next(iter(options))) as caught:
        disparity_range(pair, x, x - [5, 0], **options)
    assert caught.value.code == "bad_option"


def test_the_number_of_places_is_at_least_one(handheld_pair):
    m = matched(handheld_pair)
    pair = rectify(handheld_pair.left, handheld_pair.right, view_of(handheld_pair), max_size=160)
    with pytest.raises(StereoError, match="places"):
        row_errors(pair, m.x1, m.x2, places=0)


@pytest.mark.parametrize("fixture", ["handheld_pair", "forward_pair"])
def test_one_unknown_match_changes_nothing_for_the_others(request, fixture):
    """A match of NaN, as `undistort` returns beyond the lens's field, counts as none: canvas, rows, drift and range."""
    scene = request.getfixturevalue(fixture)
    m = matched(scene)
    x1, x2 = m.x1, m.x2
    spoilt = np.concatenate([x1, [[np.nan, 5.0]]]), np.concatenate([x2, [[5.0, 5.0]]])
    pair = rectify(scene.left, scene.right, view_of(scene), max_size=160, inlier_x=(x1, x2))
    again = rectify(scene.left, scene.right, view_of(scene), max_size=160, inlier_x=spoilt)
    assert np.array_equal(pair.map1, again.map1, equal_nan=True) and np.array_equal(pair.left, again.left)
    assert pair.drift == again.drift and abs(pair.rows["median_px"] - again.rows["median_px"]) < 0.02
    assert disparity_range(pair, x1, x2) == disparity_range(pair, *spoilt)


def test_a_robust_fit_ignores_wrong_values():
    """Oracle: least squares on the clean rows; a fifth of the values are off by 50 deviations."""
    rng = np.random.default_rng(0)
    B = rng.normal(size=(500, 3))
    r = B @ [2.0, -1.0, 0.5] + rng.normal(0, 0.01, 500)
    clean = np.linalg.lstsq(B[100:], r[100:], rcond=None)[0]
    r[:100] += 0.5
    np.testing.assert_allclose(huber_fit(B, r), clean, atol=0.005)
    assert np.abs(np.linalg.lstsq(B, r, rcond=None)[0] - clean).max() > 0.005


@pytest.mark.parametrize("kind", ["planar", "polar"])
def test_a_lens_that_folds_inside_the_photo_keeps_what_lies_inside_the_fold(handheld_pair, kind):
    """k1 = -.3 folds at r = 1.054, 69 % of the way to the border of a wide photo."""
    width, height = handheld_pair.left.size
    K = np.array([[0.33 * width, 0, (width - 1) / 2], [0, 0.33 * width, (height - 1) / 2], [0, 0, 1]])
    camera = Camera(K, (width, height), np.array([-0.3, 0, 0, 0]))
    border = photo_border(camera, 33)
    y = undistort(border, camera.K, camera.dist)
    assert np.isfinite(y).all()
    radius = np.linalg.norm(y, axis=1) / fold_radius(camera.dist)
    assert radius.max() <= 1 and np.mean(radius > 0.85) > 0.5
    rig = Rig(camera, camera, np.eye(3), np.array([-1.0, 0.02, 0]))
    pair = rectify(handheld_pair.left, handheld_pair.right, view_of(rig), kind=kind)
    known = np.isfinite(pair.map1).all(-1)
    assert known.mean() > 0.3
    y = undistort(pair.map1[known], camera.K, camera.dist)
    assert np.isfinite(y).all(1).mean() > 0.95  # beside the fold a pixel has no ray that could be trusted
    assert np.nanmax(np.linalg.norm(y, axis=-1)) < fold_radius(camera.dist)
