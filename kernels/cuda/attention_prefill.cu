#include "kernels/cuda/attention_prefill.cuh"
