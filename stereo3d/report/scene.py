"""Meshes made ready for the page: parts of one texture each, light enough, with their levels of confidence."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import StereoError
from ..geometry import project
from ..pipeline import Result
from ..records import Mesh, record
from ..rectification import rectified_positions

FACES = 150_000  # of a page's mesh: some 2 MB of the page, and drawn at once by a phone
DEEP = 4.0  # a cell's depth over its width, seen from camera 1: what is steep keeps its shape


@record
class Part:
    """A piece of the scene with one texture. mesh: uv and texture as in `Mesh`.  colour: (V,3) u8 | None, of vertices.
    confidence: (V,) in [0,1], NaN unknown | None.  precision: (V,) sigma over distance | None."""

    mesh: Mesh
    colour: np.ndarray | None = None
    confidence: np.ndarray | None = None
    precision: np.ndarray | None = None


def parts_of_result(result: Result, faces: int = FACES) -> list[Part]:
    """The mesh of a run, simplified to at most `faces` faces, as parts."""
    mesh = simplified(result.mesh, faces, perspective=True)
    precision = None
    if mesh.sigma is not None:
        precision = mesh.sigma / np.linalg.norm(mesh.vertices, axis=1)
    return [Part(mesh, confidence=_confidence(result, mesh.vertices), precision=precision)]


def _confidence(result: Result, vertices: np.ndarray) -> np.ndarray:
    """(V,) the matcher's confidence at the rectified pixel that shows each vertex; NaN where it shows none."""
    view, pair = result.view, result.pair
    cam1, cam2 = view.rig.cam1, view.rig.cam2
    x1 = project(vertices, cam1.K, dist=cam1.dist)
    x2 = project(vertices, cam2.K, view.R, view.t, cam2.dist)
    u, _ = rectified_positions(pair, x1, x2)
    found = np.full(len(vertices), np.nan)
    height, width = result.confidence.shape
    with np.errstate(invalid="ignore"):
        inside = ((u >= 0) & (u <= [width - 1, height - 1])).all(1)
    i, j = np.rint(u[inside]).astype(int).T
    found[inside] = np.where(np.isfinite(result.disparity[j, i]), result.confidence[j, i], np.nan)
    return found


def simplified(mesh: Mesh, faces: int, *, perspective: bool = False) -> Mesh:
    """The mesh with at most `faces` faces: vertices that share a cell become their mean (Rossignac and Borrel 1993).

    perspective: cells are equal pixels of camera 1, and `DEEP` times as long along its rays; else cubes. Faces that
    lose a corner go, and those that come twice. uv, sigma are means as well (sigma of what is known).
    """
    if len(mesh.faces) <= faces:
        return mesh
    X = mesh.vertices
    places = np.column_stack([X[:, :2] / X[:, 2:], np.log(X[:, 2]) / DEEP]) if perspective else X
    low, high = np.quantile(places, [0.01, 0.99], axis=0)
    cell = np.sqrt(np.prod(np.sort(high - low)[1:]) / faces)  # as if it were a sheet: too small, and then enlarged
    while True:
        kept = _clustered(mesh, np.floor((places - low) / cell).astype(np.int64))
        if len(kept.faces) <= faces:
            return kept
        cell *= max(1.05, np.sqrt(len(kept.faces) / faces))


def _clustered(mesh: Mesh, cells: np.ndarray) -> Mesh:
    cells = cells - cells.min(0)
    sizes = cells.max(0) + 1
    _, index, count = np.unique((cells[:, 0] * sizes[1] + cells[:, 1]) * sizes[2] + cells[:, 2],
                                return_inverse=True, return_counts=True)  # fmt: skip

    def mean(values):
        columns = np.atleast_2d(np.asarray(values, dtype=float).T)
        known = np.isfinite(columns)
        sums = [np.bincount(index, np.where(k, c, 0), len(count)) for c, k in zip(columns, known, strict=True)]
        counts = [np.bincount(index, k, len(count)) for k in known]
        with np.errstate(invalid="ignore"):
            means = np.column_stack([s / n for s, n in zip(sums, counts, strict=True)])
        return means if np.ndim(values) > 1 else means[:, 0]

    corners = index[mesh.faces]
    whole = (corners[:, 0] != corners[:, 1]) & (corners[:, 1] != corners[:, 2]) & (corners[:, 2] != corners[:, 0])
    corners = corners[whole]
    _, first = np.unique(np.sort(corners, axis=1), axis=0, return_index=True)
    corners = corners[np.sort(first)]
    used, faces = np.unique(corners, return_inverse=True)
    given = {name: mean(getattr(mesh, name))[used] for name in ("vertices", "uv", "sigma")
             if getattr(mesh, name) is not None}  # fmt: skip
    return replace(mesh, **given, faces=faces.reshape(-1, 3).astype(np.int32))


def parts_of_file(path: str | Path, faces: int = FACES) -> tuple[list[Part], str, int]:
    """The parts of a mesh file with their textures or colours, its unit ("" unknown), and how many faces it has.

    Any format that trimesh reads. The file's axes (y up) are turned to camera 1's.
    Raises StereoError("file_missing" | "file_unreadable" | "empty_mesh").
    """
    import trimesh

    path = Path(path)
    if not path.is_file():
        raise StereoError("file_missing", f"{path}: no such file.", "Check the path.")
    if path.suffix.lower().lstrip(".") not in trimesh.available_formats():
        raise StereoError("unknown_format", f"{path}: no reader for meshes in {path.suffix or 'files without suffix'}.",
                          "Use .obj, .ply, .glb or .stl.")  # fmt: skip
    try:
        found = [g for g in trimesh.load_scene(path, process=False).dump() if isinstance(g, trimesh.Trimesh)]
        parts = [_part(g) for g in found if len(g.faces)]
        if any(not np.isfinite(part.mesh.vertices).all() for part in parts):
            raise ValueError("a coordinate is not finite")
    except Exception as error:  # trimesh raises whatever its parsers meet in a broken file
        raise StereoError("file_unreadable", f"{path}: not a readable mesh ({error}).", "Check the file.") from error
    total = sum(len(part.mesh.faces) for part in parts)
    if total == 0:
        raise StereoError("empty_mesh", f"{path}: no face in it.", "A point cloud is no mesh.")
    return [_lighter(part, max(1, faces * len(part.mesh.faces) // total)) for part in parts], _unit(path), total


def _lighter(part: Part, faces: int) -> Part:
    """A part of a file simplified; its colours ride along in the place of sigma, one channel at a time."""
    if len(part.mesh.faces) <= faces:
        return part
    if part.colour is None:
        return replace(part, mesh=simplified(part.mesh, faces))
    carried = simplified(replace(part.mesh, sigma=part.colour.astype(float)), faces)
    return replace(part, mesh=replace(carried, sigma=None), colour=np.rint(carried.sigma).astype(np.uint8))


def _part(geometry) -> Part:
    visual = geometry.visual
    vertices = np.asarray(geometry.vertices, dtype=float) * [1, -1, -1]
    faces = np.asarray(geometry.faces, dtype=np.int32)
    uv, image, colour = getattr(visual, "uv", None), None, None
    material = getattr(visual, "material", None)
    for name in ("image", "baseColorTexture"):
        image = image if image is not None else getattr(material, name, None)
    if uv is None or image is None or len(uv) != len(vertices):
        uv = image = None
        if visual.kind == "vertex":
            colour = np.asarray(visual.vertex_colors)[:, :3].astype(np.uint8)
    texture = None if image is None else np.array(image.convert("RGB"))
    return Part(Mesh(vertices, faces, None if uv is None else np.asarray(uv, dtype=float), texture), colour)


def _unit(path: Path) -> str:
    """The unit that our own writers put into a file's head; "" where there is none."""
    with open(path, "rb") as f:
        head = f.read(4096).decode("utf-8", "replace")
    found = re.search(r'(?:^|\n)(?:#|comment) unit: ([^\n\r]+)|"unit":\s*"([^"]+)"', head)
    return (found[1] or found[2]).strip() if found else ""
