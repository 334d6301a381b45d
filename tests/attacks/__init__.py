"""Implementations that are fast by being wrong: each module is an honest one but for conv2d. The bench must find every one out.

The honest rest is NumPy's; `test_bench_attacks.py` registers them under their file's name and says how each must be rejected.
"""
