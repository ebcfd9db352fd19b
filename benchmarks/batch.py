"""Many pairs: throughput on one and two workers and in a shell loop, overhead of a pair, planning of long lists.

    python benchmarks/batch.py --pairs 100                # the whole table: hours on two cores
    python benchmarks/batch.py --plan-only                # planning and simulated tasks: some minutes
    python benchmarks/batch.py --out benchmarks/results/batch.json

Photos are rendered. The tasks of the second part write a record and take 1 ms.
"""

import argparse
import csv
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCENES = ("handheld", "sphere", "bars", "vertical")
LENGTHS = (1000, 10_000, 100_000)


def simulated(job):
    """A task of 1 ms that writes the record of its pair."""
    from stereo3d.batches.places import record_bytes, write_files
    from stereo3d.batches.plan import FORM
    from stereo3d.batches.records import DONE, STATUS

    time.sleep(0.001)
    facts = {"form": FORM, "name": job.pair.name, "state": DONE, "batch": job.batch, "key": job.key, "files": []}
    facts |= {
        "inputs": {role: {"file": file} for role, file in job.inputs.items()},
        "verdict": "good",
        "seconds": 0.001,
    }
    write_files(job.out, [(STATUS, record_bytes(facts))])
    return {"facts": facts, "kept": False, "thumb": None}


def make_photos(folder: Path, pairs: int, width: int) -> None:
    from PIL import Image

    from stereo3d.synthetic.renderer import render

    rendered = [render(scene, size=(width, width * 3 // 4), supersample=2) for scene in SCENES]
    for k in range(pairs):
        pair = rendered[k % len(SCENES)]
        for side, photo in (("L", pair.left), ("R", pair.right)):
            image = Image.fromarray(photo.pixels)
            image.putpixel((0, 0), (k % 256, k // 256, 0))  # another content
            image.save(folder / f"p{k:04}_{side}.png")


def measure_batch(photos: Path, workers: int, options: list[str]) -> dict[str, float]:
    """Seconds of a batch, and of its pairs in the workers."""
    with tempfile.TemporaryDirectory() as out:
        command = [
            sys.executable,
            "-m",
            "stereo3d.cli",
            "batch",
            str(photos),
            "-o",
            out,
            "--workers",
            str(workers),
            "-q",
        ]
        start = time.perf_counter()
        done = subprocess.run([*command, *options], stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - start
        records = [json.loads(path.read_text()) for path in Path(out).glob("*/pair.json")]
    run = sum(sum(record.get("stages", {}).values()) for record in records)
    seconds = sum(record.get("seconds", 0.0) for record in records)
    failed = sum(record["state"] != "done" for record in records)
    return {
        "wall_s": wall,
        "code": done.returncode,
        "pairs": len(records),
        "failed": failed,
        "in_pairs_s": seconds,
        "in_stages_s": run,
        "beside_pairs_ms": 1000 * max(0.0, wall * workers - seconds) / max(1, len(records)),
    }


def measure_loop(photos: Path, options: list[str]) -> dict[str, float]:
    """Seconds of single runs, one after the other."""
    lefts = sorted(photos.glob("*_L.png"))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        for left in lefts:
            right = left.with_name(left.name.replace("_L", "_R"))
            files = ["-o", f"{out}/{left.stem}.glb", "--json", f"{out}/{left.stem}.json", "-q"]
            subprocess.run([sys.executable, "-m", "stereo3d.cli", str(left), str(right), *files, *options])
    return {"wall_s": time.perf_counter() - start, "pairs": len(lefts)}


PLAN = """
import json, resource, sys, time
from stereo3d.batches.plan import Request
from stereo3d.batches.run import planned
from stereo3d.batches.sources import find_pairs
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start, busy = time.perf_counter(), time.process_time()
found, base = find_pairs([sys.argv[1]])
batch = planned(found.pairs, Request(out=sys.argv[2], base=base))
seconds, busy = time.perf_counter() - start, time.process_time() - busy
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": seconds, "cpu_s": busy, "to_do": len(batch.plan.to_do), "kept": len(batch.plan.kept),
                  "peak_mb": peak / 1024, "grown_mb": (peak - before) / 1024}))
"""


def measure_plan(folder: Path, length: int, workers: int, most: int) -> dict:
    """Planning of a list, its simulated tasks, and planning again when all are done."""
    listed, out = folder / f"{length}.csv", folder / f"out{length}"
    with open(listed, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["left", "right", "baseline"])
        writer.writerows([f"/none/p{k}_L.png", f"/none/p{k}_R.png", 0.1 + (k % 100) / 1000] for k in range(length))

    def plan() -> dict:
        done = subprocess.run([sys.executable, "-c", PLAN, listed, out], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    found = {"entries": length, "plan": plan()}
    if length <= most:
        from batch import simulated as task  # by the name of its module, which workers import

        from stereo3d.batches.plan import Request
        from stereo3d.batches.run import Engine, planned
        from stereo3d.batches.sources import find_pairs

        pairs, base = find_pairs([str(listed)])
        batch = planned(pairs.pairs, Request(out=str(out), base=base), Engine(workers=workers), function=task)
        batch.expected = None
        start, busy = time.perf_counter(), time.process_time()
        count = sum(1 for _ in batch.outcomes())
        found["tasks"] = {"seconds": time.perf_counter() - start, "cpu_s": time.process_time() - busy, "pairs": count}
        found["tasks"]["ms_each"] = 1000 * found["tasks"]["seconds"] / count
        found["again"] = plan()
    shutil.rmtree(out, ignore_errors=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--width", type=int, default=800)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--matcher", default="planes_fast")
    parser.add_argument("--plan-only", action="store_true")
    parser.add_argument("--most", type=int, default=100_000, help="simulated tasks at most")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "python": platform.python_version()}
    found["load"] = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not given.plan_only:
            photos, options = folder / "photos", ["--matcher", given.matcher]
            photos.mkdir()
            make_photos(photos, given.pairs, given.width)
            measure_batch(photos, given.workers, [*options, "--limit", "1"])  # compile kernels before
            found["throughput"] = {
                "width": given.width,
                "matcher": given.matcher,
                "two": measure_batch(photos, given.workers, options),
                "one": measure_batch(photos, 1, options),
                "loop": measure_loop(photos, options),
            }
            two, one, loop = (found["throughput"][kind]["wall_s"] for kind in ("two", "one", "loop"))
            print(
                f"{given.pairs} pairs of {given.width} px: {given.workers} workers {two:.1f} s, one {one:.1f} s, ",
                end="",
            )
            print(
                f"single runs {loop:.1f} s; {one / two:.2f} times one worker, {loop / two:.2f} times the loop",
                flush=True,
            )
            print(f"beside a pair: {found['throughput']['one']['beside_pairs_ms']:.0f} ms, start included", flush=True)
        found["planning"] = []
        print(f"{'entries':>8} {'plan s':>8} {'of CPU':>8} {'peak MB':>8} {'ms a task':>10} {'again s':>8}")
        for length in LENGTHS:
            row = measure_plan(folder, length, given.workers, given.most)
            found["planning"].append(row)
            each = f"{row['tasks']['ms_each']:.2f}" if "tasks" in row else ""
            again = f"{row['again']['seconds']:.2f}" if "again" in row else ""
            plan = row["plan"]
            print(
                f"{length:8} {plan['seconds']:8.2f} {plan['cpu_s']:8.2f} {plan['peak_mb']:8.0f} {each:>10} {again:>8}",
                flush=True,
            )
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
