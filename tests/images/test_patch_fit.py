"""Least-squares matching of patches: its kernels against numpy, step by step."""

import numpy as np
import pytest

from stereo3d.images import patch_fit

RADIUS = 4
SIDE = 2 * RADIUS + 1


def scene(seed: int = 0):
    """A smooth picture, a template, weights and the eight unknowns of a patch well inside the picture."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[:60, :70]
    image = (100 + 30 * np.sin(u / 5) + 20 * np.cos(v / 4 + u / 9) + rng.normal(0, 2, u.shape)).astype(np.float32)
    weight = rng.uniform(0.1, 1, (SIDE, SIDE))
    template = rng.uniform(60, 140, (SIDE, SIDE))
    p = np.array([33.3, 28.7, 1.05, -0.1, 0.08, 0.97, 1.1, -4.0])
    return image, template, weight, p


def jacobian_and_residual(image, template, p):
    """Rows (gx, gy, gx dx, gx dy, gy dx, gy dy, -t, -1), residuals g t + o - f and values f, all (side^2, ...)."""
    rows, residuals, values = [], [], []
    for v in range(SIDE):
        for u in range(SIDE):
            dx, dy = u - RADIUS, v - RADIUS
            f, gx, gy = patch_fit._sample(image, p[0] + p[2] * dx + p[3] * dy, p[1] + p[4] * dx + p[5] * dy)
            rows.append([gx, gy, gx * dx, gx * dy, gy * dx, gy * dy, -template[v, u], -1.0])
            residuals.append(p[6] * template[v, u] + p[7] - f)
            values.append(f)
    return np.array(rows), np.array(residuals), np.array(values)


@pytest.mark.parametrize("seed", range(3))
def test_the_normal_equations_are_those_of_the_jacobian(seed):
    image, template, weight, p = scene(seed)
    N, q = np.full((8, 8), np.nan), np.full(8, np.nan)
    s2, s22, s12 = patch_fit._normal_equations(image, p, template, weight, np.empty((3, SIDE)), N, q)
    w, t = weight.ravel(), template.ravel()
    patch_fit._complete(N, w.sum(), w @ t, w @ t**2)
    J, r, f = jacobian_and_residual(image, template, p)
    lower = np.tril_indices(8)
    expected = J.T @ (w[:, None] * J)
    np.testing.assert_allclose(N[lower], expected[lower], rtol=1e-4, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_allclose(q, J.T @ (w * r), rtol=1e-4, atol=1e-6 * np.abs(J.T @ (w * r)).max())
    np.testing.assert_allclose([s2, s22, s12], [w @ f, w @ f**2, w @ (t * f)], rtol=1e-6)


def test_the_solver_solves_and_refuses_what_is_not_positive_definite():
    rng = np.random.default_rng(4)
    A, b = rng.normal(size=(12, 8)), rng.normal(size=8)
    q = b.copy()
    assert patch_fit._solve(A.T @ A, q)
    np.testing.assert_allclose(A.T @ A @ q, b, atol=1e-10)
    assert not patch_fit._solve(-np.eye(8), b.copy())


def test_the_template_and_its_sums():
    image, _, weight, _ = scene()
    template = np.empty((SIDE, SIDE))
    sums = patch_fit._take_template(image, 30.0, 25.0, weight, template)
    patch = image[25 - RADIUS : 26 + RADIUS, 30 - RADIUS : 31 + RADIUS].astype(float)
    np.testing.assert_allclose(template, patch)
    np.testing.assert_allclose(sums, [weight.sum(), (weight * patch).sum(), (weight * patch**2).sum()])


def test_a_patch_is_inside_where_its_corners_are():
    p = np.array([10.0, 10, 1.2, 0.3, -0.2, 0.9, 1, 0])  # reaches 6 px across and 4.4 px down
    assert patch_fit._inside(p, RADIUS, (40, 40))
    for k, value in ((0, 5.9), (0, 33.1), (1, 4.3), (1, 34.7)):
        moved = p.copy()
        moved[k] = value
        assert not patch_fit._inside(moved, RADIUS, (40, 40)), (k, value)
