"""The two programs together: a server that asks, and a client that answers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from exec_client import Environment
from exec_client.environment import EnvironmentManager, load_snapshot
from exec_testkit.server import ServerProcess, program

from .conftest import Certificates

pytestmark = [pytest.mark.process, pytest.mark.slow]

TOKEN = "cap-7f3a9d2e51b84c60"


@pytest.fixture
def token_file(certificates: Certificates) -> Path:
    path = certificates.folder / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def server(certificates: Certificates, token_file: Path) -> Iterator[ServerProcess]:
    with ServerProcess(
        *certificates.server("127.0.0.1"),
        *("--ws-auth", "capability-token", "--ws-token-file", str(token_file)),
    ) as process:
        yield process


def run(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``exec-client run WORDS -- echo fine``."""
    inherited = {k: v for k, v in os.environ.items() if not k.endswith("EXEC_SERVER_URL")}
    command = [program("exec-client"), "run", *map(str, words), "--", "echo", "fine"]
    return subprocess.run(
        command,
        env={**inherited, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_token_comes_from_a_file_or_a_variable(
    server: ServerProcess, certificates: Certificates, token_file: Path
) -> None:
    trust = ("--cacert", certificates.ca_file)
    for done in (
        run("--url", server.url, *trust, "--token-file", token_file),
        run(*trust, EXEC_SERVER_URL=server.url, EXEC_SERVER_TOKEN=TOKEN),
        run(*trust, "--token-file", token_file, EXEC_SERVER_URL=server.url, EXEC_SERVER_TOKEN="x"),
    ):
        assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")


def test_a_refusal_is_one_line_and_says_why(
    server: ServerProcess, certificates: Certificates, token_file: Path
) -> None:
    trust = ("--url", server.url, "--cacert", certificates.ca_file)
    for done, text in [
        (run(*trust), "refused the connection with HTTP 401: no bearer token"),
        (run(*trust, EXEC_SERVER_TOKEN="s3cret"), "HTTP 401: wrong bearer token"),
        (run("--url", server.url, "--token-file", token_file), "is not to be trusted: "),
        (run(*trust, "--token-file", "/nowhere"), "cannot read the token file /nowhere: No such"),
        (run(*trust, "--cert", "/nowhere"), "cannot use the client certificate /nowhere: No such"),
        (run("--token-file", token_file), "need a URL to go with"),
        (run("--url", "ws://127.0.0.1:1", *trust[2:]), "need a wss:// URL"),
        (
            run("--url", "ws://192.0.2.1:1", "--token-file", token_file),
            "refusing to send a token to 192.0.2.1 over ws://",
        ),
    ]:
        assert (done.returncode, done.stdout) == (125, ""), done.stderr
        assert done.stderr.startswith("exec-client: ")
        assert text in done.stderr
        assert done.stderr.count("\n") == 1
        assert TOKEN not in done.stderr
        assert "s3cret" not in done.stderr


def test_a_token_file_that_others_can_read_is_a_warning(
    server: ServerProcess, certificates: Certificates, token_file: Path
) -> None:
    token_file.chmod(0o644)
    words = ("--url", server.url, "--cacert", certificates.ca_file, "--token-file", token_file)
    done = run(*words)
    assert (done.returncode, done.stdout) == (0, "fine\n")
    assert done.stderr == "exec-client: warning: other users may read the token file\n"
    assert run(*words, "--quiet").stderr == ""


def test_a_client_certificate_is_shown(certificates: Certificates) -> None:
    arguments = (*certificates.server(), "--tls-client-ca", certificates.ca_file)
    with ServerProcess(*arguments) as server:
        trust = ("--url", server.url, "--cacert", certificates.ca_file)
        for signer, code in [(certificates.ca, 0), (trustme.CA(), 125), (None, 125)]:
            words: tuple[str, ...] = ()
            if signer is not None:
                options = certificates.write(signer.issue_cert("me"), "client")
                words = ("--cert", options[1], "--key", options[3])
            done = run(*trust, *words)
            assert done.returncode == code, done.stderr
            assert code == 0 or "no TLS with wss://" in done.stderr


def test_a_server_of_ones_own_needs_none_of_it() -> None:
    done = run(EXEC_SERVER_TOKEN="for-somebody-else")
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")


async def test_an_environment_has_a_token_of_its_own(tmp_path: Path, token_file: Path) -> None:
    arguments = ("--ws-auth", "capability-token", "--ws-token-file", str(token_file))
    with ServerProcess(*arguments) as server:
        (tmp_path / "environments.toml").write_text(
            f'[[environments]]\nid = "build"\nurl = "{server.url}"\nauth_bearer_token = "{TOKEN}"\n'
        )
        snapshot = load_snapshot({}, config_dir=tmp_path)
        async with EnvironmentManager(snapshot) as environments:
            build = environments.get("build")
            assert build is not None
            assert (await build.run(["echo", "fine"])).stdout == b"fine\n"
        async with Environment.remote(server.url) as stranger:
            assert (await stranger.status()).state == "pending"
            stranger.start_connecting()
            with pytest.raises(Exception, match="HTTP 401"):
                await stranger.wait_until_ready()


# --------------------------------------------------------------------------- the server's own


def test_the_help_explains_itself() -> None:
    done = subprocess.run(
        [program("exec-server"), "--help"], capture_output=True, text=True, timeout=30, check=True
    )
    for group in ("authentication:", "TLS:", "sessions and output:", "limits:"):
        assert f"\n{group}\n" in done.stdout
    for default in ("4096", "512", "30", "1024", "512MiB"):
        assert f"default: {default})" in done.stdout.replace("\n", " ").replace("  ", "")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--listen", "ws://0.0.0.0:0"], 1, "without authentication"),
        (["--listen", "ws://[::]:0", "--tls-cert", "x", "--tls-key", "y"], 1, "without authent"),
        (["--ws-auth", "capability-token"], 1, "needs --ws-token-file or --ws-token-sha256"),
        (["--ws-auth", "nonsense"], 2, "invalid choice"),
        (["--ws-token-file", "x"], 1, "mean nothing without --ws-auth"),
        (["--max-connections", "0"], 2, "not a number from 1 on"),
        (["--max-sessions", "-1"], 2, "not a number from 1 on"),
        (["--max-inbound-bytes", "0"], 2, "more than 0"),
        (["--initialize-timeout-seconds", "nan"], 2, "not a duration"),
    ],
)
def test_a_server_that_would_not_be_what_was_meant_does_not_start(
    arguments: list[str], code: int, text: str
) -> None:
    done = subprocess.run(
        [program("exec-server"), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr


def test_a_server_that_others_reach_warns_of_tokens_in_the_clear(token_file: Path) -> None:
    arguments = ("--ws-auth", "capability-token", "--ws-token-file", str(token_file))
    with ServerProcess(
        *arguments, command=[program("exec-server"), "--listen", "ws://0.0.0.0:0"]
    ) as server:
        assert server.url.startswith("ws://0.0.0.0:")
        assert "cross the network in the clear" in server.log()
