"""Cores and memory within the limits of a container: trees of control groups made by hand, both versions."""

import os
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from stereo3d import resources
from stereo3d.install import compiling, doctor

GIB = 2**30


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Write a tree of control groups and what /proc/self/cgroup says: {"folder/file": text}."""

    def write(membership: str, files: dict[str, object]):
        for name, value in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{value}\n")
        (tmp_path / "membership").write_text(membership)

    monkeypatch.setattr("stereo3d.resources.CGROUP_ROOT", tmp_path / "cgroup")
    monkeypatch.setattr("stereo3d.resources.CGROUP_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=64 * GIB, available=50 * GIB))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    return write


def test_without_groups_the_computer_counts(groups):
    assert (resources.processors(), resources.total_memory(), resources.available_memory()) == (16, 64 * GIB, 50 * GIB)
    groups("0::/\n", {"cgroup.procs": 1})
    assert (resources.processors(), resources.available_memory()) == (16, 50 * GIB)


@pytest.mark.parametrize("path", ["/", "/docker/0123", "/../host"])
def test_a_container_of_version_2(groups, path):
    """The root of the mount is the container's group, whatever path the host calls it by."""
    stat = f"anon {GIB}\ninactive_file {GIB // 2}\nactive_file {GIB // 4}"
    files = {"memory.max": 4 * GIB, "memory.current": 2 * GIB, "memory.stat": stat, "cpu.max": "250000 100000"}
    groups(f"0::{path}\n", files)
    assert resources.total_memory() == 4 * GIB
    assert resources.available_memory() == 4 * GIB - (2 * GIB - GIB // 2 - GIB // 4), "cached files give way"
    assert resources.processors() == 3, "2.5 cores"


def test_a_container_of_version_1(groups):
    groups(
        "5:cpu,cpuacct:/job\n4:memory:/job\n1:name=systemd:/\n",
        {
            "memory/memory.limit_in_bytes": 2**63 - 4096,  # no limit
            "memory/memory.usage_in_bytes": 9 * GIB,
            "memory/job/memory.limit_in_bytes": 3 * GIB,
            "memory/job/memory.usage_in_bytes": 2 * GIB,
            "memory/job/memory.stat": f"inactive_file 1\ntotal_inactive_file {GIB}",
            "cpu,cpuacct/cpu.cfs_quota_us": -1,
            "cpu,cpuacct/cpu.cfs_period_us": 100000,
            "cpu,cpuacct/job/cpu.cfs_quota_us": 50000,
            "cpu,cpuacct/job/cpu.cfs_period_us": 100000,
        },
    )
    assert (resources.total_memory(), resources.available_memory()) == (3 * GIB, 2 * GIB)
    assert resources.processors() == 1, "half a core"


def test_the_limit_of_an_ancestor_applies(groups):
    groups(
        "0::/slice/unit\n",
        {
            "slice/memory.max": 2 * GIB,
            "slice/memory.current": GIB,
            "slice/unit/memory.max": "max",
            "slice/unit/memory.current": GIB // 2,
            "slice/cpu.max": "200000 100000",
            "slice/unit/cpu.max": "max 100000",
        },
    )
    assert (resources.total_memory(), resources.available_memory(), resources.processors()) == (2 * GIB, GIB, 2)


def test_more_used_than_allowed_leaves_nothing(groups):
    groups("0::/\n", {"memory.max": GIB, "memory.current": 2 * GIB})
    assert resources.available_memory() == 0


def test_files_that_hold_no_numbers_set_no_limit(groups):
    groups("0::/\nnonsense\n", {"memory.max": "", "memory.current": "x", "cpu.max": "max"})
    assert (resources.available_memory(), resources.processors()) == (50 * GIB, 16)


def test_the_run_and_the_doctor_know_the_same_limits(groups):
    groups("0::/\n", {"memory.max": GIB, "memory.current": 0, "cpu.max": "100000 100000"})
    assert compiling.room_for_helpers() == 0
    numbers = {finding.code: finding.numbers for finding in doctor._machine()}
    assert numbers["memory"] == {"total": GIB, "available": GIB} and numbers["cores"] == {"cores": 1}


def test_open3d_is_loaded_without_a_web_server_until_it_draws():
    pytest.importorskip("open3d")
    lines = (
        "import sys",
        "from stereo3d.resources import load_open3d",
        "open3d = load_open3d()",
        "box = open3d.geometry.TriangleMesh.create_box()",
        "assert 'dash' not in sys.modules",
        "assert len(open3d.visualization.get_plotly_fig([box]).data) == 1",
        "assert 'dash' in sys.modules and open3d.visualization.draw_plotly.__module__.startswith('open3d.')",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)
