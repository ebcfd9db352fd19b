"""Frames of a video, decoded in a process of their own: a damaged file cannot take this one with it."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import StereoError
from ..records import ExifFacts, Photo
from ..records.checks import Record
from .read import MAX_PIXELS, check_file

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mts", ".m2ts", ".3gp", ".wmv", ".mpg", ".mpeg")
FRAMES = 24  # that are compared: 276 pairs
SHARPEST_OF = 3  # frames about each of them, of which the sharpest is kept
MAX_SECONDS = 300  # of the decoder, for one pass
MAX_CPU_SECONDS = 600
MAX_BYTES = 6_000_000_000  # of its address space: a decoder of 8K video keeps some 20 frames of 100 MB
SMALL_SIDE = 1000  # px, the longer side of frames that are only compared


@dataclass(frozen=True, eq=False, repr=False)
class VideoFrame(Record):
    """A frame of a video; seconds from its start, as the file states it."""

    number: int
    seconds: float
    photo: Photo


def sample_frames(path: Path) -> list[VideoFrame]:
    """Return up to `FRAMES` frames spread over a video, each the sharpest of three neighbours, at a reduced size.

    Raises
    ------
    StereoError
        "photo_unreadable" where the file holds fewer than two frames that can be decoded, or takes minutes.
    """
    return _decode(path, "sample", [])


def read_frame(path: Path, numbers: Sequence[int]) -> list[VideoFrame]:
    """Return the frames of these numbers, counted from 0, at full size."""
    return _decode(path, "read", numbers)


def _decode(path: Path, task: str, numbers: Sequence[int]) -> list[VideoFrame]:
    check_file(path)
    wanted = len(numbers) or 2
    command = [sys.executable, "-P", "-c", "from stereo3d.images.video import _worker; _worker()"]
    request = json.dumps({"path": os.fspath(path.absolute()), "task": task, "numbers": list(numbers)})
    environment = {**os.environ, "OPENCV_FFMPEG_LOGLEVEL": "-8", "OPENCV_LOG_LEVEL": "OFF"}
    root = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            command, input=request.encode(), capture_output=True, timeout=MAX_SECONDS, env=environment, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _unreadable(path, f"decoding takes more than {MAX_SECONDS} s", "Cut a shorter part out of it.") from error
    frames = _unpack(done.stdout, path)
    if len(frames) < wanted:
        raise _unreadable(
            path,
            f"{len(frames)} of its frames can be decoded",
            f"Save frames of it as photos, and name two: ffmpeg -i {shlex.quote(str(path))} -vf fps=2 frame%03d.png",
        )
    return frames


def _unreadable(path: Path, reason: str, advice: str) -> StereoError:
    return StereoError("photo_unreadable", f"{path}: a video that cannot be used: {reason}.", advice)


def _unpack(data: bytes, path: Path) -> list[VideoFrame]:
    """Frames as the worker writes them: a line of JSON, then the pixels."""
    frames, at = [], 0
    while (end := data.find(b"\n", at)) >= 0:
        head = json.loads(data[at:end])
        count = head["width"] * head["height"] * 3
        pixels = np.frombuffer(data, np.uint8, count, end + 1) if len(data) > end + count else None
        if pixels is None:
            break
        facts: ExifFacts = {"format": "video"}
        photo = Photo(pixels.reshape(head["height"], head["width"], 3), facts, path)
        frames.append(VideoFrame(head["number"], head["seconds"], photo))
        at = end + 1 + count
    return frames


def _worker() -> None:
    """Decode as standard input asks, and write frames to standard output: the other side of `_decode`."""
    import cv2

    request = json.loads(sys.stdin.buffer.read())
    _limit_process()

    cv2.setNumThreads(1)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the decoder prints is no frame
    video = cv2.VideoCapture(request["path"], cv2.CAP_FFMPEG)
    width, height = (int(video.get(k)) for k in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if not video.isOpened() or not 0 < width * height <= MAX_PIXELS:
        return
    if request["task"] == "read":
        wanted = {int(n): [int(n)] for n in request["numbers"]}
    else:
        wanted = _numbers_to_sample(int(video.get(cv2.CAP_PROP_FRAME_COUNT)))
    for number, seconds, frame in _sharpest(video, wanted):
        if request["task"] == "sample" and (scale := SMALL_SIDE / max(frame.shape[:2])) < 1:
            frame = cv2.resize(frame, dsize=None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        head = {"number": number, "seconds": seconds, "width": frame.shape[1], "height": frame.shape[0]}
        out.write(json.dumps(head).encode() + b"\n" + np.ascontiguousarray(frame[..., ::-1]).tobytes())
        out.flush()


def _limit_process() -> None:
    """Bound what this process may take of the processor and of memory; it writes no file."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind, most in (
        (resource.RLIMIT_CPU, MAX_CPU_SECONDS),
        (resource.RLIMIT_AS, MAX_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def _numbers_to_sample(count: int) -> dict[int, list[int]]:
    """Middle of each part of the video -> the frames of which the sharpest is kept."""
    parts = min(FRAMES, max(count, 2))
    step = max(count, 2) / parts
    middles = [int(step * (k + 0.5)) for k in range(parts)]
    spread = max(1, int(step / (SHARPEST_OF + 1)))
    shifts = [spread * (k - SHARPEST_OF // 2) for k in range(SHARPEST_OF)] if step >= SHARPEST_OF + 1 else [0]
    return {middle: [middle + shift for shift in shifts] for middle in middles}


def _sharpest(video: object, wanted: dict[int, list[int]]) -> list[tuple[int, float, np.ndarray]]:
    """(number, seconds, BGR picture) of the sharpest frame of each group, decoded in the order of the file."""
    import cv2

    group_of = {number: key for key, numbers in wanted.items() for number in numbers}
    best: dict[int, tuple[float, int, float, np.ndarray]] = {}
    for number in range(max(group_of) + 1):
        if not video.grab():  # pyright: ignore[reportAttributeAccessIssue]
            break
        if number not in group_of:
            continue
        seconds = video.get(cv2.CAP_PROP_POS_MSEC) / 1000  # pyright: ignore[reportAttributeAccessIssue]
        read, frame = video.retrieve()  # pyright: ignore[reportAttributeAccessIssue]
        if not read or frame is None or frame.ndim != 3:
            continue
        sharp = float(cv2.Laplacian(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.CV_32F).var())
        key = group_of[number]
        if key not in best or sharp > best[key][0]:
            best[key] = sharp, number, seconds, frame
    return [(number, seconds, frame) for _, number, seconds, frame in (best[key] for key in sorted(best))]
