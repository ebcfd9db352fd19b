"""Rectification of any two calibrated photos, on a plane or on the sphere about the baseline; the disparity range."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Annotated, Literal, get_args

import numpy as np

from .errors import StereoError
from .geometry import all_channels, distort, essential_from_pose, hom, project, undistort
from .options import Between, check_options, options_of
from .records import Camera, Photo, RectifiedPair, Rig, TwoView

Kind = Literal["auto", "planar", "polar"]

# The canvas may have at most this many times the pixels of the photo at matching size, and a photo may be stretched
# along a row by at most this factor between its ends; beyond that the epipole is too near for a plane.
MOST_PIXELS, MOST_STRETCH = 2.0, 8.0
LEAST_DENSITY = 0.7  # of a plane's pixels against the photo's; below, half of them are lost: is the sphere better?
DRIFT_MATCHES = 400  # at least, twenty to a coefficient
LEAST_DRIFT = 0.03  # px: what matches are precise to
BESIDE, LEAST_PLACES = 8.0, 30  # px and how many, of patches by which the rows are measured
EDGE = 16  # canvas px: what a range of columns is widened by at least; an overlap of less is none
ROWS = 32  # of the canvas in one band: its arrays stay in the processor's cache


@dataclass(frozen=True, eq=False)
class Canvas:
    """Where the pixels of the two rectified pictures look, before any photo is read.

    size: (width, height) px.  density: canvas pixels for each of a median photo pixel at matching size, along a side,
    at most 1.  rays: for either photo a function of row numbers (h,1) that gives the three components, (h,1) or (w,)
    or (h,w), of their pixels' directions in the common orientation.
    """

    kind: str
    size: tuple[int, int]
    density: float
    rays: tuple[Callable, Callable]


def rectify(
    left: Photo,
    right: Photo,
    view: TwoView,
    *,
    kind: Kind = "auto",
    straighten: bool = True,
    max_size: Annotated[int, Between(1)] = 1600,
    inlier_x=None,
) -> RectifiedPair:
    """Resample both photos, once, so that corresponding epipolar lines are equal rows.

    Both cameras are turned into one orientation (rows of B_from_1): first axis along the baseline, third the mean of
    the optical axes across it (Fusiello, Trucco and Verri 2000); the first axis points the way that turns the first
    photo least, so that nothing is flipped, and `swapped` says that the first photo stands on the right. A vertical
    baseline turns the pair by 90 degrees. Canvas: the rows that both photos see, the columns of each photo whose
    scene the other may see, at the density of the photos reduced to longer side `max_size`.

    kind: "planar": pixel (i, j) looks along (u, v, 1), u and v linear in i and j; for epipoles outside the picture.
    "polar": along (cos p, sin p sin a, sin p cos a), row = the angle a of the epipolar half-plane about the baseline,
    column = the angle p from the baseline (after Pollefeys, Koch and Van Gool 1999, on the sphere of directions, where
    equal rows are equal half-planes for any motion and need no transfer by F); rows are as dense as the photos' pixels
    at the picture's border. "auto": planar, and polar where an epipole is so near that a plane is stretched too far
    or has to leave out pixels.
    straighten: where the inliers lie beside their epipolar lines by what a smooth function of their place explains (a
    lens or a rolling shutter that the cameras do not know of), map2 follows it, if the pictures' own rows are nearer
    to each other then (`row_errors`); `pair.drift` tells by how much.
    inlier_x: (x1, x2) photo pixels of inlier matches; they tell how far the columns of the two photos overlap.
    Photos that are rectified already (R = 1, t along x, equal K but for the principal column, no distortion) keep
    their pixels, unless polar is asked for: kind "identity".
    Raises StereoError("forward_motion") where a plane is asked for and an epipole lies in or near the picture;
    ("no_overlap") where no row or no column is common; ("bad_option") for a max_size below 1.
    """
    if kind not in get_args(Kind):
        there = ", ".join(get_args(Kind))
        raise StereoError("unknown_method", f"there is no rectification {kind!r}.", f"There are: {there}.")
    given = {"straighten": straighten, "max_size": max_size}
    straighten, max_size = check_options("rectify", options_of(rectify), given).values()
    rig = view.rig
    scale = min(1.0, max_size / max(max(left.size), max(right.size)))
    if kind != "polar" and _is_rectified(view):
        pair = _identity(left, right, view, scale)
        return pair if inlier_x is None else replace(pair, rows=row_errors(pair, *inlier_x))
    B_from_1, swapped = _orientation(view)
    rotations = (B_from_1, B_from_1 @ view.R.T)  # from each camera to the common orientation
    budget = MOST_PIXELS * scale**2 * max(left.size[0] * left.size[1], right.size[0] * right.size[1])
    canvas = None
    if kind != "polar":
        outlines = [_outline(camera, Q) for camera, Q in zip((rig.cam1, rig.cam2), rotations, strict=True)]
        stretches = [np.inf if outline is None else _stretch(outline) for outline in outlines]
        if max(stretches) <= MOST_STRETCH:
            canvas = _planar(rig, rotations, outlines, scale, budget, inlier_x)
        elif kind == "planar":
            raise _too_near(view, stretches)
    if canvas is None or (kind == "auto" and canvas.density < LEAST_DENSITY):
        polar = _polar(rig, rotations, swapped, scale, budget, inlier_x)
        canvas = polar if canvas is None or polar.density > canvas.density else canvas
    bend, drift = (None, {}) if inlier_x is None or not straighten else _drift(view, inlier_x, scale)
    maps = [
        _photo_map(camera, Q, rays, canvas.size, aside)
        for camera, Q, rays, aside in zip((rig.cam1, rig.cam2), rotations, canvas.rays, (None, bend), strict=True)
    ]
    with ThreadPoolExecutor(2) as pool:
        pictures = list(pool.map(_resample, (left, right), maps))
    pair = RectifiedPair(*pictures, *maps, kind=canvas.kind, swapped=swapped, drift=drift)
    rows = {} if inlier_x is None else row_errors(pair, *inlier_x)
    if bend is not None and rows:  # the pictures have the last word
        plain = _photo_map(rig.cam2, rotations[1], canvas.rays[1], canvas.size)
        straight = RectifiedPair(pictures[0], _resample(right, plain), maps[0], plain, canvas.kind, swapped)
        before = row_errors(straight, *inlier_x)
        if before and before["median_px"] <= rows["median_px"]:
            return replace(straight, rows=before)
    return replace(pair, rows=rows)


def row_errors(pair: RectifiedPair, x1: np.ndarray, x2: np.ndarray, *, places: int = 400) -> dict:
    """How far corresponding rows lie beside each other, measured on the two pictures: |dv| of patches, px.

    x1, x2: (N,2) photo pixels of inlier matches. They only tell about which disparity to look at: patches beside them
    (`BESIDE` px away, so that nothing is measured where the pose was fitted) are laid from the left picture onto the
    same row of the right one and fitted by least squares, free to leave the row.
    Returns median_px, most_px (95 %) and places, their number; {} where fewer than `LEAST_PLACES` could be fitted.
    """
    from .patchfit import fit_patches

    pick = np.sort(np.random.default_rng(0).permutation(len(x1))[:places])
    u1, u2 = rectified_positions(pair, x1[pick], x2[pick])
    good = np.isfinite(u1).all(1) & np.isfinite(u2).all(1)
    aside = BESIDE * np.array([[1, 1], [-1, 1], [1, -1], [-1, -1]])[np.arange(good.sum()) % 4]
    at1 = u1[good] + aside
    at2 = np.stack([u2[good, 0] + aside[:, 0], at1[:, 1]], -1)
    if len(at1) < LEAST_PLACES:
        return {}
    greys = [_smooth_grey(p) for p in (pair.left, pair.right)]
    out, score = np.empty_like(at2), np.empty(len(at2))
    fit_patches(*greys, at1, at2, np.tile(np.eye(2), (len(at1), 1, 1)), 9, 3.0, 0, len(at1), out, score)
    off = np.abs(out[:, 1] - at1[:, 1])[score > 0]
    if len(off) < LEAST_PLACES:
        return {}
    return {"median_px": float(np.median(off)), "most_px": float(np.quantile(off, 0.95)), "places": len(off)}


def _smooth_grey(picture: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 0.7)


def disparity_range(
    pair: RectifiedPair,
    x1: np.ndarray,
    x2: np.ndarray,
    *,
    margin: Annotated[float, Between(0, 100)] = 0.25,
    least: Annotated[int, Between(0, 10_000)] = 8,
) -> tuple[int, int]:
    """Whole-number (lo, hi) of the disparity, from photo pixels x1, x2 (N,2) of inlier matches.

    Robust quantiles (0.5 %, 99.5 %) of x_left - x_right, widened on both sides by `margin` of their distance and by
    `least` px: what no feature sat on may lie nearer or farther. Never wider than the picture.
    """
    u1, u2 = rectified_positions(pair, x1, x2)
    good = np.isfinite(u1).all(1) & np.isfinite(u2).all(1)
    if not good.any():
        raise StereoError(
            "no_disparity",
            "no match falls inside the rectified pictures.",
            "Give the range with --range, or check the calibration.",
        )
    d = u1[good, 0] - u2[good, 0]
    low, high = np.quantile(d, [0.005, 0.995])
    # a lone match beyond its neighbours is an outlier; twenty of them are a thing in the foreground
    extra = margin * (high - low) + least
    width = pair.left.shape[1]
    return int(max(np.floor(low - extra), 1 - width)), int(min(np.ceil(high + extra), width - 1))


def rectified_positions(pair: RectifiedPair, x1: np.ndarray, x2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rectified pixels (N,2), (N,2) of matching photo pixels x1, x2 (N,2): the maps inverted; NaN outside.

    Where the rows of a polar pair go round the whole epipole, the last row stands beside the first: a match across this
    seam has the row of its second pixel counted on, to below 0 or beyond the last.
    """
    # a pixel between the last row and the first is taken from either side
    beyond = 1.0 if pair.kind == "polar" else 0.5
    u1, u2 = _invert(pair.map1, x1, beyond), _invert(pair.map2, x2, beyond)
    if pair.kind == "polar":
        rows = pair.map1.shape[0]
        with np.errstate(invalid="ignore"):
            apart = u2[:, 1] - u1[:, 1]
            u2[:, 1] -= rows * np.where(np.abs(apart) > rows - 8, np.sign(apart), 0)
    return u1, u2


# ------------------------------------------------------------------------------------------------ orientation


def _orientation(view: TwoView) -> tuple[np.ndarray, bool]:
    """Rows of the common orientation in the frame of camera 1, and whether the first photo stands on the right."""
    baseline = -view.R.T @ view.t  # centre of camera 2
    e1 = baseline / np.linalg.norm(baseline)
    # within 1 % of vertical both ways turn the photo alike: then the first photo is taken as left
    swapped = bool(e1[0] < -0.01)
    if swapped:
        e1 = -e1
    forward = np.array([0.0, 0.0, 1.0]) + view.R[2]
    e3 = forward - (forward @ e1) * e1
    if np.linalg.norm(e3) < 1e-9:  # straight ahead: no plane will do, whichever way it is turned
        e3 = np.linalg.svd(e1[None])[2][1]
    e3 /= np.linalg.norm(e3)
    return np.stack([e1, np.cross(e3, e1), e3]), swapped


def _outline(camera: Camera, Q: np.ndarray, steps: int = 33) -> np.ndarray | None:
    """The photo's border in the common orientation, (u, v) at focal 1; None where a part lies behind the plane."""
    X = _directions(camera, Q, _border(camera, steps))
    if (X[:, 2] < 0.02 * np.linalg.norm(X, axis=1)).any():
        return None
    return X[:, :2] / X[:, 2:]


def _border(camera: Camera, steps: int) -> np.ndarray:
    """Pixels (4 steps, 2) all along the photo's border."""
    s = np.linspace(0, 1, steps)
    o, l = np.zeros(steps), np.ones(steps)
    return np.concatenate([np.stack(c, 1) for c in ((s, o), (l, s), (1 - s, l), (o, 1 - s))]) * camera.size - 0.5


def _directions(camera: Camera, Q: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Where photo pixels (N,2) look in the common orientation, those that the lens reaches: (M,3), of unit z before."""
    y = undistort(x, camera.K, camera.dist)
    return hom(y[np.isfinite(y).all(1)]) @ Q.T


def _stretch(outline: np.ndarray) -> float:
    """Largest against smallest local area of the plane a ray meets: (1 + u^2 + v^2)^(3/2) over the border."""
    r = (1 + (outline**2).sum(1)) ** 1.5
    return float(r.max() / min(r.min(), 1.0 if (outline.min(0) < 0).all() and (outline.max(0) > 0).all() else r.min()))


def _too_near(view: TwoView, stretches) -> StereoError:
    which = int(stretches[0] <= MOST_STRETCH)
    name, camera = (("first", view.rig.cam1), ("second", view.rig.cam2))[which]
    return StereoError(
        "forward_motion",
        f"the camera moved towards what the {name} photo shows: its epipole is "
        f"{_epipole_words(view, camera, name)}, too near for a plane rectification.",
        "Use kind polar, or leave the choice to auto.",
        stretch=float(stretches[which]),
    )


def _epipole_words(view: TwoView, camera: Camera, name: str) -> str:
    direction = -view.R.T @ view.t if name == "first" else view.t
    if abs(direction[2]) < 1e-9 * np.linalg.norm(direction):
        return "at infinity"
    x = project(direction, camera.K)
    inside = (x > 0).all() and (x < camera.size).all()
    return (
        f"at ({x[0]:.0f}, {x[1]:.0f}) px, {'inside' if inside else 'near'} the picture of {camera.size[0]} x "
        f"{camera.size[1]} px"
    )


# ----------------------------------------------------------------------------------------------------- on a plane


def _planar(rig: Rig, rotations, outlines, scale: float, budget: float, inlier_x) -> Canvas:
    focal = wanted = scale * _density(rig, outlines, rotations)
    (u1, v1), (u2, v2) = (o.T for o in outlines)
    top, bottom = max(v1.min(), v2.min()), min(v1.max(), v2.max())
    if bottom - top < EDGE / focal:
        raise _no_row()
    left_end, right_end = (u1.min(), u1.max()), (u2.min(), u2.max())
    if inlier_x is not None and len(inlier_x[0]):
        d = _disparities(inlier_x, rig, rotations, lambda X: X[:, 0] / X[:, 2])
        left_end, right_end = _facing(left_end, right_end, _widened(d, focal))
    width = max(left_end[1] - left_end[0], right_end[1] - right_end[0])
    focal = min(focal, np.sqrt(budget / (width * (bottom - top))))
    size = (int(np.ceil(width * focal)) + 1, int(np.ceil((bottom - top) * focal)) + 1)

    def rays(start: float):
        u = start + np.arange(size[0]) / focal
        return lambda rows: (u, top + rows / focal, 1.0)

    return Canvas("planar", size, float(focal / wanted), (rays(left_end[0]), rays(right_end[0])))


def _no_row() -> StereoError:
    return StereoError(
        "no_overlap",
        "after rectification the photos have no row in common.",
        "The estimated camera motion is not right, or the photos barely overlap.",
    )


def _widened(d: np.ndarray, focal: float) -> tuple[float, float]:
    """Robust least and largest disparity of the inliers, with room for what no feature sat on. Canvas at focal 1."""
    low, high = np.quantile(d, [0.005, 0.995])
    margin = 0.25 * (high - low) + EDGE / focal
    return low - margin, high + margin


def _facing(left_end, right_end, d_range):
    """The columns of either photo, (first, last), whose match can lie in the other one: u2 = u1 - d."""
    (a, b), (c, d), (low, high) = left_end, right_end, d_range
    return (max(a, c + low), min(b, d + high)), (max(c, a - high), min(d, b - low))


def _density(rig, outlines, rotations) -> float:
    """Focal of the canvas, px, at which the median pixel of the photos keeps its size.

    The area of a photo pixel on the plane is |d(u,v)/d(x,y)|; by the cosine law a direction (u, v, 1) seen by a camera
    of focal f gives f^2 ((1 + u^2 + v^2) / (1 + x^2 + y^2))^(3/2) canvas pixels at canvas focal 1.
    """
    found = []
    for camera, Q, outline in zip((rig.cam1, rig.cam2), rotations, outlines, strict=True):
        (a, b), (c, d) = outline.min(0), outline.max(0)
        u, v = np.meshgrid(np.linspace(a, c, 24), np.linspace(b, d, 24))
        X = np.stack([u, v, np.ones_like(u)], -1) @ Q
        y = X[..., :2] / X[..., 2:]
        x = y @ camera.K[:2, :2].T + camera.K[:2, 2]
        inside = ((x > 0) & (x < camera.size)).all(-1) & (X[..., 2] > 0)
        ratio = ((1 + (y**2).sum(-1)) / (1 + u**2 + v**2)) ** 1.5
        found.append(camera.focal * np.sqrt(np.median(ratio[inside])) if inside.any() else camera.focal)
    return float(np.sqrt(found[0] * found[1]))


def _disparities(inlier_x, rig: Rig, rotations, column: Callable) -> np.ndarray:
    """Finite u1 - u2 of matches (x1, x2), u = column(directions in the common orientation)."""
    u = []
    for x, camera, Q in zip(inlier_x, (rig.cam1, rig.cam2), rotations, strict=True):
        u.append(column(hom(undistort(x, camera.K, camera.dist)) @ Q.T))
    d = u[0] - u[1]
    return d[np.isfinite(d)]


# ---------------------------------------------------------------------------------------------------- on the sphere


def _polar(rig: Rig, rotations, swapped: bool, scale: float, budget: float, inlier_x) -> Canvas:
    """Rows are half-planes about the baseline, columns u = -p: a point before both cameras has p2 > p1, if not swapped.

    Row spacing: the photos' pixels at the farthest a half-plane reaches in them, column spacing that of their median
    pixel. Nearer to an epipole rows show less than a pixel each; where the budget does not allow them all, rows are
    left out as long as the median pixel has one, then rows and columns alike.
    """
    cameras = rig.cam1, rig.cam2
    borders = [_directions(camera, Q, _border(camera, 1025)) for camera, Q in zip(cameras, rotations, strict=True)]
    arcs = [_arc(X) for X in borders]
    first, length = _common_arc(arcs)
    if length <= 0:
        raise _no_row()
    samples = [_densities(*each) for each in zip(cameras, rotations, borders, strict=True)]
    if length == 2 * np.pi:  # cut open where the picture reaches least far
        a, density, _ = _row_density(samples, first, length)
        first = a[np.argmin(density)]
    a, density, spare = _row_density(samples, first, length)
    columns = scale * np.sqrt(np.prod([np.median(along) for _, along, _ in samples]))
    count = scale * np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(a))])  # rows above a
    if count[-1] < EDGE:
        raise _no_row()

    ends = []
    for X, (_, full), Q in zip(borders, arcs, rotations, strict=True):
        p, angle = _polar_angles(X)
        p = p[(angle - first + 1e-9) % (2 * np.pi) <= length + 2e-9]
        if full:  # the epipole inside is the one on the optical axis' side
            p = np.append(p, 0 if Q[0, 2] > 0 else np.pi)
        ends.append((-p.max(), -p.min()))
    edge = EDGE / columns
    d_range = (-np.inf, edge) if swapped else (-edge, np.inf)
    if inlier_x is not None and len(inlier_x[0]):
        low, high = _widened(_disparities(inlier_x, rig, rotations, lambda X: -_polar_angles(X)[0]), columns)
        d_range = max(low, d_range[0]), min(high, d_range[1])
    left_end, right_end = _facing(*ends, d_range)
    width = columns * max(left_end[1] - left_end[0], right_end[1] - right_end[0])
    if columns * min(left_end[1] - left_end[0], right_end[1] - right_end[0]) < EDGE:
        raise StereoError(
            "no_overlap",
            "no point before both cameras falls into both photos.",
            "The estimated camera motion is not right, or the photos barely overlap.",
        )
    excess = max(1.0, width * count[-1] / budget)
    thinner = min(excess, spare)
    narrower = np.sqrt(excess / thinner)
    columns, count = columns / narrower, count / (thinner * narrower)
    size = int(np.ceil(width / narrower)) + 1, int(np.ceil(count[-1])) + (length < 2 * np.pi)
    if length == 2 * np.pi:
        count *= size[1] / count[-1]  # the row after the last is the first

    def rays(start: float):
        p = -(start + np.arange(size[0]) / columns)
        p[np.minimum(p, np.pi - p) < 0.5 / columns] = np.nan  # the epipole has no row of its own; beyond it lie others
        along, across = np.cos(p), np.sin(p)

        def of_rows(rows):
            angle = np.interp(rows, count, a)
            return along, across * np.sin(angle), across * np.cos(angle)

        return of_rows

    return Canvas("polar", size, float(1 / narrower), (rays(left_end[0]), rays(right_end[0])))


def _polar_angles(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p in [0, pi] from the baseline, a in (-pi, pi] about it, of directions (..., 3) in the common orientation."""
    return np.arctan2(np.hypot(X[..., 1], X[..., 2]), X[..., 0]), np.arctan2(X[..., 1], X[..., 2])


def _arc(X: np.ndarray) -> tuple[tuple[float, float], bool]:
    """(first, last) angle about the baseline of a picture with the border X (N,3), and whether it goes all round it.

    The border winds once about an epipole that it encloses, else not at all.
    """
    angle = np.unwrap(_polar_angles(np.concatenate([X, X[:1]]))[1])
    if abs(angle[-1] - angle[0]) > np.pi:
        return (-np.pi, np.pi), True
    return (float(angle.min()), float(angle.max())), False


def _common_arc(arcs) -> tuple[float, float]:
    """First angle and length of what two arcs have in common; the longer piece where there are two."""
    ((a, b), full1), ((c, d), full2) = arcs
    if full1 and full2:
        return -np.pi, 2 * np.pi
    if full1 or full2:
        first, last = (c, d) if full1 else (a, b)
        return first, last - first
    pieces = [(max(a, c + k), min(b, d + k)) for k in 2 * np.pi * np.arange(-2, 3)]
    first, last = max(pieces, key=lambda piece: piece[1] - piece[0])
    return first, last - first


def _densities(camera: Camera, Q: np.ndarray, border: np.ndarray):
    """Angle a (N,) about the baseline, and photo pixels to a radian along the row and across rows, over the picture."""
    w, h = camera.size
    x = np.stack(np.meshgrid(np.linspace(0, w - 1, 33), np.linspace(0, h - 1, 33)), -1).reshape(-1, 2)
    inside = _directions(camera, Q, x)
    p, a = _polar_angles(np.concatenate([inside, border]))
    step = 1e-5

    def pixel(p, a):
        X = np.stack([np.cos(p), np.sin(p) * np.sin(a), np.sin(p) * np.cos(a)], -1)
        return project(X @ Q, camera.K, dist=camera.dist)

    along = np.linalg.norm(pixel(p + step, a) - pixel(p - step, a), axis=1) / (2 * step)
    across = np.linalg.norm(pixel(p, a + step) - pixel(p, a - step), axis=1) / (2 * step)
    return a, along[: len(inside)], (across, len(inside))


def _row_density(samples, first: float, length: float, bins: int = 256):
    """Angles (M,) from `first` on, rows to a radian there (full size), and how many of them show one median pixel.

    Either photo asks for what its farthest pixel on the half-plane has; what they get is the geometric mean.
    """
    from scipy.ndimage import maximum_filter1d, uniform_filter1d

    wanted, spare = [], []
    for angle, _, (across, inner) in samples:
        at = (angle - first) % (2 * np.pi) / length * bins
        here = at < bins
        most = np.zeros(bins)
        np.maximum.at(most, at[here].astype(int), across[here])
        filled = most > 0
        most = np.interp(np.arange(bins), np.nonzero(filled)[0], most[filled])
        mode = "wrap" if length == 2 * np.pi else "nearest"
        wanted.append(uniform_filter1d(maximum_filter1d(most, 5, mode=mode), 5, mode=mode))
        inside = here[:inner]
        spare.append(np.median(wanted[-1][at[:inner][inside].astype(int)] / np.maximum(across[:inner][inside], 1e-9)))
    density = np.sqrt(wanted[0] * wanted[1])
    fine = np.linspace(0, length, 16 * bins + 1)
    middles = (np.arange(bins) + 0.5) * length / bins
    period = length if length == 2 * np.pi else None
    return first + fine, np.interp(fine, middles, density, period=period), max(1.0, float(np.sqrt(np.prod(spare))))


# ---------------------------------------------------------------------------------------------------------- drift


def _drift(view: TwoView, inlier_x, scale: float) -> tuple[Callable | None, dict]:
    """How matches lie beside their epipolar lines in photo 2, as a function of where; None where that is not smooth.

    r = D(y2) . n(y2): D a vector of cubic polynomials (the first radial term of a lens is cubic), n the epipolar line's
    normal, r the signed distance to it. Fitted by Huber's weights. It counts if matches in parts of the picture that
    were left out of the fit come nearer to their lines by a fifth, and by LEAST_DRIFT px at matching size.
    Returns bend, for `_photo_map`, and the medians of |r| before and after, and the largest bend, px at matching size.
    """
    y1, y2 = (undistort(x, c.K, c.dist) for x, c in zip(inlier_x, (view.rig.cam1, view.rig.cam2), strict=True))
    known = np.isfinite(y1).all(1) & np.isfinite(y2).all(1)
    y1, y2 = y1[known], y2[known]
    if len(y1) < DRIFT_MATCHES:
        return None, {}
    px = scale * view.rig.cam2.focal
    reach = np.abs(y2).max()
    line = hom(y1) @ essential_from_pose(view.R, view.t).T
    n = _epipolar_normals(y2, view.t)
    # along n, from the line to the match
    r = px * (line * hom(y2)).sum(1) / np.maximum(np.linalg.norm(line[:, :2], axis=1), 1e-300)
    r *= np.sign((line[:, :2] * n).sum(1))

    def terms(y, n):
        a, b = y[..., 0] / reach, y[..., 1] / reach
        cubic = np.stack([a**i * b**j for i in range(4) for j in range(4 - i)], -1)
        return np.concatenate([cubic * n[..., :1], cubic * n[..., 1:]], -1)

    B = terms(y2, n)
    cell = np.floor(4 * y2 / reach).astype(int)
    fold = (cell[:, 0] + 3 * cell[:, 1]) % 5  # cells of one fold stand apart: neighbours cannot vouch for each other
    left = r.copy()
    for k in range(5):
        left[fold == k] -= B[fold == k] @ _huber(B[fold != k], r[fold != k])
    before, after = float(np.median(np.abs(r))), float(np.median(np.abs(left)))
    if after > min(0.8 * before, before - LEAST_DRIFT):
        return None, {}
    c = _huber(B, r)
    most = float(np.quantile(np.abs(B @ c), 0.995))  # beyond the matches a polynomial goes anywhere

    def bend(y):
        n = _epipolar_normals(y, view.t)
        return np.clip(terms(y, n) @ c, -most, most)[..., None] * n / px

    return bend, {"before_px": before, "after_px": after, "largest_px": most}


def _epipolar_normals(y: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Unit normals (..., 2) at y (..., 2) of the lines through y and the epipole, normalised coordinates of photo 2."""
    along = y * t[2] - t[:2]
    return np.stack([-along[..., 1], along[..., 0]], -1) / np.maximum(
        np.linalg.norm(along, axis=-1, keepdims=True), 1e-12
    )


def _huber(B: np.ndarray, r: np.ndarray, rounds: int = 8) -> np.ndarray:
    """c (K,) that makes B c near to r by Huber's loss, bend at 1.5 robust deviations; what B cannot tell is 0."""
    w = np.ones(len(r))
    ridge = 1e-6 * np.eye(B.shape[1]) * (B**2).sum() / B.shape[1]
    for _ in range(rounds):
        weighted = w[:, None] * B
        c = np.linalg.solve(np.einsum("np,nq->pq", weighted, B) + ridge, np.einsum("np,n->p", weighted, r))
        e = np.abs(r - B @ c)
        w = 1 / np.maximum(1, e / max(1.5 * 1.4826 * np.median(e), 1e-9))
    return c


# -------------------------------------------------------------------------------------------- maps and pictures


def _photo_map(camera: Camera, Q: np.ndarray, rays: Callable, size, bend: Callable | None = None) -> np.ndarray:
    """(H,W,2) f32: the photo pixel that each canvas pixel, in direction rays(row), shows; else NaN.

    bend: how far (..., 2) what belongs to normalised image coordinates (..., 2) lies beside them.
    """
    w, h = size
    xy = np.empty((h, w, 2), np.float32)
    widest = np.inf
    if np.any(camera.dist):
        # far outside, the polynomial folds back into the picture: nothing beyond the border's widest ray is real
        widest = 1.0001 * (_outline(camera, np.eye(3)) ** 2).sum(1).max()

    def band(top: int):
        r = rays(np.arange(top, min(h, top + ROWS))[:, None])
        X, Y, Z = (r[0] * Q[0, k] + r[1] * Q[1, k] + r[2] * Q[2, k] for k in range(3))  # Q^T r
        with np.errstate(divide="ignore", invalid="ignore"):
            y = np.stack([X / Z, Y / Z], -1)
            if bend is not None:
                y += bend(y)
        x = distort(y, camera.dist) @ camera.K[:2, :2].T + camera.K[:2, 2]
        outside = ~all_channels((x >= -0.5) & (x <= np.array(camera.size) - 0.5)) | (Z <= 0)
        if np.isfinite(widest):
            outside |= (y**2).sum(-1) > widest
        x[outside] = np.nan
        xy[top : top + ROWS] = x

    with ThreadPoolExecutor() as pool:
        list(pool.map(band, range(0, h, ROWS)))
    return xy


def _resample(photo: Photo, xy: np.ndarray) -> np.ndarray:
    """The photo at the pixels xy (H,W,2): reduced by area first where the map steps over more than 1.5 px."""
    import cv2

    middle = xy[xy.shape[0] // 2]
    steps = np.linalg.norm(np.diff(middle, axis=0), axis=1)
    steps = steps[np.isfinite(steps)]
    step = float(np.median(steps)) if len(steps) else 1.0
    pixels, grid = photo.pixels, np.nan_to_num(xy, nan=-1e4)
    if step > 1.5 or max(photo.size) >= 32000:
        size = tuple(max(1, round(n / max(step, max(photo.size) / 32000))) for n in photo.size)
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        s = np.array([size[0] / photo.size[0], size[1] / photo.size[1]], np.float32)
        grid = (grid + np.float32(0.5)) * s - np.float32(0.5)
    if step > 32000:
        raise ValueError("the canvas is empty")
    picture = cv2.remap(
        pixels, grid.astype(np.float32), None, interpolation=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    picture[np.isnan(xy[..., 0])] = 0
    return picture


def _is_rectified(view: TwoView) -> bool:
    a, b = view.rig.cam1, view.rig.cam2
    straight = not np.any(a.dist) and not np.any(b.dist) and a.size == b.size
    equal = np.allclose(a.K[[0, 0, 1, 1], [0, 1, 1, 2]], b.K[[0, 0, 1, 1], [0, 1, 1, 2]], rtol=1e-9, atol=1e-9)
    still = np.abs(view.R - np.eye(3)).max() < 1e-9 and np.abs(view.t[1:]).max() < 1e-9 * abs(view.t[0])
    return straight and equal and still


def _identity(left: Photo, right: Photo, view: TwoView, scale: float) -> RectifiedPair:
    import cv2

    size = tuple(max(1, round(n * scale)) for n in left.size)
    sx, sy = size[0] / left.size[0], size[1] / left.size[1]
    x = (np.arange(size[0], dtype=np.float32) + 0.5) / sx - 0.5
    y = (np.arange(size[1], dtype=np.float32) + 0.5) / sy - 0.5
    xy = np.stack(np.meshgrid(x, y), -1).astype(np.float32)
    pictures = [left.pixels, right.pixels]
    if size != left.size:
        pictures = [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in pictures]
    return RectifiedPair(*pictures, xy, xy, kind="identity", swapped=bool(view.t[0] > 0))


def _invert(xy: np.ndarray, x: np.ndarray, beyond: float = 0.5, iterations: int = 6) -> np.ndarray:
    """Where the map xy (H,W,2) takes the value x (N,2): Newton's method on the bilinear map; NaN where nowhere.

    Starts from the nearest of a grid of known map points, so that any smooth map will do. Up to a pixel beyond the last
    cell with four known corners the map is continued from that cell, but no farther than `beyond` px out of the canvas.
    """
    from scipy.spatial import cKDTree

    h, w = xy.shape[:2]
    x = np.asarray(x, dtype=float)
    u = np.full(x.shape, np.nan)
    todo = np.isfinite(x).all(1)
    if h < 2 or w < 2 or not todo.any():
        return u
    known = np.isfinite(xy[..., 0])
    whole = known[:-1, :-1] & known[:-1, 1:] & known[1:, :-1] & known[1:, 1:]
    rows, columns = (np.append(np.arange(0, n - 2, max(1, min(8, n // 4))), n - 2) for n in (h, w))
    grid = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)
    grid = grid[whole[grid[:, 1], grid[:, 0]]]
    if len(grid) == 0:
        return u
    cell = grid[cKDTree(xy[grid[:, 1], grid[:, 0]].astype(float)).query(x[todo])[1]]
    at = cell.astype(float)
    target = x[todo]
    error = np.full(len(at), np.inf)
    for _ in range(iterations):
        for di, dj in ((1, 1), (-1, 1), (1, -1), (-1, -1), (1, 0), (0, 1), (-1, 0), (0, -1), (0, 0)):  # the last wins
            near = np.clip(np.floor(at).astype(int) + (di, dj), 0, [w - 2, h - 2])
            cell = np.where(whole[near[:, 1], near[:, 0], None], near, cell)
        i, j = cell.T
        a, b = at[:, :1] - i[:, None], at[:, 1:] - j[:, None]
        p00, p10, p01, p11 = (xy[j + dj, i + di].astype(float) for dj, di in ((0, 0), (0, 1), (1, 0), (1, 1)))
        gu = (1 - b) * (p10 - p00) + b * (p11 - p01)
        gv = (1 - a) * (p01 - p00) + a * (p11 - p10)
        e = target - (p00 + a * (p10 - p00) + b * (p01 - p00) + a * b * (p11 - p10 - p01 + p00))
        error = np.abs(e).max(1)
        det = gu[:, 0] * gv[:, 1] - gv[:, 0] * gu[:, 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.stack([gv[:, 1] * e[:, 0] - gv[:, 0] * e[:, 1], gu[:, 0] * e[:, 1] - gu[:, 1] * e[:, 0]], 1)
            step /= det[:, None]
        at = np.clip(at + np.where(np.isfinite(step), step, 0), -1, [w, h])
    inside = (at >= -beyond).all(1) & (at <= [w - 1 + beyond, h - 1 + beyond]).all(1) & (error < 0.05)
    inside &= (at >= cell - 1).all(1) & (at <= cell + 2).all(1)
    at[~inside] = np.nan
    u[todo] = at
    return u
