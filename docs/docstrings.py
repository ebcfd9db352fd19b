"""Lays out the docstrings of stereo3d for the site: parameters as a list, what comes back, what is raised, sources.

They are prose for the terminal, by one rule: "name: shape, unit, meaning.  name: ..." for parameters and fields, two
spaces or a new line between them, then sentences that begin with Returns, Raises or Source.
"""

import re

import griffe

LEAD = re.compile(r"^(Returns|Raises|Source|Sources|Memory)\b:?")


def laid_out(text: str, names: set[str]) -> str:
    """The docstring as Markdown. names: of the parameters or fields that it may explain."""
    blocks = []
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        lines = paragraph.split("\n")
        if any(line.startswith(("    ", "- ", "---")) for line in lines):  # code, a list, a heading
            blocks.append(paragraph)
        else:
            blocks += _sentences(paragraph, names)
    return "\n\n".join(_joined(blocks))


def _sentences(paragraph: str, names: set[str]) -> list[str]:
    parts = []
    for line in paragraph.split("\n"):
        for k, piece in enumerate(re.split(r"(?<=[.;)])  +", line)):
            starts = _item(piece, names) or LEAD.match(piece)
            ended = parts and parts[-1].rstrip().endswith(".") and parts[-1].startswith("- ") and piece[:1].isupper()
            if not parts or starts or k or ended:
                parts.append(_item(piece, names) or LEAD.sub(lambda m: f"**{m[0]}**", piece))
            else:
                parts[-1] += " " + piece
    return parts


def _item(piece: str, names: set[str]) -> str | None:
    match = re.match(r"([A-Za-z_]\w*(?:, [A-Za-z_]\w*)*): +(?=\S)", piece)
    if match and all(name in names for name in match[1].split(", ")):
        return f"- {', '.join(f'`{name}`' for name in match[1].split(', '))} : {piece[match.end() :]}"
    return None


def _joined(blocks: list[str]) -> list[str]:
    """Items of one list without blank lines between them."""
    found = []
    for block in blocks:
        if found and block.startswith("- `") and found[-1].startswith("- `"):
            found[-1] += "\n" + block
        else:
            found.append(block)
    return found


class Layout(griffe.Extension):
    """Called for each object when it has been read."""

    def on_object(self, *, obj, **kwargs) -> None:
        if obj.docstring is None:
            return
        names = set()
        if obj.is_function:
            names = {parameter.name for parameter in obj.parameters}
        elif obj.is_class:
            names = set(obj.members)
        obj.docstring.value = laid_out(obj.docstring.value, names)

    def on_package(self, *, pkg, **kwargs) -> None:
        """What `import stereo3d` offers comes first on its module's page."""
        import stereo3d

        for name, module in stereo3d._HOME.items():
            if module in pkg.modules:
                pkg.modules[module].exports = [*(pkg.modules[module].exports or ()), name]
