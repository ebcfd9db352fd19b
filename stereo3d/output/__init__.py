"""The outputs of a run besides the mesh: stage files, preview picture, report and viewer pages."""

from .preview import preview
from .stage_files import STAGE_FILES, failure, measured, save_stages

__all__ = ["STAGE_FILES", "failure", "measured", "preview", "save_stages"]
