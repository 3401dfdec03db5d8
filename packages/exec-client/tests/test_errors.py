"""Every error that the client raises: under one base, and the same after a copy or a pickle."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import exec_client
import exec_server_protocol
import pytest
from exec_client import errors
from exec_client.connection.generation import GenerationLost
from exec_client.filesystem.errors import FileError
from exec_client.filesystem.plan import LimitReached
from exec_server_protocol.errors import ExecError, ProtocolError, RpcError

INTERNAL = {
    "UnreadableError",
    "CatchUpError",
    "CommandError",
    "GapError",
    "IllegalStepError",
    "InvalidPathError",
    "NotSentError",
    "ReferenceError",
    "ReorderLimitError",
    "ShapeError",
}
"""Caught inside, or a program's own, or a plain ``ValueError`` with another name."""

OPTIONAL = {"fsspec", "mcp", "transport", "sync_transport", "otel", "_fsspec_file", "_upath"}
"""Modules that need an extra."""

_NAMED: dict[str, Callable[[], ExecError]] = {
    "GenerationLost": lambda: GenerationLost(sent=True, fault="nonsense"),
    "LimitReached": lambda: LimitReached("big", 5),
    "OutputLimitError": lambda: errors.OutputLimitError(["yes"], 0, b"out", b"err", 1 << 20),
    "OutputLostError": lambda: errors.OutputLostError(
        "lost", after_seq=3, oldest_seq=7, lost_bytes=9, received_bytes=1, retained_bytes=2
    ),
    "ProcessFailedError": lambda: errors.ProcessFailedError(["make", "all"], 7, b"out", b"err"),
    "TimeoutExpired": lambda: errors.TimeoutExpired(["sleep", "9"], 1.5, b"out", b"err"),
}


def _modules(package: ModuleType) -> list[ModuleType]:
    found = [package]
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        last = module.name.rpartition(".")[2]
        if last == "__main__" or last in OPTIONAL:
            continue
        found.append(importlib.import_module(module.name))
    return found


def _defined() -> dict[str, type[Exception]]:
    return {
        name: member
        for package in (exec_client, exec_server_protocol)
        for module in _modules(package)
        for name, member in vars(module).items()
        if inspect.isclass(member)
        and issubclass(member, Exception)
        and member.__module__ == module.__name__
        and not name.startswith("_")
    }


def _instance(kind: type[ExecError]) -> ExecError:
    if kind.__name__ in _NAMED:
        error = _NAMED[kind.__name__]()
    elif issubclass(kind, FileError):
        error = kind("gone (os error 2)", code=-1, data={"a": [1]}, number=2, path="/gone")
    elif issubclass(kind, RpcError):
        error = kind("refused", code=-5, data={"kind": "x"})
    elif issubclass(kind, errors.ClientError):
        error = kind("broken", maybe_executed=True)
    else:
        error = kind("wrong")
    error.add_note("seen in a test")
    return error


KINDS = sorted(
    (kind for kind in _defined().values() if issubclass(kind, ExecError)),
    key=lambda kind: kind.__name__,
)


def _members(error: BaseException) -> object:
    system = (error.errno, error.strerror, error.filename) if isinstance(error, OSError) else ()
    return type(error), str(error), error.args, vars(error), system


def test_everything_that_is_raised_has_one_base() -> None:
    outside = {name for name, kind in _defined().items() if not issubclass(kind, ExecError)}
    assert outside <= INTERNAL
    assert {errors.ClientError, RpcError, ProtocolError} <= set(ExecError.__subclasses__())
    assert exec_client.ExecError is ExecError


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_is_the_same_after_a_copy_and_a_pickle(kind: type[ExecError]) -> None:
    error = _instance(kind)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert _members(pickle.loads(pickle.dumps(error, protocol))) == _members(error)
    assert _members(copy.copy(error)) == _members(error)
    assert _members(copy.deepcopy(error)) == _members(error)


POOL = """
import multiprocessing, pickle, sys
from concurrent.futures import ProcessPoolExecutor

def fail(error):
    raise error

def main():
    error = pickle.loads(bytes.fromhex(sys.stdin.read()))
    for method in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            compare(error, pool.submit(fail, error).exception(timeout=30))
        with context.Pool(1) as pool:
            try:
                pool.apply(fail, (error,))
            except Exception as caught:
                compare(error, caught)
    print("the same")

def compare(error, other):
    assert type(other) is type(error), other
    assert (str(other), vars(other)) == (str(error), vars(error)), vars(other)

if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("name", ["TimeoutExpired", "OutputLostError", "RemoteFileNotFoundError"])
def test_an_error_comes_back_from_another_process_as_it_was(name: str, tmp_path: Path) -> None:
    script = tmp_path / "pool.py"
    script.write_text(POOL, encoding="utf-8")
    error = _instance(next(kind for kind in KINDS if kind.__name__ == name))
    del error.__notes__  # pools add what is for people only
    done = subprocess.run(
        [sys.executable, str(script)],
        input=pickle.dumps(error).hex(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "the same\n"), done.stderr
