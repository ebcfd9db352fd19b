"""Compile every kernel ahead of time, for a container's image or a first run as quick as the second.

numba compiles a kernel at its first call and caches it (`stereo3d doctor` shows the folder). `warm_up` calls all
kernels: it runs the whole program on small rendered pairs. `help_with` calls the kernels of single stages with
synthetic values, in a process of its own, while a first run is still at earlier stages.
"""

import contextlib
import gc
import json
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from ..errors import StereoError
from ..records import Camera, DisparityMap, Photo, RectifiedPair, Rig, TwoView
from .compiling import Compiling, Helpers, end_with_parent


def warm_up(report: Callable[[str, Compiling], None] = lambda part, found: None, *, helped: bool = False) -> Compiling:
    """Call every kernel once; return the count of compiled kernels.

    A part that cannot run here because a library is missing is left out.

    Parameters
    ----------
    report : callable
        Called as report(part, found) after each part.
    helped : bool
        Compile in helper processes as well where there are cores for them; their kernels are counted at the end.
    """
    with Helpers() as helpers, Compiling(lambda: helpers.start(FOR_WARM_UP if helped else ())) as found:
        for part, work in PARTS.items():
            with contextlib.suppress(StereoError):
                work()
            report(part, found)
        kernels, seconds = helpers.wait()
        found.kernels, found.seconds = found.kernels + kernels, found.seconds + seconds
    return found


def _matchers() -> None:
    """Run every matcher with every choice of its options, matching by planes from a reduced pair, and sharpening."""
    from ..disparity.matching import compute_disparities
    from ..disparity.methods import MATCHERS, match_planes
    from ..disparity.planes.pyramid import Budget
    from ..disparity.sharpening import sharpen
    from ..options import options_of

    pair, truth = _synthetic_pair()
    for name, matcher in MATCHERS.items():
        choices = [{o.name: c} for o in options_of(matcher).values() for c in o.choices]
        for options in choices or [{}]:
            compute_disparities(pair, RANGE, method=name, dense=True, **options)
    match_planes(Budget(6000, 10**8, 2, 2), pair.left, pair.right, *RANGE)
    sharpen(DisparityMap(truth, np.ones_like(truth), np.full_like(truth, 0.05)), pair, RANGE)


def _photos_to_mesh() -> None:
    """Run known and unknown cameras, sideways and forward motion, both meshers, all file formats, a report's mesh."""
    from ..io.atomic import scratch_folder
    from ..io.write_mesh import WRITERS
    from ..mesh.meshers import MESHERS
    from ..mesh.preview import preview
    from ..output.html.scene import parts_of_result
    from ..pipeline.config import Config
    from ..pipeline.run import reconstruct
    from ..synthetic.renderer import render

    with scratch_folder() as folder:
        for scene, known in (("handheld", True), ("handheld", False), ("forward", True)):
            pair = render(scene, size=(480, 360))
            rig = Rig(pair.rig.cam1, pair.rig.cam2) if known else None
            result = reconstruct(pair.left, pair.right, rig, Config(force=True))
        for suffix in WRITERS:
            result.save(folder / f"mesh{suffix}")
        result.save_points(folder / "points.ply")
        preview(result.mesh, result.view.rig.cam1)
        parts_of_result(result, len(result.mesh.faces) // 2)  # of a large mesh the report shows fewer faces
        for name in MESHERS:
            with contextlib.suppress(StereoError):  # no Open3D here
                reconstruct(pair.left, pair.right, rig, Config(force=True, mesher=name))


def _detectors() -> None:
    """Run every detector."""
    from ..features.detectors import DETECTORS
    from ..features.matching import match_features
    from ..synthetic.renderer import render

    pair = render("handheld", size=(480, 360))
    for name in DETECTORS:
        match_features(pair.left, pair.right, method=name)


PARTS = {"photos to mesh": _photos_to_mesh, "detectors": _detectors, "matchers": _matchers}


def help_with(parts: list[str]) -> None:
    """Compile these `STAGES` in turn, in a helper process; print a line of JSON for each.

    numba compiles a kernel for the types of its arguments, so each stage gets values of the types of a real run.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    end_with_parent()
    gc.disable()  # garbage collection takes 10 % of compile time here, and the process is short-lived
    for part in parts:
        name, _, method = part.partition(" ")
        with Compiling() as found, contextlib.suppress(Exception):  # the run itself meets and reports the error
            STAGES[name](*filter(None, [method]))
        print(json.dumps({"part": part, "kernels": found.kernels, "seconds": found.seconds}), flush=True)


def later_parts(matcher: str, mesher: str) -> list[list[str]]:
    """Return the parts for each helper process, in reverse order of their use in a run with these methods.

    The run and a helper then approach each other from both ends, and do not compile the same kernel at the same time.
    """
    from ..disparity.planes.pyramid import BUDGETS

    planes = ["last-plane-steps", "first-plane-steps"] if matcher in BUDGETS else []
    return [[f"points {mesher}", *planes, f"disparity {matcher}"], ["pose", f"disparity {matcher}"]]


RANGE = (0, 9)  # px, disparities of the synthetic pair
FOR_WARM_UP = [["points grid", "last-plane-steps", "first-plane-steps", "matchers"], ["pose", "matchers"]]


def _synthetic_pair(height: int = 96, width: int = 128) -> tuple[RectifiedPair, np.ndarray]:
    """A rectified pair of noise, and its disparity (H, W) float32: a wall whose lower half is nearer."""
    import cv2

    noise = np.random.default_rng(0).integers(0, 256, (height, width + 16, 3)).astype(np.uint8)
    noise = cv2.GaussianBlur(noise, ksize=(0, 0), sigmaX=0.8)
    truth = np.full((height, width), 3, np.float32)
    truth[height // 2 :] = 6
    right = np.concatenate([noise[: height // 2, 3 : width + 3], noise[height // 2 :, 6 : width + 6]])
    identity = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    return RectifiedPair(noise[:, :width].copy(), right, identity, identity), truth


def _points_to_mesh(mesher: str) -> None:
    """Run the stages after matching: fusion, unsupported surfaces, points, mesh, textures, file."""
    from ..disparity.fusion import fuse
    from ..io.atomic import scratch_folder
    from ..io.write_mesh import write_mesh
    from ..mesh.build import build_mesh
    from ..mesh.texture import texture_mesh
    from ..pipeline.support import drop_unsupported
    from ..triangulation.points import point_map, triangulate_between

    pair, truth = _synthetic_pair()
    height, width = truth.shape
    truth[height // 4, width // 2] = np.nan  # a hole to fill
    left = DisparityMap(truth, np.ones_like(truth), np.full_like(truth, 0.05))
    right = DisparityMap(
        np.full_like(truth, np.nan), left.confidence, left.sigma
    )  # the left map fills its hole from the right one
    camera = Camera(np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]]), (width, height))
    rig = Rig(camera, camera, np.eye(3), np.array([-1.0, 0, 0]))
    view = TwoView(np.zeros((3, 3)), np.eye(3), np.array([-1.0, 0, 0]), np.zeros(0, bool), rig)
    fused, between = fuse(left, right)
    x1 = np.stack(np.meshgrid(np.arange(24.0, width - 8, 8), np.arange(8.0, height - 8, 8)), -1).reshape(-1, 2)
    x2 = x1 - np.column_stack([truth[x1[:, 1].astype(int), x1[:, 0].astype(int)], np.zeros(len(x1))])
    drop_unsupported(fused, between, pair, view, (x1, x2), RANGE)
    points, sigma = point_map(fused, pair, view)
    mesh = build_mesh(points, sigma=sigma, between=triangulate_between(between, pair, view), method=mesher)
    mesh = texture_mesh(mesh, Photo(pair.left), camera, second=Photo(pair.right), view=view)
    with scratch_folder() as folder:
        write_mesh(folder / "mesh.obj", mesh)


def _views(flip):
    """Both views of the synthetic pair in the middle of matching by planes, and a function that runs a step on them."""
    from ..disparity import methods
    from ..disparity.planes.views import both_views, initial_views

    pair, truth = _synthetic_pair()
    energy, _ = methods.plane_energy(*RANGE)
    views = [
        replace(
            view, d=truth.copy(), a=np.zeros_like(truth), b=np.zeros_like(truth), supported=view.seen, sky=~view.seen
        )
        for view in initial_views(pair.left, pair.right, (None, None), truth.shape, 1, flip)
    ]

    def step(function, *more, **options):
        views[:] = both_views(partial(function, **options), views, energy, 1, *more)

    return views, step


def _pose() -> None:
    """Run the second half of the pose: least squares."""
    from ..two_view.refine import refine_pose

    x1 = np.random.default_rng(0).uniform(-100, 100, (20, 2))
    refine_pose(np.eye(3), np.array([-1.0, 0, 0]), x1, x1 + [-5.0, 0], 100.0, scale=1.0)


def _last_plane_steps() -> None:
    """Run the last steps of matching by planes, in reverse order."""
    from ..disparity.planes.matcher import SHIFTS, enlarge, keep_cross_view, sharpen, shift_planes
    from ..disparity.rows import flip_copy, flip_view

    small, _ = _views(flip_copy)
    _, step = _views(flip_view)
    offsets, around = SHIFTS[0]
    step(sharpen)
    step(keep_cross_view)
    step(shift_planes, offsets=offsets, steps=around)
    step(enlarge, small, margin=False)


def _first_plane_steps() -> None:
    """Run the first steps of matching by planes."""
    from ..disparity.planes import candidates, segments
    from ..disparity.planes.matcher import first_choice
    from ..disparity.rows import flip_copy

    views, step = _views(flip_copy)
    step(candidates.segment_image, scales=segments.SCALES[0])
    step(first_choice)


def _disparity(matcher: str) -> None:
    """Run a matcher from end to end."""
    from ..disparity.matching import compute_disparities

    compute_disparities(_synthetic_pair()[0], RANGE, method=matcher)


STAGES = {
    "points": _points_to_mesh,
    "last-plane-steps": _last_plane_steps,
    "first-plane-steps": _first_plane_steps,
    "disparity": _disparity,
    "pose": _pose,
    "matchers": _matchers,
}
