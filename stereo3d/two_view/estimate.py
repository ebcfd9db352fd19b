"""estimate_two_view: the relative pose of two photos from matches."""

from dataclasses import replace
from typing import Annotated

import numpy as np

from ..errors import StereoError
from ..geometry.arrays import transform
from ..geometry.camera import ideal_pixels, undistort
from ..geometry.two_view import fundamental_from_pose, sampson, triangulate_points
from ..options import Range, check_options, options_of
from ..records import Matches, Rig, TwoView
from .focal_ladder import FINALISTS, climb_ladder, lowest
from .lens import LensState, free_lens_model, prior_focal_error
from .lens_fit import MIN_MATCHES_FOR_LENS, LensFit, as_it_was, fit_lens
from .nominal import refine_rig
from .rays import estimate_from_rays
from .refine import centred_pixels, fit_views, pose_alone, sampson_residuals, within_reach
from .robust import MIN_INLIERS, no_overlap, pose_candidates
from .solvers import plausible_depth
from .zoom import has_zoomed, may_have_zoomed


def estimate_two_view(
    matches: Matches,
    rig: Rig,
    *,
    threshold: Annotated[float, Range(0.01, 1000)] = 1.5,
    confidence: Annotated[float, Range(0.5, 1)] = 0.9999,
    seed: int = 0,
) -> TwoView:
    """X2 = R X1 + t, x2^T F x1 = 0 in ideal pixels: the relative pose of the two photos.

    Where a focal length is from EXIF or a mere guess, estimates focal, principal point and k1 with the pose, each under
    its prior: EXIF moves as far as the matches show, a guess is replaced only where they determine it
    (`Camera.source` "estimated"), else it is kept.

    Parameters
    ----------
    matches : Matches
        Photo pixels. Those that are not finite are no inliers.
    rig : Rig
        The cameras. Where it knows R and t, these are taken, refined where they are nominal (`Rig.error`), and the
        inliers classified. Those with a wide lens are known exactly, and the pose is that of their rays
        (`estimate_from_rays`).
    threshold : float
        px, Sampson distance of an inlier.
    confidence : float
        Of the sampling, that no better pose was missed.
    seed : int
        Of the random samples.

    Returns
    -------
    TwoView
        |t| = 1 unless the rig gives a scale. `TwoView.focal_sigma` is the relative standard error of the focal lengths.

    Raises
    ------
    StereoError
        "few_matches" or "no_overlap" where no pose has enough support, "calibration_mismatch" where the rig's pose has
        not, "bad_calibration" where a known t is 0, "bad_option" for an option out of its bounds.
    """
    given = {"threshold": threshold, "confidence": confidence, "seed": seed}
    threshold, confidence, seed = check_options("pose", options_of(estimate_two_view), given).values()
    rig.check_baseline()
    if len(matches) < MIN_INLIERS:
        raise StereoError(
            "few_matches",
            f"{len(matches)} matches between the photos, {MIN_INLIERS} needed.",
            "Take sharper photos of the same thing from nearby places, with more overlap and less turn.",
            matches=len(matches),
        )
    if rig.wide:
        if rig.posed and not rig.error.exact:
            rig.check_pinhole()
        return estimate_from_rays(matches, rig, threshold=threshold, confidence=confidence, seed=seed)
    if rig.posed:
        return _classify(matches, rig if rig.error.exact else refine_rig(matches, rig, threshold=threshold), threshold)
    view = _pose_of(matches, rig, threshold, confidence, seed)
    if not may_have_zoomed(matches, view, rig, threshold=threshold):
        return view
    try:
        zoomed = _pose_of(matches, rig, threshold, confidence, seed, zoom=True)
    except StereoError:
        return view
    return zoomed if has_zoomed(matches, view, zoomed, threshold=threshold) else view


def _pose_of(
    matches: Matches, rig: Rig, threshold: float, confidence: float, seed: int, *, zoom: bool = False
) -> TwoView:
    """The pose and the fitted lens; zoom: as in `free_lens_model`."""
    fit = _pose_and_lens(matches, rig, threshold, confidence, seed, zoom)
    rig = fit.rig
    x1, x2, index, focals = centred_pixels(matches.x1, matches.x2, rig)
    y1, y2, slack, lens_model = x1 / focals[0], x2 / focals[1], 2 * threshold / focals[0], pose_alone(focals)
    ahead = plausible_depth(fit.R, fit.t, y1, y2, slack)
    R, t, *_ = fit_views(fit.R, fit.t, np.zeros(0), x1[ahead], x2[ahead], lens_model, threshold=threshold)
    r = sampson_residuals(R[None], t[None], np.zeros((1, 0)), x1, x2, lens_model)[0]
    good = (np.abs(r) < threshold) & plausible_depth(R, t, y1, y2, slack)
    if good.sum() < MIN_INLIERS:
        raise StereoError(
            "no_overlap",
            f"{good.sum()} of {len(matches)} matches agree on one camera motion and "
            f"lie before both cameras, {MIN_INLIERS} needed.",
            "Move less between the photos.",
            inliers=int(good.sum()),
            matches=len(matches),
        )
    inliers = np.zeros(len(matches), bool)
    inliers[index[good]] = True
    F = fundamental_from_pose(rig.cam1.K, rig.cam2.K, R, t)
    return TwoView(F, R, t, inliers, replace(rig, R=R, t=t), fit.focal_sigma, fit.focal_range, fit.rivals)


def _pose_and_lens(matches: Matches, rig: Rig, threshold: float, confidence: float, seed: int, zoom: bool) -> LensFit:
    """The pose, and the lens where it is not known: from a ladder of focals if guessed, then from samples."""
    x1, x2, _, focals = centred_pixels(matches.x1, matches.x2, rig)
    guessed = "prior" in (rig.cam1.source, rig.cam2.source)
    free = free_lens_model(rig, focals, zoom=zoom).basis.shape[1]  # 0: a given distortion fixes even a guessed lens
    fit = None
    if guessed and free:
        tried = climb_ladder(x1, x2, rig, focals, threshold=threshold, seed=seed, zoom=zoom)
        if tried:
            states = [state for _, state in tried]
            fit = fit_lens(lowest(tried, FINALISTS), states, x1, x2, rig, focals, threshold, zoom)
            if fit.accepted:
                return fit
    found = pose_candidates(x1, x2, focals, threshold=threshold, confidence=confidence, seed=seed)
    R, t, count = np.eye(3), np.zeros(3), 0
    if found is not None:
        R, t = found[0][0], found[1][0]
        r = sampson_residuals(R[None], t[None], np.zeros((1, 0)), x1, x2, pose_alone(focals))[0]
        count = int((np.abs(r) < threshold).sum())
    if count < MIN_INLIERS:
        raise no_overlap(count, len(matches))
    if free and not guessed and count >= MIN_MATCHES_FOR_LENS:
        return fit_lens([LensState(R, t, np.zeros(free))], [], x1, x2, rig, focals, threshold, zoom)
    return replace(fit or as_it_was(R, t, rig), R=R, t=t)


def _classify(matches: Matches, rig: Rig, threshold: float) -> TwoView:
    """The rig's own pose, with the matches that agree with it."""
    assert rig.R is not None and rig.t is not None
    pixels = within_reach(matches.x1), within_reach(matches.x2)
    x1, x2 = (ideal_pixels(x, c.K, c.dist) for x, c in zip(pixels, (rig.cam1, rig.cam2), strict=True))
    known = np.isfinite(x1).all(1) & np.isfinite(x2).all(1)
    F = fundamental_from_pose(rig.cam1.K, rig.cam2.K, rig.R, rig.t)
    y1, y2 = transform(np.linalg.inv(rig.cam1.K), x1), transform(np.linalg.inv(rig.cam2.K), x2)
    # rays that run parallel within the threshold may seem to meet behind: leave that to the line test
    inliers = known & (np.abs(sampson(F, np.nan_to_num(x1), np.nan_to_num(x2))) < threshold)
    inliers &= plausible_depth(rig.R, rig.t, y1, y2, 2 * threshold / rig.cam1.focal)
    if inliers.sum() < MIN_INLIERS:
        raise StereoError(
            "calibration_mismatch",
            f"{inliers.sum()} of {len(x1)} matches fit the given calibration and "
            f"pose within {threshold:g} px, {MIN_INLIERS} needed.",
            "The calibration is of another rig or of other photos, or left and right are exchanged: give "
            "the photos in the order of the calibration, or leave the pose out.",
            inliers=int(inliers.sum()),
            matches=len(x1),
        )
    return TwoView(F, rig.R, rig.t, inliers, rig, *prior_focal_error(rig))


def sparse_points(matches: Matches, view: TwoView) -> np.ndarray:
    """Triangulate all matches by SVD: X (N, 3) in the frame of camera 1, unit of t; NaN for a match without a ray."""
    rig = view.rig
    rig.check_pinhole()
    y1 = undistort(matches.x1, rig.cam1.K, rig.cam1.dist)
    y2 = undistort(matches.x2, rig.cam2.K, rig.cam2.dist)
    return triangulate_points(np.eye(3, 4), np.column_stack([view.R, view.t]), y1, y2)
