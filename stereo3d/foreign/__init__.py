"""Bytes of foreign origin: only plain files are opened; budgets of pictures; decoders in a process with limits."""

from .files import open_file, read_file, regular_file
from .given import BinaryFile, as_file, name_of
from .pictures import Budget, check_memory, exif_tags, open_picture, rgb_pixels, stated_size, texture_pixels

__all__ = [
    "BinaryFile",
    "Budget",
    "as_file",
    "check_memory",
    "exif_tags",
    "name_of",
    "open_file",
    "open_picture",
    "read_file",
    "regular_file",
    "rgb_pixels",
    "stated_size",
    "texture_pixels",
]
