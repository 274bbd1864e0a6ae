"""What a program that reports crashes sends away: messages, and the variables of each frame."""

from __future__ import annotations

import traceback
from pathlib import Path

import cartsnitch_common

PACKAGE = str(Path(cartsnitch_common.__file__).parent)


def crash_report(error: BaseException) -> str:
    """The report of an error, without the variables of frames outside this package."""
    report = []
    seen = traceback.TracebackException.from_exception(error, capture_locals=True)
    waiting: list[traceback.TracebackException | None] = [seen]
    while waiting:
        part = waiting.pop()
        if part is not None:
            report += [str(part), *(part.__notes__ or [])]
            for frame in part.stack:
                report.append(str(frame.line))
                if frame.filename.startswith(PACKAGE):
                    report += [f"{name} = {value}" for name, value in (frame.locals or {}).items()]
            waiting += [part.__cause__, part.__context__]
    return "\n".join(report)
