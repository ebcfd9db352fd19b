"""The page of a whole run.

Pages need no network: they contain pictures, arrays, the viewer (viewer.js, WebGL 2) and the figures (figures.js,
report.js), and their content policy forbids every request.
"""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.config import Config
from ...pipeline.result import Result
from ..stage_files import measured, versions
from ..views import shown_depth
from . import figures, scene, texts
from .page import Page, filled, text


def write_report(
    path: str | os.PathLike[str],
    result: Result,
    *,
    files: Sequence[str | os.PathLike[str]] = (),
    command: str | None = None,
) -> Path:
    """Write a run as one self-contained HTML page of some megabytes; return its path.

    Parameters
    ----------
    path : path
    result : Result
    files : sequence of path
        Further files of the run, which the page lists; those in its folder or below are links.
    command : str, optional
        The command that repeats the run; by default it is made from the Config.

    Returns
    -------
    Path

    Raises
    ------
    StereoError
        "unwritable".
    """
    if not isinstance(result, Result):
        raise ValueError(f"write_report(path, result): result must be a Result, got {type(result).__name__}")
    view, pair, page = result.view, result.pair, Page()
    page.picture("photo1", result.left.pixels, "texture")
    page.picture("photo2", result.right.pixels, "photo")
    page.picture("left", pair.left, "rectified")
    page.picture("right", pair.right, "rectified")
    page.colours()
    parts = scene.parts_of_result(result)
    photos = {id(result.left.pixels): "photo1", id(result.right.pixels): "photo2"}
    mesh = page.mesh(parts, [photos.get(id(part.mesh.texture)) for part in parts])

    _add_matches(page, result)
    step, kinds = figures.map_step(result.disparity.shape), figures.reasons(pair, result.disparity)
    _add_maps(page, result, step, kinds)
    cameras = [
        scene.camera_facts("first photo", view.rig.cam1, np.eye(3), np.zeros(3)),
        scene.camera_facts("second photo", view.rig.cam2, view.R, view.t),
    ]
    facts = {
        "report": True,
        "wide": view.rig.wide,
        "unit": result.unit,
        "mesh": mesh,
        "mode": texts.modes_of(parts)[0],
        "cameras": cameras,
        "pair": {
            "size": list(pair.left.shape[1::-1]),
            "step": step,
            "line": None if view.rig.wide else figures.depth_line(result.disparity, result.points),
        },
        "example": figures.example_pixel(result),
        "reasons": [{"text": why, "colour": colour} for why, colour in figures.REASONS],
    }
    first, second = _names(result)
    shown, all_faces = sum(len(p.mesh.faces) for p in parts), len(result.mesh.faces)
    more = f" here, {figures.count(all_faces)} in the file" if shown < all_faces else ""
    body = filled(
        "report.html",
        first=text(first),
        second=text(second),
        model=texts.model(texts.modes_of(parts), cameras, f"{figures.count(shown)} faces{more}", texts.BACKS),
        **texts.verdict(result),
        **texts.every_stage(result, kinds),
        **texts.appendix(result, page, step, texts.links(path, files), command or repeat_command(result), versions()),
    )
    measurements = _measurements(result, [Path(f).name for f in files])
    return page.write(path, f"{first} + {second} \u2013 stereo3d", body, facts, measurements=measurements)


def _measurements(result: Result, files: list[str]) -> dict[str, Any]:
    """The facts of --json for whoever reads the page by program, without folders and places: pages are passed on."""
    found = measured(result, [], sum(stage["seconds"] for stage in result.stages))
    photos = [None if photo is None else Path(photo).name for photo in found["photos"]]
    exif = [{name: value for name, value in facts.items() if name != "position"} for facts in found["exif"]]
    return {**found, "photos": photos, "exif": exif, "files": files}


def _add_matches(page: Page, result: Result) -> None:
    """A regular sample of the matches, for viewer.js."""
    count = len(result.matches)
    drawn = np.linspace(0, count - 1, min(count, figures.MATCHES)).astype(int)
    page.array("match1", result.matches.x1[drawn].astype(np.float32).reshape(-1))
    page.array("match2", result.matches.x2[drawn].astype(np.float32).reshape(-1))
    page.array("inlier", result.view.inliers[drawn].astype(np.uint8))


def _add_maps(page: Page, result: Result, step: int, kinds: np.ndarray) -> None:
    """Depth in both photos, and every `step`-th pixel of the maps of the rectified pair."""
    view = result.view
    if not view.rig.wide:  # the page draws the epipolar lines of pinhole cameras
        page.levels("depth1", figures.inverse_depth_in_photo(result.points, view.rig.cam1), lo=0)
        page.levels("depth2", figures.inverse_depth_in_photo(result.points, view.rig.cam2, view.R, view.t), lo=0)
    page.levels("disparity", figures.sampled(result.disparity, step))
    page.levels("inverse", 1 / figures.sampled(shown_depth(result), step), lo=0)
    page.levels("confidence", figures.sampled(result.confidence, step), lo=0, hi=1, steps=254)
    page.array("reason", figures.sampled(kinds, step), rows=True)


def _names(result: Result) -> tuple[str, str]:
    """What the page calls the two photos: different names, of one file too."""
    photos = ((result.left, "first"), (result.right, "second"))
    first, second = (p.path.name if p.path else f"{which} photo" for p, which in photos)
    if first == second:  # one file holds both
        first, second = (f"{name}, {which} photo" for name, (_, which) in zip((first, second), photos, strict=True))
    return first, second


def repeat_command(result: Result, output: str | os.PathLike[str] = "model.obj") -> str:
    """Return the command line that repeats a run: its photos and all settings that are not the default."""
    photos = [str(p.path or name) for p, name in ((result.left, "LEFT"), (result.right, "RIGHT"))]
    if photos[0] == photos[1]:  # one file holds both
        photos = photos[:1]
    return command_line([*photos, "-o", str(output)], result.config)


def command_line(start: list[str], config: Config) -> str:
    """Return the command `stereo3d` with `start` and every setting of the Config that is not the default."""
    line, default = ["stereo3d", *start], Config()
    for name, value in vars(config).items():
        option = f"--{name.replace('_', '-')}"
        if name == "options":
            line += [argument for key, given in value.items() for argument in ("-O", f"{key}={given}")]
        elif name == "markers":
            line += [argument for marker in value for argument in ("--marker", marker)]
        elif value is True and getattr(default, name) is False:
            line.append(option)
        elif value != getattr(default, name):
            parts = value if isinstance(value, tuple) else (value,)
            line += [option, *(",".join(map(str, p)) if isinstance(p, tuple) else str(p) for p in parts)]
    return shlex.join(line)
