"""Something to escape to: a workspace, what must stay out of reach, and signs of a break-in."""

from __future__ import annotations

import ctypes
import os
import secrets
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from .escapes import SECRET, Site

__all__ = ["Target", "attempt", "read_results"]

_IPC_CREAT: Final = 0o1000
_IPC_RMID: Final = 0
_KEEP: Final = "import sys; sys.stdin.read()"
"""A process that waits to be ended."""
_RUN: Final = (
    "import sys; sys.path.append(sys.argv.pop(1)); from escapes.__main__ import main; "
    "sys.exit(main(sys.argv[1:]))"
)


def attempt(names: Iterable[str], site: Site, *, python: str = sys.executable) -> list[str]:
    """Return the command that tries some ways out, for whoever can read this package."""
    folder = os.path.dirname(__file__)
    return [python, "-I", "-S", "-c", _RUN, folder, ",".join(names), site.to_json()]


def read_results(output: bytes) -> dict[str, tuple[str, str]]:
    """Return how attempts ended, by name: ``ESCAPED``, ``refused`` or ``failed``, and how."""
    lines = output.decode("utf-8", "replace").split("\n")
    rows = [line.split("\t", 2) for line in lines]
    return {row[0]: (row[1], row[2]) for row in rows if len(row) == 3}


class Target:
    """A context manager that sets everything up, and takes it away.

    Args:
        owner: User and group whose files and process it shall be; ``None`` for our own.
        python: An interpreter that this user can run.

    Attributes:
        site: Where everything is.
    """

    def __init__(self, *, owner: int | None = None, python: str = sys.executable) -> None:
        self._owner = owner
        self._python = python
        self._stack = ExitStack()
        self._listeners: list[socket.socket] = []
        self.site: Site

    def __enter__(self) -> Target:
        with ExitStack() as stack:
            base = Path(os.path.realpath(tempfile.mkdtemp(prefix="escape-")))
            stack.callback(shutil.rmtree, base, ignore_errors=True)
            root, outside, home = base / "workspace", base / "outside", base / "home"
            for folder in (root / ".git/hooks", root / "denied", root / "sub", outside, home):
                folder.mkdir(parents=True)
            for file in (root / "denied/file", root / "sub/denied-file", outside / "file"):
                file.write_text("unchanged", encoding="utf-8")
            keeper = stack.enter_context(self._keeper())
            stack.callback(keeper.terminate)
            number = secrets.randbelow(1 << 30) + 1
            self._share_memory(stack, number)
            self.site = Site(
                root=str(root),
                outside=str(outside),
                home=str(home),
                server=keeper.pid,
                port=self._listen(stack, socket.AF_INET, ("127.0.0.1", 0)).getsockname()[1],
                stream=self._named(stack, outside / "stream", socket.SOCK_STREAM),
                datagram=self._named(stack, outside / "datagram", socket.SOCK_DGRAM),
                abstract=f"escape-{number}",
                shared=number,
            )
            self._listen(stack, socket.AF_UNIX, "\0" + self.site.abstract)
            self._root_number = root.stat().st_ino
            self._give_away(base)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _keeper(self) -> subprocess.Popen[bytes]:
        command = [self._python, "-I", "-S", "-c", _KEEP]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, env={"SECRET": SECRET}, user=self._owner, cwd="/"
        )

    def _give_away(self, base: Path) -> None:
        if self._owner is not None:
            for path in (base, *base.rglob("*")):
                os.chown(path, self._owner, self._owner, follow_symlinks=False)

    @staticmethod
    def _share_memory(stack: ExitStack, number: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        identifier = libc.shmget(number, 4096, _IPC_CREAT | 0o600)
        if identifier >= 0:
            stack.callback(libc.shmctl, identifier, _IPC_RMID, None)
        path = Path(f"/dev/shm/{number}")  # noqa: S108 - that is where it has to be
        if path.parent.is_dir():
            path.write_text("shared", encoding="utf-8")
            stack.callback(path.unlink)

    def _listen(self, stack: ExitStack, family: int, address: Any) -> socket.socket:
        listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        listener.bind(address)
        listener.listen()
        self._listeners.append(listener)
        return listener

    def _named(self, stack: ExitStack, path: Path, kind: int) -> str:
        if kind == socket.SOCK_STREAM:
            self._listen(stack, socket.AF_UNIX, str(path))
        else:
            receiver = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
            receiver.bind(str(path))
            self._listeners.append(receiver)
        return str(path)

    def signs(self) -> Sequence[str]:
        """Return what has been done that must not be possible, as seen from outside."""
        site, found = self.site, []
        if Path(site.outside, "file").read_text(encoding="utf-8") != "unchanged":
            found.append("a file outside was written")
        expected = {"file", "stream", "datagram"}
        if set(os.listdir(site.outside)) != expected:
            found.append("something was made outside")
        if os.listdir(site.home):
            found.append("a start-up file was made")
        if os.path.islink(site.root) or os.stat(site.root).st_ino != self._root_number:
            found.append("the root was replaced")
        elif os.listdir(f"{site.root}/.git") != ["hooks"] or os.listdir(f"{site.root}/.git/hooks"):
            found.append("the repository was changed")
        elif os.path.exists(f"{site.root}/.codex/config.toml"):
            found.append("a protected folder was made")
        if select.select(self._listeners, [], [], 0)[0]:
            found.append("somebody connected or sent something")
        return found
