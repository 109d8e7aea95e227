#!/usr/bin/python3
"""Trains the built-in model emoji-diffusion and exports it: one command, from nothing to models/emoji-diffusion/1.

    training/emoji-diffusion/train.py                 everything; run it again and it goes on where it stopped
    training/emoji-diffusion/train.py --steps 20000   train the denoiser longer (also after a finished run)
    training/emoji-diffusion/train.py --export-only   export the newest checkpoint, also while training runs

Stages, each kept under .cache/emoji-diffusion/ and skipped when it is done:
    dataset      draw all emoji, recolourings and pairs           (seconds)
    tokenizer    learn the vocabulary from the captions           (seconds)
    autoencoder  64x64 pictures <-> 16x8x8 latents                (10 minutes on two cores)
    draft        text encoder and prompt -> mean latent           (10 minutes)
    denoiser     text encoder and U-Net together                  (an hour and more on two cores)
    export       ONNX graphs in diffusers' layout, checked

Watch it: loss, speed and time left are printed; loss.png and sample-*.png in the folder of each stage are
renewed every 500 steps. A checkpoint is written every 250 steps; stop it whenever you like (Ctrl-C).
"""
import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / ".cache" / "emoji-diffusion"
PACKAGES = ["python3-torch", "python3-numpy", "python3-pil", "python3-onnx", "libraqm0", "libopenblas0-pthread",
            "fonts-noto-color-emoji", "unicode-cldr-core", "unicode-data"]


def ensure_packages():
    """Install what is missing of Debian's packages, when run as root; say what to install otherwise."""
    state = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Status}\n", *PACKAGES], capture_output=True, text=True).stdout
    missing = [p for p in PACKAGES if f"{p} install ok installed" not in state]
    if missing and os.geteuid() == 0:
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *missing], check=True)
    elif missing:
        sys.exit("These Debian packages are needed: apt-get install --no-install-recommends " + " ".join(missing))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=9000, help="steps of the denoiser, 64 pictures each (default %(default)s)")
    parser.add_argument("--autoencoder-steps", type=int, default=2500, help="steps of the autoencoder, 32 pictures each (default %(default)s)")
    parser.add_argument("--draft-steps", type=int, default=3000, help="steps of the draft, 256 captions each (default %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads (default: all, %(default)s)")
    parser.add_argument("--export-only", action="store_true", help="no training: export the newest checkpoint")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of checkpoints and samples (default %(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "models" / "emoji-diffusion" / "1", help="folder to export to (default %(default)s)")
    options = parser.parse_args()
    ensure_packages()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")   # idle threads sleep: ten times faster when the machine is shared

    import torch
    import autoencoder, dataset, denoiser, tokenizer
    torch.set_num_threads(options.threads)
    say = lambda text: print(text, flush=True)

    data = dataset.load(options.work / "dataset.pickle", say)
    merges = options.work / "merges.txt"
    if not merges.exists():
        say("learning the vocabulary")
        learned = tokenizer.learn([w for words, _ in data.captions[:len(data.emojis)] for w in words], 2200)
        merges.write_text("".join(f"{a} {b}\n" for a, b in learned), "utf-8")
    words = tokenizer.Tokenizer([line.split(" ") for line in merges.read_text("utf-8").splitlines()])

    if options.export_only:
        options.steps = options.autoencoder_steps = 0
    encoder, decoder = autoencoder.train(data, options.work / "autoencoder", options.autoencoder_steps)
    text_encoder, unet, scaling = denoiser.train(data, words, encoder, decoder, options.work / "denoiser",
                                                 options.steps, options.draft_steps)
    import export
    export.write(options.out, words, text_encoder, unet, encoder, decoder, scaling, say)


if __name__ == "__main__":
    main()
