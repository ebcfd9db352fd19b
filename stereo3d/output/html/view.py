"""The page of `stereo3d view`: meshes, point clouds and maps of depth of files, one or several beside each other."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import StereoError
from ...images.read import SUFFIXES
from ...io.read_depth import DEPTH_SUFFIXES, read_depth
from ...io.read_mesh import MESH_READERS
from ...io.read_points import POINT_READERS, holds_faces
from . import figures, scene, texts
from .clouds import FIELD, camera_of_depth, cloud_of_depth, cloud_of_file
from .page import Page, filled, text

MAX_FILES = 12  # of a page: browsers draw in 16 canvases by WebGL at most


def write_view(
    path: str | os.PathLike[str],
    files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    focal: float | None = None,
) -> Path:
    """Write a self-contained HTML page that shows what files hold; return its path.

    Parameters
    ----------
    path : path
        Of the page.
    files : path, or sequence of path
        Meshes (.obj, .ply, .glb, .stl, .off), point clouds (.ply, .xyz, .pcd, .las, .laz) and maps of depth (.png,
        .tif, .exr, .npy, .npz, .pfm). Several are shown beside each other, or one at a time, and turn together.
        `write_report` shows a Result without a file.
    focal : float, optional
        px, of the maps; by default what `--depth` wrote into the file, else a field of 60 degrees is assumed.

    Returns
    -------
    Path

    Raises
    ------
    StereoError
        "file_missing", "file_unreadable", "unknown_format", "empty_mesh", "library_missing", "bad_option" for more
        than twelve files, "unwritable".
    """
    single = isinstance(files, str | os.PathLike)
    given = [files] if single else list(files) if isinstance(files, Sequence) else []
    if not given or not all(isinstance(file, str | os.PathLike) for file in given):
        kind = type(next(iter(given), files)).__name__
        raise ValueError(f"write_view(path, files): a file is a path, got {kind}; write_report shows a Result")
    if len(given) > MAX_FILES:
        raise StereoError("bad_option", f"one page cannot show {len(given)} files.", f"It shows {MAX_FILES} at most.")
    paths, page = [Path(file) for file in given], Page()
    page.colours()
    shown = [_scene(page, k, file, focal) for k, file in enumerate(paths)]
    facts = {"scenes": [facts for facts, _ in shown]}
    names = [text(file.name) for file in paths]
    models = "".join(
        filled("scene.html", name=name, head="" if len(shown) > 1 else "hidden", body=body)
        for name, (_, body) in zip(names, shown, strict=True)
    )
    body = filled(
        "view.html",
        name=" <span>+</span> ".join(names) if len(names) < 4 else f"{len(names)} files",
        files="".join(f'<button data-file="{k}" aria-pressed="true">{name}</button>' for k, name in enumerate(names)),
        bars="" if len(names) > 1 else "hidden",
        scenes=models,
    )
    title = " + ".join(file.name for file in paths[:3])
    return page.write(path, title, body, facts, ("model.js", "view.js"))


def _scene(page: Page, number: int, path: Path, focal: float | None) -> tuple[dict[str, Any], str]:
    """Add what a file holds to the page; return its facts for view.js, and its HTML."""
    suffix = path.suffix.lower()
    if suffix in POINT_READERS and (suffix not in MESH_READERS or not holds_faces(path)):
        return _point_scene(page, number, path)
    if suffix in MESH_READERS:
        return _mesh_scene(page, number, path)
    if suffix in DEPTH_SUFFIXES:
        return _depth_scene(page, number, path, focal)
    if suffix in SUFFIXES:
        advice = f"Two photos make a model: stereo3d {shlex.quote(os.fspath(path))} SECOND.jpg"
        raise StereoError("unknown_format", f"{path} is a photo, and no model or depth map.", advice)
    known = dict.fromkeys([*MESH_READERS, *POINT_READERS, *DEPTH_SUFFIXES])
    kind = suffix or "files without suffix"
    raise StereoError("unknown_format", f"{path}: no reader for {kind}.", f"Use {', '.join(known)}.")


def _facts(unit: str, **more: Any) -> dict[str, Any]:
    return {"unit": unit, "cameras": [], "mesh": [], "mode": "texture", **more}


def _caption(*parts: str) -> str:
    return text("; ".join(filter(None, parts)) + ".")


def _mesh_scene(page: Page, number: int, path: Path) -> tuple[dict[str, Any], str]:
    parts, unit, total = scene.parts_of_file(path)
    shown = sum(len(part.mesh.faces) for part in parts)
    fewer = f", {figures.count(shown)} of them shown" if shown < total else ""
    caption = _caption(f"{figures.count(total)} faces{fewer}", f"unit: {unit}" if unit else "")
    model = texts.model(texts.modes_of(parts), [], caption, texts.BACKS, number)
    return _facts(unit, mesh=page.mesh(parts), mode=texts.modes_of(parts)[0]), model


def _point_scene(page: Page, number: int, path: Path) -> tuple[dict[str, Any], str]:
    cloud, unit = cloud_of_file(path)
    fewer = f", {figures.count(len(cloud.points))} of them shown" if len(cloud.points) < cloud.total else ""
    caption = _caption(
        f"{figures.count(cloud.total)} points{fewer}",
        f"unit: {unit}" if unit else "",
        "the file has no colours: red is high, blue is low" if cloud.painted else "",
        f"moved by {', '.join(f'{x:.0f}' for x in cloud.moved)} (right, down, forward)" if cloud.moved.any() else "",
    )
    return _facts(unit, cloud=page.cloud(cloud.points, cloud.colours)), texts.model([], [], caption, "", number)


def _depth_scene(page: Page, number: int, path: Path, focal: float | None) -> tuple[dict[str, Any], str]:
    found = read_depth(path)
    values, known = found.values, np.isfinite(found.values)
    if not known.any():
        raise StereoError("empty_mesh", f"{path}: none of {known.size} pixels has a value.", "Write the map again.")
    height, width = values.shape
    deep = bool((values[known] > 0).all())
    least, most = (figures.amount(float(v)) for v in (values[known].min(), values[known].max()))
    described = f"{found.what or 'map'}, {width} \u00d7 {height} px, {figures.percent(float(known.mean()))} known"
    unit = figures.unit_words(found.unit) if found.unit else "(the file states no unit)"
    camera, stated = camera_of_depth(found, focal)
    guess = f"the file states no camera: a field of {FIELD:.0f}\u00b0 is assumed, --focal states it"
    caption = _caption(f"{described}, {least} to {most} {unit}", guess if deep and not stated else "")
    step = figures.map_step(values.shape)
    small = figures.sampled(values, step)
    name = f"map{number}"
    if deep:  # near and far both have colours, and few levels lose nothing that the eye or the readout shows
        page.levels(name, 1 / np.asarray(small, dtype=float), lo=0)
    else:
        page.levels(name, small)
    shown = {"name": name, "size": [small.shape[1], small.shape[0]], "step": step, "inverse": deep}
    figure = filled("depth.html")
    if not deep:
        return _facts(found.unit, map=shown), f'<p class="hint"><span>{caption}</span></p>{figure}'
    cloud = cloud_of_depth(found, camera)
    cameras = [scene.camera_facts("photo", camera, np.eye(3), np.zeros(3))]
    facts = _facts(found.unit, map=shown, cloud=page.cloud(cloud.points, cloud.colours), cameras=cameras)
    return facts, texts.model([], cameras, caption, "", number) + figure
