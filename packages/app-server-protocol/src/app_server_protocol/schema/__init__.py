"""The JSON Schema of this API, as fixtures that can fail.

::

    python -m app_server_protocol.schema write      rewrite the fixtures from the types
    python -m app_server_protocol.schema check      fixtures against types; works offline
    python -m app_server_protocol.schema compare    fixtures against a real binary

``check`` guards edits: types and fixtures must be changed together, and a diff shows both.
``compare`` guards against the wire moving. The types come from a binary in the first place
(``tools/generate.py``), so neither would notice if both were wrong in the same way; the
captured messages among the tests are there for that.
"""

from __future__ import annotations

from ._cli import main
from ._export import export

__all__ = ["export", "main"]
