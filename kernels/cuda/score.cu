#include "kernels/cuda/score.cuh"
