"""What a worker writes of a pair of `stereo3d batch`: the files of a single run, in the folder of the pair."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StereoError
from .outputs import Outputs, Style, write_outputs

if TYPE_CHECKING:
    from ..pipeline.result import Result


@dataclass(frozen=True)
class RunFiles:
    """Writes the files of a result as `stereo3d reconstruct` does.

    Attributes
    ----------
    outputs : Outputs
        Names in the folder of the pair.
    style : Style
    """

    outputs: Outputs
    style: Style

    def __call__(self, result: Result, folder: Path, start: float) -> list[Path]:
        """Write the files of a result into a folder and return them."""
        from ..output.html import repeat_command

        if self.style.crop is not None:
            result = result.cropped(self.style.crop)
        named = {f.name: getattr(self.outputs, f.name) for f in fields(self.outputs)}
        placed = Outputs(**{name: None if file is None else folder / file for name, file in named.items()})  # pyright: ignore[reportArgumentType] - the mesh is named
        return write_outputs(result, placed, self.style, start, repeat_command(result, placed.output))


def check_inside(outputs: Outputs, reserved: tuple[str, ...]) -> None:
    """Refuse names of files that lead out of the folder of a pair, or are those of the batch's own files.

    Raises
    ------
    StereoError
        "bad_option".
    """
    for field in fields(outputs):
        file = getattr(outputs, field.name)
        if file is None or field.name == "json_file":
            continue
        option = "mesh" if field.name == "output" else field.name.replace("_", "-")
        if file.is_absolute() or ".." in file.parts or str(file) in reserved or not file.name:
            raise StereoError(
                "bad_option",
                f"{option} cannot be {file}: it names a file in the folder of each pair.",
                f"Give a name such as {option}{file.suffix or '.glb'}.",
            )
