"""A session: its processes and its attachment."""

from __future__ import annotations

from collections.abc import Callable

from ..access.authorization import Owner
from ..config import ServerConfig
from ..launching.launch_threads import LaunchThreads
from ..launching.tree_end import TreeEnd
from ..output.spool import Spool
from ..process.table import ProcessTable
from ..runtime.peer import Sender
from .attachment import Attachment, AttachmentState

__all__ = ["Session"]


class Session:
    """State of a client that outlives its connection.

    Args:
        session_id: Of it.
        owner: Whose it is.
        config: Of the server.
        pool: Threads that look at the file system.
        spool: Disk space for output.
        trees: Ends what processes have started.
        on_quiet: Called whenever the last of its processes has closed.

    Attributes:
        id: A random UUID; among the clients of its owner, knowing it is what entitles to resume.
        owner: Whose it is.
        processes: The session's processes.
        attachment: Its tie to a connection.
    """

    def __init__(
        self,
        session_id: str,
        owner: Owner,
        config: ServerConfig,
        pool: LaunchThreads,
        spool: Spool,
        trees: TreeEnd,
        on_quiet: Callable[[Session], None],
    ) -> None:
        self.id = session_id
        self.owner = owner
        self.attachment = Attachment()
        self.processes = ProcessTable(config, pool, spool, trees, lambda: on_quiet(self))
        self._sender: Sender | None = None
        self._expiry_callbacks: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"<Session {self.attachment.state.value} generation={self.attachment.generation}>"

    def attach(self, sender: Sender, *, behind: bool = False) -> None:
        """Send to ``sender`` from now on. State and sender change in one step.

        Args:
            sender: The way to the client.
            behind: The events of each process only once the client has caught up with it.
        """
        self.attachment.attach()
        self._sender = sender
        self.processes.set_sender(sender, behind=behind)

    def detach(self, sender: Sender, deadline: float) -> bool:
        """Stop sending to ``sender``, unless another connection has taken its place.

        Args:
            sender: Who is going.
            deadline: Loop time at which the session expires.

        Returns:
            Whether the session is detached because of this call.
        """
        if self._sender is not sender or self.attachment.state is not AttachmentState.ATTACHED:
            return False
        self.attachment.detach(deadline)
        self._sender = None
        self.processes.set_sender(None)
        return True

    def expire(self) -> None:
        """Kill everything that belongs to the session."""
        if self.attachment.state is not AttachmentState.EXPIRED:
            self.attachment.expire()
            self._sender = None
            self.processes.destroy()
            callbacks, self._expiry_callbacks = self._expiry_callbacks, []
            for callback in callbacks:
                callback()

    def when_expired(self, callback: Callable[[], None]) -> None:
        """Call back once, when the session has ended: for what belongs to it."""
        self._expiry_callbacks.append(callback)
