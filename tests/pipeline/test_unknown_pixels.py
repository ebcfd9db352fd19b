"""A pair with black borders or transparent pixels: no feature, no surface and no finding comes from them."""

from dataclasses import replace

import numpy as np
import pytest

from stereo3d.geometry import project
from stereo3d.pipeline import Config, reconstruct
from stereo3d.records import Photo


@pytest.fixture(scope="module")
def bare(render_once):
    return render_once("handheld", size=(320, 240), supersample=2)


def inside(photo):
    """A round picture, as of an endoscope, or of a lens whose distortion was removed."""
    width, height = photo.size
    y, x = np.mgrid[:height, :width]
    return ((x - width / 2) / (0.49 * width)) ** 2 + ((y - height / 2) / (0.48 * height)) ** 2 <= 1


@pytest.mark.parametrize("kind", ["black", "transparent"])
def test_what_is_unknown_is_no_surface(bare, kind):
    photos = []
    for photo in (bare.left, bare.right):
        known = inside(photo)
        if kind == "black":
            photos.append(Photo(np.where(known[..., None], photo.pixels, 0).astype(np.uint8)))
        else:
            photos.append(replace(photo, mask=known))
    result = reconstruct(*photos, config=Config(mesher="grid"))
    x = np.rint(project(result.mesh.vertices, result.view.rig.cam1.K, dist=result.view.rig.cam1.dist)).astype(int)
    known = inside(bare.left)
    assert known[x[:, 1].clip(0, 239), x[:, 0].clip(0, 319)].all(), "0 vertices"
    for place, photo in ((result.matches.x1, bare.left), (result.matches.x2, bare.right)):
        column, row = np.rint(place).astype(int).T
        assert inside(photo)[row, column].all(), "no features on the edge"
    findings = {f.code: f for f in result.findings}
    assert findings["unknown_pixels"].numbers["share1"] == pytest.approx(1 - known.mean(), abs=0.03)
    assert "bad_exposure" not in findings
    visible = bare.visible1 & known
    assert result.coverage > 0.8 * visible.sum() / known.sum()
