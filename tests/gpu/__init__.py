"""Everything that needs a GPU, in one command: `python -m tests.gpu` (or `make gpu`). Start reading in `__main__.py`."""
