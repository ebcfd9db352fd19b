"""The figures of the report: of each stage, its numbers as text and the arrays that report.js draws."""

import math

import numpy as np

from ...diagnosis.statistics import ray_residuals
from ...disparity.selection import fill_background
from ...geometry.camera import ideal_pixels, project
from ...geometry.rotations import angle_deg, rotation_angle_deg
from ...geometry.two_view import sampson
from ...pipeline.result import Result
from ...records import Camera, RectifiedPair
from ...rectification.maps import rectified_positions
from ..views import shown_depth

MATCHES = 4000  # largest number of matches drawn
MAP_PIXELS = 350_000  # largest number of pixels of a map on the page
DEPTH_WIDTH = 320  # px, of the depth maps of the epipolar figure
# Why a rectified pixel has no point, with its colour; `reasons` returns indices into this.
REASONS = (
    ("measured", None),
    ("outside the first photo", (24, 26, 30)),
    ("hidden from the second photo by something nearer", (235, 94, 40)),
    ("outside the second photo", (52, 120, 246)),
    ("in both photos, but without a reliable match", (235, 190, 40)),
)


def reasons(pair: RectifiedPair, disparity: np.ndarray) -> np.ndarray:
    """Return why each pixel of the first rectified picture is unknown, as index into `REASONS`.

    An unknown pixel is assumed to be as far away as the farther of its known neighbours in the row. Where its position
    in the second picture, x - d, is outside that picture, the second photo does not see it; where a surface nearer by
    more than a pixel of disparity is known there, that surface hides it. The rest could have been matched.

    Parameters
    ----------
    pair : RectifiedPair
    disparity : (H, W) float32
        px.

    Returns
    -------
    (H, W) uint8
    """
    d, seen1, seen2 = disparity, np.asarray(np.isfinite(pair.map1).all(-1)), np.asarray(np.isfinite(pair.map2).all(-1))
    if pair.swapped:  # mirrored, the nearer has the larger disparity again
        d, seen1, seen2 = -d[:, ::-1], seen1[:, ::-1], seen2[:, ::-1]
    height, width = d.shape
    known = np.isfinite(d)
    found = np.where(known, 0, np.where(seen1, 4, 1)).astype(np.uint8)
    if known.any():
        front = np.full((height, width), -np.inf, np.float32)  # the nearest surface in each pixel of the second picture
        j, i = np.nonzero(known)
        for offset in (-1, 0, 1):
            x = np.rint(i - d[j, i]).astype(int) + offset
            inside = (x >= 0) & (x < width)
            np.maximum.at(front, (j[inside], x[inside]), d[j[inside], i[inside]])
        filled = fill_background(np.ascontiguousarray(d, dtype=np.float32))
        j, i = np.nonzero(found == 4)
        x = np.rint(i - filled[j, i]).astype(int)
        inside = (x >= 0) & (x < width)
        inside[inside] = seen2[j[inside], x[inside]]
        found[j[~inside], i[~inside]] = 3
        j, i, x = j[inside], i[inside], x[inside]
        hidden = front[j, x] > filled[j, i] + 1
        found[j[hidden], i[hidden]] = 2
    return found[:, ::-1] if pair.swapped else found


def sampled(values: np.ndarray, step: int) -> np.ndarray:
    """Return every step-th pixel, unaveraged: a mean across a depth jump would be a point of no surface."""
    return values[::step, ::step]


def map_step(shape: tuple[int, ...]) -> int:
    """Return the step in px that leaves at most `MAP_PIXELS` of a map, about."""
    return max(1, math.ceil(math.sqrt(shape[0] * shape[1] / MAP_PIXELS)))


def inverse_depth_in_photo(
    points: np.ndarray, camera: Camera, R: np.ndarray | None = None, t: np.ndarray | None = None
) -> np.ndarray:
    """Return 1/z of the nearest point in each cell of a photo of `DEPTH_WIDTH` cells; NaN where there is none.

    Parameters
    ----------
    points : (H, W, 3) float64
        Frame of camera 1.
    camera : Camera
        Of the photo.
    R, t : (3, 3), (3,) float64, optional
        Its pose; by default that of camera 1.

    Returns
    -------
    (h, w) float32
    """
    width = min(DEPTH_WIDTH, camera.size[0])
    height = max(1, round(width * camera.size[1] / camera.size[0]))
    X = points[np.isfinite(points[..., 2])]
    X = X[:: max(1, len(X) // 500_000)]
    if R is not None:
        X = X @ R.T + t
    X = X[X[:, 2] > 0]
    x = (project(X, camera.K, dist=camera.dist) + 0.5) * [width / camera.size[0], height / camera.size[1]]
    with np.errstate(invalid="ignore"):
        inside = ((x >= 0) & (x < [width, height])).all(1)
    i, j = x[inside].astype(int).T
    nearest = np.full((height, width), -np.inf, np.float32)
    np.maximum.at(nearest, (j, i), (1 / X[inside, 2]).astype(np.float32))
    return np.where(np.isfinite(nearest), nearest, np.nan).astype(np.float32)


def depth_line(disparity: np.ndarray, points: np.ndarray) -> dict | None:
    """Fit 1 / z = a + b d over the known pixels; return {"a", "b", "about"}, or None where it is off by over 10 %.

    The 90 % quantile of the relative residual decides (polar pairs have no such line). "about" is true above 1 %: the
    rectified pictures then look in another direction than camera 1, along whose axis z is measured.
    """
    known = np.isfinite(points[..., 2]) & np.isfinite(disparity)
    d, q = disparity[known][::97].astype(float), 1 / points[..., 2][known][::97]
    if len(d) < 20 or np.ptp(d) < 1e-6:
        return None
    b, a = np.polyfit(d, q, 1)
    off = np.quantile(np.abs(a + b * d - q) / q, 0.9)
    return {"a": float(a), "b": float(b), "about": bool(off > 0.01)} if off < 0.1 else None


def example_pixel(result: Result) -> list[float]:
    """Return the pixel of the first photo that the epipolar figure starts with: an inlier left above the middle."""
    x = result.matches.x1[result.view.inliers]
    target = np.array(result.left.size) * [0.36, 0.42]
    return x[np.linalg.norm(x - target, axis=1).argmin()].tolist() if len(x) else target.tolist()


def percent(share: float) -> str:
    """Return a share as percent, with two digits below 9.5 %."""
    return f"{100 * share:.2g}\u00a0%" if share < 0.095 else f"{100 * share:.0f}\u00a0%"


def count(n: int) -> str:
    """Return a whole number with thin spaces between thousands."""
    return f"{n:,}".replace(",", "\u202f")


def amount(x: float) -> str:
    """Return three significant digits, or all digits before the point from 1000 on."""
    return f"{x:.3g}" if not 1000 <= abs(x) < 1e7 else f"{x:.0f}"


def unit_words(unit: str) -> str:
    """Return the unit in the plural."""
    return "baselines" if unit == "baseline" else unit


def match_numbers(result: Result) -> list[tuple[str, str]]:
    """Return (name, value) of the matches."""
    view, matches = result.view, result.matches
    x1, x2 = matches.x1[view.inliers], matches.x2[view.inliers]
    cam1, cam2 = view.rig.cam1, view.rig.cam2
    if view.rig.wide:
        off = np.abs(ray_residuals(matches[view.inliers], view)) / view.rig.pixel_angle
    else:
        off = np.abs(sampson(view.F, ideal_pixels(x1, cam1.K, cam1.dist), ideal_pixels(x2, cam2.K, cam2.dist)))
    shares = f"{count(len(x1))} of {count(len(matches))} ({percent(len(x1) / max(1, len(matches)))})"
    numbers = [("inliers", shares)]
    if np.isfinite(off).any():
        numbers.append(("distance from epipolar lines", f"{np.nanmedian(off):.2f} px (median)"))
    return [*numbers, ("detector", result.config.detector)]


def camera_numbers(result: Result) -> list[tuple[str, str]]:
    """Return (name, value) of both cameras and their pose."""
    view = result.view
    known = np.isfinite(result.points[..., 2])
    X = result.points[known][:: max(1, int(known.sum()) // 5000)]
    centre = -view.R.T @ view.t
    angle = float(np.median([angle_deg(p, p - centre) for p in X[:2000]])) if len(X) else float("nan")
    cams = view.rig.cam1, view.rig.cam2
    focals = dict.fromkeys(f"{c.focal:.0f}" for c in cams)
    found = [("focal length" if len(focals) == 1 else "focal lengths", " and ".join(focals) + " px")]
    sources = list(dict.fromkeys(_known_from(c) for c in cams))
    found.append(("known from", "; ".join(sources)))
    lenses = [sum(np.asarray(c.dist) != 0) for c in cams]
    if any(lenses):
        same = f"{lenses[0]} coefficient{'s' if lenses[0] > 1 else ''}"
        found.append(
            ("lens distortion", same if len(set(lenses)) == 1 else f"{lenses[0]} and {lenses[1]} coefficients")
        )
    found += [
        ("relative rotation", f"{rotation_angle_deg(view.R):.2f}\u00b0"),
        ("baseline", f"{amount(float(np.linalg.norm(view.t)))} {result.unit}"),
        ("triangulation angle", f"{angle:.2f}\u00b0 (median)"),
    ]
    if view.focal_sigma:
        found.append(("focal length uncertainty", f"\u00b1 {percent(view.focal_sigma)}"))
    return found


def _known_from(camera: Camera) -> str:
    """Where a focal length comes from, and how sure it is; the detail of an estimate is its standard error alone."""
    if camera.source == "estimated":
        return ", ".join(filter(None, ("the two photos themselves", camera.source_detail)))
    return camera.source_detail or camera.source


def pair_numbers(result: Result) -> list[tuple[str, str]]:
    """Return (name, value) of the rectified pair."""
    pair, view = result.pair, result.view
    u1, u2 = rectified_positions(pair, result.matches.x1[view.inliers], result.matches.x2[view.inliers])
    off = np.abs(u1[:, 1] - u2[:, 1])
    kinds = {
        "planar": "onto a plane",
        "polar": "polar, on the sphere about the baseline",
        "identity": "already rectified",
        "sphere": "over the whole sphere, about the baseline",
    }
    numbers = [
        ("rectified", kinds.get(pair.kind, pair.kind)),
        ("size", f"{pair.left.shape[1]} \u00d7 {pair.left.shape[0]} px"),
    ]
    if np.isfinite(off).any():
        numbers.append(("row difference of matches", f"{np.nanmedian(off):.2f} px (median)"))
    if pair.drift:
        numbers.append(("drift corrected", f"up to {pair.drift.get('largest_px', 0.0):.1f} px"))
    return numbers


def disparity_numbers(result: Result) -> list[tuple[str, str]]:
    """Return (name, value) of disparity and depth."""
    d, z = result.disparity, shown_depth(result)
    known, placed = np.isfinite(d), np.isfinite(z)
    near, far = np.quantile(z[placed], [0.02, 0.98])
    return [
        ("matcher", result.config.matcher),
        ("searched", f"{result.d_range[0]:g} to {result.d_range[1]:g} px"),
        ("found", f"{d[known].min():.1f} to {d[known].max():.1f} px"),
        ("known", percent(known.mean()) + " of the pixels"),
        ("depth", f"{amount(near)} to {amount(far)} {unit_words(result.unit)}"),
    ]


def confidence_numbers(result: Result) -> list[tuple[str, str]]:
    """Return (name, value) of confidence and relative depth uncertainty."""
    known = np.isfinite(result.disparity)
    c = result.confidence[known]
    placed = np.isfinite(result.points[..., 2])
    relative_sigma = result.sigma[placed] / np.linalg.norm(result.points[placed], axis=-1)
    return [
        ("median", f"{np.median(c):.2f}"),
        ("above 0.8", percent(float((c > 0.8).mean()))),
        ("relative depth uncertainty", f"{percent(float(np.median(relative_sigma)))} (median)"),
        ("90 % of the pixels below", percent(float(np.quantile(relative_sigma, 0.9)))),
    ]
