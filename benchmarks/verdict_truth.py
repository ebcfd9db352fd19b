"""The verdict against the truth: of "good" and "fair" pairs, how many have a wrong depth or a stretched shape?

    python benchmarks/verdict_truth.py [--count 480] [--first 0] [--step 1] [--only TEXT] [--real] [--jobs 2]
                                       [--quality fast] [--cache DIR] [--label TEXT] [--out FILE] [--list]

Every pair runs whole, with --force, so that a refused pair has an error as well. Pairs: those of `rendered_pairs`, and
with --real the shared pairs with truth. Per pair:

error    median of |s z / z_true - 1| over the pixels that became surface, s the best single scale
stretch  scale of depth over scale of width, as a factor >= 1: the larger of that of all points about the camera (the
         error of the focal length) and that of the relief (the slope of depth against true depth, where the scene has
         enough relief to measure it to 2 %)
beyond   share of these pixels off by more than 5 %

Bars: of "good" at most 1 % have an error above 5 % or a stretch above 1.1; of "fair" at most 5 % above 10 % or 1.3;
"good" for at least 80 % of the pairs whose error is below 2 % and whose stretch is below 1.1. Bars are printed for the
pairs of even index, on which the rules were chosen, for those of odd index, and for all.

Results are kept in the cache, by a label: by default the hash of the package's code, the verdict's rules left out, as
these are applied anew to the findings in the cache. A second run only measures what is missing.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
BARS = {"good": (0.05, 1.1, 0.01), "fair": (0.10, 1.3, 0.05)}  # error, stretch, share of pairs above either
RIGHT = 0.02, 1.1, 0.80  # error and stretch of pairs that should be "good", and the share that is
MIN_RELIEF = 0.02  # standard error of the slope of depth below which the relief is measured
REAL_SIZE = 1000  # px, of the shared pairs when matched


# ------------------------------------------------------------------------------------------------- the error of a run


@dataclass(frozen=True)
class Errors:
    """Of a run: see the top of the file. axes and relief: signed factors; pose: degrees, of R and of t's direction."""

    error: float
    beyond: float
    stretch: float
    axes: float
    relief: float
    focal: float
    pose: tuple[float, float] | None


def measure(result, camera, depth, pose) -> Errors:
    """Errors of a Result against the true camera 1, depth (H,W) of the first photo and pose (R, t)."""
    from stereo3d.evaluation.pose import pose_errors
    from stereo3d.geometry.camera import undistort

    known = np.isfinite(result.points[..., 2])
    photo = result.pair.map1[known].astype(float)
    i = np.rint(photo).astype(int)
    inside = ((i >= 0) & (i < depth.shape[::-1])).all(1)
    X, photo, i = result.points[known][inside], photo[inside], i[inside]
    z = depth[i[:, 1], i[:, 0]]
    x_true = undistort(photo, camera.K, camera.dist)
    has = np.isfinite(z) & (z > 0) & np.isfinite(x_true).all(1) & (X[:, 2] > 0)
    X, z, x_true = X[has], z[has], x_true[has]
    step = 1 + len(z) // 20_000
    X, z, x_true = X[::step], z[::step], x_true[::step]
    ratio = X[:, 2] / z
    off = np.abs(ratio / np.median(ratio) - 1)
    x = X[:, :2] / X[:, 2:]
    A = np.c_[x_true, np.ones(len(z))]
    lateral = float(np.mean(np.diag(np.linalg.lstsq(A, x, rcond=None)[0][:2])))
    axes, relief = 1 / lateral, slope(X[:, 2] / np.median(ratio), x_true * z[:, None], z) / lateral
    factors = [axes] if np.isnan(relief) else [axes, relief]
    stretch = max(max(f, 1 / f) if f > 0 else np.inf for f in factors)
    R, t = result.view.R, result.view.t
    told = tuple(pose_errors(R, t, *pose).values()) if pose is not None and np.any(pose[1]) else None
    focal = result.view.rig.cam1.focal / camera.focal
    stretch = min(stretch, 99.0)  # no infinity in the JSON
    return Errors(float(np.median(off)), float(np.mean(off > 0.05)), stretch, axes, relief, focal, told)


def slope(z, xy, z_true) -> float:
    """c of z = a x + b y + c z_true + d, robust, relative errors; NaN where its standard error is above MIN_RELIEF.

    a and b take up a turn of the whole model. The weights begin with those of z = z_true.
    """
    A = np.c_[xy, z_true, np.ones(len(z))] / z_true[:, None]
    b, fit = z / z_true, np.array([0.0, 0, 1, 0])
    for _ in range(10):
        r = b - A @ fit
        sigma = max(1.4826 * float(np.median(np.abs(r))), 1e-6)
        w = np.clip(1 - (r / (4 * sigma)) ** 2, 0, None)  # Tukey's biweight, as square roots
        fit = np.linalg.lstsq(A * w[:, None], b * w, rcond=None)[0]
    try:
        covariance = np.linalg.inv((A * w[:, None]).T @ (A * w[:, None]))
    except np.linalg.LinAlgError:
        return np.nan
    # errors of neighbours are alike: one in a hundred pixels counts
    error = sigma * np.sqrt(100 * covariance[2, 2])
    return float(fit[2]) if error < MIN_RELIEF else np.nan


# ----------------------------------------------------------------------------------------------------------- the runs


def rendered_case(index: int, cache: Path | None):
    """photos, given rig, settings, true camera, depth, pose of a rendered pair; kept in the cache once rendered."""
    import pickle

    from rendered_pairs import rendered_pair

    path = cache / f"{index:04d}.pickle" if cache else None
    if path and path.exists():
        pair = pickle.loads(path.read_bytes())
    else:
        pair = rendered_pair(index)
        if path:
            save(path, pickle.dumps(pair))
    facts = {k: v for k, v in asdict(pair.facts).items() if k != "index"}
    return pair.name, facts, pair.left, pair.right, pair.given, {}, pair.rig.cam1, pair.depth1, (pair.rig.R, pair.rig.t)


def real_cases() -> dict:
    """name -> function of the data folder, as `meshes.CASES`."""
    import meshes

    wide = [("0003", "0004"), ("0004", "0006")]
    cases = {
        f"fountain {a}-{b}, K": lambda data, a=a, b=b: meshes.fountain(data, a, b) for a, b in (*meshes.PAIRS, *wide)
    }
    alone = {
        f"fountain {a}-{b}": lambda data, a=a, b=b: drop(meshes.fountain(data, a, b)) for a, b in (*meshes.PAIRS, *wide)
    }
    cases |= alone
    for name in ("Motorcycle", "eth3d_terrace", "kitti2012_000070"):
        cases[f"{name}, rig"] = lambda data, name=name: meshes.rectified(data, name)
        cases[f"{name}, K"] = lambda data, name=name: with_K(meshes.rectified(data, name), data, name)
        cases[name] = lambda data, name=name: drop(meshes.rectified(data, name))
    return cases | {"demo": meshes.demo}


def drop(case):
    """The case with nothing known."""
    from dataclasses import replace

    return replace(case, rig=None, settings={})


def with_K(case, data: Path, name: str):
    from dataclasses import replace

    from stereo3d.cameras import read_rig

    rig = read_rig(data / "disparity" / name / "calib.txt", (case.left.size, case.right.size))
    return replace(case, rig=replace(rig, R=None, t=None, unit=None), settings={})


def real_case(name: str, data: Path):
    case = real_cases()[name](data)
    settings = {**case.settings, "max_size": REAL_SIZE}
    return name, {}, case.left, case.right, case.rig, settings, case.camera, case.depth, case.pose


def run(task) -> dict:
    """The record of one pair, JSON types only."""
    key, photos, data, quality = task
    import cv2

    import stereo3d
    from stereo3d.errors import StereoError

    cv2.setNumThreads(1)
    reconstruct, Config = stereo3d.reconstruct, stereo3d.Config
    case = rendered_case(key, photos) if isinstance(key, int) else real_case(key, data)
    name, facts, left, right, given, settings, camera, depth, pose = case
    record = {"key": key, "name": name, "facts": facts, "refused": None}
    try:
        result = reconstruct(left, right, given, Config(force=True, **{**quality_fields(quality), **settings}))
    except StereoError as error:
        return record | {"refused": error.code, "message": str(error)}
    except Exception as error:  # a table of failures must hold these too
        return record | {"refused": f"CRASH {type(error).__name__}", "message": str(error)}
    findings = [plain({"code": f.code, "severity": f.severity, "numbers": f.numbers}) for f in result.findings]
    return record | plain(
        {
            "findings": findings,
            "coverage": result.coverage,
            "relative_sigma": result.relative_sigma,
            "inliers": result.view.inliers.sum(),
            "errors": asdict(measure(result, camera, depth, pose)),
            "statistics": statistics(result),
        }
    )


def quality_fields(quality: str) -> dict:
    """The fields of Config that --quality sets."""
    from stereo3d.options import QUALITIES

    return QUALITIES[quality] if quality else {}


def statistics(result) -> dict:
    """What the findings are made from, found or not: to choose thresholds by."""
    from stereo3d import two_view
    from stereo3d.diagnosis import statistics as d

    view, matches = result.view, result.matches
    x1, x2 = matches.x1[view.inliers], matches.x2[view.inliers]
    unit = d.photo_unit(view.rig)
    residual, share = d.homography_residual(x1, x2, unit)
    return {
        "matches": len(matches),
        "nfa": d.false_alarms(matches, view),
        "plane_px": residual / unit,
        "plane_share": share,
        "angle": d.median_parallax_angle(x1, x2, view),
        "direction_sigma": two_view.direction_sigma_deg(x1, x2, view),
        "px_per_degree": two_view.weakest_motion_px(x1, x2, view) / unit,
        "focal_sigma": view.focal_sigma,
        "source": view.rig.cam1.source,
    }


def plain(x):
    """The value with Python's own numbers and lists."""
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, list | tuple | np.ndarray):
        return [plain(v) for v in x]
    return x.item() if isinstance(x, np.generic) else x


def save(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    part.write_bytes(data)
    part.replace(path)


def hash_of(paths) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:10]


def records(keys, label: str, cache: Path | None, data: Path | None, jobs: int, quality: str) -> list[dict]:
    """The records of these pairs, from the cache or from new runs."""
    places = [ROOT / "benchmarks" / name for name in ("rendered_pairs.py", "rendered_scenes.py")]
    photos = cache / f"photos-{hash_of([*places, *ROOT.glob('stereo3d/synthetic/*.py')])}" if cache else None
    found, missing = {}, []
    for key in keys:
        path = record_path(cache, label, key)
        if path and path.exists():
            found[key] = json.loads(path.read_text())
        else:
            missing.append(key)
    with get_context("spawn").Pool(jobs, maxtasksperchild=40) as pool:  # ProcessPoolExecutor's processes end in a wait
        done = pool.imap_unordered(run, [(key, photos, data, quality) for key in missing])
        for count, record in enumerate(done, 1):
            found[record["key"]] = record
            if path := record_path(cache, label, record["key"]):
                save(path, json.dumps(record).encode())
            print(f"{count}/{len(missing)} {row(record)}", file=sys.stderr, flush=True)
    return [found[key] for key in keys]


def record_path(cache: Path | None, label: str, key) -> Path | None:
    return cache / label / f"{key}.json".replace(" ", "_") if cache else None


# ---------------------------------------------------------------------------------------------------------- the table


def verdict_of(record: dict) -> str:
    """The verdict by the present rules; "refused" where the run would have stopped."""
    from stereo3d.diagnosis.verdict import judge
    from stereo3d.records import Finding

    if record["refused"]:
        return "refused"
    findings = [Finding(f["code"], f["severity"], f["code"], f["numbers"]) for f in record["findings"]]
    verdict = judge(findings, record["coverage"], record["relative_sigma"], record["inliers"], None)[0]
    return "refused" if verdict == "none" else verdict


def codes_of(record: dict) -> list[str]:
    if record["refused"]:
        return [record["refused"]]
    return [f["code"] for f in record["findings"] if f["severity"] != "info"]


def above(record: dict, error: float, stretch: float) -> bool:
    e = record["errors"]
    return not (e["error"] <= error and e["stretch"] <= stretch)


def row(record: dict) -> str:
    name, codes = record["name"], ", ".join(codes_of(record))
    if record["refused"]:
        return f"{name:52s} {'refused':8s} {codes}"
    e = record["errors"]
    figures = (
        100 * e["error"],
        e["stretch"],
        e["axes"],
        e["relief"],
        100 * e["beyond"],
        100 * record["relative_sigma"],
    )
    cells = "{:7.2f}{:7.3f}{:7.3f}{:7.3f}{:6.1f}{:8.2f}".format(*figures)
    pose = "{:6.2f}{:7.2f}".format(*e["pose"]) if e["pose"] else " " * 13
    return f"{name:52s} {verdict_of(record):8s}{cells}{pose}{100 * record['coverage']:5.0f}  {codes}"


HEAD = f"{'pair':52s} {'verdict':8s}{'error%':>7s}{'stretch':>7s}{'axes':>7s}{'relief':>7s}{'>5 %':>6s}{'sigma%':>8s}"
HEAD += f"{'R deg':>6s}{'t deg':>7s}{'cover':>5s}  findings"


def summary(rows: list[dict]) -> dict:
    """Counts, and the three bars, of some records."""
    by = {v: [r for r in rows if verdict_of(r) == v] for v in ("good", "fair", "poor", "refused")}
    out: dict = {"pairs": len(rows), **{v: len(r) for v, r in by.items()}}
    for verdict, (error, stretch, _) in BARS.items():
        out[f"{verdict} that are wrong"] = sum(above(r, error, stretch) for r in by[verdict])
    right = [r for r in rows if not r["refused"] and not above(r, *RIGHT[:2])]
    out["right pairs"], out["right pairs called good"] = len(right), sum(verdict_of(r) == "good" for r in right)
    return out


def show_summary(name: str, s: dict) -> None:
    bars = []
    for verdict, (error, stretch, share) in BARS.items():
        wrong, count = s[f"{verdict} that are wrong"], s[verdict]
        met = wrong <= share * count
        bars.append(
            f"{wrong} of {count} {verdict} ({100 * wrong / max(count, 1):.1f} %) above {100 * error:.0f} % / {stretch} "
            f"(bar {100 * share:.0f} %{'' if met else ', MISSED'})"
        )
    good, count = s["right pairs called good"], s["right pairs"]
    bars.append(
        f"good: {good} of {count} right pairs ({100 * good / max(count, 1):.0f} %; bar {100 * RIGHT[2]:.0f} %"
        f"{'' if good >= RIGHT[2] * count else ', MISSED'})"
    )
    print(f"{name:8s}{s['pairs']} pairs, {s['poor']} poor, {s['refused']} refused; " + "; ".join(bars))


def show_codes(rows: list[dict]) -> None:
    """Refusals and warnings by code: count, right pairs among them, median error and stretch."""
    print(f"\n{'code':34s}{'pairs':>6s}{'right':>6s}{'error%':>8s}{'stretch':>8s}{'alone':>6s}{'right':>6s}")
    by: dict[str, list[dict]] = {}
    for record in rows:
        for f in record.get("findings", ()):
            if f["severity"] != "info":
                by.setdefault(f"{f['code']} ({f['severity']})", []).append(record)
        if record["refused"]:
            by.setdefault(f"{record['refused']} (refused)", []).append(record)
    for code, found in sorted(by.items()):
        measured = [r for r in found if not r["refused"]]
        alone = [r for r in measured if len(codes_of(r)) == 1]
        right, right_alone = (sum(not above(r, *RIGHT[:2]) for r in some) for some in (measured, alone))
        error, stretch = (np.median([r["errors"][k] for r in measured] or [np.nan]) for k in ("error", "stretch"))
        print(f"{code:34s}{len(found):6d}{right:6d}{100 * error:8.2f}{stretch:8.3f}{len(alone):6d}{right_alone:6d}")


def short(record: dict) -> dict:
    """What is kept of a record."""
    kept = {"name": record["name"], "verdict": verdict_of(record), "codes": codes_of(record)}
    if record["refused"]:
        return kept
    figures = {k: record["errors"][k] for k in ("error", "beyond", "stretch")} | {"sigma": record["relative_sigma"]}
    return kept | {k: float(f"{v:.3g}") for k, v in figures.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=480, help="rendered pairs")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--only", default="", help="part of the names of the pairs to run")
    parser.add_argument("--real", action="store_true", help="the shared pairs of $STEREO3D_DATA as well")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--quality", default="", help="as of the command line: fast, normal or best")
    parser.add_argument("--cache", type=Path, help="folder that keeps photos and records")
    parser.add_argument("--label", help="of the records in the cache; default: the hash of the code")
    parser.add_argument("--out", type=Path, help="write every pair and the bars, JSON")
    parser.add_argument("--list", action="store_true", help="print every pair, not only the wrong ones")
    arguments = parser.parse_args()
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # of the new processes
    from rendered_pairs import draw, name_of

    keys: list = list(range(arguments.first, arguments.count, arguments.step))
    keys = [k for k in keys if arguments.only in name_of(draw(k))]
    data = Path(os.environ["STEREO3D_DATA"]) if "STEREO3D_DATA" in os.environ else None
    if arguments.real:
        keys += [name for name in real_cases() if arguments.only in name and (data or name == "demo")]
    code = [p for p in ROOT.glob("stereo3d/**/*.py") if p.parts[-2:] != ("diagnosis", "verdict.py")]
    label = arguments.label or hash_of(code)
    label += f"-{arguments.quality}" * bool(arguments.quality)
    rows = records(keys, label, arguments.cache, data, arguments.jobs, arguments.quality)
    print(HEAD)
    for record in rows:
        verdict = verdict_of(record)
        wrong = verdict in BARS and above(record, *BARS[verdict][:2])
        missed = verdict not in ("good", "refused") and not above(record, *RIGHT[:2])
        if arguments.list or wrong or missed:
            print(row(record) + (" WRONG" if wrong else " (right)" if missed else ""))
    show_codes(rows)
    print()
    rendered = [r for r in rows if isinstance(r["key"], int)]
    parts = {"even": [r for r in rendered if r["key"] % 2 == 0], "odd": [r for r in rendered if r["key"] % 2]}
    parts |= {"rendered": rendered, "real": [r for r in rows if not isinstance(r["key"], int)]}
    bars = {name: summary(part) for name, part in parts.items() if part}
    for name, s in bars.items():
        show_summary(name, s)
    if arguments.out:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        record = {"commit": commit.stdout.strip(), "bars": bars, "pairs": [short(r) for r in rows]}
        text = json.dumps(record, indent=None).replace('{"name"', '\n{"name"')
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
