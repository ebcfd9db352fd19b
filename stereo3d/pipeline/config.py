"""Config: everything that a user can choose, checked before a pixel is read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..disparity.matching import compute_disparities
from ..disparity.methods import MATCHERS
from ..disparity.search_range import widen_range
from ..disparity.steep import find_steep_planes
from ..errors import StereoError
from ..features.detectors import DETECTORS
from ..features.matching import match_features
from ..images.layouts import LAYOUTS
from ..mesh.build import build_mesh
from ..mesh.meshers import MESHERS
from ..options import (
    DEFAULT_DETECTOR,
    DEFAULT_FACES,
    DEFAULT_MATCHER,
    DEFAULT_MESHER,
    MAX_SIZE,
    Option,
    check_options,
    choose,
    options_of,
)
from ..records import RigError
from ..rectification.maps import disparity_range
from ..rectification.rectify import rectify
from ..two_view.estimate import estimate_two_view

BOUNDS = {  # lowest and highest value of the numeric settings
    "max_size": (64, 32000),  # px
    "seed": (0, 2**32 - 1),
    "focal": (1, 1e7),  # px
    "focal_35mm": (1, 10000),  # mm
    "fov": (0.1, 175),  # degrees
    "baseline": (1e-9, 1e9),  # in `unit`
    "max_memory": (0.01, 1e6),  # GiB
    "faces": (0, 1e9),
}
RIG_ERRORS = {"exact": RigError(), "nominal": RigError.nominal()}
WHOLE_NUMBERS = ("max_size", "seed", "faces")
MAX_FEATURE_SIZE = 2400  # px; more improves no pose (12 megapixels: rows to 0.04 px), and SIFT would take gigabytes
# Parameters of the stages' functions that the run itself sets from Config or from earlier stages: not options of -O.
RUN_PARAMETERS = ("method", "max_size", "seed", "threads", "dense", "faces", "close", "max_memory", "inlier_x", "sigma")


@dataclass(frozen=True)
class Config:
    """The user's settings, checked when the record is made, before a pixel is read.

    Parameters
    ----------
    detector, matcher, mesher : str
        Names in DETECTORS, MATCHERS and MESHERS.
    options : mapping
        {"stage.name": value}; stage is detector, pose, rectify, range, matcher or mesher.
    max_size : int
        px, the longer side at which the photos are matched; the texture keeps the photo's own size.
    max_memory : float, optional
        GiB that matching may take, by default all that is free; where it needs more, the photos are matched smaller.
    seed : int
        Seed of every random choice.
    rectified : bool
        The photos are a rectified pair.
    calib : path or sequence of paths, optional
        Calibration file of the cameras, or the files that are one calibration together.
    rig_error : {"exact", "nominal"}, optional
        How well the calibrated cameras and their pose are known: all numbers stay, or are refined from the matches
        (`RigError.nominal`). By default as the rig states, exact for calibration files.
    focal, focal_35mm, fov : float, optional
        Focal length of both photos in px, in mm (35 mm equivalent) or as horizontal field of view in degrees; at most
        one of them.
    faces : int
        Largest number of triangles of the mesh; 0 for no limit.
    close : bool
        Fill every hole that measured surface encloses.
    baseline : float, optional
        Distance of the two camera centres, in `unit`.
    known_distance : tuple, optional
        ((x, y), (x, y), distance): two pixels of the first photo and the distance of what they show, in `unit`.
    unit : str, optional
        Unit of these lengths, or of a calibration that states none.
    force : bool
        Continue past findings that make the shape worthless.
    layout : {"sbs", "sbs-half", "tb", "tb-half"}, optional
        How one picture holds both photos: side by side, or top and bottom; half: squeezed. By default as it is found.
    mask : sequence of paths
        Mask pictures of the first photo and, optionally, the second: black is left out.

    Raises
    ------
    StereoError
        "bad_option" or "unknown_method".
    """

    detector: str = DEFAULT_DETECTOR
    matcher: str = DEFAULT_MATCHER
    mesher: str = DEFAULT_MESHER
    options: Mapping[str, Any] = field(default_factory=dict)
    max_size: int = MAX_SIZE
    max_memory: float | None = None
    seed: int = 0
    rectified: bool = False
    calib: str | Path | Sequence[str | Path] | None = None
    rig_error: Literal["exact", "nominal"] | None = None
    focal: float | None = None
    focal_35mm: float | None = None
    fov: float | None = None
    faces: int = DEFAULT_FACES
    close: bool = False
    baseline: float | None = None
    known_distance: tuple | None = None
    unit: str | None = None
    force: bool = False
    layout: Literal["sbs", "sbs-half", "tb", "tb-half"] | None = None
    mask: Sequence[str | Path] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", self._checked_options())
        if isinstance(self.calib, tuple | list) and not self.calib:
            object.__setattr__(self, "calib", None)
        if sum(x is not None for x in (self.focal, self.focal_35mm, self.fov, self.calib)) > 1:
            raise StereoError(
                "bad_option", "focal, focal-35mm, fov and calib each give the focal length.", "Give one of them."
            )
        if self.layout is not None and self.layout not in LAYOUTS:
            raise StereoError("bad_option", f"layout cannot be {self.layout!r}.", f"It is one of {', '.join(LAYOUTS)}.")
        if isinstance(self.mask, str | Path) or len(self.mask) > 2:
            raise StereoError(
                "bad_option",
                f"mask cannot be {self.mask}.",
                "Give one mask for the first photo, and one for the second.",
            )
        if self.rig_error not in (None, *RIG_ERRORS):
            raise StereoError(
                "bad_option",
                f"rig-error cannot be {self.rig_error!r}.",
                f"It is {' or '.join(RIG_ERRORS)}.",
            )
        for name, (low, high) in BOUNDS.items():
            _check_number(name, getattr(self, name), low, high)
        if self.known_distance is not None:
            object.__setattr__(self, "known_distance", _known_distance(self.known_distance))
            if self.baseline is not None:
                raise StereoError("bad_option", "baseline and known-distance each give the scale.", "Give one of them.")
        if self.unit is not None and self.baseline is None and self.known_distance is None and self.calib is None:
            raise StereoError(
                "bad_option",
                f"unit {self.unit!r} needs a length.",
                "Give --baseline, the distance between the two camera positions, or --known-distance.",
            )

    def _checked_options(self) -> dict[str, Any]:
        """The options as numbers, each checked against the signatures of its stage."""
        stages = stage_options(self.detector, self.matcher, self.mesher)
        given: dict[str, dict[str, Any]] = {stage: {} for stage in stages}
        for key, value in self.options.items():
            stage, dot, name = str(key).partition(".")
            if not dot or stage not in stages:
                raise StereoError(
                    "bad_option",
                    f"option {key!r} names no stage.",
                    f"Write stage.name=value; stages: {', '.join(stages)}.",
                )
            given[stage][name] = value
        owners = {"detector": self.detector, "matcher": self.matcher, "mesher": self.mesher}
        return {
            f"{stage}.{name}": value
            for stage, known in stages.items()
            for name, value in check_options(owners.get(stage, stage), known, given[stage]).items()
        }

    @property
    def feature_size(self) -> int:
        """px, the longer side at which features are found."""
        return min(self.max_size, MAX_FEATURE_SIZE)

    @property
    def memory_limit(self) -> float | None:
        """Bytes that matching may take; None for all that is free."""
        return None if self.max_memory is None else self.max_memory * 2**30

    def of(self, stage: str) -> dict[str, Any]:
        """Return the options given for a stage."""
        return {k.partition(".")[2]: v for k, v in self.options.items() if k.startswith(stage + ".")}

    def arguments(self, stage: str, function: Callable) -> dict[str, Any]:
        """Return the options given for a stage that this function takes."""
        known = run_options(function)
        return {name: value for name, value in self.of(stage).items() if name in known}


def _check_number(name: str, value: object, low: float, high: float) -> None:
    kind, prefix = (Integral, "a whole number, ") if name in WHOLE_NUMBERS else (Real, "")
    if value is not None and not (isinstance(value, kind) and low <= value <= high):  # pyright: ignore[reportOperatorIssue]
        raise StereoError(
            "bad_option",
            f"{name.replace('_', '-')} cannot be {value}.",
            f"It is {prefix}{low:.10g} to {high:.10g}.",
        )


def _known_distance(given: Any) -> tuple[tuple[float, float], tuple[float, float], float]:
    """((x, y), (x, y), distance) from numbers, or from the three arguments of the command line."""
    try:
        first, second, distance = given
        x1, y1 = (float(v) for v in (first.split(",") if isinstance(first, str) else first))
        x2, y2 = (float(v) for v in (second.split(",") if isinstance(second, str) else second))
        distance = float(distance)
        if np.isfinite([x1, y1, x2, y2]).all() and 1e-9 <= distance <= 1e9 and (x1, y1) != (x2, y2):
            return (x1, y1), (x2, y2), distance
    except (TypeError, ValueError):
        pass
    text = " ".join(map(str, given)) if isinstance(given, tuple | list) else given
    raise StereoError(
        "bad_option",
        f"known-distance cannot be {text}.",
        "Give two pixels of the first photo and their distance: 120,340 980,355 2.5.",
    )


def run_options(*functions: Callable) -> dict[str, Option]:
    """Return the options of these functions that the user may set, by name: all but `RUN_PARAMETERS`."""
    return options_of(*functions, leave_out=RUN_PARAMETERS)


def stage_options(
    detector: str = DEFAULT_DETECTOR, matcher: str = DEFAULT_MATCHER, mesher: str = DEFAULT_MESHER
) -> dict[str, dict[str, Option]]:
    """Return the options that -O takes, by stage, for the chosen methods: {"matcher": {"p1": Option, ...}, ...}."""
    return {
        "detector": run_options(choose("detector", DETECTORS, detector), match_features),
        "pose": run_options(estimate_two_view),
        "rectify": run_options(rectify),
        "range": run_options(disparity_range, widen_range, find_steep_planes),
        "matcher": run_options(choose("matcher", MATCHERS, matcher), compute_disparities),
        "mesher": run_options(choose("mesher", MESHERS, mesher), build_mesh),
    }
