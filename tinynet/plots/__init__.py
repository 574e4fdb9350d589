"""Plots, as PNG or SVG by the suffix of the file. The same input makes the same bytes."""

from tinynet.plots.architecture import architecture
from tinynet.plots.disagreement import disagreement
from tinynet.plots.evaluation import confusion_matrix, precision_recall, reliability, roc
from tinynet.plots.explanation import activations, filters, maps
from tinynet.plots.exploration import correlation, explained_variance, labels, pixels
from tinynet.plots.health import health
from tinynet.plots.images import digits
from tinynet.plots.rates import rate_curve
from tinynet.plots.reading import readings
from tinynet.plots.search import search_history, search_settings
from tinynet.plots.training import learning_curve

__all__ = [
    "activations",
    "architecture",
    "confusion_matrix",
    "correlation",
    "digits",
    "disagreement",
    "explained_variance",
    "filters",
    "health",
    "labels",
    "learning_curve",
    "maps",
    "pixels",
    "precision_recall",
    "rate_curve",
    "readings",
    "reliability",
    "roc",
    "search_history",
    "search_settings",
]
