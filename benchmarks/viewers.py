"""Mean grey of the demo in a lit viewer, f3d, against that of its photo: `xvfb-run python benchmarks/viewers.py`.

Needs the package f3d (`pip install f3d`). The viewer's camera is camera 1; pixels that both pictures show count.
"""

import tempfile
from pathlib import Path

import f3d
import numpy as np

import stereo3d
from stereo3d.geometry.camera import scale_K
from stereo3d.io import write_mesh
from stereo3d.mesh.preview import render

DEMO = Path(__file__).parents[1] / "data" / "demo"
SIZE = (640, 480)
MAGENTA = (255, 0, 255)  # the background
GREY = np.array([0.299, 0.587, 0.114])


def in_f3d(path: Path, fov_deg: float) -> np.ndarray:
    """The picture (H, W, 3) u8 of f3d, with its own lamps, from the origin along -z."""
    engine = f3d.Engine.create(offscreen=True)
    engine.window.size = SIZE
    engine.options.update({"render.background.color": [1.0, 0.0, 1.0], "render.grid.enable": False, "ui.axis": False})
    engine.scene.add(str(path))
    camera = engine.window.camera
    camera.position, camera.focal_point, camera.view_up, camera.view_angle = (0, 0, 0), (0, 0, -1), (0, 1, 0), fov_deg
    picture = engine.window.render_to_image()
    return np.frombuffer(bytes(picture.content), np.uint8).reshape(SIZE[1], SIZE[0], -1)[::-1, :, :3]


def shown(picture: np.ndarray) -> np.ndarray:
    return (np.abs(picture.astype(int) - MAGENTA) > 15).any(-1)


def main():
    result = stereo3d.reconstruct(DEMO / "left.jpg", DEMO / "right.jpg", matcher="planes_fast", max_size=800)
    camera = result.view.rig.cam1
    K = scale_K(camera.K, SIZE[0] / camera.size[0], SIZE[1] / camera.size[1])
    photo = render(result.mesh, K=K, size=SIZE, background=MAGENTA)
    fov = float(np.degrees(2 * np.arctan(SIZE[1] / 2 / K[1, 1])))
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".glb", ".obj"):
            for lit in (False, True):
                [path, *_] = write_mesh(Path(folder) / f"m{lit}{suffix}", result.mesh, lit=lit)
                picture = in_f3d(path, fov)
                both = shown(picture) & shown(photo)
                ratio = (picture[both] @ GREY).mean() / (photo[both] @ GREY).mean()
                words = "lit" if lit else "unlit"
                print(f"{suffix} {words}: {ratio:.3f} of the photo's mean grey, {both.mean():.0%} shown")


if __name__ == "__main__":
    main()
