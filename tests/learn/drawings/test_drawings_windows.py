"""The pictures of windows show the numbers that the engine computes."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinynet.backends.numpy_ import NumpyBackend
from tinynet.geometry import Window
from tinynet.learn.drawings import windows as draw
from tinynet.types import Array

OPS = NumpyBackend()
IMAGE = np.arange(25.0).reshape(5, 5) % 7


def numbers(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts if "←" not in text.get_text()]


def texts(values: Array, digits: int = 0) -> list[str]:
    return [f"{value:.{digits}f}" for value in values.ravel()]


def last(figure: Figure) -> list[str]:
    """The numbers of the axes drawn last."""
    return numbers(figure.axes[-1])


def test_convolution_ends_with_the_whole_output() -> None:
    kernel = np.arange(9.0).reshape(3, 3) - 4.0
    for stride, padding in ((1, 0), (2, 1)):
        window = Window((3, 3), (stride, stride), ((padding, padding), (padding, padding)))
        y, _ = OPS.conv2d(IMAGE[None, :, :, None], kernel[:, :, None, None], np.zeros(1), window)
        figure = draw.convolution(IMAGE, kernel, [(0, 0), (2, 2)], stride, padding)
        assert last(figure) == texts(y)


def test_im2col_shows_cols() -> None:
    figure = draw.im2col(IMAGE, (2, 3), [(0, 0), (1, 2)])
    assert last(figure) == texts(OPS.im2col(IMAGE[None, :, :, None], Window((2, 3))))


def test_col2im_ends_with_the_sum_of_all_windows() -> None:
    cols = np.arange(81.0).reshape(9, 9) % 5
    figure = draw.col2im(cols, (5, 5), (3, 3), [0, 8])
    assert last(figure) == texts(OPS.col2im(cols, (1, 5, 5, 1), Window((3, 3))))


def test_pooling_ends_with_the_gradient_of_the_image() -> None:
    x = np.random.default_rng(0).permutation(25).reshape(5, 5).astype(float)
    dy, window = np.arange(1.0, 5.0).reshape(2, 2), Window((3, 3), (2, 2))
    _, saved = OPS.maxpool(x[None, :, :, None], window)
    dx = OPS.maxpool_backward(dy[None, :, :, None], saved, window)
    assert last(draw.pooling(x, 3, 2, "max", dy)) == texts(dx)
    dx = OPS.avgpool_backward(dy[None, :, :, None], (1, 5, 5, 1), window)
    assert last(draw.pooling(x, 3, 2, "mean", dy)) == texts(dx, 2)


def test_the_matrix_of_copies_and_its_transpose() -> None:
    S = np.eye(25)[OPS.im2col(np.arange(25).reshape(1, 5, 5, 1), Window((3, 3))).ravel()]
    left, right = draw.copies(S, (5, 5), (9, 9)).axes
    places = [np.asarray(axes.collections[0].get_offsets()) for axes in (left, right)]
    assert len(places[0]) == 81
    assert {tuple(each) for each in places[0]} == {tuple(each[::-1]) for each in places[1]}


def test_pictures_have_titles_and_frames() -> None:
    figure = draw.pictures([IMAGE] * 3, ["a", "b", "c"], columns=2)
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "c", ""]
    assert [axes.axison for axes in figure.axes] == [True, True, True, False]
