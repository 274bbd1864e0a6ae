"""Functions made from source text: one for each message type, when it is first used.

A loop over fields asks each time what never changes: the field's name, its type,
its rules. Generated code has asked once. It is plain Python: a debugger steps through
it, a traceback shows its lines, and ``inspect.getsource`` prints it.
"""

from __future__ import annotations

import linecache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def build_function(
    name: str, parameters: str, lines: Sequence[str], namespace: Mapping[str, Any]
) -> Callable[..., Any]:
    """Compile a function.

    Args:
        name: Its name, an identifier; tracebacks show it.
        parameters: What stands between the parentheses.
        lines: Its body, indented relative to it. No text from outside goes in:
            names of the contract and of the models, and constants by their ``repr``.
        namespace: The objects that the body names.
    """
    body = "\n".join(f"    {line}" for line in lines)
    source = f"def {name}({parameters}):\n{body}\n"
    file = f"<cartsnitch_common: {name}>"
    found = dict(namespace)
    exec(compile(source, file, "exec"), found)  # noqa: S102 - composed of the contract alone
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    function: Callable[..., Any] = found[name]
    return function
