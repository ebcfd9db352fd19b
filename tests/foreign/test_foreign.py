"""Files made to hang a reader, to fill the memory or to reach another file are refused at once, by name."""

import io
import json
import os
import socket
import struct
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from stereo3d import read_photo, read_rig
from stereo3d.errors import StereoError
from stereo3d.evaluation.disparity import read_scene
from stereo3d.evaluation.pose import read_truth_camera
from stereo3d.foreign import child, pictures
from stereo3d.io import read_map, read_mesh, read_textured_mesh

pillow_heif.register_heif_opener()
SECONDS = 10  # a refusal takes a hundredth of it on a free machine


@pytest.fixture
def refused():
    """A function that calls a reader, and returns the error that it raises soon."""

    def call(read, path, code: str, word: str = "") -> StereoError:
        start = time.perf_counter()
        with pytest.raises(StereoError) as caught:
            read(path)
        assert time.perf_counter() - start < SECONDS
        assert caught.value.code == code and word in caught.value.message, caught.value
        assert str(path) in caught.value.message and caught.value.advice
        return caught.value

    return call


# ------------------------------------------------------------------------------------------------ no plain files

READERS = {
    "photo.jpg": (read_photo, "photo_unreadable"),
    "calibration.txt": (read_rig, "bad_calibration"),
    "map.pfm": (read_map, "file_unreadable"),
    "map.npz": (read_map, "file_unreadable"),
    "map.png": (read_map, "file_unreadable"),
    "mesh.obj": (read_mesh, "file_unreadable"),
    "mesh.glb": (read_mesh, "file_unreadable"),
    "cameras.json": (lambda path: read_truth_camera(path, "left"), "file_unreadable"),
}


def special(kind: str, path: Path) -> None:
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        server = socket.socket(socket.AF_UNIX)
        here = os.getcwd()
        os.chdir(path.parent)  # the name of a socket has at most 100 bytes
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)
        server.close()
    elif kind == "a folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")
@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a folder", "a device"])
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_is_not_opened(tmp_path, refused, name, kind):
    read, code = READERS[name]
    special(kind, tmp_path / name)
    if kind == "a folder" and name == "calibration.txt":
        refused(read, tmp_path / name, code, "cameras.txt")  # a folder may hold a calibration
    else:
        refused(read, tmp_path / name, code, kind)


def test_a_link_to_a_file_is_followed(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((3, 4), np.float32))
    (tmp_path / "b.npy").symlink_to(tmp_path / "a.npy")
    assert read_map(tmp_path / "b.npy").shape == (3, 4)


def test_a_file_that_grows_is_read_as_it_was(tmp_path):
    from stereo3d.foreign import open_file, read_file

    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert read_file(path, 3) == b"abc"
    with pytest.raises(StereoError, match="3 bytes, more than the 2"):
        read_file(path, 2)
    with open_file(path) as file:
        assert file.read() == b"abc"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")
@pytest.mark.parametrize("material", ["pipe", "device"])
def test_a_mesh_whose_companions_are_no_files_keeps_its_shape(tmp_path, material, caplog):
    os.mkfifo(tmp_path / "pipe.mtl")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "device.mtl").write_text("newmtl a\nmap_Kd pipe.png\nnewmtl b\nmap_Kd /dev/zero\n")
    (tmp_path / "m.obj").write_text(OBJ.replace("m.mtl", f"{material}.mtl") + "usemtl b\nf 1/1 3/3 2/2\n")
    parts, _ = read_textured_mesh(tmp_path / "m.obj")
    assert sum(len(part.mesh.faces) for part in parts) == 2 and all(part.mesh.texture is None for part in parts)


OBJ = "mtllib m.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl a\nf 1/1 2/2 3/3\n"


@pytest.mark.parametrize("name", ["../secret.png", "{outside}/secret.png", "sub/../../secret.png"])
def test_a_mesh_shows_no_picture_from_outside_its_folder(tmp_path, name):
    folder = tmp_path / "mesh"
    (folder / "sub").mkdir(parents=True)
    Image.new("RGB", (4, 4), (255, 0, 0)).save(tmp_path / "secret.png")
    (folder / "m.obj").write_text(OBJ)
    (folder / "m.mtl").write_text("newmtl a\nmap_Kd " + name.format(outside=tmp_path) + "\n")
    ((part,), _) = read_textured_mesh(folder / "m.obj")
    assert part.mesh.texture is None
    Image.new("RGB", (4, 4), (0, 255, 0)).save(folder / "secret.png")  # the file of that name in the folder is shown
    ((part,), _) = read_textured_mesh(folder / "m.obj")
    assert part.mesh.texture[0, 0].tolist() == [0, 255, 0]


# ------------------------------------------------------------------------------------------------ photos


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *more: bytes, depth: int = 8, colour: int = 2) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


def encoded(form: str, size=(64, 48), **options) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, form, **options)
    return buffer.getvalue()


def tiff_with(tags: list[tuple[int, int, int, int]]) -> bytes:
    return (
        b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *t) for t in tags) + bytes(4)
    )


def jpeg_with_exif(tags: int, size: int) -> bytes:
    block = b"Exif\0\0" + tiff_with([(0x9000 + k, 2, size, 8) for k in range(tags)])
    return b"\xff\xd8\xff\xe1" + struct.pack(">H", len(block) + 2) + block + encoded("JPEG")[2:]


def jpeg_of_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    data = encoded("JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + (data[last:-2]) * count + b"\xff\xd9"


EXCESS = {
    "scans.jpg": (jpeg_of_scans(60), "32 scans"),
    "segments.jpg": (b"\xff\xd8" + b"\xff\xe5\0\x02" * 20_000 + encoded("JPEG")[2:], "segments"),
    "exif.jpg": (jpeg_with_exif(3000, 30_000), "tags of"),
    "chunks.png": (png(64, 64, chunk(b"teSt", b"") * 9000), "chunks"),
    "comments.gif": (encoded("GIF")[:13] + bytes(768) + b"!\xfe" + b"\x01a" * 60_000 + b"\0;", "blocks"),
    "tags.tif": (tiff_with([(k, 7, 60_000, 0) for k in range(4000)]) + bytes(30_000), "tags of"),
    "strips.tif": (tiff_with([(256, 4, 1, 64), (257, 4, 1, 64), (273, 4, 500_000, 8)]), "strips"),
    "tiles.tif": (tiff_with([(256, 4, 1, 64), (257, 4, 1, 64), (322, 4, 1, 60_000), (323, 4, 1, 60_000)]), "tiles of"),
}


@pytest.mark.parametrize("name", EXCESS)
def test_a_structure_that_no_camera_writes_is_named(tmp_path, refused, name):
    data, word = EXCESS[name]
    (tmp_path / name).write_bytes(data)
    refused(read_photo, tmp_path / name, "photo_unreadable", word)


def test_the_scans_of_usual_encoders_pass(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg_of_scans(8))
    assert read_photo(tmp_path / "a.jpg").size == (64, 48)


def test_looping_directories_of_exif_end(tmp_path):
    loop = tiff_with([(0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0xA005, 4, 1, 8)])
    block = b"Exif\0\0" + loop
    data = b"\xff\xd8\xff\xe1" + struct.pack(">H", len(block) + 2) + block + encoded("JPEG")[2:]
    (tmp_path / "a.jpg").write_bytes(data)
    assert read_photo(tmp_path / "a.jpg").size == (64, 48)


def test_tags_in_a_png_that_fill_the_memory_are_left_out(tmp_path):
    block = tiff_with([(0x010F, 2, 6, 40), *((0x9000 + k, 2, 30_000, 8) for k in range(3000))])
    buffer = encoded("PNG")
    (tmp_path / "a.png").write_bytes(buffer[:33] + chunk(b"eXIf", block) + buffer[33:])
    photo = read_photo(tmp_path / "a.png")
    assert photo.size == (64, 48) and "make" not in photo.exif


def test_a_large_empty_picture_is_read_on_request_alone(tmp_path, refused):
    path = tmp_path / "a.png"
    path.write_bytes(png(8000, 8000))
    error = refused(read_photo, path, "photo_too_large", "px a byte")
    assert "--max-pixels 64000000" in error.advice
    refused(lambda p: read_photo(p, max_pixels=64_000_000), path, "photo_unreadable", "truncated")
    refused(lambda p: read_photo(p, max_pixels=63_999_999), path, "photo_too_large", "the limit is 64 Mpx")


def test_memory_is_predicted_before_it_is_taken(tmp_path, refused, monkeypatch):
    path = tmp_path / "a.jpg"
    path.write_bytes(png(5000, 5000))
    monkeypatch.setattr(pictures, "available_memory", lambda: 200_000_000)
    error = refused(read_photo, path, "memory", "0.26 GiB of memory")
    assert error.numbers == {"needed": 275_000_000, "available": 200_000_000}


@pytest.mark.parametrize("size", [(64, 48), (700, 3000)])
@pytest.mark.parametrize("kind", ["float", "int", "short", "12 bits"])
def test_wide_pictures_in_strips_are_as_in_one(tmp_path, size, kind):
    value = np.random.default_rng(1).random((size[1], size[0]))
    stored = {
        "float": (value * 1.7).astype(np.float32),
        "int": (value * 300).astype(np.int32),
        "short": (value * 65535).astype(np.uint16),
        "12 bits": (value * 4095).astype(np.uint16),
    }[kind]
    stored[-1, -1] = {"float": 1.7, "int": 300, "short": 65535, "12 bits": 4095}[
        kind
    ]  # the white lies in the last strip
    Image.fromarray(stored).save(tmp_path / "a.tif")
    shown = read_photo(tmp_path / "a.tif").pixels
    white = {"float": 255.0, "int": 65535.0}.get(kind)
    grey = np.rint(stored / white * 255) if white else stored >> (8 if kind == "short" else 4)
    assert np.array_equal(shown, np.repeat(grey.astype(np.uint8)[..., None], 3, 2))


@pytest.mark.parametrize("form", ["HEIF", "AVIF"])
@pytest.mark.parametrize(
    "program, word",
    [
        ("import os; os.abort()", "crashed"),
        ("import resource, signal, os; os.kill(os.getpid(), signal.SIGXCPU)", "too long"),
        ("import time; time.sleep(60)", "in time"),
        ("", "gave up"),
        ('print(\'{"error": "its tiles overlap"}\')', "its tiles overlap"),
    ],
)
def test_a_decoder_that_fails_is_a_photo_that_cannot_be_read(tmp_path, refused, monkeypatch, form, program, word):
    path = tmp_path / "a.heic"
    path.write_bytes(encoded(form))
    assert read_photo(path).size == (64, 48)
    (tmp_path / "decoder.py").write_text(program)
    monkeypatch.setattr(child, "DECODER", tmp_path / "decoder.py")
    monkeypatch.setattr(child, "HEADER_SECONDS", 1.5 if "sleep" in program else 20.0)
    refused(read_photo, path, "photo_unreadable", word)


def test_the_decoder_has_limits(tmp_path, refused):
    """Its process may neither write files nor take the memory of the machine."""
    resource = pytest.importorskip("resource")
    from stereo3d.foreign import decoder

    pid = os.fork()
    if pid == 0:  # limits are for ever: in a process of its own
        decoder.limit(1000)
        soft = resource.getrlimit(resource.RLIMIT_AS)[0]
        fine = resource.getrlimit(resource.RLIMIT_FSIZE)[0] == 0 and resource.getrlimit(resource.RLIMIT_CPU)[0] < 3600
        os._exit(0 if fine and soft != resource.RLIM_INFINITY else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


BEGINNINGS = {
    "a.jpg": (encoded("JPEG")[:-2], read_photo, "photo_unreadable"),
    "a.webp": (encoded("WEBP"), read_photo, "photo_unreadable"),
    "a.heic": (encoded("HEIF"), read_photo, "photo_unreadable"),
    "a.gif": (encoded("GIF")[:780] + b"!\xfe", read_photo, "photo_unreadable"),
    "map.tif": (encoded("TIFF"), read_map, "file_unreadable"),
    "map.png": (encoded("PNG")[:-12], read_map, "file_unreadable"),
    "a.obj": (b"v 0 0 0\n", read_mesh, "memory"),
    "a.ply": (b"ply\nformat ascii 1.0\nend_header\n", read_mesh, "memory"),
    "a.glb": (b"glTF", read_mesh, "memory"),
    "a.txt": (b"P0:", read_rig, "bad_calibration"),
    "a.json": (b"{}", lambda path: read_truth_camera(path, "left"), "file_unreadable"),
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_a_file_of_a_terabyte_is_not_taken_into_memory(tmp_path, refused, name):
    """A good beginning, and zeros that take no room on the disk."""
    data, read, code = BEGINNINGS[name]
    (tmp_path / name).write_bytes(data)
    os.truncate(tmp_path / name, 2**40)
    refused(read, tmp_path / name, code)


def test_zeros_behind_a_picture_are_not_read(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    os.truncate(tmp_path / "a.png", 2**40)
    assert read_photo(tmp_path / "a.png").size == (64, 48)


# ------------------------------------------------------------------------------------------------ maps


def npy_header(shape: tuple, dtype: str = "<f4") -> bytes:
    text = str({"descr": dtype, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text


def npz(data: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("arr_0.npy", data)
    return buffer.getvalue()


def npz_bomb() -> bytes:
    """100 million zeros in 0.4 MB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("arr_0.npy", "w") as file:
        file.write(npy_header((10_000, 10_000)))
        for _ in range(400):
            file.write(bytes(1_000_000))
    return buffer.getvalue()


MAPS = {
    "header.npy": (npy_header((10**6, 10**6)) + bytes(100), "file_unreadable", "truncated"),
    "negative.npy": (npy_header((-1, 5)) + bytes(100), "file_unreadable", "shape (-1, 5)"),
    "object.npy": (npy_header((2, 2), "|O") + b"cos\nsystem\n", "file_unreadable", "object"),
    "header.npz": (npz(npy_header((10**5, 10**5)) + bytes(100)), "file_unreadable", "truncated"),
    "lzma.npz": (npz(npy_header((2, 2)) + bytes(16), zipfile.ZIP_LZMA), "file_unreadable", "compressed"),
    "bomb.npz": (npz_bomb(), "photo_too_large", "px a byte"),
    "header.pfm": (b"Pf\n999999999 999999999\n-1\n" + bytes(99), "file_unreadable", "truncated"),
    "digits.pfm": (b"Pf\n" + b"9" * 10_000 + b" 1\n-1\n", "file_unreadable", "no PFM header"),
    "header.png": (png(32, 24, depth=127, colour=255), "file_unreadable", "127 bits"),
    "size.png": (png(60_000, 3000, depth=16, colour=0), "photo_too_large", "px a byte"),
    "huge.png": (png(2**31 - 1, 2**31 - 1, depth=16, colour=0), "photo_too_large", "limit is 220 Mpx"),
    "size.tif": (tiff_with([(256, 4, 1, 2**31), (257, 4, 1, 2**31)]), "photo_too_large", "limit is 220 Mpx"),
    "tags.tif": (EXCESS["tags.tif"][0], "file_unreadable", "tags of"),
}


@pytest.mark.parametrize("name", MAPS)
def test_maps_that_state_more_than_they_hold(tmp_path, refused, name):
    data, code, word = MAPS[name]
    (tmp_path / name).write_bytes(data)
    assert len(data) < 1_000_000
    refused(read_map, tmp_path / name, code, word)


def test_a_zip_with_a_long_list_is_not_listed(tmp_path, refused):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for k in range(1500):
            archive.writestr(f"{k}.npy", b"")
    refused(read_map, tmp_path / "a.npz", "file_unreadable", "1000 arrays")


# ------------------------------------------------------------------------------------------------ meshes


def glb(**changes) -> bytes:
    """A triangle; changes: entries at the top of its JSON."""
    data = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes() + np.arange(3, dtype="<u4").tobytes()
    tree = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "buffers": [{"byteLength": len(data)}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}, {"buffer": 0, "byteOffset": 36, "byteLength": 12}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5125, "count": 3, "type": "SCALAR"},
        ],
        **changes,
    }
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    size = 28 + len(text) + len(data)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data
    return struct.pack("<4sII", b"glTF", 2, size) + chunks


def accessor(**changes) -> list[dict]:
    position = {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3", **changes}
    return [position, {"bufferView": 1, "componentType": 5125, "count": 3, "type": "SCALAR"}]


TREE = [*({"children": [k + 1, k + 1]} for k in range(26)), {"mesh": 0}]
MANY = [{"children": list(range(1, 3000))}, *({"mesh": 0} for _ in range(2999))]
GLBS = {
    "two parents": (glb(nodes=TREE), "two parents"),
    "a loop": (glb(nodes=[{"children": [1]}, {"children": [0], "mesh": 0}]), "two parents"),
    "one mesh, shown often": (glb(nodes=MANY), "2000 primitives"),
    "beyond its bytes": (glb(accessors=accessor(count=4)), "beyond its 36 bytes"),
    "a huge count": (glb(accessors=accessor(count=2**39)), "primitives or"),
    "an offset": (glb(accessors=accessor(byteOffset=4)), "beyond its 36 bytes"),
    "no type": (glb(accessors=accessor(type="VEC9")), "type VEC9"),
    "no view": (glb(accessors=[{"componentType": 5126, "count": 3, "type": "VEC3"}] * 2), "compressed or sparse"),
    "another file": (glb(buffers=[{"byteLength": 48, "uri": "/etc/passwd"}]), "in another file"),
    "text for a list": (glb(nodes="abc"), "no list"),
    "deep": (glb(extras=json.loads("[" * 900 + "]" * 900)), ""),
    "a node that is none": (glb(scenes=[{"nodes": [7]}]), "no entry 7"),
    "a number as a node": (glb(nodes=[1e300]), "no object"),
}


@pytest.mark.parametrize("name", GLBS)
def test_gltf_beyond_its_bounds(tmp_path, refused, name):
    data, word = GLBS[name]
    (tmp_path / "a.glb").write_bytes(data)
    if name == "deep":
        assert len(read_mesh(tmp_path / "a.glb").faces) == 1
    elif name == "a huge count":
        changed = glb(
            accessors=[accessor()[0], {"bufferView": 1, "componentType": 5125, "count": 2**39, "type": "SCALAR"}]
        )
        (tmp_path / "a.glb").write_bytes(changed)
        refused(read_mesh, tmp_path / "a.glb", "file_unreadable", "triangles")
    else:
        refused(read_mesh, tmp_path / "a.glb", "file_unreadable", word)


def test_gltf_by_hand(tmp_path):
    """Matrices, quaternions and scales of nested nodes; corners without indices; strips and fans."""
    half = np.sqrt(0.5)
    nodes = [
        {"children": [1], "translation": [0, 0, -5]},
        {"mesh": 0, "rotation": [0, 0, half, half], "scale": [2, 3, 1]},  # a quarter turn about z
    ]
    (tmp_path / "a.glb").write_bytes(glb(nodes=nodes))
    # (1, 0, 0) -> (2, 0, 0) -> (0, 2, 0) -> (0, 2, -5) -> camera (0, -2, 5)
    assert np.allclose(read_mesh(tmp_path / "a.glb").vertices, [[0, 0, 5], [0, -2, 5], [-3, 0, 5]])
    matrix = [0, 2, 0, 0, -3, 0, 0, 0, 0, 0, 1, 0, 0, 0, -5, 1]  # by columns
    (tmp_path / "a.glb").write_bytes(glb(nodes=[{"mesh": 0, "matrix": matrix}]))
    assert np.allclose(read_mesh(tmp_path / "a.glb").vertices, [[0, 0, 5], [0, -2, 5], [-3, 0, 5]])
    for mode in (4, 5, 6):
        (tmp_path / "a.glb").write_bytes(glb(meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "mode": mode}]}]))
        assert read_mesh(tmp_path / "a.glb").faces.tolist() == [[0, 1, 2]]


PLY = "ply\nformat binary_little_endian 1.0\nelement vertex {}\nproperty float x\nproperty float y\nproperty float z\n"
PLYS = {
    "vertices": PLY.format(4_000_000_000) + "end_header\n",
    "faces": PLY.format(0) + "element face 900000000\nproperty list uchar int vertex_indices\nend_header\n",
    "negative": PLY.format(-1) + "end_header\n",
    "ascii": PLY.format(10**15).replace("binary_little_endian", "ascii") + "end_header\n0 0 0\n",
    "properties": PLY.format(1) + "property float a\n" * 500 + "end_header\n",
    "no end": PLY.format(1),
}


@pytest.mark.parametrize("name", PLYS)
def test_ply_headers_that_state_more_than_the_file(tmp_path, refused, name):
    (tmp_path / "a.ply").write_text(PLYS[name])
    refused(read_mesh, tmp_path / "a.ply", "file_unreadable", "header" if name in ("no end", "properties") else "")


def test_many_materials_take_no_square_of_time(tmp_path, refused):
    lines = [f"usemtl m{k}\nf 1 2 3\n" for k in range(30_000)]
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n" + "".join(lines))
    refused(read_mesh, tmp_path / "a.obj", "file_unreadable", "30001 materials, 2000 at most")
    (tmp_path / "b.obj").write_text(
        "v 0 0 0\nv 1 0 0\nv 0 1 0\n" + "".join(f"usemtl m{k % 1500}\nf 1 2 3\n" for k in range(30_000))
    )
    start = time.perf_counter()
    parts, _ = read_textured_mesh(tmp_path / "b.obj")
    assert len(parts) == 1500 and time.perf_counter() - start < SECONDS


# ------------------------------------------------------------------------------------------------ JSON

ODD = ["text", None, 5, -1, 0, [], [[1]], {}, True, "nan", float("nan"), 10**400, "0x10"]


@pytest.mark.parametrize("key", ["left", "right", "disp_left", "disp_right", "nonocc", "calib", "scale", "unknown"])
@pytest.mark.parametrize("value", ODD, ids=[str(value)[:6] for value in ODD])
def test_a_scene_with_an_odd_entry_is_read_or_refused(tmp_path, key, value):
    Image.new("RGB", (6, 5), (255, 255, 255)).save(tmp_path / "l.png")
    (tmp_path / "d.pfm").write_bytes(b"Pf\n6 5\n-1\n" + np.ones(30, "<f4").tobytes())
    facts = {"left": "l.png", "right": "l.png", "disp_left": "d.pfm", key: value}
    (tmp_path / "pair.json").write_text(json.dumps(facts))
    try:
        scene = read_scene(tmp_path)
    except StereoError as error:
        assert error.code in ("file_unreadable", "file_missing", "unknown_format")
    else:
        assert scene.truth.shape == (5, 6)


@pytest.mark.parametrize("key", ["K", "R", "t", "size", "dist"])
@pytest.mark.parametrize("value", ODD, ids=[str(value)[:6] for value in ODD])
def test_a_truth_camera_with_an_odd_entry_is_read_or_refused(tmp_path, key, value):
    entry = {"K": [[9, 0, 3], [0, 9, 2], [0, 0, 1]], "size": [6, 5], key: value}
    (tmp_path / "cameras.json").write_text(json.dumps({"left": entry}))
    try:
        read_truth_camera(tmp_path / "cameras.json", "left")
    except StereoError as error:
        assert error.code in ("file_unreadable", "bad_calibration")
