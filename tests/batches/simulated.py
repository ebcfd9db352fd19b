"""Tasks of the shape of `run_pair`, without photos: what a worker meets is in the name of the pair."""

import os
import signal
import time
from pathlib import Path

from stereo3d.batches import work
from stereo3d.batches.places import joined, path_of, read_record, record_bytes, write_files
from stereo3d.batches.records import DONE, FAILED, STATUS

OPTIONS = {"matcher": "sgm", "mesher": "grid"}  # of the few runs that are none of these: the quick ones


def task(job):
    """Write a record; die where the name says poison, once where it says once, refuse where it says full or bad."""
    with work.Deadline(job):
        return _carried_out(job)


def _carried_out(job):
    name, folder = job.pair.name, path_of(job.out)
    known = read_record(joined(job.out, STATUS))
    if known is not None and known.get("batch") == job.batch:
        return {"facts": known, "kept": False, "thumb": None}
    facts = {"form": work.FORM, "name": name, "state": DONE, "batch": job.batch, "key": job.key, "files": []}
    facts |= {"inputs": {role: {"file": file} for role, file in job.inputs.items()}}
    facts |= {"verdict": "good", "coverage": 0.5, "precision": 0.01, "seconds": 0.001, "worker": os.getpid()}
    if "poison" in name or ("once" in name and not Path(f"{folder}.seen").exists()):
        folder.parent.mkdir(parents=True, exist_ok=True)
        Path(f"{folder}.seen").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if "slow" in name:
        time.sleep(60)
    if "full" in name:
        facts |= {"state": FAILED, "error": {"code": "unwritable", "message": "no space left", "advice": ""}}
        return {"facts": facts, "kept": False, "thumb": None}
    if "bad" in name:
        facts |= {"state": FAILED, "error": {"code": "few_matches", "message": "4 matches.", "advice": "Try again."}}
    time.sleep(0.001)
    write_files(job.out, [(STATUS, record_bytes(facts))])
    return {"facts": facts, "kept": False, "thumb": None}
