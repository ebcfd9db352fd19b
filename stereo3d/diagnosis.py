"""Is this pair reconstructible, and if not why: Matches, TwoView, Rig, Photos -> Findings.

A finding is an "error" where no shape of this pair can be believed, a "warning" where the measured risk goes with a
wrong or incomplete shape, else "info". `benchmarks/verdict.py` prints every statistic over good and bad pairs.
"""

from dataclasses import replace

import numpy as np

from .geometry import (
    angle_deg,
    decompose_essential,
    essential_from_pose,
    fit_homography,
    hom,
    ideal_pixels,
    intersect_rays,
    project,
    rotation_angle_deg,
    rotation_from_vector,
    sampson,
    skew,
    undistort,
)
from .ransac import RobustProblem, ransac
from .records import Camera, Finding, Matches, Photo, Rig, TwoView

# Thresholds are in px of a photo of longer side 1600 (`photo_unit`); features are no better than half a pixel of the
# photo, however small it is.
REFERENCE_SIDE, MIN_UNIT = 1600.0, 0.4
LOG_NFA_NO_OVERLAP = -10.0  # log10 of the number of false alarms; good pairs lie below -31
PARALLAX_NONE, SHARE_NONE = 1.5, 0.95  # px, share: residual after the best homography; good pairs keep 20 px and .66
PARALLAX_FLAT, SHARE_FLAT = 10.0, 0.72
FOCAL_FACTORS = 0.4, 2.5  # of the focal that is told: between them lies the true one, if the told one is wrong
PRIOR_FACTOR = 1.5  # by which a guessed focal length is wrong, one standard deviation: phones 24 mm, compacts 50 mm
REGIONS = 16  # of a photo, that lens and shutter treat alike: their matches' errors go together
FOCAL_TILT = 5.0  # degrees: by so much the motion may turn with a guessed focal length before it is told
# Two focal lengths that differ by less are taken for one lens's, as EXIF is known to 4 %: of two lenses the test for
# one finds what is not there.
ONE_LENS = 0.05
# Degrees between the rays. Of rendered scenes 77 % come out at 10 degrees, 62 % at 18, 43 % at 27, 25 % at 36.
ANGLE_SMALL, ANGLE_LARGE = 1.0, 25.0
SPREAD = 2.0  # degrees, standard error of t's direction
RIVAL_DEG, RIVAL_COST = 10.0, 1.3  # another motion that far off explains the matches, at that much more error at most
LIKE_CRITICAL = 0.02  # px that the matches see of a motion wrong by 1 degree: 0.3 px of noise then cost degrees
LARGE_SCALE = 2.0  # one photo from half the distance: three quarters of its sight are wasted
# Where the depth error of rendered pairs begins to grow (`benchmarks/verdict.py --risk`): blur of both photos, px at
# the matching size (1.5 times the error at 1.6, twice at 2.1); of one photo alone, as the root of the difference of
# squares (twice at 1, five times at 1.4); share of a photo that is black or white (1.1 times at .16, 1.5 at .35, 3 at
# .6); grey levels between its darkest and lightest hundredth (1.4 times at 55, twice at 18).
BLUR, BLUR_APART, MAX_CLIPPED, MIN_GREY_RANGE = 1.7, 1.0, 0.25, 40
# Noise, grey levels at matching size. Of cameras that are known the depth of rendered pairs gets rough from here on;
# a focal length that the pair itself has to tell suffers earlier. Real photos have less than 1.
NOISE, NOISE_OF_FOCAL = 5.0, 2.0
REPEATED = 0.7  # share of places with a twin nearby: a shelf of folded laundry has .88, ordinary photos 0 to .6
DIAGONAL_DEG = 15.0, 130.0  # diagonal fields of view of ordinary lenses: 165 mm to 10 mm, 35 mm equivalent


def diagnose(matches: Matches, view: TwoView, rig: Rig) -> list[Finding]:
    """What the matches say about the pair: findings of severity "info", "warning" or "error", each code once.

    rig: as it was given, before the estimate; `view.rig` holds the refined cameras. Errors: "no_overlap",
    "pure_rotation", and "flat_scene" where the focal length is a guess or two motions explain the plane.
    """
    unit = photo_unit(view.rig)
    x1, x2 = matches.x1[view.inliers], matches.x2[view.inliers]
    flat = [] if rig.posed else _flatness(view, rig, x1, x2, unit)
    findings = [*_overlap(matches, view), *flat]
    unsound = any(f.severity == "error" for f in findings)
    findings += _cameras(view, rig, x1, x2, unit, testable=not findings)
    findings += _baseline(view, x1, x2, unit)
    if unsound:  # of a motion that is not there nothing else can be said
        return findings + _outliers(matches, view, unit)
    if not rig.posed:
        findings += _stability(view, x1, x2, unit, bool(flat))
    return [*findings, *_forward(view, x1, x2, unit), *_outliers(matches, view, unit), *_stance(view, x1, x2)]


def photo_unit(rig: Rig) -> float:
    """Photo px in one px of the reference size."""
    return max(max(rig.cam1.size) / REFERENCE_SIDE, MIN_UNIT)


# ------------------------------------------------------------------------------------------ what the matches say


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
    if count < 40:
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


def _flatness(view: TwoView, rig: Rig, x1, x2, unit: float) -> list[Finding]:
    """Can the pose be told from these matches? Not from those of one homography: a turn, or one plane."""
    parallax, share = homography_residual(x1, x2, unit)
    numbers = {"parallax_px": parallax / unit, "homography_share": share}
    words = f"one homography explains {100 * share:.0f} % of the matches to {parallax:.1f} px"
    step = "Step sideways between the photos by about a tenth of the distance."
    strictly = parallax < PARALLAX_NONE * unit and share > SHARE_NONE
    if strictly:
        # a lens that was fitted to a motion that is not there hides the turn: also by the cameras as they were told
        found = [(*turn_residual(x1, x2, cameras), cameras.cam1.focal) for cameras in (view.rig, rig)]
        turn, factor, focal = min(found)
        factor *= focal / view.rig.cam1.focal
        numbers["turn_px"] = turn / unit
        if turn < PARALLAX_NONE * unit:
            return [
                Finding(
                    "pure_rotation",
                    "error",
                    f"no parallax: {words}, and it is that of a camera that turned on the spot (to {turn:.1f} px).",
                    {**numbers, "focal_factor": factor},
                    step,
                )
            ]
    elif parallax > PARALLAX_FLAT * unit or share < SHARE_FLAT:
        return []
    advice = "Include things at several depths, or step further sideways."
    severity, why = "warning", "the camera motion is uncertain"
    if strictly and {view.rig.cam1.source, view.rig.cam2.source} & {"prior", "estimated"}:
        severity, why = "error", "without a known focal length that leaves the camera motion open"
        advice = "Include things at several depths, or give the focal length (--focal-35mm)."
    elif (rival := rival_motion(x1, x2, view))[1] < RIVAL_COST:
        # two motions explain one plane (Longuet-Higgins 1986), unless one of them puts points behind a camera
        severity, why = "error", f"so does another camera motion, {rival[0]:.0f} degrees off"
        numbers["rival_deg"] = rival[0]
    begin = "the scene is one plane" if strictly else "the scene is nearly one plane"
    return [Finding("flat_scene", severity, f"{begin}: {words}; {why}.", numbers, advice)]


def _cameras(view: TwoView, rig: Rig, x1, x2, unit: float, testable: bool) -> list[Finding]:
    camera = view.rig.cam1
    guess = camera.source == "prior" and not rig.posed and testable
    found = [focal_finding(view, focal_tilt(x1, x2, view) if guess else 0.0)]
    odd = _odd_field(camera) or _odd_field(view.rig.cam2)
    if odd:
        found.append(
            Finding(
                "focal_implausible",
                "warning",
                f"a focal length of {odd[0]:.0f} px means a field of view of {odd[1]:.0f} "
                "degrees, which few lenses have.",
                {"field_deg": odd[1]},
                "Check --focal, --fov or the calibration.",
            )
        )
    if testable and not rig.posed and len(x1) >= 60:
        found += _lens(view, x1, x2, unit, bool(odd))
        if not any(f.code == "focal_implausible" for f in found):
            found += _one_exif(view, rig, x1, x2)
    return found


def focal_finding(view: TwoView, tilt: float) -> Finding:
    """The focal length of the first camera and how it is known: "focal", or "focal_unknown" where it is a guess.

    tilt: degrees by which the motion may be wrong then (`focal_tilt`).
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
        f"{message}: the pair cannot tell it, so depth may be stretched or squeezed by "
        f"a factor of about {PRIOR_FACTOR:g}"
        + (f", and the camera motion be {tilt:.0f} degrees off." if tilt > FOCAL_TILT else "."),
        {**numbers, "stretch": PRIOR_FACTOR, "motion_deg": tilt},
        "Give --focal-35mm (phones: 24 to 28) or a calibration.",
    )


def _odd_field(camera: Camera) -> tuple[float, float] | None:
    field = 2 * np.degrees(np.arctan(np.hypot(*camera.size) / 2 / camera.focal))
    return None if DIAGONAL_DEG[0] <= field <= DIAGONAL_DEG[1] else (camera.focal, float(field))


def _lens(view: TwoView, x1, x2, unit: float, odd: bool) -> list[Finding]:
    """Do the matches contradict the focal length, or the missing lens distortion?"""
    focal, bend = freed_parameters(x1, x2, view)
    found = []
    known = view.rig.cam1.source in ("given", "calibration", "exif")
    if known and not odd and _contradicted(focal, bend):
        where = "that is given" if view.rig.cam1.source != "exif" else "that is in the EXIF"
        found.append(_implausible(focal, f"the one {where} better."))
    half = np.hypot(*view.rig.cam1.size) / 2
    to_corner = half**3 / view.rig.cam1.focal**2  # px in the corner for a k1 of 1
    corner = bend[0] * to_corner
    undistorted = not np.any(view.rig.cam1.dist)
    if undistorted and abs(corner) > max(8 * bend[1] * to_corner, 3 * unit) and bend[2] < 0.9 * min(1.0, focal[2]):
        found.append(
            Finding(
                "lens_distortion",
                "info",
                f"the lens seems to bend the corners by {abs(corner):.0f} px "
                f"({'barrel' if corner < 0 else 'pincushion'}).",
                {"corner_px": float(corner)},
                "A calibration of the camera (stereo3d calibrate) would take it out.",
            )
        )
    return found


def _contradicted(focal, bend) -> bool:
    """Do the matches want another focal length? A bent lens looks like it, so the one that explains more is told."""
    return abs(focal[0]) > max(8 * focal[1], np.log(1.15)) and focal[2] < 0.9 * min(1.0, bend[2])


def _implausible(focal, words: str) -> Finding:
    factor = float(np.exp(focal[0]))
    return Finding(
        "focal_implausible",
        "warning",
        f"the matches fit a focal length {factor:.2f} times {words}",
        {"focal_factor": factor, "log_focal_deviation": focal[1]},
        "Were the photos cropped or taken with another zoom? Check --focal-35mm or the calibration.",
    )


def _one_exif(view: TwoView, rig: Rig, x1, x2) -> list[Finding]:
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
    focal, bend = freed_parameters(x1, x2, replace(view, rig=Rig(cams[which], cams[which])))
    if not _contradicted(focal, bend):
        return []
    name = ("first", "second")[which]
    return [_implausible(focal, f"the one in the EXIF of the {name} photo better, if one camera took both.")]


def _baseline(view: TwoView, x1, x2, unit: float) -> list[Finding]:
    angle = median_parallax_angle(x1, x2, view)
    if angle < ANGLE_SMALL:
        # dz/z = dx / (f angle): what half a reference pixel does
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


def _forward(view: TwoView, x1, x2, unit: float) -> list[Finding]:
    """The epipole of photo 1 lies in it: towards it the parallax goes to zero, depth with it."""
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
    blind = min(10 * unit / max(slope, 1e-9), float(np.hypot(*size)))  # px within which parallax is below 10 px: 5 %
    share = min(np.pi * blind**2 / float(size.prod()), 1.0)
    return [
        Finding(
            "forward_motion",
            "warning" if share > 0.03 else "info",
            "the camera moved towards what it shows: about "
            f"({epipole[0]:.0f}, {epipole[1]:.0f}) px depth is uncertain, within some {blind:.0f} px "
            f"({100 * share:.0f} % of the photo).",
            {"epipole_x": float(epipole[0]), "epipole_y": float(epipole[1]), "blind_px": blind, "blind_share": share},
            "Step sideways rather than forward.",
        )
    ]


def _stability(view: TwoView, x1, x2, unit: float, flat: bool) -> list[Finding]:
    found = []
    spread = direction_spread(x1, x2, view)
    if spread > SPREAD:
        found.append(
            Finding(
                "unstable_pose",
                "warning",
                f"the direction of the camera's motion is uncertain by {spread:.1f} degrees (standard error).",
                {"spread_deg": spread},
                "More overlap, more parallax, or a known focal length (--focal-35mm).",
            )
        )
    rival, cost = (None, np.inf) if flat else rival_motion(x1, x2, view)
    if cost < RIVAL_COST:
        found.append(
            Finding(
                "critical_surface",
                "warning",
                f"another camera motion, {rival:.0f} degrees off, explains the matches as "
                "well: the points lie on or near a critical surface.",
                {"rival_deg": rival, "rival_cost": cost},
                "Include things at several depths, or move another way.",
            )
        )
    elif (seen := hidden_motion(x1, x2, view) / unit) < LIKE_CRITICAL and not flat and spread <= SPREAD:
        found.append(
            Finding(
                "critical_surface",
                "warning",
                f"one degree of wrong motion moves the matches by {seen:.2f} px only: the "
                "points lie near a critical surface, and small errors of the lens can bend the shape.",
                {"px_per_degree": seen},
                "Include things at several depths, or step further sideways.",
            )
        )
    return found


def _outliers(matches: Matches, view: TwoView, unit: float) -> list[Finding]:
    found = []
    share = float(view.inliers.mean())
    if share < 0.5:
        found.append(
            Finding(
                "many_outliers",
                "warning" if share < 0.3 else "info",
                f"{100 * share:.0f} % of {len(matches)} matches agree with the camera motion.",
                {"inlier_share": share},
                "Repeated texture, moving things or little overlap do this.",
            )
        )
    moving = coherent_outliers(matches, view, 4 * unit)
    count = int(moving.sum())
    if count >= 20 and count > 0.03 * len(matches):
        x, y = np.median(matches.x1[moving], axis=0)
        found.append(
            Finding(
                "moving_objects",
                "warning" if count > 0.1 * len(matches) else "info",
                f"{count} matches about "
                f"({x:.0f}, {y:.0f}) px agree with each other but not with the camera motion: something moved, or a "
                "pattern repeats.",
                {"matches": count, "share": count / len(matches), "x": x, "y": y},
                "Take both photos at once, or while nothing moves.",
            )
        )
    return found


def _stance(view: TwoView, x1, x2) -> list[Finding]:
    """How the photos stand to each other: told, because it has been put right."""
    found = []
    centre2 = -view.R.T @ view.t
    if centre2[0] < -0.01 * np.linalg.norm(centre2):
        found.append(
            Finding(
                "swapped",
                "info",
                "the first photo was taken from the right of the second; that is taken into account.",
                {"camera2_x": float(centre2[0])},
            )
        )
    roll = float(np.degrees(np.arctan2(view.R[1, 0] - view.R[0, 1], view.R[0, 0] + view.R[1, 1])))
    if abs(roll) > 30:
        found.append(
            Finding(
                "turned",
                "info",
                f"the second photo is turned by {roll:.0f} degrees against the first; that is taken into account.",
                {"roll_deg": roll},
            )
        )
    scale = median_scale(x1, x2, view)
    if max(scale, 1 / scale) > 1.4:
        near, factor = ("second", scale) if scale > 1 else ("first", 1 / scale)
        found.append(
            Finding(
                "different_scale",
                "warning" if factor > LARGE_SCALE else "info",
                f"the {near} photo shows things {factor:.1f} times as large: it was taken from nearer, or zoomed in.",
                {"scale": scale},
                "Take both photos from about the same distance, with the same zoom.",
            )
        )
    return found


# --------------------------------------------------------------------------------------------- what the photos say


def photo_findings(
    left: Photo, right: Photo, matches: Matches, *, max_size: int = 1600, focal_sought: bool = False
) -> list[Finding]:
    """What the photos themselves say: blur, noise, exposure, repeated texture.

    matches: those that agree with the camera motion.  max_size: px, the longer side at which the photos are matched.
    focal_sought: whether the pair itself had to tell the focal length, which bears less noise.
    """
    greys, scales = zip(*(_reduced(p, max_size) for p in (left, right)), strict=True)
    names = "first", "second"
    findings = []
    blurs = [blur_width(grey) for grey in greys]
    worse = int(blurs[1] > blurs[0])
    apart = float(np.sqrt(blurs[worse] ** 2 - blurs[1 - worse] ** 2))
    if blurs[worse] > BLUR or apart > BLUR_APART:
        than = f", those of the {names[1 - worse]} {blurs[1 - worse]:.1f} px" if apart > BLUR_APART else ""
        findings.append(
            Finding(
                "blur",
                "warning",
                f"the {names[worse]} photo is blurred: its edges are {blurs[worse]:.1f} px wide "
                f"(standard deviation) at {max(greys[worse].shape)} px{than}.",
                {"blur_px": blurs[worse], "apart_px": apart},
                "Hold the camera still and focus on the thing.",
            )
        )
    noises = [noise_level(grey) for grey in greys]
    worse = int(noises[1] > noises[0])
    if noises[worse] > (NOISE_OF_FOCAL if focal_sought else NOISE):
        focal = ", and the focal length, which the pair itself has to tell, may be wrong" if focal_sought else ""
        findings.append(
            Finding(
                "noise",
                "warning",
                f"the {names[worse]} photo is noisy: {noises[worse]:.1f} grey levels of 255 (standard "
                f"deviation) at {max(greys[worse].shape)} px; depth is rough{focal}.",
                {"noise_levels": noises[worse]},
                "More light or a lower ISO; photos of more pixels, which are averaged"
                + ("; or give the focal length (--focal-35mm)." if focal_sought else "."),
            )
        )
    clipped = [clipped_share(photo) for photo in (left, right)]
    worse = int(clipped[1] > clipped[0])
    ranges = [float(np.ptp(np.quantile(grey[::3, ::3], [0.01, 0.99]))) for grey in greys]
    if clipped[worse] > MAX_CLIPPED:
        findings.append(
            Finding(
                "bad_exposure",
                "warning",
                f"{100 * clipped[worse]:.0f} % of the {names[worse]} photo is black or white without detail.",
                {"clipped_share": clipped[worse]},
                "Expose for the thing itself.",
            )
        )
    elif min(ranges) < MIN_GREY_RANGE:
        worse = int(ranges[1] < ranges[0])
        findings.append(
            Finding(
                "bad_exposure",
                "warning",
                f"the {names[worse]} photo has hardly any contrast: {ranges[worse]:.0f} grey "
                "levels of 255 between its dark and its light.",
                {"grey_range": ranges[worse]},
                "More light, or a longer exposure.",
            )
        )
    if len(matches) >= 8:
        x1, x2 = (matches.x1 + 0.5) * scales[0] - 0.5, (matches.x2 + 0.5) * scales[1] - 0.5
        gain = exposure_ratio(*greys, x1, x2)
        if max(gain, 1 / gain) > 1.5:
            name, factor = ("second", gain) if gain > 1 else ("first", 1 / gain)
            findings.append(
                Finding(
                    "different_exposure",
                    "info",
                    f"the {name} photo is {factor:.1f} times as bright; the matching does not mind.",
                    {"ratio": gain},
                    "Lock the exposure.",
                )
            )
        repeated = repeated_share(greys[0], x1)
        if repeated > REPEATED:
            findings.append(
                Finding(
                    "repeated_texture",
                    "info",
                    f"{100 * repeated:.0f} % of the places looked at have a twin nearby: a "
                    "pattern repeats, and the matching may take one for the other.",
                    {"repeated_share": repeated},
                    "Include something that is there only once.",
                )
            )
    return findings


def blur_width(grey: np.ndarray) -> float:
    """Standard deviation, px, of the blur of the sharpest edges: s = s0 / sqrt(q^2 - 1), the wider of x and y.

    q: |d g| over |d (g * G(s0))| at the edges, G a Gaussian of s0 = 1 px; for a step edge blurred by G(s) that is
    sqrt(s^2 + s0^2) / s. Taken along x and along y by themselves, since a camera that moves blurs one way.
    Below 1 px it comes out too wide by up to a third (the derivative is a difference over two pixels).
    Source: Zhuo and Sim, Defocus map estimation from a single image, 2011.
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
    """Standard deviation of the noise, grey levels: n^2 = (4 s1^2 - s2^2) / 3, of the flattest blocks' median s1, s2.

    s1, s2: root mean square of the diagonal details (a - b - c + d) / 2 of squares of 2 x 2 px, and of the sums
    (a + b + c + d) / 2 of such squares (Haar's wavelet at two scales). White noise has s1 = s2 = n, while what a lens
    draws has at least twice the detail at the next scale, so that texture counts for nothing; where it hides the noise
    the value is too low. Blocks of `block`^2 px, the quarter with the least s2, none that is nearly black or white,
    where noise is cut off; 0 where fewer than 4 are left.
    Source: Donoho and Johnstone, Ideal spatial adaptation by wavelet shrinkage, 1994, for noise by the finest details.
    """
    h, w = (n // block for n in grey.shape)

    def squares(x):
        a, b, c, d = x[::2, ::2], x[::2, 1::2], x[1::2, ::2], x[1::2, 1::2]
        return (a - b - c + d) / 2, (a + b + c + d) / 2

    def blocks(x):
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
    """Share of the pixels whose channels are all below 4 or all above 251."""
    pixels = photo.pixels[:: max(1, photo.size[1] // 400), :: max(1, photo.size[0] // 400)]
    return float(((pixels < 4).all(-1) | (pixels > 251).all(-1)).mean())


def exposure_ratio(grey1: np.ndarray, grey2: np.ndarray, x1: np.ndarray, x2: np.ndarray) -> float:
    """Median ratio of the brightness (of the file's own numbers, 8 x 8 px means) of photo 2 to photo 1 at x1, x2."""
    import cv2

    means = []
    for grey, x in ((grey1, x1), (grey2, x2)):
        mean = cv2.blur(grey.astype(np.float32), ksize=(8, 8))
        i = np.clip(np.rint(x).astype(int), 0, [grey.shape[1] - 1, grey.shape[0] - 1])
        means.append(mean[i[:, 1], i[:, 0]] + 1)
    return float(np.median(means[1] / means[0]))


def repeated_share(grey: np.ndarray, x: np.ndarray, *, places: int = 60, radius: int = 7, reach: int = 100) -> float:
    """Share of the places x (N,2) px whose patch has a twin: normalised correlation above 0.9 elsewhere nearby.

    Patches of (2 radius + 1)^2 px, twins farther than 2 radius and nearer than `reach` px, in one photo.
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


def _reduced(photo: Photo, max_size: int) -> tuple[np.ndarray, float]:
    import cv2

    grey = cv2.cvtColor(photo.pixels, cv2.COLOR_RGB2GRAY)
    share = min(1.0, max_size / max(photo.size))
    size = tuple(max(1, round(n * share)) for n in photo.size)
    return (cv2.resize(grey, dsize=size, interpolation=cv2.INTER_AREA) if share < 1 else grey), share


# ----------------------------------------------------------------------------------------------------- statistics


def same_photo(matches: Matches, size1: tuple[int, int], size2: tuple[int, int]) -> float | None:
    """Motion (px, 90 % quantile of |x1 - x2|) of two pictures that are one, below half a reference pixel; else None."""
    if size1 != size2 or len(matches) == 0:
        return None
    motion = float(np.quantile(np.linalg.norm(matches.x1 - matches.x2, axis=1), 0.9))
    return motion if motion < 0.5 * max(size1) / REFERENCE_SIDE else None


def false_alarms(matches: Matches, view: TwoView) -> float:
    """log10 of the number of false alarms of the epipolar geometry (Moisan and Stival 2004, a contrario).

    NFA(k) = (n - 5) C(n, k) C(k, 5) alpha_k^(k - 5), alpha_k = 2 D / A times the k-th smallest distance to the epipolar
    line (D diagonal, A area of picture 2); the least over k. Below 0: not expected once in random matches.
    """
    rig = view.rig
    x1, x2 = (ideal_pixels(x, c.K, c.dist) for x, c in ((matches.x1, rig.cam1), (matches.x2, rig.cam2)))
    distance = np.sort(np.nan_to_num(np.abs(sampson(view.F, x1, x2)), nan=np.inf))
    n = len(distance)
    if n <= 6:
        return 0.0
    w, h = rig.cam2.size
    k = np.arange(6, n + 1)
    alpha = np.clip(2 * np.hypot(w, h) / (w * h) * np.maximum(distance[5:], 0.05), 1e-12, 1.0)

    from scipy.special import gammaln

    def log_binomial(a, b):
        return gammaln(a + 1) - gammaln(b + 1) - gammaln(a - b + 1)

    # five-point samples give up to ten models
    log_nfa = np.log(10.0 * (n - 5)) + log_binomial(n, k) + log_binomial(k, 5) + (k - 5) * np.log(alpha)
    return float(log_nfa.min() / np.log(10))


def homography_residual(x1: np.ndarray, x2: np.ndarray, unit: float = 1.0) -> tuple[float, float]:
    """90 % quantile (px) of the residuals after the homography that explains most matches, and its share of them.

    unit: px of this photo in one px of the reference size; a match belongs to the homography within 3 units.
    """

    def residuals(H, which):
        with np.errstate(divide="ignore", invalid="ignore"):
            y = hom(x1[which]) @ np.swapaxes(H, -1, -2)
            return np.linalg.norm(y[..., :2] / y[..., 2:] - x2[which], axis=-1)

    def refine(_, agree):
        return fit_homography(x1[agree], x2[agree]) if len(agree) >= 4 else None

    problem = RobustProblem(len(x1), 4, lambda s: fit_homography(x1[s], x2[s]), residuals, refine)
    estimate = ransac(problem, threshold=3 * unit, seed=0)
    if estimate is None:
        return float("inf"), 0.0
    r = np.nan_to_num(residuals(estimate.model[None], slice(None))[0], nan=np.inf)
    return float(np.quantile(r, 0.9)), float(estimate.inliers.mean())


def turn_residual(x1: np.ndarray, x2: np.ndarray, rig: Rig) -> tuple[float, float]:
    """90 % quantile (px of photo 2) of |x2 - K2 R K1^-1 x1|, with the best R and the best common factor of both focals.

    Returns it and the factor, within FOCAL_FACTORS: a turn seen with a wrong focal length fits no rotation, but a
    parallax that the wrong focal makes look like depth goes away with the right one. The rotation is that of the least
    squared differences of unit rays, without the worst (Horn 1987; Kabsch 1976).
    """
    from scipy.optimize import minimize_scalar

    y1, y2 = undistort(x1, rig.cam1.K, rig.cam1.dist), undistort(x2, rig.cam2.K, rig.cam2.dist)
    known = np.isfinite(y1).all(1) & np.isfinite(y2).all(1)
    y1, y2 = y1[known], y2[known]

    def residual(log_factor):
        factor = np.exp(log_factor)
        d1, d2 = (hom(y / factor) for y in (y1, y2))
        d1, d2 = (d / np.linalg.norm(d, axis=1, keepdims=True) for d in (d1, d2))
        keep = np.ones(len(d1), bool)
        for _ in range(4):  # a wrong match that happens to lie on its epipolar line must not pull at the turn
            U, _, Vt = np.linalg.svd(d2[keep].T @ d1[keep])
            R = U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt
            p = d1 @ R.T
            ahead = np.where(p[:, 2] > 0.05, p[:, 2], np.nan)
            error = np.linalg.norm(factor * p[:, :2] / ahead[:, None] - y2, axis=1)
            error = np.nan_to_num(rig.cam2.focal * error, nan=1e6)
            keep = error <= 3 * np.median(error)
        return float(np.quantile(error, 0.9))

    ladder = np.linspace(*np.log(FOCAL_FACTORS), 13)
    k = int(np.argmin([residual(a) for a in ladder]))
    around = ladder[max(k - 1, 0)], ladder[min(k + 1, len(ladder) - 1)]
    best = minimize_scalar(residual, bounds=around, method="bounded", options={"xatol": 1e-3})
    return float(best.fun), float(np.exp(best.x))


def median_parallax_angle(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> float:
    """Median angle, degrees, between the two rays of a match."""
    d1 = hom(undistort(x1, view.rig.cam1.K, view.rig.cam1.dist)) @ view.R.T
    d2 = hom(undistort(x2, view.rig.cam2.K, view.rig.cam2.dist))
    sine = np.linalg.norm(np.cross(d1, d2), axis=1)
    return float(np.degrees(np.nanmedian(np.arctan2(sine, np.sum(d1 * d2, 1)))))


def pose_covariance(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> tuple[np.ndarray, np.ndarray]:
    """Covariance (5,5) of the pose from its matches (N,2), and the tangents (2,3): exp([w]x) R and t + |t| s tangents.

    s^2 (J^T J)^-1 of the Sampson residuals, as in `direction_spread`, times 1 + rho (N / 16 - 1): neighbouring matches
    share a part rho of their variance (what lens and shutter do to a region of the photo), and of such regions a photo
    has some four by four. rho is the covariance of a residual with the mean of its 16 neighbours'.
    """
    from scipy.spatial import cKDTree

    from .posefit import tangent_basis

    r, J = _linearised(view.R, _direction(view), _AS_IT_IS, _NOTHING, *_centred(x1, x2, view.rig))
    noise = max(1.4826 * float(np.median(np.abs(r))), 1e-6)
    few = np.clip(r, -3 * noise, 3 * noise)
    k = min(REGIONS + 1, len(r))
    near = cKDTree(x1).query(x1, k=k)[1].reshape(len(r), k)
    shared = float(np.clip(np.mean(few * few[near[:, 1:]].mean(1)) / np.mean(few**2), 0, 1)) if k > 1 else 0.0
    factor = 1 + shared * max(0.0, len(r) / REGIONS - 1)
    return factor * noise**2 * np.linalg.pinv(J.T @ J), tangent_basis(_direction(view))


def direction_spread(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> float:
    """Standard deviation of t's direction, degrees, from the curvature of the Sampson error at the estimate.

    Covariance of five parameters (rotation, direction): s^2 (J^T J)^-1 with s the residuals' robust deviation, times
    the 2 of the two tangent directions.
    """
    r, J = _linearised(view.R, _direction(view), _AS_IT_IS, _NOTHING, *_centred(x1, x2, view.rig))
    noise = 1.4826 * np.median(np.abs(r))
    covariance = max(noise, 1e-6) ** 2 * np.linalg.pinv(J.T @ J)
    return float(np.degrees(np.sqrt(max(np.trace(covariance[3:, 3:]), 0))))


def hidden_motion(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> float:
    """Root mean square change (px) of the Sampson residuals under the least visible change of motion by one degree.

    The least singular value of J / sqrt(N), J (N,5) the derivative by rotation and direction, times a degree. To first
    order the points of no change lie on a quadric through both camera centres, the critical surface (Horn, Relative
    orientation, 1990; Maybank, Theory of reconstruction from image motion, 1993); 0: they all do.
    """
    _, J = _linearised(view.R, _direction(view), _AS_IT_IS, _NOTHING, *_centred(x1, x2, view.rig))
    return float(np.linalg.svd(J, compute_uv=False)[-1] / np.sqrt(len(J)) * np.pi / 180)


def _ideal(x1, x2, rig: Rig):
    y1, y2 = (ideal_pixels(x, c.K, c.dist) for x, c in ((x1, rig.cam1), (x2, rig.cam2)))
    known = np.isfinite(y1).all(1) & np.isfinite(y2).all(1)
    return y1[known], y2[known]


# Lens parameters (10,) as `posefit.sampson_jacobian_kernel` has them, two lenses alike, and combinations that are free.
_AS_IT_IS, _NOTHING = np.zeros(10), np.zeros((10, 0))
_FOCAL, _BEND = np.tile(np.eye(5)[0], 2), np.tile(np.eye(5)[3], 2)


def _direction(view: TwoView) -> np.ndarray:
    return view.t / np.linalg.norm(view.t)


def _centred(x1, x2, rig: Rig):
    """Ideal pixels about the principal points, of one focal each: x1, x2 (n,2), focals (2,)."""
    y1, y2 = (undistort(x, c.K, c.dist) * c.focal for x, c in ((x1, rig.cam1), (x2, rig.cam2)))
    known = np.isfinite(y1).all(1) & np.isfinite(y2).all(1)
    return y1[known], y2[known], np.array([rig.cam1.focal, rig.cam2.focal])


def _linearised(R, t, z, spread, x1, x2, focals) -> tuple[np.ndarray, np.ndarray]:
    """Sampson residuals r (N,), px, and J (N,5+q): by the turn, by t across itself, by the lenses along `spread`."""
    from .posefit import sampson_jacobian_kernel

    r, J = np.empty(len(x1)), np.empty((len(x1), 5 + spread.shape[1]))
    R, t, z, spread = (np.ascontiguousarray(a, dtype=float) for a in (R, t, z, spread))
    sampson_jacobian_kernel(R, t, z, focals, x1, x2, spread, r, J)
    return r, J


def _refitted(view: TwoView, z, spread, x1, x2, focals, rounds: int = 8):
    """Motion and lens once more by Gauss-Newton steps from the estimate, weights 1 / (1 + (r/w)^2) (Cauchy), w = 2.385
    robust deviations: t, p (q,), residuals, J^T W J and the noise, px."""
    from .posefit import tangent_basis

    R, t, p = view.R, _direction(view), np.zeros(spread.shape[1])
    for _ in range(rounds):
        r, J = _linearised(R, t, z + spread @ p, spread, x1, x2, focals)
        noise = max(1.4826 * float(np.median(np.abs(r))), 1e-6)
        w = 1 / (1 + (r / (2.385 * noise)) ** 2)
        information = np.einsum("np,nq->pq", w[:, None] * J, J)
        step = -np.linalg.pinv(information, rcond=1e-10, hermitian=True) @ np.einsum("np,n->p", J, w * r)
        step *= min(1.0, 0.3 / max(np.abs(step).max(), 1e-12))
        R, t = rotation_from_vector(step[:3]) @ R, t + step[3:5] @ tangent_basis(t)
        t, p = t / np.linalg.norm(t), np.clip(p + step[5:], -1.5, 1.5)
        if np.abs(step).max() < 1e-6:
            break
    r, _ = _linearised(R, t, z + spread @ p, _NOTHING, x1, x2, focals)
    return t, p, r, information, noise


def freed_parameters(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> list[tuple]:
    """What the matches themselves say of the lens: (value, deviation, cost) of log focal factor and of k1.

    Two fits (`_refitted`): over motion and one factor of both focals, and over motion and k1 of both lenses,
    x_d = x_u (1 + k1 |x_u|^2). No prior: only what is far from zero in deviations says anything.
    cost: what the freed parameter leaves of the sum of log(1 + (r/w)^2) that the motion alone has, w being that fit's.
    """
    x1, x2, focals = _centred(x1, x2, view.rig)
    r0 = _refitted(view, _AS_IT_IS, _NOTHING, x1, x2, focals)[2]
    w0 = 2.385 * max(1.4826 * float(np.median(np.abs(r0))), 1e-6)
    results = []
    for free in (_FOCAL, _BEND):
        _, p, r, information, noise = _refitted(view, _AS_IT_IS, free[:, None], x1, x2, focals)
        variance = np.linalg.pinv(information, rcond=1e-10, hermitian=True)[5, 5]
        cost = np.log1p((r / w0) ** 2).sum() / max(np.log1p((r0 / w0) ** 2).sum(), 1e-12)
        results.append((float(p[0]), float(noise * np.sqrt(max(variance, 0))), float(cost)))
    return results


def focal_tilt(x1: np.ndarray, x2: np.ndarray, view: TwoView, factor: float = PRIOR_FACTOR) -> float:
    """Degrees by which the direction of t turns where both focal lengths are `factor` times longer or shorter.

    The motion is fitted anew to the same matches: what a wrong guess of the focal length does to it.
    """
    x1, x2, focals = _centred(x1, x2, view.rig)
    turned = (_refitted(view, s * np.log(factor) * _FOCAL, _NOTHING, x1, x2, focals)[0] for s in (1, -1))
    return max(angle_deg(t, view.t) for t in turned)


def rival_motion(x1: np.ndarray, x2: np.ndarray, view: TwoView, *, points: int = 120) -> tuple[float | None, float]:
    """How far off (degrees) is another motion that explains the matches too, and its cost in that of the estimate.

    Cost: root mean square of the Sampson distances, capped at 10 robust deviations. From 26 directions of t and two
    rotations the five parameters are minimised (Levenberg and Marquardt), all at once; a minimum counts where most
    points lie before both cameras and t or R differ by more than RIVAL_DEG. Two motions share their matches only where
    the points lie on a ruled quadric through both centres, or a plane (Longuet-Higgins 1986; Horn 1990; Maybank 1993).
    Returns (None, inf) where no other minimum is found.
    """
    y1, y2 = _ideal(x1, x2, view.rig)
    pick = np.linspace(0, len(y1) - 1, min(points, len(y1))).astype(int)
    focal = np.sqrt(view.rig.cam1.focal * view.rig.cam2.focal)
    d1, d2 = (
        (y[pick] - c.K[:2, 2]) @ np.linalg.inv(c.K[:2, :2]).T for y, c in ((y1, view.rig.cam1), (y2, view.rig.cam2))
    )
    t0 = view.t / np.linalg.norm(view.t)
    own = focal * sampson(essential_from_pose(view.R, t0), d1, d2)
    width = 10 * max(1.4826 * float(np.median(np.abs(own))), 0.02)  # without noise there would be no way downhill

    def cost(r):
        return np.sqrt(np.minimum(r**2, width**2).mean(-1))

    grid = np.stack(np.meshgrid(*[[-1.0, 0, 1]] * 3), -1).reshape(-1, 3)
    t = grid[np.linalg.norm(grid, axis=1) > 0]
    t = np.tile(t / np.linalg.norm(t, axis=1, keepdims=True), (2, 1))
    # from the rotation of the estimate and from the one that explains most without any step
    a, b = (hom(d) / np.linalg.norm(hom(d), axis=1, keepdims=True) for d in (d1, d2))
    U, _, Vt = np.linalg.svd(b.T @ a)
    R = np.repeat([view.R, U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt], len(t) // 2, axis=0)
    damping = np.full(len(t), 1e-2)
    eye = np.eye(5)

    def moved(R, t, p):  # p (B,...,5)
        tangent = np.linalg.svd(t[:, None])[2][:, 1:]
        R, t = (a.reshape(a.shape[:1] + (1,) * (p.ndim - 2) + a.shape[1:]) for a in (R, t))
        t = t + np.einsum("b...k,bki->b...i", p[..., 3:], tangent)
        return _turns(p[..., :3]) @ R, t / np.linalg.norm(t, axis=-1, keepdims=True)

    def residual(R, t):
        return focal * sampson(essential_from_pose(R, t), d1, d2)

    r = residual(R, t)
    h = 1e-6
    for _ in range(20):
        plus, minus = (residual(*moved(R, t, np.broadcast_to(s * h * eye, (len(t), 5, 5)))) for s in (1, -1))
        J = np.swapaxes(plus - minus, 1, 2) / (2 * h)
        w = 1 / (1 + (r / width) ** 2)
        A = np.einsum("bni,bn,bnj->bij", J, w, J)
        b = np.einsum("bni,bn,bn->bi", J, w, r)
        A += damping[:, None, None] * np.eye(5) * (np.trace(A, axis1=1, axis2=2)[:, None, None] / 5 + 1e-12)
        step = -np.linalg.solve(A, b[..., None])[..., 0]
        step *= np.minimum(1, 0.5 / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-12))
        R_new, t_new = moved(R, t, step)
        r_new = residual(R_new, t_new)
        better = cost(r_new) < cost(r)
        R[better], t[better], r[better] = R_new[better], t_new[better], r_new[better]
        damping = np.where(better, damping / 5, damping * 5).clip(1e-9, 1e6)
    order = np.argsort(cost(r))
    for k in order:
        for Rk, tk in decompose_essential(essential_from_pose(R[k], t[k])):
            z1 = intersect_rays(hom(d1), hom(d2), Rk, tk)
            z2 = ((z1[:, None] * hom(d1)) @ Rk.T + tk)[:, 2]
            off = max(rotation_angle_deg(Rk @ view.R.T), float(np.degrees(np.arccos(np.clip(tk @ t0, -1, 1)))))
            if off > RIVAL_DEG and np.mean((z1 > 0) & (z2 > 0)) > 0.9:
                return off, float(cost(r[k]) / max(cost(own), 0.02))
    return None, float("inf")


def _turns(r: np.ndarray) -> np.ndarray:
    """`rotation_from_vector` of many at once: (..., 3) -> (..., 3, 3)."""
    angle = np.linalg.norm(r, axis=-1)[..., None, None]
    W = skew(r)
    return np.eye(3) + np.sinc(angle / np.pi) * W + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * (W @ W)


def coherent_outliers(matches: Matches, view: TwoView, distance: float) -> np.ndarray:
    """(N,) bool: matches farther than `distance` px from their epipolar line that move as their neighbours do.

    Of the 8 nearest such matches in photo 1 at least 5 have the same displacement to a tenth of how far they are off,
    and to 2 `distance`. Wrong matches have displacements at random.
    """
    from scipy.spatial import cKDTree

    rig = view.rig
    y1, y2 = (ideal_pixels(x, c.K, c.dist) for x, c in ((matches.x1, rig.cam1), (matches.x2, rig.cam2)))
    off = np.nan_to_num(np.abs(sampson(view.F, y1, y2)), nan=0.0)
    which = np.flatnonzero((off > distance) & ~view.inliers)
    found = np.zeros(len(matches), bool)
    if len(which) < 9:
        return found
    shift = (matches.x2 - matches.x1)[which]
    near = cKDTree(matches.x1[which]).query(matches.x1[which], k=9)[1][:, 1:]
    apart = np.linalg.norm(shift[near] - shift[:, None], axis=2)
    allowed = 2 * distance + 0.1 * np.linalg.norm(matches.x1[which][near] - matches.x1[which][:, None], axis=2)
    found[which[(apart < allowed).sum(1) >= 5]] = True
    return found


def median_scale(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> float:
    """Median of z1 / z2, the depths of the matched points in the two cameras: how much nearer photo 2 was taken."""
    d1, d2 = (hom(undistort(x, c.K, c.dist)) for x, c in ((x1, view.rig.cam1), (x2, view.rig.cam2)))
    z1 = intersect_rays(d1, d2, view.R, view.t)
    z2 = ((z1[:, None] * d1) @ view.R.T + view.t)[:, 2]
    ahead = (z1 > 0) & (z2 > 0)
    return float(np.median(z1[ahead] / z2[ahead])) if ahead.any() else 1.0
