"""The outputs of a run besides the mesh: stage files, report and viewer pages."""

from .stage_files import STAGE_FILES, failure, measured, save_stages

__all__ = ["STAGE_FILES", "failure", "measured", "save_stages"]
