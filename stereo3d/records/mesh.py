"""Mesh: vertices, faces, and the photos that texture them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .checks import Record, check_array
from .interchange import mesh_html, open3d_mesh, trimesh_mesh
from .textured_part import TexturedPart

if TYPE_CHECKING:
    from trimesh import Trimesh


@dataclass(frozen=True, eq=False, repr=False)
class Mesh(Record):
    """A triangle mesh in the frame of camera 1 (x right, y down, z forward); only writers change the axes.

    Attributes
    ----------
    vertices : (V, 3) float64
    faces : (M, 3) int32
        Counter-clockwise seen from outside.
    uv : (V, 2) float64, optional
        Pixel (x, y) -> ((x + 1/2)/W, 1 - (y + 1/2)/H): the origin is the texture's bottom left, v runs up.
    texture : (H, W, 3) uint8, optional
        RGB; what every face shows that is in none of `overlays`.
    sigma : (V,) float64, optional
        Standard deviation along the ray, units of the vertices; NaN at vertices made when a hole was filled.
    overlays : tuple of TexturedPart
        Faces that show another photo, such as the second; no face belongs to two.
    facts : dict
        What was measured while the mesh was built: `simplification_px`, the farthest that simplification moved the
        surface (px of the point map), `holes_filled`, `islands_dropped`, `islands_area` (share of the area in the
        photo), and what the mesher adds.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray | None = None
    texture: np.ndarray | None = None
    sigma: np.ndarray | None = None
    overlays: tuple[TexturedPart, ...] = ()
    facts: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_array(self, "vertices", (None, 3), "f")
        check_array(self, "faces", (None, 3), "iu")
        n, m = len(self.vertices), len(self.faces)
        if m and not (0 <= self.faces.min() and self.faces.max() < n):
            raise ValueError(f"Mesh: faces name vertices {self.faces.min()} to {self.faces.max()} of 0 to {n - 1}")
        if self.uv is not None:
            check_array(self, "uv", (n, 2), "f")
        if self.texture is not None:
            check_array(self, "texture", (None, None, 3), "u")
        if self.sigma is not None:
            check_array(self, "sigma", (n,), "f")
        for part in self.overlays:
            if part.faces.shape != (m,) or part.uv.shape != (n, 2):
                raise ValueError(
                    f"Mesh: an overlay has faces {part.faces.shape} and uv {part.uv.shape}, "
                    f"the mesh {m} faces and {n} vertices"
                )
            if self.texture is None or self.uv is None:
                raise ValueError("Mesh: overlays need a texture and uv for the other faces")

    def textured_parts(self) -> tuple[TexturedPart, ...]:
        """Return one part for each photo that the faces show, each face in one of them; () without a texture."""
        if self.texture is None or self.uv is None:
            return ()
        rest = np.ones(len(self.faces), bool)
        for part in self.overlays:
            rest &= ~part.faces
        return (TexturedPart(rest, self.uv, self.texture), *self.overlays)

    def to_trimesh(self) -> "Trimesh":
        """Return the mesh as one `trimesh.Trimesh` with its texture, in the same frame and unit.

        Face k is face k, and vertex k vertex k. With `overlays` all photos lie in one texture, one below the other; the
        vertices of each overlay follow as copies, since they have another place in it. `vertex_attributes["sigma"]`
        holds sigma.

        Raises
        ------
        StereoError
            "library_missing" without trimesh.
        """
        return trimesh_mesh(self.vertices, self.faces, self.sigma, self.textured_parts())

    def to_open3d(self) -> Any:  # Open3D states no types
        """Return the mesh as an `open3d.geometry.TriangleMesh` in the same frame and unit, a texture for each photo.

        Faces and vertices keep their order; `triangle_material_ids` names the texture of each face. Vertex normals are
        computed.

        Raises
        ------
        StereoError
            "library_missing" where Open3D, or a system library that it needs, cannot be loaded.
        """
        return open3d_mesh(self.vertices, self.faces, self.textured_parts())

    def _summary(self) -> Iterator[str]:
        yield f"{len(self.vertices)} vertices"
        yield f"{len(self.faces)} faces"
        if parts := self.textured_parts():
            yield "textures " + ", ".join(f"{p.texture.shape[1]} x {p.texture.shape[0]} px" for p in parts)
        else:
            yield "no texture"
        if self.sigma is not None:
            yield "with sigma"

    def _repr_html_(self) -> str:
        """Return a table and the textures, for notebooks."""
        return mesh_html(repr(self), self.vertices, self.faces, self.textured_parts())
