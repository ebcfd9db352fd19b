"""What is written is read back: by strict parsers of the formats here, by trimesh and by Open3D."""

import json
import os
import re
import struct
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from examples import tries
from hypothesis import given, settings
from hypothesis import strategies as st

from stereo3d.errors import StereoError
from stereo3d.geometry import scale_K
from stereo3d.io import (
    WRITERS,
    colourise,
    companions,
    number_lines,
    read_mesh,
    read_textured_mesh,
    style,
    write_disparity_png,
    write_mesh,
    write_picture,
    write_points,
)
from stereo3d.io.style import AXES
from stereo3d.mesh import build_mesh, texture_mesh
from stereo3d.mesh.preview import render
from stereo3d.records import Mesh, TexturedPart
from stereo3d.synthetic import renderer

FLIP = np.array([1, -1, -1])
NAMES = ["out", "my scene", "modèle", "写真", "a#b", "-x", "two.dots", "x" * 120]


def sheet(n=12, seed=0):
    """A wavy sheet before the camera with a smooth texture, coordinates of very different size among them."""
    rng = np.random.default_rng(seed)
    u, v = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n))
    X = np.stack([4 * u - 2, 3 * v - 1.5, 5 + np.sin(5 * u) * np.cos(3 * v)], -1).reshape(-1, 3)
    X += rng.normal(size=X.shape) * 1e-3
    X[5, 0] = 1.23456789e-7
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = i[:-1, :-1].ravel(), i[1:, :-1].ravel(), i[1:, 1:].ravel(), i[:-1, 1:].ravel()
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).astype(np.int32)
    x, y = np.meshgrid(np.arange(64), np.arange(48))
    texture = np.stack([4 * x, 5 * y, 255 - 2 * x - 2 * y], -1).astype(np.uint8)
    return Mesh(X, faces, np.stack([u.ravel(), 1 - v.ravel()], -1), texture, rng.random(n * n))


def two_photos(n=12):
    """`sheet` with the right half of its faces showing a second photo, and three vertices that were not measured."""
    mesh = sheet(n)
    second = mesh.vertices[mesh.faces, 0].mean(1) > 0.3
    x, y = np.meshgrid(np.arange(40), np.arange(50))
    other = np.stack([255 - 3 * x - 2 * y, 2 * x + 2 * y, 5 * y], -1).astype(np.uint8)
    sigma = mesh.sigma.copy()
    sigma[[3, 40, 77]] = np.nan
    return replace(mesh, sigma=sigma, overlays=(TexturedPart(second, mesh.uv[:, ::-1] * 0.9 + 0.05, other),))


def parse_obj(path):
    """v, vt, f, statements of an OBJ of one material; a line that this writer does not promise fails."""
    v, vt, groups, statements = parse_obj_groups(path)
    assert len(groups) == 1
    ((material, f),) = groups.items()
    if material:
        statements["usemtl"] = material
    return v, vt, f, statements


def parse_obj_groups(path):
    """v (V,3), vt (T,2), {material: f (M,3,3) counted from 0, -1 for none}, statements of the header and vn (V,3)."""
    v, vt, groups, statements, f = [], [], {}, {}, None
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        key, *rest = line.split(" ")
        if key == "v":
            v.append([float(x) for x in rest])
        elif key == "vt":
            vt.append([float(x) for x in rest])
        elif key == "vn":
            statements.setdefault("vn", []).append([float(x) for x in rest])
        elif key == "f":
            f = groups.setdefault("", []) if f is None else f
            f.append([[int(i or 0) for i in corner.split("/")] for corner in rest])
        elif key == "usemtl":
            f = groups.setdefault(rest[0], [])
            assert len(rest) == 1 and not f
        elif key == "#":
            statements.setdefault("#", []).append(" ".join(rest))
        else:
            assert key in ("mtllib", "o") and key not in statements and len(rest) == 1, line
            statements[key] = rest[0]
    groups = {material: np.array(f) - 1 for material, f in groups.items()}
    assert all(f.shape[1:] == (3, 3) and np.array_equal(f[..., 2], f[..., 0]) for f in groups.values())
    statements["vn"] = np.array(statements["vn"])
    return np.array(v), np.array(vt), groups, statements


def parse_mtl(path):
    """{newmtl: {key: value}} of the materials of a file, or {key: value} of its only one."""
    materials = []
    for line in path.read_text(encoding="ascii").splitlines():
        if line[0] != "#":
            key, value = line.split(" ", 1)
            if key == "newmtl":
                materials.append({})
            assert key not in materials[-1]
            materials[-1][key] = value
    return materials[0] if len(materials) == 1 else {m["newmtl"]: m for m in materials}


def picture(path):
    cv2 = pytest.importorskip("cv2")
    return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def with_replace(function):
    """`os` with another `replace` for one module alone: numba renames the files of its cache by os.replace too."""
    return SimpleNamespace(**{**vars(os), "replace": function})


def files_in(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", NAMES)
def test_obj_by_the_letter(tmp_path, name):
    trimesh = pytest.importorskip("trimesh")
    mesh = sheet()
    written = write_mesh(tmp_path / f"{name}.obj", mesh, unit="mm")
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in written} and len(written) == 3
    assert written[0] == tmp_path / f"{name}.obj"
    v, vt, f, statements = parse_obj(written[0])
    assert np.allclose(v, mesh.vertices * FLIP, rtol=1e-8, atol=0)
    assert np.allclose(vt, mesh.uv, rtol=1e-8, atol=0)
    assert np.array_equal(f[..., 0], mesh.faces) and np.array_equal(f[..., 1], mesh.faces)
    assert "unit: mm" in statements["#"]
    normals = trimesh.Trimesh(v, f[..., 0], process=False).face_normals
    cosine = np.einsum("fi,fci->fc", normals, statements["vn"][f[..., 2]])
    assert np.allclose(np.linalg.norm(statements["vn"], axis=1), 1, atol=1e-3) and cosine.min() > 0.8
    material = parse_mtl(tmp_path / statements["mtllib"])
    assert material["newmtl"] == statements["usemtl"] and material["Kd"] == "1 1 1"
    for other in (statements["mtllib"], material["map_Kd"]):
        assert other.isascii() and " " not in other and "/" not in other and other[0].isalnum()
    image = picture(tmp_path / material["map_Kd"])
    assert np.abs(image.astype(int) - mesh.texture).max() <= 8
    assert {statements["mtllib"], material["map_Kd"]} == {p.name for p in written[1:]}


def test_two_photos_in_an_obj_by_the_letter(tmp_path):
    mesh = two_photos()
    written = write_mesh(tmp_path / "a.obj", mesh, texture="png")
    assert [p.name for p in written] == ["a.obj", "a.mtl", "a_texture.png", "a_texture2.png"]
    v, vt, groups, statements = parse_obj_groups(written[0])
    materials = parse_mtl(tmp_path / statements["mtllib"])
    assert list(groups) == list(materials) and len(groups) == 2
    assert np.allclose(v, mesh.vertices * FLIP, rtol=1e-8, atol=0)
    second = mesh.overlays[0].faces
    for (name, f), which, part in zip(groups.items(), (~second, second), mesh.textured_parts(), strict=True):
        assert np.array_equal(f[..., 0], mesh.faces[which])
        assert np.allclose(vt[f[..., 1]], part.uv[mesh.faces[which]], rtol=1e-8, atol=0)
        assert np.array_equal(picture(tmp_path / materials[name]["map_Kd"]), part.texture)  # PNG loses nothing
    assert ((vt >= 0) & (vt <= 1)).all()
    assert np.array_equal(np.unique(np.concatenate([f[..., 1].ravel() for f in groups.values()])), np.arange(len(vt)))
    read = read_mesh(written[0])
    assert np.isnan(read.uv[read.faces]).all((1, 2)).sum() == second.sum()


@pytest.mark.parametrize("suffix", [".obj", ".glb"])
def test_two_photos_in_trimesh(tmp_path, suffix):
    trimesh = pytest.importorskip("trimesh")
    mesh = two_photos()
    path = write_mesh(tmp_path / f"a{suffix}", mesh)[0]
    parts = trimesh.load_scene(path, process=False).dump()
    parts = sorted(parts, key=lambda part: part.visual.material.name)
    assert [part.visual.material.name for part in parts] == ["photo", "photo2"]
    second = mesh.overlays[0].faces
    for part, which, ours in zip(parts, (~second, second), mesh.textured_parts(), strict=True):
        assert np.allclose(part.triangles, (mesh.vertices * FLIP)[mesh.faces[which]], rtol=1e-6, atol=1e-12)
        assert np.allclose(part.visual.uv[part.faces], ours.uv[mesh.faces[which]], atol=1e-6)
        material = part.visual.material
        got = material.baseColorTexture if suffix == ".glb" else material.image
        assert np.abs(np.asarray(got.convert("RGB")).astype(int) - ours.texture).max() <= 8


def test_two_photos_in_open3d(tmp_path):
    open3d = pytest.importorskip("open3d")
    mesh = two_photos()
    read = open3d.io.read_triangle_mesh(str(write_mesh(tmp_path / "a.obj", mesh)[0]), enable_post_processing=True)
    (second,) = mesh.overlays
    order = np.argsort(second.faces, kind="stable")
    corners = np.asarray(read.vertices)[np.asarray(read.triangles)]
    assert np.allclose(corners, (mesh.vertices * FLIP)[mesh.faces[order]], rtol=1e-6, atol=1e-12)
    uv = np.where(second.faces[:, None, None], second.uv[mesh.faces], mesh.uv[mesh.faces])[order]
    assert np.allclose(np.asarray(read.triangle_uvs).reshape(-1, 3, 2), uv, atol=1e-6)
    used = np.asarray(read.triangle_material_ids)
    pictures = [np.asarray(read.textures[k])[::-1, :, :3].astype(int) for k in (used[0], used[-1])]
    for got, image in zip(pictures, (mesh.texture, second.texture), strict=True):
        assert got.shape == image.shape and np.abs(got - image).max() <= 8


def test_stl_in_trimesh_and_open3d(tmp_path):
    trimesh, open3d = pytest.importorskip("trimesh"), pytest.importorskip("open3d")
    mesh = sheet()
    (path,) = write_mesh(tmp_path / "写真 1.stl", mesh, unit="solid gold feet")
    data = path.read_bytes()
    assert len(data) == 84 + 50 * len(mesh.faces) and not data.startswith(b"solid") and b"unit: solid" in data[:80]
    read = trimesh.load(path, process=False)
    assert np.allclose(read.triangles, (mesh.vertices * FLIP)[mesh.faces], rtol=1e-6, atol=1e-12)
    normals = np.frombuffer(data[84:], [("n", "<f4", 3), ("x", "<f4", 9), ("a", "<u2")])["n"]
    assert np.allclose(normals, read.face_normals, atol=1e-4) and (normals[:, 2] > 0).all()
    again = np.asarray(open3d.io.read_triangle_mesh(str(path)).triangles)
    assert len(again) == len(mesh.faces)
    assert np.allclose(read_mesh(path).vertices[read_mesh(path).faces], mesh.vertices[mesh.faces], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".stl"])
@pytest.mark.parametrize("axes", AXES)
def test_axes_that_are_asked_for(tmp_path, suffix, axes):
    """Right, up and towards the viewer of the photo are along the axes named, and the file states the rotation back."""
    trimesh = pytest.importorskip("trimesh")
    mesh = sheet()
    path = write_mesh(tmp_path / f"a{suffix}", mesh, axes=axes)[0]
    read = trimesh.load(path, process=False, force="mesh").triangles.reshape(-1, 3)
    right, down, ahead = mesh.vertices[mesh.faces].reshape(-1, 3).T
    expected = {"y-up": [right, -down, -ahead], "z-up": [right, ahead, -down], "camera": [right, down, ahead]}[axes]
    assert np.allclose(read, np.stack(expected, -1), rtol=1e-6, atol=1e-12)
    assert np.linalg.det(AXES[axes]) == pytest.approx(1)  # and nothing is mirrored
    if suffix != ".stl":
        back = read_mesh(path)
        assert np.allclose(back.vertices[back.faces], mesh.vertices[mesh.faces], rtol=1e-6, atol=1e-6)


@settings(deadline=None, max_examples=tries(40))
@given(st.floats(-180, 180), st.floats(-89.5, 89.5))
def test_gravity_sets_the_model_upright(tmp_path_factory, roll, pitch):
    """The camera rolled about its axis and looked up or down: in the file its up is up, and it looks along -z."""
    roll, pitch = np.radians([roll, pitch])
    # a level camera's down, right, ahead in the frame of a camera that was pitched up and then rolled
    pitched = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    rolled = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    camera_from_level = rolled @ pitched
    mesh = sheet()
    path = tmp_path_factory.mktemp("up") / "a.ply"
    write_mesh(path, Mesh(mesh.vertices @ camera_from_level.T, mesh.faces), down=3 * camera_from_level[:, 1])
    trimesh = pytest.importorskip("trimesh")
    read = np.asarray(trimesh.load(path, process=False).vertices)
    assert np.allclose(read[:, 1], -mesh.vertices[:, 1], atol=1e-5)  # heights are right whatever the heading
    if abs(pitch) < 1.1:
        assert np.allclose(read, mesh.vertices * FLIP, atol=1e-5)
    assert np.allclose(read_mesh(path).vertices, mesh.vertices @ camera_from_level.T, atol=1e-5)


def test_colours_of_a_ply_with_two_photos_and_what_was_filled(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    mesh = two_photos()
    read = trimesh.load(write_mesh(tmp_path / "a.ply", mesh)[0], process=False)
    raw = np.asarray(read.metadata["_ply_raw"]["vertex"]["data"]["sigma"]).ravel()
    assert np.array_equal(np.flatnonzero(np.isnan(raw)), [3, 40, 77])
    plain = read.visual.vertex_colors[:, :3]
    (second,) = mesh.overlays
    only_second = np.setdiff1d(mesh.faces[second.faces], mesh.faces[~second.faces])
    H, W = second.texture.shape[:2]
    at = second.texture[((1 - second.uv[:, 1]) * H).astype(int), (second.uv[:, 0] * W).astype(int)]
    assert np.array_equal(plain[only_second], at[only_second])
    marked = trimesh.load(write_mesh(tmp_path / "b.ply", mesh, mark_filled=True)[0], process=False)
    marked = marked.visual.vertex_colors[:, :3]
    changed = (marked != plain).any(1)
    assert np.array_equal(np.flatnonzero(changed), [3, 40, 77]) and (marked[changed] == [255, 0, 255]).all()


@pytest.mark.parametrize("name", NAMES)
def test_obj_in_trimesh(tmp_path, name):
    trimesh = pytest.importorskip("trimesh")
    mesh = sheet()
    write_mesh(tmp_path / f"{name}.obj", mesh)
    read = trimesh.load(tmp_path / f"{name}.obj", process=False, force="mesh", maintain_order=True)
    assert np.allclose(read.triangles, (mesh.vertices * FLIP)[mesh.faces], rtol=1e-7, atol=1e-15)
    assert np.allclose(read.visual.uv[read.faces], mesh.uv[mesh.faces], rtol=1e-7)
    image = np.asarray(read.visual.material.image.convert("RGB"))
    assert np.abs(image.astype(int) - mesh.texture).max() <= 8
    assert tuple(read.visual.material.diffuse[:3]) == (255, 255, 255)


@pytest.mark.parametrize("name", NAMES)
def test_obj_in_open3d(tmp_path, name):
    open3d = pytest.importorskip("open3d")
    mesh = sheet()
    write_mesh(tmp_path / f"{name}.obj", mesh)
    read = open3d.io.read_triangle_mesh(str(tmp_path / f"{name}.obj"), enable_post_processing=True)
    corners = np.asarray(read.vertices)[np.asarray(read.triangles)]
    assert np.allclose(corners, (mesh.vertices * FLIP)[mesh.faces], rtol=1e-6)  # Open3D reads OBJ as floats
    uv = np.asarray(read.triangle_uvs).reshape(-1, 3, 2)
    texture = np.asarray(read.textures[-1])[..., :3]
    assert texture.shape == mesh.texture.shape
    assert np.allclose(uv, mesh.uv[mesh.faces], atol=1e-6)
    # v runs up in the file; Open3D keeps it and turns the picture upside down instead, so that its row 0 is v = 0
    assert np.abs(texture[::-1].astype(int) - mesh.texture).max() <= 8


def test_two_models_in_one_folder_share_no_material(tmp_path):
    names = ["my scene", "my_scene", "my  scene", "scène", "scéne", "写真", "真写", "photo.v2", "photo v2"]
    made = [p.name for n in names for p in companions(tmp_path / f"{n}.obj")]
    assert len(set(made)) == len(made)
    # and the photo that the model was made from is not its texture's place
    assert "left.jpg" not in [p.name for p in companions("left.obj")]


@settings(deadline=None, max_examples=tries(50))
@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_any_name_has_companions_that_mtl_can_name(stem):
    path = Path(f"{stem}.obj")
    for other in companions(path):
        assert other.name.isascii() and not set(other.name) & set(" \t\n#\\\"'") and other.name[0] not in "-."


@settings(deadline=None, max_examples=tries(30))
@given(st.lists(st.tuples(*[st.floats(-1e9, 1e9)] * 3), min_size=3, max_size=30))
def test_obj_numbers_come_back(tmp_path_factory, rows):
    X = np.array(rows)
    mesh = Mesh(X, np.array([[0, 1, 2]], np.int32))
    path = tmp_path_factory.mktemp("obj") / "a.obj"
    assert write_mesh(path, mesh) == [path]
    v, vt, f, statements = parse_obj(path)
    assert np.allclose(v, X * FLIP, rtol=1e-7, atol=0) and len(vt) == 0 and "mtllib" not in statements
    assert np.array_equal(f[..., 0], mesh.faces)


def test_obj_in_more_than_one_chunk(tmp_path, monkeypatch):
    mesh = sheet(20)
    write_mesh(tmp_path / "a.obj", mesh)
    monkeypatch.setattr("stereo3d.io.number_lines.CHUNK_ROWS", 7)
    write_mesh(tmp_path / "b.obj", mesh, name="a")
    one, two = ((tmp_path / n).read_text().replace("b.mtl", "a.mtl") for n in ("a.obj", "b.obj"))
    assert one == two


def test_ply_in_trimesh_and_open3d(tmp_path):
    trimesh, open3d = pytest.importorskip("trimesh"), pytest.importorskip("open3d")
    mesh = sheet()
    (path,) = write_mesh(tmp_path / "modèle 1.ply", mesh, unit="m")
    header = path.read_bytes().split(b"end_header")[0].decode()
    assert "binary_little_endian" in header and "comment unit: m\n" in header and "float sigma" in header
    read = trimesh.load(path, process=False)
    assert np.allclose(read.vertices, mesh.vertices * FLIP, rtol=1e-7)
    assert np.array_equal(read.faces, mesh.faces)
    H, W = mesh.texture.shape[:2]
    at = mesh.texture[
        np.minimum(((1 - mesh.uv[:, 1]) * H).astype(int), H - 1), np.minimum((mesh.uv[:, 0] * W).astype(int), W - 1)
    ]
    assert np.array_equal(read.visual.vertex_colors[:, :3], at)
    raw = read.metadata["_ply_raw"]["vertex"]["data"]
    assert np.array_equal(np.asarray(raw["sigma"]).ravel(), mesh.sigma.astype(np.float32))
    read = open3d.io.read_triangle_mesh(str(path))
    assert np.allclose(np.asarray(read.vertices), mesh.vertices * FLIP, rtol=1e-7)
    assert np.array_equal(np.asarray(read.triangles), mesh.faces)
    normals = np.asarray(read.vertex_normals)
    read.compute_vertex_normals()
    assert np.sum(normals * np.asarray(read.vertex_normals), -1).min() > 0.99
    assert normals[:, 2].min() > 0  # towards the viewer


def test_glb_in_trimesh(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    mesh = sheet()
    (path,) = write_mesh(tmp_path / "写真 1.glb", mesh, unit="m")
    read = trimesh.load(path, force="mesh", process=False)
    assert np.allclose(read.vertices, mesh.vertices * FLIP, rtol=1e-7)
    assert np.array_equal(read.faces, mesh.faces)
    assert np.allclose(read.visual.uv, mesh.uv, atol=1e-6)
    image = np.asarray(read.visual.material.baseColorTexture.convert("RGB"))
    assert np.abs(image.astype(int) - mesh.texture).max() <= 8
    assert np.allclose(read.face_normals[:, 2] > 0, True)


@pytest.mark.parametrize("unit, metres", [("mm", 0.001), ("cm", 0.01), ("inches", 0.0254), ("m", 1), ("Feet", 0.3048)])
def test_glb_is_in_metres(tmp_path, unit, metres):
    trimesh = pytest.importorskip("trimesh")
    mesh = sheet()
    path = write_mesh(tmp_path / "a.glb", mesh, unit=unit)[0]
    read = trimesh.load(path, force="mesh", process=False)
    assert np.allclose(read.vertices, mesh.vertices * FLIP * metres, rtol=1e-6)
    assert read_textured_mesh(path)[1] == "m" and np.allclose(
        read_mesh(path).vertices, mesh.vertices * metres, rtol=1e-6
    )
    assert b"size unknown" not in path.read_bytes()


@pytest.mark.parametrize("unit", [None, "calibration units", "cubits"])
def test_glb_of_unknown_size_says_so(tmp_path, unit):
    mesh = sheet()
    path = write_mesh(tmp_path / "a.glb", mesh, unit=unit)[0]
    assert np.allclose(read_mesh(path).vertices, mesh.vertices, rtol=1e-6)
    name = unit or "baseline"
    assert read_textured_mesh(path)[1] == name and f"size unknown: 1 is one {name}".encode() in path.read_bytes()


def glb_tree(path):
    data = path.read_bytes()
    return json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])


def test_a_glb_is_unlit_or_lit(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    mesh = two_photos()
    unlit, lit, bare = (
        write_mesh(tmp_path / f"{k}.glb", m, lit=k == 1)[0]
        for k, m in enumerate((mesh, mesh, Mesh(mesh.vertices, mesh.faces)))
    )
    assert glb_tree(unlit)["extensionsUsed"] == ["KHR_materials_unlit"]
    assert all("KHR_materials_unlit" in m["extensions"] for m in glb_tree(unlit)["materials"])
    for path in (lit, bare):
        tree = glb_tree(path)
        assert "extensionsUsed" not in tree and not any("extensions" in m for m in tree["materials"])
        assert all("NORMAL" in p["attributes"] for p in tree["meshes"][0]["primitives"])
        for part in trimesh.load_scene(path, process=False).dump():
            stated = np.asarray(part.vertex_normals)
            assert np.allclose(np.linalg.norm(stated, axis=1), 1, atol=1e-5)
            assert np.einsum("fi,fci->fc", part.face_normals, stated[part.faces]).min() > 0.8
    for path in (unlit, lit, bare):  # no extension that moves the texture, which many viewers do not know
        assert b"KHR_texture_transform" not in path.read_bytes()


def shaded(normals, towards, texel, material):
    """Phong's equation of MTL with a lamp of 1 at the camera and ambient light of .2: what a plain viewer shows."""
    ka, kd = (np.array([float(x) for x in material[key].split()]) for key in ("Ka", "Kd"))
    cosine = np.clip(np.einsum("ni,ni->n", normals, towards), 0, 1)[:, None]
    ambient = 0.2 * ka * (texel if "map_Ka" in material else 255)
    return np.clip(ambient + kd * texel * cosine, 0, 255)


def test_an_obj_keeps_its_brightness_under_a_lamp_at_the_camera(tmp_path):
    """Of a surface that faces the camera within 60 degrees, at least two thirds of the photo's mean grey."""
    mesh = sheet(30)
    path = write_mesh(tmp_path / "a.obj", mesh)[0]
    v, _, _, statements = parse_obj(path)
    normals, towards = statements["vn"], -v / np.linalg.norm(v, axis=1)[:, None]
    facing = np.einsum("ni,ni->n", normals, towards) > 0.5
    assert facing.mean() > 0.9  # and so not turned away from the camera
    texel = np.full((facing.sum(), 3), 95.0)
    shown = shaded(normals[facing], towards[facing], texel, parse_mtl(path.with_suffix(".mtl")))
    assert shown.mean() > 2 / 3 * 95
    assert parse_mtl(path.with_suffix(".mtl"))["illum"] == "0"
    assert parse_mtl(write_mesh(tmp_path / "b.obj", mesh, lit=True)[1])["illum"] == "1"


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("axes", AXES)
def test_a_centred_model_has_its_middle_at_the_origin(tmp_path, suffix, axes):
    trimesh = pytest.importorskip("trimesh")
    if suffix in (".glb", ".usdz") and axes != "y-up":
        pytest.skip("its axes are fixed")
    mesh = sheet()
    down = np.array([0.1, 1, 0.3])
    origin = style.middle_of(mesh.vertices, style.rotation_to_file(axes, down))
    path = write_mesh(tmp_path / f"a{suffix}", mesh, axes=axes, origin=origin, down=down)[0]
    if suffix == ".usdz":
        [shape] = read_usdz(path)[0]
        assert np.allclose(shape["points"].min(0), -shape["points"].max(0), atol=1e-5)
        return
    read = trimesh.load(path, process=False, force="mesh")
    assert np.allclose(read.bounds[0], -read.bounds[1], atol=1e-5) and np.ptp(read.bounds, axis=0).min() > 1
    if suffix != ".stl":
        assert np.allclose(read_mesh(path).vertices[read_mesh(path).faces], mesh.vertices[mesh.faces], atol=1e-5)


def test_glb_by_the_letter(tmp_path):
    mesh = sheet()
    data = write_mesh(tmp_path / "a.glb", mesh, unit="m")[0].read_bytes()
    magic, version, length, json_length, kind = struct.unpack_from("<4sIII4s", data)
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), b"JSON") and json_length % 4 == 0
    tree = json.loads(data[20 : 20 + json_length])
    size, kind = struct.unpack_from("<I4s", data, 20 + json_length)
    body = data[28 + json_length :]
    assert kind == b"BIN\0" and size == len(body) == tree["buffers"][0]["byteLength"] and size % 4 == 0
    assert all(v["byteOffset"] % 4 == 0 and v["byteOffset"] + v["byteLength"] <= size for v in tree["bufferViews"])
    position = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
    xyz = np.frombuffer(
        body, "<f4", 3 * position["count"], tree["bufferViews"][position["bufferView"]]["byteOffset"]
    ).reshape(-1, 3)
    assert np.array_equal(xyz, (mesh.vertices * FLIP).astype(np.float32))
    assert position["min"] == xyz.min(0).tolist() and position["max"] == xyz.max(0).tolist()
    assert tree["asset"]["extras"]["unit"] == "m"


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_bare_mesh_is_written_by_every_writer(tmp_path, suffix):
    trimesh = pytest.importorskip("trimesh")
    mesh = sheet()
    bare = Mesh(mesh.vertices, mesh.faces)
    written = write_mesh(tmp_path / f"bare{suffix.upper()}", bare)
    assert [p.name for p in tmp_path.iterdir()] == [written[0].name]
    if suffix == ".usdz":
        [shape] = read_usdz(written[0])[0]
        read = trimesh.Trimesh(shape["points"], shape["faces"], process=False)
    else:
        read = trimesh.load(written[0], file_type=suffix[1:], force="mesh", process=False)
    assert np.allclose(read.triangles, (mesh.vertices * FLIP)[mesh.faces], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("where", ["to_file_axes", "_encode", "rename"])
def test_a_failure_in_the_middle_leaves_everything_as_it_was(tmp_path, monkeypatch, suffix, where):
    old = sheet(seed=1)
    write_mesh(tmp_path / f"a{suffix}", old)
    before = files_in(tmp_path)

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    if where == "rename":
        monkeypatch.setattr("stereo3d.io.atomic.os", with_replace(fail))
    elif where == "_encode" and suffix in (".ply", ".stl"):
        monkeypatch.setattr("numpy.cross" if suffix == ".stl" else "stereo3d.io.ply._colours", fail)
    elif where == "to_file_axes" and suffix == ".obj":  # half of the OBJ is out, its companions too
        rows = number_lines.format_rows
        monkeypatch.setattr(
            "stereo3d.io.number_lines.format_rows", lambda first, *rest: fail() if first == "f " else rows(first, *rest)
        )
    elif where == "to_file_axes":
        monkeypatch.setattr(style.Style, "to_file_axes", fail)
    else:
        monkeypatch.setattr(f"stereo3d.io.{suffix[1:]}.encode", fail)
    with pytest.raises((StereoError, OSError)):
        write_mesh(tmp_path / f"a{suffix}", sheet(seed=2))
    assert files_in(tmp_path) == before
    with pytest.raises((StereoError, OSError)):
        write_mesh(tmp_path / "new" / f"b{suffix}", sheet(seed=2))
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("points", [0, 3])
def test_a_mesh_without_a_triangle_is_not_written(tmp_path, suffix, points):
    with pytest.raises(StereoError, match=f"{points} vertices and no triangle") as caught:
        write_mesh(tmp_path / f"a{suffix}", Mesh(np.zeros((points, 3)), np.zeros((0, 3), np.int32)))
    assert caught.value.code == "empty_mesh" and caught.value.advice and not any(tmp_path.iterdir())


def test_the_obj_takes_its_place_last(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(
        "stereo3d.io.atomic.os", with_replace(lambda a, b: (order.append(Path(b).suffix), os.replace(a, b)))
    )
    write_mesh(tmp_path / "a.obj", sheet())
    assert sorted(order) == [".jpg", ".mtl", ".obj"] and order[-1] == ".obj"


def read_usdz(path):
    """Shapes, the text of the layer, and the other files, by Pixar's rules for a package."""
    data = path.read_bytes()
    with zipfile.ZipFile(path) as package:
        assert package.testzip() is None
        for entry in package.infolist():
            name, extra = struct.unpack_from("<HH", data, entry.header_offset + 26)
            assert entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 1
            assert (entry.header_offset + 30 + name + extra) % 64 == 0, entry.filename
        files = {entry.filename: package.read(entry) for entry in package.infolist()}
    assert next(iter(files)) == "model.usda"  # the first file is the one that is shown
    text = files.pop("model.usda").decode("utf-8")
    assert text.startswith("#usda 1.0\n") and text.count("{") == text.count("}")
    shapes = []
    for block in text.split("def Mesh ")[1:]:
        block = block.split("def Scope")[0]
        arrays = {
            name.split(":")[-1]: np.array(json.loads(f"[{body}]".replace("(", "[").replace(")", "]")))
            for name, body in re.findall(r"\w+\[\] ([\w:]+) = \[(.*?)\](?: \(\n|\n)", block, flags=re.S)
        }
        assert (arrays["faceVertexCounts"] == 3).all()
        arrays["faces"] = arrays["faceVertexIndices"].reshape(-1, 3)
        assert np.allclose(arrays["extent"], [arrays["points"].min(0), arrays["points"].max(0)], rtol=1e-6)
        assert len(arrays["faceVertexCounts"]) == len(arrays["faces"])
        arrays["material"] = re.search(r"material:binding = </Model/Materials/(\w+)>", block)[1]
        shapes.append(arrays)
    return shapes, text, files


@pytest.mark.parametrize("texture", ["jpg", "png"])
def test_usdz_by_the_letter(tmp_path, texture):
    mesh = two_photos()
    path = write_mesh(tmp_path / "写真 1.usdz", mesh, unit="cm", texture=texture)[0]
    shapes, text, files = read_usdz(path)
    for line in ("metersPerUnit = 1", 'upAxis = "Y"', 'defaultPrim = "Model"', 'inputs:varname = "st"'):
        assert re.search(rf"(?m)^ *(string )?{line}$", text), line
    second = mesh.overlays[0].faces
    assert [shape["material"] for shape in shapes] == ["photo", "photo2"]
    assert list(files) == [f"textures/photo.{texture}", f"textures/photo2.{texture}"]
    for shape, which, part in zip(shapes, (~second, second), mesh.textured_parts(), strict=True):
        corners = shape["points"][shape["faces"]]
        assert np.allclose(corners, (mesh.vertices * FLIP * 0.01)[mesh.faces[which]], rtol=1e-6, atol=1e-12)
        assert np.allclose(shape["st"][shape["faces"]], part.uv[mesh.faces[which]], atol=1e-6)
        n = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        cosine = np.einsum("fi,fci->fc", n / np.linalg.norm(n, axis=1)[:, None], shape["normals"][shape["faces"]])
        assert cosine.min() > 0.5 and np.median(cosine) > 0.95
        name = f"textures/{shape['material']}.{texture}"
        assert f"@{name}@" in text
        image = cv2.imdecode(np.frombuffer(files[name], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert np.abs(image.astype(int) - part.texture).max() <= (8 if texture == "jpg" else 0)
    assert path.read_bytes() == write_mesh(tmp_path / "b.usdz", mesh, unit="cm", texture=texture)[0].read_bytes()


@pytest.mark.parametrize("photos", [1, 2])
def test_usdz_in_usd(tmp_path, photos):
    """Pixar's own library opens it: metres, y up, the same points, corners and coordinates, and the pictures."""
    pytest.importorskip("pxr", reason="the package usd-core is not installed")
    from pxr import Usd, UsdGeom, UsdShade

    mesh = sheet() if photos == 1 else two_photos()
    stage = Usd.Stage.Open(str(write_mesh(tmp_path / "m.usdz", mesh, unit="cm")[0]))
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1 and UsdGeom.GetStageUpAxis(stage) == "Y"
    shapes = [UsdGeom.Mesh(prim) for prim in stage.Traverse() if prim.IsA(UsdGeom.Mesh)]
    assert len(shapes) == photos
    corners = []
    for shape in shapes:
        X, F = np.array(shape.GetPointsAttr().Get()), np.array(shape.GetFaceVertexIndicesAttr().Get())
        assert set(shape.GetFaceVertexCountsAttr().Get()) == {3}
        uv = np.array(UsdGeom.PrimvarsAPI(shape).GetPrimvar("st").ComputeFlattened())
        corners.append(X[F])
        assert len(uv) in (len(X), len(F)) and 0 <= uv.min() and uv.max() <= 1
    truth = (mesh.vertices[mesh.faces] * FLIP / 100).reshape(-1, 3)
    found = np.concatenate(corners)
    assert len(found) == len(truth)
    for axis in range(3):
        assert np.allclose(np.sort(found[:, axis]), np.sort(truth[:, axis]), atol=1e-6)
    pictures = [UsdShade.Shader(prim) for prim in stage.Traverse() if prim.IsA(UsdShade.Shader)]
    files = [shader.GetInput("file").Get() for shader in pictures if shader.GetIdAttr().Get() == "UsdUVTexture"]
    assert len(files) == photos and all(file.resolvedPath for file in files)


def test_usdz_is_unlit_or_lit_and_says_what_is_not_known(tmp_path):
    mesh = sheet()
    unlit = read_usdz(write_mesh(tmp_path / "a.usdz", mesh, unit="mm")[0])[1]
    lit = read_usdz(write_mesh(tmp_path / "b.usdz", mesh, lit=True)[0])[1]
    bare = read_usdz(write_mesh(tmp_path / "c.usdz", Mesh(mesh.vertices, mesh.faces), name='a "quoted" name')[0])[1]
    for text, shown in ((unlit, "emissive"), (lit, "diffuse")):
        assert f"inputs:{shown}Color.connect = </Model/Materials/photo/picture.outputs:rgb>" in text
        assert text.count("Color.connect") == 1
    assert "size unknown" not in unlit and "size unknown: 1 is one baseline" in lit and "picture" not in bare


def test_points_come_back(tmp_path):
    open3d = pytest.importorskip("open3d")
    rng = np.random.default_rng(0)
    points, colours = rng.normal(size=(20, 30, 3)), rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    points[3:5] = np.nan
    path = write_points(tmp_path / "cloud.ply", points, colours, rng.random((20, 30)))
    known = np.isfinite(points[..., 0])
    read = open3d.io.read_point_cloud(str(path))
    assert np.allclose(np.asarray(read.points), points[known] * FLIP, rtol=1e-7)
    assert np.array_equal(np.rint(np.asarray(read.colors) * 255), colours[known])
    assert len(open3d.io.read_point_cloud(str(write_points(tmp_path / "bare.ply", points))).points) == known.sum()


@pytest.mark.parametrize("suffix", [".xyz", ".pcd"])
def test_points_of_other_formats_in_open3d(tmp_path, suffix):
    open3d = pytest.importorskip("open3d")
    rng = np.random.default_rng(1)
    points, colours = rng.normal(size=(50, 3)) * [1, 100, 1e-3], rng.integers(0, 256, (50, 3)).astype(np.uint8)
    points[7] = np.nan
    known = np.isfinite(points[:, 0])
    path = write_points(tmp_path / f"c{suffix}", points, colours, rng.random(50), axes="z-up")
    read = open3d.io.read_point_cloud(str(path))
    assert np.allclose(np.asarray(read.points), points[known] @ AXES["z-up"].T, rtol=1e-6)
    if suffix == ".pcd":  # Open3D reads no colours of .xyz
        assert np.array_equal(np.rint(np.asarray(read.colors) * 255), colours[known])
    else:
        assert np.array_equal(np.loadtxt(path)[:, 3:], colours[known])
    bare = open3d.io.read_point_cloud(str(write_points(tmp_path / f"bare{suffix}", points)))
    assert len(bare.points) == known.sum() and not bare.has_colors()


def las_points(path):
    """Header fields by name, coordinates (N, 3) and colours (N, 3), by the layout of LAS 1.2."""
    data = path.read_bytes()
    assert data[:4] == b"LASF" and tuple(data[24:26]) == (1, 2)
    size, offset, records, form, length, count = struct.unpack_from("<HIIBHI", data, 94)
    assert (size, records, form, length) == (227, 1, 2, 26) and len(data) == offset + 26 * count
    user, kind, bytes_of_text = struct.unpack_from("<2x16sHH", data, 227)
    assert (user.rstrip(b"\0"), kind) == (b"LASF_Spec", 3) and offset == 227 + 54 + bytes_of_text
    assert data[offset - bytes_of_text : offset].startswith(b"unit: ") and data[offset - 1] == 0
    assert struct.unpack_from("<5I", data, 111) == (count, 0, 0, 0, 0)
    scale, move, box = (np.frombuffer(data, "<f8", n, at) for n, at in ((3, 131), (3, 155), (6, 179)))
    rows = np.frombuffer(data, np.uint8, offset=offset).reshape(count, 26)
    X = np.ascontiguousarray(rows[:, :12]).view("<i4") * scale + move
    assert (rows[:, 14] == 9).all()  # the first return of one
    return data[26:58].rstrip(b"\0"), X, np.ascontiguousarray(rows[:, 20:]).view("<u2"), box.reshape(3, 2)[:, ::-1]


@pytest.mark.parametrize("unit, metres", [("mm", 0.001), ("m", 1), (None, 1)])
def test_las_by_the_letter(tmp_path, unit, metres):
    rng = np.random.default_rng(2)
    points, colours = rng.normal(size=(40, 3)) * 1000, rng.integers(0, 256, (40, 3)).astype(np.uint8)
    stated, X, rgb, box = las_points(write_points(tmp_path / "c.las", points, colours, unit=unit))
    right, down, ahead = points.T * metres
    assert np.allclose(X, np.column_stack([right, ahead, -down]), rtol=1e-6, atol=1e-6)  # z is up
    assert np.array_equal(rgb, colours * np.uint16(257)) and np.allclose(box.T, [X.min(0), X.max(0)], atol=1e-6)
    assert stated == (b"unit: m" if unit else b"unit: baseline")


def test_las_of_extreme_sizes_and_of_nothing(tmp_path):
    for scale in (1e-6, 1e9):
        points = np.random.default_rng(3).normal(size=(20, 3)) * scale
        _, X, rgb, _ = las_points(write_points(tmp_path / "c.las", points, axes="z-up"))
        assert np.abs(X - points @ AXES["z-up"].T).max() < 1e-8 * scale and not rgb.any()
    for suffix in (".las", ".pcd", ".xyz", ".ply"):
        write_points(tmp_path / f"none{suffix}", np.full((4, 3), np.nan))
    assert len(las_points(tmp_path / "none.las")[1]) == 0
    with pytest.raises(StereoError, match="LAS has z up"):
        write_points(tmp_path / "c.las", points, axes="camera")
    with pytest.raises(StereoError, match=".ply, .xyz, .pcd, .las, .laz"):
        write_points(tmp_path / "c.e57", points)


def test_las_in_laspy(tmp_path):
    laspy = pytest.importorskip("laspy")
    points = np.random.default_rng(4).normal(size=(20, 3))
    read = laspy.read(write_points(tmp_path / "c.las", points, np.full((20, 3), 200, np.uint8), unit="m"))
    assert np.allclose(read.xyz, points @ AXES["z-up"].T, atol=1e-8) and (read.red == 200 * 257).all()


# Refusals


def test_an_unknown_suffix_names_those_there_are(tmp_path):
    for name in ("a.fbx", "a", ".obj"):
        with pytest.raises(StereoError, match=".obj, .ply, .glb, .stl") as caught:
            write_mesh(tmp_path / name, sheet())
        assert caught.value.code == "unknown_format"
    with pytest.raises(StereoError, match=".png"):
        write_picture(tmp_path / "a.gif", np.zeros((2, 2, 3), np.uint8))
    for wrong, word in (({"quality": 0}, "quality"), ({"texture": "gif"}, "gif"), ({"axes": "x-up"}, "y-up")):
        with pytest.raises(StereoError, match=word):
            write_mesh(tmp_path / "a.obj", sheet(), **wrong)
    with pytest.raises(StereoError, match="glTF"):
        write_mesh(tmp_path / "a.glb", sheet(), axes="z-up")
    assert not list(tmp_path.iterdir())


# Pictures


def test_colours_run_from_blue_to_red_and_unknown_is_black(tmp_path):
    cv2 = pytest.importorskip("cv2")
    values = np.arange(256, dtype=np.float32).reshape(16, 16)
    values[0, 0] = np.nan
    colour = colourise(values, 0, 255)
    assert colour.dtype == np.uint8 and not colour[0, 0].any()
    turbo = cv2.applyColorMap(src=np.arange(256, dtype=np.uint8).reshape(16, 16), colormap=cv2.COLORMAP_TURBO)
    assert np.array_equal(colour[1:], turbo[1:, :, ::-1])
    assert colour[2, 0, 2] > colour[2, 0, 0] and colour[15, 10, 0] > colour[15, 10, 2]
    assert np.array_equal(colourise(values * 3 + 7, 7, 772), colour)
    assert not colourise(np.full((3, 4), np.nan)).any()
    assert len(np.unique(colourise(np.full((3, 4), 5.0)).reshape(-1, 3), axis=0)) == 1
    path = write_disparity_png(tmp_path / "d é.png", values, lo=0, hi=255)
    assert np.array_equal(picture(path), colour)


def test_pictures_come_back(tmp_path):
    rgb = sheet().texture
    assert np.array_equal(picture(write_picture(tmp_path / "a.png", rgb)), rgb)
    assert np.abs(picture(write_picture(tmp_path / "a.jpg", rgb)).astype(int) - rgb).max() <= 8
    assert np.array_equal(picture(write_picture(tmp_path / "g.png", rgb[..., 0]))[..., 1], rgb[..., 0])
    for bad in (rgb.astype(float), rgb[None], rgb[..., :2]):
        with pytest.raises(ValueError, match="picture"):
            write_picture(tmp_path / "b.png", bad)


@pytest.fixture(scope="module")
def sphere():
    """Its true surface with the first photo on it, the camera, and the scene from three places with what may differ."""
    size = (640, 480)
    scene = renderer.render("sphere", size=size, pose="rectified", supersample=2)
    halfway = float(np.linalg.norm(scene.rig.t)) / 2
    between = renderer.render("sphere", size=size, pose="rectified", supersample=2, baseline=halfway)
    camera = scene.rig.cam1
    x = np.stack(np.meshgrid(*(np.arange(float(n)) for n in size)), -1)
    points = np.concatenate([x - camera.K[:2, 2], np.full((*x.shape[:2], 1), camera.K[0, 0])], -1)
    points *= (scene.depth1 / camera.K[0, 0])[..., None]
    mesh = texture_mesh(build_mesh(points, sigma=np.full(x.shape[:2], 1e-4)), scene.left, camera)
    views = (scene.left, np.zeros(3), 1.5), (between.right, between.rig.t, 3), (scene.right, scene.rig.t, 4)
    return mesh, camera, views


@pytest.mark.parametrize("reader", ["trimesh", "open3d"])
def test_what_is_read_back_looks_like_the_scene_from_three_places(tmp_path, sphere, reader):
    """The OBJ, read by another library and drawn from both cameras and from between them, looks like the scene.

    The surface is the true one, so what differs is texture, orientation, scale or tears.
    """
    library = pytest.importorskip(reader)
    mesh, camera, views = sphere
    small = (320, 240)
    path = write_mesh(tmp_path / "a.obj", mesh, quality=98)[0]
    if reader == "trimesh":
        read = library.load(path, process=False, force="mesh")
        vertices, faces, uv = read.vertices, read.faces, read.visual.uv
        texture = np.asarray(read.visual.material.image.convert("RGB"))
    else:
        read = library.io.read_triangle_mesh(str(path), enable_post_processing=True)
        corners = np.asarray(read.triangles)
        vertices, uv = np.asarray(read.vertices)[corners].reshape(-1, 3), np.asarray(read.triangle_uvs)
        faces, texture = np.arange(len(vertices)).reshape(-1, 3), np.asarray(read.textures[-1])[::-1, :, :3]
    read = Mesh(
        np.asarray(vertices) * FLIP,
        np.asarray(faces, np.int32),
        uv=np.asarray(uv),
        texture=np.ascontiguousarray(texture),
    )
    for photo, t, most in views:
        drawn = render(read, K=scale_K(camera.K, 0.5, 0.5), size=small, t=t, background=(255, 0, 255))
        true = cv2.resize(src=photo.pixels, dsize=small, interpolation=cv2.INTER_AREA).astype(float)
        seen = (drawn != (255, 0, 255)).any(-1)
        seen = cv2.erode(src=seen.astype(np.uint8), kernel=np.ones((3, 3), np.uint8)) > 0
        assert seen.mean() > 0.85
        off = np.abs(drawn - true).mean(-1)[seen]
        mirrored = np.abs(drawn[:, ::-1] - true).mean(-1)[seen & seen[:, ::-1]]
        assert np.median(off) <= most and np.median(mirrored) > 4 * np.median(off)
