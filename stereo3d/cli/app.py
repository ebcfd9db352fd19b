"""The command `stereo3d app`: a page for people without a terminal."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ..errors import StereoError
from .parameters import FILE, cli
from .printable import echo
from .process import until_interrupted

LOOPBACK = ("127.0.0.1", "localhost")
CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")  # files that Docker and Podman make in each container


@cli.command(short_help="Drop two photos on a page, get a model.")
@click.option("--folder", type=FILE, metavar="DIR", help="Keep photos and models here; default: Pictures/stereo3d.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Set the port; default: a free one."
)
@click.option(
    "--host",
    default=LOOPBACK[0],
    show_default=True,
    metavar="ADDRESS",
    help="Set the address to listen on; another than this only inside a container.",
)
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the page in the browser.")
def app(folder: Path | None, port: int, host: str, browser: bool) -> None:
    """Open a page in the browser: drop two photos, get a model to turn, measure and save.

    The page is served to this computer only, and needs no network. Ctrl-C ends it.
    """
    from ..app.runs import Runs
    from ..app.server import AppServer

    if host not in LOOPBACK and not _in_container():
        raise StereoError(
            "bad_option",
            f"host cannot be {host}: the page is for the user of this computer.",
            f"From another one: ssh -L {port or 8000}:127.0.0.1:{port or 8000} this-computer. "
            "Inside a container, --host 0.0.0.0 is allowed.",
        )
    runs = Runs((folder or default_folder()).absolute())
    try:
        server = AppServer(runs, port, LOOPBACK[0] if host in LOOPBACK else host)
        echo(f"{server.address}  (Ctrl-C ends it; photos and models are kept in {runs.folder})")
        if browser:
            import webbrowser

            if not webbrowser.open(server.address):
                echo("No browser could be started: open this address by hand.")
        with until_interrupted(), server:
            server.serve_forever()
    finally:
        runs.close()


def default_folder() -> Path:
    """Return the folder of the runs: `stereo3d` in the user's pictures, else in the home or the working folder."""
    home = Path(os.path.expanduser("~"))
    pictures = home / "Pictures"
    base = pictures if pictures.is_dir() else home if home.is_dir() and os.access(home, os.W_OK) else Path.cwd()
    return base / "stereo3d"


def _in_container() -> bool:
    """Whether this process runs in a container, whose ports the outside reaches only where they are published."""
    return any(map(os.path.exists, CONTAINER_MARKS)) or "container" in os.environ
