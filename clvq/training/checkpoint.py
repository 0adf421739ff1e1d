"""The checkpoint folder: config.json (architecture, settings, provenance, results), model.safetensors, README.md."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from clvq.activations.description import Description
from clvq.activations.manifest import Manifest
from clvq.activations.store import ActivationStore
from clvq.artifacts import (
    ACTIVATIONS,
    ACTIVATIONS_FOLDER,
    CARD_NAME,
    CHECKPOINT,
    TRAINING_FOLDER,
    UNFINISHED_ACTIVATIONS,
    WEIGHTS_NAME,
)
from clvq.config import LATENT_METHODS, TrainConfig
from clvq.config.settings import advice
from clvq.errors import ArtifactError, ClvqError, MismatchError
from clvq.notebook import Shown, data_frame, table_html, text_html
from clvq.progress import Report, silent
from clvq.storage import check_file, file_checksum, write_tensors, write_text
from clvq.training.model_card import figures_shown, model_card, span, title
from clvq.training.pulling import hub_id, pull
from clvq.training.records import CheckpointConfig, SaeArguments, TrainingProvenance, VaeArguments
from clvq.training.results import TrainingResults

if TYPE_CHECKING:
    from pandas import DataFrame

    from clvq.models.clvq_vae import ClvqVae
    from clvq.models.sae import TopKSae


@dataclass(frozen=True, repr=False)
class Checkpoint(Shown):
    """What config.json says of a finished checkpoint.

        checkpoint = clvq.read_checkpoint("run/L4-L8")
        print(checkpoint.settings.codebook_size, checkpoint.results.evaluation.fvu)

    `results` holds the figures on the evaluation split, and the yardsticks that they are compared with.
    """

    path: Path
    config: CheckpointConfig

    def _title(self) -> str:
        kind = "codes" if self.has_codes else "latents"
        return f"{self.path}: {self.title}, {self.span}, {self.size:,} {kind}, seed {self.settings.seed}"

    def _html(self, caption: str) -> str:
        rows = ([text_html(name), text_html(value)] for name, value in figures_shown(self))
        return table_html(caption, ["figure", "value"], rows)

    def to_pandas(self) -> DataFrame:
        """Return a table with a row for each figure: of this model (`part` "evaluation"), or of what it is compared
        with ("yardsticks")."""
        return data_frame(
            {"checkpoint": self.path.name, "part": part, "figure": name, "value": value}
            for part in ("evaluation", "yardsticks")
            for name, value in getattr(self.results, part).as_json().items()
        )

    @property
    def settings(self) -> TrainConfig:
        return self.config.settings

    @property
    def results(self) -> TrainingResults:
        return self.config.results

    @property
    def fingerprint(self) -> str:
        """Identifies the weights. Every file that is made from this checkpoint holds it."""
        return self.config.weights_checksum

    @property
    def input_layer(self) -> int:
        return self.settings.input_layer

    @property
    def output_layer(self) -> int:
        return self.settings.output_layer

    def store(self) -> ActivationStore:
        """Return the activations beside this checkpoint, which must be those that it was trained on.

        ArtifactError where there are none, MismatchError where there are other ones.
        """
        folder = self.path.parent / ACTIVATIONS_FOLDER
        described = self.config.activations
        if described is not None and not self.has_activations:
            raise ArtifactError(f"{folder} holds no activations. {self._extraction(described)}")
        store = ActivationStore(folder)
        self.check_store(store)
        return store

    def description(self) -> Description:
        """Return the description of the activations that this checkpoint was trained on, which need not be there.

        Where the activations are there, the description is read from them, since it then says where a moved model is
        now. Otherwise the copy in config.json is returned. Errors as `store` where the activations are there, and for a
        checkpoint of an earlier clvq, which has no copy.
        """
        described = self.config.activations
        return self.store() if described is None or self.has_activations else Description(described)

    @property
    def has_activations(self) -> bool:
        """Whether there are activations beside this checkpoint, complete or not, its own or other ones."""
        folder = self.path.parent / ACTIVATIONS_FOLDER
        return ACTIVATIONS.exists(folder) or UNFINISHED_ACTIVATIONS.exists(folder)

    def check_store(self, store: ActivationStore) -> None:
        """Raise MismatchError, which names the differences, where this was trained on another store than `store`."""
        provenance = self.config.provenance
        remedy = "Use another --run or --name, or `clvq train --overwrite` to train again."
        if store.fingerprint != provenance.rows:
            raise MismatchError(f"{self.path} was trained on other rows than {store.path} holds now. {remedy}")
        for layer, made_from in provenance.layers.items():
            if layer not in store.layers or store.layer(layer).fingerprint != made_from:
                raise MismatchError(
                    f"{self.path} was trained on other states of layer {layer} than {store.path} holds now. {remedy}"
                )

    def _extraction(self, described: Manifest) -> str:
        """Say how to extract again the activations that this was trained on."""
        options = replace(described.settings, layers=(self.input_layer, self.output_layer)).as_options()
        return f"Make them again: `{shlex.join(['clvq', 'extract', *options, '--run', str(self.path.parent)])}`."

    @property
    def title(self) -> str:
        """What was trained, in words."""
        return title(self.settings)

    @property
    def span(self) -> str:
        """The layers in words: from which to which, or the input layer alone where that is reconstructed."""
        return span(self.input_layer, self.settings.target_layer)

    @property
    def has_codes(self) -> bool:
        """Whether a word has one code. In a sparse autoencoder a word has several latents; the strongest serves as its
        code."""
        return self.settings.method not in LATENT_METHODS

    @property
    def size(self) -> int:
        """Number of codes, or of latents."""
        return self.config.architecture.size

    @property
    def codebooks(self) -> int:
        """Number of codebooks; concepts are codes of the first."""
        arguments = self.config.architecture
        return (arguments.codebooks or 1) if isinstance(arguments, VaeArguments) else 1

    def load(self) -> ClvqVae | TopKSae:
        """Return the model, after verifying its weights."""
        from clvq.models.clvq_vae import ClvqVae  # not at the top: reading a finished catalogue needs no model
        from clvq.models.crosslayer import CrosslayerSae
        from clvq.models.hub import loaded
        from clvq.models.sae import TopKSae

        check_file(self.path / WEIGHTS_NAME, self.config.weights_checksum)
        sae = TopKSae if self.settings.method == "sae" else CrosslayerSae
        kind: type[ClvqVae | TopKSae] = ClvqVae if self.has_codes else sae
        return loaded(kind, self.config.architecture.as_json(), self.path / WEIGHTS_NAME)


def architecture(settings: TrainConfig, input_width: int, output_width: int, encoder: str) -> VaeArguments:
    """Return the arguments of ClvqVae for `settings`. Where the encoder does not learn, codes are never drawn."""
    shared = ("codebook_size", "temperature", "temperature_unit", "ema_decay", "decoder_layers", "decoder_heads",
              "feed_forward", "dropout", "decoder_memory")  # fmt: skip
    return VaeArguments(
        input_width=input_width,
        output_width=output_width,
        encoder=encoder,
        top_k=settings.top_k if encoder == "residual" else 1,
        predict=settings.predict if settings.predict == "update" else None,
        **{name: getattr(settings, name) for name in shared},
    )


def write_checkpoint(
    path: Path,
    model: ClvqVae | TopKSae,
    architecture: VaeArguments | SaeArguments,
    settings: TrainConfig,
    provenance: TrainingProvenance,
    activations: Manifest,
    results: TrainingResults,
) -> Checkpoint:
    """Write the weights, the model card, and config.json last: config.json marks the checkpoint as finished."""
    write_tensors(path / WEIGHTS_NAME, model.state_dict())
    checksum = file_checksum(path / WEIGHTS_NAME)
    _write_described(path, CheckpointConfig(architecture, settings, checksum, provenance, activations, results))
    return read_checkpoint(path)


def add_frozen_kmeans(checkpoint: Checkpoint, fvu: float | None) -> None:
    """Add the FVU of frozen k-means codes, which is measured later, to a finished checkpoint."""
    yardsticks = replace(checkpoint.results.yardsticks, frozen_kmeans=fvu)
    results = replace(checkpoint.results, yardsticks=yardsticks)
    _write_described(checkpoint.path, replace(checkpoint.config, results=results))


def _write_described(path: Path, config: CheckpointConfig) -> None:
    write_text(path / CARD_NAME, model_card(Checkpoint(path, config)))
    CHECKPOINT.write(path, config.as_json())


def read_checkpoint(path: Checkpoint | str | Path) -> Checkpoint:
    """Return the checkpoint at `path`; a `Checkpoint` is returned as it is.

        checkpoint = clvq.read_checkpoint("run/L4-L8")

    ArtifactError where it is missing, unfinished, foreign, or from a newer clvq.
    """
    if isinstance(path, Checkpoint):
        return path
    path = Path(path)
    if not CHECKPOINT.exists(path):
        state = "holds an unfinished training" if (path / TRAINING_FOLDER).exists() else "holds no checkpoint"
        raise ArtifactError(f"{path} {state} ({CHECKPOINT.name} is missing). Run `clvq train`.")
    return Checkpoint(path, CHECKPOINT.read_as(path, CheckpointConfig.from_json))


def read_checkpoints(paths: Checkpoint | str | Path | Sequence[Checkpoint | str | Path]) -> list[Checkpoint]:
    """Return the checkpoints at one path or several, as `read_checkpoint` does."""
    return list(map(read_checkpoint, [paths] if isinstance(paths, Checkpoint | str | Path) else paths))


def find_checkpoint(run: str | Path, name: str | Path | None = None, progress: Report = silent) -> Checkpoint:
    """Return the checkpoint `name` of a run folder, or the checkpoint at that path. Without a name, return the only one
    in the run. `user/name` and `user/name@revision` are checkpoints of the hub, which are fetched into the run.

    ArtifactError where there is none; ClvqError that lists them where there are several.
    """
    run = Path(run)
    if name is not None:
        inside = run / name
        if inside.exists() or Path(name).exists():
            return read_checkpoint(inside if inside.exists() else name)
        if (on_hub := hub_id(name)) is not None:
            return read_checkpoint(pull(str(on_hub), run, progress=progress))
        known = [path.name for path in checkpoint_folders(run)]
        hint = advice(str(name), known, "checkpoints") if known else "Run `clvq train` first."
        raise ArtifactError(f"There is no checkpoint {name} in {run}. {hint}")
    folders = checkpoint_folders(run)
    if not folders:
        raise ArtifactError(f"{run} holds no finished checkpoint. Run `clvq train`, or name the run folder with --run.")
    if len(folders) > 1:
        names = "\n".join(f"  {_described(path)}" for path in folders)
        raise ClvqError(f"{run} holds {len(folders)} checkpoints; name the one that is meant:\n{names}")
    return read_checkpoint(folders[0])


def checkpoint_folders(run: Path) -> list[Path]:
    """Return the folders of the finished checkpoints of a run, by name."""
    return sorted(file.parent for file in run.glob(f"*/{CHECKPOINT.name}"))


def _described(path: Path) -> str:
    """Describe a checkpoint in a line of the list: name, layers, codes, FVU. One that cannot be read is named too."""
    try:
        checkpoint = read_checkpoint(path)
    except ClvqError:
        return f"{path.name} (cannot be read)"
    settings, fvu = checkpoint.settings, checkpoint.results.evaluation.fvu
    figure = "" if fvu is None else f", FVU {fvu:.3f}"
    method = "" if settings.method == "clvq" else f" ({settings.method})"
    method += "" if settings.predict == "state" else f" ({settings.predict})"
    method += "" if settings.metric == settings.usual.metric else f" ({settings.metric} metric)"
    method += "" if checkpoint.codebooks == 1 else f" ({checkpoint.codebooks} codebooks)"
    kind = "codes" if checkpoint.has_codes else "latents"
    return f"{path.name}{method}: {checkpoint.span}, {checkpoint.size} {kind}, seed {settings.seed}{figure}"
