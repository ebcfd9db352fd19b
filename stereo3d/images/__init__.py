"""Pictures: reading photo files, grey and reduced pictures, least-squares patch fitting."""

from .read import read_photo
from .reduce import reduced_grey, smooth, to_grey

__all__ = ["read_photo", "reduced_grey", "smooth", "to_grey"]
