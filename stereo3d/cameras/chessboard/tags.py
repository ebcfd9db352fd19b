"""Corners of a grid of AprilTags (Kalibr's AprilGrid) in a picture."""

import numpy as np

from ..dictionaries import marker_dictionary

FAMILY = "APRILTAG_36h11"
BORDERS = (2, 1)  # black cells around the code: Kalibr prints 2, AprilTag itself and most other programs 1
DATA_CELLS = 6  # of a code of the family, along a side
SEARCH_SIDE = 1600  # px, longer side of the largest picture that is searched
MAX_ENLARGEMENT = 2.0  # of a smaller picture
PASSES = ((1.0, 3), (0.75, 3), (0.5, 0))  # share of that size, and side of the square that dilates the white, px
MIN_PERIMETER = 0.01  # of a tag / longer side of the picture
MAX_OFF = 0.35  # of a tag's side: how far its neighbour may lie from where the grid has it; a lens bends the grid
MAX_OFF_SURFACE = 0.05  # of a tag's side, or 1 px: a corner that merged with a square is off by a tenth
REWEIGHTINGS = 10
MIN_AROUND = 7  # corners of a tag and its neighbour
GAP = 0.8  # half window of corner refinement / the smallest square that meets the corner
# Corners of the unit square in the order of OpenCV's markers: from the upper left on, clockwise, y down.
UNIT = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])


def find_tag_grid(grey: np.ndarray, columns: int, rows: int, spacing: float) -> np.ndarray:
    """Return the corners of the tags of a grid.

    The tag numbers go row by row from the lower left, as Kalibr prints them. How the tags are turned in the grid is
    found from neighbours: Kalibr's are turned by 180 degrees against OpenCV's.

    Parameters
    ----------
    grey : (H, W) uint8
    columns, rows : int
        Of tags.
    spacing : float
        Gap between tags / side of a tag.

    Returns
    -------
    (2 rows, 2 columns, 2) float64
        px, from the upper left of the board, to a pixel or so (`refine_tag_grid`); NaN where a tag is not seen, or not
        where its neighbours say.

    References
    ----------
    Olson, AprilTag: a robust and flexible visual fiducial system, 2011. Kalibr's wiki, "Calibration targets".
    """
    grid = np.full((2 * rows, 2 * columns, 2), np.nan)
    for border in BORDERS:
        grid = _placed(_tags(grey, border, columns * rows), columns, rows, spacing)
        if np.isfinite(grid).any():
            break
    return grid


def refine_tag_grid(grey: np.ndarray, grid: np.ndarray, spacing: float) -> np.ndarray:
    """Return the corners of a grid of `find_tag_grid` where the edges of tags and of the squares between them cross.

    Parameters
    ----------
    grey : (H, W) uint8
    grid : (2 rows, 2 columns, 2) float64
        px.
    spacing : float

    Returns
    -------
    (2 rows, 2 columns, 2) float64
        NaN also where a corner does not lie on the smooth surface through those of its tag and its neighbours.
    """
    import cv2

    refined, limit = np.full_like(grid, np.nan), np.zeros(grid.shape[:2])
    tags = np.argwhere(np.isfinite(grid[::2, ::2, 0])) * 2
    for i, j in tags:
        x = grid[i : i + 2, j : j + 2]
        if (x < 0).any() or (x > np.array(grey.shape[::-1]) - 1).any():
            continue
        side = min(float(np.linalg.norm(np.diff(x, axis=axis), axis=2).min()) for axis in (0, 1))
        limit[i : i + 2, j : j + 2] = max(1.0, MAX_OFF_SURFACE * side)
        half = max(2, int(GAP * min(spacing, 1 / (DATA_CELLS + 2 * max(BORDERS))) * side))
        refined[i : i + 2, j : j + 2] = cv2.cornerSubPix(
            image=grey,
            corners=x.astype(np.float32).reshape(-1, 1, 2),
            winSize=(half, half),
            zeroZone=(-1, -1),
            criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-4),
        ).reshape(2, 2, 2)
    row, column = np.mgrid[: grid.shape[0], : grid.shape[1]]
    plane = np.stack([n // 2 * (1 + spacing) + n % 2 for n in (column, row)], -1)
    off = np.full(grid.shape[:2], np.inf)
    for i, j in np.argwhere(np.isfinite(refined[..., 0])):
        row, column = i // 2 * 2, j // 2 * 2  # of its tag
        near = slice(max(row - 2, 0), row + 4), slice(max(column - 2, 0), column + 4)
        others = np.isfinite(refined[..., 0])[near] & ~np.all(plane[near] == plane[i, j], axis=-1)
        off[i, j] = _off_surface(plane[near][others] - plane[i, j], refined[near][others], refined[i, j])
    return np.where((off <= limit)[..., None], refined, np.nan)


def _off_surface(X: np.ndarray, x: np.ndarray, wanted: np.ndarray) -> float:
    """Distance, px, of a pixel from where the quadratic through most of x (N, 2) at X (N, 2) has X = 0.

    By least absolute values; inf of fewer than `MIN_AROUND` points.
    """
    if len(x) < MIN_AROUND:
        return np.inf
    u, v = X.T
    A = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], -1)
    C, weight = np.zeros((6, 2)), np.ones(len(A))
    for _ in range(REWEIGHTINGS):
        C = np.linalg.lstsq(A * weight[:, None], x * weight[:, None], rcond=None)[0]
        weight = 1 / np.sqrt(np.maximum(np.linalg.norm(A @ C - x, axis=1), 0.05))
    return float(np.linalg.norm(C[0] - wanted))


def _tags(grey: np.ndarray, border: int, count: int) -> dict[int, np.ndarray]:
    """Corners (4, 2) px of the tags of each number below `count`: of several passes, those nearest to their median.

    The squares between tags touch their corners, so that outlines run into one another. Dilation of the white separates
    them, but takes small tags away; the last pass is without it.
    """
    found: dict[int, list[np.ndarray]] = {}
    scale = min(MAX_ENLARGEMENT, SEARCH_SIDE / max(grey.shape))
    for share, dilation in PASSES:
        for n, x in _tags_at(grey, scale * share, dilation, border).items():
            if n < count:
                found.setdefault(n, []).append(x)
    return {n: _middle_one(np.stack(seen)) for n, seen in found.items()}


def _middle_one(seen: np.ndarray) -> np.ndarray:
    """Of corners (M, 4, 2) those nearest to their median (4, 2)."""
    return seen[np.abs(seen - np.median(seen, axis=0)).max((1, 2)).argmin()]


def _tags_at(grey: np.ndarray, scale: float, dilation: int, border: int) -> dict[int, np.ndarray]:
    """Corners (4, 2) px of the tags that are seen once in the picture at a scale.

    Wide lenses bend the sides, and small cells are misread: the settings are generous, since a wrong tag will not agree
    with its neighbours.
    """
    import cv2

    settings = cv2.aruco.DetectorParameters()
    settings.markerBorderBits = border
    settings.minMarkerPerimeterRate = MIN_PERIMETER
    settings.errorCorrectionRate = 1.0
    settings.perspectiveRemovePixelPerCell = 8
    settings.minDistanceToBorder = 0
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=method)
    if dilation:
        scaled = cv2.dilate(scaled, np.ones((dilation, dilation), np.uint8))
    else:
        settings.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_CONTOUR
    corners, ids, _ = cv2.aruco.ArucoDetector(marker_dictionary(FAMILY), settings).detectMarkers(image=scaled)
    numbers = [] if ids is None else np.ravel(ids).tolist()
    ratio = np.array(scaled.shape[::-1]) / grey.shape[::-1]
    found = {int(n): (np.reshape(x, (4, 2)) + 0.5) / ratio - 0.5 for n, x in zip(numbers, corners, strict=True)}
    return {n: x for n, x in found.items() if numbers.count(n) == 1}


def _placed(tags: dict[int, np.ndarray], columns: int, rows: int, spacing: float) -> np.ndarray:
    """Corners as a grid, of the tags that agree with a neighbour, in the turn that most agree on.

    None where most pairs of neighbours disagree: a board of other columns and rows.
    """
    at = {n: (rows - 1 - n // columns, n % columns) for n in tags}
    number = {place: n for n, place in at.items()}
    agreeing: list[set[int]] = [set() for _ in range(4)]
    pairs, agreements = 0, [0] * 4
    for n, (row, column) in at.items():
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
            other = number.get((row + down, column + right))
            if other is None:
                continue
            step = np.array([right, down]) * (1 + spacing)
            pairs += 1
            for turn in range(4):
                if _agree(tags[n], tags[other], step, turn) and _agree(tags[other], tags[n], -step, turn):
                    agreeing[turn] |= {n, other}
                    agreements[turn] += 1
    turn = max(range(4), key=lambda k: agreements[k])
    grid = np.full((2 * rows, 2 * columns, 2), np.nan)
    for n in agreeing[turn] if 2 * agreements[turn] > pairs else ():
        row, column = at[n]
        x = np.roll(tags[n], turn, axis=0)  # from the grid's upper left
        grid[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = x[[[0, 1], [3, 2]]]
    return grid


def _agree(x: np.ndarray, other: np.ndarray, step: np.ndarray, turn: int) -> bool:
    """Whether the other tag's middle lies where the grid has it, in the plane of a tag whose corners are turned."""
    import cv2

    H = cv2.getPerspectiveTransform(np.roll(x, turn, axis=0).astype(np.float32), UNIT.astype(np.float32))
    middle = H @ np.append(other.mean(0), 1)
    return bool(middle[2] > 0 and np.abs(middle[:2] / middle[2] - 0.5 - step).max() < MAX_OFF)
