"""Curved sheets of triangles: leaves and cloth."""

import numpy as np

from .scene import Group, Paint, Solid
from .tables import TRIANGLE

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
    groups = []
    for i0 in range(0, rows, block):
        for j0 in range(0, columns, block):
            group: list[Solid] = []
            for i in range(i0, min(i0 + block, rows)):
                for j in range(j0, min(j0 + block, columns)):
                    for corners in (((i, j), (i, j + 1), (i + 1, j)), ((i + 1, j + 1), (i + 1, j), (i, j + 1))):
                        at = tuple(np.transpose(corners))
                        group += make_triangle(points[at], normals[at], texture[at], paint)
            if group:
                groups.append(tuple(group))
    return groups


def make_triangle(X: np.ndarray, normals: np.ndarray, texture: np.ndarray, paint: Paint) -> list[Solid]:
    """The triangle of corners X (3,3), of unit normals and texture coordinates (3,2); none where it has no area."""
    edges = X[1:] - X[0]
    across = np.cross(*edges)
    area = np.linalg.norm(across)
    if area < 1e-12:
        return []
    across = across / area
    frame = np.stack([*edges, across])  # rows
    slopes = normals @ frame.T
    slopes = slopes * np.where(slopes[:, 2:] < 0, -1, 1)
    slopes = slopes[:, :2] / np.maximum(slopes[:, 2:], 0.1)
    gradient = (texture[1:] - texture[0]).T
    middle = texture.mean(0)
    return [
        Solid(
            TRIANGLE,
            tuple(X.mean(0)),
            (1.0, 1.0, 1.0),
            paint,
            np.linalg.inv(frame.T),
            tuple(slopes.ravel()),
            (*middle, 0.0),
            gradient=tuple(gradient.ravel()),
        )
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
    return sheet(points, texture, paint, block=12)
