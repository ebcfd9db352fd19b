"""A closed shell of a surface, for printing."""

from pathlib import Path

import numpy as np

from ..errors import StereoError
from ..geometry.arrays import TINY, norms
from ..geometry.triangles import used_vertices
from ..records import Mesh

PULL = 0.05  # of the way to its neighbours that a vertex moves where parts of the surface touch in it alone


def solid_mesh(mesh: Mesh, thickness: float) -> Mesh:
    """X' = X (1 + thickness / |X|): the surface, its copy behind it along the rays of camera 1, and walls between.

    Each edge has two faces, so that the shell is watertight. Where parts of the surface meet in a single vertex, each
    gets a vertex of its own, moved a little inwards. Faces at edges of three or more faces are left out.

    Parameters
    ----------
    mesh : Mesh
        In the frame of camera 1, no vertex in its centre.
    thickness : float
        Units of the mesh, positive.

    Returns
    -------
    Mesh
        Without texture.

    Raises
    ------
    StereoError
        "bad_option" for a thickness that is not positive, "empty_mesh" where no face is left.
    """
    check_thickness(thickness)
    faces = mesh.faces.astype(np.int64)
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
    faces = _two_faces_an_edge(faces, len(mesh.vertices))
    if not len(faces):
        raise StereoError("empty_mesh", "no face of the mesh can be part of a closed shell.", "Check the mesh.")
    vertices, faces = _fans_apart(mesh.vertices, faces)
    distance = norms(vertices)[:, None]
    count = len(vertices)
    back = vertices * (1 + thickness / np.maximum(distance, TINY))
    ends = _directed_edges(faces)
    order, inverse = _edge_numbers(ends, count)
    border = ends[np.bincount(inverse, minlength=len(order))[inverse] == 1]
    a, b = border.T
    walls = np.concatenate([np.column_stack([b, a, a + count]), np.column_stack([b, a + count, b + count])])
    shell = np.concatenate([faces, faces[:, ::-1] + count, walls]).astype(np.int32)
    return Mesh(np.concatenate([vertices, back]), shell)


def check_thickness(thickness: float, path: Path | None = None) -> None:
    """Raise StereoError("bad_option") unless a thickness is positive and the file, where there is one, is an .stl."""
    if not (np.isfinite(thickness) and thickness > 0):
        raise StereoError(
            "bad_option", f"solid cannot be {thickness:g}.", "Give a positive thickness in the unit of the model."
        )
    if path is not None and path.suffix.lower() != ".stl":
        raise StereoError(
            "bad_option",
            f"solid makes a closed shell without texture, for printing, and {path} is no .stl.",
            "Name an .stl (-o model.stl), or leave --solid out.",
        )


def _directed_edges(faces: np.ndarray) -> np.ndarray:
    """The edges (3 M, 2) of faces, in the order of their corners: a face's first, those of all second, ..."""
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def _edge_numbers(ends: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The different undirected edges as numbers, and which of them each of `ends` is."""
    low, high = ends.min(1).astype(np.int64), ends.max(1).astype(np.int64)
    return np.unique(low * count + high, return_inverse=True)


def _two_faces_an_edge(faces: np.ndarray, count: int) -> np.ndarray:
    """The faces none of whose edges has three faces, or two that pass it in the same direction."""
    ends = _directed_edges(faces)
    order, inverse = _edge_numbers(ends, count)
    forward = np.bincount(inverse, ends[:, 0] < ends[:, 1], len(order))
    total = np.bincount(inverse, minlength=len(order))
    wrong = (total > 2) | ((total == 2) & (forward != 1))
    return faces[~wrong[inverse].reshape(3, -1).any(0)]


def _fans_apart(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces such that the faces at each vertex are joined by edges: one vertex for each fan of faces."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    m = len(faces)
    corner = np.arange(3 * m).reshape(3, m).T  # number of each corner of each face
    ends = _directed_edges(faces)
    at = np.concatenate([corner[:, [0, 1]], corner[:, [1, 2]], corner[:, [2, 0]]])
    _, inverse = _edge_numbers(ends, len(vertices))
    order = np.argsort(inverse, kind="stable")
    pair = np.flatnonzero(inverse[order][1:] == inverse[order][:-1])
    one, two = at[order[pair]], at[order[pair + 1]][:, ::-1]  # the second face passes the edge the other way
    joined = np.concatenate([one, two], axis=1)[:, [0, 2, 1, 3]].reshape(-1, 2)
    graph = coo_matrix((np.ones(len(joined), np.int8), joined.T), shape=(3 * m, 3 * m))
    fans, number = connected_components(graph, directed=False)
    source = np.empty(fans, np.int64)
    source[number[corner]] = faces
    new_faces, out = number[corner].astype(np.int64), vertices[source].astype(float)
    several = np.bincount(source, minlength=len(vertices))[source] > 1
    if several.any():  # readers that join equal points must not join these
        total = np.zeros((fans, 3))
        centres, corners = np.repeat(out[new_faces].mean(1), 3, axis=0), new_faces.ravel()
        for axis in range(3):
            total[:, axis] = np.bincount(corners, centres[:, axis], fans)
        middle = total / np.bincount(new_faces.ravel(), minlength=fans)[:, None]
        out[several] += PULL * (middle - out)[several]
    used, new_faces = used_vertices(new_faces, fans)
    return out[used], new_faces
