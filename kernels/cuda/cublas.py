"""Matrix products by cuBLAS, called through ctypes.

CuPy has cuBLAS, too, but refuses to call it while a stream is captured (CuPy 14), and a training step without
its products is no step. All that capturing needs is a workspace that is there beforehand: cuBLAS would
otherwise ask for memory in mid-capture.

cuBLAS has matrices column by column. Row by row, C = A B is Cᵀ = Bᵀ Aᵀ column by column, and each of these is
what lies in memory already: so the factors change places and nothing is transposed.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

WORKSPACE = 32 << 20
"""Bytes: what NVIDIA recommends for its largest architectures."""
OPERATIONS = {False: 0, True: 1}
"""CUBLAS_OP_N and CUBLAS_OP_T by whether a factor is transposed."""
DEFAULT_MATH, TF32 = 0, 3
"""CUBLAS_DEFAULT_MATH, and CUBLAS_TF32_TENSOR_OP_MATH: factors of float32 products rounded to 11 bits."""
REAL_32, BF16, DEFAULT_ALGORITHM = 0, 75, -1
"""CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_16BF (float32 factors rounded to bfloat16), CUBLAS_GEMM_DEFAULT."""

NO_MEMORY = 3
"""CUBLAS_STATUS_ALLOC_FAILED."""


def find_library() -> ctypes.CDLL:
    """NVIDIA's library, found as CuPy finds it."""
    from cuda.pathfinder import load_nvidia_dynamic_lib

    return ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path)


class Cublas:
    """A handle to cuBLAS on the present device, for one thread; `failure` is the error it raises."""

    def __init__(
        self,
        library: ctypes.CDLL,
        workspace: Any,
        address: int,
        *,
        precision: str,
        failure: type[Exception],
    ) -> None:
        """`workspace`: WORKSPACE bytes on the device, at `address`. They live as long as the handle.

        `precision`: what factors of float32 products are rounded to: "tf32", "bf16"; "float32": nothing.
        """
        self._library, self._precision, self._failure = library, precision, failure
        self._workspace, self._address = workspace, ctypes.c_void_p(address)
        handle = ctypes.c_void_p()
        self._call("cublasCreate_v2", ctypes.byref(handle))
        self._handle = handle
        self._call("cublasSetMathMode", handle, ctypes.c_int(TF32 if precision == "tf32" else DEFAULT_MATH))
        destroy = weakref.finalize(self, library.cublasDestroy_v2, handle)
        destroy.atexit = False  # the driver may be gone by then

    def product(
        self,
        number: type[ctypes.c_float] | type[ctypes.c_double],
        shape: tuple[int, int, int],
        a: tuple[int, bool],
        b: tuple[int, bool],
        c: int,
        stream: int,
    ) -> None:
        """C (M, N) = A (M, K) · B (K, N) for `shape` (M, N, K), values of type `number`, row by row.

        a, b: the address, and whether Aᵀ or Bᵀ lies there
        c, stream: the address of C, and that of the stream
        """
        (M, N, K), (a_address, a_transposed), (b_address, b_transposed) = shape, a, b
        self._call("cublasSetStream_v2", self._handle, ctypes.c_void_p(stream))  # takes the workspace away
        self._call("cublasSetWorkspace_v2", self._handle, self._address, ctypes.c_size_t(WORKSPACE))
        one, zero = number(1.0), number(0.0)
        name = "cublasSgemm_v2" if number is ctypes.c_float else "cublasDgemm_v2"
        of_matrix, of_product = list[ctypes.c_int](), list[ctypes.c_int]()
        if self._precision == "bf16" and number is ctypes.c_float:
            name, of_matrix = "cublasGemmEx", [ctypes.c_int(REAL_32)]
            of_product = [ctypes.c_int(BF16), ctypes.c_int(DEFAULT_ALGORITHM)]
        self._call(
            name,
            self._handle,
            *(ctypes.c_int(OPERATIONS[turned]) for turned in (b_transposed, a_transposed)),
            *map(ctypes.c_int, (N, M, K)),
            ctypes.byref(one),
            ctypes.c_void_p(b_address),
            *of_matrix,
            ctypes.c_int(K if b_transposed else N),
            ctypes.c_void_p(a_address),
            *of_matrix,
            ctypes.c_int(M if a_transposed else K),
            ctypes.byref(zero),
            ctypes.c_void_p(c),
            *of_matrix,
            ctypes.c_int(N),
            *of_product,
        )

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status == NO_MEMORY:
            raise MemoryError(f"{name} of cuBLAS finds no memory on the device")
        if status != 0:
            raise self._failure(f"{name} of cuBLAS failed with status {status}")
