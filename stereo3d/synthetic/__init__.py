"""Ray-cast scenes: exact photos, depth, disparity, matches and cameras.

A scene is a list of solids (rectangles, boxes, ellipsoids, frusta, discs) painted with solid textures: colour is a
function of the surface point, and so is the light (Lambert, one disc lamp with its shadow, a sky), so two photos of a
scene see the same picture on every surface. The named scenes are closed: every pixel sees a surface. `houses.houses`
stand under a sky, where depth is NaN. Lengths are metres.

    pair = render("sphere", size=(320, 240))            # a rectified pair with its truth
    pair = render("slanted", pose="handheld", noise=2)  # any scene under any pose
    write_pair("folder", pair)

`SCENES` names the scenes and `POSES` the relative poses; a scene carries its default pose.
"""

from .renderer import render

__all__ = ["render"]
