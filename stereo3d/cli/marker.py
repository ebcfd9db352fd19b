"""The command `stereo3d marker`."""

from __future__ import annotations

from pathlib import Path

import click

from .checks import check_suffix
from .parameters import FILE, cli
from .process import say


@cli.command(
    short_help="Draw a marker to print, for --marker.",
    epilog="""\b
Example:
  stereo3d marker 4X4_50:3:0.05 -o marker.pdf
  stereo3d a.jpg b.jpg -o model.obj --marker 4X4_50:3:0.05""",
)
@click.argument("name", metavar="DICT:ID:SIZE")
@click.option("-o", "--output", type=FILE, required=True, help="Write the sheet: .pdf or .svg.")
@click.option(
    "--unit", type=click.Choice(["m", "cm", "mm", "in"]), default="m", show_default=True, help="Set the unit of SIZE."
)
@click.option("--paper", type=click.Choice(["a4", "letter"]), default="a4", show_default=True, help="Choose the paper.")
def marker(name: str, output: Path, unit: str, paper: str) -> None:
    """Draw a marker (ArUco, AprilTag) at its exact size, with a ruler to check the print; SIZE is its black square."""
    from ..cameras.targets import parse_marker
    from ..cameras.targets.sheet import marker_page
    from ..io.pdf import write_page

    check_suffix(output, (".pdf", ".svg"))
    write_page(output, marker_page(parse_marker(name), unit, paper))
    say(f"wrote {output}")
