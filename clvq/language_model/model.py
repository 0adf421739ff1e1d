"""A Hugging Face encoder or decoder-only model: hidden states of words at layers, and predictions.

The module `sites` finds where the states pass, and `loading` loads what is on disk. Layer `i` is index `i` of Hugging
Face `hidden_states`: 0 is the embeddings, `i` the output of block `i`, the last one the state after the final norm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from clvq.artifacts import RANDOMIZED
from clvq.config import DEMO
from clvq.demo import MODEL_PATH
from clvq.device import pick_device
from clvq.errors import ClvqError
from clvq.language_model.answers import Target
from clvq.language_model.batching import Sharing, batches_by_length, has_growing_positions, try_sharing
from clvq.language_model.continuations import longest
from clvq.language_model.forward import BatchResult, run_together
from clvq.language_model.head import Head
from clvq.language_model.head_targets import head_target
from clvq.language_model.input_format import InputFormat
from clvq.language_model.loading import MASKED, LoadedFiles, explained, load_files, split_revision
from clvq.language_model.options import USUAL_OPTIONS, ModelOptions
from clvq.language_model.placement import device_of
from clvq.language_model.randomized import randomize
from clvq.language_model.sites import Site, base_of, find_sites, is_causal, length_limit
from clvq.language_model.special_tokens import special_ids
from clvq.language_model.targets import NOTHING, Asked
from clvq.language_model.tensors import Tensors
from clvq.language_model.tokenization import TokenizedSentence, WordTokenizer
from clvq.language_model.word_targets import LabelWordTarget
from clvq.progress import Progress, Report, silent


class LanguageModel:
    """A model in evaluation mode with its tokenizer. `load` reads one; call `tokenize` on texts, then `run`."""

    def __init__(
        self,
        files: LoadedFiles,
        *,
        model_id: str,
        max_length: int | None = None,
        asked: Asked = NOTHING,
        input_format: InputFormat | None = None,
    ) -> None:
        """Take the model of `files`; `asked` says what is asked of it where its head predicts tokens."""
        model, tokenizer, self.revision, self.fingerprint, no_head_reason = files
        self.model_id = model_id
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.base = base_of(model)
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
        # Outputs have named fields, whatever the config's file says.
        self.config.return_dict = self.config.get_text_config().return_dict = True
        self.tensors = Tensors(model, tokenizer)
        """Makes the model's inputs from sentences."""
        self.head = Head(model, model_id, self.tensors, self.predicts_next_token)
        special = special_ids(tokenizer)
        ordinary = [number for number in range(self.tensors.vocabulary_size) if number not in special]
        self._look_inside(ordinary[:5])
        self.num_layers = len(self.sites) - 1
        self.target = self._target_of(asked)
        """What is asked of the model; None where it has no head that answers."""
        self._take_texts(max_length, input_format or InputFormat())
        self.sharing = Sharing.ANY
        """Which sentences may share a forward, found by a trial."""
        self.sharing = try_sharing(self._trial_values, ordinary, self.max_length)
        if self.sharing is Sharing.ANY and has_growing_positions(self.config.get_text_config()):
            self.sharing = Sharing.EQUAL  # the trial is too short to show it
        if isinstance(self.target, LabelWordTarget) and self.sharing is not Sharing.ANY:
            self.target = self.target.apart()

    def _take_texts(self, max_length: int | None, input_format: InputFormat) -> None:
        """Set how texts become tokens: in which format, and how long they may be."""
        # Tokens that are appended to a text when the model is asked have to fit too.
        appended = 0 if self.target is None else max(map(longest, self.target.forwards))
        self.max_length = length_limit(self.base, self.tokenizer, max_length) - appended
        has_mask = self.target is not None and self.target.reads_mask
        if has_mask:
            input_format = input_format.with_mask(self.tokenizer, self.model_id)
        elif self.predicts_next_token:
            input_format.refuse_mask(self.model_id)
        self.input_format = input_format
        """What stands around the texts that `tokenize` takes."""
        self._word_tokenizer = WordTokenizer(
            self.tokenizer,
            max_length=self.max_length,
            is_decoder=self.is_decoder,
            input_format=self.input_format,
            has_mask=has_mask,
        )

    @torch.inference_mode()
    def _look_inside(self, probe: list[int]) -> None:
        """Find, with five ordinary tokens, where the states of layers pass, and whether the model is causal."""
        blocks = getattr(self.config.get_text_config(), "num_hidden_layers", 0)
        self.sites, self._widths = find_sites(self.base, blocks, self.tensors.ids([probe]))
        """Where the states of each layer pass."""
        self.is_decoder = is_causal(self.base, self.tensors.ids([probe[:4], [*probe[:3], probe[-1]]]))

    @classmethod
    def load(
        cls,
        model: str,
        options: ModelOptions = USUAL_OPTIONS,
        *,
        format_of: Callable[[Any, str], InputFormat] | None = None,
        progress: Report = silent,
    ) -> LanguageModel:
        """Load `model`: a local folder, `user/name`, or `user/name@revision`.

            LanguageModel.load("user/name", ModelOptions(device="cpu"))

        Weights are read from safetensors only. They are loaded in 32 bits, on CUDA in the dtype of the checkpoint,
        unless the placement says otherwise. `format_of` makes the input format from the tokenizer and the model's name;
        None: texts stand alone. `progress` gets a note where not all sentences may share a batch.
        """
        name, revision = split_revision(model, options.revision)
        shown = DEMO if name == str(MODEL_PATH) else name
        with explained(shown):
            files = load_files(name, revision, pick_device(options.device), options)
            if options.randomized:
                randomize(files.model)
                files = files._replace(fingerprint=f"{RANDOMIZED}{files.fingerprint}")
            loaded = cls(
                files,
                model_id=shown,
                max_length=options.max_length,
                asked=options.asked,
                input_format=None if format_of is None else format_of(files.tokenizer, shown),
            )
            loaded._refuse_long_prompt()
        if note := loaded.sharing.note(shown):
            progress(Progress("model", note=note))
        return loaded

    def _target_of(self, asked: Asked) -> Target | None:
        """Return what is asked of the model: what its classification head answers, or what `asked` says about the next
        token or a mask; None where it has no such head. ClvqError where the model cannot answer `asked`."""
        if self.predicts_masks:
            return asked.cloze(self.tokenizer) if asked.label_words else None
        answers = self.predicts_next_token and self.is_decoder
        if asked and not answers:
            reason = "it has a classification head" if self.no_head_reason is None else self.no_head_reason
            raise ClvqError(
                f"{self.model_id} gives no next token ({reason}): --target needs a causal language model, and "
                "--label-words a causal or a masked one. Leave them out, or use such a model."
            )
        if self.no_head_reason is None:
            return head_target(self.config, self.architecture)
        return asked.target(self.tokenizer, self.model.get_output_embeddings().weight.shape[0]) if answers else None

    @property
    def label_names(self) -> list[str] | None:
        """Names of the answers; labels and predictions are indices into this list. None where there is no such list."""
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
        """Return the size of the hidden states at `layer`."""
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
        """Return the module and side where the states of `layer` pass, for reading, editing and splicing alike."""
        self.check_layers([layer])
        return self.sites[layer]

    def tokenize(self, texts: Sequence[str], unit: str = "word", words: str = "text") -> list[TokenizedSentence]:
        """Return the tokens of each text, joined to words that are found as `words` says; with `unit` "token" one by
        one.

        A token without a visible character (spaces, line ends, a bare "▁") belongs to no word and has no row.
        """
        sentences = self._word_tokenizer(texts, unit, words)
        largest = max((max(sentence.input_ids, default=0) for sentence in sentences), default=0)
        if largest >= self.tensors.vocabulary_size:
            raise ClvqError(
                f"the tokenizer of {self.model_id} gives token {largest}, but the model has "
                f"{self.tensors.vocabulary_size} embeddings: copy the tokenizer's files from the same model."
            )
        return sentences

    def batches(self, sentences: Sequence[TokenizedSentence], batch_tokens: int) -> Iterator[list[int]]:
        """Yield batches of indices of sentences that may share a forward, of similar length, the longest first.

        With padding, a batch has at most `batch_tokens` tokens, unless it is a single longer sentence.
        """
        return batches_by_length([len(sentence.input_ids) for sentence in sentences], batch_tokens, self.sharing)

    def run(
        self,
        sentences: Sequence[TokenizedSentence],
        layers: Sequence[int],
        pooling: str = "last",
        predict: bool = False,
    ) -> BatchResult:
        """Return the states of all rows of `sentences` at `layers`, and with `predict` the target's scores.

        The sentences go through the model in one forward where they may share it. A word's row is the state of its last
        or first sub-word, or the mean over its sub-words, as `pooling` says. Without `predict`, the blocks above the
        highest layer do not run. ClvqError where the model has no such layer, or cannot predict.
        """
        self.check_layers(layers)
        if predict and self.target is None:
            raise ClvqError(f"{self.model_id} cannot predict: {self.no_head_reason}.")
        pad = self.tensors.padding_id(sentences, predict and self.head_reads_padding)
        groups = self._groups(sentences, pad)
        if pad is None or len(groups) > 1:
            parts = [self.run(group, layers, pooling, predict) for group in groups]
            return BatchResult(
                {layer: torch.cat([part.hidden[layer] for part in parts]) for layer in layers},
                [count for part in parts for count in part.row_counts],
                torch.cat([part.scores for part in parts if part.scores is not None]) if predict else None,
            )
        return run_together(self, sentences, layers, pooling, predict, pad)

    def _groups(self, sentences: Sequence[TokenizedSentence], pad: int | None) -> list[list[TokenizedSentence]]:
        """Return the sentences in their order, cut into groups that share a forward."""
        if pad is None or self.sharing is Sharing.ALONE:
            return [[sentence] for sentence in sentences]
        if self.sharing is Sharing.EQUAL:
            return [list(group) for _, group in groupby(sentences, key=lambda sentence: len(sentence.input_ids))]
        return [list(sentences)]

    def _trial_values(self, sentences: list[TokenizedSentence]) -> list[Tensor]:
        """Return the states of all tokens at all layers and, where there is a classification head, its answers."""
        result = self.run(sentences, range(self.num_layers + 1), predict=self.head_reads_padding)
        answers = [] if result.scores is None or self.target is None else [self.target.stored(result.scores)]
        return [*result.hidden.values(), *answers]
