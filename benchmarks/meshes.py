"""Meshes of real pairs against their truth, in one table.

    python benchmarks/meshes.py [--data DIR] [--only fountain lawn ...] [--meshers grid poisson] [--max-size 1600]
                                [--pictures DIR] [--moved X Y]

Pairs (under --data, default $STEREO3D_DATA; pairs whose photos are missing are named and left out):

- fountain, K known and pose unknown: 0004-0005, 0005-0006, 0003-0005, 0003-0006; 0004-0005 turned by 90 degrees;
  0005-0004, that is the photo from the other side named first; and the first four with nothing known
- sceaux, kermit and berlin (forward motion), handheld: only what their EXIF says; lawn with its calibrated rig, and
  without anything
- Motorcycle and eth3d_terrace, rectified, with calib.txt; true depth is z = f B / (d + doffs), in mm
- demo: the pair in data/demo, only what its EXIF says

--moved: the fountain's true depth, moved to the left and up by so many px of its 3072 x 2048: laid over the photos, its
outlines lie 13 to 16 px to the right of and below those of the fountain.

Columns: F-score, precision and completeness at 1 % of depth and the median error of depth in % of it
(`evaluation.mesh.mesh_scores`), after alignment by similarity, but for the metric pairs (marked) without any: there
the scale must be right too; share of the first photo that became surface, %; faces; seconds of all stages (those
before the mesh are run once for all meshers); what simplification moved, px; share of the vertices within their sigma
of the truth; the mesh rendered from camera 1 at the matching size against the photo, median difference in grey levels
and PSNR in dB; direction of the motion, off by degrees; focal length, off by %; the verdict. "-" where no truth is
known.

A pair that fails has its message for a row; the others go on, and the exit status is 1.
"""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stereo3d.cameras import read_rig
from stereo3d.cameras.fit import turn_camera
from stereo3d.errors import StereoError
from stereo3d.evaluation.disparity import read_scene
from stereo3d.evaluation.mesh import mesh_scores
from stereo3d.evaluation.pose import focal_error_percent, pose_errors, read_truth_camera, relative_pose
from stereo3d.geometry import scale_K
from stereo3d.images import read_photo
from stereo3d.io import read_map
from stereo3d.mesh import build_mesh
from stereo3d.mesh.meshers import MESHERS
from stereo3d.mesh.preview import render
from stereo3d.pipeline import Config, reconstruct
from stereo3d.pipeline.surface import texture_and_sigma
from stereo3d.records import Camera, Photo, Rig

ROOT = Path(__file__).resolve().parents[1]
TURN = 6  # EXIF's number: the stored picture rotated clockwise by 90 degrees


@dataclass(frozen=True, eq=False)
class Case:
    """Two photos, the settings of the run, and the truth (None where it is not known).

    settings: of Config.  rig: the cameras given to the run.  depth: (H,W) of the first photo, units of the truth.
    camera: the true camera of the first photo.  pose: true R, t.  metric: the result must have the truth's own scale.
    """

    left: Photo
    right: Photo
    settings: dict
    rig: Rig | None = None
    depth: np.ndarray | None = None
    camera: Camera | None = None
    pose: tuple | None = None
    metric: bool = False


MOVED = [0, 0]  # px, right and down: offset of the fountain's true depth from its photos


def fountain(data: Path, a: str, b: str) -> Case:
    folder = data / "photos" / "fountain"
    (camera1, *pose1), (camera2, *pose2) = (read_truth_camera(folder / "cameras.json", view) for view in (a, b))
    depth = read_map(folder / "depth" / f"{a}.npz", unknown=[0])
    moved = np.full_like(depth, np.nan)
    moved[: depth.shape[0] - MOVED[1], : depth.shape[1] - MOVED[0]] = depth[MOVED[1] :, MOVED[0] :]
    left, right = (read_photo(folder / "images" / f"{view}.jpg") for view in (a, b))
    return Case(left, right, {}, Rig(camera1, camera2), moved, camera1, relative_pose(*pose1, *pose2))


def rotated(case: Case) -> Case:
    """The case with both photos rotated clockwise by 90 degrees, so that the baseline is vertical."""

    def clockwise(a):
        return np.ascontiguousarray(np.rot90(a, -1))

    left, right = (Photo(clockwise(photo.pixels)) for photo in (case.left, case.right))
    camera1, camera2 = turn_camera(case.rig.cam1, TURN), turn_camera(case.rig.cam2, TURN)
    Q = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # X' = Q X
    R, t = case.pose
    return replace(
        case,
        left=left,
        right=right,
        rig=Rig(camera1, camera2),
        depth=clockwise(case.depth),
        camera=camera1,
        pose=(Q @ R @ Q.T, Q @ t),
    )


def handheld(data: Path, a: str, b: str) -> Case:
    return Case(read_photo(data / "photos" / a), read_photo(data / "photos" / b), {})


def sceaux(data: Path) -> Case:
    case = handheld(data, "sceaux/100_7101.JPG", "sceaux/100_7102.JPG")
    return replace(case, camera=read_rig(data / "photos" / "sceaux" / "K.txt", (case.left.size, case.right.size)).cam1)


def lawn(data: Path, with_rig: bool) -> Case:
    folder = data / "photos" / "lawn"
    left, right = read_photo(folder / "lawn_L.png"), read_photo(folder / "lawn_R.png")
    true = read_rig(folder / "rig.json", (left.size, right.size))
    settings = {"calib": folder / "rig.json"} if with_rig else {}
    return Case(left, right, settings, camera=true.cam1, pose=(true.R, true.t))


def rectified(data: Path, name: str) -> Case:
    scene = read_scene(data / "disparity" / name)
    rig = read_rig(scene.calib, (scene.left.shape[1::-1],) * 2)
    doffs = rig.cam2.K[0, 2] - rig.cam1.K[0, 2]
    depth = rig.cam1.focal * np.linalg.norm(rig.t) / (scene.truth + doffs)
    settings = {"calib": scene.calib, "rectified": True}
    return Case(Photo(scene.left), Photo(scene.right), settings, None, depth, rig.cam1, (rig.R, rig.t), metric=True)


def demo(_) -> Case:
    folder = ROOT / "data" / "demo"
    (camera, *pose1), (_, *pose2) = (read_truth_camera(folder / "cameras.json", view) for view in ("left", "right"))
    left, right = (read_photo(folder / f"{view}.jpg") for view in ("left", "right"))
    depth = read_map(folder / "depth_left.npz", unknown=[0])
    return Case(left, right, {}, None, depth, camera, relative_pose(*pose1, *pose2))


PAIRS = ("0004", "0005"), ("0005", "0006"), ("0003", "0005"), ("0003", "0006")
CASES: dict[str, Callable[[Path], Case]] = {
    **{f"fountain {a}-{b}": lambda data, a=a, b=b: fountain(data, a, b) for a, b in PAIRS},
    **{f"fountain {a}-{b} alone": lambda data, a=a, b=b: replace(fountain(data, a, b), rig=None) for a, b in PAIRS},
    "fountain turned": lambda data: rotated(fountain(data, "0004", "0005")),
    "fountain swapped": lambda data: fountain(data, "0005", "0004"),
    "sceaux": sceaux,
    "kermit": lambda data: handheld(data, "kermit/kermit000.jpg", "kermit/kermit001.jpg"),
    "berlin": lambda data: handheld(data, "berlin/01.jpg", "berlin/02.jpg"),
    "lawn with rig": lambda data: lawn(data, True),
    "lawn without rig": lambda data: lawn(data, False),
    "Motorcycle": lambda data: rectified(data, "Motorcycle"),
    "eth3d_terrace": lambda data: rectified(data, "eth3d_terrace"),
    "demo": demo,
}
COLUMNS = (
    "F",
    "prec",
    "compl",
    "depth %",
    "cover %",
    "faces",
    "s",
    "moved",
    "1 sig",
    "grey",
    "PSNR",
    "dir deg",
    "focal %",
)


def run(name: str, case: Case, meshers: list[str], max_size: int, pictures: Path | None):
    config = Config(max_size=max_size, mesher=meshers[0], **case.settings)
    result = reconstruct(case.left, case.right, case.rig, config)
    before = sum(stage["seconds"] for stage in result.stages if stage["name"] != "mesh")
    for mesher in meshers:
        mesh, spent = result.mesh, sum(stage["seconds"] for stage in result.stages)
        if mesher != meshers[0]:  # the same points by another method, as the pipeline would
            start = time.perf_counter()
            mesh = build_mesh(result.points, sigma=result.sigma, between=result.between, method=mesher)
            mesh = texture_and_sigma(mesh, result.left, result.right, result.matches, result.view, result.rig)
            spent = before + time.perf_counter() - start
        against_truth = scores(case, mesh)
        figures = [
            *against_truth[:4],
            100 * result.coverage,
            len(mesh.faces),
            spent,
            mesh.facts["simplification_px"],
            against_truth[4],
            *rendered(mesh, case.left, result.view.rig.cam1, max_size),
            *motion(case, result),
        ]
        metric = " (metric)" if case.metric else ""
        show(f"{name}, {mesher}{metric}", figures, verdict_with_codes(result))
        if pictures:
            draw(pictures / f"{name}_{mesher}.png".replace(" ", "_"), mesh, result)


def scores(case: Case, mesh) -> list[float]:
    if case.depth is None or case.camera is None:
        return [np.nan] * 5
    s = mesh_scores(mesh, case.depth, case.camera, align="none" if case.metric else "similarity")
    if s.get("mirrored"):
        print(f"MIRRORED: {s.get('reflection')}")
    error = s.get("metric_depth_median_percent", np.nan) if case.metric else s["depth_median_percent"]
    return [s["f_score"], s["precision"], s["completeness"], error, s.get("within_sigma", np.nan)]


def rendered(mesh, photo: Photo, camera: Camera, max_size: int) -> tuple[float, float]:
    """Median difference (mean of the channels, grey levels) and PSNR (dB) of the mesh seen by camera 1 to the photo."""
    import cv2

    scale = min(1.0, max_size / max(camera.size))
    size = round(camera.size[0] * scale), round(camera.size[1] * scale)
    K = scale_K(camera.K, size[0] / camera.size[0], size[1] / camera.size[1])
    picture = cv2.resize(src=photo.pixels, dsize=size, interpolation=cv2.INTER_AREA)
    if camera.dist.any():
        picture = cv2.undistort(src=picture, cameraMatrix=K, distCoeffs=camera.dist)
    seen = (render(mesh, K=K, size=size, background=(255, 0, 255), shading="clay") != (255, 0, 255)).any(-1)
    seen = cv2.erode(src=seen.astype(np.uint8), kernel=np.ones((3, 3), np.uint8)) > 0
    off = render(mesh, K=K, size=size)[seen].astype(float) - picture[seen]
    return float(np.median(np.abs(off.mean(-1)))), float(10 * np.log10(255**2 / max(np.mean(off**2), 1e-9)))


def motion(case: Case, result) -> list[float]:
    """Error of the direction of t in degrees and of the focal length in %."""
    view = result.view
    direction = pose_errors(view.R, view.t, *case.pose)["direction_deg"] if case.pose else np.nan
    return [direction, focal_error_percent(view.rig.cam1, case.camera) if case.camera else np.nan]


def verdict_with_codes(result) -> str:
    codes = [finding.code for finding in result.findings if finding.severity != "info"]
    return result.verdict + (f" ({', '.join(codes)})" if codes else "")


def draw(path: Path, mesh, result):
    from stereo3d.io import write_picture
    from stereo3d.mesh.preview import preview

    write_picture(path, preview(mesh, result.view.rig.cam1))


def show(name: str, figures: list[float], verdict: str):
    form = ("6.3f", "6.3f", "6.3f", "8.3f", "8.1f", "9.0f", "7.1f", "7.2f", "6.2f", "6.1f", "6.1f", "8.2f", "8.2f")
    cells = ["-".rjust(int(f.split(".")[0])) if np.isnan(v) else f"{v:{f}}" for v, f in zip(figures, form, strict=True)]
    print(f"{name:36s}" + "".join(cells) + "  " + verdict, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("STEREO3D_DATA", "."), help="default: $STEREO3D_DATA")
    parser.add_argument("--only", nargs="+", default=[""], help="pairs whose name contains one of these texts")
    parser.add_argument("--meshers", nargs="+", default=["grid", "poisson"], choices=list(MESHERS))
    parser.add_argument("--max-size", type=int, default=1600)
    parser.add_argument("--moved", type=int, nargs=2, default=MOVED, metavar=("X", "Y"), help="default: not")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write a preview of each mesh into this folder")
    arguments = parser.parse_args()
    MOVED[:] = arguments.moved
    chosen = [name for name in CASES if any(word.lower() in name.lower() for word in arguments.only)]
    if not chosen:
        parser.error(f"no pair is named so; there are: {', '.join(CASES)}")
    widths = (6, 6, 6, 8, 8, 9, 7, 7, 6, 6, 6, 8, 8)
    print(" " * 36 + "".join(f"{c:>{w}s}" for c, w in zip(COLUMNS, widths, strict=True)) + "  verdict", flush=True)
    failed = 0
    for name in chosen:
        try:
            run(name, CASES[name](Path(arguments.data)), arguments.meshers, arguments.max_size, arguments.pictures)
        except StereoError as error:
            print(f"{name:36s}{error.code}: {error}", flush=True)
            failed += error.code != "file_missing"
        except Exception:  # one bug must not hide the other pairs' figures
            print(f"{name:36s}failed", flush=True)
            traceback.print_exc()
            failed += 1
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
