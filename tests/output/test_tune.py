"""Tuning by eye: what the page shows is what a run would find, and nobody else gets in."""

import base64
import http.client
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import zlib

import numpy as np
import pytest
from browser import Browser

from stereo3d.cli.parameters import cli
from stereo3d.errors import StereoError
from stereo3d.output.html.tune import MAX_POINTS, Bench, serve
from stereo3d.pipeline import Config, run
from stereo3d.synthetic import write


@pytest.fixture(scope="module")
def folder(slanted_pair, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    write.write_pair(folder, slanted_pair)
    return folder


@pytest.fixture(scope="module")
def bench(folder):
    config = Config(rectified=True, matcher="sgm", options={"matcher.p1": 30, "pose.threshold": 2.0})
    return Bench(folder / "left.png", folder / "right.png", config)


@pytest.fixture(scope="module")
def address(bench):
    server, address = serve(bench)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield address
    server.shutdown()
    server.server_close()


def taken_out(answer: dict, name: str) -> np.ndarray:
    """What figures.js makes of an array of an answer, in numpy."""
    facts, raw = answer["arrays"][name], zlib.decompress(base64.b64decode(answer["data"][name]))
    kind = np.dtype("<" + facts["kind"])
    values = np.frombuffer(raw, np.uint8).reshape(kind.itemsize, -1).T.copy().view(kind).reshape(facts["shape"])
    if facts["rows"]:
        values = np.cumsum(values, axis=-1, dtype=kind)
    if "lo" not in facts:
        return values
    steps = np.iinfo(kind).max - 1
    return np.where(values > steps, np.nan, facts["lo"] + (facts["hi"] - facts["lo"]) * values.astype(float) / steps)


@pytest.mark.parametrize(
    "matcher, options",
    [("sgm", {"matcher.p1": "12"}), ("block", {"matcher.radius": 3}), ("sgbm", {"range.margin": 0.5})],
)
def test_what_is_shown_is_what_the_run_finds(bench, folder, matcher, options):
    answer = bench.match(matcher, options)
    # the command of the answer, parsed by the command line and run
    words = shlex.split(answer["command"])
    given = cli.commands["reconstruct"].make_context("reconstruct", words[1:]).params
    config = Config(
        options=dict(o.split("=") for o in given["options"]), **{k: given[k] for k in vars(Config()) if k != "options"}
    )
    assert config.matcher == matcher and config.rectified and config.options["pose.threshold"] == 2
    assert "matcher.p1" not in config.options or config.options["matcher.p1"] == 12
    result = run.reconstruct(*given["photos"], config=config)
    assert answer["step"] == 1
    shown = taken_out(answer, "disparity")
    assert np.array_equal(np.isnan(shown), np.isnan(result.disparity))
    assert np.nanmax(np.abs(shown - result.disparity)) < 1e-3
    assert np.nanmax(np.abs(taken_out(answer, "confidence") - result.confidence)) < 1 / 500
    known = np.isfinite(result.points[..., 2])
    assert answer["known"] == known.mean()
    cloud = taken_out(answer, "position").reshape(-1, 3)
    assert len(cloud) <= MAX_POINTS and np.allclose(cloud, result.points[known], rtol=1e-6)
    assert np.array_equal(taken_out(answer, "colour").reshape(-1, 3), result.pair.left[known])


def test_options_are_checked_as_those_of_the_command_line(bench):
    for matcher, options, words in (
        ("nosuch", {}, "there is no matcher"),
        ("sgm", {"matcher.radius": 3}, "no option 'radius'"),
        ("sgm", {"matcher.p1": "many"}, "cannot be 'many'"),
        ("sgm", {"matcher.p1": -5}, "cannot be -5"),
        ("block", {"nosuch.thing": 1}, "names no stage"),
    ):
        with pytest.raises(StereoError, match=words):
            bench.match(matcher, options)


def ask(address: str, method: str, path: str, body: bytes | None = None, **headers):
    """(status, headers, body); a header of None is left out."""
    port = int(re.search(r":(\d+)/", address)[1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    given = {"Host": f"127.0.0.1:{port}", "Content_Type": "application/json"} | headers
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in given.items():
        if value is not None:
            connection.putheader(name.replace("_", "-"), value)
    if body is not None and "Content_Length" not in headers:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    reply = connection.getresponse()
    return reply.status, reply.headers, reply.read()


def test_it_answers_this_page_alone(address, bench):
    port, secret = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/([\w-]{16,})/", address).groups()
    page, match, body = f"/{secret}/", f"/{secret}/match", b'{"matcher": "sgm", "options": {}}'
    status, headers, html = ask(address, "GET", page)
    assert status == 200 and b"tune.js" not in html and b"connect-src 'self'" in html
    assert headers["X-Frame-Options"] == "DENY" and "Access-Control-Allow-Origin" not in headers
    assert ask(address, "GET", page, Host=f"localhost:{port}")[0] == 200
    assert ask(address, "POST", match, body, Origin=f"http://127.0.0.1:{port}")[0] == 200
    # another name that leads here (rebinding), another page's request
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", None):
        assert ask(address, "GET", page, Host=host)[0] == 403
        assert ask(address, "POST", match, body, Host=host)[0] == 403
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", f"https://127.0.0.1:{port}"):
        assert ask(address, "POST", match, body, Origin=origin)[0] == 403
    # without the secret, and for files
    for path in (
        "/",
        "/match",
        "/wrong/match",
        "/etc/passwd",
        f"/{secret}/../../etc/passwd",
        f"{page}page.css",
        f"{page}left.png",
        f"/{secret}",
        f"{page}?x",
    ):
        assert ask(address, "GET", path)[0] == 404, path
    assert ask(address, "POST", "/match", body)[0] == 404
    for method in ("PUT", "DELETE", "OPTIONS", "HEAD"):
        assert ask(address, method, page)[0] == 501
    # what is no question
    assert ask(address, "POST", match, body, Content_Type="text/plain")[0] == 400
    assert ask(address, "POST", match, b"[" * 15_000)[0] == 400
    assert ask(address, "POST", match, b"x" * 30_000)[0] == 400
    for nonsense in (b"", b"{}", b"[]", b"null", b'{"matcher": "sgm"}', b'{"matcher": "sgm", "options": []}', b"\xff"):
        assert ask(address, "POST", match, nonsense)[0] == 400, nonsense
    for length in ("-1", "1e3", "", "99999999999999"):
        assert ask(address, "POST", match, body, Content_Length=length)[0] == 400, length
    for options in ({"matcher.p1": "x"}, {"pose.threshold": 3}, {"matcher.p1": [1]}, {"matcher.p1": {}}, {"a": 1}):
        status, _, reply = ask(address, "POST", match, json.dumps({"matcher": "sgm", "options": options}).encode())
        assert status == 422 and json.loads(reply)["error"], options


def test_it_listens_on_this_computer_alone(bench):
    server, address = serve(bench)
    assert server.server_address[0] == "127.0.0.1"
    with pytest.raises(StereoError, match="cannot be opened"):
        serve(bench, server.server_port)
    other, another = serve(bench)
    assert another.split("/")[3] != address.split("/")[3], "a secret of its own each time"
    server.server_close(), other.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


def test_a_change_is_seen_at_once(browser, address):
    browser.open(address)
    assert browser.console() == []
    first = browser.run("return document.querySelector('#command').textContent")
    assert "-O matcher.p1=30" in first and "--rectified" in first
    map_ = "const c = document.querySelector('#map canvas'); return c.toDataURL()"
    before = browser.run(map_), browser.run("return window.stereo3d.viewer.cloud.count")
    assert before[1] > 10_000
    browser.run("""const s = document.querySelector('[name=matcher]');
                   s.value = 'block'; s.dispatchEvent(new Event('input'))""")
    browser.wait("return window.stereo3d.answers === 2")
    command = browser.run("return document.querySelector('#command').textContent")
    assert "--matcher block" in command and "p1" not in command, (
        "options that the other matcher does not have are dropped"
    )
    assert browser.run("return document.querySelectorAll('[name=\"matcher.radius\"]').length") == 1
    after = browser.run(map_), browser.run("return window.stereo3d.viewer.cloud.count")
    assert after[0] != before[0] and after[1] != before[1]
    for value, invalid in (("3", False), ("-7", True)):
        browser.run(
            """const i = document.querySelector('[name="matcher.radius"]');
                       i.value = arguments[0]; i.dispatchEvent(new Event('input'))""",
            value,
        )
        assert browser.run("return document.querySelector('[name=\"matcher.radius\"]').matches(':invalid')") == invalid
    browser.wait("return document.querySelector('#command').textContent.includes('matcher.radius=3')")
    for kind in ("depth", "confidence", "photo"):
        browser.click(f"#map [data-choose={kind}]")
        assert browser.run(map_) != after[0]
    drawn = browser.run("""
        const v = window.stereo3d.viewer, gl = v.gl;
        v.render();
        const p = new Uint8Array(4 * v.canvas.width * v.canvas.height);
        gl.readPixels(0, 0, v.canvas.width, v.canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, p);
        return p.filter((a, k) => k % 4 === 3 && a === 255).length / (p.length / 4)""")
    assert drawn > 0.2, "the cloud fills a good part of its frame"
    assert browser.console() == []
    assert all(request.startswith(address) for request in browser.requests())


def test_the_command_serves_until_it_is_ended(folder):
    command = [sys.executable, "-m", "stereo3d.cli", "tune", "left.png", "right.png", "--rectified", "--no-open"]
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        address = process.stdout.readline().split()[0]
        path = address.partition("/")[2].partition("/")[2].partition("/")[2]
        assert ask(address, "GET", f"/{path}")[0] == 200
        assert ask(address, "POST", f"/{path}match", b'{"matcher": "block", "options": {}}')[0] == 200
        line = process.stdout.readline()
        assert re.match(r"[\d.]+ % known, [\d.]+ s: stereo3d left.png right.png .*--matcher block", line)
    finally:
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0 and err == ""
