"""Rectification onto a common plane."""

from collections.abc import Callable

import numpy as np

from ..errors import StereoError
from ..geometry.camera import project
from ..records import Camera, Rig, TwoView
from .canvas import (
    MIN_OVERLAP,
    Canvas,
    Inliers,
    Rotations,
    inlier_disparities,
    matchable_columns,
    no_common_row,
    widened_range,
)

MAX_STRETCH = 8.0  # ratio of magnifications along a row of a planar canvas; more: the epipole is too near for a plane


def max_stretch(outline: np.ndarray) -> float:
    """Ratio of the largest to the smallest magnification of the plane, (1 + u^2 + v^2)^(3/2), within the border."""
    r = (1 + (outline**2).sum(1)) ** 1.5
    return float(r.max() / min(r.min(), 1.0 if (outline.min(0) < 0).all() and (outline.max(0) > 0).all() else r.min()))


def epipole_too_near(view: TwoView, stretches: list[float]) -> StereoError:
    """Return the error of a planar canvas whose stretches (`max_stretch` of both photos) exceed MAX_STRETCH."""
    which = int(stretches[0] <= MAX_STRETCH)
    name, camera = (("first", view.rig.cam1), ("second", view.rig.cam2))[which]
    return StereoError(
        "forward_motion",
        f"the camera moved towards what the {name} photo shows: its epipole is "
        f"{_epipole_text(view, camera, name)}, too near for a plane rectification.",
        "Use kind polar, or leave the choice to auto.",
        stretch=float(stretches[which]),
    )


def _epipole_text(view: TwoView, camera: Camera, name: str) -> str:
    """State where the epipole is in the photo `name`."""
    direction = -view.R.T @ view.t if name == "first" else view.t
    if abs(direction[2]) < 1e-9 * np.linalg.norm(direction):
        return "at infinity"
    x = project(direction, camera.K)
    inside = (x > 0).all() and (x < camera.size).all()
    return (
        f"at ({x[0]:.0f}, {x[1]:.0f}) px, {'inside' if inside else 'near'} the picture of {camera.size[0]} x "
        f"{camera.size[1]} px"
    )


def planar_canvas(
    rig: Rig, rotations: Rotations, outlines: list, scale: float, budget: float, inlier_x: Inliers | None
) -> Canvas:
    """The canvas on the plane z = 1 of the common orientation: common rows, and columns that can hold matches."""
    focal = wanted = scale * _median_focal(rig, outlines, rotations)
    (u1, v1), (u2, v2) = (o.T for o in outlines)
    top, bottom = max(v1.min(), v2.min()), min(v1.max(), v2.max())
    if bottom - top < MIN_OVERLAP / focal:
        raise no_common_row()
    left_columns, right_columns = (u1.min(), u1.max()), (u2.min(), u2.max())
    if inlier_x is not None and len(inlier_x[0]):
        d = inlier_disparities(inlier_x, rig, rotations, lambda X: X[:, 0] / X[:, 2])
        left_columns, right_columns = matchable_columns(left_columns, right_columns, widened_range(d, focal))
    width = max(left_columns[1] - left_columns[0], right_columns[1] - right_columns[0])
    focal = min(focal, np.sqrt(budget / (width * (bottom - top))))
    size = (int(np.ceil(width * focal)) + 1, int(np.ceil((bottom - top) * focal)) + 1)

    def rays(start: float) -> Callable:
        u = start + np.arange(size[0]) / focal
        return lambda rows: (u, top + rows / focal, 1.0)

    return Canvas("planar", size, float(focal / wanted), (rays(left_columns[0]), rays(right_columns[0])))


def _median_focal(rig: Rig, outlines: list, rotations: Rotations) -> float:
    """Focal of the canvas, px, at which the median pixel of the photos keeps its size.

    The area of a photo pixel on the plane is |d(u,v)/d(x,y)|; by the cosine law a direction (u, v, 1) seen by a camera
    of focal f gives f^2 ((1 + u^2 + v^2) / (1 + x^2 + y^2))^(3/2) canvas pixels at canvas focal 1.
    """
    focals = []
    for camera, rect_from_cam, outline in zip((rig.cam1, rig.cam2), rotations, outlines, strict=True):
        (a, b), (c, d) = outline.min(0), outline.max(0)
        u, v = np.meshgrid(np.linspace(a, c, 24), np.linspace(b, d, 24))
        X = np.stack([u, v, np.ones_like(u)], -1) @ rect_from_cam
        y = X[..., :2] / X[..., 2:]
        x = y @ camera.K[:2, :2].T + camera.K[:2, 2]
        inside = ((x > 0) & (x < camera.size)).all(-1) & (X[..., 2] > 0)
        ratio = ((1 + (y**2).sum(-1)) / (1 + u**2 + v**2)) ** 1.5
        focals.append(camera.focal * np.sqrt(np.median(ratio[inside])) if inside.any() else camera.focal)
    return float(np.sqrt(focals[0] * focals[1]))
