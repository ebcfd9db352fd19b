"""Config, Result, reconstruct: the whole run, read top to bottom."""

import ctypes
import logging
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from . import resources
from .calibration import UNSTATED_UNIT, camera_for, fit_rig, original_size, read_rig, same_shape
from .diagnosis import FOCAL_TILT, diagnose, focal_finding, photo_findings, pose_covariance, same_photo
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
from .options import DEFAULT_MATCHER, MAX_SIZE, check_options, choose, options_of
from .photos import read_photo
from .records import (
    Camera,
    DisparityMap,
    Finding,
    Matches,
    Mesh,
    Photo,
    PointsBetween,
    RectifiedPair,
    Rig,
    RightViewPixels,
    TwoView,
)
from .rectification import disparity_range, rectify
from .triangulation import along_the_ray, point_map, triangulate_between

log = logging.getLogger(__name__)

STAGES = ("photos", "features", "pose", "rectify", "disparity", "points", "mesh")
BOUNDS = {
    "max_size": (64, 32000),
    "seed": (0, 2**32 - 1),
    "focal": (1, 1e7),
    "focal_35mm": (1, 10000),
    "fov": (0.1, 175),
    "baseline": (1e-9, 1e9),
    "max_memory": (0.01, 1e6),
    "faces": (0, 1e9),
}
MOST_ASKEW_DEG = 1.0  # rectified pairs of real rigs keep some hundredths (KITTI: 0.3 degrees of baseline)
ROWS_OFF = 0.3  # px: matching them costs twice to five times the depth error then (`benchmarks/verdict.py --risk`)
LARGEST_FOR_FEATURES = 2400  # px: the pose gains nothing from more (rows to 0.04 px of 12 megapixels), SIFT takes GBs
SMALLEST_SIZE = 320  # px: where memory is short the photos are not matched smaller than this
READ_TO = 0.5  # px, of the two pixels of --known-distance: they are named by hand
TOLD_BY = 50_000  # points at most, evenly over the photo, by which the precision is told
THIN = 80  # fewer inliers than this are worth a second, slower look for features
RUN_PARAMETERS = ("method", "max_size", "seed", "threads", "dense", "faces", "close", "max_memory")  # not by -O
NOT_RECTIFIED = "Use `stereo3d LEFT RIGHT` without --rectified: it rectifies by itself."
# Called with a stage's name, how much work it has (in a measure of its own: pixels, candidates, points; 0 unknown) and
# the method chosen for it when it begins, and with "done" at the end.
Progress = Callable[[str, float, str], None]


@dataclass(frozen=True)
class Config:
    """What the user can choose; checked when it is made, before a pixel is read.

    detector, matcher, mesher: names in DETECTORS, MATCHERS, MESHERS.
    options: {"stage.name": value} with stage one of detector, pose, rectify, range, matcher, mesher.
    max_size: px, the longer side at which the photos are matched; the texture keeps the photo's own size.
    max_memory: GiB that matching may take, None: what is free; where it needs more, the photos are matched smaller.
    seed: of every random choice.  rectified: the photos are a rectified pair.  calib: file of the cameras.
    focal (px) | focal_35mm (mm) | fov (degrees, horizontal): of both photos, at most one of them.
    faces: triangles of the mesh at most, 0 as many as there are.  close: every hole that measured surface encloses.
    baseline: distance of the two camera centres, in `unit`.  known_distance: ((x, y), (x, y), distance), two pixels of
    the first photo and how far apart what they show is, in `unit`.
    unit: of these lengths, or of a calibration that states none.
    force: go on as far as it can where the verdict is that no shape of this pair can be believed.
    """

    detector: str = "sift"
    matcher: str = DEFAULT_MATCHER
    mesher: str = "grid"
    options: Mapping[str, Any] = field(default_factory=dict)
    max_size: int = MAX_SIZE
    max_memory: float | None = None
    seed: int = 0
    rectified: bool = False
    calib: str | Path | None = None
    focal: float | None = None
    focal_35mm: float | None = None
    fov: float | None = None
    faces: int = 500_000
    close: bool = False
    baseline: float | None = None
    known_distance: tuple | None = None
    unit: str | None = None
    force: bool = False

    def __post_init__(self):
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
        checked = {
            stage: check_options(
                getattr(self, stage, stage) if stage in ("detector", "matcher", "mesher") else stage,
                known,
                given[stage],
            )
            for stage, known in stages.items()
        }
        object.__setattr__(self, "options", {f"{s}.{n}": v for s, values in checked.items() for n, v in values.items()})
        if sum(x is not None for x in (self.focal, self.focal_35mm, self.fov, self.calib)) > 1:
            raise StereoError(
                "bad_option", "focal, focal-35mm, fov and calib each give the focal length.", "Give one of them."
            )
        for name, (low, high) in BOUNDS.items():
            value = getattr(self, name)
            kind, words = (Integral, "a whole number, ") if name in ("max_size", "seed", "faces") else (Real, "")
            if value is not None and not (isinstance(value, kind) and low <= value <= high):
                raise StereoError(
                    "bad_option",
                    f"{name.replace('_', '-')} cannot be {value}.",
                    f"It is {words}{low:.10g} to {high:.10g}.",
                )
        if self.known_distance is not None:
            object.__setattr__(self, "known_distance", _known_distance(self.known_distance))
            if self.baseline is not None:
                raise StereoError("bad_option", "baseline and known-distance each give the scale.", "Give one of them.")
        if self.unit is not None and self.baseline is None and self.known_distance is None and self.calib is None:
            raise StereoError(
                "bad_option",
                f"unit {self.unit!r} without a length says nothing.",
                "Give --baseline, the distance between the two camera positions, or --known-distance.",
            )

    @property
    def feature_size(self) -> int:
        """px, the longer side at which features are found."""
        return min(self.max_size, LARGEST_FOR_FEATURES)

    def of(self, stage: str) -> dict[str, Any]:
        """The options given for a stage."""
        return {k.partition(".")[2]: v for k, v in self.options.items() if k.startswith(stage + ".")}


def _known_distance(given) -> tuple[tuple[float, float], tuple[float, float], float]:
    """((x, y), (x, y), distance) from numbers, or from the three words of the command line."""
    try:
        first, second, distance = given
        ends = [[float(v) for v in (p.split(",") if isinstance(p, str) else p)] for p in (first, second)]
        distance = float(distance)
        good = all(len(p) == 2 for p in ends) and np.isfinite([*ends[0], *ends[1], distance]).all()
        good = good and 1e-9 <= distance <= 1e9 and ends[0] != ends[1]
    except (TypeError, ValueError):
        good = False
    if not good:
        words = " ".join(map(str, given)) if isinstance(given, tuple | list) else given
        raise StereoError(
            "bad_option",
            f"known-distance cannot be {words}.",
            "Give two pixels of the first photo and their distance: 120,340 980,355 2.5.",
        )
    return tuple(ends[0]), tuple(ends[1]), distance


def stage_options(detector: str = "sift", matcher: str = DEFAULT_MATCHER, mesher: str = "grid") -> dict[str, dict]:
    """The options that -O takes, by stage, for the chosen methods: {"matcher": {"p1": Option, ...}, ...}."""
    run = RUN_PARAMETERS
    return {
        "detector": options_of(choose("detector", DETECTORS, detector), match_features, leave_out=run),
        "pose": options_of(estimate_two_view, leave_out=run),
        "rectify": options_of(rectify, leave_out=(*run, "inlier_x")),
        "range": options_of(disparity_range, widen_range, find_steep_planes, leave_out=run),
        "matcher": options_of(choose("matcher", MATCHERS, matcher), compute_disparities, leave_out=run),
        "mesher": options_of(choose("mesher", MESHERS, mesher), build_mesh, leave_out=(*run, "sigma")),
    }


@dataclass(frozen=True, eq=False)
class Result:
    """Every stage's outcome, in order, and what was measured.

    stages: [{"name", "seconds", "peak_mb"}].  coverage: share of the first photo's area that has a 3-D point.
    precision: median standard deviation of a point along its ray over its distance, an estimated pose's part included.
    verdict: "good" | "fair" | "poor", or "none" where the run was forced past an error.
    summary: the verdict in one sentence, and its figures.
    disparity, confidence: of the first photo's rectified pixels, both photos' maps fused.  points, sigma: of these,
    sigma of each against its neighbours, so without the pose's part, which moves whole regions (mesh.sigma has both);
    between: further ones that the second photo saw between two of them.
    """

    config: Config
    left: Photo
    right: Photo
    rig: Rig
    matches: Matches
    view: TwoView
    findings: list[Finding]
    pair: RectifiedPair
    d_range: tuple[int, int]
    disparity: np.ndarray
    confidence: np.ndarray
    points: np.ndarray
    sigma: np.ndarray
    mesh: Mesh
    stages: list[dict]
    coverage: float
    precision: float
    verdict: str
    summary: str
    between: PointsBetween | None = None

    @property
    def unit(self) -> str:
        """Unit of points and mesh."""
        return self.view.rig.unit or "baseline"

    def save(self, path, **style) -> list[Path]:
        """Write the mesh by suffix (.obj, .ply, .glb, .stl); returns the files written. style: of `write_mesh`.

        It stands upright where the first photo's EXIF tells gravity, else as its camera was held.
        """
        from .export import write_mesh

        return write_mesh(path, self.mesh, unit=self.unit, **{"down": self.left.exif.get("gravity"), **style})

    def save_points(self, path, **style) -> Path:
        """Write the point cloud (.ply) with colours and sigma. style: of `write_points`."""
        from .export import write_points

        known = np.isfinite(self.points[..., 2])
        style = {"unit": self.unit, "down": self.left.exif.get("gravity"), **style}
        points = self.points[known]
        sigma = with_pose(points, self.sigma[known], self.matches, self.view, self.rig)
        return write_points(path, points, self.pair.left[known], sigma, **style)


def reconstruct(
    left: str | Path | Photo,
    right: str | Path | Photo,
    rig: Rig | None = None,
    config: Config | None = None,
    *,
    progress: Progress = lambda stage, work, method: None,
) -> Result:
    """Two photos in, a textured mesh out: every stage in order.

    left, right: paths or Photos; the first is camera 1, whichever side it was taken from.  rig: the cameras, and their
    pose where it is known; else from config.calib, else from the photos' EXIF and the pair itself.
    Raises StereoError where the input cannot give a mesh: code, numbers, remedy.
    """
    config = config or Config()
    clock = _Clock(progress)
    start = _until_rectified(left, right, rig, config, clock)
    left, right, rig, matches, view, findings, pair, d_range = start

    with clock("disparity", matching_work(pair, d_range, config.matcher), config.matcher):
        fused, more = match_pair(pair, d_range, config)

    with clock("points", int(np.isfinite(fused.disparity).sum())):
        points, sigma = point_map(fused, pair, view)
        between = triangulate_between(more, pair, view)
        known = np.isfinite(points[..., 2])
        if not known.any():
            raise StereoError(
                "no_disparity",
                f"the matcher vouches for no pixel of {known.size}.",
                "Is there texture in the photos? Try --matcher sgbm or a larger --max-size.",
            )
        covered = coverage(pair, known, left.size)
        if config.known_distance is not None:
            factor, told = _scale(points, sigma, pair, view, config)
            points, sigma, view = points * factor, sigma * factor, _scaled(view, factor, config.unit or "units")
            lengths = {name: getattr(between, name) * factor for name in ("points", "sigma", "centre")}
            between = replace(between, **lengths)
            findings.append(told)
        log.info(
            "%s: %.0f %% of the rectified pixels have a disparity, %d became points",
            config.matcher,
            100 * np.isfinite(fused.disparity).mean(),
            known.sum(),
        )

    with clock("mesh", int(known.sum()), config.mesher):
        mesh, fallback = _mesh(points, sigma, between, config)
        mesh = finished(mesh, left, right, matches, view, rig)
        findings = [*_too_many_faces(mesh, config), *findings, *fallback]
    progress("done", 0, "")

    some = np.flatnonzero(known)[:: 1 + np.count_nonzero(known) // TOLD_BY]
    told = points.reshape(-1, 3)[some]
    precision = with_pose(told, sigma.ravel()[some], matches, view, rig)
    precision = float(np.median(precision / np.linalg.norm(told, axis=1)))
    findings += _outcome_findings(covered)
    verdict, summary = _verdict(findings, covered, precision, view)
    return Result(
        config,
        left,
        right,
        rig,
        matches,
        view,
        findings,
        pair,
        d_range,
        fused.disparity,
        fused.confidence,
        points,
        sigma,
        mesh,
        clock.stages,
        covered,
        precision,
        verdict,
        summary,
        between,
    )


def until_rectified(left, right, rig: Rig | None = None, config: Config | None = None) -> tuple:
    """The first half of `reconstruct`: (left, right, rig, matches, view, findings, pair, d_range)."""
    return _until_rectified(left, right, rig, config or Config(), _Clock(lambda stage, work, method: None))


def _until_rectified(left, right, rig: Rig | None, config: Config, clock: "_Clock") -> tuple:
    with clock("photos"):
        left, right = (p if isinstance(p, Photo) else read_photo(p) for p in (left, right))
        if not config.force:
            _refuse_same_pixels(left, right)
        rig = _rig_of(left, right, rig, config)
        for photo, camera, which in ((left, rig.cam1, "first"), (right, rig.cam2, "second")):
            detail = camera.source_detail or camera.source
            log.info("%s photo: %s px, focal length %.0f px (%s)", which, _size(photo.size), camera.focal, detail)

    with clock("features", _pixels(left, right, config.feature_size), config.detector):
        found, matches = _matches(left, right, config.detector, config, config.of("detector"))
        findings = _same_photo_findings(matches, left, right)
        _stop_at_errors(findings, config)
        counts = [len(f.x) for f in found]
        log.info("%s: %d and %d features, %d match both ways", config.detector, *counts, len(matches))

    with clock("pose", len(matches)):
        found, matches, (view, rig, exchanged) = _found_pose(left, right, found, matches, rig, config)
        findings += [
            *diagnose(matches, view, rig),
            *_input_findings(left, right, rig, exchanged),
            *photo_findings(
                left,
                right,
                matches[view.inliers],
                max_size=config.max_size,
                focal_sought="estimated" in (view.rig.cam1.source, view.rig.cam2.source),
            ),
        ]
        _stop_at_errors(findings, config)

        # what was judged was matched freely; now that the epipolar lines are known, more can be found along them
        if not rig.posed:
            view = _guided(left, right, found, matches, view, rig, config)
            findings = [  # what is told is the lens that is used
                focal_finding(view, f.numbers.get("motion_deg", 0.0)) if f.code in ("focal", "focal_unknown") else f
                for f in findings
            ]
        given = "as the calibration says" if rig.posed else "found from the matches"
        log.info(
            "pose %s: %d of %d matches agree, turned by %.3g degrees, direction %s",
            given,
            view.inliers.sum(),
            len(matches),
            rotation_angle_deg(view.R),
            np.round(view.t / np.linalg.norm(view.t), 3),
        )

    with clock("rectify", _pixels(left, right, config.max_size)):
        inlier_x = matches.x1[view.inliers], matches.x2[view.inliers]
        pair, d_range, smaller = _rectified(left, right, view, inlier_x, config)
        findings += [*_row_findings(pair), *smaller]
        needed = matching_bytes(pair, d_range, config.matcher, **config.of("matcher"))
        log.info(
            "rectified: %s, %s px; disparities %d to %d px will be searched, with %.2g GB",
            pair.kind,
            _size(pair.left.shape[1::-1]),
            *d_range,
            needed / 1e9,
        )
    return left, right, rig, matches, view, findings, pair, d_range


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
    max_memory = None if config.max_memory is None else config.max_memory * 2**30
    options = {"method": config.matcher, "max_memory": max_memory, **config.of("matcher")}
    dense_maps = maps = compute_disparities(pair, d_range, dense=dense, **options)
    if dense:
        left, right = (_without_filled(found) for found in dense_maps)
        maps = left, right
    wanted = {k: v for k, v in config.of("range").items() if k == "slants"}
    planes = find_steep_planes(pair, np.isfinite(maps[0].disparity), d_range, **wanted)
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
    """A pair that is rectified already, at its own size, and its disparity range: given, or found from matches."""
    config = replace(config or Config(), rectified=True)
    _refuse_same_pixels(left, right)
    rig = _rig_of(left, right, None, config)
    if d_range is None:
        matches = match_features(left, right, method=config.detector, **config.of("detector"))
        view, _, _ = _two_view(matches, rig, config)
    else:  # nearer things have the larger |d|, so the sign of the range tells on which side the first photo stands
        side = -1.0 if sum(d_range) >= 0 else 1.0
        none = np.zeros(0, bool)
        t = np.array([side, 0, 0])
        view = TwoView(np.zeros((3, 3)), np.eye(3), t, none, replace(rig, t=t))
    pair = rectify(left, right, view, max_size=max(left.size))
    if d_range is None:
        d_range = search_range(pair, matches.x1[view.inliers], matches.x2[view.inliers], config)
    return pair, d_range


def _rectified(left: Photo, right: Photo, view: TwoView, inlier_x, config: Config):
    """The pair and its disparity range, at a size that can be matched with the memory there is; what to say of it."""
    allowed = resources.available_memory() if config.max_memory is None else config.max_memory * 2**30
    size, first = config.max_size, None
    while True:
        pair = rectify(left, right, view, max_size=size, inlier_x=inlier_x, **config.of("rectify"))
        d_range = search_range(pair, *inlier_x, config)
        needed = matching_bytes(pair, d_range, config.matcher, **config.of("matcher"))
        first = first or needed
        if needed <= allowed or size <= SMALLEST_SIZE:
            break
        share = (allowed / needed) ** (1 / 2.5)  # memory grows with the square to the cube of the size
        size = max(SMALLEST_SIZE, int(min(size, max(left.size)) * min(0.9, share)))
    if size == config.max_size:
        return pair, d_range, []
    words = (
        f"the photos are matched at {size} px in place of {min(config.max_size, max(left.size))}: "
        f"{first / 2**30:.2g} GiB would be needed, {allowed / 2**30:.2g} GiB are "
        f"{'free' if config.max_memory is None else 'allowed'}."
    )
    numbers = {"size": size, "needed": first, "allowed": int(allowed)}
    return pair, d_range, [Finding("reduced", "warning", words, numbers, "More memory, or a matcher that needs less.")]


def search_range(pair: RectifiedPair, x1: np.ndarray, x2: np.ndarray, config: Config) -> tuple[int, int]:
    """The disparities to search: what the inliers x1, x2 (N,2) tell, and what a look at the reduced pair adds."""
    options = config.of("range")
    told = disparity_range(pair, x1, x2, **{k: v for k, v in options.items() if k not in ("widen", "slants")})
    return widen_range(pair, told, widen=options.get("widen", True))


def _stop_at_errors(findings: list[Finding], config: Config) -> None:
    """The first finding that forbids a mesh, raised; with config.force it is only a finding."""
    for finding in findings:
        if finding.severity == "error" and not config.force:
            advice = f"{finding.advice} --force shows what comes out nevertheless."
            raise StereoError(finding.code, finding.message, advice, **finding.numbers)


def _pixels(left: Photo, right: Photo, size: int) -> int:
    """Pixels of both photos reduced to this longer side."""
    return sum(round(w * h * min(1.0, size / max(w, h)) ** 2) for w, h in (left.size, right.size))


# ------------------------------------------------------------------------------------------------ the cameras


def _refuse_same_pixels(left: Photo, right: Photo) -> None:
    if left.pixels.shape == right.pixels.shape and np.array_equal(left.pixels, right.pixels):
        raise StereoError(
            "same_photo",
            "both photos hold the very same pixels.",
            "Take the second photo from a place beside the first.",
        )


def _rig_of(left: Photo, right: Photo, rig: Rig | None, config: Config) -> Rig:
    """The cameras of the two photos: given > calibration file > focal of the options > EXIF > prior."""
    sizes = left.size, right.size
    orientations = tuple(p.exif.get("orientation", 1) for p in (left, right))
    if rig is not None:
        rig = fit_rig(rig, *sizes, orientations=orientations)
    elif config.calib is not None:
        names = tuple(p.path.name if p.path else "" for p in (left, right))
        rig = read_rig(config.calib, sizes, orientations=orientations, names=names)
        if config.unit is not None and config.baseline is None and config.known_distance is None:
            rig = _in_unit(rig, config.unit)
    else:
        given = {"focal": config.focal, "focal_35mm": config.focal_35mm, "fov": config.fov}
        rig = Rig(camera_for(left, **given), camera_for(right, **given))
    if config.rectified and rig.posed:
        turn = rotation_angle_deg(rig.R)
        slope = math.degrees(math.asin(min(1, np.linalg.norm(rig.t[1:]) / np.linalg.norm(rig.t))))
        if max(turn, slope) > MOST_ASKEW_DEG:
            raise StereoError(
                "calibration_mismatch",
                f"the calibration is of a pair that is not rectified: its cameras are turned "
                f"by {turn:.2g} degrees against each other, and their baseline lies {slope:.2g} degrees off the rows.",
                "Leave --rectified out, or give the calibration of the rectified pair.",
                turn=turn,
                slope=slope,
            )
    if config.rectified and not rig.posed:
        if sizes[0] != sizes[1]:
            raise StereoError(
                "size_mismatch",
                f"a rectified pair has one size, these are {_size(sizes[0])} and {_size(sizes[1])} px.",
                NOT_RECTIFIED,
            )
        # one focal for both, the axes parallel
        rig = replace(rig, cam2=replace(rig.cam2, K=rig.cam1.K), R=np.eye(3), t=np.array([-1.0, 0, 0]))
    if config.known_distance is not None and rig.unit is not None and rig.posed:
        raise StereoError(
            "bad_option",
            f"the calibration has its own baseline, {np.linalg.norm(rig.t):g} {rig.unit}, beside --known-distance.",
            "Give one of them.",
        )
    if config.baseline is not None:
        if rig.unit is not None and rig.posed:
            raise StereoError(
                "bad_option",
                f"the calibration has its own baseline, {np.linalg.norm(rig.t):g} "
                f"{rig.unit}, beside --baseline {config.baseline:g}.",
                "Give one of them.",
            )
        unit = config.unit or "units"
        rig = replace(rig, unit=unit)
        if rig.posed:
            rig = replace(rig, t=rig.t * config.baseline / np.linalg.norm(rig.t))
    return rig


def _in_unit(rig: Rig, unit: str) -> Rig:
    """The rig with the unit of its baseline named, where its file does not."""
    if not rig.posed:
        raise StereoError(
            "bad_option",
            f"unit {unit!r} without a baseline says nothing; the calibration has none.",
            "Give --baseline, the distance between the two camera positions.",
        )
    if rig.unit not in (None, UNSTATED_UNIT, unit):
        raise StereoError("bad_option", f"the calibration is in {rig.unit}, not in {unit}.", "Leave --unit out.")
    return replace(rig, unit=unit)


def _matches(left: Photo, right: Photo, detector: str, config: Config, options: dict):
    """The features of both photos and their matches."""
    finding = {k: v for k, v in options.items() if k not in ("ratio", "refine")}
    with ThreadPoolExecutor(2) as pool:
        find = partial(detect_features, method=detector, max_size=config.feature_size, **finding)
        found = tuple(pool.map(find, (left, right)))
    matching = {k: v for k, v in options.items() if k in ("ratio", "refine")}
    return found, match_features(left, right, max_size=config.feature_size, found=found, **matching)


def _found_pose(left: Photo, right: Photo, found, matches: Matches, rig: Rig, config: Config):
    """The pose from the matches; where few agree, from features of views simulated from aside, if more agree then."""
    try:
        first, failure = _two_view(matches, rig, config), None
    except StereoError as error:
        if error.code != "no_overlap":
            raise
        first, failure = None, error
    count = int(first[0].inliers.sum()) if first else 0
    if count < THIN and len(matches) >= MIN_INLIERS and config.detector == "sift" and not rig.posed:
        log.info("%d of %d matches agree: trying again with views simulated from aside (asift)", count, len(matches))
        try:
            again = _matches(left, right, "asift", config, {})
            second = _two_view(again[1], rig, config)
        except StereoError:
            second = None
        if second and second[0].inliers.sum() > 2 * count:
            return *again, second
    if first is None:
        raise failure
    return found, matches, first


def _guided(left: Photo, right: Photo, found, matches: Matches, view: TwoView, rig: Rig, config: Config) -> TwoView:
    """The pose once more, from what can be matched along the epipolar lines of a first estimate.

    A wrong match along a line fits the pose as well as a right one, so those matches serve for nothing but the pose:
    the inliers told, and the disparity range, remain those of the matches found freely.
    """
    options = {k: v for k, v in config.of("detector").items() if k in ("ratio", "refine")}
    guided = match_features(left, right, max_size=config.feature_size, found=found, view=view, **options)
    try:
        again, _, _ = _two_view(guided, rig, config)
        judged = estimate_two_view(matches, again.rig, **_pose_options(rig, config))
    except StereoError:
        return view
    more = again.inliers.sum() > view.inliers.sum() and judged.inliers.sum() >= 0.98 * view.inliers.sum()
    # they were chosen by that estimate: of a focal length that the free matches cannot tell they know nothing new
    same = [c.source for c in (again.rig.cam1, again.rig.cam2)] == [c.source for c in (view.rig.cam1, view.rig.cam2)]
    return replace(again, inliers=judged.inliers) if more and same else view


def _pose_options(rig: Rig, config: Config) -> dict:
    return {"threshold": 1.5 * max(1.0, max(rig.cam1.size) / config.feature_size), **config.of("pose")}


def _two_view(matches: Matches, rig: Rig, config: Config) -> tuple[TwoView, Rig, bool]:
    """The pose; for a calibrated pose also with the two photos exchanged, taking the way more matches agree with."""
    options = _pose_options(rig, config)
    views = []
    failure = None
    for candidate in (rig, _exchanged(rig)) if rig.posed else (rig,):
        try:
            views.append((estimate_two_view(matches, candidate, seed=config.seed, **options), candidate))
        except StereoError as error:
            failure = failure or error
    if not views and failure.code != "calibration_mismatch":
        raise failure
    view, used = max(views, key=lambda v: v[0].inliers.sum(), default=(None, rig))
    agree = int(view.inliers.sum()) if view else failure.numbers["inliers"]
    if rig.posed and agree < 0.5 * len(matches):  # does another pose fit far better than the one that was given?
        free = _most_inliers(matches, replace(rig, R=None, t=None), config.seed, options)
        if free > 2 * agree:
            raise _wrong_pose(agree, free, len(matches), config)
    if not views:
        raise failure
    if config.baseline is not None and not rig.posed:
        t = view.t * config.baseline
        view = replace(view, t=t, rig=replace(view.rig, t=t, unit=rig.unit))
    return view, used, used is not rig


def _most_inliers(matches: Matches, rig: Rig, seed: int, options: dict) -> int:
    try:
        return int(estimate_two_view(matches, rig, seed=seed, **options).inliers.sum())
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


def _exchanged(rig: Rig) -> Rig:
    """The same rig with its two cameras named the other way round: X1 = R^T X2 - R^T t. The photos keep their sizes."""

    def of_size(camera: Camera, size) -> Camera:
        sx, sy = size[0] / camera.size[0], size[1] / camera.size[1]
        return replace(camera, K=scale_K(camera.K, sx, sy), size=size) if (sx, sy) != (1, 1) else camera

    cam1, cam2 = of_size(rig.cam2, rig.cam1.size), of_size(rig.cam1, rig.cam2.size)
    return replace(rig, cam1=cam1, cam2=cam2, R=rig.R.T, t=-rig.R.T @ rig.t)


# ------------------------------------------------------------------------------------------- mesh and verdict


def _mesh(points, sigma, between, config: Config) -> tuple[Mesh, list[Finding]]:
    wanted = {"sigma": sigma, "between": between, "faces": config.faces, "close": config.close}
    try:
        return build_mesh(points, method=config.mesher, **wanted, **config.of("mesher")), []
    except StereoError as error:
        if error.code != "library_missing":
            raise
        log.warning("%s", error)
        words = f"{error.message} The grid mesh was made instead."
        fallback = Finding("mesher_fallback", "warning", words, {}, error.advice)
        return build_mesh(points, method="grid", **wanted), [fallback]


def finished(mesh: Mesh, left: Photo, right: Photo, matches: Matches, view: TwoView, rig: Rig) -> Mesh:
    """A mesh of the run with its texture, and with what an estimated pose adds to sigma: an error of it moves whole
    regions, so what is smooth or torn was told without it."""
    mesh = texture_mesh(mesh, left, view.rig.cam1, second=right, view=view)
    return replace(mesh, sigma=with_pose(mesh.vertices, mesh.sigma, matches, view, rig))


def with_pose(X: np.ndarray, sigma: np.ndarray, matches: Matches, view: TwoView, rig: Rig) -> np.ndarray:
    """The deviations sigma (N,) of points X (N,3) with what the pose adds, where it was estimated (not rig.posed)."""
    if rig.posed:
        return sigma
    inliers = matches[view.inliers]
    spread = pose_covariance(inliers.x1, inliers.x2, view)
    return np.hypot(sigma, along_the_ray(X, view, *spread)).astype(sigma.dtype)


def _scale(points, sigma, pair: RectifiedPair, view: TwoView, config: Config) -> tuple[float, Finding]:
    """What to multiply lengths with, so that the two pixels of config.known_distance are that far apart."""
    *pixels, distance = config.known_distance
    ends, errors = zip(*[_point_at(points, sigma, pair, view, np.array(x)) for x in pixels], strict=True)
    apart = float(np.linalg.norm(ends[0] - ends[1]))
    along = (ends[0] - ends[1]) / max(apart, 1e-300)
    across = [READ_TO * X[2] / view.rig.cam1.focal for X in ends]  # what the pixels were read to
    error = math.hypot(*(s * abs(along @ X) / np.linalg.norm(X) for s, X in zip(errors, ends, strict=True)), *across)
    if not error < 0.5 * apart:
        raise StereoError(
            "bad_option",
            "the two pixels of --known-distance lie too near each other to tell a length: "
            f"{apart:.3g} +- {error:.2g} baselines.",
            "Name two that are far apart.",
        )
    unit = config.unit or "units"
    return distance / apart, Finding(
        "known_distance",
        "info",
        f"the two pixels are {apart:.4g} baselines apart, so the cameras stood "
        f"{distance / apart:.4g} {unit} from each other, to {100 * error / apart:.2g} %.",
        {"baseline": distance / apart, "relative_error": error / apart},
    )


def _point_at(points, sigma, pair: RectifiedPair, view: TwoView, x: np.ndarray) -> tuple[np.ndarray, float]:
    """The point that pixel x of the first photo shows, by the plane w(x) through those around, and its deviation."""
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


def _scaled(view: TwoView, factor: float, unit: str) -> TwoView:
    t = view.t * factor
    return replace(view, t=t, rig=replace(view.rig, t=t, unit=unit))


def coverage(pair: RectifiedPair, known: np.ndarray, size: tuple[int, int]) -> float:
    """Share of the first photo's area that has a point.

    The mean over cells of 1/200 of its longer side: of each the share of its rectified pixels that is known.
    known: (H,W) bool over the rectified pixels.  size: of the photo.
    """
    cell = max(size) / 200
    shape = int(np.ceil(size[1] / cell)), int(np.ceil(size[0] / cell))
    everywhere = np.isfinite(pair.map1[..., 0])
    column, row = (((pair.map1[everywhere][:, i] + 0.5) / cell).astype(int).clip(0, shape[1 - i] - 1) for i in (0, 1))
    number = row * shape[1] + column
    count, possible = (np.bincount(n, minlength=shape[0] * shape[1]) for n in (number[known[everywhere]], number))
    return float((count / np.maximum(possible, 1)).mean())


def _same_photo_findings(matches: Matches, left: Photo, right: Photo) -> list[Finding]:
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


def _input_findings(left: Photo, right: Photo, rig: Rig, exchanged: bool) -> list[Finding]:
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
                f"the photos have {_size(left.size)} and {_size(right.size)} px.",
                {"size1": list(left.size), "size2": list(right.size)},
            )
        )
    return findings + _cropped(left, right, rig)


def _cropped(left: Photo, right: Photo, rig: Rig) -> list[Finding]:
    """Is a photo a part of what its camera took? Then neither its middle nor its diagonal is that of the lens.

    Numbers: "one", 1 where the photos were not cropped alike: that costs more depth than two crops of one kind.
    """
    told = [original_size(photo)[1] for photo in (left, right)]
    models = [photo.exif.get("model") for photo in (left, right)]
    if {rig.cam1.source, rig.cam2.source} & {"given", "calibration"}:
        return []
    alike = same_shape(*(tuple(sorted(photo.size)) for photo in (left, right))) and told[0] == told[1]
    if any(told):
        which = "both photos have" if all(told) else f"the {'first' if told[0] else 'second'} photo has"
        words = f"{which} other proportions than the EXIF states: cropped"
    elif not alike and len({*models} - {None}) < 2:
        words = f"the photos have different proportions, {_size(left.size)} and {_size(right.size)} px: one is cropped"
    else:
        return []
    return [
        Finding(
            "cropped",
            "warning",
            f"{words}, so its middle need not be where the lens looked, nor its focal length right.",
            {"size1": list(left.size), "size2": list(right.size), "one": float(not alike)},
            "Use the photos as they came from the camera, or give a calibration.",
        )
    ]


def _row_findings(pair: RectifiedPair) -> list[Finding]:
    """Do the rows of the rectified pictures correspond, and what was done to make them?"""
    findings = []
    if pair.rows:
        off = pair.rows["median_px"] > ROWS_OFF
        findings.append(
            Finding(
                "rows_off" if off else "rows",
                "warning" if off else "info",
                "corresponding rows of the rectified pictures "
                f"lie {pair.rows['median_px']:.2f} px beside each other (median; "
                f"95 % below {pair.rows['most_px']:.2f} px; {pair.rows['places']} places measured).",
                dict(pair.rows),
                "A wrong calibration, things that moved or a rolling shutter do this." if off else "",
            )
        )
    if not pair.drift:
        return findings
    return [
        *findings,
        Finding(
            "row_drift",
            "info",
            f"matches lay {pair.drift['before_px']:.2f} px beside their epipolar lines (median), "
            f"{pair.drift['after_px']:.2f} px after a slow drift of up to {pair.drift['largest_px']:.1f} px was taken "
            "out: a lens or a rolling shutter that the cameras' data do not tell of.",
            dict(pair.drift),
            "A calibration with lens distortion (`stereo3d calibrate`) makes it more precise.",
        ),
    ]


def _too_many_faces(mesh: Mesh, config: Config) -> list[Finding]:
    """Whether the mesh needs more triangles than were asked for: how many it needs is not known before."""
    count = len(mesh.faces)
    if not config.faces or count <= config.faces:
        return []
    return [
        Finding(
            "more_faces",
            "info",
            f"the mesh has {count} triangles where {config.faces} were asked for: its outline and "
            "the steps in it take as many.",
            {"faces": count, "asked": config.faces},
            f"Give --faces {count} or more, or close its holes (--close).",
        )
    ]


def _outcome_findings(covered: float) -> list[Finding]:
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


# What a finding means for the shape, in the order of their weight; those of POOR may have it wrong altogether.
REASONS = {
    "same_photo": "both photos are the same picture",
    "no_overlap": "the photos do not seem to show the same thing",
    "pure_rotation": "the camera only turned, so there is no depth to see",
    "flat_scene": "what both photos show is one plane, which hardly tells how the camera moved",
    "critical_surface": "other camera motions explain the photos as well",
    "unstable_pose": "how the camera moved is uncertain",
    "few_matches": "too little in the two photos matches",
    "focal_implausible": "the focal length does not look right",
    "focal_unknown": "the focal length is a guess",
    "cropped": "a photo was cropped, so its focal length and where its lens looked are uncertain",
    "small_baseline": "both photos were taken from nearly the same place, so depth is rough",
    "low_coverage": "it is only a part of what the photos show",
    "forward_motion": "the camera moved forward, so depth is uncertain about the middle of that motion",
    "large_baseline": "the two views differ so much that a lot is hidden in one of them",
    "moving_objects": "something seems to have moved between the photos",
    "many_outliers": "most of what looked alike was not",
    "rows_off": "the rows of the rectified pictures do not correspond well",
    "blur": "the photos are blurred",
    "noise": "the photos are noisy, so what was measured in them is uncertain",
    "bad_exposure": "much of a photo is black or white",
    "different_scale": "the photos were taken from very different distances",
    "calibration_exchanged": "the photos were named in the other order than the calibration",
    "mesher_fallback": "Open3D is missing, so a simpler mesh was made",
}
POOR = ("critical_surface", "unstable_pose", "few_matches")


def _verdict(findings: list[Finding], covered: float, precision: float, view: TwoView) -> tuple[str, str]:
    """The verdict and its summary.

    "good": nothing speaks against it.  "fair": a warning.  "poor": the shape itself may be wrong.  "none": an error.
    The summary is a sentence with the main reason, then the figures.
    """
    told = {f.code: f for f in findings if f.severity in ("warning", "error")}
    by_weight = [code for code in [*REASONS, *told] if code in told]
    by_weight = list(dict.fromkeys(sorted(by_weight, key=lambda code: told[code].severity != "error")))
    guess = told.get("focal_unknown")
    bent = guess is not None and guess.numbers["motion_deg"] > FOCAL_TILT
    lopsided = "cropped" in told and told["cropped"].numbers["one"]
    shaky = [code for code in ("flat_scene", "small_baseline") if code in told]
    if any(f.severity == "error" for f in told.values()):
        verdict, words = "none", "Do not believe this shape"
    elif covered < 0.1 or any(code in told for code in POOR) or (guess and shaky) or bent or lopsided or len(shaky) > 1:
        verdict, words = "poor", "Do not rely on its shape"
    elif told:
        verdict, words = "fair", "Usable, with care"
    else:
        verdict, words = "good", "You can rely on it"
    if by_weight:
        reason = REASONS.get(by_weight[0], told[by_weight[0]].message.rstrip("."))
        words += f": {reason}"
    if guess:
        stretch = f"depth may be stretched or squeezed by a factor of about {guess.numbers['stretch']:g}"
        words += f", so {stretch}" if by_weight[0] == "focal_unknown" else f", and {stretch} (the focal is a guess)"
    scale = f"metric, in {view.rig.unit}" if view.rig.unit else "up to scale, unit = baseline (from camera to camera)"
    summary = (
        f"{words}. {100 * covered:.0f} % of the first photo became surface, depth precise to {100 * precision:.2g} % "
        f"(median), {int(view.inliers.sum())} matches agree; {scale}."
    )
    return verdict, summary + (f" Mind also: {', '.join(by_weight[1:])}." if len(by_weight) > 1 else "")


def _size(size) -> str:
    return f"{size[0]} x {size[1]}"


class _Clock:
    """Seconds and peak memory of each stage."""

    def __init__(self, progress: Progress):
        self.progress, self.stages = progress, []

    @contextmanager
    def __call__(self, name: str, work: float = 0, method: str = ""):
        self.progress(name, work, method)
        reset_peak_memory()
        start = time.perf_counter()
        yield
        _give_back_memory()
        self.stages.append(
            {"name": name, "seconds": round(time.perf_counter() - start, 3), "peak_mb": round(peak_memory() / 2**20)}
        )
        log.info("%s: %.2f s", name, self.stages[-1]["seconds"])


def _give_back_memory() -> None:
    """Let the C library return what was freed: otherwise it keeps hundreds of MB after SIFT on two threads."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # Linux with glibc
    except (OSError, AttributeError, TypeError):
        pass


def reset_peak_memory() -> None:
    """Let Linux count the peak of resident memory anew; elsewhere the peak stays that of the whole process."""
    try:
        with open("/proc/self/clear_refs", "w") as f:
            f.write("5")
    except OSError:
        pass


def peak_memory() -> int:
    """Peak resident memory, bytes, since the last reset."""
    try:
        with open("/proc/self/status") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import psutil

        return psutil.Process().memory_info().rss
