"""Square markers (ArUco, AprilTag): their name, and where a photo shows them."""

import math
from dataclasses import dataclass

import numpy as np

from ...errors import StereoError
from ..dictionaries import dictionary_name, marker_dictionary

MARKER_FORM = "Write DICTIONARY:ID:SIZE, such as 4X4_50:3:0.05; SIZE is the side of the black square."
MIN_PERIMETER = 0.01  # of a marker / longer side of the photo; OpenCV's own 0.03 misses markers of 30 px in 4000 px
REDUCTIONS = (1, 2, 4)  # the photo is searched at these fractions of its size: a large or blurred marker needs less


@dataclass(frozen=True)
class Marker:
    """A printed marker.

    Attributes
    ----------
    dictionary : str
        As OpenCV names it: "4X4_50", "APRILTAG_36h11".
    id : int
        Its number in the dictionary.
    size : float
        Side of the black square, in the unit of the run.
    """

    dictionary: str
    id: int
    size: float

    @property
    def cells(self) -> int:
        """Cells along a side, the black border of one cell included."""
        return int(marker_dictionary(self.dictionary).markerSize) + 2

    @property
    def name(self) -> str:
        """Dictionary and number, as "4X4_50:3"."""
        return f"{self.dictionary}:{self.id}"

    @property
    def corners(self) -> np.ndarray:
        """(4, 3) float64: the corners of the black square from the upper left on, clockwise; x right, y down, z = 0."""
        return self.size / 2 * np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])

    @property
    def black(self) -> np.ndarray:
        """(cells, cells) bool: the black cells."""
        import cv2

        picture = cv2.aruco.generateImageMarker(marker_dictionary(self.dictionary), self.id, self.cells)
        return np.asarray(picture) < 128


def parse_marker(text: object) -> Marker:
    """Return the marker of "DICTIONARY:ID:SIZE".

    Raises
    ------
    StereoError
        "bad_option" for another form, an unknown dictionary, a number beyond it, or a size that is no length.
    """
    parts = str(text).split(":")
    try:
        name, number, size = parts[0], int(parts[1]), float(parts[2])
        if len(parts) != 3 or not 1e-9 <= size <= 1e9 or not math.isfinite(size):
            raise ValueError
    except (IndexError, ValueError):
        raise StereoError("bad_option", f"marker cannot be {str(text)!r}.", MARKER_FORM) from None
    name = dictionary_name(name)
    count = len(marker_dictionary(name).bytesList)
    if not 0 <= number < count:
        raise StereoError(
            "bad_option", f"there is no marker {number} in {name}.", f"Its markers are 0 to {count - 1}.", count=count
        )
    return Marker(name, number, size)


def find_markers(grey: np.ndarray, dictionary: str, wanted: set[int]) -> dict[int, list[np.ndarray]]:
    """Return the markers of a dictionary that a picture shows.

    The picture is searched at full size, then reduced, until all wanted ones are found.

    Parameters
    ----------
    grey : (H, W) uint8
    dictionary : str
    wanted : set of int

    Returns
    -------
    dict of int to list of (4, 2) float64
        By number, for each time that it is seen: its corners, px, in the order of `Marker.corners`, to a pixel or so.

    References
    ----------
    Garrido-Jurado et al., Automatic generation and detection of highly reliable fiducial markers, 2014.
    """
    import cv2

    settings = cv2.aruco.DetectorParameters()
    settings.minMarkerPerimeterRate = MIN_PERIMETER
    detector = cv2.aruco.ArucoDetector(marker_dictionary(dictionary), settings)
    found: dict[int, list[np.ndarray]] = {}
    for reduction in REDUCTIONS:
        small = grey
        if reduction > 1:
            small = cv2.resize(grey, None, fx=1 / reduction, fy=1 / reduction, interpolation=cv2.INTER_AREA)
        corners, ids, _ = detector.detectMarkers(image=small)
        ratio = np.array(small.shape[::-1]) / grey.shape[::-1]
        here: dict[int, list[np.ndarray]] = {}
        for number, x in zip([] if ids is None else np.ravel(ids).tolist(), corners, strict=True):
            here.setdefault(int(number), []).append((np.reshape(x, (4, 2)).astype(float) + 0.5) / ratio - 0.5)
        found = {**here, **found}
        if wanted <= set(found):
            break
    return found
