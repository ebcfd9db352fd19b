"""Control characters in whatever the command prints appear as escapes."""

import json

import numpy as np
import pytest

from stereo3d.cli import main
from stereo3d.cli.printable import echo, printable


@pytest.mark.parametrize(
    "text, shown",
    [
        ("\x1b]0;title\x07\x1b[31mred", "\\x1b]0;title\\x07\\x1b[31mred"),
        ("\x9b31m \x7f \x00 \r", "\\x9b31m \\x7f \\x00 \\x0d"),
        ("a\u202egpj.exe\u2066", "a\\u202egpj.exe\\u2066"),
        ("two\nlines\ttab", "two\\nlines\ttab"),
        ("name\udcff", "name\\xff"),
        ("ä 写真 \U0001f600", "ä 写真 \U0001f600"),
    ],
)
def test_printable(text, shown, capsys):
    assert printable(text) == shown
    echo(text)
    echo(text, err=True)
    out = capsys.readouterr()
    assert out.out == out.err == shown + "\n"


def test_lines_stay_lines(capsys):
    echo("two\nlines\x1b", lines=True)
    assert capsys.readouterr().out == "two\nlines\\x1b\n"


EVIL = "\x1b]0;PWNED\x07\x1b[31m\u202e"


@pytest.mark.parametrize(
    "arguments",
    [
        ["view", f"{EVIL}.obj"],
        ["view", f"{EVIL}.{EVIL}"],
        [f"a{EVIL}.jpg", "b.jpg", "-o", "o.obj"],
        ["reconstruct", "a.jpg", "b.jpg", "-o", "o.obj", f"--{EVIL}"],
        [EVIL],
        ["disparity", "a.png", "b.png", "-o", "o.pfm", "-O", EVIL],
        ["eval", "pose", f"{EVIL}.json", "x.json"],
        ["synth", EVIL, "-o", "folder"],
        ["reconstruct", "a.jpg", "b.jpg", "-o", "o.obj", "--matcher", EVIL],
        ["eval", "disparity", "a.pfm", "b.pfm", "--scale", EVIL],
    ],
)
def test_errors_name_foreign_text_without_its_escapes(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) != 0
    out = capsys.readouterr()
    said = out.out + out.err
    assert "\\x1b" in said and not {"\x1b", "\x07", "\u202e"} & set(said)
    assert len(said.strip().splitlines()) == 1


def test_scores_and_names_in_files(tmp_path, capsys):
    camera = {"K": np.eye(3).tolist(), "size": [4, 3], "t": [1, 0, 0]}
    (tmp_path / "a.json").write_text(json.dumps({"cameras": {f"left{EVIL}": camera}}))
    assert main(["eval", "pose", str(tmp_path / "a.json"), str(tmp_path / "a.json")]) != 0
    said = capsys.readouterr().err
    assert "left\\x1b" in said and "\x1b" not in said
