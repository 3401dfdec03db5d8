"""The command line itself: parsing, help, exit codes, what is printed."""

from __future__ import annotations

import builtins
import os
import shutil
import subprocess
import sys
from pathlib import Path

import exec_client
import pytest
from exec_client.cli import exit_codes, info, main, ps
from exec_client.cli.commands import COMMAND_NAMES, load_command
from exec_client.cli.exit_codes import CommandError, exit_code_of
from exec_client.cli.program import parse
from exec_client.cli.run import parse_env
from exec_client.process.start_errors import to_start_error
from exec_server_protocol.errors import InternalError, InvalidParamsError

UNREACHABLE = "ws://127.0.0.1:1"


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["run", "--", "ls", "-la"], ["ls", "-la"]),
        (["run", "ls", "-la"], ["ls", "-la"]),
        (["run", "-t", "--", "sh", "-c", "x"], ["sh", "-c", "x"]),
        (["run", "git", "log", "--", "file"], ["git", "log", "--", "file"]),
        (["run", "--", "git", "log", "--", "file"], ["git", "log", "--", "file"]),
        (["run", "--", "--odd-name"], ["--odd-name"]),
        (["run"], []),
        (["shell", "--", "python3", "-q"], ["python3", "-q"]),
    ],
)
def test_what_follows_the_options_is_the_command_untouched(
    words: list[str], command: list[str]
) -> None:
    assert parse(words).command == command


def test_options_of_run_are_understood_before_the_command_only() -> None:
    options = "--url ws://h --cwd /w -e A=1 --timeout 1.5 -q -t --inherit-env all"
    arguments = parse(["run", *options.split(), "--", "prog", "--timeout", "9"])
    assert (arguments.url, arguments.cwd, arguments.env) == ("ws://h", "/w", ["A=1"])
    assert (arguments.timeout, arguments.quiet, arguments.tty) == (1.5, True, True)
    assert arguments.inherit_env == "all"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fly"],
        ["run", "--timeout", "0", "--", "x"],
        ["run", "--timeout", "soon", "--", "x"],
        ["run", "--unknown", "--", "x"],
        ["info", "--", "x"],
    ],
)
def test_wrong_usage_ends_with_the_code_of_our_own_errors(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 125
    assert "usage: exec-client" in capsys.readouterr().err


def test_run_without_a_command_says_how_it_is_used(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run"]) == 125
    assert "run needs a command" in capfd.readouterr().err


@pytest.mark.parametrize("name", COMMAND_NAMES)
def test_every_subcommand_has_help_with_examples(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    help_text = capsys.readouterr().out
    assert "examples:" in help_text
    assert f"exec-client {name}" in help_text


def test_the_list_of_subcommands_shows_what_each_is_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    help_text = capsys.readouterr().out
    for name in COMMAND_NAMES:
        assert name in help_text
        assert load_command(name).SUMMARY in help_text


def test_help_needs_neither_pydantic_nor_websockets() -> None:
    code = (
        "import sys; from exec_client.cli.program import parse; parse(['run', '--', 'x']);"
        "print([n for n in ('pydantic', 'websockets', 'asyncio') if n in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert output.stdout.strip() == "[]"


def test_python_m_runs_the_same_program() -> None:
    output = subprocess.run(
        [sys.executable, "-m", "exec_client", "--version"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert output.stdout.startswith("exec-client ")


def test_a_server_that_is_not_there_is_one_line_and_not_a_traceback(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["info", "--url", UNREACHABLE]) == 125
    captured = capfd.readouterr()
    assert captured.err.startswith("exec-client: ")
    assert captured.err.count("\n") == 1
    assert UNREACHABLE in captured.err
    assert captured.out == ""


def test_the_variable_names_the_executor_when_the_option_does_not(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEX_EXEC_SERVER_URL", UNREACHABLE)
    assert main(["info"]) == 125
    assert UNREACHABLE in capfd.readouterr().err


def test_the_word_none_leaves_nothing_to_run_on(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXEC_SERVER_URL", "none")
    assert main(["run", "--", "true"]) == 125
    assert "no executor" in capfd.readouterr().err


def test_without_a_server_program_the_error_says_what_to_install(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("EXEC_SERVER_URL", "CODEX_EXEC_SERVER_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert main(["run", "--", "true"]) == 125
    assert "pip install exec-server" in capfd.readouterr().err


def test_variables_are_set_or_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSED", "on")
    monkeypatch.delenv("MISSING", raising=False)
    assert parse_env(["A=1", "B=", "C=x=y", "PASSED", "MISSING"]) == {
        "A": "1",
        "B": "",
        "C": "x=y",
        "PASSED": "on",
    }
    with pytest.raises(CommandError, match="K=V"):
        parse_env(["=1"])


@pytest.mark.parametrize(
    ("message", "data", "code"),
    [
        ("No such file or directory (os error 2)", None, exit_codes.NOT_FOUND),
        ("refused", {"errno": 2, "about": "program"}, exit_codes.NOT_FOUND),
        ("refused", {"errno": 2, "about": "cwd"}, exit_codes.OWN_ERROR),
        ("refused", {"kind": "spawnNotFound"}, exit_codes.NOT_FOUND),
        ("Permission denied (os error 13)", None, exit_codes.CANNOT_EXECUTE),
        ("refused", {"kind": "spawnPermissionDenied"}, exit_codes.CANNOT_EXECUTE),
        ("refused", {"errno": 13, "about": "cwd"}, exit_codes.OWN_ERROR),
        ("Exec format error (os error 8)", None, exit_codes.CANNOT_EXECUTE),
        ("Not a directory (os error 20)", None, exit_codes.CANNOT_EXECUTE),
        ("x because:\nNo viable candidates found in PATH", None, exit_codes.NOT_FOUND),
        ("Unable to spawn /x because it does not exist", None, exit_codes.NOT_FOUND),
        ("Too many open files (os error 24)", None, exit_codes.OWN_ERROR),
        ("bubblewrap was not found", {"kind": "sandbox"}, exit_codes.OWN_ERROR),
        ("refused", {"errno": "2"}, exit_codes.OWN_ERROR),
        ("refused", {"errno": -2}, exit_codes.OWN_ERROR),
        ("refused", [], exit_codes.OWN_ERROR),
    ],
)
def test_a_start_that_fails_ends_as_in_a_shell(message: str, data: object, code: int) -> None:
    error = to_start_error(InternalError(message, data=data), "x", "/srv")
    assert exit_code_of(error) == code


def test_a_refusal_of_another_kind_is_no_failed_start() -> None:
    error = InvalidParamsError("bubblewrap was not found (os error 2)", data={"kind": "sandbox"})
    assert to_start_error(error, "x", "/srv") is error
    assert exit_code_of(error) == exit_codes.OWN_ERROR


def test_each_row_of_the_exit_codes_can_be_met() -> None:
    met = set()
    for row in exit_codes.EXIT_CODES:
        kind = getattr(exec_client, row.error, None) or getattr(builtins, row.error)
        error = kind.__new__(kind, "text")
        if row.about is not None:
            error.about = row.about
        assert exit_code_of(error) == row.code
        met.add(row.code)
    assert met == {124, 125, 126, 127}


INFO = {
    "url": "ws://h",
    "status": "ready",
    "environmentInfo": {
        "shell": {"name": "bash", "path": "/bin/bash"},
        "executorVersion": "1.2",
        "providerId": "",
        "cwd": "file:///srv",
        "userHomeDir": None,
        "platformOs": "linux",
        "tempDir": "file:///tmp",
        "capabilities": {"b": True, "a": True, "c": False},
    },
}


def test_info_is_a_line_for_each_fact_that_is_known() -> None:
    assert info.render(INFO).splitlines() == [
        "url        ws://h",
        "status     ready",
        "version    1.2",
        "platform   linux",
        "shell      /bin/bash",
        "folder     file:///srv",
        "temporary  file:///tmp",
        "can        a b",
        "cannot     c",
    ]


def test_ps_is_a_table_whose_columns_line_up() -> None:
    process = {
        "processId": "a-long-process-id",
        "argv0": "sleep",
        "state": "running",
        "tty": True,
        "exitCode": None,
        "startedAtMs": 0,
        "retainedBytes": 12431,
        "nextSeq": 1,
    }
    lines = ps.render([process, {**process, "processId": "b", "exitCode": 0, "tty": False}])
    header, first, second = lines.splitlines()
    assert header.split() == ["PROCESS", "STATE", "EXIT", "TTY", "STARTED", "RETAINED", "COMMAND"]
    assert first.index("sleep") == second.index("sleep") == header.index("COMMAND")
    assert "12,431" in first
    assert ps.render([]).split() == header.split()


def test_output_that_nobody_reads_ends_quietly(tmp_path: Path) -> None:
    code = (
        "import sys, exec_client.cli.info as info\n"
        "from exec_client.cli import main\n"
        "def execute(arguments):\n"
        "    sys.stdout.write('x' * 100_000)\n"
        "    return 0\n"
        "info.execute = execute\n"
        "sys.exit(main(['info']))\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=30,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("words", "usage", "said"),
    [
        (["run", "--sandbx", "read-only", "--", "x"], "exec-client run", "did you mean --sandbox?"),
        (["cp", "--resme=1", "a", ":b"], "exec-client cp", "did you mean --resume?"),
        (["run", "--zzz", "--", "x"], "exec-client run", "unrecognized arguments: --zzz\n"),
        (["cp", "a"], "exec-client cp", "required: TARGET"),
        (["rnu", "--", "x"], "exec-client", "no command 'rnu'; did you mean run?"),
        (["info", "--", "x"], "exec-client info", "takes no command after --"),
        (["run", "--timeout", "5 m", "--", "x"], "exec-client run", "write 90, 500ms, 5m or 1h30m"),
    ],
)
def test_a_mistyped_word_is_told_with_the_usage_of_its_subcommand(
    words: list[str], usage: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(words)
    text = capsys.readouterr().err
    assert text.startswith(f"usage: {usage} ")
    assert said in text


def test_times_may_have_units() -> None:
    assert parse(["run", "--timeout", "1h30m", "--", "x"]).timeout == 5400
    assert parse(["http", "--timeout", "500ms", "GET", "http://h"]).timeout == 0.5


@pytest.mark.parametrize("url", ["", " ", "ftp://build", "a b"])
def test_a_url_of_no_executor_does_not_mean_this_machine(
    url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--url", url, "--", "true"]) == 125
    assert "URL" in capfd.readouterr().err.replace("--url is empty", "URL")


def test_a_file_that_cannot_be_used_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    for option, path in (("--token-file", "/no/token"), ("--cacert", "/no/cacert")):
        assert main(["info", "--url", "wss://127.0.0.1:1", option, path]) == 125
        assert path in capfd.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_are_scripts_that_their_shells_accept(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("shtab", reason="needs the extra `cli`")
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in COMMAND_NAMES)
    if path := shutil.which(shell):
        checked = subprocess.run([path, "-n"], input=script, text=True, timeout=30, check=False)
        assert checked.returncode == 0


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_subcommands_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab", reason="needs the extra `cli`")
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    for words, expected in (("exec-client sh", "shell"), ("exec-client run --sand", "--sandbox")):
        count = len(words.split()) - 1
        asking = f"""
            COMP_WORDS=({words}) COMP_CWORD={count} COMP_LINE="{words}" COMP_POINT={len(words)}
            $(complete -p exec-client | sed "s/.*-F \\([^ ]*\\).*/\\1/") exec-client
            echo "${{COMPREPLY[@]}}"
        """
        done = subprocess.run(
            ["bash", "-c", script + asking], capture_output=True, text=True, timeout=30, check=True
        )
        assert expected in done.stdout.split(), done.stderr
