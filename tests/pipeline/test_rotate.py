"""--rotate: photos that lie on their side."""

from dataclasses import replace

import numpy as np
import pytest

from stereo3d.cameras.fit import fit_rig, turn_matrix
from stereo3d.cameras.focal import camera_for
from stereo3d.errors import StereoError
from stereo3d.images.turn import turn_photo
from stereo3d.pipeline.cameras import cameras_of
from stereo3d.pipeline.config import Config
from stereo3d.pipeline.run import prepare
from stereo3d.pipeline.upright import side_skies, turn_upright, upright_turn
from stereo3d.records import Camera, Photo, Rig


def cameras(left, right) -> Rig:
    return Rig(camera_for(left), camera_for(right))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turn_is_one_more_orientation(orientation, degrees):
    """The stored picture turned by the new orientation is the upright one turned: pixels by `turn_matrix`."""
    rng = np.random.default_rng(orientation)
    stored = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)

    def upright(o):
        A = turn_matrix(o, (60, 40))
        y, x = np.mgrid[:40, :60]
        at = np.rint(np.stack([x, y, np.ones_like(x)], -1) @ A.T).astype(int)
        out = np.zeros((60, 40, 3) if o >= 5 else (40, 60, 3), np.uint8)
        out[at[..., 1], at[..., 0]] = stored
        return out

    photo = Photo(upright(orientation), {"orientation": orientation}, mask=upright(orientation)[..., 0] > 100)
    turned = turn_photo(photo, degrees)
    assert np.array_equal(turned.pixels, np.rot90(photo.pixels, -degrees // 90))
    assert np.array_equal(turned.pixels, upright(turned.exif["orientation"]))
    assert np.array_equal(turned.mask, turned.pixels[..., 0] > 100)
    assert turned.exif["size_stored"] == (60, 40)


def test_gravity_turns_with_the_photo():
    """The phone's right side is down: turned by 90 degrees clockwise, its right side is the photo's lower one."""
    photo = Photo(np.zeros((40, 60, 3), np.uint8), {"gravity": (0.8, 0.0, 0.6)})
    assert turn_photo(photo, 90).exif["gravity"] == pytest.approx((0, 0.8, 0.6))
    assert turn_photo(photo, 270).exif["gravity"] == pytest.approx((0, -0.8, 0.6))
    assert turn_photo(photo, 0) is photo
    with pytest.raises(ValueError, match="45"):
        turn_photo(photo, 45)


def test_a_run_on_turned_photos_is_that_of_upright_ones(handheld_pair):
    """Both photos stored on their side, the calibration of the stored pictures: pose and size of the upright pair."""
    pair = handheld_pair
    upright = prepare(pair.left, pair.right, pair.rig)
    on_side = [turn_photo(p, 270) for p in (pair.left, pair.right)]
    on_side = [Photo(p.pixels) for p in on_side]
    stored = fit_rig(pair.rig, on_side[0].size, on_side[1].size, orientations=(8, 8))  # the rig of what is stored
    assert stored.cam1.size == on_side[0].size == pair.left.size[::-1]
    turned = prepare(*on_side, stored, Config(rotate=90))
    assert np.array_equal(turned.left.pixels, pair.left.pixels)
    assert turned.view.R == pytest.approx(upright.view.R, abs=1e-9)
    assert turned.view.t == pytest.approx(upright.view.t, abs=1e-9)
    assert turned.view.rig.cam1.K == pytest.approx(upright.view.rig.cam1.K)


def test_auto_turns_by_gravity_in_either_file():
    blank = Photo(np.zeros((48, 64, 3), np.uint8))
    for gravity, degrees in (((0, 1, 0.2), 0), ((0.9, 0.3, 0.1), 90), ((0.1, -1, 0), 180), ((-0.8, 0.2, 0.5), 270)):
        tilted = replace(blank, exif={"gravity": gravity})
        assert upright_turn(tilted, blank, Config())[0] == degrees
        left, right, _, (finding,) = turn_upright(blank, tilted, cameras(blank, tilted), Config(rotate="auto"))
        assert left.size == right.size == ((48, 64) if degrees in (90, 270) else (64, 48))
        assert right.exif.get("gravity", gravity)[1] > 0.7
        assert finding.numbers == {"degrees": degrees}
    flat = replace(blank, exif={"gravity": (0.1, 0.1, 0.98)})
    assert upright_turn(flat, blank, Config())[0] is None  # from above there is no upright


def facade(sky=True):
    """A street of white posts before a dark ground, 640 x 480, under a sky: verticals along one axis only."""
    rng = np.random.default_rng(1)
    pixels = rng.normal(90, 12, (480, 640, 3)).clip(0, 255).astype(np.uint8)
    for x in np.linspace(20, 600, 24).astype(int):
        pixels[150:430, x : x + 8] = 235 if x % 40 < 20 else 15
    if sky:
        pixels[:100] = np.linspace([120, 160, 235], [190, 210, 245], 100)[:, None].astype(np.uint8)
    return Photo(pixels)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_auto_turns_by_vertical_edges_and_the_sky(degrees):
    photo = turn_photo(facade(), (360 - degrees) % 360)
    photo = Photo(photo.pixels)
    assert upright_turn(photo, photo, Config())[0] == degrees
    left, _, _, findings = turn_upright(photo, photo, cameras(photo, photo), Config(rotate="auto"))
    assert np.array_equal(left.pixels, facade().pixels) and "sky" in findings[0].message


def test_auto_leaves_photos_that_show_nothing(handheld_pair):
    """No sky; photos that contradict each other; no edges."""
    photo = facade(sky=False)
    assert upright_turn(photo, photo, Config())[0] is None
    assert upright_turn(facade(), turn_photo(facade(), 90), Config())[0] is None
    left, right, _, (finding,) = turn_upright(
        handheld_pair.left, handheld_pair.right, cameras(handheld_pair.left, handheld_pair.right), Config(rotate="auto")
    )
    assert left is handheld_pair.left and right is handheld_pair.right
    assert "not turned" in finding.message and "--rotate 90" in finding.advice
    assert side_skies(facade())[[0, 2]] == pytest.approx([1, 0], abs=0.05)


def test_values_of_rotate():
    assert [Config(rotate=v).rotate for v in (None, "auto", 90, "270")] == [None, "auto", 90, 270]
    for wrong in (45, "left", 0, True):
        with pytest.raises(StereoError, match="rotate cannot be"):
            Config(rotate=wrong)


def test_a_calibration_turns_with_the_photos(handheld_pair):
    """Turned by 180 degrees, x and y of the pose change sign; the principal point is that of the turned picture."""
    pair, Q = handheld_pair, np.diag([-1.0, -1, 1])
    turned = prepare(pair.left, pair.right, pair.rig, Config(rotate=180))
    assert turned.left.exif["orientation"] == 3 and turned.view.rig.cam1.size == (480, 360)
    assert turned.view.R == pytest.approx(Q @ pair.rig.R @ Q) and turned.view.t == pytest.approx(Q @ pair.rig.t)


def test_a_calibration_of_upright_photos_turns_with_them_as_well():
    """The file says orientation 6, and the calibration is of the upright picture; --rotate 180 turns it upside down."""
    K = np.array([[300.0, 0, 140], [0, 300.0, 210], [0, 0, 1]])
    camera = Camera(K, (300, 400), source="calibration")
    rig = Rig(camera, camera, np.eye(3), np.array([-1.0, 0.1, 0]), "m")
    photo = Photo(np.zeros((400, 300, 3), np.uint8), {"orientation": 6, "size_stored": (400, 300)})
    fitted = cameras_of(photo, photo, rig, Config())
    _, _, turned, _ = turn_upright(photo, photo, fitted, Config(rotate=180))
    assert turned.cam1.K[:2, 2] == pytest.approx([299 - 140, 399 - 210])
    assert turned.t == pytest.approx([1.0, -0.1, 0])
    _, _, turned, _ = turn_upright(photo, photo, fitted, Config(rotate=90))
    assert tuple(turned.cam1.size) == (400, 300) and turned.t == pytest.approx([-0.1, -1.0, 0])
