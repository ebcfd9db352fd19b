"""Moving pictures as other libraries read them."""

import weakref

import cv2
import numpy as np
import pytest
from PIL import Image, ImageSequence

from stereo3d.errors import StereoError
from stereo3d.io.films import FILMS, write_film

COLOURS = [(200, 40, 40), (40, 160, 60), (60, 80, 200), (230, 220, 40), (90, 90, 90), (20, 200, 210)]


def pictures():
    """Six pictures, the left half of each in its colour."""
    for colour in COLOURS:
        picture = np.full((48, 64, 3), 128, np.uint8)
        picture[:, :32] = colour
        yield picture


def read(path):
    if path.suffix == ".mp4":
        film, found = cv2.VideoCapture(str(path)), []
        assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(12)
        while (frame := film.read())[0]:
            found.append(frame[1][..., ::-1])
        return found
    with Image.open(path) as film:
        found = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)]
        assert film.info["loop"] == 0 and abs(film.info["duration"] - 1000 / 12) < 4
        return found


@pytest.mark.parametrize("suffix", FILMS)
def test_a_film_is_read_back(tmp_path, suffix):
    path = write_film(tmp_path / f"é{suffix}", pictures(), 12)
    found = read(path)
    assert len(found) == len(COLOURS) and list(tmp_path.iterdir()) == [path]
    for picture, expected in zip(found, pictures(), strict=True):
        assert picture.shape == expected.shape
        assert np.abs(picture[8:40, [8, 24, 40, 56]].astype(int) - expected[8:40, [8, 24, 40, 56]]).max() < 16


def test_what_is_no_film_is_refused(tmp_path, monkeypatch):
    with pytest.raises(StereoError, match=r"Use \.gif, \.webp, \.mp4") as caught:
        write_film(tmp_path / "a.avi", pictures(), 12)
    assert caught.value.code == "unknown_format"
    monkeypatch.setattr("stereo3d.io.films.CODECS", ("none",))
    with pytest.raises(StereoError, match=r"no encoder for \.mp4.*Use \.webp"):
        write_film(tmp_path / "a.mp4", pictures(), 12)
    with pytest.raises(ZeroDivisionError):
        write_film(tmp_path / "a.gif", (np.full((4, 4, 3), 1 // 0) for _ in range(2)), 12)
    assert not any(tmp_path.iterdir())


def test_a_video_is_written_picture_by_picture(tmp_path):
    """Not more than two pictures exist at once."""
    alive, most = [], 0

    def counted():
        nonlocal most
        for picture in pictures():
            alive.append(weakref.ref(picture))
            yield picture
            del picture
            most = max(most, sum(ref() is not None for ref in alive))

    write_film(tmp_path / "a.mp4", counted(), 12)
    assert most <= 2
