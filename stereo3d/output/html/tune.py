"""Tuning by eye: a page on this computer alone that shows what a matcher and its options make of a pair, at once.

The server answers two requests and nothing else: the page, and what a choice of matcher and options gives. It listens
on 127.0.0.1, wants a secret in the path, refuses other hosts' names and other pages' requests, and reads no file.
"""

import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from ...disparity.methods import MATCHERS
from ...errors import StereoError
from ...options import Option
from ...pipeline.config import Config, stage_options
from ...pipeline.dense import match_pair, search_range
from ...pipeline.run import prepare
from ...triangulation.points import point_map
from . import command_line, figures
from .page import POLICY, Page, filled, text

MAX_POINTS = 120_000  # of the cloud that is shown
MAX_REQUEST_BYTES = 20_000  # of a request
STAGES = ("range", "matcher")  # whose options the page offers


class Bench:
    """A rectified pair, ready for matcher after matcher. left, right: paths or Photos, as in `reconstruct`."""

    def __init__(self, left, right, config: Config):
        self.photos = [str(getattr(p, "path", p) or name) for p, name in ((left, "LEFT"), (right, "RIGHT"))]
        self.config = config
        prepared = prepare(left, right, config=config)
        self.matches, self.view, self.pair = prepared.matches, prepared.view, prepared.pair
        self.findings = prepared.findings
        self.lock = threading.Lock()  # one match at a time: it takes all processors as it is

    @property
    def unit(self) -> str:
        return self.view.rig.unit or "baseline"

    def match(self, matcher: str, options: dict) -> dict:
        """What this matcher finds: packed maps and a cloud, numbers, and the command that repeats it.

        options: {"stage.name": value}; checked as those of the command line are. Raises StereoError.
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
                f"none of {known.size} pixels has a disparity that can be trusted.",
                "Go back a step, or widen range.margin.",
            )
        page, step = Page(), figures.map_step(known.shape)
        page.levels("disparity", figures.sampled(fused.disparity, step))
        page.levels("inverse", 1 / figures.sampled(points[..., 2], step), lo=0)
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

    def page(self) -> str:
        """The page to tune at, as HTML."""
        page, cam, size = Page(), self.view.rig.cam1, list(self.pair.left.shape[1::-1])
        page.colours()
        page.picture("left", self.pair.left, "rectified")
        offered = {}
        for matcher in MATCHERS:
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
        }
        names = [p.replace("\\", "/").rsplit("/", 1)[-1] for p in self.photos]
        body = filled(
            "tune.html",
            first=text(names[0]),
            second=text(names[1]),
            kind=self.pair.kind,
            size=f"{size[0]} \u00d7 {size[1]}",
        )
        policy = f"{POLICY}; connect-src 'self'"
        return page.html(f"{names[0]} + {names[1]} \u2013 stereo3d tune", body, facts, ("tune.js",), policy=policy)


def _described(stage: str, option: Option) -> dict:
    bounds = option.bounds
    low, high = (bounds.low, bounds.high) if bounds else (-np.inf, np.inf)
    return {
        "key": f"{stage}.{option.name}",
        "kind": option.kind.__name__,
        "default": option.default,
        "choices": list(option.choices),
        "optional": option.optional,
        "words": option.describe(),
        "low": low if np.isfinite(low) else None,
        "high": high if np.isfinite(high) else None,
    }


def serve(
    bench: Bench, port: int = 0, report: Callable[[dict], None] = lambda answer: None
) -> tuple[ThreadingHTTPServer, str]:
    """A server on 127.0.0.1 and the address to open; `serve_forever` runs it. report: called with each answer.

    port: 0 for any that is free. Raises StereoError("unwritable") where the port is taken.
    """
    secret = secrets.token_urlsafe(16)
    html = bench.page().encode("utf-8")

    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version, protocol_version = "stereo3d", "", "HTTP/1.1"
        timeout = 60

        def log_message(self, format: str, *args: object) -> None:
            pass

        def ours(self) -> bool:
            """Asked for under this computer's own name, and not by a page from elsewhere."""
            hosts = [f"{name}:{server.server_port}" for name in ("127.0.0.1", "localhost")]
            origin = self.headers.get("Origin")
            return self.headers.get("Host") in hosts and origin in (None, *(f"http://{host}" for host in hosts))

        def answer(self, status: int, data: bytes, kind: str = "application/json") -> None:
            self.send_response(status)
            for name, value in (
                ("Content-Type", f"{kind}; charset=utf-8"),
                ("Content-Length", str(len(data))),
                ("Cache-Control", "no-store"),
                ("X-Content-Type-Options", "nosniff"),
                ("X-Frame-Options", "DENY"),
                ("Referrer-Policy", "no-referrer"),
                ("Connection", "close"),
            ):
                self.send_header(name, value)
            self.close_connection = True
            self.end_headers()
            self.wfile.write(data)

        def refuse(self, status: int, words: str) -> None:
            self.answer(status, json.dumps({"error": words}).encode())

        def do_GET(self):
            if not self.ours():
                self.refuse(403, "not from here")
            elif self.path == f"/{secret}/":
                self.answer(200, html, "text/html")
            else:
                self.refuse(404, "there is nothing here")

        def do_POST(self):
            length = self.headers.get("Content-Length", "")
            kind = self.headers.get("Content-Type", "").split(";")[0].strip().lower()
            if not self.ours():
                self.refuse(403, "not from here")
            elif self.path != f"/{secret}/match":
                self.refuse(404, "there is nothing here")
            elif kind != "application/json" or not length.isdecimal() or int(length) > MAX_REQUEST_BYTES:
                self.refuse(400, "a short JSON is wanted")
            else:
                try:
                    asked = json.loads(self.rfile.read(int(length)))
                    options = {str(key): value for key, value in asked["options"].items()}
                    if any(key.partition(".")[0] not in STAGES for key in options):
                        raise StereoError("bad_option", "only options of the range and the matcher are tuned here.")
                    found = bench.match(str(asked["matcher"]), options)
                except StereoError as error:
                    self.refuse(422, str(error))
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                    self.refuse(400, 'wanted: {"matcher": name, "options": {"stage.name": value}}')
                else:
                    self.answer(200, json.dumps(found, allow_nan=False).encode())
                    report(found)

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise StereoError(
            "unwritable", f"port {port} cannot be had ({error.strerror}).", "Leave --port out: a free one is found."
        ) from error
    server.daemon_threads = True
    return server, f"http://127.0.0.1:{server.server_port}/{secret}/"
