"""How Sphinx builds these pages; `scripts/docs` runs it with warnings as errors."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "edgeswap"
author = "the edgeswap authors"
project_copyright = author
try:
    release = metadata.version("edgeswap")
except metadata.PackageNotFoundError:  # a checkout on the path, not installed
    release = ""

extensions = ["myst_parser", "command_line", "error_tree", "offline"]
exclude_patterns = ["_build", "_ext"]
nitpicky = True
smartquotes = False  # a prime in a formula is no quotation mark
pygments_dark_style = "github-dark"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "edgeswap"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sphinx = False
html_copy_source = False
html_use_index = False
html_theme_options = {"navigation_with_keys": True}
