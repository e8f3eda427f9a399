#include "kernels/cuda/attention_decode.cuh"
