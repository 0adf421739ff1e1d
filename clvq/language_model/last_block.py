"""The last block, run for the one token that is read: only keys and values are computed for all tokens.

A classifier's head reads one position, and so does the prediction of a next token. Of the other tokens, the last block
is needed only for the keys and values that the read token attends to. A block hands these to its cache, as in
generation. So one cache keeps those of all tokens and ends the run. A second cache gives them back, so that the block
runs on with the read token as if the others had come before it.

Nothing here depends on an architecture. `LastBlock.tried` tests that the model's answers do not depend on the other
positions, and that the block gives the same state both ways.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from clvq.language_model.batching import rounding_of, same_lines
from clvq.language_model.sites import Site, change, replaced, watch

_ATTENTION = ("sdpa", "eager")
"""Attention implementations whose masks have a row for each token that attends."""

_CACHES = ("past_key_values", "cache")
"""Names of the argument by which a block takes a cache: the second from transformers 5.24 on."""

Run = Callable[[], Any]


class _KeptError(Exception):
    """Raised by a cache to end the run once it has the keys and values."""


class _Keeping:
    """A cache that keeps the first keys and values `[B, H, T, d]` that it is given, and ends the run."""

    def __init__(self) -> None:
        self.states: tuple[Tensor, Tensor] | None = None

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> NoReturn:
        self.states = keys, values
        raise _KeptError


class _Giving:
    """A cache that gives back the keys and values that another cache kept, and ignores what is added."""

    def __init__(self, states: tuple[Tensor, Tensor]) -> None:
        self.states = states

    def update(self, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        return self.states


class LastBlock:
    """A model's last block, which can be made to run for one position of each text.

        with last.only(positions):     # [B]
            logits = model(**inputs)

    The block's state at the position then stands at all positions behind it.
    """

    def __init__(self, block: nn.Module) -> None:
        self.block = block
        self._forward: Callable[..., Any] = block.forward
        self._parameters = inspect.signature(block.forward).parameters
        self._cache = next((name for name in _CACHES if name in self._parameters), "")
        self._queries: list[nn.Linear] = []
        """Linear layers that keys and values do not depend on: that of queries, and later ones in the block."""

    @classmethod
    def tried(cls, block: nn.Module, attention: str | None, trials: Sequence[tuple[Run, Tensor]]) -> LastBlock | None:
        """Return the block where trials prove that it may run for one position only; else None.

        `attention` is the implementation that the model uses. Each trial is a function that runs the model, and the
        position `[B]` in each of its texts. Two things are proved. Answers stay the same to the last bit when the
        block's output is changed at all other positions. The state at the position is the same, but for rounding, when
        the block runs for this position only.
        """
        last = cls(block)
        if attention not in _ATTENTION or not last._cache:
            return None
        try:
            proved = all(last._reads_only(*trial) for trial in trials) and all(
                last._is_same(*trial) for trial in trials
            )
            if proved:
                last._queries = last._without_use(*trials[0])
                proved = all(last._is_same(*trial) for trial in trials)
        except Exception:  # the code of some architecture may not support this call
            proved = False
        return last if proved else None

    @contextmanager
    def only(self, positions: Tensor) -> Iterator[None]:
        """Run the block for these positions `[B]` alone while the context lasts."""
        with replaced({self.block: lambda *args, **kwargs: self._narrow(positions, *args, **kwargs)}):
            yield

    def _narrow(self, positions: Tensor, *args: Any, **kwargs: Any) -> Any:
        bound = inspect.Signature(list(self._parameters.values())).bind(*args, **kwargs)
        given = bound.arguments
        first = next(iter(self._parameters))
        tokens = given[first].shape[1]
        kept = self._kept(bound) if tokens > 1 else None
        if kept is None:
            return self._forward(*args, **kwargs)
        positions = positions.to(given[first].device)
        bound.arguments.update({name: _at(value, positions, tokens) for name, value in given.items()})
        given[self._cache] = _Giving(kept)
        output = self._forward(*bound.args, **bound.kwargs)
        if isinstance(output, tuple):
            return (_everywhere(output[0], tokens), *output[1:])
        return _everywhere(output, tokens)

    def _kept(self, bound: inspect.BoundArguments) -> tuple[Tensor, Tensor] | None:
        """Return keys and values of all tokens; None for a block that hands none to a cache."""
        keeping = _Keeping()
        own = bound.arguments.get(self._cache)
        bound.arguments[self._cache] = keeping
        try:
            with replaced({layer: _nothing(layer) for layer in self._queries}):
                self._forward(*bound.args, **bound.kwargs)
        except _KeptError:
            pass
        bound.arguments[self._cache] = own
        return keeping.states

    def _reads_only(self, run: Run, positions: Tensor) -> bool:
        """Return whether answers stay the same when the block's output is changed at all other positions."""

        def disturbed(states: Tensor) -> Tensor:
            texts = torch.arange(len(states), device=states.device)
            others = -2 * states + 1
            others[texts, positions.to(states.device)] = states[texts, positions.to(states.device)]
            return others

        plain = run()
        handle = change(Site(self.block, "output"), disturbed)
        try:
            return torch.equal(run(), plain)
        finally:
            handle.remove()

    def _is_same(self, run: Run, positions: Tensor) -> bool:
        """Return whether the block gives the same states at the positions both ways, but for rounding."""
        plain = self._states(run, positions)
        with self.only(positions):
            ours = self._states(run, positions)
        return same_lines(ours, plain, rounding_of(plain.dtype))

    def _states(self, run: Run, positions: Tensor) -> Tensor:
        """Return the block's output `[B, D]` at the positions."""
        found: list[Tensor] = []

        def take(states: Tensor) -> None:
            found.append(states[torch.arange(len(states), device=states.device), positions.to(states.device)])

        handle = watch(Site(self.block, "output"), take)
        try:
            run()
        finally:
            handle.remove()
        (states,) = found
        return states

    def _without_use(self, run: Run, positions: Tensor) -> list[nn.Linear]:
        """Return the linear layers that keys and values do not depend on: that of queries, where queries have their
        own, and later ones in the block."""
        found: list[inspect.BoundArguments] = []

        def take(*args: Any, **kwargs: Any) -> Any:
            found.append(inspect.Signature(list(self._parameters.values())).bind(*args, **kwargs))
            return self._forward(*args, **kwargs)

        with replaced({self.block: take}):
            run()
        plain = self._kept(found[0])
        if plain is None:
            return []
        layers = []
        for layer in self.block.modules():
            if isinstance(layer, nn.Linear):
                self._queries = [layer]
                kept = self._kept(found[0])
                if kept is not None and all(map(torch.equal, kept, plain)):
                    layers.append(layer)
        self._queries = []
        return layers


def _at(value: Any, positions: Tensor, tokens: int) -> Any:
    """Return an argument of a block cut to one position `[B]` of each text. Arguments are states `[B, T, D]`, position
    ids `[1, T]`, rotations `([1, T, d], [1, T, d])`, and masks `[B, 1, T, T]`. One without an entry for each token
    stays as it is."""
    if isinstance(value, tuple | list):
        return type(value)(_at(entry, positions, tokens) for entry in value)
    if isinstance(value, dict):
        return {name: _at(entry, positions, tokens) for name, entry in value.items()}
    if not isinstance(value, Tensor) or value.dim() < 2:
        return value
    where = 2 if value.dim() == 4 else 1
    if value.shape[where] != tokens or value.shape[0] not in (1, len(positions)):
        return value
    whole = value.expand(len(positions), *value.shape[1:]).transpose(1, where)
    texts = torch.arange(len(positions), device=value.device)
    return whole[texts, positions.to(value.device)].unsqueeze(1).transpose(1, where)


def _everywhere(states: Tensor, tokens: int) -> Tensor:
    """Return states `[B, 1, D]` expanded to `[B, T, D]`, without a copy."""
    return states.expand(-1, tokens, -1)


def _nothing(layer: nn.Linear) -> Callable[[Tensor], Tensor]:
    """Return a forward that gives zeros in the shape of the layer's output, without a matrix product."""
    return lambda states: states.new_zeros(()).expand(*states.shape[:-1], layer.out_features)
