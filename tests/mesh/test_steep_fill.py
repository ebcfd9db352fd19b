"""Holes are not filled by faces along the line of sight."""

import numpy as np

from stereo3d.mesh.build import without_steep_fill
from stereo3d.records import Mesh


def test_a_steep_face_in_a_filled_hole_is_left_out():
    flat, edge = [[0, 0, 4.0], [1, 0, 4], [0, 1, 4]], [[0.2, 0.2, 4.0], [0.25, 0.2, 4.2], [0.2, 0.21, 9]]
    vertices, faces = np.array(flat + edge), np.array([[0, 2, 1], [3, 5, 4]], np.int32)
    measured = Mesh(vertices, faces, sigma=np.full(6, 0.1))
    assert len(without_steep_fill(measured).faces) == 2
    filled = Mesh(vertices, faces, sigma=np.array([0.1, 0.1, 0.1, np.nan, 0.1, 0.1]))
    kept = without_steep_fill(filled)
    assert len(kept.faces) == 1 and np.array_equal(kept.vertices, flat)
    flat_fill = Mesh(vertices, faces, sigma=np.array([np.nan] * 3 + [0.1] * 3))
    assert len(without_steep_fill(flat_fill).faces) == 2
