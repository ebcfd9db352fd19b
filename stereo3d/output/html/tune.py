"""A local page that shows the result of a matcher and its options on one pair.

The server (`foreign.local_server`) answers two requests only: the page, and the match by a matcher and its options. It
reads no file.
"""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...disparity.methods import MATCHERS
from ...errors import StereoError
from ...foreign.local_server import LocalHandler, LocalServer
from ...geometry.arrays import norms
from ...mesh.viewing import viewing_camera
from ...options import Option
from ...pipeline.clock import Clock
from ...pipeline.config import Config, stage_options
from ...pipeline.dense import match_pair, search_range
from ...pipeline.run import prepare
from ...records import Photo
from ...triangulation.points import point_map
from . import figures
from .page import POLICY, Page, filled, text
from .report import command_line

MAX_POINTS = 120_000  # points of the cloud on the page
MAX_REQUEST_BYTES = 20_000  # bytes
STAGES = ("range", "matcher")  # stages whose options the page offers


class Bench:
    """A rectified pair that is matched again and again.

    Parameters
    ----------
    left, right : path or Photo
        As for `reconstruct`.
        right None: one file holds both.
    config : Config
        Settings of the rectification, and the matcher and options to begin with.
    clock : Clock, optional
        It tells the stages up to the rectified pair.
    """

    def __init__(
        self,
        left: str | Path | Photo,
        right: str | Path | Photo | None,
        config: Config,
        clock: Clock | None = None,
    ) -> None:
        given = ((left, "LEFT"), (right, "RIGHT")) if right is not None else ((left, "PHOTO"),)
        self.photos = [str(getattr(p, "path", p) or name) for p, name in given]
        self.config = config
        prepared = prepare(left, right, config=config, clock=clock)
        self.matches, self.view, self.pair = prepared.matches, prepared.view, prepared.pair
        self.findings = prepared.findings
        self.lock = threading.Lock()  # one match at a time: it uses all processors

    @property
    def unit(self) -> str:
        """Unit of points and depths."""
        return self.view.rig.unit or "baseline"

    def match(self, matcher: str, options: dict[str, Any]) -> dict[str, Any]:
        """Match the pair; return packed maps and a point cloud, numbers, and the command that repeats it.

        Parameters
        ----------
        matcher : str
            Name in MATCHERS.
        options : dict
            {"stage.name": value}, checked like those of the command line.

        Raises
        ------
        StereoError
            "unknown_method", "bad_option", or "no_disparity" where no pixel is matched.
        """
        kept = {k: v for k, v in self.config.options.items() if k.partition(".")[0] not in STAGES}
        config = replace(self.config, matcher=matcher, options={**kept, **options})
        with self.lock:
            start = time.perf_counter()
            inliers = self.view.inliers
            d_range = search_range(self.pair, self.matches.x1[inliers], self.matches.x2[inliers], config)
            fused, _ = match_pair(self.pair, d_range, config)
            points, _ = point_map(fused, self.pair, self.view)
            seconds = time.perf_counter() - start
        known = np.isfinite(points[..., 2])
        if not known.any():
            raise StereoError(
                "no_disparity",
                f"none of {known.size} pixels has a reliable disparity.",
                "Undo the last change, or raise range.margin.",
            )
        page, step = Page(), figures.map_step(known.shape)
        page.levels("disparity", figures.sampled(fused.disparity, step))
        depth = norms(points) if self.view.rig.wide else points[..., 2]
        page.levels("inverse", 1 / figures.sampled(depth, step), lo=0)
        page.levels("confidence", figures.sampled(fused.confidence, step), lo=0, hi=1, steps=254)
        chosen = np.flatnonzero(known)[:: max(1, -(-int(known.sum()) // MAX_POINTS))]
        page.array("position", points.reshape(-1, 3)[chosen].astype(np.float32).reshape(-1))
        page.array("colour", self.pair.left.reshape(-1, 3)[chosen].reshape(-1))
        return {
            "arrays": page.arrays,
            "data": page.data,
            "seconds": seconds,
            "known": float(known.mean()),
            "step": step,
            "range": list(d_range),
            "confidence": float(np.median(fused.confidence[known])),
            "command": command_line([*self.photos, "-o", "model.obj"], config),
        }

    def page(self, *, in_app: bool = False) -> str:
        """Return the page as HTML; in_app: with what takes the options into a run of the app."""
        page, cam, size = Page(), viewing_camera(self.view.rig.cam1), list(self.pair.left.shape[1::-1])
        page.colours()
        page.picture("left", self.pair.left, "rectified")
        offered = {}
        for matcher in dict.fromkeys((*MATCHERS, self.config.matcher)):  # that of the command may be a network
            known = stage_options(matcher=matcher)
            offered[matcher] = [_described(stage, option) for stage in STAGES for option in known[stage].values()]
        camera = {
            "name": "first photo",
            "K": cam.K.tolist(),
            "size": list(cam.size),
            "dist": cam.dist.tolist(),
            "R": np.eye(3).tolist(),
            "t": [0, 0, 0],
        }
        given = {k: v for k, v in self.config.options.items() if k.partition(".")[0] in STAGES}
        facts = {
            "unit": self.unit,
            "size": size,
            "camera": camera,
            "offered": offered,
            "matcher": self.config.matcher,
            "given": given,
            "app": in_app,
        }
        names = [p.replace("\\", "/").rsplit("/", 1)[-1] for p in self.photos]
        body = filled(
            "tune.html",
            names=" <span>+</span> ".join(map(text, names)),
            kind=self.pair.kind,
            size=f"{size[0]} \u00d7 {size[1]}",
        )
        policy = f"{POLICY}; connect-src 'self'"
        return page.html(f"{' + '.join(names)} \u2013 stereo3d tune", body, facts, ("tune.js",), policy=policy)


def _described(stage: str, option: Option) -> dict[str, Any]:
    """The option in plain values, for tune.js."""
    bounds = option.bounds
    low, high = (bounds.low, bounds.high) if bounds else (-np.inf, np.inf)
    return {
        "key": f"{stage}.{option.name}",
        "kind": option.kind.__name__,
        "default": option.default,
        "choices": list(option.choices),
        "optional": option.optional,
        "description": option.describe(),
        "low": low if np.isfinite(low) else None,
        "high": high if np.isfinite(high) else None,
    }


def checked_options(request: Any) -> tuple[str, dict[str, Any]]:
    """Return the matcher and the options that a request of the page names.

    Raises
    ------
    StereoError
        "bad_option" for options of other stages.
    ValueError
        For a request of another form.
    """
    try:
        matcher, options = str(request["matcher"]), {str(key): value for key, value in request["options"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError('the request must be {"matcher": name, "options": {"stage.name": value}}') from error
    if any(key.partition(".")[0] not in STAGES for key in options):
        raise StereoError("bad_option", "only options of the range and the matcher are tuned here.")
    return matcher, options


class TuneServer(LocalServer):
    """A server on 127.0.0.1 of the page of a `Bench` and of its matches; `serve_forever` runs it."""

    def __init__(self, bench: Bench, port: int, report: Callable[[dict], None]) -> None:
        self.bench, self.report = bench, report
        self.html = bench.page().encode("utf-8")
        super().__init__(_Handler, port)


class _Handler(LocalHandler):
    """Answer one request to a `TuneServer`."""

    server: TuneServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def get(self, path: str) -> None:
        """Send the page."""
        if path:
            self.refuse(404, "there is nothing here")
        else:
            self.send(200, self.server.html, "text/html")

    def post(self, path: str) -> None:
        """Match as the request says, and send the result."""
        if path != "match":
            self.refuse(404, "there is nothing here")
            return
        try:
            request = self.read_json(MAX_REQUEST_BYTES)
        except ValueError as error:
            self.refuse(400, str(error))
            return
        try:
            found = self.server.bench.match(*checked_options(request))
        except StereoError as error:
            self.refuse(422, str(error))
        except ValueError as error:
            self.refuse(400, str(error))
        else:
            self.send(200, json.dumps(found, allow_nan=False).encode())
            self.server.report(found)


def serve(bench: Bench, port: int = 0, report: Callable[[dict], None] = lambda answer: None) -> tuple[LocalServer, str]:
    """Return a server on 127.0.0.1 and the address to open; `serve_forever` runs it.

    Parameters
    ----------
    bench : Bench
    port : int
        0 for any free port.
    report : callable
        Called with each answer.

    Raises
    ------
    StereoError
        "unwritable" where the port is taken.
    """
    server = TuneServer(bench, port, report)
    return server, server.address
