"""`python -m edgeswap_runtime` is `edgeswap`."""

from __future__ import annotations

import sys

from edgeswap_runtime.cli import main

sys.exit(main())
