#include "kernels/cuda/bulk_gather.cuh"
