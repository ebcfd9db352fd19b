"""Maps of a rectified pair back to the photos, row errors, disparity range."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, cast

import numpy as np

from .. import resources
from ..errors import StereoError
from ..geometry.arrays import all_channels, hom, real_array
from ..geometry.camera import distort, project, undistort
from ..images.content import content_box, crop_to_content
from ..images.reduce import smooth, to_grey
from ..images.unknown import scene_pixels
from ..options import Range, check_options, options_of
from ..records import Camera, Photo, RectifiedPair, RowErrors, TwoView
from .canvas import photo_outline

PATCH_OFFSET = 8.0  # px from a match to the patch that measures its row: the pose was not fitted there
MIN_PATCHES = 30  # fewer fitted patches do not measure the rows
MAX_REMAP = 32000  # px: cv2.remap takes no side of 32768 or more
INFINITY_GRID = 24  # pixels per side whose rays are followed to infinity
MAX_INFINITY_RANGE = 2.0  # px, of the disparities of infinity over the pair: a bent map moves them
STRIP_ROWS = 32  # canvas rows mapped at a time: their arrays stay in the processor's cache


def row_errors(
    pair: RectifiedPair, x1: np.ndarray, x2: np.ndarray, *, places: Annotated[int, Range(1)] = 400
) -> RowErrors:
    """Measure |dv|, the misalignment of corresponding rows of the two pictures, px.

    Patches PATCH_OFFSET px away from inlier matches (the pose was fitted to the matches themselves) are aligned by
    least squares with the same row of the right picture, free to leave the row. The matches only give their disparity.

    Parameters
    ----------
    pair : RectifiedPair
        The rectified photos.
    x1, x2 : (N,2) float
        Photo pixels of inlier matches.
    places : int
        Number of matches tried, at most.

    Returns
    -------
    RowErrors
        "median_px", "most_px" (95 %), "places" (patches fitted); empty where fewer than MIN_PATCHES could be fitted.
    """
    from ..images.patch_fit import fit_patches

    places = check_options("row_errors", options_of(row_errors), {"places": places})["places"]
    pick = np.sort(np.random.default_rng(0).permutation(len(x1))[:places])
    u1, u2 = rectified_positions(pair, x1[pick], x2[pick])
    known = np.isfinite(u1).all(1) & np.isfinite(u2).all(1)
    offset = PATCH_OFFSET * np.array([[1, 1], [-1, 1], [1, -1], [-1, -1]])[np.arange(known.sum()) % 4]
    at1 = u1[known] + offset
    at2 = np.stack([u2[known, 0] + offset[:, 0], at1[:, 1]], -1)
    if len(at1) < MIN_PATCHES:
        return cast(RowErrors, {})
    grey1, grey2 = smooth(to_grey(pair.left)), smooth(to_grey(pair.right))
    out, score = np.empty_like(at2), np.empty(len(at2))
    fit_patches(grey1, grey2, at1, at2, np.tile(np.eye(2), (len(at1), 1, 1)), 9, 3.0, 0, len(at1), out, score)
    off = np.abs(out[:, 1] - at1[:, 1])[score > 0]
    if len(off) < MIN_PATCHES:
        return cast(RowErrors, {})
    return {"median_px": float(np.median(off)), "most_px": float(np.quantile(off, 0.95)), "places": len(off)}


def disparity_range(
    pair: RectifiedPair,
    x1: np.ndarray,
    x2: np.ndarray,
    *,
    margin: Annotated[float, Range(0, 100)] = 0.25,
    least: Annotated[int, Range(0, 10_000)] = 8,
    lowest: Annotated[float, Range(-1, 1)] | None = None,
    highest: Annotated[float, Range(-1, 1)] | None = None,
) -> tuple[int, int]:
    """Estimate the disparity search range (lo, hi), whole px, from inlier matches.

    The robust quantiles 0.5 % and 99.5 % of x_left - x_right, widened on both sides by `margin` of their distance and
    by `least` px, as surfaces without features may lie nearer or farther. Never wider than the picture.

    Parameters
    ----------
    pair : RectifiedPair
        The rectified photos.
    x1, x2 : (N,2) float
        Photo pixels of inlier matches; rows with NaN are left out.
    margin : float
        Share of the range added on both sides.
    least : int
        px added on both sides as well.
    lowest, highest : float, optional
        Ends of the range that are known, as shares of the width: each takes the place of that of the matches.

    Returns
    -------
    (int, int)
        px.

    Raises
    ------
    StereoError
        "no_disparity" where no match falls inside both pictures; "bad_option" for options out of bounds.
    ValueError
        For other shapes.
    """
    given = {"margin": margin, "least": least, "lowest": lowest, "highest": highest}
    margin, least, lowest, highest = check_options("disparity_range", options_of(disparity_range), given).values()
    if lowest is not None and highest is not None and lowest >= highest:
        raise StereoError(
            "bad_range", f"the search range is {lowest:g} to {highest:g} of the width.", "The lowest comes first."
        )
    x1, x2 = real_array(x1, "x1"), real_array(x2, "x2")
    if x1.shape != x2.shape or x1.ndim != 2 or x1.shape[1] != 2:
        raise ValueError(f"disparity_range needs (N,2) twice, got {x1.shape} and {x2.shape}")
    u1, u2 = rectified_positions(pair, x1, x2)
    known = np.isfinite(u1).all(1) & np.isfinite(u2).all(1)
    if not known.any():
        raise StereoError(
            "no_disparity",
            "no match falls inside the rectified pictures.",
            "Give the range with --range, or check the calibration.",
        )
    d = u1[known, 0] - u2[known, 0]
    low, high = np.quantile(d, [0.005, 0.995])
    # a lone match beyond its neighbours is an outlier; twenty of them are an object in the foreground
    extra = margin * (high - low) + least
    width = pair.left.shape[1]
    low = low - extra if lowest is None else lowest * width
    high = high + extra if highest is None else highest * width
    if (lowest, highest) != (None, None) and low >= high:
        raise StereoError(
            "bad_range", f"the search range is {low:.0f} to {high:.0f} px.", "Give both ends of it, or neither."
        )
    return int(max(np.floor(low), 1 - width)), int(min(np.ceil(high), width - 1))


def rectified_positions(pair: RectifiedPair, x1: np.ndarray, x2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Invert the maps: the rectified pixels of matching photo pixels.

    Where the rows of a polar pair go all the way round the epipole, the last row adjoins the first: a match across
    this seam has the row of its second pixel counted on, to below 0 or beyond the last.

    Parameters
    ----------
    pair : RectifiedPair
        The rectified photos.
    x1, x2 : (N,2) float
        Photo pixels; a row of NaN gives NaN.

    Returns
    -------
    u1, u2 : (N,2) float64
        px, NaN outside the canvas.
    """
    if pair.sphere is not None:
        return _sphere_positions(pair, x1, x2)
    # a pixel between the last row and the first is accepted from either side
    beyond = 1.0 if pair.kind == "polar" else 0.5
    u1, u2 = _invert(pair.map1, x1, beyond), _invert(pair.map2, x2, beyond)
    if pair.kind == "polar":
        rows = pair.map1.shape[0]
        with np.errstate(invalid="ignore"):
            apart = u2[:, 1] - u1[:, 1]
            u2[:, 1] -= rows * np.where(np.abs(apart) > rows - 8, np.sign(apart), 0)
    return u1, u2


def _sphere_positions(pair: RectifiedPair, x1: np.ndarray, x2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`rectified_positions` of a pair of the kind "sphere", whose directions are known exactly."""
    grid = pair.sphere
    assert grid is not None
    u1, u2 = grid.positions(x1, 0), grid.positions(x2, 1)
    if grid.closed:
        turn = 2 * np.pi / grid.row_pitch
        u2[:, 1] -= turn * np.round((u2[:, 1] - u1[:, 1]) / turn)
    height, width = pair.left.shape[:2]
    for u in (u1, u2):
        with np.errstate(invalid="ignore"):
            margin = [0.5, 1.0 if grid.closed else 0.5]
            u[~((u >= np.negative(margin)).all(1) & (u <= np.add([width - 1, height - 1], margin)).all(1))] = np.nan
    return u1, u2


def infinity_disparity(pair: RectifiedPair, view: TwoView) -> float | None:
    """d = x_left - x_right, px, of what is infinitely far away: X_2 ~ R X_1.

    Parameters
    ----------
    pair : RectifiedPair
        The rectified photos.
    view : TwoView
        Cameras and pose.

    Returns
    -------
    float or None
        The median over a grid of pixels; None where it varies over the pair by more than MAX_INFINITY_RANGE.
    """
    height, width = pair.map1.shape[:2]
    places = [np.linspace(0, n - 1, INFINITY_GRID).round().astype(int) for n in (height, width)]
    x1 = pair.map1[np.ix_(*places)].reshape(-1, 2).astype(float)
    x1 = x1[np.isfinite(x1).all(1)]
    cam1, cam2 = view.rig.cam1, view.rig.cam2
    X2 = hom(undistort(x1, cam1.K, cam1.dist)) @ view.R.T
    x2 = np.full_like(x1, np.nan)
    ahead = X2[:, 2] > 0
    x2[ahead] = project(X2[ahead], cam2.K, dist=cam2.dist)
    u1, u2 = rectified_positions(pair, x1, x2)
    d = u1[:, 0] - u2[:, 0]
    d = d[np.isfinite(d)]
    if not len(d) or np.ptp(np.quantile(d, [0.05, 0.95])) > MAX_INFINITY_RANGE:
        return None
    return float(np.median(d))


def photo_map(
    camera: Camera, rect_from_cam: np.ndarray, rays: Callable, size: tuple[int, int], bend: Callable | None = None
) -> np.ndarray:
    """(H,W,2) f32: the photo pixel that each canvas pixel, in direction rays(row), shows; NaN outside the photo.

    bend: offset (..., 2) as a function of normalised image coordinates (..., 2), added to them.
    """
    w, h = size
    xy = np.empty((h, w, 2), np.float32)
    max_radius2 = np.inf
    if np.any(camera.dist):
        # far outside, the polynomial folds back into the picture: nothing beyond the border's widest ray is real
        border = photo_outline(camera, np.eye(3))
        assert border is not None  # in the camera's own frame, unit z
        max_radius2 = 1.0001 * (border**2).sum(1).max()

    def map_strip(top: int) -> None:
        r = rays(np.arange(top, min(h, top + STRIP_ROWS))[:, None])
        Q = rect_from_cam
        X, Y, Z = (r[0] * Q[0, k] + r[1] * Q[1, k] + r[2] * Q[2, k] for k in range(3))  # Q^T r
        with np.errstate(divide="ignore", invalid="ignore"):
            y = np.stack([X / Z, Y / Z], -1)
            if bend is not None:
                y += bend(y)
        x = distort(y, camera.dist) @ camera.K[:2, :2].T + camera.K[:2, 2]
        outside = ~all_channels((x >= -0.5) & (x <= np.array(camera.size) - 0.5)) | (Z <= 0)
        if np.isfinite(max_radius2):
            outside |= (y**2).sum(-1) > max_radius2
        x[outside] = np.nan
        xy[top : top + STRIP_ROWS] = x

    with ThreadPoolExecutor(resources.processors()) as pool:
        list(pool.map(map_strip, range(0, h, STRIP_ROWS)))
    return xy


def without_bars(xy: np.ndarray, photo: Photo) -> np.ndarray:
    """The map xy (H,W,2) with NaN where it shows a letterbox bar of the photo, or a pixel that its mask leaves out."""
    xy = _without_masked(xy, photo)
    x0, y0, x1, y1 = content_box(photo.pixels)
    if (x1 - x0, y1 - y0) == photo.size:
        return xy
    inside = all_channels((xy >= np.array([x0, y0]) - 0.5) & (xy <= np.array([x1, y1]) - 0.5))
    return np.where(inside[..., None], xy, np.float32(np.nan))


def _without_masked(xy: np.ndarray, photo: Photo) -> np.ndarray:
    """The map xy (H,W,2) with NaN where a pixel next to it is outside the photo's mask."""
    import cv2

    if photo.mask is None:
        return xy
    inner = cv2.erode(photo.mask.astype(np.uint8), kernel=np.ones((3, 3), np.uint8)) > 0
    known = all_channels(np.isfinite(xy))
    column, row = np.rint(xy[known]).astype(int).T
    known[known] = inner[row.clip(0, photo.size[1] - 1), column.clip(0, photo.size[0] - 1)]
    return np.where(known[..., None], xy, np.float32(np.nan))


def resample(photo: Photo, xy: np.ndarray, wraps: bool = False) -> np.ndarray:
    """The photo at the pixels xy (H,W,2): reduced by area first where the map steps over more than 1.5 px.

    wraps: the last column of the photo adjoins the first, as in a panorama.
    """
    import cv2

    photo, corner = crop_to_content(photo)
    if corner.any():
        xy = xy - corner.astype(np.float32)
    middle = xy[xy.shape[0] // 2]
    steps = np.linalg.norm(np.diff(middle, axis=0), axis=1)
    steps = steps[np.isfinite(steps)]
    step = float(np.median(steps)) if len(steps) else 1.0
    pixels, grid = scene_pixels(photo), np.nan_to_num(xy, nan=-1e4)
    if step > 1.5 or max(photo.size) >= MAX_REMAP:
        width, height = (max(1, round(n / max(step, max(photo.size) / MAX_REMAP))) for n in photo.size)
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        s = np.array([width / photo.size[0], height / photo.size[1]], np.float32)
        grid = (grid + np.float32(0.5)) * s - np.float32(0.5)
    if step > MAX_REMAP:
        raise ValueError("the canvas is empty")
    picture = cv2.remap(  # pyright: ignore[reportCallIssue, reportArgumentType]
        pixels,
        grid.astype(np.float32),
        None,  # pyright: ignore[reportArgumentType]
        interpolation=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_WRAP if wraps else cv2.BORDER_REPLICATE,
    )
    picture[np.isnan(xy[..., 0])] = 0
    return picture


def _invert(xy: np.ndarray, x: np.ndarray, beyond: float = 0.5, iterations: int = 6) -> np.ndarray:
    """u (N,2) with xy(u) = x (N,2), for a map xy (H,W,2): Newton's method on the bilinear map; NaN where there is none.

    Starts from the nearest of a grid of known map points, so that any smooth map will do. Up to a pixel beyond the last
    cell with four known corners the map is extrapolated from that cell, but no farther than `beyond` px out of the
    canvas.
    """
    h, w = xy.shape[:2]
    x = np.asarray(x, dtype=float)
    u = np.full(x.shape, np.nan)
    todo = np.isfinite(x).all(1)
    if h < 2 or w < 2 or not todo.any():
        return u
    known = np.isfinite(xy[..., 0])
    whole = known[:-1, :-1] & known[:-1, 1:] & known[1:, :-1] & known[1:, 1:]
    target = x[todo]
    cell = _nearest_cells(xy, whole, target)
    if cell is None:
        return u
    at = cell.astype(float)
    error = np.full(len(at), np.inf)
    for _ in range(iterations):
        cell = _step_to_cell(at, cell, whole)
        step, error = _newton_step(xy, cell, at, target)
        at = np.clip(at + np.where(np.isfinite(step), step, 0), -1, [w, h])
    inside = (at >= -beyond).all(1) & (at <= [w - 1 + beyond, h - 1 + beyond]).all(1) & (error < 0.05)
    inside &= (at >= cell - 1).all(1) & (at <= cell + 2).all(1)
    at[~inside] = np.nan
    u[todo] = at
    return u


def _nearest_cells(xy: np.ndarray, whole: np.ndarray, target: np.ndarray) -> np.ndarray | None:
    """Of a coarse grid of cells (column, row) with four known corners, the one nearest to each target; None without."""
    from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

    h, w = xy.shape[:2]
    rows, columns = (np.append(np.arange(0, n - 2, max(1, min(8, n // 4))), n - 2) for n in (h, w))
    grid = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)
    grid = grid[whole[grid[:, 1], grid[:, 0]]]
    if len(grid) == 0:
        return None
    nearest = cKDTree(xy[grid[:, 1], grid[:, 0]].astype(float)).query(target, workers=resources.processors())[1]
    return grid[np.minimum(nearest, len(grid) - 1)]  # a target farther than any number has no neighbour


def _step_to_cell(at: np.ndarray, cell: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """The cell (N,2) that holds `at` (N,2) if its corners are known, else a known neighbour of it, else `cell`."""
    h, w = whole.shape
    for di, dj in ((1, 1), (-1, 1), (1, -1), (-1, -1), (1, 0), (0, 1), (-1, 0), (0, -1), (0, 0)):  # the last wins
        near: np.ndarray = np.clip(np.floor(at).astype(int) + (di, dj), 0, [w - 1, h - 1])
        cell = np.where(whole[near[:, 1], near[:, 0]][:, None], near, cell)
    return cell


def _newton_step(xy: np.ndarray, cell: np.ndarray, at: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Newton step (N,2) of the cells' bilinear maps towards target (N,2), and the error (N,) before it."""
    i, j = cell.T
    a, b = at[:, :1] - i[:, None], at[:, 1:] - j[:, None]
    p00, p10, p01, p11 = (xy[j + dj, i + di].astype(float) for dj, di in ((0, 0), (0, 1), (1, 0), (1, 1)))
    gu = (1 - b) * (p10 - p00) + b * (p11 - p01)
    gv = (1 - a) * (p01 - p00) + a * (p11 - p10)
    e = target - (p00 + a * (p10 - p00) + b * (p01 - p00) + a * b * (p11 - p10 - p01 + p00))
    det = gu[:, 0] * gv[:, 1] - gv[:, 0] * gu[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.stack([gv[:, 1] * e[:, 0] - gv[:, 0] * e[:, 1], gu[:, 0] * e[:, 1] - gu[:, 1] * e[:, 0]], 1)
        step /= det[:, None]
    return step, np.abs(e).max(1)
