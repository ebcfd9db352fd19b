"""Inputs and outputs that an ONNX model states, and how those of pictures are laid out."""

from dataclasses import dataclass

PIXEL_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
}


@dataclass(frozen=True)
class Tensor:
    """An input or output as the model states it.

    Parameters
    ----------
    name : str
    kind : str
        onnxruntime's name of its type, such as "tensor(float)".
    shape : tuple of int, str or None
        A number where a dimension is fixed, else its name or None.
    """

    name: str
    kind: str
    shape: tuple[int | str | None, ...]

    def __str__(self) -> str:
        sizes = " x ".join("?" if n is None else str(n) for n in self.shape)
        return f"{self.name} ({sizes or 'no shape'}, {self.kind.removeprefix('tensor(').removesuffix(')')})"


@dataclass(frozen=True)
class Layout:
    """How a tensor of pictures is laid out.

    Parameters
    ----------
    batch : int or None
        None: the tensor has no such axis.
    channels : int
        1, 2, 3 or 6.
    last : bool
        Channels are the last axis.
    height, width : int or None
        px, where fixed.
    kind : str
        numpy's name of its type.
    """

    batch: int | None
    channels: int
    last: bool
    height: int | None
    width: int | None
    kind: str


def layout_of(tensor: Tensor) -> Layout | None:
    """Return how a tensor of pictures is laid out; None where it can hold none."""
    kind, shape = PIXEL_TYPES.get(tensor.kind), tensor.shape
    if kind is None or len(shape) not in (3, 4):
        return None
    batch, rest = (None, shape) if len(shape) == 3 else (shape[0] if isinstance(shape[0], int) else 1, shape[1:])
    first, last = rest[0], rest[2]
    if first in (1, 2, 3, 6):
        channels, is_last, sides = first, False, rest[1:]
    elif last in (1, 2, 3, 6):
        channels, is_last, sides = last, True, rest[:2]
    elif not isinstance(first, int):
        channels, is_last, sides = 3, False, rest[1:]
    else:
        return None
    if batch is not None and batch not in (1, 2):
        return None
    height, width = (n if isinstance(n, int) and n > 0 else None for n in sides)
    return Layout(batch, int(channels), is_last, height, width, kind)
