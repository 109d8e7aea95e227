"""Serves a network written in Python to Myelin.

    from myelin_sidecar import Model, serve

    class Double(Model):
        inputs = [("x", "FP32", [-1])]
        outputs = [("y", "FP32", [-1])]

        def infer(self, call):
            return {"y": call["x"] * 2}

    serve(Double())

Transport and address come from ``MYELIN_SIDECAR_LISTEN`` or ``--listen``. See README.md.
"""
__version__ = "0.1.0"

from .call import Call, artifacts
from .errors import BadInput, Cancelled, DeadlineExceeded, Failed, OutOfMemory, SidecarError
from .model import Context, Model, TensorSpec, model
from .serve import serve
from .tensors import Tensor

__all__ = ["BadInput", "Call", "Cancelled", "Context", "DeadlineExceeded", "Failed", "Model", "OutOfMemory", "SidecarError", "Tensor",
           "TensorSpec", "artifacts", "model", "serve"]
