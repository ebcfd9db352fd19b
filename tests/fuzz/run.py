"""Mutated files for every reader: none may crash, hang, fill the memory or raise anything but StereoError.

`python tests/fuzz/run.py --minutes 60 [--readers photo mesh.glb] [--seed 1] [--keep FOLDER]`

Input k of a reader follows from (seed, k) alone. Each reader runs in a process of its own, which notes the number of
the input that it is at: the input at which it dies is the one that killed it.
"""

import argparse
import functools
import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
import corpus  # noqa: E402

CPU_SECONDS = 2.0  # of the processor for one input
CLOCK_SECONDS = 40.0  # on the clock, for a reader that waits
MEMORY = 500_000_000  # bytes more than at the start
MEMORY_DISK = "/dev/shm"  # where the inputs are written, where the system has it
MAX_FINDINGS = 25  # of a reader
OUT_OF_MEMORY, FOUND = 41, 42


@dataclass
class Reader:
    """What is fuzzed: a function that makes its seeds, the name of the file, and the function that reads it."""

    make: Callable[[], list[bytes]]
    name: str
    read: Callable[[Path], object]

    @functools.cached_property
    def seeds(self) -> list[bytes]:
        return self.make()


@dataclass
class Report:
    """What came of a reader: the number of inputs, how many were read, and (input, what) of what must not be."""

    inputs: int = 0
    accepted: int = 0
    findings: list[tuple[int, str]] = field(default_factory=list)


def readers(folder: Path) -> dict[str, Reader]:
    """All readers; `folder` holds the files that theirs name."""
    from stereo3d import read_photo, read_rig
    from stereo3d.batches.manifest import read_manifest
    from stereo3d.evaluation.disparity import read_scene
    from stereo3d.evaluation.pose import read_truth_camera
    from stereo3d.io import read_map, read_textured_mesh
    from stereo3d.io.read_depth import read_depth
    from stereo3d.io.read_points import read_points

    def truth(path: Path) -> object:
        return read_truth_camera(path, "left"), read_truth_camera(path, "right")

    def cloud(path: Path) -> object:
        """By its first bytes, as a mutated file keeps its name."""
        head = path.read_bytes()[:10]
        marks = {b"ply": ".ply", b"# .PCD": ".pcd", b"\x89PNG": ".png", b"v/1": ".exr"}
        suffix = next((suffix for mark, suffix in marks.items() if head.startswith(mark)), ".xyz")
        renamed = path.rename(path.with_suffix(suffix))
        try:
            return (read_depth if suffix in (".png", ".exr") else read_points)(renamed)
        finally:
            renamed.rename(path)

    found = {
        "photo": Reader(corpus.photos, "photo", read_photo),
        "photo.apart": Reader(corpus.photos_apart, "photo.heic", read_photo),
        "calibration": Reader(corpus.calibrations, "calibration.txt", read_rig),
        "truth": Reader(corpus.truths, "cameras.json", truth),
        "pair": Reader(lambda: corpus.pairs(folder), "pair.json", lambda path: read_scene(path.parent)),
    }
    found["cloud"] = Reader(lambda: corpus.clouds(folder), "cloud", cloud)
    found["cloud.apart"] = Reader(lambda: corpus.clouds_apart(folder), "cloud.laz", read_points)
    for suffix in (".csv", ".jsonl"):
        make = functools.partial(corpus.manifests, suffix)
        found[f"list{suffix}"] = Reader(make, f"list{suffix}", lambda path: read_manifest(str(path)))
    for suffix in (".pfm", ".npy", ".npz", ".png", ".tif"):
        found[f"map{suffix}"] = Reader(lambda suffix=suffix: corpus.maps()[suffix], f"map{suffix}", read_map)
    for suffix in (".obj", ".ply", ".glb", ".stl", ".off", ".mtl"):
        make = functools.partial(corpus.meshes, folder, suffix)
        found[f"mesh{suffix}"] = Reader(make, f"m{suffix}", read_textured_mesh)
    found["mesh.mtl"].read = lambda path: read_textured_mesh(path.with_suffix(".obj"))
    return found


def mutated(seeds: list[bytes], seed: int, number: int) -> bytes:
    """Input `number`: a seed with 1 to 8 changes."""
    rng = random.Random(f"{seed} {number}")
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(data) + 1) if rng.random() < 0.5 else rng.randrange(min(len(data), 300) + 1)
        match rng.randrange(9):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                data[at : at + 1] = bytes([data[at] ^ 1 << rng.randrange(8)]) if at < len(data) else b""
            case 2:
                form = rng.choice((">H", "<H", ">I", "<I"))
                value = struct.pack(form, rng.choice(corpus.NUMBERS) % (65536 if form[1] == "H" else 2**32))
                data[at : at + len(value)] = value
            case 3:
                del data[at : at + rng.choice((1, 4, 30, len(data)))]
            case 4:
                end = min(len(data), at + rng.choice((1, 8, 100)))
                data[at:at] = data[at:end] * rng.choice((1, 2, 50))
            case 5:
                data[at:at] = rng.choice(corpus.WORDS)
            case 6:
                word = rng.choice(corpus.WORDS)
                data[at : at + len(word)] = word
            case 7:
                other = rng.choice(seeds)
                start = rng.randrange(len(other) + 1)
                data[at:] = other[start:]
            case 8:
                number_at = [k for k in range(at, min(at + 200, len(data))) if 48 <= data[k] <= 57]
                if number_at:
                    data[number_at[0] : number_at[0] + 1] = rng.choice(corpus.WORDS[:11])
    done = bytes(data[:200_000])
    return corpus.with_checksums(done) if rng.random() < 0.7 else done


def work(name: str, folder: Path, seed: int, start: int, until: float, most: int) -> None:
    """Read inputs from `start` on in this process; the state is kept in the file `state` of the folder."""
    from stereo3d.errors import StereoError
    from stereo3d.pipeline.clock import peak_memory  # of this program alone: ru_maxrss is inherited

    reader = readers(folder)[name]
    path = folder / reader.name
    with open(folder / "state", "r+b") as file:
        state = mmap.mmap(file.fileno(), 16)
    for signals in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(signals, signal.SIG_DFL)
    number = start
    read_once(reader, path, reader.seeds[0])  # imports
    base = peak_memory()
    while number < most and time.time() < until:
        state[:8] = number.to_bytes(8, "little")
        path.write_bytes(mutated(reader.seeds, seed, number))
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        signal.setitimer(signal.ITIMER_REAL, CLOCK_SECONDS)
        try:
            reader.read(path)
            state[8:] = (int.from_bytes(state[8:], "little") + 1).to_bytes(8, "little")
        except StereoError:
            pass
        except BaseException:
            signal.setitimer(signal.ITIMER_PROF, 0)
            (folder / "trace").write_text("".join(traceback.format_exc()[-1500:]))
            os._exit(FOUND)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if peak_memory() - base > MEMORY:
            os._exit(OUT_OF_MEMORY)
        number += 1
    state[:8] = number.to_bytes(8, "little")


def read_once(reader: Reader, path: Path, data: bytes) -> None:
    """Read one input; StereoError passes."""
    from stereo3d.errors import StereoError

    path.write_bytes(data)
    try:
        reader.read(path)
    except StereoError:
        pass


def fuzz(name: str, seconds: float, seed: int = 0, most: int = 10**9, keep: Path | None = None) -> Report:
    """Run a reader for so many seconds, or inputs; the inputs of findings are written into `keep`."""
    report = Report()
    until = time.time() + seconds
    with tempfile.TemporaryDirectory(dir=MEMORY_DISK if os.path.isdir(MEMORY_DISK) else None) as made:
        folder = Path(made)
        (folder / "state").write_bytes(bytes(16))
        start = 0
        while start < most and time.time() < until and len(report.findings) < MAX_FINDINGS:
            arguments = ["--work", name, made, str(seed), str(start), str(until), str(most)]
            code = subprocess.run([sys.executable, __file__, *arguments], stderr=subprocess.PIPE, check=False)
            state = (folder / "state").read_bytes()
            number = int.from_bytes(state[:8], "little")
            report.inputs, report.accepted = number, int.from_bytes(state[8:], "little")
            if code.returncode == 0:
                break
            report.findings.append((number, _what(code, folder)))
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                reader = readers(folder)[name]
                (keep / f"{name}-{seed}-{number}-{reader.name}").write_bytes(mutated(reader.seeds, seed, number))
            start = number + 1
    return report


def _what(code: subprocess.CompletedProcess, folder: Path) -> str:
    if code.returncode == FOUND:
        return (folder / "trace").read_text().strip().splitlines()[-1] + "\n" + (folder / "trace").read_text()
    if code.returncode == OUT_OF_MEMORY:
        return f"more than {MEMORY / 1e6:.0f} MB"
    names = {-signal.SIGPROF: f"more than {CPU_SECONDS} s", -signal.SIGALRM: f"waits for more than {CLOCK_SECONDS} s"}
    return names.get(code.returncode, f"exit {code.returncode}: {code.stderr.decode(errors='replace')[-400:]}")


def main() -> int:
    """Share the minutes among the readers; print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--readers", nargs="*")
    parser.add_argument("--keep", type=Path, default=Path("out/fuzz"))
    parser.add_argument("--work", nargs=6, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        name, folder, seed, start, until, most = given.work
        work(name, Path(folder), int(seed), int(start), float(until), int(most))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        names = given.readers or list(readers(Path(folder)))
    total = failed = 0
    for name in names:
        report = fuzz(name, 60 * given.minutes / len(names), given.seed, keep=given.keep)
        total += report.inputs
        failed += len(report.findings)
        print(
            f"{name:14} {report.inputs:9} inputs, {report.accepted:9} read, {len(report.findings)} findings", flush=True
        )
        for number, what in report.findings:
            print(f"    input {number}: {what}", flush=True)
    print(f"{total} inputs, {failed} findings (files in {given.keep})" if failed else f"{total} inputs, no finding")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
