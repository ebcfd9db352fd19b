"""The sky: what no disparity explains better than infinity, and what has its colour around roofs and branches.

numba kernels.
"""

from dataclasses import dataclass

import numpy as np

from ...kernel_cache import njit


@dataclass(frozen=True)
class SkyThresholds:
    """What counts as sky. Chosen together on rendered skies (`synthetic.houses`), sceaux and the 17 shared scenes.

    Parameters
    ----------
    share : float
        Of the photo: smaller areas are no sky.
    border : int
        px, along which such an area touches the border of the photo at least.
    step : int
        Grey levels between neighbours of one area, at most.
    window : int
        px, side of the window about a pixel whose sky has the colour that a pixel is compared with.
    present : float
        Share of that window that is sky, at least.
    deviations : float
        Standard deviations of the sky in the window, which a pixel may differ from its mean.
    least, most : float
        Grey levels, bounds of that difference: JPEG changes a sky without noise, clouds on blue differ from all.
    rounds : int
        By how many windows the sky is followed between branches.
    edge : int
        px, within which an edge is blurred.
    closeness : float
        A pixel at the edge belongs to the sky unless its colour is this many times closer to the surface's.
    rim : int
        px, width of the surface's edge along the sky that counts as sky: its pixels show both.
    """

    share: float = 0.005
    border: int = 8
    step: int = 12
    window: int = 31
    present: float = 0.1
    deviations: float = 3.0
    least: float = 5.0
    most: float = 30.0
    rounds: int = 6
    edge: int = 2
    closeness: float = 2.0
    rim: int = 1


SKY = SkyThresholds()
BLUR = 0.8  # px, of the picture whose colours are compared: noise
SKY_COLOUR, SURFACE_COLOUR = 11, 7  # px, sides of the windows whose colours a pixel at the edge is compared with


def find_sky(
    picture: np.ndarray,
    seen: np.ndarray,
    empty: np.ndarray,
    surface: np.ndarray,
    unseen: np.ndarray | None = None,
    thresholds: SkyThresholds = SKY,
) -> np.ndarray:
    """Return the sky, (H,W) bool: large empty areas at the photo's border, and around them what has their colour.

    An area in the middle of the picture, as a white wall or a dark window, is no sky. Between branches there are no
    windows without branches, so what is seen there is known by its colour: it is that of the sky around, as a mean of
    the window, to 3 standard deviations. A pixel at its edge is part of it unless the surface covers most of it.

    Parameters
    ----------
    picture : (H, W, 3) uint8
        RGB.
    seen : (H, W) bool
        Pixels inside the photo.
    empty : (H, W) bool
        Pixels of areas that nothing distinguishes from infinity.
    surface : (H, W) bool
        Pixels of areas that have a significant disparity: no sky, whatever their colour.
    unseen : (H, W) bool or None
        Pixels of even areas that the other picture does not show: sky where they go on from a sky, in its colour.
    thresholds : SkyThresholds
        Limits.
    """
    import cv2

    colours = cv2.GaussianBlur(picture.astype(np.float32), ksize=(0, 0), sigmaX=BLUR)
    sky = _areas_at_border(colours, seen, empty & seen, thresholds)
    if not sky.any():
        return sky
    if unseen is not None and unseen.any():
        sky |= _continued_areas(colours, seen, sky, empty | unseen, thresholds)
    allowed = seen & ~surface
    for _ in range(thresholds.rounds):
        part = _around(sky, thresholds.window)
        more = _of_its_colour(colours[part], sky[part], thresholds) & allowed[part]
        if not more.any():
            break
        sky[part] |= more
    return _with_edges(colours, sky, seen, thresholds.edge, thresholds)


def enlarge_sky(picture: np.ndarray, seen: np.ndarray, sky: np.ndarray, thresholds: SkyThresholds = SKY) -> np.ndarray:
    """Return the sky (H,W) of a picture from that of half its size, its edge found again by the pixels' colours."""
    import cv2

    if not sky.any():
        return np.zeros(seen.shape, bool)
    large = cv2.resize(sky.astype(np.uint8), seen.shape[::-1], interpolation=cv2.INTER_NEAREST)
    kernel = np.ones((2 * thresholds.edge + 1,) * 2, np.uint8)
    inner = cv2.erode(large, kernel=kernel) > 0
    # what is too thin to keep an inside was found by its colour at the coarser level
    thin = (large > 0) & ~(cv2.dilate(inner.astype(np.uint8), kernel=kernel) > 0)
    colours = cv2.GaussianBlur(picture.astype(np.float32), ksize=(0, 0), sigmaX=BLUR)
    return _with_edges(colours, (inner | thin) & seen, seen, 2 * thresholds.edge, thresholds)


def _continued_areas(
    colours: np.ndarray, seen: np.ndarray, sky: np.ndarray, even: np.ndarray, thresholds: SkyThresholds
) -> np.ndarray:
    """The areas at the border, as of `_areas_at_border`, that begin within a window of the sky in its colour."""
    import cv2

    areas = _areas_at_border(colours, seen, even & seen, thresholds)
    count, found = cv2.connectedComponents(areas.astype(np.uint8), connectivity=4)
    labels = found.astype(np.intp)
    share, mean = _mean_colour(colours, sky, thresholds.window)
    alike = (share > thresholds.present) & (((colours - mean) ** 2).sum(-1) <= thresholds.most**2)
    going_on = np.bincount(labels[alike], minlength=count) >= thresholds.border
    going_on[0] = False
    return going_on[labels]


def _areas_at_border(colours: np.ndarray, seen: np.ndarray, empty: np.ndarray, thresholds: SkyThresholds) -> np.ndarray:
    """The connected parts of `empty`, cut where the colour steps, that are large and touch the photo's border."""
    import cv2

    levels = np.clip(colours, 0, 255).astype(np.uint8)
    square = np.ones((3, 3), np.uint8)
    step = cv2.subtract(cv2.dilate(levels, kernel=square), cv2.erode(levels, kernel=square)).max(-1)
    smooth = empty & (step <= thresholds.step)
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(smooth.astype(np.uint8), connectivity=4)
    framed = np.pad(seen, 1).astype(np.uint8)
    inside = cv2.erode(framed, kernel=np.ones((9, 9), np.uint8))[1:-1, 1:-1] > 0  # census windows reach 3 px
    touching = np.bincount(labels[seen & ~inside], minlength=count)
    large = (touching >= 4 * thresholds.border) & (
        statistics[:, cv2.CC_STAT_AREA] >= thresholds.share * np.count_nonzero(seen)
    )
    large[0] = False
    return large[labels]


def _around(where: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The rows and columns that hold all pixels `where`, with a margin in px."""
    bounds = []
    for axis in (1, 0):
        inside = np.flatnonzero(where.any(axis))
        bounds.append(slice(max(0, int(inside[0]) - margin), int(inside[-1]) + 1 + margin))
    return bounds[0], bounds[1]


def _of_its_colour(colours: np.ndarray, sky: np.ndarray, thresholds: SkyThresholds) -> np.ndarray:
    """Pixels beside the sky that have its colour: the mean of the window, to some standard deviations."""
    share, mean = _mean_colour(colours, sky, thresholds.window)
    square = _mean_colour(colours**2, sky, thresholds.window)[1]
    variance = np.maximum(square - mean**2, 0).sum(-1)
    allowance = np.clip(thresholds.deviations**2 * variance, thresholds.least**2, thresholds.most**2)
    return (((colours - mean) ** 2).sum(-1) <= allowance) & (share > thresholds.present) & ~sky


def _mean_colour(colours: np.ndarray, where: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Share of the window about each pixel that is `where`, (H,W), and its mean colour there, (H,W,3)."""
    import cv2

    share = cv2.blur(where.astype(np.float32), ksize=(side, side))
    total = cv2.blur(np.where(where[..., None], colours, np.float32(0)), ksize=(side, side))
    return share, total / np.maximum(share, np.float32(1e-6))[..., None]


@njit(cache=True, nogil=True)
def _squared_distance(colours, where, y, x, reach):
    """Squared distance of the colour of (y, x) from the mean of those `where` within `reach` px; -1: there are none."""
    height, width = where.shape
    red = green = blue = np.float32(0)
    count = 0
    for v in range(max(0, y - reach), min(height, y + reach + 1)):
        for u in range(max(0, x - reach), min(width, x + reach + 1)):
            if where[v, u]:
                red += colours[v, u, 0]
                green += colours[v, u, 1]
                blue += colours[v, u, 2]
                count += 1
    if count == 0:
        return -1.0
    red, green, blue = red / count - colours[y, x, 0], green / count - colours[y, x, 1], blue / count - colours[y, x, 2]
    return red * red + green * green + blue * blue


@njit(cache=True, nogil=True)
def _mark_closer(colours, sky, surface, edge, closeness, out):
    """out = pixels of the edge whose colour is not `closeness` times nearer to the surface's than to the sky's."""
    for y in range(len(edge)):
        for x in range(edge.shape[1]):
            out[y, x] = False
            if edge[y, x]:
                to_surface = _squared_distance(colours, surface, y, x, SURFACE_COLOUR // 2)
                if to_surface >= 0:
                    to_sky = _squared_distance(colours, sky, y, x, SKY_COLOUR // 2)
                    out[y, x] = to_sky < closeness * closeness * to_surface


def _with_edges(
    colours: np.ndarray, sky: np.ndarray, seen: np.ndarray, steps: int, thresholds: SkyThresholds
) -> np.ndarray:
    """The sky grown by up to `steps` px, over pixels that the surface does not cover mostly, and by its `rim`."""
    import cv2

    kernel = np.ones((3, 3), np.uint8)
    for _ in range(steps):
        edge = (cv2.dilate(sky.astype(np.uint8), kernel=kernel) > 0) & ~sky & seen
        more = np.empty_like(sky)
        _mark_closer(colours, sky, ~sky & ~edge & seen, edge, thresholds.closeness, more)
        sky = sky | more
    return (cv2.dilate(sky.astype(np.uint8), kernel=kernel, iterations=thresholds.rim) > 0) & seen
