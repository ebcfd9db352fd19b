"""A pose that rests on a wall of equal things is doubted; that of a scene is not."""

import numpy as np
import pytest

from stereo3d import synthetic
from stereo3d.diagnosis.twins import twin_findings, twin_likeness
from stereo3d.features import detect_features, match_features
from stereo3d.records import Features, Matches
from stereo3d.synthetic.scene import Scene, make_solid, paint
from stereo3d.synthetic.tables import CHECKS, RECTANGLE, WALL

SIZE = (400, 300)
WIDE = 60.0  # m, of a wall that no ray misses


def wall(kind, period):
    """A wall two metres away that repeats every `period` m and fills the view."""
    if kind == CHECKS:
        coat, start = paint(CHECKS, "d8d2c6 3c4048", (period / 2, 4000, 4000)), (1000 * period, 1000 * period, 0)
    else:
        coat, start = paint(WALL, "cfc9b4 8fa58c b9705f e0b659", (period, 1.2 * period, 0.01), seed=3), (0, 0, 0)
    solid = make_solid(RECTANGLE, (0, 0, 2), (WIDE, WIDE, 1), coat, turn=(4, -9, 0), texture=start)
    return Scene(((solid,),), baseline=0.25, pose="handheld")


def features_of(scene):
    pair = synthetic.render(scene, size=SIZE, noise=1.0, supersample=2)
    found = detect_features(pair.left), detect_features(pair.right)
    return found, match_features(pair.left, pair.right, found=found)


def findings_of(scene, agree=1):
    """Findings where every match agrees, or every second one."""
    found, matches = features_of(scene)
    return twin_findings(found, matches, np.arange(len(matches)) % agree == 0, max(SIZE))


@pytest.mark.parametrize(("kind", "period"), [(CHECKS, 0.2), (WALL, 0.25)])
def test_a_pose_on_a_wall_of_equal_things_is_doubted(kind, period):
    (finding,) = findings_of(wall(kind, period), agree=2)
    assert finding.code == "repeated_pose" and finding.severity == "warning" and finding.advice
    assert 0.55 < finding.numbers["likeness"] < 1.5 and finding.numbers["inlier_share"] == pytest.approx(0.5, abs=0.02)


def test_a_pose_on_a_scene_is_not():
    assert findings_of("handheld", agree=2) == []


def made(shift):
    """Forty features of the first photo, each with a twin `shift` away in descriptor space, and their matches."""
    rng = np.random.default_rng(0)
    d = rng.normal(size=(40, 64)).astype(np.float32)
    x = np.stack(np.meshgrid(np.arange(8) * 20.0, np.arange(5) * 20.0), -1).reshape(-1, 2)
    away = rng.normal(size=d.shape)
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    frames = np.broadcast_to(np.eye(2), (80, 2, 2)).copy()
    one = Features(np.r_[x, x + [300, 0]], np.r_[d, (d + shift * away).astype(np.float32)], frames)
    two = Features(x + [5, 0], (d + 0.1 * away[::-1]).astype(np.float32), frames[:40])
    return (one, two), Matches(x, x + [5, 0], np.ones(40, np.float32))


def test_likeness_is_the_ratio_of_the_distances():
    chosen = np.ones(40, bool)
    for shift in (0.05, 0.1, 0.4):
        assert twin_likeness(*made(shift), chosen, 400.0) == pytest.approx(np.full(40, 0.1 / shift), rel=0.02)


def test_nothing_is_said_where_nearly_all_matches_agree():
    """Views from far apart change the look of everything."""
    features, matches = made(0.1)
    assert twin_findings(features, matches, np.arange(40) < 30, 400.0)
    assert twin_findings(features, matches, np.arange(40) < 36, 400.0) == []


def test_nothing_is_said_of_few_matches_or_of_matches_that_are_no_features():
    features, matches = made(0.1)
    assert twin_findings(features, matches, np.arange(40) < 5, 400.0) == []
    elsewhere = Matches(matches.x1 + 0.5, matches.x2, matches.score)
    assert twin_findings(features, elsewhere, np.arange(40) < 30, 400.0) == []
    assert twin_findings(features, matches, np.zeros(40, bool), 400.0) == []
