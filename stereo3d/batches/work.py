"""What a worker does with a pair: read it, reconstruct, write its folder; `pair.json` last, which vouches for the rest.

A task returns plain values and never raises: whatever is wrong with a pair is its outcome. Only the death of its
process is the scheduler's business, which then gives the pair to another worker once.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import StereoError, translate_error
from ..io.atomic import abandon, replacing, scratch_folder, together
from .places import (
    digest,
    is_address,
    joined,
    name_in,
    path_of,
    read_bytes,
    record_bytes,
    stamp,
    write_files,
)
from .plan import FORM, files_are_there, record_in, same_options
from .records import DONE, FAILED, MEASUREMENTS, STATUS, THUMB, Job

if TYPE_CHECKING:
    from ..pipeline.result import Result

THUMB_SIZE = (176, 132)  # px, of each of the two pictures of a thumbnail
THUMB_QUALITY = 60
MEMORY_SHARE = 0.85  # of a worker's limit that a run may take; distributed ends a worker at .95
UNWRITTEN = ("unwritable", "busy")  # errors that are the disk's, not the pair's: nothing is recorded, the batch stops
_one = threading.Lock()  # a process carries out one pair at a time: memory and time limits are of processes


@dataclass(frozen=True)
class MeshFiles:
    """Write mesh and measurements: what a batch from Python keeps of a result.

    Attributes
    ----------
    mesh : str
        Name of the mesh file.
    report : bool
        Write `report.html` as well.
    """

    mesh: str = "mesh.glb"
    report: bool = False

    def __call__(self, result: Result, folder: Path, start: float) -> list[Path]:
        """Write the files of a result and return them."""
        from ..io.json_files import write_json
        from ..output.stage_files import measured

        files = result.save(folder / self.mesh)
        if self.report:
            from ..output.html import write_report

            files.append(write_report(folder / "report.html", result, files=files))
        files.append(folder / MEASUREMENTS)
        write_json(files[-1], measured(result, files, time.perf_counter() - start))
        return files


def run_pair(job: Job) -> dict[str, Any]:
    """Carry out a job in this process.

    Returns
    -------
    dict
        facts (the content of `pair.json`), kept, thumb (bytes of a JPEG), files ({name: bytes} where the job says
        bring), result (where it names no folder).
    """
    begun = time.perf_counter()
    with _one, Deadline(job) as deadline:
        answer = _carry_out(job)
        deadline.over = True
    answer["facts"].setdefault("worker_seconds", round(time.perf_counter() - begun, 4))
    return answer


def _carry_out(job: Job) -> dict[str, Any]:
    record = _earlier_record(job)
    if record is not None and record.get("batch") == job.batch:
        return {"facts": record, "kept": False, "thumb": _thumb_there(job)}
    begun, inputs = time.perf_counter(), {}
    answer: dict[str, Any] = {"kept": False, "thumb": None}
    with scratch_folder() as scratch:
        try:
            paths = _local_files(job, scratch)
            for role, file in job.inputs.items():
                inputs[role] = {"file": file, "sha256": digest(paths[role]), "stamp": stamp(file)}
            if record is not None and _is_same(job, record, inputs):
                facts = {**record, "inputs": inputs}
                if job.out is not None and not job.bring:
                    write_files(job.out, [(STATUS, record_bytes(facts))])
                return {"facts": facts, "kept": True, "thumb": _thumb_there(job)}
            facts = _described(job, inputs)
            result = _reconstructed(job, paths)
            facts |= _facts_of(result)
            answer["thumb"] = thumbnail(result.left.pixels, result.disparity)
            if job.out is None:
                answer["result"] = result
            else:
                _write(job, result, facts, answer, scratch, begun)
            facts["seconds"] = round(time.perf_counter() - begun, 3)
        except Exception as error:
            facts = {**_described(job, inputs), "state": FAILED, "error": _error_of(error)}
            facts["seconds"] = round(time.perf_counter() - begun, 3)
            answer["thumb"] = answer["thumb"] or _thumb_of_photo(locals().get("paths"))
            _record_failure(job, facts, answer)
    return {**answer, "facts": facts}


def _earlier_record(job: Job) -> dict[str, Any] | None:
    """The record of the pair; where files are sent, what the caller has found of it."""
    if job.known is not None:
        return dict(job.known)
    return None if job.out is None or job.bring else record_in(job.out)


def _is_same(job: Job, record: Mapping[str, Any], inputs: Mapping[str, Any]) -> bool:
    """Whether a record is of the same options and contents, and need not be made again."""
    if not same_options(job, record) or (record.get("state") != DONE and job.retry):
        return False
    if {role: (entry or {}).get("sha256") for role, entry in record["inputs"].items()} != {
        role: entry["sha256"] for role, entry in inputs.items()
    }:
        return False
    return job.bring or files_are_there(job, record)


def _described(job: Job, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says whatever the outcome."""
    return {
        "form": FORM,
        "name": job.pair.name,
        "state": DONE,
        "batch": job.batch,
        "key": job.key,
        "inputs": dict(inputs) or {role: {"file": file} for role, file in job.inputs.items()},
        "why": job.pair.why,
        "host": socket.gethostname(),
        "version": __version__,
        "files": [],
    }


def _local_files(job: Job, scratch: Path) -> dict[str, Path]:
    """The path of each input: its own, or that of a copy of what was sent or is fetched."""
    paths = {}
    for role, file in job.inputs.items():
        if job.contents is not None and file in job.contents:
            content = job.contents[file]
        elif is_address(file):
            content = read_bytes(file)
        else:
            paths[role] = path_of(file)
            continue
        paths[role] = scratch / role.partition(" ")[0] / name_in(file)
        paths[role].parent.mkdir(exist_ok=True)
        paths[role].write_bytes(content)
    return paths


def options_with(job: Job, paths: Mapping[str, Path]) -> dict[str, Any]:
    """Return the fields of `Config` of a job with its files where they are on this machine."""
    options = dict(job.options)
    for role in ("calib", "mask"):
        if options.get(role):
            options[role] = tuple(path for name, path in paths.items() if name.partition(" ")[0] == role)
    models = {name.partition(" ")[2]: str(path) for name, path in paths.items() if name.startswith("model ")}
    if models:
        stage = {**(options.get("options") or {})}
        for name, path in models.items():
            if name in ("matcher", "detector"):
                options[name] = f"{str(options[name]).partition(':')[0]}:{path}"
            else:
                stage[name] = path
        options["options"] = stage
    if options.get("max_memory") is None and (limit := memory_of_worker()) is not None:
        options["max_memory"] = MEMORY_SHARE * limit / 2**30
    return options


def memory_of_worker() -> float | None:
    """Return the memory, bytes, that the worker of this task may take; None where it has no limit."""
    with contextlib.suppress(Exception):
        from distributed import get_worker

        return float(get_worker().memory_manager.memory_limit or 0) or None
    return None


def _reconstructed(job: Job, paths: Mapping[str, Path]) -> Result:
    from ..pipeline.clock import ProcessPeak, SampledPeak
    from ..pipeline.config import Config
    from ..pipeline.run import reconstruct

    config = Config(**options_with(job, paths))
    meter = ProcessPeak() if in_own_process() else SampledPeak()
    result = reconstruct(paths["left"], paths.get("right"), config=config, meter=meter)
    for role, side in (("left", "left"), ("right", "right" if "right" in paths else "")):
        photo = getattr(result, side, None) if side else None
        if photo is not None and paths[role] != path_of(job.inputs[role]):  # a copy: its folder says nothing
            result = replace(result, **{side: replace(photo, path=Path(paths[role].name))})
    return result


def _facts_of(result: Result) -> dict[str, Any]:
    """The columns of the index."""
    from ..io.json_files import plain

    return {
        "verdict": result.verdict,
        "summary": result.summary,
        "coverage": plain(result.coverage),
        "precision": plain(result.relative_sigma),
        "unit": result.unit,
        "faces": len(result.mesh.faces),
        "size": list(result.left.size),
        "matched": max(result.pair.left.shape[:2]),
        "warnings": [f.code for f in result.findings if f.severity != "info"],
        "reduced": [f.message for f in result.findings if f.code.startswith("reduced")],
        "rows": plain(dict(result.pair.rows)),
        "peak_mb": max(stage["peak_mb"] for stage in result.stages),
        "stages": {stage["name"]: stage["seconds"] for stage in result.stages},
    }


def _write(
    job: Job, result: Result, facts: dict[str, Any], answer: dict[str, Any], scratch: Path, begun: float
) -> None:
    """Write the files of a result, its thumbnail and its record as one set; or gather them for the caller."""
    assert job.out is not None
    write, here = job.write or MeshFiles(), not job.bring and not is_address(job.out)
    folder = path_of(job.out) if here else scratch / "result"
    stale = set((_earlier_record(job) or {}).get("files") or [])
    with together():
        files = write(result, folder, begun)
        facts["files"] = sorted(path.relative_to(folder).as_posix() for path in files)
        facts["seconds"] = round(time.perf_counter() - begun, 3)
        for name, content in ((THUMB, answer["thumb"]), (STATUS, record_bytes(facts))):
            if here:
                with replacing(folder / name) as temporary:
                    temporary.write_bytes(content)
    if here:
        for name in stale - set(facts["files"]):
            if isinstance(name, str) and not os.path.isabs(name) and ".." not in Path(name).parts:
                with contextlib.suppress(OSError):
                    (folder / name).unlink()
        return
    contents = {name: (folder / name).read_bytes() for name in facts["files"]}
    contents |= {THUMB: answer["thumb"], STATUS: record_bytes(facts)}
    if job.bring:
        answer["files"] = contents
    else:
        write_files(job.out, contents.items())


def _record_failure(job: Job, facts: dict[str, Any], answer: dict[str, Any]) -> None:
    """Write the record of a failure, unless it is the disk's."""
    if job.out is None or facts["error"]["code"] in UNWRITTEN:
        return
    contents = {THUMB: answer["thumb"]} if answer["thumb"] else {}
    contents[STATUS] = record_bytes(facts)
    if job.bring:
        answer["files"] = contents
        return
    try:
        write_files(job.out, contents.items())
    except StereoError as error:
        facts["error"] = _error_of(error)


def _error_of(error: Exception) -> dict[str, Any]:
    """An error as plain values, as `--json` has it."""
    import traceback

    from ..output.stage_files import failure

    known = translate_error(error)
    found = failure(known or error, 70)["error"]
    if known is None:
        found["traceback"] = "".join(traceback.format_exception(error))[-4000:]
    return found


def thumbnail(photo: Any, disparity: Any = None) -> bytes:
    """Return the JPEG of a small picture: the photo, and the disparity beside it."""
    import numpy as np
    from PIL import Image

    from ..io.pictures import colourise

    pictures = [photo]
    if disparity is not None:
        step = max(1, min(disparity.shape[0] // THUMB_SIZE[1], disparity.shape[1] // THUMB_SIZE[0]))
        pictures.append(colourise(np.ascontiguousarray(disparity[::step, ::step])))
    sheet = Image.new("RGB", (THUMB_SIZE[0] * len(pictures), THUMB_SIZE[1]), (24, 26, 30))
    for k, pixels in enumerate(pictures):
        image = Image.fromarray(pixels)
        image.thumbnail(THUMB_SIZE, Image.Resampling.BOX, reducing_gap=2.0)
        sheet.paste(
            image, (k * THUMB_SIZE[0] + (THUMB_SIZE[0] - image.width) // 2, (THUMB_SIZE[1] - image.height) // 2)
        )
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=THUMB_QUALITY)
    return file.getvalue()


def _thumb_of_photo(paths: Mapping[str, Path] | None) -> bytes | None:
    """The thumbnail of a failure's first photo, where that can be read."""
    if not paths or "left" not in paths:
        return None
    with contextlib.suppress(Exception):
        from ..images.read import read_photo

        return thumbnail(read_photo(paths["left"]).pixels)
    return None


def _thumb_there(job: Job) -> bytes | None:
    if job.out is None or job.bring:
        return None
    with contextlib.suppress(Exception):
        return read_bytes(joined(job.out, THUMB), 2**20)
    return None


# ------------------------------------------------------------------------------------------------ time limits


class Deadline:
    """Ends the worker's process where a pair takes longer than its job allows: no other way stops compiled code.

    The record of the failure is written before, so that the second try, which the scheduler gives a pair whose worker
    has died, finds the outcome. Where the process is not a worker's own, the pair goes on and fails at its end.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.over, self.timer = job, False, None
        self._own, self._lock = in_own_process(), threading.Lock()

    def __enter__(self) -> Deadline:
        if self.job.timeout is not None and self._own:
            self.timer = threading.Timer(self.job.timeout, self._end)
            self.timer.daemon = True
            self.timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.timer is not None:
            self.timer.cancel()

    def _end(self) -> None:
        if self.over:
            return
        abandon()  # what the pair was writing
        inputs = {role: {"file": file, "stamp": stamp(file)} for role, file in self.job.inputs.items()}
        facts = {**_described(self.job, inputs), "state": FAILED, "error": _error_of(timed_out(self.job))}
        facts["seconds"] = self.job.timeout
        if self.job.out is not None and not self.job.bring:
            with contextlib.suppress(StereoError):
                write_files(self.job.out, [(STATUS, record_bytes(facts))])
        os._exit(1)


def timed_out(job: Job) -> StereoError:
    """Return the error of a pair that takes too long."""
    return StereoError(
        "timeout",
        f"the pair was not done in {job.timeout:g} s.",
        "Allow more by --timeout, or use a smaller --max-size or a faster --matcher.",
        seconds=job.timeout,
    )


def in_own_process() -> bool:
    """Return whether this task runs in a process that a nanny starts again when it ends."""
    with contextlib.suppress(Exception):
        from distributed import get_worker

        return bool(get_worker().nanny)
    return False


# ------------------------------------------------------------------------------------------------ one rig


def look_at_rig(job: Job) -> dict[str, Any]:
    """Carry out the first half of a pair: its cameras, pose and search range in plain values, or its error."""
    with _one, scratch_folder() as scratch:
        try:
            from ..pipeline.config import Config
            from ..pipeline.run import prepare

            paths = _local_files(job, scratch)
            prepared = prepare(paths["left"], paths.get("right"), config=Config(**options_with(job, paths)))
            return {"name": job.pair.name, **rig_numbers(prepared)}
        except Exception as error:
            return {"name": job.pair.name, "error": _error_of(error)}


def rig_numbers(prepared: Any) -> dict[str, Any]:
    """Return what `shared_rig` compares of a prepared pair."""
    view = prepared.view
    return {
        "focal": [view.rig.cam1.focal, view.rig.cam2.focal],
        "K": [view.rig.cam1.K.tolist(), view.rig.cam2.K.tolist()],
        "dist": [view.rig.cam1.dist.tolist(), view.rig.cam2.dist.tolist()],
        "size": [list(view.rig.cam1.size), list(view.rig.cam2.size)],
        "lens": view.rig.wide,
        "R": view.R.tolist(),
        "t": view.t.tolist(),
        "unit": view.rig.unit,
        "inliers": int(view.inliers.sum()),
        "matches": len(prepared.matches),
        "d_range": [float(v) for v in prepared.d_range],
        "width": prepared.pair.left.shape[1],
        "codes": [f.code for f in prepared.findings if f.severity != "info"],
    }
