"""Names that `import stereo3d` offers, for type checkers and editors; `__init__.py` loads them on first use."""

# A test keeps this list equal to `_HOME` of `__init__.py`.
from .batches import batch
from .cameras import camera_for, fit_rig, pinhole_view, read_rig, write_camera, write_rig
from .cameras.chessboard import Board, calibrate_camera, calibrate_rig, find_corners
from .diagnosis import diagnose
from .disparity import MATCHERS, compute_disparities, compute_disparity
from .errors import StereoError
from .features import DETECTORS, detect_features, match_features
from .geometry import absolute_orientation, relative_orientation, triangulate_points
from .images import read_pair, read_photo
from .io import WRITERS, write_mesh, write_points
from .mesh import MESHERS, build_mesh, texture_mesh
from .output.html import write_report, write_view
from .pipeline import Config, Result, reconstruct
from .records import (
    Camera,
    DisparityMap,
    Features,
    Finding,
    Matches,
    Mesh,
    Photo,
    PhotoPair,
    RectifiedPair,
    Rig,
    RigError,
    TwoView,
    WideLens,
)
from .rectification import disparity_range, rectify
from .triangulation import triangulate
from .two_view import eight_point, estimate_two_view, five_point, seven_point

__version__: str
_HOME: dict[str, str]

__all__ = [
    "Board",
    "Camera",
    "Config",
    "DETECTORS",
    "DisparityMap",
    "Features",
    "Finding",
    "MATCHERS",
    "MESHERS",
    "Matches",
    "Mesh",
    "Photo",
    "PhotoPair",
    "RectifiedPair",
    "Result",
    "Rig",
    "RigError",
    "StereoError",
    "TwoView",
    "WideLens",
    "WRITERS",
    "absolute_orientation",
    "batch",
    "build_mesh",
    "calibrate_camera",
    "calibrate_rig",
    "camera_for",
    "compute_disparities",
    "compute_disparity",
    "detect_features",
    "diagnose",
    "disparity_range",
    "eight_point",
    "estimate_two_view",
    "find_corners",
    "fit_rig",
    "five_point",
    "match_features",
    "pinhole_view",
    "read_pair",
    "read_photo",
    "read_rig",
    "reconstruct",
    "rectify",
    "relative_orientation",
    "seven_point",
    "texture_mesh",
    "triangulate",
    "triangulate_points",
    "write_camera",
    "write_mesh",
    "write_points",
    "write_report",
    "write_rig",
    "write_view",
    "__version__",
]
