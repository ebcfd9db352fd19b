"""Write the list of kernels that `stereo3d warmup` compiles: `python tests/install/record_kernels.py`.

It runs the program and notes which kernels Python calls, with which types, in order. Run it again after a change of a
kernel's arguments; `test_warmup.py` fails where the list lacks one.
"""

import contextlib
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
from numba import types

from stereo3d.kernel_cache import Kernel

LIST = Path(__file__).parents[2] / "stereo3d" / "install" / "kernels.txt"
DEMO = Path(__file__).parents[2] / "data" / "demo"
HEAD = """\
# The kernels that Python calls: module and name, types of the arguments, in the order of a run.
# Those of a run with the usual methods come first, those of all others after the empty line.
# Written by tests/install/record_kernels.py.
"""


def recorded(work) -> list[str]:
    """Do the work; return a line for each kernel that Python has called first in it, in order."""
    lines, thread = {}, threading.local()
    compile_kernel = Kernel.compile

    def compile_and_note(kernel, signature):
        caller = getattr(thread, "caller", None)  # the kernel that is being compiled calls this one
        if caller is None and kernel.py_func.__module__.startswith("stereo3d."):
            lines[line_of(kernel, signature)] = None
        thread.caller = kernel
        try:
            return compile_kernel(kernel, signature)
        finally:
            thread.caller = caller

    Kernel.compile = compile_and_note
    try:
        work()
    finally:
        Kernel.compile = compile_kernel
    return list(lines)


def line_of(kernel: Kernel, signature) -> str:
    arguments = [text_of(t) for t in (signature if isinstance(signature, tuple) else signature.args)]
    return f"{name_of(kernel.py_func)} {', '.join(arguments)}"


def name_of(thing) -> str:
    return f"{thing.__module__}.{thing.__name__}".removeprefix("stereo3d.")


def text_of(t: types.Type) -> str:
    """Return the Python expression of a type, for `warmup.compile_kernel`."""
    if isinstance(t, types.Array):
        if not t.mutable or not t.aligned:
            return f"Array({t.dtype}, {t.ndim}, {t.layout!r}, readonly={not t.mutable}, aligned={t.aligned})"
        dimensions = [":"] * t.ndim
        if t.layout != "A":
            dimensions[-1 if t.layout == "C" else 0] = "::1"
        return f"{text_of(t.dtype)}[{','.join(dimensions)}]"
    if isinstance(t, types.BaseNamedTuple):
        return f"named({name_of(t.instance_class)!r}, {', '.join(map(text_of, t))})"
    if isinstance(t, types.UniTuple):
        return f"UniTuple({text_of(t.dtype)}, {t.count})"
    if isinstance(t, types.BaseTuple):
        return f"Tuple([{', '.join(map(text_of, t))}])"
    if isinstance(t, types.Omitted):
        return f"Omitted({t.value!r})"
    return {"bool": "boolean"}.get(str(t), str(t))


def usual_run() -> None:
    """What `make demo` does."""
    from stereo3d.cli.entry_point import main

    with tempfile.TemporaryDirectory() as folder:
        photos = [str(DEMO / f"{side}.jpg") for side in ("left", "right")]
        assert main([*photos, "-o", f"{folder}/demo.obj", "--preview", f"{folder}/demo.png", "--quiet"]) == 0


def everything_else() -> None:
    """All other methods and choices."""
    matchers()
    photos_to_mesh()
    detectors()


def matchers() -> None:
    """Every matcher with every choice of its options, matching by planes from a reduced pair, and sharpening."""
    import cv2

    from stereo3d.disparity.matching import compute_disparities
    from stereo3d.disparity.methods import MATCHERS, match_planes
    from stereo3d.disparity.planes.pyramid import Budget
    from stereo3d.disparity.sharpening import sharpen
    from stereo3d.options import options_of
    from stereo3d.records import DisparityMap, RectifiedPair

    height, width = 96, 128
    noise = np.random.default_rng(0).integers(0, 256, (height, width + 16, 3)).astype(np.uint8)
    noise = cv2.GaussianBlur(noise, ksize=(0, 0), sigmaX=0.8)
    truth = np.full((height, width), 3, np.float32)
    truth[height // 2 :] = 6
    right = np.concatenate([noise[: height // 2, 3 : width + 3], noise[height // 2 :, 6 : width + 6]])
    identity = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    pair, d_range = RectifiedPair(noise[:, :width].copy(), right, identity, identity), (0, 9)
    for name, matcher in MATCHERS.items():
        choices = [{o.name: c} for o in options_of(matcher).values() for c in o.choices]
        for options in choices or [{}]:
            compute_disparities(pair, d_range, method=name, dense=True, **options)
    match_planes(Budget(6000, 10**8, 2, 2), pair.left, pair.right, *d_range)
    sharpen(DisparityMap(truth, np.ones_like(truth), np.full_like(truth, 0.05)), pair, d_range)


def photos_to_mesh() -> None:
    """Known and unknown cameras, sideways and forward motion, all meshers, all file formats, a report's mesh."""
    from stereo3d.errors import StereoError
    from stereo3d.io.write_mesh import WRITERS
    from stereo3d.mesh.meshers import MESHERS
    from stereo3d.mesh.preview import preview
    from stereo3d.output.html.scene import parts_of_result
    from stereo3d.pipeline.config import Config
    from stereo3d.pipeline.run import reconstruct
    from stereo3d.records import Rig
    from stereo3d.synthetic.renderer import render

    for scene, known in (("handheld", True), ("handheld", False), ("forward", True)):
        pair = render(scene, size=(480, 360))
        rig = Rig(pair.rig.cam1, pair.rig.cam2) if known else None
        result = reconstruct(pair.left, pair.right, rig, Config(force=True))
    with tempfile.TemporaryDirectory() as folder:
        for suffix in WRITERS:
            result.save(Path(folder) / f"mesh{suffix}")
        result.save_points(Path(folder) / "points.ply")
    preview(result.mesh, result.view.rig.cam1)
    parts_of_result(result, len(result.mesh.faces) // 2)  # of a large mesh the report shows fewer faces
    for name in MESHERS:
        with contextlib.suppress(StereoError):  # no Open3D here
            reconstruct(pair.left, pair.right, rig, Config(force=True, mesher=name))


def detectors() -> None:
    """Every detector."""
    from stereo3d.features.detectors import DETECTORS
    from stereo3d.features.matching import match_features
    from stereo3d.synthetic.renderer import render

    pair = render("handheld", size=(480, 360))
    for name in DETECTORS:
        match_features(pair.left, pair.right, method=name)


def main() -> None:
    """Write the list, or with an argument print one of its parts."""
    parts = {"usual": usual_run, "else": everything_else}
    if len(sys.argv) > 1:
        print("\n".join(recorded(parts[sys.argv[1]])))
        return
    found = []
    for part in parts:
        command = [sys.executable, __file__, part]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)  # what is not compiled yet hides what it calls
        found.append(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines())
    usual, more = found
    LIST.write_text("\n".join([HEAD.rstrip(), *usual, "", *(line for line in more if line not in usual), ""]), "utf-8")


if __name__ == "__main__":
    main()
