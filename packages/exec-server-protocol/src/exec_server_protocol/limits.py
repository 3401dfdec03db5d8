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
    "HTTP_HEADERS_MAX",
    "MAX_DEPTH",
    "MAX_VALUES",
    "NAME_MAX_CHARACTERS",
    "READ_FILE_MAX_BYTES",
    "REQUEST_MAX_CONTAINERS",
    "REQUEST_MAX_ESCAPES",
    "REQUEST_MAX_MEMBERS",
    "REQUEST_MAX_NUMBERS_BYTES",
    "REQUEST_MAX_OTHER_BYTES",
    "REQUEST_MAX_TEXT_BYTES",
    "REQUEST_MAX_VALUES",
    "REQUEST_SMALL_BYTES",
    "SANDBOX_MAX_BYTES",
    "WALK_MAX_DEPTH",
    "WALK_MAX_DIRECTORIES",
    "WALK_MAX_ENTRIES",
    "WALK_RESPONSE_MAX_BYTES",
    "WATCHED_PATHS_MAX",
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

REQUEST_MAX_TEXT_BYTES: Final = 2 * 1024 * 1024
"""Of a request, apart from one long base64 payload. The largest need is that of a command line
and its environment: with the usual stack limit, Linux takes 2 MiB of both, pointers included.
Real requests have a few KiB."""

REQUEST_MAX_VALUES: Final = 204_800
"""JSON values in one request: about as many arguments as Linux takes with the usual stack limit,
at ten bytes each, pointer included. Compatible peers take ``MAX_VALUES``."""

NAME_MAX_CHARACTERS: Final = 4096
"""Of what a client calls a process, a write or an HTTP request. Servers remember thousands of
these, and send them back with every event."""

SANDBOX_MAX_BYTES: Final = 128 * 1024
"""Of a sandbox context: a hundred times what clients send, a thousand entries. Each of these
takes longer than all else in a request."""

REQUEST_MAX_MEMBERS: Final = 8_192
"""Members of all objects in one request. Variables are the most numerous: machines of large
clusters have some five thousand."""

REQUEST_MAX_CONTAINERS: Final = 4_096
"""Arrays and objects in one request. The most numerous are the entries of a sandbox policy, at
two each, and HTTP headers."""

REQUEST_MAX_OTHER_BYTES: Final = 192 * 1024
"""Of a request other than ``process/start``, apart from its base64 payload: a sandbox context,
or a thousand paths of usual length. Paths take the longest to be understood."""

HTTP_HEADERS_MAX: Final = 512
"""Of one HTTP request: four times what servers take."""

WATCHED_PATHS_MAX: Final = 4096
"""In one ``fs/watchMissing``: four times what is watched; beyond it nobody even looks."""

REQUEST_MAX_ESCAPES: Final = 384 * 1024
"""Backslashes in one request: each is looked at by itself. A text that fills all that a request
may have has fewer, if a sixth of it is quotation marks and line ends, or if all of it is escapes
like ``\\u00e9``."""

REQUEST_MAX_NUMBERS_BYTES: Final = 256 * 1024
"""Text of all numbers, and of ``true``, ``false`` and ``null``, in one request. None has more
than a dozen of them, and long numbers are dear: these take 5 ms."""

REQUEST_SMALL_BYTES: Final = 64 * 1024
"""Requests that are no longer are not counted: they cannot hold more than can be afforded."""

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
