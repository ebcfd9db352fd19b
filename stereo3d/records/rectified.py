"""The rectified pair, its disparity maps and what follows from them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypedDict, cast

import numpy as np

from .checks import Record, brief, check_array
from .sphere import SphereGrid


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
class RectifiedPair(Record):
    """Two pictures whose equal rows are corresponding epipolar lines, and the maps back to the photos.

    Attributes
    ----------
    left, right : (H, W, 3) uint8
        RGB; `left` shows the first photo.
    map1, map2 : (H, W, 2) float32
        Photo pixel (x, y) that each rectified pixel shows, NaN outside.
    kind : str
        "identity", "planar", "polar" or, of cameras with a wide field, "sphere".
    swapped : bool
        The first photo is the right picture, so nearer points have the smaller (signed) disparity.
    rows : RowErrors
        Vertical misalignment of corresponding rows.
    drift : Drift
        Correction of `map2` by a slow drift of the matches.
    infinity : float, optional
        px, the disparity of what is infinitely far away; None where the pose does not determine it.
    epipole_columns : (float, float), optional
        px: column of the left and of the right picture at which the epipole lies, inside or outside; of the kind
        "polar" only.
    sphere : SphereGrid, optional
        The directions of the pixels, of the kind "sphere" only.
    """

    left: np.ndarray
    right: np.ndarray
    map1: np.ndarray
    map2: np.ndarray
    kind: str = "identity"
    swapped: bool = False
    rows: RowErrors = field(default_factory=lambda: cast(RowErrors, {}))
    drift: Drift = field(default_factory=lambda: cast(Drift, {}))
    infinity: float | None = None
    epipole_columns: tuple[float, float] | None = None
    sphere: SphereGrid | None = None

    def __post_init__(self) -> None:
        for name in ("left", "right"):
            check_array(self, name, (None, None, 3), "u")
        for name, picture in (("map1", self.left), ("map2", self.right)):
            check_array(self, name, (*picture.shape[:2], 2), "f")

    def _summary(self) -> Iterator[str]:
        yield self.kind
        for name, picture in (("left", self.left), ("right", self.right)):
            yield f"{name} {picture.shape[1]} x {picture.shape[0]} px"
        if self.swapped:
            yield "swapped"
        if self.infinity is not None:
            yield f"infinity={brief(self.infinity)} px"
        if "median_px" in self.rows:
            yield f"rows off by {brief(self.rows['median_px'])} px"

    def without_padding(self) -> "RectifiedPair":
        """Return the pair without the rows that a closed `SphereGrid` repeats; any other pair as it is."""
        if self.sphere is None or not self.sphere.padding:
            return self
        kept = slice(self.sphere.padding, len(self.left) - self.sphere.padding)
        pictures = {name: getattr(self, name)[kept] for name in ("left", "right", "map1", "map2")}
        return replace(self, **pictures, sphere=self.sphere.without_padding())


@dataclass(frozen=True, eq=False, repr=False)
class DisparityMap(Record):
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
        check_array(self, "disparity", (None, None), "f")
        for name in ("confidence", "sigma"):
            check_array(self, name, self.disparity.shape, "f")


@dataclass(frozen=True, eq=False, repr=False)
class RightViewPixels(Record):
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
        check_array(self, "x", (None,), "f")
        check_array(self, "row", self.x.shape, "iu")
        for name in ("disparity", "sigma"):
            check_array(self, name, self.x.shape, "f")


@dataclass(frozen=True, eq=False, repr=False)
class RightViewPoints(Record):
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
        check_array(self, "points", (None, 3), "f")
        check_array(self, "sigma", (len(self.points),), "f")
        check_array(self, "after", (len(self.points),), "iu")
        check_array(self, "centre", (3,), "f")
