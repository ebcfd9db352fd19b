"""The verdict: a table of rules over the findings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..records import Finding
from .cameras import MAX_FOCAL_TILT, MAX_STRETCH
from .run_findings import RELIABLE_SIGMA
from .surfaces import MAX_DOUBTFUL

# The meaning of a finding for the shape, the most important first.
REASONS = {
    "same_photo": "both photos are the same picture",
    "crop": "one photo is a part of the other",
    "zoom": "both photos were taken from one place, with another zoom",
    "no_overlap": "the photos do not seem to show the same thing",
    "no_panorama": "these are no panoramas",
    "pure_rotation": "the camera only turned, so there is no depth to see",
    "flat_scene": "both photos show a single plane, which hardly determines how the camera moved",
    "overlay": "a part of the photos is no photo but lies over both",
    "window": "the principal points of the photos differ, so the distance of far things is known only within bounds",
    "behind_camera": "many matches meet behind a camera",
    "repeated_pose": "the camera motion rests on a pattern that repeats",
    "critical_surface": "other camera motions explain the photos as well",
    "unstable_pose": "the camera motion is uncertain",
    "few_matches": "too few matches",
    "lens_changed": "the photos differ in zoom, or a shutter or a stabiliser bent them",
    "focus_changed": "the focus changed between the photos, or a shutter or a stabiliser bent them",
    "focal_implausible": "the focal length does not look right",
    "focal_unknown": "the focal length is a guess",
    "focal_ambiguous": "two focal lengths explain the photos",
    "focal": "the focal length is uncertain",
    "cropped": "a photo was cropped, so its focal length and principal point are uncertain",
    "rig_moved": "the rig is far from its nominal numbers",
    "nominal_depth": "the rig is known nominally, so depth may be stretched",
    "bent_pictures": "the photos are bent as by no known lens, so the camera motion is uncertain",
    "small_baseline": "both photos were taken from nearly the same place, so depth is rough",
    "uncertain_depth": "its depth is uncertain",
    "repeated": "much of it is repeated structure, whose matches are not unique",
    "low_coverage": "it covers only a part of the photos",
    "forward_motion": "the camera moved forward, so depth is uncertain about the middle of that motion",
    "large_baseline": "the two views differ so much that a lot is hidden in one of them",
    "moving_objects": "something seems to have moved between the photos",
    "many_outliers": "most matches are wrong",
    "calibration_off": "the photos do not fit the cameras' calibration or lens",
    "not_central": "the rays of a photo do not meet in one point",
    "rows_off": "the rows of the rectified pictures are misaligned",
    "blur": "the photos are blurred",
    "noise": "the photos are noisy, so their measurements are uncertain",
    "bad_exposure": "much of a photo is black or white",
    "low_contrast": "a photo has little contrast",
    "different_scale": "the photos were taken from very different distances",
    "calibration_exchanged": "the photos were named in the other order than the calibration",
    "marker_scale": "its scale is uncertain",
    "position_scale": "its scale is uncertain",
    "scale_disagrees": "what gives the scale contradicts itself",
    "mesher_fallback": "Open3D is missing, so a simpler mesh was made",
}
FOCAL_CODES = ("focal", "focal_unknown", "focal_ambiguous")
# Factor by which matches may contradict the focal length of a fair shape: if they are right depth is stretched by it,
# and they tell it to a few per cent.
MAX_CONTRADICTION = 1.2
MAX_WINDOW_STRETCH = 1.6  # of the depth range, between +- 2 standard errors: 1.3 from the middle
# Of the parallax, by which parts of the sphere are off their epipolar planes: depth errs by twice as much (rendered
# panoramas of two lenses: 1.8 % at .014, 8.8 % at .039), and "fair" is up to 10 %.
MAX_PARTS_SHARE = 0.03
MIN_COVERAGE = 0.1  # share of the first photo below which the shape says little
LOW_COVERAGE = 0.2  # likewise, below which too much is missing for "good"
USABLE_SIGMA = 0.06  # median relative depth uncertainty above which the shape says little


# What these cost is measured: the uncertainty of the depth, and the coverage. Where both are good they are no doubt.
MEASURED = ("small_baseline", "large_baseline", "forward_motion")
# What these cost is missing, not wrong: repeated structure that features do not support is left out.
MISSING = ("repeated", "low_coverage")


@dataclass(frozen=True, eq=False)
class Evidence:
    """Warnings and errors by code, the coverage and the median relative depth uncertainty: all that decides."""

    findings: Mapping[str, Finding]
    coverage: float
    sigma: float

    def any_of(self, *codes: str) -> bool:
        """Whether one of these was found."""
        return any(code in self.findings for code in codes)

    def number(self, code: str, name: str) -> float:
        """A number of a finding, 0 where it was not found."""
        return self.findings[code].numbers.get(name, 0.0) if code in self.findings else 0.0

    @property
    def doubts(self) -> set[str]:
        """Codes of the warnings and errors that make the shape less reliable."""
        spared: set[str] = set()
        if self.sigma <= RELIABLE_SIGMA and not self.any_of("low_coverage"):
            spared.update(MEASURED)
        if self.coverage >= LOW_COVERAGE and self.number("repeated", "kept") <= MAX_DOUBTFUL:
            spared.update(MISSING)
        return set(self.findings) - spared

    @property
    def stretch(self) -> float:
        """Factor by which an uncertain focal length may stretch depth."""
        return max(self.number(code, "stretch") for code in FOCAL_CODES)

    @property
    def contradiction(self) -> float:
        """Factor by which the matches contradict the focal length that is used; 1 where they do not."""
        factor = self.number("focal_implausible", "focal_factor")
        return max(factor, 1 / factor) if factor > 0 else 1.0

    @property
    def shaky(self) -> int:
        """Number of causes of rough depth: both together, or one with a guessed focal length, ruin the depth."""
        return len({"flat_scene", "small_baseline"} & self.doubts)


WORDS = {
    "none": "Do not believe this shape",
    "poor": "Do not rely on its shape",
    "fair": "Usable, with care",
    "good": "You can rely on it",
}
# What a verdict means for whoever uses the model.
MEANINGS = {
    "good": "No measurement contradicts this shape.",
    "fair": "The shape holds as a whole; read the warnings before you measure on it.",
    "poor": "The shape itself may be wrong, however convincing it looks.",
    "none": "The run was forced past an error: the result only illustrates what went wrong.",
}
SEVERITIES = ("error", "warning", "info")
# Infos that a user should read first: which photos were used, and from where the lens and the scale are known.
TOLD_FIRST = ("chosen_pair", "source", "focal", "marker_scale", "position_scale")
# The first rule that holds decides.
RULES: tuple[tuple[str, Callable[[Evidence], bool]], ...] = (
    ("none", lambda e: any(f.severity == "error" for f in e.findings.values())),
    ("poor", lambda e: e.coverage < MIN_COVERAGE),
    ("poor", lambda e: e.any_of("critical_surface", "unstable_pose", "few_matches", "repeated_pose", "lens_changed")),
    ("poor", lambda e: e.any_of("focal_unknown") and e.shaky > 0),
    ("poor", lambda e: e.number("focal_unknown", "motion_deg") > MAX_FOCAL_TILT),  # the guess turns the motion
    ("poor", lambda e: e.stretch > MAX_STRETCH["fair"]),
    ("poor", lambda e: e.contradiction > MAX_CONTRADICTION),
    ("poor", lambda e: e.number("cropped", "one") > 0),  # the photos were not cropped alike
    ("poor", lambda e: e.number("window", "stretch") > MAX_WINDOW_STRETCH),  # or its depth may be reversed
    ("poor", lambda e: e.number("window", "gain") > 0),  # a zoom, a skew and a stabiliser look like a shift, too
    ("poor", lambda e: e.number("not_central", "parallax_share") > MAX_PARTS_SHARE),
    ("poor", lambda e: e.shaky > 1),
    ("poor", lambda e: not e.sigma <= USABLE_SIGMA),
    ("fair", lambda e: len(e.doubts) > 0 or e.sigma > RELIABLE_SIGMA),
    ("good", lambda e: True),
)


def judge(
    findings: list[Finding], covered: float, relative_sigma: float, inliers: int, unit: str | None
) -> tuple[str, str]:
    """Return the verdict and its summary.

    Parameters
    ----------
    findings : list of Finding
        All findings of the run.
    covered : float
        Share of the first photo that became surface.
    relative_sigma : float
        Median relative depth uncertainty.
    inliers : int
        Number of matches that agree with the pose.
    unit : str, optional
        Unit of the mesh, None where its scale is unknown.

    Returns
    -------
    verdict : str
        "good": no warning that makes the shape less reliable; "fair": such a warning; "poor": the shape itself may be
        wrong; "none": an error.
    summary : str
        A sentence with the main reason, then the figures.
    """
    evidence = _evidence(findings, covered, relative_sigma)
    found = evidence.findings
    verdict = next(verdict for verdict, holds in RULES if holds(evidence))
    codes = [f.code for f in by_weight(list(found.values()), covered, relative_sigma)]
    text, rest = WORDS[verdict], codes
    if codes and verdict != "good":
        text += f": {REASONS.get(codes[0], found[codes[0]].message.rstrip('.'))}"
        rest = codes[1:]
    for code in (c for c in FOCAL_CODES if c in found):
        stretch = f"depth may be stretched or squeezed by a factor of about {evidence.stretch:.2g}"
        why = " (the focal is a guess)" if code == "focal_unknown" else ""
        text += f", so {stretch}" if codes[0] == code else f", and {stretch}{why}"
    scale = f"metric, in {unit}" if unit else "up to scale, unit = baseline (from camera to camera)"
    summary = (
        f"{text}. {100 * covered:.0f} % of the first photo became surface, relative depth uncertainty "
        f"{100 * relative_sigma:.2g} % (median), {inliers} matches agree; {scale}."
    )
    return verdict, summary + (f" Mind also: {', '.join(rest)}." if rest else "")


def by_weight(findings: list[Finding], covered: float, relative_sigma: float) -> list[Finding]:
    """Return the findings, those that matter most first.

    Errors, then the warnings that make the shape less reliable, then the other warnings, each in the order of
    `REASONS`; infos last.

    Parameters
    ----------
    findings : list of Finding
    covered, relative_sigma : float
        As for `judge`.
    """
    doubts = _evidence(findings, covered, relative_sigma).doubts
    order = {"info": TOLD_FIRST}

    def weight(finding: Finding) -> tuple[int, bool, int]:
        codes = [*order.get(finding.severity, REASONS)]
        place = codes.index(finding.code) if finding.code in codes else len(codes)
        return SEVERITIES.index(finding.severity), finding.code not in doubts, place

    return sorted(findings, key=weight)


def _evidence(findings: list[Finding], covered: float, relative_sigma: float) -> Evidence:
    found = {f.code: f for f in findings if f.severity in ("warning", "error")}
    return Evidence(found, covered, relative_sigma)
