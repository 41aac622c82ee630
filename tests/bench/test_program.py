"""Work read from compiled programs, and from functions as they are written, against what it must be."""

import itertools

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from jaxssl.bench import products, program
from jaxssl.errors import UserError


def ones(*sizes, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(sizes, dtype)


def compiled(function, *arguments):
    return program.flops(jax.jit(function).lower(*arguments).compile())


def traced(function, *arguments):
    return products.flops(products.products(function, *arguments))


@pytest.fixture(params=[compiled, traced], ids=["compiled", "traced"])
def flops(request):
    """The two counts: of the program that was compiled, and of the function as it is written."""
    return request.param


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(("m", "n", "k"), [(128, 32, 64), (7, 300, 11), (512, 256, 512)])
def test_a_matrix_product_takes_two_operations_for_each_of_m_n_k(flops, m, n, k, dtype):
    assert flops(jnp.matmul, ones(m, k, dtype=dtype), ones(k, n, dtype=dtype)) == 2 * m * n * k


def test_batched_and_contracted_over_several_axes(flops):
    assert flops(jnp.matmul, ones(4, 8, 16), ones(4, 16, 5)) == 2 * 4 * 8 * 16 * 5
    assert flops(lambda x, y: jnp.einsum("abcd,cdbe->eab", x, y), ones(3, 4, 5, 6), ones(5, 6, 4, 7)) == 2 * 2520


def layer(x, w):
    return jnp.tanh(x @ w)


ONE = 2 * 8 * 16 * 16
X, W, WS = ones(8, 16), ones(16, 16), ones(7, 16, 16)


def test_a_loop_counts_as_often_as_it_turns(flops):
    assert flops(layer, X, W) == ONE
    assert flops(lambda x, ws: lax.scan(lambda x, w: (layer(x, w), None), x, ws)[0], X, WS) == 7 * ONE
    assert flops(lambda x, ws: lax.map(lambda w: layer(x, w), ws), X, WS) == 7 * ONE
    assert flops(lambda x, w: lax.fori_loop(0, 5, lambda _, x: layer(x, w), x), X, W) == 5 * ONE


def test_a_loop_in_a_loop_and_gradients_through_them(flops):
    def thrice(x, w):
        return lax.fori_loop(0, 3, lambda _, x: layer(x, w), x)

    def nested(x, ws, turn=thrice):
        return lax.scan(lambda x, w: (turn(x, w), None), x, ws)[0].sum()

    assert flops(nested, X, WS) == 21 * ONE
    # Two products backward for each forward, and forward once more where it is made again.
    assert flops(jax.grad(nested, argnums=(0, 1)), X, WS) == 3 * 21 * ONE
    remade = jax.grad(lambda x, ws: nested(x, ws, jax.checkpoint(layer)), argnums=(0, 1))
    assert flops(remade, X, WS) == 4 * 7 * ONE


def test_of_a_conditional_the_dearest_branch_counts(flops):
    branches = [lambda x, w: x, layer, lambda x, w: layer(layer(x, w), w)]
    assert flops(lambda i, x, w: lax.switch(i, branches, x, w), ones(dtype=jnp.int32), X, W) == 2 * ONE


def test_a_loop_without_an_end_in_sight_is_refused_only_where_it_matters(flops):
    def until(body):
        return lambda x: lax.while_loop(lambda x: x.sum() < 9, body, x)

    with pytest.raises(UserError, match="number of turns"):
        flops(until(lambda x: layer(x, x)), W)
    assert flops(lambda x: until(lambda x: x + 1)(x) @ x, W) == 2 * 16**3


def convolution(stride, padding, groups=1, dilation=1):
    def convolve(image, kernel):
        return lax.conv_general_dilated(
            image, kernel, (stride, stride), padding, rhs_dilation=(dilation, dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups,
        )  # fmt: skip

    return convolve


def gradients(convolve):
    """The gradients with respect to image and kernel, each alone: the forward convolution falls away."""
    return [
        lambda image, kernel, pulled: jax.vjp(lambda i: convolve(i, kernel), image)[1](pulled),
        lambda image, kernel, pulled: jax.vjp(lambda k: convolve(image, k), kernel)[1](pulled),
    ]


def assert_counted(flops, convolve, image, kernel, wanted):
    made = jax.eval_shape(convolve, image, kernel)
    assert flops(convolve, image, kernel) == wanted
    for gradient in gradients(convolve):
        assert flops(gradient, image, kernel, made) == wanted


@pytest.mark.parametrize(("stride", "dilation", "groups"), [(1, 1, 1), (2, 1, 1), (3, 1, 1), (1, 2, 1), (2, 1, 2)])
def test_a_convolution_without_padding_and_its_two_gradients_follow_the_formula(flops, stride, dilation, groups):
    """2 B H' W' k^2 C_in C_out / groups, whatever zeros the gradients of a stride put between elements."""
    size, k, c_in, c_out = 17, 3, 4, 6
    out = (size - dilation * (k - 1) - 1) // stride + 1
    convolve = convolution(stride, "VALID", groups, dilation)
    wanted = 2 * 2 * out**2 * k**2 * c_in * c_out // groups
    assert_counted(flops, convolve, ones(2, size, size, c_in), ones(k, k, c_in // groups, c_out), wanted)


@pytest.mark.parametrize(("height", "width", "stride"), [(16, 12, 1), (16, 12, 2), (9, 14, 2)])
def test_products_with_padding_do_not_count(flops, height, width, stride):
    """Against the pairs of output and kernel places that meet a pixel, counted one by one."""

    def meetings(size):
        out = -(-size // stride)
        before = max((out - 1) * stride + 3 - size, 0) // 2
        return sum(0 <= o * stride + k - before < size for o, k in itertools.product(range(out), range(3)))

    wanted = 2 * 2 * 4 * 6 * meetings(height) * meetings(width)
    assert_counted(flops, convolution(stride, "SAME"), ones(2, height, width, 4), ones(3, 3, 4, 6), wanted)


def test_memory_is_that_of_the_arrays():
    compiled = jax.jit(lambda x, w: (x @ w, x)).lower(ones(64, 16), ones(16, 8)).compile()
    assert program.memory(compiled).argument == 4 * (64 * 16 + 16 * 8)
    table = program.memory(compiled).output - 4 * (64 * 8 + 64 * 16)
    assert 0 <= table <= 64, "beside the arrays only the addresses of the tuple"


ASYNCHRONOUS = """
HloModule m

ENTRY %main (p: f32[8,4]) -> f32[32,4] {
  %p = f32[8,4]{1,0:T(8,128)} parameter(0)
  %gather = (f32[8,4]{1,0:T(8,128)}, f32[32,4]{1,0:T(8,128)}) all-gather-start(%p), replica_groups=[1,4]<=[4]
  %sum = f32[8,4]{1,0:T(8,128)} all-reduce-start(%p), replica_groups={}, to_apply=%add
  %summed = f32[8,4]{1,0:T(8,128)} all-reduce-done(%sum)
  %move = (f32[8,4]{1,0}, f32[8,4]{1,0}, u32[], u32[]) collective-permute-start(%p), source_target_pairs={{0,1}}
  %moved = f32[8,4]{1,0} collective-permute-done(%move)
  ROOT %gathered = f32[32,4]{1,0:T(8,128)} all-gather-done(%gather)
}

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %c = f32[] add(%a, %b)
}
"""


def test_an_asynchronous_collective_counts_once_and_without_what_its_result_repeats():
    """The form that GPUs and TPUs have; written by hand, as a CPU never makes it."""
    assert program.work(ASYNCHRONOUS) == {
        ("count", "all-gather"): 1,
        ("bytes", "all-gather"): 32 * 4 * 4,
        ("count", "all-reduce"): 1,
        ("bytes", "all-reduce"): 8 * 4 * 4,
        ("count", "collective-permute"): 1,
        ("bytes", "collective-permute"): 8 * 4 * 4,
    }


def test_what_a_library_computes_is_refused_rather_than_left_out():
    hidden = ASYNCHRONOUS.replace("all-reduce-done(%sum)", 'custom-call(%sum), custom_call_target="__cublas$gemm"')
    with pytest.raises(UserError, match="__cublas"):
        program.work(hidden)


def test_the_least_time_is_that_of_the_arithmetic_or_of_the_memory():
    large, small = products.products(jnp.matmul, X, W), products.products(jnp.matmul, ones(1, 4), ones(4, 1))
    assert products.least_seconds(large, peak=1.0, bandwidth=1e9) == ONE
    assert products.least_seconds(large, peak=1e9, bandwidth=1.0) == 4 * (8 * 16 + 16 * 16 + 8 * 16)
    assert products.least_seconds([*large, *small], peak=2.0, bandwidth=4.0) == ONE / 2 + 9


def test_the_work_of_several_devices_is_counted_whole():
    """A function that is written for one of two devices is done by both; tracing needs none."""
    mesh = jax.sharding.AbstractMesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    each = jax.shard_map(layer, mesh=mesh, in_specs=(jax.P("data"), jax.P()), out_specs=jax.P("data"))
    with jax.sharding.use_abstract_mesh(mesh):
        assert traced(each, X, W) == ONE
