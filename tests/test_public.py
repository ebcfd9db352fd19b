"""Every public function and record, given arrays of any shape, type and value: an answer, StereoError or ValueError."""

import math
import signal
import warnings
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from examples import tries
from hypothesis import HealthCheck, given, settings
from hypothesis.extra import numpy as hnp

import stereo3d
from stereo3d import StereoError
from stereo3d.cameras.chessboard.board import Corners
from stereo3d.records import RightViewPoints, TexturedPart

SECONDS = 20  # of the processor for one call, far above what any takes; compiling a kernel included
KINDS = [
    np.float64,
    np.float32,
    np.float16,
    np.int64,
    np.int8,
    np.uint8,
    np.uint64,
    np.bool_,
    np.complex128,
    "U3",
    object,
]
VALUES = st.sampled_from([0.0, 1.0, -1.0, 0.5, 3.0, 100.0, math.nan, math.inf, -math.inf, 1e300, -1e300, 1e-300, 1e20])


@st.composite
def arrays(draw: st.DrawFn, *shape: int | None, kind: object = np.float64, low: float = 0, high: float = 64) -> object:
    """Mostly an array that fits, with a few odd values; else one of any shape and type, a list, None or a number."""
    lengths = [draw(st.integers(0, 12)) if n is None else n for n in shape]
    if draw(st.integers(0, 9)) < 8:
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        value = (low + (high - low) * rng.random(lengths)).astype(kind)
        if value.dtype.kind == "f" and value.size:
            with np.errstate(over="ignore"):
                for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3, value.size]))):
                    value.reshape(-1)[draw(st.integers(0, value.size - 1))] = draw(VALUES)
        return value
    if draw(st.booleans()):
        return draw(st.sampled_from([None, 1.5, "x", [], [[1, 2], [3]], {}, np.float64(2), np.zeros((0, 0)), 2**80]))
    any_shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    dtype = np.dtype(draw(st.sampled_from(KINDS)))
    value = np.full(any_shape, draw(st.sampled_from([None, "a", [1]])) if dtype.kind == "O" else 1, dtype)
    return value[::-1] if any_shape and draw(st.booleans()) else value


NUMBERS = st.one_of(VALUES, st.integers(-3, 2000), st.sampled_from([None, "x", 2**80, [1], np.float64(3), True]))
SIZES = st.one_of(
    st.just((64, 48)),
    st.sampled_from([(0, 0), (-1, 3), (1, 1), (math.nan, 2), "ab", None, (64,), (2**70, 3), (6.5, 4.0)]),
)


def K(f: float = 60.0) -> np.ndarray:
    return np.array([[f, 0, 31.5], [0, f, 23.5], [0, 0, 1.0]])


@st.composite
def cameras(draw: st.DrawFn) -> stereo3d.Camera:
    matrix = K() if draw(st.integers(0, 4)) else draw(arrays(3, 3))
    dist = np.zeros(0) if draw(st.booleans()) else draw(arrays(5, high=0.2))
    return stereo3d.Camera(matrix, draw(SIZES) if not draw(st.integers(0, 4)) else (64, 48), dist)


@st.composite
def rigs(draw: st.DrawFn) -> stereo3d.Rig:
    posed = draw(st.booleans())
    R = np.eye(3) if draw(st.integers(0, 4)) else draw(arrays(3, 3))
    t = np.array([-1.0, 0, 0]) if draw(st.integers(0, 4)) else draw(arrays(3))
    return stereo3d.Rig(draw(cameras()), draw(cameras()), R if posed else None, t if posed else None)


@st.composite
def photos(draw: st.DrawFn) -> stereo3d.Photo:
    pixels = draw(st.one_of(arrays(48, 64, 3, kind=np.uint8, high=255), arrays(None, None, 3, kind=np.uint8)))
    mask = draw(st.one_of(st.none(), arrays(48, 64, kind=np.bool_, high=2)))
    focal = draw(st.sampled_from([{}, {"focal_35mm": 28.0}, {"focal_mm": 4.0}, {"focal_35mm": math.nan}, {"make": 3}]))
    return stereo3d.Photo(pixels, focal, None, mask)


@st.composite
def pairs(draw: st.DrawFn) -> stereo3d.RectifiedPair:
    h, w = draw(st.sampled_from([(48, 64), (1, 1), (0, 0), (2, 300), (33, 34)]))
    sides = [draw(arrays(h, w, 3, kind=np.uint8, high=255)) for _ in "lr"]
    maps = [draw(arrays(h, w, 2, kind=np.float32)) for _ in "lr"]
    return stereo3d.RectifiedPair(*sides, *maps, infinity=draw(st.sampled_from([None, 0.0, math.nan, 1e30])))


@st.composite
def matches(draw: st.DrawFn) -> stereo3d.Matches:
    n = draw(st.sampled_from([0, 1, 5, 8, 30, 60]))
    return stereo3d.Matches(draw(arrays(n, 2)), draw(arrays(n, 2)), draw(st.one_of(st.none(), arrays(n))))


@st.composite
def views(draw: st.DrawFn, count: int | None = None) -> stereo3d.TwoView:
    F = np.array([[0, 0, 0], [0, 0, -1.0], [0, 1, 0]]) / np.sqrt(2)
    pose = [np.eye(3), np.array([-1.0, 0, 0])] if draw(st.integers(0, 4)) else [draw(arrays(3, 3)), draw(arrays(3))]
    rig = stereo3d.Rig(draw(cameras()), draw(cameras()), *pose)
    inliers = draw(arrays(count, kind=np.bool_, high=2))
    return stereo3d.TwoView(F if draw(st.integers(0, 4)) else draw(arrays(3, 3)), *pose, inliers, rig)


@st.composite
def meshes(draw: st.DrawFn) -> stereo3d.Mesh:
    n = draw(st.sampled_from([0, 1, 3, 20]))
    faces = draw(arrays(None, 3, kind=np.int32, high=max(n, 1)))
    uv = draw(st.one_of(st.none(), arrays(n, 2, high=1)))
    texture = draw(st.one_of(st.none(), arrays(4, 5, 3, kind=np.uint8, high=255)))
    overlays = ()
    if draw(st.booleans()):
        shown = np.zeros(len(faces) if isinstance(faces, np.ndarray) and faces.ndim else 0, bool)
        overlays = (TexturedPart(shown, np.zeros((n, 2)), np.zeros((3, 3, 3), np.uint8)),)
    return stereo3d.Mesh(draw(arrays(n, 3)), faces, uv, texture, draw(st.one_of(st.none(), arrays(n))), overlays)


@st.composite
def corners(draw: st.DrawFn) -> list:
    found = []
    for k in range(draw(st.integers(0, 4))):
        x = np.stack(np.meshgrid(np.arange(4.0), np.arange(3.0)), -1).reshape(-1, 2) * (9 + k) + 5 * k
        ids = np.arange(12) if draw(st.integers(0, 4)) else draw(arrays(12, kind=np.int64, high=14))
        found.append(Corners(f"{k}", ids, x if draw(st.booleans()) else draw(arrays(12, 2)), draw(SIZES), 1))
    return found


def convert_mesh(mesh: stereo3d.Mesh) -> None:
    """Give it to everything that takes a mesh as it is."""
    mesh.to_trimesh()
    mesh.to_open3d()
    mesh._repr_html_()
    repr(mesh)


def draw_any(draw: st.DrawFn, *strategies: st.SearchStrategy) -> tuple:
    return tuple(draw(strategy) for strategy in strategies)


# Name in `stereo3d` -> a function of (draw, folder) that calls it
BOARD = stereo3d.Board("chessboard", 4, 3)
MATRIX = arrays(3, 4)
ARRAY_PHOTOS = stereo3d.Photo.from_array, stereo3d.Photo.from_bgr
SETTINGS = ["max_size", "seed", "focal", "fov", "faces", "baseline", "max_pixels"]
CALLS: dict[str, Callable] = {
    "Board": lambda d, _: stereo3d.Board(
        d(st.sampled_from(["chessboard", "charuco", "x", None])), *draw_any(d, *[NUMBERS] * 4)
    ),
    "Camera": lambda d, _: d(st.one_of(cameras(), st.builds(stereo3d.Camera, arrays(3, 3), SIZES, arrays(None)))),
    "Config": lambda d, _: stereo3d.Config(
        **{
            name: d(NUMBERS)
            for name in d(
                st.sets(st.sampled_from(["max_size", "seed", "focal", "fov", "faces", "baseline", "max_pixels"]))
            )
        },
        known_distance=d(st.one_of(st.none(), st.tuples(arrays(2), arrays(2), NUMBERS))),
    ),
    "DisparityMap": lambda d, _: stereo3d.DisparityMap(*draw_any(d, *[arrays(3, 4, kind=np.float32)] * 3)),
    "Features": lambda d, _: stereo3d.Features(d(arrays(5, 2)), d(arrays(5, 8)), d(arrays(5, 2, 2))),
    "Matches": lambda d, _: len(d(matches())),
    "Mesh": lambda d, _: convert_mesh(d(meshes())),
    "Photo": lambda d, _: repr(
        d(st.one_of(photos(), *[st.builds(make, arrays(48, 64, 3, kind=np.uint8, high=255)) for make in ARRAY_PHOTOS]))
    ),
    "RectifiedPair": lambda d, _: d(pairs()),
    "Rig": lambda d, _: d(rigs()).posed,
    "RigError": lambda d, _: stereo3d.RigError(*draw_any(d, *[NUMBERS] * 5)).exact,
    "TwoView": lambda d, _: d(views()),
    "absolute_orientation": lambda d, _: stereo3d.absolute_orientation(
        *draw_any(d, arrays(6, 3), arrays(6, 3)), weights=d(st.one_of(st.none(), arrays(6)))
    ),
    "build_mesh": lambda d, _: stereo3d.build_mesh(
        d(st.one_of(arrays(6, 7, 3), arrays(None, None, 3))),
        sigma=d(st.one_of(st.none(), arrays(6, 7))),
        between=d(
            st.one_of(
                st.none(),
                st.builds(RightViewPoints, arrays(3, 3), arrays(3), arrays(3, kind=np.int64, high=42), arrays(3)),
            )
        ),
        faces=d(st.sampled_from([0, 4, 1000])),
        smooth=d(st.booleans()),
        close=d(st.booleans()),
    ),
    "calibrate_camera": lambda d, _: stereo3d.calibrate_camera(d(corners()), BOARD, drop=d(st.booleans())),
    "calibrate_rig": lambda d, _: stereo3d.calibrate_rig(
        d(corners()), d(corners()), d(st.sampled_from([[], [(0, 0)], [(0, 1), (1, 0)], [(9, 9)], [(-1, -1)]])), BOARD
    ),
    "camera_for": lambda d, _: stereo3d.camera_for(
        d(photos()), **{n: d(NUMBERS) for n in d(st.sets(st.sampled_from(["focal", "focal_35mm", "fov"]), max_size=2))}
    ),
    "compute_disparities": lambda d, _: stereo3d.compute_disparities(
        d(pairs()),
        d(st.sampled_from([(0, 8), (8, 0), (-3, 2), (0, 10**6), (math.nan, 4), (0, math.inf), (0.5, 0.6), None])),
        method=d(st.sampled_from(["block", "sgm"])),
    ),
    "compute_disparity": lambda d, _: stereo3d.compute_disparity(
        d(pairs()), (0, 8), method="sgm", dense=d(st.booleans())
    ),
    "detect_features": lambda d, _: stereo3d.detect_features(d(photos()), max_size=d(st.sampled_from([1, 30, 100]))),
    "diagnose": lambda d, _: stereo3d.diagnose(d(matches()), d(views()), d(rigs())),
    "disparity_range": lambda d, _: stereo3d.disparity_range(d(pairs()), d(arrays(9, 2)), d(arrays(9, 2))),
    "eight_point": lambda d, _: stereo3d.eight_point(
        *draw_any(d, arrays(9, 2), arrays(9, 2), st.one_of(st.none(), arrays(9)))
    ),
    "estimate_two_view": lambda d, _: stereo3d.estimate_two_view(d(matches()), d(rigs())),
    "find_corners": lambda d, _: stereo3d.find_corners(d(photos()), BOARD),
    "fit_rig": lambda d, _: stereo3d.fit_rig(
        *draw_any(d, rigs(), SIZES, SIZES), orientations=d(st.sampled_from([(1, 1), (6, 8), (0, 9), "ab"]))
    ),
    "five_point": lambda d, _: stereo3d.five_point(*draw_any(d, arrays(5, 2, high=1), arrays(5, 2, high=1))),
    "match_features": lambda d, _: stereo3d.match_features(d(photos()), d(photos()), max_size=64),
    "rectify": lambda d, _: stereo3d.rectify(
        *draw_any(d, photos(), photos(), views()), kind=d(st.sampled_from(["auto", "planar", "polar", "x"]))
    ),
    "relative_orientation": lambda d, _: stereo3d.relative_orientation(
        *draw_any(d, arrays(6, 3, low=-1, high=1), arrays(6, 3, low=-1, high=1))
    ),
    "seven_point": lambda d, _: stereo3d.seven_point(*draw_any(d, arrays(7, 2), arrays(7, 2))),
    "texture_mesh": lambda d, _: stereo3d.texture_mesh(*draw_any(d, meshes(), photos(), cameras())),
    "triangulate": lambda d, _: stereo3d.triangulate(
        d(arrays(48, 64, kind=np.float32)),
        d(pairs()),
        d(views()),
        disparity_sigma=d(st.one_of(st.none(), NUMBERS, arrays(48, 64))),
    ),
    "triangulate_points": lambda d, _: stereo3d.triangulate_points(
        *draw_any(d, MATRIX, MATRIX, arrays(4, 2), arrays(4, 2))
    ),
    "write_camera": lambda d, folder: stereo3d.write_camera(folder / "c.json", d(cameras())),
    "write_rig": lambda d, folder: stereo3d.write_rig(folder / "r.json", d(rigs())),
    "write_mesh": lambda d, folder: stereo3d.write_mesh(
        folder / f"m{d(st.sampled_from(['.obj', '.ply', '.glb', '.stl', '.x', '']))}",
        d(meshes()),
        quality=d(st.sampled_from([95, 0, -1, 1000])),
        texture=d(st.sampled_from(["jpg", "png", "x"])),
        down=d(st.one_of(st.none(), arrays(3))),
        unit=d(st.sampled_from([None, "m", "mm", "\n", "\0"])),
        origin=d(st.one_of(st.none(), arrays(3))),
        lit=d(st.booleans()),
        mark_filled=d(st.booleans()),
        meshopt=d(st.booleans()),
    ),
    "write_points": lambda d, folder: stereo3d.write_points(
        folder / f"p{d(st.sampled_from(['.ply', '.xyz', '.pcd', '.las', '.laz', '.x']))}",
        d(arrays(5, 3)),
        d(st.one_of(st.none(), arrays(5, 3, kind=np.uint8))),
        d(st.one_of(st.none(), arrays(5))),
        unit=d(st.sampled_from([None, "mm"])),
        origin=d(st.one_of(st.none(), arrays(3))),
    ),
}
# A name, a dict or an error, and what takes files or whole runs: the readers are fuzzed (test_fuzz), runs have tests of
# their own
OTHERS = {
    "DETECTORS", "MATCHERS", "MESHERS", "WRITERS", "StereoError", "Finding", "Result", "__version__", "PhotoPair",
    "WideLens", "batch", "pinhole_view", "read_pair", "read_photo", "read_rig", "reconstruct", "write_report",
    "write_view",
}  # fmt: skip


def test_every_public_name_is_here():
    assert set(CALLS) | OTHERS == set(stereo3d.__all__) and not set(CALLS) & OTHERS


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("public")


@pytest.mark.parametrize("name", CALLS)
def test_any_input_gives_an_answer_or_a_clear_error(name, folder):
    def late(*_: object) -> None:
        raise TimeoutError(f"{name} takes more than {SECONDS} s")

    @settings(
        max_examples=tries(EXAMPLES.get(name, 12)),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        before = signal.signal(signal.SIGVTALRM, late)
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                CALLS[name](data.draw, folder)
        except (StereoError, ValueError):
            pass
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)

    check()


EXAMPLES = {"compute_disparities": 6, "compute_disparity": 6}
