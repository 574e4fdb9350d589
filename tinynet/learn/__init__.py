"""The course: notebooks from one neuron to 99.7 %, with exercises that the engine itself grades.

    from tinynet.learn import check
    check("06.col2im", col2im)

grades the function and says what is wrong with it. On the command line: `tinynet learn`.
"""

from tinynet.learn.exercise import Exercise, Wrong
from tinynet.learn.ladder import check

__all__ = ["Exercise", "Wrong", "check"]
