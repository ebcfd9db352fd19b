"""Is this pair reconstructible, and if not why: Matches, TwoView, Rig, Photos -> Findings.

A finding is an "error" where no shape of this pair can be trusted, a "warning" where the measured risk comes with a
wrong or incomplete shape, else "info". `benchmarks/verdict.py` prints every statistic over good and bad pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from .epipolar import MAX_PIXEL, centred_pixels, pose_alone, sampson_jacobian
from .geometry import (
    angle_deg,
    decompose_essential,
    enforce_rotation,
    essential_from_pose,
    fit_homography,
    hom,
    homography_errors,
    ideal_pixels,
    intersect_rays,
    project,
    rotation_angle_deg,
    rotation_from_vector,
    sampson,
    undistort,
)
from .images.reduce import reduced_grey
from .least_squares import Schedule, State, damped_step, minimise
from .options import MAX_SIZE, Range, check_options, options_of
from .ransac import RobustProblem, ransac
from .records import Camera, Finding, Matches, Photo, Rig, TwoView

# Lengths in px are those of a photo of longer side 1600 (`photo_unit`), but no less than this share of the photo's own:
# features are no better than half a pixel of the photo, however small it is.
REFERENCE_SIDE = 1600.0  # px
MIN_UNIT = 0.4  # photo px

# The thresholds below are measured by `benchmarks/verdict.py` over good and bad pairs.
LOG_NFA_NO_OVERLAP = -10.0  # log10 of the number of false alarms; good pairs lie below -31
MIN_MATCHES = 40  # inliers; fewer are worth a warning
PARALLAX_NONE = 1.5  # px, 90 % residual after the best homography; good pairs keep 20
SHARE_NONE = 0.95  # of the matches that the homography holds; good pairs .66
PARALLAX_FLAT = 10.0  # px, as PARALLAX_NONE, of a scene that is nearly a plane
SHARE_FLAT = 0.72  # as SHARE_NONE, of a scene that is nearly a plane
FOCAL_TILT = 5.0  # degrees by which a wrong guess of the focal length turns the motion; more is worth a sentence
# Below this relative difference the two photos are assumed to share a lens (EXIF is known to 4 %); the one-lens test is
# invalid for two lenses.
ONE_LENS = 0.05
MIN_MATCHES_FOR_LENS = 60  # inliers; with fewer the focal length and distortion are not tested
MIN_LENS_SIGMAS = 8  # standard errors by which matches must contradict a lens
MIN_FOCAL_CHANGE = 1.15  # factor by which matches must contradict a focal length
MIN_LENS_GAIN = 0.9  # of the cost that is left when the contradicted parameter is freed
MIN_CORNER_BEND = 3.0  # px in the corner, of a lens that is called distorted
# Of rendered scenes 77 % come out at 10 degrees between the rays, 62 % at 18, 43 % at 27, 25 % at 36.
ANGLE_SMALL = 1.0  # degrees
ANGLE_LARGE = 25.0  # degrees
MIN_FORWARD_PARALLAX = 10  # px, about 5 % of depth; nearer to the epipole there is less
MAX_BLIND_SHARE = 0.03  # of the photo around the epipole
MAX_DIRECTION_SIGMA = 2.0  # degrees, standard error of the direction of t
MAX_RIVAL_COST = 1.3  # cost of another motion in that of the estimate; below it the matches do not decide
MIN_PX_PER_DEGREE = 0.02  # px that the matches see of a motion wrong by 1 degree; 0.3 px of noise then cost degrees
MANY_OUTLIERS = 0.5  # share of inliers below which outliers are reported
TOO_MANY_OUTLIERS = 0.3  # share of inliers below which they are a warning
MOVED_PX = 4.0  # px from the epipolar line of a thing that moved
MIN_MOVED = 20  # matches on a thing that moved
MIN_MOVED_SHARE = 0.03  # of all matches on a thing that moved
LARGE_MOVED_SHARE = 0.1  # of all matches; more is a warning
TURNED_DEG = 30.0  # roll between the photos that is reported
SCALE_NOTED = 1.4  # ratio of the sizes of a thing in both photos that is reported
LARGE_SCALE = 2.0  # one photo from half the distance: three quarters of its view are wasted
DIAGONAL_DEG = (15.0, 130.0)  # diagonal fields of view of ordinary lenses: 165 mm to 10 mm, 35 mm equivalent

# Where the depth error of rendered pairs begins to grow (`benchmarks/verdict.py --risk`).
BLUR = 1.7  # px at matching size, of both photos: 1.5 times the error at 1.6, twice at 2.1
BLUR_APART = 1.0  # px, of one photo alone, root of the difference of squares: twice at 1, five times at 1.4
MAX_CLIPPED = 0.25  # share of a photo that is black or white: 1.1 times at .16, 1.5 at .35, 3 at .6
MIN_GREY_RANGE = 40  # grey levels between the darkest and lightest hundredth: 1.4 times at 55, twice at 18
NOISE = 5.0  # grey levels at matching size, of cameras that are known; real photos have less than 1
NOISE_OF_FOCAL = 2.0  # grey levels, where the pair itself has to determine the focal length
REPEATED = 0.7  # share of places with a twin nearby: a shelf of folded laundry has .88, ordinary photos 0 to .6
EXPOSURE_NOTED = 1.5  # ratio of brightness that is reported
MIN_MATCHES_OF_PHOTOS = 8  # with fewer the photos' exposures are not compared

PHOTO_NAMES = ("first", "second")


def diagnose(matches: Matches, view: TwoView, rig: Rig, *, refined: TwoView | None = None) -> list[Finding]:
    """Judge the pair by its matches.

    Parameters
    ----------
    matches : Matches
        Photo pixels.
    view : TwoView
        The estimate; `view.rig` holds the refined cameras.
    rig : Rig
        The cameras as they were given, before the estimate.
    refined : TwoView, optional
        A later estimate, whose focal length is the one to report.

    Returns
    -------
    list of Finding
        Each code once. Errors: "no_overlap", "pure_rotation", and "flat_scene" where the focal length is a guess or
        two motions explain the plane.
    """
    unit = photo_unit(view.rig)
    x1, x2 = matches.x1[view.inliers], matches.x2[view.inliers]
    flat = [] if rig.posed else _flatness(view, rig, x1, x2, unit)
    findings = [*_overlap(matches, view), *flat]
    unsound = any(f.severity == "error" for f in findings)
    findings += camera_findings(view, refined or view, rig, x1, x2, unit, testable=not findings)
    findings += _baseline(view, x1, x2, unit)
    if unsound:  # there is no motion of which anything else could be said
        return findings + _outliers(matches, view, unit)
    if not rig.posed:
        findings += _stability(view, x1, x2, unit, bool(flat))
    return [*findings, *_forward(view, x1, x2, unit), *_outliers(matches, view, unit), *_arrangement(view, x1, x2)]


def photo_unit(rig: Rig) -> float:
    """Photo px in one px of the reference size."""
    return max(max(rig.cam1.size) / REFERENCE_SIDE, MIN_UNIT)


# ------------------------------------------------------------------------------- findings of the geometry


def _overlap(matches: Matches, view: TwoView) -> list[Finding]:
    log_nfa, count = false_alarms(matches, view), int(view.inliers.sum())
    if log_nfa > LOG_NFA_NO_OVERLAP:
        return [
            Finding(
                "no_overlap",
                "error",
                f"{count} of {len(matches)} matches agree on one camera motion, which "
                f"chance can do as well (log10 of expected false alarms {log_nfa:.1f}, "
                f"needed < {LOG_NFA_NO_OVERLAP:.0f}).",
                {"log10_nfa": log_nfa, "inliers": count, "matches": len(matches)},
                "Do both photos show the same thing? Take them from nearer to each other.",
            )
        ]
    if count < MIN_MATCHES:
        return [
            Finding(
                "few_matches",
                "warning",
                f"only {count} matches agree on the camera motion.",
                {"inliers": count},
                "More overlap, more texture, sharper photos.",
            )
        ]
    return []


def _flatness(view: TwoView, rig: Rig, x1: np.ndarray, x2: np.ndarray, unit: float) -> list[Finding]:
    """Do these matches determine the pose? Those of one homography do not: a turn on the spot, or one plane."""
    parallax, share = homography_residual(x1, x2, unit)
    numbers = {"parallax_px": parallax / unit, "homography_share": share}
    words = f"one homography explains {100 * share:.0f} % of the matches to {parallax:.1f} px"
    strictly = parallax < PARALLAX_NONE * unit and share > SHARE_NONE
    if strictly:
        # a lens fitted to a motion that does not exist hides the turn: test the cameras as given, too
        tested = [(*turn_residual(x1, x2, cameras), cameras.cam1.focal) for cameras in (view.rig, rig)]
        turn, factor, focal = min(tested)
        numbers["turn_px"] = turn / unit
        if turn < PARALLAX_NONE * unit:
            return [
                Finding(
                    "pure_rotation",
                    "error",
                    f"no parallax: {words}, and it is that of a camera that turned on the spot (to {turn:.1f} px).",
                    {**numbers, "focal_factor": factor * (focal / view.rig.cam1.focal)},
                    "Step sideways between the photos by about a tenth of the distance.",
                )
            ]
    elif parallax > PARALLAX_FLAT * unit or share < SHARE_FLAT:
        return []
    advice = "Include things at several depths, or step further sideways."
    severity, why = "warning", "the camera motion is uncertain"
    if strictly and {view.rig.cam1.source, view.rig.cam2.source} & {"prior", "estimated"}:
        severity, why = "error", "without a known focal length the camera motion is undetermined"
        advice = "Include things at several depths, or give the focal length (--focal-35mm)."
    else:
        # two motions explain one plane (Longuet-Higgins 1986), unless one of them puts points behind a camera
        rival, cost = rival_motion(x1, x2, view)
        if rival is not None and cost < MAX_RIVAL_COST:
            severity, why = "error", f"so does another camera motion, {rival:.0f} degrees off"
            numbers["rival_deg"] = rival
    begin = "the scene is one plane" if strictly else "the scene is nearly one plane"
    return [Finding("flat_scene", severity, f"{begin}: {words}; {why}.", numbers, advice)]


def _baseline(view: TwoView, x1: np.ndarray, x2: np.ndarray, unit: float) -> list[Finding]:
    angle = median_parallax_angle(x1, x2, view)
    if angle < ANGLE_SMALL:
        # dz/z = dx / (f angle), of half a reference pixel
        error = 0.5 * unit / (view.rig.cam1.focal * max(np.radians(angle), 1e-9))
        amount = f"half a pixel is {100 * error:.1f} % of depth" if error < 1 else "half a pixel is all of the depth"
        return [
            Finding(
                "small_baseline",
                "warning",
                f"the rays of a point meet at {angle:.2f} degrees (median): depth is uncertain, {amount}.",
                {"angle_deg": angle, "depth_error": min(error, 1e9)},
                "Step further sideways: 3 to 15 degrees are good.",
            )
        ]
    if angle > ANGLE_LARGE:
        return [
            Finding(
                "large_baseline",
                "warning",
                f"the rays of a point meet at {angle:.0f} degrees (median): much is hidden in one of the photos.",
                {"angle_deg": angle},
                "Take the photos nearer to each other.",
            )
        ]
    return []


def _forward(view: TwoView, x1: np.ndarray, x2: np.ndarray, unit: float) -> list[Finding]:
    """The epipole of photo 1 lies in it: towards it the parallax goes to zero, and depth becomes uncertain."""
    to_camera2 = -view.R.T @ view.t
    if abs(to_camera2[2]) < 1e-3 * np.linalg.norm(to_camera2):
        return []
    epipole = project(to_camera2, view.rig.cam1.K, dist=view.rig.cam1.dist)
    size = np.array(view.rig.cam1.size)
    if (epipole < 0).any() or (epipole > size - 1).any():
        return []
    # along a ray at r px from the epipole the parallax is s r, s = |t_z| / (z - t_z): the median of it over r
    d1 = hom(undistort(x1, view.rig.cam1.K, view.rig.cam1.dist))
    d2 = hom(undistort(x2, view.rig.cam2.K, view.rig.cam2.dist))
    sine = np.linalg.norm(np.cross(d1 @ view.R.T, d2), axis=1)
    sine /= np.linalg.norm(d1, axis=1) * np.linalg.norm(d2, axis=1)
    radius = np.linalg.norm(x1 - epipole, axis=1)
    slope = float(np.nanmedian(view.rig.cam1.focal * sine / np.maximum(radius, 1)))
    blind = min(MIN_FORWARD_PARALLAX * unit / max(slope, 1e-9), float(np.hypot(*size)))
    share = min(np.pi * blind**2 / float(size.prod()), 1.0)
    return [
        Finding(
            "forward_motion",
            "warning" if share > MAX_BLIND_SHARE else "info",
            "the camera moved towards the scene: depth is uncertain within about "
            f"{blind:.0f} px of ({epipole[0]:.0f}, {epipole[1]:.0f}) ({100 * share:.0f} % of the photo).",
            {"epipole_x": float(epipole[0]), "epipole_y": float(epipole[1]), "blind_px": blind, "blind_share": share},
            "Step sideways rather than forward.",
        )
    ]


def _stability(view: TwoView, x1: np.ndarray, x2: np.ndarray, unit: float, flat: bool) -> list[Finding]:
    """How well the matches determine the motion. flat: `_flatness` has compared other motions already."""
    findings = []
    sigma = direction_sigma_deg(x1, x2, view)
    if sigma > MAX_DIRECTION_SIGMA:
        findings.append(
            Finding(
                "unstable_pose",
                "warning",
                f"the direction of the camera's motion is uncertain by {sigma:.1f} degrees (standard error).",
                {"spread_deg": sigma},
                "More overlap, more parallax, or a known focal length (--focal-35mm).",
            )
        )
    rival, cost = (None, np.inf) if flat else rival_motion(x1, x2, view)
    if rival is not None and cost < MAX_RIVAL_COST:
        findings.append(
            Finding(
                "critical_surface",
                "warning",
                f"another camera motion, {rival:.0f} degrees off, explains the matches as "
                "well: the points lie on or near a critical surface.",
                {"rival_deg": rival, "rival_cost": cost},
                "Include things at several depths, or move another way.",
            )
        )
    elif (
        (seen := weakest_motion_px(x1, x2, view) / unit) < MIN_PX_PER_DEGREE
        and not flat
        and (sigma <= MAX_DIRECTION_SIGMA)
    ):
        findings.append(
            Finding(
                "critical_surface",
                "warning",
                f"a motion wrong by one degree moves the matches by {seen:.2f} px only: the "
                "points lie near a critical surface, and small errors of the lens can bend the shape.",
                {"px_per_degree": seen},
                "Include things at several depths, or step further sideways.",
            )
        )
    return findings


def _outliers(matches: Matches, view: TwoView, unit: float) -> list[Finding]:
    findings = []
    share = float(view.inliers.mean())
    if share < MANY_OUTLIERS:
        findings.append(
            Finding(
                "many_outliers",
                "warning" if share < TOO_MANY_OUTLIERS else "info",
                f"{100 * share:.0f} % of {len(matches)} matches agree with the camera motion.",
                {"inlier_share": share},
                "Repeated texture, moving things or little overlap do this.",
            )
        )
    moving = coherent_outliers(matches, view, MOVED_PX * unit)
    count = int(moving.sum())
    if count >= MIN_MOVED and count > MIN_MOVED_SHARE * len(matches):
        x, y = np.median(matches.x1[moving], axis=0)
        findings.append(
            Finding(
                "moving_objects",
                "warning" if count > LARGE_MOVED_SHARE * len(matches) else "info",
                f"{count} matches about "
                f"({x:.0f}, {y:.0f}) px agree with each other but not with the camera motion: something moved, or a "
                "pattern repeats.",
                {"matches": count, "share": count / len(matches), "x": x, "y": y},
                "Take both photos at once, or while nothing moves.",
            )
        )
    return findings


def _arrangement(view: TwoView, x1: np.ndarray, x2: np.ndarray) -> list[Finding]:
    """How the photos stand to each other, where that is unusual: the run has taken it into account."""
    findings = []
    centre2 = -view.R.T @ view.t
    if centre2[0] < -0.01 * np.linalg.norm(centre2):
        findings.append(
            Finding(
                "swapped",
                "info",
                "the first photo was taken from the right of the second; that is taken into account.",
                {"camera2_x": float(centre2[0])},
            )
        )
    roll = float(np.degrees(np.arctan2(view.R[1, 0] - view.R[0, 1], view.R[0, 0] + view.R[1, 1])))
    if abs(roll) > TURNED_DEG:
        findings.append(
            Finding(
                "turned",
                "info",
                f"the second photo is turned by {roll:.0f} degrees against the first; that is taken into account.",
                {"roll_deg": roll},
            )
        )
    scale = median_scale(x1, x2, view)
    if max(scale, 1 / scale) > SCALE_NOTED:
        near, factor = ("second", scale) if scale > 1 else ("first", 1 / scale)
        findings.append(
            Finding(
                "different_scale",
                "warning" if factor > LARGE_SCALE else "info",
                f"the {near} photo shows things {factor:.1f} times as large: it was taken from nearer, or zoomed in.",
                {"scale": scale},
                "Take both photos from about the same distance, with the same zoom.",
            )
        )
    return findings


# --------------------------------------------------------------------------------- findings of the cameras


def camera_findings(
    view: TwoView, refined: TwoView, rig: Rig, x1: np.ndarray, x2: np.ndarray, unit: float, testable: bool
) -> list[Finding]:
    """State the focal length, and whether the matches contradict it, the field of view or a lens without distortion."""
    camera = view.rig.cam1
    guess = camera.source == "prior" and not rig.posed and testable
    findings = [focal_finding(refined, focal_tilt(x1, x2, view) if guess else 0.0)]
    odd = _odd_field(camera) or _odd_field(view.rig.cam2)
    if odd:
        findings.append(
            Finding(
                "focal_implausible",
                "warning",
                f"a focal length of {odd[0]:.0f} px means a field of view of {odd[1]:.0f} "
                "degrees, which few lenses have.",
                {"field_deg": odd[1]},
                "Check --focal, --fov or the calibration.",
            )
        )
    if testable and not rig.posed and len(x1) >= MIN_MATCHES_FOR_LENS:
        findings += _lens(view, x1, x2, unit, bool(odd))
        if not any(f.code == "focal_implausible" for f in findings):
            findings += _one_exif(view, rig, x1, x2)
    return findings


def focal_finding(view: TwoView, tilt: float) -> Finding:
    """State the focal length of the first camera and how it is known.

    Parameters
    ----------
    view : TwoView
        The estimate.
    tilt : float
        Degrees by which the motion may be wrong where the focal length is a guess (`focal_tilt`).

    Returns
    -------
    Finding
        "focal", or "focal_unknown" where it is a guess.
    """
    camera = view.rig.cam1
    numbers = {"focal1_px": camera.focal, "focal2_px": view.rig.cam2.focal}
    if view.focal_sigma is not None:
        numbers["focal_sigma"] = view.focal_sigma
    source = {
        "given": "given",
        "calibration": "from the calibration",
        "exif": "from the photo's EXIF",
        "estimated": "estimated from the two photos",
        "prior": "a guess",
    }.get(camera.source, camera.source)
    message = f"focal length {camera.focal:.0f} px, {source}"
    if camera.source_detail:
        message += f" ({camera.source_detail})"
    if camera.source != "prior":
        return Finding("focal", "info", message + ".", numbers)
    return Finding(
        "focal_unknown",
        "warning",
        f"{message}: the pair does not determine it, so depth may be stretched or squeezed by "
        f"a factor of about {PRIOR_FACTOR:g}"
        + (f", and the camera motion be {tilt:.0f} degrees off." if tilt > FOCAL_TILT else "."),
        {**numbers, "stretch": PRIOR_FACTOR, "motion_deg": tilt},
        "Give --focal-35mm (phones: 24 to 28) or a calibration.",
    )


def _odd_field(camera: Camera) -> tuple[float, float] | None:
    """Focal length (px) and diagonal field of view (degrees) where few lenses have it."""
    field = 2 * np.degrees(np.arctan(np.hypot(*camera.size) / 2 / camera.focal))
    return None if DIAGONAL_DEG[0] <= field <= DIAGONAL_DEG[1] else (camera.focal, float(field))


def _lens(view: TwoView, x1: np.ndarray, x2: np.ndarray, unit: float, odd: bool) -> list[Finding]:
    """Do the matches contradict the focal length, or the missing lens distortion?"""
    focal, k1 = freed_parameters(x1, x2, view)
    findings = []
    known = view.rig.cam1.source in ("given", "calibration", "exif")
    if known and not odd and _contradicted(focal, k1):
        where = "that is given" if view.rig.cam1.source != "exif" else "that is in the EXIF"
        findings.append(_implausible(focal, f"the one {where} better."))
    half = np.hypot(*view.rig.cam1.size) / 2
    to_corner = half**3 / view.rig.cam1.focal**2  # px in the corner for a k1 of 1
    corner = k1.value * to_corner
    certain = abs(corner) > max(MIN_LENS_SIGMAS * k1.sigma * to_corner, MIN_CORNER_BEND * unit)
    undistorted = not np.any(view.rig.cam1.dist)
    if undistorted and certain and k1.cost < MIN_LENS_GAIN * min(1.0, focal.cost):
        findings.append(
            Finding(
                "lens_distortion",
                "info",
                f"the lens seems to bend the corners by {abs(corner):.0f} px "
                f"({'barrel' if corner < 0 else 'pincushion'}).",
                {"corner_px": float(corner)},
                "A calibration of the camera (stereo3d calibrate) would take it out.",
            )
        )
    return findings


def _contradicted(focal: "FreedParameter", k1: "FreedParameter") -> bool:
    """Do the matches ask for another focal length? A distorted lens looks alike: only if that explains them worse."""
    far = abs(focal.value) > max(MIN_LENS_SIGMAS * focal.sigma, np.log(MIN_FOCAL_CHANGE))
    return bool(far and focal.cost < MIN_LENS_GAIN * min(1.0, k1.cost))


def _implausible(focal: "FreedParameter", words: str) -> Finding:
    factor = float(np.exp(focal.value))
    return Finding(
        "focal_implausible",
        "warning",
        f"the matches fit a focal length {factor:.2f} times {words}",
        {"focal_factor": factor, "log_focal_deviation": focal.sigma},
        "Were the photos cropped or taken with another zoom? Check --focal-35mm or the calibration.",
    )


def _one_exif(view: TwoView, rig: Rig, x1: np.ndarray, x2: np.ndarray) -> list[Finding]:
    """Of a pair of which one photo has EXIF: do the matches contradict it, if one lens took both?

    Two lenses with centres of their own fit nearly any focal length. Photos of one size whose focal lengths come out
    alike are of one lens, which the EXIF's must fit as it is.
    """
    cams = rig.cam1, rig.cam2
    sources = [c.source for c in cams]
    alike = abs(np.log(view.rig.cam2.focal / view.rig.cam1.focal)) < ONE_LENS and cams[0].size == cams[1].size
    if not alike or sorted(sources) != ["exif", "prior"]:
        return []
    which = sources.index("exif")
    focal, k1 = freed_parameters(x1, x2, replace(view, rig=Rig(cams[which], cams[which])))
    if not _contradicted(focal, k1):
        return []
    return [
        _implausible(focal, f"the one in the EXIF of the {PHOTO_NAMES[which]} photo better, if one camera took both.")
    ]


# ---------------------------------------------------------------------------------- findings of the photos


def photo_findings(
    left: Photo,
    right: Photo,
    matches: Matches,
    *,
    max_size: Annotated[int, Range(16, 32000)] = MAX_SIZE,
    focal_sought: bool = False,
) -> list[Finding]:
    """Judge the photos themselves: blur, noise, exposure, repeated texture.

    Parameters
    ----------
    left, right : Photo
        The first and the second photo.
    matches : Matches
        Those that agree with the camera motion.
    max_size : int
        px, the longer side at which the photos are matched.
    focal_sought : bool
        Whether the pair itself has to determine the focal length, which bears less noise.

    Returns
    -------
    list of Finding

    Raises
    ------
    StereoError
        "bad_option" for an option out of its bounds.
    """
    given = {"max_size": max_size, "focal_sought": focal_sought}
    max_size, focal_sought = check_options("photos", options_of(photo_findings), given).values()
    greys = [reduced_grey(photo, max_size)[0] for photo in (left, right)]
    scales = [min(1.0, max_size / max(photo.size)) for photo in (left, right)]
    findings = [*_blur(greys), *_noise(greys, focal_sought), *_exposure((left, right), greys)]
    if len(matches) >= MIN_MATCHES_OF_PHOTOS:
        x1, x2 = (matches.x1 + 0.5) * scales[0] - 0.5, (matches.x2 + 0.5) * scales[1] - 0.5
        findings += [*_different_exposure(greys, x1, x2), *_repeated_texture(greys[0], x1)]
    return findings


def _blur(greys: Sequence[np.ndarray]) -> list[Finding]:
    blurs = [blur_width(grey) for grey in greys]
    worse = int(blurs[1] > blurs[0])
    apart = float(np.sqrt(blurs[worse] ** 2 - blurs[1 - worse] ** 2))
    if blurs[worse] <= BLUR and apart <= BLUR_APART:
        return []
    than = f", those of the {PHOTO_NAMES[1 - worse]} {blurs[1 - worse]:.1f} px" if apart > BLUR_APART else ""
    return [
        Finding(
            "blur",
            "warning",
            f"the {PHOTO_NAMES[worse]} photo is blurred: its edges are {blurs[worse]:.1f} px wide "
            f"(standard deviation) at {max(greys[worse].shape)} px{than}.",
            {"blur_px": blurs[worse], "apart_px": apart},
            "Hold the camera still and focus on the thing.",
        )
    ]


def _noise(greys: Sequence[np.ndarray], focal_sought: bool) -> list[Finding]:
    noises = [noise_level(grey) for grey in greys]
    worse = int(noises[1] > noises[0])
    if noises[worse] <= (NOISE_OF_FOCAL if focal_sought else NOISE):
        return []
    focal = ", and the focal length, which the pair itself has to determine, may be wrong" if focal_sought else ""
    return [
        Finding(
            "noise",
            "warning",
            f"the {PHOTO_NAMES[worse]} photo is noisy: {noises[worse]:.1f} grey levels of 255 (standard "
            f"deviation) at {max(greys[worse].shape)} px; depth is rough{focal}.",
            {"noise_levels": noises[worse]},
            "More light or a lower ISO; photos of more pixels, which are averaged"
            + ("; or give the focal length (--focal-35mm)." if focal_sought else "."),
        )
    ]


def _exposure(photos: Sequence[Photo], greys: Sequence[np.ndarray]) -> list[Finding]:
    clipped = [clipped_share(photo) for photo in photos]
    worse = int(clipped[1] > clipped[0])
    if clipped[worse] > MAX_CLIPPED:
        return [
            Finding(
                "bad_exposure",
                "warning",
                f"{100 * clipped[worse]:.0f} % of the {PHOTO_NAMES[worse]} photo is black or white without detail.",
                {"clipped_share": clipped[worse]},
                "Expose for the thing itself.",
            )
        ]
    ranges = [float(np.ptp(np.quantile(grey[::3, ::3], [0.01, 0.99]))) for grey in greys]
    if min(ranges) < MIN_GREY_RANGE:
        worse = int(ranges[1] < ranges[0])
        return [
            Finding(
                "bad_exposure",
                "warning",
                f"the {PHOTO_NAMES[worse]} photo has hardly any contrast: {ranges[worse]:.0f} grey "
                "levels of 255 between its dark and its light.",
                {"grey_range": ranges[worse]},
                "More light, or a longer exposure.",
            )
        ]
    return []


def _different_exposure(greys: Sequence[np.ndarray], x1: np.ndarray, x2: np.ndarray) -> list[Finding]:
    gain = exposure_ratio(greys[0], greys[1], x1, x2)
    if max(gain, 1 / gain) <= EXPOSURE_NOTED:
        return []
    name, factor = ("second", gain) if gain > 1 else ("first", 1 / gain)
    return [
        Finding(
            "different_exposure",
            "info",
            f"the {name} photo is {factor:.1f} times as bright; the matching does not mind.",
            {"ratio": gain},
            "Lock the exposure.",
        )
    ]


def _repeated_texture(grey: np.ndarray, x: np.ndarray) -> list[Finding]:
    repeated = repeated_share(grey, x)
    if repeated <= REPEATED:
        return []
    return [
        Finding(
            "repeated_texture",
            "info",
            f"{100 * repeated:.0f} % of the places looked at have a twin nearby: a "
            "pattern repeats, and the matching may take one for the other.",
            {"repeated_share": repeated},
            "Include something that is there only once.",
        )
    ]


def blur_width(grey: np.ndarray) -> float:
    """s = s0 / sqrt(q^2 - 1): standard deviation, px, of the blur of the sharpest edges, the wider of x and y.

    q is |d g| over |d (g * G(s0))| at the edges, G a Gaussian of s0 = 1 px; for a step edge blurred by G(s) that is
    sqrt(s^2 + s0^2) / s. Measured along x and along y separately, since a camera that moves blurs one way. Below 1 px
    it comes out too wide by up to a third (the derivative is a difference over two pixels).

    Parameters
    ----------
    grey : (H, W) uint8
        Picture.

    Returns
    -------
    float
        px; 0 where there are too few edges.

    References
    ----------
    Zhuo and Sim, Defocus map estimation from a single image, 2011.
    """
    import cv2

    g = grey.astype(np.float32)
    blurred = cv2.GaussianBlur(g, ksize=(0, 0), sigmaX=1.0)
    widths = []
    for axis in (0, 1):
        a, b = (np.abs(np.gradient(p, axis=axis)) for p in (g, blurred))
        edge = a >= max(float(np.quantile(a[::3, ::3], 0.98)), 2.0)
        if edge.sum() < 50:
            continue
        q = np.median(a[edge] / np.maximum(b[edge], 1e-3))
        widths.append(1 / np.sqrt(max(q * q - 1, 1e-4)))
    return float(max(widths, default=0.0))


def noise_level(grey: np.ndarray, *, block: int = 32) -> float:
    """n^2 = (4 s1^2 - s2^2) / 3: standard deviation of the noise, grey levels, in the flattest blocks.

    s1 and s2 are the root mean squares of the diagonal details (a - b - c + d) / 2 of squares of 2 x 2 px, and of the
    sums (a + b + c + d) / 2 of such squares (Haar's wavelet at two scales); the median of the blocks counts. White
    noise has s1 = s2 = n, while the picture of a lens has at least twice the detail at the next scale, so that texture
    counts for nothing; where it hides the noise the value is too low.

    Parameters
    ----------
    grey : (H, W) uint8
        Picture.
    block : int
        px. The quarter of the blocks with the least s2 is used, none that is nearly black or white, where noise is cut
        off.

    Returns
    -------
    float
        Grey levels; 0 where fewer than 4 blocks are left.

    References
    ----------
    Donoho and Johnstone, Ideal spatial adaptation by wavelet shrinkage, 1994, for noise by the finest details.
    """
    h, w = (n // block for n in grey.shape)

    def squares(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a, b, c, d = x[::2, ::2], x[::2, 1::2], x[1::2, ::2], x[1::2, 1::2]
        return (a - b - c + d) / 2, (a + b + c + d) / 2

    def blocks(x: np.ndarray) -> np.ndarray:
        n = len(x) // max(h, 1)
        return x.reshape(h, n, w, n).swapaxes(1, 2).reshape(h * w, n * n)

    if h * w < 4:
        return 0.0
    fine, sums = squares(grey[: h * block, : w * block].astype(np.float32))
    coarse, _ = squares(sums)
    level = blocks(sums) / 2
    inside = (level.min(1) > 16) & (level.max(1) < 239)
    if inside.sum() < 4:
        return 0.0
    s1, s2 = ((blocks(detail)[inside] ** 2).mean(1) for detail in (fine, coarse))
    flat = s2 <= np.quantile(s2, 0.25)
    return float(np.sqrt(max(0.0, (4 * np.median(s1[flat]) - np.median(s2[flat])) / 3)))


def clipped_share(photo: Photo) -> float:
    """Share of the pixels whose channels are all below 4 or all above 251, of some 400 rows and columns."""
    pixels = photo.pixels[:: max(1, photo.size[1] // 400), :: max(1, photo.size[0] // 400)]
    return float(((pixels < 4).all(-1) | (pixels > 251).all(-1)).mean())


def exposure_ratio(grey1: np.ndarray, grey2: np.ndarray, x1: np.ndarray, x2: np.ndarray) -> float:
    """Median ratio of the brightness of photo 2 to that of photo 1 at the matches, in the files' own grey levels.

    Parameters
    ----------
    grey1, grey2 : (H, W) uint8
        Pictures; the brightness is the mean of 8 x 8 px.
    x1, x2 : (N, 2) float64
        Matches, px of these pictures.

    Returns
    -------
    float
    """
    import cv2

    means = []
    for grey, x in ((grey1, x1), (grey2, x2)):
        mean = cv2.blur(grey.astype(np.float32), ksize=(8, 8))
        i = np.clip(np.rint(x).astype(int), 0, [grey.shape[1] - 1, grey.shape[0] - 1])
        means.append(mean[i[:, 1], i[:, 0]] + 1)
    return float(np.median(means[1] / means[0]))


def repeated_share(grey: np.ndarray, x: np.ndarray, *, places: int = 60, radius: int = 7, reach: int = 100) -> float:
    """Share of the places whose patch has a twin: normalised correlation above 0.9 elsewhere nearby.

    Parameters
    ----------
    grey : (H, W) uint8
        Picture.
    x : (N, 2) float64
        Places, px.
    places : int
        Places at most.
    radius : int
        px; patches of (2 radius + 1)^2 px, twins farther than 2 radius.
    reach : int
        px; twins nearer than this.

    Returns
    -------
    float
        0 to 1; 0 where the picture is too small.
    """
    import cv2

    h, w = grey.shape
    margin = radius + reach
    fits = ((x > radius) & (x < [w - radius - 1, h - radius - 1])).all(1)
    x = np.rint(x[fits]).astype(int)
    if len(x) == 0 or min(h, w) < 2 * margin:
        return 0.0
    x = x[np.linspace(0, len(x) - 1, min(places, len(x))).astype(int)]
    twins = 0
    for u, v in x:
        patch = grey[v - radius : v + radius + 1, u - radius : u + radius + 1]
        top, left = max(v - margin, 0), max(u - margin, 0)
        around = grey[top : v + margin + 1, left : u + margin + 1]
        score = cv2.matchTemplate(image=around, templ=patch, method=cv2.TM_CCOEFF_NORMED)
        cv, cu = v - radius - top, u - radius - left
        score[max(cv - 2 * radius, 0) : cv + 2 * radius + 1, max(cu - 2 * radius, 0) : cu + 2 * radius + 1] = -1
        twins += bool(score.max() > 0.9)
    return twins / len(x)


# ----------------------------------------------------------------------------------------------------- statistics

FOCAL_FACTORS = (0.4, 2.5)  # of the focal length as it is known: if that is wrong, the true one lies between them
SAME_PHOTO_PX = 0.5  # px of the reference size; less motion is none
HOMOGRAPHY_PX = 3  # px of the reference size, of a match that belongs to the homography
TURN_ROUNDS = 4  # of fitting a turn without the worst matches
TURN_OUTLIER = 3  # median errors; a wrong match that lies on its epipolar line must not pull at the turn
NEIGHBOURS = 8  # outliers nearest to an outlier that are compared with it
MIN_ALIKE = 5  # of them that must move as it does


def same_photo(matches: Matches, size1: tuple[int, int], size2: tuple[int, int]) -> float | None:
    """Return the motion of two pictures that are one: 90 % quantile of |x1 - x2|, below half a reference pixel.

    Parameters
    ----------
    matches : Matches
        Photo pixels.
    size1, size2 : (int, int)
        Width and height of the photos, px.

    Returns
    -------
    float or None
        px; None where the pictures differ.
    """
    if size1 != size2 or len(matches) == 0:
        return None
    motion = float(np.quantile(np.linalg.norm(matches.x1 - matches.x2, axis=1), 0.9))
    return motion if motion < SAME_PHOTO_PX * max(size1) / REFERENCE_SIDE else None


def false_alarms(matches: Matches, view: TwoView) -> float:
    """NFA(k) = (n - 5) C(n, k) C(k, 5) alpha_k^(k - 5): log10 of the number of false alarms of the epipolar geometry.

    alpha_k = 2 D / A times the k-th smallest distance to the epipolar line (D diagonal, A area of picture 2); the
    least over k. Below 0: not expected once in random matches.

    Parameters
    ----------
    matches : Matches
        All, inliers or not.
    view : TwoView
        The epipolar geometry.

    Returns
    -------
    float

    References
    ----------
    Moisan and Stival, A probabilistic criterion to detect rigid point matches between two images, 2004.
    """
    from scipy.special import gammaln

    rig = view.rig
    x1, x2 = (ideal_pixels(x, c.K, c.dist) for x, c in ((matches.x1, rig.cam1), (matches.x2, rig.cam2)))
    distance = np.sort(np.nan_to_num(np.abs(sampson(view.F, x1, x2)), nan=np.inf))
    n = len(distance)
    if n <= 6:
        return 0.0
    w, h = rig.cam2.size
    k = np.arange(6, n + 1)
    distance = np.minimum(distance, w * h)  # px; farther lies no picture, and the product would overflow
    alpha = np.clip(2 * np.hypot(w, h) / (w * h) * np.maximum(distance[5:], 0.05), 1e-12, 1.0)

    def log_binomial(a: int | np.ndarray, b: int | np.ndarray) -> np.ndarray:
        return gammaln(a + 1) - gammaln(b + 1) - gammaln(a - b + 1)

    # five-point samples give up to ten models
    log_nfa = np.log(10.0 * (n - 5)) + log_binomial(n, k) + log_binomial(k, 5) + (k - 5) * np.log(alpha)
    return float(log_nfa.min() / np.log(10))


def homography_residual(x1: np.ndarray, x2: np.ndarray, unit: float = 1.0) -> tuple[float, float]:
    """Measure what one homography leaves: 90 % quantile of |x2 - H x1|, H the one that explains most matches.

    Parameters
    ----------
    x1, x2 : (N, 2) float64
        Matches, px.
    unit : float
        Photo px in one px of the reference size; a match belongs to the homography within 3 units.

    Returns
    -------
    residual, share : float
        px, and the share of the matches that belong to the homography.
    """
    problem = RobustProblem(
        len(x1),
        4,
        lambda sample: fit_homography(x1[sample], x2[sample]),
        lambda H, which: homography_errors(H, x1[which], x2[which]),
        lambda _, agree: fit_homography(x1[agree], x2[agree]) if len(agree) >= 4 else None,
    )
    estimate = ransac(problem, threshold=HOMOGRAPHY_PX * unit, seed=0)
    if estimate is None:
        return float("inf"), 0.0
    r = np.minimum(homography_errors(estimate.model, x1, x2), MAX_PIXEL)
    return float(np.quantile(r, 0.9)), float(estimate.inliers.mean())


def turn_residual(x1: np.ndarray, x2: np.ndarray, rig: Rig) -> tuple[float, float]:
    """Measure what a turn leaves: 90 % quantile of |x2 - K2 R K1^-1 x1|, with the best R and common factor of focals.

    A turn seen with a wrong focal length fits no rotation, but a parallax that the wrong focal makes look like depth
    goes away with the right one.

    Parameters
    ----------
    x1, x2 : (N, 2) float64
        Matches, photo px.
    rig : Rig
        The cameras.

    Returns
    -------
    residual, factor : float
        px of photo 2, and the factor of both focal lengths, within `FOCAL_FACTORS`.

    References
    ----------
    Kabsch 1976; Horn 1987 (the rotation of the least squared differences of unit rays, without the worst).
    """
    from scipy.optimize import minimize_scalar

    y1, y2 = undistort(x1, rig.cam1.K, rig.cam1.dist), undistort(x2, rig.cam2.K, rig.cam2.dist)
    known = np.isfinite(y1).all(1) & np.isfinite(y2).all(1)
    y1, y2 = y1[known], y2[known]

    def residual(log_factor: float) -> float:
        return _turn_error(y1, y2, np.exp(log_factor), rig.cam2.focal)

    ladder = np.linspace(np.log(FOCAL_FACTORS[0]), np.log(FOCAL_FACTORS[1]), 13)
    k = int(np.argmin([residual(a) for a in ladder]))
    around = ladder[max(k - 1, 0)], ladder[min(k + 1, len(ladder) - 1)]
    best = minimize_scalar(residual, bounds=around, method="bounded", options={"xatol": 1e-3})
    return float(best.fun), float(np.exp(best.x))


def _turn_error(y1: np.ndarray, y2: np.ndarray, factor: float, focal2: float) -> float:
    """90 % quantile (px) of what the best rotation leaves, both focal lengths multiplied by `factor`."""
    d1, d2 = (hom(y / factor) for y in (y1, y2))
    d1, d2 = (d / np.linalg.norm(d, axis=1, keepdims=True) for d in (d1, d2))
    keep, error = np.ones(len(d1), bool), np.full(len(d1), np.inf)
    for _ in range(TURN_ROUNDS):
        p = d1 @ enforce_rotation(d2[keep].T @ d1[keep]).T
        ahead = np.where(p[:, 2] > 0.05, p[:, 2], np.nan)
        error = np.linalg.norm(factor * p[:, :2] / ahead[:, None] - y2, axis=1)
        error = np.nan_to_num(focal2 * error, nan=1e6)
        keep = error <= TURN_OUTLIER * np.median(error)
    return float(np.quantile(error, 0.9))


def median_parallax_angle(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> float:
    """Median angle, degrees, between the two rays of a match. x1, x2: (N, 2) photo px."""
    d1 = hom(undistort(x1, view.rig.cam1.K, view.rig.cam1.dist)) @ view.R.T
    d2 = hom(undistort(x2, view.rig.cam2.K, view.rig.cam2.dist))
    sine = np.linalg.norm(np.cross(d1, d2), axis=1)
    return float(np.degrees(np.nanmedian(np.arctan2(sine, np.sum(d1 * d2, 1)))))


def coherent_outliers(matches: Matches, view: TwoView, distance: float) -> np.ndarray:
    """Find matches far from their epipolar line that move as their neighbours do; false matches move at random.

    Of the 8 nearest such matches in photo 1 at least 5 must have the same displacement to a tenth of how far away they
    are, and to 2 `distance`.

    Parameters
    ----------
    matches : Matches
        All, inliers or not.
    view : TwoView
        The epipolar geometry.
    distance : float
        px from the epipolar line that is far.

    Returns
    -------
    (N,) bool
    """
    from scipy.spatial import KDTree

    rig = view.rig
    y1, y2 = (ideal_pixels(x, c.K, c.dist) for x, c in ((matches.x1, rig.cam1), (matches.x2, rig.cam2)))
    off = np.nan_to_num(np.abs(sampson(view.F, y1, y2)), nan=0.0)
    which = np.flatnonzero((off > distance) & ~view.inliers)
    coherent = np.zeros(len(matches), bool)
    if len(which) < NEIGHBOURS + 1:
        return coherent
    shift = (matches.x2 - matches.x1)[which]
    near = np.asarray(KDTree(matches.x1[which]).query(matches.x1[which], k=NEIGHBOURS + 1)[1])[:, 1:]
    apart = np.linalg.norm(shift[near] - shift[:, None], axis=2)
    allowed = 2 * distance + 0.1 * np.linalg.norm(matches.x1[which][near] - matches.x1[which][:, None], axis=2)
    coherent[which[(apart < allowed).sum(1) >= MIN_ALIKE]] = True
    return coherent


def median_scale(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> float:
    """Median of z1 / z2, the depths of the matched points in the two cameras: how much nearer photo 2 was taken."""
    d1, d2 = (hom(undistort(x, c.K, c.dist)) for x, c in ((x1, view.rig.cam1), (x2, view.rig.cam2)))
    z1 = intersect_rays(d1, d2, view.R, view.t)
    z2 = ((z1[:, None] * d1) @ view.R.T + view.t)[:, 2]
    ahead = (z1 > 0) & (z2 > 0)
    return float(np.median(z1[ahead] / z2[ahead])) if ahead.any() else 1.0


# ------------------------------------------------------------------------------ uncertainty of pose and lens

PRIOR_FACTOR = 1.5  # by which a guessed focal length is wrong, one standard deviation: phones 24 mm, compacts 50 mm
REGIONS = 16  # of a photo, that lens and shutter treat alike: the errors of their matches are correlated
MIN_NOISE = 1e-6  # px; matches without noise would have an infinite weight
CAUCHY = 2.385  # noise sigmas, width of Cauchy's weight: 95 % efficient for normal noise
MIN_RIVAL_DEG = 10.0  # degrees between two motions that count as different
RIVAL_POINTS = 120  # matches, evenly over all, on which other motions are tried
RIVAL_AHEAD = 0.9  # share of the points that must lie in front of both cameras
RIVAL_NOISE = 0.02  # px; without noise there would be no way downhill
RIVAL_STEP = 1e-6  # of the central differences
RIVAL_SCHEDULE = Schedule(damping=1e-2, factor=5, min_damping=1e-9, max_damping=1e6, max_steps=20)
REFIT_SCHEDULE = Schedule(damping=0, factor=1, max_steps=8, tolerance=1e-6)
# Lens parameters (10,) of `epipolar.LensModel` for two lenses that are alike: the focal length, and k1.
_FOCAL = np.tile(np.eye(5)[0], 2)
_K1 = np.tile(np.eye(5)[3], 2)
_NO_LENS = np.zeros((10, 0))


def pose_covariance(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> tuple[np.ndarray, np.ndarray]:
    """s^2 (J^T J)^-1 (1 + rho (N / 16 - 1)): covariance of the pose exp([w]x) R, t + |t| s tangents from its matches.

    Neighbouring matches share a part rho of their variance (the effect of lens and shutter on a region of the photo),
    and of such regions a photo has some four by four. rho is the covariance of a residual with the mean of its 16
    neighbours'.

    Parameters
    ----------
    x1, x2 : (N, 2) float64
        Inliers, photo px.
    view : TwoView
        The estimate.

    Returns
    -------
    covariance, tangents : (5, 5), (2, 3) float64
        Of (w, s); rad.
    """
    from scipy.spatial import KDTree

    r, J, tangents = _at_the_estimate(x1, x2, view)
    noise = _noise_sigma(r)
    clipped = np.clip(r, -3 * noise, 3 * noise)
    k = min(REGIONS + 1, len(r))
    near = np.asarray(KDTree(x1).query(x1, k=k)[1]).reshape(len(r), k)
    shared = float(np.clip(np.mean(clipped * clipped[near[:, 1:]].mean(1)) / np.mean(clipped**2), 0, 1)) if k > 1 else 0
    factor = 1 + shared * max(0.0, len(r) / REGIONS - 1)
    return factor * noise**2 * np.linalg.pinv(J.T @ J), tangents


def direction_sigma_deg(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> float:
    """sqrt(tr(C)), degrees: standard deviation of the direction of t, C its 2 x 2 part of s^2 (J^T J)^-1.

    J is the Jacobian of the Sampson residuals by rotation and direction, s their robust standard deviation.

    Parameters
    ----------
    x1, x2, view
        As in `pose_covariance`.
    """
    r, J, _ = _at_the_estimate(x1, x2, view)
    covariance = _noise_sigma(r) ** 2 * np.linalg.pinv(J.T @ J)
    return float(np.degrees(np.sqrt(max(np.trace(covariance[3:, 3:]), 0))))


def weakest_motion_px(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> float:
    """Root mean square change (px) of the Sampson residuals under the least visible change of motion by one degree.

    The least singular value of J / sqrt(N), J (N, 5) the derivative by rotation and direction, times a degree. 0: to
    first order all points lie on a quadric through both camera centres, the critical surface.

    Parameters
    ----------
    x1, x2, view
        As in `pose_covariance`.

    References
    ----------
    Horn, Relative orientation, 1990. Maybank, Theory of reconstruction from image motion, 1993.
    """
    _, J, _ = _at_the_estimate(x1, x2, view)
    return float(np.linalg.svd(J, compute_uv=False)[-1] / np.sqrt(len(J)) * np.pi / 180)


def _at_the_estimate(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sampson residuals (n,), px, their Jacobian (n, 5) and the tangents (2, 3) of the direction of t."""
    x1, x2, _, focals = centred_pixels(x1, x2, view.rig)
    return sampson_jacobian(view.R, _direction(view), np.zeros(0), x1, x2, pose_alone(focals))


def _direction(view: TwoView) -> np.ndarray:
    return view.t / np.linalg.norm(view.t)


def _noise_sigma(r: np.ndarray) -> float:
    """1.4826 median |r|, never quite zero."""
    return max(1.4826 * float(np.median(np.abs(r))), MIN_NOISE)


@dataclass(frozen=True, eq=False)
class _Refit:
    """Motion and lens z + basis p refitted by Gauss-Newton steps, weights 1 / (1 + (r / w)^2) (Cauchy).

    State: R, t, p of one start.  z: (10,).  basis: (10, q).  x1, x2, focals: as `centred_pixels` returns them.
    """

    z: np.ndarray
    basis: np.ndarray
    x1: np.ndarray
    x2: np.ndarray
    focals: np.ndarray

    def evaluate(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        from .posefit import sampson_jacobian_kernel

        r, J = np.empty(len(self.x1)), np.empty((len(self.x1), 5 + self.basis.shape[1]))
        R, t, z = (np.ascontiguousarray(a) for a in (state[0][0], state[1][0], self.z + self.basis @ state[2][0]))
        sampson_jacobian_kernel(R, t, z, self.focals, self.x1, self.x2, self.basis, r, J)
        return r[None], J[None]

    def improves(self, new: State, old: State) -> np.ndarray:
        return np.ones(1, bool)  # the weights change with the noise: costs of two steps are not comparable

    def linearise(self, state: State, values: State) -> tuple[np.ndarray, np.ndarray, float]:
        r, J = values[0][0], values[1][0]
        noise = _noise_sigma(r)
        w = 1 / (1 + (r / (CAUCHY * noise)) ** 2)
        return np.einsum("np,nq->pq", w[:, None] * J, J)[None], np.einsum("np,n->p", J, w * r)[None], noise

    def solve(self, A: np.ndarray, b: np.ndarray, damping: np.ndarray) -> np.ndarray:
        return (-np.linalg.pinv(A[0], rcond=1e-10, hermitian=True) @ b[0])[None]

    def move(self, state: State, step: np.ndarray, frame: float) -> tuple[State, np.ndarray]:
        from .posefit import tangent_basis

        (R,), (t,), (p,), (d,) = *state, step
        d = d * min(1.0, 0.3 / max(np.abs(d).max(), 1e-12))
        R, t = rotation_from_vector(d[:3]) @ R, t + d[3:5] @ tangent_basis(t)
        t, p = t / np.linalg.norm(t), np.clip(p + d[5:], -1.5, 1.5)
        return (R[None], t[None], p[None]), d[None]


@dataclass(frozen=True, eq=False)
class _Refitted:
    """t (3,), p (q,), residuals r (n,) px, J^T W J (5 + q, 5 + q) and noise (px) of a `_Refit`."""

    t: np.ndarray
    p: np.ndarray
    r: np.ndarray
    information: np.ndarray
    noise: float


def _refit(view: TwoView, problem: _Refit) -> _Refitted:
    start = view.R[None], _direction(view)[None], np.zeros((1, problem.basis.shape[1]))
    fit = minimise(problem, start, REFIT_SCHEDULE)
    return _Refitted(fit.state[1][0], fit.state[2][0], fit.values[0][0], fit.information[0], fit.frame)


@dataclass(frozen=True)
class FreedParameter:
    """What the matches themselves say of one lens parameter.

    Parameters
    ----------
    value, sigma : float
        The parameter, and its standard error; no prior: only a value of many sigmas says anything.
    cost : float
        What the freed parameter leaves of the sum of log(1 + (r / w)^2) of the motion alone, w being that fit's.
    """

    value: float
    sigma: float
    cost: float


def freed_parameters(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> tuple[FreedParameter, FreedParameter]:
    """Refit the motion with one lens parameter free: log of a factor of both focals, and k1 of both lenses.

    Parameters
    ----------
    x1, x2, view
        As in `pose_covariance`.

    Returns
    -------
    focal, k1 : FreedParameter
        k1 of x_d = x_u (1 + k1 |x_u|^2).
    """
    x1, x2, _, focals = centred_pixels(x1, x2, view.rig)
    r0 = _refit(view, _Refit(np.zeros(10), _NO_LENS, x1, x2, focals)).r
    w0 = CAUCHY * _noise_sigma(r0)
    freed = []
    for free in (_FOCAL, _K1):
        fit = _refit(view, _Refit(np.zeros(10), free[:, None], x1, x2, focals))
        variance = np.linalg.pinv(fit.information, rcond=1e-10, hermitian=True)[5, 5]
        cost = np.log1p((fit.r / w0) ** 2).sum() / max(np.log1p((r0 / w0) ** 2).sum(), 1e-12)
        freed.append(FreedParameter(float(fit.p[0]), float(fit.noise * np.sqrt(max(variance, 0))), float(cost)))
    return freed[0], freed[1]


def focal_tilt(x1: np.ndarray, x2: np.ndarray, view: TwoView, factor: float = PRIOR_FACTOR) -> float:
    """Refit the motion with both focal lengths `factor` times longer and shorter: degrees by which t turns at most.

    Parameters
    ----------
    x1, x2, view
        As in `pose_covariance`.
    factor : float
        By which the guess of the focal length may be wrong.
    """
    x1, x2, _, focals = centred_pixels(x1, x2, view.rig)
    lenses = (s * np.log(factor) * _FOCAL for s in (1, -1))
    return max(angle_deg(_refit(view, _Refit(z, _NO_LENS, x1, x2, focals)).t, view.t) for z in lenses)


def rival_motion(
    x1: np.ndarray, x2: np.ndarray, view: TwoView, *, points: int = RIVAL_POINTS
) -> tuple[float | None, float]:
    """Find another motion that explains the matches too.

    Minimises the five parameters from 26 directions of t and two rotations, that of the estimate and the best without
    any step. A minimum counts where most points lie in front of both cameras and t or R differ by more than
    `MIN_RIVAL_DEG`. Two motions share their matches only where the points lie on a ruled quadric through both centres,
    or on a plane.

    Parameters
    ----------
    x1, x2, view
        As in `pose_covariance`.
    points : int
        Matches that are used, evenly over all.

    Returns
    -------
    off : float or None
        Degrees between the other motion and the estimate; None where there is no other minimum.
    cost : float
        Its cost in that of the estimate: root mean square of the Sampson distances, capped at 10 robust standard
        deviations; inf where there is no other minimum.

    References
    ----------
    Longuet-Higgins, The reconstruction of a plane surface from two perspective projections, 1986. Horn, Relative
    orientation, 1990. Maybank, Theory of reconstruction from image motion, 1993.
    """
    d1, d2 = _some_rays(x1, x2, view.rig, points)
    focal = float(np.sqrt(view.rig.cam1.focal * view.rig.cam2.focal))
    t0 = _direction(view)
    own = focal * sampson(essential_from_pose(view.R, t0), d1, d2)
    width = 10 * max(1.4826 * float(np.median(np.abs(own))), RIVAL_NOISE)
    problem = _Rival(d1, d2, focal, width)
    fit = minimise(problem, _rival_starts(view.R, d1, d2), RIVAL_SCHEDULE)
    (R, t), (r,) = fit.state, fit.values
    for k in np.argsort(problem.cost(r)):
        for Rk, tk in decompose_essential(essential_from_pose(R[k], t[k])):
            z1 = intersect_rays(hom(d1), hom(d2), Rk, tk)
            z2 = ((z1[:, None] * hom(d1)) @ Rk.T + tk)[:, 2]
            off = max(rotation_angle_deg(Rk @ view.R.T), float(np.degrees(np.arccos(np.clip(tk @ t0, -1, 1)))))
            if off > MIN_RIVAL_DEG and np.mean((z1 > 0) & (z2 > 0)) > RIVAL_AHEAD:
                return off, float(problem.cost(r[k]) / max(problem.cost(own), RIVAL_NOISE))
    return None, float("inf")


def _some_rays(x1: np.ndarray, x2: np.ndarray, rig: Rig, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Normalised camera coordinates (n, 2) of at most `points` matches, evenly over all."""
    y1, y2 = (ideal_pixels(x, c.K, c.dist) for x, c in ((x1, rig.cam1), (x2, rig.cam2)))
    known = np.isfinite(y1).all(1) & np.isfinite(y2).all(1)
    y1, y2 = y1[known], y2[known]
    pick = np.linspace(0, len(y1) - 1, min(points, len(y1))).astype(int)
    d1, d2 = ((y[pick] - c.K[:2, 2]) @ np.linalg.inv(c.K[:2, :2]).T for y, c in ((y1, rig.cam1), (y2, rig.cam2)))
    return d1, d2


def _rival_starts(R: np.ndarray, d1: np.ndarray, d2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R (52, 3, 3), t (52, 3): 26 directions, with the rotation of the estimate and the best without any step."""
    grid = np.stack(np.meshgrid(*[[-1.0, 0, 1]] * 3), -1).reshape(-1, 3)
    t = grid[np.linalg.norm(grid, axis=1) > 0]
    t = np.tile(t / np.linalg.norm(t, axis=1, keepdims=True), (2, 1))
    a, b = (hom(d) / np.linalg.norm(hom(d), axis=1, keepdims=True) for d in (d1, d2))
    return np.repeat([R, enforce_rotation(b.T @ a)], len(t) // 2, axis=0), t


@dataclass(frozen=True, eq=False)
class _Rival:
    """Sampson distances, px, of motions R, t of one focal length; cost: root mean square, capped at `width`.

    d1, d2: (n, 2) normalised camera coordinates.  Weights 1 / (1 + (r / width)^2).
    """

    d1: np.ndarray
    d2: np.ndarray
    focal: float
    width: float

    def cost(self, r: np.ndarray) -> np.ndarray:
        return np.sqrt(np.minimum(r**2, self.width**2).mean(-1))

    def evaluate(self, state: State) -> tuple[np.ndarray]:
        return (self.focal * sampson(essential_from_pose(*state), self.d1, self.d2),)

    def improves(self, new: State, old: State) -> np.ndarray:
        return self.cost(new[0]) < self.cost(old[0])

    def linearise(self, state: State, values: State) -> tuple[np.ndarray, np.ndarray, None]:
        (R, t), (r,), h = state, values, RIVAL_STEP
        directions = np.broadcast_to(np.eye(5), (len(r), 5, 5))
        plus, minus = (self.evaluate(_moved(R, t, s * h * directions))[0] for s in (1, -1))
        J = np.swapaxes(plus - minus, 1, 2) / (2 * h)
        w = 1 / (1 + (r / self.width) ** 2)
        return np.einsum("bni,bn,bnj->bij", J, w, J), np.einsum("bni,bn,bn->bi", J, w, r), None

    def solve(self, A: np.ndarray, b: np.ndarray, damping: np.ndarray) -> np.ndarray:
        return damped_step(A, b, damping, 1e-12)

    def move(self, state: State, step: np.ndarray, frame: None) -> tuple[State, np.ndarray]:
        step = step * np.minimum(1, 0.5 / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-12))
        R, t = state
        return _moved(R, t, step), step


def _moved(R: np.ndarray, t: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """exp([w]x) R, t + s tangents (normalised), p = (w, s) (B, ..., 5), of B motions."""
    tangents = np.linalg.svd(t[:, None])[2][:, 1:]
    R, t = (a.reshape(a.shape[:1] + (1,) * (p.ndim - 2) + a.shape[1:]) for a in (R, t))
    t = t + np.einsum("b...k,bki->b...i", p[..., 3:], tangents)
    return rotation_from_vector(p[..., :3]) @ R, t / np.linalg.norm(t, axis=-1, keepdims=True)
