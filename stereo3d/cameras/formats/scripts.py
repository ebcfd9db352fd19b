"""Matrices written as assignments: MATLAB, Python, and the Calib_Results.m of Bouguet's toolbox."""

import re
from typing import Any

import numpy as np

from ...records import Rig
from .check import bad, checked_camera, posed
from .entries import rig_of_entries
from .markup import MAX_ENTRIES

_MAX_TEXT = 500_000  # characters; a calibration with its corners has some 100,000
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
# A name, "=", an optional call such as np.array(, and either brackets around numbers or one number.
_ASSIGNMENT = re.compile(
    rf"^[ \t]*([A-Za-z]\w{{0,60}})[ \t]*=[ \t]*(?:[A-Za-z][\w.]{{0,30}}\()?[ \t]*(\[|{_NUMBER})", re.M
)
_BRACKETED = re.compile(r"[\s\d\[\]().,;eE+-]*")
_ROW = re.compile(r"[;\n\]]")


def fits_script(text: str) -> bool:
    """Return whether a line assigns a bracketed matrix to a name."""
    return re.search(r"(?m)^[ \t]*[A-Za-z]\w{0,60}[ \t]*=[ \t]*(?:[A-Za-z][\w.]{0,30}\()?[ \t]*\[", text) is not None


def script_entries(text: str) -> dict[str, Any]:
    """Return name -> matrix or number of the assignments of a text; nothing is executed.

    Rows end at ";" or "]" or a new line. Assignments of anything but numbers are left out, the last of equal names
    counts.
    """
    if len(text) > _MAX_TEXT:
        raise bad(f"has {len(text)} characters of MATLAB or Python text; at most {_MAX_TEXT} are read")
    text = re.sub(r"(?m)[%#].*$", "", text)
    found: dict[str, Any] = {}
    for match in _ASSIGNMENT.finditer(text):
        name, start = match[1], match[2]
        if start != "[":
            found[name] = float(start)
            continue
        whole = _BRACKETED.match(text, match.start(2))
        assert whole is not None  # the pattern matches nothing, too
        body = _closed(whole[0])
        numbers = [[float(n) for n in re.findall(_NUMBER, row)] for row in _ROW.split(body)]
        rows = [row for row in numbers if row]
        if not rows or sum(map(len, rows)) > MAX_ENTRIES:
            continue
        even = len({len(row) for row in rows}) == 1
        found[name] = np.array(rows) if even else np.array([n for row in rows for n in row])
    return found


def _closed(text: str) -> str:
    """The part of a text up to the bracket that closes its first one."""
    depth = 0
    for at, sign in enumerate(text):
        depth += (sign == "[") - (sign == "]")
        if depth == 0:
            return text[: at + 1]
    raise bad("has a matrix of assigned numbers (MATLAB or Python text) whose brackets do not close")


def read_script(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read matrices as text of MATLAB or Python: `K = [700 0 320; 0 700 240; 0 0 1]`, `K1 = np.array([[...]])`.

    The names are those of rig JSON. `names` is not used.
    """
    return rig_of_entries(script_entries(text))


def fits_bouguet(text: str) -> bool:
    """Return whether a line assigns fc or fc_left, the focal lengths of Bouguet's toolbox."""
    return re.search(r"(?m)^[ \t]*fc(_left)?[ \t]*=", text) is not None


def read_bouguet(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read Calib_Results.m, or the same with _left and _right, om, T, of the Camera Calibration Toolbox for MATLAB.

    K = [fc(1) alpha_c fc(1) cc(1); 0 fc(2) cc(2); 0 0 1], with the centre of the first pixel at (0, 0); kc = k1 k2 p1
    p2 k3 as in OpenCV; X_right = R(om) X_left + T, in the unit of the squares, usually mm. `names` is not used.

    References
    ----------
    J.-Y. Bouguet, Camera Calibration Toolbox for Matlab, "Description of the calibration parameters" and example 5.
    """
    entries = script_entries(text)
    sides = ("_left", "_right") if "fc_left" in entries else ("", "")
    cameras = [_bouguet_camera(entries, side) for side in sides]
    om, R = entries.get("om"), entries.get("R")
    return posed(cameras[0], cameras[1], R if om is None else om, entries.get("T"), None) if sides[0] else Rig(*cameras)


def _bouguet_camera(entries: dict[str, Any], side: str) -> Any:
    def values(key: str, count: int, default: Any = None) -> np.ndarray:
        found = entries.get(key + side, default)
        if found is None or np.size(found) != count:
            raise bad(
                f"has {np.size(found) if found is not None else 'no'} numbers in {key + side}; the calibration of "
                f"Bouguet's toolbox has {count}",
                "Give Calib_Results.m, or a file with fc_left, cc_left, fc_right, cc_right, om and T.",
            )
        return np.ravel(found)

    (fx, fy), (cx, cy) = map(float, values("fc", 2)), map(float, values("cc", 2))
    skew = float(values("alpha_c", 1, 0.0)[0])
    size = (entries["nx"], entries["ny"]) if "nx" in entries and "ny" in entries else None
    K = [[fx, skew * fx, cx], [0, fy, cy], [0, 0, 1]]
    return checked_camera(K, size, values("kc", 5, np.zeros(5)), f"fc{side}, cc{side}")
