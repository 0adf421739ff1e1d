"""How the other modes of `clvq faithfulness` look: the spliced reconstruction, and the probes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from clvq.cli.faithfulness_view import Intervals, interval
from clvq.cli.output import heading, number, plain, table

PUBLISHED = (
    "This is the published protocol (arXiv 2506.20040), and its number is an artefact: the concept is chosen with the "
    "predicted class, so what is projected out tells the class, and a probe that stays as it was follows that. "
    "Compare concepts of other sentences that are predicted alike, and probes that are fitted again."
)
OTHERS = {"clean": "other tokens left clean", "ablated": "other tokens the mean"}
SPLICED = {"spliced": "spliced", "ablated": "all rows the mean"}
FIGURES = {"agreement": "agreement", "kl": "KL", "loss": "loss", "accuracy": "accuracy"}
EDITS = {"removal": "centred removal", "projection": "projection, as published", "mean": "replacement by the mean"}
CONTROLS = {
    None: "the concept",
    "gaussian": "Gaussian, as published",
    "random": "random",
    "covariance": "covariance random",
    "own": "own deviation",
    "other": "another sentence's",
    "same": "of one predicted alike",
    "opposite": "of one predicted otherwise",
}


def _splice(document: dict[str, Any]) -> Sequence[RenderableType]:
    """What the reconstruction keeps of the model's answers, with either stand-in for tokens without a row."""
    found = document["measured"]
    others = [found["others"][name] for name in OTHERS]
    left_out = f", {number(found['left_out'])} without a row left out" if found["left_out"] else ""
    rows = [
        ("loss recovered", [interval(entry["share_recovered"]) for entry in others]),
        ("loss recovered, labels", [interval(entry["share_recovered_labels"]) for entry in others]),
    ]
    for state, called in SPLICED.items():
        rows += [
            (f"{name}, {called}", [interval(entry[state][key]) for entry in others]) for key, name in FIGURES.items()
        ]
    rows.append(("loss, as it is", [number(entry["loss_clean"]) for entry in others]))
    rows.append(("accuracy, as it is", [interval(found["accuracy"])] * len(others)))
    reads = "the sentence rows alone" if found["only_sentence_row"] else "all rows"
    return [
        heading(
            f"Reconstruction inside {document['model']['id']}, layer {found['layer']} from {found['input_layer']}",
            f"{number(found['sentences'])} sentences{left_out}",
        ),
        "",
        Intervals("Spliced", list(OTHERS.values()), rows),
        "",
        Text(
            f"The answer depends on {reads}; {number(found['tokens_of_rows'])} of {number(found['tokens'])} tokens "
            "have a row. 1 is a perfect decoder, 0 one that says the mean."
        ),
        Text(plain(document["path"]), overflow="fold"),
    ]


def _paper(document: dict[str, Any]) -> Sequence[RenderableType]:
    return [Text(PUBLISHED), "", *_probe(document)]


def _probe(document: dict[str, Any]) -> Sequence[RenderableType]:
    """A block an edit: what probes read of the edited rows, and what the concept takes beyond its controls."""
    found = document["measured"]
    row = "sentence rows" if found["rows"] == "sentence" else "means of words"
    parts: list[RenderableType] = [
        heading(
            f"Probe of the {row} of {document['model']['id']}, layer {found['layer']}",
            f"{number(found['sentences']['evaluation'])} sentences, {number(found['distinct_texts'])} distinct texts, "
            f"chance {number(found['chance'])}",
        ),
        "",
    ]
    for edit, group in groupby(found["table"], key=lambda line: line["edit"]):
        lines = list(group)
        effect = table("accuracy", "from chance", "fitted again", "distance", title="What a probe reads")
        effect.add_row("as it is", *_figures(found["before"]), "-")
        for line in lines:
            effect.add_row(CONTROLS[line["control"]], *_figures(line), number(line["distance"], 2))
        beyond = [
            (CONTROLS[line["control"]], [interval(line["selectivity"], sign="+")])
            for line in lines
            if line["selectivity"] is not None
        ]
        parts += [heading(EDITS[edit]), effect]
        parts += [Intervals("Concept beyond", ["accuracy"], beyond)] if beyond else []
        if unlike := [CONTROLS[line["control"]] for line in lines if line["control"] and line["selectivity"] is None]:
            parts.append(
                Text(f"No selectivity against {', '.join(unlike)}: it moves by another distance.", style="dim")
            )
        parts.append("")
    return [*parts, Text(plain(document["path"]), overflow="fold")]


def _figures(line: dict[str, Any]) -> list[str]:
    refitted = None if line["refitted"] is None else line["refitted"]["value"]
    return [number(line["accuracy"]["value"]), number(line["chance_distance"]), number(refitted)]


SHOWN: dict[str, Callable[[dict[str, Any]], Sequence[RenderableType]]] = {
    "splice": _splice,
    "probe": _probe,
    "paper": _paper,
}
"""How each mode other than `model` looks."""
