"""Rendered skies behind roofs and branches, with noise and JPEG: hardly a vertex lies on them, and the walls stay."""

import cv2
import numpy as np
import pytest

from stereo3d.geometry import project
from stereo3d.pipeline import Config, reconstruct
from stereo3d.records import Photo
from stereo3d.synthetic import renderer
from stereo3d.synthetic.houses import SKIES, houses


def jpeg(photo):
    code = cv2.imencode(".jpg", img=photo.pixels[..., ::-1], params=[cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return Photo(np.ascontiguousarray(cv2.imdecode(code, flags=cv2.IMREAD_COLOR)[..., ::-1]))


@pytest.mark.parametrize("sky", ["hazy", "overcast"])
def test_a_sky_is_no_surface(sky):
    pair = renderer.render(houses(sky), size=(400, 300), pose="handheld", supersample=2, noise=2.0)
    result = reconstruct(jpeg(pair.left), jpeg(pair.right), pair.rig, Config(mesher="grid"))
    open_sky = ~np.isfinite(pair.depth1)
    distance = cv2.distanceTransform(open_sky.astype(np.uint8), distanceType=cv2.DIST_L2, maskSize=5)
    camera = pair.rig.cam1

    def at(X):
        x = np.rint(project(X, camera.K)).astype(int)
        return x[:, 1].clip(0, 299), x[:, 0].clip(0, 399)

    points = result.points[np.isfinite(result.points[..., 2])]
    assert (distance[at(points)] > 0).mean() < 0.005
    assert (distance[at(result.mesh.vertices)] > 1.5).mean() < 0.005
    covered = np.zeros((300, 400), np.uint8)
    covered[at(points)] = 1
    covered = cv2.morphologyEx(covered, op=cv2.MORPH_CLOSE, kernel=np.ones((3, 3), np.uint8)) > 0
    assert covered[pair.visible1].mean() > 0.85


def test_the_sky_of_both_photos_is_one_at_infinity():
    """Where the second photo's pixel shows the same direction, it has the same colour; depth is unknown there."""
    pair = renderer.render(houses("cumulus"), size=(96, 72), pose="rotation", supersample=4)
    open_sky = ~np.isfinite(pair.depth1)
    assert 0.2 < open_sky.mean() < 0.6 and not pair.visible1[open_sky].any()
    K, R = pair.rig.cam1.K, pair.rig.R
    y, x = np.nonzero(open_sky)
    X = np.linalg.solve(K, np.stack([x, y, np.ones(len(x))])).T
    x2 = project(X @ R.T, pair.rig.cam2.K)
    inside = ((x2 >= 1) & (x2 <= [94, 70])).all(1)
    found = cv2.remap(pair.right.pixels, map1=x2[None].astype(np.float32), map2=None, interpolation=cv2.INTER_LINEAR)[0]
    difference = np.abs(found.astype(float) - pair.left.pixels[y, x])[inside].max(-1)
    assert inside.sum() > 500 and np.median(difference) < 2


@pytest.mark.parametrize("sky", SKIES)
def test_skies_are_brighter_than_the_ground_and_smooth(sky):
    pair = renderer.render(houses(sky), size=(96, 72), supersample=1)
    open_sky = cv2.erode((~np.isfinite(pair.depth1)).astype(np.uint8), kernel=np.ones((3, 3), np.uint8)) > 0
    grey = pair.left.pixels.mean(-1)
    assert grey[open_sky].mean() > grey[~open_sky].mean()
    step = np.abs(np.diff(grey, axis=1))[open_sky[:, 1:] & open_sky[:, :-1]]
    assert 0 < np.median(step) + step.std() < 6
