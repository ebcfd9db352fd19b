"""Make the pictures and verdicts of the gallery and of the page on shooting: `python docs/gallery.py`.

Each pair is rendered and reconstructed as the commands under it say. The pages hold what came out; the pictures are in
docs/gallery.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import stereo3d
from stereo3d.cameras.focal import DIAGONAL_35MM
from stereo3d.errors import StereoError
from stereo3d.mesh.preview import preview
from stereo3d.records import Photo
from stereo3d.synthetic import renderer, write
from stereo3d.synthetic.renderer import SyntheticPair
from stereo3d.synthetic.scenes import SCENES

DOCS = Path(__file__).parent
SIZE = (640, 480)
QUALITY = 50  # of the WebP pictures
SCENES_SHOWN = {  # scene -> title, pose
    "still_life": ("A still life on a table", "handheld"),
    "plant": ("A potted plant", "handheld"),
    "cloth": ("A cloth in folds", "handheld"),
    "glass": ("Glasses before a papered wall", "handheld"),
    "garden_path": ("A garden path", "handheld"),
    "corridor": ("A corridor, the second photo a step ahead", "forward"),
}
GRAIN = {"plant", "cloth", "glass"}  # scenes rendered with the noise and the dark corners of a photograph
NOISE, VIGNETTING = 1.5, 0.25
CLOSE = 0.01  # of the true depth


def shaken(pair: SyntheticPair) -> SyntheticPair:
    """The second photo moved by 9 px while it was taken."""
    kernel = np.full((1, 9), 1 / 9)
    return replace(
        pair, right=Photo(cv2.filter2D(src=pair.right.pixels, ddepth=-1, kernel=kernel), exif=pair.right.exif)
    )


def still_life(**how: float | str) -> SyntheticPair:
    """The still life, with a step of `steps` times its own, a tenth of the distance."""
    steps = float(how.pop("steps", 1))
    return renderer.render("still_life", size=SIZE, baseline=steps * SCENES["still_life"]().baseline, **how)


SHOTS: dict[str, tuple[str, Callable[[], SyntheticPair]]] = {
    "step": ("A step of a tenth of the distance", still_life),
    "small": ("A step of a two-hundredth of the distance", lambda: still_life(steps=0.05)),
    "wide": ("A step of half the distance, looking back at it", lambda: still_life(steps=2, pose="converging")),
    "spot": ("Turned on the spot", lambda: still_life(pose="rotation")),
    "wall": ("Nothing but one wall, with a known lens", lambda: renderer.render("plane", size=SIZE)),
    "shaken": ("The second photo shaken by 9 px", lambda: shaken(still_life())),
    "dark": ("Too dark: noise of 25 grey levels", lambda: still_life(noise=25)),
    "bright": ("The second photo three times as bright", lambda: still_life(gain=3)),
}


def shown(pair: SyntheticPair, mesh: stereo3d.Mesh | None, name: str, width: int) -> None:
    """Write docs/gallery/NAME.webp: both photos, and below them the mesh from four sides, with and without texture."""
    half = width // 2, width // 2 * SIZE[1] // SIZE[0]
    photos = [cv2.resize(src=p.pixels, dsize=half, interpolation=cv2.INTER_AREA) for p in (pair.left, pair.right)]
    rows = [np.concatenate(photos, 1)]
    if mesh is not None:
        rows.append(preview(mesh, pair.rig.cam1, size=width // 4))
    Image.fromarray(np.concatenate(rows)).save(DOCS / "gallery" / f"{name}.webp", quality=QUALITY, method=6)


def outcome(pair: SyntheticPair, suffix: str, **known: float) -> tuple[str, str, stereo3d.Result | None]:
    """Verdict, what the run says first, and the result; "no model" and the error where there is none."""
    with tempfile.TemporaryDirectory() as folder:
        write.write_pair(Path(folder), pair, suffix=suffix)
        try:
            result = stereo3d.reconstruct(
                *(f"{folder}/{side}{suffix}" for side in ("left", "right")), matcher="planes_fast", **known
            )
        except StereoError as error:
            return "no model", f"{error.message} {error.advice}", None
    return result.verdict, result.summary, result


def against_truth(name: str, pair: SyntheticPair, result: stereo3d.Result) -> str:
    """What the truth says of the surface, and of its part in front of clear glass where the scene has any.

    The unit of the result is the baseline, which the truth knows.
    """
    assert pair.rig.R is not None and pair.rig.t is not None
    depth = result.depth_map() * float(np.linalg.norm(pair.rig.t))
    known = np.isfinite(depth)
    error = np.abs(depth - pair.depth1) / pair.depth1
    close = 100 * np.mean(error[known] < CLOSE)
    words = f"Against the truth, {close:.0f} % of the surface is within 1 % of its depth"
    words += f" (median error {100 * np.median(error[known]):.2g} %)."
    scene = SCENES[name]()
    opaque = tuple(group for group in scene.groups if not any(solid.refraction for solid in group))
    if len(opaque) == len(scene.groups):
        return words
    behind = renderer.render(
        replace(scene, groups=opaque), size=SIZE, pose=(pair.rig.R, pair.rig.t), supersample=1
    ).depth1
    clear = behind > pair.depth1 * (1 + CLOSE)
    shares = [known, *(np.abs(depth - z) < CLOSE * z for z in (pair.depth1, behind))]
    surface, glass, wall = (100 * np.mean(share[clear]) for share in shares)
    return (
        f"{words} The glasses are the exception that the verdict does not see: of the pixels that show one,"
        f" {surface:.0f} % became surface, {glass:.0f} % where the glass is, {wall:.0f} % at the wall or the table"
        f" behind it, {surface - glass - wall:.0f} % at neither."
    )


def gallery() -> str:
    """The page of the gallery."""
    lines = [
        "# Gallery",
        "",
        "Rendered scenes, whose truth is known, each with the commands that make it. The first row shows both photos,",
        "the others the mesh from four sides with its texture, and the bare shape. `python docs/gallery.py` makes this",
        "page. Real photographs are under [accuracy and speed](benchmarks.md).",
        "",
    ]
    for name, (title, pose) in SCENES_SHOWN.items():
        grain = {"noise": NOISE, "vignetting": VIGNETTING} if name in GRAIN else {}
        pair = renderer.render(name, size=SIZE, pose=pose, **grain)
        camera = pair.rig.cam1
        focal = round(camera.focal * DIAGONAL_35MM / float(np.hypot(*camera.size)), 1)
        verdict, words, result = outcome(pair, ".png", focal_35mm=focal)
        if result is not None:
            words += "\n\n" + against_truth(name, pair, result)
        shown(pair, result and result.mesh, name, 600)
        lines += [f"## {title}", "", f"![{title}: both photos, and the mesh from four sides](gallery/{name}.webp)", ""]
        lines += [
            "```",
            " ".join([f"stereo3d synth {name} -o pair --pose {pose}", *(f"--{k} {v:g}" for k, v in grain.items())]),
        ]
        lines += [f"stereo3d pair/left.png pair/right.png --focal-35mm {focal:g} --quality fast"]
        lines += ["```", "", f"Verdict: **{verdict}**. {words}", ""]
        print(name, verdict, words, flush=True)
    return "\n".join(lines)


def shots() -> str:
    """The section of the page on shooting: a table of pairs with their verdicts."""
    lines = [
        "## Good and bad pairs",
        "",
        "The same scene, photographed well and badly, and the verdict that each pair gets (`python docs/gallery.py`).",
        "",
        "| pair | verdict | what the run says |",
        "|---|---|---|",
    ]
    for name, (title, make) in SHOTS.items():
        pair = make()
        verdict, words, _ = outcome(pair, ".jpg")
        shown(pair, None, f"shot-{name}", 360)
        lines.append(f"| ![{title}](gallery/shot-{name}.webp)<br>{title} | **{verdict}** | {words} |")
        print(name, verdict, words, flush=True)
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    (DOCS / "gallery").mkdir(exist_ok=True)
    page = DOCS / "how-to-shoot.md"
    page.write_text(page.read_text(encoding="utf-8").partition("## Good and bad pairs")[0] + shots(), encoding="utf-8")
    (DOCS / "gallery.md").write_text(gallery(), encoding="utf-8")
