"""The page itself: arrays and pictures packed into it, the words around the figures."""

import base64
import json
import os
import shlex
import zlib
from html import escape
from importlib import resources
from pathlib import Path

import numpy as np

from ..files import replacing
from ..pipeline import Config, Result
from ..records import Camera
from . import scene, stages

PICTURE_BYTES = {"texture": 1_600_000, "photo": 600_000, "rectified": 450_000}  # at most, each
PICTURE_SIDE = {"texture": 2048, "photo": 1280, "rectified": 1100}  # px, the longer side
POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def write_report(path: str | os.PathLike, result: Result, *, files=(), command: str | None = None) -> Path:
    """Write a run as one self-contained HTML page, some megabytes.

    files: those written beside it, to be named.  command: what repeats the run; default: made from the Config.
    """
    page = Page()
    text = _report(page, result, [Path(f) for f in files], command or repeat_command(result))
    return _write(path, text)


def write_view(path: str | os.PathLike, mesh_file: str | os.PathLike) -> Path:
    """Write a page that shows the mesh of a file (.obj, .ply, .glb, .stl ...)."""
    mesh_file = Path(mesh_file)
    parts, unit, total = scene.parts_of_file(mesh_file)
    page = Page()
    facts = {"report": False, "unit": unit, "cameras": [], "mesh": page.mesh(parts)}
    page.colours()
    shown = sum(len(part.mesh.faces) for part in parts)
    words = f"{stages.count(total)} faces" + (f", {stages.count(shown)} of them shown" if shown < total else "")
    head = f"""<header class="top"><p class="kicker">{_name(mesh_file)}</p>{_theme()}
<p class="trust">{words}{f"; unit: {escape(unit)}" if unit else ""}.</p></header>"""
    return _write(path, page.html(mesh_file.name, head + _model(parts, facts), facts, ["report.js"]))


def repeat_command(result: Result, output="model.obj", left=None, right=None) -> str:
    """The command line that repeats a run: its photos, and every setting of its Config that is not the default."""
    photos = [str(given or p.path or name)
              for given, p, name in ((left, result.left, "LEFT"), (right, result.right, "RIGHT"))]  # fmt: skip
    return command_line([*photos, "-o", str(output)], result.config)


def command_line(start: list[str], config: Config) -> str:
    words, default = ["stereo3d", *start], Config()
    for name, value in vars(config).items():
        option = f"--{name.replace('_', '-')}"
        if name == "options":
            for key, given in value.items():
                words += ["-O", f"{key}={given}"]
        elif value is True and getattr(default, name) is False:
            words.append(option)
        elif value != getattr(default, name):
            words += [option, str(value)]
    return shlex.join(words)


# ------------------------------------------------------------------------------------------------------- payload


class Page:
    """What goes into a page beside its words: arrays and pictures, packed, by name."""

    def __init__(self):
        self.data: dict[str, str] = {}
        self.arrays: dict[str, dict] = {}

    def array(self, name: str, values: np.ndarray, *, lo=None, hi=None, steps: int = 65534, rows: bool = False) -> None:
        """Put an array in: f4, u4, u2, u1 as they are; real numbers between lo and hi in `steps` steps, NaN kept.

        rows: as differences along the last axis, which deflate better. See `unpack` in figures.js.
        """
        facts = {"shape": list(np.shape(values))}
        if lo is not None:
            level = np.rint((np.asarray(values, dtype=float) - lo) / max(hi - lo, 1e-12) * steps)
            level = np.where(np.isfinite(level), np.clip(level, 0, steps), steps + 1)
            values = level.astype("<u2" if steps > 255 else "u1")
            facts |= {"lo": float(lo), "hi": float(hi)}
        values = np.ascontiguousarray(values)
        values = values.astype(values.dtype.newbyteorder("<"))
        facts["kind"] = values.dtype.str[1:]
        if rows:
            values = np.diff(values, axis=-1, prepend=values.dtype.type(0))
            facts["rows"] = True
        planes = values.reshape(-1).view(np.uint8).reshape(-1, values.dtype.itemsize).T
        self.arrays[name] = facts
        self.data[name] = base64.b64encode(zlib.compress(planes.tobytes(), 6)).decode()

    def picture(self, name: str, pixels: np.ndarray, kind: str) -> None:
        """Put a picture in as JPEG, no longer than `PICTURE_SIDE` and no heavier than `PICTURE_BYTES`."""
        self.data[name] = base64.b64encode(compressed(pixels, PICTURE_SIDE[kind], PICTURE_BYTES[kind])).decode()

    def colours(self) -> None:
        import cv2

        ramp = np.arange(256, dtype=np.uint8)[:, None]
        for name, number in (("turbo", cv2.COLORMAP_TURBO), ("viridis", cv2.COLORMAP_VIRIDIS)):
            self.array(name, cv2.applyColorMap(src=ramp, colormap=number)[:, 0, ::-1])

    def mesh(self, parts: list[scene.Part], textures: dict[int, str] | None = None) -> list[dict]:
        """Put parts in; textures: the picture that serves a part, where it is in the page already."""
        told = []
        precisions = [p.precision for p in parts if p.precision is not None]
        known = np.concatenate(precisions) if precisions else np.zeros(0)
        known = known[np.isfinite(known) & (known > 0)]
        self.precision_scale = None
        if len(known):
            low, high = np.quantile(known, [0.02, 0.98])
            self.precision_scale = [float(low), float(max(high, 1.5 * low))]
        for k, part in enumerate(parts):
            mesh, image = part.mesh, (textures or {}).get(k)
            put = {"position": mesh.vertices.astype(np.float32), "face": mesh.faces.astype(np.uint32)}
            if mesh.texture is not None and mesh.uv is not None:
                put["uv"] = mesh.uv.astype(np.float32)
                if image is None:
                    image = f"texture{k}"
                    self.picture(image, mesh.texture, "texture")
            if part.colour is not None:
                put["colour"] = part.colour
            if mesh.sigma is not None:
                put["sigma"] = mesh.sigma.astype(np.float32)
            for name, values in put.items():
                self.array(f"mesh{k}-{name}", values.reshape(-1), rows=values.dtype == np.uint32)
            has = list(put)
            if part.confidence is not None:
                self.array(f"mesh{k}-confidence", _level(part.confidence))
                has.append("confidence")
            if part.precision is not None and self.precision_scale:
                low, high = np.log(self.precision_scale)
                with np.errstate(divide="ignore", invalid="ignore"):
                    self.array(f"mesh{k}-precision", _level((high - np.log(part.precision)) / (high - low)))
                has.append("precision")
            told.append({"has": has, "image": image, "vertices": len(mesh.vertices), "faces": len(mesh.faces)})
        return told

    def weights(self) -> list[tuple[str, str]]:
        """What its parts weigh, in words."""
        groups = {"pictures": 0, "mesh": 0, "maps and matches": 0}
        for name, text in self.data.items():
            kind = "mesh" if name.startswith("mesh") else "maps and matches" if name in self.arrays else "pictures"
            groups[kind] += len(text)
        return [(kind, size_words(size)) for kind, size in groups.items()]

    def html(self, title: str, body: str, facts: dict, scripts: list[str]) -> str:
        facts = {**facts, "arrays": self.arrays, "precision_scale": getattr(self, "precision_scale", None)}
        data = {**self.data, "facts": json.dumps(facts, allow_nan=False).replace("<", "\\u003c")}
        blocks = "\n".join(f'<script type="text/plain" id="data-{name}">{text}</script>' for name, text in data.items())
        code = "\n".join(f"<script>{asset(name)}</script>" for name in ("viewer.js", "figures.js", *scripts))
        return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="generator" content="stereo3d"><meta name="color-scheme" content="light dark">
<title>{escape(printable(title))}</title><link rel="icon" href="data:,">
<style>{asset("page.css")}</style></head>
<body>{body}
<noscript><p class="cannot">The pictures of this page are drawn by JavaScript, which is switched off.</p></noscript>
{blocks}
{code}
</body></html>
"""


def _level(values: np.ndarray) -> np.ndarray:
    """[0,1] as 0..254, NaN as 255."""
    level = np.rint(254 * np.clip(values, 0, 1))
    return np.where(np.isfinite(level), level, 255).astype(np.uint8)


def asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def printable(text: object) -> str:
    """File names may hold bytes that are no text."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def compressed(pixels: np.ndarray, side: int, most: int) -> bytes:
    """JPEG of a picture reduced to longer side `side`, at the best quality, at last the largest size, of `most` bytes."""
    import cv2

    while True:
        scale = side / max(pixels.shape[:2])
        if scale < 1:
            size = tuple(max(1, round(n * scale)) for n in pixels.shape[1::-1])
            pixels = cv2.resize(src=pixels, dsize=size, interpolation=cv2.INTER_AREA)
        for quality in (88, 80, 70, 60):
            options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
            good, data = cv2.imencode(ext=".jpg", img=np.ascontiguousarray(pixels[..., ::-1]), params=options)
            if good and len(data) <= most:
                return data.tobytes()
        side = int(0.8 * max(pixels.shape[:2]))


def _write(path, text: str) -> Path:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


# --------------------------------------------------------------------------------------------------------- words

VERDICTS = {
    "good": ("Good", "Nothing that was measured speaks against this shape."),
    "fair": ("Fair", "The shape holds as a whole; read the warnings before you measure on it."),
    "poor": ("Poor", "The shape itself may be wrong, however convincing it looks."),
    "none": ("None", "This was forced past an error: take it as an illustration of what went wrong."),
}
FULL = ('<svg viewBox="0 0 16 16" width="14" height="14" fill="none" stroke="currentColor" stroke-width="1.8" '
        'style="position:static;vertical-align:-.1em"><path d="M1 6V1h5M10 1h5v5M15 10v5h-5M6 15H1v-5"/></svg>')
MODES = {"texture": "Texture", "shaded": "Shape", "confidence": "Confidence", "precision": "Precision",
         "wireframe": "Wireframe"}  # fmt: skip


def _report(page: Page, result: Result, files: list[Path], command: str) -> str:
    from ..stage_files import versions

    view, pair = result.view, result.pair
    cam1, cam2 = view.rig.cam1, view.rig.cam2
    page.picture("photo1", result.left.pixels, "texture")
    page.picture("photo2", result.right.pixels, "photo")
    page.picture("left", pair.left, "rectified")
    page.picture("right", pair.right, "rectified")
    page.colours()
    parts = scene.parts_of_result(result)
    mesh = page.mesh(parts, {k: "photo1" for k, part in enumerate(parts) if part.mesh.texture is result.left.pixels})

    drawn = np.unique(np.linspace(0, len(result.matches) - 1, stages.MATCHES).astype(int))
    page.array("match1", result.matches.x1[drawn].astype(np.float32).reshape(-1))
    page.array("match2", result.matches.x2[drawn].astype(np.float32).reshape(-1))
    page.array("inlier", view.inliers[drawn].astype(np.uint8))
    for name, depth in (
        ("depth1", stages.inverse_depth_in_photo(result.points, cam1)),
        ("depth2", stages.inverse_depth_in_photo(result.points, cam2, view.R, view.t)),
    ):
        page.array(name, depth, lo=0.0, hi=_largest(depth), rows=True)
    step = stages.map_step(result.disparity.shape)
    d, z = stages.sampled(result.disparity, step), stages.sampled(result.points[..., 2], step)
    page.array("disparity", d, lo=float(np.nanmin(result.disparity)), hi=float(np.nanmax(result.disparity)), rows=True)
    page.array("inverse", 1 / z, lo=0.0, hi=_largest(1 / z), rows=True)
    page.array("confidence", stages.sampled(result.confidence, step), lo=0.0, hi=1.0, steps=254, rows=True)
    kinds = stages.reasons(pair, result.disparity)
    page.array("reason", stages.sampled(kinds, step), rows=True)

    facts = {
        "report": True, "unit": result.unit, "mesh": mesh,
        "cameras": [_camera("first photo", cam1, np.eye(3), np.zeros(3)), _camera("second photo", cam2, view.R, view.t)],
        "pair": {"size": list(pair.left.shape[1::-1]), "step": step,
                 "line": stages.depth_line(result.disparity, result.points)},
        "example": stages.example_pixel(result),
        "reasons": [{"words": words, "colour": colour} for words, colour in stages.REASONS],
    }  # fmt: skip
    names = [_name(p.path) if p.path else f"{side} photo" for p, side in ((result.left, "first"), (result.right, "second"))]
    body = "\n".join([
        _head(result, names), _model(parts, facts, result), f'<main id="stages">{_stages(result, kinds, facts)}</main>',
        _appendix(page, facts, result, files, command, versions()),
    ])  # fmt: skip
    return page.html(f"{names[0]} + {names[1]} \u2013 stereo3d", body, facts, ["report.js"])


def _largest(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.max()) if len(known) else 1.0


def _camera(name: str, camera: Camera, R, t) -> dict:
    return {"name": name, "K": camera.K.tolist(), "size": list(camera.size), "dist": camera.dist.tolist(),
            "R": np.asarray(R).tolist(), "t": np.asarray(t).tolist()}  # fmt: skip


def _name(path: Path) -> str:
    return escape(printable(path.name))


def _theme() -> str:
    return '<button class="theme" title="light or dark" aria-label="light or dark">\u25d0</button>'


def _numbers(rows, kind: str = "numbers") -> str:
    cells = "".join(
        f"<div{' class=long' if len(value) > 36 else ''}><dt>{escape(name)}</dt><dd>{escape(printable(value))}</dd></div>"
        for name, value in rows
    )
    return f'<dl class="{kind}">{cells}</dl>'


def _head(result: Result, names: list[str]) -> str:
    sentence, _, _ = result.summary.partition(". ")
    badge, meaning = VERDICTS[result.verdict]
    distance = float(np.median(np.linalg.norm(result.points[np.isfinite(result.points[..., 2])], axis=1)))
    unit = stages.unit_words(result.unit)
    if result.view.rig.unit:
        scale = f"Lengths are in {escape(unit)}."
    else:
        scale = ("Lengths are in baselines, the distance between the two camera positions; measure it and give it by "
                 "<code>--baseline</code> and <code>--unit</code>, and the model is metric.")  # fmt: skip
    tiles = [
        (stages.percent(result.coverage), "of the first photo became surface"),
        (f"\u00b1 {stages.percent(result.precision)}", f"of the distance: {stages.amount(result.precision * distance)} "
         f"{unit} at the middle distance of {stages.amount(distance)}"),
        (stages.count(int(result.view.inliers.sum())), f"of {stages.count(len(result.matches))} matches agree"),
        (f"{sum(s['seconds'] for s in result.stages):.0f} s", "on this computer, "
         f"{max(s['peak_mb'] for s in result.stages) / 1000:.1f} GB of memory at most"),
    ]  # fmt: skip
    advice = list(dict.fromkeys(f.advice for f in result.findings if f.advice and f.severity != "info"))
    better = "".join(f"<li>{escape(a)}</li>" for a in advice)
    better = f'<div class="better"><h2>What would make it better</h2><ul>{better}</ul></div>' if advice else ""
    return f"""<header class="top"><p class="kicker">{names[0]} <span>+</span> {names[1]}</p>{_theme()}
<div class="verdict {result.verdict}"><span class="badge">{badge}</span><h1>{escape(sentence.rstrip("."))}.</h1></div>
<p class="trust">{meaning} {scale}</p>
<ul class="tiles">{"".join(f"<li><b>{escape(a)}</b><span>{escape(b)}</span></li>" for a, b in tiles)}</ul>{better}</header>"""


def _model(parts: list[scene.Part], facts: dict, result: Result | None = None) -> str:
    modes = [m for m in MODES if m in ("shaded", "wireframe")
             or m == "texture" and any(p.mesh.texture is not None or p.colour is not None for p in parts)
             or any(getattr(p, m, None) is not None for p in parts)]  # fmt: skip
    facts["mode"] = modes[0]
    buttons = "".join(
        f'<button data-choose="{m}" aria-pressed="{str(m == modes[0]).lower()}">{MODES[m]}</button>' for m in modes
    )
    looks = "".join(
        f'<button data-look="{k}" title="from where the {c["name"]} was taken">{("Left", "Right")[k]} photo</button>'
        for k, c in enumerate(facts["cameras"])
    )
    cameras = '<button class="cameras" aria-pressed="false">Cameras</button>' if facts["cameras"] else ""
    shown = sum(len(p.mesh.faces) for p in parts)
    caption = ""
    if result is not None:
        caption = f"{stages.count(shown)} faces" + (
            f" here, {stages.count(len(result.mesh.faces))} in the file" if shown < len(result.mesh.faces) else "")  # fmt: skip
    return f"""<section id="model"><div class="viewer">
<canvas tabindex="0" role="img" aria-label="The mesh in three dimensions. Arrow keys turn it, plus and minus come nearer and go away, Home goes back."></canvas><svg></svg>
<div class="bar modes" role="group" aria-label="what is shown">{buttons}</div>
<div class="bar tools" role="group" aria-label="where from">{looks}<button class="home">Whole</button>{cameras}<button class="measure" aria-pressed="false">Measure</button><button class="full" aria-label="full screen" title="full screen">{FULL}</button></div>
<div class="legend" hidden></div><output class="measured" hidden></output></div>
<p class="hint"><span>Drag to turn, two fingers or the right button to move, pinch or wheel to come nearer, double click to go there.</span><span>{caption}</span></p></section>"""


def _figure(inside: str, readout: str) -> str:
    return f'<figure>{inside}<figcaption class="readout">{readout}</figcaption></figure>'


def _stage(name: str, title: str, words: str, numbers, figure: str) -> str:
    return f"""<section class="stage" id="{name}"><div class="words"><h2>{title}</h2><p>{words}</p>{_numbers(numbers)}</div>
{figure}</section>"""


def _stages(result: Result, kinds: np.ndarray, facts: dict) -> str:
    toggles = "".join(
        f'<button data-toggle="{name}" aria-pressed="{on}" class="{name}">{words}</button>'
        for name, words, on in (("inliers", "agree", "true"), ("outliers", "thrown out", "true"), ("lines", "lines", "false"))
    )
    drawn = min(len(result.matches), stages.MATCHES)
    some = f" {stages.count(drawn)} of them are drawn." if drawn < len(result.matches) else ""
    pair = result.pair
    upright = "turned" if pair.left.shape[0] > 1.6 * pair.left.shape[1] else ""
    lo, hi = result.d_range
    middle = float(np.nanmedian(result.disparity))
    lens = any(np.any(c["dist"]) for c in facts["cameras"])
    drift = (f" Real matches lie up to {pair.drift['largest_px']:.1f} px beside these lines, by a lens or a shutter that "
             "the cameras' data do not tell of; that was taken out in the next step.") if pair.drift else ""  # fmt: skip
    swatches = "".join(
        f'<li><i style="background:{f"rgb{colour}" if colour else "#b9b9b9"}"></i>{escape(words)} <b>{share}</b></li>'
        for (words, colour), (_, share) in zip(stages.REASONS, stages.reason_numbers(kinds), strict=True)
    )
    return "".join([
        _stage("matches", "What both photos show",
               "Each dot is a detail that was recognised in the other photo. Those that agree with one motion of the camera "
               "are green, the rest, red, was thrown out. Point at a dot to see its partner." + some,
               stages.match_numbers(result),
               _figure(f'<div class="bar">{toggles}</div><div class="pair photos"></div>', "")),
        _stage("epipolar", "Where a point must lie",
               "How the camera moved tells, for every pixel of one photo, a line in the other on which it must be found. Move "
               "over either photo; the ring is where it was found. " + ("The lenses bend the lines, as drawn. " if lens else "")
               + drift,
               stages.camera_numbers(result),
               _figure('<div class="pair photos"></div>', "Move over a photo; click to hold the line.")),
        _stage("rectified", "Rows that line up",
               "Both photos are resampled so that these lines become equal rows: whatever is in a row of the left picture is "
               "in the same row of the right one. Move over the left picture and see.",
               stages.pair_numbers(result),
               _figure(f'<div class="pair level {upright}"></div>', "Move over the left picture.")),
        _stage("blend", "One over the other",
               "The two rectified photos blended. Things that fall together have the disparity that the second slider says: move "
               "it, and one depth after the other comes into register.",
               [],
               _figure('<canvas></canvas><div class="sliders"><label>first <input name="share" type="range" min="0" max="1" '
                       'step="0.01" value="0.5" aria-label="share of the second photo"> second</label><label>move '
                       f'<input name="shift" type="range" min="{lo}" max="{hi}" step="0.5" value="{middle:.1f}" '
                       'aria-label="shift in pixels"></label></div>', "")),
        _stage("disparity", "Disparity and depth",
               "How far each pixel of the left picture moved to the right one. Near things move more. Black is unknown.",
               stages.disparity_numbers(result),
               _figure('<div class="bar"><button data-choose="disparity" aria-pressed="true">Disparity</button>'
                       '<button data-choose="depth" aria-pressed="false">Depth</button></div><canvas class="map"></canvas>'
                       '<div class="legend"></div>', "Point at a pixel.")),
        _stage("confidence", "How sure each match is",
               "From 0 to 1: how much better the match is than any other place in its row, and how well both directions "
               "agree. Texture makes it sure, repetition and blank walls do not.",
               stages.confidence_numbers(result),
               _figure('<canvas class="map"></canvas><div class="legend"></div>', "Point at a pixel.")),
        _stage("unknown", "What could not be measured, and why",
               "Depth needs both photos. What one of them does not see has none, and it is left open rather than guessed.",
               [],
               _figure(f'<canvas class="map"></canvas><ul class="swatches">{swatches}</ul>', "Point at a pixel.")),
    ])  # fmt: skip


def _appendix(page: Page, facts: dict, result: Result, files: list[Path], command: str, versions: dict) -> str:
    marks = {"info": "\u2139", "warning": "!", "error": "\u2715"}
    order = {"error": 0, "warning": 1, "info": 2}
    told = "".join(
        f'<li class="{f.severity}"><i aria-label="{f.severity}">{marks[f.severity]}</i><div><b>{escape(f.code.replace("_", " "))}</b> '
        f"{escape(_sentence(f.message))}{f' <em>{escape(f.advice)}</em>' if f.advice else ''}</div></li>"
        for f in sorted(result.findings, key=lambda f: order[f.severity])
    )
    told = f'<ul class="findings">{told}</ul>' if told else "<p>Nothing was found that needs to be told.</p>"
    longest = max(s["seconds"] for s in result.stages) or 1
    bars = "".join(
        f'<tr><th>{escape(s["name"])}</th><td class="time"><i style="width:{100 * s["seconds"] / longest:.1f}%"></i></td>'
        f"<td>{s['seconds']:.2f} s</td><td>{s['peak_mb'] / 1000:.2f} GB</td></tr>"
        for s in result.stages
    )
    step = facts["pair"]["step"]
    smaller = "The pictures are made smaller and compressed" + (
        "" if step == 1 else f", the maps keep one pixel in {step * step}") + "; the files hold all of it."  # fmt: skip
    settings = [(k.replace("_", " "), v) for k, v in vars(result.config).items() if k != "options" and v is not None]
    settings += list(result.config.options.items())
    listed = "".join(f"<li>{_name(f)}</li>" for f in files)
    listed = f'<section><h2>Files of this run</h2><ul class="files">{listed}</ul></section>' if files else ""
    return f"""<section class="appendix"><section class="wide"><h2>Findings</h2>{told}</section>
<section><h2>Time and memory</h2><table>{bars}</table></section>
{listed}<section><h2>Inside this page</h2>{_numbers(page.weights())}<p class="small">{smaller}</p></section>
<section><h2>Options</h2>{_numbers([(k, str(v)) for k, v in settings])}</section>
<section><h2>Versions</h2>{_numbers(versions.items())}</section>
<section class="wide"><h2>The command that repeats it</h2><div class="command"><pre id="command">{escape(printable(command))}</pre>
<button data-copy="#command">copy</button></div></section></section>"""


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def size_words(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
