"""Repeated structure in the whole run: windows all alike, seen from two places far apart, behind two posts.

The wall's windows are equal to the grain. The posts widen the disparity range, and each window then matches its
neighbour as well as itself.
"""

import numpy as np
import pytest

from stereo3d import synthetic
from stereo3d.diagnosis.surfaces import MAX_DOUBTFUL, MAX_REPEATED, LostSurface, unsupported_findings
from stereo3d.diagnosis.verdict import judge
from stereo3d.pipeline import Config, reconstruct
from stereo3d.pipeline.support import drop_unsupported
from stereo3d.records import Camera, DisparityMap, RectifiedPair, Rig, RightViewPixels, TwoView
from stereo3d.synthetic.scene import BRICK, WIDE, Scene, make_solid, mottled, paint
from stereo3d.synthetic.tables import BOX, PLAIN, RECTANGLE

WALL_Z, BASELINE = 6.0, 2.2  # m


def facade(alike: bool) -> Scene:
    """A plastered wall with windows, all alike or all different, behind two posts."""
    plaster = mottled("c8bca4 b8ac94 d0c4ac dcd4c0", 0.3, seed=1, contrast=0.25, grain=0.08)
    groups = [(make_solid(RECTANGLE, (0, 0, WALL_Z), (WIDE, WIDE, 1), plaster),)]
    for i in range(6):
        for j, y in enumerate((-1.0, 1.0)):
            x = -3.4 + 1.4 * i
            glass = mottled("202830 38485a 60707c 101418", 0.35, seed=7 if alike else 7 + 2 * i + 12 * j)
            frame = make_solid(RECTANGLE, (x, y, WALL_Z - 0.02), (0.42, 0.72, 1), paint(PLAIN, "f4f2ee"))
            groups.append((frame, make_solid(RECTANGLE, (x, y, WALL_Z - 0.04), (0.36, 0.66, 1), glass)))
    for i, (z, x) in enumerate([(2.6, -0.7), (3.4, 1.0)]):
        coat = mottled(BRICK, 0.1, seed=30 + i)
        groups.append((make_solid(BOX, (x, 0, z), (0.03 * z, 3, 0.06), coat, turn=(0, 12, 0)),))
    return Scene(tuple(groups), target=(0, 0, WALL_Z), baseline=BASELINE)


def reconstructed(alike: bool):
    """The result, and z / true z of its points."""
    pair = synthetic.render(facade(alike), size=(480, 360), noise=1.0, supersample=2)
    result = reconstruct(pair.left, pair.right, pair.rig, Config(mesher="grid"))
    z = result.points[..., 2]
    x = np.nan_to_num(np.rint(result.pair.map1)).astype(int)
    ratio = z / pair.depth1[x[..., 1].clip(0, 359), x[..., 0].clip(0, 479)]
    vertices = result.mesh.vertices[result.mesh.faces][..., 2].mean(1)
    beyond = (vertices > 3 * pair.depth1.max()) | (vertices < pair.depth1.min() / 3)
    return result, ratio[np.isfinite(ratio)], beyond.mean()


def test_windows_all_alike_are_no_surface_and_no_good_pair():
    result, ratio, beyond = reconstructed(alike=True)
    assert np.mean(np.abs(ratio - 1) > 0.1) < 0.02, "43 % were wrong: windows at 2.7 times the depth"
    assert beyond < 0.002
    [finding] = [f for f in result.findings if f.code == "repeated"]
    assert finding.severity == "warning" and 0.2 < finding.numbers["share"] < 0.6
    assert np.isfinite([finding.numbers["x"], finding.numbers["y"]]).all()
    period = result.view.rig.cam1.focal * 1.4 / (WALL_Z - 0.04)
    assert finding.numbers["period"] == pytest.approx(period, rel=0.02) and f"every {period:.0f} px" in finding.message
    assert result.verdict == "fair" and "repeated" in result.summary
    known = np.isfinite(result.disparity)
    assert np.array_equal(known, result.confidence > 0) and not np.isfinite(result.points[~known]).any()


def test_windows_all_different_stay():
    result, ratio, _ = reconstructed(alike=False)
    assert np.mean(np.abs(ratio - 1) > 0.1) < 0.02
    assert not [f for f in result.findings if f.code == "repeated" and f.severity == "warning"]
    assert result.coverage > 0.4


# ------------------------------------------------------------------------------------------------ floating parts

H, W = 120, 200


def flat_scene(d: np.ndarray, seed: int = 0):
    """A random picture with the disparity map d, of a rectified rig of focal length 100 and baseline 1."""
    picture = np.random.default_rng(seed).integers(0, 256, (H, W, 3)).astype(np.uint8)
    grid = np.stack(np.meshgrid(np.arange(W), np.arange(H)), -1).astype(np.float32)
    K = np.array([[100.0, 0, W / 2], [0, 100.0, H / 2], [0, 0, 1]])
    t = np.array([-1.0, 0, 0])
    view = TwoView(
        np.zeros((3, 3)), np.eye(3), t, np.zeros(0, bool), Rig(Camera(K, (W, H)), Camera(K, (W, H)), np.eye(3), t)
    )
    known = np.isfinite(d)
    fused = DisparityMap(d, known.astype(np.float32), np.where(known, np.float32(0.1), np.float32(np.nan)))
    return fused, RectifiedPair(picture, np.roll(picture, -30, 1), grid, grid), view


def matches_of(d: np.ndarray, rows, columns):
    x = np.array([(x, y) for y in rows for x in columns], float)
    shift = d[x[:, 1].astype(int), x[:, 0].astype(int)]
    return x, x - np.column_stack([shift, 0 * shift])


def between(d: np.ndarray, x, row):
    n = len(x)
    return RightViewPixels(np.array(x, float), np.array(row, int), np.zeros(n), np.zeros(n, np.float32))


@pytest.mark.parametrize("part, stays", [(5.0, False), (29.0, True), (12.0, True), (95.0, False)])
def test_a_part_that_nothing_supports_must_lie_near_the_matches_depths(part, stays):
    """A wall at d = 30, z = 3.3: depths from 1.1 to 10 stay, which is d from 10 to 90."""
    d = np.full((H, W), 30, np.float32)
    d[40:70, 100:140] = np.nan
    d[44:66, 104:136] = part
    fused, pair, view = flat_scene(d)
    inliers = matches_of(d, range(4, 36, 4), range(40, 196, 6))
    more = between(d, [50.5, 110.5, 103.5], [50, 50, 50])
    found, points, findings = drop_unsupported(fused, more, pair, view, inliers, (0.0, 100.0))
    assert np.isfinite(found.disparity[50, 120]) == stays
    assert np.array_equal(np.isfinite(found.disparity), np.isfinite(found.sigma))
    assert np.isfinite(found.disparity[4:36]).all() and len(points.x) == (3 if stays else 1)
    assert [f.code for f in findings] == ([] if stays else ["floating"])
    if not stays:
        assert findings[0].numbers["share"] == pytest.approx(22 * 32 / np.isfinite(d).sum())
        assert abs(findings[0].numbers["x"] - 119.5) < 1 and abs(findings[0].numbers["y"] - 54.5) < 1


def test_the_place_of_lost_surface_is_that_of_pixels_with_one():
    """A lens leaves pixels of the rectified map without a place in the photo."""
    d = np.full((H, W), 30, np.float32)
    d[40:70, 100:140] = np.nan
    d[44:66, 104:136] = 95
    fused, pair, view = flat_scene(d)
    pair.map1[40:48, 100:140] = np.nan
    inliers = matches_of(d, range(4, 36, 4), range(40, 196, 6))
    (finding,) = drop_unsupported(fused, between(d, [], []), pair, view, inliers, (0.0, 100.0))[2]
    assert finding.code == "floating" and np.isfinite(list(finding.numbers.values())).all()
    assert "x" in finding.numbers and "nan" not in finding.message


def test_a_near_part_with_features_or_attached_stays():
    d = np.full((H, W), 30, np.float32)
    d[40:70, 100:140] = np.nan
    d[44:66, 104:136] = 95
    inliers = matches_of(d, [*range(4, 36, 4), 50, 60], [*range(40, 100, 6), 108, 116, 124])
    fused, pair, view = flat_scene(d)
    found, _, findings = drop_unsupported(fused, between(d, [], []), pair, view, inliers, (0.0, 100.0))
    assert np.isfinite(found.disparity[50, 120]) and findings == []
    ramp = np.full((H, W), 30, np.float32)
    ramp[60:] = 30 + 2.5 * np.arange(H - 60)[:, None]  # ground: each row a surface, up to d = 177
    ramp[56:60] = np.nan
    inliers = matches_of(ramp, range(4, 50, 4), range(40, 196, 6))
    fused, pair, view = flat_scene(ramp)
    found, _, findings = drop_unsupported(fused, between(ramp, [], []), pair, view, inliers, (0.0, 180.0))
    assert np.array_equal(np.isfinite(found.disparity), np.isfinite(ramp)) and findings == []


def test_an_empty_map_stays_empty():
    d = np.full((H, W), np.nan, np.float32)
    fused, pair, view = flat_scene(d)
    found, _, findings = drop_unsupported(fused, between(d, [], []), pair, view, (np.zeros((0, 2)),) * 2, (0.0, 9.0))
    assert not np.isfinite(found.disparity).any() and findings == []


# ------------------------------------------------------------------------------------------------ finding and verdict


def test_much_repeated_structure_that_stays_forbids_good():
    none = LostSurface(0.0, None)
    little, much = (LostSurface(share, (10.0, 20.0)) for share in (0.8 * MAX_REPEATED, 1.2 * MAX_REPEATED))
    for lost, kept, severity, verdict in (
        (little, 0.0, "info", "good"),
        (much, 0.0, "warning", "good"),  # missing, not wrong
        (none, 1.2 * MAX_DOUBTFUL, "warning", "fair"),
        (little, 0.9 * MAX_DOUBTFUL, "warning", "good"),
        (none, 0.5 * MAX_DOUBTFUL, "info", "good"),
    ):
        [finding] = unsupported_findings(lost, none, kept)
        assert (finding.code, finding.severity) == ("repeated", severity)
        assert ("x" in finding.numbers) == (lost is not none)
        assert judge([finding], 0.8, 0.001, 500, None)[0] == verdict
    assert unsupported_findings(none, none, 0.0) == []
