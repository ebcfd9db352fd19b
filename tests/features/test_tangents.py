"""Matches of wide lenses, refined on tangent planes: a painted sphere seen twice, whose matches are known exactly."""

import numpy as np
import pytest

from stereo3d import Camera, Matches, Photo, WideLens
from stereo3d.cameras.panorama import panorama_camera
from stereo3d.features.matching import refine_matches
from stereo3d.features.tangents import refine_on_tangents
from stereo3d.geometry.rotations import rotation_from_vector

R = rotation_from_vector(np.radians([15.0, 120.0, -10.0]))
WAVES = 150  # of the painted sphere; the shortest has 5 px of the panorama


def painted(rays: np.ndarray) -> np.ndarray:
    """Grey levels (...) of directions (..., 3): waves of random directions and lengths."""
    rng = np.random.default_rng(3)
    k = rng.normal(size=(WAVES, 3)) * rng.uniform(10, 60, (WAVES, 1)) / np.sqrt(3)
    phase = rng.uniform(0, 2 * np.pi, WAVES)
    value = np.zeros(rays.shape[:-1])
    for wave, shift in zip(k, phase, strict=True):
        value += np.cos(rays @ wave + shift)
    return np.clip(128 + 40 * value / np.sqrt(WAVES / 2), 0, 255)


def seen(camera: Camera, turn: np.ndarray) -> Photo:
    """The painted sphere in a camera turned by `turn`."""
    rays = camera.rays_from_pixels(np.stack(np.meshgrid(*map(np.arange, camera.size)), -1))
    shown = np.isfinite(rays).all(-1)
    grey = np.where(shown, painted(np.nan_to_num(rays) @ turn), 0)
    return Photo(np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2), mask=None if shown.all() else shown)


def panorama() -> Camera:
    return panorama_camera(Photo(np.zeros((256, 512, 3), np.uint8)))


def fisheye() -> Camera:
    K = np.array([[100.0, 0, 159.5], [0, 100.0, 159.5], [0, 0, 1]])
    return Camera(K, (320, 320), lens=WideLens("fisheye", (0.0,) * 4))


def known_matches(camera: Camera, turn: np.ndarray) -> tuple[Matches, np.ndarray, np.ndarray]:
    """Matches whose second places are off by up to a pixel, the true ones, and their frames."""
    rng = np.random.default_rng(5)
    d = rng.normal(size=(500, 3))
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    x1, x2 = camera.pixels_from_rays(d), camera.pixels_from_rays(d @ turn.T)
    known = np.isfinite(x1).all(1) & np.isfinite(x2).all(1)
    known &= np.hypot(*(x1 - 0.5 * np.array(camera.size)).T) > 3
    d, x1, x2 = d[known], x1[known], x2[known]
    frames = np.empty((len(d), 2, 2))
    for n, x in enumerate(x1):
        moved = camera.pixels_from_rays(camera.rays_from_pixels(x + 0.2 * np.eye(2)) @ turn.T) - x2[n]
        moved[:, 0] -= camera.size[0] * np.round(moved[:, 0] / camera.size[0]) * camera.is_panorama
        frames[n] = moved.T / 0.2
    off = rng.uniform(-0.7, 0.7, (len(d), 3)) * camera.pixel_angle
    start = camera.pixels_from_rays(d @ turn.T + off)
    usable = np.isfinite(frames).all((1, 2)) & np.isfinite(start).all(1)
    score = np.ones(int(usable.sum()), np.float32)
    return Matches(x1[usable], start[usable], score), x2[usable], frames[usable]


@pytest.mark.parametrize("lens, turn", [(panorama, R), (fisheye, rotation_from_vector(np.radians([12.0, 30.0, 40.0])))])
def test_matches_are_refined_to_hundredths_of_a_pixel_everywhere(lens, turn):
    """The mean error as a turn, which would be one of the pose, is below a hundredth of a pixel."""
    camera = lens()
    photos = seen(camera, np.eye(3)), seen(camera, turn)
    matches, x2, frames = known_matches(camera, turn)
    found = refine_on_tangents(photos, (camera, camera), matches, frames, max_size=4000)
    moved = (found.x2 != matches.x2).any(1)
    within = np.isfinite(x2[:, 0])
    if not camera.is_panorama:  # windows at the rim of a fisheye leave the photo
        within = (np.abs(np.concatenate([matches.x1, x2], axis=1) - 159.5) < 140).all(1)
    assert within.sum() > 100 and moved[within].mean() > 0.95
    truth, rays = camera.rays_from_pixels(x2[moved]), camera.rays_from_pixels(found.x2[moved])
    off = np.cross(truth, rays) / camera.pixel_angle
    assert np.median(np.linalg.norm(off, axis=1)) < 0.03
    assert np.quantile(np.linalg.norm(off, axis=1), 0.95) < 0.08
    across = np.eye(3) - truth[:, :, None] * truth[:, None, :]
    assert np.linalg.norm(np.linalg.solve(across.sum(0), off.sum(0))) < 0.006
    assert np.array_equal(found.x1, matches.x1)
    if camera.is_panorama:  # in the photos themselves windows near the poles are pulled aside
        plain = refine_matches(*photos, matches, frames, max_size=4000)
        rays = camera.rays_from_pixels(plain.x2)
        assert np.median(np.linalg.norm(rays - camera.rays_from_pixels(x2), axis=1)) / camera.pixel_angle > 0.03


def test_a_patch_across_the_seam_is_whole():
    camera = panorama()
    photos = seen(camera, np.eye(3)), seen(camera, R)
    d = np.array([[np.sin(a), 0.2, np.cos(a)] for a in np.pi + np.radians([-1.0, -0.2, 0.2, 1.0])])
    x1, x2 = camera.pixels_from_rays(d), camera.pixels_from_rays(d @ R.T)
    matches = Matches(x1, x2 + 0.4, np.ones(4, np.float32))
    frames = np.tile(np.eye(2), (4, 1, 1))
    for n in range(4):
        moved = camera.pixels_from_rays(
            camera.rays_from_pixels(x1[n] - 0.2 * np.sign(x1[n, 0] - 256) * np.eye(2)) @ R.T
        )
        frames[n] = (moved - x2[n]).T / (-0.2 * np.sign(x1[n, 0] - 256))
    found = refine_on_tangents(photos, (camera, camera), matches, frames, max_size=4000)
    assert np.abs(found.x2 - x2).max() < 0.1
