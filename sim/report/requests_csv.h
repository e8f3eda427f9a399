// requests.csv: one line per request, in order of arrival. The columns are explained in README.md.
#pragma once

#include "sim/core/atomic_file.h"
#include "sim/metrics/collector.h"

namespace sparseserve::report {

// A cell is empty where the request has no such value: latencies of a failed request, tpot_ms of a
// single token. Mean and percentiles over a column are therefore those of the summary.
void WriteRequestsCsv(const metrics::RequestRecords& requests, AtomicFile& file);

}  // namespace sparseserve::report
