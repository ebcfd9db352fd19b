"""Write a software bill of materials, CycloneDX 1.5 as JSON: every distribution of this Python and what requires it.

    make sbom                                  # out/sbom.json
    .venv/bin/python sbom.py [FILE]            # by default standard output

Names, versions and licences are those of the installed packages' own metadata. Libraries inside a wheel (of OpenCV,
Open3D, NumPy, Pillow, ...) are no distributions and not listed. The files' hashes are in constraints.txt and
constraints-test.txt, which pip checked when it installed them.
"""

import json
import re
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name


def reference(dist: metadata.Distribution) -> str:
    """Return the package URL: pkg:pypi/name@version."""
    return f"pkg:pypi/{canonicalize_name(dist.metadata['Name'])}@{dist.version}"


def component(dist: metadata.Distribution) -> dict:
    """Return the entry of one distribution."""
    entry = {
        "type": "library",
        "bom-ref": reference(dist),
        "name": canonicalize_name(dist.metadata["Name"]),
        "version": dist.version,
        "purl": reference(dist),
    }
    facts = dist.metadata.json
    expression = facts.get("license_expression")
    classifiers = [c.rpartition(" :: ")[2] for c in facts.get("classifier", []) if c.startswith("License ::")]
    name = str(facts.get("license") or "; ".join(classifiers)).strip().partition("\n")[0]
    if expression:
        entry["licenses"] = [{"expression": str(expression)}]
    elif name:
        entry["licenses"] = [{"license": {"name": name[:200]}}]
    return entry


def required(dist: metadata.Distribution, installed: dict[str, metadata.Distribution]) -> list[str]:
    """Return the references of the installed distributions that it requires, without extras."""
    found = set()
    for line in dist.requires or []:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and canonicalize_name(requirement.name) in installed:
            found.add(reference(installed[canonicalize_name(requirement.name)]))
    return sorted(found)


def bill_of_materials() -> dict:
    """Return the document; stereo3d itself is the component that it describes."""
    named = [d for d in metadata.distributions() if d.metadata["Name"]]
    installed = {canonicalize_name(d.metadata["Name"]): d for d in sorted(named, key=lambda d: d.metadata["Name"])}
    own = installed["stereo3d"]
    others = [d for name, d in sorted(installed.items()) if name != "stereo3d"]
    python = re.sub(r"[^\w.+-]", "", sys.version.split()[0])
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": component(own) | {"type": "application"},
            "properties": [{"name": "python", "value": python}, {"name": "platform", "value": sys.platform}],
        },
        "components": [component(dist) for dist in others],
        "dependencies": [{"ref": reference(d), "dependsOn": required(d, installed)} for d in (own, *others)],
    }


if __name__ == "__main__":
    text = json.dumps(bill_of_materials(), indent=1, ensure_ascii=False) + "\n"
    if len(sys.argv) > 1:
        Path(sys.argv[1]).parent.mkdir(parents=True, exist_ok=True)
        Path(sys.argv[1]).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
