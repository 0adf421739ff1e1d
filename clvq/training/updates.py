"""FVU of the update `y - x`, what the layers between add to a word's state, beside the FVU of the state `y` itself.

A residual stream carries most of its state on, so that a copy of the input layer may explain most of the output layer.
Whoever predicts `y_hat` predicts the update `y_hat - x`, with the same errors. So the two figures differ by one factor:

    sum |y - y_hat|^2 / sum |u - mean u|^2  =  FVU * sum |y - mean y|^2 / sum |u - mean u|^2,    u = y - x
"""

from __future__ import annotations

from typing import Any


def of_update(results: dict[str, Any]) -> dict[str, float | None]:
    """Return the FVU of the update from a checkpoint's results: of the model (`fvu`), and of each yardstick by name.

    Empty where there is no update, and for checkpoints of earlier versions.
    """
    factor = results.get("update_factor")
    if factor is None:
        return {}
    figures = {"fvu": results["evaluation"]["fvu"], **results["yardsticks"]}
    return {name: None if value is None else factor * value for name, value in figures.items()}
