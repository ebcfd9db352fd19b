"""A blank photo and one of little contrast are two things; what still matches is not refused."""

import cv2
import numpy as np
import pytest

from stereo3d import synthetic
from stereo3d.diagnosis.contrast import BLANK_DETAIL, detail_levels, featureless_findings
from stereo3d.errors import EXIT_PAIR, StereoError
from stereo3d.features import match_features
from stereo3d.images.reduce import grey_range, stretch_contrast, to_grey
from stereo3d.pipeline import Config, prepare
from stereo3d.records import Photo

SHAPE = (240, 320)


@pytest.fixture(scope="module")
def pair(render_once):
    return render_once("handheld", size=SHAPE[::-1], supersample=2)


def whole(levels, noise=0.0, seed=0):
    """A photo (H,W,3) uint8 of these grey levels, with noise."""
    levels = np.broadcast_to(np.asarray(levels, float), SHAPE)[..., None]
    noisy = levels + np.random.default_rng(seed).normal(0, noise, (*SHAPE, 3))
    return Photo(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


def wall(level):
    """A plain wall, darker towards the corners."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return level * (1 - 0.25 * ((x - 160) ** 2 + (y - 120) ** 2) / (160**2 + 120**2))


def foggy(photo, contrast, noise=0.5, seed=0):
    levels = 170 + contrast * (photo.pixels - 128.0)
    noisy = levels + np.random.default_rng(seed).normal(0, noise, levels.shape)
    return Photo(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("level", "noise", "word"),
    [(3, 1.0, "black"), (0, 0.0, "black"), (128, 0.0, "one colour"), (150, 1.5, "one colour"), (252, 1.0, "white")],
)
def test_a_blank_photo_is_named_by_its_colour(pair, level, noise, word):
    blank = whole(level if level == 252 else wall(level), noise)
    for photos, which in (((blank, pair.left), "the first photo is"), ((pair.left, blank), "the second photo is")):
        [finding] = featureless_findings(*photos)
        assert finding.code == "blank" and finding.severity == "error"
        assert which in finding.message and word in finding.message and finding.advice
        assert finding.numbers["detail_levels"] < BLANK_DETAIL
    assert "both photos are" in featureless_findings(blank, blank)[0].message


def test_a_photo_of_little_contrast_is_not_blank(pair):
    foggy_pair = foggy(pair.left, 0.1), foggy(pair.right, 0.1, seed=1)
    [finding] = featureless_findings(*foggy_pair)
    assert finding.code == "low_contrast" and finding.severity == "error"
    assert finding.numbers["grey_range"] == pytest.approx(0.1 * grey_range(to_grey(pair.left.pixels)), abs=4)
    assert not featureless_findings(pair.left, pair.right)


def test_detail_of_a_known_pattern():
    """Squares of 8 px, light and dark: each mean of 4 x 4 px is 10 levels off, and so is the root mean square."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    grey = np.where((x // 8 + y // 8) % 2, 110, 90).astype(np.uint8)
    assert detail_levels(grey) == pytest.approx(10 * np.sqrt(64 / 61), rel=0.01)
    shaded = np.clip(np.rint(100 + x / 4), 0, 255).astype(np.uint8)
    assert detail_levels(shaded) < 0.3, "shading is no detail"
    assert detail_levels(grey[:20]) == 0


def test_noise_counts_a_quarter():
    grey = to_grey(whole(128, 4.0).pixels)
    assert detail_levels(grey) == pytest.approx(grey.std() / 4, rel=0.2)


@pytest.mark.parametrize(("first", "second"), [(wall(3), wall(3)), (wall(200), wall(200)), (128, 128)])
def test_a_run_names_blank_photos(first, second):
    with pytest.raises(StereoError) as caught:
        prepare(whole(first, 1.0), whole(second, 1.0, seed=1), config=Config())
    assert caught.value.code == "blank" and caught.value.exit_code == EXIT_PAIR
    assert any(c.isdigit() for c in caught.value.message)


def test_one_blank_photo_is_named(pair):
    with pytest.raises(StereoError) as caught:
        prepare(pair.left, whole(wall(200), 1.0), config=Config())
    assert caught.value.code == "blank" and "the second photo is blank" in caught.value.message


def test_two_foggy_photos_of_other_things_are_of_low_contrast(pair):
    other = synthetic.render("still_life", size=SHAPE[::-1], supersample=1)
    with pytest.raises(StereoError) as caught:
        prepare(foggy(pair.left, 0.05), foggy(other.left, 0.05, seed=1), config=Config())
    assert caught.value.code == "low_contrast"


@pytest.mark.parametrize("contrast", [0.2, 0.1, 0.05])
def test_a_foggy_pair_that_matches_is_a_warning(pair, contrast):
    prepared = prepare(foggy(pair.left, contrast), foggy(pair.right, contrast, seed=1), config=Config())
    findings = {f.code: f for f in prepared.findings}
    assert findings["low_contrast"].severity == "warning" and "bad_exposure" not in findings
    assert "error" not in {f.severity for f in findings.values()}


def test_stretched_contrast_finds_the_features_of_a_foggy_pair(pair):
    clear = len(match_features(pair.left, pair.right))
    foggy_pair = foggy(pair.left, 0.1, noise=0.3), foggy(pair.right, 0.1, noise=0.3, seed=1)
    assert len(match_features(*foggy_pair)) > 0.4 * clear


def test_the_stretch_of_contrast_by_hand():
    grey = np.tile(np.arange(100, 121, dtype=np.uint8), (30, 10))  # 21 levels about 110
    stretched = stretch_contrast(grey)
    assert grey_range(stretched) == pytest.approx(120, abs=6) and np.median(stretched) == 128
    assert (np.diff(stretched[0, :21].astype(int)) > 0).all()
    ordinary = cv2.randu(np.zeros((30, 30), np.uint8), 0, 255)
    assert stretch_contrast(ordinary) is ordinary
    constant = np.full((30, 30), 9, np.uint8)
    assert stretch_contrast(constant) is constant
