"""The command line of the server: times with units, and words that are mistyped."""

from __future__ import annotations

import argparse

import pytest
from exec_server.cli import main
from exec_server.durations import duration, positive_duration, whole_seconds


def test_times_may_have_units() -> None:
    assert (duration("1h30m"), duration("0"), positive_duration("500ms")) == (5400, 0, 0.5)
    assert whole_seconds("2m") == 120
    for parse, text in ((duration, "soon"), (positive_duration, "0"), (whole_seconds, "500ms")):
        with pytest.raises(argparse.ArgumentTypeError):
            parse(text)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--lsten", "ws://127.0.0.1:0"], "did you mean --listen?"),
        (["sandbox-chek"], "did you mean sandbox-check?"),
        (["--zzz"], "unrecognized arguments: --zzz\n"),
        (["sandbox-check", "--zzz"], "usage: exec-server sandbox-check"),
        (["--drain-seconds", "-1"], "write 90, 500ms, 5m or 1h30m"),
        (["--initialize-timeout-seconds", "0m"], "must be more than 0"),
    ],
)
def test_wrong_usage_is_told_with_what_was_meant(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_the_help_lists_the_command_of_the_server(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "commands:\n  sandbox-check " in capsys.readouterr().out
