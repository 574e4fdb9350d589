"""The engine in JavaScript: what the page of `tinynet export` computes with, in any browser.

`layers.js` has the forward of every layer, `backward.js` what gradients on the pixels need, `model.js` the
net, `explain.js` what it is asked, `strokes.js` how a drawing becomes its input. Each file is a classic
script that adds to one object, `tinynet`: it runs in a page, from file://, in a worker and in node, unbuilt.
"""
