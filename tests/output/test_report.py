"""The page of a run: looked at in a real browser, against the truth of a rendered pair; and what goes into it."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from browser import Browser

from stereo3d.cli.parameters import cli
from stereo3d.errors import StereoError
from stereo3d.geometry import fundamental_from_pose, hom, project, undistort
from stereo3d.io import colourise, write_mesh
from stereo3d.mesh.preview import bilinear
from stereo3d.output.html import figures, page, repeat_command, scene, write_report, write_view
from stereo3d.output.stage_files import measured
from stereo3d.pipeline import Config, run
from stereo3d.records import Camera, Finding, Mesh, Photo, TexturedPart
from stereo3d.rectification import rectify
from stereo3d.synthetic import renderer

SIZE = (320, 240)
LENS = (-0.36, 0.14, 0.002, -0.001)


@pytest.fixture(scope="module")
def pair():
    """Photographed by hand through a lens that bends lines by some pixels."""
    return renderer.render("handheld", size=SIZE, dist=LENS, supersample=1)


@pytest.fixture(scope="module")
def result(pair):
    odd = Finding("odd", "warning", "the light is <b>odd</b> (3 lux).", {}, "Wait for the sun & try again.")
    left = replace(pair.left, path=Path("a <script>alert(1)<br> 'left'.png"))
    found = run.reconstruct(left, pair.right, pair.rig, Config(faces=20_000))
    return replace(found, findings=[*found.findings, odd])


@pytest.fixture(scope="module")
def report(result, tmp_path_factory):
    return write_report(tmp_path_factory.mktemp("report") / "page.html", result, files=["model.obj", "model.mtl"])


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture
def shown(browser, report):
    """The browser with the report open in it, whatever was there before."""
    if browser.run("return location.href") != report.as_uri():
        browser.open(report.as_uri())
    return browser


def true_point(pair, x) -> np.ndarray:
    """The point of the scene, in camera 1's frame, that photo 1 shows at pixel x: one ray, cast again."""
    W, C = renderer.scene_from_camera1("handheld")
    ray = hom(undistort(np.array([x]), pair.rig.cam1.K, pair.rig.cam1.dist)) @ W
    return (renderer.cast("handheld", C, ray)[:, None] * ray)[0] @ W.T


def frame(browser) -> np.ndarray:
    """What the viewer has drawn: (H,W,4) u8, top row first."""
    pixels, width, height = browser.run_async("""
        const v = window.stereo3d.viewer, gl = v.gl;
        v.render();
        const p = new Uint8Array(4 * v.canvas.width * v.canvas.height);
        gl.readPixels(0, 0, v.canvas.width, v.canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, p);
        let text = '';
        for (let i = 0; i < p.length; i += 32768) text += String.fromCharCode(...p.subarray(i, i + 32768));
        return [btoa(text), v.canvas.width, v.canvas.height];""")
    import base64

    return np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(height, width, 4)[::-1]


def canvas_pixel(browser, x, K, size) -> np.ndarray:
    """Where the viewer's canvas, looking through the first camera, shows ideal pixel x of it."""
    width, height = browser.run("const c = window.stereo3d.viewer.canvas; return [c.clientWidth, c.clientHeight]")
    scale = min(width / size[0], height / size[1])
    return (np.asarray(x) - (np.array(size) - 1) / 2) * scale + np.array([width, height]) / 2


# ---------------------------------------------------------------------------------------------- in the browser


def test_it_opens_without_network_and_without_complaint(browser, report):
    browser.open(report.as_uri())
    assert browser.console() == []
    assert browser.requests() == [report.as_uri()]


def test_the_mesh_seen_from_the_left_photo_is_the_left_photo(shown, pair):
    shown.run("window.stereo3d.viewer.look(0, false)")
    drawn = frame(shown)
    camera = pair.rig.cam1
    seen = drawn[..., 3] == 255
    # the view is without distortion, in which the photo is wider than its frame: as wide as the lens makes it
    x, y = np.meshgrid(np.arange(-SIZE[0] // 4, SIZE[0] * 5 // 4), np.arange(SIZE[1]))
    there = project(hom((np.stack([x, y], -1) - camera.K[:2, 2]) / np.diag(camera.K)[:2]), camera.K, dist=camera.dist)
    photo_area = ((there > -0.5) & (there < np.array(SIZE) - 0.5)).all(-1).sum() / np.prod(SIZE)
    assert 1 < photo_area < 1.15
    area = seen.mean() * drawn.shape[0] * drawn.shape[1] / (seen.shape[0] * seen.shape[0] * 4 / 3)
    assert 0.5 < area <= photo_area
    # each drawn pixel looked up in the photo: canvas -> ideal pixel -> through the lens
    j, i = np.nonzero(seen)
    scale = min(drawn.shape[1] / SIZE[0], drawn.shape[0] / SIZE[1])
    ideal = (np.column_stack([i, j]) + 0.5 - np.array(drawn.shape[1::-1]) / 2) / scale + (np.array(SIZE) - 1) / 2
    rays = hom((ideal - camera.K[:2, 2]) / np.diag(camera.K)[:2])
    uv = (project(rays, camera.K, dist=camera.dist) + 0.5) / SIZE * [1, -1] + [0, 1]
    inside = ((uv >= 0) & (uv <= 1)).all(1)
    photo = bilinear(pair.left.pixels.astype(float), uv[inside])
    difference = np.abs(drawn[j, i, :3][inside] - photo)
    assert np.median(difference.max(-1)) <= 5  # a JPEG at quality 88
    assert inside.mean() > 0.97


def test_the_switches_switch(shown, result):
    shown.run("window.stereo3d.viewer.look(0, false)")
    views = {}
    for mode in ("texture", "shaded", "confidence", "uncertainty", "wireframe"):
        shown.click(f"#model .modes [data-choose={mode}]")
        pressed = shown.run(
            "return [...document.querySelectorAll('#model .modes [aria-pressed=true]')].map(b => b.dataset.choose)"
        )
        assert pressed == [mode]
        views[mode] = frame(shown)
        assert shown.run("return !document.querySelector('#model .legend').hidden") == (
            mode in ("confidence", "uncertainty")
        )
    names = list(views)
    for a, b in ((a, b) for k, a in enumerate(names) for b in names[:k]):
        assert np.abs(views[a].astype(int) - views[b]).max(-1).mean() > 3, (a, b)
    seen = views["shaded"][..., 3] == 255
    clay = views["shaded"][seen][:, :3].astype(int)
    assert np.median(clay[:, 0] - clay[:, 2]) in range(0, 40)  # warm grey, no colour of the photo
    # the colours of confidence are those of the confidence map: the share of sure pixels
    colours = views["confidence"][seen][:, :3].astype(float)
    sure = (colours[:, 1] > colours[:, 2] + 40).mean()  # the yellow-green half of viridis
    known = np.isfinite(result.disparity)
    assert abs(sure - (result.confidence[known] > 0.6).mean()) < 0.25

    shown.click("#model .modes [data-choose=texture]")
    shown.run("window.stereo3d.viewer.home(false)")
    before = frame(shown)
    shown.click("#model .cameras")
    after = frame(shown)
    assert (np.abs(after.astype(int) - before).max(-1) > 30).sum() > 300
    shown.click("#model .cameras")
    assert np.array_equal(frame(shown), before)


def test_both_photos_can_be_looked_through(shown, pair):
    for index in (0, 1):
        shown.click(f"#model [data-look='{index}']")
        shown.wait("return !window.stereo3d.viewer.moving")
        R, eye = shown.run("const v = window.stereo3d.viewer; return [v.pose.R, v.eye]")
        R_true, t = (np.eye(3), np.zeros(3)) if index == 0 else (pair.rig.R, pair.rig.t)
        assert np.allclose(R, R_true, atol=1e-6) and np.allclose(eye, -R_true.T @ t, atol=1e-6)


def test_turning_moving_and_zooming(shown):
    shown.run("window.stereo3d.viewer.look(0, false)")
    pose = "const p = window.stereo3d.viewer.pose; return [p.R, p.target, p.distance]"
    before = shown.run(pose)
    where = shown.place("#model canvas")

    def drag(kind, buttons, x, y):
        shown.command(
            "Input.dispatchMouseEvent",
            {
                "type": kind,
                "x": x,
                "y": y,
                "buttons": buttons,
                "clickCount": 1,
                "button": "left" if buttons == 1 else "right",
            },
        )

    for buttons in (1, 2):
        drag("mousePressed", buttons, *where)
        drag("mouseMoved", buttons, where[0] + 60, where[1] + 20)
        drag("mouseReleased", buttons, where[0] + 60, where[1] + 20)
        after = shown.run(pose)
        turned, moved = not np.allclose(after[0], before[0]), not np.allclose(after[1], before[1])
        assert (turned, moved) == (buttons == 1, buttons == 2)
        assert np.allclose(np.array(after[0]) @ np.array(after[0]).T, np.eye(3), atol=1e-6)
        before = after
    wheel = {"type": "mouseWheel", "x": where[0], "y": where[1], "deltaX": 0, "deltaY": -240}
    shown.command("Input.dispatchMouseEvent", wheel)
    shown.wait(f"return window.stereo3d.viewer.pose.distance < {0.8 * before[2]}", 5)
    assert np.allclose(shown.run(pose)[0], before[0])
    # two fingers: apart is nearer
    shown.command("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})
    near = shown.run(pose)[2]
    for kind, reach in (("touchStart", 30), ("touchMove", 50), ("touchMove", 90), ("touchEnd", None)):
        points = (
            []
            if reach is None
            else [{"x": where[0] + s * reach, "y": where[1], "id": k} for k, s in enumerate((-1, 1))]
        )
        shown.command("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    shown.command("Emulation.setTouchEmulationEnabled", {"enabled": False})
    assert shown.run(pose)[2] < 0.6 * near


def test_a_measured_distance_is_the_true_one(shown, pair):
    shown.run("window.stereo3d.viewer.look(0, false)")
    shown.click("#model .measure")
    camera = pair.rig.cam1
    ends = [np.array([96.0, 88.0]), np.array([184.0, 144.0])]  # ideal pixels
    for x in ends:
        shown.click("#model canvas", *canvas_pixel(shown, x, camera.K, SIZE))
    W, C = renderer.scene_from_camera1("handheld")
    rays = hom((np.array(ends) - camera.K[:2, 2]) / np.diag(camera.K)[:2])
    points = renderer.cast("handheld", C, rays @ W)[:, None] * rays
    true = np.linalg.norm(points[1] - points[0])
    found = shown.run("return window.stereo3d.viewer.distance()")
    assert abs(found["length"] / true - 1) < 0.02
    assert 0 < found["deviation"] < 0.1 * true
    words = shown.run("return document.querySelector('#model .measured').textContent")
    assert re.fullmatch(r"[\d.]+ ± [\d.]+ m", words) and abs(float(words.split()[0]) - found["length"]) < 0.01 * true
    shown.wait("return document.querySelectorAll('#model svg line').length === 2", 5)
    shown.click("#model .measure")
    shown.wait("return document.querySelectorAll('#model svg line').length === 0", 5)


def distance_to_curve(lines, p) -> float:
    """px from p to polylines [[[x, y], ...], ...]."""
    best = np.inf
    for line in map(np.array, lines):
        a, d = line[:-1], np.diff(line, axis=0)
        s = np.clip(((p - a) * d).sum(1) / np.maximum((d * d).sum(1), 1e-12), 0, 1)
        best = min(best, np.linalg.norm(a + s[:, None] * d - p, axis=1).min(initial=np.inf))
    return best


def test_the_epipolar_line_of_a_clicked_pixel_passes_through_its_true_match(shown, pair):
    first, second = pair.rig.cam1, pair.rig.cam2
    R, t = pair.rig.R, pair.rig.t
    off = []
    for x in ([50, 40], [260, 30], [160, 120], [60, 200], [270, 210]):
        width, height = shown.run("const p = document.querySelector('#epipolar .pane img'); return [p.width, p.height]")
        place = (np.array(x) + 0.5) * [width, height] / SIZE
        shown.click("#epipolar .pane img", *place)
        shot = shown.run("return window.stereo3d.epipolar")
        assert shot["side"] == 0 and np.linalg.norm(np.array(shot["x"]) - x) < 1.5
        match = project(true_point(pair, shot["x"]), second.K, R, t, second.dist)
        assert distance_to_curve(shot["lines"], match) < 0.1
        shown.click("#epipolar .pane img", *place)  # lets the line go
        l = fundamental_from_pose(first.K, second.K, R, t) @ [*shot["x"], 1]  # as if there were no lens
        off.append(abs(l @ [*match, 1]) / np.hypot(*l[:2]))
    assert max(off) > 1
    # and back: from the second photo, where the true match is known the other way round
    back = shown.run(
        "const f = window.stereo3d.facts, [a, b] = f.cameras, R = M3.T(b.R);"
        "return epipolarCurve([265, 48], b, a, R, V3.mul(M3.at(R, b.t), -1))"
    )
    z = pair.depth2[48, 265]
    X = z * hom(undistort(np.array([265.0, 48.0]), second.K, second.dist))
    assert distance_to_curve(back, project((X - t) @ R, first.K, dist=first.dist)) < 0.1


def test_maps_arrive_as_they_were_made(shown, result):
    step = figures.map_step(result.disparity.shape)
    sent = shown.run_async("const a = await array(facts, 'disparity'); return Array.from(a, v => isNaN(v) ? null : v)")
    sent = np.array([np.nan if v is None else v for v in sent]).reshape(figures.sampled(result.disparity, step).shape)
    true = figures.sampled(result.disparity, step)
    assert np.array_equal(np.isnan(sent), np.isnan(true))
    assert np.nanmax(np.abs(sent - true)) < np.ptp(result.disparity[np.isfinite(result.disparity)]) / 60000
    face = shown.run_async("return Array.from(await array(facts, 'mesh0-face'))")
    expected = scene.parts_of_result(result)[0].mesh.faces
    assert np.array_equal(np.array(face).reshape(-1, 3), expected)
    # the disparity figure: the colours of turbo between the 1 % and 99 % quantiles
    shown.run("document.querySelector('#disparity [data-choose=disparity]').click()")
    drawn = shown.run("""
        const c = document.querySelector('#disparity canvas');
        const pixels = c.getContext('2d').getImageData(0, 0, c.width, c.height);
        return [c.width, c.height, Array.from(pixels.data)]""")
    drawn = np.array(drawn[2]).reshape(drawn[1], drawn[0], 4)
    known = np.isfinite(true)
    assert np.array_equal(drawn[..., 3] == 255, known)
    lo, hi = np.quantile(true[known], [0.01, 0.99])
    assert np.median(np.abs(drawn[known][:, :3] - colourise(true, lo, hi)[known].astype(int))) <= 3


def test_a_pixel_of_the_rectified_pair_points_at_its_match(shown, result):
    known = np.isfinite(result.disparity)
    height, width = known.shape
    j, i = np.argwhere(known & (np.abs(np.arange(width) - width / 2) < width / 4))[known.sum() // 3]
    shown_width = shown.run("return document.querySelector('#rectified .pane img').width")
    shown.click("#rectified .pane img", (i + 0.5) * shown_width / width, (j + 0.5) * shown_width / width)
    words = shown.run("return document.querySelector('#rectified .readout').textContent")
    row, column, d = (float(n) for n in re.match(r"row (\d+), column (\d+): found ([\d.]+) px", words).groups())
    assert abs(row - j) <= 1 and abs(column - i) <= 1
    near = result.disparity[max(j - 2, 0) : j + 3, max(i - 2, 0) : i + 3]
    assert np.nanmin(np.abs(np.abs(near) - d)) < 0.1


def test_sliders_blend(shown):
    means = []
    for share in (0, 0.5, 1):
        means.append(
            shown.run(
                """
            const f = document.querySelector('#blend figure');
            const s = f.querySelector('[name=share]'), c = f.querySelector('canvas');
            f.querySelector('[name=shift]').value = 0; s.value = arguments[0]; s.dispatchEvent(new Event('input'));
            return Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)""",
                share,
            )
        )
    first, half, second = (np.array(m).reshape(-1, 4)[:, :3] for m in means)
    assert np.abs(half - (first + second) / 2).max() <= 2 and np.abs(first - second).mean() > 5


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.1) of a colour as the browser states it."""
    c = np.array([int(n) for n in re.findall(r"\d+", colour)[:3]]) / 255
    return float(np.where(c <= 0.03928, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


def test_a_swipe_over_the_model_scrolls_until_a_tap_takes_hold_of_it(shown):
    pose = "return window.stereo3d.viewer.pose.R"

    def touch(*places):
        for kind, place in zip(["touchStart", *["touchMove"] * len(places)], places, strict=False):
            points = [{"x": place[0], "y": place[1]}]
            shown.command("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        shown.command("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    def swipe():
        x, y = shown.place("#model canvas")
        top, before = shown.run("return scrollY"), shown.run(pose)
        touch(*((x, y - 20 * k) for k in range(10)))
        moved = shown.run_async("await new Promise(r => setTimeout(r, 300)); return scrollY") - top
        return moved > 100, not np.allclose(shown.run(pose), before)

    shown.size(390, 800, touch=True)
    shown.command("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})
    try:
        shown.open(shown.run("return location.href"))
        for scrolls, turns in ((True, False), (False, True), (True, False)):
            assert swipe() == (scrolls, turns)
            touch(shown.place("#model canvas"))
    finally:
        shown.run("document.querySelector('.viewer').classList.remove('held')")
        shown.command("Emulation.setTouchEmulationEnabled", {"enabled": False})
        shown.command("Emulation.clearDeviceMetricsOverride", {})


def test_a_dense_wireframe_leaves_the_surface_visible(shown):
    """From so far that edges are shorter than a pixel is wide, few pixels have the colour of a single line."""
    share = shown.run("""
        const v = window.stereo3d.viewer, gl = v.gl, before = [v.mode, v.pose];
        v.mode = 'wireframe';
        v.home(false);
        v.zoom(6);
        v.render();
        const [w, h] = [gl.drawingBufferWidth, gl.drawingBufferHeight], data = new Uint8Array(4 * w * h);
        gl.readPixels(0, 0, w, h, gl.RGBA, gl.UNSIGNED_BYTE, data);
        [v.mode, v.pose] = before;
        v.render();
        let lines = 0, mesh = 0;
        for (let k = 0; k < data.length; k += 4) {
          mesh += data[k + 3] > 0;
          lines += data[k + 3] > 0 && data[k] > 150 && data[k + 1] > 205;
        }
        return [lines / mesh, mesh]""")
    assert share[0] < 0.2 and share[1] > 500, share


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280, 2200])
def test_it_fits_every_screen_in_both_lights(shown, width, scheme):
    shown.media(scheme)
    shown.size(width, 800)
    try:
        assert shown.run("return document.documentElement.scrollWidth") <= width
        wide = shown.run(
            "return Math.min(...[...document.querySelectorAll('figure canvas.map, .pair, .viewer')]"
            ".map(e => e.getBoundingClientRect().width))"
        )
        assert wide > min(280, 0.8 * width)
        paper, ink = shown.run("const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]")
        small = shown.run(
            "return [...document.querySelectorAll('button, input, a')].map(e => [e.outerHTML.slice(0, 60), "
            "e.getBoundingClientRect()]).filter(([, r]) => Math.min(r.width, r.height) < 40).map(([what]) => what)"
        )
        assert small == [] or width > 820, "a finger needs 40 px"
        badges = shown.run("""
            const verdict = document.querySelector('.verdict'), badge = document.querySelector('.badge'), found = [];
            const before = verdict.className;
            for (const name of ['good', 'fair', 'poor', 'none']) {
              verdict.className = `verdict ${name}`;
              const s = getComputedStyle(badge);
              found.push([s.color, s.backgroundColor]);
            }
            verdict.className = before;
            return found""")
        for pair_of_colours in badges:
            dark, bright = sorted(luminance(c) for c in pair_of_colours)
            assert (bright + 0.05) / (dark + 0.05) >= 4.5, pair_of_colours
        light = [sum(map(int, re.findall(r"\d+", c)[:3])) / 765 for c in (paper, ink)]
        assert (light[0] > 0.9 and light[1] < 0.2) if scheme == "light" else (light[0] < 0.15 and light[1] > 0.8)
    finally:
        shown.media("light")
        shown.command("Emulation.clearDeviceMetricsOverride", {})


def test_names_are_text(shown):
    assert shown.run("return document.querySelector('.kicker').textContent").startswith(
        "a <script>alert(1)<br> 'left'.png"
    )
    assert shown.run("return document.querySelectorAll('.findings b b').length") == 0
    assert "the sun & try again" in shown.run("return document.querySelector('.better').textContent")


def test_view_shows_a_mesh_of_a_file(browser, result, tmp_path):
    files = write_mesh(tmp_path / "model.obj", result.mesh, unit="m")
    browser.open(write_view(tmp_path / "v.html", files[0]).as_uri())
    assert browser.console() == [] and browser.requests() == [(tmp_path / "v.html").as_uri()]
    drawn = frame(browser)
    seen = drawn[..., 3] == 255
    assert 0.05 < seen.mean() < 0.95
    photo = result.left.pixels.reshape(-1, 3).astype(int)
    colours = drawn[seen][:, :3].astype(int)
    assert np.abs(np.median(colours, 0) - np.median(photo, 0)).max() < 40  # textured, neither black nor grey
    assert browser.run("return document.querySelector('.caption').textContent").strip().endswith("unit: m.")


PAYLOAD = "<img src=x onerror='window.pwned=1'><b style='color:red' onmouseover='window.pwned=1'>m</b>"


def test_no_text_of_a_file_becomes_markup_or_runs(browser, result, tmp_path):
    """Names, units, EXIF, calibration, findings, options: each holds a script that the page must show as text."""
    exif = {"make": PAYLOAD, "model": PAYLOAD}
    left = replace(result.left, path=Path(PAYLOAD.replace("/", " ")), exif=exif)
    cameras = [replace(c, source_detail=PAYLOAD) for c in (result.view.rig.cam1, result.view.rig.cam2)]
    rig = replace(result.view.rig, cam1=cameras[0], cam2=cameras[1], unit=PAYLOAD)
    finding = Finding("odd", "warning", PAYLOAD, {"number": 1.0}, PAYLOAD)
    hostile = replace(
        result,
        left=left,
        rig=replace(rig, R=None, t=None),
        view=replace(result.view, rig=rig),
        findings=[*result.findings, finding],
        summary=PAYLOAD,
        config=replace(result.config, unit=PAYLOAD, baseline=1.0),
    )
    path = write_report(tmp_path / "hostile.html", hostile, files=[PAYLOAD])
    browser.open(path.as_uri())
    browser.run("""
        const v = window.stereo3d.viewer, [w, h] = [v.canvas.clientWidth, v.canvas.clientHeight];
        document.querySelector('#model .measure').click();
        v.click(w / 2 - 20, h / 2);
        v.click(w / 2 + 20, h / 2);
        for (const b of document.querySelectorAll('[data-choose]')) b.click();
        const over = new MouseEvent('mouseover', { bubbles: true });
        for (const e of document.querySelectorAll('b, span, i, text')) e.dispatchEvent(over);""")
    browser.wait("return document.querySelectorAll('#model svg text').length === 1", 20)  # a distance, in that unit
    assert browser.run("return document.querySelectorAll('[onerror], [onmouseover], [src=x]').length") == 0
    assert browser.run("return typeof window.pwned") == "undefined"
    assert browser.console() == []  # nor had the content policy anything to forbid


# ---------------------------------------------------------------------------------------------- what goes into it


def test_the_page_asks_for_nothing_and_says_all(report, result):
    text = report.read_text(encoding="utf-8")
    assert "connect-src" not in page.POLICY and page.POLICY.startswith("default-src 'none'") and page.POLICY in text
    assert "unsafe" not in re.search('Content-Security-Policy" content="([^"]*)"', text)[1]
    words = re.sub(r'<script type="text/plain".*?</script>', "", text, flags=re.S)
    assert not re.search(
        r"""(?:src|href)\s*=\s*["']?(?!data:)\w|@import|url\(""", re.sub(r"<script>.*?</script>", "", words, flags=re.S)
    )
    assert "://" not in words
    assert len(text) < 4e6
    sentence = result.summary.partition(". ")[0]
    for needed in (
        sentence,
        "odd",
        "Wait for the sun",
        *(s["name"] for s in result.stages),
        "numba",
        "model.obj",
        "--faces 20000",
    ):
        assert needed in words, needed
    for section in ("model", "matches", "epipolar", "rectified", "blend", "disparity", "confidence", "unknown"):
        assert f'id="{section}"' in words
    assert words.index("<h1>") < words.index('id="model"') < words.index('id="matches"')


def test_the_page_has_the_facts_for_programs_but_no_places(report, result, tmp_path):
    """Those of --json; where a photo was taken, and where it lies on the disk, is nobody's business."""
    placed = replace(result, left=replace(result.left, exif={**result.left.exif, "position": "51 N 7 E"}))
    path = write_report(tmp_path / "sub" / "r.html", placed, files=[tmp_path / "sub" / "m <1>.obj", tmp_path / "x.ply"])
    text = path.read_text(encoding="utf-8")
    facts = json.loads(re.search(r'<script type="application/json" id="measurements">(.*?)</script>', text, re.S)[1])
    told = measured(result, [], 0.0)
    for name in ("verdict", "summary", "findings", "coverage", "cameras", "F", "mesh", "stages", "options", "versions"):
        assert facts[name] == told[name], name
    assert facts["photos"][0] == result.left.path.name and "51 N" not in text
    assert facts["files"] == ["m <1>.obj", "x.ply"]
    assert '<a href="./m%20%3C1%3E.obj">m &lt;1&gt;.obj</a>' in text, "a file beside the page is linked"
    assert "<li>x.ply</li>" in text and str(tmp_path) not in text


def test_an_estimated_focal_length_names_its_source(result):
    view = result.view
    cam = replace(view.rig.cam1, source="estimated", source_detail="standard error 6.1 %")
    rig = replace(view.rig, cam1=cam, cam2=cam)
    numbers = dict(figures.camera_numbers(replace(result, view=replace(view, rig=rig))))
    assert numbers["known from"] == "the two photos themselves, standard error 6.1 %"


def test_equal_runs_give_equal_pages(report, result, tmp_path):
    again = write_report(tmp_path / "again.html", result, files=["model.obj", "model.mtl"])
    assert again.read_bytes() == report.read_bytes()


def test_the_command_repeats_the_run():
    given = {
        "matcher": "block",
        "max_size": 900,
        "seed": 3,
        "focal_35mm": 26.5,
        "unit": "m",
        "faces": 0,
        "known_distance": ((1.0, 2.5), (30.0, 40.0), 0.7),
        "force": True,
        "options": {"matcher.radius": 4, "pose.threshold": 2.5, "rectify.straighten": False},
    }
    config = Config(**given)
    pixels = np.zeros((1, 1, 3), np.uint8)
    result = SimpleNamespace(left=Photo(pixels, path=Path("a b.jpg")), right=Photo(pixels), config=config)
    words = shlex.split(repeat_command(result, "out.obj"))
    assert words[:5] == ["stereo3d", "a b.jpg", "RIGHT", "-o", "out.obj"]
    command = cli.commands["reconstruct"]
    found = command.make_context("reconstruct", words[1:]).params
    options = dict(pair.split("=") for pair in found["options"])
    again = Config(options=options, **{k: found[k] for k in vars(config) if k != "options"})
    assert vars(again) == vars(config)
    assert repeat_command(replace_config(result, Config()), "out.obj") == "stereo3d 'a b.jpg' RIGHT -o out.obj"


def replace_config(result, config):
    return SimpleNamespace(**{**vars(result), "config": config})


@pytest.mark.parametrize("name", ["sphere", "bars", "swapped"])
def test_why_a_pixel_is_unknown(request, name):
    """Against the renderer: what of the unknown the second photo does not see is hidden or outside, the rest is not."""
    pair = request.getfixturevalue(f"{name}_pair")
    h, w = pair.depth1.shape
    view = SimpleNamespace(rig=pair.rig, R=pair.rig.R, t=pair.rig.t)
    rectified = rectify(pair.left, pair.right, view)
    d = np.where(pair.visible1, pair.disparity_left, np.nan).astype(np.float32)
    rng = np.random.default_rng(0)
    spoiled = pair.visible1 & (rng.random((h, w)) < 0.05)
    d[spoiled] = np.nan
    kinds = figures.reasons(rectified, d)
    assert (kinds[np.isfinite(d)] == 0).all()
    x = np.arange(w) - pair.disparity_left
    outside = ~pair.visible1 & ((x < -0.5) | (x > w - 0.5))
    hidden = ~pair.visible1 & ~outside
    assert hidden.sum() > 100 and outside.sum() > 500
    assert (kinds[outside] == 3).mean() > (0.85 if name == "bars" else 0.95)  # a bar cut by the border has no neighbour
    assert (kinds[hidden] == 2).mean() > 0.8
    assert (kinds[spoiled] == 4).mean() > 0.9


def test_pictures_keep_to_their_weight():
    noise = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), dtype=np.uint8)  # nothing compresses worse
    for kind, most in page.PICTURE_BYTES.items():
        assert len(page.compressed(noise, page.PICTURE_SIDE[kind], most)) <= most
    smooth = np.broadcast_to(np.arange(2000, dtype=np.uint8)[None, :, None], (1500, 2000, 3))
    import cv2

    again = cv2.imdecode(np.frombuffer(page.compressed(smooth, 2048, 1_600_000), np.uint8), cv2.IMREAD_COLOR)
    assert again.shape == (1500, 2000, 3)


def test_the_heaviest_page_is_below_ten_megabytes(monkeypatch):
    """Pictures at their limits, a mesh of the most faces whose numbers do not compress, maps of noise."""
    rng = np.random.default_rng(0)
    heavy = page.Page()
    for kind, name in (
        ("texture", "photo1"),
        ("photo", "photo2"),
        ("rectified", "left"),
        ("rectified", "right"),
        ("photo", "texture1"),
    ):
        heavy.data[name] = "x" * (4 * page.PICTURE_BYTES[kind] // 3)
    n = scene.FACES // 2 + 2000
    X = rng.normal(size=(n, 3)) + [0, 0, 5]
    base = np.arange(n - 2)
    faces = np.concatenate([np.column_stack([base, base + 1, base + 2]), np.column_stack([base, base + 2, base + 1])])
    mesh = Mesh(X, faces[: scene.FACES], rng.random((n, 2)), np.zeros((2, 2, 3), np.uint8), rng.random(n))
    heavy.mesh([scene.Part(mesh, confidence=rng.random(n), relative_sigma=rng.random(n))], ["photo1"])
    side = int(np.sqrt(figures.MAP_PIXELS))
    for name in ("disparity", "inverse"):
        heavy.levels(name, 20 * rng.random((side, side)) + np.linspace(0, 100, side))
    heavy.levels("confidence", rng.random((side, side)), lo=0, hi=1, steps=254)
    for name in ("depth1", "depth2"):
        heavy.levels(name, rng.random((240, 320)))
    heavy.array("match1", rng.random(2 * figures.MATCHES).astype(np.float32))
    heavy.array("match2", rng.random(2 * figures.MATCHES).astype(np.float32))
    assert sum(map(len, heavy.data.values())) < 9.8e6


def ball(n: int) -> Mesh:
    """A cap of a sphere of radius 1 about (0, 0, 4), as camera 1 sees it; uv by projection."""
    a, b = np.meshgrid(np.linspace(-1, 1, n), np.linspace(-1, 1, n))
    X = np.stack([np.sin(a), np.cos(a) * np.sin(b), 4 - np.cos(a) * np.cos(b)], -1).reshape(-1, 3)
    i = np.arange(n * n).reshape(n, n)
    p, q, r, s = i[:-1, :-1].ravel(), i[1:, :-1].ravel(), i[1:, 1:].ravel(), i[:-1, 1:].ravel()
    faces = np.concatenate([np.column_stack([p, q, r]), np.column_stack([p, r, s])]).astype(np.int32)
    uv = X[:, :2] / X[:, 2:] + 0.5
    return Mesh(X, faces, uv, np.full((4, 4, 3), 90, np.uint8), np.full(n * n, 0.01))


@pytest.mark.parametrize("perspective", [True, False])
def test_a_simplified_mesh_is_the_same_surface(perspective):
    mesh = ball(120)
    light = scene.simplified(mesh, 5000, perspective=perspective)
    assert 4000 < len(light.faces) <= 5000
    assert np.abs(np.linalg.norm(light.vertices - [0, 0, 4], axis=1) - 1).max() < 2e-3
    assert np.abs(light.uv - (light.vertices[:, :2] / light.vertices[:, 2:] + 0.5)).max() < 0.02  # of a neighbour
    assert np.allclose(light.sigma, 0.01)
    assert np.array_equal(np.unique(light.faces), np.arange(len(light.vertices)))
    a, b, c = (light.vertices[light.faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    assert (np.sum(normal * (a - [0, 0, 4]), 1) > 0).all()  # still seen from the same side
    areas = []
    for m in (mesh, light):
        a, b, c = (m.vertices[m.faces[:, k]] for k in range(3))
        areas.append(0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())
    assert abs(areas[1] / areas[0] - 1) < 0.01
    assert scene.simplified(mesh, len(mesh.faces)) is mesh


def test_the_report_uses_the_kernel_that_the_mesher_has_compiled(monkeypatch):
    """An omitted argument would be another signature of the same kernel, compiled once more."""
    from numba import typeof

    from stereo3d.mesh import decimation
    from stereo3d.mesh.meshers.poisson import _simplify

    seen = []

    def collapse(*args):
        seen.append([str(typeof(value)) for value in args])
        return np.ones(len(args[1]), bool), np.arange(len(args[0])), 0.0

    y, x = np.mgrid[:9.0, :9.0]
    vertices = np.stack([x, y, x + y + 9], -1).reshape(-1, 3)
    corner = (9 * np.arange(8)[:, None] + np.arange(8)).ravel()
    faces = np.stack([corner, corner + 1, corner + 9], -1).astype(np.int32)
    monkeypatch.setattr(scene, "collapse", collapse)
    monkeypatch.setattr(decimation, "collapse", collapse)
    scene.simplified(Mesh(vertices, faces), 10, perspective=True)
    _simplify(vertices, faces.astype(np.int64), 10, 0.5, 0.1)
    assert len(seen) == 2 and seen[0] == seen[1]


def test_a_mesh_of_two_photos_becomes_two_parts_each_with_its_own(pair, result):
    mesh = ball(60)
    second = mesh.vertices[mesh.faces].mean(1)[:, 0] > 0.3
    view = replace(result.view, rig=pair.rig, R=pair.rig.R, t=pair.rig.t)
    other = TexturedPart(second, mesh.uv[:, ::-1], pair.right.pixels)
    mesh = replace(mesh, texture=pair.left.pixels, overlays=(other,))
    whole = scene.parts_of_result(replace(result, mesh=mesh, view=view))
    assert [len(p.mesh.faces) for p in whole] == [(~second).sum(), second.sum()]
    assert whole[0].mesh.texture is pair.left.pixels and whole[1].mesh.texture is pair.right.pixels
    assert set(map(tuple, whole[1].mesh.uv)) <= set(map(tuple, other.uv))
    light = scene.parts_of_result(replace(result, mesh=mesh, view=view), faces=2000)
    assert sum(len(p.mesh.faces) for p in light) <= 2000 and len(light) == 2
    for part, camera, R, t in zip(
        light, (pair.rig.cam1, pair.rig.cam2), (None, pair.rig.R), (None, pair.rig.t), strict=True
    ):
        x = project(part.mesh.vertices, camera.K, R, t, camera.dist)
        uv = np.clip((x + 0.5) / SIZE * [1, -1] + [0, 1], 0, 1)
        assert np.abs(part.mesh.uv - uv).max() < 1e-9
        assert len(part.relative_sigma) == len(part.confidence) == len(part.mesh.vertices)
    described = page.Page().mesh(light, ["photo1", None])
    assert [t["image"] for t in described] == ["photo1", "texture1"]


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".glb"])
def test_meshes_of_files(tmp_path, suffix):
    mesh = ball(40)
    parts, unit, total = scene.parts_of_file(write_mesh(tmp_path / f"m{suffix}", mesh, unit="mm")[0])
    scale = 1000 if suffix == ".glb" else 1  # glTF is in metres
    assert (len(parts), unit, total) == (1, "m" if suffix == ".glb" else "mm", len(mesh.faces))
    assert np.abs(parts[0].mesh.vertices * scale - mesh.vertices).max() < 1e-5 and np.array_equal(
        parts[0].mesh.faces, mesh.faces
    )
    if suffix == ".ply":
        assert (np.abs(parts[0].colour.astype(int) - 90) <= 1).all()
    else:
        assert np.abs(parts[0].mesh.uv - mesh.uv).max() < 1e-5
        assert np.abs(parts[0].mesh.texture.astype(int) - 90).max() <= 2
    lighter, _, total = scene.parts_of_file(tmp_path / f"m{suffix}", faces=500)
    assert len(lighter[0].mesh.faces) <= 500 and total == len(mesh.faces)
    if suffix == ".ply":
        assert (np.abs(lighter[0].colour.astype(int) - 90) <= 1).all()


def test_meshes_that_cannot_be_shown(tmp_path):
    for name, text, code in (
        ("none.obj", None, "file_missing"),
        ("words.xyzzy", "mesh", "unknown_format"),
        ("broken.ply", "ply\nnonsense", "file_unreadable"),
        ("points.obj", "v 0 0 1\n", "empty_mesh"),
        ("empty.glb", "", "empty_mesh"),
        ("nan.obj", "v nan 0 1\nv 1 0 1\nv 0 1 1\nf 1 2 3\n", "file_unreadable"),
    ):
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(StereoError) as error:
            write_view(tmp_path / "v.html", tmp_path / name)
        assert error.value.code == code, name
        assert not (tmp_path / "v.html").exists()


def test_depth_follows_disparity_where_it_does():
    camera = Camera(np.array([[500.0, 0, 100], [0, 500, 80], [0, 0, 1]]), (200, 160))
    d = np.linspace(5, 50, 200, dtype=np.float32)[None].repeat(160, 0)
    z = 500 * 0.1 / d
    line = figures.depth_line(d, np.dstack([np.zeros_like(z), np.zeros_like(z), z]))
    assert abs(line["a"]) < 1e-7 and abs(line["b"] - 1 / 50) < 1e-8 and not line["about"]
    noise = np.random.default_rng(0).uniform(0.3, 3, z.shape)
    assert figures.depth_line(d, np.dstack([np.zeros_like(z), np.zeros_like(z), z * noise])) is None
    X = np.dstack([*(z * c for c in np.meshgrid(np.linspace(-0.2, 0.19, 200), np.linspace(-0.16, 0.158, 160))), z])
    found = figures.inverse_depth_in_photo(X, camera)
    assert found.shape == (160, 200)
    assert np.nanmedian(np.abs(1 / found - z)) < 0.02 * np.median(z)


def test_numbers_in_words():
    assert [figures.percent(x) for x in (0.0016, 0.0949, 0.851)] == ["0.16\u00a0%", "9.5\u00a0%", "85\u00a0%"]
    assert [figures.amount(x) for x in (0.01234, 12.34, 2823.4)] == ["0.0123", "12.3", "2823"]
    assert json.loads(json.dumps(figures.count(1234567))) == "1\u202f234\u202f567"
