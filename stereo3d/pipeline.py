"""Config, Result, reconstruct: the whole run, read top to bottom."""

import ctypes
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from . import resources
from .calibration import UNSTATED_UNIT, camera_for, fit_rig, original_size, read_rig, same_shape
from .diagnosis import FOCAL_TILT, diagnose, photo_findings, pose_covariance, same_photo
from .disparity import (
    MATCHERS,
    add_steep_planes,
    compute_disparities,
    fill_unknown,
    find_steep_planes,
    matching_bytes,
    matching_work,
    widen_range,
)
from .epipolar import MIN_INLIERS, estimate_two_view
from .errors import StereoError
from .features import DETECTORS, detect_features, match_features
from .fusion import fuse
from .geometry import hom, rotation_angle_deg, scale_K, undistort
from .mesh import MESHERS, build_mesh, texture_mesh
from .options import (
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
from .photos import read_photo
from .records import (
    Camera,
    DisparityMap,
    Features,
    Finding,
    Matches,
    Mesh,
    Photo,
    RectifiedPair,
    Rig,
    RightViewPixels,
    RightViewPoints,
    TwoView,
)
from .rectification import disparity_range, rectify
from .triangulation import along_the_ray, point_map, triangulate_between

log = logging.getLogger(__name__)

STAGES = ("photos", "features", "pose", "rectify", "disparity", "points", "mesh")
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
WHOLE_NUMBERS = ("max_size", "seed", "faces")
MAX_MISALIGNMENT_DEG = 1.0  # degrees; calibrated rectified pairs deviate by hundredths (KITTI: 0.3 in the baseline)
MAX_ROW_OFFSET = 0.3  # px, median; beyond it the depth error is 2 to 5 times as large (`benchmarks/verdict.py --risk`)
MAX_FEATURE_SIZE = 2400  # px; more improves no pose (12 megapixels: rows to 0.04 px), and SIFT would take gigabytes
MIN_MATCHING_SIZE = 320  # px, the smallest longer side to which short memory reduces the photos
READING_SIGMA = 0.5  # px, of the two pixels of --known-distance, which are read by hand
MAX_PRECISION_SAMPLES = 50_000  # points sampled to estimate the median relative depth sigma
FEW_INLIERS = 80  # below this the slower asift features are tried as well
SAMPLING_PERIOD = 0.02  # s between two looks at the resident memory
# Parameters of the stages' functions that the run itself sets from Config or from earlier stages: not options of -O.
RUN_PARAMETERS = ("method", "max_size", "seed", "threads", "dense", "faces", "close", "max_memory", "inlier_x", "sigma")
NOT_RECTIFIED = "Use `stereo3d LEFT RIGHT` without --rectified: it rectifies by itself."


class Progress(Protocol):
    """What `reconstruct` calls when a stage begins, and with the stage "done" at the end."""

    def __call__(self, stage: str, work: float, method: str, /) -> None:
        """Take the stage's name, its amount of work (pixels, candidates or points; 0: unknown) and chosen method."""


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
    calib : path, optional
        Calibration file of the cameras.
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
    calib: str | Path | None = None
    focal: float | None = None
    focal_35mm: float | None = None
    fov: float | None = None
    faces: int = DEFAULT_FACES
    close: bool = False
    baseline: float | None = None
    known_distance: tuple | None = None
    unit: str | None = None
    force: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", self._checked_options())
        if sum(x is not None for x in (self.focal, self.focal_35mm, self.fov, self.calib)) > 1:
            raise StereoError(
                "bad_option", "focal, focal-35mm, fov and calib each give the focal length.", "Give one of them."
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
        """Return those of the options given for a stage that are options of this function."""
        known = run_options(function)
        return {name: value for name, value in self.of(stage).items() if name in known}


def _check_number(name: str, value: object, low: float, high: float) -> None:
    kind, words = (Integral, "a whole number, ") if name in WHOLE_NUMBERS else (Real, "")
    if value is not None and not (isinstance(value, kind) and low <= value <= high):  # pyright: ignore[reportOperatorIssue]
        raise StereoError(
            "bad_option",
            f"{name.replace('_', '-')} cannot be {value}.",
            f"It is {words}{low:.10g} to {high:.10g}.",
        )


def _known_distance(given: Any) -> tuple[tuple[float, float], tuple[float, float], float]:
    """((x, y), (x, y), distance) from numbers, or from the three words of the command line."""
    try:
        first, second, distance = given
        x1, y1 = (float(v) for v in (first.split(",") if isinstance(first, str) else first))
        x2, y2 = (float(v) for v in (second.split(",") if isinstance(second, str) else second))
        distance = float(distance)
        if np.isfinite([x1, y1, x2, y2]).all() and 1e-9 <= distance <= 1e9 and (x1, y1) != (x2, y2):
            return (x1, y1), (x2, y2), distance
    except (TypeError, ValueError):
        pass
    words = " ".join(map(str, given)) if isinstance(given, tuple | list) else given
    raise StereoError(
        "bad_option",
        f"known-distance cannot be {words}.",
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


@dataclass(frozen=True, eq=False)
class Result:
    """The outcome of every stage of a run, in order, and its measurements.

    Attributes
    ----------
    rig : Rig
        The cameras as given, before the estimate; `view.rig` holds the refined ones.
    disparity, confidence : (H, W) float32
        Of the first photo's rectified pixels, fused from the maps of both photos.
    points : (H, W, 3) float64
        Their points, frame of camera 1, NaN where unknown.
    sigma : (H, W) float64
        Standard deviation of each point along its ray relative to its neighbours: without the uncertainty of the
        pose, which moves whole regions (`mesh.sigma` includes it).
    between : RightViewPoints, optional
        Further points that the second photo saw between two pixels of the first.
    stages : list of dict
        [{"name", "seconds", "peak_mb"}].
    coverage : float
        Share of the first photo's area that has a 3-D point.
    relative_sigma : float
        Median of the standard deviation of a point along its ray over its distance, an estimated pose included.
    verdict : str
        "good", "fair" or "poor"; "none" where the run was forced past an error.
    summary : str
        The verdict in one sentence, and its figures.
    """

    config: Config
    left: Photo
    right: Photo
    rig: Rig
    matches: Matches
    view: TwoView
    findings: list[Finding]
    pair: RectifiedPair
    d_range: tuple[float, float]
    disparity: np.ndarray
    confidence: np.ndarray
    points: np.ndarray
    sigma: np.ndarray
    mesh: Mesh
    stages: list[dict[str, Any]]
    coverage: float
    relative_sigma: float
    verdict: str
    summary: str
    between: RightViewPoints | None = None

    @property
    def unit(self) -> str:
        """Unit of points and mesh."""
        return self.view.rig.unit or "baseline"

    def save(self, path: str | Path, **style: Any) -> list[Path]:
        """Write the mesh and return the files written.

        The model stands upright where the first photo's EXIF holds the direction of gravity, else as its camera was
        held.

        Parameters
        ----------
        path : path
            Its suffix chooses the format: .obj, .ply, .glb or .stl.
        **style
            Keywords of `write_mesh`.
        """
        from .export import write_mesh

        return write_mesh(path, self.mesh, unit=self.unit, **{"down": self.left.exif.get("gravity"), **style})

    def save_points(self, path: str | Path, **style: Any) -> Path:
        """Write the point cloud (.ply) with colours and sigma; `style` are keywords of `write_points`."""
        from .export import write_points

        known = np.isfinite(self.points[..., 2])
        style = {"unit": self.unit, "down": self.left.exif.get("gravity"), **style}
        points = self.points[known]
        sigma = add_pose_sigma(points, self.sigma[known], self.matches, self.view, self.rig)
        return write_points(path, points, self.pair.left[known], sigma, **style)


@dataclass(frozen=True, eq=False)
class Prepared:
    """The first half of a run: everything up to the rectified pair and its disparity range.

    rig: the cameras as given, before the estimate; `view.rig` holds the refined ones.  d_range: (lo, hi) px.
    """

    left: Photo
    right: Photo
    rig: Rig
    matches: Matches
    view: TwoView
    findings: list[Finding]
    pair: RectifiedPair
    d_range: tuple[float, float]


def reconstruct(
    left: str | Path | Photo,
    right: str | Path | Photo,
    rig: Rig | None = None,
    config: Config | None = None,
    *,
    progress: Progress | None = None,
    meter: "MemoryMeter | None" = None,
) -> Result:
    """Reconstruct a textured mesh from two photos: every stage in order.

    Parameters
    ----------
    left, right : path or Photo
        The first is camera 1, whichever side it was taken from.
    rig : Rig, optional
        The cameras, and their pose where it is known; else from config.calib, else from the photos' EXIF and the pair.
    config : Config, optional
        Settings; the defaults where it is missing.
    progress : callable, optional
        Called when a stage begins: see `Progress`.
    meter : MemoryMeter, optional
        Measures the peak memory of each stage; by default `SampledPeak`, which changes nothing in the process.

    Raises
    ------
    StereoError
        Where the input cannot give a mesh: code, numbers, remedy.
    """
    config = config or Config()
    clock = Clock(progress, meter)
    start = prepare(left, right, rig, config, clock=clock)
    left, right, rig, matches, pair = start.left, start.right, start.rig, start.matches, start.pair

    with clock("disparity", matching_work(pair, start.d_range, config.matcher), config.matcher):
        fused, more = match_pair(pair, start.d_range, config)

    with clock("points", int(np.isfinite(fused.disparity).sum())):
        cloud = _measure_points(fused, more, start, config)
        points, sigma, view = cloud.points, cloud.sigma, cloud.view

    with clock("mesh", cloud.count, config.mesher):
        mesh, fallback = mesh_with_fallback(points, sigma, cloud.between, config)
        mesh = texture_and_sigma(mesh, left, right, matches, view, rig)
    clock.progress("done", 0, "")

    relative_sigma = _median_relative_sigma(points, sigma, matches, view, rig)
    findings = [
        *face_findings(len(mesh.faces), config.faces),
        *start.findings,
        *cloud.findings,
        *fallback,
        *coverage_findings(cloud.coverage),
    ]
    verdict, summary = judge(findings, cloud.coverage, relative_sigma, int(view.inliers.sum()), view.rig.unit)
    return Result(
        config=config,
        left=left,
        right=right,
        rig=rig,
        matches=matches,
        view=view,
        findings=findings,
        pair=pair,
        d_range=start.d_range,
        disparity=fused.disparity,
        confidence=fused.confidence,
        points=points,
        sigma=sigma,
        mesh=mesh,
        stages=clock.stages,
        coverage=cloud.coverage,
        relative_sigma=relative_sigma,
        verdict=verdict,
        summary=summary,
        between=cloud.between,
    )


@dataclass(frozen=True, eq=False)
class _Cloud:
    """The outcome of the stage "points"; view: in the unit of the points.  count: of the points of the map."""

    points: np.ndarray
    sigma: np.ndarray
    between: RightViewPoints
    view: TwoView
    count: int
    coverage: float
    findings: list[Finding]


def _measure_points(fused: DisparityMap, more: RightViewPixels, start: Prepared, config: Config) -> _Cloud:
    """Triangulate both maps, and scale the points where the user knows a distance. more: of `fuse`."""
    pair, view, findings = start.pair, start.view, []
    points, sigma = point_map(fused, pair, view)
    between = triangulate_between(more, pair, view)
    known = np.isfinite(points[..., 2])
    if not known.any():
        raise StereoError(
            "no_disparity",
            f"none of {known.size} pixels has a disparity that can be trusted.",
            "Is there texture in the photos? Try --matcher sgbm or a larger --max-size.",
        )
    covered = coverage(pair, known, start.left.size)
    if config.known_distance is not None:
        unit = config.unit or "units"
        factor, finding = known_scale(points, sigma, pair, view, config.known_distance, unit)
        points, sigma, view = points * factor, sigma * factor, scale_view(view, factor, unit)
        between = scale_points(between, factor)
        findings.append(finding)
    log.info(
        "%s: %.0f %% of the rectified pixels have a disparity, %d became points",
        config.matcher,
        100 * np.isfinite(fused.disparity).mean(),
        known.sum(),
    )
    return _Cloud(points, sigma, between, view, int(known.sum()), covered, findings)


def _median_relative_sigma(points: np.ndarray, sigma: np.ndarray, matches: Matches, view: TwoView, rig: Rig) -> float:
    """Median of sigma over distance, the pose's part included, of points sampled evenly over the photo."""
    known = np.flatnonzero(np.isfinite(points[..., 2]))
    sample = known[:: 1 + len(known) // MAX_PRECISION_SAMPLES]
    X = points.reshape(-1, 3)[sample]
    total = add_pose_sigma(X, sigma.ravel()[sample], matches, view, rig)
    return float(np.median(total / np.linalg.norm(X, axis=1)))


def prepare(
    left: str | Path | Photo,
    right: str | Path | Photo,
    rig: Rig | None = None,
    config: Config | None = None,
    *,
    clock: "Clock | None" = None,
) -> Prepared:
    """Run the first half of `reconstruct`, photos to rectified pair; arguments and errors as there."""
    config, clock = config or Config(), clock or Clock()
    with clock("photos"):
        left, right = (p if isinstance(p, Photo) else read_photo(p) for p in (left, right))
        if not config.force:
            refuse_same_pixels(left, right)
        rig = cameras_of(left, right, rig, config)
        for photo, camera, which in ((left, rig.cam1, "first"), (right, rig.cam2, "second")):
            detail = camera.source_detail or camera.source
            log.info("%s photo: %s px, focal length %.0f px (%s)", which, format_size(photo.size), camera.focal, detail)

    with clock("features", _pixels(left, right, config.feature_size), config.detector):
        features, matches = find_matches(left, right, config)
        findings = same_photo_findings(matches, left, right)
        _stop_at_errors(findings, config)
        counts = [len(f.x) for f in features]
        log.info("%s: %d and %d features, %d match both ways", config.detector, *counts, len(matches))

    with clock("pose", len(matches)):
        found = pose_with_fallback(left, right, features, matches, rig, config)
        matches, rig, view = found.matches, found.pose.rig, found.pose.view
        # Diagnosis uses the unguided matches; the focal length it reports is that of the refined view.
        refined = view if rig.posed else guided_pose(left, right, found, config)
        findings += [
            *diagnose(matches, view, rig, refined=refined),
            *input_findings(left, right, rig, exchanged=found.pose.exchanged),
            *photo_findings(
                left,
                right,
                matches[view.inliers],
                max_size=config.max_size,
                focal_sought="estimated" in (view.rig.cam1.source, view.rig.cam2.source),
            ),
        ]
        _stop_at_errors(findings, config)
        view = refined
        log.info(
            "pose %s: %d of %d matches agree, turned by %.3g degrees, direction %s",
            "from the calibration" if rig.posed else "estimated from the matches",
            view.inliers.sum(),
            len(matches),
            rotation_angle_deg(view.R),
            np.round(view.t / np.linalg.norm(view.t), 3),
        )

    with clock("rectify", _pixels(left, right, config.max_size)):
        inlier_x = matches.x1[view.inliers], matches.x2[view.inliers]
        pair, d_range, size_findings = rectify_within_memory(left, right, view, inlier_x, config)
        findings += [*row_findings(pair), *size_findings]
        needed = matching_bytes(pair, d_range, config.matcher, **config.of("matcher"))
        log.info(
            "rectified: %s, %s px; disparities %d to %d px will be searched, with %.2g GB",
            pair.kind,
            format_size(pair.left.shape[1::-1]),
            *d_range,
            needed / 1e9,
        )
    return Prepared(left, right, rig, matches, view, findings, pair, d_range)


def _stop_at_errors(findings: list[Finding], config: Config) -> None:
    """Raise the first finding that forbids a mesh; with config.force it stays a finding."""
    for finding in findings:
        if finding.severity == "error" and not config.force:
            advice = f"{finding.advice} --force shows what comes out nevertheless."
            raise StereoError(finding.code, finding.message, advice, **finding.numbers)


def _pixels(left: Photo, right: Photo, size: int) -> int:
    """Pixels of both photos reduced to this longer side."""
    return sum(round(w * h * min(1.0, size / max(w, h)) ** 2) for w, h in (left.size, right.size))


# ------------------------------------------------------------------------------------------------ dense matching


def match_pair(
    pair: RectifiedPair, d_range: tuple[float, float], config: Config, *, dense: bool = False
) -> tuple[DisparityMap, RightViewPixels]:
    """Match a rectified pair: both pictures' maps by config.matcher, steep planes matched again, both maps fused.

    Parameters
    ----------
    pair : RectifiedPair
        Rectified pictures.
    d_range : (float, float)
        px.
    config : Config
        matcher, max_memory, and the options of the stages "matcher" and "range".
    dense : bool
        Fill the unknown pixels inside the photo: from the matcher's own dense map, or where the fusion rejected that,
        from the farther side of the gap.

    Returns
    -------
    fused : DisparityMap
        Of the left picture; confidence 0 where filled.
    between : RightViewPixels
        Disparities between two of its pixels.
    """
    options = {"method": config.matcher, "max_memory": config.memory_limit, **config.of("matcher")}
    dense_maps = maps = compute_disparities(pair, d_range, dense=dense, **options)
    if dense:
        left, right = (_without_filled(found) for found in dense_maps)
        maps = left, right
    known = np.isfinite(maps[0].disparity)
    planes = find_steep_planes(pair, known, d_range, **config.arguments("range", find_steep_planes))
    for plane in planes:
        log.info(
            "rows %d to %d matched again: disparity changes by %.2g px a row", plane.first, plane.last, plane.slope
        )
    fused, between = fuse(*add_steep_planes(maps, pair, planes, **options), swapped=pair.swapped)
    if dense:
        filled = np.where(np.isfinite(maps[0].disparity), np.float32(np.nan), dense_maps[0].disparity)
        disparity = np.where(np.isfinite(fused.disparity), fused.disparity, filled)
        fused = replace(fused, disparity=fill_unknown(disparity, pair))
    return fused, between


def _without_filled(found: DisparityMap) -> DisparityMap:
    """A dense map without its filled pixels, which have no sigma."""
    known = np.isfinite(found.sigma)
    return replace(found, disparity=np.where(known, found.disparity, np.float32(np.nan)))


def rectified_pair(
    left: Photo, right: Photo, d_range: tuple[float, float] | None = None, config: Config | None = None
) -> tuple[RectifiedPair, tuple[float, float]]:
    """Return two photos that are rectified already as a pair, at their own size, with its disparity range.

    Parameters
    ----------
    d_range : (lo, hi), optional
        px; by default it is estimated from matches.
    """
    config = replace(config or Config(), rectified=True)
    refuse_same_pixels(left, right)
    rig = cameras_of(left, right, None, config)
    if d_range is not None:  # nearer things have the larger |d|: its sign shows on which side the first photo stands
        t = np.array([-1.0 if sum(d_range) >= 0 else 1.0, 0, 0])
        view = TwoView(np.zeros((3, 3)), np.eye(3), t, np.zeros(0, bool), replace(rig, t=t))
        return rectify(left, right, view, max_size=max(left.size)), d_range
    matches = match_features(left, right, method=config.detector, **config.of("detector"))
    view = estimate_pose(matches, rig, config).view
    pair = rectify(left, right, view, max_size=max(left.size))
    return pair, search_range(pair, matches.x1[view.inliers], matches.x2[view.inliers], config)


def rectify_within_memory(
    left: Photo, right: Photo, view: TwoView, inlier_x: tuple[np.ndarray, np.ndarray], config: Config
) -> tuple[RectifiedPair, tuple[float, float], list[Finding]]:
    """Return the rectified pair at a size whose matching fits into memory, its disparity range, and findings.

    Parameters
    ----------
    inlier_x : ((N, 2), (N, 2)) float64
        Inlier matches, px of the photos.
    """
    allowed = resources.available_memory() if config.memory_limit is None else config.memory_limit
    size, first = config.max_size, None
    while True:
        pair = rectify(left, right, view, max_size=size, inlier_x=inlier_x, **config.of("rectify"))
        d_range = search_range(pair, *inlier_x, config)
        needed = matching_bytes(pair, d_range, config.matcher, **config.of("matcher"))
        first = first or needed
        if needed <= allowed or size <= MIN_MATCHING_SIZE:
            break
        share = (allowed / needed) ** (1 / 2.5)  # memory grows with the square to the cube of the size
        size = max(MIN_MATCHING_SIZE, int(min(size, max(left.size)) * min(0.9, share)))
    if size == config.max_size:
        return pair, d_range, []
    words = (
        f"the photos are matched at {size} px instead of {min(config.max_size, max(left.size))}: "
        f"{first / 2**30:.2g} GiB would be needed, {allowed / 2**30:.2g} GiB are "
        f"{'free' if config.max_memory is None else 'allowed'}."
    )
    numbers = {"size": size, "needed": first, "allowed": int(allowed)}
    advice = "Give it more memory, or choose a matcher that needs less."
    return pair, d_range, [Finding("reduced", "warning", words, numbers, advice)]


def search_range(pair: RectifiedPair, x1: np.ndarray, x2: np.ndarray, config: Config) -> tuple[float, float]:
    """Return the disparities to search, px: the range of the inliers x1, x2 (N, 2), widened by a coarse match."""
    inlier_range = disparity_range(pair, x1, x2, **config.arguments("range", disparity_range))
    return widen_range(pair, inlier_range, **config.arguments("range", widen_range))


# ------------------------------------------------------------------------------------------------ the cameras


def refuse_same_pixels(left: Photo, right: Photo) -> None:
    """Raise StereoError("same_photo") where both photos hold the same pixels."""
    if left.pixels.shape == right.pixels.shape and np.array_equal(left.pixels, right.pixels):
        raise StereoError(
            "same_photo",
            "both photos hold the very same pixels.",
            "Take the second photo from a place beside the first.",
        )


def cameras_of(left: Photo, right: Photo, rig: Rig | None, config: Config) -> Rig:
    """Return the cameras of two photos: a given rig, else the calibration file, the focal length set, EXIF, a prior.

    Raises
    ------
    StereoError
        Where the cameras do not fit the photos, or contradict other settings.
    """
    rig = _known_cameras(left, right, rig, config)
    if config.rectified:
        rig = _rectified_cameras(rig, left.size, right.size)
    return _scaled_cameras(rig, config)


def _known_cameras(left: Photo, right: Photo, rig: Rig | None, config: Config) -> Rig:
    """The cameras from the first of these sources: the argument, the calibration file, the settings and EXIF."""
    sizes = left.size, right.size
    orientations = left.exif.get("orientation", 1), right.exif.get("orientation", 1)
    if rig is not None:
        return fit_rig(rig, *sizes, orientations=orientations)
    if config.calib is None:
        given = {"focal": config.focal, "focal_35mm": config.focal_35mm, "fov": config.fov}
        return Rig(camera_for(left, **given), camera_for(right, **given))
    names = left.path.name if left.path else "", right.path.name if right.path else ""
    rig = read_rig(config.calib, sizes, orientations=orientations, names=names)
    if config.unit is not None and config.baseline is None and config.known_distance is None:
        rig = _in_unit(rig, config.unit)
    return rig


def _rectified_cameras(rig: Rig, size1: tuple[int, int], size2: tuple[int, int]) -> Rig:
    """The rig of a rectified pair: its pose checked where it is known, else parallel cameras of one focal length."""
    if rig.R is not None and rig.t is not None:
        turn = rotation_angle_deg(rig.R)
        slope = math.degrees(math.asin(min(1, np.linalg.norm(rig.t[1:]) / np.linalg.norm(rig.t))))
        if max(turn, slope) > MAX_MISALIGNMENT_DEG:
            raise StereoError(
                "calibration_mismatch",
                f"the calibration is of a pair that is not rectified: its cameras are turned "
                f"by {turn:.2g} degrees against each other, and their baseline lies {slope:.2g} degrees off the rows.",
                "Leave --rectified out, or give the calibration of the rectified pair.",
                turn=turn,
                slope=slope,
            )
        return rig
    if size1 != size2:
        raise StereoError(
            "size_mismatch",
            f"a rectified pair has one size, these are {format_size(size1)} and {format_size(size2)} px.",
            NOT_RECTIFIED,
        )
    return replace(rig, cam2=replace(rig.cam2, K=rig.cam1.K), R=np.eye(3), t=np.array([-1.0, 0, 0]))


def _scaled_cameras(rig: Rig, config: Config) -> Rig:
    """The rig with the unit, and where its pose is known the length, of config.baseline."""
    option = "--known-distance" if config.known_distance is not None else f"--baseline {config.baseline or 0:g}"
    if config.known_distance is None and config.baseline is None:
        return rig
    if rig.unit is not None and rig.t is not None:
        raise StereoError(
            "bad_option",
            f"the calibration has its own baseline, {np.linalg.norm(rig.t):g} {rig.unit}, beside {option}.",
            "Give one of them.",
        )
    if config.baseline is None:
        return rig
    rig = replace(rig, unit=config.unit or "units")
    return rig if rig.t is None else replace(rig, t=rig.t * config.baseline / np.linalg.norm(rig.t))


def _in_unit(rig: Rig, unit: str) -> Rig:
    """The rig with the unit of its baseline named, where its file does not name it."""
    if not rig.posed:
        raise StereoError(
            "bad_option",
            f"unit {unit!r} needs a baseline; the calibration has none.",
            "Give --baseline, the distance between the two camera positions.",
        )
    if rig.unit not in (None, UNSTATED_UNIT, unit):
        raise StereoError("bad_option", f"the calibration is in {rig.unit}, not in {unit}.", "Leave --unit out.")
    return replace(rig, unit=unit)


def exchange_cameras(rig: Rig) -> Rig:
    """Return the posed rig with its two cameras exchanged: X1 = R^T X2 - R^T t. The photos keep their sizes."""

    def of_size(camera: Camera, size: tuple[int, int]) -> Camera:
        sx, sy = size[0] / camera.size[0], size[1] / camera.size[1]
        return replace(camera, K=scale_K(camera.K, sx, sy), size=size) if (sx, sy) != (1, 1) else camera

    if rig.R is None or rig.t is None:
        raise ValueError("exchange_cameras needs a rig whose pose is known")
    cam1, cam2 = of_size(rig.cam2, rig.cam1.size), of_size(rig.cam1, rig.cam2.size)
    return replace(rig, cam1=cam1, cam2=cam2, R=rig.R.T, t=-rig.R.T @ rig.t)


# ---------------------------------------------------------------------------------------------------- the pose


@dataclass(frozen=True, eq=False)
class Pose:
    """An estimated pose. rig: the cameras before the estimate; exchanged: they were given the other way round."""

    view: TwoView
    rig: Rig
    exchanged: bool = False

    @property
    def inlier_count(self) -> int:
        """Number of matches that agree with it."""
        return int(self.view.inliers.sum())


@dataclass(frozen=True, eq=False)
class MatchedPose:
    """A pose with the features of both photos and the matches that it was estimated from."""

    features: tuple[Features, Features]
    matches: Matches
    pose: Pose


def find_matches(
    left: Photo, right: Photo, config: Config, *, detector: str | None = None
) -> tuple[tuple[Features, Features], Matches]:
    """Return the features of both photos and their matches.

    Parameters
    ----------
    detector : str, optional
        Another detector than that of the Config, with its default options.
    """
    finding = matching = {}
    if detector is None:
        detector = config.detector
        finding = config.arguments("detector", DETECTORS[detector])
        matching = config.arguments("detector", match_features)
    find = partial(detect_features, method=detector, max_size=config.feature_size, **finding)
    with ThreadPoolExecutor(2) as pool:
        features1, features2 = pool.map(find, (left, right))
    features = features1, features2
    return features, match_features(left, right, max_size=config.feature_size, found=features, **matching)


def pose_with_fallback(
    left: Photo, right: Photo, features: tuple[Features, Features], matches: Matches, rig: Rig, config: Config
) -> MatchedPose:
    """Estimate the pose; where few SIFT matches agree, try asift as well and keep it if twice as many agree then.

    asift finds features in simulated oblique views of the photos.
    """
    first = failure = None
    try:
        first = estimate_pose(matches, rig, config)
    except StereoError as error:
        if error.code != "no_overlap":
            raise
        failure = error
    count = first.inlier_count if first else 0
    if count < FEW_INLIERS and len(matches) >= MIN_INLIERS and config.detector == "sift" and not rig.posed:
        log.info("%d of %d matches agree: trying again with simulated oblique views (asift)", count, len(matches))
        second = _oblique_pose(left, right, rig, config)
        if second and second.pose.inlier_count > 2 * count:
            return second
    if failure is not None:
        raise failure
    assert first is not None
    return MatchedPose(features, matches, first)


def _oblique_pose(left: Photo, right: Photo, rig: Rig, config: Config) -> MatchedPose | None:
    """The pose from asift's features, None where they give none."""
    try:
        features, matches = find_matches(left, right, config, detector="asift")
        return MatchedPose(features, matches, estimate_pose(matches, rig, config))
    except StereoError:
        return None


def guided_pose(left: Photo, right: Photo, found: MatchedPose, config: Config) -> TwoView:
    """Refine the pose by matches along the epipolar lines of the first estimate; return the first where that fails.

    A wrong match on its epipolar line fits the pose as well as a right one. So guided matches refine the pose only:
    inliers and disparity range stay those of the unguided matches.
    """
    matches, rig, view = found.matches, found.pose.rig, found.pose.view
    options = config.arguments("detector", match_features)
    guided = match_features(left, right, max_size=config.feature_size, found=found.features, view=view, **options)
    try:
        again = estimate_pose(guided, rig, config).view
        judged = estimate_two_view(matches, again.rig, **_pose_options(rig, config))
    except StereoError:
        return view
    more = again.inliers.sum() > view.inliers.sum() and judged.inliers.sum() >= 0.98 * view.inliers.sum()
    # Guided matches depend on the focal length they were found with: they cannot decide one that the others left open.
    same = [c.source for c in (again.rig.cam1, again.rig.cam2)] == [c.source for c in (view.rig.cam1, view.rig.cam2)]
    return replace(again, inliers=judged.inliers) if more and same else view


def _pose_options(rig: Rig, config: Config) -> dict[str, Any]:
    return {"threshold": 1.5 * max(1.0, max(rig.cam1.size) / config.feature_size), **config.of("pose")}


def estimate_pose(matches: Matches, rig: Rig, config: Config) -> Pose:
    """Estimate the pose; of a calibrated one try both orders of the photos and keep the one more matches agree with.

    Raises
    ------
    StereoError
        Of `estimate_two_view`; "calibration_mismatch" or "no_overlap" where another pose fits far better than a given
        one.
    """
    options = _pose_options(rig, config)
    orders = [(rig, False), (exchange_cameras(rig), True)] if rig.posed else [(rig, False)]
    poses: list[Pose] = []
    failures: list[StereoError] = []
    for cameras, exchanged in orders:
        try:
            poses.append(Pose(estimate_two_view(matches, cameras, seed=config.seed, **options), cameras, exchanged))
        except StereoError as error:
            failures.append(error)
    if not poses and failures[0].code != "calibration_mismatch":
        raise failures[0]
    best = max(poses, key=lambda pose: pose.inlier_count, default=None)
    agree = best.inlier_count if best else failures[0].numbers["inliers"]
    if rig.posed and agree < 0.5 * len(matches):
        free = _free_inliers(matches, rig, config.seed, options)
        if free > 2 * agree:
            raise _wrong_pose(agree, free, len(matches), config)
    if best is None:
        raise failures[0]
    if config.baseline is not None and not rig.posed:
        return replace(best, view=scale_view(best.view, config.baseline, rig.unit))
    return best


def _free_inliers(matches: Matches, rig: Rig, seed: int, options: dict[str, Any]) -> int:
    """How many matches agree with the best pose of these cameras, whatever pose was given."""
    try:
        return int(estimate_two_view(matches, replace(rig, R=None, t=None), seed=seed, **options).inliers.sum())
    except StereoError:
        return 0


def _wrong_pose(agree: int, free: int, count: int, config: Config) -> StereoError:
    numbers = {"inliers": agree, "free": free, "matches": count}
    if config.rectified and config.calib is None:
        return StereoError(
            "no_overlap",
            f"{agree} of {count} matches lie in equal rows of both photos, {free} fit "
            "cameras that stand otherwise: no rectified pair.",
            NOT_RECTIFIED,
            **numbers,
        )
    return StereoError(
        "calibration_mismatch",
        f"{agree} of {count} matches fit the pose that is given, {free} fit another one.",
        "The calibration is of another rig, or the cameras have moved since: take R and T out of it, and the pose will "
        "be estimated.",
        **numbers,
    )


# ------------------------------------------------------------------------------------------------- the surface


def mesh_with_fallback(
    points: np.ndarray, sigma: np.ndarray, between: RightViewPoints | None, config: Config
) -> tuple[Mesh, list[Finding]]:
    """Return the mesh of config.mesher, or of "grid" with a finding where the mesher's library is missing."""
    settings = {"sigma": sigma, "between": between, "faces": config.faces, "close": config.close}
    try:
        return build_mesh(points, method=config.mesher, **settings, **config.of("mesher")), []
    except StereoError as error:
        if error.code != "library_missing":
            raise
        log.warning("%s", error)
        words = f"{error.message} The grid mesh was made instead."
        finding = Finding("mesher_fallback", "warning", words, {}, error.advice)
        return build_mesh(points, method="grid", **settings), [finding]


def texture_and_sigma(mesh: Mesh, left: Photo, right: Photo, matches: Matches, view: TwoView, rig: Rig) -> Mesh:
    """Return the mesh with its texture, and with the pose's part added to sigma.

    The pose's part is added last: an error of the pose moves whole regions, so it must not decide what is smooth or
    torn.
    """
    mesh = texture_mesh(mesh, left, view.rig.cam1, second=right, view=view)
    if mesh.sigma is None:
        return mesh
    return replace(mesh, sigma=add_pose_sigma(mesh.vertices, mesh.sigma, matches, view, rig))


def add_pose_sigma(X: np.ndarray, sigma: np.ndarray, matches: Matches, view: TwoView, rig: Rig) -> np.ndarray:
    """sqrt(sigma^2 + sigma_pose^2): the standard deviation along the ray with that of an estimated pose.

    Parameters
    ----------
    X : (N, 3) float64
        Points, frame of camera 1.
    sigma : (N,) float
        Their standard deviation along the ray without the pose's part.
    rig : Rig
        The cameras before the estimate; where it holds the pose, sigma is returned as it is.

    Returns
    -------
    (N,) float
    """
    if rig.posed:
        return sigma
    inliers = matches[view.inliers]
    covariance = pose_covariance(inliers.x1, inliers.x2, view)
    return np.hypot(sigma, along_the_ray(X, view, *covariance)).astype(sigma.dtype)


# --------------------------------------------------------------------------------------------------- the scale


def known_scale(
    points: np.ndarray,
    sigma: np.ndarray,
    pair: RectifiedPair,
    view: TwoView,
    known_distance: tuple[tuple[float, float], tuple[float, float], float],
    unit: str,
) -> tuple[float, Finding]:
    """Return the factor from baselines to `unit` by a known distance, and a finding with its uncertainty.

    Parameters
    ----------
    points, sigma : (H, W, 3), (H, W) float
        The point map, in baselines.
    known_distance : ((x, y), (x, y), distance)
        Two pixels of the first photo and the distance of what they show, in `unit`.

    Raises
    ------
    StereoError
        "bad_option" where a pixel shows no surface, or both are too near each other.
    """
    *pixels, distance = known_distance
    ends, sigmas = zip(*[_point_at(points, sigma, pair, view, np.array(x)) for x in pixels], strict=True)
    apart = float(np.linalg.norm(ends[0] - ends[1]))
    along = (ends[0] - ends[1]) / max(apart, 1e-300)
    across = [READING_SIGMA * X[2] / view.rig.cam1.focal for X in ends]
    error = math.hypot(*(s * abs(along @ X) / np.linalg.norm(X) for s, X in zip(sigmas, ends, strict=True)), *across)
    if not error < 0.5 * apart:
        raise StereoError(
            "bad_option",
            "the two pixels of --known-distance are too near each other to measure a length: "
            f"{apart:.3g} +- {error:.2g} baselines.",
            "Name two that are far apart.",
        )
    return distance / apart, Finding(
        "known_distance",
        "info",
        f"the two pixels are {apart:.4g} baselines apart, so the cameras stood "
        f"{distance / apart:.4g} {unit} from each other, to {100 * error / apart:.2g} %.",
        {"baseline": distance / apart, "relative_error": error / apart},
    )


def _point_at(
    points: np.ndarray, sigma: np.ndarray, pair: RectifiedPair, view: TwoView, x: np.ndarray
) -> tuple[np.ndarray, float]:
    """The point that pixel x of the first photo shows, by a plane w(x) through its neighbours, and its sigma."""
    known = np.isfinite(points[..., 2])
    off = pair.map1[known] - x
    away = np.linalg.norm(off, axis=1)
    pixel = np.nanmedian(np.linalg.norm(np.diff(pair.map1, axis=1), axis=-1))  # of the map, in pixels of the photo
    nearest = int(np.argmin(away))
    if not away[nearest] <= 3 * pixel:
        there = pair.map1[known][nearest]
        raise StereoError(
            "bad_option",
            f"no surface was found at pixel {x[0]:g},{x[1]:g} of the first photo.",
            f"The nearest that has one is {there[0]:.0f},{there[1]:.0f}.",
        )
    around = np.flatnonzero(away <= away[nearest] + 3 * pixel)
    X, s = points[known][around], sigma[known][around]
    w, deviation = 1 / X[:, 2], s / (np.linalg.norm(X, axis=1) * X[:, 2])
    here = np.argmin(away[around])
    same = np.abs(w - w[here]) <= 3 * np.hypot(deviation, deviation[here])
    plane = np.column_stack([off[around][same] / pixel, np.ones(same.sum())])
    fit = np.linalg.lstsq(plane, w[same])[0][2] if same.sum() >= 6 else w[here]
    ray = hom(undistort(x[None], view.rig.cam1.K, view.rig.cam1.dist))[0]
    return ray / fit, float(np.median(s[same]))


def scale_view(view: TwoView, factor: float, unit: str | None) -> TwoView:
    """Return the view with its baseline multiplied by a factor, in that unit."""
    t = view.t * factor
    return replace(view, t=t, rig=replace(view.rig, t=t, unit=unit))


def scale_points(between: RightViewPoints, factor: float) -> RightViewPoints:
    """Return the points with all lengths multiplied by a factor."""
    return replace(
        between, points=between.points * factor, sigma=between.sigma * factor, centre=between.centre * factor
    )


# ----------------------------------------------------------------------------------------- findings of the run


def coverage(pair: RectifiedPair, known: np.ndarray, size: tuple[int, int]) -> float:
    """Return the share of the first photo's area that has a point.

    It is the mean, over square cells of 1/200 of the photo's longer side, of the share of a cell's rectified pixels
    that are known.

    Parameters
    ----------
    known : (H, W) bool
        Rectified pixels that have a point.
    size : (width, height)
        Of the photo, px.
    """
    cell = max(size) / 200
    shape = int(np.ceil(size[1] / cell)), int(np.ceil(size[0] / cell))
    everywhere = np.isfinite(pair.map1[..., 0])
    column, row = (((pair.map1[everywhere][:, i] + 0.5) / cell).astype(int).clip(0, shape[1 - i] - 1) for i in (0, 1))
    number = row * shape[1] + column
    count, possible = (np.bincount(n, minlength=shape[0] * shape[1]) for n in (number[known[everywhere]], number))
    return float((count / np.maximum(possible, 1)).mean())


def same_photo_findings(matches: Matches, left: Photo, right: Photo) -> list[Finding]:
    """Return an error where nearly all matches have not moved: the photos are one picture."""
    motion = same_photo(matches, left.size, right.size)
    if motion is None:
        return []
    return [
        Finding(
            "same_photo",
            "error",
            f"the two photos are the same picture: 90 % of {len(matches)} matches moved less than {motion:.2f} px.",
            {"motion_px": motion},
            "Take the second from a place beside the first.",
        )
    ]


def input_findings(left: Photo, right: Photo, rig: Rig, *, exchanged: bool) -> list[Finding]:
    """Return what is odd about the photos and cameras as given: their order, sizes, cropping."""
    findings = []
    if exchanged:
        findings.append(
            Finding(
                "calibration_exchanged",
                "warning",
                "the calibration's first camera took the second photo; its cameras were exchanged.",
                {},
                "Name the photos in the order of the calibration.",
            )
        )
    if left.size != right.size:
        findings.append(
            Finding(
                "different_size",
                "info",
                f"the photos have {format_size(left.size)} and {format_size(right.size)} px.",
                {"size1": list(left.size), "size2": list(right.size)},
            )
        )
    return findings + cropped_findings(left, right, rig)


def cropped_findings(left: Photo, right: Photo, rig: Rig) -> list[Finding]:
    """Return a warning where a photo is a part of what its camera took: its centre and diagonal are not the lens's.

    Its number "one" is 1 where the photos were not cropped alike: that costs more depth than two crops of one kind.
    """
    if {rig.cam1.source, rig.cam2.source} & {"given", "calibration"}:
        return []
    cropped1, cropped2 = (original_size(photo)[1] for photo in (left, right))
    shapes_match = same_shape(*((min(photo.size), max(photo.size)) for photo in (left, right)))
    alike = shapes_match and cropped1 == cropped2
    models = {photo.exif.get("model") for photo in (left, right)} - {None}
    if cropped1 or cropped2:
        which = "both photos" if cropped1 and cropped2 else f"the {'first' if cropped1 else 'second'} photo"
        verb = "have" if cropped1 and cropped2 else "has"
        words = f"{which} {verb} other proportions than the EXIF states and so {verb} been cropped"
    elif not alike and len(models) < 2:
        words = (
            f"the photos have different proportions, {format_size(left.size)} and {format_size(right.size)} px: "
            "one has been cropped"
        )
    else:
        return []
    return [
        Finding(
            "cropped",
            "warning",
            f"{words}; its centre may not be the lens's, nor its focal length right.",
            {"size1": list(left.size), "size2": list(right.size), "one": float(not alike)},
            "Use the photos as they came from the camera, or give a calibration.",
        )
    ]


def row_findings(pair: RectifiedPair) -> list[Finding]:
    """Return how well the rows of the rectified pictures correspond, and the correction that was applied."""
    findings = []
    rows, drift = cast("Mapping[str, float]", pair.rows), cast("Mapping[str, float]", pair.drift)
    if rows:
        off = rows["median_px"] > MAX_ROW_OFFSET
        findings.append(
            Finding(
                "rows_off" if off else "rows",
                "warning" if off else "info",
                f"rows of the rectified pictures are misaligned by {rows['median_px']:.2f} px (median; "
                f"95 % below {rows['most_px']:.2f} px; measured at {rows['places']} places).",
                dict(rows),
                "Check the calibration; moving things and a rolling shutter do this as well." if off else "",
            )
        )
    if drift:
        findings.append(
            Finding(
                "row_drift",
                "info",
                f"matches were {drift['before_px']:.2f} px off their epipolar lines (median), "
                f"{drift['after_px']:.2f} px after a smooth correction of up to {drift['largest_px']:.1f} "
                "px: lens distortion or a rolling shutter that the camera data do not include.",
                dict(drift),
                "A calibration with lens distortion (`stereo3d calibrate`) makes it more precise.",
            )
        )
    return findings


def face_findings(count: int, limit: int) -> list[Finding]:
    """Return a note where the mesh has more triangles than the limit (0: none); its need is known only afterwards."""
    if not limit or count <= limit:
        return []
    return [
        Finding(
            "more_faces",
            "info",
            f"the mesh has {count} triangles, more than the {limit} asked for: its outline and its depth steps need "
            "as many.",
            {"faces": count, "asked": limit},
            f"Give --faces {count} or more, or close its holes (--close).",
        )
    ]


def coverage_findings(covered: float) -> list[Finding]:
    """Return a warning where less than 30 % of the first photo became surface."""
    if covered >= 0.3:
        return []
    return [
        Finding(
            "low_coverage",
            "warning",
            f"only {100 * covered:.0f} % of the first photo became surface.",
            {"coverage": covered},
            "More overlap, more texture, or a known focal length.",
        )
    ]


def format_size(size: tuple[int, ...]) -> str:
    """Return "width x height"."""
    return f"{size[0]} x {size[1]}"


# ------------------------------------------------------------------------------------------------- the verdict


# The meaning of a finding for the shape, the most important first.
REASONS = {
    "same_photo": "both photos are the same picture",
    "no_overlap": "the photos do not seem to show the same thing",
    "pure_rotation": "the camera only turned, so there is no depth to see",
    "flat_scene": "both photos show a single plane, which hardly determines how the camera moved",
    "critical_surface": "other camera motions explain the photos as well",
    "unstable_pose": "the camera motion is uncertain",
    "few_matches": "too few matches",
    "focal_implausible": "the focal length does not look right",
    "focal_unknown": "the focal length is a guess",
    "cropped": "a photo was cropped, so its focal length and principal point are uncertain",
    "small_baseline": "both photos were taken from nearly the same place, so depth is rough",
    "low_coverage": "it covers only a part of the photos",
    "forward_motion": "the camera moved forward, so depth is uncertain about the middle of that motion",
    "large_baseline": "the two views differ so much that a lot is hidden in one of them",
    "moving_objects": "something seems to have moved between the photos",
    "many_outliers": "most matches are wrong",
    "rows_off": "the rows of the rectified pictures are misaligned",
    "blur": "the photos are blurred",
    "noise": "the photos are noisy, so their measurements are uncertain",
    "bad_exposure": "much of a photo is black or white",
    "different_scale": "the photos were taken from very different distances",
    "calibration_exchanged": "the photos were named in the other order than the calibration",
    "mesher_fallback": "Open3D is missing, so a simpler mesh was made",
}
MIN_COVERAGE = 0.1  # share of the first photo below which the shape says little


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the verdict rests on: warnings and errors by code, and the coverage."""

    findings: Mapping[str, Finding]
    coverage: float

    def any_of(self, *codes: str) -> bool:
        """Whether one of these was found."""
        return any(code in self.findings for code in codes)

    def number(self, code: str, name: str) -> float:
        """A number of a finding, 0 where it was not found."""
        return self.findings[code].numbers[name] if code in self.findings else 0.0

    @property
    def shaky(self) -> int:
        """How many of the two causes of rough depth hold that ruin it together, or with a guessed focal length."""
        return self.any_of("flat_scene") + self.any_of("small_baseline")


WORDS = {
    "none": "Do not believe this shape",
    "poor": "Do not rely on its shape",
    "fair": "Usable, with care",
    "good": "You can rely on it",
}
# The first rule that holds decides.
RULES: tuple[tuple[str, Callable[[Evidence], bool]], ...] = (
    ("none", lambda e: any(f.severity == "error" for f in e.findings.values())),
    ("poor", lambda e: e.coverage < MIN_COVERAGE),
    ("poor", lambda e: e.any_of("critical_surface", "unstable_pose", "few_matches")),
    ("poor", lambda e: e.any_of("focal_unknown") and e.shaky > 0),
    ("poor", lambda e: e.number("focal_unknown", "motion_deg") > FOCAL_TILT),  # the guess turns the motion
    ("poor", lambda e: e.number("cropped", "one") > 0),  # the photos were not cropped alike
    ("poor", lambda e: e.shaky > 1),
    ("fair", lambda e: len(e.findings) > 0),
    ("good", lambda e: True),
)


def judge(
    findings: list[Finding], covered: float, relative_sigma: float, inliers: int, unit: str | None
) -> tuple[str, str]:
    """Return the verdict and its summary.

    Parameters
    ----------
    findings : list of Finding
        All findings of the run.
    covered : float
        Share of the first photo that became surface.
    relative_sigma : float
        Median relative depth uncertainty.
    inliers : int
        Number of matches that agree with the pose.
    unit : str, optional
        Unit of the mesh, None where its scale is unknown.

    Returns
    -------
    verdict : str
        "good": no warning; "fair": a warning; "poor": the shape itself may be wrong; "none": an error.
    summary : str
        A sentence with the main reason, then the figures.
    """
    found = {f.code: f for f in findings if f.severity in ("warning", "error")}
    evidence = Evidence(found, covered)
    verdict = next(verdict for verdict, holds in RULES if holds(evidence))
    by_weight = sorted(
        dict.fromkeys(code for code in [*REASONS, *found] if code in found),
        key=lambda code: found[code].severity != "error",
    )
    words = WORDS[verdict]
    if by_weight:
        words += f": {REASONS.get(by_weight[0], found[by_weight[0]].message.rstrip('.'))}"
    if "focal_unknown" in found:
        factor = evidence.number("focal_unknown", "stretch")
        stretch = f"depth may be stretched or squeezed by a factor of about {factor:g}"
        words += f", so {stretch}" if by_weight[0] == "focal_unknown" else f", and {stretch} (the focal is a guess)"
    scale = f"metric, in {unit}" if unit else "up to scale, unit = baseline (from camera to camera)"
    summary = (
        f"{words}. {100 * covered:.0f} % of the first photo became surface, relative depth uncertainty "
        f"{100 * relative_sigma:.2g} % (median), {inliers} matches agree; {scale}."
    )
    return verdict, summary + (f" Mind also: {', '.join(by_weight[1:])}." if len(by_weight) > 1 else "")


# --------------------------------------------------------------------------------------------------- the clock


class MemoryMeter(Protocol):
    """Measures the peak of resident memory of one stage after another."""

    def start(self) -> None:
        """Begin a measurement."""

    def stop(self) -> int:
        """End it and return the peak, bytes."""
        ...


class SampledPeak:
    """Measure by looking at the resident memory every `SAMPLING_PERIOD` in a thread; changes nothing in the process.

    Where the high-water mark that Linux keeps for the process has risen, it is the exact peak.
    """

    def __init__(self) -> None:
        self._peak = self._mark = 0
        self._over = threading.Event()
        self._thread = threading.Thread()

    def start(self) -> None:
        """Begin to sample."""
        self._peak, self._mark, self._over = resident_memory(), peak_memory(), threading.Event()
        self._thread = threading.Thread(target=self._sample, args=(self._over,), daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """End sampling and return the peak, bytes."""
        self._over.set()
        self._thread.join()
        mark = peak_memory()
        return mark if mark > self._mark else max(self._peak, resident_memory())

    def _sample(self, over: threading.Event) -> None:
        while not over.wait(SAMPLING_PERIOD):
            self._peak = max(self._peak, resident_memory())


class ProcessPeak:
    """Measure by resetting the process's high-water mark; for a program that owns its process, not for a library call.

    At the end of each stage it has the C library return freed memory to the system, of which it else keeps hundreds of
    MB after SIFT on two threads.
    """

    def start(self) -> None:
        """Reset the high-water mark."""
        reset_peak_memory()

    def stop(self) -> int:
        """Return freed memory to the system, and the peak, bytes."""
        try:
            ctypes.CDLL(None).malloc_trim(0)  # Linux with glibc
        except (OSError, AttributeError, TypeError):
            pass
        return peak_memory()


class Clock:
    """Seconds and peak memory of each stage: `with clock("pose", work): ...`.

    Parameters
    ----------
    progress : callable, optional
        Called when a stage begins: see `Progress`.
    meter : MemoryMeter, optional
        By default `SampledPeak`.
    """

    def __init__(self, progress: Progress | None = None, meter: MemoryMeter | None = None) -> None:
        self.progress: Progress = progress or (lambda stage, work, method, /: None)
        self.meter: MemoryMeter = meter or SampledPeak()
        self.stages: list[dict[str, Any]] = []

    @contextmanager
    def __call__(self, name: str, work: float = 0, method: str = "") -> Iterator[None]:
        """Measure the block as stage `name`; nothing is kept of a block that raises."""
        self.progress(name, work, method)
        self.meter.start()
        start = time.perf_counter()
        try:
            yield
        finally:
            peak = self.meter.stop()
        seconds = round(time.perf_counter() - start, 3)
        self.stages.append({"name": name, "seconds": seconds, "peak_mb": round(peak / 2**20)})
        log.info("%s: %.2f s", name, seconds)


def reset_peak_memory() -> None:
    """Reset the high-water mark of this process's resident memory (Linux; elsewhere it does nothing)."""
    try:
        with open("/proc/self/clear_refs", "w") as f:
            f.write("5")
    except OSError:
        pass


def peak_memory() -> int:
    """Return the high-water mark of resident memory, bytes; where the system keeps none, what is resident now."""
    return _status("VmHWM")


def resident_memory() -> int:
    """Return the resident memory of this process, bytes."""
    return _status("VmRSS")


def _status(name: str) -> int:
    try:
        with open("/proc/self/status") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith(name))
    except (OSError, StopIteration):
        import psutil

        return psutil.Process().memory_info().rss
