"""Detection with Detectron2: a whole task in a sidecar, from the encoded picture to boxes, masks and an annotated picture."""
import io
import json

import numpy as np
import torch
from detectron2 import model_zoo
from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog
from detectron2.engine import DefaultPredictor
from PIL import Image, ImageDraw, ImageOps

from myelin_sidecar import BadInput, Model, artifacts, serve


def rle(mask):
    """A mask [h, w] as COCO writes it: lengths of runs down the columns, zeros first."""
    flat = np.asarray(mask, bool).ravel(order="F")
    ends = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], ends, [flat.size]])).tolist()
    return {"size": list(mask.shape), "counts": ([0] if flat.size and flat[0] else []) + runs}


class Detection(Model):
    task = "object-detection"

    def load(self, context):
        settings = json.loads((context.revision_folder / "detectron2.json").read_text())
        config = get_cfg()
        config.merge_from_file(model_zoo.get_config_file(settings["config"]))
        weights = context.revision_folder / settings["weights"]
        config.MODEL.WEIGHTS = str(weights) if weights.exists() else model_zoo.get_checkpoint_url(settings["config"])
        config.MODEL.DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
        config.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.05  # callers cut at a higher one
        self.predictor = DefaultPredictor(config)
        self.labels = MetadataCatalog.get(config.DATASETS.TRAIN[0]).get("thing_classes", [])

    def infer(self, call):
        given = call.json()
        try:
            picture = ImageOps.exif_transpose(Image.open(io.BytesIO(call.bytes("image")))).convert("RGB")
        except (OSError, ValueError, Image.DecompressionBombError) as fault:
            raise BadInput(f"input.image cannot be decoded: {fault}") from None
        found = self.predictor(np.asarray(picture)[:, :, ::-1].copy())["instances"].to("cpu")  # BGR, as Detectron2 trains
        call.check()
        detections = self.describe(found, float(given.get("threshold", 0.5)))
        result = {"width": picture.width, "height": picture.height, "detections": detections}
        return artifacts({"annotated.jpg": self.draw(picture, detections)} if given.get("annotate", True) else {}, result)

    def describe(self, found, threshold):
        detections = []
        for i, (box, score, kind) in enumerate(zip(found.pred_boxes.tensor.tolist(), found.scores.tolist(), found.pred_classes.tolist())):
            if score < threshold:
                continue
            x1, y1, x2, y2 = box
            label = self.labels[kind] if kind < len(self.labels) else str(kind)
            detections.append({"label": label, "classId": kind, "score": round(score, 4), "box": [x1, y1, x2 - x1, y2 - y1]})
            if found.has("pred_masks"):
                detections[-1]["mask"] = rle(found.pred_masks[i].numpy())
        return sorted(detections, key=lambda d: -d["score"])

    @staticmethod
    def draw(picture, detections):
        picture = picture.copy()
        pen = ImageDraw.Draw(picture)
        for d in detections:
            x, y, w, h = d["box"]
            pen.rectangle([x, y, x + w, y + h], outline=(255, 64, 64), width=3)
            pen.text((x + 4, y + 2), f"{d['label']} {d['score']:.0%}", fill=(255, 64, 64))
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=90)
        return data.getvalue()


if __name__ == "__main__":
    serve(Detection())
