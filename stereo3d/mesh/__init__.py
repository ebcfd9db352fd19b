"""Surface from a map of points: meshing, hole filling, decimation, texture; pictures of it."""

from .build import build_mesh
from .meshers import MESHERS
from .texture import texture_mesh

__all__ = ["MESHERS", "build_mesh", "texture_mesh"]
