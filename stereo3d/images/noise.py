"""How noisy a picture is."""

import numpy as np


def noise_level(grey: np.ndarray, *, block: int = 32) -> float:
    """n^2 = (4 s1^2 - s2^2) / 3: standard deviation of the noise, grey levels, in the flattest blocks.

    s1 and s2 are the root mean squares of the diagonal details (a - b - c + d) / 2 of squares of 2 x 2 px, and of the
    sums (a + b + c + d) / 2 of such squares (Haar's wavelet at two scales); the median of the blocks counts. White
    noise has s1 = s2 = n, while the picture of a lens has at least twice the detail at the next scale, so that texture
    counts for nothing; where it hides the noise the value is too low.

    Parameters
    ----------
    grey : (H, W) uint8 or float32
        Picture, grey levels of 0 to 255.
    block : int
        px. The quarter of the blocks with the least s2 is used, none that is nearly black or white, where noise is cut
        off.

    Returns
    -------
    float
        Grey levels; 0 where fewer than 4 blocks are left.

    References
    ----------
    Donoho and Johnstone, Ideal spatial adaptation by wavelet shrinkage, 1994, for noise by the finest details.
    """
    h, w = (n // block for n in grey.shape)

    def squares(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a, b, c, d = x[::2, ::2], x[::2, 1::2], x[1::2, ::2], x[1::2, 1::2]
        return (a - b - c + d) / 2, (a + b + c + d) / 2

    def blocks(x: np.ndarray) -> np.ndarray:
        n = len(x) // max(h, 1)
        return x.reshape(h, n, w, n).swapaxes(1, 2).reshape(h * w, n * n)

    if h * w < 4:
        return 0.0
    fine, sums = squares(grey[: h * block, : w * block].astype(np.float32))
    coarse, _ = squares(sums)
    level = blocks(sums) / 2
    inside = (level.min(1) > 16) & (level.max(1) < 239)
    if inside.sum() < 4:
        return 0.0
    s1, s2 = ((blocks(detail)[inside] ** 2).mean(1) for detail in (fine, coarse))
    flat = s2 <= np.quantile(s2, 0.25)
    return float(np.sqrt(max(0.0, (4 * np.median(s1[flat]) - np.median(s2[flat])) / 3)))
