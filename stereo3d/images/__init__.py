"""Pictures: reading photo files, letterbox bars, grey and reduced pictures, least-squares patch fitting."""

from .content import content_box
from .read import read_photo
from .reduce import reduced_grey, smooth, to_grey

__all__ = ["content_box", "read_photo", "reduced_grey", "smooth", "to_grey"]
