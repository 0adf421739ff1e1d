"""Numbers as the tables write them."""

from __future__ import annotations

import pytest

from clvq.cli.faithfulness_view import interval
from clvq.cli.output import chance, number
from clvq.html_report import page
from clvq.interventions.records import Interval


@pytest.mark.parametrize(
    ("value", "written"),
    [(-0.0004, "0.000"), (0.0, "0.000"), (-0.0006, "-0.001"), (-1234.5678, "-1,234.568"), (1234, "1,234"), (None, "-")],
)
def test_what_rounds_to_nothing_has_no_minus(value: float | None, written: str) -> None:
    assert number(value) == written
    assert page.figure(value) == ("–" if value is None else written.replace("-", "−"))


def test_an_interval_has_the_signs_of_a_difference() -> None:
    figure = Interval(-0.0001, -0.01, 0.0001)
    assert interval(figure, "+") == "+0.000 [-0.010, +0.000]"
    assert interval(figure) == "0.000 [-0.010, 0.000]"


@pytest.mark.parametrize(("p", "written"), [(0.05, "0.050"), (0.0004, "4e-04"), (3e-14, "3e-14"), (None, "-")])
def test_a_small_p_is_not_written_as_0(p: float | None, written: str) -> None:
    assert chance(p) == written
    assert page.chance(p) == ("–" if p is None else written)
