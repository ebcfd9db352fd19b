"""Features and matches: against scenes whose every match is known, and plain numpy oracles."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from examples import tries
from hypothesis import given, settings
from hypothesis import strategies as st

from stereo3d import features
from stereo3d.errors import StereoError
from stereo3d.features import DETECTORS, detect_features, detectors, match_features, matching
from stereo3d.features.detectors import spread
from stereo3d.geometry import fundamental_from_pose, hom, project, sampson, transform, undistort
from stereo3d.images.reduce import reduced_grey
from stereo3d.records import Features, Matches, Photo, TwoView
from stereo3d.synthetic import renderer

OPTIONS = {"sift": {}, "orb": {"features": 2500}, "asift": {"features": 4000, "tilts": 1}}  # fewer: faster


def true_positions(pair, x1):
    """Where the surface seen at pixels x1 of photo 1 falls in photo 2, and which pixels lie well on a surface."""
    rig = pair.rig
    i = np.rint(x1).astype(int)
    h, w = pair.depth1.shape
    i = np.clip(i, 2, [w - 3, h - 3])
    around = np.stack([pair.depth1[i[:, 1] + b, i[:, 0] + a] for a in (-2, 0, 2) for b in (-2, 0, 2)])
    smooth = (around.max(0) - around.min(0)) < 0.02 * around.min(0)
    # depth at the very place, by the inverse depth of its neighbours, which is linear on a plane
    a, b = (x1 - np.floor(x1)).T
    j = np.clip(np.floor(x1).astype(int), 0, [w - 2, h - 2])
    q = 1 / pair.depth1
    inverse = (
        (1 - a) * (1 - b) * q[j[:, 1], j[:, 0]]
        + a * (1 - b) * q[j[:, 1], j[:, 0] + 1]
        + (1 - a) * b * q[j[:, 1] + 1, j[:, 0]]
        + a * b * q[j[:, 1] + 1, j[:, 0] + 1]
    )
    X = hom(undistort(x1, rig.cam1.K, rig.cam1.dist)) / inverse[:, None]
    return project(X, rig.cam2.K, rig.R, rig.t, rig.cam2.dist), smooth


# ------------------------------------------------------------------------------------------------- against truth


@pytest.mark.parametrize(("method", "least", "share"), [("sift", 400, 0.97), ("orb", 80, 0.9)])
@pytest.mark.parametrize("scene", ["slanted_pair", "handheld_pair", "vertical_pair"])
def test_matches_agree_with_the_true_depth(request, scene, method, least, share):
    pair = request.getfixturevalue(scene)
    matches = match_features(pair.left, pair.right, method=method, **OPTIONS[method])
    assert len(matches) >= least
    expected, smooth = true_positions(pair, matches.x1)
    error = np.linalg.norm(matches.x2 - expected, axis=1)[smooth]
    assert smooth.mean() > 0.7
    assert (error < 1.5).mean() > share
    if method == "sift":
        assert np.median(error) < 0.25


def test_low_contrast_features_are_asked_for():
    """A quarter of OpenCV's own threshold: more features of the same picture, and Lowe's when asked."""
    grey = np.asarray(renderer.render("sphere", size=(160, 120)).left.pixels[..., 1])
    grey = np.clip(110 + (grey.astype(float) - 110) * 0.3, 0, 255).astype(np.uint8)
    ours, lowes = len(detectors.sift(grey)[0]), len(detectors.sift(grey, contrast=0.04)[0])
    assert ours > 1.5 * lowes > 0


@pytest.mark.parametrize("method", DETECTORS)
def test_one_to_one_by_place_in_order_of_score(handheld_pair, method):
    matches = match_features(handheld_pair.left, handheld_pair.right, method=method, **OPTIONS[method])
    for x, photo in ((matches.x1, handheld_pair.left), (matches.x2, handheld_pair.right)):
        assert x.dtype == np.float64 and x.shape == (len(matches), 2)
        assert len(np.unique(np.round(x, 2), axis=0)) == len(x)
        assert (x > -0.5).all() and (x < np.array(photo.size) - 0.5).all()
    assert matches.score.dtype == np.float32
    assert (np.diff(matches.score) <= 0).all() and matches.score[-1] > 0.2 - 1e-6 and matches.score[0] <= 1


def test_matches_are_pixels_of_the_photos_whatever_they_were_reduced_to():
    """Photos of different size and a reduction: x -> (x + 1/2) s - 1/2 back and forth, no shift left."""
    camera = renderer.render("sphere", size=(60, 40), supersample=1).rig.cam1
    K = np.array([[620.0, 0, 319.5], [0, 620, 239.5], [0, 0, 1]])
    second = replace(camera, K=np.array([[410.0, 0, 214.5], [0, 410, 159.5], [0, 0, 1]]), size=(430, 320))
    pair = renderer.render("sphere", size=(640, 480), K=K, camera2=second, pose="handheld", supersample=2)
    for max_size in (1600, 320):
        matches = match_features(pair.left, pair.right, max_size=max_size, refine=False)
        expected, smooth = true_positions(pair, matches.x1)
        e = (matches.x2 - expected)[smooth]
        e = e[np.linalg.norm(e, axis=1) < 3]
        assert len(e) > 100
        # a forgotten half pixel would shift all matches by (s2 - s1) / 2, of which a tenth would be seen here
        assert np.abs(np.median(e, 0)).max() < 0.06
        assert np.median(np.linalg.norm(e, axis=1)) < 0.35


def test_patches_fitted_at_twice_the_size_bring_matches_nearer_to_the_truth():
    pair = renderer.render("slanted", size=(640, 480), pose="handheld", supersample=2, noise=1.0)
    plain, fitted = (match_features(pair.left, pair.right, max_size=240, refine=refine) for refine in (False, True))
    assert np.array_equal(plain.x1, fitted.x1) and np.array_equal(plain.score, fitted.score)
    expected, smooth = true_positions(pair, plain.x1)
    before, after = (np.linalg.norm(m.x2 - expected, axis=1)[smooth] for m in (plain, fitted))
    assert smooth.sum() > 100
    assert np.median(after) < 0.4 * np.median(before) and np.median(after) < 0.12
    assert (after < 1.5).mean() >= (before < 1.5).mean() - 0.02
    moved = np.linalg.norm(fitted.x2 - plain.x2, axis=1)
    assert moved.max() <= 3 * np.sqrt(2) * 640 / 480 + 1e-6  # 3 px at most, each way, where it was fitted


def test_patches_are_turned_with_their_features():
    """Photo 2 held upright: without the features' own orientation no patch would fit."""
    pair = renderer.render("slanted", size=(320, 240), pose="turned", supersample=2)
    plain, fitted = (match_features(pair.left, pair.right, refine=refine) for refine in (False, True))
    expected, smooth = true_positions(pair, plain.x1)
    before, after = (np.linalg.norm(m.x2 - expected, axis=1)[smooth] for m in (plain, fitted))
    assert smooth.sum() > 100 and (plain.x2 != fitted.x2).any(1).mean() > 0.6
    assert np.median(after) < 0.6 * np.median(before)


def test_patches_that_do_not_belong_together_stay():
    rng = np.random.default_rng(8)
    pictures = [cv2.GaussianBlur(src=rng.normal(0, 1, (200, 200)), ksize=(0, 0), sigmaX=4) for _ in range(2)]
    left, right = (Photo(np.repeat(np.clip(128 + 400 * p, 0, 255).astype(np.uint8)[..., None], 3, 2)) for p in pictures)
    x = rng.uniform(30, 170, (300, 2))
    matches = Matches(x, x + rng.uniform(-2, 2, x.shape), np.ones(300, np.float32))
    found = matching.refine_matches(left, right, matches, np.tile(np.eye(2), (300, 1, 1)))
    moved = (found.x2 != matches.x2).any(1)
    assert moved.mean() < 0.1
    same = matching.refine_matches(left, left, matches, np.tile(np.eye(2), (300, 1, 1)))
    assert (same.x2 != matches.x2).any(1).mean() > 0.7
    assert np.median(np.linalg.norm(same.x2 - x, axis=1)) < 0.01


def test_an_affine_patch_is_found_exactly():
    """Two samplings of one smooth picture, a known affine map and another exposure between them."""
    rng = np.random.default_rng(6)
    k, phase = rng.normal(0, 0.25, (30, 2)), rng.uniform(0, 6, 30)

    def shade(x, y):
        return 128 + 12 * np.sin(k[:, 0, None, None] * x + k[:, 1, None, None] * y + phase[:, None, None]).sum(0)

    A, b = np.array([[1.08, 0.1], [-0.06, 0.95]]), np.array([4.3, -2.6])  # x2 = A x1 + b
    x, y = np.meshgrid(np.arange(120.0), np.arange(100.0))
    inverse = np.linalg.inv(A)
    back = np.stack([x - b[0], y - b[1]], -1) @ inverse.T
    images = [shade(x, y), 0.8 * shade(back[..., 0], back[..., 1]) + 20]
    left, right = (Photo(np.repeat(np.clip(np.rint(v), 0, 255).astype(np.uint8)[..., None], 3, 2)) for v in images)
    x1 = rng.uniform([25, 25], [90, 75], (40, 2))
    truth = x1 @ A.T + b
    rough = Matches(x1, truth + rng.uniform(-1.2, 1.2, truth.shape), np.ones(40, np.float32))
    found = matching.refine_matches(left, right, rough, np.tile(np.eye(2), (40, 1, 1)))
    assert np.array_equal(found.x1, x1)
    error = np.linalg.norm(found.x2 - truth, axis=1)
    assert np.median(error) < 0.05 and (error < 0.2).mean() > 0.9
    far = Matches(x1, truth + [15.0, 0], np.ones(40, np.float32))
    kept = matching.refine_matches(left, right, far, np.tile(np.eye(2), (40, 1, 1)))
    assert np.abs(kept.x2 - far.x2).max() <= 3 + 1e-9  # where nothing fits within 3 px, it stays
    assert (kept.x2 == far.x2).all(1).mean() > 0.5


def test_the_epipolar_constraint_holds_for_most_matches(handheld_pair):
    from stereo3d.geometry import fundamental_from_pose

    rig = handheld_pair.rig
    matches = match_features(handheld_pair.left, handheld_pair.right)
    F = fundamental_from_pose(rig.cam1.K, rig.cam2.K, rig.R, rig.t)
    assert (np.abs(sampson(F, matches.x1, matches.x2)) < 1).mean() > 0.95


def test_places_of_a_known_detector(monkeypatch):
    """Features at given pixels of the reduced photos; two of the second photo's at one place."""
    x = np.stack([np.arange(5, 45, dtype=float), np.arange(40.0) % 20 + 2], -1)
    rng = np.random.default_rng(7)
    d = rng.integers(0, 99, (40, 32)).astype(np.float32)

    def known(grey):
        assert grey.shape == (30, 50)
        places = x.copy()
        if grey[0, 0] == 200:  # the second photo
            places[1] = places[0]
        return places, d, np.tile(np.eye(2), (40, 1, 1))

    monkeypatch.setitem(DETECTORS, "known", known)
    photos = [Photo(np.full((60, 100, 3), v, np.uint8)) for v in (100, 200)]
    matches = match_features(*photos, method="known", max_size=50, refine=False)
    order = np.argsort(matches.x1[:, 0])
    expected = np.delete(x, 1, 0)  # of equally good ones the first stays
    assert len(matches) == 39
    assert np.array_equal(matches.x1[order], (expected + 0.5) * 2 - 0.5)
    assert np.array_equal(matches.x2[order], (expected + 0.5) * 2 - 0.5)
    assert (matches.score == 1).all()


# ------------------------------------------------------------------------------------------- determinism


@pytest.mark.parametrize("method", DETECTORS)
def test_the_number_of_threads_changes_nothing(handheld_pair, method):
    before = cv2.getNumThreads()
    found = []
    try:
        for threads in (1, 2):
            cv2.setNumThreads(threads)
            found.append(match_features(handheld_pair.left, handheld_pair.right, method=method, **OPTIONS[method]))
    finally:
        cv2.setNumThreads(before)
    a, b = found
    assert np.array_equal(a.x1, b.x1) and np.array_equal(a.x2, b.x2) and np.array_equal(a.score, b.score)


def test_descriptors_are_whole_numbers_of_equal_length(handheld_pair):
    grey = cv2.cvtColor(handheld_pair.left.pixels, cv2.COLOR_RGB2GRAY)
    x, d, *_ = detectors.sift(grey)
    assert d.dtype == np.float32 and d.shape == (len(x), 128)
    assert np.array_equal(d, np.rint(d)) and d.min() >= 0
    assert np.abs(np.linalg.norm(d, axis=1) - 512).max() < 4  # 128 roundings of up to 1/2, at random
    # so products are exact in float32, in whatever order they are summed
    assert np.array_equal((d[:200] @ d[:200].T).astype(np.int64), d[:200].astype(np.int64) @ d[:200].astype(np.int64).T)
    # RootSIFT: the squares are SIFT's own proportions
    detector = cv2.SIFT_create(nfeatures=0, contrastThreshold=0.01, edgeThreshold=10.0, enable_precise_upscale=True)
    _, theirs = detector.detectAndCompute(grey, None)
    theirs = theirs / theirs.sum(1, keepdims=True)
    assert np.abs((d / 512) ** 2 - theirs).max() < 2e-3
    _, bits, *_ = detectors.orb(grey)
    assert bits.shape[1] == 256 and np.array_equal(np.unique(bits), [-1, 1])
    a, b = bits[3], bits[11]
    assert a @ b == 256 - 2 * np.sum(a != b)


# ------------------------------------------------------------------------------------------------- nearest


def oracle(d1, d2, x1, x2, ratio):
    """Mutual nearest neighbours by all distances; the second nearest is at another place (more than 1 px away)."""
    D = np.sqrt(((d1[:, None].astype(float) - d2[None]) ** 2).sum(-1))
    kept = []
    for i in range(len(d1)):
        j = int(np.argmin(D[i]))
        if int(np.argmin(D[:, j])) != i:
            continue
        other = np.abs(x2 - x2[j]).max(1) > 1
        back = np.abs(x1 - x1[i]).max(1) > 1
        second = min(D[i][other].min(), D[:, j][back].min())
        if D[i, j] < ratio * second:
            kept.append((i, j, 1 - D[i, j] / second))
    return kept


@settings(max_examples=tries(40), deadline=None)
@given(seed=st.integers(0, 10**6), n1=st.integers(20, 60), n2=st.integers(20, 60), ratio=st.floats(0.5, 0.95))
def test_nearest_neighbours_as_the_oracle(seed, n1, n2, ratio):
    rng = np.random.default_rng(seed)
    x1, x2 = rng.uniform(0, 500, (n1, 2)), rng.uniform(0, 500, (n2, 2))
    d1 = rng.integers(0, 60, (n1, 16)).astype(np.float32)
    d2 = rng.integers(0, 60, (n2, 16)).astype(np.float32)
    k = min(n1, n2) // 2
    d2[:k] = np.clip(d1[:k] + rng.integers(-6, 7, (k, 16)), 0, None)
    # a keypoint with two orientations: one place, two almost equal descriptors
    x2[k], d2[k] = x2[0], d2[0] + rng.integers(0, 2, 16)
    x1[k], d1[k] = x1[1], d1[1] + rng.integers(0, 2, 16)
    i, j, score = matching._nearest(d1, d2, x1, x2, ratio)
    expected = oracle(d1, d2, x1, x2, ratio)
    ties = len(expected) != len({j for _, j, _ in expected})
    assert not ties
    found = {(a, b): s for a, b, s in zip(i.tolist(), j.tolist(), score.tolist(), strict=True)}
    wanted = {(a, b): s for a, b, s in expected}
    # equal distances may be decided either way
    D = np.sqrt(((d1[:, None].astype(float) - d2[None]) ** 2).sum(-1))
    for a, b in set(found) ^ set(wanted):
        assert (
            (D[a] == D[a, b]).sum() > 1
            or (D[:, b] == D[a, b]).sum() > 1
            or abs(min(found.get((a, b), 1), wanted.get((a, b), 1)) - (1 - ratio)) < 1e-5
        )
    for key in set(found) & set(wanted):
        assert found[key] == pytest.approx(wanted[key], abs=1e-5)
    assert len(found) >= k // 2


def test_parts_of_the_features_change_nothing(monkeypatch):
    """Many equal distances, features at one place, blocks and parts of any size: always what one part alone finds."""
    rng = np.random.default_rng(1)
    d1, d2 = (rng.integers(0, 4, (n, 6)).astype(np.float32) for n in (500, 400))
    x1, x2 = (rng.integers(0, 30, (n, 2)).astype(float) for n in (500, 400))
    found = []
    for parts in (1, 3, 8):
        monkeypatch.setattr("stereo3d.features.matching.PARTS", parts)
        found.append(matching._nearest(d1, d2, x1, x2, 0.99))
    assert len(found[0][0]) > 5
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


# -------------------------------------------------------------------------------------------------- spread


def test_spread_keeps_the_strongest_of_every_cell():
    rng = np.random.default_rng(2)
    size, count = (400, 300), 80
    # nine of ten points crowd in one corner
    x = np.concatenate([rng.uniform(0, 40, (900, 2)), rng.uniform(0, 1, (100, 2)) * size])
    response = rng.uniform(0, 1, 1000) + (np.arange(1000) < 900)  # and are the strongest
    kept = spread(x, response, size, count)
    assert len(kept) == count and len(np.unique(kept)) == count and (np.diff(kept) > 0).all()
    side = np.sqrt(400 * 300 * 8 / count)
    cell = (x // side).astype(int) @ [1, 1000]
    taken = np.isin(np.arange(1000), kept)
    counts = []
    for c in np.unique(cell):
        inside = cell == c
        counts.append((taken & inside).sum())
        if (~taken & inside).any() and (taken & inside).any():
            assert response[taken & inside].min() >= response[~taken & inside].max()
        assert (taken & inside).any()  # every cell keeps its best
        # by turns: a cell has no more than one more than any other that had more to give
        if (~taken & inside).any():
            assert max((taken & (cell == d)).sum() for d in np.unique(cell)) <= (taken & inside).sum() + 1
    assert (taken[:900]).sum() < 0.5 * count


def test_spread_keeps_all_where_they_are_few():
    x = np.random.default_rng(3).uniform(0, 100, (30, 2))
    for count in (30, 31, 1000):
        assert spread(x, np.ones(30), (100, 100), count).tolist() == list(range(30))
    assert len(spread(x, np.arange(30.0), (100, 100), 1)) == 1


@pytest.mark.parametrize("method", DETECTORS)
def test_at_most_so_many_features(handheld_pair, method):
    grey = cv2.cvtColor(handheld_pair.left.pixels, cv2.COLOR_RGB2GRAY)
    x, d, *_ = DETECTORS[method](grey, **{**OPTIONS[method], "features": 100})
    assert len(x) == len(d) == 100
    w, h = handheld_pair.left.size
    quarters = (x[:, 0] > w / 2).astype(int) + 2 * (x[:, 1] > h / 2)
    # ORB itself keeps but the strongest two hundred to choose from
    assert np.bincount(quarters, minlength=4).min() >= {"sift": 10, "orb": 1, "asift": 10}[method]


# ------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("method", DETECTORS)
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_blank_photo_has_few_features(handheld_pair, method, grey):
    blank = Photo(np.full((360, 480, 3), grey, np.uint8))
    for photos, name in (((handheld_pair.left, blank), "second"), ((blank, handheld_pair.right), "first")):
        with pytest.raises(StereoError) as caught:
            match_features(*photos, method=method, **OPTIONS[method])
        assert caught.value.code == "few_features" and name in caught.value.message
        assert caught.value.numbers["features"] < 20


@pytest.mark.parametrize("method", DETECTORS)
@pytest.mark.parametrize("size", [(3, 200), (20, 15)])
def test_tiny_photos_end_in_one_clear_error(method, size):
    pixels = np.random.default_rng(4).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    with pytest.raises(StereoError) as caught:
        match_features(Photo(pixels), Photo(pixels), method=method, **OPTIONS[method])
    assert caught.value.code == "few_features"


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"foo": 1}, "sift has no option 'foo'"),
        ({"contrast": -1}, "sift.contrast cannot be -1"),
        ({"ratio": 2}, "sift.ratio cannot be 2"),
        ({"max_size": 0}, "max_size cannot be 0"),
    ],
)
def test_unknown_options_are_refused(handheld_pair, wrong, words):
    photos = handheld_pair.left, handheld_pair.right
    found = Features(np.zeros((30, 2)), np.zeros((30, 128), np.float32), np.zeros((30, 2, 2)))
    calls = [lambda **o: match_features(*photos, **o), lambda **o: match_features(*photos, found=(found, found), **o)]
    for call in calls if "ratio" in wrong else [*calls, lambda **o: detect_features(photos[0], **o)]:
        with pytest.raises(StereoError, match=words) as caught:
            call(**wrong)
        assert caught.value.code == "bad_option" and caught.value.advice


def test_unrelated_photos_match_little(handheld_pair):
    noise = np.random.default_rng(5).integers(0, 256, (360, 480, 3), dtype=np.uint8)
    noise = cv2.GaussianBlur(src=noise, ksize=(0, 0), sigmaX=1.5)
    assert len(match_features(handheld_pair.left, Photo(noise))) < 40


# ------------------------------------------------------------------------------------- along epipolar lines


def test_a_first_estimate_guides_to_more_matches_that_are_right(handheld_pair):
    left, right, rig = handheld_pair.left, handheld_pair.right, handheld_pair.rig
    found = features.detect_features(left), features.detect_features(right)
    F = fundamental_from_pose(rig.cam1.K, rig.cam2.K, rig.R, rig.t)
    view = TwoView(F, rig.R, rig.t, np.ones(0, bool), rig)
    free = match_features(left, right, found=found)
    guided = match_features(left, right, found=found, view=view)
    assert len(guided) > len(free)
    truth, seen = true_positions(handheld_pair, guided.x1)
    error = np.linalg.norm(guided.x2 - truth, axis=1)[seen]
    assert np.mean(error < 1.5) > 0.97
    # each was within the tolerance of its line before its place was refined
    rough = match_features(left, right, found=found, view=view, refine=False)
    lines = hom(rough.x1) @ F.T
    distance = np.abs((lines * hom(rough.x2)).sum(1)) / np.linalg.norm(lines[:, :2], axis=1)
    assert distance.max() <= matching.GUIDE_PX * 1.001


def test_size_of_detection(handheld_pair):
    """Where photos are matched at 200 px SIFT, which enlarges them itself, finds features in 150 px, and orb in 200."""
    for method, size in (("sift", 150), ("orb", 200)):
        for photo in (handheld_pair.left, handheld_pair.right):
            grey, scale = reduced_grey(photo, size)
            x, descriptors, _ = DETECTORS[method](grey)
            found = detect_features(photo, method=method, max_size=200)
            np.testing.assert_array_equal(found.x, (x + 0.5) / scale - 0.5)
            np.testing.assert_array_equal(found.descriptors, descriptors)


def test_only_what_is_near_is_compared():
    rng = np.random.default_rng(5)
    d1, d2 = (rng.integers(0, 60, (n, 16)).astype(np.float32) for n in (140, 150))
    x1, x2 = (rng.uniform(0, 500, (n, 2)) for n in (140, 150))
    x1[7] = np.nan  # one that has nothing to be compared with
    F = rng.normal(size=(3, 3)) * [[1e-4, 1e-4, 0.1], [1e-4, 1e-4, 0.1], [0.1, 0.1, 10]]
    e = np.abs(hom(x1) @ F.T @ hom(x2).T)
    steep1 = np.linalg.norm((hom(x1) @ F.T)[:, :2], axis=1)
    steep2 = np.linalg.norm((hom(x2) @ F)[:, :2], axis=1)
    with np.errstate(invalid="ignore"):
        allowed = (e < 20 * steep1[:, None]) & (e < 20 * steep2)
    assert 0.02 < allowed.mean() < 0.3
    i, j, _ = matching._nearest(d1, d2, x1, x2, 1.0, (F, x1, x2, 20.0))
    D = np.where(allowed, ((d1[:, None] - d2[None]) ** 2).sum(-1), np.inf)
    best = D.argmin(1)
    mutual = {(a, int(b)) for a, b in enumerate(best) if np.isfinite(D[a, b]) and D[:, b].argmin() == a}
    assert set(zip(i.tolist(), j.tolist(), strict=True)) <= mutual
    assert len(i) >= 0.8 * len(mutual) > 10 and allowed[i, j].all()


def test_simulated_views_match_what_is_seen_at_a_slant():
    """A plane turned by 66 degrees about the vertical: plain SIFT finds next to nothing, simulated views do."""
    rng = np.random.default_rng(8)
    noise = [cv2.resize(rng.uniform(0, 255, (n, n)), (480, 480), interpolation=cv2.INTER_CUBIC) for n in (12, 30, 80)]
    photo = np.clip(0.35 * noise[0] + 0.35 * noise[1] + 0.3 * noise[2], 0, 255).astype(np.uint8)
    c = np.cos(np.radians(66))
    slant = np.array([[c, 0, 120], [0.1, 1, -10], [0, 0, 1]])
    narrow = cv2.GaussianBlur(photo, (0, 0), sigmaX=0.8 * np.sqrt(1 / c**2 - 1), sigmaY=0.01)
    seen = cv2.warpPerspective(narrow, slant, (480, 480), flags=cv2.INTER_LINEAR, borderValue=128)
    photos = [Photo(np.repeat(p[..., None], 3, axis=2)) for p in (photo, seen)]

    def right(method, **options):
        matches = match_features(*photos, method=method, **options)
        error = np.linalg.norm(transform(slant, matches.x1) - matches.x2, axis=1)
        return int((error < 1.5).sum()), len(matches)

    plain, _ = right("sift")
    simulated, count = right("asift", features=6000)
    assert simulated > 4 * max(plain, 50) and simulated > 0.9 * count


@pytest.mark.parametrize("given", [{"max_size": 0}, {"max_size": "large"}, {"radius": 1}, {"radius": 9.5}])
def test_options_of_the_refinement_out_of_bounds_are_refused(given):
    photo = Photo(np.zeros((64, 64, 3), np.uint8))
    matches = Matches(np.full((1, 2), 30.0), np.full((1, 2), 30.0), np.ones(1))
    with pytest.raises(StereoError) as caught:
        matching.refine_matches(photo, photo, matches, np.eye(2)[None], **given)
    assert caught.value.code == "bad_option" and next(iter(given)) in caught.value.message


def test_default_sizes_are_one_constant():
    from stereo3d.cli.reconstruct import reconstruct
    from stereo3d.options import MAX_SIZE, options_of
    from stereo3d.pipeline import Config
    from stereo3d.rectification import rectify

    (option,) = [p for p in reconstruct.params if p.name == "max_size"]
    defaults = {option.default, Config().max_size}
    defaults |= {options_of(f)["max_size"].default for f in (detect_features, match_features, rectify)}
    assert defaults == {MAX_SIZE}
