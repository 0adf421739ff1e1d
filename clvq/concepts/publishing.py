"""Push a checkpoint to the hub: without paths of this machine, and without texts unless the user agrees to that."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from clvq.artifacts import (
    ASSIGNMENTS_NAME,
    CARD_NAME,
    CHECKPOINT,
    CODEBOOK,
    CONCEPT_SPACE,
    METRICS_NAME,
    NAMES,
    WEIGHTS_NAME,
    short_name,
)
from clvq.concepts.codebook import Codebook
from clvq.concepts.directions import make_concepts
from clvq.concepts.records import Concept, Example
from clvq.config.signatures import takes
from clvq.errors import ClvqError
from clvq.language_model.records import ModelRecord
from clvq.progress import Progress, Report, silent
from clvq.storage import write_text
from clvq.training.checkpoint import Checkpoint, read_checkpoint
from clvq.training.model_card import model_card
from clvq.training.pulling import HubId, hub_errors, hub_id
from clvq.training.records import CheckpointConfig

SUREST = 10
"""Number of concepts on the model card: those most surely associated with a class."""


@dataclass(frozen=True)
class Published:
    """What was pushed, or, in a dry run, what would be pushed."""

    repository: str
    files: dict[str, int]
    """Size of each file in bytes, by name."""
    with_texts: bool
    commit: str | None
    """None in a dry run."""


@takes()
def push(
    checkpoint: Checkpoint | str | Path,
    repository: str,
    *,
    private: bool = False,
    with_texts: bool = False,
    license: str | None = None,
    dry_run: bool = False,
    progress: Report = silent,
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
    """
    from huggingface_hub import HfApi

    checkpoint = read_checkpoint(checkpoint)
    target = hub_id(repository)
    if target is None or target.revision is not None:
        raise ClvqError(f"{repository!r} is no name of a repository on the hub: give user/name.")
    with TemporaryDirectory() as made:
        folder = Path(made)
        prepare(checkpoint, target, folder, with_texts=with_texts, license=license, progress=progress)
        files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
        if dry_run:
            return Published(target.repository, files, with_texts, None)
        with hub_errors(target.repository, sends=True):
            api = HfApi()
            api.create_repo(target.repository, private=private, exist_ok=True)
            title = f"Push {checkpoint.title}, {checkpoint.span}"
            commit = api.upload_folder(repo_id=target.repository, folder_path=folder, commit_message=title)
    progress(Progress("push", note=f"{len(files)} files are on {target.repository}."))
    return Published(target.repository, files, with_texts, str(commit.oid))


def prepare(
    checkpoint: Checkpoint, target: HubId, folder: Path, *, with_texts: bool, license: str | None, progress: Report
) -> None:
    """Write the files that are to be pushed into a folder."""
    book = make_concepts(checkpoint, progress)
    for name in (WEIGHTS_NAME, CONCEPT_SPACE.name, ASSIGNMENTS_NAME, METRICS_NAME):
        if (checkpoint.path / name).exists():
            shutil.copyfile(checkpoint.path / name, folder / name)
    if NAMES.exists(checkpoint.path):
        kept = NAMES.read(checkpoint.path)
        NAMES.write(folder, {"names": kept["names"], "notes": kept.get("notes", {}) if with_texts else {}})
    config = without_paths(checkpoint.config)
    concepts = [concept if with_texts else _without_texts(concept) for concept in book.concepts]
    checksum = CODEBOOK.write_records(folder, (concept.as_json() for concept in concepts))
    body = {**CODEBOOK.read(checkpoint.path), str(CODEBOOK.records_key): checksum}
    CODEBOOK.write(folder, {key: value for key, value in body.items() if key != "self_fingerprint"})
    write_text(folder / CARD_NAME, _card(Checkpoint(folder, config), book, target, license))
    CHECKPOINT.write(folder, config.as_json())


def without_paths(config: CheckpointConfig) -> CheckpointConfig:
    """Return what config.json says with local paths cut to their last part; names on the hub are kept whole."""
    described = config.activations
    if described is not None:
        settings, made = described.settings, described.provenance
        settings = replace(
            settings,
            model=short_name(settings.model),
            dataset=short_name(settings.dataset),
            eval_dataset=short_name(settings.eval_dataset) if settings.eval_dataset else settings.eval_dataset,
        )
        provenance = replace(made, model=_without_folder(made.model))
        described = replace(described, settings=settings, provenance=provenance)
    trained = replace(config.provenance, model=_without_folder(config.provenance.model))
    return replace(config, provenance=trained, activations=described)


def _without_folder(model: ModelRecord) -> ModelRecord:
    return replace(model, id=short_name(model.id), folder=None)


def _without_texts(concept: Concept) -> Concept:
    return replace(
        concept,
        examples=[_word_alone(example) for example in concept.examples],
        range_examples=[_word_alone(example) for example in concept.range_examples],
    )


def _word_alone(example: Example) -> Example:
    return replace(example, text=example.word, start=0, end=len(example.word))


def _card(checkpoint: Checkpoint, book: Codebook, target: HubId, license: str | None) -> str:
    """Return the model card with the licence, the surest concepts, and the commands that load it from the hub."""
    card = model_card(checkpoint).replace("PATH OR REPOSITORY", target.repository)
    if license is not None:
        card = card.replace("---\n", f"---\nlicense: {license}\n", 1)
    names = book.summary.label_names
    surest = (
        sorted(
            (concept for concept in book.concepts if concept.labels is not None and concept.words),
            key=lambda concept: (concept.labels.q, -concept.labels.lift) if concept.labels else (2.0, 0.0),
        )[:SUREST]
        or sorted(book.concepts, key=lambda concept: concept.spread)[:SUREST]
    )
    lines = ["## Concepts", "", "| code | name | words | class | share |", "|---|---|---|---|---|"]
    for concept in surest:
        label, share = "-", "-"
        if concept.labels is not None:
            number = concept.labels.label
            label = names[number] if names and number < len(names) else str(number)
            share = f"{concept.labels.share:.0%}"
        cells = (str(concept.code), book.name(concept.code), f"{concept.words:,}", label, share)
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |")
    use = f"""
```
clvq codebook --checkpoint {target.repository}
clvq assign "a text" --checkpoint {target.repository} --model MODEL
```
"""
    return f"{card}\n" + "\n".join(lines) + f"\n{use}"
