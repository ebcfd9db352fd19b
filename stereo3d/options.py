"""Options of methods, read from their signatures: the one place where a default, its kind and its bounds stand.

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


@dataclass(frozen=True)
class Range:
    """Bounds of a number, both ends allowed."""

    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"at least {self.low:g}"
        return f"at most {self.high:g}" if math.isinf(self.low) else f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Option:
    """name, default, kind (int, float, bool, str), choices of a Literal, bounds of a number, None allowed."""

    name: str
    default: Any
    kind: type
    choices: tuple = ()
    bounds: Range | None = None
    optional: bool = False

    def describe(self) -> str:
        """In words what a value may be, with the default."""
        what = ", ".join(map(str, self.choices)) if self.choices else self.kind.__name__
        if self.bounds:
            what += f" {self.bounds}"
        return f"{what}{' or none' if self.optional else ''}, default {self.default}"


def options_of(*functions: Callable, leave_out: tuple[str, ...] = ()) -> dict[str, Option]:
    """The options of functions by name: keyword-only parameters with a default, later functions adding to earlier.

    Those that are no number, word or yes-or-no (an array, a record) are not options, nor those named in `leave_out`.
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


def _option(name, default, hint) -> Option:
    bounds, choices, optional = None, (), default is None
    if typing.get_origin(hint) is typing.Annotated:
        bounds = next((m for m in hint.__metadata__ if isinstance(m, Range)), None)
        hint = hint.__origin__
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kinds = [k for k in typing.get_args(hint) if k is not type(None)]
        optional = len(kinds) < len(typing.get_args(hint))
        hint = kinds[0]
        if typing.get_origin(hint) is typing.Annotated:
            bounds = next((m for m in hint.__metadata__ if isinstance(m, Range)), bounds)
            hint = hint.__origin__
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        hint = type(choices[0])
    kind = hint if hint in (int, float, bool, str) else type(default)
    return Option(name, default, kind, choices, bounds, optional)


def check_options(owner: str, known: Mapping[str, Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """The given values, text turned into numbers, each of the right kind and within its bounds.

    owner: who has these options, for the message.  Raises StereoError("bad_option") naming what there is.
    """
    checked = {}
    for name, value in given.items():
        if name not in known:
            there = "; ".join(f"{o.name} ({o.describe()})" for o in known.values()) or "none"
            raise StereoError("bad_option", f"{owner} has no option {name!r}.", f"There are: {there}.")
        checked[name] = _value(owner, known[name], value)
    return checked


def _value(owner: str, option: Option, value: Any):
    wrong = StereoError("bad_option", f"{owner}.{option.name} cannot be {value!r}.", f"It is {option.describe()}.")
    if option.optional and (value is None or str(value).lower() == "none"):
        return None
    if option.kind is bool:
        words = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(("false", "no", "off", "0"), False)
        if str(value).lower() not in words:
            raise wrong
        return words[str(value).lower()]
    if isinstance(value, bool) and option.kind is not str:
        raise wrong
    try:
        if option.kind is int and not isinstance(value, str) and value != int(value):
            raise wrong
        value = option.kind(value)
    except (TypeError, ValueError, OverflowError):
        raise wrong from None
    if option.choices and value not in option.choices:
        raise wrong
    if option.kind is float and not math.isfinite(value):
        raise wrong
    if option.bounds and not option.bounds.low <= value <= option.bounds.high:
        raise wrong
    return value


def choose(kind: str, methods: Mapping[str, Callable], name: str) -> Callable:
    """The method of that name, or StereoError("unknown_method") naming what there is."""
    if name not in methods:
        raise StereoError("unknown_method", f"there is no {kind} {name!r}.", f"There are: {', '.join(methods)}.")
    return methods[name]
