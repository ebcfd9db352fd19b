"""Metric scale from the positions that the files of both photos state."""

import logging
import math
from dataclasses import dataclass

import numpy as np

from ..geometry.earth import earth_centred, east_north_up
from ..records import Finding, Photo, Position
from .target_scale import POOR_ERROR

log = logging.getLogger(__name__)
MAX_RELATIVE_SIGMA = 0.05  # of the baseline: with more, the positions give no scale
# m, east, north, up: satellite positions without corrections that state no error. Two of one minute share much of
# theirs, but how much nobody knows.
PLAIN_SIGMA = (5.0, 5.0, 10.0)
RELATIVE_ALTITUDE_SIGMA = 0.5  # m: by air pressure, over the start of the flight


@dataclass(frozen=True)
class PositionBaseline:
    """The distance between two positions.

    Attributes
    ----------
    length, sigma : float
        m, and its standard deviation.
    source : str
        "GPS" or "RTK".
    """

    length: float
    sigma: float
    source: str


def position_baseline(first: Position, second: Position) -> PositionBaseline:
    """Return the distance between two positions, with its standard deviation along the line between them.

    Parameters
    ----------
    first, second : Position

    Returns
    -------
    PositionBaseline
        m; the ellipsoid is WGS 84.
    """
    height1, height2, up_sigma = _heights(first, second)
    apart = earth_centred(second.latitude, second.longitude, height2) - earth_centred(
        first.latitude, first.longitude, height1
    )
    axes = east_north_up(first.latitude, first.longitude)
    length = float(np.linalg.norm(apart))
    east, north, _ = np.square(first.sigma or PLAIN_SIGMA) + np.square(second.sigma or PLAIN_SIGMA)
    variance = np.array([east, north, up_sigma**2])
    along = axes @ apart / length if length > 0 else np.ones(3)
    both = {first.source, second.source}
    return PositionBaseline(length, float(np.sqrt(along**2 @ variance)), both.pop() if len(both) == 1 else "GPS")


def position_scale(left: Photo, right: Photo) -> tuple[float, Finding] | None:
    """Return the length of the baseline in m and a finding with its error; None where no or poor positions are stated.

    Poor is a standard deviation of 5 % or more of the baseline.
    """
    first, second = left.exif.get("position"), right.exif.get("position")
    if first is None or second is None:
        return None
    found = position_baseline(first, second)
    relative = found.sigma / max(found.length, 1e-9)
    if not relative < MAX_RELATIVE_SIGMA:
        log.info(
            "the %s positions in the files are %.3g +- %.2g m apart: too uncertain to give the scale",
            found.source,
            found.length,
            found.sigma,
        )
        return None
    error = f"+- {100 * relative:.2g} %"
    poor = relative > POOR_ERROR
    return found.length, Finding(
        "position_scale",
        "warning" if poor else "info",
        f"the baseline is {found.length:.4g} m {error}, by the {found.source} positions in the files.",
        {"baseline": found.length, "relative_error": relative},
        "Give the distance between the camera positions (--baseline), or put a marker into view." if poor else "",
    )


def _heights(first: Position, second: Position) -> tuple[float, float, float]:
    """Heights of both positions, m, and the standard deviation of their difference.

    Of drones without RTK the difference is that of the heights over the start, which air pressure gives.
    """
    sigmas = [(p.sigma or PLAIN_SIGMA)[2] for p in (first, second)]
    by_satellites = math.hypot(*sigmas)
    heights = first.altitude, second.altitude
    relative = first.relative_altitude, second.relative_altitude
    by_pressure = math.hypot(RELATIVE_ALTITUDE_SIGMA, RELATIVE_ALTITUDE_SIGMA)
    if relative[0] is not None and relative[1] is not None and (None in heights or by_pressure < by_satellites):
        base = heights[0] if heights[0] is not None else relative[0]
        return base, base + relative[1] - relative[0], by_pressure
    if heights[0] is None or heights[1] is None:
        base = heights[0] if heights[0] is not None else heights[1] or 0.0
        return base, base, math.hypot(PLAIN_SIGMA[2], PLAIN_SIGMA[2])
    return heights[0], heights[1], by_satellites
