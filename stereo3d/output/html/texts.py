"""The texts that fill the templates of the page."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from ...diagnosis.verdict import MEANINGS
from ...pipeline.result import Result
from . import figures
from .page import Page, filled, text
from .scene import Part

BADGES = {"good": "Good", "fair": "Fair", "poor": "Poor", "none": "None"}
MODES = {
    "texture": "Texture",
    "shaded": "Shape",
    "confidence": "Confidence",
    "uncertainty": "Uncertainty",
    "wireframe": "Wireframe",
}
BACKS = "Violet: the back of the surface, seen from behind."
MARKS = {"error": "\u2715", "warning": "!", "info": "\u2139"}


def numbers(rows: Iterable[tuple[str, str]]) -> str:
    """Return (name, value) pairs as an HTML list; a long value gets a line of its own."""
    cells = [
        f"<div{' class=long' if len(value) > 36 else ''}><dt>{text(name)}</dt><dd>{text(value)}</dd></div>"
        for name, value in rows
    ]
    return f'<dl class="numbers">{"".join(cells)}</dl>'


def modes_of(parts: list[Part]) -> list[str]:
    """Return the modes in which the viewer can show these parts."""
    there = {"shaded", "wireframe"}
    if any(p.colour is not None or p.mesh.texture is not None for p in parts):
        there.add("texture")
    if any(p.confidence is not None for p in parts):
        there.add("confidence")
    if any(p.relative_sigma is not None for p in parts):
        there.add("uncertainty")
    return [name for name in MODES if name in there]


def model(modes: list[str], cameras: list[dict], caption: str = "", backs: str = "", number: int = 0) -> str:
    """Return the viewer's frame, with a button for each mode and camera.

    Parameters
    ----------
    modes : list of str
        Of `MODES`; empty for a point cloud.
    cameras : list of dict
        Of `scene.camera_facts`.
    caption, backs : str
        HTML: what is shown, and what the colour of back faces means.
    number : int
        Of the viewer on the page.
    """
    buttons = [
        f'<button data-choose="{name}" aria-pressed="{str(name == modes[0]).lower()}">{MODES[name]}</button>'
        for name in modes
    ]
    sides = ("Left photo", "Right photo") if len(cameras) > 1 else ("Photo",)
    looks = [
        f'<button data-look="{k}" title="from where the {camera["name"]} was taken">{side}</button>'
        for k, (camera, side) in enumerate(zip(cameras, sides, strict=False))
    ]
    return filled(
        "model.html",
        number=str(number or ""),
        kind="The mesh" if modes else "The points",
        modes="".join(buttons),
        looks="".join(looks),
        cameras='<button class="cameras" aria-pressed="false">Cameras</button>' if len(cameras) > 1 else "",
        backs=backs,
        caption=caption,
    )


def verdict(result: Result) -> dict[str, str]:
    """Return the head of the page: the verdict, its figures and what would improve it."""
    unit = figures.unit_words(result.unit)
    if result.view.rig.unit:
        scale = f"Lengths are in {text(unit)}."
    else:
        scale = (
            "Lengths are in baselines, the distance between the two camera positions. To make the model metric, "
            "measure it and give it by <code>--baseline</code> and <code>--unit</code>."
        )
    known = np.isfinite(result.points[..., 2])
    distance = float(np.median(np.linalg.norm(result.points[known], axis=1)))
    seconds, peak = sum(s["seconds"] for s in result.stages), max(s["peak_mb"] for s in result.stages)
    tiles = [
        (figures.percent(result.coverage), "of the first photo became surface"),
        (
            f"\u00b1 {figures.percent(result.relative_sigma)}",
            f"of the distance: {figures.amount(result.relative_sigma * distance)} "
            f"{unit} at the middle distance of {figures.amount(distance)} {unit}",
        ),
        (figures.count(int(result.view.inliers.sum())), f"of {figures.count(len(result.matches))} matches agree"),
        (f"{seconds:.0f} s", f"on this computer, {peak / 1000:.1f} GB of memory at the peak"),
    ]
    sentence = result.summary.partition(". ")[0].rstrip(".") + "."
    advice = dict.fromkeys(f.advice for f in result.findings if f.advice and f.severity != "info")
    better = "".join(f"<li>{text(a)}</li>" for a in advice)
    return {
        "verdict": result.verdict,
        "badge": BADGES[result.verdict],
        "meaning": MEANINGS[result.verdict],
        "scale": scale,
        "sentence": text(sentence),
        "length": "long" if len(sentence) > 60 else "",
        "tiles": "".join(f"<li><b>{text(value)}</b><span>{text(label)}</span></li>" for value, label in tiles),
        "better": f'<div class="better"><h2>How to improve it</h2><ul>{better}</ul></div>' if advice else "",
    }


def every_stage(result: Result, kinds: np.ndarray) -> dict[str, str]:
    """Return the texts and numbers of the figures.

    Parameters
    ----------
    kinds : (H, W) uint8
        Of `figures.reasons`.
    """
    pair, rig, count = result.pair, result.view.rig, len(result.matches)
    lens = "The lenses bend the lines, as drawn. " if np.any(rig.cam1.dist) or np.any(rig.cam2.dist) else ""
    if pair.drift:
        lens += (
            f"Matches are up to {pair.drift.get('largest_px', 0.0):.1f} px off these lines, because the camera data "
            "lack a lens distortion or a rolling shutter; the next step corrects this."
        )
    swatches = [
        f'<li><i data-background="{"#b9b9b9" if colour is None else f"rgb{colour}"}"></i>{text(reason)} '
        f"<b>{figures.percent(float((kinds == k).mean()))}</b></li>"
        for k, (reason, colour) in enumerate(figures.REASONS)
    ]
    return {
        "drawn": f"{figures.count(figures.MATCHES)} of them are drawn." if count > figures.MATCHES else "",
        "match_numbers": numbers(figures.match_numbers(result)),
        "camera_numbers": numbers(figures.camera_numbers(result)),
        "pair_numbers": numbers(figures.pair_numbers(result)),
        "disparity_numbers": numbers(figures.disparity_numbers(result)),
        "confidence_numbers": numbers(figures.confidence_numbers(result)),
        "lens": lens,
        "swatches": "".join(swatches),
        "upright": "turned" if pair.left.shape[0] > 1.6 * pair.left.shape[1] else "",
        "lowest": str(result.d_range[0]),
        "highest": str(result.d_range[1]),
        "middle": f"{np.nanmedian(result.disparity):.1f}",
    }


def appendix(
    result: Result, page: Page, step: int, files: list[str], command: str, versions: dict[str, str]
) -> dict[str, str]:
    """Return findings, timings, options, versions and the command that repeats the run.

    Parameters
    ----------
    step : int
        px, of the maps in the page.
    files : list of str
        The files of the run, as of `links`.
    """
    findings = [
        f'<li class="{f.severity}"><i aria-label="{f.severity}">{MARKS[f.severity]}</i><div>'
        f"<b>{text(f.code.replace('_', ' '))}</b> {text(f.message[:1].upper() + f.message[1:])} "
        f"<em>{text(f.advice)}</em></div></li>"
        for f in sorted(result.findings, key=lambda f: list(MARKS).index(f.severity))
    ]
    longest = max(s["seconds"] for s in result.stages) or 1
    timings = [
        f'<tr><th>{text(s["name"])}</th><td class="time"><i data-width="{100 * s["seconds"] / longest:.1f}%"></i></td>'
        f"<td>{s['seconds']:.2f} s</td><td>{s['peak_mb'] / 1000:.2f} GB</td></tr>"
        for s in result.stages
    ]
    settings = [
        (k.replace("_", " "), v) for k, v in vars(result.config).items() if k != "options" and v is not None and v != ()
    ]
    names = "".join(f"<li>{file}</li>" for file in files)
    maps = "" if step == 1 else f", the maps keep one pixel in {step * step}"
    return {
        "findings": f'<ul class="findings">{"".join(findings)}</ul>' if findings else "<p>There are no findings.</p>",
        "timings": "".join(timings),
        "files": f'<section><h2>Files of this run</h2><ul class="files">{names}</ul></section>' if names else "",
        "weights": numbers(page.weights()),
        "smaller": f"The pictures are reduced and compressed{maps}; the files hold everything.",
        "options": numbers((name, _setting(value)) for name, value in [*settings, *result.config.options.items()]),
        "versions": numbers(versions.items()),
        "command": text(command),
    }


def links(page: str | os.PathLike[str], files: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Return the names of files as HTML, links where they lie in the folder of the page or below: all may move."""
    return [_link(Path(page).parent, Path(file)) for file in files]


def _link(folder: Path, file: Path) -> str:
    inside = os.path.relpath(os.path.abspath(file), os.path.abspath(folder)) if file.anchor == folder.anchor else ""
    if not inside or inside.split(os.sep)[0] == os.pardir:
        return text(file.name)
    address = quote(Path(inside).as_posix().encode("utf-8", "surrogateescape"))
    return f'<a href="./{address}">{text(inside)}</a>'


def _setting(value: object) -> str:
    if isinstance(value, tuple) and all(isinstance(part, str) for part in value):
        return ", ".join(value)
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)
