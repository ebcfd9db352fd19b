"""StereoError: the input cannot give the result. It carries a code, numbers and a remedy.

Misuse in code (a wrong shape, an array of the wrong kind) raises ValueError instead.
"""

import errno
from typing import Any

# Exit status of the command line, by kind of failure. Success is 0, a wrong command line 2 (click's own), Ctrl-C 130.
EXIT_USAGE = 2
EXIT_INPUT = 3  # a photo, disparity map or mesh that cannot be read or used
EXIT_CALIBRATION = 4  # a calibration that is wrong or does not fit the photos
EXIT_PAIR = 5  # the photos are fine one by one, but this pair cannot be reconstructed
EXIT_OUTPUT = 6  # the result cannot be written
EXIT_RESOURCES = 7  # too little memory, a library missing
CODES = {
    "bad_option": EXIT_USAGE,
    "unknown_method": EXIT_USAGE,
    "bad_range": EXIT_USAGE,
    "unknown_format": EXIT_USAGE,
    "file_missing": EXIT_INPUT,
    "photo_unreadable": EXIT_INPUT,
    "photo_too_small": EXIT_INPUT,
    "photo_too_large": EXIT_INPUT,
    "one_photo": EXIT_INPUT,
    "panorama": EXIT_INPUT,
    "fisheye": EXIT_INPUT,
    "size_mismatch": EXIT_INPUT,
    "file_unreadable": EXIT_INPUT,
    "bad_model": EXIT_INPUT,
    "bad_calibration": EXIT_CALIBRATION,
    "calibration_mismatch": EXIT_CALIBRATION,
    "no_marker": EXIT_INPUT,
    "same_photo": EXIT_PAIR,
    "crop": EXIT_PAIR,
    "zoom": EXIT_PAIR,
    "mirrored": EXIT_PAIR,
    "few_features": EXIT_PAIR,
    "blank": EXIT_PAIR,
    "low_contrast": EXIT_PAIR,
    "few_matches": EXIT_PAIR,
    "no_overlap": EXIT_PAIR,
    "no_panorama": EXIT_PAIR,
    "pure_rotation": EXIT_PAIR,
    "flat_scene": EXIT_PAIR,
    "forward_motion": EXIT_PAIR,
    "window": EXIT_PAIR,
    "no_disparity": EXIT_PAIR,
    "empty_mesh": EXIT_PAIR,
    "unwritable": EXIT_OUTPUT,
    "busy": EXIT_OUTPUT,
    "memory": EXIT_RESOURCES,
    "library_missing": EXIT_RESOURCES,
    "timeout": EXIT_RESOURCES,
    "worker": EXIT_RESOURCES,
}


class StereoError(Exception):
    """A failure with the numbers that show it and a remedy.

    Attributes
    ----------
    code : str
        One of `CODES`.
    message : str
        What failed, with its numbers.
    advice : str
        The remedy.
    numbers : dict
        The measured values by name.
    """

    def __init__(self, code: str, message: str, advice: str = "", **numbers: Any) -> None:
        if code not in CODES:
            raise ValueError(f"unknown error code {code!r}; known: {', '.join(CODES)}")
        super().__init__(message)
        self.code = code
        self.message = message
        self.advice = advice
        self.numbers = numbers

    def __reduce__(self) -> tuple[Any, ...]:
        """Support pickle, which carries an error from a worker process to its parent."""
        return _rebuild, (type(self), self.code, self.message, self.advice, self.numbers), self.__dict__

    @property
    def exit_code(self) -> int:
        """Exit status of the command line."""
        return CODES[self.code]

    def __str__(self) -> str:
        return f"{self.message} {self.advice}".strip()


def _rebuild(cls: type[StereoError], code: str, message: str, advice: str, numbers: dict[str, Any]) -> StereoError:
    return cls(code, message, advice, **numbers)


def translate_error(error: Exception) -> StereoError | None:
    """Return the StereoError of a failure that a library reports in its own way; None for a bug."""
    if isinstance(error, StereoError):
        return error
    message = str(error)
    exhausted = (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, RuntimeError) and "can't start new thread" in message)  # no room for its stack
        or (type(error).__module__ == "cv2" and "Insufficient memory" in message)
    )
    if exhausted:
        return StereoError(
            "memory",
            f"out of memory ({message or 'the system grants no more'}).",
            "Use a smaller --max-size or close other programs.",
        )
    return None
