"""Finding of a pose that rests on repeated structure: most of what agrees with it looks alike elsewhere."""

from dataclasses import dataclass

import numpy as np

from ..records import Features, Finding, Matches

SAMPLE = 100  # matches that are looked at, evenly
NEARBY = 0.01  # of the photo's longer side: features within it are one place


@dataclass(frozen=True)
class TwinThresholds:
    """Bounds of a pose that rests on repeated structure, measured by `benchmarks/user_pairs.py`."""

    # Median likeness of the matches that agree. Scenes have .2 to .51 where as few agree; chessboards and walls of
    # equal things .57 to .78.
    max_likeness: float = 0.55
    # Share of the matches that agree: at most .79 on such walls, as others agree on other motions; .9 and more in
    # scenes whose matches are as alike (fountain 0003-0006, seen from far apart: .56 and .98).
    min_agree: float = 0.85
    min_sample: int = 12  # matches; of fewer nothing is said


TWIN_THRESHOLDS = TwinThresholds()


def twin_findings(
    features: tuple[Features, Features],
    matches: Matches,
    inliers: np.ndarray,
    side: float,
    limits: TwinThresholds = TWIN_THRESHOLDS,
) -> list[Finding]:
    """Return a warning where most matches that agree with the pose look like another place of their own photo.

    A motion that shifts such a pattern by a period explains it as well. Views from far apart change the look of
    everything, but then nearly all matches agree; on a pattern many others agree on other motions.

    Parameters
    ----------
    features : (Features, Features)
        Of both photos, from which the matches come.
    matches : Matches
        All, photo px.
    inliers : (N,) bool
        The matches that agree with the pose.
    side : float
        px, longer side of the first photo.
    limits : TwinThresholds
        Bounds.
    """
    share = float(inliers.mean()) if len(inliers) else 1.0
    if share > limits.min_agree:
        return []
    likeness = twin_likeness(features, matches, inliers, side)
    if len(likeness) < limits.min_sample or not (median := float(np.median(likeness))) > limits.max_likeness:
        return []
    return [
        Finding(
            "repeated_pose",
            "warning",
            f"the camera motion rests on a pattern that repeats: {100 * share:.0f} % of {len(matches)} matches agree, "
            "and other places of their own photo look much like them (distance to the match over that to the twin "
            f"{median:.2f}; .2 to .4 in most scenes). Shifted by a period, the pattern fits another motion.",
            {"likeness": median, "inlier_share": share},
            "Show something unique beside the pattern, or give a calibration with the pose.",
        )
    ]


def twin_likeness(features: tuple[Features, Features], matches: Matches, chosen: np.ndarray, side: float) -> np.ndarray:
    """|a - b| / |a - a'|: how alike another place of the first photo is, for a sample of matches, (k,).

    a, b: the descriptors of a match; a': the nearest one to a at another place of the first photo. At 1 the feature is
    as like its twin as its match.

    Parameters
    ----------
    features, matches, side
        As for `twin_findings`.
    chosen : (N,) bool
        The matches of which a sample is taken.
    """
    from scipy.spatial import KDTree

    one, two = features
    index = np.flatnonzero(chosen)
    index = index[:: 1 + len(index) // SAMPLE]
    tree = KDTree(one.x)
    places = [rows for rows in tree.query_ball_point(matches.x1[index], 1e-6) if rows]  # one for each orientation
    if not places:
        return np.zeros(0)
    counts = np.array([len(rows) for rows in places])
    rows, starts = np.concatenate(places).astype(int), np.cumsum(counts) - counts
    to_match = _squares(one.descriptors[rows], two.descriptors).min(1)
    own = _squares(one.descriptors[rows], one.descriptors)
    for k, near in enumerate(tree.query_ball_point(one.x[rows], NEARBY * side)):
        own[k, near] = np.inf
    nearest = np.minimum.reduceat(to_match, starts)
    twin = np.minimum.reduceat(np.where(to_match == np.repeat(nearest, counts), own.min(1), np.inf), starts)
    return np.sqrt(nearest / np.maximum(twin, 1e-12))


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances (n, m) of descriptors (n, k) and (m, k)."""
    a, b = (np.asarray(d, np.float32) for d in (a, b))
    squares = a @ (-2 * b.T)
    squares += (b * b).sum(1)
    squares += (a * a).sum(1)[:, None]
    return np.maximum(squares, 0, out=squares)
