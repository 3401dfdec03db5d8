"""Faults that are planted into a copy of the workspace, to see whether a test notices them.

``tests/faults.toml`` lists them. Each is a text that occurs once in a source file, what takes its
place, and the one test that has to fail then.
"""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

__all__ = ["FAULTS", "Fault", "Workshop", "load"]

FAULTS: Final = "tests/faults.toml"

_TEST_SECONDS: Final = 15
"""For the body of one test. The slowest takes five on a busy machine; a fault may make it hang."""
_RUN_SECONDS: Final = 120
"""For one pytest, which may have to give up a program that does not end either."""
_SYNC_SECONDS: Final = 600
"""For an environment, which takes a second when its packages are in uv's cache."""
_FAILED: Final = 1
"""Exit status of a pytest with failures. What is above has run nothing, and shows nothing."""
_OURS: Final = frozenset({"VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"})
"""Variables that name the environment of the checkout."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        name: What goes wrong for users, as a sentence without its end.
        file: Where, from the root of the workspace.
        old: Text that occurs there once.
        new: What takes its place.
        test: Node id of the test that has to fail.
    """

    name: str
    file: str
    old: str
    new: str
    test: str

    def misfits(self, root: Path) -> list[str]:
        """Return what has become of its text and its test; nothing while it fits."""
        found = []
        file, (test, _, function) = root / self.file, self.test.partition("::")
        times = file.read_text(encoding="utf-8").count(self.old) if file.is_file() else 0
        if times != 1:
            found.append(f"{self.name}: its text occurs {times} times in {self.file}")
        names = _functions(root / test) if (root / test).is_file() else set()
        if function.partition("[")[0] not in names:
            found.append(f"{self.name}: there is no test {self.test}")
        return found


def _functions(file: Path) -> set[str]:
    nodes = ast.parse(file.read_text(encoding="utf-8")).body
    return {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}


def load(root: Path) -> list[Fault]:
    """Return the faults in their order.

    Args:
        root: Of the workspace.

    Raises:
        TypeError: An entry has a member too many, or lacks one.
    """
    text = (root / FAULTS).read_text(encoding="utf-8")
    return [Fault(**entry) for entry in tomllib.loads(text)["fault"]]


class Workshop:
    """A copy of a workspace with an environment of its own, in which faults are planted.

    Args:
        root: Of the workspace; only looked at.
        place: An empty folder for the copy.
    """

    def __init__(self, root: Path, place: Path) -> None:
        self._place = place
        self._env = {name: value for name, value in os.environ.items() if name not in _OURS}
        listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        names = subprocess.run(listed, cwd=root, check=True, capture_output=True, timeout=60)
        for name in filter(None, names.stdout.decode().split("\0")):
            if (root / name).is_file():  # one that was removed is listed until that is committed
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, place / name)
        sync = ("uv", "sync", "--locked", "--quiet", "--all-packages", "--group", "test")
        subprocess.run(sync, cwd=place, env=self._env, check=True, timeout=_SYNC_SECONDS)
        self._times = count(1_000_000_000, 10)

    def passes(self, tests: Sequence[str]) -> tuple[bool, str]:
        """Run tests. Returns whether they pass, and what pytest wrote.

        Raises:
            RuntimeError: They did not run.
        """
        python = self._place / ".venv/bin/python"
        options = ("-q", "-x", "--timeout", str(_TEST_SECONDS))
        # Not a pipe, whose end would be waited for: a fault may leave programs behind that hold it.
        with tempfile.TemporaryFile() as log:
            pytest = subprocess.Popen(
                [python, "-m", "pytest", *options, *tests],
                cwd=self._place,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                pytest.wait(_RUN_SECONDS * (1 + len(tests) // 10))
            except subprocess.TimeoutExpired:
                return False, "the tests did not end"
            finally:
                if pytest.poll() is None:
                    os.killpg(pytest.pid, signal.SIGKILL)
                    pytest.wait()
            log.seek(0)
            output = log.read().decode(errors="replace")
        if pytest.returncode > _FAILED:
            raise RuntimeError(f"the tests did not run\n{output}")
        return pytest.returncode == 0, output

    def notices(self, fault: Fault) -> bool:
        """Whether the fault's test fails with it. The copy is as before then.

        Raises:
            RuntimeError: The test did not run.
        """
        file = self._place / fault.file
        whole = file.read_text(encoding="utf-8")
        try:
            self._write(file, whole.replace(fault.old, fault.new))
            return not self.passes([fault.test])[0]
        finally:
            self._write(file, whole)

    def _write(self, file: Path, text: str) -> None:
        file.write_text(text, encoding="utf-8")
        # Compiled modules are told apart by size and whole seconds.
        at = next(self._times)
        os.utime(file, (at, at))
