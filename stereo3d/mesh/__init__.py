"""Point map -> triangle mesh -> textured mesh.

The point map holds a range along each ray of camera 1. Two neighbours lie on one surface unless the step between them
is too steep for a slope *and* too large for noise (`same_surface`); averaging, triangulation, hole filling and trimming
all use this test. `build_mesh` does what every mesher needs: smoothing along the surface, filling of holes, removal of
islands; a mesher makes triangles of the `PointGrid`.
"""

from .build import build_mesh
from .methods import MESHERS
from .texture import texture_mesh

__all__ = ["MESHERS", "build_mesh", "texture_mesh"]
