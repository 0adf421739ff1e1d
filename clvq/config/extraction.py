"""The settings of an extraction: which model over which corpus, how texts are read, and what is asked of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clvq.config.prompts import TEXT, TEXT_PAIR, Prompt, parse_label_words, read_prompt, written_label_words
from clvq.config.settings import BATCH, DEVICE, POSITIVE, SEED, TRUST, Bounds, Settings, flag, listed, stated
from clvq.errors import refuse_undecodable

Unit = Literal["word", "token"]
WordMethod = Literal["text", "whitespace"]
Quoting = Literal["quoted", "none"]
Pooling = Literal["last", "mean", "first"]
StorageType = Literal["float32", "float16", "bfloat16"]
LowBits = Literal["8bit", "4bit"]
DeviceMap = Literal["auto"]

DEMO = "demo"


@dataclass(frozen=True)
class ExtractConfig(Settings):
    """The settings of an extraction: the model, the corpus, and the hidden states to store.

        print(clvq.ExtractConfig(layers=(4, 8)).pooling)

    `clvq.extract` takes them as keywords.
    """

    model: str = stated(
        DEMO, "Language model: a hub id (user/name or user/name@revision), a local folder, or demo, the bundled model."
    )
    revision: str | None = stated(None, "Branch, tag or commit of a model from the hub [its main branch].")
    dataset: str = stated(
        DEMO,
        "Corpus: a hub id, a local folder, a file (.jsonl .csv .tsv .parquet .txt, also compressed), or demo, the "
        "bundled reviews.",
    )
    subset: str | None = stated(None, "Subset (configuration) of a dataset from the hub.")
    split: str | None = stated(None, "Split of the corpus to train on [train, or the only split].")
    eval_dataset: str | None = stated(None, "Corpus that the evaluation split comes from [the same corpus].")
    eval_split: str | None = stated(
        None, "Split to evaluate on [validation, dev or test; without these a tenth of the training split is held out]."
    )
    text_column: str | None = stated(
        None,
        "Column of the corpus with the text; text.en is the field en inside the column text [recognised by its name].",
    )
    text_pair_column: str | None = stated(
        None,
        "Column with the second text of each sentence, for a model of sentence pairs, or for {text_pair} in a prompt "
        "[for a prompt with {text_pair}: recognised by its name].",
    )
    prompt: str | None = stated(
        None,
        "Prompt that texts are put into, or a file that holds it: {text} stands for the text, {text_pair} for the "
        "second text, and the name of any other column in braces for its value. The words of the prompt get no rows, "
        "and a long text is cut, never the prompt. The line end at the end of a file does not count.",
    )
    chat: bool = stated(
        False,
        "Put the prompt through the tokenizer's chat template, as a message of the user. What stands above a line of "
        "three hyphens (---) in the prompt is the system message.",
    )
    rows_from: str | None = stated(
        None,
        "Which of several texts have words that get rows, separated by commas: text, text_pair or other columns in the "
        "prompt [text and text_pair].",
    )
    keep_prompt: bool = stated(False, "Give the words of the prompt rows too; they count like words of the text.")
    label_column: str | None = stated(
        None,
        "Column of the corpus with the label, or with a list of labels for a head that gives several or one for each "
        "word. Several columns, as in joy,anger,fear, hold a 0 or 1 each, one for each label of the head. none: the "
        "corpus has no labels [recognised by its name, or by the names of the head's labels].",
    )
    label_map: str | None = stated(
        None,
        "The class of each value in the label column, such as neg=0,pos=1; double quotes enclose a value that has a "
        "comma. A class is given by its number or by its name in the model; none means no label [a number is a class; "
        "a name is the name of a class of the model].",
    )
    delimiter: str | None = stated(
        None,
        "Separator of the fields in a .csv, .tsv or .txt file: a character, or comma, semicolon, tab or pipe; none: "
        "each line is a text [recognised].",
    )
    quoting: Quoting | None = stated(
        None,
        "Meaning of double quotes in such a file. quoted: they enclose fields, as in the CSV standard; none: they are "
        "characters like any other [recognised].",
    )
    header: bool | None = stated(
        None, "Whether the first line of such a file holds the names of the columns [yes, if one is a usual name]."
    )
    randomize_model: bool = stated(
        False,
        "Put the values of each of the model's weights into a random order: a control, a model that has learned "
        "nothing.",
    )
    layers: tuple[int, ...] = stated((), "Layers to store, numbered as in hidden_states: 0 is the embeddings.")
    max_sentences: int | None = stated(
        None, "Largest number of sentences of each split, drawn at random [all sentences].", Bounds(at_least=2)
    )
    max_length: int | None = stated(None, "Largest number of tokens of a sentence [the model's limit].")
    label_words: str | None = stated(
        None,
        "With a causal language model: the word that stands for each label, such as "
        """'negative=" bad",positive=" good"'; a leading space counts. The likeliest word behind the text is the """
        "prediction. A word can have several tokens. With a masked language model: the word of one token at the mask, "
        "which --prompt writes as <mask>.",
    )
    target: str | None = stated(
        None,
        "With a causal language model: the next token whose logit is asked for after each text, such as ' good'; a "
        "leading space counts [the likeliest token].",
    )
    against: str | None = stated(
        None, "With --target: another token, whose logit is subtracted from that of the first [none]."
    )
    unit: Unit = stated("word", "What a stored row stands for: a word, or a token (for scripts without spaces).")
    words: WordMethod = stated(
        "text",
        "How a text is split into words. text: by clvq's own rules; whitespace: at white space, for a text that is "
        "tokenised already (or is a list of tokens).",
    )
    pooling: Pooling = stated(
        "last", "State of a word of several sub-words: of its last sub-word, their mean, or of its first sub-word."
    )
    dtype: StorageType = stated("float32", "Number type in which the states are stored.")
    keep_sinks: bool = stated(False, "Keep attention sinks (rows with an extreme norm) in training and figures.")
    streaming: bool = stated(False, "Stream the corpus instead of loading it first.")
    seed: int = stated(0, "Seed of the draws that max_sentences and the held-out tenth need.", SEED, option=False)
    batch_tokens: int | None = stated(
        None, f"{BATCH.removesuffix('.')} [1024 on a CPU, 4096 on a GPU].", POSITIVE, result=False
    )
    model_dtype: StorageType | None = stated(
        None, "Number type in which the model computes [float32 on a CPU, that of its files on a GPU]."
    )
    load_in: LowBits | None = stated(
        None, "Bits in which the model's weights are kept on a GPU, by the package bitsandbytes [those of their type]."
    )
    device_map: DeviceMap | None = stated(
        None,
        "auto: spread a model that does not fit one device over all GPUs and the machine's memory, by the package "
        "accelerate. Later commands load it in the same way [all of it on --device].",
    )
    device: str | None = stated(None, DEVICE, result=False)
    trust_remote_code: bool = stated(False, TRUST)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("model", "dataset", "eval_dataset"):
            refuse_undecodable(f"--{name.replace('_', '-')}", getattr(self, name))
        self.require(len(set(self.layers)) == len(self.layers), f"--layers names a layer twice: {list(self.layers)}.")
        self.require(
            self.against is None or self.target is not None, "--against is for --target: give the token it is against."
        )
        self.require(
            self.unit == "word" or self.pooling == "last",
            f"--pooling {self.pooling} has no meaning with --unit token: a token is its own row.",
        )
        self.require(
            self.unit == "word" or self.words == "text",
            f"--words {self.words} has no meaning with --unit token: no words are looked for.",
        )
        self.require(
            self.label_words is None or self.target is None,
            "--label-words and --target ask a model for two different things. Give one of them; where the run folder's "
            "activations were made with the other, another --run.",
        )
        if self.label_words is not None:
            object.__setattr__(self, "label_words", written_label_words(parse_label_words(self.label_words)))
        if self.prompt is not None:
            object.__setattr__(self, "prompt", read_prompt(self.prompt))
        for name in ("chat", "keep_prompt"):
            self.require(self.prompt is not None or not getattr(self, name), f"{flag(name)} is for a --prompt.")
        parts = self.parts
        self.require(
            self.text_pair_column is None or TEXT_PAIR in parts,
            "--text-pair-column is given, but --prompt has no {text_pair}: say where the second text goes.",
        )
        self.require(
            bool(self.parts_with_rows) and set(self.parts_with_rows) <= set(parts),
            f"--rows-from takes {', '.join(parts)}, separated by commas; it is {self.rows_from!r}.",
        )

    @property
    def parts(self) -> tuple[str, ...]:
        """What makes up a text, in the order in which the model reads it: TEXT, TEXT_PAIR, or other columns."""
        if self.prompt is None:
            return (TEXT,) if self.text_pair_column is None else (TEXT, TEXT_PAIR)
        system, user = Prompt.parse(self.prompt, self.chat)
        return (*(system.fields if system is not None else ()), *user.fields)

    @property
    def parts_with_rows(self) -> tuple[str, ...]:
        """The parts whose words get rows."""
        if self.rows_from is None:
            return tuple(part for part in self.parts if part in (TEXT, TEXT_PAIR))
        return listed(self.rows_from)
