"""`main`: run the command line and translate failures into exit codes."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
from collections.abc import Sequence

import click

from ..errors import EXIT_OUTPUT, EXIT_USAGE
from .checks import EXIT_BUG, EXIT_INTERRUPTED, EXIT_TERMINATED, translate_error
from .parameters import cli
from .printable import echo
from .process import Terminated, own_process


def main(args: Sequence[str] | None = None) -> int:
    """Run the command `stereo3d`: every failure is one message on standard error and an exit code by kind.

    Parameters
    ----------
    args : sequence of str, optional
        Arguments of a call from Python, which returns the exit code; by default those of the program, which ends.
    """
    if args is None:
        own_process()
    ended = False
    try:
        arguments = sys.argv[1:] if args is None else list(args)
        code = cli.main(args=arguments, prog_name="stereo3d", standalone_mode=False, obj=arguments)
    except click.exceptions.NoArgsIsHelpError as error:
        echo(error.ctx.get_help(), err=True, lines=True)
        code = EXIT_USAGE
    except click.ClickException as error:
        ctx = getattr(error, "ctx", None)
        command = ctx.command_path if ctx else "stereo3d"
        message = " ".join(error.format_message().split()).rstrip(".")
        echo(f"error: {message}. See `{command} --help`.", err=True)
        code = EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        echo("interrupted; nothing was left half-written.", err=True)
        code, ended = EXIT_INTERRUPTED, True
    except Terminated:
        code, ended = EXIT_TERMINATED, True
    except Exception as error:
        code = _report_failure(error)
    code = code if isinstance(code, int) else 0
    if args is None:
        if ended:  # do not wait for threads in the middle of a library's call
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError, AttributeError):
                    stream.flush()
            os._exit(code)
        sys.exit(code)
    return code


def _report_failure(error: Exception) -> int:
    """Print one message for an error; return its exit code."""
    known = translate_error(error)
    if known is not None:
        echo(f"error: {known}", err=True)
        return known.exit_code
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EIO, errno.EBADF):  # of standard output
        echo(f"error: standard output cannot be written ({error.strerror}).", err=True)
        with contextlib.suppress(OSError):  # else Python complains again when it flushes the rest
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OUTPUT
    verbose = logging.getLogger("stereo3d").level == logging.INFO
    if verbose:
        import traceback

        echo("".join(traceback.format_exception(error)).rstrip(), err=True, lines=True)
    message = " ".join(f"{type(error).__name__}: {error}".split())
    advice = "Report it with the traceback above." if verbose else "Run again with -v and report what it prints."
    echo(f"error: this is a bug ({message}). {advice}", err=True)
    return EXIT_BUG


if __name__ == "__main__":
    main()
