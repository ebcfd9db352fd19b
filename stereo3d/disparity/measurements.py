"""What a matcher knows about each disparity, in numbers: the input of `confidence`. numba kernels.

Everything is a whole number of 8 bits or depends on one pixel alone, so sums over windows are exact and neither the
strips nor the threads change the result.
"""

from typing import NamedTuple

import numpy as np

from ..kernel_cache import njit
from .costs import CENSUS, bits_set, brightness, census, rounded_grey
from .surfaces import UNKNOWN, surface_labels

WINDOW = "5x7"  # of the census
RADII = (2, 7, 20)  # px, of the windows over which `LOCAL` is averaged
BUFFERS = ((14, np.uint8), (13, np.float32))  # for each row of a strip and its halo: `LOCAL`, the first of `PIXEL`
HALO = RADII[-1]  # rows above and below a strip that its windows reach
STRIP_PIXELS = 50_000  # measured at once: bounds the memory to some 20 MB
MAX_STEP = 1.5  # px of disparity between neighbours; a larger step is a depth jump
REACH = 3  # px, to the neighbours that measure slope and bend
MOST = np.float32(8)  # px of disparity: larger differences count as this
MAX_JUMP_DISTANCE = 30  # px
RINGS = (4, 11)  # px, radii of the eight neighbours each that are compared by grey level
ALIKE = 10.0  # grey levels: a neighbour that differs by as much counts half
RING_SLOPE = np.float32(0.06)  # px / px, of a surface on which neighbours agree
AROUND = np.array([[1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0], [-1, -1], [0, -1], [1, -1]])
BIT = 7  # steps of 8 bits per bit of the census

# Averaged over windows, 0 to 255. outside: the match lies outside the other photo; differs, behind: of both maps, in
# either direction, and where this one is nearer than the other; cost: Hamming distance; rise, least_rise: of the cost
# at +-2 px, mean and smaller one; gradient: of grey levels along the row; jump: a depth jump; margin: of the matcher;
# unsupported: the picture does not determine the disparity; bias, residual: difference of the pictures and its square;
# start, start_margin: the disparity that was best by itself differs from the chosen one; how clearly it was best.
LOCAL = (
    "outside", "differs", "behind", "cost", "rise", "least_rise", "gradient", "jump", "margin", "unsupported",
    "bias", "residual", "start", "start_margin",
)  # fmt: skip
# Of the pixel itself, in order: see `_measure_pixel`.
PIXEL = (
    "margin", "difference", "cost", "least_rise", "slope_x", "slope_y", "bend", "residual", "border", "gradient_y",
    "covered", "start", "start_margin", "jump_distance", "size", "contrast",
    "near_agree", "near_off", "near_alike", "far_agree", "far_off", "far_alike", "far_matched",
)  # fmt: skip
ROOTS = ("gradient", "residual")  # whose square roots are taken: weak texture differs by factors
NAMES = (*PIXEL, *(f"{name} within {radius} px" for radius in RADII for name in LOCAL))


class MatchMaps(NamedTuple):
    """A matched view, seen as the left picture.

    Parameters
    ----------
    grey, other_grey : (H, W) u8
        Grey levels of this and of the other picture.
    brightness, other_brightness : (H, W) u16
        Of both, for the census.
    disparity, other_disparity : (H, W) f32
        px, NaN unknown.
    margin : (H, W) f32
        Of the choice: see `methods.Found`.
    start, start_margin : (h, w) f32
        The disparity that was best by itself, px of the view, NaN unknown, and its margin; where they are smaller than
        the view, the nearest pixel counts.
    supported, other_inside : (H, W) bool
        The picture determines the disparity; pixels of the other picture inside its photo.
    """

    grey: np.ndarray
    other_grey: np.ndarray
    brightness: np.ndarray
    other_brightness: np.ndarray
    disparity: np.ndarray
    other_disparity: np.ndarray
    margin: np.ndarray
    start: np.ndarray
    start_margin: np.ndarray
    supported: np.ndarray
    other_inside: np.ndarray


class RowMaps(NamedTuple):
    """What is computed for the rows of a strip alone: census codes (rows, W) u64 of both pictures; the start."""

    census: np.ndarray
    other_census: np.ndarray
    start: np.ndarray
    start_margin: np.ndarray


@njit(cache=True, nogil=True)
def _clipped(value, least, most):
    """Return the value within bounds, `most` for NaN."""
    if not value <= most:
        return most
    return value if value > least else least


@njit(cache=True, nogil=True)
def _bits_at(code, row, at):
    """Return the Hamming distance of a code to that of the nearest column inside."""
    return np.float32(bits_set(code ^ row[min(max(at, 0), len(row) - 1)]))  # pyright: ignore[reportCallIssue]


@njit(cache=True, nogil=True)
def nearest_of_row(disparity, nearest):
    """nearest[u] = the largest disparity of a row (W,) whose match is the pixel u of the other picture, else -1e9."""
    nearest[:] = np.float32(-1e9)
    for x in range(len(disparity)):
        v = disparity[x]
        if np.isfinite(v):
            u = int(np.floor(x - v + np.float32(0.5)))
            if 0 <= u < len(nearest) and v > nearest[u]:
                nearest[u] = v


@njit(cache=True, nogil=True)
def _measure_shape(d, y, x, local, pixel, i):
    """Write what the surface around the pixel (y, x) looks like: its slopes, its bend, and whether it jumps here."""
    height, width = d.shape
    v = d[y, x]
    left, right = d[y, max(x - REACH, 0)], d[y, min(x + REACH, width - 1)]
    above, below = d[max(y - REACH, 0), x], d[min(y + REACH, height - 1), x]
    pixel[4, i, x] = _clipped(abs(right - left), np.float32(0), MOST)
    pixel[5, i, x] = _clipped(abs(below - above), np.float32(0), MOST)
    bend = _clipped(abs(right + left - 2 * v), np.float32(0), MOST)
    pixel[6, i, x] = bend + _clipped(abs(below + above - 2 * v), np.float32(0), MOST)
    smooth = abs(d[y, max(x - 1, 0)] - v) <= MAX_STEP and abs(d[y, min(x + 1, width - 1)] - v) <= MAX_STEP
    smooth &= abs(d[max(y - 1, 0), x] - v) <= MAX_STEP and abs(d[min(y + 1, height - 1), x] - v) <= MAX_STEP
    local[7, i, x] = 0 if smooth else 255


@njit(cache=True, nogil=True)
def _measure_match(maps, code, row, y, x, nearest, local, pixel, i):  # noqa: PLR0913 - innermost kernel
    """Write how well the pixel (y, x), of this code, fits its match in a row of codes, inside the other photo."""
    v = maps.disparity[y, x]
    width = len(row)
    at = np.float32(x) - v
    u, first = int(np.floor(at + np.float32(0.5))), int(np.floor(at))
    f = at - np.float32(first)
    g = np.float32(1) - f
    difference = maps.other_disparity[y, u] - v
    difference = _clipped(difference, -MOST, MOST) if np.isfinite(difference) else -MOST
    local[1, i, x] = np.uint8(min(abs(difference), np.float32(2)) * np.float32(127))
    local[2, i, x] = np.uint8(min(max(-difference, np.float32(0)), np.float32(2)) * np.float32(127))
    pixel[1, i, x] = difference
    cost = g * _bits_at(code, row, first) + f * _bits_at(code, row, first + 1)
    less = g * _bits_at(code, row, first - 2) + f * _bits_at(code, row, first - 1)
    more = g * _bits_at(code, row, first + 2) + f * _bits_at(code, row, first + 3)
    rise = _clipped(np.float32(0.5) * (less + more) - cost, np.float32(-8), np.float32(23))
    least = _clipped(min(less, more) - cost, np.float32(-8), np.float32(23))
    local[3, i, x] = np.uint8(cost * np.float32(BIT))
    local[4, i, x] = np.uint8((rise + np.float32(8)) * np.float32(8))
    local[5, i, x] = np.uint8((least + np.float32(8)) * np.float32(8))
    pixel[2, i, x], pixel[3, i, x] = cost, least
    levels = maps.other_grey[y]
    there = g * np.float32(levels[min(max(first, 0), width - 1)]) + f * np.float32(levels[min(first + 1, width - 1)])
    residual = _clipped(np.float32(maps.grey[y, x]) - there, np.float32(-31), np.float32(31))
    local[10, i, x] = np.uint8(np.float32(128) + np.float32(4) * residual)
    local[11, i, x] = np.uint8(min(residual * residual, np.float32(255)))
    pixel[7, i, x] = abs(residual)
    pixel[8, i, x] = min(np.float32(u), np.float32(20))
    pixel[10, i, x] = _clipped(nearest[u] - v - np.float32(0.5), np.float32(0), MOST)


@njit(cache=True, nogil=True)
def _measure_outside(x, local, pixel, i):
    """Write what holds where the match lies outside the other photo."""
    local[1, i, x], local[2, i, x], local[3, i, x], local[4, i, x] = 255, 255, 17 * BIT, 64
    local[5, i, x], local[10, i, x], local[11, i, x] = 64, 128, 0
    pixel[1, i, x], pixel[2, i, x], pixel[3, i, x] = 0, 17, 0
    pixel[7, i, x], pixel[8, i, x], pixel[10, i, x] = 0, 20, 0


@njit(cache=True, nogil=True)
def measure_rows(maps, rows, row0, row1, top, local, pixel):
    """Write `LOCAL` and the first 13 of `PIXEL` of the rows row0 .. row1 - 1.

    Parameters
    ----------
    maps : MatchMaps
        Of the whole view.
    rows : RowMaps
        Of these rows.
    row0, row1, top : int
        Rows that are written; first row of `local` and `pixel`.
    local : (14, rows, W) u8
        Written.
    pixel : (13, rows, W) f32
        Written.
    """
    d = maps.disparity
    height, width = d.shape
    nearest = np.empty(width, np.float32)
    for y in range(row0, row1):
        i, k = y - top, y - row0
        nearest_of_row(d[y], nearest)
        for x in range(width):
            v = d[y, x]
            u = int(np.floor(np.float32(x) - v + np.float32(0.5))) if np.isfinite(v) else -1
            inside = 0 <= u < width and maps.other_inside[y, min(max(u, 0), width - 1)]
            along = abs(np.int64(maps.grey[y, min(x + 1, width - 1)]) - np.int64(maps.grey[y, max(x - 1, 0)]))
            down = abs(np.int64(maps.grey[min(y + 1, height - 1), x]) - np.int64(maps.grey[max(y - 1, 0), x]))
            margin = np.log(np.float32(1) + _clipped(maps.margin[y, x], np.float32(0), np.float32(1000)))
            start = rows.start[k, x] - v
            clear = _clipped(rows.start_margin[k, x], np.float32(0), np.float32(1))
            local[0, i, x] = 0 if inside else 255
            local[6, i, x] = min(along, 63) * 4
            local[8, i, x] = np.uint8(margin * np.float32(36))
            local[9, i, x] = 0 if maps.supported[y, x] else 255
            local[12, i, x] = np.uint8(_clipped(abs(start), np.float32(0), np.float32(2)) * np.float32(127))
            local[13, i, x] = np.uint8(clear * np.float32(255))
            pixel[0, i, x], pixel[9, i, x] = margin, down
            pixel[11, i, x] = _clipped(start, -MOST, MOST + np.float32(1))
            pixel[12, i, x] = clear
            _measure_shape(d, y, x, local, pixel, i)
            if inside:
                _measure_match(maps, rows.census[k, x], rows.other_census[k], y, x, nearest, local, pixel, i)
            else:
                _measure_outside(x, local, pixel, i)


@njit(cache=True, nogil=True)
def compare_neighbours(maps, differs, row0, row1, top, weights, out):
    """Compare each pixel with the neighbours of its grey level: an edge of the picture is where a surface may end.

    Parameters
    ----------
    maps : MatchMaps
        Of the whole view.
    differs : (rows, W) u8
        That entry of `LOCAL`, from row `top` on.
    row0, row1, top : int
        Rows that are written; first row of `differs`.
    weights : (256,) f32
        Of a neighbour by the difference of grey levels.
    out : (7, row1 - row0, W) f32
        Written, for both `RINGS`: weighted share of the neighbours with the pixel's disparity; weighted mean
        difference to those that passed the left-right test, px; that share less the unweighted one. Last, the mean
        weight of those of the outer ring that passed.
    """
    d, levels = maps.disparity, maps.grey
    height, width = d.shape
    one = np.float32(1)
    for y in range(row0, row1):
        for x in range(width):
            for ring in range(2):
                radius = RINGS[ring]
                slack = RING_SLOPE * np.float32(radius)
                total, agree, plain, passed, off = (
                    np.float32(0.01),
                    np.float32(0),
                    np.float32(0),
                    np.float32(0),
                    np.float32(0),
                )
                for k in range(8):
                    v, u = y + radius * AROUND[k, 1], x + radius * AROUND[k, 0]
                    if not (0 <= v < height and 0 <= u < width):
                        continue
                    w = weights[abs(np.int64(levels[y, x]) - np.int64(levels[v, u]))]
                    step = _clipped(abs(d[v, u] - d[y, x]), np.float32(0), MOST)
                    total += w
                    if step <= one + slack:
                        agree += w
                        plain += one
                    if differs[v - top, u] < 128:
                        passed += w
                        off += w * max(step - slack, np.float32(0))
                i = y - row0
                share = agree / total
                out[3 * ring, i, x] = share
                out[3 * ring + 1, i, x] = off / (passed + np.float32(0.05))
                out[3 * ring + 2, i, x] = share - plain / np.float32(8)
                if ring:
                    out[6, i, x] = passed / np.float32(8)


@njit(cache=True, nogil=True)
def surface_sizes(labels, count):
    """Return log(1 + pixels of its surface) of each pixel, 0 where it has none: (H,W) f32 of `surface_labels`."""
    height, width = labels.shape
    pixels, out = np.zeros(count, np.int64), np.zeros((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            if labels[y, x] != UNKNOWN:
                pixels[labels[y, x]] += 1
    logs = np.log(1.0 + pixels)
    for y in range(height):
        for x in range(width):
            if labels[y, x] != UNKNOWN:
                out[y, x] = logs[labels[y, x]]
    return out


def match_maps(
    pictures: tuple[np.ndarray, np.ndarray],
    disparities: tuple[np.ndarray, np.ndarray],
    margin: np.ndarray | None,
    start: tuple[np.ndarray, np.ndarray] | None,
    supported: np.ndarray,
    other_inside: np.ndarray,
) -> MatchMaps:
    """Return the `MatchMaps` of a view; what a matcher does not tell counts as no margin, and as its own choice."""
    d, other = (np.ascontiguousarray(a, np.float32) for a in disparities)
    nothing = np.zeros(d.shape if margin is None or start is None else (0, 0), np.float32)
    best, clear = (d, nothing) if start is None else (np.ascontiguousarray(a, np.float32) for a in start)
    own_light, other_light = (brightness(picture) for picture in pictures)
    given = nothing if margin is None else np.ascontiguousarray(margin, np.float32)
    return MatchMaps(
        rounded_grey(own_light),
        rounded_grey(other_light),
        own_light,
        other_light,
        d,
        other,
        given,
        best,
        clear,
        np.ascontiguousarray(supported),
        np.ascontiguousarray(other_inside),
    )


def census_rows(image: np.ndarray, row0: int, row1: int) -> np.ndarray:
    """Return the census (row1 - row0, W) u64 of these rows of an image (H,W) u16."""
    reach, _ = CENSUS[WINDOW]
    first, last = max(0, row0 - reach), min(len(image), row1 + reach)
    codes = np.empty((last - first, image.shape[1]), np.uint64)
    census(image[first:last], *CENSUS[WINDOW], row0 - first, row1 - first, codes)
    return codes[row0 - first : row1 - first]


def nearest_pixels(count: int, fewer: int) -> np.ndarray:
    """Return, for `count` pixels of a line, the nearest of `fewer` pixels of the same line, (count,) int."""
    return np.minimum((np.arange(count) + 0.5) * fewer / count, fewer - 1).astype(np.intp)


class Measured:
    """The measurements of a view, strip by strip; rows that the next strip needs as well are measured once.

    Parameters
    ----------
    maps : MatchMaps
        Of the view.
    """

    def __init__(self, maps: MatchMaps):
        import cv2

        self.maps = maps
        d = maps.disparity
        level = np.nan_to_num(d, nan=-1e6)
        smooth = np.ones(d.shape, np.uint8)
        for after, before in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
            flat = np.abs(level[after] - level[before]) <= MAX_STEP
            smooth[after] &= flat
            smooth[before] &= flat
        self.distance = cv2.distanceTransform(smooth, distanceType=cv2.DIST_L2, maskSize=5)
        self.size = surface_sizes(*surface_labels(d, 1.0))
        side = np.ones((5, 5), np.uint8)
        self.weights = (1 / (1 + (np.arange(256) / ALIKE) ** 2)).astype(np.float32)
        self._start_at = [nearest_pixels(*sides) for sides in zip(d.shape, maps.start.shape, strict=True)]
        self._rows = slice(0, 0)  # of the last strip, with its halo, in the buffers
        self._local, self._pixel = (np.empty((n, 0, d.shape[1]), kind) for n, kind in BUFFERS)
        self.contrast = cv2.subtract(cv2.dilate(maps.grey, kernel=side), cv2.erode(maps.grey, kernel=side))

    def strip(self, row0: int, row1: int) -> np.ndarray:
        """Return the measurements `NAMES` of the rows row0 .. row1 - 1, (n, rows, W) f32."""
        import cv2

        height, width = self.maps.disparity.shape
        top, bottom = max(0, row0 - HALO), min(height, row1 + HALO)
        local, pixel = self._measured_rows(top, bottom)
        own = slice(row0 - top, row1 - top)
        out = np.empty((len(NAMES), row1 - row0, width), np.float32)
        out[:13] = pixel[:, own]
        out[13] = np.log1p(np.minimum(self.distance[row0:row1], np.float32(MAX_JUMP_DISTANCE)))
        out[14], out[15] = self.size[row0:row1], self.contrast[row0:row1]
        compare_neighbours(self.maps, local[1], row0, row1, top, self.weights, out[16 : len(PIXEL)])
        place = len(PIXEL)
        for radius in RADII:
            reach = slice(max(0, own.start - radius), min(bottom - top, own.stop + radius))
            inner = slice(own.start - reach.start, own.stop - reach.start)
            for name, values in zip(LOCAL, local, strict=True):
                mean = cv2.boxFilter(
                    src=values[reach],
                    ddepth=cv2.CV_32F,
                    ksize=(2 * radius + 1, 2 * radius + 1),
                    normalize=False,
                    borderType=cv2.BORDER_REFLECT,
                )
                np.multiply(mean[inner], np.float32(1 / (255 * (2 * radius + 1) ** 2)), out=out[place])
                if name in ROOTS:
                    np.sqrt(out[place], out=out[place])
                place += 1
        return out

    def _measured_rows(self, top: int, bottom: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what `measure_rows` writes of the rows top .. bottom - 1; those of the last call are not repeated."""
        width, maps = self.maps.disparity.shape[1], self.maps
        held = self._rows
        known = held.stop - top if held.start <= top < held.stop <= bottom else 0
        local, pixel = self._local, self._pixel
        if local.shape[1] < bottom - top:
            self._local, self._pixel = (np.empty((len(a), bottom - top, width), a.dtype) for a in (local, pixel))
        for now, before in ((self._local, local), (self._pixel, pixel)):
            now[:, :known] = before[:, top - held.start : held.stop - held.start]
        local, pixel = self._local, self._pixel
        row0, (down, across) = top + known, self._start_at
        codes = (census_rows(image, row0, bottom) for image in (maps.brightness, maps.other_brightness))
        start = (np.take(a[down[row0:bottom]], across, axis=1) for a in (maps.start, maps.start_margin))
        measure_rows(maps, RowMaps(*codes, *start), row0, bottom, top, local, pixel)
        self._rows = slice(top, bottom)
        return local[:, : bottom - top], pixel[:, : bottom - top]
