"""Fetching the MNIST files from public mirrors into the user's cache, verified before they are named."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

from tinynet.data.files import atomic_write
from tinynet.data.idx import payload_sha256
from tinynet.errors import DataError

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Called as on_progress(file, bytes received, bytes in all or None when the mirror does not say)."""

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

# Of the decompressed files: a gzip file's own hash changes with whoever packed it.
PAYLOAD_SHA256: dict[str, dict[str, str]] = {
    "mnist": {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}

PAYLOAD_BYTES = {
    "train-images-idx3-ubyte": 16 + 60_000 * 28 * 28,
    "train-labels-idx1-ubyte": 8 + 60_000,
    "t10k-images-idx3-ubyte": 16 + 10_000 * 28 * 28,
    "t10k-labels-idx1-ubyte": 8 + 10_000,
}
"""Of the decompressed files, the same for both data sets."""

MIRRORS: dict[str, tuple[str, ...]] = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion-mnist": ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
}

TIMEOUT = (5.0, 30.0)
"""Seconds to wait for a connection, and for the next bytes."""


def cache_dir() -> Path:
    """The folder of this user's downloads: $TINYNET_CACHE, or else the platform's cache folder."""
    if folder := os.environ.get("TINYNET_CACHE"):
        return Path(folder)
    import platformdirs

    return platformdirs.user_cache_path("tinynet")


def find_file(folder: Path, stem: str) -> Path | None:
    """The file of that name in the folder, gzipped or plain, or None."""
    return next((path for path in (folder / f"{stem}.gz", folder / stem) if path.exists()), None)


def is_genuine(name: str, path: Path) -> bool:
    """Whether a file holds the known bytes of its namesake in data set `name`; False for a damaged one."""
    try:
        stem = path.name.removesuffix(".gz")
        return payload_sha256(path, PAYLOAD_BYTES[stem]) == PAYLOAD_SHA256[name][stem]
    except DataError:
        return False


def download(
    name: str,
    folder: Path,
    *,
    replace: bool = False,
    mirrors: Sequence[str] | None = None,
    timeout: tuple[float, float] | None = None,
    on_progress: Progress | None = None,
) -> None:
    """Fetch those of the four files of data set `name` that `folder` lacks, from the first mirror that works.

    A file gets its name only when whole and verified, so downloads at the same time do no harm. A file there
    with other bytes is an error, or with `replace` is fetched anew. `mirrors` are addresses of folders, asked
    in order; `timeout` is as TIMEOUT. Raises DataError when the folder cannot be written, and when no mirror
    works: then with the reason of each.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"the folder {folder} for {name} cannot be made",
            received=error.strerror,
            fix="name another one: TINYNET_CACHE for downloads, TINYNET_DATA for files you have",
        ) from error
    order = list(MIRRORS[name] if mirrors is None else mirrors)
    for stem in FILES:
        present = find_file(folder, stem)
        if present and is_genuine(name, present):
            continue
        if present and not replace:
            raise DataError(
                f"{present} is not the file of {name}",
                expected=f"payload sha256 {PAYLOAD_SHA256[name][stem]}",
                fix="name an empty folder, or delete the file to have it fetched",
            )
        good = _first_working(order, name, folder / f"{stem}.gz", timeout or TIMEOUT, on_progress)
        order.sort(key=lambda mirror: mirror != good)  # ask the one that worked first from now on


class _MirrorError(Exception):
    """Why one mirror did not give one file."""


def _first_working(
    mirrors: Sequence[str],
    name: str,
    target: Path,
    timeout: tuple[float, float],
    on_progress: Progress | None,
) -> str:
    """Fetch one file from the first mirror that gives it, and return that mirror."""
    reasons = []
    for mirror in mirrors:
        try:
            _fetch(mirror.rstrip("/") + "/" + target.name, name, target, timeout, on_progress)
            return mirror
        except _MirrorError as error:
            reasons.append(f"{mirror}: {error}")
    raise DataError(
        f"no mirror gave {target.name} of {name} ({reasons[-1] if reasons else 'no mirror is known'})",
        expected="one of the mirrors to answer",
        received="".join(f"\n    {reason}" for reason in reasons),
        fix="check the connection, or put the four files in a folder and name it in TINYNET_DATA",
    )


def _fetch(
    url: str, name: str, target: Path, timeout: tuple[float, float], on_progress: Progress | None
) -> None:
    """Fetch one file, verify its payload, and only then give it its name."""
    stem = target.name.removesuffix(".gz")
    with atomic_write(target, compress=False) as stream:
        _get(url, _Limited(stream, PAYLOAD_BYTES[stem]), timeout, _ProgressMeter(target.name, on_progress))
        try:
            received = payload_sha256(stream.name, PAYLOAD_BYTES[stem])
        except DataError as error:
            raise _MirrorError("it sent a damaged gzip file, or one that is too long") from error
        if received != PAYLOAD_SHA256[name][stem]:
            raise _MirrorError(f"it sent other bytes (payload sha256 {received[:12]}…)")


class _Limited:
    """A stream for one download, which breaks it off when more comes than the file can have."""

    def __init__(self, stream: BinaryIO, payload: int) -> None:
        self.stream, self.limit, self.received = stream, payload + payload // 100 + 1000, 0  # gzip adds less

    def write(self, chunk: bytes) -> None:
        self.received += len(chunk)
        if self.received > self.limit:
            raise _MirrorError(f"it sends more than {self.limit:,} bytes")
        self.stream.write(chunk)

    def flush(self) -> None:
        self.stream.flush()


def _get(url: str, stream: _Limited, timeout: tuple[float, float], meter: _ProgressMeter) -> None:
    """Copy what the address serves into the stream."""
    import pooch
    import requests

    try:
        pooch.HTTPDownloader(progressbar=meter, chunk_size=1 << 16, timeout=timeout)(url, stream, None)
    except requests.HTTPError as error:
        raise _MirrorError(f"HTTP status {getattr(error.response, 'status_code', 'unknown')}") from error
    except requests.Timeout as error:
        raise _MirrorError(f"no answer within {timeout[0]:g} s, or no bytes for {timeout[1]:g} s") from error
    except requests.RequestException as error:
        raise _MirrorError(f"no connection, or it broke off ({type(error).__name__})") from error
    except ValueError as error:
        raise _MirrorError(f"its answer makes no sense ({error})") from error


class _ProgressMeter:
    """The progress bar that pooch asks for, told on to `on_progress`."""

    def __init__(self, label: str, on_progress: Progress | None) -> None:
        self.label, self.on_progress = label, on_progress
        self.total = 0  # pooch sets it; 0 when the mirror does not say
        self.received = 0

    def update(self, count: int) -> None:
        """`count` more bytes, rounded up by pooch to whole chunks."""
        self.received += min(count, self.total - self.received) if self.total else count
        if self.on_progress:
            self.on_progress(self.label, self.received, self.total or None)

    def reset(self) -> None:
        """Part of pooch's protocol."""

    def close(self) -> None:
        """Part of pooch's protocol."""
