"""Timing that can be trusted: every implementation of an operation, beside others' libraries, checked before and after.

Read in this order: `problems.py` (what is timed; the list itself is `problems.toml`), `costs.py` (operations and bytes from the
shapes), `runner.py` (who is called when), `checking.py` (why a number is believed), `clock.py` (how it is taken), `roofs.py`
(what this machine could do), `report.py`, `compare.py` and `plot.py` (what is made of it). `minizf bench` calls it.
"""
