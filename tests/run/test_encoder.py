"""The encoder of a run, for arrays."""

import json
import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import nibabel
import numpy as np
import PIL.Image
import pytest
import samples

import jaxssl
from jaxssl import config
from jaxssl.data.grid import Layout
from jaxssl.data.store import write
from jaxssl.errors import UserError
from jaxssl.models.norm import Norm
from jaxssl.models.unet import UNet
from jaxssl.models.weights.files import write_file
from jaxssl.models.weights.native import to_native
from jaxssl.run.common import load_run
from jaxssl.run.encoder import Encoder
from jaxssl.workdir import existing

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 200, (5, 32, 24)).astype(np.uint8)


@pytest.fixture(scope="module")
def encoder(run):
    return jaxssl.load(run)


def test_images_are_embedded_by_the_trained_network_in_units_of_their_own(run, encoder):
    """Against the variables of the checkpoint, applied by hand."""
    loaded = load_run(existing(run), print)
    pixels = IMAGES.astype(np.float64)
    images = (pixels - pixels.mean((1, 2), keepdims=True)) / pixels.std((1, 2), keepdims=True)
    module = loaded.recipe.model.encoder(jnp.float32, 1)
    wanted = jax.jit(module.apply, static_argnames="train")(loaded.parts["encoder"], images[..., None], train=False)
    found = encoder(IMAGES)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted.embedding, rtol=1e-5, atol=1e-5)
    assert np.abs(found - found[:1]).max() > 1e-3
    for level in range(2):
        np.testing.assert_allclose(encoder.maps(IMAGES, level=level), wanted.maps[level], rtol=1e-4, atol=1e-4)
    assert (encoder.size, encoder.spacing, encoder.width, encoder.channels) == ((32, 24), 4.0, found.shape[1], 1)


def test_subjects_are_standardised_together(run, encoder, tmp_path):
    """As the store's own embedding has it, where its images are on the layout already."""
    records = [
        replace(record, image=image[..., None], plane=samples.plane(32, 24, (4.0, 4.0)), mask=None)
        for record, image in zip(samples.records(2, 2, 1), IMAGES, strict=False)
    ]
    subjects = [record.subject for record in records]
    store = write(records, tmp_path / "store", name="discs", description="Random (synthetic).", licence="none")
    with np.load(jaxssl.embed(run, store.path, tmp_path / "all.npz"), allow_pickle=False) as table:
        found = encoder(IMAGES, subjects=subjects)
        assert table["subject"].tolist() == subjects == ["s0", "s0", "s0", "s1", "s1"]
        np.testing.assert_allclose(found, table["embedding"], rtol=1e-5, atol=1e-5)
    assert np.abs(found - encoder(IMAGES)).max() > 1e-4


def nifti(slices, spacing, path):
    """A volume of slices [z, y, x] with pixels of (y, x) mm."""
    nibabel.Nifti1Image(slices.transpose(2, 1, 0), np.diag([-spacing[1], -spacing[0], 5, 1])).to_filename(path)
    return path


def embedded(run, source, tmp_path):
    with np.load(jaxssl.embed(run, source, tmp_path / "table.npz"), allow_pickle=False) as table:
        return table["embedding"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, ">u2", ">f4"])
def test_what_becomes_of_files_becomes_of_arrays_of_any_type(run, encoder, dtype, tmp_path):
    image = RNG.integers(0, 200, (1, 45, 70)).astype(dtype)
    wanted = embedded(run, nifti(image, (2.5, 3.5), tmp_path / "scan.nii.gz"), tmp_path)
    np.testing.assert_allclose(encoder(image, spacing=(2.5, 3.5)), wanted, rtol=1e-5, atol=1e-5)


def test_yes_and_no_are_rounded_as_a_file_of_them(run, encoder, tmp_path):
    image = RNG.random((45, 70)) > 0.5
    np.save(tmp_path / "scan.npy", image)
    wanted = embedded(run, tmp_path / "scan.npy", tmp_path)
    np.testing.assert_allclose(encoder(image[None], spacing=math.nan), wanted, rtol=1e-5, atol=1e-5)


def test_subjects_are_standardised_together_on_the_grid_of_training(run, encoder, tmp_path):
    """Interleaved, one of them with values below 0, as from two files."""
    (tmp_path / "scans").mkdir()
    images = RNG.normal(100, 60, (6, 45, 70)).astype(np.float32)
    images[1::2] -= 300
    for subject in (0, 1):
        nifti(images[subject::2], (2.5, 3.5), tmp_path / "scans" / f"{subject}.nii.gz")
    wanted = embedded(run, tmp_path / "scans", tmp_path)
    found = encoder(images, subjects=[0, 1] * 3, spacing=(2.5, 3.5))
    np.testing.assert_allclose(np.concatenate([found[::2], found[1::2]]), wanted, rtol=1e-5, atol=1e-5)
    assert np.abs(found - encoder(images, spacing=(2.5, 3.5))).max() > 1e-4


@pytest.mark.parametrize("spacing", [(2.5, 3.5), None])
def test_images_of_another_size_are_put_on_the_grid_of_training(run, encoder, spacing, tmp_path):
    """As `embed` does with files: a picture says no spacing, and is fitted in as a whole."""
    image = RNG.integers(0, 200, (45, 70)).astype(np.uint8)
    path = tmp_path / ("scan.nii.gz" if spacing else "scan.png")
    if spacing:
        nifti(image[None], spacing, path)
    else:
        PIL.Image.fromarray(image).save(path)
    wanted = embedded(run, path, tmp_path)
    found = encoder(image[None], spacing=spacing or math.nan)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(encoder(image[None].astype(jnp.bfloat16), spacing=spacing or math.nan), wanted, atol=0.2)
    below = image[None].astype(np.float32) - 1000
    assert np.abs(encoder(below, spacing=spacing or math.nan) - found).max() < 0.05 * np.abs(found).max()


def test_images_that_fit_stay_as_they_are_whatever_is_said(encoder):
    np.testing.assert_allclose(encoder(IMAGES, spacing=4.0), encoder(IMAGES), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(encoder(IMAGES, spacing=math.nan), encoder(IMAGES), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(encoder.maps(IMAGES, spacing=4.0), encoder.maps(IMAGES), rtol=1e-4, atol=1e-4)
    assert np.abs(encoder(IMAGES, spacing=(4.0, 2.0)) - encoder(IMAGES)).max() > 1e-3
    for wrong in (0.0, -1.0, math.inf, (math.nan, -1.0), (4.0, 4.0, 8.0), (), "one"):
        with pytest.raises(UserError, match="one positive size in mm"):
            encoder(IMAGES, spacing=wrong)


@pytest.mark.parametrize("dtype", [np.int16, np.float16, jnp.bfloat16, np.float32, np.float64, ">u2"])
def test_the_type_and_the_scale_of_images_are_of_no_account(encoder, dtype):
    wanted = encoder(IMAGES)
    np.testing.assert_allclose(encoder(IMAGES.astype(dtype)[..., None]), wanted, rtol=1e-5, atol=1e-5)
    far = IMAGES.astype(np.float64) * 1e-3 + 1e4
    np.testing.assert_allclose(encoder(far), wanted, rtol=1e-5, atol=1e-5)


def test_one_program_serves_any_number_of_images(run):
    encoder = jaxssl.load(run, batch=3)
    wanted = encoder(IMAGES)
    np.testing.assert_array_equal(encoder(IMAGES), wanted)
    np.testing.assert_array_equal(encoder(IMAGES[4:]), wanted[4:])
    np.testing.assert_array_equal(encoder(list(IMAGES[:4])), wanted[:4])
    assert encoder._program._cache_size() == 1
    np.testing.assert_allclose(jaxssl.load(run)(IMAGES), wanted, rtol=1e-5, atol=1e-5)


def test_an_image_of_one_value_is_embedded(encoder):
    flat = np.full((3, 32, 24), 0.1)
    flat[2] = 0
    found = encoder(flat)
    np.testing.assert_allclose(found, encoder(flat, subjects=["a", "a", "b"]), rtol=1e-6)
    np.testing.assert_allclose(found[0], found[2], rtol=1e-6)


def test_another_size_that_the_network_takes_will_do(encoder):
    assert encoder.maps(IMAGES[:, :16, :20]).shape == (5, 8, 10, encoder.width)


def broken(value):
    images = IMAGES.astype(np.float32)
    images[3, 1, 1] = value
    return images


@pytest.mark.parametrize(
    ("images", "subjects", "sentence"),
    [
        (IMAGES[0], None, r"takes images \[n, y, x, 1\] or \[n, y, x\], at least one of them, not \[32, 24\]"),
        ([IMAGES[0], IMAGES[0, 1:]], None, "bring them to one size first"),
        (IMAGES[:0], None, r"not \[0, 32, 24, 1\]"),
        (np.repeat(IMAGES[..., None], 3, -1), None, r"not \[5, 32, 24, 3\]"),
        (IMAGES.astype(np.complex64), None, "real numbers, not of complex64"),
        ([["a"]], None, "real numbers, not of <U1"),
        (broken(np.nan), None, "Image 3 has pixels that are not finite"),
        (broken(-np.inf), None, "Image 3 has pixels that are not finite"),
        (IMAGES[:, :31], None, "divisible by 2, not 31x24"),
        (IMAGES, ["a"] * 4, "5 images came with 4 subjects"),
    ],
)
def test_what_cannot_be_embedded_is_refused(encoder, images, subjects, sentence):
    with pytest.raises(UserError, match=sentence):
        encoder(images, subjects)


def test_an_encoder_of_colours_wants_colours():
    model = UNet(widths=(4, 8), norm=Norm())
    colours = RNG.normal(size=(2, 8, 8, 3))
    variables = model.encoder(jnp.float32, 1).init(jax.random.key(0), colours, train=False)
    encoder = Encoder(model, {"statistics": {}, **variables}, layout=Layout((8, 8), None), channels=3)
    assert encoder(colours).shape == (2, 8)
    with pytest.raises(UserError, match=r"takes images \[n, y, x, 3\], at"):
        encoder(colours[..., 0])


def test_an_exported_file_embeds_as_its_run(run, encoder, tmp_path):
    loaded = load_run(existing(run), print)
    recipe = json.dumps(config.to_dict(loaded.recipe))
    metadata = {"format": "jaxssl", "recipe": recipe, "channels": "1"}
    path = write_file(tmp_path / "model.safetensors", to_native(loaded.parts), metadata)
    for exported in (path, tmp_path):
        np.testing.assert_array_equal(jaxssl.load(exported)(IMAGES), encoder(IMAGES))
    assert jaxssl.load(path).spacing == encoder.spacing
    assert len(repr(encoder)) < 1000

    decoder = to_native({"decoder": loaded.parts["decoder"]})
    foreign = {"conv1.weight": np.ones((1, 1, 3, 3), np.float32)}
    for tensors, said in ((decoder, metadata), (to_native(loaded.parts), {}), (foreign, {**metadata, "recipe": "1"})):
        with pytest.raises(UserError, match="holds no encoder in jaxssl's own names"):
            jaxssl.load(write_file(tmp_path / "other.safetensors", tensors, said))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        jaxssl.load(path)


def test_what_is_no_run_is_refused(tmp_path, run):
    with pytest.raises(UserError, match="is no run folder"):
        jaxssl.load(tmp_path)
    with pytest.raises(UserError, match="at least one image, not 0"):
        jaxssl.load(run, batch=0)
