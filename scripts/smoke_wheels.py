"""Build the wheels, install each into an empty environment, and run a command between two.

Third-party packages come from the lock file with their hashes; our own only from the folder
that was just built, never from an index, where strangers may have taken a name.

    python scripts/smoke_wheels.py [FOLDER]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = {
    "exec-server-protocol": "exec_server_protocol",
    "app-server-protocol": "app_server_protocol",
    "exec-server": "exec_server",
    "exec-client": "exec_client",
    "exec-fs-helper": "fs_helper",
}
OURS = {
    "exec-server-protocol": set(),
    "app-server-protocol": set(),
    "exec-server": {"exec-server-protocol"},
    "exec-client": {"exec-server-protocol"},
    "exec-fs-helper": {"exec-server-protocol"},
}
"""Which of our own packages come along with each."""

IMPORT_ALL = """
import importlib, importlib.util, pkgutil, sys
module, *absent = sys.argv[1:]
package = importlib.import_module(module)
for found in pkgutil.walk_packages(package.__path__, module + "."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
for name in absent:
    assert importlib.util.find_spec(name) is None, name + " can be imported"
import pathlib
assert (pathlib.Path(package.__file__).parent / "py.typed").exists()
"""


def call(*command: str | Path, **options: object) -> str:
    """Run a program; its output is shown only when it fails."""
    result = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=options.get("cwd", ROOT),  # type: ignore[call-overload]
        timeout=300,
        check=False,
    )
    if result.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{result.stdout}")
    return str(result.stdout)


def install(folder: Path, dist: Path, distribution: str) -> Path:
    """Make an environment that holds one distribution and what it needs. Returns its programs."""
    environment = folder / distribution
    call("uv", "venv", "--quiet", "--python", sys.executable, environment)
    python = environment / "bin" / "python"
    requirements = folder / f"{distribution}.txt"
    call(
        "uv", "export", "--quiet", "--frozen", "--no-emit-workspace", "--no-default-groups",
        "--package", distribution, "--output-file", requirements,
    )  # fmt: skip
    call("uv", "pip", "sync", "--quiet", "--allow-empty-requirements", "--python", python,
         "--require-hashes", requirements)  # fmt: skip
    before = names(python)
    call("uv", "pip", "install", "--quiet", "--python", python, "--no-index", "--find-links", dist,
         distribution)  # fmt: skip
    added = names(python) - before
    if added != {distribution, *OURS[distribution]}:
        sys.exit(f"{distribution} brought {sorted(added)}")
    call("uv", "pip", "check", "--quiet", "--python", python)
    absent = [
        module
        for name, module in MODULES.items()
        if name != distribution and name not in OURS[distribution]
    ]
    call(python, "-I", "-c", IMPORT_ALL, MODULES[distribution], *absent, "pytest", cwd=folder)
    return environment / "bin"


def names(python: Path) -> set[str]:
    """Return what is installed."""
    return {line.split("==")[0] for line in call("uv", "pip", "freeze", "--python", python).split()}


def run_between(server: Path, client: Path, folder: Path) -> None:
    """Run a command through a server of one environment with the client of another."""
    script = "echo out; echo err >&2; exit 3"
    with subprocess.Popen(
        [server / "exec-server", "--exit-on-stdin-close"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        result = subprocess.run(
            [client / "exec-client", "run", "--url", url, "--", "sh", "-c", script],
            capture_output=True,
            text=True,
            cwd=folder,
            timeout=60,
            check=False,
        )
        assert process.stdin is not None
        process.stdin.close()
    seen = (result.returncode, result.stdout, result.stderr)
    if seen != (3, "out\n", "err\n"):
        sys.exit(f"a command between two environments: {seen}")
    missing = subprocess.run(
        [client / "exec-client", "run", "--", "true"],
        capture_output=True,
        text=True,
        env={"PATH": os.defpath},
        timeout=60,
        check=False,
    )
    if "pip install exec-server" not in missing.stderr:
        sys.exit(f"without a server the client says: {missing.stderr}")


def must_not_install(folder: Path, dist: Path) -> None:
    """Without the protocol's wheel there has to be an error, not somebody else's package."""
    poor = folder / "dist-without-protocol"
    shutil.copytree(dist, poor)
    for wheel in poor.glob("exec_server_protocol-*"):
        wheel.unlink()
    environment = folder / "poor"
    call("uv", "venv", "--quiet", "--python", sys.executable, environment)
    result = subprocess.run(
        ["uv", "pip", "install", "--python", environment, "--no-index", "--find-links", poor,
         "exec-client"],
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    if result.returncode == 0:
        sys.exit("exec-client could be installed without its protocol package")


def main() -> int:
    """Run everything in a folder that is left behind only when it was given."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else scratch).resolve() / "smoke"
        shutil.rmtree(folder, ignore_errors=True)
        dist = folder / "dist"
        for distribution in MODULES:
            call("uv", "build", "--quiet", "--no-sources", "--package", distribution, "-o", dist)
        bins = {distribution: install(folder, dist, distribution) for distribution in MODULES}
        run_between(bins["exec-server"], bins["exec-client"], folder)
        must_not_install(folder, dist)
    print(f"{len(MODULES)} wheels install alone, and a command ran from one to another")
    return 0


if __name__ == "__main__":
    sys.exit(main())
