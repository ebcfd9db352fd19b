"""How a run grows with its photos, what a second core gives, and how far it is from what memory allows.

    python benchmarks/whole_run.py --growth [MP ...] --cores      (the tables of this module, after that of the stages)

Growth: the photos of the input, resized to that many megapixels and matched at their own size. Slope: of log seconds
and log peak memory over log megapixels by least squares; 1 is linear. The features stop growing at `MAX_FEATURE_SIZE`.

Cores: the input as it is, bound to so many of the processors that this process may use.

Limit: the bytes of all that enters, leaves or passes between the stages, each written and read once, over the memory
bandwidth measured by copying 256 MB on every core: seconds that no program with these stages can undercut.
"""

import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

MEGAPIXELS = (0.5, 1, 2, 4, 8, 16, 32)
COPIED = 256 << 20  # bytes, of the measurement of bandwidth
REPEATS = 5


def resized(photos, K, megapixels: float, folder: Path):
    """Paths of the photos at that many megapixels, their K and the longer side, px."""
    import cv2

    paths, cameras = [], []
    for photo, intrinsics in zip(photos, K, strict=True):
        pixels = cv2.imread(str(photo))
        height, width = pixels.shape[:2]
        scale = (megapixels * 1e6 / (height * width)) ** 0.5
        size = round(width * scale), round(height * scale)
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        path = folder / f"{megapixels:g}_{Path(photo).stem}.jpg"
        cv2.imwrite(str(path), cv2.resize(src=pixels, dsize=size, interpolation=way))
        sx, sy = size[0] / width, size[1] / height
        A = np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]])
        paths.append(path)
        cameras.append((A @ np.array(intrinsics)).tolist())
    return paths, cameras, max(size)


def growth(run, photos, K, megapixels) -> list[dict]:
    """Seconds and peak memory at each size; run(left, right, K1, K2, max_size) -> the stages, or a message."""
    rows = []
    print(f"\n{'growth':14s}{'seconds':>12s}{'peak MB':>12s}{'s / MP':>12s}{'MB / MP':>12s}")
    with tempfile.TemporaryDirectory() as scratch:
        for size in megapixels:
            paths, cameras, side = resized(photos, K, size, Path(scratch))
            stages = run(*paths, *cameras, side)
            if isinstance(stages, str):
                print(f"{size:g} MP failed: {stages}", flush=True)
                continue
            seconds, peak = sum(s["seconds"] for s in stages), max(s["peak_mb"] for s in stages)
            rows.append({"megapixels": size, "seconds": seconds, "peak_mb": peak, "stages": stages})
            line = f"{size:<11g} MP{seconds:12.2f}{peak:12.0f}{seconds / size:12.2f}{peak / size:12.0f}"
            print(line, flush=True)
    if len(rows) > 1:
        x = np.log([row["megapixels"] for row in rows])
        slopes = [np.polyfit(x, np.log([row[name] for row in rows]), 1)[0] for name in ("seconds", "peak_mb")]
        last = [
            np.diff(np.log([row[name] for row in rows[-2:]]))[0] / np.diff(x)[-1] for name in ("seconds", "peak_mb")
        ]
        print(f"{'slope':14s}" + "".join(f"{s:12.2f}" for s in slopes))
        print(f"{'last doubling':14s}" + "".join(f"{s:12.2f}" for s in last), flush=True)
    return rows


def cores(run, photos, K, max_size: int, repeat: int) -> dict[str, float]:
    """Seconds with one core and with more, and how many times as fast; run as of `growth`."""
    if not hasattr(os, "sched_setaffinity"):
        return {}
    every = sorted(os.sched_getaffinity(0))
    counts = sorted({1, min(2, len(every)), len(every)})
    seconds = {count: [] for count in counts}
    try:
        for _ in range(repeat):
            for count in counts:
                os.sched_setaffinity(0, every[:count])  # the new process inherits it
                stages = run(*photos, *K, max_size)
                if not isinstance(stages, str):
                    seconds[count].append(sum(s["seconds"] for s in stages))
    finally:
        os.sched_setaffinity(0, every)
    found = {str(count): float(np.median(times)) for count, times in seconds.items() if times}
    print(f"\n{'cores':14s}{'seconds':>12s}{'speed-up':>12s}")
    for count, value in found.items():
        print(f"{count:14s}{value:12.2f}{found.get('1', np.nan) / value:12.2f}", flush=True)
    return found


def passed_bytes(result, photos, files) -> dict[str, int]:
    """Bytes of a run that must be read and written once: files, photos, and the arrays between the stages."""
    pair, mesh = result.pair, result.mesh
    arrays = {
        "photos": [result.left.pixels, result.right.pixels],
        "pair": [pair.left, pair.right, pair.map1, pair.map2],
        "maps": [result.disparity, result.confidence, result.points, result.sigma],
        "mesh": [mesh.vertices, mesh.faces, mesh.uv, mesh.sigma],
        "texture": [part.texture for part in mesh.textured_parts()],
    }
    found = {name: sum(a.nbytes for a in group if a is not None) for name, group in arrays.items()}
    return {"files": sum(Path(path).stat().st_size for path in (*photos, *files)), **found}


def bandwidth() -> float:
    """Bytes per second that all cores together read and write when they copy."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    source, target = (np.ones(COPIED // 8) for _ in range(2))
    parts = np.array_split(np.arange(len(source)), threads)
    best = np.inf
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(REPEATS):
            start = time.perf_counter()
            list(pool.map(lambda p: np.copyto(target[p[0] : p[-1] + 1], source[p[0] : p[-1] + 1]), parts))
            best = min(best, time.perf_counter() - start)
    return 2 * COPIED / best


def limit(passed: dict[str, int], seconds: float) -> dict[str, float]:
    """Print and return the share of the physical limit."""
    rate, total = bandwidth(), sum(passed.values())
    least = 2 * total / rate
    parts = ", ".join(f"{name} {count / 1e6:.0f}" for name, count in passed.items())
    print(
        f"\nlimit: {total / 1e6:.0f} MB ({parts}) written and read once at {rate / 1e9:.1f} GB/s: {least:.3f} s, ",
        end="",
    )
    print(f"{100 * least / seconds:.1f} % of the run", flush=True)
    return {"bytes": total, "bytes_per_second": rate, "seconds": least, "share": least / seconds}
