from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartsnitch_common.values.receipt_words import SHORT_FOR, spell_out


@pytest.mark.parametrize(
    ("line", "spelled"),
    [
        ("KRO CHKN BROTH 32 OZ", "kroger chicken BROTH 32 OZ"),
        ("TOM'S OF MAINE", "TOM'S OF MAINE"),
        ("VAN2 2% MLK", "VAN2 2% milk"),
        ("", ""),
    ],
)
def test_words_that_are_cut_short_are_spelled_out(line: str, spelled: str) -> None:
    """Whole words only, in any case; all else stays as it is."""
    assert spell_out(line) == spelled


@given(st.text())
def test_spelling_out_is_done_once(line: str) -> None:
    """No word is short for another that is short: twice changes nothing more."""
    assert spell_out(spell_out(line)) == spell_out(line)


def test_no_word_is_short_for_itself() -> None:
    """Each entry is one lower-case word, and says something else."""
    for word, meaning in SHORT_FOR.items():
        assert word.isalpha()
        assert word == word.lower()
        assert word not in meaning.split()
