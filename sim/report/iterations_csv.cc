#include "sim/report/iterations_csv.h"

namespace sparseserve::report {
namespace {

constexpr std::string_view kHeader =
    "iteration,replica,begin_s,end_s,num_decodes,num_prefills,prefill_token_layers,num_running,"
    "num_waiting,compute_s,attention_s,load_stall_s,save_stall_s,host_s,block_loads,block_touches,"
    "h2d_bytes,d2h_bytes,hbm_used_bytes,dram_used_bytes,h2d_busy_s,d2h_busy_s,scatter_busy_s\n";

std::int64_t ToNs(Seconds time) { return (SimTime() + time).ns(); }

}  // namespace

IterationsCsv::IterationsCsv(AtomicFile& file) : file_(file) { file_.Append(kHeader); }

void IterationsCsv::OnIteration(const metrics::IterationRecord& r) {
  row_.Add(r.index).Add(std::int64_t{r.replica}).AddSeconds(r.begin.ns()).AddSeconds(r.end.ns());
  for (const std::int64_t count :
       {r.num_decodes, r.num_prefills, r.prefill_token_layers, r.num_running, r.num_waiting})
    row_.Add(count);
  for (const Seconds time : {r.compute, r.attention, r.load_stall, r.save_stall, r.host})
    row_.AddSeconds(ToNs(time));
  row_.Add(r.block_loads).Add(r.block_touches);
  for (const Bytes bytes : {r.h2d_bytes, r.d2h_bytes, r.hbm_used, r.dram_used})
    row_.Add(bytes.value());
  for (const Seconds time : {r.h2d_busy, r.d2h_busy, r.scatter_busy}) row_.AddSeconds(ToNs(time));
  file_.Append(row_.Finish());
}

}  // namespace sparseserve::report
