"""Paths of programs that the server runs outside: no sandbox may let them be written.

Whatever a policy's folders are: a clone of the server's own repository, a home with its
virtual environment, the root. Looked up once; what is held by descriptor is in here as well,
because the contents of a held file could be changed in their place.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable
from functools import cache
from typing import Final, NamedTuple

from .errors import PolicyNotEnforceableError
from .interpreter import executable

__all__ = ["Guarded", "keep_helper", "own", "parents"]

_PACKAGES: Final = ("exec_server", "exec_server_protocol", "fs_helper")
_helper: Final[dict[bytes, None]] = {}
"""Of all servers of the process: a few."""


class Guarded(NamedTuple):
    """Resolved paths. All are read-only in each folder that can be written.

    Attributes:
        around: Nothing more.
        places: Refused is a rule that lets exactly one of these be written.
        search: The same; but where files are free, programs may be put there. What the server
            runs it has found already.
        code: Refused is also one that lets anything below be written.
    """

    around: tuple[bytes, ...] = ()
    places: tuple[bytes, ...] = ()
    search: tuple[bytes, ...] = ()
    code: tuple[bytes, ...] = ()

    @property
    def all(self) -> tuple[bytes, ...]:
        """All paths, folders before what is below them."""
        paths = dict.fromkeys((*self.around, *self.places, *self.search, *self.code))
        return tuple(sorted(paths, key=lambda path: path.split(b"/")))

    def refuse(self, roots: Iterable[bytes]) -> None:
        """Refuse rules that let be written what the server runs.

        Args:
            roots: What rules let be written, resolved.

        Raises:
            PolicyNotEnforceableError: One does.
        """
        exactly, code = {*self.places, *self.search, *self.code}, frozenset(self.code)
        for root in roots:
            if root in exactly or any(above in code for above in parents(root)):
                raise PolicyNotEnforceableError(
                    "the sandbox policy lets be written what the server itself runs, loads or "
                    f"trusts: {os.fsdecode(root)}"
                )


def parents(path: bytes) -> Iterable[bytes]:
    """Yield the folders above a path, nearest first, the root last."""
    while path != b"/":
        path = path[: path.rfind(b"/")] or b"/"
        yield path


def keep_helper(files: Iterable[bytes]) -> None:
    """Guard the file helper's files, too, from now on."""
    _helper.update((os.path.realpath(file), None) for file in files)


def own() -> Guarded:
    """Return the server's programs and code, and the folders in which they are looked for."""
    known = _own()
    return known._replace(code=(*known.code, *_helper)) if _helper else known


@cache
def _own() -> Guarded:
    import_path = _import_path()
    prefixes = [_real(path) for path in (sys.prefix, sys.base_prefix)]
    code = {_real(executable()), _real(sys.executable), *map(_real, _package_folders())}
    code.update(path for path in import_path if any(_is_below(path, p) for p in prefixes))
    places = [path for path in import_path if path not in code]
    search = [_real(folder) for folder in _search_path() if os.path.isdir(folder)]
    if sys.prefix != sys.base_prefix:
        places.append(prefixes[0])
    return Guarded(*(tuple(dict.fromkeys(paths)) for paths in (prefixes, places, search, code)))


def _import_path() -> list[bytes]:
    """Return where modules come from; also what is not there, which could come to be.

    Not the folder of a program that embeds a server: that is its own, and often the workspace. Our
    own program has taken it out.
    """
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    own_folder = _real(os.path.dirname(os.path.abspath(script))) if script else None
    found = [_real(entry) for entry in sys.path if os.path.isabs(entry)]
    return [path for path in dict.fromkeys(found) if path not in (own_folder, b"/")]


def _package_folders() -> Iterable[str]:
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            yield os.path.dirname(spec.origin)


def _search_path() -> list[str]:
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return [folder for folder in folders if os.path.isabs(folder) and folder.strip("/")]


def _real(path: str | bytes) -> bytes:
    return os.fsencode(os.path.realpath(path))


def _is_below(path: bytes, folder: bytes) -> bool:
    return path.startswith(folder.rstrip(b"/") + b"/")
