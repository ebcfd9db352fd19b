"""The rig of a run: from the caller, a calibration file, the options or EXIF."""

import math
from dataclasses import replace

import numpy as np

from ..cameras.fit import fit_rig
from ..cameras.formats.check import UNSTATED_UNIT
from ..cameras.panorama import camera_of, is_equirectangular
from ..cameras.pinhole_view import MAX_HALF_ANGLE_DEG, field_of_view_deg, pinhole_pixels, pinhole_view
from ..cameras.read import read_rig
from ..diagnosis.run_findings import format_size
from ..errors import StereoError
from ..geometry.camera import scale_K
from ..geometry.rotations import rotation_angle_deg
from ..records import Camera, Finding, Photo, Rig
from .config import RIG_ERRORS, Config

MAX_MISALIGNMENT_DEG = 1.0  # degrees; calibrated rectified pairs deviate by hundredths (KITTI: 0.3 in the baseline)
_SIZED = {"markers": "markers", "board": "board", "known-distance": "known_distance"}  # option -> field of Config
NOT_RECTIFIED = "Leave --rectified out: `stereo3d LEFT RIGHT` rectifies the photos."


def refuse_same_pixels(left: Photo, right: Photo) -> None:
    """Raise StereoError("same_photo") where both photos hold the same pixels."""
    if left.pixels.shape == right.pixels.shape and np.array_equal(left.pixels, right.pixels):
        raise StereoError(
            "same_photo",
            "both photos have the same pixels.",
            "Take the second photo from another position.",
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
    return _with_error(_scaled_cameras(rig, config), config)


def pinhole_views(
    left: Photo, right: Photo, rig: Rig, config: Config
) -> tuple[Photo, Photo, Rig, Config, list[Finding]]:
    """Return photos, rig, settings and a finding, photos of wide-angle lenses resampled as pinhole cameras'.

    The positions and axes of the cameras stay, so the pose does. The pixels of config.known_distance become those of
    the view. Where the whole field is used (`uses_whole_field`), photos and rig stay as they are.
    """
    if not rig.wide:
        return left, right, rig, config, []
    fields = [field_of_view_deg(camera) for camera in (rig.cam1, rig.cam2)]
    if uses_whole_field(rig, config):
        return left, right, rig, config, _whole_field_findings(rig, fields)
    (left, cam1), (right, cam2) = pinhole_view(left, rig.cam1), pinhole_view(right, rig.cam2)
    used = [field_of_view_deg(camera) for camera in (cam1, cam2)]
    lens = rig.cam1.lens or rig.cam2.lens
    assert lens is not None
    cut = max(fields) > max(used) + 1
    finding = Finding(
        "wide_lens",
        "info",
        f"{_whose(rig)} of a {lens.model} lens that shows {max(fields):.0f} degrees; "
        + (f"{max(used):.0f} degrees about its axis are used." if cut else "all of it is used."),
        {"field_deg": max(fields), "used_deg": max(used)},
    )
    if config.known_distance is not None and rig.cam1.lens is not None:
        first, second, distance = config.known_distance
        x = pinhole_pixels(np.array([first, second]), rig.cam1, cam1)
        config = replace(config, known_distance=(tuple(map(float, x[0])), tuple(map(float, x[1])), distance))
    return left, right, replace(rig, cam1=cam1, cam2=cam2), config, [finding]


def _whose(rig: Rig) -> str:
    """Begin the sentence on a wide lens."""
    return "the photos are" if "estimated" in (rig.cam1.source, rig.cam2.source) else "the calibration is"


def uses_whole_field(rig: Rig, config: Config) -> bool:
    """Whether a run works on the sphere of directions: panoramas, and posed wide lenses that no pinhole view holds.

    Targets of known size, known distances and rigs that are known nominally need the pinhole view, where there is one.
    """
    sized = [name for name, value in _SIZED.items() if getattr(config, value)]
    if rig.cam1.is_panorama or rig.cam2.is_panorama:
        if targets := [name for name in sized if name != "known-distance"]:
            raise StereoError(
                "bad_option",
                f"{' and '.join(targets)} cannot be measured in a panorama.",
                "Give --baseline, the distance between the two camera positions, or --known-distance.",
            )
        return True
    widest = max(field_of_view_deg(camera) for camera in (rig.cam1, rig.cam2))
    return rig.posed and rig.error.exact and not sized and widest > 2 * MAX_HALF_ANGLE_DEG + 1


def _whole_field_findings(rig: Rig, fields: list[float]) -> list[Finding]:
    """State that the whole field of a wide lens is used; of panoramas `diagnosis.sphere` states more."""
    lens = rig.cam1.lens or rig.cam2.lens
    if lens is None or rig.cam1.is_panorama or rig.cam2.is_panorama:
        return []
    return [
        Finding(
            "wide_lens",
            "info",
            f"{_whose(rig)} of a {lens.model} lens that shows {max(fields):.0f} degrees; all of it is used, "
            "over the sphere of directions.",
            {"field_deg": max(fields), "used_deg": max(fields)},
        )
    ]


def _known_cameras(left: Photo, right: Photo, rig: Rig | None, config: Config) -> Rig:
    """The cameras from the first of these sources: the argument, the calibration file, the settings and EXIF."""
    sizes = left.size, right.size
    orientations = left.exif.get("orientation", 1), right.exif.get("orientation", 1)
    if rig is not None:
        return fit_rig(rig, *sizes, orientations=orientations)
    if config.calib is None:
        given = {"focal": config.focal, "focal_35mm": config.focal_35mm, "fov": config.fov}
        panoramas = is_equirectangular(left), is_equirectangular(right)
        of_one = any(panoramas) and not all(panoramas)  # what is given is of the other photo
        cam1, cam2 = (
            camera_of(photo, {} if of_one and panorama else given)
            for photo, panorama in zip((left, right), panoramas, strict=True)
        )
        return Rig(cam1, cam2)
    names = left.path.name if left.path else "", right.path.name if right.path else ""
    rig = read_rig(config.calib, sizes, orientations=orientations, names=names)
    sized = config.known_distance is not None or bool(config.markers) or config.board is not None
    if config.unit is not None and config.baseline is None and not sized:  # else it is the unit of those lengths
        rig = _in_unit(rig, config.unit)
    return rig


def _rectified_cameras(rig: Rig, size1: tuple[int, int], size2: tuple[int, int]) -> Rig:
    """The rig of a rectified pair: its pose checked where it is known, else parallel cameras of one focal length."""
    if rig.cam1.lens is not None or rig.cam2.lens is not None:
        raise StereoError(
            "calibration_mismatch",
            "a photo is a panorama or its calibration that of a wide-angle lens, and a rectified pair shows what "
            "pinhole cameras see.",
            "Give the calibration of the rectified pair; or leave it to `stereo3d LEFT RIGHT --save-stages DIR`, which "
            "rectifies such photos and writes the pair and its disparity.",
        )
    if rig.R is not None and rig.t is not None:
        turn = rotation_angle_deg(rig.R)
        slope = math.degrees(math.asin(min(1, np.linalg.norm(rig.t[1:]) / np.linalg.norm(rig.t))))
        if max(turn, slope) > MAX_MISALIGNMENT_DEG:
            raise StereoError(
                "calibration_mismatch",
                f"the calibration is of a pair that is not rectified: its cameras are turned "
                f"by {turn:.2g} degrees against each other, and their baseline is {slope:.2g} degrees off the rows.",
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
            f"the calibration has its own baseline, {np.linalg.norm(rig.t):g} {rig.unit}; {option} is given as well.",
            "Give one of them.",
        )
    if config.baseline is None:
        return rig
    rig = replace(rig, unit=config.unit or "units")
    return rig if rig.t is None else replace(rig, t=rig.t * config.baseline / np.linalg.norm(rig.t))


def _with_error(rig: Rig, config: Config) -> Rig:
    """The rig with the errors of config.rig_error."""
    if config.rig_error is None:
        return rig
    if not rig.posed:
        raise StereoError(
            "bad_option",
            f"rig-error {config.rig_error} needs cameras whose relative pose is known.",
            "Give --calib with R and T, or --rectified; leave --rig-error out where the pose is to be estimated.",
        )
    return replace(rig, error=RIG_ERRORS[config.rig_error])


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
