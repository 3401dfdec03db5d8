"""``python -m exec_server``."""

from __future__ import annotations

import sys

from .start import main

sys.exit(main())
