"""One managed process: its sequence of events, what is kept of them, who waits for them.

Numbering an event, keeping it and queueing it for the peer happen in one step without an
``await``, so that the order on the wire is the order of the numbers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from exec_server_protocol.notifications import (
    process_closed,
    process_exited,
    process_id_json,
    process_output,
    process_stream_ended,
)

from ..config import Limits
from ..launching.child_watch import ChildWatch
from ..launching.launch import Launch
from ..launching.spawn import Child
from ..launching.tree_end import TreeEnd
from ..output.catch_up_throttle import CatchUpThrottle
from ..output.store import OutputStore
from ..output.written import Written
from ..runtime.peer import Sender
from ..sandbox.denial import SEARCHED_BYTES, was_denied
from ..telemetry.instruments import Instruments, ObservedProcess
from ..telemetry.names import OUTPUT_BYTES, SANDBOX_DENIALS
from .controls import Controls
from .details import Details
from .outcome import exit_class, log_closed, log_started
from .pump import Pump
from .states import ProcessEvent, ProcessState, advance

__all__ = ["Process"]

_OVER = frozenset({ProcessState.EXITED, ProcessState.CLOSED})


class Process:
    """A process of a session, from the reservation of its id until it is forgotten.

    Args:
        process_id: The client's name for it.
        argv0: First element of ``argv``, for ``process/list``.
        tty: Whether it gets a terminal.
        sandboxed: Whether its request had a sandbox, of whatever kind.
        details: Whether its client asked for more than others get to know.
        store: Makes the place for its output; gets what to call when there is room again.
        limits: Bounds of its queues.
        trees: Ends what it has started.
        on_closed: Called once, when the last event is out.
        on_exited: Called once, when the child of a launch has ended, with what to call when
            nothing of the launch is left.
        instruments: Told of output.
        observed: Told of the process's life.
    """

    def __init__(
        self,
        process_id: str,
        *,
        argv0: str,
        tty: bool,
        sandboxed: bool,
        details: bool,
        store: Callable[[Callable[[], None]], OutputStore],
        limits: Limits,
        trees: TreeEnd,
        on_closed: Callable[[Process], None],
        on_exited: Callable[[Launch, Callable[[], None]], None],
        instruments: Instruments,
        observed: ObservedProcess,
    ) -> None:
        self.id = process_id
        self.argv0 = argv0
        self.tty = tty
        self.sandboxed = sandboxed
        self.started_at_ms = time.time_ns() // 1_000_000
        self.state = ProcessState.STARTING
        self.exit_code: int | None = None
        self.sandbox_denied = False
        self._waiting_for_room: list[Callable[[], None]] = []
        self.kept = store(self._room)
        self.written = Written(tty=tty)
        self._ahead = CatchUpThrottle(self._room)
        self.start_cancelled = False
        self.details = Details(wanted=details)
        self.controls = Controls(tty=tty, limits=limits, trees=trees)
        self._on_closed = on_closed
        self._on_exited = on_exited
        self._launch: Launch | None = None
        self._launch_is_over = True
        self._instruments = instruments
        self.observed = observed
        self._ended_by: str | None = None
        self._id_json = process_id_json(process_id)
        self._next_seq = 1
        self._sender: Sender | None = None
        self._behind: Sender | None = None
        self.exit_seq: int | None = None
        self._deferred: list[Callable[[], None]] = []
        self._watchers: set[Callable[[], None]] = set()
        self._pumps: list[Pump] = []
        self._killed = False

    def __repr__(self) -> str:
        return f"<Process {self.state.value} next_seq={self._next_seq}>"

    # ------------------------------------------------------------------ start

    @property
    def is_starting(self) -> bool:
        """Whether the id is reserved and no child runs yet."""
        return self.state is ProcessState.STARTING

    def defer(self, action: Callable[[], None]) -> None:
        """Run ``action`` once the start has ended, in the order of the calls."""
        self._deferred.append(action)

    def started(self, child: Child) -> None:
        """Take over a running child."""
        self.state = advance(self.state, ProcessEvent.SPAWNED)
        self._pumps = [Pump(stream, fd, self) for stream, fd in child.outputs]
        self._launch = child.launch
        watch = ChildWatch(child.popen, self._exited, child.launch.signal)
        self.controls.started(child, watch)
        self.observed.started(tty=self.tty, sandboxed=child.launch.confined)
        self.observed.run(log_started)
        self._run_deferred()

    def start_failed(self) -> None:
        """Give up the reservation."""
        self.state = advance(self.state, ProcessEvent.SPAWN_FAILED)
        self.observed.start_failed(cancelled=self.start_cancelled)
        self._run_deferred()

    def _run_deferred(self) -> None:
        deferred, self._deferred = self._deferred, []
        for action in deferred:
            action()

    # ------------------------------------------------------------------ events

    @property
    def next_seq(self) -> int:
        """The number that the next event will get."""
        return self._next_seq

    def set_sender(self, sender: Sender | None, *, behind: bool = False) -> None:
        """Send events to another peer from now on, or to nobody.

        With ``behind``, not before ``caught_up``: they are kept as for nobody until then.
        """
        behind = behind and self._next_seq > 1
        self._sender = None if behind else sender
        self._behind = sender if behind else None
        if sender is None:
            self.kept.detached()
            self._ahead.release()
        elif behind:
            self.kept.detached()
            self._ahead.hold()
        else:
            self.kept.attached(self._next_seq)
            self._ahead.attached(self._next_seq)
        self._room()

    @property
    def is_behind(self) -> bool:
        """Whether its client has to catch up before it is sent events."""
        return self._behind is not None

    @property
    def is_caught_up_with(self) -> bool:
        """Whether a client pages through what it missed of it, or is about to."""
        return self.is_behind and self._ahead.waiting

    def caught_up(self, sender: Sender, through: int) -> bool:
        """``sender`` is about to be sent everything up to ``through``.

        Returns:
            Whether that is all there is, so that it gets later events as they happen.
        """
        self._ahead.asked()
        if through != self._next_seq - 1:
            return False
        if sender is self._behind:
            self._sender, self._behind = sender, None
            self.kept.attached(self._next_seq)
            self._ahead.release()
            self._room()
        return sender is self._sender

    def _number(self) -> int:
        seq = self._next_seq
        self._next_seq = seq + 1
        return seq

    def output_full(self) -> bool:
        """Whether to leave output where it is for now."""
        held = self.kept.full or self._ahead.full
        return held or (self._sender is not None and self._sender.full)

    def when_output_drained(self, callback: Callable[[], None]) -> None:
        """Call back when it is worth reading again."""
        if self._sender is not None and self._sender.full:
            self._sender.when_drained(callback)
        else:
            self._waiting_for_room.append(callback)

    def _room(self) -> None:
        waiting, self._waiting_for_room = self._waiting_for_room, []
        for callback in waiting:
            callback()

    def output(self, stream: bytes, data: bytes) -> None:
        """Number, keep and send a piece of output."""
        self._instruments.count(OUTPUT_BYTES, stream.decode(), amount=len(data))
        seq = self._number()
        sender = self._sender
        if sender is not None:
            sender.send(process_output(self._id_json, seq, stream, data))
            self.kept.arrival.sent(seq, sender.sent, live=True)
            self.kept.arrival.confirm(sender.arrived)
        self._ahead.happened(len(data))
        self.kept.append(self.written.chunk(seq, stream, data))
        self._changed()

    def confirm_arrived(self) -> None:
        """Look how much the peer has by now, and drop the output that need not be kept for it."""
        if (sender := self._sender or self._behind) is not None:
            self.kept.arrival.confirm(sender.arrived)
            self.kept.trim()

    @property
    def has_arrived(self) -> bool:
        """Whether it is closed, and its client is known to have every event of it."""
        is_closed = self.state is ProcessState.CLOSED
        return is_closed and self.kept.arrival.seq >= self._next_seq - 1

    def answered(self, seq: int | None, through: int) -> None:
        """An answer has just been sent.

        Args:
            seq: Number of the last output in it.
            through: Up to this number, it has everything behind its cursor.
        """
        if self.state is ProcessState.CLOSED and through == self._next_seq - 1:
            seq = through  # the answer had the end as well
        if (sender := self._sender or self._behind) is not None and seq is not None:
            self.kept.arrival.sent(seq, sender.sent, live=False)
        self._ahead.answered(through)

    def _exited(self, code: int, number: int | None) -> None:
        # While a client catches up, what is left in the pipes comes behind the exit, bit by bit.
        if not self._ahead.waiting or self._killed or self.sandboxed:
            for pump in self._pumps:
                pump.drain()
        if self._launch is not None:
            code = self._launch.exit_code(code)
            self._launch_is_over = False
            self._on_exited(self._launch, self._launch_ended)
        self.state = advance(self.state, ProcessEvent.EXIT)
        self.exit_code = code
        self.details.signal = number
        if self.sandboxed:
            ended = self.kept.newest(SEARCHED_BYTES)
            self.sandbox_denied = was_denied(code, [(chunk.stream, chunk.data) for chunk in ended])
            if self.sandbox_denied:
                self._instruments.count(SANDBOX_DENIALS, "process")
        self.controls.exited()
        seq = self.exit_seq = self._number()
        if self._sender is not None:
            told = self.details.signal_told
            self._sender.send(process_exited(self._id_json, seq, code, self.sandbox_denied, told))
            self.kept.arrival.sent(seq, self._sender.sent, live=True)
        if self._killed:
            # What escaped from the group may hold the pipes for ever. Who asked for the end
            # has it now, with everything that was written until then.
            for pump in self._pumps:
                pump.stop()
        self._changed()
        self._close_if_complete()

    def stream_ended(self, stream: bytes) -> None:
        """A pump has reached its end. Told by the close if that follows at once."""
        self.controls.terminal_ended()
        last_seq = self.details.stream_ends[stream.decode()] = self._next_seq - 1
        self._close_if_complete()
        if self.details.wanted and self._sender and self.state is not ProcessState.CLOSED:
            self._sender.send(process_stream_ended(self._id_json, stream, last_seq))

    def _launch_ended(self) -> None:
        """Go on: what a sandbox had put on the disk is gone, as who hears of the end expects."""
        self._launch_is_over = True
        if self._launch is not None and self._launch.nothing_lives:
            self.controls.forget_group()  # any left are zombies, until init takes them
        self._close_if_complete()

    def _close_if_complete(self) -> None:
        if self.state is not ProcessState.EXITED or not self._launch_is_over:
            return
        if not all(pump.ended for pump in self._pumps):
            return
        self.state = advance(self.state, ProcessEvent.OUTPUT_COMPLETE)
        self._pumps.clear()  # they refer to the process, which may be kept for a while
        self._launch = None
        seq = self._number()
        if self._sender is not None:
            self._sender.send(process_closed(self._id_json, seq))
            self.kept.arrival.sent(seq, self._sender.sent, live=True)
        self.kept.finish()
        self._changed()
        exit_code = self.exit_code or 0
        kind = self._ended_by or exit_class(exit_code)
        self.observed.closed(exit_code, kind)
        self.observed.run(log_closed, exit_code, kind)
        self._on_closed(self)

    # ------------------------------------------------------------------ waiting

    def watch(self, callback: Callable[[], None]) -> None:
        """Call back, soon and outside this call, after each event until ``unwatch``."""
        self._watchers.add(callback)

    def unwatch(self, callback: Callable[[], None]) -> None:
        """Stop calling back."""
        self._watchers.discard(callback)

    def _changed(self) -> None:
        if self._watchers:
            loop = asyncio.get_running_loop()
            for callback in self._watchers:
                loop.call_soon(callback)

    # ------------------------------------------------------------------ end

    def signal_group(self, number: int) -> None:
        """Signal the whole group, whether or not its leader has ended."""
        self.controls.signal_group(number)

    def group_lives(self) -> bool:
        """Whether the group has a member, such as a job that was left in the background."""
        return self.controls.signal_group(0)

    def terminate(self, grace: float = 0.0) -> bool:
        """Kill its whole tree. Returns whether the process was running.

        Args:
            grace: Seconds before that, at the beginning of which the tree gets SIGTERM; 0 for none.
        """
        running = self.state is ProcessState.RUNNING
        if not running and not (self.details.wanted and self.state in _OVER):
            return False  # other clients mean the process, and not what it has left behind
        self._ended_by = self._ended_by or ("terminated" if running else None)
        if grace > 0:
            self.controls.end_tree_later(grace, self._kill)
        else:
            self._kill()
        return running

    def _kill(self) -> None:
        self._killed = True
        self.controls.end_tree()
        if self.state is ProcessState.EXITED:
            for pump in self._pumps:  # what it has left behind holds its output open
                pump.drain()
                pump.stop()

    def destroy(self) -> None:
        """Kill what is left of the group and free all resources: the session is over."""
        self._sender = self._behind = None
        if self.controls.ends_later:
            self._kill()
        self._ahead.close()
        self.kept.close()
        self._killed = True
        if self.state is ProcessState.RUNNING:
            self._ended_by = self._ended_by or "expired"
        self.controls.kill()
        if self.state is not ProcessState.RUNNING:
            for pump in self._pumps:
                pump.stop()
