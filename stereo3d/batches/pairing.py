"""Which files of a list are pairs: by the side that their names state, by numbers, by times.

Nothing here opens a file; `contents` looks at those that names leave over.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from .places import folder_of, joined, name_in
from .records import Pair

SIDES = (("left", "right"), ("links", "rechts"), ("gauche", "droite"), ("lft", "rgt"), ("l", "r"))
# folders of the two cameras of a rig, beside those of SIDES: KITTI, EuRoC, Middlebury's and OpenCV's habits
FOLDERS = (
    ("cam0", "cam1"),
    ("cam1", "cam2"),
    ("camera0", "camera1"),
    ("camera1", "camera2"),
    ("image_0", "image_1"),
    ("image_2", "image_3"),
    ("image_02", "image_03"),
    ("view0", "view1"),
    ("view1", "view2"),
)
SIDE_OF = {word: (kind, side) for kind in SIDES for side, word in enumerate(kind)}
# a word for a side stands alone: between other characters than letters, or as a part of camelCase
_WORDS = "|".join(word for kind in SIDES[:-1] for word in kind)
_SIDE = re.compile(
    rf"(?<![A-Za-z])(?:(?i:{_WORDS}))(?![a-z])|(?<=[a-z])(?:Left|Right)(?![a-z])|(?<![A-Za-z])[LRlr](?![A-Za-z])"
)
_NUMBER = re.compile(r"\d+")
_TIME = re.compile(r"(?<!\d)((?:19|20)\d{6})[T_ -]?(\d{6})(\d{3})?(?!\d)")
RATIO = 3.0  # the other neighbours of two photos of one pair are so many times as far in time
MAX_SECONDS = 120.0  # between two photos of one pair
MAX_NAME = 120  # characters of the name of a folder


@dataclass
class Found:
    """Pairs, and the files that are in none, each with the reason."""

    pairs: list[Pair] = field(default_factory=list)
    left_over: dict[str, str] = field(default_factory=dict)

    def add(self, other: Found) -> None:
        """Take in the pairs and the rest of another list."""
        self.pairs += other.pairs
        self.left_over |= other.left_over


def stem(file: str) -> str:
    """Return the name of a file without folder and suffix."""
    name = name_in(file)
    return name.rpartition(".")[0] or name


def sides_of(name: str) -> Iterator[tuple[str, int, str]]:
    """Yield (rest, side, word) for each word of a name that states a side, the last first: 0 left, 1 right."""
    for found in reversed(list(_SIDE.finditer(name))):
        kind, side = SIDE_OF[found[0].lower()]
        rest = f"{name[: found.start()]}\0{kind[0]}\0{name[found.end() :]}"
        yield rest.lower(), side, found[0]


def by_sides(files: Sequence[str]) -> tuple[list[Pair], list[str]]:
    """Return the pairs whose names differ only in the word for the side, and the other files."""
    known: defaultdict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    words: dict[str, list[tuple[str, int, str]]] = {}
    for file in files:
        words[file] = list(sides_of(stem(file)))
        for rest, side, _ in words[file]:
            known[rest][side].append(file)
    pairs, taken = [], set()
    for file in files:
        for rest, side, word in words[file]:
            one, two = known[rest]
            if file in taken or side != 0 or len(one) != 1 or len(two) != 1 or two[0] in taken:
                continue
            other = next(w for r, s, w in words[two[0]] if r == rest and s == 1)
            pairs.append(Pair(file, two[0], _without(stem(file), word), why=f"names: {word} and {other}"))
            taken |= {file, two[0]}
    return pairs, [file for file in files if file not in taken]


def _without(name: str, word: str) -> str:
    """A name without its last occurrence of a word, and without the separators that it leaves."""
    at = [found for found in _SIDE.finditer(name) if found[0] == word][-1]
    before, after = name[: at.start()].rstrip("_-. "), name[at.end() :].lstrip("_-. ")
    return "_".join(filter(None, (before, after))) or name


def by_folders(folders: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pairs of folders beside each other that hold the left and the right photos."""
    names: dict[tuple[str, str], str] = {}
    for folder in folders:
        names.setdefault((folder_of(folder), name_in(folder).lower()), folder)
    found, taken = [], set()
    for parent, name in sorted(names):
        partners = [rest_of(name, *kind) for kind in (*SIDES[:4], ("l", "r"))] + [b for a, b in FOLDERS if a == name]
        for partner in filter(None, partners):
            one, two = names[parent, name], names.get((parent, partner))
            if two is not None and one not in taken and two not in taken:
                found.append((one, two))
                taken |= {one, two}
    return found


def rest_of(name: str, left: str, right: str) -> str | None:
    """Return the name with the last word for the left side exchanged for that of the right; None without one."""
    for found in reversed(list(_SIDE.finditer(name))):
        if found[0].lower() == left:
            return name[: found.start()] + right + name[found.end() :]
    return None


def of_two_lists(lefts: Sequence[str], rights: Sequence[str]) -> Found:
    """Return the pairs of a list of left and a list of right photos.

    They are paired by equal names; by names that are equal without the word for the side; by the numbers in them; by
    their order where both lists are equally long and nothing else fits.
    """
    found = Found()
    keys = (
        ("equal names", lambda file: stem(file).lower()),
        ("names but for the side", lambda file: re.sub(r"[_\-. ]+", "_", _SIDE.sub("", stem(file))).strip("_").lower()),
        ("equal numbers", lambda file: tuple(map(int, _NUMBER.findall(_SIDE.sub("", stem(file)))))),
    )
    for why, key in keys:
        one, two = _unique(lefts, key), _unique(rights, key)
        for k in one.keys() & two.keys():
            found.pairs.append(Pair(one[k], two[k], why=why))
        taken = {file for pair in found.pairs for file in pair.files}
        lefts, rights = ([file for file in files if file not in taken] for files in (lefts, rights))
    if lefts and len(lefts) == len(rights) and not found.pairs:
        found.pairs = [Pair(a, b, why="place in the order of names") for a, b in zip(lefts, rights, strict=True)]
        lefts = rights = []
    found.pairs.sort(key=lambda pair: _natural(pair.left))
    for files, other in ((lefts, "right"), (rights, "left")):
        found.left_over |= dict.fromkeys(files, f"no {other} photo has its name or number")
    return found


def _unique(files: Iterable[str], key) -> dict:
    """{key: file} of the keys, empty ones aside, that one file alone has."""
    found: dict = {}
    twice = set()
    for file in files:
        k = key(file)
        if k in found:
            twice.add(k)
        elif k:
            found[k] = file
    return {k: file for k, file in found.items() if k not in twice}


def by_numbers(files: Sequence[str]) -> tuple[list[Pair], list[str]]:
    """Return the pairs of files whose names differ in one number alone, of which there are two; and the other files.

    `im0` and `im1`, `scene_0` and `scene_1`, `a_1_x` and `a_2_x`.
    """
    known: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for file in files:
        name = stem(file)
        for place, found in enumerate(_NUMBER.finditer(name)):
            known[f"{name[: found.start()]}\0{name[found.end() :]}".lower(), place].append(file)
    pairs, taken = [], set()
    for (rest, _), group in sorted(known.items(), key=lambda item: (-item[0][1], item[0][0])):
        if len(group) != 2 or any(file in taken for file in group):
            continue
        one, two = sorted(group, key=_natural)
        name = re.sub(r"[_\-. ]+$|^[_\-. ]+", "", rest.replace("\0", ""))
        numbers = [_differing(stem(a), stem(b)) for a, b in ((one, two), (two, one))]
        if abs(int(numbers[0]) - int(numbers[1])) != 1 and len(files) > 2:
            continue
        pairs.append(Pair(one, two, name and stem(one), why=f"names: numbers {numbers[0]} and {numbers[1]}"))
        taken |= {one, two}
    return sorted(pairs, key=lambda pair: _natural(pair.left)), [file for file in files if file not in taken]


def _differing(name: str, other: str) -> str:
    """The number of a name in which it differs from another."""
    return next(a for a, b in zip(_NUMBER.findall(name), _NUMBER.findall(other), strict=False) if a != b)


def by_times(times: dict[str, float]) -> list[tuple[str, str, float]]:
    """Return (first, second, seconds) of files taken one shortly after the other, and apart from all others.

    Each is the nearest of the other, and the next ones are `RATIO` times as far.
    """
    files = sorted(times, key=lambda file: (times[file], _natural(file)))
    gaps = [times[b] - times[a] for a, b in zip(files, files[1:], strict=False)]
    found, k = [], 0
    while k < len(gaps):
        around = [gaps[n] for n in (k - 1, k + 1) if 0 <= n < len(gaps)]
        apart = not around or min(around) > RATIO * max(gaps[k], 0.5)
        if gaps[k] <= MAX_SECONDS and apart:
            found.append((files[k], files[k + 1], gaps[k]))
            k += 1
        k += 1
    return found


def time_in_name(file: str) -> float | None:
    """Return the time that a name states, s: 20240501_101500, 20240501T101500123; None without one."""
    found = _TIME.search(stem(file))
    if found is None:
        return None
    try:
        moment = datetime.strptime(found[1] + found[2], "%Y%m%d%H%M%S")
    except ValueError:
        return None
    return (moment - datetime(1900, 1, 1)).total_seconds() + int(found[3] or 0) / 1000


def in_order(files: Sequence[str], *, strip: bool) -> list[Pair]:
    """Return the pairs of files in the order of their names: 1-2, 3-4, ...; of a strip 1-2, 2-3, ..."""
    files = sorted(files, key=_natural)
    step = 1 if strip else 2
    why = "neighbours of a strip" if strip else "consecutive names"
    return [
        Pair(a, b, f"{stem(a)}-{stem(b)}" if strip else stem(a), why=why)
        for a, b in zip(files[::step], files[1::step], strict=False)
    ]


def _natural(file: str) -> tuple:
    """A key that sorts numbers by their size."""
    parts = re.split(r"(\d+)", file.lower())
    return tuple(int(part) if k % 2 else part for k, part in enumerate(parts))


def natural(files: Iterable[str]) -> list[str]:
    """Return names in their natural order: 2 before 10."""
    return sorted(files, key=_natural)


def named(pairs: Sequence[Pair], base: str = "") -> list[Pair]:
    """Return the pairs with a name each that is a folder's, differs from all others and depends on its files alone.

    Parameters
    ----------
    pairs : sequence of Pair
    base : str
        Folder of all photos: names of folders below it become part of the names.
    """
    import hashlib
    from dataclasses import replace

    wanted = [safe(_full_name(pair, base)) for pair in pairs]
    count: defaultdict[str, int] = defaultdict(int)
    for name in wanted:
        count[name.lower()] += 1
    found = []
    for pair, name in zip(pairs, wanted, strict=True):
        if count[name.lower()] > 1:
            told_apart = repr((pair.files, sorted((k, str(v)) for k, v in pair.options.items())))
            name = f"{name}-{hashlib.sha256(told_apart.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"
        found.append(pair if pair.name == name else replace(pair, name=name))
    return found


def _full_name(pair: Pair, base: str) -> str:
    """The name of a pair, or of its first file, below the names of the folders below `base`."""
    folder = folder_of(pair.left)
    inside = folder[len(base) :].strip("/\\") if base and folder.startswith(base) else ""
    parts = [part for part in re.split(r"[/\\]", inside) if part and part.lower() not in SIDE_OF]
    parts = [part for part in parts if part.lower() not in {name for kind in FOLDERS for name in kind}]
    return "_".join([*parts, pair.name or stem(pair.left)])


def safe(name: str) -> str:
    """Return a name as that of a folder: letters, digits, `_`, `-` and `.` inside; never hidden, never of the index."""
    name = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII)[:MAX_NAME].strip("._-") or "pair"
    reserved = name.lower() in ("index", "rig", "batch") or name.lower().startswith(("index.", "rig.", "con.", "nul."))
    return f"pair_{name}" if reserved else name


def in_folder(pair: Pair, folder: str) -> str:
    """Return the folder of the results of a pair."""
    return joined(folder, pair.name)
