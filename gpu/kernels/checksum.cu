// A checksum of device memory. The sum over all bytes of mix(position, word) modulo 2^64, so that blocks may add in any
// order; words are eight bytes, little end first, the last one filled up with zeros, and the length is mixed in by the host.
//
// mix is the finalizer of a well-mixed 64-bit hash over the word and its position: a changed, moved or swapped word
// changes the sum.

__device__ unsigned long long mix(unsigned long long position, unsigned long long word) {
    unsigned long long x = word ^ ((position + 1) * 0x9e3779b97f4a7c15ull);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

__device__ unsigned long long word_at(const unsigned char *data, unsigned long long i, unsigned long long size) {
    if ((unsigned long long)data % 8 == 0 && 8 * i + 8 <= size) return ((const unsigned long long *)data)[i];
    unsigned long long word = 0;
    for (unsigned k = 0; k < 8 && 8 * i + k < size; k++)
        word |= (unsigned long long)data[8 * i + k] << (8 * k);
    return word;
}

// Adds to *sum, which the host has set to 0. Blocks have a power of two of threads, at most 256.
extern "C" __global__ void ferropickle_checksum(const unsigned char *data, unsigned long long size,
                                                unsigned long long *sum) {
    __shared__ unsigned long long part[256];
    unsigned long long words = (size + 7) / 8, own = 0;
    unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long i = blockIdx.x * (unsigned long long)blockDim.x + threadIdx.x; i < words; i += step)
        own += mix(i, word_at(data, i, size));
    part[threadIdx.x] = own;
    __syncthreads();
    for (unsigned k = blockDim.x / 2; k; k >>= 1) {
        if (threadIdx.x < k) part[threadIdx.x] += part[threadIdx.x + k];
        __syncthreads();
    }
    if (threadIdx.x == 0) atomicAdd(sum, part[0]);
}
