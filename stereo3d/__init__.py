"""stereo3d: two photographs in, a textured 3-D mesh out.

    import stereo3d
    result = stereo3d.reconstruct("left.jpg", "right.jpg")
    result.save("out.obj")

Every stage can be called on its own: `match_features`, `estimate_two_view`, `diagnose`, `rectify`, `compute_disparity`,
`triangulate`, `build_mesh`, `texture_mesh`, `write_mesh`. Conventions: `stereo3d.records`.
"""

from importlib import import_module

__version__ = "0.1.0"
# name -> module; loaded when first asked for, so that `import stereo3d` costs nothing
_HOME = {
    name: module
    for module, names in {
        "errors": ("StereoError",),
        "records": (
            "Camera",
            "DisparityMap",
            "Features",
            "Finding",
            "Matches",
            "Mesh",
            "Photo",
            "PhotoPair",
            "RectifiedPair",
            "Rig",
            "RigError",
            "TwoView",
            "WideLens",
        ),
        "images": ("read_pair", "read_photo"),
        "cameras": (
            "camera_for",
            "fit_rig",
            "pinhole_view",
            "read_rig",
            "write_camera",
            "write_rig",
        ),
        "cameras.chessboard": (
            "Board",
            "calibrate_camera",
            "calibrate_rig",
            "find_corners",
        ),
        "features": (
            "DETECTORS",
            "detect_features",
            "match_features",
        ),
        "two_view": (
            "eight_point",
            "estimate_two_view",
            "five_point",
            "seven_point",
        ),
        "diagnosis": ("diagnose",),
        "rectification": (
            "disparity_range",
            "rectify",
        ),
        "disparity": (
            "MATCHERS",
            "compute_disparities",
            "compute_disparity",
        ),
        "triangulation": ("triangulate",),
        "mesh": (
            "MESHERS",
            "build_mesh",
            "texture_mesh",
        ),
        "io": (
            "WRITERS",
            "write_mesh",
            "write_points",
        ),
        "geometry": (
            "absolute_orientation",
            "relative_orientation",
            "triangulate_points",
        ),
        "pipeline": (
            "Config",
            "Result",
            "reconstruct",
        ),
        "batches": ("batch",),
        "output.html": (
            "write_report",
            "write_view",
        ),
    }.items()
    for name in names
}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module 'stereo3d' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
