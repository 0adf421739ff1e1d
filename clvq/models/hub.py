"""Saving and loading a model as huggingface_hub does it: a folder or a repository with config.json and weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from huggingface_hub import ModelHubMixin, hf_hub_download
from torch import nn

from clvq.artifacts import WEIGHTS_NAME
from clvq.errors import ArtifactError, ClvqError
from clvq.storage import read_tensors, write_tensors

Model = TypeVar("Model", bound=nn.Module)


class HubModel(
    nn.Module,
    ModelHubMixin,
    library_name="clvq",
    tags=["interpretability", "vector-quantization", "concepts"],
    paper_url="https://arxiv.org/abs/2506.20040",
):
    """A model with `from_pretrained`, `save_pretrained` and `push_to_hub`; config.json holds the constructor's
    arguments."""

    def _save_pretrained(self, save_directory: Path) -> None:
        write_tensors(save_directory / WEIGHTS_NAME, self.state_dict())

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        **model_kwargs: Any,
    ) -> Self:
        """Read a checkpoint folder, or a repository on the hub. ArtifactError where weights and config.json do not
        fit."""
        if Path(model_id).is_dir():
            weights = Path(model_id) / WEIGHTS_NAME
        else:
            weights = Path(
                hf_hub_download(
                    model_id,
                    WEIGHTS_NAME,
                    revision=revision,
                    cache_dir=cache_dir,
                    force_download=force_download,
                    local_files_only=local_files_only,
                    token=token,
                )
            )
        return loaded(cls, model_kwargs, weights)


def loaded(kind: type[Model], arguments: Mapping[str, Any], weights: Path) -> Model:
    """Return a model of the `kind` that `arguments` describe, with the weights in a file.

    ArtifactError where these are the weights of another model. What `arguments` claim may be huge, so the shapes are
    compared on the meta device first, where nothing takes memory.
    """
    tensors = read_tensors(weights)[0]
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    try:
        for part in ("decoder_layers", "codebooks"):
            if (count := arguments.get(part, 0)) > len(tensors):
                raise ValueError(f"{count} {part.replace('_', ' ')}, and {len(tensors)} tensors")
        with torch.device("meta"):
            claimed = {name: tuple(tensor.shape) for name, tensor in kind(**arguments).state_dict().items()}
        if other := [name for name in sorted({*shapes, *claimed}) if shapes.get(name) != claimed.get(name)]:
            raise ValueError(f"{other[0]} is {shapes.get(other[0])} and not {claimed.get(other[0])}")
        model = kind(**arguments)
        model.load_state_dict(tensors)
    except (TypeError, RuntimeError, ValueError, ClvqError) as error:
        raise ArtifactError(f"{weights} does not fit the config.json beside it: {error}") from error
    return model.eval()
