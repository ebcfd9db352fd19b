"""Panoramas and fisheyes of a whole field: pictures of a rendered room, reconstructed all around."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from PIL import Image

from stereo3d import Camera, Config, Photo, PhotoPair, Rig, WideLens, build_mesh, read_photo, reconstruct, write_report
from stereo3d.cameras.panorama import panorama_camera
from stereo3d.errors import StereoError
from stereo3d.features.faces import FACES
from stereo3d.geometry.arrays import norms
from stereo3d.geometry.rotations import rotation_from_vector
from stereo3d.mesh.preview import preview, render
from stereo3d.output import measured, save_stages
from stereo3d.output.camera_files import save_cameras
from stereo3d.output.stage_files import save_photo_maps
from stereo3d.pipeline.cameras import cameras_of, uses_whole_field
from stereo3d.pipeline.scale import known_scale
from stereo3d.pipeline.sources import use_source
from stereo3d.pipeline.surface import mesh_with_fallback
from stereo3d.synthetic import renderer
from stereo3d.synthetic.scene import BRICK, EARTH, FOREST, SLATE, Scene, ball, make_solid, mottled
from stereo3d.synthetic.tables import BOX, RECTANGLE

XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" '
    'GPano:ProjectionType="{}"/></x:xmpmeta>'
)
WIDTH = 512  # px, of the panoramas
C = np.array([0.22, 0.06, 0.12])  # m, position of the second panorama
R = rotation_from_vector(np.radians([4.0, 25.0, -3.0]))
MIN_PX = 2.0  # parallax below which there is no depth


def room() -> Scene:
    """A room of 3.2 x 2.2 x 4 m with two boxes and two balls, the first camera in its middle."""
    x, y, z = 1.6, 1.1, 2.0
    coats = [mottled(p, 0.14, seed=k) for k, p in enumerate((EARTH, FOREST, BRICK, SLATE, EARTH, BRICK))]
    walls = (
        make_solid(RECTANGLE, (0, 0, z), (x, y, 1), coats[0]),
        make_solid(RECTANGLE, (0, 0, -z), (x, y, 1), coats[1]),
        make_solid(RECTANGLE, (x, 0, 0), (z, y, 1), coats[2], turn=(0, 90, 0)),
        make_solid(RECTANGLE, (-x, 0, 0), (z, y, 1), coats[3], turn=(0, 90, 0)),
        make_solid(RECTANGLE, (0, y, 0), (x, z, 1), coats[4], turn=(90, 0, 0)),
        make_solid(RECTANGLE, (0, -y, 0), (x, z, 1), coats[5], turn=(90, 0, 0)),
    )
    things = (
        (make_solid(BOX, (0.8, 0.7, 1.2), (0.3, 0.4, 0.3), mottled(BRICK, 0.1, seed=11), turn=(0, 30, 0)),),
        (make_solid(BOX, (-0.9, 0.6, -1.1), (0.35, 0.5, 0.25), mottled(SLATE, 0.1, seed=12), turn=(0, -20, 0)),),
        ball((-0.7, 0.3, 1.3), (0.3,) * 3, mottled(FOREST, 0.1, seed=13)),
        ball((0.9, -0.4, -1.0), (0.3,) * 3, mottled(EARTH, 0.1, seed=14)),
    )
    return Scene((walls, *things), target=(0, 0, 1), sky=(1.0, 0.0), lamp=((0, -0.9, 0), 0.1, 0.3))


def blank(width: int, height: int, **facts) -> Photo:
    return Photo(np.zeros((height, width, 3), np.uint8), facts)


def save(path, photo: Photo, projection: str | None) -> None:
    xmp = {} if projection is None else {"xmp": XMP.format(projection).encode()}
    Image.fromarray(photo.pixels).save(path, quality=95, **xmp)


def parallax_px(X: np.ndarray, camera: Camera) -> np.ndarray:
    """Pixels of the photo by which points X (..., 3) move, turns taken out."""
    X2 = X - C
    sine = np.linalg.norm(np.cross(X, X2), axis=-1)
    return np.arctan2(sine, (X * X2).sum(-1)) / camera.pixel_angle


# ------------------------------------------------------------------------------------------------ panoramas


@pytest.fixture(scope="module")
def panoramas(tmp_path_factory):
    """Two panoramas of the room with their truth, and what becomes of their files, of which nothing else is known."""
    camera = panorama_camera(blank(WIDTH, WIDTH // 2))
    rendered = renderer.render(room(), camera1=camera, camera2=camera, pose=(R, -R @ C), supersample=2, noise=1.0)
    folder = tmp_path_factory.mktemp("panoramas")
    paths = folder / "a.jpg", folder / "b.jpg"
    for path, photo in zip(paths, (rendered.left, rendered.right), strict=True):
        save(path, photo, "equirectangular")
    return camera, rendered, reconstruct(*paths)


def test_the_depth_around_a_panorama_is_right_to_a_fiftieth(panoramas):
    camera, rendered, result = panoramas
    x = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(WIDTH // 2)), -1).reshape(-1, 2)
    rays, truth = camera.rays_from_pixels(x), rendered.depth1.ravel()
    moves = parallax_px(rays * truth[:, None], camera) > MIN_PX
    at = np.rint(result.pair.sphere.positions(x, 0)).astype(int)
    height, width = result.disparity.shape
    at[:, 1] %= height
    inside = (at[:, 0] >= 0) & (at[:, 0] < width)
    found = np.full(len(x), np.nan)
    found[inside] = np.linalg.norm(result.points, axis=-1)[at[inside, 1], at[inside, 0]]
    scale = np.nanmedian(truth / found)
    assert scale == pytest.approx(np.linalg.norm(C), rel=0.01)  # the unit is the baseline
    assert moves.mean() > 0.9
    assert np.mean(np.abs(scale * found[moves] / truth[moves] - 1) < 0.02) > 0.8  # NaN counts as wrong


def test_the_pose_of_panoramas_comes_from_rays_all_around(panoramas):
    _, _, result = panoramas
    t = -R @ C / np.linalg.norm(C)
    assert np.degrees(np.arccos(np.clip(result.view.t @ t, -1, 1))) < 0.2
    assert np.degrees(np.arccos((np.trace(result.view.R @ R.T) - 1) / 2)) < 0.1
    finding = next(f for f in result.findings if f.code == "panorama")
    assert finding.numbers["around_deg"] == 360 and 0 < finding.numbers["direction_sigma_deg"] < 0.2
    assert result.verdict == "good" and result.pair.kind == "sphere"


def test_the_mesh_closes_where_the_rows_meet(panoramas):
    """Hardly an edge of a single face lies between the last row and the first."""
    _, _, result = panoramas
    grid, mesh = result.pair.sphere, result.mesh
    assert grid.closed and not grid.padding
    place, index = np.unique(mesh.vertices, axis=0, return_inverse=True)  # the seam of the texture has doubles
    faces = index.reshape(-1)[mesh.faces]
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    single, count = np.unique(edges, axis=0, return_counts=True)
    assert count.max() == 2
    turned = place @ grid.rect_from_cam[0].T
    angle = np.arctan2(turned[:, 1], turned[:, 2])
    beside = np.abs((angle - grid.row_angles[0] + np.pi) % (2 * np.pi) - np.pi) < 1.5 * grid.row_pitch
    open_edges = beside[single[count == 1]].all(1).sum()
    assert beside.sum() > result.disparity.shape[1] and open_edges < 0.1 * beside.sum()


def test_the_texture_of_a_panorama_is_the_photo_at_its_own_pixels(panoramas):
    camera, _, result = panoramas
    mesh = result.mesh
    x = mesh.uv * [1, -1] * camera.size + [-0.5, camera.size[1] - 0.5]
    off = norms(camera.rays_from_pixels(x) - mesh.vertices / norms(mesh.vertices)[:, None])
    assert np.quantile(off, 0.9) < 1e-6 and off.max() < 4 * result.pair.sphere.pitch  # at the seam by their face
    assert np.ptp(mesh.uv[mesh.faces, 0], axis=1).max() < 0.5  # no face reaches across the picture
    assert np.array_equal(mesh.texture, result.left.pixels)
    assert 0.3 < (mesh.vertices[:, 2] > 0).mean() < 0.7


def test_from_within_the_mesh_looks_as_the_panorama_did(panoramas):
    """Seen from its camera in six directions, against the photo resampled: upright, not mirrored, closed behind."""
    cv2 = pytest.importorskip("cv2")
    pytest.importorskip("open3d")
    camera, _, result = panoramas
    side = 120
    K = np.array([[side / 2, 0, (side - 1) / 2], [0, side / 2, (side - 1) / 2], [0, 0, 1]])
    x = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1)
    rays = np.concatenate([(x - (side - 1) / 2) / (side / 2), np.ones((side, side, 1))], -1)
    for x_axis, z_axis in FACES:
        Q = np.array([x_axis, np.cross(z_axis, x_axis), z_axis], dtype=float)
        picture = render(result.mesh, K=K, size=(side, side), R=Q, background=(255, 0, 255))
        at = camera.pixels_from_rays(rays @ Q).astype(np.float32)
        photo = cv2.remap(result.left.pixels, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        shown = (picture != (255, 0, 255)).any(-1)
        off, mirrored = (np.abs(p[shown].astype(float) - photo[shown]).mean() for p in (picture, picture[:, ::-1]))
        assert off < 6 and mirrored > 3 * off, z_axis
        if z_axis in ((0, 0, -1), (0, 1, 0), (0, -1, 0)):  # the seam behind, and both poles
            assert shown[:, side // 2 - 2 : side // 2 + 2].mean() > 0.9


def test_a_known_distance_between_pixels_of_a_panorama_gives_its_scale(panoramas):
    """Two places at opposite ends of the picture, one of them behind the camera."""
    camera, rendered, result = panoramas
    x = np.array([[40.0, 120.0], [300.0, 170.0]])
    i, j = x.astype(int).T
    X = camera.rays_from_pixels(x) * rendered.depth1[j, i][:, None]
    known = tuple(x[0]), tuple(x[1]), float(np.linalg.norm(X[1] - X[0]))
    factor, finding = known_scale(result.points, result.sigma, result.pair, result.view, known, "m")
    assert factor == pytest.approx(np.linalg.norm(C), rel=0.01)
    assert 0 < finding.numbers["relative_error"] < 0.02


def test_every_output_of_a_panorama_is_written(panoramas, tmp_path):
    camera, _, result = panoramas
    for name in ("a.obj", "a.glb", "a.ply"):
        assert result.save(tmp_path / name)[0].stat().st_size > 100_000
    page = write_report(tmp_path / "a.html", result).read_text(encoding="utf-8")
    assert "over the whole sphere" in page and re.search(r'"wide": ?true', page)
    save_stages(result, tmp_path / "stages")
    cameras = json.loads((tmp_path / "stages" / "cameras.json").read_text(encoding="utf-8"))
    assert cameras["cameras"]["left"]["lens"]["model"] == "equirectangular"
    assert "lens" in measured(result, [], 1.0)["cameras"]["right"]
    pytest.importorskip("open3d")
    sheet = preview(result.mesh, camera, size=100)
    assert sheet.shape == (100, 400, 3)
    clay = sheet[50:].reshape(50, 4, 100, 3)
    assert ((clay.max(-1) - clay.min(-1) < 40) & (clay.max(-1) > 60)).mean((0, 2)).min() > 0.8  # seen from within


def test_maps_parts_and_solids_of_a_panorama(panoramas, tmp_path):
    """The depth map holds distances in every direction; a part and a shell come out; COLMAP has no such camera."""
    pytest.importorskip("open3d")
    _, rendered, result = panoramas
    depth, normals = result.photo_maps(normals=True)
    assert depth.shape == (WIDTH // 2, WIDTH) and np.isfinite(depth).mean() > 0.85
    scale = np.nanmedian(rendered.depth1 / depth)
    assert scale == pytest.approx(np.linalg.norm(C), rel=0.01)
    with np.errstate(invalid="ignore"):
        assert np.mean(np.abs(scale * depth / rendered.depth1 - 1) < 0.02) > 0.75
    behind = normals[WIDTH // 4, [2, WIDTH // 2]]  # the walls behind the camera and before it face each other
    assert behind[0, 2] > 0.9 and behind[1, 2] < -0.9
    confidence = result.confidence_map()
    assert confidence.shape == depth.shape and confidence[np.isfinite(depth)].mean() > 0.5
    facts = save_photo_maps(result, depth=tmp_path / "d.png", confidence=tmp_path / "c.png")
    assert facts["depth"]["what"] == "distance from the camera" and facts["size"] == [WIDTH, WIDTH // 2]
    part = result.cropped((100, 60, 200, 160))
    assert 0 < len(part.mesh.faces) < len(result.mesh.faces) / 4
    shell = trimesh.load(part.save(tmp_path / "a.stl", solid=0.2)[0])
    assert shell.is_watertight and result.save(tmp_path / "a.usdz")[0].stat().st_size > 100_000
    for name in ("colmap", "transforms.json", "rig.yml"):
        with pytest.raises(StereoError, match="equirectangular"):
            save_cameras(result, tmp_path / name)


def test_a_mesher_that_cannot_go_around_is_replaced(panoramas):
    _, _, result = panoramas
    config = Config(mesher="poisson", faces=2000)
    mesh, findings = mesh_with_fallback(result.points[::2, ::2], result.sigma[::2, ::2], None, config, thinned(result))
    assert [f.code for f in findings] == ["grid_mesh"] and len(mesh.faces) > 100
    with pytest.raises(StereoError, match="no surface all around"):
        build_mesh(result.points, sphere=result.pair.sphere, method="poisson")


def thinned(result):
    """The pair of a run, of every second row and column."""
    pair, grid = result.pair, result.pair.sphere
    grid = replace(grid, pitch=2 * grid.pitch, row_angles=grid.row_angles[::2])
    arrays = {name: getattr(pair, name)[::2, ::2] for name in ("left", "right", "map1", "map2")}
    return replace(pair, sphere=grid, **arrays)


def test_the_option_makes_panoramas_of_photos_that_state_nothing():
    source = use_source(
        PhotoPair(blank(200, 100), blank(200, 100), form=""), None, Config(projection="equirectangular")
    )
    rig = cameras_of(source.left, source.right, None, source.config)
    assert rig.cam1.is_panorama and rig.cam2.is_panorama and rig.wide
    with pytest.raises(StereoError, match="projection cannot be"):
        Config(projection="mercator")


def test_the_file_states_the_part_of_the_sphere(tmp_path):
    numbers = {"FullPanoWidthPixels": 400, "FullPanoHeightPixels": 200, "CroppedAreaLeftPixels": 50}
    numbers |= {"CroppedAreaTopPixels": 20, "CroppedAreaImageWidthPixels": 120, "CroppedAreaImageHeightPixels": 60}
    stated = 'ProjectionType="equirectangular" ' + " ".join(f'GPano:{name}="{n}"' for name, n in numbers.items())
    xmp = XMP.format("equirectangular").replace('ProjectionType="equirectangular"', stated)
    Image.fromarray(np.zeros((60, 120, 3), np.uint8)).save(tmp_path / "a.jpg", xmp=xmp.encode())
    assert read_photo(tmp_path / "a.jpg").exif["panorama_area"] == (400, 200, 50, 20, 120, 60)


def test_a_turn_on_the_spot_has_no_depth():
    """The same panorama with its columns rolled: all of it moves, and nothing of it by parallax."""
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.integers(0, 256, (32, 64, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    photos = [Photo(p, {"projection": "equirectangular"}) for p in (pixels, np.roll(pixels, 100, axis=1))]
    with pytest.raises(StereoError) as caught:
        reconstruct(*photos)
    assert caught.value.code == "pure_rotation"


def test_a_panorama_that_is_no_equirectangular_one_is_refused_by_name(slanted_pair):
    left, right = (
        replace(photo, exif={"projection": "cylindrical"}) for photo in (slanted_pair.left, slanted_pair.right)
    )
    with pytest.raises(StereoError, match="panorama \\(cylindrical\\)") as caught:
        reconstruct(left, right)
    assert caught.value.exit_code == 3


def test_a_panorama_and_a_photo_are_no_pair(slanted_pair):
    with pytest.raises(StereoError, match="only one photo is a panorama") as caught:
        reconstruct(blank(600, 300, projection="equirectangular"), slanted_pair.right)
    assert caught.value.code == "panorama"


def test_targets_are_not_measured_in_panoramas(slanted_pair):
    photos = [blank(600, 300, projection="equirectangular"), replace(blank(600, 300, projection="equirectangular"))]
    photos[1].pixels[0] = 1
    with pytest.raises(StereoError, match="markers cannot be measured"):
        reconstruct(*photos, config=Config(markers=["4X4_50:3:0.05"]))


# ------------------------------------------------------------------------------------------------ the camera


def test_a_panorama_shows_each_direction_at_its_place():
    camera = panorama_camera(blank(400, 200))
    ahead, right, down, behind = np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0], [1e-9, 0, -1]])
    assert camera.pixels_from_rays(ahead) == pytest.approx([199.5, 99.5])
    assert camera.pixels_from_rays(right) == pytest.approx([299.5, 99.5])
    assert camera.pixels_from_rays(down)[1] == pytest.approx(199.5)
    assert camera.pixels_from_rays(behind)[0] == pytest.approx(399.5)
    assert camera.pixel_angle == pytest.approx(2 * np.pi / 400, rel=1e-3)


def test_a_part_of_a_panorama_is_in_its_place():
    """The right half of the upper half of a whole of 400 x 200 px, at twice the size."""
    whole = panorama_camera(blank(400, 200))
    part = panorama_camera(blank(400, 200, panorama_area=(400, 200, 200, 0, 200, 100)))
    ray = np.array([[0.7, -0.3, 0.2], [0.4, -1.0, -0.5]])
    x = (whole.pixels_from_rays(ray) + 0.5 - [200, 0]) * 2 - 0.5
    assert part.pixels_from_rays(ray) == pytest.approx(x)


@pytest.mark.parametrize("area", [None, (400, 100, 0, 0, 300, 100), (400, 200, 200, 0, 300, 200)])
def test_a_panorama_of_an_unknown_part_is_refused(area):
    photo = blank(300, 200) if area is None else blank(300, 200, panorama_area=area)
    with pytest.raises(StereoError, match="what part of the sphere") as caught:
        panorama_camera(photo)
    assert caught.value.code == "panorama"


# ------------------------------------------------------------------------------------------------ fisheyes


SIDE = 400  # px
FISHEYE = Camera(
    np.array([[SIDE / np.pi, 0, (SIDE - 1) / 2], [0, SIDE / np.pi, (SIDE - 1) / 2], [0, 0, 1]]),
    (SIDE, SIDE),
    lens=WideLens("fisheye", (0.0, 0.0, 0.0, 0.0)),  # 180 degrees from side to side
)
C2 = np.array([0.2, 0.01, 0.03])
R2 = rotation_from_vector(np.radians([1.0, 4.0, -1.0]))


@pytest.fixture(scope="module")
def fisheyes():
    """Two fisheye photos of the room and their metric rig, and what becomes of them."""
    rig = Rig(FISHEYE, FISHEYE, R2, -R2 @ C2, "m")
    rendered = renderer.render(room(), camera1=FISHEYE, camera2=FISHEYE, pose=(R2, -R2 @ C2), supersample=2, noise=1.0)
    photos = []
    y, x = np.mgrid[:SIDE, :SIDE]
    for photo in (rendered.left, rendered.right):
        pixels = np.maximum(photo.pixels, 3)
        pixels[np.hypot(x - (SIDE - 1) / 2, y - (SIDE - 1) / 2) > SIDE / 2] = 0  # what no lens shows
        photos.append(Photo(pixels))
    return rig, rendered, reconstruct(*photos, rig)


def sample_mesh(mesh, count: int) -> np.ndarray:
    """Points (count, 3), uniform by area."""
    rng = np.random.default_rng(0)
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    face = rng.choice(len(area), count, p=area / area.sum())
    u, v = rng.random((2, count, 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    return a[face] + u * (b - a)[face] + v * (c - a)[face]


def test_a_fisheye_of_180_degrees_gives_its_whole_field(fisheyes):
    """F-score at 1 % of the distance, of what both photos see; metric."""
    from scipy.spatial import cKDTree

    rig, rendered, result = fisheyes
    assert result.unit == "m" and result.pair.kind == "sphere"
    finding = next(f for f in result.findings if f.code == "wide_lens")
    assert finding.numbers["used_deg"] == pytest.approx(180, abs=1)
    inside = np.hypot(*np.moveaxis(np.indices((SIDE, SIDE)) - (SIDE - 1) / 2, 0, 0)) < SIDE / 2 - 3
    x = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), -1)
    truth = FISHEYE.rays_from_pixels(x) * rendered.depth1[..., None]
    both = truth[rendered.visible1 & inside]
    surface = sample_mesh(result.mesh, 400_000)
    completeness = np.mean(cKDTree(surface).query(both)[0] < 0.01 * np.linalg.norm(both, axis=1))
    some = surface[::20]
    W, origin = renderer.scene_from_camera1(room())
    known = truth[np.isfinite(truth).all(-1)]
    near = cKDTree(known).query(some)[0]
    distance = np.linalg.norm(some, axis=1)
    along = np.abs(renderer.cast(room(), origin, some / distance[:, None] @ W) - distance)
    precision = np.mean(np.minimum(near, along) < 0.01 * distance)
    assert 2 * precision * completeness / (precision + completeness) > 0.9
    angle = np.degrees(np.arccos(surface[:, 2] / np.linalg.norm(surface, axis=1)))
    assert np.quantile(angle, 0.98) > 80  # far beyond a pinhole view
    r = np.linalg.norm(result.points, axis=-1)
    known = np.isfinite(r)
    rays = (result.points[known] / r[known][:, None]) @ W
    assert np.nanmedian(r[known] / renderer.cast(room(), origin, rays)) == pytest.approx(1, abs=0.01)


def test_a_lens_that_a_pinhole_view_holds_keeps_it():
    narrow = replace(
        FISHEYE, K=FISHEYE.K * [[1.6], [1.6], [1]] + np.array([[0, 0, -0.6], [0, 0, -0.6], [0, 0, 0]]) * 199.5
    )
    posed, unposed = Rig(narrow, narrow, R2, C2, "m"), Rig(FISHEYE, FISHEYE)
    assert not uses_whole_field(posed, Config())
    assert not uses_whole_field(unposed, Config())
    assert uses_whole_field(replace(unposed, R=R2, t=C2, unit="m"), Config())
    assert not uses_whole_field(replace(unposed, R=R2, t=C2), Config(known_distance=((9, 9), (90, 90), 1.0)))
