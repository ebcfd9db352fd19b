"""The numba kernels of `synthetic`: rays against solids, solid textures, light. Imported only where a scene is made.

`scene_tables` names the columns of the tables. Points and directions are tuples of three numbers.
"""

import numpy as np
from numba import njit

from .scene_tables import (
    ARGUMENTS,
    AXES,
    BANDS,
    BOUND,
    BOX,
    CENTRE,
    CHECKS,
    COLOURS,
    COVER,
    DISC,
    DOTS,
    ELLIPSOID,
    END,
    FIRST,
    FRUIT,
    FRUSTUM,
    GLOBE,
    GLOSS,
    GROUP_BOUND,
    GROUP_CENTRE,
    KIND,
    LAMP,
    LAMP_DISTANCE,
    LAMP_RADIUS,
    LAMP_STRENGTH,
    MOTTLED,
    PAINT,
    RECTANGLE,
    SEED,
    SHAPE,
    SHINE,
    SIZE,
    SKY_REACH,
    SKY_STRENGTH,
    TEXTURE,
    WALL,
    WEAVE,
    WOOD,
)

SLACK = 1e-9  # of a solid's unit coordinates: rounding opens neither a pole nor the seam of two frusta
NEAREST = 1e-6  # along a ray, in lengths of its direction: hits nearer than this are the ray's own origin
OFFSET = 1e-5  # m off the surface, along the normal: where rays to the lamp and the sky start
MIN_COSINE = 0.05  # bounds the footprint of a pixel that sees a surface edge-on
MIN_BRIGHTNESS = 0.05  # of a paint

kernel = njit(cache=True, nogil=True, error_model="numpy")
inlined = njit(cache=True, nogil=True, error_model="numpy", inline="always")  # a step of one caller


# ----------------------------------------------------------------------------------------------------- rays and solids


@kernel
def _to_axes(solid, v):
    """Components of the vector v along the solid's axes."""
    return (
        solid[AXES] * v[0] + solid[AXES + 1] * v[1] + solid[AXES + 2] * v[2],
        solid[AXES + 3] * v[0] + solid[AXES + 4] * v[1] + solid[AXES + 5] * v[2],
        solid[AXES + 6] * v[0] + solid[AXES + 7] * v[1] + solid[AXES + 8] * v[2],
    )


@kernel
def in_units(solid, q):
    """Unit coordinates of a vector along the solid's axes."""
    return q[0] / solid[SIZE], q[1] / solid[SIZE + 1], q[2] / solid[SIZE + 2]


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
    """The normal, turned against the direction of the ray that sees it."""
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
        Output: inf and -1 where a ray meets nothing.
    normals : (M,3) float64
        Output: unit normals towards the origin; untouched where a ray meets nothing.
    """
    o = origin[0], origin[1], origin[2]
    for i in range(rays.shape[0]):
        d = rays[i, 0], rays[i, 1], rays[i, 2]
        t[i], row[i] = _nearest_hit(solids, groups, o, d, near, np.inf, False)
        if row[i] >= 0:
            point = o[0] + t[i] * d[0], o[1] + t[i] * d[1], o[2] + t[i] * d[2]
            normal, _ = _surface(solids[row[i]], point)
            normals[i, 0], normals[i, 1], normals[i, 2] = _facing(normal, d)


# ---------------------------------------------------------------------------------------------------------- textures


@kernel
def _hash(x, y, z, seed):
    """32 bits that belong to a lattice cell."""
    h = (x * 374761393 + y * 668265263 + z * 1442695041 + seed * 974711) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1103515245) & 0xFFFFFFFF
    return h ^ (h >> 16)


@kernel
def _uniform(x, y, z, seed):
    """A number in [0, 1) that belongs to a lattice cell."""
    return _hash(x, y, z, seed) / 4294967296.0


@kernel
def _noise(x, y, z, seed):
    """Gradient noise on the unit lattice, about within [-1, 1]; quintic fade, so twice differentiable (Perlin 2002)."""
    fx, fy, fz = np.floor(x), np.floor(y), np.floor(z)
    ix, iy, iz = int(fx), int(fy), int(fz)
    x, y, z = x - fx, y - fy, z - fz
    u = x * x * x * (x * (x * 6.0 - 15.0) + 10.0)
    v = y * y * y * (y * (y * 6.0 - 15.0) + 10.0)
    w = z * z * z * (z * (z * 6.0 - 15.0) + 10.0)
    total = 0.0
    for k in range(8):
        cx, cy, cz = k & 1, (k >> 1) & 1, k >> 2
        h = _hash(ix + cx, iy + cy, iz + cz, seed)
        gx, gy, gz = (h & 1023) - 511.5, ((h >> 10) & 1023) - 511.5, ((h >> 20) & 1023) - 511.5
        weight = (u if cx else 1.0 - u) * (v if cy else 1.0 - v) * (w if cz else 1.0 - w)
        total += weight * (gx * (x - cx) + gy * (y - cy) + gz * (z - cz))
    return total * (1.6 / 511.5)


@kernel
def _smoothstep(low, high, x):
    """0 below low, 1 above high, cubic between."""
    s = min(1.0, max(0.0, (x - low) / (high - low)))
    return s * s * (3.0 - 2.0 * s)


@kernel
def _fractal(q, cell, persistence, foot, seed):
    """Octaves of noise from cells of size `cell` down to what a pixel of size `foot` shows (4 to 2 px: fading)."""
    x, y, z = q
    total, amplitude = 0.0, 1.0
    for octave in range(12):
        if cell < 2.0 * foot:
            break
        total += amplitude * _smoothstep(2.0, 4.0, cell / foot) * _noise(x / cell, y / cell, z / cell, seed + octave)
        # turn the lattice from octave to octave, so that its planes never coincide
        x, y, z = 0.8 * x + 0.48 * y + 0.36 * z, -0.6 * x + 0.64 * y + 0.48 * z, -0.6 * y + 0.8 * z
        cell *= 0.5
        amplitude *= persistence
    return total


@kernel
def _line(x, half, foot):
    """1 within `half` of zero, 0 beyond, an edge of about a pixel."""
    return 1.0 - _smoothstep(half - 0.7 * foot, half + 0.7 * foot, abs(x))


@kernel
def _fold(x, period):
    """x less its nearest multiple of `period`."""
    return x - period * np.floor(x / period + 0.5)


# ------------------------------------------------------------------------------------------------------------- paints
#
# A paint kernel takes the arguments and the seed of a row of `paints`, texture coordinates q (m) and the size of a
# pixel there, foot (m). It returns the shares of colours 1, 2, 3, laid over colour 0 in this order, and a brightness.


@kernel
def _mottled(args, seed, q, foot):
    """Two independent noises. args: cell, persistence, contrast of colours, of brightness."""
    cell, persistence, contrast = args[0], args[1], args[2]
    v = _fractal(q, cell, persistence, foot, seed)
    w = _fractal(q, 0.6 * cell, persistence, foot, seed + 50)
    first = _smoothstep(-0.5, 0.5, contrast * v)
    second = _smoothstep(0.05, 0.6, contrast * w)
    third = _smoothstep(0.05, 0.6, -contrast * w)
    return first, second, third, 1.0 + args[3] * _fractal(q, 0.25 * cell, 0.75, foot, seed + 90)


@kernel
def _wood(args, seed, q, foot):
    """Planks along x, their faces up z. args: plank width, ring distance."""
    width, ring_distance = args[0], args[1]
    plank = np.floor(q[1] / width)
    h = _uniform(int(plank), 3, 5, seed)  # one number for each plank
    x, y, z = q[0] + 3.0 * h, q[1] + 0.4 * h, q[2] + 0.35 * h
    # rings about an axis nearly along x, bent by noise stretched along it
    bend = _fractal((0.22 * x, y, z), 0.12, 0.5, foot, seed + int(97 * h))
    cy, cz = y - width * (plank + 0.2 + 0.6 * h) - 0.4 * h, 0.1 + 0.05 * h - z + 0.03 * x
    ring = (np.sqrt(cy * cy + cz * cz) + 0.035 * bend) / ring_distance
    ring -= np.floor(ring)
    rings = 0.75 * _smoothstep(0.15, 0.85, ring) * (1.0 - _smoothstep(0.88, 1.0, ring))
    fibre = _fractal((0.035 * x, y, z), 0.006, 0.75, 0.8 * foot, seed + 20)
    bright = (0.86 + 0.28 * h) * (1.0 + 0.16 * _fractal((0.2 * x, y, z), 0.05, 0.6, foot, seed + 30))
    bright *= 1.0 - 0.75 * _line(_fold(q[1], width), 0.0011, foot)
    bright *= 1.0 + 0.10 * _fractal((x, y, z), 0.012, 0.7, foot, seed + 40)
    return rings, 0.5 * _smoothstep(0.05, 0.6, fibre), 0.0, bright


@kernel
def _wall(args, seed, q, foot):
    """Wallpaper: stripes, and flowers staggered from column to column. args: stripe period, motif height, roughness."""
    period, height = args[0], args[1]
    rough = _fractal(q, 0.02, 0.8, foot, seed)
    x, y = _fold(q[0], period), q[1]
    column = int(np.floor(q[0] / period + 0.5))
    y = _fold(y + (0.5 * height if column & 1 else 0.0), height)
    stripes = 0.8 * _line(abs(x) - 0.5 * period, 0.05 * period, foot)
    stripes += 0.9 * _line(abs(x) - 0.41 * period, 0.008 * period, foot)
    # a flower: petals about a heart, two leaves on a stem
    r, turn = np.sqrt(x * x + y * y) / (0.23 * period), np.arctan2(y, x)
    rim = 0.72 + 0.28 * np.cos(6.0 * turn)
    edge = foot / (0.23 * period)
    petals = 1.0 - _smoothstep(rim - edge, rim + edge, r)
    bright = 1.0 - 0.25 * petals * _smoothstep(0.3, 1.0, r) * (0.5 + 0.5 * np.cos(12.0 * turn))
    heart = 1.0 - _smoothstep(0.24 - edge, 0.24 + edge, r)
    yl = y - 0.36 * period
    leaf = np.sqrt((abs(x) - 0.11 * period) ** 2 + (yl + 0.35 * abs(x)) ** 2 * 5.0) / (0.1 * period)
    stem = _line(x - 0.02 * period * np.sin(9.0 * y / period), 0.009 * period, foot)
    stem *= _smoothstep(0.2, 0.24, y / period)
    stem *= 1.0 - _smoothstep(0.52, 0.56, y / period)
    green = max(stripes, max(stem, 1.0 - _smoothstep(1.0 - 2.0 * edge, 1.0 + 2.0 * edge, leaf)))
    bright *= (1.0 + args[2] * rough) * (1.0 + 0.06 * _fractal(q, 0.5, 0.5, foot, seed + 9))
    return green, petals, heart, bright


@kernel
def _bands(args, seed, q, foot):
    """Bands about a turned body. args: z of three bands, their half width, zigzag height, zigzags, roughness."""
    half, zigzags = args[3], args[5]
    turn = np.arctan2(q[1], q[0])
    r = np.sqrt(q[0] * q[0] + q[1] * q[1])
    saw = abs(_fold(turn * zigzags / (2.0 * np.pi), 1.0)) * 2.0 - 0.5
    wobble = 0.0012 * _fractal(q, 0.02, 0.5, foot, seed + 3)
    band = _line(q[2] - args[0] + wobble, half, foot)
    zigzag = _line(q[2] - args[1] + args[4] * saw + wobble, 0.5 * half, foot)
    band = max(band, _line(q[2] - args[2] + wobble, 0.6 * half, foot))
    dot = np.sqrt((r * _fold(turn, 2.0 * np.pi / (2.0 * zigzags))) ** 2 + (q[2] - 0.5 * (args[0] + args[1])) ** 2)
    speck = _fractal(q, 0.006, 0.8, foot, seed + 6)
    bright = (1.0 + args[6] * speck) * (1.0 - 0.5 * _smoothstep(0.55, 0.75, speck))
    bright *= 1.0 + 0.12 * _fractal(q, 0.05, 0.5, foot, seed + 7)
    return band, zigzag, _line(dot, 0.35 * half, foot), bright


@kernel
def _fruit(args, seed, q, foot):
    """Skin of a fruit about z. args: half height, streaks, blush, share of cells with a speckle."""
    half, streaks = args[0], args[1]
    turn = np.arctan2(q[1], q[0])
    h = q[2] / half
    around = (np.cos(turn) * streaks, np.sin(turn) * streaks, 0.25 * h)
    streak = _fractal(around, 1.0, 0.75, foot / half * streaks, seed)
    blush = _fractal(q, 1.2 * half, 0.5, foot, seed + 5)
    red = _smoothstep(-0.5, 0.45, args[2] * (0.6 * np.cos(turn - 0.6) + blush) + 0.7 * streak - 0.1)
    poles = 0.8 * _smoothstep(0.72, 1.0, abs(h) + 0.1 * streak)
    cell = half * 0.16
    ix, iy, iz = int(np.floor(q[0] / cell)), int(np.floor(q[1] / cell)), int(np.floor(q[2] / cell))
    d = np.sqrt((q[0] - cell * (ix + 0.5)) ** 2 + (q[1] - cell * (iy + 0.5)) ** 2 + (q[2] - cell * (iz + 0.5)) ** 2)
    speckle = 0.0
    if _uniform(ix, iy, iz, seed) < args[3]:
        speckle = 0.7 * (1.0 - _smoothstep(0.12 * cell, 0.26 * cell + foot, d))
    return red, poles, speckle, 1.0 + 0.18 * _fractal(q, 0.3 * half, 0.7, foot, seed + 8)


@kernel
def _globe(args, seed, q, foot):
    """Land, mountains and ice on a sea, under a grid of longitude and latitude. args: radius, meridians."""
    radius = args[0]
    land = _fractal(q, 0.95 * radius, 0.55, foot, seed)
    relief = _fractal(q, 0.3 * radius, 0.7, foot, seed + 4)
    edge = 0.012
    low_land = _smoothstep(0.06 - edge, 0.06 + edge, land)
    mountains = low_land * _smoothstep(0.1, 0.5, land + 0.5 * relief)
    ice = 0.7 * _smoothstep(0.86, 0.9, abs(q[2]) / radius + 0.08 * relief)
    turn, up = np.arctan2(q[1], q[0]), np.arcsin(min(1.0, max(-1.0, q[2] / radius)))
    r = np.sqrt(q[0] * q[0] + q[1] * q[1])
    grid = _line(r * _fold(turn, 2.0 * np.pi / args[1]), 0.006 * radius, foot)
    grid *= 1.0 - _smoothstep(0.9, 0.97, abs(q[2]) / radius)
    grid = max(grid, _line(radius * _fold(up, np.pi / 12.0), 0.006 * radius, foot))
    coast = _line(land - 0.06, 0.02, 0.012)
    return low_land, mountains, ice, (1.0 - 0.35 * grid) * (1.0 - 0.35 * coast) * (1.0 + 0.2 * relief)


@kernel
def _front(solid, seed, q, u, rough, foot):
    """Colour shares of the front of a book: a frame, a picture above, a title in bars below."""
    ex, ey = abs(u[0]), abs(u[1])
    bx, by = solid[SIZE] * (1.0 - ex), solid[SIZE + 1] * (1.0 - ey)
    rim = min(bx, by)
    frame = _line(rim - 0.008, 0.0012, foot)
    inside = _smoothstep(0.013 - foot, 0.013 + foot, rim)
    if u[1] > -0.25:
        v = _fractal((q[0], q[1], 0.0), 0.05, 0.55, foot, seed + 11)
        top = _smoothstep(-0.25, -0.25 + 2.0 * foot / solid[SIZE + 1], u[1])
        return frame, inside * _smoothstep(-0.02, 0.02, v) * top, inside * _smoothstep(0.2, 0.24, v + 0.3 * rough) * top
    row = np.floor((u[1] + 1.0) / 0.2)
    w = _uniform(int(row), 1, 1, seed)
    letter = np.floor(q[0] / (0.0085 + 0.003 * w))
    ink = 1.0 if _uniform(int(letter), int(row), 2, seed) > 0.18 else 0.0
    slot = _line(_fold(q[0], 0.0085 + 0.003 * w), 0.0035, foot) * ink
    tall = _line(_fold(u[1] + 1.0 - 0.1, 0.2) * solid[SIZE + 1], 0.05 * solid[SIZE + 1], foot)
    title = slot * tall * inside * (1.0 - _smoothstep(0.55 + 0.3 * w, 0.56 + 0.3 * w, ex))
    return max(frame, title), 0.0, 0.0


@kernel
def _spine(solid, seed, q, ey, foot):
    """Colour share of a book's spine: a title between two rules at either end."""
    outer = _line(abs(q[1]) - 0.82 * solid[SIZE + 1], 0.002, foot)
    rules = max(outer, _line(abs(q[1]) - 0.76 * solid[SIZE + 1], 0.001, foot))
    letter = np.floor(q[1] / 0.009)
    ink = 1.0 if _uniform(int(letter), 9, 2, seed) > 0.2 else 0.0
    ink *= _line(_fold(q[1], 0.009), 0.0034, foot) * _line(q[2], 0.4 * solid[SIZE + 2], foot)
    return max(rules, ink * (1.0 - _smoothstep(0.6, 0.61, ey)))


@kernel
def _cover(solid, args, seed, q, foot):
    """A book (args: 1), or a printed box (0): covers on the faces across z, for a book the spine at -x, else leaves."""
    u = in_units(solid, q)
    ex, ey, ez = abs(u[0]), abs(u[1]), abs(u[2])
    rough = _fractal(q, 0.01, 0.8, foot, seed)
    bright = 1.0 + 0.12 * rough
    first = second = third = 0.0
    if ez >= ex and ez >= ey:
        first, second, third = _front(solid, seed, q, u, rough, foot)
    elif ex >= ey and args[0] > 0.0 and u[0] < 0.0:
        first = _spine(solid, seed, q, ey, foot)
    elif args[0] > 0.0:
        third = 1.0
        leaf = _smoothstep(2.0, 4.0, 0.003 / foot) * _noise(q[2] / 0.003, 0.05 * (q[0] + q[1]) / 0.003, 3.3, seed)
        bright = (0.9 + 0.3 * leaf) * (1.0 + 0.1 * rough - 0.55 * _smoothstep(0.86, 0.9, ez))
    return first, second, third, bright


@kernel
def _weave(args, seed, q, foot):
    """Checked cloth in the plane z = 0. args: period of the checks, thread distance."""
    period, thread_distance = args[0], args[1]
    x, y = _fold(q[0], period), _fold(q[1], period)
    across, along = _line(x, 0.25 * period, foot), _line(y, 0.25 * period, foot)
    rules = _line(abs(x) - 0.39 * period, 0.02 * period, foot)
    rules = max(rules, _line(abs(y) - 0.39 * period, 0.02 * period, foot))
    fade = _smoothstep(2.0, 4.0, thread_distance / foot)
    thread = np.sin(2.0 * np.pi * q[0] / thread_distance) * np.sin(2.0 * np.pi * q[1] / thread_distance)
    bright = 1.0 + 0.2 * fade * thread + 0.14 * _fractal(q, 0.008, 0.8, foot, seed)
    bright *= 1.0 + 0.1 * _fractal(q, 0.06, 0.5, foot, seed + 5)
    return 0.5 * (across + along), 0.8 * rules, 0.0, bright


@kernel
def _dots(args, seed, q, foot):
    """Dots, one a lattice cell, displaced and of several colours. args: cell, radius of the dots, roughness."""
    cell = args[0]
    best, colour = 1e9, 0.0
    bx, by, bz = int(np.floor(q[0] / cell)), int(np.floor(q[1] / cell)), int(np.floor(q[2] / cell))
    for k in range(27):
        ix, iy, iz = bx + k % 3 - 1, by + (k // 3) % 3 - 1, bz + k // 9 - 1
        x = q[0] / cell - (ix + 0.15 + 0.7 * _uniform(ix, iy, iz, seed))
        y = q[1] / cell - (iy + 0.15 + 0.7 * _uniform(ix, iy, iz, seed + 1))
        z = q[2] / cell - (iz + 0.15 + 0.7 * _uniform(ix, iy, iz, seed + 2))
        d = np.sqrt(x * x + y * y + z * z) * cell / (0.6 + 0.8 * _uniform(ix, iy, iz, seed + 4))
        if d < best:
            best, colour = d, _uniform(ix, iy, iz, seed + 3)
    dot = _line(best, args[1], foot)
    bright = 1.0 + args[2] * _fractal(q, 0.02, 0.75, foot, seed + 6)
    return dot, (dot if colour > 0.4 else 0.0), (dot if colour > 0.72 else 0.0), bright


@kernel
def _checks(args, q):
    """A chessboard in the plane z = 0, the first inner corner at (0, 0). args: square, squares across, squares down."""
    column, row = int(np.floor(q[0] / args[0])) + 1, int(np.floor(q[1] / args[0])) + 1
    dark = 0 <= column < args[1] and 0 <= row < args[2] and (column + row) % 2 == 0
    return (1.0 if dark else 0.0), 0.0, 0.0, 1.0


@inlined
def _shares(paint, solid, q, foot):
    """The shares of colours 1, 2, 3 and the brightness of a paint at q."""
    kind, seed, args = int(paint[KIND]), int(paint[SEED]), paint[ARGUMENTS:]
    if kind == MOTTLED:
        return _mottled(args, seed, q, foot)
    if kind == WOOD:
        return _wood(args, seed, q, foot)
    if kind == WALL:
        return _wall(args, seed, q, foot)
    if kind == BANDS:
        return _bands(args, seed, q, foot)
    if kind == FRUIT:
        return _fruit(args, seed, q, foot)
    if kind == GLOBE:
        return _globe(args, seed, q, foot)
    if kind == COVER:
        return _cover(solid, args, seed, q, foot)
    if kind == WEAVE:
        return _weave(args, seed, q, foot)
    if kind == DOTS:
        return _dots(args, seed, q, foot)
    if kind == CHECKS:
        return _checks(args, q)
    return 0.0, 0.0, 0.0, 1.0


@kernel
def albedo(paint, solid, q, foot, rgb):
    """Write the paint's linear colour at texture coordinates q (metres) into rgb (3,).

    Parameters
    ----------
    paint, solid : (32,) float64
        Rows of `paints` and `solids`.
    q : tuple of three floats
        Texture coordinates, m.
    foot : float
        Size of a pixel on the surface, m: finer texture fades.
    rgb : (3,) float64
        Output.
    """
    first, second, third, bright = _shares(paint, solid, q, foot)
    bright = max(MIN_BRIGHTNESS, bright)
    for k in range(3):
        v = paint[COLOURS + k] + first * (paint[COLOURS + 3 + k] - paint[COLOURS + k])
        v += second * (paint[COLOURS + 6 + k] - v)
        v += third * (paint[COLOURS + 9 + k] - v)
        rgb[k] = max(0.0, v * bright)


# -------------------------------------------------------------------------------------------------------------- light


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


@kernel
def shade(solids, groups, paints, light, viewers, origin, rays, samples, out):
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
