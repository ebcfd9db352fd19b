"""The sky: what no disparity explains better than infinity, and what has its colour around roofs and branches."""

from dataclasses import dataclass

import numpy as np


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
    side = thresholds.window
    for _ in range(thresholds.rounds):
        share, mean = _mean_colour(colours, sky, side)
        square = _mean_colour(colours**2, sky, side)[1]
        variance = np.maximum(square - mean**2, 0).sum(-1)
        allowance = np.clip(thresholds.deviations**2 * variance, thresholds.least**2, thresholds.most**2)
        near = ((colours - mean) ** 2).sum(-1) <= allowance
        more = allowed & near & (share > thresholds.present) & ~sky
        if not more.any():
            break
        sky |= more
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


def _mean_colour(colours: np.ndarray, where: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Share of the window about each pixel that is `where`, (H,W), and its mean colour there, (H,W,3)."""
    import cv2

    share = cv2.blur(where.astype(np.float32), ksize=(side, side))
    total = cv2.blur(np.where(where[..., None], colours, np.float32(0)), ksize=(side, side))
    return share, total / np.maximum(share, np.float32(1e-6))[..., None]


def _with_edges(
    colours: np.ndarray, sky: np.ndarray, seen: np.ndarray, steps: int, thresholds: SkyThresholds
) -> np.ndarray:
    """The sky grown by up to `steps` px, over pixels that the surface does not cover mostly: see `closeness`."""
    import cv2

    for _ in range(steps):
        edge = (cv2.dilate(sky.astype(np.uint8), kernel=np.ones((3, 3), np.uint8)) > 0) & ~sky & seen
        of_sky = _mean_colour(colours, sky, SKY_COLOUR)[1]
        present, of_surface = _mean_colour(colours, ~sky & ~edge & seen, SURFACE_COLOUR)
        closer = ((colours - of_sky) ** 2).sum(-1) < thresholds.closeness**2 * ((colours - of_surface) ** 2).sum(-1)
        sky = sky | (edge & closer & (present > 0))
    return sky
