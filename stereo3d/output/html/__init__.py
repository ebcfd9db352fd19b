"""Self-contained HTML pages: of a whole run, of any files, and the local page of `stereo3d tune`.

Pages need no network: they contain pictures, arrays, the viewer (viewer.js, WebGL 2) and the figures (figures.js,
report.js), and their content policy forbids every request.
"""

from .report import repeat_command, write_report
from .view import write_view

__all__ = ["repeat_command", "write_report", "write_view"]
