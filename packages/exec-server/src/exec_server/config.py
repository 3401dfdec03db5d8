"""Every setting of a server: defaults, units, reasons, validation."""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import os
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from exec_server_protocol.limits import (
    DEFAULT_MAX_FRAME_BYTES,
    DEFAULT_MAX_MESSAGE_BYTES,
    FILE_HANDLES_PER_CONNECTION,
)

from .access.settings import AccessSettings
from .errors import ConfigError
from .telemetry.instruments import OFF, Instruments

__all__ = ["FileLimits", "Limits", "ListenAddress", "ServerConfig", "parse_listen_url"]

DEFAULT_LISTEN_URL: Final = "ws://127.0.0.1:0"


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A literal IP address and a TCP port; port 0 takes a free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def url(self) -> str:
        """The address as a ``ws://`` URL."""
        return self.url_with("ws")

    def url_with(self, scheme: str) -> str:
        """The address as a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"


def parse_listen_url(url: str) -> ListenAddress:
    """Return the address that ``ws://IP:PORT`` names.

    Names are not accepted: what ``localhost`` means is up to a resolver, and a server that
    runs commands should not listen on an address that nobody configured.

    Raises:
        ConfigError: It is anything else.
    """
    problem = f"invalid --listen {url!r}: expected ws://IP:PORT"
    if url == "stdio" or url.startswith("stdio:"):
        raise ConfigError("there is no stdio transport: --listen takes ws://IP:PORT")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = str(ipaddress.ip_address(parts.hostname or ""))
    except ValueError as error:
        raise ConfigError(problem) from error
    rest = (parts.path, parts.query, parts.fragment, parts.username, parts.password)
    if parts.scheme != "ws" or port is None or any(rest) or url.endswith(("?", "#", "/")):
        raise ConfigError(problem)
    return ListenAddress(host, port)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one server. Reaching one is an error for whoever asks for more."""

    connections: int = 4096
    """Of clients. A socket costs some 20 KiB and a descriptor."""
    uninitialized_connections: int = 512
    """Sockets of which nobody knows yet whose they are: without a valid token, or, where none
    is asked for, without ``initialize``. One more, and the oldest of the busiest address goes."""
    initialize_seconds: float = 30.0
    """From the upgrade to ``initialize``. Clients send it at once, over whatever link."""
    inbound_bytes: int = 512 * 1024 * 1024
    """Messages of all connections together that are unfinished, or wait to be handled: eight
    of the longest. Beyond it, large ones are read one after the other."""
    waiting_request_bytes: int = 16 * 1024 * 1024
    """Requests of one connection that were read and wait to be handled; beyond it the
    connection is not read. Far more than the calls that a client has under way at a time."""
    contended_message_seconds: float = 30.0
    """For the rest of such a message, while others wait for it: 64 MiB at 20 Mbit/s."""
    sessions: int = 1024
    """Attached and detached together; for one more, a detached one in which nothing runs gives
    way."""
    processes_per_session: int = 1024
    """Entries of a process table, finished processes that are still readable included: of these
    the oldest gives way to a new one."""
    parked_requests: int = 1280
    """Requests of one connection that wait for something, long polls and writes to a full
    stdin; beyond it no other is handled until one of them is answered. More than the 1,024
    calls that a client has under way, so that what ends them, such as killing a process that
    reads no input, is always handled."""
    parked_reads: int = 256
    """Long polls of one connection; beyond it the oldest is answered with what there is."""
    stdin_queue_messages: int = 128
    """Writes accepted for one process and not yet written."""
    stdin_queue_bytes: int = 4 * 1024 * 1024
    """The same in bytes; a single larger write is accepted when nothing else waits."""
    outbound_bytes: int = 2 * 1024 * 1024
    """Unsent bytes of one connection above which output is no longer read from children:
    enough for a socket to stay busy while Python encodes the next piece."""
    in_flight_bytes: int = 16 * 1024 * 1024
    """Sent on one connection and not known to have arrived; beyond it output is no longer
    read from children. It is kept in memory until it has arrived, and it covers a fast
    link's round trip: 16 MiB are 1 Gbit/s over 130 ms."""
    http_requests_per_connection: int = 256
    """HTTP requests of one connection that are under way, open streams included. Fewer than
    ``parked_requests``: HTTP alone never keeps a connection from being read."""
    http_requests: int = 1024
    """The same for the server: each has a socket of its own."""
    http_answer_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
    """Largest answer with a whole HTTP body in it, some 48 MiB of body: peers cut the
    connection above that. Larger bodies have to be streamed."""
    http_buffered_bytes: int = 512 * 1024 * 1024
    """HTTP bodies that are held whole, in both directions, for all clients."""
    handshake_seconds: float = 10.0
    """From the TCP connection to the end of the HTTP request."""
    frame_bytes: int = DEFAULT_MAX_FRAME_BYTES
    message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES

    def __post_init__(self) -> None:
        for limit in dataclasses.fields(self):
            if not getattr(self, limit.name) > 0:
                raise ConfigError(f"the limit {limit.name} must be greater than 0")


@dataclass(frozen=True, slots=True)
class FileLimits:
    """Limits of file operations. Seconds, and numbers of workers."""

    workers: int = 128
    """File helpers of the server, together. Each takes some 15 MiB, most of it shared."""
    workers_per_session: int = 8
    """One session needs one for each sandbox policy that it uses at a time."""
    handles_per_connection: int = FILE_HANDLES_PER_CONNECTION
    held_files: int = 128
    """Open files that the server reads itself as long as it need not wait, for all sessions
    together: each takes a descriptor. What is opened beyond is read by its worker."""
    requests_ahead: int = 16
    """Requests sent to a worker before the first is answered: enough that neither side waits
    for the other, few enough to be sent again when the worker dies."""
    start_seconds: float = 30.0
    """From the start of a worker to its first word. It takes 20 ms on a machine at rest."""
    place_seconds: float = 30.0
    """How long a request waits while there are as many workers as there may be."""
    idle_seconds: float = 60.0
    """After that an unused worker ends."""
    idle_marked_seconds: float = 0.25
    """The same for one whose sandbox marks missing names, such as ``.git``, with empty
    folders: everybody sees them as long as it lives, and some take them for what they are
    called. Long enough for requests that follow each other."""
    watch_seconds: float = 1.0
    """Between two looks at paths that are missing and watched."""
    plan_seconds: float = 30.0
    """For a look at the paths of a sandbox policy."""
    exit_seconds: float = 5.0
    """What shutdown allows killed workers."""
    quiet_seconds: float = 600.0
    """A request fails when its worker gives no sign of life for so long: copying or removing
    a large tree gives none before it has finished."""
    stalled_answer_seconds: float = 10.0
    """The same in the middle of a long answer, which nothing else on its connection can
    overtake."""
    grace_seconds: float = 1.0
    """How long a request goes on when its client is gone; then its worker is killed."""

    def __post_init__(self) -> None:
        for limit in dataclasses.fields(self):
            if not getattr(self, limit.name) > 0:
                raise ConfigError(f"the file limit {limit.name} must be greater than 0")


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Settings of a server.

    Args:
        listen: ``ws://IP:PORT`` with a literal address; port 0 takes a free one.
        allow_unauthenticated: Accept anyone on an address that other machines can reach.
        session_ttl: Seconds that a detached session is kept, and for which a closed process
            stays readable. The default leaves a client that tries for 25 s a margin, since
            the two clocks start independently.
        drain: Seconds that shutdown waits for running processes before it kills them.
        ping_interval: Seconds of silence of a client after which it is sent a WebSocket ping;
            half of ``peer_timeout`` if that is less.
        peer_timeout: Seconds after which a client is taken for gone when not a byte of it came;
            its session is detached then. 0 keeps connections until the system gives them up.
        memory_bytes: Output that is kept of one process in memory, at least.
        retain_output_bytes: Output that is kept of one process on disk while nobody is
            attached to its session; 0 keeps it in memory only.
        retain_session_bytes: The same for all processes of a session together, so that one
            session leaves room for others.
        spool_max_bytes: The same for all processes of the server together; 0 for none.
        spool_dir: Where; ``None`` for the system's temporary directory. The files have no
            names, so nothing is left of them however the server ends.
        limits: See ``Limits``.
        instruments: Receives all that can be observed; by default nothing does.
        access: Authentication and TLS.
        fs_helper: Path of the file helper; ``None`` for the program ``fs-helper`` beside the
            running interpreter, else on PATH.
        files: See ``FileLimits``.

    Raises:
        ConfigError: A value is out of its range, or the server would be open to the network
            without authentication.
    """

    listen: str = DEFAULT_LISTEN_URL
    allow_unauthenticated: bool = False
    session_ttl: float = 30.0
    drain: float = 0.0
    ping_interval: float = 30.0
    peer_timeout: float = 20.0
    memory_bytes: int = 1024 * 1024
    retain_output_bytes: int = 64 * 1024 * 1024
    retain_session_bytes: int = 256 * 1024 * 1024
    spool_max_bytes: int = 1024 * 1024 * 1024
    spool_dir: str | None = None
    limits: Limits = Limits()
    instruments: Instruments = field(default=OFF, repr=False, compare=False)
    access: AccessSettings = field(default_factory=AccessSettings)
    fs_helper: str | None = None
    files: FileLimits = FileLimits()

    def __post_init__(self) -> None:
        address = parse_listen_url(self.listen)
        is_open = not self.access.authenticates and not self.allow_unauthenticated
        if is_open and not address.is_loopback:
            raise ConfigError(
                f"refusing to listen on {address.host} without authentication: anyone who "
                "reaches it could run commands; see --ws-auth and --tls-client-ca, or pass "
                "--allow-unauthenticated if that is meant"
            )
        for name in ("session_ttl", "drain", "peer_timeout"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                raise ConfigError(f"{name} must be a number of seconds, 0 or more")
        for name in (
            "memory_bytes",
            "retain_output_bytes",
            "retain_session_bytes",
            "spool_max_bytes",
        ):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be 0 or more")
        if self.spool_dir is not None and not os.path.isdir(self.spool_dir):
            raise ConfigError("spool_dir must be an existing directory")
        if not self.ping_interval > 0:
            raise ConfigError("ping_interval must be greater than 0")

    @property
    def scheme(self) -> str:
        """``ws``, or ``wss`` with TLS."""
        return "wss" if self.access.uses_tls else "ws"

    @property
    def address(self) -> ListenAddress:
        """``listen``, parsed."""
        return parse_listen_url(self.listen)
