"""The figures of the report: for each stage its numbers in words, and the arrays and pictures to draw."""

import math

import numpy as np

from ...disparity.selection import fill_background
from ...geometry.camera import ideal_pixels, project
from ...geometry.rotations import angle_deg, rotation_angle_deg
from ...geometry.two_view import sampson
from ...pipeline.result import Result
from ...records import Camera, RectifiedPair
from ...rectification.maps import rectified_positions

MATCHES = 4000  # largest number that is drawn
MAP_PIXELS = 350_000  # largest number of pixels of a map of the page
DEPTH_WIDTH = 320  # px, of the depth maps of the epipolar figure
# Why a rectified pixel has no point; the codes of `reasons`, with their words and colours.
REASONS = (
    ("measured", None),
    ("outside the first photo", (24, 26, 30)),
    ("hidden from the second photo by something nearer", (235, 94, 40)),
    ("outside the second photo", (52, 120, 246)),
    ("both photos show it, but no match could be trusted", (235, 190, 40)),
)


def reasons(pair: RectifiedPair, disparity: np.ndarray) -> np.ndarray:
    """(H,W) u8 of `REASONS`: why a pixel of the first picture is unknown.

    What is unknown is taken to lie as far off as the farther of its known neighbours in the row. Its place in the
    second picture, x - d, is then outside of that picture, or shows a surface that is known to be nearer (by more than
    a pixel of disparity): it is hidden. What is left could have been matched.
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
        for aside in (-1, 0, 1):
            x = np.rint(i - d[j, i]).astype(int) + aside
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
    """Every step-th pixel: a mean over a depth jump would be a place where nothing is."""
    return values[::step, ::step]


def map_step(shape) -> int:
    return max(1, math.ceil(math.sqrt(shape[0] * shape[1] / MAP_PIXELS)))


def inverse_depth_in_photo(points: np.ndarray, camera: Camera, R=None, t=None) -> np.ndarray:
    """(h,w) f32 1/z of the nearest known point in each cell of a photo, `DEPTH_WIDTH` cells wide; NaN where none."""
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
    """{"a", "b", "about"}: 1 / z = a + b d over the known pixels; None where 90 % are not within 10 % of it (polar).

    "about": not to 1 %, as the rectified pictures look another way than camera 1, along whose axis z is measured.
    """
    known = np.isfinite(points[..., 2]) & np.isfinite(disparity)
    d, q = disparity[known][::97].astype(float), 1 / points[..., 2][known][::97]
    if len(d) < 20 or np.ptp(d) < 1e-6:
        return None
    b, a = np.polyfit(d, q, 1)
    off = np.quantile(np.abs(a + b * d - q) / q, 0.9)
    return {"a": float(a), "b": float(b), "about": bool(off > 0.01)} if off < 0.1 else None


def example_pixel(result: Result) -> list[float]:
    """A pixel of the first photo to begin the epipolar figure with: the inlier that lies nearest to a third of it."""
    x = result.matches.x1[result.view.inliers]
    wanted = np.array(result.left.size) * [0.36, 0.42]
    return x[np.linalg.norm(x - wanted, axis=1).argmin()].tolist() if len(x) else wanted.tolist()


# ----------------------------------------------------------------------------------------------------- numbers


def percent(share: float) -> str:
    return f"{100 * share:.2g}\u00a0%" if share < 0.095 else f"{100 * share:.0f}\u00a0%"


def count(n: int) -> str:
    return f"{n:,}".replace(",", "\u202f")


def amount(x: float) -> str:
    """Three digits that count, without an exponent where it can be read without."""
    return f"{x:.3g}" if not 1000 <= abs(x) < 1e7 else f"{x:.0f}"


def unit_words(unit: str) -> str:
    return "baselines" if unit == "baseline" else unit


def match_numbers(result: Result) -> list[tuple[str, str]]:
    view, matches = result.view, result.matches
    x1, x2 = matches.x1[view.inliers], matches.x2[view.inliers]
    cam1, cam2 = view.rig.cam1, view.rig.cam2
    off = np.abs(sampson(view.F, ideal_pixels(x1, cam1.K, cam1.dist), ideal_pixels(x2, cam2.K, cam2.dist)))
    shares = f"{count(len(x1))} of {count(len(matches))} ({percent(len(x1) / max(1, len(matches)))})"
    numbers = [("agree with one motion", shares)]
    if np.isfinite(off).any():
        numbers.append(("distance from epipolar lines", f"{np.nanmedian(off):.2f} px (median)"))
    return [*numbers, ("detector", result.config.detector)]


def camera_numbers(result: Result) -> list[tuple[str, str]]:
    view = result.view
    known = np.isfinite(result.points[..., 2])
    X = result.points[known][:: max(1, int(known.sum()) // 5000)]
    centre = -view.R.T @ view.t
    meet = float(np.median([angle_deg(p, p - centre) for p in X[:2000]])) if len(X) else float("nan")
    cams = view.rig.cam1, view.rig.cam2
    focals = dict.fromkeys(f"{c.focal:.0f}" for c in cams)
    found = [("focal length" if len(focals) == 1 else "focal lengths", " and ".join(focals) + " px")]
    sources = list(dict.fromkeys(c.source_detail or c.source for c in cams))
    found.append(("known from", "; ".join(sources)))
    lenses = [sum(np.asarray(c.dist) != 0) for c in cams]
    if any(lenses):
        same = f"{lenses[0]} coefficient{'s' if lenses[0] > 1 else ''}"
        found.append(
            ("lens distortion", same if len(set(lenses)) == 1 else f"{lenses[0]} and {lenses[1]} coefficients")
        )
    found += [
        ("turned against each other", f"{rotation_angle_deg(view.R):.2f}\u00b0"),
        ("distance of the cameras", f"{amount(float(np.linalg.norm(view.t)))} {result.unit}"),
        ("rays meet at", f"{meet:.2f}\u00b0 (median)"),
    ]
    if view.focal_sigma:
        found.append(("focal length known to", f"\u00b1 {percent(view.focal_sigma)}"))
    return found


def pair_numbers(result: Result) -> list[tuple[str, str]]:
    pair, view = result.pair, result.view
    u1, u2 = rectified_positions(pair, result.matches.x1[view.inliers], result.matches.x2[view.inliers])
    off = np.abs(u1[:, 1] - u2[:, 1])
    kinds = {
        "planar": "on a plane",
        "polar": "on the sphere about the baseline (polar)",
        "identity": "already rectified",
    }
    numbers = [
        ("rectified", kinds.get(pair.kind, pair.kind)),
        ("size", f"{pair.left.shape[1]} \u00d7 {pair.left.shape[0]} px"),
    ]
    if np.isfinite(off).any():
        numbers.append(("rows of matches differ by", f"{np.nanmedian(off):.2f} px (median)"))
    if pair.drift:
        numbers.append(("drift corrected", f"up to {pair.drift.get('largest_px', 0.0):.1f} px"))
    return numbers


def disparity_numbers(result: Result) -> list[tuple[str, str]]:
    d, z = result.disparity, result.points[..., 2]
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
    known = np.isfinite(result.disparity)
    c = result.confidence[known]
    placed = np.isfinite(result.points[..., 2])
    precision = result.sigma[placed] / np.linalg.norm(result.points[placed], axis=-1)
    return [
        ("median", f"{np.median(c):.2f}"),
        ("above 0.8", percent(float((c > 0.8).mean()))),
        ("depth precise to", f"{percent(float(np.median(precision)))} (median)"),
        ("90 % are within", percent(float(np.quantile(precision, 0.9)))),
    ]
