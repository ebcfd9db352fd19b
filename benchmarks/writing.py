"""Seconds to write a textured mesh of a million faces, by stereo3d, trimesh and Open3D in one run.

    python benchmarks/writing.py [--faces 1000000] [--repeat 3]

The mesh is a rough sheet with a texture of 64 x 64; so the time is that of text and tables, not of the JPEG. The
minimum of the repeats is printed, and the size of the files. Open3D writes OBJ and PLY, trimesh all four.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from stereo3d.io import WRITERS, write_mesh
from stereo3d.records import Mesh


def sheet(faces: int) -> Mesh:
    n = int(np.sqrt(faces / 2)) + 1
    v, u = np.mgrid[0:n, 0:n] / (n - 1)
    X = np.stack([3 * u - 1.5, 2 * v - 1, 4 + 0.3 * np.sin(9 * u) * v], -1).reshape(-1, 3)
    X += np.random.default_rng(0).normal(0, 1e-3, X.shape)
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = i[:-1, :-1].ravel(), i[1:, :-1].ravel(), i[1:, 1:].ravel(), i[:-1, 1:].ravel()
    triangles = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).astype(np.int32)
    texture = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    return Mesh(X, triangles, np.stack([u.ravel(), 1 - v.ravel()], -1), texture, np.full(n * n, 0.01))


def ours(mesh: Mesh, path: Path) -> None:
    write_mesh(path, mesh)


def by_trimesh(mesh: Mesh, path: Path) -> None:
    import trimesh
    from PIL import Image

    visual = trimesh.visual.TextureVisuals(uv=mesh.uv, image=Image.fromarray(mesh.texture))
    trimesh.Trimesh(mesh.vertices, mesh.faces, visual=visual, process=False).export(path)


def by_open3d(mesh: Mesh, path: Path) -> None:
    import open3d

    made = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(mesh.vertices), open3d.utility.Vector3iVector(mesh.faces)
    )
    made.triangle_uvs = open3d.utility.Vector2dVector(mesh.uv[mesh.faces.ravel()])
    made.triangle_material_ids = open3d.utility.IntVector(np.zeros(len(mesh.faces), np.int32))
    made.textures = [open3d.geometry.Image(np.ascontiguousarray(mesh.texture))]
    open3d.io.write_triangle_mesh(str(path), made)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    mesh = sheet(arguments.faces)
    print(f"{len(mesh.faces)} faces, {len(mesh.vertices)} vertices")
    print(f"{'':8s}{'ours, s':>10s}{'MB':>8s}{'trimesh, s':>12s}{'Open3D, s':>12s}")
    with tempfile.TemporaryDirectory() as folder:
        write_mesh(Path(folder) / "first.obj", sheet(1000))  # compiles what is not yet in numba's cache
        for suffix in WRITERS:
            path, cells = Path(folder) / f"model{suffix}", []
            for side, write in (("ours", ours), ("trimesh", by_trimesh), ("open3d", by_open3d)):
                if side == "open3d" and suffix not in (".obj", ".ply"):
                    continue
                spent = []
                for _ in range(arguments.repeat):
                    start = time.perf_counter()
                    write(mesh, path)
                    spent.append(time.perf_counter() - start)
                cells.append(f"{min(spent):.2f}")
                if side == "ours":
                    cells.append(f"{path.stat().st_size / 1e6:.0f}")
            row = "".join(f"{c:>{w}s}" for c, w in zip(cells, (10, 8, 12, 12), strict=False))
            print(f"{suffix:8s}{row}", flush=True)


if __name__ == "__main__":
    main()
