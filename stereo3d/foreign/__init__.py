"""Bytes of foreign origin: only plain files are opened; budgets of pictures; decoders in a process with limits."""

from .files import open_file, read_file, regular_file
from .pictures import Budget, check_memory, exif_tags, open_picture, rgb_pixels, stated_size, texture_pixels

__all__ = [
    "Budget",
    "check_memory",
    "exif_tags",
    "open_file",
    "open_picture",
    "read_file",
    "regular_file",
    "rgb_pixels",
    "stated_size",
    "texture_pixels",
]
