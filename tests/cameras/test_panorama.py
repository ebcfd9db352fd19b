"""Panoramas as files hold them: gravity, two in one picture, halves, statements that are lost or wrong."""

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from stereo3d import Config, Photo, Rig, read_pair, read_photo
from stereo3d.cameras.fit import turn_rig
from stereo3d.cameras.panorama import panorama_camera
from stereo3d.errors import StereoError
from stereo3d.images.turn import turn_photo
from stereo3d.pipeline.cameras import cameras_of
from stereo3d.pipeline.gravity import find_gravity
from stereo3d.pipeline.refusals import looks_equirectangular, refuse_other_projections
from stereo3d.pipeline.upright import turn_upright
from stereo3d.records import TwoView

XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" '
    'GPano:ProjectionType="equirectangular" {}/></x:xmpmeta>'
)


def blank(width: int, height: int, **facts) -> Photo:
    return Photo(np.zeros((height, width, 3), np.uint8), facts)


def panorama(width: int = 200, **facts) -> Photo:
    return blank(width, width // 2, projection="equirectangular", **facts)


def saved(path, stated: str = "", pixels: np.ndarray | None = None):
    pixels = np.zeros((100, 200, 3), np.uint8) if pixels is None else pixels
    Image.fromarray(pixels).save(path, quality=95, xmp=XMP.format(stated).encode())
    return path


def directions(size: tuple[int, int]) -> np.ndarray:
    """What a whole panorama shows at each pixel, from its definition."""
    width, height = size
    longitude = (np.arange(width) + 0.5) / width * 2 * np.pi - np.pi
    latitude = ((np.arange(height) + 0.5) / height - 0.5)[:, None] * np.pi
    shape = np.broadcast_shapes(longitude.shape, latitude.shape)
    x, z = np.cos(latitude) * np.sin(longitude), np.cos(latitude) * np.cos(longitude)
    return np.stack([x, np.broadcast_to(np.sin(latitude), shape), z], -1)


def textured(size: tuple[int, int], quality: int = 95) -> np.ndarray:
    """A panorama of waves through space, continuous over the seam and the poles."""
    d, rng = directions(size), np.random.default_rng(0)
    waves = rng.normal(size=(40, 3)) * 12
    value = np.sin(d @ waves.T + rng.uniform(0, 6, 40)).sum(-1)
    return np.repeat((128 + 12 * value).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


# ------------------------------------------------------------------------------------------------ gravity


@pytest.mark.parametrize(
    ("stated", "down"),
    [
        ('GPano:PosePitchDegrees="0" GPano:PoseRollDegrees="0.0"', (0, 1, 0)),
        ('GPano:PosePitchDegrees="90"', (0, 0, -1)),  # the middle shows the zenith
        ('GPano:PosePitchDegrees="30"', (0, math.cos(math.radians(30)), -0.5)),
        ('GPano:PoseRollDegrees="90"', (1, 0, 0)),  # the horizon turned counter-clockwise: down is at the right
        ('GPano:PoseRollDegrees="-30"', (-0.5, math.cos(math.radians(30)), 0)),
        ('GPano:PosePitchDegrees="91"', None),
        ('GPano:PoseHeadingDegrees="120"', None),
        ('drone-dji:GimbalPitchDegree="-90"', None),  # of one of the photos that it was made of
    ],
)
def test_the_pose_of_a_panorama_gives_gravity(tmp_path, stated, down):
    found = read_photo(saved(tmp_path / "a.jpg", stated)).exif.get("gravity")
    assert found is None if down is None else found == pytest.approx(down, abs=1e-12)


def test_pitch_and_roll_are_those_of_a_camera_turned_so():
    """Against rotations one after the other: first up by the pitch, then about the line of sight."""
    pitch, roll = np.radians([25.0, -40.0])
    up_by = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    assert (up_by.T @ [0, 0, 1])[1] == pytest.approx(-np.sin(pitch))  # the camera's axis rises: y is down
    about = np.array([[np.cos(roll), np.sin(roll), 0], [-np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    horizon = about @ [1, 0, 0]  # to the right, in the picture
    assert np.arctan2(-horizon[1], horizon[0]) == pytest.approx(roll)  # counter-clockwise, y being down
    down = about @ up_by @ [0, 1, 0]
    info = {"xmp": XMP.format('GPano:PosePitchDegrees="25" GPano:PoseRollDegrees="-40"')}
    from stereo3d.images.exif import panorama_gravity_of

    assert panorama_gravity_of(info) == pytest.approx(tuple(down))


def test_gravity_of_either_panorama_is_that_of_the_model(tmp_path):
    tilted = read_photo(saved(tmp_path / "a.jpg", 'GPano:PosePitchDegrees="10" GPano:PoseRollDegrees="5"'))
    camera = panorama_camera(tilted)
    R = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
    view = TwoView(np.eye(3), R, np.array([1.0, 0, 0]), np.zeros(0, bool), Rig(camera, camera))
    down = tilted.exif["gravity"]
    assert find_gravity(tilted, panorama(), view)[0] == pytest.approx(down)
    assert find_gravity(panorama(), tilted, view)[0] == pytest.approx(R.T @ down)
    assert find_gravity(panorama(), panorama(), view)[0] is None


# ------------------------------------------------------------------------------------------------ two in one file


def area(full: tuple[int, int], part: tuple[int, int] | None = None) -> str:
    numbers = zip(("Width", "Height"), full, part or full, strict=True)
    return " ".join(
        f'GPano:FullPano{side}Pixels="{n}" GPano:CroppedAreaImage{side}Pixels="{m}"' for side, n, m in numbers
    )


@pytest.mark.parametrize(
    ("stack", "stated"),
    [
        (np.vstack, ""),
        (np.hstack, ""),
        (np.vstack, area((200, 200))),  # of the file
        (np.vstack, area((200, 100))),  # of each panorama
        (np.hstack, area((400, 100))),
        (np.vstack, area((800, 800))),  # of a file that was reduced since
    ],
)
def test_two_panoramas_in_one_file_are_both_whole(tmp_path, stack, stated):
    pixels = textured((200, 100))
    pair = read_pair(saved(tmp_path / "a.jpg", stated, stack([pixels, np.roll(pixels, 2, axis=1)])))
    for photo in (pair.left, pair.right):
        assert photo.size == (200, 100) and photo.exif["projection"] == "equirectangular"
        camera = panorama_camera(photo)
        x = np.stack(np.meshgrid(np.arange(200), np.arange(100)), -1)
        assert camera.rays_from_pixels(x) == pytest.approx(directions((200, 100)), abs=1e-12)


def test_a_square_panorama_is_the_front_half():
    """VR180: the columns from a quarter to three quarters of the whole."""
    camera = panorama_camera(Photo(textured((200, 100))[:, 50:150], {"projection": "equirectangular"}))
    x = np.stack(np.meshgrid(np.arange(100), np.arange(100)), -1)
    assert camera.rays_from_pixels(x) == pytest.approx(directions((200, 100))[:, 50:150], abs=1e-12)


def test_a_square_of_two_panoramas_is_no_front_half():
    pixels = textured((200, 100))
    with pytest.raises(StereoError, match="--layout tb"):
        panorama_camera(Photo(np.vstack([pixels, np.roll(pixels, 2, axis=1)])))


# ------------------------------------------------------------------------------------------------ statements


def test_a_panorama_whose_file_has_lost_its_projection_is_recognised(tmp_path):
    pixels = textured((400, 200))
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=85)
    photo = read_photo(tmp_path / "a.jpg")
    assert looks_equirectangular(photo)
    rig = cameras_of(photo, photo, None, Config())
    with pytest.raises(StereoError, match="--projection equirectangular"):
        refuse_other_projections(photo, photo, rig, Config(), measured=False)
    for options in ({"focal_35mm": 28}, {"fov": 60}):  # a plain photo, as the user says
        rig = cameras_of(photo, photo, None, Config(**options))
        refuse_other_projections(photo, photo, rig, Config(**options), measured=False)


def test_other_photos_twice_as_wide_as_high_are_no_panoramas(slanted_pair):
    pixels = textured((400, 200))
    assert not looks_equirectangular(Photo(np.ascontiguousarray(pixels[:, :-40])))
    assert not looks_equirectangular(Photo(np.ascontiguousarray(np.pad(pixels, ((0, 0), (0, 40), (0, 0)))[:, 40:])))
    assert not looks_equirectangular(Photo(np.full((200, 400, 3), 255, np.uint8)))
    assert not looks_equirectangular(Photo(np.ascontiguousarray(slanted_pair.left.pixels[:160])))
    assert not looks_equirectangular(Photo(pixels[50:150].repeat(2, 0)))  # ends that meet, and no poles


def test_a_focal_length_beside_a_panorama_is_of_the_other_photo():
    photo = blank(300, 200)
    rig = cameras_of(panorama(), photo, None, Config(fov=70))
    assert rig.cam1.is_panorama and rig.cam2.lens is None
    assert rig.cam2.K[0, 0] == pytest.approx(150 / math.tan(math.radians(35)))
    refuse_other_projections(panorama(), photo, rig, Config(fov=70), measured=False)


def test_a_focal_length_of_two_panoramas_is_refused_by_name():
    rig = cameras_of(panorama(), panorama(), None, Config(fov=70))
    with pytest.raises(StereoError, match="Leave --focal") as caught:
        refuse_other_projections(panorama(), panorama(), rig, Config(fov=70), measured=False)
    assert caught.value.code == "panorama"


def test_a_panorama_is_turned_by_180_degrees_only():
    photo = Photo(textured((200, 100)), {"projection": "equirectangular", "gravity": (0.6, 0.8, 0.0)})
    camera = panorama_camera(photo)
    rig = Rig(camera, camera)
    left, _, turned, _ = turn_upright(photo, photo, rig, Config(rotate=180))
    assert left.exif["gravity"] == pytest.approx((-0.6, -0.8, 0))
    x = np.array([[30.0, 20.0], [150.0, 90.0]])
    upside_down = np.array(photo.size) - 1 - x
    assert turned.cam1.rays_from_pixels(upside_down) == pytest.approx(camera.rays_from_pixels(x) * [-1, -1, 1])
    assert np.array_equal(turn_photo(photo, 180).pixels[::-1, ::-1], photo.pixels)
    with pytest.raises(StereoError, match="--rotate 180"):
        turn_upright(photo, photo, rig, Config(rotate=90))
    assert turn_upright(photo, photo, rig, Config(rotate="auto"))[2:] == (rig, [])
    with pytest.raises(StereoError, match="circles of latitude"):
        turn_rig(rig, 90)


def test_a_part_of_a_panorama_keeps_its_place_when_it_is_turned():
    facts = {"projection": "equirectangular", "panorama_area": (400, 200, 120, 10, 200, 100)}
    part = replace(blank(200, 100), exif=facts)
    camera = panorama_camera(part)
    turned = turn_rig(Rig(camera, camera), 180).cam1
    x = np.array([[30.0, 20.0], [150.0, 90.0]])
    assert turned.rays_from_pixels([199, 99] - x) == pytest.approx(camera.rays_from_pixels(x) * [-1, -1, 1])
