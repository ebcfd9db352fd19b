"""Camera, Rig and RigError: intrinsics, lens distortion, relative pose, and how well they are known."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ..geometry.arrays import hom, norms
from ..geometry.camera import fold_radius, lens_coefficients, project, undistort
from ..geometry.rotations import rotation_angle_deg
from ..geometry.wide_lenses import LENSES, pixels_from_rays, rays_from_pixels
from .checks import Record, brief, check_baseline, check_pose, checked_numbers, checked_size, listed, wrong

PIXEL_SAMPLES = 32  # a side: pixels whose angle is measured


@dataclass(frozen=True, repr=False)
class WideLens(Record):
    """A lens that maps directions, not the picture plane: x = K m(X), m as `geometry.wide_lenses` states it.

    Attributes
    ----------
    model : str
        "fisheye" (Kannala-Brandt: k1 k2 k3 k4), "double_sphere" (xi, alpha), "eucm" (alpha, beta),
        "omnidir" (the unified model: xi, k1, k2, p1, p2) or "equirectangular".
    coefficients : tuple of float
    """

    model: str
    coefficients: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.model not in LENSES:
            raise ValueError(f"there is no lens model {self.model!r}; there are {', '.join(LENSES)}")
        wanted = LENSES[self.model].coefficients
        try:
            numbers = np.asarray(self.coefficients, dtype=float)
        except (TypeError, ValueError) as error:
            raise ValueError(f"the coefficients of a lens are numbers, got {self.coefficients!r}") from error
        if numbers.shape != (wanted,) or not np.isfinite(numbers).all():
            raise wrong(
                f"the coefficients of a lens of model {self.model} are {listed(numbers)}; it has "
                f"{wanted} finite numbers",
                "Check the calibration.",
            )
        if broken := LENSES[self.model].broken_bound(numbers.tolist()):
            raise wrong(f"a lens of model {self.model} has {broken}", "Check the calibration.")


@dataclass(frozen=True, eq=False, repr=False)
class Camera(Record):
    """Pinhole camera with OpenCV's lens distortion: x = K distort(X / Z); or a wide-angle one.

    Attributes
    ----------
    K : (3, 3) float64
        px, [fx s cx; 0 fy cy; 0 0 1].
    size : (width, height)
        px.
    dist : (k,) float64
        OpenCV's order, k1 k2 p1 p2 k3 ...: 0, 1, 2, 4, 5, 8, 12 or 14 coefficients; empty: no distortion. Of 14 the
        last two are the tilt of the sensor; where they are 0, they are dropped.
    source : str
        Where K comes from: "given", "calibration", "exif", "estimated" or "prior".
    source_detail : str
        The same as text.
    lens : WideLens, optional
        In the place of `dist`, which is empty then. Runs use its whole field over the sphere of directions, or
        resample its photos as a pinhole camera's (`cameras.pinhole_view`): docs/decisions/sphere.md.
    """

    K: np.ndarray
    size: tuple[int, int]
    dist: np.ndarray = field(default_factory=lambda: np.zeros(0))
    source: str = "given"
    source_detail: str = ""
    lens: WideLens | None = None

    def __post_init__(self) -> None:
        K = checked_numbers(self, "K", (3, 3), "a camera matrix is [fx 0 cx; 0 fy cy; 0 0 1]")
        if not (K[0, 0] > 0 and K[1, 1] > 0):
            raise wrong(
                f"a camera's focal lengths are fx = {K[0, 0]:g}, fy = {K[1, 1]:g} px; both must be positive",
                "Check K = [fx 0 cx; 0 fy cy; 0 0 1].",
                fx=K[0, 0],
                fy=K[1, 1],
            )
        if np.abs(K[2] - [0, 0, 1]).max() > 1e-9:
            raise wrong(
                f"the last row of a camera's K is {listed(K[2])}, not 0 0 1",
                "Is it transposed, or of another scale? K = [fx 0 cx; 0 fy cy; 0 0 1].",
            )
        object.__setattr__(self, "size", checked_size(self.size))
        dist = checked_numbers(
            self, "dist", (np.size(self.dist),), "OpenCV's order is k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4 tau_x tau_y"
        )
        try:
            lens_coefficients(dist)
        except ValueError as error:
            raise wrong(
                f"the distortion of a camera cannot be used: {error}",
                "Give 0, 1, 2, 4, 5, 8, 12 or 14 coefficients in OpenCV's order, k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4 "
                "tau_x tau_y; fill up with zeros.",
                coefficients=len(dist),
            ) from error
        if len(dist) == 14 and not np.any(dist[12:]):
            object.__setattr__(self, "dist", dist[:12])
        if self.lens is not None and np.any(dist):
            raise ValueError("a camera has a wide lens or distortion coefficients, not both")

    @property
    def focal(self) -> float:
        """Geometric mean of fx and fy, px."""
        return float(np.sqrt(self.K[0, 0] * self.K[1, 1]))

    def _summary(self) -> Iterator[str]:
        yield f"{self.size[0]} x {self.size[1]} px"
        yield f"focal={brief(self.focal)} px"
        yield f"centre=({brief(float(self.K[0, 2]))}, {brief(float(self.K[1, 2]))}) px"
        if self.dist.size:
            yield f"dist={brief(self.dist)}"
        if self.lens is not None:
            yield f"lens={self.lens.model}"
        yield f"source={brief(self.source)}"

    def rays_from_pixels(self, x: np.ndarray) -> np.ndarray:
        """Return unit directions (..., 3) of pixels (..., 2) in the frame of the camera; NaN where none is shown."""
        if self.lens is not None:
            return rays_from_pixels(x, self.lens.model, self.K, np.array(self.lens.coefficients))
        X = hom(undistort(x, self.K, self.dist))
        return X / norms(X)[..., None]

    def pixels_from_rays(self, X: np.ndarray) -> np.ndarray:
        """Return the pixels (..., 2) of directions or points (..., 3) in the frame of the camera, in the photo or not.

        NaN where the lens shows none: behind a pinhole, beyond a fold of its distortion.
        """
        if self.lens is not None:
            return pixels_from_rays(X, self.lens.model, self.K, np.array(self.lens.coefficients))
        X = np.asarray(X, dtype=float)
        with np.errstate(divide="ignore", invalid="ignore"):
            shown = (X[..., 2] > 0) & (np.hypot(X[..., 0], X[..., 1]) <= fold_radius(self.dist) * X[..., 2])
        return np.where(shown[..., None], project(X, self.K, dist=self.dist), np.nan)

    @property
    def is_panorama(self) -> bool:
        """Whether the photo is an equirectangular panorama: its columns are longitudes, its rows latitudes."""
        return self.lens is not None and self.lens.model == "equirectangular"

    @property
    def pixel_angle(self) -> float:
        """Radians that a pixel covers along the axis along which it covers more; the median over the photo."""
        steps = (np.arange(PIXEL_SAMPLES) + 0.5) / PIXEL_SAMPLES
        x = np.stack(np.meshgrid(*(steps * n - 0.5 for n in self.size)), -1).reshape(-1, 2)
        here = self.rays_from_pixels(x)
        across, down = (norms(self.rays_from_pixels(x + 0.25 * step) - here) / 0.25 for step in np.eye(2))
        return float(np.nanmedian(np.fmax(across, down)))


@dataclass(frozen=True, repr=False)
class RigError(Record):
    """Standard deviations of the numbers of a rig, before any match is seen; 0: exact.

    The length of the baseline is taken as exact in any case: no match shows it.

    Attributes
    ----------
    rotation_deg : float
        Degrees, of R about each of its three axes.
    direction_deg : float
        Degrees, of the direction of t along each of two axes.
    focal : float
        Of the focal length of each camera, relative.
    centre : float
        Of each principal point, along x and y, as a share of the longer side.
    distortion : float
        Of k1 of each camera.
    infinity_deg : float, optional
        Degrees, of the direction along the baseline in which camera 2 shows infinity: what rotation and principal
        points leave together, which devices align far better than each of them. None: it follows from these.
    """

    rotation_deg: float = 0.0
    direction_deg: float = 0.0
    focal: float = 0.0
    centre: float = 0.0
    distortion: float = 0.0
    infinity_deg: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            free = name == "infinity_deg"
            if value is None and free:
                continue
            number = isinstance(value, int | float | np.number)
            if not number or not 0 <= value < np.inf or (value == 0 and free):
                raise ValueError(f"RigError.{name} must be a finite number of at least 0, got {value!r}")

    @classmethod
    def nominal(cls) -> "RigError":
        """Return the errors of a rig known by its design, or that took a knock.

        A mount or a headset that bends: a degree. Focal lengths follow focus and temperature by 2 %; a principal point
        is known twice as well as that of a camera never calibrated; k1 of lenses of one design differs by 0.02.
        """
        return cls(rotation_deg=1.0, direction_deg=1.0, focal=0.02, centre=0.005, distortion=0.02)

    @classmethod
    def device(cls) -> "RigError":
        """Return the errors of the pair that a phone or a headset has rectified itself: a spatial photo.

        Its rows are off by .4 to .8 px of 2560 (a Vision Pro's), .03 degrees. It aligns infinity for viewing: twice
        that. What the warp to one camera leaves of its two lenses looks like a turn of half a degree whose shift the
        principal points undo.
        """
        return cls(rotation_deg=0.5, direction_deg=0.5, focal=0.01, centre=0.005, distortion=0.01, infinity_deg=0.06)

    @property
    def exact(self) -> bool:
        """Whether nothing of the rig may move."""
        return not any(value for name, value in vars(self).items() if name != "infinity_deg")


@dataclass(frozen=True, eq=False, repr=False)
class Rig(Record):
    """Two cameras and, where known, their relative pose X2 = R X1 + t.

    Attributes
    ----------
    cam1, cam2 : Camera
    R : (3, 3) float64, optional
    t : (3,) float64, optional
        In `unit`; 0 is a pure rotation, which gives no depth.
    unit : str, optional
        "m", "mm", ...; None: up to scale, |t| = 1.
    error : RigError
        How well cameras and pose are known; of a rig whose pose is not known it says nothing. By default exact: all
        numbers stay. `RigError.nominal()`: they are refined from the matches.
    """

    cam1: Camera
    cam2: Camera
    R: np.ndarray | None = None
    t: np.ndarray | None = None
    unit: str | None = None
    error: RigError = RigError()  # noqa: RUF009 - frozen

    def __post_init__(self) -> None:
        for name in ("cam1", "cam2"):
            if not isinstance(getattr(self, name), Camera):
                raise ValueError(f"Rig.{name} must be a Camera, got {type(getattr(self, name)).__name__}")
        if not isinstance(self.error, RigError):
            raise ValueError(f"Rig.error must be a RigError, got {type(self.error).__name__}")
        check_pose(self)

    @property
    def posed(self) -> bool:
        """Whether R and t are known."""
        return self.R is not None and self.t is not None

    def _summary(self) -> Iterator[str]:
        for name, camera in (("cam1", self.cam1), ("cam2", self.cam2)):
            yield f"{name}={camera.size[0]} x {camera.size[1]} px, focal {brief(camera.focal)} px"
        if self.R is None or self.t is None:
            yield "pose not known"
        else:
            yield f"|t|={brief(float(np.linalg.norm(self.t)))}" + (f" {self.unit}" if self.unit else "")
            yield f"turned by {brief(rotation_angle_deg(self.R))} degrees"
        if not self.error.exact:
            yield "not exact"

    @property
    def wide(self) -> bool:
        """Whether a camera has a lens that no plane shows: its stages work on the sphere of directions."""
        return self.cam1.lens is not None or self.cam2.lens is not None

    @property
    def pixel_angle(self) -> float:
        """Radians of a pixel of the coarser camera (`Camera.pixel_angle`): what thresholds in px mean for rays."""
        return max(self.cam1.pixel_angle, self.cam2.pixel_angle)

    def check_pinhole(self) -> None:
        """Raise StereoError("bad_calibration") where a camera has a wide-angle lens."""
        for camera, which in ((self.cam1, "first"), (self.cam2, "second")):
            if camera.lens is not None:
                raise wrong(
                    f"the {which} camera has a {camera.lens.model} lens, and this stage takes pinhole cameras",
                    "Resample its photo: stereo3d.pinhole_view(photo, camera).",
                )

    def check_baseline(self) -> None:
        """Raise StereoError("bad_calibration") where t is known and 0: no point has a depth then."""
        check_baseline(self.t)
