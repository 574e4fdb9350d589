"""What the classical models made of a few hundred rows."""

from __future__ import annotations

from typing import NamedTuple

from tinynet.experiments.classical import Components, Scored


class Fitted(NamedTuple):
    """All results by their names, and the principal components."""

    results: dict[str, Scored]
    components: Components
