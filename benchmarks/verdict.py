"""Statistics and findings of `diagnose`, over good pairs and over pairs that cannot be reconstructed.

    python benchmarks/verdict.py [--data DIR] [--max-size 800] [--angles 2 8 15] [--factors 1 0.7 1.4] [--risk]

Good: the demo, rendered scenes in all poses, and with $STEREO3D_DATA the six pairs of the fountain, kermit, sceaux,
lawn (without and with its rig), berlin, and the rectified scenes. Bad, made on the fly from one photo of each: the
photo and its rotation homography K R K^-1, by several angles, K right or wrong by several factors, with noise and
saved as JPEG again; the homography of a plane; the photo saved again; two photos that have nothing to do with each
other; pictures of noise. A line ends in WRONG where a bad pair has not its code, or a good pair an error.

Columns: matches, those that agree; log10 of the false alarms (needed < -10); 90 % residual (px of 1600) after the best
homography and its share of the matches (< 1.5 and > .95: no parallax); the same residual after the best turn with free
focal (< 1.5: a turn, not a plane) and that focal's factor; angle of the rays; standard error of t's direction; least
visible wrong motion (px per degree); cost of the best other motion.

--risk, instead: does a warning mean something? Rendered matches with truth, weak and strong geometry: median and
largest error of the pose where each finding was said and where nothing was. Then rendered pairs made worse step by
step: blurred (both photos, the second alone, by Gaussians and by shakes), noisy, over- and underexposed, the rows of
the rectified pictures shifted, the baseline lengthened; what is measured of it, the error of pose and depth, the share
of depths more than 2 % off, the share of the rectified picture with a depth, and the findings.
"""

import argparse
import itertools
import json
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from stereo3d import diagnosis, synthetic, two_view
from stereo3d.cameras import camera_for, read_rig
from stereo3d.diagnosis import photos as photos_module
from stereo3d.diagnosis import statistics as d
from stereo3d.diagnosis.copies import copy_findings
from stereo3d.diagnosis.run_findings import parallax_px, row_findings
from stereo3d.diagnosis.twins import twin_findings
from stereo3d.disparity import compute_disparity
from stereo3d.errors import StereoError
from stereo3d.evaluation.pose import pose_errors
from stereo3d.features import detect_features, match_features
from stereo3d.geometry import project, rotation_from_vector
from stereo3d.images import read_photo
from stereo3d.images.noise import noise_level
from stereo3d.records import Matches, Photo, Rig
from stereo3d.rectification import disparity_range, rectify
from stereo3d.rectification.maps import row_errors
from stereo3d.synthetic import matches as matches_module
from stereo3d.synthetic import poses, scenes
from stereo3d.triangulation import triangulate
from stereo3d.two_view import estimate_two_view

DEMO = Path(__file__).parents[1] / "data" / "demo"


# ------------------------------------------------------------------------------------------------------- the pairs


def reduced(photo: Photo, size: int) -> Photo:
    share = min(1.0, size / max(photo.size))
    if share == 1:
        return photo
    shape = tuple(round(n * share) for n in photo.size)
    exif = {k: v for k, v in photo.exif.items() if k != "plane_resolution"}
    return Photo(cv2.resize(photo.pixels, dsize=shape, interpolation=cv2.INTER_AREA), exif)


def rig_by_exif(left: Photo, right: Photo) -> Rig:
    return Rig(camera_for(left), camera_for(right))


def good_pairs(data: Path | None):
    """name, photos, rig."""
    names = {"demo": (DEMO / "left.jpg", DEMO / "right.jpg")}
    if data:
        photos = data / "photos"
        views = [photos / "fountain" / "images" / f"{v}.jpg" for v in ("0003", "0004", "0005", "0006")]
        names |= {f"fountain {a.stem}-{b.stem}": (a, b) for a, b in itertools.combinations(views, 2)}
        views = [photos / "kermit" / f"kermit00{k}.jpg" for k in range(3)]
        names |= {f"kermit {a.stem[-1]}-{b.stem[-1]}": (a, b) for a, b in itertools.combinations(views, 2)}
        names |= {
            "sceaux": tuple(sorted((photos / "sceaux").glob("*.JPG"))),
            "lawn": (photos / "lawn" / "lawn_L.png", photos / "lawn" / "lawn_R.png"),
            "berlin": (photos / "berlin" / "01.jpg", photos / "berlin" / "02.jpg"),
        }
    for name, paths in names.items():
        left, right = (read_photo(p) for p in paths)
        yield name, left, right, rig_by_exif(left, right)
        if name == "lawn":
            yield "lawn, its rig", left, right, read_rig(paths[0].parent / "rig.json", (left.size, right.size))
    for pose in (p for p in poses.POSES if p != "rotation"):
        pair = synthetic.render("handheld", pose=pose, size=(480, 360), supersample=2)
        yield f"rendered, {pose}", pair.left, pair.right, Rig(pair.rig.cam1, pair.rig.cam2)
    for folder in sorted((data / "disparity").iterdir()) if data else ():
        if (folder / "pair.json").exists():
            facts = json.loads((folder / "pair.json").read_text())
            left, right = (read_photo(folder / facts[side]) for side in ("left", "right"))
            rig = rig_by_exif(left, right)
            yield f"rectified {folder.name}", left, right, replace(rig, R=np.eye(3), t=np.array([-1.0, 0, 0]))


def bad_pairs(data: Path | None, size: int, angles, factors):
    """name, photos, rig, the code that it should have (any of)."""
    paths = {"demo": DEMO / "left.jpg"}
    if data:
        photos = data / "photos"
        paths |= {
            "fountain": photos / "fountain/images/0004.jpg",
            "sceaux": photos / "sceaux/100_7101.JPG",
            "kermit": photos / "kermit/kermit000.jpg",
            "lawn": photos / "lawn/lawn_L.png",
            "berlin": photos / "berlin/01.jpg",
        }
    bases = {name: reduced(read_photo(path), size) for name, path in paths.items()}
    if len(bases) == 1:
        bases["rendered"] = synthetic.render("slanted", size=(480, 360)).left
    rng = np.random.default_rng(0)

    def warped(photo, H, noise=2.0, quality=85):
        x = cv2.warpPerspective(
            src=photo.pixels, M=H, dsize=photo.size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )
        x = np.clip(x + rng.normal(0, noise, x.shape), 0, 255).astype(np.uint8)
        x = cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return Photo(cv2.imdecode(x, cv2.IMREAD_COLOR), photo.exif)

    for name, photo in bases.items():
        rig = rig_by_exif(photo, photo)
        for angle, factor in itertools.product(angles, factors):
            K = rig.cam1.K * [[factor, 1, 1], [1, factor, 1], [1, 1, 1]]
            R = rotation_from_vector(np.radians(angle) * np.array([0.25, 0.95, 0.15]))
            H = K @ R @ np.linalg.inv(K)
            yield f"{name} turned {angle:g}, focal x {factor:g}", photo, warped(photo, H), rig, ("pure_rotation",)
        for k, (t, n) in enumerate(
            (((0.15, 0.02, 0.02), (0.3, 0.1, -1)), ((0.1, 0.1, 0.05), (0.1, -0.5, -1)), ((0.25, 0, 0), (0, 0, -1)))
        ):
            R = rotation_from_vector(np.radians([1, -4, 1]))
            H = rig.cam1.K @ (R - np.outer(t, n)) @ np.linalg.inv(rig.cam1.K)
            yield f"{name}, plane {k}", photo, warped(photo, H), rig, ("flat_scene",)
        again = warped(photo, np.eye(3), 1, 60)
        yield f"{name}, saved again", photo, again, rig, ("same_photo", "pure_rotation")
    for (a, left), (b, right) in itertools.combinations(bases.items(), 2):
        yield f"{a} and {b}", left, right, rig_by_exif(left, right), ("few_matches", "no_overlap")
    noise = [Photo(rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)) for _ in range(2)]
    yield "noise", *noise, rig_by_exif(*noise), ("few_matches", "no_overlap", "few_features")


# ------------------------------------------------------------------------------------------------------ the table


def judge(left: Photo, right: Photo, rig: Rig, size: int):
    """(statistics | None, {code: severity}) as the whole run finds them, up to the pose."""
    try:
        found = tuple(detect_features(photo, max_size=size) for photo in (left, right))
        matches = match_features(left, right, max_size=size, found=found)
        if copies := copy_findings(matches, left, right, posed=rig.posed):
            return None, {f.code: f.severity for f in copies}
        view = estimate_two_view(matches, rig, threshold=1.5 * max(1.0, max(left.size) / size))
    except StereoError as error:
        return None, {error.code: "error"}
    findings = [
        *diagnosis.diagnose(matches, view, rig),
        *diagnosis.photo_findings(left, right, matches[view.inliers], max_size=size),
        *([] if rig.posed else twin_findings(found, matches, view.inliers, max(left.size))),
    ]
    x1, x2 = matches.x1[view.inliers], matches.x2[view.inliers]
    unit = d.photo_unit(view.rig)
    residual, share = d.homography_residual(x1, x2, unit)
    turn, factor = d.turn_residual(x1, x2, view.rig)
    figures = (
        len(matches),
        len(x1),
        d.false_alarms(matches, view),
        residual / unit,
        share,
        turn / unit,
        factor,
        d.median_parallax_angle(x1, x2, view),
        two_view.direction_sigma_deg(x1, x2, view),
        two_view.weakest_motion_px(x1, x2, view) / unit,
        two_view.rival_motion(x1, x2, view)[1],
    )
    return figures, {f.code: f.severity for f in findings}


def show(name: str, figures, found: dict[str, str], right: bool) -> None:
    formats = ("8.0f", "8.0f", "8.0f", "8.2f", "8.2f", "8.2f", "8.2f", "8.2f", "8.2f", "8.3f", "8.2f")
    cells = "".join(f"{v:{f}}" for v, f in zip(figures, formats, strict=True)) if figures else " " * 8 * len(formats)
    words = [code + {"error": " ERROR", "warning": " !", "info": ""}[s] for code, s in found.items()]
    print(f"{name:34s}{cells}  {', '.join(words)}{'' if right else '  WRONG'}", flush=True)


def risk() -> None:
    """Error of the pose by what was said, over boxes of points of several shapes seen by a step of 1/20 or 1/6."""
    said: dict[str, list[float]] = {}
    _, rig = matches_module.random_two_view(8, seed=0)
    free = Rig(rig.cam1, rig.cam2)
    cases = [box_matches(rig, *a) for a in itertools.product((4, 1, 0.2), (2, 0.5, 0.25), (0.3, 1), (0, 1))]
    cases += [
        matches_module.random_two_view(400, seed=s, motion=m, noise=0.5, outliers=0.2)
        for m in matches_module.MOTIONS
        if m != "rotation"
        for s in range(4)
    ]
    for matches, true in cases:
        try:
            view = estimate_two_view(matches, free)
        except StereoError:
            continue
        error = max(pose_errors(view.R, view.t, true.R, true.t).values())
        codes = [f"{f.code} ({f.severity})" for f in diagnosis.diagnose(matches, view, free) if f.severity != "info"]
        for code in codes or ["nothing"]:
            said.setdefault(code, []).append(error)
    print(f"{'what was said':34s}{'pairs':>8s}{'median':>10s}{'largest':>10s}   error of the pose, degrees")
    for code, errors in sorted(said.items(), key=lambda item: np.median(item[1])):
        print(f"{code:34s}{len(errors):8d}{np.median(errors):10.2f}{max(errors):10.2f}")


def worse_pairs(scene: str, pose: str):
    """name, left, right, the pair with its truth, rows by which the rectified right picture is shifted."""

    def blurred(photo, width):
        return Photo(cv2.GaussianBlur(src=photo.pixels, ksize=(0, 0), sigmaX=width))

    def shaken(photo, length):
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1 / length
        return Photo(cv2.filter2D(src=photo.pixels, ddepth=-1, kernel=kernel))

    def exposed(photo, gain):
        return Photo(np.clip(np.rint(photo.pixels * float(gain)), 0, 255).astype(np.uint8))

    pair = synthetic.render(scene, pose=pose, size=(640, 480), supersample=2, noise=1.0)
    left, right = pair.left, pair.right
    yield "as it is", left, right, pair, 0
    for width in (0.7, 1, 1.4, 2, 2.8):
        yield f"both blurred by {width:g} px", blurred(left, width), blurred(right, width), pair, 0
    for width in (0.7, 1, 1.4, 2, 2.8):
        yield f"second blurred by {width:g} px", left, blurred(right, width), pair, 0
    for length in (5, 9, 13):
        yield f"second shaken over {length} px", left, shaken(right, length), pair, 0
    for gain in (1.3, 1.7, 2.2, 3, 4, 0.3, 0.2, 0.1, 0.07):
        yield f"both {gain:g} times as bright", exposed(left, gain), exposed(right, gain), pair, 0
    for sigma in (3, 6, 9, 12, 15, 20, 30):
        noisy = synthetic.render(scene, pose=pose, size=pair.left.size, supersample=2, noise=sigma)
        yield f"both with noise of {sigma:g} levels", noisy.left, noisy.right, noisy, 0
    for shift in (0.15, 0.3, 0.5, 1, 2):
        yield f"rows shifted by {shift:g} px", left, right, pair, shift
    base = scenes.SCENES[scene]().baseline
    for factor in (0.5, 1, 1.5, 2, 3, 4):
        far = synthetic.render(
            scene, pose="converging", baseline=factor * base, size=pair.left.size, supersample=2, noise=1.0
        )
        yield f"converging, {factor:g} baselines", far.left, far.right, far, 0


def degradations() -> None:
    columns = (
        "blur px",
        "apart",
        "noise",
        "clipped",
        "range",
        "rows px",
        "angle",
        "pose deg",
        "depth %",
        "bad %",
        "covered",
    )
    for scene, pose in (("handheld", "handheld"), ("still_life", "handheld"), ("slanted", "handheld_vertical")):
        print(f"\n{scene + ', ' + pose:34s}" + "".join(f"{c:>9s}" for c in columns))
        for name, left, right, pair, shift in worse_pairs(scene, pose):
            greys = [cv2.cvtColor(p.pixels, cv2.COLOR_RGB2GRAY) for p in (left, right)]
            blurs = sorted(photos_module.blur_width(g) for g in greys)
            ranges = [np.ptp(np.quantile(g, [0.01, 0.99])) for g in greys]
            seen = (
                blurs[1],
                np.sqrt(blurs[1] ** 2 - blurs[0] ** 2),
                max(map(noise_level, greys)),
                max(map(photos_module.clipped_share, (left, right))),
                min(ranges),
            )
            try:
                figures, said = outcome(left, right, pair, shift)
            except StereoError as error:
                figures, said = (np.nan,) * 6, [error.code]
            print(f"{name:34s}" + "".join(f"{v:9.2f}" for v in (*seen, *figures)) + "  " + ", ".join(said), flush=True)


def outcome(left, right, pair, shift):
    """(rows px, angle, pose error deg, median depth error %, share above 2 % in %, covered %), warnings said."""
    rig = Rig(pair.rig.cam1, pair.rig.cam2)
    matches = match_features(left, right)
    view = estimate_two_view(matches, rig)
    inlier_x = matches.x1[view.inliers], matches.x2[view.inliers]
    rectified = rectify(left, right, view, inlier_x=inlier_x)
    if shift:
        moved = cv2.warpAffine(
            src=rectified.right,
            M=np.array([[1.0, 0, 0], [0, 1, shift]]),
            dsize=rectified.right.shape[1::-1],
            flags=cv2.INTER_CUBIC,
        )
        rectified = replace(rectified, right=moved)
        rectified = replace(rectified, rows=row_errors(rectified, *inlier_x))
    disparity, _ = compute_disparity(rectified, disparity_range(rectified, *inlier_x))
    X, _ = triangulate(disparity, rectified, view)
    known = np.isfinite(X[..., 2])
    inverse = cv2.remap(
        src=(1 / pair.depth1).astype(np.float32),
        map1=np.nan_to_num(rectified.map1),
        map2=None,
        interpolation=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    error = 100 * np.abs(np.linalg.norm(pair.rig.t) * X[known, 2] * inverse[known] - 1)
    rows = rectified.rows.get("median_px", np.nan)
    found = [*diagnosis.diagnose(matches, view, rig), *diagnosis.photo_findings(left, right, matches[view.inliers])]
    found += row_findings(rectified, parallax_px(rectified, view, *inlier_x))
    said = [f.code for f in found if f.severity != "info"]
    return (
        rows,
        d.median_parallax_angle(*inlier_x, view),
        max(pose_errors(view.R, view.t, pair.rig.R, pair.rig.t).values()),
        np.median(error),
        100 * np.mean(error > 2),
        100 * known.mean(),
    ), said


def box_matches(rig: Rig, depth: float, width: float, base: float, seed: int) -> tuple[Matches, Rig]:
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (400, 3)) * [width, width, depth / 2] + [0, 0, 6]
    R = rotation_from_vector(np.radians([1, -3, 2]))
    t = -R @ np.array([base, 0.1 * base, 0.1 * base])
    x1, x2 = (x + rng.normal(0, 0.3, x.shape) for x in (project(X, rig.cam1.K), project(X, rig.cam2.K, R, t)))
    return Matches(x1, x2, np.ones(len(X), np.float32)), replace(rig, R=R, t=t)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("STEREO3D_DATA"), help="default: $STEREO3D_DATA")
    parser.add_argument("--max-size", type=int, default=800, help="px, of the photos when matched")
    parser.add_argument("--angles", type=float, nargs="*", default=[2, 8, 15], help="degrees, of the turns")
    parser.add_argument(
        "--factors", type=float, nargs="*", default=[1, 0.7, 1.4], help="true focal length over the assumed one"
    )
    parser.add_argument("--risk", action="store_true", help="error of the pose by what was said, instead")
    arguments = parser.parse_args()
    if arguments.risk:
        risk()
        return degradations()
    data = Path(arguments.data) if arguments.data else None
    size = arguments.max_size
    print(
        " " * 34
        + "".join(
            f"{c:>8s}"
            for c in (
                "matches",
                "agree",
                "NFA",
                "H px",
                "share",
                "turn px",
                "focal",
                "angle",
                "t deg",
                "px/deg",
                "rival",
            )
        )
    )
    wrong = {"good": [0, 0], "bad": [0, 0]}
    for name, left, right, rig in good_pairs(data):
        figures, found = judge(left, right, rig, size)
        right_so = "error" not in found.values()
        show(name, figures, found, right_so)
        wrong["good"][0] += 1
        wrong["good"][1] += not right_so
    for name, left, right, rig, codes in bad_pairs(data, size, arguments.angles, arguments.factors):
        figures, found = judge(left, right, rig, size)
        right_so = any(code in found for code in codes)
        show(name, figures, found, right_so)
        wrong["bad"][0] += 1
        wrong["bad"][1] += not right_so
    (good, false), (bad, missed) = wrong.values()
    print(f"\n{false} of {good} good pairs with an error, {missed} of {bad} bad pairs without their code")


if __name__ == "__main__":
    main()
