"""Parts of a mesh: the largest, and what a rectangle or a lasso of the photo shows."""

import cv2
import numpy as np
import pytest

from stereo3d.errors import StereoError
from stereo3d.geometry.texture_coordinates import uv_of_pixels
from stereo3d.mesh.crop import crop_mesh, parse_crop, shown_in_photo
from stereo3d.records import Mesh, TexturedPart

SIZE = (160, 120)
PHOTO = np.zeros((120, 160, 3), np.uint8)


def squares(*boxes):
    """One square of two triangles for each box (x0, y0, x1, y1, depth) in px of a camera of focal length 100."""
    x = np.concatenate([[(a, b), (a, d), (c, d), (c, b)] for a, b, c, d, _ in boxes]).astype(float)
    depth = np.repeat([box[4] for box in boxes], 4).astype(float)
    vertices = np.column_stack([x / 100, np.ones(len(x))]) * depth[:, None]
    faces = np.concatenate([[[0, 1, 2], [0, 2, 3]] + np.array(4 * k) for k in range(len(boxes))]).astype(np.int32)
    return Mesh(vertices, faces, uv_of_pixels(x, SIZE), PHOTO, np.arange(len(x)) * 1.0)


def test_the_main_part_covers_most_of_the_photo_however_small_it_is():
    mesh = squares((5, 5, 30, 30, 1000.0), (40, 10, 120, 100, 1.0))
    kept = crop_mesh(mesh, "main", SIZE)
    assert np.array_equal(kept.vertices, mesh.vertices[4:]) and np.array_equal(kept.sigma, [4, 5, 6, 7])
    assert np.array_equal(kept.faces, mesh.faces[:2]) and np.array_equal(kept.uv, mesh.uv[4:])


def test_a_rectangle_keeps_the_faces_in_it_with_their_photo():
    mesh = squares((5, 5, 30, 30, 2.0), (40, 10, 120, 100, 1.0), (130, 10, 150, 20, 3.0))
    overlay = TexturedPart(np.repeat([True, False, True], 2), mesh.uv, PHOTO)
    mesh = Mesh(mesh.vertices, mesh.faces, mesh.uv, PHOTO, None, (overlay,))
    kept = crop_mesh(mesh, (0, 0, 125, 119), SIZE)
    assert np.array_equal(kept.vertices, mesh.vertices[:8])
    assert np.array_equal(kept.overlays[0].faces, [True, True, False, False])
    assert crop_mesh(mesh, (35, 0, 125, 119), SIZE).overlays == ()


def test_a_lasso_keeps_the_faces_whose_centres_it_surrounds():
    """Of a grid of triangles, an outline with a bay and one that crosses itself, against OpenCV's test."""
    boxes = [(x, y, x + 8, y + 8, 1.0) for x in range(0, 160, 8) for y in range(0, 120, 8)]
    mesh = squares(*boxes)
    centres = np.concatenate([[(b[0] + 8 / 3, b[1] + 16 / 3), (b[0] + 16 / 3, b[1] + 8 / 3)] for b in boxes])
    for outline in (
        [(10.3, 10), (150, 15.7), (141, 110), (80, 41), (20, 100)],
        [(-50, 61), (303, 20), (300, 91), (70, -9)],
    ):
        ring = np.array(outline, np.float32)
        inside = [cv2.pointPolygonTest(ring, tuple(map(float, c)), False) > 0 for c in centres]
        kept = crop_mesh(mesh, parse_crop(",".join(str(v) for p in outline for v in p)), SIZE)
        assert 0 < len(kept.faces) == sum(inside) < len(mesh.faces)
        assert np.allclose(kept.vertices[kept.faces], mesh.vertices[mesh.faces[inside]])


def test_pixels_that_the_mesh_covers():
    mesh = squares((40, 10, 120, 100, 1.0))
    x = np.array([[80.0, 50], [41, 11], [119, 99], [38, 50], [80, 102], [np.nan, 3], [-5, 50], [1e9, 0]])
    assert shown_in_photo(mesh, x, SIZE).tolist() == [True] * 3 + [False] * 5
    large = shown_in_photo(mesh, x * 50, (8000, 6000))  # the mask is smaller than such a photo
    assert large.tolist() == [True] * 3 + [False] * 5


@pytest.mark.parametrize(
    "crop",
    ["", "whole", "1,2,3", "5,5,1,9", "1,2,3,4,5", (1, 2, 3, 4, 5, np.inf), (1, 2, 1, 3), (1, np.nan, 2, 3), None],
)
def test_what_is_no_part_is_refused(crop):
    with pytest.raises(StereoError, match="x0,y0,x1,y1") as caught:
        parse_crop(crop)
    assert caught.value.code == "bad_option"


def test_a_rectangle_beside_the_mesh_names_where_it_is():
    with pytest.raises(StereoError, match="The mesh lies in 40,10 to 120,100") as caught:
        crop_mesh(squares((40, 10, 120, 100, 1.0)), parse_crop("130,0,150,10"), SIZE)
    assert caught.value.code == "empty_mesh"
