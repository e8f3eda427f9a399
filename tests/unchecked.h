// Given by -include to the compiler of a variant without checks, for scripts/trust: what they cost.
#pragma once

#include "sim/core/check.h"

#undef SPARSESERVE_CHECK
#define SPARSESERVE_CHECK(condition, detail) ((void)sizeof(!(condition)), (void)sizeof(detail))
