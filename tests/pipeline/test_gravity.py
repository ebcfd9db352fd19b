"""Gravity from the vertical edges of both photos."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stereo3d.cameras import read_rig
from stereo3d.geometry.rotations import angle_deg, rotation_from_vector
from stereo3d.geometry.two_view import fundamental_from_pose
from stereo3d.geometry.vanishing import common_direction, edge_angles, edge_normals, fit_direction
from stereo3d.images.read import read_photo
from stereo3d.images.segments import MIN_LENGTH, line_segments
from stereo3d.pipeline.gravity import find_gravity
from stereo3d.records import Photo, TwoView
from stereo3d.synthetic import renderer, scenes
from stereo3d.synthetic.scene import paint
from stereo3d.synthetic.tables import PLAIN

SIZE = (480, 360)
DEMO = Path(__file__).resolve().parents[2] / "data" / "demo"


def plastered(scene):
    """The scene with walls of one colour each, as most are: the mottled paint has an edge at every blotch."""
    rng = np.random.default_rng(3)
    colours = ["".join(f"{v:02x}" for v in rng.integers(40, 240, 3)) for _ in range(60)]
    numbers = iter(range(10**6))
    return replace(
        scene,
        groups=tuple(
            tuple(replace(solid, paint=paint(PLAIN, colours[next(numbers) % 60])) for solid in group)
            for group in scene.groups
        ),
    )


def pitched(scene, degrees):
    """The scene from a camera that looks up by an angle, degrees."""
    a = np.radians(degrees)
    target = np.add(scene.eye, 10 * np.array([0, -np.sin(a), np.cos(a)]))
    return replace(scene, target=tuple(target))


def view_of(pair):
    return view_of_rig(pair.rig)


def view_of_rig(rig):
    t = rig.t / np.linalg.norm(rig.t)
    F = fundamental_from_pose(rig.cam1.K, rig.cam2.K, rig.R, t)
    return TwoView(F, rig.R, t, np.ones(8, bool), replace(rig, t=t, unit=None))


@pytest.fixture(scope="module")
def corridor():
    """A corridor photographed by hand, looking down by 17 degrees."""
    scene = plastered(pitched(scenes.corridor(), -17))
    return renderer.render(scene, size=SIZE, pose="handheld", supersample=2, noise=1.0), down_in(scene)


@pytest.fixture(scope="module")
def street():
    """A street through a lens that distorts, looking up by 15 degrees."""
    scene = plastered(pitched(scenes.street(), 15))
    return renderer.render(scene, size=SIZE, pose="handheld", dist=(-0.15, 0.04), supersample=1), down_in(scene)


def down_in(scene):
    """Gravity in the frame of camera 1."""
    return renderer.scene_from_camera1(scene)[0] @ [0, 1, 0]


@pytest.mark.parametrize("name, degrees", [("corridor", -17), ("street", 15)])
def test_vertical_edges_show_gravity(name, degrees, request):
    pair, truth = request.getfixturevalue(name)
    down, (finding,) = find_gravity(pair.left, pair.right, view_of(pair))
    assert down is not None and angle_deg(down, truth) < 1.0  # 2 are asked for
    assert (finding.code, finding.severity) == ("gravity", "info")
    assert finding.numbers["pitch_deg"] == pytest.approx(degrees, abs=1)
    assert f"looks {'up' if degrees > 0 else 'down'}" in finding.message


def test_a_still_life_on_a_table_shows_it_too():
    """The demo, whose camera looks down by 18 degrees."""
    rig = read_rig(DEMO / "rig.json")
    down, findings = find_gravity(read_photo(DEMO / "left.jpg"), read_photo(DEMO / "right.jpg"), view_of_rig(rig))
    assert angle_deg(down, down_in(scenes.still_life())) < 0.5 and len(findings) == 1


@pytest.mark.parametrize("name", ["handheld_pair", "vertical_pair", "garden"])
def test_nothing_is_claimed_where_no_edges_are_vertical(name, request):
    pair = request.getfixturevalue(name)
    assert find_gravity(pair.left, pair.right, view_of(pair)) == (None, [])


@pytest.fixture(scope="module")
def garden():
    """A path between bushes."""
    return renderer.render(pitched(scenes.garden_path(), -15), size=SIZE, pose="handheld", supersample=1)


def test_photos_that_disagree_claim_nothing(corridor):
    """A pose turned by 5 degrees about the line of sight: the verticals of both photos are no longer parallel."""
    pair, _ = corridor
    view = view_of(pair)
    R = rotation_from_vector(np.radians([0, 0, 5])) @ view.R
    wrong = replace(view, R=R, rig=replace(view.rig, R=R))
    assert find_gravity(pair.left, pair.right, wrong) == (None, [])


def test_files_have_the_first_word(corridor):
    """The first photo's file before the second's, and both before edges."""
    left, right, view = corridor[0].left, corridor[0].right, view_of(corridor[0])
    first, second = np.array([0.1, 0.99, 0.1]), np.array([0.0, 0.8, 0.6])
    stated = [replace(p, exif={"gravity": tuple(g)}) for p, g in ((left, first), (right, second))]
    assert find_gravity(*stated, view)[0] == pytest.approx(first)
    down, findings = find_gravity(left, stated[1], view)
    assert down == pytest.approx(view.R.T @ second) and findings == []


def test_the_direction_of_edges_in_space():
    """Edges of a camera pitched by 20 degrees that look along one direction in space: found among as many others."""
    rng = np.random.default_rng(0)
    R = rotation_from_vector(np.radians([20, 0, 3]))
    foot = rng.uniform([-3, -2, 4], [3, 2, 9], (60, 3))
    top = foot + np.array([0, -1.0, 0]) * rng.uniform(0.5, 2, (60, 1))
    X = np.stack([foot, top], 1) @ R.T
    ends = X[..., :2] / X[..., 2:]
    v = R @ [0, 1, 0]
    assert np.abs(edge_normals(ends) @ v).max() < 1e-12
    assert edge_angles(ends, v).max() < 1e-9 and edge_angles(ends, -v).max() < 1e-9
    assert abs(fit_direction(edge_normals(ends), np.ones(60)) @ v) == pytest.approx(1)
    others = ends.mean(1)[:, None] + rng.normal(0, 0.05, (60, 2, 2))
    mixed = np.concatenate([ends, others])
    found, inliers = common_direction(mixed, np.full(120, 0.002), near=np.array([0, 1.0, 0]), within=0.7)
    assert angle_deg(found, v) < 0.1 and inliers[:60].all() and inliers[60:].sum() < 10
    assert common_direction(ends[:1], np.ones(1), near=v, within=0.5) is None
    assert common_direction(ends, np.ones(60), near=R @ [1, 0, 0], within=0.1) is None
    axis = edge_angles(np.array([[[0.0, 0.0], [0.0, 0.1]]]), np.array([[0, 1.0, 0], [1, 0, 0], [1, 1, 0]]))
    assert np.degrees(axis.ravel()) == pytest.approx([0, 90, 45])


def test_segments_of_a_picture():
    """A dark rectangle of 200 x 120 px: its four sides, in px of the photo, at half the size as well."""
    pixels = np.full((800, 1200, 3), 220, np.uint8)
    pixels[300:420, 500:700] = 40
    for size in (1200, 600):
        ends = line_segments(Photo(pixels), max_size=size)
        corners = np.array([[499.5, 299.5], [699.5, 299.5], [699.5, 419.5], [499.5, 419.5]])
        away = np.linalg.norm(ends[:, :, None] - corners, axis=-1).min(2)
        assert len(ends) == 4 and away.max() < 5
    mask = np.ones((800, 1200), bool)
    mask[:, :600] = False
    kept = line_segments(Photo(pixels, mask=mask))
    assert len(kept) == 1 and kept[..., 0].min() > 690
    assert len(line_segments(Photo(np.full((100, 100, 3), 90, np.uint8)))) == 0
    assert np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1).min() >= MIN_LENGTH * 1200
