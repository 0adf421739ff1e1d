"""What the demo model knows: its accuracy, and linear probes for the planted classes of words.

A probe is a logistic regression from a word's hidden state (its last sub-word) at one layer to its planted
class, trained on words of the training split and tested on words of the evaluation split:

- aspect: over all words that have an aspect;
- domain: over all words that have a domain;
- polarity: positive, negative or neutral, over all words but function words (those are neutral by
  definition);
- polarity of judging words: the same probe's accuracy on words that judge;
- polarity of denied words: the same, on judging words that follow a denial within the same clause.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from clvq.demo import DemoSentence, DemoWord

LAYERS = (4, 8)
FIELDS = ("aspect", "domain", "polarity")
DENIALS = frozenset(
    """
    not never no nobody neither nor hardly barely less nowhere cannot anything means far
    """.split()  # noqa: SIM905
)
REACH = 5  # words between a denial and the word that it turns over
States = dict[int, np.ndarray[Any, np.dtype[np.float32]]]


def measure(
    model: torch.nn.Module, tokenizer: Any, train: Sequence[DemoSentence], evaluation: Sequence[DemoSentence]
) -> dict[str, Any]:
    """Accuracy on `evaluation`, and the probes at `LAYERS`."""
    seen, _ = word_states(model, tokenizer, train)
    unseen, predicted = word_states(model, tokenizer, evaluation)
    labels = np.array([review.label for review in evaluation])
    train_words = [word for review in train for word in review.words]
    words = [word for review in evaluation for word in review.words]
    denials = np.array([flag for review in evaluation for flag in denied(review)])
    judging = np.array([word.polarity != "neutral" for word in words])
    probes = {"word alone": {field: word_alone(train_words, words, field) for field in FIELDS}}
    for layer in LAYERS:
        found: dict[str, float] = {}
        for field in ("aspect", "domain"):
            right, _ = probe(seen[layer], train_words, unseen[layer], words, field)
            found[field] = _share(right)
        right, where = probe(seen[layer], train_words, unseen[layer], words, "polarity")
        found["polarity"] = _share(right)
        found["polarity of judging words"] = _share(right[judging[where]])
        found["polarity of denied words"] = _share(right[denials[where]])
        probes[f"layer {layer}"] = found
    return {
        "accuracy": _share(predicted == labels),
        "probes": probes,
        "judging_words": int(judging.sum()),
        "denied_words": int(denials.sum()),
    }


def word_states(model: torch.nn.Module, tokenizer: Any, reviews: Sequence[DemoSentence]) -> tuple[States, Any]:
    """The hidden states of all words at `LAYERS`, in order, and the predicted labels."""
    rows: dict[int, list[torch.Tensor]] = {layer: [] for layer in LAYERS}
    predicted = []
    for first in range(0, len(reviews), 64):
        batch = reviews[first : first + 64]
        texts = [review.text for review in batch]
        inputs = tokenizer(texts, padding=True, return_tensors="pt", return_offsets_mapping=True)
        offsets = inputs.pop("offset_mapping").tolist()
        with torch.no_grad():
            output = model(**inputs, output_hidden_states=True)
        predicted += output.logits.argmax(-1).tolist()
        for i, review in enumerate(batch):
            ends = {end: place for place, (start, end) in enumerate(offsets[i]) if end > start}
            last = [ends[word.end] for word in review.words]  # sub-words never cross the end of a word
            for layer in LAYERS:
                rows[layer].append(output.hidden_states[layer][i, last].float())
    return {layer: torch.cat(found).numpy() for layer, found in rows.items()}, np.array(predicted)


def probe(
    seen: Any,
    train_words: Sequence[DemoWord],
    unseen: Any,
    words: Sequence[DemoWord],
    field: str,
    most: int = 20_000,
) -> tuple[Any, Any]:
    """Whether the probe for `field` is right, for each word in its scope, and those words' places among `words`.

    It learns from the first `most` words in its scope.
    """
    learn = _scope(train_words, field)[:most]
    test = _scope(words, field)
    classifier: Pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    classifier.fit(seen[learn], [getattr(train_words[i], field) for i in learn])
    truth = np.array([getattr(words[i], field) for i in test])
    return classifier.predict(unseen[test]) == truth, test


def word_alone(train_words: Sequence[DemoWord], words: Sequence[DemoWord], field: str) -> float:
    """The yardstick of a probe: each word's most frequent class in training, whatever its context."""
    classes: dict[str, Counter[str]] = defaultdict(Counter)
    for i in _scope(train_words, field):
        classes[train_words[i].text][getattr(train_words[i], field)] += 1
    usual = {text: found.most_common(1)[0][0] for text, found in classes.items()}
    return _share([usual.get(words[i].text) == getattr(words[i], field) for i in _scope(words, field)])


def denied(review: DemoSentence) -> list[bool]:
    """For each word: does it judge, a few words after a denial with no mark between? Knows only the text."""
    flags = []
    since = REACH + 1
    for word in review.words:
        flags.append(word.polarity != "neutral" and since <= REACH)
        if word.text in DENIALS or word.text.endswith("n't"):
            since = 0
        elif word.text in {",", ".", ";", ":", "!", "?", "only", "but", "yet"}:
            since = REACH + 1
        since += 1
    return flags


def _scope(words: Sequence[DemoWord], field: str) -> Any:
    if field == "polarity":
        return np.array([i for i, word in enumerate(words) if not word.function])
    return np.array([i for i, word in enumerate(words) if getattr(word, field) is not None])


def _share(right: Any) -> float:
    return round(float(np.mean(right)), 4)
