"""Selectivity over corpora and seeds: what removing concepts does beyond matched controls, pooled over run folders.

python benchmarks/faithfulness.py MOVIE_RUN AGNEWS_RUN --checkpoints L4-L6 seed1 seed2 L4-L6-kmeans L4-L6-sae
python benchmarks/faithfulness.py MOVIE_RUN AGNEWS_RUN --checkpoints L4-L6 seed1 seed2 --curve

Every run folder must hold the checkpoints. Those that differ in the seed alone are averaged sentence by sentence, then
the sentences of all corpora are taken together. Intervals are over texts and seeds. What `clvq faithfulness` measured
before is read.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from common import notes, print_table

import clvq
from clvq.concepts.assignments import read_text
from clvq.concepts.pairs import against
from clvq.config import FIGURES, HARD, FaithfulnessConfig
from clvq.explanations.stored_split import SPLIT
from clvq.interventions.controls import NULLS
from clvq.interventions.effects import Change, Effects
from clvq.interventions.files import explained_by
from clvq.interventions.records import DifferenceRow, EffectRow, SelectivityRow
from clvq.interventions.selectivity import paired, table
from clvq.interventions.sentence_effects import Group, SentenceEffects, sentence_effects
from clvq.training.checkpoint import find_checkpoint

SEED = 0

OfSeeds = Sequence[Mapping[Change, Effects]]
"""What changes do with the concepts of each of some checkpoints that differ in their seed."""


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
    corpora: dict[str, list[OfSeeds]] = {name: [of.of(group) for group in of.groups] for name, of in found.items()}
    texts = {name: of.texts for name, of in found.items()}
    if len(found) > 1:
        corpora["pooled"] = [
            [pooled(of_corpora) for of_corpora in zip(*of_seeds, strict=True)]
            for of_seeds in zip(*corpora.values(), strict=True)
        ]
        texts["pooled"] = np.concatenate([of.texts + number * 10**9 for number, of in enumerate(found.values())])
    groups = next(iter(found.values())).groups
    for name, effects in corpora.items():
        seeds = spread(found.get(name), found.values())
        show(name, groups, effects, texts[name], seeds)
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
            for row in table([effects], texts, np.ones(len(texts), bool), None, SEED)[1]:
                if row.selectivity is not None:
                    values[row.key] = (*values.get(row.key, ()), row.selectivity)
        found.append(values)
    return found


def show(
    name: str,
    groups: list[Group],
    effects: list[OfSeeds],
    texts: np.ndarray,
    seeds: list[dict[tuple[object, ...], tuple[float, ...]]],
) -> None:
    """What edits and controls do, what concepts do beyond controls, and that of the first group less the others."""
    done: list[tuple[str, ...]] = []
    beyond: list[tuple[str, ...]] = []
    less: list[tuple[str, ...]] = []
    for group, own, deviations in zip(groups, effects, seeds, strict=True):
        figures, rows = table(own, texts, np.ones(len(texts), bool), None, SEED)
        by_place: dict[tuple[str, str, str], dict[str | None, EffectRow]] = {}
        for figure in figures:
            by_place.setdefault(place_of(figure), {})[figure.control] = figure
        for place, found in by_place.items():
            concept = found[None]
            taken = ["" if value is None else f"{value:.2f}" for value in (concept.rank, concept.energy)]
            cells = [
                f"{found[control].flips:.3f} / {found[control].kl:.3f}" if control in found else ""
                for control in (None, *NULLS)
            ]
            done.append((called(group), *place, *cells, f"{concept.distance:.2f}", *taken))
            values = {(row.control, row.figure): row for row in rows if place_of(row) == place}
            cells = [
                interval(values[control, figure]) + deviation(deviations.get(values[control, figure].key, ()))
                for figure in FIGURES[:2] for control in HARD
            ]  # fmt: skip
            beyond.append((called(group), *place, *cells))
    for group, own in zip(groups[1:], effects[1:], strict=True):
        differences: dict[tuple[str, str, str], dict[str, DifferenceRow]] = {}
        for line in paired(effects[0], own, texts, SEED):
            differences.setdefault(place_of(line), {})[f"{line.control} {line.figure}"] = line
        for place, lines in differences.items():
            cells = [interval(lines.get(f"{c} {f}")) for f in FIGURES[:2] for c in HARD]
            line = next(iter(lines.values()))
            less.append((called(group), *place, *cells, f"{line.distance:.2f} / {line.other_distance:.2f}"))
    where = ("checkpoints", "edit", "place", "mass")
    hard = [f"{figure}, {control}" for figure in ("flips", "KL") for control in HARD]
    title = f"{name}, {len(texts)} sentences"
    print_table(f"{title}: flips / KL", done, (*where, "concept", *NULLS, "distance", "rank", "energy"))
    print_table(f"{title}: selectivity beyond each control, ± over seeds", beyond, (*where, *hard))
    if less:
        print_table(f"{title}: selectivity of {called(groups[0])} less", less, (*where, *hard, "distances"))


def place_of(line: EffectRow | SelectivityRow | DifferenceRow) -> tuple[str, str, str]:
    mass = None if isinstance(line, DifferenceRow) else line.mass  # differences are not taken on the curve
    return line.edit, line.place, "" if mass is None else f"{mass:.0%}"


def called(group: Group) -> str:
    settings = group.checkpoints[0].settings
    seeds = "one seed" if len(group.seeds) == 1 else f"{len(group.seeds)} seeds"
    return f"{settings.method} ({group.name}, epochs {settings.epochs}, {seeds})"


def interval(line: SelectivityRow | DifferenceRow | None) -> str:
    if line is None:
        return ""
    value = line.difference if isinstance(line, DifferenceRow) else line.selectivity
    return "" if value is None else f"{value:.3f} [{line.low:.3f}, {line.high:.3f}]"


def deviation(values: tuple[float, ...]) -> str:
    """How the seeds' own values spread."""
    return f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""


def agreement(found: Mapping[str, SentenceEffects]) -> None:
    """Whether two seeds give words the same concepts."""
    lines = []
    for name, of in found.items():
        for group in of.groups:
            codebooks = [clvq.codebook(checkpoint, progress=notes) for checkpoint in group.checkpoints]
            values = [against(*pair).adjusted_mutual_information for pair in combinations(codebooks, 2)]
            if values:
                figures = (np.mean(values), min(values), max(values))
                lines.append((name, called(group), str(len(values)), *(f"{value:.3f}" for value in figures)))
    if lines:
        columns = ("corpus", "checkpoints", "pairs of seeds", "mean", "least", "most")
        print_table("Adjusted mutual information of assignments", lines, columns)


if __name__ == "__main__":
    main()
