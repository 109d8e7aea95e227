"""Gaussian blur: tensors in, tensors out. The worker does everything that has to do with pictures."""
import json

import numpy as np

from myelin_sidecar import Model, serve


class Blur(Model):
    inputs = [("x", "FP32", [-1, 3, 256, 256])]
    outputs = [("y", "FP32", [-1, 3, 256, 256])]
    concurrency = 2  # NumPy computes outside the interpreter's lock

    def load(self, context):
        sigma = json.loads((context.revision_folder / "blur.json").read_text())["sigma"]
        radius = int(3 * sigma)
        kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        self.kernel = (kernel / kernel.sum()).astype("float32")

    def infer(self, call):
        x = call["x"]  # lies in the memory that the worker wrote into
        y = call.output("y", "FP32", x.shape)  # and this is memory that the worker reads from
        along_rows = np.empty(x.shape, "float32")
        self.along(x, 3, along_rows)
        call.check()  # ends the call here where the caller has cancelled it
        self.along(along_rows, 2, y)
        return {"y": y}

    def along(self, x, axis, out):
        radius = len(self.kernel) // 2
        padded = np.pad(x, [(radius, radius) if a == axis else (0, 0) for a in range(4)], mode="reflect")
        out[...] = 0
        for tap, weight in enumerate(self.kernel):
            part = [slice(None)] * 4
            part[axis] = slice(tap, tap + x.shape[axis])
            out += weight * padded[tuple(part)]


if __name__ == "__main__":
    serve(Blur())
