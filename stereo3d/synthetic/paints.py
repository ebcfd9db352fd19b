"""Procedural paints: the albedo of a surface point."""

import numpy as np

from ..kernel_cache import njit
from .tables import (
    ARGUMENTS,
    BANDS,
    CHECKS,
    COLOURS,
    COVER,
    DOTS,
    FRUIT,
    GLOBE,
    KIND,
    LEAF,
    MOTTLED,
    SEED,
    SIZE,
    SKY,
    WALL,
    WEAVE,
    WOOD,
)

MIN_BRIGHTNESS = 0.05  # of a paint
kernel = njit(cache=True, nogil=True, error_model="numpy")
inlined = njit(cache=True, nogil=True, error_model="numpy", inline="always")  # a step of one caller


@kernel
def in_units(solid, q):
    """Unit coordinates of a vector along the solid's axes."""
    return q[0] / solid[SIZE], q[1] / solid[SIZE + 1], q[2] / solid[SIZE + 2]


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
    """Bands around a body. args: z of three bands, their half width, zigzag height, zigzags, roughness."""
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


@kernel
def _leaf(args, seed, q, foot):
    """Midrib along x, side veins, a paler rim. args: length, half width, veins, contrast between them."""
    length, half = args[0], args[1]
    s, across = q[0] / length, abs(q[1])
    rib = _line(q[1], 0.0009 * (1.6 - s), foot)
    slope = q[0] - 0.8 * across  # side veins run forward and outward
    vein = 0.6 * _line(_fold(slope, length / args[2]), 0.0005, foot)
    blade = 0.5 + 0.5 * np.cos(2.0 * np.pi * slope * args[2] / length)
    rim = _smoothstep(0.55, 1.0, across / half + 0.25 * _fractal(q, 0.5 * half, 0.6, foot, seed))
    blotch = _smoothstep(0.0, 0.7, _fractal(q, 0.7 * half, 0.6, foot, seed + 3))
    bright = (1.0 + 0.2 * _fractal(q, 0.004, 0.7, foot, seed + 6)) * (1.0 - args[3] * blade)
    return 0.7 * max(rib, vein), 0.6 * rim, 0.5 * blotch, bright


@kernel
def _sky(args, seed, q, foot):
    """Haze towards the horizon, a layer of clouds, the glow about the sun, in direction q (unit, y down).

    args: elevation's sine within which the haze falls to 1/e, cell of the clouds (in heights of their layer), their
    share, azimuth and elevation of the sun, exponent of its glow.
    """
    up = max(0.0, -q[1])
    haze = np.exp(-up / args[0])
    far = 1.0 / (up + 0.12)  # to the layer of clouds, which the earth's curvature ends
    clouds = 0.0
    if args[2] > 0.0:
        v = _fractal((q[0] * far, 0.3, q[2] * far), args[1], 0.55, foot * far * far, seed)
        clouds = args[2] * _smoothstep(-0.45, 0.75, v)
    sx, sy, sz = np.sin(args[3]) * np.cos(args[4]), -np.sin(args[4]), np.cos(args[3]) * np.cos(args[4])
    glow = max(0.0, q[0] * sx + q[1] * sy + q[2] * sz) ** args[5] if args[5] > 0.0 else 0.0
    return haze, clouds, glow, 1.0


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
    if kind == LEAF:
        return _leaf(args, seed, q, foot)
    if kind == SKY:
        return _sky(args, seed, q, foot)
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
