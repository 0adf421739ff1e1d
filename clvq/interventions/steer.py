"""`steer`: a text's prediction and continuation before and after steering, compared with steps of the same length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clvq.activations.new_text import new_rows, tokenize
from clvq.concepts.codebook import Codebook, codebook
from clvq.concepts.directions import concept_space
from clvq.config import LABEL, SteerConfig
from clvq.config.signatures import takes
from clvq.corpus.labels import class_number
from clvq.corpus.parts import encodable, text_parts
from clvq.device import Runtime, usual_batch_tokens
from clvq.errors import ClvqError
from clvq.interventions.controls import Draws, Owner, Pools, controlled
from clvq.interventions.edits import Edit, Step
from clvq.interventions.steered import Answer, Steered
from clvq.interventions.steering import Steering, codes_of, editing
from clvq.language_model.inputs import Inputs
from clvq.language_model.tokenization import TokenizedSentence
from clvq.language_model.upper_layers import UpperLayers
from clvq.progress import Report, silent
from clvq.training.checkpoint import Checkpoint, read_checkpoint
from clvq.training.source import language_model_of

ANSWERS = 5
"""How many answers are shown, where a model has more."""
_NO_POOLS = Pools(np.zeros(0, np.int64), {}, {})


@takes(SteerConfig)
def steer(
    checkpoint: Checkpoint | str | Path,
    text: str | Mapping[str, str],
    *,
    remove: Sequence[int] = (),
    add: Sequence[int] = (),
    progress: Report = silent,
    **settings: object,
) -> Steered:
    """Take concepts out of a text inside the language model, put others in, and return what the model then says.

        steered = clvq.steer("run/L4-L8", "a slow , lifeless film", remove=[12], add=[40], strength=2)
        print(steered.prediction_before, "->", steered.prediction_after)

    The result is compared with steps of the same length at the same tokens, along random directions distributed as the
    training words are. Each step has one direction for the whole text. ClvqError for a code that is dead or does not
    exist, for a text without words, and for a model that predicts nothing; MismatchError for another model.

    Args:
        checkpoint: A checkpoint, or its folder.
        text: The text. Where the model reads several parts (pairs of texts, a prompt with other columns), a dictionary:
            {"text": "...", "text_pair": "..."}.
        remove: Codes of the concepts that are taken out.
        add: Codes of the concepts that are put in.
    """
    config = SteerConfig.resolve(**settings)
    steered = SteeredText.read(
        read_checkpoint(checkpoint), text_parts(text), config, codes_of(remove), codes_of(add), progress
    )
    return steered.at(config.strength)


@dataclass(frozen=True)
class SteeredText:
    """A text in its language model, ready to be steered at any strength."""

    book: Codebook
    upper: UpperLayers
    steering: Steering
    config: SteerConfig
    text: str
    sentence: TokenizedSentence
    inputs: Inputs
    states: Tensor
    """[1, T, D] at the input layer."""
    positions: list[int]
    """Tokens whose states are edited."""
    part: int
    """Number of the label that is asked for, where the model gives several labels; else 0."""

    @classmethod
    @torch.no_grad()
    def read(
        cls,
        checkpoint: Checkpoint,
        parts: Mapping[str, str],
        config: SteerConfig,
        remove: tuple[int, ...],
        add: tuple[int, ...],
        progress: Report = silent,
    ) -> SteeredText:
        """Run the model below the input layer. ClvqError where nothing in the text would be edited."""
        described = checkpoint.description()
        runtime = Runtime(config.device, trust_remote_code=config.trust_remote_code, model=config.model)
        model = language_model_of(checkpoint, described, runtime, progress)
        upper = UpperLayers(model, checkpoint.input_layer)
        if config.tokens and not upper.target.reads_next_token:
            raise ClvqError(f"--tokens needs a causal language model, and {model.model_id} is not one.")
        steering = Steering(concept_space(checkpoint, device=model.device, progress=progress), remove, add)
        joined = model.input_format.joined({name: encodable(value) for name, value in parts.items()})
        (sentence,) = tokenize(model, described, [joined])
        if not sentence.words:
            raise ClvqError(f"There is no word in {joined!r} that the tokenizer of {model.model_id} keeps.")
        rows = new_rows(model, described, [sentence], (checkpoint.input_layer, checkpoint.output_layer))
        states_of_words = rows.of_words(range(len(rows.sinks)))[0]
        codes = checkpoint.load().to(model.device).assign(rows.states[checkpoint.input_layer][None])[0].tolist()
        chosen = [
            word
            for word, row in enumerate(states_of_words)
            if row is not None and (config.at != "concept" or codes[row] in remove)
        ]
        if config.at == "all":
            positions = list(range(len(sentence.input_ids)))
        else:
            positions = [t for word in chosen for t in sentence.word_tokens[word] if t != sentence.first_token]
        if not positions:
            named = ", ".join(map(str, remove)) or "none"
            raise ClvqError(f"No word of the text is to be edited: --at {config.at}, codes to remove {named}.")
        part = _asked_label(upper, config.label)
        inputs = upper.inputs([sentence], None if part is None else [part])
        book = codebook(checkpoint, progress=progress)
        return cls(
            book, upper, steering, config, joined, sentence, inputs, upper.states(inputs), positions, part or 0
        )  # fmt: skip

    @torch.no_grad()
    def at(self, strength: float) -> Steered:
        """Return the model's answers when the text is steered at a strength."""
        steering, target = self.steering.with_strength(strength), self.upper.target
        before = self.states[0, self.positions].float()
        after = steering.apply(before)
        clean = self._clean
        answer = int(target.answers(clean)[0])
        changed = self._scores([after])
        controls = self._scores(self._controls(steering, before, after, answer))
        if not (changed.isfinite().all() and controls.isfinite().all()):
            raise ClvqError(f"With --strength {strength:g} the model answers NaN or infinity: give a smaller one.")
        flips, divergences = self._compared(clean, controls)
        (flipped,), (divergence,) = self._compared(clean, changed)
        edited = set(self.positions)
        return Steered(
            text=self.text,
            left_out=self.sentence.truncated_words,
            remove=list(steering.remove),
            add=list(steering.add),
            strength=strength,
            at=self.config.at,
            edited_words=sum(not edited.isdisjoint(tokens) for tokens in self.sentence.word_tokens),
            edited_tokens=len(edited),
            distance=float(torch.linalg.vector_norm(after - before, dim=1).mean()),
            target=target.kind,
            unit=target.unit,
            prediction_before=target.name(answer, self.part),
            prediction_after=target.name(int(target.answers(changed)[0]), self.part),
            flipped=flipped if target.is_choice else None,
            divergence=divergence,
            control_flips=float(np.mean(flips)) if target.is_choice else None,
            control_divergence=float(np.mean(divergences)),
            answers=self._answers(clean, changed, controls),
            continuation_before=self._unsteered,
            continuation_after=self._continuation(steering),
        )

    @cached_property
    def _clean(self) -> Tensor:
        """[1, C] the scores of the text without steering, which are the same at every strength."""
        return self.upper.scores(self.states, self.inputs)

    @cached_property
    def _unsteered(self) -> str | None:
        """The continuation of the text without steering."""
        return self._continuation(None)

    def _scores(self, several: Sequence[Tensor]) -> Tensor:
        """Return the scores `[M, C]` with each of M states `[N, D]` at the edited tokens, in batches of copies."""
        at_once = max(1, usual_batch_tokens(self.config.device) // self.states.shape[1])
        found = []
        for start in range(0, len(several), at_once):
            after = torch.stack(list(several[start : start + at_once]))
            copies = torch.zeros(len(after), dtype=torch.long, device=after.device)
            states = self.states[copies]
            states[:, self.positions] = after.to(states.dtype)
            found.append(self.upper.scores(states, self.inputs.at(copies)))
        return torch.cat(found)

    def _controls(self, steering: Steering, before: Tensor, after: Tensor, answer: int) -> list[Tensor]:
        """Return for each draw the states `[N, D]` moved as far along one random direction."""
        count = len(before)
        zeros = torch.zeros(count, dtype=torch.long, device=before.device)
        step = Step(Edit(steering.space), before, steering.basis(count), after, zeros + answer)
        draws = Draws(steering.space, [Owner(0, -1, answer)])
        return [
            controlled("coherent", step, draws, zeros, zeros, _NO_POOLS, (self.config.seed, draw))
            for draw in range(self.config.draws)
        ]

    def _compared(self, clean: Tensor, changed: Tensor) -> tuple[list[bool], list[float]]:
        """Return whether each of the changed scores `[M, C]` gives another answer, and its divergence."""
        target = self.upper.target
        own = target.compared(clean).expand(len(changed), -1)
        others = target.compared(changed)
        return target.flipped(own, others).tolist(), target.divergence(own, others).tolist()

    def _answers(self, clean: Tensor, changed: Tensor, controls: Tensor) -> list[Answer]:
        target = self.upper.target
        # What `stored` keeps are other probabilities: of all labels, or of label words among all words.
        before, after, others = (
            (target.compared(scores).exp() if target.is_choice else scores).double().cpu()
            for scores in (clean, changed, controls)
        )
        shown = list(range(target.count))
        if target.count > ANSWERS:
            likeliest = torch.maximum(before[0], after[0]).topk(ANSWERS).indices.tolist()
            shown = sorted(likeliest, key=lambda answer: -float(before[0, answer]))
        return [
            Answer(
                target.name(answer, self.part),
                float(before[0, answer]),
                float(after[0, answer]),
                float(others[:, answer].mean()),
                *np.quantile(others[:, answer].numpy(), (0.05, 0.95)).tolist(),
            )
            for answer in shown
        ]

    def _continuation(self, steering: Steering | None) -> str | None:
        """Return the model's greedy continuation; None where no tokens are asked for. With `steering` the text's states
        are steered, and with `at` "all" the states of generated tokens too."""
        if not self.config.tokens:
            return None
        model, prompt = self.upper.model, self.inputs.input_ids
        seen = 0

        def edit(states: Tensor) -> Tensor:
            nonlocal seen
            assert steering is not None
            places = [place - seen for place in self.positions if seen <= place < seen + len(states)]
            if self.config.at == "all" and seen >= prompt.shape[1]:
                places = list(range(len(states)))
            seen += len(states)
            edited = states.clone()
            if places:
                edited[places] = steering.apply(states[places])
            return edited

        hooked = nullcontext() if steering is None else editing(model.locate(self.upper.layer), edit)
        with hooked:
            output = model.model.generate(
                input_ids=prompt, attention_mask=self.inputs.attention_mask, do_sample=False, num_beams=1,
                max_new_tokens=self.config.tokens, pad_token_id=self.inputs.pad,
            )  # fmt: skip
        return str(model.tokenizer.decode(output[0, prompt.shape[1] :], skip_special_tokens=True))


def _asked_label(upper: UpperLayers, label: str | None) -> int | None:
    """Return the number of the label that is asked for; None for a model that gives one answer.

    ClvqError where `label` is missing or none of the model's labels, and where a model without labels gets one.
    """
    if upper.target.kind != LABEL:
        if label is not None:
            raise ClvqError(f"--label is for models that give several labels, and {upper.model.model_id} does not.")
        return None
    names = upper.target.names or []
    number = None if label is None else class_number(label, names)
    if number is None:
        wrong = "is asked for one label at a time" if label is None else f"has no label {label!r}"
        raise ClvqError(f"{upper.model.model_id} {wrong}: give --label, one of {', '.join(names)}.")
    return number
