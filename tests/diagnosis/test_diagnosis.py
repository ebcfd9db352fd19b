"""Findings: good pairs pass, each way of failing has its name."""

from dataclasses import replace

import numpy as np
import pytest

from stereo3d import diagnosis, images, synthetic, two_view
from stereo3d import geometry as g
from stereo3d.diagnosis import CameraThresholds, PairThresholds, PhotoThresholds, diagnose, statistics
from stereo3d.diagnosis import photos as photos_module
from stereo3d.errors import StereoError
from stereo3d.geometry import arrays
from stereo3d.images import read_photo
from stereo3d.images.noise import noise_level
from stereo3d.records import Finding, Matches, Photo, Rig, TwoView
from stereo3d.synthetic import matches as matches_module
from stereo3d.two_view import estimate_two_view

GOOD = [motion for motion in matches_module.MOTIONS if motion not in ("planar", "rotation")]


def unposed(rig: Rig) -> Rig:
    return replace(rig, R=None, t=None)


def guessed(rig: Rig, factor: float) -> Rig:
    cams = []
    for camera in (rig.cam1, rig.cam2):
        K = camera.K.copy()
        K[0, 0], K[1, 1] = factor * K[0, 0], factor * K[1, 1]
        cams.append(replace(camera, K=K, source="prior"))
    return Rig(*cams)


def findings_of(matches, rig) -> dict[str, Finding]:
    """Findings by code, of the pair as the whole run would see it."""
    findings = diagnose(matches, estimate_two_view(matches, rig), rig)
    for finding in findings:
        assert finding.severity in ("info", "warning", "error") and finding.message
        assert finding.advice or finding.severity == "info"
        assert all(np.isfinite(float(v)) for v in finding.numbers.values())
    assert len({f.code for f in findings}) == len(findings)
    return {f.code: f for f in findings}


def severities(findings) -> set[str]:
    return {f.severity for f in findings.values()}


def shot(scene, **options):
    """Matches of a rendered scene; 0.05 px of noise is 0.25 px of the reference size."""
    pair = synthetic.render(scene, size=(320, 240), supersample=1, **options)
    return matches_module.exact_matches(pair, 400, noise=0.05, outliers=0.1, seed=1), pair.rig


@pytest.mark.parametrize("motion", GOOD)
def test_good_pairs_have_no_warning(motion):
    matches, rig = matches_module.random_two_view(300, seed=2, motion=motion, noise=0.3, outliers=0.2)
    assert severities(findings_of(matches, unposed(rig))) == {"info"}
    assert severities(findings_of(matches, rig)) == {"info"}


@pytest.mark.parametrize(
    ("scene", "pose"),
    [
        ("slanted", "handheld"),
        ("sphere", "handheld_vertical"),
        ("bars", "rectified"),
        ("slanted", "turned"),
        ("slanted", "forward"),
    ],
)
def test_good_scenes_have_no_error(scene, pose):
    matches, rig = shot(scene, pose=pose)
    findings = findings_of(matches, unposed(rig))
    assert "error" not in severities(findings)
    assert not {"no_overlap", "pure_rotation", "unstable_pose"} & set(findings)


def test_the_size_of_the_photo_changes_no_verdict():
    """Pixels are measured in those of a photo of longer side 1600."""
    for motion in ("converging", "planar", "rotation"):
        codes = []
        for s in (1.0, 0.25, 3.0):
            size = (round(1600 * s), round(1200 * s))
            matches, rig = matches_module.random_two_view(
                300, seed=3, motion=motion, focal=1200 * s, size=size, noise=0.3 * s
            )
            view = estimate_two_view(matches, unposed(rig), threshold=1.5 * s)
            codes.append({f.code for f in diagnose(matches, view, unposed(rig))})
        assert codes[0] == codes[1] == codes[2]


@pytest.mark.parametrize("factor", [None, 1.0, 0.75, 1.3])
def test_a_pure_rotation_is_an_error_whatever_the_focal(factor):
    for matches, rig in (
        matches_module.random_two_view(300, seed=4, motion="rotation", noise=0.3, outliers=0.1),
        shot("rotation"),
    ):
        true = rig.cam1.focal
        rig = unposed(rig) if factor is None else guessed(rig, factor)
        findings = findings_of(matches, rig)
        assert findings["pure_rotation"].severity == "error"
        numbers = findings["pure_rotation"].numbers
        assert numbers["parallax_px"] < 1.5 and numbers["homography_share"] > 0.95
        if factor is None:
            assert findings["small_baseline"].severity == "warning"
        # the focal that makes the parallax go away is the true one; a turn may have determined it with the pose already
        focal = estimate_two_view(matches, rig).rig.cam1.focal
        assert numbers["focal_factor"] * focal / true == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("seed", [1, 3, 9])
def test_a_pure_rotation_is_recognised_among_wrong_matches(seed):
    """A wrong match may lie on its epipolar line: among some 150 inliers of a turn there is often one."""
    matches, rig = matches_module.random_two_view(300, seed=seed, motion="rotation", noise=0.3, outliers=0.1)
    assert findings_of(matches, unposed(rig))["pure_rotation"].severity == "error"


@pytest.mark.parametrize("seed", [0, 3, 5])
def test_one_plane_is_reported_and_fatal_where_two_motions_explain_it(seed):
    """A warning must mean something: where no second motion is found the one that is found is right."""
    matches, rig = matches_module.random_two_view(300, seed=seed, motion="planar", noise=0.3, outliers=0.1)
    view = estimate_two_view(matches, unposed(rig))
    findings = findings_of(matches, unposed(rig))
    wrong = g.angle_deg(view.t, rig.t)
    assert "pure_rotation" not in findings
    if findings["flat_scene"].severity == "error":
        assert findings["flat_scene"].numbers["rival_deg"] > 10
    else:
        assert wrong < 2
    known = findings_of(matches, rig)  # with a known pose a plane is as good as anything
    assert "warning" not in severities(known) and "error" not in severities(known)


def test_one_plane_is_fatal_with_a_guessed_focal():
    for matches, rig in (
        matches_module.random_two_view(300, seed=5, motion="planar", noise=0.3, outliers=0.1),
        shot("plane"),
    ):
        findings = findings_of(matches, guessed(rig, 1.2))
        assert findings["flat_scene"].severity == "error" and "pure_rotation" not in findings
        assert findings["flat_scene"].numbers["turn_px"] > 5, "no turn explains it, whatever the focal"


def test_a_small_baseline_is_reported_with_its_angle():
    matches, rig = shot("slanted", pose="rectified", baseline=0.012)
    findings = findings_of(matches, unposed(rig))
    finding = findings["small_baseline"]
    assert finding.severity == "warning" and f"{finding.numbers['angle_deg']:.2f} degrees" in finding.message
    # the angle between rays to points some 2 m away, 12 mm apart
    assert 0.2 < finding.numbers["angle_deg"] < 0.6
    assert "small_baseline" not in findings_of(*shot("slanted", pose="rectified"))


def test_a_large_baseline_is_reported():
    rng = np.random.default_rng(6)
    _, rig = matches_module.random_two_view(8, seed=6)
    R = g.rotation_from_vector(np.radians([0, -50.0, 0]))
    X = rng.uniform(-1, 1, (200, 3)) + [0, 0, 5]
    t = np.array([0, 0, 5.0]) - R @ np.array([0, 0, 5.0])  # 50 degrees about the middle of the points
    matches = Matches(g.project(X, rig.cam1.K), g.project(X, rig.cam2.K, R, t), np.ones(200, np.float32))
    finding = findings_of(matches, unposed(rig))["large_baseline"]
    assert finding.severity == "warning" and finding.numbers["angle_deg"] == pytest.approx(50, abs=3)


@pytest.mark.parametrize("n", [60, 400, 2000])
def test_random_matches_have_no_overlap(n):
    """The best pose of random matches, whatever it is, has no support beyond chance."""
    rng = np.random.default_rng(7)
    _, rig = matches_module.random_two_view(8, seed=7)
    x1, x2 = rng.uniform(0, 1200, (2, n, 2))
    matches = Matches(x1, x2, np.ones(n, np.float32))
    best = None
    for seed in range(30):
        R = g.rotation_from_vector(0.2 * np.random.default_rng(seed).normal(size=3))
        t = np.random.default_rng(seed + 100).normal(size=3)
        F = g.fundamental_from_pose(rig.cam1.K, rig.cam2.K, R, t)
        inliers = np.abs(g.sampson(F, x1, x2)) < 3
        if best is None or inliers.sum() > best.inliers.sum():
            best = TwoView(F, R, t / np.linalg.norm(t), inliers, replace(rig, R=R, t=t))
    findings = {f.code: f for f in diagnose(matches, best, unposed(rig))}
    assert findings["no_overlap"].severity == "error"
    assert findings["no_overlap"].numbers["log10_nfa"] > -10
    assert "many_outliers" in findings


def test_many_outliers_are_reported():
    for share, severity in ((0.6, "info"), (0.8, "warning")):
        matches, rig = matches_module.random_two_view(600, seed=8, noise=0.3, outliers=share)
        finding = findings_of(matches, unposed(rig))["many_outliers"]
        assert finding.severity == severity
        assert finding.numbers["inlier_share"] == pytest.approx(1 - share, abs=0.03)


def test_swapped_photos_are_reported():
    for motion, swapped in (("sideways", False), ("swapped", True)):
        matches, rig = matches_module.random_two_view(150, seed=9, motion=motion, noise=0.3)
        findings = findings_of(matches, unposed(rig))
        assert ("swapped" in findings) == swapped
        if swapped:
            assert findings["swapped"].severity == "info" and findings["swapped"].numbers["camera2_x"] < -0.9


def test_the_source_of_the_focal_is_reported():
    matches, rig = matches_module.random_two_view(300, seed=10, motion=GOOD[0], noise=0.3)
    known = findings_of(matches, unposed(rig))["focal"]
    assert known.severity == "info" and "1200 px, given (synthetic)" in known.message
    level = synthetic.render("slanted", size=(320, 240), supersample=1)
    flat = matches_module.exact_matches(level, 300, noise=0.1)
    guess = findings_of(flat, guessed(level.rig, 1.0))
    assert guess["focal_unknown"].severity == "warning" and "a guess" in guess["focal_unknown"].message
    assert "focal" not in guess
    matches, rig = matches_module.random_two_view(300, seed=10, motion="converging", noise=0.3)
    found = findings_of(matches, guessed(rig, 1.2))["focal"]
    assert found.numbers["focal1_px"] == pytest.approx(1200, rel=0.03)
    assert "estimated from the two photos" in found.message


def test_same_photo_is_motion_below_half_a_reference_pixel():
    rng = np.random.default_rng(11)
    x = rng.uniform(0, 1600, (100, 2))
    size = (1600, 1200)
    for shift, same in ((0.0, True), (0.4, True), (0.6, False), (5, False)):
        motion = statistics.same_photo(Matches(x, x + [shift, 0], np.ones(100)), size, size)
        assert (motion is not None) == same
        if same:
            assert motion == pytest.approx(shift, abs=1e-9)
    # of a photo four times as large half a reference pixel is two pixels
    assert statistics.same_photo(Matches(x, x + [1.9, 0], np.ones(100)), (6400, 4800), (6400, 4800)) is not None
    outliers = x.copy()
    outliers[:9] += 300  # nine of a hundred may be wrong
    assert statistics.same_photo(Matches(x, outliers, np.ones(100)), size, size) == 0
    assert statistics.same_photo(Matches(x, x, np.ones(100)), size, (1200, 1600)) is None
    assert statistics.same_photo(Matches(x[:0], x[:0], np.ones(0)), size, size) is None


def test_false_alarms_grow_rarer_with_inliers_and_precision():
    _, rig = matches_module.random_two_view(8, seed=12)
    values = []
    for outliers in (0.9, 0.7, 0.4, 0.0):
        matches, rig = matches_module.random_two_view(200, seed=12, noise=0.3, outliers=outliers)
        F = g.fundamental_from_pose(rig.cam1.K, rig.cam2.K, rig.R, rig.t)
        values.append(statistics.false_alarms(matches, TwoView(F, rig.R, rig.t, np.ones(200, bool), rig)))
    assert (np.diff(values) < 0).all() and values[-1] < -200
    worse = []
    for noise in (0.1, 1.0, 10.0):
        matches, rig = matches_module.random_two_view(200, seed=12, noise=noise)
        worse.append(statistics.false_alarms(matches, TwoView(F, rig.R, rig.t, np.ones(200, bool), rig)))
    assert (np.diff(worse) > 0).all()
    assert statistics.false_alarms(matches[:6], TwoView(F, rig.R, rig.t, np.ones(6, bool), rig)) == 0


def test_false_alarms_by_the_formula():
    """Seven matches at known distances, the sum of binomials written out."""
    from math import comb

    _, rig = matches_module.random_two_view(8, seed=13)
    # equal rows: Sampson distance = row difference / sqrt(2)
    F = g.essential_from_pose(np.eye(3), np.array([-1.0, 0, 0]))
    d = np.array([0.2, 0.4, 1, 2, 3, 8, 20.0])
    x1 = np.stack([np.linspace(100, 900, 7), np.full(7, 400.0)], -1)
    x2 = x1 + np.stack([0 * d + 5, d * np.sqrt(2)], -1)
    alpha = 2 * np.hypot(1600, 1200) / (1600 * 1200) * d
    expected = min(np.log10(10.0 * 2 * comb(7, k) * comb(k, 5) * alpha[k - 1] ** (k - 5)) for k in (6, 7))
    view = TwoView(F, np.eye(3), np.array([-1.0, 0, 0]), np.ones(7, bool), rig)
    assert statistics.false_alarms(Matches(x1, x2, np.ones(7)), view) == pytest.approx(expected, abs=1e-9)


def test_the_residual_after_the_best_homography():
    rng = np.random.default_rng(14)
    x1 = rng.uniform(0, 1000, (200, 2))
    H = np.array([[1.05, 0.02, 12], [-0.03, 0.98, -7], [2e-5, -1e-5, 1]])
    x2 = g.transform(H, x1)
    residual, share = statistics.homography_residual(x1, x2)
    assert residual < 1e-6 and share == 1
    x2[:60] += rng.uniform(30, 60, (60, 2))  # 30 % are off the plane
    residual, share = statistics.homography_residual(x1, x2)
    assert share == pytest.approx(0.7, abs=0.01) and 30 < residual < 90
    x2 = g.transform(H, x1) + rng.normal(0, 1, x1.shape)
    residual, share = statistics.homography_residual(x1, x2)
    assert residual == pytest.approx(np.sqrt(-2 * np.log(0.1)), rel=0.1)  # 90 % of a Rayleigh distribution
    assert statistics.homography_residual(x1[:3], x2[:3]) == (float("inf"), 0.0)


def test_the_parallax_angle_by_hand():
    """One unit apart, both looking ahead; points at distance z on the middle axis: 2 atan(1 / 2z)."""
    _, rig = matches_module.random_two_view(8, seed=15)
    z = np.array([2.0, 5, 9])
    X = np.stack([0.5 + 0 * z, 0 * z, z], -1)
    view = TwoView(np.eye(3), np.eye(3), np.array([-1.0, 0, 0]), np.ones(3, bool), rig)
    angle = statistics.median_parallax_angle(
        g.project(X, rig.cam1.K), g.project(X, rig.cam2.K, np.eye(3), np.array([-1.0, 0, 0])), view
    )
    assert angle == pytest.approx(np.degrees(2 * np.arctan(0.5 / 5)), abs=1e-9)


def test_the_direction_sigma_is_that_of_repeated_estimates():
    """Standard error against the scatter over fresh noise."""
    clean, rig = matches_module.random_two_view(120, seed=16, motion="converging")
    rng = np.random.default_rng(16)
    directions, sigmas = [], []
    for _ in range(25):
        noisy = Matches(*(x + rng.normal(0, 0.5, x.shape) for x in (clean.x1, clean.x2)), clean.score)
        view = estimate_two_view(noisy, unposed(rig))
        directions.append(view.t)
        sigmas.append(two_view.direction_sigma_deg(noisy.x1[view.inliers], noisy.x2[view.inliers], view))
    error = np.array([g.angle_deg(t, rig.t) for t in directions])
    measured = np.sqrt((error**2).mean())
    assert np.median(sigmas) == pytest.approx(measured, rel=0.4)  # 25 draws of two components: 14 %


def stepped(X, rig, R, t, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    x1, x2 = (x + rng.normal(0, noise, x.shape) for x in (g.project(X, rig.cam1.K), g.project(X, rig.cam2.K, R, t)))
    return Matches(x1, x2, np.ones(len(X), np.float32))


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.7])
def test_the_best_turn_has_the_true_focal(factor):
    """x2 ~ K R K^-1 x1 exactly, with K wrong by a factor: residual 0 and that factor; not so a plane."""
    _, rig = matches_module.random_two_view(8, seed=17)
    rng = np.random.default_rng(17)
    x1 = rng.uniform(0, 1200, (200, 2))
    K = rig.cam1.K * [[factor, 1, 1], [1, factor, 1], [1, 1, 1]]
    R = g.rotation_from_vector(np.radians([4.0, -9, 3]))
    residual, found = statistics.turn_residual(x1, g.transform(K @ R @ np.linalg.inv(K), x1), rig)
    assert residual < 0.1 and found == pytest.approx(factor, rel=0.01)
    H = K @ (R - np.outer([0.2, 0, 0], [0.2, 0.1, -1])) @ np.linalg.inv(K)
    assert statistics.turn_residual(x1, g.transform(H, x1), rig)[0] > 5


def test_the_second_motion_of_a_plane_is_found_and_a_deep_scene_has_none():
    """From the wrong one of the motions that OpenCV finds in the homography of a plane, the true one is the rival."""
    import cv2

    matches, rig = matches_module.random_two_view(200, seed=3, motion="planar", noise=0.3)
    H = g.fit_homography(matches.x1, matches.x2)
    _, turns, steps, _ = cv2.decomposeHomographyMat(H=H, K=rig.cam1.K)
    motions = [(R, t.ravel() / np.linalg.norm(t)) for R, t in zip(turns, steps, strict=True)]
    R, t = max(motions, key=lambda m: g.rotation_angle_deg(m[0] @ rig.R.T))
    view = TwoView(np.eye(3), R, t, np.ones(200, bool), rig)
    off, cost = two_view.rival_motion(matches.x1, matches.x2, view)
    assert cost < 1.3
    assert off == pytest.approx(max(g.rotation_angle_deg(R @ rig.R.T), g.angle_deg(t, rig.t)), abs=1.5)
    for motion in ("sideways", "forward", "converging"):
        matches, rig = matches_module.random_two_view(200, seed=3, motion=motion, noise=0.3)
        view = TwoView(np.eye(3), rig.R, rig.t, np.ones(200, bool), rig)
        assert two_view.rival_motion(matches.x1, matches.x2, view)[1] > 2


def test_points_on_a_critical_surface_do_not_determine_the_motion():
    """Points X with (R X + t)^T E' X = 0, E' the derivative of E by a small turn w and step s, see none of that change:
    a quadric through both centres. Off it they do."""
    _, rig = matches_module.random_two_view(8, seed=18)
    rng = np.random.default_rng(18)
    R, t = g.rotation_from_vector(np.array([0.02, -0.1, 0.03])), np.array([-0.98, 0.1, 0.15])
    t /= np.linalg.norm(t)
    w, s = np.array([0.3, 0.8, -0.4]), np.cross(t, [0.2, -0.5, 0.6])
    change = arrays.skew(s) @ R + arrays.skew(t) @ arrays.skew(w) @ R
    d = g.hom(g.undistort(rng.uniform(0, 1200, (3000, 2)), rig.cam1.K))
    z = -(d @ change.T @ t) / np.sum((d @ R.T) * (d @ change.T), 1)
    good = (z > 2) & (z < 12)
    on = (d * z[:, None])[good][:300]
    assert len(on) > 60
    off = on * rng.uniform(0.7, 1.4, (len(on), 1))
    seen = []
    for X in (on, off):
        view = TwoView(np.eye(3), R, t, np.ones(len(X), bool), rig)
        matches = stepped(X, rig, R, t, noise=0)
        seen.append(two_view.weakest_motion_px(matches.x1, matches.x2, view))
    assert seen[0] < 1e-4 < 0.05 < seen[1]


def test_weak_geometry_is_reported_where_the_pose_is_wrong_and_not_where_it_is_right():
    """A warning must mean something: its pairs have the larger errors."""
    _, rig = matches_module.random_two_view(8, seed=0)
    R = g.rotation_from_vector(np.radians([1, -3, 2]))
    errors = {True: [], False: []}
    for seed in range(3):
        for width, depth, step in ((2, 4, 1), (1, 2, 1), (2, 4, 0.3), (0.25, 2, 0.3), (0.25, 1, 0.3), (0.5, 0.5, 0.3)):
            rng = np.random.default_rng(seed)
            t = -R @ np.array([step, 0.1 * step, 0.1 * step])
            X = rng.uniform(-1, 1, (200, 3)) * [width, width, depth / 2] + [0, 0, 6]
            matches = stepped(X, rig, R, t, seed=seed)
            view = estimate_two_view(matches, unposed(rig))
            found = diagnose(matches, view, unposed(rig))
            errors[any(f.severity != "info" for f in found)].append(
                max(g.rotation_angle_deg(view.R @ R.T), g.angle_deg(view.t, t))
            )
    assert len(errors[True]) >= 6 and len(errors[False]) >= 6
    assert max(errors[False]) < 1 and np.median(errors[True]) > 2 * np.median(errors[False])


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.4])
def test_a_focal_that_the_matches_contradict(factor):
    matches, rig = matches_module.random_two_view(400, seed=19, motion="converging", noise=0.3)
    wrong = guessed(rig, factor)
    wrong = Rig(*(replace(c, source="given") for c in (wrong.cam1, wrong.cam2)))
    findings = findings_of(matches, wrong)
    assert ("focal_implausible" in findings) == (factor != 1)
    if factor != 1:
        assert findings["focal_implausible"].severity == "warning"
        assert findings["focal_implausible"].numbers["focal_factor"] == pytest.approx(1 / factor, rel=0.05)
    assert "lens_distortion" not in findings
    field = findings_of(
        matches, Rig(*(replace(c, K=c.K * [[20, 1, 1], [1, 20, 1], [1, 1, 1]]) for c in (rig.cam1, rig.cam2)))
    )
    assert field["focal_implausible"].numbers["field_deg"] < 10


def test_the_field_of_a_view_of_a_fisheye_is_no_sign_of_a_wrong_focal_length():
    matches, rig = matches_module.random_two_view(400, seed=19, motion="converging", noise=0.3)
    K = rig.cam1.K * [[0.2, 1, 1], [1, 0.2, 1], [1, 1, 1]]
    view = estimate_two_view(matches, rig)
    view = replace(view, rig=replace(view.rig, cam1=replace(rig.cam1, K=K), cam2=replace(rig.cam2, K=K)))
    for resampled in (False, True):
        found = [f.code for f in diagnose(matches, view, rig, resampled=resampled)]
        assert ("focal_implausible" in found) != resampled


@pytest.mark.parametrize("factor, zoom, which", [(0.5, 1, 0), (0.5, 1, 1), (1.4, 1, 1), (1.04, 1, 0), (1, 1.1, 0)])
def test_the_exif_of_one_photo_alone_may_be_wrong(factor, zoom, which):
    """The other photo's focal length and both centres follow it; `zoom`: the other lens truly is another one."""
    matches, rig = matches_module.random_two_view(500, seed=19, motion="converging", noise=0.2)
    x, c = [matches.x1, matches.x2], rig.cam1.K[:2, 2]
    x[1 - which] = c + zoom * (x[1 - which] - c)
    cams = [replace(guessed(rig, factor).cam1, source="exif"), replace(guessed(rig, 0.8).cam1, source="prior")]
    rig = Rig(*cams[:: 1 - 2 * which])
    matches = Matches(*x)
    view = estimate_two_view(matches, rig)
    assert {view.rig.cam1.source, view.rig.cam2.source} == {"exif", "estimated"}
    found = {f.code: f for f in diagnose(matches, view, rig)}
    assert ("focal_implausible" in found) == (abs(factor - 1) > 0.1)
    if abs(factor - 1) > 0.1:
        finding = found["focal_implausible"]
        assert finding.severity == "warning" and ("first", "second")[which] in finding.message
        assert finding.numbers["focal_factor"] == pytest.approx(1 / factor, rel=0.1)


@pytest.mark.parametrize("k1", [-0.12, 0.0, 0.1])
def test_a_bent_lens_is_suspected(k1):
    matches, rig = matches_module.random_two_view(500, seed=20, motion="converging")
    rng = np.random.default_rng(20)
    lens = np.array([k1, 0, 0, 0])
    bent = (g.project(g.hom(g.undistort(x, rig.cam1.K)), rig.cam1.K, dist=lens) for x in (matches.x1, matches.x2))
    bent = Matches(*(x + rng.normal(0, 0.3, x.shape) for x in bent), matches.score)
    findings = findings_of(bent, unposed(rig))
    assert ("lens_distortion" in findings) == (k1 != 0)
    if k1:
        finding = findings["lens_distortion"]
        half = np.hypot(1600, 1200) / 2
        expected = half * k1 * (half / 1200) ** 2
        assert finding.severity == "info" and finding.numbers["corner_px"] == pytest.approx(expected, rel=0.5)


def test_a_moving_object_is_reported_and_scattered_outliers_are_not():
    matches, rig = matches_module.random_two_view(500, seed=21, motion=GOOD[0], noise=0.3)
    scattered, _ = matches_module.random_two_view(500, seed=21, motion=GOOD[0], noise=0.3, outliers=0.3)
    assert "moving_objects" not in findings_of(scattered, unposed(rig))
    inside = np.all(np.abs(matches.x1 - [800, 500]) < 220, axis=1)
    x2 = matches.x2.copy()
    x2[inside] = matches.x1[inside] + [40, 120]
    findings = findings_of(Matches(matches.x1, x2, matches.score), unposed(rig))
    numbers = findings["moving_objects"].numbers
    assert inside.sum() >= 25 and numbers["matches"] == pytest.approx(inside.sum(), rel=0.35)
    assert abs(numbers["x"] - 800) < 120 and abs(numbers["y"] - 500) < 120


def test_turned_photos_and_photos_of_different_scale_are_reported():
    matches, rig = matches_module.random_two_view(300, seed=22, motion="turned", noise=0.3)
    finding = findings_of(matches, unposed(rig))["turned"]
    assert finding.severity == "info" and abs(finding.numbers["roll_deg"]) == pytest.approx(90, abs=8)
    rng = np.random.default_rng(22)
    _, rig = matches_module.random_two_view(8, seed=22)
    X = rng.uniform(-1, 1, (300, 3)) + [0, 0, 8]
    R = g.rotation_from_vector(np.radians([1, -6, 2]))
    findings = findings_of(stepped(X, rig, R, -R @ np.array([0.8, 0.1, 4.6])), unposed(rig))
    assert findings["different_scale"].numbers["scale"] == pytest.approx(8 / 3.4, rel=0.15)
    assert findings["different_scale"].severity == "warning" and "second photo" in findings["different_scale"].message


@pytest.fixture(scope="module")
def photos():
    pair = synthetic.render("slanted", size=(640, 480), noise=1.0, supersample=2)
    return pair, matches_module.exact_matches(pair, 300, seed=2)


def photo_codes(left, right, matches) -> dict[str, Finding]:
    return {f.code: f for f in diagnosis.photo_findings(left, right, matches)}


def test_good_photos_have_no_finding(photos):
    pair, matches = photos
    assert photo_codes(pair.left, pair.right, matches) == {}


@pytest.mark.parametrize("kind", ["focus", "shake"])
def test_blur_is_reported(photos, kind):
    import cv2

    pair, matches = photos
    pixels = pair.right.pixels
    blurred = cv2.GaussianBlur(pixels, (0, 0), 2.5) if kind == "focus" else cv2.blur(pixels, (15, 1))
    finding = photo_codes(pair.left, Photo(blurred), matches)["blur"]
    assert finding.severity == "warning" and "second photo" in finding.message


def test_unequal_blur_is_reported_where_equal_blur_is_not(photos):
    """1.4 px: of both photos it costs half of the depth's precision, of one alone four fifths."""
    import cv2

    pair, matches = photos
    soft = [Photo(cv2.GaussianBlur(p.pixels, (0, 0), 1.4)) for p in (pair.left, pair.right)]
    assert "blur" not in photo_codes(*soft, matches)
    for left, right, name in ((soft[0], pair.right, "first"), (pair.left, soft[1], "second")):
        finding = photo_codes(left, right, matches)["blur"]
        assert f"the {name} photo" in finding.message and 1.0 < finding.numbers["apart_px"] < 1.6


@pytest.mark.parametrize("sigma", [1.2, 2.0, 3.0])
def test_the_width_of_the_blur_of_a_step(sigma):
    """An ideal edge blurred by a Gaussian: its own standard deviation, without noise."""
    import cv2

    step = np.where(np.arange(400) % 100 < 50, 60.0, 190.0)
    checks = np.where((step[None] > 100) ^ (step[:, None] > 100), 60, 190).astype(np.float32)
    blurred = cv2.GaussianBlur(checks, (0, 0), sigma)
    assert photos_module.blur_width(blurred) == pytest.approx(sigma, rel=0.25)


@pytest.mark.parametrize("sigma", [1.0, 3.0, 10.0, 25.0])
def test_noise_is_measured_independently_of_texture(sigma):
    """On a ramp and the checks of a board that is out of focus, with black and white that cut the noise off."""
    import cv2

    rng = np.random.default_rng(3)
    shown = np.full((360, 480), 128.0) + np.linspace(-60, 60, 480)
    shown[:120, :160] = cv2.GaussianBlur(rng.uniform(-300, 600, (120, 160)), (0, 0), 1.2)
    shown[240:, :120], shown[240:, 120:240] = 0, 255
    noisy = np.clip(np.rint(shown + rng.normal(0, sigma, shown.shape)), 0, 255).astype(np.uint8)
    rounding = 1 / np.sqrt(12)
    assert noise_level(noisy) == pytest.approx(np.hypot(sigma, rounding), rel=0.08)


def test_texture_is_no_noise():
    """What a lens draws: white patterns blurred by the least that it blurs, and the mean over a pixel."""
    import cv2

    for width in (0.7, 1.0, 2.0):
        fine = np.random.default_rng(4).normal(128, 400, (1200, 1200))
        pattern = cv2.resize(
            cv2.GaussianBlur(fine, (0, 0), 4 * width), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA
        )
        assert np.std(pattern) > 12 and noise_level(np.clip(pattern, 20, 235).astype(np.uint8)) < 1.5
    assert noise_level(np.zeros((10, 500), np.uint8)) == noise_level(np.full((99, 99), 255)) == 0


def test_noise_is_reported(photos):
    pair, matches = photos
    rng = np.random.default_rng(5)
    for sigma, sought, known in ((3, False, False), (10, True, False), (20, True, True)):
        right = Photo(
            np.clip(np.rint(pair.right.pixels + rng.normal(0, sigma, pair.right.pixels.shape)), 0, 255).astype(np.uint8)
        )
        for focal_sought, wanted in ((True, sought), (False, known)):
            findings = diagnosis.photo_findings(pair.left, right, matches, focal_sought=focal_sought)
            noise = [f for f in findings if f.code == "noise"]
            assert len(noise) == wanted, (sigma, focal_sought)
            if noise:
                assert noise[0].severity == "warning" and "second photo" in noise[0].message
                assert ("focal" in noise[0].message) == ("--focal-35mm" in noise[0].advice) == focal_sought


@pytest.mark.real_data
def test_real_photos_have_no_noise(shared_data):
    """Cloth and leaves all over, and the photos of an old compact camera."""
    scenes = [shared_data / "disparity" / s / "left.png" for s in ("Cloth1", "Aloe_half", "cones", "Dolls", "tsukuba")]
    for path in [*scenes, shared_data / "photos" / "kermit" / "kermit001.jpg"]:
        assert noise_level(images.reduced_grey(read_photo(path), 1600)[0]) < 1, path.name


def test_exposure_is_reported(photos):
    pair, matches = photos
    dark = Photo((pair.left.pixels * 0.45).astype(np.uint8))
    finding = photo_codes(dark, pair.right, matches)["different_exposure"]
    assert finding.severity == "info" and finding.numbers["ratio"] == pytest.approx(1 / 0.45, rel=0.1)
    burnt = Photo(np.clip(pair.left.pixels.astype(int) * 4, 0, 255).astype(np.uint8))
    finding = photo_codes(burnt, pair.right, matches)["bad_exposure"]
    white = (burnt.pixels > 251).all(-1).mean()
    assert finding.severity == "warning" and finding.numbers["clipped_share"] == pytest.approx(white, abs=0.03)


def test_a_photo_almost_without_contrast_is_reported(photos):
    pair, matches = photos
    dim = Photo((pair.right.pixels * 0.1).astype(np.uint8))
    found = photo_codes(pair.left, dim, matches)
    finding = found["low_contrast"]
    assert "bad_exposure" not in found
    assert finding.severity == "warning" and "second photo" in finding.message
    whole = np.ptp(np.quantile(pair.right.pixels.mean(-1), [0.01, 0.99]))
    assert finding.numbers["grey_range"] == pytest.approx(0.1 * whole, abs=3)


def test_a_pattern_that_repeats_is_reported(photos):
    pair, matches = photos
    tile = pair.left.pixels[100:148, 200:248]
    pattern = Photo(np.tile(tile, (10, 14, 1))[:480, :640])
    finding = photo_codes(pattern, pattern, matches)["repeated_texture"]
    assert finding.severity == "info" and finding.numbers["repeated_share"] > 0.9


@pytest.mark.parametrize("options", [{"max_size": 0}, {"max_size": np.nan}, {"max_size": "big"}, {"focal_sought": 2}])
def test_options_of_the_photos_out_of_bounds_are_refused_by_name(photos, options):
    pair, _ = photos
    ((name, _),) = options.items()
    with pytest.raises(StereoError) as caught:
        diagnosis.photo_findings(pair.left, pair.right, Matches(np.zeros((0, 2)), np.zeros((0, 2))), **options)
    assert caught.value.code == "bad_option" and f"photos.{name}" in caught.value.message


def test_matches_that_a_homography_sends_to_infinity_have_a_finite_residual():
    rng = np.random.default_rng(0)
    x1 = rng.uniform(0, 1000, (40, 2))
    x1[:20, 0] = 0.0
    H = np.array([[1.0, 0, 0], [0, 1, 0], [1e-3, 0, 0]])  # the line x = 0 goes to infinity
    x2 = g.transform(H, x1)
    x2[:20] = rng.uniform(0, 1000, (20, 2))
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        residual, share = statistics.homography_residual(x1, x2)
    assert np.isfinite(residual) and residual > 1000 and share == pytest.approx(0.5, abs=0.05)


def test_a_line_far_from_its_match_does_not_overflow_the_number_of_false_alarms():
    matches, rig = matches_module.random_two_view(30, seed=0)
    view = estimate_two_view(matches, unposed(rig))
    small = replace(view, rig=replace(view.rig, cam2=replace(view.rig.cam2, size=(1, 1))))
    x2 = matches.x2.copy()
    x2[3] = np.nan  # as of a pixel that no lens shows: infinitely far
    with np.errstate(over="raise"):
        assert np.isfinite(statistics.false_alarms(Matches(matches.x1, x2), small))


def test_thresholds_of_a_pair_can_be_passed_in():
    matches, rig = matches_module.random_two_view(300, seed=1, motion=GOOD[0], noise=0.3, outliers=0.1)
    view = estimate_two_view(matches, rig)
    usual = {f.code for f in diagnosis.diagnose(matches, view, rig)}
    strict = diagnosis.diagnose(
        matches,
        view,
        rig,
        limits=PairThresholds(min_matches=1000, min_angle=90, outliers_share=2),
        camera_limits=CameraThresholds(diagonal_fields=(170, 175)),
    )
    assert {f.code for f in strict} - usual >= {"few_matches", "small_baseline", "many_outliers", "focal_implausible"}


def test_thresholds_of_the_photos_can_be_passed_in(photos):
    pair, matches = photos
    strict = PhotoThresholds(max_blur=0, max_noise=-1, max_clipped=-1, max_gain=0, max_repeated=-1)
    found = {f.code for f in diagnosis.photo_findings(pair.left, pair.right, matches, strict)}
    assert found == {"blur", "noise", "bad_exposure", "different_exposure", "repeated_texture"}
