"""Tensors, what models may return, and the messages that authors get."""
import array
import unittest

import worker  # noqa: F401

from myelin_sidecar import BadInput, Failed, Model, Tensor, model
from myelin_sidecar import tensors
from myelin_sidecar.call import Call
from myelin_sidecar.model import Context, Served


def described(returned, **attributes):
    """What a model's return value becomes: name → (datatype, shape, bytes)."""
    served = Served(model(lambda call: returned, **attributes), 0, Context.from_environment())
    outputs = Call(served, {}, {}, None)._describe(returned)
    return {o.name: (o.kind.name, list(o.shape), bytes(tensors.flat_bytes(o.source))) for o in outputs}


class Tensors(unittest.TestCase):
    def test_values_of_every_type_come_back(self):
        for kind in tensors.BY_NAME.values():
            values = {"BOOL": [True, False], "BYTES": [b"", b"\0\xff"], "FP16": [0.5, -2.0], "FP32": [0.5, -2.0], "FP64": [0.1, -2.0]}.get(
                kind.name, [0, 2 ** (8 * kind.size - 1) - 1])
            made = Tensor.of(kind.name, [2, 1], values)
            self.assertEqual(made.tolist(), [[values[0]], [values[1]]], kind.name)
            self.assertEqual(len(made.data), kind.size * 2 if kind.size else 10)

    def test_scalar_and_empty_shapes(self):
        self.assertEqual(Tensor.of("FP32", [], [3.0]).tolist(), 3.0)
        self.assertEqual(Tensor.of("FP32", [0, 2], []).tolist(), [])

    def test_values_out_of_range_are_refused(self):
        for kind, value in [("UINT8", 256), ("INT8", -129), ("UINT64", -1), ("INT32", 0.5), ("BOOL", 2), ("BYTES", 5), ("FP16", 1e6)]:
            with self.subTest(kind), self.assertRaises((OverflowError, TypeError, tensors.struct.error)):
                Tensor.of(kind, [1], [value])

    def test_count_and_shape_must_agree(self):
        with self.assertRaisesRegex(ValueError, "6 elements, but there are 5"):
            Tensor.of("FP32", [2, 3], [1, 2, 3, 4, 5])

    def test_broken_bytes_are_named(self):
        for data, count in [(b"\5\0\0\0abcd", 1), (b"\0\0\0\0", 2), (b"\0\0\0\0\0", 1), (b"\0\0", 1), (b"", 1)]:
            for function in (tensors.unpack_bytes, tensors.check_bytes):
                with self.subTest(data=data), self.assertRaisesRegex(BadInput, "tensor 'text'"):
                    function(memoryview(data), count, "text")

    def test_elements_are_counted_without_overflow(self):
        self.assertEqual(tensors.elements([]), 1)
        self.assertEqual(tensors.elements([2**31, 2**31]), 2**62)
        self.assertEqual(tensors.elements([2**32, 2**32]), -1)


class Outputs(unittest.TestCase):
    def test_buffers_lists_and_numbers_become_tensors(self):
        self.assertEqual(described({"y": b"ab"}), {"y": ("UINT8", [2], b"ab")})
        self.assertEqual(described({"y": array.array("h", [1, -1])}), {"y": ("INT16", [2], b"\1\0\xff\xff")})
        self.assertEqual(described({"y": Tensor.of("BOOL", [1, 2], [1, 0])}), {"y": ("BOOL", [1, 2], b"\1\0")})
        self.assertEqual(described({"y": [[1, 2], [3, 4]]}, outputs=[("y", "INT8", [-1, 2])]), {"y": ("INT8", [2, 2], b"\1\2\3\4")})
        self.assertEqual(described(["a", "ü"], outputs=[("y", "BYTES", [-1])]), {"y": ("BYTES", [2], b"\1\0\0\0a\2\0\0\0\xc3\xbc")})
        self.assertEqual(described(7, outputs=[("y", "INT16", [])]), {"y": ("INT16", [], b"\7\0")})
        self.assertEqual(described(None), {})
        self.assertEqual(described({"y": bytearray()}), {"y": ("UINT8", [0], b"")})

    def test_mistakes_of_an_author_are_explained(self):
        y = [("y", "FP32", [-1, 2])]
        cases = [
            ({"z": b"a"}, dict(outputs=y), "returned 'z', which it does not declare; its outputs are y"),
            ({"y": [1.0, 2.0]}, dict(outputs=y), r"returned 'y' as FP32 \[2\], but declares FP32 \[-1, 2\]"),
            ({"y": Tensor.of("FP64", [1, 2], [1, 2])}, dict(outputs=y), r"as FP64 \[1, 2\], but declares FP32 \[-1, 2\]; convert it with .astype\('float32'\)"),
            ({}, dict(outputs=y), "did not return 'y'"),
            ([[1.0]], {}, "returned a list; return a dict"),
            ({"y": [1.0]}, {}, "'y' is a list and its datatype is not declared"),
            ({"y": [[1.0, 2.0], [3.0]]}, dict(outputs=y), "rows differ"),
            ({"y": ["a", "b"]}, dict(outputs=[("y", "FP32", [-1])]), "values that are no FP32"),
            ({"y": object()}, {}, "'y' is a object"),
            ({"": b"a"}, {}, "1 to 255 bytes"),
            ({str(i): b"a" for i in range(65)}, {}, "at most 64"),
            ({"y": Tensor.of("FP32", [1] * 9, [1])}, {}, "at most 8 dimensions"),
        ]
        for returned, attributes, message in cases:
            with self.subTest(message), self.assertRaisesRegex((Failed, TypeError), message):
                described(returned, **attributes)

    def test_wrong_declarations_name_the_model(self):
        for attributes, message in [(dict(inputs=[("x", "FP31", [1])]), "no datatype 'FP31'"), (dict(inputs=["x"]), r'write \("x", "FP32"'),
                                    (dict(outputs=[("y", "FP32", [1]), ("y", "FP32", [1])]), "named differently"), (dict(concurrency=0), "1 to 1024")]:
            with self.subTest(message), self.assertRaisesRegex(ValueError, f"model '.*{message}"):
                Served(model(lambda call: None, **attributes), 0, Context.from_environment())
        with self.assertRaisesRegex(TypeError, "no attribute 'input'"):
            model(lambda call: None, input=[])

    def test_inputs_are_checked_against_the_contract(self):
        served = Served(model(lambda call: None, name="m", inputs=[("x", "FP32", [-1, 3]), ("k", "INT64", [1])]), 0, Context.from_environment())
        fp32, int64 = tensors.BY_NAME["FP32"], tensors.BY_NAME["INT64"]
        served.check_inputs([("k", int64, (1,)), ("x", fp32, (5, 3))])
        for given, message in [([("x", fp32, (5, 3))], "misses the input 'k', INT64"), ([("x", fp32, (5, 4)), ("k", int64, (1,))], r"input 'x' is FP32 \[5, 4\], but"),
                               ([("x", int64, (5, 3)), ("k", int64, (1,))], "input 'x' is INT64"), ([("z", fp32, (1,))], "no input 'z'; it takes x, k")]:
            with self.subTest(message), self.assertRaisesRegex(BadInput, message):
                served.check_inputs(given)


@unittest.skipIf(tensors.numpy is None, "NumPy is not installed")
class Numpy(unittest.TestCase):
    def test_arrays_share_the_memory(self):
        numpy = tensors.numpy
        memory = memoryview(bytearray(64))
        tensor = Tensor("x", tensors.BY_NAME["FP32"], (2, 8), memory)
        view = tensor.numpy()
        memory[0:4] = b"\0\0\x80\x3f"
        self.assertEqual((view.shape, view.dtype, view[0, 0]), ((2, 8), numpy.dtype("float32"), 1.0))

    def test_arrays_of_every_kind_are_described(self):
        numpy = tensors.numpy
        for kind, dtype in zip(tensors.BY_NAME, tensors.NUMPY_BY_CODE[1:]):
            value = numpy.ones((2, 3), dtype)
            self.assertEqual(described({"y": value}), {"y": (kind, [2, 3], value.tobytes())})
        strided, swapped = numpy.arange(12, dtype="i4").reshape(3, 4).T[::2], numpy.arange(3, dtype=">f8")
        self.assertEqual(described({"y": strided})["y"], ("INT32", [2, 3], strided.tobytes()))
        self.assertEqual(described({"y": swapped})["y"], ("FP64", [3], swapped.astype("<f8").tobytes()))
        self.assertEqual(described({"y": numpy.array(["a", "bc"])})["y"], ("BYTES", [2], b"\1\0\0\0a\2\0\0\0bc"))
        self.assertEqual(described({"y": numpy.float32(1)})["y"], ("FP32", [], b"\0\0\x80\x3f"))
        self.assertEqual(described({"y": numpy.zeros((0, 3), "f4")})["y"], ("FP32", [0, 3], b""))
        with self.assertRaisesRegex(Failed, "array of complex128.*astype"):
            described({"y": numpy.zeros(1, complex)})

    def test_copy_into_takes_strided_and_swapped_arrays(self):
        numpy = tensors.numpy
        source = numpy.arange(24, dtype=">f4").reshape(2, 3, 4).transpose(2, 0, 1)
        target = memoryview(bytearray(96))
        tensors.copy_into(target, source)
        self.assertEqual(bytes(target), source.astype("<f4").tobytes())

    def test_bytes_become_objects(self):
        self.assertEqual(Tensor.of("BYTES", [2], ["a", b"\xff"]).numpy().tolist(), [b"a", b"\xff"])


class Base(unittest.TestCase):
    def test_a_model_without_infer_says_so(self):
        with self.assertRaises(NotImplementedError):
            Model().infer(None)


if __name__ == "__main__":
    unittest.main()
