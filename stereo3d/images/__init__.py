"""Pictures: reading photo files, letterbox bars, unknown pixels, grey and reduced ones, least-squares patch fitting."""

from .content import content_box
from .pairs import read_pair
from .read import read_photo
from .reduce import reduced_grey, smooth, to_grey
from .unknown import mark_borders, scene_pixels

__all__ = [
    "content_box",
    "mark_borders",
    "read_pair",
    "read_photo",
    "reduced_grey",
    "scene_pixels",
    "smooth",
    "to_grey",
]
