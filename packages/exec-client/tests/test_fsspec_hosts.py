"""Which executor an fsspec filesystem is of: one that is named, never this machine by chance."""

from __future__ import annotations

import pytest
from exec_client.environment import EnvironmentConfigError
from exec_client.environment.config import URL_VARIABLES
from exec_client.fsspec import ExecFileSystem


def test_without_a_name_there_is_no_filesystem(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in URL_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(EnvironmentConfigError, match="exec://local/"):
        ExecFileSystem(skip_instance_cache=True)
    monkeypatch.setenv(URL_VARIABLES[0], "none")
    with pytest.raises(EnvironmentConfigError, match="no executor"):
        ExecFileSystem(skip_instance_cache=True)
