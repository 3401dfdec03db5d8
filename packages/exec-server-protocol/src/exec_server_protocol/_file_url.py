r"""The text of ``file:`` URLs: how one is taken apart, normalised and percent-encoded.

The WHATWG URL standard, as far as its ``file`` scheme goes. Surrounding blanks and inner tabs
and newlines vanish, ``\`` counts as ``/``, dot segments collapse (spelled ``%2e`` too), a
drive is never climbed out of, and ``localhost`` is no host. Leading slashes become one.

Standard library only, and little of it: the file helper imports this module.
"""

from __future__ import annotations

import binascii

__all__ = ["InvalidPathError", "decode", "encode", "is_drive", "is_normal", "split"]

TYPE_CHECKING = False  # The module typing would be half of what a helper loads.
if TYPE_CHECKING:
    from typing import Final

_UNRESERVED: Final = frozenset(
    b"!$&'()*+,-./0123456789:;=@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_abcdefghijklmnopqrstuvwxyz|~"
)
"""Bytes that stand for themselves in a path; all others become ``%XX``."""

_ENCODED: Final = tuple(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in range(256))
_ENCODED_TEXT: Final = (*_ENCODED[:0x25], "%", *_ENCODED[0x26:])
"""For texts that may be encoded already: what is encoded, or only looks so, stays."""
_WITHOUT_UNRESERVED: Final = dict.fromkeys(_UNRESERVED)
"""For ``str.translate``: what is left of a text are the characters that need care."""
_BLANKS: Final = "".join(map(chr, range(33)))
_MAX_CHARACTERS: Final = 16 * 1024
"""A path of Linux has 4,096 bytes at most, each of which may be spelled with three characters."""
_SINGLE_DOT: Final = frozenset({".", "%2e"})
_DOUBLE_DOT: Final = frozenset({"..", ".%2e", "%2e.", "%2e%2e"})
_FORBIDDEN_IN_HOST: Final = frozenset(" #%/:<>?@[\\]^|\x7f") | {chr(c) for c in range(32)}
_HEX: Final = frozenset("0123456789abcdefABCDEF")


class InvalidPathError(ValueError):
    """A text is no path URI, or a URI names nothing on this system. The text says why."""


def is_normal(text: str) -> bool:
    """Return whether ``text`` is a URL without a host that ``split`` would leave as it is.

    Quick, and never wrong when true.
    """
    return (
        text.startswith("file:///")
        and not text.translate(_WITHOUT_UNRESERVED)
        and ("/." not in text or not _has_dot_segment(text))
        and text[8:9] != "/"
        and text[9:10] not in (":", "|")
    )


def _has_dot_segment(text: str) -> bool:
    """Return whether ``.`` or ``..``, spelled like that, is a segment of a path."""
    return "/./" in text or "/../" in text or text.endswith(("/.", "/.."))


def split(text: str) -> tuple[str, str]:
    """Return the host, empty for none, and the normalised path, which begins with ``/``.

    Raises:
        InvalidPathError: No absolute URL, another scheme, a query, a fragment, or something
            in the place of the host that is no plain name: credentials and ports too.
    """
    if len(text) > _MAX_CHARACTERS:
        raise InvalidPathError("invalid URI: the path is too long")
    text = text.strip(_BLANKS)
    for blank in "\t\n\r":
        text = text.replace(blank, "")
    scheme, colon, rest = text.partition(":")
    if not colon or not _is_scheme(scheme):
        raise InvalidPathError("invalid URI: a path URI starts with file:, not with a path")
    if scheme.lower() != "file":
        raise InvalidPathError(f"unsupported path URI scheme {scheme.lower()[:40]!r}")
    if "?" in rest.partition("#")[0]:
        raise InvalidPathError("query parameters are not allowed in path URIs")
    if "#" in rest:
        raise InvalidPathError("fragments are not allowed in path URIs")
    host, path = _split_host(rest.replace("\\", "/"))
    return _normalise(host, path)


def is_drive(segment: str, separators: tuple[str, ...] = (":", "%3A")) -> bool:
    """Return whether a segment is a letter and one of the separators, in either case."""
    return segment[:1].isalpha() and segment[:1].isascii() and segment[1:].upper() in separators


def encode(raw: bytes) -> str:
    """Return bytes of a path in the spelling of URIs; ``%`` is encoded like the others."""
    return "".join([_ENCODED[byte] for byte in raw])


def decode(text: str) -> bytes:
    """Return the bytes that a part of a URI stands for. A ``%`` without two digits stays."""
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


def _is_scheme(text: str) -> bool:
    return (
        text.isascii()
        and text[:1].isalpha()
        and all(character.isalnum() or character in "+-." for character in text)
    )


def _split_host(rest: str) -> tuple[str, str]:
    """Return the host and what is left. Only a path after an empty host keeps its slash."""
    if not rest.startswith("//"):
        return "", rest.removeprefix("/")
    authority, _slash, path = rest[2:].partition("/")
    if is_drive(authority, (":", "|")):
        return "", rest[2:]
    if not authority:
        return "", f"/{path}"
    try:
        host = decode(authority).decode().lower()
        if not host.isascii():
            host = host.encode("idna").decode()
            if host == "localhost":  # it only looked like another host, or the other way round
                raise InvalidPathError("invalid URI: invalid international domain name")
    except UnicodeError as error:
        raise InvalidPathError("invalid URI: invalid international domain name") from error
    if not host or not _FORBIDDEN_IN_HOST.isdisjoint(host):
        raise InvalidPathError("invalid URI: the host of a path URI is a plain name")
    return ("", f"/{path}") if host == "localhost" else (host, path)


def _normalise(host: str, path: str) -> tuple[str, str]:
    """Collapse dot segments, encode what has to be, spell drives in one way.

    A drive may be spelled ``C|`` where it is certain that a drive is meant: as the very first
    segment. After an empty host it is not, and names a file of POSIX.
    """
    segments: list[str] = []
    *folders, last = path.split("/")
    for part in folders:
        _append(segments, part)
    if not _append(segments, last):
        segments.append("")
    text = "/".join(segments).lstrip("/")
    first, slash, others = text.partition("/")
    # Not only as the first segment of all, but also behind extra slashes: the normalised text
    # has to mean the same when it is parsed again.
    if host and is_drive(first, (":", "|")):
        host, text = "", f"{first[0]}:{slash}{others}"
    if not host and is_drive(text.partition("/")[0]):
        text = text[0].upper() + text[1:]
    return host, f"/{text}"


def _append(segments: list[str], part: str) -> bool:
    """Add a segment, or do what its dots say; return whether it was added."""
    if part[:1] in (".", "%"):
        lowered = part.lower()
        if lowered in _DOUBLE_DOT:
            if segments and not is_drive(segments[-1], (":", "|")):
                segments.pop()
            return False
        if lowered in _SINGLE_DOT:
            return False
    if not segments and is_drive(part, ("|",)):
        part = f"{part[0]}:"
    segments.append(_encode_text(part))
    return True


def _encode_text(text: str) -> str:
    if text.isascii() and text.isalnum():
        return text
    try:
        raw = text.encode()
    except UnicodeEncodeError as error:
        raise InvalidPathError("invalid URI: half of a surrogate pair") from error
    return "".join([_ENCODED_TEXT[byte] for byte in raw])
