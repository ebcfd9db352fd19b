"""How many examples hypothesis tries: few and always the same ones, or more and new ones where they are asked for."""

import os

TIMES = int(os.environ.get("STEREO3D_EXAMPLES", "1"))


def tries(count: int) -> int:
    """`count` in `make test`; `make test EXAMPLES=20` tries 20 times as many, drawn anew each time."""
    return count * TIMES
