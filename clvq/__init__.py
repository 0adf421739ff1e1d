"""clvq: discrete concepts in language models (CLVQ-VAE, arXiv 2506.20040).

    store = clvq.extract(model=..., dataset=..., layers=(4, 8), path="run/activations")
    checkpoint = clvq.train(store, input_layer=4, output_layer=8, path="run/L4-L8")
    model = clvq.ClvqVae.from_pretrained("run/L4-L8")

Names are imported when they are first used: `import clvq` costs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clvq.activations.extraction import extract as extract
    from clvq.activations.store import ActivationStore as ActivationStore
    from clvq.concepts.codebook import Codebook as Codebook
    from clvq.concepts.codebook import codebook as codebook
    from clvq.config import ExplainConfig as ExplainConfig
    from clvq.config import ExtractConfig as ExtractConfig
    from clvq.config import FaithfulnessConfig as FaithfulnessConfig
    from clvq.config import TrainConfig as TrainConfig
    from clvq.errors import ArtifactError as ArtifactError
    from clvq.errors import ClvqError as ClvqError
    from clvq.errors import MismatchError as MismatchError
    from clvq.explanations.explain import Explanations as Explanations
    from clvq.explanations.explain import explain as explain
    from clvq.html_report import report as report
    from clvq.interventions.faithfulness import Faithfulness as Faithfulness
    from clvq.interventions.faithfulness import faithfulness as faithfulness
    from clvq.models.clvq_vae import ClvqVae as ClvqVae
    from clvq.training.checkpoint import Checkpoint as Checkpoint
    from clvq.training.checkpoint import read_checkpoint as read_checkpoint
    from clvq.training.train import train as train

__version__ = "0.1.0"

_HOMES = {
    "ActivationStore": "activations.store",
    "ArtifactError": "errors",
    "Checkpoint": "training.checkpoint",
    "ClvqError": "errors",
    "ClvqVae": "models.clvq_vae",
    "Codebook": "concepts.codebook",
    "ExplainConfig": "config",
    "Explanations": "explanations.explain",
    "ExtractConfig": "config",
    "Faithfulness": "interventions.faithfulness",
    "FaithfulnessConfig": "config",
    "MismatchError": "errors",
    "TrainConfig": "config",
    "codebook": "concepts.codebook",
    "explain": "explanations.explain",
    "extract": "activations.extraction",
    "faithfulness": "interventions.faithfulness",
    "read_checkpoint": "training.checkpoint",
    "report": "html_report",
    "train": "training.train",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'clvq' has no attribute {name!r}")
    return getattr(import_module(f"clvq.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
