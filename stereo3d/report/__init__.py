"""One self-contained HTML page: of a whole run (`write_report`) or of any mesh (`write_view`); and `tune`, a local one.

Pages need no network: pictures, arrays, the viewer (viewer.js, WebGL 2) and the figures (figures.js, report.js) are
inside, and a content policy forbids every request.
"""

from .page import repeat_command, write_report, write_view

__all__ = ["repeat_command", "write_report", "write_view"]
