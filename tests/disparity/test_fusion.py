"""Fusion of both maps on surfaces known exactly: agreement, contradiction, gaps, surfaces steep to one photo."""

import numpy as np
import pytest

from stereo3d.disparity.fusion import fuse
from stereo3d.mesh import build_mesh
from stereo3d.records import Camera, DisparityMap, RectifiedPair, Rig, TwoView
from stereo3d.triangulation import triangulate, triangulate_between

H, W = 20, 60
F, B = 100.0, 1.0


def disparity_map(d, sigma=0.1):
    d = np.broadcast_to(np.asarray(d, np.float32), (H, W)).copy()
    known = np.isfinite(d)
    return DisparityMap(d, known.astype(np.float32), np.where(known, np.float32(sigma), np.float32(np.nan)))


def both(of_left):
    """The maps of a surface whose left disparity at column x is of_left(x), rising by less than a pixel a column."""
    x = np.linspace(-20, W + 20, 200_001)
    u = x - of_left(x)
    right = np.interp(np.arange(W), u, of_left(x), left=np.nan, right=np.nan)
    return disparity_map(of_left(np.arange(W))), disparity_map(right)


def scene(swapped=False):
    """A rectified pair with the cameras one baseline apart."""
    grid = np.stack(np.meshgrid(np.arange(W), np.arange(H)), -1).astype(np.float32)
    picture = np.zeros((H, W, 3), np.uint8)
    K = np.array([[F, 0, W / 2], [0, F, H / 2], [0, 0, 1]])
    t = np.array([B if swapped else -B, 0, 0])
    rig = Rig(Camera(K, (W, H)), Camera(K, (W, H)), np.eye(3), t)
    pair = RectifiedPair(picture, picture, grid, grid, swapped=swapped)
    return pair, TwoView(np.zeros((3, 3)), np.eye(3), t, np.zeros(0, bool), rig)


def test_agreeing_maps_are_averaged_by_inverse_variance():
    fused, more = fuse(disparity_map(10.0, 0.1), disparity_map(10.3, 0.2))
    inner = fused.disparity[:, 12:-1]
    assert np.allclose(inner, (10.0 / 0.01 + 10.3 / 0.04) / (1 / 0.01 + 1 / 0.04), atol=1e-4)
    assert np.allclose(fused.sigma[:, 12:], 0.1) and len(more.x) == 0


@pytest.mark.parametrize("swapped", [False, True])
def test_a_disparity_in_front_of_the_other_map_is_dropped(swapped):
    """The other map's surface replaces it; one that is hidden from the other map, by something nearer, stays."""
    sign = -1 if swapped else 1
    for wrong in (14.0, 6.0):
        left = np.full((H, W), 10.0 * sign)
        left[8:12, 30:34] = wrong * sign
        fused, _ = fuse(disparity_map(left), disparity_map(10.0 * sign), swapped=swapped)
        assert np.allclose(fused.disparity, 10.0 * sign if wrong > 10 else left)
    # where the other map knows nothing it contradicts nothing
    right = np.full((H, W), np.nan)
    left = np.full((H, W), 10.0 * sign)
    fused, _ = fuse(disparity_map(left), disparity_map(right), swapped=swapped)
    assert np.allclose(fused.disparity, left) and np.allclose(fused.sigma, 0.1)


@pytest.mark.parametrize("slope", [-0.4, 0.0, 0.3])
def test_gaps_of_one_map_are_filled_from_the_other(slope):
    left, right = both(lambda x: 8 + slope * x)
    holed = left.disparity.copy()
    holed[5:15, 30:36] = np.nan
    fused, _ = fuse(disparity_map(holed), right)
    new = np.isnan(holed) & np.isfinite(fused.disparity)
    assert new[5:15, 30:36].all()
    assert np.allclose(fused.disparity[new], left.disparity[new], atol=1e-3)


def test_a_gap_without_texture_in_the_left_picture_stays():
    left, right = both(lambda x: 10 + 0.05 * x)
    left.disparity[:, 30:34], left.sigma[:, 30:34] = np.nan, np.nan
    left.sigma[: H // 2, 30:34] = np.inf
    fused, _ = fuse(left, right)
    assert np.isnan(fused.disparity[: H // 2, 30:34]).all() and np.isfinite(fused.disparity[H // 2 :, 30:34]).all()


def test_isolated_pixels_are_not_filled():
    left = np.full((H, W), np.nan)
    left[:5] = 10.0
    fused, _ = fuse(disparity_map(left), disparity_map(10.0))
    assert np.isnan(fused.disparity[5:]).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_wall_steep_to_the_first_photo_is_completed_by_the_second(sign):
    """d falls by 3 px a column: the right picture has four pixels to each left one, and they lie on the wall."""
    pair, view = scene(swapped=sign < 0)

    def wall(x):  # flat, then steep away from the left camera, then flat
        return np.interp(x, [42, 52], [40.0, 10.0])

    left, right = both(wall)
    if sign < 0:  # mirrored: the first photo is on the right
        left, right = (disparity_map(-m.disparity[:, ::-1]) for m in (left, right))
    fused, more = fuse(left, right)
    x, row, d, sigma = more.x, more.row, more.disparity, more.sigma
    assert (np.diff(row * W + x) > 0).all()
    assert len(x) == 30 * H and np.allclose(sigma, 0.1)
    assert np.allclose(d, wall(x) if sign > 0 else -wall(W - 1 - x), atol=1e-3)
    points, s = triangulate(fused.disparity, pair, view, disparity_sigma=fused.sigma)
    between = triangulate_between(more, pair, view)
    z = (
        F
        * B
        / wall(
            (between.points[:, 0] / between.points[:, 2] * F + W / 2)
            if sign > 0
            else (W - 1 - between.points[:, 0] / between.points[:, 2] * F - W / 2)
        )
    )
    assert np.allclose(between.points[:, 2], z, rtol=1e-3) and len(between.after) == len(x)
    assert (np.diff(between.after) >= 0).all()

    made = {}
    for name, extra in (("left", None), ("both", between)):
        settings = {"method": "grid", "max_angle": 84.0, "smooth": False, "islands": 0.0}
        mesh = build_mesh(points, sigma=s * 0.01, between=extra, **settings)
        made[name] = mesh
        half_edges = np.concatenate([mesh.faces[:, [i, (i + 1) % 3]] for i in range(3)])
        assert len(np.unique(half_edges, axis=0)) == len(half_edges)
        a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
        assert (np.sum(np.cross(b - a, c - a) * a, -1) < 0).all()
    assert len(made["both"].faces) > len(made["left"].faces) + len(x)

    def whole(mesh):  # is there surface at every depth between front and back?
        lo, hi = (mesh.vertices[mesh.faces, 2].min(1), mesh.vertices[mesh.faces, 2].max(1))
        return all(((lo <= z) & (hi >= z)).any() for z in np.linspace(2.6, 9.8, 60))

    assert whole(made["both"]) and not whole(made["left"])


def test_shapes_must_agree():
    small = DisparityMap(*(np.zeros((3, 4), np.float32),) * 3)
    with pytest.raises(ValueError, match="one size"):
        fuse(disparity_map(1.0), small)


def test_the_number_of_processors_does_not_matter(monkeypatch):
    """Rows are shared among them: the same maps and the same points between their pixels, in the same order."""
    rng = np.random.default_rng(0)
    u = np.arange(80.0)
    right = np.tile(30 - 0.7 * u, (23, 1))  # a wall steep to the left camera: x = u + d = 30 + .3 u
    left = np.tile(30 - 0.7 * (u - 30) / 0.3, (23, 1))
    left += rng.normal(0, 0.02, left.shape)
    left[(rng.random(left.shape) < 0.1) | (u < 30) | (u > 53)] = np.nan
    maps = [
        DisparityMap(*(v.astype(np.float32) for v in (d, np.ones_like(d), np.full_like(d, 0.1)))) for d in (left, right)
    ]
    found = []
    for count in (1, 4):
        monkeypatch.setattr("stereo3d.resources.processors", lambda count=count: count)
        fused, between = fuse(*maps)
        found.append([fused.disparity, fused.confidence, fused.sigma, between.x, between.row, between.disparity])
    assert len(found[0][3]) > 20
    for alone, shared in zip(*found, strict=True):
        np.testing.assert_array_equal(alone, shared)
