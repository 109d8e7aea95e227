"""A small convolutional network. It learns from shapes that it draws itself: some seconds on one core, the same every time."""
import json

import numpy as np
import torch
from torch import nn

from myelin_sidecar import Model, serve

SIZE = 32


def draw(count, generator):
    """Shapes in random colours, places and sizes: [count, 3, 32, 32] in -1..1, and which of circle, square, triangle each is."""
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype("float32")
    pictures, kinds = np.empty((count, 3, SIZE, SIZE), "float32"), generator.integers(0, 3, count)
    for i, kind in enumerate(kinds):
        radius = generator.uniform(6, 12)
        cx, cy = generator.uniform(radius + 1, SIZE - radius - 1, 2)
        dx, dy = x - cx, y - cy
        inside = [dx * dx + dy * dy < radius * radius, np.maximum(abs(dx), abs(dy)) < radius * 0.85, (dy < radius * 0.8) & (2 * abs(dx) < dy + radius)][kind]
        back, front = generator.uniform(-1, 1, (2, 3, 1, 1))
        while abs(back - front).max() < 0.6:
            back, front = generator.uniform(-1, 1, (2, 3, 1, 1))
        pictures[i] = np.where(inside, front, back) + generator.normal(0, 0.05, (3, SIZE, SIZE))
    return torch.from_numpy(pictures), torch.from_numpy(kinds)


class Shapes(Model):
    inputs = [("x", "FP32", [-1, 3, SIZE, SIZE])]
    outputs = [("logits", "FP32", [-1, 3])]

    def load(self, context):
        settings = json.loads((context.revision_folder / "training.json").read_text())
        torch.manual_seed(settings["seed"])
        torch.set_num_threads(1)
        generator = np.random.default_rng(settings["seed"])
        def block(n, m):
            return nn.Sequential(nn.Conv2d(n, m, 3, stride=2, padding=1), nn.BatchNorm2d(m), nn.ReLU())

        self.network = nn.Sequential(block(3, 16), block(16, 32), block(32, 32), nn.Flatten(), nn.Linear(32 * 16, 3))
        optimiser = torch.optim.Adam(self.network.parameters(), 5e-3)
        for step in range(settings["steps"]):
            pictures, kinds = draw(48, generator)
            optimiser.zero_grad()
            nn.functional.cross_entropy(self.network(pictures), kinds).backward()
            optimiser.step()
            context.progress(step + 1, settings["steps"])  # the worker shows how far loading is
        self.network.eval()

    def infer(self, call):
        # The input lies in shared memory and must not be written: torch wants to be told by a copy (12 kB a picture).
        with torch.no_grad():
            return {"logits": self.network(torch.from_numpy(call["x"].copy()))}


if __name__ == "__main__":
    serve(Shapes())
