"""Variables and ``environments.toml`` → which environments there are.

The names in the marks are those of the reference client's tests of the same behaviour.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from exec_client.environment.config import (
    load_snapshot,
    parse_environments_toml,
    snapshot_from_url,
    url_from_environ,
)
from exec_client.environment.snapshot import (
    EnvironmentConfigError,
    EnvironmentSnapshot,
    RemoteEnvironment,
)
from hypothesis import given
from hypothesis import strategies as st

LOCAL_ONLY = EnvironmentSnapshot(include_local=True, default="local")


@pytest.mark.parametrize("value", [None, "", "  \t\n"])
def test_a_missing_or_blank_url_means_this_machine(value: str | None) -> None:
    # default_provider_requests_local_environment_when_url_is_missing, _is_empty
    assert snapshot_from_url(value) == LOCAL_ONLY


@pytest.mark.parametrize("value", ["none", "None", " NONE "])
def test_the_word_none_turns_environments_off(value: str) -> None:
    # default_provider_omits_local_environment_for_none_value
    assert snapshot_from_url(value) == EnvironmentSnapshot()


def test_a_url_gives_one_remote_environment_and_no_local_one() -> None:
    # default_provider_adds_remote_environment_for_websocket_url, _normalizes_exec_server_url
    assert snapshot_from_url("  ws://host:1  ") == EnvironmentSnapshot(
        remotes=(RemoteEnvironment("remote", "ws://host:1"),), default="remote"
    )


def test_a_url_of_a_variable_is_taken_as_it_stands() -> None:
    [remote] = snapshot_from_url("not a url").remotes
    assert remote.url == "not a url"


def test_our_own_variable_goes_before_the_other_one() -> None:
    both = {"EXEC_SERVER_URL": "ws://ours", "CODEX_EXEC_SERVER_URL": "ws://theirs"}
    assert url_from_environ(both) == "ws://ours"
    assert url_from_environ({**both, "EXEC_SERVER_URL": " "}) == "ws://theirs"
    assert url_from_environ({}) is None


def test_a_file_gives_its_environments_beside_the_local_one() -> None:
    # toml_provider_includes_local_and_adds_configured_environments
    snapshot = parse_environments_toml(
        """
        default = " build "
        [[environments]]
        id = "build"
        url = " ws://build:8765/path?query=1 "
        connect_timeout_sec = 2.5
        initialize_timeout_sec = 3
        [[environments]]
        id = "gpu_2-B"
        url = "wss://gpu"
        """
    )
    assert snapshot == EnvironmentSnapshot(
        remotes=(
            RemoteEnvironment("build", "ws://build:8765/path?query=1", 2.5, 3.0),
            RemoteEnvironment("gpu_2-B", "wss://gpu"),
        ),
        default="build",
        include_local=True,
    )
    snapshot.validate()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", LOCAL_ONLY),  # default_omitted_selects_local
        ('default = "none"', EnvironmentSnapshot(include_local=True)),  # _none_disables_default
        ('default = "NONE"', EnvironmentSnapshot(include_local=True)),
        ('default = "local"', LOCAL_ONLY),
        ("include_local = false", EnvironmentSnapshot()),
        # toml_provider_without_local_and_default_omitted_disables_default
    ],
)
def test_the_default_of_a_file(text: str, expected: EnvironmentSnapshot) -> None:
    assert parse_environments_toml(text) == expected


ENTRY = 'id = "a"\nurl = "ws://h"\n'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('default = ""', "default must be"),
        ("default = 1", "default must be"),
        ('default = "other"', "`other`, which is not configured"),
        ('include_local = false\ndefault = "local"', "include_local is false"),
        ('include_local = "yes"', "true or false"),
        ("environments = 3", "tables"),
        ("environments = [1]", "tables"),
        ("unknown = 1", "unknown keys: unknown"),
        (f"[[environments]]\n{ENTRY}color = 1", "unknown keys: color"),
        ("[[environments", "not valid TOML"),
        ('[[environments]]\nurl = "ws://h"', "needs an id"),
        ('[[environments]]\nid = ""\nurl = "ws://h"', "needs an id"),
        ('[[environments]]\nid = "local"\nurl = "ws://h"', "reserved"),
        ('[[environments]]\nid = "None"\nurl = "ws://h"', "reserved"),
        ('[[environments]]\nid = " a"\nurl = "ws://h"', "space"),
        ('[[environments]]\nid = "a b"\nurl = "ws://h"', "letters"),
        ('[[environments]]\nid = "ä"\nurl = "ws://h"', "letters"),
        (f'[[environments]]\nid = "{"a" * 65}"\nurl = "ws://h"', "longer than 64"),
        ('[[environments]]\nid = "a"', "needs a url"),
        (f'[[environments]]\n{ENTRY}program = "x"', "needs a url"),
        ('[[environments]]\nid = "a"\nurl = " "', "not blank"),
        ('[[environments]]\nid = "a"\nurl = 5', "must be text"),
        ('[[environments]]\nid = "a"\nurl = "http://h"', "ws:// or wss://"),
        ('[[environments]]\nid = "a"\nurl = "ws://"', "host"),
        ('[[environments]]\nid = "a"\nurl = "ws://[::1"', "malformed"),
        ('[[environments]]\nid = "a"\nurl = "ws://h:port"', "malformed"),
        ('[[environments]]\nid = "a"\nurl = "ws://h h"', "host"),
        (f"[[environments]]\n{ENTRY}args = []", "args means nothing"),
        (f"[[environments]]\n{ENTRY}env = {{}}", "env means nothing"),
        (f'[[environments]]\n{ENTRY}cwd = "x"', "cwd means nothing"),
        (f"[[environments]]\n{ENTRY}connect_timeout_sec = -1", "0 or more"),
        (f"[[environments]]\n{ENTRY}connect_timeout_sec = true", "0 or more"),
        (f"[[environments]]\n{ENTRY}initialize_timeout_sec = nan", "0 or more"),
        (f"[[environments]]\n{ENTRY}initialize_timeout_sec = inf", "0 or more"),
        (f"[[environments]]\n{ENTRY}[[environments]]\n{ENTRY}", "configured twice"),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused_with_its_reason(text: str, complaint: str) -> None:
    # toml_provider_rejects_invalid_environments, _duplicate_ids, _overlong_id, _unknown_default,
    # _malformed_websocket_url, _local_default_when_local_is_disabled; _rejects_unknown_fields
    with pytest.raises(EnvironmentConfigError, match=complaint):
        parse_environments_toml(text)


def test_an_entry_with_a_program_is_refused_and_told_what_to_do() -> None:
    with pytest.raises(EnvironmentConfigError, match=r"no stdio transport.*run `exec-server`"):
        parse_environments_toml('[[environments]]\nid = "a"\nprogram = "exec-server"')


def test_an_id_of_64_characters_is_long_enough() -> None:
    [remote] = parse_environments_toml(
        f'[[environments]]\nid = "{"a" * 64}"\nurl = "ws://h"'
    ).remotes
    assert len(remote.id) == 64


def test_a_file_wins_over_the_variables(tmp_path: Path) -> None:
    # load_environments_toml_reads_root_environment_list,
    # environment_provider_from_codex_home_uses_present_environments_file
    (tmp_path / "environments.toml").write_text(f"[[environments]]\n{ENTRY}", encoding="utf-8")
    environ = {"CODEX_HOME": str(tmp_path), "EXEC_SERVER_URL": "ws://other"}
    assert [remote.id for remote in load_snapshot(environ).remotes] == ["a"]
    assert load_snapshot({}, config_dir=tmp_path) == load_snapshot(environ)


def test_without_a_file_the_variables_decide(tmp_path: Path) -> None:
    # environment_provider_from_codex_home_falls_back_when_file_is_missing
    environ = {"CODEX_HOME": str(tmp_path / "nowhere"), "CODEX_EXEC_SERVER_URL": "ws://h"}
    assert load_snapshot(environ) == snapshot_from_url("ws://h")


def test_a_file_that_cannot_be_read_is_an_error_and_not_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / "environments.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(EnvironmentConfigError, match="cannot read"):
        load_snapshot({}, config_dir=tmp_path)


@given(st.text())
def test_any_text_gives_a_valid_snapshot_or_the_one_error(text: str) -> None:
    try:
        snapshot = parse_environments_toml(text)
    except EnvironmentConfigError:
        return
    snapshot.validate()


@pytest.mark.parametrize(
    ("snapshot", "complaint"),
    [
        (EnvironmentSnapshot(remotes=(RemoteEnvironment("", "ws://h"),)), "empty"),
        (EnvironmentSnapshot(remotes=(RemoteEnvironment("local", "ws://h"),)), "reserved"),
        (EnvironmentSnapshot(remotes=(RemoteEnvironment("a", "u"),) * 2), "twice"),
        (EnvironmentSnapshot(remotes=(RemoteEnvironment("a", " "),)), "no url"),
        (EnvironmentSnapshot(default="a"), "unknown"),
        (EnvironmentSnapshot(default="local"), "unknown"),
    ],
)
def test_a_provider_cannot_break_the_rules_of_ids(
    snapshot: EnvironmentSnapshot, complaint: str
) -> None:
    # environment_manager_rejects_empty_environment_id, _rejects_provider_supplied_local_
    # environment, _rejects_unknown_provider_default, _snapshot_without_local_environment_
    # disables_local_default
    with pytest.raises(EnvironmentConfigError, match=complaint):
        snapshot.validate()


def test_a_token_goes_with_its_environment_and_is_not_shown() -> None:
    text = """
        [[environments]]
        id = "build"
        url = "wss://build"
        auth_bearer_token = " s3cret "
        [[environments]]
        id = "other"
        url = "ws://other"
    """
    build, other = parse_environments_toml(text).remotes
    assert (build.auth_bearer_token, other.auth_bearer_token) == ("s3cret", None)
    assert "s3cret" not in repr(build)
    environ = {"EXEC_SERVER_URL": "wss://h", "EXEC_SERVER_TOKEN": "s3cret\n"}
    [remote] = load_snapshot(environ, config_dir="/nowhere").remotes
    assert remote.auth_bearer_token == "s3cret"
    local = load_snapshot({"EXEC_SERVER_TOKEN": "s3cret"}, config_dir="/nowhere")
    assert not local.remotes


@pytest.mark.parametrize("value", ['""', '" "', "5", '"two words"', '"tökén"'])
def test_a_token_that_no_header_can_carry_is_refused(value: str) -> None:
    text = f'[[environments]]\nid = "a"\nurl = "ws://h"\nauth_bearer_token = {value}'
    with pytest.raises(EnvironmentConfigError, match="auth_bearer_token must be text") as caught:
        parse_environments_toml(text)
    assert value.strip('"') not in str(caught.value) or not value.strip('" ')
