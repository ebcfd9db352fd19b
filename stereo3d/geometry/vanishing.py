"""The direction in space that many straight edges of a picture share, by their vanishing point."""

import numpy as np

MIN_NORMAL = 1e-12


def edge_normals(ends: np.ndarray) -> np.ndarray:
    """n = d_a x d_b / |d_a x d_b|: normals of the planes through the camera's centre and each edge.

    Parameters
    ----------
    ends : (N, 2, 2) float64
        Both ends, normalised image coordinates.

    Returns
    -------
    (N, 3) float64
        n . v = 0 for an edge of direction v in space.
    """
    rays = np.concatenate([ends, np.ones((*ends.shape[:2], 1))], -1)
    n = np.cross(rays[:, 0], rays[:, 1])
    return n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), MIN_NORMAL)


def edge_angles(ends: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Angle, rad, between each edge and the line from its middle to the vanishing point of v.

    Parameters
    ----------
    ends : (N, 2, 2) float64
        Normalised image coordinates.
    v : (..., 3) float64
        Directions in space.

    Returns
    -------
    (..., N) float64
        0 to pi / 2.
    """
    middle, along = ends.mean(1), ends[:, 1] - ends[:, 0]
    v = np.asarray(v, dtype=float)[..., None, :]
    to = v[..., :2] - v[..., 2:] * middle  # towards v / v_z; finite where that is at infinity
    cross = to[..., 0] * along[:, 1] - to[..., 1] * along[:, 0]
    dot = to[..., 0] * along[:, 0] + to[..., 1] * along[:, 1]
    return np.arctan2(np.abs(cross), np.abs(dot))


def fit_direction(normals: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the v, |v| = 1, of minimal sum w (n . v)^2: the smallest eigenvector. n (N, 3), w (N,) -> (3,)."""
    return np.linalg.eigh((normals * weights[:, None]).T @ normals)[1][:, 0]


def common_direction(
    ends: np.ndarray, sigmas: np.ndarray, *, near: np.ndarray, within: float, samples: int = 400, seed: int = 0
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the direction that the most length of edges shares, and which edges do.

    Parameters
    ----------
    ends : (N, 2, 2) float64
        Normalised image coordinates.
    sigmas : (N,) float64
        rad, standard deviation of each edge's angle in the picture.
    near : (3,) float64
        Unit vector; only directions within `within` radians of it (or its opposite) are sought.
    within : float
    samples : int
        Pairs of edges tried.
    seed : int

    Returns
    -------
    v : (3,) float64
        Unit vector, v . near > 0.
    inliers : (N,) bool
        Or None where no pair gives a direction.
    """
    count = len(ends)
    if count < 2:
        return None
    lengths = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    normals = edge_normals(ends)
    rng = np.random.default_rng(seed)
    share = lengths / lengths.sum()
    pairs = rng.choice(count, size=(samples, 2), p=share)
    v = np.cross(normals[pairs[:, 0]], normals[pairs[:, 1]])
    size = np.linalg.norm(v, axis=1)
    v = v[size > 1e-9] / size[size > 1e-9, None]
    v = v[np.abs(v @ near) > np.cos(within)]
    if not len(v):
        return None
    weights = lengths**2  # an edge's angle is the surer, the longer it is
    inliers = edge_angles(ends, v) < 3 * sigmas
    best = int((inliers @ lengths).argmax())
    v, kept = v[best], inliers[best]
    for _ in range(10):
        v = fit_direction(normals[kept], weights[kept])
        now = edge_angles(ends, v) < 3 * sigmas
        if now.sum() < 2 or np.array_equal(now, kept):
            break
        kept = now
    return v * (1 if v @ near > 0 else -1), kept
