"""Units of length by name."""

METRES_PER_UNIT = {
    "m": 1.0,
    "dm": 0.1,
    "cm": 0.01,
    "mm": 0.001,
    "um": 1e-6,
    "km": 1000.0,
    "in": 0.0254,
    "ft": 0.3048,
    "yd": 0.9144,
}
_LONG = {
    "metre": "m",
    "meter": "m",
    "decimetre": "dm",
    "decimeter": "dm",
    "centimetre": "cm",
    "centimeter": "cm",
    "millimetre": "mm",
    "millimeter": "mm",
    "micrometre": "um",
    "micrometer": "um",
    "\u00b5m": "um",
    "\u03bcm": "um",
    "kilometre": "km",
    "kilometer": "km",
    "inch": "in",
    "inche": "in",
    "foot": "ft",
    "feet": "ft",
    "yard": "yd",
}


def metres_per(unit: str | None) -> float | None:
    """Return the length of a unit in metres; None where its name is none of `METRES_PER_UNIT` nor a long form of one.

    Parameters
    ----------
    unit : str, optional
        "mm", "m", "metres", ...; "baseline" and other names have no known length.
    """
    if unit is None:
        return None
    plain = unit.strip().lower()
    return METRES_PER_UNIT.get(plain, METRES_PER_UNIT.get(_LONG.get(plain, _LONG.get(plain.removesuffix("s"), ""))))
