"""Textures of a mesh from one or both photos."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from ..errors import StereoError
from ..geometry.arrays import all_channels, norms
from ..geometry.camera import project
from ..geometry.texture_coordinates import uv_of_pixels
from ..geometry.triangles import face_components
from ..records import Camera, Mesh, Photo, TexturedPart, TwoView
from ..records.photo import require_photos
from .build import compact
from .wide_texture import wide_texture

# cosine between normal and line of sight (70 degrees): below it the second photo may show the face better
GRAZING = 0.35
MIN_PIXEL_RATIO = 2.0  # of the second photo's pixels of a face over the first's: less is not worth a seam
MIN_AREA_SHARE = 1e-3  # of the surface's area: for less the second photo is not used at all
MIN_PATCH_PX = 100.0  # pixels of the depth buffer that a connected patch of the second photo covers
BUFFER_PX = 800  # px, longer side of the depth buffer
HIDDEN = 0.01  # share of its depth: a face is hidden where another is nearer by more
# colours of the second photo
MAX_COLOUR_SAMPLES = 20_000  # vertices
MIN_COLOUR_SAMPLES = 100  # vertices: for fewer the colours stay as they are
DARKEST = 8  # of 255: darker is black, and carries no ratio
BRIGHTEST = 247  # of 255: brighter is clipped
GAIN_NODES = 65  # nodes per side at which the gain is evaluated before it is interpolated


def texture_mesh(
    mesh: Mesh, photo: Photo, camera: Camera, *, second: Photo | None = None, view: TwoView | None = None
) -> Mesh:
    """uv = ((x + 1/2) / W, 1 - (y + 1/2) / H), x = K distort(X / Z): the mesh with the photo as its texture.

    Faces with a corner behind the camera or with all corners outside the photo are left out. If a face reaches into the
    photo, its corners outside move to the photo's edge.

    Parameters
    ----------
    mesh : Mesh
        Of `build_mesh`, in the frame of camera 1.
    photo : Photo
        The first photo, at its full resolution.
    camera : Camera
        Camera 1, for a picture of the photo's proportions. With a wide lens the second photo is not used.
    second : Photo, optional
        The photo of camera 2 of `view`. It becomes an overlay (`Mesh.overlays`) on faces that the first photo sees at a
        grazing angle or not at all, if it sees them freely and with more than twice as many pixels. A gain per channel,
        a quadratic polynomial over the picture, matches its colours to the first photo's.
    view : TwoView, optional
        Pose and camera of the second photo; without it the second photo is not used.

    Returns
    -------
    Mesh
        With uv (V, 2), texture and, where the second photo is used, one overlay; vertices without a face are left out.

    Raises
    ------
    StereoError
        "empty_mesh": no face is inside the photo.
    ValueError
        Camera and photo differ in proportions.
    """
    require_photos(photo=photo)
    _check_proportions(photo, camera)
    if camera.lens is not None:
        return wide_texture(mesh, photo, camera)
    front = mesh.vertices[:, 2] > 0
    x = np.full((len(mesh.vertices), 2), np.nan)
    x[front] = project(mesh.vertices[front], camera.K, dist=camera.dist)
    uv = uv_of_pixels(x, camera.size)
    with np.errstate(invalid="ignore"):
        inside = all_channels((uv >= 0) & (uv <= 1))
    keep = ~all_channels(~inside[mesh.faces]) & all_channels(front[mesh.faces])
    if not keep.any():
        raise StereoError(
            "empty_mesh", f"0 of {len(keep)} faces are inside the photo.", "Check the calibration.", faces=len(keep)
        )
    kept = compact(replace(mesh, faces=mesh.faces[keep], uv=np.clip(uv, 0, 1), texture=photo.pixels))
    if second is None or view is None:
        return kept
    return _with_second(kept, photo, camera, second, view)


def _check_proportions(photo: Photo, camera: Camera) -> None:
    width, height = camera.size
    if abs(photo.size[0] * height - photo.size[1] * width) > max(*camera.size, *photo.size):
        raise ValueError(f"texture_mesh: the camera is for {camera.size}, the photo is {photo.size}")


def _with_second(mesh: Mesh, photo: Photo, camera: Camera, other: Photo, view: TwoView) -> Mesh:
    """Add the second photo as an overlay on the faces that it shows better; the mesh as it is where it adds too little.

    `mesh` has the first photo as its texture; `other` is the second photo.
    """
    camera2 = view.rig.cam2
    _check_proportions(other, camera2)
    X1, X2 = mesh.vertices, mesh.vertices @ view.R.T + view.t
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda seen: _Sight(seen[0], mesh.faces, seen[1]), ((X1, camera), (X2, camera2)))
    hidden = ~first.free
    wanted = (hidden | (first.cosine < GRAZING)) & second.free & second.inside
    wanted &= hidden | (second.density > MIN_PIXEL_RATIO * first.density)
    wanted &= second.cosine > 0
    area = norms(first.normal)
    if wanted.any():
        wanted = _large_patches(mesh.faces, wanted, second.pixels)
    if area[wanted].sum() < MIN_AREA_SHARE * area.sum():
        return mesh
    uv2 = np.clip(np.nan_to_num(uv_of_pixels(second.x, camera2.size), nan=0.0), 0, 1)
    picture = _apply_gain(other, _fit_gain(first, second, photo, other))
    return replace(mesh, overlays=(TexturedPart(wanted, uv2, picture),))


class _Sight:
    """How a camera sees the V vertices X (frame of the camera) and M faces of a mesh.

    Attributes
    ----------
    x, buffer_x : (V, 2) float64
        Pixels of the vertices in the photo and in the depth buffer of `size`.
    sees : (V,) bool
        The vertex is visible.
    normal : (M, 3) float64
        Its length is twice the face's area.
    cosine : (M,) float64
        Between normal and line of sight; negative: seen from behind.
    density : (M,) float64
        Pixels of the photo per unit of area.
    pixels : (M,) float64
        Pixels of the depth buffer that the face covers.
    free : (M,) bool
        No other face hides the centre.
    inside : (M,) bool
        All corners are inside the photo.
    """

    def __init__(self, X: np.ndarray, faces: np.ndarray, camera: Camera) -> None:
        from .depth_buffer import depth_buffer

        scale = BUFFER_PX / max(camera.size)
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
        self.sees = good & (np.abs(z * X[:, 2] - 1) <= HIDDEN)


def _large_patches(faces: np.ndarray, wanted: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(M,) bool, the wanted faces in connected patches of at least MIN_PATCH_PX."""
    patch = face_components(faces[wanted], int(faces.max()) + 1)
    large = np.bincount(patch, weights=pixels[wanted]) >= MIN_PATCH_PX
    out = wanted.copy()
    out[wanted] = large[patch]
    return out


def _quadratic_terms(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """1, u, v, u^2, u v, v^2, (N, 6), of pixels x (N, 2) with the picture as [-1, 1]^2."""
    u, v = (2 * (x + 0.5) / size - 1).T
    return np.column_stack([np.ones_like(u), u, v, u * u, u * v, v * v])


def _fit_gain(first: _Sight, second: _Sight, photo: Photo, other: Photo) -> np.ndarray:
    """Coefficients of ln(gain) in `_quadratic_terms`, (6, 3), from the second photo's colours to the first's."""
    import cv2

    both = np.flatnonzero(first.sees & second.sees)
    both = both[:: max(1, len(both) // MAX_COLOUR_SAMPLES)]
    colours = []
    for picture, sight in ((photo, first), (other, second)):
        small = cv2.resize(src=picture.pixels, dsize=sight.size, interpolation=cv2.INTER_AREA)
        small = cv2.blur(src=small, ksize=(5, 5)).astype(np.float32)  # edges may lie a pixel apart
        x, y = np.rint(sight.buffer_x[both]).astype(int).T
        colours.append(small[y, x])
    good = np.logical_and.reduce([((c > DARKEST) & (c < BRIGHTEST)).all(1) for c in colours])
    fit = np.zeros((6, 3))
    if good.sum() < MIN_COLOUR_SAMPLES:
        return fit
    A = _quadratic_terms(second.buffer_x[both][good], second.size)
    ridge = np.diag([0, 1, 1, 4, 4, 4]) * 1e-2 * good.sum()  # keeps the gain near a constant where few samples are
    for k in range(3):
        ratio = np.log(colours[0][good, k] / colours[1][good, k])
        weight = np.ones(len(ratio))
        for _ in range(8):  # Huber weights: highlights and moving objects are no exposure difference
            fit[:, k] = np.linalg.solve(A.T @ (A * weight[:, None]) + ridge, A.T @ (weight * ratio))
            off = np.abs(ratio - A @ fit[:, k])
            weight = np.minimum(1, 1.5 * np.median(off) / np.maximum(off, 1e-9))
    return fit


def _apply_gain(photo: Photo, gain: np.ndarray) -> np.ndarray:
    """The photo's pixels times exp of the polynomial `gain` (6, 3): (H, W, 3) uint8."""
    import cv2

    width, height = photo.size
    v, u = np.mgrid[0:GAIN_NODES, 0:GAIN_NODES] / (GAIN_NODES - 1)
    field = np.exp(
        _quadratic_terms(np.column_stack([u.ravel() * (width - 1), v.ravel() * (height - 1)]), photo.size) @ gain
    )
    field = field.reshape(GAIN_NODES, GAIN_NODES, 3).astype(np.float32)
    field = cv2.resize(src=field, dsize=(width, GAIN_NODES), interpolation=cv2.INTER_LINEAR)
    place = np.clip((np.arange(height) + 0.5) * (GAIN_NODES / height) - 0.5, 0, GAIN_NODES - 1)
    out = np.empty_like(photo.pixels)
    for row, above, below in zip(range(height), np.floor(place).astype(int), np.ceil(place).astype(int), strict=True):
        share = place[row] - above
        gains = cv2.addWeighted(src1=field[above], alpha=1 - share, src2=field[below], beta=share, gamma=0)
        out[row] = cv2.multiply(photo.pixels[row], gains, dtype=cv2.CV_8U)  # a row at a time: no picture of floats
    return out
