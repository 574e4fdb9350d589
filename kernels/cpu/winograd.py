"""Winograd's convolution F(4×4, 3×3): 36 multiplications where 16 outputs of a 3×3 kernel take 144.

In one dimension, four outputs of a kernel g of 3 weights depend on six inputs d:

    y = Aᵀ · ( (G g) ⊙ (Bᵀ d) )        G (6, 3)   Bᵀ (6, 6)   Aᵀ (4, 6)

6 multiplications instead of 12. Why: the outputs are coefficients of a product of polynomials, which is known
from its values at enough points. G and Bᵀ evaluate at 0, 1, -1, 2, -2 and ∞, ⊙ multiplies the values, and Aᵀ
interpolates. In two dimensions each of the three acts on rows and on columns, and products are summed over
the channels c before the last step:

    y = Aᵀ · ( Σ_c U_c ⊙ V_c ) · A        U = G g Gᵀ,   V = Bᵀ d B,   both 6 × 6

For each of these 36 places q the sum is a matrix product of T tiles × C channels and C channels × F filters:

    forward    M[q] (T, F) = V[q] (T, C) · U[q] (C, F)

All this is linear in g, so the gradient is the same steps transposed:

    D = A · dy · Aᵀ        dU[q] (C, F) = V[q]ᵀ · D[q]        ∂L/∂g = Gᵀ · dU · G

and ∂L/∂d is the forward of dy, with the kernel rotated by 180° and its channels and filters swapped.

The price is accuracy: factors up to 8 make what is added up larger than the result. Each output is within

    (C + ROUNDINGS) · ε · |Aᵀ| ( Σ_c |G||g||Gᵀ| ⊙ |Bᵀ||d||B| ) |A|        ε = 2⁻²³ in float32

of the exact one. For normally distributed x and W that is far off; measured there, the largest error is below
250 ε of the largest output, where the direct sum has 20 ε. (Lavin & Gray, "Fast algorithms for convolutional
neural networks", 2016; as polynomials: Winograd, 1980; errors: Barabasz et al., 2020.)

Vectors run along channels or filters, which must be multiples of `CHANNEL_MULTIPLE`. Images are copied into
scratch whose sides fit whole tiles, with zeros around them, so no tile meets a border.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tinynet.kernels.cpu.brgemm import product_tile
from tinynet.kernels.cpu.direct import copy_into
from tinynet.kernels.cpu.jit import jit
from tinynet.kernels.cpu.numba_private import cgutils

KERNEL = 3
"""Rows and columns of a kernel."""
TILE = 4
"""Rows and columns of output in a tile; two more of input."""
SIDE = TILE + 2
PLACES = SIDE * SIDE
"""Values of a transformed tile; each place q has a matrix product of its own."""
CHANNEL_MULTIPLE = 16
"""Channels and filters must be multiples of this: whole vectors."""
ROUNDINGS = 30
"""Rounding errors of a value in the three transformations, at most: sums of up to 6 terms, 6 times."""

BT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
AT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])


def transform(matrix):
    """A function y = matrix · x · matrixᵀ of a tile of vectors, by vector instructions.

    function(lanes, x, x0, x_steps, y, y0, y_steps): x and y are flat; the vectors of the tile's first corner
    begin at x0 and y0, one row or column further at steps[0] or steps[1] more. A tuple's length: `lanes`.
    """

    def definition(lanes, x, x0, x_steps, y, y0, y_steps):
        def places(first, steps, side):
            return np.add.outer(
                first + np.add.outer(np.arange(side) * steps[0], np.arange(side) * steps[1]),
                np.arange(len(lanes)),
            )

        tile = x[places(x0, x_steps, matrix.shape[1])]
        y[places(y0, y_steps, matrix.shape[0])] = np.einsum("ia,abv,jb->ijv", matrix, tile, matrix)

    @intrinsic
    def in_registers(context, lanes, x, x0, x_steps, y, y0, y_steps):
        signature = types.void(lanes, x, types.intp, x_steps, y, types.intp, y_steps)

        def generate(context, builder, signature, arguments):
            number = context.get_value_type(signature.args[1].dtype)
            vector = ir.VectorType(number, lanes.count)
            align = 4 if isinstance(number, ir.FloatType) else 8
            name = f"llvm.fma.v{lanes.count}f{8 * align}"
            fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)

            def place(position, row, column):
                first, steps = arguments[position + 1], cgutils.unpack_tuple(builder, arguments[position + 2])
                for step, count in zip(steps, (row, column), strict=True):
                    first = builder.add(first, builder.mul(step, ir.Constant(step.type, count)))
                array = context.make_array(signature.args[position])(context, builder, arguments[position])
                return builder.bitcast(builder.gep(array.data, [first]), vector.as_pointer())

            def load(*where):
                value = builder.load(place(*where))
                value.align = align
                return value

            def combine(row, values):
                """Σ row[i] · values[i]."""
                total = None
                for factor, value in sorted(
                    zip(row, values, strict=True), key=lambda pair: abs(pair[0]) != 1
                ):
                    if factor == 0:
                        continue
                    if total is None and factor == 1:
                        total = value
                    elif abs(factor) == 1:
                        step = builder.fadd if factor > 0 else builder.fsub
                        total = step(total or ir.Constant(vector, [0.0] * lanes.count), value)
                    else:
                        spread = ir.Constant(vector, [float(factor)] * lanes.count)
                        total = (
                            builder.call(fma, [spread, value, total])
                            if total
                            else builder.fmul(spread, value)
                        )
                return total

            rows, columns = matrix.shape
            half = [
                [combine(row, [load(1, i, j) for i in range(columns)]) for row in matrix]
                for j in range(columns)
            ]
            for i in range(rows):
                line = [half[j][i] for j in range(columns)]
                for j in range(rows):
                    builder.store(combine(matrix[j], line), place(4, i, j)).align = align
            return context.get_dummy_value()

        return signature, generate

    return definition if numba.config.DISABLE_JIT else in_registers


evaluate_input, evaluate_kernel, interpolate_output = transform(BT), transform(G), transform(AT)
evaluate_output_gradient, interpolate_kernel = transform(AT.T), transform(G.T)


# --- kernels ------------------------------------------------------------------------------------------------


@jit
def rotate_kernel(start, stop, W, rotated):
    """Filters [start, stop) of rotated (3, 3, F, C): W (3, 3, C, F) rotated by 180°, with C and F swapped."""
    C = W.shape[2]
    for i in range(KERNEL):
        for j in range(KERNEL):
            for first in range(0, C, CHANNEL_MULTIPLE):  # 16 values share a cache line
                for f in range(start, stop):
                    for c in range(first, first + CHANNEL_MULTIPLE):
                        rotated[i, j, f, c] = W[KERNEL - 1 - i, KERNEL - 1 - j, c, f]


@jit
def transform_kernel(start, stop, W, U, width, lanes):
    """U (36, ≥ panels·C·width) = G g Gᵀ of W (3, 3, C, F), panels of filters, for channels [start, stop)."""
    _, _, C, F = W.shape
    flat_W, flat_U = W.reshape(-1), U.reshape(-1)
    step = U.shape[1]
    for c in range(start, stop):
        for panel in range((F + width - 1) // width):
            for v in range(0, min(width, F - panel * width), len(lanes)):
                evaluate_kernel(
                    lanes, flat_W, c * F + panel * width + v, (KERNEL * C * F, C * F),
                    flat_U, (panel * C + c) * width + v, (SIDE * step, step),
                )  # fmt: skip


@jit
def transform_kernel_gradient(start, stop, dU, dW, lanes):
    """dW (3, 3, C, F) = Gᵀ · dU · G of dU (36, ≥ C·F) for channels [start, stop)."""
    _, _, C, F = dW.shape
    flat_dU, flat_dW = dU.reshape(-1), dW.reshape(-1)
    step = dU.shape[1]
    for at in range(start * F, stop * F, len(lanes)):
        interpolate_kernel(lanes, flat_dU, at, (SIDE * step, step), flat_dW, at, (KERNEL * C * F, C * F))


@jit
def transform_input(image, V, first, lanes):
    """V[:, first:] (36, T, C) = Bᵀ d B of every tile of image (4·rows + 2, (4·columns + 2)·C)."""
    _, T, C = V.shape
    height, line = image.shape
    rows, columns = height // TILE, line // C // TILE
    flat_x, flat_V = image.reshape(-1), V.reshape(-1)
    for i in range(rows):
        for j in range(columns):
            source, target = TILE * (i * line + j * C), (first + i * columns + j) * C
            for c in range(0, C, len(lanes)):
                evaluate_input(
                    lanes, flat_x, source + c, (line, C), flat_V, target + c, (SIDE * T * C, T * C)
                )


@jit
def transform_output_gradient(image, D, first, lanes):
    """D[:, first:] (36, T, F) = A · dy · Aᵀ of every tile of image (4·rows, 4·columns·F)."""
    _, T, F = D.shape
    height, line = image.shape
    rows, columns = height // TILE, line // F // TILE
    flat_dy, flat_D = image.reshape(-1), D.reshape(-1)
    for i in range(rows):
        for j in range(columns):
            source, target = TILE * (i * line + j * F), (first + i * columns + j) * F
            for f in range(0, F, len(lanes)):
                evaluate_output_gradient(
                    lanes, flat_dy, source + f, (line, F), flat_D, target + f, (SIDE * T * F, T * F)
                )


@jit
def transform_output(M, first, image, lanes):
    """Every tile of image (4·rows, 4·columns·F) = Aᵀ M A of M[:, first:] (36, T, F)."""
    _, T, F = M.shape
    height, line = image.shape
    rows, columns = height // TILE, line // F // TILE
    flat_M, flat_y = M.reshape(-1), image.reshape(-1)
    for i in range(rows):
        for j in range(columns):
            source, target = (first + i * columns + j) * F, TILE * (i * line + j * F)
            for f in range(0, F, len(lanes)):
                interpolate_output(
                    lanes, flat_M, source + f, (SIDE * T * F, T * F), flat_y, target + f, (line, F)
                )


@jit
def forward(start, stop, slot, V, M, padded, out, x, corner, U, width, bias, floor, y, tile, lanes):
    """y = max(x * W + bias, floor) for images [start, stop), by transformed kernels U.

    slot      the number of this thread
    V         (slots, 36, T, C) scratch: transformed input, of as many images at a time as T has tiles for
    M         (slots, 36, T, F) scratch: products V[q] · U[q]
    padded    (slots, 1, 4·rows + 2, (4·columns + 2)·C) scratch: an image with zeros around it
    out       (slots, 4·rows, 4·columns·F) scratch: the output of an image, in whole tiles
    x         (N, H, W·C)
    corner    where an image begins in `padded`: (top, left · C)
    U         (36, panels · C · width or more): transformed kernels, in panels of filters
    width     filters of a panel
    bias      (F,), or empty: none
    floor     the least value of y; 0: a ReLU
    y         (N, OH, OW·F)
    tile      see `brgemm`
    lanes     a tuple as long as a vector
    """
    V, M, padded, out = V[slot], M[slot], padded[slot], out[slot]
    _, OH, line = y.shape
    (_, T, C), F = V.shape, M.shape[2]
    panels, step = (F + width - 1) // width, U.shape[1]
    per_image = out.shape[0] // TILE * (out.shape[1] // F // TILE)
    flat_V, flat_U, flat_M = V.reshape(-1), U.reshape(-1), M.reshape(-1)
    block = T // per_image
    lowest = x.dtype.type(-np.inf)
    for begin in range(start, stop, block):
        images = min(block, stop - begin)
        tiles = images * per_image
        for n in range(images):
            copy_into(x, begin + n, padded, 0, corner[0], corner[1])
            transform_input(padded[0], V, n * per_image, lanes)
        for q in range(PLACES):
            for panel in range(panels):
                f = panel * width
                for t in range(0, tiles, len(tile[0])):
                    at = q * T + max(0, min(t, tiles - len(tile[0])))
                    product_tile(
                        tile, flat_V, at * C, flat_U, q * step + panel * C * width,
                        flat_M, at * F + f, bias[:0],
                        (1, 1, C), (0, 0, 1), C, (0, 0, width), F, min(width, F - f), lowest,
                    )  # fmt: skip
        for n in range(images):
            transform_output(M, n * per_image, out, lanes)
            for i in range(OH):
                source, target = out[i], y[begin + n, i]
                if len(bias) == 0:
                    for j in range(line):
                        target[j] = source[j]
                else:
                    for j in range(0, line, F):
                        for f in range(F):
                            value = source[j + f] + bias[f]
                            target[j + f] = floor if value < floor else value


@jit
def transform_both(start, stop, slot, padded, padded_dy, x, corner, dy, begin, V, D, lanes):
    """Both factors of the kernel gradient, for images [start, stop) of a block that begins at `begin`.

    slot        the number of this thread
    padded      (slots, 1, 4·rows + 2, (4·columns + 2)·C) scratch, as in `forward`
    padded_dy   (slots, 1, 4·rows, 4·columns·F) scratch
    x           (N, H, W·C)
    corner      where an image begins in `padded`: (top, left · C)
    dy          (N, OH, OW·F)
    V           (36, T, C), written: transformed input
    D           (36, T, F), written: transformed output gradient
    lanes       a tuple as long as a vector
    """
    padded, padded_dy = padded[slot], padded_dy[slot]
    per_image = padded.shape[1] // TILE * (padded_dy.shape[2] // D.shape[2] // TILE)
    for n in range(start, stop):
        copy_into(x, begin + n, padded, 0, corner[0], corner[1])
        transform_input(padded[0], V, n * per_image, lanes)
        copy_into(dy, begin + n, padded_dy, 0, 0, 0)
        transform_output_gradient(padded_dy[0], D, n * per_image, lanes)


@jit
def kernel_gradient(start, stop, V, D, tiles, dU, add, tile):
    """dU[q] = V[q]ᵀ · D[q] for places q in [start, stop), over the first `tiles` tiles.

    V (36, T, C)   D (36, T, F)   dU (36, C·F or more); with `add`, the products are added to dU
    """
    (_, T, C), F = V.shape, D.shape[2]
    height, width = len(tile[0]), len(tile[1]) * len(tile[2])
    flat_V, flat_D = V.reshape(-1), D.reshape(-1)
    lowest = dU.dtype.type(-np.inf)
    for q in range(start, stop):
        sums = dU[q, : C * F].reshape(C, F)
        for f in range(0, F, width):
            for c in range(0, C, height):
                before = sums[c:, f:] if add else sums[:0, f:]
                product_tile(
                    tile, flat_V, q * T * C + c, flat_D, q * T * F + f, dU[q], c * F + f, before,
                    (1, 1, tiles), (0, 0, C), 1, (0, 0, F), F, min(width, F - f), lowest,
                )  # fmt: skip
