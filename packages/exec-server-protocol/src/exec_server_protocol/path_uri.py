"""Paths on the wire: ``file:`` URIs and native paths, and the way between them.

Every path of the protocol is a URI, because the two sides may run on different systems.
``_file_url`` has the rules of their text.

A native path that no such URI can name gets an *opaque* one, which carries its bytes as
base64url below ``/%00/bad/path/``: NUL cannot occur in a real path.

Standard library only, and little of it: the file helper imports this module.
"""

from __future__ import annotations

import binascii
import os
import sys

from ._file_url import InvalidPathError, decode, encode, is_drive, is_normal, split

__all__ = ["InvalidPathError", "PathUri"]

TYPE_CHECKING = False  # The module typing would be half of what a helper loads.
if TYPE_CHECKING:
    from typing import Final

_OPAQUE_PREFIX: Final = "/%00/bad/path/"
_PLATFORM: Final = "macos" if sys.platform == "darwin" else sys.platform
_TO_URLSAFE: Final = str.maketrans("+/", "-_")
_FROM_URLSAFE: Final = str.maketrans("-_+/=", "+/!!!")
"""``!`` is no symbol of either alphabet: the ordinary spelling and padding are refused."""


class PathUri:
    """An absolute path as a ``file:`` URI. Immutable, hashable, equal when the texts are.

    Make one with ``parse`` or ``from_native``; ``str()`` gives the normalised URI. Whether it
    names anything on this system shows only in ``to_native``: paths of Windows, and opaque
    ones of other systems, can be passed on without being understood. Of the latter, the
    helpers (``basename`` to ``starts_with``) raise ``InvalidPathError`` too.
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

    def __reduce__(self) -> tuple[object, ...]:
        return PathUri._make, (self._host, self._path)

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
        if is_normal(text):
            return cls._make("", text[7:])
        uri = cls._make(*split(text))
        if "%00" in uri._path and uri._payload() is None:
            raise uri._invalid()
        return uri

    # ------------------------------------------------------------------ native paths

    @classmethod
    def from_native(cls, path: bytes | str | os.PathLike[str] | os.PathLike[bytes]) -> PathUri:
        """Return the URI of an absolute path of this system.

        Repeated slashes, ``.`` and ``..`` collapse as they would in the URI, without a look at
        the disk: resolve a path first if it may climb out of a symbolic link.

        Args:
            path: Bytes need not be UTF-8: they come back unchanged.

        Raises:
            InvalidPathError: The path is not absolute.
        """
        try:
            raw = os.fsencode(path)
        except UnicodeEncodeError as error:
            raise InvalidPathError("the path is not valid Unicode") from error
        if not raw.startswith(b"/"):
            raise InvalidPathError("only absolute paths have a URI")
        segments: list[bytes] = []
        for segment in raw.split(b"/"):
            if segment == b"..":
                del segments[-1:]
            elif segment not in (b"", b"."):
                segments.append(segment)
        if b"\0" in raw or (segments and is_drive(encode(segments[0]))):
            payload = binascii.b2a_base64(b"/" + b"/".join(segments), newline=False).decode()
            return cls._make("", _OPAQUE_PREFIX + payload.rstrip("=").translate(_TO_URLSAFE))
        return cls._make("", "/" + "/".join(map(encode, segments)))

    def to_native(self) -> bytes:
        """Return the path on this system, without a trailing slash.

        It may hold a NUL, which no call of the system accepts, when the URI is opaque.

        Raises:
            InvalidPathError: The URI names a Windows path: it has a host or a drive. Or it is
                opaque and holds no absolute path, or one that has a readable URI.
        """
        if self.is_opaque:
            return self._opaque_native()
        if self.is_windows:
            raise self._invalid()
        path = self._path
        raw = decode(path) if "%" in path else path.encode()
        if b"//" in raw or raw.endswith(b"/"):
            raw = b"/" + b"/".join([segment for segment in raw.split(b"/") if segment])
        return raw

    @property
    def is_windows(self) -> bool:
        """Whether this names a path of Windows: it has a host, or begins with a drive."""
        return bool(self._host) or (
            self._path[2:3] in (":", "%") and is_drive(self._path[1:].partition("/")[0])
        )

    @property
    def is_opaque(self) -> bool:
        """Whether this carries a path that no readable URI can name."""
        return not self._host and self._path.startswith(_OPAQUE_PREFIX)

    def _payload(self) -> bytes | None:
        """Return what an opaque URI carries; ``None`` unless it is spelled in the one way."""
        if not self.is_opaque:
            return None
        payload = self._path[len(_OPAQUE_PREFIX) :]
        standard = payload.translate(_FROM_URLSAFE) + "=" * (-len(payload) % 4)
        try:
            raw = binascii.a2b_base64(standard, strict_mode=True)
        except (binascii.Error, ValueError):
            return None
        # The last symbol may carry bits that no byte uses.
        same = binascii.b2a_base64(raw, newline=False).decode() == standard
        return raw if same and raw else None

    def _opaque_native(self) -> bytes:
        raw = self._payload()
        # One path, one URI: a path that has a readable one is not hidden in an opaque one.
        if raw is None or not raw.startswith(b"/") or PathUri.from_native(raw) != self:
            raise self._invalid()
        return raw

    def _invalid(self) -> InvalidPathError:
        return InvalidPathError(f"'{self}' is invalid on '{_PLATFORM}'")

    # ------------------------------------------------------------------ pure helpers

    @property
    def _segments(self) -> list[str]:
        """The segments that are not empty; for an opaque URI those of the path it carries."""
        path = encode(self._opaque_native()) if self.is_opaque else self._path
        return [segment for segment in path.split("/") if segment]

    @property
    def _root_length(self) -> int:
        """Segments that cannot be left: a drive, or the share of a host."""
        return 1 if self.is_windows else 0

    @property
    def basename(self) -> str:
        """The last segment, decoded; empty for a root. Bytes that are not UTF-8 are replaced."""
        segments = self._segments[self._root_length :]
        return decode(segments[-1]).decode("utf-8", "replace") if segments else ""

    @property
    def parent(self) -> PathUri:
        """The folder above; a root is its own parent."""
        segments = self._segments
        return self if len(segments) <= self._root_length else self._with(segments[:-1])

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
            text: A native path of the system that this path belongs to, not a URI. An absolute
                one replaces this path; ``..`` cannot leave the root.

        Raises:
            InvalidPathError: A NUL, or a Windows path that is relative to a drive.
        """
        if "\0" in text:
            raise InvalidPathError("a path cannot contain NUL")
        segments = self._segments
        root = segments[: self._root_length]
        if self.is_windows:
            text = text.replace("\\", "/")
            if is_drive(text[:2], (":",)):
                if text[2:3] != "/":
                    raise InvalidPathError("a path relative to a drive has no URI")
                return PathUri._make("", f"/{text[0].upper()}:/").join(text[3:].lstrip("/"))
        if text.startswith("/"):
            segments = list(root)
        for part in text.split("/"):
            if part == "..":
                if len(segments) > len(root):
                    segments.pop()
            elif part not in ("", "."):
                try:
                    segments.append(encode(part.encode("utf-8", "surrogateescape")))
                except UnicodeEncodeError as error:
                    raise InvalidPathError("the path is not valid Unicode") from error
        return self._with(segments)

    def starts_with(self, other: PathUri) -> bool:
        """Return whether this is ``other`` or lies below it, segment by segment.

        A segment with an encoded separator never matches: it would be two when decoded.
        """
        if self._host != other._host or self.is_windows != other.is_windows:
            return False
        mine, theirs = self._segments, other._segments
        encoded = ("%2F", "%5C") if self.is_windows else ("%2F",)
        if any(separator in segment.upper() for segment in mine + theirs for separator in encoded):
            return False
        return mine[: len(theirs)] == theirs

    def _with(self, segments: list[str]) -> PathUri:
        path = "/" + "/".join(segments)
        if self.is_windows:
            bare_drive = not self._host and len(segments) == 1
            return PathUri._make(self._host, f"{path}/" if bare_drive else path)
        if "%00" in path or (segments and is_drive(segments[0])):
            return PathUri.from_native(decode(path))
        return PathUri._make("", path)
