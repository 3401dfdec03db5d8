"""What goes together in authentication and TLS, and what a file may look like."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from exec_server.access.authorization import UNNAMED, Denial
from exec_server.access.gate import Credentials, Gate, load_credentials
from exec_server.access.private_files import read_key_file, read_secret_file
from exec_server.access.settings import AccessSettings
from exec_server.access.tls import make_tls_context
from exec_server.config import ServerConfig
from exec_server.errors import ConfigError

DIGEST = "a" * 64


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"token_file": "f"}, "mean nothing without --ws-auth"),
        ({"max_clock_skew": 1}, "--ws-max-clock-skew-seconds: mean nothing"),
        ({"auth": "capability-token"}, "one of them"),
        ({"auth": "capability-token", "token_file": "f", "token_sha256": DIGEST}, "one of them"),
        ({"auth": "capability-token", "token_sha256": "a" * 63}, "64 hex digits"),
        ({"auth": "capability-token", "token_sha256": "é" * 64}, "64 hex digits"),
        ({"auth": "capability-token", "token_sha256": DIGEST + "\n"}, "64 hex digits"),
        ({"auth": "capability-token", "token_file": "f", "issuer": "i"}, "--ws-issuer: need"),
        ({"auth": "signed-bearer-token"}, "needs one of --ws-shared-secret-file"),
        ({"auth": "signed-bearer-token", "token_file": "f"}, "--ws-token-file: need"),
        (
            {"auth": "signed-bearer-token", "shared_secret_file": "f", "jwks_file": "g"},
            "needs one of",
        ),
        (
            {"auth": "signed-bearer-token", "jwks_file": "g", "max_clock_skew": -1},
            "must be 0 or more",
        ),
        (
            {"auth": "signed-bearer-token", "jwks_file": "g", "max_clock_skew": 2**63},
            "fit in 64 bits",
        ),
        ({"auth": "nonsense"}, "--ws-auth is one of"),
        ({"tls_cert": "f"}, "give both"),
        ({"tls_key": "f"}, "give both"),
        ({"tls_client_ca": "f"}, "needs --tls-cert"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    settings: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        AccessSettings(**settings)


@pytest.mark.parametrize(
    ("access", "is_open"),
    [
        (AccessSettings(), True),
        (AccessSettings(tls_cert="c", tls_key="k"), True),
        (AccessSettings(auth="capability-token", token_sha256=DIGEST), False),
        (AccessSettings(tls_cert="c", tls_key="k", tls_client_ca="a"), False),
    ],
)
def test_an_address_that_others_reach_needs_clients_to_prove_themselves(
    access: AccessSettings, is_open: bool
) -> None:
    ServerConfig(listen="ws://0.0.0.0:0", access=access, allow_unauthenticated=True)
    ServerConfig(access=access)
    if is_open:
        with pytest.raises(ConfigError, match="without authentication"):
            ServerConfig(listen="ws://0.0.0.0:0", access=access)
    else:
        ServerConfig(listen="ws://0.0.0.0:0", access=access)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that anybody may enter, as are those above it."""
    for path in (tmp_path, *tmp_path.parents):
        if os.stat(path).st_uid == os.geteuid() and not os.stat(path).st_mode & 0o011:
            os.chmod(path, 0o711)
    return tmp_path


def _file(folder: Path, mode: int, content: bytes = b" secret\n") -> str:
    path = folder / "file"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_secret_that_others_can_read_is_refused_unless_allowed(folder: Path, mode: int) -> None:
    path = _file(folder, mode)
    with pytest.raises(ConfigError, match=r"--option: other users may read.*chmod 600"):
        read_secret_file("--option", path, allow_insecure=False)
    assert read_secret_file("--option", path, allow_insecure=True) == b"secret"


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_secret_of_ones_own_is_read(folder: Path, mode: int) -> None:
    path = _file(folder, mode)
    assert read_secret_file("--option", path, allow_insecure=False) == b"secret"
    link = folder / "link"
    link.symlink_to(path)
    assert read_secret_file("--option", str(link), allow_insecure=False) == b"secret"


def test_a_key_may_be_read_by_anybody_and_changed_by_nobody(folder: Path) -> None:
    assert read_key_file("--option", _file(folder, 0o644), allow_insecure=False) == b"secret"
    with pytest.raises(ConfigError, match=r"may change the file.*chmod go-w"):
        read_key_file("--option", _file(folder, 0o664), allow_insecure=False)


def test_a_folder_that_nobody_else_may_enter_protects_what_is_in_it(folder: Path) -> None:
    (folder / "private").mkdir(mode=0o700)
    path = _file(folder / "private", 0o644)
    assert read_secret_file("--option", path, allow_insecure=False) == b"secret"
    (folder / "private").chmod(0o701)
    with pytest.raises(ConfigError, match="other users"):
        read_secret_file("--option", path, allow_insecure=False)


def test_what_is_no_secret_is_refused_without_its_path(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "huge").write_bytes(b"x" * (1024 * 1024 + 1))
    (tmp_path / "blank").write_bytes(b" \n\t ")
    for name, text in [
        ("fifo", "not a regular file"),
        (".", "not a regular file"),
        ("huge", "larger than a mebibyte"),
        ("blank", "is empty"),
        ("missing", "No such file"),
        ("nul\0", "not a path"),
    ]:
        with pytest.raises(ConfigError, match=text) as caught:
            read_secret_file("--option", str(tmp_path / name), allow_insecure=True)
        assert str(tmp_path) not in str(caught.value)


def test_a_token_that_could_not_travel_in_a_header_is_refused(tmp_path: Path) -> None:
    for content in ("töken", "two words", "a\nb", "a\x7f\x00b"):
        (tmp_path / "token").write_text(content)
        settings = AccessSettings(auth="capability-token", token_file=str(tmp_path / "token"))
        with pytest.raises(ConfigError, match="ASCII without spaces"):
            load_credentials(settings)


@pytest.mark.parametrize(
    "settings",
    [
        AccessSettings(auth="capability-token", token_sha256=DIGEST),
        AccessSettings(auth="signed-bearer-token", jwks_file="f"),
    ],
)
def test_a_gate_without_credentials_lets_nobody_in(settings: AccessSettings) -> None:
    gate = Gate(settings)
    assert isinstance(gate.examine(["Bearer x"]), Denial)
    gate.use(Credentials())
    assert isinstance(gate.examine(["Bearer x"]), Denial)
    assert isinstance(gate.examine([]), Denial)


def test_a_gate_lets_in_who_shows_the_token_and_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    settings = AccessSettings(
        auth="capability-token",
        token_file=str(tmp_path / "token"),
        allow_insecure_permissions=True,
    )
    gate = Gate(settings)
    gate.use(load_credentials(settings))
    assert gate.examine(["Bearer s3cret"]) == UNNAMED
    for shown in ([], ["s3cret"], ["Bearer other"], ["Bearer other", "Bearer s3cret"]):
        assert isinstance(gate.examine(shown), Denial)


def test_secrets_are_not_in_the_repr(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret")
    settings = AccessSettings(auth="capability-token", token_file=str(tmp_path / "token"))
    assert "s3cret" not in repr(load_credentials(settings))


def test_a_key_of_a_certificate_is_as_secret_as_a_token(folder: Path) -> None:
    leaf = trustme.CA().issue_cert("127.0.0.1")
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(leaf.cert_chain_pems[0].bytes())
    key.write_bytes(leaf.private_key_pem.bytes())

    def context(*, insecure: bool = False) -> ssl.SSLContext | None:
        return make_tls_context(
            AccessSettings(
                tls_cert=str(cert), tls_key=str(key), allow_insecure_permissions=insecure
            )
        )

    for cert_mode, key_mode, text in [
        (0o644, 0o640, "--tls-key: other users may read"),
        (0o666, 0o600, "--tls-cert: other users may change"),
    ]:
        cert.chmod(cert_mode)
        key.chmod(key_mode)
        with pytest.raises(ConfigError, match=text):
            context()
        assert context(insecure=True) is not None
    cert.chmod(0o644)
    assert context() is not None
