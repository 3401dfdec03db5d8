"""The files of an executor: the same calls for this machine and for one elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .attributes import Attributes
from .changes import Changes
from .contents import Contents
from .transfers import Transfers
from .trees import Trees

if TYPE_CHECKING:
    from exec_server_protocol.sandbox import SandboxContext

__all__ = ["FileSystem"]


class FileSystem(Transfers, Contents, Trees, Changes, Attributes):
    """The files of an executor. ``Client.fs`` and ``Environment.fs`` are ones.

    Paths are ``str``, ``bytes``, ``os.PathLike`` or ``PathUri``: absolute, relative to the
    executor's own folder, or ``file:`` URIs. ``..`` is taken away without a look at the disk.
    What comes back is ``str``; names that are not UTF-8 are spelled as ``os.fsdecode`` does.

    Every call has a ``sandbox``, the policy that the executor applies to it. ``None`` stands
    for the default: that of ``with_sandbox``, else that of ``ClientOptions``, else none.
    ``SandboxContext.disabled()`` asks for none where there is a default.

    What the executor refuses is a ``FileError``: an ``RpcError`` that is also the ``OSError``
    which local code would raise. Reading waits out a lost connection. What changes something
    is sent once: when its answer is lost it raises ``ConnectionBrokenError``, whose
    ``maybe_executed`` is true, and the caller has to look.

    Cancelling any call is safe: no file stays open. A change that was under way may have been
    made, in part where it is a tree.
    """

    def with_sandbox(self, sandbox: SandboxContext | None) -> FileSystem:
        """Return the same files with another default policy.

        Args:
            sandbox: What calls without a ``sandbox`` run under; ``None`` for the client's
                default.
        """
        return FileSystem(self._connect, sandbox)

    def __repr__(self) -> str:
        return f"<FileSystem{' sandboxed' if self._sandbox else ''}>"
