"""Was it the sandbox?"""

from __future__ import annotations

import pytest
from exec_server.output.retained import Chunk, RetainedOutput
from exec_server.sandbox.denial import SEARCHED_BYTES, was_denied


@pytest.mark.parametrize(
    "text",
    [
        "touch: Operation not permitted",
        "PERMISSION DENIED",
        "Read-only file system",
        "seccomp",
        "the sandbox",
        "Landlock",
        "failed to write file x",
    ],
)
@pytest.mark.parametrize("code", [1, 2, 126, 127, 255])
def test_words_of_a_refusal_count_with_every_code_but_0(text: str, code: int) -> None:
    output = [(b"stderr", text.encode())]
    assert was_denied(code, output)
    assert not was_denied(0, output)


@pytest.mark.parametrize(
    ("code", "denied"), [(1, False), (2, False), (126, False), (137, False), (159, True)]
)
def test_without_words_only_a_refused_call_counts(code: int, denied: bool) -> None:
    assert was_denied(code, [(b"stdout", b"No such file or directory")]) is denied
    assert was_denied(code, []) is denied


def test_words_may_be_cut_anywhere_and_interleaved() -> None:
    assert was_denied(1, [(b"stdout", b"permission "), (b"stdout", b"denied")])
    assert was_denied(1, [(b"stdout", b"permission "), (b"stderr", b"denied")])
    assert was_denied(1, [(b"stderr", b"perm"), (b"stdout", b"x"), (b"stderr", b"ission denied")])
    assert not was_denied(
        1, [(b"stderr", b"perm"), (b"stdout", b"x"), (b"stdout", b"ission denied")]
    )


@pytest.mark.parametrize(("filler", "denied"), [(1_048_500, True), (1_049_000, False)])
def test_the_last_mebibyte_is_looked_at(filler: int, denied: bool) -> None:
    kept = RetainedOutput(2 * SEARCHED_BYTES)
    kept.append(Chunk(1, b"stdout", b"permission denied"))
    kept.append(Chunk(2, b"stdout", b"." * filler))
    newest = kept.newest(SEARCHED_BYTES)
    assert sum(len(chunk.data) for chunk in newest) == min(SEARCHED_BYTES, filler + 17)
    assert was_denied(1, [(chunk.stream, chunk.data) for chunk in newest]) is denied
