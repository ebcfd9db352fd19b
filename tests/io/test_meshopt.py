"""GLB files compressed by meshopt: the document by the letter of the extension, the numbers within the stated bound."""

import json
import struct
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import KDTree

from stereo3d.errors import StereoError
from stereo3d.io import read_mesh, read_textured_mesh, write_mesh
from stereo3d.records import Mesh, TexturedPart

meshopt = pytest.importorskip("meshopt")
NAME = "EXT_meshopt_compression"


def sheet(n=60):
    """A wavy sheet before the camera, with a vertex that no face uses."""
    u, v = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n))
    X = np.stack([4 * u - 2, 3 * v - 1.5, 5 + np.sin(5 * u) * np.cos(3 * v)], -1).reshape(-1, 3)
    X += np.random.default_rng(0).normal(size=X.shape) * 1e-3
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = i[:-1, :-1].ravel(), i[1:, :-1].ravel(), i[1:, 1:].ravel(), i[:-1, 1:].ravel()
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])[:-40].astype(np.int32)
    x, y = np.meshgrid(np.arange(32), np.arange(24))
    texture = np.stack([8 * x, 10 * y, 255 - 4 * x - 4 * y], -1).astype(np.uint8)
    return Mesh(X, faces, np.stack([u.ravel(), 1 - v.ravel()], -1), texture)


def two_photos():
    mesh = sheet()
    half = np.arange(len(mesh.faces)) > len(mesh.faces) // 2
    part = TexturedPart(half, mesh.uv[:, ::-1].copy(), mesh.texture[::-1].copy())
    return replace(mesh, overlays=(part,))


def true_vertex(X, truth):
    """The true vertex that each position is: the nearest one, a thousand times nearer than any other."""
    return KDTree(truth).query(X)[1]


def as_set(faces):
    """Triangles in the sense of their corners, whichever corner and whichever triangle is first."""
    first = faces.argmin(1)[:, None]
    return sorted(map(tuple, np.take_along_axis(faces, (first + [0, 1, 2]) % 3, 1).tolist()))


def chunks(path):
    data = path.read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[20 : 20 + length]), data[28 + length :]


def numbers(accessor, tree, body):
    """(N, k) of an accessor, its view unpacked by the library where it is packed, by the letter of the extension."""
    view = tree["bufferViews"][accessor["bufferView"]]
    columns = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}[accessor["type"]]
    kind = {5125: "<u4", 5126: "<f4"}[accessor["componentType"]]
    if "extensions" not in view:
        return np.frombuffer(body, kind, accessor["count"] * columns, view["byteOffset"]).reshape(-1, columns)
    packed = view["extensions"][NAME]
    assert view["buffer"] == 1 and view["byteLength"] == packed["count"] * packed["byteStride"]
    assert packed["byteStride"] == 4 * columns and packed["count"] == accessor["count"] and packed["buffer"] == 0
    stored = body[packed["byteOffset"] : packed["byteOffset"] + packed["byteLength"]]
    how = packed["mode"], packed.get("filter")
    raw = meshopt.decode_gltf_buffer(stored, packed["count"], packed["byteStride"], *how)
    return np.frombuffer(np.ascontiguousarray(raw).tobytes(), kind).reshape(-1, columns)


@pytest.mark.parametrize("lit", [False, True])
@pytest.mark.parametrize("make", [sheet, two_photos])
def test_the_numbers_come_back(tmp_path, make, lit):
    """By the library alone, from what the document says; each within the bound of its bits."""
    mesh = make()
    style = {"unit": "m", "lit": lit, "texture": "png"}
    path, plain = (write_mesh(tmp_path / f"{k}.glb", mesh, **style, meshopt=k == 0)[0] for k in (0, 1))
    (tree, body), (usual, rest) = chunks(path), chunks(plain)
    assert tree["extensionsRequired"] == [NAME] and NAME in tree["extensionsUsed"]
    assert tree["buffers"][1].pop("byteLength") > 0 and tree["buffers"][1] == {"extensions": {NAME: {"fallback": True}}}
    primitives = [document["meshes"][0]["primitives"] for document in (tree, usual)]
    for got, want in zip(*primitives, strict=True):
        assert got["attributes"].keys() == want["attributes"].keys()
        assert got["attributes"].keys() == {"POSITION", "TEXCOORD_0"} | ({"NORMAL"} if lit else set())
        read = {name: numbers(tree["accessors"][k], tree, body) for name, k in got["attributes"].items()}
        true = {name: numbers(usual["accessors"][k], usual, rest) for name, k in want["attributes"].items()}
        bounds = tree["accessors"][got["attributes"]["POSITION"]]
        assert np.array_equal(bounds["min"], read["POSITION"].min(0))
        assert np.array_equal(bounds["max"], read["POSITION"].max(0))
        same = true_vertex(read["POSITION"], true["POSITION"])
        for name, bits, top in (("POSITION", 18, 8), ("TEXCOORD_0", 16, 2), ("NORMAL", 12, 2)):
            if name in read:
                assert np.abs(read[name] - true[name][same]).max() <= top * 2.0**-bits * 1.001
        faces = numbers(tree["accessors"][got["indices"]], tree, body).reshape(-1, 3)
        assert as_set(same[faces]) == as_set(numbers(usual["accessors"][want["indices"]], usual, rest).reshape(-1, 3))
    assert path.stat().st_size < 0.6 * plain.stat().st_size


def test_our_reader(tmp_path):
    mesh = sheet()
    path = write_mesh(tmp_path / "m.glb", mesh, unit="m", texture="png", meshopt=True)[0]
    read = read_mesh(path)
    same = true_vertex(read.vertices, mesh.vertices)
    assert as_set(same[read.faces]) == as_set(mesh.faces)
    assert np.abs(read.vertices - mesh.vertices[same]).max() < 8 * 2.0**-18 * 1.1
    assert np.abs(read.uv - mesh.uv[same]).max() < 2.0**-15 * 1.1
    [part], unit = read_textured_mesh(path)
    assert unit == "m" and np.array_equal(part.mesh.texture, mesh.texture)


DAMAGE = [
    (b'"byteStride": 12', b'"byteStride": 13'),
    (b'"byteStride": 12', b'"byteStride": 16'),
    (b"EXPONENTIAL", b"EXPONENTIAI"),
    (b'"mode": "TRIANGLES"', b'"mode": "TRIANGLEX"'),
    (b'"mode": "TRIANGLES"', b'"mode": "ATTRIBUT"'),
]


def test_what_is_damaged_or_missing_is_a_message(tmp_path, monkeypatch):
    data = write_mesh(tmp_path / "m.glb", sheet(), meshopt=True)[0].read_bytes()
    for old, new in DAMAGE:
        assert old in data
        (tmp_path / "bad.glb").write_bytes(data.replace(old, new))
        with pytest.raises(StereoError) as caught:
            read_mesh(tmp_path / "bad.glb")
        assert caught.value.code == "file_unreadable", old
    with pytest.raises(StereoError, match="only a .glb"):
        write_mesh(tmp_path / "m.obj", sheet(), meshopt=True)
    monkeypatch.setitem(sys.modules, "meshopt", None)
    for call in (lambda: read_mesh(tmp_path / "m.glb"), lambda: write_mesh(tmp_path / "n.glb", sheet(), meshopt=True)):
        with pytest.raises(StereoError, match=r"pip install 'stereo3d\[meshopt\]'") as caught:
            call()
        assert caught.value.code == "library_missing"
    assert not (tmp_path / "n.glb").exists()
