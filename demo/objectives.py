"""What the demo model is trained for, and the heads that ask for it. Only the label's own head stays with the model.

The label alone lets a network forget its words, and masked words alone need not be told apart in a straight line. So
four questions are asked, all of them answered by the texts and their labels; the planted classes are never asked for:

- label: of a whole review, from [CLS] at the top;
- masked words: as in BERT;
- neighbours: from the state of a word, a word near by, the rarer the likelier (skip-gram, asked of contextual states);
- judgement: the label as a sum over words of one linear score each, for reviews without a contrast ("but", "although"):
  in those every word that judges judges alike.

The last three are asked at `DEPTHS`: at the top only, ten thin layers learn much later.

A sum leaves open which words judge, and a network spreads its verdict over all of them. So when the model knows the
label, `telling_words` asks it which words its verdict hangs on. From then on the lowest depth is asked word by word: a
telling word of such a review says the label, any other word says nothing. The score moves little for a long way along
one direction (`VERDICT_GAIN`), so that judging words of one mind come to lie together there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.bert.modeling_bert import BertOnlyMLMHead

from clvq.demo import DemoSentence
from demo.telling import sub_words

DEPTHS = (4, 8, 10)
VERDICT_GAIN = 0.1
QUIET_WEIGHT = 1.5
NEAR_GAIN = 3.0  # of the neighbours' head: what it reads need not be large in the states
MASKED = 0.4  # share of the sub-words of a masked review
ASKED = 0.35  # share of sub-words asked for a neighbour
NEAR = 4
CONTRASTS = frozenset(("but", "yet", "although", "though", "while", "despite", "apart"))


class Losses(NamedTuple):
    """One loss for each question; those asked at several depths are means over them."""

    label: Tensor
    masked_words: Tensor
    neighbours: Tensor
    judgement: Tensor

    def total(self, neighbours: float) -> Tensor:
        """What is minimised, with the weight of the neighbours. Words count for more than labels: they teach most,
        and they are slowest."""
        return self.label + 3 * self.masked_words + neighbours * self.neighbours + 2 * self.judgement


class Questions(nn.Module):
    """The heads of the last three questions."""

    rareness: Tensor

    def __init__(
        self, model: Any, tokenizer: Any, sentences: Sequence[Sequence[int]], *, verdict_weight: float
    ) -> None:
        """`verdict_weight` is that of the question asked word by word, against 1 of a sum."""
        super().__init__()
        self.verdict_weight = verdict_weight
        config, vectors = model.config, model.bert.embeddings.word_embeddings.weight
        self.mask_token = tokenizer.mask_token_id
        self.first_word = max(tokenizer.all_special_ids) + 1
        self.words = BertOnlyMLMHead(config)
        self.words.apply(model._init_weights)
        self.words.predictions.decoder.weight = vectors
        self.near = nn.Linear(config.hidden_size, config.vocab_size)
        self.near.weight.data.copy_(vectors.data)
        self.score = nn.Linear(config.hidden_size, 1)
        nn.init.zeros_(self.score.weight)
        self.verdict = nn.Parameter(torch.randn(config.hidden_size))
        self.telling: dict[str, float] | None = None
        """How telling each word is, 0 to 1; None while the model does not know."""
        seen = torch.bincount(torch.tensor([i for ids in sentences for i in ids]), minlength=config.vocab_size)
        self.register_buffer("rareness", seen.clamp(min=1) ** -0.5)

    def ask(self, model: Any, tokenizer: Any, batch: Sequence[DemoSentence], whole: int) -> Losses:
        """The losses of a batch: its first `whole` reviews are read as they are, for the label, the rest masked.

        The two never meet in one review, because under a mask the "not" that decides a label may be gone.
        """
        inputs = tokenizer([review.text for review in batch], padding=True, return_tensors="pt")
        tokens, attention = inputs["input_ids"], inputs["attention_mask"]
        words = tokens >= self.first_word
        labels = torch.tensor([review.label for review in batch[:whole]])
        alike = torch.tensor([CONTRASTS.isdisjoint(word.text for word in review.words) for review in batch[:whole]])
        masked, hidden = self.mask(tokens, words, whole)
        rows, places, near = self.neighbours(tokens, words)
        states = model.bert(masked, attention_mask=attention, output_hidden_states=True).hidden_states
        word_losses, near_losses, judgement_losses = [], [], []
        for depth in DEPTHS:
            state = states[depth]
            word_losses.append(functional.cross_entropy(self.words(state[hidden]), tokens[hidden]))
            near_losses.append(functional.cross_entropy(self.near(NEAR_GAIN * state[rows, places]), near))
            if depth == DEPTHS[0] and self.telling is not None:
                telling = self.spread(tokenizer, batch[:whole], tokens.shape[1])
                judgement_losses.append(
                    self.verdict_weight * self.verdicts(state[:whole], words[:whole], telling, alike, labels)
                )
            else:
                scores = (self.score(state[:whole]).squeeze(-1) * words[:whole]).sum(dim=1)[alike]
                judgement_losses.append(functional.binary_cross_entropy_with_logits(scores, labels[alike].float()))
        label_loss = functional.cross_entropy(model.classifier(model.bert.pooler(states[-1][:whole])), labels)
        return Losses(
            label_loss,
            *(sum(found, torch.zeros(())) / len(DEPTHS) for found in (word_losses, near_losses, judgement_losses)),
        )

    def spread(self, tokenizer: Any, reviews: Sequence[DemoSentence], length: int) -> Tensor:
        """[B, T] how telling the word of each sub-word is; 0 at special tokens."""
        assert self.telling is not None
        found = torch.zeros(len(reviews), length)
        for review, line in zip(reviews, found, strict=True):
            place = 1  # after [CLS]
            for word in review.words:
                count = len(sub_words(tokenizer, word.text))
                line[place : place + count] = self.telling.get(word.text, 0.0)
                place += count
        return found

    def verdicts(self, states: Tensor, words: Tensor, telling: Tensor, alike: Tensor, labels: Tensor) -> Tensor:
        """Telling words `[B, T]` of reviews without a contrast against the label; the others' scores against 0."""
        scores = VERDICT_GAIN * (states @ functional.normalize(self.verdict, dim=0))  # [B, T]
        says = telling * alike[:, None]
        wanted = labels[:, None].float().expand_as(scores)
        losses = functional.binary_cross_entropy_with_logits(scores, wanted, reduction="none")
        quiet = scores.square() * (1 - telling) * words
        return (losses * says).sum() / says.sum().clamp(min=1) + QUIET_WEIGHT * quiet.sum() / words.sum()

    def mask(self, tokens: Tensor, words: Tensor, whole: int) -> tuple[Tensor, Tensor]:
        """Tokens after BERT's masking (80% [MASK], 10% another, 10% kept), and where a word has to be guessed."""
        chosen = (torch.rand(tokens.shape) < MASKED) & words
        chosen[:whole] = False
        dice = torch.rand(tokens.shape)
        drawn = torch.randint(self.first_word, self.rareness.shape[0], tokens.shape)
        masked = torch.where(chosen & (dice < 0.8), self.mask_token, tokens)
        return torch.where(chosen & (dice >= 0.9), drawn, masked), chosen

    def neighbours(self, tokens: Tensor, words: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Row and place of the sub-words that are asked, and the neighbour that each has to name."""
        rows, places = (words & (torch.rand(tokens.shape) < ASKED)).nonzero(as_tuple=True)
        away = (places[:, None] - torch.arange(tokens.shape[1])).abs()
        weights = self.rareness[tokens[rows]] * words[rows] * ((away > 0) & (away <= NEAR)) / away.clamp(min=1)
        alone = weights.sum(dim=1) == 0
        rows, places, weights = rows[~alone], places[~alone], weights[~alone]
        return rows, places, tokens[rows].gather(1, torch.multinomial(weights, 1)).squeeze(1)
