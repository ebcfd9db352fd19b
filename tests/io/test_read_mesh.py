"""Meshes read back in the axes of camera 1, whatever axes they were written in; OBJs in every valid form."""

from dataclasses import replace

import numpy as np
import pytest

from stereo3d.errors import StereoError
from stereo3d.io import read_mesh, read_textured_mesh, write_mesh
from stereo3d.io.style import AXES
from stereo3d.output.html.scene import parts_of_file
from stereo3d.records import Mesh, TexturedPart


def sheet(n: int = 8) -> Mesh:
    """A wavy sheet in front of the camera, each vertex with its uv and no two coordinates alike."""
    u, v = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n))
    X = np.stack([3 * u - 1, 2 * v - 1.2, 4 + np.sin(3 * u) * np.cos(2 * v)], -1).reshape(-1, 3)
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = i[:-1, :-1].ravel(), i[1:, :-1].ravel(), i[1:, 1:].ravel(), i[:-1, 1:].ravel()
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).astype(np.int32)
    x, y = np.meshgrid(np.arange(24), np.arange(16))
    texture = np.stack([9 * x, 12 * y, 250 - 4 * x - 5 * y], -1).astype(np.uint8)
    return Mesh(X, faces, np.stack([u.ravel(), 1 - v.ravel()], -1), texture)


def corners(mesh: Mesh) -> np.ndarray:
    return mesh.vertices[mesh.faces]


# Axes

LEANING = np.array([0.2, 0.9, -0.1])  # gravity in the frame of a camera that was rolled and pitched


@pytest.mark.parametrize("down", [None, LEANING], ids=["level", "leaning"])
@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("suffix", [".obj", ".ply", ".glb", ".stl"])
def test_view_and_eval_turn_every_file_of_ours_back_to_camera_1(tmp_path, suffix, axes, down):
    if suffix == ".glb" and axes != "y-up":
        pytest.skip("glTF has y up")
    if suffix == ".stl" and down is not None:
        pytest.skip("80 bytes of header hold the axes, not the rotation that levelled the model")
    mesh = sheet()
    path = write_mesh(tmp_path / f"m{suffix}", mesh, axes=axes, down=down)[0]
    assert np.allclose(corners(read_mesh(path)), corners(mesh), atol=1e-5)
    (part,), _, count = parts_of_file(path)
    assert np.allclose(corners(part.mesh), corners(mesh), atol=1e-5) and count == len(mesh.faces)


def test_a_file_that_states_no_axes_has_y_up(tmp_path):
    (tmp_path / "a.obj").write_text("v 0 0 -1\nv 1 0 -1\nv 1 2 -1\nf 1 2 3\n")
    assert read_mesh(tmp_path / "a.obj").vertices.tolist() == [[0, 0, 1], [1, 0, 1], [1, -2, 1]]


# OBJ

SQUARE = """# a square and a seam
mtllib a.mtl
v 0 0 -1
v 1 0 -1
v\t1 1 -1
v 0 1 -2
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl m
f 1/1 2/2 3/3
f 1/1 3/3 4/4
"""


def read_text(tmp_path, text: str) -> Mesh:
    path = tmp_path / "a.obj"
    path.write_text(text)
    return read_mesh(path)


def test_obj_by_hand(tmp_path):
    mesh = read_text(tmp_path, SQUARE)
    assert mesh.vertices.tolist() == [[0, 0, 1], [1, 0, 1], [1, -1, 1], [0, -1, 2]]
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]] and mesh.faces.dtype == np.int32
    assert mesh.uv.tolist() == [[0, 0], [1, 0], [1, 1], [0, 1]]


@pytest.mark.parametrize(
    "faces, uv",
    [
        ("f 1/1/9 2/2/9 3/3/9\nf 1/1/9 3/3/9 4/4/9", True),
        ("f 1 2 3\nf 1 3 4", False),
        ("f 1 2 3 4", False),
        ("f 1//7 2//7 3//7\n f 1//7 3//7 4//7  # why", False),
        ("f 1/1 2/2 3/3 4/4", True),
        ("f 1/1 2/2/1 3/3\nf 1/1 3/3 4/4", True),
        ("f -4/-4 -3/-3 -2/-2\nf -4/1 3/-2 -1/-1", True),
        ("f -4 -3 -2\nf 1 -2 -1", False),
        ("f -4//-1 2//1 3//1\nf 1//1 3//1 -1//1", False),
        ("f 1/1 2/2 \\\n 3/3\nf 1/1 \\\r\n3/3 4/4", True),
        ("f\t1/1\t2/2\t3/3\n  f 1/1 3/3 4/4", True),
    ],
)
def test_obj_forms_of_faces(tmp_path, faces, uv):
    mesh = read_text(tmp_path, SQUARE.split("f 1")[0] + "vn 0 0 1\n" + faces + "\n")
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]] and (mesh.uv is not None) == uv


def test_obj_seam_splits_vertices(tmp_path):
    mesh = read_text(tmp_path, SQUARE.replace("f 1/1 3/3 4/4", "f 1/2 3/3 4/4"))
    assert len(mesh.vertices) == 5
    assert mesh.vertices[mesh.faces].tolist() == [
        [[0, 0, 1], [1, 0, 1], [1, -1, 1]],
        [[0, 0, 1], [1, -1, 1], [0, -1, 2]],
    ]
    assert mesh.uv[mesh.faces].tolist() == [[[0, 0], [1, 0], [1, 1]], [[1, 0], [1, 1], [0, 1]]]


@pytest.mark.parametrize(
    "old, new",
    [
        ("v 1 0 -1", "v 1 0"),
        ("v 1 0 -1", "v 1 zero -1"),
        ("v 1 0 -1", "v 1 nan -1"),
        ("4/4", "5/4"),
        ("4/4", "4/5"),
        ("4/4", "-5/4"),
        ("4/4", "4/-5"),
        ("f 1/1 2/2 3/3", "f 1/1 2/2"),
        ("f 1/1 2/2 3/3", "f"),
        ("4/4", "0/4"),
        ("vt 0 1", "vt"),
        ("4/4", "a/4"),
    ],
)
def test_obj_strictly(tmp_path, old, new):
    with pytest.raises(StereoError) as caught:
        read_text(tmp_path, SQUARE.replace(old, new))
    assert caught.value.code == "file_unreadable" and "a.obj" in caught.value.message


def test_negative_indices_count_back_from_where_they_stand(tmp_path):
    text = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\nv 5 0 0\nv 6 0 0\nv 5 1 0\nf -3 -2 -1\n"
    assert read_text(tmp_path, text).faces.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("second", ["f 1 3 4", "f 1/1 3/3 4", "f 1//1 3//1 4//1"])
def test_faces_partly_without_texture_coordinates(tmp_path, second):
    mesh = read_text(tmp_path, SQUARE.replace("f 1/1 3/3 4/4", "vn 0 0 1\n" + second))
    assert corners(mesh).tolist() == [[[0, 0, 1], [1, 0, 1], [1, -1, 1]], [[0, 0, 1], [1, -1, 1], [0, -1, 2]]]
    assert mesh.uv[mesh.faces[0]].tolist() == [[0, 0], [1, 0], [1, 1]]
    bare = np.isnan(mesh.uv[mesh.faces[1]]).all(1)
    assert bare.tolist() == ([False, False, True] if "/3 " in second else [True] * 3)


def test_an_obj_of_others_shows_its_texture_and_its_colours(tmp_path):
    from PIL import Image

    picture = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    (tmp_path / "maps").mkdir()
    Image.fromarray(picture).save(tmp_path / "maps" / "my wall.png")
    (tmp_path / "a.mtl").write_text("newmtl plain\nKd 1 0 0\nnewmtl m\n\tmap_Kd maps\\my wall.png\n")
    (tmp_path / "a.obj").write_text(SQUARE.replace("f 1/1 3/3 4/4", "usemtl plain\nf 1/1 3/3 4/4"))
    wall, plain = read_textured_mesh(tmp_path / "a.obj")[0]
    assert np.array_equal(wall.mesh.texture, picture) and plain.mesh.texture is None
    assert wall.mesh.uv.tolist() == [[0, 0], [1, 0], [1, 1]] and corners(plain.mesh).tolist()[0][2] == [0, -1, 2]
    (tmp_path / "b.obj").write_text("v 0 0 1 1 0 0\nv 1 0 1 0 1 0\nv 0 1 1 0 0 0.5\nf 1 2 3\n")
    ((part,), unit) = read_textured_mesh(tmp_path / "b.obj")
    assert part.colour.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 128]] and unit == ""


def test_a_texture_that_is_missing_or_broken_leaves_the_shape(tmp_path):
    (tmp_path / "a.obj").write_text(SQUARE)
    for content in (None, "newmtl m\nmap_Kd no.png\n", "newmtl m\nmap_Kd a.obj\n", "newmtl m\nmap_Kd\n"):
        if content is not None:
            (tmp_path / "a.mtl").write_text(content)
        ((part,), _) = read_textured_mesh(tmp_path / "a.obj")
        assert part.mesh.texture is None and len(part.mesh.faces) == 2


def test_a_texture_that_would_run_a_program_stays_shut(tmp_path):
    """Pillow hands EPS to Ghostscript."""
    from PIL import Image

    Image.new("RGB", (4, 3), (255, 0, 0)).save(tmp_path / "e.png", format="EPS")
    (tmp_path / "a.obj").write_text(SQUARE)
    (tmp_path / "a.mtl").write_text("newmtl m\nmap_Kd e.png\n")
    ((part,), _) = read_textured_mesh(tmp_path / "a.obj")
    assert part.mesh.texture is None and len(part.mesh.faces) == 2


@pytest.mark.parametrize("suffix", [".obj", ".glb"])
def test_two_photos_are_two_parts(tmp_path, suffix):
    mesh = sheet()
    second = corners(mesh).mean(1)[:, 0] > 0.5
    other = TexturedPart(second, 1 - mesh.uv, mesh.texture[::-1].copy())
    path = write_mesh(tmp_path / f"m{suffix}", replace(mesh, overlays=(other,)), texture="png")[0]
    parts, _ = read_textured_mesh(path)
    assert len(parts) == 2
    for part, shown in zip(parts, (~second, second), strict=True):
        assert np.allclose(corners(part.mesh), corners(mesh)[shown], atol=1e-5)
    assert np.array_equal(parts[0].mesh.texture, mesh.texture) and np.array_equal(parts[1].mesh.texture, other.texture)
    assert np.allclose(parts[1].mesh.uv[parts[1].mesh.faces], other.uv[mesh.faces[second]], atol=1e-6)
    merged = read_mesh(path)
    assert np.isnan(merged.uv[merged.faces]).all((1, 2)).sum() == second.sum()


# Other formats


def test_ascii_stl(tmp_path):
    facet = "facet normal 0 0 1\nouter loop\nvertex 0 0 -1\nvertex 1 0 -1\nvertex 1 2 -1\nendloop\nendfacet\n"
    (tmp_path / "a.stl").write_text(f"solid thing\n{facet}endsolid thing\n")
    assert corners(read_mesh(tmp_path / "a.stl")).tolist() == [[[0, 0, 1], [1, 0, 1], [1, -2, 1]]]


@pytest.mark.parametrize("suffix", [".obj", ".glb", ".ply"])
def test_meshes_written_by_trimesh(tmp_path, suffix):
    import trimesh
    from PIL import Image

    mesh = sheet()
    visual = trimesh.visual.TextureVisuals(uv=mesh.uv, image=Image.new("RGB", (4, 4)))
    turned = trimesh.Trimesh(mesh.vertices * [1, -1, -1], mesh.faces, visual=visual, process=False)
    turned.export(tmp_path / f"m{suffix}")
    read = read_mesh(tmp_path / f"m{suffix}")
    assert len(read.faces) == len(mesh.faces) and read.uv is not None and read.texture is None
    assert np.allclose(read.vertices[read.faces], mesh.vertices[mesh.faces], atol=2e-6)
    assert np.allclose(read.uv[read.faces], mesh.uv[mesh.faces], atol=1e-6)


def test_read_mesh_says_what_is_wrong(tmp_path):
    import trimesh

    trimesh.PointCloud(np.eye(3)).export(tmp_path / "cloud.ply")
    (tmp_path / "broken.ply").write_bytes(b"ply\nformat ascii 1.0\nelement vertex 3\n")
    (tmp_path / "broken.glb").write_bytes(b"glTF nonsense")
    for suffix in ("obj", "ply", "glb", "stl"):
        (tmp_path / f"empty.{suffix}").write_bytes(b"")
    (tmp_path / "mesh.fbx").write_bytes(b"")
    codes = {
        "cloud.ply": "empty_mesh",
        "broken.ply": "file_unreadable",
        "broken.glb": "file_unreadable",
        "empty.obj": "empty_mesh",
        "empty.ply": "empty_mesh",
        "empty.glb": "empty_mesh",
        "empty.stl": "empty_mesh",
        "mesh.fbx": "unknown_format",
        "no.obj": "file_missing",
    }
    for name, code in codes.items():
        with pytest.raises(StereoError) as caught:
            read_mesh(tmp_path / name)
        assert caught.value.code == code, name


def test_a_position_of_the_camera_that_is_no_number_is_refused(tmp_path):
    path = tmp_path / "a.obj"
    path.write_text("# camera 1 at: 0 1e999 0\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(StereoError, match="camera 1 is not finite"):
        read_mesh(path)


def test_faces_with_normals_and_no_texture(tmp_path):
    """v//n, by the fast way of many faces alike and the slow one of polygons."""
    path = tmp_path / "a.obj"
    head = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\nvn 0 0 1\n"
    path.write_text(head + "f 1//1 2//1 3//1\nf 3//1 2//1 4//1\n")
    assert np.array_equal(read_mesh(path).faces, [[0, 1, 2], [2, 1, 3]]) and read_mesh(path).uv is None
    path.write_text(head + "f 1//1 2//1 4//1 3//1\n")
    assert np.array_equal(read_mesh(path).faces, [[0, 1, 3], [0, 3, 2]])
