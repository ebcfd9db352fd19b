"""What the child of `tuning` does: rectify the pair once, write the page, and match as each request says."""

import json
import queue
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import StereoError
from .tuning import PAGE

KEPT = ("quality", "matcher", "options", "rotate", "layout", "force")  # settings that change what is matched
MAX_SIZE = 800  # px, the longer side: as of `stereo3d tune`


def tune(
    job: dict[str, Any],
    config: Any,
    requests: "queue.Queue[dict[str, Any]]",
    answer: Callable[..., None],
    words: Callable[[Exception], dict[str, str]],
) -> None:
    """Carry out the requests until the input ends.

    Parameters
    ----------
    job : dict
        photos (paths), folder (of the page and the answers).
    config : Config
        Of the settings.
    requests : Queue
        Of {"number", "matcher", "options"}; each is answered by {"number"}, its result the file NUMBER.json, or by
        {"number", "error"}.
    answer : callable
    words : callable
        What the page says of an error.
    """
    from ..output.html.tune import Bench, checked_options
    from ..pipeline.clock import Clock

    paths, folder = [Path(path) for path in job["photos"]], Path(job["folder"])
    clock = Clock(lambda stage, work, method, /: answer(stage=stage))
    config = replace(config, max_size=min(config.max_size, MAX_SIZE))
    bench = Bench(paths[0], paths[1] if len(paths) == 2 else None, config, clock)
    (folder / PAGE).write_text(bench.page(in_app=True), encoding="utf-8")
    answer(ready=True)
    while True:
        request = requests.get()
        number = str(request.get("number"))
        for path in folder.glob("*.json"):  # answered before
            path.unlink(missing_ok=True)
        try:
            found = bench.match(*checked_options(request))
            (folder / f"{number}.json").write_text(json.dumps(found, allow_nan=False), encoding="utf-8")
            answer(number=number)
        except (StereoError, MemoryError, ValueError) as error:
            answer(number=number, error=words(error))
