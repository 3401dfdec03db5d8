"""Finding the file helper, what it needs to start, and the environment that it gets.

The helper is a program of another distribution, not a dependency: whoever only runs
processes does without it. Inside a sandbox it sees its own files and nothing beside them,
so that it must be known which they are: the interpreter, the standard library, and the
folders of two packages, not the one that holds them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from exec_server_protocol.errors import InternalError

from ..sandbox import interpreter
from ..sandbox.guarded import keep_helper
from ..sandbox.held import Held, hold

__all__ = ["HelperProgram", "describe_helper", "find_helper", "helper_environment", "hold_helper"]

_NAME: Final = "fs-helper"
_PACKAGES: Final = ("fs_helper", "exec_server_protocol")
_VARIABLES: Final = ("PATH", "TMPDIR", "TMP", "TEMP")
"""What a helper gets of the server's environment. Everything else may hold secrets."""
_SHEBANG_MAX_BYTES: Final = 256
"""What the kernel reads of a first line."""
_PROBE_SECONDS: Final = 20.0

_SCRIPT_MAX_BYTES: Final = 64 * 1024
"""A hundred times as much as installers write. It becomes an argument."""
_RUN: Final = """\
import sys
sys.path[1:1] = {folders!r}
sys.argv = [{script!r}]
exec(compile({text!r}, {script!r}, "exec"))
"""
"""How a script runs without ``site``, which would look into more folders than are there. It is
what it was when it was found."""

_PROBE: Final = """\
import importlib.util, json, os, sys, sysconfig
files = [getattr(sys, "_base_executable", None) or sys.executable]
files += [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
library, folder = sysconfig.get_config_var("INSTSONAME"), sysconfig.get_config_var("LIBDIR")
if sysconfig.get_config_var("Py_ENABLE_SHARED") and library and folder:
    files.append(os.path.join(folder, library))
packages = [os.path.dirname(importlib.util.find_spec(name).origin) for name in {packages!r}]
print(json.dumps([files, packages]))
"""
"""Asks another interpreter what ``interpreter.own_files`` knows of this one."""


@dataclass(frozen=True, slots=True)
class HelperProgram:
    """Command line and environment of a helper.

    Attributes:
        command: Program and arguments.
        files: Files and folders that it needs to start.
        program: What to execute for it outside.
    """

    command: tuple[bytes, ...]
    files: tuple[bytes, ...]
    program: Held


def find_helper(configured: str | None, environ: Mapping[str, str]) -> HelperProgram:
    """Return the helper. May block: looks at the disk, and may ask another interpreter.

    Args:
        configured: See ``hold_helper``.
        environ: Environment of the server.

    Raises:
        InternalError: There is none. The text names the distribution to install.
    """
    return describe_helper(hold_helper(configured, environ), environ)


def hold_helper(configured: str | None, environ: Mapping[str, str]) -> Held:
    """Find the helper and no more. Looks at the disk, and runs nothing.

    Args:
        configured: Path from the configuration, which then has to be right; ``None`` for the
            program beside the running interpreter, else on PATH.
        environ: Environment of the server.

    Raises:
        InternalError: There is none. The text names the distribution to install.
    """
    candidates = [configured] if configured is not None else _candidates(environ)
    for candidate in candidates:
        if candidate and os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            path = os.path.abspath(candidate)
            try:
                held = hold(os.fsencode(path))
                python = _interpreter_of(held)
            except OSError as error:
                raise InternalError(f"the program {_NAME} cannot be read") from error
            keep_helper(os.fsencode(file) for file in _surroundings(path, python))
            return held
    where = "at the configured path" if configured is not None else "beside Python or on PATH"
    raise InternalError(
        f"file operations need the program {_NAME}, and there is none {where}: "
        "install the distribution exec-fs-helper"
    )


def _candidates(environ: Mapping[str, str]) -> list[str | None]:
    return [
        str(Path(sys.executable).parent / _NAME),
        shutil.which(_NAME, path=environ.get("PATH", os.defpath)),
    ]


def _surroundings(path: str, python: str | None) -> Iterator[str]:
    """Yield what a script is run with, as far as that is known without running anything."""
    yield path
    if python is not None:
        yield python
        environment = os.path.dirname(os.path.dirname(python))
        if os.path.exists(os.path.join(environment, "pyvenv.cfg")):
            yield environment


def describe_helper(held: Held, environ: Mapping[str, str]) -> HelperProgram:
    """Return how to start a helper. May block: may ask another interpreter.

    Raises:
        InternalError: It is not complete.
    """
    path = os.fsdecode(held.path)
    python = _interpreter_of(held)
    if python is None:
        return HelperProgram((held.path,), (held.path,), held)
    if os.path.dirname(python) == os.path.dirname(sys.executable):
        files = [os.fsdecode(file) for file in interpreter.own_files()]
        found = [importlib.util.find_spec(name) for name in _PACKAGES]
        packages = [os.path.dirname(spec.origin) for spec in found if spec and spec.origin]
    else:
        files, packages = _ask(python, environ)
    if len(packages) != len(_PACKAGES):
        raise InternalError(
            f"the program {_NAME} is not complete: install the distribution exec-fs-helper"
        )
    folders = list(dict.fromkeys(os.path.dirname(package) for package in packages))
    with open(held.executable, encoding="utf-8") as script:
        text = script.read(_SCRIPT_MAX_BYTES)
    command = (files[0], "-I", "-S", "-c", _RUN.format(folders=folders, script=path, text=text))
    needed = [os.fsencode(file) for file in (*files, *packages, path) if os.path.exists(file)]
    keep_helper(needed)
    return HelperProgram(
        tuple(os.fsencode(word) for word in command),
        tuple(needed),
        hold(os.fsencode(files[0])),
    )


def _interpreter_of(held: Held) -> str | None:
    """Return the Python that runs a script; ``None`` for any other program."""
    with open(held.executable, "rb") as script:
        first = script.readline(_SHEBANG_MAX_BYTES)
    words = os.fsdecode(first[2:].strip()).split() if first.startswith(b"#!") else []
    if len(words) == 1 and os.path.basename(words[0]).startswith("python"):
        return words[0]
    return None


def _ask(python: str, environ: Mapping[str, str]) -> tuple[list[str], list[str]]:
    code = _PROBE.format(packages=_PACKAGES)
    try:
        answer = subprocess.run(
            [python, "-I", "-c", code],
            executable=hold(os.fsencode(python)).executable,
            env=helper_environment(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=_PROBE_SECONDS,
        ).stdout
        files, packages = json.loads(answer)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise InternalError(
            f"the program {_NAME} cannot be started: install the distribution exec-fs-helper"
        ) from error
    return files, packages


def helper_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a helper."""
    return {name: environ[name] for name in _VARIABLES if name in environ}
