"""Many runs in one process; `python benchmarks/soak.py` is the long form."""

import os
import statistics
import threading

import pytest

from stereo3d.pipeline import Config, reconstruct
from stereo3d.pipeline.clock import ProcessPeak, resident_memory
from stereo3d.synthetic import render

RUNS = 12


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files in /proc")
def test_runs_leave_nothing_in_the_process(tmp_path):
    pair = render("handheld", size=(160, 120))
    memory, left = [], []
    for _ in range(RUNS):
        result = reconstruct(pair.left, pair.right, pair.rig, Config(matcher="block", mesher="grid", force=True))
        result.save(tmp_path / "m.obj")
        del result
        ProcessPeak().stop()  # gives freed memory back to the system
        memory.append(resident_memory())
        left.append((len(os.listdir("/proc/self/fd")), threading.active_count()))
    assert left[-1] == left[1]
    assert statistics.median(memory[-4:]) < 1.05 * statistics.median(memory[3:7]), memory
