"""The robust estimator on lines y = a x + b: the models are (M, 2), the data points in the plane."""

import numpy as np
import pytest

from stereo3d.geometry import RobustProblem, ransac, truncated_squares

TRUE = np.array([0.7, 12.0])
SIGMA = 0.3


def points(n, share, seed, sigma=SIGMA):
    """n points, `share` of them on the line with noise, the rest anywhere; and which are which."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 100, n)
    good = rng.permutation(n) < round(share * n)
    y = np.where(good, TRUE[0] * x + TRUE[1] + rng.normal(0, sigma, n), rng.uniform(-100, 200, n))
    return np.stack([x, y], -1), good


def line(data, calls=None, **options):
    def propose(samples):
        if calls is not None:
            calls.append(samples)
        (x0, y0), (x1, y1) = data[samples[:, 0]].T, data[samples[:, 1]].T
        a = (y1 - y0) / (x1 - x0)
        return np.stack([a, y0 - a * x0], -1)

    def residuals(models, which):
        return data[which, 1] - models[:, :1] * data[which, 0] - models[:, 1:]

    problem = RobustProblem(len(data), 2, propose, residuals, options.pop("refine", None))
    return ransac(problem, **{"threshold": 1.0} | options)


def least_squares(data):
    return lambda _, agree: np.polyfit(data[agree, 0], data[agree, 1], 1)


@pytest.mark.parametrize("share", [1.0, 0.6, 0.25])
def test_finds_the_line_among_outliers(share):
    data, good = points(400, share, seed=1)
    found = line(data, refine=least_squares(data))
    near = np.abs(data[:, 1] - TRUE[0] * data[:, 0] - TRUE[1]) < 0.5
    assert found.inliers[near].all()
    expected = np.polyfit(data[found.inliers, 0], data[found.inliers, 1], 1)
    assert np.allclose(found.model, expected, atol=0.02)
    assert np.allclose(found.model, TRUE, atol=[0.01, 0.4])
    r = data[:, 1] - found.model[0] * data[:, 0] - found.model[1]
    assert np.array_equal(found.inliers, np.abs(r) < 1)
    assert found.cost == pytest.approx(np.minimum(r**2, 1).mean(), rel=1e-12)  # the MSAC cost, by its definition
    assert good[found.inliers].mean() > 0.9


def test_perfect_data_cost_nothing():
    data, _ = points(50, 1.0, seed=2, sigma=0)
    found = line(data)
    assert found.cost < 1e-20 and found.inliers.all() and np.allclose(found.model, TRUE)
    assert found.samples == 32  # one batch is plenty


def test_equal_seeds_give_equal_results_and_others_other_samples():
    data, _ = points(300, 0.4, seed=3)
    calls = [[], [], []]
    results = [line(data, c, seed=seed) for c, seed in zip(calls, (5, 5, 6), strict=True)]
    assert np.array_equal(results[0].model, results[1].model) and results[0].samples == results[1].samples
    assert np.array_equal(results[0].inliers, results[1].inliers)
    assert np.array_equal(calls[0][0], calls[1][0])
    assert not np.array_equal(calls[0][0], calls[2][0])


def test_samples_are_distinct_and_reach_every_index():
    data, _ = points(30, 0.0, seed=4)
    calls = []
    line(data, calls, max_samples=640)
    drawn = np.concatenate(calls)
    assert drawn.shape == (640, 2)
    assert (drawn[:, 0] != drawn[:, 1]).all()
    counts = np.bincount(drawn.ravel(), minlength=30)
    assert len(counts) == 30 and counts.min() > 15  # 42.7 expected of each


def test_stops_when_a_better_line_is_improbable():
    """Samples needed: log(1 - confidence) / log(1 - share^2), in batches."""
    for share in (0.9, 0.5, 0.25):
        data, _ = points(600, share, seed=7)
        for confidence in (0.99, 0.999999):
            found = line(data, confidence=confidence, batch=8, refine=least_squares(data))
            needed = np.log(1 - confidence) / np.log(1 - found.inliers.mean() ** 2)
            assert found.samples >= needed
            # a line at least as good was there after the first good sample: no more than a few batches beyond
            assert found.samples <= max(needed, 5 / share**2) + 8
    data, _ = points(600, 0.02, seed=8)
    assert line(data, max_samples=256).samples == 256  # never beyond the limit


def test_continues_where_the_first_models_have_no_inlier():
    data, _ = points(200, 0.7, seed=12)
    batches = []

    def propose(samples):
        batches.append(len(samples))
        if len(batches) < 4:
            return np.array([[0.0, 1e6]])  # a line far from everything
        (x0, y0), (x1, y1) = data[samples[:, 0]].T, data[samples[:, 1]].T
        a = (y1 - y0) / (x1 - x0)
        return np.stack([a, y0 - a * x0], -1)

    def residuals(models, which):
        return data[which, 1] - models[:, :1] * data[which, 0] - models[:, 1:]

    found = ransac(RobustProblem(200, 2, propose, residuals), threshold=1.0)
    assert found.inliers.mean() > 0.5 and found.samples >= 4 * 64


def test_none_where_no_sample_gives_a_model():
    data, _ = points(20, 1.0, seed=9)
    assert line(data[:1]) is None
    assert line(data[:2]).inliers.all()
    empty = ransac(
        RobustProblem(9, 2, lambda s: np.zeros((0, 2)), lambda m, w: np.zeros((len(m), 9))),
        threshold=1,
        max_samples=128,
    )
    assert empty is None


def test_models_that_are_nan_lose():
    data, good = points(200, 0.7, seed=10)

    def propose(samples):
        (x0, y0), (x1, y1) = data[samples[:, 0]].T, data[samples[:, 1]].T
        a = (y1 - y0) / (x1 - x0)
        models = np.stack([a, y0 - a * x0], -1)
        models[::2] = np.nan
        return models

    def residuals(models, which):
        return data[which, 1] - models[:, :1] * data[which, 0] - models[:, 1:]

    found = ransac(RobustProblem(200, 2, propose, residuals), threshold=1.0)
    assert np.isfinite(found.model).all() and found.inliers[good].mean() > 0.9


def test_a_refinement_that_worsens_is_not_taken():
    data, _ = points(200, 0.7, seed=11)
    plain = line(data)
    spoilt = line(data, refine=lambda model, agree: model + [0, 50.0])
    refused = line(data, refine=lambda model, agree: None)
    for other in (spoilt, refused):
        assert np.array_equal(other.model, plain.model) and other.cost == plain.cost
    better = line(data, refine=least_squares(data))
    assert better.cost <= plain.cost


def test_candidates_are_the_best_models_met_best_first():
    data, _ = points(300, 0.5, seed=13)
    found = line(data, keep=5, refine=least_squares(data))
    assert found.candidates.shape == (5, 2)
    r = data[:, 1] - found.candidates[:, :1] * data[:, 0] - found.candidates[:, 1:]
    costs = np.minimum(r**2, 1).mean(1)
    assert (np.diff(costs) >= 0).all() and costs[0] == found.cost
    assert np.array_equal(found.candidates[0], found.model)
    assert len(line(data).candidates) == 1


def test_infinite_and_huge_residuals_cost_one_without_a_warning():
    r = np.array([0.0, 0.5, -0.5, 1.0, 2.0, 1e200, -np.inf, np.finfo(float).max, np.nan])
    with np.errstate(all="raise"):
        for threshold in (1.0, 0.01):
            cost = truncated_squares(r * threshold, threshold)
            assert np.allclose(cost, [0, 0.25, 0.25, 1, 1, 1, 1, 1, 1], rtol=1e-15)
        found = line(points(50, 1.0, seed=1)[0] * [1, 1e180], threshold=1e-3)
    assert 0 <= found.cost <= 1


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": 0},
        {"threshold": -1.0},
        {"threshold": np.nan},
        {"threshold": np.inf},
        {"confidence": 2},
        {"confidence": -0.1},
        {"confidence": np.nan},
        {"max_samples": 0},
        {"batch": 0},
        {"keep": 0},
    ],
)
def test_options_out_of_range_are_refused_by_name(options):
    ((name, _),) = options.items()
    with pytest.raises(ValueError, match=name):
        line(points(50, 1.0, seed=1)[0], **options)


def test_a_confidence_of_one_draws_all_samples():
    data, _ = points(50, 0.8, seed=1)
    assert line(data, confidence=1.0, max_samples=200).samples == 200
