"""The runs of the app: a folder for each, with its photos, its record and its results; one at a time, with a queue."""

import contextlib
import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import StereoError
from ..foreign.given import MAX_BYTES
from .child import Child, crash_words, worker_command
from .names import names_a_run, safe_name

MAX_PHOTOS = 2
MAX_QUEUE = 20  # runs that wait
MAX_LISTED = 200  # runs of the history, the latest
MAX_DRAFTS = 50  # runs of this app that were not started; the oldest give way
FREE_BYTES = 500_000_000  # that a photo must leave on the disk for the results
LOOK_LIMIT = 120.0  # s that a look at photos may take
RECORD, LOG = "run.json", "messages.txt"
PREVIEWS = ("preview1.jpg", "preview2.jpg", "thumb.jpg")
OVER = ("done", "failed", "cancelled")


class Run:
    """One run: its folder and its record.

    Attributes
    ----------
    folder : Path
    record : dict
        Plain values, kept in `RECORD`: state ("draft", "waiting", "running", "done", "failed" or "cancelled"), created,
        photos, seen (what was recognised in them), settings, outcome, error.
    progress : dict
        Of a running one: stage, its estimate, whether kernels are being compiled.
    """

    def __init__(self, folder: Path, record: dict[str, Any]) -> None:
        self.folder, self.record, self.progress = folder, record, {}
        self.child: Child | None = None

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def photos(self) -> list[Path]:
        """The files of the photos, in order."""
        return [self.folder / "photos" / name for name in self.record["photos"]]

    @property
    def files(self) -> list[str]:
        """Names of the files that may be asked for."""
        results = [file["name"] for file in (self.record.get("outcome") or {}).get("files", [])]
        return [name for name in (*PREVIEWS, *results) if (self.folder / name).is_file()]

    def save(self) -> None:
        """Write the record."""
        part = self.folder / f".{RECORD}.part"
        part.write_text(json.dumps(self.record, indent=1), encoding="utf-8")
        os.replace(part, self.folder / RECORD)

    def end_as(self, state: str, **facts: Any) -> None:
        """Write the record with its final state; of one that has no result, remove what it has written."""
        self.record |= {"state": state, **facts}
        if state != "done":
            kept = {RECORD, LOG, "photos", *PREVIEWS}
            for path in self.folder.iterdir():
                if path.name not in kept:
                    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.save()


class Runs:
    """All runs of a folder, and the thread that carries them out.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    command : sequence of str, optional
        Program of the child.

    Raises
    ------
    StereoError
        "unwritable" where the folder cannot be made.
    """

    def __init__(self, folder: Path, command: Sequence[str] | None = None) -> None:
        self.folder, self.command = folder, list(command or worker_command())
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f".{os.getpid()}.part").touch()
            (folder / f".{os.getpid()}.part").unlink()
        except OSError as error:
            raise StereoError(
                "unwritable", f"the folder {folder} cannot be written ({error.strerror}).", "Name another by --folder."
            ) from error
        self.queue: list[Run] = []
        self.running: Run | None = None
        self._known: dict[str, Run] = {}
        self._changed = threading.Condition(threading.RLock())
        self._looks = threading.BoundedSemaphore(2)
        self._closed = False
        self._read_history()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _read_history(self) -> None:
        """Take up the runs that the folder holds; those whose app has ended meanwhile have failed."""
        names = sorted((path.name for path in self.folder.iterdir() if names_a_run(path.name)), reverse=True)
        for name in names[:MAX_LISTED]:
            folder = self.folder / name
            try:
                record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
                run = Run(folder, record)
                state, given = record["state"], [str(name) for name in record["photos"]]
                if folder.is_symlink() or any(safe_name(photo) != photo for photo in given):
                    continue
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue
            if state not in OVER and _is_alive(record.get("app")):
                continue  # another app is at it
            if state == "draft":
                shutil.rmtree(folder, ignore_errors=True)
                continue
            if state not in OVER:
                run.end_as("failed", error=_error("the app ended before this run did.", "Start it again."))
            self._known[name] = run

    def get(self, name: str) -> Run | None:
        """Return the run of this name."""
        return self._known.get(name)

    def history(self) -> list[dict[str, Any]]:
        """Return the runs that were started, the latest first, as plain values."""
        with self._changed:
            runs = sorted(self._known.values(), key=lambda run: run.name, reverse=True)
            return [self._brief(run) for run in runs if run.record["state"] != "draft"][:MAX_LISTED]

    def _brief(self, run: Run) -> dict[str, Any]:
        record, outcome = run.record, run.record.get("outcome") or {}
        brief = {"id": run.name, "state": record["state"], "created": record["created"], "photos": record["photos"]}
        return {**brief, "verdict": outcome.get("verdict"), "thumb": (run.folder / "thumb.jpg").is_file()}

    def describe(self, run: Run) -> dict[str, Any]:
        """Return a run as plain values, with its progress."""
        with self._changed:
            found = {"id": run.name, "folder": str(run.folder), "files": run.files, **run.record}
            found.pop("app", None)
            if run in self.queue:
                found["ahead"] = self.queue.index(run) + (self.running is not None)
            if run is self.running:
                now, progress = time.monotonic(), dict(run.progress)
                found["progress"] = {
                    **{k: v for k, v in progress.items() if k not in ("since", "begun")},
                    "seconds": now - progress["begun"],
                    "stage_seconds": now - progress["since"],
                }
            return found

    # -------------------------------------------------------------------------------------------- drafts

    def create(self) -> Run:
        """Make the folder of a new run."""
        with self._changed:
            drafts = sorted(name for name, run in self._known.items() if run.record["state"] == "draft")
            for name in drafts[: max(0, len(drafts) - MAX_DRAFTS + 1)]:
                self.remove(self._known[name])
            now = datetime.now()
            folder = self.folder / f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
            (folder / "photos").mkdir(parents=True)
            record = {"state": "draft", "created": f"{now:%Y-%m-%d %H:%M}", "photos": [], "app": os.getpid()}
            run = self._known[folder.name] = Run(folder, record)
            run.save()
            return run

    def add_photo(self, run: Run, name: str, length: int, copy: Callable[[Any], None]) -> None:
        """Store a photo of a draft; copy: writes its bytes into a file.

        Raises
        ------
        StereoError
            "bad_option", "photo_too_large" or "unwritable".
        """
        if run.record["state"] != "draft" or len(run.record["photos"]) >= MAX_PHOTOS:
            raise StereoError("bad_option", f"a run has {MAX_PHOTOS} photos at most.", "Begin a new one.")
        if not 0 < length <= MAX_BYTES:
            raise StereoError(
                "photo_too_large" if length else "photo_unreadable",
                f"{safe_name(name)} has {length} bytes.",
                f"A photo has 1 to {MAX_BYTES // 10**9} GB." if length else "Copy it again from the camera.",
            )
        if shutil.disk_usage(run.folder).free < length + FREE_BYTES:
            raise StereoError("unwritable", f"the disk of {self.folder} is full.", "Make room, or name another folder.")
        name = safe_name(name)
        with self._changed:
            while name in run.record["photos"]:
                name = f"2-{name}"
            path = run.folder / "photos" / name
            part = path.with_name(f".{secrets.token_hex(4)}.part")
        try:
            with open(part, "xb") as file:
                copy(file)
            with self._changed:
                os.replace(part, path)
                run.record["photos"].append(name)
                run.record["seen"] = None
                run.save()
        finally:
            part.unlink(missing_ok=True)

    def look(self, run: Run, settings: dict[str, Any]) -> dict[str, Any]:
        """Return what a child recognises in the photos of a draft, and have it make their previews.

        Raises
        ------
        StereoError
            Of a photo that cannot be read.
        """
        job = {"do": "look", "photos": [str(p) for p in run.photos], "folder": str(run.folder), "settings": settings}
        answers: list[dict[str, Any]] = []
        with self._looks:
            child = Child(self.command, job, run.folder / LOG)
            timer = threading.Timer(LOOK_LIMIT, child.end)
            timer.start()
            try:
                status = child.reports(answers.append)
            finally:
                timer.cancel()
        last = answers[-1] if answers else {}
        if "seen" not in last:
            error = last.get("error") or _error(crash_words(status), "Is it a photo? Try it as JPEG.")
            raise StereoError("photo_unreadable", error["message"], error["advice"])
        with self._changed:
            run.record["seen"] = last["seen"]
            run.save()
        return last["seen"]

    def again(self, run: Run) -> Run:
        """Return a new draft with the photos and settings of a run."""
        new = self.create()
        for photo in run.photos:
            target = new.folder / "photos" / photo.name
            try:
                os.link(photo, target)
            except OSError:
                shutil.copyfile(photo, target)
        for name in PREVIEWS:
            if (run.folder / name).is_file():
                shutil.copyfile(run.folder / name, new.folder / name)
        new.record |= {name: run.record[name] for name in ("photos", "seen", "settings") if name in run.record}
        new.record["photos"] = list(new.record["photos"])
        new.save()
        return new

    def keep(self, run: Run, settings: dict[str, Any]) -> None:
        """Keep the settings of a draft, which the page shows when it returns to it."""
        with self._changed:
            if run.record["state"] != "draft":
                raise StereoError("bad_option", "this run was started already.", "Begin again with its photos.")
            run.record["settings"] = settings
            run.save()

    def exchange(self, run: Run) -> None:
        """Exchange the two photos of a draft."""
        with self._changed:
            if run.record["state"] == "draft":
                run.record["photos"].reverse()
                run.record["seen"] = None

    def remove(self, run: Run) -> None:
        """Remove a run that is not going on, with its folder."""
        with self._changed:
            if run.record["state"] in ("waiting", "running"):
                raise StereoError("busy", "this run is going on.", "Cancel it first.")
            self._known.pop(run.name, None)
        shutil.rmtree(run.folder, ignore_errors=True)

    # -------------------------------------------------------------------------------------------- runs

    def start(self, run: Run, settings: dict[str, Any]) -> None:
        """Put a draft into the queue.

        Raises
        ------
        StereoError
            "bad_option" where it is no draft or has no photo; "busy" where the queue is full.
        """
        with self._changed:
            if run.record["state"] != "draft" or not run.record["photos"]:
                raise StereoError("bad_option", "there is nothing to start.", "Choose photos.")
            if len(self.queue) >= MAX_QUEUE:
                raise StereoError("busy", f"{MAX_QUEUE} runs are waiting.", "Wait, or cancel one.")
            run.record |= {"state": "waiting", "settings": settings}
            run.save()
            self.queue.append(run)
            self._changed.notify_all()

    def cancel(self, run: Run) -> None:
        """End a run that waits or is going on."""
        with self._changed:
            if run in self.queue:
                self.queue.remove(run)
                run.end_as("cancelled")
            elif run is self.running and run.child is not None:
                run.child.end()

    def close(self) -> None:
        """End the running child; waiting runs are cancelled, drafts removed."""
        with self._changed:
            self._closed = True
            for run in list(self.queue):
                self.cancel(run)
            if self.running is not None:
                self.cancel(self.running)
            drafts = [run for run in self._known.values() if run.record["state"] == "draft"]
            self._changed.notify_all()
        self._thread.join(3)
        for run in drafts:
            self.remove(run)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self.queue and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                run = self.running = self.queue.pop(0)
                now = time.monotonic()
                run.progress = {"stage": "start", "since": now, "begun": now}
                run.record["state"] = "running"
                try:
                    run.save()
                    run.child = Child(self.command, self._job(run), run.folder / LOG)
                except OSError as error:
                    run.end_as("failed", error=_error(f"it could not be started ({error}).", "Try again."))
                    self.running = None
                    continue
            self._carry_out(run, run.child)

    def _job(self, run: Run) -> dict[str, Any]:
        return {
            "do": "run",
            "photos": [str(path) for path in run.photos],
            "folder": str(run.folder),
            "settings": run.record["settings"],
        }

    def _carry_out(self, run: Run, child: Child) -> None:
        ended: dict[str, Any] = {}

        def take(report: dict[str, Any]) -> None:
            with self._changed:
                if "outcome" in report or "error" in report:
                    ended.update(report)
                elif "stage" in report:
                    run.progress |= {**report, "since": time.monotonic()}
                else:
                    run.progress |= report

        status = child.reports(take)
        with self._changed:
            self.running = run.child = None
            if child.ended:
                run.end_as("cancelled")
            elif "outcome" in ended and status == 0:
                run.end_as("done", outcome=ended["outcome"])
            else:
                lost = _error(crash_words(status), f"Try a smaller quality; {LOG} in its folder has what was printed.")
                run.end_as("failed", error=ended.get("error") or lost)


def _error(message: str, advice: str) -> dict[str, str]:
    return {"code": "ended", "message": message, "advice": advice}


def _is_alive(app: Any) -> bool:
    """Whether the app of this process number, another than this one, is still running."""
    import psutil

    return isinstance(app, int) and app != os.getpid() and psutil.pid_exists(app)
