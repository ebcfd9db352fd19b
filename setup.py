"""The long description of the package: README.md as it can be read outside the repository.

All else is in pyproject.toml. A package index shows neither pictures of relative addresses nor embedded ones, and links
to files of the repository lead nowhere there. So a picture becomes its description, and a link its text with the name
of the file.
"""

import re
from pathlib import Path

from setuptools import setup


def outside(text: str) -> str:
    """Return Markdown without pictures and without links to files: with descriptions and names in their places."""
    text = re.sub(r"!\[([^]]*)\]\(([\w./-]+)\)", r"*Picture: \1 (`\2` in the source archive).*", text)
    return re.sub(r"\[([^]]*)\]\(([\w./-]*)(?:#[\w-]*)?\)", _named, text)


def _named(link: re.Match[str]) -> str:
    text, file = link.groups()
    return text if text in file or file in text else f"{text} (`{file}`)"


setup(
    long_description=outside(Path(__file__).with_name("README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
)
