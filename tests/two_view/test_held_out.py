"""Cross-validation by regions, and distortion that it keeps or leaves out."""

from dataclasses import replace

import numpy as np
import pytest

from stereo3d import geometry as g
from stereo3d import two_view
from stereo3d.diagnosis.bend import bend_findings
from stereo3d.geometry.rotations import rotation_vector
from stereo3d.records import Camera, Matches, Rig
from stereo3d.two_view import bend, held_out

SIZE = (1600, 1200)


def pair(baseline: float, k1: float = 0.0, bend: float = 0.0, seed: int = 0) -> tuple[Matches, Rig]:
    """Matches of a ground with things on it, 4 to 12 away; photo 2 is bent by `bend` px, as by a lens of no model."""
    rng = np.random.default_rng(seed)
    f = 1100.0
    K = np.array([[f, 0, 799.5], [0, f, 599.5], [0, 0, 1.0]])
    camera = Camera(K, SIZE, np.array([k1, 0, 0, 0]), source="exif")
    R = g.rotation_from_vector(np.radians([0.3, 0.5, -0.4]))
    t = -R @ [baseline, 0.05 * baseline, 0.03 * baseline]
    x1 = rng.uniform(0, np.array(SIZE) - 1, (4000, 2))
    y1 = g.undistort(x1, K, camera.dist)
    known = np.isfinite(y1).all(1)
    x1, y1 = x1[known], y1[known]
    z = 1 / (1 / 7 + 0.08 * y1[:, 1] + rng.choice([0, 0, 0.05], len(y1)))
    x2 = g.project(g.hom(y1) * z[:, None], K, R, t, camera.dist)
    seen = ((x2 >= 0) & (x2 <= np.array(SIZE) - 1)).all(1)
    x1, x2 = x1[seen][:1200], x2[seen][:1200]
    a, b = (2 * x2 / np.array(SIZE) - 1).T
    x2 = x2 + bend * np.stack([0 * a, a * b**2 + 0.4 * a**3 - 0.5 * a], -1)
    return Matches(x1, x2 + rng.normal(0, 0.25, x2.shape)), Rig(camera, camera, R, t)


def exif(rig: Rig) -> Rig:
    cameras = [replace(c, K=c.K * [[1.01], [1.01], [1]], dist=np.zeros(0)) for c in (rig.cam1, rig.cam2)]
    return Rig(cameras[0], cameras[1])


@pytest.mark.parametrize("baseline", [0.25, 2.0])
@pytest.mark.parametrize("k1", [0.05, -0.1, 0.2])
def test_distortion_that_is_there_is_found(baseline, k1):
    matches, rig = pair(baseline, k1)
    view = two_view.estimate_two_view(matches, exif(rig))
    assert view.rig.cam1.dist[0] == pytest.approx(k1, abs=0.02 + 0.15 * abs(k1))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_distortion_that_explains_parallax_is_left_out(seed):
    """A small baseline, photo 2 bent by 3 px as by no lens: k1 would explain it, and turn the cameras by .2 degrees."""
    matches, rig = pair(0.2, bend=3.0, seed=seed)
    view = two_view.estimate_two_view(matches, exif(rig))
    assert not np.any(view.rig.cam1.dist)
    assert g.rotation_angle_deg(view.R @ rig.R.T) < 0.05


def test_bent_pictures_leave_the_motion_uncertain():
    """The error of a bent pair is within its deviations; a pair that is not bent has no such uncertainty."""
    matches, rig = pair(0.2, bend=3.0)
    view = two_view.estimate_two_view(matches, replace(rig, R=None, t=None))
    x1, x2 = matches.x1[view.inliers], matches.x2[view.inliers]
    covariance, tangents, error = bend.bend_covariance(x1, x2, view)
    assert 0.1 < error < 2
    away = np.array([*rotation_vector(rig.R @ view.R.T), *(tangents @ (rig.t / np.linalg.norm(rig.t)))])
    assert np.all(np.abs(away) < 3 * np.sqrt(np.diag(covariance)))
    assert np.abs(away).max() > 3 * np.sqrt(np.diag(two_view.pose_covariance(x1, x2, view)[0])).min()
    [finding] = bend_findings(matches, view, Rig(rig.cam1, rig.cam2))
    assert finding.severity == "warning" and finding.numbers["depth_sigma"] > 0.02
    straight, rig = pair(0.2)
    view = two_view.estimate_two_view(straight, replace(rig, R=None, t=None))
    x1, x2 = straight.x1[view.inliers], straight.x2[view.inliers]
    assert bend.bend_covariance(x1, x2, view)[2] == 0 and not bend.bend_covariance(x1, x2, view)[0].any()
    assert bend_findings(straight, view, Rig(rig.cam1, rig.cam2)) == []


def test_chance_gains_nothing_and_a_pattern_does():
    rng = np.random.default_rng(0)
    x = rng.uniform(-800, 800, (600, 2))
    noise = rng.normal(0, 0.3, 600)
    A = np.stack([x[:, 0] * x[:, 1], x[:, 0] ** 2], -1) / 640000

    def fits(r):
        return lambda used: r, lambda used: r - A @ np.linalg.lstsq(A[used], r[used], rcond=None)[0]

    gain, error = held_out.held_out_gain(*fits(noise), x, 1.5)
    assert gain < 2 * error
    gain, error = held_out.held_out_gain(*fits(noise + A @ [0.8, 0]), x, 1.5)
    assert gain > 3 * error
    assert held_out.held_out_gain(*fits(noise), x[:0], 1.5) == (0.0, np.inf)


def test_no_match_takes_part_in_the_fit_that_judges_it():
    x = np.random.default_rng(1).uniform(-100, 100, (300, 2))
    assert not held_out.held_out_residuals(lambda used: used.astype(float), x).any()
