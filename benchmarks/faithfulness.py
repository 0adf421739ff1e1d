"""Selectivity over corpora and seeds: what removing concepts does beyond matched controls, pooled over run folders.

python benchmarks/faithfulness.py MOVIE_RUN AGNEWS_RUN --checkpoints L4-L6 seed1 seed2 L4-L6-kmeans L4-L6-sae
python benchmarks/faithfulness.py MOVIE_RUN AGNEWS_RUN --checkpoints L4-L6 seed1 seed2 --curve

Every run folder must hold the checkpoints. Those that differ in the seed alone are averaged sentence by sentence, then
the sentences of all corpora are taken together. What `clvq faithfulness` measured before is read.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
from common import notes, print_table

import clvq
from clvq.assignments import read_text
from clvq.checkpoint import find_checkpoint
from clvq.codebook_pairs import against
from clvq.effects import Change, Effects
from clvq.explanations import SPLIT
from clvq.faithfulness_config import FaithfulnessConfig
from clvq.faithfulness_files import explained_by
from clvq.selectivity import FIGURES, paired, table
from clvq.sentence_effects import Group, SentenceEffects, sentence_effects

HARD = ("covariance", "own")
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="run folders, one a corpus")
    parser.add_argument("--checkpoints", nargs="+", required=True, help="names in every run folder")
    parser.add_argument("--edit", default="removal")
    parser.add_argument("--at", default="salient")
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--curve", action="store_true")
    options = parser.parse_args()
    config = FaithfulnessConfig(
        edit=options.edit, at=options.at, top=options.top, draws=options.draws, curve=options.curve
    )
    found = {}
    for run in options.runs:
        checkpoints = [find_checkpoint(run, name) for name in options.checkpoints]
        explained = explained_by(checkpoints, config, notes)
        text = read_text(checkpoints[0].store(), SPLIT)
        found[run.name] = sentence_effects(explained, text, config, progress=notes)
    corpora = {name: [of.of(group) for group in of.groups] for name, of in found.items()}
    texts = {name: of.texts for name, of in found.items()}
    if len(found) > 1:
        corpora["pooled"] = [pooled(several) for several in zip(*corpora.values(), strict=True)]
        texts["pooled"] = np.concatenate([of.texts + number * 10**9 for number, of in enumerate(found.values())])
    groups = next(iter(found.values())).groups
    for name, effects in corpora.items():
        seeds = spread(found.get(name), found.values())
        for group, own, deviations in zip(groups, effects, seeds, strict=True):
            show(f"{name}: {called(group)}", own, texts[name], deviations)
        for group, own in zip(groups[1:], effects[1:], strict=True):
            title = f"{name}: {called(groups[0])} less {called(group)}"
            print_table(
                title,
                [
                    (line["edit"], line["place"], line["control"], line["figure"],
                     interval(line, "difference"), f"{line['distance']:.2f} / {line['other_distance']:.2f}")
                    for line in paired(effects[0], own, texts[name], SEED) if line["control"] in HARD
                    and line["figure"] != "probability"
                ],
                ("edit", "place", "beyond", "figure", "difference", "distances"),
            )  # fmt: skip
    agreement(found)


def pooled(several: Iterable[Mapping[Change, Effects]]) -> dict[Change, Effects]:
    """The sentences of several corpora, one after the other."""
    first, *others = several
    shared = [change for change in first if all(change in effects for effects in others)]
    return {
        change: Effects(*(np.concatenate(v) for v in zip(*(e[change] for e in (first, *others)), strict=True)))
        for change in shared
    }


def spread(
    one: SentenceEffects | None, every: Iterable[SentenceEffects]
) -> list[dict[tuple[object, ...], tuple[float, ...]]]:
    """For each group its seeds' own selectivities; with `one` None over all corpora together."""
    corpora = [one] if one is not None else list(every)
    found = []
    for numbers in zip(*([group.members for group in of.groups] for of in corpora), strict=True):
        values: dict[tuple[object, ...], tuple[float, ...]] = {}
        for members in zip(*numbers, strict=True):
            effects = pooled(of.effects[member] for of, member in zip(corpora, members, strict=True))
            texts = np.arange(len(next(iter(effects.values())).flips))
            for row in rows_of(effects, texts):
                values[key(row)] = (*values.get(key(row), ()), row["selectivity"])
        found.append(values)
    return found


def rows_of(effects: Mapping[Change, Effects], texts: np.ndarray) -> list[dict]:
    return table(effects, texts, np.ones(len(texts), bool), None, SEED)[1]


def key(row: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(row[name] for name in ("edit", "place", "mass", "control", "figure"))


def show(
    title: str,
    effects: Mapping[Change, Effects],
    texts: np.ndarray,
    seeds: Mapping[tuple[object, ...], tuple[float, ...]],
) -> None:
    figures, rows = table(effects, texts, np.ones(len(texts), bool), None, SEED)
    by_control: dict[tuple[object, ...], list[dict]] = {}
    for row in rows:
        by_control.setdefault(key(row)[:4], []).append(row)
    lines = []
    for figure in figures:
        label = [figure["edit"], figure["place"], "" if figure["mass"] is None else f"{figure['mass']:.0%}"]
        what = figure["control"] or "concept"
        if figure["control"] is None:
            what += "" if figure["rank"] is None else f", rank {figure['rank']:.1f}, energy {figure['energy']:.2f}"
        own = {row["figure"]: row for row in by_control.get(key({**figure, "figure": ""})[:4], [])}
        cells = [
            f"{interval(own[name], 'selectivity')}{deviation(seeds.get(key(own[name]), ()))}" if own else ""
            for name in FIGURES[:2]
        ]
        lines.append((*label, what, *(f"{figure[name]:.3f}" for name in ("flips", "kl", "distance")), *cells))
    columns = ("edit", "place", "mass", "what", "flips", "KL", "distance", "selectivity, flips", "selectivity, KL")
    print_table(f"{title}, {len(texts)} sentences", lines, columns)


def called(group: Group) -> str:
    settings = group.checkpoints[0].settings
    seeds = "one seed" if len(group.seeds) == 1 else f"{len(group.seeds)} seeds"
    return f"{settings.method} ({group.name}, epochs {settings.epochs}, {seeds})"


def interval(line: Mapping[str, float | None], name: str) -> str:
    return "" if line[name] is None else f"{line[name]:.3f} [{line['low']:.3f}, {line['high']:.3f}]"


def deviation(values: tuple[float, ...]) -> str:
    """How the seeds' own values spread."""
    return f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 and None not in values else ""


def agreement(found: Mapping[str, SentenceEffects]) -> None:
    """Whether two seeds give words the same concepts."""
    lines = []
    for name, of in found.items():
        for group in of.groups:
            codebooks = [clvq.codebook(checkpoint, progress=notes) for checkpoint in group.checkpoints]
            values = [against(*pair)["adjusted_mutual_information"] for pair in combinations(codebooks, 2)]
            if values:
                figures = (np.mean(values), min(values), max(values))
                lines.append((name, called(group), str(len(values)), *(f"{value:.3f}" for value in figures)))
    if lines:
        columns = ("corpus", "checkpoints", "pairs of seeds", "mean", "least", "most")
        print_table("Adjusted mutual information of assignments", lines, columns)


if __name__ == "__main__":
    main()
