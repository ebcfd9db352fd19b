"""Estimates of time from earlier runs: by runs of a like size, as a small run takes longer per pixel."""

import json

from stereo3d.pipeline.speeds import Speeds


def seconds_of(pixels: float) -> float:
    """A stage with a part that does not grow: 2 s, and 3 s per megapixel."""
    return 2 + 3e-6 * pixels


def test_small_runs_do_not_make_the_estimate_of_a_large_one_long(monkeypatch, tmp_path):
    monkeypatch.setenv("STEREO3D_CACHE", str(tmp_path))
    speeds = Speeds()
    assert speeds.estimate("mesh", 1e6) is None
    speeds.add("mesh", 1.7e6, seconds_of(1.7e6))
    for _ in range(20):
        speeds.add("mesh", 5e4, seconds_of(5e4))
    speeds.save()
    again = Speeds()
    for pixels in (4e4, 1.5e6, 8e6, 4e7):
        told = again.estimate("mesh", pixels)
        assert told is not None and seconds_of(pixels) / 2 < told < 2 * seconds_of(pixels), pixels
    assert again.estimate("mesh", 1e10) is None  # nothing like it was measured
    assert again.estimate("mesh", 0) is None and again.estimate("points", 1e6) is None
    kept = json.loads((tmp_path / "speeds.json").read_text())["mesh"]
    assert len(kept) == 6  # five of one size, one of the other
