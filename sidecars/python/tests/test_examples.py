"""The examples, each as a real sidecar where its packages are installed; see their READMEs.

diffusers and Detectron2 are rarely at hand: without them their files run against stand-ins of the few calls that they make,
which checks our side (progress, cancel, results) and says nothing about the libraries'.
"""
import importlib.util
import io
import json
import sys
import threading
import types
import unittest
from pathlib import Path
from unittest import mock

from running import Process, running
from worker import Worker, raw

from myelin_sidecar import tensors, wire
from myelin_sidecar.model import Context

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SDK = str(EXAMPLES.parent)


def installed(*modules):
    return tensors.numpy is not None and all(importlib.util.find_spec(name) for name in modules)


def load(example):
    """The example's module; what it imports must be there."""
    spec = importlib.util.spec_from_file_location(f"example_{example}", EXAMPLES / example / "serve.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def process(example):
    """As the supervisor starts it."""
    folder = EXAMPLES / example
    return Process(str(folder / "serve.py"), folder=str(folder), environment={
        "PYTHONPATH": SDK, "PYTHONDONTWRITEBYTECODE": "1", "MYELIN_MODEL_NAME": example, "MYELIN_MODEL_FOLDER": str(folder)})


class Folders(unittest.TestCase):
    def test_every_example_is_a_whole_model_folder(self):
        names = sorted(p.name for p in EXAMPLES.iterdir() if p.is_dir() and p.name != "__pycache__")
        self.assertEqual(names, ["detectron2_detection", "diffusers_text_to_image", "numpy_blur", "torch_classifier"])
        for name in names:
            folder = EXAMPLES / name
            text = (folder / "model.yaml").read_text()
            self.assertIn("runtime: sidecar", text)
            self.assertIn("python3, serve.py]", text)
            compile((folder / "serve.py").read_text(), str(folder / "serve.py"), "exec")
            self.assertTrue((folder / "README.md").is_file() and any((folder / "1").iterdir()))


@unittest.skipUnless(installed(), "needs NumPy")
class NumpyBlur(unittest.TestCase):
    def test_a_point_spreads_as_the_bell_curve_says(self):
        numpy = tensors.numpy
        x = numpy.zeros((1, 3, 256, 256), "float32")
        x[0, 1, 128, 100] = 1000
        with process("numpy_blur") as sidecar, Worker(sidecar.path, ring=8 << 20) as worker:
            worker.ready()
            answer = worker.infer(0, {"x": raw("FP32", list(x.shape), x.tobytes())}, in_ring=("x",))
            self.assertEqual(answer.ring, ["y"])
            y = answer.tensors["y"].numpy()
        self.assertAlmostEqual(float(y.sum()), 1000, places=1)
        self.assertEqual(float(abs(y[0, [0, 2]]).max()), 0)
        self.assertAlmostEqual(float(y[0, 1, 128, 100]), 1000 / (2 * 3.14159265 * 16), delta=0.1)
        self.assertAlmostEqual(float(y[0, 1, 132, 100] / y[0, 1, 128, 100]), 0.60653, places=3)  # one sigma


@unittest.skipUnless(installed("torch"), "needs torch and NumPy (Debian: python3-torch)")
class TorchClassifier(unittest.TestCase):
    def test_it_learns_while_loading_and_tells_shapes_apart(self):
        numpy = tensors.numpy
        pictures, kinds = load("torch_classifier").draw(300, numpy.random.default_rng(12345))
        with process("torch_classifier") as sidecar, Worker(sidecar.path, ring=8 << 20, timeout=240) as worker:
            worker.ready()
            self.assertEqual(worker.reader.loading[-1][0], worker.reader.loading[-1][1])
            self.assertEqual(worker.reader.ready["models"][0]["inputs"], [{"name": "x", "datatype": "FP32", "shape": [-1, 3, 32, 32]}])
            answer = worker.infer(0, {"x": raw("FP32", list(pictures.shape), pictures.numpy().tobytes())}, in_ring=("x",))
            right = (answer.tensors["logits"].numpy().argmax(1) == kinds.numpy()).mean()
        self.assertGreater(right, 0.9)


class Stand:
    """Modules that are not there, for as long as a test runs. (`mock.patch.dict` would forget what is imported meanwhile.)"""

    def __init__(self, **modules):
        self.modules = {name.replace("__", "."): module for name, module in modules.items()}

    def __enter__(self):
        self.before = {name: sys.modules.get(name) for name in self.modules}
        sys.modules.update(self.modules)

    def __exit__(self, *_):
        for name, before in self.before.items():
            if before is None:
                del sys.modules[name]
            else:
                sys.modules[name] = before


def module(name, **content):
    made = types.ModuleType(name)
    made.__dict__.update(content)
    return made


class StandInPipeline:
    """Makes noise instead of pictures, by diffusers' calling convention."""

    gate = None

    @classmethod
    def from_pretrained(cls, name, torch_dtype):
        return cls()

    def to(self, device):
        return self

    def set_progress_bar_config(self, disable):
        pass

    def __call__(self, prompt, negative_prompt, num_inference_steps, guidance_scale, num_images_per_prompt, generator, callback_on_step_end,
                 callback_on_step_end_tensor_inputs, width=64, height=64):
        import torch
        from PIL import Image
        latents = torch.randn((num_images_per_prompt, 4, height // 8, width // 8), generator=generator)
        for step in range(num_inference_steps):
            if self.gate and step == 2:
                self.gate.wait(10)
            values = callback_on_step_end(self, step, torch.tensor(1000 - step), {"latents": latents * (1 - step / num_inference_steps)})
            latents = values["latents"]
        pixels = ((latents[:, :3].numpy() + 3) * 42).clip(0, 255).astype("uint8").transpose(0, 2, 3, 1)
        return types.SimpleNamespace(images=[Image.fromarray(p).resize((width, height)) for p in pixels])


@unittest.skipUnless(installed("torch", "PIL"), "needs torch, NumPy and Pillow")
class DiffusersTextToImage(unittest.TestCase):
    def setUp(self):
        stand = Stand(diffusers=module("diffusers", DiffusionPipeline=StandInPipeline))
        stand.__enter__()
        self.addCleanup(stand.__exit__, None, None, None)
        environment = mock.patch.dict("os.environ", {"MYELIN_REVISION_FOLDER": str(EXAMPLES / "diffusers_text_to_image" / "1")})
        environment.start()
        self.addCleanup(environment.stop)
        self.model = load("diffusers_text_to_image").TextToImage()

    def ask(self, **parameters):
        data = json.dumps(parameters).encode()
        return {"parameters": raw("UINT8", [len(data)], data)}

    def test_steps_previews_pictures_and_the_seed(self):
        from PIL import Image
        with running(self.model) as sidecar, Worker(sidecar.path, ring=8 << 20) as worker:
            worker.ready()
            self.assertEqual(worker.reader.ready["models"][0]["task"], "text-to-image")
            answers = [worker.infer(0, self.ask(prompt="a cat", steps=6, seed=3, count=2, width=128, height=64)) for _ in range(2)]
            self.assertEqual(worker.infer(0, self.ask(steps=6)).error["code"], "bad-input")
        first = answers[0]
        self.assertEqual([(step, steps, bool(p)) for step, steps, p in first.progress], [(n, 6, n % 3 == 0) for n in range(1, 7)])
        self.assertEqual(Image.open(io.BytesIO(first.progress[2][2])).format, "JPEG")
        result = json.loads(bytes(first.tensors["result"].data))
        self.assertEqual(result["images"], [{"artifact": f"image-{i}.png", "seed": 3, "width": 128, "height": 64} for i in range(2)])
        self.assertEqual(Image.open(io.BytesIO(bytes(first.tensors["image-1.png"].data))).size, (128, 64))
        self.assertEqual([bytes(a.tensors["image-0.png"].data) for a in answers][0], bytes(answers[1].tensors["image-0.png"].data))

    def test_cancel_ends_the_loop_between_two_steps(self):
        StandInPipeline.gate = threading.Event()
        self.addCleanup(setattr, StandInPipeline, "gate", None)
        with running(self.model) as sidecar, Worker(sidecar.path) as worker:
            number = worker.ready().begin(0, self.ask(prompt="a cat", steps=50))
            worker.until(lambda: len(worker.reader.calls[number].progress) == 2)
            worker.send(wire.CANCEL, number)
            worker.send(wire.PING, 0, bytes(8))
            worker.until(lambda: worker.reader.pongs)
            StandInPipeline.gate.set()
            answer = worker.wait(number)
        self.assertEqual((answer.error["code"], len(answer.progress)), ("cancelled", 2))


@unittest.skipUnless(installed("torch", "PIL"), "needs torch, NumPy and Pillow")
class Detectron2Detection(unittest.TestCase):
    def test_instances_become_detections_with_masks_and_a_picture(self):
        import torch
        from PIL import Image

        class Instances:
            pred_boxes = types.SimpleNamespace(tensor=torch.tensor([[10.0, 20, 30, 60], [0, 0, 5, 5], [1, 2, 3, 4]]))
            scores, pred_classes = torch.tensor([0.7, 0.95, 0.2]), torch.tensor([1, 0, 0])
            pred_masks = torch.zeros((3, 48, 64), dtype=torch.bool)

            def to(self, device):
                return self

            def has(self, name):
                return name == "pred_masks"

        Instances.pred_masks[0, 20:40, 10:12] = True
        Instances.pred_masks[1, 0, 0] = True
        seen = []

        class Predictor:
            def __init__(self, config):
                pass

            def __call__(self, bgr):
                seen.append((bgr.shape, bgr[0, 0].tolist()))
                return {"instances": Instances()}

        config = types.SimpleNamespace(merge_from_file=lambda file: None, MODEL=types.SimpleNamespace(ROI_HEADS=types.SimpleNamespace()), DATASETS=types.SimpleNamespace(TRAIN=["coco"]))
        zoo = module("detectron2.model_zoo", get_config_file=lambda name: name, get_checkpoint_url=lambda name: name)
        with Stand(detectron2=module("detectron2", model_zoo=zoo), detectron2__config=module("c", get_cfg=lambda: config), detectron2__engine=module("e", DefaultPredictor=Predictor),
                   detectron2__data=module("d", MetadataCatalog=types.SimpleNamespace(get=lambda name: {"thing_classes": ["cat", "dog"]}))):
            example = load("detectron2_detection")
        model = example.Detection()
        model.load(Context("m", "1", EXAMPLES, EXAMPLES / "detectron2_detection" / "1", lambda step, steps: None))
        model.load = lambda context: None
        data = io.BytesIO()
        Image.new("RGB", (64, 48), (255, 0, 10)).save(data, "PNG")
        with running(model) as sidecar, Worker(sidecar.path) as worker:
            answer = worker.ready().infer(0, {"image": raw("UINT8", [len(data.getvalue())], data.getvalue()), "parameters": raw("UINT8", [2], b"{}")})
            broken = worker.infer(0, {"image": raw("UINT8", [3], b"abc")})
        self.assertEqual(seen, [((48, 64, 3), [10, 0, 255])])
        result = json.loads(bytes(answer.tensors["result"].data))
        self.assertEqual((result["width"], result["height"]), (64, 48))
        self.assertEqual([(d["label"], d["classId"], d["score"], d["box"]) for d in result["detections"]],
                         [("cat", 0, 0.95, [0, 0, 5, 5]), ("dog", 1, 0.7, [10, 20, 20, 40])])
        self.assertEqual(result["detections"][0]["mask"], {"size": [48, 64], "counts": [0, 1, 48 * 64 - 1]})
        self.assertEqual(result["detections"][1]["mask"]["counts"], [10 * 48 + 20, 20, 28, 20, 8 + 52 * 48])
        self.assertEqual(Image.open(io.BytesIO(bytes(answer.tensors["annotated.jpg"].data))).size, (64, 48))
        self.assertEqual(broken.error["code"], "bad-input")


if __name__ == "__main__":
    unittest.main()
