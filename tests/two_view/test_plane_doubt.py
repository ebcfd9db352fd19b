"""What a plane says of a focal length: nothing, whatever the noise on its matches looks like."""

import numpy as np
import pytest

from stereo3d import geometry as g
from stereo3d.records import Camera, Matches, Rig
from stereo3d.two_view import estimate_two_view
from stereo3d.two_view.lens import free_lens_model
from stereo3d.two_view.plane_doubt import plane_doubt

SIZE, FOCAL = (1600, 1200), 1400.0
CENTRE = (np.array(SIZE) - 1) / 2


def matches_of(relief, *, noise=0.3, seed=0, count=600, k1=0.0):
    """Matches, px, of a slanted plane at 1 with some relief (standard deviation), by a step of .2 aside."""
    rng = np.random.default_rng(seed)
    K = np.array([[FOCAL, 0, CENTRE[0]], [0, FOCAL, CENTRE[1]], [0, 0, 1]])
    x1 = rng.uniform([0, 0], np.array(SIZE) - 1, (count, 2))
    d = np.c_[(x1 - CENTRE) / FOCAL, np.ones(count)]
    z = 1 / (d @ [0.15, 0.1, 1.0]) * (1 + relief * rng.normal(size=count))
    R = g.rotation_from_vector([0.01, -0.12, 0.02])
    dist = np.array([k1, 0, 0, 0])
    x2 = g.project(d * z[:, None], K, R, -R @ [0.2, 0.03, 0.02], dist)
    x1 = g.project(d, K, dist=dist)
    return x1 + rng.normal(0, noise, x1.shape), x2 + rng.normal(0, noise, x2.shape)


def doubt_of(x1, x2, sigma=0.3, k1=0.0):
    camera = Camera(
        np.diag([FOCAL, FOCAL, 1.0]) + [[0, 0, CENTRE[0]], [0, 0, CENTRE[1]], [0, 0, 0]], SIZE, source="exif"
    )
    model = free_lens_model(Rig(camera, camera), [FOCAL, FOCAL])
    p = np.linalg.lstsq(model.basis, np.tile([0, 0, 0, k1, 0], 2), rcond=None)[0]
    return plane_doubt(p, x1 - CENTRE, x2 - CENTRE, model, sigma)


@pytest.mark.parametrize("k1", [0.0, -0.1])
@pytest.mark.parametrize("relief", [0.0, 0.002, 0.02])
def test_the_doubt_is_one_and_the_noise_over_the_relief(relief, k1):
    """A change of depth by a share e moves a match by about FOCAL .2 e px; the noise of x2 - H x1 is .3 sqrt(2)."""
    doubts = [doubt_of(*matches_of(relief, seed=seed, k1=k1), k1=k1) for seed in range(5)]
    if relief == 0:
        assert np.median(doubts) > 10  # undistorted, the noise is larger in the corners
    else:
        expected = 1 + 2 * 0.3**2 / (FOCAL * 0.2 * relief) ** 2
        assert 1 <= np.median(doubts) - 0.05 * (expected - 1) and np.median(doubts) - 1 < 3 * (expected - 1)


def test_wrong_matches_on_their_lines_are_no_relief():
    x1, x2 = matches_of(0.0)
    x2[::40] += [25.0, 0.0]
    assert doubt_of(x1, x2) > 100


@pytest.mark.parametrize("seed", [0, 1, 2, 4])
def test_the_focal_length_of_a_plane_stays_that_of_exif(seed):
    """A far plane, a small step, EXIF 2.5 % short: without the doubt noise alone moves it by 1 to 4 % here."""
    size, focal, count = (480, 360), 663.0, 600
    centre = (np.array(size) - 1) / 2
    rng = np.random.default_rng(seed)
    x1 = rng.uniform([0, 0], np.array(size) - 1, (count, 2))
    d = np.c_[(x1 - centre) / focal, np.ones(count)]
    X = d / (d @ [0.2, 0.12, 1.0])[:, None]
    K = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
    x2 = g.project(X, K, g.rotation_from_vector([0.008, -0.031, 0.018]), [-0.0576, 0.012, 0.006])
    x1, x2 = x1 + rng.normal(0, 0.03, x1.shape), x2 + rng.normal(0, 0.03, x2.shape)
    short = 0.975 * focal
    camera = Camera(K * [[0.975, 1, 1], [1, 0.975, 1], [1, 1, 1]], size, source="exif")
    view = estimate_two_view(Matches(x1, x2, np.ones(count, np.float32)), Rig(camera, camera))
    assert view.rig.cam1.focal == pytest.approx(short, rel=0.007)
    assert view.focal_sigma == pytest.approx(0.05, abs=0.002)
