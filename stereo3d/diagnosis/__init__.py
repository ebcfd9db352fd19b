"""Is this pair reconstructible, and if not why: Matches, TwoView, Rig, Photos -> Findings.

A finding is an "error" where no shape of this pair can be trusted, a "warning" where the measured risk comes with a
wrong or incomplete shape, else "info". `benchmarks/verdict.py` prints every statistic over good and bad pairs.
"""

from .pair import diagnose
from .photos import photo_findings
from .run_findings import (
    coverage,
    coverage_findings,
    face_findings,
    format_size,
    input_findings,
    row_findings,
    same_photo_findings,
)
from .verdict import judge

__all__ = [
    "coverage",
    "coverage_findings",
    "diagnose",
    "face_findings",
    "format_size",
    "input_findings",
    "judge",
    "photo_findings",
    "row_findings",
    "same_photo_findings",
]
