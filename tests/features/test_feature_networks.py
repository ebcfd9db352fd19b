"""ALIKED, DISK and LightGlue from files: networks made here find what they must, and others are refused by name."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
from onnx_files import Graph

from stereo3d import Config, detect_features, match_features
from stereo3d.errors import StereoError
from stereo3d.features.networks import UNIT, _scaled, aliked, check_detector, check_matcher, disk, match_by_network

needs_runtime = pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="needs onnxruntime")
FEATURES = 400
LENGTH = 48  # of a descriptor


def detector(path: Path, kind: str, shape=(1, 3, "h", "w"), *, channels: int = 3) -> Path:
    """Local maxima of the contrast with a blurred picture; descriptors: projections of the surrounding window.

    kind: "disk", whole pixels; "aliked", from -1 to 1.
    """
    rng = np.random.default_rng(0)
    graph = Graph()
    image = graph.input("image", shape)
    grey = graph.add("ReduceMean", image, axes=[1], keepdims=1)
    pool = {"kernel_shape": [7, 7], "pads": [3] * 4, "strides": [1, 1]}
    contrast = graph.add("Abs", graph.add("Sub", grey, graph.add("AveragePool", grey, **pool)))
    peak = graph.add("Equal", contrast, graph.add("MaxPool", contrast, **pool))
    score = graph.add("Mul", contrast, graph.add("Cast", peak, to=1))
    flat = graph.add("Reshape", score, graph.const([1, -1], "int64"))
    best, index = "best", "index"
    from onnx_files import node

    graph.nodes.append(node("TopK", [flat, graph.const([FEATURES], "int64")], [best, index], axis=1))
    size = graph.add("Shape", grey)
    width = graph.add("Gather", size, graph.const(3, "int64"))
    height = graph.add("Gather", size, graph.const(2, "int64"))
    row = graph.add("Div", index, width)
    column = graph.add("Sub", index, graph.add("Mul", row, width))
    one = graph.const([-1], "int64")
    filters = rng.normal(0, 1, (LENGTH, 1, 15, 15))
    filters -= filters.mean((1, 2, 3), keepdims=True)
    maps = graph.add("Conv", grey, graph.const(filters), kernel_shape=[15, 15], pads=[7] * 4)
    maps = graph.add("Transpose", graph.add("Reshape", maps, graph.const([LENGTH, -1], "int64")), perm=[1, 0])
    described = graph.add("Gather", maps, index, axis=0)  # 1, N, LENGTH
    places = graph.add("Concat", graph.add("Unsqueeze", column, one), graph.add("Unsqueeze", row, one), axis=2)
    if kind == "aliked":
        last = graph.add("Concat", graph.add("Unsqueeze", width, graph.const([0], "int64")),
                         graph.add("Unsqueeze", height, graph.const([0], "int64")), axis=0)  # fmt: skip
        last = graph.add("Cast", graph.add("Sub", last, graph.const([1], "int64")), to=1)
        share = graph.add("Div", graph.add("Cast", places, to=1), last)
        places = graph.add("Sub", graph.add("Mul", share, graph.const(2.0)), graph.const(1.0))
    graph.output("keypoints", places, (1, "n", 2), "float32" if kind == "aliked" else "int64")
    graph.output("scores", best, (1, "n"))
    graph.output("descriptors", described, (1, "n", LENGTH))
    return graph.write(path)


def light(path: Path, *, pairs: bool) -> Path:
    """Mutual nearest neighbours of descriptors; pairs: K x 2, else of each feature its match or -1."""
    graph = Graph()
    for k in (0, 1):
        graph.input(f"kpts{k}", (1, f"n{k}", 2))
    one, two = (graph.input(f"desc{k}", (1, f"n{k}", "d")) for k in (0, 1))
    product = graph.add("MatMul", one, graph.add("Transpose", two, perm=[0, 2, 1]))
    forth, back = (graph.add("ArgMax", product, axis=axis, keepdims=0) for axis in (2, 1))
    again = graph.add("GatherElements", back, forth, axis=1)
    count = graph.add("Gather", graph.add("Shape", forth), graph.const(1, "int64"))
    own = graph.add("Range", graph.const(0, "int64"), count, graph.const(1, "int64"))
    own = graph.add("Unsqueeze", own, graph.const([0], "int64"))
    mutual = graph.add("Equal", again, own)
    best = graph.add("ReduceMax", product, axes=[2], keepdims=0)
    if pairs:
        where = graph.add("Transpose", graph.add("NonZero", mutual), perm=[1, 0])  # K x (0, index)
        index = graph.add("Gather", where, graph.const([1], "int64"), axis=1)
        flat = graph.add("Reshape", forth, graph.const([-1], "int64"))
        other = graph.add("Gather", flat, index)
        graph.output("matches0", graph.add("Concat", index, other, axis=1), ("k", 2), "int64")
        scores = graph.add("Gather", graph.add("Reshape", best, graph.const([-1], "int64")), index)
        graph.output("mscores0", graph.add("Reshape", scores, graph.const([-1], "int64")), ("k",))
    else:
        graph.output("matches0", graph.add("Where", mutual, forth, graph.const([-1], "int64")), (1, "n0"), "int64")
        graph.output("mscores0", best, (1, "n0"))
    return graph.write(path)


def error_of(call, *args, **options) -> StereoError:
    with pytest.raises(StereoError) as caught:
        call(*args, **options)
    assert caught.value.advice
    return caught.value


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("features")
    made = {
        "aliked": detector(folder / "aliked.onnx", "aliked"),
        "disk": detector(folder / "disk.onnx", "disk"),
        "square": detector(folder / "square.onnx", "disk", (1, 3, 256, 256)),
        "pairs": light(folder / "pairs.onnx", pairs=True),
        "each": light(folder / "each.onnx", pairs=False),
    }
    return {name: str(path) for name, path in made.items()}


@needs_runtime
@pytest.mark.parametrize(("method", "lightglue"), [("aliked", "pairs"), ("disk", "each"), ("disk", None)])
def test_matches_of_a_rendered_pair_are_true(method, lightglue, slanted_pair, models):
    truth = slanted_pair
    matches = match_features(
        truth.left,
        truth.right,
        method=method,
        model=models[method],
        features=300,
        matcher_model=lightglue and models[lightglue],
    )
    column, row = np.rint(matches.x1).astype(int).T
    want = matches.x1 - np.stack([truth.disparity_left[row, column], 0 * row], -1)
    error = np.linalg.norm(matches.x2 - want, axis=1)
    assert len(matches) > 100
    assert np.median(error) < 0.1 and np.mean(error < 1) > (0.75 if lightglue else 0.9)


@needs_runtime
def test_positions_are_pixels_of_the_photo_at_every_size(models):
    grey = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, (300, 400)), ksize=(0, 0), sigmaX=1.5)
    grey = np.clip(128 + 60 * grey / grey.std(), 0, 255).astype(np.uint8)
    x, d, frames = disk(grey, model=models["disk"])
    assert x.shape == (len(d), 2) and d.shape[1] == LENGTH and frames.shape == (len(x), 2, 2) and len(x) > 100
    np.testing.assert_array_equal(x, np.rint(x))
    np.testing.assert_array_equal(d, np.rint(d))
    np.testing.assert_allclose(np.linalg.norm(d, axis=1), UNIT, rtol=0.02)
    contrast = np.abs(grey - cv2.blur(grey.astype(float), ksize=(7, 7)))
    i, j = x.astype(int)[:, 1], x.astype(int)[:, 0]
    assert (contrast[i, j] >= 0.9 * cv2.dilate(contrast, np.ones((7, 7)))[i, j]).mean() > 0.95  # they are its peaks
    other = aliked(grey, model=models["aliked"])[0]
    np.testing.assert_allclose(other, x, atol=1e-3)
    large = np.repeat(np.repeat(grey, 4, 0), 4, 1)  # 1600 px: the network sees 400
    reduced = disk(large, model=models["disk"], side=400)[0]
    np.testing.assert_allclose(reduced, (x + 0.5) * 4 - 0.5, atol=1e-9)
    fixed = disk(grey, model=models["square"])[0]
    assert len(fixed) > 50 and fixed.min() >= -0.5 and fixed[:, 0].max() > 350


@needs_runtime
def test_opencv_reads_the_same_files_and_finds_the_same(models):
    if not hasattr(cv2, "DISK"):
        pytest.skip(f"OpenCV {cv2.__version__} has no DISK")
    grey = cv2.GaussianBlur(np.random.default_rng(1).normal(0, 1, (256, 256)), ksize=(0, 0), sigmaX=1.5)
    grey = np.clip(128 + 60 * grey / grey.std(), 0, 255).astype(np.uint8)
    theirs = cv2.DISK.create(models["square"], imageSize=(256, 256))
    points = theirs.detect(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), None)
    ours = disk(grey, model=models["square"])[0]
    assert {tuple(p) for p in ours} == {tuple(p.pt) for p in points}


@needs_runtime
def test_a_run_uses_them_and_is_the_same_twice(models, slanted_pair):
    first, second = (
        detect_features(slanted_pair.left, method="aliked", model=models["aliked"], features=150) for _ in range(2)
    )
    np.testing.assert_array_equal(first.x, second.x)
    np.testing.assert_array_equal(first.descriptors, second.descriptors)


def test_keypoints_of_lightglue_are_those_of_the_option():
    x, size = np.array([[0.0, 0.0], [639.0, 479.0], [320.0, 240.0]]), (640, 480)
    np.testing.assert_allclose(_scaled(x, size, "longer-side")[[0, 2]], [[-1, -0.75], [0, 0]])
    np.testing.assert_allclose(_scaled(x, size, "sides")[[0, 2]], [[-1, -1], [0, 0]])
    np.testing.assert_allclose(_scaled(x, size, "unit")[:2], [[0, 0], [1, 1]])
    np.testing.assert_array_equal(_scaled(x, size, "px"), x)


@needs_runtime
def test_other_networks_are_refused_with_what_was_found_and_expected(models, tmp_path):
    error = error_of(check_detector, "disk", models["pairs"])
    assert error.code == "bad_model" and "kpts0" in error.message and "one picture" in error.advice
    error = error_of(check_matcher, models["disk"])
    assert error.code == "bad_model" and "image" in error.message and "desc1" in error.advice
    graph = Graph()
    graph.output("map", graph.input("image", (1, 3, "h", "w")), (1, 3, "h", "w"))
    path = str(graph.write(tmp_path / "map.onnx"))
    assert "keypoints" in error_of(check_detector, "disk", path).advice
    graph = Graph()
    mean = graph.add("ReduceMean", graph.input("image", (1, 3, "h", "w")), axes=[1], keepdims=1)
    for name in ("keypoints", "descriptors", "scores"):
        graph.output(name, mean, (1, 1, "h", "w"))
    path = str(graph.write(tmp_path / "maps.onnx"))
    assert "1 x N x 2" in error_of(disk, np.zeros((64, 64), np.uint8), model=path).advice
    x, d = np.zeros((5, 2)), np.ones((5, LENGTH), np.float32)
    graph = Graph()
    for name in ("kpts0", "kpts1", "desc0", "desc1"):
        graph.input(name, (1, "n", "d"))
    graph.output("matches0", graph.const([[[1, 2, 3, 4]]], "int64"), (1, 1, 4), "int64")
    graph.output("mscores0", graph.const([[1.0, 2.0]]), (1, 2))
    path = str(graph.write(tmp_path / "light.onnx"))
    assert error_of(match_by_network, path, x, x, d, d, ((9, 9), (9, 9))).code == "bad_model"


def test_the_name_of_a_detector_carries_its_file():
    config = Config(detector="disk:a.onnx", options={"detector.matcher_model": "b.onnx"})
    assert config.detector == "disk" and config.of("detector") == {"model": "a.onnx", "matcher_model": "b.onnx"}
    assert error_of(Config, detector="disk").code == "bad_option"
    assert error_of(aliked, np.zeros((64, 64), np.uint8)).code == "bad_option"
    assert error_of(Config, detector="sift:a.onnx").code == "bad_option"
