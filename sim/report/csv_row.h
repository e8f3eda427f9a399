// One line of a CSV file of numbers, built without allocation. Private to sim/report.
//
// Times are integer nanoseconds written as decimal fractions ("1.25"): exact, never through a
// double.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace sparseserve::report {

class CsvRow {
 public:
  CsvRow& Add(std::int64_t value);
  CsvRow& Add(double value);  // the shortest text that reads back the same
  CsvRow& AddSeconds(std::int64_t ns) { return AddFraction(ns, 9); }
  CsvRow& AddMilliseconds(std::int64_t ns) { return AddFraction(ns, 6); }
  CsvRow& AddEmpty();

  // Ends the line and begins a new one; the text is valid until the next call on this object.
  // REQUIRES: at least one field.
  std::string_view Finish();

 private:
  template <typename Number>
  CsvRow& AddNumber(Number value);
  // Adds value / 10^num_decimals without trailing zeros.
  CsvRow& AddFraction(std::int64_t value, int num_decimals);
  char* Room();

  std::array<char, 2048> text_;
  std::size_t size_ = 0;  // every field ends with a comma; Finish() makes the last one a line end
};

}  // namespace sparseserve::report
