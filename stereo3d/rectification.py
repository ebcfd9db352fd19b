"""Planar rectification of any two calibrated photos whose epipoles lie outside the picture; the disparity range."""

from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import numpy as np

from .errors import StereoError
from .geometry import distort, hom, project, undistort
from .options import Between
from .records import Camera, Photo, RectifiedPair, TwoView

# The canvas may have at most this many times the pixels of the photo at matching size, and a photo may be stretched
# along a row by at most this factor between its ends; beyond that the epipole is too near for a plane.
MOST_PIXELS, MOST_STRETCH = 2.0, 8.0
ROWS = 32  # of the canvas in one band: its arrays stay in the processor's cache


def rectify(left: Photo, right: Photo, view: TwoView, *, max_size: int = 1600, inlier_x=None) -> RectifiedPair:
    """Resample both photos, once, so that corresponding epipolar lines are equal rows.

    Both cameras are turned into one orientation (rows of B_from_1): first axis along the baseline, third the mean of
    the optical axes across it (Fusiello, Trucco and Verri 2000); the first axis points the way that turns the first
    photo least, so that nothing is flipped, and `swapped` says that the first photo stands on the right. A vertical
    baseline turns the pair by 90 degrees. Canvas: the rows that both photos see, the columns of each photo whose
    scene the other may see, at the density of the photos reduced to longer side `max_size`.

    inlier_x: (x1, x2) photo pixels of inlier matches; they tell how far the columns of the two photos overlap.
    Photos that are rectified already (R = 1, t along x, equal K but for the principal column, no distortion) keep
    their pixels: kind "identity".
    Raises StereoError("forward_motion") where an epipole lies in or near the picture; ("no_overlap") where no row is
    common.
    """
    rig = view.rig
    scale = min(1.0, max_size / max(max(left.size), max(right.size)))
    if _is_rectified(view):
        return _identity(left, right, view, scale)
    B_from_1, swapped = _orientation(view)
    rotations = (B_from_1, B_from_1 @ view.R.T)  # from each camera to the common orientation
    outlines = [_outline(camera, Q) for camera, Q in zip((rig.cam1, rig.cam2), rotations, strict=True)]
    for name, camera, outline in zip(("first", "second"), (rig.cam1, rig.cam2), outlines, strict=True):
        stretch = np.inf if outline is None else _stretch(outline)
        if not stretch <= MOST_STRETCH:
            raise StereoError("forward_motion", f"the camera moved towards what the {name} photo shows: its epipole is "
                              f"{_epipole_words(view, camera, name)}, too near for a plane rectification.",
                              "Take the second photo from beside the first, not from nearer.",
                              stretch=float(stretch))  # fmt: skip
    focal = scale * _density(rig, outlines, rotations)
    (u1, v1), (u2, v2) = (o.T for o in outlines)
    top, bottom = max(v1.min(), v2.min()), min(v1.max(), v2.max())
    if bottom - top < 16 / focal:
        raise StereoError("no_overlap", "after rectification the photos have no row in common.",
                          "The estimated camera motion is not right, or the photos barely overlap.")  # fmt: skip
    left_end, right_end = (u1.min(), u1.max()), (u2.min(), u2.max())
    if inlier_x is not None and len(inlier_x[0]):
        d = _normalised_disparity(inlier_x, rig, rotations)
        low, high = np.quantile(d, [0.005, 0.995])
        margin = 0.25 * (high - low) + 16 / focal
        low, high = low - margin, high + margin
        left_end, right_end = (
            (max(u1.min(), u2.min() + low), min(u1.max(), u2.max() + high)),
            (max(u2.min(), u1.min() - high), min(u2.max(), u1.max() - low)),
        )
    budget = MOST_PIXELS * scale**2 * max(left.size[0] * left.size[1], right.size[0] * right.size[1])
    width = max(left_end[1] - left_end[0], right_end[1] - right_end[0])
    focal = min(focal, np.sqrt(budget / (width * (bottom - top))))
    size = (int(np.ceil(width * focal)) + 1, int(np.ceil((bottom - top) * focal)) + 1)
    maps = [
        _photo_map(camera, Q, focal, (start, top), size)
        for camera, Q, start in zip((rig.cam1, rig.cam2), rotations, (left_end[0], right_end[0]), strict=True)
    ]
    pictures = [_resample(photo, xy) for photo, xy in zip((left, right), maps, strict=True)]
    return RectifiedPair(*pictures, *maps, kind="planar", swapped=swapped)


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
        raise StereoError("no_disparity", "no match falls inside the rectified pictures.",
                          "Give the range with --range, or check the calibration.")  # fmt: skip
    d = u1[good, 0] - u2[good, 0]
    low, high = np.quantile(d, [0.005, 0.995])
    # a lone match beyond its neighbours is an outlier; twenty of them are a thing in the foreground
    extra = margin * (high - low) + least
    width = pair.left.shape[1]
    return int(max(np.floor(low - extra), 1 - width)), int(min(np.ceil(high + extra), width - 1))


def rectified_positions(pair: RectifiedPair, x1: np.ndarray, x2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rectified pixels (N,2), (N,2) of photo pixels x1, x2 (N,2): the maps inverted; NaN outside."""
    return _invert(pair.map1, x1), _invert(pair.map2, x2)


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
    w, h = camera.size
    s = np.linspace(0, 1, steps)
    o, l = np.zeros(steps), np.ones(steps)
    border = np.concatenate([np.stack(c, 1) for c in ((s, o), (l, s), (1 - s, l), (o, 1 - s))]) * [w, h] - 0.5
    y = undistort(border, camera.K, camera.dist)
    X = hom(y[np.isfinite(y).all(1)]) @ Q.T
    if (X[:, 2] < 0.02 * np.linalg.norm(X, axis=1)).any():
        return None
    return X[:, :2] / X[:, 2:]


def _stretch(outline: np.ndarray) -> float:
    """Largest against smallest local area of the plane a ray meets: (1 + u^2 + v^2)^(3/2) over the border."""
    r = (1 + (outline**2).sum(1)) ** 1.5
    return float(r.max() / min(r.min(), 1.0 if (outline.min(0) < 0).all() and (outline.max(0) > 0).all() else r.min()))


def _epipole_words(view: TwoView, camera: Camera, name: str) -> str:
    direction = -view.R.T @ view.t if name == "first" else view.t
    if abs(direction[2]) < 1e-9 * np.linalg.norm(direction):
        return "at infinity"
    x = project(direction, camera.K)
    inside = (x > 0).all() and (x < camera.size).all()
    return f"at ({x[0]:.0f}, {x[1]:.0f}) px, {'inside' if inside else 'near'} the picture of {camera.size[0]} x " \
           f"{camera.size[1]} px"  # fmt: skip


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


def _normalised_disparity(inlier_x, rig, rotations):
    u = []
    for x, camera, Q in zip(inlier_x, (rig.cam1, rig.cam2), rotations, strict=True):
        X = hom(undistort(x, camera.K, camera.dist)) @ Q.T
        u.append(X[:, 0] / X[:, 2])
    d = u[0] - u[1]
    return d[np.isfinite(d)]


# -------------------------------------------------------------------------------------------- maps and pictures


def _photo_map(camera: Camera, Q: np.ndarray, focal: float, start, size) -> np.ndarray:
    """(H,W,2) f32: the photo pixel that canvas pixel (i, j), in direction start + (i, j) / focal, shows; else NaN."""
    w, h = size
    u = start[0] + np.arange(w) / focal
    xy = np.empty((h, w, 2), np.float32)
    widest = np.inf
    if np.any(camera.dist):
        # far outside, the polynomial folds back into the picture: nothing beyond the border's widest ray is real
        widest = 1.0001 * (_outline(camera, np.eye(3)) ** 2).sum(1).max()

    def band(top: int):
        v = start[1] + np.arange(top, min(h, top + ROWS))[:, None] / focal
        X, Y, Z = (u * Q[0, k] + v * Q[1, k] + Q[2, k] for k in range(3))  # Q^T (u, v, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            y = np.stack([X / Z, Y / Z], -1)
        x = distort(y, camera.dist) @ camera.K[:2, :2].T + camera.K[:2, 2]
        outside = (x < -0.5).any(-1) | (x > np.array(camera.size) - 0.5).any(-1) | (Z <= 0)
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


def _invert(xy: np.ndarray, x: np.ndarray, iterations: int = 6) -> np.ndarray:
    """Where the map xy (H,W,2) takes the value x (N,2): Newton's method on the bilinear map; NaN where nowhere.

    Starts from the nearest of a grid of known map points, so that any smooth map will do. Up to a pixel beyond the last
    cell with four known corners the map is continued from that cell.
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
    rows, columns = np.arange(0, h - 1, max(1, min(8, h // 4))), np.arange(0, w - 1, max(1, min(8, w // 4)))
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
    inside = (at >= -0.5).all(1) & (at <= [w - 0.5, h - 0.5]).all(1) & (error < 0.05)
    inside &= (at >= cell - 1).all(1) & (at <= cell + 2).all(1)
    at[~inside] = np.nan
    u[todo] = at
    return u
