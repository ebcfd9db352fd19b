"""The page of the app in a real browser: photos of a rendered pair in, a model of known lengths out."""

import base64
import threading
import time
import urllib.request
import zipfile

import numpy as np
import pytest
import trimesh
from browser import Browser
from PIL import Image

from stereo3d.app.runs import Runs
from stereo3d.app.server import AppServer
from stereo3d.geometry import hom
from stereo3d.synthetic import renderer

CUT = 12  # px at the left of the photo, which the model is to lack
SCENE, FOCAL_35MM = "sphere", 38  # 351 px at 320 x 240 px


@pytest.fixture(scope="module")
def photos(sphere_pair, tmp_path_factory):
    """Two JPEG files with the EXIF of a camera."""
    folder = tmp_path_factory.mktemp("photos")
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Maker", "M<b>1</b>"
    exif.get_ifd(0x8769).update({0xA405: FOCAL_35MM, 0x9003: "2026:05:04 03:02:01"})
    files = []
    for name, photo in (("left one.jpg", sphere_pair.left), ("right.jpg", sphere_pair.right)):
        files.append(folder / name)
        Image.fromarray(photo.pixels).save(files[-1], quality=98, subsampling=0, exif=exif.tobytes())
    return files


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    server = AppServer(Runs(tmp_path_factory.mktemp("app") / "runs"))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
    server.runs.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


def press(browser, *keys):
    """Press keys on what has the focus."""
    for key in keys:
        browser.driver.switch_to.active_element.send_keys(key)


def tab_to(browser, selector, limit=40):
    """Press Tab until this element has the focus."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    for _ in range(limit):
        if browser.run("return document.activeElement.matches(arguments[0])", selector):
            return
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
    raise AssertionError(f"Tab does not reach {selector}")


def section(browser, name):
    """Wait until the page shows this part; asks rarely, because a run takes seconds."""
    end = time.monotonic() + 300
    while (found := browser.run("return window.stereo3d && window.stereo3d.section")) != name:
        assert time.monotonic() < end, (found, browser.console())
        time.sleep(0.2)


def under_way(browser):
    """Wait until a stage is done, the run is going on, and the page shows both."""
    browser.wait("return document.querySelector('#stages .past') !== null || window.stereo3d.section !== 'going'")
    state = browser.run("return JSON.stringify([window.stereo3d.section, window.stereo3d.run])")
    assert state.startswith('["going"'), state


@pytest.fixture(scope="module")
def made(app, browser, photos, sphere_pair, tmp_path_factory):
    """The folder of downloads; the model of the pair is on the page, made by the keyboard alone."""
    from selenium.webdriver.common.keys import Keys

    browser.open(app.address)
    tab_to(browser, "#files")
    press(browser, "\n".join(map(str, photos)))  # the system's dialog, which Enter opens, is not the page's
    section(browser, "prepare")
    tab_to(browser, "[name=quality]")
    press(browser, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    tab_to(browser, "[name=scale]")
    press(browser, Keys.ARROW_DOWN)
    tab_to(browser, "[name=length]")
    press(browser, f"{np.linalg.norm(sphere_pair.rig.t):.6f}")
    tab_to(browser, "summary")
    press(browser, Keys.ENTER)
    tab_to(browser, "[name=part]")
    press(browser, Keys.ARROW_DOWN)
    for edge, value in (("left", CUT), ("top", 0), ("right", 320), ("bottom", 240)):
        tab_to(browser, f"[name={edge}]")
        press(browser, str(value))
    press(browser, Keys.ENTER)
    section(browser, "going")
    under_way(browser)
    # a reload, and a second tab, in the middle
    first = browser.driver.current_window_handle
    address = browser.run("return location.href")
    browser.driver.refresh()
    section(browser, "going")
    browser.driver.switch_to.new_window("tab")
    browser.driver.get(address)
    browser.wait("return window.stereo3d && ['going', 'result'].includes(window.stereo3d.section)")
    seen, end = set(), time.monotonic() + 60
    while len(seen) < 3 and browser.run("return window.stereo3d.section") == "going":
        seen.add(browser.run("return document.querySelector('#time').textContent"))
        assert time.monotonic() < end, seen
        time.sleep(0.2)
    assert len(seen) == 3, "the time moves"
    browser.driver.close()
    browser.driver.switch_to.window(first)
    section(browser, "result")
    browser.wait("return document.querySelector('.viewer.shown') !== null")
    folder = tmp_path_factory.mktemp("downloads")
    browser.command("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    yield folder
    assert browser.console() == []
    assert all(request.startswith(app.address) for request in browser.requests())


def test_the_verdict_comes_first_and_the_mesh_is_drawn(made, browser, app):
    verdict = app.runs.history()[0]["verdict"]
    assert verdict in ("good", "fair")
    assert browser.run("return document.querySelector('#verdict .badge').textContent") == verdict.capitalize()
    assert browser.run("return document.activeElement.id") == "result-title"
    assert "Lengths are in m" in browser.run("return document.querySelector('#scale').textContent")
    colours = browser.run("""
        const v = window.stereo3d.viewer, gl = v.gl;
        v.look(0, false);
        v.render();
        const p = new Uint8Array(4 * v.canvas.width * v.canvas.height);
        gl.readPixels(0, 0, v.canvas.width, v.canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, p);
        const seen = new Set();
        let drawn = 0;
        for (let k = 0; k < p.length; k += 4) {
          if (p[k + 3] === 255) { drawn++; seen.add(p[k] << 16 | p[k + 1] << 8 | p[k + 2]); }
        }
        return [4 * drawn / p.length, seen.size]""")
    assert colours[0] > 0.3 and colours[1] > 500
    browser.click("#made summary")
    browser.wait("return document.querySelectorAll('#made .stage').length > 5")
    painted = """
        return [...document.querySelectorAll('#made canvas:not(.overlay)')].map(c => {
          const copy = Object.assign(document.createElement('canvas'), { width: c.width, height: c.height });
          const g = copy.getContext('2d', { willReadFrequently: true }), seen = new Set();
          g.drawImage(c, 0, 0);
          const p = g.getImageData(0, 0, c.width, c.height).data;
          for (let k = 0; k < p.length; k += 4) seen.add(p[k] << 16 | p[k + 1] << 8 | p[k + 2]);
          return seen.size;
        })"""
    browser.wait(f"return (() => {{ {painted} }})().every(n => n > 2)")
    assert len(browser.run(painted)) == 4, "blend, disparity, confidence, reasons"
    assert browser.console() == []
    browser.click("#made summary")


def test_a_known_length_is_measured(made, browser, sphere_pair):
    camera, ends = sphere_pair.rig.cam1, [(210, 40), (270, 120)]
    W, C = renderer.scene_from_camera1(SCENE)
    rays = hom((np.array(ends) - camera.K[:2, 2]) / np.diag(camera.K)[:2]) @ W
    truth = np.linalg.norm(np.subtract(*(renderer.cast(SCENE, C, rays)[:, None] * rays)))
    browser.run("window.stereo3d.viewer.look(0, false)")
    browser.click("#shown .measure")
    width, height = browser.run("const c = window.stereo3d.viewer.canvas; return [c.clientWidth, c.clientHeight]")
    scale = min(width / 320, height / 240)
    for x in ends:
        browser.click("#shown canvas", *((np.array(x) - [159.5, 119.5]) * scale + [width / 2, height / 2]))
    words = browser.run("return document.querySelector('#shown .measured').textContent")
    assert words.endswith(" m") and float(words.split()[0]) == pytest.approx(truth, rel=0.01)
    browser.click("#shown .measure")


def test_each_format_is_saved_and_read_back(made, browser, app, sphere_pair):
    from selenium.webdriver.common.keys import Keys

    tab_to(browser, "#downloads a[href$='.glb']")
    press(browser, Keys.ENTER)  # the keyboard alone, to the end
    names = browser.run("return [...document.querySelectorAll('#downloads a')].map(a => a.href.split('/').pop())")
    pages = ["report.html", "measurements.json"]
    assert names[:6] == ["model.glb", "model-obj.zip", "model.ply", "model.stl", "model.usdz", "depth.png"]
    assert names[6:] == pages
    for name in names[1:6]:
        browser.run("document.querySelector(`#downloads a[href$='${arguments[0]}']`).click()", name)
    wanted = {f"left one{end}" for end in (".glb", "-obj.zip", ".ply", ".stl", ".usdz", "-depth.png")}
    end = time.monotonic() + 60
    while {path.name for path in made.iterdir()} != wanted:
        assert time.monotonic() < end, list(made.iterdir())
        time.sleep(0.05)
    with zipfile.ZipFile(made / "left one-obj.zip") as archive:
        archive.extractall(made)
        assert {"model.obj", "model.mtl"} < set(archive.namelist())
    count = set()
    for path in (made / "left one.glb", made / "model.obj", made / "left one.ply", made / "left one.stl"):
        mesh = trimesh.load(path, force="mesh", process=False)
        count.add(len(mesh.faces))
        assert 3 < np.ptp(mesh.vertices[:, 2]) + np.ptp(mesh.vertices[:, 0]) < 30
    assert len(count) == 1 and count.pop() > 1000
    with zipfile.ZipFile(made / "left one.usdz") as archive:
        assert archive.testzip() is None and archive.namelist()[0].endswith((".usda", ".usdc"))
    depth = np.asarray(Image.open(made / "left one-depth.png")).astype(float) / 1000  # m
    shown = depth > 0
    assert depth.shape == (240, 320) and not shown[:, : CUT - 4].any() and shown[:, CUT + 4 :].mean() > 0.7, (
        "what was cut away"
    )
    assert np.median(np.abs(depth / sphere_pair.depth1 - 1)[shown]) < 0.02
    address = browser.run("return document.querySelector(\"#downloads a[href$='report.html']\").href")
    with urllib.request.urlopen(address) as reply:
        assert b"Matched features" in reply.read()


def test_a_bad_file_is_a_message(made, browser, tmp_path):
    browser.click("#result .fresh")
    section(browser, "choose")
    bad = tmp_path / "not a photo.jpg"
    bad.write_text("hello")
    browser.driver.find_element("css selector", "#files").send_keys(f"{bad}")
    browser.wait("return !document.querySelector('#choose-error').hidden")
    words = browser.run("return document.querySelector('#choose-error').textContent")
    assert words.startswith("Not a photo.jpg: not a picture") and "Give a JPEG" in words
    [complaint] = browser.console()
    assert "422" in complaint  # the browser's own line for each refused request


def test_marks_in_the_photo_and_cancelling_in_the_middle(made, browser, app, photos):
    data = [(path.name, base64.b64encode(path.read_bytes()).decode()) for path in photos]
    browser.run(
        """
        const moved = new DataTransfer();
        for (const [name, text] of arguments[0]) {
          moved.items.add(new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], name));
        }
        document.querySelector('#drop').dispatchEvent(new DragEvent('drop', { dataTransfer: moved, bubbles: true }))""",
        data,
    )
    section(browser, "prepare")
    shown = "return [...document.querySelectorAll('#photos img')].every(i => i.naturalWidth === 320)"
    browser.wait(shown)
    words = browser.run("return [...document.querySelectorAll('#photos figcaption')].map(e => e.innerText)")
    assert words[0].startswith("left one.jpg") and "Maker M<b>1</b>" in words[0] and "2026-05-04" in words[0]
    assert "320 × 240 px" in words[1] and "38 mm" in words[1]
    drawn = """
        const c = document.createElement('canvas');
        [c.width, c.height] = [320, 240];
        c.getContext('2d').drawImage(document.querySelector('#photos img'), 0, 0);
        return c.toDataURL()"""
    before = browser.run(drawn)
    browser.click("#exchange")
    browser.wait("return document.querySelector('#photos figcaption b').textContent === 'right.jpg'")
    browser.wait(shown)
    assert browser.run(drawn) != before
    browser.run("""const s = document.querySelector('[name=scale]');
                   s.value = 'distance'; s.dispatchEvent(new Event('input', { bubbles: true }))""")
    width = browser.run("return document.querySelector('#photos svg').getBoundingClientRect().width")
    for x, y in ((100, 50), (200, 150)):
        browser.click("#photos svg", (x + 0.5) * width / 320, (y + 0.5) * width / 320)
    values = browser.run("return ['x1', 'y1', 'x2', 'y2'].map(n => +document.querySelector(`[name=${n}]`).value)")
    assert np.allclose(values, [100, 50, 200, 150], atol=1)
    browser.run(
        "document.querySelector('[name=length]').value = '0.5'; document.querySelector('[value=draft]').click()"
    )
    browser.run("""const s = document.querySelector('[name=part]');
                   s.value = 'lasso'; s.dispatchEvent(new Event('input', { bubbles: true }))""")
    left, top = browser.run(
        "const r = document.querySelector('#photos svg').getBoundingClientRect(); return [r.left, r.top]"
    )
    ring = [(60, 40), (260, 60), (240, 200), (90, 210)]
    for kind, (x, y) in zip(["mousePressed", "mouseMoved", "mouseMoved", "mouseMoved"], ring, strict=True):
        place = {
            "x": left + (x + 0.5) * width / 320,
            "y": top + (y + 0.5) * width / 320,
            "button": "left",
            "buttons": 1,
        }
        browser.command("Input.dispatchMouseEvent", {"type": kind, "clickCount": 1, **place})
    browser.command("Input.dispatchMouseEvent", {**place, "type": "mouseReleased", "clickCount": 1})
    typed = browser.run("return document.querySelector('[name=lasso]').value")
    assert np.allclose([list(map(float, p.split(","))) for p in typed.split()], ring, atol=1)
    assert browser.run("return document.querySelectorAll('#photos polygon').length") == 2
    browser.click("#start")
    section(browser, "going")
    under_way(browser)
    child = app.runs.running.child._process
    browser.click("#cancel")
    section(browser, "over")
    assert child.poll() is not None
    assert browser.run("return document.querySelector('#over-title').textContent") == "Cancelled"
    # again: the photos and settings are there
    browser.click("#over .again")
    section(browser, "prepare")
    assert browser.run("return document.querySelector('[name=x2]').value").startswith("200")
    assert browser.run("return document.querySelector('[name=lasso]').value") == typed
    browser.driver.back()
    section(browser, "over")
    listed = browser.run("return [...document.querySelectorAll('#runs b')].map(b => b.textContent)")
    assert listed == ["right.jpg + left one.jpg", "left one.jpg + right.jpg"]


def test_the_matching_is_tuned_and_used(made, browser, app):
    """The page of `tune`, under the app's address: a change is seen, and goes into the next run."""
    browser.click("#over .again")
    section(browser, "prepare")
    browser.run("""for (const [name, value] of [['part', ''], ['scale', 'none']]) {
                     const s = document.querySelector(`[name=${name}]`);
                     s.value = value; s.dispatchEvent(new Event('input', { bubbles: true })); }""")
    browser.click("#tune")
    browser.wait("return location.pathname.endsWith('/tune/') && document.documentElement.dataset.ready === 'yes'")
    known = browser.run("return document.querySelector('.numbers dd').textContent")
    assert float(known.split()[0]) > 50
    browser.run("""const i = document.querySelector('[name="matcher.p1"]');
                   i.value = 33; i.dispatchEvent(new Event('input'))""")
    browser.wait("return window.stereo3d.answers === 2")
    assert "matcher.p1=33" in browser.run("return document.querySelector('#command').textContent")
    browser.click(".use")
    browser.wait("return window.stereo3d && window.stereo3d.section === 'prepare'")
    words = "return document.querySelector('[name=quality]:checked').closest('label').innerText"
    assert browser.run(words).split() == ["Tuned", "sgm,", "p1", "33"]
    browser.click("#start")
    section(browser, "going")
    assert app.runs.running.record["settings"]["options"] == {"matcher.p1": 33}
    assert app.tuning.run is None
    browser.click("#cancel")
    section(browser, "over")


def test_everything_has_a_name_and_can_be_read(made, browser):
    """Controls have names for a screen reader; text has a contrast of 4.5 in light and dark, on phones too."""
    sections = ["choose", "prepare", "going", "over", "result"]
    for scheme, width in (("light", 1280), ("dark", 390)):
        browser.media(scheme)
        browser.size(width, 800)
        found = browser.run(
            """
            const bad = [], all = (q) => document.querySelectorAll(q), texts = (a) => a.map(l => l.innerText).join();
            const level = (c) => { const s = c / 255; return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4; };
            const light = ([r, g, b]) => 0.2126 * level(r) + 0.7152 * level(g) + 0.0722 * level(b);
            const rgb = (text) => (text.startsWith('rgb') ? text.match(/[\\d.]+/g).map(Number) : null);
            const behind = (e) => {
              const c = e && rgb(getComputedStyle(e).backgroundColor);
              return !c || c.length === 3 || c[3] === 1 ? c : behind(e.parentElement);
            };
            for (const e of all('details')) e.open = true;
            for (const id of arguments[0]) {
              const hidden = document.getElementById(id).hidden;
              document.getElementById(id).hidden = false;
              for (const e of all(`#${id} :is(button, input, select, a, canvas)`)) {
                const name = e.getAttribute('aria-label') || e.textContent.trim() || texts([...(e.labels || [])]);
                if (!name) bad.push(`${id}: no name: ${e.outerHTML.slice(0, 80)}`);
              }
              for (const e of all(`#${id} :is(p, span, b, h1, h2, li, button, a, small, legend, figcaption)`)) {
                const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
                if (!own || !e.getClientRects().length || e.disabled || e.closest('.viewer')) continue;
                const front = rgb(getComputedStyle(e).color), back = behind(e);
                if (!front || !back || e.matches('.badge')) continue;
                const [a, b] = [light(front), light(back)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
                if (ratio < 4.5) bad.push(`${id}: ${ratio.toFixed(2)}: ${e.textContent.slice(0, 40)}`);
              }
              document.getElementById(id).hidden = hidden;
            }
            if (document.documentElement.scrollWidth > innerWidth) bad.push('wider than the screen');
            return bad""",
            sections,
        )
        assert found == [], (scheme, width)
    browser.media("light")
