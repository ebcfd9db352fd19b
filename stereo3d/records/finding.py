"""Finding: one statement of the diagnosis, with its numbers and a remedy."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .checks import Record

MAX_MESSAGE = 100  # characters of the message in a `repr`


@dataclass(frozen=True, eq=False, repr=False)
class Finding(Record):
    """A measurement that the user should know.

    Attributes
    ----------
    code : str
        Short name.
    severity : str
        "info", "warning" or "error".
    message : str
        The finding as text, with its numbers.
    numbers : dict
        The numbers by name.
    advice : str
        What to do about it.
    """

    code: str
    severity: str
    message: str
    numbers: dict[str, Any] = field(default_factory=dict)
    advice: str = ""

    def _summary(self) -> Iterator[str]:
        yield repr(self.code)
        yield repr(self.severity)
        text = self.message if len(self.message) <= MAX_MESSAGE else f"{self.message[: MAX_MESSAGE - 3]}..."
        yield repr(text)
