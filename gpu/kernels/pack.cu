// Many arrays in one copy: gather packs pieces of device memory side by side, scatter puts them back.
//
// A piece is a part of an array's elements as they are when packed, one after another; on the other side they lie in
// blocks that the axes step over. The work is cut into units of bytes, each a block's, so that large and small pieces share
// the device evenly. The tables may lie in locked host memory: a block reads its rows once.

typedef unsigned long long u64;

struct Piece {
    u64 strided;    // the element whose indices are all 0
    u64 packed;     // where the packed side of this piece begins
    u64 from;       // how far into the array's packed bytes that is
    u64 bytes;
    u64 block;      // bytes that lie together on the strided side
    u64 first;      // number of its first unit
    unsigned axes;  // where its axes begin in their table
    unsigned count; // how many they are
    unsigned width; // bytes at a time; addresses, strides and, where there are axes, blocks are multiples of it
    unsigned unused;
};

struct Axis {
    u64 len;
    long long stride; // may be negative, and 0 for elements that are repeated
};

const unsigned MOST_AXES = 64;

template <typename T, bool GATHER>
__device__ void move(const Piece &piece, const Axis *axes, u64 begin, u64 end) {
    for (u64 at = begin + threadIdx.x * sizeof(T); at < end; at += blockDim.x * sizeof(T)) {
        u64 place = piece.from + at, address = piece.strided;
        if (piece.count) {
            u64 number = place / piece.block;
            address += place % piece.block;
            #pragma unroll 1
            for (unsigned k = piece.count - 1; k; k--) {
                address += (u64)((long long)(number % axes[k].len) * axes[k].stride);
                number /= axes[k].len;
            }
            address += (u64)((long long)number * axes[0].stride);
        } else {
            address += place;
        }
        T *strided = (T *)address, *packed = (T *)(piece.packed + at);
        if (GATHER) *packed = *strided;
        else *strided = *packed;
    }
}

template <bool GATHER>
__device__ void move_unit(const Piece *pieces, const Axis *all_axes, const unsigned *units, u64 unit) {
    __shared__ Piece piece;
    __shared__ Axis axes[MOST_AXES];
    const u64 *row = (const u64 *)(pieces + units[blockIdx.x]);
    if (threadIdx.x < sizeof(Piece) / 8) ((u64 *)&piece)[threadIdx.x] = row[threadIdx.x];
    __syncthreads();
    for (unsigned k = threadIdx.x; k < 2 * piece.count; k += blockDim.x)
        ((u64 *)axes)[k] = ((const u64 *)(all_axes + piece.axes))[k];
    __syncthreads();
    u64 begin = (blockIdx.x - piece.first) * unit;
    u64 end = piece.bytes - begin < unit ? piece.bytes : begin + unit;
    u64 wide = end & ~(u64)(piece.width - 1);
    if (piece.width == 16) move<uint4, GATHER>(piece, axes, begin, wide);
    else if (piece.width == 8) move<u64, GATHER>(piece, axes, begin, wide);
    else if (piece.width == 4) move<unsigned, GATHER>(piece, axes, begin, wide);
    else if (piece.width == 2) move<unsigned short, GATHER>(piece, axes, begin, wide);
    else wide = begin;
    move<unsigned char, GATHER>(piece, axes, wide, end);
}

// One block for each unit of `unit` bytes, a multiple of 16; units[i] is the piece of the i-th.
extern "C" __global__ void ferropickle_gather(const Piece *pieces, const Axis *axes, const unsigned *units, u64 unit) {
    move_unit<true>(pieces, axes, units, unit);
}

extern "C" __global__ void ferropickle_scatter(const Piece *pieces, const Axis *axes, const unsigned *units, u64 unit) {
    move_unit<false>(pieces, axes, units, unit);
}
