"""`main`: the command `stereo3d`. Signals first; then the imports, which take most of a short command's time."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .signals import own_signals


def main(args: Sequence[str] | None = None) -> int:
    """Run the command `stereo3d`: every failure is one message on standard error and an exit code by kind.

    Parameters
    ----------
    args : sequence of str, optional
        Arguments of a call from Python, which returns the exit code; by default those of the program, which ends.
    """
    if args is not None:
        from .invoke import invoke

        return invoke(list(args))
    own_signals()
    from .invoke import invoke
    from .process import own_process

    own_process()
    sys.exit(invoke(sys.argv[1:]))


if __name__ == "__main__":
    main()
