"""Valid files of every format that the package reads, made here: the seeds that the mutator damages."""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np

RNG = np.random.default_rng(5)
SIZE = (48, 40)


def picture() -> np.ndarray:
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    noise = RNG.integers(0, 40, (SIZE[1], SIZE[0], 3))
    return (np.stack([4 * x, 5 * y, 2 * x + 2 * y], -1) + noise).clip(0, 255).astype(np.uint8)


def exif() -> bytes:
    from PIL import Image
    from PIL.TiffImagePlugin import IFDRational

    tags = Image.Exif()
    tags[0x010F], tags[0x0110], tags[0x0112], tags[0x0132] = "Maker", "Model", 6, "2024:01:02 03:04:05"
    details = tags.get_ifd(0x8769)
    details[0x920A], details[0xA405], details[0xA20E] = IFDRational(43, 10), 26, IFDRational(2540, 1)
    details[0xA002], details[0xA003] = 96, 80
    note = b"Apple iOS\0\0\x01MM" + struct.pack(">H", 1) + struct.pack(">HHII", 8, 10, 3, 32) + struct.pack(">I", 0)
    details[0x927C] = note + struct.pack(">6i", -1, 1, 1, 9, 1, 9)
    tags.get_ifd(0x8825)[1] = "N"
    return tags.tobytes()


def encoded(form: str, image: np.ndarray | None = None, mode: str | None = None, **options: object) -> bytes:
    from PIL import Image

    made = Image.fromarray(picture() if image is None else image)
    out = io.BytesIO()
    (made.convert(mode) if mode else made).save(out, form, **options)
    return out.getvalue()


def photos() -> list[bytes]:
    wide = (RNG.random((SIZE[1], SIZE[0])) * 65535).astype(np.uint16)
    clear = np.dstack([picture(), np.where(np.arange(SIZE[0]) < 9, 0, 255)[None].repeat(SIZE[1], 0).astype(np.uint8)])
    tag = exif()
    return [
        encoded("JPEG", exif=tag, xmp=b"<x drone:GimbalPitchDegree='-30'/>"),
        encoded("JPEG", progressive=True, quality=60),
        encoded("JPEG", mode="CMYK"),
        encoded("JPEG", mode="L", restart_marker_blocks=2),
        encoded("MPO", save_all=True),
        encoded("PNG", exif=tag),
        encoded("PNG", clear),
        encoded("PNG", mode="P"),
        encoded("PNG", mode="1"),
        encoded("PNG", wide),
        encoded("TIFF", exif=tag),
        encoded("TIFF", compression="tiff_lzw"),
        encoded("TIFF", compression="tiff_adobe_deflate", tiffinfo={317: 2}),
        encoded("TIFF", compression="jpeg"),
        encoded("TIFF", mode="1", compression="group4"),
        encoded("TIFF", wide.astype(np.float32) / 65535),
        encoded("TIFF", wide, compression="packbits"),
        encoded("WEBP", exif=tag),
        encoded("WEBP", clear, lossless=True),
        encoded("BMP"),
        encoded("BMP", mode="P"),
        encoded("GIF", comment=b"a comment"),
        encoded("PPM"),
        encoded("PPM", mode="1"),
        b"P3 33 33 255\n" + b" ".join(b"%d" % (k % 256) for k in range(3 * 33 * 33)),
    ]


def photos_apart() -> list[bytes]:
    import pillow_heif

    pillow_heif.register_heif_opener()
    return [
        encoded("HEIF", exif=exif()),
        encoded("AVIF", exif=exif(), speed=10),
        encoded("JPEG2000", irreversible=True),
    ]


def calibrations() -> list[bytes]:
    K = [[900.0, 0, 240], [0, 900.0, 180], [0, 0, 1]]
    K_line = "900 0 240 0 900 180 0 0 1"
    yaml_K = (
        "!!opencv-matrix\n   rows: 3\n   cols: 3\n   dt: d\n   data: [ 900., 0., 240., 0., 900., 180., 0., 0., 1. ]\n"
    )
    xml_K = f"<rows>3</rows><cols>3</cols><dt>d</dt><data>{K_line}</data>"
    pose = {"R": np.eye(3).tolist(), "T": [[-0.1], [0], [0]]}
    ros = "\n".join(
        f"image_width: 480\nimage_height: 360\ncamera_name: {name}\ncamera_matrix:\n  rows: 3\n  cols: 3\n"
        f"  data: [900, 0, 240, 0, 900, 180, 0, 0, 1]\ndistortion_model: plumb_bob\ndistortion_coefficients:\n"
        f"  rows: 1\n  cols: 5\n  data: [0.1, 0, 0, 0, 0]\nrectification_matrix:\n  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]\n"
        f"projection_matrix:\n  data: [900, 0, 240, {shift}, 0, 900, 180, 0, 0, 0, 1, 0]\n---"
        for name, shift in (("left", 0), ("right", -90))
    )
    camera = {"K": K, "size": [480, 360], "dist": [0.1, 0, 0, 0], "R": np.eye(3).tolist(), "t": [0, 0, 0]}
    texts = [
        f"%YAML:1.0\n---\nM1: {yaml_K}M2: {yaml_K}T: !!opencv-matrix\n   rows: 3\n   cols: 1\n   dt: d\n"
        "   data: [ -0.1, 0., 0. ]\nR: !!opencv-matrix\n   rows: 3\n   cols: 3\n   dt: d\n"
        "   data: [ 1., 0., 0., 0., 1., 0., 0., 0., 1. ]\n",
        f'<?xml version="1.0"?>\n<opencv_storage><M1 type_id="opencv-matrix">{xml_K}</M1>'
        f"<M2>{xml_K}</M2></opencv_storage>",
        "# cameras\n1 PINHOLE 480 360 900 900 240 180\n1 1 0 0 0 0 0 0 1 a.jpg\n\n2 1 0 0 0 -0.1 0 0 1 b.jpg\n\n",
        ros,
        "cam0=[900 0 240; 0 900 180; 0 0 1]\ncam1=[900 0 245; 0 900 180; 0 0 1]\ndoffs=5\nbaseline=100\n"
        "width=480\nheight=360\nndisp=60\n",
        "P0: 900 0 240 0 0 900 180 0 0 0 1 0\nP1: 900 0 240 -90 0 900 180 0 0 0 1 0\n",
        json.dumps({"cameras": {"left": camera, "right": {**camera, "t": [-0.1, 0, 0]}}, "unit": "m"}),
        json.dumps(
            {"intrinsic1": K, "intrinsic2": K, "res1": [480, 360], "distCoeffs1": [0.1, 0], "unit": "mm", **pose}
        ),
        "900 0 240\n0 900 180\n0 0 1\n",
    ]
    return [text.encode() for text in texts]


def maps() -> dict[str, list[bytes]]:
    import cv2

    value = (RNG.random((12, 9)) * 50 + 1).astype(np.float32)
    npy, npz, deflated = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(npy, value.astype(np.float64))
    np.savez(npz, depth=value, other=np.arange(3))
    np.savez_compressed(deflated, value)
    raw = (256 * value).astype(np.uint16)
    return {
        ".pfm": [b"Pf\n9 12\n-1.0\n" + value.tobytes(), b"PF 3 12 1\n" + value[:, :9].astype(">f4").tobytes()],
        ".npy": [npy.getvalue()],
        ".npz": [npz.getvalue(), deflated.getvalue()],
        ".png": [cv2.imencode(".png", raw)[1].tobytes(), encoded("PNG", np.dstack([raw.astype(np.uint8)] * 3))],
        ".tif": [
            cv2.imencode(".tif", value)[1].tobytes(),
            encoded("TIFF", raw, compression="tiff_lzw"),
            encoded("TIFF", raw.astype(np.uint8), compression="tiff_adobe_deflate"),
        ],
    }


def mesh():  # -> Mesh
    from stereo3d.records import Mesh

    X = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1.5], [1, 1, 2.0]])
    faces = np.array([[0, 1, 2], [1, 3, 2]], np.int32)
    return Mesh(X, faces, X[:, :2].copy(), picture()[:8, :8].copy())


def meshes(folder: Path, suffix: str) -> list[bytes]:
    """Files of one suffix; `folder` holds the others that an OBJ names afterwards."""
    import trimesh

    from stereo3d.io import write_mesh

    shape = trimesh.creation.box()
    if suffix == ".off":
        return [trimesh.exchange.off.export_off(shape).encode()]
    written = ".obj" if suffix == ".mtl" else suffix
    write_mesh(folder / f"m{written}", mesh(), texture="png")
    found = [(folder / f"m{suffix}").read_bytes()]
    if suffix == ".stl":
        found.append(trimesh.exchange.stl.export_stl_ascii(shape).encode())
    elif suffix == ".ply":
        found.append(trimesh.exchange.ply.export_ply(shape, encoding="ascii"))
    elif suffix == ".glb":
        write_mesh(folder / "packed.glb", mesh(), texture="png", meshopt=True)
        found.append((folder / "packed.glb").read_bytes())
        found.append(trimesh.Scene([shape, shape.copy()]).export(file_type="glb"))
    elif suffix == ".obj":
        found.append(
            b"mtllib m.mtl\nv 0 0 1 1 0 0\nv 1 0 1 0 1 0\nv 0 1 1 0 0 1\nv 1 1 1 1 1 1\nvt 0 0\nvt 1 0\nvt 0 1\n"
            b"usemtl photo1\nf 1/1 2/2 3/3\nusemtl b\nf -4/-3/1 -3/-2/1 -1//1\nf 1 2 3 4\n"
        )
    return found


def clouds(folder: Path) -> list[bytes]:
    """Point clouds and maps of depth of every format, told apart by their first bytes."""
    from stereo3d.io import write_depth, write_points

    X, rgb = RNG.normal(size=(30, 3)), RNG.integers(0, 256, (30, 3)).astype(np.uint8)
    found = [write_points(folder / f"c{suffix}", X, rgb, unit="m").read_bytes() for suffix in (".ply", ".xyz", ".pcd")]
    fields = "FIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F U\nCOUNT 1 1 1 1\nWIDTH 2\nHEIGHT 1\nPOINTS 2\n"
    found.append(f"# .PCD v0.7\nVERSION 0.7\n{fields}DATA ascii\n0 1 2 255\n3 4 5 65280\n".encode())
    packed = bytes([31, *range(1, 33), 0])  # 32 bytes as they are; the last group is cut off
    head = f"# .PCD v0.7\nVERSION 0.7\n{fields}DATA binary_compressed\n".encode()
    found.append(head + struct.pack("<II", 33, 32) + packed)
    depth = np.linspace(1, 5, 800).reshape(40, 20)
    for name in ("d.exr", "d.png"):
        write_depth(folder / name, depth, "m", camera=json.dumps({"K": np.eye(3).tolist(), "size": [20, 40]}))
        found.append((folder / name).read_bytes())
    return found


def clouds_apart(folder: Path) -> list[bytes]:
    """Those that are read in a process of their own."""
    from stereo3d.io import write_points

    X, rgb = RNG.normal(size=(30, 3)), RNG.integers(0, 256, (30, 3)).astype(np.uint8)
    return [write_points(folder / f"c{suffix}", X, rgb).read_bytes() for suffix in (".laz", ".las")]


def truths() -> list[bytes]:
    camera = {
        "K": [[900, 0, 240], [0, 900, 180], [0, 0, 1]],
        "size": [480, 360],
        "R": np.eye(3).tolist(),
        "t": [0, 0, 0],
    }
    return [json.dumps({"cameras": {"left": camera, "right": {**camera, "t": [-0.1, 0, 0], "dist": [0.1]}}}).encode()]


def pairs(folder: Path) -> list[bytes]:
    """pair.json files; `folder` holds the pictures and maps that they name."""
    (folder / "l.png").write_bytes(encoded("PNG"))
    (folder / "d.pfm").write_bytes(b"Pf\n%d %d\n-1.0\n" % SIZE + bytes(4 * SIZE[0] * SIZE[1]))
    facts = {
        "left": "l.png",
        "right": "l.png",
        "disp_left": "d.pfm",
        "nonocc": "l.png",
        "scale": 2,
        "unknown": ["inf", 0],
    }
    return [json.dumps(facts).encode(), json.dumps({**facts, "disp_right": "d.pfm", "calib": "c.txt"}).encode()]


WORDS = [
    b"0", b"-1", b"1e400", b"-1e308", b"nan", b"inf", b"NaN", b"Infinity", b"99999999999999999999", b"1" * 400,
    b"null", b"[]", b"{}", b'""', b"true", b"[[[[[[[[", b"{{{{", b"&a [*a,*a]", b"!!binary", b"<!DOCTYPE a [",
    b"%YAML", b"---\n", b"\n", b"\0", b"\r", b" " * 200, b"\xff\xfe", b"\xef\xbb\xbf", b"/dev/zero",
    b"../../../etc/passwd", b"list uchar int", b"element vertex 4000000000", b"property", b"usemtl q\n",
    b"f 1 1 1\n", b"mtllib m.obj\n", b"IDAT", b"iCCP", b"eXIf", b"\xff\xda", b"\xff\xc2", b"\xff\xe1",
    b"Exif\0\0", b"PK\5\6", b"ipma", b"iloc", b"meta", b"irot", b"VP8X",
]  # fmt: skip
NUMBERS = (0, 1, 2, 3, 8, 16, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


def manifests(suffix: str) -> list[bytes]:
    """Lists of pairs with options of each."""
    rows = [
        {"left": "a_L.png", "right": "a_R.png", "name": "a", "baseline": "0.1", "max-size": "800"},
        {"left": "photos/b.mpo", "right": "", "name": "b c", "calib": "one.yml;two.yml", "matcher": "sgm"},
    ]
    if suffix == ".jsonl":
        return ["".join(json.dumps(row) + "\n" for row in rows[:count]).encode() for count in (1, 2)]
    names = sorted({name for row in rows for name in row})
    lines = [",".join(names), *(",".join(row.get(name, "") for name in names) for row in rows)]
    return ["\n".join(lines).encode(), "\r\n".join(lines[:2]).encode("utf-8-sig")]


def with_checksums(data: bytes) -> bytes:
    """A PNG with the checksums of its chunks made right again, so that damage reaches the decoder."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    out, at = [data[:8]], 8
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + length]
        out.append(data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body)))
        at += 12 + length
    return b"".join(out)
