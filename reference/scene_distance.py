# SPDX-License-Identifier: MIT
"""How far folders of pictures are from the drawn scenes, by a measure that needs no trained judge.

Usage: scene_distance.py REFERENCE FOLDER...
Prints for each folder two Frechet distances (arXiv 1706.08500) between normal distributions. A picture
is cut into 4 x 4 cells: its colours are their mean red, green and blue, 48 numbers; its edges are
their mean absolute differences of brightness between neighbouring pixels, 16 numbers (0 where all
is flat, large where there is noise). They count in units of their standard deviation over
REFERENCE. Some hundred more drawn scenes in a folder show what the smallest distances are that so
many pictures can have.
"""

import os
import sys

import numpy
from PIL import Image

CELLS = 4


def cells(values):
    """(H, W, ...) -> the means of CELLS x CELLS cells, flat."""
    rows = numpy.array_split(values, CELLS, axis=0)
    parts = [part for row in rows for part in numpy.array_split(row, CELLS, axis=1)]
    return numpy.concatenate([part.mean(axis=(0, 1)).reshape(-1) for part in parts])


def features(path):
    rgb = numpy.asarray(Image.open(path).convert("RGB"), dtype=numpy.float64) / 255
    grey = rgb @ [0.299, 0.587, 0.114]
    across = numpy.abs(numpy.diff(grey, axis=1, append=grey[:, -1:]))
    down = numpy.abs(numpy.diff(grey, axis=0, append=grey[-1:, :]))
    return numpy.concatenate([cells(rgb), cells(across + down)])


COLOURS = slice(0, 3 * CELLS * CELLS)
EDGES = slice(3 * CELLS * CELLS, None)


def read(folder):
    names = sorted(n for n in os.listdir(folder) if n.endswith(".png"))
    if len(names) < 2:
        sys.exit(f"{folder}: found {len(names)} pictures, expected at least 2")
    return numpy.stack([features(os.path.join(folder, n)) for n in names])


def root(matrix):
    values, vectors = numpy.linalg.eigh(matrix)
    return vectors * numpy.sqrt(values.clip(0)) @ vectors.T


def distance(a, b):
    means = numpy.square(a.mean(0) - b.mean(0)).sum()
    ca, cb = numpy.cov(a.T), numpy.cov(b.T)
    ra = root(ca)
    return means + numpy.trace(ca) + numpy.trace(cb) - 2 * numpy.trace(root(ra @ cb @ ra))


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    reference = read(sys.argv[1])
    unit = reference.std(0)
    for folder in sys.argv[2:]:
        pictures = read(folder)
        colours, edges = (
            distance(pictures[:, which] / unit[which], reference[:, which] / unit[which])
            for which in (COLOURS, EDGES)
        )
        print(f"{folder}: colours {colours:.2f}, edges {edges:.2f} ({len(pictures)} pictures)")


if __name__ == "__main__":
    main()
