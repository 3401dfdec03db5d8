"""Patterns of files that nobody inside may read: their syntax, and the search for matches.

``*`` and ``?`` match within one name, leading dots included, ``[…]`` one character of a
set, and ``**`` as a whole name any number of folders. A pattern that could mean something
else to whoever wrote it (braces, backslashes, no wildcard at all, a home directory) is
refused: a file that is not hidden is worse than a request that fails.

Only files match. A folder that matches stays visible, and so do links: what they lead to
is hidden when it matches itself.
"""

from __future__ import annotations

import os
import posixpath
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from .errors import PolicyNotEnforceableError

__all__ = ["SCAN_MAX_ENTRIES", "SCAN_MAX_SECONDS", "Glob", "scan"]

SCAN_MAX_ENTRIES: Final = 1_000_000
"""Folder entries that one search looks at: a large monorepo with all its dependencies."""
SCAN_MAX_SECONDS: Final = 10.0
"""How long one search may take; a request that waits longer is better told no."""

_STARS_MAX: Final = 8
"""In one name: each multiplies the time that a match may take."""

_WILDCARDS: Final = frozenset("*?[")
_ANY_DEPTH: Final = "**"


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern, taken apart.

    Attributes:
        base: The folder that the fixed part names; never the root.
        parts: What follows, name by name.
    """

    base: bytes
    parts: tuple[str, ...]

    @property
    def only_names(self) -> bool:
        """Whether a file matches by its own name, in whatever folder below the base it is."""
        return all(part == _ANY_DEPTH for part in self.parts[:-1]) and len(self.parts) > 1

    @classmethod
    def parse(cls, pattern: str, cwd: bytes | None) -> Glob:
        """Return the pattern that the text spells.

        Args:
            pattern: Absolute, or relative to ``cwd``.
            cwd: An absolute path; not needed for an absolute pattern.

        Raises:
            PolicyNotEnforceableError: It cannot be searched for safely.
        """
        problem = PolicyNotEnforceableError(
            f"the deny pattern {pattern!r} cannot be expanded safely: it needs a wildcard "
            "below a fixed folder other than the root, and no braces or backslashes"
        )
        if pattern.startswith("~") or set(pattern) & set("{}\\\0"):
            raise problem
        start = "" if pattern.startswith("/") else os.fsdecode(cwd or b"")
        names = [name for name in posixpath.normpath(f"{start}/{pattern}").split("/") if name]
        fixed = next((at for at, name in enumerate(names) if set(name) & _WILDCARDS), len(names))
        if start:
            # A folder's own name may contain what would be a wildcard in a pattern.
            fixed = max(fixed, _shared(names, [name for name in start.split("/") if name]))
        if not 0 < fixed < len(names):
            raise problem
        try:
            for name in names[fixed:]:
                if name.count("*") > _STARS_MAX:
                    raise problem
                re.compile(_translate(name))
        except (re.error, ValueError) as error:
            raise problem from error
        return cls(b"/" + os.fsencode("/".join(names[:fixed])), tuple(names[fixed:]))


def _shared(names: list[str], start: list[str]) -> int:
    length = 0
    while length < min(len(names), len(start)) and names[length] == start[length]:
        length += 1
    return length


def _translate(name: str) -> str:
    text = ""
    at = 0
    while at < len(name):
        character = name[at]
        at += 1
        if character == "*":
            text += ".*"
        elif character == "?":
            text += "."
        elif character == "[":
            negated = name[at : at + 1] in ("!", "^")
            first = at + negated
            end = name.index("]", first + 1)  # a bracket in the first place stands for itself
            members = re.sub(r"([\[\]\\^&~|])", r"\\\1", name[first:end])
            text += f"[{'^' if negated else ''}{members}]"
            at = end + 1
        else:
            text += re.escape(character)
    return rf"(?s:{text})\Z"


class _Matcher:
    """Which parts of one pattern may come next, from folder to folder."""

    def __init__(self, glob: Glob) -> None:
        self._tests: list[Callable[[str], object] | None] = [
            None if part == _ANY_DEPTH else re.compile(_translate(part)).match
            for part in glob.parts
        ]
        self.start = self._close({0})

    def _close(self, states: Iterable[int]) -> frozenset[int]:
        closed: set[int] = set()
        for state in states:
            closed.add(state)
            while state < len(self._tests) and self._tests[state] is None:
                state += 1
                closed.add(state)
        return frozenset(closed)

    def file(self, states: frozenset[int], name: str) -> bool:
        last = len(self._tests) - 1
        if last not in states:
            return False
        test = self._tests[last]
        return test is None or test(name) is not None

    def folder(self, states: frozenset[int], name: str) -> frozenset[int]:
        following: set[int] = set()
        for state in states:
            if state >= len(self._tests):
                continue
            test = self._tests[state]
            if test is None:
                following.add(state)
            elif test(name) is not None:
                following.add(state + 1)
        return self._close(following)


_State = tuple[tuple[_Matcher, frozenset[int]], ...]


def scan(
    globs: Iterable[Glob],
    *,
    max_depth: int | None = None,
    max_entries: int = SCAN_MAX_ENTRIES,
    max_seconds: float = SCAN_MAX_SECONDS,
) -> tuple[list[bytes], list[bytes]]:
    """Return the files that match now, and the links that do. Looks at the disk.

    Args:
        globs: Patterns whose ``base`` is a resolved path.
        max_depth: 1 looks into the base folder only; ``None`` goes all the way down.
        max_entries: Folder entries over all patterns.
        max_seconds: For all patterns together.

    Raises:
        PolicyNotEnforceableError: A limit was reached, or a folder could not be read: there
            may be files that match and were not seen.
    """
    by_base: dict[bytes, list[_Matcher]] = {}
    for glob in globs:
        by_base.setdefault(glob.base, []).append(_Matcher(glob))
    left = _Budget(max_entries, time.monotonic() + max_seconds)
    files: set[bytes] = set()
    links: set[bytes] = set()
    for base, matchers in by_base.items():
        pending: list[tuple[bytes, int, _State]] = [
            (base, 1, tuple((m, m.start) for m in matchers))
        ]
        while pending:
            folder, depth, state = pending.pop()
            for entry in left.listed(folder):
                name = os.fsdecode(entry.name)
                if entry.is_dir(follow_symlinks=False):
                    if max_depth is None or depth < max_depth:
                        following = tuple(
                            (matcher, states)
                            for matcher, before in state
                            if (states := matcher.folder(before, name))
                        )
                        if following:
                            pending.append((entry.path, depth + 1, following))
                elif any(matcher.file(before, name) for matcher, before in state):
                    (links if entry.is_symlink() else files).add(entry.path)
    return sorted(files), sorted(links)


class _Budget:
    def __init__(self, entries: int, deadline: float) -> None:
        self._entries = entries
        self._deadline = deadline

    def listed(self, folder: bytes) -> Iterator[os.DirEntry[bytes]]:
        try:
            with os.scandir(folder) as entries:
                found = []
                for entry in entries:
                    found.append(entry)
                    if len(found) > self._entries:
                        raise PolicyNotEnforceableError(
                            "a deny pattern cannot be expanded: too many files to look at; "
                            "narrow its fixed part or set glob_scan_max_depth"
                        )
        except (FileNotFoundError, NotADirectoryError):
            return
        except PermissionError as error:
            if _could_be_opened_up(folder):
                raise PolicyNotEnforceableError(
                    "a deny pattern cannot be expanded: a folder cannot be read"
                ) from error
            return  # who cannot read it outside cannot read it inside either
        except OSError as error:
            raise PolicyNotEnforceableError(
                f"a deny pattern cannot be expanded: {os.strerror(error.errno or 0)}"
            ) from error
        self._entries -= len(found)
        if time.monotonic() > self._deadline:
            raise PolicyNotEnforceableError(
                "a deny pattern cannot be expanded: looking for files takes too long"
            )
        yield from found


def _could_be_opened_up(folder: bytes) -> bool:
    try:
        return os.lstat(folder).st_uid == os.geteuid()
    except OSError:
        return False
