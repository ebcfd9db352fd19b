"""The memory of a run: within its limit, by smaller sizes or a refusal with numbers; the same result in any order."""

import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from stereo3d.errors import EXIT_RESOURCES, StereoError
from stereo3d.pipeline import Config, memory, prepare
from stereo3d.pipeline.memory import MemoryLimit, feature_bytes, later_bytes
from stereo3d.pipeline.pose import features_within_memory
from stereo3d.records import Photo, Rig

DEMO = Path(__file__).parents[2] / "data" / "demo"
GIB = 2**30
TOLERANCE = 150e6  # bytes above the limit that the project allows


@pytest.fixture(scope="module")
def pair(render_once):
    return render_once("still_life", size=(480, 360), supersample=1)


@pytest.fixture
def room(monkeypatch):
    """Set by how much a run may grow."""
    return lambda bytes_: monkeypatch.setattr("stereo3d.resources.available_memory", lambda: bytes_)


def run_limited(tmp_path, gib: float, *more: str) -> tuple[int, float, str]:
    """Exit status, largest resident memory (bytes) and messages of a run on the demo's photos with --max-memory."""
    command = [sys.executable, "-m", "stereo3d", str(DEMO / "left.jpg"), str(DEMO / "right.jpg"), *more]
    command += ["-o", str(tmp_path / "m.ply"), "--max-memory", str(gib)]
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        process = psutil.Process(child.pid)
        while child.poll() is None:
            try:
                peak = max(peak, process.memory_info().rss)
            except psutil.Error:
                break
            time.sleep(0.005)
        assert child.stdout is not None
        text = child.stdout.read()
    return child.returncode, peak, text


def test_a_run_stays_within_its_memory_and_says_how(tmp_path):
    """Resident memory as seen from outside; without the limit this run takes 0.57 GiB."""
    for _ in range(3):  # a run that compiles kernels takes more than is allowed
        code, peak, text = run_limited(tmp_path, 0.56)
        if code != EXIT_RESOURCES:
            break
    assert code == 0, text
    assert 0.3 * GIB < peak < 0.56 * GIB + TOLERANCE
    assert re.search(r"matched at \d+ px instead of 1400, which needs .* GiB of memory, 0\.56 GiB are allowed", text)


def test_a_limit_below_what_any_run_takes_is_refused_at_once(tmp_path):
    code, peak, text = run_limited(tmp_path, 0.2)
    assert code == EXIT_RESOURCES
    needed = float(re.search(r"needs ([0-9.]+) GiB of memory, 0\.2 GiB are allowed", text)[1])
    assert needed > 0.25 and peak < 0.2 * GIB and not list(tmp_path.iterdir())


def test_features_are_found_at_a_smaller_size_where_memory_is_short(room):
    photo = Photo(np.zeros((1500, 2000, 3), np.uint8))
    room(feature_bytes((photo, photo), 1000, "sift"))
    config, [finding] = features_within_memory(photo, photo, Config())
    assert 900 < config.feature_size <= 1000
    assert finding.code == "features_reduced" and finding.severity == "warning"
    assert finding.numbers["size"] == config.feature_size and finding.numbers["needed"] > finding.numbers["available"]
    room(feature_bytes((photo, photo), memory.MIN_FEATURE_SIZE, "sift") - 1)
    with pytest.raises(StereoError) as caught:
        features_within_memory(photo, photo, Config())
    assert caught.value.code == "memory" and caught.value.exit_code == EXIT_RESOURCES


def test_the_matching_size_is_the_largest_whose_stages_all_fit(pair, room, monkeypatch):
    monkeypatch.setitem(memory.FEATURES, "sift", 0)  # of photos this small, features need as much as all the rest,
    monkeypatch.setattr(memory, "COMPILING", 0.0)  # and compiled kernels three times that
    config, rig = Config(matcher="sgm"), Rig(pair.rig.cam1, pair.rig.cam2)
    whole = prepare(pair.left, pair.right, rig, config)
    photos = pair.left, pair.right

    def needed(prepared) -> float:
        count = int(np.ceil(prepared.d_range[1]) - np.floor(prepared.d_range[0])) + 1
        return max(later_bytes(prepared.pair.left.shape[:2], count, photos, config).values())

    assert not [f for f in whole.findings if f.code == "reduced"]
    allowed = 0.95 * needed(whole)
    room(allowed)
    smaller = prepare(*photos, rig, config)
    [finding] = [f for f in smaller.findings if f.code == "reduced"]
    assert needed(smaller) <= allowed and 320 <= finding.numbers["size"] < 480
    assert finding.numbers["needed"] > finding.numbers["available"] == int(allowed)


def test_a_photo_is_weighed_before_it_is_decoded(tmp_path, room, monkeypatch):
    """60 megapixels in a file of 60 kB: refused by its header."""
    from PIL import Image

    Image.new("L", (10_000, 6_000)).save(tmp_path / "a.png")
    monkeypatch.setattr("stereo3d.pipeline.sources.read_photo", lambda *_, **__: pytest.fail("the photo was decoded"))
    room(1.2 * GIB)
    with pytest.raises(StereoError) as caught:
        prepare(tmp_path / "a.png", tmp_path / "a.png")
    assert caught.value.code == "memory" and caught.value.numbers["needed"] > 60e6 * memory.DECODING


def test_a_limit_is_of_the_whole_process(room):
    room(100 * GIB)
    held = psutil.Process().memory_info().rss
    limit = MemoryLimit.of(Config(max_memory=(held + GIB) / GIB))
    assert 0.8 * GIB < limit.room() < 1.2 * GIB
    with pytest.raises(StereoError) as caught:
        limit.require(2 * GIB, "this")
    numbers = caught.value.numbers
    assert numbers["available"] == pytest.approx(held + GIB, rel=0.01)
    assert numbers["needed"] == pytest.approx(held + 2 * GIB, rel=0.3)
