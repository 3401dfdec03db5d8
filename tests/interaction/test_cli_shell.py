"""``exec-client shell`` and ``run --tty`` on a real terminal."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from exec_testkit.liveness import wait_gone

if TYPE_CHECKING:
    from tests.interaction.conftest import Cli, Proxy

pytestmark = [pytest.mark.process, pytest.mark.slow]

WAIT_S = 20.0


@dataclass
class Screen:
    """A terminal with a program on it, and the person in front of it."""

    leader: int
    terminal: int
    before: list[Any]
    process: subprocess.Popen[bytes] | None = None
    seen: bytes = b""

    def resize(self, rows: int, cols: int) -> None:
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
        if self.process is not None:
            self.process.send_signal(signal.SIGWINCH)

    def type(self, text: str) -> None:
        os.write(self.leader, text.encode())

    def read_until(self, pattern: str) -> re.Match[bytes]:
        """Return the match of the first output since the last call that fits."""
        deadline = time.monotonic() + WAIT_S
        while not (match := re.search(pattern.encode(), self.seen)):
            ready, _, _ = select.select(
                [self.leader], [], [], max(0.0, deadline - time.monotonic())
            )
            assert ready, f"{pattern!r} did not come after {self.seen!r}"
            self.seen += os.read(self.leader, 65_536)
        self.seen = self.seen[match.end() :]
        return match

    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.terminal)[3] & termios.ECHO

    def is_restored(self) -> bool:
        return termios.tcgetattr(self.terminal) == self.before

    def start(self, cli: Cli, *words: str) -> subprocess.Popen[bytes]:
        self.process = cli.popen(
            *words, stdin=self.terminal, stdout=self.terminal, stderr=self.terminal, session=True
        )
        return self.process


@pytest.fixture
def screen() -> Iterator[Screen]:
    leader, terminal = os.openpty()
    screen = Screen(leader, terminal, termios.tcgetattr(terminal))
    screen.resize(31, 97)
    yield screen
    for fd in (leader, terminal):
        try:
            os.close(fd)
        except OSError:
            continue


def test_a_shell_has_the_size_and_kind_of_our_terminal_and_gives_it_back(
    cli: Cli, screen: Screen, server_url: str
) -> None:
    cli.env["TERM"] = "vt100"
    process = screen.start(cli, "shell", "--url", server_url, "--", "sh")
    screen.read_until(r"[$#] ")
    assert screen.is_raw()
    screen.type("stty size; echo kind=$TERM; test -t 0 && test -t 2 && echo ter''minal\r")
    screen.read_until(r"31 97\r\n")
    screen.read_until(r"kind=vt100\r\n")
    screen.read_until(r"terminal\r\n")
    screen.type("exit 5\r")
    assert process.wait(WAIT_S) == 5
    assert screen.is_restored()


def test_the_login_shell_is_what_runs_without_a_command(
    cli: Cli, screen: Screen, server_url: str
) -> None:
    process = screen.start(cli, "shell", "--url", server_url)
    screen.read_until(r"[$#>%] ?")
    screen.type("echo $((6*7))\r")
    screen.read_until(r"42")
    screen.type("exit\r")
    assert process.wait(WAIT_S) == 0
    assert screen.is_restored()


def test_the_other_terminal_follows_the_size_of_ours(
    cli: Cli, screen: Screen, server_url: str
) -> None:
    process = screen.start(
        cli,
        "shell",
        "--url",
        server_url,
        "--",
        "sh",
        "-c",
        "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done",
    )
    screen.read_until("ready")
    screen.resize(40, 120)
    screen.read_until(r"40 120\r\n")
    screen.type("\x03")
    assert process.wait(WAIT_S) == 130
    assert screen.is_restored()


def test_keys_go_to_the_command_and_not_to_us(cli: Cli, screen: Screen, server_url: str) -> None:
    script = "trap 'echo inter''rupted' INT; echo ready; read x; read y; echo \"<$x$y>\""
    process = screen.start(cli, "run", "--url", server_url, "--tty", "--", "bash", "-c", script)
    screen.read_until("ready")
    assert screen.is_raw()
    screen.type("\x03")
    screen.read_until("interrupted")
    screen.type("a\rb\r")
    screen.read_until("<.*b>")
    assert process.wait(WAIT_S) == 0
    assert screen.is_restored()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_us_gives_the_terminal_back(
    cli: Cli, screen: Screen, server_url: str, number: signal.Signals
) -> None:
    process = screen.start(cli, "run", "--url", server_url, "-t", "--", "sh", "-c", "echo ok; cat")
    screen.read_until("ok")
    process.send_signal(number)
    assert process.wait(WAIT_S) == 128 + number
    assert screen.is_restored()


def test_a_server_that_dies_gives_the_terminal_back(cli: Cli, screen: Screen) -> None:
    process = screen.start(cli, "run", "-t", "--", "sh", "-c", "echo $PPID; cat")
    server = int(screen.read_until(r"(\d+)\r\n")[1])
    os.kill(server, signal.SIGTERM)
    assert process.wait(60) != 0
    assert screen.is_restored()


def test_a_shell_survives_a_cut_and_shows_it_in_a_line(
    cli: Cli, screen: Screen, proxy: Proxy
) -> None:
    process = screen.start(cli, "shell", "--url", proxy.url, "--", "sh")
    screen.read_until(r"[$#] ")
    screen.type("x=$$; echo rea''dy\r")
    screen.read_until(r"ready\r\n.*[$#] ")  # all that there is, or it would be written later
    proxy.cut()
    screen.read_until(
        r"exec-client: connection lost, resuming … \(Ctrl-C twice gives up\) resumed after "
    )
    screen.read_until(r"[0-9.]+ s, [0-9,]+ bytes recovered\r\n")
    screen.type("test $x = $$ && echo same''shell; exit 6\r")
    screen.read_until("sameshell")
    assert process.wait(WAIT_S) == 6
    assert screen.is_restored()


def test_what_was_missed_does_not_go_into_the_line_about_the_cut(
    cli: Cli, screen: Screen, proxy: Proxy, tmp_path: Path
) -> None:
    script = f"echo ok; until test -e {tmp_path}/cut; do sleep 0.02; done; echo missed; "
    script += f"touch {tmp_path}/written; read x; exit 6"
    process = screen.start(cli, "shell", "--url", proxy.url, "--", "sh", "-c", script)
    screen.read_until(r"ok\r\n")
    proxy.cut(hold=True)
    screen.read_until(r"connection lost, resuming … \(Ctrl-C twice gives up\)")
    (tmp_path / "cut").touch()
    deadline = time.monotonic() + WAIT_S
    while not (tmp_path / "written").exists():
        assert time.monotonic() < deadline
        select.select([], [], [], 0.01)
    proxy.let_through()
    screen.read_until(r"^(\r\nmissed\r\nexec-client:)? resumed after [^\n]* recovered\r\n")
    screen.type("\r")
    assert process.wait(WAIT_S) == 6
    assert screen.is_restored()


def test_a_terminal_that_goes_away_ends_the_command(
    cli: Cli, screen: Screen, server_url: str
) -> None:
    process = screen.start(cli, "run", "--url", server_url, "-t", "--", "sh", "-c", "echo ok; cat")
    screen.read_until("ok")
    os.close(screen.terminal)
    os.close(screen.leader)
    assert process.wait(WAIT_S) == 129


def test_a_terminal_over_there_works_without_one_here(cli: Cli, server_url: str) -> None:
    done = cli.run(
        "run", "--url", server_url, "-t", "--", "sh", "-c", "stty -echo; echo go; cat; exit 6",
        input=b"no end of line",
    )  # fmt: skip
    assert done.returncode == 6
    assert b"no end of line" in done.stdout
    assert done.stderr == b""


def test_without_tty_the_terminal_stays_as_it_is_and_its_end_key_ends_the_input(
    cli: Cli, screen: Screen, server_url: str
) -> None:
    process = screen.start(cli, "run", "--url", server_url, "--", "sh", "-c", "echo ok; cat")
    screen.read_until("ok\r\n")
    assert screen.is_restored()
    screen.type("typed\n")
    screen.read_until("typed\r\ntyped\r\n")
    screen.type("\x04")
    assert process.wait(WAIT_S) == 0


def test_a_terminal_has_a_kind_also_where_nobody_here_has_one(cli: Cli, server_url: str) -> None:
    show = ("sh", "-c", "echo kind=$TERM")
    cli.env.pop("TERM", None)
    for words in (("run", "-t"), ("shell",)):
        done = cli.run(*words, "--url", server_url, "--", *show, input=b"")
        assert b"kind=xterm-256color\r\n" in done.stdout
        done = cli.run(*words, "--url", server_url, "-e", "TERM=ansi", "--", *show, input=b"")
        assert b"kind=ansi\r\n" in done.stdout
    assert cli.run("run", "--url", server_url, "--", *show).stdout == b"kind=\n"


@pytest.mark.parametrize("words", [("run", "-t"), ("shell",)])
def test_ctrl_c_twice_is_the_way_out_while_the_connection_is_away(
    cli: Cli, screen: Screen, proxy: Proxy, words: tuple[str, ...]
) -> None:
    process = screen.start(cli, *words, "--url", proxy.url, "--", "sh", "-c", "echo ok; cat")
    screen.read_until(r"ok\r\n")
    proxy.cut(hold=True)
    screen.read_until(r"connection lost, resuming … \(Ctrl-C twice gives up\)")
    started = time.monotonic()
    screen.type("\x03")
    screen.type("typed")
    screen.type("\x03")
    screen.type("\x03")
    assert process.wait(WAIT_S) == -signal.SIGINT
    assert time.monotonic() - started < 10  # far less than the recovery may take
    screen.read_until(r"\n")
    assert screen.is_restored()
    proxy.let_through()


def test_keys_that_are_typed_while_the_connection_is_away_are_sent_when_it_is_back(
    cli: Cli, screen: Screen, proxy: Proxy
) -> None:
    script = 'echo ok; read one; echo "<$one>"; read two; echo "<$two>"'
    process = screen.start(cli, "run", "-t", "--url", proxy.url, "--", "sh", "-c", script)
    screen.read_until(r"ok\r\n")
    proxy.cut(hold=True)
    screen.read_until("connection lost, resuming …")
    screen.type("a\r")
    screen.type("b\r")
    proxy.let_through()
    screen.read_until(r"<a>\r\n")
    screen.read_until(r"<b>\r\n")
    assert process.wait(WAIT_S) == 0


@pytest.mark.parametrize("shell", [("bash",), ("sh",), ()])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_shell_ends_on_a_signal_that_shells_ignore(
    cli: Cli, screen: Screen, server_url: str, shell: tuple[str, ...], number: signal.Signals
) -> None:
    process = screen.start(cli, "shell", "--url", server_url, "--", *shell)
    screen.read_until(r"[$#] ")
    process.send_signal(number)
    assert process.wait(WAIT_S) == 128 + number
    assert screen.is_restored()


def test_a_shell_ends_with_what_runs_in_it(cli: Cli, screen: Screen, server_url: str) -> None:
    process = screen.start(cli, "shell", "--url", server_url, "--", "bash", "--norc")
    screen.read_until(r"[$#] ")
    screen.type("sh -c 'trap \"\" HUP; echo rea''dy $$; while :; do sleep 0.05; done'\r")
    job = int(screen.read_until(r"ready (\d+)\r\n")[1])
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_S) == 128 + signal.SIGTERM
    assert wait_gone(job)  # though it wanted to outlive its terminal, as with nohup


@pytest.mark.parametrize("shell", [("bash", "-i"), ("sh",), ("python3", "-q"), ()])
def test_a_shell_without_input_ends(cli: Cli, server_url: str, shell: tuple[str, ...]) -> None:
    with open(os.devnull, "rb") as nothing:
        process = cli.popen("shell", "--url", server_url, "--", *shell, stdin=nothing.fileno())
        _, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, err) == (0, b"")


def test_a_shell_runs_what_is_piped_into_it_and_ends(cli: Cli, server_url: str) -> None:
    done = cli.run(
        "shell", "--url", server_url, "--", "bash", "--norc", input=b"echo $((6*7))\nexit 3\n"
    )
    assert done.returncode == 3
    assert b"42\r\n" in done.stdout
