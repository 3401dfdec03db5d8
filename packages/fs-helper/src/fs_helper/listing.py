"""The entries of one directory, and ``fs/readDirectory``."""

from __future__ import annotations

import binascii
import json
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from .answers import Pieces, join
from .params import Params, flag, path_of

__all__ = ["Child", "children", "read_directory"]


class Child(NamedTuple):
    """An entry of a directory.

    Attributes:
        name: As it is on disk.
        is_directory: It is one, or a link to one.
        is_file: It is a regular file, or a link to one.
        is_symlink: It is a link.
    """

    name: bytes
    is_directory: bool
    is_file: bool
    is_symlink: bool


def children(path: bytes) -> Iterator[Child]:
    """Yield what is in a directory, in no order.

    What cannot be looked at is left out: links that lead nowhere, and everything in a
    directory that may be read but not searched.

    Raises:
        OSError: The directory cannot be read.
    """
    with os.scandir(path) as entries:
        searchable = os.access(path, os.X_OK)
        for entry in entries:
            if not searchable:
                continue
            is_symlink = entry.is_symlink()
            try:
                if is_symlink:
                    entry.stat()
                yield Child(entry.name, entry.is_dir(), entry.is_file(), is_symlink)
            except OSError:
                continue


def read_directory(params: Params) -> Pieces:
    """Produce the JSON text of the answer to ``fs/readDirectory``.

    Names that are not UTF-8 are shown with replacement characters; with ``details`` they come
    in base64 as well.

    Raises:
        OSError: As the system says; ``ENOTDIR`` for something else.
    """
    path = path_of(params)
    if flag(params, "details", default=False):
        return (yield from join(_in_an_object(_detailed(path))))
    return (yield from join(_in_an_object(_plain(path))))


def _in_an_object(items: Iterator[str]) -> Iterator[str]:
    yield '{"entries":['
    separator = ""
    for item in items:
        yield separator + item
        separator = ","
    yield "]}"


def _plain(path: bytes) -> Iterator[str]:
    for child in children(path):
        yield _item(child.name, is_directory=child.is_directory, is_file=child.is_file)


def _item(name: bytes, *, is_directory: bool, is_file: bool, more: str = "") -> str:
    shown = json.dumps(name.decode("utf-8", "replace"))
    kinds = f'"isDirectory":{_word(is_directory)},"isFile":{_word(is_file)}'
    return f'{{"fileName":{shown},{kinds}{more}}}'


def _word(value: bool) -> str:
    return "true" if value else "false"


def _detailed(path: bytes) -> Iterator[str]:
    """Yield every entry; what cannot be looked at (links to nothing) is neither file nor folder."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with os.scandir(fd) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                status = _look(entry)
                more = f',"isSymlink":{_word(entry.is_symlink())}'
                mode = 0
                if status is not None:
                    mode = status.st_mode
                    more += (
                        f',"size":{status.st_size}'
                        f',"modifiedAtMs":{max(0, status.st_mtime_ns // 1_000_000)}'
                        f',"fileMode":{stat.S_IMODE(mode)}'
                    )
                if not _is_utf8(name):
                    more += f',"nameBase64":"{binascii.b2a_base64(name, newline=False).decode()}"'
                yield _item(
                    name, is_directory=stat.S_ISDIR(mode), is_file=stat.S_ISREG(mode), more=more
                )
    finally:
        os.close(fd)


def _look(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat()
    except OSError:
        return None


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
