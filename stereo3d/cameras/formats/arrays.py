"""Binary files of named arrays: NumPy's .npz and .npy, MATLAB's .mat; nothing in them is executed."""

import ast
import io
import math
import zipfile
import zlib
from typing import Any

import numpy as np

from ...records import Rig
from .check import bad, checked_camera
from .entries import meaning_of, rig_of_entries
from .markup import MAX_ENTRIES

_MAX_ARRAYS = 1000  # members of an archive; a calibration has some ten
_MAX_BYTES = 16_000_000  # unpacked, of all arrays together
_NPY = b"\x93NUMPY"
_MAX_HEAD = 10_000  # bytes of the header of an .npy; that of a matrix has 128
_MAT_HEAD = 128  # bytes of the header of a MAT-file, version 5
_HDF5 = b"\x89HDF\r\n\x1a\n"


def fits_npz(data: bytes) -> bool:
    """Return whether the data are a zip archive."""
    return data.startswith(b"PK\x03\x04")


def npz_entries(data: bytes) -> dict[str, Any]:
    """Return the arrays of an .npz by name; others than small arrays of numbers are left out.

    Raises
    ------
    StereoError
        "bad_calibration".
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            if len(members) > _MAX_ARRAYS:
                raise bad(f"is an .npz of {len(members)} arrays; at most {_MAX_ARRAYS} are read")
            found, total = {}, 0
            for info in members:
                with archive.open(info) as member:
                    head = member.read(
                        8 * MAX_ENTRIES + 4096
                    )  # bytes: whatever the archive states, no more is unpacked
                if (total := total + len(head)) > _MAX_BYTES:
                    raise bad(f"has more than {_MAX_BYTES} bytes of arrays (.npz)", "A calibration has some thousand.")
                name = info.filename.removesuffix(".npy")
                if (array := _npy(head)) is not None:
                    found[name] = array
                elif meaning_of(name) is not None:
                    raise bad(
                        f"has Python objects, text or too many numbers in {name} (.npz)",
                        "Save it as an array of numbers.",
                    )
    except (
        zipfile.BadZipFile,
        OSError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OverflowError,
    ) as error:
        raise bad(f"is not readable as NumPy's .npz ({error})", "Write it with numpy.savez.") from error
    except zlib.error as error:
        raise bad(f"is not readable as NumPy's .npz ({error})", "Write it with numpy.savez.") from error
    if not found:
        raise bad(
            "is a zip archive without arrays of numbers (.npz)", "Write it with numpy.savez(K1=..., K2=..., ...)."
        )
    return found


def read_npz(data: bytes, names: tuple[str, str] | None = None) -> Rig:
    """Read .npz of NumPy, as `numpy.savez(path, K1=..., D1=..., K2=..., D2=..., R=..., T=...)` writes it.

    The names are those of rig JSON. Arrays of Python objects are not read (no pickle). `names` is not used.
    """
    return rig_of_entries(npz_entries(data))


def fits_npy(data: bytes) -> bool:
    """Return whether the data begin as an .npy."""
    return data.startswith(_NPY)


def read_npy(data: bytes, names: tuple[str, str] | None = None) -> Rig:
    """Read a 3 x 3 camera matrix as `numpy.save` writes it: one camera for both photos; `names` is not used."""
    array = _npy(data)
    if array is None:
        raise bad(
            "is an .npy, but holds no small array of plain numbers", "Save the camera matrix: numpy.save(path, K)."
        )
    camera = checked_camera(array, None, None, "K")
    return Rig(camera, camera)


def _npy(data: bytes) -> np.ndarray | None:
    """The array of an .npy; None for Python objects, text, and more than `MAX_ENTRIES` numbers.

    The header is read here and not by NumPy, whose reader warns and fails in its own ways on damaged ones: magic,
    version, length of 2 or 4 bytes, then a dict of literals (numpy.lib.format).
    """
    start = 12 if data[6:7] in (b"\2", b"\3") else 10
    end = start + int.from_bytes(data[8:start], "little")
    try:
        if not data.startswith(_NPY) or end > min(len(data), _MAX_HEAD):
            raise ValueError("its header is cut off or too long")
        head = ast.literal_eval(data[start:end].decode("latin-1").strip())
        shape, fortran, descr = head["shape"], head["fortran_order"], head["descr"]
        if not isinstance(descr, str) or not isinstance(shape, tuple) or not all(type(n) is int for n in shape):
            return None
        dtype, count = np.dtype(descr), math.prod(shape)
        if dtype.kind not in "biuf" or not 0 <= count <= MAX_ENTRIES or min(shape, default=0) < 0:
            return None
        values = np.frombuffer(data, dtype, count, end)
        with np.errstate(all="ignore"):
            return values.reshape(shape, order="F" if fortran else "C").astype(float)
    except (ValueError, TypeError, KeyError, SyntaxError, OverflowError, MemoryError, RecursionError) as error:
        raise bad(f"is not readable as NumPy's .npy ({error})"[:300], "Write it with numpy.save.") from error


def fits_mat(data: bytes) -> bool:
    """Return whether the data begin as a MAT-file, versions 5 to 7.3."""
    return data.startswith(b"MATLAB ") or data[:8] == _HDF5


def mat_entries(data: bytes) -> dict[str, Any]:
    """Return the numeric matrices of a MAT-file of version 5 to 7 by name.

    Raises
    ------
    StereoError
        "bad_calibration"; version 7.3 (HDF5) is refused by name.
    """
    if data[:8] == _HDF5 or data[:20].startswith(b"MATLAB 7.3"):
        raise bad("is a MAT-file of version 7.3 (HDF5)", "Save it for other programs: save('calib.mat', '-v7').")
    try:
        elements = _mat_elements(data)
    except (ValueError, IndexError, OverflowError) as error:
        raise bad(f"is not readable as a MAT-file ({error})", "Save it with save('calib.mat', '-v7').") from error
    from scipy.io import loadmat

    found = {}
    for element in elements:
        try:
            part = loadmat(io.BytesIO(element), struct_as_record=True, squeeze_me=False)
        except Exception as error:  # scipy has no error of its own for damaged data
            raise bad(f"is not readable as a MAT-file ({error})"[:300], "Save it with '-v7'.") from error
        for key, value in part.items():
            if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.size <= MAX_ENTRIES:
                found[key] = float(value.ravel()[0]) if value.size == 1 else value.astype(float)
    if not found:
        raise bad(
            "is a MAT-file without matrices of numbers",
            "MATLAB's stereoParameters is an object: save K1, D1, K2, D2, R, T as matrices (stereoParametersToOpenCV).",
        )
    return found


def _mat_elements(data: bytes) -> list[bytes]:
    """Files of one variable each, unpacked and uncompressed, of those variables that are small numeric matrices.

    A MAT-file of version 5 is a header of 128 bytes and elements (type, bytes, data); type 15 is compressed by zlib,
    type 14 a matrix, whose first element holds its class (MathWorks, MAT-File Format, section 1).
    """
    head = data[:_MAT_HEAD]
    if len(head) < _MAT_HEAD or head[126:128] not in (b"IM", b"MI"):
        raise ValueError("no header of version 5")
    order = "little" if head[126:128] == b"IM" else "big"
    limit = 8 * MAX_ENTRIES + 4096  # bytes of one variable
    at, found, total = _MAT_HEAD, [], 0
    while at + 8 <= len(data) and len(found) < _MAX_ARRAYS:
        kind, size = (int.from_bytes(data[at + k : at + k + 4], order) for k in (0, 4))
        body = data[at : at + 8 + size]
        if len(body) < 8 + size or kind not in (14, 15):
            raise ValueError(f"a variable of type {kind} and {size} bytes at byte {at}")
        at += 8 + size
        if kind == 15:
            unpack = zlib.decompressobj()
            try:
                body = unpack.decompress(body[8:], limit)
            except zlib.error as error:
                raise ValueError(str(error)) from error
            if len(body) >= limit:
                continue  # larger than a calibration's
            if not unpack.eof:
                raise ValueError("a compressed variable is cut off")
            kind = int.from_bytes(body[:4], order)
        if (total := total + len(body)) > _MAX_BYTES:
            raise bad(f"has more than {_MAX_BYTES} bytes of matrices (MAT-file)", "A calibration has some thousand.")
        if kind == 14 and len(body) <= limit and len(body) > 24 and 6 <= body[16 if order == "little" else 19] <= 15:
            found.append(head + body)
    return found


def read_mat(data: bytes, names: tuple[str, str] | None = None) -> Rig:
    """Read the matrices of a MAT-file (`save('calib.mat', 'K1', 'K2', ..., '-v7')`, `scipy.io.savemat`).

    The names are those of rig JSON; matrices multiply columns, K = [fx 0 cx; 0 fy cy; 0 0 1], and pixel centres are
    integers from 0 as in OpenCV. `names` is not used.
    """
    return rig_of_entries(mat_entries(data))
