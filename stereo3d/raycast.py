"""The numba kernels of `synthetic`: rays against solids, solid textures, light. Imported only where a scene is made.

A scene is four tables: `solids` (N,32), `groups` (G,6), `paints` (P,32), `light` (16,); the columns are named below.
Lengths are in metres, colours linear in light.
"""

import numpy as np
from numba import njit

# Columns of a row of `solids`. Local coordinates q = Q (X - c), rows of Q: the solid's axes; unit coordinates u = q / s
# TEX: where the texture's origin lies, in q; BOUND: squared radius of the bounding ball about c.
KIND, Q, C, S, P, PAINT, TEX, BOUND = 0, 1, 10, 13, 16, 24, 25, 28
RECTANGLE, ELLIPSOID, BOX, FRUSTUM, DISC = range(5)
# RECTANGLE  u_z = 0, |u_x|, |u_y| <= 1
# ELLIPSOID  |u| = 1, P0 <= u_z <= P1 (an open shell where cut)
# BOX        max |u| = 1, from outside or inside
# FRUSTUM    u_x^2 + u_y^2 = r^2, |u_z| <= 1, r from P0 (u_z = -1) to P1 (+1); lids P2: 1 below + 2 above;
#            the normal's elevation in q goes from P3 to P4 rad (a stack of frusta shades like one smooth body)
# DISC       u_z = 0, P0 <= |(u_x, u_y)| <= 1

# Columns of a row of `groups`: first solid, one after the last, bounding sphere's centre and squared radius.
# Columns of a row of `paints`.
PLAIN, MOTTLED, WOOD, WALL, BANDS, FRUIT, GLOBE, COVER, WEAVE, DOTS, CHECKS = range(11)
SHINE, GLOSS, SEED, ARG = 13, 14, 15, 16  # after the kind and four colours: specular share, exponent; arguments

# `light`: position, radius, direct strength, sky strength, reach of the sky's occlusion (0: none), distance D where
# the direct strength holds
LX, LR, LD, LA, LO, LZ = 0, 3, 4, 5, 6, 7

_jit = njit(cache=True, nogil=True, error_model="numpy")


# ----------------------------------------------------------------------------------------------------- rays and solids


@_jit
def _hit(g, ox, oy, oz, dx, dy, dz, near, far):
    """The smallest t in (near, far) where o + t d meets the solid g, or inf."""
    px, py, pz = ox - g[C], oy - g[C + 1], oz - g[C + 2]
    ax = (g[1] * px + g[2] * py + g[3] * pz) / g[S]
    ay = (g[4] * px + g[5] * py + g[6] * pz) / g[S + 1]
    az = (g[7] * px + g[8] * py + g[9] * pz) / g[S + 2]
    bx = (g[1] * dx + g[2] * dy + g[3] * dz) / g[S]
    by = (g[4] * dx + g[5] * dy + g[6] * dz) / g[S + 1]
    bz = (g[7] * dx + g[8] * dy + g[9] * dz) / g[S + 2]
    kind = int(g[KIND])
    best = np.inf
    if kind == RECTANGLE or kind == DISC:
        if bz != 0.0:
            t = -az / bz
            if near < t < far:
                x, y = ax + t * bx, ay + t * by
                if kind == RECTANGLE:
                    if abs(x) <= 1.0 and abs(y) <= 1.0:
                        best = t
                elif g[P] * g[P] <= x * x + y * y <= 1.0:
                    best = t
        return best
    if kind == BOX:
        lo, hi = -np.inf, np.inf
        for k in range(3):
            a, b = (ax, bx) if k == 0 else ((ay, by) if k == 1 else (az, bz))
            if b == 0.0:
                if abs(a) > 1.0:
                    return best
                continue
            t0, t1 = (-1.0 - a) / b, (1.0 - a) / b
            if t0 > t1:
                t0, t1 = t1, t0
            lo, hi = max(lo, t0), min(hi, t1)
        if lo <= hi:
            if near < lo < far:
                best = lo
            elif near < hi < far:
                best = hi
        return best
    # quadrics: a t^2 + 2 b t + c = 0
    if kind == ELLIPSOID:
        a = bx * bx + by * by + bz * bz
        b = ax * bx + ay * by + az * bz
        c = ax * ax + ay * ay + az * az - 1.0
        low, high, m, k = g[P], g[P + 1], 1.0, 0.0
    else:
        m, k = 0.5 * (g[P] + g[P + 1]), 0.5 * (g[P + 1] - g[P])
        r = m + k * az
        a = bx * bx + by * by - k * k * bz * bz
        b = ax * bx + ay * by - k * bz * r
        c = ax * ax + ay * ay - r * r
        low, high = -1.0, 1.0
    disc = b * b - a * c
    if disc >= 0.0:
        q = -(b + np.sqrt(disc)) if b > 0.0 else -b + np.sqrt(disc)
        for i in range(2):
            if i == 0:
                t = q / a if a != 0.0 else np.inf
            else:
                t = c / q if q != 0.0 else np.inf
            if near < t < far and t < best:
                z = az + t * bz
                # a hair of slack, so that rounding opens neither a pole nor the seam of two frusta
                if low - 1e-9 <= z <= high + 1e-9 and m + k * z >= 0.0:
                    best = t
    if kind == FRUSTUM and bz != 0.0:
        lids = int(g[P + 2])
        for i in range(2):
            if lids & (i + 1):
                t = ((-1.0 if i == 0 else 1.0) - az) / bz
                if near < t < far and t < best:
                    x, y = ax + t * bx, ay + t * by
                    if x * x + y * y <= g[P + i] * g[P + i]:
                        best = t
    return best


@_jit
def _misses(px, py, pz, r2, dx, dy, dz, dd, far):
    """Whether the ray t d, 0 < t < far, stays clear of the ball at p of squared radius r2. dd = d . d"""
    pp = px * px + py * py + pz * pz
    if pp <= r2:
        return False
    along = px * dx + py * dy + pz * dz
    if along < 0.0:
        return True
    clear = r2 * dd - (pp * dd - along * along)
    if clear < 0.0:
        return True
    ahead = along - far * dd  # enters beyond far: along - sqrt(clear) > far dd
    return ahead > 0.0 and ahead * ahead > clear


@_jit
def _nearest(solids, groups, ox, oy, oz, dx, dy, dz, near, far, anything):
    """(t, index of the solid) of the first hit in (near, far), (inf, -1) for none; `anything`: any hit will do."""
    best, which = far, -1
    dd = dx * dx + dy * dy + dz * dz
    for j in range(groups.shape[0]):
        g = groups[j]
        if _misses(g[2] - ox, g[3] - oy, g[4] - oz, g[5], dx, dy, dz, dd, best):
            continue
        for i in range(int(g[0]), int(g[1])):
            h = solids[i]
            if _misses(h[C] - ox, h[C + 1] - oy, h[C + 2] - oz, h[BOUND], dx, dy, dz, dd, best):
                continue
            t = _hit(h, ox, oy, oz, dx, dy, dz, near, best)
            if t < best:
                best, which = t, i
                if anything:
                    return best, which
    return (best, which) if which >= 0 else (np.inf, -1)


@_jit
def _surface(g, x, y, z):
    """Unit normal (not yet turned to anyone) and local coordinates q of a point on the solid g."""
    px, py, pz = x - g[C], y - g[C + 1], z - g[C + 2]
    qx = g[1] * px + g[2] * py + g[3] * pz
    qy = g[4] * px + g[5] * py + g[6] * pz
    qz = g[7] * px + g[8] * py + g[9] * pz
    ux, uy, uz = qx / g[S], qy / g[S + 1], qz / g[S + 2]
    kind = int(g[KIND])
    nx, ny, nz = 0.0, 0.0, 1.0
    if kind == ELLIPSOID:
        nx, ny, nz = ux, uy, uz
    elif kind == BOX:
        ex, ey, ez = abs(ux), abs(uy), abs(uz)
        if ex >= ey and ex >= ez:
            nx, ny, nz = np.sign(ux), 0.0, 0.0
        elif ey >= ez:
            nx, ny, nz = 0.0, np.sign(uy), 0.0
        else:
            nz = np.sign(uz)
    elif kind == FRUSTUM:
        lids = int(g[P + 2])
        r = np.sqrt(ux * ux + uy * uy)
        if (lids & 2) and uz > 1.0 - 1e-9:
            nz = 1.0
        elif (lids & 1) and uz < -1.0 + 1e-9:
            nz = -1.0
        else:
            up = g[P + 3] + (g[P + 4] - g[P + 3]) * 0.5 * (uz + 1.0)
            nx, ny, nz = np.cos(up) * ux / r * g[S], np.cos(up) * uy / r * g[S + 1], np.sin(up) * g[S + 2]
    nx, ny, nz = nx / g[S], ny / g[S + 1], nz / g[S + 2]
    wx = g[1] * nx + g[4] * ny + g[7] * nz
    wy = g[2] * nx + g[5] * ny + g[8] * nz
    wz = g[3] * nx + g[6] * ny + g[9] * nz
    length = np.sqrt(wx * wx + wy * wy + wz * wz)
    return wx / length, wy / length, wz / length, qx, qy, qz


@_jit
def trace(solids, groups, origin, rays, near, t, which, normals):
    """First hits of rays (N,3) from `origin` (3,), t > near: into t (N,), which (N,), normals (N,3) facing back."""
    ox, oy, oz = origin[0], origin[1], origin[2]
    for i in range(rays.shape[0]):
        dx, dy, dz = rays[i, 0], rays[i, 1], rays[i, 2]
        t[i], which[i] = _nearest(solids, groups, ox, oy, oz, dx, dy, dz, near, np.inf, False)
        if which[i] >= 0:
            nx, ny, nz, _, _, _ = _surface(solids[which[i]], ox + t[i] * dx, oy + t[i] * dy, oz + t[i] * dz)
            side = -1.0 if nx * dx + ny * dy + nz * dz > 0.0 else 1.0
            normals[i, 0], normals[i, 1], normals[i, 2] = side * nx, side * ny, side * nz


# ---------------------------------------------------------------------------------------------------------- textures


@_jit
def _hash(x, y, z, seed):
    h = (x * 374761393 + y * 668265263 + z * 1442695041 + seed * 974711) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1103515245) & 0xFFFFFFFF
    return h ^ (h >> 16)


@_jit
def _unit(x, y, z, seed):
    """A number in [0, 1) that belongs to a lattice cell."""
    return _hash(x, y, z, seed) / 4294967296.0


@_jit
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


@_jit
def _step(low, high, x):
    """0 below low, 1 above high, smooth between."""
    s = min(1.0, max(0.0, (x - low) / (high - low)))
    return s * s * (3.0 - 2.0 * s)


@_jit
def _fractal(x, y, z, cell, keep, foot, seed):
    """Octaves of noise from cells of size `cell` down to what a pixel of size `foot` shows (4 to 2 px: fading)."""
    total, amplitude = 0.0, 1.0
    for octave in range(12):
        if cell < 2.0 * foot:
            break
        total += amplitude * _step(2.0, 4.0, cell / foot) * _noise(x / cell, y / cell, z / cell, seed + octave)
        # turn the lattice from octave to octave, so that its planes never coincide
        x, y, z = 0.8 * x + 0.48 * y + 0.36 * z, -0.6 * x + 0.64 * y + 0.48 * z, -0.6 * y + 0.8 * z
        cell *= 0.5
        amplitude *= keep
    return total


@_jit
def _line(x, half, foot):
    """1 within `half` of zero, 0 beyond, an edge of about a pixel."""
    return 1.0 - _step(half - 0.7 * foot, half + 0.7 * foot, abs(x))


@_jit
def _fold(x, period):
    """x less its nearest multiple of `period`."""
    return x - period * np.floor(x / period + 0.5)


@_jit
def _albedo(m, g, qx, qy, qz, foot, rgb):
    """The paint's colour at q (texture coordinates, metres) into rgb."""
    kind, seed, a = int(m[0]), int(m[SEED]), m[ARG:]
    c0, c1, c2, c3 = m[1:4], m[4:7], m[7:10], m[10:13]
    # shares of the colours c1, c2, c3 laid over c0 one after the other, and a brightness
    s1 = s2 = s3 = 0.0
    bright = 1.0
    if kind == MOTTLED:  # a: cell, persistence, contrast, brightness contrast
        v = _fractal(qx, qy, qz, a[0], a[1], foot, seed)
        w = _fractal(qx, qy, qz, 0.6 * a[0], a[1], foot, seed + 50)
        s1 = _step(-0.5, 0.5, a[2] * v)
        s2 = _step(0.05, 0.6, a[2] * w)
        s3 = _step(0.05, 0.6, -a[2] * w)
        bright = 1.0 + a[3] * _fractal(qx, qy, qz, 0.25 * a[0], 0.75, foot, seed + 90)
    elif kind == WOOD:  # a: plank width, ring distance; planks lie along x, faces up z
        plank = np.floor(qy / a[0])
        h = _unit(int(plank), 3, 5, seed)
        x, y, z = qx + 3.0 * h, qy + 0.4 * h, qz + 0.35 * h
        # rings about an axis nearly along x, bent by noise stretched along it
        bend = _fractal(0.22 * x, y, z, 0.12, 0.5, foot, seed + int(97 * h))
        cy, cz = y - a[0] * (plank + 0.2 + 0.6 * h) - 0.4 * h, 0.1 + 0.05 * h - z + 0.03 * x
        ring = (np.sqrt(cy * cy + cz * cz) + 0.035 * bend) / a[1]
        ring -= np.floor(ring)
        s1 = 0.75 * _step(0.15, 0.85, ring) * (1.0 - _step(0.88, 1.0, ring))
        fibre = _fractal(0.035 * x, y, z, 0.006, 0.75, 0.8 * foot, seed + 20)
        s2 = 0.5 * _step(0.05, 0.6, fibre)
        bright = (0.86 + 0.28 * h) * (1.0 + 0.16 * _fractal(0.2 * x, y, z, 0.05, 0.6, foot, seed + 30))
        bright *= 1.0 - 0.75 * _line(_fold(qy, a[0]), 0.0011, foot)
        bright *= 1.0 + 0.10 * _fractal(x, y, z, 0.012, 0.7, foot, seed + 40)
    elif kind == WALL:  # a: stripe period, motif height, roughness
        rough = _fractal(qx, qy, qz, 0.02, 0.8, foot, seed)
        x, y = _fold(qx, a[0]), qy
        column = int(np.floor(qx / a[0] + 0.5))
        y = _fold(y + (0.5 * a[1] if column & 1 else 0.0), a[1])
        s1 = 0.8 * _line(abs(x) - 0.5 * a[0], 0.05 * a[0], foot)
        s1 += 0.9 * _line(abs(x) - 0.41 * a[0], 0.008 * a[0], foot)
        # a flower: petals about a heart, two leaves on a stem
        r, turn = np.sqrt(x * x + y * y) / (0.23 * a[0]), np.arctan2(y, x)
        petals = 0.72 + 0.28 * np.cos(6.0 * turn)
        edge = foot / (0.23 * a[0])
        s2 = 1.0 - _step(petals - edge, petals + edge, r)
        bright = 1.0 - 0.25 * s2 * _step(0.3, 1.0, r) * (0.5 + 0.5 * np.cos(12.0 * turn))
        s3 = 1.0 - _step(0.24 - edge, 0.24 + edge, r)
        yl = y - 0.36 * a[0]
        leaf = np.sqrt((abs(x) - 0.11 * a[0]) ** 2 + (yl + 0.35 * abs(x)) ** 2 * 5.0) / (0.1 * a[0])
        stem = _line(x - 0.02 * a[0] * np.sin(9.0 * y / a[0]), 0.009 * a[0], foot) * _step(0.2, 0.24, y / a[0])
        stem *= 1.0 - _step(0.52, 0.56, y / a[0])
        s1 = max(s1, max(stem, 1.0 - _step(1.0 - 2.0 * edge, 1.0 + 2.0 * edge, leaf)))
        bright *= (1.0 + a[2] * rough) * (1.0 + 0.06 * _fractal(qx, qy, qz, 0.5, 0.5, foot, seed + 9))
    elif kind == BANDS:  # a: z of three bands, their half width, zigzag height, zigzags about the body, roughness
        turn = np.arctan2(qy, qx)
        r = np.sqrt(qx * qx + qy * qy)
        saw = abs(_fold(turn * a[5] / (2.0 * np.pi), 1.0)) * 2.0 - 0.5
        wobble = 0.0012 * _fractal(qx, qy, qz, 0.02, 0.5, foot, seed + 3)
        s1 = _line(qz - a[0] + wobble, a[3], foot)
        s2 = _line(qz - a[1] + a[4] * saw + wobble, 0.5 * a[3], foot)
        s1 = max(s1, _line(qz - a[2] + wobble, 0.6 * a[3], foot))
        dot = np.sqrt((r * _fold(turn, 2.0 * np.pi / (2.0 * a[5]))) ** 2 + (qz - 0.5 * (a[0] + a[1])) ** 2)
        s3 = _line(dot, 0.35 * a[3], foot)
        speck = _fractal(qx, qy, qz, 0.006, 0.8, foot, seed + 6)
        bright = (1.0 + a[6] * speck) * (1.0 - 0.5 * _step(0.55, 0.75, speck))
        bright *= 1.0 + 0.12 * _fractal(qx, qy, qz, 0.05, 0.5, foot, seed + 7)
    elif kind == FRUIT:  # a: half height, streaks, blush, speckle
        turn = np.arctan2(qy, qx)
        h = qz / a[0]
        streak = _fractal(np.cos(turn) * a[1], np.sin(turn) * a[1], 0.25 * h, 1.0, 0.75, foot / a[0] * a[1], seed)
        blush = _fractal(qx, qy, qz, 1.2 * a[0], 0.5, foot, seed + 5)
        s1 = _step(-0.5, 0.45, a[2] * (0.6 * np.cos(turn - 0.6) + blush) + 0.7 * streak - 0.1)
        s2 = 0.8 * _step(0.72, 1.0, abs(h) + 0.1 * streak)
        cell = a[0] * 0.16
        ix, iy, iz = int(np.floor(qx / cell)), int(np.floor(qy / cell)), int(np.floor(qz / cell))
        d = np.sqrt((qx - cell * (ix + 0.5)) ** 2 + (qy - cell * (iy + 0.5)) ** 2 + (qz - cell * (iz + 0.5)) ** 2)
        if _unit(ix, iy, iz, seed) < a[3]:
            s3 = 0.7 * (1.0 - _step(0.12 * cell, 0.26 * cell + foot, d))
        bright = 1.0 + 0.18 * _fractal(qx, qy, qz, 0.3 * a[0], 0.7, foot, seed + 8)
    elif kind == GLOBE:  # a: radius, meridians
        land = _fractal(qx, qy, qz, 0.95 * a[0], 0.55, foot, seed)
        relief = _fractal(qx, qy, qz, 0.3 * a[0], 0.7, foot, seed + 4)
        edge = 0.012
        s1 = _step(0.06 - edge, 0.06 + edge, land)
        s2 = s1 * _step(0.1, 0.5, land + 0.5 * relief)
        s3 = 0.7 * _step(0.86, 0.9, abs(qz) / a[0] + 0.08 * relief)
        turn, up = np.arctan2(qy, qx), np.arcsin(min(1.0, max(-1.0, qz / a[0])))
        r = np.sqrt(qx * qx + qy * qy)
        grid = _line(r * _fold(turn, 2.0 * np.pi / a[1]), 0.006 * a[0], foot) * (1.0 - _step(0.9, 0.97, abs(qz) / a[0]))
        grid = max(grid, _line(a[0] * _fold(up, np.pi / 12.0), 0.006 * a[0], foot))
        coast = _line(land - 0.06, 0.02, 0.012)
        bright = (1.0 - 0.35 * grid) * (1.0 - 0.35 * coast) * (1.0 + 0.2 * relief)
    elif kind == COVER:  # a: 1 = books' leaves on the faces that are not x (spine) or z (covers), motif's seed
        ux, uy, uz = qx / g[S], qy / g[S + 1], qz / g[S + 2]
        ex, ey, ez = abs(ux), abs(uy), abs(uz)
        rough = _fractal(qx, qy, qz, 0.01, 0.8, foot, seed)
        bright = 1.0 + 0.12 * rough
        if ez >= ex and ez >= ey:  # the cover: a frame, a picture, a title in bars
            bx, by = g[S] * (1.0 - ex), g[S + 1] * (1.0 - ey)
            rim = min(bx, by)
            s1 = _line(rim - 0.008, 0.0012, foot)
            inside = _step(0.013 - foot, 0.013 + foot, rim)
            if uy > -0.25:
                v = _fractal(qx, qy, 0.0, 0.05, 0.55, foot, seed + 11)
                s2 = inside * _step(-0.02, 0.02, v) * _step(-0.25, -0.25 + 2.0 * foot / g[S + 1], uy)
                s3 = inside * _step(0.2, 0.24, v + 0.3 * rough) * _step(-0.25, -0.25 + 2.0 * foot / g[S + 1], uy)
            else:
                row = np.floor((uy + 1.0) / 0.2)
                w = _unit(int(row), 1, 1, seed)
                letter = np.floor(qx / (0.0085 + 0.003 * w))
                ink = 1.0 if _unit(int(letter), int(row), 2, seed) > 0.18 else 0.0
                slot = _line(_fold(qx, 0.0085 + 0.003 * w), 0.0035, foot) * ink
                tall = _line(_fold(uy + 1.0 - 0.1, 0.2) * g[S + 1], 0.05 * g[S + 1], foot)
                s1 = max(s1, slot * tall * inside * (1.0 - _step(0.55 + 0.3 * w, 0.56 + 0.3 * w, ex)))
        elif ex >= ey and a[0] > 0.0 and ux < 0.0:  # the spine: title and two rules
            s1 = max(_line(abs(qy) - 0.82 * g[S + 1], 0.002, foot), _line(abs(qy) - 0.76 * g[S + 1], 0.001, foot))
            letter = np.floor(qy / 0.009)
            ink = 1.0 if _unit(int(letter), 9, 2, seed) > 0.2 else 0.0
            ink *= _line(_fold(qy, 0.009), 0.0034, foot) * _line(qz, 0.4 * g[S + 2], foot)
            s1 = max(s1, ink * (1.0 - _step(0.6, 0.61, ey)))
        elif a[0] > 0.0:  # leaves
            s3 = 1.0
            leaf = _step(2.0, 4.0, 0.003 / foot) * _noise(qz / 0.003, 0.05 * (qx + qy) / 0.003, 3.3, seed)
            bright = (0.9 + 0.3 * leaf) * (1.0 + 0.1 * rough - 0.55 * _step(0.86, 0.9, ez))
    elif kind == WEAVE:  # a: period of the checks, thread distance
        x, y = _fold(qx, a[0]), _fold(qy, a[0])
        across, along = _line(x, 0.25 * a[0], foot), _line(y, 0.25 * a[0], foot)
        s1 = 0.5 * (across + along)
        s2 = 0.8 * max(_line(abs(x) - 0.39 * a[0], 0.02 * a[0], foot), _line(abs(y) - 0.39 * a[0], 0.02 * a[0], foot))
        fade = _step(2.0, 4.0, a[1] / foot)
        thread = np.sin(2.0 * np.pi * qx / a[1]) * np.sin(2.0 * np.pi * qy / a[1])
        bright = 1.0 + 0.2 * fade * thread + 0.14 * _fractal(qx, qy, qz, 0.008, 0.8, foot, seed)
        bright *= 1.0 + 0.1 * _fractal(qx, qy, qz, 0.06, 0.5, foot, seed + 5)
    elif kind == DOTS:  # a: cell, radius of the dots, roughness
        best, shade = 1e9, 0.0
        bx, by, bz = int(np.floor(qx / a[0])), int(np.floor(qy / a[0])), int(np.floor(qz / a[0]))
        for k in range(27):
            ix, iy, iz = bx + k % 3 - 1, by + (k // 3) % 3 - 1, bz + k // 9 - 1
            x = qx / a[0] - (ix + 0.15 + 0.7 * _unit(ix, iy, iz, seed))
            y = qy / a[0] - (iy + 0.15 + 0.7 * _unit(ix, iy, iz, seed + 1))
            z = qz / a[0] - (iz + 0.15 + 0.7 * _unit(ix, iy, iz, seed + 2))
            d = np.sqrt(x * x + y * y + z * z) * a[0] / (0.6 + 0.8 * _unit(ix, iy, iz, seed + 4))
            if d < best:
                best, shade = d, _unit(ix, iy, iz, seed + 3)
        dot = _line(best, a[1], foot)
        s1, s2, s3 = dot, (dot if shade > 0.4 else 0.0), (dot if shade > 0.72 else 0.0)
        bright = 1.0 + a[2] * _fractal(qx, qy, qz, 0.02, 0.75, foot, seed + 6)
    elif kind == CHECKS:  # a: square, squares across, squares down; the first corner between squares at (0, 0)
        column, row = int(np.floor(qx / a[0])) + 1, int(np.floor(qy / a[0])) + 1
        s1 = 1.0 if 0 <= column < a[1] and 0 <= row < a[2] and (column + row) % 2 == 0 else 0.0
    bright = max(0.05, bright)
    for k in range(3):
        v = c0[k] + s1 * (c1[k] - c0[k])
        v += s2 * (c2[k] - v)
        v += s3 * (c3[k] - v)
        rgb[k] = max(0.0, v * bright)


# -------------------------------------------------------------------------------------------------------------- light


@_jit
def _radical(i, base):
    """Van der Corput's sequence: the digits of i mirrored at the point."""
    v, f = 0.0, 1.0 / base
    while i > 0:
        v += f * (i % base)
        i //= base
        f /= base
    return v


@_jit
def shade(solids, groups, paints, light, viewers, origin, rays, samples, out):
    """Mean radiance of each pixel's S sub-rays. rays: (N,S,3) from `origin` (3,); out: (N,3).

    Radiance = albedo (direct cos(a) (D/d)^2 share of the lamp seen + sky share of it open) (+ shine): but for the shine
    it depends on the surface point alone, so both photos see the same picture on every surface.
    viewers: (V,4), the cameras' centres and focal lengths in px: the largest pixel footprint among them bounds the
    finest texture. samples: rays to the lamp, and to the sky, per sub-ray; sub-ray k takes its own points of lamp and
    sky, so a pixel has S x samples of each.
    """
    ox, oy, oz = origin[0], origin[1], origin[2]
    count = rays.shape[1]
    rgb = np.zeros(3)
    for i in range(rays.shape[0]):
        red = green = blue = 0.0
        for k in range(count):
            dx, dy, dz = rays[i, k, 0], rays[i, k, 1], rays[i, k, 2]
            t, j = _nearest(solids, groups, ox, oy, oz, dx, dy, dz, 1e-6, np.inf, False)
            if j < 0:
                continue
            g = solids[j]
            x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
            nx, ny, nz, qx, qy, qz = _surface(g, x, y, z)
            if nx * dx + ny * dy + nz * dz > 0.0:
                nx, ny, nz = -nx, -ny, -nz
            foot = 0.0
            for v in range(viewers.shape[0]):
                ex, ey, ez = x - viewers[v, 0], y - viewers[v, 1], z - viewers[v, 2]
                d = np.sqrt(ex * ex + ey * ey + ez * ez)
                slant = abs(ex * nx + ey * ny + ez * nz) / d
                foot = max(foot, d / viewers[v, 3] / np.sqrt(max(slant, 0.05)))
            paint = paints[int(g[PAINT])]
            _albedo(paint, g, qx + g[TEX], qy + g[TEX + 1], qz + g[TEX + 2], foot, rgb)
            # a point just off the surface
            x, y, z = x + 1e-5 * nx, y + 1e-5 * ny, z + 1e-5 * nz
            direct = sky = shine = 0.0
            for s in range(samples):
                index = k * samples + s + 1
                a, r = 2.0 * np.pi * _radical(index, 2), np.sqrt(_radical(index, 3))
                # the lamp is a disc that faces the point; any two axes across do
                lx, ly, lz = light[LX] - x, light[LX + 1] - y, light[LX + 2] - z
                d = np.sqrt(lx * lx + ly * ly + lz * lz)
                ax, ay, az = lz / d, 0.0, -lx / d
                size = np.sqrt(ax * ax + az * az) + 1e-12
                ax, az = ax / size, az / size
                bx, by, bz = (ly * az - lz * ay) / d, (lz * ax - lx * az) / d, (lx * ay - ly * ax) / d
                u, v = light[LR] * r * np.cos(a), light[LR] * r * np.sin(a)
                lx, ly, lz = lx + u * ax + v * bx, ly + u * ay + v * by, lz + u * az + v * bz
                d2 = lx * lx + ly * ly + lz * lz
                cosine = (nx * lx + ny * ly + nz * lz) / np.sqrt(d2)
                if cosine > 0.0:
                    _, hit = _nearest(solids, groups, x, y, z, lx, ly, lz, 1e-6, 1.0, True)
                    if hit < 0:
                        direct += cosine * light[LZ] * light[LZ] / d2
                        if paint[SHINE] > 0.0:
                            length = np.sqrt(d2)
                            view = np.sqrt(dx * dx + dy * dy + dz * dz)
                            hx, hy, hz = lx / length - dx / view, ly / length - dy / view, lz / length - dz / view
                            h = (nx * hx + ny * hy + nz * hz) / np.sqrt(hx * hx + hy * hy + hz * hz)
                            shine += paint[SHINE] * max(h, 0.0) ** paint[GLOSS]
                if light[LO] > 0.0:  # cosine-weighted sky: a point of the disc lifted to the hemisphere about n
                    px, py = r * np.cos(a), r * np.sin(a)
                    if abs(nz) < 0.9:
                        ax, ay, az = ny, -nx, 0.0
                    else:
                        ax, ay, az = 0.0, nz, -ny
                    size = np.sqrt(ax * ax + ay * ay + az * az)
                    ax, ay, az = ax / size, ay / size, az / size
                    bx, by, bz = ny * az - nz * ay, nz * ax - nx * az, nx * ay - ny * ax
                    pz = np.sqrt(max(0.0, 1.0 - px * px - py * py))
                    wx, wy, wz = px * ax + py * bx + pz * nx, px * ay + py * by + pz * ny, px * az + py * bz + pz * nz
                    far, _ = _nearest(solids, groups, x, y, z, wx, wy, wz, 1e-6, light[LO], False)
                    sky += 1.0 if far == np.inf else 0.25 + 0.75 * (far / light[LO]) ** 0.7
                else:
                    sky += 1.0
            direct, sky, shine = direct / samples * light[LD], sky / samples * light[LA], shine / samples * light[LD]
            # the lamp is warmer than the sky
            red += rgb[0] * (1.04 * direct + 0.97 * sky) + shine
            green += rgb[1] * (direct + sky) + shine
            blue += rgb[2] * (0.92 * direct + 1.05 * sky) + shine
        out[i, 0], out[i, 1], out[i, 2] = red / count, green / count, blue / count
