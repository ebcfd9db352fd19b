"""The command `stereo3d batch`: its plan, its files, its exit codes, and how it ends."""

import contextlib
import csv
import io
import json
import resource
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from stereo3d.cli import main
from stereo3d.io import read_mesh

QUICK = ("--matcher", "sgm", "--mesher", "grid", "--max-size", "120")
COMMAND = (sys.executable, "-m", "stereo3d.cli", "batch")


@pytest.fixture
def run(capsys):
    def run(*args):
        code = main(["batch", *map(str, args)])
        captured = capsys.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err)

    return run


def states(out):
    return {row["name"]: row["state"] for row in csv.DictReader(io.StringIO((out / "index.csv").read_text()))}


def test_a_dry_run_says_which_pairs_why_and_what_they_take_and_writes_nothing(run, photos, tmp_path):
    answer = run(photos, "-o", tmp_path / "out", "--dry-run")
    assert answer.code == 0 and not (tmp_path / "out").exists()
    assert [line.partition(":")[0] for line in answer.out.splitlines()[:3]] == ["a", "b", "c"]
    assert "(names: L and R)" in answer.out and "3 pairs to do, 0 done already, 0 files in no pair" in answer.out
    assert "GB a pair (200 x 150 px" in answer.out


@pytest.mark.parametrize(
    "options, code, message",
    [
        (("--max-size", "3"), 2, "max-size cannot be 3"),
        (("--report", "../report.html"), 2, "names a file in the folder of each pair"),
        (("--preview", "thumb.jpg"), 2, "preview cannot be thumb.jpg"),
        (("--mesh", "mesh.xyz"), 2, ".xyz"),
        (("--limit", "0"), 2, "limit"),
        (("--json", "x.json"), 2, "json"),
        (("--cluster", "tcp://127.0.0.1:9"), 7, "no worker of the cluster tcp://127.0.0.1:9 answers"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(run, photos, tmp_path, options, code, message, monkeypatch):
    monkeypatch.setattr("stereo3d.batches.cluster.WAIT", 0.2)
    answer = run(photos, "-o", tmp_path / "out", *options)
    assert answer.code == code and message in answer.err and not list(tmp_path.glob("out/*/pair.json"))


def test_a_folder_without_pairs_names_what_was_looked_for(run, tmp_path):
    (tmp_path / "a_L.png").write_bytes(b"x")
    answer = run(tmp_path, "-o", tmp_path / "out")
    assert answer.code == 3 and "no pair was found" in answer.err and "a_L.png" in answer.err


def test_without_the_extra_it_says_what_to_install(run, photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    answer = run(photos, "-o", tmp_path / "out")
    assert answer.code == 7 and "pip install 'stereo3d[batch]'" in answer.err


def test_a_list_with_options_of_each_pair_and_the_files_of_a_single_run(run, photos, tmp_path, client, monkeypatch):
    monkeypatch.setattr("stereo3d.batches.run.local_cluster", lambda workers: contextlib.nullcontext(client))
    listed = tmp_path / "list.csv"
    rows = [f"{photos}/b_L.png,{photos}/b_R.png,plain,,", f"{photos}/b_L.png,{photos}/b_R.png,metric,0.2,m"]
    listed.write_text("\n".join(["left,right,name,baseline,unit", *rows]))
    files = ("--mesh", "model.ply", "--report", "report.html", "--axes", "camera", "--centre")
    answer = run(listed, "-o", tmp_path / "out", *QUICK, *files)
    assert answer.code == 0 and "2 done" in answer.out and "index.html in a browser" in answer.out, answer.err
    assert states(tmp_path / "out") == {"plain": "done", "metric": "done"}
    assert main([f"{photos}/b_L.png", f"{photos}/b_R.png", "-o", f"{tmp_path}/one.ply", "-q", *QUICK, *files[4:]]) == 0
    assert (tmp_path / "out/plain/model.ply").read_bytes() == (tmp_path / "one.ply").read_bytes()
    assert (tmp_path / "out/plain/report.html").stat().st_size > 10_000
    plain, metric = (read_mesh(tmp_path / "out" / name / "model.ply").vertices for name in ("plain", "metric"))
    assert abs(metric / plain - 0.2).max() < 1e-3
    assert json.loads((tmp_path / "out/metric/measurements.json").read_text())["unit"] == "m"
    again = run(listed, "-o", tmp_path / "out", *QUICK, *files)
    assert again.code == 0 and "2 of them there already" in again.out


def test_ctrl_c_finishes_the_running_pairs_and_leaves_a_whole_index(photos, tmp_path):
    many = tmp_path / "list.csv"
    many.write_text("left,right,name\n" + "".join(f"{photos}/b_L.png,{photos}/b_R.png,p{k}\n" for k in range(60)))
    out = tmp_path / "out"
    process = subprocess.Popen(
        [*COMMAND, str(many), "-o", str(out), "--workers", "1", *QUICK],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # tests may run in the background
    )
    until = time.monotonic() + 300
    while not list(out.glob("*/pair.json")) and time.monotonic() < until and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err.decode()
    done = {path.parent.name for path in out.glob("*/pair.json")}
    assert 1 <= len(done) < 60 and states(out) == dict.fromkeys(done, "done")
    assert not [path for path in out.rglob(".stereo3d-*") if path.suffix != ".lock"]


def test_a_disk_that_fills_ends_with_6(photos, tmp_path):
    """No file of the batch or its workers may grow beyond 40 kB, which a mesh needs."""
    out = tmp_path / "out"
    done = subprocess.run(
        [*COMMAND, str(photos), "-o", str(out), "--workers", "1", *QUICK],
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)),
        timeout=300,
    )
    assert done.returncode == 6 and b"cannot write" in done.stderr, done.stderr.decode()
    assert not list(out.glob("?/mesh.glb")) and "a" not in states(out) and "b" not in states(out)
