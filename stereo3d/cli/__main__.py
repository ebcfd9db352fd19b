"""`python -m stereo3d.cli`."""

from .entry_point import main

main()
