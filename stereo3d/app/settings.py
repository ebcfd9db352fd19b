"""The settings of the page as a `Config`."""

from typing import Any

from ..disparity.methods import MATCHERS
from ..errors import StereoError
from ..mesh.crop import parse_crop
from ..options import DEFAULT_MATCHER, QUALITIES
from ..pipeline.config import Config

CHOICES = {"draft": {"matcher": "sgm", "max_size": 800}, **QUALITIES}  # quality on the page -> fields of Config
SCALES = ("none", "baseline", "distance", "marker")
TUNED = "tuned"  # the quality whose matcher and options the user has set
STAGES = ("range", "matcher")  # stages whose options that are
KNOWN = (
    "quality",
    "matcher",
    "options",
    "scale",
    "length",
    "unit",
    "points",
    "marker",
    "crop",
    "rotate",
    "layout",
    "close",
    "force",
)


def config_of(settings: dict[str, Any], size: tuple[int, int]) -> Config:
    """Return the Config that the settings of the page mean.

    Parameters
    ----------
    settings : dict
        Plain values, all optional: quality (in `CHOICES`, or "tuned", with matcher, a name, and options,
        {"stage.name": value} of `STAGES`); scale (in `SCALES`), with length and unit, and points
        ((x, y), (x, y)) or marker ("DICTIONARY:ID"); crop (see `crop_of`); rotate ("90", "180", "270" or "auto");
        layout; close; force. Pixels are those of the first photo before it is turned.
    size : (width, height)
        px, of the first photo.

    Raises
    ------
    StereoError
        "bad_option".
    """
    unknown = [name for name in settings if name not in KNOWN]
    if unknown:
        raise StereoError("bad_option", f"there is no setting {unknown[0]!r}.", f"There are: {', '.join(KNOWN)}.")
    quality = _choice(settings, "quality", (*CHOICES, TUNED), "normal")
    given: dict[str, Any] = _tuned(settings) if quality == TUNED else dict(CHOICES[quality])
    for name in ("close", "force"):
        given[name] = settings.get(name, False)
    for name in ("rotate", "layout"):
        given[name] = settings.get(name) or None
    scale = _choice(settings, "scale", SCALES, "none")
    if scale != "none":
        given |= _scale(scale, settings, given["rotate"], size)
    return Config(**given)


def _tuned(settings: dict[str, Any]) -> dict[str, Any]:
    """The matcher, one that reads no file, and its options."""
    options = settings.get("options") or {}
    if not isinstance(options, dict) or any(str(name).partition(".")[0] not in STAGES for name in options):
        raise StereoError("bad_option", f"options cannot be {str(options)[:100]}.", "Tune the matching again.")
    matcher = _choice(settings, "matcher", tuple(MATCHERS), DEFAULT_MATCHER)
    return {"matcher": matcher, "options": options}


def crop_of(settings: dict[str, Any], size: tuple[int, int]) -> tuple[float, ...] | None:
    """Return the crop of the model that the settings mean, in pixels of the turned photo; None for the whole of it.

    Parameters
    ----------
    settings : dict
        crop: left, top, right, bottom of a box, or the corners x0, y0, x1, y1, x2, y2, ... of a lasso.
    size : (width, height)
        px, of the first photo.

    Raises
    ------
    StereoError
        "bad_option".
    """
    if not settings.get("crop"):
        return None
    crop = parse_crop(() if isinstance(settings["crop"], str) else settings["crop"])
    assert not isinstance(crop, str)
    turn = settings.get("rotate")
    if turn == "auto":
        raise _needs_a_rotation("a part of the photo needs")
    corners = [_turned(x, y, turn, size) for x, y in zip(crop[::2], crop[1::2], strict=True)]
    if len(corners) == 2:
        xs, ys = (sorted(values) for values in zip(*corners, strict=True))
        corners = list(zip(xs, ys, strict=True))
    return tuple(value for corner in corners for value in corner)


def _choice(settings: dict[str, Any], name: str, known: tuple[str, ...], usual: str) -> str:
    value = settings.get(name) or usual
    if value not in known:
        raise StereoError("bad_option", f"{name} cannot be {value!r}.", f"It is one of {', '.join(known)}.")
    return str(value)


def _scale(scale: str, settings: dict[str, Any], turn: object, size: tuple[int, int]) -> dict[str, Any]:
    length = settings.get("length")
    if isinstance(length, bool) or not isinstance(length, int | float):
        raise StereoError("bad_option", "the length is missing.", "Give it as a number, such as 0.12.")
    found: dict[str, Any] = {"unit": settings.get("unit") or "m"}
    if scale == "baseline":
        return {**found, "baseline": length}
    if scale == "marker":
        return {**found, "markers": (f"{settings.get('marker', '')}:{length}",)}
    points = settings.get("points") or ()
    try:
        first, second = (_turned(float(x), float(y), turn, size) for x, y in points)
    except (TypeError, ValueError) as error:
        message = "a known distance needs two points of the first photo."
        raise StereoError("bad_option", message, "Mark them in the photo.") from error
    return {**found, "known_distance": (first, second, length)}


def _turned(x: float, y: float, turn: object, size: tuple[int, int]) -> tuple[float, float]:
    """The pixel after a turn of the photo, clockwise."""
    width, height = size
    if turn == "auto":
        raise _needs_a_rotation("the two points of a known distance need")
    turned = {"90": (height - 1 - y, x), "180": (width - 1 - x, height - 1 - y), "270": (y, width - 1 - x)}
    return turned.get(str(turn), (x, y))


def _needs_a_rotation(what: str) -> StereoError:
    return StereoError(
        "bad_option", f"{what} a known rotation.", "Choose the rotation instead of “as the photos show”."
    )
