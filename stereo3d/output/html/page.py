"""The page itself: arrays and pictures packed into one HTML file, and the templates filled in."""

import base64
import json
import zlib
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np

from ...io.atomic import replacing
from .scene import Part

PICTURE_BYTES = {"texture": 1_600_000, "photo": 600_000, "rectified": 450_000}  # at most, each
PICTURE_SIDE = {"texture": 2048, "photo": 1280, "rectified": 1100}  # px, the longer side
POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


class Page:
    """What goes into a page beside its words: arrays and pictures, packed, by name."""

    def __init__(self):
        self.data: dict[str, str] = {}
        self.arrays: dict[str, dict] = {}
        self.precision_scale: list[float] | None = None  # sigma over distance at the two ends of the colours

    def array(self, name: str, values: np.ndarray, *, rows: bool = False, **facts) -> None:
        """Put an array in (f4, u4, u2, u1); `unpack` in figures.js takes it out.

        rows: as differences along the last axis, which deflate better.  facts: told beside it.
        """
        values = np.ascontiguousarray(values)
        values = values.astype(values.dtype.newbyteorder("<"))
        facts |= {"shape": list(values.shape), "kind": values.dtype.str[1:], "rows": rows}
        if rows:
            values = np.diff(values, axis=-1, prepend=values.dtype.type(0))
        planes = values.reshape(-1).view(np.uint8).reshape(-1, values.dtype.itemsize).T
        self.arrays[name] = facts
        self.data[name] = base64.b64encode(zlib.compress(planes.tobytes(), 6)).decode()

    def levels(self, name: str, values: np.ndarray, *, lo=None, hi=None, steps: int = 65534) -> None:
        """Put a map in as whole numbers, 0 at lo to `steps` at hi (default: its least and largest), NaN one more."""
        known = values[np.isfinite(values)]
        lo = float((known.min() if len(known) else 0.0) if lo is None else lo)
        hi = float((known.max() if len(known) else 1.0) if hi is None else hi)
        level = np.rint((np.asarray(values, dtype=float) - lo) / max(hi - lo, 1e-12) * steps)
        level = np.where(np.isfinite(level), np.clip(level, 0, steps), steps + 1)
        self.array(name, level.astype(np.uint16 if steps > 255 else np.uint8), rows=True, lo=lo, hi=hi)

    def picture(self, name: str, pixels: np.ndarray, kind: str) -> None:
        """Put a picture in as JPEG, no longer than `PICTURE_SIDE` and no heavier than `PICTURE_BYTES`."""
        self.data[name] = base64.b64encode(compressed(pixels, PICTURE_SIDE[kind], PICTURE_BYTES[kind])).decode()

    def colours(self) -> None:
        import cv2

        ramp = np.arange(256, dtype=np.uint8)[:, None]
        for name, number in (("turbo", cv2.COLORMAP_TURBO), ("viridis", cv2.COLORMAP_VIRIDIS)):
            self.array(name, cv2.applyColorMap(src=ramp, colormap=number)[:, 0, ::-1])

    def mesh(self, parts: list[Part], textures: list[str | None] | None = None) -> list[dict]:
        """Put parts in; textures: for each the picture that serves it, where that is in the page already."""
        told = []
        precisions = [p.precision for p in parts if p.precision is not None]
        known = np.concatenate(precisions) if precisions else np.zeros(0)
        known = known[np.isfinite(known) & (known > 0)]
        if len(known):
            low, high = np.quantile(known, [0.02, 0.98])
            self.precision_scale = [float(low), float(max(high, 1.5 * low))]
        for k, part in enumerate(parts):
            mesh, image = part.mesh, textures[k] if textures else None
            put = {"position": mesh.vertices.astype(np.float32), "face": mesh.faces.astype(np.uint32)}
            if mesh.texture is not None and mesh.uv is not None:
                put["uv"] = mesh.uv.astype(np.float32)
                if image is None:
                    image = f"texture{k}"
                    self.picture(image, mesh.texture, "photo" if textures else "texture")
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

    def write(self, path, title: str, body: str, facts: dict, scripts: tuple[str, ...] = ("report.js",)) -> Path:
        with replacing(path) as temporary:
            temporary.write_text(self.html(title, body, facts, scripts), encoding="utf-8")
        return Path(path)

    def html(self, title: str, body: str, facts: dict, scripts: tuple[str, ...], policy: str = POLICY) -> str:
        facts = {**facts, "arrays": self.arrays, "precision_scale": self.precision_scale}
        data = {**self.data, "facts": json.dumps(facts, allow_nan=False).replace("<", "\\u003c")}
        blocks = "\n".join(f'<script type="text/plain" id="data-{name}">{text}</script>' for name, text in data.items())
        code = "\n".join(f"<script>{asset(name)}</script>" for name in ("viewer.js", "figures.js", *scripts))
        return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
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
    return resources.files(__package__ or "").joinpath(name).read_text(encoding="utf-8")


def printable(text: object) -> str:
    """File names may hold bytes that are no text."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def compressed(pixels: np.ndarray, side: int, most: int) -> bytes:
    """JPEG of a picture reduced to longer side `side`, at the best quality, else size, that fits into `most` bytes."""
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


def filled(template: str, /, **fields: str) -> str:
    """A template with its $fields, which are HTML already."""
    return Template(asset(template)).substitute(fields)


def text(value: object) -> str:
    """Words made HTML; file names may hold bytes that are no text."""
    return escape(printable(value))


def size_words(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
