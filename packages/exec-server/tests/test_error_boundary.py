"""What a peer is told of an exception: what was raised to be told, and nothing of other faults."""

from __future__ import annotations

import pytest
from exec_server.errors import SpawnError
from exec_server.rpc.error_boundary import to_error_data
from exec_server_protocol.errors import INTERNAL_ERROR, INVALID_REQUEST, InvalidRequestError
from exec_server_protocol.rpc import ErrorData


def test_a_fault_of_ours_is_told_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    told = to_error_data(KeyError("/home/somebody/secret"), "process/start")
    assert told == ErrorData(INTERNAL_ERROR, "internal error")
    assert "process/start" in caplog.text


def test_what_was_raised_to_be_told_keeps_its_code_and_text() -> None:
    refused = to_error_data(InvalidRequestError("no"), "process/start")
    assert refused == ErrorData(INVALID_REQUEST, "no")
    assert to_error_data(SpawnError("no program"), "process/start").message == "no program"
