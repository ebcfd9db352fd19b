"""What each pixel of a photo shows of a mesh, against planes and balls known exactly."""

import numpy as np
import pytest

from stereo3d.mesh.photo_grid import cast_photo, onto_photo
from stereo3d.records import Camera, Mesh, WideLens

pytest.importorskip("open3d")

SIZE = (64, 48)
K = np.array([[60.0, 0, 33], [0, 58, 22], [0, 0, 1]])


def ball(n=90):
    """A unit ball about the camera, faces towards it."""
    a, b = np.meshgrid(np.linspace(0, 2 * np.pi, 2 * n), np.linspace(0, np.pi, n))
    X = np.stack([np.sin(b) * np.sin(a), -np.cos(b), np.sin(b) * np.cos(a)], -1).reshape(-1, 3)
    i = np.arange(2 * n * n).reshape(n, 2 * n)
    p, q, r, s = i[:-1, :-1].ravel(), i[1:, :-1].ravel(), i[1:, 1:].ravel(), i[:-1, 1:].ravel()
    return Mesh(X, np.concatenate([np.stack([p, q, r], -1), np.stack([p, r, s], -1)]).astype(np.int32))


@pytest.mark.parametrize("dist", [(), (-0.3, 0.1, 0.002, -0.001)])
@pytest.mark.parametrize("scale", [1, 3])
def test_a_slanted_plane_through_a_lens(dist, scale):
    """n X = 1: the depth is 1 / (n r) with the ray r = (x, y, 1) of the pixel, whatever the size of the photo."""
    n = np.array([0.05, -0.03, 0.25])
    xy = np.array([[-9.0, -9], [-9, 9], [9, 9], [9, -9]])
    X = np.column_stack([xy, (1 - xy @ n[:2]) / n[2]])
    camera = Camera(K, SIZE, np.array(dist, dtype=float))
    size = (SIZE[0] * scale, SIZE[1] * scale)
    depth, normals = cast_photo(Mesh(X, np.array([[0, 1, 2], [0, 2, 3]], np.int32)), camera, size, normals=True)
    x = (np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1])), -1) + 0.5) / scale - 0.5
    ray = camera.rays_from_pixels(x)
    assert depth.shape == size[::-1] and np.allclose(depth, 1 / (ray / ray[..., 2:] @ n), rtol=1e-5)
    assert np.allclose(normals, -n / np.linalg.norm(n), atol=1e-6)


def test_where_there_is_no_surface_it_is_nan():
    X = np.array([[-1.0, -1, 4], [-1, 1, 4], [1, 1, 4]])
    depth, none = cast_photo(Mesh(X, np.array([[0, 1, 2]], np.int32)), Camera(K, SIZE), SIZE)
    assert none is None and np.isnan(depth).mean() > 0.5 and np.isfinite(depth).any()
    corner = K[:2, :2] @ (X[:, :2] / 4).T + K[:2, 2:]
    row, column = np.nonzero(np.isfinite(depth))
    assert column.min() >= corner[0].min() and column.max() <= corner[0].max() and row.max() <= corner[1].max()


@pytest.mark.parametrize(
    "lens, size, K",
    [
        (WideLens("equirectangular"), (72, 36), [[72 / (2 * np.pi), 0, 35.5], [0, 36 / np.pi, 17.5], [0, 0, 1]]),
        (WideLens("fisheye", (0.01, 0, 0, 0)), (60, 60), [[18.0, 0, 29.5], [0, 18, 29.5], [0, 0, 1]]),
    ],
)
def test_of_wide_lenses_it_is_the_distance(lens, size, K):
    camera = Camera(np.array(K, dtype=float), size, lens=lens)
    depth, normals = cast_photo(ball(), camera, size, normals=True)
    x = np.stack(np.meshgrid(*(np.arange(n) for n in size)), -1)
    ray = camera.rays_from_pixels(x)
    shown = np.isfinite(ray).all(-1)
    assert np.array_equal(np.isfinite(depth), shown) and np.allclose(depth[shown], 1, atol=2e-3)
    assert np.einsum("ni,ni->n", normals[shown], ray[shown]).max() < -0.99  # towards the camera in every direction


@pytest.mark.parametrize("scale", [0.4, 1, 3])
def test_a_map_of_the_rectified_picture_on_the_photo(scale):
    """A picture turned by 20 degrees, 0 beyond its border; the photo has fewer or more pixels than it."""
    y, x = np.mgrid[0:60, 0:80].astype(float)
    a = np.radians(20)
    turned = np.stack([30 + np.cos(a) * x - np.sin(a) * y, 5 + np.sin(a) * x + np.cos(a) * y], -1)
    values = np.where(x < 40, 0.25, 0.75)
    values[20:30, 50:60] = 0
    size = (round(120 * scale), round(110 * scale))
    found = onto_photo(values, (turned + 0.5) * scale - 0.5, size)
    assert found.shape == size[::-1] and set(np.unique(found)) == {0, 0.25, np.float32(0.75)}
    v, u = np.mgrid[0 : size[1], 0 : size[0]]
    u, v = (u + 0.5) / scale - 0.5 - 30, (v + 0.5) / scale - 0.5 - 5
    there = np.stack([np.cos(a) * u + np.sin(a) * v, -np.sin(a) * u + np.cos(a) * v], -1)
    margin = 1.5 + 1 / scale
    inside = ((there > margin) & (there < np.array([79, 59]) - margin)).all(-1)
    hole = ((there > [49, 19]) & (there < [60, 30])).all(-1)
    near_hole = ((there > [49 - margin, 19 - margin]) & (there < [60 + margin, 30 + margin])).all(-1)
    left, right = inside & (there[..., 0] < 40 - margin), inside & (there[..., 0] > 40 + margin) & ~near_hole
    assert left.sum() > 50 and (found[left] == 0.25).all() and (found[right] == 0.75).all()
    outside = ((there < -4 - margin) | (there > np.array([83, 63]) + margin)).any(-1)
    assert (found[outside] == 0).all() and (found[hole] == 0).mean() > 0.5


def test_a_map_that_the_photo_does_not_show():
    found = onto_photo(np.ones((5, 6)), np.full((5, 6, 2), np.nan), (20, 10))
    assert found.shape == (10, 20) and not found.any()
