"""The edge of the sky: each pixel is compared with the mean colours of the sky and of the surface around it."""

import numpy as np

from stereo3d.disparity.planes.sky import SKY, SKY_COLOUR, SURFACE_COLOUR, _around, _mark_closer


def mean_around(colours, where, y, x, side):
    """Mean colour of the pixels `where` in the window about (y, x), None without any."""
    part = np.s_[max(0, y - side // 2) : y + side // 2 + 1, max(0, x - side // 2) : x + side // 2 + 1]
    inside = colours[part][where[part]]
    return inside.mean(0) if len(inside) else None


def test_pixels_of_the_edge_go_to_what_they_look_like():
    rng = np.random.default_rng(3)
    colours = rng.uniform(0, 255, (24, 31, 3)).astype(np.float32)
    kind = rng.integers(0, 4, (24, 31))
    sky, surface, edge = kind == 0, kind == 1, kind == 2
    surface[:, 20:] = False  # no surface within reach: not sky
    more = np.empty_like(sky)
    _mark_closer(colours, sky, surface, edge, SKY.closeness, more)
    assert not more[~edge].any() and not more[:, 24:].any() and 10 < more.sum() < edge[:, :24].sum()
    for y, x in zip(*np.nonzero(edge), strict=True):
        of_sky = mean_around(colours, sky, y, x, SKY_COLOUR)
        of_surface = mean_around(colours, surface, y, x, SURFACE_COLOUR)
        if of_surface is None:
            assert not more[y, x]
            continue
        distances = [np.linalg.norm(colours[y, x] - mean) for mean in (of_sky, of_surface)]
        assert more[y, x] == (distances[0] < SKY.closeness * distances[1])


def test_the_part_around_some_pixels_holds_them_with_a_margin():
    where = np.zeros((20, 30), bool)
    where[4, 25], where[9, 12] = True, True
    assert _around(where, 3) == (np.s_[1:13], np.s_[9:29])
    assert where[_around(where, 50)].shape == where.shape
