"""Classical machine learning on the same rows as our nets: random forests, PCA and k-means.

scikit-learn fits them (extra `classical`); nets of finished runs stand in the same table.
"""

from tinynet.experiments.classical.models import Components, Scored, compare, principal_components
from tinynet.experiments.classical.nets import score_runs
from tinynet.experiments.classical.report import seen_before, write_report
from tinynet.experiments.classical.rows import SEED, Rows, from_dataset, from_kaggle, write_rows

__all__ = [
    "SEED",
    "Components",
    "Rows",
    "Scored",
    "compare",
    "from_dataset",
    "from_kaggle",
    "principal_components",
    "score_runs",
    "seen_before",
    "write_report",
    "write_rows",
]
