"""Write two cameras with their pose in the forms of other programs: COLMAP, nerfstudio, OpenCV."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import StereoError
from ..geometry.rotations import quaternion_from_rotation
from ..geometry.two_view import intersect_rays
from ..io.atomic import replacing
from ..io.json_files import write_json
from ..records import Camera, Rig

COLMAP_FILES = ("cameras.txt", "images.txt", "points3D.txt")
GL_FROM_CV = np.diag([1.0, -1.0, -1.0])  # to axes x right, y up, z back


@dataclass(frozen=True, eq=False)
class Tracks:
    """Points that both photos show.

    Attributes
    ----------
    X : (N, 3) float64
        Frame of camera 1.
    x1, x2 : (N, 2) float64
        px.
    rgb : (N, 3) uint8
    """

    X: np.ndarray
    x1: np.ndarray
    x2: np.ndarray
    rgb: np.ndarray


def tracks_of(x1: np.ndarray, x2: np.ndarray, pixels: np.ndarray, rig: Rig) -> Tracks:
    """X = (z1 d1 + R^T (z2 d2 - t)) / 2, halfway between the two rays where they are nearest; those in front of both.

    Parameters
    ----------
    x1, x2 : (N, 2) float64
        px, inliers.
    pixels : (H, W, 3) uint8
        The first photo.
    rig : Rig
        With its pose.
    """
    assert rig.R is not None and rig.t is not None
    d1, d2 = rig.cam1.rays_from_pixels(x1), rig.cam2.rays_from_pixels(x2)
    z1, z2 = intersect_rays(d1, d2, rig.R, rig.t), intersect_rays(d2, d1, rig.R.T, -rig.R.T @ rig.t)
    X = (z1[:, None] * d1 + (z2[:, None] * d2 - rig.t) @ rig.R) / 2
    with np.errstate(invalid="ignore"):
        good = np.isfinite(X).all(1) & (z1 > 0) & (z2 > 0)
    height, width = pixels.shape[:2]
    column, row = np.clip(np.rint(x1[good]), 0, [width - 1, height - 1]).astype(int).T
    return Tracks(X[good], x1[good], x2[good], pixels[row, column])


def write_colmap(folder: Path, rig: Rig, tracks: Tracks, names: tuple[str, str]) -> list[Path]:
    """Write COLMAP's text model: cameras.txt, images.txt, points3D.txt; return them.

    X_camera = R(q) X + t in the frame of camera 1. COLMAP's first pixel has its centre at (1/2, 1/2).

    Parameters
    ----------
    folder : path
    rig : Rig
        With its pose.
    tracks : Tracks
        The points of the model.
    names : (str, str)
        Of the images, relative to COLMAP's image folder.

    Raises
    ------
    StereoError
        "bad_option" for a camera that no model of COLMAP describes; "unwritable".

    References
    ----------
    COLMAP's documentation, "Output format", "Camera models".
    """
    assert rig.R is not None and rig.t is not None
    cameras = ["# CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]", *(_colmap_camera(k, c) for k, c in _numbered(rig))]
    images = [f"# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME; unit: {rig.unit or 'baseline'}", "# (X Y POINT3D_ID)[]"]
    poses = (np.eye(3), np.zeros(3)), (rig.R, rig.t)
    for k, (R, t), x, name in zip((1, 2), poses, (tracks.x1, tracks.x2), names, strict=True):
        images.append(f"{k} {_text([*quaternion_from_rotation(R), *t])} {k} {name}")
        images.append(" ".join(f"{u:.6f} {v:.6f} {n}" for n, (u, v) in enumerate((x + 0.5).tolist(), 1)))
    errors = [
        np.linalg.norm(camera.pixels_from_rays(tracks.X @ R.T + t) - x, axis=1)
        for camera, (R, t), x in zip((rig.cam1, rig.cam2), poses, (tracks.x1, tracks.x2), strict=True)
    ]
    points = ["# POINT3D_ID X Y Z R G B ERROR (IMAGE_ID POINT2D_IDX)[]"]
    rows = zip(tracks.X.tolist(), tracks.rgb.tolist(), np.nan_to_num(np.mean(errors, axis=0)).tolist(), strict=True)
    for n, (X, rgb, error) in enumerate(rows):
        points.append(f"{n + 1} {_text(X)} {rgb[0]} {rgb[1]} {rgb[2]} {error:.4f} 1 {n} 2 {n}")
    written = []
    for name, lines in zip(COLMAP_FILES, (cameras, images, points), strict=True):
        written.append(_write(folder / name, lines))
    return written


def write_transforms(path: Path, rig: Rig, world_from_cam1: np.ndarray, names: tuple[str, str]) -> Path:
    """Write nerfstudio's transforms.json; return its path.

    transform_matrix = [W R^T G | -W R^T t], G from x right, y up, z back: from the axes of each camera to the world.

    Parameters
    ----------
    path : path
    rig : Rig
        With its pose.
    world_from_cam1 : (3, 3) float64
        Rotation W from the frame of camera 1 to a world with z up.
    names : (str, str)
        Paths of the images, relative to the file.

    Raises
    ------
    StereoError
        "bad_option" for a camera that nerfstudio has no model for; "unwritable".

    References
    ----------
    Nerfstudio's documentation, "Data conventions".
    """
    assert rig.R is not None and rig.t is not None
    frames = []
    poses = (np.eye(3), np.zeros(3)), (rig.R, rig.t)
    for name, camera, (R, t) in zip(names, (rig.cam1, rig.cam2), poses, strict=True):
        matrix = np.eye(4)
        matrix[:3, :3] = world_from_cam1 @ R.T @ GL_FROM_CV
        matrix[:3, 3] = -world_from_cam1 @ R.T @ t
        frames.append({"file_path": name, **_nerf_camera(camera), "transform_matrix": matrix.tolist()})
    return write_json(str(path), {"unit": rig.unit or "baseline", "frames": frames})


def write_opencv(path: Path, rig: Rig) -> Path:
    """Write OpenCV's FileStorage: M1 D1 M2 D2 R T, and R1 R2 P1 P2 Q of stereoRectify; return its path.

    P2[0, 3] = f B (P2[1, 3] where the cameras stand one above the other) and Q hold the baseline in the unit of T.

    Parameters
    ----------
    path : path
        .yml, .yaml or .xml.
    rig : Rig
        Pinhole cameras of one picture size, with their pose.

    Raises
    ------
    StereoError
        "bad_option" for other cameras; "unwritable".

    References
    ----------
    Bradski, The OpenCV Library, 2000; its documentation of stereoRectify.
    """
    import cv2

    assert rig.R is not None and rig.t is not None
    for camera in (rig.cam1, rig.cam2):
        if camera.lens is not None:
            raise _refusal(f"the rectified rig of OpenCV has pinhole cameras, this one a {camera.lens.model} lens")
    if rig.cam1.size != rig.cam2.size:
        sizes = " and ".join(f"{w} x {h}" for w, h in (rig.cam1.size, rig.cam2.size))
        raise _refusal(f"OpenCV rectifies photos of one size, these are {sizes} px")
    dist = [camera.dist if camera.dist.size else np.zeros(5) for camera in (rig.cam1, rig.cam2)]
    R1, R2, P1, P2, Q, _, _ = cv2.stereoRectify(
        cameraMatrix1=rig.cam1.K,
        distCoeffs1=dist[0],
        cameraMatrix2=rig.cam2.K,
        distCoeffs2=dist[1],
        imageSize=rig.cam1.size,
        R=rig.R,
        T=rig.t.reshape(3, 1),
        alpha=-1,
    )
    form = cv2.FILE_STORAGE_FORMAT_XML if path.suffix.lower() == ".xml" else cv2.FILE_STORAGE_FORMAT_YAML
    storage = cv2.FileStorage("", cv2.FILE_STORAGE_WRITE | cv2.FILE_STORAGE_MEMORY | form)
    storage.write("image_width", rig.cam1.size[0])
    storage.write("image_height", rig.cam1.size[1])
    storage.write("unit", rig.unit or "baseline")
    names = {"M1": rig.cam1.K, "D1": dist[0], "M2": rig.cam2.K, "D2": dist[1], "R": rig.R, "T": rig.t}
    for name, value in (names | {"R1": R1, "R2": R2, "P1": P1, "P2": P2, "Q": Q}).items():
        storage.write(name, np.asarray(value, dtype=float).reshape(np.shape(value)[0], -1))
    with replacing(path) as temporary:
        temporary.write_text(storage.releaseAndGetString(), encoding="utf-8")
    return path


def _numbered(rig: Rig) -> list[tuple[int, Camera]]:
    return [(1, rig.cam1), (2, rig.cam2)]


def _text(numbers: Sequence[float] | np.ndarray) -> str:
    return " ".join(f"{float(x) + 0.0:.12g}" for x in numbers)


def _write(path: Path, lines: list[str]) -> Path:
    with replacing(path) as temporary:
        temporary.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def _refusal(message: str) -> StereoError:
    return StereoError(
        "bad_option",
        f"{message}.",
        "--json and --save-stages write every camera, with its lens, in cameras.json's form.",
    )


def _distortion(camera: Camera, program: str) -> np.ndarray:
    """The coefficients k1 k2 p1 p2 k3 k4 k5 k6 of a pinhole camera, refused where it has more."""
    if camera.K[0, 1]:
        raise _refusal(f"{program} has no skew, and this camera's is {camera.K[0, 1]:.3g} px")
    if np.any(camera.dist[8:]):
        raise _refusal(f"{program} has no model with {len(camera.dist)} coefficients of distortion")
    return np.pad(camera.dist[:8], (0, 8 - len(camera.dist[:8])))


def _colmap_camera(number: int, camera: Camera) -> str:
    K = camera.K
    pinhole = [K[0, 0], K[1, 1], K[0, 2] + 0.5, K[1, 2] + 0.5]
    if camera.lens is not None:
        if camera.lens.model != "fisheye":
            raise _refusal(f"COLMAP has no {camera.lens.model} lens")
        model, numbers = "OPENCV_FISHEYE", [*pinhole, *camera.lens.coefficients]
    else:
        dist = _distortion(camera, "COLMAP")
        if not dist.any():
            model, numbers = "PINHOLE", pinhole
        elif not dist[4:].any():
            model, numbers = "OPENCV", [*pinhole, *dist[:4]]
        else:
            model, numbers = "FULL_OPENCV", [*pinhole, *dist]
    return f"{number} {model} {camera.size[0]} {camera.size[1]} {_text(numbers)}"


def _nerf_camera(camera: Camera) -> dict[str, float | int | str]:
    K = camera.K
    entry = {"fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2] + 0.5, "cy": K[1, 2] + 0.5}
    entry = {key: float(value) for key, value in entry.items()} | {"w": camera.size[0], "h": camera.size[1]}
    if camera.lens is not None:
        if camera.lens.model != "fisheye":
            raise _refusal(f"nerfstudio has no {camera.lens.model} lens that keeps its pose and scale")
        names = ("k1", "k2", "k3", "k4")
        return {"camera_model": "OPENCV_FISHEYE", **entry, **dict(zip(names, camera.lens.coefficients, strict=True))}
    dist = _distortion(camera, "nerfstudio")
    if dist[5:].any():
        raise _refusal("nerfstudio has no rational distortion, and this camera's k4, k5, k6 are not 0")
    names = ("k1", "k2", "p1", "p2", "k3")
    return {"camera_model": "OPENCV", **entry, **dict(zip(names, dist[:5].tolist(), strict=True))}
