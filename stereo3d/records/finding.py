"""Finding: one statement of the diagnosis, with its numbers and a remedy."""

from dataclasses import dataclass, field

from .checks import Record


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
    numbers: dict = field(default_factory=dict)
    advice: str = ""
