#!/usr/bin/python3
"""Retrieval check: does a picture made from an emoji's name look like that emoji more than like any other?

    training/emoji-diffusion/evaluate.py                     the newest checkpoint, 200 captions, seed 0
    training/emoji-diffusion/evaluate.py --captions          print the captions, one JSON string a line
    training/emoji-diffusion/evaluate.py --pictures FOLDER   judge FOLDER/000.png .. 199.png, made elsewhere (by a server, say)

Captions: the CLDR short names of 200 emoji drawn at random (fixed) from all that the font draws, skin tones and
flags included. Every picture starts from the noise of seed 0. Measure: the picture and those of ALL emoji are
reduced to 32x32 RGB by averaging; the emoji are ordered by mean squared difference; the rank of the right one is
1 + the number of emoji that are strictly nearer (some flags have identical pictures). Weights are rounded as in the export.
"""
import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from train import WORK

COUNT = 200


def chosen(data):
    """The indices of the emoji whose names are the captions; sorted by kind only in the report."""
    return np.random.RandomState(0).choice(len(data.emojis), COUNT, replace=False)


def reduced(pictures):
    """uint8 [n, 64, 64, 3] -> float32 [n, 32 * 32 * 3] in 0..1."""
    n = len(pictures)
    return pictures.reshape(n, 32, 2, 32, 2, 3).mean((2, 4), dtype=np.float32).reshape(n, -1) / 255


def ranks(made, targets, everything):
    """made: uint8 [n, 64, 64, 3]; targets: indices into everything, uint8 [m, 64, 64, 3] -> ranks from 1, [n]."""
    all_, made = reduced(everything), reduced(made)
    out = []
    for picture, target in zip(made, targets):
        far = ((all_ - picture) ** 2).mean(1)
        out.append(1 + int((far < far[target] - 1e-9).sum()))
    return np.array(out)


def report(found, targets, emojis):
    result = {}
    tone = np.array([emojis[i].has_tone for i in targets])
    flag = np.array([emojis[i].is_flag for i in targets])
    for name, part in (("all", tone | True), ("without skin tones", ~tone), ("skin tones", tone), ("flags", flag)):
        r = found[part]
        result[name] = {"captions": int(part.sum()), "top1": round(float((r <= 1).mean()), 3), "top5": round(float((r <= 5).mean()), 3)}
        print(f"{name:20} {part.sum():4} captions   top-1 {(r <= 1).mean():6.1%}   top-5 {(r <= 5).mean():6.1%}")
    return result


def load(work=WORK):
    """The dataset, tokenizer and averaged networks of the newest checkpoints, weights rounded as in the export."""
    import torch
    import dataset, denoiser, export, networks, tokenizer
    data = dataset.load(work / "dataset.pickle")
    words = tokenizer.Tokenizer([line.split(" ") for line in (work / "merges.txt").read_text("utf-8").splitlines()])
    text_encoder, unet = denoiser.networks(words)
    encoder, decoder = networks.Encoder(), networks.Decoder()
    for folder, nets in (("autoencoder", (encoder, decoder)), ("denoiser", (text_encoder, unet))):
        state = torch.load(work / folder / "checkpoint.pt", map_location="cpu")
        params = [p for n in nets for p in n.parameters()]
        for p, average in zip(params, state["ema"]):
            p.data.copy_(average)
        print(f"{folder}: step {state['step']}")
    for net, bits in ((unet, 8), (text_encoder, 16), (encoder, 16), (decoder, 16)):
        export.as_stored(net.eval(), bits)
    from autoencoder import encode_all
    scaling = float(1 / encode_all(encoder, data.pictures[:len(data.emojis)]).std())
    return data, words, encoder, decoder, text_encoder, unet, scaling


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", action="store_true", help="print the captions and end")
    parser.add_argument("--pictures", type=Path, help="judge these pictures instead of making them")
    parser.add_argument("--guidance", type=float, default=None, help="classifier-free guidance (default: the model's)")
    parser.add_argument("--steps", type=int, default=None, help="sampling steps (default: the model's)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise (default 0)")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of the checkpoints (default %(default)s)")
    parser.add_argument("--sheet", type=Path, help="also write a contact sheet of made and real pictures here")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    options = parser.parse_args()

    import dataset
    if options.captions or options.pictures:
        data = dataset.load(options.work / "dataset.pickle")
        targets = chosen(data)
        if options.captions:
            for i in targets:
                print(json.dumps(data.emojis[i].name, ensure_ascii=False))
            return
        made = np.stack([np.asarray(Image.open(options.pictures / f"{i:03}.png").convert("RGB")) for i in range(COUNT)])
    else:
        import denoiser, sampling
        data, words, _, decoder, text_encoder, unet, scaling = load(options.work)
        targets = chosen(data)
        guidance = sampling.GUIDANCE if options.guidance is None else options.guidance
        made = np.concatenate([denoiser.paint(text_encoder, unet, decoder, words, [data.emojis[i].name for i in targets[at:at + 50]],
                                              scaling, options.seed, guidance, options.steps) for at in range(0, COUNT, 50)])
        print(f"guidance {guidance}, {options.steps or sampling.STEPS} steps, seed {options.seed}")
    everything = data.pictures[:len(data.emojis)]
    found = ranks(made, targets, everything)
    result = report(found, targets, data.emojis)
    worst = np.argsort(-found)[:12]
    print("furthest off: " + "; ".join(f"{data.emojis[targets[i]].name} ({found[i]})" for i in worst))
    if options.sheet:
        from loop import grid
        pairs = np.stack([everything[targets], made], 1).reshape(-1, 64, 64, 3)
        grid(pairs, 20).save(options.sheet)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
