"""What `reconstruct` writes: the options, the files they name, and the writing as one set."""

from __future__ import annotations

import math
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import StereoError
from .checks import check_suffix
from .parameters import FILE

if TYPE_CHECKING:
    import numpy as np

    from ..pipeline.result import Result

OUTPUT_OPTIONS = (
    click.option(
        "-o",
        "--output",
        type=click.Path(),
        metavar="FILE",
        help="Write the mesh: .obj, .ply, .glb, .stl, .usdz, or a folder; default: PHOTO.glb beside LEFT.",
    ),
    click.option(
        "--axes",
        type=click.Choice(["y-up", "z-up", "camera"]),
        default="y-up",
        show_default=True,
        help="Choose the axes of the mesh file.",
    ),
    click.option(
        "--texture",
        type=click.Choice(["jpg", "png"]),
        default="jpg",
        show_default=True,
        help="Choose the texture of .obj, .glb, .usdz.",
    ),
    click.option(
        "--jpeg-quality",
        type=click.IntRange(1, 100),
        default=95,
        show_default=True,
        help="Set the JPEG quality of the texture.",
    ),
    click.option("--lit", is_flag=True, help="Let viewers shade the model (.obj, .glb, .usdz)."),
    click.option("--meshopt", is_flag=True, help="Compress a .glb (extra meshopt)."),
    click.option("--centre", is_flag=True, help="Move the origin to the model's middle."),
    click.option("--up", metavar="X,Y,Z", help="Set up as a direction in camera 1, or photo."),
    click.option("--crop", metavar="AREA", help="Keep main, or X0,Y0,X1,Y1 px of LEFT."),
    click.option("--solid", type=float, metavar="THICKNESS", help="Write a closed shell for printing (.stl)."),
    click.option("--mark-filled", is_flag=True, help="Paint unmeasured vertices magenta (.ply)."),
    click.option("--points", type=FILE, metavar="FILE", help="Write the point cloud: .ply, .xyz, .pcd, .las, .laz."),
    click.option("--depth", type=FILE, metavar="FILE", help="Write LEFT's depth: .png, .exr, .tif or .npy."),
    click.option("--normals", type=FILE, metavar="FILE", help="Write LEFT's normals: .png or .npy."),
    click.option("--confidence", type=FILE, metavar="PNG", help="Write LEFT's confidence."),
    click.option("--cameras", type=FILE, metavar="PATH", help="Write the cameras: folder (COLMAP), .json or .yml."),
    click.option("--save-stages", type=FILE, metavar="DIR", help="Write the outcome of every stage into this folder."),
    click.option("--json", "json_file", type=FILE, metavar="FILE", help="Write all measurements as JSON."),
    click.option("--preview", type=FILE, metavar="PNG", help="Write a picture of the mesh from four sides."),
    click.option("--turntable", type=FILE, metavar="FILE", help="Write the mesh turning: .gif, .webp or .mp4."),
    click.option("--report", type=FILE, metavar="HTML", help="Write a report page that shows every stage."),
)


@dataclass(frozen=True)
class Outputs:
    """The files that `reconstruct` writes."""

    output: Path
    preview: Path | None
    turntable: Path | None
    report: Path | None
    points: Path | None
    depth: Path | None
    normals: Path | None
    confidence: Path | None
    cameras: Path | None
    save_stages: Path | None
    json_file: Path | None

    def targets(self, texture: str) -> list[tuple[Path | None, str]]:
        """Return every file but the JSON, with its name in messages."""
        return [
            (self.output, "the mesh"),
            *_companions(self.output, texture),
            (self.preview, "--preview"),
            (self.turntable, "--turntable"),
            (self.report, "--report"),
            (self.points, "--points"),
            (self.depth, "--depth"),
            (self.normals, "--normals"),
            (self.confidence, "--confidence"),
            *_camera_targets(self.cameras),
            *_stage_targets(self.save_stages),
        ]


@dataclass(frozen=True)
class Style:
    """How `reconstruct` writes the mesh."""

    axes: str
    texture: str
    jpeg_quality: int
    mark_filled: bool
    lit: bool
    meshopt: bool
    centre: bool
    up: str | None
    crop: str | None
    solid: float | None

    def placing(self, result: Result) -> dict[str, Any]:
        """Return axes, direction of gravity and origin of the mesh and the point clouds: keywords of their writers."""
        down = result.gravity if self.up is None else parse_up(self.up)
        origin = result.middle(self.axes, down) if self.centre else None
        return {"axes": self.axes, "down": down, "origin": origin}


def parse_up(up: str) -> np.ndarray | None:
    """Return the direction of gravity (3,) of --up: None for "photo", whose upper side is up."""
    import numpy as np

    if up == "photo":
        return None
    try:
        x, y, z = (float(v) for v in up.split(","))
    except ValueError:
        x = y = z = math.nan
    if not (math.isfinite(x + y + z) and (x or y or z)):
        raise StereoError(
            "bad_option",
            f"up cannot be {up!r}.",
            "It is photo, or a direction x,y,z in camera 1 (x right, y down, z forward), such as 0,-1,0.",
        )
    return -np.array([x, y, z])


def check_outputs(outputs: Outputs, style: Style) -> None:
    """Refuse outputs of unknown formats before any work."""
    from ..io.films import FILMS
    from ..io.photo_maps import CONFIDENCE_FORMATS, DEPTH_FORMATS, NORMAL_FORMATS
    from ..io.points import POINT_WRITERS
    from ..io.style import check_axes
    from ..io.write_mesh import WRITERS

    check_suffix(outputs.output, WRITERS)
    check_suffix(outputs.preview, (".png", ".jpg"))
    check_suffix(outputs.turntable, FILMS)
    check_suffix(outputs.report, (".html", ".htm"))
    check_suffix(outputs.points, POINT_WRITERS)
    if outputs.points:
        check_axes(outputs.points, style.axes)
        if outputs.points.suffix.lower() == ".laz":
            from ..io.points import check_laz

            check_laz(outputs.points)
    if style.meshopt:
        from ..io.meshopt_compression import check_meshopt

        check_meshopt(outputs.output)
    check_suffix(outputs.depth, DEPTH_FORMATS)
    check_suffix(outputs.normals, NORMAL_FORMATS)
    check_suffix(outputs.confidence, CONFIDENCE_FORMATS)
    check_axes(outputs.output, style.axes)
    if outputs.cameras:
        from ..output.camera_files import check_camera_target

        check_camera_target(outputs.cameras)
    if outputs.depth or outputs.normals or outputs.turntable:
        from ..resources import load_open3d

        load_open3d()  # rays are cast with it: where it is missing, this is the time to say so
    if style.solid is not None:
        from ..mesh.solid import check_thickness

        check_thickness(style.solid, outputs.output)
    if style.up is not None:
        parse_up(style.up)
    if style.crop is not None:
        from ..mesh.crop import parse_crop

        parse_crop(style.crop)


def write_outputs(
    result: Result, outputs: Outputs, style: Style, start: float, command: str | None = None
) -> list[Path]:
    """Write all files of a run, or none, and return them; the JSON states the seconds from `start` to itself.

    command: for the report; by default that of this process.
    """
    from ..io.atomic import together

    placing = style.placing(result)
    with together():
        files = result.save(
            outputs.output,
            texture=style.texture,
            quality=style.jpeg_quality,
            mark_filled=style.mark_filled,
            lit=style.lit,
            meshopt=style.meshopt,
            solid=style.solid,
            **placing,
        )
        if outputs.points:
            files.append(result.save_points(outputs.points, **placing))
        maps = {"depth": outputs.depth, "normals": outputs.normals, "confidence": outputs.confidence}
        photo_maps = None
        if any(maps.values()):
            from ..output.stage_files import save_photo_maps

            photo_maps = save_photo_maps(result, **maps)
            files += [path for path in maps.values() if path]
        if outputs.cameras:
            from ..output.camera_files import save_cameras

            files += save_cameras(result, outputs.cameras, down=placing["down"])
        if outputs.preview:
            from ..io.pictures import write_picture
            from ..mesh.preview import preview as draw

            files.append(write_picture(outputs.preview, draw(result.mesh, result.view.rig.cam1)))
        if outputs.turntable:
            from ..io.films import write_film
            from ..mesh.turntable import FRAMES, FRAMES_PER_SECOND, turntable

            pictures = turntable(result.mesh, result.view.rig.cam1, frames=FRAMES)
            files.append(write_film(outputs.turntable, pictures, FRAMES_PER_SECOND))
        if outputs.save_stages:
            from ..output.stage_files import save_stages

            files += save_stages(result, outputs.save_stages, **placing)
        if outputs.report:
            from ..output.html import write_report

            command = command or shlex.join(["stereo3d", *click.get_current_context().obj])
            named = [*files, outputs.report, *filter(None, [outputs.json_file])]
            files.append(write_report(outputs.report, result, files=named, command=command))
        if outputs.json_file:
            from ..io.json_files import write_json
            from ..output.stage_files import measured

            seconds = time.perf_counter() - start
            named = [*files, outputs.json_file]
            files.append(write_json(outputs.json_file, measured(result, named, seconds, photo_maps)))
    return files


def _companions(output: Path, texture: str) -> list[tuple[Path, str]]:
    if output.suffix.lower() != ".obj":
        return []
    from ..io.style import companions

    what = "the material of the mesh", "the texture of the mesh", "the second texture of the mesh"
    return list(zip(companions(output, texture), what, strict=True))


def _camera_targets(path: Path | None) -> list[tuple[Path, str]]:
    if path is None:
        return []
    from ..output.camera_files import CAMERA_FILES, is_camera_folder

    names = [path / name for name in CAMERA_FILES] if is_camera_folder(path) else [path]
    return [(name, "--cameras") for name in names]


def _stage_targets(folder: Path | None) -> list[tuple[Path, str]]:
    if folder is None:
        return []
    from ..output.stage_files import STAGE_FILES

    return [(folder / name, "--save-stages") for name in STAGE_FILES]
