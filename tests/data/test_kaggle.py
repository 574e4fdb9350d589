"""tinynet.data.kaggle: Kaggle's CSV round trip, and the place of each fault."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinynet.data import Split, load
from tinynet.data.kaggle import (
    PIXELS,
    TEST_LABELS,
    TRAIN_COLUMNS,
    read_csv,
    read_submission,
    write_competition,
    write_csv,
    write_submission,
)
from tinynet.errors import DataError

RNG = np.random.default_rng(7)
IMAGES = RNG.integers(0, 256, (3, 28, 28, 1), np.uint8)
LABELS = np.array([7, 0, 9])


@given(
    images=hnp.arrays(np.uint8, st.tuples(st.integers(1, 4), st.just(28), st.just(28), st.just(1))),
    labelled=st.booleans(),
    suffix=st.sampled_from(["", ".gz"]),
)
@settings(max_examples=25, deadline=None)
def test_what_is_written_reads_back(
    tmp_path_factory: pytest.TempPathFactory, images: Any, labelled: bool, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("csv") / f"a.csv{suffix}"
    labels = images[:, 0, 0, 0] % 10 if labelled else None
    write_csv(path, images, labels)
    images_back, labels_back = read_csv(path)
    np.testing.assert_array_equal(images_back, images)
    assert images_back.dtype == np.uint8
    if labels is None:
        assert labels_back is None
    else:
        assert labels_back is not None
        np.testing.assert_array_equal(labels_back, labels)
        assert labels_back.dtype == np.int64


def test_the_layout_is_kaggles(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", IMAGES, LABELS)
    lines = (tmp_path / "train.csv").read_text().split("\n")
    assert lines[0].startswith("label,pixel0,pixel1,")
    assert lines[0].endswith(",pixel783")
    assert lines[1] == "7," + ",".join(map(str, IMAGES[0].ravel()))
    assert lines[-1] == ""
    assert len(lines) == 5


def test_it_reads_every_row_of_a_file_of_kaggles_size(tmp_path: Path) -> None:
    images = np.repeat(RNG.integers(0, 256, (42, 28, 28, 1), np.uint8), 1000, axis=0)
    write_csv(tmp_path / "train.csv", images, np.arange(42_000) % 10)
    back, labels = read_csv(tmp_path / "train.csv")
    assert np.array_equal(back, images)
    assert labels is not None
    assert np.array_equal(labels, np.arange(42_000) % 10)


def table() -> list[list[str]]:
    """A good file as a list of lists of fields, to be spoilt."""
    rows = np.column_stack([LABELS, IMAGES.reshape(3, -1)])
    return [list(TRAIN_COLUMNS), *([str(value) for value in row] for row in rows)]


def write(path: Path, rows: list[list[str]], end: str = "\n") -> Path:
    path.write_bytes(
        end.join(",".join(row) for row in rows).encode("utf-8", "surrogateescape") + end.encode()
    )
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("tail", ["", "\n\n"])
def test_line_ends_and_empty_last_lines(tmp_path: Path, end: str, tail: str) -> None:
    path = write(tmp_path / "a.csv", table(), end)
    path.write_bytes(path.read_bytes() + tail.encode())
    np.testing.assert_array_equal(read_csv(path)[0], IMAGES)


def test_no_line_end_after_the_last_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", table())
    path.write_bytes(path.read_bytes()[:-1])
    np.testing.assert_array_equal(read_csv(path)[1], LABELS)


@pytest.mark.parametrize(
    "value", ["256", "-1", "1.5", "1e2", "", " 7", "7 ", "+7", "0x1", "nan", '"7"', "x", "٣", "9" * 5000]
)
def test_a_wrong_pixel_is_named(tmp_path: Path, value: str) -> None:
    rows = table()
    rows[2][1 + 400] = value
    with pytest.raises(DataError, match=r"a\.csv, line 3, column pixel400") as error:
        read_csv(write(tmp_path / "a.csv", rows))
    assert "whole number 0 to 255" in str(error.value)
    assert repr(value[:40]) in str(error.value)


@pytest.mark.parametrize("value", ["10", "-1", "seven", "255", ""])
def test_a_wrong_label_is_named(tmp_path: Path, value: str) -> None:
    rows = table()
    rows[3][0] = value
    with pytest.raises(DataError, match=r"line 4, column label.*\n.*0 to 9"):
        read_csv(write(tmp_path / "a.csv", rows))


def test_the_first_of_two_faults_is_named(tmp_path: Path) -> None:
    rows = table()
    rows[3][1], rows[2][784] = "x", "999"
    with pytest.raises(DataError, match="line 3, column pixel783"):
        read_csv(write(tmp_path / "a.csv", rows))


def test_too_few_and_too_many_fields(tmp_path: Path) -> None:
    rows = table()
    last = rows[2].pop()
    with pytest.raises(
        DataError, match=r"line 3: wrong number of fields(.|\n)*received: 784, the last is pixel782"
    ):
        read_csv(write(tmp_path / "a.csv", rows))
    rows[2] += [last, "0"]
    with pytest.raises(DataError, match=r"line 3: wrong number of fields(.|\n)*received: 786"):
        read_csv(write(tmp_path / "a.csv", rows))


@pytest.mark.parametrize("zeros", [4, 3000, 5000, 100_000])
def test_a_field_of_zeros(tmp_path: Path, zeros: int) -> None:
    rows = table()
    rows[2][401] = "0" * zeros
    path = write(tmp_path / "a.csv", rows)
    if zeros <= 3000:
        assert read_csv(path)[0][1].ravel()[400] == 0
    else:
        with pytest.raises(DataError, match="line 3 is too long"):
            read_csv(path)


def test_nothing_is_read_beyond_the_first_row_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    rows = write(tmp_path / "a.csv", table()).read_bytes()
    for rest, message in [
        (bytes(1), "line 5, column label: wrong value"),
        (b"1\n", "line 5: wrong number of fields"),
        (b"\n", "line 5, column label: wrong value"),
        (b"0", "line 5 is too long"),
    ]:
        path.write_bytes(gzip.compress(rows + rest * (1 << 24) + b"x", 1))
        tracemalloc.start()
        try:
            with pytest.raises(DataError, match=message):
                read_csv(path)
            assert tracemalloc.get_traced_memory()[1] < 1 << 21
        finally:
            tracemalloc.stop()


def test_too_few_fields_in_every_row(tmp_path: Path) -> None:
    rows = table()
    with pytest.raises(DataError, match="line 2: wrong number of fields"):
        read_csv(write(tmp_path / "a.csv", [rows[0], *(row[:-1] for row in rows[1:])]))


def test_an_empty_line_between_rows(tmp_path: Path) -> None:
    rows = table()
    rows.insert(2, [])
    with pytest.raises(DataError, match="line 3, column label"):
        read_csv(write(tmp_path / "a.csv", rows))


HEADERS = {
    "a column missing": ([c for c in TRAIN_COLUMNS if c != "pixel5"], "field 7", "'pixel5'"),
    "the last missing": (TRAIN_COLUMNS[:-1], "field 785", "'pixel783'"),
    "one too many": ([*TRAIN_COLUMNS, "pixel784"], "field 786", "end of the line"),
    "no label, one too many": ([*PIXELS, "extra"], "field 785", "end of the line"),
    "another name": (["digit", *PIXELS], "field 1 ", "'pixel0'"),
    "quoted": ([f'"{c}"' for c in TRAIN_COLUMNS], "field 1 ", "'label'"),
    "a byte order mark": (["\ufefflabel", *PIXELS], "field 1 ", "'label'"),
    "no header": (["7"] * 785, "field 1 ", "'pixel0'"),
    "not UTF-8": (["label", "pixel\udcff", *PIXELS[1:]], "field 2 ", "'pixel0'"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_wrong_header_is_named(tmp_path: Path, case: str) -> None:
    header, place, expected = HEADERS[case]
    with pytest.raises(DataError, match="line 1: wrong header") as error:
        read_csv(write(tmp_path / "a.csv", [[*header], *table()[1:]]))
    assert place in str(error.value)
    assert expected in str(error.value)


def test_a_field_that_is_not_utf8(tmp_path: Path) -> None:
    rows = table()
    rows[1][3] = "\udcff\udcfe"
    with pytest.raises(DataError, match=r"line 2, column pixel2(.|\n)*ff fe, which are not UTF-8"):
        read_csv(write(tmp_path / "a.csv", rows))


def test_line_ends_of_an_old_macintosh(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 1: wrong header"):
        read_csv(write(tmp_path / "a.csv", table(), "\r"))


@pytest.mark.parametrize(("content", "message"), [(b"", "is empty"), (b"\n\n", "is empty")])
def test_an_empty_file(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_csv(tmp_path / "a.csv")


def test_a_header_alone(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows"):
        read_csv(write(tmp_path / "a.csv", table()[:1]))


def test_a_missing_and_a_damaged_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_csv(tmp_path / "a.csv")
    packed = gzip.compress(write(tmp_path / "a.csv", table()).read_bytes())
    (tmp_path / "a.csv.gz").write_bytes(packed[:-20])
    with pytest.raises(DataError, match="damaged gzip"):
        read_csv(tmp_path / "a.csv.gz")


def test_a_file_beyond_the_cap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinynet.data.kaggle.MAX_BYTES", 1000)
    with pytest.raises(DataError, match="too long"):
        read_csv(write(tmp_path / "a.csv", table()))


def test_a_submission(tmp_path: Path) -> None:
    write_submission(tmp_path / "s.csv", np.array([2, 0, 9]))
    assert (tmp_path / "s.csv").read_bytes() == b"ImageId,Label\n1,2\n2,0\n3,9\n"


BAD_LABELS = [
    np.array([1, 10, 2]),
    np.array([-1, 0, 0]),
    np.array([1.0, 2.0, 3.0]),
    np.array([[1], [2], [3]]),
]


@pytest.mark.parametrize("labels", [*BAD_LABELS, np.array([1, 2])])
def test_labels_that_are_not_digits_are_not_written(tmp_path: Path, labels: Any) -> None:
    with pytest.raises(DataError, match="not digit labels"):
        write_csv(tmp_path / "a.csv", IMAGES, labels)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("labels", BAD_LABELS)
def test_a_submission_of_what_are_not_digits(tmp_path: Path, labels: Any) -> None:
    with pytest.raises(DataError, match="not digit labels"):
        write_submission(tmp_path / "a.csv", labels)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("images", [IMAGES.astype(float), IMAGES[:, 1:], IMAGES[0, 0, 0]])
def test_images_that_do_not_fit_are_not_written(tmp_path: Path, images: Any) -> None:
    with pytest.raises(DataError, match="do not fit"):
        write_csv(tmp_path / "a.csv", images)
    assert not list(tmp_path.iterdir())


def test_a_submission_reads_back(tmp_path: Path) -> None:
    write_submission(tmp_path / "s.csv", np.array([2, 0, 9]))
    assert read_submission(tmp_path / "s.csv", 3).tolist() == [2, 0, 9]
    with pytest.raises(DataError, match=r"then 4 rows(.|\n)*then 3 rows"):
        read_submission(tmp_path / "s.csv", 4)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Id,Label\n1,2\n2,3\n", "the header ImageId,Label"),
        ("ImageId,Label\n1,2\n3,3\n", "line 3: wrong row"),
        ("ImageId,Label\n1,2\n2,10\n", "line 3: wrong row"),
        ("ImageId,Label\n1,2\n2\n", "line 3: wrong row"),
        ("", "the header ImageId,Label"),
    ],
)
def test_what_is_no_submission(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(DataError, match=complaint):
        read_submission(tmp_path / "s.csv", 2)


def test_a_competition_has_every_image_once_and_its_labels_apart(tmp_path: Path) -> None:
    data = load("sample")
    folder = tmp_path / "digits"
    assert write_competition(folder, (data.train, data.test), seed=3) == (3000, 2000)
    train, labels = read_csv(folder / "train.csv")
    test, hidden = read_csv(folder / "test.csv")
    assert hidden is None
    scored = read_submission(folder / TEST_LABELS, 2000)
    assert set(read_submission(folder / "sample_submission.csv", 2000).tolist()) == {0}
    assert labels is not None
    pairs = [
        *((image.tobytes(), label) for image, label in zip(train, labels, strict=True)),
        *((image.tobytes(), label) for image, label in zip(test, scored, strict=True)),
    ]
    parts = (data.train, data.test)
    known = [(i.tobytes(), n) for part in parts for i, n in zip(part.images, part.labels, strict=True)]
    assert sorted(pairs) == sorted(known)
    with pytest.raises(DataError, match=r"has a train\.csv already"):
        write_competition(folder, (data.train, data.test))


def test_a_competition_is_a_function_of_its_seed(tmp_path: Path) -> None:
    data = load("sample")
    part = Split(data.test.images[:50], data.test.labels[:50])
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_competition(tmp_path / name, (part,), seed=seed)
    a, b, c = ((tmp_path / name / "train.csv").read_bytes() for name in "abc")
    assert a == b != c
