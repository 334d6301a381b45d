"""Finds numbers in a kernel's text that make Numba compute in double precision.

`0.5 * x` with x of float32 is a float64 in Numba, though not in NumPy, so running the kernel cannot show it: the text must.
"""

import ast
import inspect
import textwrap
from functools import cache
from types import FunctionType

CONVERSIONS = {"float16", "float32", "float64", "range"}


@cache
def double_literal(function: FunctionType) -> tuple[str, str, int] | None:
    """What is wrong, file and line of the first float that no float32(...) encloses; None if there is none, or no text."""
    file, names = function.__code__.co_filename, function.__code__.co_names
    for name in names:
        if type(function.__globals__.get(name)) is float:
            return f"the global {name} is a float64; write {name} = numpy.float32(...)", file, function.__code__.co_firstlineno
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError):
        return None
    definition = next((node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)), None)
    if definition is None:
        return None
    found = next((node for statement in definition.body for node in unconverted(statement)), None)
    if found is None:
        return None
    what = f"the number {found.value!r} is a float64, and so is what is computed with it; write float32({found.value!r})"
    return what, file, first + found.lineno - 1


def unconverted(node: ast.AST) -> list[ast.Constant]:
    """The float literals below `node` that no conversion encloses."""
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in CONVERSIONS:
            return []
    if isinstance(node, ast.Constant):
        return [node] if type(node.value) is float else []
    return [found for child in ast.iter_child_nodes(node) for found in unconverted(child)]
