"""Wide lenses: inverse of each other, against OpenCV's fisheye called live, against values checkable by hand."""

import cv2
import numpy as np
import pytest
from examples import tries
from hypothesis import given, settings
from hypothesis import strategies as st

from stereo3d.errors import StereoError
from stereo3d.geometry.wide_lenses import (
    LENSES,
    equirectangular_K,
    fisheye_limit,
    pixels_from_rays,
    rays_from_pixels,
)
from stereo3d.records import WideLens

K = np.array([[310.0, 0, 402.5], [0, 305.0, 298.0], [0, 0, 1]])
# Model -> bounds of its coefficients, and the angle from the axis, degrees, up to which such lenses are used.
FIELDS = {
    "fisheye": (((-0.03, 0.03), (-0.01, 0.01), (-0.002, 0.002), (-0.0003, 0.0003)), 95),
    "double_sphere": (((-0.3, 0.3), (0.4, 0.65)), 95),
    "eucm": (((0.5, 0.7), (0.8, 1.5)), 95),
    "omnidir": (((0.7, 1.5), (-0.1, 0.1), (-0.01, 0.01), (-0.003, 0.003), (-0.003, 0.003)), 90),
    "equirectangular": ((), 179),
}


def rays(rng, degrees: float, count: int = 400) -> np.ndarray:
    """Random unit directions within an angle from the axis."""
    theta, phi = np.radians(degrees) * np.sqrt(rng.random(count)), 2 * np.pi * rng.random(count)
    return np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=-1)


@pytest.mark.parametrize("model", LENSES)
@settings(max_examples=tries(40), deadline=None)
@given(data=st.data())
def test_pixel_and_ray_are_inverse_to_each_other(model, data):
    bounds, degrees = FIELDS[model]
    coefficients = np.array([data.draw(st.floats(*b)) for b in bounds])
    X = rays(np.random.default_rng(0), degrees)
    if model == "fisheye":
        X = X[np.arccos(X[:, 2]) < 0.98 * fisheye_limit(coefficients)]
    x = pixels_from_rays(X, model, K, coefficients)
    shown = np.isfinite(x).all(1)
    assert shown.mean() > 0.85
    assert np.abs(rays_from_pixels(x, model, K, coefficients) - X)[shown].max() < 1e-9


@pytest.mark.parametrize(
    "model, coefficients",
    [
        *[("double_sphere", (xi, alpha)) for xi in (-0.9, -0.3, 0.9, 1.5, 3) for alpha in (0, 0.2, 0.6, 0.9, 1)],
        *[("eucm", (alpha, beta)) for alpha in (0, 0.2, 0.7, 0.95, 1) for beta in (0.1, 1, 10)],
        *[("omnidir", (xi, k1, 0.01, 0.001, 0)) for xi in (0, 0.3, 1, 2, 9) for k1 in (-0.3, 0, 0.2)],
        ("fisheye", (2, 5, -3, 1)),
        ("fisheye", (-0.3, 0, 0, 0)),
    ],
)
def test_extreme_lenses_give_pixels_and_rays_that_are_inverse_or_none(model, coefficients):
    rng, c = np.random.default_rng(0), np.array(coefficients, dtype=float)
    X = rng.normal(size=(500, 3))
    X /= np.linalg.norm(X, axis=1)[:, None]
    x = pixels_from_rays(X, model, K, c)
    shown = np.isfinite(x).all(1)
    assert shown.any() and np.abs(rays_from_pixels(x[shown], model, K, c) - X[shown]).max() < 1e-9
    x = rng.uniform(-1500, 2500, (500, 2))
    X = rays_from_pixels(x, model, K, c)
    seen = np.isfinite(X).all(1)
    again = pixels_from_rays(X[seen], model, K, c)
    assert seen.any() and np.abs(again - x[seen]).max() < 1e-6  # px


@pytest.mark.parametrize(
    "model, coefficients, words",
    [
        ("double_sphere", (-1.5, 0.5), "xi = -1.5"),
        ("double_sphere", (0.1, 1.1), "alpha = 1.1"),
        ("eucm", (0.5, -0.5), "beta = -0.5"),
        ("omnidir", (-0.1, 0, 0, 0, 0), "xi = -0.1"),
    ],
)
def test_lenses_that_cannot_be(model, coefficients, words):
    with pytest.raises(StereoError, match=words):
        WideLens(model, coefficients)


def test_a_whole_panorama_reaches_from_edge_to_edge():
    K = equirectangular_K((800, 400))
    x = np.array([[-0.5, 199.5], [799.5, 199.5], [399.5, 199.5], [399.5, -0.5], [599.5, 199.5]])
    back, forward, up, right = [0, 0, -1], [0, 0, 1], [0, -1, 0], [1, 0, 0]
    assert rays_from_pixels(x, "equirectangular", K, np.zeros(0)) == pytest.approx(
        np.array([back, back, forward, up, right]), abs=1e-12
    )


def test_fisheye_is_that_of_opencv():
    k = np.array([0.02, -0.01, 0.003, -0.0005])
    X = rays(np.random.default_rng(1), 80)
    theirs, _ = cv2.fisheye.projectPoints(X[None], np.zeros(3), np.zeros(3), K, k)
    assert np.abs(pixels_from_rays(X, "fisheye", K, k) - theirs.reshape(-1, 2)).max() < 1e-9


def test_the_unified_model_is_that_of_opencv():
    """And of a double sphere with alpha = 0 and a pinhole camera with Brown's distortion."""
    k, X = np.array([-0.1, 0.02, 0.001, -0.002]), rays(np.random.default_rng(1), 80)
    x = pixels_from_rays(X, "omnidir", K, np.array([1.3, *k]))
    sphere = pixels_from_rays(X, "double_sphere", K, np.array([1.3, 0.0]))
    assert np.abs(pixels_from_rays(X, "omnidir", K, np.array([1.3, 0, 0, 0, 0])) - sphere).max() < 1e-9
    near = X[X[:, 2] > 0.8]
    pinhole, _ = cv2.projectPoints(near, np.zeros(3), np.zeros(3), K, k)
    assert np.abs(pixels_from_rays(near, "omnidir", K, np.array([0, *k])) - pinhole.reshape(-1, 2)).max() < 1e-9
    if hasattr(cv2, "omnidir"):  # in opencv-contrib-python
        theirs, _ = cv2.omnidir.projectPoints(X[None], np.zeros(3), np.zeros(3), K, 1.3, k)
        assert np.abs(x - theirs.reshape(-1, 2)).max() < 1e-9


def test_values_by_hand():
    none = np.zeros(4)
    right_angle = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, -1]])
    x = pixels_from_rays(right_angle, "fisheye", np.eye(3), none)
    assert x == pytest.approx(np.array([[np.pi / 2, 0], [0, np.pi / 2], [0, 0], [0.75 * np.pi, 0]]))
    assert pixels_from_rays(right_angle, "equirectangular", np.eye(3), np.zeros(0))[:3] == pytest.approx(
        np.array([[np.pi / 2, 0], [0, np.pi / 2], [0, 0]])
    )
    pinhole = np.array([[0.3, -0.2, 1.0]])  # xi = alpha = 0, and alpha = 0
    assert pixels_from_rays(2 * pinhole, "double_sphere", np.eye(3), np.zeros(2)) == pytest.approx(pinhole[:, :2])
    assert pixels_from_rays(2 * pinhole, "eucm", np.eye(3), np.array([0.0, 1.0])) == pytest.approx(pinhole[:, :2])


def test_a_fisheye_that_folds_shows_nothing_beyond():
    k = np.array([-0.3, 0, 0, 0])  # theta_d grows up to theta = 1 / sqrt(.9)
    assert fisheye_limit(k) == pytest.approx(1 / np.sqrt(0.9))
    beyond = np.array([[np.sin(1.1), 0, np.cos(1.1)]])
    assert np.isnan(pixels_from_rays(beyond, "fisheye", K, k)).all()
    peak = fisheye_limit(k) * (1 - 0.3 * fisheye_limit(k) ** 2)
    assert np.isnan(rays_from_pixels(np.array([[402.5 + 310 * (peak + 0.01), 298.0]]), "fisheye", K, k)).all()
