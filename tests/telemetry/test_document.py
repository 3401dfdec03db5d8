"""The tables of ``docs/observability.md`` say what is exported."""

from __future__ import annotations

import re
from pathlib import Path

from exec_server.telemetry.names import METRICS, SPANS

DOCUMENT = Path(__file__).parents[2] / "docs" / "observability.md"


def test_the_document_has_every_metric_with_its_unit_and_attributes() -> None:
    table = _document().partition("## Metrics")[2].partition("By the client")[0]
    documented: dict[str, tuple[str, str, dict[str, set[str]]]] = {}
    for line in table.splitlines():
        if line.startswith("| `exec_server"):
            name, kind, unit, attributes, _ = (cell.strip() for cell in line[1:-1].split("|"))
            labels = dict(re.findall(r"`(\w+)`: ([^;]*)", attributes))
            values = {label: set(text.split(", ")) for label, text in labels.items()}
            documented[name.strip("`")] = (kind, unit, values)
    methods = {"a method of the protocol", "or unknown"}
    assert documented == {
        metric.name: (
            metric.kind.value,
            metric.unit,
            {label: set(values) or methods for label, values in metric.labels.items()},
        )
        for metric in METRICS.values()
    }


def test_the_document_has_every_span_with_its_attributes() -> None:
    text = _document()
    for span, attributes in SPANS.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{span.value}`"))
        assert set(re.findall(r"`([\w.]+)`", row)) >= set(attributes), span


def _document() -> str:
    return DOCUMENT.read_text(encoding="utf-8")
