"""Run the `edgeswap` command by `python -m edgeswap_runtime`."""

from __future__ import annotations

import sys

from edgeswap_runtime.cli import main

sys.exit(main())
