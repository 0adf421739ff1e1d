"""Running a model on from a layer: the blocks below it run once, those above it once for each set of states to try.

A hook puts given states in place of the layer's own (`sites.splice`). If a trial shows that this changes nothing, the
embeddings then return the given states, and the blocks below their input; else these run in vain. The last block runs
for the one position that the answer is read from, if a trial shows that there is one (`last_block`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from clvq.errors import ClvqError
from clvq.language_model.advice import model_code
from clvq.language_model.batching import Sharing
from clvq.language_model.continuations import ALONE, extended, extended_states, joined, longest, states_behind
from clvq.language_model.inputs import Inputs
from clvq.language_model.last_block import LastBlock
from clvq.language_model.model import LanguageModel
from clvq.language_model.sites import capturing, no_cache, replaced, splice, watch
from clvq.language_model.tokenization import TokenizedSentence

_TRIAL = ("one two three four five", "one")


class UpperLayers:
    """The part of a language model above `layer`, differentiable in the states that go in.

        inputs = upper.inputs(sentences)
        states = upper.states(inputs)             # [B, T, D] at the layer, once
        scores = upper.scores(states, inputs)     # of these or of any other states, as often as needed

    Scores `[B, C]` are those of the model's target (`targets`), in 32 bits. The model's own states give its own scores:
    to the last bit where all blocks above run in full, or but for rounding where the last one runs for the read
    position alone. The model's parameters no longer get gradients.
    """

    def __init__(self, model: LanguageModel, layer: int) -> None:
        """Prepare the model, and test it. ClvqError where it has no such layer, no head, or does not run on as it
        should."""
        if model.target is None:
            raise ClvqError(
                f"{model.model_id} predicts nothing that could be explained: {model.no_head_reason}. "
                "Use a model with a classification head, or a causal language model."
            )
        self.model = model
        self.target = model.target
        self.layer = layer
        self._site = model.locate(layer)
        model.model.requires_grad_(False)
        self._below: dict[nn.Module, Callable[..., Any]] = {}
        self._embeddings: nn.Module | None = None
        self._last: LastBlock | None = None
        self._reads = "last"
        blocks = _blocks(model)
        texts = self._trial_texts()
        self._try_out(blocks[:layer], self._together(texts))
        if blocks[layer:] and self.target.forwards == ALONE:
            batches = [texts, *([text] for text in texts)] if len(texts) > 1 else [texts]
            self._try_last(blocks[-1], [self._together(batch) for batch in batches])

    @property
    def reads_one_position(self) -> bool:
        """Whether the last block runs only for the position that the model's answer is read from."""
        return self._last is not None

    @property
    def skips_below(self) -> bool:
        """Whether the blocks below the layer are skipped when the model runs on."""
        return bool(self._below)

    @property
    def skips_embeddings(self) -> bool:
        """Whether the embeddings are skipped too."""
        return self._embeddings is not None

    def inputs(self, sentences: Sequence[TokenizedSentence], parts: Sequence[int] | None = None) -> Inputs:
        """Return sentences as one batch, such as `LanguageModel.batches` yields; each must have a token.

        For a target with parts, `parts` says which part each sentence is asked. ClvqError where `parts` is then
        missing, or the sentences cannot share a batch.
        """
        lengths = [len(sentence.input_ids) for sentence in sentences]
        if len(lengths) > 1 and not all(self.model.sharing.allows(lengths[0], length) for length in lengths):
            raise ClvqError(
                f"{self.model.model_id} takes {self.model.sharing.value} in one batch. Give other texts in "
                "another call."
            )
        # The padding id of a batch: one sentence becomes several when many states of it are tried at a time.
        pad = self.model.tensors.padding_id([*sentences, *sentences], self.model.head_reads_padding)
        if pad is None:
            raise ClvqError(
                f"{len(sentences)} texts use every token of {self.model.model_id}, so none is left to pad with. "
                "Give fewer at a time."
            )
        inputs = self.model.tensors.of(sentences, pad)
        fixed = None
        if any(sentence.fixed_tokens for sentence in sentences):
            fixed = torch.zeros_like(inputs["input_ids"], dtype=torch.bool)
            for row, sentence in enumerate(sentences):
                fixed[row, list(sentence.fixed_tokens)] = True
        places = self._places(sentences, parts) if self.target.has_places else None
        return Inputs(**inputs, pad=pad, fixed=fixed, behind=self._behind(inputs, pad), places=places)

    def _places(self, sentences: Sequence[TokenizedSentence], parts: Sequence[int] | None) -> Tensor:
        if self.target.has_parts and parts is None:
            raise ClvqError(
                f"{self.model.model_id} gives several answers ({self.target.kind}) for each text, and this takes "
                "one answer for each text. `clvq explain` and `clvq faithfulness` ask for all of them."
            )
        asked = zip(sentences, parts or [0] * len(sentences), strict=True)
        return torch.tensor([self.target.place(*one) for one in asked], device=self.model.device)

    @torch.no_grad()
    def _behind(self, inputs: dict[str, Tensor], pad: int) -> Tensor | None:
        if self.target.forwards == ALONE:
            return None
        mask = inputs["attention_mask"]
        return joined(
            [states_behind(self._own(extended(inputs, some, pad)), mask, some) for some in self.target.forwards]
        )

    @torch.no_grad()
    def states(self, inputs: Inputs) -> Tensor:
        """Return the model's own states at the layer `[B, T, D]`; the blocks above do not run."""
        return self._own(inputs.arguments)

    def _own(self, arguments: dict[str, Tensor]) -> Tensor:
        captured: dict[int, Tensor] = {}
        model = self.model
        own = capturing(model.sites, [self.layer], lambda state: state, captured, device=model.device, stop=True)
        with model_code(model.model_id), own:
            model.base(**arguments, **no_cache(model.base))
        return captured[self.layer]

    def scores(self, states: Tensor, inputs: Inputs) -> Tensor:
        """Return the scores that `states` `[B, T, D]` at the layer give; states at padding have no influence.

        Tokens that are appended to the texts, to ask for words of several tokens, keep their own states at the layer.
        """
        if inputs.behind is not None:
            return self.target.scores(joined(list(self._logits_behind(states, inputs, inputs.behind))))
        with self._spliced(states), self._read_out(inputs):
            return self._run(inputs)

    def _logits_behind(self, states: Tensor, inputs: Inputs, behind: Tensor) -> Iterator[Tensor]:
        """Yield the logits of each forward that the target needs, for `states` of the texts and `behind` after them."""
        first = 0
        for some in self.target.forwards:
            own = behind[:, first : first + len(some), : longest(some)]
            first += len(some)
            with self._spliced(extended_states(states, own, inputs.attention_mask)):
                yield self.model.head.logits_behind(inputs.arguments, some, inputs.pad)

    def next_tokens(self, states: Tensor, inputs: Inputs) -> Tensor:
        """Return the logits `[B, T, V]` of the next token at every token, for `states` `[B, T, D]` at the layer."""
        with self._spliced(states):
            return self.model.head.next_tokens(inputs.arguments)

    @contextmanager
    def _spliced(self, states: Tensor) -> Iterator[None]:
        """Let the model run on from `states` while the context lasts."""
        skipped = {} if self._embeddings is None else {self._embeddings: lambda *_, **__: states}
        handle = splice(self._site, states)
        try:
            with replaced({**self._below, **skipped}):
                yield
        finally:
            handle.remove()

    def _run(self, inputs: Inputs) -> Tensor:
        output = self.model.head.output(self.target, inputs.arguments, inputs.pad, inputs.places)
        return self.target.scores(output, inputs.places)

    def _read_out(self, inputs: Inputs) -> AbstractContextManager[None]:
        """Return a context in which the last block runs for the read position alone, where trials proved that it
        may."""
        return nullcontext() if self._last is None else self._last.only(_read(inputs, self._reads))

    def _trial_texts(self) -> list[TokenizedSentence]:
        """Return two short texts, or one where two cannot share a forward."""
        trial = [self.model.input_format.joined(dict.fromkeys(self.model.input_format.parts, text)) for text in _TRIAL]
        texts = [text for text in self.model.tokenize(trial) if text.input_ids]
        return texts if self.model.sharing is Sharing.ANY else texts[:1]

    def _together(self, texts: list[TokenizedSentence]) -> Inputs:
        return self.inputs(texts, [self.target.parts(text)[0] for text in texts])

    @torch.no_grad()
    def _try_out(self, blocks: list[nn.Module], inputs: Inputs) -> None:
        """Test on short texts that the model's own states give its own scores; ClvqError where they do not. Skip what
        is below only if other states give the same scores whether it runs or not."""
        outputs: dict[nn.Module, Any] = {}
        entering: list[Tensor] = []
        inside = [module for module in self.model.base.modules() if module is not self.model.base]
        handles = [module.register_forward_hook(lambda m, _, output: outputs.update({m: output})) for module in inside]
        handles.append(watch(self.model.sites[0], entering.append))
        try:
            plain = self._run(inputs)
        finally:
            for handle in handles:
                handle.remove()
        if not plain.isfinite().all():
            raise ClvqError(f"{self.model.model_id} answers NaN or infinity: check the weights of its head.")
        states = self.states(inputs)
        ours = self.scores(states, inputs)
        # Appended tokens make another batch, and so other rounding.
        is_same = torch.equal(ours, plain) if inputs.behind is None else torch.allclose(ours, plain, 1e-3, 1e-3)
        if not is_same:
            raise ClvqError(
                f"{self.model.model_id} cannot be run on from layer {self.layer}: its own states there do not give "
                "its own scores. Train on another --input-layer."
            )
        others = (states, states / 2)
        expected = [self.scores(other, inputs) for other in others]

        def is_proved() -> bool:
            try:
                return all(map(torch.equal, (self.scores(other, inputs) for other in others), expected))
            except Exception:  # some code may need more of a block's output than a tuple with states
                return False

        self._below = {block: _passing_like(outputs[block]) for block in blocks if block in outputs}
        self._below = self._below if is_proved() else {}
        # Of nested modules whose output enters the first block, the outermost one ended last.
        self._embeddings = next((one for one, output in reversed(outputs.items()) if output is entering[0]), None)
        self._embeddings = self._embeddings if is_proved() else None

    @torch.no_grad()
    def _try_last(self, block: nn.Module, trials: list[Inputs]) -> None:
        """Let the last block run for one position alone, if trials prove that the answers need no other
        (`LastBlock.tried`).

        The position is the first or the last token of a text, or the one that the target names. For a decoder only the
        last token is tried: without padding it has no mask that would hide later tokens.
        """
        attention = getattr(self.model.config.get_text_config(), "_attn_implementation", None)
        candidates = ("place",) if self.target.reads_place else ("first", "last")
        for reads in {"last"}.intersection(candidates) if self.model.is_decoder else candidates:
            runs = [
                (partial(self.scores, states, inputs), _read(inputs, reads))
                for inputs in trials
                for own in (self.states(inputs),)
                for states in (own, own / 2)
            ]
            if (last := LastBlock.tried(block, attention, runs)) is not None:
                self._last, self._reads = last, reads
                return


def _blocks(model: LanguageModel) -> list[nn.Module]:
    """Return the blocks of a model, the lowest first; empty where the model holds no list of them."""
    first = model.locate(0).module
    stacks = (list(module) for module in model.base.modules() if isinstance(module, nn.ModuleList))
    return next((stack for stack in stacks if stack and stack[0] is first), [])


def _read(inputs: Inputs, reads: str) -> Tensor:
    """Return the position `[B]` of each text that is read: its first or its last token, or its place."""
    if reads == "place":
        assert inputs.places is not None, "a target that reads a place has one"
        return inputs.places
    last = inputs.attention_mask.sum(dim=1) - 1
    return torch.zeros_like(last) if reads == "first" else last


def _passing_like(output: Any) -> Callable[..., Any]:
    """Return a forward for a block that returns its input in the form of the block's output."""
    others = len(output) - 1 if isinstance(output, tuple) else None

    def forward(hidden_states: Tensor, *_: Any, **__: Any) -> Any:
        return hidden_states if others is None else (hidden_states, *[None] * others)

    return forward
