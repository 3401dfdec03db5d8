"""Plan of a sandbox: an ordered list of mounts, made from rules and this disk, right now.

Two plans are equal exactly when the sandboxes made from them show the same files with the
same rights: what each mount shows or lies on is known by device and inode. A worker serves
requests whose plan equals the one that it was launched with, as long as its mounts lie where
they were put (``mount_watch``), and no others.

The rules of combination, from the outside in: the most specific rule about a path counts.
A read rule below a denied folder stays denied, a write rule there opens it again. Directly
below each writable folder some names cannot be written or made, unless a rule says so for
exactly that path. What a confined program could replace is never trusted: a rule whose path
leads through a link in a writable folder is refused, and the folders between a writable one
and a more restricted path in it are mounted on themselves, so that they cannot be renamed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from exec_server_protocol._protected_names import PROTECTED_NAMES

from . import globs
from .errors import PolicyNotEnforceableError
from .gitdir import git_folders
from .guarded import Guarded, parents
from .linked import linked
from .lookup import Found, Lookup, is_own
from .mounts import Base, Kind, Mount, Plan
from .rules import Access, Confinement, Rules

__all__ = ["MOUNTS_MAX", "Base", "Kind", "Mount", "Plan", "make_plan"]

MOUNTS_MAX: Final = 8192
"""Of one sandbox. Making and comparing this many takes about half a second."""

_PROTECTED: Final = tuple(name.encode() for name in PROTECTED_NAMES)


def make_plan(
    rules: Rules,
    *,
    readable: Sequence[bytes] = (),
    guarded: Guarded = Guarded(),  # noqa: B008 - it cannot be changed
    unchanged: Callable[[Lookup], None] | None = None,
) -> Plan:
    """Look at the disk and return the plan. May block for as long as a file system does.

    Args:
        rules: From ``rules.derive``.
        readable: Files and folders that must be readable inside whatever the rules say.
        guarded: What must not become writable.
        unchanged: Called with everything that the plan depends on, apart from the arguments,
            when it was made before and still holds.

    Raises:
        PolicyNotEnforceableError: The rules cannot be guaranteed here.
    """
    key = (rules.confinement, rules.network, tuple(rules.paths.items()), tuple(readable), guarded)
    known = None if rules.globs else _known.get(key)
    if known is not None and known[1].is_unchanged():
        if unchanged is not None:
            unchanged(known[1])
        return known[0]
    planner = _Planner(rules, readable, guarded)
    plan = planner.plan()
    if planner.may_be_kept:
        if len(_known) >= _KNOWN_MAX:
            _known.clear()
        _known[key] = plan, planner.lookup
    return plan


_KNOWN_MAX: Final = 64
"""Policies in use at the same time: one or two for each session."""
_known: Final[dict[object, tuple[Plan, Lookup]]] = {}
"""Plans with everything that was looked at for them. Looking again takes a tenth of the time
that making the plan does. Safe between threads: an entry is put in or taken out at once."""


class _Planner:
    def __init__(self, rules: Rules, readable: Sequence[bytes], guarded: Guarded) -> None:
        self._rules = rules
        self._lookup = self.lookup = Lookup()
        self.may_be_kept = True
        self._access: dict[bytes, Access] = {}
        self._found: list[tuple[Found, Access]] = []
        self._own: set[bytes] = set()
        self._blocked: dict[bytes, Kind] = {}
        self._absent: list[bytes] = []
        self._links: dict[bytes, bytes] = {}
        self._pins: set[bytes] = set()
        self._hidden: set[bytes] = set()
        self._readable = readable
        self._guarded = guarded

    def plan(self) -> Plan:
        self._resolve()
        self._add_own()
        if self._rules.confinement is Confinement.NETWORK:
            self._access[b"/"] = Access.WRITE
        self._add_linked()
        if self._rules.confinement is Confinement.FULL:
            self._guard(self._guarded.all)
            self._guarded.refuse(p for p, access in self._access.items() if access is Access.WRITE)
            self._protect()
        else:  # files are free: only what the server itself runs and keeps secret is not
            self._guard((*self._guarded.places, *self._guarded.code))
        self._check_links()
        self._block_missing()
        self._reduce()
        self._expand_globs()
        self._pin()
        root = self._access.pop(b"/", None)
        base = {Access.READ: Base.READABLE, Access.WRITE: Base.WRITABLE}.get(
            root or Access.DENY, Base.EMPTY
        )
        links = self._visible_links() if base is Base.EMPTY else []
        mounts = links + sorted(self._mounts(), key=lambda mount: mount.path.split(b"/"))
        if len(mounts) > MOUNTS_MAX:
            raise PolicyNotEnforceableError(
                f"the sandbox policy needs more than {MOUNTS_MAX} mounts"
            )
        return Plan(
            self._rules.confinement, self._rules.network, base, tuple(mounts), tuple(self._absent)
        )

    def _resolve(self) -> None:
        for path, access in self._rules.paths.items():
            found = self._lookup.resolve(path)
            if access is not Access.DENY and is_own(found.full):
                continue
            self._found.append((found, access))
            if not found.missing:
                self._set(found.path, access)

    def _set(self, path: bytes, access: Access) -> None:
        self._access[path] = max(access, self._access.get(path, access))

    def _add_own(self) -> None:
        for path in self._readable:
            found = self._lookup.resolve(path)
            if found.missing or is_own(found.path):
                continue
            self._found.append((found, Access.READ))
            self._access[found.path] = Access.READ
            self._own.add(found.path)

    def _add_linked(self) -> None:
        if self._guarded.code:
            roots = [path for path, access in self._access.items() if access is Access.WRITE]
            code = (*self._guarded.code, *linked(roots))
            self._guarded = self._guarded._replace(code=code)

    def _guard(self, paths: Iterable[bytes]) -> None:
        for path in paths:
            # These are resolved paths. The disk need not be asked about those that no rule
            # makes writable.
            if path in self._access or self._nearest(path) is not Access.WRITE:
                continue
            found = self._lookup.resolve(path)
            if self._access.get(found.path) is None and not found.missing:
                if self._nearest(found.path) is Access.WRITE:
                    self._access[found.path] = Access.READ
            elif len(found.missing) == 1 and self._is_writable(found.path):
                # A part of the import path that is not there: modules would come from it first.
                self._blocked[found.full] = Kind.BLOCK_FILE

    def _is_writable(self, folder: bytes) -> bool:
        access = self._access.get(folder) or self._nearest(folder)
        return access is Access.WRITE and self._can_be_written(folder)

    def _protect(self) -> None:
        roots = [path for path, access in self._access.items() if access is Access.WRITE]
        lifted = {found.full for found, access in self._found if access is Access.WRITE}
        for root in roots:
            if not self._lookup.is_folder(root):
                continue
            can_make = self._can_be_written(root)
            for name in _PROTECTED:
                path = (root if root != b"/" else b"") + b"/" + name
                if path not in lifted and (can_make or self._lookup.stat(path) is not None):
                    self._protect_name(path)

    def _can_be_written(self, root: bytes) -> bool:
        """Whether anybody inside could make something in a folder.

        Inside is the same user. Where it cannot write, names need no protection, and nobody
        could put a mount point there.
        """
        if os.access(root, os.W_OK):
            return True
        self.may_be_kept = False  # a lookup does not see who may write, nor where
        status = self._lookup.stat(root)
        is_owner = status is not None and status.st_uid == os.geteuid()
        try:
            return is_owner and not os.statvfs(root).f_flag & os.ST_RDONLY
        except OSError:  # it has just vanished, which will be noticed
            return True

    def _protect_name(self, path: bytes) -> None:
        status = self._lookup.stat(path)
        if status is None:
            self._blocked[path] = Kind.BLOCK_FOLDER
            return
        if stat.S_ISLNK(status.st_mode):
            self._protect_link(path)
            return
        self._access.setdefault(path, Access.READ)
        if path.endswith(b"/.git") and stat.S_ISREG(status.st_mode):
            self.may_be_kept = False
            for folder in git_folders(path):
                found = self._lookup.resolve(folder)
                self._found.append((found, Access.READ))
                if not found.missing and self._nearest(found.path) is Access.WRITE:
                    self._access.setdefault(found.path, Access.READ)

    def _protect_link(self, path: bytes) -> None:
        """Hide a link that has a protected name, if nobody inside can write what it leads to."""
        target = self._lookup.resolve(path)
        places = [target.full, *(place for place, _ in target.links if place != path)]
        for place in places:
            if (self._access.get(place) or self._nearest(place)) is Access.WRITE:
                raise PolicyNotEnforceableError(
                    f"cannot protect {os.fsdecode(path)}: it is a link to "
                    f"{os.fsdecode(target.full)}, which a confined program could write or replace"
                )
        is_repository = path.endswith(b"/.git") and self._lookup.is_folder(target.full)
        self._links[path] = b"gitdir: " + target.full + b"\n" if is_repository else b""

    def _nearest(self, path: bytes) -> Access | None:
        """Return the access that the rule about the nearest folder above gives."""
        for above in parents(path):
            if above in self._access:
                return self._access[above]
        return None

    def _check_links(self) -> None:
        """Refuse rules that a confined program could turn to another place.

        A folder that such a link leads to may be written only where it may be anyway.
        """
        for found, access in self._found:
            for place, _ in found.links:
                if self._nearest(place) is not Access.WRITE or place in self._links:
                    continue
                target = self._nearest(found.full)
                if access is Access.WRITE and target is Access.WRITE:
                    continue
                raise PolicyNotEnforceableError(
                    "a path of the sandbox policy leads through a link in a writable folder, "
                    f"which a confined program could replace: {os.fsdecode(place)}"
                )

    def _block_missing(self) -> None:
        for found, access in self._found:
            if not found.missing or access is Access.WRITE:
                continue
            first = (found.path if found.path != b"/" else b"") + b"/" + found.missing[0]
            nearest = self._access.get(found.path) or self._nearest(found.path)
            if nearest is Access.WRITE and first not in self._access:
                self._blocked.setdefault(first, Kind.BLOCK_FILE)
            elif nearest is Access.READ and access is Access.DENY:
                self._absent.append(first)

    # ------------------------------------------------------------------ which rules count

    def _reduce(self) -> None:
        """Drop rules that change nothing, and read rules in denied folders."""
        kept: dict[bytes, Access] = {}
        unseen: set[bytes] = set()  # denied where nothing is visible anyway
        self._access, given = kept, self._access
        for path in sorted(given, key=lambda path: path.split(b"/")):
            access, above = given[path], self._nearest(path)
            if access is Access.READ:
                denied = above is Access.DENY or (
                    bool(unseen) and any(p in unseen for p in self._uncovered(path))
                )
                keep = path in self._own if denied else above in (None, Access.WRITE)
            else:
                keep = access is Access.WRITE or above in (Access.READ, Access.WRITE)
            if keep:
                kept[path] = access
            elif access is Access.DENY and above is None:
                unseen.add(path)

    def _uncovered(self, path: bytes) -> Iterable[bytes]:
        """Yield the folders above a path, below the nearest that a rule is about."""
        for above in parents(path):
            if above in self._access:
                return
            yield above

    def _expand_globs(self) -> None:
        if not self._rules.globs:
            return
        self.may_be_kept = False
        resolved: list[globs.Glob] = []
        for glob in self._rules.globs:
            found = self._lookup.resolve(glob.base)
            self._found.append((found, Access.DENY))
            if not found.missing:
                resolved.append(globs.Glob(found.path, glob.parts))
                self._pins.update(self._between(found.path + b"/*"))
        self._check_links()
        depth = self._rules.glob_max_depth
        # Wherever in its base a file is moved to, it goes on matching such a pattern, and it
        # cannot be moved out: the base is a mount.
        stay = [glob for glob in resolved if depth is None and glob.only_names]
        self._hide(*globs.scan(stay))
        # Renaming a folder would take these out of the pattern's sight.
        self._hide(
            *globs.scan([glob for glob in resolved if glob not in stay], max_depth=depth), pin=True
        )
        if len(self._hidden) > MOUNTS_MAX:
            raise PolicyNotEnforceableError(
                f"the deny patterns match more than {MOUNTS_MAX} files; deny a folder instead"
            )

    def _hide(self, files: list[bytes], links: list[bytes], *, pin: bool = False) -> None:
        for link in links:
            # Nobody inside can have made a link in a folder that cannot be written.
            if self._nearest(link) is not Access.WRITE:
                target = self._lookup.resolve(link)
                if not target.missing and not self._lookup.is_folder(target.path):
                    files.append(target.path)
        for path in files:
            if self._nearest_visible(path) and self._lookup.stat(path) is not None:
                self._hidden.add(path)
                if pin:
                    self._pins.update(self._between(path))

    def _nearest_visible(self, path: bytes) -> bool:
        if path in self._access:
            return self._access[path] is not Access.DENY and path not in self._own
        for above in parents(path):
            if above in self._access:
                return self._access[above] is not Access.DENY and above not in self._own
        return False

    def _between(self, path: bytes) -> list[bytes]:
        """Return the folders between a path and the writable one above it, if there is one."""
        between: list[bytes] = []
        for above in parents(path):
            access = self._access.get(above)
            if access is not None:
                return between if access is Access.WRITE else []
            between.append(above)
        return []

    def _pin(self) -> None:
        for path in [*self._access, *self._blocked]:
            if path != b"/":
                self._pins.update(self._between(path))

    # ------------------------------------------------------------------ mounts

    def _visible_links(self) -> list[Mount]:
        links: dict[bytes, bytes] = {}
        for found, access in self._found:
            if access is Access.DENY or found.missing:
                continue
            links.update(
                (place, text)
                for place, text in found.links
                if self._nearest(place) is None and not is_own(place)
            )
        return [Mount(Kind.LINK, place, target=links[place]) for place in sorted(links)]

    def _mounts(self) -> Iterable[Mount]:
        shown = [path for path, access in self._access.items() if access is not Access.DENY]
        passed = {above for path in shown for above in parents(path)}
        for path, access in self._access.items():
            if path in self._hidden:
                continue  # a file that a rule shows and a pattern denies
            if access is not Access.DENY:
                kind = Kind.READ if access is Access.READ else Kind.WRITE
                yield Mount(kind, path, self._lookup.identity(path))
            elif self._lookup.is_folder(path):
                opened = path in passed
                yield Mount(Kind.HIDE_FOLDER, path, self._lookup.identity(path), opened)
            else:
                yield Mount(Kind.HIDE_FILE, path, self._lookup.identity(path))
        for path, text in self._links.items():
            if self._nearest(path) is Access.WRITE:
                yield Mount(Kind.HIDE_LINK, path, self._lookup.identity(path), target=text)
        for path in self._hidden:
            yield Mount(Kind.HIDE_FILE, path, self._lookup.identity(path))
        for path in self._pins:
            if path not in self._access:
                yield Mount(Kind.PIN, path, self._lookup.identity(path))
        for path, kind in self._blocked.items():
            # A rule may have come between: what is denied or read-only needs no block.
            nearest = self._nearest(path)
            if nearest is Access.WRITE:
                yield Mount(kind, path)
