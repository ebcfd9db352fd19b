"""Pairs by names, numbers and times, and lists of them."""

import json
import os
from datetime import datetime

import hypothesis.strategies as st
import numpy as np
import pytest
from examples import tries
from hypothesis import given, settings
from PIL import Image

from stereo3d.batches import contents, manifest, pairing
from stereo3d.batches.records import Pair
from stereo3d.batches.sources import find_pairs
from stereo3d.errors import StereoError

WORDS = st.sampled_from(["IMG", "scene", "DSC", "card", "bright", "level", "a-b", "copy 2"])
SIDES = st.sampled_from(
    [("L", "R"), ("l", "r"), ("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT"), ("links", "rechts")]
)


@st.composite
def names(draw):
    """Pairs of names that differ in the word for the side alone; and words that look like one."""
    found = {}
    for number in draw(st.lists(st.integers(0, 9999), min_size=1, max_size=8, unique=True)):
        left, right = draw(SIDES)
        form = draw(st.sampled_from(["{w}_{n:04}_{s}", "{s}_{w}_{n}", "{w}{n:05}-{s}", "{w}.{s}.{n}", "{w} {n} {s}"]))
        word = draw(WORDS)
        found[form.format(w=word, n=number, s=left)] = form.format(w=word, n=number, s=right)
    return found


@given(names(), st.randoms(use_true_random=False))
@settings(max_examples=tries(60), deadline=None)
def test_names_that_differ_in_the_side_are_pairs_in_any_order(expected, random):
    files = [f"x/{name}.jpg" for pair in expected.items() for name in pair]
    random.shuffle(files)
    pairs, rest = pairing.by_sides(files)
    assert rest == []
    assert {(p.left, p.right) for p in pairs} == {(f"x/{a}.jpg", f"x/{b}.jpg") for a, b in expected.items()}
    named = pairing.named(pairs)
    assert len({pair.name.lower() for pair in named}) == len(named)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12), max_size=30))
@settings(max_examples=tries(60), deadline=None)
def test_no_file_is_in_two_pairs_whatever_its_name(words):
    files = sorted({f"x/{word}.png" for word in words})
    found = contents_without_files(files)
    used = [file for pair in found.pairs for file in pair.files]
    assert len(used) == len(set(used)) and set(used) | set(found.left_over) == set(files)
    assert not set(used) & set(found.left_over)
    for pair in pairing.named(found.pairs):
        assert pair.name == os.path.basename(pair.name) and pair.name not in ("", ".", "..") and pair.name[0] != "."


def contents_without_files(files):
    """`pairs_of` of files that do not exist: each look at one fails, as at one that is no photo."""
    return contents.pairs_of(files)


@pytest.mark.parametrize(
    "one, two",
    [
        ("aachen_000000_000019_leftImg8bit.png", "aachen_000000_000019_rightImg8bit.png"),
        ("IMG0001L.jpg", "IMG0001R.jpg"),
        ("im0.png", "im1.png"),
        ("scene_1.png", "scene_2.png"),
        ("view1_shot3.tif", "view2_shot3.tif"),
        ("20240501_101500.jpg", "20240501_101503.jpg"),
    ],
)
def test_two_files_that_are_a_pair(one, two):
    found = contents_without_files([f"x/{one}", f"x/{two}"])
    assert [pair.files for pair in found.pairs] == [(f"x/{one}", f"x/{two}")] and found.pairs[0].why


@pytest.mark.parametrize("names", [("bright1.png", "blight1.png"), ("a_L.png", "b_R.png"), ("x_L.png",)])
def test_words_that_hold_a_side_are_none(names):
    pairs, rest = pairing.by_sides([f"x/{name}" for name in names])
    assert pairs == [] and len(rest) == len(names)


def test_a_side_that_two_files_have_is_left_to_the_user():
    files = ["x/a_L.jpg", "x/a_L.png", "x/a_R.png"]
    assert pairing.by_sides(files) == ([], files)


@given(st.lists(st.tuples(st.floats(0.2, 5), st.floats(60, 5000)), min_size=1, max_size=10))
@settings(max_examples=tries(60), deadline=None)
def test_photos_taken_shortly_after_one_another_are_pairs(gaps):
    times, now, expected = {}, 0.0, []
    for k, (within, apart) in enumerate(gaps):
        one, two = f"p{2 * k:03}", f"p{2 * k + 1:03}"
        times[one], times[two] = now, now + within
        expected.append((one, two))
        now += within + apart
    assert [(a, b) for a, b, _ in pairing.by_times(times)] == expected


def test_photos_taken_evenly_are_no_pairs():
    assert pairing.by_times({f"p{k}": 10.0 * k for k in range(8)}) == []


def test_two_lists_by_names_numbers_and_order():
    left, right = ["l/007.png", "l/008.png"], ["r/008.png", "r/007.png", "r/009.png"]
    found = pairing.of_two_lists(left, right)
    assert [pair.files for pair in found.pairs] == [("l/007.png", "r/007.png"), ("l/008.png", "r/008.png")]
    assert list(found.left_over) == ["r/009.png"]
    found = pairing.of_two_lists(["l/cam_left_12.png"], ["r/other12.png"])
    assert [pair.why for pair in found.pairs] == ["equal numbers"]
    found = pairing.of_two_lists(["l/x.png", "l/y.png"], ["r/p.png", "r/q.png"])
    assert [pair.files for pair in found.pairs] == [("l/x.png", "r/p.png"), ("l/y.png", "r/q.png")]


def photo(path, *, date=None, both=False):
    pixels = np.random.default_rng(len(path.name)).integers(0, 255, (90, 120, 3), np.uint8)
    image = Image.fromarray(np.concatenate([pixels, np.roll(pixels, 2, 1)], 1) if both else pixels)
    exif = image.getexif()
    if date is not None:
        exif.get_ifd(0x8769)[0x9003] = datetime.fromtimestamp(date).strftime("%Y:%m:%d %H:%M:%S")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, exif=exif)


def test_a_folder_of_every_kind(tmp_path):
    for name in (
        "left/1.png",
        "left/2.png",
        "right/1.png",
        "right/2.png",
        "s/im0.png",
        "s/im1.png",
        "out/a_L.png",
        "out/a_R.png",
    ):
        photo(tmp_path / name)
    photo(tmp_path / "cards/one.jpg", both=True)
    photo(tmp_path / "cards/two_sbs.jpg")
    for k, second in enumerate((0, 2, 500, 503)):
        photo(tmp_path / f"dated/{'qwer'[k]}.jpg", date=10**9 + second)
    photo(tmp_path / "dated/lone.jpg", date=10**9 + 9000)
    (tmp_path / "s" / "disp.pfm").write_bytes(b"Pf")
    found, base = find_pairs([str(tmp_path)], out=str(tmp_path / "out"))
    got = {tuple(os.path.relpath(file, tmp_path) for file in pair.files): pair.why for pair in found.pairs}
    assert set(got) == {
        ("left/1.png", "right/1.png"),
        ("left/2.png", "right/2.png"),
        ("s/im0.png", "s/im1.png"),
        ("cards/one.jpg",),
        ("cards/two_sbs.jpg",),
        ("dated/q.jpg", "dated/w.jpg"),
        ("dated/e.jpg", "dated/r.jpg"),
    }
    assert "side by side" in got["cards/one.jpg",] and "EXIF" in got["dated/q.jpg", "dated/w.jpg"]
    assert [os.path.relpath(file, tmp_path) for file in found.left_over] == ["dated/lone.jpg"]
    names = {pair.name for pair in pairing.named(found.pairs, base)}
    assert names == {"1", "2", "s_im0", "cards_one", "cards_two_sbs", "dated_q", "dated_e"}


def test_a_strip_is_its_neighbours(tmp_path):
    for k in (2, 10, 1):
        photo(tmp_path / f"d{k}.jpg")
    found, _ = find_pairs([str(tmp_path)], strip=True)
    assert [[os.path.basename(f) for f in pair.files] for pair in found.pairs] == [
        ["d1.jpg", "d2.jpg"],
        ["d2.jpg", "d10.jpg"],
    ]


def test_words_that_name_nothing_or_too_much(tmp_path):
    photo(tmp_path / "a.png")
    for words, message in (
        ([str(tmp_path / "none")], "no folder, list or photo"),
        ([str(tmp_path / "*.gif")], "no photo"),
        ([str(tmp_path), str(tmp_path / "a.png"), "x.csv"], "stands among 3 words"),
    ):
        with pytest.raises(StereoError, match=message):
            find_pairs(words)


def test_a_name_depends_on_its_own_pair_and_is_safe_in_a_folder():
    pairs = [
        Pair("x/a.jpg", "y/a.jpg"),
        Pair("z/a.jpg", "w/a.jpg"),
        Pair("q/index.html"),
        Pair("q/..jpg"),
        Pair("q/%&.jpg"),
    ]
    named = [pair.name for pair in pairing.named(pairs)]
    assert len(set(named)) == 5 and not any("/" in name or name.startswith(".") or name == "index" for name in named)
    assert [pair.name for pair in pairing.named(pairs[::-1])] == named[::-1]


# ---------------------------------------------------------------------------------------------------------- lists


def test_a_csv_list_with_options_of_each_pair(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(
        "left,right,name,baseline,max-size,mask,force\na.jpg,b.jpg,one,0.12,800,m1.png;m2.png,yes\nc.jpg,,,,,,\n"
    )
    first, second = manifest.read_manifest(str(path))
    assert first.files == (str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg")) and first.name == "one"
    masks = tuple(str(tmp_path / name) for name in ("m1.png", "m2.png"))
    assert first.options == {"baseline": 0.12, "max_size": 800, "mask": masks, "force": True}
    assert second.right is None and second.options == {} and second.why == "line 3 of list.csv"


def test_json_lines_and_addresses(tmp_path):
    path = tmp_path / "list.jsonl"
    rows = [
        {"left": "s3://b/l.png", "right": "r.png", "max_size": 500},
        {"left": "x.mpo", "options": {"matcher.p1": 9}},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    first, second = manifest.read_manifest(str(path))
    assert first.files == ("s3://b/l.png", str(tmp_path / "r.png")) and first.options == {"max_size": 500}
    assert second.options == {"options": {"matcher.p1": 9}}


@pytest.mark.parametrize(
    "text, message",
    [
        ("left,rigth\na,b\n", "Did you mean right"),
        ("first,second,max-size\na,b,big\n", "line 2: max-size cannot be 'big'"),
        ("right\na\n", "left,right"),
        ("left,right\n,b\n", "line 2: it names no left photo"),
        ("left,right\na,b,c\n", "line 2: it has 3 cells"),
        ("left,right\n", "names no pair"),
        ("left,left\na,b\n", "each once"),
    ],
)
def test_a_wrong_list_names_its_line(tmp_path, text, message):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(StereoError, match=message):
        manifest.read_manifest(str(tmp_path / "list.csv"))


@given(st.lists(st.dictionaries(st.sampled_from(["left", "right", "name", "unit"]), st.text(max_size=8)), max_size=5))
@settings(max_examples=tries(40), deadline=None)
def test_any_json_lines_are_pairs_or_an_error(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("list") / "x.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    try:
        pairs = manifest.read_manifest(str(path))
    except StereoError as error:
        assert error.code == "bad_option"
    else:
        assert len(pairs) == len([row for row in rows if row is not None])
