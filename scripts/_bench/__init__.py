"""Benchmarks: our code and its rival's, measured in turns in one process.

A module in ``rows/`` declares comparisons and figures in a tuple ``ROWS``; the
order of the modules' names is that of the table. See ``comparison.py``.
"""
