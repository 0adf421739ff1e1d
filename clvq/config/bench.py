"""The settings of `clvq bench`."""

from __future__ import annotations

from dataclasses import dataclass

from clvq.config.settings import BATCH, DEVICE, MODEL, POSITIVE, SEED, TRUST, Settings, stated


@dataclass(frozen=True)
class BenchConfig(Settings):
    """The settings of a bench: the pairs of texts on which the estimates of concepts' effects are compared.

        print(clvq.BenchConfig().batch_tokens)

    `clvq.bench` takes them as keywords.
    """

    # A moved file is still the same file, so the result identifies the file by its contents instead.
    pairs: str | None = stated(
        None,
        "File of texts and their edits with the columns of CEBaB (.csv .jsonl .parquet) [the demo's pairs, for the "
        "demo's corpus].",
        result=False,
    )
    rank: int = stated(
        1,
        "Number of directions that an edit removes from a word: those of its nearest codes, or of its strongest "
        "latents. Compare methods at the same rank.",
        POSITIVE,
    )
    seed: int = stated(0, "Seed of the balanced samples for probes, and of the intervals.", SEED)
    batch_tokens: int = stated(4096, BATCH, POSITIVE, result=False)
    model: str | None = stated(None, MODEL, result=False)
    device: str | None = stated(None, DEVICE, result=False)
    trust_remote_code: bool = stated(False, TRUST, result=False)
