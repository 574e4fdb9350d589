"""The page: a net of your own in one HTML file, where a person draws and sees the answer, and why.

`build` puts it together: page.html, style.css and the scripts of this folder, the engine in JavaScript
(tinynet.kernels.js), and the net's weights.
"""

from tinynet.page.build import build

__all__ = ["build"]
