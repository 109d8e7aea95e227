#!/usr/bin/env python3
"""Renders the sample pictures of the repository: training/samples/*.{svg,html} -> samples/*.jpg.

Needs chromium (as root: apt-get install -y --no-install-recommends chromium python3-pil fonts-dejavu) and Pillow.
The scenes are ours and drawn by hand; nothing is fetched. Run it from anywhere:

    /usr/bin/python3 training/samples/render.py [name ...]
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parents[1] / "samples"
SCENES = {"sign": ("sign.svg", 1200, 800), "street": ("street.html", 1280, 853), "portrait": ("portrait.svg", 1200, 800)}
MAX_BYTES = 150_000  # what a clone and the page can bear


def screenshot(source: pathlib.Path, width: int, height: int, target: pathlib.Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or sys.exit("chromium is not installed")
    # Headless Chromium keeps part of the window for itself: a taller window, then a crop.
    subprocess.run(
        [browser, "--headless", "--no-sandbox", "--hide-scrollbars", "--force-color-profile=srgb", "--default-background-color=00000000",
         "--virtual-time-budget=2000", f"--window-size={width},{height + 200}", f"--screenshot={target}", source.as_uri()],
        check=True, capture_output=True, timeout=120)


def render(name: str) -> None:
    source, width, height = SCENES[name]
    with tempfile.TemporaryDirectory() as folder:
        shot = pathlib.Path(folder) / "shot.png"
        screenshot(HERE / source, width, height, shot)
        picture = Image.open(shot).convert("RGB").crop((0, 0, width, height))
    target = OUT / f"{name}.jpg"
    for quality in range(88, 50, -4):
        picture.save(target, quality=quality, optimize=True)
        if target.stat().st_size <= MAX_BYTES:
            break
    print(f"{target.relative_to(OUT.parent)}: {width}x{height}, {target.stat().st_size} bytes, quality {quality}")


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for wanted in sys.argv[1:] or SCENES:
        render(wanted)
