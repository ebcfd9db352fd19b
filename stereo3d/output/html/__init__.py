"""Self-contained HTML pages: of a whole run, of any mesh, and the local page of `stereo3d tune`."""

from .report import repeat_command, write_report, write_view

__all__ = ["repeat_command", "write_report", "write_view"]
