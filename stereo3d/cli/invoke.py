"""`invoke`: run one command line and translate failures into exit codes."""

from __future__ import annotations

import errno
import logging
import os

import click

from ..errors import EXIT_OUTPUT, EXIT_USAGE, translate_error
from .checks import EXIT_BUG, EXIT_INTERRUPTED
from .parameters import cli
from .printable import echo
from .process import drop_output

# What to type behind a command, told where something is missing.
EXAMPLES = {
    "reconstruct": "left.jpg right.jpg",
    "view": "model.glb",
    "tune": "left.jpg right.jpg",
    "disparity": "left.png right.png -o disparity.pfm",
    "calibrate": "photos/*.jpg -o camera.json --board 9x6 --square 25 --unit mm",
    "batch": "photos/ -o models",
    "board": "-o board.pdf",
    "marker": "4X4_50:3:0.05 -o marker.pdf",
    "synth": "still_life -o pair",
}
VALUES = {"--known-distance": "120,340 980,355 2.5", "--size": "1400 1050", "--range": "0 64"}  # of several words


def invoke(arguments: list[str]) -> int:
    """Run a command; print one message for a failure, and return the exit code."""
    try:
        code = cli.main(args=arguments, prog_name="stereo3d", standalone_mode=False, obj=arguments)
    except click.exceptions.NoArgsIsHelpError as error:
        echo(error.ctx.get_help(), err=True, lines=True)
        code = EXIT_USAGE
    except click.ClickException as error:
        ctx = getattr(error, "ctx", None)
        command = ctx.command_path if ctx else "stereo3d"
        message = " ".join(error.format_message().split()).rstrip(".")
        stop = "" if message.endswith("?") else "."
        if isinstance(error, click.MissingParameter) and ctx and ctx.info_name in EXAMPLES:
            stop += f" For example: {ctx.command_path} {EXAMPLES[ctx.info_name]}."
        if isinstance(error, click.BadOptionUsage) and error.option_name in VALUES:
            stop += f" For example: {error.option_name} {VALUES[error.option_name]}."
        echo(f"error: {message}{stop} See `{command} --help`.", err=True)
        code = EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        echo("interrupted; nothing was left half-written.", err=True)
        code = EXIT_INTERRUPTED
    except SystemExit:  # from click: shell completion is done, or the reader of standard output has left
        if "_STEREO3D_COMPLETE" in os.environ:
            raise
        drop_output()
        code = EXIT_OUTPUT
    except Exception as error:
        code = _report_failure(error)
    return code if isinstance(code, int) else 0


def _report_failure(error: Exception) -> int:
    """Print one message for an error; return its exit code."""
    known = translate_error(error)
    if known is not None:
        echo(f"error: {known}", err=True)
        return known.exit_code
    # Files are written by functions that name them; without a name it is standard output.
    lost = errno.ENOSPC, errno.EIO, errno.EBADF
    if isinstance(error, OSError) and error.filename is None and error.errno in lost:
        echo(f"error: standard output cannot be written ({error.strerror}).", err=True)
        drop_output()
        return EXIT_OUTPUT
    verbose = logging.getLogger("stereo3d").level == logging.INFO
    if verbose:
        import traceback

        echo("".join(traceback.format_exception(error)).rstrip(), err=True, lines=True)
    message = " ".join(f"{type(error).__name__}: {error}".split())
    advice = "Report it with the traceback above." if verbose else "Run again with -v and report what it prints."
    echo(f"error: this is a bug ({message}). {advice}", err=True)
    return EXIT_BUG
