"""Compile kernels before they are called: `kernels.txt` lists those that Python calls, in the order of a run.

numba compiles a kernel, and those it calls, at its first call, and keeps them (`stereo3d doctor` shows where). A first
run compiles from the list's beginning; its `Helpers` go through the list in other orders, and the run loads the rest.
"""

import contextlib
import gc
import signal
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from .compiling import Compiling, Helpers, end_with_parent

LIST = Path(__file__).with_name("kernels.txt")


def warm_up(every: bool = True, helped: bool = False) -> int:
    """Compile the kernels of `listed(every)` that are not kept yet; return the number that this process compiled."""
    with Helpers(every) as helpers, Compiling(helpers.start if helped else lambda: None) as found:
        for line in listed(every):
            compile_kernel(line)
    return found.kernels


def listed(every: bool) -> list[str]:
    """Return the lines of the list without its comments; every: also those after the empty line."""
    usual, more = LIST.read_text("utf-8").split("\n\n")
    return [line for line in f"{usual}\n{more if every else ''}".splitlines() if line and not line.startswith("#")]


def compile_kernel(line: str) -> None:
    """Compile the kernel of a line for the types of its arguments, or load it where it is kept."""
    from numba import types

    name, arguments = line.split(" ", 1)
    kernel = resolve_name(f"stereo3d.{name}")

    def named(name: str, *fields: Any) -> Any:
        return types.BaseTuple.from_types(fields, resolve_name(f"stereo3d.{name}"))

    if hasattr(kernel, "compile"):  # with NUMBA_DISABLE_JIT it is a function
        kernel.compile(eval(f"({arguments},)", vars(types) | {"named": named}))


def help_parent(every: bool, number: int) -> None:
    """Compile the list from its end, or from its middle backwards, in helper process number 0 or 1."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    end_with_parent()
    gc.disable()  # garbage collection takes 10 % of compile time here, and the process is short-lived
    lines = listed(every)[::-1]
    first = number * len(lines) // 2
    for line in lines[first:] + lines[:first]:
        with contextlib.suppress(Exception):  # the run itself meets and reports the error
            compile_kernel(line)
