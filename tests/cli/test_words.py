"""The words of the command: the summary of a run, the name of its output, and what to type at a dead end."""

import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from stereo3d.cli import summary as summaries
from stereo3d.cli.parameters import cli
from stereo3d.cli.words import CONVERTERS, sort_words
from stereo3d.diagnosis.verdict import MEANINGS, WORDS, by_weight
from stereo3d.errors import StereoError
from stereo3d.io import WRITERS
from stereo3d.records import Finding

# ------------------------------------------------------------------------------------------------ the summary


def finding(code, severity, advice=""):
    return Finding(code, severity, f"about {code}.", {}, advice)


FINDINGS = [
    finding("rows", "info"),
    finding("blur", "warning", "Hold still."),
    finding("focal", "info"),
    finding("few_matches", "warning", "Step closer."),
    finding("small_baseline", "warning", "Step aside."),
    finding("flat_scene", "error", "Show depth."),
]


@pytest.fixture
def result():
    """What the summary reads of a result: depth 2 to 4 m, known to 1 % of it."""
    points = np.zeros((3, 5, 3))
    points[..., 2] = np.linspace(2, 4, 15).reshape(3, 5)
    points[0, 0] = np.nan
    points[2, 4] = np.nan  # the middle stays 3
    return SimpleNamespace(
        verdict="fair",
        summary="Usable, with care: the photos are blurred. 94 % of the first photo became surface.",
        findings=FINDINGS,
        coverage=0.94,
        relative_sigma=0.01,
        points=points,
        unit="m",
        view=SimpleNamespace(rig=SimpleNamespace(unit="m"), inliers=np.ones(7, bool)),
        matches=range(9),
        mesh=SimpleNamespace(vertices=range(4), faces=range(2)),
        stages=[{"name": "mesh", "seconds": 2.0, "peak_mb": 900.0}],
    )


@pytest.fixture
def files(tmp_path):
    made = [tmp_path / name for name in ("my model.obj", "my model.mtl", "my model.jpg", "a.png", "b.ply", "f.json")]
    for path in made:
        path.write_bytes(bytes(200_000))
    return made


def test_the_heaviest_findings_come_first():
    codes = [f.code for f in by_weight(FINDINGS, 0.94, 0.01)]
    assert codes == ["flat_scene", "few_matches", "blur", "small_baseline", "focal", "rows"]
    codes = [f.code for f in by_weight(FINDINGS, 0.94, 0.2)]  # depth so rough that the small baseline counts
    assert codes == ["flat_scene", "few_matches", "small_baseline", "blur", "focal", "rows"]


def test_the_verdict_leads_and_the_next_step_ends(result, files):
    lines = summaries.summary(result, files, 65.2)
    assert lines[0] == f"fair: Usable, with care: the photos are blurred. {MEANINGS['fair']}"
    assert "0.03 m at the middle distance of 3 m" in lines[2] and lines[3].endswith("metric, in m")
    told = [line for line in lines if "about " in line]
    assert told == [
        "error: about flat_scene. Show depth.",
        "warning: about few_matches. Step closer.",
        "warning: about blur. Hold still.",
    ]
    assert "3 more findings: add -v, --report or --json." in lines
    assert any("65 s with writing" in line for line in lines)
    for path in files:
        assert any(line.endswith(f"{path} (0.2 MB)") for line in lines)
    command = lines[-1].removeprefix("next: look at it: ")
    assert shlex.split(command) == ["stereo3d", "view", str(files[0])]


def test_verbose_shows_every_finding_and_a_report_is_the_next_step(result, files, tmp_path):
    (tmp_path / "r.html").write_text("page")
    lines = summaries.summary(result, [*files, tmp_path / "r.html"], 1.0, verbose=True)
    assert sum("about " in line for line in lines) == len(FINDINGS) and not any("add -v" in line for line in lines)
    assert lines[-1] == f"next: open {tmp_path / 'r.html'} in a browser"


def test_measurements_that_ask_for_nothing_are_left_to_verbose(result, files):
    result.findings = [finding("rows", "info"), finding("repeated", "info"), finding("swapped", "info")]
    lines = summaries.summary(result, files, 1.0)
    assert [line for line in lines if "about " in line] == ["note: about swapped."]
    assert "2 more findings: add -v, --report or --json." in lines
    result.findings = [Finding("repeated", "warning", "about repeated.", {"kept": 0.3})]
    assert any(line.startswith("warning: about repeated.") for line in summaries.summary(result, files, 1.0))


def test_the_pair_that_was_chosen_is_said_however_much_else_there_is(result, files):
    numbers = {"first": "p07.jpg", "second": "p09.jpg", "pairs": 190}
    result.findings = [*FINDINGS, Finding("chosen_pair", "info", "of many.", numbers)]
    lines = summaries.summary(result, files, 1.0)
    assert lines[1] == "  photos     p07.jpg and p09.jpg, the best of 190 pairs"
    assert "3 more findings: add -v, --report or --json." in lines


def test_a_run_without_a_scale_says_what_to_type_for_metres(result, files):
    result.unit, result.view.rig.unit = "baseline", None
    lines = summaries.summary(result, files, 1.0)
    assert "0.03 baselines at the middle" in lines[2] and "--baseline 0.12 --unit m" in lines[3]


def test_every_verdict_has_words_and_a_meaning():
    assert set(WORDS) == set(MEANINGS) and set(WORDS) < set(summaries.TONES)


def luminance(rgb):
    """Relative luminance of an sRGB colour, WCAG 2.1."""
    c = np.array(rgb) / 255
    return np.where(c <= 0.03928, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("number", sorted(set(summaries.TONES.values())))
def test_colours_are_legible_on_black_and_on_white(number):
    k = number - 16  # the colour cube of xterm: six levels for each of red, green and blue
    assert 0 <= k < 216, "the lower 16 differ between terminals"
    rgb = [0 if n == 0 else 55 + 40 * n for n in (k // 36, k // 6 % 6, k % 6)]
    light = luminance(rgb) + 0.05
    assert light / 0.05 >= 4.5 and 1.05 / light >= 4.5, rgb


def test_a_terminal_of_16_colours_gets_bold_words(monkeypatch):
    for name in ("COLORTERM", "WT_SESSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert summaries.toned("fair") == "\x1b[1mfair\x1b[0m"
    monkeypatch.setenv("TERM", "xterm-256color")
    assert summaries.toned("fair") == f"\x1b[38;5;{summaries.TONES['fair']}mfair\x1b[0m"


# ------------------------------------------------------------------------------------------------ the output


def sorted_words(*photos, output=None):
    return sort_words([Path(p) for p in photos], output, WRITERS)


def test_the_output_is_named_like_the_first_photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "shots").mkdir()
    for given, photos, expected in [
        (None, ["x/IMG_1.jpg", "IMG_2.jpg"], "x/IMG_1.glb"),
        (None, ["shots"], "shots.glb"),
        (None, ["."], f"{tmp_path}.glb"),
        (".obj", ["x/a.b.jpg", "c.jpg"], "x/a.b.obj"),
        (".GLB", ["a.jpg", "c.jpg"], "a.glb"),
        ("out", ["a.jpg", "c.jpg"], "out/a.glb"),
        ("new/", ["a.jpg", "c.jpg"], "new/a.glb"),
        ("m.ply", ["a.jpg", "c.jpg"], "m.ply"),
    ]:
        words = sorted_words(*photos, output=given)
        assert (words.output, words.note) == (Path(expected), ""), given
        assert words.photos == tuple(map(Path, photos))


def test_a_name_of_our_own_spares_what_is_there(tmp_path):
    (tmp_path / "a.glb").write_text("mine")
    (tmp_path / "a-2.glb").symlink_to("nowhere")
    words = sorted_words(tmp_path / "a.jpg", "b.jpg")
    assert words.output == tmp_path / "a-3.glb" and "a.glb was there already and stays" in words.note
    assert sorted_words(tmp_path / "a.jpg", "b.jpg", output=str(tmp_path / "a.glb")).output == tmp_path / "a.glb"


def test_the_last_word_may_be_the_output(tmp_path):
    words = sorted_words("a.jpg", "b.jpg", "m.glb")
    assert words.photos == (Path("a.jpg"), Path("b.jpg")) and words.output == Path("m.glb")
    (tmp_path / "m.glb").write_text("mine")
    with pytest.raises(StereoError, match="there already") as caught:
        sorted_words("a.jpg", "b.jpg", tmp_path / "m.glb")
    assert caught.value.advice.endswith(f"stereo3d a.jpg b.jpg -o {tmp_path / 'm.glb'}")


# ------------------------------------------------------------------------------------------------ dead ends


@pytest.fixture
def here(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    for name in ("a.jpg", "b.jpg", "one/a.jpg", "nested/in/a.jpg", "nested/in/b.jpg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise).save(name)
    for name in ("none/readme.md", "films/clip.mp4"):
        Path(name).parent.mkdir()
        Path(name).write_text("no film")
    for name in ("m.obj", "rig.json", "x.pdf"):
        Path(name).write_text("{}")


DEAD_ENDS = [
    ("a.jpg", "Name the second photo as well: stereo3d a.jpg SECOND.jpg"),
    ("one", "holds 1 photo; .*: stereo3d one/a.jpg SECOND.jpg"),
    ("none", "holds no photo; .*Put the photos"),
    ("nested", "Name the folder in it that has photos: stereo3d nested/in"),
    ("films", "Name the video in it: stereo3d films/clip.mp4"),
    ("films/clip.mp4", "0 of its frames.*ffmpeg -i films/clip.mp4"),
    ("https://a.org/p/1.jpg?x=2 b.jpg", "address.*curl -L -o 1.jpg 'https://a.org/p/1.jpg\\?x=2'"),
    ("veiw m.obj", "Did you mean `stereo3d view m.obj`\\?"),
    ("reconstuct a.jpg b.jpg", "Did you mean `stereo3d reconstruct a.jpg b.jpg`\\?"),
    ("a.jpg b.jpg --baseline 12cm", "Type --baseline 0.12 --unit m"),
    ("a.jpg b.jpg --baseline 6.5in", "Type --baseline 0.1651 --unit m"),
    ("a.jpg b.jpg --baseline 0,12", "Type --baseline 0.12\\.$"),
    ("a.jpg b.jpg --focal-35mm 26mm", "Type --focal-35mm 26\\.$"),
    ("a.jpg -o b.jpg", "Type: stereo3d a.jpg b.jpg -o a.glb"),
    ("a.jpg b.jpg -o b.jpg", "over the input b.jpg"),
    ("a.jpg out.obj", "Name the second photo"),
    ("a.jpg rig.json", "Type: stereo3d a.jpg RIGHT.jpg --calib rig.json"),
    ("a.jpg b.jpg rig.json -o m.ply", "Type: stereo3d a.jpg b.jpg --calib rig.json -o m.ply"),
    ("a.jpg b.jpg m.obj", "there already. To write over it: stereo3d a.jpg b.jpg -o m.obj"),
    ("m.obj", "To look at it: stereo3d view m.obj"),
    ("m.obj a.jpg", "To look at it: stereo3d view m.obj"),
    ("n.obj", "Two photos make a mesh: stereo3d LEFT.jpg RIGHT.jpg -o n.obj"),
    ("a.jpg x.pdf", "x.pdf is no photo.*pdfimages -all x.pdf"),
    ("a.jpg b.svg", "drawing"),
    ("a.docx b.jpg", "unzip a.docx"),
    ("a.jpg b.jpg -o m.fbx", r"\.fbx is not among .*\. Blender imports \.glb"),
    ("a.jpg b.jpg -o m.blend", "Blender"),
    ("a.jpg b.jpg -o m", "no ending"),
    ("a.jpg,b.jpg -o m.obj", "a space separates two photos. Type: stereo3d a.jpg b.jpg -o m.obj"),
    ("a.jpg + b.jpg", "Type: stereo3d a.jpg b.jpg$"),
    ("view a.jpg", "Two photos make a model: stereo3d a.jpg SECOND.jpg"),
]


@pytest.mark.parametrize("line, words", DEAD_ENDS, ids=[line for line, _ in DEAD_ENDS])
def test_a_dead_end_says_what_to_type(here, line, words):
    before = sorted(Path().rglob("*"))
    answer = CliRunner().invoke(cli, shlex.split(line))
    error = answer.exception
    assert answer.exit_code != 0
    text = f"{error}" if isinstance(error, StereoError) else " ".join(answer.output.split())
    assert isinstance(error, StereoError | SystemExit), error
    assert re.search(words, text), text
    assert sorted(Path().rglob("*")) == before


def test_no_format_that_can_be_written_is_sent_to_a_converter():
    for suffix in set(CONVERTERS) & set(WRITERS):
        assert sorted_words("a.jpg", "b.jpg", output=f"m{suffix}").output == Path(f"m{suffix}")
    for suffix in set(CONVERTERS) - set(WRITERS):
        with pytest.raises(StereoError, match=re.escape(suffix)):
            sorted_words("a.jpg", "b.jpg", output=f"m{suffix}")
