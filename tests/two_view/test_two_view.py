"""F and E by SVD, and the pose: exact on exact matches, no worse than OpenCV on noisy ones."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from examples import tries
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stereo3d import geometry as g
from stereo3d import two_view
from stereo3d.errors import StereoError
from stereo3d.records import Camera, Matches, Rig
from stereo3d.synthetic import matches as matches_module
from stereo3d.two_view import estimate, lens_fit, refine, robust, solvers
from stereo3d.two_view import lens as lens_module

MOTIONS = [motion for motion in matches_module.MOTIONS if motion != "rotation"]
STABLE = [motion for motion in MOTIONS if motion != "planar"]  # one plane leaves eight and seven points a free choice


def unposed(rig: Rig) -> Rig:
    return replace(rig, R=None, t=None)


def normalised(matches, rig):
    return g.undistort(matches.x1, rig.cam1.K, rig.cam1.dist), g.undistort(matches.x2, rig.cam2.K, rig.cam2.dist)


def true_F(rig):
    return g.fundamental_from_pose(rig.cam1.K, rig.cam2.K, rig.R, rig.t)


def apart(A, B):
    """Largest difference of two matrices known up to scale."""
    A, B = A / np.linalg.norm(A), B / np.linalg.norm(B)
    return min(np.abs(A - B).max(), np.abs(A + B).max())


def pose_errors(R, t, rig):
    """Degrees of rotation and of direction."""
    return g.rotation_angle_deg(R.T @ rig.R), g.angle_deg(t, rig.t)


def shot_by(cam1: Camera, cam2: Camera, n=300, *, seed=0, noise=0.0, turn=(0, -8, 3), centre=(1, 0.1, 0.1)):
    """Matches of random points seen by two cameras, distortion included, and the rig."""
    rng = np.random.default_rng(seed)
    R = g.rotation_from_vector(np.radians(turn))
    t = -R @ np.array(centre) / np.linalg.norm(centre)
    x1 = rng.uniform(-0.5, np.array(cam1.size) - 0.5, (6 * n, 2))
    d = g.undistort(x1, cam1.K, cam1.dist)
    X = np.concatenate([d, np.ones((len(d), 1))], 1) * rng.uniform(4, 10, (len(d), 1))
    Y = X @ R.T + t
    x2 = g.project(Y, cam2.K, dist=cam2.dist)
    # only points in the field of view: beyond it the polynomial folds
    back = g.undistort(x2, cam2.K, cam2.dist)
    good = (np.abs(x2 - (np.array(cam2.size) - 1) / 2) < np.array(cam2.size) / 2).all(1) & (Y[:, 2] > 0)
    good &= np.abs(back - Y[:, :2] / Y[:, 2:]).max(1) < 1e-6
    x1, x2 = x1[good][:n], x2[good][:n]
    assert len(x1) == n
    x1, x2 = x1 + rng.normal(0, noise, x1.shape), x2 + rng.normal(0, noise, x2.shape)
    return Matches(x1, x2, np.ones(n, np.float32)), Rig(cam1, cam2, R, t)


def test_rows_times_the_matrix_are_the_constraint():
    rng = np.random.default_rng(0)
    x1, x2, F = rng.normal(size=(3, 5, 2)), rng.normal(size=(3, 5, 2)), rng.normal(size=(3, 3))
    expected = np.einsum("bni,ij,bnj->bn", g.hom(x2), F, g.hom(x1))
    assert np.allclose(solvers.epipolar_rows(x1, x2) @ F.ravel(), expected, atol=1e-13)


def test_the_nearest_matrices_by_hand():
    # of a diagonal matrix, the nearest of rank 2 loses the least entry; no random one of rank 2 is nearer
    M = np.diag([3.0, 0.5, 2.0])
    assert np.allclose(solvers.enforce_rank2(M), np.diag([3, 0, 2]))
    assert np.allclose(solvers.enforce_essential(M), np.diag([1, 0, 1]))
    A = np.random.default_rng(1).normal(size=(4, 3, 3))
    s = np.linalg.svd(A, compute_uv=False)
    B = solvers.enforce_rank2(A)
    assert np.allclose(np.linalg.norm(A - B, axis=(1, 2)), s[:, 2], atol=1e-12)  # Eckart and Young
    assert np.allclose(np.linalg.svd(B, compute_uv=False), s * [1, 1, 0], atol=1e-12)
    assert np.allclose(np.linalg.svd(solvers.enforce_essential(A), compute_uv=False), [1, 1, 0], atol=1e-12)


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("n", [8, 9, 50])
def test_eight_point_is_exact(motion, n):
    matches, rig = matches_module.random_two_view(n, seed=n, motion=motion)
    F = two_view.eight_point(matches.x1, matches.x2)
    assert np.linalg.norm(F) == pytest.approx(1)
    assert np.abs(g.sampson(F, matches.x1, matches.x2)).max() < 1e-9
    assert np.linalg.svd(F, compute_uv=False)[2] < 1e-12
    if motion in STABLE:
        others, _ = matches_module.random_two_view(200, seed=n, motion=motion)  # the same cameras, other points
        limit = 1e-9 if n == 50 else 1e-6  # eight random points may lie badly
        assert np.abs(g.sampson(F, others.x1, others.x2)).max() < limit
        assert apart(F, true_F(rig)) < limit


def test_eight_point_of_noisy_matches_has_rank_two_and_equals_opencv():
    for seed in range(5):
        matches, _ = matches_module.random_two_view(40, seed=seed, motion="converging", noise=1.0)
        F = two_view.eight_point(matches.x1, matches.x2)
        assert np.linalg.svd(F, compute_uv=False)[2] < 1e-12
        theirs, _ = cv2.findFundamentalMat(points1=matches.x1, points2=matches.x2, method=cv2.FM_8POINT)
        ours, theirs = (g.sampson(G, matches.x1, matches.x2) for G in (F, theirs))
        theirs = theirs * np.sign(theirs @ ours)
        assert np.abs(ours - theirs).max() < 5e-3  # px: OpenCV rounds the pixels to float32


def test_eight_point_weights():
    matches, rig = matches_module.random_two_view(30, seed=3)
    x2 = matches.x2.copy()
    x2[4] += 50
    weights = np.ones(30)
    weights[4] = 0
    assert apart(two_view.eight_point(matches.x1, x2, weights), true_F(rig)) < 1e-9
    assert apart(two_view.eight_point(matches.x1, x2), true_F(rig)) > 1e-6


def test_eight_point_of_many_matches_needs_little_memory():
    """Room for the unneeded square factor of the SVD would be 20,000 x 20,000 x 8 bytes = 3 GB."""
    import tracemalloc

    matches, _ = matches_module.random_two_view(20000, seed=4)
    tracemalloc.start()
    F = two_view.eight_point(matches.x1, matches.x2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.abs(g.sampson(F, matches.x1, matches.x2)).max() < 1e-9
    assert peak < 50e6


def test_eight_point_takes_lists_and_single_precision():
    matches, _ = matches_module.random_two_view(12, seed=2)
    F = two_view.eight_point(matches.x1, matches.x2)
    assert np.array_equal(two_view.eight_point(matches.x1.tolist(), matches.x2.tolist()), F)
    single = two_view.eight_point(matches.x1.astype(np.float32), matches.x2.astype(np.float32))
    assert single.dtype == float and np.abs(g.sampson(single, matches.x1, matches.x2)).max() < 0.1
    whole = two_view.eight_point(np.rint(matches.x1).astype(int), np.rint(matches.x2).astype(int))
    assert np.linalg.norm(whole) == pytest.approx(1)


@pytest.mark.parametrize("at", [0.0, 0.1, 733.3])
@pytest.mark.parametrize("which", ["first", "second", "both"])
def test_coincident_points_determine_no_fundamental_matrix(at, which):
    matches, _ = matches_module.random_two_view(12, seed=2)
    point = np.full((12, 2), at)
    x1, x2 = (matches.x1 if which == "second" else point), (matches.x2 if which == "first" else point)
    with pytest.raises(StereoError) as caught:
        two_view.eight_point(x1, x2)
    assert caught.value.code == "few_matches" and "12" in caught.value.message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_eight_point_refuses_what_is_not_finite(value):
    matches, _ = matches_module.random_two_view(12, seed=2)
    x1 = matches.x1.copy()
    x1[3, 0] = value
    with pytest.raises(StereoError):
        two_view.eight_point(x1, matches.x2)


@pytest.mark.parametrize("motion", STABLE)
def test_seven_point_holds_the_truth_and_satisfies_its_equations(motion):
    matches, rig = matches_module.random_two_view(7 * 40, seed=1, motion=motion)
    x1, x2 = matches.x1.reshape(40, 7, 2), matches.x2.reshape(40, 7, 2)
    truth, nearest = true_F(rig), []
    for a, b in zip(x1, x2, strict=True):
        found = two_view.seven_point(a[None], b[None])
        assert len(found) in (1, 3)
        assert np.allclose(np.linalg.norm(found, axis=(1, 2)), 1)
        assert np.abs(g.sampson(found, a, b)).max() < 1e-9
        s = np.linalg.svd(found, compute_uv=False)
        assert (s[:, 2] < 1e-10).all()
        nearest.append(min(apart(F, truth) for F in found))
    assert np.median(nearest) < 1e-9 and np.max(nearest) < 1e-6
    # all samples at once are the samples one by one
    together = two_view.seven_point(x1, x2)
    alone = np.concatenate([two_view.seven_point(a[None], b[None]) for a, b in zip(x1, x2, strict=True)])
    assert len(together) == len(alone)
    for F in alone:
        assert min(apart(F, other) for other in together) < 1e-6


def test_seven_point_finds_opencvs_solutions():
    for seed in range(20):
        matches, _ = matches_module.random_two_view(7, seed=seed, motion="converging")
        x1, x2 = matches.x1, matches.x2
        theirs, _ = cv2.findFundamentalMat(points1=x1, points2=x2, method=cv2.FM_7POINT)
        theirs = np.asarray(theirs).reshape(-1, 3, 3)
        found = two_view.seven_point(x1[None], x2[None])
        assert len(found) == len(theirs)
        # compared by the epipolar lines they draw, px; OpenCV rounds the pixels to float32
        grid = np.stack(np.meshgrid([200.0, 800, 1400], [200.0, 600, 1000]), -1).reshape(-1, 2)

        def lines(F, grid=grid):
            l = g.hom(grid) @ F.T
            return l / np.linalg.norm(l[:, :2], axis=1, keepdims=True) / [1, 1, 1000]

        for F in theirs:
            assert (
                min(np.minimum(abs(lines(F) - lines(G)).max(1), abs(lines(F) + lines(G)).max(1)).max() for G in found)
                < 0.02
            )


@pytest.mark.parametrize(
    ("motion", "focal"), [*((m, 1200.0) for m in MOTIONS), *((m, 6000.0) for m in ("sideways", "vertical", "forward"))]
)
def test_five_point_holds_the_truth_and_satisfies_its_equations(motion, focal):
    matches, rig = matches_module.random_two_view(5 * 30, seed=2, motion=motion, focal=focal)
    y1, y2 = (y.reshape(30, 5, 2) for y in normalised(matches, rig))
    truth, nearest, counts = g.essential_from_pose(rig.R, rig.t), [], []
    for a, b in zip(y1, y2, strict=True):
        found = two_view.five_point(a[None], b[None])
        assert 1 <= len(found) <= 10
        counts.append(len(found))
        assert np.allclose(np.linalg.norm(found, axis=(1, 2)), 1)
        e = np.einsum("ni,mij,nj->mn", g.hom(b), found, g.hom(a))
        assert np.abs(e).max() < 1e-12  # the five equations
        s = np.linalg.svd(found, compute_uv=False)
        trace = 2 * found @ np.swapaxes(found, 1, 2) @ found - (s**2).sum(1)[:, None, None] * found
        # the ten cubics: median over all, for where two solutions almost coincide each is uncertain
        assert np.median(np.abs(trace).max((1, 2))) < 1e-9 and np.median(s[:, 2]) < 1e-9
        nearest.append(min(apart(E, truth) for E in found))
    assert np.median(nearest) < 1e-11 and np.max(nearest) < 1e-7
    together = two_view.five_point(y1, y2)
    assert len(together) == sum(counts)


def test_five_point_of_a_degenerate_sample_is_empty_not_an_error():
    x = np.tile([[0.1, 0.2]], (5, 1))[None]
    assert two_view.five_point(x, x).shape == (0, 3, 3)


@pytest.mark.parametrize(
    ("function", "shape"), [(two_view.seven_point, "7"), (two_view.five_point, "5"), (two_view.eight_point, "8")]
)
def test_wrong_shapes_are_refused_by_name(function, shape):
    with pytest.raises(ValueError, match=shape):
        function(np.zeros((4, 2)), np.zeros((4, 2)))
    with pytest.raises(ValueError):
        function(np.zeros((1, 7, 2)), np.zeros((1, 5, 2)))


def test_the_essential_matrix_is_constrained_in_camera_coordinates():
    cam1 = Camera(np.array([[1000.0, 0, 500], [0, 1000, 400], [0, 0, 1]]), (1000, 800))
    cam2 = Camera(np.array([[1500.0, 0, 700], [0, 1480, 380], [0, 0, 1]]), (1400, 760))
    matches, rig = shot_by(cam1, cam2, seed=1, noise=1.0)
    F = two_view.eight_point(matches.x1, matches.x2)
    E = solvers.essential_from_fundamental(F, cam1.K, cam2.K)
    assert np.allclose(np.linalg.svd(E, compute_uv=False), [1, 1, 0], atol=1e-12)
    assert max(pose_errors(*solvers.pose_from_essential(E, *normalised(matches, rig)), rig)) < 3
    exact = solvers.essential_from_fundamental(true_F(rig), cam1.K, cam2.K)
    assert apart(exact, g.essential_from_pose(rig.R, rig.t)) < 1e-12


@pytest.mark.parametrize("motion", MOTIONS)
def test_cheirality_selects_the_true_pose_of_four(motion):
    matches, rig = matches_module.random_two_view(30, seed=5, motion=motion)
    y1, y2 = normalised(matches, rig)
    E = g.essential_from_pose(rig.R, rig.t)
    for scale in (1.0, -0.3):
        R, t = solvers.pose_from_essential(scale * E, y1, y2)
        assert np.abs(R - rig.R).max() < 1e-9 and np.abs(t - rig.t).max() < 1e-9
    fronts = sorted(int(solvers.cheirality_mask(R, t, y1, y2).sum()) for R, t in g.decompose_essential(E))
    assert fronts[-1] == 30 and fronts[-2] < 30
    assert solvers.cheirality_mask(rig.R, rig.t, y1, y2).all()
    assert not solvers.cheirality_mask(rig.R, -rig.t, y1, y2).any()


def test_cheirality_mask_is_the_sign_of_both_depths():
    rng = np.random.default_rng(6)
    R, t = g.rotation_from_vector([0.3, -0.5, 0.2]), np.array([0.8, -0.1, 0.6])
    X = rng.uniform(-6, 6, (400, 3))
    X = X[(np.abs(X[:, 2]) > 0.1) & (np.abs((X @ R.T + t)[:, 2]) > 0.1)]
    Y = X @ R.T + t
    found = solvers.cheirality_mask(R, t, X[:, :2] / X[:, 2:], Y[:, :2] / Y[:, 2:])
    assert np.array_equal(found, (X[:, 2] > 0) & (Y[:, 2] > 0))
    assert 20 < found.sum() < len(X) - 20


@pytest.mark.parametrize("motion", STABLE)
def test_robust_fundamental_matrix(motion):
    matches, rig = matches_module.random_two_view(200, seed=7, motion=motion, outliers=0.3)
    found = robust.ransac_fundamental(matches.x1, matches.x2, threshold=1.0)
    good = np.abs(g.sampson(true_F(rig), matches.x1, matches.x2)) < 1e-6
    assert good.sum() >= 140
    assert np.abs(g.sampson(found.model, matches.x1[good], matches.x2[good])).max() < 0.1
    assert found.inliers[good].all() and found.inliers.mean() < 0.8
    assert np.linalg.svd(found.model, compute_uv=False)[2] < 1e-10
    assert robust.ransac_fundamental(matches.x1[:6], matches.x2[:6], threshold=1.0) is None


def test_fundamental_matrix_of_few_right_matches_no_worse_than_opencv():
    """A third of 240 matches right, 0.5 px of noise: the error at exact matches of the same cameras."""
    ours, theirs = [], []
    for seed in range(6):
        matches, rig = matches_module.random_two_view(240, seed=seed, motion="converging", noise=0.5, outliers=0.67)
        exact, _ = matches_module.random_two_view(300, seed=seed, motion="converging")
        found = robust.ransac_fundamental(matches.x1, matches.x2, threshold=1.5, seed=seed)
        F, _ = cv2.findFundamentalMat(
            points1=matches.x1,
            points2=matches.x2,
            method=cv2.USAC_MAGSAC,
            ransacReprojThreshold=1.5,
            confidence=0.9999,
            maxIters=50000,
        )
        for errors, G in ((ours, found.model), (theirs, F[:3])):
            errors.append(np.median(np.abs(g.sampson(G, exact.x1, exact.x2))))
        assert np.linalg.svd(found.model, compute_uv=False)[2] < 1e-12
    assert np.median(ours) <= np.median(theirs) and max(ours) < 1.5


def test_refinement_of_the_fundamental_matrix_goes_downhill_to_the_truth():
    from stereo3d.two_view.least_squares_kernels import RankTwoProblem, adjust_fundamental

    matches, rig = matches_module.random_two_view(80, seed=6, motion="converging")
    T = np.array([[1 / 800, 0, -1], [0, 1 / 800, -0.75], [0, 0, 1]])
    y1, y2 = g.transform(T, matches.x1), g.transform(T, matches.x2)
    truth = np.linalg.inv(T).T @ true_F(rig) @ np.linalg.inv(T)
    rng = np.random.default_rng(6)
    U, s, Vt = np.linalg.svd(truth / np.linalg.norm(truth))
    U, Vt = (np.ascontiguousarray(g.rotation_from_vector(rng.normal(0, 0.02, 3)) @ A) for A in (U, Vt))
    start = U @ np.diag([*s[:2], 0]) @ Vt
    F = adjust_fundamental(RankTwoProblem(y1, y2, 0.01, 0.1), U, Vt, np.arctan2(s[1], s[0]), 40)
    assert np.abs(g.sampson(start, y1, y2)).max() > 1e-3
    assert np.abs(g.sampson(F, y1, y2)).max() < 1e-9 and apart(F, truth) < 1e-7


def test_all_real_roots_of_polynomials():
    from stereo3d.two_view.polynomial_kernels import real_roots

    rng = np.random.default_rng(7)
    for degree in (3, 10):
        for _ in range(60):
            true = np.concatenate(
                [
                    rng.normal(size=degree - 2 * (pairs := rng.integers(0, degree // 2 + 1)))
                    * 10 ** rng.uniform(-1, 1, degree - 2 * pairs)
                ]
            )
            c = np.array([1.0])
            for z in true:
                c = np.convolve(c, [1, -z])
            for _ in range(pairs):
                c = np.convolve(c, [1, -2 * (a := rng.normal()), a * a + rng.uniform(0.2, 2)])
            found = np.empty(3 * degree)
            count = real_roots(np.ascontiguousarray(c[::-1]), degree, found)
            gaps = np.diff(np.sort(true))
            if len(gaps) == 0 or gaps.min() > 1e-2:  # of roots that almost coincide none is certain
                assert count == len(true)
                assert np.allclose(np.sort(found[:count]), np.sort(true), rtol=1e-5, atol=1e-6)


def random_views(rng, m):
    R = np.stack([g.rotation_from_vector(v) for v in rng.normal(0, 0.3, (m, 3))])
    t = rng.normal(size=(m, 3))
    return R, t / np.linalg.norm(t, axis=1, keepdims=True)


@pytest.mark.parametrize("columns", [0, 10])
def test_the_jacobian_is_that_of_central_differences(columns):
    rng = np.random.default_rng(19)
    R, t = random_views(rng, 3)
    x1, x2 = rng.uniform(-800, 800, (2, 12, 2))
    lens = np.array([0.03, 5, -3, -0.1, 0.02, 0.1, 4, 9, 0.05, -0.02])
    lens_model = refine.LensModel(np.array([1100.0, 1250.0]), np.eye(10)[:, :columns], np.ones(columns))
    p = np.tile(lens[:columns], (3, 1))
    parts = [refine.sampson_jacobian(*each, x1, x2, lens_model) for each in zip(R, t, p, strict=True)]
    r, J, tangents = (np.stack(a) for a in zip(*parts, strict=True))
    assert np.allclose(r, refine.sampson_residuals(R, t, p, x1, x2, lens_model), rtol=1e-9, atol=1e-9)
    assert np.allclose(np.einsum("mkj,mj->mk", tangents, t), 0, atol=1e-12)

    def moved(d):
        s = t + d[3] * tangents[:, 0] + d[4] * tangents[:, 1]
        s /= np.linalg.norm(s, axis=1, keepdims=True)
        return refine.sampson_residuals(g.rotation_from_vector(d[:3]) @ R, s, p + d[5:], x1, x2, lens_model)

    assert J.shape == (3, 12, 5 + columns)
    for k, step in enumerate(1e-6 * np.eye(5 + columns)):
        slope = (moved(step) - moved(-step)) / 2e-6
        assert np.abs(slope - J[..., k]).max() < 1e-6 * np.abs(J[..., k]).max(), k


def test_residuals_with_a_lens_are_those_of_its_camera():
    """The lens model is OpenCV's: ideal pixels of K, dist give the same Sampson distances."""
    rng = np.random.default_rng(20)
    (R,), (t,) = random_views(rng, 1)
    z = np.array([0.05, 7, -4, -0.06, 0.01, -0.03, -6, 3, 0.04, 0])
    focals, x1, x2 = np.array([1000.0, 1400.0]), *rng.uniform(-500, 500, (2, 30, 2))
    lens_model = refine.LensModel(focals, np.eye(10), np.ones(10))
    r = refine.sampson_residuals(R[None], t[None], z[None], x1, x2, lens_model)
    rig = []
    for f, part in zip(focals, (z[:5], z[5:]), strict=True):
        camera = Camera(np.array([[f, 0, 0], [0, f, 0], [0, 0, 1]]), (1000, 1000), source="exif")
        rig.append(lens_module.with_lens(camera, part, 0.01))
    y = [g.undistort(x, c.K, c.dist) * c.focal for x, c in zip((x1, x2), rig, strict=True)]
    F = g.fundamental_from_pose(np.diag([rig[0].focal] * 2 + [1]), np.diag([rig[1].focal] * 2 + [1]), R, t)
    assert np.allclose(np.abs(r[0]), np.abs(g.sampson(F, *y)), rtol=1e-6)


def test_kernels_of_the_sampson_distance_are_those_of_numpy():
    from stereo3d.two_view.refine_kernels import sampson_of_models

    rng = np.random.default_rng(23)
    F, x1, x2 = rng.normal(size=(4, 3, 3)), rng.normal(size=(30, 2)), rng.normal(size=(30, 2))
    assert np.allclose(sampson_of_models(F, x1, x2), g.sampson(F, x1, x2), rtol=1e-12)


def test_the_derivatives_of_a_matrix_of_rank_two_are_those_of_central_differences():
    from stereo3d.two_view import least_squares_kernels

    rng = np.random.default_rng(24)
    x1, x2 = rng.normal(size=(2, 25, 2))
    problem = least_squares_kernels.RankTwoProblem(x1, x2, 0.5, 2.0)
    U, Vt = (g.rotation_from_vector(v) for v in rng.normal(size=(2, 3)))
    state, moved = np.concatenate([U.ravel(), Vt.ravel(), [0.4]]), np.empty(19)
    r, J, A, b = np.empty(25), np.empty((25, 7)), np.empty((7, 7)), np.empty(7)
    least_squares_kernels._rank2_linearise(problem, state, r, J, A, b)
    F = U @ np.diag([np.cos(0.4), np.sin(0.4), 0]) @ Vt
    assert np.allclose(r, g.sampson(F, x1, x2), rtol=1e-10)
    weight = refine.soft_truncated(r, 0.5, 2.0)[1] / 0.5**2
    assert np.allclose(A, np.einsum("ni,n,nj->ij", J, weight, J)) and np.allclose(b, J.T @ (weight * r))
    for k, step in enumerate(1e-6 * np.eye(7)):
        ends = []
        for s in (step, -step):
            least_squares_kernels._rank2_move(state, s, moved)
            rest = moved[:9].reshape(3, 3) @ np.diag([np.cos(moved[18]), np.sin(moved[18]), 0])
            ends.append(g.sampson(rest @ moved[9:18].reshape(3, 3), x1, x2))
        assert np.allclose((ends[0] - ends[1]) / 2e-6, J[:, k], rtol=1e-5, atol=1e-6)


def test_the_kernels_damped_step_is_the_solution_of_its_equations():
    from stereo3d.two_view.least_squares_kernels import _damped_step

    J = np.random.default_rng(25).normal(size=(20, 6))
    A, b = J.T @ J, J.T @ np.ones(20)
    for damping in (0.0, 0.3):
        assert np.allclose(_damped_step(A, b, damping), -np.linalg.solve(A + damping * np.diag(np.diag(A)), b))
    assert np.array_equal(_damped_step(np.full((2, 2), np.nan), np.ones(2), 1.0), [0, 0])


def test_the_null_space_and_the_cubics_of_five_points_are_those_of_numpy():
    from stereo3d.two_view import minimal_kernels

    rng = np.random.default_rng(26)
    A = rng.normal(size=(5, 9))
    N = minimal_kernels._null_space(A.copy())
    assert np.allclose(N @ N.T, np.eye(4), atol=1e-13) and np.abs(A @ N.T).max() < 1e-13
    assert minimal_kernels._null_space(np.vstack([A[:4], A[0] + A[1]])).shape == (0, 9)
    E = rng.normal(size=(3, 3, 4))
    x, y, z = w = rng.normal(size=3)
    monomials = np.prod(w ** np.array(minimal_kernels._CUBIC), 1)
    M = E @ np.array([x, y, z, 1])
    expected = [*(M @ M.T @ M - 0.5 * np.trace(M @ M.T) * M).ravel(), np.linalg.det(M)]
    assert np.allclose(minimal_kernels._ten_cubics(E) @ monomials, expected, atol=1e-12)


def test_infinite_and_huge_residuals_cost_the_most_without_a_warning():
    r = np.array([0.0, 1.0, -1e3, 1e200, -np.inf, np.finfo(float).max])
    with np.errstate(all="raise", under="ignore"):
        rho, weight = refine.soft_truncated(r, 0.5, 2.0)
    assert rho[0] == 0 and weight[0] == pytest.approx(1, abs=1e-3)
    assert np.allclose(rho[2:], -np.log(np.exp(-8.0) / (1 + np.exp(-8.0)))) and (weight[2:] == 0).all()


def test_soft_truncated_is_a_parabola_that_ends_flat():
    r = np.linspace(-8, 8, 401)
    rho, weight = refine.soft_truncated(r, 1.5, 4.0)
    slope = np.gradient(rho, r)
    assert np.abs(slope - weight * r / 1.5**2)[1:-1].max() < 2e-3
    assert refine.soft_truncated(np.array([4.0]), 1.5, 4.0)[1] == pytest.approx(0.5)  # inlier and outlier alike
    assert rho.min() == 0 and rho[0] == pytest.approx(rho[20], rel=1e-3)
    assert refine.soft_truncated(np.array([0.1]), 1.5, 40.0)[0] == pytest.approx(0.5 * (0.1 / 1.5) ** 2)


def test_several_starts_at_once_equal_single_ones():
    matches, rig = matches_module.random_two_view(80, seed=21, motion="converging", noise=0.5)
    x1, x2 = (y * 1200 for y in normalised(matches, rig))
    rng = np.random.default_rng(21)
    R = np.stack([g.rotation_from_vector(v) for v in rng.normal(0, 0.02, (4, 3))]) @ rig.R
    t, p = np.tile(rig.t, (4, 1)), np.zeros((4, 0))
    alone = refine.pose_alone([1200.0, 1200.0])
    together = refine.adjust(R, t, p, x1, x2, alone, loss=refine.RobustLoss(1.0, 5.0))
    for k in range(4):
        single = refine.adjust(R[k : k + 1], t[k : k + 1], p[:1], x1, x2, alone, loss=refine.RobustLoss(1.0, 5.0))
        assert np.abs(single[0] - together[0][k]).max() < 1e-6 and np.abs(single[1] - together[1][k]).max() < 1e-5
    start = refine.soft_truncated(refine.sampson_residuals(R, t, p, x1, x2, alone), 1.0, 5.0)[0].sum(1)
    assert (together[3] <= start * (1 + 1e-12)).all() and together[3][0] < 0.1 * start[0]


def test_decomposed_homography_has_the_true_pose():
    rng = np.random.default_rng(22)
    for R, t in zip(*random_views(rng, 20), strict=True):
        n = rng.normal(size=3)
        H = R + np.outer(t, n / np.linalg.norm(n)) * rng.uniform(0.1, 0.9)
        found = solvers.decompose_homography(-2.5 * H)
        assert len(found) == 4
        for A, s in found:
            assert np.allclose(A @ A.T, np.eye(3), atol=1e-9) and np.linalg.det(A) > 0
            assert np.linalg.norm(s) == pytest.approx(1)
        assert min(np.abs(A - R).max() + np.abs(s - t).max() for A, s in found) < 1e-6
        theirs = cv2.decomposeHomographyMat(H=H, K=np.eye(3))[1]
        assert min(np.abs(A - theirs[0]).max() for A, _ in found) < 1e-6
    assert solvers.decompose_homography(R) == []  # a rotation alone has no plane


def test_a_dominant_plane_does_not_decide_the_pose():
    """Plane and parallax: 85 % of the matches on one plane, which two poses explain; the others determine which."""
    errors = []
    for seed in range(6):
        flat, rig = matches_module.random_two_view(340, seed=seed, motion="planar", noise=0.3)
        deep, same = matches_module.random_two_view(60, seed=seed, motion="sideways", noise=0.3)
        assert np.array_equal(rig.R, same.R) and np.array_equal(rig.t, same.t)
        both = Matches(np.concatenate([flat.x1, deep.x1]), np.concatenate([flat.x2, deep.x2]), np.ones(400))
        view = two_view.estimate_two_view(both, unposed(rig), seed=seed)
        errors.append(max(pose_errors(view.R, view.t, rig)))
        assert view.inliers.mean() > 0.97
    assert np.median(errors) < 0.3 and max(errors) < 1.0


def test_refinement_ends_at_the_truth_of_exact_matches():
    matches, rig = matches_module.random_two_view(60, seed=8, motion="converging")
    f = rig.cam1.focal
    y1, y2 = normalised(matches, rig)
    R0 = g.rotation_from_vector(np.radians([1.0, -1.5, 0.5])) @ rig.R
    t0 = g.rotation_from_vector(np.radians([2.0, 1.0, -2.0])) @ rig.t
    assert min(pose_errors(R0, t0, rig)) > 1
    R, t = two_view.refine_pose(R0, t0, y1 * f, y2 * f, f, scale=1.0)
    assert np.linalg.norm(t) == pytest.approx(1, abs=1e-12) and np.allclose(R @ R.T, np.eye(3), atol=1e-12)
    assert max(pose_errors(R, t, rig)) < 1e-6


@pytest.mark.parametrize("motion", MOTIONS)
def test_pose_of_exact_matches(motion):
    matches, rig = matches_module.random_two_view(60, seed=9, motion=motion)
    view = two_view.estimate_two_view(matches, unposed(rig))
    assert view.inliers.all() and view.inliers.dtype == bool
    assert max(pose_errors(view.R, view.t, rig)) < 1e-5
    assert np.linalg.norm(view.t) == pytest.approx(1, abs=1e-12)
    assert np.linalg.norm(view.F) == pytest.approx(1, abs=1e-12)
    assert np.linalg.svd(view.F, compute_uv=False)[2] < 1e-12
    E = rig.cam2.K.T @ view.F @ rig.cam1.K
    s = np.linalg.svd(E, compute_uv=False)
    assert s[1] / s[0] == pytest.approx(1, abs=1e-9)
    assert view.rig.R is view.R and view.rig.t is view.t and view.rig.cam1.K is rig.cam1.K
    X = estimate.sparse_points(matches, view)
    assert (X[:, 2] > 0).all() and np.abs(g.project(X, rig.cam1.K) - matches.x1).max() < 1e-3


@pytest.mark.parametrize("motion", ["sideways", "forward"])
def test_pose_no_worse_than_opencv(motion):
    """The same matches, 0.5 px of noise and 30 % outliers; medians over seeds."""
    ours, theirs = [], []
    for seed in range(9):
        matches, rig = matches_module.random_two_view(150, seed=seed, motion=motion, noise=0.5, outliers=0.3)
        view = two_view.estimate_two_view(matches, unposed(rig), seed=seed)
        ours.append(pose_errors(view.R, view.t, rig))
        E, mask = cv2.findEssentialMat(
            points1=matches.x1,
            points2=matches.x2,
            cameraMatrix=rig.cam1.K,
            method=cv2.RANSAC,
            prob=0.9999,
            threshold=1.5,
        )
        _, R, t, _ = cv2.recoverPose(
            E=E[:3], points1=matches.x1, points2=matches.x2, cameraMatrix=rig.cam1.K, mask=mask
        )
        theirs.append(pose_errors(R, t[:, 0], rig))
        x1, x2 = matches.x1[view.inliers], matches.x2[view.inliers]
        assert np.quantile(np.abs(g.sampson(true_F(rig), x1, x2)), 0.95) < 2.0
        assert 0.6 < view.inliers.mean() < 0.8
    assert (np.median(ours, 0) <= np.median(theirs, 0)).all(), (np.median(ours, 0), np.median(theirs, 0))
    assert np.median(ours, 0)[0] < 0.1 and np.median(ours, 0)[1] < 0.3


def test_equal_seeds_give_equal_poses():
    matches, rig = matches_module.random_two_view(120, seed=10, motion="converging", noise=0.5, outliers=0.4)
    a, b = (two_view.estimate_two_view(matches, unposed(rig), seed=3) for _ in range(2))
    assert np.array_equal(a.F, b.F) and np.array_equal(a.R, b.R) and np.array_equal(a.t, b.t)
    assert np.array_equal(a.inliers, b.inliers)
    c = two_view.estimate_two_view(matches, unposed(rig), seed=4)
    assert g.rotation_angle_deg(a.R.T @ c.R) < 0.05  # another seed, nearly the same pose


def test_inliers_are_near_their_epipolar_line_and_in_front_of_both_cameras():
    matches, rig = matches_module.random_two_view(200, seed=11, noise=0.5, outliers=0.3)
    view = two_view.estimate_two_view(matches, unposed(rig), threshold=1.2)
    near = np.abs(g.sampson(view.F, matches.x1, matches.x2)) < 1.2
    front = solvers.cheirality_mask(view.R, view.t, *normalised(matches, rig))
    assert np.array_equal(view.inliers, near & front)


def test_matches_that_meet_behind_the_cameras_are_no_inliers():
    """Matches on their epipolar lines whose rays meet behind: the pixels of points at negative depth."""
    matches, rig = matches_module.random_two_view(100, seed=11, motion="converging")
    X = g.hom(g.undistort(matches.x1[:20], rig.cam1.K)) * -7.0
    x2 = np.concatenate([g.project(X, rig.cam2.K, rig.R, rig.t), matches.x2])
    x1 = np.concatenate([matches.x1[:20] + 0, matches.x1])
    assert np.abs(g.sampson(true_F(rig), x1, x2)).max() < 1e-6
    for candidate in (unposed(rig), rig):
        view = two_view.estimate_two_view(Matches(x1, x2, np.ones(120)), candidate)
        assert view.inliers[20:].all() and not view.inliers[:20].any()


def test_matches_that_meet_behind_do_not_change_the_pose():
    """Forward motion: of wrong matches near their lines half meet behind a camera. Beside the fit that trusts them."""
    with_them, without = [], []
    for seed in range(8):
        matches, rig = matches_module.random_two_view(400, seed=seed, motion="forward", noise=1.0, outliers=0.6)
        view = two_view.estimate_two_view(matches, unposed(rig), seed=seed)
        without.append(max(pose_errors(view.R, view.t, rig)))
        f = rig.cam1.focal
        y1, y2 = (f * y for y in normalised(matches, rig))
        alone = refine.pose_alone([f, f])
        R, t, *_ = refine.fit_views(view.R, view.t, np.zeros(0), y1, y2, alone, threshold=1.5)
        with_them.append(max(pose_errors(R, t, rig)))
    assert np.mean(without) < 0.9 * np.mean(with_them)


def test_different_cameras_of_different_size():
    cam1 = Camera(np.array([[1000.0, 0, 490], [0, 1010, 410], [0, 0, 1]]), (1000, 800))
    cam2 = Camera(np.array([[2600.0, 0, 950], [0, 2600, 1330], [0, 0, 1]]), (1900, 2600))
    matches, rig = shot_by(cam1, cam2, seed=2)
    view = two_view.estimate_two_view(matches, unposed(rig))
    assert view.inliers.all() and max(pose_errors(view.R, view.t, rig)) < 1e-5
    assert np.abs(g.sampson(view.F, matches.x1, matches.x2)).max() < 1e-3
    noisy, _ = shot_by(cam1, cam2, seed=2, noise=0.4)
    view = two_view.estimate_two_view(noisy, unposed(rig))
    assert view.inliers.mean() > 0.95 and max(pose_errors(view.R, view.t, rig)) < 0.5


def test_lens_distortion_is_corrected():
    K = np.array([[800.0, 0, 500], [0, 800, 400], [0, 0, 1]])
    cam1 = Camera(K, (1000, 800), np.array([-0.25, 0.08, 0.001, -0.0005, -0.01]))
    cam2 = Camera(K, (1000, 800), np.array([0.12, -0.05, 0, 0.001]))
    matches, rig = shot_by(cam1, cam2, seed=3)
    view = two_view.estimate_two_view(matches, unposed(rig))
    assert view.inliers.all() and max(pose_errors(view.R, view.t, rig)) < 1e-5
    # F holds for ideal pixels, not for those of the photos
    ideal = [g.ideal_pixels(x, c.K, c.dist) for x, c in ((matches.x1, cam1), (matches.x2, cam2))]
    assert np.abs(g.sampson(view.F, *ideal)).max() < 1e-3
    assert np.abs(g.sampson(view.F, matches.x1, matches.x2)).max() > 3
    X = estimate.sparse_points(matches, view)
    assert np.abs(g.project(X, K, dist=cam1.dist) - matches.x1).max() < 1e-3
    assert np.abs(g.project(X, K, view.R, view.t, cam2.dist) - matches.x2).max() < 1e-3


def test_pixels_beyond_the_lens_model_are_neither_inliers_nor_points():
    dist = np.array([-0.3, 0, 0, 0])  # folds at 0.7 focal lengths
    cam = Camera(np.array([[500.0, 0, 500], [0, 500, 400], [0, 0, 1]]), (1000, 800), dist)
    inner = Camera(np.array([[500.0, 0, 250], [0, 500, 200], [0, 0, 1]]), (500, 400), dist)
    matches, rig = shot_by(inner, inner, n=100, seed=4)
    corner = [0.0, 0.0]  # 1.28 focal lengths from the middle
    x1 = np.concatenate([[corner, [500, 400]], matches.x1 + [250, 200]])
    x2 = np.concatenate([[[500, 400], corner], matches.x2 + [250, 200]])
    wider = Matches(x1, x2, np.ones(len(x1), np.float32))
    for R, t in ((None, None), (rig.R, rig.t)):
        view = two_view.estimate_two_view(wider, Rig(cam, cam, R, t))
        assert view.inliers[2:].all() and not view.inliers[:2].any()
        X = estimate.sparse_points(wider, view)
        assert np.isfinite(X[2:]).all() and np.isnan(X[:2]).all()


@pytest.mark.parametrize("motion", ["sideways", "converging", "forward"])
def test_a_posed_rig_only_classifies(motion):
    matches, rig = matches_module.random_two_view(150, seed=12, motion=motion, noise=0.3, outliers=0.3)
    metric = replace(rig, t=0.12 * rig.t, unit="m")
    view = two_view.estimate_two_view(matches, metric)
    assert view.R is metric.R and np.array_equal(view.t, metric.t) and view.rig is metric
    assert apart(view.F, true_F(rig)) < 1e-12
    near = np.abs(g.sampson(view.F, matches.x1, matches.x2)) < 1.5
    front = solvers.cheirality_mask(rig.R, rig.t, *normalised(matches, rig))
    assert np.array_equal(view.inliers[near & front], np.ones((near & front).sum(), bool))
    assert not view.inliers[~near].any()
    wrong = replace(rig, R=rig.R @ g.rotation_from_vector(np.radians([0, 3.0, 25])))
    with pytest.raises(StereoError) as caught:
        two_view.estimate_two_view(matches, wrong)
    assert caught.value.code == "calibration_mismatch" and caught.value.numbers["matches"] == 150


def test_far_points_of_a_posed_rig_are_inliers_on_either_side_of_infinity():
    rng = np.random.default_rng(13)
    _, rig = matches_module.random_two_view(8, seed=13)
    X = np.concatenate([rng.uniform(-0.5, 0.5, (60, 2)), np.ones((60, 1))], 1) * 1e5
    x1 = g.project(X, rig.cam1.K) + rng.normal(0, 0.2, (60, 2))
    x2 = g.project(X, rig.cam2.K, rig.R, rig.t) + rng.normal(0, 0.2, (60, 2))
    view = two_view.estimate_two_view(Matches(x1, x2, np.ones(60)), rig)
    assert view.inliers.all()
    assert not solvers.cheirality_mask(rig.R, rig.t, *normalised(Matches(x1, x2, None), rig)).all()


def guessed(rig, factor):
    """The rig as a user has it who knows nothing: focal lengths are guesses, wrong by a factor."""
    cams = []
    for camera in (rig.cam1, rig.cam2):
        K = camera.K.copy()
        K[0, 0], K[1, 1] = factor * K[0, 0], factor * K[1, 1]
        cams.append(replace(camera, K=K, source="prior"))
    return Rig(*cams)


@pytest.mark.parametrize("factor", [0.75, 1.25])
def test_a_common_focal_is_found_for_converging_photos(factor):
    matches, rig = matches_module.random_two_view(300, seed=14, motion="converging", noise=0.3, outliers=0.2)
    view = two_view.estimate_two_view(matches, guessed(rig, factor))
    for camera in (view.rig.cam1, view.rig.cam2):
        assert camera.source == "estimated" and camera.focal == pytest.approx(1200, rel=0.03)
        assert np.abs(camera.K[:2, 2] - rig.cam1.K[:2, 2]).max() < 0.005 * 1600 and abs(camera.dist[0]) < 0.01
        assert "standard error" in camera.source_detail
    assert np.array_equal(view.rig.cam1.K, view.rig.cam2.K)  # one lens
    assert 0.005 < view.focal_sigma < 0.1
    assert max(pose_errors(view.R, view.t, rig)) < 1.0


@pytest.mark.parametrize("turn", [(0, 0.3, 0.2), (0, 0, 5)])  # degrees: parallel axes, and rolled
def test_a_guessed_focal_is_kept_where_the_photos_do_not_determine_it(turn):
    camera = Camera(np.array([[1200.0, 0, 799.5], [0, 1200, 599.5], [0, 0, 1]]), (1600, 1200))
    matches, rig = shot_by(camera, camera, seed=14, noise=0.3, turn=turn)
    guess = guessed(rig, 1.25)
    view = two_view.estimate_two_view(matches, guess)
    assert view.rig.cam1 is guess.cam1 and view.rig.cam2 is guess.cam2


def test_a_turn_of_a_degree_determines_the_focal_roughly():
    camera = Camera(np.array([[1200.0, 0, 799.5], [0, 1200, 599.5], [0, 0, 1]]), (1600, 1200))
    matches, rig = shot_by(camera, camera, seed=14, noise=0.3, turn=(0.5, -0.6, 1))
    view = two_view.estimate_two_view(matches, guessed(rig, 1.25))
    assert 0.03 < view.focal_sigma < 0.2 and view.rig.cam1.source == "estimated"
    assert abs(np.log(view.rig.cam1.focal / 1200)) < 2 * view.focal_sigma


def test_a_guessed_focal_with_a_given_distortion_stays_a_guess():
    matches, rig = matches_module.random_two_view(60, seed=19, motion="converging")
    dist = np.array([-1e-4, 0, 0, 0])
    guess = Rig(*(replace(c, source="prior", dist=dist) for c in (rig.cam1, rig.cam2)))
    with np.errstate(invalid="raise"):
        view = two_view.estimate_two_view(matches, guess)
    assert view.rig.cam1.source == "prior" and view.rig.cam1.focal == rig.cam1.focal
    assert view.focal_sigma == pytest.approx(np.log(1.5))


def test_a_given_focal_is_not_estimated():
    matches, rig = matches_module.random_two_view(100, seed=14, motion="converging", noise=0.3)
    view = two_view.estimate_two_view(matches, unposed(rig))
    assert view.rig.cam1 is rig.cam1 and view.rig.cam2 is rig.cam2 and view.focal_sigma is None
    guess = guessed(rig, 0.8)  # of one camera alone; the other keeps its own
    view = two_view.estimate_two_view(matches, replace(guess, cam1=rig.cam1))
    assert view.rig.cam1 is rig.cam1 and view.rig.cam2.source == "estimated"
    assert view.rig.cam2.focal == pytest.approx(1200, rel=0.03)


@pytest.mark.parametrize("factor", [0.95, 1.05])
def test_a_focal_of_exif_moves_to_the_truth_where_the_photos_turn(factor):
    matches, rig = matches_module.random_two_view(400, seed=17, motion="converging", noise=0.3, outliers=0.2)
    exif = guessed(rig, factor)
    exif = Rig(*(replace(c, source="exif", source_detail="EXIF") for c in (exif.cam1, exif.cam2)))
    view = two_view.estimate_two_view(matches, exif)
    assert view.rig.cam1.focal == pytest.approx(1200, rel=0.02) and view.rig.cam1.source == "exif"
    assert "adjusted by" in view.rig.cam1.source_detail and view.rig.cam1.source_detail.startswith("EXIF; ")
    assert view.focal_sigma < 0.04  # never less sure than EXIF alone
    given = Rig(*(replace(c, source="given") for c in (exif.cam1, exif.cam2)))
    wrong = two_view.estimate_two_view(matches, given)
    assert max(pose_errors(view.R, view.t, rig)) < 0.5 * max(pose_errors(wrong.R, wrong.t, rig))


def test_matches_that_contradict_exif_by_far_leave_it_as_it_is():
    matches, rig = matches_module.random_two_view(300, seed=18, motion="converging", noise=0.3)
    exif = guessed(rig, 1.3)
    exif = Rig(*(replace(c, source="exif") for c in (exif.cam1, exif.cam2)))
    view = two_view.estimate_two_view(matches, exif)
    assert view.rig.cam1 is exif.cam1 and view.focal_sigma == lens_module.FOCAL_PRIOR_SIGMA["exif"]


def test_two_focals_centre_and_distortion_are_found_with_the_pose():
    K1 = np.array([[1180.0, 0, 811], [0, 1180, 590], [0, 0, 1]])
    K2 = np.array([[1560.0, 0, 1013], [0, 1560, 748], [0, 0, 1]])
    cam1 = Camera(K1, (1600, 1200), np.array([-0.08, 0, 0, 0]))
    cam2 = Camera(K2, (2000, 1500), np.array([0.05, 0, 0, 0]))
    matches, rig = shot_by(cam1, cam2, 600, seed=5, noise=0.1, turn=(4, -14, 8))
    blank = [
        Camera(np.array([[f, 0, (w - 1) / 2], [0, f, (h - 1) / 2], [0, 0, 1]]), (w, h), source="exif")
        for f, (w, h) in ((1150.0, cam1.size), (1600.0, cam2.size))
    ]
    view = two_view.estimate_two_view(matches, Rig(*blank))
    for found, camera, bend in ((view.rig.cam1, cam1, -0.08), (view.rig.cam2, cam2, 0.05)):
        assert found.focal == pytest.approx(camera.focal, rel=3 * view.focal_sigma)
        assert found.dist[0] == pytest.approx(bend, abs=0.01)
    assert max(pose_errors(view.R, view.t, rig)) < 1.0
    assert view.inliers.mean() > 0.98
    F = view.F  # it holds for ideal pixels of the cameras that are handed back
    ideal = [g.ideal_pixels(x, c.K, c.dist) for x, c in ((matches.x1, view.rig.cam1), (matches.x2, view.rig.cam2))]
    assert np.median(np.abs(g.sampson(F, *ideal))) < 0.15


def test_the_standard_error_of_the_focal_covers_a_lens_off_the_model():
    """Centres off by 0.5 % and a little distortion, which a focal alone would take for its own."""
    errors, sigmas = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        K = np.array([[1200.0, 0, 799.5 + rng.normal(0, 8)], [0, 1200, 599.5 + rng.normal(0, 8)], [0, 0, 1]])
        cam1 = Camera(K, (1600, 1200), np.array([rng.normal(0, 0.02), rng.normal(0, 0.02), 0, 0]))
        matches, _ = shot_by(cam1, cam1, 400, seed=seed, noise=0.2, turn=(0, -10, 2))
        prior = Camera(np.array([[1000.0, 0, 799.5], [0, 1000, 599.5], [0, 0, 1]]), (1600, 1200), source="prior")
        view = two_view.estimate_two_view(matches, Rig(prior, prior))
        if view.rig.cam1.source == "estimated":
            errors.append(np.log(view.rig.cam1.focal / 1200))
            sigmas.append(view.focal_sigma)
    z = np.array(errors) / sigmas
    assert len(z) >= 5 and np.sqrt(np.mean(z**2)) < 1.5 and np.abs(z).max() < 3
    assert np.median(np.abs(errors)) < 0.05


def test_too_few_matches():
    matches, rig = matches_module.random_two_view(14, seed=15)
    with pytest.raises(StereoError) as caught:
        two_view.estimate_two_view(matches, unposed(rig))
    assert caught.value.code == "few_matches" and "14" in caught.value.message and "15" in caught.value.message
    with pytest.raises(StereoError):
        two_view.estimate_two_view(matches[:0], unposed(rig))


@pytest.mark.parametrize("source", ["given", "prior"])
def test_random_matches_have_no_pose(source):
    _, rig = matches_module.random_two_view(10, seed=16)
    rng = np.random.default_rng(16)
    x1, x2 = rng.uniform(0, 1200, (2, 60, 2))
    rig = Rig(replace(rig.cam1, source=source), replace(rig.cam2, source=source))
    with pytest.raises(StereoError) as caught:
        two_view.estimate_two_view(Matches(x1, x2, np.ones(60)), rig)
    assert caught.value.code == "no_overlap" and caught.value.numbers["matches"] == 60


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": -1},
        {"threshold": 0},
        {"threshold": np.nan},
        {"threshold": np.inf},
        {"threshold": 1001},
        {"threshold": "wide"},
        {"confidence": 2},
        {"confidence": 0},
        {"confidence": np.nan},
        {"seed": 0.5},
    ],
)
@pytest.mark.parametrize("posed", [False, True])
def test_options_out_of_bounds_are_refused_by_name(options, posed):
    matches, rig = matches_module.random_two_view(30, seed=15)
    ((name, _),) = options.items()
    with pytest.raises(StereoError) as caught:
        two_view.estimate_two_view(matches, rig if posed else unposed(rig), **options)
    assert caught.value.code == "bad_option" and f"pose.{name}" in caught.value.message


def test_a_confidence_of_one_is_allowed():
    matches, rig = matches_module.random_two_view(30, seed=15)
    view = two_view.estimate_two_view(matches, unposed(rig), confidence=1)
    assert max(pose_errors(view.R, view.t, rig)) < 1e-4


def test_a_lens_fit_without_inliers_leaves_the_rig_as_it_is():
    """No match lies within the threshold of its line."""
    matches, rig = matches_module.random_two_view(40, seed=3)
    guess = guessed(rig, 1.0)
    x1, x2, _, focals = refine.centred_pixels(matches.x1, matches.x2, guess)
    model = lens_module.free_lens_model(guess, focals)
    start = lens_module.LensState(rig.R, rig.t, np.zeros(model.basis.shape[1]))
    fit = lens_fit.fit_lens([start], [], x1, x2[::-1].copy(), guess, focals, 1e-9)
    assert fit.rig is guess and not fit.accepted and fit.focal_sigma == pytest.approx(np.log(1.5))
    # and without any match the variance is that of the prior
    variance, first = lens_fit.lens_variance(start, x1[:0], x2[:0], model, 1.0)
    assert variance[0] == pytest.approx(first) == pytest.approx(model.prior_sigma[0] ** 2)


coordinates = st.one_of(
    st.floats(-50, 2000), st.sampled_from([0.0, 640.0, np.nan, np.inf, -np.inf, 1e30, -1e200, 1.7e308])
)


@settings(max_examples=tries(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(*[coordinates] * 4), min_size=0, max_size=40),
    st.integers(0, 30),
    st.sampled_from(["given", "exif", "prior", "posed", "mixed"]),
    st.sampled_from([(), (-0.2, 0.05, 0, 0)]),
)
def test_any_list_of_matches_gives_a_pose_or_a_stereo_error(rows, good, source, dist):
    exact, rig = matches_module.random_two_view(30, seed=good, motion="converging")
    x = np.concatenate([np.hstack([exact.x1, exact.x2])[:good], np.array(rows, dtype=float).reshape(-1, 4)])
    sources = ("exif", "prior") if source == "mixed" else (source, source)
    if source != "posed":
        cams = (replace(c, source=s, dist=np.array(dist)) for c, s in zip((rig.cam1, rig.cam2), sources, strict=True))
        rig = Rig(*cams)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        try:
            view = two_view.estimate_two_view(Matches(x[:, :2], x[:, 2:]), rig)
        except StereoError as error:
            assert error.code in ("few_matches", "no_overlap", "calibration_mismatch")
            return
    assert view.inliers.sum() >= two_view.MIN_INLIERS and np.isfinite(x[view.inliers]).all()
    assert np.allclose(view.R @ view.R.T, np.eye(3), atol=1e-9) and np.linalg.norm(view.t) == pytest.approx(1)
