"""Where rays meet solids: intersections, normals, first hits."""

import numpy as np

from .paints import in_units, inlined, kernel
from .tables import (
    AXES,
    BOUND,
    BOX,
    CENTRE,
    DISC,
    ELLIPSOID,
    END,
    FIRST,
    FRUSTUM,
    GRADIENT,
    GROUP_BOUND,
    GROUP_CENTRE,
    KIND,
    RECTANGLE,
    REFRACTION,
    SHAPE,
    SIZE,
    TRIANGLE,
)

SLACK = 1e-9  # of a solid's unit coordinates: rounding opens neither a pole nor the seam of two frusta
THIRD = 1.0 / 3.0 + SLACK  # of a triangle's unit coordinates, which count from its centre


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


@inlined
def _intersect_triangle(a, b, near, far):
    if b[2] != 0.0:
        t = -a[2] / b[2]
        if near < t < far:
            x, y = a[0] + t * b[0], a[1] + t * b[1]
            if x >= -THIRD and y >= -THIRD and x + y <= THIRD:
                return t
    return np.inf


@kernel
def intersect(solid, origin, direction, near, far):
    """The smallest t in (near, far) where origin + t direction meets the solid, or inf."""
    offset = origin[0] - solid[CENTRE], origin[1] - solid[CENTRE + 1], origin[2] - solid[CENTRE + 2]
    a, b = in_units(solid, _to_axes(solid, offset)), in_units(solid, _to_axes(solid, direction))
    kind = int(solid[KIND])
    if kind == RECTANGLE or kind == DISC:
        return _intersect_flat(solid, a, b, near, far)
    if kind == BOX:
        return _intersect_box(a, b, near, far)
    if kind == TRIANGLE:
        return _intersect_triangle(a, b, near, far)
    if kind == ELLIPSOID:
        return _intersect_ellipsoid(solid, a, b, near, far)
    return _intersect_frustum(solid, a, b, near, far)


@kernel
def misses_ball(offset, radius2, direction, length2, far):
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
def nearest_hit(solids, groups, origin, direction, near, far, any_hit):
    """(t, row of the solid) of the first hit in (near, far), or (inf, -1).

    any_hit: return the first hit of an opaque solid found, near or far, which answers whether a shadow ray is blocked.
    """
    ox, oy, oz = origin
    best, row = far, -1
    length2 = direction[0] * direction[0] + direction[1] * direction[1] + direction[2] * direction[2]
    for j in range(groups.shape[0]):
        group = groups[j]
        offset = group[GROUP_CENTRE] - ox, group[GROUP_CENTRE + 1] - oy, group[GROUP_CENTRE + 2] - oz
        if misses_ball(offset, group[GROUP_BOUND], direction, length2, best):
            continue
        for i in range(int(group[FIRST]), int(group[END])):
            solid = solids[i]
            offset = solid[CENTRE] - ox, solid[CENTRE + 1] - oy, solid[CENTRE + 2] - oz
            if misses_ball(offset, solid[BOUND], direction, length2, best):
                continue
            if any_hit and solid[REFRACTION] > 0.0:
                continue
            t = intersect(solid, origin, direction, near, best)
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


@inlined
def _triangle_normal(solid, u):
    """The normal interpolated between the corners', in the solid's own, oblique coordinates."""
    first, second, third = 1.0 / 3.0 - u[0] - u[1], 1.0 / 3.0 + u[0], 1.0 / 3.0 + u[1]
    x = first * solid[SHAPE] + second * solid[SHAPE + 2] + third * solid[SHAPE + 4]
    y = first * solid[SHAPE + 1] + second * solid[SHAPE + 3] + third * solid[SHAPE + 5]
    return x, y, 1.0


@kernel
def surface(solid, point):
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
    elif kind == TRIANGLE:
        n = _triangle_normal(solid, u)
        along, across = solid[GRADIENT] * u[0] + solid[GRADIENT + 1] * u[1], solid[GRADIENT + 2] * u[0]
        q = along, across + solid[GRADIENT + 3] * u[1], 0.0
    nx, ny, nz = in_units(solid, n)
    wx = solid[AXES] * nx + solid[AXES + 3] * ny + solid[AXES + 6] * nz
    wy = solid[AXES + 1] * nx + solid[AXES + 4] * ny + solid[AXES + 7] * nz
    wz = solid[AXES + 2] * nx + solid[AXES + 5] * ny + solid[AXES + 8] * nz
    length = np.sqrt(wx * wx + wy * wy + wz * wz)
    return (wx / length, wy / length, wz / length), q


@kernel
def facing(normal, direction):
    """The normal towards the origin of the ray that hits it."""
    side = -1.0 if normal[0] * direction[0] + normal[1] * direction[1] + normal[2] * direction[2] > 0.0 else 1.0
    return side * normal[0], side * normal[1], side * normal[2]


@kernel
def trace(solids, groups, origin, rays, near, t, row, normals):
    """Write the first hits, t > near, of rays from one origin.

    Parameters
    ----------
    solids, groups : (N,36), (G,6) float64
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
        t[i], row[i] = nearest_hit(solids, groups, o, d, near, np.inf, False)
        if row[i] >= 0:
            point = o[0] + t[i] * d[0], o[1] + t[i] * d[1], o[2] + t[i] * d[2]
            normal, _ = surface(solids[row[i]], point)
            normals[i, 0], normals[i, 1], normals[i, 2] = facing(normal, d)
