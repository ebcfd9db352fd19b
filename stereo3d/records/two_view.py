"""Features, matches and the relative pose of two photos."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import StereoError
from ..geometry.arrays import real_array
from ..geometry.rotations import rotation_angle_deg
from .camera import Rig
from .checks import Record, brief, check_array, check_baseline, check_pose


@dataclass(frozen=True, eq=False, repr=False)
class Features(Record):
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
        check_array(self, "x", (None, 2), "f")
        check_array(self, "descriptors", (len(self.x), None), "f")
        check_array(self, "frames", (len(self.x), 2, 2), "f")


@dataclass(frozen=True, eq=False, repr=False)
class Matches(Record):
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
        for name in ("x1", "x2") if self.score is None else ("x1", "x2", "score"):
            given = getattr(self, name)
            value = real_array(given, f"{name} of matches")
            if not isinstance(given, np.ndarray) or given.dtype.kind != "f":
                object.__setattr__(self, name, value)
        shapes = [self.x1.shape, self.x2.shape]
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

    def _summary(self) -> Iterator[str]:
        yield f"{len(self.x1)} matches"
        if self.score is not None:
            yield f"score={brief(self.score)}"

    def __getitem__(self, index: slice | np.ndarray) -> "Matches":
        return Matches(self.x1[index], self.x2[index], None if self.score is None else self.score[index])


@dataclass(frozen=True, eq=False, repr=False)
class TwoView(Record):
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
    focal_range : (float, float), optional
        Factors of the focal lengths between which the true ones lie, with a probability of 90 %.
    focal_rivals : tuple of float
        Factors of other focal lengths that explain the matches about as well.
    """

    F: np.ndarray
    R: np.ndarray
    t: np.ndarray
    inliers: np.ndarray
    rig: Rig
    focal_sigma: float | None = None
    focal_range: tuple[float, float] | None = None
    focal_rivals: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_array(self, "F", (3, 3), "f")
        check_array(self, "inliers", (None,), "b")
        if not isinstance(self.rig, Rig):
            raise ValueError(f"TwoView.rig must be a Rig, got {type(self.rig).__name__}")
        check_pose(self)
        check_baseline(self.t)

    def _summary(self) -> Iterator[str]:
        yield f"{int(self.inliers.sum())} of {len(self.inliers)} matches agree"
        yield f"turned by {brief(rotation_angle_deg(self.R))} degrees"
        yield f"t={brief(tuple(float(v) for v in self.t))}" + (f" {self.rig.unit}" if self.rig.unit else "")
        yield f"focal={brief(self.rig.cam1.focal)} px"
        if self.focal_sigma is not None:
            yield f"focal_sigma={brief(self.focal_sigma)}"
