"""Check that the docstring of a module or a class names the thing, instead of asking after it.

"What may wait in a queue" leaves the reader, and a search, without the word; "Limit of a queue"
does not. Functions are not looked at: "Whether it has ended" is how a predicate is described.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
QUESTION = re.compile(r"(What|Who|Whose|Whom|How|Whether|Where|Which|When|Why)\b")


def questions(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring of a module or a class that begins with a question."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef):
            text = ast.get_docstring(node)
            if text is not None and QUESTION.match(text):
                yield node.body[0].lineno, text.splitlines()[0]


def main(folders: list[str]) -> int:
    """Print every such docstring of the packages, or of the folders that are given."""
    status = 0
    sources = [Path(f) for f in folders] or sorted(ROOT.glob("packages/*/src"))
    for file in sorted(file for folder in sources for file in folder.rglob("*.py")):
        for line, text in questions(file.read_text(encoding="utf-8")):
            print(f"{file}:{line}: {text!r}: begin with the noun that it is")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
