"""Finding the file helper, and the environment that it gets.

The helper is a program of another distribution, not a dependency: whoever only runs
processes does without it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from exec_server_protocol.errors import InternalError

__all__ = ["find_helper", "helper_environment"]

_NAME: Final = "fs-helper"
_VARIABLES: Final = ("PATH", "TMPDIR", "TMP", "TEMP")
"""What a helper gets of the server's environment. Everything else may hold secrets."""
_SHEBANG_MAX_BYTES: Final = 256
"""What the kernel reads of a first line."""


def find_helper(configured: str | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return program and first arguments of the helper.

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
            return _command(os.path.abspath(candidate))
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


def _command(path: str) -> tuple[str, ...]:
    """Return how to start a program: a Python script in isolated mode.

    Without it, the interpreter would look for modules in the home directory of the user.
    """
    with open(path, "rb") as script:
        first = script.readline(_SHEBANG_MAX_BYTES)
    words = os.fsdecode(first[2:].strip()).split() if first.startswith(b"#!") else []
    if len(words) == 1 and os.path.basename(words[0]).startswith("python"):
        return words[0], "-I", path
    return (path,)


def helper_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a helper."""
    return {name: environ[name] for name in _VARIABLES if name in environ}
