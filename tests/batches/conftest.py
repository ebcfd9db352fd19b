"""One cluster of two worker processes for all tests of batches; small pairs, and what single runs make of them."""

import pytest
from PIL import Image
from simulated import OPTIONS

from stereo3d.batches.cluster import local_cluster
from stereo3d.pipeline import Config, reconstruct
from stereo3d.synthetic import renderer


@pytest.fixture(scope="session")
def client():
    with local_cluster(2) as client:
        yield client


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Three pairs, named by their sides; the last has one photo twice."""
    folder = tmp_path_factory.mktemp("photos")
    for name, scene in (("a", "slanted"), ("b", "handheld")):
        pair = renderer.render(scene, size=(200, 150), supersample=1)
        for side, photo in (("L", pair.left), ("R", pair.right)):
            Image.fromarray(photo.pixels).save(folder / f"{name}_{side}.png")
    for side in "LR":
        Image.fromarray(pair.left.pixels).save(folder / f"c_{side}.png")
    return folder


@pytest.fixture(scope="session")
def single(photos, tmp_path_factory):
    """The mesh files of runs of their own, in this process: {name: bytes}."""
    folder, found = tmp_path_factory.mktemp("single"), {}
    for name in "ab":
        result = reconstruct(photos / f"{name}_L.png", photos / f"{name}_R.png", config=Config(**OPTIONS))
        result.save(folder / f"{name}.ply")
        found[name] = (folder / f"{name}.ply").read_bytes()
    return found
