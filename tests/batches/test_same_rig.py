"""One rig for a sequence: medians against the truth they were drawn from, drift, the common search range."""

import numpy as np
import pytest

from stereo3d.batches import rig
from stereo3d.batches.places import read_record
from stereo3d.batches.plan import Request
from stereo3d.batches.records import Pair
from stereo3d.cameras import read_rig
from stereo3d.errors import StereoError
from stereo3d.geometry.rotations import rotation_angle_deg, rotation_from_vector
from stereo3d.records import RectifiedPair
from stereo3d.rectification import disparity_range

FOCAL, TURN, AIM = 800.0, np.array([0.01, -0.03, 0.004]), np.array([-1.0, 0.05, 0.02])
PAIRS = [Pair(f"/p{k}_L.png", f"/p{k}_R.png", f"p{k}") for k in range(40)]


def seen(pairs, request, *, drift=0.0, bad=(), seed=0):
    """What the sampled pairs show: the truth with noise; the bad ones anything."""
    rng, answers = np.random.default_rng(seed), []
    for k, pair in enumerate(pairs):
        turn = TURN + rng.normal(0, 2e-4, 3) + [0, drift * k / len(pairs), 0]
        focal = FOCAL * (1 + rng.normal(0, 0.002))
        t = AIM / np.linalg.norm(AIM) + rng.normal(0, 1e-3, 3)
        entry = {"name": pair.name, "inliers": 300, "matches": 400, "codes": [], "lens": False, "unit": None}
        if k in bad:
            turn, focal, entry["inliers"] = rng.normal(0, 1, 3), 5000.0, 20
        K = [[focal, 0, 319.5], [0, focal, 239.5], [0, 0, 1]]
        entry |= {"focal": [focal, focal], "K": [K, K], "dist": [[], []], "size": [[640, 480], [640, 480]]}
        entry |= {"R": rotation_from_vector(turn).tolist(), "t": (t / np.linalg.norm(t)).tolist()}
        answers.append(entry | {"d_range": [8.0 + k % 3, 50.0 + k % 5], "width": 660})
    return answers


def test_the_median_of_well_posed_pairs_is_the_rig_and_a_second_batch_takes_it(tmp_path):
    request = Request(fields={"fov": 50.0}, out=str(tmp_path))
    looks = []

    def look(pairs, request):
        looks.append(request)
        return seen(pairs, request, bad=(1, 5, 6))

    found = rig.shared_rig(PAIRS, request, look)
    truth = rotation_from_vector(TURN)
    got = read_rig(tmp_path / "rig.json")
    assert abs(got.cam1.focal / FOCAL - 1) < 0.002 and rotation_angle_deg(got.R @ truth.T) < 0.02
    assert np.degrees(np.arccos(got.t @ AIM / np.linalg.norm(got.t) / np.linalg.norm(AIM))) < 0.1
    assert "calib" not in looks[0].fields and "fov" not in looks[1].fields and looks[1].fields["calib"]
    applied = found.applied(request)
    assert "fov" not in applied.fields and applied.fields["calib"] == (str(tmp_path / "rig.json"),)
    low, high = (float(applied.fields["options"][f"range.{end}"]) for end in ("lowest", "highest"))
    assert low * 660 < 8 and high * 660 > 54 and (high - low) * 660 < 60
    assert any("no drift" in line for line in found.lines) and any("13 show it well" in line for line in found.lines)
    again = rig.shared_rig(PAIRS, request, lambda *_: pytest.fail("it was looked for again"))
    assert again.fields["calib"] == [str(tmp_path / "rig.json")] or again.fields["calib"] == (
        str(tmp_path / "rig.json"),
    )


def test_a_rig_that_moves_is_named_with_its_amount(tmp_path):
    found = rig.shared_rig(PAIRS, Request(out=str(tmp_path)), lambda *a: seen(*a, drift=0.02))
    moved = read_record(str(tmp_path / "rig_facts.json"))["drift"]
    assert moved["turn"]["moved"] and not moved["focal"]["moved"]
    assert max(map(abs, moved["turn"]["change"])) == pytest.approx(np.degrees(0.01), rel=0.15)
    assert any("it drifts" in line and "the cameras turn" in line for line in found.lines)


def test_a_given_calibration_stays_and_only_the_range_is_shared(tmp_path):
    request = Request(fields={"calib": ("/rig.json",)}, out=str(tmp_path))
    found = rig.shared_rig(PAIRS, request, seen)
    applied = found.applied(request)
    assert applied.fields["calib"] == ("/rig.json",) and "range.lowest" in applied.fields["options"]
    assert not (tmp_path / "rig.json").exists()


def test_too_few_good_pairs_are_no_rig(tmp_path):
    with pytest.raises(StereoError, match="2 of 16 pairs show the rig") as caught:
        rig.shared_rig(PAIRS, Request(out=str(tmp_path)), lambda *a: seen(*a, bad=range(2, 16)))
    assert caught.value.exit_code == 4


def test_known_ends_of_the_search_range_replace_those_of_the_matches():
    grid = np.stack(np.meshgrid(np.arange(100), np.arange(60)), -1).astype(np.float32)
    pair = RectifiedPair(np.zeros((60, 100, 3), np.uint8), np.zeros((60, 100, 3), np.uint8), grid, grid)
    x1 = np.array([[50.0, 20], [60, 30], [70, 40]])
    x2 = x1 - [10, 0]
    assert disparity_range(pair, x1, x2) == (2, 18)
    assert disparity_range(pair, x1, x2, lowest=-0.05, highest=0.3) == (-5, 30)
    assert disparity_range(pair, x1, x2, highest=0.4) == (2, 40)
    with pytest.raises(StereoError, match="search range"):
        disparity_range(pair, x1, x2, lowest=0.3, highest=0.2)
