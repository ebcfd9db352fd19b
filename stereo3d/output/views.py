"""Depth as it is shown, for cameras of any field."""

import numpy as np

from ..geometry.arrays import norms
from ..pipeline.result import Result


def shown_depth(result: Result) -> np.ndarray:
    """Return the depth (H, W) of the points of a run: z in camera 1, of a wide lens the distance; NaN where unknown."""
    return result.points[..., 2] if not result.view.rig.wide else norms(result.points)
