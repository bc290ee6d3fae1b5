// Many arrays in one copy: gather packs pieces of device memory side by side, scatter puts them back.
//
// A piece is rows of bytes with a distance between them. Blocks share the work in x, pieces in y. Where both sides
// and the row allow it, 16 bytes go at a time.

struct Piece {
    // The side that may be strided, and the packed one.
    unsigned long long strided;
    unsigned long long packed;
    unsigned long long row;    // bytes of a row
    unsigned long long rows;
    long long stride;          // from row to row; may be negative, and 0 for a row that is repeated
};

template <typename T, bool GATHER>
__device__ void move(const Piece &piece) {
    unsigned long long each = piece.row / sizeof(T);
    unsigned long long all = each * piece.rows;
    unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long i = blockIdx.x * (unsigned long long)blockDim.x + threadIdx.x; i < all; i += step) {
        unsigned long long row = i / each, column = i % each;
        T *strided = (T *)(piece.strided + (long long)row * piece.stride) + column;
        T *packed = (T *)piece.packed + i;
        if (GATHER) *packed = *strided;
        else *strided = *packed;
    }
}

template <bool GATHER>
__device__ void move_all(const Piece *pieces, unsigned count) {
    for (unsigned p = blockIdx.y; p < count; p += gridDim.y) {
        Piece piece = pieces[p];
        unsigned long long low = piece.strided | piece.packed | piece.row | (unsigned long long)piece.stride;
        if (low % 16 == 0) move<uint4, GATHER>(piece);
        else if (low % 4 == 0) move<unsigned, GATHER>(piece);
        else move<unsigned char, GATHER>(piece);
    }
}

extern "C" __global__ void ferropickle_gather(const Piece *pieces, unsigned count) {
    move_all<true>(pieces, count);
}

extern "C" __global__ void ferropickle_scatter(const Piece *pieces, unsigned count) {
    move_all<false>(pieces, count);
}
