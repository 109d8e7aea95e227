"""What an author writes: a class with ``infer`` (and ``load``), or a function; and what the servers make of it."""
from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

from .errors import BadInput, Failed
from .tensors import Datatype, datatype
from .turns import Counters, Turns


class TensorSpec(NamedTuple):
    """One input or output: ``TensorSpec("x", "FP32", [-1, 3, 640, 640])``; −1 is a dimension that varies."""

    name: str
    datatype: str
    shape: Sequence[int]


Spec = Union[TensorSpec, Tuple[str, str, Sequence[int]]]


@dataclass(frozen=True)
class Context:
    """Where a sidecar runs, as the supervisor says; the current folder and ``model`` where it was started by hand."""

    model_name: str
    revision: str
    model_folder: Path
    revision_folder: Path
    progress: Callable[[int, int], None]  # step, steps: how far loading has come

    @staticmethod
    def from_environment(progress: Callable[[int, int], None] = lambda step, steps: None) -> "Context":
        folder = Path(os.environ.get("MYELIN_MODEL_FOLDER") or os.getcwd())
        revision = os.environ.get("MYELIN_MODEL_REVISION") or "1"
        weights = Path(os.environ.get("MYELIN_REVISION_FOLDER") or folder / revision)
        return Context(os.environ.get("MYELIN_MODEL_NAME") or "model", revision, folder, weights if weights.is_dir() else folder, progress)


class Model:
    """Base class for models; deriving from it is optional, any object with ``infer(call)`` serves.

    All attributes may be set in ``load``: they are read when it has returned.
    """

    name: Optional[str] = None  # default: MYELIN_MODEL_NAME, or "model"
    version: str = "1"
    task: Optional[str] = None  # such as "text-to-image", where the sidecar does the whole task
    concurrency: int = 1  # calls of infer at the same time, on different threads
    progress: bool = True
    cancel: bool = True
    inputs: Sequence[Spec] = ()  # empty: anything
    outputs: Sequence[Spec] = ()

    def load(self, context: Context) -> None:
        """Called once, before the first call, not on the main thread. An exception ends the sidecar and is shown to people."""

    def infer(self, call: Any) -> Any:
        """One call: reads ``call[name]``, returns a dict of outputs by name (or one output where one is declared)."""
        raise NotImplementedError


class _Function(Model):
    def __init__(self, function: Callable[[Any], Any], attributes: Dict[str, Any]):
        self.infer = function  # type: ignore[method-assign]
        for key, value in attributes.items():
            if not hasattr(Model, key):
                raise TypeError(f"a model has no attribute '{key}'")
            setattr(self, key, value)


def model(function: Optional[Callable[[Any], Any]] = None, **attributes: Any) -> Any:
    """Makes a model of a function: ``@model(name="double", inputs=[("x", "FP32", [-1])])``."""
    if function is not None:
        return _Function(function, attributes)
    return lambda decorated: _Function(decorated, attributes)


class Checked(NamedTuple):
    name: str
    kind: Datatype
    shape: Tuple[int, ...]

    def fits(self, kind: Datatype, shape: Sequence[int]) -> bool:
        return kind is self.kind and len(shape) == len(self.shape) and all(d < 0 or d == n for d, n in zip(self.shape, shape))

    def __str__(self) -> str:
        return f"{self.kind.name} {list(self.shape)}"


class Served:
    """A model after its ``load``, with its contract checked."""

    def __init__(self, author: Any, index: int, context: Context):
        get = lambda key: getattr(author, key, getattr(Model, key))  # noqa: E731
        self.author = author
        self.infer: Callable[[Any], Any] = author.infer
        self.index = index
        self.name = str(get("name") or context.model_name)
        self.version = str(get("version"))
        self.task: Optional[str] = get("task")
        self.concurrency = int(get("concurrency"))
        self.progress = bool(get("progress"))
        self.cancel = bool(get("cancel"))
        self.inputs = _checked(self.name, "inputs", get("inputs"))
        self.outputs = _checked(self.name, "outputs", get("outputs"))
        self._inputs = {spec.name: spec for spec in self.inputs}
        self._outputs = {spec.name: spec for spec in self.outputs}
        if not 1 <= self.concurrency <= 1024:
            raise ValueError(f"model '{self.name}': concurrency is {self.concurrency}, but must be 1 to 1024")
        self.turns = Turns(self.concurrency)
        self.counters = Counters()

    def check_inputs(self, given: Sequence[Tuple[str, Datatype, Sequence[int]]]) -> None:
        """:class:`BadInput` names the tensor and the cure."""
        if not self._inputs:
            return
        count = 0
        for name, kind, shape in given:
            spec = self._inputs.get(name)
            if spec is None:
                raise BadInput(f"model '{self.name}' has no input '{name}'; it takes {', '.join(self._inputs)}")
            if not spec.fits(kind, shape):
                raise BadInput(f"input '{name}' is {kind.name} {list(shape)}, but model '{self.name}' takes {spec}")
            count += 1
        if count < len(self._inputs):
            missing = [name for name in self._inputs if name not in {g[0] for g in given}]
            raise BadInput(f"model '{self.name}' misses the input '{missing[0]}', {self._inputs[missing[0]]}")

    def declared(self, name: str) -> Optional[Checked]:
        return self._outputs.get(name)

    def check_output(self, name: str, kind: Datatype, shape: Sequence[int]) -> None:
        """:class:`Failed` tells the model's author what to mend."""
        spec = self._outputs.get(name)
        if self._outputs and spec is None:
            raise Failed(f"model '{self.name}' returned '{name}', which it does not declare; its outputs are {', '.join(self._outputs)}")
        if spec is not None and not spec.fits(kind, shape):
            cure = f"; convert it with .astype('{_numpy_name(spec.kind)}')" if kind is not spec.kind and spec.kind.size else ""
            raise Failed(f"model '{self.name}' returned '{name}' as {kind.name} {list(shape)}, but declares {spec}{cure}")

    def check_complete(self, names: Any) -> None:
        for name in self._outputs:
            if name not in names:
                raise Failed(f"model '{self.name}' did not return '{name}', which it declares")

    def describe(self) -> Dict[str, Any]:
        """Its entry in READY."""
        def tensors(specs: List[Checked]) -> List[Dict[str, Any]]:
            return [{"name": s.name, "datatype": s.kind.name, "shape": list(s.shape)} for s in specs]
        return {"name": self.name, "version": self.version, "task": self.task, "concurrency": self.concurrency, "progress": self.progress,
                "cancel": self.cancel, "inputs": tensors(self.inputs), "outputs": tensors(self.outputs)}


def _numpy_name(kind: Datatype) -> str:
    return {"FP16": "float16", "FP32": "float32", "FP64": "float64", "BOOL": "bool"}.get(kind.name, kind.name.lower())


def _checked(name: str, key: str, specs: Iterable[Any]) -> List[Checked]:
    checked = []
    for spec in specs:
        try:
            tensor, type_name, shape = spec
            checked.append(Checked(str(tensor), datatype(type_name), tuple(int(n) for n in shape)))
        except (TypeError, ValueError) as fault:
            raise ValueError(f"model '{name}': {key} holds {spec!r}; write (\"x\", \"FP32\", [-1, 3]): {fault}") from None
        if not 1 <= len(checked[-1].name.encode()) <= 255 or len(checked[-1].shape) > 8:
            raise ValueError(f"model '{name}': {key} holds {spec!r}; a name has 1 to 255 bytes and a shape at most 8 dimensions")
    if len({c.name for c in checked}) != len(checked) or len(checked) > 64:
        raise ValueError(f"model '{name}': {key} are at most 64 and named differently")
    return checked
