"""What a user of the library writes; `.ci/package.sh` checks it as strictly as a type checker can."""

from stereo3d import Config, Finding, Result, StereoError, reconstruct

settings = Config(matcher="sgm", max_size=1200)
try:
    result: Result = reconstruct("left.jpg", "right.jpg", config=settings)
    doubts: list[Finding] = [finding for finding in result.findings if finding.severity == "warning"]
    print(result.verdict, *(finding.message for finding in doubts))
    result.save("model.glb")
except StereoError as error:
    print(error.code, error.advice)
