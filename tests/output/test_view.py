"""`stereo3d view` in a real browser: points and maps of files where the truth has them, several files together."""

import cv2
import numpy as np
import pytest
from browser import Browser

from stereo3d.cli.parameters import cli
from stereo3d.errors import StereoError
from stereo3d.geometry import hom
from stereo3d.io import write_depth, write_mesh, write_points
from stereo3d.io.read_depth import read_depth
from stereo3d.output.html import write_view
from stereo3d.output.html.clouds import camera_of_depth, cloud_of_depth, cloud_of_file
from stereo3d.records import Camera, Mesh, WideLens

SIZE = (160, 120)
CAMERA = Camera(np.array([[150.0, 0, 79.5], [0, 150, 59.5], [0, 0, 1]]), SIZE)
ENTRY = '{"K": [[150.0, 0, 79.5], [0, 150, 59.5], [0, 0, 1]], "size": [160, 120], "dist": []}'
N = np.array([0.2, -0.1, 1.0])  # of the plane n X = 3


@pytest.fixture(scope="module")
def plane():
    """Points (H, W, 3) of a slanted plane that the camera shows, and their colours."""
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    rays = hom((np.stack([x, y], -1) - CAMERA.K[:2, 2]) / 150)
    colours = np.stack([x, 2 * y, 255 - x], -1).astype(np.uint8)
    return rays * (3 / (rays @ N))[..., None], colours


@pytest.fixture(scope="module")
def files(plane, tmp_path_factory):
    """A mesh, a point cloud and a map of depth of the same plane."""
    folder = tmp_path_factory.mktemp("view")
    X, colours = plane
    i = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE[::-1])
    a, b, c, d = i[:-1, :-1].ravel(), i[1:, :-1].ravel(), i[1:, 1:].ravel(), i[:-1, 1:].ravel()
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).astype(np.int32)
    uv = np.stack(np.meshgrid(np.linspace(0, 1, SIZE[0]), np.linspace(1, 0, SIZE[1])), -1).reshape(-1, 2)
    mesh = Mesh(X.reshape(-1, 3), faces, uv, colours)
    depth = X[..., 2].copy()
    depth[:10, :20] = np.nan
    write_depth(folder / "depth.png", depth, "m", "depth along the camera's axis", camera=ENTRY)
    return [
        write_mesh(folder / "m.glb", mesh, unit="m")[0],
        write_points(folder / "p<b>.ply", X, colours, unit="m"),
        folder / "depth.png",
    ]


def test_a_map_becomes_the_points_that_it_shows(files, plane):
    found = read_depth(files[2])
    camera, known = camera_of_depth(found, None)
    assert known and np.allclose(camera.K, CAMERA.K)
    cloud = cloud_of_depth(found, camera)
    assert cloud.total == len(cloud.points) == 160 * 120 - 200
    assert np.abs(cloud.points @ N - 3).max() < 0.002  # half a millimetre, by the slant
    few = cloud_of_depth(found, camera, most=1000)
    assert 500 < len(few.points) <= 1100 and np.abs(few.points @ N - 3).max() < 0.002
    guess, known = camera_of_depth(found.__class__(found.values), None)
    assert not known and guess.K[0, 0] == pytest.approx(80 / np.tan(np.pi / 6))
    given, known = camera_of_depth(found, 99.0)
    assert known and given.K[0, 0] == 99
    wide = Camera(np.array([[25.0, 0, 79.5], [0, 50, 59.5], [0, 0, 1]]), SIZE, lens=WideLens("equirectangular"))
    ball = cloud_of_depth(found.__class__(np.full(SIZE[::-1], 2.0, np.float32)), wide)
    assert np.allclose(np.linalg.norm(ball.points, axis=1), 2)  # of a wide lens: the distance


def test_points_of_a_file(files, plane, tmp_path):
    X, colours = plane
    cloud, unit = cloud_of_file(files[1])
    assert unit == "m" and not cloud.painted and np.allclose(cloud.points, X.reshape(-1, 3), atol=1e-5)
    few, _ = cloud_of_file(files[1], most=100)
    assert len(few.points) == 100 and few.total == 160 * 120
    far = write_points(tmp_path / "far.xyz", X + [4e5, -2e6, 0])
    cloud, _ = cloud_of_file(far)
    assert cloud.painted and np.abs(cloud.points).max() < 10
    assert np.allclose(cloud.points + cloud.moved, X.reshape(-1, 3) + [4e5, -2e6, 0], atol=0.01)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    browser.size(700, 460)  # software draws the pictures: small ones are quick
    yield browser
    browser.close()


COLOURS = """
    const v = window.stereo3d.scenes[arguments[0]].viewer, gl = v.gl;
    v.render();
    const p = new Uint8Array(4 * v.canvas.width * v.canvas.height);
    gl.readPixels(0, 0, v.canvas.width, v.canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, p);
    const sum = [0, 0, 0, 0];
    for (let k = 0; k < p.length; k += 4) {
      if (p[k + 3] === 255) { sum[3]++; for (let i = 0; i < 3; i++) sum[i] += p[k + i]; }
    }
    return [4 * sum[3] / p.length, ...sum.slice(0, 3).map(s => s / sum[3])]"""


@pytest.mark.parametrize("size", [(390, 844), (2560, 1440)])
def test_one_model_fills_the_window_without_scrolling(browser, files, tmp_path, size):
    page = write_view(tmp_path / "v.html", files[0])
    browser.size(*size)
    browser.open(page.as_uri())
    high = browser.run("return document.querySelector('.viewer').clientHeight")
    assert browser.run("return document.documentElement.scrollHeight") <= size[1] < 1.6 * high
    assert browser.run("return document.documentElement.scrollWidth") <= size[0]
    browser.size(700, 460)


def test_three_files_beside_each_other(browser, files, plane, tmp_path):
    page = write_view(tmp_path / "v.html", files)
    browser.open(page.as_uri())
    assert browser.console() == [] and browser.requests() == [page.as_uri()]
    titles = browser.run("return [...document.querySelectorAll('.scene h2')].map(e => e.textContent)")
    assert titles == ["m.glb", "p<b>.ply", "depth.png"]
    words = browser.run("return [...document.querySelectorAll('.caption')].map(e => e.textContent)")
    assert "37\u202f842 faces" in words[0] and "19\u202f200 points; unit: m." in words[1]
    assert words[2].startswith("depth along the camera's axis, 160 \u00d7 120 px, 99\u00a0% known, 2.")
    assert words[2].endswith(" m.")
    for k in (0, 1):  # the mesh and the points have the same colours
        drawn = browser.run(COLOURS, k)
        assert drawn[0] > 0.2 and np.allclose(drawn[1:], plane[1].reshape(-1, 3).mean(0), atol=15)
    assert browser.run(COLOURS, 2)[0] > 0.2
    # the first is turned by the keyboard: the others look as it does, and the points lie where those of the mesh do
    browser.run("document.querySelector('#model canvas').focus()")
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    ActionChains(browser.driver).send_keys(Keys.ARROW_LEFT, Keys.ARROW_UP, "-").perform()
    browser.wait(
        "const [a, b, c] = window.stereo3d.scenes.map(s => JSON.stringify(s.viewer.pose)); return a === b && b === c"
    )
    hits = browser.run("""
        return window.stereo3d.scenes.map(({ viewer: v }) => {
          return v.pick(v.canvas.clientWidth / 2, v.canvas.clientHeight / 2).X;
        })""")
    assert np.abs(np.array(hits) @ N - 3).max() < 0.03 and np.ptp(hits, axis=0).max() < 0.1
    before = browser.run("return JSON.stringify(window.stereo3d.scenes[0].viewer.pose)")
    browser.click(".together")
    browser.run("document.querySelector('#model1 canvas').focus()")
    ActionChains(browser.driver).send_keys(Keys.ARROW_LEFT).perform()
    assert browser.run("return JSON.stringify(window.stereo3d.scenes[0].viewer.pose)") == before
    visible = "[...document.querySelectorAll('.scene')].map(s => !s.hidden)"
    browser.click("[data-choose=one]")
    browser.wait(f"return {visible}.join() === 'true,false,false'")
    browser.click("[data-file='2']")
    browser.wait(f"return {visible}.join() === 'false,false,true'")
    assert browser.console() == []


def test_the_map_tells_its_values(browser, files, plane, tmp_path):
    browser.open(write_view(tmp_path / "v.html", files[2]).as_uri())
    assert browser.run("return document.querySelector('.compare').getClientRects().length") == 0
    width = browser.run("return document.querySelector('.depth canvas').getBoundingClientRect().width")
    for x, y in ((100, 60), (30, 90)):
        browser.click(".depth canvas", (x + 0.5) * width / SIZE[0], (y + 0.5) * width / SIZE[0])
        words = browser.run("return document.querySelector('.depth .readout').textContent")
        assert words.startswith(f"pixel {x}, {y}: ") and words.endswith(" m")
        assert float(words.split()[-2]) == pytest.approx(plane[0][y, x, 2], abs=0.006)
    browser.click(".depth canvas", 3, 3)
    assert browser.run("return document.querySelector('.depth .readout').textContent").endswith("unknown")
    assert browser.console() == []


def test_a_map_without_depth_has_no_points(browser, tmp_path):
    values = np.linspace(-5, 5, 600).reshape(20, 30).astype(np.float32)
    np.save(tmp_path / "d.npy", values)
    browser.open(write_view(tmp_path / "v.html", tmp_path / "d.npy").as_uri())
    counts = "return ['.model', '.depth'].map(q => document.querySelectorAll(q).length)"
    assert browser.run(counts) == [0, 1]
    assert browser.console() == []


def test_what_cannot_be_shown(tmp_path, files):
    cv2.imwrite(str(tmp_path / "photo.png"), np.arange(300, dtype=np.uint8).reshape(10, 10, 3))
    np.save(tmp_path / "none.npy", np.full((4, 5), np.nan, np.float32))
    (tmp_path / "a.txt").write_text("x")
    for name, code in (("photo.png", "file_unreadable"), ("none.npy", "empty_mesh"), ("a.txt", "unknown_format")):
        with pytest.raises(StereoError) as caught:
            write_view(tmp_path / "v.html", [files[0], tmp_path / name])
        assert caught.value.code == code and not (tmp_path / "v.html").exists()
    with pytest.raises(StereoError, match="12 at most"):
        write_view(tmp_path / "v.html", [files[0]] * 13)
    for given in ([], 3, [files[0], 3]):
        with pytest.raises(ValueError, match="a file is a path"):
            write_view(tmp_path / "v.html", given)


def test_the_command(files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cli.main(["view", *map(str, files), "-o", "v.html", "--focal", "150", "--no-open"], standalone_mode=False)
    assert (tmp_path / "v.html").stat().st_size > 50_000 and "wrote v.html" in capsys.readouterr().out
