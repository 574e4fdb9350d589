"""Plots, as PNG or SVG by the suffix of the file. The same input makes the same bytes."""

from tinynet.plots.evaluation import confusion_matrix, precision_recall, reliability, roc
from tinynet.plots.images import digits
from tinynet.plots.training import learning_curve

__all__ = ["confusion_matrix", "digits", "learning_curve", "precision_recall", "reliability", "roc"]
