#include "sim/report/requests_csv.h"

#include "sim/report/csv_row.h"

namespace sparseserve::report {
namespace {

constexpr std::string_view kHeader =
    "id,replica,arrival_s,scheduled_s,first_token_s,finish_s,prompt_tokens,output_tokens,ttft_ms,"
    "tpot_ms,e2el_ms,scheduling_delay_s,preemptions,failed";

// The parts of the time to the first token, in the order of metrics::Part.
std::string Header() {
  std::string header(kHeader);
  for (const std::string_view part : metrics::kPartNames)
    header += ",ttft_" + std::string(part) + "_ms";
  return header + "\n";
}

void AddLatencies(const metrics::RequestRecord& r, CsvRow& row) {
  if (r.failed) {
    row.AddEmpty().AddEmpty().AddEmpty();
    return;
  }
  row.AddMilliseconds(r.first_token.ns() - r.arrival.ns());
  const std::int64_t num_gaps = r.produced.value() - 1;
  if (num_gaps > 0) {
    const auto decode_ns = static_cast<double>(r.last_token.ns() - r.first_token.ns());
    row.Add(decode_ns / static_cast<double>(num_gaps) / 1e6);
  } else {
    row.AddEmpty();
  }
  row.AddMilliseconds(r.finish.ns() - r.arrival.ns());
}

void AddRequest(const metrics::RequestRecord& r, CsvRow& row) {
  row.Add(r.id).Add(std::int64_t{r.replica}).AddSeconds(r.arrival.ns());
  r.was_scheduled ? row.AddSeconds(r.scheduled.ns()) : row.AddEmpty();
  r.produced > Tokens(0) ? row.AddSeconds(r.first_token.ns()) : row.AddEmpty();
  row.AddSeconds(r.finish.ns()).Add(r.prompt.value()).Add(r.produced.value());
  AddLatencies(r, row);
  r.was_scheduled ? row.AddSeconds(r.scheduled.ns() - r.arrival.ns()) : row.AddEmpty();
  row.Add(std::int64_t{r.preemptions}).Add(std::int64_t{r.failed});
  for (const std::int64_t part_ns : r.ttft.Unpack().ns)
    r.failed ? row.AddEmpty() : row.AddMilliseconds(part_ns);
}

}  // namespace

void WriteRequestsCsv(const metrics::RequestRecords& requests, AtomicFile& file) {
  file.Append(Header());
  CsvRow row;
  for (const metrics::RequestRecord& request : requests) {
    AddRequest(request, row);
    file.Append(row.Finish());
  }
}

}  // namespace sparseserve::report
