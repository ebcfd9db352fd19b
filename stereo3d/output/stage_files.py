"""The stages of a result as files: --save-stages and --json."""

import contextlib
import json
import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StereoError
from ..io.atomic import replacing
from ..io.json_files import plain, write_json
from ..io.maps import write_map
from ..io.photo_maps import write_confidence, write_depth, write_normals
from ..io.pictures import colourise, write_picture
from ..pipeline.result import Result
from ..records import Camera
from ..resources import requirements


def save_stages(result: Result, folder: str | Path, **style: Any) -> list[Path]:
    """Write the outcome of every stage into a folder, which is made where it is missing; return the files.

    matches.png (all matches, inliers drawn), matches.npz (x1, x2 photo px, score, inliers), cameras.json (K, R, t,
    size, distortion of each camera, F and the inlier count), rectified_left.png, rectified_right.png,
    rectified_maps.npz (the photo pixel of each rectified pixel), disparity.pfm (px, unknown = inf), disparity.png
    (colours), confidence.pfm, confidence.png, points.ply (point cloud with colours and sigma).

    Parameters
    ----------
    **style
        Axes, direction of gravity and origin of the point cloud: keywords of `write_points`.
    """
    files = [write(Path(folder) / name, result) for name, write in _WRITERS.items()]
    return [*files, result.save_points(Path(folder) / POINTS_FILE, **style)]


def _write_matches(path: Path, result: Result) -> Path:
    matches = result.matches
    return _npz(path, x1=matches.x1, x2=matches.x2, score=matches.score, inliers=result.view.inliers)


_WRITERS: dict[str, Callable[[Path, Result], Path]] = {
    "matches.png": lambda path, result: write_picture(path, draw_matches(result)),
    "matches.npz": _write_matches,
    "cameras.json": lambda path, result: write_json(path, cameras(result)),
    "rectified_left.png": lambda path, result: write_picture(path, result.pair.left),
    "rectified_right.png": lambda path, result: write_picture(path, result.pair.right),
    "rectified_maps.npz": lambda path, result: _npz(path, map1=result.pair.map1, map2=result.pair.map2),
    "disparity.pfm": lambda path, result: write_map(path, result.disparity),
    "disparity.png": lambda path, result: write_picture(path, colourise(result.disparity)),
    "confidence.pfm": lambda path, result: write_map(path, result.confidence),
    "confidence.png": lambda path, result: write_picture(path, colourise(result.confidence, lo=0.0, hi=1.0)),
}
POINTS_FILE = "points.ply"
STAGE_FILES = (*_WRITERS, POINTS_FILE)  # names of the files of `save_stages`


def cameras(result: Result) -> dict[str, Any]:
    """Return {"cameras": {"left", "right": K, R, t, ...}, "F", "inliers", ...}: X_cam = R X + t, camera 1 the world.

    A camera with a wide lens has the entry "lens", its model and coefficients.
    """
    view = result.view

    def entry(camera: Camera, R: np.ndarray, t: np.ndarray) -> dict[str, Any]:
        pose = {"R": np.asarray(R).tolist(), "t": np.asarray(t).tolist()}
        return {**_lens_facts(camera), **pose, "source": camera.source, "source_detail": camera.source_detail}

    return {
        "cameras": {
            "left": entry(view.rig.cam1, np.eye(3), np.zeros(3)),
            "right": entry(view.rig.cam2, view.R, view.t),
        },
        "F": view.F.tolist(),
        "R": view.R.tolist(),
        "t": view.t.tolist(),
        "unit": result.unit,
        "inliers": int(view.inliers.sum()),
        "matches": len(result.matches),
    }


def _lens_facts(camera: Camera) -> dict[str, Any]:
    """K, size and distortion of a camera, and its lens where that is wide: an entry of cameras.json."""
    lens = {} if camera.lens is None else {"lens": plain(vars(camera.lens))}
    return {**lens, "K": camera.K.tolist(), "size": list(camera.size), "dist": camera.dist.tolist()}


def save_photo_maps(
    result: Result, *, depth: Path | None = None, normals: Path | None = None, confidence: Path | None = None
) -> dict[str, Any]:
    """Write depth, normals and confidence on the pixels of the first photo; return what the files hold.

    Parameters
    ----------
    depth, normals, confidence : path, optional
        Files of `write_depth`, `write_normals` and `write_confidence`.

    Returns
    -------
    dict
        {"size", "orientation", "depth", "normals", "confidence"}: size (width, height) of the upright photo, EXIF's
        orientation that was applied to it, and what the writers return.
    """
    facts: dict[str, Any] = {"size": list(result.left.size), "orientation": result.left.exif.get("orientation", 1)}
    if depth or normals:
        z, n = result.photo_maps(normals=normals is not None)
        if depth:
            camera = result.view.rig.cam1
            what = "depth along the camera's axis" if camera.lens is None else "distance from the camera"
            lens = json.dumps(_lens_facts(camera))
            facts["depth"] = write_depth(depth, z, result.unit, what, camera=lens)
        if normals and n is not None:
            facts["normals"] = write_normals(normals, n)
    if confidence:
        facts["confidence"] = write_confidence(confidence, result.confidence_map())
    return facts


def measured(
    result: Result, files: list[Path], seconds: float, photo_maps: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return all measurements of a run, as plain values for JSON; photo_maps: of `save_photo_maps`."""
    config = result.config
    return {
        "verdict": result.verdict,
        "summary": result.summary,
        "coverage": result.coverage,
        "precision": result.relative_sigma,
        "unit": result.unit,
        "findings": [plain(vars(f)) for f in result.findings],
        **cameras(result),
        "rectified": {
            "kind": result.pair.kind,
            "size": list(result.pair.left.shape[1::-1]),
            "swapped": result.pair.swapped,
            "rows": result.pair.rows,
            "drift": result.pair.drift,
            "disparity_range": list(result.d_range),
        },
        "known_pixels": int(np.isfinite(result.points[..., 2]).sum()),
        "mesh": {"vertices": len(result.mesh.vertices), "faces": len(result.mesh.faces), **result.mesh.facts},
        "stages": result.stages,
        "seconds": round(seconds, 3),
        "peak_mb": max(stage["peak_mb"] for stage in result.stages),
        "photos": [str(p.path) if p.path else None for p in (result.left, result.right)],
        "exif": [plain(p.exif) for p in (result.left, result.right)],
        "options": plain(vars(config)),
        "versions": versions(),
        "files": [str(f) for f in files],
        **({"photo_maps": photo_maps} if photo_maps else {}),
    }


def failure(error: Exception, exit_code: int) -> dict[str, Any]:
    """Return a description of an error, as plain values for JSON.

    Parameters
    ----------
    exit_code : int
        Exit code of an error that is no StereoError.
    """
    if isinstance(error, StereoError):
        found = {
            "code": error.code,
            "message": error.message,
            "advice": error.advice,
            "numbers": plain(error.numbers),
            "exit_code": error.exit_code,
        }
    else:
        found = {
            "code": "bug",
            "message": f"{type(error).__name__}: {error}",
            "advice": "",
            "numbers": {},
            "exit_code": exit_code,
        }
    return {"error": found, "versions": versions()}


def versions() -> dict[str, str]:
    """Return the versions of Python, this package and its dependencies."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ["stereo3d", *(requirement.name for requirement in requirements())]:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def draw_matches(result: Result, *, width: int = 800, lines: int = 120) -> np.ndarray:
    """Draw both photos side by side: a dot for every match, green for inliers, red for the others.

    Parameters
    ----------
    width : int
        Width of each photo, px.
    lines : int
        Number of matches, about, that are joined by a line: both kinds in proportion, but all outliers where they are
        fewer.

    Returns
    -------
    (H, 2 width, 3) uint8
        RGB.
    """
    import cv2

    pictures, places = [], []
    for side, (photo, x) in enumerate(((result.left, result.matches.x1), (result.right, result.matches.x2))):
        scale = width / photo.size[0]
        size = (width, max(1, round(photo.size[1] * scale)))
        pictures.append(cv2.resize(photo.pixels, dsize=size, interpolation=cv2.INTER_AREA))
        places.append(np.rint((x + 0.5) * scale - 0.5).astype(int) + [side * width, 0])
    height = max(p.shape[0] for p in pictures)
    sheet = np.zeros((height, 2 * width, 3), np.uint8)
    for k, picture in enumerate(pictures):
        sheet[: picture.shape[0], k * width : (k + 1) * width] = picture // 2  # darker, so that the marks stand out
    inliers = result.view.inliers
    step = max(1, len(inliers) // lines)
    kinds = [
        (np.flatnonzero(inliers == good), colour) for good, colour in ((True, (60, 220, 90)), (False, (255, 70, 50)))
    ]
    for which, colour in kinds:
        for i in which[:: step if len(which) > lines else 1]:
            cv2.line(sheet, places[0][i].tolist(), places[1][i].tolist(), tuple(c // 2 for c in colour), 1, cv2.LINE_AA)
    for which, colour in kinds:
        for i in which:
            for x in places:
                cv2.circle(sheet, x[i].tolist(), 2, colour, -1, cv2.LINE_AA)
    return sheet


def _npz(path: Path, **arrays: Any) -> Path:
    with replacing(path) as temporary, open(temporary, "wb") as f:
        np.savez_compressed(f, **arrays)
    return path
