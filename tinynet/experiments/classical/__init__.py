"""Classical machine learning on the same rows as our nets: forests, k-means, SVM and more; PCA.

scikit-learn fits them (extra `classical`); nets of finished runs stand in the same table.
"""

from tinynet.experiments.classical.models import (
    Components,
    Scored,
    classifiers,
    compare,
    principal_components,
)
from tinynet.experiments.classical.nets import score_runs
from tinynet.experiments.classical.report import seen_before, write_report
from tinynet.experiments.classical.rows import SEED, Rows, from_dataset, from_kaggle, write_rows

__all__ = [
    "SEED",
    "Components",
    "Rows",
    "Scored",
    "classifiers",
    "compare",
    "from_dataset",
    "from_kaggle",
    "principal_components",
    "score_runs",
    "seen_before",
    "write_report",
    "write_rows",
]
