"""A result as HTML for notebooks: verdict, findings, and a picture of the mesh."""

from collections.abc import Sequence
from dataclasses import replace
from html import escape

import numpy as np

from ..errors import StereoError
from ..io.pictures import colourise
from ..mesh.preview import preview
from ..records import Camera, Finding, Mesh
from ..records.interchange import embedded

TILE = 240  # px, width of one view of the mesh
VIEWS = ("front", "left", "right")
TEXTURE = 1024  # px, the longer side of the textures that are drawn: more than a view shows
MAX_FINDINGS = 50
COLOURS = {"good": "#2e7d32", "fair": "#b26a00", "poor": "#b3261e", "none": "#b3261e"}  # of the verdict


def result_html(title: str, verdict: str, summary: str, findings: Sequence[Finding], picture: np.ndarray) -> str:
    """Return the HTML of a result, with every text escaped.

    Parameters
    ----------
    title, verdict, summary : str
    findings : sequence of Finding
    picture : (H, W, 3) uint8
        It is embedded as a JPEG of at most `TILE` px a view.
    """
    rows = [_row(finding) for finding in findings[:MAX_FINDINGS]]
    if len(findings) > MAX_FINDINGS:
        rows.append(f"<tr><td></td><td></td><td>and {len(findings) - MAX_FINDINGS} more</td></tr>")
    table = f"<table>{''.join(rows)}</table>" if rows else ""
    return (
        f'<div><b style="color:{COLOURS.get(verdict, "inherit")}">{escape(verdict)}</b> {escape(summary)}<br>'
        f"{embedded(picture, 'the mesh from three sides', TILE * len(VIEWS))}{table}<code>{escape(title)}</code></div>"
    )


def _row(finding: Finding) -> str:
    advice = f'<br><small style="opacity:.75">{escape(finding.advice)}</small>' if finding.advice else ""
    message = f'<td style="text-align:left">{escape(finding.message)}{advice}</td>'
    return f"<tr><td>{escape(finding.severity)}</td><td><code>{escape(finding.code)}</code></td>{message}</tr>"


def picture_of(mesh: Mesh, camera: Camera, photo: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return a picture of the mesh from three sides; without Open3D the rectified photo beside its inverse depth.

    Parameters
    ----------
    mesh : Mesh
    camera : Camera
        Camera 1.
    photo : (H, W, 3) uint8
        The first photo, rectified.
    points : (H, W, 3) float

    Returns
    -------
    (H', W', 3) uint8
    """
    overlays = tuple(replace(part, texture=_small(part.texture)) for part in mesh.overlays)
    texture = None if mesh.texture is None else _small(mesh.texture)
    try:
        return preview(replace(mesh, texture=texture, overlays=overlays), camera, views=VIEWS, size=TILE)
    except StereoError:
        return np.concatenate([photo, colourise(1 / points[..., 2])], axis=1)


def _small(texture: np.ndarray) -> np.ndarray:
    """A texture of at most `TEXTURE` px a side; uv count in shares of it and stay."""
    import cv2

    share = TEXTURE / max(texture.shape[:2])
    size = [max(1, round(n * share)) for n in texture.shape[1::-1]]
    return texture if share >= 1 else cv2.resize(src=texture, dsize=size, interpolation=cv2.INTER_AREA)
