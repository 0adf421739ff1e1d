"""Write the reviews of the demo as `clvq.demo` reads them: `python -m demo.reviews`.

The same grammar gives the same bytes: the file holds no date and no name. Run it after a change of the grammar, and
then `python -m demo.build`, as the model belongs to its corpus.
"""

from __future__ import annotations

import json
import lzma

from clvq.demo import EVAL_SIZE, REVIEWS_PATH, TRAIN_SIZE
from clvq.storage import atomic_path
from demo.grammar import generate

CORPUS_SEED = 20040


def lines() -> bytes:
    """Return a JSON line for each review: first the training split, then the evaluation split."""
    return "".join(
        json.dumps(
            {"text": review.text, "label": review.label, "words": [word[1:] for word in review.words]},
            separators=(",", ":"),
        )
        + "\n"
        for review in generate(TRAIN_SIZE + EVAL_SIZE, CORPUS_SEED)
    ).encode()


def compressed() -> bytes:
    """Return the lines in xz."""
    return lzma.compress(lines(), preset=9 | lzma.PRESET_EXTREME)


if __name__ == "__main__":
    with atomic_path(REVIEWS_PATH) as path:
        path.write_bytes(compressed())
    print(f"{REVIEWS_PATH}: {REVIEWS_PATH.stat().st_size} bytes")
