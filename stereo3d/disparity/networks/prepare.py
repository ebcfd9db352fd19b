"""Pictures to inputs of a network, and its outputs to maps."""

import numpy as np

from ...foreign.tensors import Layout
from .families import PIXELS, Family
from .signature import Signature

MAX_RATIO = 32  # of the input's size to the output's


def padded(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the picture with its last row and column repeated up to this size, px."""
    rows, columns = height - picture.shape[0], width - picture.shape[1]
    return np.pad(picture, ((0, rows), (0, columns), (0, 0)), mode="edge") if rows or columns else picture


def halved(picture: np.ndarray) -> np.ndarray:
    """Return the mean of each 2 x 2 pixels, of even sides."""
    import cv2

    height, width = picture.shape[:2]
    return cv2.resize(src=picture, dsize=(width // 2, height // 2), interpolation=cv2.INTER_AREA)


def picture_tensor(picture: np.ndarray, form: Layout, family: Family) -> np.ndarray:
    """Return a picture (H, W, 3) uint8 RGB as a network takes it: (C, H, W), or (H, W, C) where channels are last."""
    import cv2

    if form.channels == 1:
        picture = cv2.cvtColor(src=picture, code=cv2.COLOR_RGB2GRAY)[..., None]
    if form.kind == "uint8":
        values = picture
    else:
        scale, mean, deviation = (np.asarray(v, np.float32) for v in PIXELS[family.pixels])
        if form.channels == 1:
            mean, deviation = mean.mean(), deviation.mean()
        values = (picture.astype(np.float32) * scale - mean) / deviation
    if form.channels == 3 and family.colours == "bgr":
        values = values[..., ::-1]
    if not form.last:
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values, dtype=form.kind)


def pair_inputs(signature: Signature, left: np.ndarray, right: np.ndarray, family: Family) -> dict[str, np.ndarray]:
    """Return the inputs of a pair (H, W, 3) uint8, without an initial flow."""
    form = signature.layout
    one, two = (picture_tensor(picture, form, family) for picture in (left, right))

    def whole(array: np.ndarray) -> np.ndarray:
        return array if form.batch is None else array[None]

    if signature.join == "batch":
        return {signature.names[0]: np.stack([one, two])}
    if signature.join == "channels":
        return {signature.names[0]: whole(np.concatenate([one, two], axis=-1 if form.last else 0))}
    inputs = {name: whole(array) for name, array in zip(signature.names, (one, two), strict=True)}
    if signature.half:
        small = (picture_tensor(halved(picture), form, family) for picture in (left, right))
        inputs |= {name: whole(array) for name, array in zip(signature.half, small, strict=True)}
    return inputs


def map_of(array: np.ndarray, height: int, width: int, join: str) -> tuple[np.ndarray, int] | None:
    """Return the map (h, w) float32 that an output holds, and the ratio of the input's size to its own; None: no map.

    Of a batch of two the map of the first picture counts, of several predictions the last, of a flow its x.

    Parameters
    ----------
    array : ndarray
        Of 2 to 5 axes.
    height, width : int
        px, of the input.
    join : str
        See `Signature`.
    """
    while array.ndim > 4 and len(array):
        array = array[-1]
    if array.ndim == 4 and len(array):
        array = array[0 if join == "batch" else -1]
    if array.ndim == 3:
        choices = [array[0]] if len(array) in (1, 2) else []
        choices += [array[..., 0]] if array.shape[2] in (1, 2) else []
    else:
        choices = [array] if array.ndim == 2 else []
    for found in choices:
        if not found.size or height % found.shape[0] or width % found.shape[1]:
            continue
        ratio = height // found.shape[0]
        if ratio == width // found.shape[1] <= MAX_RATIO:
            return np.ascontiguousarray(found, np.float32), ratio
    return None


def enlarged(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a map at another size, interpolated linearly between pixel centres; its values stay."""
    import cv2

    if values.shape == (height, width):
        return values
    return cv2.resize(src=values, dsize=(width, height), interpolation=cv2.INTER_LINEAR)


def spans(length: int, size: int, before: int, after: int) -> list[tuple[int, int, int]]:
    """Return (start, first, last) of the parts of `size` that cover a length: of each, first .. last - 1 are used.

    Parameters
    ----------
    length, size : int
        px; a part of at least the length is the only one.
    before, after : int
        px that are not used at the start and the end of a part, except at the borders.
    """
    if size >= length:
        return [(0, 0, length)]
    if size <= before + after:
        raise ValueError(f"parts of {size} px with {before} and {after} px that are not used cover nothing")
    found, first = [], 0
    while True:
        start = max(0, first - before)
        if start + size >= length:
            return [*found, (length - size, first, length)]
        found.append((start, first, start + size - after))
        first = start + size - after
