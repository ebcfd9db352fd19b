"""Ray casting kernels of the renderer."""

import numpy as np

from .paints import albedo, in_units, inlined, kernel
from .tables import (
    AXES,
    BACKGROUND,
    BOUND,
    BOX,
    CENTRE,
    DISC,
    ELLIPSOID,
    END,
    FIRST,
    FRUSTUM,
    GLOSS,
    GROUP_BOUND,
    GROUP_CENTRE,
    KIND,
    LAMP,
    LAMP_DISTANCE,
    LAMP_RADIUS,
    LAMP_STRENGTH,
    PAINT,
    RECTANGLE,
    SHAPE,
    SHINE,
    SIZE,
    SKY_REACH,
    SKY_STRENGTH,
    TEXTURE,
)

SLACK = 1e-9  # of a solid's unit coordinates: rounding opens neither a pole nor the seam of two frusta
NEAREST = 1e-6  # along a ray, in lengths of its direction: hits nearer than this are the ray's own origin
OFFSET = 1e-5  # m off the surface, along the normal: where rays to the lamp and the sky start
MIN_COSINE = 0.05  # bounds the footprint of a pixel that sees a surface edge-on


@kernel
def _to_axes(solid, v):
    """Components of the vector v along the solid's axes."""
    return (
        solid[AXES] * v[0] + solid[AXES + 1] * v[1] + solid[AXES + 2] * v[2],
        solid[AXES + 3] * v[0] + solid[AXES + 4] * v[1] + solid[AXES + 5] * v[2],
        solid[AXES + 6] * v[0] + solid[AXES + 7] * v[1] + solid[AXES + 8] * v[2],
    )


@inlined
def _intersect_flat(solid, a, b, near, far):
    """Rectangle or disc: t where a_z + t b_z = 0 inside the outline."""
    if b[2] != 0.0:
        t = -a[2] / b[2]
        if near < t < far:
            x, y = a[0] + t * b[0], a[1] + t * b[1]
            if int(solid[KIND]) == RECTANGLE:
                if abs(x) <= 1.0 and abs(y) <= 1.0:
                    return t
            elif solid[SHAPE] * solid[SHAPE] <= x * x + y * y <= 1.0:
                return t
    return np.inf


@kernel
def _clip_slab(a, b, low, high):
    """The part of the interval (low, high) of t where |a + t b| <= 1; low > high where there is none."""
    if b == 0.0:
        return (np.inf, -np.inf) if abs(a) > 1.0 else (low, high)
    t0, t1 = (-1.0 - a) / b, (1.0 - a) / b
    if t0 > t1:
        t0, t1 = t1, t0
    return max(low, t0), min(high, t1)


@inlined
def _intersect_box(a, b, near, far):
    low, high = _clip_slab(a[0], b[0], -np.inf, np.inf)
    low, high = _clip_slab(a[1], b[1], low, high)
    low, high = _clip_slab(a[2], b[2], low, high)
    if low <= high:
        if near < low < far:
            return low
        if near < high < far:
            return high
    return np.inf


@kernel
def _first_root(quadratic, a, b, z_range, radius, near, far):
    """The smallest t in (near, far) with A t^2 + 2 B t + C = 0, quadratic = (A, B, C), on the solid's real part.

    There z = a_z + t b_z lies in z_range and the radius m + k z, radius = (m, k), is not negative.
    """
    A, B, C = quadratic
    best = np.inf
    discriminant = B * B - A * C
    if discriminant >= 0.0:
        root = np.sqrt(discriminant)
        q = -(B + root) if B > 0.0 else -B + root  # no cancellation: t = q / A and C / q
        for i in range(2):
            if i == 0:
                t = q / A if A != 0.0 else np.inf
            else:
                t = C / q if q != 0.0 else np.inf
            if near < t < far and t < best:
                z = a[2] + t * b[2]
                if z_range[0] - SLACK <= z <= z_range[1] + SLACK and radius[0] + radius[1] * z >= 0.0:
                    best = t
    return best


@inlined
def _intersect_ellipsoid(solid, a, b, near, far):
    A = b[0] * b[0] + b[1] * b[1] + b[2] * b[2]
    B = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    C = a[0] * a[0] + a[1] * a[1] + a[2] * a[2] - 1.0
    return _first_root((A, B, C), a, b, (solid[SHAPE], solid[SHAPE + 1]), (1.0, 0.0), near, far)


@inlined
def _intersect_frustum(solid, a, b, near, far):
    m, k = 0.5 * (solid[SHAPE] + solid[SHAPE + 1]), 0.5 * (solid[SHAPE + 1] - solid[SHAPE])  # radius m + k z
    r = m + k * a[2]
    A = b[0] * b[0] + b[1] * b[1] - k * k * b[2] * b[2]
    B = a[0] * b[0] + a[1] * b[1] - k * b[2] * r
    C = a[0] * a[0] + a[1] * a[1] - r * r
    best = _first_root((A, B, C), a, b, (-1.0, 1.0), (m, k), near, far)
    if b[2] != 0.0:
        lids = int(solid[SHAPE + 2])
        for i in range(2):
            if lids & (i + 1):
                t = ((-1.0 if i == 0 else 1.0) - a[2]) / b[2]
                if near < t < far and t < best:
                    x, y = a[0] + t * b[0], a[1] + t * b[1]
                    if x * x + y * y <= solid[SHAPE + i] * solid[SHAPE + i]:
                        best = t
    return best


@kernel
def _intersect(solid, origin, direction, near, far):
    """The smallest t in (near, far) where origin + t direction meets the solid, or inf."""
    offset = origin[0] - solid[CENTRE], origin[1] - solid[CENTRE + 1], origin[2] - solid[CENTRE + 2]
    a, b = in_units(solid, _to_axes(solid, offset)), in_units(solid, _to_axes(solid, direction))
    kind = int(solid[KIND])
    if kind == RECTANGLE or kind == DISC:
        return _intersect_flat(solid, a, b, near, far)
    if kind == BOX:
        return _intersect_box(a, b, near, far)
    if kind == ELLIPSOID:
        return _intersect_ellipsoid(solid, a, b, near, far)
    return _intersect_frustum(solid, a, b, near, far)


@kernel
def _misses_ball(offset, radius2, direction, length2, far):
    """Whether the ray t direction, 0 < t < far, stays outside the ball at `offset` of squared radius radius2.

    length2 = direction . direction
    """
    distance2 = offset[0] * offset[0] + offset[1] * offset[1] + offset[2] * offset[2]
    if distance2 <= radius2:
        return False
    along = offset[0] * direction[0] + offset[1] * direction[1] + offset[2] * direction[2]
    if along < 0.0:
        return True
    inside = radius2 * length2 - (distance2 * length2 - along * along)
    if inside < 0.0:
        return True
    ahead = along - far * length2  # the ray enters the ball beyond far: along - sqrt(inside) > far length2
    return ahead > 0.0 and ahead * ahead > inside


@kernel
def _nearest_hit(solids, groups, origin, direction, near, far, any_hit):
    """(t, row of the solid) of the first hit in (near, far), or (inf, -1).

    any_hit: return the first hit found, near or far, which answers whether a shadow ray is blocked.
    """
    ox, oy, oz = origin
    best, row = far, -1
    length2 = direction[0] * direction[0] + direction[1] * direction[1] + direction[2] * direction[2]
    for j in range(groups.shape[0]):
        group = groups[j]
        offset = group[GROUP_CENTRE] - ox, group[GROUP_CENTRE + 1] - oy, group[GROUP_CENTRE + 2] - oz
        if _misses_ball(offset, group[GROUP_BOUND], direction, length2, best):
            continue
        for i in range(int(group[FIRST]), int(group[END])):
            solid = solids[i]
            offset = solid[CENTRE] - ox, solid[CENTRE + 1] - oy, solid[CENTRE + 2] - oz
            if _misses_ball(offset, solid[BOUND], direction, length2, best):
                continue
            t = _intersect(solid, origin, direction, near, best)
            if t < best:
                best, row = t, i
                if any_hit:
                    return best, row
    return (best, row) if row >= 0 else (np.inf, -1)


@inlined
def _box_normal(u):
    ex, ey, ez = abs(u[0]), abs(u[1]), abs(u[2])
    if ex >= ey and ex >= ez:
        return np.sign(u[0]), 0.0, 0.0
    if ey >= ez:
        return 0.0, np.sign(u[1]), 0.0
    return 0.0, 0.0, np.sign(u[2])


@inlined
def _frustum_normal(solid, u):
    """The mantle's normal, its elevation interpolated between the two rims, or a lid's."""
    lids = int(solid[SHAPE + 2])
    if (lids & 2) and u[2] > 1.0 - SLACK:
        return 0.0, 0.0, 1.0
    if (lids & 1) and u[2] < -1.0 + SLACK:
        return 0.0, 0.0, -1.0
    r = np.sqrt(u[0] * u[0] + u[1] * u[1])
    up = solid[SHAPE + 3] + (solid[SHAPE + 4] - solid[SHAPE + 3]) * 0.5 * (u[2] + 1.0)
    return np.cos(up) * u[0] / r * solid[SIZE], np.cos(up) * u[1] / r * solid[SIZE + 1], np.sin(up) * solid[SIZE + 2]


@kernel
def _surface(solid, point):
    """Unit normal, towards either side, and local coordinates q (metres) of a point on the solid."""
    offset = point[0] - solid[CENTRE], point[1] - solid[CENTRE + 1], point[2] - solid[CENTRE + 2]
    q = _to_axes(solid, offset)
    u = in_units(solid, q)
    kind = int(solid[KIND])
    n = (0.0, 0.0, 1.0)
    if kind == ELLIPSOID:
        n = u
    elif kind == BOX:
        n = _box_normal(u)
    elif kind == FRUSTUM:
        n = _frustum_normal(solid, u)
    nx, ny, nz = in_units(solid, n)
    wx = solid[AXES] * nx + solid[AXES + 3] * ny + solid[AXES + 6] * nz
    wy = solid[AXES + 1] * nx + solid[AXES + 4] * ny + solid[AXES + 7] * nz
    wz = solid[AXES + 2] * nx + solid[AXES + 5] * ny + solid[AXES + 8] * nz
    length = np.sqrt(wx * wx + wy * wy + wz * wz)
    return (wx / length, wy / length, wz / length), q


@kernel
def _facing(normal, direction):
    """The normal towards the origin of the ray that hits it."""
    side = -1.0 if normal[0] * direction[0] + normal[1] * direction[1] + normal[2] * direction[2] > 0.0 else 1.0
    return side * normal[0], side * normal[1], side * normal[2]


@kernel
def trace(solids, groups, origin, rays, near, t, row, normals):
    """Write the first hits, t > near, of rays from one origin.

    Parameters
    ----------
    solids, groups : (N,32), (G,6) float64
        Tables of the scene.
    origin : (3,) float64
        m.
    rays : (M,3) float64
        Directions of any length; t counts in their lengths.
    near : float
        Hits at t <= near do not count.
    t, row : (M,) float64, (M,) int64
        Output: inf and -1 where a ray hits no surface.
    normals : (M,3) float64
        Output: unit normals towards the origin; unchanged where a ray hits no surface.
    """
    o = origin[0], origin[1], origin[2]
    for i in range(rays.shape[0]):
        d = rays[i, 0], rays[i, 1], rays[i, 2]
        t[i], row[i] = _nearest_hit(solids, groups, o, d, near, np.inf, False)
        if row[i] >= 0:
            point = o[0] + t[i] * d[0], o[1] + t[i] * d[1], o[2] + t[i] * d[2]
            normal, _ = _surface(solids[row[i]], point)
            normals[i, 0], normals[i, 1], normals[i, 2] = _facing(normal, d)


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
            _, blocker = _nearest_hit(solids, groups, point, to_lamp, NEAREST, 1.0, True)
            if blocker < 0:
                direct += cosine * light[LAMP_DISTANCE] * light[LAMP_DISTANCE] / distance2
                if paint[SHINE] > 0.0:
                    shine += _highlight(paint, normal, direction, to_lamp, np.sqrt(distance2))
        reach = light[SKY_REACH]
        if reach > 0.0:
            outward = _sky_direction(normal, angle, radius)
            t, _ = _nearest_hit(solids, groups, point, outward, NEAREST, reach, False)
            sky += 1.0 if t == np.inf else 0.25 + 0.75 * (t / reach) ** 0.7
        else:
            sky += 1.0
    return direct, sky, shine


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
def shade(solids, groups, paints, light, viewers, origin, rays, samples, out):  # noqa: PLR0913 - innermost kernel
    """Write the mean radiance of each pixel's S sub-rays.

    Radiance = albedo (lamp share cos(a) (D/d)^2 + sky share) + highlight: but for the highlight it depends on the
    surface point alone, so both photos see the same picture on every surface.

    Parameters
    ----------
    solids, groups, paints, light : (N,32), (G,6), (P,32), (16,) float64
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
            t, row = _nearest_hit(solids, groups, o, d, NEAREST, np.inf, False)
            if row < 0:
                if light[BACKGROUND] >= 0.0:
                    _background(paints[int(light[BACKGROUND])], solids[0], viewers, d, rgb)
                    red, green, blue = red + rgb[0], green + rgb[1], blue + rgb[2]
                continue
            solid = solids[row]
            x, y, z = o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2]
            normal, q = _surface(solid, (x, y, z))
            normal = _facing(normal, d)
            foot = _footprint(viewers, (x, y, z), normal)
            paint = paints[int(solid[PAINT])]
            texture = q[0] + solid[TEXTURE], q[1] + solid[TEXTURE + 1], q[2] + solid[TEXTURE + 2]
            albedo(paint, solid, texture, foot, rgb)
            point = x + OFFSET * normal[0], y + OFFSET * normal[1], z + OFFSET * normal[2]
            indices = k * samples + 1, (k + 1) * samples + 1
            direct, sky, shine = _lighting(solids, groups, light, paint, point, normal, d, indices)
            direct, sky = direct / samples * light[LAMP_STRENGTH], sky / samples * light[SKY_STRENGTH]
            shine = shine / samples * light[LAMP_STRENGTH]
            # the lamp is warmer than the sky
            red += rgb[0] * (1.04 * direct + 0.97 * sky) + shine
            green += rgb[1] * (direct + sky) + shine
            blue += rgb[2] * (0.92 * direct + 1.05 * sky) + shine
        out[i, 0], out[i, 1], out[i, 2] = red / count, green / count, blue / count
