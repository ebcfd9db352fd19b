"""Findings of a run: sizes, crops, row errors, coverage."""

import math
from collections.abc import Mapping
from typing import cast

import numpy as np

from ..cameras.fit import same_shape
from ..cameras.focal import original_size
from ..geometry.arrays import norms
from ..images.content import content_box, crop_to_content
from ..records import Finding, Photo, RectifiedPair, Rig, TwoView
from .statistics import PHOTO_NAMES, median_parallax_angle

MIN_ROW_OFFSET = 0.1  # px, median, at the matching size: aligned rows measure up to that
# Shares of the parallax, measured by `benchmarks/verdict_truth.py`. Where depth is right to 2 % rows are off by .8 %
# at most. With rigs turned by .3 degrees the drift is 4 to 6 %, which costs 2 to 4 % of depth; KITTI's 2 % cost .5 %.
MAX_ROW_SHARE = 0.01
MAX_DRIFT_SHARE = 0.03
STRIP_ROWS = 64  # rows of the map whose cells are counted at a time: their arrays stay in the processor's cache
SAMPLED_ROWS = 1000  # of the map, that measure the size of a photo pixel
RELIABLE_SIGMA = 0.02  # median; the error of a shape that one can rely on (`benchmarks/verdict_truth.py`)


def coverage(
    pair: RectifiedPair, known: np.ndarray, size: tuple[int, int], corner: np.ndarray | tuple[float, float] = (0, 0)
) -> float:
    """Return the share of the first photo's area that has a point.

    It is the mean, over square cells of 1/200 of the photo's longer side, of the share of a cell's rectified pixels
    that are known.

    Parameters
    ----------
    known : (H, W) bool
        Rectified pixels that have a point.
    size : (width, height)
        Of the photo without letterbox bars, px.
    corner : (x, y)
        px, where that begins (`crop_to_content`).
    """
    cell = max(size) / 200
    shape = int(np.ceil(size[1] / cell)), int(np.ceil(size[0] / cell))
    count, possible = np.zeros((2, shape[0] * shape[1]))
    for top in range(0, len(known), STRIP_ROWS):
        xy, rows = pair.map1[top : top + STRIP_ROWS], known[top : top + STRIP_ROWS]
        everywhere = np.isfinite(xy[..., 0])
        x = xy[everywhere] - np.asarray(corner, np.float32)
        column, row = (((x[:, i] + 0.5) / cell).astype(int).clip(0, shape[1 - i] - 1) for i in (0, 1))
        number = row * shape[1] + column
        possible += np.bincount(number, minlength=possible.size)
        count += np.bincount(number[rows[everywhere]], minlength=count.size)
    return float((count / np.maximum(possible, 1)).mean())


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
    findings += [*letterbox_findings(left, right), *unknown_findings(left, right), *stretched_findings(left, right)]
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


def letterbox_findings(left: Photo, right: Photo) -> list[Finding]:
    """Return a note where bars at the border of a photo are left out."""
    boxes = [content_box(photo.pixels) for photo in (left, right)]
    barred = [k for k, photo in enumerate((left, right)) if boxes[k] != (0, 0, *photo.size)]
    if not barred:
        return []
    which = "both photos have" if len(barred) == 2 else f"the {PHOTO_NAMES[barred[0]]} photo has"
    x0, y0, x1, y1 = boxes[barred[0]]
    return [
        Finding(
            "letterbox",
            "info",
            f"{which} bars of one colour at the border, which are left out: the picture has {x1 - x0} x {y1 - y0} px, "
            f"from ({x0}, {y0}) on.",
            {"boxes": [list(box) for box in boxes]},
        )
    ]


def unknown_findings(left: Photo, right: Photo) -> list[Finding]:
    """Return a note where pixels of a photo are transparent or a black border."""
    contents = [crop_to_content(photo)[0] for photo in (left, right)]
    shares = [0.0 if photo.mask is None else float(1 - photo.mask.mean()) for photo in contents]
    if not any(shares):
        return []
    return [
        Finding(
            "unknown_pixels",
            "info",
            f"{100 * shares[0]:.1f} % of the first photo and {100 * shares[1]:.1f} % of the second photo are "
            "transparent or a black border, which are left out.",
            {"share1": shares[0], "share2": shares[1]},
        )
    ]


def stretched_findings(left: Photo, right: Photo) -> list[Finding]:
    """Return a note where a picture of more than 8 bits uses so few levels that they were stretched."""
    ranges = [photo.exif.get("stretched") for photo in (left, right)]
    used = [(k, found) for k, found in enumerate(ranges, 1) if found is not None]
    if not used:
        return []
    texts = [f"{low:g} to {high:g} in the {PHOTO_NAMES[k - 1]} photo" for k, (low, high) in used]
    return [
        Finding(
            "stretched_levels",
            "info",
            f"the values {' and '.join(texts)} were stretched to the range of 8 bits: brightness is not that of the "
            "file.",
            {f"{name}{k}": value for k, found in used for name, value in zip(("low", "high"), found, strict=True)},
        )
    ]


def cropped_findings(left: Photo, right: Photo, rig: Rig) -> list[Finding]:
    """Return a warning where a photo is a part of what its camera took: its centre and diagonal are not the lens's.

    Its number "one" is 1 where the photos were not cropped alike: that costs more depth than two crops of one kind.
    """
    if {rig.cam1.source, rig.cam2.source} & {"given", "calibration"}:
        return []
    cropped1, cropped2 = (original_size(photo)[1] for photo in (left, right))
    sizes = [crop_to_content(photo)[0].size for photo in (left, right)]
    shapes_match = same_shape(*((min(size), max(size)) for size in sizes))
    alike = shapes_match and cropped1 == cropped2
    models = {photo.exif.get("model") for photo in (left, right)} - {None}
    if cropped1 or cropped2:
        which = "both photos" if cropped1 and cropped2 else f"the {'first' if cropped1 else 'second'} photo"
        verb = "have" if cropped1 and cropped2 else "has"
        reason = f"{which} {verb} other proportions than the EXIF states and so {verb} been cropped"
    elif not alike and len(models) < 2:
        reason = (
            f"the photos have different proportions, {format_size(sizes[0])} and {format_size(sizes[1])} px: "
            "one has been cropped"
        )
    else:
        return []
    return [
        Finding(
            "cropped",
            "warning",
            f"{reason}; its centre may not be the lens's, nor its focal length right.",
            {"size1": list(sizes[0]), "size2": list(sizes[1]), "one": float(not alike)},
            "Use the photos as they came from the camera, or give a calibration.",
        )
    ]


def parallax_px(pair: RectifiedPair, view: TwoView, x1: np.ndarray, x2: np.ndarray) -> float:
    """f angle / s: median parallax of matches, px of the rectified picture, s photo px in one of its pixels.

    An error of the disparity of e px is one of e / parallax of the depth, whatever the size of the picture.

    Parameters
    ----------
    x1, x2 : (N, 2) float64
        Matches, photo px.

    Returns
    -------
    float
    """
    if pair.sphere is not None:
        return math.radians(median_parallax_angle(x1, x2, view)) / pair.sphere.pitch
    steps = np.diff(pair.map1[:: -(-len(pair.map1) // SAMPLED_ROWS)], axis=1)
    photo_px = float(np.nanmedian(norms(steps)))
    return view.rig.cam1.focal * math.radians(median_parallax_angle(x1, x2, view)) / photo_px


def row_findings(pair: RectifiedPair, parallax: float) -> list[Finding]:
    """Return how well the rows of the rectified pictures correspond, and the correction that was applied.

    Parameters
    ----------
    pair : RectifiedPair
        The rectified photos.
    parallax : float
        px, as `parallax_px` returns it: what misaligns the rows by r px displaces points along the rows as much, which
        is r / parallax of their depth.
    """
    findings = []
    rows, drift = cast("Mapping[str, float]", pair.rows), cast("Mapping[str, float]", pair.drift)
    if rows:
        share = rows["median_px"] / max(parallax, 1e-9)
        off = rows["median_px"] > MIN_ROW_OFFSET and share > MAX_ROW_SHARE
        findings.append(
            Finding(
                "rows_off" if off else "rows",
                "warning" if off else "info",
                f"rows of the rectified pictures are misaligned by {rows['median_px']:.2f} px (median; "
                f"95 % below {rows['most_px']:.2f} px; measured at {rows['places']} places), "
                f"{100 * share:.2g} % of the parallax of {parallax:.0f} px.",
                {**rows, "parallax_px": parallax, "parallax_share": share},
                "Check the calibration; moving things and a rolling shutter do this as well." if off else "",
            )
        )
    if drift:
        share = drift["before_px"] / max(parallax, 1e-9)
        off = share > MAX_DRIFT_SHARE
        findings.append(
            Finding(
                "calibration_off" if off else "row_drift",
                "warning" if off else "info",
                f"matches were {drift['before_px']:.2f} px off their epipolar lines (median), "
                f"{100 * share:.2g} % of the parallax of {parallax:.0f} px; {drift['after_px']:.2f} px after a smooth "
                f"correction of up to {drift['largest_px']:.1f} px: "
                + (
                    "the calibration is of another pose or lens, or the shutter rolled; the same error along the lines "
                    "stays."
                    if off
                    else "lens distortion or a rolling shutter that the camera data do not include."
                ),
                {**drift, "parallax_px": parallax, "parallax_share": share},
                "Calibrate the cameras again (`stereo3d calibrate`), or leave the calibration out."
                if off
                else "A calibration with lens distortion (`stereo3d calibrate`) makes it more precise.",
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
            "Take photos with more overlap and texture, or give the focal length (--focal-35mm).",
        )
    ]


def uncertainty_findings(relative_sigma: float, *, posed: bool = False) -> list[Finding]:
    """Return a warning where the median relative depth uncertainty is above `RELIABLE_SIGMA`.

    Parameters
    ----------
    relative_sigma : float
        Median of the standard deviation of a point over its distance.
    posed : bool
        The cameras and their pose are known: only the distance can be changed.
    """
    if not relative_sigma > RELIABLE_SIGMA:
        return []
    return [
        Finding(
            "uncertain_depth",
            "warning",
            f"depth is uncertain by {100 * relative_sigma:.2g} % (median of the standard deviation of a point over its "
            "distance).",
            {"relative_sigma": relative_sigma},
            "Go nearer to the scene, or take the cameras farther apart."
            if posed
            else "Step further sideways, or give the focal length (--focal-35mm) or a calibration.",
        )
    ]


def format_size(size: tuple[int, ...]) -> str:
    """Return "width x height"."""
    return f"{size[0]} x {size[1]}"
