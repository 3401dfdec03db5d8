"""Log lines: what a peer chose a name for does nothing to who reads it."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator

import pytest
from exec_server.logs import configure_logging

EVIL = "\x1b]0;PWNED\x07\x9b2J\u202e\r\n2026-01-01 INFO forged\udc9b"


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:], logger.level = handlers, level


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_record_is_one_line_of_printable_characters(
    root: logging.Logger, log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root.handlers.clear()
    configure_logging("debug", log_format)  # type: ignore[arg-type]
    logging.getLogger("exec_server.test").debug("%s refused with %d", EVIL, -32601)
    written = capsys.readouterr().err
    assert written.endswith("\n")
    assert written[:-1].isprintable(), repr(written)
    if log_format == "json":
        assert json.loads(written)["message"] == f"{EVIL} refused with -32601"
    else:
        assert "\\x1b]0;PWNED" in written


def test_an_exception_keeps_its_lines(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    root.handlers.clear()
    configure_logging("debug", "text")
    try:
        sys.exit("no")
    except SystemExit:
        logging.getLogger("exec_server.test").exception("failed")
    assert len(capsys.readouterr().err.splitlines()) > 3
