"""Point map -> triangle mesh -> textured mesh.

The point map is a grid of rays of camera 1 with a range on each. Two neighbours belong to one surface unless the step
between them is too steep to be a slope *and* too large to be noise (`sheet.held`); everything here that averages,
joins, fills or trims asks that one question. What every mesher needs is done here once: smoothing along the surface,
filling of holes, dropping of specks, simplification (`Sheet`, `build_mesh`); a mesher makes triangles of it.
"""

from .build import build_mesh
from .methods import MESHERS
from .texture import texture_mesh

__all__ = ["MESHERS", "build_mesh", "texture_mesh"]
