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

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Protocol, TypedDict, cast

import numpy as np

from .errors import StereoError

# Largest |R R^T - 1| of a matrix that is accepted as a rotation: files round R to four digits, which leaves this much.
MAX_ROTATION_ERROR = 1e-3


class _Record:
    """A short `repr` for records: arrays appear as their shape and dtype, never as numbers."""

    def __repr__(self) -> str:
        named = (f"{f.name}={_summary(getattr(self, f.name))}" for f in fields(self))  # pyright: ignore[reportArgumentType]
        return f"{type(self).__name__}({', '.join(named)})"


def _summary(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"<{'x'.join(map(str, value.shape))} {value.dtype}>"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_summary, value)) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_summary(item)}" for key, item in value.items()) + "}"
    return repr(value)


class ExifFacts(TypedDict, total=False):
    """What the header of a photo states; a key is missing where the file does not state it."""

    make: str
    model: str
    date: str
    format: str  # of the file
    focal_mm: float
    focal_35mm: float  # mm, equivalent on 36 x 24 mm film
    plane_resolution: float  # focal-plane px per mm, of the picture as it left the camera: `size_exif`, else as stored
    size_exif: tuple[int, int]  # (width, height) px of the picture as it left the camera, as EXIF states them
    gravity: tuple[float, float, float]  # unit vector, axes of the photo (x right, y down, z forward)
    orientation: int  # EXIF's 1..8, already applied to the pixels
    size_stored: tuple[int, int]  # (width, height) px before that rotation


class RowErrors(TypedDict):
    """Vertical misalignment of corresponding rows, measured on patches of both pictures; empty with too few of them."""

    median_px: float
    most_px: float  # 95 % quantile
    places: int  # number of patches


class Drift(TypedDict):
    """How far `map2` was bent to follow the matches, px at matching size; empty where it was not."""

    before_px: float  # median distance of the inliers from their epipolar lines
    after_px: float  # the same afterwards, of inliers left out of the fit
    largest_px: float  # largest bend


@dataclass(frozen=True, eq=False, repr=False)
class Photo(_Record):
    """A photo as read, with what its file states about the camera.

    Attributes
    ----------
    pixels : (H, W, 3) uint8
        RGB, upright.
    exif : ExifFacts
        What the header states.
    path : Path, optional
        The file.
    """

    pixels: np.ndarray
    exif: ExifFacts = field(default_factory=ExifFacts)
    path: Path | None = None

    def __post_init__(self) -> None:
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


@dataclass(frozen=True, eq=False, repr=False)
class Camera(_Record):
    """Pinhole camera with OpenCV's lens distortion: x = K distort(X / Z).

    Attributes
    ----------
    K : (3, 3) float64
        px, [fx s cx; 0 fy cy; 0 0 1].
    size : (width, height)
        px.
    dist : (k,) float64
        OpenCV's order, k1 k2 p1 p2 k3 ...; empty: no distortion.
    source : str
        Where K comes from: "given", "calibration", "exif", "estimated" or "prior".
    source_detail : str
        The same in words.
    """

    K: np.ndarray
    size: tuple[int, int]
    dist: np.ndarray = field(default_factory=lambda: np.zeros(0))
    source: str = "given"
    source_detail: str = ""

    def __post_init__(self) -> None:
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


@dataclass(frozen=True, eq=False, repr=False)
class Rig(_Record):
    """Two cameras and, where known, their relative pose X2 = R X1 + t.

    Attributes
    ----------
    cam1, cam2 : Camera
    R : (3, 3) float64, optional
    t : (3,) float64, optional
        In `unit`; 0 is a pure rotation, which gives no depth.
    unit : str, optional
        "m", "mm", ...; None: up to scale, |t| = 1.
    """

    cam1: Camera
    cam2: Camera
    R: np.ndarray | None = None
    t: np.ndarray | None = None
    unit: str | None = None

    def __post_init__(self) -> None:
        _check_pose(self)

    @property
    def posed(self) -> bool:
        """Whether R and t are known."""
        return self.R is not None and self.t is not None

    def check_baseline(self) -> None:
        """Raise StereoError("bad_calibration") where t is known and 0: no point has a depth then."""
        _check_baseline(self.t)


@dataclass(frozen=True, eq=False, repr=False)
class Features(_Record):
    """Keypoints of a photo with their descriptors.

    Attributes
    ----------
    x : (N, 2) float64
        px of the photo.
    descriptors : (N, k) float32
        Of equal length.
    frames : (N, 2, 2) float
        Axes of each keypoint, px.
    """

    x: np.ndarray
    descriptors: np.ndarray
    frames: np.ndarray

    def __post_init__(self) -> None:
        _check_array(self, "x", (None, 2), "f")
        _check_array(self, "descriptors", (len(self.x), None), "f")
        _check_array(self, "frames", (len(self.x), 2, 2), "f")


@dataclass(frozen=True, eq=False, repr=False)
class Matches(_Record):
    """Corresponding photo pixels.

    Attributes
    ----------
    x1, x2 : (N, 2) float64
        px; row k of both shows the same point.
    score : (N,) float32, optional
        Higher is better.
    """

    x1: np.ndarray
    x2: np.ndarray
    score: np.ndarray | None = None

    def __post_init__(self) -> None:
        shapes = [np.shape(x) for x in (self.x1, self.x2)]
        if shapes[0] != shapes[1] or len(shapes[0]) != 2 or shapes[0][1] != 2:
            raise StereoError(
                "size_mismatch",
                f"matches have x1 of shape {shapes[0]} and x2 of shape {shapes[1]}; both must be (N, 2), the same N.",
                "Row k of both is (x, y) in px of the same point.",
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

    def __getitem__(self, index: slice | np.ndarray) -> "Matches":
        return Matches(self.x1[index], self.x2[index], None if self.score is None else self.score[index])


@dataclass(frozen=True, eq=False, repr=False)
class TwoView(_Record):
    """The relative pose of the two photos and the matches that agree with it.

    Attributes
    ----------
    F : (3, 3) float64
        Fundamental matrix of ideal pixels, unit norm.
    R : (3, 3) float64
    t : (3,) float64
        |t| = 1 where the rig gives no scale.
    inliers : (N,) bool
    rig : Rig
        With refined cameras and this R, t.
    focal_sigma : float, optional
        Relative standard error of the focal lengths, prior knowledge included; None where they are given. Depth is
        stretched against width and height by about the same share.
    """

    F: np.ndarray
    R: np.ndarray
    t: np.ndarray
    inliers: np.ndarray
    rig: Rig
    focal_sigma: float | None = None

    def __post_init__(self) -> None:
        _check_pose(self)
        _check_baseline(self.t)


@dataclass(frozen=True, eq=False, repr=False)
class Finding(_Record):
    """A measurement that the user should know.

    Attributes
    ----------
    code : str
        Short name.
    severity : str
        "info", "warning" or "error".
    message : str
        The finding in words, with its numbers.
    numbers : dict
        The numbers by name.
    advice : str
        What to do about it.
    """

    code: str
    severity: str
    message: str
    numbers: dict = field(default_factory=dict)
    advice: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class RectifiedPair(_Record):
    """Two pictures whose equal rows are corresponding epipolar lines, and the maps back to the photos.

    Attributes
    ----------
    left, right : (H, W, 3) uint8
        RGB; `left` shows the first photo.
    map1, map2 : (H, W, 2) float32
        Photo pixel (x, y) that each rectified pixel shows, NaN outside.
    kind : str
        "identity", "planar" or "polar".
    swapped : bool
        The first photo stands on the right, so nearer points have the smaller (signed) disparity.
    rows : RowErrors
        Vertical misalignment of corresponding rows.
    drift : Drift
        Correction of `map2` by a slow drift of the matches.
    """

    left: np.ndarray
    right: np.ndarray
    map1: np.ndarray
    map2: np.ndarray
    kind: str = "identity"
    swapped: bool = False
    rows: RowErrors = field(default_factory=lambda: cast(RowErrors, {}))
    drift: Drift = field(default_factory=lambda: cast(Drift, {}))

    def __post_init__(self) -> None:
        for name in ("left", "right"):
            _check_array(self, name, (None, None, 3), "u")
        for name, picture in (("map1", self.left), ("map2", self.right)):
            _check_array(self, name, (*picture.shape[:2], 2), "f")


@dataclass(frozen=True, eq=False, repr=False)
class DisparityMap(_Record):
    """The disparity of each pixel of one of the two rectified pictures.

    Attributes
    ----------
    disparity : (H, W) float32
        px, x_left - x_right; NaN unknown.
    confidence : (H, W) float32
        In [0, 1]; 0 where unknown or filled.
    sigma : (H, W) float32
        px, standard deviation of the disparity; NaN where it is unknown, inf where the picture has no texture to
        measure it by, as in a clear sky.
    """

    disparity: np.ndarray
    confidence: np.ndarray
    sigma: np.ndarray

    def __post_init__(self) -> None:
        _check_array(self, "disparity", (None, None), "f")
        for name in ("confidence", "sigma"):
            _check_array(self, name, self.disparity.shape, "f")


@dataclass(frozen=True, eq=False, repr=False)
class RightViewPixels(_Record):
    """Disparities between two neighbouring left pixels of a row, which only the right picture resolves.

    Sorted by rows, in each from left to right; between two left pixels in the order of the right picture.

    Attributes
    ----------
    x : (N,) float64
        px, fractional left column.
    row : (N,) int64
        px.
    disparity : (N,) float64
        px.
    sigma : (N,) float32
        px.
    """

    x: np.ndarray
    row: np.ndarray
    disparity: np.ndarray
    sigma: np.ndarray

    def __post_init__(self) -> None:
        _check_array(self, "x", (None,), "f")
        _check_array(self, "row", self.x.shape, "iu")
        for name in ("disparity", "sigma"):
            _check_array(self, name, self.x.shape, "f")


@dataclass(frozen=True, eq=False, repr=False)
class RightViewPoints(_Record):
    """Points between two neighbouring pixels of a row of the point map, measured in the second photo.

    A surface steep to the first photo's line of sight covers more pixels of the second photo than of the first.

    Attributes
    ----------
    points : (N, 3) float64
        Frame of camera 1.
    sigma : (N,) float
        Standard deviation along the ray, units of the points.
    after : (N,) int64
        y W + x of the pixel to the left of each point, ascending; equal ones in the order of the row.
    centre : (3,) float64
        Position of camera 2.
    """

    points: np.ndarray
    sigma: np.ndarray
    after: np.ndarray
    centre: np.ndarray

    def __post_init__(self) -> None:
        _check_array(self, "points", (None, 3), "f")
        _check_array(self, "sigma", (len(self.points),), "f")
        _check_array(self, "after", (len(self.points),), "iu")
        _check_array(self, "centre", (3,), "f")


@dataclass(frozen=True, eq=False, repr=False)
class TexturedPart(_Record):
    """One photo on some of a mesh's faces.

    Attributes
    ----------
    faces : (M,) bool
        Faces of the mesh that show the photo.
    uv : (V, 2) float64
        Position of each vertex in the photo, as in `Mesh`; any value at vertices that none of the faces uses.
    texture : (H, W, 3) uint8
        RGB.
    """

    faces: np.ndarray
    uv: np.ndarray
    texture: np.ndarray

    def __post_init__(self) -> None:
        _check_array(self, "faces", (None,), "b")
        _check_array(self, "uv", (None, 2), "f")
        _check_array(self, "texture", (None, None, 3), "u")


@dataclass(frozen=True, eq=False, repr=False)
class Mesh(_Record):
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
        _check_array(self, "vertices", (None, 3), "f")
        _check_array(self, "faces", (None, 3), "iu")
        n, m = len(self.vertices), len(self.faces)
        if m and not (0 <= self.faces.min() and self.faces.max() < n):
            raise ValueError(f"Mesh: faces name vertices {self.faces.min()} to {self.faces.max()} of 0 to {n - 1}")
        if self.uv is not None:
            _check_array(self, "uv", (n, 2), "f")
        if self.texture is not None:
            _check_array(self, "texture", (None, None, 3), "u")
        if self.sigma is not None:
            _check_array(self, "sigma", (n,), "f")
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


# ----------------------------------------------------------------------------------------------------- validation


def _check_array(record: object, name: str, shape: tuple[int | None, ...], kinds: str) -> None:
    """Raise ValueError unless the field is an array of that shape (None: any length) and one of numpy's dtype kinds."""
    value = getattr(record, name)
    found = np.shape(value)
    fits = len(found) == len(shape) and all(want in (None, n) for want, n in zip(shape, found, strict=True))
    if not isinstance(value, np.ndarray) or not fits or value.dtype.kind not in kinds:
        wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ("," if len(shape) == 1 else "") + ")"
        types = {"f": "float", "u": "uint8", "iu": "int", "b": "bool"}[kinds]
        got = f"{found} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(f"{type(record).__name__}.{name} must be {wanted} {types}, got {got}")


def _wrong(message: str, advice: str, **numbers: float) -> StereoError:
    return StereoError("bad_calibration", message + ".", advice, **numbers)


def _listed(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{v:g}" for v in np.ravel(values)) + ")"


def _numbers(record: object, name: str, shape: tuple[int, ...], advice: str) -> np.ndarray:
    """Return a field as finite float64 of that shape, and store it so; a column (n, 1) becomes a vector."""
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


class _Posed(Protocol):
    """A record with a relative pose."""

    @property
    def R(self) -> np.ndarray | None: ...

    @property
    def t(self) -> np.ndarray | None: ...


def _check_pose(record: _Posed) -> None:
    """Raise StereoError unless R, where known, is a rotation and t finite."""
    if record.R is not None:
        R = _numbers(record, "R", (3, 3), "X2 = R X1 + t, R a rotation matrix (cv2.Rodrigues makes one of a vector)")
        off, sign = float(np.abs(R @ R.T - np.eye(3)).max()), float(np.linalg.det(R))
        if off > MAX_ROTATION_ERROR or sign < 0:
            raise _wrong(
                f"R is no rotation: R R^T is off the identity by {off:.2g} (allowed is {MAX_ROTATION_ERROR:g}), its "
                f"determinant is {sign:.3g}",
                "X2 = R X1 + t, R of determinant 1: check its numbers, and its axes (x right, y down, z forward).",
                off=off,
                determinant=sign,
            )
    if record.t is not None:
        _numbers(record, "t", (3,), "X2 = R X1 + t: the position of camera 1 in the frame of camera 2")


def _check_baseline(t: np.ndarray | None) -> None:
    if t is not None and not np.any(t):
        raise _wrong(
            f"both cameras stand in one place: t = {_listed(t)}",
            "A stereo rig needs t other than 0; leave R and t out where they are not known.",
        )
