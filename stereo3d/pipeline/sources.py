"""Where the two photos of a run come from: two files, one file that holds both, or the best two of many."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np

from ..errors import StereoError
from ..images.masks import apply_mask
from ..images.pairs import one_photo, read_frames
from ..images.raw import RAW_SUFFIXES
from ..images.read import SUFFIXES, PictureFile, is_picture, read_photo
from ..images.unknown import mark_borders
from ..images.video import VIDEO_SUFFIXES, VideoFrame, read_frame, sample_frames
from ..records import ExifFacts, Finding, Photo, PhotoPair, Rig
from ..records.checks import Record
from .choose import Candidate, RankedPair, candidate_of, rank_pairs
from .config import Config

# What one photo is given as. An array is RGB; OpenCV's go through `Photo.from_bgr`.
PhotoSource = PictureFile | np.ndarray | Photo
KINDS = "a path, bytes, a binary file, a PIL image, an RGB array or a Photo"
MAX_PHOTOS = 500  # of a folder


@dataclass(frozen=True, eq=False, repr=False)
class Source(Record):
    """The photos of a run, as they will be used, with what their file states.

    Attributes
    ----------
    rig : Rig, optional
        The caller's, else the file's.
    config : Config
        The caller's, with the baseline that the file states.
    """

    left: Photo
    right: Photo
    rig: Rig | None
    config: Config
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, eq=False, repr=False)
class Collection(Record):
    """More than two photos, of which the pairs are ranked.

    Attributes
    ----------
    names : list of str
        Of the photos, for messages.
    config : Config
        With which they are read.
    path : Path, optional
        Of the video.
    """

    names: list[str]
    ranked: list[RankedPair]
    photos: list[Path] | list[Photo] | list[VideoFrame]
    config: Config
    path: Path | None = None

    def pair(self, chosen: RankedPair) -> PhotoPair:
        """Return the two photos of a pair at their full size."""
        names = self.names[chosen.first], self.names[chosen.second]
        one, two = self.photos[chosen.first], self.photos[chosen.second]
        if isinstance(one, VideoFrame) and isinstance(two, VideoFrame) and self.path is not None:
            left, right = (frame.photo for frame in read_frame(self.path, [one.number, two.number]))
        else:
            left, right = (_photo(p, self.config) for p in (one, two))  # pyright: ignore[reportArgumentType]
        return PhotoPair(left, right, f"{names[0]} and {names[1]}")


def open_source(
    left: PhotoSource | Sequence[PhotoSource], right: PhotoSource | None, config: Config
) -> PhotoPair | Collection:
    """Return the pair that these sources name, or the ranked collection of more than two photos.

    Parameters
    ----------
    left : photo or sequence of photos
        A photo is a path, bytes, a binary file, a PIL image, an RGB array or a `Photo`. With no `right`: a file that
        holds both (`read_pair`), a folder of photos, a video (by its path), or several photos.
    right : photo, optional
    config : Config

    Raises
    ------
    StereoError
        "one_photo" where there are not two photos; as `read_photo`.
    """
    if right is not None:
        if isinstance(left, Sequence) and not isinstance(left, str | bytes | bytearray | memoryview):
            raise ValueError("either a list of photos, or left and right")
        return PhotoPair(_photo(left, config, "first"), _photo(right, config, "second"), form="")
    if isinstance(left, Photo | np.ndarray):
        raise ValueError("a second photo is needed: right is None, as cv2.imread returns for what it cannot read")
    if isinstance(left, str | os.PathLike):
        path = Path(os.fsdecode(left))
        if path.is_dir():
            return _of_list(photos_in(path), config, folder=True)
        if path.suffix.lower() in VIDEO_SUFFIXES:
            frames = sample_frames(path)
            names = [f"the frame at {frame.seconds:.2f} s" for frame in frames]
            return Collection(names, _rank([frame.photo for frame in frames], config), frames, config, path)
    elif not is_picture(left):
        return _of_list(left, config)  # pyright: ignore[reportArgumentType]
    found = read_frames(left, config.layout, max_pixels=config.max_pixels)  # pyright: ignore[reportArgumentType]
    if isinstance(found, PhotoPair):
        return found
    if len(found) == 1:
        raise one_photo(left, found[0])  # pyright: ignore[reportArgumentType]
    return Collection([f"frame {k + 1}" for k in range(len(found))], _rank(found, config), found, config)


def photos_in(folder: Path) -> list[Path]:
    """Return the photos of a folder by name; of a raw file and a picture of one name, the picture.

    Raises
    ------
    StereoError
        "one_photo" where it holds fewer than two, or more than `MAX_PHOTOS`.
    """
    known = (*SUFFIXES, *RAW_SUFFIXES)
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in known and p.name[0] != "." and p.is_file())
    developed = {p.stem.lower() for p in files if p.suffix.lower() not in RAW_SUFFIXES}
    files = [p for p in files if p.suffix.lower() not in RAW_SUFFIXES or p.stem.lower() not in developed]
    if not 2 <= len(files) <= MAX_PHOTOS:
        raise StereoError(
            "one_photo",
            f"the folder {folder} holds {len(files) or 'no'} photo{'s' * (len(files) > 1)}; 2 to {MAX_PHOTOS} can be "
            "compared.",
            _advice_for_folder(folder, files),
            photos=len(files),
        )
    return files


def _advice_for_folder(folder: Path, photos: list[Path]) -> str:
    """What to name in place of a folder with too few photos, or too many."""
    if len(photos) == 1:
        return f"Name the second photo as well: stereo3d {shlex.quote(str(photos[0]))} SECOND.jpg"
    for path in sorted(folder.iterdir()) if not photos else ():
        try:
            names = [p.suffix.lower() for p in path.iterdir()] if path.is_dir() else []
        except OSError:
            continue
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
            return f"Name the video in it: stereo3d {shlex.quote(str(path))}"
        if sum(name in (*SUFFIXES, *RAW_SUFFIXES) for name in names) > 1:
            return f"Name the folder in it that has photos: stereo3d {shlex.quote(str(path))}"
    return "Put the photos of one thing into a folder, or name two files."


def _of_list(photos: Sequence[PhotoSource], config: Config, *, folder: bool = False) -> PhotoPair | Collection:
    if not isinstance(photos, Sequence):
        raise ValueError(f"photos are {KINDS}, or a list of these, got {type(photos).__name__}")
    if len(photos) < 2:
        advice = "Name the second photo." if photos else "Name two photos."
        raise StereoError("one_photo", f"{len(photos) or 'no'} photo is named, two are needed.", advice)
    if len(photos) == 2:
        left, right = (_photo(p, config, which) for p, which in zip(photos, ("first", "second"), strict=True))
        return PhotoPair(left, right, f"{_name(photos[0])} and {_name(photos[1])}" if folder else "")
    # files are read again when their pair is chosen; what is no path is read once
    photos = [
        photo if isinstance(photo, str | os.PathLike) else _photo(photo, config, f"{k}.")
        for k, photo in enumerate(photos, 1)
    ]
    names = [_name(photo) or f"photo {k}" for k, photo in enumerate(photos, 1)]
    return Collection(names, _rank(photos, config), photos, config)  # pyright: ignore[reportArgumentType]


def _rank(photos: Sequence[PhotoSource], config: Config) -> list[RankedPair]:
    """The ranking of many photos; what the user says of one pair is refused."""
    settings = {"mask": config.mask, "known-distance": config.known_distance, "baseline": config.baseline}
    if given := [name for name, value in settings.items() if value]:
        raise StereoError(
            "bad_option",
            f"{' and '.join(given)} {'holds' if len(given) == 1 else 'hold'} for one pair of photos, but the best "
            "pair of several is to be chosen.",
            "Name the two photos; --pairs prints which are good.",
        )
    candidates: list[Candidate] = [candidate_of(mark_borders(_photo(photo, config)), config) for photo in photos]
    return rank_pairs(candidates, seed=config.seed)


def _projected(photo: Photo, config: Config) -> Photo:
    """The photo with the projection of the config, where it states one."""
    if config.projection is None or photo.exif.get("projection") == config.projection:
        return photo
    return replace(photo, exif=cast(ExifFacts, {**photo.exif, "projection": config.projection}))


def _photo(source: object, config: Config, which: str = "") -> Photo:
    """The photo of a `PhotoSource`; ValueError for anything else. which: "first", to name one that has no path."""
    return _projected(_read(source, config, which), config)


def _read(source: object, config: Config, which: str) -> Photo:
    if isinstance(source, Photo):
        return source
    if not isinstance(source, np.ndarray) and not is_picture(source):
        raise ValueError(f"a photo is {KINDS}, got {type(source).__name__}")
    try:
        if isinstance(source, np.ndarray):
            return Photo.from_array(source)
        return read_photo(source, max_pixels=config.max_pixels)  # pyright: ignore[reportArgumentType]
    except StereoError as error:
        if isinstance(source, str | os.PathLike) or not which:
            raise
        message = f"the {which} photo: {error.message}"
        raise StereoError(error.code, message, error.advice, **error.numbers) from error


def _name(source: object) -> str:
    if isinstance(source, str | os.PathLike):
        return Path(os.fsdecode(source)).name
    return source.path.name if isinstance(source, Photo) and source.path else ""


def use_source(pair: PhotoPair, rig: Rig | None, config: Config) -> Source:
    """Return the photos with their masks, and what their file states about the cameras where the user says nothing."""
    photos = [mark_borders(_projected(photo, config)) for photo in (pair.left, pair.right)]
    for k, mask in enumerate(config.mask):
        photos[k] = apply_mask(photos[k], Path(mask))
    if config.known_distance is not None and pair.squeezed:
        raise StereoError(
            "bad_option",
            "known-distance names pixels of the first photo, and the views of this file are squeezed to half.",
            "Save both views at their full size as files, and name these.",
        )
    scaled = any((config.baseline, config.known_distance, config.markers, config.board))
    own = (config.focal, config.focal_35mm, config.fov, config.calib)
    if rig is None and pair.rig is not None and all(value is None for value in own):
        rig = replace(pair.rig, unit=None) if scaled else pair.rig  # the user's length counts, not the file's
    elif pair.baseline and not scaled and config.calib is None and rig is None:
        config = replace(config, baseline=pair.baseline, unit=pair.unit)
    findings = [_source_finding(pair, rig, config)] if pair.form else []
    return Source(photos[0], photos[1], rig, config, findings)


def _source_finding(pair: PhotoPair, rig: Rig | None, config: Config) -> Finding:
    """State how the file holds the photos, and what of its statements is used."""
    used = rig if pair.rig is not None and rig is not None and rig.cam1 is pair.rig.cam1 else None
    metric = used is not None and used.unit is not None
    apart = pair.baseline is not None and (config.baseline == pair.baseline or metric)
    text = f"the photos come from {pair.form}" + ", with its cameras" * (used is not None)
    text += f", {pair.baseline:.4g} {pair.unit} apart" if apart else ""
    return Finding("source", "info", f"{text}.", {"baseline": pair.baseline} if apart else {})


def ranking_lines(collection: Collection, count: int) -> list[str]:
    """Return the ranking as text, one line for each of the best pairs."""
    lines = [f"{len(collection.ranked)} pairs of {len(collection.names)} photos compared; the best:"]
    for place, pair in enumerate(collection.ranked[:count], 1):
        names = f"{collection.names[pair.first]} and {collection.names[pair.second]}"
        if pair.score > 0:
            lines.append(
                f"{place}. {names}: score {pair.score:.2f}, {pair.inliers} matches agree, rays meet at "
                f"{pair.angle_deg:.1f} degrees, {100 * pair.overlap:.0f} % overlap, sharpness {pair.sharpness:.2f}"
            )
        else:
            lines.append(f"{place}. {names}: cannot be used, {pair.matches} features match")
    return lines


def chosen_finding(collection: Collection, chosen: RankedPair) -> Finding:
    """State which pair was chosen of how many, and why."""
    one, two = collection.names[chosen.first], collection.names[chosen.second]
    numbers = {
        "first": one,
        "second": two,
        "pairs": len(collection.ranked),
        "score": chosen.score,
        "angle_deg": chosen.angle_deg,
        "overlap": chosen.overlap,
    }
    return Finding(
        "chosen_pair",
        "info",
        f"of {len(collection.ranked)} pairs of {len(collection.names)} photos, {one} and {two} were chosen: their rays "
        f"meet at {chosen.angle_deg:.1f} degrees, and they share {100 * chosen.overlap:.0f} % of the picture.",
        numbers,
    )
