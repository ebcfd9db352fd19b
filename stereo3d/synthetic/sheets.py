"""Curved sheets of triangles: leaves and cloth."""

import numpy as np

from .scene import Group, Paint, Solid
from .tables import TRIANGLE

MIN_AREA = 1e-12  # m^2, twice the area of a triangle: smaller ones are left out
MIN_COSINE = 0.1  # between the normal at a corner and that of the triangle
BLOCK = 6  # cells a side of a sheet that one bounding ball culls together


def sheet(points: np.ndarray, texture: np.ndarray, paint: Paint, *, block: int = BLOCK) -> list[Group]:
    """A surface through a grid of points, two triangles a cell, shaded smoothly and seen from both sides.

    Parameters
    ----------
    points : (M,N,3) float
        m, in the scene's frame.
    texture : (M,N,2) float
        m: the first two texture coordinates at the points.
    paint : tuple
        As `scene.paint` returns it.
    block : int
        Cells a side that one bounding ball culls together.
    """
    normals = np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0))
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-300)
    rows, columns = points.shape[0] - 1, points.shape[1] - 1
    i, j = (v.ravel() for v in np.mgrid[:rows, :columns])
    corners = np.stack(  # (cells, 2 triangles, 3 corners, row and column)
        [
            np.stack([np.stack([i, i, i + 1], -1), np.stack([j, j + 1, j], -1)], -1),
            np.stack([np.stack([i + 1, i + 1, i], -1), np.stack([j + 1, j, j + 1], -1)], -1),
        ],
        axis=1,
    ).reshape(-1, 3, 2)
    at = corners[..., 0], corners[..., 1]
    number = np.repeat(i // block * (columns // block + 1) + j // block, 2)
    blocks: dict[int, list[Solid]] = {}
    for key, solid in zip(number.tolist(), make_triangles(points[at], normals[at], texture[at], paint), strict=True):
        if solid is not None:
            blocks.setdefault(key, []).append(solid)
    return [tuple(group) for group in blocks.values()]


def make_triangles(X: np.ndarray, normals: np.ndarray, texture: np.ndarray, paint: Paint) -> list[Solid | None]:
    """Triangles of corners X (N,3,3), unit normals and texture coordinates (N,3,2); None for one without area."""
    edges = X[:, 1:] - X[:, :1]
    across = np.cross(edges[:, 0], edges[:, 1])
    area = np.linalg.norm(across, axis=1)
    there = area > MIN_AREA
    across = across / np.maximum(area, MIN_AREA)[:, None]
    frame = np.concatenate([edges, across[:, None]], axis=1)  # in rows
    frame[~there] = np.eye(3)
    slopes = normals @ frame.transpose(0, 2, 1)
    slopes = slopes * np.where(slopes[..., 2:] < 0, -1, 1)
    slopes = (slopes[..., :2] / np.maximum(slopes[..., 2:], MIN_COSINE)).reshape(-1, 6)
    gradient = (texture[:, 1:] - texture[:, :1]).transpose(0, 2, 1).reshape(-1, 4)
    middle, place = X.mean(1).tolist(), np.concatenate([texture.mean(1), np.zeros((len(X), 1))], 1).tolist()
    axes, shapes, gradients = np.linalg.inv(frame.transpose(0, 2, 1)), slopes.tolist(), gradient.tolist()
    return [
        Solid(
            TRIANGLE,
            tuple(middle[k]),
            (1.0, 1.0, 1.0),
            paint,
            axes[k],
            tuple(shapes[k]),
            tuple(place[k]),
            gradient=tuple(gradients[k]),
        )
        if there[k]
        else None
        for k in range(len(X))
    ]


def leaf(
    foot: np.ndarray, along: np.ndarray, up: np.ndarray, size: tuple[float, float], droop: float, paint: Paint
) -> list[Group]:
    """A pointed leaf from `foot`, folded a little along its midrib, its tip bent down.

    Parameters
    ----------
    foot : (3,) float
        m: where the leaf begins.
    along, up : (3,) float
        The direction in which it begins, and about which side is its upper one.
    size : (length, half width)
        m.
    droop : float
        rad by which the midrib bends from the foot to the tip.
    paint : tuple
        LEAF.
    """
    length, half = size
    along = np.asarray(along, dtype=float) / np.linalg.norm(along)
    side = np.cross(up, along)
    side /= np.linalg.norm(side)
    up = np.cross(along, side)
    s, v = np.linspace(0, 1, 12)[:, None], np.linspace(-1, 1, 7)[None]
    angle = droop * s
    # the midrib is an arc
    run = length * (np.sin(angle) / droop if droop else s)
    fall = length * ((1 - np.cos(angle)) / droop if droop else 0 * s)
    width = half * np.sin(np.pi * s**0.75) ** 0.85 * (1 - 0.25 * s)
    y = v * np.maximum(width, 2e-4)
    lift = 0.35 * np.abs(y) + 0.05 * half * np.sin(9 * s + 2 * np.sign(v)) * v**2
    n = -np.sin(angle)[..., None] * -along + np.cos(angle)[..., None] * up
    points = (
        np.asarray(foot) + run[..., None] * along - fall[..., None] * up + y[..., None] * side + lift[..., None] * n
    )
    texture = np.stack(np.broadcast_arrays(length * s, y), -1)
    return sheet(points, texture, paint)
