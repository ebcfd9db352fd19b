"""Validation of the fields of records, and their short `repr`."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Protocol

import numpy as np

from ..errors import StereoError

# Largest |R R^T - 1| of a matrix that is accepted as a rotation: files round R to four digits, which leaves this much.
MAX_ROTATION_ERROR = 1e-3
MAX_REPR = 160  # characters of a record's `repr`: two lines of a terminal
MAX_TEXT = 60  # characters of one value in it
MAX_LISTED = 6  # elements of a collection in it


class Record:
    """A `repr` of one short line: arrays appear as their shape and dtype, records and lists as what they are."""

    def __repr__(self) -> str:
        return one_line(type(self).__name__, self._summary())

    def _summary(self) -> Iterator[str]:
        """The parts of the `repr`; by default the fields that differ from their defaults."""
        for field in fields(self):  # pyright: ignore[reportArgumentType]
            value = getattr(self, field.name)
            if not _is_default(value, field):
                yield f"{field.name}={brief(value)}"


def one_line(name: str, parts: Iterable[str]) -> str:
    """Return "name(part, part)" of at most `MAX_REPR` characters: where more parts follow they are "..."."""
    text, room = "", MAX_REPR - len(name) - len("(, ...)")
    for part in parts:
        longer = f"{text}, {part}" if text else part
        if len(longer) > room:
            text = f"{text}, ..." if text else f"{part[: room - 3]}..."
            break
        text = longer
    return f"{name}({text})"


def _is_default(value: object, field: Field) -> bool:
    """Whether a field holds its default: a scalar of that value, or an empty collection."""
    if isinstance(value, np.ndarray):
        return field.default_factory is not MISSING and value.size == 0
    if isinstance(value, tuple | list | Mapping) and not value:
        return True
    if field.default is MISSING or isinstance(field.default, Record):
        return False
    return value is field.default or (isinstance(value, str | int | float) and value == field.default)


def brief(value: object) -> str:
    """Return a value as text of at most about 60 characters, in one line."""
    if isinstance(value, np.ndarray):
        return f"<{'x'.join(map(str, value.shape))} {value.dtype}>"
    if isinstance(value, str):
        value = str(value)  # of np.str_
        return repr(value) if len(value) <= MAX_TEXT else f"{value[: MAX_TEXT - 3]!r}..."
    if isinstance(value, bool | np.bool_ | None):
        return str(value)
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    if is_dataclass(value):
        return f"<{type(value).__name__}>"
    if isinstance(value, tuple | list | Mapping):
        return _listing(value)
    text = " ".join(repr(value).split())
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."


def _listing(values: Collection) -> str:
    """A collection with its elements where these are short, else their number."""
    if len(values) <= MAX_LISTED:
        if isinstance(values, Mapping):
            text = "{" + ", ".join(f"{key!r}: {brief(item)}" for key, item in values.items()) + "}"
        else:
            text = ", ".join(map(brief, values)) + ("," if isinstance(values, tuple) and len(values) == 1 else "")
            text = f"({text})" if isinstance(values, tuple) else f"[{text}]"
        if len(text) <= MAX_TEXT:
            return text
    return f"<{type(values).__name__} of {len(values)}>"


def check_array(record: object, name: str, shape: tuple[int | None, ...], kinds: str) -> None:
    """Raise ValueError unless the field is an array of that shape (None: any length) and one of numpy's dtype kinds."""
    value = getattr(record, name)
    found = np.shape(value)
    fits = len(found) == len(shape) and all(want in (None, n) for want, n in zip(shape, found, strict=True))
    if not isinstance(value, np.ndarray) or not fits or value.dtype.kind not in kinds:
        wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ("," if len(shape) == 1 else "") + ")"
        types = {"f": "float", "u": "uint8", "iu": "int", "b": "bool"}[kinds]
        got = f"{found} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(f"{type(record).__name__}.{name} must be {wanted} {types}, got {got}")


def wrong(message: str, advice: str, **numbers: float) -> StereoError:
    """Return StereoError("bad_calibration") of a message without its full stop."""
    return StereoError("bad_calibration", message + ".", advice, **numbers)


def listed(values: np.ndarray) -> str:
    """Return numbers as text, "(1, 0.5, 0)"."""
    return "(" + ", ".join(f"{v:g}" for v in np.ravel(values)) + ")"


def checked_numbers(record: object, name: str, shape: tuple[int, ...], advice: str) -> np.ndarray:
    """Return a field as finite float64 of that shape, and store it so; a column (n, 1) becomes a vector."""
    given = getattr(record, name)
    what = f"{name} of a {type(record).__name__}"
    try:
        value = np.asarray(given, dtype=float)
    except (TypeError, ValueError) as error:
        raise wrong(f"the {what} is no array of numbers", advice[:1].upper() + advice[1:] + ".") from error
    if value.size != np.prod(shape) or (len(shape) == 2 and value.shape != shape):
        raise wrong(f"the {what} has shape {value.shape}, needed is {shape}", advice[:1].upper() + advice[1:] + ".")
    if not np.isfinite(value).all():
        raise wrong(f"the {what} is {listed(value)}, not finite numbers", advice[:1].upper() + advice[1:] + ".")
    if value.shape != shape:
        value = value.reshape(shape)
    if value is not given:
        object.__setattr__(record, name, value)
    return value


def checked_size(given: object) -> tuple[int, int]:
    """Return (width, height) as whole numbers of at least 0, which are unknown sizes."""
    try:
        width, height = (int(side) for side in given)  # pyright: ignore[reportGeneralTypeIssues]
        if (width, height) == tuple(given) and 0 <= min(width, height) and max(width, height) < 2**31:  # pyright: ignore
            return width, height
    except (TypeError, ValueError, OverflowError):
        pass
    raise wrong(f"a camera's size is {str(given)[:60]}", "It is (width, height) in whole px; (0, 0): not known.")


class _Posed(Protocol):
    """A record with a relative pose."""

    @property
    def R(self) -> np.ndarray | None: ...

    @property
    def t(self) -> np.ndarray | None: ...


def check_pose(record: _Posed) -> None:
    """Raise StereoError unless R, where known, is a rotation and t finite."""
    if record.R is not None:
        R = checked_numbers(
            record, "R", (3, 3), "X2 = R X1 + t, R a rotation matrix (cv2.Rodrigues makes one of a vector)"
        )
        off, sign = float(np.abs(R @ R.T - np.eye(3)).max()), float(np.linalg.det(R))
        if off > MAX_ROTATION_ERROR or sign < 0:
            raise wrong(
                f"R is no rotation: R R^T is off the identity by {off:.2g} (allowed is {MAX_ROTATION_ERROR:g}), its "
                f"determinant is {sign:.3g}",
                "X2 = R X1 + t, R of determinant 1: check its numbers, and its axes (x right, y down, z forward).",
                off=off,
                determinant=sign,
            )
    if record.t is not None:
        checked_numbers(record, "t", (3,), "X2 = R X1 + t: the position of camera 1 in the frame of camera 2")


def check_baseline(t: np.ndarray | None) -> None:
    """Raise StereoError where t is known and zero."""
    if t is not None and not np.any(t):
        raise wrong(
            f"both cameras are in one place: t = {listed(t)}",
            "A stereo rig needs t other than 0; leave R and t out where they are not known.",
        )
