"""The records that travel between stages, and every convention, written once.

Conventions
-----------
- Pixel centres at integers; the picture covers [-1/2, W - 1/2]. Resizing by s maps x -> (x + 1/2) s - 1/2, K included.
- Axes: x right, y down, z forward. The world is camera 1: the first photo named, on whichever side it was taken.
- `X2 = R X1 + t`, `x2^T F x1 = 0`. Suffix 1/2 in geometry, left/right for images: `left` is always the first photo.
  `x` pixels, `X` points in space; other transforms are named `a_from_b`.
- Matches and maps hold pixels of the photos as read (upright, full size, lens distortion included).
  F and the epipolar lines hold for ideal pixels, that is after the distortion of each camera is taken out. Of cameras
  with a wide lens F is the essential matrix, which holds for unit rays: d2^T F d1 = 0.
- RGB everywhere. Unknown is NaN, in float maps only. Randomness is an explicit `seed`.
- disparity (H,W) f32 px: d = x_left - x_right, signed. A point nearer to the cameras has the larger d where the first
  photo is the left picture, and the smaller where it is the right one (`RectifiedPair.swapped`).
- confidence (H,W) f32 in [0,1]; sigma (H,W) f32; points (H,W,3) f64 in the frame of camera 1, units of t.
"""

from .camera import Camera, Rig, RigError, WideLens
from .checks import MAX_ROTATION_ERROR
from .finding import Finding
from .mesh import Mesh
from .photo import ExifFacts, Photo, PhotoPair, Position
from .rectified import DisparityMap, Drift, RectifiedPair, RightViewPixels, RightViewPoints, RowErrors
from .sphere import SphereGrid
from .textured_part import TexturedPart
from .two_view import Features, Matches, TwoView

__all__ = [
    "Camera",
    "DisparityMap",
    "Drift",
    "ExifFacts",
    "Features",
    "Finding",
    "MAX_ROTATION_ERROR",
    "Matches",
    "Mesh",
    "Photo",
    "PhotoPair",
    "Position",
    "RectifiedPair",
    "Rig",
    "RigError",
    "RightViewPixels",
    "RightViewPoints",
    "RowErrors",
    "SphereGrid",
    "TexturedPart",
    "TwoView",
    "WideLens",
]
