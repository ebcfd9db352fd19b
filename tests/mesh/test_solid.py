"""Closed shells: watertight by trimesh's test, of the volume and thickness asked for, also where parts touch."""

import numpy as np
import pytest
import trimesh

from stereo3d.errors import StereoError
from stereo3d.io import write_mesh
from stereo3d.mesh.solid import solid_mesh
from stereo3d.records import Mesh


def sheet(n=9, missing=()):
    """A wavy sheet at a distance of about 5, without the cells named (row, column)."""
    u, v = np.meshgrid(np.linspace(-1, 1, n), np.linspace(-1, 1, n))
    X = np.stack([2 * u, 2 * v, 5 + 0.3 * np.sin(3 * u) * np.cos(2 * v)], -1).reshape(-1, 3)
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = i[:-1, :-1], i[1:, :-1], i[1:, 1:], i[:-1, 1:]
    keep = np.ones(a.shape, bool)
    for cell in missing:
        keep[cell] = False
    a, b, c, d = (corner[keep] for corner in (a, b, c, d))
    return Mesh(X, np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).astype(np.int32))


def read_back(mesh, folder, **style):
    return trimesh.load(write_mesh(folder / "a.stl", mesh, **style)[0])


@pytest.mark.parametrize(
    "missing",
    [
        (),
        [(3, 3)],  # a hole
        [(0, 0), (1, 1)],  # parts that touch in one vertex
        [(2, 2), (3, 3), (4, 2), (3, 1)],
        [(k, (k * 3) % 8) for k in range(8)] + [(k, k) for k in range(8)],
        [(k, j) for k in range(8) for j in range(8) if (k + j) % 2],  # a chessboard: every vertex is shared
    ],
    ids=["whole", "hole", "touching", "ring", "scattered", "chessboard"],
)
def test_a_shell_is_watertight(tmp_path, missing):
    """In the STL too, from which readers join corners by their coordinates."""
    surface = sheet(missing=missing)
    shell = solid_mesh(surface, 0.2)
    for read in (trimesh.Trimesh(shell.vertices, shell.faces, process=False), read_back(shell, tmp_path)):
        assert read.is_watertight and read.is_winding_consistent and read.volume > 0
    # the front is there, and the volume is that between two similar surfaces: of each face a frustum from the camera
    a, b, c = (surface.vertices[surface.faces[:, k]] for k in range(3))
    cone = np.abs(np.einsum("ni,ni->n", a, np.cross(b, c))) / 6
    grown = np.prod([1 + 0.2 / np.linalg.norm(p, axis=1) for p in (a, b, c)], axis=0)
    assert read.volume == pytest.approx((cone * (grown - 1)).sum(), rel=0.15 if missing else 0.01)


def test_the_back_lies_behind_along_the_rays():
    surface = sheet()
    shell = solid_mesh(surface, 0.2)
    front, back = shell.vertices[: len(surface.vertices)], shell.vertices[len(surface.vertices) :]
    assert np.allclose(np.sort(front, axis=0), np.sort(surface.vertices, axis=0))
    assert np.allclose(np.linalg.norm(back - front, axis=1), 0.2) and np.allclose(np.cross(front, back), 0, atol=1e-12)


def test_faces_at_an_edge_of_three_are_left_out():
    surface = sheet(5)
    extra = np.concatenate([surface.vertices, [[0, 0, 4.0]]])
    fin = np.array([[*surface.faces[3, :2], len(extra) - 1]], np.int32)
    shell = solid_mesh(Mesh(extra, np.concatenate([surface.faces, fin])), 0.1)
    assert trimesh.Trimesh(shell.vertices, shell.faces, process=False).is_watertight


@pytest.mark.parametrize("thickness", [0, -1, np.nan, np.inf])
def test_a_thickness_is_positive(thickness):
    with pytest.raises(StereoError, match="positive thickness") as caught:
        solid_mesh(sheet(), thickness)
    assert caught.value.code == "bad_option"
