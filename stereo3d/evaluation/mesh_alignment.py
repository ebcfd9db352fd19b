"""Align a mesh with the truth: scale or similarity, and the mirror test."""

import numpy as np

from ..errors import StereoError
from ..geometry.orientation import absolute_orientation
from ..geometry.rotations import rotation_angle_deg

FIT_POINTS = 20_000  # correspondences that the alignment uses: its own error is then 1/140 of theirs
REFLECTIONS = {
    "x (left and right exchanged)": (-1, 1, 1),
    "y (upside down)": (1, -1, 1),
    "z (near and far exchanged)": (1, 1, -1),
    "point (all three axes turned)": (-1, -1, -1),
}


def similarity(a: np.ndarray, b: np.ndarray, z: np.ndarray, seed: int) -> tuple[float, np.ndarray, np.ndarray]:
    """s, R, t with b ~ s R a + t, robust against up to half of the correspondences being wrong.

    Least median of squares over minimal samples (Rousseeuw 1984), over the fit to all points and over a mere scale;
    then iteratively reweighted `absolute_orientation`, weights (1 + (r/c)^2)^-2 / z^2 (Geman and McClure 1985) with
    r = |b - s R a - t| / z and c = 2.5 median(r).
    a, b: (N,3).  z: (N,) true depth: residuals are relative to it.
    """
    rng = np.random.default_rng(seed)
    if len(a) > FIT_POINTS:
        pick = rng.choice(len(a), FIT_POINTS, replace=False)
        a, b, z = a[pick], b[pick], z[pick]

    def residuals(fit, a, b, z):
        s, R, t = fit
        return np.linalg.norm(s * a @ R.T + t - b, axis=1) / z

    positive = a[:, 2] > 0
    starts = [(float(np.median(z[positive] / a[positive, 2])), np.eye(3), np.zeros(3))] if positive.any() else []
    try:
        starts.append(absolute_orientation(a, b, weights=1 / z**2))
    except ValueError as error:
        raise StereoError(
            "no_overlap",
            "The vertices with true depth lie on one line: no similarity can be found.",
            "Align by scale or none.",
        ) from error
    for _ in range(200):
        pick = rng.choice(len(a), 4, replace=False)
        try:
            starts.append(absolute_orientation(a[pick], b[pick]))
        except ValueError:  # the four lie on one line
            continue
    some = rng.choice(len(a), min(len(a), 2000), replace=False)
    best = min(starts, key=lambda fit: np.median(residuals(fit, a[some], b[some], z[some])))
    for _ in range(50):
        r = residuals(best, a, b, z)
        c = 2.5 * float(np.median(r))
        if c < 1e-12:  # exact but for rounding
            break
        new = absolute_orientation(a, b, weights=1 / (1 + (r / c) ** 2) ** 2 / z**2)
        moved = float(np.median(np.abs(residuals(new, a, b, z) - r)))
        best = new
        if moved < 1e-3 * c:
            break
    return best


def quantiles_percent(residual: np.ndarray) -> list[float]:
    """Median, 75 % and 90 % quantile, in %."""
    return [100 * float(q) for q in np.quantile(residual, (0.5, 0.75, 0.9))]


def mirror_test(fit: tuple, a: np.ndarray, b: np.ndarray, z: np.ndarray, seed: int) -> dict:
    """Whether a reflection of the mesh fits the truth at least twice as well as the mesh, and which reflection it is.

    fit: the similarity of the mesh. Fits are compared by their residual at the median, 75 % and 90 %: where one plane
    fills most of the picture, both fit it equally well, and only the remaining points decide. Any reflection is
    diag(-1, 1, 1) and a rotation; it is named by the axis that leaves the smallest rotation to do.
    """
    flip = np.diag([-1.0, 1, 1])
    fits = [fit, similarity(a @ flip, b, z, seed)]
    plain, mirrored = (
        np.array(quantiles_percent(np.linalg.norm(s * a @ M @ R.T + t - b, axis=1) / z))
        for (s, R, t), M in zip(fits, (np.eye(3), flip), strict=True)
    )
    found = bool(np.any((mirrored < 0.5 * plain) & (plain > 1e-4)) and not np.any(plain < 0.5 * mirrored - 1e-4))
    R = fits[1][1]
    turn = {name: rotation_angle_deg(R @ flip @ np.diag(axes)) for name, axes in REFLECTIONS.items()}
    return {
        "mirrored": found,
        "reflection": min(turn, key=lambda name: turn[name]) if found else "",
        "mirrored_median_percent": float(mirrored[0]),
        "mirrored_p90_percent": float(mirrored[-1]),
    }
