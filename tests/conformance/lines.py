"""The numbered lines of the products' contracts, and the mark by which a test names the lines it holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

# The dialects of `tests.support.databases`, which the report must not import before pytest does.
DATABASES = ("sqlite", "postgresql")
LINES: Mapping[str, Mapping[int, str]] = yaml.safe_load(Path(__file__).with_name("lines.yaml").read_text())


def line(product: str, *numbers: int) -> pytest.MarkDecorator:
    """Mark a test as the one that holds these lines; a line that does not exist fails the collection."""
    for number in numbers:
        if number not in LINES[product]:
            raise ValueError(f"{product} has no line {number}")
    return pytest.mark.line(product, *numbers)
