"""Print text of foreign origin on a terminal: control characters appear as escapes."""

import re

import click

# C0 without tab and line feed, DEL, C1; marks and overrides of writing direction; line and paragraph separators;
# lone surrogates, in which Python keeps the bytes of file names that are no text
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


def printable(text: str, *, lines: bool = False) -> str:
    r"""Return text with its control characters as \x1b or \u202e, and \n too unless `lines`; tabs stay."""
    text = _CONTROL.sub(_escape, text)
    return text if lines else text.replace("\n", "\\n")


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def echo(message: object = "", *, err: bool = False, lines: bool = False) -> None:
    """Print a message to standard output, or standard error, with its control characters as escapes.

    Parameters
    ----------
    message : object
        One line.
    err : bool
        To standard error.
    lines : bool
        The message has several lines: line feeds stay.
    """
    click.echo(printable(str(message), lines=lines), err=err)
