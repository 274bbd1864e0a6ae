"""A service as another repository would write it, for the type checkers.

``mypy --strict`` and ``pyright`` read it against the installed wheel: it must pass, and
each marked line of ``wrong.py`` must not.
"""
