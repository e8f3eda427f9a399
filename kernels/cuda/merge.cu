#include "kernels/cuda/merge.cuh"
