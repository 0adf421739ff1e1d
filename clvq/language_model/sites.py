"""What is found by looking into a model: where each layer's states pass, if it is causal, how long a text may be.

Layer `i` is index `i` of Hugging Face `hidden_states`: 0 is the embeddings, `i` the output of block `i`, the last one
the state after the final norm.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from clvq.errors import ClvqError
from clvq.language_model.advice import model_code

# The limit, in tokens, of a model without one of its own (relative positions, state space): enough for sentences.
_NO_LIMIT = 4096
_LENGTH_KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length")


class Site(NamedTuple):
    """Where a layer's states pass: the hidden states going into `module`, or coming out of it."""

    module: nn.Module
    side: str
    """Either "input", the first argument, or "output", the output or the first item of it."""


def base_of(model: Any) -> Any:
    """Return the part of a transformers model below its heads; a model without heads is its own base.

    `base_model` of a few language models (Llama 4, Mllama) is the model itself, because they name a part that they do
    not have. There it is the one part that is a model of its own.
    """
    base = model.base_model
    if base is not model or model.get_output_embeddings() is None:
        return base
    inside = [child for child in model.children() if isinstance(child, PreTrainedModel)]
    return inside[0] if len(inside) == 1 else base


def watch(site: Site, take: Callable[[Tensor], None]) -> Any:
    """Call `take` with the states `[B, T, D]` that pass `site`; the handle removes the hook."""
    if site.side == "input":

        def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            take(args[0] if args else kwargs["hidden_states"])

        return site.module.register_forward_pre_hook(before, with_kwargs=True)

    def after(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        take(output[0] if isinstance(output, tuple) else output)

    return site.module.register_forward_hook(after)


def change(site: Site, changed: Callable[[Tensor], Tensor]) -> Any:
    """Replace the states `[B, T, D]` that pass `site` by `changed(states)`; the handle removes the hook."""
    if site.side == "input":

        def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            if args:
                return (changed(args[0]), *args[1:]), kwargs
            return (), {**kwargs, "hidden_states": changed(kwargs["hidden_states"])}

        return site.module.register_forward_pre_hook(before, with_kwargs=True)

    def after(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        return (changed(output[0]), *output[1:]) if isinstance(output, tuple) else changed(output)

    return site.module.register_forward_hook(after)


def splice(site: Site, states: Tensor) -> Any:
    """Replace the states that pass `site` by `states` `[B, T, D]`; the handle removes the hook."""
    return change(site, lambda own: states.to(own.device))


@contextmanager
def replaced(forwards: Mapping[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """Give modules other forwards while the context lasts; hooks around the forwards stay."""
    own = {module: module.__dict__.get("forward") for module in forwards}
    for module, forward in forwards.items():
        module.forward = forward
    try:
        yield
    finally:
        for module, before in own.items():
            if before is None:
                del module.forward
            else:
                module.forward = before


def no_cache(module: nn.Module) -> dict[str, bool]:
    """Return the argument that turns off a decoder's cache, which is of no use in a single forward; else no
    argument."""
    return {"use_cache": False} if "use_cache" in inspect.signature(module.forward).parameters else {}


def find_sites(base: Any, blocks: int, inputs: dict[str, Tensor]) -> tuple[list[Site], list[int]]:
    """Return where the states of each of the `blocks + 1` layers pass, and their widths; one forward finds and checks
    both.

    A layer's site is the first candidate through which exactly the tensor of `hidden_states` goes. Candidates are the
    block's output, and the next block's input (where something lies between two blocks). For the last layer they are
    the block's output and any module outside the blocks, which is how the final norm is found. ClvqError where a layer
    has no site.
    """
    modules = dict(base.named_modules())
    stacks = {
        name: list(module)
        for name, module in modules.items()
        if isinstance(module, nn.ModuleList) and len(module) == blocks > 0
    }
    ends = [Site(block, side) for stack in stacks.values() for block in stack for side in ("input", "output")]
    beside = [
        Site(module, "output")
        for name, module in modules.items()
        if name and not any(f"{name}.".startswith(f"{s}.") or s.startswith(f"{name}.") for s in stacks)
    ]
    states, passed = _trial(base, inputs, [*ends, *beside])
    if odd := [state.dim() for state in states if state.dim() != 3]:
        raise ClvqError(_unsupported(base, f"its hidden states have {odd[0]} dimensions"))
    if len(states) != blocks + 1:
        raise ClvqError(_unsupported(base, f"{blocks} blocks give {len(states)} hidden states"))
    problem = "it holds no list of all its blocks"
    for stack in stacks.values():
        options = [[Site(stack[0], "input")]]
        options += [[Site(block, "output"), Site(above, "input")] for block, above in pairwise(stack)]
        options += [[Site(stack[-1], "output"), *beside]]
        found = [
            next((site for site in places if _same(passed.get(site), state)), None)
            for places, state in zip(options, states, strict=True)
        ]
        sites = [site for site in found if site is not None]
        if len(sites) == len(states):
            return sites, [int(state.shape[-1]) for state in states]
        problem = f"the states of layer {found.index(None)} pass no known place"
    raise ClvqError(_unsupported(base, problem))


def _trial(base: Any, inputs: dict[str, Tensor], sites: list[Site]) -> tuple[list[Tensor], dict[Site, Tensor | None]]:
    """Return all hidden states of one forward, and what went through each site; None where several states did."""
    passed: dict[Site, Tensor | None] = {}

    def recorder(site: Site) -> Callable[[Tensor], None]:
        def record(state: Tensor) -> None:
            passed[site] = None if site in passed else state

        return record

    handles = [watch(site, recorder(site)) for site in sites]
    try:
        with model_code(getattr(base, "name_or_path", "") or type(base).__name__):
            output = base(**inputs, output_hidden_states=True, return_dict=True, **no_cache(base))
    finally:
        for handle in handles:
            handle.remove()
    if getattr(output, "hidden_states", None) is None:
        raise ClvqError(_unsupported(base, "it gives no hidden states"))
    # Some models of older versions give the last hidden state before the final norm. Here it is always after the norm.
    return [*output.hidden_states[:-1], output.last_hidden_state], passed


def _same(one: Any, other: Tensor) -> bool:
    return (
        isinstance(one, Tensor)
        and one.shape == other.shape
        and torch.allclose(one.to(other.device), other, rtol=0, atol=0, equal_nan=True)
    )


def is_causal(base: Any, inputs: dict[str, Tensor]) -> bool:
    """Return whether a change of the last token leaves the states before it as they were.

    The model is run to find out, because configs do not reliably say it. `inputs` are two texts that differ in the last
    token.
    """
    states = base(**inputs, **no_cache(base)).last_hidden_state[:, :-1].float()
    return bool((states[0] - states[1]).norm() <= 1e-4 * states[0].norm())


def _unsupported(base: Any, problem: str) -> str:
    return (
        f"{type(base).__name__} is not supported: {problem}. Use a model that is one stack of blocks, each "
        "used once: BERT, RoBERTa, DeBERTa, ModernBERT, GPT-2, LLaMA, Qwen and their like."
    )


def length_limit(base: Any, tokenizer: Any, given: int | None) -> int:
    """Return how many tokens a sentence may have: `given`, or else the smaller of the model's and the tokenizer's
    limit. ClvqError where `given` is too small, or more than the model takes."""
    config = base.config.get_text_config()
    limits = [value for key in _LENGTH_KEYS if isinstance(value := getattr(config, key, None), int) and value > 0]
    for name, module in base.named_modules():
        # RoBERTa and similar models count positions from the padding id, so the first positions are never used.
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            limits = [module.weight.shape[0] - module.padding_idx - 1]
    if getattr(config, "attention_type", None) == "block_sparse":
        # BigBird attends in full up to this length, and beyond it in random blocks, which a shorter text turns off.
        limits.append((5 + 2 * config.num_random_blocks) * config.block_size)
    model_limit = min(limits, default=None)
    least = tokenizer.num_special_tokens_to_add(pair=False) + 1
    if given is not None:
        if not least <= given <= (model_limit or given):
            upper = f"at most {model_limit}" if model_limit else "no upper limit"
            raise ClvqError(
                f"a maximum length of {given} tokens does not fit {base.name_or_path or 'the model'}: "
                f"give at least {least} (special tokens and one of the text), {upper}."
            )
        return given
    # Tokenizers without a limit give 10^30; some files hold impossible limits.
    own = tokenizer.model_max_length
    sane = [int(own)] if least <= own < 10**7 else []
    return min([*([model_limit] if model_limit else []), *sane], default=_NO_LIMIT)


class _EnoughError(Exception):
    """Raised by a hook once the last wanted layer is seen, so that the blocks above it do not run."""


@contextmanager
def capturing(
    sites: Sequence[Site],
    layers: Sequence[int],
    gather: Callable[[Tensor], Tensor],
    captured: dict[int, Tensor],
    *,
    device: torch.device,
    stop: bool,
) -> Iterator[None]:
    """Fill `captured` with what `gather` makes of each layer's states `[B, T, D]` while the model runs.

    Layers may be on several devices; their states are moved to `device`. `stop` ends the run at the highest layer.
    """
    highest = max(layers, default=-1)

    def keep(layer: int) -> Callable[[Tensor], None]:
        def take(state: Tensor) -> None:
            captured[layer] = gather(state.to(device))
            if stop and layer == highest:
                raise _EnoughError

        return take

    handles = [watch(sites[layer], keep(layer)) for layer in set(layers)]
    try:
        yield
    except _EnoughError:
        pass
    finally:
        for handle in handles:
            handle.remove()
