"""Triangle meshes: normals, connected components, the vertices in use."""

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


def face_components(faces: np.ndarray, count: int) -> np.ndarray:
    """Return the connected component of each face; faces that share a vertex are connected.

    Parameters
    ----------
    faces : (M, 3) int
    count : int
        Number of vertices.

    Returns
    -------
    (M,) int32
        Numbers of components; a vertex without a face has a number of its own.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ends = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = coo_matrix((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1][faces[:, 0]]


def used_vertices(faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices that faces use, in ascending order, and the faces renumbered to them.

    Parameters
    ----------
    faces : (M, 3) int
    count : int
        Number of vertices.

    Returns
    -------
    used : (U,) int64
    faces : (M, 3) int64
    """
    used = np.zeros(count, dtype=bool)
    used[faces] = True
    return np.flatnonzero(used), (np.cumsum(used) - 1)[faces]
