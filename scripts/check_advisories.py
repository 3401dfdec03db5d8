"""Known advisories about what the lock file holds, by way of pip-audit.

Its own verdict is not enough: it passes when its source knows none of the packages, as behind a
mirror, or when there is no answer at all. Ends with 0 when everything was compared and nothing
found, with 1 when there is an advisory, else with 3 when a package could not be compared.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).parent.parent
CLEAN: Final = 0
FOUND: Final = 1
UNCHECKED: Final = 3
SECONDS: Final = 300
"""For some hundred questions, one after the other; a source that is away is given up before."""


def verdict(report: Mapping[str, Any] | None) -> tuple[int, list[str]]:
    """Return the exit status and what to say about a report of pip-audit.

    Args:
        report: Its JSON; ``None`` when it wrote none.
    """
    packages = [] if report is None else report["dependencies"]
    if not packages:
        return UNCHECKED, ["the source of advisories cannot be reached: nothing was compared"]
    found = [
        f"{package['name']} {package['version']}: {vulnerability['id']}"
        f" (fixed in {', '.join(vulnerability['fix_versions']) or 'no release'})"
        for package in packages
        for vulnerability in package.get("vulns", ())
    ]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if skipped:
        found.append(
            f"{len(skipped)} of {len(packages)} packages are unknown to the source of advisories "
            f"and were not compared: {', '.join(skipped[:5])}{' ...' if skipped[5:] else ''}"
        )
    if len(found) > bool(skipped):
        return FOUND, found
    if skipped:
        return UNCHECKED, found
    return CLEAN, [f"no advisory about any of {len(packages)} packages"]


def _requirements() -> str:
    """Return the lock file as pip reads it, with hashes, without what is built here."""
    command = ["uv", "export", "--frozen", "--all-packages", "--all-groups", "--all-extras"]
    command += ["--no-emit-workspace", "--quiet"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def _audit(requirements: str) -> dict[str, Any] | None:
    with tempfile.TemporaryDirectory() as folder:
        wanted, report = Path(folder, "requirements.txt"), Path(folder, "report.json")
        wanted.write_text(requirements, encoding="utf-8")
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(wanted)]
        command += ["--disable-pip", "--require-hashes", "--progress-spinner", "off"]
        command += ["--format", "json", "--output", str(report)]
        try:
            done = subprocess.run(
                command, check=False, timeout=SECONDS, capture_output=True, text=True
            )
        except subprocess.TimeoutExpired:
            return None
        if not report.exists() or not (text := report.read_text(encoding="utf-8")):
            sys.stderr.write(done.stderr)
            return None
        loaded: dict[str, Any] = json.loads(text)
        return loaded


def main() -> int:
    """Compare, and say what came of it."""
    status, lines = verdict(_audit(_requirements()))
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
