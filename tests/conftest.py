"""Session fixtures: small rendered scenes with their truth, and the folder of real photographs."""

import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from examples import SLOW_VARIANTS, TIMES
from hypothesis import settings

from stereo3d.synthetic import renderer

# `make test` tries the same examples each time, so that a commit fails by its own doing
settings.register_profile("suite", derandomize=TIMES == 1)
settings.load_profile("suite")


def pytest_collection_modifyitems(config, items):
    """Leave out slow variants of what other tests hold, unless more examples are asked for."""
    slow = {item for item in items if TIMES == 1 and SLOW_VARIANTS.search(item.nodeid)}
    config.hook.pytest_deselected(items=[item for item in items if item in slow])
    items[:] = [item for item in items if item not in slow]


SMALL = (320, 240)
RAYS = {"supersample": 2}  # 2 x 2 rays a pixel show the same surfaces as 3 x 3, in half the time


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
def render_once(tmp_path_factory) -> Callable[..., renderer.SyntheticPair]:
    """`renderer.render`, once for equal arguments in a run of the suite; nobody may change what it returns.

    Rendering is a large part of the suite's time, and many files ask for the same few pairs. The pairs are kept in the
    folder of this run, which the workers of xdist share; two that ask at the same moment both render.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "rendered"
    folder.mkdir(exist_ok=True)
    known = {}

    def render(scene, **options) -> renderer.SyntheticPair:
        key = hashlib.sha256(pickle.dumps((scene, sorted(options.items())))).hexdigest()
        path = folder / f"{key}.pickle"
        if key not in known and path.exists():
            known[key] = pickle.loads(path.read_bytes())
        elif key not in known:
            known[key] = renderer.render(scene, **options)
            part = path.with_suffix(f".{os.getpid()}")
            part.write_bytes(pickle.dumps(known[key]))
            part.replace(path)
        return known[key]

    return render


@pytest.fixture(scope="session")
def slanted_pair(render_once) -> renderer.SyntheticPair:
    """Rectified, 320 x 240: slanted planes with depth jumps."""
    return render_once("slanted", size=SMALL, **RAYS)


@pytest.fixture(scope="session")
def sphere_pair(render_once) -> renderer.SyntheticPair:
    """Rectified, 320 x 240: a ball before a wall."""
    return render_once("sphere", size=SMALL, **RAYS)


@pytest.fixture(scope="session")
def bars_pair(render_once) -> renderer.SyntheticPair:
    """Rectified, 320 x 240: thin bars before a wall."""
    return render_once("bars", size=SMALL, **RAYS)


@pytest.fixture(scope="session")
def swapped_pair(render_once) -> renderer.SyntheticPair:
    """Rectified, 320 x 240, photo 1 taken from the right: negative disparities."""
    return render_once("swapped", size=SMALL, **RAYS)


@pytest.fixture(scope="session")
def handheld_pair(render_once) -> renderer.SyntheticPair:
    """Unrectified, 480 x 360: slanted planes photographed by hand."""
    return render_once("handheld", size=(480, 360), **RAYS)


@pytest.fixture(scope="session")
def vertical_pair(render_once) -> renderer.SyntheticPair:
    """Unrectified, 480 x 360: photo 2 from above."""
    return render_once("vertical", size=(480, 360), **RAYS)


@pytest.fixture(scope="session")
def plane_pair(render_once) -> renderer.SyntheticPair:
    """Degenerate, 480 x 360: one plane."""
    return render_once("plane", size=(480, 360), **RAYS)


@pytest.fixture(scope="session")
def rotation_pair(render_once) -> renderer.SyntheticPair:
    """Degenerate, 480 x 360: no baseline."""
    return render_once("rotation", size=(480, 360), **RAYS)


@pytest.fixture(scope="session")
def forward_pair(render_once) -> renderer.SyntheticPair:
    """Unrectified, 480 x 360: photo 2 a step ahead, the epipole inside the picture."""
    return render_once("forward", size=(480, 360), **RAYS)
