#include "traces/csv.h"

#include <algorithm>
#include <utility>

#include "traces/fields.h"

namespace sparseserve::traces {
namespace {

bool HasOpenQuote(std::string_view text) {
  return std::count(text.begin(), text.end(), '"') % 2 != 0;
}

}  // namespace

CsvReader::CsvReader(LineReader lines) : lines_(std::move(lines)) {
  if (!ReadRecord()) {
    throw InputError({{lines_.path()}, "", "the file is empty", "a header line and rows", ""});
  }
  header_line_ = record_line_;
  header_.assign(fields_.begin(), fields_.end());
}

std::optional<std::size_t> CsvReader::Find(std::string_view column) const {
  const auto found = std::find(header_.begin(), header_.end(), column);
  if (found == header_.end()) return std::nullopt;
  if (std::find(found + 1, header_.end(), column) != header_.end()) {
    throw InputError(
        {{lines_.path(), header_line_}, std::string(column), "column stands twice", "once", ""});
  }
  return static_cast<std::size_t>(found - header_.begin());
}

std::size_t CsvReader::Require(std::string_view column) const {
  if (const auto index = Find(column)) return *index;
  const std::string close = ClosestMatch(std::string(column), header_);
  throw InputError({{lines_.path(), header_line_},
                    std::string(column),
                    "column is missing",
                    "a header with it",
                    close.empty() ? "" : "is " + Quote(close) + " meant?"});
}

bool CsvReader::Next() { return ReadRecord(); }

bool CsvReader::ReadRecord() {
  auto line = lines_.Next();
  while (line && Trim(*line).empty()) line = lines_.Next();
  if (!line) return false;
  record_line_ = lines_.line();
  if (!HasOpenQuote(*line)) {
    Split(*line);
    return true;
  }
  joined_.assign(*line);
  bool open = true;
  while (open) {
    line = lines_.Next();
    if (!line || joined_.size() > lines_.max_line_bytes()) {
      throw InputError({where(), "", "quoted field is not closed", "a second '\"'", ""});
    }
    joined_.append("\n").append(*line);
    if (HasOpenQuote(*line)) open = false;
  }
  Split(joined_);
  return true;
}

// Fills fields_ from a record in which quotes are balanced.
void CsvReader::Split(std::string_view record) {
  fields_.clear();
  unquoted_.clear();
  unquoted_.reserve(record.size());  // so that views into it stay valid
  std::size_t at = 0;
  while (true) {
    const std::size_t start = record.find_first_not_of(" \t", at);
    if (start == record.npos || record[start] != '"') {
      const std::size_t comma = std::min(record.find(',', at), record.size());
      fields_.push_back(Trim(record.substr(at, comma - at)));
      at = comma;
    } else {
      const std::size_t text_begin = unquoted_.size();
      at = start + 1;
      while (at < record.size()) {
        if (record[at] == '"' && record.substr(at + 1, 1) != "\"") break;
        if (record[at] == '"') ++at;
        unquoted_.push_back(record[at++]);
      }
      fields_.push_back(std::string_view(unquoted_).substr(text_begin));
      ++at;  // the closing quote; what follows it up to the comma must be blank
      const std::size_t comma =
          std::min(record.find(',', std::min(at, record.size())), record.size());
      if (at < comma && !Trim(record.substr(at, comma - at)).empty()) {
        throw InputError(
            {where(), "", "text after a closing quote", "a comma or the line end", ""});
      }
      at = comma;
    }
    if (at >= record.size()) return;
    ++at;  // the comma
  }
}

}  // namespace sparseserve::traces
