"""Photos as bytes, file objects and PIL images: the same pixels and facts as of the file, and the same guards."""

import io
import os
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from stereo3d import read_pair, read_photo
from stereo3d.errors import StereoError
from stereo3d.foreign import given

ORIENTATION, FOCAL_35MM = 0x0112, 0xA405


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path, monkeypatch):
    """Each test sees what is left behind in the folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def path(tmp_path) -> Path:
    """A JPEG on its side, with a focal length."""
    rng = np.random.default_rng(1)
    picture = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
        (80, 60), Image.Resampling.BICUBIC
    )
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif.get_ifd(0x8769)[FOCAL_35MM] = 28
    picture.save(tmp_path / "on its side.jpg", exif=exif)
    return tmp_path / "on its side.jpg"


def same(photo, other, name: str | None) -> None:
    np.testing.assert_array_equal(photo.pixels, other.pixels)
    assert photo.exif == other.exif and photo.exif["focal_35mm"] == 28 and photo.exif["orientation"] == 6
    assert photo.path == (None if name is None else Path(name))


def test_bytes_files_and_pil_images_give_the_photo_of_their_path(path):
    expected, data = read_photo(path), path.read_bytes()
    for content in (data, bytearray(data), memoryview(data)):
        same(read_photo(content), expected, None)
    same(read_photo(io.BytesIO(data)), expected, None)
    with open(path, "rb") as file:
        same(read_photo(file), expected, path.name)
    with Image.open(path) as image:
        same(read_photo(image), expected, path.name)
    same(read_photo(Image.open(io.BytesIO(data))), expected, None)


def test_a_file_that_seeks_is_read_whole_and_stands_where_it_stood(path):
    file = io.BytesIO(path.read_bytes())
    for position in (0, 10, len(file.getvalue())):
        file.seek(position)
        assert read_photo(file).size == (60, 80) and file.tell() == position
    file.seek(7)
    with pytest.raises(StereoError, match="at least 32 px"):
        read_photo(small := io.BytesIO(png(np.zeros((8, 8, 3), np.uint8))))
    assert small.tell() == 0 and file.tell() == 7 and not file.closed


def test_a_stream_is_read_from_where_it_stands(path, tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.write(path, "folder/left.jpg")
    with zipfile.ZipFile(tmp_path / "photos.zip") as archive, archive.open("folder/left.jpg") as member:
        same(read_photo(member), read_photo(path), "left.jpg")
    source, target = os.pipe()
    with os.fdopen(target, "wb") as writer:
        writer.write(path.read_bytes())
    with os.fdopen(source, "rb") as pipe:
        same(read_photo(pipe), read_photo(path), None)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class Named(io.BytesIO):
    """As an upload, whose name its sender chose."""

    def __init__(self, data: bytes, name: object) -> None:
        super().__init__(data)
        self.name = name


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..", "a\0b.jpg", "-", "/", "C:\\photos\\left.jpg", "x" * 999, 3, ""]
)
def test_the_name_of_an_upload_leads_nowhere(path, name, own_temporary_folder):
    photo = read_photo(Named(path.read_bytes(), name))
    assert photo.size == (60, 80)
    assert photo.path is None or photo.path == Path(photo.path.name)


def test_the_name_of_a_file_object_tells_its_layout(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60, 160, 3), dtype=np.uint8)  # whose halves look like no pair
    pair = read_pair(Named(png(pixels), "holiday_SBS.png"))
    np.testing.assert_array_equal(pair.left.pixels, pixels[:, :80])
    np.testing.assert_array_equal(pair.right.pixels, pixels[:, 80:])
    assert pair.left.path == Path("holiday_SBS.png")
    for source in (png(pixels), Image.fromarray(pixels)):
        assert read_pair(source, "sbs").right.size == (80, 60)
        with pytest.raises(StereoError, match="the given picture holds one photo of 160 x 60 px"):
            read_pair(source)


@pytest.mark.parametrize(
    "source, code, message",
    [
        (b"", "photo_unreadable", "the given bytes: the file is empty"),
        (b"no picture", "photo_unreadable", "the given bytes: not a picture.*a path is text"),
        (io.BytesIO(b"\xff\xd8\xff" + bytes(5000)), "photo_unreadable", "the given file: a damaged or truncated JPEG"),
        (io.StringIO("text"), "photo_unreadable", "gives str and no bytes. Open it in binary mode"),
        (Named(b"%PDF-1.4", "a.pdf"), "photo_unreadable", "^a.pdf: a PDF"),
        (png(np.zeros((8, 8, 3), np.uint8)), "photo_too_small", "the given bytes: 8 x 8 px"),
        (Image.new("RGB", (8, 8)), "photo_too_small", "the PIL image: 8 x 8 px"),
    ],
)
def test_what_cannot_be_read_is_named_without_the_temporary_file(source, code, message, own_temporary_folder):
    with pytest.raises(StereoError, match=message) as caught:
        read_photo(source)
    assert caught.value.code == code
    assert str(own_temporary_folder) not in str(caught.value)


def test_a_closed_file_and_a_closed_image_are_named(path):
    file = open(path, "rb")  # noqa: SIM115
    file.close()
    with pytest.raises(StereoError, match="on its side.jpg cannot be read .*closed"):
        read_photo(file)
    image = Image.open(path)
    image.close()
    with pytest.raises(StereoError, match="on its side.jpg: it cannot be loaded"):
        read_photo(image)


def test_a_stream_without_an_end_is_left_at_the_budget(monkeypatch):
    class Endless:
        given = 0

        def read(self, size: int) -> bytes:
            self.given += size
            return bytes(size)

    stream = Endless()
    with pytest.raises(StereoError, match="more than 5000000 bytes") as caught, given.as_file(stream, 5_000_000):
        pass
    assert caught.value.code == "photo_too_large" and stream.given < 8_000_000


def test_pixels_beyond_the_limit_are_refused_in_every_form(path):
    data = path.read_bytes()
    for source in (data, io.BytesIO(data), Image.open(path)):
        with pytest.raises(StereoError, match="80 x 60 px") as caught:
            read_photo(source, max_pixels=4000)
        assert caught.value.code == "photo_too_large"
        assert read_photo(source, max_pixels=4800).size == (60, 80)


def test_no_room_for_temporary_files_is_named(path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    with pytest.raises(StereoError, match="given bytes cannot be kept .*No space left on device") as caught:
        read_photo(path.read_bytes())
    assert caught.value.code == "unwritable"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("loaded", [False, True])
def test_a_pil_image_stays_as_it_is_and_is_turned_once(path, kind, loaded):
    with Image.open(path) as picture:
        file = io.BytesIO()
        picture.save(file, kind, exif=picture.getexif(), lossless=True)
    expected = read_photo(file)
    assert expected.size == (60, 80)
    image = Image.open(file)
    if loaded:
        image.load()
    before = image.size, dict(image.getexif())
    photo = read_photo(image)
    np.testing.assert_array_equal(photo.pixels, expected.pixels)
    assert photo.exif["focal_35mm"] == 28 and photo.exif["format"] == kind
    if kind != "TIFF":  # which Pillow turns while it is loaded, and forgets by how much
        assert photo.exif == expected.exif
        assert (image.size, dict(image.getexif())) == before
        upright = ImageOps.exif_transpose(image)
        np.testing.assert_array_equal(read_photo(upright).pixels, expected.pixels)


def test_pil_images_of_every_mode():
    rng = np.random.default_rng(0)
    rgba = Image.fromarray(rng.integers(0, 256, (40, 50, 4), dtype=np.uint8))
    photo = read_photo(rgba)
    assert photo.mask is not None and 0 < photo.mask.mean() < 1
    grey = rgba.convert("L")
    np.testing.assert_array_equal(read_photo(grey).pixels[..., 1], np.asarray(grey))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wide = Image.fromarray(rng.integers(0, 65536, (40, 50)).astype(np.uint16))
    np.testing.assert_array_equal(read_photo(wide).pixels[..., 0], np.asarray(wide) >> 8)
    for mode in ("1", "P", "CMYK", "LA", "F"):
        assert read_photo(rgba.convert("RGB").convert("L" if mode in "LAF" else "RGB").convert(mode)).size == (50, 40)
