"""A nominal rig: what a knock moved is found from the matches, and what they cannot show stays as it was."""

from dataclasses import replace

import numpy as np
import pytest

from stereo3d import geometry as g
from stereo3d import two_view
from stereo3d.errors import StereoError
from stereo3d.records import Camera, Matches, Rig, RigError
from stereo3d.two_view import nominal, nominal_depth

SIZE = (1600, 1200)
BASELINE = 120.0  # mm


def rig_of(focal=1200.0, dist=(), turn=(0.4, -0.3, 0.2), baseline=BASELINE) -> Rig:
    K = np.array([[focal, 0, 799.5], [0, focal, 599.5], [0, 0, 1.0]])
    camera = Camera(K, SIZE, np.array(dist), source="calibration")
    other = replace(camera, K=K * [[1.01], [1.01], [1]] + [[0, 0, -8], [0, 0, -6], [0, 0, 0]])
    R = g.rotation_from_vector(np.radians(turn))
    return Rig(camera, other, R, -R @ [baseline, 2.0, -4.0], "mm")


def matches_of(rig: Rig, count=900, noise=0.2, outliers=0.15, seed=0, bend=0.0) -> tuple[Matches, np.ndarray]:
    """Matches of random points 0.7 to 3 m away, and the depths; bend: px by which photo 2 is bent at its corners."""
    rng = np.random.default_rng(seed)
    x1 = rng.uniform(0, np.array(SIZE) - 1, (4 * count, 2))
    z = 1 / rng.uniform(1 / 3000, 1 / 700, len(x1))
    X = g.hom(g.undistort(x1, rig.cam1.K, rig.cam1.dist)) * z[:, None]
    x2 = g.project(X, rig.cam2.K, rig.R, rig.t, rig.cam2.dist)
    seen = ((x2 >= 0) & (x2 <= np.array(SIZE) - 1)).all(1)
    x1, x2, z = (a[seen][:count] for a in (x1, x2, z))
    a, b = (2 * x2 / np.array(SIZE) - 1).T
    x2 = x2 + bend * np.stack([0 * a, a * b + 0.5 * a**3], -1)
    x2 = x2 + rng.normal(0, noise, x2.shape)
    wrong = rng.random(len(x1)) < outliers
    x2[wrong] = rng.uniform(0, np.array(SIZE) - 1, (wrong.sum(), 2))
    return Matches(x1, x2), np.where(wrong, np.nan, z)


def knocked(rig: Rig, rotation=(0.3, -0.3, 0.27), focal=0.01, centre=10.0) -> Rig:
    """The rig as its calibration has it: the truth has moved from there."""
    p = np.array([*np.radians(rotation), 0.004, -0.004, focal, centre, 0, 0, focal, centre, 0, 0])
    return replace(nominal.moved_rig(rig, p), error=RigError.nominal())


def depths(matches: Matches, view) -> np.ndarray:
    y1, y2 = (g.undistort(x, c.K, c.dist) for x, c in ((matches.x1, view.rig.cam1), (matches.x2, view.rig.cam2)))
    return g.intersect_rays(g.hom(y1), g.hom(y2), view.R, view.t)


def distances(matches: Matches, view) -> np.ndarray:
    x1, x2 = (g.ideal_pixels(x, c.K, c.dist) for x, c in ((matches.x1, view.rig.cam1), (matches.x2, view.rig.cam2)))
    return np.abs(g.sampson(view.F, x1, x2))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_knocked_rig_is_found_again(seed):
    """Half a degree, 1 % of focal length, 10 px of the centres: the turn to hundredths, depth to a few per cent."""
    truth = rig_of()
    matches, z = matches_of(truth, seed=seed)
    given = knocked(truth)
    view = two_view.estimate_two_view(matches, given)
    assert g.rotation_angle_deg(given.R @ truth.R.T) > 0.49
    assert g.rotation_angle_deg(view.R @ truth.R.T) < 0.05
    assert np.linalg.norm(view.t) == pytest.approx(np.linalg.norm(truth.t), rel=1e-12) and view.rig.unit == "mm"
    right = np.isfinite(z)
    assert view.inliers[right].mean() > 0.97 and view.inliers[~right].mean() < 0.05
    exact = two_view.estimate_two_view(matches, truth)
    assert np.median(distances(matches, view)[right]) < 1.1 * np.median(distances(matches, exact)[right])
    off = depths(matches, view)[right] / z[right] - 1
    wrong = depths(matches, replace(view, R=given.R, t=given.t, rig=given))[right] / z[right] - 1
    # a focal length 1 % off and centres 10 px off, which hardly show, scale all depths alike; the shape is right
    assert abs(np.median(off)) < 0.05 and abs(np.median(wrong)) > 0.06
    assert np.ptp(np.quantile(off, [0.05, 0.95])) < 0.2 * np.ptp(np.quantile(wrong, [0.05, 0.95]))


def test_an_exact_rig_stays_as_it_is():
    truth = rig_of()
    matches, _ = matches_of(truth)
    given = knocked(truth, rotation=(0.02, 0.02, 0.02), centre=0.5, focal=0.001)
    exact = replace(given, error=RigError())
    view = two_view.estimate_two_view(matches, exact)
    assert view.rig is exact and view.R is exact.R and view.t is exact.t
    assert nominal.refine_rig(matches, exact, threshold=1.5) is exact


def test_without_knowledge_to_move_the_number_stays():
    """Of a rig whose rotation alone is uncertain, the rotation alone moves."""
    truth = rig_of()
    matches, _ = matches_of(truth)
    turned = replace(truth, R=g.rotation_from_vector([0.006, 0.004, -0.005]) @ truth.R, error=RigError(rotation_deg=1))
    view = two_view.estimate_two_view(matches, turned)
    assert g.rotation_angle_deg(view.R @ truth.R.T) < 0.01
    assert np.allclose(view.t, truth.t, rtol=1e-12)
    for a, b in ((view.rig.cam1, truth.cam1), (view.rig.cam2, truth.cam2)):
        assert np.array_equal(a.K, b.K) and np.array_equal(a.dist, b.dist)


def test_distortion_of_a_wide_lens_moves_where_it_explains_what_is_left():
    """k1 of .03 that the calibration does not know, 20 px at the corners, and converging cameras."""
    wide = {"turn": (0, -14, 1), "baseline": 450.0}
    truth = rig_of(dist=(0.03, 0, 0, 0), **wide)
    matches, z = matches_of(truth, count=1000)
    given = replace(rig_of(**wide), R=g.rotation_from_vector([0.004, 0, 0.004]) @ truth.R, error=RigError.nominal())
    held = replace(given, error=replace(given.error, distortion=0.0))
    view, plain = (two_view.estimate_two_view(matches, rig) for rig in (given, held))
    right = np.isfinite(z)
    assert not np.any(plain.rig.cam1.dist) and np.median(distances(matches, plain)[right]) > 0.15
    assert np.median(distances(matches, view)[right]) < 0.11
    assert view.rig.cam1.dist[0] == pytest.approx(0.03, abs=0.003)
    assert view.rig.cam2.dist[0] == pytest.approx(0.03, abs=0.003)
    assert g.rotation_angle_deg(view.R @ truth.R.T) < 0.2 * g.rotation_angle_deg(plain.R @ truth.R.T)


def test_bent_pictures_do_not_move_infinity():
    """Photo 2 is bent, as by a lens of no model: the rows come nearer, and a turn that this feigns moves no depth."""
    truth = replace(rig_of(turn=(0, 0, 0)), error=RigError.nominal())
    matches, z = matches_of(truth, count=1500, bend=4.0)
    view = two_view.estimate_two_view(matches, truth, threshold=3.0)
    right = np.isfinite(z)
    exact = two_view.estimate_two_view(matches, replace(truth, error=RigError()), threshold=3.0)
    assert np.median(distances(matches, view)[right]) < 0.5 * np.median(distances(matches, exact)[right])
    assert view.inliers.sum() > exact.inliers.sum() and g.rotation_angle_deg(view.R) > 0.3
    ray = np.array([0.0, 0, 1])
    seen = [(c.K @ (R @ ray) / (R @ ray)[2])[0] for c, R in ((truth.cam2, truth.R), (view.rig.cam2, view.R))]
    moved = seen[1] - view.rig.cam1.K[0, 2] - (seen[0] - truth.cam1.K[0, 2])
    assert abs(moved) < 1.5
    assert abs(np.median(depths(matches, view)[right] / z[right]) - 1) < 0.04


def test_matches_of_another_rig_are_refused():
    truth = rig_of()
    matches, _ = matches_of(truth, count=300)
    for rotation in ((4, 5, -9), (0, 0, 25), (0, 90, 0)):
        with pytest.raises(StereoError) as caught:
            two_view.estimate_two_view(matches, knocked(truth, rotation=rotation))
        assert caught.value.code == "calibration_mismatch" and "inliers" in caught.value.numbers


def test_the_derivatives_are_those_of_the_residuals():
    rig = replace(rig_of(dist=(-0.2, 0.05, 0.001, -0.002, 0.01)), error=RigError.nominal())
    matches, _ = matches_of(rig, count=60, outliers=0)
    sigma = nominal.prior_sigmas(rig)
    at = 0.4 * sigma * np.where(np.arange(13) % 2, 1, -1)
    start = nominal.moved_rig(rig, at)
    problem = nominal.Refinement(start, matches.x1, matches.x2, sigma, sigma > 0)
    J = problem.jacobian(np.zeros(13))
    for k, step in enumerate(1e-4 * np.diag(sigma)):
        plain = (problem.residuals(step) - problem.residuals(-step)) / (2e-4 * sigma[k])
        assert np.allclose(J[:, k], plain, atol=1e-6 * np.abs(plain).max() + 1e-9), k


def test_moves_are_read_back():
    rig = rig_of(dist=(-0.1, 0.02, 0, 0))
    p = np.array([0.01, -0.02, 0.015, 0.01, -0.02, 0.02, 5, -7, 0.01, -0.01, 3, 4, -0.02])
    assert np.allclose(nominal.move_between(rig, nominal.moved_rig(rig, p)), p, atol=1e-12)


def test_the_uncertainty_of_depth_covers_its_error():
    """Rigs that differ from the nominal one as its errors say: depth errors are of the size that is stated."""
    ratios = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        given = replace(rig_of(), error=RigError.nominal())
        p = rng.normal(0, nominal.prior_sigmas(given))
        truth = nominal.moved_rig(given, np.where(np.isin(np.arange(13), nominal.K1), 0, p))
        matches, z = matches_of(truth, count=300, seed=seed)
        view = two_view.estimate_two_view(matches, given)
        used = view.inliers & np.isfinite(z)
        error = np.median(np.abs(depths(matches, view)[used] / z[used] - 1))
        ratios.append(error / nominal_depth.relative_depth_sigma(matches.x1[used], matches.x2[used], view))
    assert 0.3 < np.sqrt(np.mean(np.square(ratios))) < 2


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_errors_of_a_rig_are_numbers(bad):
    with pytest.raises(ValueError, match="RigError.focal"):
        RigError(focal=bad)
    assert RigError().exact and not RigError.nominal().exact
