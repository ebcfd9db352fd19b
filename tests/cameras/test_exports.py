"""Cameras in the forms of other programs: read back by our readers, and projected by OpenCV and by hand."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from stereo3d.cameras import read_rig
from stereo3d.cameras.exports import tracks_of, write_colmap, write_opencv, write_transforms
from stereo3d.errors import StereoError
from stereo3d.geometry import rotation_from_vector
from stereo3d.io.style import AXES
from stereo3d.records import Camera, Rig, WideLens

SIZE = (640, 480)
BROWN = np.array([-0.2, 0.06, 0.001, -0.002])
LENSES = {
    "none": {},
    "brown": {"dist": BROWN},
    "five": {"dist": np.array([*BROWN, -0.01])},
    "rational": {"dist": np.array([*BROWN, -0.01, 0.1, 0.02, -0.003])},
    "fisheye": {"lens": WideLens("fisheye", (0.02, -0.01, 0.003, -0.001))},
}
NAMES = ("left.jpg", "right.jpg")


def rig_with(lens):
    K1 = np.array([[500.0, 0, 322], [0, 505, 238], [0, 0, 1]])
    K2 = np.array([[480.0, 0, 315], [0, 482, 242], [0, 0, 1]])
    R = rotation_from_vector([0.02, -0.1, 0.03])
    return Rig(Camera(K1, SIZE, **LENSES[lens]), Camera(K2, SIZE, **LENSES[lens]), R, np.array([-0.2, 0.01, 0.03]), "m")


def seen(rig, n=150):
    """Points of both photos, their pixels by OpenCV, and a first photo whose colours tell its pixels."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.uniform(-0.8, 0.8, (n, 2)), np.ones(n)]) * rng.uniform(2, 5, (n, 1))
    x1 = project_by_opencv(X, rig.cam1, np.eye(3), np.zeros(3))
    x2 = project_by_opencv(X, rig.cam2, rig.R, rig.t)
    inside = np.all([(x > 1) & (x < np.array(SIZE) - 2) for x in (x1, x2)], axis=(0, 2))
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    return X[inside], x1[inside], x2[inside], np.stack([x % 256, y % 256, x // 256], -1).astype(np.uint8)


def project_by_opencv(X, camera, R, t):
    r, X = cv2.Rodrigues(R)[0], np.ascontiguousarray(X)
    if camera.lens is not None:
        x = cv2.fisheye.projectPoints(X[:, None], r, np.array(t), camera.K, np.array(camera.lens.coefficients))[0]
    else:
        x = cv2.projectPoints(X, r, np.array(t), camera.K, camera.dist if camera.dist.size else np.zeros(4))[0]
    return x.reshape(-1, 2)


def assert_same(read, rig):
    for got, camera in ((read.cam1, rig.cam1), (read.cam2, rig.cam2)):
        assert np.allclose(got.K, camera.K, atol=1e-6) and got.size == camera.size
        if camera.lens is None:
            assert np.allclose(
                got.dist, np.pad(camera.dist, (0, max(0, len(got.dist) - len(camera.dist))))[: len(got.dist)]
            )
        else:
            assert got.lens.model == camera.lens.model and np.allclose(got.lens.coefficients, camera.lens.coefficients)
    assert np.allclose(read.R, rig.R, atol=1e-9)
    assert np.allclose(read.t / np.linalg.norm(read.t), rig.t / np.linalg.norm(rig.t), atol=1e-9)


@pytest.mark.parametrize("lens", LENSES)
def test_colmap(tmp_path, lens):
    rig = rig_with(lens)
    X, x1, x2, photo = seen(rig)
    tracks = tracks_of(x1, x2, photo, rig)
    assert len(X) > 25 and np.allclose(tracks.X, X, atol=1e-6)
    files = write_colmap(tmp_path, rig, tracks, NAMES)
    assert [path.name for path in files] == ["cameras.txt", "images.txt", "points3D.txt"]
    assert_same(read_rig(tmp_path), rig)
    lines = [line.split() for line in (tmp_path / "images.txt").read_text().splitlines() if line[0] != "#"]
    assert [lines[k][9] for k in (0, 2)] == list(NAMES)
    points = {row[0]: row for row in np.loadtxt(tmp_path / "points3D.txt")}
    assert sorted(points) == list(range(1, len(X) + 1))
    for k, camera in ((0, rig.cam1), (1, rig.cam2)):
        w, x, y, z, *t = (float(v) for v in lines[2 * k][1:8])
        R = np.array(  # COLMAP's documentation: the quaternion of Hamilton, scalar first
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        )
        seen_there = np.array(lines[2 * k + 1], dtype=float).reshape(-1, 3)
        own = np.array([points[n] for n in seen_there[:, 2]])
        pixels = project_by_opencv(own[:, 1:4], camera, R, t) + 0.5  # COLMAP counts from the corner of the first
        assert np.abs(pixels - seen_there[:, :2]).max() < 0.01
        image, index = own[:, 8 + 2 * k].astype(int), own[:, 9 + 2 * k].astype(int)
        assert (image == k + 1).all() and np.array_equal(seen_there[index, 2], own[:, 0])
        if k == 0:
            column, row = np.rint(seen_there[:, :2] - 0.5).astype(int).T
            assert np.array_equal(own[:, 4:7], photo[row, column])
    assert max(row[7] for row in points.values()) < 0.01


def test_points_behind_or_at_infinity_are_left_out():
    rig = rig_with("none")
    _, x1, x2, photo = seen(rig)
    assert len(tracks_of(x2, x1, photo, rig).X) < len(x1) / 4


@pytest.mark.parametrize("lens", [name for name in LENSES if name != "rational"])
def test_nerfstudio(tmp_path, lens):
    rig = rig_with(lens)
    X, x1, x2, _ = seen(rig)
    path = write_transforms(tmp_path / "transforms.json", rig, AXES["z-up"], ("../a.jpg", "../b.jpg"))
    assert_same(read_rig(path), rig)
    root = json.loads(path.read_text())
    assert root["unit"] == "m" and [frame["file_path"] for frame in root["frames"]] == ["../a.jpg", "../b.jpg"]
    world = X @ AXES["z-up"].T
    for frame, x, camera in zip(root["frames"], (x1, x2), (rig.cam1, rig.cam2), strict=True):
        to_camera = np.linalg.inv(np.array(frame["transform_matrix"]))
        right, up, back = (world @ to_camera[:3, :3].T + to_camera[:3, 3]).T
        assert (back < 0).all()
        assert (frame["w"], frame["h"]) == SIZE
        if lens == "none":
            u = frame["fl_x"] * right / -back + frame["cx"]
            v = frame["fl_y"] * -up / -back + frame["cy"]
            assert np.allclose(np.column_stack([u, v]) - 0.5, x, atol=1e-6)
        points = np.column_stack([right, -up, -back])
        assert np.allclose(project_by_opencv(points, camera, np.eye(3), np.zeros(3)), x, atol=1e-6)
    # z is up: what lies lower in the photo lies lower in the world
    assert np.corrcoef(world[:, 2], X[:, 1])[0, 1] < -0.999


@pytest.mark.parametrize("suffix", [".yml", ".xml"])
@pytest.mark.parametrize("lens", [name for name in LENSES if name != "fisheye"])
@pytest.mark.parametrize("turned", [False, True])
def test_opencv(tmp_path, suffix, lens, turned):
    """R1 P1 and R2 P2 put both pixels of a point into one row (column), and Q gives the point back."""
    rig = rig_with(lens)
    if turned:  # the second camera below the first
        rig = replace(rig, t=np.array([0.01, -0.2, 0.02]))
    X, x1, x2, _ = seen(rig)
    path = write_opencv(tmp_path / f"rig{suffix}", rig)
    assert_same(read_rig(path), rig)
    assert read_rig(path).unit == "m" and np.allclose(read_rig(path).t, rig.t)
    file = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
    R1, R2, P1, P2, Q, K1, D1, K2, D2 = (
        file.getNode(name).mat() for name in ("R1", "R2", "P1", "P2", "Q", "M1", "D1", "M2", "D2")
    )
    assert file.getNode("image_width").real() == SIZE[0] and file.getNode("image_height").real() == SIZE[1]
    exactly = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-9)
    u1 = cv2.undistortPoints(x1[:, None], K1, D1, R=R1, P=P1, criteria=exactly)[:, 0]
    u2 = cv2.undistortPoints(x2[:, None], K2, D2, R=R2, P=P2, criteria=exactly)[:, 0]
    along = 1 if turned else 0
    assert np.abs(u1 - u2)[:, 1 - along].max() < 0.01
    for u, P in ((u1, P1), (u2, P2)):  # both project the point of the first rectified camera
        x = np.column_stack([X @ R1.T, np.ones(len(X))]) @ P.T
        assert np.abs(x[:, :2] / x[:, 2:] - u).max() < 0.05
    back = np.column_stack([u1, (u1 - u2)[:, along], np.ones(len(X))]) @ Q.T
    assert np.abs(back[:, :3] / back[:, 3:] @ R1 - X).max() < 0.005


@pytest.mark.parametrize(
    "change, refused",
    [
        ({"lens": WideLens("eucm", (0.5, 1.0)), "dist": np.zeros(0)}, "colmap nerf opencv"),
        ({"lens": WideLens("fisheye", (0, 0, 0, 0)), "dist": np.zeros(0)}, "opencv"),
        ({"lens": WideLens("equirectangular"), "dist": np.zeros(0)}, "colmap nerf opencv"),
        ({"dist": np.array([*BROWN, 0, 0, 0, 0, 0.01, 0, 0, 0])}, "colmap nerf"),
        ({"dist": LENSES["rational"]["dist"]}, "nerf"),
        ({"K": np.array([[500.0, 3, 320], [0, 500, 240], [0, 0, 1]])}, "colmap nerf"),
        ({"size": (642, 480)}, "opencv"),
    ],
)
def test_a_camera_that_a_form_does_not_know_is_refused_by_name(tmp_path, change, refused):
    rig = rig_with("none")
    rig = replace(rig, cam2=replace(rig.cam2, **change))
    tracks = tracks_of(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((4, 4, 3), np.uint8), rig)
    calls = {
        "colmap": lambda: write_colmap(tmp_path, rig, tracks, NAMES),
        "nerf": lambda: write_transforms(tmp_path / "t.json", rig, np.eye(3), NAMES),
        "opencv": lambda: write_opencv(tmp_path / "r.yml", rig),
    }
    for name, call in calls.items():
        if name in refused.split():
            with pytest.raises(StereoError, match="--json") as caught:
                call()
            assert caught.value.code == "bad_option"
        else:
            assert call()


@pytest.mark.parametrize("lens", LENSES)
def test_colmap_in_pycolmap(tmp_path, lens):
    """COLMAP's own library reads cameras, poses, points and tracks, and projects the points to their pixels."""
    pycolmap = pytest.importorskip("pycolmap", reason="COLMAP's library is not installed")
    rig = rig_with(lens)
    X, x1, x2, photo = seen(rig)
    write_colmap(tmp_path, rig, tracks_of(x1, x2, photo, rig), NAMES)
    model = pycolmap.Reconstruction(str(tmp_path))
    assert (model.num_images(), model.num_points3D(), model.num_cameras()) == (2, len(X), 2)
    images = {image.name: image for image in model.images.values()}
    for name, x, R, t in ((NAMES[0], x1, np.eye(3), np.zeros(3)), (NAMES[1], x2, rig.R, rig.t)):
        pose = images[name].cam_from_world
        pose = pose() if callable(pose) else pose
        assert np.allclose(pose.rotation.matrix(), R, atol=1e-9) and np.allclose(pose.translation, t, atol=1e-9)
        camera, own = model.cameras[images[name].camera_id], []
        assert (camera.width, camera.height) == SIZE
        for point in images[name].points2D:
            assert point.has_point3D()
            own.append((point.xy, model.points3D[point.point3D_id].xyz))
        pixels, places = map(np.array, zip(*own, strict=True))
        order = np.argsort([np.abs(X - place).sum(1).argmin() for place in places])
        assert np.abs(places[order] - X).max() < 1e-6 and np.abs(pixels[order] - 0.5 - x).max() < 1e-6
        projected = [camera.img_from_cam(R @ place + t) for place in places]
        assert np.abs(np.array(projected).reshape(-1, 2) - pixels).max() < 0.01
    rgb = {tuple(np.round(point.xyz, 6)): point.color for point in model.points3D.values()}
    assert len(rgb) == len(X) and model.compute_mean_reprojection_error() < 0.01
    column, row = np.rint(x1).astype(int).T
    for place, colour in zip(X, photo[row, column], strict=True):
        nearest = min(model.points3D.values(), key=lambda point: np.abs(point.xyz - place).sum())
        assert np.array_equal(nearest.color, colour)
