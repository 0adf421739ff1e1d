"""Saving and loading a model as huggingface_hub does it: a folder or a repository with config.json and weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from huggingface_hub import ModelHubMixin, hf_hub_download
from torch import nn

from clvq.artifacts import WEIGHTS_NAME
from clvq.errors import ArtifactError
from clvq.storage import read_tensors, write_tensors


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
        try:
            model = cls(**model_kwargs)
            model.load_state_dict(read_tensors(weights)[0])
        except (TypeError, RuntimeError) as error:
            raise ArtifactError(f"{weights} does not fit the config.json beside it: {error}") from error
        return model.eval()
