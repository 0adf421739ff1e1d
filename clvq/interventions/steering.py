"""Steering: take concepts out of states and put others in, at every word of a text or in any model's forward pass.

    x' = x - s Q Q' (x - mu)                     without concepts to add
    x' = x - Q Q' (x - mu) + s sum_j (c_j - mu)  with some

Q spans the directions of the concepts that are removed, mu and c_j are those of `clvq.concepts.directions`, and s is
the strength. At strength 1 the first equation is the removal of `clvq faithfulness`, and the second is its move.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clvq.concepts.directions import ConceptSpace, concept_space
from clvq.errors import ClvqError
from clvq.interventions.edits import Edit
from clvq.language_model.sites import Site, base_of, change, find_sites
from clvq.models.spans import orthonormal
from clvq.training.checkpoint import Checkpoint, read_checkpoint


@dataclass(frozen=True)
class Steering:
    """The concepts that are taken out of states, and those that are put in."""

    space: ConceptSpace
    remove: tuple[int, ...] = ()
    add: tuple[int, ...] = ()
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not self.remove and not self.add:
            raise ClvqError("No concept is named: give codes to remove, or to add.")
        size = len(self.space.usage)
        for code in (*self.remove, *self.add):
            if not 0 <= code < size:
                raise ClvqError(f"There is no code {code}: the codes are 0 to {size - 1}.")
            if not self.space.deviations(torch.tensor(code)).any():
                raise ClvqError(f"Code {code} is dead: no training word has it, so it has no direction.")

    def with_strength(self, strength: float) -> Steering:
        return replace(self, strength=strength)

    def basis(self, count: int) -> Tensor:
        """Return orthonormal columns `[count, D, r]` that span what is removed, the same for each of `count` states."""
        if not self.remove:
            return self.space.mean.new_zeros(count, len(self.space.mean), 1)
        directions = self.space.directions(torch.tensor(self.remove, device=self.space.mean.device))  # [r, D]
        columns = directions.T if len(self.remove) == 1 else orthonormal(directions)
        return columns.expand(count, -1, -1)

    def apply(self, states: Tensor) -> Tensor:
        """Return the steered states `[N, D]` of states `[N, D]`, in 32 bits."""
        edit = Edit(self.space)
        removed = edit.apply(states, self.basis(len(states)), torch.zeros(len(states), dtype=torch.long))
        if not self.add:
            return removed if self.strength == 1 else states + self.strength * (removed - states)
        added = self.space.deviations(torch.tensor(self.add, device=states.device)).sum(dim=0)
        return removed + self.strength * added


def codes_of(given: Sequence[int]) -> tuple[int, ...]:
    """Return the codes that a user gives. ClvqError for anything but whole numbers in a sequence."""
    try:
        codes = tuple(map(operator.index, given))
        if isinstance(given, Mapping) or any(isinstance(code, bool) for code in given):
            raise TypeError
        return codes
    except TypeError:
        raise ClvqError(f"Codes are whole numbers in a list, such as [12, 40], and not {given!r}.") from None


@contextmanager
def steering(
    checkpoint: Checkpoint | str | Path,
    model: Any,
    *,
    remove: Sequence[int] = (),
    add: Sequence[int] = (),
    strength: float = 1.0,
) -> Iterator[Any]:
    """Steer a plain transformers model in a `with` block: each token's state at the checkpoint's input layer is edited.

        model = AutoModelForCausalLM.from_pretrained("gpt2")
        with clvq.steering("run/L4-L8", model, remove=[12], add=[40], strength=2):
            model.generate(**tokenizer("The film was", return_tensors="pt"))

    Padding is edited too, but no other token sees it. ClvqError for a code that is dead or does not exist, for a model
    whose layer has another width than the checkpoint's, and for a model that is no stack of blocks.

    Args:
        checkpoint: A checkpoint, or its folder.
        model: The model that the checkpoint was made from, with any head, on any device.
        remove: Codes of the concepts that are taken out.
        add: Codes of the concepts that are put in.
        strength: How many times they are put in; without `add`, how much is taken out (1 is all).
    """
    checkpoint = read_checkpoint(checkpoint)
    site, width = _site(model, checkpoint.input_layer)
    space = concept_space(checkpoint, device=model.device)
    if width != len(space.mean):
        raise ClvqError(
            f"Layer {checkpoint.input_layer} of the model has width {width}, and that of {checkpoint.path} "
            f"{len(space.mean)}: it is another model."
        )
    steered = Steering(space, codes_of(remove), codes_of(add), strength)
    with editing(site, steered.apply):
        yield model


@contextmanager
def editing(site: Site, edit: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Apply `edit` to all states `[N, D]` that pass a site, in 32 bits, while the `with` block runs."""

    handle = change(site, lambda states: edit(states.flatten(0, -2).float()).view_as(states).to(states.dtype))
    try:
        yield
    finally:
        handle.remove()


@torch.no_grad()
def _site(model: Any, layer: int) -> tuple[Site, int]:
    """Return where the states of a layer pass in a transformers model, and how wide they are."""
    base = base_of(model)
    blocks = getattr(model.config.get_text_config(), "num_hidden_layers", 0)
    ids = torch.arange(1, 6, device=model.device)[None]
    training = model.training
    model.eval()
    try:
        sites, widths = find_sites(base, blocks, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    finally:
        model.train(training)
    if layer >= len(sites):
        raise ClvqError(f"The model has layers 0 to {len(sites) - 1}, and the checkpoint is of layer {layer}.")
    return sites[layer], widths[layer]
