"""A part of a mesh: its largest connected part, or what a rectangle or a lasso of the first photo shows."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import StereoError
from ..geometry.arrays import all_channels
from ..geometry.texture_coordinates import pixels_of_uv
from ..geometry.triangles import face_components
from ..records import Mesh
from .build import compact
from .depth_buffer import depth_buffer

MASK_PX = 1600  # px, longer side of the mask of what a mesh covers: the default size for matching

Crop = str | tuple[float, ...]


def parse_crop(crop: str | Sequence[float]) -> Crop:
    """Return "main", or the numbers that a text or a sequence states, checked: two corners, or a lasso.

    Raises
    ------
    StereoError
        "bad_option".
    """
    if isinstance(crop, str) and crop == "main":
        return crop
    try:
        found = tuple(float(v) for v in (crop.split(",") if isinstance(crop, str) else crop))
    except (TypeError, ValueError):
        found = ()
    box = len(found) == 4 and found[0] < found[2] and found[1] < found[3]
    lasso = len(found) >= 6 and len(found) % 2 == 0
    if not ((box or lasso) and np.isfinite(found).all()):
        shown = f"{crop!r}"
        raise StereoError(
            "bad_option",
            f"crop cannot be {shown if len(shown) < 80 else f'{shown[:76]}...'}.",
            "It is main, or x0,y0,x1,y1 with x0 < x1 and y0 < y1 in pixels of the first photo, or more such points.",
        )
    return found


def crop_mesh(mesh: Mesh, crop: Crop, size: tuple[int, int]) -> Mesh:
    """Return the faces of the mesh in a part of the first photo, without the vertices that none of them uses.

    Parameters
    ----------
    mesh : Mesh
        With uv.
    crop : "main", (x0, y0, x1, y1) or (x0, y0, x1, y1, x2, y2, ...)
        "main": the connected part that covers most of the photo. A rectangle or the corners of a lasso, px of the
        photo: the faces whose centres lie in it.
    size : (width, height)
        px of the first photo.

    Returns
    -------
    Mesh

    Raises
    ------
    StereoError
        "bad_option", or "empty_mesh" where no face is left.
    """
    crop = parse_crop(crop)
    if mesh.uv is None:
        raise ValueError("crop_mesh needs a mesh with uv")
    corners = pixels_of_uv(mesh.uv, size)[mesh.faces]
    if crop == "main":
        part = face_components(mesh.faces, len(mesh.vertices))
        b, c = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        area = np.bincount(part, np.abs(b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0]))
        keep = part == np.argmax(area)
    else:
        outline, centre = np.array(crop, dtype=float).reshape(-1, 2), corners.mean(1)
        low, high = outline.min(0), outline.max(0)
        keep = ((centre >= low) & (centre <= high)).all(1)
        if len(outline) > 2:
            keep[keep] = _inside(centre[keep], outline)
        if not keep.any():
            least, most = corners.min((0, 1)), corners.max((0, 1))
            raise StereoError(
                "empty_mesh",
                f"no surface was found in the pixels {low[0]:g},{low[1]:g} to {high[0]:g},{high[1]:g}.",
                f"The mesh lies in {least[0]:.0f},{least[1]:.0f} to {most[0]:.0f},{most[1]:.0f} of the first photo.",
            )
    overlays = tuple(replace(part, faces=part.faces[keep]) for part in mesh.overlays if part.faces[keep].any())
    return compact(replace(mesh, faces=mesh.faces[keep], overlays=overlays))


def _inside(x: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """(N,) bool: whether points (N, 2) lie in a polygon (K, 2), by the number of its edges to the right of each."""
    inside = np.zeros(len(x), bool)
    for a, b in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if a[1] != b[1]:
            beside = (a[1] > x[:, 1]) != (b[1] > x[:, 1])
            inside ^= beside & (x[:, 0] < a[0] + (x[:, 1] - a[1]) / (b[1] - a[1]) * (b[0] - a[0]))
    return inside


def shown_in_photo(mesh: Mesh, x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return (...) bool: whether the mesh covers the photo pixels x (..., 2); False at NaN.

    Parameters
    ----------
    mesh : Mesh
        With uv.
    x : (..., 2) float
        px of the first photo.
    size : (width, height)
        px of the first photo.
    """
    if mesh.uv is None:
        raise ValueError("shown_in_photo needs a mesh with uv")
    scale = min(1.0, MASK_PX / max(size))
    width, height = (max(1, round(side * scale)) for side in size)
    corners = pixels_of_uv(mesh.uv, (width, height))
    covered = depth_buffer(corners, np.ones(len(corners)), mesh.faces, width, height) > 0
    with np.errstate(invalid="ignore"):
        at = np.rint((x + 0.5) * [width / size[0], height / size[1]] - 0.5)
        inside = all_channels((at >= 0) & (at < [width, height]))
    column, row = np.where(np.expand_dims(inside, -1), at, 0).astype(int).transpose(-1, *range(x.ndim - 1))
    return inside & covered[row, column]
