"""``run`` without ``async``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from ..process.sinks import in_thread
from ..process.start_arguments import Argument, Argv, RunOptions
from .portal import Portal

if TYPE_CHECKING:
    from typing import Unpack

    from ..process.completed import CompletedProcess
    from ..process.runner import Runner

__all__ = ["SyncRunner"]


class SyncRunner:
    """``Runner`` without ``async``."""

    _portal: Portal

    def _runner(self) -> Runner:
        raise NotImplementedError

    @overload
    def run(
        self,
        argv: Argv[Argument],
        *,
        text: Literal[False] = False,
        encoding: None = None,
        **options: Unpack[RunOptions],
    ) -> CompletedProcess: ...
    @overload
    def run(
        self,
        argv: Argv[Argument],
        *,
        text: Literal[True],
        encoding: str | None = None,
        **options: Unpack[RunOptions],
    ) -> CompletedProcess[str]: ...
    @overload
    def run(
        self,
        argv: Argv[Argument],
        *,
        text: bool = False,
        encoding: str,
        **options: Unpack[RunOptions],
    ) -> CompletedProcess[str]: ...
    def run(self, argv: Argv[Argument], **options: Any) -> CompletedProcess[Any]:
        """Run a command to its end; takes what ``exec_client.Client.run`` takes.

        Functions for output are called in a thread, one call at a time, and may block.
        """
        for name in ("stdout", "stderr"):
            if name in options:
                options[name] = in_thread(options[name])
        return self._portal.call(self._runner().run(argv, **options))
