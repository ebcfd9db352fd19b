"""Pure maths against hand values, other libraries called live, and invariants."""

import cv2
import numpy as np
import pytest
from examples import tries
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from stereo3d import geometry as g
from stereo3d.geometry import arrays, orientation, rotations
from stereo3d.geometry.texture_coordinates import pixels_of_uv, uv_of_pixels
from stereo3d.geometry.triangles import face_components, used_vertices
from stereo3d.synthetic import matches as matches_module

K = np.array([[900.0, 0, 420], [0, 880, 300], [0, 0, 1]])
# a real lens in each of OpenCV's lengths: Brown's four and five, the rational eight, thin prisms
LENSES = {
    4: [-0.21, 0.07, 0.0011, -0.0007],
    5: [-0.28, 0.09, 0.0009, -0.0004, -0.011],
    8: [0.42, 0.11, -0.0006, 0.0012, 0.013, 0.71, 0.24, 0.031],
    12: [0.42, 0.11, -0.0006, 0.0012, 0.013, 0.71, 0.24, 0.031, 0.0021, -0.0008, 0.0013, 0.0005],
}
vectors = st.tuples(*[st.floats(-3.0, 3.0)] * 3).map(np.array)


def cameras(seed, n=1):
    """Random rotations and directions of translation."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        t = rng.normal(size=3)
        yield Rotation.random(random_state=rng).as_matrix(), t / np.linalg.norm(t)


def test_homogeneous_coordinates_and_homographies():
    assert g.hom([[2, 3]]).tolist() == [[2, 3, 1]]
    assert g.hom(np.zeros((4, 5, 3))).shape == (4, 5, 4)
    H = np.array([[2, 0, 1], [0, 3, -1], [0, 0, 2.0]])  # (2x + 1)/2, (3y - 1)/2
    assert np.allclose(g.transform(H, [[1, 1], [3, 5]]), [[1.5, 1], [3.5, 7]], atol=1e-15)
    assert np.allclose(g.transform(2.0 * np.eye(4), np.array([1.0, 2, 3])), [1, 2, 3])  # points in space too


def test_skew_is_the_cross_product():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 3))
    assert np.allclose((arrays.skew(a) @ b[..., None])[..., 0], np.cross(a, b), atol=1e-15)
    assert np.allclose(arrays.skew(a), -np.swapaxes(arrays.skew(a), 1, 2))


@given(vectors)
def test_rodrigues_as_opencv_and_scipy(r):
    R = g.rotation_from_vector(r)
    assert np.allclose(R, cv2.Rodrigues(r)[0], atol=1e-9)  # OpenCV rounds small angles to none
    assert np.allclose(R, Rotation.from_rotvec(r).as_matrix(), atol=1e-13)
    assert np.allclose(R @ R.T, np.eye(3), atol=1e-13)
    assert np.linalg.det(R) == pytest.approx(1, abs=1e-12)


@given(vectors)
def test_quaternions_as_scipy(r):
    rotation = Rotation.from_rotvec(r)
    q = rotations.quaternion_from_rotation(rotation.as_matrix())
    assert q[0] >= 0 and np.linalg.norm(q) == pytest.approx(1, abs=1e-14)
    expected = rotation.as_quat()[[3, 0, 1, 2]]
    assert min(np.abs(q - expected).max(), np.abs(q + expected).max()) < 1e-9
    assert np.allclose(g.rotation_from_quaternion(5 * q), rotation.as_matrix(), atol=1e-9)


@given(vectors)
def test_the_rotation_vector_is_the_inverse(r):
    R = g.rotation_from_vector(r)
    back = rotations.rotation_vector(R)
    assert np.linalg.norm(back) <= np.pi + 1e-12
    assert np.allclose(g.rotation_from_vector(back), R, atol=1e-12)
    if np.linalg.norm(r) < 3.1:
        assert np.allclose(back, r, atol=1e-9)


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, -2, 3), (-1, -1, 0)])
@pytest.mark.parametrize("degrees", [0.0, 1e-10, 1e-5, 90, 179.999999, 180])
def test_rotations_at_the_ends_of_their_range(axis, degrees):
    n = np.array(axis) / np.linalg.norm(axis)
    R = Rotation.from_rotvec(np.radians(degrees) * n).as_matrix()
    assert g.rotation_angle_deg(R) == pytest.approx(degrees, abs=1e-12 + 1e-7 * (degrees > 179))
    r = rotations.rotation_vector(R)
    assert np.allclose(g.rotation_from_vector(r), R, atol=1e-14)
    if 0 < degrees < 179:
        assert np.allclose(r, np.radians(degrees) * n, rtol=1e-5, atol=1e-15)


def test_angles_near_zero_and_the_straight_angle():
    x = np.array([1.0, 0, 0])
    for degrees in (0.0, 1e-9, 1.0, 90.0, 180 - 1e-9, 180.0):
        a = np.radians(degrees)
        assert g.angle_deg(7 * x, 3 * np.array([np.cos(a), np.sin(a), 0])) == pytest.approx(degrees, abs=1e-13)


def test_resizing_follows_the_half_pixel_rule():
    X = np.random.default_rng(1).uniform([-1, -1, 2], [1, 1, 5], (20, 3))
    x = g.project(X, K)
    assert np.allclose(g.project(X, g.scale_K(K, 0.5)), (x + 0.5) * 0.5 - 0.5, atol=1e-12)
    assert np.allclose(g.project(X, g.scale_K(K, 2, 3)), (x + 0.5) * [2, 3] - 0.5, atol=1e-11)
    assert np.allclose(g.scale_K(g.scale_K(K, 0.3), 1 / 0.3), K, atol=1e-12)


@pytest.mark.parametrize("count", [0, *LENSES])
def test_projection_as_opencv(count):
    rng = np.random.default_rng(count)
    R, t = next(cameras(count))
    X = (rng.uniform([-2, -1.5, 3], [2, 1.5, 6], (200, 3)) - t) @ R  # before the camera
    dist = np.array(LENSES.get(count, []))
    expected = cv2.projectPoints(
        objectPoints=X, rvec=cv2.Rodrigues(R)[0], tvec=t, cameraMatrix=K, distCoeffs=dist if count else None
    )[0].reshape(-1, 2)
    assert np.allclose(g.project(X, K, R, t, dist), expected, atol=1e-9)
    assert np.allclose(g.project(X.reshape(4, 50, 3), K, R, t, dist).reshape(-1, 2), expected, atol=1e-9)


@pytest.mark.parametrize("count", LENSES)
def test_undistort_is_the_inverse(count):
    dist = np.array(LENSES[count])
    grid = np.stack(np.meshgrid(np.linspace(-0.6, 0.6, 25), np.linspace(-0.45, 0.45, 19)), -1)
    photo = g.distort(grid, dist) @ K[:2, :2].T + K[:2, 2]
    assert np.abs(g.undistort(photo, K, dist) - grid).max() < 1e-9
    precise = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 200, 1e-14)
    points = photo.reshape(-1, 1, 2)
    if hasattr(cv2, "undistortPointsIter"):  # OpenCV 4
        theirs = cv2.undistortPointsIter(src=points, cameraMatrix=K, distCoeffs=dist, R=None, P=None, criteria=precise)
    else:
        theirs = cv2.undistortPoints(src=points, cameraMatrix=K, distCoeffs=dist, criteria=precise)
    assert np.abs(g.undistort(photo, K, dist).reshape(-1, 2) - theirs.reshape(-1, 2)).max() < 1e-8


def test_without_distortion_undistort_is_linear():
    x = np.array([[420.0, 300], [1320, 300], [420, 1180]])
    for none in (None, np.zeros(0), np.zeros(5)):
        assert np.allclose(g.undistort(x, K, none), [[0, 0], [1, 0], [0, 1]], atol=1e-15)
    skewed = np.array([[900.0, 45, 420], [0, 880, 300], [0, 0, 1]])
    y = np.array([[0.3, -0.2]])
    assert np.allclose(g.undistort(g.project(g.hom(y), skewed), skewed), y, atol=1e-15)


@pytest.mark.parametrize("dist", [[-0.3, 0, 0, 0], [-0.3, 0.02, 0.001, -0.001], [-0.5, 0.1, 0, 0, 0]])
def test_undistort_is_nan_beyond_the_fold(dist):
    """The radius r (1 + k1 r^2 + k2 r^4) grows up to the fold: a pixel beyond its height has no ideal pixel."""
    r = np.linspace(0, 3, 300001)
    height = r * (1 + dist[0] * r**2 + dist[1] * r**4)
    fold = int(np.argmax(np.diff(height) < 0))
    assert 0 < fold < len(r) - 2
    turns = np.stack([np.cos(a := np.linspace(0, 2 * np.pi, 40)), np.sin(a)], -1)
    inside = np.concatenate([s * height[fold] * turns for s in (0.2, 0.6, 0.9)])
    beyond = np.concatenate([s * height[fold] * turns for s in (1.05, 1.2, 1.6, 2.5, 4.0)])
    found = g.undistort(inside @ K[:2, :2].T + K[:2, 2], K, dist)
    assert np.isfinite(found).all() and (np.linalg.norm(found, axis=1) < r[fold]).all()
    assert np.isnan(g.undistort(beyond @ K[:2, :2].T + K[:2, 2], K, dist)).all()


@pytest.mark.parametrize("count", [4, 5, 8, 12])
@pytest.mark.parametrize("shape", [(-1, 1), (1, -1)])
def test_coefficients_in_a_column_or_a_row_are_the_same_lens(count, shape):
    """OpenCV hands them out as (n, 1) or (1, n)."""
    rng = np.random.default_rng(count)
    dist = np.array(LENSES[count])
    for n in (1, 4, 5, 8, 12):  # some of these shapes would broadcast
        x = rng.uniform(-0.3, 0.3, (n, 2))
        assert np.array_equal(g.distort(x, dist.reshape(shape)), g.distort(x, dist))
        pixels = g.project(g.hom(x), K, dist=dist)
        assert np.array_equal(g.project(g.hom(x), K, dist=dist.reshape(shape)), pixels)
        assert np.array_equal(g.undistort(pixels, K, dist.reshape(shape)), g.undistort(pixels, K, dist))
    assert g.fold_radius(dist.reshape(shape)) == g.fold_radius(dist)


def test_tilted_sensors_are_those_of_opencv():
    rng = np.random.default_rng(3)
    X = np.column_stack([rng.uniform(-0.7, 0.7, (200, 2)), np.ones(200)])
    for tilt in ((0.05, 0), (0, -0.08), (0.12, -0.2)):
        for lens in (np.zeros(12), LENSES[8], LENSES[12]):
            dist = np.r_[lens, np.zeros(12 - len(lens)), tilt]
            zero = np.zeros(3)
            theirs, J = cv2.projectPoints(objectPoints=X, rvec=zero, tvec=zero, cameraMatrix=K, distCoeffs=dist)
            x = g.project(X, K, dist=dist)
            np.testing.assert_allclose(x, theirs.reshape(-1, 2), atol=1e-9)
            assert np.abs(g.undistort(x, K, dist) - X[:, :2]).max() < 1e-9
            flat = np.abs(g.untilted(x, K, dist) - g.project(X, K, dist=dist[:12])).max()
            assert flat < 1e-9 < np.abs(x - g.project(X, K, dist=dist[:12])).max()
            h = 1e-6  # the slopes by the point are those of OpenCV's own Jacobian, by its translation
            for axis in range(2):
                step = h * np.eye(3)[axis]
                slope = (g.project(X + step, K, dist=dist) - g.project(X - step, K, dist=dist)) / (2 * h)
                np.testing.assert_allclose(slope, J[:, 3 + axis].reshape(-1, 2), atol=1e-5)


def test_a_pixel_beyond_the_horizon_of_a_tilted_sensor_has_no_ray():
    dist = np.r_[np.zeros(12), 0, 0.9]
    x = np.array([[1e7, 0.0], [-1e7, 0.0], K[:2, 2]])
    assert np.isfinite(g.undistort(x, K, dist)).all(1).tolist() in ([True, False, True], [False, True, True])


def test_fourteen_coefficients_are_taken_and_other_numbers_refused():
    x, lens = np.array([[0.1, -0.2]]), LENSES[12]
    assert np.array_equal(g.distort(x, [*lens, 0, 0]), g.distort(x, lens))
    assert np.array_equal(g.distort(x, [-0.1]), g.distort(x, [-0.1, 0, 0, 0]))
    with pytest.raises(ValueError, match="tilt"):
        g.distort(x, [*lens, 1.5, 0])
    for count in (3, 6, 7, 9, 11, 13, 15):
        for function in (g.distort, lambda x, dist: g.undistort(x, K, dist)):
            with pytest.raises(ValueError, match=f"coefficients, got {count}"):
                function(x, np.full(count, 0.01))


def test_points_at_infinity_give_no_warning():
    far = np.array([[0.0, 0, 0], [1, 1, 1e-310], [1e200, 1, 1e-200], [1, 2, 4]])
    with np.errstate(all="raise", under="ignore"):
        for dist in (None, LENSES[5], LENSES[8]):
            x = g.project(far, K, dist=dist)
            assert np.isfinite(x[3]).all() and not np.isfinite(x[:3]).all(1).any()
            assert np.isnan(g.undistort([[1e200, 0]], K, LENSES[8])).all()
        assert not np.isfinite(g.transform(np.diag([1.0, 1, 0]), [[1, 2]])).any()
        H = np.array([[1.0, 0, 0], [0, 1, 0], [1, 0, 0]])  # sends x = 0 to infinity
        errors = g.homography_errors(H, np.array([[0.0, 0], [0, 1], [2, 4]]), np.array([[1.0, 1], [1, 1], [1, 2]]))
        assert errors.tolist() == [np.inf, np.inf, 0]


def test_fold_radius_by_hand():
    assert g.fold_radius([]) == g.fold_radius([0.2, 0.1, 0, 0]) == np.inf
    assert g.fold_radius([-0.3, 0, 0.01, 0]) == pytest.approx(1 / np.sqrt(0.9))  # 1 - 0.9 r^2 = 0
    assert g.fold_radius([0, 0, 0, 0, 0, -0.25, 0, 0]) == pytest.approx(2)  # the denominator's zero
    for dist in (LENSES[4], LENSES[8]):
        r = min(g.fold_radius(dist), 3) * np.linspace(0, 1, 1000)
        radial = np.r_[dist[:2], 0, 0, dist[4:]]
        assert (np.diff(g.distort(np.stack([r, 0 * r], -1), radial)[:, 0]) > 0).all()


def test_undistort_passes_nan_on():
    x = np.array([[np.nan, np.nan], [500, 400]])
    y = g.undistort(x, K, LENSES[5])
    assert np.isnan(y[0]).all() and np.isfinite(y[1]).all()


def test_normalised_points_have_centroid_zero_and_distance_root_two():
    x = np.random.default_rng(2).uniform(100, 900, (50, 2))
    y = g.transform(g.normalising_transform(x), x)
    assert np.allclose(y.mean(0), 0, atol=1e-12)
    assert np.linalg.norm(y, axis=1).mean() == pytest.approx(np.sqrt(2), abs=1e-12)
    assert np.isfinite(g.normalising_transform(np.ones((8, 2)))).all()


def test_epipolar_constraint_holds_for_true_matches():
    for motion in matches_module.MOTIONS:
        matches, rig = matches_module.random_two_view(40, seed=3, motion=motion)
        if motion == "rotation":
            continue
        F = g.fundamental_from_pose(rig.cam1.K, rig.cam2.K, rig.R, rig.t)
        assert np.linalg.norm(F) == pytest.approx(1)
        e = np.sum(g.hom(matches.x2) * (g.hom(matches.x1) @ F.T), 1)
        assert np.abs(e).max() < 1e-9
        assert np.abs(g.sampson(F, matches.x1, matches.x2)).max() < 1e-9


def test_the_essential_matrix_by_hand():
    """A step along x: y2^T [t]x y1 = 0 means that the rows are equal."""
    E = g.essential_from_pose(np.eye(3), np.array([-1.0, 0, 0]))
    assert E.tolist() == [[0, 0, 0], [0, 0, 1], [0, -1, 0]]
    # and the Sampson distance of a row difference of 1 is 1 / sqrt(2)
    assert abs(g.sampson(E, np.array([[0.3, 1.0]]), np.array([[0.1, 2.0]]))[0]) == pytest.approx(1 / np.sqrt(2))


def test_the_true_pose_is_one_of_the_four():
    for R, t in cameras(4, 20):
        E = -3.0 * g.essential_from_pose(R, t)
        four = g.decompose_essential(E)
        assert len(four) == 4
        distance = [max(np.abs(Rk - R).max(), np.abs(tk - t).max()) for Rk, tk in four]
        assert sorted(distance)[0] < 1e-12 and sorted(distance)[1] > 1e-3
        for Rk, tk in four:
            assert np.allclose(Rk @ Rk.T, np.eye(3), atol=1e-12) and np.linalg.det(Rk) > 0
            assert np.linalg.norm(tk) == pytest.approx(1)
            Ek = g.essential_from_pose(Rk, tk)
            Ek = Ek / np.linalg.norm(Ek) * np.linalg.norm(E)
            assert min(np.abs(Ek - E).max(), np.abs(Ek + E).max()) < 1e-12
        Ra, Rb, tc = cv2.decomposeEssentialMat(E=E)
        theirs = [(a, s * tc[:, 0]) for a in (Ra, Rb) for s in (1, -1)]
        for Rk, tk in four:
            assert min(np.abs(Rk - a).max() + np.abs(tk - b).max() for a, b in theirs) < 1e-9


def test_sampson_is_its_definition_and_the_first_order_distance():
    matches, rig = matches_module.random_two_view(30, seed=5, motion="converging")
    F = g.fundamental_from_pose(rig.cam1.K, rig.cam2.K, rig.R, rig.t)
    rng = np.random.default_rng(6)
    x1, x2 = (x + rng.normal(0, 0.3, x.shape) for x in (matches.x1, matches.x2))
    found = g.sampson(np.stack([F, -2 * F]), x1, x2)
    assert found.shape == (2, 30)
    assert np.allclose(found[1], -found[0], atol=1e-12)
    for i in range(30):
        a, b = np.append(x1[i], 1), np.append(x2[i], 1)
        gradient = np.r_[(F.T @ b)[:2], (F @ a)[:2]]
        e = b @ F @ a
        assert found[0, i] == pytest.approx(e / np.linalg.norm(gradient), abs=1e-12)
        assert found[0, i] ** 2 == pytest.approx(cv2.sampsonDistance(pt1=a, pt2=b, F=F), rel=1e-9)
        # the nearest pair in R^4 that satisfies the constraint, by projecting on it again and again
        z = z0 = np.r_[x1[i], x2[i]]
        for _ in range(30):
            a, b = np.append(z[:2], 1), np.append(z[2:], 1)
            n = np.r_[(F.T @ b)[:2], (F @ a)[:2]]
            z = z0 - n * (b @ F @ a + n @ (z0 - z)) / (n @ n)
        distance = np.linalg.norm(z - z0)
        assert abs(found[0, i]) == pytest.approx(distance, rel=1e-2, abs=1e-6)


@pytest.mark.parametrize("motion", [m for m in matches_module.MOTIONS if m != "rotation"])
def test_triangulation_of_exact_matches(motion):
    matches, rig = matches_module.random_two_view(60, seed=8, motion=motion)
    P1 = rig.cam1.K @ np.eye(3, 4)
    P2 = rig.cam2.K @ np.column_stack([rig.R, rig.t])
    X = g.triangulate_points(P1, P2, matches.x1, matches.x2)
    relative = 1e-9 if motion != "forward" else 1e-7  # near the epipole the rays run almost along each other
    assert np.abs(g.project(X, rig.cam1.K) - matches.x1).max() < 1e-7
    assert np.abs(g.project(X, rig.cam2.K, rig.R, rig.t) - matches.x2).max() < 1e-7
    d1, d2 = g.hom(g.undistort(matches.x1, rig.cam1.K)), g.hom(g.undistort(matches.x2, rig.cam2.K))
    z = g.intersect_rays(d1, d2, rig.R, rig.t)
    assert np.abs(z / X[:, 2] - 1).max() < relative
    assert ((z > 3.9) & (z < 10.1) if motion != "planar" else z > 0).all()  # as `random_two_view` draws them
    theirs = cv2.triangulatePoints(projMatr1=P1, projMatr2=P2, projPoints1=matches.x1.T, projPoints2=matches.x2.T)
    theirs = (theirs[:3] / theirs[3]).T
    assert np.abs(X - theirs).max() < (1e-6 if motion != "forward" else 1e-4)


def test_triangulation_of_noisy_matches_is_independent_of_the_scale_of_the_cameras():
    matches, rig = matches_module.random_two_view(40, seed=9, noise=1.0)
    P1, P2 = rig.cam1.K @ np.eye(3, 4), rig.cam2.K @ np.column_stack([rig.R, rig.t])
    X = g.triangulate_points(P1, P2, matches.x1, matches.x2)
    scaled = g.triangulate_points(1e3 * P1, -1e-3 * P2, matches.x1, matches.x2)
    assert np.allclose(X, scaled, rtol=1e-9)


def test_a_match_that_is_not_finite_does_not_affect_the_others():
    rng = np.random.default_rng(3)
    X = np.concatenate([rng.uniform(-1, 1, (6, 2)), rng.uniform(4, 6, (6, 1))], 1)
    P2 = np.column_stack([g.rotation_from_vector([0, 0.1, 0]), [-1.0, 0, 0]])
    x1, x2 = g.project(X, np.eye(3)), g.project(X, np.eye(3), P2[:, :3], P2[:, 3])
    x1[1, 0], x2[4] = np.nan, np.inf
    found = g.triangulate_points(np.eye(3, 4), P2, x1, x2)
    good = [0, 2, 3, 5]
    assert np.abs(found[good] - X[good]).max() < 1e-12
    assert np.isnan(found[[1, 4]]).all()
    assert g.triangulate_points(np.eye(3, 4), P2, np.zeros((0, 2)), np.zeros((0, 2))).shape == (0, 3)


def test_triangulation_takes_lists_and_integers():
    P1, P2 = np.eye(3, 4, dtype=int), [[1, 0, 0, -2], [0, 1, 0, 0], [0, 0, 1, 0]]
    assert np.allclose(g.triangulate_points(P1, P2, [[1, 2]], [[0, 2]]), [[2, 4, 2]])  # d = 1, b = 2: z = 2
    assert np.allclose(g.triangulate_points(P1, P2, np.array([[1, 2]]), np.array([[0, 2]])), [[2, 4, 2]])


def test_triangulation_by_hand():
    """Camera 2 one unit to the right, f = 1: x1 - x2 = 1 / z."""
    P1, P2 = np.eye(3, 4), np.column_stack([np.eye(3), [-1.0, 0, 0]])
    X = g.triangulate_points(P1, P2, [[0.25, 0.5]], [[0.0, 0.5]])
    assert np.allclose(X, [[1, 2, 4]], atol=1e-12)
    z = g.intersect_rays(np.array([0.25, 0.5, 1]), np.array([0.0, 0.5, 1]), np.eye(3), np.array([-1.0, 0, 0]))
    assert z == pytest.approx(4)


def test_skew_rays_meet_at_the_point_nearest_to_the_second():
    rng = np.random.default_rng(9)
    for R, t in cameras(10, 10):
        d1, d2 = np.append(rng.normal(size=2), 1), np.append(rng.normal(size=2), 1)
        z = g.intersect_rays(d1, d2, R, t)
        # least squares over both ray lengths: z R d1 + t = w d2
        expected = np.linalg.lstsq(np.stack([R @ d1, -d2], 1), -t, rcond=None)[0][0]
        assert z == pytest.approx(expected, rel=1e-9)


def test_parallel_rays_have_no_depth_and_diverging_ones_a_negative():
    t = np.array([-1.0, 0, 0])
    d = np.array([[0.1, 0.2, 1], [0.1, 0.2, 1]])
    z = g.intersect_rays(d, np.array([[0.1, 0.2, 1], [0.2, 0.2, 1]]), np.eye(3), t)
    assert not np.isfinite(z[0]) and z[1] == pytest.approx(-10)


@pytest.mark.parametrize("n", [4, 5, 60])
def test_homography_of_exact_matches(n):
    rng = np.random.default_rng(n)
    H = np.array([[1.1, 0.05, 20], [-0.04, 0.95, -10], [1e-4, -5e-5, 1]])
    x1 = rng.uniform(0, 800, (n, 2))
    x2 = g.transform(H, x1)
    found = g.fit_homography(x1, x2)
    assert np.linalg.norm(found) == pytest.approx(1)
    assert np.allclose(found / found[2, 2], H, rtol=1e-7, atol=1e-9)
    theirs = cv2.findHomography(srcPoints=x1, dstPoints=x2, method=0)[0]  # works on float32 pixels
    assert np.abs(g.transform(theirs, x1) - g.transform(found, x1)).max() < 1e-3
    many = g.fit_homography(np.stack([x1, x1[::-1]]), np.stack([x2, x2[::-1]]))
    assert many.shape == (2, 3, 3)
    assert np.allclose(many / many[:, 2:, 2:], H, rtol=1e-6, atol=1e-8)


def test_homography_of_many_matches_needs_little_memory():
    """Room for the unneeded square factor of the SVD would be 20,000 x 20,000 x 8 bytes = 3 GB."""
    import tracemalloc

    rng = np.random.default_rng(3)
    x1 = rng.uniform(0, 800, (10000, 2))
    tracemalloc.start()
    found = g.fit_homography(x1, x1 + [3.0, -2])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.allclose(found / found[2, 2], [[1, 0, 3], [0, 1, -2], [0, 0, 1]], atol=1e-9)
    assert peak < 50e6


def test_homography_refuses_too_few():
    with pytest.raises(ValueError, match=r"\(3, 2\)"):
        g.fit_homography(np.zeros((3, 2)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"\(5, 2\) and \(4, 2\)"):
        g.fit_homography(np.zeros((5, 2)), np.zeros((4, 2)))


@given(r=vectors, t=vectors, log_s=st.floats(-4, 4), n=st.integers(3, 30), seed=st.integers(0, 10**6))
def test_absolute_orientation_is_exact(r, t, log_s, n, seed):
    a = np.random.default_rng(seed).normal(size=(n, 3))
    R, s = g.rotation_from_vector(r), np.exp(log_s)
    b = s * a @ R.T + t
    found_s, found_R, found_t = g.absolute_orientation(a, b)
    assert found_s == pytest.approx(s, rel=1e-9)
    # three random points may be nearly collinear, which leaves the turn around their line uncertain
    size = 1e-9 if n > 3 else 1e-6
    assert np.abs(found_R - R).max() < size
    assert np.abs(found_t - t).max() < size * (1 + s)
    if n > 3:
        assert np.abs(found_s * a @ found_R.T + found_t - b).max() < 1e-9 * (1 + s)


def test_exchanged_sets_give_the_inverse_with_the_symmetric_scale():
    rng = np.random.default_rng(11)
    for R, t in cameras(12, 5):
        a = rng.normal(size=(20, 3))
        b = 2.5 * a @ R.T + t + rng.normal(0, 0.3, a.shape)  # far from exact
        s, Q, u = g.absolute_orientation(a, b)
        s_back, Q_back, u_back = g.absolute_orientation(b, a)
        assert s * s_back == pytest.approx(1, abs=1e-12)
        assert np.allclose(Q_back, Q.T, atol=1e-9)
        assert np.allclose(u_back, -Q.T @ u / s, atol=1e-9)


def test_noisy_rotation_as_scipy_with_weights_too():
    rng = np.random.default_rng(13)
    for R, t in cameras(14, 5):
        a, w = rng.normal(size=(15, 3)), rng.uniform(0.1, 3, 15)
        b = a @ R.T + t + rng.normal(0, 0.2, a.shape)
        for weights in (None, w):
            share = np.ones(15) / 15 if weights is None else w / w.sum()
            s, Q, u = g.absolute_orientation(a, b, weights=weights, scale=False)
            theirs = Rotation.align_vectors(b - share @ b, a - share @ a, weights=weights)[0].as_matrix()
            assert s == 1.0
            assert np.allclose(Q, theirs, atol=1e-7)
            assert np.allclose(u, share @ b - Q @ (share @ a), atol=1e-12)
        # the scale by its definition
        s = g.absolute_orientation(a, b, weights=w)[0]
        spread = [np.sqrt((w * ((x - w @ x / w.sum()) ** 2).sum(1)).sum()) for x in (a, b)]
        assert s == pytest.approx(spread[1] / spread[0], rel=1e-12)


def test_a_weight_of_zero_leaves_a_point_out():
    rng = np.random.default_rng(15)
    R, t = next(cameras(16))
    a = rng.normal(size=(10, 3))
    b = 1.7 * a @ R.T + t
    b[4] += 100
    w = np.ones(10)
    w[4] = 0
    s, Q, u = g.absolute_orientation(a, b, weights=w)
    assert s == pytest.approx(1.7) and np.allclose(Q, R, atol=1e-9) and np.allclose(u, t, atol=1e-9)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=tries(30))
def test_never_a_reflection(seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(8, 3))
    Q = g.absolute_orientation(a, a * [1, 1, -1])[1]
    assert np.linalg.det(Q) == pytest.approx(1, abs=1e-9)
    assert np.allclose(Q @ Q.T, np.eye(3), atol=1e-9)
    flat = a * [1, 1, 0]  # a plane is its own mirror picture: the proper rotation is exact
    R = next(cameras(seed))[0]
    assert np.allclose(g.absolute_orientation(flat, flat @ R.T)[1], R, atol=1e-7)


def test_degenerate_sets_are_refused():
    a = np.random.default_rng(17).normal(size=(6, 3))
    line = np.outer(np.arange(6.0), [1, 2, -1]) + [1e3, 5, 7]
    tiny_line = 1e-3 * np.outer(np.arange(6.0), [1, 2, -1.1]) / 3 + [1e3, 5, 7]
    for bad in (line, tiny_line, np.ones((6, 3))):
        with pytest.raises(ValueError, match="one line"):
            g.absolute_orientation(bad, a)
        with pytest.raises(ValueError, match="one line"):
            g.absolute_orientation(a, bad)
    for x, y in ((a[:2], a[:2]), (a, a[:5]), (a[:, :2], a[:, :2]), (a.ravel(), a.ravel())):
        with pytest.raises(ValueError, match="N >= 3"):
            g.absolute_orientation(x, y)


def test_quaternion_products_are_products_of_rotations():
    i, j, k = np.eye(4)[1:]
    assert (
        rotations.quaternion_product(i, j).tolist() == k.tolist()
        and rotations.quaternion_product(j, i).tolist() == (-k).tolist()
    )
    rng = np.random.default_rng(18)
    p, q = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in rng.normal(size=(2, 20, 4)))
    for a, b, c in zip(p, q, rotations.quaternion_product(p, q), strict=True):
        Ra, Rb = g.rotation_from_quaternion(a), g.rotation_from_quaternion(b)
        assert np.allclose(g.rotation_from_quaternion(c), Ra @ Rb, atol=1e-14)
        v = np.array([0, 0.3, -2, 1.1])
        turned = rotations.quaternion_product(rotations.quaternion_product(a, v), a * [1, -1, -1, -1])
        assert turned[0] == pytest.approx(0, abs=1e-14) and np.allclose(turned[1:], Ra @ v[1:], atol=1e-14)


def test_the_rotations_of_the_cube_are_a_group_and_cover_all_rotations():
    found = orientation._cube_rotations()
    matrices = {tuple(np.rint(g.rotation_from_quaternion(q)).astype(int).ravel()) for q in found}
    assert len(matrices) == 24 and all(np.abs(m).sum() == 3 for m in matrices)
    q = np.random.default_rng(19).normal(size=(2000, 4))
    near = np.abs(q @ found.T).max(1) / np.linalg.norm(q, axis=1)
    assert np.degrees(2 * np.arccos(near)).max() < 62.8  # the corner of a truncated cube, Horn 1987


@pytest.mark.parametrize("n", [8, 40])
def test_relative_orientation_finds_any_turn_without_a_start(n):
    """Rays to everywhere around, cameras turned and moved anyhow: as exact as its numbers."""
    rng = np.random.default_rng(20)
    for R, t in cameras(21, 40):
        X = rng.normal(size=(n, 3)) * 3 + rng.normal(size=3) * 5
        found_R, found_t = g.relative_orientation(X * rng.uniform(0.1, 9, (n, 1)), X @ R.T + t)
        assert g.rotation_angle_deg(found_R @ R.T) < 1e-9 and g.angle_deg(found_t, t) < 1e-9
        assert np.linalg.det(found_R) == pytest.approx(1) and np.linalg.norm(found_t) == pytest.approx(1)


def rays_of(matches, rig):
    return tuple(g.hom(x) @ np.linalg.inv(rig.cam1.K).T for x in (matches.x1, matches.x2))


@pytest.mark.parametrize("motion", [m for m in matches_module.MOTIONS if m != "rotation"])
def test_relative_orientation_of_every_motion(motion):
    for seed in range(4):
        matches, rig = matches_module.random_two_view(40, seed=seed, motion=motion)
        R, t = g.relative_orientation(*rays_of(matches, rig))
        assert g.rotation_angle_deg(R @ rig.R.T) < 1e-9 and g.angle_deg(t, rig.t) < 1e-9


def test_noisy_relative_orientation_is_no_worse_than_opencv_and_has_its_inverse():
    ours, theirs = [], []
    for seed in range(20):
        matches, rig = matches_module.random_two_view(60, seed=seed, motion="converging", noise=0.5)
        d1, d2 = rays_of(matches, rig)
        R, t = g.relative_orientation(d1, d2)
        ours.append([g.rotation_angle_deg(R @ rig.R.T), g.angle_deg(t, rig.t)])
        E, _ = cv2.findEssentialMat(
            points1=matches.x1,
            points2=matches.x2,
            cameraMatrix=rig.cam1.K,
            method=cv2.RANSAC,
            prob=0.9999,
            threshold=2.0,
        )
        _, R_cv, t_cv, _ = cv2.recoverPose(E=E[:3], points1=matches.x1, points2=matches.x2, cameraMatrix=rig.cam1.K)
        theirs.append([g.rotation_angle_deg(R_cv @ rig.R.T), g.angle_deg(t_cv.ravel(), rig.t)])
        # least squares of the same angles by scipy
        start = np.r_[rotations.rotation_vector(R), t]
        left, right = (d / np.linalg.norm(d, axis=1, keepdims=True) for d in (d1, d2))

        def angles(p, left=left, right=right):
            turned, b = left @ g.rotation_from_vector(p[:3]).T, p[3:] / np.linalg.norm(p[3:])
            spread = (np.cross(b, right) ** 2).sum(1) + (np.cross(b, turned) ** 2).sum(1)
            return (np.cross(turned, right) @ b) / np.sqrt(spread)

        best = least_squares(angles, start, xtol=1e-15, ftol=1e-15, gtol=1e-15).x
        assert g.rotation_angle_deg(g.rotation_from_vector(best[:3]) @ R.T) < 1e-5
        back_R, back_t = g.relative_orientation(d2, d1)
        assert g.rotation_angle_deg(back_R @ R) < 1e-6 and g.angle_deg(back_t, -R.T @ t) < 1e-6
    assert np.all(np.median(ours, axis=0) < np.median(theirs, axis=0))


def test_a_weight_of_zero_leaves_a_ray_out():
    matches, rig = matches_module.random_two_view(30, seed=3, motion="sideways")
    d1, d2 = rays_of(matches, rig)
    d2[5] = [0.3, -0.9, 0.2]
    w = np.ones(30)
    w[5] = 0
    R, t = g.relative_orientation(d1, d2, weights=w)
    assert g.rotation_angle_deg(R @ rig.R.T) < 1e-9 and g.angle_deg(t, rig.t) < 1e-9
    R, t = g.relative_orientation(d1, d2)
    assert g.angle_deg(t, rig.t) > 0.01


def test_five_rays_determine_a_motion_and_fewer_do_not():
    matches, rig = matches_module.random_two_view(5, seed=1, motion="sideways")
    d1, d2 = rays_of(matches, rig)
    R, t = g.relative_orientation(d1, d2)
    assert np.abs(np.sum(d2 * (d1 @ g.essential_from_pose(R, t).T), 1)).max() < 1e-9
    for a, b in ((d1[:4], d2[:4]), (d1, d2[:4]), (d1[:, :2], d2[:, :2])):
        with pytest.raises(ValueError, match="N >= 5"):
            g.relative_orientation(a, b)


def test_vertex_normals_by_hand():
    # a unit cube's corner: three faces meet at the origin, turned outwards by their order
    v = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [9, 9, 9]], float)
    f = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2]])
    n = g.vertex_normals(v, f)
    assert np.allclose(n[0], -np.ones(3) / np.sqrt(3), atol=1e-15)
    assert np.allclose(n[1], np.array([0, -1, -1]) / np.sqrt(2), atol=1e-15)
    assert n[4].tolist() == [0, 0, 0]
    # weighted by area: a face nine times as large outvotes
    v = np.array([[0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 0, 1], [1, 0, 0]], float)
    n = g.vertex_normals(v, np.array([[0, 1, 2], [0, 4, 3]]))
    assert np.allclose(n[0], np.array([0, -1, 9]) / np.sqrt(82), atol=1e-15)


def test_components_and_used_vertices_by_hand():
    # two triangles share vertex 2, a third is apart; vertices 3 and 8 have no face
    faces = np.array([[0, 1, 2], [7, 6, 5], [2, 4, 0]], np.int32)
    component = face_components(faces, 9)
    assert component[0] == component[2] != component[1]
    used, renumbered = used_vertices(faces, 9)
    assert used.tolist() == [0, 1, 2, 4, 5, 6, 7]
    assert renumbered.tolist() == [[0, 1, 2], [6, 5, 4], [2, 3, 0]]


def test_texture_coordinates_by_hand():
    corners = np.array([[-0.5, -0.5], [3.5, 1.5], [0.0, 0.0]])  # of a picture of 4 x 2 px, and its first pixel
    uv = uv_of_pixels(corners, (4, 2))
    assert uv.tolist() == [[0, 1], [1, 0], [0.125, 0.75]]
    assert pixels_of_uv(uv, (4, 2)).tolist() == corners.tolist()


def test_a_ratio_of_frames_is_that_of_lapack():
    A, B = np.random.default_rng(3).normal(size=(2, 500, 2, 2))
    expected = A @ np.linalg.inv(B)
    scale = np.abs(A).max((1, 2), keepdims=True) * np.abs(np.linalg.inv(B)).max((1, 2), keepdims=True)
    assert (np.abs(arrays.frame_ratio(A, B) - expected) <= 1e-12 * scale * np.linalg.cond(B)[:, None, None]).all()
    assert np.array_equal(arrays.frame_ratio(A[0], B)[7], arrays.frame_ratio(A[0], B[7])), "alone as among others"
