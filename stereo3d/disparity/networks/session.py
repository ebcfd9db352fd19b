"""A network that matches pairs: a whole picture at a time, or by strips or tiles where it must."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...errors import StereoError
from ...foreign.network import Network
from ...foreign.tensors import PIXEL_TYPES
from .families import Family, family_of
from .prepare import enlarged, halved, map_of, padded, pair_inputs, spans
from .signature import recognise

log = logging.getLogger(__name__)
MULTIPLES = (32, 64, 128)  # px, tried in this order; sides of 32 fit networks that need 8 or 16 as well
MEMORY_SHARE = 0.8  # of the memory that a predicted run may take: it is measured on one strip


@dataclass(frozen=True)
class Settings:
    """How a network is run; the options of `matcher.onnx` of these names."""

    inputs: str | None
    output: str | None
    pixels: str
    colours: str
    scale: float | None
    sign: str
    multiple: int | None
    fit: str
    overlap: int
    rows: int


class PairNetwork:
    """A loaded network with what is known of it; a context manager.

    Parameters
    ----------
    path : Path
    settings : Settings
    first : Path, optional
        A network that gives the initial flow, from the pair at half size.
    provider, threads, memory
        See `Network`.

    Raises
    ------
    StereoError
        "bad_model" where it does not take a pair; as `Network`.
    """

    def __init__(
        self,
        path: Path,
        settings: Settings,
        *,
        first: Path | None = None,
        provider: str = "cpu",
        threads: int = 1,
        memory: int = 0,
    ) -> None:
        self.path, self.settings, self.memory = path, settings, memory if provider == "cpu" else 0
        self.first: PairNetwork | None = None
        self._peaks: dict[int, int] = {}  # of a strip, by its width
        self.network = Network(path, provider=provider, threads=threads, memory=memory)
        try:
            self.signature = recognise(self.network.inputs, path, settings.inputs)
            self._check_flow(first)
            self.family = self._family()
            self.candidates = self._candidates()
            self.multiple = self._first_multiple()
            if first is not None:
                half = replace(settings, inputs=None, output=None, multiple=1)
                self.first = PairNetwork(first, half, provider=provider, threads=threads, memory=memory)
        except BaseException:
            self.close()
            raise
        log.info("%s: %s; pixels %s, %s", path, self.signature, self.family.pixels, self.family.colours)

    def _check_flow(self, first: Path | None) -> None:
        flow = self.signature.flow
        if flow is not None and first is None:
            raise StereoError(
                "bad_model",
                f"{self.path}: the network needs an initial flow, its input {flow!r}, and none is given.",
                "Name the network that computes it from the pair at half size: -O matcher.first_model=FILE.",
            )
        if flow is None and first is not None:
            raise StereoError(
                "bad_option",
                f"first_model is given, but {self.path} has no input of an initial flow.",
                "Leave first_model out.",
            )

    def _family(self) -> Family:
        known = family_of(self.path, self.network.metadata)
        chosen = self.settings
        pixels = known.pixels if chosen.pixels == "auto" else chosen.pixels
        return Family(known.words, pixels, known.colours if chosen.colours == "auto" else chosen.colours)

    def _candidates(self) -> list[str]:
        """Outputs that may hold the map: the one that is named, or all that are numbers of 2 to 5 axes."""
        outputs, wanted = self.network.outputs, self.settings.output
        if wanted is not None:
            if wanted not in [t.name for t in outputs]:
                listed = ", ".join(t.name for t in outputs)
                raise StereoError(
                    "bad_option", f"{self.path}: the network has no output {wanted!r}.", f"It has {listed}."
                )
            return [wanted]
        found = [t.name for t in outputs if t.kind in PIXEL_TYPES and len(t.shape) in (0, 2, 3, 4, 5)]
        if not found:
            raise self._no_map([str(t) for t in outputs], "H x W")
        return found

    def _first_multiple(self) -> int | None:
        """The multiple of the sides, None where it is still to be tried."""
        form = self.signature.layout
        return 1 if form.height and form.width else self.settings.multiple

    def disparity(self, left: np.ndarray, right: np.ndarray, largest: int) -> np.ndarray:
        """Return the left map (H, W) float32, px, >= 0 where it is right, NaN where the network gives no number.

        Parameters
        ----------
        left, right : (H, W, 3) uint8
            RGB, rectified, all disparities >= 0.
        largest : int
            px, the largest disparity that is searched: tiles overlap by it.
        """
        height, width = left.shape[:2]
        form, settings = self.signature.layout, self.settings
        tall, wide = form.height or height, form.width or width
        if (tall < height or wide < width) and settings.fit == "resize":
            return self._resized(left, right, min(tall, height), min(wide, width), largest)
        rows = tall if form.height else settings.rows or self._rows_within_memory(left, right)
        raw = self._by_parts(left, right, rows, wide, largest)
        finite = raw[np.isfinite(raw)]
        if not finite.size:
            raise StereoError(
                "bad_model",
                f"{self.path}: none of the {raw.size} numbers that the network gives is finite.",
                "Check its -O matcher.pixels, or run it in 32-bit floats.",
            )
        negative = np.median(finite) < 0 if settings.sign == "auto" else settings.sign == "negative"
        raw[~np.isfinite(raw)] = np.nan
        return -raw if negative else raw

    def _resized(self, left: np.ndarray, right: np.ndarray, height: int, width: int, largest: int) -> np.ndarray:
        """The map from both pictures at a smaller size."""
        import cv2

        one, two = (cv2.resize(src=p, dsize=(width, height), interpolation=cv2.INTER_AREA) for p in (left, right))
        ratio = left.shape[1] / width
        found = self.disparity(one, two, -int(-largest // ratio))
        return enlarged(found, *left.shape[:2]) * np.float32(ratio)

    def _by_parts(self, left: np.ndarray, right: np.ndarray, rows: int, columns: int, largest: int) -> np.ndarray:
        """The map in the network's own sign, of parts of at most this size; of fewer rows where memory is short."""
        height, width = left.shape[:2]
        overlap = self.settings.overlap
        if self.signature.layout.height is None and rows < height:
            rows = max(rows, 2 * overlap + MULTIPLES[0]) // MULTIPLES[0] * MULTIPLES[0]  # without padding
        for size, whole, least in ((columns, width, 2 * overlap + largest), (rows, height, 2 * overlap)):
            if size < whole and size <= least:
                raise StereoError(
                    "bad_option",
                    f"{self.path}: tiles of {size} px cannot overlap by {least} px, the largest disparity (across) and "
                    f"twice {overlap} px.",
                    "Use -O matcher.fit=resize, or a smaller -O matcher.overlap.",
                )
        across = spans(width, columns, overlap + largest, overlap)
        while True:
            out = np.empty((height, width), np.float32)
            try:
                for top, first, last in spans(height, rows, overlap, overlap):
                    for start, west, east in across:
                        part = np.s_[top : top + rows, start : start + columns]
                        found = self._piece(left[part], right[part])
                        out[first:last, west:east] = found[first - top : last - top, west - start : east - start]
                return out
            except StereoError as error:
                if error.code != "memory" or self.signature.layout.height or rows < 2 * (overlap + MULTIPLES[0]):
                    raise
                rows = max(2 * overlap + MULTIPLES[0], rows // 2) // MULTIPLES[0] * MULTIPLES[0]
                log.info("%s: again by strips of %d rows, as memory was short", self.path, rows)

    def _rows_within_memory(self, left: np.ndarray, right: np.ndarray) -> int:
        """Rows of a strip that memory allows: it is measured on one of the whole width, and grows with the rows."""
        height = len(left)
        least = 2 * self.settings.overlap + MULTIPLES[0]
        if not self.memory or height <= least:
            return height
        width = left.shape[1]
        if width not in self._peaks:  # a later run takes what an earlier one has left
            self._piece(left[:least], right[:least])
            self._peaks[width] = self.network.peak
        peak, room = self._peaks[width], MEMORY_SHARE * (self.memory - self.network.weights)
        if peak > room:
            raise StereoError(
                "memory",
                f"{self.path}: the network needs {peak / 2**30:.2g} GiB of memory for a strip of {least} x "
                f"{width} px, {room / 2**30:.2g} GiB are left for it.",
                "Free memory, allow more, or use a smaller --max-size.",
                needed=peak,
                available=int(room),
            )
        rows = int(min(height, least * room / max(peak, 1)))
        if rows < height:
            log.info("%s: by strips of %d rows of %d, as memory allows", self.path, rows, height)
        return rows

    def _piece(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """The map of a part in the network's own sign; the multiple of its sides is found by trying."""
        if self.multiple is not None:
            return self._run(left, right, self.multiple)
        failure = None
        for multiple in MULTIPLES:
            try:
                found = self._run(left, right, multiple)
                self.multiple = multiple
                return found
            except StereoError as error:
                if error.code != "bad_model":
                    raise
                failure = failure or error
        assert failure is not None
        raise failure

    def _run(self, left: np.ndarray, right: np.ndarray, multiple: int) -> np.ndarray:
        height, width = left.shape[:2]
        form = self.signature.layout
        tall, wide = (
            fixed or -(-n // multiple) * multiple for fixed, n in ((form.height, height), (form.width, width))
        )
        left, right = padded(left, tall, wide), padded(right, tall, wide)
        inputs = pair_inputs(self.signature, left, right, self.family)
        if self.first is not None and self.signature.flow is not None:
            inputs[self.signature.flow] = self._initial_flow(left, right)
        outputs = self.network.run(inputs, self.candidates)
        maps = []
        for order, (name, array) in enumerate(zip(self.candidates, outputs, strict=True)):
            held = map_of(array, tall, wide, self.signature.join)
            if held is not None:  # the finest counts, of equal ones that with "disp" in its name, then the last
                maps.append(((-held[1], "disp" in name.lower(), order), name, *held))
        if not maps:
            shapes = [f"{n} ({' x '.join(map(str, a.shape))})" for n, a in zip(self.candidates, outputs, strict=True)]
            raise self._no_map(shapes, f"{tall} x {wide}")
        _, name, values, ratio = max(maps, key=lambda found: found[0])
        self.candidates = [name]
        factor = ratio if self.settings.scale is None else self.settings.scale
        return enlarged(values, tall, wide)[:height, :width] * np.float32(factor)

    def _initial_flow(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """What the first network gives for the pair at half size, as it is."""
        assert self.first is not None and self.signature.flow is not None
        one, two = halved(left), halved(right)
        first = self.first
        form = first.signature.layout
        if (form.height or len(one)) != len(one) or (form.width or one.shape[1]) != one.shape[1]:
            raise StereoError(
                "bad_model",
                f"{first.path}: the first network takes {form.width} x {form.height} px, the pair at half size has "
                f"{one.shape[1]} x {len(one)}.",
                "Export it for half the size of the other network.",
            )
        flow = first.network.run(pair_inputs(first.signature, one, two, first.family), first.candidates[-1:])[0]
        wanted = [n for n in self.signature.flow_size if n is not None] or list(one.shape[:2])
        if flow.ndim != 4 or flow.shape[1] != 2 or list(flow.shape[2:]) != wanted:
            raise StereoError(
                "bad_model",
                f"{first.path}: the first network gives {' x '.join(map(str, flow.shape))}, a flow of 1 x 2 x "
                f"{' x '.join(map(str, wanted))} is needed.",
                "Check that both are parts of one network.",
            )
        return flow

    def _no_map(self, found: list[str], size: str) -> StereoError:
        return StereoError(
            "bad_model",
            f"{self.path}: no output of the network is a map of the picture: {'; '.join(found) or 'none'}.",
            f"Expected is one of {size} px, or of a whole fraction of that, with 1 channel (disparity) or 2 (flow).",
        )

    def close(self) -> None:
        """End the processes."""
        self.network.close()
        if self.first is not None:
            self.first.close()

    def __enter__(self) -> "PairNetwork":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
