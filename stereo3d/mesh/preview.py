"""Pictures of a mesh without a display or a GPU: rays cast by Open3D's RaycastingScene (Embree)."""

import numpy as np

from ..geometry.camera import project, scale_K
from ..geometry.rotations import rotation_from_vector
from ..geometry.texture_coordinates import pixels_of_uv
from ..geometry.triangles import vertex_normals
from ..records import Camera, Mesh, TexturedPart
from ..resources import load_open3d
from .viewing import viewing_camera

BACK = np.array([90, 60, 130], np.float32)  # RGB of the back of a surface, rare in photos
CLAY = np.array([205, 200, 190], np.float32)
ORBIT_DEG = 28.0  # degrees
AROUND_DEG = 90.0  # degrees, of a view from the place of a panorama
# Rotation about the (vertical, horizontal) axis through the middle of the surface, in units of ORBIT_DEG.
VIEWS = {"front": (0, 0), "left": (-1, 0), "right": (1, 0), "up": (0, 1), "down": (0, -1)}


def render(
    mesh: Mesh,
    *,
    K: np.ndarray,
    size: tuple[int, int],
    R: np.ndarray | None = None,
    t: np.ndarray | None = None,
    background: tuple[int, int, int] = (24, 24, 28),
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
    if shading not in ("texture", "lit", "clay"):
        raise ValueError(f"shading {shading!r}: texture, lit or clay")
    open3d = load_open3d()
    R = np.eye(3) if R is None else np.asarray(R, dtype=float)
    t = np.zeros(3) if t is None else np.asarray(t, dtype=float)
    vertices = mesh.vertices @ R.T + t  # into this camera first: Embree counts in f32
    scene = open3d.t.geometry.RaycastingScene()
    scene.add_triangles(vertices.astype(np.float32), mesh.faces.astype(np.uint32))
    parts = mesh.textured_parts() if shading != "clay" else ()
    normals = None if shading == "texture" and parts else vertex_normals(mesh.vertices, mesh.faces) @ R.T
    width, height = size
    textures = [(part, _reduced(part, mesh.faces, vertices, K)) for part in parts]
    K2 = scale_K(K, 2.0)
    out = np.empty((height, width, 3), np.uint8)
    rows = max(1, 400_000 // (4 * width))  # of rays at a time, to bound the memory
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        v, u = np.mgrid[2 * top : 2 * bottom, 0 : 2 * width].astype(float)
        y = (v - K2[1, 2]) / K2[1, 1]
        x = (u - K2[0, 2] - K2[0, 1] * y) / K2[0, 0]
        direction = np.stack([x, y, np.ones_like(x)], -1).astype(np.float32)
        rays = np.concatenate([np.zeros_like(direction), direction], -1)
        hit = scene.cast_rays(open3d.core.Tensor(rays))
        colour = _shade(mesh.faces, textures, normals, hit, direction, background)
        out[top:bottom] = np.rint(colour.reshape(bottom - top, 2, width, 2, 3).mean((1, 3))).astype(np.uint8)
    return out


def preview(
    mesh: Mesh, camera: Camera, *, views: tuple[str, ...] = ("front", "left", "right", "up"), size: int = 480
) -> np.ndarray:
    """Return a contact sheet: one column for each view, textured above, as clay below.

    "front" is the view of `camera` (camera 1, without its lens distortion); the others are rotated by 28 degrees about
    the median point of the surface and moved back until the surface fits. The surface around a panorama is seen from
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
    columns = []
    for view in views:
        R, t = (_turned(*VIEWS[view]), np.zeros(3)) if around else _orbit(mesh, K, tile, *VIEWS[view])
        modes = ("texture", "clay") if mesh.texture is not None else ("clay",)
        columns.append(np.concatenate([render(mesh, K=K, size=tile, R=R, t=t, shading=s) for s in modes]))
    return np.concatenate(columns, axis=1)


def _turned(yaw: float, pitch: float) -> np.ndarray:
    """R (3, 3) of a camera that looks to the left (yaw -1), to the right, up (pitch 1) or down."""
    angle = np.radians(AROUND_DEG)
    return rotation_from_vector(np.array([-pitch * angle, 0, 0])) @ rotation_from_vector(np.array([0, -yaw * angle, 0]))


def _orbit(mesh: Mesh, K, size, yaw: float, pitch: float) -> tuple[np.ndarray, np.ndarray]:
    """R, t of a camera turned about the median vertex, far enough back that 98 % of the vertices are in the picture."""
    if not yaw and not pitch:
        return np.eye(3), np.zeros(3)
    centre = np.median(mesh.vertices, axis=0)
    angle = np.radians(ORBIT_DEG)
    R = rotation_from_vector(np.array([pitch * angle, 0, 0])) @ rotation_from_vector(np.array([0, yaw * angle, 0]))
    local = (mesh.vertices[:: max(1, len(mesh.vertices) // 20_000)] - centre) @ R.T
    # in the picture: |x - c| <= half size, that is |K (X, Y) / (Z + d)| <= half for the distance d along the axis
    half = np.array([min(K[0, 2] + 0.5, size[0] - 0.5 - K[0, 2]), min(K[1, 2] + 0.5, size[1] - 0.5 - K[1, 2])])
    need = np.abs(local[:, :2]) * [K[0, 0], K[1, 1]] / np.maximum(half, 1) - local[:, 2:]
    back = np.quantile(need.max(1), 0.98)
    back = max(back, -np.quantile(local[:, 2], 0.02) * 1.05)
    return R, np.array([0, 0, back]) - R @ centre


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
