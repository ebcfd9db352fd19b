"""Candidate planes of each pixel, and the choice among them."""

from dataclasses import replace

import numpy as np

from .. import refinement
from . import energy as energy_module
from . import levels, plane_refinement, segments
from .energy import CrossView, PlaneMaps
from .views import Energy, Planes, Segmentation, ViewState

FIT_RADIUS = 4  # px, of the window whose disparities give a pixel its slope
FIT_STEP = 2  # px, between the disparities of that window
SEGMENT_BLUR = 0.8  # px, of the picture before it is segmented


def segment_image(view: ViewState, other: ViewState, energy: Energy, scales: tuple[float, ...]) -> ViewState:
    """Step: split the picture into segments of uniform colour, once per scale."""
    import cv2

    picture = cv2.GaussianBlur(view.picture.astype(np.float32), ksize=(0, 0), sigmaX=SEGMENT_BLUR)
    edges = segments.sorted_edges(picture)
    found = []
    for scale in scales:
        labels, count = segments.merge_segments(*edges, scale, segments.MIN_SEGMENT, view.d.shape)
        pixels = segments.segment_pixels(labels, count)
        found.append(Segmentation(labels, count, pixels, segments.closest_neighbours(labels, pixels, picture)))
    return replace(view, segmentations=tuple(found))


def fitted_planes(view: ViewState, known: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return, per segmentation, the planes (count,3) through the known disparities and their support (count,)."""
    found = []
    for segmentation in view.segmentations:
        planes, support = np.empty((segmentation.number, 3)), np.empty(segmentation.number)
        segments.fit_segment_planes(segmentation.pixels, known, 0, segmentation.number, planes, support)
        found.append((planes, support))
    return found


def refined_planes(view: ViewState, known: np.ndarray, fitted: list, energy: Energy) -> tuple[np.ndarray, ...]:
    """Return, per segmentation but the finest, the planes (count,3) at which the pictures agree best."""
    match = plane_refinement.CensusPair(
        view.census, view.other_census, energy.lo, energy.hi, energy.limit, energy.hidden
    )
    found = []
    for segmentation, (planes, support) in list(zip(view.segmentations, fitted, strict=True))[1:]:
        count = segmentation.number
        found.append(np.empty((count, 3)))
        plane_refinement.refine_segment_planes(segmentation.pixels, known, planes, support, match, 0, count, found[-1])
    return tuple(found)


def local_planes(d: np.ndarray) -> np.ndarray:
    """Return the least-squares plane (c, a, b) of each pixel's neighbourhood on its surface, (3,H,W) f32."""
    plane = np.empty((3, *d.shape), np.float32)
    refinement.fit_planes(d, FIT_RADIUS, FIT_STEP, 0, len(d), plane[0], plane[1], plane[2])
    return plane


class Candidates:
    """The planes d, a, b (rows,W,n) f32 from which each pixel chooses, and buffers for their costs.

    Parameters
    ----------
    shape : (int, int)
        Largest (rows, W).
    count : int
        Planes per pixel.
    """

    def __init__(self, shape: tuple[int, int], count: int = energy_module.CANDIDATES):
        self._buffer = np.empty((5, *shape, count), np.float32)
        self.clear(shape[0])

    def clear(self, rows: int) -> "Candidates":
        """Drop all planes and set the number of rows, in the same memory."""
        self.d, self.a, self.b, self.cost, self.total = self._buffer[:, :rows]
        self.filled = 0
        return self

    @property
    def planes(self) -> PlaneMaps:
        """The candidates as the kernels take them."""
        return PlaneMaps(self.d, self.a, self.b)

    def put(self, d: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
        """Add the plane d, a, b (rows,W) of each pixel."""
        self.d[..., self.filled], self.a[..., self.filled], self.b[..., self.filled] = d, a, b
        self.filled += 1

    def put_segments(self, labels: np.ndarray, planes: np.ndarray, fallback: np.ndarray) -> None:
        """Add the plane of each pixel's segment; where it has none, the level one of disparity `fallback`."""
        energy_module.put_segments(labels, planes, fallback, self.filled, self.planes)
        self.filled += 1

    def put_enlarged(self, small: PlaneMaps, background: PlaneMaps, agree: np.ndarray, first: int, height: int) -> None:
        """Set the planes around each pixel at the coarser level, and of its background: see `levels.put_enlarged`.

        Where the planes agree, the nearest one fills all places, so it is written last.
        """
        neighbours, none = len(levels.NEIGHBOURS), np.zeros_like(agree)
        for planes, steps, alike, slot in (
            (background, levels.NEAREST, none, neighbours),
            (small, levels.NEIGHBOURS, agree, 0),
        ):
            levels.put_enlarged(planes, steps, alike, first, height, slot, self.planes)
        self.filled = neighbours + 1

    def put_neighbours(self, d: np.ndarray, a: np.ndarray, b: np.ndarray, step: tuple[int, int]) -> None:
        """Add the planes of the pixels `step` (across, down) px away."""
        energy_module.put_neighbours(PlaneMaps(d, a, b), *step, self.filled, self.planes)
        self.filled += 1

    def repeat_first(self) -> None:
        """Fill the unused places with the first plane."""
        for x in (self.d, self.a, self.b):
            x[..., self.filled :] = x[..., :1]


def choose_planes(
    view: ViewState,
    candidates: Candidates,
    cross_view: CrossView,
    energy: Energy,
    out: Planes | None = None,
    skip: int = 0,
    diagonals: bool = True,
    settled: np.ndarray | None = None,
) -> Planes:
    """Return, for each pixel, the candidate of least energy along the paths (`energy.plane_paths`).

    out, skip: written instead of new arrays; its first row is that of number `skip` of the candidates. diagonals:
    as in `energy.plane_paths`; margins of choices with and without them do not compare. settled: (H,W) bool, pixels
    that keep their first candidate; its margin counts the others as equal.
    """
    candidates.repeat_first()
    d, a, b, cost, total = candidates.d, candidates.a, candidates.b, candidates.cost, candidates.total
    height, width = d.shape[:2]
    fixed = np.zeros((height, width), bool) if settled is None else settled
    energy_module.match_costs(view.census, view.other_census, cross_view, energy.limits, d, fixed, cost)
    total[:] = 0
    flat_cost, flat_total = cost.reshape(-1), total.reshape(-1)
    flat_planes = PlaneMaps(*(x.reshape(-1) for x in (d, a, b)))
    smoothness = energy_module.Smoothness(view.picture, np.float32(energy.slope), energy.jumps)
    for step in (1, -1):
        energy_module.plane_paths(flat_cost, flat_planes, fixed, smoothness, step, diagonals, flat_total)
    if out is None:
        out = Planes(*(np.empty((height, width), np.float32) for _ in range(4)))
    own = slice(skip, skip + len(out.d))
    energy_module.select_planes(*(x[own] for x in (total, d, a, b)), *out)
    return out


def put_segment_planes(candidates: Candidates, segmentations, planes, fallback: np.ndarray) -> None:
    """Add the planes of each segmentation to the candidates."""
    for segmentation, of_segments in zip(segmentations, planes, strict=True):
        candidates.put_segments(segmentation.labels, of_segments, fallback)
