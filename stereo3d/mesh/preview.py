"""Pictures of a mesh without a display or a GPU: rays cast by Open3D's RaycastingScene (Embree)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..geometry.arrays import TINY, norms
from ..geometry.camera import project, scale_K
from ..geometry.rotations import rotation_from_vector
from ..geometry.texture_coordinates import pixels_of_uv
from ..geometry.triangles import face_components, vertex_normals
from ..records import Camera, Mesh, TexturedPart
from ..resources import load_open3d
from .viewing import viewing_camera

BACK = np.array([90, 60, 130], np.float32)  # RGB of the back of a surface, rare in photos
BACKGROUND = (24, 24, 28)  # RGB
SHADINGS = ("texture", "lit", "clay")
CLAY = np.array([205, 200, 190], np.float32)
ORBIT_DEG = 28.0  # degrees
AROUND_DEG = 90.0  # degrees, of a view from the place of a panorama
LARGE_PART = 0.02  # of the largest connected part's solid angle: smaller ones do not widen a view
MAIN_PARTS = 0.9  # share of the surface, as camera 1 sees it: what is not of the largest parts that make it up, but
#                   lies behind them, does not widen a view either
OUTSIDE = 0.01  # share of the surface, as camera 1 sees it, that each border of a view may cut off
NEAREST = 0.05  # of the size of the surface: the camera keeps this distance from its nearest point
# Rotation about the (vertical, horizontal) axis through the middle of the surface, in units of ORBIT_DEG.
VIEWS = {"front": (0, 0), "left": (-1, 0), "right": (1, 0), "up": (0, 1), "down": (0, -1)}


def render(
    mesh: Mesh,
    *,
    K: np.ndarray,
    size: tuple[int, int],
    R: np.ndarray | None = None,
    t: np.ndarray | None = None,
    background: tuple[int, int, int] = BACKGROUND,
    shading: str = "texture",
) -> np.ndarray:
    """Return the picture that the camera x ~ K (R X + t) sees of the mesh, without lens distortion.

    Four rays a pixel; the texture is looked up bilinearly at the barycentric uv, in a copy reduced to about the
    picture's own resolution. The back of a face is violet.

    Parameters
    ----------
    mesh : Mesh
    K : (3, 3) float
        px.
    size : (width, height)
    R : (3, 3) float, optional
    t : (3,) float, optional
    background : (red, green, blue)
    shading : str
        "texture": the texture as it is; "lit": with a lamp at the camera; "clay": grey with that lamp, which shows the
        shape alone, as for a mesh without texture.

    Returns
    -------
    (H, W, 3) uint8
        RGB.

    Raises
    ------
    ValueError
        For an unknown shading.
    StereoError
        "library_missing" without Open3D.
    """
    if shading not in SHADINGS:
        raise ValueError(f"shading {shading!r}: texture, lit or clay")
    [picture] = _pictures(mesh, K, size, (R, t), (shading,), background)
    return picture


def _pictures(
    mesh: Mesh,
    K: np.ndarray,
    size: tuple[int, int],
    pose: tuple[np.ndarray | None, np.ndarray | None],
    shadings: tuple[str, ...],
    background: tuple[int, int, int] = BACKGROUND,
) -> list[np.ndarray]:
    """The pictures (H, W, 3) u8 that `render` gives for each shading, from the same rays."""
    R = np.eye(3) if pose[0] is None else np.asarray(pose[0], dtype=float)
    t = np.zeros(3) if pose[1] is None else np.asarray(pose[1], dtype=float)
    return stage(mesh, K, (R, t), shadings).pictures(K, size, background=background)


@dataclass(frozen=True)
class Stage:
    """A mesh in the frame of one camera, ready to be looked at from this and from others.

    Attributes
    ----------
    faces : (F, 3) int
    scene : RaycastingScene
        Of Open3D.
    textures : list of (TexturedPart, (H, W, 3) float32)
        Reduced to about the resolution of a picture.
    normals : (V, 3) float or None
        Where one of the shadings needs them.
    shadings : tuple of str
        In `SHADINGS`.
    """

    faces: np.ndarray
    scene: Any
    textures: list[tuple[TexturedPart, np.ndarray]]
    normals: np.ndarray | None
    shadings: tuple[str, ...]

    def pictures(
        self,
        K: np.ndarray,
        size: tuple[int, int],
        pose: tuple[np.ndarray, np.ndarray] | None = None,
        background: tuple[int, int, int] = BACKGROUND,
    ) -> list[np.ndarray]:
        """Return a picture (H, W, 3) uint8 for each shading, from the same rays.

        Parameters
        ----------
        K : (3, 3) float
            px.
        size : (width, height)
        pose : (R, t), optional
            Of the camera in the frame of the stage; None: the camera of the stage.
        background : (red, green, blue)
        """
        open3d = load_open3d()
        width, height = size
        K2 = scale_K(K, 2.0)
        out = [np.empty((height, width, 3), np.uint8) for _ in self.shadings]
        rows = max(1, 400_000 // (4 * width))  # of rays at a time, to bound the memory
        for top in range(0, height, rows):
            bottom = min(height, top + rows)
            v, u = np.mgrid[2 * top : 2 * bottom, 0 : 2 * width].astype(float)
            y = (v - K2[1, 2]) / K2[1, 1]
            x = (u - K2[0, 2] - K2[0, 1] * y) / K2[0, 0]
            direction = np.stack([x, y, np.ones_like(x)], -1).astype(np.float32)
            start = np.zeros_like(direction)
            if pose is not None:
                direction = direction @ pose[0].astype(np.float32)
                start[:] = -pose[0].T @ pose[1]
            hit = self.scene.cast_rays(open3d.core.Tensor(np.concatenate([start, direction], -1)))
            for picture, shading in zip(out, self.shadings, strict=True):
                shown = [] if shading == "clay" else self.textures
                lamp = None if shading == "texture" and self.textures else self.normals
                colour = _shade(self.faces, shown, lamp, hit, direction, background)
                picture[top:bottom] = np.rint(colour.reshape(bottom - top, 2, width, 2, 3).mean((1, 3))).astype(
                    np.uint8
                )
        return out


def stage(mesh: Mesh, K: np.ndarray, pose: tuple[np.ndarray, np.ndarray], shadings: tuple[str, ...]) -> Stage:
    """Return the mesh in the frame of the camera x ~ K (R X + t), for pictures of these shadings.

    Parameters
    ----------
    mesh : Mesh
    K : (3, 3) float
        px.
    pose : (R, t)
        (3, 3) and (3,) float.
    shadings : tuple of str
        In `SHADINGS`.
    """
    open3d = load_open3d()
    R, t = pose
    vertices = mesh.vertices @ R.T + t  # into this camera first: Embree counts in f32
    scene = open3d.t.geometry.RaycastingScene()
    scene.add_triangles(vertices.astype(np.float32), mesh.faces.astype(np.uint32))
    parts = mesh.textured_parts() if set(shadings) != {"clay"} else ()
    textures = [(part, _reduced(part, mesh.faces, vertices, K)) for part in parts]
    shaded = set(shadings) != {"texture"} or not parts
    normals = vertex_normals(mesh.vertices, mesh.faces) @ R.T if shaded else None
    return Stage(mesh.faces, scene, textures, normals, shadings)


def preview(
    mesh: Mesh, camera: Camera, *, views: tuple[str, ...] = ("front", "left", "right", "up"), size: int = 480
) -> np.ndarray:
    """Return a contact sheet: one column for each view, textured above, as clay below.

    "front" is the view of `camera` (camera 1, without its lens distortion); the others are rotated by 28 degrees about
    the middle of the surface and moved until its large connected parts fill the picture: what camera 1 sees of them
    counts, so that a far crumb counts as little as its pixels. The surface around a panorama is seen from
    its camera in each view, which turns by `AROUND_DEG` instead.

    Parameters
    ----------
    mesh : Mesh
    camera : Camera
    views : tuple of str
        Keys of `VIEWS`.
    size : int
        Width of one picture, px.

    Returns
    -------
    (H, W, 3) uint8
        RGB.
    """
    unknown = [v for v in views if v not in VIEWS]
    if unknown:
        raise ValueError(f"no view {', '.join(unknown)}; there are {', '.join(VIEWS)}")
    around, camera = camera.is_panorama, viewing_camera(camera)
    scale = size / camera.size[0]
    tile = (size, max(1, round(camera.size[1] * scale)))
    K = scale_K(camera.K, tile[0] / camera.size[0], tile[1] / camera.size[1])
    modes = ("texture", "clay") if mesh.texture is not None else ("clay",)
    middle = np.array([[K[0, 0], 0, (tile[0] - 1) / 2], [0, K[1, 1], (tile[1] - 1) / 2], [0, 0, 1]])
    columns, framed = [], None if around else framed_points(mesh)
    for view in views:
        pose, K_view = (looked_around(*VIEWS[view]), np.zeros(3)), K
        if framed is not None:
            pose = np.eye(3), np.zeros(3)
            if VIEWS[view] != (0, 0):
                [pose], K_view = orbit(*framed, middle, tile, [VIEWS[view]]), middle
        columns.append(np.concatenate(_pictures(mesh, K_view, tile, pose, modes)))
    return np.concatenate(columns, axis=1)


def looked_around(yaw: float, pitch: float) -> np.ndarray:
    """Return R (3, 3) of a camera that looks to the left (yaw -1), to the right, up (pitch 1) or down."""
    angle = np.radians(AROUND_DEG)
    return rotation_from_vector(np.array([-pitch * angle, 0, 0])) @ rotation_from_vector(np.array([0, -yaw * angle, 0]))


def framed_points(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (N, 3) that a view should show, and weights (N,): solid angles of their faces at camera 1, sr.

    They are those of the connected parts of at least `LARGE_PART` of the largest, without those behind the main ones.
    """
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    centre, normal = (a + b + c) / 3, np.cross(b - a, c - a) / 2
    angle = np.abs(np.einsum("ni,ni->n", normal, centre)) / np.maximum(norms(centre), TINY) ** 3
    if not angle.any():
        angle = np.ones(len(angle))
    part = face_components(mesh.faces, len(mesh.vertices))
    size = np.bincount(part, angle)
    order = np.argsort(-size, kind="stable")
    main = np.zeros(len(size), bool)
    main[order[np.cumsum(size[order]) - size[order] < MAIN_PARTS * size.sum()]] = True
    distance = norms(centre)
    [end] = _quantiles(distance[main[part]], angle[main[part]], (1 - OUTSIDE,))
    behind = np.bincount(part, angle * distance) > end * size  # by the mean distance of a part
    angle[(size[part] < LARGE_PART * size.max()) | (behind & ~main)[part]] = 0
    weight = np.bincount(mesh.faces.ravel(), np.repeat(angle, 3), len(mesh.vertices))
    return mesh.vertices[weight > 0], weight[weight > 0]


def orbit(
    points: np.ndarray,
    weights: np.ndarray,
    K: np.ndarray,
    size: tuple[int, int],
    turns: Sequence[tuple[float, float]],
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return R, t of a camera turned about the middle of weighted points, as near as they fit, in the picture's middle.

    The outermost `OUTSIDE` of their weight on every side may be outside.

    Parameters
    ----------
    points : (N, 3) float
    weights : (N,) float
    K : (3, 3) float
        px.
    size : (width, height)
    turns : sequence of (yaw, pitch)
        In units of `ORBIT_DEG`. The camera keeps one distance from the middle, at which all of them fit.
    """
    step = max(1, len(points) // 20_000)
    points, weights = points[::step], weights[::step]
    middle = np.array([_quantiles(column, weights, (0.5,))[0] for column in points.T])
    slope = 0.5 * np.array(size) / [K[0, 0], K[1, 1]]  # half the picture's width and height at distance 1
    above, below, least, rotations = np.full(2, -np.inf), np.full(2, -np.inf), -np.inf, []
    for yaw, pitch in turns:
        angle = np.radians(ORBIT_DEG)
        R = rotation_from_vector(np.array([pitch * angle, 0, 0])) @ rotation_from_vector(np.array([0, yaw * angle, 0]))
        local = (points - middle) @ R.T
        rotations.append(R)
        # |X + s| <= slope (Z + d): the distance d and the shift s follow from the extremes of +-X - slope Z
        for side, sign in ((above, 1), (below, -1)):
            edge = [_quantiles(sign * local[:, k] - slope[k] * local[:, 2], weights, (1 - OUTSIDE,))[0] for k in (0, 1)]
            side[:] = np.maximum(side, edge)
        span = float(np.max(np.ptp(local, axis=0), initial=0)) or float(np.linalg.norm(middle)) or 1.0
        least = max(least, NEAREST * span - _quantiles(local[:, 2], weights, (OUTSIDE,))[0])
    back = max(*((above + below) / (2 * slope)), least)
    place = np.array([*((below - above) / 2), back])
    return [(R, place - R @ middle) for R in rotations]


def _quantiles(values: np.ndarray, weights: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """The values below which these shares of the weight lie."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return values[order][np.minimum(np.searchsorted(total, np.array(shares) * total[-1]), len(values) - 1)]


def _reduced(part: TexturedPart, faces: np.ndarray, vertices: np.ndarray, K: np.ndarray) -> np.ndarray:
    """The texture (H,W,3) f32, averaged down where it has more than one texel per ray, against aliasing.

    vertices: (V, 3) in the frame of the camera. Texels and rays are counted over the faces in front of it.
    """
    import cv2

    texture = part.texture.astype(np.float32)
    height, width = texture.shape[:2]
    faces = faces[part.faces]
    faces = faces[(vertices[faces, 2] > 1e-6 * np.abs(vertices).max()).all(1)]
    if len(faces) == 0:
        return texture
    x = project(vertices, K)

    def area(p: np.ndarray) -> float:
        a, b, c = (p[faces[:, k]] for k in range(3))
        return np.abs((b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])).sum()

    factor = np.sqrt(4 * area(x) / max(area(part.uv * [width, height]), 1e-12))  # four rays a pixel
    if factor >= 1:
        return texture
    small = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(src=texture, dsize=small, interpolation=cv2.INTER_AREA)


def _shade(
    faces: np.ndarray,
    parts: list[tuple[TexturedPart, np.ndarray]],
    normals: np.ndarray | None,
    hit: dict,
    direction: np.ndarray,
    background: tuple[int, int, int],
) -> np.ndarray:
    """Colour (..., 3) f32 of each ray; direction (..., 3) in the frame of the normals, parts with reduced textures."""
    primitive = hit["primitive_ids"].numpy()
    colour = np.empty(primitive.shape + (3,), np.float32)
    colour[:] = background
    seen = np.isfinite(hit["t_hit"].numpy())
    face = primitive[seen]
    corners = faces[face]
    bary = hit["primitive_uvs"].numpy()[seen].astype(float)
    bary = np.column_stack([1 - bary.sum(1), bary])
    towards = direction[seen]
    here = np.tile(CLAY, (len(corners), 1)).astype(float)
    for part, texture in parts:
        shown = part.faces[face]
        here[shown] = bilinear(texture, np.einsum("nk,nki->ni", bary[shown], part.uv[corners[shown]]))
    if normals is not None:  # Lambert's cosine with the lamp at the camera, a quarter of it everywhere
        n = np.einsum("nk,nki->ni", bary, normals[corners])
        cosine = np.abs(np.einsum("ni,ni->n", n, towards))
        cosine /= np.maximum(np.linalg.norm(n, axis=1) * np.linalg.norm(towards, axis=1), 1e-12)
        here = here * (0.25 + 0.75 * cosine[:, None])
    wrong_side = np.einsum("ni,ni->n", hit["primitive_normals"].numpy()[seen], towards) > 0
    colour[seen] = np.where(wrong_side[:, None], BACK, here)
    return colour


def bilinear(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Return the texture at uv, interpolated between the four nearest texels; the border is repeated.

    Parameters
    ----------
    texture : (H, W, 3)
    uv : (N, 2)
        Origin at the bottom left.

    Returns
    -------
    (N, 3)
    """
    height, width = texture.shape[:2]
    x, y = pixels_of_uv(uv, (width, height)).T
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    x0, y0 = np.minimum(x.astype(int), max(width - 2, 0)), np.minimum(y.astype(int), max(height - 2, 0))
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    fx, fy = (x - x0)[:, None], (y - y0)[:, None]
    top = texture[y0, x0] * (1 - fx) + texture[y0, x1] * fx
    bottom = texture[y1, x0] * (1 - fx) + texture[y1, x1] * fx
    return top * (1 - fy) + bottom * fy
