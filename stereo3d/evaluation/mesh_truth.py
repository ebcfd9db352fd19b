"""True surfaces from depth maps: points, triangles, projections."""

from dataclasses import dataclass

import numpy as np

from ..errors import StereoError
from ..geometry.arrays import hom
from ..geometry.camera import scale_K, undistort
from ..geometry.triangles import used_vertices
from ..records import Camera

# A step of depth from a pixel to its neighbour beyond both the threshold and this many times the pixel's own width on
# the surface is a jump, not a slope: a surface seen at more than 76 degrees (slope 4) is hardly measurable.
STEEPEST_SLOPE = 4.0
TRUTH_TRIANGLES = 4_000_000  # of the true surface; more cost memory (0.2 GB a million), and add nothing at 1 % of depth


@dataclass(frozen=True, eq=False)
class Truth:
    """The true depth of the first photo.

    Attributes
    ----------
    depth : (H, W) float32
        0: unknown.
    K : (3, 3) float64
        Camera matrix at the size of the map, px.
    dist : (n,) float64
        Lens distortion.
    jump : float
        Relative step of depth from a pixel to its neighbour beyond which the surface is torn.
    """

    depth: np.ndarray
    K: np.ndarray
    dist: np.ndarray
    jump: float

    def at(self, pixels: np.ndarray) -> np.ndarray:
        """Depth (N,) at fractional pixels (N,2), NaN where it is unknown."""
        return _depth_at(self.depth, pixels, self.jump)

    def points(self, pixels: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Points (N,3) of pixels at depth z."""
        return _backproject(pixels, z, self.K, self.dist)

    def triangles(self) -> tuple[np.ndarray, np.ndarray]:
        """The true surface: vertices and faces."""
        return _truth_triangles(self.depth, self.K, self.dist, self.jump)


def truth_of(depth: np.ndarray, camera: Camera, threshold: float) -> Truth:
    """Return the truth of a depth map: its size checked against the camera's, K at the size of the map.

    Parameters
    ----------
    depth : (H, W) float
        NaN, inf or 0: unknown.
    camera : Camera
        Of the whole photo.
    threshold : float
        "Near" is within this fraction of the depth; the smallest `jump`.

    Raises
    ------
    StereoError
        "size_mismatch": the proportions of map and camera differ.
    ValueError
        For another shape than (H, W), or fewer than 2 x 2 pixels.
    """
    depth = np.asarray(depth, dtype=np.float32)
    if depth.ndim != 2 or min(depth.shape) < 2:
        raise ValueError(f"mesh_scores needs a depth map (H,W), got {depth.shape}")
    height, width = depth.shape
    if abs(width - camera.size[0] * height / camera.size[1]) > 2:
        raise StereoError(
            "size_mismatch",
            f"The depth map is {width}x{height}, the photo "
            f"{camera.size[0]}x{camera.size[1]}: not the same picture at another size.",
            "Give the depth map and the camera of the mesh's first photo.",
        )
    K = scale_K(camera.K, width / camera.size[0], height / camera.size[1])
    jump = max(threshold, STEEPEST_SLOPE / float(np.sqrt(K[0, 0] * K[1, 1])))
    return Truth(np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0)), K, camera.dist, jump)


def _backproject(pixels: np.ndarray, z: np.ndarray, K: np.ndarray, dist: np.ndarray) -> np.ndarray:
    """X = z (K^-1 x) of ideal pixels: (N,2), (N,) -> (N,3)."""
    return hom(undistort(pixels, K, dist)) * z[:, None]


def _depth_at(depth: np.ndarray, pixels: np.ndarray, jump: float) -> np.ndarray:
    """True depth (N,) at fractional pixels (N,2), 1/z linear between the four pixels around.

    NaN where a pixel with a weight above zero is unknown (0), or where these pixels differ by more than the fraction
    `jump`.
    """
    height, width = depth.shape
    x, y = pixels[:, 0], pixels[:, 1]
    slack = 1e-6  # px: a vertex made at a whole pixel takes that pixel alone
    inside = (x >= -slack) & (x <= width - 1 + slack) & (y >= -slack) & (y <= height - 1 + slack)  # False for NaN
    x, y = np.clip(np.where(inside, x, 0), 0, width - 1), np.clip(np.where(inside, y, 0), 0, height - 1)
    x0, y0 = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    fx, fy = x - x0, y - y0
    low, high = np.full(len(x), np.inf), np.zeros(len(x))
    total, weights = np.zeros(len(x)), np.zeros(len(x))
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        weight = (fx if dx else 1 - fx) * (fy if dy else 1 - fy)
        bears = weight > slack
        z = depth[y0 + dy, x0 + dx].astype(float)
        low, high = np.where(bears, np.minimum(low, z), low), np.where(bears, np.maximum(high, z), high)
        total += np.where(bears & (z > 0), weight / np.where(z > 0, z, 1), 0)
        weights += np.where(bears, weight, 0)
    good = inside & (low > 0) & (high <= low * (1 + jump))
    return np.where(good, weights / np.where(good, total, 1), np.nan)


def nearest_depth(depth: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """True depth of the pixel that holds the point (N,2); 0 where unknown or outside."""
    height, width = depth.shape
    column, row = (np.floor(np.where(np.isfinite(p), p, -9) + 0.5) for p in (pixels[:, 0], pixels[:, 1]))
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    z = depth[np.where(inside, row, 0).astype(int), np.where(inside, column, 0).astype(int)].astype(float)
    return np.where(inside, z, 0)


def _truth_triangles(depth: np.ndarray, K: np.ndarray, dist: np.ndarray, jump: float) -> tuple[np.ndarray, np.ndarray]:
    """The true surface as vertices (V,3) and faces (M,3): neighbouring pixels joined unless a jump separates them.

    Blocks of k x k pixels without a jump or hole become two triangles (k = 1 unless the map is large), all other
    cells keep every pixel; a pixel joined to none becomes a square of its own width that faces the camera.
    """
    height, width = depth.shape
    corners = (depth[:-1, :-1], depth[:-1, 1:], depth[1:, 1:], depth[1:, :-1])
    low, high = np.minimum.reduce(corners), np.maximum.reduce(corners)
    whole = (low > 0) & (high <= low * np.float32(1 + jump))

    k = max(1, int(np.ceil(np.sqrt(2 * np.count_nonzero(whole) / TRUTH_TRIANGLES))))
    rows, columns = whole.shape[0] // k, whole.shape[1] // k
    blocks = whole[: rows * k, : columns * k].reshape(rows, k, columns, k).all(axis=(1, 3))
    single = whole.copy()
    single[: rows * k, : columns * k] &= ~np.repeat(np.repeat(blocks, k, axis=0), k, axis=1)

    def quads(mask: np.ndarray, k: int) -> np.ndarray:
        y, x = np.nonzero(mask)
        a = (y * width + x) * k
        return np.stack([a, a + k * width, a + k * width + k, a + k], axis=-1)

    quad = np.concatenate([quads(blocks, k), quads(single, 1)])
    joined = np.zeros((height, width), dtype=bool)
    for dy in (0, 1):
        for dx in (0, 1):
            joined[dy : height - 1 + dy, dx : width - 1 + dx] |= whole
    used, faces = used_vertices(np.concatenate([quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]]), height * width)
    y, x = np.divmod(used, width)
    pixels, z = np.stack([x, y], axis=-1).astype(float), depth.ravel()[used].astype(float)

    y, x = np.nonzero((depth > 0) & ~joined)
    lone = np.stack([x, y], axis=-1)[:, None] + np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.5]])
    first = len(pixels) + 4 * np.arange(len(lone))[:, None]
    faces = np.concatenate([faces, first + [0, 1, 2], first + [0, 2, 3]])
    pixels = np.concatenate([pixels, lone.reshape(-1, 2)])
    z = np.concatenate([z, np.repeat(depth[y, x].astype(float), 4)])
    return _backproject(pixels, z, K, dist), faces
