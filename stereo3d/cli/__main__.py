"""`python -m stereo3d.cli`."""

from .entry_point import main

if __name__ == "__main__":
    main()
