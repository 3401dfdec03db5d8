"""Options of a client: connecting, waiting, recovering."""

from __future__ import annotations

import ssl as _ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exec_server_protocol.rpc import Trace

from .access import TlsFiles, Token
from .gaps import GapMarker, LostOutput, describe_gap

if TYPE_CHECKING:
    from exec_server_protocol.sandbox import SandboxContext
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["ClientOptions"]


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Settings of a client. All times are in seconds.

    Args:
        client_name: Told to the executor, for its logs.
        connect_timeout: For TCP, TLS and the upgrade together.
        initialize_timeout: For the answer to ``initialize``.
        recovery_deadline: How long to try to resume after a connection is lost; 0 to give up
            at once. Keep it below the time for which the executor keeps a session, with a
            margin, since the two clocks start independently: 25 against 30 by default. It is
            for silence: while bytes arrive, it stands still.
        retry_delay: Pause between two attempts; the first one is made at once, unless the
            connection before was resumed as well and brought nothing.
        attempt_timeout: For one attempt, and for one answer with missed output, so that an
            executor which hangs does not use up the whole deadline. As above, for silence.
        replay_writes: Send a write again whose answer was lost. The executor recognises it
            by its id; one that forgets ids would write twice.
        ping_interval: Silence of the executor after which it is sent a ping; half of
            ``ping_timeout`` if that is less.
        ping_timeout: When not a byte came for so long, not even an answer to a ping, the
            connection is given up and the session resumed; 0 waits until the system does, which
            can take 16 minutes.
        max_buffered_bytes: Output that may wait for somebody to read it. Beyond it the
            connection is not read, which in the end makes the processes wait.
        catch_up_bytes: Missed output asked for at once, over all processes; an eighth of
            ``max_buffered_bytes`` at most.
        give_back_memory: When much was carried and then nothing for ten seconds, ask the
            allocator of this process for the memory that it keeps; see ``idle_memory``.
        lost_output: What happens when output of a process is lost, because it was more than the
            executor keeps while nobody is connected, or more than may wait here: ``fail`` ends
            the process, there and here, with an ``OutputLostError``; with ``gap`` its streams
            go on behind an explicit gap. For starts that do not say.
        gap_marker: What streams yield in the place of a gap: a text, or what to call for it with
            the ``Gap``, once. Bytes are UTF-8. The default is a line that says how much is lost.
        token: What proves who we are, text or a callable; see ``exec_client.access.Token``.
            Sent with each connection, and only over ``wss://`` or to this machine.
        allow_insecure_token: Send it over ``ws://`` to other machines as well.
        additional_headers: For the upgrade request.
        ssl: For ``wss://``: a context, or files to make one of; ``None`` for whom the system
            trusts, and no certificate of our own.
        proxy: URL of a proxy; ``None`` connects directly, whatever the environment says.
        sandbox: Policy of processes and file calls that bring none of their own; ``None``
            leaves them unconfined. ``SandboxContext.disabled()`` in a call lifts it.
        trace: Called for each request; returns the trace context to send with it, instead of
            that of the span which the client makes for a program that uses OpenTelemetry.
        tracer_provider: Makes the spans; ``None`` for the global one.
        meter_provider: Makes the metrics; ``None`` for the global one.
    """

    client_name: str = "exec-client"
    connect_timeout: float = 10.0
    initialize_timeout: float = 10.0
    recovery_deadline: float = 25.0
    retry_delay: float = 0.1
    attempt_timeout: float = 10.0
    replay_writes: bool = False
    ping_interval: float = 30.0
    ping_timeout: float = 20.0
    max_buffered_bytes: int = 64 * 1024 * 1024
    catch_up_bytes: int = 4 * 1024 * 1024
    give_back_memory: bool = True
    lost_output: LostOutput = "fail"
    gap_marker: GapMarker = describe_gap
    token: Token | None = field(default=None, repr=False)
    allow_insecure_token: bool = False
    additional_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ssl: _ssl.SSLContext | TlsFiles | None = None
    proxy: str | None = None
    sandbox: SandboxContext | None = None
    trace: Callable[[str], Trace | None] | None = None
    tracer_provider: TracerProvider | None = None
    meter_provider: MeterProvider | None = None
