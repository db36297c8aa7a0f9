"""Sizes with a unit: one grammar for every key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymctl.config.sizes import is_size, is_size_with_unit, size_in_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [("512mb", 512 * 1024**2), ("16 gb", 16 * 1024**3), ("1.5GiB", 3 * 1024**3 // 2), ("7b", 7), ("2T", 2 * 1024**4)],
)
def test_a_size_with_a_unit(text: str, size: int) -> None:
    assert is_size(text) and is_size_with_unit(text)
    assert size_in_bytes(text) == size


def test_a_number_without_a_unit_is_bytes_and_a_configuration_asks_for_the_unit() -> None:
    assert size_in_bytes("512") == size_in_bytes(512) == 512
    assert is_size("512") and not is_size_with_unit("512")


@pytest.mark.parametrize("text", ["", "mb", "1.2.3mb", "-1g", "1 xb", "1  gb", ".5gb", "1e3mb", "\u0661mb"])
def test_what_is_not_a_size(text: str) -> None:
    assert not is_size(text) and not is_size_with_unit(text)
    with pytest.raises(ValueError, match="not a size"):
        size_in_bytes(text)


@given(st.integers(0, 10**6), st.sampled_from("bkmgt"), st.sampled_from(["", " "]), st.booleans())
def test_every_spelling_of_a_unit_means_the_same(number: int, unit: str, gap: str, upper: bool) -> None:
    spellings = {unit, f"{unit}b", f"{unit}ib"} if unit != "b" else {"b"}
    texts = [f"{number}{gap}{spelling.upper() if upper else spelling}" for spelling in spellings]
    assert {size_in_bytes(text) for text in texts} == {number * 1024 ** "bkmgt".index(unit)}
