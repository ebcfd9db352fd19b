"""Does `calibrate --model auto` choose the true lens model? Boards projected with noise, one line for each draw.

    python benchmarks/calibration_models.py [--draws 20] [--first 0] [--only brown rational fisheye]

- brown: 50 to 80 degrees across, k1 of -.3 to .1, k2, half of them k3, p1 and p2 of a thousandth
- rational: 104 to 124 degrees across, the radial function of lenses between equidistant and rectilinear, p1 and p2
- fisheye: 130 to 180 degrees across, k1 of -.05 to .05 and three more coefficients
- each: 1000 x 800 px, 12 views of a 9 x 6 board that fill a fifth of the picture, noise of .1 to .3 px

Of a wrong choice, "follows" is how far the chosen model, fitted to the corners without noise, stays from them (rms):
where that is far below the noise, the corners do not tell the two models apart.
"""

import argparse
import time
from dataclasses import replace

import numpy as np

from stereo3d.cameras.chessboard import Board, Corners, calibrate_camera
from stereo3d.cameras.chessboard.starts import ModelFits
from stereo3d.geometry import rotation_from_vector
from stereo3d.records import Camera, WideLens

SIZE = (1000, 800)
VIEWS = 12
BOARD = Board("chessboard", 9, 6, 25.0)
KINDS = ("brown", "rational", "fisheye")


def draw_camera(kind: str, rng: np.random.Generator) -> Camera:
    centre = np.array([499.5, 399.5]) + rng.normal(0, 8, 2)
    if kind == "brown":
        f = 500 / np.tan(np.radians(rng.uniform(25, 40)))
        lens = [rng.uniform(-0.3, 0.1), rng.uniform(-0.05, 0.1), *rng.normal(0, 1e-3, 2)]
        lens.append(rng.uniform(-0.03, 0.03) if rng.random() < 0.5 else 0.0)
    elif kind == "rational":
        half = np.radians(rng.uniform(52, 62))
        f, bend = 500 / half, rng.uniform(-0.1, 0.1)
        r = np.linspace(1e-3, 1.5 * np.tan(half), 200)
        angle = np.arctan(r)
        target, q = angle * (1 + bend * angle**2) / r, r * r
        A = np.stack([q, q**2, q**3, -target * q, -target * q**2, -target * q**3], 1)
        k1, k2, k3, k4, k5, k6 = np.linalg.lstsq(A, target - 1, rcond=None)[0]
        lens = [k1, k2, *rng.normal(0, 1e-3, 2), k3, k4, k5, k6]
    else:
        f = 500 / np.radians(rng.uniform(65, 90))
        lens = [rng.uniform(-b, b) for b in (0.05, 0.01, 0.003, 0.0005)]
    K = np.array([[f, 0, centre[0]], [0, 1.001 * f, centre[1]], [0, 0, 1]])
    if kind == "fisheye":
        return Camera(K, SIZE, lens=WideLens("fisheye", tuple(lens)))
    return Camera(K, SIZE, np.array(lens))


def draw_corners(camera: Camera, rng: np.random.Generator) -> tuple[list[Corners], list[Corners], float]:
    """Boards anywhere in the picture that face the camera, tilted by up to 34 degrees about two axes.

    With noise, without, and the noise in px.
    """
    noise, found, exact = rng.uniform(0.1, 0.3), [], []
    middle, diagonal = BOARD.points.mean(0), np.linalg.norm(np.ptp(BOARD.points, axis=0))
    while len(found) < VIEWS:
        d = camera.rays_from_pixels(rng.uniform(0, SIZE))
        if not np.isfinite(d).all():
            continue
        axis = np.cross([0, 0, 1], d)
        to_d = rotation_from_vector(axis / np.linalg.norm(axis) * np.arctan2(np.linalg.norm(axis), d[2]))
        R = to_d @ rotation_from_vector([*rng.uniform(-0.6, 0.6, 2), 0])
        R = R @ rotation_from_vector([0, 0, rng.uniform(-0.5, 0.5)])
        t = d * diagonal / (2 * np.tan(rng.uniform(0.4, 0.8))) - R @ middle
        x = camera.pixels_from_rays(BOARD.points @ R.T + t)  # NaN beyond a fold of the lens
        if (x > 2).all() and (x < np.array(SIZE) - 3).all():
            exact.append(Corners(f"{len(found)}", np.arange(len(x)), x, SIZE))
            found.append(replace(exact[-1], x=x + rng.normal(0, noise, x.shape)))
    return found, exact, noise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS)
    given = parser.parse_args()
    right = dict.fromkeys(given.only, 0)
    for seed in range(given.first, given.first + given.draws):
        for kind in given.only:
            rng = np.random.default_rng([seed, KINDS.index(kind)])
            camera, start = draw_camera(kind, rng), time.process_time()
            corners, exact, noise = draw_corners(camera, rng)
            found = calibrate_camera(corners, BOARD)
            right[kind] += found.model == kind
            errors = ", ".join(f"{m.model} {m.error:.3f}" if m.error else f"{m.model} none" for m in found.models)
            seconds = time.process_time() - start
            wrong = ""
            if found.model != kind:
                rms = ModelFits(exact, BOARD).of(found.model).rms
                wrong = f", follows to {rms / np.sqrt(2):.3f} px, noise {noise:.3f}"
            print(f"{kind} {seed}: {found.model} ({errors} px), {seconds:.1f} s{wrong}", flush=True)
    print(", ".join(f"{kind}: {count} of {given.draws}" for kind, count in right.items()))


if __name__ == "__main__":
    main()
