"""The program of a child process: one job, read as a line of JSON, answered by lines of JSON.

{"do": "look", ...}   {"seen": what is recognised in the photos}
{"do": "run", ...}    {"stage", "index", "estimate", ...} as stages begin, then {"outcome"}
{"do": "tune", ...}   {"stage"} as stages begin, then {"ready"}; then an answer to each further line (`tune_work`)

Or {"error": {"code", "message", "advice"}} at the end. What libraries print goes to standard error.
"""

import contextlib
import faulthandler
import json
import os
import queue
import signal
import sys
import tempfile
import threading
import time
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import StereoError, translate_error

if TYPE_CHECKING:
    from ..pipeline.config import Config
    from ..pipeline.result import Result
    from ..records import Photo

PREVIEW_SIDE, THUMB_SIDE = 1400, 240  # px, the longer side
PREVIEW_QUALITY = 85  # of the JPEG
# px whose run takes as long as the start of the child and what does not grow with the photos: with sgm and planes_fast,
# 320 x 240 px took 13.4 and 11.8 s, 1400 x 1050 px 69.2 and 60.0 s
START_PIXELS = 260_000
LABELS = {  # of the files, in the order of the page
    "model.glb": "GLB",
    "model-obj.zip": "OBJ (zip)",
    "model.ply": "PLY",
    "model.stl": "STL",
    "model.usdz": "USDZ",
    "depth.png": "Depth",
    "report.html": "report",
    "measurements.json": "JSON",
}
# Options of the command line in advices -> what the page calls them
WORDS = {
    "--known-distance": "“a known distance”",
    "--baseline": "“the distance between the two camera positions”",
    "--marker": "“a printed marker”",
    "--board": "a board (on the command line)",
    "--unit": "its unit",
    "--force": "“Continue past errors”",
    "--rotate": "“Turn the photos”",
    "--layout": "“Layout of one picture”",
    "--crop": "“Part of the first photo”",
    "--mask": "a mask (on the command line)",
}


def main() -> None:
    """Carry out the job that standard input names; ends with it."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    faulthandler.enable()
    signal.signal(signal.SIGTERM, _end)
    line = b""
    while not line.endswith(b"\n") and (piece := os.read(0, 1)):
        line += piece

    def answer(**report: Any) -> None:
        answers.write(json.dumps(report) + "\n")

    folder = ""
    requests: queue.Queue[dict[str, Any]] = queue.Queue()
    try:
        threading.Thread(target=_listen, args=(requests,), daemon=True).start()
        job = json.loads(line)
        folder = job["folder"].removesuffix(f"{os.sep}.tune")
        if job["do"] == "tune":
            tune(job, answer, requests)
        else:
            {"look": look, "run": run}[job["do"]](job, answer)
    except Exception as error:
        answer(error={name: words.replace(f"{folder}/photos/", "") for name, words in error_words(error).items()})


def _end(*_: object) -> None:
    """End at once, but not in the middle of keeping a kernel; what lies in folders for temporary files goes first."""
    atomic, kernels = (sys.modules.get(f"stereo3d.{name}") for name in ("io.atomic", "kernel_cache"))
    if atomic is not None:
        atomic.abandon()
    with contextlib.nullcontext() if kernels is None else kernels.SAVING:
        os._exit(128 + signal.SIGTERM)


def _listen(requests: "queue.Queue[dict[str, Any]]") -> None:
    """Pass on each line of standard input, which the app keeps open; end as soon as it ends."""
    rest = b""
    with contextlib.suppress(OSError):
        while data := os.read(0, 65536):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                with contextlib.suppress(ValueError):
                    requests.put(json.loads(line))
    _end()


def error_words(error: Exception) -> dict[str, str]:
    """Return an error as code, message and advice, in the words of the page."""
    known = translate_error(error)
    if known is None:
        traceback.print_exception(error, file=sys.stderr)
        message = f"this is a bug ({type(error).__name__}: {error})."
        return {"code": "bug", "message": message, "advice": "messages.txt in the folder of the run has the details."}
    message, advice = known.message, known.advice
    for option, words in WORDS.items():
        message, advice = message.replace(option, words), advice.replace(option, words)
    return {"code": known.code, "message": message, "advice": advice}


def look(job: dict[str, Any], answer: Callable[..., None]) -> None:
    """Answer what is recognised in the photos, and write their previews.

    Parameters
    ----------
    job : dict
        photos (paths), folder (of the previews), settings (layout).
    answer : callable
    """
    from ..images.pairs import read_frames
    from ..images.read import read_photo
    from ..records import PhotoPair

    paths, folder = [Path(path) for path in job["photos"]], Path(job["folder"])
    seen: dict[str, Any] = {"form": "", "ready": True, "photos": []}
    if len(paths) == 2:
        photos = [read_photo(path) for path in paths]
    else:
        frames = read_frames(paths[0], job["settings"].get("layout") or None)
        if isinstance(frames, PhotoPair):
            photos = [frames.left, frames.right]
            apart = f", {frames.baseline:.4g} {frames.unit} apart" if frames.baseline else ""
            seen["form"] = f"{frames.form}{apart}"
            seen["metric"] = bool(frames.baseline or (frames.rig is not None and frames.rig.unit))
        else:
            photos, seen["ready"] = frames[:1], len(frames) > 2
            if len(frames) > 2:
                seen["form"] = f"{len(frames)} frames, of which the best two are taken"
    for number, photo in enumerate(photos, 1):
        _write_jpeg(folder / f"preview{number}.jpg", photo, PREVIEW_SIDE)
        seen["photos"].append(_facts(photo))
    _write_jpeg(folder / "thumb.jpg", photos[0], THUMB_SIDE)
    answer(seen=seen)


def _write_jpeg(path: Path, photo: "Photo", side: int) -> None:
    from PIL import Image

    image = Image.fromarray(photo.pixels)
    image.thumbnail((side, side), Image.Resampling.BOX, reducing_gap=2.0)
    image.save(path, "JPEG", quality=PREVIEW_QUALITY)


def _facts(photo: "Photo") -> dict[str, Any]:
    """What the page shows of a photo."""
    exif = photo.exif
    facts: dict[str, Any] = {"size": list(photo.size)}
    camera = f"{exif.get('make', '')} {exif.get('model', '')}".strip()
    if camera:
        facts["camera"] = camera
    for name in ("date", "focal_35mm", "projection", "format"):
        if (value := exif.get(name)) is not None:
            facts[name] = value
    if photo.mask is not None:
        facts["mask"] = float(1 - photo.mask.mean())
    if (position := exif.get("position")) is not None:
        facts["position"] = position.source
    return facts


class Watch:
    """Answer each stage as it begins, with the seconds it took in earlier runs; keep those of this one.

    Parameters
    ----------
    answer : callable
    whole : str
        Key of the seconds of a whole run.
    work : float
        Its amount: pixels that are matched.
    """

    def __init__(self, answer: Callable[..., None], whole: str, work: float) -> None:
        from ..pipeline.speeds import Speeds

        self.answer, self.speeds, self.stage = answer, Speeds(), ("", 0.0, 0.0)
        self.begun, self.whole = time.perf_counter(), (whole, work)
        answer(total_estimate=self.speeds.estimate(*self.whole))

    def __call__(self, stage: str, work: float = 0.0, method: str = "", /) -> None:
        """End the running stage and begin this one: see `pipeline.Progress`."""
        from ..pipeline.run import STAGES

        key, amount, start = self.stage
        if key:
            self.speeds.add(key, amount, time.perf_counter() - start)
        if stage == "done":
            self.stage = ("", 0.0, 0.0)
            return
        key = f"{stage} {method}".strip()
        self.stage = key, work, time.perf_counter()
        names = [*STAGES, "write"]
        self.answer(stage=stage, index=names.index(stage), stages=names, estimate=self.speeds.estimate(key, work))

    def save(self, *, compiled: bool) -> None:
        """Keep the speeds of this run; that of the whole not where it has compiled kernels, which is done once."""
        self("done")
        if not compiled:
            self.speeds.add(*self.whole, time.perf_counter() - self.begun)
        self.speeds.save()


def run(job: dict[str, Any], answer: Callable[..., None]) -> None:
    """Make a model of the photos, and answer its outcome.

    Parameters
    ----------
    job : dict
        photos (paths), folder (of the results), settings (`settings.config_of`).
    answer : callable
    """
    from ..install.compiling import Compiling, Helpers
    from ..pipeline.clock import ProcessPeak
    from ..pipeline.run import reconstruct

    begun = time.perf_counter()
    paths, folder = [Path(path) for path in job["photos"]], Path(job["folder"])
    config, crop, size = _config(paths, job["settings"])
    pixels = size[0] * size[1] * min(1, config.max_size / max(size)) ** 2
    watch = Watch(answer, f"app {config.matcher}", pixels + START_PIXELS)
    with Helpers(every=not config.usual) as helpers:

        def compiling() -> None:
            answer(compiling=True)
            helpers.start()

        with Compiling(compiling) as compiled:
            pair = (paths[0], paths[1] if len(paths) == 2 else None)
            result = reconstruct(*pair, config=config, progress=watch, meter=ProcessPeak())
            result = result if crop is None else result.cropped(crop)
            watch("write", len(result.mesh.faces), "app")
            outcome = _write(result, folder, begun)
    watch.save(compiled=compiled.kernels > 0)
    answer(outcome=outcome)


def tune(job: dict[str, Any], answer: Callable[..., None], requests: "queue.Queue[dict[str, Any]]") -> None:
    """Answer requests to match the pair with other options: see `tune_work.tune`."""
    from ..install.compiling import Compiling, Helpers
    from . import tune_work

    settings = {name: value for name, value in job["settings"].items() if name in tune_work.KEPT}
    config, _, _ = _config([Path(path) for path in job["photos"]], settings)
    with Helpers(every=not config.usual) as helpers:

        def compiling() -> None:
            answer(compiling=True)
            helpers.start()

        with Compiling(compiling):
            tune_work.tune(job, config, requests, answer, error_words)


def _config(paths: list[Path], settings: dict[str, Any]) -> tuple["Config", tuple[float, ...] | None, tuple[int, int]]:
    """The Config and the crop of the settings, and the size of the first photo."""
    from ..images.pairs import read_frames
    from ..images.read import read_photo
    from ..records import PhotoPair
    from .settings import config_of, crop_of

    if len(paths) == 2:
        first = read_photo(paths[0])
    else:
        frames = read_frames(paths[0], settings.get("layout") or None)
        first = frames.left if isinstance(frames, PhotoPair) else frames[0]
    return config_of(settings, first.size), crop_of(settings, first.size), first.size


def _write(result: "Result", folder: Path, begun: float) -> dict[str, Any]:
    """Write all files of a run; return its outcome in plain values."""
    from ..io.json_files import write_json
    from ..output.html import write_report
    from ..output.stage_files import measured, save_photo_maps

    for suffix in ("glb", "ply", "stl", "usdz"):
        result.save(folder / f"model.{suffix}")
    maps = save_photo_maps(result, depth=folder / "depth.png")
    with (
        tempfile.TemporaryDirectory(dir=folder) as scratch,
        zipfile.ZipFile(folder / "model-obj.zip", "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for path in result.save(Path(scratch) / "model.obj"):
            archive.write(path, path.name)
    paths = [folder / name for name in LABELS]
    write_report(folder / "report.html", result, files=[path for path in paths if path.suffix != ".html"])
    seconds = time.perf_counter() - begun
    write_json(folder / "measurements.json", measured(result, paths, seconds, maps))
    metric = result.view.rig.unit is not None
    return {
        "verdict": result.verdict,
        "summary": result.summary,
        "unit": result.unit,
        "metric": metric,
        "seconds": round(seconds, 1),
        "faces": len(result.mesh.faces),
        "advice": list(dict.fromkeys(_advice(f.advice) for f in result.findings if f.advice and f.severity != "info")),
        "files": [
            {"name": path.name, "label": label, "bytes": path.stat().st_size}
            for path, label in zip(paths, LABELS.values(), strict=True)
        ],
    }


def _advice(advice: str) -> str:
    return error_words(StereoError("bad_option", "", advice))["advice"]
