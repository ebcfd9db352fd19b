"""A Result's stages as files: what `--save-stages` and `--json` write."""

import json
import platform
from importlib import metadata
from pathlib import Path

import numpy as np

from .errors import StereoError
from .export import colourise, write_picture
from .files import replacing, write_map
from .pipeline import Result
from .records import Camera


def save_stages(result: Result, folder: str | Path, *, axes: str = "y-up") -> list[Path]:
    """Write every stage's outcome into `folder`, which is made where missing; returns the files.

    matches.png (all matches, inliers drawn), matches.npz (x1, x2 photo px, score, inliers), cameras.json (K, R, t,
    size, distortion of each camera, F and the inlier count), rectified_left.png, rectified_right.png,
    rectified_maps.npz (the photo pixel of each rectified pixel), disparity.pfm (px, unknown = inf), disparity.png
    (colours), confidence.pfm, confidence.png, points.ply (point cloud with colours and sigma, in `axes`).
    """
    folder = Path(folder)
    view, pair = result.view, result.pair
    files = [
        write_picture(folder / "matches.png", draw_matches(result)),
        _npz(
            folder / "matches.npz",
            x1=result.matches.x1,
            x2=result.matches.x2,
            score=result.matches.score,
            inliers=view.inliers,
        ),
        write_json(folder / "cameras.json", cameras(result)),
        write_picture(folder / "rectified_left.png", pair.left),
        write_picture(folder / "rectified_right.png", pair.right),
        _npz(folder / "rectified_maps.npz", map1=pair.map1, map2=pair.map2),
        write_map(folder / "disparity.pfm", result.disparity),
        write_picture(folder / "disparity.png", colourise(result.disparity)),
        write_map(folder / "confidence.pfm", result.confidence),
        write_picture(folder / "confidence.png", colourise(result.confidence, lo=0.0, hi=1.0)),
    ]
    return [*files, result.save_points(folder / "points.ply", axes=axes)]


def stage_names() -> list[str]:
    """The names of the files that `save_stages` writes."""
    return [
        "matches.png",
        "matches.npz",
        "cameras.json",
        "rectified_left.png",
        "rectified_right.png",
        "rectified_maps.npz",
        "disparity.pfm",
        "disparity.png",
        "confidence.pfm",
        "confidence.png",
        "points.ply",
    ]


def cameras(result: Result) -> dict:
    """{"cameras": {"left", "right": K, R, t, size, ...}, "F", "inliers", ...}: X_cam = R X + t, camera 1 the world."""
    view = result.view

    def entry(camera: Camera, R, t):
        return {
            "K": camera.K.tolist(),
            "R": np.asarray(R).tolist(),
            "t": np.asarray(t).tolist(),
            "size": list(camera.size),
            "dist": camera.dist.tolist(),
            "source": camera.source,
            "source_detail": camera.source_detail,
        }

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


def measured(result: Result, files: list[Path], seconds: float) -> dict:
    """Everything measured, as plain values for JSON."""
    config = result.config
    return {
        "verdict": result.verdict,
        "summary": result.summary,
        "coverage": result.coverage,
        "precision": result.precision,
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
    }


def failure(error: Exception, exit_code: int) -> dict:
    """What went wrong, as plain values for JSON; exit_code: of what is no StereoError."""
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
    """Versions of Python, this package and what it stands on."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for requirement in ["stereo3d", *(metadata.requires("stereo3d") or [])]:
        name = requirement.split(";")[0].split(">")[0].split("=")[0].strip()
        if "extra ==" not in requirement:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
    return found


def write_json(path: str | Path, value: dict) -> Path:
    """Write a dictionary as JSON; numbers that JSON does not know (NaN, infinity) as null."""
    with replacing(path) as temporary:
        text = json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return Path(path)


def draw_matches(result: Result, *, width: int = 800, lines: int = 120) -> np.ndarray:
    """Both photos side by side, each `width` px wide: a dot for every match, green for inliers, red for the others.

    Of both kinds in proportion, some `lines` are joined, and all of the red where they are fewer than that.
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
        sheet[: picture.shape[0], k * width : (k + 1) * width] = picture // 2  # dark, that the marks stand out
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


def plain(value):
    """Arrays, numpy numbers, paths and records' values as what JSON knows; NaN and infinity as None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value).encode("utf-8", "backslashreplace").decode()  # file names may hold bytes that are no text


def _npz(path: Path, **arrays) -> Path:
    with replacing(path) as temporary, open(temporary, "wb") as f:
        np.savez_compressed(f, **arrays)
    return path
