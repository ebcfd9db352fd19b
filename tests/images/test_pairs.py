"""Files that hold two photos, each written here: MPO, JPS, side by side, animations, spatial HEIC."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from spatial_heic import write_spatial

from stereo3d.errors import StereoError
from stereo3d.geometry.rotations import rotation_from_vector
from stereo3d.images import read_pair, read_photo
from stereo3d.images.jpegs import pictures_in
from stereo3d.images.layouts import LAYOUTS
from stereo3d.images.spatial import _relative_rotation, _world_from_camera

CLOSE = 4.0  # grey levels, mean difference after a lossy codec
SQUEEZED = 7.0  # likewise, of a picture that has lost half of its pixels


@pytest.fixture(scope="module")
def views(sphere_pair):
    """Two pictures (240, 320, 3) of one scene."""
    return sphere_pair.left.pixels, sphere_pair.right.pixels


def check(pair, views, close=CLOSE):
    """The pair holds these views in this order, and no other."""
    for photo, view in zip((pair.left, pair.right), views, strict=True):
        assert photo.pixels.shape == view.shape
        assert np.abs(photo.pixels.astype(int) - view).mean() < close
    other = np.abs(pair.left.pixels.astype(int) - views[1]).mean()
    assert other > 2 * np.abs(pair.left.pixels.astype(int) - views[0]).mean()


def jpeg_bytes(picture: np.ndarray, tmp_path: Path, segments: bytes = b"", **options) -> bytes:
    """A JPEG file with further segments behind its SOI marker."""
    path = tmp_path / "one.jpg"
    Image.fromarray(picture).save(path, quality=95, **options)
    data = path.read_bytes()
    return data[:2] + segments + data[2:]


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def mpf_attributes(metres: float) -> bytes:
    """An MPF segment with an empty index and attributes that hold BaselineLength (CIPA DC-007, tag B206)."""
    index = struct.pack(">H", 0) + struct.pack(">I", 8 + 6)
    attributes = struct.pack(">H", 1) + struct.pack(">HHII", 0xB206, 5, 1, 8 + 6 + 18) + struct.pack(">I", 0)
    return segment(
        0xE2,
        b"MPF\0"
        + b"MM\0*"
        + struct.pack(">I", 8)
        + index
        + attributes
        + struct.pack(">II", round(1e6 * metres), 10**6),
    )


def test_an_mpo_holds_both_photos(tmp_path, views):
    path = tmp_path / "a.mpo"
    first, second = map(Image.fromarray, views)
    first.save(path, "MPO", save_all=True, append_images=[second], quality=95)
    pair = read_pair(path)
    check(pair, views)
    assert pair.baseline is None and pair.rig is None


@pytest.mark.parametrize(("metres", "expected"), [(0.0775, 77.5), (0.0, None), (1.0, None)])
def test_the_baseline_of_an_mpo_is_that_of_its_tags_unless_no_camera_has_it(tmp_path, views, metres, expected):
    path = tmp_path / "a.mpo"
    path.write_bytes(jpeg_bytes(views[0], tmp_path) + jpeg_bytes(views[1], tmp_path, mpf_attributes(metres)))
    pair = read_pair(path)
    check(pair, views)
    assert pair.baseline == expected
    assert pair.unit == (None if expected is None else "mm")


def test_a_camera_with_two_lenses_that_states_no_baseline_has_that_of_its_model(tmp_path, views):
    exif = Image.Exif()
    exif[0x0110] = "FinePix REAL 3D W3"
    path = tmp_path / "a.mpo"
    path.write_bytes(jpeg_bytes(views[0], tmp_path, exif=exif) + jpeg_bytes(views[1], tmp_path))
    pair = read_pair(path)
    assert (pair.baseline, pair.unit) == (75.0, "mm")
    assert pair.right.exif["model"] == "FinePix REAL 3D W3"


def test_a_thumbnail_and_a_gain_map_are_no_second_photo(tmp_path, views):
    grey, small = views[1][..., 0], views[1][::4, ::4]
    for name, other in (("gain", grey), ("small", small)):
        path = tmp_path / f"{name}.jpg"
        path.write_bytes(jpeg_bytes(views[0], tmp_path) + jpeg_bytes(other, tmp_path))
        with pytest.raises(StereoError, match="one photo of 320 x 240") as caught:
            read_pair(path)
        assert caught.value.code == "one_photo"
        assert "--layout" in caught.value.advice


def test_pictures_inside_of_a_segment_are_not_found(tmp_path, views):
    inside = jpeg_bytes(views[1][::8, ::8], tmp_path)
    data = jpeg_bytes(views[0], tmp_path, segment(0xE1, b"Exif\0\0" + inside))
    assert [(p.start, p.end, p.size) for p in pictures_in(data)] == [(0, len(data), (320, 240))]
    assert pictures_in(data[: len(data) // 2]) == []  # truncated


def squeezed(views, layout: str) -> np.ndarray:
    """Both views in one picture."""
    side_by_side, half = LAYOUTS[layout]
    parts = [Image.fromarray(v) for v in views]
    if half:
        w, h = parts[0].size
        parts = [p.resize((w // 2, h) if side_by_side else (w, h // 2), Image.Resampling.BOX) for p in parts]
    return np.concatenate([np.asarray(p) for p in parts], axis=1 if side_by_side else 0)


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("holiday_SBS.jpg", "sbs"),
        ("holiday-half-sbs.png", "sbs-half"),
        ("x_HSBS.jpg", "sbs-half"),
        ("beach left-right.jpg", "sbs"),
        ("a.jps", "sbs"),
        ("b.jps", "sbs-half"),
        ("film_TB.png", "tb"),
        ("film.over-under.jpg", "tb"),
        ("film_half_ou.jpg", "tb-half"),
        ("nothing_said.png", "sbs"),
        ("nothing_said.png", "tb"),
        ("nothing_said.png", "sbs-half"),
    ],
)
def test_two_views_in_one_picture(tmp_path, views, name, layout):
    path = tmp_path / name
    form = "JPEG" if path.suffix == ".jps" else None
    Image.fromarray(squeezed(views, layout)).save(path, form, quality=97)
    check(read_pair(path), views, SQUEEZED if "half" in layout else CLOSE)


def test_the_layout_that_the_user_states_is_taken(tmp_path, views):
    path = tmp_path / "picture_SBS.png"
    Image.fromarray(squeezed(views, "tb")).save(path)
    check(read_pair(path, layout="tb"), views)
    with pytest.raises(StereoError, match="layout cannot be 'anaglyph'"):
        read_pair(path, layout="anaglyph")


def test_a_jps_descriptor_states_that_its_halves_are_squeezed(tmp_path, views):
    wide = np.repeat(squeezed(views, "sbs-half"), 2, axis=1)  # wide enough to be taken for the full width
    for flags, width in ((2, 640), (0, 320)):
        descriptor = b"_JPSJPS_" + struct.pack(">H", 4) + bytes([0, flags, 2, 1])
        path = tmp_path / "a.jpg"
        path.write_bytes(jpeg_bytes(wide, tmp_path, segment(0xE3, descriptor)))
        assert read_pair(path).left.size == (width, 240)


@pytest.mark.parametrize("name", ["a.tif", "a.webp", "a.png", "a.gif", "a.avif", "a.heic"])
def test_two_frames_of_one_file(tmp_path, views, name):
    path = tmp_path / name
    first, second = map(Image.fromarray, views)
    quality = {} if name[2:] in ("tif", "png", "gif") else {"quality": 95}
    first.save(path, save_all=True, append_images=[second], **quality)
    pair = read_pair(path)
    for photo, view in zip((pair.left, pair.right), views, strict=True):
        assert np.abs(photo.pixels.astype(int) - view).mean() < 3 * CLOSE  # a GIF has 256 colours


def test_two_pages_of_few_levels_are_both_read(tmp_path, views):
    """Colours of 12 bits in 16, each page its own: OpenCV, which reads them again, knows the first alone."""
    path = tmp_path / "a.tif"
    pages = [cv2.cvtColor(view, cv2.COLOR_RGB2BGR).astype(np.uint16) * 8 for view in views]
    assert cv2.imwritemulti(str(path), pages)
    pair = read_pair(path)
    assert not np.array_equal(pair.left.pixels, pair.right.pixels)


def test_a_spatial_photo_in_a_turned_world_has_its_baseline_in_the_frame_of_the_left_camera():
    turn = rotation_from_vector(np.radians([3.0, 20.0, -5.0]))
    assert np.allclose(_relative_rotation(turn, turn), np.eye(3))
    apart = turn @ [20.0, 0, 0]  # as the file states it, in the frame of the world
    info = {"heif": {"camera_extrinsic_matrix_rot": tuple(turn.ravel())}}
    assert _world_from_camera(info).T @ apart == pytest.approx([20, 0, 0], abs=1e-9)
    assert np.array_equal(_world_from_camera({"heif": {"camera_extrinsic_matrix_rot": (2.0,) * 9}}), np.eye(3))


def test_a_photo_alone_is_refused_with_what_to_do(tmp_path, views):
    path = tmp_path / "wedding.jpg"
    Image.fromarray(views[0]).save(path)
    with pytest.raises(StereoError, match="holds one photo of 320 x 240 px") as caught:
        read_pair(path)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(("count", "pair"), [(2, (0, 1)), (2, (1, 0)), (3, (1, 2))])
def test_a_spatial_photo_has_its_pair_in_the_order_of_its_group_and_its_rig(tmp_path, views, count, pair):
    pictures = [views[0][::-1].copy()] * count
    pictures[pair[0]], pictures[pair[1]] = views
    path = tmp_path / "a.heic"
    write_spatial(path, pictures, pair, focal=300.0, baseline_um=63807, model="Apple Vision Pro")
    found = read_pair(path)
    check(found, views)
    assert found.rig is not None and found.rig.unit == "mm"
    assert np.allclose(found.rig.t, [-63.807, 0, 0]) and np.array_equal(found.rig.R, np.eye(3))
    assert found.rig.cam1.K[0, 0] == pytest.approx(300.0, abs=0.01)
    assert found.rig.cam1.K[:2, 2] == pytest.approx([159.5, 119.5])
    assert not found.rig.error.exact


@pytest.mark.parametrize(("model", "expected"), [("iPhone 16 Pro", 19.24), ("Apple Vision Pro", 63.76), (None, None)])
def test_the_baseline_of_a_spatial_photo_is_that_of_its_model_where_the_file_states_none(
    tmp_path, views, model, expected
):
    path = tmp_path / "a.heic"
    write_spatial(path, list(views), (0, 1), focal=300.0, model=model)
    rig = read_pair(path).rig
    assert rig.unit == (None if expected is None else "mm")
    assert np.linalg.norm(rig.t) == pytest.approx(expected or 1.0)


def test_a_spatial_photo_named_beside_another_photo_is_its_primary_picture(tmp_path, views):
    path = tmp_path / "a.heic"
    write_spatial(path, [views[0][::-1].copy(), *views], (1, 2), focal=300.0)
    assert np.abs(read_photo(path).pixels.astype(int) - views[0][::-1]).mean() < CLOSE


def write_mpo(path, views):
    first, second = map(Image.fromarray, views)
    first.save(path, "MPO", save_all=True, append_images=[second])


def write_lif(path, views):
    path.write_bytes(b"".join(jpeg_bytes(view, path.parent) for view in views))


def write_frames(path, views):
    first, second = map(Image.fromarray, views)
    first.save(path, save_all=True, append_images=[second])


def write_sbs(path, views):
    Image.fromarray(squeezed(views, "sbs")).save(path, "JPEG" if path.suffix == ".jps" else None)


def write_tb(path, views):
    Image.fromarray(squeezed(views, "tb")).save(path)


def write_heic(path, views):
    write_spatial(path, list(views), (0, 1), focal=300.0)


FORMS = {  # how a file of two views is written, and the format that the message names where it is damaged
    "a.mpo": (write_mpo, "JPEG|MPO"),
    "a.lif": (write_lif, "JPEG|MPO"),
    "a.jps": (write_sbs, "JPEG"),
    "a_SBS.png": (write_sbs, "PNG"),
    "a_TB.jpg": (write_tb, "JPEG"),
    "a.gif": (write_frames, "GIF"),
    "a.webp": (write_frames, "WebP"),
    "a.tif": (write_frames, "TIFF"),
    "a.png": (write_frames, "PNG"),
    "a.avif": (write_frames, "AVIF"),
    "a.heic": (write_heic, "HEIF"),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_damaged_file_of_each_form_is_refused_by_the_name_of_the_form(tmp_path, views, name):
    write, form = FORMS[name]
    path = tmp_path / name
    write(path, [view[:120, :160] for view in views])
    data = path.read_bytes()
    for share in (0.02, 0.3, 0.6, 0.95):
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(StereoError, match=f"a damaged or truncated ({form}) file of") as caught:
            read_pair(path)
        assert caught.value.code == "photo_unreadable"
        assert "Copy it again" in caught.value.advice


def test_what_a_camera_appends_to_a_jpeg_is_no_damaged_picture(tmp_path, views):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_bytes(views[0], tmp_path) + b"\0" * 100 + b"SEFT" + bytes(range(200)))
    with pytest.raises(StereoError, match="holds one photo"):
        read_pair(path)
