"""The grid of a sweep: from layer pairs and values of training options to the settings and the name of each
training."""

from __future__ import annotations

import itertools
import json
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from clvq.config.settings import flag, refuse_unknown
from clvq.config.training import ALONE, UNUSED, WITH_METRIC, TrainConfig
from clvq.errors import ClvqError

LAYERS = "layers"
PAIR = ("input_layer", "output_layer")
"""A grid has LAYERS instead of these two settings."""
GRID = tuple(item.name for item in fields(TrainConfig) if item.metadata["result"] and item.name not in PAIR)
"""The settings that can have several values; the others change no result."""

_SHORT = {"top_k": "top", "temperature": "T", "initialization": "init"}
"""Short names of settings in the name of a training. Other settings have their own names there."""


def settings_grid(layers: Any, values: Mapping[str, Any]) -> list[TrainConfig]:
    """Return the settings of each training of a grid, each once, ordered by layers, method, and so on up to the seed.

        settings_grid("2-4,4-6", {"method": ["clvq", "kmeans"], "codebook_size": 100, "seed": range(3)})

    A setting that a method does not use keeps its default for that method, so that its values do not multiply the
    trainings. ClvqError for an empty grid, for a value that no training takes, and for settings that exclude each
    other.

    Args:
        layers: Layer pairs, as `layer_pairs` reads them.
        values: A value or a list of values by the name of a setting of TrainConfig.
    """
    refuse_unknown(values, [item.name for item in fields(TrainConfig) if item.name not in PAIR])
    pairs = layer_pairs(layers)
    names = [item.name for item in fields(TrainConfig) if item.name in values]
    axes = [_listed(name, values[name]) for name in names]
    configs: dict[str, TrainConfig] = {}
    for pair, combination in itertools.product(pairs, itertools.product(*axes)):
        config = _config(pair, dict(zip(names, combination, strict=True)))
        configs.setdefault(json.dumps(config.deciding(), sort_keys=True), config)
    return list(configs.values())


def layer_pairs(layers: Any) -> list[tuple[int, int]]:
    """Return (input layer, output layer) of each distinct pair in "2-4,4-6", ["2-4", (4, 6)] or (2, 4)."""
    if isinstance(layers, str):
        given: list[Any] = [part for part in re.split(r"[,\s]+", layers) if part]
    elif isinstance(layers, list | tuple) and [type(part) for part in layers] == [int, int]:
        given = [tuple(layers)]
    elif isinstance(layers, list | tuple):
        given = [pair for part in layers for pair in (layer_pairs(part) if isinstance(part, str) else [part])]
    else:
        given = [layers]
    if not given:
        raise ClvqError("--layers names no pair of layers, so the grid is empty. Give pairs such as --layers 2-4,4-6.")
    return list(dict.fromkeys(map(_pair, given)))


def training_name(config: TrainConfig) -> str:
    """Return the name of a sweep's checkpoint. It depends on the settings alone, not on the grid, and differs for
    others.

    The name holds layers, method, codebook size and seed. It also holds the other settings that are not the defaults of
    the method and preset: L4-L8-clvq-K400-T0.5-seed0.
    """
    usual = config.usual
    parts = [f"L{config.input_layer}-L{config.output_layer}"]
    parts += [config.preset] if config.preset != "default" else []
    parts += [config.method]
    parts += [getattr(config, name) for name in ("metric", "predict") if getattr(config, name) != getattr(usual, name)]
    parts += [f"K{config.codebook_size}"]
    named = {*PAIR, "method", "preset", "metric", "predict", "codebook_size", "seed"}
    for name in GRID:
        if name not in named and (value := getattr(config, name)) != getattr(usual, name):
            parts.append(_part(name, value))
    return "-".join([*parts, f"seed{config.seed}"])


def used_settings(config: TrainConfig) -> dict[str, Any]:
    """Return the settings by name, without those that the method does not use."""
    aside = UNUSED[config.method] + (() if config.method in WITH_METRIC else ("metric",))
    return {name: value for name, value in config.as_json().items() if name not in aside}


def _config(pair: tuple[int, int], values: dict[str, Any]) -> TrainConfig:
    method = values.get("method", "clvq")
    if method not in WITH_METRIC:
        values.pop("metric", None)
    if method in ALONE:
        values.pop("predict", None)
    return TrainConfig.resolve(**dict(zip(PAIR, pair, strict=True)), **values)


def _listed(name: str, value: Any) -> list[Any]:
    """Return the values of a setting; ClvqError where there are none, or several for a setting that takes only one."""
    several = isinstance(value, list | tuple | range)
    values = list(value) if several else [value]
    if not values:
        raise ClvqError(f"{flag(name)} has no values, so the grid is empty. Give one value or more.")
    if several and name not in GRID:
        raise ClvqError(f"{flag(name)} takes one value: it changes no result, and no grid is made of it.")
    for entry in values:
        if entry is not None and not isinstance(entry, str | int | float):
            raise ClvqError(f"{flag(name)} has the value {entry!r}; give numbers or names.")
    if typing.get_type_hints(TrainConfig)[name] is float:
        values = [float(entry) if type(entry) is int else entry for entry in values]  # 1 and 1.0 are one setting
    return values


def _pair(given: Any) -> tuple[int, int]:
    if isinstance(given, str) and (found := re.fullmatch(r"(\d+)-(\d+)", given)):
        return int(found[1]), int(found[2])
    if isinstance(given, list | tuple) and [type(layer) for layer in given] == [int, int]:
        return given[0], given[1]
    raise ClvqError(f"--layers: {given!r} is no pair of layers such as 2-4.")


def _part(name: str, value: Any) -> str:
    """Return the part of a training's name that tells a setting: T0.5, init-random, skip."""
    label = _SHORT.get(name, name.replace("_", "-"))
    if isinstance(value, bool):
        return label if value else f"no-{label}"
    return f"{label}-{value}" if isinstance(value, str) else f"{label}{value}"


def chains(configs: list[TrainConfig]) -> Iterator[list[int]]:
    """Yield chains of trainings, as positions in `configs`: each starts at the layer where the one before ends.

    The other settings of a chain's trainings are the same. A chain is as long as it can be: 2->4, 4->6, 6->8. A single
    training is no chain.
    """
    others = [json.dumps({k: v for k, v in config.deciding().items() if k not in PAIR}) for config in configs]
    following = {
        i: [
            j
            for j, after in enumerate(configs)
            if after.input_layer == config.output_layer and others[j] == others[i]
        ]
        for i, config in enumerate(configs)
    }  # fmt: skip
    begun = set(following) - {j for after in following.values() for j in after}
    waiting = [[i] for i in sorted(begun)]
    while waiting:
        chain = waiting.pop(0)
        if after := following[chain[-1]]:
            waiting += [[*chain, j] for j in after]
        elif len(chain) > 1:
            yield chain
