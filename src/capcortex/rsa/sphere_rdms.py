"""RDMs of the spheres along lines of a volume, in single precision: the hot loop of the searchlight.

All that an RDM needs is in the Gram matrix of the sphere's betas, ``G[i, j] = sum over voxels v of x[v, i] x[v, j]`` for images
i and j; with a last column of ones in ``x`` it also holds the sum of each pattern. It is a sum over voxels: one step along an
axis of the volume adds those that enter the sphere and takes away those that leave it, 109 each for a radius of 6 voxels, instead
of 895. A voxel that enters the sphere of one centre leaves that of a later one, and its outer product with itself is the same
both times. So along a line

- the voxels of each plane across the line are sorted into rings: a ring of height ``h`` holds those that lie in the spheres of
  the centres at most ``h`` steps away;
- the Gram matrix of a ring is computed once, added to the *change* ``h`` steps before the plane, and subtracted from the change
  ``h + 1`` steps behind it;
- the running sum of changes is the Gram matrix of one sphere after the other.

Of the symmetric matrix only tiles on and above the diagonal are kept. A tile fits into the registers of a core, and stays there
while the voxels of a ring pass by. For 100 images there are 75 tiles of 6 x 16, and 109 voxels of a plane cost 109 x 75 x 96
multiplications and additions: 1.57 million operations, of which 1.12 are for entries that are needed. A sphere by itself, with
symmetry, costs 895 x 5,050: 9 million. How near to the machine's peak this comes is measured by `make bench`.

Rounding. A sum in single precision keeps the rounding errors of the largest values it has had; they matter when a sphere is left
with few or weak voxels. Each step adds errors of its own. The bound of the error grows with the largest power that each image's
pattern has had on the line, over the power it has now, and with the square root of the steps. Where the error could matter, the
sphere is summed anew; and what is still in doubt is said to be.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from capcortex.rsa.rdm import DISTANCES, n_pairs
from capcortex.rsa.spheres import Lines, Spheres

TILE_ROWS, TILE_COLUMNS = 6, 16
"""Images of a tile. Twelve registers of eight numbers, or six of sixteen, which leaves some for the operands."""
TILE = TILE_ROWS * TILE_COLUMNS

ROUNDING = 2**-23
"""Error of one similarity, as a share of the largest sums that went into it."""

STEPS = 32
"""After so many steps along a line the rounding errors of the steps have added, at random, as much as those of one sphere."""

LEAST_SQUARE = 2**-100
"""Squared lengths and distances below this are left in doubt: the squares of single betas in them may have underflowed."""

CORRELATION, COSINE, EUCLIDEAN = map(DISTANCES.index, ("correlation", "cosine", "euclidean"))

compiled: Any = partial(njit, error_model="numpy", nogil=True)
FREE_ORDER = {"reassoc", "contract", "arcp", "nsz"}
"""What the compiler may do to sums and products; infinities and NaN stay what they are."""


class Tiles(NamedTuple):
    """Where the entries of a Gram matrix of ``n_images`` images and a column of ones lie in memory.

    Attributes
    ----------
    n_images : int
    width : int
        Length of a voxel's row: images, the one, and zeros up to a whole tile.
    corners : ndarray of shape (n_tiles, 2), intp
        First image of each tile, down and across.
    diagonal, sums : ndarray of shape (n_images,), intp
        Positions of ``G[i, i]`` and of the sum of pattern i among all entries.
    pairs : ndarray of shape (n_tiles * TILE,), intp
        The pair of images of each entry in row-major upper-triangle order, -1 for entries that are not of a pair.
    is_pair : ndarray of shape (n_tiles * TILE,), float32
        1 for entries that are of a pair, else 0.
    """

    n_images: int
    width: int
    corners: NDArray[np.intp]
    diagonal: NDArray[np.intp]
    sums: NDArray[np.intp]
    pairs: NDArray[np.intp]
    is_pair: NDArray[np.float32]


def lay_out_tiles(n_images: int) -> Tiles:
    """Lay out the tiles on and above the diagonal of a Gram matrix of ``n_images`` images and a column of ones."""
    width = -(-(n_images + TILE_ROWS) // TILE_COLUMNS) * TILE_COLUMNS
    corners = np.array(
        [
            (down, across)
            for down in range(0, n_images, TILE_ROWS)
            for across in range(down // TILE_COLUMNS * TILE_COLUMNS, n_images + 1, TILE_COLUMNS)
        ],
        dtype=np.intp,
    )
    inside = np.indices((TILE_ROWS, TILE_COLUMNS)).reshape(2, 1, TILE)
    first, second = (corners.T[:, :, None] + inside).reshape(2, -1)
    pair = first * n_images - first * (first + 1) // 2 + second - first - 1
    is_pair = (first < second) & (second < n_images)
    return Tiles(
        n_images=n_images,
        width=width,
        corners=corners,
        diagonal=np.flatnonzero((first == second) & (first < n_images)),
        sums=np.flatnonzero((second == n_images) & (first < n_images)),
        pairs=np.where(is_pair, pair, -1),
        is_pair=is_pair.astype(np.float32),
    )


@intrinsic
def add_outer_products(typingctx, rows, first, count, down, across, plus, plus_at, minus, minus_at):
    """Add the sum of outer products of ``count`` rows from ``first``, for one tile, to ``plus`` and subtract it from ``minus``.

    With ``tile = sum(outer(row[down : down + 6], row[across : across + 16]) for row in rows[first : first + count])`` this is
    ``plus[plus_at : plus_at + 96] += tile.ravel()`` and ``minus[minus_at : minus_at + 96] -= tile.ravel()``. It is written in the
    compiler's own language, because nothing else makes sure that the tile stays in registers: the same from loops took nine times
    as long. ``count`` is at least 1; nothing checks bounds.
    """
    index = ir.IntType(64)
    number = ir.FloatType()
    vector = ir.VectorType(number, TILE_COLUMNS)

    def generate(context, builder, signature, arguments):
        first, count, down, across = arguments[1:5]
        of_rows, of_plus, of_minus = (
            context.make_array(signature.args[at])(context, builder, arguments[at]) for at in (0, 5, 7)
        )
        width = builder.extract_value(of_rows.shape, 1)
        # Fused where the processor can; where it cannot, `llvm.fma` would call a function for each number.
        multiply_add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{TILE_COLUMNS}f32"
        )
        unset = ir.Constant(vector, ir.Undefined)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), TILE_COLUMNS), [0] * TILE_COLUMNS)
        start = builder.gep(of_rows.data, [builder.mul(first, width)])

        entry, loop, after = builder.block, builder.append_basic_block("rows"), builder.append_basic_block("after")
        builder.branch(loop)
        builder.position_at_end(loop)
        done = builder.phi(index)
        done.add_incoming(ir.Constant(index, 0), entry)
        tile = [builder.phi(vector) for _ in range(TILE_ROWS)]
        row = builder.gep(start, [builder.mul(done, width)])
        along = builder.load(builder.bitcast(builder.gep(row, [across]), vector.as_pointer()), align=4)
        summed = []
        for line, before in enumerate(tile):
            scalar = builder.load(builder.gep(row, [builder.add(down, ir.Constant(index, line))]))
            one = builder.insert_element(unset, scalar, ir.Constant(ir.IntType(32), 0))
            summed.append(builder.call(multiply_add, [builder.shuffle_vector(one, unset, everywhere), along, before]))
            before.add_incoming(ir.Constant(vector, [0.0] * TILE_COLUMNS), entry)
            before.add_incoming(summed[-1], loop)
        next_row = builder.add(done, ir.Constant(index, 1))
        done.add_incoming(next_row, loop)
        builder.cbranch(builder.icmp_signed("<", next_row, count), loop, after)

        builder.position_at_end(after)
        for array, at, operation in ((of_plus, 6, builder.fadd), (of_minus, 8, builder.fsub)):
            for line, values in enumerate(summed):
                place = builder.add(arguments[at], ir.Constant(index, line * TILE_COLUMNS))
                pointer = builder.bitcast(builder.gep(array.data, [place]), vector.as_pointer())
                builder.store(operation(builder.load(pointer, align=4), values), pointer, align=4)
        return context.get_dummy_value()

    whole = types.intp
    return types.void(rows, whole, whole, whole, whole, plus, whole, minus, whole), generate


@compiled
def _gather(betas, grid, point, across, rows, start):
    """Copy the betas of the voxels at ``point + across`` into ``rows`` from row ``start``; return how many voxels there are."""
    found = 0
    for steps in across:
        voxel = grid[point + steps]
        if voxel >= 0:
            source, target = betas[voxel], rows[start + found]
            for image in range(target.size):
                target[image] = source[image]
            found += 1
    return found


@compiled
def _sum_anew(gram, betas, grid, point, lines, corners, rows, spare):
    """Set ``gram`` to the Gram matrix of the sphere around a point, free of what the running sum has picked up."""
    step, across, n_reaching = lines
    reach = n_reaching.size - 2
    gram[:] = 0
    for away in range(-reach, reach + 1):
        count = _gather(betas, grid, point + away * step, across[: n_reaching[abs(away)]], rows, 0)
        if count:
            for tile in range(len(corners)):
                add_outer_products(rows, 0, count, corners[tile, 0], corners[tile, 1], gram, tile * TILE, spare, 0)


@compiled(fastmath=FREE_ORDER)
def _angles(gram, n_voxels, tiles, is_pair, peak, work, found):
    """Correlation of each pair of patterns, or cosine if ``n_voxels`` is 0, and how far one of them may be wrong."""
    corners, diagonal, sums = tiles
    vectors, factors, waste = work
    lost = 0.0
    for image in range(diagonal.size):
        power = gram[diagonal[image]]
        mean = np.float32(0)
        if n_voxels:
            mean = gram[sums[image]] / np.sqrt(np.float32(n_voxels))
            power -= mean * mean
        if not power > LEAST_SQUARE:
            found[:] = 0
            return np.inf
        scale = 1 / np.sqrt(power)
        vectors[0, image], vectors[1, image] = scale, mean
        lost += (peak[image] / power) ** 2
    for at in range(found.size):
        found[at] = gram[at]
        factors[at] = 0
    for tile in range(len(corners)):
        down, over, at = corners[tile, 0], corners[tile, 1], tile * TILE
        add_outer_products(vectors, 0, 1, down, over, factors, at, waste, 0)
        add_outer_products(vectors, 1, 1, down, over, waste, 0, found, at)
    for at in range(found.size):
        found[at] *= factors[at] * is_pair[at]
    return ROUNDING * np.sqrt(lost / diagonal.size)


@compiled(fastmath=FREE_ORDER)
def _closeness(gram, tiles, is_pair, peak, work, found):
    """Minus the Euclidean distance of each pair of patterns, and how far the one of the nearest pair may be wrong."""
    corners, diagonal, _ = tiles
    squares = work[0][0]
    largest, nearest = np.float32(0), np.float32(np.inf)
    for image in range(diagonal.size):
        squares[image] = gram[diagonal[image]]
        largest = max(largest, peak[image])
    at = 0
    for tile in range(len(corners)):
        for first in range(corners[tile, 0], corners[tile, 0] + TILE_ROWS):
            for second in range(corners[tile, 1], corners[tile, 1] + TILE_COLUMNS):
                found[at] = 0
                if is_pair[at] > 0:
                    square = squares[first] + squares[second] - 2 * gram[at]
                    nearest = min(nearest, square)
                    found[at] = -np.sqrt(square)
                at += 1
    if not nearest > LEAST_SQUARE:
        found[:] = 0
        return np.inf
    return 2 * ROUNDING * largest / np.sqrt(nearest)


@compiled(fastmath=FREE_ORDER)
def _centre(found, is_pair, n_pairs):
    """Subtract from similarities their mean over pairs, and return their standard deviation."""
    total, squares = np.float32(0), np.float32(0)
    for at in range(found.size):
        total += found[at]
    mean = total / np.float32(n_pairs)
    for at in range(found.size):
        found[at] -= mean * is_pair[at]
        squares += found[at] * found[at]
    return np.sqrt(squares / np.float32(n_pairs))


@compiled
def _follow_lines(
    betas, grid, firsts, ends, places, sizes, lines, tiles, is_pair, distance, tolerance, found, errors, spreads
):
    """Follow lines of centres, and leave the similarities in each centre's sphere, their errors and their spread."""
    step, across, n_reaching = lines
    corners, diagonal, _ = tiles
    reach = n_reaching.size - 2
    size, n_slots = len(corners) * TILE, 2 * reach + 2
    changes, gram = np.zeros((n_slots, size), np.float32), np.zeros(size, np.float32)
    work = np.zeros((2, betas.shape[1]), np.float32), np.zeros(size, np.float32), np.zeros(TILE, np.float32)
    peak = np.zeros(diagonal.size, np.float32)
    rows = np.zeros((across.size, betas.shape[1]), np.float32)
    starts = np.zeros(reach + 2, np.intp)
    n_pairs = diagonal.size * (diagonal.size - 1) // 2
    n_anew = 0
    centre = 0
    for line in range(firsts.size):
        changes[:] = 0
        gram[:] = 0
        peak[:] = 0
        since = 0
        length = places[ends[line] - 1] + 1
        for plane in range(-reach, length + reach):
            point = firsts[line] + plane * step
            filled = 0
            for height in range(reach, -1, -1):
                starts[height + 1] = filled
                if plane + height >= 0 and plane - height < length:
                    filled += _gather(
                        betas, grid, point, across[n_reaching[height + 1] : n_reaching[height]], rows, filled
                    )
            starts[0] = filled
            if filled:
                for tile in range(len(corners)):
                    down, over, at = corners[tile, 0], corners[tile, 1], tile * TILE
                    for height in range(reach, -1, -1):
                        start, count = starts[height + 1], starts[height] - starts[height + 1]
                        if count:
                            enters, leaves = max(plane - height, 0) % n_slots, (plane + height + 1) % n_slots
                            add_outer_products(rows, start, count, down, over, changes[enters], at, changes[leaves], at)
            place = plane - reach
            if place < 0:
                continue
            since += 1
            change = changes[place % n_slots]
            for at in range(size):
                gram[at] += change[at]
                change[at] = 0
            for image in range(diagonal.size):
                peak[image] = max(peak[image], gram[diagonal[image]])
            if places[centre] != place:  # the last place of a line is a centre's, so that there always is one
                continue
            for anew in range(2):
                if distance == EUCLIDEAN:
                    errors[centre] = _closeness(gram, tiles, is_pair, peak, work, found[centre])
                else:
                    centred = sizes[centre] if distance == CORRELATION else 0
                    errors[centre] = _angles(gram, centred, tiles, is_pair, peak, work, found[centre])
                errors[centre] *= np.sqrt(1 + since / STEPS)
                spreads[centre] = _centre(found[centre], is_pair, n_pairs)
                if anew or errors[centre] <= tolerance * spreads[centre]:
                    break
                n_anew += 1
                _sum_anew(gram, betas, grid, point - reach * step, lines, corners, rows, work[2])
                since = 0
                for image in range(diagonal.size):
                    peak[image] = gram[diagonal[image]]
            centre += 1
    return n_anew


class Similarities(NamedTuple):
    """Similarities of all pairs of images in the spheres of some lines.

    Attributes
    ----------
    values : ndarray of shape (n_centres, n_tiles * TILE), float32
        Correlation, cosine or minus Euclidean distance less its mean over the sphere's pairs, laid out as `Tiles.pairs`;
        0 where there is no pair, and where ``error`` is infinite.
    error : ndarray of shape (n_centres,), float64
        Bound of the rounding error of one value (root mean square over images, times a margin).
    spread : ndarray of shape (n_centres,), float64
        Standard deviation of a sphere's values over pairs.
    n_pairs : int
    n_anew : int
        Spheres that were summed anew, because the running sum had lost digits.
    """

    values: NDArray[np.float32]
    error: NDArray[np.float64]
    spread: NDArray[np.float64]
    n_pairs: int
    n_anew: int


def arrange_betas(patterns: NDArray[np.floating], tiles: Tiles) -> NDArray[np.float32]:
    """Betas of one image set (image, voxel) as rows of voxels: images, a one, and zeros up to the width of the tiles."""
    rows = np.zeros((patterns.shape[1], tiles.width), dtype=np.float32)
    rows[:, : tiles.n_images] = patterns.T
    rows[:, tiles.n_images] = 1
    return rows


def follow_lines(
    rows: NDArray[np.float32],
    spheres: Spheres,
    lines: Lines,
    here: slice,
    distance: str,
    tiles: Tiles,
    memory: NDArray[np.float32],
    *,
    tolerance: float,
) -> Similarities:
    """Compute the similarities of all pairs of images in the sphere around every centre of some lines.

    Parameters
    ----------
    rows : ndarray of shape (n_voxels, tiles.width), float32
        Betas as of `arrange_betas`, finite.
    spheres, lines
        Of the same voxels.
    here
        Which lines.
    distance
        ``correlation``, ``cosine`` or ``euclidean``.
    tiles
        For as many images as the rows have.
    memory : ndarray of shape (at least n_centres, n_tiles * TILE), float32
        Where the similarities are left.
    tolerance
        Error of a similarity, as a share of their spread, above which a sphere is summed anew.
    """
    start = lines.ends[here.start - 1] if here.start else 0
    centres = slice(start, lines.ends[here.stop - 1])
    n_centres = centres.stop - centres.start
    values = memory[:n_centres]
    error, spread = np.empty(n_centres), np.empty(n_centres)
    n_anew = _follow_lines(
        *(rows, spheres.grid.ravel(), lines.firsts[here], lines.ends[here] - start, lines.places[centres]),
        *(spheres.sizes[lines.order[centres]], (lines.step, lines.across, lines.n_reaching)),
        *((tiles.corners, tiles.diagonal, tiles.sums), tiles.is_pair, DISTANCES.index(distance), tolerance),
        *(values, error, spread),
    )
    return Similarities(values, error, spread, n_pairs(tiles.n_images), n_anew)
