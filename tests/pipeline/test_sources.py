"""Photos from one file, a folder, a list or a video: what comes out against the scene's truth."""

import json
import os
from dataclasses import replace

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from spatial_heic import write_spatial

from stereo3d import Config, Photo, reconstruct
from stereo3d.cli.parameters import cli
from stereo3d.errors import StereoError
from stereo3d.images import read_pair
from stereo3d.images.masks import apply_mask
from stereo3d.pipeline import sources
from stereo3d.pipeline.cameras import cameras_of
from stereo3d.pipeline.choose import candidate_of, rank_pairs
from stereo3d.pipeline.run import prepare
from stereo3d.pipeline.sources import use_source
from stereo3d.records import Camera, Matches, Rig, RigError
from stereo3d.synthetic import renderer
from stereo3d.two_view.estimate import estimate_two_view, sparse_points
from stereo3d.two_view.nominal import infinity_px, infinity_sigma

FAST = {"matcher": "sgbm", "mesher": "grid"}


def depth_ratio(result, pair) -> np.ndarray:
    """z / z_true of the points, at the pixels of the first photo."""
    known = np.isfinite(result.points[..., 2])
    x = np.rint(result.pair.map1[known]).astype(int)
    return result.points[known][:, 2] / pair.depth1[x[:, 1], x[:, 0]]


@pytest.fixture(scope="module")
def side_by_side():
    """Still life seen by two parallel cameras 60 mm apart: 400 x 300."""
    return renderer.render("still_life", size=(400, 300), pose=(np.eye(3), np.array([-0.06, 0, 0])), supersample=1)


def test_a_spatial_photo_gives_depth_in_mm(tmp_path, side_by_side):
    path = tmp_path / "IMG_0042.HEIC"
    pictures = [side_by_side.right.pixels, side_by_side.left.pixels, side_by_side.right.pixels]
    focal = side_by_side.rig.cam1.focal
    write_spatial(path, pictures, (1, 2), focal=focal, baseline_um=60_000, model="iPhone 15 Pro")
    result = reconstruct(path, config=Config(**FAST))
    assert result.unit == "mm"
    ratio = depth_ratio(result, side_by_side) / 1000
    assert abs(np.median(ratio) - 1) < 0.01
    assert np.quantile(np.abs(ratio - 1), 0.75) < 0.02
    assert result.verdict in ("good", "fair")
    codes = [f.code for f in result.findings]
    assert "source" in codes and "rig_moved" in codes


def test_the_infinity_of_a_device_is_kept_where_its_pictures_are_bent():
    """Rows bent by a pixel feign a turn, which moves all depths; `RigError.device` knows where infinity lies."""
    rng = np.random.default_rng(3)
    K = np.array([[350.0, 0, 159.5], [0, 350.0, 119.5], [0, 0, 1]])
    camera = Camera(K, (320, 240), source="calibration")
    exact = Rig(camera, camera, np.eye(3), np.array([-60.0, 0, 0]), "mm")
    x1 = rng.uniform([0, 0], [319, 239], (600, 2))
    z = rng.uniform(1200, 2500, 600)
    X = np.column_stack([(x1 - K[:2, 2]) / 350.0 * z[:, None], z])
    x2 = (X + exact.t)[:, :2] / z[:, None] * 350.0 + K[:2, 2] + rng.normal(0, 0.1, (600, 2))
    bend = ((x2[:, 0] - 160) / 160) * ((x2[:, 1] - 120) / 120)
    matches = Matches(x1, x2 - np.column_stack([np.zeros(600), bend]), np.ones(600, np.float32))
    off = []
    for known in (RigError.device(), replace(RigError.device(), infinity_deg=None)):
        rig = replace(exact, error=known)
        view = estimate_two_view(matches, rig)
        depth = sparse_points(matches, view)[view.inliers, 2]
        off.append(abs(np.median(depth / z[view.inliers]) - 1))
        assert known.infinity_deg is None or abs(infinity_px(rig, view.rig)) < 2 * infinity_sigma(rig)
    assert off[0] < 0.06
    assert off[1] > 3 * off[0]


def with_window(pair, px: int) -> tuple[np.ndarray, np.ndarray]:
    """Both views cropped so that disparities of both signs remain: what a stereo window does."""
    return pair.left.pixels[:, px:], pair.right.pixels[:, :-px]


@pytest.mark.parametrize("form", ["mpo", "sbs"])
def test_one_file_with_a_stereo_window_gives_the_same_as_two_files(tmp_path, side_by_side, form):
    left, right = with_window(side_by_side, 24)
    for name, view in (("l.png", left), ("r.png", right)):
        Image.fromarray(view).save(tmp_path / name)
    two = reconstruct(tmp_path / "l.png", tmp_path / "r.png", config=Config(**FAST))
    if form == "mpo":
        path = tmp_path / "a.mpo"
        Image.fromarray(left).save(path, "MPO", save_all=True, append_images=[Image.fromarray(right)], quality=98)
    else:
        path = tmp_path / "a_SBS.png"
        Image.fromarray(np.concatenate([left, right], axis=1)).save(path)
    one = reconstruct(path, config=Config(**FAST))
    if form == "sbs":  # without loss: bit for bit
        assert np.array_equal(one.points, two.points, equal_nan=True)
    else:
        both = np.isfinite(one.points[..., 2]).mean(), np.isfinite(two.points[..., 2]).mean()
        assert both[0] == pytest.approx(both[1], abs=0.05)
        depth = [float(np.nanmedian(r.points[..., 2])) for r in (one, two)]
        assert depth[0] == pytest.approx(depth[1], rel=0.03)


def test_an_mpo_that_states_its_baseline_is_metric(tmp_path, side_by_side):
    exif = Image.Exif()
    exif[0x0110] = "FinePix REAL 3D W3"
    exif.get_ifd(0x8769)[0xA405] = round(side_by_side.rig.cam1.focal / np.hypot(400, 300) * np.hypot(36, 24))
    path = tmp_path / "DSCF0001.MPO"
    first, second = (Image.fromarray(p.pixels) for p in (side_by_side.left, side_by_side.right))
    first.save(path, "MPO", save_all=True, append_images=[second], quality=98, exif=exif)
    prepared = prepare(path)
    assert prepared.view.rig.unit == "mm"
    assert np.linalg.norm(prepared.view.t) == pytest.approx(75.0)


GOOD = {(0, 1), (2, 3), (4, 5)}


@pytest.fixture(scope="module")
def twenty():
    """Twenty photos; those of index 0 to 5 are three pairs of one scene each, the others show each something else."""
    size = (320, 240)
    sideways = (np.eye(3), np.array([-0.25, 0, 0]))
    pairs = [renderer.render(name, size=size, pose=sideways, supersample=1) for name in ("slanted", "sphere", "bars")]
    photos = [photo for pair in pairs for photo in (pair.left, pair.right)]
    photos[4:] = [
        Photo(np.ascontiguousarray(p.pixels[:, ::-1])) for p in photos[4:]
    ]  # the walls of two scenes are alike
    rng = np.random.default_rng(5)
    for _ in range(14):
        noise = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
        photos.append(Photo(cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)))
    return photos


def test_of_twenty_photos_one_of_the_three_good_pairs_is_chosen(twenty, monkeypatch):
    rankings = []
    monkeypatch.setattr(sources, "rank_pairs", lambda *a, **k: rankings.append(rank_pairs(*a, **k)) or rankings[-1])
    prepared = prepare(twenty)
    (ranked,) = rankings
    assert len(ranked) == 190 and {(p.first, p.second) for p in ranked[:3]} == GOOD
    assert all(p.score == 0 for p in ranked[3:])
    pair = [next(k for k, p in enumerate(twenty) if p.pixels is q.pixels) for q in (prepared.left, prepared.right)]
    assert tuple(sorted(pair)) in GOOD
    assert next(f for f in prepared.findings if f.code == "chosen_pair").numbers["pairs"] == 190


def test_a_turn_on_the_spot_a_blurred_copy_and_a_tiny_step_rank_below_a_step_aside():
    turn = np.radians(4)
    R = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])

    def view(R, step):
        return renderer.render("slanted", size=(320, 240), pose=(R, np.array([-step, 0, 0])), supersample=1)

    pair = view(np.eye(3), 0.2)
    blurred = Photo(cv2.GaussianBlur(pair.right.pixels, (0, 0), 2.5))
    photos = pair.left, pair.right, view(np.eye(3), 0.002).right, view(R, 1e-9).right, blurred
    ranked = rank_pairs([candidate_of(photo, Config()) for photo in photos])
    scores = {(p.first, p.second): p.score for p in ranked}
    assert scores[0, 1] > 2 * scores[0, 2]
    assert scores[0, 1] > 2 * scores[0, 3]
    assert scores[0, 1] > 1.3 * scores[0, 4]


def test_a_folder_of_photos_gives_a_model_of_its_best_pair(tmp_path, twenty):
    for k in (6, 0, 1):
        Image.fromarray(twenty[k].pixels).save(tmp_path / f"photo{k}.png")
    (tmp_path / "notes.txt").write_text("no photo")
    result = reconstruct(tmp_path, config=Config(**FAST))
    assert {result.left.path.name, result.right.path.name} == {"photo0.png", "photo1.png"}
    chosen = next(f for f in result.findings if f.code == "chosen_pair")
    assert chosen.numbers["pairs"] == 3 and chosen.numbers["angle_deg"] > 1


def test_photos_of_nothing_in_common_are_refused(twenty):
    with pytest.raises(StereoError, match="none of 3 pairs") as caught:
        prepare(twenty[6:9])
    assert caught.value.exit_code == 5


def test_the_command_prints_the_ranking_and_stops(tmp_path, twenty):
    names = []
    for k in (0, 1, 6):
        names.append(str(tmp_path / f"photo{k}.png"))
        Image.fromarray(twenty[k].pixels).save(names[-1])
    done = CliRunner().invoke(cli, ["reconstruct", *names, "--pairs", "2"])
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert lines[0].startswith("3 pairs of 3 photos") and lines[1].startswith("1. photo0.png and photo1.png")
    assert len(lines) == 3


def test_the_best_two_frames_of_a_video_are_chosen(tmp_path):
    """The camera stands, steps aside, and turns away to something else."""
    size = (320, 240)
    poses = [(np.eye(3), np.array([-b - 1e-9, 0, 0])) for b in (0.0, 0.1, 0.2, 0.3)]
    frames = [renderer.render("slanted", size=size, pose=pose, supersample=1).right for pose in poses]
    frames[:1] *= 3
    rng = np.random.default_rng(2)
    away = [cv2.resize(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8), size) for _ in range(3)]
    path = tmp_path / "walk.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, size)
    for picture in [*(f.pixels for f in frames), *away]:
        writer.write(np.ascontiguousarray(picture[..., ::-1]))
    writer.release()
    prepared = prepare(path)
    chosen = next(f for f in prepared.findings if f.code == "chosen_pair")
    seconds = sorted(float(chosen.numbers[k].split()[3]) for k in ("first", "second"))
    assert seconds[1] <= 0.5 and seconds[1] - seconds[0] >= 0.1
    assert prepared.left.size == size


def test_a_damaged_video_is_a_stereo_error(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 20)
    with pytest.raises(StereoError, match="video") as caught:
        prepare(path)
    assert caught.value.code == "photo_unreadable"


def test_what_a_mask_leaves_out_is_neither_feature_nor_surface(tmp_path, side_by_side):
    mask = np.full((300, 400), 255, np.uint8)
    mask[:, :160] = 0
    Image.fromarray(mask).save(tmp_path / "mask.png")
    result = reconstruct(
        side_by_side.left, side_by_side.right, side_by_side.rig, Config(**FAST, mask=[tmp_path / "mask.png"])
    )
    assert result.matches.x1[:, 0].min() > 160
    x = result.pair.map1[np.isfinite(result.points[..., 2])]
    assert x[:, 0].min() > 158 and x[:, 0].max() > 375
    assert np.median(np.abs(depth_ratio(result, side_by_side) - 1)) < 0.01


def test_a_mask_of_another_size_or_all_black_is_refused(tmp_path, side_by_side):
    for shape, level, code in (((100, 100), 255, "size_mismatch"), ((300, 400), 0, "blank")):
        Image.fromarray(np.full(shape, level, np.uint8)).save(tmp_path / "mask.png")
        with pytest.raises(StereoError) as caught:
            prepare(side_by_side.left, side_by_side.right, config=Config(mask=[tmp_path / "mask.png"]))
        assert caught.value.code == code


def thermal(picture: np.ndarray, low: int, span: int) -> Image.Image:
    """A picture as a thermal camera writes it: 16 bits, few of which are used."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64)
    return Image.fromarray(np.rint(low + span * grey / 255).astype(np.uint16))


def test_a_thermal_picture_keeps_the_levels_it_has(tmp_path, side_by_side):
    """Centikelvin of 16 bits, 10 degrees of which are used: 4 levels of 8 bits."""
    for name, photo in (("l.png", side_by_side.left), ("r.png", side_by_side.right)):
        thermal(photo.pixels, 29_000, 1000).save(tmp_path / name)
    result = reconstruct(tmp_path / "l.png", tmp_path / "r.png", side_by_side.rig, Config(**FAST))
    assert len(np.unique(result.left.pixels)) > 150
    assert np.median(np.abs(depth_ratio(result, side_by_side) - 1)) < 0.01
    stretched = next(f for f in result.findings if f.code == "stretched_levels")
    assert stretched.numbers["low1"] >= 29_000 and stretched.numbers["high1"] <= 30_000


def test_the_command_takes_one_file_and_names_its_form(tmp_path, side_by_side):
    path = tmp_path / "a_SBS.png"
    Image.fromarray(np.concatenate([side_by_side.left.pixels, side_by_side.right.pixels], axis=1)).save(path)
    args = [
        "reconstruct",
        str(path),
        "-o",
        str(tmp_path / "m.obj"),
        "--matcher",
        "sgbm",
        "--json",
        str(tmp_path / "m.json"),
    ]
    done = CliRunner().invoke(cli, args)
    assert done.exit_code == 0, done.output
    findings = json.loads((tmp_path / "m.json").read_text())["findings"]
    assert any(f["code"] == "source" and "side by side" in f["message"] for f in findings)
    assert (tmp_path / "m.obj").is_file()


def test_what_is_said_of_one_pair_is_refused_where_one_is_to_be_chosen(tmp_path, twenty):
    for given in ({"mask": [tmp_path / "m.png"]}, {"baseline": 0.2}, {"known_distance": ((1, 1), (9, 9), 2.0)}):
        with pytest.raises(StereoError, match="best pair of several") as caught:
            prepare(twenty[:3], config=Config(**given))
        assert caught.value.code == "bad_option"


def test_the_users_length_overrides_that_of_a_spatial_photo(tmp_path, slanted_pair):
    path = tmp_path / "a.heic"
    write_spatial(path, [slanted_pair.left.pixels, slanted_pair.right.pixels], (0, 1), focal=300.0, baseline_um=19_240)
    pair = read_pair(path)
    source = use_source(pair, None, Config(baseline=2.0, unit="cm"))
    rig = cameras_of(source.left, source.right, source.rig, source.config)
    assert rig.unit == "cm" and np.linalg.norm(rig.t) == pytest.approx(2.0)
    assert "apart" not in source.findings[0].message
    focal = use_source(pair, None, Config(focal_35mm=30))
    assert focal.rig is None and focal.config.baseline == pytest.approx(19.24)
    assert "with its cameras" not in focal.findings[0].message and "apart" in focal.findings[0].message


def test_a_mask_of_a_large_photo_may_be_a_small_file(tmp_path):
    Image.fromarray(np.full((6000, 6000), 255, np.uint8)).save(tmp_path / "m.png")
    photo = Photo(np.zeros((6000, 6000, 3), np.uint8))
    assert apply_mask(photo, tmp_path / "m.png") is photo


def test_a_mask_larger_than_its_photo_is_named_by_its_size(tmp_path):
    Image.fromarray(np.full((200, 300), 255, np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(StereoError, match="has 300 x 200 px, its photo 150 x 100 px"):
        apply_mask(Photo(np.zeros((100, 150, 3), np.uint8)), tmp_path / "m.png")


def test_no_output_replaces_a_photo_of_the_folder_that_is_read(tmp_path, twenty):
    for k in (0, 1):
        Image.fromarray(twenty[k].pixels).save(tmp_path / f"{k}.png")
    before = (tmp_path / "1.png").read_bytes()
    args = ["reconstruct", str(tmp_path), "-o", str(tmp_path / "m.obj"), "--preview", str(tmp_path / "1.png")]
    done = CliRunner().invoke(cli, args)
    assert isinstance(done.exception, StereoError) and "would be written over" in str(done.exception)
    assert (tmp_path / "1.png").read_bytes() == before


@pytest.mark.parametrize("photos", [["-"], ["-", "a.jpg"], ["a.jpg", "-"]], ids=" ".join)
def test_standard_input_is_refused_by_name(tmp_path, photos):
    done = CliRunner().invoke(cli, ["reconstruct", *photos, "-o", str(tmp_path / "m.obj")])
    assert isinstance(done.exception, StereoError) and "not read from standard input (-)" in str(done.exception)
    assert done.exception.exit_code == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")
@pytest.mark.parametrize("first", [True, False])
def test_a_named_pipe_is_refused_at_once_by_name(tmp_path, first):
    pipe, photo = tmp_path / "pipe.jpg", tmp_path / "photo.png"
    os.mkfifo(pipe)
    Image.fromarray(np.zeros((240, 320, 3), np.uint8)).save(photo)
    photos = [str(pipe), str(photo)] if first else [str(photo), str(pipe)]
    done = CliRunner().invoke(cli, ["reconstruct", *photos, "-o", str(tmp_path / "m.obj")])
    assert isinstance(done.exception, StereoError) and "pipe.jpg is a named pipe" in str(done.exception)
    assert done.exception.exit_code == 3


def test_a_damaged_mask_is_refused_by_name(tmp_path):
    path = tmp_path / "mask.png"
    Image.fromarray(np.full((240, 320), 255, np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(StereoError, match=r"mask\.png: a damaged or truncated PNG file") as caught:
        apply_mask(Photo(np.zeros((240, 320, 3), np.uint8)), path)
    assert caught.value.code == "photo_unreadable"
