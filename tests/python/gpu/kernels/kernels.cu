// Kernels for the tests of the interpreter, one for each group of instructions. kernels.ptx is what
// gpu/kernels/compile.py makes of them.

struct Item {
    const unsigned char *from;
    unsigned char *to;
    unsigned long long size;
};

// Structs from memory, pointers of any alignment, wide loads, nested loops.
extern "C" __global__ void gather(const Item *items, unsigned count) {
    unsigned long long stride = (unsigned long long)gridDim.x * blockDim.x;
    unsigned long long first = blockIdx.x * (unsigned long long)blockDim.x + threadIdx.x;
    for (unsigned i = blockIdx.y; i < count; i += gridDim.y) {
        Item item = items[i];
        unsigned long long wide = 0;
        if ((((unsigned long long)item.from | (unsigned long long)item.to) & 15) == 0) {
            wide = item.size & ~15ull;
            for (unsigned long long k = first; k < wide / 16; k += stride)
                ((uint4 *)item.to)[k] = ((const uint4 *)item.from)[k];
        }
        for (unsigned long long k = wide + first; k < item.size; k += stride)
            item.to[k] = item.from[k];
    }
}

extern "C" __global__ void saxpy(float a, const float *x, float *y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = a * x[i] + y[i];
}

// Shared memory, barriers, an atomic of 64 bits.
extern "C" __global__ void total(const unsigned *x, unsigned long long n, unsigned long long *out) {
    __shared__ unsigned long long part[256];
    unsigned long long sum = 0;
    unsigned long long stride = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long i = blockIdx.x * (unsigned long long)blockDim.x + threadIdx.x; i < n; i += stride)
        sum += x[i] * (2654435761ull + i % 7);
    part[threadIdx.x] = sum;
    __syncthreads();
    for (unsigned k = blockDim.x / 2; k; k >>= 1) {
        if (threadIdx.x < k) part[threadIdx.x] += part[threadIdx.x + k];
        __syncthreads();
    }
    if (threadIdx.x == 0) atomicAdd(out, part[0]);
}

// What the lanes of a warp do together.
extern "C" __global__ void lanes(const int *x, int *out) {
    int v = x[threadIdx.x];
    for (int k = 16; k; k >>= 1) v += __shfl_down_sync(~0u, v, k);
    if ((threadIdx.x & 31) == 0) out[threadIdx.x / 32] = v;
    unsigned odd = __ballot_sync(~0u, x[threadIdx.x] & 1);
    if (threadIdx.x == 0) out[8] = odd;
}

// Shared memory of a size that the launch gives.
extern "C" __global__ void byteshuffle(const unsigned char *in, unsigned char *out,
                                       unsigned long long count, unsigned width) {
    extern __shared__ unsigned char tile[];
    unsigned long long first = blockIdx.x * (unsigned long long)blockDim.x;
    unsigned long long here = count - first < blockDim.x ? count - first : blockDim.x;
    for (unsigned k = threadIdx.x; k < here * width; k += blockDim.x) tile[k] = in[first * width + k];
    __syncthreads();
    for (unsigned w = 0; w < width; w++)
        if (threadIdx.x < here) out[w * count + first + threadIdx.x] = tile[threadIdx.x * width + w];
}

__constant__ int table[4] = {1, 2, 3, 4};
__device__ int counter;

// Integer arithmetic, conversions, constants, variables, a switch.
extern "C" __global__ void arithmetic(double *d, int *o, short s, long long q) {
    int i = threadIdx.x;
    d[i] = sqrt(d[i]) / 3.0 + (double)s;
    o[i] = table[i & 3] * i / 3 % 5 - min(i, 7) + __popc(i) + __clz(i) + (int)(q >> 3);
    o[i] ^= __brev(i);
    o[i] += (unsigned)(d[i] * 10.0);
    o[i] += __float2int_rn((float)i * 0.3f);
    atomicAdd(&counter, 1);
    switch (i) {
    case 0: o[i] += 5; break;
    case 1: o[i] *= 7; break;
    case 2: o[i] -= 5; break;
    case 3: o[i] ^= 9; break;
    case 4: o[i] += 11; break;
    default: break;
    }
}

// Mistakes, each of which has to be found.
extern "C" __global__ void beyond(int *x, int n) { x[threadIdx.x + n] = 1; }
extern "C" __global__ void misaligned(char *x) { *(int *)(x + 1) = 1; }
extern "C" __global__ void stuck(int *x) {
    if (threadIdx.x < 8) asm volatile("bar.sync 1, 32;");
    else asm volatile("bar.sync 2, 32;");
    x[0] = 1;
}
