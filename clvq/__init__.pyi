# Made by scripts/python_stub.py from the functions and the settings classes.
"""clvq: discrete concepts in language models (CLVQ-VAE, arXiv 2506.20040).

    store = clvq.extract("run/activations", model="demo", dataset="demo", layers=(4, 8))
    checkpoint = clvq.train(store, path="run/L4-L8", input_layer=4, output_layer=8)
    model = clvq.ClvqVae.from_pretrained("run/L4-L8")

Names are imported when they are first used, so that `import clvq` does not import torch. Type checkers and editors read
`__init__.pyi`, which scripts/python_stub.py makes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from clvq.activations.estimate import Estimate as Estimate
from clvq.activations.store import ActivationStore as ActivationStore
from clvq.concepts.assign import AssignedText
from clvq.concepts.codebook import Codebook as Codebook
from clvq.concepts.publishing import Published
from clvq.concepts.sweep_records import Sweep as Sweep
from clvq.concepts.vectorizer import ConceptVectorizer as ConceptVectorizer
from clvq.config import AssignConfig as AssignConfig
from clvq.config import BenchConfig as BenchConfig
from clvq.config import ExplainConfig as ExplainConfig
from clvq.config import ExtractConfig as ExtractConfig
from clvq.config import FaithfulnessConfig as FaithfulnessConfig
from clvq.config import SteerConfig as SteerConfig
from clvq.config import TrainConfig as TrainConfig
from clvq.errors import ArtifactError as ArtifactError
from clvq.errors import ClvqError as ClvqError
from clvq.errors import MismatchError as MismatchError
from clvq.explanations.results import Explanations as Explanations
from clvq.html_report.sweep import sweep_page as sweep_page
from clvq.interventions.bench import Bench as Bench
from clvq.interventions.faithfulness import Faithfulness as Faithfulness
from clvq.interventions.steered import Steered
from clvq.interventions.steering import steering as steering
from clvq.models.clvq_vae import ClvqVae as ClvqVae
from clvq.progress import Report
from clvq.training.checkpoint import Checkpoint as Checkpoint
from clvq.training.checkpoint import read_checkpoint as read_checkpoint
from clvq.training.pulling import pull as pull

__version__: str

def assign(
    checkpoint: Checkpoint | str | Path,
    texts: str | Iterable[str | Mapping[str, str]],
    *,
    progress: Report | bool | None = None,
    batch_tokens: int = 4096,
    model: str | None = None,
    device: str | None = None,
    trust_remote_code: bool = False,
) -> Iterator[AssignedText]:
    """Yield each text with the code of every word, in the order of the texts.

        for text in clvq.assign("run/L4-L8", ["a slow , lifeless film"]):
            print([(word.text, word.code, word.concept) for word in text.words])

    Texts are read as they are needed, so that a corpus of any size takes the memory of about a thousand texts. Words,
    rows and codes are made as in the activations that the checkpoint was trained on; the activations themselves need
    not be there. ClvqError where the model is not found; MismatchError where another model is found; ArtifactError for
    a checkpoint with neither concepts nor activations to make them from.

    Args:
        checkpoint: A checkpoint, or its folder.
        texts: One text, or any number of them. Where the model reads several parts (pairs of texts, a prompt with other
            columns), a text is a dictionary: {"text": "...", "text_pair": "..."}.
        progress: True shows bars on stderr; a function is called with each `clvq.progress.Progress`.
        batch_tokens: Number of tokens in a batch of the language model, padding included.
        model: Folder or hub id where the language model is now, if it was moved. It must be the model
            that made the activations [where it was].
        device: Where to compute: cpu, cuda, cuda:1 and so on [a GPU if there is one].
        trust_remote_code: Allow Python code that comes with a hub model to run.
    """

def bench(
    checkpoints: Checkpoint | str | Path | Sequence[Checkpoint | str | Path],
    *,
    overwrite: bool = False,
    progress: Report | bool | None = None,
    pairs: str | None = None,
    rank: int = 1,
    seed: int = 0,
    batch_tokens: int = 4096,
    model: str | None = None,
    device: str | None = None,
    trust_remote_code: bool = False,
) -> Bench:
    """Score the effects that concepts estimate against effects that are known.

        result = clvq.bench(["run/L1-L8", "run/random"])
        result.results.row("L1-L8", "error").figure.value

    The pairs of texts are those of the demo, or of a file with CEBaB's columns. A finished result with the same
    settings is read, not measured again. ClvqError where there are no pairs for the corpus, and where the model
    predicts no classes. MismatchError where checkpoints or model do not belong together, and where the result was made
    with other settings, unless `overwrite`.

    Args:
        checkpoints: A checkpoint, its folder, or several of either, which are put side by side.
        overwrite: Measure again, and replace the stored result.
        progress: True shows bars on stderr; a function is called with each `clvq.progress.Progress`.
        pairs: File of texts and their edits with the columns of CEBaB (.csv .jsonl .parquet) [the
            demo's pairs, for the demo's corpus].
        rank: Number of directions that an edit removes from a word: those of its nearest codes, or of
            its strongest latents. Compare methods at the same rank.
        seed: Seed of the balanced samples for probes, and of the intervals.
        batch_tokens: Number of tokens in a batch of the language model, padding included.
        model: Folder or hub id where the language model is now, if it was moved. It must be the model
            that made the activations [where it was].
        device: Where to compute: cpu, cuda, cuda:1 and so on [a GPU if there is one].
        trust_remote_code: Allow Python code that comes with a hub model to run.
    """

def codebook(
    checkpoint: Checkpoint | str | Path,
    *,
    overwrite: bool = False,
    progress: Report | bool | None = None,
) -> Codebook:
    """Return a checkpoint's concepts: those stored beside it, or new ones made from its activations.

        concepts = clvq.codebook("run/L4-L8").concepts
        print(concepts[0].code, [word.word for word in concepts[0].top_words])

    Stored concepts need no activations. ArtifactError where there are neither stored concepts nor activations, or where
    a file is damaged; MismatchError where new concepts are needed and the activations are not those that the checkpoint
    was trained on; ClvqError where the checkpoint's folder cannot be written.

    Args:
        checkpoint: A checkpoint, or its folder.
        overwrite: Find the concepts again, and replace the stored ones.
        progress: True shows bars on stderr; a function is called with each `clvq.progress.Progress`.
    """

def estimate(
    path: str | Path,
    *,
    overwrite: bool = False,
    progress: Report | bool | None = None,
    model: str = "demo",
    revision: str | None = None,
    dataset: str = "demo",
    subset: str | None = None,
    split: str | None = None,
    eval_dataset: str | None = None,
    eval_split: str | None = None,
    text_column: str | None = None,
    text_pair_column: str | None = None,
    prompt: str | None = None,
    chat: bool = False,
    rows_from: str | None = None,
    keep_prompt: bool = False,
    label_column: str | None = None,
    label_map: str | None = None,
    delimiter: str | None = None,
    quoting: Literal["quoted", "none"] | None = None,
    header: bool | None = None,
    randomize_model: bool = False,
    layers: int | Sequence[int] = (),
    max_sentences: int | None = None,
    max_length: int | None = None,
    label_words: str | None = None,
    target: str | None = None,
    against: str | None = None,
    unit: Literal["word", "token"] = "word",
    words: Literal["text", "whitespace"] = "text",
    pooling: Literal["last", "mean", "first"] = "last",
    dtype: Literal["float32", "float16", "bfloat16"] = "float32",
    keep_sinks: bool = False,
    streaming: bool = False,
    seed: int = 0,
    batch_tokens: int | None = None,
    model_dtype: Literal["float32", "float16", "bfloat16"] | None = None,
    load_in: Literal["8bit", "4bit"] | None = None,
    device_map: Literal["auto"] | None = None,
    device: str | None = None,
    trust_remote_code: bool = False,
) -> Estimate:
    """Return what `extract` would take with the same arguments: rows, bytes and time. Nothing is written.

        print(clvq.estimate("run/activations", model="demo", dataset="demo", layers=(4, 8)))

    The model is loaded, and runs for a few seconds over a sample of the corpus. The errors are those of `extract`.

    Args:
        path: Folder that the activations would be in.
        overwrite: As if the activations that the folder holds were replaced.
        progress: True shows bars on stderr; a function is called with each `clvq.progress.Progress`.
        model: Language model: a hub id (user/name or user/name@revision), a local folder, or demo, the
            bundled model.
        revision: Branch, tag or commit of a model from the hub [its main branch].
        dataset: Corpus: a hub id, a local folder, a file (.jsonl .csv .tsv .parquet .txt, also
            compressed), or demo, the bundled reviews.
        subset: Subset (configuration) of a dataset from the hub.
        split: Split of the corpus to train on [train, or the only split].
        eval_dataset: Corpus that the evaluation split comes from [the same corpus].
        eval_split: Split to evaluate on [validation, dev or test; without these a tenth of the training
            split is held out].
        text_column: Column of the corpus with the text; text.en is the field en inside the column text
            [recognised by its name].
        text_pair_column: Column with the second text of each sentence, for a model of sentence pairs,
            or for {text_pair} in a prompt [for a prompt with {text_pair}: recognised by its name].
        prompt: Prompt that texts are put into, or a file that holds it: {text} stands for the text,
            {text_pair} for the second text, and the name of any other column in braces for its value.
            The words of the prompt get no rows, and a long text is cut, never the prompt. The line end
            at the end of a file does not count.
        chat: Put the prompt through the tokenizer's chat template, as a message of the user. What
            stands above a line of three hyphens (---) in the prompt is the system message.
        rows_from: Which of several texts have words that get rows, separated by commas: text, text_pair
            or other columns in the prompt [text and text_pair].
        keep_prompt: Give the words of the prompt rows too; they count like words of the text.
        label_column: Column of the corpus with the label, or with a list of labels for a head that
            gives several or one for each word. Several columns, as in joy,anger,fear, hold a 0 or 1
            each, one for each label of the head. none: the corpus has no labels [recognised by its
            name, or by the names of the head's labels].
        label_map: The class of each value in the label column, such as neg=0,pos=1; double quotes
            enclose a value that has a comma. A class is given by its number or by its name in the
            model; none means no label [a number is a class; a name is the name of a class of the
            model].
        delimiter: Separator of the fields in a .csv, .tsv or .txt file: a character, or comma,
            semicolon, tab or pipe; none: each line is a text [recognised].
        quoting: Meaning of double quotes in such a file. quoted: they enclose fields, as in the CSV
            standard; none: they are characters like any other [recognised].
        header: Whether the first line of such a file holds the names of the columns [yes, if one is a
            usual name].
        randomize_model: Put the values of each of the model's weights into a random order: a control, a
            model that has learned nothing.
        layers: Layers to store, numbered as in hidden_states: 0 is the embeddings.
        max_sentences: Largest number of sentences of each split, drawn at random [all sentences].
        max_length: Largest number of tokens of a sentence [the model's limit].
        label_words: With a causal language model: the word that stands for each label, such as
            'negative=" bad",positive=" good"'; a leading space counts. The likeliest word behind the
            text is the prediction. A word can have several tokens. With a masked language model: the
            word of one token at the mask, which --prompt writes as <mask>.
        target: With a causal language model: the next token whose logit is asked for after each text,
            such as ' good'; a leading space counts [the likeliest token].
        against: With --target: another token, whose logit is subtracted from that of the first [none].
        unit: What a stored row stands for: a word, or a token (for scripts without spaces).
        words: How a text is split into words. text: by clvq's own rules; whitespace: at white space,
            for a text that is tokenised already (or is a list of tokens).
        pooling: State of a word of several sub-words: of its last sub-word, their mean, or of its first
            sub-word.
        dtype: Number type in which the states are stored.
        keep_sinks: Keep attention sinks (rows with an extreme norm) in training and figures.
        streaming: Stream the corpus instead of loading it first.
        seed: Seed of the draws that max_sentences and the held-out tenth need.
        batch_tokens: Number of tokens in a batch of the language model, padding included [1024 on a
            CPU, 4096 on a GPU].
        model_dtype: Number type in which the model computes [float32 on a CPU, that of its files on a
            GPU].
        load_in: Bits in which the model's weights are kept on a GPU, by the package bitsandbytes [those
            of their type].
        device_map: auto: spread a model that does not fit one device over all GPUs and the machine's
            memory, by the package accelerate. Later commands load it in the same way [all of it on
            --device].
        device: Where to compute: cpu, cuda, cuda:1 and so on [a GPU if there is one].
        trust_remote_code: Allow Python code that comes with a hub model to run.
    """

def explain(
    checkpoint: Checkpoint | str | Path,
    texts: str | Mapping[str, str] | Iterable[str | Mapping[str, str]] | None = None,
    *,
    overwrite: bool = False,
    progress: Report | bool | None = None,
    baseline: Literal["padding", "zero"] = "padding",
    completeness: float = 0.05,
    steps: int = 8,
    max_steps: int = 512,
    mass: float | None = None,
    limit: int | None = None,
    rationale_column: str | None = None,
    batch_tokens: int | None = None,
    dataset: str | None = None,
    eval_dataset: str | None = None,
    model: str | None = None,
    device: str | None = None,
    trust_remote_code: bool = False,
) -> Explanations:
    """Explain what the language model predicts for `texts`, or for the evaluation split.

        explanations = clvq.explain("run/L4-L8", "a slow , lifeless film")
        print([(word.text, word.attribution, word.code) for word in explanations.sentences[0].words])

    The explanation of the evaluation split is stored beside the checkpoint: an unfinished one with the same settings
    continues, and a finished one is read. Texts are explained up to the model's maximum length; `left_out` of an
    explanation counts the words beyond it. A text without a word that the tokenizer keeps has no explanation, which a
    note tells; the `id` of an explanation is the place of its text. ClvqError for a text that is empty, where no text
    has a word, and for a model that predicts nothing; MismatchError for a model that has changed, and for a stored
    explanation with other settings, unless `overwrite`.

    Args:
        checkpoint: A checkpoint, or its folder.
        texts: One text or several. None explains the evaluation split. Where the model reads several parts (pairs of
            texts, a prompt with other columns), a text is a dictionary: {"text": "...", "text_pair": "..."}.
        overwrite: Explain the evaluation split again.
        progress: True shows bars on stderr; a function is called with each `clvq.progress.Progress`.
        baseline: Start of the integrated gradients: the states of a text of padding, or zeros.
        completeness: Allowed error of the sum of attributions, as a share of the change of the logit
            that the sum should equal. Above this error the number of steps is doubled.
        steps: Number of integration steps to begin with.
        max_steps: Largest number of integration steps.
        mass: Words that are salient: the smallest set of words with this share of all attribution in
            favour of the prediction [only the top word].
        limit: Number of sentences to explain, from the start of the evaluation split [all sentences].
        rationale_column: Column of the evaluation corpus with the words that people marked as reasons,
            to compare with.
        batch_tokens: Number of tokens in a batch of the language model, with padding and all steps
            [1024 on a CPU, 4096 on a GPU].
        dataset: The corpus that the checkpoint was trained on, where its activations are not beside it:
            they are extracted again [none: the activations beside it are used].
        eval_dataset: With --dataset: corpus of the evaluation split, where it was another one [the one
            that was named at extraction].
        model: Folder or hub id where the language model is now, if it was moved. It must be the model
            that made the activations [where it was].
        device: Where to compute: cpu, cuda, cuda:1 and so on [a GPU if there is one].
        trust_remote_code: Allow Python code that comes with a hub model to run.
    """

def extract(
    path: str | Path,
    *,
    overwrite: bool = False,
    progress: Report | bool | None = None,
    model: str = "demo",
    revision: str | None = None,
    dataset: str = "demo",
    subset: str | None = None,
    split: str | None = None,
    eval_dataset: str | None = None,
    eval_split: str | None = None,
    text_column: str | None = None,
    text_pair_column: str | None = None,
    prompt: str | None = None,
    chat: bool = False,
    rows_from: str | None = None,
    keep_prompt: bool = False,
    label_column: str | None = None,
    label_map: str | None = None,
    delimiter: str | None = None,
    quoting: Literal["quoted", "none"] | None = None,
    header: bool | None = None,
    randomize_model: bool = False,
    layers: int | Sequence[int] = (),
    max_sentences: int | None = None,
    max_length: int | None = None,
    label_words: str | None = None,
    target: str | None = None,
    against: str | None = None,
    unit: Literal["word", "token"] = "word",
    words: Literal["text", "whitespace"] = "text",
    pooling: Literal["last", "mean", "first"] = "last",
    dtype: Literal["float32", "float16", "bfloat16"] = "float32",
    keep_sinks: bool = False,
    streaming: bool = False,
    seed: int = 0,
    batch_tokens: int | None = None,
    model_dtype: Literal["float32", "float16", "bfloat16"] | None = None,
    load_in: Literal["8bit", "4bit"] | None = None,
    device_map: Literal["auto"] | None = None,
    device: str | None = None,
    trust_remote_code: bool = False,
) -> ActivationStore:
    """Store the hidden states of a model's words over a corpus in the folder `path`.

        store = clvq.extract("run/activations", model="demo", dataset="demo", layers=(4, 8))

    An unfinished extraction with the same settings continues, and a finished one gains the layers that it lacks.
    Where `torchrun` or `accelerate launch` started several processes, call it in all of them: each runs the model over
    a part of the sentences, and what is written is the same to the bit.
    MismatchError where the folder was made with other settings, unless `overwrite`.

    Args:
        path: Folder of the activations. `train` and the other functions look for `activations` beside a checkpoint.
        overwrite: Replace the activations that the folder holds.
        progress: True shows bars on stderr; a function is called with each `clvq.progress.Progress`.
        model: Language model: a hub id (user/name or user/name@revision), a local folder, or demo, the
            bundled model.
        revision: Branch, tag or commit of a model from the hub [its main branch].
        dataset: Corpus: a hub id, a local folder, a file (.jsonl .csv .tsv .parquet .txt, also
            compressed), or demo, the bundled reviews.
        subset: Subset (configuration) of a dataset from the hub.
        split: Split of the corpus to train on [train, or the only split].
        eval_dataset: Corpus that the evaluation split comes from [the same corpus].
        eval_split: Split to evaluate on [validation, dev or test; without these a tenth of the training
            split is held out].
        text_column: Column of the corpus with the text; text.en is the field en inside the column text
            [recognised by its name].
        text_pair_column: Column with the second text of each sentence, for a model of sentence pairs,
            or for {text_pair} in a prompt [for a prompt with {text_pair}: recognised by its name].
        prompt: Prompt that texts are put into, or a file that holds it: {text} stands for the text,
            {text_pair} for the second text, and the name of any other column in braces for its value.
            The words of the prompt get no rows, and a long text is cut, never the prompt. The line end
            at the end of a file does not count.
        chat: Put the prompt through the tokenizer's chat template, as a message of the user. What
            stands above a line of three hyphens (---) in the prompt is the system message.
        rows_from: Which of several texts have words that get rows, separated by commas: text, text_pair
            or other columns in the prompt [text and text_pair].
        keep_prompt: Give the words of the prompt rows too; they count like words of the text.
        label_column: Column of the corpus with the label, or with a list of labels for a head that
            gives several or one for each word. Several columns, as in joy,anger,fear, hold a 0 or 1
            each, one for each label of the head. none: the corpus has no labels [recognised by its
            name, or by the names of the head's labels].
        label_map: The class of each value in the label column, such as neg=0,pos=1; double quotes
            enclose a value that has a comma. A class is given by its number or by its name in the
            model; none means no label [a number is a class; a name is the name of a class of the
            model].
        delimiter: Separator of the fields in a .csv, .tsv or .txt file: a character, or comma,
            semicolon, tab or pipe; none: each line is a text [recognised].
        quoting: Meaning of double quotes in such a file. quoted: they enclose fields, as in the CSV
            standard; none: they are characters like any other [recognised].
        header: Whether the first line of such a file holds the names of the columns [yes, if one is a
            usual name].
        randomize_model: Put the values of each of the model's weights into a random order: a control, a
            model that has learned nothing.
        layers: Layers to store, numbered as in hidden_states: 0 is the embeddings.
        max_sentences: Largest number of sentences of each split, drawn at random [all sentences].
        max_length: Largest number of tokens of a sentence [the model's limit].
        label_words: With a causal language model: the word that stands for each label, such as
            'negative=" bad",positive=" good"'; a leading space counts. The likeliest word behind the
            text is the prediction. A word can have several tokens. With a masked language model: the
            word of one token at the mask, which --prompt writes as <mask>.
        target: With a causal language model: the next token whose logit is asked for after each text,
            such as ' good'; a leading space counts [the likeliest token].
        against: With --target: another token, whose logit is subtracted from that of the first [none].
        unit: What a stored row stands for: a word, or a token (for scripts without spaces).
        words: How a text is split into words. text: by clvq's own rules; whitespace: at white space,
            for a text that is tokenised already (or is a list of tokens).
        pooling: State of a word of several sub-words: of its last sub-word, their mean, or of its first
            sub-word.
        dtype: Number type in which the states are stored.
        keep_sinks: Keep attention sinks (rows with an extreme norm) in training and figures.
        streaming: Stream the corpus instead of loading it first.
        seed: Seed of the draws that max_sentences and the held-out tenth need.
        batch_tokens: Number of tokens in a batch of the language model, padding included [1024 on a
            CPU, 4096 on a GPU].
        model_dtype: Number type in which the model computes [float32 on a CPU, that of its files on a
            GPU].
        load_in: Bits in which the model's weights are kept on a GPU, by the package bitsandbytes [those
            of their type].
        device_map: auto: spread a model that does not fit one device over all GPUs and the machine's
            memory, by the package accelerate. Later commands load it in the same way [all of it on
            --device].
        device: Where to compute: cpu, cuda, cuda:1 and so on [a GPU if there is one].
        trust_remote_code: Allow Python code that comes with a hub model to run.
    """

def faithfulness(
    checkpoints: Checkpoint | str | Path | Sequence[Checkpoint | str | Path],
    *,
    overwrite: bool = False,
    progress: Report | bool | None = None,
    mode: Literal["model", "splice", "probe", "paper"] = "model",
    by: Literal["edit", "concept"] = "edit",
    class_: str | None = None,
    every_token: bool = False,
    edit: str = "removal,projection",
    at: str = "salient,sentence",
    top: int = 5,
    mass: float | None = None,
    curve: bool = False,
    to: int | None = None,
    strength: float = 1.0,
    rank: int = 1,
    rank_curve: bool = False,
    controls: Literal["nulls", "all"] = "nulls",
    draws: int = 3,
    label: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    batch_tokens: int | None = None,
    dataset: str | None = None,
    eval_dataset: str | None = None,
    model: str | None = None,
    device: str | None = None,
    trust_remote_code: bool = False,
) -> Faithfulness:
    """Measure whether the language model's answers depend on the concepts, by editing them inside the model.

        result = clvq.faithfulness("run/L4-L8", edit="removal,projection", draws=3)

    The evaluation split is measured. Missing explanations are made first. A finished result with the same settings is
    read, not measured again. If the first checkpoint is now compared with other checkpoints, the tables are made again
    from the stored measurements. Settings that the mode has no use for are ignored, with a note. The modes splice,
    probe and paper measure one checkpoint. ClvqError where the model predicts nothing, and where there is nothing to
    edit. MismatchError where labels, checkpoints or model do not belong together, and where the result was made with
    other settings, unless `overwrite`.

    Args:
        checkpoints: A checkpoint, its folder, or several of either, which are put side by side.
        overwrite: Measure again, and replace the stored result.
        progress: True shows bars on stderr; a function is called with each `clvq.progress.Progress`.
        mode: What to measure. model: the model's predictions when concepts are edited inside it;
            splice: its predictions when the reconstruction replaces its states; probe: the predictions
            of a probe when sentence rows are edited; paper: the published probe, with checks that show
            its result to be an artefact.
        by: Lines of the figures of --mode model. edit: one line per edit and place; concept: one line
            per concept, which is removed wherever it occurs.
        class_: With --by concept: measure what is predicted as this class or label, or the words of
            this tag [all].
        every_token: With --mode splice and a causal language model: compare its next token at every
            token of the texts, as sparse autoencoders are judged, rather than its answer to each text.
        edit: Edits to try, separated by commas: removal, classless, projection, mean, move.
        at: Where to edit, separated by commas: salient (the salient words), concept (all words of the
            top word's concept), sentence (the row of the sentence), all (all words).
        top: Number of salient words: those with the largest attribution in favour of the prediction.
        mass: Choose the salient words by mass, not by number: the smallest set of words with this share
            of all attribution in favour of the prediction.
        curve: Also edit the salient words at every --mass from 0.1 to 1.
        to: Code of the concept that the edit move inserts [the concept with the lowest q for a class
            that is not predicted].
        strength: Length of the step towards the inserted concept, in units of the concept's distance
            from the mean; a negative number reverses the step.
        rank: Number of directions that an edit removes from a word: those of its nearest codes, or of
            its strongest latents. Compare methods at the same rank.
        rank_curve: Also edit the salient words at every --rank of 1, 2, 4, 8, 16, 32.
        controls: Which controls to measure. nulls: random steps, the step towards the mean word and the
            step along the class direction; all: also steps that insert other concepts.
        draws: Number of draws of each random control.
        label: Class whose sentences are edited [all classes].
        limit: Number of sentences to edit, from the start of the evaluation split [all sentences].
        seed: Seed of the random controls and of the intervals.
        batch_tokens: Number of tokens in a batch of the language model, padding included [1024 on a
            CPU, 4096 on a GPU].
        dataset: The corpus that the checkpoint was trained on, where its activations are not beside it:
            they are extracted again [none: the activations beside it are used].
        eval_dataset: With --dataset: corpus of the evaluation split, where it was another one [the one
            that was named at extraction].
        model: Folder or hub id where the language model is now, if it was moved. It must be the model
            that made the activations [where it was].
        device: Where to compute: cpu, cuda, cuda:1 and so on [a GPU if there is one].
        trust_remote_code: Allow Python code that comes with a hub model to run.
    """

def push(
    checkpoint: Checkpoint | str | Path,
    repository: str,
    *,
    private: bool = False,
    with_texts: bool = False,
    license: str | None = None,
    dry_run: bool = False,
    progress: Report | bool | None = None,
) -> Published:
    """Put a checkpoint on the hub, with its concepts and a model card, and return what was sent.

        clvq.push("run/L4-L8", "user/name", private=True)

    Sentences of the corpus are not sent unless `with_texts`: without it, the examples of concepts keep only their
    words, and readers' notes are left out. Paths of this machine are cut to their last part. ClvqError where
    `repository` is not of the form user/name, or cannot be written.

    Args:
        checkpoint: A checkpoint, or its folder.
        repository: `user/name`; it is made if it does not exist.
        private: Make it private, where it is made.
        with_texts: Send the sentences of the examples and the notes too.
        license: Identifier of the licence for the card, such as mit.
        dry_run: Send nothing.
        progress: True shows bars on stderr; a function is called with each `clvq.progress.Progress`.
    """

def report(
    checkpoint: Checkpoint | str | Path | Sequence[Checkpoint | str | Path],
    path: str | Path,
    *,
    texts: str | Sequence[str] = (),
    flow: Checkpoint | str | Path | None = None,
    progress: Report | bool | None = None,
) -> Path:
    """Write the report of a checkpoint to one HTML file, and return the path of the file.

        clvq.report("run/L4-L8", "run/report.html")
        clvq.report(["run/L4-L8", "run/L4-L8-kmeans"], "run/report.html")

    For several checkpoints, the page compares the figures in one table, and has a short section on each checkpoint:
    what the figures mean, the training curves and the largest concepts.

    A result that the run folder lacks, or holds from another training, is left out. The page and a note name it, with
    the command that makes it. ArtifactError for a damaged artifact, ClvqError for a path that cannot be written.

    Args:
        checkpoint: A checkpoint, or its folder; or several of them.
        path: The file to write.
        texts: Texts of your own to explain on the page of one checkpoint. This needs the language model.
        flow: Another checkpoint of the same activations: the page of one checkpoint then links the concepts of the two
            by the words that they share. Catalogues that are missing are made.
        progress: True shows bars on stderr; a function is called with each `clvq.progress.Progress`.
    """

def steer(
    checkpoint: Checkpoint | str | Path,
    text: str | Mapping[str, str],
    *,
    remove: Sequence[int] = (),
    add: Sequence[int] = (),
    progress: Report | bool | None = None,
    strength: float = 1.0,
    at: Literal["words", "concept", "all"] = "words",
    label: str | None = None,
    draws: int = 200,
    seed: int = 0,
    tokens: int = 0,
    model: str | None = None,
    device: str | None = None,
    trust_remote_code: bool = False,
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
        progress: True shows bars on stderr; a function is called with each `clvq.progress.Progress`.
        strength: How many times the concepts of --add are put in; without --add, how much of those of
            --remove is taken out (1 is all).
        at: Where the states are edited. words: at every word; concept: at the words that have a code of
            --remove; all: at every token, and at those that are generated.
        label: With a model that gives several labels: the label that it is asked for, yes or no.
        draws: Number of random steps of the same length, as a control.
        seed: Seed of these steps.
        tokens: Number of tokens to generate, before and after; for causal language models.
        model: Folder or hub id where the language model is now, if it was moved. It must be the model
            that made the activations [where it was].
        device: Where to compute: cpu, cuda, cuda:1 and so on [a GPU if there is one].
        trust_remote_code: Allow Python code that comes with a hub model to run.
    """

def sweep(
    store: ActivationStore | str | Path,
    *,
    layers: str | Sequence[str | tuple[int, int]],
    overwrite: bool = False,
    model: str | Path | None = None,
    batch_tokens: int = 4096,
    trust_remote_code: bool = False,
    progress: Report | bool | None = None,
    method: Literal[
        "clvq", "kmeans", "random", "agglomerative", "ridge-kmeans", "gradient-kmeans", "vqvae", "sae", "crosslayer-sae"
    ]
    | Sequence[
        Literal[
            "clvq",
            "kmeans",
            "random",
            "agglomerative",
            "ridge-kmeans",
            "gradient-kmeans",
            "vqvae",
            "sae",
            "crosslayer-sae",
        ]
    ] = "clvq",
    metric: Literal["euclidean", "mixed", "sensitivity"]
    | Sequence[Literal["euclidean", "mixed", "sensitivity"]] = "mixed",
    predict: Literal["state", "update"] | Sequence[Literal["state", "update"]] = "state",
    preset: Literal["default", "paper"] | Sequence[Literal["default", "paper"]] = "default",
    codebook_size: int | Sequence[int] = 400,
    codebooks: int | Sequence[int] = 1,
    top_k: int | Sequence[int] = 5,
    temperature: float | Sequence[float] = 0.3,
    temperature_unit: Literal["gap", "raw"] | Sequence[Literal["gap", "raw"]] = "gap",
    initialization: Literal["spherical", "kmeans", "random"]
    | Sequence[Literal["spherical", "kmeans", "random"]] = "spherical",
    decoder_layers: int | Sequence[int] = 2,
    decoder_memory: Literal["quantized", "encoder"] | Sequence[Literal["quantized", "encoder"]] = "quantized",
    decoder_heads: int | Sequence[int] = 8,
    feed_forward: int | Sequence[int] = 2048,
    dropout: float | Sequence[float] = 0.0,
    layer_scale: Literal["unit", "raw"] | Sequence[Literal["unit", "raw"]] = "unit",
    commitment_weight: float | Sequence[float] = 0.1,
    ema_decay: float | Sequence[float] = 0.99,
    revive_after: int | Sequence[int] = 100,
    epochs: int | Sequence[int] = 6,
    batch_sentences: int | Sequence[int] = 32,
    learning_rate: float | Sequence[float] = 0.001,
    schedule: Literal["cosine", "plateau"] | Sequence[Literal["cosine", "plateau"]] = "cosine",
    warmup: float | Sequence[float] = 0.05,
    gradient_clip: float | Sequence[float] = 1.0,
    weight_decay: float | Sequence[float] = 0.0001,
    patience: int | Sequence[int] = 0,
    max_frequency: int | Sequence[int] = 0,
    min_frequency: int | Sequence[int] = 0,
    frequency_order: Literal["random", "file"] | Sequence[Literal["random", "file"]] = "random",
    precision: Literal["float32", "bfloat16"] | Sequence[Literal["float32", "bfloat16"]] = "float32",
    skip: bool | Sequence[bool] = False,
    seed: int | Sequence[int] = 0,
    yardsticks: Literal["basic", "full"] = "basic",
    report_to: Literal["none", "tensorboard", "wandb", "trackio"] = "none",
    device: str | None = None,
) -> Sweep:
    """Train every combination of settings of a grid on one store, and return the results.

        table = clvq.sweep("run/activations", layers="2-4,4-6", codebook_size=[100, 400], seed=[0, 1, 2]).to_pandas()

    Most settings take a list of values. Each combination becomes an ordinary checkpoint beside the activations, named
    after its settings, with its concepts. A setting that a method does not use does not multiply the trainings of this
    method. A finished training is not repeated, and an unfinished training continues. The table is stored as sweep.json
    in the run folder.

    Before any training: ClvqError for an empty grid and for invalid values; MismatchError where the store lacks a
    layer, or, unless `overwrite`, where a checkpoint of the same name has other settings.

    Args:
        store: Activations that hold all layers, or their folder. The checkpoints are put beside it.
        layers: Pairs of an input and an output layer, such as "2-4,4-6" or [(2, 4), (4, 6)].
        overwrite: Train again what is finished.
        model: Folder or hub id where the language model is now, if it was moved. It runs only for its sensitivity.
        batch_tokens: Number of tokens in a batch of the language model, padding included.
        trust_remote_code: Allow Python code that comes with a hub model to run.
        progress: True shows bars on stderr; a function is called with each `clvq.progress.Progress`.
        method: What to train. clvq: a CLVQ-VAE; kmeans: the same decoder over frozen k-means codes;
            random: the same decoder over frozen random codes; agglomerative: over the means of clusters
            by Ward's criterion; ridge-kmeans: over frozen k-means codes of what a ridge map predicts at
            the output layer; gradient-kmeans: over frozen k-means codes of the sensitivity metric;
            vqvae: a CLVQ-VAE that reconstructs the input layer; sae: a TopK sparse autoencoder of the
            input layer; crosslayer-sae: one that predicts the output layer (a transcoder).
        metric: Distances between states and codes. mixed: steps that change what the language model
            predicts count somewhat more, as its gradients over a sample of the training sentences say;
            sensitivity: such steps count most; euclidean: as the states are, which needs no language
            model. Other methods than clvq have euclidean by default.
        predict: What the decoder predicts. state: the output layer's state; update: what the layers
            between add to the input layer's state, to which it is then added.
        preset: Source of the settings that are not given: the defaults of clvq, or the published
            settings.
        codebook_size: Number of codes in the codebook (K).
        codebooks: Number of codebooks, each of K codes. A word has a code of each: those after the
            first stand for what the codes before leave of its state. Concepts are codes of the first.
        top_k: Training draws one of this many nearest codes for a row; 1 always takes the nearest.
        temperature: Temperature of the draw among the nearest codes, in units of the mean gap between
            their distances.
        temperature_unit: Unit of the temperature: the mean gap between the nearest codes' distances, or
            raw.
        initialization: How the codebook starts: by scaled-spherical k-means++, by k-means, or as random
            rows.
        decoder_layers: Number of transformer blocks in the decoder.
        decoder_memory: What the decoder sees: only the codes, or also the encoder's output.
        decoder_heads: Number of attention heads in a block of the decoder.
        feed_forward: Width of the decoder's feed-forward layers.
        dropout: Dropout rate in the decoder.
        layer_scale: Scale of a layer's states: mean squared norm equal to the width, or as stored.
        commitment_weight: Weight of the commitment loss (beta).
        ema_decay: Decay of the running sums that the codes are updated from.
        revive_after: Number of batches without use after which a code is moved; 0 never moves it.
        epochs: Number of passes over the training sentences.
        batch_sentences: Number of sentences in a training batch.
        learning_rate: Learning rate of Adam.
        schedule: How the learning rate falls: along a cosine, or when the error stops falling.
        warmup: Share of the steps in which the learning rate rises at the start.
        gradient_clip: Largest norm of the gradient; 0 sets no limit.
        weight_decay: Weight decay of Adam.
        patience: Number of epochs without improvement after which training stops; 0 never stops early.
        max_frequency: Largest number of training rows of a word type; 0 keeps all rows.
        min_frequency: Number of training rows that a word type must have to be kept; 0 keeps all word
            types.
        frequency_order: Which rows of a frequent word type are kept: random ones, or the first in the
            file.
        precision: Number type in which the decoder multiplies in training. bfloat16 is for GPUs and for
            CPUs that have it in hardware; weights, distances and the updates of codes stay in float32.
        skip: Give a cross-layer sparse autoencoder a linear skip connection.
        seed: Seed of the initialization, the draws of codes and the order of sentences.
        yardsticks: Baselines of the result. basic: those that are quick to compute; full: also frozen
            k-means codes, for which the same decoder is trained.
        report_to: Experiment tracker that is sent what metrics.jsonl holds, by its own package, which
            must be installed. TensorBoard's files lie in the checkpoint's folder.
        device: Where to compute: cpu, cuda, cuda:1 and so on [a GPU if there is one].
    """

def train(
    store: ActivationStore | str | Path,
    *,
    path: str | Path,
    overwrite: bool = False,
    model: str | Path | None = None,
    batch_tokens: int = 4096,
    trust_remote_code: bool = False,
    progress: Report | bool | None = None,
    input_layer: int,
    output_layer: int,
    method: Literal[
        "clvq", "kmeans", "random", "agglomerative", "ridge-kmeans", "gradient-kmeans", "vqvae", "sae", "crosslayer-sae"
    ] = "clvq",
    metric: Literal["euclidean", "mixed", "sensitivity"] = "mixed",
    predict: Literal["state", "update"] = "state",
    preset: Literal["default", "paper"] = "default",
    codebook_size: int = 400,
    codebooks: int = 1,
    top_k: int = 5,
    temperature: float = 0.3,
    temperature_unit: Literal["gap", "raw"] = "gap",
    initialization: Literal["spherical", "kmeans", "random"] = "spherical",
    decoder_layers: int = 2,
    decoder_memory: Literal["quantized", "encoder"] = "quantized",
    decoder_heads: int = 8,
    feed_forward: int = 2048,
    dropout: float = 0.0,
    layer_scale: Literal["unit", "raw"] = "unit",
    commitment_weight: float = 0.1,
    ema_decay: float = 0.99,
    revive_after: int = 100,
    epochs: int = 6,
    batch_sentences: int = 32,
    learning_rate: float = 0.001,
    schedule: Literal["cosine", "plateau"] = "cosine",
    warmup: float = 0.05,
    gradient_clip: float = 1.0,
    weight_decay: float = 0.0001,
    patience: int = 0,
    max_frequency: int = 0,
    min_frequency: int = 0,
    frequency_order: Literal["random", "file"] = "random",
    precision: Literal["float32", "bfloat16"] = "float32",
    skip: bool = False,
    seed: int = 0,
    yardsticks: Literal["basic", "full"] = "basic",
    report_to: Literal["none", "tensorboard", "wandb", "trackio"] = "none",
    device: str | None = None,
) -> Checkpoint:
    """Train a CLVQ-VAE, or what it is compared with, on two stored layers.

        checkpoint = clvq.train("run/activations", path="run/seed-1", input_layer=4, output_layer=8, seed=1)

    An unfinished training with the same settings continues, and a finished one is returned as it is. Settings that
    the method has no use for are ignored, with a note. MismatchError where the folder was made with other settings,
    unless `overwrite`.

    With another metric than "euclidean", and for the method gradient-kmeans, the language model is run over a sample of
    the training sentences. The result is stored beside the activations. ClvqError where the model predicts nothing or
    is not found, MismatchError where it is another one.

    Args:
        store: Activations that hold both layers, or their folder.
        path: Folder of the checkpoint. Keep it beside the activations, where the other functions look for them.
        overwrite: Replace the checkpoint that the folder holds.
        model: Folder or hub id where the language model is now, if it was moved. It runs only for its sensitivity.
        batch_tokens: Number of tokens in a batch of the language model, padding included.
        trust_remote_code: Allow Python code that comes with a hub model to run.
        progress: True shows bars on stderr; a function is called with each `clvq.progress.Progress`.
        input_layer: Layer whose states the codes replace.
        output_layer: Layer whose states the decoder predicts from the codes.
        method: What to train. clvq: a CLVQ-VAE; kmeans: the same decoder over frozen k-means codes;
            random: the same decoder over frozen random codes; agglomerative: over the means of clusters
            by Ward's criterion; ridge-kmeans: over frozen k-means codes of what a ridge map predicts at
            the output layer; gradient-kmeans: over frozen k-means codes of the sensitivity metric;
            vqvae: a CLVQ-VAE that reconstructs the input layer; sae: a TopK sparse autoencoder of the
            input layer; crosslayer-sae: one that predicts the output layer (a transcoder).
        metric: Distances between states and codes. mixed: steps that change what the language model
            predicts count somewhat more, as its gradients over a sample of the training sentences say;
            sensitivity: such steps count most; euclidean: as the states are, which needs no language
            model. Other methods than clvq have euclidean by default.
        predict: What the decoder predicts. state: the output layer's state; update: what the layers
            between add to the input layer's state, to which it is then added.
        preset: Source of the settings that are not given: the defaults of clvq, or the published
            settings.
        codebook_size: Number of codes in the codebook (K).
        codebooks: Number of codebooks, each of K codes. A word has a code of each: those after the
            first stand for what the codes before leave of its state. Concepts are codes of the first.
        top_k: Training draws one of this many nearest codes for a row; 1 always takes the nearest.
        temperature: Temperature of the draw among the nearest codes, in units of the mean gap between
            their distances.
        temperature_unit: Unit of the temperature: the mean gap between the nearest codes' distances, or
            raw.
        initialization: How the codebook starts: by scaled-spherical k-means++, by k-means, or as random
            rows.
        decoder_layers: Number of transformer blocks in the decoder.
        decoder_memory: What the decoder sees: only the codes, or also the encoder's output.
        decoder_heads: Number of attention heads in a block of the decoder.
        feed_forward: Width of the decoder's feed-forward layers.
        dropout: Dropout rate in the decoder.
        layer_scale: Scale of a layer's states: mean squared norm equal to the width, or as stored.
        commitment_weight: Weight of the commitment loss (beta).
        ema_decay: Decay of the running sums that the codes are updated from.
        revive_after: Number of batches without use after which a code is moved; 0 never moves it.
        epochs: Number of passes over the training sentences.
        batch_sentences: Number of sentences in a training batch.
        learning_rate: Learning rate of Adam.
        schedule: How the learning rate falls: along a cosine, or when the error stops falling.
        warmup: Share of the steps in which the learning rate rises at the start.
        gradient_clip: Largest norm of the gradient; 0 sets no limit.
        weight_decay: Weight decay of Adam.
        patience: Number of epochs without improvement after which training stops; 0 never stops early.
        max_frequency: Largest number of training rows of a word type; 0 keeps all rows.
        min_frequency: Number of training rows that a word type must have to be kept; 0 keeps all word
            types.
        frequency_order: Which rows of a frequent word type are kept: random ones, or the first in the
            file.
        precision: Number type in which the decoder multiplies in training. bfloat16 is for GPUs and for
            CPUs that have it in hardware; weights, distances and the updates of codes stay in float32.
        skip: Give a cross-layer sparse autoencoder a linear skip connection.
        seed: Seed of the initialization, the draws of codes and the order of sentences.
        yardsticks: Baselines of the result. basic: those that are quick to compute; full: also frozen
            k-means codes, for which the same decoder is trained.
        report_to: Experiment tracker that is sent what metrics.jsonl holds, by its own package, which
            must be installed. TensorBoard's files lie in the checkpoint's folder.
        device: Where to compute: cpu, cuda, cuda:1 and so on [a GPU if there is one].
    """
