"""clvq: discrete concepts in language models (CLVQ-VAE, arXiv 2506.20040).

    store = clvq.extract("run/activations", model="demo", dataset="demo", layers=(4, 8))
    checkpoint = clvq.train(store, path="run/L4-L8", input_layer=4, output_layer=8)
    model = clvq.ClvqVae.from_pretrained("run/L4-L8")

Names are imported when they are first used, so that `import clvq` does not import torch. Type checkers and editors read
`__init__.pyi`, which scripts/python_stub.py makes.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "ActivationStore": "activations.store",
    "ArtifactError": "errors",
    "AssignConfig": "config",
    "Bench": "interventions.bench",
    "BenchConfig": "config",
    "Checkpoint": "training.checkpoint",
    "ClvqError": "errors",
    "ClvqVae": "models.clvq_vae",
    "Codebook": "concepts.codebook",
    "ConceptVectorizer": "concepts.vectorizer",
    "Estimate": "activations.estimate",
    "ExplainConfig": "config",
    "Explanations": "explanations.results",
    "ExtractConfig": "config",
    "Faithfulness": "interventions.faithfulness",
    "FaithfulnessConfig": "config",
    "MismatchError": "errors",
    "SteerConfig": "config",
    "Sweep": "concepts.sweep_records",
    "TrainConfig": "config",
    "assign": "concepts.assign",
    "bench": "interventions.bench",
    "codebook": "concepts.codebook",
    "estimate": "activations.extraction",
    "explain": "explanations.explain",
    "extract": "activations.extraction",
    "faithfulness": "interventions.faithfulness",
    "pull": "training.pulling",
    "push": "concepts.publishing",
    "read_checkpoint": "training.checkpoint",
    "report": "html_report",
    "steer": "interventions.steer",
    "steering": "interventions.steering",
    "sweep": "concepts.sweep",
    "sweep_page": "html_report.sweep",
    "train": "training.train",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'clvq' has no attribute {name!r}")
    return getattr(import_module(f"clvq.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
