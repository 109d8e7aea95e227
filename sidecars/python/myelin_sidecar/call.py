"""One call as a model sees it, whichever transport brought it, and its way through turn, computing and answer."""
from __future__ import annotations

import json
import logging
import time
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from . import tensors
from .errors import BadInput, Cancelled, DeadlineExceeded, Failed, OutOfMemory, SidecarError, named
from .model import Served
from .tensors import Datatype, Tensor

log = logging.getLogger("myelin_sidecar")

Deadline = Optional[float]  # of time.monotonic()


class Output(NamedTuple):
    """One described output: ``source`` is an array or a memoryview of its bytes."""

    name: str
    kind: Datatype
    shape: Tuple[int, ...]
    source: Any
    size: int


class Call(Mapping[str, Any]):
    """``call["x"]`` is the input ``x``: a read-only NumPy array, or a :class:`Tensor` where NumPy is missing.

    Inputs may lie in memory that is shared with the worker: they are lent until ``infer`` returns; copy what is to be kept.
    """

    def __init__(self, model: Served, inputs: Dict[str, Tensor], parameters: Dict[str, Any], deadline: Deadline):
        self.model = model
        #: The JSON object of the request; empty where the caller gave none.
        self.parameters = parameters
        self.deadline = deadline
        self._inputs = inputs
        self._interrupt: Optional[str] = None  # why the call should stop
        self._queued = time.perf_counter_ns()
        self._left = False  # the model's turn was given on before the answer

    # ------------------------------------------------------------ what infer uses

    def __getitem__(self, name: str) -> Any:
        tensor = self.tensor(name)
        if tensors.numpy is None:
            return tensor
        try:
            return tensor.numpy()
        except ValueError as fault:
            raise BadInput(f"input '{name}' with the shape {list(tensor.shape)} is no array: {fault}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._inputs)

    def __len__(self) -> int:
        return len(self._inputs)

    def tensor(self, name: str) -> Tensor:
        """The input as it came, without NumPy."""
        found = self._inputs.get(name)
        if found is None:
            raise BadInput(f"the input '{name}' is missing" + (f"; there are {', '.join(self._inputs)}" if self._inputs else ""))
        return found

    def bytes(self, name: str) -> bytes:
        """A file that came as a UINT8 tensor. Copies."""
        return bytes(self.tensor(name).data)

    def json(self, name: str = "parameters") -> Dict[str, Any]:
        """A JSON object that came as a UINT8 tensor; ``{}`` where there is none. A task's parameters come this way."""
        if name not in self._inputs:
            return {}
        try:
            value = json.loads(self.bytes(name))
        except (ValueError, RecursionError) as fault:
            raise BadInput(f"tensor '{name}' is no JSON: {fault}") from None
        if not isinstance(value, dict):
            raise BadInput(f"tensor '{name}' is no JSON object")
        return value

    @property
    def cancelled(self) -> bool:
        """The caller does not wait any more (CANCEL, disconnect, deadline): stop as soon as possible."""
        return self._interrupt is not None or (self.deadline is not None and time.monotonic() >= self.deadline)

    def check(self) -> None:
        """Raises what ends the call where it is :attr:`cancelled`; call it in loops."""
        if self._interrupt is not None:
            raise Cancelled(self._interrupt)
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise DeadlineExceeded("the time that the caller waits is over")

    @property
    def remaining(self) -> Optional[float]:
        """Seconds that the caller still waits; None without limit."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def progress(self, step: int, steps: int, preview: Optional[bytes] = None) -> None:
        """Tells the caller how far the call is; ``preview`` is a small JPEG (at most 65,536 bytes, larger ones are left out)."""
        if preview is not None and len(preview) > 65_536:
            log.warning("a preview of %d bytes is left out; at most 65536 are sent", len(preview))
            preview = None
        self._send_progress(max(0, min(int(step), 2**32 - 1)), max(0, min(int(steps), 2**32 - 1)), bytes(preview or b""))

    def output(self, name: str, datatype: str, shape: Sequence[int]) -> Any:
        """An array (without NumPy: a :class:`Tensor`) to fill and to return, in memory that the worker reads without a copy
        where there is some. Its content is not cleared. It must not be touched after ``infer`` has returned."""
        kind = tensors.datatype(datatype)
        count = tensors.elements(shape)
        if not kind.size or count < 0:
            raise ValueError(f"output '{name}': {datatype} {list(shape)} cannot be reserved")
        tensor = Tensor(name, kind, shape, self._reserve(count * kind.size))
        return tensor if tensors.numpy is None else tensor.numpy()

    # ------------------------------------------------------------ what the servers use

    def interrupt(self, reason: str) -> None:
        """From any thread."""
        self._interrupt = reason

    def run(self) -> None:
        """Computes and answers. The caller of this holds a turn of the model."""
        begin = time.perf_counter_ns()
        queued = begin - self._queued
        try:
            self.check()
            outputs = self._describe(self.model.infer(self))
            elapsed = time.perf_counter_ns() - begin
            if self._interrupt is not None:
                raise Cancelled(self._interrupt)
            self._answer(outputs, elapsed)
            self.model.counters.succeeded(queued, elapsed)
        except BaseException as fault:  # also SystemExit of an author's code must not end a thread of ours
            self.end(fault, time.perf_counter_ns() - begin)

    def end(self, fault: BaseException, elapsed: int = 0) -> None:
        """Answers with what `fault` means."""
        error = named(fault)
        if self._interrupt is not None and not isinstance(error, Cancelled):
            error = Cancelled(self._interrupt)  # whatever it tripped over while it was being stopped
        elif not isinstance(fault, (SidecarError, MemoryError)):
            log.error("model '%s' failed", self.model.name, exc_info=fault)
        elif isinstance(fault, (Failed, OutOfMemory)):
            log.warning("model '%s': %s", self.model.name, fault)
        counters = self.model.counters
        counters.cancelled() if isinstance(error, Cancelled) else counters.failed(elapsed)
        self._fail(error)

    def _describe(self, returned: Any) -> List[Output]:
        model = self.model
        if type(returned) is not dict and not isinstance(returned, Mapping):
            if returned is None and not model.outputs:
                returned = {}
            elif len(model.outputs) == 1:
                returned = {model.outputs[0].name: returned}
            else:
                raise Failed(f"model '{model.name}' returned a {type(returned).__name__}; return a dict of outputs by name")
        if len(returned) > 64:
            raise Failed(f"model '{model.name}' returned {len(returned)} outputs; at most 64 can be sent")
        outputs = []
        for name, value in returned.items():
            declared = model.declared(name)
            try:
                kind, shape, source = tensors.describe(value, name, declared.kind.name if declared else None)
            except TypeError as fault:
                raise Failed(f"model '{model.name}': {fault}") from None
            model.check_output(name, kind, shape)
            if not isinstance(name, str) or not 1 <= len(name.encode()) <= 255 or len(shape) > 8:
                raise Failed(f"model '{model.name}' returned {name!r} {list(shape)}; a name has 1 to 255 bytes and a shape at most 8 dimensions")
            outputs.append(Output(name, kind, tuple(shape), source, tensors.nbytes(source)))
        model.check_complete(returned)
        return outputs

    # ------------------------------------------------------------ what a transport brings

    def _send_progress(self, step: int, steps: int, preview: bytes) -> None:
        raise NotImplementedError

    def _reserve(self, size: int) -> memoryview:
        return tensors.buffer(size)

    def _answer(self, outputs: List[Output], elapsed: int) -> None:
        raise NotImplementedError

    def _fail(self, error: SidecarError) -> None:
        raise NotImplementedError

    # Calls are mappings for reading, but two calls are never equal.
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def artifacts(files: Mapping[str, Union[bytes, bytearray, memoryview]], result: Optional[Mapping[str, Any]] = None) -> Dict[str, Tensor]:
    """The answer of a sidecar that does a whole task: its result as JSON and its files by name (``image-0.png``)."""
    kind = tensors.BY_NAME["UINT8"]
    outputs = {"result": memoryview(json.dumps(result or {}, allow_nan=False).encode())}
    outputs.update({name: memoryview(data).cast("B") for name, data in files.items()})
    return {name: Tensor(name, kind, [len(data)], data) for name, data in outputs.items()}
