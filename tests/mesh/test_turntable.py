"""The mesh in motion: each picture against geometry, the loop, the place of a panorama."""

import numpy as np
import pytest

from stereo3d.mesh.preview import BACKGROUND, render
from stereo3d.mesh.turntable import turntable
from stereo3d.records import Camera, Mesh, WideLens

pytest.importorskip("open3d")

SIZE = (160, 120)
K = np.array([[150.0, 0, 79.5], [0, 150.0, 59.5], [0, 0, 1]])


def square(z, half, centre=(0, 0)):
    X = np.array([[-half, -half, z], [-half, half, z], [half, half, z], [half, -half, z]], float)
    return X + [*centre, 0], np.array([[0, 1, 2], [0, 2, 3]])


@pytest.fixture(scope="module")
def pictures():
    """Eight pictures of a small white square before a black wall."""
    (front, f), (wall, g) = square(3.0, 0.2), square(5.0, 1.5)
    texture = np.zeros((2, 2, 3), np.uint8)
    texture[:, 0] = 255
    mesh = Mesh(
        np.r_[front, wall], np.r_[f, g + 4].astype(np.int32), np.repeat([[0.0, 0.5], [1.0, 0.5]], 4, 0), texture
    )
    return list(turntable(mesh, Camera(K, SIZE), frames=8, size=160))


def test_it_swings_to_both_sides_and_comes_back(pictures):
    """What is nearer moves against the camera, a quarter of the way farthest to one side, and then to the other."""
    assert len(pictures) == 8 and all(p.shape == (120, 160, 3) and p.dtype == np.uint8 for p in pictures)
    offset = []
    for p in pictures:
        white, black = (p.min(-1) > 200).nonzero()[1], (p.max(-1) < 10).nonzero()[1]
        offset.append(white.mean() - (black.min() + black.max()) / 2)
    assert offset[2] < -5 and offset[6] > 5 and np.allclose(offset, -np.roll(offset, 4), atol=5)
    assert np.argmin(offset) == 2 and np.argmax(offset) == 6 and abs(offset[0]) < 5


def test_the_surface_is_whole_in_every_picture_and_keeps_its_size(pictures):
    for p in pictures:
        seen = (p != BACKGROUND).any(-1)
        assert seen.mean() > 0.25 and not seen[:, [0, -1]].any()
    heights = [np.ptp((p != BACKGROUND).any(-1).nonzero()[0]) for p in pictures]
    assert max(heights) - min(heights) < 25, "one distance for all"


def test_sides_are_even_and_the_longer_one_is_as_asked():
    X, faces = square(4.0, 1.0)
    mesh = Mesh(X, faces.astype(np.int32))
    [picture] = turntable(mesh, Camera(np.array([[150.0, 0, 50], [0, 150.0, 76], [0, 0, 1]]), (101, 153)), frames=1)
    assert picture.shape == (480, 316, 3)


def test_in_a_panorama_it_looks_once_around():
    """Four walls, each of a colour, around the camera: ahead, right, behind, left."""
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]]], np.uint8)
    X, faces, uv = [], [], []
    for k in range(4):
        wall, f = square(2.0, 2.0)
        a = np.pi / 2 * k
        X.append(wall @ np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]]))
        faces.append(f + 4 * k)
        uv += [[(k + 0.5) / 4, 0.5]] * 4
    mesh = Mesh(np.concatenate(X), np.concatenate(faces).astype(np.int32), np.array(uv), colours)
    camera = Camera(np.eye(3), (400, 200), lens=WideLens("equirectangular"))
    pictures = list(turntable(mesh, camera, frames=4, size=64))
    middles = [p[p.shape[0] // 2, p.shape[1] // 2] for p in pictures]
    assert np.allclose(middles, colours[0], atol=2)
    turn = np.array([[0, 0, -1.0], [0, 1, 0], [1, 0, 0]])  # a camera that looks to the right
    K90 = np.array([[16, 0, 31.5], [0, 16, 15.5], [0, 0, 1.0]])
    assert np.array_equal(pictures[1], render(mesh, K=K90, size=(64, 32), R=turn))
