"""Plans as values: what is mounted where, in which order, and how much is kept away."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .lookup import Identity
from .rules import Confinement

if TYPE_CHECKING:
    from exec_server_protocol.sandbox import NetworkAccess

__all__ = ["Base", "Kind", "Mount", "Plan"]


class Base(enum.Enum):
    """File system before any mount."""

    EMPTY = "empty"
    READABLE = "readable"
    WRITABLE = "writable"


class Kind(enum.Enum):
    """Kind of a mount: its effect on its path."""

    READ = "read"
    WRITE = "write"
    PIN = "pin"
    """Nothing, but that the folder cannot be renamed."""
    HIDE_FOLDER = "hide-folder"
    HIDE_FILE = "hide-file"
    HIDE_LINK = "hide-link"
    """A file lies on a link itself, which so can be neither followed, removed nor replaced."""
    BLOCK_FOLDER = "block-folder"
    """Nothing is there, and nothing can be made: an empty folder shows up instead."""
    BLOCK_FILE = "block-file"
    LINK = "link"
    """A link that a rule was spelled through, where it would not be seen otherwise."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount.

    Attributes:
        source: What is at ``path``; ``None`` for placeholders, which are put there first. What is
            shown must be that when it is mounted. A mask hides whatever is there, and
            knows it all the same: when something else has come to that place, it was lifted.
        opened: A hidden folder has something visible below, so that it can be passed.
        target: Text of a link, or of the file that hides one.
    """

    kind: Kind
    path: bytes
    source: Identity | None = None
    opened: bool = False
    target: bytes = b""


@dataclass(frozen=True, slots=True)
class Plan:
    """Instructions for a launch, as a value: hashable, equal only to a plan of the same effect.

    Attributes:
        confinement: With ``NONE`` there are no mounts, with ``NETWORK`` only those that hide files.
        mounts: In order: a folder before what is below it.
        absent: Denied paths at which there is nothing, where nobody inside can make anything.
    """

    confinement: Confinement
    network: NetworkAccess
    base: Base = Base.WRITABLE
    mounts: tuple[Mount, ...] = ()
    absent: tuple[bytes, ...] = ()
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        members = (self.confinement, self.network, self.base, self.mounts)
        object.__setattr__(self, "_hash", hash(members))

    def __hash__(self) -> int:
        return self._hash

    @property
    def confines(self) -> bool:
        """Whether there is anything to launch differently."""
        return self.confinement is not Confinement.NONE

    @property
    def writable_roots(self) -> tuple[bytes, ...]:
        """The folders and files that can be written inside."""
        roots = tuple(mount.path for mount in self.mounts if mount.kind is Kind.WRITE)
        return (b"/", *roots) if self.base is Base.WRITABLE else roots

    @property
    def marks(self) -> tuple[Mount, ...]:
        """The mounts for which something empty is put on the disk while the sandbox lives."""
        kinds = (Kind.BLOCK_FOLDER, Kind.BLOCK_FILE)
        return tuple(mount for mount in self.mounts if mount.kind in kinds)
