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
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ..wildcards import ANY, STAR, Matcher, Token
from .errors import PolicyNotEnforceableError

__all__ = [
    "SCAN_MAX_ENTRIES",
    "SCAN_MAX_SECONDS",
    "Glob",
    "check_numbers",
    "check_parts",
    "scan",
]

SCAN_MAX_ENTRIES: Final = 1_000_000
"""Folder entries that one search looks at: a large monorepo with all its dependencies."""
SCAN_MAX_SECONDS: Final = 10.0
"""How long one search may take; a request that waits longer is better refused."""

PATTERNS_MAX: Final = 256
"""Of one policy. People write a dozen; every entry of a folder is compared with all of them."""
PARTS_MAX: Final = 1024
"""Names in all patterns of a policy. At each level any of them may be the one to compare with:
at their worst this many take 1/10 s for one entry."""
CHARACTERS_MAX: Final = 64 * 1024
"""In all patterns of a policy: what they become takes up to 300 times as much memory."""

_QUOTED_CHARACTERS: Final = 200

_NAME_MAX_CHARACTERS: Final = 1024
"""In one name of a pattern. File systems have names of 255 bytes, which take that many
characters when each is spelled as a set."""

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
            f"the deny pattern {pattern[:_QUOTED_CHARACTERS]!r} cannot be expanded safely: it "
            "needs a wildcard below a fixed folder other than the root, and no braces or "
            "backslashes"
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
        parts: list[str] = []
        for name in names[fixed:]:
            if name != _ANY_DEPTH or parts[-1:] != [name]:  # said twice, it says nothing new
                parts.append(name)
            if len(name) > _NAME_MAX_CHARACTERS:
                raise problem
        try:
            for name in parts:
                _tokens(name)
        except ValueError as error:
            raise problem from error
        return cls(b"/" + os.fsencode("/".join(names[:fixed])), tuple(parts))


def check_numbers(patterns: Iterable[str]) -> None:
    """Refuse more patterns than can be searched for in good time, or longer ones.

    Raises:
        PolicyNotEnforceableError: They are too many, or too long.
    """
    lengths = [len(pattern) for pattern in patterns]
    if len(lengths) > PATTERNS_MAX or sum(lengths) > CHARACTERS_MAX:
        raise PolicyNotEnforceableError(
            f"the sandbox policy has too many deny patterns: at most {PATTERNS_MAX}, with "
            f"{CHARACTERS_MAX} characters in all"
        )


def check_parts(globs: Iterable[Glob]) -> None:
    """Refuse patterns with more names in them than can be searched for in good time.

    Raises:
        PolicyNotEnforceableError: They have too many.
    """
    if sum(len(glob.parts) for glob in globs) > PARTS_MAX:
        raise PolicyNotEnforceableError(
            f"the sandbox policy has too many deny patterns: at most {PARTS_MAX} names may "
            "follow their fixed folders"
        )


def _shared(names: list[str], start: list[str]) -> int:
    length = 0
    while length < min(len(names), len(start)) and names[length] == start[length]:
        length += 1
    return length


def _tokens(name: str) -> list[Token]:
    """Take the pattern of one name apart.

    Raises:
        ValueError: A set that does not end, or a range that ends before it begins.
    """
    tokens: list[Token] = []
    at = 0
    while at < len(name):
        character = name[at]
        at += 1
        if character == "*":
            tokens.append(STAR)
        elif character == "?":
            tokens.append(ANY)
        elif character == "[":
            negated = name[at : at + 1] in ("!", "^")
            first = at + negated
            end = name.index("]", first + 1)  # a bracket in the first place stands for itself
            ranges = _ranges(name[first:end])
            tokens.append(_others(ranges) if negated else tuple(ranges))
            at = end + 1
        else:
            tokens.append(((ord(character), ord(character)),))
    return tokens


def _ranges(members: str) -> list[tuple[int, int]]:
    ranges = []
    at = 0
    while at < len(members):
        first = last = ord(members[at])
        at += 1
        if members[at : at + 1] == "-" and at + 1 < len(members):
            last = ord(members[at + 1])
            at += 2
        if last < first:
            raise ValueError("a range that ends before it begins")
        ranges.append((first, last))
    return ranges


def _others(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return the characters that are in none of the ranges."""
    others = []
    free = 0
    for first, last in sorted(ranges):
        if first > free:
            others.append((free, first - 1))
        free = max(free, last + 1)
    return (*others, (free, ANY[-1][1])) if free <= ANY[-1][1] else tuple(others)


class _Matcher:
    """Position in one pattern: the parts that may come next, from folder to folder."""

    def __init__(self, glob: Glob) -> None:
        self._tests: list[Matcher | None] = [
            None if part == _ANY_DEPTH else Matcher([_tokens(part)]) for part in glob.parts
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
        return test is None or test.matches(name)

    def folder(self, states: frozenset[int], name: str) -> frozenset[int]:
        following: set[int] = set()
        for state in states:
            if state >= len(self._tests):
                continue
            test = self._tests[state]
            if test is None:
                following.add(state)
            elif test.matches(name):
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
        self._check_time()
        for entry in found:
            yield entry
            self._check_time()  # a single comparison may take long

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise PolicyNotEnforceableError(
                "a deny pattern cannot be expanded: looking for files takes too long"
            )


def _could_be_opened_up(folder: bytes) -> bool:
    try:
        return os.lstat(folder).st_uid == os.geteuid()
    except OSError:
        return False
