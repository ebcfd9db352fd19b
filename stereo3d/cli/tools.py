"""The smaller commands: disparity, view, tune, synth, methods, doctor, warmup."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import click

from ..errors import EXIT_RESOURCES, StereoError
from ..options import DEFAULT_MATCHER
from .checks import check_names, check_suffix, parse_options, set_up_logging
from .parameters import CAMERA_OPTIONS, FILE, MATCHER, MATCHING_OPTIONS, NUMBER, cli, with_options
from .printable import echo
from .process import owns_process, run_at_once, say, until_interrupted


@cli.command(short_help="Compute the disparity of a rectified pair.")
@click.argument("left", type=FILE)
@click.argument("right", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="Write the map: .pfm, .npy or 16-bit .png (256 d).")
@click.option(
    "--range", "d_range", type=float, nargs=2, metavar="LO HI", help="Set the disparity range, px; default: estimated."
)
@click.option("--matcher", type=MATCHER, default=DEFAULT_MATCHER, show_default=True, help="Choose the matcher.")
@click.option("-O", "options", multiple=True, metavar="NAME=VALUE", help="Set an option of the matcher.")
@click.option("--dense", is_flag=True, help="Fill every pixel instead of leaving unreliable ones unknown.")
@click.option("--colour", type=FILE, metavar="PNG", help="Write the map as a colour picture.")
@click.option("-v", "--verbose", is_flag=True, help="Explain choices.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def disparity(
    left: Path, right: Path, output: Path, d_range: tuple[float, float] | None, colour: Path | None, **given: Any
) -> None:
    """Compute the disparity x_left - x_right of a rectified pair; unknown pixels are NaN (.pfm: inf, .png: 0)."""
    set_up_logging(given["verbose"], given["quiet"])
    import numpy as np

    from ..images.read import read_photo
    from ..io.atomic import together, try_writing
    from ..io.maps import write_map
    from ..io.pictures import write_disparity_png
    from ..pipeline.config import Config
    from ..pipeline.dense import match_pair, rectified_pair
    from ..pipeline.networks import check_networks

    check_names([left, right], [(output, "the map"), (colour, "--colour")])
    check_suffix(output, (".pfm", ".npy", ".png"))
    check_suffix(colour, (".png",))
    for path in filter(None, (output, colour)):
        try_writing(path)
    if d_range and not -np.inf < d_range[0] < d_range[1] < np.inf:
        raise StereoError(
            "bad_range",
            f"the disparity range {d_range[0]:g} to {d_range[1]:g} px is empty or not finite.",
            "Give two finite numbers, the lower one first.",
        )
    options = parse_options(given["options"])
    config = Config(
        matcher=given["matcher"],
        options={k if k.startswith("matcher.") else f"matcher.{k}": v for k, v in options.items()},
    )
    check_networks(config)
    pair, found = rectified_pair(read_photo(left), read_photo(right), d_range or None)
    value = match_pair(pair, found, config, dense=given["dense"])[0].disparity
    known = np.isfinite(value)
    if not known.any():
        raise StereoError(
            "no_disparity",
            f"the matcher kept no pixel of {value.size} within {found[0]:g} to {found[1]:g} px.",
            "Is it a rectified pair with texture? Try another --range or --matcher.",
        )
    with together():
        write_map(output, value)
        if colour:
            write_disparity_png(colour, value)
    if not given["quiet"]:
        say(
            f"{output}: {100 * known.mean():.1f} % of the pixels known, {value[known].min():.2f} to "
            f"{value[known].max():.2f} px; searched {found[0]:g} to {found[1]:g} px."
        )


@cli.command(short_help="Show models, points, depth in the browser.")
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("-o", "--output", type=FILE, metavar="HTML", help="Write this page; default: NAME-view.html.")
@click.option("--focal", type=NUMBER, metavar="PX", help="Set the focal length of the depth maps.")
@click.option("--open/--no-open", "opened", default=True, show_default=True, help="Open the page in the browser.")
def view(files: tuple[Path, ...], output: Path | None, focal: float | None, opened: bool) -> None:
    """Show FILES in the browser, beside each other or one at a time: one page that needs no network.

    Meshes (.obj .ply .glb .stl .off), point clouds (.ply .xyz .pcd .las .laz), depth maps (.png .tif .exr .npy .pfm).
    """
    from ..io.atomic import try_writing
    from ..output.html import write_view

    output = output or files[0].with_name(f"{files[0].stem}-view.html")
    check_names(list(files), [(output, "the page")])
    check_suffix(output, (".html", ".htm"))
    if focal is not None and not 0 < focal < 1e9:
        raise StereoError("bad_option", f"focal cannot be {focal:g}.", "It is a length in px, above 0.")
    try_writing(output)
    write_view(output, files, focal=focal)
    say(f"wrote {output} ({output.stat().st_size / 1e6:.1f} MB)")
    if opened:
        import webbrowser

        if not webbrowser.open(output.resolve().as_uri()):
            echo("No browser could be started: open the page by hand.")


@cli.command(short_help="Tune the matcher and its options by eye.")
@click.argument("left", type=FILE)
@click.argument("right", type=FILE)
@click.option(
    "--max-size",
    type=int,
    default=800,
    show_default=True,
    metavar="PX",
    help="Limit the longer side of the photos for matching.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="Set the port of 127.0.0.1; default: any free one.",
)
@click.option("--open/--no-open", "opened", default=True, show_default=True, help="Open the page in the browser.")
@with_options(CAMERA_OPTIONS)
@with_options(MATCHING_OPTIONS)
def tune(left: Path, right: Path, port: int, opened: bool, options: tuple[str, ...], **settings: Any) -> None:
    """Change the matcher and its options on a page that shows disparity, confidence and points of a pair at once.

    The page is served to this computer only. Each trial is printed with the command that repeats it; Ctrl-C ends it.
    """
    from ..output.html.tune import Bench, serve
    from ..pipeline.config import Config

    bench = run_at_once(lambda: Bench(left, right, Config(options=parse_options(options), **settings)))
    server, address = serve(
        bench,
        port,
        lambda found: echo(f"{100 * found['known']:.1f} % known, {found['seconds']:.1f} s: {found['command']}"),
    )
    echo(f"{address}  (Ctrl-C ends it)")
    if opened:
        import webbrowser

        webbrowser.open(address)
    with until_interrupted(), server:
        server.serve_forever()


@cli.command(short_help="Render a pair with its exact truth.")
@click.argument("scene")
@click.option("-o", "--output", type=FILE, required=True, help="Write the pair and its truth into this folder.")
@click.option(
    "--size",
    type=int,
    nargs=2,
    default=(640, 480),
    show_default=True,
    metavar="W H",
    help="Set the size of the photos, px.",
)
@click.option("--pose", help="Choose the pose of the cameras; default: the scene's own.")
@click.option("--noise", type=float, default=0.0, show_default=True, help="Set the sigma of the noise, grey levels.")
@click.option(
    "--vignetting", type=float, default=0.0, show_default=True, help="Set the share of light lost in the corners."
)
@click.option(
    "--gain", type=float, default=1.0, show_default=True, help="Set the exposure of photo 2 relative to photo 1."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Set the seed of the noise.")
def synth(
    scene: str,
    output: Path,
    size: tuple[int, int],
    pose: str | None,
    noise: float,
    vignetting: float,
    gain: float,
    seed: int,
) -> None:
    """Render a synthetic pair with its exact truth; `stereo3d methods` lists the values of SCENE."""
    from ..options import choose
    from ..synthetic import poses, renderer, scenes, write

    choose("scene", scenes.SCENES, scene)
    if pose is not None:
        choose("pose", poses.POSES, pose)
    for name, value, low, high in (
        ("size", size[0], 32, 8000),
        ("size", size[1], 32, 8000),
        ("noise", noise, 0, 100),
        ("vignetting", vignetting, 0, 0.95),
        ("gain", gain, 0.05, 20),
        ("seed", seed, 0, 2**32 - 1),
    ):
        if not low <= value <= high:
            raise StereoError("bad_option", f"{name} cannot be {value:.10g}.", f"It is {low:.10g} to {high:.10g}.")
    from ..io.atomic import together, try_writing

    try_writing(output / "left.png")
    pair = renderer.render(scene, size=size, pose=pose, noise=noise, vignetting=vignetting, gain=gain, seed=seed)
    with together():
        files = write.write_pair(output, pair)
    for path in files:
        say(os.fspath(path))


@cli.command(short_help="List every method and its options.")
def methods() -> None:
    """List detectors, matchers, meshers, scenes, with their options and defaults."""
    from ..disparity.choice import NETWORKS
    from ..disparity.methods import MATCHERS
    from ..features.detectors import DETECTORS
    from ..features.networks import NETWORK_DETECTORS
    from ..mesh.meshers import MESHERS
    from ..pipeline.config import Config, run_options, stage_options
    from ..synthetic import scenes

    for stage, table in (
        ("detector", {**DETECTORS, **NETWORK_DETECTORS}),
        ("matcher", {**MATCHERS, **NETWORKS}),
        ("mesher", MESHERS),
    ):
        for name, function in table.items():
            echo(f"{stage} {name}: {(function.__doc__ or '').strip().splitlines()[0]}")
            for option in run_options(function).values():
                echo(f"    -O {stage}.{option.name}=VALUE   {option.describe()}")
    echo("stages of every run:")
    default = Config()
    own = {"detector": DETECTORS, "matcher": MATCHERS, "mesher": MESHERS}
    for stage, known in stage_options().items():
        of_method = run_options(own[stage][getattr(default, stage)]) if stage in own else ()
        for name, option in known.items():
            if name not in of_method:
                echo(f"    -O {stage}.{name}=VALUE   {option.describe()}")
    echo(f"scenes of `stereo3d synth`: {', '.join(scenes.SCENES)}")


@cli.command(short_help="Check the installation.")
@click.argument("folders", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
def doctor(folders: tuple[Path, ...]) -> None:
    """Check libraries, versions and memory, and print the remedy of every fault.

    In FOLDERS, by default the working folder, remove what killed runs have left, and put back what they had half
    replaced.
    """
    from ..install.doctor import check, unfinished

    findings = [*check(), *(finding for folder in folders or (Path.cwd(),) for finding in unfinished(folder))]
    marks = {"info": "ok     ", "warning": "warning", "error": "ERROR  "}
    for finding in findings:
        echo(f"{marks[finding.severity]} {finding.message} {finding.advice}".rstrip())
    if any(f.severity == "error" for f in findings):
        click.get_current_context().exit(EXIT_RESOURCES)


@cli.command(short_help="Compile all kernels ahead of the first run.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def warmup(quiet: bool) -> None:
    """Compile all kernels for this processor and cache them, as when an image is built; later runs start at once.

    The cache is in NUMBA_CACHE_DIR, else next to the program, else in the home folder; `stereo3d doctor` prints it.
    """
    from ..install.warmup import listed, warm_up
    from ..kernel_cache import writable_folder

    if writable_folder(__file__) is None:
        raise StereoError(
            "unwritable",
            "no folder for compiled kernels can be written, so each run compiles them again.",
            "Set NUMBA_CACHE_DIR to a folder that can be written.",
        )
    start, kernels = time.perf_counter(), f"{len(listed(every=True))} kernels, with those they call,"
    if not quiet:
        echo(f"compiling {kernels} takes a minute or two, unless they are kept already ...", err=True)
    compiled = warm_up(helped=owns_process())
    if not quiet:
        seconds = time.perf_counter() - start
        echo(f"{kernels} are compiled" + (f", in {seconds:.0f} s." if compiled else " already."))
