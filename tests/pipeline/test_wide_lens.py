"""Fisheye cameras: rendered with the lens's own rays, reconstructed through their calibration."""

from dataclasses import replace

import numpy as np
import pytest

from stereo3d import Camera, Config, Photo, Rig, RigError, WideLens, pinhole_view, reconstruct
from stereo3d.cameras import fit_rig, read_rig, write_rig
from stereo3d.cameras.pinhole_view import pinhole_pixels
from stereo3d.errors import StereoError
from stereo3d.geometry.camera import project
from stereo3d.geometry.wide_lenses import pixels_from_rays, rays_from_pixels
from stereo3d.pipeline.cameras import cameras_of
from stereo3d.pipeline.refusals import disc_share
from stereo3d.records import Matches
from stereo3d.synthetic import renderer
from stereo3d.two_view import estimate_two_view

SIZE = (480, 400)
K = np.array([[150.0, 0, 241.0], [0, 150.0, 198.0], [0, 0, 1]])  # 150 px a radian: 183 degrees across
FISHEYE = Camera(K, SIZE, lens=WideLens("fisheye", (0.02, -0.006, 0.001, -0.0001)))
POSE = np.eye(3), np.array([-0.15, 0.0, 0.0])


@pytest.fixture(scope="module")
def pair():
    """Slanted planes and the wall behind, by two fisheye cameras 15 cm apart."""
    rig = Rig(FISHEYE, FISHEYE, *POSE, unit="m")
    return rig, renderer.render("slanted", camera1=FISHEYE, camera2=FISHEYE, pose=POSE, supersample=2)


def test_the_view_shows_each_direction_at_its_pinhole_pixel(pair):
    rng = np.random.default_rng(0)
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    X = np.column_stack([rng.uniform(-1.2, 1.2, (12, 2)), np.ones(12)])
    for x in np.rint(pixels_from_rays(X, "fisheye", K, np.array(FISHEYE.lens.coefficients))).astype(int):
        picture[x[1] - 2 : x[1] + 3, x[0] - 2 : x[0] + 3] = 255
    view, camera = pinhole_view(Photo(picture), FISHEYE)
    x = np.rint(project(X, camera.K)).astype(int)
    assert camera.lens is None and view.size == tuple(camera.size)
    assert view.pixels[x[:, 1], x[:, 0]].min() > 200
    assert np.count_nonzero(view.pixels[..., 0] > 100) < 12 * 25 * 30  # nothing else is white


def test_a_fisheye_pair_without_a_pose_is_metric_by_its_baseline(pair):
    """Its pinhole views; with a pose all of its field is used (test_sphere.py)."""
    _, rendered = pair
    config = Config(matcher="sgbm", mesher="grid", baseline=0.15, unit="m")
    result = reconstruct(rendered.left, rendered.right, Rig(FISHEYE, FISHEYE), config)
    assert result.unit == "m"
    finding = next(f for f in result.findings if f.code == "wide_lens")
    assert finding.numbers["field_deg"] > 150 and finding.numbers["used_deg"] == pytest.approx(130, abs=2)
    known = np.isfinite(result.points[..., 2])
    X = result.points[known]
    x = np.rint(pixels_from_rays(X, "fisheye", K, np.array(FISHEYE.lens.coefficients))).astype(int)
    truth = rendered.depth1[x[:, 1], x[:, 0]]
    ratio = np.linalg.norm(X, axis=1) / truth
    assert abs(np.nanmedian(ratio) - 1) < 0.01
    assert np.nanquantile(np.abs(ratio - 1), 0.9) < 0.03
    angle = np.degrees(np.arctan2(np.hypot(X[:, 0], X[:, 1]), X[:, 2]))
    assert np.quantile(angle, 0.9) > 50  # far beyond an ordinary lens


def test_a_stage_that_takes_pinhole_cameras_refuses_a_fisheye():
    matches = Matches(np.zeros((20, 2)), np.ones((20, 2)), np.ones(20, np.float32))
    with pytest.raises(StereoError, match="fisheye lens") as caught:
        estimate_two_view(matches, Rig(FISHEYE, FISHEYE, *POSE, error=RigError.nominal()))
    assert caught.value.code == "bad_calibration" and "pinhole_view" in caught.value.advice


def test_a_fisheye_calibration_follows_the_size_of_the_photo(tmp_path):
    half = fit_rig(Rig(FISHEYE, FISHEYE), (240, 200), (240, 200)).cam1
    assert half.lens == FISHEYE.lens
    X = np.array([[0.7, -0.4, 1.0]])
    whole = pixels_from_rays(X, "fisheye", K, np.array(FISHEYE.lens.coefficients))
    scaled = pixels_from_rays(X, "fisheye", half.K, np.array(half.lens.coefficients))
    assert (scaled + 0.5) * 2 - 0.5 == pytest.approx(whole)
    read = read_rig(write_rig(tmp_path / "rig.json", Rig(FISHEYE, FISHEYE)), (FISHEYE.size, FISHEYE.size))
    assert read.cam1.lens == FISHEYE.lens and np.array_equal(read.cam2.K, FISHEYE.K)


def test_a_lens_states_what_it_needs():
    with pytest.raises(ValueError, match="no lens model"):
        WideLens("anamorphic")
    with pytest.raises(StereoError, match="4 finite numbers"):
        WideLens("fisheye", (0.1, 0.2))
    with pytest.raises(ValueError, match="not both"):
        replace(FISHEYE, dist=np.array([0.1, 0, 0, 0]))


def test_a_fisheye_photo_without_calibration_is_refused_by_name(pair):
    _, rendered = pair
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    outside = np.hypot(x - 240, y - 200) > 198
    views = []
    for photo in (rendered.left, rendered.right):
        pixels = photo.pixels.copy()
        pixels[outside] = 0
        views.append(Photo(pixels))
    with pytest.raises(StereoError, match="fisheye lens") as caught:
        reconstruct(*views)
    assert caught.value.code == "fisheye" and caught.value.exit_code == 3


def test_a_dark_border_of_another_shape_is_no_fisheye(slanted_pair):
    h, w = slanted_pair.left.pixels.shape[:2]
    y, x = np.mgrid[:h, :w]
    bars = (y < 20) | (x < 30)
    rhombus = np.abs(y - h / 2) / h + np.abs(x - w / 2) / w > 0.5
    disc = np.hypot(x - w / 2, y - h / 2) > h / 2 - 2
    shares = []
    for black in (bars, rhombus, disc):
        pixels = np.maximum(slanted_pair.left.pixels, 20)
        pixels[black] = 0
        shares.append(disc_share(Photo(pixels)))
    assert shares[:2] == [None, None] and shares[2] == pytest.approx(np.pi / 4 * h / w, rel=0.1)


def test_a_known_distance_is_between_pixels_of_the_fisheye_photo(pair):
    """Two points of the wall; without a pose in the calibration, their distance alone gives the scale."""
    rig, rendered = pair
    x = np.array([[150.0, 150.0], [330.0, 260.0]])
    rays = rays_from_pixels(x, "fisheye", K, np.array(FISHEYE.lens.coefficients))
    at = x.astype(int)
    X = rays * rendered.depth1[at[:, 1], at[:, 0]][:, None]
    distance = float(np.linalg.norm(X[1] - X[0]))
    config = Config(matcher="sgbm", mesher="grid", known_distance=(tuple(x[0]), tuple(x[1]), distance), unit="m")
    result = reconstruct(rendered.left, rendered.right, Rig(FISHEYE, FISHEYE), config)
    assert np.linalg.norm(result.view.t) == pytest.approx(0.15, rel=0.02)
    far = np.array([[40.0, 198.0], [241.0, 198.0]])
    with pytest.raises(StereoError, match="farther from the axis"):
        pinhole_pixels(far, FISHEYE, pinhole_view(rendered.left, FISHEYE)[1])


def test_a_rectified_pair_has_no_wide_lens(pair):
    rig, rendered = pair
    with pytest.raises(StereoError, match="wide-angle lens, and a rectified pair"):
        cameras_of(rendered.left, rendered.right, rig, Config(rectified=True))


def test_a_round_mask_is_no_fisheye(slanted_pair):
    h, w = slanted_pair.left.pixels.shape[:2]
    y, x = np.mgrid[:h, :w]
    masked = replace(slanted_pair.left, mask=np.hypot(x - w / 2, y - h / 2) < 100)
    assert disc_share(masked) is None
