"""Measuring: rows of work, contenders that take turns at them, each in a process of its own.

`tinynet bench` measures ours alone (`harness.measure`); `bench/compare.py` sets other frameworks beside it.
`net.py` and `worker.py` import nothing of tinynet: they also run where it is not installed.
"""
