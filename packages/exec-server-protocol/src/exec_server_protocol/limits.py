"""Sizes and times that both sides of the wire must agree on, each with its reason.

Standard library only: the file helper reads this module too.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "DEFAULT_MAX_FRAME_BYTES",
    "DEFAULT_MAX_MESSAGE_BYTES",
    "FILE_BLOCK_MAX_BYTES",
    "FILE_HANDLES_PER_CONNECTION",
    "FILE_HANDLE_ID_MAX_BYTES",
    "MAX_DEPTH",
    "MAX_VALUES",
    "READ_FILE_MAX_BYTES",
    "WALK_MAX_DEPTH",
    "WALK_MAX_DIRECTORIES",
    "WALK_MAX_ENTRIES",
    "WALK_RESPONSE_MAX_BYTES",
    "WRITE_IDS_REMEMBERED",
]

DEFAULT_MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
"""Payload of one WebSocket frame. Existing peers cut the connection above this."""

DEFAULT_MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
"""One message, over all its fragments. Existing peers cut the connection above this."""

MAX_DEPTH: Final = 127
"""Levels of nesting, the root counting as one. Existing peers parse no deeper."""

MAX_VALUES: Final = 262_144
"""JSON values in one message: the root, every member value and every element.

A value costs the parser some 60 bytes even when its text has one character, so that
without this limit a message of 64 MiB could take gigabytes.
"""

READ_FILE_MAX_BYTES: Final = 512 * 1024 * 1024
"""Largest file that ``fs/readFile`` answers with; larger ones are read in blocks."""

FILE_BLOCK_MAX_BYTES: Final = 1024 * 1024
"""Largest block of ``fs/readBlock`` and ``fs/writeBlock``."""

FILE_HANDLE_ID_MAX_BYTES: Final = 32
"""Length of a file handle id in UTF-8: room for a UUID without hyphens."""

FILE_HANDLES_PER_CONNECTION: Final = 128
"""Open file handles of one connection: each costs a descriptor."""

WALK_MAX_DEPTH: Final = 64
"""Levels that ``fs/walk`` may be asked to descend."""

WALK_MAX_DIRECTORIES: Final = 10_000
"""Directories that ``fs/walk`` may be asked to visit."""

WALK_MAX_ENTRIES: Final = 50_000
"""Entries that ``fs/walk`` may be asked to return."""

WALK_RESPONSE_MAX_BYTES: Final = 4 * 1024 * 1024
"""Budget of one ``fs/walk`` answer; beyond it the answer says ``truncated``."""

WRITE_IDS_REMEMBERED: Final = 4096
"""Write ids a server remembers for each process, oldest forgotten first.

A client repeats a write only around a lost connection, and keeps far fewer in flight.
"""
