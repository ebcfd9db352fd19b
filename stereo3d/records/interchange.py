"""A mesh as trimesh and Open3D hold it, and as HTML for notebooks."""

import base64
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import StereoError
from ..resources import load_open3d
from .textured_part import TexturedPart

if TYPE_CHECKING:
    from trimesh import Trimesh

MAX_EMBEDDED = 320  # px, the longer side of a texture in HTML
WHITE = (255, 255, 255, 255)  # RGBA of a material: its texture as it is


def trimesh_mesh(
    vertices: np.ndarray, faces: np.ndarray, sigma: np.ndarray | None, parts: Sequence[TexturedPart]
) -> "Trimesh":
    """Return a `trimesh.Trimesh`; several textures become one, see `Mesh.to_trimesh`.

    Parameters
    ----------
    vertices : (V, 3) float
    faces : (M, 3) int
    sigma : (V,) float, optional
    parts : sequence of TexturedPart
        Of which each face has one; none without a texture.

    Raises
    ------
    StereoError
        "library_missing".
    """
    try:
        import trimesh
        from trimesh.visual import TextureVisuals
        from trimesh.visual.material import SimpleMaterial
    except ImportError as error:
        raise StereoError(
            "library_missing", f"trimesh cannot be loaded: {error}.", "pip install trimesh, or save the mesh as a file."
        ) from error
    visual, origin = None, np.arange(len(vertices))
    if parts:
        from PIL import Image

        texture, uv, faces, origin = _one_texture(len(vertices), faces, parts)
        visual = TextureVisuals(uv=uv, material=SimpleMaterial(image=Image.fromarray(texture), diffuse=WHITE))
    return trimesh.Trimesh(
        vertices=vertices[origin],
        faces=faces.copy(),
        visual=visual,
        vertex_attributes=None if sigma is None else {"sigma": sigma[origin]},
        process=False,
    )


def _one_texture(
    count: int, faces: np.ndarray, parts: Sequence[TexturedPart]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All textures one below the other, with uv, faces and the vertex that each vertex is a copy of.

    Returns
    -------
    texture : (H, W, 3) uint8
    uv : (V', 2) float64
        0 where a vertex has none.
    faces : (M, 3) int
    origin : (V',) int
        The first V vertices are the mesh's own, copies follow.
    """
    heights = [part.texture.shape[0] for part in parts]
    height, width = sum(heights), max(part.texture.shape[1] for part in parts)
    texture = parts[0].texture if len(parts) == 1 else np.zeros((height, width, 3), np.uint8)
    faces, origins, coordinates = faces.copy(), [np.arange(count)], []
    top, total = 0, count
    for k, part in enumerate(parts):
        rows, columns = part.texture.shape[:2]
        own = origins[0]
        if k:
            own, local = np.unique(faces[part.faces], return_inverse=True)
            faces[part.faces] = total + local.reshape(-1, 3)
            origins.append(own)
            total += len(own)
        if len(parts) > 1:
            texture[top : top + rows, :columns] = part.texture
        uv = np.nan_to_num(part.uv[own])
        v = 1 - (top + (1 - uv[:, 1]) * rows) / height
        coordinates.append(np.column_stack([uv[:, 0] * columns / width, v]))
        top += rows
    return texture, np.concatenate(coordinates), faces, np.concatenate(origins)


def open3d_mesh(vertices: np.ndarray, faces: np.ndarray, parts: Sequence[TexturedPart]) -> Any:
    """Return an `open3d.geometry.TriangleMesh`, see `Mesh.to_open3d`; parameters as for `trimesh_mesh`.

    Open3D keeps v upwards, as OBJ files have it, and textures with their lowest row first.

    Raises
    ------
    StereoError
        "library_missing".
    """
    open3d = load_open3d()
    mesh = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(np.ascontiguousarray(vertices, dtype=float)),
        open3d.utility.Vector3iVector(np.ascontiguousarray(faces, dtype=np.int32)),
    )
    if parts:
        uv, material = np.zeros((len(faces), 3, 2)), np.zeros(len(faces), np.int32)
        for k, part in enumerate(parts):
            uv[part.faces] = np.nan_to_num(part.uv[faces[part.faces]])
            material[part.faces] = k
        mesh.triangle_uvs = open3d.utility.Vector2dVector(uv.reshape(-1, 2))
        mesh.triangle_material_ids = open3d.utility.IntVector(material)
        pictures: list[Any] = [np.ascontiguousarray(part.texture[::-1]) for part in parts]
        mesh.textures = [open3d.geometry.Image(picture) for picture in pictures]
    mesh.compute_vertex_normals()
    return mesh


def mesh_html(title: str, vertices: np.ndarray, faces: np.ndarray, parts: Sequence[TexturedPart]) -> str:
    """Return the size of a mesh as a table, and its textures made small; parameters as for `trimesh_mesh`."""
    finite = vertices[np.isfinite(vertices).all(1)]
    rows = [("vertices", f"{len(vertices):,}"), ("faces", f"{len(faces):,}")]
    if len(finite):
        for axis, low, high in zip("xyz", finite.min(0), finite.max(0), strict=True):
            rows.append((axis, f"{low:.4g} to {high:.4g}"))
    cells = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>" for name, text in rows)
    pictures = "".join(embedded(part.texture, "texture") for part in parts)
    return f"<div><code>{html.escape(title)}</code><table>{cells}</table>{pictures}</div>"


def embedded(picture: np.ndarray, description: str, size: int = MAX_EMBEDDED) -> str:
    """Return a picture (H, W, 3) uint8 as an HTML element that holds it as a JPEG of at most `size` px a side."""
    from PIL import Image

    step = max(1, max(picture.shape[:2]) // (2 * size))  # large pictures by every n-th pixel first
    small = Image.fromarray(np.ascontiguousarray(picture[::step, ::step]))
    small.thumbnail((size, size))
    data = io.BytesIO()
    small.save(data, "JPEG", quality=85)
    text = base64.b64encode(data.getvalue()).decode()
    return f'<img alt="{html.escape(description)}" src="data:image/jpeg;base64,{text}">'
