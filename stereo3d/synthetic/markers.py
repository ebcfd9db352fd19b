"""A printed marker as a card in a scene."""

import numpy as np

from ..cameras.targets import Marker
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
    black, cell = marker.black, marker.size / marker.cells
    paper, ink = paint(PLAIN, "eeece6"), paint(PLAIN, "1c1c1e")
    half = marker.size / 2 + margin * cell
    solids = [make_solid(RECTANGLE, centre, (half, half, 1), paper, turn=turn)]
    R = rotation_deg(*turn)
    for row, line in enumerate(black):
        edges = np.flatnonzero(np.diff(np.pad(line.astype(int), 1)))
        for first, end in edges.reshape(-1, 2):
            middle = np.array([(first + end) / 2, row + 0.5]) * cell - marker.size / 2
            at = np.asarray(centre) + R @ [*middle, -LIFT]
            solids.append(make_solid(RECTANGLE, at, ((end - first) * cell / 2, cell / 2, 1), ink, turn=turn))
    return tuple(solids)
