"""Convolution on a CPU by the compiled kernels: `numba_.py` picks for each shape which way is the fastest."""
