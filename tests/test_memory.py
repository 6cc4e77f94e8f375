"""Amounts of memory as people write them."""

import pytest

from dit_clean.memory import parse_bytes


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (1, 1),
        ("512", 512),
        ("1KB", 1000),
        ("1.5 KiB", 1536),
        (" 2 gib ", 2**31),
    ],
)
def test_amounts_are_read(amount, expected):
    assert parse_bytes(amount) == expected


@pytest.mark.parametrize(
    "amount", [0, -1, True, -1.5, None, "", "lots", "0KB", "3XB", "0.1B"]
)
def test_what_is_no_amount_is_refused(amount):
    with pytest.raises(
        ValueError, match=r"as an amount of memory. Give bytes as an int"
    ):
        parse_bytes(amount)
