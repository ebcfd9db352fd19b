"""Shading kernels of the renderer."""

import numpy as np

from .intersections import facing, nearest_hit, surface
from .paints import albedo, inlined, kernel
from .tables import (
    BACKGROUND,
    GLOSS,
    KIND,
    LAMP,
    LAMP_DISTANCE,
    LAMP_RADIUS,
    LAMP_STRENGTH,
    LEAF,
    PAINT,
    REFRACTION,
    SHINE,
    SKY_REACH,
    SKY_STRENGTH,
    TEXTURE,
)

NEAREST = 1e-6  # along a ray, in lengths of its direction: hits nearer than this are the ray's own origin
OFFSET = 1e-5  # m off the surface, along the normal: where rays to the lamp and the sky start
MIN_COSINE = 0.05  # bounds the footprint of a pixel that sees a surface edge-on
MAX_CROSSINGS = 12  # of clear surfaces by one ray
MIN_REFLECTION = 0.04  # share of light that glass reflects straight back
LEAF_PASSES = 0.45  # share of the light on its other side that a leaf passes on


@kernel
def _van_der_corput(i, base):
    """The digits of i mirrored at the point, a number in [0, 1)."""
    v, f = 0.0, 1.0 / base
    while i > 0:
        v += f * (i % base)
        i //= base
        f /= base
    return v


@inlined
def _footprint(viewers, point, normal):
    """Size, m, of the largest pixel among the cameras' that see the point, with its foreshortening."""
    foot = 0.0
    for v in range(viewers.shape[0]):
        ex, ey, ez = point[0] - viewers[v, 0], point[1] - viewers[v, 1], point[2] - viewers[v, 2]
        d = np.sqrt(ex * ex + ey * ey + ez * ez)
        cosine = abs(ex * normal[0] + ey * normal[1] + ez * normal[2]) / d
        foot = max(foot, d / viewers[v, 3] / np.sqrt(max(cosine, MIN_COSINE)))
    return foot


@inlined
def _to_lamp(light, point, angle, radius):
    """Vector from the point to polar coordinates (radius 0 to 1) on the lamp's disc, which faces the point."""
    lx, ly, lz = light[LAMP] - point[0], light[LAMP + 1] - point[1], light[LAMP + 2] - point[2]
    d = np.sqrt(lx * lx + ly * ly + lz * lz)
    ax, ay, az = lz / d, 0.0, -lx / d  # any two axes across do
    size = np.sqrt(ax * ax + az * az) + 1e-12
    ax, az = ax / size, az / size
    bx, by, bz = (ly * az - lz * ay) / d, (lz * ax - lx * az) / d, (lx * ay - ly * ax) / d
    u, v = light[LAMP_RADIUS] * radius * np.cos(angle), light[LAMP_RADIUS] * radius * np.sin(angle)
    return lx + u * ax + v * bx, ly + u * ay + v * by, lz + u * az + v * bz


@inlined
def _highlight(paint, normal, direction, to_lamp, distance):
    """Blinn's specular term: shine (n . h)^gloss, h half way between the lamp and the viewer."""
    view = np.sqrt(direction[0] * direction[0] + direction[1] * direction[1] + direction[2] * direction[2])
    hx = to_lamp[0] / distance - direction[0] / view
    hy = to_lamp[1] / distance - direction[1] / view
    hz = to_lamp[2] / distance - direction[2] / view
    h = (normal[0] * hx + normal[1] * hy + normal[2] * hz) / np.sqrt(hx * hx + hy * hy + hz * hz)
    return paint[SHINE] * max(h, 0.0) ** paint[GLOSS]


@inlined
def _sky_direction(normal, angle, radius):
    """A direction about the normal, cosine-weighted: a point of the unit disc lifted to the hemisphere."""
    nx, ny, nz = normal
    px, py = radius * np.cos(angle), radius * np.sin(angle)
    if abs(nz) < 0.9:
        ax, ay, az = ny, -nx, 0.0
    else:
        ax, ay, az = 0.0, nz, -ny
    size = np.sqrt(ax * ax + ay * ay + az * az)
    ax, ay, az = ax / size, ay / size, az / size
    bx, by, bz = ny * az - nz * ay, nz * ax - nx * az, nx * ay - ny * ax
    pz = np.sqrt(max(0.0, 1.0 - px * px - py * py))
    return px * ax + py * bx + pz * nx, px * ay + py * by + pz * ny, px * az + py * bz + pz * nz


@inlined
def _lighting(solids, groups, light, paint, point, normal, direction, samples):
    """Sums over the samples of lamp light, sky light and highlight at a point just off the surface.

    samples: (first index, one after the last) of the low-discrepancy sequence.
    """
    direct = sky = shine = 0.0
    for index in range(samples[0], samples[1]):
        angle, radius = 2.0 * np.pi * _van_der_corput(index, 2), np.sqrt(_van_der_corput(index, 3))
        to_lamp = _to_lamp(light, point, angle, radius)
        distance2 = to_lamp[0] * to_lamp[0] + to_lamp[1] * to_lamp[1] + to_lamp[2] * to_lamp[2]
        cosine = (normal[0] * to_lamp[0] + normal[1] * to_lamp[1] + normal[2] * to_lamp[2]) / np.sqrt(distance2)
        if cosine > 0.0:
            _, blocker = nearest_hit(solids, groups, point, to_lamp, NEAREST, 1.0, True)
            if blocker < 0:
                direct += cosine * light[LAMP_DISTANCE] * light[LAMP_DISTANCE] / distance2
                if paint[SHINE] > 0.0:
                    shine += _highlight(paint, normal, direction, to_lamp, np.sqrt(distance2))
        reach = light[SKY_REACH]
        if reach > 0.0:
            outward = _sky_direction(normal, angle, radius)
            t, _ = nearest_hit(solids, groups, point, outward, NEAREST, reach, False)
            sky += 1.0 if t == np.inf else 0.25 + 0.75 * (t / reach) ** 0.7
        else:
            sky += 1.0
    return direct, sky, shine


@kernel
def _light_at(solids, groups, light, paint, point, normal, direction, samples):
    """Radiances of a white surface under the lamp and under the sky, and of the highlight, at a surface point.

    A leaf also passes on some of what falls on its other side.
    """
    x, y, z = point
    direct = sky = shine = 0.0
    for k in range(2 if int(paint[KIND]) == LEAF else 1):
        side, share = (1.0, 1.0) if k == 0 else (-1.0, LEAF_PASSES)
        n = side * normal[0], side * normal[1], side * normal[2]
        off = x + OFFSET * n[0], y + OFFSET * n[1], z + OFFSET * n[2]
        lamp, open_sky, highlight = _lighting(solids, groups, light, paint, off, n, direction, samples)
        direct, sky = direct + share * lamp, sky + share * open_sky
        if k == 0:
            shine = highlight
    count = samples[1] - samples[0]
    direct, sky = direct / count * light[LAMP_STRENGTH], sky / count * light[SKY_STRENGTH]
    return direct, sky, shine / count * light[LAMP_STRENGTH]


@kernel
def _cross(index, direction, outward):
    """The direction (unit) behind a clear surface, by Snell's law, and the share of light that it reflects, by Schlick.

    index 1: thin walls, which bend nothing and reflect twice. Total reflection turns the ray and returns a share of 0.
    """
    dx, dy, dz = direction
    length = np.sqrt(dx * dx + dy * dy + dz * dz)
    dx, dy, dz = dx / length, dy / length, dz / length
    nx, ny, nz = outward
    cosine = -(dx * nx + dy * ny + dz * nz)
    ratio = 1.0 / index
    if cosine < 0.0:
        nx, ny, nz, cosine, ratio = -nx, -ny, -nz, -cosine, index
    inner2 = 1.0 - ratio * ratio * (1.0 - cosine * cosine)
    if inner2 < 0.0:
        return (dx + 2.0 * cosine * nx, dy + 2.0 * cosine * ny, dz + 2.0 * cosine * nz), 0.0
    inner = np.sqrt(inner2)
    reflected = MIN_REFLECTION + (1.0 - MIN_REFLECTION) * (1.0 - min(cosine, inner)) ** 5
    if index == 1.0:
        return (dx, dy, dz), 2.0 * reflected / (1.0 + reflected)
    bend = ratio * cosine - inner
    return (ratio * dx + bend * nx, ratio * dy + bend * ny, ratio * dz + bend * nz), reflected


@inlined
def _gleam(light, paint, point, normal, direction, reflected):
    """Radiance that a clear surface reflects: its share of an even surrounding, and the lamp's highlight."""
    lx, ly, lz = light[LAMP] - point[0], light[LAMP + 1] - point[1], light[LAMP + 2] - point[2]
    distance = np.sqrt(lx * lx + ly * ly + lz * lz)
    lamp = light[LAMP_STRENGTH] * _highlight(paint, normal, direction, (lx, ly, lz), distance)
    return reflected * light[SKY_STRENGTH] + lamp


@inlined
def _background(paint, solid, viewers, direction, rgb):
    """Write the colour of the background in a direction; `solid` is read by no paint of a background."""
    x, y, z = direction
    length = np.sqrt(x * x + y * y + z * z)
    foot = 0.0
    for v in range(viewers.shape[0]):
        foot = max(foot, 1.0 / viewers[v, 3])
    albedo(paint, solid, (x / length, y / length, z / length), foot, rgb)


@kernel
def _radiance(solids, groups, paints, light, viewers, origin, direction, samples, rgb):  # noqa: PLR0913 - as `shade`
    """Linear RGB along a ray: what the clear solids on its way reflect, and what it meets behind them.

    samples: as in `_lighting`; rgb: (3,), of use here alone.
    """
    o, d = origin, direction
    red = green = blue = 0.0
    through = 1.0, 1.0, 1.0  # share of the light that the clear solids so far let pass
    for _ in range(MAX_CROSSINGS):
        t, row = nearest_hit(solids, groups, o, d, NEAREST, np.inf, False)
        if row < 0:
            if light[BACKGROUND] >= 0.0:
                _background(paints[int(light[BACKGROUND])], solids[0], viewers, d, rgb)
                red, green, blue = red + through[0] * rgb[0], green + through[1] * rgb[1], blue + through[2] * rgb[2]
            break
        solid = solids[row]
        paint = paints[int(solid[PAINT])]
        x, y, z = o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2]
        outward, q = surface(solid, (x, y, z))
        normal = facing(outward, d)
        foot = _footprint(viewers, (x, y, z), normal)
        texture = q[0] + solid[TEXTURE], q[1] + solid[TEXTURE + 1], q[2] + solid[TEXTURE + 2]
        albedo(paint, solid, texture, foot, rgb)
        if solid[REFRACTION] == 0.0:
            direct, sky, shine = _light_at(solids, groups, light, paint, (x, y, z), normal, d, samples)
            # the lamp is warmer than the sky
            red += through[0] * (rgb[0] * (1.04 * direct + 0.97 * sky) + shine)
            green += through[1] * (rgb[1] * (direct + sky) + shine)
            blue += through[2] * (rgb[2] * (0.92 * direct + 1.05 * sky) + shine)
            break
        o = x, y, z
        d, reflected = _cross(solid[REFRACTION], d, outward)
        gleam = _gleam(light, paint, o, normal, d, reflected)
        red, green, blue = red + through[0] * gleam, green + through[1] * gleam, blue + through[2] * gleam
        passed = 1.0 - reflected
        through = through[0] * passed * rgb[0], through[1] * passed * rgb[1], through[2] * passed * rgb[2]
    return red, green, blue


@kernel
def shade(solids, groups, paints, light, viewers, origin, rays, samples, out):  # noqa: PLR0913 - innermost kernel
    """Write the mean radiance of each pixel's S sub-rays.

    Radiance = albedo (lamp share cos(a) (D/d)^2 + sky share) + highlight: but for the highlight it depends on the
    surface point alone, so both photos see the same picture on every surface.

    Parameters
    ----------
    solids, groups, paints, light : (N,36), (G,6), (P,32), (16,) float64
        Tables of the scene.
    viewers : (V,4) float64
        Centres (m) and focal lengths (px) of the cameras: the largest pixel footprint among them bounds the finest
        texture.
    origin : (3,) float64
        m.
    rays : (M,S,3) float64
        Directions of the sub-rays of each pixel.
    samples : int
        Rays to the lamp, and to the sky, for each sub-ray. Sub-ray k takes its own points of lamp and sky, so a pixel
        has S x samples of each.
    out : (M,3) float64
        Output: linear RGB.
    """
    o = origin[0], origin[1], origin[2]
    count = rays.shape[1]
    rgb = np.zeros(3)
    for i in range(rays.shape[0]):
        red = green = blue = 0.0
        for k in range(count):
            d = rays[i, k, 0], rays[i, k, 1], rays[i, k, 2]
            indices = k * samples + 1, (k + 1) * samples + 1
            seen = _radiance(solids, groups, paints, light, viewers, o, d, indices, rgb)
            red, green, blue = red + seen[0], green + seen[1], blue + seen[2]
        out[i, 0], out[i, 1], out[i, 2] = red / count, green / count, blue / count
