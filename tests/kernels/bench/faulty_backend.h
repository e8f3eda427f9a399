// A backend that passes everything on to another one, and can get one operation wrong: so that a
// test sees whether a wrong kernel is found before it is timed.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "kernels/backend.h"

namespace sparseserve::bench {

class FaultyBackend : public kernels::Backend {
 public:
  // `fault`: the operation that is wrong, as in calibration/record.h, or empty.
  FaultyBackend(std::unique_ptr<kernels::Backend> backend, std::string fault)
      : backend_(std::move(backend)), fault_(std::move(fault)) {}

  std::string_view name() const override { return backend_->name(); }
  kernels::DeviceInfo Describe() const override { return backend_->Describe(); }
  bool Supports(kernels::ElementType type) const override { return backend_->Supports(type); }
  bool Supports(kernels::LoadMethod method) const override { return backend_->Supports(method); }
  bool Supports(kernels::SaveMethod method) const override { return backend_->Supports(method); }
  kernels::Buffer AllocateDevice(Bytes size) override { return backend_->AllocateDevice(size); }
  kernels::Buffer AllocateHost(Bytes size) override { return backend_->AllocateHost(size); }
  void Copy(kernels::Lane lane, void* to, const void* from, Bytes size) override {
    backend_->Copy(lane, to, from, size);
  }
  void Fill(kernels::Lane lane, void* to, std::byte value, Bytes size) override {
    backend_->Fill(lane, to, value, size);
  }
  kernels::EventPtr Record(kernels::Lane lane) override { return backend_->Record(lane); }
  void Wait(kernels::Lane lane, const kernels::EventPtr& event) override {
    backend_->Wait(lane, event);
  }
  void Synchronize() override { backend_->Synchronize(); }
  Seconds Elapsed(const kernels::EventPtr& begin, const kernels::EventPtr& end) const override {
    return backend_->Elapsed(begin, end);
  }
  void FlushCache(kernels::Lane lane) override { backend_->FlushCache(lane); }

  // Leaves out the last block or fragment.
  void Load(kernels::Lane lane, kernels::LoadMethod method,
            const kernels::LoadParams& params) override {
    kernels::LoadParams wrong = params;
    if (fault_.starts_with("h2d.")) --wrong.num_moves;
    backend_->Load(lane, method, wrong);
  }
  kernels::EventPtr Save(kernels::Lane lane, kernels::SaveMethod method,
                         const kernels::SaveParams& params) override {
    kernels::SaveParams wrong = params;
    if (fault_.starts_with("d2h.")) --wrong.num_moves;
    return backend_->Save(lane, method, wrong);
  }

  // Leaves out the last block.
  void BuildMetadata(const kernels::MetadataParams& params) override {
    kernels::MetadataParams wrong = params;
    if (fault_ == "metadata") --wrong.num_blocks;
    backend_->BuildMetadata(wrong);
  }
  // Takes the mean of one query head too few.
  void Score(const kernels::ScoreParams& params) override {
    kernels::ScoreParams wrong = params;
    if (fault_ == "score") --wrong.group;
    backend_->Score(wrong);
  }
  // Leaves out the last row.
  void TopK(const kernels::TopKParams& params) override {
    kernels::TopKParams wrong = params;
    if (fault_ == "topk") --wrong.num_rows;
    backend_->TopK(wrong);
  }
  void DecodeAttention(const kernels::DecodeParams& params) override {
    kernels::DecodeParams wrong = params;
    if (fault_.starts_with("attention.decode")) wrong.scale *= 1.5f;
    backend_->DecodeAttention(wrong);
  }
  // Lets every query see one key too few.
  void PrefillAttention(const kernels::PrefillParams& params) override {
    kernels::PrefillParams wrong = params;
    if (fault_ == "attention.prefill") --wrong.query_begin;
    backend_->PrefillAttention(wrong);
  }
  void Merge(const kernels::MergeParams& params) override {
    if (fault_ != "merge") backend_->Merge(params);
  }
  // Adds to what was there before.
  void Gemm(const kernels::GemmParams& params) override {
    kernels::GemmParams wrong = params;
    if (fault_ == "gemm") wrong.accumulate = true;
    backend_->Gemm(wrong);
  }
  void Norm(const kernels::NormParams& params) override {
    kernels::NormParams wrong = params;
    if (fault_ == "elementwise") wrong.epsilon = 1;
    backend_->Norm(wrong);
  }
  void RotateStore(const kernels::RotateStoreParams& params) override {
    kernels::RotateStoreParams wrong = params;
    if (fault_ == "elementwise") wrong.theta *= 2;
    backend_->RotateStore(wrong);
  }
  void GatedActivation(const kernels::GatedActivationParams& params) override {
    if (fault_ != "elementwise") backend_->GatedActivation(params);
  }
  void Embed(const kernels::EmbedParams& params) override { backend_->Embed(params); }
  void Argmax(const kernels::ArgmaxParams& params) override { backend_->Argmax(params); }

 private:
  const std::unique_ptr<kernels::Backend> backend_;
  const std::string fault_;
};

}  // namespace sparseserve::bench
