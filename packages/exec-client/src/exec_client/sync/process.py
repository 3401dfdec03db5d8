"""A process without ``async``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from .output import OutputStream
from .portal import Portal, PortalIterator
from .portal import timeout as limit

if TYPE_CHECKING:
    from typing import Self

    from exec_server_protocol.process import ProcessReadResult, SandboxType

    from ..errors import ProcessBrokenError
    from ..process import process as _process
    from ..process.events import OutputEvent, ProcessEvent
    from ..process.start_arguments import Signal

__all__ = ["Process"]


class Process:
    """``exec_client.Process`` without ``async``.

    Used with ``with``, it is terminated at the end of the block if it still runs.
    """

    def __init__(self, portal: Portal, process: _process.Process) -> None:
        self._portal = portal
        self._process = process
        self.stdout = OutputStream(portal, process.stdout)
        self.stderr = OutputStream(portal, process.stderr)

    def __repr__(self) -> str:
        return f"<sync {self._process!r}>"

    @property
    def process_id(self) -> str:
        """Its name in the session."""
        return self._process.process_id

    @property
    def argv(self) -> Sequence[str]:
        """Command line that was started."""
        return self._process.argv

    @property
    def returncode(self) -> int | None:
        """Exit code, 128 + N for signal N; ``None`` while it runs."""
        return self._process.returncode

    @property
    def signal(self) -> int | None:
        """The signal that ended it; ``None`` if none did, or if that is not known."""
        return self._process.signal

    @property
    def pid(self) -> int | None:
        """Its number on the executor; ``None`` where the executor does not tell."""
        return self._process.pid

    @property
    def tty(self) -> bool:
        """Whether it has a terminal."""
        return self._process.tty

    @property
    def failure(self) -> ProcessBrokenError | None:
        """Reason why the process cannot be followed any more; ``None`` while it can."""
        return self._process.failure

    @property
    def sandbox_type(self) -> SandboxType:
        """Kind of sandbox that confines the process."""
        return self._process.sandbox_type

    def events(self) -> Iterator[ProcessEvent]:
        """Return output, exit and close in their order, from what is still kept."""
        return PortalIterator(self._portal, self._process.events())

    def read(
        self, after_seq: int = 0, max_bytes: int | None = None, wait: float = 0.0
    ) -> ProcessReadResult:
        """Return output that the executor retains, and the state of the process."""
        return self._portal.call(self._process.read(after_seq, max_bytes, wait))

    def retained(self, after_seq: int = 0) -> Iterator[OutputEvent]:
        """Yield the output that the executor still has, page by page."""
        return PortalIterator(self._portal, self._process.retained(after_seq))

    def wait_changed(self, seen: int = 0) -> int:
        """Wait until something newer than ``seen`` happened; return what to pass next time."""
        return self._portal.call(self._process.wait_changed(seen))

    def write(self, data: bytes | str) -> None:
        """Write to its stdin."""
        self._portal.call(self._process.write(data))

    def close_stdin(self) -> None:
        """End its stdin after everything written so far."""
        self._portal.call(self._process.close_stdin())

    def resize(self, rows: int, cols: int) -> None:
        """Change the size of its terminal."""
        self._portal.call(self._process.resize(rows, cols))

    def send_signal(self, signal: Signal) -> None:
        """Send it a signal, by name or as ``signal.SIGTERM``."""
        self._portal.call(self._process.send_signal(signal))

    def terminate(self, *, grace: float = 0) -> None:
        """Kill it and all that it has started, with ``grace`` so many seconds after a SIGTERM."""
        self._portal.call(self._process.terminate(grace=grace))

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code when it has ended.

        Raises:
            TimeoutError: It has not within so many seconds. It goes on.
        """
        with limit(timeout):
            return self._portal.call(self._process.wait())

    def wait_exited(self, timeout: float | None = None) -> int:
        """Return its exit code when it has ended, whatever it has left behind."""
        with limit(timeout):
            return self._portal.call(self._process.wait_exited())

    def communicate(
        self, input: bytes | str | None = None, timeout: float | None = None
    ) -> tuple[bytes, bytes]:
        """Write ``input``, end stdin, and return all of stdout and stderr.

        Raises:
            TimeoutError: It has not ended within so many seconds. It goes on, and what has arrived
                can still be read.
        """
        with limit(timeout):
            return self._portal.call(self._process.communicate(input))

    def __enter__(self) -> Self:
        self._portal.call(self._process.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._portal.call(self._process.__aexit__(kind, error, traceback), limited=False)
