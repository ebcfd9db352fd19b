"""One rig for all pairs of a sequence: the median of what well-posed pairs show, its drift, a common search range."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import StereoError
from ..geometry.rotations import rotation_from_vector, rotation_vector
from .places import joined, read_record, record_bytes, write_bytes
from .plan import Request, key_of
from .records import Pair

SAMPLED = 16  # pairs of the sequence that are looked at, evenly spread
LEAST = 3  # well-posed pairs that make a rig
MIN_INLIERS, MIN_SHARE = 60, 0.4  # matches of a well-posed pair that agree, and their share
ILL_POSED = (  # findings of pairs that do not determine the pose
    "critical_surface",
    "few_matches",
    "flat_scene",
    "forward_motion",
    "many_outliers",
    "moving_objects",
    "no_overlap",
    "pure_rotation",
    "unstable_pose",
)
NO_FOCAL = ("focal_unknown", "focal_ambiguous", "focal_implausible")  # of pairs that do not determine the focal length
DRIFTED = 3.0  # standard errors of the difference of both halves' medians, above which the rig has moved
RIG_FILE, FACTS_FILE = "rig.json", "rig_facts.json"
RANGE_MARGIN = 0.1  # of the range, on both sides of that of the sampled pairs
CAMERAS = ("focal", "focal_35mm", "fov")  # fields of Config that the shared calibration takes the place of


@dataclass(frozen=True)
class SharedRig:
    """What all pairs of a sequence share.

    Attributes
    ----------
    fields : dict
        Of `Config`: calib, and the search range in `options`.
    lines : list of str
        What was found, for the user.
    """

    fields: dict[str, Any]
    lines: list[str] = field(default_factory=list)

    def applied(self, request: Request) -> Request:
        """Return the request of all pairs with it."""
        fields = {name: value for name, value in request.fields.items() if name not in CAMERAS or not self.calibrates}
        options = {**(fields.get("options") or {}), **self.fields.get("options", {})}
        return replace(request, fields={**fields, **self.fields, "options": options})

    @property
    def calibrates(self) -> bool:
        """Whether the rig itself was found, not only the search range."""
        return "calib" in self.fields


def sampled(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs that are looked at: evenly spread over the sequence, its ends included."""
    places = np.unique(np.linspace(0, len(pairs) - 1, min(SAMPLED, len(pairs))).round().astype(int))
    return [pairs[k] for k in places]


def shared_rig(
    pairs: Sequence[Pair], request: Request, look: Callable[[Sequence[Pair], Request], Iterable[dict[str, Any]]]
) -> SharedRig:
    """Return what the pairs share: as an earlier batch found it with the same options, else by looking at some.

    Parameters
    ----------
    pairs : sequence of Pair
        In the order of the sequence.
    request : Request
        With a folder, in which rig and facts are kept.
    look : callable
        Returns `rig_numbers` of each of some pairs, in their order.

    Raises
    ------
    StereoError
        "bad_calibration" where too few pairs show the rig.
    """
    assert request.out is not None
    given = bool(request.fields.get("calib"))
    key = key_of({**request.fields, **({"seed": 0} if given else {})}, {"same-rig": str(request.fields.get("calib"))})
    facts_place, rig_place = joined(request.out, FACTS_FILE), joined(request.out, RIG_FILE)
    known = read_record(facts_place)
    if known is not None and known.get("key") == key and (given or read_record(rig_place) is not None):
        return SharedRig(dict(known["fields"]), [f"rig: as an earlier batch found it ({FACTS_FILE} in the folder)."])
    chosen = sampled(pairs)
    seen = list(look(chosen, request))
    if not given:
        write_bytes(rig_place, _rig_content(_well_posed(seen), posed=False))
        fields = {k: v for k, v in request.fields.items() if k not in CAMERAS}
        seen = list(look(chosen, replace(request, fields={**fields, "calib": (rig_place,)})))
    good = _well_posed(seen)
    fields: dict[str, Any] = {"options": _search_range(good)}
    lines = [f"rig: of {len(seen)} pairs looked at, {len(good)} show it well."]
    if not given:
        write_bytes(rig_place, _rig_content(good, posed=True))
        fields["calib"] = (rig_place,)
    described, drift = _describe(good)
    lines += described
    facts = {"key": key, "fields": fields, "drift": drift, "pairs": [{k: e.get(k) for k in _KEPT} for e in seen]}
    write_bytes(facts_place, record_bytes(facts))
    return SharedRig(fields, lines)


_KEPT = ("name", "error", "focal", "R", "t", "inliers", "matches", "d_range", "codes")


def _well_posed(seen: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The entries that determine the rig; StereoError with fewer than `LEAST` of one size."""
    good = [
        entry
        for entry in seen
        if "error" not in entry
        and entry["inliers"] >= MIN_INLIERS
        and entry["inliers"] >= MIN_SHARE * entry["matches"]
        and not entry["lens"]
        and not set(entry["codes"]) & set(ILL_POSED)
    ]
    sizes = [json.dumps(entry["size"]) for entry in good]
    common = max(set(sizes), key=sizes.count) if sizes else ""
    good = [entry for entry, size in zip(good, sizes, strict=True) if size == common]
    if len(good) < LEAST:
        raise StereoError(
            "bad_calibration",
            f"{len(good)} of {len(seen)} pairs show the rig well enough, {LEAST} are needed.",
            "Calibrate it (stereo3d calibrate) and give --calib, or leave --same-rig out.",
            pairs=len(good),
        )
    return good


def _focal(good: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """The medians (2,) of the focal lengths, of the pairs that determine them where these are `LEAST`, px."""
    sure = [entry for entry in good if not set(entry["codes"]) & set(NO_FOCAL)]
    return np.median([entry["focal"] for entry in (sure if len(sure) >= LEAST else good)], axis=0)


def _rig_content(good: Sequence[Mapping[str, Any]], *, posed: bool) -> bytes:
    """The content of the rig's file: as `write_rig` writes it."""
    import tempfile
    from pathlib import Path

    from ..cameras.write import write_rig
    from ..records import Camera, Rig

    cameras, focal = [], _focal(good)
    for side in (0, 1):
        K = np.median([entry["K"][side] for entry in good], axis=0)
        lengths = [len(entry["dist"][side]) for entry in good]
        length = max(set(lengths), key=lengths.count)
        dist = np.median([e["dist"][side] for e in good if len(e["dist"][side]) == length], axis=0)
        scale = focal[side] / ((K[0, 0] + K[1, 1]) / 2)
        K = np.array([[K[0, 0] * scale, K[0, 1], K[0, 2]], [0, K[1, 1] * scale, K[1, 2]], [0, 0, 1]])
        cameras.append(Camera(K, tuple(good[0]["size"][side]), dist, "calibration", "median of a sequence"))
    R, t = _pose(good)
    first, second = cameras
    rig = Rig(first, second, R, t, good[0]["unit"]) if posed else Rig(first, second)
    with tempfile.TemporaryDirectory() as folder:
        return write_rig(Path(folder) / RIG_FILE, rig).read_bytes()


def _pose(good: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Medians of rotation and of the direction of the second camera, at the median length."""
    R = rotation_from_vector(np.median([rotation_vector(entry["R"]) for entry in good], axis=0))
    t = np.array([entry["t"] for entry in good], float)
    lengths = np.linalg.norm(t, axis=1)
    direction = np.median(t / lengths[:, None], axis=0)
    return R, direction / np.linalg.norm(direction) * np.median(lengths)


def _search_range(good: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The union of the search ranges, as shares of the width: options of the stage "range"."""
    shares = np.array([np.array(entry["d_range"]) / entry["width"] for entry in good])
    low, high = shares[:, 0].min(), shares[:, 1].max()
    extra = RANGE_MARGIN * (high - low)
    return {"range.lowest": f"{max(-1.0, low - extra):.4f}", "range.highest": f"{min(1.0, high + extra):.4f}"}


def _describe(good: Sequence[Mapping[str, Any]]) -> tuple[list[str], dict[str, Any]]:
    """What was found, in words, and the drift in numbers: the medians of both halves of the sequence compared."""
    focal = np.array([entry["focal"][0] for entry in good])
    turns = np.degrees([rotation_vector(entry["R"]) for entry in good])
    directions = np.array([np.array(e["t"]) / np.linalg.norm(e["t"]) for e in good])
    centre = np.median(directions, axis=0)
    aims = np.degrees(directions - centre)
    turned, spread = np.linalg.norm(np.median(turns, axis=0)), max(_spread(turns[:, k]) for k in range(3))
    lines = [
        f"rig: focal length {np.median(focal):.1f} px (spread {_spread(focal):.2g}), the second camera turned by "
        f"{turned:.3g} degrees (spread {spread:.2g})."
    ]
    if sum(bool(set(entry["codes"]) & set(NO_FOCAL)) for entry in good) > len(good) - LEAST:
        advice = "give --focal, --fov or --calib for true proportions"
        lines.append(f"rig: the pairs do not determine the focal length; {advice}.")
    half = len(good) // 2
    drift: dict[str, Any] = {}
    for name, values, unit in (("focal", focal[:, None], "px"), ("turn", turns, "degrees"), ("aim", aims, "degrees")):
        change = np.median(values[-half:], axis=0) - np.median(values[:half], axis=0)
        parts = values[:half], values[-half:]  # a drift spreads the whole, not the halves
        spread = np.mean([[_spread(part[:, k]) for k in range(values.shape[1])] for part in parts], axis=0)
        error = 1.25 * spread * np.sqrt(2 / max(1, half))
        ratio = float(np.max(np.abs(change) / np.maximum(error, 1e-12))) if half >= 2 else 0.0
        moved = ratio > DRIFTED and float(np.abs(change).max()) > {"focal": 0.002 * np.median(focal)}.get(name, 0.02)
        drift[name] = {"change": [float(v) for v in change], "unit": unit, "standard_errors": ratio, "moved": moved}
    moved = [name for name, entry in drift.items() if entry["moved"]]
    if moved:
        words = {"focal": "the focal length changes", "turn": "the cameras turn", "aim": "the second camera moves"}
        amount = ", ".join(f"{words[n]} by {max(map(abs, drift[n]['change'])):.3g} {drift[n]['unit']}" for n in moved)
        lines.append(
            f"rig: it drifts: from the first half to the second {amount}; run the parts as batches of their own."
        )
    else:
        lines.append("rig: no drift between the first half and the second.")
    return lines, drift


def _spread(values: np.ndarray) -> float:
    """The standard deviation by the median absolute deviation."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))
