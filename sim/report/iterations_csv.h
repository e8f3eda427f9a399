// iterations.csv: one line per iteration, written while the run goes on. The columns are explained
// in README.md.
#pragma once

#include "sim/core/atomic_file.h"
#include "sim/metrics/collector.h"
#include "sim/report/csv_row.h"

namespace sparseserve::report {

class IterationsCsv : public metrics::IterationSink {
 public:
  // `file` outlives this object; whoever owns it commits it.
  explicit IterationsCsv(AtomicFile& file);

  void OnIteration(const metrics::IterationRecord& record) override;

 private:
  AtomicFile& file_;
  CsvRow row_;
};

}  // namespace sparseserve::report
