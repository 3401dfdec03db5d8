"""The entries of one directory, and ``fs/readDirectory``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import NamedTuple

from .answers import Pieces, join
from .params import Params, path_of

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

    Names that are not UTF-8 are shown with replacement characters.

    Raises:
        OSError: As the system says; ``ENOTDIR`` for something else.
    """
    return (yield from join(_texts(path_of(params))))


def _texts(path: bytes) -> Iterator[str]:
    yield '{"entries":['
    separator = ""
    for child in children(path):
        name = json.dumps(child.name.decode("utf-8", "replace"))
        is_directory = "true" if child.is_directory else "false"
        is_file = "true" if child.is_file else "false"
        yield f'{separator}{{"fileName":{name},"isDirectory":{is_directory},"isFile":{is_file}}}'
        separator = ","
    yield "]}"
