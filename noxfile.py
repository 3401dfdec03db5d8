"""The one entry point: ``nox -l`` is the menu, ``nox -s tests`` is what matters."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import nox
from nox.command import CommandFailed

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

SHARED_TESTS = {
    "exec-server": ("server", "access", "files", "sandbox", "http", "telemetry"),
    "exec-client": ("recovery", "interaction", "files_client", "telemetry"),
    "fs-helper": ("files", "sandbox"),
}
"""Folder to the folders of ``tests/`` that hold more about the package than its own tests do."""

LOWEST = {
    "exec-server-protocol": "",
    "app-server-protocol": "validate",
    "exec-server": "all",
    "exec-client": "cli,fsspec,httpx,mcp,otel,progress",
    "fs-helper": "",
}
"""Folder to the extras that are tested with the oldest releases."""

IN_PARALLEL = ("-n", "2", "--dist", "worksteal")
"""On two processors, as most machines of CI have: half of the time of these tests is waiting."""

NO_TESTS = 5
"""Exit status of a pytest that found nothing to run."""

UNCHECKED = 3
"""Exit status of ``scripts/check_advisories.py`` when it cannot say."""

NPM_SECONDS = 120
"""For a download of some 100 MB; it takes ten where it is worth waiting for."""

CONFORMANCE_AREAS = (
    "envelope or handshake or session or process or pty or output or stdin or signals or env "
    "or retention or concurrency or transport or auth or shutdown or filesystem or walk or handles "
    "or paths or http or sandbox_fs or sandbox_process"
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


def _pytest(session: nox.Session, *where: str) -> bool:
    """Run pytest. Returns whether it found tests.

    Finding none is a failure, since tests do not vanish; but with arguments such as
    ``-k word`` one package may have none that fit.
    """
    try:
        session.run("pytest", *where, *session.posargs)
    except CommandFailed as error:
        # nox names the attribute in __init__ only, where type checkers of old releases miss it.
        if session.posargs and getattr(error, "return_code", None) == NO_TESTS:
            session.log("no test here fits the arguments; on to the next")
            return False
        raise
    return True


def _own_tests(session: nox.Session, folders: Iterable[str]) -> bool:
    """Run packages' own tests, each without its siblings. Returns whether there were any."""
    found = False
    for folder in folders:
        if list((ROOT / "packages" / folder / "tests").glob("test_*.py")):
            _sync(session, "--exact", "--package", PACKAGES[folder], "--group", "test")
            parallel = () if session.posargs else IN_PARALLEL
            found |= _pytest(session, *parallel, f"packages/{folder}/tests")
    return found


@nox.session(python=PYTHON)
def tests(session: nox.Session) -> None:
    """All tests. Each package first, in an environment without its siblings; then the whole.

    Two at a time, but for those that must be alone: they measure time or memory, or fill a machine.
    ``-- PATH …``, ``-- -k WORD`` and the like run what fits, one after the other.
    """
    found = _own_tests(session, PACKAGES)
    _sync(session, "--exact", "--all-packages", "--group", "test")
    if session.posargs:
        found |= _pytest(session, "testkit/tests", "tests")
    else:
        found |= _pytest(session, *IN_PARALLEL, "-m", "not alone", "testkit/tests", "tests")
        found |= _pytest(session, "-m", "alone", "tests")
    if not found:
        session.error("no test fits these arguments")


@nox.session(python=PYTHON, name="tests-lowest")
def tests_lowest(session: nox.Session) -> None:
    """Tests with the oldest releases that the packages take, extras included; mcp 1 is among them.

    Of what a floor can break: the packages' own tests, and those of access, HTTP and MCP.
    ``-- PATH …`` runs others.
    """
    arguments = ["--editable", "testkit", "--group", "test"]
    for folder, extras in LOWEST.items():
        arguments += [
            "--editable",
            f"packages/{folder}[{extras}]" if extras else f"packages/{folder}",
        ]
    session.run_install("uv", "pip", "install", "--quiet", "--resolution", "lowest-direct",
                        *arguments)  # fmt: skip
    session.run("uv", "pip", "list", "--quiet", external=True)
    own = [f"packages/{folder}/tests" for folder in ("exec-server-protocol", "exec-server")]
    clients = [f"packages/{folder}/tests" for folder in ("exec-client", "fs-helper")]
    whole = ["tests/access/test_tokens.py", "tests/http", "tests/interaction/test_mcp.py"]
    whole += ["tests/telemetry", "tests/files_client/test_fsspec.py"]
    session.run("pytest", *(session.posargs or [*own, *clients, *whole]))


@nox.session(python=PYTHON)
def neighbours(session: nox.Session) -> None:
    """Resolve our wheels with what users have beside them, as it is today; prints the table."""
    session.run("python", "scripts/check_neighbours.py", session.create_tmp(), *session.posargs)


@nox.session(python=PYTHON)
def check(session: nox.Session) -> None:
    """Before stopping: lint, types and schema, and the tests that cover what you touched.

    These are the packages' own tests, the folders of ``tests/`` that are about them, and test files
    of ``tests/`` and ``testkit/`` that were changed themselves.
    """
    for gate in ("lint", "types", "schema"):
        session.notify(gate)
    since = ("git", "merge-base", "HEAD", "origin/main")
    base = session.run(*since, external=True, silent=True, success_codes=[0, 1, 128], log=False)
    base = "HEAD" if base is None or "fatal" in str(base) else str(base).strip() or "HEAD"
    changed = session.run("git", "diff", "--name-only", base, external=True, silent=True, log=False)
    new = session.run(
        "git", "ls-files", "--others", "--exclude-standard", external=True, silent=True, log=False
    )
    paths = f"{changed}{new}".splitlines()
    touched = [f for f in PACKAGES if any(path.startswith(f"packages/{f}/") for path in paths)]
    session.log(f"touched: {', '.join(touched) or 'no package'}")
    _own_tests(session, touched)
    # The protocol is covered by whoever speaks it.
    speakers = SHARED_TESTS if "exec-server-protocol" in touched else touched
    shared = {f"tests/{name}" for folder in speakers for name in SHARED_TESTS.get(folder, ())}
    for path in map(Path, paths):
        is_test = path.name.startswith("test_") and path.suffix == ".py"
        is_here = path.parts[0] in ("tests", "testkit") and (ROOT / path).exists()
        if is_test and is_here and not any(path.is_relative_to(folder) for folder in shared):
            shared.add(str(path))
    if shared:
        _sync(session, "--exact", "--all-packages", "--group", "test")
        _pytest(session, *sorted(shared))


@nox.session(python=PYTHON)
def faults(session: nox.Session) -> None:
    """Plant the faults of tests/faults.toml in copies, and see that the tests notice each.

    ``-- WORD …`` plants those with a word in their name, file or test; takes six minutes for all.
    """
    _sync(session, "--all-packages", "--group", "test")
    session.run("python", "scripts/plant_faults.py", "--jobs", "2", *session.posargs)


@nox.session(python=PYTHON)
def lint(session: nox.Session) -> None:
    """Format, style, shape, import contracts, and that the lock file is up to date."""
    session.run_install("uv", "lock", "--check", "--quiet")
    _sync(session, "--all-packages", "--all-groups")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("lint-imports")
    session.run("lint-imports", "layers.toml")
    session.run("python", "scripts/check_module_size.py")
    session.run("python", "scripts/check_shape.py")
    session.run("python", "scripts/check_docstrings.py")
    session.run("python", "scripts/check_release.py")
    session.run("uv", "pip", "check", "--quiet", external=True)


@nox.session(python=PYTHON)
def types(session: nox.Session) -> None:
    """Mypy --strict over sources and tests."""
    _sync(session, "--all-packages", "--all-groups")
    for folder in PACKAGES:
        parts = [f"packages/{folder}/{part}" for part in ("src", "tests")]
        session.run("mypy", *(part for part in parts if any((ROOT / part).rglob("*.py"))))
    session.run("mypy", "testkit", "tests", "scripts", "bench", "noxfile.py")
    for example in sorted(Path("examples").rglob("*.py")):
        session.run("mypy", str(example))


@nox.session(python=PYTHON)
def schema(session: nox.Session) -> None:
    """Compare schema fixtures and public names with the code; says what changed."""
    _sync(session, "--all-packages")
    _schema(session, "check")
    session.run("python", "packages/app-server-protocol/tools/generate.py", "--check")
    session.run("python", "scripts/check_public_names.py")
    session.run("python", "scripts/write_error_tables.py")


@nox.session(python=PYTHON, name="schema-compare")
def schema_compare(session: nox.Session) -> None:
    """Compare both protocol packages, and the app-server's manners, with the real binary.

    It is the program named by $CODEX_BIN, or is installed by npm: the pinned version, or the one
    named as argument (``-- latest``), which is compared with only. Without either, and when npm
    takes too long, the session is skipped; with ``-- --required`` that is a failure.
    """
    arguments = [argument for argument in session.posargs if argument != "--required"]
    manifest = ROOT / "packages/app-server-protocol/src/app_server_protocol/schema/manifest.json"
    pinned = json.loads(manifest.read_text(encoding="utf-8"))["binary"]
    version = arguments[0] if arguments else pinned["version"]
    _sync(session, "--all-packages", "--group", "test")
    folder = Path(session.create_tmp()) / "codex"
    try:
        given = "" if arguments else os.environ.get("CODEX_BIN", "")
        binary = given or _npm_install(session, f"{pinned['npm_package']}@{version}", folder)
        if not binary:
            refuse = session.error if "--required" in session.posargs else session.skip
            refuse("no binary to compare with: CODEX_BIN is not set and npm did not install one")
        differing = []
        for module, *verb in (
            ("app_server_protocol.schema", "compare", "--codex-bin", binary),
            ("app_server_protocol.registry", "census", "--codex-bin", binary),
            ("exec_server_protocol.schema", "compare", binary),
        ):
            try:
                session.run("python", "-m", module, *verb)
            except CommandFailed:  # one says more about the other
                differing.append(f"{module} {verb[0]}")
        if differing:
            session.error(f"the binary is different: {', '.join(differing)}")
        if version == pinned["version"]:
            tests = ROOT / "packages/app-server-protocol/tests"
            live = [tests / name for name in ("test_live.py", "test_gating.py")]
            session.run("pytest", *map(str, live), "--codex-bin", binary)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # some 400 MB


@nox.session(python=PYTHON)
def advisories(session: nox.Session) -> None:
    """Compare the lock file with known advisories; says when nobody can be asked about them.

    Skipped then, and when only a part was answered for; with ``-- --required`` a failure.
    """
    _sync(session, "--exact", "--only-group", "audit")
    try:
        session.run("python", "scripts/check_advisories.py")
    except CommandFailed as error:
        if getattr(error, "return_code", None) != UNCHECKED or "--required" in session.posargs:
            raise
        session.skip("not everything could be compared with advisories")


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
    # The suite also tests a transport over stdin and stdout, which this server does not have, and
    # that what has left the group of a process outlives its end, which nothing does here: see
    # docs/decisions/0026-kill-means-gone.md.
    arguments = session.posargs or [
        "-m",
        CONFORMANCE_AREAS,
        "--deselect",
        "test_transport.py::test_stdio_transport",
        "--deselect",
        "test_processes.py::test_terminate_closes_even_if_an_escaped_child_holds_the_pipe",
    ]
    session.run(str(runner), *arguments, external=True, env={"EXEC_SERVER_CMD": command})


@nox.session(python=PYTHON)
def interop(session: nox.Session) -> None:
    """Run the client's tests against the reference server, the program named by $CODEX_BIN."""
    if not _reference(session):
        return
    _sync(session, "--all-packages", "--group", "test")
    session.run("pytest", "tests/reference", *session.posargs)
    session.run("pytest", "tests/files_client/test_contract.py", "-k", "reference")
    recovery = [f"tests/recovery/test_{name}.py" for name in ("boundaries", "cuts", "client_flow")]
    client_tests = [*recovery, "tests/interaction/test_mcp.py"]
    session.run("pytest", "-rs", *client_tests, "--executor", "reference", *session.posargs)


@nox.session(python=PYTHON)
def soak(session: nox.Session) -> None:
    """A thousand seeded cuts, every kind of fault at every frame, a thousand virtual runs.

    Then a minute and a half of mixed load, after which memory has to come back, and ten thousand
    changes of the disk under random sandbox policies. Property tests get other examples each time;
    everywhere else they get the same ones, so that a run says something about a change.
    Takes some twenty minutes on an idle machine. ``-- --fault-seed N`` repeats a run, and
    ``--cuts N`` or ``--load-seconds N`` make it longer.
    """
    _sync(session, "--all-packages", "--group", "test")
    env = {"CLIENT_FAULT_SEEDS": "500", "CLIENT_ROUNDS": "100"}
    faults = "packages/exec-client/tests/test_session_under_faults.py"
    session.run("pytest", "--timeout", "1800", faults, env=env)
    session.run("pytest", "--timeout", "600", "tests/recovery/test_client_flow.py", env=env)
    session.run("pytest", "-s", "tests/recovery", "--cuts", "1000", *session.posargs)
    load = "tests/server/test_memory_returns.py"
    session.run("pytest", "--timeout", "1800", load, "--load-seconds", "90", *session.posargs)
    changes = "tests/sandbox/test_random_changes.py"
    session.run("pytest", changes, "--changes", "10000", *session.posargs)
    session.run("pytest", "-m", "hypothesis", "--hypothesis-seed=random", "packages", "tests")


@nox.session(python=PYTHON, name="without-shortcuts")
def without_shortcuts(session: nox.Session) -> None:
    """Tests of files and sandboxes without each mechanism that only makes things faster.

    ``exec_server/runtime/shortcuts.py`` lists them.
    """
    _sync(session, "--all-packages", "--group", "test")
    for shortcut in ("blocks", "plans", "spin"):
        env = {"EXEC_SERVER_WITHOUT": shortcut}
        where = ("tests/files", "tests/sandbox", "tests/files_client")
        session.run("pytest", *IN_PARALLEL, *(session.posargs or where), env=env)


@nox.session(python=PYTHON)
def bench(session: nox.Session) -> None:
    """Measure ours and the reference server ($CODEX_BIN) in one run; a table of ratios.

    Then the starts of commands, beside ``ssh``; bench/command_starts.py takes a commit as well.
    """
    _reference(session)
    _sync(session, "--all-packages", "--group", "test")
    session.run("python", "bench/compare.py", *session.posargs)
    session.run("python", "bench/telemetry.py")
    session.run("python", "bench/command_starts.py")


def _schema(session: nox.Session, verb: str) -> None:
    """Write or check the fixtures of each package that exports a schema."""
    modules = ROOT.glob("packages/*/src/*/schema.py")
    packages = ROOT.glob("packages/*/src/*/schema/__main__.py")
    roots = [file.parent for file in modules] + [file.parents[1] for file in packages]
    for root in sorted(roots):
        session.run("python", "-m", f"{root.name}.schema", verb)


def _npm_install(session: nox.Session, package: str, folder: Path) -> str:
    """Install a program with npm. Returns its path, or nothing when that does not work here."""
    npm = shutil.which("npm")
    if npm is None:
        return ""
    command = [npm, "install", "--prefix", str(folder), "--no-save", "--ignore-scripts"]
    try:
        subprocess.run(
            [*command, "--no-audit", "--no-fund", package], check=True, timeout=NPM_SECONDS
        )
    except (OSError, subprocess.SubprocessError) as error:
        session.warn(f"npm did not install {package}: {error}")
        return ""
    return str(folder / "node_modules/.bin/codex")


def _reference(session: nox.Session) -> bool:
    """Whether the reference server can be run; says so when not."""
    program = os.environ.get("CODEX_BIN", "")
    if program and shutil.which(program):
        return True
    session.warn("CODEX_BIN does not name the reference server: skipping what needs it")
    return False


@nox.session(python=PYTHON)
def fix(session: nox.Session) -> None:
    """Format, apply safe fixes, rewrite the schema fixtures and the list of public names."""
    _sync(session, "--all-packages", "--all-groups")
    session.run("ruff", "format", ".")
    session.run("ruff", "check", "--fix-only", ".")
    session.run("ruff", "format", ".")  # again: a fix may leave a line to be joined
    _schema(session, "write")
    session.run("python", "scripts/check_public_names.py", "--write")
    session.run("python", "scripts/write_error_tables.py", "--write")
    # Last: what no program can fix does not keep the rest from being written.
    session.run("ruff", "check", ".")
