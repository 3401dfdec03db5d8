"""How long a command of ``exec-client`` takes beside ``ssh`` to loopback and an earlier commit.

Everything is measured in turn, in one run: what counts are the ratios. Rows are medians of wall
time, and of the processor time of the program and its children. ``ssh`` is skipped where no
``sshd`` is installed. Nothing here fails.

    python bench/command_starts.py [--rounds 9] [--before REVISION]
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from exec_testkit.server import ServerProcess

ROOT = Path(__file__).parent.parent
SSHD_SECONDS = 10.0

Commands = dict[str, list[str]]


def _client(folder: Path, name: str, url: str) -> Commands:
    program = str(folder / "exec-client")
    return {
        f"{name}: run --url": [program, "run", "--url", url, "--", "true"],
        f"{name}: run, own server": [program, "run", "--", "true"],
    }


@contextmanager
def _earlier(revision: str) -> Iterator[Path]:
    """Install an earlier commit in a folder of its own; yields where its programs are."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        tree = Path(scratch) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), revision], check=True)
        try:
            env = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
            env.pop("UV_PROJECT_ENVIRONMENT", None)
            sync = ["uv", "sync", "--quiet", "--all-packages", "--no-dev", "--python"]
            subprocess.run([*sync, sys.executable], cwd=tree, env=env, check=True)
            yield tree / ".venv/bin"
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


@contextmanager
def _ssh() -> Iterator[list[str]]:
    """Run a server of ssh on loopback with keys of its own; yields a command for it."""
    server = shutil.which("sshd") or "/usr/sbin/sshd"
    with tempfile.TemporaryDirectory(prefix="bench-ssh-") as scratch:
        for key in ("host", "user"):
            made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{scratch}/{key}"]
            subprocess.run(made, check=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        if os.geteuid() == 0:  # it wants this folder for its own protection
            Path("/run/sshd").mkdir(exist_ok=True)
        options = {
            "ListenAddress": f"127.0.0.1:{port}", "HostKey": f"{scratch}/host",
            "AuthorizedKeysFile": f"{scratch}/user.pub", "StrictModes": "no", "UsePAM": "no",
            "PidFile": "none", "PermitRootLogin": "yes",
        }  # fmt: skip
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        process = subprocess.Popen(
            [server, "-D", "-f", "/dev/null", *words], stderr=subprocess.DEVNULL
        )
        try:
            deadline = time.monotonic() + SSHD_SECONDS
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    raise OSError("sshd does not come up")
                time.sleep(0.05)
            told = {
                "StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null",
                "LogLevel": "ERROR", "BatchMode": "yes", "IdentitiesOnly": "yes",
            }  # fmt: skip
            words = [word for name, value in told.items() for word in ("-o", f"{name}={value}")]
            user = f"{getpass.getuser()}@127.0.0.1"
            yield ["ssh", "-F", "none", "-p", str(port), "-i", f"{scratch}/user", *words, user]
        finally:
            process.terminate()
            process.wait()


def _measure(command: Sequence[str]) -> tuple[float, float]:
    """Return wall and processor seconds of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, used


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--before", help="commit to compare with; it is installed for that")
    arguments = parser.parse_args()
    variables = [name for name in os.environ if name.endswith("EXEC_SERVER_URL")]
    for name in variables:
        del os.environ[name]
    # Programs have compiled bytecode from their second start on, unless this is set.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    notes = []
    with ExitStack() as stack:
        server = stack.enter_context(ServerProcess())
        bare = "import asyncio, websockets.asyncio.client"
        commands: Commands = {"python with asyncio and websockets": [sys.executable, "-c", bare]}
        commands |= _client(Path(sys.executable).parent, "now", server.url)
        if arguments.before:
            folder = stack.enter_context(_earlier(arguments.before))
            commands |= _client(folder, arguments.before, server.url)
        if shutil.which("ssh") and (shutil.which("sshd") or os.path.exists("/usr/sbin/sshd")):
            ssh = stack.enter_context(_ssh())
            commands["ssh, a connection for each"] = [*ssh, "true"]
            shared = ["-o", "ControlPath=/tmp/bench-ssh-%C"]  # sockets have short names
            master = [ssh[0], "-M", "-N", "-f", *shared, *ssh[1:]]
            subprocess.run(master, check=True)
            stack.callback(
                subprocess.run, [ssh[0], "-O", "exit", *shared, *ssh[1:]], stderr=subprocess.DEVNULL
            )
            commands["ssh, over one that stays"] = [ssh[0], *shared, *ssh[1:], "true"]
        else:
            notes.append("ssh: skipped, there is no sshd here")
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(arguments.rounds):
            for name, command in commands.items():
                found[name].append(_measure(command))
    print("| row | wall | processor |", "|---|---|---|", sep="\n")
    for name, runs in found.items():
        wall, used = (1000 * statistics.median(column) for column in zip(*runs, strict=True))
        print(f"| {name} | {wall:.0f} ms | {used:.0f} ms |")
    print("", *notes, sep="\n")


if __name__ == "__main__":
    main()
