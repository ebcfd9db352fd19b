"""The page of matcher options in the app: a child process that matches the pair of a draft again and again."""

import contextlib
import secrets
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import StereoError
from .child import Child, crash_words
from .runs import LOG, Run

FOLDER = ".tune"  # in the folder of the run
PAGE = "page.html"
IDLE = 900.0  # s after the last match at which the child is ended
MATCH_LIMIT = 600.0  # s that a match may take
GONE = "Open the options again."


class Tuning:
    """The one child that tunes, for whichever draft asked last.

    Parameters
    ----------
    command : sequence of str
        Program of the child.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.command = list(command)
        self.run: Run | None = None
        self._child: Child | None = None
        self._state: dict[str, Any] = {}
        self._answers: dict[str, dict[str, Any]] = {}
        self._changed = threading.Condition(threading.RLock())
        self._idle: threading.Timer | None = None

    def start(self, run: Run, settings: dict[str, Any]) -> None:
        """Start the child for a draft; one of another draft, or of other settings, is ended.

        Raises
        ------
        StereoError
            "bad_option" where the run is no draft or has no photo; "unwritable" where the child cannot be started.
        """
        if run.record["state"] != "draft" or not run.record["photos"]:
            raise StereoError("bad_option", "there is nothing to tune.", "Choose photos.")
        with self._changed:
            self.end()
            now = time.monotonic()
            self.run, self._state, self._answers = run, {"stage": "start", "since": now}, {}
            folder = run.folder / FOLDER
            try:
                folder.mkdir(exist_ok=True)
                job = {"do": "tune", "photos": [str(path) for path in run.photos], "folder": str(folder)}
                child = self._child = Child(self.command, {**job, "settings": settings}, run.folder / LOG)
            except OSError as error:
                self.run = None
                raise StereoError("unwritable", f"the preview cannot be started ({error}).", "Try again.") from error
            self._wait_idle()
        threading.Thread(target=self._follow, args=(child,), daemon=True).start()

    def _follow(self, child: Child) -> None:
        def take(report: dict[str, Any]) -> None:
            with self._changed:
                if child is not self._child:
                    return
                if "number" in report:
                    self._answers[str(report["number"])] = report
                else:
                    since = {"since": time.monotonic()} if "stage" in report else {}
                    self._state |= {**report, **since}
                self._changed.notify_all()

        status = child.reports(take)
        with self._changed:
            if child is self._child:
                self._child = None
                lost = {"message": crash_words(status), "advice": GONE}
                self._state = {"error": self._state.get("error") or lost}
                self._changed.notify_all()

    def describe(self, run: Run) -> dict[str, Any] | None:
        """Return how far the child of a run is: stage and seconds, ready, or an error; None where it has none."""
        with self._changed:
            if run is not self.run:
                return None
            found = dict(self._state)
            if "since" in found:
                found["seconds"] = time.monotonic() - found.pop("since")
            return found

    def page(self, run: Run) -> Path | None:
        """Return the file of the page, as soon as there is one."""
        with self._changed:
            ready = run is self.run and self._state.get("ready")
            return run.folder / FOLDER / PAGE if ready else None

    def match(self, run: Run, request: dict[str, Any]) -> Path:
        """Return the file of what a matcher and its options find.

        Raises
        ------
        StereoError
            Of the options, or "busy" where there is no child any more.
        """
        number = secrets.token_hex(4)
        with self._changed:
            child = self._child
            if run is not self.run or child is None or not self._state.get("ready"):
                raise StereoError("busy", "this preview has ended.", GONE)
            self._wait_idle()
            child.ask({**request, "number": number})
            end = time.monotonic() + MATCH_LIMIT
            while number not in self._answers:
                if self._child is not child or time.monotonic() > end:
                    raise StereoError("busy", "this preview has ended.", GONE)
                self._changed.wait(1.0)
            answer = self._answers.pop(number)
        if "error" in answer:
            error = answer["error"]
            raise StereoError("bad_option", error["message"], error["advice"])
        return run.folder / FOLDER / f"{number}.json"

    def _wait_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = threading.Timer(IDLE, self.end)
        self._idle.daemon = True
        self._idle.start()

    def end(self, run: Run | None = None) -> None:
        """End the child, of this run only where one is given, and remove its files."""
        with self._changed:
            if self.run is None or run not in (None, self.run):
                return
            if self._idle is not None:
                self._idle.cancel()
            child, folder = self._child, self.run.folder / FOLDER
            self.run = self._child = None
            self._changed.notify_all()
        if child is not None:
            child.end()
        with contextlib.suppress(OSError):
            shutil.rmtree(folder, ignore_errors=True)
