"""Agisoft Metashape: a camera calibration or cameras with poses, XML."""

import math
import re
from typing import Any

from ...records import Camera, Rig
from .check import (
    View,
    bad,
    checked_camera,
    inverse_pose,
    panorama,
    pose_of_matrix,
    refuse_model,
    rig_of_views,
    wide_lens,
)
from .markup import Element, xml_root

_NUMBERS = ("f", "cx", "cy", "b1", "b2", "k1", "k2", "k3", "k4", "p1", "p2", "p3", "p4")


def fits_metashape(text: str) -> bool:
    """Return whether the root of the XML is calibration, or a document with a sensor."""
    return re.search(r"<(calibration|sensor)[\s>]", text) is not None and "<opencv_storage" not in text


def read_metashape(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read Metashape's calibration.xml, one camera for both photos, or cameras.xml, the two cameras by their labels.

    u = width / 2 + cx + (f + b1) x' + b2 y', v = height / 2 + cy + f y', and x', y' by Brown with p1 and p2 exchanged
    against OpenCV's; the centre of the first pixel is (1/2, 1/2). `<transform>` holds the axes (x right, y down, z
    forward) and the centre of a camera in the chunk. A spherical camera is a panorama of the whole sphere, its forward
    axis in the middle of the picture; its sensor may have no calibration. The scale is free.

    References
    ----------
    Agisoft, Metashape Professional Edition User Manual, appendix "Camera models", frame, fisheye and spherical cameras.
    """
    root = xml_root(text)
    chunks = root.find_all("chunk")
    if not chunks:
        found = [root] if root.find("f") is not None else root.find_all("calibration") or [root]
        camera = _metashape_camera(found[0], None, "Metashape")
        return Rig(camera, camera)
    sensors = {
        s.attributes.get("id"): s
        for s in root.find_all("sensor")
        if s.find("calibration") is not None or s.attributes.get("type") == "spherical"
    }
    if not sensors:
        raise bad("is of Metashape, but has no sensor with a calibration", "Align the photos, then export the cameras.")
    views: dict[str, View] = {}
    for element in root.find_all("camera"):
        transform, sensor = element.find("transform"), sensors.get(element.attributes.get("sensor_id"))
        if transform is None or sensor is None:
            continue  # a photo that was not aligned
        label = element.attributes.get("label", element.attributes.get("id", "?"))
        camera = _sensor_camera(sensor, f"Metashape, {label}")
        R, C = pose_of_matrix(transform.content(), f"the transform of {label} (Metashape)")
        views[label] = camera, inverse_pose(R, C)
    if not views and len(sensors) == 1:
        [sensor] = sensors.values()
        camera = _sensor_camera(sensor, "Metashape")
        return Rig(camera, camera)
    return rig_of_views(views, names, None, "Metashape")


def _sensor_camera(sensor: Element, form: str) -> Camera:
    """The camera of a sensor; of a spherical one its calibration, if there is any, holds no more than its size."""
    calibration = sensor.find("calibration")
    return _metashape_camera(calibration or Element(dict(sensor.attributes)), sensor.find("resolution"), form)


def _metashape_camera(element: Element, resolution: Element | None, form: str) -> Camera:
    def number(tag: str, default: float | None = None) -> float:
        child = element.find(tag)
        value: Any = default if child is None else child.content()
        if not isinstance(value, float) or not math.isfinite(value):
            raise bad(f"has no number <{tag}> in a calibration of {form}", "Export the calibration as Agisoft XML.")
        return value

    if element.find("fx") is not None:
        refuse_model("fx, fy, skew of Agisoft Lens", form, "Export the calibration from Metashape as Agisoft XML.")
    stated = resolution.attributes if resolution is not None else {}
    found = element.find("resolution")
    stated = found.attributes if found is not None else stated
    try:
        w, h = (float(stated[key]) if key in stated else number(key) for key in ("width", "height"))
    except ValueError as error:
        raise bad(f"has no numbers in the resolution of {form}") from error
    kind = element.attributes.get("type") or (_text(element, "projection")) or "frame"
    if kind == "spherical":
        return panorama((w, h), form)
    p = {key: number(key, None if key == "f" else 0.0) for key in _NUMBERS}
    K = [[p["f"] + p["b1"], p["b2"], w / 2 + p["cx"] - 0.5], [0, p["f"], h / 2 + p["cy"] - 0.5], [0, 0, 1]]
    if kind in ("fisheye", "equidistant_fisheye") and not any(p[key] for key in ("p1", "p2", "b1", "b2")):
        return wide_lens("fisheye", K, (w, h), [p["k1"], p["k2"], p["k3"], p["k4"]], form)
    if kind != "frame":
        refuse_model(kind, form, "Undistort the photos in Metashape (Export, Undistort photos).")
    if p["k4"] or p["p3"] or p["p4"]:
        refuse_model("frame with k4, p3 or p4", form, "Optimize the cameras in Metashape without k4, p3 and p4.")
    return checked_camera(K, (w, h), [p["k1"], p["k2"], p["p2"], p["p1"], p["k3"]], form)


def _text(element: Element, tag: str) -> str | None:
    child = element.find(tag)
    value = None if child is None else child.content()
    return value if isinstance(value, str) else None
