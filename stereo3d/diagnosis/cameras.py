"""Findings of the cameras: focal length, lens, contradictions with EXIF."""

from dataclasses import dataclass, replace

import numpy as np

from ..records import Camera, Finding, Rig, TwoView
from ..two_view.uncertainty import FreedParameter, focal_tilt, freed_parameters
from .statistics import PHOTO_NAMES

MAX_FOCAL_TILT = 5.0  # degrees; the verdict's rule and the finding's sentence share it
# Factors by which depth may be stretched, to 90 %, of a good and of a fair shape: what one would see in the model.
MAX_STRETCH = {"good": 1.1, "fair": 1.3}


@dataclass(frozen=True)
class CameraThresholds:
    """Bounds of the findings of the cameras, measured by `benchmarks/verdict.py`."""

    # Degrees by which a wrong guess of the focal length turns the motion; more is worth a sentence.
    max_focal_tilt: float = MAX_FOCAL_TILT
    max_stretch: float = MAX_STRETCH["good"]  # factor; more is a warning
    # Relative difference of the focal lengths below which one lens took both photos (EXIF is known to 4 %); the
    # one-lens test is invalid for two lenses.
    one_lens: float = 0.05
    min_matches: int = 60  # inliers; with fewer the focal length and distortion are not tested
    min_sigmas: float = 8  # standard errors by which matches must contradict a lens
    min_focal_change: float = 1.15  # factor by which matches must contradict a focal length
    max_cost_ratio: float = 0.9  # of the cost that is left when the contradicted parameter is freed
    max_change_cost: float = 0.93  # as max_cost_ratio, of the ratio of both focal lengths, and of a skew
    # Change of the second photo against the first that harms depth little, and that a change of focus makes: a phone's
    # lens of 6 mm has .006 more focal length at a metre than at infinity.
    small_change: float = 0.006
    min_corner_bend: float = 3.0  # px of the reference size, in the corner, of a lens that is called distorted
    # Degrees, diagonal fields of view of ordinary lenses: 165 mm to 10 mm, 35 mm equivalent.
    diagonal_fields: tuple[float, float] = (15.0, 130.0)


CAMERA_THRESHOLDS = CameraThresholds()


def camera_findings(
    view: TwoView,
    rig: Rig,
    x1: np.ndarray,
    x2: np.ndarray,
    unit: float,
    testable: bool,
    limits: CameraThresholds = CAMERA_THRESHOLDS,
) -> list[Finding]:
    """State the focal length, and whether the matches contradict it, the field of view or a lens without distortion.

    Parameters
    ----------
    view : TwoView
        The estimate.
    rig : Rig
        The cameras as they were given.
    x1, x2 : (N, 2) float64
        Inliers, photo px.
    unit : float
        Photo px in one px of the reference size.
    testable : bool
        Whether the motion is certain enough to test the cameras.
    limits : CameraThresholds
        Bounds of the findings.
    """
    camera = view.rig.cam1
    tilt = 0.0
    if testable and not rig.posed and camera.source == "prior":
        tilt = focal_tilt(x1, x2, view)
    elif testable and not rig.posed and max_stretch(view) > limits.max_stretch:
        tilt = focal_tilt(x1, x2, view, 1 + (view.focal_sigma or 0))
    findings = [focal_finding(view, tilt, limits)]
    odd = _odd_field(camera, limits) or _odd_field(view.rig.cam2, limits)
    if odd:
        findings.append(
            Finding(
                "focal_implausible",
                "warning",
                f"a focal length of {odd[0]:.0f} px means a field of view of {odd[1]:.0f} "
                "degrees, which few lenses have.",
                {"field_deg": odd[1]},
                "Check --focal, --fov or the calibration; --focal-35mm is the 35 mm equivalent (phones: 24 to 28), not "
                "the length that is engraved on the lens.",
            )
        )
    if testable and not rig.posed and len(x1) >= limits.min_matches:
        findings += _lens(view, x1, x2, unit, bool(odd), limits)
        if not any(f.code == "focal_implausible" for f in findings):
            findings += _one_exif(view, rig, x1, x2, limits)
    return findings


def focal_finding(view: TwoView, tilt: float, limits: CameraThresholds = CAMERA_THRESHOLDS) -> Finding:
    """State a focal length, how it is known, and by how much it may stretch depth: the guessed one, else the first.

    Parameters
    ----------
    view : TwoView
        The estimate.
    tilt : float
        Degrees by which the motion may be wrong where the focal length is uncertain (`focal_tilt`).
    limits : CameraThresholds
        Bounds of the findings.

    Returns
    -------
    Finding
        "focal"; "focal_unknown" where it is a guess; "focal_ambiguous" where another one explains the matches as well.
        A warning where depth may be stretched by more than `limits.max_stretch`. With a probability of 90 % its stretch
        lies between the numbers stretch_low and stretch_high; "stretch" is the larger factor.
    """
    cameras = view.rig.cam1, view.rig.cam2
    camera = next((c for c in cameras if c.source == "prior"), cameras[0])
    numbers = {"focal1_px": camera.focal, "focal2_px": view.rig.cam2.focal}
    if view.focal_sigma is not None:
        numbers["focal_sigma"] = view.focal_sigma
    low, high = stretch_interval(view)
    stretch = max_stretch(view)
    numbers |= {"stretch_low": low, "stretch_high": high, "stretch": stretch}
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
    consequence = f"depth may be stretched by a factor of {low:.2f} to {high:.2f} against width and height"
    turned = f", and the camera motion may be {tilt:.0f} degrees off" if tilt > limits.max_focal_tilt else ""
    advice = "Give --focal-35mm (phones: 24 to 28) or a calibration."
    unknown = camera.source == "prior"
    if unknown or stretch > limits.max_stretch:
        numbers["motion_deg"] = tilt
    if view.focal_rivals:
        rival = camera.focal * view.focal_rivals[0]
        numbers["rival_px"] = rival
        message += f"; {rival:.0f} px explains the matches about as well: {consequence}{turned}."
        return Finding("focal_ambiguous", "warning", message, numbers, advice)
    if unknown:
        message += f": the pair does not determine it, so {consequence}{turned}."
        return Finding("focal_unknown", "warning", message, numbers, advice)
    if stretch > limits.max_stretch:
        return Finding("focal", "warning", f"{message}: {consequence}{turned}.", numbers, advice)
    return Finding("focal", "info", message + ".", numbers)


def max_stretch(view: TwoView) -> float:
    """Return the larger factor of `stretch_interval`."""
    low, high = stretch_interval(view)
    return max(high, 1 / low)


def stretch_interval(view: TwoView) -> tuple[float, float]:
    """Return the factors between which depth is stretched, with a probability of 90 %: f / f_true, (1, 1) if known."""
    if view.focal_range is None:
        return 1.0, 1.0
    return 1 / view.focal_range[1], 1 / view.focal_range[0]


def _odd_field(camera: Camera, limits: CameraThresholds) -> tuple[float, float] | None:
    """Focal length (px) and diagonal field of view (degrees) where few lenses have it."""
    field = 2 * np.degrees(np.arctan(np.hypot(*camera.size) / 2 / camera.focal))
    return None if limits.diagonal_fields[0] <= field <= limits.diagonal_fields[1] else (camera.focal, float(field))


def _lens(
    view: TwoView, x1: np.ndarray, x2: np.ndarray, unit: float, odd: bool, limits: CameraThresholds
) -> list[Finding]:
    """Test the focal length and the missing lens distortion against the matches. odd: its field of view is reported."""
    focal, k1 = freed_parameters(x1, x2, view)
    findings = []
    known = view.rig.cam1.source in ("given", "calibration", "exif")
    if known and not odd and _contradicted(focal, k1, limits):
        where = "that is given" if view.rig.cam1.source != "exif" else "that is in the EXIF"
        findings.append(_implausible(focal, f"the one {where} better."))
    half = np.hypot(*view.rig.cam1.size) / 2
    to_corner = half**3 / view.rig.cam1.focal**2  # px in the corner for a k1 of 1
    corner = k1.value * to_corner
    certain = abs(corner) > max(limits.min_sigmas * k1.sigma * to_corner, limits.min_corner_bend * unit)
    undistorted = not np.any(view.rig.cam1.dist)
    if undistorted and certain and k1.cost < limits.max_cost_ratio * min(1.0, focal.cost):
        findings.append(
            Finding(
                "lens_distortion",
                "info",
                f"the lens seems to bend the corners by {abs(corner):.0f} px "
                f"({'barrel' if corner < 0 else 'pincushion'}).",
                {"corner_px": float(corner)},
                "Calibrate the camera to remove this (stereo3d calibrate).",
            )
        )
    return findings


def _contradicted(focal: FreedParameter, k1: FreedParameter, limits: CameraThresholds) -> bool:
    """Return whether the matches ask for another focal length.

    Lens distortion looks alike, so it must explain the matches worse.
    """
    far = abs(focal.value) > max(limits.min_sigmas * focal.sigma, np.log(limits.min_focal_change))
    return bool(far and focal.cost < limits.max_cost_ratio * min(1.0, k1.cost))


def _implausible(focal: FreedParameter, explanation: str) -> Finding:
    factor = float(np.exp(focal.value))
    return Finding(
        "focal_implausible",
        "warning",
        f"the matches fit a focal length {factor:.2f} times {explanation}",
        {"focal_factor": factor, "log_focal_deviation": focal.sigma},
        "Were the photos cropped or taken with another zoom? Check --focal-35mm or the calibration.",
    )


def _one_exif(view: TwoView, rig: Rig, x1: np.ndarray, x2: np.ndarray, limits: CameraThresholds) -> list[Finding]:
    """Test the EXIF of a single photo against the matches, provided that one lens took both photos.

    Two lenses with centres of their own fit nearly any focal length. Photos of one size whose estimated focal lengths
    are alike were taken by one lens, which the focal length of the EXIF must fit.
    """
    cams = rig.cam1, rig.cam2
    sources = [c.source for c in cams]
    alike = abs(np.log(view.rig.cam2.focal / view.rig.cam1.focal)) < limits.one_lens and cams[0].size == cams[1].size
    if not alike or sorted(sources) != ["exif", "prior"]:
        return []
    which = sources.index("exif")
    focal, k1 = freed_parameters(x1, x2, replace(view, rig=Rig(cams[which], cams[which])))
    if not _contradicted(focal, k1, limits):
        return []
    return [
        _implausible(focal, f"the one in the EXIF of the {PHOTO_NAMES[which]} photo better, if one camera took both.")
    ]
