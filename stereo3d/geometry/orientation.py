"""Absolute and relative orientation by unit quaternions (Horn 1987, 1990)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .arrays import TINY, real_array
from .least_squares import Schedule, State, damped_step, minimise
from .rotations import quaternion_product, rotation_from_quaternion

ORIENTATION_SCHEDULE = Schedule(damping=1e-3, factor=10, max_steps=50, tolerance=1e-13, hopeless=1e8)
EQUAL_COST = 1e-6  # relative difference of the costs of minima that count as one


def absolute_orientation(
    a: ArrayLike, b: ArrayLike, *, weights: ArrayLike | None = None, scale: bool = True
) -> tuple[float, np.ndarray, np.ndarray]:
    """b = s R a + t in the least-squares sense, in closed form by unit quaternions.

    The rotation is the eigenvector of the largest eigenvalue of Horn's symmetric 4 x 4 matrix; always a proper
    rotation, never a reflection. The scale is the symmetric one, s = sqrt(sum |b'|^2 / sum |a'|^2), which gives the
    inverse when a and b change places.

    Parameters
    ----------
    a, b : (N, 3) float64
        Corresponding points, N >= 3, neither set on one line.
    weights : (N,) float64, optional
        Of the points.
    scale : bool
        False fixes s = 1.

    Returns
    -------
    s, R, t : float, (3, 3), (3,) float64

    Raises
    ------
    ValueError
        For fewer than three points or points on one line.

    References
    ----------
    Horn, Closed-form solution of absolute orientation using unit quaternions, 1987.
    """
    a, b = real_array(a, "a"), real_array(b, "b")
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 3 or len(a) < 3:
        raise ValueError(f"absolute_orientation needs two (N,3) arrays, N >= 3, got {a.shape} and {b.shape}")
    w = _weights(weights, len(a))
    w = w / w.sum()
    ca, cb = w @ a, w @ b
    a0, b0 = a - ca, b - cb
    for points, centred in ((a, a0), (b, b0)):
        extent = np.linalg.svd(centred * np.sqrt(w)[:, None], compute_uv=False)
        # rounding of the coordinates leaves this much across a line
        if extent[1] <= 1e-12 * extent[0] + 4 * np.finfo(float).eps * np.abs(points).max():
            raise ValueError("absolute_orientation: the points lie on one line")
    R = rotation_from_quaternion(np.linalg.eigh(_horn_matrix((a0 * w[:, None]).T @ b0))[1][:, -1])
    s = float(np.sqrt((w @ (b0**2).sum(1)) / (w @ (a0**2).sum(1)))) if scale else 1.0
    return s, R, cb - s * R @ ca


def _weights(given: ArrayLike | None, count: int) -> np.ndarray:
    """(N,) weights, ones where none are given; ValueError unless they are finite, not negative, and not all zero."""
    if given is None:
        return np.ones(count)
    weights = real_array(given, "weights")
    if weights.shape != (count,) or not (np.isfinite(weights).all() and weights.min() >= 0 and weights.any()):
        raise ValueError(f"weights are {count} finite numbers of at least 0, got {weights.shape}")
    return weights


def _horn_matrix(S: np.ndarray) -> np.ndarray:
    """The symmetric N (4, 4) with q^T N q = sum of b . R(q) a, from S = sum of a b^T (3, 3)."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = S
    return np.array(
        [
            [xx + yy + zz, yz - zy, zx - xz, xy - yx],
            [yz - zy, xx - yy - zz, xy + yx, zx + xz],
            [zx - xz, xy + yx, -xx + yy - zz, yz + zy],
            [xy - yx, zx + xz, yz + zy, -xx - yy + zz],
        ]
    )


def relative_orientation(
    d1: ArrayLike, d2: ArrayLike, *, weights: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """[t, R d1, d2] = 0 in the least-squares sense: R, t, |t| = 1, of X2 = R X1 + t, from rays in one plane.

    Needs no start and finds any turn; wrong matches must have been taken out. Minimises the angles of `_Coplanarity`
    from the 24 rotations of the cube, with the best t for each, an eigenvector. The two quaternions of a minimum may
    change places, and the sign of the second is free: returns the one of these four with most rays that meet before
    both cameras. Five rays may allow ten solutions, of which one is returned; rays without parallax (t = 0) leave t to
    chance.

    Parameters
    ----------
    d1, d2 : (N, 3) float64
        Corresponding rays in their own cameras, N >= 5, of any length.
    weights : (N,) float64, optional
        Of the rays.

    Returns
    -------
    R, t : (3, 3), (3,) float64

    Raises
    ------
    ValueError
        For other shapes or fewer than five rays.

    References
    ----------
    Horn, Relative orientation, 1990; Relative orientation revisited, 1991.
    """
    d1, d2 = real_array(d1, "d1"), real_array(d2, "d2")
    if d1.shape != d2.shape or d1.ndim != 2 or d1.shape[1] != 3 or len(d1) < 5:
        raise ValueError(f"relative_orientation needs two (N,3) arrays, N >= 5, got {d1.shape} and {d2.shape}")
    v = _weights(weights, len(d1))
    left, right = (d / np.linalg.norm(d, axis=1, keepdims=True) for d in (d1, d2))
    q = _cube_rotations()
    c = np.cross(left @ np.stack([rotation_from_quaternion(a) for a in q]).swapaxes(1, 2), right)
    t = np.linalg.eigh(np.einsum("mni,n,mnj->mij", c, v, c))[1][:, :, 0]
    d = quaternion_product(_as_quaternions(t), q)
    fit = minimise(_Coplanarity.of_rays(left, right, v), (q, d), ORIENTATION_SCHEDULE)
    (q, d), e = fit.state, fit.values[0]
    cost = (e**2).sum(1)
    order = np.argsort(cost, kind="stable")
    equal = order[cost[order] <= cost.min() * (1 + EQUAL_COST) + 1e-20 * len(v)]
    quaternions = [pair for k in equal for pair in ((q[k], d[k]), (q[k], -d[k]), (d[k], q[k]), (d[k], -q[k]))]
    motions = [(rotation_from_quaternion(a), quaternion_product(b, a * [1, -1, -1, -1])[1:]) for a, b in quaternions]
    R, t = max(motions, key=lambda motion: _rays_in_front(left, right, *motion))
    return R, t / np.linalg.norm(t)


@dataclass(frozen=True, eq=False)
class _Coplanarity:
    """e = (r q) . (d l), the angle (rad) by which two unit rays l, r miss a common plane, times sqrt(weight).

    The rotation is a unit quaternion q, and d = t q with t as a quaternion: e is linear in q and in d, under
    q . q = d . d = 1, q . d = 0. e is divided by sqrt(|t x r|^2 + |t x R l|^2), which makes it an angle.

    times_l, times_r: (N, 4, 4), antisymmetric, times_l d = d l, times_r d = r d.  weights: (N,).
    """

    times_l: np.ndarray
    times_r: np.ndarray
    weights: np.ndarray

    @classmethod
    def of_rays(cls, left: np.ndarray, right: np.ndarray, weights: np.ndarray) -> "_Coplanarity":
        l, r = (_as_quaternions(d)[:, None] for d in (left, right))
        return cls(
            quaternion_product(np.eye(4), l).swapaxes(1, 2), quaternion_product(r, np.eye(4)).swapaxes(1, 2), weights
        )

    def evaluate(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """e sqrt(w) (M, N) and its derivatives by q and d (M, N, 8); a = t . R l, b = -t . r, 1 / w = 2 - a^2 - b^2."""
        q, d = state
        dl, ql, rd, rq = (
            np.einsum("nij,mj->mni", A, x)
            for A, x in ((self.times_l, d), (self.times_l, q), (self.times_r, d), (self.times_r, q))
        )
        e = np.einsum("mni,mni->mn", rq, dl)
        by_q, by_d = np.einsum("nij,mnj->mni", self.times_r, dl), np.einsum("nij,mnj->mni", self.times_l, rq)
        slope = -np.concatenate([by_q, by_d], -1)
        a, b = np.einsum("mni,mi->mn", dl, q), np.einsum("mni,mi->mn", rd, q)
        half = -a[..., None] * np.concatenate([dl, -ql], -1) - b[..., None] * np.concatenate([rd, -rq], -1)
        s = np.maximum(2 - a * a - b * b, 1e-12)
        root = np.sqrt(self.weights / s)
        return e * root, slope * root[..., None] - half * (e * root / s)[..., None]

    def improves(self, new: State, old: State) -> np.ndarray:
        return (new[0] ** 2).sum(1) < (old[0] ** 2).sum(1)

    def linearise(self, state: State, values: State) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """J^T J, J^T e along the five directions (M, 5, 8) that keep q . q, d . d and q . d; and these directions."""
        (q, d), (e, J) = state, values
        o = np.zeros_like(q)
        constraints = np.stack([np.concatenate(pair, -1) for pair in ((q, o), (o, d), (d, q))], 1)
        free = np.linalg.svd(constraints)[2][:, 3:]
        G = J @ free.swapaxes(1, 2)
        return np.einsum("mni,mnj->mij", G, G), np.einsum("mni,mn->mi", G, e), free

    def solve(self, A: np.ndarray, b: np.ndarray, damping: np.ndarray) -> np.ndarray:
        return damped_step(A, b, damping + 1e-14, TINY)

    def move(self, state: State, step: np.ndarray, frame: np.ndarray) -> tuple[State, np.ndarray]:
        change = np.einsum("mk,mkj->mj", step, frame)
        q, d = state[0] + change[:, :4], state[1] + change[:, 4:]
        q /= np.linalg.norm(q, axis=1, keepdims=True)
        d -= (q * d).sum(1, keepdims=True) * q
        d /= np.linalg.norm(d, axis=1, keepdims=True)
        return (q, d), change


def _as_quaternions(v: np.ndarray) -> np.ndarray:
    """(0, v): (N, 3) -> (N, 4)."""
    return np.pad(v, ((0, 0), (1, 0)))


def _rays_in_front(left: np.ndarray, right: np.ndarray, R: np.ndarray, t: np.ndarray) -> int:
    """Number of pairs of rays that meet before both cameras."""
    turned = left @ R.T
    n = np.cross(turned, right)
    return int((((np.cross(right, t) * n).sum(1) > 0) & ((np.cross(turned, t) * n).sum(1) > 0)).sum())


def _cube_rotations() -> np.ndarray:
    """(24, 4) unit quaternions of the rotations that map a cube onto itself: none is farther than 62.8 degrees."""
    signs = np.array([[1, 1], [1, -1]])
    found = [*np.eye(4)]
    for i in range(4):
        for j in range(i):
            for pair in signs:
                found.append(np.zeros(4))
                found[-1][[j, i]] = pair / np.sqrt(2)
    found += [np.array([1, a, b, c]) / 2 for a in (1, -1) for b in (1, -1) for c in (1, -1)]
    return np.stack(found)
