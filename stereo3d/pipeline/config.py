"""Config: everything that a user can choose, checked before a pixel is read."""

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np

from ..cameras.panorama import EQUIRECTANGULAR
from ..cameras.targets import parse_board, parse_marker
from ..disparity.choice import NETWORKS, find_matcher
from ..disparity.matching import compute_disparities
from ..disparity.methods import MATCHERS
from ..disparity.networks.matcher import missing_model
from ..disparity.search_range import widen_range
from ..disparity.steep import find_steep_planes
from ..errors import StereoError
from ..features.detectors import DETECTORS, find_detector
from ..features.matching import match_features
from ..features.networks import NETWORK_DETECTORS
from ..features.networks import missing_model as missing_detector_model
from ..images.layouts import LAYOUTS
from ..mesh.build import build_mesh
from ..mesh.meshers import MESHERS
from ..options import (
    DEFAULT_DETECTOR,
    DEFAULT_FACES,
    DEFAULT_MATCHER,
    DEFAULT_MESHER,
    MAX_FEATURE_SIZE,
    MAX_SIZE,
    Option,
    check_options,
    choose,
    options_of,
    split_method,
)
from ..records import RigError
from ..records.checks import Record
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
    "max_feature_size": (64, 32000),  # px
    "max_memory": (0.01, 1e6),  # GiB
    "max_pixels": (1024, 1e11),  # px
    "faces": (0, 1e9),
}
RIG_ERRORS = {"exact": RigError(), "nominal": RigError.nominal()}
WHOLE_NUMBERS = ("max_size", "max_feature_size", "max_pixels", "seed", "faces")
MAY_BE_NONE = ("focal", "focal_35mm", "fov", "baseline", "max_memory", "max_pixels")  # of the numbers
FLAGS = ("rectified", "close", "force")
# Parameters of the stages' functions that the run itself sets from Config or from earlier stages: not options of -O.
RUN_PARAMETERS = ("method", "max_size", "seed", "threads", "dense", "faces", "close", "max_memory", "inlier_x", "sigma")


@dataclass(frozen=True, repr=False)
class Config(Record):
    """The user's settings, checked when the record is made, before a pixel is read.

    Parameters
    ----------
    detector, matcher, mesher : str
        Names in DETECTORS, MATCHERS and MESHERS; or "onnx:FILE" for a matcher, "aliked:FILE" or "disk:FILE" for a
        detector: a network, which the option `model` of that stage names then.
    options : mapping
        {"stage.name": value}; stage is detector, pose, rectify, range, matcher or mesher.
    max_size : int
        px, the longer side at which the photos are matched; the texture keeps the photo's own size.
    max_feature_size : int
        px, the longer side at which features are matched, no more than `max_size`; SIFT, which enlarges photos itself,
        gets three quarters of it.
    max_memory : float, optional
        GiB that the process may take in all, by default what it holds and all that is free. Where a stage needs more,
        features are found at a smaller size, and the photos are matched smaller.
    max_pixels : int, optional
        px, the largest photo file that is read: see `read_photo`.
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
    markers : sequence of str
        ArUco and AprilTag markers that both photos show, "DICTIONARY:ID:SIZE" each, such as "4X4_50:3:0.05"; SIZE is
        the side of the black square, in `unit`, m where none is given. They give the scale; of a calibration that has
        one they are a check.
    board : str, optional
        A board that both photos show, used alike: "COLUMNSxROWS:SQUARE" for a chessboard (inner corners),
        "COLUMNSxROWS:SQUARE:MARKER[:DICTIONARY]" for a ChArUco board (squares).
    rotate : {90, 180, 270, "auto"}, optional
        Degrees by which both photos are turned clockwise before anything else; "auto": what makes them upright, where
        the photos show it.
    unit : str, optional
        Unit of these lengths, or of a calibration that states none.
    projection : {"equirectangular"}, optional
        The photos are panoramas of this projection, whatever their files state.
    force : bool
        Continue past findings that make the shape worthless.
    layout : {"sbs", "sbs-half", "tb", "tb-half"}, optional
        How one picture holds both photos: side by side, or top and bottom; half: squeezed. By default as it is found.
    mask : sequence of paths
        Mask pictures of the first photo and, optionally, the second: black is left out. One path alone is taken too.

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
    max_feature_size: int = MAX_FEATURE_SIZE
    max_memory: float | None = None
    max_pixels: int | None = None
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
    known_distance: tuple[Any, Any, Any] | None = None
    markers: Sequence[str] = ()
    board: str | None = None
    rotate: int | Literal["auto"] | None = None
    unit: str | None = None
    projection: Literal["equirectangular"] | None = None
    force: bool = False
    layout: Literal["sbs", "sbs-half", "tb", "tb-half"] | None = None
    mask: Sequence[str | Path] = ()

    def __post_init__(self) -> None:
        self._split_models()
        object.__setattr__(self, "options", self._checked_options())
        for name in FLAGS:
            object.__setattr__(self, name, _flag(name, getattr(self, name)))
        object.__setattr__(self, "calib", _files("calib", self.calib) or None)
        object.__setattr__(self, "mask", _files("mask", self.mask))
        if self.matcher in NETWORKS and self.options.get("matcher.model") is None:
            raise missing_model()
        if self.detector in NETWORK_DETECTORS and self.options.get("detector.model") is None:
            raise missing_detector_model(self.detector)
        if sum(x is not None for x in (self.focal, self.focal_35mm, self.fov, self.calib)) > 1:
            raise StereoError(
                "bad_option", "focal, focal-35mm, fov and calib each give the focal length.", "Give one of them."
            )
        if self.layout is not None and self.layout not in list(LAYOUTS):
            raise StereoError("bad_option", f"layout cannot be {self.layout!r}.", f"It is one of {', '.join(LAYOUTS)}.")
        if self.projection not in (None, EQUIRECTANGULAR):
            raise StereoError(
                "bad_option", f"projection cannot be {self.projection!r}.", f"It is {EQUIRECTANGULAR}, or not given."
            )
        if len(self.mask) > 2:
            advice = "Give one mask for the first photo, and one for the second."
            raise StereoError("bad_option", f"mask cannot be {len(self.mask)} files.", advice)
        if self.rig_error not in (None, *RIG_ERRORS):
            raise StereoError(
                "bad_option",
                f"rig-error cannot be {self.rig_error!r}.",
                f"It is {' or '.join(RIG_ERRORS)}.",
            )
        for name, (low, high) in BOUNDS.items():
            object.__setattr__(self, name, _number(name, getattr(self, name), low, high))
        if self.known_distance is not None:
            object.__setattr__(self, "known_distance", _known_distance(self.known_distance))
        object.__setattr__(self, "markers", _markers(self.markers))
        if self.board is not None:
            parse_board(self.board)
        object.__setattr__(self, "rotate", _rotation(self.rotate))
        self._check_scale()

    def _split_models(self) -> None:
        """Take "NAME:FILE" of a detector or matcher as its name and its option `model`."""
        for stage in ("detector", "matcher"):
            name, file = split_method(getattr(self, stage))
            if file is None or not isinstance(self.options, Mapping):
                continue
            key = f"{stage}.model"
            if self.options.get(key, file) != file:
                raise StereoError("bad_option", f"{stage} and {key} each name a network.", "Give one of them.")
            object.__setattr__(self, stage, name)
            object.__setattr__(self, "options", {**self.options, key: file})

    def _check_scale(self) -> None:
        """Refuse two sources of scale, and a unit that is no name or has no length."""
        if self.unit is not None and not (isinstance(self.unit, str) and self.unit.strip()):
            raise StereoError("bad_option", f"unit cannot be {self.unit!r}.", "It is a name, such as m.")
        sources = {
            "baseline": self.baseline is not None,
            "known-distance": self.known_distance is not None,
            "markers" if len(self.markers) > 1 else "marker": bool(self.markers),
            "board": self.board is not None,
        }
        given = [name for name, is_given in sources.items() if is_given]
        if len(given) > 1 and given[0] in ("baseline", "known-distance"):
            raise StereoError("bad_option", f"{' and '.join(given)} each give the scale.", "Give one of them.")
        if self.unit is not None and not given and self.calib is None:
            raise StereoError(
                "bad_option",
                f"unit {self.unit!r} needs a length.",
                "Give --baseline, the distance between the two camera positions, --known-distance or --marker.",
            )

    def _checked_options(self) -> dict[str, Any]:
        """The options as numbers, each checked against the signatures of its stage."""
        stages = stage_options(self.detector, self.matcher, self.mesher)
        given: dict[str, dict[str, Any]] = {stage: {} for stage in stages}
        if not isinstance(self.options, Mapping):
            raise StereoError("bad_option", f"options cannot be {self.options!r}.", 'Give a dict: {"matcher.p1": 20}.')
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
    def usual(self) -> bool:
        """Whether a run calls the kernels of the usual methods."""
        return self.matcher.startswith(DEFAULT_MATCHER) and self.mesher == DEFAULT_MESHER

    @property
    def feature_size(self) -> int:
        """px, the longer side at which features are matched."""
        return min(self.max_size, self.max_feature_size)

    def of(self, stage: str) -> dict[str, Any]:
        """Return the options given for a stage."""
        return {k.partition(".")[2]: v for k, v in self.options.items() if k.startswith(stage + ".")}

    def arguments(self, stage: str, function: Callable) -> dict[str, Any]:
        """Return the options given for a stage that this function takes."""
        known = run_options(function)
        return {name: value for name, value in self.of(stage).items() if name in known}


class ConfigOptions(TypedDict, total=False):
    """The fields of `Config` as keyword arguments of `reconstruct`; a test keeps both equal."""

    detector: str
    matcher: str
    mesher: str
    options: Mapping[str, Any]
    max_size: int
    max_feature_size: int
    max_memory: float | None
    max_pixels: int | None
    seed: int
    rectified: bool
    calib: str | Path | Sequence[str | Path] | None
    rig_error: Literal["exact", "nominal"] | None
    focal: float | None
    focal_35mm: float | None
    fov: float | None
    faces: int
    close: bool
    baseline: float | None
    known_distance: tuple[Any, Any, Any] | None
    markers: Sequence[str]
    board: str | None
    rotate: int | Literal["auto"] | None
    unit: str | None
    force: bool
    layout: Literal["sbs", "sbs-half", "tb", "tb-half"] | None
    projection: Literal["equirectangular"] | None
    mask: Sequence[str | Path]


def config_with(config: Config | None, options: ConfigOptions, function: str, others: Sequence[str] = ()) -> Config:
    """Return the Config with these fields replaced; a new one without any.

    Parameters
    ----------
    config : Config, optional
    options : dict
        Fields of Config by name.
    function : str
        Which was called with them, for the message.
    others : sequence of str
        Its further keyword arguments, for the message.

    Raises
    ------
    TypeError
        For a name that Config has not, with the nearest one.
    ValueError
        Where config is none.
    """
    known = [f.name for f in fields(Config)]
    for name in options:
        if name not in known:
            raise TypeError(f"{function}() has no argument {name!r}. {_nearest(name, [*known, *others])}")
    if config is None:
        return Config(**options)
    if not isinstance(config, Config):
        raise ValueError(f"config must be a Config, got {type(config).__name__}")
    return replace(config, **options) if options else config


ELSEWHERE = {  # options of the command line that are no fields of Config
    "quality": "It chooses matcher='planes_fast' with max_size=1000, matcher='planes' or 'planes_full'.",
    "output": "result.save(path) writes the mesh.",
    "points": "result.save_points(path) writes the points.",
    "report": "stereo3d.write_report(path, result) writes the report.",
    **dict.fromkeys(("axes", "texture", "jpeg_quality", "mark_filled"), "It is for result.save: help(Result.save)."),
    **dict.fromkeys(("verbose", "quiet"), "Messages go to the logger 'stereo3d'."),
}


def _nearest(name: str, known: Sequence[str]) -> str:
    """The argument that a misspelt one may mean, or the stage that has an option of this name, else all arguments."""
    if name in ELSEWHERE:
        return ELSEWHERE[name]
    near = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    for kind, methods in (("matcher", MATCHERS), ("detector", DETECTORS), ("mesher", MESHERS)):
        owner = next((method for method in methods if name in stage_options(**{kind: method})[kind]), None)
        if owner is not None:
            return f"The {kind} {owner!r} has that option: {kind}={owner!r}, options={{'{kind}.{name}': ...}}."
    return f"There are: {', '.join(known)}."


def _number(name: str, value: object, low: float, high: float) -> int | float | None:
    """The number as Python's own; StereoError outside [low, high], and for what is no number."""
    if value is None and name in MAY_BE_NONE:
        return None
    kind, prefix = (Integral, "a whole number, ") if name in WHOLE_NUMBERS else (Real, "")
    if isinstance(value, kind) and not isinstance(value, bool) and low <= value <= high:  # pyright: ignore[reportOperatorIssue]
        return int(value) if isinstance(value, Integral) else float(value)  # pyright: ignore[reportArgumentType]
    message = f"{name.replace('_', '-')} cannot be {value!r}."
    known = f"above 0, at most {high:.0e}" if 0 < low < 1e-6 else f"{prefix}{low:.10g} to {high:.10g}"
    raise StereoError("bad_option", message, f"It is {known}.")


def _flag(name: str, value: object) -> bool:
    """True or False, numpy's included: any other text, "no" too, would count as true."""
    if not isinstance(value, bool | np.bool_):
        raise StereoError("bad_option", f"{name} cannot be {value!r}.", "It is True or False.")
    return bool(value)


def _files(name: str, given: Any) -> Any:
    """A path as it is, several as a tuple; StereoError for anything else."""
    paths = given if isinstance(given, list | tuple) else () if given is None else (given,)
    for path in paths:
        if not isinstance(path, str | os.PathLike) or not str(path):
            raise StereoError("bad_option", f"{name} cannot be {path!r}.", "It is a path, or a list of paths.")
    return given if name == "calib" and not isinstance(given, list | tuple) else tuple(paths)


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


def _markers(given: Any) -> tuple[str, ...]:
    """The markers as text, each checked; a marker named twice is refused."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise StereoError("bad_option", f"markers cannot be {given!r}.", 'Give a list: ["4X4_50:3:0.05"].')
    names = [parse_marker(text).name for text in given]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise StereoError("bad_option", f"the marker {twice} is given twice.", "Give each marker once.")
    return tuple(map(str, given))


def _rotation(given: Any) -> int | Literal["auto"] | None:
    """None, "auto", or a number of degrees, from text as well."""
    if given is None or given == "auto":
        return given
    if str(given) in ("90", "180", "270"):
        return int(given)
    raise StereoError("bad_option", f"rotate cannot be {given!r}.", "It is 90, 180 or 270 degrees clockwise, or auto.")


def run_options(*functions: Callable) -> dict[str, Option]:
    """Return the options of these functions that the user may set, by name: all but `RUN_PARAMETERS`."""
    return options_of(*functions, leave_out=RUN_PARAMETERS)


def stage_options(
    detector: str = DEFAULT_DETECTOR, matcher: str = DEFAULT_MATCHER, mesher: str = DEFAULT_MESHER
) -> dict[str, dict[str, Option]]:
    """Return the options that -O takes, by stage, for the chosen methods: {"matcher": {"p1": Option, ...}, ...}."""
    return {
        "detector": run_options(find_detector(detector), match_features),
        "pose": run_options(estimate_two_view),
        "rectify": run_options(rectify),
        "range": run_options(disparity_range, widen_range, find_steep_planes),
        "matcher": run_options(find_matcher(matcher), compute_disparities),
        "mesher": run_options(choose("mesher", MESHERS, mesher), build_mesh),
    }
