"""read_photo against pictures that Pillow, OpenCV and pillow-heif write here, and against damaged ones."""

import io
import os
import struct
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from examples import tries
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps
from PIL.TiffImagePlugin import IFDRational

from stereo3d.errors import StereoError
from stereo3d.images import read_photo
from stereo3d.images.read import MIN_SIDE

pillow_heif.register_heif_opener()

W, H = 96, 64
DETAILS = 0x8769  # the EXIF block of the camera's settings
BASE = ExifTags.Base


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """(64,96,3) u8: smooth, so that lossy formats keep it, and without any symmetry."""
    y, x = np.mgrid[:H, :W]
    return np.stack([20 + 2 * x, 30 + 3 * y, 200 - x - y], axis=2).astype(np.uint8)


def grey3(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def save(picture, path: Path, **options) -> Path:
    (Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture).save(path, **options)
    return path


def exif_of(entries: dict, details: dict | None = None) -> Image.Exif:
    exif = Image.Exif()
    exif.update(entries)
    if details:
        exif.get_ifd(DETAILS).update(details)
    return exif


# ------------------------------------------------------------------------------------------------ formats


@pytest.mark.parametrize(
    "name, options",
    [
        ("a.png", {}),
        ("a.tif", {}),
        ("b.tiff", {"compression": "tiff_lzw"}),
        ("a.bmp", {}),
        ("a.ppm", {}),
        ("a.webp", {"lossless": True}),
        ("a.jp2", {}),
    ],
)
def test_lossless_formats_give_the_very_pixels(tmp_path, scene, name, options):
    photo = read_photo(save(scene, tmp_path / name, **options))
    np.testing.assert_array_equal(photo.pixels, scene)
    assert photo.pixels.dtype == np.uint8 and photo.pixels.flags.c_contiguous
    assert photo.size == (W, H) and photo.path == tmp_path / name
    assert photo.exif["orientation"] == 1 and photo.exif["size_stored"] == (W, H)


@pytest.mark.parametrize(
    "name, options",
    [
        ("a.jpg", {"quality": 95}),
        ("a.jpeg", {"quality": 95, "progressive": True}),
        ("a.webp", {"quality": 95}),
        ("a.heic", {"quality": 95}),
        ("a.heif", {"quality": 95}),
        ("a.avif", {"quality": 95}),
    ],
)
def test_lossy_formats_come_close(tmp_path, scene, name, options):
    photo = read_photo(save(scene, tmp_path / name, **options))
    assert photo.pixels.shape == scene.shape
    error = np.abs(photo.pixels.astype(int) - scene)
    assert error.mean() < 2 and error.max() < 16


def test_the_format_is_found_from_the_content_not_the_name(tmp_path, scene):
    np.testing.assert_array_equal(read_photo(save(scene, tmp_path / "a.jpg", format="PNG")).pixels, scene)
    np.testing.assert_array_equal(read_photo(save(scene, tmp_path / "noname", format="BMP")).pixels, scene)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "a.webp", "a.jpg", "a.heic", "a.avif"])
def test_grey(tmp_path, scene, name):
    grey = scene[..., 0]
    lossless = {"lossless": True} if name == "a.webp" else {}
    photo = read_photo(save(grey, tmp_path / name, **lossless))
    assert photo.pixels.shape == (H, W, 3)
    tolerance = 0 if name[2:] in ("png", "tif", "bmp", "webp") else 8
    assert np.abs(photo.pixels.astype(int) - grey3(grey)).max() <= tolerance


def test_one_bit_and_palette(tmp_path, scene):
    bits = scene[..., 0] > 100
    np.testing.assert_array_equal(read_photo(save(bits, tmp_path / "1.png")).pixels, grey3(np.uint8(255) * bits))
    np.testing.assert_array_equal(read_photo(save(bits, tmp_path / "1.tif")).pixels, grey3(np.uint8(255) * bits))
    few = (scene // 64) * 64  # at most 64 colours, so the palette holds them all
    palette = Image.fromarray(few).convert("P", palette=Image.Palette.ADAPTIVE, colors=256)
    for name in ("p.png", "p.gif", "p.tif"):
        np.testing.assert_array_equal(read_photo(save(palette, tmp_path / name)).pixels, few)


def test_cmyk(tmp_path):
    ink = np.zeros((H, W, 4), np.uint8)
    ink[:32, :48, 0] = 255  # cyan
    ink[:32, 48:, 1] = 255  # magenta
    ink[32:, :48, 3] = 255  # black; the last quarter is bare paper
    image = Image.fromarray(ink, "CMYK")
    for name in ("c.tif", "c.jpg"):
        pixels = read_photo(save(image, tmp_path / name)).pixels.astype(int)
        for row, column, colour in (
            (16, 24, (0, 255, 255)),
            (16, 72, (255, 0, 255)),
            (48, 24, (0, 0, 0)),
            (48, 72, (255, 255, 255)),
        ):
            assert np.abs(pixels[row, column] - colour).max() <= 3, name


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_lose_the_low_byte(tmp_path, suffix):
    wide = np.random.default_rng(0).integers(0, 65536, (H, W, 3), dtype=np.uint16)
    wide[0, 0] = 65535
    for name, picture, want in (("rgb", wide, wide[..., ::-1] >> 8), ("grey", wide[..., 0], grey3(wide[..., 0] >> 8))):
        path = tmp_path / (name + suffix)
        path.write_bytes(cv2.imencode(suffix, picture)[1].tobytes())  # OpenCV takes BGR
        pixels = read_photo(path).pixels
        np.testing.assert_array_equal(pixels, want)
        assert pixels[0, 0, 0] == 255


def test_big_endian_and_twelve_bit_tiff(tmp_path):
    grey = np.arange(W * H, dtype=np.uint16).reshape(H, W) * 10
    image = Image.frombytes("I;16B", (W, H), grey.astype(">u2").tobytes())
    np.testing.assert_array_equal(read_photo(save(image, tmp_path / "b.tif")).pixels, grey3(grey >> 8))
    twelve = (grey % 4096).astype(np.uint16)  # nothing reaches 4096: 12-bit data
    path = tmp_path / "twelve.png"
    path.write_bytes(cv2.imencode(".png", twelve)[1].tobytes())
    np.testing.assert_array_equal(read_photo(path).pixels, grey3(twelve >> 4))


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_colours_of_twelve_bits_keep_their_levels(tmp_path, suffix):
    """Nothing reaches 4096: the upper 8 of the 16 bits are 16 levels."""
    twelve = np.random.default_rng(0).integers(0, 4096, (H, W, 3), dtype=np.uint16)
    path = tmp_path / ("twelve" + suffix)
    path.write_bytes(cv2.imencode(suffix, twelve)[1].tobytes())
    photo = read_photo(path)
    np.testing.assert_array_equal(photo.pixels, twelve[..., ::-1] >> 4)
    assert "stretched" not in photo.exif
    dark = 5000 + twelve // 2  # of 65536: 8 levels of 8 bits
    path.write_bytes(cv2.imencode(suffix, dark)[1].tobytes())
    photo = read_photo(path)
    assert len(np.unique(photo.pixels)) > 200 and photo.exif["stretched"] == pytest.approx((5000, 7047), abs=30)


def test_floats_and_long_integers(tmp_path):
    unit = np.linspace(0, 1, W * H, dtype=np.float32).reshape(H, W)
    want = grey3(np.rint(unit * 255))
    for k, picture in enumerate((unit, unit * 65535)):
        np.testing.assert_allclose(read_photo(save(picture, tmp_path / f"{k}.tif")).pixels, want, atol=0.51)
    np.testing.assert_allclose(read_photo(save(unit * 200, tmp_path / "b.tif")).pixels, grey3(unit * 200), atol=0.51)
    np.testing.assert_allclose(read_photo(save(unit * 1e6, tmp_path / "c.tif")).pixels, want, atol=0.51)
    whole = (unit * 65535).astype(np.int32)
    np.testing.assert_allclose(read_photo(save(whole, tmp_path / "i.tif")).pixels, want, atol=1.01)
    holes = unit.copy()
    holes[3, 4], holes[5, 6], holes[7, 8] = np.nan, -1, np.inf
    pixels = read_photo(save(holes, tmp_path / "nan.tif")).pixels
    assert pixels[3, 4].tolist() == pixels[5, 6].tolist() == pixels[7, 8].tolist() == [0, 0, 0]
    assert pixels[-1, -1].tolist() == [255, 255, 255]


def test_colours_in_floats_are_not_called_damaged(tmp_path, scene):
    import cv2

    path = tmp_path / "floats.tif"
    cv2.imwrite(filename=str(path), img=scene.astype(np.float32) / 255)
    with pytest.raises(StereoError, match="of a kind that is not read, such as colours in floats") as caught:
        read_photo(path)
    assert caught.value.code == "photo_unreadable" and "8 or 16 bits" in caught.value.advice


def test_transparent_pixels_are_unknown(tmp_path, scene):
    """Less than half opaque: no colour of their own, but that of the nearest pixel that has one."""
    alpha = np.full((H, W), 255, np.uint8)
    alpha[:, :30] = 0
    alpha[:, 30:40] = 51  # a fifth
    alpha[:, 40:50] = 200
    known = alpha >= 128
    want = scene.copy()
    want[:, :40] = scene[:, 40:41]
    for name in ("a.png", "a.tif", "a.webp"):
        lossless = {"lossless": True, "exact": True} if name == "a.webp" else {}
        photo = read_photo(save(np.dstack([scene, alpha]), tmp_path / name, **lossless))
        np.testing.assert_array_equal(photo.pixels, want)
        np.testing.assert_array_equal(photo.mask, known)
    two = read_photo(save(np.dstack([scene[..., 0], alpha]), tmp_path / "la.png"))
    np.testing.assert_array_equal(two.pixels, grey3(want[..., 0]))
    np.testing.assert_array_equal(two.mask, known)
    keyed = Image.fromarray(scene[..., 0])  # one grey level declared transparent
    photo = read_photo(save(keyed, tmp_path / "key.png", transparency=int(scene[0, 5, 0])))
    np.testing.assert_array_equal(photo.mask, scene[..., 0] != scene[0, 5, 0])
    assert read_photo(save(scene, tmp_path / "opaque.png")).mask is None


def test_a_wholly_transparent_picture_keeps_its_colours(tmp_path, scene):
    nothing = np.dstack([scene, np.zeros((H, W), np.uint8)])
    np.testing.assert_array_equal(read_photo(save(nothing, tmp_path / "t.png")).pixels, scene)


@pytest.mark.parametrize("name, options", [("f.gif", {}), ("f.tif", {}), ("f.png", {}), ("f.webp", {"lossless": True})])
def test_the_first_frame_is_read(tmp_path, name, options):
    first, second = np.full((H, W, 3), 255, np.uint8), np.zeros((H, W, 3), np.uint8)
    path = save(first, tmp_path / name, save_all=True, append_images=[Image.fromarray(second)], **options)
    np.testing.assert_array_equal(read_photo(path).pixels, first)


# ------------------------------------------------------------------------------------------------ orientation


def upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """By the words of the EXIF standard: where the first row and the first column of the stored picture belong."""
    return {
        1: lambda a: a,  # row top, column left
        2: lambda a: a[:, ::-1],  # top, right
        3: lambda a: a[::-1, ::-1],  # bottom, right
        4: lambda a: a[::-1],  # bottom, left
        5: lambda a: a.transpose(1, 0, 2),  # left, top
        6: lambda a: a.transpose(1, 0, 2)[:, ::-1],  # right, top
        7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],  # right, bottom
        8: lambda a: a.transpose(1, 0, 2)[::-1],  # left, bottom
    }[orientation](stored)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["o.jpg", "o.png", "o.tif", "o.webp", "o.avif"])
def test_the_exif_turn_is_applied_once(tmp_path, scene, name, orientation):
    lossless = {"lossless": True} if name == "o.webp" else {"quality": 95}
    path = save(scene, tmp_path / name, exif=exif_of({BASE.Orientation: orientation}), **lossless)
    photo = read_photo(path)
    with Image.open(path) as image:
        by_pillow = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(photo.pixels, by_pillow)
    np.testing.assert_allclose(photo.pixels, upright(scene, orientation), atol=16)
    assert photo.exif["orientation"] == orientation
    assert photo.exif["size_stored"] == (W, H)
    assert photo.size == ((H, W) if orientation >= 5 else (W, H))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("turned_by", ["container and EXIF", "container", "EXIF"])
def test_the_turn_of_heic_is_applied_once(tmp_path, scene, turned_by, orientation):
    exif, plain = exif_of({BASE.Orientation: orientation}), exif_of({BASE.Orientation: 1})
    path = tmp_path / "o.heic"
    # given as bytes, pillow-heif writes the turn into the container too; as an object, into EXIF alone
    save(scene, path, quality=95, exif=exif if turned_by == "EXIF" else exif.tobytes())
    if turned_by == "container":
        data = path.read_bytes()
        assert data.count(exif.tobytes()[6:]) == 1
        path.write_bytes(data.replace(exif.tobytes()[6:], plain.tobytes()[6:]))
    data = path.read_bytes()
    assert (b"irot" in data or b"imir" in data) == (turned_by != "EXIF" and orientation != 1)
    photo = read_photo(path)
    np.testing.assert_allclose(photo.pixels, upright(scene, orientation), atol=16)
    assert photo.exif["orientation"] == orientation and photo.exif["size_stored"] == (W, H)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_outside_the_standard_means_none(tmp_path, scene, value):
    photo = read_photo(save(scene, tmp_path / "o.png", exif=exif_of({BASE.Orientation: value})))
    np.testing.assert_array_equal(photo.pixels, scene)
    assert photo.exif["orientation"] == 1


# ------------------------------------------------------------------------------------------------ EXIF facts


@pytest.mark.parametrize("name", ["e.jpg", "e.png", "e.webp", "e.heic", "e.avif"])
def test_exif_facts(tmp_path, scene, name):
    exif = exif_of(
        {BASE.Make: "Maker ", BASE.Model: "Model X\0", BASE.Orientation: 6},
        {
            BASE.FocalLength: 4.25,
            BASE.FocalLengthIn35mmFilm: 26,
            BASE.DateTimeOriginal: "2024:05:06 07:08:09",
            BASE.FocalPlaneXResolution: 2540.0,
            BASE.FocalPlaneYResolution: 2540.0,
            BASE.FocalPlaneResolutionUnit: 2,
            BASE.ExifImageWidth: 4 * W,
            BASE.ExifImageHeight: 4 * H,
        },
    )
    facts = read_photo(save(scene, tmp_path / name, exif=exif)).exif
    assert (facts["make"], facts["model"], facts["date"]) == ("Maker", "Model X", "2024:05:06 07:08:09")
    assert facts["focal_mm"] == 4.25 and facts["focal_35mm"] == 26
    assert facts["plane_resolution"] == pytest.approx(100)  # 2540 px per inch
    assert facts["size_exif"] == (4 * W, 4 * H) and facts["size_stored"] == (W, H)


def test_exif_of_a_tiff(tmp_path, scene):
    exif = exif_of({BASE.Make: "Maker", BASE.Model: "M", BASE.Orientation: 8})
    facts = read_photo(save(scene, tmp_path / "e.tif", exif=exif)).exif
    assert (facts["make"], facts["model"], facts["orientation"]) == ("Maker", "M", 8)


@pytest.mark.parametrize(
    "unit, x, y, want",
    [
        (2, 254.0, 254.0, 10),
        (3, 100.0, 100.0, 10),
        (4, 10.0, 10.0, 10),
        (5, 0.01, 0.01, 10),
        (None, 254.0, 254.0, 10),
        (1, 254.0, 254.0, None),
        (9, 254.0, 254.0, None),
        (4, 10.0, None, 10),
        (4, 9.9, 10.1, 9.9995),
        (4, 10.0, 12.0, None),
        (4, 0.0, 10.0, None),
    ],
)
def test_focal_plane_resolution_by_unit(tmp_path, scene, unit, x, y, want):
    entries = {BASE.FocalPlaneXResolution: x, BASE.FocalPlaneYResolution: y, BASE.FocalPlaneResolutionUnit: unit}
    entries = {tag: value for tag, value in entries.items() if value is not None}
    facts = read_photo(save(scene, tmp_path / "u.jpg", exif=exif_of({}, entries))).exif
    assert facts.get("plane_resolution") == (None if want is None else pytest.approx(want, rel=1e-6))


def test_no_exif_means_no_facts_and_a_broken_one_does_no_harm(tmp_path, scene):
    assert set(read_photo(save(scene, tmp_path / "a.jpg")).exif) == {"orientation", "size_stored", "format"}
    for k, junk in enumerate((b"", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x09\1\2")):
        photo = read_photo(save(scene, tmp_path / f"{k}.jpg", exif=b"Exif\0\0" + junk))
        assert photo.size == (W, H) and photo.exif["orientation"] == 1


# ------------------------------------------------------------------------------------------------ paths


@pytest.mark.parametrize("folder", ["a b", "é à ü", "写真 左", "кадр", "x" * 120])
def test_any_path(tmp_path, scene, folder):
    path = tmp_path / folder / f"{folder[:40]}.png"
    path.parent.mkdir()
    save(scene, path)
    for form in (path, str(path)):
        np.testing.assert_array_equal(read_photo(form).pixels, scene)
    with pytest.raises(StereoError, match="a path is text"):
        read_photo(os.fsencode(path))


def test_reading_touches_nothing(tmp_path, scene):
    limit = Image.MAX_IMAGE_PIXELS
    path = save(scene, tmp_path / "a.heic", exif=exif_of({BASE.Orientation: 6}).tobytes())
    before = path.read_bytes(), path.stat().st_mtime_ns
    read_photo(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert list(tmp_path.iterdir()) == [path]
    assert Image.MAX_IMAGE_PIXELS == limit


def test_photos_can_be_read_in_threads(tmp_path, scene):
    paths = [save(np.roll(scene, k, axis=1), tmp_path / f"{k}.png") for k in range(8)]
    out = [None] * 8
    threads = [threading.Thread(target=lambda k=k: out.__setitem__(k, read_photo(paths[k]).pixels)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(8):
        np.testing.assert_array_equal(out[k], np.roll(scene, k, axis=1))


# ------------------------------------------------------------------------------------------------ bad input


def encoded(picture: np.ndarray, form: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, form)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


BAD = {
    "empty.jpg": (b"", "photo_unreadable", "0 bytes"),
    "text.png": (b"hello, this is no picture\n" * 10, "photo_unreadable", "not a picture"),
    "page.pdf": (b"%PDF-1.7\n" + bytes(100), "photo_unreadable", "PDF"),
    "film.mp4": (b"\0\0\0\x18ftypmp42" + bytes(100), "photo_unreadable", "video"),
    "shot.NEF": (b"II*\0" + bytes(100), "photo_unreadable", "raw"),
    "huge.png": (png_header(40000, 30000), "photo_too_large", "40000 x 30000"),
    "narrow.png": (png_header(20, 4000), "photo_too_small", "20 x 4000"),
    "eps.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", "photo_unreadable", "not a picture"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(tmp_path, name):
    data, code, word = BAD[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(StereoError) as caught:
        read_photo(tmp_path / name)
    error = caught.value
    assert error.code == code and word in error.message and error.advice
    assert str(tmp_path / name) in error.message


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "HEIF", "AVIF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_files_are_named_so(tmp_path, form, share):
    noise = np.random.default_rng(1).integers(0, 256, (H, W, 3), dtype=np.uint8)
    data = encoded(noise, form)
    path = tmp_path / "cut"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(StereoError) as caught:
        read_photo(path)
    assert caught.value.code == "photo_unreadable"
    assert "truncated" in caught.value.message and f"{int(share * len(data))} bytes" in caught.value.message
    assert caught.value.numbers["bytes"] == int(share * len(data))


def test_missing_files_and_folders(tmp_path, scene):
    save(scene, tmp_path / "IMG_0001.JPG")
    with pytest.raises(StereoError) as caught:
        read_photo(tmp_path / "img_001.jpg")
    assert caught.value.code == "file_missing" and "IMG_0001.JPG" in caught.value.advice
    with pytest.raises(StereoError) as caught:
        read_photo(tmp_path / "no" / "a.jpg")
    assert caught.value.code == "file_missing" and "folder" in caught.value.advice
    with pytest.raises(StereoError) as caught:
        read_photo(tmp_path)
    assert caught.value.code == "photo_unreadable" and "folder" in caught.value.message
    for path in (tmp_path / ("x" * 300), str(tmp_path / "a\0b.jpg"), tmp_path / "IMG_0001.JPG" / "a.jpg"):
        with pytest.raises(StereoError) as caught:
            read_photo(path)
        assert caught.value.code == "file_missing"


def test_size_limits_hold_exactly(tmp_path, scene, monkeypatch):
    ok = np.zeros((MIN_SIDE, MIN_SIDE, 3), np.uint8)
    assert read_photo(save(ok, tmp_path / "ok.png")).size == (MIN_SIDE, MIN_SIDE)
    with pytest.raises(StereoError) as caught:
        read_photo(save(ok[1:], tmp_path / "small.png"))
    assert caught.value.code == "photo_too_small"
    assert caught.value.numbers == {"width": MIN_SIDE, "height": MIN_SIDE - 1, "limit": MIN_SIDE}
    path = save(scene, tmp_path / "a.png")
    monkeypatch.setattr("stereo3d.images.read.MAX_PIXELS", W * H)
    assert read_photo(path).size == (W, H)
    monkeypatch.setattr("stereo3d.images.read.MAX_PIXELS", W * H - 1)
    with pytest.raises(StereoError) as caught:
        read_photo(path)
    assert caught.value.code == "photo_too_large" and "GiB" in caught.value.message


def test_without_pillow_heif_other_formats_are_read(tmp_path, scene, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    np.testing.assert_array_equal(read_photo(save(scene, tmp_path / "a.png")).pixels, scene)


@settings(max_examples=tries(120), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_gives_a_photo_or_a_stereo_error(tmp_path, scene, data):
    form = data.draw(st.sampled_from(["JPEG", "PNG", "TIFF", "WEBP", "BMP", "HEIF", "AVIF", "GIF"]))
    broken = bytearray(encoded(scene, form))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(broken), 600) - 1))
        broken[at] = data.draw(st.integers(0, 255))
    path = tmp_path / "broken"
    path.write_bytes(broken[: data.draw(st.integers(1, len(broken)))])
    try:
        photo = read_photo(path)
    except StereoError as error:
        assert error.code in ("photo_unreadable", "photo_too_small", "photo_too_large", "memory")
    else:
        assert photo.pixels.dtype == np.uint8 and photo.pixels.ndim == 3


# ------------------------------------------------------------------------------------------------ real photos


@pytest.fixture(scope="module")
def real_folder() -> Path:
    folder = Path(os.environ.get("STEREO3D_DATA", ""))
    if not os.environ.get("STEREO3D_DATA") or not folder.is_dir():
        pytest.skip("STEREO3D_DATA names no folder of real photographs")
    return folder


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name",
    [
        "photos/sceaux/100_7101.JPG",
        "photos/kermit/kermit000.jpg",
        "photos/lawn/lawn_L.png",
        "disparity/eth3d_terrace/left.png",
        "disparity/kitti2012_000070/left.png",
    ],
)
def test_real_photos_agree_with_opencv(real_folder, name):
    pixels = read_photo(real_folder / name).pixels
    other = cv2.imdecode(np.fromfile(real_folder / name, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert pixels.shape == other.shape
    assert np.abs(pixels.astype(np.int16) - other).mean() < 0.5


@pytest.mark.real_data
def test_real_exif(real_folder):
    facts = read_photo(real_folder / "photos/kermit/kermit000.jpg").exif
    assert facts["make"] == "Canon" and facts["model"] == "Canon PowerShot A10"
    assert facts["focal_mm"] == 5.40625
    # 3106.796 and 3096.774 px per inch
    assert facts["plane_resolution"] == pytest.approx(3101.781 / 25.4, rel=1e-5)


def apple_note(vector) -> bytes:
    """A maker note of Apple's with nothing but the acceleration, to a ten-thousandth."""
    fractions = struct.pack(">6i", *(n for v in vector for n in (round(v * 10_000), 10_000)))
    head = b"Apple iOS\0\0\x01MM" + struct.pack(">H", 1)
    return head + struct.pack(">HHII", 8, 10, 3, len(head) + 12 + 4) + struct.pack(">I", 0) + fractions


@pytest.mark.parametrize(
    "held, orientation, phone",
    [
        ("the side with the button to the right", 1, (-1, 0, 0)),
        ("upright", 6, (0, -1, 0)),
        ("the button to the left", 3, (1, 0, 0)),
        ("upside down", 8, (0, 1, 0)),
    ],
)
def test_gravity_of_a_phone_is_down_however_it_was_held(tmp_path, scene, held, orientation, phone):
    exif = exif_of({BASE.Orientation: orientation}, {0x927C: apple_note(phone)})
    down = read_photo(save(scene, tmp_path / "a.jpg", exif=exif)).exif["gravity"]
    assert np.allclose(down, [0, 1, 0], atol=1e-6), held
    # the screen turned a little towards the sky: the camera looks down, so gravity has a part along the view
    tilted = tuple(np.cos(0.3) * np.array(phone))[:2] + (-np.sin(0.3),)
    exif = exif_of({BASE.Orientation: orientation}, {0x927C: apple_note(tilted)})
    down = read_photo(save(scene, tmp_path / "b.jpg", exif=exif)).exif["gravity"]
    assert np.allclose(down, [0, np.cos(0.3), np.sin(0.3)], atol=1e-3)


def test_gravity_from_an_elevation_or_a_gimbal(tmp_path, scene):
    exif = exif_of({}, {0x9405: IFDRational(-30, 1)})
    down = read_photo(save(scene, tmp_path / "a.jpg", exif=exif)).exif["gravity"]
    assert np.allclose(down, [0, np.sqrt(3) / 2, 0.5])
    for k, words in enumerate(('GimbalPitchDegree="-90.00"', "GimbalPitchDegree>-90.00<")):
        path = save(scene, tmp_path / f"{k}.jpg", xmp=f"<x:xmpmeta drone-dji:{words}/>".encode())
        assert np.allclose(read_photo(path).exif["gravity"], [0, 0, 1], atol=1e-9)


APPLE = b"Apple iOS\0\0\x01MM"


@pytest.mark.parametrize(
    "note",
    [
        b"",
        APPLE,
        APPLE + b"\xff\xff" + b"\0" * 20,
        b"Nikon\0",
        apple_note((0, 0, 0)),
        apple_note((3, 0, 0)),
        apple_note((0, -1, 0))[:-9],
    ],
)
def test_a_maker_note_that_tells_nothing_is_no_gravity(tmp_path, scene, note):
    exif = exif_of({}, {0x927C: note})
    assert "gravity" not in read_photo(save(scene, tmp_path / "a.jpg", exif=exif)).exif
