"""``run``, for whatever can start a process."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

from exec_server_protocol.capabilities import CAPABILITY_CLOSE_STDIN, CAPABILITY_SIGNALS

from .running import Order
from .start_arguments import Argument, Argv, RunOptions, argv_texts, split_options

if TYPE_CHECKING:
    from typing import Unpack

    from .completed import CompletedProcess
    from .process import Process

__all__ = ["Runner"]


class Starter(Protocol):
    """A client, as ``run`` needs it."""

    def require(self, capability: str, what: str) -> None:
        """Raise ``UnsupportedError`` unless the executor announced a capability."""

    def start(self, *args: Any, **options: Any) -> Coroutine[Any, Any, Process]:
        """Start a process; see ``Client.start``."""


class Runner:
    """Runs commands to their end."""

    async def _client(self) -> Starter:
        raise NotImplementedError

    @overload
    async def run(
        self,
        argv: Argv[Argument],
        *,
        text: Literal[False] = False,
        encoding: None = None,
        **options: Unpack[RunOptions],
    ) -> CompletedProcess: ...
    @overload
    async def run(
        self,
        argv: Argv[Argument],
        *,
        text: Literal[True],
        encoding: str | None = None,
        **options: Unpack[RunOptions],
    ) -> CompletedProcess[str]: ...
    @overload
    async def run(
        self,
        argv: Argv[Argument],
        *,
        text: bool = False,
        encoding: str,
        **options: Unpack[RunOptions],
    ) -> CompletedProcess[str]: ...
    async def run(
        self,
        argv: Argv[Argument],
        *,
        text: bool = False,
        encoding: str | None = None,
        **options: Unpack[RunOptions],
    ) -> CompletedProcess[Any]:
        """Run a command to its end and return its exit code and its output.

        Cancelling it kills the command.

        Args:
            argv: Program and arguments.
            text: Return output as ``str``, in UTF-8 unless ``encoding`` says otherwise. Line ends
                stay as they are.
            encoding: Of the output; text is returned then.
            errors: What becomes of bytes that are no text: ``replace`` unless it is said, since
                the command has run by then; ``strict`` raises ``UnicodeDecodeError``.
            input: Given to its stdin, which then ends.
            timeout: Seconds until it is killed, its start included. The call returns within a
                quarter of a second after that, and ``kill_after``.
            kill_after: Ask it and all that it has started to end with SIGTERM first, and kill
                what is left so many seconds later.
            check: Raise unless the exit code is 0.
            stdout: A function that gets its stdout piece by piece, awaited if it returns an
                awaitable; or an open file. ``None`` to return it. Reading waits for it, and so does
                the command in the end. What it raises ends the command and is raised.
            stderr: The same for stderr.
            max_output: Most bytes of each stream to return, or to hand on; the rest is dropped,
                and ``truncated`` set. ``None``: with more than 64 MiB to return it raises, and
                what is handed on has no limit. ``sys.maxsize`` for no limit at all.
            keep: Which of them to return: ``head``, ``tail``, or half of each with ``both``. Of
                what is handed on it is the head.
            when_full: What becomes of a command that writes more: ``drain`` reads and drops it,
                ``kill`` ends the command as a timeout does.
            wait_for: ``exit`` returns when the command has ended, with what was written by
                then; ``eof`` waits for the end of its output as well.
            eof_grace: With ``eof``: what it leaves behind in the background may have its output
                open for ever. It is not waited for once it was silent for so many seconds after
                the exit, nor for longer than ten times that; ``None`` waits.
            **options: As for ``start``.

        Raises:
            TimeoutExpired: It was killed; holds the output so far.
            ProcessFailedError: With ``check``: the exit code is not 0.
            OutputLimitError: It wrote more than 64 MiB, and ``max_output`` does not say what to do
                then; holds the beginning and the end.
            TypeError: An argument is of the wrong type; nothing was sent.
            ValueError: An argument has a value that cannot be; nothing was sent.
            UnsupportedError: There is input and the executor cannot end stdin, or it lacks
                something else that an argument needs; nothing was sent.
        """
        start, rest = split_options(options)
        order = Order(encoding=encoding or ("utf-8" if text else None), **rest)
        words = argv_texts(argv)
        if order.input is not None:
            start.setdefault("stdin", True)

        async def begin() -> Process:
            client = await self._client()
            if order.input is not None:
                client.require(CAPABILITY_CLOSE_STDIN, "run with input")
            if order.kill_after is not None:
                client.require(CAPABILITY_SIGNALS, "run with kill_after")
            return await client.start(words, **start)

        return await order.run(words, begin)
