"""Numba's cache on disk, with folders and files of our own: safe with several processes at once.

`cache_folder` says in which folder each version's compiled kernels are kept.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from contextlib import suppress

from tinynet.kernels.cpu import cache_folder
from tinynet.kernels.cpu.numba_private import (
    CompileResultCacheImpl,
    FunctionCache,
    IndexDataCacheFile,
    _CacheLocator,
    rtsys,
)


class _Locator(_CacheLocator):
    """Tells Numba where a function's compiled code is kept."""

    def __init__(self, function):
        self._line = function.__code__.co_firstlineno

    @classmethod
    def from_function(cls, function, file):
        cache_folder.mark_used(cache_folder.current())
        return cls(function)

    def get_cache_path(self):
        return str(cache_folder.current())

    def get_source_stamp(self):
        return cache_folder.version()

    def get_disambiguator(self):
        return str(self._line)


class _Implementation(CompileResultCacheImpl):
    _locator_classes = (_Locator,)


class Files(IndexDataCacheFile):
    """A file for each kernel and combination of argument types, named by both.

    Numba's own are numbered, and an index says which is which: of two processes that compile at the same
    time, both take the next number. A file here begins with its checksum, so a damaged one is not read.
    """

    def save(self, key, data):
        content = self._dump((self._source_stamp, key, data))
        with self._open_for_write(self.path_of(key)) as file:  # writes another file, then renames it
            if hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), 0o600)  # whatever the umask lets a group do
            file.write(hashlib.sha256(content).digest() + content)

    def load(self, key):
        try:
            written = cache_folder.read_private(self.path_of(key))
        except OSError:
            return None
        if written is None:
            return None
        checksum, content = written[:32], written[32:]
        if hashlib.sha256(content).digest() != checksum:
            return None
        stamp, found, data = pickle.loads(content)  # noqa: S301 (nobody else can have written it)
        return data if (stamp, found) == (self._source_stamp, key) else None

    def path_of(self, key):
        digest = hashlib.sha256(repr(key).encode()).digest()
        return self._data_path(self._data_name(int.from_bytes(digest[:8], "big")))


class KernelCache(FunctionCache):
    """Numba's cache on disk, kept in `Files`; that nothing can be written costs only the next start."""

    _impl_class = _Implementation

    def __init__(self, function):
        super().__init__(function)
        self._cache_file = Files(self.cache_path, self._impl.filename_base, cache_folder.version())

    def load_overload(self, sig, target_context):
        rtsys.initialize(target_context)  # Numba's own would load all that it can compile, too
        with self._guard_against_spurious_io_errors():
            found = self._load_overload(sig, target_context)
        if found is None and cache_folder.on_first is not None:
            cache_folder.on_first()
        if found is None and cache_folder.announce is not None:
            cache_folder.announce()
        return found

    def save_overload(self, sig, data):
        with suppress(OSError):
            super().save_overload(sig, data)
