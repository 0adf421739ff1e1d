"""How `clvq explain` looks: sentences shaded by attribution, and what the salient words' concepts stand for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

from clvq.artifacts import short_name
from clvq.cli.output import heading, number, percent, plain, table

FIRST_SENTENCES = 3
"""Of the evaluation split that are shown."""

_SHADES: dict[bool, tuple[str, ...]] = {
    True: ("#deebf7", "#9ecae1", "#6baed6", "#4292c6"),
    False: ("#fee6ce", "#fdbe85", "#fd9d4f", "#f07818"),
}
"""Backgrounds from weak to strong, by whether a word is in favour; nearly everyone can tell blue from orange."""
_SIXTEEN_COLOURS: dict[bool, tuple[str, ...]] = {True: ("bright_cyan",), False: ("bright_yellow",)}
"""For a terminal that has no shades."""
_FAINTEST = 0.1
"""A word below this share of the strongest one's attribution is not shaded."""


def shown(document: dict[str, Any], *, stored: bool) -> Sequence[RenderableType]:
    """The texts one by one; of a stored evaluation split its figures and the first few sentences."""
    concepts = {concept["code"]: concept["top_words"] for concept in document["concepts"]}
    sentences = document["sentences"][:FIRST_SENTENCES] if stored else document["sentences"]
    parts: list[RenderableType] = _figures(document) if stored else []
    for sentence in sentences:
        parts += [*_sentence(sentence, concepts, document), ""]
    if stored:
        rest = len(document["sentences"]) - len(sentences)
        ending = f"{number(rest)} more in " if rest else ""
        parts.append(Text(f"{ending}{plain(document['path'])}/explanations.jsonl", overflow="fold"))
    return parts if stored else parts[:-1]


def _figures(document: dict[str, Any]) -> list[RenderableType]:
    figures, rationales = document["summary"], document["rationales"]
    made = table("", title="Evaluation split")
    made.add_row("sentences", number(figures["sentences"]))
    for reason, count in figures["left_out"].items():
        if count:
            made.add_row(f"left out: {reason}", number(count))
    if figures["truncated"]:
        made.add_row("explained up to the model's length", number(figures["truncated"]))
    if figures["accuracy"] is not None:
        made.add_row("accuracy of the model", percent(figures["accuracy"]))
    made.add_row("share on special tokens, median", percent(figures["median_special_share"]))
    made.add_row("steps, median", number(figures["median_steps"], 0))
    made.add_row("completeness error, median", percent(figures["median_completeness_error"]))
    bound = percent(document["settings"]["completeness"])
    made.add_row(f"sentences over {bound} of it at {document['settings']['max_steps']} steps",
                 percent(figures["share_over_bound"]))  # fmt: skip
    title = f"Why {short_name(document['model']['id'])} predicts its {document['target']}"
    parts: list[RenderableType] = [heading(title, _baseline(document)), "", made, ""]
    if rationales is not None:
        compared = table("AUPRC", "token F1", title=f"Agreement with {rationales['column']}")
        names = {"attribution": "attribution", "frequency": "rarer words first", "random": "at random"}
        for name, meaning in names.items():
            compared.add_row(meaning, number(rationales["auprc"][name]), number(rationales["token_f1"][name]))
        over = f"Over {number(rationales['sentences'])} distinct texts that are marked in part"
        parts += [compared, Text(f"{over}; {number(rationales['left_out'])} others are left out.", style="dim"), ""]
    return parts


def _sentence(
    sentence: dict[str, Any], concepts: dict[int, list[str]], document: dict[str, Any]
) -> list[RenderableType]:
    """One text with its prediction, its shaded words, and the concepts of the salient ones."""
    names = document["label_names"]
    target = plain(sentence["target"]) if names is not None else repr(sentence["target"])
    label = sentence["label"]
    wrong = label is not None and names is not None and label != sentence["prediction"]
    detail = percent(sentence["probability"])
    if wrong:
        detail += f", labelled {names[label] if 0 <= label < len(names) else label}"
    salient = table("attribution", "concept", title="Salient word")
    salient.add_column(Text("its words"), overflow="fold")
    for word in sorted(_salient(sentence), key=lambda word: -word["attribution"]):
        code = word["code"]
        stands_for = " ".join(map(plain, concepts[code])) if code in concepts else "no word of the training split"
        if code is None:
            stands_for = "none: an attention sink"
        salient.add_row(
            Text(plain(sentence["text"][word["start"] : word["end"]])),
            f"{word['attribution']:+.2f}",
            "-" if code is None else str(code),
            Text(stands_for),
        )
    explained = f"{sentence['difference']:+.2f} explained, {percent(sentence['special_share'])} on special tokens"
    trust = f"completeness error {percent(sentence['completeness_error'])}, {sentence['steps']} steps"
    return [
        heading(f"next token {target}" if names is None else target, detail),
        Shaded(sentence["text"], sentence["words"]),
        salient,
        Text(f"{explained}; {trust}, {_baseline(document)}", style="dim"),
    ]


def _salient(sentence: dict[str, Any]) -> list[dict[str, Any]]:
    return [word for word in sentence["words"] if word["salient"]]


def _baseline(document: dict[str, Any]) -> str:
    return f"baseline {document['settings']['baseline']}"


class Shaded:
    """A text whose words have backgrounds by their attribution; without colours the salient ones stand in stars."""

    def __init__(self, text: str, words: Sequence[dict[str, Any]]) -> None:
        self.text, self.words = text, words

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        colours = console.color_system is not None and not console.no_color
        hues = _SHADES if console.color_system in ("truecolor", "256") else _SIXTEEN_COLOURS
        strongest = max((abs(word["attribution"]) for word in self.words), default=0.0) or 1.0
        line, at = Text(), 0
        for word in self.words:
            line.append(plain(self.text[at : word["start"]]))
            shown_word = plain(self.text[word["start"] : word["end"]])
            if not colours:
                shown_word = f"*{shown_word}*" if word["salient"] else shown_word
            line.append(shown_word, style=_style(word, strongest, hues) if colours else "")
            at = word["end"]
        yield line.append(plain(self.text[at:]))


def _style(word: dict[str, Any], strongest: float, hues: dict[bool, tuple[str, ...]]) -> str:
    share = abs(word["attribution"]) / strongest
    emphasis = " bold underline" if word["salient"] else ""
    if share < _FAINTEST:
        return emphasis.strip()
    shades = hues[word["attribution"] > 0]
    return f"black on {shades[min(int(share * len(shades)), len(shades) - 1)]}{emphasis}"
