"""Photos onto a mesh."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from ..errors import StereoError
from ..geometry import all_channels, norms, project
from ..records import Camera, Mesh, Photo, TexturedPart, TwoView
from .build import compact

GRAZING = 0.35  # cosine to the first photo's line of sight under which the second may do better (70 degrees)
BETTER = 2.0  # and by how much more of its pixels a face must have there, for a seam is a price
LEAST_SHARE = 1e-3  # of the surface's area: for less than this there is no second photo at all
PATCH_PX = 100.0  # and a patch of it covers as many pixels of the depth buffer, or stays with the first
BUFFER = 800  # px, longer side of the depth buffer
HIDDEN = 0.01  # a face is hidden where another is nearer by this share of its depth


def texture_mesh(
    mesh: Mesh, photo: Photo, camera: Camera, *, second: Photo | None = None, view: TwoView | None = None
) -> Mesh:
    """The mesh with the photo as its texture: uv = ((x + 1/2) / W, 1 - (y + 1/2) / H), x = K distort(X / Z).

    The texture is the photo at its full resolution, whatever the resolution of the mesh; `camera` is camera 1 at the
    size `camera.size`, of the photo's proportions. Faces with a corner behind the camera, or with all three corners
    outside the photo, are left out; a corner outside of a face that reaches in is moved to the photo's edge.

    second: the other photo, taken by camera 2 of `view`. Faces that the first sees at a grazing angle, or not at all
    because others stand before them, show it where it has more than twice as many pixels of them and sees them freely
    (`Mesh.overlays`). Its colours are brought to those of the first by a gain for each channel, a polynomial of second
    order over the picture, fitted to the vertices that both see.

    Raises StereoError("empty_mesh") where no face is seen; ValueError where camera and photo differ in proportions.
    """
    _check_proportions(photo, camera)
    front = mesh.vertices[:, 2] > 0
    x = np.full((len(mesh.vertices), 2), np.nan)
    x[front] = project(mesh.vertices[front], camera.K, dist=camera.dist)
    uv = _uv(x, camera.size)
    with np.errstate(invalid="ignore"):
        inside = all_channels((uv >= 0) & (uv <= 1))
    keep = ~all_channels(~inside[mesh.faces]) & all_channels(front[mesh.faces])
    if not keep.any():
        raise StereoError(
            "empty_mesh", f"none of {len(keep)} faces lies in the photo.", "Check the calibration.", faces=len(keep)
        )
    kept = compact(replace(mesh, faces=mesh.faces[keep], uv=np.clip(uv, 0, 1), texture=photo.pixels))
    if second is None or view is None:
        return kept
    return _with_second(kept, photo, camera, second, view)


def _check_proportions(photo: Photo, camera: Camera) -> None:
    width, height = camera.size
    if abs(photo.size[0] * height - photo.size[1] * width) > max(*camera.size, *photo.size):
        raise ValueError(f"texture_mesh: the camera is for {camera.size}, the photo is {photo.size}")


def _uv(x: np.ndarray, size) -> np.ndarray:
    uv = (x + 0.5) / size
    uv[:, 1] = 1 - uv[:, 1]
    return uv


def _with_second(mesh: Mesh, photo: Photo, camera: Camera, other: Photo, view: TwoView) -> Mesh:
    camera2 = view.rig.cam2
    _check_proportions(other, camera2)
    X1, X2 = mesh.vertices, mesh.vertices @ view.R.T + view.t
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda of: _Sight(of[0], mesh.faces, of[1]), ((X1, camera), (X2, camera2)))
    hidden = ~first.free
    wanted = (hidden | (first.cosine < GRAZING)) & second.free & second.inside
    wanted &= hidden | (second.density > BETTER * first.density)
    wanted &= second.cosine > 0
    area = norms(first.normal)
    if wanted.any():
        wanted = _patches(mesh.faces, wanted, second.pixels)
    if area[wanted].sum() < LEAST_SHARE * area.sum():
        return mesh
    uv2 = np.clip(np.nan_to_num(_uv(second.x, camera2.size), nan=0.0), 0, 1)
    picture = _brought(other, _gain(first, second, photo, other))
    return replace(mesh, overlays=(TexturedPart(wanted, uv2, picture),))


class _Sight:
    """How a camera sees each face (M,): normal (M,3) by area, cosine to the line of sight, density (its pixels to a
    unit of area), pixels it covers in the depth buffer, free (nothing stands before it), inside (the picture)."""

    def __init__(self, X: np.ndarray, faces: np.ndarray, camera: Camera):
        from .visible import depth_buffer

        scale = BUFFER / max(camera.size)
        width, height = (max(2, int(round(s * scale))) for s in camera.size)
        front = X[:, 2] > 0
        self.x = np.full((len(X), 2), np.nan)
        self.x[front] = project(X[front], camera.K, dist=camera.dist)
        small = (self.x + 0.5) * scale - 0.5
        self.buffer_x, self.size = small, (width, height)
        a, b, c = (X[faces[:, k]] for k in range(3))
        self.normal = np.cross(b - a, c - a)
        centre = (a + b + c) / 3
        distance = norms(centre)
        length = norms(self.normal)
        self.cosine = -np.einsum("ij,ij->i", self.normal, centre) / np.maximum(length * distance, 1e-300)
        self.density = self.cosine * (camera.focal / np.maximum(distance, 1e-300)) ** 2
        self.pixels = 0.5 * length * self.density * scale**2
        buffer = depth_buffer(small, X[:, 2], faces, width, height)
        at = (small[faces[:, 0]] + small[faces[:, 1]] + small[faces[:, 2]]) / 3
        inside = all_channels(np.isfinite(at))
        at = np.rint(np.where(inside[:, None], at, -1)).astype(int)
        inside &= all_channels((at >= 0) & (at < [width, height]))
        with np.errstate(invalid="ignore"):
            self.inside = all_channels(all_channels((self.x >= 0) & (self.x <= np.array(camera.size) - 1))[faces])
        z = buffer[np.where(inside, at[:, 1], 0), np.where(inside, at[:, 0], 0)]
        self.free = inside & (z * centre[:, 2] <= 1 + HIDDEN) & (self.cosine > 0)
        vertex = np.rint(np.nan_to_num(small, nan=-1)).astype(int)
        good = all_channels((vertex >= 0) & (vertex < [width, height])) & front
        z = buffer[np.where(good, vertex[:, 1], 0), np.where(good, vertex[:, 0], 0)]
        self.sees = good & (np.abs(z * X[:, 2] - 1) <= HIDDEN)  # vertices


def _patches(faces: np.ndarray, wanted: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Of the wanted faces those in connected patches of enough pixels."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    some = faces[wanted]
    n = int(faces.max()) + 1
    ends = np.concatenate([some[:, :2], some[:, 1:]])
    graph = coo_matrix((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(n, n))
    piece = connected_components(graph, directed=False)[1][some[:, 0]]
    large = np.bincount(piece, weights=pixels[wanted]) >= PATCH_PX
    out = wanted.copy()
    out[wanted] = large[piece]
    return out


def _terms(x: np.ndarray, size) -> np.ndarray:
    """(N,6): 1, x, y, x^2, x y, y^2 with the picture as [-1, 1]^2."""
    u, v = (2 * (x + 0.5) / size - 1).T
    return np.column_stack([np.ones_like(u), u, v, u * u, u * v, v * v])


def _gain(first: _Sight, second: _Sight, photo: Photo, other: Photo) -> np.ndarray:
    """(6,3): ln of the gain of each channel that brings the second photo's colours to the first's, in `_terms`."""
    import cv2

    both = np.flatnonzero(first.sees & second.sees)
    both = both[:: max(1, len(both) // 20_000)]
    colours = []
    for picture, sight in ((photo, first), (other, second)):
        small = cv2.resize(src=picture.pixels, dsize=sight.size, interpolation=cv2.INTER_AREA)
        small = cv2.blur(src=small, ksize=(5, 5)).astype(np.float32)  # edges lie a pixel off in one of the two
        x, y = np.rint(sight.buffer_x[both]).astype(int).T
        colours.append(small[y, x])
    good = np.logical_and.reduce([((c > 8) & (c < 247)).all(1) for c in colours])  # neither black nor white
    fit = np.zeros((6, 3))
    if good.sum() < 100:
        return fit
    A = _terms(second.buffer_x[both][good], second.size)
    ridge = np.diag([0, 1, 1, 4, 4, 4]) * 1e-2 * good.sum()  # where little is seen by both it stays near one number
    for k in range(3):
        ratio = np.log(colours[0][good, k] / colours[1][good, k])
        weight = np.ones(len(ratio))
        for _ in range(8):  # Huber's weights: highlights and movers are not exposure
            fit[:, k] = np.linalg.solve(A.T @ (A * weight[:, None]) + ridge, A.T @ (weight * ratio))
            off = np.abs(ratio - A @ fit[:, k])
            weight = np.minimum(1, 1.5 * np.median(off) / np.maximum(off, 1e-9))
    return fit


def _brought(photo: Photo, gain: np.ndarray) -> np.ndarray:
    """The photo's pixels times the gain."""
    import cv2

    width, height = photo.size
    v, u = np.mgrid[0:65, 0:65] / 64
    field = np.exp(_terms(np.column_stack([u.ravel() * (width - 1), v.ravel() * (height - 1)]), photo.size) @ gain)
    field = field.reshape(65, 65, 3).astype(np.float32)
    field = cv2.resize(src=field, dsize=(width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.multiply(photo.pixels, field, dtype=cv2.CV_8U)
