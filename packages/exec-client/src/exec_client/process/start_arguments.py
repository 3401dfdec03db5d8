"""Arguments of a start: their types, and what is sent for them.

For anything else the error names the argument, before anything is sent.
"""

from __future__ import annotations

import math
import os
import signal as _signal
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from typing import Any, Final, Literal, Protocol, TypedDict, TypeVar, Union, cast, get_args

import exec_server_protocol as protocol
from exec_server_protocol import _plain
from exec_server_protocol._names import OutputPolicy, SignalName
from exec_server_protocol.path_uri import PathUri

from ..gaps import GapMarker, LostOutput
from .kept_output import Keep
from .sinks import Sink

__all__ = [
    "GRACE_MAX_SECONDS",
    "Argument",
    "Argv",
    "InheritEnv",
    "RunOptions",
    "Signal",
    "StartOptions",
    "arguments_named",
    "argv_texts",
    "cwd_uri",
    "env_texts",
    "environment_policy",
    "grace_to_wire",
    "sandbox_context",
    "seconds",
    "signal_name",
    "split_options",
    "stdin_bytes",
    "terminal_texts",
]

Argument = str | bytes | os.PathLike[str] | os.PathLike[bytes]
"""One word of a command. Bytes must be UTF-8: the protocol has text only."""

Word = TypeVar("Word", covariant=True)


class Argv(Protocol[Word]):
    """A list or tuple of words, and no ``str``: one would be a list of letters."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Word]: ...
    def __getitem__(self, index: int, /) -> Word: ...
    def __contains__(self, word: object, /) -> bool:
        """Take any object, as lists do. ``str`` does not, so that a type checker refuses one."""


# The types in quotes are models: they are loaded by whoever makes one.
InheritEnv = Union[Literal["core", "all", "none"], "protocol.EnvironmentPolicy"]

Signal = SignalName | int
"""A name of the protocol, or a number that has one, as ``signal.SIGTERM``."""


class StartOptions(TypedDict, total=False):
    """Keywords of ``Client.start``; see there."""

    cwd: str | os.PathLike[str] | PathUri | None
    env: Mapping[str, str] | None
    inherit_env: InheritEnv
    tty: bool
    stdin: bool
    arg0: str | None
    rows: int | None
    cols: int | None
    output_policy: OutputPolicy | None
    merge_stderr: bool
    lost_output: LostOutput | None
    gap_marker: GapMarker | None
    process_id: str | None
    sandbox: protocol.SandboxContext | None


class RunOptions(StartOptions, total=False):
    """Keywords of ``Client.run``; see there."""

    input: bytes | str | None
    errors: str
    timeout: float | None
    kill_after: float | None
    check: bool
    stdout: Sink | None
    stderr: Sink | None
    max_output: int | None
    keep: Keep
    when_full: Literal["drain", "kill"]
    wait_for: Literal["eof", "exit"]
    eof_grace: float | None


def split_options(options: RunOptions) -> tuple[StartOptions, dict[str, Any]]:
    """Return the keywords that are for ``start``, and the others.

    Raises:
        TypeError: There is no such keyword.
    """
    for name in options:
        if name not in RunOptions.__optional_keys__:
            raise TypeError(f"run() got an unexpected keyword argument {name!r}")
    names = StartOptions.__optional_keys__
    start = {name: value for name, value in options.items() if name in names}
    rest = {name: value for name, value in options.items() if name not in names}
    return cast("StartOptions", start), rest


_SIGNALS: Final[Mapping[int, SignalName]] = {
    _signal.SIGINT: "interrupt",
    _signal.SIGTERM: "terminate",
    _signal.SIGKILL: "kill",
    _signal.SIGHUP: "hangup",
    _signal.SIGQUIT: "quit",
    _signal.SIGUSR1: "usr1",
    _signal.SIGUSR2: "usr2",
}


GRACE_MAX_SECONDS: Final = 3600


def grace_to_wire(grace: float) -> int | None:
    """Return seconds of grace as milliseconds of the wire, at least one; ``None`` for none.

    Raises:
        ValueError: It is negative, or more than an hour.
    """
    if not 0 <= grace <= GRACE_MAX_SECONDS:
        raise ValueError(f"grace: 0 to {GRACE_MAX_SECONDS} seconds")
    return math.ceil(grace * 1000) or None


_TERM: Final = "xterm-256color"
"""What most terminals understand today."""

_HERE: Final = {"pipe_stdin": "stdin", "wait_ms": "wait"}
"""Members of the wire that have another name as arguments."""


@contextmanager
def arguments_named() -> Iterator[None]:
    """Make params of what a caller passed; the error names the argument that the model refuses.

    Raises:
        TypeError: An argument is of the wrong type. The text begins with its name.
        ValueError: An argument has a value that it cannot have; likewise.
    """
    try:
        yield
    except _plain.ShapeError as error:
        (name, *rest), what = error.problems[0]
        where = _HERE.get(str(name), str(name)) + "".join(f"[{part!r}]" for part in rest)
        raise (TypeError if error.is_of_type else ValueError)(f"{where}: {what}") from None


def argv_texts(argv: Argv[Argument]) -> list[str]:
    """Return program and arguments as they are sent.

    Raises:
        TypeError: It is one text instead of a list, or something in it is no text.
        ValueError: It is empty, or holds what cannot be sent.
    """
    if isinstance(argv, str | bytes | os.PathLike):
        raise TypeError(
            f"argv must be a list of program and arguments, not {type(argv).__name__}; "
            'for a command line pass ["sh", "-c", line]'
        )
    if not isinstance(argv, Iterable) or isinstance(argv, Set | Mapping):
        raise TypeError(f"argv must be a list, not {type(argv).__name__}")
    words = list(argv)
    if not words or words[0] in ("", b""):
        raise ValueError("argv must not be empty" if not words else "argv[0] must not be empty")
    return [_text(word, f"argv[{index}]") for index, word in enumerate(words)]


def env_texts(env: Mapping[str, str] | None) -> dict[str, str]:
    """Return variables as they are sent.

    Raises:
        TypeError: It is no mapping, or something in it is no text.
        ValueError: It holds what cannot be sent.
    """
    if env is None:
        return {}
    if not isinstance(env, Mapping):
        raise TypeError(f"env must be a mapping, not {type(env).__name__}")
    texts: dict[str, str] = {}
    for name, value in env.items():
        if value is None:
            raise TypeError(
                f"env[{name!r}] is None; leave the name out, or exclude it with inherit_env"
            )
        key = _text(name, "a name in env")
        if not key:
            raise ValueError("env has a variable without a name")
        texts[key] = _text(value, f"env[{name!r}]")
    return texts


def _text(value: object, where: str) -> str:
    if not isinstance(value, str | bytes | os.PathLike):
        raise TypeError(f"{where} must be str, bytes or a path, not {type(value).__name__}")
    word = os.fspath(value)
    try:
        text = word.decode("utf-8") if isinstance(word, bytes) else word
        text.encode("utf-8")
    except UnicodeError:
        raise ValueError(f"{where} is not UTF-8, and the protocol carries text only") from None
    if "\0" in text:
        raise ValueError(f"{where} has a NUL character")
    return text


def cwd_uri(cwd: str | os.PathLike[str] | PathUri) -> PathUri:
    """Return a folder on the executor.

    Raises:
        TypeError: It is no path.
        ValueError: It is relative, or cannot be sent.
    """
    if isinstance(cwd, PathUri):
        return cwd
    if not isinstance(cwd, str | bytes | os.PathLike):
        raise TypeError(f"cwd must be a path, not {type(cwd).__name__}")
    path = os.fspath(cwd)
    try:
        if isinstance(path, str) and path.startswith("file:"):
            return PathUri.parse(path)
        return PathUri.from_native(path)
    except ValueError as error:
        raise ValueError(
            f"cwd must be an absolute path on the executor, not {path!r}: {error}"
        ) from error


def terminal_texts(
    env: Mapping[str, str] | None, policy: protocol.EnvironmentPolicy
) -> dict[str, str]:
    """Return variables as they are sent for a command on a terminal: it has a ``TERM``.

    The executor's own, if it has one, is about some other terminal.
    """
    texts = env_texts(env)
    if "TERM" not in policy.set:
        texts.setdefault("TERM", _TERM)
    return texts


def environment_policy(inherit_env: InheritEnv) -> protocol.EnvironmentPolicy:
    """Return what a process takes of the executor's environment.

    Raises:
        TypeError: It is neither a name nor a policy.
        ValueError: There is no such name.
    """
    if not isinstance(inherit_env, str):
        if isinstance(inherit_env, protocol.EnvironmentPolicy):
            return inherit_env
        raise TypeError(
            "inherit_env must be 'core', 'all', 'none' or an EnvironmentPolicy, "
            f"not {type(inherit_env).__name__}"
        )
    if inherit_env not in ("core", "all", "none"):
        raise ValueError(f"inherit_env must be 'core', 'all' or 'none', not {inherit_env!r}")
    return _plain.EnvironmentPolicy(
        inherit=inherit_env,
        ignore_default_excludes=inherit_env != "all",
        exclude=[],
        set={},
        include_only=[],
    )


def sandbox_context(sandbox: protocol.SandboxContext | None) -> protocol.SandboxContext | None:
    """Return a policy as it is.

    Raises:
        TypeError: It is none.
    """
    if sandbox is None or isinstance(sandbox, protocol.SandboxContext):
        return sandbox
    raise TypeError(
        "sandbox must be a SandboxContext, as SandboxContext.read_only(), "
        f"not {type(sandbox).__name__}"
    )


def signal_name(signal: Signal) -> SignalName:
    """Return a signal by the name that the protocol has for it.

    Raises:
        TypeError: It is neither a name nor a number.
        ValueError: The protocol has no such signal.
    """
    names: tuple[SignalName, ...] = get_args(SignalName)
    for name in names:
        if signal == name:
            return name
    if not isinstance(signal, str | int) or isinstance(signal, bool):
        raise TypeError(f"signal must be a name or a number, not {type(signal).__name__}")
    if isinstance(signal, int) and signal in _SIGNALS:
        return _SIGNALS[signal]
    raise ValueError(
        f"signal must be one of {', '.join(names)}, or the number of one as signal.SIGTERM, "
        f"not {signal!r}"
    )


def seconds(value: float | None, name: str) -> float | None:
    """Return a time as it is.

    Raises:
        TypeError: It is no number.
        ValueError: It is negative, or not a number.
    """
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not value >= 0:
        raise ValueError(f"{name} must not be negative, or nan: {value!r}")
    return value


def stdin_bytes(data: bytes | str, name: str) -> memoryview:
    """Return what is to be written to stdin; text as UTF-8.

    Raises:
        TypeError: It is neither text nor bytes.
    """
    try:
        return memoryview(data.encode() if isinstance(data, str) else data).cast("B")
    except TypeError:
        raise TypeError(f"{name} must be bytes or str, not {type(data).__name__}") from None
