"""Standard output and error that are closed, full, or have lost their reader: the files are whole all the same."""

import os
import pickle
import subprocess
import sys

import pytest

from stereo3d import pipeline
from stereo3d.io import read_mesh
from stereo3d.pipeline import Config
from stereo3d.synthetic import write

RUN = """
import pickle, sys
from stereo3d.pipeline import run

path = sys.argv.pop()

def reconstruct(*args, progress, **kwargs):
    progress("features", 0, "")
    with open(path, "rb") as f:
        return pickle.load(f)

run.reconstruct = reconstruct
from stereo3d.cli import main
main()
"""


@pytest.fixture(scope="module")
def folder(render_once, tmp_path_factory):
    """A pair on disk and the pickled outcome of its run."""
    folder = tmp_path_factory.mktemp("pair")
    scene = render_once("handheld", size=(320, 240), supersample=2)
    write.write_pair(folder, scene)
    result = pipeline.reconstruct(scene.left, scene.right, scene.rig, Config(matcher="sgm", mesher="grid"))
    (folder / "result").write_bytes(pickle.dumps(result))
    return folder


def unread_pipe() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def full() -> int:
    return os.open("/dev/full", os.O_WRONLY)


@pytest.mark.parametrize(
    "out, err, code",
    [
        ("closed", "kept", 0),
        ("unread", "kept", 0),
        ("full", "kept", 6),
        ("kept", "closed", 0),
        ("kept", "unread", 0),
        ("kept", "full", 0),
        ("closed", "closed", 0),
        ("full", "full", 6),
    ],
)
def test_the_files_are_whole(folder, tmp_path, out, err, code):
    streams = {"unread": unread_pipe, "full": full}
    opened = {1: streams[out]() if out in streams else None, 2: streams[err]() if err in streams else None}

    def close():
        for number, how in ((1, out), (2, err)):
            if how == "closed":
                os.close(number)

    args = [folder / "left.png", folder / "right.png", "-o", tmp_path / "m.obj", "--json", tmp_path / "f.json"]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, args), str(folder / "result")],
        stdout=opened[1] or subprocess.PIPE,
        stderr=opened[2] or subprocess.PIPE,
        preexec_fn=close,
        text=True,
    )
    for file in filter(None, opened.values()):
        os.close(file)
    assert done.returncode == code
    if err == "kept":
        assert "Traceback" not in done.stderr and "Exception" not in done.stderr
        assert done.stderr.count("standard output") == (1 if code else 0)
    if out == "kept":
        assert "wrote" in done.stdout
    assert len(read_mesh(tmp_path / "m.obj").faces) > 1000
    assert sorted(os.listdir(tmp_path)) == ["f.json", "m.mtl", "m.obj", "m_texture.jpg"]


@pytest.mark.parametrize("command", [["methods"], ["--help"]])
def test_commands_that_only_print_end_with_6_when_nobody_reads(command):
    writer = unread_pipe()
    done = subprocess.run([sys.executable, "-m", "stereo3d.cli", *command], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (6, b"")


def test_an_error_is_an_error_without_a_place_to_say_it():
    for how in (full, unread_pipe):
        file = how()
        done = subprocess.run([sys.executable, "-m", "stereo3d.cli", "view", "nowhere.obj"], stderr=file)
        os.close(file)
        assert done.returncode == 3
