"""Markers: the printed sheet, and finding them to a fraction of a pixel."""

import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

from stereo3d import Photo
from stereo3d.cameras.chessboard import Board, find_corners
from stereo3d.cameras.dictionaries import dictionary_names
from stereo3d.cameras.targets import find_markers, parse_marker
from stereo3d.cameras.targets.board_sheet import board_page, fitting_board
from stereo3d.cameras.targets.edges import meeting_corners, square_edges
from stereo3d.cameras.targets.sheet import PAPERS, marker_page
from stereo3d.cli import main
from stereo3d.errors import StereoError

PIXELS_PER_MM = 8


def pdf_rectangles(data: bytes) -> tuple[np.ndarray, tuple[float, float]]:
    """Black rectangles (left, top, width, height) of a page, mm from its upper left corner, and the page's size, mm."""
    content = re.search(rb"stream\n(.*)\nendstream", data, re.DOTALL)[1].decode("latin-1")
    scale = float(re.search(r"^q (\S+) 0 0 (\S+) 0 0 cm", content)[1]) * 25.4 / 72  # mm for a unit of the drawing
    box = [float(v) * 25.4 / 72 for v in re.search(rb"MediaBox \[0 0 (\S+) (\S+)\]", data).groups()]
    assert content.split("\n")[1] == "0 g" and content.count("\nf\n") == 1
    rows = re.findall(r"^(\S+) (\S+) (\S+) (\S+) re$", content, re.MULTILINE)
    r = scale * np.array(rows, dtype=float)
    r[:, 1] = box[1] - r[:, 1] - r[:, 3]
    return r, (box[0], box[1])


def svg_rectangles(data: bytes) -> tuple[np.ndarray, tuple[float, float]]:
    text = data.decode()
    size = re.search(r'width="(\S+)mm" height="(\S+)mm" viewBox="0 0 \1 \2"', text)
    rows = re.findall(r"M(\S+) (\S+)h(\S+)v(\S+)h-\S+z", text)
    return np.array(rows, dtype=float), (float(size[1]), float(size[2]))


def rasterised(rectangles: np.ndarray, size: tuple[float, float]) -> np.ndarray:
    picture = np.full([round(v * PIXELS_PER_MM) for v in size[::-1]], 255, np.uint8)
    for x, y, w, h in np.rint(
        np.column_stack([rectangles[:, :2], rectangles[:, :2] + rectangles[:, 2:]]) * PIXELS_PER_MM
    ):
        picture[int(y) : int(h), int(x) : int(w)] = 0
    return picture


@pytest.mark.parametrize(
    "name, options, side",
    [
        ("4X4_50:3:0.05", [], 50),
        ("APRILTAG_36h11:7:120", ["--unit", "mm", "--paper", "letter"], 120),
        ("7X7_1000:999:4", ["--unit", "in"], 101.6),
    ],
)
@pytest.mark.parametrize("suffix, read", [(".pdf", pdf_rectangles), (".svg", svg_rectangles)])
def test_the_printed_sheet_shows_the_marker_at_its_size(tmp_path, name, options, side, suffix, read):
    path = tmp_path / f"marker{suffix}"
    assert main(["marker", name, "-o", str(path), *options]) == 0
    rectangles, size = read(path.read_bytes())
    assert size == pytest.approx(PAPERS["letter" if "letter" in options else "a4"], abs=1e-4)
    marker = parse_marker(name)
    ruler = rectangles[np.isclose(rectangles[:, 2], 100, atol=1e-5)]
    assert len(ruler) == 1
    ticks = rectangles[np.isclose(rectangles[:, 2], 0.2, atol=1e-5)]
    assert np.allclose(np.diff(np.sort(ticks[:, 0])), 10, atol=1e-5) and len(ticks) == 11
    found = find_markers(rasterised(rectangles, size), marker.dictionary, {marker.id})
    (corners,) = found[marker.id]
    assert np.linalg.norm(np.diff(corners, axis=0), axis=1) / PIXELS_PER_MM == pytest.approx([side] * 3, abs=0.3)
    black = rectangles[rectangles[:, 1] < ruler[0, 1] - 4]
    across = black[:, :2].min(0), (black[:, :2] + black[:, 2:]).max(0)
    assert across[1] - across[0] == pytest.approx([side, side], abs=1e-5)  # the exact size, in mm
    assert across[0][0] > side / marker.cells + 5 and across[1][0] < size[0] - side / marker.cells - 5


def test_the_pdf_is_whole(tmp_path):
    """Each entry of its table of objects leads to that object, and Pillow's parser reads it."""
    from PIL import PdfParser

    path = tmp_path / "marker.pdf"
    assert main(["marker", "5X5_100:12:0.03", "-o", str(path)]) == 0
    data = path.read_bytes()
    table = int(re.search(rb"startxref\n(\d+)", data)[1])
    offsets = [int(v) for v in re.findall(rb"^(\d{10}) 00000 n ", data[table:], re.MULTILINE)]
    assert all(data[at:].startswith(b"%d 0 obj" % number) for number, at in enumerate(offsets, 1))
    length = int(re.search(rb"/Length (\d+)", data)[1])
    assert data.index(b"\nendstream") - data.index(b"stream\n") - len(b"stream\n") == length
    with PdfParser.PdfParser(str(path)) as pdf:
        assert len(pdf.pages) == 1


def test_sizes_that_do_not_fit_the_paper_are_refused(tmp_path):
    for name, unit in (("4X4_50:3:0.5", "m"), ("4X4_50:3:0.05", "mm"), ("4X4_50:3:160", "mm")):
        with pytest.raises(StereoError, match="does not fit a4") as caught:
            marker_page(parse_marker(name), unit)
        assert "to 142.5 mm" in str(caught.value) or "0.1425 m" in str(caught.value)
    assert main(["marker", "4X4_50:3:0.5", "-o", str(tmp_path / "m.pdf")]) == 2
    assert main(["marker", "4X4_50:3:0.05", "-o", str(tmp_path / "m.png")]) == 2
    assert not list(tmp_path.iterdir())


BOARD_SHEETS = {
    "chessboard": ([], Board("chessboard", 9, 6, 22.0)),
    "charuco": (["--kind", "charuco"], Board("charuco", 8, 5, 32.0, marker=24.0)),
    "legacy": (
        [*"--kind charuco --board 5x6 --square 3 --marker 2.2 --unit cm --dictionary 4X4_50 --legacy".split()],
        Board("charuco", 5, 6, 30.0, marker=22.0, dictionary="4X4_50", legacy=True),
    ),
    "aprilgrid": (
        [*"--kind aprilgrid --board 4x6 --spacing 0.25 --paper letter".split()],
        Board("aprilgrid", 4, 6, 29.0, spacing=0.25),
    ),
}


@pytest.mark.parametrize("name", BOARD_SHEETS)
def test_a_printed_board_is_found_at_its_size(tmp_path, capsys, name):
    """Corners of the drawing, in mm, are those of the board; the command printed on the sheet reads its photo."""
    options, board = BOARD_SHEETS[name]
    path = tmp_path / "board.pdf"
    assert main(["board", "-o", str(path), *options]) == 0
    rectangles, size = pdf_rectangles(path.read_bytes())
    picture = rasterised(rectangles, size)
    corners = find_corners(Photo(np.repeat(picture[..., None], 3, axis=2)), board)
    assert list(corners.ids) == list(range(len(board.points)))
    mm = (corners.x + 0.5) / PIXELS_PER_MM
    apart = np.linalg.norm(mm[:, None] - mm, axis=-1), np.linalg.norm(board.points[:, None] - board.points, axis=-1)
    np.testing.assert_allclose(*apart, atol=0.08)
    inside = rectangles[rectangles[:, 1] < size[1] - 35]
    assert inside[:, :2].min() >= 10 - 1e-6 and (inside[:, 0] + inside[:, 2]).max() <= size[0] - 10 + 1e-6
    words = re.search(rb"\((stereo3d calibrate .*)\) Tj", path.read_bytes())[1].decode().split()
    cv2.imwrite(str(tmp_path / "photo.png"), picture[::2, ::2])
    words = [{"PHOTOS": str(tmp_path / "photo.png"), "camera.json": str(tmp_path / "c.json")}.get(w, w) for w in words]
    capsys.readouterr()
    assert main(words[1:]) != 0 and "found in 1 photos" in capsys.readouterr().err  # found, but one photo is too few


def test_boards_that_do_not_fit_the_paper_are_refused(tmp_path):
    board = Board("chessboard", 9, 6, 25.0)
    with pytest.raises(StereoError, match="does not fit a4: 0.5 to 22.86 mm do"):
        board_page(board)
    assert board_page(board, paper="a3").size == (297, 420)
    assert board_page(fitting_board(board)).size == (297, 210)  # turned
    with pytest.raises(StereoError, match="does not fit a4: no size does"):
        fitting_board(Board("aprilgrid", 20, 29, spacing=1.0))
    with pytest.raises(StereoError, match="450 markers, 4X4_50 50"):
        board_page(Board("charuco", 30, 30, 20.0, marker=15.0, dictionary="4X4_50"), paper="a0")
    assert fitting_board(Board("charuco", 8, 5, 1.0, marker=0.5), "m").marker == pytest.approx(0.016)
    for wrong in (["--square", "80"], ["--kind", "charuco", "--marker", "3"], ["--board", "9"]):
        assert main(["board", "-o", str(tmp_path / "b.pdf"), *wrong]) == 2
    assert not list(tmp_path.iterdir())


def test_the_help_of_the_program_names_the_command():
    run = subprocess.run([sys.executable, "-m", "stereo3d", "--help"], capture_output=True, text=True, check=True)
    assert re.search(r"^\s+marker\s+Draw a marker", run.stdout, re.MULTILINE)


def test_each_dictionary_is_named_once_and_found():
    names = dictionary_names()
    assert len({name.upper() for name in names}) == len(names) >= 20
    assert {"4X4_50", "APRILTAG_36h11"} <= set(names)


def drawn(marker, corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A marker with its corners at these pixels, mean of 8 x 8 rays a pixel in linear light, as sRGB."""
    from stereo3d.geometry.two_view import fit_homography

    width, height = size
    s = (np.arange(8) + 0.5) / 8 - 0.5
    y, x = np.meshgrid((np.arange(height)[:, None] + s).ravel(), (np.arange(width)[:, None] + s).ravel(), indexing="ij")
    unit = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]) * marker.cells
    h = np.stack([x, y, np.ones_like(x)], -1) @ fit_homography(corners, unit).T
    cell = np.floor(h[..., :2] / h[..., 2:]).astype(int)
    inside = np.all((cell >= 0) & (cell < marker.cells), -1)
    black = (
        inside & marker.black[np.clip(cell[..., 1], 0, marker.cells - 1), np.clip(cell[..., 0], 0, marker.cells - 1)]
    )
    light = np.where(black, 0.02, 0.8).reshape(height, 8, width, 8).mean((1, 3))
    value = np.where(light < 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.repeat(np.rint(255 * value).astype(np.uint8)[..., None], 3, 2)


@pytest.mark.parametrize("side", [24, 60, 150])
def test_corners_are_found_to_a_few_hundredths_of_a_pixel(side):
    """A marker seen obliquely, down to cells of 4 px; the detector's own corners are off by ten times as much."""
    marker = parse_marker("4X4_50:3:1")
    corners = 20.3 + side * np.array([[0.0, 0.11], [1, 0], [0.93, 0.91], [0.12, 1.03]])
    picture = drawn(marker, corners, (side + 50, side + 50))
    (found,) = find_markers(picture[..., 0], "4X4_50", {3})[3]
    edges = square_edges(picture, found, marker.cells)
    assert edges is not None
    measured, sigma = meeting_corners(edges, np.diag([500.0, 500, 1]), None)
    assert np.abs(measured - corners).max() < (0.05 if side < 50 else 0.02) and 0.03 <= sigma < 0.1
    assert np.abs(found - corners).max() > 0.1


def test_edges_that_nothing_shows_are_not_found():
    assert (
        square_edges(np.full((80, 80, 3), 90, np.uint8), 20 + 40 * np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]), 6)
        is None
    )
