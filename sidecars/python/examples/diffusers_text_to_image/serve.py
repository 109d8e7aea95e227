"""Text to image with the diffusers library: a whole task in a sidecar, with progress, previews and cancel at every step."""
import io
import json
import random

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from myelin_sidecar import BadInput, Model, artifacts, serve

# What the four channels of Stable Diffusion 1's and 2's latents contribute to red, green, blue: a preview for the price of nothing.
COLOURS = np.array([[0.298, 0.207, 0.208], [0.187, 0.286, 0.173], [-0.158, 0.189, 0.264], [-0.184, -0.271, -0.473]], "float32")


def preview(latent):
    """A small JPEG of a latent [4, h, w]; None where it is not of that kind."""
    if latent.shape[0] != 4:
        return None
    rgb = latent.float().cpu().numpy().transpose(1, 2, 0) @ COLOURS
    picture = Image.fromarray(((rgb + 1) * 127.5).clip(0, 255).astype("uint8")).resize((256, 256 * rgb.shape[0] // rgb.shape[1]))
    return encode(picture, "JPEG", quality=70)


def encode(picture, kind, **options):
    data = io.BytesIO()
    picture.save(data, kind, **options)
    return data.getvalue()


class TextToImage(Model):
    task = "text-to-image"  # so the worker hands over files and parameters, and takes a result and artifacts

    def load(self, context):
        settings = json.loads((context.revision_folder / "pipeline.json").read_text())
        local = context.revision_folder / settings["pretrained"]
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        half = settings.get("half", False) and self.device == "cuda"
        self.pipeline = DiffusionPipeline.from_pretrained(str(local) if local.exists() else settings["pretrained"],
                                                          torch_dtype=torch.float16 if half else torch.float32).to(self.device)
        self.pipeline.set_progress_bar_config(disable=True)

    def infer(self, call):
        given = call.json()  # the job's parameters
        prompt = given.get("prompt")
        if not isinstance(prompt, str) or not prompt:
            raise BadInput("parameters.prompt is missing; say what to show")
        steps, count = int(given.get("steps", 30)), int(given.get("count", 1))
        seed = int(given.get("seed", -1))
        seed = seed if seed >= 0 else random.randrange(2**32)
        sides = {side: int(given[side]) for side in ("width", "height") if given.get(side)}

        def step_ends(pipeline, step, timestep, values):
            call.check()  # raises where the job was cancelled: the pipeline ends here, in the middle of its loop
            call.progress(step + 1, steps, preview(values["latents"][0]) if step % 3 == 2 else None)
            return values

        pictures = self.pipeline(
            prompt, negative_prompt=given.get("negativePrompt"), num_inference_steps=steps, guidance_scale=float(given.get("guidance", 7.5)),
            num_images_per_prompt=count, generator=torch.Generator("cpu").manual_seed(seed), callback_on_step_end=step_ends,
            callback_on_step_end_tensor_inputs=["latents"], **sides).images
        files = {f"image-{i}.png": encode(picture, "PNG") for i, picture in enumerate(pictures)}
        images = [{"artifact": name, "seed": seed, "width": p.width, "height": p.height} for name, p in zip(files, pictures)]
        return artifacts(files, {"images": images, "parameters": {**given, "seed": seed, "steps": steps, "count": count}})


if __name__ == "__main__":
    serve(TextToImage())
