"""A test of the decoder inside the language model: its reconstruction replaces the states that it reconstructs.

With p the model's answer without a change, q its answer with other states at the output layer, and y the likeliest
answer of p (or the label)

    agreement     share of the sentences in which p and q have the same likeliest answer
    KL            KL(p || q) in nats
    loss          L = -log q(y); for p itself it is L_clean
    share of the loss recovered    (L_ablated - L_spliced) / (L_ablated - L_clean), means over the sentences

*Spliced*: each row is replaced by what the decoder makes of the input layer's rows. *Ablated*: each row is replaced by
the training mean of the output layer, words by the mean of the words, sentence rows by that of the sentence rows. The
mean is the best guess at a row without looking at it. The share recovered is 1 for a perfect decoder, and 0 for a
decoder that always gives the mean. Of an answer that is a number, L is the squared change, and with labels the squared
error.

Some tokens have no row: special tokens, sub-words that are not in their word's row, attention sinks. They carry
what the decoder never saw, so every figure is given twice: with these tokens left as they are (`clean`), and with
the words' mean in their place (`ablated`), both where rows are spliced and where they are ablated. In the first case
these tokens help the decoder; in the second, what is lost at them counts against it.

A method that reconstructs its input layer (vqvae, sae) is spliced at that layer.

With `every_token`, p and q are what a causal language model predicts for the next token at every token of the texts,
and y is the token that follows in the text. Sparse autoencoders are usually judged by this figure. A row is then
reconstructed only from the rows up to it, because a decoder that sees the whole sentence sees the token that is to be
predicted.
"""

from __future__ import annotations

import numpy as np

from clvq.activations.summary import r2_of
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
    """Splice the reconstruction of a checkpoint into its language model, and compare the model's answers.

    This is done over the first `limit` sentences of the evaluation split (default: all). With `every_token` the next
    token at every token is compared. The interval of a share `r = mean n / mean d` of the loss is that of its
    linearization about the means, `r + (n - r d) / mean d`, over distinct texts.

    ClvqError where the model predicts nothing, or no next token, or no sentence has a row; ArtifactError and
    MismatchError where activations or model are missing or changed.
    """
    runtime = runtime or Runtime()
    store = checkpoint.store()
    model = language_model_of(checkpoint, store, runtime, progress)
    if every_token:
        model.target = _text_target(model, store.settings.pooling)
    splicer = Splicer(checkpoint, store, model, progress)
    sentences = list(store.sentences(SPLIT))[:limit]
    outcomes = splicer.outcomes(sentences, runtime.batch_tokens)
    has_row = outcomes.columns.get("tokens_of_rows", np.empty(0)) > 0
    numbers, columns = outcomes.sentences[has_row], {key: line[has_row] for key, line in outcomes.columns.items()}
    if not len(numbers):
        raise ClvqError(f"No sentence of the evaluation split of {store.path} has a row whose state could be replaced.")
    figures = Figures(columns, [sentences[number].text for number in numbers], seed)
    _, first = np.unique(numbers, return_index=True)  # one answer of each sentence
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
        r2=None if splicer.upper.target.is_choice else r2_of(sentences[number] for number in numbers[first]),
        others={name: figures.of(name) for name in OTHERS},
    )


def _text_target(model: LanguageModel, pooling: str) -> TextTarget:
    """Return the target that asks for the next token at every token.

    ClvqError where the model predicts no next token, or where rows hold what follows their token.
    """
    if not (model.predicts_next_token and model.is_decoder):
        raise ClvqError(f"--every-token is for causal language models, and {model.model_id} gives no next token.")
    if pooling == "mean":
        raise ClvqError(
            "--every-token: rows are means over the sub-words of a word (--pooling mean), so that the reconstruction "
            "at the first sub-word holds the next one, which is to be predicted. Extract with --pooling last."
        )
    return TextTarget(model.tokenizer, model.model.get_output_embeddings().weight.shape[0])
