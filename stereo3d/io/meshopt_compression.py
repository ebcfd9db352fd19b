"""Arrays as EXT_meshopt_compression stores them in a glTF file, by the package meshopt (extra `meshopt`)."""

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StereoError
from ..foreign import check_memory

NAME = "EXT_meshopt_compression"
INSTALL = "Type: pip install 'stereo3d[meshopt]'."
# Bits of a number with its sign; an error is at most 2^-bits of the power of two above the largest number that shares
# its exponent. On a noisy sheet of 25,600 vertices positions take 34 %, coordinates 18 %, corners 8 % of their bytes.
BITS = {"POSITION": 18, "TEXCOORD_0": 16, "NORMAL": 12}
SHARED = {"POSITION": "SharedVector", "TEXCOORD_0": "SharedComponent", "NORMAL": "SharedVector"}
MODES, FILTERS = ("ATTRIBUTES", "TRIANGLES", "INDICES"), ("NONE", "OCTAHEDRAL", "QUATERNION", "EXPONENTIAL")
MAX_STRIDE = 256  # bytes of an element


def load_meshopt(what: str) -> Any:
    """Return the module meshopt.

    Parameters
    ----------
    what : str
        What needs it, for the message.

    Raises
    ------
    StereoError
        "library_missing".
    """
    try:
        import meshopt
    except ImportError as error:
        message = f"{what}: meshopt, which packs and unpacks the numbers of a .glb, is not installed."
        raise StereoError("library_missing", message, INSTALL) from error
    return meshopt


def check_meshopt(path: Path) -> None:
    """Raise StereoError unless a file of this name can be compressed."""
    if path.suffix.lower() != ".glb":
        raise StereoError("bad_option", f"{path}: only a .glb is compressed by meshopt.", "Use -o model.glb.")
    load_meshopt(str(path))


def reordered(faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return faces and the order of the vertices in which both are packed best.

    Parameters
    ----------
    faces : (M, 3) int
    count : int
        Vertices; those of no face are left out.

    Returns
    -------
    faces : (M, 3) uint32
        The same triangles, corners counted in the new order.
    order : (V',) int64
        The given vertex at each new place.
    """
    corners, place, used = load_meshopt("compression").reorder_mesh(faces.ravel().astype(np.uint32), True, True)
    order = np.zeros(used, np.int64)
    kept = place[:count] < used
    order[place[:count][kept]] = np.flatnonzero(kept)
    return np.asarray(corners).reshape(-1, 3), order


def pack_numbers(values: np.ndarray, name: str) -> tuple[bytes, np.ndarray]:
    """Return the packed form of an attribute, and the numbers that a reader gets.

    Parameters
    ----------
    values : (N, k) float32
    name : str
        Of `BITS`.
    """
    meshopt = load_meshopt("compression")
    rows = meshopt.encode_filter_exp(np.ascontiguousarray(values, np.float32), BITS[name], SHARED[name])
    data = meshopt.encode_gltf_buffer(rows, "ATTRIBUTES")
    read = np.frombuffer(unpack(data, len(values), 4 * values.shape[1], "ATTRIBUTES", "EXPONENTIAL"), "<f4")
    read = read.reshape(values.shape)
    top = 2.0 ** np.ceil(np.log2(max(float(np.abs(values).max()), 1e-30)))
    if not np.abs(read - values).max() <= 2.0 ** (1 - BITS[name]) * top:
        raise RuntimeError(f"the packed {name} differ from what was given")
    return bytes(data), read


def pack_triangles(faces: np.ndarray) -> bytes:
    """Return the packed form of triangles (M, 3); each may begin with another of its corners."""
    data = bytes(load_meshopt("compression").encode_gltf_buffer(faces.ravel().astype(np.uint32), "TRIANGLES"))
    read = np.frombuffer(unpack(data, faces.size, 4, "TRIANGLES", "NONE"), "<u4").reshape(-1, 3)
    if not np.array_equal(_from_least(read), _from_least(faces)):
        raise RuntimeError("the packed triangles differ from what was given")
    return data


def _from_least(faces: np.ndarray) -> np.ndarray:
    """Each triangle beginning with its least corner, in the same sense."""
    first = faces.argmin(1)[:, None]
    return np.take_along_axis(faces, (first + [0, 1, 2]) % 3, 1)


def unpack(data: bytes | memoryview, count: int, stride: int, mode: str, form: str) -> bytes:
    """Return the bytes of a buffer view that is stored in packed form.

    Parameters
    ----------
    data : bytes
    count : int
        Elements.
    stride : int
        Bytes of one.
    mode, form : str
        The extension's mode and filter.

    Raises
    ------
    StereoError
        "library_missing", or "memory".
    ValueError
        For what the extension does not allow.
    """
    whole = stride % 4 == 0 and 0 < stride <= MAX_STRIDE if mode == "ATTRIBUTES" else stride in (2, 4)
    if mode not in MODES or form not in FILTERS or not whole or count < 1:
        raise ValueError(f"a packed array of {count} times {stride} bytes, {mode[:20]}, {form[:20]}")
    check_memory("unpacking a .glb", 4 * count * stride)
    meshopt = load_meshopt("a compressed .glb")
    try:
        rows = meshopt.decode_gltf_buffer(bytes(data), count, stride, mode, None if form == "NONE" else form)
    except RuntimeError as error:
        raise ValueError(f"its packed numbers are damaged ({error})") from error
    return np.ascontiguousarray(rows).tobytes()
