"""ONNX files made by tests: graphs as bytes of protobuf, without a library.

Field numbers are those of onnx.proto. `graph` makes a model of nodes, constants, inputs and outputs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

FLOAT, UINT8, INT64, FLOAT16, DOUBLE = 1, 2, 7, 10, 11
TYPES = {"float32": FLOAT, "uint8": UINT8, "int64": INT64, "float16": FLOAT16, "float64": DOUBLE}


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | bytes | str) -> bytes:
    """A field: a whole number, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def attribute(name: str, value: int | float | str | Sequence[int]) -> bytes:
    if isinstance(value, float):
        return field(1, name) + varint(2 << 3 | 5) + np.float32(value).tobytes() + field(20, 1)
    if isinstance(value, int):
        return field(1, name) + field(3, value) + field(20, 2)
    if isinstance(value, str):
        return field(1, name) + field(4, value) + field(20, 3)
    return field(1, name) + b"".join(field(8, n) for n in value) + field(20, 7)


def node(operator: str, inputs: Sequence[str], outputs: Sequence[str] | str, **attributes) -> bytes:
    outputs = [outputs] if isinstance(outputs, str) else outputs
    parts = [field(1, name) for name in inputs] + [field(2, name) for name in outputs] + [field(4, operator)]
    return b"".join(parts + [field(5, attribute(k, v)) for k, v in attributes.items()])


def constant(name: str, value: np.ndarray, external: str | None = None) -> bytes:
    """A tensor; external: the file that holds its numbers."""
    out = b"".join(field(1, int(n)) for n in value.shape) + field(2, TYPES[value.dtype.name]) + field(8, name)
    if external is None:
        return out + field(9, value.tobytes())
    return out + field(13, field(1, "location") + field(2, external)) + field(14, 1)


def value_info(name: str, shape: Sequence[int | str] | None, kind: str = "float32") -> bytes:
    """An input or output; shape None: not stated."""
    dims = b"".join(field(1, field(1, n) if isinstance(n, int) else field(2, n)) for n in shape or ())
    return field(1, name) + field(2, field(1, field(1, TYPES[kind]) + (b"" if shape is None else field(2, dims))))


class Graph:
    """A model under construction: names are made up, constants are added where they are used."""

    def __init__(self) -> None:
        self.nodes: list[bytes] = []
        self.constants: list[bytes] = []
        self.inputs: list[bytes] = []
        self.outputs: list[bytes] = []

    def input(self, name: str, shape: Sequence[int | str], kind: str = "float32") -> str:
        self.inputs.append(value_info(name, shape, kind))
        return name

    def output(self, name: str, value: str, shape: Sequence[int | str] | None = None, kind: str = "float32") -> None:
        self.nodes.append(node("Identity", [value], name))
        self.outputs.append(value_info(name, shape, kind))

    def const(self, value, kind: str = "float32", external: str | None = None) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(constant(name, np.asarray(value, kind), external))
        return name

    def add(self, operator: str, *inputs: str, **attributes) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(node(operator, inputs, name, **attributes))
        return name

    def write(self, path: Path, metadata: Mapping[str, str] | None = None) -> Path:
        parts = [field(1, n) for n in self.nodes] + [field(2, "test")] + [field(5, c) for c in self.constants]
        parts += [field(11, i) for i in self.inputs] + [field(12, o) for o in self.outputs]
        model = field(1, 8) + field(7, b"".join(parts)) + field(8, field(2, 17))
        for key, value in (metadata or {}).items():
            model += field(14, field(1, key) + field(2, value))
        path.write_bytes(model)
        return path

    # ------------------------------------------------------------------------------------- a matcher of its own

    def shifted(self, value: str, d: int) -> str:
        """(1, C, H, W): the value d columns to the left of each pixel, the first column repeated."""
        if not d:
            return value
        wide = self.add("Pad", value, self.const([0, 0, 0, d, 0, 0, 0, 0], "int64"), mode="edge")
        ends = [self.const([n], "int64") for n in (0, -d, 3)]
        return self.add("Slice", wide, *ends)

    def disparity(self, left: str, right: str, count: int, *, radius: int = 3, sharpness: float = 2.0) -> str:
        """(1, 1, H, W): soft-argmin over d = 0 .. count - 1 of mean absolute differences of brightness in a window.

        The volume is made by shifts, the windows by AveragePool; weights are exp(-sharpness cost / grey level).
        """
        side = 2 * radius + 1
        left, right = (self.add("ReduceMean", value, axes=[1], keepdims=1) for value in (left, right))
        differences = [self.add("Abs", self.add("Sub", left, self.shifted(right, d))) for d in range(count)]
        volume = self.add("Concat", *differences, axis=1)
        cost = self.add(
            "AveragePool", volume, kernel_shape=[side, side], pads=[radius] * 4, strides=[1, 1], count_include_pad=0
        )
        weights = self.add("Softmax", self.add("Mul", cost, self.const(-sharpness)), axis=1)
        kernel = self.const(np.arange(count).reshape(1, count, 1, 1))
        return self.add("Conv", weights, kernel, kernel_shape=[1, 1])


ANY = (1, 3, "height", "width")


def matcher(path: Path, count: int, *, shape=ANY, names=("left", "right"), finish=None, **options) -> Path:
    """A file of a network that matches; finish: (graph, map) -> what it gives."""
    graph = Graph()
    left, right = (graph.input(name, shape) for name in names)
    found = graph.disparity(left, right, count, **options)
    graph.output("disparity", found if finish is None else finish(graph, found), ("n", "c", "h", "w"))
    return graph.write(path)
