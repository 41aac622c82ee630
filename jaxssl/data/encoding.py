"""A record as a line of bytes, a tf.Example that tensorflow-datasets reads without TensorFlow, and back."""

import functools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import example_serializer

from jaxssl.data.record import Record
from jaxssl.geometry import Plane

TEXTS = ("subject", "study", "view", "moment")
NUMBERS = ("slice", "slices", "phase", "phases")
AXES = ("origin", "x_axis", "y_axis", "spacing")


class Codec:
    """Records whose images have one depth and so many channels; equal records give equal bytes."""

    def __init__(self, dtype: np.dtype, channels: int):
        self.features: Any = tfds.features.FeaturesDict(_features(dtype, channels))
        self._serializer = example_serializer.ExampleSerializer(self.features.get_serialized_info())

    def line(self, record: Record) -> bytes:
        """The record as bytes."""
        example = self._serializer.get_tf_example(self.features.encode_example(_encode(record)))
        return example.SerializeToString(deterministic=True)

    def record(self, line: bytes) -> Record:
        """The record that a line was made of."""
        return decode(self.features.deserialize_example_np(line))


def decode(example: Mapping[str, Any]) -> Record:
    """An example, as tfds reads it from a store, as a record."""
    image, fields = example["image"], {}
    fields |= {key: example[key].decode() for key in TEXTS}
    fields |= {key: int(example[key]) for key in NUMBERS}
    return Record(
        **fields,
        image=image,
        plane=Plane(**example["plane"], shape=np.asarray(image.shape[:2])),
        thickness=float(example["thickness"]),
        mask=example["mask"] if example["has_mask"] else None,
        labels=json.loads(example["labels"]),
        ordered=bool(example["ordered"]),
    )


def _features(dtype: np.dtype, channels: int) -> dict[str, Any]:
    """Everything but image and mask is small; bytes keep float64 exact, where tf.Example floats are float32."""

    def exact(*shape: int) -> Any:
        return tfds.features.Tensor(shape=shape, dtype=np.float64, encoding="bytes")

    text, integer = tfds.features.Text, functools.partial(tfds.features.Scalar, np.int32)
    return {
        "image": tfds.features.Tensor(shape=(None, None, channels), dtype=dtype, encoding="bytes"),
        "mask": tfds.features.Tensor(shape=(None, None), dtype=np.uint8, encoding="bytes"),
        "has_mask": tfds.features.Scalar(np.bool_),
        "ordered": tfds.features.Scalar(np.bool_),
        **{key: text() for key in TEXTS},
        **{key: integer() for key in NUMBERS},
        "plane": {"origin": exact(3), "x_axis": exact(3), "y_axis": exact(3), "spacing": exact(2)},
        "thickness": exact(),
        "labels": text(doc="JSON object of label name to class"),
    }


def _encode(record: Record) -> dict[str, Any]:
    """`record` as tfds takes it; an absent mask becomes zeros beside `has_mask`, which compress to nothing."""
    return {
        **{key: getattr(record, key) for key in (*TEXTS, *NUMBERS)},
        "image": record.image,
        "mask": np.zeros(record.image.shape[:2], np.uint8) if record.mask is None else record.mask,
        "has_mask": record.mask is not None,
        "ordered": record.ordered,
        "plane": {key: np.asarray(getattr(record.plane, key), np.float64) for key in AXES},
        "thickness": np.asarray(record.thickness, np.float64),
        "labels": json.dumps(dict(record.labels), sort_keys=True),
    }
