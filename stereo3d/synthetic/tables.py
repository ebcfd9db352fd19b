"""Columns and codes of the tables that hold a ray-cast scene: solids (N,36), groups (G,6), paints (P,32), light (16,).

Lengths are in metres, colours linear in light. The scene builders write these tables, the kernels read them.
"""

# Columns of a row of `solids`. Local coordinates of a point X are q = axes (X - centre), unit coordinates u = q / size.
KIND = 0  # one of the solids below
AXES = 1  # 9 columns: the solid's axes, row by row
CENTRE = 10  # 3 columns, m
SIZE = 13  # 3 columns, m
SHAPE = 16  # up to 8 columns: parameters of the kind
PAINT = 24  # row of `paints`
TEXTURE = 25  # 3 columns, m: added to q, gives texture coordinates
BOUND = 28  # m^2: squared radius of the bounding ball about the centre
REFRACTION = 29  # 0: opaque; 1: thin clear walls; above 1: refractive index of the clear matter within
GRADIENT = 32  # 4 columns, m, of a triangle: its first two texture coordinates are GRADIENT (2,2) (u_x, u_y)
# Kinds of solid.
RECTANGLE = 0  # u_z = 0, |u_x|, |u_y| <= 1
ELLIPSOID = 1  # |u| = 1, shape 0 <= u_z <= shape 1 (an open shell where cut)
BOX = 2  # max |u| = 1, from outside or inside
# FRUSTUM  u_x^2 + u_y^2 = r^2, |u_z| <= 1, r from shape 0 (u_z = -1) to shape 1 (+1); lids by shape 2: 1 below + 2
#          above; the normal's elevation in q goes from shape 3 to shape 4 rad (a stack of frusta shades as one body)
FRUSTUM = 3
DISC = 4  # u_z = 0, shape 0 <= |(u_x, u_y)| <= 1
# TRIANGLE  u_z = 0, u_x, u_y >= -1/3, u_x + u_y <= 1/3, its axes not orthonormal: the inverse of its two edges and its
#           normal; the normal's components along the edges, over that across, at the three corners: shape 0 to 5
TRIANGLE = 5
# Columns of a row of `groups`: solids that one bounding ball culls together.
FIRST = 0  # row of the first solid
END = 1  # row after the last solid
GROUP_CENTRE = 2  # 3 columns, m
GROUP_BOUND = 5  # m^2: squared radius of the bounding ball
# Columns of a row of `paints`; column 0 holds the kind.
COLOURS = 1  # 12 columns: four colours, linear RGB
SHINE = 13  # specular share
GLOSS = 14  # specular exponent
SEED = 15  # of the noise
ARGUMENTS = 16  # arguments of the kind, named in its kernel
# Kinds of paint.
PLAIN = 0
MOTTLED = 1
WOOD = 2
WALL = 3
BANDS = 4
FRUIT = 5
GLOBE = 6
COVER = 7
WEAVE = 8
DOTS = 9
CHECKS = 10
SKY = 11  # of the background alone: a function of the direction
LEAF = 12
# Entries of `light`.
LAMP = 0  # 3 entries, m: centre of the lamp's disc
LAMP_RADIUS = 3  # m
LAMP_STRENGTH = 4  # radiance of a white surface at LAMP_DISTANCE that faces the lamp
SKY_STRENGTH = 5  # radiance of a white surface under the open sky
SKY_REACH = 6  # m: how far away a surface still occludes the sky; 0: no occlusion
LAMP_DISTANCE = 7  # m
BACKGROUND = 8  # row of `paints` that rays without a hit see, -1: black
