#include "sim/report/csv_row.h"

#include <charconv>
#include <utility>

#include "sim/core/check.h"

namespace sparseserve::report {
namespace {

constexpr std::size_t kFieldBytes = 32;  // the longest number, sign, point and comma included

}  // namespace

char* CsvRow::Room() {
  SPARSESERVE_CHECK(size_ + kFieldBytes <= text_.size(), "too many fields in a CSV line");
  return text_.data() + size_;
}

template <typename Number>
CsvRow& CsvRow::AddNumber(Number value) {
  char* const begin = Room();
  char* const end = std::to_chars(begin, begin + kFieldBytes - 1, value).ptr;
  *end = ',';
  size_ += static_cast<std::size_t>(end + 1 - begin);
  return *this;
}

CsvRow& CsvRow::Add(std::int64_t value) { return AddNumber(value); }
CsvRow& CsvRow::Add(double value) { return AddNumber(value); }

CsvRow& CsvRow::AddEmpty() {
  *Room() = ',';
  ++size_;
  return *this;
}

CsvRow& CsvRow::AddFraction(std::int64_t value, int num_decimals) {
  std::uint64_t unit = 1;
  for (int i = 0; i < num_decimals; ++i) unit *= 10;
  const auto magnitude = value < 0 ? std::uint64_t{0} - static_cast<std::uint64_t>(value)
                                   : static_cast<std::uint64_t>(value);
  char* const begin = Room();
  char* at = begin;
  if (value < 0) *at++ = '-';
  at = std::to_chars(at, begin + kFieldBytes, magnitude / unit).ptr;
  if (std::uint64_t rest = magnitude % unit; rest > 0) {
    for (; rest % 10 == 0; rest /= 10) --num_decimals;
    *at = '.';
    for (int i = num_decimals; i > 0; --i, rest /= 10) at[i] = static_cast<char>('0' + rest % 10);
    at += num_decimals + 1;
  }
  *at++ = ',';
  size_ += static_cast<std::size_t>(at - begin);
  return *this;
}

std::string_view CsvRow::Finish() {
  SPARSESERVE_CHECK(size_ > 0, "a CSV line without fields");
  text_[size_ - 1] = '\n';
  return {text_.data(), std::exchange(size_, 0)};
}

}  // namespace sparseserve::report
