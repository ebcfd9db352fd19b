"""The server of the app: the page, and what it asks for."""

import json
import secrets
from html import escape
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote, unquote

from ..errors import StereoError
from ..foreign.given import MAX_BYTES
from ..foreign.local_server import LOOPBACK, LocalHandler, LocalServer
from .names import names_a_run
from .runs import Run, Runs
from .tuning import Tuning

MAX_REQUEST_BYTES = 20_000  # of what is no photo
MAX_HEADER_NAME = 2000  # characters of the name of a photo, percent-encoded
KINDS = {
    ".jpg": "image/jpeg",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".glb": "model/gltf-binary",
    ".zip": "application/zip",
}
ACTIONS = ("look", "start", "cancel", "again", "exchange", "remove", "tune", "tune/match", "tune/use")
SHOWN = (".jpg", ".html")  # files that the page shows; the others are saved
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'; "
    "img-src 'self' data: blob:; script-src 'nonce-{0}'; style-src 'nonce-{0}'"
)
_ASSETS = Path(__file__).parent
_SHARED = _ASSETS.parent / "output" / "html"  # read as files: to import that package takes seconds


class AppServer(LocalServer):
    """The server of the page and of the runs of a folder; `serve_forever` runs it.

    Parameters
    ----------
    runs : Runs
    port : int
        0 for any free port.
    host : str
        As in `LocalServer`.
    """

    def __init__(self, runs: Runs, port: int = 0, host: str = LOOPBACK) -> None:
        self.runs, self.tuning = runs, Tuning(runs.command)
        super().__init__(_Handler, port, host)

    def server_close(self) -> None:
        """Close the port, and end the child that tunes."""
        super().server_close()
        self.tuning.end()

    def describe(self, run: Run) -> dict[str, Any]:
        """Return a run as plain values, with how far the page of its options is."""
        found, tuning = self.runs.describe(run), self.tuning.describe(run)
        return found if tuning is None else {**found, "tuning": tuning}


def page(nonce: str, folder: Path) -> str:
    """Return the page as HTML; nonce: what its scripts and style bear, new for each answer."""
    shared = ("viewer.js", "figures.js", "model.js", "stages.js")
    scripts = [(_SHARED / name).read_text(encoding="utf-8") for name in shared]
    scripts.append((_ASSETS / "app.js").read_text(encoding="utf-8"))
    style = (_SHARED / "page.css").read_text(encoding="utf-8") + (_ASSETS / "app.css").read_text(encoding="utf-8")
    return Template((_ASSETS / "app.html").read_text(encoding="utf-8")).substitute(
        nonce=nonce,
        style=style,
        folder=escape(str(folder).encode("utf-8", "backslashreplace").decode()),
        most=str(MAX_BYTES),
        scripts="".join(f'<script nonce="{nonce}">{script}</script>\n' for script in scripts),
    )


class _Handler(LocalHandler):
    """Answer one request to an `AppServer`."""

    server: AppServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def get(self, path: str) -> None:
        """Send the page, the history, a run, or a file of it."""
        runs = self.server.runs
        if path == "":
            nonce = secrets.token_urlsafe(16)
            html = page(nonce, runs.folder).encode("utf-8")
            self.send(200, html, "text/html", {"Content-Security-Policy": POLICY.format(nonce)})
        elif path == "runs":
            self._send_json({"runs": runs.history()})
        else:
            run, rest = self._run(path)
            if run is None:
                self.refuse(404, "there is nothing here")
            elif not rest:
                self._send_json(self.server.describe(run))
            elif rest == "tune/":
                self._send_tune_page(run)
            else:
                self._send_result(run, rest)

    def _run(self, path: str) -> tuple[Run | None, str]:
        """The run that a path names, and the rest of the path."""
        start, _, rest = path.partition("/")
        name, _, rest = rest.partition("/")
        known = self.server.runs.get(name) if start == "runs" and names_a_run(name) else None
        return known, rest

    def _send_result(self, run: Run, name: str) -> None:
        path = run.folder / name
        if name not in run.files or path.is_symlink():
            self.refuse(404, "there is nothing here")
            return
        headers = {"Content-Security-Policy": "frame-ancestors 'none'"}
        if path.suffix not in SHOWN:
            photo = Path(run.record["photos"][0]).stem if run.record["photos"] else "model"
            shown = name.replace("model", photo, 1) if name.startswith("model") else f"{photo}-{name}"
            headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(shown)}"
        self.send_file(path, KINDS.get(path.suffix, "application/octet-stream"), headers)

    def _send_tune_page(self, run: Run) -> None:
        file = self.server.tuning.page(run)
        if file is None:
            self.refuse(404, "there is nothing here")
        else:  # its own policy is in the page
            self.send(200, file.read_bytes(), "text/html", {"Content-Security-Policy": "frame-ancestors 'none'"})

    def post(self, path: str) -> None:
        """Make a run, store a photo, or start, tune, cancel, repeat or remove a run."""
        runs = self.server.runs
        try:
            if path == "runs":
                self.read_json(MAX_REQUEST_BYTES)
                self._send_json(runs.describe(runs.create()))
                return
            run, action = self._run(path)
            if run is None:
                self.refuse(404, "there is nothing here")
            elif action == "photos":
                self._store(run)
            elif action in ACTIONS:
                settings = self.read_json(MAX_REQUEST_BYTES)
                if not isinstance(settings, dict):
                    raise ValueError("the settings must be an object")
                self._act(run, action, settings)
            else:
                self.refuse(404, "there is nothing here")
        except StereoError as error:
            self.refuse(422, str(error))
        except ValueError as error:
            self.refuse(400, str(error))
        except OSError as error:
            self.refuse(507, f"the folder cannot be written ({error.strerror or error})")

    def _store(self, run: Run) -> None:
        """Store the body of the request, a photo."""
        length, name = self.body_length, self.headers.get("X-Name", "")
        if length is None:
            self.refuse(411, "the length of the photo must be stated")
        elif length > MAX_BYTES:
            self.refuse(413, f"the photo has {length} bytes, more than {MAX_BYTES}")
        elif len(name) > MAX_HEADER_NAME:
            self.refuse(400, "the name of the photo is too long")
        else:
            self.server.runs.add_photo(run, unquote(name, errors="replace"), length, self.copy_body)
            self._send_json(self.server.runs.describe(run))

    def _act(self, run: Run, action: str, settings: dict[str, Any]) -> None:
        runs, tuning = self.server.runs, self.server.tuning
        if action == "look":
            runs.look(run, settings)
        elif action == "start":
            runs.start(run, settings)
            tuning.end(run)
        elif action == "cancel":
            runs.cancel(run)
        elif action == "again":
            run = runs.again(run)
        elif action == "exchange":
            runs.exchange(run)
        elif action == "tune":
            runs.keep(run, settings)
            tuning.start(run, settings)
        elif action == "tune/match":
            self.send(200, tuning.match(run, settings).read_bytes())
            return
        elif action == "tune/use":
            chosen = {"matcher": settings.get("matcher"), "options": settings.get("options")}
            runs.keep(run, {**run.record.get("settings", {}), "quality": "tuned", **chosen})
        else:
            tuning.end(run)
            runs.remove(run)
            self._send_json({"removed": run.name})
            return
        self._send_json(self.server.describe(run))

    def _send_json(self, value: Any) -> None:
        self.send(200, json.dumps(value, allow_nan=False).encode())
