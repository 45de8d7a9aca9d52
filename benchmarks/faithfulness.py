"""How faithful each method's maps are, beside random maps, on the built-in photos.

    python -m benchmarks.faithfulness

The bundled model, every method with its default options, each map explaining the top class. Means
with 95 % bootstrap intervals; seven photos tell methods from random, hardly from each other.
"""

from __future__ import annotations

import argparse

import vitviz
from vitviz.photos.samples import SAMPLES_DIR


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, help="the first photos only")
    parser.add_argument("--out", help="keep the rows in this CSV file, and go on from them")
    args = parser.parse_args()
    found = vitviz.evaluate(vitviz.load_model(), SAMPLES_DIR, limit=args.limit, out=args.out)
    print(found.table())


if __name__ == "__main__":
    main()
