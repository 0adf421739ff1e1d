"""`extract`: run a language model over a corpus and store its activations, shard by shard, so that it can resume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from clvq.activations.estimate import Estimate, estimated
from clvq.activations.inputs import model_name, refuse_other_settings, refuse_runs_in_corpus
from clvq.activations.manifest import Manifest, Unfinished
from clvq.activations.model_pass import ModelPass
from clvq.activations.store import ActivationStore
from clvq.activations.writer import ExtractionJob, StoreWriter, clear, drop_unfinished
from clvq.artifacts import ACTIVATIONS, UNFINISHED_ACTIVATIONS
from clvq.config import ExtractConfig
from clvq.config.signatures import takes
from clvq.corpus.settings import CorpusSettings
from clvq.corpus.splits import Corpus, has_label_lists, load_corpus
from clvq.corpus.taken import TakenColumns
from clvq.device import Processes, usual_batch_tokens
from clvq.errors import ClvqError, MismatchError
from clvq.language_model.head_targets import ClassTarget, LabelTarget
from clvq.language_model.input_format import InputFormat
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.placement import Placement
from clvq.language_model.targets import Asked
from clvq.progress import Progress, Report, silent


@takes(ExtractConfig)
def extract(
    path: str | Path, *, overwrite: bool = False, progress: Report = silent, **settings: Any
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
    """
    config, path = _with_layers(settings), Path(path)
    refuse_runs_in_corpus(path, config)
    processes = Processes.current()
    progress = progress if processes.is_leader else silent
    with processes.locked(path):
        begun = _begun(path, config, overwrite)
        store = begun if isinstance(begun, ActivationStore) else None
        is_done = processes.told(store is not None and set(config.layers) <= set(store.layers))
        if store is not None and is_done:
            if processes.is_leader:
                _drop_leftovers(path, store)
            progress(Progress("extract", note=f"{path} is up to date."))
            return store
        job = _job(path, config, begun, progress)
        source = _source(job)
        processes.wait()  # all have read what the folder holds before the leader changes it
        if overwrite and processes.is_leader:
            clear(path)
        ModelPass(job, source, StoreWriter.open(job) if processes.is_leader else None, processes).run()
        processes.wait()
    return ActivationStore(path)


@takes(ExtractConfig)
def estimate(path: str | Path, *, overwrite: bool = False, progress: Report = silent, **settings: Any) -> Estimate:
    """Return what `extract` would take with the same arguments: rows, bytes and time. Nothing is written.

        print(clvq.estimate("run/activations", model="demo", dataset="demo", layers=(4, 8)))

    The model is loaded, and runs for a few seconds over a sample of the corpus. The errors are those of `extract`.

    Args:
        path: Folder that the activations would be in.
        overwrite: As if the activations that the folder holds were replaced.
    """
    config, path = _with_layers(settings), Path(path)
    refuse_runs_in_corpus(path, config)
    job = _job(path, config, _begun(path, config, overwrite), progress)
    return estimated(job, _source(job))


def _with_layers(settings: dict[str, Any]) -> ExtractConfig:
    config = ExtractConfig.resolve(**settings)
    if not config.layers:
        raise ClvqError("No layers are named. Give --layers, such as --layers 4,8.")
    return config


def _begun(path: Path, config: ExtractConfig, overwrite: bool) -> ActivationStore | Unfinished | None:
    """Return the finished store that the folder holds, or else the record of an unfinished one; None where there is
    neither, or they are to be overwritten. MismatchError where the folder was made with other settings."""
    if overwrite:
        return None
    if (store := _finished(path)) is not None:
        refuse_other_settings(path, store.settings, store.provenance.sources, config, "finished")
        return store
    if not UNFINISHED_ACTIVATIONS.exists(path):
        return None
    record = UNFINISHED_ACTIVATIONS.read_as(path, Unfinished.from_json)
    refuse_other_settings(path, record.settings, record.sources, config, "unfinished")
    return record


def _job(
    path: Path, config: ExtractConfig, begun: ActivationStore | Unfinished | None, progress: Report
) -> ExtractionJob:
    """Load the model, and return what is to be done."""
    store = begun if isinstance(begun, ActivationStore) else None
    model = LanguageModel.load(
        model_name(config, store),
        ModelOptions(
            revision=config.revision,
            device=config.device,
            trust_remote_code=config.trust_remote_code,
            max_length=config.max_length,
            randomized=config.randomize_model,
            asked=Asked.of_settings(config),
            placement=Placement.of_settings(config),
        ),
        format_of=_format_of(config, begun),
        progress=progress,
    )
    model.check_layers(config.layers)
    record = begun.manifest if isinstance(begun, ActivationStore) else begun
    stored = None if record is None else record.batch_tokens
    tokens = config.batch_tokens or stored or usual_batch_tokens(config.device)
    return ExtractionJob(path, config, tokens, model, store, progress)


def stored_settings(path: str | Path) -> dict[str, Any]:
    """Return the settings of the finished or unfinished store at `path`, as `extract` takes them; empty without a
    store.

    The size of its batches is among the settings. So the store is continued, and gains layers, in the same batches.
    """
    path = Path(path)
    if ACTIVATIONS.exists(path):
        record: Manifest | Unfinished = ActivationStore(path).manifest
    elif UNFINISHED_ACTIVATIONS.exists(path):
        record = UNFINISHED_ACTIVATIONS.read_as(path, Unfinished.from_json)
    else:
        return {}
    settings = {**record.settings.deciding(), "layers": record.settings.layers}
    return settings if record.batch_tokens is None else {**settings, "batch_tokens": record.batch_tokens}


def _format_of(config: ExtractConfig, begun: ActivationStore | Unfinished | None) -> Callable[[Any, str], InputFormat]:
    """Return a function that gives the input format of texts: the stored one, or else the one that `config` asks
    for."""
    if begun is None:
        return lambda tokenizer, model: InputFormat.of(config, tokenizer, model)
    stored = begun.provenance.model if isinstance(begun, ActivationStore) else begun
    kept = stored.input_format or InputFormat()
    return lambda _tokenizer, _model: kept


def _source(job: ExtractionJob) -> Corpus | ActivationStore:
    """Return where the sentences come from: the corpus, or a finished store that lacks layers. MismatchError where that
    store was made with another model."""
    if job.store is None:
        settings = CorpusSettings.of_extraction(job.config)
        if isinstance(job.model.target, ClassTarget) and has_label_lists(settings, job.model.target.classes):
            job.model.target = LabelTarget(job.model.target.classes)
        form = "class" if job.model.target is None else job.model.target.label_form
        corpus = load_corpus(settings, job.model.label_names, form)
        names = corpus.label_names or job.model.label_names
        for line in TakenColumns.of_sentences(corpus.provenance, names, corpus.train).lines():
            job.progress(Progress("extract", note=line))
        return corpus
    if job.model.fingerprint != job.store.provenance.model.fingerprint:
        raise MismatchError(
            f"The model {job.config.model} is not the one that {job.path} was made with: its files have changed. "
            "Use the same model, or extract again with --overwrite."
        )
    return job.store


def _finished(path: Path) -> ActivationStore | None:
    return ActivationStore(path) if ACTIVATIONS.exists(path) else None


def _drop_leftovers(path: Path, store: ActivationStore) -> None:
    """Remove what is left of an unfinished run that was killed right after it wrote the manifest."""
    if UNFINISHED_ACTIVATIONS.exists(path):
        layers = UNFINISHED_ACTIVATIONS.read_as(path, Unfinished.from_json).layers
        if set(layers) <= set(store.layers):
            drop_unfinished(path)
