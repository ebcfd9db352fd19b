"""A printed marker as a card in a scene."""

import numpy as np

from ..cameras.targets import Marker
from ..cameras.targets.sheet import cell_rectangles
from .scene import Group, Vector, make_solid, paint, rotation_deg
from .tables import PLAIN, RECTANGLE

LIFT = 1e-5  # m by which ink lies above paper


def marker_card(marker: Marker, centre: Vector, *, turn: Vector = (0, 0, 0), margin: float = 1.5) -> Group:
    """Return a white card that bears a marker, its face towards -z before it is turned.

    Parameters
    ----------
    marker : Marker
        Its size in m.
    centre : three floats
        m, of the marker.
    turn : three floats
        Rotation vector, degrees.
    margin : float
        Cells of white around the marker.
    """
    cell = marker.size / marker.cells
    paper, ink = paint(PLAIN, "eeece6"), paint(PLAIN, "1c1c1e")
    half = marker.size / 2 + margin * cell
    solids = [make_solid(RECTANGLE, centre, (half, half, 1), paper, turn=turn)]
    R = rotation_deg(*turn)
    for left, top, width, height in cell_rectangles(marker.black, -marker.size / 2, -marker.size / 2, marker.size):
        at = np.asarray(centre) + R @ [left + width / 2, top + height / 2, -LIFT]
        solids.append(make_solid(RECTANGLE, at, (width / 2, height / 2, 1), ink, turn=turn))
    return tuple(solids)
