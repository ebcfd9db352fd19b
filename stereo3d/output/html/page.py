"""The page itself: arrays and pictures packed into one HTML file, and the templates filled in."""

import base64
import hashlib
import json
import os
import zlib
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from ...io.atomic import replacing
from ...io.json_files import plain
from .scene import Part

PICTURE_BYTES = {"texture": 1_600_000, "photo": 600_000, "rectified": 450_000}  # bytes, the largest size of each
PICTURE_SIDE = {"texture": 2048, "photo": 1280, "rectified": 1100}  # px, the longer side
# Content security policy; `html` adds the page's own scripts and style.
POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data: blob:"


class Page:
    """The arrays and pictures of a page, packed, by name.

    Attributes
    ----------
    data : dict
        Name -> base64 text.
    arrays : dict
        Name -> shape, kind and scale of an array, as `unpack` in figures.js reads them.
    sigma_scale : [float, float], optional
        Relative sigma of the mesh at both ends of the colours.
    """

    def __init__(self) -> None:
        self.data: dict[str, str] = {}
        self.arrays: dict[str, dict] = {}
        self.sigma_scale: list[float] | None = None
        self._parts = self._clouds = 0  # so many are named

    def array(self, name: str, values: np.ndarray, *, rows: bool = False, **facts: Any) -> None:
        """Add an array (f4, u4, u2, u1), which `unpack` in figures.js reads.

        Parameters
        ----------
        name : str
        values : ndarray
        rows : bool
            Store differences along the last axis, which deflate better.
        **facts
            Further plain values to store with it.
        """
        values = np.ascontiguousarray(values)
        values = values.astype(values.dtype.newbyteorder("<"))
        facts |= {"shape": list(values.shape), "kind": values.dtype.str[1:], "rows": rows}
        if rows:
            values = np.diff(values, axis=-1, prepend=values.dtype.type(0))
        planes = values.reshape(-1).view(np.uint8).reshape(-1, values.dtype.itemsize).T
        self.arrays[name] = facts
        self.data[name] = base64.b64encode(zlib.compress(planes.tobytes(), 6)).decode()

    def levels(
        self,
        name: str,
        values: np.ndarray,
        *,
        lo: float | None = None,
        hi: float | None = None,
        steps: int = 65534,
    ) -> None:
        """Add a map as whole numbers: 0 at lo, `steps` at hi (default: its extremes), `steps` + 1 for NaN."""
        known = values[np.isfinite(values)]
        lo = float((known.min() if len(known) else 0.0) if lo is None else lo)
        hi = float((known.max() if len(known) else 1.0) if hi is None else hi)
        level = np.rint((np.asarray(values, dtype=float) - lo) / max(hi - lo, 1e-12) * steps)
        level = np.where(np.isfinite(level), np.clip(level, 0, steps), steps + 1)
        self.array(name, level.astype(np.uint16 if steps > 255 else np.uint8), rows=True, lo=lo, hi=hi)

    def picture(self, name: str, pixels: np.ndarray, kind: str) -> None:
        """Add a picture as JPEG, no longer than `PICTURE_SIDE` and no heavier than `PICTURE_BYTES`."""
        self.data[name] = base64.b64encode(compressed(pixels, PICTURE_SIDE[kind], PICTURE_BYTES[kind])).decode()

    def colours(self) -> None:
        """Add the colour tables "turbo" and "viridis", (256, 3) u8."""
        import cv2

        ramp = np.arange(256, dtype=np.uint8)[:, None]
        for name, number in (("turbo", cv2.COLORMAP_TURBO), ("viridis", cv2.COLORMAP_VIRIDIS)):
            self.array(name, cv2.applyColorMap(src=ramp, colormap=number)[:, 0, ::-1])

    def mesh(self, parts: list[Part], textures: list[str | None] | None = None) -> list[dict[str, Any]]:
        """Add the parts of a mesh; return the description of each for viewer.js.

        Parameters
        ----------
        parts : list of Part
        textures : list of (str or None), optional
            For each part the name of its texture, where that picture is in the page already.
        """
        described = []
        sigmas = [p.relative_sigma for p in parts if p.relative_sigma is not None]
        known = np.concatenate(sigmas) if sigmas else np.zeros(0)
        known = known[np.isfinite(known) & (known > 0)]
        if len(known):
            low, high = np.quantile(known, [0.02, 0.98])
            self.sigma_scale = [float(low), float(max(high, 1.5 * low))]
        for k, part in enumerate(parts, self._parts):
            mesh, image = part.mesh, textures[k - self._parts] if textures else None
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
            if part.relative_sigma is not None and self.sigma_scale:
                low, high = np.log(self.sigma_scale)
                with np.errstate(divide="ignore", invalid="ignore"):
                    self.array(f"mesh{k}-uncertainty", _level((high - np.log(part.relative_sigma)) / (high - low)))
                has.append("uncertainty")
            size = {"vertices": len(mesh.vertices), "faces": len(mesh.faces)}
            described.append({"name": f"mesh{k}", "has": has, "image": image, **size})
        self._parts += len(parts)
        return described

    def cloud(self, points: np.ndarray, colours: np.ndarray) -> str:
        """Add points (N, 3) with colours (N, 3) uint8; return the start of the names of both arrays."""
        name = f"mesh-cloud{self._clouds}"
        self._clouds += 1
        self.array(f"{name}-position", points.astype(np.float32).reshape(-1))
        self.array(f"{name}-colour", colours.reshape(-1))
        return name

    def weights(self) -> list[tuple[str, str]]:
        """Return the size of its pictures, mesh and maps, as text."""
        groups = {"pictures": 0, "mesh": 0, "maps and matches": 0}
        for name, text in self.data.items():
            kind = "mesh" if name.startswith("mesh") else "maps and matches" if name in self.arrays else "pictures"
            groups[kind] += len(text)
        return [(kind, size_words(size)) for kind, size in groups.items()]

    def write(
        self,
        path: str | os.PathLike,
        title: str,
        body: str,
        facts: dict[str, Any],
        scripts: tuple[str, ...] = ("model.js", "stages.js", "report.js"),
        measurements: dict[str, Any] | None = None,
    ) -> Path:
        """Write the page to a file: see `html`; `measurements` are plain values for programs that read the page."""
        if measurements is not None:
            body += f'\n<script type="application/json" id="measurements">{_json(plain(measurements))}</script>'
        with replacing(path) as temporary:
            temporary.write_text(self.html(title, body, facts, scripts), encoding="utf-8")
        return Path(path)

    def html(self, title: str, body: str, facts: dict[str, Any], scripts: tuple[str, ...], policy: str = POLICY) -> str:
        """Return the page as HTML.

        Parameters
        ----------
        title : str
        body : str
            HTML.
        facts : dict
            Plain values for the scripts.
        scripts : tuple of str
            Files of this folder, run after viewer.js and figures.js.
        policy : str
            Content security policy of all but the page's own scripts and style, which their hashes allow: a script or
            a style that data smuggled in does not run.
        """
        facts = {**facts, "arrays": self.arrays, "sigma_scale": self.sigma_scale}
        data = {**self.data, "facts": _json(facts)}
        blocks = "\n".join(f'<script type="text/plain" id="data-{name}">{text}</script>' for name, text in data.items())
        code = [asset(name) for name in ("viewer.js", "figures.js", *scripts)]
        style = asset("page.css")
        policy = f"{policy}; style-src {_hashes([style])}; script-src {_hashes(code)}"
        return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="generator" content="stereo3d"><meta name="color-scheme" content="light dark">
<title>{escape(printable(title))}</title><link rel="icon" href="data:,">
<style>{style}</style></head>
<body>{body}
<noscript><p class="cannot">The pictures of this page are drawn by JavaScript, which is switched off.</p></noscript>
{blocks}
{"".join(f"<script>{script}</script>" for script in code)}
</body></html>
"""


def _hashes(texts: list[str]) -> str:
    """The sources of a content security policy that allow exactly these inline scripts or styles."""
    digests = (hashlib.sha256(text.encode("utf-8")).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def _json(values: dict[str, Any]) -> str:
    """Plain values as JSON that ends no script element."""
    return json.dumps(values, allow_nan=False).replace("<", "\\u003c")


def _level(values: np.ndarray) -> np.ndarray:
    """Map [0, 1] to 0..254, NaN to 255."""
    level = np.rint(254 * np.clip(values, 0, 1))
    return np.where(np.isfinite(level), level, 255).astype(np.uint8)


def asset(name: str) -> str:
    """Return the text of a file of this folder."""
    return resources.files(__package__ or "").joinpath(name).read_text(encoding="utf-8")


def printable(text: object) -> str:
    """Return str(text), bytes of a file name that are no text as escapes."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def compressed(pixels: np.ndarray, side: int, max_bytes: int) -> bytes:
    """Return a JPEG of at most `max_bytes`: longer side at most `side`, quality reduced first, then the size."""
    import cv2

    while True:
        scale = side / max(pixels.shape[:2])
        if scale < 1:
            size = tuple(max(1, round(n * scale)) for n in pixels.shape[1::-1])
            pixels = cv2.resize(src=pixels, dsize=size, interpolation=cv2.INTER_AREA)
        for quality in (88, 80, 70, 60):
            options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
            good, data = cv2.imencode(ext=".jpg", img=np.ascontiguousarray(pixels[..., ::-1]), params=options)
            if good and len(data) <= max_bytes:
                return data.tobytes()
        side = int(0.8 * max(pixels.shape[:2]))


def filled(template: str, /, **fields: str) -> str:
    """Return a template with its $fields filled in; they are HTML already."""
    return Template(asset(template)).substitute(fields)


def text(value: object) -> str:
    """Return a value as escaped HTML text."""
    return escape(printable(value))


def size_words(size: int) -> str:
    """Return a number of bytes as "1.2 MB" or "3.4 kB"."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
