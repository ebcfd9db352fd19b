"""What a program sees: keywords, photos in every form, records in one line, HTML, meshes of other libraries, pickle."""

import base64
import html
import inspect
import io
import pickle
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import get_type_hints

import numpy as np
import pytest
import trimesh
from PIL import Image

import stereo3d
from stereo3d import Config, Mesh, Photo, Result, reconstruct, records
from stereo3d.cameras.chessboard import Board, CameraCalibration, Corners, RigCalibration
from stereo3d.errors import StereoError
from stereo3d.images.video import VideoFrame
from stereo3d.io.style import MeshOptions, PointOptions
from stereo3d.mesh.preview import bilinear
from stereo3d.pipeline import ConfigOptions, prepare, result_html
from stereo3d.pipeline.config import ELSEWHERE
from stereo3d.pipeline.sources import Collection, open_source, use_source
from stereo3d.records.checks import Record

FAST = Config(matcher="sgm", mesher="grid")


@pytest.fixture(scope="module")
def result(slanted_pair) -> Result:
    return reconstruct(slanted_pair.left, slanted_pair.right, slanted_pair.rig, FAST, seed=3, max_size=300)


@pytest.fixture(scope="module")
def two_photos() -> Mesh:
    """Three squares of two triangles each; the middle one shows another photo, of another size."""
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.arange(4.0), np.arange(2.0))
    vertices = np.column_stack([x.ravel(), y.ravel(), np.full(8, 5.0)])
    faces = np.array([[k + a, k + b, k + c] for k in range(3) for a, b, c in ((0, 4, 1), (1, 4, 5))], np.int32)
    textures = [rng.integers(0, 256, size, dtype=np.uint8) for size in ((12, 20, 3), (16, 9, 3))]
    uv = rng.uniform(0.1, 0.9, (2, 8, 2))
    uv[1, [0, 4, 3, 7]] = np.nan  # of vertices that the second photo does not show
    shown = np.array([False, False, True, True, False, False])
    part = records.TexturedPart(shown, uv[1], textures[1])
    return Mesh(vertices, faces, uv[0], textures[0], np.arange(8.0), (part,))


# ---------------------------------------------------------------------------------------------- keywords of a run


def test_the_keywords_of_reconstruct_are_the_fields_of_config():
    hints = get_type_hints(Config)
    assert get_type_hints(ConfigOptions) == {f.name: hints[f.name] for f in fields(Config)}
    for function in (reconstruct, prepare):
        parameters = inspect.signature(function).parameters.values()
        own = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
        assert not own & set(ConfigOptions.__annotations__)  # none hides a field


def test_keywords_replace_fields_of_a_config(result):
    assert result.config == replace(FAST, seed=3, max_size=300) and FAST == Config(matcher="sgm", mesher="grid")


def test_keywords_alone_make_the_config(slanted_pair):
    prepared = prepare(slanted_pair.left, slanted_pair.right, slanted_pair.rig, matcher="block", max_size=200)
    assert prepared.config == Config(matcher="block", max_size=200)
    assert max(prepared.pair.left.shape[:2]) <= 250


@pytest.mark.parametrize(
    "keyword, message",
    [
        ("matchr", "Did you mean 'matcher'?"),
        ("max-size", "Did you mean 'max_size'?"),
        ("Focal", "Did you mean 'focal'?"),
        ("progres", "Did you mean 'progress'?"),
        ("quality", "It chooses matcher='planes_fast'"),
        ("output", "result.save(path) writes the mesh."),
        (
            "fast_threshold",
            "detector='orb', options={'detector.fast_threshold': ...}.",
        ),
        ("zzz", "There are: detector, matcher, "),
    ],
)
def test_a_misspelt_keyword_names_the_nearest(slanted_pair, keyword, message):
    with pytest.raises(TypeError, match=re.escape(message)) as caught:
        reconstruct(slanted_pair.left, slanted_pair.right, **{keyword: 1})
    assert str(caught.value).startswith(f"reconstruct() has no argument {keyword!r}. ")


def test_a_wrong_value_and_a_record_of_another_kind_are_named(slanted_pair):
    left, right = slanted_pair.left, slanted_pair.right
    with pytest.raises(StereoError, match="max-size cannot be 'big'"):
        reconstruct(left, right, max_size="big")
    with pytest.raises(ValueError, match=r"rig must be a Rig, got Config; a Config is named: config="):
        reconstruct(left, right, FAST)
    with pytest.raises(ValueError, match="config must be a Config, got dict"):
        reconstruct(left, right, config={"matcher": "sgm"})


@pytest.mark.parametrize(
    "name, values, remedy",
    [
        ("matcher", (["sgm"], None, 3), "There are: block"),
        ("options", ("matcher.p1=20", [("matcher.p1", 20)], None), 'Give a dict: {"matcher.p1": 20}.'),
        ("max_size", (None, True, "800", 800.5), "a whole number, 64 to 32000"),
        ("focal", (True, "800", float("nan")), "It is 1 to 10000000."),
        ("rectified", ("no", None, 1), "It is True or False."),
        ("force", ("false",), "It is True or False."),
        ("calib", (3, "", b"rig.json", {}, [3]), "It is a path, or a list of paths."),
        ("mask", ([3], {}), "It is a path, or a list of paths."),
        ("mask", (["a", "b", "c"],), "one for the second"),
        ("unit", (3, " "), "It is a name"),
    ],
)
def test_a_setting_of_a_wrong_kind_is_refused(name, values, remedy):
    for value in values:
        with pytest.raises(StereoError, match=re.escape(remedy)) as caught:
            Config(**{name: value})
        assert caught.value.code in ("bad_option", "unknown_method")


def test_settings_of_numpy_are_kept_as_those_of_python():
    config = Config(max_size=np.int64(800), focal=np.float32(500), close=np.bool_(True), mask="mask.png")
    assert config == Config(max_size=800, focal=500.0, close=True, mask=["mask.png"])
    kinds = [type(value) for value in (config.max_size, config.focal, config.close)]
    assert kinds == [int, float, bool]


def test_options_of_the_command_line_that_are_no_fields_exist_there():
    from stereo3d.cli.parameters import cli

    names = {option.name for option in cli.commands["reconstruct"].params}
    assert set(ELSEWHERE) <= names - set(ConfigOptions.__annotations__)


def test_the_keywords_of_save_are_those_of_the_writers():
    for options, writer in ((MeshOptions, stereo3d.write_mesh), (PointOptions, stereo3d.write_points)):
        hints = get_type_hints(writer)
        keywords = [p.name for p in inspect.signature(writer).parameters.values() if p.kind is p.KEYWORD_ONLY]
        assert get_type_hints(options) == {name: hints[name] for name in keywords}


def test_a_stage_names_an_argument_of_a_wrong_kind(slanted_pair, result, tmp_path):
    photo, pixels = slanted_pair.left, slanted_pair.left.pixels
    for call in (
        lambda: stereo3d.camera_for("left.jpg"),
        lambda: stereo3d.detect_features(pixels),
        lambda: stereo3d.match_features(photo, pixels),
        lambda: stereo3d.rectify("left.jpg", photo, result.view),
        lambda: stereo3d.texture_mesh(result.mesh, pixels, slanted_pair.rig.cam1),
    ):
        with pytest.raises(ValueError, match="must be a Photo, got (str|ndarray): read_photo reads a file"):
            call()
    for source in (pixels, 3, None):
        for read in (stereo3d.read_photo, stereo3d.read_pair):
            with pytest.raises(ValueError, match="a picture is a path, .* got (ndarray|int|NoneType)"):
                read(source)
    with pytest.raises(ValueError, match="must be a Result, got str"):
        stereo3d.write_report(result, "model.html")
    with pytest.raises(ValueError, match="must be a Mesh, got Result"):
        stereo3d.write_mesh(tmp_path / "model.ply", result)
    with pytest.raises(ValueError, match="a file is a path, got Mesh"):
        stereo3d.write_view(tmp_path / "model.html", result.mesh)


@pytest.mark.parametrize(
    "given, remedy",
    [(None, "cv2.imread returns None"), ("left.jpg", "read_photo reads a file"), (b"left", "read_photo reads a file")],
)
def test_what_is_no_array_is_named(given, remedy):
    for make in (Photo.from_array, Photo.from_bgr):
        with pytest.raises(StereoError, match=remedy):
            make(given)


@pytest.mark.parametrize(
    "path, remedy", [("https://example.com/left.jpg", "It is an address"), ("~/left.jpg", "expanduser")]
)
def test_a_path_that_python_does_not_expand_is_named(path, remedy):
    with pytest.raises(StereoError, match=remedy):
        stereo3d.read_photo(path)


# ------------------------------------------------------------------------------------------------- photos in any form


def encoded(pixels: np.ndarray) -> bytes:
    Image.fromarray(pixels).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


def forms(pixels: np.ndarray, folder) -> Iterator[object]:
    path = folder / "photo.png"
    path.write_bytes(encoded(pixels))
    yield from (path, str(path), encoded(pixels), io.BytesIO(encoded(pixels)), Image.fromarray(pixels), pixels)
    yield Photo.from_bgr(pixels[..., ::-1])


def test_every_form_of_a_photo_gives_the_same_pixels(slanted_pair, tmp_path):
    left, right = slanted_pair.left.pixels, slanted_pair.right.pixels
    for one, two in zip(forms(left, tmp_path), reversed(list(forms(right, tmp_path))), strict=True):
        pair = open_source(one, two, FAST)
        for photo, expected in ((pair.left, left), (pair.right, right)):  # of the one path the later file
            assert np.array_equal(photo.pixels, expected) or photo.path is not None
        listed = open_source([one, two], None, FAST)
        assert np.array_equal(listed.left.pixels, pair.left.pixels)
    collection = open_source([left, encoded(right), Image.fromarray(left)], None, FAST)
    assert isinstance(collection, Collection) and len(collection.ranked) == 3
    best = collection.ranked[0]
    assert np.array_equal(collection.pair(best).left.pixels, (left, right)[best.first])
    assert collection.names == ["photo 1", "photo 2", "photo 3"]


def test_bytes_that_hold_both_photos_are_a_pair(slanted_pair):
    both = np.concatenate([slanted_pair.left.pixels, slanted_pair.right.pixels], axis=1)
    pair = open_source(encoded(both), None, replace(FAST, layout="sbs"))
    np.testing.assert_array_equal(pair.right.pixels, slanted_pair.right.pixels)


def test_what_is_no_photo_is_named(slanted_pair):
    pixels = slanted_pair.left.pixels
    for one, two in ((3, pixels), (pixels, {}), (pixels, [pixels])):
        with pytest.raises(ValueError, match="a photo is a path, bytes, a binary file, .* got (int|dict|list)"):
            open_source(one, two, FAST)
    for one in (3, {"a": 1}, iter([pixels])):
        with pytest.raises(ValueError, match="photos are a path, .* or a list of these"):
            open_source(one, None, FAST)
    for one in (pixels, slanted_pair.left):
        with pytest.raises(ValueError, match="a second photo is needed"):
            open_source(one, None, FAST)
    with pytest.raises(ValueError, match="either a list of photos, or left and right"):
        open_source([pixels], pixels, FAST)
    for source, which in (((pixels / 255, pixels), "first"), ((pixels, b"x"), "second")):
        with pytest.raises(StereoError, match=f"^the {which} photo: "):
            open_source(*source, FAST)
    with pytest.raises(StereoError, match=r"^the 3\. photo: .* 240 x 320 x 3 float"):
        open_source([pixels, pixels, pixels / 255], None, FAST)


# ---------------------------------------------------------------------------------------------- records in one line


def records_in(value: object) -> Iterator[object]:
    """All records that a record holds, itself first, those in lists, tuples and dicts too."""
    if is_dataclass(value) and not isinstance(value, type):
        yield value
        for field in fields(value):
            yield from records_in(getattr(value, field.name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from records_in(item)
    elif isinstance(value, dict):
        yield from records_in(list(value.values()))


def some_of_each(result, slanted_pair) -> list[object]:
    """A result, what leads to it, and one of each public record that it does not hold."""
    camera, photo = slanted_pair.rig.cam1, slanted_pair.left
    source = use_source(open_source(photo, photo, FAST), slanted_pair.rig, FAST)
    corners = Corners("x" * 300, np.arange(12), np.zeros((12, 2)), (640, 480))
    calibration = CameraCalibration(
        camera, {"fx": 1 / 3}, 0.1, [corners] * 9, np.zeros(9), np.zeros((9, 3, 3)), np.zeros((9, 3)), ["y" * 99] * 9,
        0.5, 30.0, [],
    )  # fmt: skip
    x = np.zeros(4)
    return [
        result,
        prepare(photo, slanted_pair.right, slanted_pair.rig, FAST, max_size=200),
        source,
        open_source([photo, photo, photo], None, FAST),
        stereo3d.detect_features(photo),
        Board("chessboard", 9, 6),
        calibration,
        RigCalibration(result.rig, calibration, calibration, 0.1, [("a", "b")] * 9, np.zeros((9, 2)), 1.0, 0.1, []),
        VideoFrame(1, 2.0, photo),
        records.PhotoPair(photo, photo, "two frames of one file"),
        records.Position(1.0, 2.0),
        records.RigError.nominal(),
        records.WideLens("eucm", (0.5, 1.0)),
        records.DisparityMap(result.disparity, result.confidence, result.confidence),
        records.RightViewPixels(x, x.astype(int), x, x),
        records.SphereGrid((camera, camera), np.stack([np.eye(3)] * 2), 3.0, 0.01, np.linspace(0, 1, 5)),
        records.TexturedPart(np.ones(3, bool), np.zeros((3, 2)), photo.pixels),
        Config(calib=["x" * 300] * 30),
    ]


def test_every_record_prints_as_one_short_line(result, slanted_pair):
    found = {type(record): record for value in some_of_each(result, slanted_pair) for record in records_in(value)}
    public = [getattr(records, name) for name in records.__all__] + [getattr(stereo3d, name) for name in stereo3d._HOME]
    assert {kind for kind in public if isinstance(kind, type) and is_dataclass(kind)} <= set(found)
    for kind, record in found.items():
        assert len(repr(record)) < 200 and "\n" not in repr(record), repr(record)
        assert repr(record).startswith(kind.__name__ + "("), repr(record)
        assert issubclass(kind, Record), kind


def test_a_result_prints_its_verdict(result):
    assert repr(result).startswith(f"Result({result.verdict!r}, {100 * result.coverage:.0f} % of the photo covered, ")
    assert f"{len(result.mesh.faces)} faces" in repr(result)


# ------------------------------------------------------------------------------------------------------- notebooks


def pictures_of(text: str) -> list[Image.Image]:
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


def test_a_result_shows_its_verdict_its_findings_and_the_mesh(result):
    nasty = records.Finding("code", "warning", "<script>alert(1)</script> & more", {}, '"><img src=x>')
    page = replace(result, findings=[*result.findings, nasty])._repr_html_()
    assert len(page) < 300_000 and "<script" not in page and page.count("<img") == 1
    assert html.escape(nasty.message) in page and html.escape(nasty.advice) in page
    for text in (result.verdict, result.summary, repr(result)[:40], *(f.message for f in result.findings)):
        assert html.escape(text) in page
    [picture] = pictures_of(page)
    assert picture.width == result_html.TILE * 3 and np.ptp(np.asarray(picture)) > 100
    many = replace(result, findings=[nasty] * 999)._repr_html_()
    assert "and 949 more" in many and len(many) < 300_000


def test_a_result_without_open3d_shows_the_photo_and_its_depth(result, monkeypatch):
    def missing(*args, **kwargs):
        raise StereoError("library_missing", "Open3D cannot be loaded: no.")

    monkeypatch.setattr(result_html, "preview", missing)
    [picture] = pictures_of(result._repr_html_())
    height, width = result.pair.left.shape[:2]
    assert abs(picture.width / picture.height - 2 * width / height) < 0.05


def test_a_mesh_shows_its_size_and_its_textures(two_photos):
    page = two_photos._repr_html_()
    assert "<td>8</td>" in page and "<td>6</td>" in page and "0 to 3" in page
    assert [picture.size for picture in pictures_of(page)] == [(20, 12), (9, 16)]
    large = Mesh(np.eye(3), np.array([[0, 1, 2]]), np.zeros((3, 2)), np.zeros((3000, 4000, 3), np.uint8))
    assert [picture.size for picture in pictures_of(large._repr_html_())] == [(320, 240)]
    empty = Mesh(np.zeros((0, 3)), np.zeros((0, 3), int))
    assert "<td>0</td>" in empty._repr_html_() and pictures_of(empty._repr_html_()) == []


# ------------------------------------------------------------------------------------------- meshes for other libraries


def colours_at_centroids(mesh: Mesh) -> np.ndarray:
    """The colour (M, 3) at the middle of each face, of its own photo."""
    colours = np.full((len(mesh.faces), 3), np.nan)
    for part in mesh.textured_parts():
        colours[part.faces] = bilinear(part.texture, part.uv[mesh.faces[part.faces]].mean(1))
    return colours


def small(mesh: Mesh) -> Mesh:
    """The same mesh with one photo."""
    return replace(mesh, overlays=())


@pytest.mark.parametrize("reduce", [lambda mesh: mesh, small], ids=["two photos", "one photo"])
def test_trimesh_gets_every_face_with_the_colours_of_its_photo(two_photos, reduce, tmp_path):
    mesh = reduce(two_photos)
    found = mesh.to_trimesh()
    count = len(mesh.vertices)
    assert isinstance(found, trimesh.Trimesh) and len(found.faces) == len(mesh.faces)
    np.testing.assert_array_equal(found.vertices[:count], mesh.vertices)
    np.testing.assert_array_equal(found.vertices[found.faces], mesh.vertices[mesh.faces])
    np.testing.assert_array_equal(found.vertex_attributes["sigma"][found.faces], mesh.sigma[mesh.faces])
    texture = np.asarray(found.visual.material.image)
    colours = bilinear(texture, np.asarray(found.visual.uv)[found.faces].mean(1))
    np.testing.assert_allclose(colours, colours_at_centroids(mesh), atol=1e-6)
    assert len(found.vertices) == count + 4 * len(mesh.overlays)
    found.export(tmp_path / "mesh.glb")
    again = trimesh.load(tmp_path / "mesh.glb", force="mesh")
    np.testing.assert_allclose(again.area, found.area)
    assert again.visual.material.baseColorTexture.size == texture.shape[1::-1]


def test_trimesh_gets_a_mesh_without_a_texture_and_changes_nothing_of_ours(two_photos):
    bare = Mesh(two_photos.vertices, two_photos.faces)
    found = bare.to_trimesh()
    found.vertices *= 2
    found.faces[:] = 0
    assert bare.vertices.max() == 5 and bare.faces.max() == 7 and "sigma" not in found.vertex_attributes


def test_open3d_gets_what_it_reads_from_our_file(two_photos, tmp_path):
    open3d = pytest.importorskip("open3d")
    stereo3d.write_mesh(tmp_path / "mesh.obj", two_photos, axes="camera", texture="png")
    read, made = open3d.io.read_triangle_mesh(str(tmp_path / "mesh.obj")), two_photos.to_open3d()
    np.testing.assert_array_equal(made.vertices, two_photos.vertices)
    np.testing.assert_array_equal(made.triangles, two_photos.faces)
    assert made.has_vertex_normals()

    def by_face(mesh) -> dict:
        """{corners of a face: uv of them, texture}."""
        uv, vertices = np.asarray(mesh.triangle_uvs).reshape(-1, 3, 2), np.asarray(mesh.vertices)
        return {
            vertices[face].tobytes(): (uv[k].round(5).tolist(), np.asarray(mesh.textures[material]).tobytes())
            for k, (face, material) in enumerate(zip(mesh.triangles, mesh.triangle_material_ids, strict=True))
        }

    assert by_face(made) == by_face(read) and len(by_face(made)) == 6


def test_open3d_gets_points_with_their_colours(result):
    pytest.importorskip("open3d")
    cloud = result.to_open3d_points()
    known = np.isfinite(result.points[..., 2])
    np.testing.assert_array_equal(np.asarray(cloud.points), result.points[known])
    np.testing.assert_allclose(np.asarray(cloud.colors) * 255, result.pair.left[known])
    assert len(small(result.mesh).to_open3d().triangles) == len(result.mesh.faces)


def test_a_missing_library_is_named(two_photos, monkeypatch):
    for name in ("trimesh", "open3d"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    for convert, name in ((two_photos.to_trimesh, "trimesh"), (two_photos.to_open3d, "open3d")):
        with pytest.raises(StereoError, match=name) as caught:
            convert()
        assert caught.value.code == "library_missing" and f"pip install {name}" in caught.value.advice


# ----------------------------------------------------------------------------------------------------------- pickle


def same(one: object, two: object) -> bool:
    if isinstance(one, np.ndarray):
        return one.dtype == two.dtype and np.array_equal(one, two, equal_nan=one.dtype.kind == "f")
    if is_dataclass(one):
        return type(one) is type(two) and all(same(getattr(one, f.name), getattr(two, f.name)) for f in fields(one))
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, dict):
        return list(one) == list(two) and same(list(one.values()), list(two.values()))
    return one == two or one is two


def test_everything_can_be_pickled(result, slanted_pair):
    for value in some_of_each(result, slanted_pair):
        assert same(value, pickle.loads(pickle.dumps(value))), value  # noqa: S301
    frozen = slanted_pair.left.pixels.copy()
    frozen.flags.writeable = False
    read_only = Photo(frozen)
    assert same(read_only, pickle.loads(pickle.dumps(read_only)))  # noqa: S301
    error = StereoError("memory", "too little.", "Free some.", needed=3)
    error.add_note("in pair 7")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (again.code, again.numbers, str(again)) == ("memory", {"needed": 3}, str(error))
    assert again.__notes__ == ["in pair 7"]
