"""Findings of surfaces that were left out: repeated structure, and parts that float far away."""

import math
from dataclasses import dataclass

from ..records import Finding

MAX_REPEATED = 0.05  # share of the matched pixels left out as repeated; 19 real pairs lose up to .029 (kermit)
MAX_DOUBTFUL = 0.2  # share of the matched pixels that stay although repeated; 19 real pairs have up to .042 (fountain)


@dataclass(frozen=True)
class LostSurface:
    """Surface that was left out: its share of the matched pixels; where the largest part is, px of photo 1, or None."""

    share: float
    place: tuple[float, float] | None


def unsupported_findings(
    repeated: LostSurface, floating: LostSurface, doubtful: float, period: float = math.nan
) -> list[Finding]:
    """Return how much surface was left out: repeated structure without the support of features, and parts far off.

    Parameters
    ----------
    repeated, floating : LostSurface
        See `pipeline.support`.
    doubtful : float
        Share of the matched pixels on repeated structure that stayed, as features support it.
    period : float
        px of the first photo, of that structure; NaN unknown.

    Returns
    -------
    list of Finding
        "repeated", a warning where more than MAX_REPEATED was left out or more than MAX_DOUBTFUL is repeated, and
        "floating".
    """
    findings = []
    if repeated.share + doubtful > 0:
        much = repeated.share > MAX_REPEATED or repeated.share + doubtful > MAX_DOUBTFUL
        lost = f"{_percent(repeated)} were left out because no features support them" if repeated.share else ""
        stays = f"{100 * doubtful:.2g} % stay because a few features support them" if doubtful else ""
        known = math.isfinite(period)
        every = f" every {period:.0f} px" if known else ""
        findings.append(
            Finding(
                "repeated",
                "warning" if much else "info",
                f"a structure repeats{every} and may be matched at the wrong place: of the matched pixels "
                f"{'; '.join(text for text in (lost, stays) if text)}.",
                {
                    "share": repeated.share,
                    "kept": doubtful,
                    **({"period": period} if known else {}),
                    **_where(repeated),
                },
                "Take the second photo from nearer to the first, or show something unique beside it." if much else "",
            )
        )
    if floating.share > 0:
        findings.append(
            Finding(
                "floating",
                "info",
                f"of the matched pixels {_percent(floating)} were far in front of or behind all features and were left "
                "out.",
                {"share": floating.share, **_where(floating)},
            )
        )
    return findings


def _where(lost: LostSurface) -> dict[str, float]:
    return {} if lost.place is None else {"x": lost.place[0], "y": lost.place[1]}


def _percent(lost: LostSurface) -> str:
    """The share, and where its largest part is."""
    where = "" if lost.place is None else " (most of them near {:.0f}, {:.0f} in the first photo)".format(*lost.place)
    return f"{100 * lost.share:.2g} %{where}"
