"""The photos that `reconstruct` is given: files, a folder, a video, several photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import StereoError
from .printable import echo

if TYPE_CHECKING:
    from ..pipeline.sources import PhotoSource


def source_of(photos: Sequence[Path]) -> tuple[PhotoSource | list[PhotoSource], PhotoSource | None]:
    """Return the first two arguments of `stereo3d.reconstruct`."""
    if len(photos) > 2:
        return list(photos), None
    return photos[0], photos[1] if len(photos) == 2 else None


def with_photos_of_folders(paths: Sequence[Path]) -> list[Path]:
    """Return the paths, and for each folder the photos in it: what no output may replace."""
    folders = [path for path in paths if path.is_dir()]
    if not folders:
        return list(paths)
    from ..pipeline.sources import photos_in

    return [*paths, *(photo for folder in folders for photo in photos_in(folder))]


def refuse_standard_input(photos: Sequence[Path]) -> None:
    """Refuse "-": a photo is read more than once, and two cannot come through one stream."""
    if Path("-") in photos:
        raise StereoError("bad_option", "photos are not read from standard input (-).", "Save them as files first.")


def print_pairs(photos: Sequence[Path], count: int, given: dict[str, Any]) -> None:
    """Print the ranking of the best pairs of several photos, a folder or a video.

    Parameters
    ----------
    photos : sequence of Path
    count : int
        Number of pairs.
    given : dict
        Fields of Config.
    """
    from ..pipeline.config import Config
    from ..pipeline.sources import Collection, open_source, ranking_lines

    opened = open_source(*source_of(photos), Config(**given))
    if not isinstance(opened, Collection):
        raise StereoError("bad_option", "--pairs ranks the pairs of three or more photos.", "Leave it out.")
    for line in ranking_lines(opened, count):
        echo(line)
