"""Check an installation, compile the kernels ahead of use."""

from .compiling import Compiling, Helpers
from .doctor import check
from .warmup import warm_up

__all__ = ["Compiling", "Helpers", "check", "warm_up"]
