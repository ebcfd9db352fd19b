"""Rendered pictures against the photo, against textbook geometry, and for the wrong side of a surface."""

import sys

import numpy as np
import pytest

from stereo3d.errors import StereoError
from stereo3d.geometry import rotation_from_vector
from stereo3d.mesh.preview import BACK, VIEWS, bilinear, preview, render
from stereo3d.records import Camera, Mesh

pytest.importorskip("open3d")

SIZE = (160, 120)
K = np.array([[150.0, 0, 79.5], [0, 150.0, 59.5], [0, 0, 1]])
BACKGROUND = (24, 24, 28)


def photo(size=SIZE):
    """A picture smooth enough that a twice interpolated copy of it is still the picture, with no symmetry."""
    x, y = np.meshgrid(np.arange(size[0]) / size[0], np.arange(size[1]) / size[1])
    return np.stack([255 * x, 120 + 100 * np.sin(9 * x + 4 * y), 250 - 200 * y], -1).round().astype(np.uint8)


def plane(z_left=3.0, z_right=6.0, n=9):
    """A slanted plane that fills the picture, n x n vertices, uv by projection."""
    u, v = np.meshgrid(np.linspace(-0.5, SIZE[0] - 0.5, n), np.linspace(-0.5, SIZE[1] - 0.5, n))
    inverse = 1 / z_left + (u + 0.5) / SIZE[0] * (1 / z_right - 1 / z_left)
    X = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones(u.shape)], -1) / inverse[..., None]
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = i[:-1, :-1].ravel(), i[1:, :-1].ravel(), i[1:, 1:].ravel(), i[:-1, 1:].ravel()
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).astype(np.int32)
    uv = np.stack([(u + 0.5) / SIZE[0], 1 - (v + 0.5) / SIZE[1]], -1).reshape(-1, 2)
    return Mesh(X.reshape(-1, 3), faces, uv, photo())


def square(z=4.0, half=1.0, turned=False):
    X = np.array([[-half, -half, z], [-half, half, z], [half, half, z], [half, -half, z]])
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return Mesh(X, faces[:, ::-1] if turned else faces)


@pytest.mark.parametrize("scale", [0.5, 1, 3])
def test_from_camera_1_it_is_the_photo(scale):
    """Texture by projection, seen from where it was taken, is the photo, whatever the texture's resolution."""
    size = (round(SIZE[0] * scale), round(SIZE[1] * scale))
    mesh = plane(n=60)  # uv is interpolated flat over a face: small faces keep that under a texel
    mesh = Mesh(mesh.vertices, mesh.faces, mesh.uv, photo(size))
    picture = render(mesh, K=K, size=SIZE)
    assert picture.shape == (120, 160, 3) and picture.dtype == np.uint8
    difference = np.abs(picture.astype(int) - photo())
    assert np.median(difference) <= 2
    assert np.quantile(difference[2:-2, 2:-2], 0.999) <= 6


def test_a_square_is_where_the_camera_sees_it():
    picture = render(square(), K=K, size=SIZE)
    lit = (picture != BACKGROUND).any(-1)
    rows, columns = np.nonzero(lit)
    # corners project to 79.5 +- 37.5, 59.5 +- 37.5: pixels 42..117 by 22..97, the outermost half covered
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (42, 117, 22, 97)
    assert lit[22:98, 42:118].all()
    edge, inside = picture[60, 42].astype(int), picture[60, 60].astype(int)
    assert np.abs(edge - (inside + np.array(BACKGROUND)) / 2).max() <= 2  # two of the four rays of an edge pixel hit


def test_a_moved_camera_sees_what_x_is_r_x_plus_t():
    R, t = rotation_from_vector([0.1, -0.2, 0.3]), np.array([0.2, -0.1, 0.5])
    mesh = square()
    moved = Mesh(mesh.vertices @ R.T + t, mesh.faces)
    one, two = render(mesh, K=K, size=SIZE, R=R, t=t).astype(int), render(moved, K=K, size=SIZE).astype(int)
    assert (np.abs(one - two).max(-1) > 1).mean() < 1e-3  # rays that graze an edge may fall on either side
    assert (one != BACKGROUND).any()


def test_the_nearer_surface_hides_the_farther():
    near, far = square(3.0, 0.3), square(5.0, 2.0)
    texture = np.zeros((2, 2, 3), np.uint8)
    texture[:, 0], texture[:, 1] = (255, 0, 0), (0, 0, 255)
    uv = np.repeat([[0.0, 0.5], [1.0, 0.5]], 4, axis=0)
    both = Mesh(np.r_[near.vertices, far.vertices], np.r_[near.faces, far.faces + 4].astype(np.int32), uv, texture)
    picture = render(both, K=K, size=SIZE)
    assert tuple(picture[60, 80]) == (255, 0, 0) and tuple(picture[60, 40]) == (0, 0, 255)


@pytest.mark.parametrize("shading", ["texture", "lit", "clay"])
def test_the_back_has_its_own_colour(shading):
    mesh = plane()
    back = Mesh(mesh.vertices, mesh.faces[:, ::-1], mesh.uv, mesh.texture)
    front, wrong = (render(m, K=K, size=SIZE, shading=shading) for m in (mesh, back))
    assert (wrong[5:-5, 5:-5] == BACK.astype(np.uint8)).all()
    assert not (front[5:-5, 5:-5] == BACK.astype(np.uint8)).all(-1).any()


def test_clay_follows_the_cosine_of_the_light():
    """A square turned by 60 degrees under a lamp at the camera: (1/4 + 3/4 cos) of one seen straight on."""
    straight = render(square(), K=K, size=SIZE, shading="clay")[60, 80].astype(float)
    R = rotation_from_vector([0, np.radians(60), 0])
    mesh = square()
    turned = Mesh((mesh.vertices - [0, 0, 4]) @ R.T + [0, 0, 4], mesh.faces)
    slanted = render(turned, K=K, size=SIZE, shading="clay")[60, 80].astype(float)
    assert np.allclose(slanted / straight, 0.25 + 0.75 * 0.5, atol=0.01)


def test_texels_and_between():
    texture = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.float32)
    y, x = np.mgrid[:5, :7]
    uv = np.stack([(x + 0.5) / 7, 1 - (y + 0.5) / 5], -1).reshape(-1, 2)
    assert np.allclose(bilinear(texture, uv), texture.reshape(-1, 3), atol=1e-3)
    half = bilinear(texture, np.array([[2 / 7, 1 - 1 / 5]]))  # the corner where four texels meet
    assert np.allclose(half, texture[0:2, 1:3].mean((0, 1)), atol=1e-3)
    assert np.allclose(bilinear(texture, np.array([[0.0, 1.0], [1, 0]])), [texture[0, 0], texture[-1, -1]])
    assert np.allclose(bilinear(texture[:1, :1], np.array([[0.3, 0.7]])), texture[0, 0])


def test_the_sheet_starts_with_the_photo_and_turns_about_the_surface():
    mesh = plane(n=60)
    sheet = preview(mesh, Camera(K, SIZE), views=("front", "left", "right", "up"), size=80)
    assert sheet.shape == (2 * 60, 4 * 80, 3)
    expected = photo().reshape(60, 2, 80, 2, 3).mean((1, 3))
    assert np.median(np.abs(sheet[:60, :80] - expected)) <= 2
    for column in range(4):
        for row in range(2):
            tile = sheet[60 * row : 60 * row + 60, 80 * column : 80 * column + 80]
            assert (tile != BACKGROUND).any(-1).mean() > 0.1
    bare = preview(Mesh(mesh.vertices, mesh.faces), Camera(K, SIZE), views=tuple(VIEWS), size=80)
    assert bare.shape == (60, 80 * len(VIEWS), 3)


@pytest.mark.parametrize("view, axis, sign", [("left", 1, 1), ("right", 1, -1), ("up", 0, 1), ("down", 0, -1)])
def test_each_view_is_from_its_side(view, axis, sign):
    """A small square before a wall moves against the camera: from the left it is seen farther right on the wall."""
    front, wall = square(3.0, 0.2), square(5.0, 3.0)
    texture = np.zeros((2, 2, 3), np.uint8)
    texture[:, 0] = 255
    uv = np.repeat([[0.0, 0.5], [1.0, 0.5]], 4, axis=0)
    # many small squares of wall make its middle the middle of the surface
    mesh = Mesh(np.r_[front.vertices, wall.vertices], np.r_[front.faces, wall.faces + 4].astype(np.int32), uv, texture)
    tile = preview(mesh, Camera(K, SIZE), views=(view,), size=160)[:120].astype(int)
    white = (tile.min(-1) > 200).nonzero()
    black = (tile.max(-1) < 10).nonzero()
    offset = white[axis].mean() - (black[axis].min() + black[axis].max()) / 2
    assert sign * offset > 5


def shares(mesh, camera, views=("left", "right", "up", "down")):
    """The share of each view that shows the surface."""
    sheet = preview(mesh, camera, views=views, size=160)[:120]
    return (sheet.reshape(120, len(views), 160, 3) != BACKGROUND).any(-1).mean((0, 2))


def joined(*meshes):
    first = np.cumsum([0, *(len(m.vertices) for m in meshes)])
    faces = np.concatenate([m.faces + n for m, n in zip(meshes, first[:-1], strict=True)])
    return Mesh(np.concatenate([m.vertices for m in meshes]), faces.astype(np.int32))


def test_a_far_crumb_does_not_shrink_the_views():
    """A crumb a hundred times as far, with as many vertices as the surface: it is a few pixels of the photo."""
    mesh = plane(n=30)
    mesh = Mesh(mesh.vertices, mesh.faces)
    crumb = Mesh(mesh.vertices * 0.02 + [3, 2, 400], mesh.faces)
    alone, both = shares(mesh, Camera(K, SIZE)), shares(joined(mesh, crumb), Camera(K, SIZE))
    assert (alone > 0.3).all() and np.allclose(both, alone, atol=0.02)


def test_a_small_part_at_another_distance_does_not_shrink_the_views():
    """A corner of the background, 7 % of the surface at three times its distance."""
    mesh = plane(n=30)
    mesh = Mesh(mesh.vertices, mesh.faces)
    corner = Mesh((mesh.vertices * [0.22, 0.22, 1] + [-1.0, 0.8, 0]) * 3, mesh.faces)
    alone, both = shares(mesh, Camera(K, SIZE)), shares(joined(mesh, corner), Camera(K, SIZE))
    assert (alone > 0.3).all() and (both > 0.9 * alone).all()


def test_a_pendulum_is_seen_whole_from_every_side():
    """A bob at the end of a thin rod that runs away from the camera, and one that hangs before it."""
    for towards in ([0, 0, 1.0], [0, 1.0, 0]):
        end = np.array([0, -1.5, 4]) + 3 * np.array(towards)
        start, wide = np.array([0, -1.5, 4]), np.array([0.015, 0.01, 0.02])  # edge-on from nowhere
        rod = Mesh(np.array([start - wide, start + wide, end - wide, end + wide]), square().faces)
        bob = Mesh(square(0.0, 0.3).vertices + end, square().faces)
        sheet = preview(joined(rod, bob), Camera(K, SIZE), views=tuple(VIEWS), size=160)
        for tile in sheet.reshape(120, len(VIEWS), 160, 3).transpose(1, 0, 2, 3)[1:]:
            row, column = np.nonzero((tile != BACKGROUND).any(-1))
            assert len(row) > 100  # nothing is so small that it is lost
            assert max(np.ptp(row) / 120, np.ptp(column) / 160) > 0.5


@pytest.mark.parametrize("centre", [(-60.0, 59.5), (79.5, 300.0), (79.5, 59.5)])
def test_the_views_do_not_depend_on_where_the_principal_point_is(centre):
    """A picture cut out of a larger one may have its principal point outside."""
    cut = K.copy()
    cut[:2, 2] = centre
    X = plane(n=30).vertices
    mesh = Mesh(X, plane(n=30).faces)
    assert (shares(mesh, Camera(cut, SIZE)) > 0.3).all()


def test_texture_and_clay_come_from_the_same_rays(monkeypatch):
    """The sheet is made of the very pictures that `render` draws, and casts half the rays."""
    open3d = pytest.importorskip("open3d")
    mesh, cast = plane(n=20), []
    kind = open3d.t.geometry.RaycastingScene
    whole = kind.cast_rays
    monkeypatch.setattr(
        kind, "cast_rays", lambda self, rays, *more: cast.append(rays.shape) or whole(self, rays, *more)
    )
    sheet = preview(mesh, Camera(K, SIZE), views=("front",), size=160)
    assert sum(np.prod(shape[:-1]) for shape in cast) == 4 * 160 * 120
    for part, shading in ((sheet[:120], "texture"), (sheet[120:], "clay")):
        assert np.array_equal(part, render(mesh, K=K, size=SIZE, shading=shading))


def test_misuse_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="clay"):
        render(square(), K=K, size=SIZE, shading="phong")
    with pytest.raises(ValueError, match="front"):
        preview(square(), Camera(K, SIZE), views=("behind",))
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(StereoError) as caught:
        render(square(), K=K, size=SIZE)
    assert caught.value.code == "library_missing"
