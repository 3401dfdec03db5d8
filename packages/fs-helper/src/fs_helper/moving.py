"""``fs/move``: renaming, also between file systems."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from exec_server_protocol.errors import INVALID_REQUEST

from .answers import EMPTY
from .atomic import temporary_name
from .attributes import NO_ATTRIBUTES, Attributes, attributes_of, kept_of
from .copying import copy_content
from .errors import OperationError
from .params import Params, flag, path_of
from .regular import open_for_reading
from .system_calls import rename_no_replace
from .tree import remove_entry

__all__ = ["move"]


def move(params: Params) -> bytes:
    """Rename and return the JSON text of the answer to ``fs/move``.

    A link is moved itself. Between file systems the source is copied to a temporary name
    beside the destination, renamed into place and then removed: the destination is never
    half there, but a helper that is killed may leave a ``.fs-helper-…`` entry beside it, or
    the source beside the finished destination.

    Raises:
        OperationError: Between file systems, something special in the source.
        OSError: ``EEXIST`` when there is a destination, unless ``overwrite`` is given; as
            the system says.
    """
    source = path_of(params, "sourcePath")
    destination = path_of(params, "destinationPath")
    overwrite = flag(params, "overwrite", default=False)
    attributes = attributes_of(params)
    keep = flag(params, "keepAttributes", default=False)
    if keep or attributes != NO_ATTRIBUTES:
        _prepare(source, destination if keep else None, attributes)
    try:
        _rename(source, destination, overwrite=overwrite)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _move_across(source, destination, overwrite=overwrite)
    return EMPTY


def _prepare(source: bytes, replaced: bytes | None, attributes: Attributes) -> None:
    """Give the source what it is to have under its new name, before it has that name.

    Raises:
        OSError: Something cannot be given; nothing is moved then.
    """
    status = os.lstat(source)
    if not stat.S_ISREG(status.st_mode):
        return
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not os.path.samestat(os.fstat(fd), status):
            raise OSError(errno.ESTALE, "")
        attributes.give(fd, None if replaced is None else kept_of(replaced))
    finally:
        os.close(fd)


def _rename(source: bytes, destination: bytes, *, overwrite: bool) -> None:
    if overwrite:
        status = os.lstat(source)
        os.rename(source, destination)
        _drop_second_name(source, destination, status)
        return
    if rename_no_replace(source, destination) is not None:
        return
    status = os.lstat(source)
    if stat.S_ISDIR(status.st_mode):
        # A directory has one name only, so the gap between looking and renaming stays. A
        # rename replaces nothing but an empty directory in it.
        if os.path.lexists(destination):
            raise FileExistsError(errno.EEXIST, "")
        os.rename(source, destination)
        return
    os.link(source, destination, follow_symlinks=False)
    os.unlink(source)


def _drop_second_name(source: bytes, destination: bytes, status: os.stat_result) -> None:
    """Remove the source if it was left: renaming one name of a file to another does nothing."""
    try:
        left = os.lstat(source)
    except FileNotFoundError:
        return
    if not os.path.samestat(left, status) or stat.S_ISDIR(status.st_mode):
        return
    if os.path.basename(source) == os.path.basename(destination) and os.path.samestat(
        os.stat(os.path.dirname(source)), os.stat(os.path.dirname(destination))
    ):
        return  # one and the same entry
    os.unlink(source)


def _move_across(source: bytes, destination: bytes, *, overwrite: bool) -> None:
    if not overwrite and os.path.lexists(destination):
        raise FileExistsError(errno.EEXIST, "")
    _refuse_special(source)
    temporary = os.path.join(os.path.dirname(destination), temporary_name())
    try:
        _copy_with_attributes(source, temporary)
        _rename(temporary, destination, overwrite=overwrite)
    except BaseException:
        with suppress(OSError):  # what went wrong first is what matters
            remove_entry(temporary, recursive=True)
        raise
    remove_entry(source, recursive=True)


def _refuse_special(source: bytes) -> None:
    """Find out before anything is done whether everything can be copied."""
    pending = [source]
    while pending:
        path = pending.pop()
        mode = os.lstat(path).st_mode
        if stat.S_ISDIR(mode):
            pending += [os.path.join(path, name) for name in os.listdir(path)]
        elif not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
            raise OperationError(
                INVALID_REQUEST,
                "between file systems, only regular files, directories and symbolic links "
                "can be moved",
            )


def _copy_with_attributes(source: bytes, destination: bytes) -> None:
    pending = [(source, destination)]
    directories: list[tuple[bytes, os.stat_result]] = []
    while pending:
        path, target = pending.pop()
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode):
            os.mkdir(target, 0o700)
            directories.append((target, status))
            pending += [
                (os.path.join(path, name), os.path.join(target, name)) for name in os.listdir(path)
            ]
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(path), target)
            _give_attributes(target, status)
        else:
            _copy_new_file(path, target)
            _give_attributes(target, status)
    # Inner ones first: a directory's time changes with its entries, and its mode may
    # forbid making them.
    for target, status in reversed(directories):
        _give_attributes(target, status)


def _copy_new_file(source: bytes, destination: bytes) -> None:
    read_fd, _size = open_for_reading(source)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        write_fd = os.open(destination, flags, 0o600)
        try:
            copy_content(read_fd, write_fd)
            os.fsync(write_fd)  # the source is about to be removed
        finally:
            os.close(write_fd)
    finally:
        os.close(read_fd)


def _give_attributes(path: bytes, status: os.stat_result) -> None:
    try:
        os.chown(path, status.st_uid, status.st_gid, follow_symlinks=False)
        owned = True
    except PermissionError:
        owned = False  # not ours to give: the mover becomes the owner
    if not stat.S_ISLNK(status.st_mode):
        mode = stat.S_IMODE(status.st_mode)
        # Setuid for another owner would be another program.
        os.chmod(path, mode if owned else mode & 0o777)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)
