"""Kernels for NVIDIA GPUs, in CUDA C++, and the one door through which they are launched.

`*.cu` are the kernels, an idea each; `source` reads what they take from their declarations, `device` launches
them, `cublas` has the matrix products. CuPy is loaded when a `CudaDevice` is made, and not before.
"""
