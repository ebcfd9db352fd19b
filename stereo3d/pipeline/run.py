"""The whole run: `reconstruct`, whose first half is `prepare`, and the steps of both in the order of use."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Unpack

import numpy as np

from ..diagnosis.copies import copy_findings
from ..diagnosis.run_findings import (
    coverage,
    coverage_findings,
    face_findings,
    format_size,
    parallax_px,
    row_findings,
    uncertainty_findings,
)
from ..diagnosis.sphere import panorama_findings
from ..diagnosis.verdict import judge
from ..disparity.matching import matching_bytes, matching_work
from ..errors import StereoError
from ..geometry.rotations import rotation_angle_deg
from ..images.content import crop_to_content
from ..records import (
    DisparityMap,
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
from ..records.checks import Record, brief
from ..triangulation.points import point_map, triangulate_between
from .cameras import cameras_of, pinhole_views, refuse_same_pixels
from .choose import RankedPair, first_that_works
from .clock import Clock, MemoryMeter, Progress
from .config import Config, ConfigOptions, config_with
from .dense import match_pair, rectify_within_memory, without_repeated_rows
from .fisheye import FisheyeFound, look_for_fisheye
from .gravity import find_gravity
from .memory import reduced_pixels, require_smallest_run
from .metric import metric_pose
from .networks import check_networks
from .overlay import without_overlay
from .pose import features_within_memory, find_matches, pose_with_fallback
from .pose_findings import pose_findings
from .refusals import featureless_photos_named, refuse_other_projections
from .result import Result
from .scale import known_scale, scale_points, scale_view
from .sources import Collection, PhotoSource, Source, chosen_finding, open_source, ranking_lines, use_source
from .support import drop_unsupported
from .surface import add_pose_sigma, mesh_with_fallback, texture_and_sigma
from .target_scale import targets_of
from .upright import turn_upright
from .window import settle_window

log = logging.getLogger(__name__)
STAGES = ("photos", "features", "pose", "rectify", "disparity", "points", "mesh")
MAX_SIGMA_SAMPLES = 50_000  # points sampled to estimate the median relative depth sigma


def reconstruct(
    left: PhotoSource | Sequence[PhotoSource],
    right: PhotoSource | None = None,
    rig: Rig | None = None,
    config: Config | None = None,
    *,
    progress: Progress | None = None,
    meter: MemoryMeter | None = None,
    reserve: float = 0,
    **options: Unpack[ConfigOptions],
) -> Result:
    """Reconstruct a textured mesh from two photos: every stage in order.

    Parameters
    ----------
    left, right : photo
        A path; the bytes of a file, or a file opened in binary mode (`read_photo`); a PIL image; an array (H, W, 3)
        uint8, RGB; or a `Photo`. The first is camera 1, whichever side it was taken from. Without `right`: a file that
        holds both (`read_pair`), or a folder of photos, a video, or a list of photos, whose best pair is taken.
    rig : Rig, optional
        The cameras, and their pose where it is known; else from config.calib, else from the file, EXIF and the pair.
    config : Config, optional
    **options
        Fields of `Config`, such as `matcher="sgm", max_size=1200`; they replace those of `config`.
    progress, meter : optional
        Called when a stage begins: see `Progress`; measures its peak memory, by default `SampledPeak`.
    reserve : float
        Bytes that the caller will take for files beside the mesh: they are left free of `config.max_memory`.

    Returns
    -------
    Result
        Points and mesh in the frame of camera 1, unit `Result.unit`, with verdict and findings.

    Raises
    ------
    StereoError
        Where the input cannot give a mesh: code, numbers, remedy.
    TypeError
        For a misspelt option, with the nearest name.
    ValueError
        For a photo, rig or config of another kind.
    """
    config = config_with(config, options, "reconstruct", ("rig", "config", "progress", "meter", "reserve"))
    clock = Clock(progress, meter)
    prepared = prepare(left, right, rig, config, clock=clock, reserve=reserve)
    rig, config, matches = prepared.rig, prepared.config, prepared.matches

    with clock("disparity", matching_work(prepared.pair, prepared.d_range, config.matcher), config.matcher):
        fused, right_pixels, unsupported = _supported_surfaces(prepared, config)
        prepared = replace(prepared, pair=prepared.pair.without_padding())

    with clock("points", int(np.isfinite(fused.disparity).sum())):
        cloud = _triangulate(fused, right_pixels, prepared, config)
    points, sigma, view = cloud.points, cloud.sigma, cloud.view

    with clock("mesh", cloud.count, config.mesher):
        mesh, fallback = mesh_with_fallback(points, sigma, cloud.between, config, prepared.pair)
        mesh = texture_and_sigma(mesh, prepared.left, prepared.right, matches, view, rig)
    clock.progress("done", 0, "")
    return _result(prepared, fused, cloud, mesh, [*unsupported, *cloud.findings, *fallback], clock)


# The first half: photos, features, pose, rectification.


@dataclass(frozen=True, eq=False, repr=False)
class Prepared(Record):
    """The first half of a run: everything up to the rectified pair and its disparity range.

    Attributes
    ----------
    rig : Rig
        The cameras as given, before the estimate; `view.rig` holds the refined ones.
    d_range : (lo, hi)
        px.
    config : Config
        As given, with what the file of the photos states.
    gravity : (3,) float64, optional
        Its direction in the frame of camera 1.
    """

    left: Photo
    right: Photo
    rig: Rig
    matches: Matches
    view: TwoView
    findings: list[Finding]
    pair: RectifiedPair
    d_range: tuple[float, float]
    config: Config
    gravity: np.ndarray | None = None

    def _summary(self) -> Iterator[str]:
        yield f"{self.left.size[0]} x {self.left.size[1]} and {self.right.size[0]} x {self.right.size[1]} px"
        yield f"{int(self.view.inliers.sum())} of {len(self.matches)} matches agree"
        yield f"{self.pair.kind} {self.pair.left.shape[1]} x {self.pair.left.shape[0]} px"
        yield f"d_range={brief(tuple(self.d_range))}"
        yield f"{len(self.findings)} findings"


def prepare(
    left: PhotoSource | Sequence[PhotoSource],
    right: PhotoSource | None = None,
    rig: Rig | None = None,
    config: Config | None = None,
    *,
    clock: Clock | None = None,
    reserve: float = 0,
    **options: Unpack[ConfigOptions],
) -> Prepared:
    """Run the first half of `reconstruct`, photos to rectified pair; arguments and errors as there."""
    config = config_with(config, options, "prepare", ("rig", "config", "clock", "reserve"))
    if rig is not None and not isinstance(rig, Rig):
        raise ValueError(f"rig must be a Rig, got {type(rig).__name__}; a Config is named: config=...")
    clock = clock or Clock()
    check_networks(config)
    require_smallest_run(left, right, config, reserve)
    with clock("photos"):
        opened = open_source(left, right, config)
        source = None if isinstance(opened, Collection) else use_source(opened, rig, config)
    if source is not None:
        return _prepare_pair(source, clock, reserve)
    assert isinstance(opened, Collection)
    _log_ranking(opened)
    begun = len(clock.stages)

    def attempt(chosen: RankedPair) -> Prepared:
        del clock.stages[begun:]
        return _prepare_pair(use_source(opened.pair(chosen), rig, config), clock, reserve)

    chosen, prepared = first_that_works(opened.ranked, attempt)
    return replace(prepared, findings=[*prepared.findings, chosen_finding(opened, chosen)])


def _prepare_pair(source: Source, clock: Clock, reserve: float) -> Prepared:
    """Photos, as they will be used, to rectified pair; reserve: as in `reconstruct`."""
    begun = len(clock.stages)
    try:
        return _prepare_cameras(source, clock, reserve)
    except FisheyeFound as found:
        del clock.stages[begun:]
        told = replace(source, findings=[*source.findings, found.finding])
        return _prepare_cameras(told, clock, reserve, found)


def _prepare_cameras(source: Source, clock: Clock, reserve: float, lens: FisheyeFound | None = None) -> Prepared:
    """As `_prepare_pair`; lens: the cameras, where the matches have shown that they are fisheyes."""
    config, left, right = source.config, source.left, source.right
    if not config.force:
        refuse_same_pixels(left, right)
    known = {"given", "calibration"} if source.rig is not None else {"calibration"}  # --focal knows no principal point
    rig = cameras_of(left, right, source.rig, config)
    left, right, rig, turn_findings = turn_upright(left, right, rig, config)
    rig = lens.rig if lens else rig
    refuse_other_projections(left, right, rig, config, measured=source.rig is not None)
    left, right, rig, config, wide_findings = pinhole_views(left, right, rig, config)
    measured = bool({rig.cam1.source, rig.cam2.source} & known)
    _log_cameras(left, right, rig)
    targets = targets_of(left, right, config)

    config, size_findings = features_within_memory(left, right, config)
    with clock("features", _pixels(left, right, config.feature_size), config.detector):
        with featureless_photos_named(left, right):
            features, matches = find_matches(left, right, config, rig=rig)
        shown, (left, right, matches, overlay) = (left, right), without_overlay(left, right, matches, rig, config)
        findings = [
            *source.findings,
            *size_findings,
            *turn_findings,
            *wide_findings,
            *overlay,
            *copy_findings(matches, left, right, posed=rig.posed),
        ]
        _stop_at_errors(findings, config)
        counts = [len(f.x) for f in features]
        log.info("%s: %d and %d features, %d match both ways", config.detector, *counts, len(matches))

    with clock("pose", len(matches)):
        with featureless_photos_named(left, right):
            found = pose_with_fallback(left, right, features, matches, rig, config)
        look_for_fisheye(found, rig, config)
        found, window_findings = settle_window(left, right, found, config, measured=measured)
        findings += window_findings
        found, scale_findings = metric_pose(found, (left, right), targets, config)
        findings += scale_findings
        found = lens.told(found) if lens else found
        matches, rig, view = found.matches, found.pose.rig, found.pose.view
        findings += pose_findings(*shown, found, config, resampled=bool(wide_findings))
        _stop_at_errors(findings, config)
        _log_pose(view, rig, len(matches))
        gravity, gravity_findings = find_gravity(left, right, view, seed=config.seed)
        findings += gravity_findings

    with clock("rectify", _pixels(left, right, config.max_size)):
        inlier_x = matches.x1[view.inliers], matches.x2[view.inliers]
        pair, d_range, size_findings = rectify_within_memory(left, right, view, inlier_x, config, reserve)
        findings += [*row_findings(pair, parallax_px(pair, view, *inlier_x)), *size_findings]
        findings += panorama_findings(pair, matches, view, rig)
        needed = matching_bytes(pair, d_range, config.matcher, **config.of("matcher"))
        log.info(
            "rectified: %s, %s px; disparities %d to %d px will be searched, with %.2g GB",
            pair.kind,
            format_size(pair.left.shape[1::-1]),
            *d_range,
            needed / 1e9,
        )
    return Prepared(left, right, rig, matches, view, findings, pair, d_range, config, gravity)


def _stop_at_errors(findings: list[Finding], config: Config) -> None:
    """Raise the first finding that forbids a mesh; with config.force it stays a finding."""
    for finding in findings:
        if finding.severity == "error" and not config.force:
            advice = f"{finding.advice} --force shows what comes out nevertheless."
            raise StereoError(finding.code, finding.message, advice, **finding.numbers)


def _pixels(left: Photo, right: Photo, size: int) -> int:
    """Pixels of both photos reduced to this longer side."""
    return sum(reduced_pixels(photo, size) for photo in (left, right))


def _log_ranking(collection: Collection) -> None:
    for line in ranking_lines(collection, 5):
        log.info("%s", line)


def _log_cameras(left: Photo, right: Photo, rig: Rig) -> None:
    for photo, camera, which in ((left, rig.cam1, "first"), (right, rig.cam2, "second")):
        detail = camera.source_detail or camera.source
        log.info("%s photo: %s px, focal length %.0f px (%s)", which, format_size(photo.size), camera.focal, detail)


def _log_pose(view: TwoView, rig: Rig, matches: int) -> None:
    log.info(
        "pose %s: %d of %d matches agree, turned by %.3g degrees, direction %s",
        ("from the calibration" if rig.error.exact else "refined from the matches")
        if rig.posed
        else "estimated from the matches",
        view.inliers.sum(),
        matches,
        rotation_angle_deg(view.R),
        np.round(view.t / np.linalg.norm(view.t), 3),
    )


# The second half: supported surfaces, points and their uncertainty.


def _supported_surfaces(prepared: Prepared, config: Config) -> tuple[DisparityMap, RightViewPixels, list[Finding]]:
    """Both outputs of `match_pair` without repeated and floating surfaces, by the inliers of the pose; findings.

    They are those of the pair without padding.
    """
    pair, d_range, inliers = prepared.pair, prepared.d_range, prepared.matches[prepared.view.inliers]
    fused, right_pixels = match_pair(pair, d_range, config)
    inlier_x = inliers.x1, inliers.x2
    fused, right_pixels, findings = drop_unsupported(fused, right_pixels, pair, prepared.view, inlier_x, d_range)
    return *without_repeated_rows(fused, right_pixels, pair), findings


@dataclass(frozen=True, eq=False)
class _PointCloud:
    """The outcome of the stage "points".

    Attributes
    ----------
    view : TwoView
        In the unit of the points.
    count : int
        Number of known points of the map `points`.
    """

    points: np.ndarray
    sigma: np.ndarray
    between: RightViewPoints
    view: TwoView
    count: int
    coverage: float
    findings: list[Finding]


def _triangulate(fused: DisparityMap, right_pixels: RightViewPixels, prepared: Prepared, config: Config) -> _PointCloud:
    """Triangulate both outputs of `match_pair`; scale the points where the user knows a distance."""
    pair, view, findings = prepared.pair, prepared.view, []
    points, sigma = point_map(fused, pair, view)
    between = triangulate_between(right_pixels, pair, view)
    known = np.isfinite(points[..., 2])
    if not known.any():
        raise StereoError(
            "no_disparity",
            f"none of {known.size} pixels has a reliable disparity.",
            "Is there texture in the photos? Try --matcher sgbm or a larger --max-size.",
        )
    content, corner = crop_to_content(prepared.left)
    covered = coverage(pair, known, content.size, corner)
    if content.mask is not None:
        covered = min(1.0, covered / float(content.mask.mean()))
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
    return _PointCloud(points, sigma, between, view, int(known.sum()), covered, findings)


def _median_relative_sigma(points: np.ndarray, sigma: np.ndarray, matches: Matches, view: TwoView, rig: Rig) -> float:
    """Median of sigma over distance, the pose's part included, over a regular sample of the points."""
    known = np.flatnonzero(np.isfinite(points[..., 2]))
    sample = known[:: 1 + len(known) // MAX_SIGMA_SAMPLES]
    X = points.reshape(-1, 3)[sample]
    total = add_pose_sigma(X, sigma.ravel()[sample], matches, view, rig)
    return float(np.median(total / np.linalg.norm(X, axis=1)))


def _result(
    prepared: Prepared, fused: DisparityMap, cloud: _PointCloud, mesh: Mesh, findings: list[Finding], clock: Clock
) -> Result:
    """The result of these outcomes of the stages, judged; findings: of the second half."""
    view, matches, rig = cloud.view, prepared.matches, prepared.rig
    relative_sigma = _median_relative_sigma(cloud.points, cloud.sigma, matches, view, rig)
    findings = [
        *face_findings(len(mesh.faces), prepared.config.faces),
        *prepared.findings,
        *findings,
        *coverage_findings(cloud.coverage),
        *uncertainty_findings(relative_sigma, posed=rig.posed),
    ]
    verdict, summary = judge(findings, cloud.coverage, relative_sigma, int(view.inliers.sum()), view.rig.unit)
    return Result(
        config=prepared.config,
        left=prepared.left,
        right=prepared.right,
        rig=rig,
        matches=matches,
        view=view,
        findings=findings,
        pair=prepared.pair,
        d_range=prepared.d_range,
        disparity=fused.disparity,
        confidence=fused.confidence,
        points=cloud.points,
        sigma=cloud.sigma,
        mesh=mesh,
        stages=clock.stages,
        coverage=cloud.coverage,
        relative_sigma=relative_sigma,
        verdict=verdict,
        summary=summary,
        between=cloud.between,
        gravity=prepared.gravity,
    )
