"""Run a network from an ONNX file in a process with a limit of memory (`network_process`)."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StereoError
from .files import open_file
from .stream import Stream
from .tensors import Tensor

LOAD_SECONDS = 120.0  # on the clock, to start, read the model and optimise it, and a second more for each
LOAD_RATE = 2e6  # bytes of the file
MAX_OUTPUT_BYTES = 4 << 30  # of one output: more is no map of a picture that fits into memory
# Arrays above 1 MB go back to the system when they are freed, so that the next run shows what it takes.
MEMORY_RETURNED = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "1000000", "MALLOC_TRIM_THRESHOLD_": "1000000"}
PROGRAM = Path(__file__).with_name("network_process.py")
INSTALL = "Install onnxruntime, for example by: pip install 'stereo3d[onnx]' (CPU), or pip install onnxruntime-gpu."
_OUT_OF_MEMORY = ("bad_alloc", "Failed to allocate memory", "cannot allocate", "out of memory", "Unable to allocate")


class Network:
    """A loaded model; a context manager that ends its process.

    Parameters
    ----------
    path : Path
        ONNX file. Files of weights that it names lie in its folder.
    provider : {"cpu", "cuda"}
        Where it runs.
    threads : int
        Of the processor.
    memory : int
        Bytes of memory that its process may take; 0: no limit. Not for "cuda", whose driver reserves address space.

    Attributes
    ----------
    inputs, outputs : list of Tensor
    metadata : dict of str to str
        What the file says of itself.
    peak : int
        Bytes by which the process grew in the last run, 0 where the system does not say.
    weights : int
        Bytes by which it grew when it loaded the model.

    Raises
    ------
    StereoError
        "file_missing", "bad_model", "library_missing".
    """

    def __init__(self, path: Path, *, provider: str = "cpu", threads: int = 1, memory: int = 0) -> None:
        self.path, self.peak = path, 0
        with open_file(path, "bad_model") as file:
            size = os.fstat(file.fileno()).st_size
        given = {
            "path": sys.path,
            "model": os.fspath(path.absolute()),
            "provider": provider,
            "threads": threads,
            "memory": 0 if provider == "cuda" else int(memory),
        }
        program = [sys.executable, "-I", "-S", str(PROGRAM), json.dumps(given)]
        env = {**os.environ, **MEMORY_RETURNED, "OMP_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, close_fds=True
        )
        try:
            self._stream = Stream(self._process, "onnxruntime")
            stated = self._stated(LOAD_SECONDS + size / LOAD_RATE)
            self.inputs, self.outputs = (
                [Tensor(t["name"], t["kind"], tuple(t["shape"])) for t in stated[which]]
                for which in ("inputs", "outputs")
            )
            self.metadata: dict[str, str] = stated["metadata"]
            self.weights: int = stated["held"]
        except BaseException:
            self.close()
            raise

    def _stated(self, seconds: float) -> dict[str, Any]:
        try:
            stated = self._stream.line(seconds)
        except OSError as error:
            raise self._failure("cannot be loaded", str(error)) from None
        if "missing" in stated:
            raise StereoError(
                "library_missing", f"networks need onnxruntime, which cannot be loaded: {stated['missing']}.", INSTALL
            )
        return stated

    def run(self, arrays: dict[str, np.ndarray], outputs: list[str]) -> list[np.ndarray]:
        """Return the outputs of these names.

        Raises
        ------
        StereoError
            "bad_model" where the run fails, "memory" where it takes too much.
        """
        entries = [{"name": n, "type": a.dtype.name, "shape": a.shape} for n, a in arrays.items()]
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps({"inputs": entries, "outputs": outputs}).encode() + b"\n")
            for array in arrays.values():
                stdin.write(np.ascontiguousarray(array).reshape(-1).data.cast("B"))
            stdin.flush()
        except OSError:
            pass  # the process has ended; why, its output says
        try:
            reply = self._stream.line(None)
            found = []
            for entry in reply["outputs"]:
                kind, shape = np.dtype(entry["type"]), [int(n) for n in entry["shape"]]
                size = math.prod(shape) * kind.itemsize
                if min(shape, default=0) < 0 or size > MAX_OUTPUT_BYTES:
                    raise OSError(f"its output {entry['name']!r} has the shape {shape}")
                data = bytearray(size)
                self._stream.fill(data, None)
                found.append(np.frombuffer(data, kind).reshape(shape))
        except OSError as error:
            raise self._failure("failed when it was run", str(error), entries) from None
        self.peak = int(reply["peak"])
        return found

    def _failure(self, what: str, why: str, entries: list[dict[str, Any]] | None = None) -> StereoError:
        given = ", ".join(f"{e['name']} {' x '.join(map(str, e['shape']))}" for e in entries or ())
        what_for = f" for {given}" if given else ""
        if any(word.lower() in why.lower() for word in _OUT_OF_MEMORY):
            return StereoError(
                "memory",
                f"{self.path}: the network needs more memory than it may take{what_for}: {why}.",
                "Free memory, allow more, use a smaller --max-size, or run it by strips: -O matcher.rows=256.",
            )
        advice = "Check that it is an ONNX model, complete with the files of weights that it names, and that it runs"
        return StereoError(
            "bad_model",
            f"{self.path}: the network {what}{f' with {given}' if given else ''}: {why.rstrip('.')}.",
            f"{advice} in onnxruntime by itself.",
        )

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    pass  # bytes that it did not read any more

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
