#include "kernels/cuda/top_k.cuh"
