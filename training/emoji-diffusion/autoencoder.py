"""Stage 1: pictures of 64x64 to latents of 16x8x8 and back."""
import numpy as np
import torch
import torch.nn.functional as F

from loop import Run, grid
from networks import LATENT, Decoder, Encoder

BATCH = 32
SHARES = {"plain": 0.55, "tone": 0.2, "colour": 0.1, "pair": 0.15}


def to_tensor(pictures):
    """uint8 [b, h, w, 3] -> float [b, 3, h, w] in -1..1."""
    x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return x.contiguous(memory_format=torch.channels_last)


def to_pictures(x):
    """The inverse of to_tensor."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def loss_of(encoder, decoder, x):
    """Absolute error of pixels and of their differences, and a small pull of the latents to a normal."""
    mean, logvar = encoder(x).chunk(2, 1)
    logvar = logvar.clamp(-12, 6)
    y = decoder(mean + torch.randn_like(mean) * torch.exp(0.5 * logvar))
    loss = F.l1_loss(y, x) + F.mse_loss(y, x)
    for axis in (2, 3):
        loss = loss + F.l1_loss(y.diff(dim=axis), x.diff(dim=axis))
    pull = 0.5 * (mean ** 2 + logvar.exp() - 1 - logvar).mean()
    return loss + 1e-3 * pull


def train(data, folder, steps):
    encoder, decoder = Encoder(), Decoder()
    run = Run(folder, {"encoder": encoder, "decoder": decoder}, 1e-3, steps, cooldown=0.4)
    rng = np.random.RandomState(run.step + 7)
    torch.manual_seed(run.step + 7)
    shown = np.random.RandomState(3)
    shown = to_tensor(data.pictures[data.draw(shown, 64)])

    def batch():
        return loss_of(encoder, decoder, to_tensor(data.pictures[data.draw(rng, BATCH, SHARES)]))

    def sample(step):
        back = decoder(encoder(shown)[:, :LATENT])
        error = F.mse_loss(back.clamp(-1, 1), shown).item()
        both = np.stack([to_pictures(shown), to_pictures(back)], 1).reshape(-1, 64, 64, 3)
        grid(both, 16).save(folder / f"sample-{step:06}.png")
        print(f"autoencoder step {step}: {10 * np.log10(4 / error):.1f} dB on 64 pictures", flush=True)

    run.train(batch, BATCH, sample, title="autoencoder")
    run.use_average()
    return encoder.eval(), decoder.eval()


@torch.no_grad()
def encode_all(encoder, pictures):
    """uint8 [n, 64, 64, 3] -> means of the latents, float32 [n, 16, 8, 8]."""
    out = []
    for i in range(0, len(pictures), 256):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out.append(encoder(to_tensor(pictures[i:i + 256]))[:, :LATENT].clone(memory_format=torch.contiguous_format))
    return torch.cat(out)
