"""How much a read may bring: what is missing of a frame, and a little beyond."""

from __future__ import annotations

import itertools

from exec_server.transport.frame_ends import FrameEnds
from exec_server.transport.message_assembly import MessageAssembler
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

HEAD = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"

lengths = st.one_of(st.integers(0, 300), st.sampled_from([125, 126, 127, 65_535, 65_536]))


def _frame(length: int, *, masked: bool = True) -> bytes:
    return Frame(Opcode.BINARY, bytes(length)).serialize(mask=masked)


@settings(deadline=None)
@given(
    st.lists(st.tuples(lengths, st.booleans()), max_size=6),
    # Long ones too, or a frame of 64 KiB would take as many steps.
    st.lists(st.integers(1, 30), max_size=20).map(lambda reads: [*reads, 2_000]),
)
def test_what_is_missing_of_a_frame_is_known_however_it_comes(
    frames: list[tuple[int, bool]], reads: list[int]
) -> None:
    stream = HEAD
    ends: list[tuple[int, int, int]] = []
    for length, masked in frames:
        frame = _frame(length, masked=masked)
        header = len(stream) + len(frame) - length
        ends.append((len(stream), header, len(stream) + len(frame)))
        stream += frame
    follow, at = FrameEnds(), 0
    for size in itertools.cycle(reads):
        follow.came(stream[at : at + size])
        at = min(at + size, len(stream))
        inside = [end for _, header, end in ends if header <= at < end]
        assert follow.left == (inside[0] - at if inside else 0)
        if at == len(stream):
            return


@given(st.binary(max_size=400), st.integers(1, 50))
def test_whatever_comes_is_counted(data: bytes, size: int) -> None:
    follow = FrameEnds()
    follow.came(HEAD)
    for at in range(0, len(data), size):
        follow.came(data[at : at + size])
        assert 0 <= follow.left < 2**64


def test_a_request_ends_where_its_empty_line_does() -> None:
    for cut in range(len(HEAD) + 1):
        follow = FrameEnds()
        follow.came(HEAD[:cut])
        follow.came(HEAD[cut:] + _frame(300)[:10])
        assert follow.left == 298


def test_short_fragments_are_kept_as_what_they_hold() -> None:
    assembler = MessageAssembler()
    assembler.add(Frame(Opcode.TEXT, b"", fin=False))
    for number in range(100_000):
        assembler.add(Frame(Opcode.CONT, b"x" if number % 2 else b"", fin=False))
    assert assembler.size == 50_000
    assert len(assembler._fragments) <= 8
    long = bytes(20_000)
    for _ in range(3):
        assembler.add(Frame(Opcode.CONT, long, fin=False))
    whole = assembler.add(Frame(Opcode.CONT, b"y"))
    assert whole == "x" * 50_000 + "\0" * 60_000 + "y"
    assert assembler.size == 0
