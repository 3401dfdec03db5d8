"""Messages in pieces: nothing overtakes them, nothing is lost, and two never mix."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from unittest.mock import patch

from exec_server.transport.delivery_window import DeliveryWindow
from exec_server.transport.outbox import Outbox
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State
from websockets.server import ServerProtocol


def _outbox() -> tuple[Outbox, ServerProtocol]:
    protocol = ServerProtocol()
    protocol.state = State.OPEN
    return Outbox(protocol, DeliveryWindow(10**9), lambda: None), protocol


def _messages(protocol: ServerProtocol) -> list[bytes]:
    """What a peer makes of the frames that were sent."""
    client = Protocol(Side.CLIENT, state=State.OPEN)
    client.receive_data(b"".join(protocol.data_to_send()))
    messages: list[bytes] = []
    whole = True
    for frame in client.events_received():
        assert isinstance(frame, Frame)
        assert (frame.opcode is Opcode.CONT) is not whole
        if whole:
            messages.append(b"")
        messages[-1] += bytes(frame.data)
        whole = frame.fin
    assert whole
    return messages


PIECES = st.tuples(st.integers(0, 2), st.booleans())
STEPS = st.lists(st.one_of(st.sampled_from(["whole", "slices", "go on"]), PIECES), max_size=40)


@given(STEPS)
def test_pieces_of_different_messages_never_mix_and_messages_keep_their_order(
    steps: list[tuple[int, bool] | str],
) -> None:
    outbox, protocol = _outbox()
    owners = [object() for _ in range(3)]
    begun: dict[int, bytes] = defaultdict(bytes)
    whole: list[bytes] = []
    in_pieces: list[list[bytes]] = [[], [], []]

    def send(owner: int, *, last: bool) -> None:
        piece = b"<%d:%d>" % (owner, len(begun[owner]))
        begun[owner] += piece
        outbox.send_piece(piece, last=last, of=owners[owner])
        if last:
            in_pieces[owner].append(begun.pop(owner))

    for number, step in enumerate(steps):
        if step == "go on":
            outbox.send_slice()
        elif isinstance(step, str):
            whole.append(b"message %d" % number)
            if step == "whole":
                outbox.send(whole[-1])
            else:
                outbox.send_slices(iter([b"message ", b"", b"%d" % number]), 7)
        else:
            send(step[0], last=step[1])
    for owner in list(begun):
        send(owner, last=True)
    while outbox.slicing:
        outbox.send_slice()
    assert outbox.held_bytes == 0
    sent = _messages(protocol)
    assert [one for one in sent if one.startswith(b"message")] == whole
    for owner in range(3):
        assert [one for one in sent if one.startswith(b"<%d" % owner)] == in_pieces[owner]
    assert len(sent) == len(whole) + sum(map(len, in_pieces))


def test_what_waits_is_counted_and_can_be_dropped() -> None:
    outbox, protocol = _outbox()
    outbox.send_piece(b"a", last=False, of="one")
    outbox.send(b"bcd")
    outbox.send_piece(b"ef", last=False, of="other")
    assert outbox.held_bytes == 5
    outbox.clear()
    assert outbox.held_bytes == 0
    outbox.send_piece(b"z", last=True, of="one")
    assert _messages(protocol) == [b"az"]


def test_slices_are_made_one_at_a_time_and_counted_from_the_beginning() -> None:
    made: list[int] = []

    def slices() -> Iterator[bytes]:
        for number in range(5):
            made.append(number)
            yield b"<%d>" % number

    window = DeliveryWindow(10**9)
    protocol = ServerProtocol()
    protocol.state = State.OPEN
    outbox = Outbox(protocol, window, lambda: None)
    outbox.send_slices(slices(), 15)
    position = window.sent + outbox.held_bytes
    outbox.send(b"behind")
    assert position == 15 == window.sent + outbox.held_bytes - len(b"behind")
    made_after = []
    while outbox.slicing:
        outbox.send_slice()
        made_after.append(len(made))
    assert made_after == [3, 4, 5, 5]
    assert (window.sent, outbox.held_bytes) == (15 + len(b"behind"), 0)
    assert _messages(protocol) == [b"<0><1><2><3><4>", b"behind"]


def test_nothing_is_made_of_slices_that_were_dropped() -> None:
    outbox, _protocol = _outbox()
    slices = iter([b"a", b"b", b"c", b"d"])
    outbox.send_slices(slices, 4)
    outbox.clear()
    assert (outbox.slicing, outbox.send_slice(), outbox.held_bytes) == (False, False, 0)
    assert list(slices) == [b"c", b"d"]


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=4), st.booleans())
def test_long_messages_leave_in_frames_while_they_are_made(
    sizes: list[int], in_pieces: bool
) -> None:
    protocol = ServerProtocol()
    protocol.state = State.OPEN
    left: list[bytes] = []
    outbox = Outbox(protocol, DeliveryWindow(10**9), lambda: left.extend(protocol.data_to_send()))
    parts = [bytes([number]) * size for number, size in enumerate(sizes, 1)]
    with patch("exec_server.transport.outbox._FRAME_BYTES", 1000):
        if in_pieces:
            for part in parts[:-1]:
                outbox.send_piece(part, last=False, of="one")
            outbox.send_piece(parts[-1], last=True, of="one")
        else:
            outbox.send(b"".join(parts))
    frames = [*left, *protocol.data_to_send()]
    assert max(map(len, frames)) <= 1000 + 4  # RFC 6455: two bytes of header, two of length
    assert len(frames) == 1 or left == frames
    client = Protocol(Side.CLIENT, state=State.OPEN)
    client.receive_data(b"".join(frames))
    received = [event for event in client.events_received() if isinstance(event, Frame)]
    assert [frame.fin for frame in received] == [False] * (len(frames) - 1) + [True]
    assert b"".join(bytes(frame.data) for frame in received) == b"".join(parts)
