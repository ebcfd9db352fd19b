"""Binary STL."""

import struct
from pathlib import Path

import numpy as np

from ..records import Mesh
from .atomic import replacing
from .style import AXES_DESCRIPTIONS, Style


def write_stl(path: Path, mesh: Mesh, style: Style) -> list[Path]:
    """Write binary STL: 80 bytes of header, the number of faces, then normal and three corners of each, float32."""
    corners = style.to_file(mesh.vertices).astype("<f4")[mesh.faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), np.float32(1e-30))
    table = np.zeros(len(corners), dtype=[("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    table["normal"], table["corners"] = normal, corners
    header = f"stereo3d unit: {style.unit}; {AXES_DESCRIPTIONS[style.axes]}".encode()[:80].ljust(
        80
    )  # never begins with "solid"
    with replacing(path) as temporary, open(temporary, "wb") as f:
        f.write(header + struct.pack("<I", len(table)))
        f.write(table.data)
    return [path]
