"""Rebuild the demo model: `python -m demo.build [--out DIR] [--seed N]` (needs torch 2.9 or newer).

A BERT of ten thin layers learns the label of a review together with questions about its words (`objectives`):
the label alone lets the upper layers forget the words, and a demo of concepts needs them. It trains on the
demo's training split and on more reviews from another seed, none of them a review of the evaluation split. The
planted classes of words are never trained on. The vocabulary of sub-words is the shipped one, so that the build
repeats. At the end the accuracy and linear probes for the planted classes are measured, printed, and written
beside the model.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    get_cosine_schedule_with_warmup,
)
from transformers.utils.logging import disable_progress_bar

from clvq.demo import LABELS, MODEL_PATH, DemoSentence, corpus
from demo.grammar import generate
from demo.measure import measure
from demo.objectives import Questions
from demo.start import start_well
from demo.telling import telling_words

VOCABULARY = 2500
MORE_REVIEWS = 25_000
FRESH_SEED = 777  # of reviews that no choice of grammar or training looked at, unlike the evaluation split
MORE_SEED = 31337  # of the further training reviews; never the corpus' own seed
BATCH = 32
ASKED_FOR_WORDS = 8000


class Stage(NamedTuple):
    """A part of the training."""

    epochs: int
    rate: float
    neighbours: float
    """Weight of the neighbouring words."""
    verdict_weight: float
    knows: float
    """Share of the stage after which the model knows the label, and is asked which words tell it."""


LEARN = Stage(epochs=4, rate=3e-3, neighbours=2.5, verdict_weight=4.0, knows=0.6)
SHARPEN = Stage(epochs=1, rate=2e-3, neighbours=1.0, verdict_weight=12.0, knows=0.0)
"""Word by word from its start, and for what the words near by say there is less room: judging words of one mind move
together."""
CARD = """\
# clvq demo model

A BERT of {layers} layers, width {width} and {vocabulary} sub-words that tells praise from blame in the short,
made-up reviews of `demo.grammar`. It exists so that `clvq` runs offline on a corpus whose truth is known;
it is of no use for real reviews.

Made by `python -m demo.build --seed {seed}` on one CPU thread, from {reviews_trained_on}
reviews: their labels, masked words, neighbouring words and the words on which a verdict hangs are learned together
(`demo/objectives.py`), the planted classes of words never. Weights are 16-bit floats.

Accuracy: {accuracy:.3f} on the 800 reviews of the evaluation split, {fresh[accuracy]:.3f} on fresh ones. Linear
probes for the planted classes of words (`demo/measure.py`), fitted on the training split; "word alone"
guesses each word's most frequent class. The evaluation split was looked at while grammar and training were
settled; the fresh reviews were not.

{tables}
"""
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def main() -> None:
    """Train, save, measure, print."""
    parser = argparse.ArgumentParser(description="Rebuild clvq's demo model.")
    parser.add_argument("--out", type=Path, default=MODEL_PATH, help="folder to write (default: the package's own)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--new-vocabulary", action="store_true", help="train the sub-words again too (never the same ones twice)"
    )
    arguments = parser.parse_args()
    started = time.time()
    torch.set_num_threads(1)  # one thread adds in one order, so the build repeats
    torch.use_deterministic_algorithms(True)
    disable_progress_bar()

    evaluation = corpus("eval")
    held_out = {review.text for review in evaluation}
    reviews = corpus("train") + [review for review in generate(MORE_REVIEWS, MORE_SEED) if review.text not in held_out]
    kept = MODEL_PATH / "tokenizer.json"
    if arguments.new_vocabulary or not kept.exists():
        tokenizer = wrapped(train_vocabulary([review.text for review in reviews]))
    else:
        tokenizer = wrapped(Tokenizer.from_file(str(kept)))
    model = train_model(tokenizer, reviews, LEARN, arguments.seed)
    model.half().float()
    model = train_model(tokenizer, reviews, SHARPEN, arguments.seed, start=model)
    model.half().float()  # measured as it is stored
    metrics = measure(model, tokenizer, corpus("train"), evaluation)
    known = held_out | {review.text for review in reviews}
    fresh = [review for review in generate(len(evaluation), FRESH_SEED) if review.text not in known]
    metrics["fresh"] = measure(model, tokenizer, corpus("train"), fresh)
    texts = "\n".join(review.text for review in corpus("train") + evaluation)
    metrics |= {"corpus_sha256": hashlib.sha256(texts.encode()).hexdigest()}
    metrics |= {"reviews_trained_on": len(reviews), "seed": arguments.seed}
    save(model, tokenizer, metrics, arguments.out)
    print(json.dumps(metrics, indent=2))
    print(f"{arguments.out}: {time.time() - started:.0f} s")


def train_vocabulary(texts: list[str]) -> Tokenizer:
    """Lower-case WordPiece in BERT's form, small enough that rare words fall into pieces.

    `tokenizers` breaks ties in hash order, so that a second run finds a slightly different vocabulary.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    ends = [(mark, tokenizer.token_to_id(mark)) for mark in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return tokenizer


def wrapped(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """The tokenizer in the form of transformers."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def configuration(tokenizer: PreTrainedTokenizerFast) -> BertConfig:
    """Ten layers, so that two of them (4 and 8) lie well inside."""
    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=160,
        num_hidden_layers=10,
        num_attention_heads=4,
        intermediate_size=224,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,  # few passes over many reviews: nothing to overfit, and much faster
        initializer_range=0.079,  # width ** -0.5: BERT's 0.02 is meant for six times the width
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
        id2label=dict(enumerate(LABELS)),
        label2id={name: i for i, name in enumerate(LABELS)},
    )


def train_model(
    tokenizer: PreTrainedTokenizerFast,
    reviews: list[DemoSentence],
    stage: Stage,
    seed: int,
    start: BertForSequenceClassification | None = None,
) -> BertForSequenceClassification:
    """A model trained on the questions of `objectives`: a new one, or `start` with new heads for them."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    model = BertForSequenceClassification(configuration(tokenizer))
    sentences = tokenizer([review.text for review in reviews], add_special_tokens=False)["input_ids"]
    if start is None:
        start_well(model, sentences)
    else:
        model.load_state_dict(start.state_dict())
    questions = Questions(model, tokenizer, sentences, verdict_weight=stage.verdict_weight)
    matrices = [p for p in model.bert.encoder.parameters() if p.ndim == 2]
    taken = {id(p) for p in matrices}
    others = list({id(p): p for p in (*model.parameters(), *questions.parameters()) if id(p) not in taken}.values())
    order = [batch for _ in range(stage.epochs) for batch in batches(reviews, rng)]
    knows = max(1, round(stage.knows * len(order)))
    optimizers = [
        torch.optim.Muon(matrices, stage.rate, weight_decay=0.01, ns_steps=4, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, stage.rate, weight_decay=0.01),
    ]
    schedules = [get_cosine_schedule_with_warmup(each, len(order) // 50, len(order)) for each in optimizers]
    model.train()
    for step, batch in enumerate(order, 1):
        if step == knows:
            questions.telling = telling_words(model, tokenizer, reviews[:ASKED_FOR_WORDS])
        losses = questions.ask(model, tokenizer, batch, whole=len(batch) // 2)
        losses.total(stage.neighbours).backward()
        torch.nn.utils.clip_grad_norm_([*matrices, *others], 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        if step % 100 == 0:
            report = ", ".join(f"{name} {loss.item():.3f}" for name, loss in losses._asdict().items())
            print(f"step {step} of {len(order)}: {report}", flush=True)
    return model.eval()


def batches(reviews: list[DemoSentence], rng: random.Random) -> list[list[DemoSentence]]:
    """An epoch in random order, with reviews of like length together to save padding."""
    order = reviews[:]
    rng.shuffle(order)
    pools = [order[i : i + 16 * BATCH] for i in range(0, len(order), 16 * BATCH)]
    made = []
    for pool in pools:
        pool.sort(key=lambda review: len(review.words))
        batch_starts = range(0, len(pool), BATCH)
        made += [rng.sample(pool[i : i + BATCH], len(pool[i : i + BATCH])) for i in batch_starts]
    rng.shuffle(made)
    return made


def save(
    model: BertForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    metrics: dict[str, Any],
    out: Path,
) -> None:
    """Write everything beside `out`, then move file by file: a reader never sees half a file."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".build-") as folder:
        made = Path(folder)
        model.half().save_pretrained(made)
        tokenizer.save_pretrained(made)
        settings = json.loads((made / "tokenizer_config.json").read_text(encoding="utf-8"))
        settings.pop("backend", None)
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"  # a name that transformers 4 and 5 both know
        (made / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        (made / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        (made / "README.md").write_text(model_card(model.config, metrics), encoding="utf-8")
        for path in sorted(made.iterdir()):
            path.chmod(0o644)
            path.replace(out / path.name)


def model_card(config: BertConfig, metrics: dict[str, Any]) -> str:
    """The README beside the model: what it is, how it was made, what was measured."""
    tables = (probe_table("evaluation split", metrics["probes"]), probe_table("fresh", metrics["fresh"]["probes"]))
    return CARD.format(
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        vocabulary=config.vocab_size,
        tables="\n\n".join(tables),
        **metrics,
    )


def probe_table(title: str, probes: dict[str, dict[str, float]]) -> str:
    """Accuracies in Markdown, one column a probe."""
    lines = [f"| {title} | {' | '.join(probes)} |", "|---" * (len(probes) + 1) + "|"]
    for name in next(reversed(probes.values())):
        cells = (f"{found[name]:.3f}" if name in found else "" for found in probes.values())
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
