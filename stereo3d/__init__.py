"""stereo3d: two photographs in, a textured 3-D mesh out."""

__version__ = "0.1.0"
