"""KITTI's calib.txt: projection matrices P0 to P3."""

import re

import numpy as np

from ...records import Rig
from .check import bad, checked_camera, matrix, named_lines, posed, relative, rotation

Sizes = tuple[tuple[int, int], tuple[int, int]]


def fits_kitti(text: str) -> bool:
    """Return whether a line starts with P0: to P3: or P_rect_00: to P_rect_03:."""
    return re.search(r"(?m)^[ \t]*P(_rect_0)?[0-3]:", text) is not None


def read_kitti(text: str, names: tuple[str, str] | None = None, sizes: Sizes | None = None) -> Rig:
    """Read KITTI's projection matrices P = K [R | t] of rectified cameras, P0..P3 or P_rect_00..03, in metres.

    The colour pair (2, 3) is used where the file has both, else the grey pair (0, 1). S_rect_0i gives the size. Where
    the photos have the size S_0i of the cameras before rectification, and not S_rect_0i, these are read: K_0i, D_0i,
    and X_i = R_0i X_0 + T_0i. `names` is not used.

    References
    ----------
    Geiger et al., Vision meets robotics: the KITTI dataset, 2013, section IV, and the development kit of its raw data.
    """
    entries = _Lines(text, "KITTI")
    for first, second in ((2, 3), (0, 1)):
        numbers = f"0{first}", f"0{second}"
        if sizes is not None and _unrectified(entries, numbers, sizes):
            return _raw_pair(entries, numbers)
        for keys in (tuple(f"P_rect_{n}" for n in numbers), (f"P{first}", f"P{second}")):
            if all(key in entries for key in keys):
                poses = [_decompose_projection(entries.matrix(key, (3, 4)), key) for key in keys]
                stated = [entries.numbers(s) if (s := f"S_rect_{n}") in entries else None for n in numbers]
                cams = [
                    checked_camera(K, size, None, key) for (K, _, _), size, key in zip(poses, stated, keys, strict=True)
                ]
                return posed(cams[0], cams[1], *relative(*(pose[1:] for pose in poses)), "m")
    raise bad(
        "has no pair of projection matrices: neither P2 and P3 nor P0 and P1",
        "KITTI's format has lines P0: to P3: or P_rect_00: to P_rect_03:, of 12 numbers each.",
    )


class _Lines:
    """Lines "name: numbers" of a file."""

    def __init__(self, text: str, form: str) -> None:
        self.lines, self.form = named_lines(text, ":"), form

    def __contains__(self, key: str) -> bool:
        return key in self.lines

    def numbers(self, key: str) -> list[float]:
        if key not in self.lines:
            raise bad(f"has no line {key}: ({self.form})")
        try:
            return [float(number) for number in self.lines[key].split()]
        except ValueError as error:
            raise bad(f"has no numbers in {key}: {self.lines[key][:60]}") from error

    def matrix(self, key: str, shape: tuple[int, int]) -> np.ndarray:
        return matrix(self.numbers(key), shape, key)


def _unrectified(entries: _Lines, numbers: tuple[str, str], sizes: Sizes) -> bool:
    """Whether photos of these sizes come from the cameras before rectification."""
    raw = [f"S_{n}" in entries and entries.numbers(f"S_{n}") == list(s) for n, s in zip(numbers, sizes, strict=True)]
    flat = [
        f"S_rect_{n}" in entries and entries.numbers(f"S_rect_{n}") == list(s)
        for n, s in zip(numbers, sizes, strict=True)
    ]
    return all(raw) and not any(flat)


def _raw_pair(entries: _Lines, numbers: tuple[str, str]) -> Rig:
    """The cameras before rectification, X_i = R_i X_0 + T_i."""
    cameras = [
        checked_camera(entries.numbers(f"K_{n}"), entries.numbers(f"S_{n}"), entries.numbers(f"D_{n}"), f"K_{n}")
        for n in numbers
    ]
    poses = [(rotation(entries.numbers(f"R_{n}")), entries.matrix(f"T_{n}", (3, 1)).ravel()) for n in numbers]
    return posed(cameras[0], cameras[1], *relative(*poses), "m")


def fits_drivingstereo(text: str) -> bool:
    """Return whether a line starts with P_rect_101:."""
    return re.search(r"(?m)^[ \t]*P_rect_101:", text) is not None


def read_drivingstereo(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read DrivingStereo's calibration of the rectified pair 101, 103; metres; `names` is not used.

    K and the size are those of P_rect and S_rect. The baseline is |T_103|, which rectification keeps: in the files for
    pictures of half size the last column of P_rect_103 is that of the full size, twice as much.

    References
    ----------
    Yang et al., DrivingStereo, 2019; Geiger et al., 2013, for the names.
    """
    entries = _Lines(text, "DrivingStereo")
    cameras, poses = [], []
    for n in ("101", "103"):
        K, R, t = _decompose_projection(entries.matrix(f"P_rect_{n}", (3, 4)), f"P_rect_{n}")
        size = entries.numbers(f"S_rect_{n}") if f"S_rect_{n}" in entries else None
        cameras.append(checked_camera(K, size, None, f"P_rect_{n} (DrivingStereo)"))
        poses.append((R, t))
    R, t = relative(*poses)
    if "T_103" in entries and np.any(t):
        length = np.linalg.norm(entries.matrix("T_103", (3, 1)))
        t = t / np.linalg.norm(t) * length
    return posed(cameras[0], cameras[1], R, t, "m")


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
