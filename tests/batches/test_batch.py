"""Batches on two worker processes: the results of single runs, kept, done again, retried, set aside; the index."""

import csv
import io
import json
import os
import shutil
from types import SimpleNamespace

import fsspec
import psutil
import pytest
import simulated
from simulated import OPTIONS

import stereo3d
from stereo3d import kernel_cache
from stereo3d.batches import cluster, estimate, plan, work
from stereo3d.batches.places import read_record
from stereo3d.batches.plan import Request
from stereo3d.batches.progress import Tally
from stereo3d.batches.records import Outcome, Pair
from stereo3d.batches.run import Engine, kernels_are_kept, planned
from stereo3d.cli.batch_progress import outcome_words
from stereo3d.errors import StereoError
from stereo3d.pipeline import Config


def pairs_of(photos, names="abc"):
    return [{"left": photos / f"{name}_L.png", "right": photos / f"{name}_R.png", "name": name} for name in names]


@pytest.fixture(scope="module")
def out(client, photos, tmp_path_factory):
    """A folder of results, and the outcomes of the batch that made it."""
    folder = tmp_path_factory.mktemp("out")
    outcomes = list(stereo3d.batch(pairs_of(photos), client=client, output=folder, mesh="mesh.ply", **OPTIONS))
    return SimpleNamespace(folder=folder, outcomes={outcome.name: outcome for outcome in outcomes})


def table(folder):
    return {row["name"]: row for row in csv.DictReader(io.StringIO((folder / "index.csv").read_text()))}


def test_each_result_is_that_of_a_single_run(out, single):
    for name, mesh in single.items():
        assert (out.folder / name / "mesh.ply").read_bytes() == mesh
        measured = json.loads((out.folder / name / "measurements.json").read_text())
        assert measured["verdict"] == out.outcomes[name].facts["verdict"]
    assert {name: outcome.state for name, outcome in out.outcomes.items()} == {"a": "done", "b": "done", "c": "failed"}
    assert out.outcomes["c"].error.code == "same_photo" and out.outcomes["a"].error is None


def test_the_index_states_every_pair_failures_first(out):
    rows = table(out.folder)
    assert list(rows) == ["c", "a", "b"] and rows["c"]["code"] == "same_photo" and rows["c"]["reason"]
    assert rows["a"]["mesh"] == "a/mesh.ply" and 0 < float(rows["a"]["coverage"]) <= 1
    page = (out.folder / "index.html").read_text()
    facts = json.loads(page.partition('id="facts">')[2].partition("</script>")[0])
    assert set(facts["thumbs"]) == {"a", "b", "c"} and len(facts["rows"]) == 3


def test_what_is_done_is_kept_and_changed_photos_are_done_again(out, client, photos, tmp_path):
    """Contents decide, not times; a failure is taken up again where that is asked for."""
    copy = tmp_path / "photos"
    copy.mkdir()
    for file in photos.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    folder = tmp_path / "out"

    def again(names="abc", **more):
        pairs = pairs_of(copy, names)
        outcomes = stereo3d.batch(pairs, client=client, output=folder, mesh="mesh.ply", **OPTIONS, **more)
        return {outcome.name: (outcome.state, outcome.kept) for outcome in outcomes}

    def records():
        return {name: json.loads((folder / name / "pair.json").read_text()) for name in "abc"}

    shutil.copytree(out.folder, folder)  # photos of other times and places, with the same content
    assert again() == {"a": ("done", True), "b": ("done", True), "c": ("failed", True)}
    (copy / "a_R.png").write_bytes((photos / "a_L.png").read_bytes())
    before = records()
    assert again(retry=True) == {"a": ("failed", False), "b": ("done", True), "c": ("failed", False)}
    after = records()
    assert after["b"]["batch"] == before["b"]["batch"] and after["c"]["batch"] != before["c"]["batch"]
    (folder / "b" / "mesh.ply").unlink()
    assert again("b", max_size=150) == {"b": ("done", False)} and (folder / "b" / "mesh.ply").exists()
    assert table(folder)["a"]["left"] == str(copy / "a_L.png")


def test_results_without_a_folder_come_back_themselves(client, photos, single, tmp_path):
    (outcome,) = stereo3d.batch([(photos / "b_L.png", photos / "b_R.png")], Config(**OPTIONS), client)
    outcome.result.save(tmp_path / "b.ply")
    assert (tmp_path / "b.ply").read_bytes() == single["b"] and outcome.state == "done"


def test_photos_and_results_by_address(client, photos, single):
    """`memory://` is of this process alone: files are sent both ways, as with --ship."""
    fs = fsspec.filesystem("memory")
    for file in photos.glob("b_*.png"):
        fs.pipe_file(f"/in/{file.name}", file.read_bytes())
    pair = ("memory://in/b_L.png", "memory://in/b_R.png")
    settings = {"client": client, "output": "memory://done", "mesh": "mesh.ply", **OPTIONS}
    (outcome,) = stereo3d.batch([pair], **settings)
    assert outcome.state == "done" and fs.cat_file(f"/done/{outcome.name}/mesh.ply") == single["b"]
    assert outcome.name.encode() in fs.cat_file("/done/index.csv")
    measured = json.loads(fs.cat_file(f"/done/{outcome.name}/measurements.json"))
    assert measured["photos"] == ["b_L.png", "b_R.png"]
    (again,) = stereo3d.batch([pair], **settings)
    assert again.kept and again.state == "done"


# ------------------------------------------------------------------------------------------- simulated tasks


def simulate(client, folder, names, **settings):
    """A batch of simulated tasks on a cluster of our own."""
    request = Request(out=str(folder), **{k: settings.pop(k) for k in ("timeout", "retry") if k in settings})
    pairs = [Pair(f"/{name}_L.png", f"/{name}_R.png", name) for name in names]
    found = planned(pairs, request, OwnEngine(client), function=simulated.task, **settings)
    return found, found.outcomes()


class OwnEngine(Engine):
    """The shared cluster taken for one that the batch has made."""

    own = True


def test_a_killed_worker_costs_its_pair_one_retry_and_a_poisoned_pair_is_set_aside(client, tmp_path):
    names = [f"p{k}" for k in range(20)] + ["once", "poison"] + [f"q{k}" for k in range(20)]
    _, outcomes = simulate(client, tmp_path, names)
    states = {outcome.name: outcome.state for outcome in outcomes}
    assert states.pop("poison") == "set aside" and len(states) == 41 and set(states.values()) == {"done"}
    record = read_record(str(tmp_path / "poison" / "pair.json"))
    assert record["error"]["code"] == "worker" and "twice" in record["error"]["message"]
    assert next(iter(table(tmp_path))) == "poison"


def test_a_pair_that_takes_too_long_fails_and_the_others_go_on(client, tmp_path):
    _, outcomes = simulate(client, tmp_path, ["a", "slow", "b"], timeout=3)
    found = {outcome.name: outcome for outcome in outcomes}
    assert {name: o.state for name, o in found.items()} == {"a": "done", "b": "done", "slow": "failed"}
    assert found["slow"].error.code == "timeout"


def test_a_full_disk_ends_the_batch_with_its_index_whole(client, tmp_path):
    names = [f"p{k:02}" for k in range(30)]
    list(simulate(client, tmp_path, names[:10])[1])
    _, outcomes = simulate(client, tmp_path, [*names[:10], "full", *names[10:]])
    with pytest.raises(StereoError, match="no space left") as caught:
        list(outcomes)
    assert caught.value.exit_code == 6
    rows = table(tmp_path)
    assert set(names[:10]) <= set(rows) and "full" not in rows and not (tmp_path / "full").exists()
    _, outcomes = simulate(client, tmp_path, names)
    assert {outcome.state for outcome in outcomes} == {"done"} and set(table(tmp_path)) == set(names)


def test_the_first_failure_ends_a_batch_that_is_to_fail_fast_and_a_stop_keeps_the_rest(client, tmp_path):
    found, outcomes = simulate(client, tmp_path / "fast", ["bad", *(f"p{k}" for k in range(200))], fail_fast=True)
    states = [outcome.state for outcome in outcomes]
    assert states.count("failed") == 1 and len(states) < 201
    found, outcomes = simulate(client, tmp_path / "stop", [f"p{k}" for k in range(150)])
    done = []
    for outcome in outcomes:
        done.append(outcome.name)
        found.stop.asked = 1
    kept = set(table(tmp_path / "stop"))  # with those whose answers were on their way
    assert 1 <= len(done) <= len(kept) < 150 and kept >= set(done)
    _, outcomes = simulate(client, tmp_path / "stop", [f"p{k}" for k in range(150)])
    assert len(list(outcomes)) == 150 == len(table(tmp_path / "stop"))


def test_two_batches_do_not_write_into_one_folder(client, tmp_path, monkeypatch):
    monkeypatch.setattr("stereo3d.io.atomic.BUSY_WAIT", 0.1)
    _, first = simulate(client, tmp_path, ["a", "b"])
    next(first)
    with pytest.raises(StereoError) as caught:
        list(simulate(client, tmp_path, ["c"])[1])
    assert caught.value.code == "busy"
    assert len(list(first)) == 1


def test_our_cluster_listens_on_the_loopback_interface_only(client):
    process = psutil.Process()
    listening = [
        connection.laddr.ip
        for one in (process, *process.children(recursive=True))
        for connection in one.net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening and set(listening) == {"127.0.0.1"}
    assert client.scheduler.address.startswith("tls://127.0.0.1")


# ------------------------------------------------------------------------------------------------ without workers


def test_options_decide_the_key_and_memory_does_not():
    base = plan.key_of({"matcher": "sgm", "max_size": 800}, {})
    assert base == plan.key_of({"max_size": 800, "matcher": "sgm", "max_memory": 2.0, "seed": 0}, {})
    assert (
        len({base, plan.key_of({"matcher": "sgm"}, {}), plan.key_of({"matcher": "sgm", "max_size": 800}, {"x": 1})})
        == 3
    )


def test_a_pairs_own_scale_takes_the_place_of_the_common_one():
    request = Request(fields={"baseline": 0.1, "unit": "m", "fov": 60.0, "options": {"matcher.p1": 9}})
    own = {"known_distance": ("1,2", "3,4", "5"), "focal": 700.0, "options": {"matcher.p2": 99}}
    options = plan.merged(Pair("a", "b", options=own), request)
    assert "baseline" not in options and "fov" not in options and options["unit"] == "m"
    assert options["options"] == {"matcher.p1": 9, "matcher.p2": 99}


def test_a_wrong_option_of_one_pair_is_named_before_any_work(tmp_path):
    pairs = [Pair("a.png", "b.png"), Pair("c.png", "d.png", options={"max_size": 3}, why="line 3 of x.csv")]
    with pytest.raises(StereoError, match=r"c \(line 3 of x.csv\): max-size cannot be 3"):
        planned(pairs, Request(out=str(tmp_path / "none")))
    assert not (tmp_path / "none").exists()


def test_no_more_workers_than_memory_and_cores_allow(monkeypatch):
    monkeypatch.setattr("stereo3d.resources.available_memory", lambda: 10e9)
    monkeypatch.setattr("stereo3d.resources.processors", lambda: 8)
    assert cluster.worker_count(1e9, 100) == 8 and cluster.worker_count(3e9, 100) == 3
    assert cluster.worker_count(30e9, 100) == 1 and cluster.worker_count(1e9, 2) == 2
    assert cluster.worker_count(1e9, 100, 4) == 4 and cluster.worker_count(3e9, 100, 16) == 3


def test_a_worker_uses_its_share_of_the_cores(monkeypatch):
    monkeypatch.setenv("STEREO3D_THREADS", "1")
    assert stereo3d.resources.processors() == 1
    monkeypatch.setenv("STEREO3D_THREADS", "many")
    assert stereo3d.resources.processors() >= 1


def test_memory_is_predicted_from_headers_and_grows_with_the_photos(photos):
    found = estimate.estimate([Pair(str(photos / "a_L.png"), str(photos / "a_R.png"))], Request())
    assert found.size == (200, 150) and found.looked_at == 1
    sizes = [(200, 150), (2000, 1500), (6000, 4000)]
    memory = [estimate.memory_of(size, Config(max_size=3000)) for size in sizes]
    assert memory == sorted(memory) and memory[0] < 1e9 < memory[2]


def test_a_run_may_take_its_share_of_the_memory_of_its_worker_and_says_what_it_reduced(monkeypatch, photos):
    """Where the user limits the memory himself, that counts."""
    job = plan.job_of(Pair(str(photos / "a_L.png")), Request(fields={"mask": ("/m.png",)}), "x")
    monkeypatch.setattr(work, "memory_of_worker", lambda: 2.0 * 2**30)
    paths = {"left": photos / "a_L.png", "mask 1": photos / "copy.png"}
    found = work.options_with(job, paths)
    assert found["max_memory"] == pytest.approx(1.7) and found["mask"] == (photos / "copy.png",)
    job = plan.job_of(Pair("a"), Request(fields={"max_memory": 1.0}), "x")
    assert work.options_with(job, paths)["max_memory"] == 1.0
    facts = {"verdict": "fair", "coverage": 0.5, "reduced": ["the photos are matched at 700 px instead of 1600"]}
    assert "700 px instead of 1600" in outcome_words(Outcome(Pair("a"), "done", facts))


def test_the_rest_is_stated_from_recent_times_and_holds_the_truth():
    pair, tally = Pair("a"), Tally(total=100, workers=2)
    assert tally.rest() is None
    for k in range(20):
        tally.add(Outcome(pair, "done", {"seconds": 9.0 + k % 3}))
    low, high = tally.rest()
    assert low < 80 * 10 / 2 < high and high - low < 150
    for _ in range(80):
        tally.add(Outcome(pair, "done", {}, kept=True))
    assert tally.rest() is None and (tally.done, tally.same, tally.over) == (20, 80, 100)


def test_a_record_that_leads_out_of_its_folder_removes_nothing(tmp_path, client):
    """`pair.json` is a file that anybody may have written."""
    (tmp_path / "precious.txt").write_text("x")
    folder = tmp_path / "out" / "a"
    folder.mkdir(parents=True)
    for content in (b"[1]", b"{", b'{"form": 1, "state": "done", "files": ["../../precious.txt"], "inputs": 3}'):
        (folder / "pair.json").write_bytes(content)
        _, outcomes = simulate(client, tmp_path / "out", ["a"])
        assert [outcome.state for outcome in outcomes] == ["done"]
    assert (tmp_path / "precious.txt").exists()


def test_planning_many_pairs_reads_each_record_once(tmp_path, monkeypatch):
    pairs = [Pair(f"/p{k}_L.png", f"/p{k}_R.png", f"p{k}") for k in range(3000)]
    reads = []
    monkeypatch.setattr("stereo3d.batches.plan.read_record", lambda place: reads.append(place))
    (tmp_path / "p7").mkdir()
    found = plan.make_plan(pairs, Request(out=str(tmp_path)))
    assert len(found.to_do) == 3000 and reads == [os.path.join(tmp_path, "p7", "pair.json")]


def test_kernels_of_an_earlier_run_are_found(out, monkeypatch, tmp_path):
    assert kernels_are_kept()
    monkeypatch.setattr(kernel_cache, "cache_folders", lambda source: [tmp_path, tmp_path / "none"])
    assert not kernels_are_kept()
