"""Shapes of the pyramid of matching by planes."""

import pytest

from stereo3d.disparity.planes.pyramid import LEVEL_WORTH, MIN_SIDE, Budget, pyramid_shapes

BUDGET = Budget(300_000, 30_000_000, 1, 0)


SIZES = [(1067, 1600, 200), (555, 641, 112), (375, 1242, 160), (3000, 4000, 9)]


@pytest.mark.parametrize("height, width, count", SIZES)
def test_the_coarsest_level_fills_the_budget_and_no_ratio_is_above_two(height, width, count):
    shapes = pyramid_shapes(height, width, count, BUDGET)
    (h, w), *_ = shapes
    volume = h * w * (count * w / width + 2)
    assert max(h * w / BUDGET.max_pixels, volume / BUDGET.max_volume) == pytest.approx(1, abs=0.01)
    assert shapes[-1] == (height, width)
    ratios = [large[k] / small[k] for small, large in zip(shapes, shapes[1:], strict=False) for k in range(2)]
    assert max(ratios) < 2.03 and max(ratios) - min(ratios) < 0.02


def test_a_picture_little_above_the_budget_has_one_level():
    assert pyramid_shapes(500, 741, 64, BUDGET) == [(500, 741)]
    assert len(pyramid_shapes(500, 760, 64, BUDGET)) == 2 and 500 * 760 > LEVEL_WORTH * BUDGET.max_pixels


def test_no_level_is_lower_than_the_least_side():
    assert pyramid_shapes(20, 40_000, 64, BUDGET) == [(20, 40_000)]
    assert min(min(shape) for shape in pyramid_shapes(80, 40_000, 900, BUDGET)) >= MIN_SIDE
