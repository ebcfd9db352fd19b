"""Detect features in photos and match them: two photos -> Matches."""

from .detectors import DETECTORS, detect_features
from .matching import match_features

__all__ = ["DETECTORS", "detect_features", "match_features"]
