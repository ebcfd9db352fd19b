"""Focal lengths from 10 to 600 mm, their errors, intervals and rivals; truth by construction."""

from dataclasses import replace

import numpy as np
import pytest
from examples import tries
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from scipy.stats import t as student

from stereo3d import geometry as g
from stereo3d import two_view
from stereo3d.diagnosis import cameras as camera_findings
from stereo3d.diagnosis import judge
from stereo3d.errors import StereoError
from stereo3d.records import Camera, Matches, Rig, TwoView
from stereo3d.two_view import focal_profile, lens, lens_fit, refine

SIZE = (1600, 1200)
PX_PER_MM = np.hypot(*SIZE) / 43.267  # of 35 mm film


def camera(mm: float, source: str = "given") -> Camera:
    f = mm * PX_PER_MM
    return Camera(np.array([[f, 0, 799.5], [0, f, 599.5], [0, 0, 1]]), SIZE, source=source)


def about_an_object(mm, n=300, *, angle=15.0, noise=0.3, relief=0.2, distance=1.4, seed=0):
    """Matches of an object that fills the photo, from two places `angle` degrees apart; the rig, |t| = 1.

    The second camera stands 1.4 times as far: from equal distances, both looking at the middle, no focal is determined.
    """
    rng = np.random.default_rng(seed)
    cam = camera(mm)
    width = SIZE[0] / cam.focal  # of the photo at the distance 1
    X = np.concatenate([rng.uniform(-0.45, 0.45, (20 * n, 2)) * [1, 0.75], rng.uniform(-0.5, 0.5, (20 * n, 1))], 1)
    X = X * [width, width, relief * width] + [0, 0, 1]
    R = g.rotation_from_vector(np.radians([2.0, angle, 1.0]))
    t = np.array([0.1 * width, 0, distance]) - R @ [0, 0, 1.0]
    x1, x2 = g.project(X, cam.K), g.project(X, cam.K, R, t)
    seen = ((x1 > -0.5) & (x1 < np.array(SIZE) - 0.5) & (x2 > -0.5) & (x2 < np.array(SIZE) - 0.5)).all(1)
    x1, x2 = (x[seen][:n] + rng.normal(0, noise, (min(n, seen.sum()), 2)) for x in (x1, x2))
    return Matches(x1, x2, np.ones(len(x1), np.float32)), Rig(cam, cam, R, t / np.linalg.norm(t))


def guess() -> Rig:
    return Rig(camera(28, "prior"), camera(28, "prior"))


@pytest.mark.parametrize("mm", [12, 28, 85, 150, 300])
def test_the_focal_of_an_object_is_found_from_wide_to_telephoto(mm):
    matches, rig = about_an_object(mm, seed=1, noise=0.2, relief=0.6)
    view = two_view.estimate_two_view(matches, guess())
    error = abs(np.log(view.rig.cam1.focal / rig.cam1.focal))
    assert view.rig.cam1.source == "estimated" and error < max(0.03, 2 * view.focal_sigma)
    assert view.focal_range[0] <= 1 <= view.focal_range[1]
    low, high = view.focal_range
    assert low - 0.02 < rig.cam1.focal / view.rig.cam1.focal < high + 0.02
    assert g.rotation_angle_deg(view.R.T @ rig.R) < 2


def test_equal_distances_from_an_object_are_uncertain_and_say_so():
    """Both cameras look at the middle of an object from one distance: nearly any focal length fits."""
    matches, rig = about_an_object(150, seed=1, noise=0.2, distance=1.0)
    view = two_view.estimate_two_view(matches, guess())
    true = rig.cam1.focal / view.rig.cam1.focal
    assert view.focal_range[1] / view.focal_range[0] > 1.3**2
    assert camera_findings.focal_finding(view, 0.0).severity == "warning"
    assert view.focal_range[0] / 2 < true < 3 * view.focal_range[1]


def test_parallel_photos_leave_the_focal_to_the_guess_and_its_interval_is_wide():
    rng = np.random.default_rng(2)
    cam = camera(90)
    x1 = rng.uniform(0, SIZE, (600, 2))
    X = g.hom((x1 - cam.K[:2, 2]) / cam.focal) * rng.uniform(4, 10, (600, 1))
    x2 = g.project(X, cam.K, np.eye(3), np.array([-0.3, 0, 0]))
    noisy = Matches(x1 + rng.normal(0, 0.3, x1.shape), x2 + rng.normal(0, 0.3, x2.shape))
    view = two_view.estimate_two_view(noisy, guess())
    assert view.rig.cam1.source == "prior" and view.focal_sigma > 0.3
    assert view.focal_range[1] > 2
    finding = camera_findings.focal_finding(view, 0.0)
    assert finding.code == "focal_unknown" and finding.numbers["stretch"] > 1.3
    assert judge([finding], 0.5, 0.001, 300, None)[0] == "poor"


def test_the_profile_of_a_known_cost_has_its_interval():
    """A cost of (u - 1)^2 / 2 s^2 under a flat prior: the normal distribution's quantiles."""
    u = np.linspace(0.5, 1.5, 2001)
    posterior = focal_profile.FocalPosterior(u, np.exp(-0.5 * ((u - 1) / 0.05) ** 2))
    assert posterior.mode == pytest.approx(1, abs=1e-3) and posterior.rivals() == []
    assert posterior.sigma(1.0) == pytest.approx(0.05, rel=1e-3)
    assert posterior.interval() == pytest.approx(1 + 0.05 * norm.ppf([0.05, 0.95]), abs=1e-4)
    # about another place: root of the sum of squares, roughly, and never less
    assert 0.1 < posterior.sigma(1.1) < 0.13


@pytest.mark.parametrize(("height", "count"), [(0.5, 1), (0.05, 0)])
def test_a_second_minimum_is_a_rival_if_it_is_nearly_as_low(height, count):
    u = np.linspace(-1, 1, 4001)
    density = np.exp(-0.5 * ((u + 0.3) / 0.03) ** 2) + height * np.exp(-0.5 * ((u - 0.4) / 0.03) ** 2)
    rivals = focal_profile.FocalPosterior(u, density).rivals()
    assert rivals == pytest.approx([0.4] * count, abs=1e-3)
    # a shoulder without a valley is none
    density = np.exp(-0.5 * ((u + 0.3) / 0.1) ** 2) + height * np.exp(-0.5 * ((u + 0.15) / 0.1) ** 2)
    assert focal_profile.FocalPosterior(u, density).rivals() == []


def test_the_prior_of_a_guess_is_students():
    """68.27 % within a factor of 1.5, 90 % within `prior_interval`, two degrees of freedom."""
    scale = lens.GUESS_SCALE
    assert student.cdf(np.log(1.5) / scale, 2) - student.cdf(-np.log(1.5) / scale, 2) == pytest.approx(0.6827, abs=1e-3)
    assert np.log(lens.prior_interval("prior")) == pytest.approx(student.ppf([0.05, 0.95], 2) * scale, rel=1e-3)
    assert np.log(lens.prior_interval("exif")) == pytest.approx(0.05 * norm.ppf([0.05, 0.95]), rel=1e-3)
    u = np.linspace(-3, 3, 7)
    expected = student.logpdf(0, 2) - student.logpdf(u / scale, 2)
    assert lens.prior_cost("prior", u) == pytest.approx(expected, abs=1e-12)
    # the normal prior of the refinement has the same slope: u / width^2
    for at in (-1.0, 0.2, 2.0):
        slope = (lens.prior_cost("prior", np.array(at + 1e-6)) - lens.prior_cost("prior", np.array(at - 1e-6))) / 2e-6
        assert at / lens.prior_width("prior", at) ** 2 == pytest.approx(float(slope), rel=1e-6)


def test_a_held_focal_keeps_the_meaning_of_the_other_parameters():
    rng = np.random.default_rng(3)
    rig = guess()
    focals = np.array([rig.cam1.focal, rig.cam2.focal])
    model = lens.free_lens_model(rig, focals)
    p = np.array([0.3, 4.0, -3.0, 0.02, -0.01])
    R, t = g.rotation_from_vector([0.02, -0.1, 0.03]), np.array([1.0, 0, 0])
    x1, x2 = rng.uniform(-600, 600, (2, 50, 2))
    free = refine.sampson_residuals(R[None], t[None], p[None], x1, x2, model)
    held = refine.sampson_residuals(R[None], t[None], p[None, 1:], x1, x2, lens.hold_focal(model, 0.3))
    assert held == pytest.approx(free, rel=1e-9)


def test_two_different_guesses_share_a_factor():
    rig = Rig(camera(28, "prior"), replace(camera(28, "prior"), size=(1600, 1100)))
    basis = lens.free_lens_model(rig, [1000.0, 1000.0]).basis
    assert basis[[0, 5], 0].tolist() == [1, 1] and basis[[0, 5], 1].tolist() == [1, -1]
    mixed = Rig(camera(28, "exif"), camera(28, "prior"))
    model = lens.free_lens_model(mixed, [1000.0, 1000.0])
    assert model.basis[[0, 5], 0].tolist() == [0, 1]  # the one that is known worse first
    assert model.prior_sigma[5] == lens.FOCAL_PRIOR_SIGMA["exif"]


def test_errors_of_the_focal_are_as_large_as_stated():
    """Of 24 random pairs, half by EXIF wrong by up to 10 %: normal errors leave the bounds once in 500 times."""
    z = []
    for seed in range(24):
        matches, rig = about_an_object((28, 50, 100)[seed % 3], 200, seed=seed, angle=8 + seed % 7, noise=0.5)
        off = np.random.default_rng(seed).uniform(0.9, 1.1) * (28, 50, 100)[seed % 3]
        known = Rig(camera(off, "exif"), camera(off, "exif")) if seed % 2 else guess()
        view = two_view.estimate_two_view(matches, known)
        z.append(np.log(view.rig.cam1.focal / rig.cam1.focal) / view.focal_sigma)
    inside = np.abs(z) < 1
    assert 9 <= inside.sum() <= 23 and (np.abs(z) < 2).sum() >= 19 and np.abs(z).max() < 4


def viewed(**facts) -> TwoView:
    cam = camera(35, facts.pop("source", "estimated"))
    R, t = np.eye(3), np.array([-1.0, 0, 0])
    return TwoView(np.eye(3), R, t, np.ones(20, bool), Rig(cam, cam, R, t), **facts)


@pytest.mark.parametrize(
    ("spread", "source", "code", "severity", "verdict"),
    [
        ((0.95, 1.06), "estimated", "focal", "info", "good"),
        ((0.93, 1.08), "exif", "focal", "info", "good"),
        ((0.85, 1.05), "estimated", "focal", "warning", "fair"),
        ((0.7, 1.1), "estimated", "focal", "warning", "poor"),
        (None, "given", "focal", "info", "good"),
        ((0.4, 2.4), "prior", "focal_unknown", "warning", "poor"),
    ],
)
def test_the_verdict_needs_a_known_stretch_of_depth(spread, source, code, severity, verdict):
    finding = camera_findings.focal_finding(viewed(source=source, focal_sigma=0.05, focal_range=spread), 0.0)
    assert finding.code == code and finding.severity == severity
    low, high = spread or (1, 1)
    assert finding.numbers["stretch_low"] == pytest.approx(1 / high)
    assert finding.numbers["stretch_high"] == pytest.approx(1 / low)
    assert finding.numbers["stretch"] == pytest.approx(max(high, 1 / low))
    found, summary = judge([finding], 0.5, 0.001, 99, None)
    assert found == verdict
    assert ("stretched" in summary) == (severity == "warning")


def test_two_focal_lengths_are_a_finding_with_both_values():
    finding = camera_findings.focal_finding(viewed(focal_sigma=0.4, focal_range=(0.9, 2.2), focal_rivals=(2.0,)), 0.0)
    assert finding.code == "focal_ambiguous" and finding.severity == "warning"
    assert finding.numbers["rival_px"] == pytest.approx(2 * finding.numbers["focal1_px"])
    assert f"{finding.numbers['rival_px']:.0f} px" in finding.message and "--focal-35mm" in finding.advice
    assert judge([finding], 0.5, 0.001, 99, None)[0] == "poor"


def test_an_error_of_the_lens_that_is_no_parameter_raises_the_variance():
    """du / dc by refitting with c = its standard deviation, against the linear prediction."""
    matches, rig = about_an_object(35, 400, noise=0.0, relief=1.0, angle=12, distance=1.3)
    known = Rig(camera(35, "exif"), camera(35, "exif"))
    x1, x2, _, focals = refine.centred_pixels(matches.x1, matches.x2, known)
    model = lens.free_lens_model(known, focals)
    state = lens.LensState(rig.R, rig.t, np.zeros(model.basis.shape[1]))
    basis, sigma = lens.unmodelled_lens(known)
    noise, loose = 0.5, replace(model, prior_sigma=np.concatenate([[1e3], model.prior_sigma[1:]]))
    moved = 0.0
    for column, size in zip(basis.T, sigma, strict=True):
        shift = size * column
        y1, y2 = x1 + shift[1:3], x2 + shift[6:8]
        one = rig.R[None], rig.t[None], np.zeros((1, 5))
        p = refine.adjust(*one, y1, y2, loose, loss=refine.RobustLoss(noise, 100.0), max_steps=30)[2]
        moved += float(p[0, 0]) ** 2
    variance = lens_fit.lens_variance(state, x1, x2, loose, noise)[1]
    found = lens_fit.lens_doubt(state, x1, x2, loose, (basis, sigma), noise)
    assert found == pytest.approx(1 + moved / variance, rel=0.1)


@settings(max_examples=tries(25), deadline=None)
@given(
    st.sampled_from(["equal", "line", "twice", "plane", "not a number", "still"]),
    st.integers(0, 60),
    st.sampled_from(["exif", "prior", "mixed"]),
    st.integers(0, 5),
)
def test_degenerate_lists_of_matches_give_a_pose_or_a_stereo_error(kind, count, source, seed):
    rng = np.random.default_rng(seed)
    x1, x2 = rng.uniform(0, 1200, (2, count, 2))
    if kind == "equal":
        x1, x2 = np.full((2, count, 2), 300.0)
    elif kind == "line":
        x1 = np.stack([np.linspace(0, 900, count), np.full(count, 500.0)], -1)
        x2 = x1 + [5, 0]
    elif kind == "twice":
        x1[count // 2 :], x2[count // 2 :] = x1[: count - count // 2], x2[: count - count // 2]
    elif kind == "plane":
        x2 = 1.1 * x1 + [30, -4]
    elif kind == "not a number":
        x2 = x1 + [20, 0]
        x2[::3] = np.nan
    else:
        x2 = x1.copy()
    sources = ("exif", "prior") if source == "mixed" else (source, source)
    rig = Rig(camera(28, sources[0]), camera(28, sources[1]))
    try:
        view = two_view.estimate_two_view(Matches(x1, x2), rig)
    except StereoError as error:
        assert error.code in ("few_matches", "no_overlap")
        return
    assert np.isfinite(view.R).all() and np.isfinite(view.focal_sigma) and np.isfinite(view.focal_range).all()
    assert view.focal_range[0] <= view.focal_range[1]
