"""Wide lenses: inverse of each other, against OpenCV's fisheye called live, against values checkable by hand."""

import cv2
import numpy as np
import pytest
from examples import tries
from hypothesis import given, settings
from hypothesis import strategies as st

from stereo3d.geometry.wide_lenses import LENSES, fisheye_limit, pixels_from_rays, rays_from_pixels

K = np.array([[310.0, 0, 402.5], [0, 305.0, 298.0], [0, 0, 1]])
# Model -> bounds of its coefficients, and the angle from the axis, degrees, up to which such lenses are used.
FIELDS = {
    "fisheye": (((-0.03, 0.03), (-0.01, 0.01), (-0.002, 0.002), (-0.0003, 0.0003)), 95),
    "double_sphere": (((-0.3, 0.3), (0.4, 0.65)), 95),
    "eucm": (((0.5, 0.7), (0.8, 1.5)), 95),
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


def test_fisheye_is_that_of_opencv():
    k = np.array([0.02, -0.01, 0.003, -0.0005])
    X = rays(np.random.default_rng(1), 80)
    theirs, _ = cv2.fisheye.projectPoints(X[None], np.zeros(3), np.zeros(3), K, k)
    assert np.abs(pixels_from_rays(X, "fisheye", K, k) - theirs.reshape(-1, 2)).max() < 1e-9


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
