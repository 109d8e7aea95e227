"""What both trainings share: the loop, checkpoints, the running average of the weights, progress, loss plots."""
import csv
import math
import time

import torch
from PIL import Image, ImageDraw

EMA = 0.999


class Run:
    """One resumable training: networks, optimiser, EMA, step, in `folder`/checkpoint.pt."""

    def __init__(self, folder, nets, rate, steps, cooldown=0.3, warmup=200):
        self.folder, self.nets, self.steps = folder, nets, steps
        self.rate, self.cooldown, self.warmup = rate, cooldown, warmup
        for net in nets.values():
            net.to(memory_format=torch.channels_last)
        self.params = [p for n in nets.values() for p in n.parameters()]
        self.optimiser = torch.optim.AdamW(self.params, lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
        self.ema = [p.detach().clone() for p in self.params]
        self.step, self.seconds = 0, 0.0
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "checkpoint.pt").exists():
            self.load()

    def load(self):
        state = torch.load(self.folder / "checkpoint.pt", map_location="cpu")
        for name, net in self.nets.items():
            net.load_state_dict(state["nets"][name])
        self.optimiser.load_state_dict(state["optimiser"])
        for mine, saved in zip(self.ema, state["ema"]):
            mine.copy_(saved)
        self.step, self.seconds = state["step"], state["seconds"]

    def save(self):
        """Atomic: a run that is killed while it saves keeps the previous checkpoint."""
        part = self.folder / "checkpoint.part"
        torch.save({"nets": {n: x.state_dict() for n, x in self.nets.items()}, "ema": self.ema,
                    "optimiser": self.optimiser.state_dict(), "step": self.step, "seconds": self.seconds}, part)
        part.rename(self.folder / "checkpoint.pt")

    def use_average(self):
        """The networks with the averaged weights, in place (the trained ones stay in the checkpoint)."""
        for p, average in zip(self.params, self.ema):
            p.data.copy_(average)

    class Averaged:
        def __init__(self, run):
            self.run = run

        def __enter__(self):
            self.kept = [p.detach().clone() for p in self.run.params]
            self.run.use_average()

        def __exit__(self, *_):
            for p, k in zip(self.run.params, self.kept):
                p.data.copy_(k)

    def averaged(self):
        """with run.averaged(): the averaged weights for sampling, the trained ones again after it."""
        return Run.Averaged(self)

    def learning_rate(self):
        """Warm up, stay, then fall to zero over the last `cooldown` share of the steps."""
        left = (self.steps - self.step) / max(1, self.cooldown * self.steps)
        return self.rate * min(1.0, (self.step + 1) / self.warmup, max(0.01, left))

    def train(self, loss_of_batch, batch, on_sample, sample_every=500, save_every=250, say_every=25, title=""):
        """loss_of_batch() -> scalar tensor. Says loss, speed and time left; saves; calls on_sample(step)."""
        log = self.folder / "loss.csv"
        total, count, since = 0.0, 0, time.monotonic()
        print(f"{title}: steps {self.step} to {self.steps}, {sum(p.numel() for p in self.params):,} parameters", flush=True)
        while self.step < self.steps:
            begun = time.monotonic()
            for group in self.optimiser.param_groups:
                group["lr"] = self.learning_rate()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = loss_of_batch()
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.params, 1.0)
            if not math.isfinite(loss.item()):
                raise SystemExit(f"{title}: the loss is {loss.item()} at step {self.step}; start again from the checkpoint")
            self.optimiser.step()
            self.step += 1
            keep = min(EMA, (1 + self.step) / (10 + self.step))
            torch._foreach_mul_(self.ema, keep)
            torch._foreach_add_(self.ema, [p.detach() for p in self.params], alpha=1 - keep)
            self.seconds += min(time.monotonic() - begun, 10)     # a paused process does not count
            total, count = total + loss.item(), count + 1
            if self.step % say_every == 0 or self.step == self.steps:
                now = time.monotonic()
                speed = count * batch / (now - since)
                left = (self.steps - self.step) * batch / speed / 60
                print(f"{title} step {self.step}/{self.steps}  loss {total / count:.4f}  {speed:.0f} pictures/s  "
                      f"{left:.0f} min left  rate {self.learning_rate():.1e}", flush=True)
                with open(log, "a", newline="") as f:
                    csv.writer(f).writerow([self.step, f"{total / count:.5f}", f"{self.seconds:.0f}"])
                total, count, since = 0.0, 0, now
            if self.step % save_every == 0 or self.step == self.steps:
                self.save()
            if self.step % sample_every == 0 or self.step == self.steps:
                with self.averaged(), torch.no_grad():
                    on_sample(self.step)
                plot(log, self.folder / "loss.png")
                since = time.monotonic()


def plot(log, path, width=900, height=420):
    """loss.csv as a picture; the loss axis is logarithmic."""
    rows = [(int(r[0]), float(r[1])) for r in csv.reader(open(log)) if r]
    if len(rows) < 2:
        return
    low, high = math.log(min(v for _, v in rows)), math.log(max(v for _, v in rows))
    last = max(s for s, _ in rows)
    picture = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(picture)
    place = lambda s, v: (60 + (width - 80) * s / last, 20 + (height - 60) * (high - math.log(v)) / max(1e-9, high - low))
    for i in range(5):
        v = math.exp(low + (high - low) * i / 4)
        y = place(0, v)[1]
        pen.line([(60, y), (width - 20, y)], fill="#dddddd")
        pen.text((8, y - 6), f"{v:.3f}", fill="black")
        pen.text((60 + (width - 80) * i / 4 - 10, height - 24), str(last * i // 4), fill="black")
    pen.line([place(s, v) for s, v in rows], fill="#2266cc", width=2)
    picture.save(path)


def grid(pictures, columns):
    """uint8 [n, h, w, 3] -> one Image with `columns` pictures a row."""
    n, h, w, _ = pictures.shape
    sheet = Image.new("RGB", (columns * w, (n + columns - 1) // columns * h), "white")
    for i, p in enumerate(pictures):
        sheet.paste(Image.fromarray(p), (i % columns * w, i // columns * h))
    return sheet
