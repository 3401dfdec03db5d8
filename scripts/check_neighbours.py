"""Resolve our wheels together with what users have beside them, and print the table.

    python scripts/check_neighbours.py [FOLDER] [NEIGHBOUR …]

Each neighbour is resolved alone and then with exec-client and exec-server, extras included. It
fails when that cannot be done, and when our wheels hold a neighbour at an older release than it
would have alone. Nothing is installed; the package index is asked for what is current.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

ROOT = Path(__file__).parents[1]
NEIGHBOURS: Final = (
    "openai-agents",
    "litellm[proxy]",
    "fastmcp",
    "inspect-ai",
    "langchain",
    "deepagents",
    "google-adk",
    "ray",
)
"""What agents and evaluation runs are written with."""

EXTRAS: Final = {
    "exec-server-protocol": "",
    "exec-fs-helper": "",
    "exec-client": "[cli,fsspec,httpx,mcp,otel,progress]",
    "exec-server": "[all]",
}
SHOWN: Final = ("websockets", "mcp", "opentelemetry-sdk", "pydantic", "rich")
TIMEOUT_SECONDS: Final = 300


def build(dist: Path) -> list[str]:
    """Build our wheels; returns them as requirements, by file and never by a name of an index."""
    requirements = []
    for distribution, extras in EXTRAS.items():
        out = dist / distribution
        subprocess.run(
            ["uv", "build", "--quiet", "--wheel", "--no-sources", "--package", distribution,
             "-o", out],
            cwd=ROOT, check=True, timeout=TIMEOUT_SECONDS,
        )  # fmt: skip
        (wheel,) = out.glob("*.whl")
        requirements.append(f"{distribution}{extras} @ {wheel.as_uri()}")
    return requirements


def resolve(*requirements: str) -> dict[str, str] | str:
    """Return what would be installed, or why nothing can be."""
    done = subprocess.run(
        ["uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-config", "-"],
        input="\n".join(requirements),
        capture_output=True,
        text=True,
        cwd=tempfile.gettempdir(),
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode:
        return " ".join(done.stderr.split())
    return dict(re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==(\S+)", done.stdout, re.MULTILINE))


def row(neighbour: str, ours: list[str]) -> tuple[str, bool]:
    """Return a line of the table, and whether it is a good one."""
    alone, both = resolve(neighbour), resolve(neighbour, *ours)
    if isinstance(alone, str):
        return f"{neighbour:16} cannot be installed alone: {alone}", False
    if isinstance(both, str):
        return f"{neighbour:16} cannot: {both}", False
    name = neighbour.partition("[")[0]
    seen = "  ".join(f"{both.get(other, '-'):10}" for other in SHOWN)
    if both[name] != alone[name]:
        return f"{neighbour:16} {both[name]:10} {seen}  cannot: alone it is {alone[name]}", False
    return f"{neighbour:16} {both[name]:10} {seen}  yes", True


def main() -> int:
    """Print the table."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else scratch).resolve()
        neighbours = sys.argv[2:] or NEIGHBOURS
        ours = build(folder / "wheels")
        heads = "  ".join(f"{name[:10]:10}" for name in SHOWN)
        print(f"{'beside ours':16} {'release':10} {heads}  installs")
        with ThreadPoolExecutor(2) as pool:
            rows = list(pool.map(lambda neighbour: row(neighbour, ours), neighbours))
    for line, _ in rows:
        print(line)
    return 0 if all(good for _, good in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
