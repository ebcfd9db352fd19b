"""Findings of the cameras: focal length, lens, contradictions with EXIF."""

from dataclasses import replace

import numpy as np

from ..records import Camera, Finding, Rig, TwoView
from ..two_view.uncertainty import PRIOR_FACTOR, FreedParameter, focal_tilt, freed_parameters
from .statistics import PHOTO_NAMES

FOCAL_TILT = 5.0  # degrees by which a wrong guess of the focal length turns the motion; more is worth a sentence
# Below this relative difference the two photos are assumed to share a lens (EXIF is known to 4 %); the one-lens test is
# invalid for two lenses.
ONE_LENS = 0.05
MIN_MATCHES_FOR_LENS = 60  # inliers; with fewer the focal length and distortion are not tested
MIN_LENS_SIGMAS = 8  # standard errors by which matches must contradict a lens
MIN_FOCAL_CHANGE = 1.15  # factor by which matches must contradict a focal length
MIN_LENS_GAIN = 0.9  # of the cost that is left when the contradicted parameter is freed
MIN_CORNER_BEND = 3.0  # px in the corner, of a lens that is called distorted
DIAGONAL_DEG = (15.0, 130.0)  # diagonal fields of view of ordinary lenses: 165 mm to 10 mm, 35 mm equivalent


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
