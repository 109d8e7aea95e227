"""Requests and answers of the Open Inference Protocol v2, from and to bytes. No I/O."""
from __future__ import annotations

import json
import struct
from typing import Any, Dict, List, NamedTuple, NoReturn, Optional, Tuple

from . import tensors
from .call import Output
from .errors import BadInput, Failed, SidecarError
from .model import Served
from .tensors import Tensor

MAX_TENSORS = 64
MAX_RANK = 8


class Unsupported(SidecarError):
    """Right in itself, but an extension that is not offered here."""

    code = "unsupported"


class Request(NamedTuple):
    id: Optional[str]
    inputs: Dict[str, Tensor]
    parameters: Dict[str, Any]
    outputs: Optional[Dict[str, Optional[bool]]]  # by name, whether binary; None: all
    binary: bool  # for those that do not say
    call: Optional[str]  # its name, for following its progress
    timeout: Optional[float]  # seconds


def read_json(data: memoryview, what: str) -> Dict[str, Any]:
    try:
        value = json.loads(str(data, "utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as fault:
        raise BadInput(f"{what} is no JSON: {fault}") from None
    if not isinstance(value, dict):
        raise BadInput(f"{what} is no JSON object")
    return value


def read_request(head: memoryview, binary: memoryview) -> Request:
    """``head`` is the JSON, ``binary`` the bytes after it, which the tensors then share."""
    value = read_json(head, "the request")
    request_id = value.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise BadInput("id is a text")
    parameters = dict(_object(value, "parameters"))
    all_binary = _flag(parameters.pop("binary_data_output", False), "parameters.binary_data_output")
    call = parameters.pop("myelin_call", None)
    if call is not None and not (isinstance(call, str) and 1 <= len(call) <= 128):
        raise BadInput("parameters.myelin_call is a name of 1 to 128 letters")
    timeout = parameters.get("timeout")
    if timeout is not None and (type(timeout) is not int or timeout < 0):
        raise BadInput("parameters.timeout is a number of microseconds")
    listed = value.get("inputs")
    if not isinstance(listed, list) or len(listed) > MAX_TENSORS:
        raise BadInput(f"inputs is a list of at most {MAX_TENSORS} tensors")
    inputs: Dict[str, Tensor] = {}
    at = 0
    for index, item in enumerate(listed):
        tensor, size = _read_input(item, f"inputs[{index}]", binary, at)
        at += size
        if tensor.name in inputs:
            raise BadInput(f"two inputs are named '{tensor.name}'")
        inputs[tensor.name] = tensor
    if at != len(binary):
        raise BadInput(f"the inputs announce {at} binary bytes, but {len(binary)} came")
    return Request(request_id, inputs, parameters, _read_outputs(value.get("outputs")), all_binary, call, timeout / 1e6 if timeout else None)


def _read_input(item: Any, where: str, binary: memoryview, at: int) -> Tuple[Tensor, int]:
    if not isinstance(item, dict):
        raise BadInput(f"{where} is no object")
    name, shape, type_name = item.get("name"), item.get("shape"), item.get("datatype")
    if not isinstance(name, str) or not name:
        raise BadInput(f"{where}.name is missing")
    kind = tensors.BY_NAME.get(type_name) if isinstance(type_name, str) else None
    if kind is None:
        raise BadInput(f"input '{name}': datatype is {type_name!r}, but must be one of {', '.join(tensors.BY_NAME)}")
    if not isinstance(shape, list) or len(shape) > MAX_RANK or not all(type(n) is int and 0 <= n <= tensors.MAX_DIMENSION for n in shape):
        raise BadInput(f"input '{name}': shape is a list of at most {MAX_RANK} whole numbers")
    count = tensors.elements(shape)
    if count < 0:
        raise BadInput(f"input '{name}': the shape {shape} has more elements than can be counted")
    parameters = _object(item, "parameters", where)
    if "shared_memory_region" in parameters:
        raise Unsupported("shared memory is not offered here; send the data, or use a unix: sidecar")
    size = parameters.get("binary_data_size")
    if size is None:
        return Tensor(name, kind, shape, _from_json(item.get("data"), kind, count, name)), 0
    if type(size) is not int or size < 0 or size > len(binary) - at:
        raise BadInput(f"input '{name}': binary_data_size is {size!r}, but {len(binary) - at} bytes are left")
    data = binary[at:at + size]
    if kind.size and size != count * kind.size:
        raise BadInput(f"input '{name}': {kind.name} {shape} has {count * kind.size} bytes, but binary_data_size is {size}")
    if not kind.size:
        tensors.check_bytes(data, count, name)
    if tensors.numpy is not None and kind.size > 1 and size:
        array = tensors.numpy.frombuffer(data, tensors.NUMPY_BY_CODE[kind.code])
        if not array.flags.aligned:  # an odd tensor came before it
            data = array.copy().view(tensors.numpy.uint8).data
    return Tensor(name, kind, shape, data), size


def _from_json(data: Any, kind: tensors.Datatype, count: int, name: str) -> memoryview:
    if data is None:
        raise BadInput(f"input '{name}' has neither data nor binary_data_size")
    flat = [data]
    while flat and isinstance(flat[0], list):  # row-major, nested or flat
        if not all(isinstance(row, list) for row in flat):
            raise BadInput(f"input '{name}': its data are nested unevenly")
        flat = [element for row in flat for element in row]
    if len(flat) != count:
        raise BadInput(f"input '{name}': its shape has {count} elements, but its data have {len(flat)}")
    if kind.name not in ("BOOL", "BYTES") and any(type(element) is bool for element in flat):
        raise BadInput(f"input '{name}': true and false are no {kind.name}")
    try:
        return tensors.pack(kind, flat)
    except (TypeError, OverflowError, struct.error, UnicodeEncodeError) as fault:
        raise BadInput(f"input '{name}': its data are no {kind.name}: {fault}") from None


def _read_outputs(listed: Any) -> Optional[Dict[str, Optional[bool]]]:
    if not listed and isinstance(listed, (list, type(None))):
        return None
    if not isinstance(listed, list) or len(listed) > MAX_TENSORS:
        raise BadInput(f"outputs is a list of at most {MAX_TENSORS}")
    outputs: Dict[str, Optional[bool]] = {}
    for index, item in enumerate(listed):
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise BadInput(f"outputs[{index}].name is missing")
        parameters = _object(item, "parameters", f"outputs[{index}]")
        if "shared_memory_region" in parameters or "classification" in parameters:
            raise Unsupported(f"outputs[{index}]: shared memory and classification are not offered here")
        binary = parameters.get("binary_data")
        outputs[item["name"]] = None if binary is None else _flag(binary, f"outputs[{index}].parameters.binary_data")
    return outputs


def raw_request(body: memoryview, model: Served) -> Request:
    """A body that is the one input, as bytes."""
    if len(model.inputs) != 1:
        raise BadInput(f"a raw request is for a model that declares one input; '{model.name}' declares {len(model.inputs)}")
    spec = model.inputs[0]
    if sum(n < 0 for n in spec.shape) > 1:
        raise BadInput(f"a raw request is for an input with at most one variable dimension; '{spec.name}' has {list(spec.shape)}")
    size = spec.kind.size
    fixed = tensors.elements([n for n in spec.shape if n >= 0])
    if not size:  # the body is one element
        count, body = 1, memoryview(struct.pack("<I", len(body)) + bytes(body))
    else:
        count = len(body) // size
    varies = any(n < 0 for n in spec.shape)
    if (size and len(body) % size) or (count != fixed if not varies else not fixed or count % fixed):
        raise BadInput(f"{len(body)} bytes are no {spec.kind.name} {list(spec.shape)}")
    shape = [count // fixed if n < 0 else n for n in spec.shape]
    return Request(None, {spec.name: Tensor(spec.name, spec.kind, shape, body)}, {}, None, True, None, None)


def choose(request: Request, outputs: List[Output]) -> List[Tuple[Output, bool]]:
    """What was asked for, and whether as bytes."""
    if request.outputs is None:
        return [(output, request.binary) for output in outputs]
    by_name = {output.name: output for output in outputs}
    chosen = []
    for name, binary in request.outputs.items():
        if name not in by_name:
            raise BadInput(f"there is no output '{name}'; there are {', '.join(by_name)}")
        chosen.append((by_name[name], request.binary if binary is None else binary))
    return chosen


def write_answer(model: Served, request: Request, chosen: List[Tuple[Output, bool]], elapsed: int) -> Tuple[bytes, List[memoryview]]:
    """The JSON, and the bytes that follow it."""
    listed: List[Dict[str, Any]] = []
    binary: List[memoryview] = []
    for (name, kind, shape, source, _), as_bytes in chosen:
        data = tensors.flat_bytes(source)
        item: Dict[str, Any] = {"name": name, "datatype": kind.name, "shape": list(shape)}
        if as_bytes:
            item["parameters"] = {"binary_data_size": len(data)}
            binary.append(data)
        else:
            item["data"] = _to_json(Tensor(name, kind, shape, data))
        listed.append(item)
    answer: Dict[str, Any] = {"model_name": model.name, "model_version": model.version}
    if request.id:
        answer["id"] = request.id
    answer["parameters"] = {"myelin_compute_ns": elapsed}
    answer["outputs"] = listed
    try:
        return json.dumps(answer, separators=(",", ":"), allow_nan=False).encode(), binary
    except ValueError:
        raise Failed("an output holds NaN or infinity, which JSON cannot carry; ask for it with binary_data") from None


def _to_json(tensor: Tensor) -> List[Any]:
    values = tensor.values()
    flat = values if isinstance(values, list) else values.tolist()
    if tensor.kind.name != "BYTES":
        return flat
    try:
        return [value.decode() for value in flat]
    except UnicodeDecodeError:
        raise Failed(f"output '{tensor.name}' holds bytes that are no text, which JSON cannot carry; ask for it with binary_data") from None


def describe(model: Served) -> Dict[str, Any]:
    """The model's metadata."""
    entry = model.describe()
    parameters: Dict[str, Any] = {"myelin_concurrency": model.concurrency, "myelin_progress": model.progress}
    if model.task is not None:
        parameters["myelin_task"] = model.task
    return {"name": model.name, "versions": [model.version], "platform": "myelin_python", "inputs": entry["inputs"], "outputs": entry["outputs"],
            "parameters": parameters}


def statistics(model: Served) -> Dict[str, Any]:
    """In Triton's form."""
    c = model.counters

    def of(count: int, ns: int) -> Dict[str, int]:
        return {"count": count, "ns": ns}

    return {"name": model.name, "version": model.version, "last_inference": c.last_ms, "inference_count": c.success, "execution_count": c.success,
            "inference_stats": {"success": of(c.success, c.queue_ns + c.compute_ns), "fail": of(c.failure, c.failure_ns), "cancel": of(c.cancel, 0),
                                "queue": of(c.success, c.queue_ns), "compute_input": of(c.success, 0), "compute_infer": of(c.success, c.compute_ns),
                                "compute_output": of(c.success, 0)}, "batch_stats": []}


def _object(value: Dict[str, Any], key: str, where: str = "") -> Dict[str, Any]:
    found = value.get(key)
    if found is not None and not isinstance(found, dict):
        raise BadInput(f"{where + '.' if where else ''}{key} is no object")
    return found or {}


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise BadInput(f"{where} is true or false")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
