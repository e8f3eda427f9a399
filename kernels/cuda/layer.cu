#include "kernels/cuda/layer.cuh"
