r"""Paths on the wire: ``file:`` URIs, parsed as browsers parse them, and native paths.

Every path of the protocol is a URI, because the two sides may run on different systems.
Parsing follows the WHATWG URL standard for the ``file`` scheme: surrounding blanks and
inner tabs and newlines vanish, ``\`` counts as ``/``, dot segments collapse (spelled
``%2e`` too), ``localhost`` is no host. Query and fragment are refused.

A native path that no such URI can name gets an *opaque* one, which carries its bytes as
base64url below ``/%00/bad/path/``: NUL cannot occur in a real path.

Standard library only, and little of it: the file helper imports this module.
"""

from __future__ import annotations

import binascii
import os
from typing import Final

__all__ = ["InvalidPathError", "PathUri"]

_UNRESERVED: Final = frozenset(
    b"!$&'()*+,-./0123456789:;=@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_abcdefghijklmnopqrstuvwxyz|~"
)
"""Bytes that stand for themselves in a path; all others become ``%XX``."""

_ENCODED: Final = tuple(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in range(256))
_SINGLE_DOT: Final = frozenset({".", "%2e"})
_DOUBLE_DOT: Final = frozenset({"..", ".%2e", "%2e.", "%2e%2e"})
_OPAQUE_PREFIX: Final = "/%00/bad/path/"
_FORBIDDEN_IN_HOST: Final = frozenset(' #%/:<>?@[\\]^|`{}"\x7f') | {chr(c) for c in range(32)}
_HEX: Final = frozenset("0123456789abcdefABCDEF")


class InvalidPathError(ValueError):
    """A text is no path URI, or a URI names nothing on this system. The text says why."""


class PathUri:
    """An absolute path as a ``file:`` URI. Immutable, hashable, equal when the texts are.

    Make one with ``parse`` or ``from_native``; ``str()`` gives the normalised URI.
    """

    __slots__ = ("_host", "_path")

    _host: str
    _path: str

    def __init__(self) -> None:
        raise TypeError("use PathUri.parse or PathUri.from_native")

    @classmethod
    def _make(cls, host: str, path: str) -> PathUri:
        uri = object.__new__(cls)
        object.__setattr__(uri, "_host", host)
        object.__setattr__(uri, "_path", path)
        return uri

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("PathUri is immutable")

    def __str__(self) -> str:
        return f"file://{self._host}{self._path}"

    def __repr__(self) -> str:
        return f"PathUri({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PathUri):
            return NotImplemented
        return self._host == other._host and self._path == other._path

    def __hash__(self) -> int:
        return hash((self._host, self._path))

    # ------------------------------------------------------------------ text to URI

    @classmethod
    def parse(cls, text: str) -> PathUri:
        """Return the URI that ``text`` spells.

        Raises:
            InvalidPathError: It is a plain path, has another scheme, a query, a fragment,
                credentials, a port, or a NUL outside an opaque URI.
        """
        text = text.strip("".join(map(chr, range(33))))
        for blank in "\t\n\r":
            text = text.replace(blank, "")
        scheme, colon, rest = text.partition(":")
        if not colon or not _is_scheme(scheme):
            raise InvalidPathError("invalid URI: a path URI starts with file:, not with a path")
        if scheme.lower() != "file":
            raise InvalidPathError(f"unsupported path URI scheme {scheme.lower()[:40]!r}")
        if "#" in rest:
            raise InvalidPathError("fragments are not allowed in path URIs")
        if "?" in rest:
            raise InvalidPathError("query parameters are not allowed in path URIs")
        host, path = _split_host(rest.replace("\\", "/"))
        uri = cls._make(host, _normalise(path))
        if "%00" in uri._path and uri._opaque_bytes() is None:
            raise InvalidPathError(f"'{uri}' is invalid on '{_platform()}'")
        return uri

    # ------------------------------------------------------------------ native paths

    @classmethod
    def from_native(cls, path: bytes | str | os.PathLike[str] | os.PathLike[bytes]) -> PathUri:
        """Return the URI of an absolute path of this system.

        Args:
            path: Bytes need not be UTF-8: they come back unchanged.

        Raises:
            InvalidPathError: The path is not absolute.
        """
        raw = os.fsencode(path)
        if not raw.startswith(b"/"):
            raise InvalidPathError("only absolute paths have a URI")
        segments = [segment for segment in raw.split(b"/") if segment not in (b"", b".")]
        if b"\0" in raw or b".." in segments or (segments and _is_drive(_encode(segments[0]))):
            payload = binascii.b2a_base64(raw, newline=False).decode().rstrip("=")
            return cls._make("", _OPAQUE_PREFIX + payload.translate({43: 45, 47: 95}))
        return cls._make("", "/" + "/".join(map(_encode, segments)))

    def to_native(self) -> bytes:
        """Return the path on this system, without a trailing slash.

        Raises:
            InvalidPathError: The URI names a Windows path: it has a host or a drive.
        """
        opaque = self._opaque_bytes()
        if opaque is not None:
            return opaque
        if self.is_windows:
            raise InvalidPathError(f"'{self}' is invalid on '{_platform()}'")
        raw = _decode(self._path)
        return b"/" + b"/".join(segment for segment in raw.split(b"/") if segment)

    @property
    def is_windows(self) -> bool:
        """Whether this names a path of Windows: it has a host, or begins with a drive."""
        return bool(self._host) or _is_drive(self._path[1:].partition("/")[0])

    def _opaque_bytes(self) -> bytes | None:
        if self._host or not self._path.startswith(_OPAQUE_PREFIX):
            return None
        payload = self._path[len(_OPAQUE_PREFIX) :]
        standard = payload.translate({45: 43, 95: 47})
        try:
            raw = binascii.a2b_base64(standard + "=" * (-len(payload) % 4), strict_mode=True)
        except (binascii.Error, ValueError):
            return None
        # One path, one URI: neither another spelling, nor a path that has a readable one.
        if not raw.startswith(b"/") or str(PathUri.from_native(raw)) != str(self):
            return None
        return raw

    # ------------------------------------------------------------------ pure helpers

    @property
    def _segments(self) -> list[str]:
        return [segment for segment in self._path.split("/") if segment]

    @property
    def _root_length(self) -> int:
        """Segments that cannot be left: a drive, or the share of a host."""
        if self._host:
            return 1
        segments = self._segments
        return 1 if segments and _is_drive(segments[0]) else 0

    @property
    def basename(self) -> str:
        """The last segment, decoded; empty for a root. Bytes that are not UTF-8 are replaced."""
        segments = self._segments
        if len(segments) <= self._root_length:
            return ""
        return _decode(segments[-1]).decode("utf-8", "replace")

    @property
    def parent(self) -> PathUri:
        """The folder above; a root is its own parent."""
        segments = self._segments
        if self._opaque_bytes() is not None:
            return PathUri.from_native(os.path.dirname(self.to_native()))
        if len(segments) <= self._root_length:
            return self
        return self._with(segments[:-1])

    @property
    def ancestors(self) -> list[PathUri]:
        """This path and every folder above it, nearest first."""
        found = [self]
        while found[-1].parent != found[-1]:
            found.append(found[-1].parent)
        return found

    def join(self, text: str) -> PathUri:
        """Return the path that ``text`` names, seen from this folder.

        Args:
            text: A native path, not a URI. An absolute one replaces this path; ``..`` cannot
                leave the root.

        Raises:
            InvalidPathError: A NUL, or a Windows path that is relative to a drive.
        """
        if "\0" in text:
            raise InvalidPathError("a path cannot contain NUL")
        windows = self.is_windows
        if windows:
            text = text.replace("\\", "/")
            if len(text) > 1 and _is_drive(text[:2]):
                if text[2:3] != "/":
                    raise InvalidPathError("a path relative to a drive has no URI")
                return PathUri._make("", _normalise("/" + _encode(text.encode())))
        root = self._segments[: self._root_length]
        segments = root if text.startswith("/") else self._segments
        segments = list(segments)
        for part in text.split("/"):
            if part == "..":
                if len(segments) > len(root):
                    segments.pop()
            elif part not in ("", "."):
                segments.append(_encode(part.encode("utf-8", "surrogateescape")))
        return self._with(segments)

    def starts_with(self, other: PathUri) -> bool:
        """Return whether this is ``other`` or lies below it, segment by segment.

        A segment with an encoded separator never matches: it would be two when decoded.
        """
        if self._host != other._host:
            return False
        mine, theirs = self._segments, other._segments
        if any("%2F" in segment.upper() or "%5C" in segment.upper() for segment in mine + theirs):
            return False
        return mine[: len(theirs)] == theirs

    def _with(self, segments: list[str]) -> PathUri:
        path = "/" + "/".join(segments)
        if len(segments) == 1 and self._root_length and not self._host:
            path += "/"
        return PathUri._make(self._host, path)


def _platform() -> str:
    return "macos" if os.uname().sysname == "Darwin" else os.uname().sysname.lower()


def _is_scheme(text: str) -> bool:
    return (
        text.isascii()
        and text[:1].isalpha()
        and all(character.isalnum() or character in "+-." for character in text)
    )


def _is_drive(segment: str) -> bool:
    return (
        segment[:1].isalpha() and segment[:1].isascii() and segment[1:].upper() in (":", "|", "%3A")
    )


def _split_host(rest: str) -> tuple[str, str]:
    if not rest.startswith("//"):
        return "", rest
    authority, _slash, path = rest[2:].partition("/")
    if _is_drive(authority) and "%" not in authority:
        return "", rest[2:]
    host = _decode(authority).decode("utf-8", "replace").lower()
    if any(character in _FORBIDDEN_IN_HOST for character in host):
        raise InvalidPathError("invalid URI: the host of a path URI is a plain name")
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError as error:
            raise InvalidPathError("invalid URI: invalid international domain name") from error
    return ("" if host == "localhost" else host), f"/{path}"


def _normalise(path: str) -> str:
    """Collapse dot segments, encode what has to be, spell drives in one way."""
    parts = path.removeprefix("/").split("/")
    segments: list[str] = []
    for index, part in enumerate(parts):
        is_last = index == len(parts) - 1
        lowered = part.lower()
        if lowered in _DOUBLE_DOT:
            if segments and not (len(segments) == 1 and _is_drive(segments[0])):
                segments.pop()
            if is_last:
                segments.append("")
        elif lowered in _SINGLE_DOT:
            if is_last:
                segments.append("")
        else:
            segments.append(_encode_text(part))
        if len(segments) == 1 and _is_drive(segments[0]):
            segments[0] = segments[0][0].upper() + segments[0][1:].replace("|", ":").upper()
    return "/" + "/".join(segments)


def _encode(raw: bytes) -> str:
    return "".join([_ENCODED[byte] for byte in raw])


def _encode_text(text: str) -> str:
    """Encode what may not stand in a URI; what is encoded already, or only looks so, stays."""
    if text.isascii() and text.isalnum():
        return text
    raw = text.encode("utf-8", "replace")
    return "".join(["%" if byte == 0x25 else _ENCODED[byte] for byte in raw])


def _decode(text: str) -> bytes:
    if "%" not in text:
        return text.encode()
    head, *rest = text.split("%")
    parts = [head.encode()]
    for item in rest:
        digits = item[:2]
        if len(digits) == 2 and _HEX.issuperset(digits):
            parts += (binascii.unhexlify(digits), item[2:].encode())
        else:
            parts.append(f"%{item}".encode())
    return b"".join(parts)
