"""Stage 2: prompts to latents. The text encoder and the U-Net are trained together."""
import numpy as np
import torch
import torch.nn.functional as F

from autoencoder import encode_all, to_pictures
from loop import Run, grid
from networks import LATENT, TextEncoder, UNet
from sampling import GUIDANCE, SCHEDULER, alphas, ddim, guided

BATCH, RATE = 64, 1e-3
DRAFT_BATCH = 256
DRAFT_SHARES = {"plain": 0.45, "tone": 0.10, "colour": 0.10, "pair": 0.35}     # pairs need the most practice
NO_CAPTION = 0.1     # share of the captions that are left out, for classifier-free guidance
SHOWN = ["cat", "red heart", "grinning face", "rocket", "pizza", "flag: france", "waving hand: dark skin tone", "dog face",
         "blue car", "green car", "purple heart", "pink frog", "cat and heart", "rocket and pizza", "dog and sun", "tree and house",
         "red apple", "snowman", "octopus", "guitar", "woman running: medium skin tone", "police officer", "eiffel tower", "flag: japan",
         "hamburger", "bicycle", "crying face", "unicorn", "soccer ball", "sunflower", "penguin", "birthday cake"]


def networks(tokenizer):
    return TextEncoder(len(tokenizer.ids), len(tokenizer.encode("")), tokenizer.end), UNet()


def encode(text_encoder, tokenizer, prompts):
    return text_encoder(torch.tensor([tokenizer.encode(p) for p in prompts]))


@torch.no_grad()
def paint(text_encoder, unet, decoder, tokenizer, prompts, scaling, seed=0, guidance=GUIDANCE, steps=None):
    """Prompts -> uint8 pictures [n, 64, 64, 3]; every prompt starts from the same noise of the seed."""
    noise = torch.randn(1, LATENT, 8, 8, generator=torch.Generator().manual_seed(seed))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        text, empty = encode(text_encoder, tokenizer, prompts), encode(text_encoder, tokenizer, [""])
        x = ddim(guided(unet, text, empty, guidance), noise.expand(len(prompts), -1, -1, -1), *([steps] if steps else []))
        return to_pictures(decoder(x / scaling))


def all_latents(encoder, pictures, kept):
    """encode_all, kept in a file (it goes with the autoencoder's folder)."""
    latents = torch.load(kept) if kept.exists() else None
    if latents is None or len(latents) != len(pictures):
        latents = encode_all(encoder, pictures)
        torch.save(latents, kept)
    return latents


def train_draft(data, tokenizer, latents, text_encoder, unet, decoder, scaling, folder, steps):
    """Prompts to the mean of their latents: the text encoder learns the words cheaply, before there is any noise."""
    run = Run(folder, {"text_encoder": text_encoder, "draft": unet.draft}, RATE, steps, warmup=200)
    rng = np.random.RandomState(run.step + 5)

    def batch():
        picks = data.draw(rng, DRAFT_BATCH, DRAFT_SHARES)
        text = encode(text_encoder, tokenizer, [data.caption(rng, i) for i in picks])
        return F.mse_loss(unet.draft(text), latents[torch.from_numpy(picks)].float())

    def sample(step):
        drafts = unet.draft(encode(text_encoder, tokenizer, SHOWN))
        grid(to_pictures(decoder(drafts / scaling)), 8).save(folder / f"sample-{step:06}.png")

    run.train(batch, DRAFT_BATCH, sample, title="draft")
    run.use_average()


def train(data, tokenizer, encoder, decoder, folder, steps, draft_steps):
    """Returns the averaged text encoder and U-Net, and the scaling factor of the latents."""
    latents = all_latents(encoder, data.pictures, folder.with_name("autoencoder") / "latents.pt")
    scaling = float(1 / latents[:len(data.emojis)].std())
    latents = (latents * scaling).to(torch.float16)
    text_encoder, unet = networks(tokenizer)
    if not (folder / "checkpoint.pt").exists():
        train_draft(data, tokenizer, latents, text_encoder, unet, decoder, scaling, folder.with_name("draft"), draft_steps)
    run = Run(folder, {"text_encoder": text_encoder, "unet": unet}, RATE, steps, warmup=200)
    rng = np.random.RandomState(run.step + 11)
    torch.manual_seed(run.step + 11)
    share = alphas().float()
    print(f"latents: {tuple(latents.shape)}, scaling factor {scaling:.5f}, {SCHEDULER['prediction_type']}", flush=True)

    def batch():
        picks = data.draw(rng, BATCH)
        words = ["" if rng.random_sample() < NO_CAPTION else data.caption(rng, i) for i in picks]
        x = latents[torch.from_numpy(picks)].float()
        # one timestep from each 64th of the schedule: less noise in the loss than independent draws
        t = ((torch.arange(BATCH) + torch.rand(BATCH)) * (1000 / BATCH)).long().clamp(0, 999)
        a, noise = share[t][:, None, None, None], torch.randn_like(x)
        text = encode(text_encoder, tokenizer, words)
        v = unet(a.sqrt() * x + (1 - a).sqrt() * noise, t, text)
        return F.mse_loss(v, a.sqrt() * noise - (1 - a).sqrt() * x) + 0.25 * F.mse_loss(unet.draft(text), x)

    def sample(step):
        grid(paint(text_encoder, unet, decoder, tokenizer, SHOWN, scaling), 8).save(folder / f"sample-{step:06}.png")

    run.train(batch, BATCH, sample, sample_every=500, save_every=100, title="denoiser")
    run.use_average()
    return text_encoder.eval(), unet.eval(), scaling
