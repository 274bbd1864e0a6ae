"""The target for atheris, which looks for bytes that go new ways through the decoder.

Started by scripts/fuzz-envelope. What it finds is written to build/, and can be read again
with the same program: its path is then an argument.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

# What is measured must be instrumented while it is imported.
with atheris.instrument_imports(include=["cartsnitch_common"]):
    from tests.fuzz.malformed import bombs, full_lists, malformed
    from tests.fuzz.reading import read
    from tests.fuzz.samples import sound_bytes

LIMITS = ["-timeout=5", "-rss_limit_mb=1024", "-max_len=262145", "-artifact_prefix=build/fuzz-"]


def main() -> None:
    Path("build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        samples = [
            *sound_bytes(),
            *malformed().values(),
            *full_lists().values(),
            *bombs().values(),
        ]
        for number, data in enumerate(samples):
            Path(corpus, str(number)).write_bytes(data)
        atheris.Setup([sys.argv[0], *LIMITS, *sys.argv[1:], corpus], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
