"""The kernels' decorator, and its cache on disk: kept by version, safe with several processes at once."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import platformdirs
import pytest
from numba.core import caching
from numba.core.codegen import JITCPUCodegen

from tinynet.backends.numba_ import NumbaBackend
from tinynet.kernels.cpu import cache, cache_folder
from tinynet.kernels.cpu import jit as jit_module
from tinynet.kernels.cpu.jit import jit

compiled = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="numba compiles nothing under NUMBA_DISABLE_JIT"
)


def double(x: float) -> float:
    return 2 * x


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder for kernels made in the test."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return cache_folder.current()


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One entry for each kernel compiled in the test."""
    found: list[None] = []
    monkeypatch.setattr(cache_folder, "announce", lambda: found.append(None))
    return found


def test_the_cache_is_in_numbas_folder_if_one_is_named_else_in_the_users(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "user" / name)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    assert cache_folder.current() == tmp_path / "user" / "tinynet" / "kernels" / cache_folder.version()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "numba"))
    assert cache_folder.current() == tmp_path / "numba" / "tinynet" / cache_folder.version()


def test_a_user_without_a_home_has_a_cache_among_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(name: str) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(platformdirs, "user_cache_path", no_home)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    assert tempfile.gettempdir() in str(cache_folder.current())


@compiled
def test_a_compiled_kernel_is_kept_in_the_folder(folder: Path, compilations: list[None]) -> None:
    kernel = jit(double)
    assert (kernel(4.0), kernel(np.float32(4.0))) == (8.0, 8.0)
    files = list(folder.iterdir())
    assert len(files) == len(compilations) == 2
    assert cache_folder.contents() == (2, sum(file.stat().st_size for file in files))
    assert jit(double)(4.0) == 8.0
    assert len(compilations) == 2


def test_a_version_is_what_the_kernels_are_made_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def version_of(sources: Path) -> str:
        monkeypatch.setattr(cache_folder, "__file__", str(sources / "cache_folder.py"))
        return cache_folder.version.__wrapped__()

    sources = Path(cache_folder.__file__).parent
    same, other = tmp_path / "same", tmp_path / "other"
    for copy in (same, other):
        shutil.copytree(sources, copy)
    (other / "pooling.py").write_text("# changed\n")
    assert version_of(same) == version_of(sources)
    assert version_of(other) != version_of(sources)
    monkeypatch.setattr(numba, "__version__", "0.0")
    assert version_of(same) != cache_folder.version()


def test_versions_not_used_for_longest_are_deleted(tmp_path: Path) -> None:
    names = [str(number) * 16 for number in range(1, 8)]
    for number, name in enumerate([*names, "not ours"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kernel.1.nbc").touch()
        os.utime(tmp_path / name, (number, number))
    cache_folder.mark_used(tmp_path / names[0])
    assert {place.name for place in tmp_path.iterdir()} == {names[0], *names[-3:], "not ours"}


@compiled
@pytest.mark.parametrize(
    "damage",
    [lambda code: b"", lambda code: code[:-9], lambda code: code[:-1] + bytes([code[-1] ^ 1])],
    ids=["empty", "cut off", "one bit"],
)
def test_a_damaged_file_is_compiled_anew(
    folder: Path, compilations: list[None], damage: Callable[[bytes], bytes]
) -> None:
    jit(double)(4.0)
    [file] = folder.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    for _ in range(2):
        assert jit(double)(4.0) == 8.0
    assert len(compilations) == 2


@compiled
def test_code_for_another_processor_is_not_used(
    folder: Path, compilations: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(JITCPUCodegen, "magic_tuple", lambda self: ("another", "processor", ""))
        jit(double)(4.0)
    for _ in range(2):
        assert jit(double)(4.0) == 8.0
    assert len(compilations) == len(list(folder.iterdir())) == 2


posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
as_root = pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own cache folder, in the test's."""
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "user" / name)
    return tmp_path / "user" / "tinynet" / "kernels"


@posix
@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775, 0o702])
def test_a_folder_that_others_can_write_to_is_not_used(folder: Path, users: Path, mode: int) -> None:
    folder.parent.mkdir()
    folder.parent.chmod(mode)
    with pytest.warns(UserWarning, match=f"others can write to {folder.parent}.* kept in {users}"):
        assert cache_folder.current() == users / cache_folder.version()


@as_root
def test_a_folder_of_somebody_else_is_not_used(folder: Path, users: Path) -> None:
    for place in (folder.parent, users):
        place.mkdir(parents=True, mode=0o700)
        os.chown(place, 12345, 12345)
    with pytest.warns(UserWarning, match="others can write to"):
        found = cache_folder.current()
    assert found.parent.stat().st_mode & 0o777 == 0o700
    assert found.parent.stat().st_uid == os.geteuid()
    assert found.parent not in (folder.parent, users)


@as_root
def test_a_link_of_somebody_else_is_not_followed(folder: Path, users: Path, tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir(mode=0o700)
    folder.parent.symlink_to(tmp_path / "ours")
    assert cache_folder.current() == folder
    cache_folder.safe_root.cache_clear()
    os.chown(folder.parent, 12345, 12345, follow_symlinks=False)
    with pytest.warns(UserWarning, match="others can write to"):
        assert cache_folder.current().parent == users


@posix
def test_folders_and_files_are_made_for_this_user_alone(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        cache_folder.mark_used(tmp_path / "root" / "version")
        files = cache.Files(str(tmp_path / "root" / "version"), "kernel", "this version")
        files.save("key", "code")
    finally:
        os.umask(mask)
    for place, mode in ((tmp_path / "root", 0o700), (Path(files.path_of("key")), 0o600)):
        assert place.stat().st_mode & 0o777 == mode
    assert files.load("key") == "code"


@posix
def test_a_file_that_others_can_write_to_is_not_read(tmp_path: Path) -> None:
    files = cache.Files(str(tmp_path), "kernel", "this version")
    files.save("key", "code")
    path = Path(files.path_of("key"))
    path.chmod(0o666)
    assert files.load("key") is None
    path.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(path, 12345, 12345)
        assert files.load("key") is None
    path.unlink()
    os.mkfifo(path, 0o600)
    assert files.load("key") is None


def test_a_file_serves_its_own_key_and_version_only(tmp_path: Path) -> None:
    files = cache.Files(str(tmp_path), "kernel", "this version")
    files.save("key", "code")
    assert files.load("key") == "code"
    assert cache.Files(str(tmp_path), "kernel", "another").load("key") is None
    shutil.copy(files.path_of("key"), files.path_of("other key"))
    assert files.load("other key") is None


def test_two_that_save_at_the_same_moment_both_keep_their_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (cache.Files(str(tmp_path), "kernel", "this version") for _ in range(2))
    write = one._open_for_write

    def overtaken(path: str) -> object:
        monkeypatch.setattr(one, "_open_for_write", write)
        other.save("other key", "other code")
        return write(path)

    monkeypatch.setattr(one, "_open_for_write", overtaken)
    one.save("key", "code")
    assert (one.load("key"), one.load("other key")) == ("code", "other code")


RUN = """
import sys
import numpy as np
from tinynet.backends.numba_ import NumbaBackend
from tinynet.kernels.cpu import cache_folder

compiled, ops = [], NumbaBackend()
cache_folder.announce = lambda: compiled.append(1)
results = {}
for dtype in sys.argv[1:]:
    x = np.linspace(-1, 1, 12).astype(dtype).reshape(3, 4)
    results[dtype] = ops.sigmoid(ops.dense(x, x.T.copy(), x[:, 0].copy())).tobytes().hex()
print(len(compiled), "numba.np.linalg" in sys.modules, *(results[dtype] for dtype in sorted(results)))
"""


@compiled
def test_first_runs_at_the_same_time_leave_a_whole_cache(tmp_path: Path) -> None:
    """They compile the same kernels, in another order; a later run finds all of them, and loads no more."""

    def run(dtypes: list[str]) -> tuple[int, str, list[str]]:
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
        command = [sys.executable, "-c", RUN, *dtypes]
        finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert finished.returncode == 0, finished.stderr
        compiled, has_all_of_numba, *results = finished.stdout.split()
        return int(compiled), has_all_of_numba, results

    with ThreadPoolExecutor() as pool:
        counts, _, results = zip(*pool.map(run, [["f4", "f8"], ["f8", "f4"], ["f4", "f8"]]), strict=True)
    assert min(counts) > 0
    assert results[0] == results[1] == results[2]
    assert run(["f8", "f4"]) == (0, "False", results[0])


def test_a_cache_that_cannot_be_written_any_more_costs_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, *arguments: object) -> None:
        raise OSError(28, "No space left on device")

    kernel = jit(double)
    monkeypatch.setattr(caching.FunctionCache, "save_overload", full)
    assert kernel(4.0) == 8.0
    assert kernel(np.float32(4.0)) == 8.0


def test_the_backend_works_with_an_unwritable_cache_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "file" / "folder")}
    script = (
        "import numpy as np; from tinynet.backends.numba_ import NumbaBackend as B; "
        "assert (B().relu(np.array([-1.0, 2.0])) == [0, 2]).all()"
    )
    finished = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


def test_kernels_run_uncompiled_for_coverage() -> None:
    script = """
import numpy as np
from tinynet.backends.numba_ import NumbaBackend
from tinynet.backends.numpy_ import NumpyBackend
from tinynet.geometry import Window
from tinynet.rng import Key
x = np.linspace(-3, 3, 32).reshape(1, 4, 4, 2)
for run in (
    lambda ops: ops.gelu(x),
    lambda ops: ops.maxpool(x, Window((2, 2), padding=((0, 1), (0, 1))))[0],
    lambda ops: ops.random_bits(Key(1, 2, 3, 4), 9),
):
    np.testing.assert_allclose(run(NumbaBackend()), run(NumpyBackend()), rtol=1e-12, atol=1e-12)
"""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    finished = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


@compiled
def test_a_kernel_announces_that_it_is_compiled_and_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    ops = NumbaBackend()
    kernel = jit(double)
    ops.announce_compiling(lambda done, needed: calls.append("compiling"))
    monkeypatch.setattr(cache.Files, "load", lambda self, key: None)
    kernel(4.0)
    kernel(5.0)
    ops.announce_compiling(None)
    kernel(np.float32(4.0))
    assert calls == ["compiling"]


def test_no_kernel_copies_by_slices() -> None:
    """Numba would compile a formatter of error messages for it: see `jit`."""
    folder = Path(jit_module.__file__).parent
    functions = [
        node
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and any("jit" in ast.unparse(d) for d in node.decorator_list)
    ]
    copies = [
        ast.unparse(node)
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        if any(isinstance(part, ast.Slice) for target in node.targets for part in ast.walk(target))
        if not isinstance(node.value, ast.Constant) and ast.unparse(node.value) != "zero"
    ]
    assert len(functions) > 40
    assert copies == []
