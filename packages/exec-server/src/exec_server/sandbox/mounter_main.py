"""A program that enters sandboxes' namespaces and mounts there what its arguments list.

It runs outside, as the server's user, and nothing of it is ever run inside. It is a program
of its own since a process with threads cannot enter a user namespace, and needs nothing but the
standard library, so that it starts in a few milliseconds. Each request is carried out by a child of
its own, which has not been in any other sandbox; the program ends when nobody asks for a while.

On its standard input, a socket, come messages with four descriptors: a socket for the answer, the
user namespace, the mount namespace, and a file with the arguments of ``mount_all``, marshalled. The
answer is ``DONE``, or what was wrong.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # without enum: it starts in half the time
import _socket
import array
import ctypes
import errno
import marshal
import os
import stat
from typing import Final

__all__ = ["CHANGED", "DONE", "OUTSIDE", "SETUP"]

SETUP: Final = b"/dev/.exec-server"
"""A file system of the sandbox's own, in its own ``/dev``, for what is mounted from: masks, and
all that is outside. Gone before anything runs inside."""
OUTSIDE: Final = SETUP + b"/outside"
DONE: Final = b"done"
_ANY_FOLDER: Final = b"/proc/fs"
"""Is in every sandbox's own ``/proc``, for a moment below such a file system."""
CHANGED: Final = b"changed"

_OPENAT2, _OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 437, 428, 429, 442
"""System calls; all machines have the same numbers for these."""
_AT_FDCWD: Final = -100
_AT_EMPTY_PATH, _AT_RECURSIVE, _CLONE = 0x1000, 0x8000, 1
_MOVE_EMPTY_PATHS: Final = 0x4 | 0x40
_READ_ONLY, _NO_SUID, _NO_DEVICES = 0x1, 0x2, 0x4
_NO_LINKS: Final = 0x04
_DETACH: Final = 2
_PRIVATE: Final = 0x4000 | 0x40000  # with everything below
_IDLE_SECONDS: Final = 5.0
"""Then it is started anew, which takes as long as a sandbox does."""
_REQUEST_SECONDS: Final = 15
"""Longer than anybody waits for an answer."""
_MS_NO_MORE: Final = 0x2 | 0x4  # no set-user-ID programs, no devices
_NEW_USER, _NEW_MOUNTS = 0x10000000, 0x20000

_libc: Final = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _call(number: int, *arguments: object) -> int:
    return _check(_libc.syscall(ctypes.c_long(number), *arguments))


def _find(path: bytes, flags: int = 0) -> int:
    """Open what a path names, if no link is on the way. Returns the descriptor."""
    how = (ctypes.c_uint64 * 3)(os.O_PATH | os.O_CLOEXEC | flags, 0, _NO_LINKS)
    return _call(_OPENAT2, _AT_FDCWD, path, how, ctypes.c_size_t(24))


def _set(descriptor: int, flags: int, attributes: int) -> None:
    given = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    _call(_MOUNT_SETATTR, descriptor, b"", flags | _AT_EMPTY_PATH, given, ctypes.c_size_t(32))


def _mount(source: bytes, target: int, *, read_only: bool, identity: object = None) -> None:
    found = _find(source)
    status = os.fstat(found)
    if identity is not None and (status.st_dev, status.st_ino) != identity:
        raise _ChangedError
    tree = _call(_OPEN_TREE, found, b"", _AT_EMPTY_PATH | _AT_RECURSIVE | _CLONE | os.O_CLOEXEC)
    _set(tree, _AT_RECURSIVE, _NO_SUID | _NO_DEVICES | (_READ_ONLY if read_only else 0))
    _call(_MOVE_MOUNT, tree, b"", target, b"", _MOVE_EMPTY_PATHS)
    os.close(tree)
    os.close(found)


class _ChangedError(Exception):
    """Something else is there than was planned."""


class _Mounter:
    """Mounts in order. What has no mount point gets one, in file systems of the sandbox's own.

    Args:
        setup: An empty file system.
        outside: What comes before the path of what is shown.
        own: Devices of file systems in which mount points may be made.
    """

    def __init__(self, setup: bytes, outside: bytes, own: set[int]) -> None:
        self._setup = setup
        self._outside = outside
        self._own = own
        self._opened: list[bytes] = []
        os.mkdir(setup + b"/folder", 0)
        os.close(os.open(setup + b"/file", os.O_CREAT | os.O_EXCL, 0))

    def mount(self, kind: str, path: bytes, identity: object, detail: object) -> None:
        """Make one mount.

        Args:
            kind: ``Kind``, by its value.
            path: Where.
            identity: Device and inode of what is shown; ``None`` for what is not known.
            detail: Whether a hidden folder can be passed; the text of a link, or of the
                file that hides one.
        """
        self.close_masks(path)
        if kind == "link":
            self._make_above(path)
            os.symlink(detail, path)  # type: ignore[arg-type]
        elif kind == "hide-link":
            self._hide_link(path, detail)  # type: ignore[arg-type]
        elif kind == "hide-folder" and detail:
            self._hide_around(path)
        elif kind == "hide-folder" or kind == "hide-file":
            mask = self._setup + (b"/folder" if kind == "hide-folder" else b"/file")
            self._put(mask, path, read_only=True)
        else:
            read_only = kind not in ("write", "pin")
            self._put(self._outside + path, path, read_only=read_only, identity=identity)

    def _put(self, source: bytes, path: bytes, *, read_only: bool, identity: object = None) -> None:
        target = self._target(path, source)
        _mount(source, target, read_only=read_only, identity=identity)
        os.close(target)

    def _hide_link(self, path: bytes, text: bytes) -> None:
        mask = b"%b/%d" % (self._setup, len(os.listdir(self._setup)))
        with open(mask, "wb") as file:
            file.write(text)
        os.chmod(mask, 0o444)
        target = _find(path, os.O_NOFOLLOW)
        if not stat.S_ISLNK(os.fstat(target).st_mode):
            raise _ChangedError
        _mount(mask, target, read_only=True)
        os.close(target)

    def _hide_around(self, path: bytes) -> None:
        """Hide a folder in which something is shown: there will be mount points in it."""
        mask = b"%b/%d" % (self._setup, len(os.listdir(self._setup)))
        os.mkdir(mask, 0o755)
        self._put(mask, path, read_only=False)
        self._opened.append(path)

    def close_masks(self, path: bytes) -> None:
        """Let nothing more be made in hidden folders, but for those that ``path`` is below."""
        while self._opened and not path.startswith(self._opened[-1] + b"/"):
            opened = self._opened.pop()
            os.chmod(opened, 0o111)  # noqa: S103 - to be passed, not read
            descriptor = _find(opened)
            _set(descriptor, 0, _READ_ONLY)
            os.close(descriptor)

    def _target(self, path: bytes, like: bytes) -> int:
        try:
            return _find(path)
        except FileNotFoundError:
            self._make_above(path)
        if os.path.isdir(like):
            os.mkdir(path, 0o755)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o444))
        return _find(path)

    def _make_above(self, path: bytes) -> None:
        above = path[: path.rfind(b"/")] or b"/"
        try:
            descriptor = _find(above)
        except FileNotFoundError:
            self._make_above(above)
            os.mkdir(above, 0o755)
            descriptor = _find(above)
        own = os.fstat(descriptor).st_dev in self._own
        os.close(descriptor)
        if not own:
            raise _ChangedError


def mount_all(mounts: list[tuple[str, bytes, object, object]], how: str) -> None:
    """Make all mounts.

    Args:
        mounts: Arguments of ``_Mounter.mount``, in order.
        how: ``"new"``: nothing runs inside yet, and ``SETUP`` is there. ``"running"``: only what
            is inside can be shown, and nothing is made on the disk. ``"private"``: there are no
            mounts to make.

    Afterwards nothing that is mounted outside appears inside.
    """
    if how == "running":
        setup = _ANY_FOLDER
        _check(_libc.mount(b"tmpfs", setup, b"tmpfs", ctypes.c_ulong(_MS_NO_MORE), b"mode=755"))
        _mount_from(setup, _Mounter(setup, b"", set()), mounts)
    elif how == "new":
        own = {os.stat(path).st_dev for path in (b"/", b"/dev", SETUP)}
        _mount_from(SETUP, _Mounter(SETUP, OUTSIDE, own - {os.stat(OUTSIDE).st_dev}), mounts)
        os.rmdir(SETUP)
    # bubblewrap leaves all receivers of what is mounted outside, if that is shared. Last of all:
    # what was shown from outside just now receives as well.
    _check(_libc.mount(None, b"/", None, ctypes.c_ulong(_PRIVATE), None))


def _mount_from(
    setup: bytes, mounter: _Mounter, mounts: list[tuple[str, bytes, object, object]]
) -> None:
    try:
        for mount in mounts:
            mounter.mount(*mount)
        mounter.close_masks(b"/")
    finally:
        _check(_libc.umount2(setup, _DETACH))


def answer_request(user: int, mounts: int, request: int) -> bytes:
    """Make the mounts of one request; return the answer.

    Args:
        user: Descriptor of the user namespace to enter.
        mounts: Descriptor of the mount namespace to enter.
        request: Descriptor of a file with the mounts.
    """
    try:
        with open(request, "rb") as file:
            arguments = marshal.load(file)  # noqa: S302 - from the server
        if os.path.sameopenfile(mounts, os.open(b"/proc/self/ns/mnt", os.O_RDONLY)):
            raise OSError(0, "not in a mount namespace of its own")
        os.umask(0)
        if not os.path.sameopenfile(user, os.open(b"/proc/self/ns/user", os.O_RDONLY)):
            _check(_libc.setns(user, _NEW_USER))
        _check(_libc.setns(mounts, _NEW_MOUNTS))
        mount_all(*arguments)
    except (_ChangedError, FileNotFoundError, NotADirectoryError):
        return CHANGED
    except OSError as error:
        return CHANGED if error.errno == errno.ELOOP else str(error).encode()
    return DONE


def main() -> None:
    """Answer requests, until the server has closed its end or has asked nothing for long."""
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)  # the system waits for the children
    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, 0)
    channel.settimeout(_IDLE_SECONDS)
    while True:
        try:
            _, ancillary, _, _ = channel.recvmsg(1, _socket.CMSG_SPACE(4 * 4))
        except TimeoutError:
            return
        if not ancillary:
            return
        descriptors = array.array("i", ancillary[0][2])
        if os.fork() == 0:
            channel.close()
            _signal.alarm(_REQUEST_SECONDS)
            answers, *rest = descriptors
            answer = answer_request(*rest)
            _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, answers).send(answer)
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)


if __name__ == "__main__":
    main()
