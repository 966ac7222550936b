"""Screenshots as small as they can be without looking different: `python tools/smaller_pictures.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

COLOURS = 128  # a page of text and boxes has fewer that can be told apart


def shrink(path: Path) -> None:
    """Write a picture again with a palette."""
    picture = Image.open(path).convert("RGB")
    picture.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    for found in sorted(Path(sys.argv[1]).glob("*.png")):
        shrink(found)
