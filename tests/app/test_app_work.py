"""What a child of the app recognises, and what the settings of the page mean."""

import json
import subprocess

import numpy as np
import pytest
from PIL import Image
from spatial_heic import write_spatial

from stereo3d.app import work
from stereo3d.app.child import Child, crash_words, worker_command
from stereo3d.app.settings import CHOICES, KNOWN, config_of, crop_of
from stereo3d.cli.parameters import cli
from stereo3d.disparity.methods import MATCHERS as ALL_MATCHERS
from stereo3d.errors import StereoError
from stereo3d.images.turn import turn_photo
from stereo3d.records import Photo

SIZE = (640, 480)


def look(folder, *paths, **settings):
    """What the page is given of these photos."""
    found = {}
    work.look({"photos": [str(p) for p in paths], "folder": str(folder), "settings": settings}, found.update)
    return found["seen"]


@pytest.fixture
def noise():
    return [np.random.default_rng(k).integers(0, 256, (60, 80, 3)).astype(np.uint8) for k in range(2)]


def test_a_spatial_photo_holds_both_and_its_scale(tmp_path, noise):
    path = tmp_path / "IMG.HEIC"
    write_spatial(path, noise, (0, 1), focal=70.0, baseline_um=19_240, model="iPhone 15 Pro")
    seen = look(tmp_path, path)
    assert seen["ready"] and seen["metric"] and "spatial" in seen["form"] and len(seen["photos"]) == 2
    assert seen["photos"][0] == {**seen["photos"][0], "size": [80, 60], "camera": "Apple iPhone 15 Pro"}
    for name in ("preview1.jpg", "preview2.jpg", "thumb.jpg"):
        with Image.open(tmp_path / name) as picture:
            assert (picture.format, picture.size) == ("JPEG", (80, 60))


def test_one_photo_is_not_enough_and_a_layout_makes_it_two(tmp_path, noise):
    path = tmp_path / "a.png"
    Image.fromarray(noise[0]).save(path)
    seen = look(tmp_path, path)
    assert not seen["ready"] and len(seen["photos"]) == 1
    seen = look(tmp_path, path, layout="sbs")
    assert seen["ready"] and [photo["size"] for photo in seen["photos"]] == [[40, 60]] * 2


def test_what_is_transparent_and_large_previews(tmp_path, noise):
    alpha = np.full((60, 80, 1), 255, np.uint8)
    alpha[:15] = 0
    Image.fromarray(np.concatenate([noise[0], alpha], 2)).save(tmp_path / "a.png")
    Image.new("RGB", (3000, 1500), "red").save(tmp_path / "b.png")
    first, second = look(tmp_path, tmp_path / "a.png", tmp_path / "b.png")["photos"]
    assert first["mask"] == 0.25 and "mask" not in second and second["size"] == [3000, 1500]
    with Image.open(tmp_path / "preview2.jpg") as picture:
        assert picture.size == (1400, 700)


def test_the_child_answers_by_lines_and_libraries_do_not_disturb(tmp_path, noise):
    Image.fromarray(noise[0]).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_text("no picture")
    answers = []
    for photo in ("a.png", "b.jpg"):
        job = {"do": "look", "photos": [str(tmp_path / photo)], "folder": str(tmp_path), "settings": {}}
        assert Child(worker_command(), job, tmp_path / "log").reports(answers.append) == 0
    assert list(answers[0]) == ["seen"] and answers[1]["error"]["code"] == "photo_unreadable"
    # it ends with its parent
    process = subprocess.Popen(worker_command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write(json.dumps({"do": "look", "photos": []}).encode() + b"\n")
    process.stdin.close()
    process.wait(60)
    process.stdout.close()
    assert "exit code 3" in crash_words(3) and "SIGKILL" in crash_words(-9) and "memory" in crash_words(-9)


def test_errors_are_in_the_words_of_the_page(capfd):
    error = StereoError("bad_option", "unit 'm' needs a length.", "Give --baseline, or --force.")
    words = work.error_words(error)
    assert words["code"] == "bad_option" and "--" not in words["advice"] and "positions" in words["advice"]
    assert work.error_words(MemoryError())["code"] == "memory"
    bug = work.error_words(KeyError("x"))
    assert bug["code"] == "bug" and "KeyError" in bug["message"]
    options = {name for parameter in cli.commands["reconstruct"].params for name in parameter.opts}
    assert set(work.WORDS) <= options and {fields["matcher"] for fields in CHOICES.values()} <= set(ALL_MATCHERS)


def test_the_time_of_a_whole_run_is_that_of_earlier_ones_in_proportion():
    def whole(pixels, *, compiled):
        said = {}
        watch = work.Watch(lambda **report: said.update(report), "app test", pixels)
        watch("photos")
        assert said["stage"] == "photos" and said["stages"][-1] == "write" and said["index"] == 0
        watch.begun -= 10  # s
        watch.save(compiled=compiled)
        return said["total_estimate"]

    assert whole(1000, compiled=True) is None
    assert whole(1000, compiled=False) is None, "what has compiled is no measure"
    assert whole(3000, compiled=False) == pytest.approx(30, rel=0.1)


def config(**settings):
    return config_of(settings, SIZE)


def test_settings_of_the_page():
    plain = config()
    assert (plain.matcher, plain.baseline, plain.unit) == ("planes", None, None)
    found = config(quality="draft", scale="baseline", length=0.12, unit="cm", rotate="90", close=True, force=True)
    assert (found.matcher, found.baseline, found.unit, found.rotate) == ("sgm", 0.12, "cm", 90)
    assert found.close and found.force
    found = config(scale="marker", marker="4X4_50:3", length=0.05)
    assert found.markers == ("4X4_50:3:0.05",) and found.unit == "m"
    assert config(scale="none", length=3, unit="m").unit is None, "what is not chosen is not used"
    assert config(layout="tb-half").layout == "tb-half"


def test_options_that_were_tuned():
    found = config(quality="tuned", matcher="sgm", options={"matcher.p1": 12, "range.margin": 0.5}, close=True)
    assert found.matcher == "sgm" and found.close
    assert found.options["matcher.p1"] == 12 and found.options["range.margin"] == 0.5
    assert config(quality="fast", matcher="sgm", options={"matcher.p1": 12}).options == config(quality="fast").options


@pytest.mark.parametrize("turn", [None, "90", "180", "270"])
def test_points_are_those_of_the_photo_as_shown(turn):
    """The two marked pixels, and the same two in the turned photo, show the same thing."""
    pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    ends = [(100, 50), (600, 400)]
    for (x, y), value in zip(ends, (1, 2), strict=True):
        pixels[y, x] = value
    turned = turn_photo(Photo(pixels), int(turn or 0)).pixels
    first, second, length = config(scale="distance", points=ends, length=2, rotate=turn).known_distance
    assert length == 2
    for (x, y), value in ((first, 1), (second, 2)):
        assert turned[round(y), round(x), 0] == value


@pytest.mark.parametrize("turn", [None, "90", "180", "270"])
@pytest.mark.parametrize("crop", [[99.6, 50, 300, 400], [100, 50, 600, 60, 200, 400]])
def test_a_part_is_that_of_the_photo_as_shown(turn, crop):
    """The pixels at the corners show the same in the turned photo; a box stays one, its first corner the upper left."""
    down, right = np.mgrid[: SIZE[1], : SIZE[0]]
    turned = turn_photo(Photo(np.stack([right // 3, down // 3, 0 * down], -1).astype(np.uint8)), int(turn or 0)).pixels
    found = np.reshape(crop_of({"crop": crop, "rotate": turn}, SIZE), (-1, 2))
    seen = [tuple(turned[round(y), round(x), :2]) for x, y in found]
    corners = np.rint(np.reshape(crop, (-1, 2))).astype(int) // 3
    if len(found) == 2:
        assert (found[0] < found[1]).all()
        assert np.array_equal(np.sort(seen, axis=0), np.sort(corners, axis=0))
    else:
        assert np.array_equal(seen, corners)


def test_the_whole_photo_needs_no_crop():
    assert crop_of({}, SIZE) is None and crop_of({"crop": []}, SIZE) is None


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"nothing": 1}, "no setting 'nothing'"),
        ({"quality": "sgm"}, "quality cannot be"),
        ({"quality": ["draft"]}, "quality cannot be"),
        ({"scale": "baseline"}, "length is missing"),
        ({"scale": "baseline", "length": True}, "length is missing"),
        ({"scale": "baseline", "length": -1}, "baseline cannot be"),
        ({"scale": "baseline", "length": 1, "unit": 3}, "unit cannot be"),
        ({"scale": "marker", "length": 1, "marker": "x"}, "marker"),
        ({"scale": "distance", "length": 1}, "two points"),
        ({"scale": "distance", "length": 1, "points": [[1, 2], [None, None]]}, "two points"),
        ({"scale": "distance", "length": 1, "points": [[1, 2], [1, 2]]}, "known-distance cannot be"),
        ({"scale": "distance", "length": 1, "points": [[1, 2], [9, 2]], "rotate": "auto"}, "known rotation"),
        ({"crop": [1, 2, 3]}, "crop cannot be"),
        ({"crop": [0, 0, float("nan"), 9]}, "crop cannot be"),
        ({"crop": [20, 0, 10, 400]}, "crop cannot be"),
        ({"crop": "abc"}, "crop cannot be"),
        ({"crop": "main"}, "crop cannot be"),
        ({"crop": [None] * 6}, "crop cannot be"),
        ({"crop": [0, 0, 50, 50], "rotate": "auto"}, "known rotation"),
        ({"rotate": 45}, "rotate cannot be"),
        ({"layout": "x"}, "layout cannot be"),
        ({"force": "no"}, "force cannot be"),
        ({"quality": "tuned", "matcher": "onnx:/tmp/a"}, "matcher cannot be"),
        ({"quality": "tuned", "matcher": "sgm", "options": {"pose.threshold": 3}}, "options cannot be"),
        ({"quality": "tuned", "matcher": "sgm", "options": {"matcher.p1": -3}}, "p1"),
        ({"quality": "tuned", "matcher": "sgm", "options": [1]}, "options cannot be"),
    ],
)
def test_settings_that_are_refused(settings, words):
    with pytest.raises(StereoError, match=words) as caught:
        config(**settings), crop_of(settings, SIZE)
    assert caught.value.code in ("bad_option", "unknown_method") and set(settings) - {"nothing"} <= set(KNOWN)
