"""A page of rectangles and text, in millimetres, as PDF or SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from .atomic import replacing

POINTS_PER_MM = 72 / 25.4
FONT_MM = 3.5  # height of the letters' body
Rectangle = tuple[float, float, float, float]  # left, top, width, height, mm from the upper left corner of the page


@dataclass(frozen=True)
class Page:
    """A page of one sheet, black on white.

    Attributes
    ----------
    size : (width, height)
        mm.
    rectangles : sequence of (left, top, width, height)
        mm from the upper left corner; all filled as one path, so that those that touch show no seam.
    texts : sequence of (left, baseline, text)
        mm from the upper left corner; characters of ISO 8859-1.
    title : str
    """

    size: tuple[float, float]
    rectangles: Sequence[Rectangle]
    texts: Sequence[tuple[float, float, str]]
    title: str


def write_page(path: str | Path, page: Page) -> Path:
    """Write a page as .pdf or .svg, by the suffix of the path, and return the path.

    Raises
    ------
    StereoError
        "unwritable".
    """
    data = _svg(page).encode("utf-8") if Path(path).suffix.lower() == ".svg" else _pdf(page)
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def _pdf(page: Page) -> bytes:
    """PDF 1.4 of one page, its drawing uncompressed, in mm by one matrix.

    References
    ----------
    ISO 32000-1, sections 7.5 (file structure), 8.5 (paths), 9.4 (text).
    """
    width, height = page.size
    lines = [f"q {POINTS_PER_MM:.9f} 0 0 {POINTS_PER_MM:.9f} 0 0 cm", "0 g"]
    lines += [f"{x:.6f} {height - y - h:.6f} {w:.6f} {h:.6f} re" for x, y, w, h in page.rectangles]
    lines.append("f")
    for x, y, text in page.texts:
        lines.append(f"BT /F1 {FONT_MM} Tf {x:.6f} {height - y:.6f} Td ({_literal(text)}) Tj ET")
    content = "\n".join([*lines, "Q"]).encode("latin-1", "replace")
    box = f"[0 0 {width * POINTS_PER_MM:.6f} {height * POINTS_PER_MM:.6f}]"
    title = _literal(page.title).encode("latin-1", "replace")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /ViewerPreferences << /PrintScaling /None >> >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox {box} /Contents 4 0 R "
        "/Resources << /Font << /F1 5 0 R >> >> >>".encode(),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Title (%s) /Producer (stereo3d) >>" % title,
    ]
    out, offsets = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count = len(objects) + 1
    head = b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, table)
    return out + head + b"trailer\n<< /Size %d /Root 1 0 R /Info 6 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, len(out))


def _literal(text: str) -> str:
    """Text for a PDF string in parentheses."""
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def _svg(page: Page) -> str:
    """SVG in mm."""
    width, height = page.size
    path = "".join(f"M{x:.6f} {y:.6f}h{w:.6f}v{h:.6f}h{-w:.6f}z" for x, y, w, h in page.rectangles)
    texts = "".join(
        f'<text x="{x:.6f}" y="{y:.6f}" font-family="Helvetica, Arial, sans-serif" font-size="{FONT_MM}">'
        f"{escape(text)}</text>\n"
        for x, y, text in page.texts
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}mm" height="{height:g}mm" '
        f'viewBox="0 0 {width:g} {height:g}">\n<title>{escape(page.title)}</title>\n'
        f'<rect width="{width:g}" height="{height:g}" fill="#fff"/>\n<path d="{path}"/>\n{texts}</svg>\n'
    )
