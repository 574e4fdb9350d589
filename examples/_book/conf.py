"""The book: `sphinx-build -W -n -b html -c examples/_book examples build/book`, without a network.

Notebooks are shown as they are stored; the tests run them. Pages of codes, commands and names are written by
`pages.py` beside this file into `generated/` before each build.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tinynet.version import VERSION

project = "tinynet"
author = "The tinynet authors"
copyright = author
version = release = VERSION
language = "en"
smartquotes = False  # else --option becomes –option

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx_click",
    "_book.accessible",
    "_book.docstrings",
    "_book.links",
    "_book.mathml",
    "_book.pages",
]
include_patterns = [
    "index.md",
    "[0-9][0-9]-*.ipynb",
    "manual.md",
    "page.md",
    "microcontrollers.md",
    "features.md",
    "results.md",
    "gallery.md",
    "deploy/README.md",
    "derivations/*.md",
    "reference/*.md",
    "generated/**",
]

nb_execution_mode = "off"
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # by default, scripts from outside
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3

autodoc_typehints_format = "short"
autodoc_type_aliases = {"Array": "Array", "Shape": "Shape"}
autodoc_default_options = {"exclude-members": "check_settings"}
autodoc_member_order = "bysource"
nitpick_ignore_regex = [
    # types in signatures: of other libraries, and those of ours that no user names
    ("py:class", r"(tinynet|np|numpy|collections|contextlib|pathlib|typing)\..*"),
    ("py:class", r"[A-Z]\w*"),
]

html_theme = "furo"
html_title = f"tinynet {VERSION}"
html_static_path = ["static"]
html_css_files = ["book.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
