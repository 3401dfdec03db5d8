"""The reference binary as a child, for the tools that compare this package with it.

It runs in a folder of its own, without the caller's environment: it must neither read the
user's configuration nor reach a network.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .errors import ToolError

__all__ = ["ENVIRONMENT_VARIABLE", "dump", "environment", "find", "version"]

ENVIRONMENT_VARIABLE: Final = "CODEX_BIN"
_TIMEOUT_SECONDS: Final = 60  # a dump takes 0.1 s; this is for a machine in trouble
_DEAD_PROXY: Final = "http://127.0.0.1:9"  # the discard port: refuses at once


def find(argument: str | None) -> Path:
    """Return the binary that was asked for, by argument or by ``$CODEX_BIN``.

    Raises:
        ToolError: None was, or it is not there.
    """
    name = argument or os.environ.get(ENVIRONMENT_VARIABLE)
    if not name:
        raise ToolError(f"no binary: give --codex-bin PATH or set {ENVIRONMENT_VARIABLE}")
    found = shutil.which(name)
    if found is None:
        raise ToolError(f"no such program: {name}")
    return Path(found).resolve()


def environment(home: Path) -> dict[str, str]:
    """Return the whole environment of a child whose state lives in ``home``."""
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _DEAD_PROXY)
    return {
        "CODEX_HOME": str(home),
        "HOME": str(home),
        "PATH": os.environ.get("PATH", os.defpath),
        "NO_PROXY": "127.0.0.1,localhost",
        **proxies,
    }


def _run(arguments: list[str], home: Path) -> str:
    try:
        done = subprocess.run(  # the binary that the caller named
            arguments,
            env=environment(home),
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_SECONDS,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ToolError(f"{arguments[0]} failed: {last[0]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"{arguments[0]} did not run: {error}") from error
    return done.stdout


def version(binary: Path) -> str:
    """Return the version of a binary, such as ``0.169.0``.

    Raises:
        ToolError: It does not run or does not say.
    """
    with tempfile.TemporaryDirectory(prefix="app-server-schema-") as home:
        text = _run([str(binary), "--version"], Path(home))
    found = re.search(r"\d+\.\d+\.\d+\S*", text)
    if found is None:
        raise ToolError(f"{binary.name} --version does not tell a version")
    return found[0]


@contextlib.contextmanager
def dump(binary: Path, kind: str, *, experimental: bool) -> Iterator[Path]:
    """Provide a fresh folder with what the binary exports, until the block ends.

    Fresh, because the binary does not empty its target and files of another version would stay.

    Args:
        binary: The program.
        kind: ``json-schema`` or ``ts``.
        experimental: Include what needs the experimental capability.
    """
    with tempfile.TemporaryDirectory(prefix="app-server-schema-") as folder:
        home, out = Path(folder, "home"), Path(folder, "out")
        home.mkdir()
        command = [str(binary), "app-server", f"generate-{kind}", "--out", str(out)]
        _run([*command, "--experimental"] if experimental else command, home)
        yield out
