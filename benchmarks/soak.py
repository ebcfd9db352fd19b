"""Many runs in one process: seconds, resident memory and open files of each; ends with 1 if memory grows.

    python benchmarks/soak.py [RUNS]      (default 200; a small rendered pair, photos to files, about a second a run)

Memory is compared after a warm-up of a tenth of the runs: the medians of the next and of the last tenth.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from stereo3d.cli import main
from stereo3d.pipeline.clock import ProcessPeak, resident_memory
from stereo3d.synthetic import render, write

LIMIT = 1.05  # growth of the resident memory


def options(folder: Path) -> list[str]:
    """Return the options of a run that writes all there is."""
    files = {"-o": "m.obj", "--report": "r.html", "--json": "f.json", "--save-stages": "stages", "--points": "p.ply"}
    named = [word for option, name in files.items() for word in (option, str(folder / name))]
    return [*named, "--calib", str(folder / "rig.json"), "--mesher", "grid"]


def soak(runs: int, size: tuple[int, int] = (320, 240), report=print) -> tuple[list[int], list[int]]:
    """Reconstruct and save one pair again and again; return resident memory (bytes) and open files after each run."""
    memory, files = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write.write_pair(folder, render("handheld", size=size))
        for run in range(runs):
            start = time.perf_counter()
            code = main([str(folder / "left.png"), str(folder / "right.png"), "-q", *options(folder)])
            assert code == 0, code
            ProcessPeak().stop()  # gives freed memory back to the system
            memory.append(resident_memory())
            files.append(len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0)
            report(
                f"{run:4d}  {time.perf_counter() - start:6.2f} s  {memory[-1] / 2**20:7.1f} MB  {files[-1]} open files"
            )
    return memory, files


def growth(memory: list[int]) -> float:
    """Return the ratio of memory at the end to memory after the warm-up."""
    part = max(1, len(memory) // 10)
    return statistics.median(memory[-part:]) / statistics.median(memory[part : 2 * part])


if __name__ == "__main__":
    memory, files = soak(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
    print(
        f"memory x {growth(memory):.3f} after {len(memory)} runs (limit {LIMIT}), open files {files[0]} -> {files[-1]}"
    )
    sys.exit(growth(memory) > LIMIT or files[-1] > files[1])
