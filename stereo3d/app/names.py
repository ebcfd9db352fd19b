"""Names that come from outside: of photos, of runs, of files of a run."""

import os
import re
import unicodedata

MAX_NAME = 120  # bytes of a file name; file systems take 255
RUN_NAME = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")  # folder of a run: date, time, a random part
_RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{k}" for name in ("com", "lpt") for k in range(10))}  # on Windows


def safe_name(name: str) -> str:
    """Return a file name without folders, control characters and what a file system may refuse.

    Parameters
    ----------
    name : str
        As a browser gives it.

    Returns
    -------
    str
        Of at most `MAX_NAME` bytes of UTF-8, with the suffix kept; "photo" where nothing else is left.
    """
    name = unicodedata.normalize("NFC", str(name)).replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(c if c.isprintable() and c not in '<>:"|?*' else "_" for c in name)
    name = name.encode("utf-8", "replace").decode("utf-8").strip(" .")
    stem, suffix = os.path.splitext(name)
    if len(suffix.encode()) > 10 or not suffix.isascii():
        stem, suffix = name, ""
    room = MAX_NAME - len(suffix)
    stem = stem.encode()[:room].decode("utf-8", "ignore").rstrip(" .") or "photo"
    return f"_{stem}{suffix}" if stem.split(".")[0].lower() in _RESERVED else stem + suffix


def names_a_run(name: str) -> bool:
    """Return whether a text is the name of the folder of a run."""
    return RUN_NAME.fullmatch(name) is not None
