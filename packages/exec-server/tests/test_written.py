"""How much was written before a piece of output."""

from __future__ import annotations

from collections import Counter

from exec_server.output.written import Written
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.tuples(st.sampled_from([b"stdout", b"stderr"]), st.binary(max_size=5))))
def test_every_chunk_knows_what_was_written_to_each_stream_before_it(
    output: list[tuple[bytes, bytes]],
) -> None:
    written = Written(tty=False)
    before: Counter[bytes] = Counter()
    for seq, (stream, data) in enumerate(output, 1):
        chunk = written.chunk(seq, stream, data)
        assert (chunk.seq, chunk.stream, chunk.data) == (seq, stream, data)
        expected = {"stdout": before[b"stdout"], "stderr": before[b"stderr"]}
        assert written.before(chunk) == expected
        before[stream] += len(data)
    assert written.before(None) == {"stdout": before[b"stdout"], "stderr": before[b"stderr"]}


def test_a_terminal_is_one_stream() -> None:
    written = Written(tty=True)
    written.chunk(1, b"pty", b"abc")
    assert written.before(None) == {"pty": 3}
