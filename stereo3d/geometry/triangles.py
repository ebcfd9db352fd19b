"""Normals of a triangle mesh."""

import numpy as np

from .arrays import TINY


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """n_v ~ sum over the faces (a, b, c) at v of (b - a) x (c - a): unit normals weighted by area.

    Parameters
    ----------
    vertices : (V, 3) float64
        Points.
    faces : (M, 3) int
        Counter-clockwise seen from outside.

    Returns
    -------
    (V, 3) float64
        Towards the outside; zero for a vertex without a face.
    """
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    face, corners = np.cross(b - a, c - a), faces.ravel()
    n = np.stack([np.bincount(corners, np.repeat(face[:, k], 3), len(vertices)) for k in range(3)], -1)
    return n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), TINY)
