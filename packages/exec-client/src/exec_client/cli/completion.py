"""``exec-client completion``: what a shell needs to complete our command lines."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from typing import Final

from .exit_codes import CommandError

__all__ = ["SUMMARY", "configure", "execute"]

SUMMARY: Final = "print completions for a shell"

_SHELLS: Final = ("bash", "zsh", "fish")

_DESCRIPTION: Final = """\
Print a script with which a shell completes commands and options of exec-client.
Needs the package's extra: pip install 'exec-client[cli]'.
"""

_EPILOG: Final = """\
examples:
  exec-client completion bash > ~/.local/share/bash-completion/completions/exec-client
  exec-client completion zsh > ~/.zfunc/_exec-client        # with ~/.zfunc in $fpath
  exec-client completion fish > ~/.config/fish/completions/exec-client.fish
"""


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of ``completion``."""
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    parser.add_argument("shell", choices=_SHELLS)


def execute(arguments: Namespace) -> int:
    """Print the script."""
    try:
        import shtab
    except ModuleNotFoundError as error:
        raise CommandError("completions need: pip install 'exec-client[cli]'") from error
    from .program import whole_parser

    sys.stdout.write(shtab.complete(whole_parser(), arguments.shell))
    return 0
