"""Scores of a relative pose against the truth: angles, AUC, error of the focal length."""

import os
from pathlib import Path

import numpy as np

from ..errors import StereoError
from ..geometry.rotations import angle_deg, rotation_angle_deg
from ..records import Camera
from .files import read_json


def relative_pose(R1: np.ndarray, t1: np.ndarray, R2: np.ndarray, t2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R = R2 R1^T, t = t2 - R t1, so that X2 = R X1 + t, from two world poses X_i = R_i X + t_i.

    Parameters
    ----------
    R1, R2 : (3, 3) float
    t1, t2 : (3,) float

    Returns
    -------
    R : (3, 3) float64
    t : (3,) float64
    """
    R = np.asarray(R2) @ np.asarray(R1).T
    return R, np.asarray(t2) - R @ np.asarray(t1)


def pose_errors(R: np.ndarray, t: np.ndarray, R_true: np.ndarray, t_true: np.ndarray) -> dict:
    """Return the angle of R R_true^T, the angle between t and t_true (the sign counts) and the larger of the two.

    Parameters
    ----------
    R, R_true : (3, 3) float
    t, t_true : (3,) float
        Of any length but zero.

    Returns
    -------
    dict of str to float
        `rotation_deg`, `direction_deg` and `pose_deg`, degrees.

    Raises
    ------
    ValueError
        For other shapes, or a zero t.
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

    The recall is integrated as a step function; SuperGlue's script interpolates it linearly and so gives up to 1/(2N)
    more.

    Parameters
    ----------
    errors : (N,) float
        NaN or inf: a failure.
    threshold : float
        T > 0, in the unit of the errors.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        For T <= 0, or no errors.

    References
    ----------
    Sarlin et al., SuperGlue: Learning Feature Matching with Graph Neural Networks, 2020 (pose AUC).
    """
    errors = np.asarray(errors, dtype=float).ravel()
    if not threshold > 0 or len(errors) == 0:
        raise ValueError(f"auc needs a positive threshold and errors, got {threshold} and {len(errors)} errors")
    return float(np.mean(np.clip(1 - np.where(np.isfinite(errors), errors, np.inf) / threshold, 0, 1)))


def focal_error_percent(camera: Camera, truth: Camera) -> float:
    """100 (f / f_true - 1), each f in units of the longer side of its picture. Signed."""
    return 100 * (camera.focal / max(camera.size) / (truth.focal / max(truth.size)) - 1)


def read_truth_camera(path: str | os.PathLike, view: str) -> tuple[Camera, np.ndarray, np.ndarray]:
    """x ~ K (R X + t): read camera and pose of one view in a cameras.json.

    Parameters
    ----------
    path : path
        A file of {"cameras": {view: {"K": 3x3, "R": 3x3, "t": 3, "size": [width, height], "dist": optional}}}, with or
        without the outer "cameras".
    view : str
        Name of the view.

    Returns
    -------
    camera : Camera
    R : (3, 3) float64
        The rotation nearest to that of the file, which rounds; identity where the view has no R.
    t : (3,) float64
        Zero where the view has no t.

    Raises
    ------
    StereoError
        "file_missing", "file_unreadable", "bad_option" (no such view) or "bad_calibration".
    """
    path = Path(path)
    facts = read_json(path)
    cameras = facts.get("cameras", facts)
    views = [k for k, v in cameras.items() if isinstance(v, dict) and "K" in v] if isinstance(cameras, dict) else []
    if not views:
        raise StereoError("file_unreadable", f"{path}: has no camera with a K.", "Give a cameras.json.")
    if view not in views:
        raise StereoError("bad_option", f"{path} has no view {view!r}.", f"It has {', '.join(views)}.")
    entry = cameras[view]
    try:
        K = np.array(entry["K"], dtype=float)
        R = np.array(entry.get("R", np.eye(3)), dtype=float)
        t = np.array(entry.get("t", np.zeros(3)), dtype=float).ravel()
        width, height = (int(n) for n in entry["size"])
        dist = np.array(entry.get("dist", []), dtype=float).ravel()
    except (KeyError, TypeError, ValueError, OverflowError) as error:
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
