// The bytes of elements sorted by their place in the element, which compresses better; and back.
//
// A block takes as many elements as it has threads, through shared memory of threads * width bytes.

extern "C" __global__ void ferropickle_shuffle(const unsigned char *from, unsigned char *to,
                                               unsigned long long count, unsigned width) {
    extern __shared__ unsigned char tile[];
    unsigned long long first = blockIdx.x * (unsigned long long)blockDim.x;
    if (first >= count) return;
    unsigned here = count - first < blockDim.x ? (unsigned)(count - first) : blockDim.x;
    for (unsigned k = threadIdx.x; k < here * width; k += blockDim.x) tile[k] = from[first * width + k];
    __syncthreads();
    if (threadIdx.x < here)
        for (unsigned w = 0; w < width; w++) to[w * count + first + threadIdx.x] = tile[threadIdx.x * width + w];
}

extern "C" __global__ void ferropickle_unshuffle(const unsigned char *from, unsigned char *to,
                                                 unsigned long long count, unsigned width) {
    extern __shared__ unsigned char tile[];
    unsigned long long first = blockIdx.x * (unsigned long long)blockDim.x;
    if (first >= count) return;
    unsigned here = count - first < blockDim.x ? (unsigned)(count - first) : blockDim.x;
    if (threadIdx.x < here)
        for (unsigned w = 0; w < width; w++) tile[threadIdx.x * width + w] = from[w * count + first + threadIdx.x];
    __syncthreads();
    for (unsigned k = threadIdx.x; k < here * width; k += blockDim.x) to[first * width + k] = tile[k];
}
