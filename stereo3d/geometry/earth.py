"""Positions on the earth: WGS 84."""

import numpy as np

SEMI_MAJOR_M = 6378137.0  # WGS 84
FLATTENING = 1 / 298.257223563  # WGS 84
ECCENTRICITY_SQUARED = FLATTENING * (2 - FLATTENING)


def earth_centred(latitude: float, longitude: float, height: float = 0.0) -> np.ndarray:
    """X = ((N + h) cos b cos m, (N + h) cos b sin m, (N (1 - e^2) + h) sin b), m, N = a / sqrt(1 - e^2 sin^2 b).

    Parameters
    ----------
    latitude, longitude : float
        Degrees b and m, geodetic, WGS 84.
    height : float
        m above the ellipsoid.

    Returns
    -------
    (3,) float64
        Earth-centred, earth-fixed.
    """
    b, m = np.radians([latitude, longitude])
    N = SEMI_MAJOR_M / np.sqrt(1 - ECCENTRICITY_SQUARED * np.sin(b) ** 2)
    flat = (N + height) * np.cos(b)
    return np.array([flat * np.cos(m), flat * np.sin(m), (N * (1 - ECCENTRICITY_SQUARED) + height) * np.sin(b)])


def east_north_up(latitude: float, longitude: float) -> np.ndarray:
    """(3, 3) float64: the directions east, north and up of a place, in rows, earth-centred."""
    b, m = np.radians([latitude, longitude])
    return np.array(
        [
            [-np.sin(m), np.cos(m), 0.0],
            [-np.sin(b) * np.cos(m), -np.sin(b) * np.sin(m), np.cos(b)],
            [np.cos(b) * np.cos(m), np.cos(b) * np.sin(m), np.sin(b)],
        ]
    )
