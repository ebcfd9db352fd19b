"""Is this pair reconstructible, and if not why: Matches, TwoView, Rig, Photos -> Findings.

A finding is an "error" where no shape of this pair can be trusted, a "warning" where the measured risk comes with a
wrong or incomplete shape, else "info". `benchmarks/verdict.py` prints every statistic over good and bad pairs.
"""

from .cameras import CameraThresholds
from .pair import PairThresholds, diagnose
from .photos import PhotoThresholds, photo_findings
from .run_findings import coverage
from .verdict import judge

__all__ = [
    "CameraThresholds",
    "PairThresholds",
    "PhotoThresholds",
    "coverage",
    "diagnose",
    "judge",
    "photo_findings",
]
