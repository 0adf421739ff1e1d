"""A Hugging Face encoder or decoder-only model: hidden states of words at layers, and predictions.

`layers` finds where the states pass, `model_files` loads what is on disk. Layer `i` is index `i` of Hugging Face
`hidden_states`: 0 the embeddings, `i` the output of block `i`, the last one the state after the final norm.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor

from clvq.artifacts import RANDOMIZED
from clvq.device import pick_device
from clvq.errors import ClvqError
from clvq.language_model.advice import model_code
from clvq.language_model.batching import Sharing, batches_by_length, try_sharing
from clvq.language_model.continuations import ALONE, extended, longest
from clvq.language_model.input_format import InputFormat
from clvq.language_model.loading import MASKED, explained, load_files, split_revision
from clvq.language_model.placement import USUAL, Placement, device_of
from clvq.language_model.randomized import randomize
from clvq.language_model.rows import BatchRows, row_layout
from clvq.language_model.sites import Site, find_sites, is_causal, length_limit, no_cache, watch
from clvq.language_model.targets import NOTHING, Asked, Target, head_target
from clvq.language_model.tokenization import TokenizedSentence, WordTokenizer, filler_ids, special_ids
from clvq.progress import Progress, Report, silent


class BatchResult(NamedTuple):
    """What `LanguageModel.run` gives, on the model's device; R: rows of all sentences, C: answers."""

    hidden: dict[int, Tensor]
    """For each layer `[R, D]`, the sentences' rows one after another, in the model's type."""
    row_counts: list[int]
    """Rows of each sentence; 0 for a sentence without tokens."""
    scores: Tensor | None
    """`[B, C]` of the model's target in 32 bits (`Target.overview`), NaN for a sentence without tokens; None when none
    were asked for."""


class _EnoughError(Exception):
    """Raised by a hook once the last wanted layer is seen, so that the blocks above it do not run."""


class LanguageModel:
    """A model in evaluation mode with its tokenizer. `load` reads one; `tokenize`, then `run`."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        model_id: str,
        revision: str | None = None,
        fingerprint: str = "",
        no_head_reason: str | None = None,
        max_length: int | None = None,
        asked: Asked = NOTHING,
        input_format: InputFormat | None = None,
    ) -> None:
        """`model` with its classification head; or, and why in `no_head_reason`, the base model alone or with its
        head for the next token, of which `asked` is asked."""
        self.model_id = model_id
        self.revision = revision
        self.fingerprint = fingerprint
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.base = model.base_model
        headless = "it was given as a base model" if self.base is model else None
        self.no_head_reason = no_head_reason or headless
        self.config = model.config
        self.architecture: str = (self.config.architectures or [type(model).__name__])[0]
        predicts_words = self.no_head_reason is not None and self.base is not model
        self.predicts_masks = predicts_words and self.architecture.endswith(MASKED)
        """Whether `model` is a masked language model with its head."""
        self.predicts_next_token = predicts_words and not self.predicts_masks
        """Whether `model` is a language model with the head that predicts the next token."""
        self.device: torch.device = device_of(model)
        self.dtype: torch.dtype = model.dtype
        self._text_config = self.config.get_text_config()
        self.config.return_dict = self._text_config.return_dict = True  # whatever its file says: outputs have names
        pad = getattr(self._text_config, "pad_token_id", None)
        self._vocabulary_size: int = self.base.get_input_embeddings().weight.shape[0]
        self._configured_pad = pad if pad is not None and 0 <= pad < self._vocabulary_size else None
        self.filler_ids = filler_ids(tokenizer, self._configured_pad, self._vocabulary_size)
        """Ids that say least, the best first: padding, or what stands in for it."""
        special = special_ids(tokenizer)
        ordinary = [number for number in range(self._vocabulary_size) if number not in special]
        probe = ordinary[:5]
        with torch.inference_mode():
            blocks = getattr(self._text_config, "num_hidden_layers", 0)
            self._sites, self._widths = find_sites(self.base, blocks, self.ids([probe]))
            self.is_decoder = is_causal(self.base, self.ids([probe[:4], [*probe[:3], probe[-1]]]))
        keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._keeps_last = keeps and self.predicts_next_token
        self.target = self._target_of(asked)
        """What is asked of the model; None where it has no head that answers."""
        self.num_layers = len(self._sites) - 1
        continuations = ALONE if self.target is None else self.target.continuations
        # What stands behind a text when the model is asked has to fit too.
        self.max_length = length_limit(self.base, tokenizer, max_length) - longest(continuations)
        self.input_format = input_format or InputFormat()
        """What stands around the texts that `tokenize` takes."""
        has_mask = self.target is not None and self.target.reads_mask
        if has_mask:
            self.input_format = self.input_format.with_mask(tokenizer, model_id)
        self._word_tokenizer = WordTokenizer(
            tokenizer,
            max_length=self.max_length,
            is_decoder=self.is_decoder,
            input_format=self.input_format,
            has_mask=has_mask,
        )
        self.sharing = Sharing.ANY
        """Which sentences may share a forward, found by a trial."""
        self.sharing = try_sharing(self._trial_values, ordinary, self.max_length)

    @classmethod
    def load(
        cls,
        model: str,
        *,
        revision: str | None = None,
        device: str | None = None,
        trust_remote_code: bool = False,
        max_length: int | None = None,
        next_token: bool = False,
        randomized: bool = False,
        asked: Asked = NOTHING,
        placement: Placement = USUAL,
        format_of: Callable[[Any, str], InputFormat] | None = None,
        progress: Report = silent,
    ) -> LanguageModel:
        """Load `model`: a local folder, `user/name`, or `user/name@revision`.

        Weights come from safetensors only: in 32 bits, on CUDA in the checkpoint's own type. `device` None is
        CUDA where there is one, else the CPU; `placement` asks for another type, fewer bits or several devices.
        `max_length` counts tokens, special ones included; it may go beyond what the tokenizer says, not beyond what the
        model takes. With `next_token` a causal language model keeps the head that predicts its next token; hidden
        states and fingerprint are the same without. So it does where something is `asked` of that head, and so does a
        masked language model that is asked for label words. With
        `randomized` the values of each weight are in a random order, and the fingerprint says so. `format_of` says what
        stands around texts, from the tokenizer and the model's name; None: nothing. `progress` is told where not all
        sentences may share a batch.
        """
        name, revision = split_revision(model, revision)
        with explained(name):
            files = load_files(
                name,
                revision,
                pick_device(device),
                trust_remote_code,
                next_token=next_token or bool(asked),
                masks=bool(asked.label_words),
                placement=placement,
            )
            if randomized:
                randomize(files.model)
            loaded = cls(
                files.model,
                files.tokenizer,
                model_id=name,
                revision=files.commit,
                fingerprint=f"{RANDOMIZED}{files.fingerprint}" if randomized else files.fingerprint,
                no_head_reason=files.no_head_reason,
                max_length=max_length,
                asked=asked,
                input_format=None if format_of is None else format_of(files.tokenizer, name),
            )
            loaded._refuse_long_prompt()
        if note := loaded.sharing.note(name):
            progress(Progress("model", note=note))
        return loaded

    def _target_of(self, asked: Asked) -> Target | None:
        """Return what is asked of the model: by its head, or by `asked` of the next token or of a mask. ClvqError where
        it cannot be asked that."""
        if self.predicts_masks:
            return asked.cloze(self.tokenizer) if asked.label_words else None
        answers = self.predicts_next_token and self.is_decoder
        if asked and not answers:
            reason = "it has a classification head" if self.no_head_reason is None else self.no_head_reason
            raise ClvqError(
                f"{self.model_id} gives no next token ({reason}): --target is for causal language models, and label "
                "words are for these and for masked ones. Leave them out, or use such a model."
            )
        if self.no_head_reason is None:
            return head_target(self.config, self.architecture)
        return asked.target(self.tokenizer, self.model.get_output_embeddings().weight.shape[0]) if answers else None

    @property
    def label_names(self) -> list[str] | None:
        """Names of the answers that labels and predictions number; None where there are none."""
        return None if self.target is None else self.target.names

    @property
    def head_reads_padding(self) -> bool:
        """Whether the head finds the last token of a text by the padding behind it."""
        return self.target is not None and self.target.reads_padding

    def _refuse_long_prompt(self) -> None:
        """Raise ClvqError where a prompt leaves no token for the text."""
        if self.input_format.is_plain:
            return
        (empty,) = self._word_tokenizer(
            [self.input_format.joined(dict.fromkeys(self.input_format.parts, ""))], "token", "text"
        )
        if len(empty.input_ids) >= self.max_length:
            raise ClvqError(
                f"The prompt alone has {len(empty.input_ids)} tokens, and {self.model_id} takes {self.max_length}: "
                "nothing is left for the text. Give a shorter --prompt, or a larger --max-length."
            )

    def width(self, layer: int) -> int:
        """Size of the hidden states at `layer`."""
        self.check_layers([layer])
        return self._widths[layer]

    def check_layers(self, layers: Sequence[int]) -> None:
        """Refuse a layer that the model does not have."""
        wrong = [layer for layer in layers if not 0 <= layer <= self.num_layers]
        if wrong:
            raise ClvqError(
                f"{self.model_id} has no layer {', '.join(map(str, wrong))}: its layers are 0 (embeddings) "
                f"to {self.num_layers}."
            )

    def locate(self, layer: int) -> Site:
        """The module and side where the states of `layer` pass, for reading, editing and splicing alike."""
        self.check_layers([layer])
        return self._sites[layer]

    def tokenize(self, texts: Sequence[str], unit: str = "word", words: str = "text") -> list[TokenizedSentence]:
        """Tokens of each text, joined to words found as `words` says, or with `unit` "token" one by one.

        A token without a visible character (spaces, line ends, a bare "▁") is nobody's and has no row.
        """
        sentences = self._word_tokenizer(texts, unit, words)
        largest = max((max(sentence.input_ids, default=0) for sentence in sentences), default=0)
        if largest >= self._vocabulary_size:
            raise ClvqError(
                f"the tokenizer of {self.model_id} gives token {largest}, but the model has "
                f"{self._vocabulary_size} embeddings: copy the tokenizer's files from the same model."
            )
        return sentences

    def batches(self, sentences: Sequence[TokenizedSentence], batch_tokens: int) -> Iterator[list[int]]:
        """Yield indices of sentences that may share a forward, those of like length together, the longest first.

        With padding a batch has at most `batch_tokens` tokens, or one sentence.
        """
        return batches_by_length([len(sentence.input_ids) for sentence in sentences], batch_tokens, self.sharing)

    def run(
        self,
        sentences: Sequence[TokenizedSentence],
        layers: Sequence[int],
        pooling: str = "last",
        predict: bool = False,
    ) -> BatchResult:
        """States of all rows of `sentences` at `layers`, and the target's scores when `predict`, in one forward where
        they may share it.

        A word's row is the state of its last sub-word, its first, or their mean, as `pooling` says. Without
        `predict` the blocks above the highest layer do not run.
        """
        self.check_layers(layers)
        if predict and self.target is None:
            raise ClvqError(f"{self.model_id} cannot predict: {self.no_head_reason}.")
        pad = self.padding_id(sentences, predict and self.head_reads_padding)
        groups = self._groups(sentences, pad)
        if pad is None or len(groups) > 1:
            parts = [self.run(group, layers, pooling, predict) for group in groups]
            return BatchResult(
                {layer: torch.cat([part.hidden[layer] for part in parts]) for layer in layers},
                [count for part in parts for count in part.row_counts],
                torch.cat([part.scores for part in parts if part.scores is not None]) if predict else None,
            )
        layouts = [row_layout(sentence, pooling) for sentence in sentences]
        place: dict[str, Any] = {"dtype": self.dtype, "device": self.device}
        hidden = {layer: torch.empty(0, self._widths[layer], **place) for layer in layers}
        scores: Tensor | None = None
        if predict and self.target is not None:
            scores = torch.full((len(sentences), self.target.stored_width), torch.nan, device=self.device)
        present = [index for index, sentence in enumerate(sentences) if sentence.input_ids]
        if present and (layers or predict):
            inputs = self.inputs([sentences[index] for index in present], pad)
            rows = BatchRows([layouts[index] for index in present], self.device)
            captured: dict[int, Tensor] = {}
            # What stands behind the texts makes another batch of them; states are always those of the texts alone.
            apart = predict and self.target is not None and self.target.continuations != ALONE
            capturing = self.capturing(layers, rows.gather, captured, stop=apart or not predict)
            with torch.inference_mode(), model_code(self.model_id), capturing:
                if predict and not apart:
                    masks = self.masks([sentences[index] for index in present])
                    answered = self.output(inputs, pad if len(present) > 1 else None, masks)
                else:
                    self.base(**inputs, **no_cache(self.base))
            if apart:
                with torch.inference_mode(), model_code(self.model_id):
                    answered = self.output(inputs, pad)
            # Copies made here, outside inference mode, may take part in a later autograd graph.
            hidden = {layer: captured[layer].clone() for layer in layers}
            if scores is not None and self.target is not None:
                scores[present] = self.target.overview(answered)
        return BatchResult(hidden, [len(layout.flags) for layout in layouts], scores)

    def masks(self, sentences: Sequence[TokenizedSentence]) -> Tensor | None:
        """Return where the mask of the prompt is in each sentence `[B]`; None for a target that reads none."""
        if self.target is None or not self.target.reads_mask:
            return None
        return torch.tensor([sentence.sentence_token for sentence in sentences], device=self.device)

    def output(self, inputs: Mapping[str, Tensor], pad: int | None, masks: Tensor | None = None) -> Tensor:
        """Return the logits of the head, of the next token or at the mask, from which the target takes scores, in 32
        bits.

        `inputs` are what `inputs` gives, padded on the right. `pad` is what stands at padding, for a head that looks
        for it where no config names it. `masks` are what `masks` gives.
        """
        assert self.target is not None, "a model without a head has no output"
        arguments: dict[str, Any] = no_cache(self.model)
        last = inputs["attention_mask"].sum(dim=1) - 1
        if self.target.continuations != ALONE:
            return self._logits_behind(extended(inputs, self.target.continuations, pad or 0), last)
        if self.target.reads_mask:
            assert masks is not None, "where the masks are must be said"
            return self._logits_at(inputs, masks)
        if self._keeps_last:
            places, last = last.unique(return_inverse=True)  # [P]: batches are of like length, so these are few
            arguments["logits_to_keep"] = places
        with model_code(self.model_id), self.head_padding(pad if self.head_reads_padding else None):
            output: Tensor = self.model(**inputs, **arguments).logits
        if self.target.reads_next_token:
            output = output[torch.arange(len(output), device=output.device), last]
        return output.float()

    def next_tokens(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the logits `[B, T, V]` of the next token at every token, in 32 bits, of a causal language model."""
        with model_code(self.model_id):
            output: Tensor = self.model(**inputs, **no_cache(self.model)).logits
        return output.float()

    def _logits_behind(self, inputs: Mapping[str, Tensor], last: Tensor) -> Tensor:
        """Logits `[B, M, K + 1, V]` at the last tokens `[B]` of texts and behind them, of `extended` inputs, in 32
        bits."""
        assert self.target is not None
        arguments: dict[str, Any] = no_cache(self.model)
        steps = last[:, None] + torch.arange(longest(self.target.continuations) + 1, device=last.device)  # [B, K + 1]
        if self._keeps_last:
            arguments["logits_to_keep"], steps = steps.unique(return_inverse=True)
        with model_code(self.model_id):
            output: Tensor = self.model(**inputs, **arguments).logits
        by_text = output.reshape(len(self.target.continuations), len(last), *output.shape[1:]).transpose(0, 1)
        text = torch.arange(len(last), device=last.device)
        return by_text.transpose(1, 2)[text[:, None], steps].transpose(1, 2).float()

    def _logits_at(self, inputs: Mapping[str, Tensor], tokens: Tensor) -> Tensor:
        """Logits `[B, V]` over the vocabulary at one token `[B]` of each text, in 32 bits.

        The step to the vocabulary takes most of a small model's time, so it is made at these tokens alone, where the
        model has a module for it.
        """
        text = torch.arange(len(tokens), device=tokens.device)

        def only(_module: Any, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
            states = given[0]
            if states.dim() != 3:
                return None
            return states[text.to(states.device), tokens.to(states.device)][:, None], *given[1:]

        head = self.model.get_output_embeddings()
        handle = None if head is None else head.register_forward_pre_hook(only)
        try:
            with model_code(self.model_id):
                output: Tensor = self.model(**inputs).logits
        finally:
            if handle is not None:
                handle.remove()
        return (output[:, 0] if output.shape[1] == 1 else output[text, tokens]).float()

    def _groups(self, sentences: Sequence[TokenizedSentence], pad: int | None) -> list[list[TokenizedSentence]]:
        """The sentences in their order, cut into those that share a forward."""
        if pad is None or self.sharing is Sharing.ALONE:
            return [[sentence] for sentence in sentences]
        if self.sharing is Sharing.EQUAL:
            return [list(group) for _, group in groupby(sentences, key=lambda sentence: len(sentence.input_ids))]
        return [list(sentences)]

    def _trial_values(self, sentences: list[TokenizedSentence]) -> list[Tensor]:
        """States of all tokens at all layers, and, where there is a classification head, its answers."""
        result = self.run(sentences, range(self.num_layers + 1), predict=self.head_reads_padding)
        answers = [] if result.scores is None or self.target is None else [self.target.stored(result.scores)]
        return [*result.hidden.values(), *answers]

    def ids(self, rows: list[list[int]], pad: int = 0) -> dict[str, Tensor]:
        """Input ids and attention mask `[B, T]`, padded on the right.

        On the right a token's position is the same whether the model counts indices, the mask or ids that are
        not padding, so no position ids are needed.
        """
        longest = max(map(len, rows))
        ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        return {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}

    def inputs(self, sentences: Sequence[TokenizedSentence], pad: int = 0) -> dict[str, Tensor]:
        """What the model takes for sentences `[B, T]`: `ids`, and, where it is told, which of two texts a token is
        from."""
        inputs = self.ids([sentence.input_ids for sentence in sentences], pad)
        if any(sentence.token_types for sentence in sentences):
            longest = inputs["input_ids"].shape[1]
            types = [[*sentence.token_types, *[0] * (longest - len(sentence.token_types))] for sentence in sentences]
            inputs["token_type_ids"] = torch.tensor(types, device=self.device)
        return inputs

    def padding_id(self, sentences: Sequence[TokenizedSentence], predict: bool) -> int | None:
        """Id to pad with; None where only one sentence at a time gives the right prediction.

        A decoder's head reads the last token that is not `pad_token_id`. Where the model has that id, padding
        with it leaves what an unpadded forward reads. Where it has none, the batch gets an id that is in none
        of its texts.
        """
        if self._configured_pad is not None or not predict or len(sentences) == 1:
            return self.filler_ids[0]
        used = {number for sentence in sentences for number in sentence.input_ids}
        return next((id_ for id_ in chain(self.filler_ids, range(self._vocabulary_size)) if id_ not in used), None)

    @contextmanager
    def head_padding(self, pad: int | None) -> Iterator[None]:
        """A decoder's head refuses a batch when its config names no padding id: name `pad` for a while."""
        configured = getattr(self._text_config, "pad_token_id", None)
        if pad is not None and self._configured_pad is None:
            self._text_config.pad_token_id = pad
        try:
            yield
        finally:
            self._text_config.pad_token_id = configured

    @contextmanager
    def capturing(
        self,
        layers: Sequence[int],
        gather: Callable[[Tensor], Tensor],
        captured: dict[int, Tensor],
        stop: bool,
    ) -> Iterator[None]:
        """Fill `captured` with each layer's rows while the model runs; `stop` ends the run at the highest."""
        highest = max(layers, default=-1)

        def keep(layer: int) -> Callable[[Tensor], None]:
            def take(state: Tensor) -> None:
                captured[layer] = gather(state.to(self.device))
                if stop and layer == highest:
                    raise _EnoughError

            return take

        handles = [watch(self._sites[layer], keep(layer)) for layer in set(layers)]
        try:
            yield
        except _EnoughError:
            pass
        finally:
            for handle in handles:
                handle.remove()
