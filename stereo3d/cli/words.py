"""What the words of a command line are: photos, an output without its option, or a file that belongs elsewhere.

Everything here is decided by names, before any photo is read. A word that cannot be a photo ends the run with the
command to type instead.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import StereoError

DEFAULT_SUFFIX = ".glb"  # one file, with its texture inside, that every viewer opens
JOINTS = ("+", "&", "and", ",")  # between two photos
MESHES = (".obj", ".ply", ".glb", ".gltf", ".stl", ".off", ".fbx", ".blend", ".3mf", ".usd", ".usda", ".usdc", ".usdz")
CALIBRATIONS = (".yml", ".yaml", ".json", ".npz", ".mat", ".xml", ".cal", ".toml", ".ini", ".conf", ".txt")
# Documents that hold pictures, and how the pictures come out.
DOCUMENTS = {
    ".pdf": "a document; take its pictures out: pdfimages -all {name} page",
    ".svg": "a drawing made of lines, not a photo; name the photos themselves",
    ".eps": "a drawing made of lines, not a photo; name the photos themselves",
    ".ai": "a drawing made of lines, not a photo; name the photos themselves",
    ".docx": "a document; take its pictures out: unzip {name} 'word/media/*'",
    ".pptx": "a document; take its pictures out: unzip {name} 'ppt/media/*'",
    ".odt": "a document; take its pictures out: unzip {name} 'Pictures/*'",
    ".zip": "an archive; unpack it into a folder: unzip {name} -d photos, then name the folder",
    ".psd": "a project of an image editor; export it as PNG or TIFF there",
    ".xcf": "a project of an image editor; export it as PNG or TIFF there",
}
# Formats that no writer makes, and what makes them of a format that there is.
CONVERTERS = {
    ".fbx": "Blender imports .glb and exports .fbx",
    ".blend": "Blender imports .glb and saves .blend",
    ".dae": "Blender imports .glb and exports .dae (version 4 and older)",
    ".abc": "Blender imports .glb and exports .abc",
    ".gltf": "a .glb is a glTF in one file; Blender or `npx @gltf-transform/cli copy a.glb a.gltf` unpacks it",
    ".usd": "Blender imports .glb and exports .usd",
    ".usda": "Blender imports .glb and exports .usda",
    ".usdc": "Blender imports .glb and exports .usdc",
    ".3mf": "slicers such as PrusaSlicer and Cura open .stl and save .3mf",
    ".gcode": "a slicer such as PrusaSlicer or Cura makes it of .stl",
    ".step": "a mesh has no CAD surfaces; FreeCAD imports .stl and makes a solid of it",
    ".stp": "a mesh has no CAD surfaces; FreeCAD imports .stl and makes a solid of it",
    ".xyz": "a point cloud is written by --points cloud.xyz, beside the mesh",
    ".pcd": "a point cloud is written by --points cloud.pcd, beside the mesh",
    ".las": "a point cloud is written by --points cloud.las, beside the mesh",
    ".laz": "a point cloud is written by --points cloud.laz, beside the mesh",
    ".skp": "SketchUp imports .stl and saves .skp",
}


@dataclass(frozen=True)
class Words:
    """The photos and the file of the mesh; a note where its name is not the one that was expected."""

    photos: tuple[Path, ...]
    output: Path
    note: str = ""


def sort_words(photos: Sequence[Path], output: str | None, writers: Iterable[str]) -> Words:
    """Return what the words of `stereo3d reconstruct` stand for.

    Parameters
    ----------
    photos : sequence of Path
        The words that no option takes.
    output : str, optional
        Of -o: a file, a folder (it is there, or the name ends with a slash), or only a suffix such as ".obj". In the
        last two cases and without -o, the file is named like the first photo; -2 and so on keep what is there already.
    writers : iterable of str
        Suffixes of mesh formats that can be written.

    Raises
    ------
    StereoError
        "bad_option" or "unknown_format" with the command to type.
    """
    known = tuple(writers)
    photos = tuple(photos)
    if output is None and len(photos) > 1 and photos[-1].suffix.lower() in known:  # stereo3d a.jpg b.jpg out.glb
        if os.path.lexists(photos[-1]):
            raise _wrong(
                f"{photos[-1]} is a mesh and there already.",
                f"To write over it: {_command(*photos[:-1], '-o', photos[-1])}",
            )
        output, photos = os.fspath(photos[-1]), photos[:-1]
    for photo in photos:
        _refuse(photo, photos, output)
    if output is None:
        return _named(photos, None, DEFAULT_SUFFIX)
    path = Path(output)
    if output.lower() in known:  # -o .obj
        return _named(photos, None, output.lower())
    if output.endswith(tuple(filter(None, (os.sep, os.altsep)))) or (
        os.path.isdir(path) and path.suffix.lower() not in known
    ):
        return _named(photos, path, DEFAULT_SUFFIX)
    _refuse_output(path, photos, known)
    return Words(photos, path)


def _named(photos: Sequence[Path], folder: Path | None, suffix: str) -> Words:
    """The file named like the first photo, in a folder or beside it, under a name that is free."""
    first = photos[0]
    if first.name in ("", ".."):  # the working folder, or the one above
        first = Path(os.path.abspath(first))
    stem = (first.name if os.path.isdir(first) else first.stem) or "model"
    folder = first.parent if folder is None else folder
    wanted = path = folder / f"{stem}{suffix}"
    number = 1
    while os.path.lexists(path):
        number += 1
        path = folder / f"{stem}-{number}{suffix}"
    note = f"{wanted.name} was there already and stays; -o {shlex.quote(str(wanted))} writes over it."
    return Words(tuple(photos), path, note if number > 1 else "")


def _refuse(photo: Path, photos: Sequence[Path], output: str | None) -> None:
    """Refuse a word that cannot be a photo."""
    name, suffix = os.fspath(photo), photo.suffix.lower()
    others = [p for p in photos if p is not photo]
    pair = others if len(others) > 1 else [*(others or ["LEFT.jpg"]), "RIGHT.jpg"]
    rest = ["-o", output] if output else []
    if address := re.match(r"(?i)([a-z][a-z0-9+.-]+):/+(?=.)", name):
        if not os.path.lexists(photo) and len(address[1]) > 1:
            url = f"{address[1]}://{name[address.end() :]}"
            file = Path(url.partition("?")[0]).name or "photo.jpg"
            raise _wrong(
                f"{url} is an address; photos are read from files.",
                f"Save it first: curl -L -o {shlex.quote(file)} {shlex.quote(url)}",
            )
    if not os.path.lexists(photo):
        parts = [part for part in re.split("[,;]", name) if part]
        if len(parts) > 1 and all(os.path.lexists(part) for part in parts):
            raise _wrong(f"{name} is no file; a space separates two photos.", f"Type: {_command(*parts, *rest)}")
        if name in JOINTS and others:
            raise _wrong(
                f"{name} is no file; photos are named one after the other.", f"Type: {_command(*others, *rest)}"
            )
    if suffix in MESHES:
        if os.path.lexists(photo):
            raise _wrong(f"{photo} is a mesh, not a photo.", f"To look at it: {_command('view', photo)}")
        raise _wrong(
            f"{photo} has the name of a mesh, and photos are named first.",
            f"Two photos make a mesh: {_command(*pair, '-o', output or photo)}",
        )
    if suffix in CALIBRATIONS and not os.path.isdir(photo):
        raise _wrong(
            f"{photo} is no photo; a calibration is given by --calib.",
            f"Type: {_command(*pair, '--calib', photo, *rest)}",
        )
    if suffix in DOCUMENTS and not os.path.isdir(photo):
        raise _wrong(f"{photo} is no photo.", f"It is {DOCUMENTS[suffix].format(name=shlex.quote(name))}.")


def _refuse_output(path: Path, photos: Sequence[Path], known: Sequence[str]) -> None:
    """Refuse a mesh file that has the name of a photo, or of a format that no writer makes."""
    from ..images.raw import RAW_SUFFIXES
    from ..images.read import SUFFIXES

    suffix = path.suffix.lower()
    if suffix in known:
        return
    named = [os.path.abspath(p) for p in photos]
    if suffix in (*SUFFIXES, *RAW_SUFFIXES) and not os.path.isdir(path) and os.path.abspath(path) not in named:
        pair = [*photos, path] if len(photos) == 1 else [*photos]
        raise StereoError(
            "unknown_format",
            f"{path} has the name of a photo, and -o names the mesh.",
            f"Type: {_command(*pair, '-o', f'{photos[0].stem}{DEFAULT_SUFFIX}')}",
        )
    if suffix in CONVERTERS:
        raise StereoError(
            "unknown_format",
            f"cannot write {path}: {suffix} is not among {', '.join(known)}.",
            f"{CONVERTERS[suffix][:1].upper()}{CONVERTERS[suffix][1:]}.",
        )


def _wrong(message: str, advice: str) -> StereoError:
    return StereoError("bad_option", message, advice)


def _command(*words: object) -> str:
    return shlex.join(["stereo3d", *(os.fspath(w) if isinstance(w, Path) else str(w) for w in words)])
