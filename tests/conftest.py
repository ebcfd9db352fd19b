"""Session fixtures: small rendered scenes with their truth, and the folder of real photographs."""

import os
from pathlib import Path

import numpy as np
import pytest

from stereo3d.synthetic import renderer

SMALL = (320, 240)


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk():
    """What survives a loss of power cannot be tested here, and waiting for the disk takes 10 ms a file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """The command remembers how fast the computer is; not from tests."""
    before = os.environ.get("STEREO3D_CACHE")
    folder = tmp_path_factory.mktemp("cache")
    os.environ["STEREO3D_CACHE"] = str(folder)
    yield folder
    os.environ.pop("STEREO3D_CACHE")
    if before is not None:
        os.environ["STEREO3D_CACHE"] = before


@pytest.fixture(autouse=True)
def no_memory_of_speed(own_cache):
    """What one test took makes no estimate in the next: what the command prints depends on neither order nor load."""
    (own_cache / "speeds.json").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder that STEREO3D_DATA names; skips where it names none."""
    name = os.environ.get("STEREO3D_DATA", "")
    if not name:
        pytest.skip("STEREO3D_DATA is not set: it names the folder of real photographs")
    if not Path(name).is_dir():
        pytest.skip(f"STEREO3D_DATA names {name}, which is no folder")
    return Path(name)


@pytest.fixture(scope="session")
def halved():
    """A depth map (H,W) -> (H/2,W/2): 1 / the mean inverse depth of 2 x 2 pixels, exact on a plane; NaN at an edge."""

    def halve(depth: np.ndarray) -> np.ndarray:
        h, w = depth.shape
        inverse = 1 / depth.astype(float).reshape(h // 2, 2, w // 2, 2)
        step = inverse.max((1, 3)) / inverse.min((1, 3)) - 1
        return np.where(step < 0.01, 1 / inverse.mean((1, 3)), np.nan)

    return halve


@pytest.fixture(scope="session")
def slanted_pair() -> renderer.SyntheticPair:
    """Rectified, 320 x 240: slanted planes with depth jumps."""
    return renderer.render("slanted", size=SMALL)


@pytest.fixture(scope="session")
def sphere_pair() -> renderer.SyntheticPair:
    """Rectified, 320 x 240: a ball before a wall."""
    return renderer.render("sphere", size=SMALL)


@pytest.fixture(scope="session")
def bars_pair() -> renderer.SyntheticPair:
    """Rectified, 320 x 240: thin bars before a wall."""
    return renderer.render("bars", size=SMALL)


@pytest.fixture(scope="session")
def swapped_pair() -> renderer.SyntheticPair:
    """Rectified, 320 x 240, photo 1 taken from the right: negative disparities."""
    return renderer.render("swapped", size=SMALL)


@pytest.fixture(scope="session")
def handheld_pair() -> renderer.SyntheticPair:
    """Unrectified, 480 x 360: slanted planes photographed by hand."""
    return renderer.render("handheld", size=(480, 360))


@pytest.fixture(scope="session")
def vertical_pair() -> renderer.SyntheticPair:
    """Unrectified, 480 x 360: photo 2 from above."""
    return renderer.render("vertical", size=(480, 360))


@pytest.fixture(scope="session")
def plane_pair() -> renderer.SyntheticPair:
    """Degenerate, 480 x 360: one plane."""
    return renderer.render("plane", size=(480, 360))


@pytest.fixture(scope="session")
def rotation_pair() -> renderer.SyntheticPair:
    """Degenerate, 480 x 360: no baseline."""
    return renderer.render("rotation", size=(480, 360))


@pytest.fixture(scope="session")
def forward_pair() -> renderer.SyntheticPair:
    """Unrectified, 480 x 360: photo 2 a step ahead, the epipole inside the picture."""
    return renderer.render("forward", size=(480, 360))
