"""The ``exec-server`` program.

Stdout carries exactly one line, the URL to connect to, flushed when the socket is bound;
everything else goes to stderr.
"""

from __future__ import annotations

from ._quick_start import loaded  # isort: skip - before the others
import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from .access.arguments import access_from_arguments, add_access_arguments
from .config import DEFAULT_LISTEN_URL, ServerConfig
from .durations import DURATION, duration
from .errors import ConfigError, ServerError
from .limit_arguments import add_limit_arguments, limits_from_arguments
from .logs import configure_logging, correlate
from .parser import Parser
from .runtime.idle_memory import give_back_when_idle
from .runtime.marks import mark_before_start
from .runtime.open_files import raise_open_files_limit
from .server import serve
from .sizes import parse_size
from .standard_streams import open_standard_streams
from .supervised import Supervision
from .telemetry.instruments import OFF
from .telemetry.settings import read_signals
from .version import VERSION

if TYPE_CHECKING:
    from .telemetry.providers import Telemetry

__all__ = ["main"]

loaded()

logger = logging.getLogger(__name__)

_DESCRIPTION = """\
Runs processes for clients that connect over a WebSocket, and keeps them running when a
connection is lost. Prints its URL on stdout; logs go to stderr.
"""

_SWITCH_SECONDS = 0.001
"""A fifth of the default: encoding spans in a thread shall not hold up a request for longer."""

_LEFT_ALONE: Final = {
    # Python itself ignores these two, and subprocess restores them.
    signal.SIGPIPE,
    signal.SIGXFSZ,
    # With a handler, writing to a terminal in the background would be repeated for ever.
    signal.SIGTTIN,
    signal.SIGTTOU,
}
_HARMLESS: Final = {
    # While it is ignored, the kernel throws the exit status of children away.
    signal.SIGCHLD,
    signal.SIGCONT,
    signal.SIGURG,
    signal.SIGWINCH,
}
"""What does nothing by default either."""

_EPILOG = """\
A DURATION is a number of seconds, or 500ms, 5m, 1h30m. A SIZE is a number of bytes, or 64MiB.

commands:
  sandbox-check         try the known ways out of a sandbox on this machine, and end

examples:
  exec-server                                   a free port on this machine
  exec-server --listen ws://127.0.0.1:8765
  exec-server --session-ttl-seconds 60          keep lost sessions for a minute
  exec-server sandbox-check                     try the known ways out of a sandbox here
  exec-server --listen ws://0.0.0.0:8765 --ws-auth capability-token \\
      --ws-token-file token --tls-cert cert.pem --tls-key key.pem

Whoever can connect can run commands as this user. Signals: SIGTERM and SIGINT stop the
server and kill every process that it started; SIGHUP has files about access read again.
Telemetry is configured by the standard OTEL_* variables, such as
OTEL_EXPORTER_OTLP_ENDPOINT, and off without them.
"""


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        words=["sandbox-check"],
        prog="exec-server",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--listen",
        metavar="ws://IP:PORT",
        default=DEFAULT_LISTEN_URL,
        help="address to listen on; port 0 takes a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--exit-on-stdin-close",
        action="store_true",
        help="stop when stdin reaches its end, so that the server cannot outlive the program "
        "that started it",
    )
    parser.add_argument(
        "--no-supervisor",
        action="store_true",
        help="run without the small process above the server that ends everything when the server "
        "is killed: for where an init of yours does that",
    )
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    add_access_arguments(parser)
    _add_session_arguments(parser)
    _add_file_arguments(parser)
    add_limit_arguments(parser)
    _add_log_arguments(parser)
    return parser


def _add_session_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("sessions and output")
    group.add_argument(
        "--session-ttl-seconds",
        metavar=DURATION,
        type=duration,
        default=30.0,
        help="how long a session outlives its connection, and a finished process stays "
        "readable (default: %(default)g)",
    )
    group.add_argument(
        "--peer-timeout-seconds",
        metavar=DURATION,
        type=duration,
        default=20.0,
        help="a client from which nothing came for so long, not even an answer to a ping, loses "
        "its connection, and not its session; 0 never (default: %(default)g)",
    )
    group.add_argument(
        "--drain-seconds",
        metavar=DURATION,
        type=duration,
        default=0.0,
        help="on shutdown, send processes SIGTERM and give them this long before they are "
        "killed (default: %(default)g, kill at once)",
    )
    group.add_argument(
        "--retain-output-bytes",
        metavar="SIZE",
        type=parse_size,
        default=64 * 1024 * 1024,
        help="output of one process that is kept on disk while nobody is attached, such as "
        "64MiB; 0 keeps the newest MiB in memory only (default: 64MiB)",
    )
    group.add_argument(
        "--retain-session-bytes",
        metavar="SIZE",
        type=parse_size,
        default=256 * 1024 * 1024,
        help="the same for all processes of one session together (default: 256MiB)",
    )
    group.add_argument(
        "--spool-max-bytes",
        metavar="SIZE",
        type=parse_size,
        default=1024 * 1024 * 1024,
        help="the same for all processes of the server together; 0 turns the disk off "
        "(default: 1GiB)",
    )
    group.add_argument(
        "--spool-dir",
        metavar="DIR",
        help="where that output is kept, in files without names (default: the system's "
        "temporary directory)",
    )


def _add_file_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("files")
    group.add_argument(
        "--fs-helper",
        metavar="PATH",
        help="program that carries out file operations (default: fs-helper beside the Python "
        "that runs the server, else on PATH)",
    )


def _add_log_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("observing", "Logs go to stderr.")
    group.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="warning",
        help="default: %(default)s",
    )
    group.add_argument(
        "--log-format",
        choices=("text", "json"),
        default="text",
        help="json: one object a line (default: %(default)s)",
    )
    group.add_argument(
        "--no-trace-propagation",
        dest="propagate",
        action="store_false",
        help="do not hand traces on, to children in TRACEPARENT and TRACESTATE and to the "
        "origins of HTTP requests in headers; done while telemetry is on",
    )


def main(argv: Sequence[str] | None = None, *, supervisor: int | None = None) -> int:
    """Run the program, in this process alone.

    Args:
        argv: Its arguments; ``None`` for those of this process.
        supervisor: A pipe that ends with the supervisor; ``None`` without one.

    Returns:
        Exit status: 0 after a signal, 1 when the server could not start, 2 for bad usage.
    """
    open_standard_streams()
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments[:1] == ["sandbox-check"]:
        return _check_sandbox(arguments[1:])
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.version:
        parser.exit(0, f"exec-server {VERSION}\n")
    configure_logging(args.log_level, args.log_format)
    telemetry = _start_telemetry(propagate=args.propagate)
    try:
        config = ServerConfig(
            listen=args.listen,
            allow_unauthenticated=args.allow_unauthenticated,
            session_ttl=args.session_ttl_seconds,
            peer_timeout=args.peer_timeout_seconds,
            drain=args.drain_seconds,
            retain_output_bytes=args.retain_output_bytes,
            retain_session_bytes=args.retain_session_bytes,
            spool_max_bytes=args.spool_max_bytes,
            spool_dir=args.spool_dir,
            instruments=OFF if telemetry is None else telemetry.instruments,
            limits=limits_from_arguments(args),
            access=access_from_arguments(args),
            fs_helper=args.fs_helper,
        )
    except ConfigError as error:
        parser.exit(1, f"exec-server: error: {error}\n")
    _forget_inherited_signals()
    raise_open_files_limit()
    mark_before_start()
    supervision = None if supervisor is None else Supervision(supervisor)
    run = _run(config, telemetry, supervision, exit_on_stdin_close=args.exit_on_stdin_close)
    try:
        asyncio.run(run)
    except ServerError as error:
        parser.exit(1, f"exec-server: error: {error}\n")
    finally:
        if supervision is not None:
            supervision.close()
    return 0


def _start_telemetry(*, propagate: bool) -> Telemetry | None:
    """Return what exports, or ``None`` when no variable asks for it: loading it is slow."""
    signals = read_signals(os.environ)
    if not signals:
        return None
    from .telemetry.providers import Telemetry

    telemetry = Telemetry(signals, os.environ, propagate=propagate)
    correlate(telemetry.instruments.correlation)
    sys.setswitchinterval(_SWITCH_SECONDS)
    return telemetry


def _check_sandbox(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog="exec-server sandbox-check",
        description="Tries the known ways out of a sandbox on this machine and prints how each "
        "ended. Exit status: 0 when none succeeded, 1 when one did, 2 when nothing can be "
        "confined here.",
    )
    parser.parse_args(arguments)
    from .sandbox_check.check import run_check

    return run_check(lambda line: print(line, flush=True))  # noqa: T201 - that is its purpose


def _forget_inherited_signals() -> None:
    """Give children default dispositions, whatever the server was started with.

    A signal that is ignored stays ignored over exec, one with a handler does not: so a
    handler that does nothing keeps it ignored here, and here only.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals() - _LEFT_ALONE:
        if signal.getsignal(number) is not signal.SIG_IGN:
            continue
        if number in _HARMLESS:
            signal.signal(number, signal.SIG_DFL)
        else:
            signal.signal(number, lambda _number, _frame: None)


async def _run(
    config: ServerConfig,
    telemetry: Telemetry | None,
    supervision: Supervision | None,
    *,
    exit_on_stdin_close: bool,
) -> None:
    try:
        await _serve(config, supervision, exit_on_stdin_close=exit_on_stdin_close)
    finally:
        if telemetry is not None:
            await telemetry.close()


async def _serve(
    config: ServerConfig, supervision: Supervision | None, *, exit_on_stdin_close: bool
) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if exit_on_stdin_close:
        _watch_stdin(loop, stop)
    async with serve(config) as server:
        if supervision is not None:
            supervision.watch(stop.set)
            server.means = supervision.means
        logger.info("what ends processes when the server is killed: %s", server.means)
        if config.access.uses_files:  # else a terminal that hangs up ends the server, as usual
            loop.add_signal_handler(signal.SIGHUP, server.reload)
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        gc.freeze()  # the modules stay: nobody has to look through them again
        if exit_on_stdin_close:
            server.prepare()  # whoever started us is about to connect, and loads things as well
        giving_back = loop.create_task(give_back_when_idle(), name="exec-server-idle-memory")
        await stop.wait()
        logger.info("stopping")
        giving_back.cancel()
        await asyncio.wait([giving_back])


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    descriptor = sys.stdin.fileno()
    os.set_blocking(descriptor, False)

    def readable() -> None:
        try:
            ended = not os.read(descriptor, 65536)
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            loop.remove_reader(descriptor)
            stop.set()

    try:
        loop.add_reader(descriptor, readable)
    except PermissionError:  # a plain file or /dev/null: nothing will come of it but its end
        stop.set()
