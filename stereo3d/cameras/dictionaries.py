"""Dictionaries of square markers: ArUco and AprilTag, as OpenCV names them."""

from typing import Any

from ..errors import StereoError


def dictionary_names() -> list[str]:
    """Return the names of all dictionaries: "4X4_50", "APRILTAG_36h11", ..."""
    import cv2

    names = [key.removeprefix("DICT_") for key in dir(cv2.aruco) if key.startswith("DICT_")]
    return sorted({name.upper(): name for name in names}.values())  # OpenCV has some in two cases


def dictionary_name(name: str) -> str:
    """Return the name as OpenCV writes it; upper and lower case are the same, as are 4x4_50 and DICT_4X4_50.

    Raises
    ------
    StereoError
        "bad_option" for an unknown name, with all that there are.
    """
    known = {key.upper(): key for key in dictionary_names()}
    found = known.get(str(name).strip().upper().removeprefix("DICT_"))
    if found is None:
        raise StereoError("bad_option", f"there is no dictionary {name!r}.", f"There are: {', '.join(known.values())}.")
    return found


def marker_dictionary(name: str) -> Any:
    """Return OpenCV's dictionary of that name; StereoError("bad_option") for an unknown one."""
    import cv2

    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, "DICT_" + dictionary_name(name)))
