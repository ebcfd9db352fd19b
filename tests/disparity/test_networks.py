"""The matcher `onnx`: networks that match, made here, against truth; what is no such network is refused by name."""

import importlib.util
import logging
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx_files
import pytest
from onnx_files import ANY, Graph

from stereo3d import Config, compute_disparities
from stereo3d.disparity.networks.families import PIXELS, Family, family_of
from stereo3d.disparity.networks.matcher import CHILD_BYTES, onnx, open_network, shifted_pair
from stereo3d.disparity.networks.prepare import map_of, picture_tensor, spans
from stereo3d.disparity.networks.signature import recognise
from stereo3d.errors import StereoError
from stereo3d.foreign.network import Network
from stereo3d.foreign.tensors import Layout, Tensor, layout_of
from stereo3d.records import RectifiedPair

# an extra: what needs it is skipped without
needs_runtime = pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="needs onnxruntime")
COUNT = 16  # disparities of the small networks: 0 .. 15
FILE = Path("net.onnx")


def error_of(call, *args, **options) -> StereoError:
    with pytest.raises(StereoError) as caught:
        call(*args, **options)
    assert caught.value.advice
    return caught.value


def two_walls(upper: int = 3, lower: int = 9, size: tuple[int, int] = (80, 112)) -> tuple:
    """Left, right, truth: the upper half of a textured wall at one disparity, the lower half at another."""
    height, width = size
    noise = np.random.default_rng(0).normal(0, 1, (height, width + 60, 3))
    noise = cv2.GaussianBlur(noise, ksize=(0, 0), sigmaX=1.2)
    wide = np.clip(128 + 60 * noise / noise.std(), 0, 255).astype(np.uint8)
    half, at = height // 2, 30
    left = wide[:, at : at + width]
    right = np.concatenate([wide[:half, at + upper :][:, :width], wide[half:, at + lower :][:, :width]])
    truth = np.full((height, width), float(upper))
    truth[half:] = lower
    return np.ascontiguousarray(left), np.ascontiguousarray(right), truth


def off(found: np.ndarray, truth: np.ndarray) -> float:
    """Median error, px, away from the borders and from the step between the walls; unknown pixels count as 99."""
    half, (height, width) = len(truth) // 2, truth.shape
    error = np.nan_to_num(np.abs(found - truth), nan=99.0)[:, 20 : width - 20]
    return float(np.median(np.concatenate([error[6 : half - 6], error[half + 6 : height - 6]])))


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A network of two pictures of any size, the usual form."""
    return onnx_files.matcher(tmp_path_factory.mktemp("networks") / "small.onnx", COUNT)


# ------------------------------------------------------------------------------------------------ truth


@needs_runtime
@pytest.mark.parametrize(("scene", "refine", "most", "sure"), [("slanted", 2, 0.06, 0.5), ("swapped", 0, 0.3, 0.68)])
def test_truth_of_rendered_scenes(scene, refine, most, sure, request, tmp_path):
    """Soft-argmin is .22 px off in the median, .7 % by over 1 px; with its sub-pixel part fitted again .04 px."""
    truth = request.getfixturevalue(f"{scene}_pair")
    height, width = truth.left.pixels.shape[:2]
    identity = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    pair = RectifiedPair(truth.left.pixels, truth.right.pixels, identity, identity.copy(), swapped=scene == "swapped")
    d_true, seen = truth.disparity_left, truth.visible1
    model = str(onnx_files.matcher(tmp_path / "net.onnx", 40))
    d_range = float(d_true.min()) - 2.3, float(d_true.max()) + 2.6
    found = compute_disparities(pair, d_range, method="onnx", model=model, refine=refine)
    for view, true, visible in zip(found, (d_true, truth.disparity_right), (seen, truth.visible2), strict=True):
        known = np.isfinite(view.disparity) & visible
        error = np.abs(view.disparity - true)[known]
        assert known.sum() > 0.95 * visible.sum()
        assert np.median(error) < most and np.mean(error > 1) < 0.015
        assert np.mean(error <= view.sigma[known]) > sure  # of a normal error 68 %
        assert abs(view.confidence[known].mean() - np.mean(error < 1)) < 0.1


# ------------------------------------------------------------------------------------------------ forms


def form(kind: str, path: Path) -> Path:
    """A file of the same network with other inputs or another output."""
    graph = Graph()
    if kind in ("channels", "batch"):
        both = graph.input("pair", ("n", 6, "h", "w") if kind == "channels" else (2, 3, "h", "w"))
        axis = 1 if kind == "channels" else 0
        ends = graph.const([3, 6] if kind == "channels" else [1, 2], "int64")
        starts = [graph.const([n], "int64") for n in (0, 3 if kind == "channels" else 1)]
        cuts = [graph.add("Gather", ends, graph.const([n], "int64"), axis=0) for n in (0, 1)]
        where = graph.const([axis], "int64")
        left, right = (graph.add("Slice", both, a, b, where) for a, b in zip(starts, cuts, strict=True))
    elif kind == "last":
        left, right = (
            graph.add("Transpose", graph.input(name, (1, "h", "w", 3)), perm=[0, 3, 1, 2]) for name in ("a", "b")
        )
    elif kind == "exchanged":
        right, left = (graph.input(name, ANY) for name in ("right_image", "left_image"))
    elif kind == "grey":
        left, right = (graph.input(name, (1, 1, "h", "w")) for name in ("0", "1"))
    elif kind == "bytes":
        left, right = (graph.add("Cast", graph.input(n, ANY, "uint8"), to=1) for n in ("left", "right"))
    elif kind == "no batch":
        left, right = (
            graph.add("Unsqueeze", graph.input(n, (3, "h", "w")), graph.const([0], "int64")) for n in ("l", "r")
        )
    else:
        left, right = (graph.input(name, ANY) for name in ("image1", "image2"))
    found = graph.disparity(left, right, COUNT)
    if kind == "negative":
        found = graph.add("Neg", found)
    elif kind == "flow":
        found = graph.add("Concat", graph.add("Neg", found), graph.add("Mul", found, graph.const(0.0)), axis=1)
    elif kind == "3 axes":
        found = graph.add("Squeeze", found, graph.const([1], "int64"))
    elif kind == "quarter":
        found = graph.add("AveragePool", found, kernel_shape=[4, 4], strides=[4, 4])
        found = graph.add("Mul", found, graph.const(0.25))
    elif kind == "several":
        low = graph.add("AveragePool", found, kernel_shape=[4, 4], strides=[4, 4])
        graph.output("low", low, ("n", "c", "h4", "w4"))
        graph.output("volume", graph.add("Concat", found, found, found, axis=1), ("n", "k", "h", "w"))
    graph.output("out", found)
    return graph.write(path)


FORMS = ["two", "channels", "batch", "last", "exchanged", "grey", "bytes", "no batch"]
FORMS += ["negative", "flow", "3 axes", "quarter", "several"]


@needs_runtime
@pytest.mark.parametrize("kind", FORMS)
def test_every_form_of_inputs_and_output_finds_the_walls(kind, tmp_path):
    left, right, truth = two_walls()
    found = onnx(left, right, 0, 12, model=str(form(kind, tmp_path / "net.onnx")))
    most = 0.6 if kind == "quarter" else 0.15
    assert off(found.left, truth) < most
    assert found.right is not None and off(found.right, truth) < most  # flat walls: the same numbers, moved


def test_the_inputs_are_recognised_by_name_and_shape():
    def signature(*shapes, names="ab", kinds=("float",) * 9, chosen=None):
        tensors = [Tensor(n, f"tensor({k})", s) for n, k, s in zip(names, kinds, shapes, strict=False)]
        return recognise(tensors, FILE, chosen)

    fixed = signature((1, 3, 384, 640), (1, 3, 384, 640))
    assert fixed.names == ("a", "b") and fixed.join == "two"
    assert fixed.layout == Layout(1, 3, False, 384, 640, "float32")
    assert signature((1, 6, 240, 320)).join == "channels"
    assert signature((2, 3, None, None)).join == "batch"
    assert signature((1, None, None, None), (1, None, None, None)).layout.channels == 3
    assert signature(*2 * [("n", "h", "w", 3)], kinds=("float16", "float16")).layout.kind == "float16"
    right_first = signature(*2 * [(1, 3, 8, 8)], names=["right", "left"])
    assert right_first.names == ("left", "right")
    assert signature(*2 * [(1, 3, 8, 8)], names=["x", "y"], chosen="y,x").names == ("y", "x")
    cascade = signature(
        *2 * [(1, 3, 240, 320)], *2 * [(1, 3, 480, 640)], names=["init_left", "init_right", "next_left", "next_right"]
    )
    assert cascade.names == ("next_left", "next_right") and cascade.half == ("init_left", "init_right")
    flow = signature(*2 * [(1, 3, 480, 640)], (1, 2, 240, 320), names=["left", "right", "flow_init"])
    assert flow.flow == "flow_init" and flow.flow_size == (240, 320)


REFUSED = {
    "nothing": [],
    "one picture": [("image", (1, 3, 480, 640))],
    "five": [(name, (1, 3, 480, 640)) for name in "abcde"],
    "two axes": [("left", (480, 640)), ("right", (480, 640))],
    "seven channels": [("left", (1, 7, 480, 640)), ("right", (1, 7, 480, 640))],
    "two sizes": [("left", (1, 3, 480, 640)), ("right", (1, 3, 240, 320))],
    "iterations": [("left", (1, 3, 480, 640)), ("right", (1, 3, 480, 640)), ("iters", (1,))],
    "a batch of 8": [("left", (8, 3, 480, 640)), ("right", (8, 3, 480, 640))],
    "no half": [(n, (1, 3, s, s)) for n, s in (("a", 480), ("b", 480), ("c", 100), ("d", 100))],
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_inputs_are_refused_with_what_was_found_and_expected(kind):
    tensors = [Tensor(name, "tensor(float)", shape) for name, shape in REFUSED[kind]]
    error = error_of(recognise, tensors, FILE)
    assert error.code == "bad_model" and error.exit_code == 3 and error.numbers["inputs"] == len(tensors)
    assert str(FILE) in error.message and all(str(t) in error.message for t in tensors)
    assert "1 x 3 x H x W" in error.advice
    assert error_of(recognise, tensors, FILE, "none,such").code == "bad_option"


def test_pixels_and_colours_are_those_of_the_option():
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    for name, (scale, mean, deviation) in PIXELS.items():
        for colours in ("rgb", "bgr"):
            for last in (False, True):
                got = picture_tensor(picture, Layout(1, 3, last, None, None, "float32"), Family((), name, colours))
                want = (picture * scale - np.array(mean)) / np.array(deviation)
                want = want[..., ::-1] if colours == "bgr" else want
                np.testing.assert_allclose(got, want if last else want.transpose(2, 0, 1), atol=1e-5)
    assert picture_tensor(picture, Layout(1, 1, False, None, None, "float32"), Family((), "0-255")).shape == (1, 5, 7)
    raw = picture_tensor(picture, Layout(1, 3, True, None, None, "uint8"), Family((), "imagenet"))
    np.testing.assert_array_equal(raw, picture)


def test_what_a_network_expects_comes_from_its_name_or_its_metadata():
    assert family_of(Path("RAFT-Stereo_640x480.onnx"), {}).pixels == "0-255"
    assert family_of(Path("hitnet_sf.onnx"), {}).pixels == "0-1"
    assert family_of(Path("crestereo_combined.onnx"), {}).colours == "bgr"
    assert family_of(Path("model.onnx"), {"name": "GMStereo mixdata"}).pixels == "imagenet"
    assert family_of(Path("model.onnx"), {}) == Family((), "0-255")
    stated = {"stereo3d.pixels": "-1-1", "stereo3d.colours": "bgr"}
    assert family_of(Path("model.onnx"), stated) == Family((), "-1-1", "bgr")
    assert family_of(Path("raft.onnx"), {"stereo3d.pixels": "rm -r"}).pixels == "0-255"


def test_a_map_is_found_in_every_usual_shape():
    values = np.arange(48, dtype=np.float32).reshape(6, 8)
    for array in (
        values, values[None], values[None, None], values[None, ..., None], np.stack([values, 0 * values])[None],
        np.stack([0 * values, values])[:, None], values[None, None, None],
    ):  # fmt: skip
        found = map_of(array, 24, 32, "two")
        assert found is not None and found[1] == 4
        np.testing.assert_array_equal(found[0], values)
    assert map_of(np.stack([values, 0 * values])[:, None], 6, 8, "batch")[0].any()  # pyright: ignore
    for array in (values, np.zeros((1, 192, 6, 8)), np.zeros((1, 1, 0, 8)), np.float32(3), np.zeros((6, 4))):
        assert map_of(np.asarray(array), 9, 8, "two") is None


def test_parts_cover_a_length_once():
    for length, size, before, after in ((100, 30, 5, 5), (100, 100, 9, 9), (101, 30, 20, 3), (60, 59, 20, 20)):
        covered = np.zeros(length, int)
        for start, first, last in spans(length, size, before, after):
            assert 0 <= start <= first < last <= min(start + size, length)
            assert start == 0 or first - start >= before
            assert last == length or start + size - last >= after
            covered[first:last] += 1
        assert (covered == 1).all()


# ------------------------------------------------------------------------------------------------ sizes and ranges


@needs_runtime
def test_ranges_that_cross_zero_and_ranges_beyond_the_network(small):
    left, right, truth = two_walls(-6, 4)
    assert off(onnx(left, right, -8, 6, model=str(small)).left, truth) < 0.15
    left, right, truth = two_walls(21, 24)  # of 0 .. 15 nothing fits, and nothing is found
    assert not np.isfinite(onnx(left, right, 18, 26, model=str(small)).left[:, 40:]).mean() > 0.05
    assert off(onnx(left, right, 18, 26, model=str(small), max_disparity=12).left, truth) < 0.15  # shifted
    assert off(onnx(left, right, 0, 28, model=str(small), max_disparity=14).left, truth) < 0.6  # reduced to a half


def test_a_shifted_pair_has_every_disparity_smaller_by_the_shift():
    left, right, _ = two_walls()
    for shift in (-7, 0, 5):
        one, two = shifted_pair(left, right, shift)
        assert one.shape == two.shape
        x, d = 60, 9  # of the lower wall
        before = max(0, -shift)
        np.testing.assert_array_equal(one[60, x + before], left[60, x])
        np.testing.assert_array_equal(two[60, x + before - (d - shift)], right[60, x - d])


@needs_runtime
def test_fixed_sizes_are_padded_reduced_or_tiled(tmp_path):
    left, right, truth = two_walls()
    shape = (1, 3, 64, 96)
    model = str(onnx_files.matcher(tmp_path / "fixed.onnx", COUNT, shape=shape))
    assert off(onnx(left, right, 0, 12, model=model).left, truth) < 0.6  # reduced
    assert off(onnx(left, right, 0, 12, model=model, fit="tile", overlap=8).left, truth) < 0.15
    few = left[:60, :90], right[:60, :90]
    found = onnx(*few, 0, 12, model=model).left
    assert found.shape == (60, 90) and off(found[:40], truth[:40, :90]) < 99
    error = error_of(onnx, left, right, 0, 12, model=model, fit="tile", overlap=60)
    assert error.code == "bad_option" and "overlap" in error.message


@needs_runtime
def test_strips_give_the_map_of_the_whole_within_their_memory(small, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("stereo3d"), "propagate", True)  # a command may have ended that
    left, right, _ = two_walls(size=(448, 320))
    with open_network(model=str(small), overlap=16) as network:
        whole = network.disparity(left, right, 12)
        peak = network.network.peak
    if not peak:
        pytest.skip("this system does not say how much memory a process has held")
    with open_network(model=str(small), overlap=16) as network, caplog.at_level(logging.INFO, logger="stereo3d"):
        network.memory = network.network.weights + peak // 2
        strips = network.disparity(left, right, 12)
        np.testing.assert_array_equal(strips, whole)  # the windows are smaller than the overlap
        assert "by strips of" in caplog.text and network.network.peak < 0.6 * peak
        network.memory = network.network.weights + peak // 50
        error = error_of(network.disparity, left, right, 12)
        assert error.code == "memory" and error.numbers["needed"] > error.numbers["available"]
    assert onnx(left[:200], right[:200], 0, 12, model=str(small), overlap=16, rows=80).left.shape == (200, 320)


@needs_runtime
def test_a_process_may_not_take_more_memory_than_stated(tmp_path):
    graph = Graph()
    left, right = (graph.input(name, ANY) for name in ("left", "right"))
    total = graph.add("ReduceMean", graph.add("Sub", left, right), axes=[1], keepdims=1)
    large = graph.add("Expand", total, graph.const([1, 4000, 1, 1], "int64"))  # 4000 maps: 2.3 GB
    graph.output("out", graph.add("ReduceSum", graph.add("Exp", large), graph.const([1], "int64"), keepdims=1))
    model = str(graph.write(tmp_path / "large.onnx"))
    pictures = [np.zeros((384, 384, 3), np.uint8)] * 2
    error = error_of(onnx, *pictures, 0, 8, model=model, max_memory=CHILD_BYTES + 3e8, overlap=200)
    assert error.code == "memory" and "large.onnx" in error.message


# ------------------------------------------------------------------------------------------------ cascades


@needs_runtime
def test_a_first_network_gives_the_initial_flow(tmp_path):
    left, right, truth = two_walls(4, 10)

    def as_flow(graph: Graph, found: str) -> str:
        return graph.add("Concat", found, graph.add("Mul", found, graph.const(0.0)), axis=1)

    first = str(onnx_files.matcher(tmp_path / "first.onnx", COUNT, finish=as_flow))
    graph = Graph()
    for name in ("left", "right"):
        graph.input(name, ANY)
    flow = graph.input("flow_init", (1, 2, "h2", "w2"))
    twice = graph.add("Resize", flow, "", graph.const([1, 1, 2, 2]), mode="nearest")
    graph.output("flow", graph.add("Mul", twice, graph.const(2.0)), ("n", "c", "h", "w"))
    model = str(graph.write(tmp_path / "next.onnx"))
    assert off(onnx(left, right, 0, 14, model=model, first_model=first).left, truth) < 0.4
    error = error_of(onnx, left, right, 0, 14, model=model)
    assert error.code == "bad_model" and "'flow_init'" in error.message and "first_model" in error.advice
    assert error_of(onnx, left, right, 0, 14, model=first, first_model=first).code == "bad_option"


@needs_runtime
def test_the_pair_at_half_size_is_given_too(tmp_path):
    left, right, truth = two_walls(4, 10)
    graph = Graph()
    half = [graph.input(name, (1, 3, "h2", "w2")) for name in ("init_left", "init_right")]
    for name in ("next_left", "next_right"):
        graph.input(name, ANY)
    graph.output("disparity", graph.disparity(*half, 8))  # of half the size, in its own px
    model = str(graph.write(tmp_path / "combined.onnx"))
    assert off(onnx(left, right, 0, 14, model=model).left, truth) < 0.4


# ------------------------------------------------------------------------------------------------ refusals


def broken(kind: str, path: Path) -> Path:
    graph = Graph()
    left, right = (graph.input(name, ANY) for name in ("left", "right"))
    gap = graph.add("ReduceMean", graph.add("Sub", left, right), axes=[1], keepdims=1)
    if kind == "NaN":
        gap = graph.add("Div", graph.add("Mul", gap, graph.const(0.0)), graph.const(0.0))
    elif kind == "other size":
        gap = graph.add("Slice", gap, *(graph.const([n], "int64") for n in (3, 1000, 3)))
    elif kind == "a number":
        gap = graph.add("ReduceMean", gap, keepdims=0)
    elif kind == "fails":
        gap = graph.add("Reshape", gap, graph.const([7, 11, 13], "int64"))
    elif kind == "volume":
        gap = graph.add("Concat", *[gap] * 5, axis=1)
    elif kind == "weights":
        gap = graph.add("Mul", gap, graph.const([1.0], external="none.bin"))
    elif kind == "outside":
        gap = graph.add("Mul", gap, graph.const([1.0], external="../outside.bin"))
        (path.parent.parent / "outside.bin").write_bytes(np.float32(1).tobytes())
    elif kind == "operator":
        gap = graph.add("NoSuchOperator", gap)
    graph.output("out", gap, ("n", "c", "h", "w") if kind in ("NaN", "volume") else None)
    graph.write(path)
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif kind == "garbage":
        path.write_bytes(np.random.default_rng(0).bytes(5000))
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "picture":
        path.write_bytes(cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1].tobytes())
    return path


BROKEN = {
    "NaN": "is finite",
    "other size": "no output of the network is a map",
    "a number": "no output of the network is a map",
    "volume": "no output of the network is a map",
    "fails": "failed when it was run with left 1 x 3",
    "weights": "none.bin",
    "outside": "outside.bin",
    "operator": "NoSuchOperator",
    "cut": "cannot be loaded",
    "garbage": "cannot be loaded",
    "empty": "cannot be loaded",
    "picture": "cannot be loaded",
}


@needs_runtime
@pytest.mark.parametrize("kind", BROKEN)
def test_models_that_cannot_work_are_refused(kind, tmp_path):
    (tmp_path / "here").mkdir()
    path = broken(kind, tmp_path / "here" / "net.onnx")
    error = error_of(onnx, *two_walls()[:2], 0, 8, model=str(path))
    assert error.code == "bad_model" and error.exit_code == 3
    assert str(path) in error.message and BROKEN[kind] in error.message


@needs_runtime
def test_the_multiple_of_the_sides_is_found_by_trying(tmp_path):
    graph = Graph()
    left, right = (graph.input(name, ANY) for name in ("left", "right"))
    found = graph.disparity(left, right, COUNT)
    blocks = graph.add("Reshape", found, graph.const([1, 1, -1, 128, 128], "int64"))  # fails at other sizes
    flat = graph.add("Reshape", blocks, graph.add("Shape", found))
    graph.output("out", flat, ("n", "c", "h", "w"))
    model = str(graph.write(tmp_path / "net.onnx"))
    left, right, truth = two_walls()
    assert off(onnx(left, right, 0, 12, model=model).left, truth) < 0.15
    assert error_of(onnx, left, right, 0, 12, model=model, multiple=32).code == "bad_model"


@needs_runtime
def test_names_of_inputs_and_outputs_that_are_not_there(small):
    for option in ({"inputs": "a,b"}, {"output": "c"}):
        error = error_of(onnx, *two_walls()[:2], 0, 8, model=str(small), **option)
        assert error.code == "bad_option" and ("left, right" in error.advice or "disparity" in error.advice)


def test_a_file_is_needed_and_must_be_one(tmp_path):
    assert error_of(Config, matcher="onnx").code == "bad_option"
    assert error_of(onnx, *two_walls()[:2], 0, 8).code == "bad_option"
    assert error_of(Network, tmp_path / "none.onnx").code == "file_missing"
    assert error_of(Network, tmp_path).code == "bad_model"


def test_the_name_of_a_matcher_carries_its_file():
    config = Config(matcher="onnx:models/net.onnx", options={"matcher.pixels": "0-1"})
    assert config.matcher == "onnx" and config.of("matcher") == {"model": "models/net.onnx", "pixels": "0-1"}
    assert Config(matcher="onnx", options={"matcher.model": "a"}).of("matcher") == {"model": "a"}
    assert error_of(Config, matcher="onnx:a", options={"matcher.model": "b"}).code == "bad_option"
    assert error_of(Config, matcher="onnx:a", options={"matcher.pixels": "0-2"}).code == "bad_option"
    assert error_of(Config, matcher="sgm:a").code == "bad_option"
    assert error_of(Config, matcher="none:a").code == "unknown_method"


def test_the_command_line_refuses_before_it_reads_a_photo(tmp_path):
    from click.testing import CliRunner

    from stereo3d.cli.parameters import cli

    (tmp_path / "photo.png").write_bytes(b"no picture")
    photo, out = str(tmp_path / "photo.png"), str(tmp_path / "out.pfm")
    model = tmp_path / "none.onnx"
    for matcher, word in ((f"onnx:{model}", "none.onnx: no such file"), ("onnx", "onnx:FILE"), ("sgm:a", "onnx:FILE")):
        answer = CliRunner().invoke(cli, ["disparity", photo, photo, "-o", out, "--matcher", matcher])
        assert answer.exit_code != 0 and word in answer.output + str(answer.exception)


# ------------------------------------------------------------------------------------------------ the process


@needs_runtime
def test_the_result_does_not_depend_on_the_number_of_threads(small):
    left, right, _ = two_walls()
    one, three = (onnx(left, right, 0, 12, model=str(small), threads=n).left for n in (1, 3))
    np.testing.assert_array_equal(one, three)


@needs_runtime
def test_a_process_that_dies_is_an_error_and_leaves_none_behind(small):
    with open_network(model=str(small)) as network:
        process = network.network._process
        process.kill()
        error = error_of(network.disparity, *two_walls()[:2], 8)
        assert error.code == "bad_model" and "crashed" in error.message
    assert process.poll() is not None


def test_without_onnxruntime_the_error_says_what_to_install(monkeypatch, tmp_path):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('it is not there')")
    (tmp_path / "net.onnx").write_bytes(b"")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    error = error_of(Network, tmp_path / "net.onnx")
    assert error.code == "library_missing" and error.exit_code == 7
    assert "it is not there" in error.message and "stereo3d[onnx]" in error.advice


@needs_runtime
def test_a_provider_that_is_not_there_is_named(small):
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has it")
    error = error_of(open_network, model=str(small), provider="cuda")
    assert error.code == "bad_model" and "CUDAExecutionProvider" in error.message


def test_layouts_that_hold_no_picture():
    assert layout_of(Tensor("a", "tensor(int64)", (1, 3, 8, 8))) is None
    assert layout_of(Tensor("a", "tensor(float)", (3, 3, 8, 8))) is None
    assert layout_of(Tensor("a", "tensor(float)", ())) is None
