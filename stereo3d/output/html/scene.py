"""Meshes prepared for the page: simplified, in parts of one texture, with confidence and relative depth sigma."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...geometry.camera import project
from ...io.read_mesh import read_textured_mesh
from ...mesh.decimation import collapse
from ...mesh.viewing import viewing_camera
from ...pipeline.result import Result
from ...records import Camera, Mesh
from ...rectification.maps import rectified_positions

FACES = 150_000  # largest number of faces of a report: about 2 MB, and a phone draws it at once
FILE_FACES = 1_000_000  # largest number of faces of a viewed file: about 20 MB


@dataclass(frozen=True, eq=False)
class Part:
    """A part of the scene with one texture.

    Parameters
    ----------
    mesh : Mesh
    colour : (V, 3) uint8, optional
        RGB of the vertices.
    confidence : (V,) float, optional
        In [0, 1]; NaN where unknown.
    relative_sigma : (V,) float, optional
        Relative depth uncertainty: sigma over distance.
    """

    mesh: Mesh
    colour: np.ndarray | None = None
    confidence: np.ndarray | None = None
    relative_sigma: np.ndarray | None = None


def parts_of_result(result: Result, faces: int = FACES) -> list[Part]:
    """Return the mesh of a run, simplified to at most `faces` faces, as one part for each photo that it shows."""
    view, simplify = result.view, len(result.mesh.faces) > faces
    wide = view.rig.wide  # no plane shows all of its surface, and its uv has a seam: those of nearby vertices stay
    mesh = simplified(result.mesh, faces, perspective=not wide)
    if simplify and mesh.uv is not None and not wide:  # the vertices have moved, and so have their pixels
        uv = _photo_uv(mesh.vertices, view.rig.cam1)
        overlays = tuple(
            replace(part, uv=_photo_uv(mesh.vertices, view.rig.cam2, view.R, view.t)) for part in mesh.overlays
        )
        mesh = replace(mesh, uv=uv, overlays=overlays)
    relative_sigma = None
    if mesh.sigma is not None:
        relative_sigma = mesh.sigma / np.linalg.norm(mesh.vertices, axis=1)
    return _by_texture(Part(mesh, confidence=_confidence(result, mesh.vertices), relative_sigma=relative_sigma))


def _photo_uv(X: np.ndarray, camera: Camera, R: np.ndarray | None = None, t: np.ndarray | None = None) -> np.ndarray:
    uv = (project(X, camera.K, R, t, camera.dist) + 0.5) / camera.size
    return np.clip(np.column_stack([uv[:, 0], 1 - uv[:, 1]]), 0, 1)


def _by_texture(part: Part) -> list[Part]:
    """Split a mesh into one part for each photo, each with the vertices it uses."""
    mesh = part.mesh
    if not mesh.overlays:
        return [part]
    parts = []
    for shown in mesh.textured_parts():
        used, faces = np.unique(mesh.faces[shown.faces], return_inverse=True)
        if len(used):
            kept = {
                name: None if getattr(part, name) is None else getattr(part, name)[used]
                for name in ("colour", "confidence", "relative_sigma")
            }
            sigma = None if mesh.sigma is None else mesh.sigma[used]
            faces = faces.reshape(-1, 3).astype(np.int32)
            parts.append(Part(Mesh(mesh.vertices[used], faces, shown.uv[used], shown.texture, sigma), **kept))
    return parts


def _confidence(result: Result, vertices: np.ndarray) -> np.ndarray:
    """Confidence (V,) of the match at the rectified pixel that shows each vertex; NaN where there is none."""
    view, pair = result.view, result.pair
    cam1, cam2 = view.rig.cam1, view.rig.cam2
    x1 = cam1.pixels_from_rays(vertices)
    x2 = cam2.pixels_from_rays(vertices @ view.R.T + view.t)
    u, _ = rectified_positions(pair, x1, x2)
    found = np.full(len(vertices), np.nan)
    height, width = result.confidence.shape
    with np.errstate(invalid="ignore"):
        inside = ((u >= 0) & (u <= [width - 1, height - 1])).all(1)
    i, j = np.rint(u[inside]).astype(int).T
    found[inside] = np.where(np.isfinite(result.disparity[j, i]), result.confidence[j, i], np.nan)
    return found


def simplified(mesh: Mesh, faces: int, *, perspective: bool = False) -> Mesh:
    """Return the mesh with at most `faces` faces (`mesh.decimation.collapse`); uv and sigma are of a nearby vertex.

    Parameters
    ----------
    mesh : Mesh
    faces : int
    perspective : bool
        Measure how far the surface moves in (x/z, y/z, ln z), as camera 1 sees it, instead of in space.
    """
    return _simplified(mesh, faces, perspective)[0]


def _simplified(mesh: Mesh, faces: int, perspective: bool) -> tuple[Mesh, np.ndarray | slice]:
    """The mesh of `simplified`, and the index of the given vertex that each of its vertices takes its values from."""
    if len(mesh.faces) <= faces:
        return mesh, slice(None)
    X = mesh.vertices
    if perspective:
        X = np.column_stack([X[:, :2] / X[:, 2:], np.log(X[:, 2])])
    middle = X.mean(0)
    scale = np.abs(X - middle).max()
    X, F = (X - middle) / scale, mesh.faces.astype(np.int64)
    alive, source, _ = collapse(X, F, 0.0, faces, 0.0)  # all five, as the mesher: else it is compiled once more
    used, corners = np.unique(F[alive], return_inverse=True)
    X, source = X[used] * scale + middle, source[used]
    if perspective:
        z = np.exp(X[:, 2:])
        X = np.hstack([X[:, :2] * z, z])
    light = replace(
        mesh,
        vertices=X,
        faces=corners.reshape(-1, 3).astype(np.int32),
        uv=None if mesh.uv is None else mesh.uv[source],
        sigma=None if mesh.sigma is None else mesh.sigma[source],
        overlays=tuple(replace(part, faces=part.faces[alive], uv=part.uv[source]) for part in mesh.overlays),
    )
    return light, source


def parts_of_file(path: str | Path, faces: int = FILE_FACES) -> tuple[list[Part], str, int]:
    """Return the parts of a mesh file in the axes of camera 1, its unit ("" unknown), and how many faces it has.

    Parameters
    ----------
    path : path
        As for `io.read_mesh`.
    faces : int
        Largest number of faces; more are simplified.

    Raises
    ------
    StereoError
        "file_missing", "file_unreadable", "unknown_format" or "empty_mesh".
    """
    parts, unit = read_textured_mesh(path)
    total = sum(len(part.mesh.faces) for part in parts)
    shown = [_lighter(Part(part.mesh, part.colour), max(1, faces * len(part.mesh.faces) // total)) for part in parts]
    return shown, unit, total


def _lighter(part: Part, faces: int) -> Part:
    """Simplify a part of a file; each vertex takes the colour of a nearby vertex of the file."""
    mesh, source = _simplified(part.mesh, faces, perspective=False)
    return replace(part, mesh=mesh, colour=None if part.colour is None else part.colour[source])


def camera_facts(name: str, camera: Camera, R: np.ndarray, t: np.ndarray) -> dict[str, Any]:
    """Return the camera in plain values, for viewer.js; a wide lens as the pinhole camera that looks ahead."""
    camera = viewing_camera(camera)
    return {
        "name": name,
        "K": camera.K.tolist(),
        "size": list(camera.size),
        "dist": camera.dist.tolist(),
        "R": np.asarray(R).tolist(),
        "t": np.asarray(t).tolist(),
    }
