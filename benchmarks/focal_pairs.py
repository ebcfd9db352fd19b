"""Random pairs with truth on which the stated error of the focal length is compared with the true one.

    python benchmarks/pose.py --focal-errors 150 [--first 0] [--rendered 40] [--zoom 0.99]

Every kind is drawn evenly and estimated twice: with nothing known, and with an EXIF entry wrong by up to 10 % either
way (uniformly). Matches number 150 to 2000, with .1 to 1 px of noise and up to 40 % of them wrong; photos have 1600 x
1200 px. Rendered: pairs of `rendered_pairs.py` with the matches of their photos, which have 400 or 480 px. --zoom: the
second photo of each has that many times the focal length.

Columns: pairs; those whose focal length is no guess; log error of the focal length within one and two standard errors,
% (68 and 95 % would be right; the bars are 60 to 76 and 90 to 99); true stretch of depth within the stated interval, %
(90); median and 90 % of the error, %; median of the standard error, %; median error of the pose, degrees, and its mean
with errors above 5 counted as 5; pairs whose focal length is called ambiguous; pairs whose focal lengths were taken to
differ.
"""

import numpy as np
from rendered_pairs import rendered_pair

from stereo3d.cameras import camera_for
from stereo3d.diagnosis.cameras import stretch_interval
from stereo3d.errors import StereoError
from stereo3d.evaluation.pose import pose_errors
from stereo3d.features import match_features
from stereo3d.geometry import hom, project, rotation_from_vector, undistort
from stereo3d.records import Camera, Matches, Photo, Rig
from stereo3d.two_view import estimate_two_view

SIZE = (1600, 1200)
PX_PER_MM = np.hypot(*SIZE) / 43.267  # of 35 mm film
# kind -> (shortest, longest focal length in mm; degrees, standard deviation of the second camera's turn; 1 if it looks
# at the middle of the scene; steps sideways as a share of the distance; relief as a share of the distance)
KINDS = {
    "ordinary": ((22, 50), 4, 0.5, (0.05, 0.3), 0.3),
    "near-parallel": ((22, 50), 1, 0.0, (0.03, 0.15), 0.3),
    "planar": ((22, 50), 4, 0.5, (0.05, 0.3), 0.02),
    "telephoto": ((70, 300), 1, 1.0, (0.1, 0.4), 0.1),
    "wide": ((11, 19), 5, 0.5, (0.05, 0.3), 0.4),
    "lens off the model": ((22, 50), 6, 0.5, (0.1, 0.3), 0.3),
}


def focal_pair(seed: int) -> tuple[str, Matches, Rig]:
    """Kind, matches and true rig (|t| = 1) of a random pair."""
    rng = np.random.default_rng(seed)
    kind = list(KINDS)[seed % len(KINDS)]
    (short, long), turn, aim, steps, relief = KINDS[kind]
    focal = PX_PER_MM * np.exp(rng.uniform(*np.log((short, long))))
    camera = _camera(focal, 1.0 if kind == "lens off the model" else rng.choice([0.0, 0.3]), rng)
    away = np.array([*_direction(rng), rng.normal(0, 0.2)]) * rng.uniform(*steps)
    look = np.array([-np.arctan2(away[1], 1 - away[2]), np.arctan2(away[0], 1 - away[2]), 0]) * aim
    R = rotation_from_vector(np.radians(rng.normal(0, turn, 3))) @ rotation_from_vector(look)
    t = -R @ away
    x1, x2 = _views(camera, R, t, relief, rng)
    n, noise = min(int(np.exp(rng.uniform(*np.log((150, 2000))))), len(x1)), np.exp(rng.uniform(*np.log((0.1, 1))))
    x1, x2 = (x[:n] + rng.normal(0, noise, (n, 2)) for x in (x1, x2))
    wrong = rng.permutation(n)[: round(rng.uniform(0, 0.4) * n)]
    x2[wrong] = rng.uniform(-0.5, np.array(SIZE) - 0.5, (len(wrong), 2))
    length = np.linalg.norm(t)
    return kind, Matches(x1, x2, np.ones(n, np.float32)), Rig(camera, camera, R, t / length)


def _direction(rng: np.random.Generator) -> tuple[float, float]:
    angle = rng.choice([0, np.pi, np.pi / 2]) + rng.normal(0, 0.2)
    return np.cos(angle), np.sin(angle)


def _camera(focal: float, off: float, rng: np.random.Generator) -> Camera:
    """off: how far the lens is from a pinhole with its centre in the middle; 1: as `lens_pair` has it."""
    centre = (np.array(SIZE) - 1) / 2 + off * rng.normal(0, 0.006 * SIZE[0], 2)
    K = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
    # coefficients of a normal lens; those of a longer one bend its smaller field as much
    field = min(1.0, 28 * PX_PER_MM / focal)
    dist = off * rng.normal(0, [0.03, 0.02, 0.0005, 0.0005]) / np.array([field**2, field**4, field, field])
    return Camera(K, SIZE, dist if off else np.zeros(0))


def _views(camera: Camera, R: np.ndarray, t: np.ndarray, relief: float, rng: np.random.Generator):
    """Noise-free matches on a smooth surface with some clutter, at a distance of 1."""
    x1 = rng.uniform(-0.5, np.array(SIZE) - 0.5, (20000, 2))
    d = undistort(x1, camera.K, camera.dist)
    x1, d = x1[np.isfinite(d).all(1)], d[np.isfinite(d).all(1)]
    width = SIZE[0] / camera.K[0, 0]
    wave = np.sin(rng.uniform(3, 8) * d[:, 0] / width + rng.uniform(0, 6)) * np.cos(rng.uniform(3, 8) * d[:, 1] / width)
    slope = rng.normal(0, 0.5, 2)
    plane = 1 / np.maximum(1 + d @ slope, 0.3)
    z = plane * (1 + relief * (0.7 * wave + rng.normal(0, 0.3, len(d)))).clip(0.3)
    Y = (hom(d) * z[:, None]) @ R.T + t
    x2 = project(Y, camera.K, dist=camera.dist)
    good = ((x2 > -0.5) & (x2 < np.array(SIZE) - 0.5)).all(1) & (Y[:, 2] > 0.05)
    back = undistort(x2, camera.K, camera.dist)
    good &= np.abs(back - Y[:, :2] / Y[:, 2:]).max(1) < 1e-6  # not from beyond the fold
    return x1[good], x2[good]


def focal_errors(count: int, first: int, rendered: int, zoom: float = 1.0):
    """Print the table of this module's docstring."""
    heading = (
        "n",
        "found",
        "1 s %",
        "2 s %",
        "stretch %",
        "median %",
        "90 % %",
        "sigma %",
        "pose deg",
        "mean",
        "rivals",
        "zoomed",
    )
    print(f"\n{'errors of the focal length':32s}" + "".join(f"{c:>10s}" for c in heading), flush=True)
    rows: dict[tuple[str, str], list] = {}
    everything = [("random pair", k) for k in range(first, first + count)]
    everything += [("rendered", k) for k in range(first, first + rendered)]
    for origin, k in everything:
        made = focal_pair(k) if origin == "random pair" else _rendered_pair(k)
        if made is None:
            continue
        kind, matches, rig = made
        matches = _enlarged(matches, rig, zoom)
        for known, given in _known(rig, k).items():
            try:
                view = estimate_two_view(matches, given)
            except StereoError:
                continue
            row = _row(view, rig)
            for name in (kind, "all"):
                rows.setdefault((known, name), []).append(row)
    for known in ("nothing", "EXIF"):
        for name in [*KINDS, "rendered", "all"]:
            if (known, name) in rows:
                _show(f"{known}, {name}", rows[known, name])
    _show("all", rows["nothing", "all"] + rows["EXIF", "all"])


def _enlarged(matches: Matches, rig: Rig, factor: float) -> Matches:
    """The matches as of a second photo with `factor` times the focal length."""
    middle = rig.cam2.K[:2, 2]
    return Matches(matches.x1, middle + factor * (matches.x2 - middle), matches.score)


def _known(rig: Rig, seed: int) -> dict[str, Rig]:
    """The cameras as a user has them who knows nothing, or an EXIF entry wrong by up to 10 %."""
    width, height = rig.cam1.size
    blank = camera_for(Photo(np.zeros((height, width, 3), np.uint8)))
    off = 1 + np.random.default_rng([1, seed]).uniform(-0.1, 0.1)
    f = off * rig.cam1.focal
    K = np.array([[f, 0, (width - 1) / 2], [0, f, (height - 1) / 2], [0, 0, 1]])
    exif = Camera(K, rig.cam1.size, source="exif", source_detail=f"{off:g} of the true focal")
    return {"nothing": Rig(blank, blank), "EXIF": Rig(exif, exif)}


def _rendered_pair(index: int) -> tuple[str, Matches, Rig] | None:
    """As `focal_pair`, from photos; None where they have different windows, or no parallax."""
    pair = rendered_pair(index)
    if pair.facts.motion == "rotation" or pair.facts.windows != (0.0, 0.0):
        return None
    matches = match_features(pair.left, pair.right)
    return ("rendered", matches, pair.rig) if len(matches) > 30 else None


def _row(view, rig: Rig) -> tuple:
    error = np.log(view.rig.cam1.focal / rig.cam1.focal)
    low, high = stretch_interval(view)
    pose = max(pose_errors(view.R, view.t, rig.R, rig.t).values())
    found = view.rig.cam1.source != "prior"
    zoomed = view.rig.cam1.focal != view.rig.cam2.focal
    inside = low <= np.exp(error) <= high
    return found, error, view.focal_sigma, inside, pose, len(view.focal_rivals) > 0, zoomed


def _show(name: str, rows: list):
    found, error, sigma, inside, pose, rivals, zoomed = np.array(rows, dtype=float).T
    z, size = np.abs(error) / sigma, 100 * np.abs(error)
    shares = (100 * np.mean(z < 1), 100 * np.mean(z < 2), 100 * np.mean(inside))
    figures = (np.median(size), np.quantile(size, 0.9), 100 * np.median(sigma), np.median(pose))
    figures += (np.minimum(pose, 5).mean(),)
    print(
        f"{name:32s}{len(rows):10d}{int(found.sum()):10d}"
        + "".join(f"{f:10.0f}" for f in shares)
        + "".join(f"{f:10.2f}" for f in figures)
        + f"{int(rivals.sum()):10d}{int(zoomed.sum()):10d}",
        flush=True,
    )
