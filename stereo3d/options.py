"""Options of methods, read from their signatures: the one place that states a default, its type and its bounds.

A method is a plain function whose keyword-only parameters with defaults are its options:

    def sgm(left, right, lo, hi, *, p1: Annotated[int, Range(1, 100)] = 12, census: Literal["5x7", "7x9"] = "5x7")
"""

import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .errors import StereoError

DEFAULT_MATCHER = "planes"  # the dense matcher of a run and of every stage that matches
MAX_SIZE = 1600  # px: longer side of the photos while they are matched, unless the user asks for another
QUALITIES: dict[str, dict[str, Any]] = {  # fields of Config that each --quality sets
    "fast": {"matcher": "planes_fast", "max_size": 1000},
    "normal": {"matcher": "planes"},
    "best": {"matcher": "planes_full"},
}
MAX_FEATURE_SIZE = 2400  # px: of the photos while features are found; more improves no pose, and SIFT takes gigabytes
DEFAULT_DETECTOR = "sift"
DEFAULT_MESHER = "grid"
DEFAULT_FACES = 500_000  # triangles of a mesh at most


@dataclass(frozen=True)
class Range:
    """Closed interval [low, high] of a number."""

    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"at least {self.low:g}"
        return f"at most {self.high:g}" if math.isinf(self.low) else f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Option:
    """One option of a method.

    Attributes
    ----------
    name : str
    default : object
    kind : type
        int, float, bool or str.
    choices : tuple
        Allowed values, empty where the type and the bounds alone decide.
    bounds : Range or None
        Of a number.
    optional : bool
        Whether None is allowed.
    """

    name: str
    default: Any
    kind: type
    choices: tuple = ()
    bounds: Range | None = None
    optional: bool = False

    def describe(self) -> str:
        """Return the allowed values and the default as text."""
        allowed = ", ".join(map(str, self.choices)) if self.choices else self.kind.__name__
        if self.bounds:
            allowed += f" {self.bounds}"
        return f"{allowed}{' or none' if self.optional else ''}, default {self.default}"


def options_of(*functions: Callable, leave_out: tuple[str, ...] = ()) -> dict[str, Option]:
    """Read the options of functions from their keyword-only parameters with a default.

    Parameters
    ----------
    *functions : callable
        Of a name that several functions have, the first counts.
    leave_out : tuple of str
        Parameters that are no options.

    Returns
    -------
    dict of str to Option
        By name. Parameters of other types than int, float, bool and str (arrays, records) are left out.
    """
    found = {}
    for function in functions:
        hints = typing.get_type_hints(function, include_extras=True)
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is not parameter.empty:
                option = _option(name, parameter.default, hints.get(name))
                if option.kind in (int, float, bool, str) and name not in leave_out:
                    found.setdefault(name, option)
    return found


def _option(name: str, default: Any, hint: Any) -> Option:
    hint, bounds = _without_range(hint)
    choices, optional = (), default is None
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = [k for k in typing.get_args(hint) if k is not type(None)]
        optional = len(members) < len(typing.get_args(hint))
        hint, inner = _without_range(members[0])
        bounds = inner or bounds
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        hint = type(choices[0])
    kind = hint if hint in (int, float, bool, str) else type(default)
    return Option(name, default, kind, choices, bounds, optional)


def _without_range(hint: Any) -> tuple[Any, Range | None]:
    """Split Annotated[kind, Range(...)] into kind and Range; None for other hints."""
    if typing.get_origin(hint) is not typing.Annotated:
        return hint, None
    kind, *notes = typing.get_args(hint)
    return kind, next((note for note in notes if isinstance(note, Range)), None)


def check_options(owner: str, known: Mapping[str, Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given values, text converted to numbers, each of the right type and within its bounds.

    Parameters
    ----------
    owner : str
        Method or stage that has these options, for the message.
    known : mapping of str to Option
        All options of the owner.
    given : mapping of str to object
        Values by name.

    Returns
    -------
    dict of str to object
        In the order of `given`.

    Raises
    ------
    StereoError
        "bad_option", with the allowed values or names.
    """
    checked = {}
    for name, value in given.items():
        if name not in known:
            names = "; ".join(f"{o.name} ({o.describe()})" for o in known.values()) or "none"
            raise StereoError("bad_option", f"{owner} has no option {name!r}.", f"There are: {names}.")
        option = known[name]
        if option.optional and (value is None or str(value).lower() == "none"):
            checked[name] = None
            continue
        try:
            checked[name] = _converted(option, value)
        except (TypeError, ValueError, OverflowError):
            message = f"{owner}.{name} cannot be {value!r}."
            raise StereoError("bad_option", message, f"It is {option.describe()}.") from None
    return checked


_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _converted(option: Option, value: Any) -> Any:
    """Return the value as the option's type; ValueError (or the error of the conversion) where it is not allowed."""
    if option.kind is bool:
        if str(value).lower() not in _BOOLEANS:
            raise ValueError
        return _BOOLEANS[str(value).lower()]
    if len({type(choice) for choice in option.choices}) > 1:  # as "auto", 1, 2
        by_text = {str(choice): choice for choice in option.choices}
        if str(value) not in by_text:
            raise ValueError
        return by_text[str(value)]
    if isinstance(value, bool) and option.kind is not str:
        raise ValueError
    if option.kind is int and not isinstance(value, str) and value != int(value):
        raise ValueError
    value = option.kind(value)
    allowed = (
        (value in option.choices if option.choices else value != "")
        and (option.kind is not float or math.isfinite(value))
        and (option.bounds is None or option.bounds.low <= value <= option.bounds.high)
    )
    if not allowed:
        raise ValueError
    return value


def choose(kind: str, methods: Mapping[str, Callable], name: str) -> Callable:
    """Return the method of that name.

    Parameters
    ----------
    kind : str
        What the methods are, for the message.
    methods : mapping of str to callable
    name : str

    Raises
    ------
    StereoError
        "unknown_method", with all names.
    """
    if not isinstance(name, str) or name not in methods:
        raise StereoError("unknown_method", f"there is no {kind} {name!r}.", f"There are: {', '.join(methods)}.")
    return methods[name]


def split_method(name: str) -> tuple[str, str | None]:
    """Return the name and the file of "NAME:FILE"; None where no file is named."""
    method, colon, file = str(name).partition(":")
    return (method, file) if colon else (name, None)
