"""What trained networks expect of their pixels, by the name of the model, and what a file states of itself.

The table follows the published code of each network. No model can be downloaded where this project is tested, so that
none of its rows has been tried: a wrong one is overruled by an option.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PIXELS = {  # name -> (scale, mean, standard deviation): (value * scale - mean) / standard deviation, R, G, B
    "0-255": (1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "0-1": (1 / 255, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "-1-1": (1 / 255, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": (1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
COLOURS = ("rgb", "bgr")
METADATA = "stereo3d."  # begins the names of entries of a model's metadata that set an option


@dataclass(frozen=True)
class Family:
    """What networks of one kind expect.

    Parameters
    ----------
    words : tuple of str
        One of them is in the name of the file, of lower-case letters and digits alone.
    pixels : str
        Name in `PIXELS`.
    colours : str
        "rgb" or "bgr".
    """

    words: tuple[str, ...]
    pixels: str
    colours: str = "rgb"


FAMILIES = (
    Family(("foundationstereo",), "0-255"),
    Family(("raftstereo", "raft", "igev", "selective", "monster", "defom"), "0-255"),
    Family(("crestereo",), "0-255", "bgr"),
    Family(("hitnet", "stereonet"), "0-1"),
    Family(
        ("unimatch", "gmstereo", "aanet", "gwcnet", "psmnet", "acvnet", "cfnet", "cgistereo", "fastacv"), "imagenet"
    ),
)
UNKNOWN = Family((), "0-255")


def family_of(path: Path, metadata: Mapping[str, str]) -> Family:
    """Return what a model expects, by the name of its file, then by what its metadata calls it.

    Entries "stereo3d.pixels" and "stereo3d.colours" of the metadata come first; another value than the known ones is
    ignored, as an option then has to state it.
    """
    texts = [path.stem, *(metadata.get(key, "") for key in ("name", "model_name", "title"))]
    letters = ["".join(c for c in text.lower() if c.isalnum()) for text in texts]
    found = next((f for text in letters for f in FAMILIES for word in f.words if word in text), UNKNOWN)
    pixels, colours = (metadata.get(METADATA + name) for name in ("pixels", "colours"))
    return Family(
        found.words,
        pixels if pixels in PIXELS else found.pixels,
        colours if colours in COLOURS else found.colours,
    )
