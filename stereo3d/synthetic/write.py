"""Write a rendered pair with its truth."""

import json
from pathlib import Path

import numpy as np

from ..cameras.focal import DIAGONAL_35MM
from ..errors import StereoError
from ..io.atomic import replacing
from ..io.maps import write_map
from ..records import Camera, Photo, Rig
from .renderer import SyntheticPair, render

CROP_FACTOR = 4.6  # 35 mm equivalent over true focal length in the EXIF written: that of a compact camera


def write_pair(
    folder: str | Path, pair: SyntheticPair, *, suffix: str = ".png", focal_35mm: float | None = None
) -> list[Path]:
    """Write a pair with its truth into a folder and return the files' paths.

    left, right (.png, or .jpg in quality 92 with EXIF); rig.json (res, intrinsic, R, T, distCoeffs, unit); cameras.json
    (K, R, t, size of each; X_cam = R X + t, the world is the left camera); depth_left.npy, depth_right.npy (z-depth,
    m); visible_left.png, visible_right.png (255: visible in the other photo). Where rows correspond also disp_left.pfm,
    disp_right.pfm and, for a left photo named first, calib.txt (Middlebury's form, baseline in mm).

    Parameters
    ----------
    folder : path
        Made where it does not exist.
    pair : SyntheticPair
        Photos with truth.
    suffix : {".png", ".jpg", ".jpeg"}
        Of the photos.
    focal_35mm : float, optional
        mm: 35 mm equivalent focal length for the EXIF; by default from K by the diagonal.

    Returns
    -------
    list of Path

    Raises
    ------
    StereoError
        "unwritable", or "unknown_format" for another suffix.
    """
    folder = Path(folder)
    rig = pair.rig
    files = []
    for name, photo, cam in (("left", pair.left, rig.cam1), ("right", pair.right, rig.cam2)):
        files.append(_write_photo(folder / (name + suffix), photo, cam, focal_35mm))
    files += _write_cameras(folder, rig)
    for name, depth, visible, disparity in (
        ("left", pair.depth1, pair.visible1, pair.disparity_left),
        ("right", pair.depth2, pair.visible2, pair.disparity_right),
    ):
        files.append(write_map(folder / f"depth_{name}.npy", depth))
        files.append(_write_picture(folder / f"visible_{name}.png", visible.astype(np.uint8) * 255))
        if disparity is not None:
            files.append(write_map(folder / f"disp_{name}.pfm", disparity))
    if pair.disparity_left is not None and rig.t is not None and rig.t[0] < 0:
        files.append(_write_text(folder / "calib.txt", _middlebury(pair)))
    return files


def _middlebury(pair: SyntheticPair) -> str:
    """The text of calib.txt: cam0, cam1, doffs, baseline, size, disparity range."""
    rig, d = pair.rig, pair.disparity_left
    assert rig.t is not None and d is not None
    rows = [[" ".join(map(str, row)) for row in cam.K.tolist()] for cam in (rig.cam1, rig.cam2)]
    low, high = int(np.floor(np.nanmin(d))), int(np.ceil(np.nanmax(d)))
    return (
        f"cam0=[{'; '.join(rows[0])}]\ncam1=[{'; '.join(rows[1])}]\n"
        f"doffs={float(rig.cam2.K[0, 2] - rig.cam1.K[0, 2])}\n"
        f"baseline={float(-1000 * rig.t[0])}\nwidth={rig.cam1.size[0]}\nheight={rig.cam1.size[1]}\n"
        f"ndisp={high + 1}\nvmin={low}\nvmax={high}\n"
    )


def _write_text(path: Path, text: str) -> Path:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _write_picture(path: Path, pixels: np.ndarray) -> Path:
    from PIL import Image

    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, optimize=True)
    return path


def _write_cameras(folder: Path, rig: Rig) -> list[Path]:
    """rig.json and cameras.json."""
    assert rig.R is not None and rig.t is not None
    rig_json = {
        "res1": list(map(int, rig.cam1.size)),
        "res2": list(map(int, rig.cam2.size)),
        "intrinsic1": rig.cam1.K.tolist(),
        "intrinsic2": rig.cam2.K.tolist(),
        "R": rig.R.tolist(),
        "T": rig.t.reshape(3, 1).tolist(),
        "distCoeffs1": rig.cam1.dist.tolist(),
        "distCoeffs2": rig.cam2.dist.tolist(),
        "unit": rig.unit,
    }
    cameras = {
        name: {
            "K": cam.K.tolist(),
            "R": R.tolist(),
            "t": t.tolist(),
            "size": list(map(int, cam.size)),
            "dist": cam.dist.tolist(),
        }
        for name, cam, R, t in (("left", rig.cam1, np.eye(3), np.zeros(3)), ("right", rig.cam2, rig.R, rig.t))
    }
    note = "x ~ K (R X + t), unit metres, the world is the left camera; exact, from the scene"
    cameras = {"note": note, "unit": rig.unit, "cameras": cameras}
    return [
        _write_text(folder / "rig.json", json.dumps(rig_json, indent=1) + "\n"),
        _write_text(folder / "cameras.json", json.dumps(cameras, indent=1) + "\n"),
    ]


def _write_photo(path: Path, photo: Photo, cam: Camera, focal_35mm: float | None) -> Path:
    """A photo as PNG, or as JPEG with the EXIF of a compact camera."""
    if path.suffix not in (".png", ".jpg", ".jpeg"):
        raise StereoError("unknown_format", f"{path}: photos are written as .png or .jpg.", "Choose one of them.")
    if path.suffix == ".png":
        return _write_picture(path, photo.pixels)
    from PIL import Image
    from PIL.TiffImagePlugin import IFDRational

    if focal_35mm is None:
        focal_35mm = cam.focal * DIAGONAL_35MM / float(np.hypot(*cam.size))
    exif = Image.Exif()
    exif[0x010F] = "stereo3d"  # Make
    exif[0x0110] = "Synthetic"  # Model
    exif[0x0112] = 1  # Orientation
    exif[0x0131] = "stereo3d synthetic"  # Software
    details = exif.get_ifd(0x8769)
    details[0x920A] = IFDRational(round(focal_35mm / CROP_FACTOR * 100), 100)  # FocalLength, mm
    details[0xA405] = round(focal_35mm)  # FocalLengthIn35mmFilm
    details[0xA002], details[0xA003] = photo.size  # ExifImageWidth, ExifImageHeight
    image = Image.fromarray(photo.pixels)
    with replacing(path) as temporary:
        try:
            image.save(temporary, quality=92, subsampling=0, optimize=True, exif=exif)
        except OSError:  # for optimal tables Pillow has a byte per pixel, and noise needs more
            image.save(temporary, quality=92, subsampling=0, exif=exif)
    return path


DEMO_SIZE = (1400, 1050)  # px


def write_demo(folder: str | Path) -> list[Path]:
    """Render the demo pair, in a minute or two, and write it.

    left.jpg, right.jpg with EXIF; rig.json; cameras.json; depth_left.npz: key "depth", (H,W) float16, true z-depth of
    left.jpg in m.
    """
    folder = Path(folder)
    pair = render("still_life", size=DEMO_SIZE, noise=1.5, vignetting=0.22, samples=2, seed=1)
    files = [
        _write_photo(folder / f"{name}.jpg", photo, cam, None)
        for name, photo, cam in (("left", pair.left, pair.rig.cam1), ("right", pair.right, pair.rig.cam2))
    ]
    files += _write_cameras(folder, pair.rig)
    path = folder / "depth_left.npz"
    with replacing(path) as temporary:
        np.savez_compressed(temporary, depth=pair.depth1.astype(np.float16))
    return [*files, path]


if __name__ == "__main__":
    import sys

    if len(sys.argv) != 2:
        sys.exit("usage: python -m stereo3d.synthetic FOLDER   (writes the demo pair)")
    write_demo(sys.argv[1])
