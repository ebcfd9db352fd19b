"""Float maps on disk, against numpy and OpenCV, and writing that does no harm."""

import os
import stat

import cv2
import numpy as np
import pytest
from examples import tries
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stereo3d.errors import StereoError
from stereo3d.io import read_map, replacing, together, try_writing, write_map

shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)
maps = hnp.arrays(
    np.float32, shapes, elements=st.one_of(st.floats(-1e6, 1e6, width=32), st.sampled_from([np.nan, 0.0, -0.0]))
)


@pytest.fixture
def wave():
    """(7, 5) f32 with an unknown pixel; no two rows or columns alike."""
    value = (np.arange(35, dtype=np.float32).reshape(7, 5) ** 1.5 + 1.25) / 2
    value[2, 3] = np.nan
    return value


def same(a, b):
    return a.dtype == np.float32 and a.shape == b.shape and np.array_equal(a, b, equal_nan=True)


# Round trips


@pytest.mark.parametrize("suffix", [".pfm", ".npy", ".PFM"])
@settings(max_examples=tries(25))
@given(value=maps)
def test_floats_come_back_bit_for_bit(tmp_path_factory, suffix, value):
    path = tmp_path_factory.mktemp("maps") / ("a" + suffix)
    assert write_map(path, value) == path
    assert same(read_map(path), value)


@settings(max_examples=tries(25))
@given(raw=hnp.arrays(np.uint16, shapes))
def test_png_holds_every_value_that_it_promises(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("maps") / "a.png"
    value = np.where(raw > 0, raw.astype(np.float32) / 256, np.nan).astype(np.float32)
    write_map(path, value)
    assert same(read_map(path), value)
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16 and np.array_equal(stored.reshape(raw.shape), raw)


def test_png_rounds_to_the_nearest_step_and_loses_no_known_pixel(tmp_path):
    value = np.array([[1 / 512, 0.0021, 3.3, 255.99]], np.float32)
    found = read_map(write_map(tmp_path / "a.png", value))
    assert np.isfinite(found).all()
    assert np.abs(found - value).max() <= 1 / 512 + 1e-6


@pytest.mark.parametrize("bad", [0.0, 0.001, -1.0, 256.0, 1e9])
def test_png_refuses_what_it_cannot_hold(tmp_path, bad):
    with pytest.raises(StereoError) as caught:
        write_map(tmp_path / "a.png", np.array([[1, bad]], np.float32))
    assert caught.value.code == "bad_range" and ".pfm" in caught.value.advice
    assert list(tmp_path.iterdir()) == []


def test_a_map_of_unknown_pixels(tmp_path):
    value = np.full((3, 4), np.nan, np.float32)
    for suffix in (".pfm", ".npy", ".png"):
        assert same(read_map(write_map(tmp_path / ("a" + suffix), value)), value)


# Against others


def test_pfm_as_opencv_reads_and_writes_it(tmp_path, wave):
    write_map(tmp_path / "a.pfm", wave)
    theirs = cv2.imread(str(tmp_path / "a.pfm"), cv2.IMREAD_UNCHANGED)
    assert theirs.shape == (7, 5) and np.array_equal(theirs, np.where(np.isnan(wave), np.inf, wave))
    cv2.imwrite(str(tmp_path / "b.pfm"), wave)
    assert same(read_map(tmp_path / "b.pfm"), wave)


def test_npy_is_numpys(tmp_path, wave):
    write_map(tmp_path / "a.npy", wave.astype(float))
    assert same(np.load(tmp_path / "a.npy"), wave)


@pytest.mark.parametrize(("order", "scale"), [("<f4", "-1.0"), (">f4", "1"), (">f4", "0.5"), ("<f4", "-0.003922")])
def test_pfm_of_either_byte_order_runs_bottom_to_top(tmp_path, wave, order, scale):
    """The scale gives the byte order alone: Middlebury 2014 writes -0.003922 before disparities in px."""
    path = tmp_path / "a.pfm"
    path.write_bytes(f"Pf\n5 7\n{scale}\n".encode() + wave[::-1].astype(order).tobytes())
    assert same(read_map(path), wave)


def test_pfm_of_three_equal_channels(tmp_path, wave):
    path = tmp_path / "a.pfm"
    path.write_bytes(b"PF\n5 7\n-1\n" + np.repeat(wave[::-1, :, None], 3, 2).astype("<f4").tobytes())
    assert same(read_map(path), wave)


def test_pfm_whose_first_value_looks_like_space(tmp_path):
    """Only one white space stands between the header and the numbers, which may begin with any byte."""
    value = np.frombuffer(b"    \n\n\n\n", "<f4").reshape(1, 2)
    path = tmp_path / "a.pfm"
    path.write_bytes(b"Pf 2 1 -1\n" + value.tobytes())
    assert same(read_map(path), value)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n", b"\r\n\r\n", b" \n", b"\r"])
def test_pfm_headers_of_any_line_end(tmp_path, wave, end):
    """The length of the file shows where the header ends; a byte behind the numbers changes nothing."""
    path = tmp_path / "a.pfm"
    for tail in (b"", b"\n") if end == b"\n" else (b"",):
        path.write_bytes(b"Pf" + end + b"5 7" + end + b"-1.0" + end + wave[::-1].astype("<f4").tobytes() + tail)
        assert same(read_map(path), wave)


def test_a_colour_pfm_is_refused_as_a_colour_png_is(tmp_path, wave):
    colour = np.stack([wave, wave + 1, wave], -1)[::-1].astype("<f4")
    (tmp_path / "a.pfm").write_bytes(b"PF\n5 7\n-1\n" + colour.tobytes())
    with pytest.raises(StereoError, match="colour picture") as caught:
        read_map(tmp_path / "a.pfm")
    assert caught.value.code == "file_unreadable"


@pytest.mark.parametrize(("names", "found"), [((), "no array"), (("left", "right"), "left, right")])
def test_an_archive_without_a_map_says_what_it_holds(tmp_path, wave, names, found):
    np.savez(tmp_path / "a.npz", **dict.fromkeys(names, wave))
    with pytest.raises(StereoError, match=f"holds {found}; name the map arr_0 or depth or disparity") as caught:
        read_map(tmp_path / "a.npz")
    assert caught.value.code == "file_unreadable"


def test_png_and_tif_of_others(tmp_path):
    raw = np.array([[0, 1, 256], [512, 640, 65535]], np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), raw)
    assert same(read_map(tmp_path / "a.png"), np.array([[np.nan, 1 / 256, 1], [2, 2.5, 65535 / 256]], np.float32))
    assert read_map(tmp_path / "a.png", scale=1).tolist() == raw.tolist()  # a scale of one's own: 0 is a value
    eight = (raw % 251).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "b.png"), eight)
    assert read_map(tmp_path / "b.png").tolist() == eight.tolist()
    cv2.imwrite(str(tmp_path / "c.png"), np.repeat(eight[..., None], 3, 2))
    assert read_map(tmp_path / "c.png", scale=2).tolist() == (eight / 2).tolist()
    cv2.imwrite(str(tmp_path / "d.tif"), raw.astype(np.float32) / 7)
    assert np.allclose(read_map(tmp_path / "d.tif"), raw / 7)


def test_raw_values_that_mean_unknown(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[0.0, 1, -1], [np.inf, -np.inf, 4]]))
    found = read_map(tmp_path / "a.npy", scale=4, unknown=[0, -1, "inf", "nan"])
    assert same(found, np.array([[np.nan, 0.25, np.nan], [np.nan, np.nan, 1]], np.float32))
    assert same(read_map(tmp_path / "a.npy"), np.array([[0, 1, -1], [np.nan, np.nan, 4]], np.float32))


def test_archives_by_their_only_or_usual_name(tmp_path, wave):
    np.savez(tmp_path / "one.npz", anything=wave)
    np.savez(tmp_path / "some.npz", other=np.zeros(3), depth=wave.astype(np.float64)[..., None])
    assert same(read_map(tmp_path / "one.npz"), wave) and same(read_map(tmp_path / "some.npz"), wave)
    np.savez(tmp_path / "none.npz", a=wave, b=wave)
    with pytest.raises(StereoError):
        read_map(tmp_path / "none.npz")


# Bad input


@pytest.mark.parametrize("suffix", [".pfm", ".npy", ".npz", ".png", ".tif"])
def test_truncated_empty_and_foreign_files_are_one_clear_error(tmp_path, wave, suffix):
    whole = tmp_path / ("whole" + suffix)
    value = np.nan_to_num(np.tile(wave, (9, 9)), nan=1.0)
    if suffix == ".npz":
        np.savez_compressed(whole, depth=value)
    elif suffix == ".tif":
        cv2.imwrite(str(whole), value)
    else:
        write_map(whole, value)
    data = whole.read_bytes()
    assert read_map(whole).shape == (63, 45)
    broken = {len(data) // 2: data[: len(data) // 2], 20: data[:20], 0: b"", "text": b"no map at all\n" * 9}
    middle = len(data) // 2
    flipped = data[:middle] + bytes(255 - b for b in data[middle : middle + 40]) + data[middle + 40 :]
    for name, content in broken.items():
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(content)
        if suffix in (".png", ".tif") and name == middle:
            continue  # OpenCV may fill in what is missing
        with pytest.raises(StereoError) as caught:
            read_map(path)
        assert caught.value.code == "file_unreadable" and str(path) in caught.value.message
    if suffix == ".npz":  # spoilt inside
        (tmp_path / "spoilt.npz").write_bytes(flipped)
        with pytest.raises(StereoError) as caught:
            read_map(tmp_path / "spoilt.npz")
        assert caught.value.code == "file_unreadable"


@pytest.mark.parametrize(("content", "suffix"), [(".npz", ".npy"), (".npy", ".npz")])
def test_a_numpy_file_under_the_others_name(tmp_path, wave, content, suffix):
    path = tmp_path / ("a" + content)
    np.savez(path, a=wave) if content == ".npz" else np.save(path, wave)
    assert same(read_map(path.rename(tmp_path / ("b" + suffix))), wave)


@pytest.mark.parametrize(
    "header",
    [b"Pf\n0 7\n-1\n", b"Pf\n-5 7\n-1\n", b"Pf\n5 7\ne\n", b"P5\n5 7\n255\n", b"Pf\n99999999999 99999999999\n-1\n"],
)
def test_pfm_headers_that_are_none(tmp_path, header):
    path = tmp_path / "a.pfm"
    path.write_bytes(header + bytes(140))
    with pytest.raises(StereoError) as caught:
        read_map(path)
    assert caught.value.code == "file_unreadable"


def test_what_is_no_map(tmp_path):
    arrays = {
        "line": np.zeros(4),
        "colour": np.zeros((4, 5, 3)),
        "empty": np.zeros((0, 5)),
        "words": np.array([["a"]]),
        "complex": np.zeros((2, 2), complex),
    }
    for name, value in arrays.items():
        np.save(tmp_path / f"{name}.npy", value)
    np.save(tmp_path / "objects.npy", np.array([[{}]]), allow_pickle=True)
    cv2.imwrite(str(tmp_path / "colour.png"), np.arange(60, dtype=np.uint8).reshape(4, 5, 3))
    for path in tmp_path.iterdir():
        with pytest.raises(StereoError) as caught:
            read_map(path)
        assert caught.value.code == "file_unreadable"
    for name in ("a.pfm", "a.npy", "a.png"):
        with pytest.raises(StereoError) as caught:
            read_map(tmp_path / "nowhere" / name)
        assert caught.value.code == "file_missing"
    for name in ("a.jpg", "a"):
        for act in (lambda p: read_map(p), lambda p: write_map(p, np.ones((2, 2)))):
            with pytest.raises(StereoError) as caught:
                act(tmp_path / name)
            assert caught.value.code == "unknown_format" and ".pfm" in caught.value.advice
    with pytest.raises(ValueError, match=r"\(2, 2, 2\)"):
        write_map(tmp_path / "a.npy", np.ones((2, 2, 2)))


# Writing without harm


def test_replacing_puts_the_whole_file_in_place(tmp_path):
    path = tmp_path / "new" / "é 写" / "a.txt"
    with replacing(path) as temporary:
        assert temporary.parent == path.parent and temporary.suffix == ".txt" and temporary != path
        assert not path.exists()
        temporary.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one" and list(path.parent.iterdir()) == [path]
    with replacing(path) as temporary:
        temporary.write_text("two")
        assert path.read_text() == "one"  # until the end
    assert path.read_text() == "two" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("failure", [RuntimeError, OSError, KeyboardInterrupt])
def test_a_failure_leaves_nothing_behind_and_the_old_file_as_it_was(tmp_path, failure):
    old, fresh = tmp_path / "old.txt", tmp_path / "not" / "yet" / "there.txt"
    old.write_text("old")
    for path in (old, fresh):
        with pytest.raises((failure, StereoError)) as caught, replacing(path) as temporary:
            temporary.write_text("half")
            raise failure("no room")
        if failure is OSError:
            assert caught.type is StereoError and caught.value.code == "unwritable" and "no room" in str(caught.value)
        else:
            assert caught.type is failure
    assert list(tmp_path.iterdir()) == [old] and old.read_text() == "old"


def test_a_failure_spares_folders_that_were_there(tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(RuntimeError), replacing(tmp_path / "there" / "a.txt"):
        raise RuntimeError
    assert (tmp_path / "there").is_dir()


def test_permissions_are_those_of_a_new_file(tmp_path):
    for mask in (0o022, 0o077):
        before = os.umask(mask)
        try:
            write_map(tmp_path / "a.npy", np.ones((2, 2)))
            (tmp_path / "plain").write_bytes(b"")
        finally:
            os.umask(before)
        modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.npy", "plain")]
        assert modes[0] == modes[1] == 0o666 & ~mask
        for name in ("a.npy", "plain"):
            (tmp_path / name).unlink()


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "folder.npy", tmp_path / "file" / "a.npy", tmp_path / ("n" * 300 + ".npy")):
        with pytest.raises(StereoError) as caught:
            write_map(path, np.ones((2, 2)))
        assert caught.value.code == "unwritable" and str(path) in caught.value.message
    assert (tmp_path / "file").read_text() == "x"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.npy"]


def test_the_longest_names_the_system_takes(tmp_path):
    path = tmp_path / ("写" * 80 + ".npy")  # 244 bytes
    write_map(path, np.ones((2, 2)))
    assert list(tmp_path.iterdir()) == [path]


def test_links_are_followed_and_stay(tmp_path):
    (tmp_path / "real.npy").write_bytes(b"old")
    (tmp_path / "link.npy").symlink_to("real.npy")
    write_map(tmp_path / "link.npy", np.ones((2, 2)))
    assert (tmp_path / "link.npy").is_symlink() and read_map(tmp_path / "real.npy").tolist() == [[1, 1], [1, 1]]


def test_read_only_files_and_devices_are_spared(tmp_path):
    path = tmp_path / "kept.npy"
    path.write_bytes(b"kept")
    path.chmod(0o444)
    os.mkfifo(tmp_path / "pipe.npy")
    for target in (path, tmp_path / "pipe.npy"):
        for act in (try_writing, lambda p: write_map(p, np.ones((2, 2)))):
            with pytest.raises(StereoError) as caught:
                act(target)
            assert caught.value.code == "unwritable"
    assert path.read_bytes() == b"kept" and stat.S_ISFIFO((tmp_path / "pipe.npy").stat().st_mode)


def test_trying_leaves_no_trace(tmp_path):
    (tmp_path / "old").write_text("old")
    try_writing(tmp_path / "old")
    try_writing(tmp_path / "a" / "b" / "new")
    assert [p.name for p in tmp_path.iterdir()] == ["old"] and (tmp_path / "old").read_text() == "old"


def test_files_together_appear_at_the_end(tmp_path):
    with together():
        for name in ("a.npy", "b/c.npy"):
            write_map(tmp_path / name, np.ones((1, 1)))
        assert not (tmp_path / "a.npy").exists() and not (tmp_path / "b" / "c.npy").exists()
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == ["a.npy", "b", "b/c.npy"]
    write_map(tmp_path / "d.npy", np.ones((1, 1)))  # afterwards again at once
    assert (tmp_path / "d.npy").exists()


def test_files_together_or_none(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"old")
    with pytest.raises(KeyError), together():
        write_map(tmp_path / "a.npy", np.ones((1, 1)))
        write_map(tmp_path / "b" / "c.npy", np.ones((1, 1)))
        raise KeyError("later stage")
    assert [p.name for p in tmp_path.iterdir()] == ["a.npy"] and (tmp_path / "a.npy").read_bytes() == b"old"
