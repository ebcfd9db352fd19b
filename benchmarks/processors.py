"""One pair on several processors: does it give one mesh?

    python benchmarks/processors.py [--data DIR] [--only demo kermit ...] [--kernels Haswell Nehalem ...] [--keep DIR]

OpenBLAS, NumPy and OpenCV choose their loops by the processor, and other loops add in another order: the last digits
differ. Each pair (names as in `benchmarks/meshes.py`; default: demo, fountain 0004-0005, kermit, lawn with rig) is
reconstructed once in a process of its own for every kernel of OpenBLAS named by --kernels, once without AVX-512 and
once more without AVX2, in NumPy and OpenCV too. Each is compared with the first, stage by stage.

Columns: "=" where a stage's outcome has the same bits, else by how much it differs: matches (number of other ones),
inliers, R (degrees), t (degrees), focal length (%), rectified pictures, disparity (share of the pixels, %, that differ
by more than .1 px or are known in one alone), vertices (%) that have one of the other mesh within a tenth of their
sigma, verdict and findings ("same" or what they are).
The exit status is 1 where a pair misses the bar: verdict and findings equal, R and t within 1e-4 degrees, 99.9 % of the
vertices.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

PAIRS = ("demo", "fountain 0004-0005", "kermit", "lawn with rig")
KERNELS = ("SkylakeX", "Haswell", "Zen", "Sandybridge", "Nehalem")
NO_AVX512 = {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR", "OPENCV_CPU_DISABLE": "AVX512-SKX"}
NO_AVX2 = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX2,FP16",
}
MAX_ANGLE = 1e-4  # degrees
MIN_VERTICES = 99.9  # %
STAGES = ("matches", "inliers", "R deg", "t deg", "focal %", "pair", "disparity", "vertices")


def processors(kernels: list[str]) -> dict[str, dict[str, str]]:
    """Environment by name; the first is the reference."""
    known = {kernel: {"OPENBLAS_CORETYPE": kernel} for kernel in kernels}
    return known | {
        "no AVX-512": {"OPENBLAS_CORETYPE": "Haswell", **NO_AVX512},
        "no AVX2": {"OPENBLAS_CORETYPE": "Nehalem", **NO_AVX2},
    }


def reconstruct_pair(name: str, data: Path, out: Path) -> None:
    """Keep the outcome of every stage; in the child process, whose environment chooses the loops."""
    sys.path.insert(0, str(Path(__file__).parent))
    from meshes import CASES, verdict_with_codes

    from stereo3d.pipeline import Config, reconstruct

    case = CASES[name](data)
    result = reconstruct(case.left, case.right, case.rig, Config(**case.settings))
    view = result.view
    np.savez(
        out,
        matches=np.column_stack([result.matches.x1, result.matches.x2]),
        inliers=view.inliers,
        R=view.R,
        t=view.t,
        focal=view.rig.cam1.focal,
        pair=np.stack([result.pair.left, result.pair.right]),
        disparity=result.disparity,
        vertices=result.mesh.vertices,
        sigma=result.mesh.sigma,
        verdict=verdict_with_codes(result) + " / " + " ".join(f.code for f in result.findings),
    )


def differences(a: dict, b: dict) -> list[float]:
    """By how much b differs from a, in the order of STAGES; 0 where the bits are equal."""
    out = []
    for name in ("matches", "inliers", "R", "t", "focal", "pair", "disparity", "vertices"):
        x, y = a[name], b[name]
        if x.shape == y.shape and np.array_equal(x, y, equal_nan=x.dtype.kind == "f"):
            out.append(0.0)
        elif name == "matches":
            rows = [set(map(bytes, np.round(m, 1))) for m in (x, y)]
            out.append(max(len(rows[0] ^ rows[1]), 1e-9))
        elif name == "inliers":
            out.append(abs(int(x.sum()) - int(y.sum())) + 1e-9)
        elif name == "R":
            out.append(np.degrees(2 * np.arcsin(min(1.0, np.linalg.norm(x - y) / np.sqrt(8)))))
        elif name == "t":
            u, v = x / np.linalg.norm(x), y / np.linalg.norm(y)
            out.append(np.degrees(2 * np.arcsin(np.linalg.norm(u - v) / 2)))
        elif name == "focal":
            out.append(100 * abs(float(y) / float(x) - 1))
        elif x.shape != y.shape and name != "vertices":
            out.append(100.0)
        elif name == "pair":
            out.append(100 * float((x != y).mean()))
        elif name == "disparity":
            with np.errstate(invalid="ignore"):
                equal = (np.abs(x - y) <= 0.1) | (np.isnan(x) & np.isnan(y))
            out.append(100 * float((~equal).mean()) or 1e-9)
        else:
            from scipy.spatial import cKDTree

            known = np.isfinite(a["sigma"])
            distance = cKDTree(y).query(x[known])[0]
            out.append(100 * float((distance > 0.1 * a["sigma"][known]).mean()) or 1e-9)
    return out


def cell(value: float) -> str:
    return "=" if value == 0 else "<1e-9" if value < 2e-9 else f"{value:.2g}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("STEREO3D_DATA", "."), help="default: $STEREO3D_DATA")
    parser.add_argument("--only", nargs="+", default=PAIRS, help="names of pairs")
    parser.add_argument("--kernels", nargs="+", default=KERNELS, help="of OpenBLAS; the first is the reference")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the outcomes; those already there are used")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    data = Path(arguments.data)
    if arguments.child:
        reconstruct_pair(arguments.child[0], data, Path(arguments.child[1]))
        return 0
    missed = 0
    print(f"{'pair':22s}{'processor':14s}" + "".join(f"{name:>11s}" for name in STAGES) + "  verdict", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for pair in arguments.only:
            first = None
            for processor, setting in processors(arguments.kernels).items():
                out = folder / f"{pair}-{processor}.npz".replace(" ", "_")
                if not out.exists():
                    command = [sys.executable, __file__, "--data", str(data), "--child", pair, str(out)]
                    subprocess.run(command, env=os.environ | setting, check=True)
                found = dict(np.load(out))
                first = first or found
                off = differences(first, found)
                same = str(first["verdict"]) == str(found["verdict"])
                verdict = str(found["verdict"]) if first is found or not same else "same"
                print(
                    f"{pair:22s}{processor:14s}" + "".join(f"{cell(v):>11s}" for v in off) + f"  {verdict}", flush=True
                )
                missed += not (same and max(off[2:4]) <= MAX_ANGLE and off[-1] <= 100 - MIN_VERTICES)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
