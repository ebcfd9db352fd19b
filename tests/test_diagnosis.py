"""What is told of a pair: good ones pass, each way of failing has its name."""

from dataclasses import replace

import numpy as np
import pytest

from stereo3d import diagnosis, synthetic
from stereo3d import geometry as g
from stereo3d.diagnosis import diagnose
from stereo3d.epipolar import estimate_two_view
from stereo3d.records import Finding, Matches, Rig, TwoView

GOOD = [motion for motion in synthetic.MOTIONS if motion not in ("planar", "rotation")]


def unposed(rig: Rig) -> Rig:
    return replace(rig, R=None, t=None)


def guessed(rig: Rig, factor: float) -> Rig:
    cams = []
    for camera in (rig.cam1, rig.cam2):
        K = camera.K.copy()
        K[0, 0], K[1, 1] = factor * K[0, 0], factor * K[1, 1]
        cams.append(replace(camera, K=K, source="prior"))
    return Rig(*cams)


def told(matches, rig) -> dict[str, Finding]:
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
    return synthetic.exact_matches(pair, 400, noise=0.05, outliers=0.1, seed=1), pair.rig


# ---------------------------------------------------------------------------------------------- good pairs


@pytest.mark.parametrize("motion", GOOD)
def test_good_pairs_have_no_warning(motion):
    matches, rig = synthetic.random_two_view(300, seed=2, motion=motion, noise=0.3, outliers=0.2)
    assert severities(told(matches, unposed(rig))) == {"info"}
    assert severities(told(matches, rig)) == {"info"}


@pytest.mark.parametrize(
    ("scene", "pose"),
    [("slanted", "handheld"), ("sphere", "handheld_vertical"), ("bars", "rectified"), ("slanted", "turned"),
     ("slanted", "forward")],
)  # fmt: skip
def test_good_scenes_have_no_error(scene, pose):
    matches, rig = shot(scene, pose=pose)
    findings = told(matches, unposed(rig))
    assert "error" not in severities(findings)
    assert not {"no_overlap", "pure_rotation", "unstable_pose"} & set(findings)


def test_the_size_of_the_photo_changes_no_verdict():
    """Pixels are measured in those of a photo of longer side 1600."""
    for motion in ("converging", "planar", "rotation"):
        codes = []
        for s in (1.0, 0.25, 3.0):
            size = (round(1600 * s), round(1200 * s))
            matches, rig = synthetic.random_two_view(
                300, seed=3, motion=motion, focal=1200 * s, size=size, noise=0.3 * s
            )
            view = estimate_two_view(matches, unposed(rig), threshold=1.5 * s)
            codes.append({f.code for f in diagnose(matches, view, unposed(rig))})
        assert codes[0] == codes[1] == codes[2]


# ------------------------------------------------------------------------------------------ degenerate pairs


@pytest.mark.parametrize("factor", [None, 1.0, 0.75, 1.3])
def test_a_pure_rotation_is_an_error_whatever_the_focal(factor):
    for matches, rig in (
        synthetic.random_two_view(300, seed=4, motion="rotation", noise=0.3, outliers=0.1),
        shot("rotation"),
    ):
        rig = unposed(rig) if factor is None else guessed(rig, factor)
        findings = told(matches, rig)
        assert findings["pure_rotation"].severity == "error"
        numbers = findings["pure_rotation"].numbers
        assert numbers["parallax_px"] < 1.5 and numbers["homography_share"] > 0.95
        if factor is None:
            assert findings["small_baseline"].severity == "warning"
        # the focal that makes the parallax go away is the true one
        assert numbers["focal_factor"] * (factor or 1) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("seed", [1, 3, 9])
def test_a_pure_rotation_is_recognised_beside_wrong_matches(seed):
    """A wrong match may lie on its epipolar line: among some 150 inliers of a turn there is often one."""
    matches, rig = synthetic.random_two_view(300, seed=seed, motion="rotation", noise=0.3, outliers=0.1)
    assert told(matches, unposed(rig))["pure_rotation"].severity == "error"


@pytest.mark.parametrize("seed", [0, 3, 5])
def test_one_plane_is_told_and_fatal_where_two_motions_explain_it(seed):
    """A warning must mean something: where no second motion is found the one that is found is right."""
    matches, rig = synthetic.random_two_view(300, seed=seed, motion="planar", noise=0.3, outliers=0.1)
    view = estimate_two_view(matches, unposed(rig))
    findings = told(matches, unposed(rig))
    wrong = g.angle_deg(view.t, rig.t)
    assert "pure_rotation" not in findings
    if findings["flat_scene"].severity == "error":
        assert findings["flat_scene"].numbers["rival_deg"] > 10
    else:
        assert wrong < 2
    known = told(matches, rig)  # with a known pose a plane is as good as anything
    assert "warning" not in severities(known) and "error" not in severities(known)


def test_one_plane_is_fatal_with_a_guessed_focal():
    for matches, rig in (
        synthetic.random_two_view(300, seed=5, motion="planar", noise=0.3, outliers=0.1),
        shot("plane"),
    ):
        findings = told(matches, guessed(rig, 1.2))
        assert findings["flat_scene"].severity == "error" and "pure_rotation" not in findings
        assert findings["flat_scene"].numbers["turn_px"] > 5, "no turn explains it, whatever the focal"


def test_a_small_baseline_is_told_with_its_angle():
    matches, rig = shot("slanted", pose="rectified", baseline=0.012)
    findings = told(matches, unposed(rig))
    finding = findings["small_baseline"]
    assert finding.severity == "warning" and f"{finding.numbers['angle_deg']:.2f} degrees" in finding.message
    # the angle between rays to points some 2 m away, 12 mm apart
    assert 0.2 < finding.numbers["angle_deg"] < 0.6
    assert "small_baseline" not in told(*shot("slanted", pose="rectified"))


def test_a_large_baseline_is_told():
    rng = np.random.default_rng(6)
    _, rig = synthetic.random_two_view(8, seed=6)
    R = g.rotation_from_vector(np.radians([0, -50.0, 0]))
    X = rng.uniform(-1, 1, (200, 3)) + [0, 0, 5]
    t = np.array([0, 0, 5.0]) - R @ np.array([0, 0, 5.0])  # 50 degrees about the middle of the points
    matches = Matches(g.project(X, rig.cam1.K), g.project(X, rig.cam2.K, R, t), np.ones(200, np.float32))
    finding = told(matches, unposed(rig))["large_baseline"]
    assert finding.severity == "warning" and finding.numbers["angle_deg"] == pytest.approx(50, abs=3)


@pytest.mark.parametrize("n", [60, 400, 2000])
def test_random_matches_have_no_overlap(n):
    """The best pose of random matches, whatever it is, has no support beyond chance."""
    rng = np.random.default_rng(7)
    _, rig = synthetic.random_two_view(8, seed=7)
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


def test_many_outliers_are_told():
    for share, severity in ((0.6, "info"), (0.8, "warning")):
        matches, rig = synthetic.random_two_view(600, seed=8, noise=0.3, outliers=share)
        finding = told(matches, unposed(rig))["many_outliers"]
        assert finding.severity == severity
        assert finding.numbers["inlier_share"] == pytest.approx(1 - share, abs=0.03)


def test_swapped_photos_are_told():
    for motion, swapped in (("sideways", False), ("swapped", True)):
        matches, rig = synthetic.random_two_view(150, seed=9, motion=motion, noise=0.3)
        findings = told(matches, unposed(rig))
        assert ("swapped" in findings) == swapped
        if swapped:
            assert findings["swapped"].severity == "info" and findings["swapped"].numbers["camera2_x"] < -0.9


# ---------------------------------------------------------------------------------------------- the cameras


def test_where_the_focal_came_from_is_told():
    matches, rig = synthetic.random_two_view(300, seed=10, motion="sideways", noise=0.3)
    known = told(matches, unposed(rig))["focal"]
    assert known.severity == "info" and "1200 px, given (synthetic)" in known.message
    level = synthetic.render("slanted", size=(320, 240), supersample=1)
    flat = synthetic.exact_matches(level, 300, noise=0.1)
    guess = told(flat, guessed(level.rig, 1.0))
    assert guess["focal_unknown"].severity == "warning" and "a guess" in guess["focal_unknown"].message
    assert "focal" not in guess
    matches, rig = synthetic.random_two_view(300, seed=10, motion="converging", noise=0.3)
    found = told(matches, guessed(rig, 1.2))["focal"]
    assert found.numbers["focal1_px"] == pytest.approx(1200, rel=0.03)
    assert "estimated from the two photos" in found.message


# ------------------------------------------------------------------------------------------ single measurements


def test_same_photo_is_motion_below_half_a_reference_pixel():
    rng = np.random.default_rng(11)
    x = rng.uniform(0, 1600, (100, 2))
    size = (1600, 1200)
    for shift, same in ((0.0, True), (0.4, True), (0.6, False), (5, False)):
        motion = diagnosis.same_photo(Matches(x, x + [shift, 0], np.ones(100)), size, size)
        assert (motion is not None) == same
        if same:
            assert motion == pytest.approx(shift, abs=1e-9)
    # of a photo four times as large half a reference pixel is two pixels
    assert diagnosis.same_photo(Matches(x, x + [1.9, 0], np.ones(100)), (6400, 4800), (6400, 4800)) is not None
    outliers = x.copy()
    outliers[:9] += 300  # nine of a hundred may be wrong
    assert diagnosis.same_photo(Matches(x, outliers, np.ones(100)), size, size) == 0
    assert diagnosis.same_photo(Matches(x, x, np.ones(100)), size, (1200, 1600)) is None
    assert diagnosis.same_photo(Matches(x[:0], x[:0], np.ones(0)), size, size) is None


def test_false_alarms_grow_rarer_with_inliers_and_precision():
    _, rig = synthetic.random_two_view(8, seed=12)
    values = []
    for outliers in (0.9, 0.7, 0.4, 0.0):
        matches, rig = synthetic.random_two_view(200, seed=12, noise=0.3, outliers=outliers)
        F = g.fundamental_from_pose(rig.cam1.K, rig.cam2.K, rig.R, rig.t)
        values.append(diagnosis.false_alarms(matches, TwoView(F, rig.R, rig.t, np.ones(200, bool), rig)))
    assert (np.diff(values) < 0).all() and values[-1] < -200
    worse = []
    for noise in (0.1, 1.0, 10.0):
        matches, rig = synthetic.random_two_view(200, seed=12, noise=noise)
        worse.append(diagnosis.false_alarms(matches, TwoView(F, rig.R, rig.t, np.ones(200, bool), rig)))
    assert (np.diff(worse) > 0).all()
    assert diagnosis.false_alarms(matches[:6], TwoView(F, rig.R, rig.t, np.ones(6, bool), rig)) == 0


def test_false_alarms_by_the_formula():
    """Seven matches at known distances, the sum of binomials written out."""
    from math import comb

    _, rig = synthetic.random_two_view(8, seed=13)
    # equal rows: Sampson distance = row difference / sqrt(2)
    F = g.essential_from_pose(np.eye(3), np.array([-1.0, 0, 0]))
    d = np.array([0.2, 0.4, 1, 2, 3, 8, 20.0])
    x1 = np.stack([np.linspace(100, 900, 7), np.full(7, 400.0)], -1)
    x2 = x1 + np.stack([0 * d + 5, d * np.sqrt(2)], -1)
    alpha = 2 * np.hypot(1600, 1200) / (1600 * 1200) * d
    expected = min(np.log10(10.0 * 2 * comb(7, k) * comb(k, 5) * alpha[k - 1] ** (k - 5)) for k in (6, 7))
    view = TwoView(F, np.eye(3), np.array([-1.0, 0, 0]), np.ones(7, bool), rig)
    assert diagnosis.false_alarms(Matches(x1, x2, np.ones(7)), view) == pytest.approx(expected, abs=1e-9)


def test_the_residual_after_the_best_homography():
    rng = np.random.default_rng(14)
    x1 = rng.uniform(0, 1000, (200, 2))
    H = np.array([[1.05, 0.02, 12], [-0.03, 0.98, -7], [2e-5, -1e-5, 1]])
    x2 = g.transform(H, x1)
    residual, share = diagnosis.homography_residual(x1, x2)
    assert residual < 1e-6 and share == 1
    x2[:60] += rng.uniform(30, 60, (60, 2))  # 30 % stand off the plane
    residual, share = diagnosis.homography_residual(x1, x2)
    assert share == pytest.approx(0.7, abs=0.01) and 30 < residual < 90
    x2 = g.transform(H, x1) + rng.normal(0, 1, x1.shape)
    residual, share = diagnosis.homography_residual(x1, x2)
    assert residual == pytest.approx(np.sqrt(-2 * np.log(0.1)), rel=0.1)  # 90 % of a Rayleigh distribution
    assert diagnosis.homography_residual(x1[:3], x2[:3]) == (float("inf"), 0.0)


def test_the_parallax_angle_by_hand():
    """One unit apart, both looking ahead; points at distance z on the middle axis: 2 atan(1 / 2z)."""
    _, rig = synthetic.random_two_view(8, seed=15)
    z = np.array([2.0, 5, 9])
    X = np.stack([0.5 + 0 * z, 0 * z, z], -1)
    view = TwoView(np.eye(3), np.eye(3), np.array([-1.0, 0, 0]), np.ones(3, bool), rig)
    angle = diagnosis.median_parallax_angle(
        g.project(X, rig.cam1.K), g.project(X, rig.cam2.K, np.eye(3), np.array([-1.0, 0, 0])), view
    )
    assert angle == pytest.approx(np.degrees(2 * np.arctan(0.5 / 5)), abs=1e-9)


def test_the_spread_of_the_direction_is_that_of_repeated_estimates():
    """Standard error against the scatter over fresh noise."""
    clean, rig = synthetic.random_two_view(120, seed=16, motion="converging")
    rng = np.random.default_rng(16)
    directions, told_spread = [], []
    for _ in range(25):
        noisy = Matches(*(x + rng.normal(0, 0.5, x.shape) for x in (clean.x1, clean.x2)), clean.score)
        view = estimate_two_view(noisy, unposed(rig))
        directions.append(view.t)
        told_spread.append(
            diagnosis.direction_spread(noisy.x1[view.inliers], noisy.x2[view.inliers], view)
        )
    error = np.array([g.angle_deg(t, rig.t) for t in directions])
    measured = np.sqrt((error**2).mean())
    assert np.median(told_spread) == pytest.approx(measured, rel=0.4)  # 25 draws of two components: 14 %
