"""The app without a browser: who may ask, what is stored where, runs that end well, badly or early."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from stereo3d.app import names, runs
from stereo3d.app.runs import Runs
from stereo3d.app.server import AppServer
from stereo3d.errors import StereoError
from stereo3d.pipeline.clock import resident_memory

# A child that needs no library: "name" of a photo says what it does
WORKER = """
import json, os, sys, time
job = json.loads(sys.stdin.readline())
photo = os.path.basename(job["photos"][0])
say = lambda **report: print(json.dumps(report), flush=True)
folder = job["folder"]
if "broken" in photo:
    say(error={"code": "photo_unreadable", "message": "it is no picture.", "advice": "Give a photo."})
elif job["do"] == "look":
    open(folder + "/preview1.jpg", "w").write("picture")
    say(seen={"form": "", "ready": True, "photos": [{"size": [4, 3]}]})
elif job["do"] == "tune":
    say(stage="pose")
    open(folder + "/page.html", "w").write("<p>options")
    say(ready=True)
    for line in sys.stdin:
        request = json.loads(line)
        if request["matcher"] == "wrong":
            say(number=request["number"], error={"message": "there is no matcher.", "advice": "Use sgm."})
        elif request["matcher"] == "crash":
            os.kill(os.getpid(), 9)
        else:
            open(folder + f"/{request['number']}.json", "w").write(json.dumps(request["options"]))
            say(number=request["number"])
else:
    say(stage="photos", index=0, stages=["photos", "write"], estimate=None)
    open(folder + "/half.glb", "w").write("half")
    if "crash" in photo:
        os.kill(os.getpid(), 9)
    if "stubborn" in photo:
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while "slow" in photo or "stubborn" in photo:
        if not sys.stdin.isatty() and os.path.exists(folder + "/go"):
            break
        time.sleep(0.01)
    if "mute" not in photo:
        open(folder + "/model.glb", "wb").write(b"model")
        open(folder + "/report.html", "w").write("<p>report")
        say(outcome={"verdict": "good", "files": [{"name": n, "label": n} for n in ("model.glb", "report.html")]})
"""
COMMAND = [sys.executable, "-S", "-E", "-c", WORKER]


@pytest.fixture
def app(tmp_path):
    """A server and its runs."""
    server = AppServer(Runs(tmp_path / "runs", COMMAND))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    server.runs.close()


def ask(server, method, path, body=None, **headers):
    """(status, headers, body) of a request below the secret; a path that begins with / is taken as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.putrequest(method, path if path[:1] == "/" else f"/{server.secret}/{path}", skip_host=True)
    given = {"Host": f"127.0.0.1:{server.server_port}", "Content_Type": "application/json"} | headers
    if body is not None:
        given = {"Content_Length": str(len(body))} | given
    for name, value in given.items():
        if value is not None:
            connection.putheader(name.replace("_", "-"), value)
    connection.endheaders(body)
    reply = connection.getresponse()
    return reply.status, reply.headers, reply.read()


def post(server, path, value=None, **headers):
    status, _, body = ask(server, "POST", path, json.dumps(value or {}).encode(), **headers)
    return status, json.loads(body)


def draft(server, *photos):
    """The name of a new run with these photos."""
    name = post(server, "runs")[1]["id"]
    for photo in photos:
        status, _, body = ask(server, "POST", f"runs/{name}/photos", b"pixels", X_Name=photo)
        assert status == 200, body
    return name


def wait(server, name, *states):
    """The run as soon as it is in one of these states."""
    end = time.monotonic() + 60
    while (found := json.loads(ask(server, "GET", f"runs/{name}")[2]))["state"] not in states:
        assert time.monotonic() < end, found
        time.sleep(0.01)
    return found


# ------------------------------------------------------------------------------------------------------- who may ask


def test_it_answers_its_own_page_alone(app):
    status, headers, html = ask(app, "GET", "")
    assert status == 200 and b"Two photos become" in html
    policy = headers["Content-Security-Policy"]
    nonce = re.search("script-src 'nonce-([^']+)'", policy)[1]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    scripts = re.findall(rb"<(?:script|style)[^>]*>", html)
    assert len(scripts) == 6 and all(nonce.encode() in tag for tag in scripts)
    assert nonce not in ask(app, "GET", "")[1]["Content-Security-Policy"], "a new one each time"
    assert not re.search(rb"https?://(?!www.w3.org/2000/svg)", html), "nothing from elsewhere"
    port = app.server_port
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"0.0.0.0:{port}", None):
        assert ask(app, "GET", "", Host=host)[0] == ask(app, "POST", "runs", b"{}", Host=host)[0] == 403
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{port}", "http://127.0.0.1:1"):
        assert ask(app, "POST", "runs", b"{}", Origin=origin)[0] == 403
    assert ask(app, "POST", "runs", b"{}", Origin=f"http://localhost:{port}", Host=f"localhost:{port}")[0] == 200
    for path in ("/", "/runs", f"/{app.secret}", f"/{app.secret[:-1]}x/", f"/{app.secret}é/"[:-2] + "%C3%A9/"):
        assert ask(app, "GET", path)[0] == 404
    assert {ask(app, method, "")[0] for method in ("PUT", "DELETE", "OPTIONS", "HEAD")} == {501}


def test_no_file_but_those_of_a_run_is_given(app, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    name = draft(app, "a.jpg")
    post(app, f"runs/{name}/start")
    wait(app, name, "done")
    folder = app.runs.folder / name
    assert ask(app, "GET", f"runs/{name}/model.glb")[2] == b"model"
    (folder / "model.glb").unlink()
    (folder / "model.glb").symlink_to(tmp_path / "secret.txt")
    base = f"runs/{name}/"
    for path in (
        *(base + rest for rest in ("run.json", "messages.txt", "photos/a.jpg", "photos", "..", "../../secret.txt")),
        *(
            base + rest
            for rest in ("%2e%2e/%2e%2e/secret.txt", "model.glb", "model.glb?x", "MODEL.GLB", "./report.html")
        ),
        *("runs/..", "runs/../secret.txt", "runs/", "runs//", f"runs/{name}x", "runs/20200101-000000-abcdef"),
        f"files/{name}/report.html",
    ):
        assert ask(app, "GET", path)[0] == 404, path
    for action in ("nothing", "..", "photos/x", "START"):
        assert post(app, f"runs/{name}/{action}")[0] == 404


def test_requests_that_are_none(app):
    name = draft(app)
    for body in (b"", b"[", b"x" * 30_000, b"[" * 15_000, b"\xff"):
        assert ask(app, "POST", f"runs/{name}/start", body)[0] == 400, body[:9]
    for body in (b"[]", b"null", b'"a"'):
        assert ask(app, "POST", f"runs/{name}/start", body)[0] == 400
    assert ask(app, "POST", f"runs/{name}/start", b"{}", Content_Type="text/plain")[0] == 400
    assert post(app, f"runs/{name}/start")[0] == 422, "it has no photo"
    # photos: no length, none at all, too long, too many, a body that ends early
    photos = f"runs/{name}/photos"
    assert ask(app, "POST", photos, Content_Length=None)[0] == 411
    assert ask(app, "POST", photos, b"")[0] == 422
    assert ask(app, "POST", photos, b"", Content_Length="3000000000")[0] == 413
    assert ask(app, "POST", photos, b"a", X_Name="a" * 3000)[0] == 400
    connection = http.client.HTTPConnection("127.0.0.1", app.server_port, timeout=60)
    connection.putrequest("POST", f"/{app.secret}/{photos}")
    connection.putheader("Content-Length", "100")
    connection.endheaders(b"half")
    connection.sock.shutdown(1)
    connection.getresponse().read()
    assert json.loads(ask(app, "GET", f"runs/{name}")[2])["photos"] == []
    assert list((app.runs.folder / name / "photos").iterdir()) == [], "no part is left"
    for _ in range(2):
        assert ask(app, "POST", photos, b"a", X_Name="a.jpg")[0] == 200
    assert ask(app, "POST", photos, b"a", X_Name="a.jpg")[0] == 422
    assert json.loads(ask(app, "GET", f"runs/{name}")[2])["photos"] == ["a.jpg", "2-a.jpg"]


def test_too_many_requests_are_refused_and_those_later_answered(app, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("stereo3d.foreign.local_server.MAX_RATE", 3)
    monkeypatch.setattr("stereo3d.foreign.local_server.time", SimpleNamespace(monotonic=lambda: now[0]))
    assert [ask(app, "GET", "runs")[0] for _ in range(5)] == [200, 200, 200, 429, 429]
    now[0] += 1
    assert ask(app, "GET", "runs")[0] == 200


@pytest.mark.parametrize(
    "given, expected",
    [
        ("IMG 1.heic", "IMG 1.heic"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\a.jpg", "a.jpg"),
        ("a\0b\n\x1b[31m.jpg", "a_b__[31m.jpg"),
        ("..", "photo"),
        ("", "photo"),
        (".hidden.jpg", "hidden.jpg"),
        ("con.jpg", "_con.jpg"),
        ('a<b>|"?*:.jpg', "a_b______.jpg"),
        ("Foto à \u202egpj.exe", "Foto à _gpj.exe"),
        ("a/..", "photo"),
        ("写真.jpg", "写真.jpg"),
        ("trailing. . ", "trailing"),
    ],
)
def test_names_of_photos(given, expected):
    assert names.safe_name(given) == expected


def test_a_long_name_keeps_its_suffix():
    for given in ("x" * 500 + ".jpeg", "写" * 200 + ".heic", "a." + "b" * 300, "\ud800.jpg"):
        found = names.safe_name(given)
        assert len(found.encode()) <= names.MAX_NAME + 1 and "/" not in found and names.safe_name(found) == found
    assert names.safe_name("x" * 500 + ".jpeg").endswith("x.jpeg")


def test_a_hostile_name_stays_in_the_folder_of_its_run(app, tmp_path):
    name = draft(app, "..%2F..%2F..%2Fout%00.jpg", "%E5%86%99%0A.jpg")
    kept = {
        path.relative_to(app.runs.folder / name).as_posix() for path in app.runs.folder.rglob("*") if path.is_file()
    }
    assert kept == {"run.json", "photos/out_.jpg", "photos/写_.jpg"}
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


# -------------------------------------------------------------------------------------------------------------- runs


def test_a_run_from_its_photos_to_its_files(app):
    name = draft(app, "a.jpg", "b.jpg")
    status, found = post(app, f"runs/{name}/look")
    assert status == 200 and found["seen"]["ready"] and found["files"] == ["preview1.jpg"]
    assert json.loads(ask(app, "GET", "runs")[2])["runs"] == [], "a draft is no model"
    post(app, f"runs/{name}/start", {"quality": "draft"})
    found = wait(app, name, "done")
    assert found["outcome"]["verdict"] == "good" and "app" not in found
    status, headers, body = ask(app, "GET", f"runs/{name}/model.glb")
    assert (status, body, headers["Content-Type"]) == (200, b"model", "model/gltf-binary")
    assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''a.glb"
    assert "Content-Disposition" not in ask(app, "GET", f"runs/{name}/report.html")[1]
    assert [run["id"] for run in json.loads(ask(app, "GET", "runs")[2])["runs"]] == [name]
    assert post(app, f"runs/{name}/start")[0] == 422, "it has been"
    # again, with the same photos
    again = post(app, f"runs/{name}/again")[1]
    assert again["photos"] == ["a.jpg", "b.jpg"] and again["settings"] == {"quality": "draft"} and again["id"] != name
    post(app, f"runs/{again['id']}/exchange")
    assert post(app, f"runs/{again['id']}/look")[1]["photos"] == ["b.jpg", "a.jpg"]
    assert post(app, f"runs/{name}/remove")[0] == 200 and not (app.runs.folder / name).exists()
    assert (app.runs.folder / again["id"] / "photos" / "a.jpg").read_bytes() == b"pixels"
    assert ask(app, "GET", f"runs/{name}")[0] == 404


def tuned(server, name):
    """The run as soon as its page of options is there, or cannot be."""
    end = time.monotonic() + 60
    while True:
        found = json.loads(ask(server, "GET", f"runs/{name}")[2])
        if {"ready", "error"} & set(found.get("tuning", {})):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.01)


def test_the_page_of_options_and_what_it_asks(app):
    name = draft(app, "a.jpg", "b.jpg")
    assert ask(app, "GET", f"runs/{name}/tune/")[0] == 404, "not asked for yet"
    assert post(app, f"runs/{name}/tune/match", {"matcher": "sgm", "options": {}})[0] == 422
    status, found = post(app, f"runs/{name}/tune", {"quality": "draft"})
    assert status == 200 and found["tuning"]["seconds"] >= 0 and found["settings"] == {"quality": "draft"}
    assert tuned(app, name)["tuning"]["ready"]
    status, headers, html = ask(app, "GET", f"runs/{name}/tune/")
    assert (status, html) == (200, b"<p>options") and "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    for options in ({"matcher.p1": 3}, {}):
        assert post(app, f"runs/{name}/tune/match", {"matcher": "sgm", "options": options}) == (200, options)
    status, found = post(app, f"runs/{name}/tune/match", {"matcher": "wrong", "options": {}})
    assert status == 422 and found["error"] == "there is no matcher. Use sgm."
    status, found = post(app, f"runs/{name}/tune/use", {"matcher": "sgm", "options": {"matcher.p1": 3}, "x": 1})
    wanted = {"quality": "tuned", "matcher": "sgm", "options": {"matcher.p1": 3}}
    assert status == 200 and found["settings"] == wanted
    other = draft(app, "c.jpg")
    first = app.tuning._child._process
    post(app, f"runs/{other}/tune")
    tuned(app, other)
    assert first.wait(60) is not None and ask(app, "GET", f"runs/{name}/tune/")[0] == 404, "one at a time"
    assert not (app.runs.folder / name / ".tune").exists()
    status, found = post(app, f"runs/{other}/tune/match", {"matcher": "crash", "options": {}})
    assert status == 422 and "ended" in found["error"]
    assert "SIGKILL" in tuned(app, other)["tuning"]["error"]["message"]
    post(app, f"runs/{name}/tune")
    tuned(app, name)
    second = app.tuning._child._process
    post(app, f"runs/{name}/start")
    wait(app, name, "done")
    assert second.wait(60) is not None, "a run needs the memory"
    assert post(app, f"runs/{name}/tune")[0] == 422 and post(app, f"runs/{name}/tune/use", {})[0] == 422


def test_one_run_at_a_time_in_the_order_of_the_queue(app):
    first, second, third = (draft(app, "slow.jpg") for _ in range(3))
    for name in (first, second, third):
        post(app, f"runs/{name}/start")
    found = wait(app, first, "running")
    assert found["progress"]["seconds"] >= 0
    assert [wait(app, name, "waiting")["ahead"] for name in (second, third)] == [1, 2]
    assert post(app, f"runs/{second}/remove")[0] == 422, "it waits"
    assert post(app, f"runs/{second}/cancel")[1]["state"] == "cancelled"
    (app.runs.folder / first / "go").touch()
    wait(app, first, "done")
    wait(app, third, "running")
    post(app, f"runs/{third}/cancel")
    wait(app, third, "cancelled")


@pytest.mark.parametrize("photo", ["slow.jpg", "stubborn.jpg"])
def test_cancelling_ends_the_process_and_leaves_the_photos(app, photo):
    name = draft(app, photo)
    post(app, f"runs/{name}/start")
    while "stages" not in wait(app, name, "running")["progress"]:
        time.sleep(0.01)
    child = app.runs.running.child._process
    post(app, f"runs/{name}/cancel")
    wait(app, name, "cancelled")
    assert child.poll() in (-signal.SIGTERM, -signal.SIGKILL)
    assert sorted(p.name for p in (app.runs.folder / name).iterdir()) == ["messages.txt", "photos", "run.json"]


def test_a_child_that_crashes_is_a_message_and_the_next_run_is_made(app):
    for photo, words in (("crash.jpg", "SIGKILL"), ("mute.jpg", "without a result")):
        name = draft(app, photo)
        post(app, f"runs/{name}/start")
        found = wait(app, name, "failed")
        assert words in found["error"]["message"] and found["error"]["advice"]
        assert not (app.runs.folder / name / "half.glb").exists()
    status, found = post(app, f"runs/{draft(app, 'broken.jpg')}/look")
    assert status == 422 and found["error"] == "it is no picture. Give a photo."
    name = draft(app, "good.jpg")
    post(app, f"runs/{name}/start")
    wait(app, name, "done")


def test_a_program_that_cannot_be_started_is_a_message(tmp_path):
    made = Runs(tmp_path, ["/nonexistent"])
    run = made.create()
    made.add_photo(run, "a.jpg", 1, lambda file: file.write(b"a"))
    made.start(run, {})
    end = time.monotonic() + 60
    while run.record["state"] != "failed":
        assert time.monotonic() < end
        time.sleep(0.01)
    assert "could not be started" in run.record["error"]["message"]
    made.close()


def test_ten_runs_leave_neither_memory_nor_files_nor_threads(app):
    def one():
        name = draft(app, "a.jpg")
        post(app, f"runs/{name}/start")
        wait(app, name, "done")

    one()
    before = resident_memory(), len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(10):
        one()
    assert resident_memory() - before[0] < 8 << 20
    if before[1]:
        assert len(os.listdir("/proc/self/fd")) <= before[1] + 4  # connections that are being closed
    assert threading.active_count() < 20


def test_the_history_is_that_of_the_folder(tmp_path):
    folder = tmp_path / "runs"
    first = Runs(folder, COMMAND)
    states = {"done": "done", "running": "failed", "waiting": "failed", "draft": None, "cancelled": "cancelled"}
    made = {}
    for state in states:
        run = first.create()
        first.add_photo(run, "a.jpg", 1, lambda file: file.write(b"a"))
        run.record |= {"state": state, "app": 2**22 + 1}  # a process that is no more
        run.save()
        made[state] = run.name
    for name, content in (("20200101-000000-abcdef", "{"), ("20200101-000001-abcdef", '{"state": "done"}')):
        (folder / name).mkdir()
        (folder / name / "run.json").write_text(content)
    (folder / "20200101-000002-abcdef").mkdir()
    hostile = {"state": "done", "created": "", "photos": ["../../x"]}
    (folder / "20200101-000002-abcdef" / "run.json").write_text(json.dumps(hostile))
    second = Runs(folder, COMMAND)
    found = {run["id"]: run["state"] for run in second.history()}
    assert found == {made[state]: end for state, end in states.items() if end}
    assert not (folder / made["draft"]).exists()
    assert (folder / "20200101-000000-abcdef").exists(), "what is not understood is left alone"
    first.close(), second.close()


def test_limits_of_drafts_and_of_the_queue(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "MAX_DRAFTS", 3)
    monkeypatch.setattr(runs, "MAX_QUEUE", 1)
    made = Runs(tmp_path, COMMAND)
    drafts = [made.create() for _ in range(5)]
    assert len([run for run in drafts if run.folder.exists()]) == 3
    going = []
    for _ in range(2):
        run = made.create()
        made.add_photo(run, "slow.jpg", 1, lambda file: file.write(b"a"))
        made.start(run, {})
        going.append(run)
        end = time.monotonic() + 60
        while made.running is None and time.monotonic() < end:
            time.sleep(0.01)
    last = made.create()
    made.add_photo(last, "slow.jpg", 1, lambda file: file.write(b"a"))
    with pytest.raises(StereoError, match="are waiting"):
        made.start(last, {})
    made.close()
    assert [run.record["state"] for run in going] == ["cancelled", "cancelled"]
    assert made.running is None and not last.folder.exists()
    with pytest.raises(StereoError, match="cannot be written"):
        (tmp_path / "file").touch()
        Runs(tmp_path / "file" / "below", COMMAND)


def test_a_full_disk_is_a_message(tmp_path, monkeypatch):
    made = Runs(tmp_path, COMMAND)
    monkeypatch.setattr(runs.shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(StereoError, match="full"):
        made.add_photo(made.create(), "a.jpg", 5, lambda file: None)
    made.close()


# ------------------------------------------------------------------------------------------------------- the command


def test_the_command_serves_until_it_is_ended(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "stereo3d.cli", "app", "--no-browser", "--folder", "models"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        line = process.stdout.readline()
        port, secret = re.match(r"http://127\.0\.0\.1:(\d+)/([\w-]{16,})/  \(Ctrl-C", line).groups()
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
        connection.request("GET", f"/{secret}/")
        assert b"models</code>" in connection.getresponse().read()
        loaded = Path(f"/proc/{process.pid}/maps")
        if loaded.exists():  # what takes time to import, and memory to hold, belongs to the children
            assert not re.search("/(cv2|numba|open3d|scipy)/", loaded.read_text())
    finally:
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0 and err == "" and list((tmp_path / "models").iterdir()) == []


def test_another_address_is_for_containers_alone(monkeypatch, tmp_path):
    from stereo3d.cli import app as command

    monkeypatch.setattr(command, "CONTAINER_MARKS", ())
    monkeypatch.delenv("container", raising=False)
    with pytest.raises(StereoError, match="host cannot be 0.0.0.0.*"):
        command.app.callback(folder=tmp_path, port=0, host="0.0.0.0", browser=False)
    server = AppServer(Runs(tmp_path, COMMAND), host="0.0.0.0")
    assert server.address.startswith("http://127.0.0.1:") and server.server_address[0] == "0.0.0.0"
    server.server_close()
    server.runs.close()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert command.default_folder() == tmp_path / "stereo3d"
    (tmp_path / "Pictures").mkdir()
    assert command.default_folder() == tmp_path / "Pictures" / "stereo3d"
