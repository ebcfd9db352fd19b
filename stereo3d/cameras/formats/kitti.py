"""KITTI's calib.txt: projection matrices P0 to P3."""

import re

import numpy as np

from ...records import Rig
from .check import bad, checked_camera, matrix, named_lines, posed, relative


def fits_kitti(text: str) -> bool:
    """Return whether a line starts with P0: to P3: or P_rect_00: to P_rect_03:."""
    return re.search(r"(?m)^[ \t]*P(_rect_0)?[0-3]:", text) is not None


def read_kitti(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read KITTI's projection matrices P = K [R | t] of rectified cameras, P0..P3 or P_rect_00..03, in metres.

    The colour pair (2, 3) is used where the file has both, else the grey pair (0, 1). S_rect_0i gives the size.
    `names` is not used.
    """
    entries = named_lines(text, ":")

    def numbers(key: str) -> list[float]:
        try:
            return [float(number) for number in entries[key].split()]
        except ValueError as error:
            raise bad(f"has no numbers in {key}: {entries[key][:60]}") from error

    for first, second in ((2, 3), (0, 1)):
        for stem in ("P_rect_0", "P"):
            keys = f"{stem}{first}", f"{stem}{second}"
            if all(key in entries for key in keys):
                poses = [_decompose_projection(matrix(numbers(key), (3, 4), key), key) for key in keys]
                sizes = [numbers(s) if (s := f"S_rect_0{i}") in entries else None for i in (first, second)]
                cams = [
                    checked_camera(K, size, None, key) for (K, _, _), size, key in zip(poses, sizes, keys, strict=True)
                ]
                return posed(cams[0], cams[1], *relative(*(pose[1:] for pose in poses)), "m")
    raise bad(
        "has no pair of projection matrices: neither P2 and P3 nor P0 and P1",
        "KITTI's format has lines P0: to P3: or P_rect_00: to P_rect_03:, of 12 numbers each.",
    )


def _decompose_projection(P: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """K, R, t of P ~ K [R | t], P (3,4), by RQ decomposition with a positive diagonal (Hartley and Zisserman, 6.2)."""
    M = P[:, :3]
    if np.linalg.matrix_rank(M) < 3:
        raise bad(f"has a singular projection matrix {name}")
    P = P * np.sign(np.linalg.det(M))
    if not np.any(np.tril(P[:, :3], -1)) and np.all(np.diag(P) > 0):  # a rectified camera: nothing to round
        return P[:, :3] / P[2, 2], np.eye(3), np.linalg.solve(P[:, :3], P[:, 3])
    flip = np.eye(3)[::-1]
    q, r = np.linalg.qr((flip @ P[:, :3]).T)
    K, R = flip @ r.T @ flip, flip @ q.T
    signs = np.sign(np.diag(K))
    K, R = K * signs, signs[:, None] * R
    return K / K[2, 2], R, np.linalg.solve(K, P[:, 3])
