"""Text and pictures of a calibration."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...geometry.rotations import rotation_angle_deg
from .camera import outlying
from .rig import RigCalibration
from .solve import CameraCalibration, coverage_map


def coverage_picture(found: CameraCalibration | RigCalibration, *, side: int = 960) -> np.ndarray:
    """Draw the coverage of the picture by boards: the lighter the more boards, dark red where none; corners as dots.

    Parameters
    ----------
    found : CameraCalibration or RigCalibration
        Of a rig, both cameras are drawn side by side.
    side : int
        px, longer side of one picture.

    Returns
    -------
    (h, w, 3) uint8
        RGB; corners of outlying photos are red.
    """
    import cv2

    if isinstance(found, RigCalibration):
        pictures = [coverage_picture(camera, side=side) for camera in (found.left, found.right)]
        height = max(len(picture) for picture in pictures)
        return np.hstack([np.pad(p, ((0, height - len(p)), (4 * i, 0), (0, 0))) for i, p in enumerate(pictures)])
    count = coverage_map(found.photos, side=side)
    share = np.sqrt(count / max(count.max(), 1))[..., None]
    picture = np.where(count[..., None] == 0, [70, 20, 20], (1 - share) * [30, 50, 90] + share * [205, 225, 245])
    picture = np.ascontiguousarray(np.rint(picture).astype(np.uint8))
    scale, bad = side / max(found.camera.size), outlying(found.errors)
    for c, out in zip(found.photos, bad, strict=True):
        for x, y in np.rint(16 * ((c.x + 0.5) * scale - 0.5)).astype(int):
            colour = (230, 40, 30) if out else (20, 20, 20)
            cv2.circle(
                img=picture,
                center=(int(x), int(y)),
                radius=16 * max(2, side // 320),
                color=colour,
                thickness=-1,
                lineType=cv2.LINE_AA,
                shift=4,
            )
    return picture


def _measured_camera(found: CameraCalibration) -> dict:
    camera = found.camera
    return {
        "size": camera.size,
        "model": found.model,
        "models": [
            {"model": m.model, "held_out_px": m.error, "standard_error_px": m.sigma, "reason": m.reason}
            for m in found.models
        ],
        "K": camera.K,
        "dist": camera.dist if camera.lens is None else list(camera.lens.coefficients),
        "standard_errors": found.sigma,
        "rms_px": found.rms,
        "photos": {c.name: float(e) for c, e in zip(found.photos, found.errors, strict=True)},
        "dropped": found.dropped,
        "coverage": found.coverage,
        "tilt_deg": found.tilt,
    }


def measured(found: CameraCalibration | RigCalibration) -> dict:
    """Return all numbers of a calibration by name, errors in px by photo or pair; ready for JSON."""
    findings = [
        {"code": f.code, "severity": f.severity, "message": f.message, "numbers": f.numbers, "advice": f.advice}
        for f in found.findings
    ]
    if isinstance(found, CameraCalibration):
        return {**_measured_camera(found), "findings": findings}
    pairs = [{"photos": names, "errors_px": e} for names, e in zip(found.pairs, found.errors, strict=True)]
    return {
        "left": _measured_camera(found.left),
        "right": _measured_camera(found.right),
        "R": found.rig.R,
        "t": found.rig.t,
        "unit": found.rig.unit,
        "baseline": found.baseline,
        "baseline_standard_error": found.sigma,
        "rms_px": found.rms,
        "pairs": pairs,
        "findings": findings,
    }


def describe(found: CameraCalibration | RigCalibration, missing: Sequence[str] = ()) -> list[str]:
    """Return the calibration as lines of text to print.

    Parameters
    ----------
    found : CameraCalibration or RigCalibration
    missing : sequence of str
        Photos in which no board was found.
    """
    lines = [f"warning: no board was found in {name}." for name in missing]
    lines += [f"warning: {f.message} {f.advice}" for f in found.findings if f.severity == "warning"]
    if isinstance(found, CameraCalibration):
        return [*lines, *_describe_camera(found)]
    for which, camera in (("left ", found.left), ("right ", found.right)):
        lines += _describe_camera(camera, which)
    lines += [
        f"  {Path(a).name}, {Path(b).name}: {e[0]:.2f}, {e[1]:.2f} px"
        for (a, b), e in zip(found.pairs, found.errors, strict=True)
    ]
    assert found.rig.R is not None  # calibrate_rig always estimates the pose
    angle = rotation_angle_deg(found.rig.R)
    return [
        *lines,
        f"rig: baseline {found.baseline:.5g} +- {found.sigma:.2g} {found.rig.unit}, turned by {angle:.2f} "
        f"degrees, {len(found.pairs)} pairs, {found.rms:.2f} px",
    ]


def _describe_camera(found: CameraCalibration, which: str = "") -> list[str]:
    K, s = found.camera.K, found.sigma
    value = {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
    values = ", ".join(f"{name} {value[name]:.2f} +- {s[name]:.2f}" for name in value)
    lens = found.camera.lens
    count = len(found.camera.dist) if lens is None else len(lens.coefficients)
    return [
        *_describe_models(found, which),
        *(f"  {Path(c.name).name}: {e:.2f} px" for c, e in zip(found.photos, found.errors, strict=True)),
        *(f"  {Path(name).name}: left out" for name in found.dropped),
        f"{which}camera: {values} px, {found.model}, {count} coefficients of distortion, "
        f"{len(found.photos)} photos, {found.rms:.2f} px, {100 * found.coverage:.0f} % of the picture covered",
    ]


def _describe_models(found: CameraCalibration, which: str) -> list[str]:
    """One line with the model that was chosen and the errors of all, or none where the model was given."""
    if not found.models:
        return []
    parts = [
        f"{m.model} does not fit ({m.reason.rstrip('.')})"
        if m.error is None or m.sigma is None
        else f"{m.model} {m.error:.3f} px" + (f" +- {m.sigma:.3f}" if m.sigma else "")
        for m in found.models
    ]
    return [f"{which}model: {found.model}, by the error on held-out corners: {', '.join(parts)}"]
