"""`python -m stereo3d` is the command `stereo3d`."""

from .cli import main

if __name__ == "__main__":
    main()
