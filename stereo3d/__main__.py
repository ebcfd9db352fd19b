"""`python -m stereo3d` is the command `stereo3d`."""

from .cli import main

main()
