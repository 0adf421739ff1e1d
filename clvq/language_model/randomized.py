"""The randomised model: the same architecture, with the values of each weight in a random order.

It has lost what the model learned, but each weight tensor still has the same values. So whatever a method finds in it
comes from the method, not from learning (the model randomisation test of Adebayo et al. 2018, arXiv 1810.03292).
"""

from __future__ import annotations

from typing import Any

import torch
import xxhash

from clvq.language_model.sites import base_of


@torch.no_grad()
def randomize(model: Any) -> None:
    """Put the values of each weight tensor into a random order, in place.

    The name of a tensor within the base model is the seed of its order, so that states do not depend on the head that
    the model has. A tensor that two layers share stays shared.
    """
    base = {id(parameter): name for name, parameter in base_of(model).named_parameters()}
    for name, parameter in model.named_parameters():
        seed = xxhash.xxh3_64_intdigest(base.get(id(parameter), f"head {name}").encode()) % 2**63
        order = torch.randperm(parameter.numel(), generator=torch.Generator().manual_seed(seed))
        parameter.copy_(parameter.flatten()[order.to(parameter.device)].view_as(parameter))
