"""Two photos that are one picture are called by what was done to it; two photos of a wall are not."""

import cv2
import numpy as np
import pytest

from stereo3d.diagnosis.copies import copy_findings, fit_similarity
from stereo3d.errors import CODES, EXIT_PAIR
from stereo3d.records import Matches, Photo

SIZE = (640, 480)  # px, of the first photo


def picture(width, height, seed=0):
    """Blobs of all sizes, down to a pixel."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.uniform(-1, 1, (height // n, width // n, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
        for n in (80, 20, 5, 2, 1)
    ]
    return np.clip(np.rint(128 + 50 * sum(layers)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def fine():
    """A picture of twice the size of the first photo, which is it reduced."""
    return picture(2 * SIZE[0], 2 * SIZE[1])


@pytest.fixture(scope="module")
def first(fine):
    return Photo(cv2.resize(fine, SIZE, interpolation=cv2.INTER_AREA))


def moved(x1, scale=1.0, angle=0.0, shift=(0.0, 0.0)):
    """x2 = scale R x1 + shift, pixel centres at whole numbers."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return scale * (x1 + 0.5) @ np.array([[c, s], [-s, c]]) - 0.5 + shift


def matches_of(second, noise=0.15, outliers=0.08, **how):
    """Matches of 300 places of the first photo that the second shows, some of them wrong."""
    rng = np.random.default_rng(1)
    x1 = rng.uniform([0, 0], np.array(SIZE) - 1, (6000, 2))
    x2 = moved(x1, **how)
    seen = ((x2 >= 0) & (x2 <= np.array(second.size) - 1)).all(1)
    x1, x2 = x1[seen][:300], x2[seen][:300]
    x2 = x2 + rng.normal(0, noise, x2.shape) * max(1, how.get("scale", 1))
    wrong = rng.random(len(x2)) < outliers
    x2[wrong] = rng.uniform([0, 0], np.array(second.size) - 1, (wrong.sum(), 2))
    return Matches(x1, x2, np.ones(len(x1), np.float32))


def found(first, second, **how):
    """(code, message) of the only finding, None where there is none."""
    findings = copy_findings(matches_of(second, **how), first, second)
    assert len(findings) <= 1
    for f in findings:
        assert f.severity == "error" and f.advice and CODES[f.code] == EXIT_PAIR and any(c.isdigit() for c in f.message)
        assert all(np.isfinite(v) for v in f.numbers.values())
    return (findings[0].code, findings[0].message) if findings else None


def resized(photo, scale):
    size = tuple(round(scale * n) for n in photo.size)
    return Photo(cv2.resize(photo.pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC))


def test_a_crop_is_called_a_crop(first):
    part = Photo(first.pixels[90:390, 120:540])
    code, message = found(first, part, shift=(-120, -90))
    assert code == "crop" and "the second photo is a crop of the first" in message and "resized" not in message
    x = matches_of(part, shift=(-120, -90))
    [finding] = copy_findings(Matches(x.x2, x.x1, x.score), part, first)
    assert finding.code == "crop" and "the first photo is a crop of the second" in finding.message


@pytest.mark.parametrize("scale", [0.6, 1.7])
def test_a_crop_that_was_resized_is_a_crop(first, scale):
    part = resized(Photo(first.pixels[90:390, 120:540]), scale)
    code, message = found(first, part, scale=scale, shift=(-120 * scale, -90 * scale))
    assert code == "crop" and f"resized by {scale:.2f}" in message


def test_two_crops_of_one_picture(first):
    left, right = Photo(first.pixels[:, :480]), Photo(first.pixels[20:, 160:])
    code, message = found(left, right, shift=(-160, -20))
    assert code == "crop" and "crops of one picture" in message
    assert not copy_findings(matches_of(right, shift=(-160, -20)), left, right, posed=True), "a wall before a rig"


@pytest.mark.parametrize("outliers", [0.0, 0.04])
def test_bars_before_a_wall_in_a_parallel_pair_are_no_crops(first, outliers):
    left, right = Photo(first.pixels[:, :480]), Photo(first.pixels[20:, 160:])
    matches = matches_of(right, shift=(-160, -20), outliers=outliers)
    nearer = np.random.default_rng(2).random(len(matches)) < 0.11
    x2 = matches.x2 + np.where(nearer, 0.2, 0)[:, None] * [-160, -20]
    assert not copy_findings(Matches(matches.x1, x2, matches.score), left, right)


@pytest.mark.parametrize(("outliers", "yaw", "roll"), [(0.0, 0.0, 0.0), (0.04, 0.004, 0.02)])
def test_things_before_a_wall_that_one_walks_towards_are_no_crop(first, outliers, yaw, roll):
    """Matches of a wall at 10 and of things at 3 to 8, by a camera that steps .8 ahead and .2 aside, and turns."""
    rng = np.random.default_rng(4)
    count, focal = 800, 600.0
    x1 = rng.uniform([60, 40], [580, 440], (count, 2))
    z = np.where(rng.random(count) < 0.85, 10.0, rng.uniform(3, 8, count))
    X = np.c_[(x1 - [319.5, 239.5]) / focal * z[:, None], z] - [0.2, 0.0, 0.8]
    turn = np.array([[1, 0, yaw], [0, 1, 0], [-yaw, 0, 1]]) @ [
        [np.cos(roll), -np.sin(roll), 0],
        [np.sin(roll), np.cos(roll), 0],
        [0, 0, 1],
    ]
    X = X @ turn.T
    x2 = focal * X[:, :2] / X[:, 2:] + [319.5, 239.5] + rng.normal(0, 0.1, (count, 2))
    wrong = rng.random(count) < outliers
    x2[wrong] = rng.uniform([0, 0], SIZE, (wrong.sum(), 2))
    found = fit_similarity(x1, x2, 0.7)
    assert found is not None and found.share > 0.8 and found.beyond(SIZE, SIZE)[1] > 5 > found.beyond(SIZE, SIZE)[0]
    assert not copy_findings(Matches(x1, x2, np.ones(count)), first, first)
    x2[z < 10] += rng.uniform(-9, 9, (np.count_nonzero(z < 10), 2))
    (finding,) = copy_findings(Matches(x1, x2, np.ones(count)), first, first)
    assert finding.code in ("crop", "zoom"), "what is off in all directions is no parallax"


@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_a_resized_copy_is_the_same_picture(first, scale):
    code, message = found(first, resized(first, scale), scale=scale)
    assert code == "same_photo" and f"resized by {scale:.2f}" in message


@pytest.mark.parametrize(("turns", "angle", "shift"), [(3, 90, (SIZE[1], 0)), (2, 180, SIZE), (1, -90, (0, SIZE[0]))])
def test_a_turned_copy_is_the_same_picture(first, turns, angle, shift):
    turned = Photo(np.ascontiguousarray(np.rot90(first.pixels, turns)))
    code, message = found(first, turned, angle=angle, shift=shift)
    assert code == "same_photo" and f"turned by {abs(angle)} degrees" in message


def test_a_zoom_has_detail_of_its_own_and_an_enlarged_crop_has_none(fine, first):
    zoomed = Photo(fine[240:720, 320:960])
    code, message = found(first, zoomed, scale=2.0, shift=(-320, -240))
    assert code == "zoom" and "a zoom of 2.00" in message and "no parallax" in message
    enlarged = resized(Photo(first.pixels[120:360, 160:480]), 2)
    assert found(first, enlarged, scale=2.0, shift=(-320, -240))[0] == "crop"


def test_a_copy_without_letterbox_bars_is_the_same_picture(first):
    barred = Photo(cv2.copyMakeBorder(first.pixels, 60, 60, 0, 0, cv2.BORDER_CONSTANT, value=(0, 0, 0)))
    assert found(first, barred, shift=(0, 60))[0] == "same_photo"


@pytest.mark.parametrize(
    "how",
    [
        {"shift": (-60.0, 0.3), "angle": 0.2},  # a wall, seen from two places
        {"shift": (-60.0, 7.0), "scale": 1.004},
        {"shift": (-130.0, -90.0), "scale": 1.01, "angle": -3.0},
    ],
)
def test_a_wall_seen_from_two_places_is_no_copy(first, how):
    assert found(first, first, **how) is None


def test_parallax_is_no_copy(first):
    rng = np.random.default_rng(2)
    x1 = rng.uniform([0, 0], SIZE, (300, 2))
    x2 = x1 - np.stack([rng.uniform(5, 40, 300), np.zeros(300)], 1)
    assert not copy_findings(Matches(x1, x2, np.ones(300, np.float32)), first, first)


@pytest.mark.parametrize("n", [0, 1, 2, 12])
def test_few_matches_say_nothing(first, n):
    x1 = np.random.default_rng(3).uniform([0, 0], SIZE, (n, 2))
    assert not copy_findings(Matches(x1, x1 + [100.0, 0], np.ones(n, np.float32)), first, first)


def test_a_similarity_is_fitted_to_most_matches():
    rng = np.random.default_rng(4)
    x1 = rng.uniform(0, 1000, (200, 2))
    x2 = moved(x1, scale=0.8, angle=25, shift=(30, -12))
    x2[:50] = rng.uniform(0, 1000, (50, 2))
    fit = fit_similarity(x1, x2, 1.0)
    assert fit.scale == pytest.approx(0.8, abs=1e-9) and fit.angle_deg == pytest.approx(25, abs=1e-6)
    assert fit.share == pytest.approx(0.75, abs=0.02) and fit.residual < 1e-9
    assert fit_similarity(x1[:1], x2[:1], 1.0) is None
