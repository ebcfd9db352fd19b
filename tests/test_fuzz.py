"""A few hundred mutated files for every reader, the same each time; `make fuzz MINUTES=60` tries many more."""

import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))
import run as fuzzer  # noqa: E402

INPUTS = {"photo.apart": 8, "cloud": 100, "cloud.apart": 4}
NAMES = (
    "photo photo.apart calibration truth pair cloud cloud.apart list.csv list.jsonl "
    "map.pfm map.npy map.npz map.png map.tif "
    "mesh.obj mesh.ply mesh.glb mesh.stl mesh.off mesh.mtl"
).split()


def test_every_reader_is_here():
    with tempfile.TemporaryDirectory() as folder:
        assert set(fuzzer.readers(Path(folder))) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_mutated_files_are_read_or_refused(name, tmp_path):
    most = INPUTS.get(name, 200)
    report = fuzzer.fuzz(name, seconds=120, seed=7, most=most, keep=tmp_path)
    assert report.findings == []
    assert report.inputs == most and 0 < report.accepted < most or name == "mesh.mtl"  # no material breaks a mesh


@pytest.mark.parametrize(
    "source, expected, seconds",
    [
        ("raise KeyError('x')", "KeyError", 2.0),
        ("import os; os.abort()", "exit -6", 2.0),
        ("while True: pass", "more than 2.0 s", 2.0),
        # a loaded machine may take seconds for the pages alone
        ("x = b'x' * 600_000_000; import time; time.sleep(1)", "more than 500 MB", 30.0),
    ],
)
def test_the_fuzzer_notices_what_must_not_be(source, expected, seconds, tmp_path, monkeypatch):
    """A reader that fails in each of these ways at its second input is a finding, and the next input is tried."""
    program = tmp_path / "fuzz.py"
    here = Path(fuzzer.__file__)
    program.write_text(
        f"import sys; sys.path[:0] = {[str(here.parent), str(here.parents[2])]}\n"
        "import run\n"
        f"run.CPU_SECONDS = {seconds}\n"
        "calls = []\n"
        "def read(path):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 3:\n"
        f"        {source}\n"
        "run.readers = lambda folder: {'bad': run.Reader(lambda: [b'seed'], 'file', read)}\n"
        "run.main()\n"
    )
    monkeypatch.setattr(fuzzer, "__file__", str(program))
    report = fuzzer.fuzz("bad", seconds=60, most=3)
    assert [number for number, _ in report.findings] == [1] and expected in report.findings[0][1]
    assert report.inputs == 3
