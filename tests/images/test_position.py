"""Positions in EXIF and in the XMP of DJI's drones, and the baseline between two."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from stereo3d.geometry.earth import earth_centred, east_north_up
from stereo3d.images.position import read_position
from stereo3d.images.read import read_photo
from stereo3d.io.json_files import plain
from stereo3d.pipeline.positions import position_baseline, position_scale
from stereo3d.records import Photo, Position

DJI = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="DJI Meta Data" xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/" {entries}/></rdf:RDF>
</x:xmpmeta>"""
RTK = {
    "AbsoluteAltitude": "+120.50",
    "RelativeAltitude": "+50.10",
    "GpsLatitude": "+47.000000000",
    "GpsLongitude": "+8.000000000",
    "GimbalPitchDegree": "-90.00",
    "RtkFlag": "50",
    "RtkStdLon": "0.01200",
    "RtkStdLat": "0.01400",
    "RtkStdHgt": "0.03000",
}


def xmp(**entries):
    return DJI.format(entries=" ".join(f'drone-dji:{k}="{v}"' for k, v in entries.items()))


def write_jpeg(path, gps=None, packet=None):
    """A JPEG of 64 x 48 px with these entries in its GPS directory and this XMP packet."""
    exif = Image.Exif()
    if gps:
        exif.get_ifd(0x8825).update(gps)
    more = {} if packet is None else {"xmp": packet.encode()}
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(path, exif=exif, **more)
    return path


def dms(value):
    """Degrees, minutes, seconds of an angle in degrees, to a millionth of a second."""
    value = abs(value)
    minutes = (value - int(value)) * 60
    seconds = round((minutes - int(minutes)) * 60 * 1e6)
    return IFDRational(int(value)), IFDRational(int(minutes)), IFDRational(seconds, 1_000_000)


def test_axes_of_the_ellipsoid():
    """On the equator, at a pole, and the length of a degree there: 110.574 km north, 111.320 km east."""
    assert earth_centred(0, 0) == pytest.approx([6378137, 0, 0])
    assert earth_centred(90, 0) == pytest.approx([0, 0, 6356752.3142], abs=1e-3)
    assert earth_centred(0, 90, 100) == pytest.approx([0, 6378237, 0], abs=1e-6)
    assert east_north_up(0, 0) == pytest.approx(np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]]))
    north = np.linalg.norm(earth_centred(0.0005, 0) - earth_centred(-0.0005, 0))
    east = np.linalg.norm(earth_centred(0, 0.0005) - earth_centred(0, -0.0005))
    assert (1000 * north, 1000 * east) == pytest.approx((110574, 111319.5), abs=1)
    axes = east_north_up(47, 8)
    assert axes @ axes.T == pytest.approx(np.eye(3)) and np.linalg.det(axes) == pytest.approx(1)
    step = axes @ (earth_centred(47, 8, 10) - earth_centred(47, 8, 0))
    assert step == pytest.approx([0, 0, 10], abs=1e-6)


def test_exif_of_a_phone(tmp_path):
    gps = {1: "S", 2: dms(-33.8568), 3: "W", 4: dms(-70.25), 5: b"\x01", 6: IFDRational(125, 10)}
    photo = read_photo(write_jpeg(tmp_path / "a.jpg", gps | {31: IFDRational(35, 10)}))
    place = photo.exif["position"]
    assert (place.latitude, place.longitude) == pytest.approx((-33.8568, -70.25), abs=1e-9)
    assert place.altitude == -12.5 and place.source == "GPS" and place.sigma == (3.5, 3.5, 5.25)
    bare = read_photo(write_jpeg(tmp_path / "b.jpg", {k: v for k, v in gps.items() if k < 5})).exif["position"]
    assert bare.altitude is None and bare.sigma is None
    assert plain(photo.exif)["position"]["latitude"] == pytest.approx(-33.8568)


def test_xmp_of_a_drone_with_rtk(tmp_path):
    gps = {1: "N", 2: dms(47.1), 3: "E", 4: dms(8.1)}
    photo = read_photo(write_jpeg(tmp_path / "a.jpg", gps, xmp(**RTK)))
    place = photo.exif["position"]
    assert place == Position(47.0, 8.0, 120.5, (0.012, 0.014, 0.03), "RTK", 50.1)
    assert photo.exif["gravity"] == pytest.approx((0, 0, 1))


def test_other_forms_of_the_xmp():
    older = xmp(GpsLatitude="-12.5", GpsLongtitude="+130.25", AbsoluteAltitude="-3.0", RelativeAltitude="+20")
    assert read_position({}, older) == Position(-12.5, 130.25, -3.0, None, "GPS", 20.0)
    elements = (
        "<drone-dji:GpsLatitude>1.5</drone-dji:GpsLatitude><drone-dji:GpsLongitude>2.5</drone-dji:GpsLongitude>"
        "<drone-dji:RtkFlag>50</drone-dji:RtkFlag>"
    )
    found = read_position({}, elements)
    assert found is not None and found.sigma is not None and (found.latitude, found.source) == (1.5, "RTK")
    single = read_position({}, xmp(**RTK | {"RtkFlag": "16", "RtkStdLon": "1.5"}))
    assert single is not None and single.source == "GPS" and single.sigma == (1.5, 0.014, 0.03)
    unfixed = read_position({}, xmp(**RTK | {"RtkFlag": "0"}))
    assert unfixed is not None and unfixed.sigma is None


@pytest.mark.parametrize(
    "gps, packet",
    [
        ({}, ""),
        ({1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)}, ""),  # as headsets and phones without reception
        ({1: "N", 2: (91.0, 0.0, 0.0), 3: "E", 4: (8.0, 0.0, 0.0)}, ""),
        ({1: "N", 2: (47.0, 0.0), 3: "E", 4: (8.0, 0.0, 0.0)}, ""),
        ({1: "N", 2: (float("nan"), 0.0, 0.0), 3: "E", 4: (8.0, 0.0, 0.0)}, ""),
        ({1: "", 2: (47.0, 0.0, 0.0), 3: "E", 4: (8.0, 0.0, 0.0)}, ""),
        ({1: 7, 2: "x", 3: None, 4: 5}, "drone-dji"),
        ({}, xmp(GpsLatitude="1e999", GpsLongitude="8")),
        ({}, xmp(GpsLatitude="0", GpsLongitude="0")),
        ({}, xmp(GpsLatitude="--", GpsLongitude="8")),
    ],
)
def test_what_is_no_position_is_none(gps, packet):
    assert read_position(gps, packet) is None


def test_the_baseline_of_two_positions():
    """12 m east and 5 m up at 47 degrees north, by the radius of its parallel: 13 m."""
    first = Position(47.0, 8.0, 0.0, (0.01, 0.01, 0.02), "RTK")
    parallel = 6378137 / np.sqrt(1 - 0.00669437999 * np.sin(np.radians(47)) ** 2) * np.cos(np.radians(47))
    second = replace(first, longitude=8.0 + np.degrees(12 / parallel), altitude=5.0)
    found = position_baseline(first, second)
    assert found.length == pytest.approx(13.0, abs=1e-4) and found.source == "RTK"
    along = np.array([12, 0, 5]) / 13
    assert found.sigma == pytest.approx(np.sqrt(2 * along**2 @ [1e-4, 1e-4, 4e-4]), rel=1e-3)
    mixed = position_baseline(first, replace(second, source="GPS", sigma=None))
    assert mixed.source == "GPS" and mixed.sigma > 5


def test_heights_over_the_start_are_better_than_those_of_satellites():
    first = Position(47.0, 8.0, 100.0, None, "GPS", 30.0)
    second = replace(first, altitude=112.0, relative_altitude=34.0)
    assert position_baseline(first, second).length == pytest.approx(4.0, abs=1e-6)
    fixed = replace(first, sigma=(0.01, 0.01, 0.02), source="RTK")
    assert position_baseline(fixed, replace(fixed, altitude=112.0, relative_altitude=34.0)).length == pytest.approx(12)
    unknown = position_baseline(replace(first, altitude=None, relative_altitude=None), second)
    assert unknown.length == 0 and unknown.sigma > 5


def photo_at(position):
    return Photo(np.zeros((48, 64, 3), np.uint8), {} if position is None else {"position": position})


def test_only_positions_good_enough_give_a_scale():
    fixed = Position(47.0, 8.0, 100.0, (0.01, 0.01, 0.02), "RTK")
    near, far = replace(fixed, altitude=100.3), replace(fixed, altitude=110.0)
    assert position_scale(photo_at(fixed), photo_at(near)) is None  # +- 9 % of 0.3 m
    length, finding = position_scale(photo_at(fixed), photo_at(far))
    assert length == pytest.approx(10.0, abs=1e-6) and finding.severity == "info" and "RTK" in finding.message
    assert finding.numbers["relative_error"] == pytest.approx(np.hypot(0.02, 0.02) / 10)
    plain_gps = [replace(p, sigma=None, source="GPS") for p in (fixed, far)]
    assert position_scale(*map(photo_at, plain_gps)) is None  # a phone: 10 m are less than its error
    assert position_scale(photo_at(fixed), photo_at(None)) is None
    assert position_scale(photo_at(fixed), photo_at(fixed)) is None


@pytest.fixture(scope="module")
def rtk_photos(tmp_path_factory, handheld_pair):
    """A rendered pair whose files state positions as far apart as the cameras, with the errors of RTK, scaled by 100.

    The scene is taken to be 100 times as large: 12 m between the cameras.
    """
    folder, rig = tmp_path_factory.mktemp("rtk"), handheld_pair.rig
    apart = 100 * float(np.linalg.norm(rig.t))
    paths = []
    for name, photo, up in (("a", handheld_pair.left, 0.0), ("b", handheld_pair.right, apart)):
        packet = xmp(**RTK | {"AbsoluteAltitude": f"{200 + up:.6f}", "RelativeAltitude": f"{50 + up:.6f}"})
        path = folder / f"{name}.jpg"
        Image.fromarray(photo.pixels).save(path, quality=95, subsampling=0, xmp=packet.encode())
        paths.append(path)
    return paths, rig, apart


def test_positions_make_a_pose_metric_where_nothing_else_does(rtk_photos):
    from stereo3d.pipeline.config import Config
    from stereo3d.pipeline.run import prepare

    (left, right), rig, apart = rtk_photos
    focal = rig.cam1.focal
    prepared = prepare(left, right, config=Config(focal=focal))
    assert prepared.view.rig.unit == "m"
    assert np.linalg.norm(prepared.view.t) == pytest.approx(apart, rel=1e-6)
    (finding,) = [f for f in prepared.findings if f.code == "position_scale"]
    assert f"{apart:.4g} m" in finding.message and finding.numbers["relative_error"] < 0.005
    given = prepare(left, right, config=Config(focal=focal, baseline=3.0, unit="cm"))
    assert np.linalg.norm(given.view.t) == pytest.approx(3.0) and given.view.rig.unit == "cm"
    assert "position_scale" not in [f.code for f in given.findings]
