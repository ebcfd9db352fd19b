"""A pose against the truth: angles and AUC."""

import os
from pathlib import Path

import numpy as np

from ..errors import StereoError
from ..geometry.rotations import angle_deg, rotation_angle_deg
from ..records import Camera
from .files import read_json


def relative_pose(R1: np.ndarray, t1: np.ndarray, R2: np.ndarray, t2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R = R2 R1^T, t = t2 - R t1, so that X2 = R X1 + t, from two world poses X_i = R_i X + t_i."""
    R = np.asarray(R2) @ np.asarray(R1).T
    return R, np.asarray(t2) - R @ np.asarray(t1)


def pose_errors(R: np.ndarray, t: np.ndarray, R_true: np.ndarray, t_true: np.ndarray) -> dict:
    """Angle of R R_true^T, angle between t and t_true (its sign counts), and the larger of the two, degrees.

    R, R_true: (3,3).  t, t_true: (3,), any length but zero. Returns `rotation_deg`, `direction_deg`, `pose_deg`.
    Raises ValueError for other shapes or a zero t.
    """
    R, t, R_true, t_true = (np.asarray(a, dtype=float) for a in (R, t, R_true, t_true))
    if R.shape != (3, 3) or R_true.shape != (3, 3) or t.shape != (3,) or t_true.shape != (3,):
        raise ValueError(f"pose_errors: R {R.shape}, t {t.shape}, R_true {R_true.shape}, t_true {t_true.shape}")
    if not (np.any(t) and np.any(t_true)):
        raise ValueError("pose_errors: a zero translation has no direction")
    rotation, direction = rotation_angle_deg(R @ R_true.T), angle_deg(t, t_true)
    return {"rotation_deg": rotation, "direction_deg": direction, "pose_deg": max(rotation, direction)}


def auc(errors: np.ndarray, threshold: float) -> float:
    """(1/T) int_0^T recall(e) de with recall(e) = share of errors <= e, which is mean(max(0, 1 - e_i / T)).

    errors: (N,), NaN or inf for a failure.  threshold: T > 0 in the same unit. A fraction in [0, 1].
    The recall is integrated as the step function it is; SuperGlue's script joins its steps by straight lines and so
    gives up to 1/(2N) more. Source: Sarlin et al. 2020 (pose AUC).
    """
    errors = np.asarray(errors, dtype=float).ravel()
    if not threshold > 0 or len(errors) == 0:
        raise ValueError(f"auc needs a positive threshold and errors, got {threshold} and {len(errors)} errors")
    return float(np.mean(np.clip(1 - np.where(np.isfinite(errors), errors, np.inf) / threshold, 0, 1)))


def focal_error_percent(camera: Camera, truth: Camera) -> float:
    """100 (f / f_true - 1), each f in units of the longer side of its picture. Signed."""
    return 100 * (camera.focal / max(camera.size) / (truth.focal / max(truth.size)) - 1)


def read_truth_camera(path: str | os.PathLike, view: str) -> tuple[Camera, np.ndarray, np.ndarray]:
    """Camera, R, t of one view in a cameras.json: x ~ K (R X + t).

    The file holds {"cameras": {view: {"K": 3x3, "R": 3x3, "t": 3, "size": [width, height], "dist": optional}}}, with
    or without the outer "cameras". R is made an exact rotation (files round it); a view without R and t stands at the
    origin.
    Raises StereoError("file_missing" | "file_unreadable" | "bad_option": no such view | "bad_calibration").
    """
    path = Path(path)
    facts = read_json(path)
    cameras = facts.get("cameras", facts)
    views = [k for k, v in cameras.items() if isinstance(v, dict) and "K" in v] if isinstance(cameras, dict) else []
    if not views:
        raise StereoError("file_unreadable", f"{path}: names no camera with a K.", "Give a cameras.json.")
    if view not in views:
        raise StereoError("bad_option", f"{path} has no view {view!r}.", f"It has {', '.join(views)}.")
    entry = cameras[view]
    try:
        K = np.array(entry["K"], dtype=float)
        R = np.array(entry.get("R", np.eye(3)), dtype=float)
        t = np.array(entry.get("t", np.zeros(3)), dtype=float).ravel()
        width, height = (int(n) for n in entry["size"])
        dist = np.array(entry.get("dist", []), dtype=float).ravel()
    except (KeyError, TypeError, ValueError) as error:
        raise StereoError(
            "bad_calibration",
            f"{path}, view {view}: {type(error).__name__} {error}.",
            "Each view needs K (3x3), R (3x3), t (3) and size [width, height].",
        ) from error
    wrong = (
        "K is no camera matrix"
        if K.shape != (3, 3) or not np.isfinite(K).all() or min(K[0, 0], K[1, 1]) <= 0
        else "R is no rotation"
        if R.shape != (3, 3) or not np.abs(R @ R.T - np.eye(3)).max() < 1e-3 or np.linalg.det(R) < 0
        else "t is not three numbers"
        if t.shape != (3,) or not np.isfinite(t).all()
        else "size is not positive"
        if min(width, height) <= 0
        else "dist is not finite"
        if not np.isfinite(dist).all()
        else ""
    )
    if wrong:
        raise StereoError("bad_calibration", f"{path}, view {view}: {wrong}.", "Check the file.")
    U, _, Vt = np.linalg.svd(R)
    return Camera(K, (width, height), dist, "given", str(path)), U @ Vt, t
