"""Scores are checked on results made from the truth and then altered by a known amount."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from examples import tries
from hypothesis import given, settings
from hypothesis import strategies as st

from stereo3d.errors import StereoError
from stereo3d.evaluation import disparity as disparity_module
from stereo3d.evaluation import mesh as mesh_module
from stereo3d.evaluation import mesh_truth, pose
from stereo3d.geometry import hom, rotation_from_vector, undistort
from stereo3d.records import Camera, Mesh

nan = np.nan
W, H, F = 160, 120, 170.0
K = np.array([[F, 0, 78.3], [0, F * 1.01, 61.6], [0, 0, 1]])
CAMERA = Camera(K, (W, H))


# Disparity


def test_disparity_scores_by_hand():
    truth = np.array([[10, 10, 10, 10], [20, 20, 20, nan], [5, 5, nan, nan]], dtype=np.float32)  # 9 known
    found = np.array([[10, 10.5, 10.75, 9], [21.5, nan, 17, 3], [5, nan, nan, 7]], dtype=np.float32)
    nonocc = np.array([[1, 1, 1, 0], [1, 1, 0, 1], [1, 0, 1, 1]], dtype=bool)  # 6 of them with truth
    scores = disparity_module.disparity_scores(found, truth, nonocc)
    # errors with truth: 0 .5 .75 1 | 1.5 nan 3 | 0 nan
    assert scores["all"] == pytest.approx(
        {
            "pixels": 9,
            "coverage": 700 / 9,
            "bad_0.5": 700 - 100 * 58 / 9,
            "bad_1": 400 / 9,
            "bad_2": 300 / 9,
            "mean_error": 6.75 / 7,
            "bad_1_kept": 200 / 7,
        }
        | {"bad_0.5": 600 / 9}
    )
    # of them non-occluded: 0 .5 .75 | 1.5 nan | 0
    assert scores["nonocc"] == pytest.approx(
        {
            "pixels": 6,
            "coverage": 500 / 6,
            "bad_0.5": 300 / 6,
            "bad_1": 200 / 6,
            "bad_2": 100 / 6,
            "mean_error": 2.75 / 5,
            "bad_1_kept": 100 / 5,
        }
    )
    assert scores["kept"] == pytest.approx({"pixels": 7, "coverage": 700 / 9, "bad_1": 200 / 7})
    assert all(type(v) in (int, float) for part in scores.values() for v in part.values())


def test_disparity_scores_of_nothing():
    empty = np.full((2, 3), nan, dtype=np.float32)
    scores = disparity_module.disparity_scores(empty, np.ones((2, 3)))
    assert "nonocc" not in scores
    assert scores["all"]["bad_2"] == 100 and scores["kept"]["coverage"] == 0 and math.isnan(scores["kept"]["bad_1"])
    assert math.isnan(disparity_module.disparity_scores(np.ones((2, 3)), empty)["all"]["bad_1"])
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        disparity_module.disparity_scores(np.ones((2, 3)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="nonocc"):
        disparity_module.disparity_scores(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 2)))


def test_non_occluded_by_each_rule():
    truth = np.array([[1, 1, 2, 2, nan, 3.4]], dtype=np.float32)  # seen at columns -1, 0, 0, 1, -, 1.6 of the right
    assert disparity_module.non_occluded(truth).tolist() == [[False, True, True, True, False, True]]
    mask = np.array([[True, False, True, True, True, False]])
    assert disparity_module.non_occluded(truth, mask=mask).tolist() == [[True, False, True, True, False, False]]
    right = np.array([[2, nan, 2.4, 0, 0, 0]], dtype=np.float32)  # at 0: 2, at 1: unknown, at 2: 2.4
    assert disparity_module.non_occluded(truth, right, mask).tolist() == [[False, True, True, False, False, True]]


def write_scene(folder: Path, **changes) -> Path:
    from PIL import Image

    Image.fromarray(np.full((4, 6), 7, np.uint8)).save(folder / "l.png")
    Image.fromarray(np.full((4, 6, 3), 9, np.uint8)).save(folder / "r.png")
    raw = np.full((4, 6), 8, np.uint16)
    raw[0, 0], raw[1, 1] = 0, 99
    Image.fromarray(raw).save(folder / "d.png")
    facts = {"left": "l.png", "right": "r.png", "disp_left": "d.png", "scale": 4, "unknown": [0, 99], "calib": "c.txt"}
    (folder / "pair.json").write_text(json.dumps(facts | changes))
    return folder


def test_read_scene_of_our_own(tmp_path):
    scene = disparity_module.read_scene(write_scene(tmp_path))
    assert scene.name == tmp_path.name and scene.calib == tmp_path / "c.txt" and scene.truth_right is None
    assert scene.left.shape == (4, 6, 3) and (scene.left == 7).all() and (scene.right == 9).all()
    assert np.isnan(scene.truth[[0, 1], [0, 1]]).all() and (scene.truth[2:] == 2).all()
    assert scene.nonocc.sum() == 4 * 4 and not scene.nonocc[:, :2].any()


def test_read_scene_infinite_is_unknown(tmp_path):
    disparity = np.array([[1, np.inf, nan, -2]] * 4, dtype=np.float32).repeat([3, 1, 1, 1], axis=1)
    np.savez(tmp_path / "d.npz", disparity)
    scene = disparity_module.read_scene(write_scene(tmp_path, disp_left="d.npz", scale=1, unknown=["inf", "nan"]))
    assert np.isfinite(scene.truth).sum() == 4 * 4 and scene.truth[0, 0] == 1 and scene.truth[0, 5] == -2


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"left": "no.png"}, "file_missing"),
        ({"disp_left": "no.png"}, "file_missing"),
        ({"left": "pair.json"}, "file_unreadable"),
        ({"disp_left": "pair.json"}, "unknown_format"),
    ],
)
def test_read_scene_says_what_is_wrong(tmp_path, changes, code):
    with pytest.raises(StereoError) as caught:
        disparity_module.read_scene(write_scene(tmp_path, **changes))
    assert caught.value.code == code


def test_read_scene_of_two_sizes_or_no_scene(tmp_path):
    from PIL import Image

    write_scene(tmp_path)
    Image.fromarray(np.zeros((4, 7, 3), np.uint8)).save(tmp_path / "l.png")
    with pytest.raises(StereoError, match="6x4, its picture 7x4"):
        disparity_module.read_scene(tmp_path)
    (tmp_path / "pair.json").write_text('{"left": "l.png"')
    with pytest.raises(StereoError, match="JSON"):
        disparity_module.read_scene(tmp_path)
    (tmp_path / "pair.json").write_text('{"left": "l.png"}')
    with pytest.raises(StereoError, match="right, disp_left"):
        disparity_module.read_scene(tmp_path)
    with pytest.raises(StereoError, match="no such file"):
        disparity_module.read_scene(tmp_path / "nowhere")


# name: height, width, share of truth, disparity in px within, whether there is truth from the right
SCENES = {
    "Aloe_half": (555, 641, 0.97, 15, 110, True),
    "Baby1": (370, 413, 0.99, 5, 80, True),
    "Books": (370, 463, 0.99, 5, 80, True),
    "Bowling2": (370, 443, 0.95, 5, 80, True),
    "Cloth1": (370, 417, 0.99, 5, 80, True),
    "Dolls": (370, 463, 0.99, 2, 80, True),
    "Flowerpots": (370, 437, 0.86, 0.3, 80, True),
    "Lampshade1": (370, 433, 0.97, 5, 80, True),
    "Laundry": (370, 447, 0.99, 5, 80, True),
    "Midd1": (370, 465, 0.93, 4, 80, True),
    "Motorcycle": (500, 741, 0.93, 5, 64, False),  # ndisp=64 in its calib.txt
    "Plastic": (370, 423, 0.99, 5, 80, True),
    "Wood1": (370, 457, 0.99, 5, 80, True),
    "cones": (375, 450, 0.97, 1, 63.75, True),
    "eth3d_terrace": (434, 713, 0.53, 1, 40, False),
    "kitti2012_000070": (376, 1241, 0.29, 1, 230, False),
    "tsukuba": (288, 384, 252 * 348 / (288 * 384), 5, 14, False),  # an unknown border of 18 px
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", SCENES)
def test_read_scene_of_the_shared_data(name, shared_data):
    height, width, share, low, high, from_right = SCENES[name]
    scene = disparity_module.read_scene(shared_data / "disparity" / name)
    assert scene.name == name
    assert scene.left.shape == scene.right.shape == (height, width, 3) and scene.left.dtype == np.uint8
    assert scene.truth.shape == (height, width) and scene.truth.dtype == np.float32
    known = np.isfinite(scene.truth)
    assert known.mean() == pytest.approx(share, abs=0.01)
    assert low <= scene.truth[known].min() and scene.truth[known].max() <= high
    assert (scene.truth_right is not None) == from_right
    assert not np.any(scene.nonocc & ~known) and 0.8 < scene.nonocc.sum() / known.sum() < 1
    assert scene.calib is None or scene.calib.is_file()
    # the photographs agree with the sign: what the truth calls the same point looks the same
    y, x = np.nonzero(scene.nonocc)
    there = np.clip(np.floor(x - scene.truth[y, x] + 0.5), 0, width - 1).astype(int)
    left, right = scene.left.mean(2), scene.right.mean(2)
    same, unmoved = np.median(np.abs(left[y, x] - right[y, there])), np.median(np.abs(left[y, x] - right[y, x]))
    assert same < unmoved
    scores = disparity_module.disparity_scores(scene.truth, scene.truth, scene.nonocc)
    assert scores["all"]["bad_0.5"] == 0 and scores["kept"]["coverage"] == 100


@pytest.mark.real_data
def test_right_truth_finds_the_published_mask_of_cones(shared_data):
    from PIL import Image

    folder = shared_data / "disparity" / "cones"
    scene = disparity_module.read_scene(folder)
    published = np.array(Image.open(folder / "mask_nonocc.png").convert("L")) == 255
    assert (published & scene.nonocc).sum() / (published | scene.nonocc).sum() > 0.97


# Pose


def test_pose_errors_by_hand():
    R = rotation_from_vector(np.radians([0, 3, 0]))
    errors = pose.pose_errors(R, np.array([1.0, 1, 0]), np.eye(3), np.array([5.0, 0, 0]))
    assert errors == pytest.approx({"rotation_deg": 3, "direction_deg": 45, "pose_deg": 45}, abs=1e-9)
    assert pose.pose_errors(R, [-1, 0, 0], R, [1, 0, 0])["direction_deg"] == pytest.approx(180)
    assert pose.pose_errors(R, [0, 0, 2], R, [0, 0, 1])["pose_deg"] == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="no direction"):
        pose.pose_errors(R, [0, 0, 0], R, [0, 0, 1])
    with pytest.raises(ValueError, match=r"t \(2,\)"):
        pose.pose_errors(R, [0, 0], R, [0, 0, 1])


def test_relative_pose_takes_camera_1_to_camera_2():
    rng = np.random.default_rng(0)
    R1, R2 = rotation_from_vector(rng.normal(size=3)), rotation_from_vector(rng.normal(size=3))
    t1, t2, X = rng.normal(size=3), rng.normal(size=3), rng.normal(size=(5, 3))
    R, t = pose.relative_pose(R1, t1, R2, t2)
    assert np.allclose((X @ R1.T + t1) @ R.T + t, X @ R2.T + t2, atol=1e-12)


def test_auc_by_hand():
    assert pose.auc([0, 0, 0], 5) == 1
    assert pose.auc([5, 7, nan, np.inf], 5) == 0
    assert pose.auc([1, 4, 10, nan], 5) == pytest.approx((4 / 5 + 1 / 5) / 4)
    for bad in (([], 5), ([1], 0)):
        with pytest.raises(ValueError, match="positive threshold"):
            pose.auc(*bad)


@settings(deadline=None, max_examples=tries(30))
@given(st.lists(st.floats(0, 30), min_size=1, max_size=40), st.floats(0.5, 20))
def test_auc_is_the_integral_of_the_recall(errors, threshold):
    e = (np.arange(20_000) + 0.5) / 20_000 * threshold
    recall = np.searchsorted(np.sort(errors), e, side="right") / len(errors)
    assert pose.auc(errors, threshold) == pytest.approx(recall.mean(), abs=1e-4)


def test_focal_error_is_of_the_same_picture_at_any_size():
    truth = Camera(np.diag([1000.0, 1000, 1]), (2000, 1500))
    assert pose.focal_error_percent(Camera(np.diag([1050.0, 1050, 1]), (2000, 1500)), truth) == pytest.approx(5)
    assert pose.focal_error_percent(Camera(np.diag([490.0, 490, 1]), (1000, 750)), truth) == pytest.approx(-2)


def test_read_truth_camera(tmp_path):
    R = rotation_from_vector(np.array([0.1, 0.2, 0.3]))
    entry = {"K": K.tolist(), "R": np.round(R, 6).tolist(), "t": [1, 2, 3], "size": [W, H]}
    (tmp_path / "a.json").write_text(json.dumps({"note": "", "cameras": {"0004": entry}}))
    (tmp_path / "b.json").write_text(json.dumps({"F": [1], "left": entry, "right": entry | {"dist": [0.1, 0.01]}}))
    camera, R_read, t = pose.read_truth_camera(tmp_path / "a.json", "0004")
    assert np.array_equal(camera.K, K) and camera.size == (W, H) and len(camera.dist) == 0
    assert np.allclose(R_read, R, atol=2e-6) and np.allclose(R_read @ R_read.T, np.eye(3), atol=1e-14)
    assert t.tolist() == [1, 2, 3]
    assert pose.read_truth_camera(tmp_path / "b.json", "right")[0].dist.tolist() == [0.1, 0.01]
    with pytest.raises(StereoError, match="no view '7'.*left, right"):
        pose.read_truth_camera(tmp_path / "b.json", "7")
    for change in (
        {"K": [[1, 2]]},
        {"R": (2 * R).tolist()},
        {"R": np.diag([1, 1, -1]).tolist()},
        {"t": [1, 2]},
        {"size": [3]},
        {"K": np.zeros((3, 3)).tolist()},
        {"K": "x"},
        {"dist": [nan]},
    ):
        (tmp_path / "c.json").write_text(json.dumps({"cameras": {"x": entry | change}}))
        with pytest.raises(StereoError) as caught:
            pose.read_truth_camera(tmp_path / "c.json", "x")
        assert caught.value.code == "bad_calibration"
    (tmp_path / "d.json").write_text("{}")
    with pytest.raises(StereoError, match="no camera"):
        pose.read_truth_camera(tmp_path / "d.json", "x")


# Mesh


def scene_depth(width=W, height=H) -> np.ndarray:
    """True depth of a room's corner, its floor and a part of a sphere, at any size of the same pixel grid."""
    s = width / W
    x, y = np.meshgrid((np.arange(width) + 0.5) / s - 0.5, (np.arange(height) + 0.5) / s - 0.5)
    ray = hom(np.stack([x, y], -1)) @ np.linalg.inv(K).T
    walls = np.minimum(5 / (ray @ [0.4, 0.0, 1.0]), 5 / (ray @ [-0.5, 0.1, 1.0]))
    floor = 1.3 / np.maximum(ray[..., 1], 1e-9)
    z = np.minimum(walls, floor)
    centre, radius = np.array([-0.3, 0.2, 3.8]), 1.0
    a, b, c = (ray**2).sum(-1), ray @ centre, centre @ centre - radius**2
    hit = b * b - a * c
    # no steeper than 53 degrees, so that the sphere's pixels hang together
    return (
        np.where(hit > 0.36 * a * radius**2, (b - np.sqrt(np.maximum(hit, 0))) / a, z).astype(np.float32).astype(float)
    )


def depth_mesh(depth: np.ndarray, camera: Camera = CAMERA, jump=None) -> Mesh:
    """Every pixel a vertex, every cell without a jump two triangles that face the camera."""
    h, w = depth.shape
    y, x = np.mgrid[:h, :w]
    photo = np.stack([(x.ravel() + 0.5) * camera.size[0] / w, (y.ravel() + 0.5) * camera.size[1] / h], -1) - 0.5
    X = hom(undistort(photo, camera.K, camera.dist)) * np.nan_to_num(depth.ravel(), nan=1.0)[:, None]
    index = np.arange(h * w).reshape(h, w)
    quad = np.stack([index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], -1).reshape(-1, 4)
    z = depth.ravel()[quad]
    jump = 0.022 * W / w if jump is None else jump  # a slope of 3.7
    quad = quad[z.max(1) <= z.min(1) * (1 + jump)]  # False for NaN
    faces = np.concatenate([quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]]).astype(np.int32)
    uv = np.stack([(photo[:, 0] + 0.5) / camera.size[0], 1 - (photo[:, 1] + 0.5) / camera.size[1]], -1)
    return Mesh(X, faces, uv)


def moved(mesh: Mesh, s: float, r, t) -> Mesh:
    return Mesh(s * mesh.vertices @ rotation_from_vector(np.asarray(r, float)).T + t, mesh.faces, mesh.uv)


@pytest.fixture(scope="module")
def depth():
    return scene_depth()


@pytest.fixture(scope="module")
def mesh(depth):
    return depth_mesh(depth)


def score(mesh, depth, camera=CAMERA, **options):
    return mesh_module.mesh_scores(mesh, depth, camera, **{"samples": 40_000} | options)


@pytest.mark.parametrize("align", ["similarity", "scale", "none"])
def test_the_truth_itself_scores_one(mesh, depth, align):
    s = score(mesh, depth, align=align)
    assert s["f_score"] == s["precision"] == s["completeness"] == s["depth_within"] == 1
    # distances are single precision
    assert s["surface_median_percent"] < 1e-4 and s["depth_median_percent"] < 1e-6
    assert s["depth_scale"] == pytest.approx(1, abs=1e-8) and s["scale"] == pytest.approx(1, abs=1e-9)
    assert not s["mirrored"] and s["reflection"] == "" and s["samples_without_truth"] == 0
    assert s["footprint"] > 0.95 and s["faces"] == len(mesh.faces)
    assert ("metric_depth_median_percent" in s) == (align == "none")
    json.dumps(s, allow_nan=False)


@settings(deadline=None, max_examples=tries(6))
@given(st.floats(0.01, 100), st.tuples(*[st.floats(-1.7, 1.7)] * 3), st.tuples(*[st.floats(-50, 50)] * 3))
def test_a_similarity_of_the_mesh_changes_nothing(s, r, t):
    depth = scene_depth(W // 2, H // 2)
    found = score(moved(depth_mesh(depth), s, r, np.array(t)), depth, samples=5000)
    assert found["f_score"] == 1 and found["surface_median_percent"] < 1e-3 and not found["mirrored"]
    assert found["scale"] * s == pytest.approx(1, abs=1e-6)
    R, back = np.array(found["R"]), -rotation_from_vector(np.array(r)).T @ np.array(t) / s
    assert np.allclose(R @ rotation_from_vector(np.array(r)), np.eye(3), atol=1e-6)
    assert np.allclose(found["t"], back, atol=1e-6 * max(1, np.abs(back).max()))


def test_scale_alone_is_found_and_its_lack_is_told(mesh, depth):
    grown = moved(mesh, 1.25, [0, 0, 0], 0)
    s = score(grown, depth, align="scale")
    assert s["f_score"] == 1 and s["scale"] == pytest.approx(0.8, abs=1e-12) and s["rotation_deg"] == 0
    s = score(grown, depth, align="none")
    assert s["metric_depth_median_percent"] == pytest.approx(25) and s["metric_depth_within"] == 0
    assert s["depth_median_percent"] < 1e-6 and s["f_score"] < 0.1


def test_outliers_do_not_pull_the_alignment(mesh, depth):
    rng = np.random.default_rng(0)
    wrong = rng.random(len(mesh.vertices)) < 0.4
    torn = Mesh(np.where(wrong[:, None], mesh.vertices * 1.5 + [1, 0, 0], mesh.vertices), mesh.faces, mesh.uv)
    s = score(moved(torn, 3.0, [0.2, -0.1, 0.4], [1, 2, 3]), depth)
    assert s["scale"] == pytest.approx(1 / 3, abs=1e-6)
    assert np.allclose(np.array(s["R"]) @ rotation_from_vector(np.array([0.2, -0.1, 0.4])), np.eye(3), atol=1e-6)


def plane(z=5.0):
    return np.full((H, W), z)


@pytest.mark.parametrize("sigma", [0.004, 0.01])
def test_noise_of_known_size_gives_the_error_of_theory(sigma):
    """Loose triangles, each shifted along z by N(0, sigma z), before a plane facing the camera: |N| is the error."""
    whole = depth_mesh(plane())
    X, uv = whole.vertices[whole.faces], whole.uv[whole.faces]
    X = X + np.random.default_rng(1).normal(0, sigma * 5, (len(X), 1, 1)) * [0, 0, 1]
    soup = Mesh(X.reshape(-1, 3), np.arange(X.size // 3).reshape(-1, 3), uv.reshape(-1, 2))
    s = score(soup, plane(), align="none", samples=100_000)
    # 38,000 independent shifts: a median is good to 0.6 %, a share to 0.0024; some four times that is allowed
    assert s["surface_median_percent"] == pytest.approx(67.449 * sigma, rel=0.025)
    assert s["metric_depth_median_percent"] == pytest.approx(67.449 * sigma, rel=0.025)
    assert s["precision"] == pytest.approx(math.erf(0.01 / sigma / math.sqrt(2)), abs=0.01)
    assert s["completeness"] > 0.99


def test_half_the_mesh_is_half_complete():
    half = plane()
    half[:, W // 2 :] = nan  # the mesh ends at column W/2 - 1, and reaches 1 % of depth = 0.01 F = 1.7 px further
    s = score(depth_mesh(half), plane())
    assert s["precision"] == 1
    assert s["completeness"] == pytest.approx((W / 2 + 1) / W, abs=1e-12)
    assert s["footprint"] == pytest.approx((W / 2 - 1) * (H - 1) / (W * H))  # between the centres of its pixels
    assert s["f_score"] == pytest.approx(2 * s["completeness"] / (1 + s["completeness"]))


@pytest.mark.parametrize("axes, name", [((-1, 1, 1), "x"), ((1, -1, 1), "y"), ((1, 1, -1), "z"), ((-1,) * 3, "point")])
def test_a_mirrored_mesh_is_named(mesh, depth, axes, name):
    s = score(Mesh(mesh.vertices * axes, mesh.faces, mesh.uv), depth)
    assert s["mirrored"] and s["reflection"].split()[0] == name
    assert s["mirrored_median_percent"] < 1e-6 < 1 < s["alignment_median_percent"] and s["f_score"] < 0.9


def test_a_mirrored_mesh_is_named_where_a_plane_fills_the_picture(mesh, depth):
    mostly = plane()
    mostly[40:80, 40:120] = depth[40:80, 40:120] * 0.8
    found = depth_mesh(mostly)
    assert not score(found, mostly)["mirrored"]
    s = score(Mesh(found.vertices * [-1, 1, 1], found.faces, found.uv), mostly)
    assert s["alignment_median_percent"] < 1e-6 and s["mirrored"] and s["reflection"].startswith("x")


def test_noise_is_not_taken_for_a_mirror(mesh, depth):
    rng = np.random.default_rng(2)
    noisy = Mesh(mesh.vertices * (1 + 0.02 * rng.standard_normal((len(mesh.vertices), 1))), mesh.faces, mesh.uv)
    assert not score(noisy, depth)["mirrored"]
    assert not score(noisy, depth, align="none")["mirrored"]
    flat = depth_mesh(plane())  # a plane equals its mirror image
    assert not score(Mesh(flat.vertices + rng.normal(0, 0.01, flat.vertices.shape), flat.faces, flat.uv), plane())[
        "mirrored"
    ]


def test_a_balloon_costs_its_share_of_the_area():
    whole = depth_mesh(plane())
    centre = whole.uv[whole.faces].mean(1)
    blown = (np.abs(centre - 0.5) < 0.2).all(1)
    first = len(whole.vertices)  # its own vertices, a tenth farther along the rays: 1.21 times the area
    balloon = Mesh(
        np.concatenate([whole.vertices, whole.vertices * 1.1]),
        np.where(blown[:, None], whole.faces + first, whole.faces),
        np.concatenate([whole.uv, whole.uv]),
    )
    s = score(balloon, plane(), align="none")
    assert s["precision"] == pytest.approx((~blown).sum() / ((~blown).sum() + 1.21 * blown.sum()), abs=1e-3)
    assert s["completeness"] == pytest.approx(1 - blown.mean(), abs=0.03)
    assert s["footprint"] > 0.98  # the photo is covered all the same


def test_surface_beyond_the_truth_is_not_counted(depth, mesh):
    known = depth.copy()
    known[:, : W // 4] = nan
    s = score(mesh, known)
    area = mesh_module._areas(mesh.vertices, mesh.faces)
    expected = area[(mesh.uv[mesh.faces, 0] * W).mean(1) < W // 4].sum() / area.sum()
    assert s["samples_without_truth"] / 40_000 == pytest.approx(expected, abs=0.01)
    assert s["precision"] == s["completeness"] == 1 and s["truth_pixels"] == H * W * 3 // 4


def test_truth_at_another_size(mesh):
    for factor in (0.5, 2):
        s = score(mesh, scene_depth(int(W * factor), int(H * factor)))
        # the ring around the sphere that the mesh cuts away, and the facets of its limb
        assert s["f_score"] > 0.99 and s["surface_median_percent"] < 0.01
        assert s["scale"] == pytest.approx(1, abs=1e-3)


def test_lens_distortion_belongs_to_the_camera(depth):
    camera = Camera(K, (W, H), np.array([-0.2, 0.05, 0.001, -0.001]))
    mesh = depth_mesh(depth, camera)
    assert score(mesh, depth, camera, align="none")["f_score"] == 1
    assert score(mesh, depth, CAMERA, align="none")["f_score"] < 0.95


def test_a_wrong_focal_shows_in_the_surface_and_not_in_the_depth(depth):
    guessed = Camera(np.diag([1.1, 1.1, 1]) @ K, (W, H))
    s = score(depth_mesh(depth, guessed), depth)
    assert s["depth_median_percent"] < 1e-6 and s["surface_median_percent"] > 0.3


def test_without_uv(depth, mesh):
    bare = Mesh(2 * mesh.vertices, mesh.faces)
    s = score(bare, depth, align="scale")
    assert s["f_score"] == 1 and s["scale"] == pytest.approx(0.5) and "mirrored" not in s
    with pytest.raises(StereoError, match="no texture coordinates") as caught:
        score(bare, depth)
    assert caught.value.code == "bad_option"
    with pytest.raises(StereoError, match="0 of .* vertices") as caught:
        score(Mesh(-mesh.vertices, mesh.faces), depth, align="scale")
    assert caught.value.code == "no_overlap"


def test_lone_and_sparse_truth_counts(mesh, depth):
    """Laser truth on every third row and column has no cell of four neighbours."""
    sparse = np.full_like(depth, nan)
    sparse[::3, ::3] = depth[::3, ::3]
    s = score(mesh, sparse)
    assert s["completeness"] == 1 and s["truth_pixels"] == np.isfinite(sparse).sum()
    assert s["precision"] > 0.95 and s["samples_without_truth"] > 30_000


def test_large_truth_is_thinned_to_the_same_surface(depth, mesh, monkeypatch):
    monkeypatch.setattr("stereo3d.evaluation.mesh_truth.TRUTH_TRIANGLES", 10_000)
    monkeypatch.setattr("stereo3d.evaluation.mesh.TRUTH_POINTS", 5_000)
    triangles = mesh_truth._truth_triangles(depth.astype(np.float32), K, np.zeros(0), 0.02)
    assert len(triangles[1]) < 0.6 * len(mesh.faces)
    s = score(mesh, depth)
    assert s["precision"] > 0.999 and s["completeness"] == 1 and s["surface_median_percent"] < 0.01
    assert 4_000 < s["truth_pixels"] <= 5_100


def test_distance_agrees_with_a_tree_of_dense_points():
    from scipy.spatial import cKDTree

    mesh = depth_mesh(scene_depth(W // 4, H // 4), jump=0.1)
    rng = np.random.default_rng(3)
    X = mesh.vertices[rng.integers(len(mesh.vertices), size=500)] + rng.normal(0, 0.2, (500, 3))
    n = 16  # a lattice over each triangle: no point of it is farther than the longest edge / n from one of these
    lattice = np.array([(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)]) / n
    corners = mesh.vertices[mesh.faces]
    spacing = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1).max() / n
    near = cKDTree((lattice @ corners).reshape(-1, 3)).query(X)[0]
    exact = mesh_module._distance((mesh.vertices, mesh.faces), X)
    assert np.all(exact <= near + 1e-5) and np.all(near <= np.hypot(exact, spacing) + 1e-5)
    assert spacing < 0.2 * np.median(exact)


def test_mesh_scores_refuses(mesh, depth):
    with pytest.raises(StereoError, match="align='rigid'"):
        score(mesh, depth, align="rigid")
    with pytest.raises(StereoError, match="120x160, the photo 160x120"):
        score(mesh, depth.T)
    with pytest.raises(StereoError, match="0 of .* vertices"):
        score(mesh, np.zeros((H, W)))
    with pytest.raises(StereoError, match="no face") as caught:
        score(Mesh(mesh.vertices, np.zeros((5, 3), int), mesh.uv), depth)
    assert caught.value.code == "empty_mesh"
    with pytest.raises(StereoError, match="behind the camera"):
        score(Mesh(-mesh.vertices, mesh.faces, mesh.uv), depth, align="scale")
    with pytest.raises(ValueError, match=r"\(H,W\)"):
        score(mesh, depth[None])
    with pytest.raises(ValueError, match="threshold"):
        score(mesh, depth, threshold=0)
    with pytest.raises(ValueError, match="name vertices"):
        score(Mesh(mesh.vertices[:10], mesh.faces, mesh.uv[:10]), depth)


def test_equal_seeds_give_equal_scores(mesh, depth):
    noisy = Mesh(mesh.vertices * np.linspace(1, 1.03, len(mesh.vertices))[:, None], mesh.faces, mesh.uv)
    assert score(noisy, depth, seed=4) == score(noisy, depth, seed=4)
    assert score(noisy, depth, seed=4) != score(noisy, depth, seed=5)


@pytest.mark.parametrize("number", ["1" + "0" * 400, "1e999", "NaN", "-Infinity", "[" * 20_000])
@pytest.mark.parametrize("key", ["K", "size", "R", "t", "dist"])
def test_truth_cameras_with_numbers_that_are_none(tmp_path, key, number):
    view = {"K": [[1, 0, 1], [0, 1, 1], [0, 0, 1]], "size": [4, 3], "R": [], "t": [], "dist": []}
    text = json.dumps({"left": {**view, key: ["@"]}}).replace('"@"', number)
    (tmp_path / "cameras.json").write_text(text)
    with pytest.raises(StereoError) as caught:
        pose.read_truth_camera(tmp_path / "cameras.json", "left")
    assert caught.value.code in ("file_unreadable", "bad_calibration")


@pytest.mark.real_data
def test_fountain_truth_as_a_mesh(shared_data):
    from stereo3d.io import read_map

    folder = shared_data / "photos" / "fountain"
    camera, _, _ = pose.read_truth_camera(folder / "cameras.json", "0004")
    z = read_map(folder / "depth" / "0004.npz", unknown=[0])
    assert z.shape == (2048, 3072) and camera.size == (3072, 2048)
    k = 6  # every sixth pixel, at the centre of its block, as in a map of a sixth of the size
    coarse = z[k // 2 :: k, k // 2 :: k].astype(float)
    y, x = np.mgrid[k // 2 : z.shape[0] : k, k // 2 : z.shape[1] : k]
    mesh = depth_mesh(coarse, camera, jump=0.01)
    photo = np.stack([x.ravel(), y.ravel()], -1).astype(float)
    X = hom(undistort(photo, camera.K)) * np.nan_to_num(coarse.ravel(), nan=1.0)[:, None]
    uv = np.stack([(photo[:, 0] + 0.5) / 3072, 1 - (photo[:, 1] + 0.5) / 2048], -1)
    s = score(Mesh(X / 7, mesh.faces, uv), z, camera)
    assert s["f_score"] > 0.99 and s["depth_median_percent"] < 0.05 and s["surface_median_percent"] < 0.05
    assert s["scale"] == pytest.approx(7, rel=1e-6) and not s["mirrored"]


@pytest.mark.parametrize("claimed, share", [(1.0, 0.683), (2.0, 0.954), (0.5, 0.383)])
def test_vertices_within_sigma_are_counted(claimed, share):
    """Depths with normal errors of 0.4 %, and a sigma that claims so much, twice, or half of it."""
    height, width = 90, 120
    K = np.array([[100.0, 0, 59.5], [0, 100, 44.5], [0, 0, 1]])
    v, u = np.mgrid[:height, :width]
    z = 4 + u / 60
    rays = np.stack([(u - 59.5) / 100, (v - 44.5) / 100, np.ones(u.shape)], -1)
    noisy = z * (1 + 0.004 * np.random.default_rng(0).normal(size=z.shape))
    X = (rays * noisy[..., None]).reshape(-1, 3)
    i = np.arange(z.size).reshape(z.shape)
    a, b, c, d = i[:-1, :-1].ravel(), i[1:, :-1].ravel(), i[1:, 1:].ravel(), i[:-1, 1:].ravel()
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).astype(np.int32)
    sigma = claimed * 0.004 * np.linalg.norm(X, axis=1)
    sigma[::7] = np.nan  # filled: not counted
    mesh = Mesh(3 * X, faces, sigma=3 * sigma)
    found = mesh_module.mesh_scores(mesh, z, Camera(K, (width, height)), align="scale", samples=2000)["within_sigma"]
    assert found == pytest.approx(share, abs=0.02)
