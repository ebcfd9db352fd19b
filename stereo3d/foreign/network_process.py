"""A program of its own: load an ONNX model and run it with a limit of memory (see `network`).

It imports nothing of the package. Argument: a JSON object of `path` (for imports), `model`, `provider`, `threads` and
`memory`. It writes a line of JSON with what the model states. Then, until its input ends, it reads a line of JSON with
the inputs' names, types and shapes, and their bytes; and writes the outputs alike, or a line with `error`.
"""

import json
import os
import sys
from typing import Any

TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
}
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
MAX_TEXT = 2000  # characters of an error, and of each entry of the metadata
MAX_ENTRIES = 1000  # inputs, outputs, dimensions, entries of the metadata
THREAD_BYTES = 160_000_000  # of address space for each thread: its stack, and an arena of the allocator


def limit(memory: int, threads: int) -> None:
    """Set the limits of this process: so many bytes more than it has now, no file, no core."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # another system than Linux
        return
    if memory:
        most = used + memory + THREAD_BYTES * threads
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


def end_with_parent() -> None:
    """Have Linux kill this process when its parent dies, in the middle of a run too."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL


def held(name: str = "VmRSS") -> int:
    """Bytes that this process holds, or with "VmHWM" the most that it has held; 0 where the system does not say."""
    try:
        with open("/proc/self/status") as file:
            line = next(line for line in file if line.startswith(name))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        return 0


def forget_peak() -> None:
    """Let "VmHWM" begin anew."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def tell(value: dict[str, Any]) -> None:
    """Write a line of JSON."""
    sys.stdout.buffer.write(json.dumps(value).encode() + b"\n")
    sys.stdout.buffer.flush()


def text_of(error: BaseException) -> str:
    """The text of an error, on one line."""
    return " ".join((str(error) or type(error).__name__).split())[:MAX_TEXT]


def open_session(given: dict[str, Any]) -> Any:
    """The session of the model: sequential, deterministic, without an arena, so that memory shows what it needs."""
    import onnxruntime  # pyright: ignore[reportMissingImports] - an extra

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = given["threads"]
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted = PROVIDERS[given["provider"]]
    if wanted not in onnxruntime.get_available_providers():
        there = ", ".join(onnxruntime.get_available_providers())
        raise RuntimeError(f"this onnxruntime has no {wanted}, only {there}")
    return onnxruntime.InferenceSession(given["model"], options, providers=[wanted])


def stated(nodes: Any) -> list[dict[str, Any]]:
    """Name, type and shape of inputs or outputs; a dimension is a number, a name or None."""
    return [{"name": n.name, "kind": n.type, "shape": list(n.shape)[:MAX_ENTRIES]} for n in list(nodes)[:MAX_ENTRIES]]


def read_inputs(stream: Any, entries: list[dict[str, Any]]) -> dict[str, Any]:
    """The arrays of a run."""
    import numpy as np

    arrays = {}
    for entry in entries:
        array = np.empty(entry["shape"], entry["type"])
        view = array.reshape(-1).data.cast("B") if array.size else memoryview(b"")
        at = 0
        while at < len(view):
            count = stream.readinto(view[at:])
            if not count:
                raise EOFError
            at += count
        arrays[entry["name"]] = array
    return arrays


def answer(session: Any, request: dict[str, Any], stream: Any) -> None:
    """Run the model once and write the outputs that were asked for."""
    import numpy as np

    arrays = read_inputs(stream, request["inputs"])
    before = held()
    forget_peak()
    outputs = session.run(request["outputs"], arrays)
    entries = []
    for name, array in zip(request["outputs"], outputs, strict=True):
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
            raise TypeError(f"the output {name!r} is no array of numbers")
        entries.append({"name": name, "type": array.dtype.name, "shape": list(array.shape)})
    tell({"outputs": entries, "peak": max(0, held("VmHWM") - before)})
    for array in outputs:
        sys.stdout.buffer.write(np.ascontiguousarray(array).reshape(-1).data.cast("B") if array.size else b"")
    sys.stdout.buffer.flush()


def main() -> None:
    """Load, tell, and run until the input ends."""
    given = json.loads(sys.argv[1])
    sys.path[:] = given["path"]
    end_with_parent()
    try:
        import onnxruntime  # pyright: ignore[reportMissingImports] - an extra
    except (ImportError, OSError) as error:
        tell({"missing": text_of(error)})
        return
    limit(given["memory"], given["threads"])
    try:
        before = held()
        session = open_session(given)
        metadata = session.get_modelmeta().custom_metadata_map
        tell(
            {
                "version": onnxruntime.__version__,
                "inputs": stated(session.get_inputs()),
                "outputs": stated(session.get_outputs()),
                "metadata": {str(k): str(v)[:MAX_TEXT] for k, v in list(metadata.items())[:MAX_ENTRIES]},
                "held": max(0, held() - before),
            }
        )
    except Exception as error:
        tell({"error": text_of(error)})
        return
    stream = sys.stdin.buffer
    for line in iter(stream.readline, b""):
        try:
            answer(session, json.loads(line), stream)
        except (BrokenPipeError, EOFError):
            return
        except Exception as error:
            tell({"error": text_of(error)})


if __name__ == "__main__":
    try:
        main()
    finally:
        try:
            sys.stdout.flush()
        except OSError:
            pass
        os._exit(0)  # the runtime's threads are not waited for
