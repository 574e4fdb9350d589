"""The course: notebooks from one neuron to 99.7 %, with exercises that the engine itself grades.

    from tinynet.learn import check
    check("06.col2im", col2im)

grades the function and says what is wrong with it. On the command line: `tinynet learn`.

From this import on, NumPy's products run on one thread. The course's are small: several threads would spend
more time waiting for one another than computing.
"""

from tinynet.learn.exercise import Exercise, Wrong
from tinynet.learn.ladder import check
from tinynet.threads import set_blas_threads

__all__ = ["Exercise", "Wrong", "check"]

set_blas_threads(1)
