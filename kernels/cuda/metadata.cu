#include "kernels/cuda/metadata.cuh"
