"""Files: atomic writing, float maps, JSON, mesh writers and the mesh reader."""

from .atomic import replacing, reserving, together, try_writing
from .json_files import plain, write_json
from .maps import read_map, write_map
from .photo_maps import write_confidence, write_depth, write_normals
from .pictures import colourise, write_disparity_png, write_picture
from .points import write_points
from .read_mesh import read_mesh, read_textured_mesh
from .style import check_axes, companions
from .write_mesh import WRITERS, write_mesh

__all__ = [
    "WRITERS",
    "check_axes",
    "colourise",
    "companions",
    "plain",
    "read_map",
    "read_mesh",
    "read_textured_mesh",
    "replacing",
    "reserving",
    "together",
    "try_writing",
    "write_confidence",
    "write_depth",
    "write_disparity_png",
    "write_json",
    "write_map",
    "write_mesh",
    "write_normals",
    "write_picture",
    "write_points",
]
