#include "kernels/cuda/gather.cuh"
