"""The records that travel between stages, and every convention, written once.

Conventions
-----------
- Pixel centres at integers; the picture covers [-1/2, W - 1/2]. Resizing by s maps x -> (x + 1/2) s - 1/2, K included.
- Axes: x right, y down, z forward. The world is camera 1: the first photo named, on whichever side it was taken.
- `X2 = R X1 + t`, `x2^T F x1 = 0`. Suffix 1/2 in geometry, left/right for images: `left` is always the first photo.
  `x` pixels, `X` points in space; other transforms are named `a_from_b`.
- Matches and maps hold pixels of the photos as read (upright, full size, lens distortion included).
  F and the epipolar lines hold for ideal pixels, that is after the distortion of each camera is taken out.
- RGB everywhere. Unknown is NaN, in float maps only. Randomness is an explicit `seed`.
- disparity (H,W) f32 px: d = x_left - x_right, signed. A point nearer to the cameras has the larger d where the first
  photo stands on the left, and the smaller where it stands on the right (`RectifiedPair.swapped`).
- confidence (H,W) f32 in [0,1]; sigma (H,W) f32; points (H,W,3) f64 in the frame of camera 1, units of t.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .errors import StereoError

NO_ROTATION = 1e-3  # |R R^T - 1| of a rotation at most: what rounding to four digits leaves, as files have them


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo as read: upright RGB, with the facts its file states.

    pixels: (H,W,3) u8 RGB.  exif: facts read, any of `make`, `model`, `focal_mm`, `focal_35mm`, `plane_resolution`
    (focal-plane pixels per mm, of the stored picture), `orientation` (1..8, already applied to pixels), `size_stored`.
    """

    pixels: np.ndarray
    exif: dict = field(default_factory=dict)
    path: Path | None = None

    def __post_init__(self):
        pixels = np.asarray(self.pixels)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            shape = " x ".join(map(str, pixels.shape)) or "none"
            raise StereoError(
                "photo_unreadable",
                f"a photo's pixels are {shape} {pixels.dtype}, height x width x 3 uint8 (RGB) are needed.",
                "A grey picture: np.repeat(grey[..., None], 3, axis=2). With a fourth channel: "
                "pixels[..., :3]. Numbers of 0 to 1: np.rint(255 * pixels).astype(np.uint8).",
                shape=pixels.shape,
            )

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in px."""
        return self.pixels.shape[1], self.pixels.shape[0]


@dataclass(frozen=True, eq=False)
class Camera:
    """Pinhole camera with OpenCV's lens distortion: x = K distort(X / Z).

    K: (3,3) f64 px.  size: (width, height) px.  dist: (k,) f64 in OpenCV's order (k1 k2 p1 p2 k3 ...), empty = none.
    source: where K came from: "given" | "calibration" | "exif" | "estimated" | "prior", and in words what was read.
    """

    K: np.ndarray
    size: tuple[int, int]
    dist: np.ndarray = field(default_factory=lambda: np.zeros(0))
    source: str = "given"
    source_detail: str = ""

    def __post_init__(self):
        K = _numbers(self, "K", (3, 3), "a camera matrix is [fx 0 cx; 0 fy cy; 0 0 1]")
        if not (K[0, 0] > 0 and K[1, 1] > 0):
            raise _wrong(
                f"a camera's focal lengths are fx = {K[0, 0]:g}, fy = {K[1, 1]:g} px; both must be positive",
                "Check K = [fx 0 cx; 0 fy cy; 0 0 1].",
                fx=K[0, 0],
                fy=K[1, 1],
            )
        if np.abs(K[2] - [0, 0, 1]).max() > 1e-9:
            raise _wrong(
                f"the last row of a camera's K is {_listed(K[2])}, not 0 0 1",
                "Is it transposed, or of another scale? K = [fx 0 cx; 0 fy cy; 0 0 1].",
            )
        dist = _numbers(self, "dist", (np.size(self.dist),), "OpenCV's order is k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4")
        if len(dist) > 12:
            raise _wrong(
                f"a camera has {len(dist)} distortion coefficients; known are 12 at most",
                "OpenCV's order is k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4, without tilt.",
            )

    @property
    def focal(self) -> float:
        """Geometric mean of fx and fy, px."""
        return float(np.sqrt(self.K[0, 0] * self.K[1, 1]))


@dataclass(frozen=True, eq=False)
class Rig:
    """Two cameras and, where known, their relative pose X2 = R X1 + t.

    R: (3,3) | None.  t: (3,) | None, in `unit`; 0: a turn on the spot, which has no depth to find.
    unit: "m" | "mm" | ... | None (up to scale: |t| = 1).
    """

    cam1: Camera
    cam2: Camera
    R: np.ndarray | None = None
    t: np.ndarray | None = None
    unit: str | None = None

    def __post_init__(self):
        _check_pose(self)

    @property
    def posed(self) -> bool:
        return self.R is not None and self.t is not None

    def check_baseline(self) -> None:
        """Raises StereoError("bad_calibration") where t is known and 0: nothing has a depth then."""
        _check_step(self.t)


@dataclass(frozen=True, eq=False)
class Features:
    """Points of a photo that can be found again. x: (N,2) f64 px of the photo.  descriptors: (N,k) f32 of one length.
    frames: (N,2,2) the feature's own axes, px."""

    x: np.ndarray
    descriptors: np.ndarray
    frames: np.ndarray


@dataclass(frozen=True, eq=False)
class Matches:
    """Corresponding photo pixels. x1, x2: (N,2) f64 px.  score: (N,) f32, higher is better | None."""

    x1: np.ndarray
    x2: np.ndarray
    score: np.ndarray | None = None

    def __post_init__(self):
        shapes = [np.shape(x) for x in (self.x1, self.x2)]
        if shapes[0] != shapes[1] or len(shapes[0]) != 2 or shapes[0][1] != 2:
            raise StereoError(
                "size_mismatch",
                f"matches have x1 of shape {shapes[0]} and x2 of shape {shapes[1]}; both must be (N, 2), the same N.",
                "Row k of both is the same thing, (x, y) in px.",
                x1=shapes[0],
                x2=shapes[1],
            )
        if self.score is not None and np.shape(self.score) != shapes[0][:1]:
            raise StereoError(
                "size_mismatch",
                f"{shapes[0][0]} matches have scores of shape {np.shape(self.score)}.",
                "Give a number each, or score=None.",
                matches=shapes[0][0],
            )

    def __len__(self) -> int:
        return len(self.x1)

    def __getitem__(self, index) -> "Matches":
        return Matches(self.x1[index], self.x2[index], None if self.score is None else self.score[index])


@dataclass(frozen=True, eq=False)
class TwoView:
    """The relative pose of the two photos and which matches agree with it.

    F: (3,3) unit norm, ideal pixels.  R: (3,3).  t: (3,), |t| = 1 where the rig gives no scale.  inliers: (N,) bool.
    rig: the rig with refined cameras and this R, t.
    focal_sigma: relative standard error of the focal lengths, what is known beforehand included; None where they are
    given. Depth is stretched against width and height by about the same share.
    """

    F: np.ndarray
    R: np.ndarray
    t: np.ndarray
    inliers: np.ndarray
    rig: Rig
    focal_sigma: float | None = None

    def __post_init__(self):
        _check_pose(self)
        _check_step(self.t)


@dataclass(frozen=True, eq=False)
class Finding:
    """Something measured that the user should know.

    code: short name.  severity: "info" | "warning" | "error".  message: what, with its numbers.  numbers: by name.
    advice: what to do about it.
    """

    code: str
    severity: str
    message: str
    numbers: dict = field(default_factory=dict)
    advice: str = ""


@dataclass(frozen=True, eq=False)
class RectifiedPair:
    """Two pictures whose equal rows are corresponding epipolar lines, and the way back to the photos.

    left, right: (H,W,3) u8 RGB; left shows the first photo.  map1, map2: (H,W,2) f32, the photo pixel (x, y) that each
    rectified pixel shows, NaN outside.  kind: "identity" | "planar" | "polar".
    swapped: the first photo stands on the right, so nearer points have the smaller (signed) disparity.
    rows: how far corresponding rows lie beside each other, as patches of the two pictures tell: median_px, most_px
    (95 %) and places, how many were fitted; empty where too few could be.
    drift: where map2 was bent to follow the matches, before_px and after_px, the median distance of inliers from their
    epipolar lines (after: of those left out of the fit), and largest_px, the largest bend; px at matching size.
    """

    left: np.ndarray
    right: np.ndarray
    map1: np.ndarray
    map2: np.ndarray
    kind: str = "identity"
    swapped: bool = False
    rows: dict = field(default_factory=dict)
    drift: dict = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class DisparityMap:
    """The disparity that each pixel of one of the two rectified pictures sees.

    disparity: (H,W) f32 px, x_left - x_right, NaN unknown.  confidence: (H,W) f32 in [0,1], 0 where unknown or filled.
    sigma: (H,W) f32 px, standard deviation of the disparity; where that is unknown NaN, or inf if the picture tells
    nothing there, as in a sky.
    """

    disparity: np.ndarray
    confidence: np.ndarray
    sigma: np.ndarray


@dataclass(frozen=True, eq=False)
class PointsBetween:
    """Points that lie between two pixels of a row of the point map: a surface steep to the first photo's line of sight,
    of which the second photo has more pixels.

    points: (N,3), frame of camera 1.  sigma: (N,) along the ray.  after: (N,) i64, y W + x of the pixel on whose right
    side each lies, ascending; those with the same in the order of the row.  centre: (3,) of camera 2, which saw them.
    """

    points: np.ndarray
    sigma: np.ndarray
    after: np.ndarray
    centre: np.ndarray


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh in the frame of camera 1 (x right, y down, z forward); only writers turn the axes.

    vertices: (V,3) f64.  faces: (M,3) i32, counter-clockwise seen from outside.  uv: (V,2) f64 | None, origin at the
    texture's bottom left, v up, in units of its width and height (pixel (x, y) -> ((x + 1/2)/W, 1 - (y + 1/2)/H)).
    texture: (H,W,3) u8 RGB | None.  sigma: (V,) standard deviation along the ray, units of the vertices, NaN where the
    vertex was not measured but made when a hole was filled | None.
    second: (M,) bool, the faces that show the second photo: their corners have the place uv2 (V,2) in texture2
    (H2,W2,3) u8 RGB; None: no face does.  facts: what was measured while it was made, by name.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray | None = None
    texture: np.ndarray | None = None
    sigma: np.ndarray | None = None
    second: np.ndarray | None = None
    uv2: np.ndarray | None = None
    texture2: np.ndarray | None = None
    facts: dict = field(default_factory=dict)


# ------------------------------------------------------------------------------------------------ what is refused


def _wrong(message: str, advice: str, **numbers) -> StereoError:
    return StereoError("bad_calibration", message + ".", advice, **numbers)


def _listed(values) -> str:
    return "(" + ", ".join(f"{v:g}" for v in np.ravel(values)) + ")"


def _numbers(record, name: str, shape: tuple[int, ...], advice: str) -> np.ndarray:
    """The record's field as finite f64 of that shape; a column stands for a vector, as OpenCV has them."""
    given = getattr(record, name)
    what = f"{name} of a {type(record).__name__}"
    try:
        value = np.asarray(given, dtype=float)
    except (TypeError, ValueError) as error:
        raise _wrong(f"the {what} is no array of numbers", advice[:1].upper() + advice[1:] + ".") from error
    if value.size != np.prod(shape) or (len(shape) == 2 and value.shape != shape):
        raise _wrong(f"the {what} has shape {value.shape}, needed is {shape}", advice[:1].upper() + advice[1:] + ".")
    if not np.isfinite(value).all():
        raise _wrong(f"the {what} is {_listed(value)}, not finite numbers", advice[:1].upper() + advice[1:] + ".")
    if value.shape != shape:
        value = value.reshape(shape)
    if value is not given:
        object.__setattr__(record, name, value)
    return value


def _check_pose(record) -> None:
    """R, where it is there, is a rotation, t finite."""
    if record.R is not None:
        R = _numbers(record, "R", (3, 3), "X2 = R X1 + t, R a rotation matrix (cv2.Rodrigues makes one of a vector)")
        off, sign = float(np.abs(R @ R.T - np.eye(3)).max()), float(np.linalg.det(R))
        if off > NO_ROTATION or sign < 0:
            raise _wrong(
                f"R is no rotation: R R^T is off the identity by {off:.2g} (allowed is {NO_ROTATION:g}), its "
                f"determinant is {sign:.3g}",
                "X2 = R X1 + t, R of determinant 1: check its numbers, and its axes (x right, y down, z forward).",
                off=off,
                determinant=sign,
            )
    if record.t is not None:
        _numbers(record, "t", (3,), "X2 = R X1 + t: the first camera's place, seen from the second")


def _check_step(t) -> None:
    if t is not None and not np.any(t):
        raise _wrong(
            f"both cameras stand in one place: t = {_listed(t)}",
            "A stereo rig needs t other than 0; leave R and t out where they are not known.",
        )
