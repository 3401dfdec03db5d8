"""Fail when a package's version, its changelog and its siblings' pins disagree."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Print every disagreement."""
    projects = {
        file.parent: tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        for file in sorted(ROOT.glob("packages/*/pyproject.toml"))
    }
    versions = {project["name"]: project["version"] for project in projects.values()}
    problems = []
    for folder, project in projects.items():
        changelog = (folder / "CHANGELOG.md").read_text(encoding="utf-8")
        if f"## {project['version']}" not in changelog:
            problems.append(f"{folder.name}: CHANGELOG.md has no heading for {project['version']}")
        extras = project.get("optional-dependencies", {}).values()
        for requirement in [
            *project.get("dependencies", []),
            *(r for extra in extras for r in extra),
        ]:
            name = re.split(r"[^A-Za-z0-9-]", requirement, maxsplit=1)[0]
            if name not in versions or name == project["name"]:  # an extra of its own
                continue
            wanted = versions[name].split(".")
            pin = re.fullmatch(rf"{name}~=(\d+)\.(\d+)\.(\d+)", requirement)
            if pin is None or list(pin.groups()[:2]) != wanted[:2]:
                problems.append(f"{folder.name}: {requirement} does not fit {versions[name]}")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
