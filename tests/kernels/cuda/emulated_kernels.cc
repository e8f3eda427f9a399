// All kernels and launch functions of kernels/cuda, compiled for the emulation.
#include "tests/kernels/cuda/emulation.h"

// transfer kernels
#include "kernels/cuda/bulk_gather.cuh"
#include "kernels/cuda/gather.cuh"
// compute kernels
#include "kernels/cuda/attention_decode.cuh"
#include "kernels/cuda/attention_prefill.cuh"
#include "kernels/cuda/layer.cuh"
#include "kernels/cuda/merge.cuh"
#include "kernels/cuda/metadata.cuh"
#include "kernels/cuda/score.cuh"
#include "kernels/cuda/top_k.cuh"
