"""The one entry point: ``nox -l`` is the menu, ``nox -s tests`` is what matters."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.11"
nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lint", "types", "schema", "tests"]
nox.options.error_on_missing_interpreters = True

ROOT = Path(__file__).parent
PYTHON = os.environ.get("NOX_PYTHON", "3.11")
"""Interpreter of the sessions; CI runs them for each supported version."""

PACKAGES = {
    "exec-server-protocol": "exec-server-protocol",
    "app-server-protocol": "app-server-protocol",
    "exec-server": "exec-server",
    "exec-client": "exec-client",
    "fs-helper": "exec-fs-helper",
}
"""Folder to distribution."""

CONFORMANCE_AREAS = (
    "envelope or handshake or session or process or pty or output or stdin or signals or env "
    "or retention or concurrency or transport or shutdown"
)
"""What the server offers so far, in the words of the conformance suite."""


def _sync(session: nox.Session, *arguments: str) -> None:
    """Make the session's environment from the lock file."""
    session.run_install(
        "uv",
        "sync",
        "--locked",
        "--quiet",
        *arguments,
        env={"UV_PROJECT_ENVIRONMENT": session.virtualenv.location, "UV_PYTHON": PYTHON},
    )


@nox.session(python=PYTHON)
def tests(session: nox.Session) -> None:
    """All tests. Each package first, in an environment without its siblings; then the whole."""
    for folder, distribution in PACKAGES.items():
        if not list((ROOT / "packages" / folder / "tests").glob("test_*.py")):
            continue
        _sync(session, "--exact", "--package", distribution, "--group", "test")
        session.run("pytest", f"packages/{folder}/tests", *session.posargs)
    _sync(session, "--exact", "--all-packages", "--group", "test")
    session.run("pytest", "testkit/tests", "tests", *session.posargs)


@nox.session(python=PYTHON)
def lint(session: nox.Session) -> None:
    """Format, style, module sizes, who may import whom, and that the lock file is up to date."""
    session.run_install("uv", "lock", "--check", "--quiet")
    _sync(session, "--all-packages", "--all-groups")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("lint-imports")
    session.run("python", "scripts/check_module_size.py")
    session.run("python", "scripts/check_release.py")
    session.run("uv", "pip", "check", "--quiet", external=True)


@nox.session(python=PYTHON)
def types(session: nox.Session) -> None:
    """Mypy --strict over sources and tests."""
    _sync(session, "--all-packages", "--all-groups")
    for folder in PACKAGES:
        parts = [f"packages/{folder}/{part}" for part in ("src", "tests")]
        session.run("mypy", *(part for part in parts if (ROOT / part).exists()))
    session.run("mypy", "testkit", "tests", "scripts", "bench", "noxfile.py")


@nox.session(python=PYTHON)
def schema(session: nox.Session) -> None:
    """Compare the schema fixtures with the code; says which type changed and what rewrites it."""
    _sync(session, "--all-packages")
    session.run("python", "-m", "exec_server_protocol.schema", "check")


@nox.session(python=PYTHON)
def wheels(session: nox.Session) -> None:
    """Build wheels, install them into empty environments, and run a command between two."""
    session.run("python", "scripts/smoke_wheels.py", session.create_tmp(), *session.posargs)


@nox.session(python=PYTHON)
def conformance(session: nox.Session) -> None:
    """Run a black-box conformance suite: $CONFORMANCE_RUN, or the one beside the checkout."""
    runner = Path(os.environ.get("CONFORMANCE_RUN", ROOT.parent / "shared/conformance/run"))
    if not runner.exists():
        session.skip("there is no conformance suite beside the checkout")
    _sync(session, "--all-packages")
    command = f"{session.virtualenv.bin}/exec-server --listen ws://127.0.0.1:0"
    # The suite also tests a transport over stdin and stdout, which this server does not have.
    arguments = session.posargs or [
        "-m",
        CONFORMANCE_AREAS,
        "--deselect",
        "test_transport.py::test_stdio_transport",
    ]
    session.run(str(runner), *arguments, external=True, env={"EXEC_SERVER_CMD": command})


@nox.session(python=PYTHON)
def interop(session: nox.Session) -> None:
    """Run the client's tests against the reference server, the program named by $CODEX_BIN."""
    if not _reference(session):
        return
    _sync(session, "--all-packages", "--group", "test")
    session.run("pytest", "tests/reference", *session.posargs)


@nox.session(python=PYTHON)
def bench(session: nox.Session) -> None:
    """Measure ours and the reference server ($CODEX_BIN) in one run; a table of ratios."""
    _reference(session)
    _sync(session, "--all-packages", "--group", "test")
    session.run("python", "bench/compare.py", *session.posargs)


def _reference(session: nox.Session) -> bool:
    program = os.environ.get("CODEX_BIN", "")
    if program and shutil.which(program):
        return True
    session.warn("CODEX_BIN does not name the reference server: skipping what needs it")
    return False


@nox.session(python=PYTHON)
def fix(session: nox.Session) -> None:
    """Format, apply safe fixes and rewrite the schema fixtures."""
    _sync(session, "--all-packages", "--all-groups")
    session.run("ruff", "check", "--fix", ".")
    session.run("ruff", "format", ".")
    session.run("python", "-m", "exec_server_protocol.schema", "write")
