"""The decoder put to the test inside the language model: its reconstruction in place of the states it reconstructs.

With p what the model answers as it is, q what it answers with other states at the output layer, and y the answer
that p holds most likely (or the label)

    agreement     share of the sentences in which q's likeliest answer is p's
    KL            KL(p || q) in nats
    loss          L = -log q(y), for p itself L_clean
    share of the loss recovered    (L_ablated - L_spliced) / (L_ablated - L_clean), means over the sentences

*Spliced* are the rows that the decoder makes of the input layer's rows; *ablated* all rows replaced by the training
mean of the output layer: words by the mean of the words, sentence rows by that of the sentence rows, which is what
can be said of a row without looking at it. Recovered is 1 for a perfect decoder and 0 for one that says the mean.

Some tokens have no row: special tokens, sub-words that are not in their word's row, attention sinks. They carry
what the decoder never saw, so every figure is there twice: with these tokens left as they are (`clean`), and with
the words' mean in their place (`ablated`), spliced and ablated alike. The first lets them help, the second counts
their loss against the decoder.

A method that reconstructs its input layer (vqvae, sae) is spliced there.

With `every_token` p and q are what a causal language model gives for the next token at every token of the texts, and y
is the token that follows in the text: the figure by which sparse autoencoders are judged. A row is then reconstructed
from the rows up to it alone, because a decoder that sees the whole sentence sees the token that is to be predicted.
"""

from __future__ import annotations

import numpy as np

from clvq.device import Runtime
from clvq.errors import ClvqError
from clvq.interventions.mode_records import SpliceResult
from clvq.interventions.splice_figures import OTHERS, Figures
from clvq.interventions.splicer import Splicer
from clvq.language_model.model import LanguageModel
from clvq.language_model.word_targets import TextTarget
from clvq.progress import Report, silent
from clvq.training.checkpoint import Checkpoint
from clvq.training.source import language_model_of

SPLIT = "eval"


def splice(
    checkpoint: Checkpoint,
    *,
    limit: int | None = None,
    seed: int = 0,
    every_token: bool = False,
    runtime: Runtime | None = None,
    progress: Report = silent,
) -> SpliceResult:
    """Splice the reconstruction of a checkpoint into its language model, over the first `limit` sentences of the
    evaluation split (all), and compare its answers, or with `every_token` its next token at every token.

    The interval of a share of the loss is that of its linearization about the means, `r + (n - r d) / mean d`, over
    distinct texts.

    ClvqError where the model predicts nothing, or no next token, or no sentence has a row; ArtifactError and
    MismatchError where activations or model are missing or changed.
    """
    runtime = runtime or Runtime()
    store = checkpoint.store()
    model = language_model_of(checkpoint, store, runtime, progress)
    if every_token:
        model.target = _text_target(model, store.settings["pooling"])
    splicer = Splicer(checkpoint, store, model, progress)
    sentences = list(store.sentences(SPLIT))[:limit]
    outcomes = splicer.outcomes(sentences, runtime.batch_tokens)
    has_row = outcomes.columns.get("tokens_of_rows", np.empty(0)) > 0
    numbers, columns = outcomes.sentences[has_row], {key: line[has_row] for key, line in outcomes.columns.items()}
    if not len(numbers):
        raise ClvqError(f"No sentence of the evaluation split of {store.path} has a row whose state could be replaced.")
    figures = Figures(columns, [sentences[number].text for number in numbers], seed)
    _, first = np.unique(numbers, return_index=True)  # of each sentence an answer
    return SpliceResult(
        input_layer=checkpoint.input_layer,
        layer=splicer.upper.layer,
        target=splicer.upper.target.kind,
        sentences=len(first),
        left_out=len(sentences) - len(first),
        only_sentence_row=splicer.only_sentence_row,
        distinct_texts=figures.distinct_texts,
        tokens=int(columns["tokens"][first].sum()),
        tokens_of_rows=int(columns["tokens_of_rows"][first].sum()),
        positions=len(numbers) if every_token else None,
        accuracy=figures.mean("accuracy"),
        unit=splicer.upper.target.unit,
        others={name: figures.of(name) for name in OTHERS},
    )


def _text_target(model: LanguageModel, pooling: str) -> TextTarget:
    """What is asked at every token. ClvqError where the model gives no next token, or rows hold what follows."""
    if not (model.predicts_next_token and model.is_decoder):
        raise ClvqError(f"--every-token is for causal language models, and {model.model_id} gives no next token.")
    if pooling == "mean":
        raise ClvqError(
            "--every-token: rows are means over the sub-words of a word (--pooling mean), so that the reconstruction "
            "at the first sub-word holds the next one, which is to be predicted. Extract with --pooling last."
        )
    return TextTarget(model.tokenizer, model.model.get_output_embeddings().weight.shape[0])
